-- +goose Up
CREATE TABLE reference_counter (
  prefix TEXT PRIMARY KEY,
  last   BIGINT NOT NULL
);
