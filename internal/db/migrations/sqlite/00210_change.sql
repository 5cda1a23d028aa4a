-- +goose Up
CREATE TABLE change_record (
  id           TEXT PRIMARY KEY,
  ref          TEXT NOT NULL UNIQUE,
  number       BIGINT NOT NULL,
  service      TEXT NOT NULL,
  summary      TEXT NOT NULL,
  source       TEXT NOT NULL,
  version_from TEXT NOT NULL,
  version_to   TEXT NOT NULL,
  at           BIGINT NOT NULL,
  recorded_at  BIGINT NOT NULL,
  pipeline     TEXT NOT NULL,
  url          TEXT NOT NULL,
  reversible   TEXT NOT NULL,
  emergency    BOOLEAN NOT NULL,
  state        TEXT NOT NULL
);
CREATE INDEX change_record_service ON change_record (service, at);
CREATE INDEX change_record_at ON change_record (at);
