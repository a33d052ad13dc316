/* ---- resilience: breakers, retries, bounds ---- */

CREATE FUNCTION ffs_breaker_allow(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_breaker_allow(text) IS
'whether a call that this circuit breaker (of the database) guards may go now: true while it is closed, false while it is open; half-open, it is true for one caller of any session, and false for the others until that one reports, its transaction aborts, or its session ends. True without preload. Errors: 22004, 22023 for a name that is empty or longer than 63 bytes';

CREATE FUNCTION ffs_breaker_report(name text, ok boolean) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_breaker_report(text, boolean) IS
'says how a call went that ffs_breaker_allow let go; counts at once, whatever becomes of the transaction. ffstorage.breaker_failures failures in a row open the breaker; half-open, a success closes it and a failure opens it again. Errors: 22004, 22023';

CREATE FUNCTION ffs_breaker_reset(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffs_breaker_reset(text) IS
'closes a circuit breaker; false if there is none of this name. GRANT EXECUTE to roles that may. Errors: 22004, 22023';

CREATE FUNCTION ffstorage.breakers(
    OUT name text, OUT state text, OUT failures integer, OUT opened_at timestamptz, OUT next_probe_at timestamptz,
    OUT probe_pid integer, OUT calls bigint, OUT rejected bigint, OUT succeeded bigint, OUT failed bigint,
    OUT times_opened bigint, OUT last_failure_at timestamptz, OUT last_failure text, OUT last_used_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.breakers() IS
'the circuit breakers of this database; what the view ffs_breakers shows; no rows without shared memory';
REVOKE ALL ON FUNCTION ffs_breaker_reset(text), ffstorage.breakers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.breakers() TO pg_monitor;

CREATE VIEW ffs_breakers AS
SELECT b.name, b.state, b.failures, b.opened_at, b.next_probe_at, b.probe_pid, b.calls, b.rejected, b.succeeded, b.failed,
       b.times_opened, b.last_failure_at, b.last_failure, b.last_used_at
FROM ffstorage.breakers() AS b;
COMMENT ON VIEW ffs_breakers IS
'the circuit breakers of this database that were used since the server started; none without preload';
COMMENT ON COLUMN ffs_breakers.state IS 'closed, open, or half_open: open for ffstorage.breaker_open_time, so that one call may try';
COMMENT ON COLUMN ffs_breakers.failures IS 'failures since the last success';
COMMENT ON COLUMN ffs_breakers.next_probe_at IS 'when a call may try; NULL while it is closed, and while one tries whose transaction is not ended';
COMMENT ON COLUMN ffs_breakers.probe_pid IS 'the session whose call tries now';
COMMENT ON COLUMN ffs_breakers.calls IS 'calls that were let go; rejected: that were not';
COMMENT ON COLUMN ffs_breakers.succeeded IS 'reports of success; failed: of failure';
COMMENT ON COLUMN ffs_breakers.last_failure IS 'SQLSTATE of the last failure, where ffs_run reported it';
REVOKE ALL ON ffs_breakers FROM PUBLIC;
GRANT SELECT ON ffs_breakers TO pg_monitor;

CREATE PROCEDURE ffs_run(statement text, params jsonb DEFAULT '[]', max_attempts integer DEFAULT 3,
    base_delay interval DEFAULT '100 ms', timeout interval DEFAULT NULL, breaker text DEFAULT NULL,
    isolation text DEFAULT NULL, tenant text DEFAULT NULL, actor text DEFAULT NULL, metadata jsonb DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON PROCEDURE ffs_run(text, jsonb, integer, interval, interval, text, text, text, text, jsonb) IS
'runs a statement in a transaction of its own, in which isolation level, tenant, actor and metadata are set, and commits it; params has a value for each of $1, $2 and so on, and rows that it returns are dropped.
Tried again, up to max_attempts in all, after a serialization failure, a deadlock, a lock timeout, and a foreign server that is lost: after a random wait of up to base_delay, doubled from attempt to attempt, 30 s at most. timeout bounds all of it; breaker is a circuit breaker that is asked before each attempt and told of it.
Errors: retries_exhausted, query_timeout, breaker_open, 25001 inside a transaction block, 22004, 22023, 0A000; those of the statement as they are';

CREATE FUNCTION ffstorage.admission(
    OUT tenant text, OUT role oid, OUT running integer, OUT waiting integer, OUT most_waiting integer, OUT calls bigint,
    OUT waited bigint, OUT wait_ms double precision, OUT refused bigint, OUT last_refused_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ffstorage.admission() IS
'the tenants and roles of this database whose calls were counted; what the view ffs_stat_admission shows; no rows without shared memory';
REVOKE ALL ON FUNCTION ffstorage.admission() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ffstorage.admission() TO pg_monitor;

CREATE VIEW ffs_stat_admission AS
SELECT a.tenant, r.rolname AS role, a.running, a.waiting, a.most_waiting, a.calls, a.waited, a.wait_ms, a.refused, a.last_refused_at
FROM ffstorage.admission() AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) a.role;
COMMENT ON VIEW ffs_stat_admission IS
'per tenant (or role, for calls without a tenant or with several) of this database, what became of calls while ffstorage.max_running_per_tenant limited them; since the server started, or since others took the place of an idle one. None without preload';
COMMENT ON COLUMN ffs_stat_admission.running IS 'calls that run now; waiting: that wait; most_waiting: that ever waited at once';
COMMENT ON COLUMN ffs_stat_admission.calls IS 'calls that ran; waited: those of them that waited first; wait_ms: how long all waits took together, those of refused calls too';
COMMENT ON COLUMN ffs_stat_admission.refused IS 'calls that ended with too_many_running';
REVOKE ALL ON ffs_stat_admission FROM PUBLIC;
GRANT SELECT ON ffs_stat_admission TO pg_monitor;
