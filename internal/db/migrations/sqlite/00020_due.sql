-- +goose Up
CREATE TABLE due (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  kind     TEXT NOT NULL,
  key      TEXT NOT NULL,
  due_at   INTEGER NOT NULL,
  run_at   INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  owner    TEXT NOT NULL DEFAULT '',
  token    TEXT NOT NULL,
  lost     BOOLEAN NOT NULL DEFAULT FALSE,
  body     TEXT NOT NULL,
  UNIQUE (kind, key)
);
CREATE INDEX due_kind_run_at ON due (kind, run_at);
