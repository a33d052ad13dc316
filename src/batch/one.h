/*-------------------------------------------------------------------------
 *
 * one.h
 *		What the functions on one row tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_ONE_H
#define FFS_BATCH_ONE_H

#include "postgres.h"

#include "fmgr.h"
#include "portability/instr_time.h"

#include "batch/feed.h"
#include "registry/registry.h"
#include "stats/stats.h"

/* A key with what may stand beside it in the jsonb form. */
typedef struct KeyArgument
{
	Datum		values[INDEX_MAX_KEYS];
	bool		has_version;
	int32		version;		/* expected_version */
	bool		cascade;
} KeyArgument;

/* ---- keys.c ---- */

/* The key that the arguments from `n` on give, in any form. */
extern void ffs_batch_key_argument(const FfsTable *table, FunctionCallInfo fcinfo, int n,
								   bool with_cascade, KeyArgument *key);
/* The key that a jsonb gives. */
extern void ffs_batch_read_key(const FfsTable *table, Jsonb *object, bool with_cascade, KeyArgument *key);
/* Its members that are no key columns; null is as if they were not there. */
extern void ffs_batch_read_version(const FfsTable *table, JsonbValue *value, KeyArgument *key);
extern void ffs_batch_read_cascade(JsonbValue *value, KeyArgument *key);
/* The key among the values of a patch, all of it. */
extern void ffs_batch_patch_key(RowReader *reader, const Datum *values, const bool *nulls,
								const uint64 *given, Datum *key);
/* The key and expected version as a feed's row has them, the version in its own column, and back. */
extern void ffs_batch_key_to_row(FeedRow *row, const FfsTable *table, const KeyArgument *key);
extern void ffs_batch_key_from_row(const FeedRow *row, const FfsTable *table, KeyArgument *key);
/* Error key_missing where the table has no primary key. */
extern void ffs_batch_require_key(const FfsTable *table);

/*
 * A statement found no row to change: say why.  Returns only if the row is not
 * there, or was kept from us, and `must_be_there` is false.
 */
extern void ffs_batch_explain_absence(const FfsTable *table, KeyArgument *key, bool must_be_there);

/* Error 22023 if an expected version was given for a table that counts none. */
extern void ffs_batch_check_versioned(const FfsTable *table);
extern void ffs_batch_version_conflict(const FfsTable *table, const Datum *key,
									   int32 expected, int32 found) pg_attribute_noreturn();

/* The name of the column of a side table that comes from this one of the table, or NULL. */
extern const char *ffs_batch_side_column(TupleDesc desc, const AttrNumber *map, AttrNumber source);

/* ---- one.c ---- */

/*
 * The row with this key, by a query, as the calling statement's snapshot sees
 * it: a composite datum allocated in `context`; false if there is none.
 */
extern bool ffs_batch_ask_table(FfsTable *table, Datum *key, MemoryContext context, Datum *result);

/* Counting a call: one that begins and does not come to its count is an error. */
static inline void
ffs_batch_begin(Oid relid, FfsOperation op, instr_time *start)
{
	INSTR_TIME_SET_CURRENT(*start);
	ffs_stats_begin(relid, op, *start);
}

static inline void
ffs_batch_count(Oid relid, FfsOperation op, uint64 rows, instr_time start)
{
	instr_time	end;

	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	ffs_stats_count(relid, op, 1, rows, (uint64) (INSTR_TIME_GET_DOUBLE(end) * 1e9));
}

#endif							/* FFS_BATCH_ONE_H */
