-- +goose Up
-- What the checks of probes found last.
CREATE TABLE probe (
  source       TEXT NOT NULL REFERENCES source (id) ON DELETE CASCADE,
  aspect       TEXT NOT NULL,
  state        TEXT NOT NULL,
  bad          BIGINT NOT NULL,
  since        BIGINT NOT NULL,
  last_good_at BIGINT NOT NULL,
  at           BIGINT NOT NULL,
  why          TEXT NOT NULL,
  took_us      BIGINT NOT NULL,
  PRIMARY KEY (source, aspect)
);
