/*-------------------------------------------------------------------------
 *
 * breaker.h
 *		Circuit breakers: what other files of the room ask of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_RESILIENCE_BREAKER_H
#define FFS_RESILIENCE_BREAKER_H

#include "postgres.h"

#include "base/compat.h"

extern void ffs_resilience_breaker_init(void);

/* Error 22023, 22004 unless the name can be a breaker's. */
extern void ffs_resilience_breaker_check_name(const char *name);

/*
 * May a call go?  Where it is the one that tries a half-open breaker, it stays
 * that until it is reported, given up, or the backend ends: the end of the
 * transaction does not matter, so the caller must do one of these on errors
 * too.  True without shared memory.
 */
extern bool ffs_resilience_breaker_allow(const char *name);
/* How it went; sqlstate of a failure, 0 where there is none. */
extern void ffs_resilience_breaker_report(const char *name, bool ok, int sqlstate);
/* Nothing was learned from the call: another one may try. */
extern void ffs_resilience_breaker_give_up(const char *name);

/* Error breaker_open; what it was found open after, as a sentence, or NULL. */
extern void ffs_resilience_breaker_raise(const char *name, const char *after) pg_attribute_noreturn();

#endif							/* FFS_RESILIENCE_BREAKER_H */
