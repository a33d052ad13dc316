/*-------------------------------------------------------------------------
 *
 * checks.c
 *		Health checks about the server and the figures themselves.
 *
 * What is about managed tables is in checks_tables.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/checks.h"
#include "stats/figures.h"

/* A tenant violation degrades health for this long. */
#define VIOLATION_MATTERS	(USECS_PER_HOUR)

/* Fewer operations than this in 5 minutes say nothing of a rate. */
#define RATE_NEEDS			20

static const char *const preload_hint =
"Add ffstorage to shared_preload_libraries and restart the server.";

/* ---- thresholds ---- */

static double error_rate = 5.0; /* percent; five times that is unhealthy */
static int	connections_used = 80;
static int	prepared_age = 3600;	/* seconds */
static int	transaction_time = 3600;	/* seconds */
static int	transaction_age = 1000000000;	/* 1.6 times that is unhealthy */
static int	replication_lag = 60;	/* seconds; ten times that is unhealthy */
static int	replication_slot_size = 4096;	/* MB */

/* ---- asking ---- */

/* Run a query that gives at least one row, and stay connected. */
void
ffs_stats_query(const char *sql)
{
	int			rc;

	SPI_connect();
	rc = SPI_execute(sql, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), sql);
}

int64
ffs_stats_int_of(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

char *
ffs_stats_text_of(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static void
check_preload(FfsHealthSink *sink)
{
	if (ffs_base_preloaded())
		ffs_stats_report(sink, FFS_HEALTHY, "loaded when the server started", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_HEALTH_OFF,
						 "not loaded when the server started",
						 "Figures shared between sessions are off.",
						 preload_hint);
}

static void
check_counters(FfsHealthSink *sink)
{
	FfsStatsUsage usage;

	if (!ffs_stats_usage(&usage))
		ffs_stats_report(sink, FFS_HEALTH_OFF, "operations are not counted",
						 "There is no shared memory to count in.", preload_hint);
	else if (!ffs_stats_track)
		ffs_stats_report(sink, FFS_HEALTH_OFF, "operations are not counted",
						 "The setting ffstorage.track is off.",
						 "Turn ffstorage.track on.");
	else if (usage.no_room > 0)
		ffs_stats_report(sink, FFS_DEGRADED, "operations on some tables are not counted",
						 psprintf("There is room for %d tables and %llu counts found none.",
								  usage.capacity, (unsigned long long) usage.no_room),
						 "Raise ffstorage.max_tables and restart the server, then call ffs_stats_reset().");
	else
		ffs_stats_report(sink, FFS_HEALTHY, "operations are counted",
						 usage.prepared == 0 ?
						 psprintf("There is room for %d tables and %d are counted.",
								  usage.capacity, usage.used) :
						 psprintf("There is room for %d tables and %d are counted; operations left out because their transactions were prepared: %llu.",
								  usage.capacity, usage.used, (unsigned long long) usage.prepared),
						 NULL);
}

static void
check_version(FfsHealthSink *sink)
{
	char	   *version;

	ffs_stats_query("SELECT extversion FROM pg_extension WHERE extname = 'ffstorage'");
	version = SPI_processed > 0 ? ffs_stats_text_of(0, 1) : pstrdup("none");
	if (strcmp(version, FFS_EXTENSION_VERSION) == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "library and extension have one version",
						 psprintf("Both are %s.", FFS_EXTENSION_VERSION), NULL);
	else
		ffs_stats_report(sink, FFS_UNHEALTHY, "library and extension differ in version",
						 psprintf("The library is %s, the extension in this database is %s.",
								  FFS_EXTENSION_VERSION, version),
						 "Run ALTER EXTENSION ffstorage UPDATE; if the library is the older one, restart the server.");
	SPI_finish();
}

/* How near `used` is to `available`. */
static FfsHealthStatus
pressure(int64 used, int64 available)
{
	int			unhealthy = connections_used + (100 - connections_used) * 3 / 4;

	if (used * 100 >= available * unhealthy)
		return FFS_UNHEALTHY;
	if (used * 100 >= available * connections_used)
		return FFS_DEGRADED;
	return FFS_HEALTHY;
}

static void
check_connections(FfsHealthSink *sink)
{
	static const char *const hint =
	"Pool connections, close idle ones, or raise the limit.";
	int64		used,
				available;
	FfsHealthStatus status;

	ffs_stats_query("SELECT count(*), "
		  "(current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8"
		  " - coalesce(current_setting('reserved_connections', true), '0')::int8) "
		  "FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend'");
	used = ffs_stats_int_of(0, 1);
	available = ffs_stats_int_of(0, 2);
	status = pressure(used, available);
	ffs_stats_report(sink, status,
					 status == FFS_HEALTHY ? "connections are to be had" : "connections are nearly used up",
					 psprintf("%lld of %lld connections that are not reserved are in use.",
							  (long long) used, (long long) available),
					 status == FFS_HEALTHY ? NULL : hint);
	SPI_finish();

	/* Databases and roles that come near to limits of their own. */
	ffs_stats_query(psprintf("SELECT 'Database', d.datname::text, count(*), d.datconnlimit::int8 "
		  "FROM pg_stat_get_activity(NULL) a JOIN pg_database d ON d.oid = a.datid "
		  "WHERE a.backend_type = 'client backend' AND d.datconnlimit > 0 "
		  "GROUP BY 2, 4 HAVING count(*) * 100 >= d.datconnlimit::int8 * %d "
		  "UNION ALL "
		  "SELECT 'Role', r.rolname::text, count(*), r.rolconnlimit::int8 "
		  "FROM pg_stat_get_activity(NULL) a JOIN pg_authid r ON r.oid = a.usesysid "
		  "WHERE a.backend_type = 'client backend' AND r.rolconnlimit > 0 AND NOT r.rolsuper "
		  "GROUP BY 2, 4 HAVING count(*) * 100 >= r.rolconnlimit::int8 * %d "
		  "ORDER BY 1, 2", connections_used, connections_used));
	for (uint64 i = 0; i < SPI_processed; i++)
		ffs_stats_report(sink, pressure(ffs_stats_int_of(i, 3), ffs_stats_int_of(i, 4)),
						 "connections are nearly used up",
						 psprintf("%s \"%s\" has %lld of the %lld connections that it may have.",
								  ffs_stats_text_of(i, 1), ffs_stats_text_of(i, 2),
								  (long long) ffs_stats_int_of(i, 3), (long long) ffs_stats_int_of(i, 4)),
						 hint);
	SPI_finish();
}

/* The time since then, as a person would say it. */
static char *
span(int64 seconds)
{
	if (seconds < 120)
		return psprintf("%lld seconds", (long long) seconds);
	if (seconds < 120 * 60)
		return psprintf("%lld minutes", (long long) seconds / 60);
	return psprintf("%lld hours", (long long) seconds / 3600);
}

static void
check_prepared_transactions(FfsHealthSink *sink)
{
	ffs_stats_query(psprintf("SELECT count(*), min(gid), extract(epoch FROM clock_timestamp() - min(prepared))::int8 "
							 "FROM pg_prepared_xact() WHERE prepared < clock_timestamp() - interval '%d seconds'",
							 prepared_age));
	if (ffs_stats_int_of(0, 1) == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "no prepared transaction is left open", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_DEGRADED, "prepared transactions are left open",
						 psprintf("%lld are older than %s, the oldest %s, among them \"%s\"; they keep locks and hold vacuum back.",
								  (long long) ffs_stats_int_of(0, 1), span(prepared_age),
								  span(ffs_stats_int_of(0, 3)), ffs_stats_text_of(0, 2)),
						 "End them with COMMIT PREPARED or ROLLBACK PREPARED; pg_prepared_xacts lists them.");
	SPI_finish();
}

static void
check_long_transactions(FfsHealthSink *sink)
{
	ffs_stats_query(psprintf("SELECT count(*), extract(epoch FROM clock_timestamp() - min(xact_start))::int8, "
							 "(array_agg(pid ORDER BY xact_start))[1]::int8, "
							 "(array_agg(coalesce(state, '') ORDER BY xact_start))[1] "
							 "FROM pg_stat_get_activity(NULL) "
							 "WHERE xact_start < clock_timestamp() - interval '%d seconds' "
							 "AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND pid <> pg_backend_pid() "
							 "AND backend_type IN ('client backend', 'background worker')", transaction_time));
	if (ffs_stats_int_of(0, 1) == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "no transaction is open for long", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_DEGRADED, "transactions are open for long",
						 psprintf("%lld are open for more than %s, the oldest, of process %lld (%s), for %s; they hold vacuum back and keep the newest past from being final.",
								  (long long) ffs_stats_int_of(0, 1), span(transaction_time),
								  (long long) ffs_stats_int_of(0, 3), ffs_stats_text_of(0, 4), span(ffs_stats_int_of(0, 2))),
						 "End them with pg_terminate_backend(), or set idle_in_transaction_session_timeout.");
	SPI_finish();
}

static void
check_transaction_ids(FfsHealthSink *sink)
{
	int64		age;
	FfsHealthStatus status;

	ffs_stats_query("SELECT greatest(age(datfrozenxid), mxid_age(datminmxid))::int8, datname::text "
					"FROM pg_database ORDER BY 1 DESC LIMIT 1");
	age = ffs_stats_int_of(0, 1);

	/*
	 * At 1.6 thousand million vacuum drops all restraint by default, and at
	 * 2.1 the server takes no more writes.
	 */
	status = age >= Min(transaction_age * 1.6, 2000000000.0) ? FFS_UNHEALTHY :
		age >= transaction_age ? FFS_DEGRADED : FFS_HEALTHY;
	ffs_stats_report(sink, status,
					 status == FFS_HEALTHY ? "transaction ids are frozen in time" : "transaction ids are running out",
					 psprintf("The oldest that is not frozen is %lld old, in database \"%s\".",
							  (long long) age, ffs_stats_text_of(0, 2)),
					 status == FFS_HEALTHY ? NULL :
					 "End long and prepared transactions, drop unused replication slots, and VACUUM the database.");
	SPI_finish();
}

/* On a primary: standbys that are behind, and slots that keep WAL; on a standby: how far it is behind. */
static void
check_replication(FfsHealthSink *sink)
{
	static const char *const hint =
	"See pg_stat_replication and the standby's log: network, disk, or a long query in the way of replay; drop slots that nobody uses.";
	bool		found = false;

	if (RecoveryInProgress())
	{
		int64		lag;

		ffs_stats_query("SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 "
						"ELSE extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))::int8 END");
		lag = ffs_stats_int_of(0, 1);
		ffs_stats_report(sink, lag >= (int64) replication_lag * 10 ? FFS_UNHEALTHY :
						 lag >= replication_lag ? FFS_DEGRADED : FFS_HEALTHY,
						 lag >= replication_lag ? "this standby is behind" : "this standby keeps up",
						 psprintf("What it has replayed last was committed %s ago.", span(lag)),
						 lag >= replication_lag ? hint : NULL);
		SPI_finish();
		return;
	}

	ffs_stats_query(psprintf("SELECT 'The standby \"' || coalesce(nullif(a.application_name, ''), w.pid::text) || '\"', "
							 "extract(epoch FROM w.replay_lag)::int8, "
							 "pg_wal_lsn_diff(pg_current_wal_lsn(), w.replay_lsn)::int8 "
							 "FROM pg_stat_get_wal_senders() w LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = w.pid "
							 "WHERE w.replay_lag >= interval '%d seconds' ORDER BY 2 DESC LIMIT 10", replication_lag));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		found = true;
		ffs_stats_report(sink, ffs_stats_int_of(i, 2) >= (int64) replication_lag * 10 ? FFS_UNHEALTHY : FFS_DEGRADED,
						 "a standby is behind",
						 psprintf("%s is %s and %lld bytes behind.", ffs_stats_text_of(i, 1),
								  span(ffs_stats_int_of(i, 2)), (long long) ffs_stats_int_of(i, 3)), hint);
	}
	SPI_finish();
	ffs_stats_query(psprintf("SELECT slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8 / 1048576, active::text "
							 "FROM pg_get_replication_slots() "
							 "WHERE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) >= %d * 1048576.0 ORDER BY 2 DESC LIMIT 10",
							 replication_slot_size));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		found = true;
		ffs_stats_report(sink, FFS_DEGRADED, "a replication slot keeps much WAL",
						 psprintf("Slot \"%s\" keeps %lld MB; active: %s.", ffs_stats_text_of(i, 1),
								  (long long) ffs_stats_int_of(i, 2), ffs_stats_text_of(i, 3)), hint);
	}
	SPI_finish();
	if (!found)
		ffs_stats_report(sink, FFS_HEALTHY, "no standby is behind", NULL, NULL);
}

