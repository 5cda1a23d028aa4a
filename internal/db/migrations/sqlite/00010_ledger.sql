-- +goose Up
CREATE TABLE ledger_head (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  size    BIGINT NOT NULL,
  compact BLOB NOT NULL,
  root    BLOB NOT NULL
);
INSERT INTO ledger_head (one, size, compact, root)
VALUES (1, 0, x'', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

CREATE TABLE fact (
  seq         INTEGER PRIMARY KEY,
  id          BLOB NOT NULL,
  happened_at BIGINT NOT NULL,
  recorded_at BIGINT NOT NULL,
  actor       TEXT NOT NULL,
  type        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  incident    TEXT,
  digest      BLOB NOT NULL,
  leaf        BLOB NOT NULL
);
CREATE INDEX fact_subject ON fact (subject, seq);
CREATE INDEX fact_incident ON fact (incident, seq) WHERE incident IS NOT NULL;

CREATE TABLE fact_body (
  seq  INTEGER PRIMARY KEY,
  salt BLOB NOT NULL,
  body TEXT NOT NULL
);

CREATE TABLE ledger_node (
  level INTEGER NOT NULL,
  idx   BIGINT NOT NULL,
  hash  BLOB NOT NULL,
  PRIMARY KEY (level, idx)
) WITHOUT ROWID;

CREATE TABLE ledger_key (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  public  TEXT NOT NULL,
  private BLOB NOT NULL,
  sealed  BOOLEAN NOT NULL
);

CREATE TABLE consumer (
  name         TEXT PRIMARY KEY,
  offset_seq   BIGINT NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER fact_no_update BEFORE UPDATE ON fact
BEGIN SELECT RAISE(ABORT, 'facts are never changed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER fact_no_delete BEFORE DELETE ON fact
BEGIN SELECT RAISE(ABORT, 'facts are never removed'); END;
-- +goose StatementEnd
