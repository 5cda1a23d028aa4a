-- +goose Up
CREATE TABLE instance_secret (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
);

CREATE TABLE level_duty (
  incident TEXT NOT NULL,
  duty     TEXT NOT NULL,
  done_at  BIGINT NOT NULL,
  PRIMARY KEY (incident, duty)
);
