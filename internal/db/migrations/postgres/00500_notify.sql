-- +goose Up
CREATE TABLE contact_method (
  person TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  addr TEXT NOT NULL,
  position BIGINT NOT NULL,
  verified_at BIGINT NOT NULL DEFAULT 0,
  tested_at BIGINT NOT NULL DEFAULT 0,
  test_hash TEXT NOT NULL DEFAULT '',
  disabled TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (person, id)
);
CREATE INDEX contact_method_test ON contact_method (test_hash);
CREATE TABLE personal_rule (
  person TEXT NOT NULL,
  position BIGINT NOT NULL,
  after_us BIGINT NOT NULL,
  method TEXT NOT NULL,
  severities TEXT NOT NULL,
  PRIMARY KEY (person, position)
);
CREATE TABLE quiet_hours (person TEXT PRIMARY KEY, from_local TEXT NOT NULL, to_local TEXT NOT NULL, timezone TEXT NOT NULL);
CREATE TABLE bundle (
  id TEXT PRIMARY KEY,
  person TEXT NOT NULL,
  subject TEXT NOT NULL,
  token_hash TEXT NOT NULL UNIQUE,
  opened_at BIGINT NOT NULL,
  last_n BIGINT NOT NULL,
  is_open BOOLEAN NOT NULL
);
CREATE INDEX bundle_person ON bundle (person, subject, opened_at);
CREATE TABLE page (
  id TEXT PRIMARY KEY,
  bundle TEXT NOT NULL,
  ladder TEXT NOT NULL,
  round BIGINT NOT NULL,
  step BIGINT NOT NULL,
  incident TEXT NOT NULL,
  ref TEXT NOT NULL,
  person TEXT NOT NULL,
  duty TEXT NOT NULL,
  state TEXT NOT NULL,
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  service TEXT NOT NULL,
  service_name TEXT NOT NULL,
  since BIGINT NOT NULL,
  exercise BOOLEAN NOT NULL,
  confidential BOOLEAN NOT NULL,
  note TEXT NOT NULL,
  alerts BIGINT NOT NULL,
  opened_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  method TEXT NOT NULL,
  ended_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  next_person TEXT NOT NULL,
  next_at BIGINT NOT NULL,
  UNIQUE (ladder, round, step, person)
);
CREATE INDEX page_incident ON page (incident, state);
CREATE INDEX page_person ON page (person, state);
CREATE INDEX page_bundle ON page (bundle);
CREATE INDEX page_state ON page (state, id);
CREATE TABLE page_alert (
  bundle TEXT NOT NULL,
  n BIGINT NOT NULL,
  page TEXT NOT NULL,
  dedup_key TEXT NOT NULL,
  title TEXT NOT NULL,
  PRIMARY KEY (bundle, n),
  UNIQUE (page, dedup_key)
);
CREATE TABLE named (bundle TEXT NOT NULL, method TEXT NOT NULL, upto BIGINT NOT NULL, PRIMARY KEY (bundle, method));
CREATE TABLE bucket (
  person TEXT NOT NULL,
  method TEXT NOT NULL,
  milli BIGINT NOT NULL,
  filled_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (person, method)
);
CREATE TABLE notice (
  id TEXT PRIMARY KEY,
  template TEXT NOT NULL,
  incident TEXT NOT NULL,
  ref TEXT NOT NULL,
  severity TEXT NOT NULL,
  confidential BOOLEAN NOT NULL,
  args TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX notice_incident ON notice (incident, id);
CREATE TABLE notice_person (
  notice TEXT NOT NULL,
  person TEXT NOT NULL,
  token_hash TEXT NOT NULL UNIQUE,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (notice, person)
);
CREATE TABLE delivery (
  id TEXT PRIMARY KEY,
  message TEXT NOT NULL,
  message_id TEXT NOT NULL,
  bundle TEXT NOT NULL,
  incident TEXT NOT NULL,
  ref TEXT NOT NULL,
  recipient_kind TEXT NOT NULL,
  person TEXT NOT NULL,
  name TEXT NOT NULL,
  language TEXT NOT NULL,
  timezone TEXT NOT NULL,
  method TEXT NOT NULL,
  kind TEXT NOT NULL,
  addr TEXT NOT NULL,
  state TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  admitted BOOLEAN NOT NULL,
  digest BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  first_at BIGINT NOT NULL,
  sent_at BIGINT NOT NULL,
  confirmed_at BIGINT NOT NULL,
  provider_id TEXT NOT NULL,
  error TEXT NOT NULL
);
CREATE INDEX delivery_bundle ON delivery (bundle, method);
CREATE INDEX delivery_person ON delivery (person, method, state);
CREATE INDEX delivery_incident ON delivery (incident, id);
CREATE INDEX delivery_message ON delivery (message, message_id);
CREATE INDEX delivery_state ON delivery (state, id);
CREATE TABLE delivery_part (
  delivery TEXT NOT NULL,
  bundle TEXT NOT NULL,
  from_n BIGINT NOT NULL,
  to_n BIGINT NOT NULL,
  PRIMARY KEY (delivery, bundle)
);
CREATE TABLE delivery_attempt (
  delivery TEXT NOT NULL,
  n BIGINT NOT NULL,
  at BIGINT NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (delivery, n)
);
