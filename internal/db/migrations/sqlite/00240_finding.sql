-- +goose Up
CREATE TABLE finding (
  id          TEXT PRIMARY KEY,
  ref         TEXT NOT NULL UNIQUE,
  number      BIGINT NOT NULL UNIQUE,
  source      TEXT NOT NULL,
  finding_key TEXT NOT NULL,
  service     TEXT NOT NULL,
  tool        TEXT NOT NULL,
  target      TEXT NOT NULL,
  rule        TEXT NOT NULL,
  title       TEXT NOT NULL,
  severity    TEXT NOT NULL,
  score       DOUBLE PRECISION NOT NULL,
  location    TEXT NOT NULL,
  line        BIGINT NOT NULL,
  package     TEXT NOT NULL,
  version     TEXT NOT NULL,
  fixed_in    TEXT NOT NULL,
  cve         TEXT NOT NULL,
  cwe         TEXT NOT NULL,
  url         TEXT NOT NULL,
  description TEXT NOT NULL,
  secret      BOOLEAN NOT NULL,
  search      TEXT NOT NULL,
  state       TEXT NOT NULL,
  decision    TEXT NOT NULL,
  reason      TEXT NOT NULL,
  decided_by  TEXT NOT NULL,
  decided_at  BIGINT,
  expires_at  BIGINT,
  opened_at   BIGINT NOT NULL,
  seen_at     BIGINT NOT NULL,
  fixed_at    BIGINT,
  triage_at   BIGINT,
  fix_at      BIGINT,
  UNIQUE (source, finding_key)
);
CREATE INDEX finding_state ON finding (state, number);
CREATE INDEX finding_service ON finding (service, number);
-- One row for each report that was read, in the order of reading. A report that comes
-- again with nothing between counts on its row.
CREATE TABLE finding_scan (
  id         TEXT PRIMARY KEY,
  source     TEXT NOT NULL,
  sha256     TEXT NOT NULL,
  format     TEXT NOT NULL,
  tool       TEXT NOT NULL,
  target     TEXT NOT NULL,
  verdict    TEXT NOT NULL,
  why        TEXT NOT NULL,
  at         BIGINT NOT NULL,
  last_at    BIGINT NOT NULL,
  findings   BIGINT NOT NULL,
  opened     BIGINT NOT NULL,
  reopened   BIGINT NOT NULL,
  fixed      BIGINT NOT NULL,
  not_proved BIGINT NOT NULL
);
CREATE INDEX finding_scan_source ON finding_scan (source, tool, target, id);
-- Reports of one source are read one after the other: each locks its row.
CREATE TABLE finding_source (
  source  TEXT PRIMARY KEY,
  reports BIGINT NOT NULL
);
