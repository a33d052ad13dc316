/*-------------------------------------------------------------------------
 *
 * figures.h
 *		What the files that keep the figures tell each other.
 *
 * pending.c	counts of work that may yet be rolled back, in the backend
 * log.c		what has become certain, on its way, a log for each backend
 * counters.c	counts per table and operation, all time and by the half minute
 * tenants.c	counts per tenant
 * sqlstates.c	errors per table and SQLSTATE
 * failures.c	what the latest error was, and whose
 * slow.c		the latest slow operations
 * prepared.c	counts of prepared transactions, until they are decided
 * restart.c	all of it over a clean restart
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_FIGURES_H
#define FFS_FIGURES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "stats/histogram.h"
#include "stats/stats.h"

/* ---- settings ---- */

extern bool ffs_stats_track;
extern int	ffs_stats_max_tables;
extern int	ffs_stats_max_tenants;
extern int	ffs_stats_slow_operation;	/* ms; -1: off */
extern int	ffs_stats_max_slow_operations;
extern bool ffs_stats_metrics_tenants;

/* ---- periods ---- */

/* The window over the last 5 minutes is made of periods of half a minute. */
#define FFS_PERIOD_USECS	(30 * USECS_PER_SEC)
#define FFS_WINDOW_PERIODS	10

static inline uint32
ffs_stats_period(TimestampTz at)
{
	return (uint32) (at / FFS_PERIOD_USECS);
}

/* ---- what is added ---- */

/* A tenant, for as long as its place is not another's. */
typedef struct FfsTenantRef
{
	int32		number;			/* -1: none */
	uint32		generation;
} FfsTenantRef;

/*
 * Of a call inside of another one, only what it wrote counts for the tenant:
 * `outer` is what was not inside.
 */
typedef struct FfsOuter
{
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
} FfsOuter;

typedef struct FfsDelta
{
	Oid			relid;
	FfsOperation op;
	uint32		period;			/* when it became certain */
	FfsTenantRef tenant;
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
	uint64		min_ns;			/* PG_UINT64_MAX without calls */
	uint64		max_ns;
	FfsOuter	outer;
	int			nbuckets;		/* one for each call, where histogram is NULL */
	const uint16 *buckets;
	const uint32 *histogram;
} FfsDelta;

/* ---- counters.c ---- */

typedef struct FfsCounts
{
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
	uint64		min_ns;			/* of a call; PG_UINT64_MAX before the first */
	uint64		max_ns;
	uint64		histogram[FFS_HISTOGRAM_BUCKETS];
} FfsCounts;

extern void ffs_stats_init_counters(void);
/* Is there shared memory? */
extern bool ffs_stats_have_counters(void);
/* Add to a table's counts, and the tenant's. */
extern void ffs_stats_merge(Oid dboid, const FfsDelta *delta, uint32 now);
extern void ffs_stats_add_violation(Oid relid, TimestampTz now);
/* Has this table counts?  Cheap, and may say yes wrongly. */
extern bool ffs_stats_has_counts(Oid relid);
/* A table (InvalidOid: all of them) of a database is gone. */
extern void ffs_stats_forget(Oid dboid, Oid relid);
/* If there is no room, look for what is gone: within a transaction only. */
extern void ffs_stats_make_room(void);

/* Counts of one table and operation, over all time and over the window. */
typedef struct FfsOperationFigures
{
	Oid			relid;
	FfsOperation op;
	FfsCounts	all;
	FfsCounts	window;
} FfsOperationFigures;

/*
 * Calls `visit` for each table and operation of this database that has been
 * counted; what it is given is its own only until it returns.
 */
typedef void (*FfsOperationVisitor) (const FfsOperationFigures *figures, void *arg);
extern void ffs_stats_visit_operations(FfsOperationVisitor visit, void *arg);
typedef void (*FfsViolationVisitor) (Oid relid, uint64 violations, TimestampTz latest, void *arg);
extern void ffs_stats_visit_violations(FfsViolationVisitor visit, void *arg);
/* The duration, in nanoseconds, that the share `q` of calls did not exceed. */
extern double ffs_stats_percentile(const FfsCounts *counts, double q);

typedef struct FfsStatsUsage
{
	int			capacity;		/* tables that there is room for */
	int			used;
	uint64		no_room;		/* counts lost because all was used */
	uint64		prepared;		/* counts lost because they were prepared */
} FfsStatsUsage;

/* False where there is no shared memory. */
extern bool ffs_stats_usage(FfsStatsUsage *usage);
/* Counts that were lost with a prepared transaction. */
extern void ffs_stats_lose_prepared(uint64 calls);

/* ---- log.c ---- */

extern void ffs_stats_init_log(void);
/* One call, or some errors, of one operation: to this backend's log. */
extern void ffs_stats_log(const FfsDelta *delta);
/* Bring what all backends have logged into the counters: before they are read. */
extern void ffs_stats_drain(void);

/* ---- pending.c ---- */

extern void ffs_stats_init_pending(void);

/* ---- prepared.c ---- */

