-- +goose Up
CREATE TABLE service (
  id         TEXT PRIMARY KEY,
  version    BIGINT NOT NULL,
  definition TEXT NOT NULL,
  retired    BOOLEAN NOT NULL
);