typedef struct Rates
{
	uint64		calls;
	uint64		errors;
	uint64		worst_errors;
	Oid			worst;
	const char *operation;
} Rates;

static void
add_rates(const FfsOperationFigures *f, void *arg)
{
	Rates	   *rates = arg;

	rates->calls += f->window.calls;
	rates->errors += f->window.errors;
	if (f->window.errors > rates->worst_errors)
	{
		rates->worst_errors = f->window.errors;
		rates->worst = f->relid;
		rates->operation = ffs_stats_operation_name(f->op);
	}
}

static void
check_error_rate(FfsHealthSink *sink)
{
	Rates		rates = {0};
	double		percent;
	char	   *details;

	if (!ffs_stats_have_counters())
	{
		ffs_stats_report(sink, FFS_HEALTH_OFF, "errors are not counted",
						 "There is no shared memory to count in.", preload_hint);
		return;
	}
	ffs_stats_visit_operations(add_rates, &rates);
	percent = rates.errors == 0 ? 0.0 : 100.0 * rates.errors / (rates.calls + rates.errors);
	details = psprintf("In the last 5 minutes %llu of %llu operations failed (%.1f percent).",
					   (unsigned long long) rates.errors, (unsigned long long) (rates.calls + rates.errors), percent);
	if (percent < error_rate || rates.calls + rates.errors < RATE_NEEDS)
		ffs_stats_report(sink, FFS_HEALTHY, "few operations fail", details, NULL);
	else
		ffs_stats_report(sink, percent >= Min(error_rate * 5, 100.0) ? FFS_UNHEALTHY : FFS_DEGRADED,
						 "many operations fail",
						 psprintf("%s Most of them: %s on %s.", details, rates.operation,
								  ffs_base_relation_name(rates.worst)),
						 "See ffs_stat_errors for what they ended with, and the server log.");
}

