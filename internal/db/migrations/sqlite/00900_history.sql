-- +goose Up
-- Incidents from before this installation, as they were imported.
CREATE TABLE past_incident (
  id          TEXT PRIMARY KEY,
  number      BIGINT NOT NULL UNIQUE,
  source      TEXT NOT NULL,
  external_id TEXT NOT NULL,
  title       TEXT NOT NULL,
  verdict     TEXT NOT NULL,
  occurred    TEXT NOT NULL,
  severity    TEXT NOT NULL,
  kind        TEXT NOT NULL,
  actors      TEXT NOT NULL,
  actions     TEXT NOT NULL,
  attributes  TEXT NOT NULL,
  services    TEXT NOT NULL,
  fields      TEXT NOT NULL,
  document    TEXT NOT NULL,
  digest      TEXT NOT NULL,
  search      TEXT NOT NULL,
  imported_at BIGINT NOT NULL,
  imported_by TEXT NOT NULL,
  UNIQUE (source, external_id)
);
CREATE INDEX past_incident_occurred ON past_incident (occurred, number);
CREATE TABLE history_import (
  id          TEXT PRIMARY KEY,
  state       TEXT NOT NULL,
  source      TEXT NOT NULL,
  format      TEXT NOT NULL,
  name        TEXT NOT NULL,
  digest      TEXT NOT NULL,
  file        BLOB NOT NULL,
  created     BIGINT NOT NULL,
  skipped     BIGINT NOT NULL,
  replaced    BIGINT NOT NULL,
  conflicts   BIGINT NOT NULL,
  named       TEXT NOT NULL,
  at          BIGINT NOT NULL,
  by_actor    TEXT NOT NULL,
  finished_at BIGINT NOT NULL
);
CREATE INDEX history_import_at ON history_import (at);
