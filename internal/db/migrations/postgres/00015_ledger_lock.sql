-- +goose Up
-- The lock and the head in one round trip. A volatile function takes a new snapshot
-- for each of its statements: the head is read as it is once the lock is held, which
-- one plain statement that did both would not do.
-- +goose StatementBegin
CREATE FUNCTION ledger_lock() RETURNS TABLE (size BIGINT, compact BYTEA, root BYTEA) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7103651);
  RETURN QUERY SELECT h.size, h.compact, h.root FROM ledger_head h WHERE h.one = 1;
END $$;
-- +goose StatementEnd
