-- +goose Up
CREATE TABLE due (
  id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind     TEXT NOT NULL,
  key      TEXT NOT NULL,
  due_at   BIGINT NOT NULL,
  run_at   BIGINT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  owner    TEXT NOT NULL DEFAULT '',
  token    TEXT NOT NULL,
  lost     BOOLEAN NOT NULL DEFAULT FALSE,
  body     TEXT NOT NULL,
  UNIQUE (kind, key)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500);
CREATE INDEX due_kind_run_at ON due (kind, run_at);

-- +goose StatementBegin
CREATE FUNCTION due_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('due', NEW.kind);
  RETURN NULL;
END $$;
-- +goose StatementEnd

-- Claims and delays leave due_at alone and wake nobody; rows that are far off are
-- found by the timers.
CREATE TRIGGER due_notify AFTER INSERT OR UPDATE OF due_at ON due FOR EACH ROW
  WHEN (NEW.run_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 2000000)
  EXECUTE FUNCTION due_notify();
