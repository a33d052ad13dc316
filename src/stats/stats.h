/*-------------------------------------------------------------------------
 *
 * stats.h
 *		Counters in shared memory, health checks, and the views over both.
 *
 * Counts of writes are kept in the backend until the (sub)transaction that
 * made them commits, and are dropped with it.  Without preload everything
 * here does nothing, and the views say so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_STATS_H
#define FFS_STATS_H

#include "postgres.h"

#include "portability/instr_time.h"

typedef enum FfsOperation
{
	FFS_OP_INSERT,
	FFS_OP_UPDATE,
	FFS_OP_DELETE,
	FFS_OP_TRUNCATE,
	FFS_OP_RESTORE,
	FFS_OP_CREATE,
	FFS_OP_CREATE_MANY,
	FFS_OP_GET,
	FFS_OP_GET_MANY,
	FFS_OP_UPDATE_ONE,			/* ffs_update */
	FFS_OP_DELETE_ONE,			/* ffs_delete */
	FFS_OP_LIST,
	FFS_OP_COUNT,
	FFS_OP_UPDATE_MANY,
	FFS_OP_DELETE_MANY,
	FFS_OP_RESTORE_MANY,
	FFS_OP_CREATE_RECORDS,
	FFS_NOPERATIONS
} FfsOperation;

extern void ffs_stats_init(void);
/* True when there is shared memory to count in. */
extern bool ffs_stats_enabled(void);

/*
 * An operation begins, now, that ffs_stats_count will end: one call of each.
 * If the (sub)transaction aborts in between, that is counted as an error of
 * it, so that callers need no PG_TRY.
 */
extern void ffs_stats_begin(Oid relid, FfsOperation op, instr_time started);

/*
 * What has begun in this subtransaction, and was not ended by an error, was a
 * try that the caller makes up for: it is no error.  Called before the
 * subtransaction is rolled back.
 */
extern void ffs_stats_forgive(void);

/*
 * Count a call (or 0 calls: more of one that was counted) and `rows` of an
 * operation on a table (the root, for a partition) and the time it took;
 * becomes visible when the transaction commits, is forgotten when the
 * subtransaction or transaction aborts.
 */
extern void ffs_stats_count(Oid relid, FfsOperation op, uint64 calls, uint64 rows, uint64 nanoseconds);

/*
 * Calls that are so short that looking at the clock would make them longer.
 * ffs_stats_times_short says whether the next one is to be timed: the first
 * ones of a transaction are, then some by chance.  ffs_stats_count_short
 * counts one; of those that were not timed (0 nanoseconds) the times are
 * taken to be as that of the next one that was.
 */
extern bool ffs_stats_times_short(Oid relid, FfsOperation op);
extern void ffs_stats_count_short(Oid relid, FfsOperation op, uint64 rows, uint64 nanoseconds);

/* Count at once, whatever becomes of the transaction (it is about to fail). */
extern void ffs_stats_count_violation(Oid relid);

/*
 * Whose work is counted: rooms above say so, by functions that must neither
 * fail nor allocate.  The tenant's name (not used for SEVERAL and ALL), NULL
 * where there is none; the actor that was set, the trace context, NULL or
 * empty where there is none.
 */
typedef enum FfsTenantKind
{
	FFS_TENANT_KIND_ONE,
	FFS_TENANT_KIND_OTHERS,		/* those that there was no room for */
	FFS_TENANT_KIND_SEVERAL,
	FFS_TENANT_KIND_ALL
} FfsTenantKind;

typedef const char *(*FfsStatsTenant) (FfsTenantKind *kind);
typedef const char *(*FfsStatsText) (void);
extern void ffs_stats_register_tenant(FfsStatsTenant tenant);
extern void ffs_stats_register_caller(FfsStatsText actor, FfsStatsText traceparent);

/*
 * How far a long call has come, for ffs_progress.  False, and then there is
 * nothing to be updated or ended, without shared memory, and where a call runs
 * inside of one that is shown.  An error ends it by itself.
 */
extern bool ffs_stats_begin_progress(Oid relid, FfsOperation op, uint64 total);
extern void ffs_stats_progress(uint64 done, uint64 rejected, uint64 batch);
extern void ffs_stats_end_progress(void);

/*
 * Health: a room registers its checks; each runs inside ffs_health, in a
 * subtransaction with its errors caught, as the extension's owner with
 * search_path pg_catalog, pg_temp.  A check that uses SPI connects and
 * finishes itself.  It appends one or more results.
 */
typedef enum FfsHealthStatus
{
	FFS_HEALTHY, FFS_DEGRADED, FFS_UNHEALTHY, FFS_HEALTH_OFF
} FfsHealthStatus;

typedef struct FfsHealthSink FfsHealthSink;
typedef void (*FfsHealthCheck) (FfsHealthSink *sink);
extern void ffs_stats_register_check(const char *check_name, FfsHealthCheck check);
/* message, details and hint are copied; details and hint may be NULL. */
extern void ffs_stats_report(FfsHealthSink *sink, FfsHealthStatus status,
							 const char *message, const char *details, const char *hint);

/*
 * Figures: a room registers a function that gives what it counts, each time
 * it is asked, for ffs_stats and ffs_metrics.  `metric` is its name without
 * the component; `unit` "bytes", "seconds" or what is counted; `help` a
 * sentence; `label` and its value, or NULL.  In ffs_metrics its name is
 * ffstorage_<component>_<metric>, with _bytes, _seconds and _total as needed.
 */
typedef enum FfsFigureKind
{
	FFS_COUNTER,				/* only grows */
	FFS_GAUGE
} FfsFigureKind;

typedef struct FfsFigureSink FfsFigureSink;
typedef void (*FfsFigures) (FfsFigureSink *sink);
extern void ffs_stats_register_figures(const char *component, FfsFigures figures);
/* Called when DROP DATABASE commits, where shared memory has something of databases; must not fail. */
typedef void (*FfsDatabaseGone) (Oid dboid);
extern void ffs_stats_register_database_gone(FfsDatabaseGone gone);
extern void ffs_stats_figure(FfsFigureSink *sink, FfsFigureKind kind, const char *metric, const char *unit,
							 const char *help, double value, const char *label, const char *label_value);

#endif							/* FFS_STATS_H */
