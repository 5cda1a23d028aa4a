-- +goose Up
CREATE TABLE organisation (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version BIGINT NOT NULL,
  settings TEXT NOT NULL,
  parameters TEXT NOT NULL,
  levels TEXT NOT NULL,
  kept TEXT NOT NULL
);
CREATE TABLE person (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  language TEXT NOT NULL,
  timezone TEXT NOT NULL,
  access TEXT NOT NULL,
  slack TEXT NOT NULL,
  suspended BOOLEAN NOT NULL,
  leave_json TEXT NOT NULL,
  version BIGINT NOT NULL
);
CREATE TABLE team (id TEXT PRIMARY KEY, name TEXT NOT NULL, members TEXT NOT NULL);
CREATE TABLE appointment (
  role TEXT NOT NULL,
  position INTEGER NOT NULL,
  person TEXT NOT NULL REFERENCES person (id),
  PRIMARY KEY (role, position)
);
CREATE INDEX appointment_person ON appointment (person);
CREATE TABLE credential (person TEXT PRIMARY KEY REFERENCES person (id), hash TEXT NOT NULL, changed_at BIGINT NOT NULL);
CREATE TABLE session (
  hash TEXT PRIMARY KEY,
  person TEXT NOT NULL REFERENCES person (id),
  opened_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
CREATE INDEX session_person ON session (person);
CREATE TABLE login_link (hash TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES person (id), expires_at BIGINT NOT NULL);
CREATE TABLE api_token (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  access TEXT NOT NULL,
  scopes TEXT NOT NULL,
  creator TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  parent TEXT NOT NULL
);
CREATE INDEX api_token_creator ON api_token (creator);
CREATE INDEX api_token_parent ON api_token (parent);
CREATE TABLE sign_in_attempt (id TEXT PRIMARY KEY, failures BIGINT NOT NULL, next_at BIGINT NOT NULL, last_at BIGINT NOT NULL);
