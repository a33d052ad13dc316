/*-------------------------------------------------------------------------
 *
 * run.c
 *		ffs_run: a statement in transactions of its own, tried again where
 *		that helps.
 *
 * Each attempt is one transaction: isolation level, tenant and actor set anew,
 * then the statement, then COMMIT.  An attempt that fails is rolled back whole,
 * so that the statement is done once or not at all.  The statement runs in a
 * subtransaction of it: that alone unwinds whatever the statement has left open
 * when it fails, so that the rest of the procedure can go on.
 *
 * What helps is trying again after errors that another transaction's timing
 * caused, and after those of a foreign server that is gone; but not when such a
 * server is lost in COMMIT, since it may have committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "resilience/bounds.h"
#include "resilience/breaker.h"
#include "resilience/clock.h"
#include "resilience/statement.h"

PG_FUNCTION_INFO_V1(ffs_run);

/* No wait between attempts is longer, but for a longer base_delay. */
#define MAX_DELAY_MS	(30 * 1000)

typedef struct Run
{
	FfsStatement statement;
	int			max_attempts;
	int			base_delay;		/* ms */
	char	   *breaker;		/* these may be NULL */
	char	   *isolation;
	char	   *tenant;
	char	   *actor;
	Jsonb	   *metadata;
	char	   *namespace;		/* of the extension's functions, quoted; where they are needed */
	int			attempt;
} Run;

/* ---- arguments ---- */

static void
refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name),
			 errdetail("ffs_run() needs it."),
			 errhint("Give a value, or leave the argument out for its default.")));
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* An interval in milliseconds, rounded up, INT_MAX at most. */
static int
interval_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	Interval   *interval = PG_GETARG_INTERVAL_P(n);
	double		ms = ceil(interval->time / 1000.0) +
		(interval->day + (double) interval->month * DAYS_PER_MONTH) * (USECS_PER_DAY / 1000);

	if (ms < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name),
				 errdetail("It is a length of time."),
				 errhint("Give an interval such as '100 ms'.")));
	return ms >= INT_MAX ? INT_MAX : (int) ms;
}

static char *
isolation_argument(FunctionCallInfo fcinfo, int n)
{
	static const char *const levels[] = {"serializable", "repeatable read", "read committed", "read uncommitted"};
	char	   *given = text_argument(fcinfo, n);

	if (given == NULL)
		return NULL;
	for (int i = 0; i < (int) lengthof(levels); i++)
		if (pg_strcasecmp(given, levels[i]) == 0)
			return pstrdup(levels[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("isolation cannot be \"%s\"", given),
			 errdetail("It is no isolation level of transactions."),
			 errhint("Give 'read committed', 'repeatable read' or 'serializable'.")));
	return NULL;
}

/* Everything is copied out of the arguments: it must outlive transactions. */
static void
read_arguments(FunctionCallInfo fcinfo, Run *run)
{
	if (PG_ARGISNULL(0))
		refuse_null("statement");
	if (PG_ARGISNULL(2))
		refuse_null("max_attempts");
	if (PG_ARGISNULL(3))
		refuse_null("base_delay");
	run->max_attempts = PG_GETARG_INT32(2);
	if (run->max_attempts < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts must be at least 1"),
				 errdetail("It says how many times the statement is tried."),
				 errhint("Three is a good number.")));
	run->base_delay = interval_argument(fcinfo, 3, "base_delay");
	run->breaker = text_argument(fcinfo, 5);
	if (run->breaker != NULL)
		ffs_resilience_breaker_check_name(run->breaker);
	run->isolation = isolation_argument(fcinfo, 6);
	run->tenant = text_argument(fcinfo, 7);
	run->actor = text_argument(fcinfo, 8);
	run->metadata = PG_ARGISNULL(9) ? NULL : PG_GETARG_JSONB_P_COPY(9);
	if (run->tenant != NULL || run->actor != NULL || run->metadata != NULL)
	{
		char	   *namespace = get_namespace_name(ffs_base_extension_namespace());

		if (namespace == NULL)
			elog(ERROR, "the schema of ffstorage is gone");
		run->namespace = pstrdup(quote_identifier(namespace));
	}
	ffs_resilience_statement_init(&run->statement, text_argument(fcinfo, 0),
								  PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P_COPY(1));
}

/* ---- where it may be called ---- */

static void
check_context(FunctionCallInfo fcinfo)
{
	bool		atomic = fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic;

	if (atomic || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("ffs_run cannot be called inside a transaction block"),
				 errdetail("It runs its statement in transactions of its own, of which there may be several."),
				 errhint("CALL it by itself, with autocommit on; from a procedure or DO block outside of a transaction, not from a function or an EXCEPTION block.")));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("ffs_run cannot be called in a transaction that has written"),
				 errdetail("It would commit what its caller has written, or roll it back."),
				 errhint("COMMIT before the call.")));
}

