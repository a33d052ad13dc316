/*
 * What the clients' tests share, once in a database: ffstorage, the laws, and
 * the roles.  clients_owner owns the tables, clients_app works on them and is
 * bound by row-level security; laws are looked at by a superuser.
 */
CREATE EXTENSION ffstorage;
\ir ../laws.sql

/* The laws' queries, and what asyncpg asks about types, are cheaper without. */
DO $jit$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $jit$;

DO $roles$
BEGIN
	IF to_regrole('clients_owner') IS NULL THEN
		CREATE ROLE clients_owner LOGIN;
		CREATE ROLE clients_app LOGIN;
		-- A reader of docs/clients.md, who tries its examples.
		CREATE ROLE clients_reader LOGIN;
	END IF;
END
$roles$;