extern void ffs_stats_init_prepared(void);
/* The transaction is prepared: keep these counts until it is decided. */
extern void ffs_stats_begin_prepared(void);
extern void ffs_stats_add_prepared(const FfsDelta *delta);

/* ---- tenants.c ---- */

extern void ffs_stats_init_tenants(void);
/* The current tenant's number; none where there is none. */
extern FfsTenantRef ffs_stats_current_tenant(void);
extern void ffs_stats_merge_tenant(Oid dboid, const FfsDelta *delta);
extern void ffs_stats_forget_tenants(Oid dboid);
/* A tenant's name, and its number again. */
extern bool ffs_stats_tenant_name(FfsTenantRef ref, int *kind, char *name);
extern FfsTenantRef ffs_stats_tenant_ref(Oid dboid, int kind, const char *name);

typedef struct FfsTenantFigures
{
	Oid			dboid;
	int			kind;
	char		name[NAMEDATALEN];
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
	uint64		writes;
	TimestampTz last_at;
} FfsTenantFigures;

/* Of this database's tenants; palloc'd. */
extern FfsTenantFigures *ffs_stats_copy_tenants(int *n);
/* "tenant", "others", "several", "all" */
extern const char *ffs_stats_tenant_kind(int kind);

/* ---- sqlstates.c ---- */

extern void ffs_stats_init_sqlstates(void);
extern void ffs_stats_add_sqlstate(Oid relid, int sqlstate, uint64 n);
extern void ffs_stats_forget_sqlstates(Oid dboid, Oid relid);

typedef struct FfsSqlstateFigures
{
	Oid			dboid;
	Oid			relid;
	int			sqlstate;
	uint64		calls;
	TimestampTz last_at;
} FfsSqlstateFigures;

/* Of this database; palloc'd. */
extern FfsSqlstateFigures *ffs_stats_copy_sqlstates(int *n);

/* ---- conditions.c ---- */

/* The name of the condition; NULL where it has none. */
extern const char *ffs_stats_condition(int sqlstate);

/* ---- failures.c ---- */

extern void ffs_stats_init_failures(void);
/* The SQLSTATE of the latest error. */
extern int	ffs_stats_latest_sqlstate(void);

/* What the caller has said of itself; empty where it has not. */
typedef struct FfsCaller
{
	char		actor[NAMEDATALEN];
	char		traceparent[NAMEDATALEN];
} FfsCaller;

/* Now, or when the latest error came. */
extern const FfsCaller *ffs_stats_caller(bool failed);
/* Copies what fits into NAMEDATALEN bytes, whole characters only. */
extern void ffs_stats_copy_text(char *to, const char *from);

/* ---- slow.c ---- */

extern void ffs_stats_init_slow(void);
/* An operation took that long; failed, if there is a SQLSTATE. */
extern void ffs_stats_note_slow(Oid relid, FfsOperation op, uint64 ns, uint64 rows, int sqlstate, FfsTenantRef tenant);
extern void ffs_stats_forget_slow(Oid dboid);

static inline void
ffs_stats_note_duration(Oid relid, FfsOperation op, uint64 ns, uint64 rows, int sqlstate, FfsTenantRef tenant)
{
	if (unlikely(ffs_stats_slow_operation >= 0 && ns >= (uint64) ffs_stats_slow_operation * 1000000))
		ffs_stats_note_slow(relid, op, ns, rows, sqlstate, tenant);
}

typedef struct FfsSlowOperation
{
	uint64		number;			/* counted from 1; 0: none */
	TimestampTz at;				/* its end */
	Oid			dboid;
	Oid			relid;
	Oid			role;
	FfsOperation op;
	int			pid;
	int			sqlstate;		/* 0: did not fail */
	uint64		ns;
	uint64		rows;
	uint64		query_id;		/* 0: not computed */
	int			tenant_kind;	/* -1: none */
	char		tenant[NAMEDATALEN];
	FfsCaller	caller;
	char		application_name[NAMEDATALEN];
} FfsSlowOperation;

/* The latest of this database, newest first; palloc'd. */
extern FfsSlowOperation *ffs_stats_copy_slow(int *n);

/* ---- restart.c ---- */

/*
 * What is kept over a clean restart: records of one size.  get copies record i
 * (false: there is none at i), put brings one back.  Registered in the order
 * of loading.
 */
typedef struct FfsKept
{
	const char *name;			/* up to 15 characters */
	Size		record_size;
	int			(*count) (void);
	bool		(*get) (int i, void *record);
	void		(*put) (const void *record);
} FfsKept;

extern void ffs_stats_keep(const FfsKept *kept);
extern void ffs_stats_init_restart(void);

/* Since when, and why then, the figures of this database count; false without shared memory. */
extern bool ffs_stats_since(TimestampTz *since, const char **reason);
/* The database is gone. */
extern void ffs_stats_forget_beginning(Oid dboid);
/* They begin anew now. */
extern void ffs_stats_begin_anew(Oid dboid);

/* ---- the other files of the room ---- */

extern const char *ffs_stats_operation_name(FfsOperation op);
extern void ffs_stats_init_checks(void);
extern void ffs_stats_init_progress(void);

#endif							/* FFS_FIGURES_H */
