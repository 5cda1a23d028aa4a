-- +goose Up
CREATE TABLE silence (
  id         TEXT PRIMARY KEY,
  matchers   TEXT NOT NULL,
  from_at    BIGINT NOT NULL,
  until_at   BIGINT NOT NULL,
  -- When it ended; 0 while it has not.
  ended_at   BIGINT NOT NULL,
  reason     TEXT NOT NULL,
  by_id      TEXT NOT NULL,
  by_name    TEXT NOT NULL,
  -- The source that made it, whose alerts alone it touches.
  scope      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX silence_until ON silence (until_at);

CREATE TABLE maintenance (
  id       TEXT PRIMARY KEY,
  services TEXT NOT NULL,
  from_at  BIGINT NOT NULL,
  to_at    BIGINT NOT NULL,
  reason   TEXT NOT NULL,
  public   BOOLEAN NOT NULL,
  by_id    TEXT NOT NULL,
  -- planned, started or ended.
  state    TEXT NOT NULL
);
CREATE INDEX maintenance_to ON maintenance (to_at);
