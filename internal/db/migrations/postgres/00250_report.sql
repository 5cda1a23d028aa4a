-- +goose Up
CREATE TABLE report (
  id          TEXT PRIMARY KEY,
  ref         TEXT NOT NULL UNIQUE,
  number      BIGINT NOT NULL UNIQUE,
  channel     TEXT NOT NULL,
  kind        TEXT NOT NULL,
  service     TEXT NOT NULL,
  text        TEXT NOT NULL,
  contact     TEXT NOT NULL,
  language    TEXT NOT NULL,
  state       TEXT NOT NULL,
  held        TEXT NOT NULL,
  proven      BOOLEAN NOT NULL,
  sender      TEXT NOT NULL,
  once        TEXT NOT NULL UNIQUE,
  follow      TEXT NOT NULL UNIQUE,
  search      TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  due_at      BIGINT NOT NULL,
  decided_at  BIGINT NOT NULL,
  decided_by  TEXT NOT NULL,
  reason      TEXT NOT NULL,
  reply       TEXT NOT NULL,
  incident    TEXT NOT NULL,
  told_at     BIGINT NOT NULL
);
CREATE INDEX report_state ON report (state, number);
CREATE INDEX report_service ON report (service, received_at);
CREATE INDEX report_incident ON report (incident) WHERE incident <> '';
