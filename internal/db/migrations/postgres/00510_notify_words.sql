-- +goose Up
-- The name of a service is kept in both languages: each reader gets their own.
ALTER TABLE page RENAME COLUMN service_name TO service_en;
ALTER TABLE page ADD COLUMN service_fr TEXT NOT NULL DEFAULT '';
-- Whom a page stands in for, as JSON; empty when nobody went silent.
ALTER TABLE page ADD COLUMN silent TEXT NOT NULL DEFAULT '';
-- A page whose answer says that somebody knows, not that they take the incident.
ALTER TABLE page ADD COLUMN informs BOOLEAN NOT NULL DEFAULT FALSE;
-- A notice that asks a question; the answer is here, not_here or closed.
-- unseen_after: after how long (microseconds) it counts as not seen; 0 never.
ALTER TABLE notice ADD COLUMN question BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE notice ADD COLUMN unseen_after BIGINT NOT NULL DEFAULT 0;
ALTER TABLE notice_person ADD COLUMN answer TEXT NOT NULL DEFAULT '';
