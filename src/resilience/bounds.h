/*-------------------------------------------------------------------------
 *
 * bounds.h
 *		What bounds a call: how the files of the room that do it work together.
 *
 * calls.c		where a call begins and ends
 * timeout.c	how long it may take
 * admission.c	how many may run at once
 * pace.c		and how soon after each other
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_RESILIENCE_BOUNDS_H
#define FFS_RESILIENCE_BOUNDS_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/elog.h"

/* ---- calls.c ---- */

extern void ffs_resilience_calls_init(void);

/*
 * Run `work` as a call that is bounded by settings, and by `timeout`
 * milliseconds where that is not 0; `tenant` NULL where it is the
 * transaction's.
 */
extern Datum ffs_resilience_bounded_call(FunctionCallInfo fcinfo, PGFunction work,
										 int timeout, const char *tenant);

/* What is counted, in all databases, since the server started. */
typedef enum FfsCallEvent
{
	FFS_CALL_TIMED_OUT,			/* query_timeout */
	FFS_CALL_RUN,				/* calls of ffs_run, ... */
	FFS_CALL_ATTEMPT,			/* their attempts, ... */
	FFS_CALL_EXHAUSTED,			/* retries_exhausted */
	FFS_NCALL_EVENTS
} FfsCallEvent;

extern void ffs_resilience_count(FfsCallEvent event);

/* A setting that bounds calls has changed. */
extern void ffs_resilience_settings_changed(void);

/* ---- timeout.c ---- */

/* ffstorage.query_timeout in milliseconds, 0: none */
extern int	ffs_resilience_query_timeout;

extern void ffs_resilience_timeout_init(void);
/* From start to stop, a cancel comes when the time is over. */
extern void ffs_resilience_timeout_start(int ms);
/* The same cancel, if it has not come yet although the time is over. */
extern void ffs_resilience_timeout_check(void);
/* Is this error the cancel? */
extern bool ffs_resilience_timeout_made(const ErrorData *error);
/* Turn it into query_timeout; the detail as a sentence, or NULL. */
extern void ffs_resilience_timeout_describe(ErrorData *error, const char *detail);
extern void ffs_resilience_timeout_stop(void);

/* ---- admission.c ---- */

/* ffstorage.max_running_per_tenant, 0: no limit */
extern int	ffs_resilience_max_running;

extern void ffs_resilience_admission_init(void);
/* Wait until the call may run; error too_many_running. */
extern void ffs_resilience_enter(const char *tenant);
/* It has ended or failed, or its wait has; nothing if there was none. */
extern void ffs_resilience_leave(void);

/* ---- pace.c: with shared memory only ---- */

/* The time that calls took, in microseconds, in the present span of time and in the one before. */
typedef struct FfsUse
{
	int64		span;
	uint64		now;
	uint64		before;
} FfsUse;

/* ffstorage.pace_tenants */
extern bool ffs_resilience_pace_tenants;

/* No pause is longer, in microseconds. */
#define LONGEST_PAUSE	1000000

extern void ffs_resilience_pace_init(void);
/* A call runs, the first of its queue now; it has ended, the last one. */
extern void ffs_resilience_call_runs(bool first);
extern void ffs_resilience_call_ended(bool last);
/* See whether processors are short, if that was not done just now; may read a file. */
extern void ffs_resilience_look_at_processors(int64 now);
/*
 * A call of the queue whose use this is has ended after `duration`, while `own`
 * ran with it: how long, in microseconds, must the next one wait?  Mostly 0.
 */
extern int64 ffs_resilience_pause(FfsUse *use, uint32 own, bool over_limit, int64 duration, int64 now);

#endif							/* FFS_RESILIENCE_BOUNDS_H */
