/*-------------------------------------------------------------------------
 *
 * timeout.c
 *		ffstorage.query_timeout: how long a call may take.
 *
 * One of the server's own timers interrupts the call as a cancel does, so that
 * it ends wherever a cancel would end it, and no exception handler of a
 * function inside takes it for an error of its own.  Where the error leaves the
 * call (calls.c), it becomes query_timeout.  A cancel by somebody, and
 * statement_timeout, stay what they are: ours is the cancel without a reason of
 * its own that comes after the timer has gone off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "base/base.h"
#include "resilience/bounds.h"

int			ffs_resilience_query_timeout = 0;

static TimeoutId timer = MAX_TIMEOUTS;	/* not registered in this process yet */
static int	bound = 0;			/* ms that the running call has; 0: no timer is on */
static volatile sig_atomic_t gone_off = false;

static void
go_off(void)
{
	gone_off = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

void
ffs_resilience_timeout_start(int ms)
{
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, go_off);
	gone_off = false;
	bound = ms;
	enable_timeout_after(timer, ms);
}

void
ffs_resilience_timeout_check(void)
{
	if (bound == 0 || !gone_off)
		return;
	CHECK_FOR_INTERRUPTS();
	/* a handler of query_canceled has kept it from us */
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling statement due to user request")));
}

bool
ffs_resilience_timeout_made(const ErrorData *error)
{
	return bound != 0 && gone_off && error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		error->message_id != NULL &&
		strcmp(error->message_id, "canceling statement due to user request") == 0;
}

void
ffs_resilience_timeout_describe(ErrorData *error, const char *detail)
{
	ffs_resilience_count(FFS_CALL_TIMED_OUT);
	error->sqlerrcode = FFS_ERRCODE_QUERY_TIMEOUT;
	error->message = psprintf("canceling call due to query timeout");
	error->detail = detail != NULL ? pstrdup(detail) :
		psprintf("The call ran longer than the %d ms that it may.", bound);
	error->hint = pstrdup("Do less in one call, or allow more time by ffstorage.query_timeout, or the argument timeout of ffs_run().");
}

void
ffs_resilience_timeout_stop(void)
{
	if (bound == 0)
		return;
	disable_timeout(timer, false);
	/* a cancel of ours that came too late for the call must not hit what follows */
	if (gone_off && QueryCancelPending)
		QueryCancelPending = false;
	gone_off = false;
	bound = 0;
}

static void
query_timeout_changed(int newval, void *extra pg_attribute_unused())
{
	ffs_resilience_query_timeout = newval;
	ffs_resilience_settings_changed();
}

void
ffs_resilience_timeout_init(void)
{
	DefineCustomIntVariable("ffstorage.query_timeout",
							"How long a call of an ffs_ function may take.",
							"0 means as long as it likes.",
							&ffs_resilience_query_timeout, 0, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS,
							NULL, query_timeout_changed, NULL);
}
