/*-------------------------------------------------------------------------
 *
 * precheck.h
 *		What a new row would fail for, found without writing it.
 *
 * Once rows of a call have failed in the table, the rows after them are looked
 * at before they are written, so that the good ones need not be written again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_PRECHECK_H
#define FFS_BATCH_PRECHECK_H

#include "postgres.h"

#include "batch/feed.h"

typedef struct Precheck Precheck;

/*
 * False where rows cannot be judged before they are written: triggers may
 * change them.  Of rows that go to partitions, unique keys are not judged.
 */
extern bool ffs_batch_can_precheck(Relation rel, const FfsTable *table);

/* A conflict on `arbiter`, a unique index, is none; with `updates` the row that is there is changed then. */
extern Precheck *ffs_batch_open_precheck(RowReader *reader, Oid arbiter, bool updates);

/*
 * Error for what the row surely fails for: generated columns, NOT NULL, CHECK,
 * the tenant, a unique key.  True where it may fail for a foreign key, an
 * exclusion constraint, or a unique key that a row before it may give up:
 * writing it alone will tell.  Keys are looked at
 * where `what` says so (FFS_CHECK_ of engine.h).  Takes defaults into the row, for good.
 */
extern bool ffs_batch_precheck(Precheck *check, int what, Feed *feed, FeedRow *row);

extern void ffs_batch_close_precheck(Precheck *check);

#endif							/* FFS_BATCH_PRECHECK_H */
