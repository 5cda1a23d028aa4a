-- +goose Up
-- The answers to POST calls that carried an Idempotency-Key, for 24 hours.
CREATE TABLE idempotency (
  -- SHA-256 of the caller and the key
  id         TEXT PRIMARY KEY,
  -- SHA-256 of method, address and body
  digest     TEXT NOT NULL,
  status     INTEGER NOT NULL,
  headers    TEXT NOT NULL,
  body       TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_created ON idempotency (created_at);
