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

#include "utils/memutils.h"

#include "base/base.h"
#include "resilience/bounds.h"

static bool in_call = false;

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
}