typedef struct Violations
{
	uint64		n;
	TimestampTz latest;
} Violations;

static void
add_violations(Oid relid pg_attribute_unused(), uint64 violations, TimestampTz latest, void *arg)
{
	Violations *sum = arg;

	sum->n += violations;
	sum->latest = Max(sum->latest, latest);
}

static void
check_tenant_violations(FfsHealthSink *sink)
{
	Violations	sum = {0};

	if (!ffs_stats_have_counters())
	{
		ffs_stats_report(sink, FFS_HEALTH_OFF, "tenant violations are refused but not counted",
						 "There is no shared memory to count in.", preload_hint);
		return;
	}
	ffs_stats_visit_violations(add_violations, &sum);
	if (sum.n == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "no tenant violation was met", NULL, NULL);
	else if (sum.latest < GetCurrentTimestamp() - VIOLATION_MATTERS)
		ffs_stats_report(sink, FFS_HEALTHY, "no tenant violation was met in the last hour",
						 psprintf("%llu were refused since the figures began.",
								  (unsigned long long) sum.n), NULL);
	else
		ffs_stats_report(sink, FFS_DEGRADED, "tenant violations were met in the last hour",
						 psprintf("%llu were refused since the figures began.",
								  (unsigned long long) sum.n),
						 "Find the application that names another tenant's rows; ffs_stats counts violations per table, the server log has each.");
}

