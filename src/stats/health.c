/*-------------------------------------------------------------------------
 *
 * health.c
 *		Health checks: the register of them, their running, and those that
 *		are about the server and the figures themselves.
 *
 * Each check runs in a subtransaction of its own, with the rights of the
 * extension's owner and the search path pg_catalog, pg_temp, and connects to
 * SPI itself if it needs it.  One that fails is reported as unhealthy and the
 * others go on; only a cancel or the end of the session ends them all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"
#include "stats/stats.h"

#define MAX_CHECKS 64

/* A tenant violation degrades health for this long. */
#define VIOLATION_MATTERS	(USECS_PER_HOUR)

typedef struct Check
{
	const char *name;
	FfsHealthCheck run;
} Check;

typedef struct CheckResult
{
	const char *check_name;
	FfsHealthStatus status;
	char	   *message;
	char	   *details;
	char	   *hint;
	double		duration_ms;
} CheckResult;

struct FfsHealthSink
{
	const char *check_name;
	List	   *results;		/* of CheckResult, all checks' */
	MemoryContext context;		/* that they live in */
};

static Check checks[MAX_CHECKS];
static int	n_checks = 0;

static const char *const status_names[] = {
	[FFS_HEALTHY] = "healthy",
	[FFS_DEGRADED] = "degraded",
	[FFS_UNHEALTHY] = "unhealthy",
	[FFS_HEALTH_OFF] = "off",
};

static const char *const preload_hint =
"Add ffstorage to shared_preload_libraries and restart the server.";

/* ---- the register ---- */

void
ffs_stats_register_check(const char *check_name, FfsHealthCheck check)
{
	if (n_checks >= MAX_CHECKS)
		elog(ERROR, "too many health checks");
	checks[n_checks].name = check_name;
	checks[n_checks++].run = check;
}

void
ffs_stats_report(FfsHealthSink *sink, FfsHealthStatus status,
				 const char *message, const char *details, const char *hint)
{
	MemoryContext old = MemoryContextSwitchTo(sink->context);
	CheckResult	   *result = palloc0(sizeof(CheckResult));

	result->check_name = sink->check_name;
	result->status = status;
	result->message = pstrdup(message);
	result->details = details ? pstrdup(details) : NULL;
	result->hint = hint ? pstrdup(hint) : NULL;
	sink->results = lappend(sink->results, result);
	MemoryContextSwitchTo(old);
}

/* ---- running ---- */

/* Run one check; what it reports is appended to the sink. */
static void
run_check(const Check *check, Oid owner, FfsHealthSink *sink)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;

	sink->check_name = check->name;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		FfsRights	saved;

		ffs_base_begin_as(&saved, owner);
		check->run(sink);
		ffs_base_end_as(&saved);

		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = old_owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = old_owner;

		ffs_stats_report(sink, FFS_UNHEALTHY, "the check itself failed",
						 psprintf("%s (SQLSTATE %s).", error->message,
								  unpack_sql_state(error->sqlerrcode)),
						 error->hint ? error->hint :
						 "Mend what the details name, then look again.");
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* Run all checks; a list of CheckResult. */
static List *
run_checks(void)
{
	FfsHealthSink sink = {0};
	Oid			owner = ffs_base_owner();

	sink.context = CurrentMemoryContext;
	for (int i = 0; i < n_checks; i++)
	{
		int			before;
		instr_time	start,
					duration;

		CHECK_FOR_INTERRUPTS();
		before = list_length(sink.results);
		INSTR_TIME_SET_CURRENT(start);
		run_check(&checks[i], owner, &sink);
		INSTR_TIME_SET_CURRENT(duration);
		INSTR_TIME_SUBTRACT(duration, start);
		for (int r = before; r < list_length(sink.results); r++)
			((CheckResult *) list_nth(sink.results, r))->duration_ms = INSTR_TIME_GET_MILLISEC(duration);
	}
	return sink.results;
}

PG_FUNCTION_INFO_V1(health_results);

/*
 * ffstorage.health_results(): every check's results.
 */
Datum
health_results(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, run_checks())
	{
		CheckResult	   *result = lfirst(lc);
		Datum		values[6];
		bool		nulls[6] = {0};

		values[0] = CStringGetTextDatum(result->check_name);
		values[1] = CStringGetTextDatum(status_names[result->status]);
		values[2] = CStringGetTextDatum(result->message);
		if (result->details)
			values[3] = CStringGetTextDatum(result->details);
		else
			nulls[3] = true;
		if (result->hint)
			values[4] = CStringGetTextDatum(result->hint);
		else
			nulls[4] = true;
		values[5] = Float8GetDatum(result->duration_ms);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ffs_health_status);

/*
 * ffs_health_status(): the worst status of all checks; what is off is left
 * out of account.
 */
Datum
ffs_health_status(PG_FUNCTION_ARGS)
{
	FfsHealthStatus worst = FFS_HEALTHY;
	ListCell   *lc;

	foreach(lc, run_checks())
	{
		CheckResult	   *result = lfirst(lc);

		if (result->status != FFS_HEALTH_OFF && result->status > worst)
			worst = result->status;
	}
	PG_RETURN_TEXT_P(cstring_to_text(status_names[worst]));
}

/* ---- the checks ---- */

/* Run a query that gives at least one row, and stay connected. */
static void
query(const char *sql)
{
	int			rc;

	SPI_connect();
	rc = SPI_execute(sql, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), sql);
}

