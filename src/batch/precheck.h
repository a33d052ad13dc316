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
 * change them, or a CHECK or a default may look at the rows before.  Of rows
 * that go to partitions, unique keys are not judged.
 */
extern bool ffs_batch_can_precheck(Relation rel, const FfsTable *table);

/* Has the table, or a partition, a trigger other than ours for such events (TRIGGER_TYPE_)? */
extern bool ffs_batch_has_others(Relation root, int events);

/*
 * A conflict on `arbiter`, a unique index, is none.  Rows of the call may
 * change the columns `changing` (NULL: none) of rows that are there, or
 * whatever they like (`swayed`): what stands in the way of a row may be gone
 * when its turn comes.
 */
extern Precheck *ffs_batch_open_precheck(RowReader *reader, Oid arbiter, const uint64 *changing, bool swayed);

/*
 * Error for what the row surely fails for: generated columns, NOT NULL, CHECK,
 * the tenant, a unique key.  True where it may fail for a unique key, a foreign
 * key or an exclusion constraint, which writing it alone, in its turn, will
 * tell.  Keys are looked at where `what` says so (FFS_CHECK_ of engine.h).
 * Takes defaults into the row, for good.
 */
extern bool ffs_batch_precheck(Precheck *check, int what, Feed *feed, FeedRow *row);

extern void ffs_batch_close_precheck(Precheck *check);

#endif							/* FFS_BATCH_PRECHECK_H */
