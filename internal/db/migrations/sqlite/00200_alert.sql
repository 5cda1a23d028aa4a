-- +goose Up
CREATE TABLE source (
  id            TEXT PRIMARY KEY,
  kind          TEXT NOT NULL,
  service       TEXT NOT NULL,
  key_hash      TEXT NOT NULL UNIQUE,
  severity_map  TEXT NOT NULL,
  silent_after  BIGINT NOT NULL,
  last_heard_at BIGINT NOT NULL,
  created_at    BIGINT NOT NULL,
  version       BIGINT NOT NULL
);
INSERT INTO source (id, kind, service, key_hash, severity_map, silent_after, last_heard_at, created_at, version)
VALUES ('tocsin', 'builtin', '', '', '{}', 0, 0, 0, 1);

CREATE TABLE alert_routes (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  version BIGINT NOT NULL,
  routes  TEXT NOT NULL
);
INSERT INTO alert_routes (one, version, routes) VALUES (1, 1, '[]');

CREATE TABLE alert (
  id              TEXT PRIMARY KEY,
  source          TEXT NOT NULL,
  dedup_key       TEXT NOT NULL,
  state           TEXT NOT NULL,
  severity        TEXT NOT NULL,
  title           TEXT NOT NULL,
  service         TEXT NOT NULL,
  labels          TEXT NOT NULL,
  annotations     TEXT NOT NULL,
  link            TEXT NOT NULL,
  count           BIGINT NOT NULL,
  first_at        BIGINT NOT NULL,
  last_at         BIGINT NOT NULL,
  starts_at       BIGINT NOT NULL,
  ends_at         BIGINT NOT NULL,
  ends_by_timeout BOOLEAN NOT NULL,
  acknowledged_by TEXT NOT NULL,
  acknowledged_at BIGINT NOT NULL,
  resolved_at     BIGINT NOT NULL,
  how             TEXT NOT NULL,
  route           TEXT NOT NULL,
  then_do         TEXT NOT NULL,
  reason          TEXT NOT NULL,
  group_key       TEXT NOT NULL,
  incident        TEXT NOT NULL
);
CREATE UNIQUE INDEX alert_live ON alert (source, dedup_key) WHERE state <> 'resolved';
CREATE INDEX alert_state ON alert (state, id);
CREATE INDEX alert_incident ON alert (incident, id) WHERE incident <> '';

CREATE TABLE signal_payload (
  source TEXT NOT NULL REFERENCES source (id) ON DELETE CASCADE,
  slot   BIGINT NOT NULL,
  at     BIGINT NOT NULL,
  body   TEXT NOT NULL,
  PRIMARY KEY (source, slot)
);
