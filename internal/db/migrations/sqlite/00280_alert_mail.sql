-- +goose Up
-- Which alert the messages of a mail thread belong to, by the digest of each message's id.
CREATE TABLE alert_mail (
  source     TEXT NOT NULL REFERENCES source (id) ON DELETE CASCADE,
  message    TEXT NOT NULL,
  dedup_key  TEXT NOT NULL,
  at         BIGINT NOT NULL,
  PRIMARY KEY (source, message)
);
CREATE INDEX alert_mail_at ON alert_mail (source, at);
