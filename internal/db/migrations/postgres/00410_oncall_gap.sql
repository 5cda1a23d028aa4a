-- +goose Up
-- Empty turns of the coming days that were found and are not closed.
CREATE TABLE oncall_gap (
  schedule_id TEXT NOT NULL,
  from_at     BIGINT NOT NULL,
  to_at       BIGINT NOT NULL,
  duty        TEXT NOT NULL,
  PRIMARY KEY (schedule_id, from_at)
);
