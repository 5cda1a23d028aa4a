-- +goose Up
CREATE TABLE due_clock (
  id        BIGINT PRIMARY KEY CHECK (id = 1),
  before_at BIGINT NOT NULL,
  after_at  BIGINT NOT NULL
);
INSERT INTO due_clock (id, before_at, after_at) VALUES (1, 0, 0);
