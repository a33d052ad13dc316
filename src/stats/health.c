/*-------------------------------------------------------------------------
 *
 * health.c
 *		Health checks: the register of them, and their running.
 *
 * Each check runs in a subtransaction of its own, with the rights of the
 * extension's owner and the search path pg_catalog, pg_temp, and connects to
 * SPI itself if it needs it.  One that fails, or takes longer than
 * ffstorage.health_timeout, is reported as unhealthy and the others go on;
 * only a cancel or the end of the session ends them all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "base/base.h"
#include "stats/checks.h"
#include "stats/stats.h"

#define MAX_CHECKS 64

/* Setting: ffstorage.health_timeout, in milliseconds */
int			ffs_stats_health_timeout = 2000;

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

/*
 * A check that takes longer than its time is cancelled as a statement is.
 * Whether it was its own time or somebody's cancel is told by this.
 */
static volatile sig_atomic_t out_of_time = false;

static void
time_is_over(void)
{
	out_of_time = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static TimeoutId
time_limit(void)
{
	static TimeoutId id = MAX_TIMEOUTS;

	if (id == MAX_TIMEOUTS)
		id = RegisterTimeout(USER_TIMEOUT, time_is_over);
	return id;
}

static void
begin_time(void)
{
	out_of_time = false;
	if (ffs_stats_health_timeout > 0)
		enable_timeout_after(time_limit(), ffs_stats_health_timeout);
}

/* Was it out of time?  Then the cancel was ours, and has been used up. */
static bool
end_time(void)
{
	if (ffs_stats_health_timeout > 0)
		disable_timeout(time_limit(), false);
	if (!out_of_time)
		return false;
	out_of_time = false;
	QueryCancelPending = false;
	return true;
}

/* Run one check; what it reports is appended to the sink. */
static void
run_check(const Check *check, Oid owner, FfsHealthSink *sink)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	volatile bool waiting = true;

	sink->check_name = check->name;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		FfsRights	saved;

		ffs_base_begin_as(&saved, owner);
		begin_time();
		check->run(sink);
		(void) end_time();
		waiting = false;
		ffs_base_end_as(&saved);

		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = old_owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;
		bool		late = waiting && end_time();

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
			!(late && error->sqlerrcode == ERRCODE_QUERY_CANCELED))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = old_owner;

		if (late)
			ffs_stats_report(sink, FFS_UNHEALTHY, "the check took too long",
							 psprintf("It was stopped after %d ms.", ffs_stats_health_timeout),
							 "See pg_stat_activity and pg_locks for what holds it up, or raise ffstorage.health_timeout.");
		else
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
