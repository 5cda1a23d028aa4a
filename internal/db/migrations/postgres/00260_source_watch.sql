-- +goose Up
-- Since when a source is silent, and since when a run of a heartbeat goes on; 0 is not.
ALTER TABLE source ADD COLUMN silent_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE source ADD COLUMN run_since BIGINT NOT NULL DEFAULT 0;
