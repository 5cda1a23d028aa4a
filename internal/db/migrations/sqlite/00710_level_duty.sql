-- +goose Up
-- Whom a duty of the response level told, and by which notice or escalation.
ALTER TABLE level_duty ADD COLUMN people TEXT NOT NULL DEFAULT '[]';
ALTER TABLE level_duty ADD COLUMN message TEXT NOT NULL DEFAULT '';
