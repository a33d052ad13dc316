/*-------------------------------------------------------------------------
 *
 * calls.c
 *		Where a call begins and ends that is bounded by settings.
 *
 * While no setting bounds calls, base/call.h does not come here.  A call
 * inside of another belongs to that one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/atomics.h"
#include "utils/memutils.h"

#include "base/base.h"
#include "resilience/bounds.h"
#include "stats/stats.h"

static bool in_call = false;

/* ---- figures ---- */

static pg_atomic_uint64 *counts = NULL; /* in shared memory, by FfsCallEvent */

void
ffs_resilience_count(FfsCallEvent event)
{
	if (counts != NULL)
		pg_atomic_fetch_add_u64(&counts[event], 1);
}

static void
call_figures(FfsFigureSink *sink)
{
	if (counts != NULL)
		ffs_stats_figure(sink, FFS_COUNTER, "timeouts", "calls", "Calls that ended with query_timeout.",
						 (double) pg_atomic_read_u64(&counts[FFS_CALL_TIMED_OUT]), NULL, NULL);
}

static void
run_figures(FfsFigureSink *sink)
{
	if (counts == NULL)
		return;
	ffs_stats_figure(sink, FFS_COUNTER, "calls", "calls", "Calls of ffs_run.",
					 (double) pg_atomic_read_u64(&counts[FFS_CALL_RUN]), NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "attempts", "attempts", "Attempts of these calls.",
					 (double) pg_atomic_read_u64(&counts[FFS_CALL_ATTEMPT]), NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "exhausted", "calls", "Calls that ended with retries_exhausted.",
					 (double) pg_atomic_read_u64(&counts[FFS_CALL_EXHAUSTED]), NULL, NULL);
}

static Size
shmem_size(void)
{
	return sizeof(pg_atomic_uint64) * FFS_NCALL_EVENTS;
}

static void
shmem_setup(void *memory, bool found)
{
	counts = memory;
	for (int i = 0; !found && i < FFS_NCALL_EVENTS; i++)
		pg_atomic_init_u64(&counts[i], 0);
}

/* ---- calls ---- */

/* Of two bounds, either of which may be 0 for none. */
static int
least_bound(int a, int b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

Datum
ffs_resilience_bounded_call(FunctionCallInfo fcinfo, PGFunction work, int timeout, const char *tenant)
{
	MemoryContext context = CurrentMemoryContext;
	const int	bound = least_bound(timeout, ffs_resilience_query_timeout);
	Datum		result;

	if (in_call)
		return work(fcinfo);
	in_call = true;
	PG_TRY();
	{
		if (bound > 0)
			ffs_resilience_timeout_start(bound);
		ffs_resilience_enter(tenant);
		result = work(fcinfo);
		ffs_resilience_timeout_check();
	}
	PG_CATCH();
	{
		in_call = false;
		ffs_resilience_leave();
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			ErrorData  *error;

			MemoryContextSwitchTo(context);
			error = CopyErrorData();
			if (ffs_resilience_timeout_made(error))
			{
				FlushErrorState();
				ffs_resilience_timeout_describe(error, NULL);
				ffs_resilience_timeout_stop();
				ReThrowError(error);
			}
			FreeErrorData(error);
		}
		ffs_resilience_timeout_stop();
		PG_RE_THROW();
	}
	PG_END_TRY();
	in_call = false;
	ffs_resilience_leave();
	ffs_resilience_timeout_stop();
	return result;
}

static Datum
watch(FunctionCallInfo fcinfo, PGFunction work)
{
	return ffs_resilience_bounded_call(fcinfo, work, 0, NULL);
}

void
ffs_resilience_settings_changed(void)
{
	ffs_base_call_watcher = ffs_resilience_query_timeout > 0 || ffs_resilience_max_running > 0 ? watch : NULL;
}

void
ffs_resilience_calls_init(void)
{
	ffs_resilience_timeout_init();
	ffs_resilience_admission_init();
	ffs_stats_register_figures("calls", call_figures);
	ffs_stats_register_figures("run", run_figures);
	ffs_base_register_shmem("ffstorage calls", shmem_size, shmem_setup);
}
