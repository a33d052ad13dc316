/*-------------------------------------------------------------------------
 *
 * bounds.h
 *		What bounds a call: how the files of the room that do it work together.
 *
 * calls.c		where a call begins and ends
 * timeout.c	how long it may take
 * admission.c	how many may run at once
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

/* Run `work` as a call that is bounded by settings, and by `timeout` milliseconds where that is not 0. */
extern Datum ffs_resilience_bounded_call(FunctionCallInfo fcinfo, PGFunction work, int timeout);

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

#endif							/* FFS_RESILIENCE_BOUNDS_H */
