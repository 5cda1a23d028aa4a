-- +goose Up
-- The consumer "declaring" takes over from "paging" what an opened alert does.
INSERT INTO consumer (name, offset_seq) SELECT 'declaring', offset_seq FROM consumer WHERE name = 'paging';