/* ---- opening ---- */

void
ffs_stats_define_threshold(const char *name, const char *what, const char *more, int *value, int boot, int min, int flags)
{
	DefineCustomIntVariable(name, what, more, value, boot, min, INT_MAX, PGC_USERSET, flags, NULL, NULL, NULL);
}

static void
define_settings(void)
{
	ffs_stats_define_threshold("ffstorage.health_timeout",
							   "How long one health check may take.",
							   "One that takes longer is stopped and reported as unhealthy; 0: no limit.",
							   &ffs_stats_health_timeout, 2000, 0, GUC_UNIT_MS);
	DefineCustomRealVariable("ffstorage.health_error_rate",
							 "Health is degraded when so many percent of operations fail.",
							 "In the last 5 minutes; unhealthy at five times that.",
							 &error_rate, 5.0, 0.0, 100.0, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.health_connections",
							"Health is degraded when so many percent of connections are in use.",
							"Of those that are not reserved, and of a database's or role's limit; unhealthy when three quarters of the rest are, too.",
							&connections_used, 80, 1, 100, PGC_USERSET, 0, NULL, NULL, NULL);
	ffs_stats_define_threshold("ffstorage.health_prepared_age",
							   "Health is degraded when a prepared transaction is older.", NULL,
							   &prepared_age, 3600, 0, GUC_UNIT_S);
	ffs_stats_define_threshold("ffstorage.health_transaction_time",
							   "Health is degraded when a transaction is open for longer.", NULL,
							   &transaction_time, 3600, 0, GUC_UNIT_S);
	ffs_stats_define_threshold("ffstorage.health_transaction_age",
							   "Health is degraded when a database's oldest transaction id is so old.",
							   "Unhealthy at 1.6 times that.",
							   &transaction_age, 1000000000, 0, 0);
	ffs_stats_define_threshold("ffstorage.health_replication_lag",
							   "Health is degraded when a standby is so far behind.",
							   "Unhealthy at ten times that.",
							   &replication_lag, 60, 0, GUC_UNIT_S);
	ffs_stats_define_threshold("ffstorage.health_replication_slot_size",
							   "Health is degraded when a replication slot keeps so much WAL.", NULL,
							   &replication_slot_size, 4096, 0, GUC_UNIT_MB);
}

void
ffs_stats_init_checks(void)
{
	define_settings();
	ffs_stats_register_check("preload", check_preload);
	ffs_stats_register_check("counters", check_counters);
	ffs_stats_register_check("version", check_version);
	ffs_stats_register_check("connections", check_connections);
	ffs_stats_register_check("error_rate", check_error_rate);
	ffs_stats_register_check("prepared_transactions", check_prepared_transactions);
	ffs_stats_register_check("long_transactions", check_long_transactions);
	ffs_stats_register_check("transaction_ids", check_transaction_ids);
	ffs_stats_register_check("replication", check_replication);
	ffs_stats_register_check("tenant_violations", check_tenant_violations);
	ffs_stats_init_table_checks();
}