/* ---- one attempt ---- */

/* Set what the transaction is to know; before its first snapshot. */
static void
set_context(const Run *run)
{
	Oid			types[2] = {TEXTOID, JSONBOID};
	Datum		values[2];
	char		nulls[2] = {' ', ' '};
	int			rc = SPI_OK_SELECT;

	/* through SQL: who may call the functions is said there */
	if (run->tenant != NULL)
	{
		values[0] = CStringGetTextDatum(run->tenant);
		rc = SPI_execute_with_args(psprintf("SELECT %s.ffs_set_tenant($1)", run->namespace),
								   1, types, values, NULL, false, 1);
	}
	if ((run->actor != NULL || run->metadata != NULL) && rc == SPI_OK_SELECT)
	{
		if (run->actor != NULL)
			values[0] = CStringGetTextDatum(run->actor);
		else
			nulls[0] = 'n';
		if (run->metadata != NULL)
			values[1] = JsonbPGetDatum(run->metadata);
		else
			nulls[1] = 'n';
		/* metadata alone goes with the actor that there is without it */
		rc = SPI_execute_with_args(psprintf("SELECT %s.ffs_set_actor(coalesce($1, nullif(pg_catalog.current_setting('ffstorage.actor'), ''), session_user), $2)",
											run->namespace),
								   2, types, values, nulls, false, 1);
	}
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of setting the context", SPI_result_code_string(rc));
}

/*
 * Begin a transaction, set its context, and run the statement, all but
 * COMMIT.  The error, in the current memory context, if it fails; then the
 * transaction is still to be rolled back.
 */
static ErrorData *
do_statement(Run *run)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner;
	ErrorData  *volatile error = NULL;

	/* one that has no snapshot yet, and begins now */
	SPI_commit();
	if (run->isolation != NULL)
		(void) set_config_option("transaction_isolation", run->isolation, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		set_context(run);
		ffs_resilience_statement_execute(&run->statement);
		ffs_resilience_timeout_check();
		SPI_finish();
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();

	/* VACUUM and its like, or COMMIT in what the statement calls */
	if (error != NULL && error->hint == NULL &&
		(error->sqlerrcode == ERRCODE_ACTIVE_SQL_TRANSACTION ||
		 error->sqlerrcode == ERRCODE_INVALID_TRANSACTION_TERMINATION))
		error->hint = pstrdup("ffs_run runs its statement inside of a transaction; send this one by itself.");
	return error;
}

/* COMMIT; the error if it fails, and then it is rolled back already. */
static ErrorData *
commit_attempt(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		SPI_commit();
		/* it is done: no time is too short for it any more */
		ffs_resilience_timeout_stop();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return error;
}

/* ---- errors ---- */

/* Is a foreign server gone?  (Of our own server, 57P01 and its like end the session.) */
static bool
is_lost_server(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION:
		case ERRCODE_FDW_UNABLE_TO_CREATE_REPLY:
		case ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION:
		case ERRCODE_ADMIN_SHUTDOWN:
		case ERRCODE_CRASH_SHUTDOWN:
		case ERRCODE_CANNOT_CONNECT_NOW:
		case ERRCODE_IDLE_SESSION_TIMEOUT:
			return true;
		default:
			return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_CONNECTION_EXCEPTION;
	}
}

/* Another transaction was in the way. */
static bool
is_contention(int sqlstate)
{
	return sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Does the error speak against what the breaker guards?  Not if other
 * transactions, the statement, its data, the caller's rights or somebody's
 * cancel caused it.
 */
static bool
is_failure(int sqlstate)
{
	if (is_lost_server(sqlstate) || sqlstate == FFS_ERRCODE_QUERY_TIMEOUT)
		return true;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_FDW_ERROR:
		case ERRCODE_INTERNAL_ERROR:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
		default:
			return false;
	}
}

/* What the attempts came to so far, as a sentence or two. */
static char *
describe_last(const Run *run, const ErrorData *last)
{
	return psprintf("Attempt %d of %d failed: %s (SQLSTATE %s).%s%s",
					run->attempt, run->max_attempts, last->message, unpack_sql_state(last->sqlerrcode),
					last->detail != NULL ? " " : "", last->detail != NULL ? last->detail : "");
}

static void
raise_exhausted(const Run *run, const ErrorData *last)
{
	ffs_resilience_count(FFS_CALL_EXHAUSTED);
	ereport(ERROR,
			(errcode(FFS_ERRCODE_RETRIES_EXHAUSTED),
			 run->max_attempts == 1 ? errmsg("statement failed in its only attempt") :
			 errmsg("statement failed in each of %d attempts", run->max_attempts),
			 errdetail("%s", describe_last(run, last)),
			 last->context != NULL ? errcontext("%s", last->context) : 0,
			 errhint("Call it again later, or with more max_attempts, if the failure is one that passes.")));
}

