-- +goose Up
-- What a sender calls a change: told again, it is the same change.
ALTER TABLE change_record ADD COLUMN sender_key TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX change_record_sender_key ON change_record (source, sender_key) WHERE sender_key <> '';
