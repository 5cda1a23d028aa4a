-- +goose Up
CREATE TABLE oncall_schedule (
	id TEXT PRIMARY KEY,
	duty TEXT NOT NULL,
	version BIGINT NOT NULL,
	retired_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE oncall_schedule_version (
	schedule_id TEXT NOT NULL REFERENCES oncall_schedule (id),
	version BIGINT NOT NULL,
	valid_from BIGINT NOT NULL,
	definition TEXT NOT NULL,
	PRIMARY KEY (schedule_id, version)
);

CREATE TABLE oncall_override (
	id TEXT PRIMARY KEY,
	schedule_id TEXT NOT NULL REFERENCES oncall_schedule (id),
	person TEXT NOT NULL,
	from_at BIGINT NOT NULL,
	to_at BIGINT NOT NULL,
	valid_from BIGINT NOT NULL,
	removed_at BIGINT NOT NULL DEFAULT 0,
	made_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX oncall_override_end ON oncall_override (to_at, schedule_id);

CREATE TABLE oncall_policy (
	id TEXT PRIMARY KEY,
	version BIGINT NOT NULL,
	turn BIGINT NOT NULL DEFAULT 0,
	retired_at BIGINT NOT NULL DEFAULT 0,
	definition TEXT NOT NULL
);

CREATE TABLE oncall_ladder (
	id TEXT PRIMARY KEY,
	incident TEXT NOT NULL,
	ref TEXT NOT NULL,
	title TEXT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	frozen TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	base_at BIGINT NOT NULL,
	next_rung BIGINT NOT NULL,
	next_at BIGINT NOT NULL DEFAULT 0,
	answered_by TEXT NOT NULL DEFAULT '',
	answered_at BIGINT NOT NULL DEFAULT 0,
	last_paged TEXT NOT NULL DEFAULT '',
	active_at BIGINT NOT NULL
);
CREATE INDEX oncall_ladder_incident ON oncall_ladder (incident, started_at);
CREATE INDEX oncall_ladder_open ON oncall_ladder (state, started_at) WHERE state IN ('running', 'exhausted');
