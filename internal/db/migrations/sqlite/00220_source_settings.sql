-- +goose Up
-- What only some kinds of source have, as JSON: map, secret_file, every, grace, probe.
ALTER TABLE source ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
