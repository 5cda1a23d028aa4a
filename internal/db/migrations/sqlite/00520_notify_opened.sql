-- +goose Up
-- How often people were called is counted by time.
CREATE INDEX page_opened ON page (opened_at);
