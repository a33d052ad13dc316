/* ---- resilience: query texts ---- */

CREATE FUNCTION ffs_validate_template(template text, VARIADIC "values" text[]) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_template(text, text[]) IS
'true if every value leaves the shape of the query as it is, false if any changes it: %s in the template marks where an application pastes a value, inside quotes or not, and %% is a percent sign. One value for each place; a template with one place takes any number, each tried by itself; NULL is pasted as nothing. Decided by the server''s parser under the session''s settings: the parse trees with the values and with harmless ones are equal but for the constants in the places. Errors: 42601 for a template that is no query with harmless values, 22023 for one without a place and for a wrong number of values';

CREATE FUNCTION ffs_validate_query(query text, with_analysis boolean DEFAULT false) RETURNS void
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_query(text, boolean) IS
'raises unsafe_query if a finished text has the marks of an injection, and says which check found it, and where; done by the server''s parser. Checks: syntax, stacked, comment, tautology, union, delay, file, large_object, program, catalog, setting, blind, concatenation, obfuscation, error, foreign. With with_analysis, the server then looks up its tables, columns, functions and types as for the caller, without running it: what is wrong there is raised as it would be if it were run';

CREATE FUNCTION ffs_is_safe_query(query text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_is_safe_query(text) IS
'whether ffs_validate_query would let a text pass: false also for what cannot be parsed';

CREATE FUNCTION ffs_validate_identifier(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_identifier(text) IS
'a name as it may stand in SQL, quoted where it must be. Errors: unsafe_identifier for an empty one and one of more than 63 bytes';

/* Ids hold for this database and major version: what pg_dump would give back could not be used. */
CREATE TABLE ffstorage.allowed_queries (
    role oid NOT NULL,
    query_id bigint NOT NULL,
    query text NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    learned_by name NOT NULL,
    PRIMARY KEY (role, query_id)
);
COMMENT ON TABLE ffstorage.allowed_queries IS
'queries that ffstorage.validate_queries lets through, for a login role each; changed by ffs_validate_learn and ffs_validate_forget, which backends are told of';
REVOKE ALL ON ffstorage.allowed_queries FROM PUBLIC;

CREATE FUNCTION ffstorage.unsafe_queries(
    OUT role oid, OUT query_id bigint, OUT check_name text, OUT query text, OUT calls bigint, OUT last_seen timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.unsafe_queries() IS 'what the view ffs_unsafe_queries shows; no row without shared memory';
REVOKE ALL ON FUNCTION ffstorage.unsafe_queries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.unsafe_queries() TO pg_monitor;

CREATE VIEW ffs_unsafe_queries AS
SELECT pg_catalog.pg_get_userbyid(s.role) AS role, s.query_id, s.check_name, s.query, s.calls, s.last_seen
FROM ffstorage.unsafe_queries() AS s;
COMMENT ON VIEW ffs_unsafe_queries IS
'statements in this database that ffstorage.validate_queries warned of or refused, the latest 256 of all databases since the server started: which check found them, the text without its constants, how often; ffs_validate_learn takes them from here';
REVOKE ALL ON ffs_unsafe_queries FROM PUBLIC;
GRANT SELECT ON ffs_unsafe_queries TO pg_monitor;

CREATE VIEW ffs_allowed_queries AS
SELECT pg_catalog.pg_get_userbyid(a.role) AS role, a.query_id, a.query, a.learned_at, a.learned_by
FROM ffstorage.allowed_queries AS a;
COMMENT ON VIEW ffs_allowed_queries IS
'queries that ffstorage.validate_queries lets through, by login role and query id';
REVOKE ALL ON ffs_allowed_queries FROM PUBLIC;
GRANT SELECT ON ffs_allowed_queries TO pg_monitor;

CREATE FUNCTION ffs_validate_learn(for_role name, query text DEFAULT NULL) RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_learn(name, text) IS
'lets queries of a login role through ffstorage.validate_queries, by query id: the one given, or all in ffs_unsafe_queries of that role and this database; how many are new. Query ids hold for this database and major version. GRANT EXECUTE to roles that may. Errors: 22004, 42704 for an unknown role, 42601 and 22023 for a text that is not one statement, those of analyzing it, 55000 without shared memory';

CREATE FUNCTION ffs_validate_forget(for_role name, query_id bigint DEFAULT NULL) RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_forget(name, bigint) IS
'takes one query, or all, of a login role out of those that ffstorage.validate_queries lets through; how many there were. GRANT EXECUTE to roles that may. Errors: 22004, 42704';
REVOKE ALL ON FUNCTION ffs_validate_learn(name, text), ffs_validate_forget(name, bigint) FROM PUBLIC;
