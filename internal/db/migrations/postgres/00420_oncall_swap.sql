-- +goose Up
-- Requests to be stood in for on a shift: one person is asked, or everyone of the schedule.
CREATE TABLE oncall_swap (
  id          TEXT PRIMARY KEY,
  schedule_id TEXT NOT NULL,
  from_at     BIGINT NOT NULL,
  to_at       BIGINT NOT NULL,
  asker       TEXT NOT NULL,
  with_person TEXT NOT NULL,
  return_from BIGINT NOT NULL,
  return_to   BIGINT NOT NULL,
  state       TEXT NOT NULL,
  asked_at    BIGINT NOT NULL,
  answered_by TEXT NOT NULL,
  answered_at BIGINT NOT NULL
);
CREATE INDEX oncall_swap_end ON oncall_swap (to_at);
