/* ---- resilience: query texts ---- */

CREATE FUNCTION ffs_validate_template(template text, VARIADIC "values" text[]) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_template(text, text[]) IS
'true if every value leaves the shape of the query as it is, false if any changes it: %s in the template marks where an application pastes a value, inside quotes or not, and %% is a percent sign. One value for each place; a template with one place takes any number, each tried by itself; NULL is pasted as nothing. Decided by the server''s parser under the session''s settings: the parse trees with the values and with harmless ones are equal but for the constants in the places. Errors: 42601 for a template that is no query with harmless values, 22023 for one without a place and for a wrong number of values';

CREATE FUNCTION ffs_validate_query(query text) RETURNS void
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_query(text) IS
'raises unsafe_query if a finished text has the marks of an injection, and says which check found it, and where; done by the server''s parser. Checks: syntax, stacked, comment, tautology, union, delay, file, large_object, program, catalog, setting, blind, concatenation, obfuscation, error, foreign';

CREATE FUNCTION ffs_is_safe_query(query text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_is_safe_query(text) IS
'whether ffs_validate_query would let a text pass: false also for what cannot be parsed';

CREATE FUNCTION ffs_validate_identifier(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_validate_identifier(text) IS
'a name as it may stand in SQL, quoted where it must be. Errors: unsafe_identifier for an empty one and one of more than 63 bytes';
