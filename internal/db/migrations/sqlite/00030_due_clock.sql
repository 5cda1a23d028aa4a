-- +goose Up
CREATE TABLE due_clock (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  before_at INTEGER NOT NULL,
  after_at  INTEGER NOT NULL
);
INSERT INTO due_clock (id, before_at, after_at) VALUES (1, 0, 0);
