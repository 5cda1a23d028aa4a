-- +goose Up
CREATE TABLE incident (
  id              TEXT PRIMARY KEY,
  number          BIGINT NOT NULL UNIQUE,
  version         BIGINT NOT NULL,
  title           TEXT NOT NULL,
  summary         TEXT NOT NULL,
  status          TEXT NOT NULL,
  phase           TEXT NOT NULL,
  severity        TEXT NOT NULL,
  severity_source TEXT NOT NULL,
  computed        TEXT NOT NULL,
  decided_by      TEXT NOT NULL,
  kind            TEXT NOT NULL,
  personal_data   TEXT NOT NULL,
  impact          TEXT NOT NULL,
  services        TEXT NOT NULL,
  exercise        BOOLEAN NOT NULL,
  confidential    BOOLEAN NOT NULL,
  how             TEXT NOT NULL,
  declared_by     TEXT NOT NULL,
  only_person     TEXT NOT NULL,
  policy          TEXT NOT NULL,
  route           TEXT NOT NULL,
  group_key       TEXT NOT NULL,
  window_us       BIGINT NOT NULL,
  open_alerts     BIGINT NOT NULL,
  last_alert_at   BIGINT NOT NULL,
  merged_into     TEXT NOT NULL,
  previous        TEXT NOT NULL,
  refired_at      BIGINT NOT NULL,
  answers         TEXT NOT NULL,
  exits           TEXT NOT NULL,
  occurred_at     BIGINT NOT NULL,
  detected_at     BIGINT NOT NULL,
  declared_at     BIGINT NOT NULL,
  acknowledged_at BIGINT NOT NULL,
  acknowledged_by TEXT NOT NULL,
  assessed_at     BIGINT NOT NULL,
  contained_at    BIGINT NOT NULL,
  eradicated_at   BIGINT NOT NULL,
  restored_at     BIGINT NOT NULL,
  recovered_at    BIGINT NOT NULL,
  reviewed_at     BIGINT NOT NULL,
  closed_at       BIGINT NOT NULL,
  search          TEXT NOT NULL
);
CREATE INDEX incident_list ON incident (status, phase, number);
CREATE INDEX incident_group ON incident (route, group_key, number);

CREATE TABLE incident_role (
  incident TEXT NOT NULL REFERENCES incident (id),
  role     TEXT NOT NULL,
  person   TEXT NOT NULL,
  PRIMARY KEY (incident, role)
);
CREATE INDEX incident_role_person ON incident_role (person, incident);

CREATE TABLE incident_person (
  incident TEXT NOT NULL REFERENCES incident (id),
  person   TEXT NOT NULL,
  why      TEXT NOT NULL,
  PRIMARY KEY (incident, person)
);

CREATE TABLE incident_alert (
  alert    TEXT PRIMARY KEY,
  incident TEXT NOT NULL REFERENCES incident (id),
  service  TEXT NOT NULL,
  title    TEXT NOT NULL,
  severity TEXT NOT NULL,
  open     BOOLEAN NOT NULL,
  at       BIGINT NOT NULL
);
CREATE INDEX incident_alert_incident ON incident_alert (incident);

CREATE TABLE task (
  id         TEXT PRIMARY KEY,
  incident   TEXT NOT NULL REFERENCES incident (id),
  text       TEXT NOT NULL,
  owner      TEXT NOT NULL,
  due_at     BIGINT NOT NULL,
  state      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX task_incident ON task (incident);

CREATE TABLE handover (
  id         TEXT PRIMARY KEY,
  incident   TEXT NOT NULL REFERENCES incident (id),
  role       TEXT NOT NULL,
  giver      TEXT NOT NULL,
  taker      TEXT NOT NULL,
  briefing   TEXT NOT NULL,
  state      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX handover_incident ON handover (incident);
CREATE INDEX handover_taker ON handover (taker, state);

CREATE TABLE starred_line (
  incident TEXT NOT NULL REFERENCES incident (id),
  line     BIGINT NOT NULL,
  PRIMARY KEY (incident, line)
);

CREATE TABLE review (
  incident TEXT NOT NULL REFERENCES incident (id),
  version  BIGINT NOT NULL,
  state    TEXT NOT NULL,
  due_at   BIGINT NOT NULL,
  content  TEXT NOT NULL,
  PRIMARY KEY (incident, version)
);
CREATE INDEX review_state ON review (state, due_at);

CREATE TABLE action (
  id         TEXT PRIMARY KEY,
  number     BIGINT NOT NULL UNIQUE,
  version    BIGINT NOT NULL,
  type       TEXT NOT NULL,
  text       TEXT NOT NULL,
  owner      TEXT NOT NULL,
  due        TEXT NOT NULL,
  state      TEXT NOT NULL,
  origin     TEXT NOT NULL,
  incident   TEXT NOT NULL,
  method     TEXT NOT NULL,
  check_on   TEXT NOT NULL,
  evidence   TEXT NOT NULL,
  result     TEXT NOT NULL,
  reason     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  done_at    BIGINT NOT NULL,
  done_by    TEXT NOT NULL
);
CREATE INDEX action_incident ON action (incident);
CREATE INDEX action_state ON action (state, due);
