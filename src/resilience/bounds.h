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

/* What a tenant runs while it is within its limit. */
typedef struct FfsUse
{
	int64		marked;			/* the span of time that it was last counted among the users of */
	uint32		running;		/* calls */
} FfsUse;

/* ffstorage.pace_tenants */
extern bool ffs_resilience_pace_tenants;

/* No pause is longer, in microseconds. */
#define LONGEST_PAUSE	1000000

extern void ffs_resilience_pace_init(void);
/* A call of a tenant within its limit begins; has ended and `took` so much of the processors' time. */
extern void ffs_resilience_call_runs(FfsUse *use, int64 now);
extern void ffs_resilience_call_ended(FfsUse *use, int64 took, int64 now);
/* The processors' time that this process has taken, in microseconds. */
extern int64 ffs_resilience_processor_time(void);
/* See whether processors are short, if that was not done just now; may read a file. */
extern void ffs_resilience_look_at_processors(int64 now);
/*
 * How many processors each tenant within its limit takes, on average over the
 * last moments; 0 where there is none, or processors are not short.
 */
extern double ffs_resilience_use_by_another(int64 now);
/*
 * A call of a tenant over its limit has ended after `duration`: how long, in
 * microseconds, must the next one wait?
 */
extern int64 ffs_resilience_pause(double by_another, int64 duration, int64 took);

#endif							/* FFS_RESILIENCE_BOUNDS_H */