/* ---- between attempts ---- */

/* Wait at random, up to a time that doubles from attempt to attempt. */
static void
back_off(const Run *run)
{
	double		longest = ldexp(run->base_delay, Min(run->attempt - 1, 60));
	int64		until;

	longest = Min(longest, Max(run->base_delay, MAX_DELAY_MS));
	until = ffs_resilience_monotonic() + (int64) (longest * 1000.0 * pg_prng_double(&pg_global_prng_state));
	for (;;)
	{
		int64		left = until - ffs_resilience_monotonic();

		CHECK_FOR_INTERRUPTS();
		if (left <= 0)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min(left / 1000 + 1, INT_MAX), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/* ---- the procedure ---- */

static void
ask_breaker(const Run *run, const ErrorData *last)
{
	if (run->breaker == NULL || ffs_resilience_breaker_allow(run->breaker))
		return;
	ffs_resilience_breaker_raise(run->breaker, last == NULL ? NULL :
								 psprintf("It opened while the statement was tried.  %s", describe_last(run, last)));
}

static void
tell_breaker(const Run *run, const ErrorData *error)
{
	if (run->breaker == NULL)
		return;
	if (error == NULL)
		ffs_resilience_breaker_report(run->breaker, true, 0);
	else if (is_failure(error->sqlerrcode))
		ffs_resilience_breaker_report(run->breaker, false, error->sqlerrcode);
	else
		ffs_resilience_breaker_give_up(run->breaker);
}

/* Try until it is done; errors end it. */
static void
try_statement(Run *run)
{
	ErrorData  *last = NULL;

	for (;;)
	{
		ErrorData  *error;
		bool		in_commit = false;

		ask_breaker(run, last);
		run->attempt++;
		ffs_resilience_count(FFS_CALL_ATTEMPT);
		error = do_statement(run);
		if (error == NULL)
		{
			error = commit_attempt();
			in_commit = true;
		}
		if (error != NULL && ffs_resilience_timeout_made(error))
			ffs_resilience_timeout_describe(error, last == NULL ?
											psprintf("Attempt %d of %d was under way.", run->attempt, run->max_attempts) :
											psprintf("Attempt %d of %d was under way; the one before it failed: %s (SQLSTATE %s).",
													 run->attempt, run->max_attempts, last->message,
													 unpack_sql_state(last->sqlerrcode)));
		tell_breaker(run, error);
		if (error == NULL)
			return;
		if (!is_contention(error->sqlerrcode) && (in_commit || !is_lost_server(error->sqlerrcode)))
			ReThrowError(error);
		if (run->attempt >= run->max_attempts)
			raise_exhausted(run, error);
		if (last != NULL)
			FreeErrorData(last);
		last = error;
		ereport(DEBUG1,
				(errmsg_internal("attempt %d of %d failed with SQLSTATE %s", run->attempt, run->max_attempts,
								 unpack_sql_state(error->sqlerrcode))));
		if (!in_commit)
			SPI_rollback();
		back_off(run);
	}
}

/* What came too late for the client's statement must not hit its next one. */
static void
forget_late_cancel(void)
{
	if (!QueryCancelPending)
		return;
	QueryCancelPending = false;
	(void) get_timeout_indicator(STATEMENT_TIMEOUT, true);
}

static Datum
run_call(PG_FUNCTION_ARGS)
{
	Run			run = {0};
	bool		in_procedure = SPI_inside_nonatomic_context();

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	read_arguments(fcinfo, &run);
	ffs_resilience_count(FFS_CALL_RUN);
	PG_TRY();
	{
		try_statement(&run);
	}
	PG_CATCH();
	{
		/* whatever happened: nobody else learns of a probe that is not over */
		if (run.breaker != NULL)
			ffs_resilience_breaker_give_up(run.breaker);
		PG_RE_THROW();
	}
	PG_END_TRY();
	SPI_finish();
	if (!in_procedure)
		forget_late_cancel();
	PG_RETURN_VOID();
}

/*
 * ffs_run(statement text, params jsonb, max_attempts integer, base_delay interval,
 *		timeout interval, breaker text, isolation text, tenant text, actor text,
 *		metadata jsonb)
 */
Datum
ffs_run(PG_FUNCTION_ARGS)
{
	check_context(fcinfo);
	return ffs_resilience_bounded_call(fcinfo, run_call,
									   PG_ARGISNULL(4) ? 0 : interval_argument(fcinfo, 4, "timeout"),
									   text_argument(fcinfo, 7));
}
