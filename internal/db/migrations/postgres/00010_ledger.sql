-- +goose Up
CREATE TABLE ledger_head (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  size    BIGINT NOT NULL,
  compact BYTEA NOT NULL,
  root    BYTEA NOT NULL
) WITH (fillfactor = 50);
INSERT INTO ledger_head (one, size, compact, root)
VALUES (1, 0, ''::bytea, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'::bytea);

CREATE TABLE fact (
  seq         BIGINT PRIMARY KEY,
  id          BYTEA NOT NULL,
  happened_at BIGINT NOT NULL,
  recorded_at BIGINT NOT NULL,
  actor       TEXT NOT NULL,
  type        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  incident    TEXT,
  digest      BYTEA NOT NULL,
  leaf        BYTEA NOT NULL
);
CREATE INDEX fact_subject ON fact (subject, seq);
CREATE INDEX fact_incident ON fact (incident, seq) WHERE incident IS NOT NULL;

CREATE TABLE fact_body (
  seq  BIGINT PRIMARY KEY,
  salt BYTEA NOT NULL,
  body TEXT NOT NULL
);

CREATE TABLE ledger_node (
  level INTEGER NOT NULL,
  idx   BIGINT NOT NULL,
  hash  BYTEA NOT NULL,
  PRIMARY KEY (level, idx)
);

CREATE TABLE ledger_key (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  public  TEXT NOT NULL,
  private BYTEA NOT NULL,
  sealed  BOOLEAN NOT NULL
);

CREATE TABLE consumer (
  name         TEXT PRIMARY KEY,
  offset_seq   BIGINT NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION fact_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'facts are never changed or removed';
END $$;
-- +goose StatementEnd
CREATE TRIGGER fact_is_final BEFORE UPDATE OR DELETE ON fact
  FOR EACH STATEMENT EXECUTE FUNCTION fact_is_final();

-- +goose StatementBegin
CREATE FUNCTION ledger_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('ledger', NEW.size::text);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_notify AFTER UPDATE ON ledger_head
  FOR EACH ROW EXECUTE FUNCTION ledger_notify();