static int64
int_of(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static char *
text_of(uint64 row, int column)
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

	query("SELECT extversion FROM pg_extension WHERE extname = 'ffstorage'");
	version = SPI_processed > 0 ? text_of(0, 1) : pstrdup("none");
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
	if (used * 100 >= available * 95)
		return FFS_UNHEALTHY;
	if (used * 100 >= available * 80)
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

	query("SELECT count(*), "
		  "(current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8"
		  " - coalesce(current_setting('reserved_connections', true), '0')::int8) "
		  "FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend'");
	used = int_of(0, 1);
	available = int_of(0, 2);
	status = pressure(used, available);
	ffs_stats_report(sink, status,
					 status == FFS_HEALTHY ? "connections are to be had" : "connections are nearly used up",
					 psprintf("%lld of %lld connections that are not reserved are in use.",
							  (long long) used, (long long) available),
					 status == FFS_HEALTHY ? NULL : hint);
	SPI_finish();

	/* Databases and roles that come near to limits of their own. */
	query("SELECT 'Database', d.datname::text, count(*), d.datconnlimit::int8 "
		  "FROM pg_stat_get_activity(NULL) a JOIN pg_database d ON d.oid = a.datid "
		  "WHERE a.backend_type = 'client backend' AND d.datconnlimit > 0 "
		  "GROUP BY 2, 4 HAVING count(*) * 100 >= d.datconnlimit::int8 * 80 "
		  "UNION ALL "
		  "SELECT 'Role', r.rolname::text, count(*), r.rolconnlimit::int8 "
		  "FROM pg_stat_get_activity(NULL) a JOIN pg_authid r ON r.oid = a.usesysid "
		  "WHERE a.backend_type = 'client backend' AND r.rolconnlimit > 0 AND NOT r.rolsuper "
		  "GROUP BY 2, 4 HAVING count(*) * 100 >= r.rolconnlimit::int8 * 80 "
		  "ORDER BY 1, 2");
	for (uint64 i = 0; i < SPI_processed; i++)
		ffs_stats_report(sink, pressure(int_of(i, 3), int_of(i, 4)),
						 "connections are nearly used up",
						 psprintf("%s \"%s\" has %lld of the %lld connections that it may have.",
								  text_of(i, 1), text_of(i, 2),
								  (long long) int_of(i, 3), (long long) int_of(i, 4)),
						 hint);
	SPI_finish();
}

static void
check_prepared_transactions(FfsHealthSink *sink)
{
	query("SELECT count(*), min(gid), to_char(min(prepared) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') "
		  "FROM pg_prepared_xact() WHERE prepared < now() - interval '1 hour'");
	if (int_of(0, 1) == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "no prepared transaction is left open", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_DEGRADED, "prepared transactions are left open",
						 psprintf("%lld are older than an hour, the oldest from %s UTC, among them \"%s\"; they keep locks and hold vacuum back.",
								  (long long) int_of(0, 1), text_of(0, 3), text_of(0, 2)),
						 "End them with COMMIT PREPARED or ROLLBACK PREPARED; pg_prepared_xacts lists them.");
	SPI_finish();
}

static void
check_long_transactions(FfsHealthSink *sink)
{
	query("SELECT count(*), min(xact_start), "
		  "(extract(epoch FROM now() - min(xact_start)) / 60)::int8, "
		  "(array_agg(pid ORDER BY xact_start))[1]::int8 "
		  "FROM pg_stat_get_activity(NULL) "
		  "WHERE xact_start < now() - interval '1 hour' AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) "
		  "AND backend_type IN ('client backend', 'background worker')");
	if (int_of(0, 1) == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "no transaction is open for long", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_DEGRADED, "transactions are open for long",
						 psprintf("%lld run for more than an hour, the oldest, of process %lld, for %lld minutes; they hold vacuum back and keep the newest past from being final.",
								  (long long) int_of(0, 1), (long long) int_of(0, 4), (long long) int_of(0, 3)),
						 "End them, or set idle_in_transaction_session_timeout.");
	SPI_finish();
}

static void
check_transaction_ids(FfsHealthSink *sink)
{
	int64		age;
	FfsHealthStatus status;

	query("SELECT greatest(age(datfrozenxid), mxid_age(datminmxid))::int8, datname::text "
		  "FROM pg_database ORDER BY 1 DESC LIMIT 1");
	age = int_of(0, 1);

	/*
	 * At 1.6 thousand million vacuum drops all restraint by default, and at
	 * 2.1 the server takes no more writes.
	 */
	status = age >= INT64CONST(1600000000) ? FFS_UNHEALTHY :
		age >= INT64CONST(1000000000) ? FFS_DEGRADED : FFS_HEALTHY;
	ffs_stats_report(sink, status,
					 status == FFS_HEALTHY ? "transaction ids are frozen in time" : "transaction ids are running out",
					 psprintf("The oldest that is not frozen is %lld old, in database \"%s\".",
							  (long long) age, text_of(0, 2)),
					 status == FFS_HEALTHY ? NULL :
					 "End long and prepared transactions, drop unused replication slots, and VACUUM the database.");
	SPI_finish();
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

void
ffs_stats_init_checks(void)
{
	ffs_stats_register_check("preload", check_preload);
	ffs_stats_register_check("counters", check_counters);
	ffs_stats_register_check("version", check_version);
	ffs_stats_register_check("connections", check_connections);
	ffs_stats_register_check("prepared_transactions", check_prepared_transactions);
	ffs_stats_register_check("long_transactions", check_long_transactions);
	ffs_stats_register_check("transaction_ids", check_transaction_ids);
	ffs_stats_register_check("tenant_violations", check_tenant_violations);
}
