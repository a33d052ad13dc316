/*-------------------------------------------------------------------------
 *
 * restore.h
 *		Soft-deleted rows come back: one, many, and those that went with them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_RESTORE_H
#define FFS_BATCH_RESTORE_H

#include "postgres.h"

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "batch/feed.h"
#include "batch/one.h"

/* A row that is to be restored. */
typedef struct RestoreRow
{
	FeedRow		feed;			/* first; what became of it: PASSED_OVER, or INSERTED */
	KeyArgument key;
	FullTransactionId only;		/* if valid, only what that transaction deleted */

	/* what its row in <table>_deleted says */
	ItemPointerData tid;
	FullTransactionId xid;
	TimestampTz deleted_at;
	int32		deleted_version;
	int32		version;		/* that it takes */
} RestoreRow;

/* A table whose rows are restored. */
typedef struct Restore
{
	FfsTable   *table;			/* a root */
	Relation	rel;
	Relation	deleted;
	Relation	index;			/* of `deleted`, on (key, deleted_at) */
	TupleTableSlot *slot;
	Relation	history;		/* scd2 */
	Relation	history_index;
	TupleTableSlot *history_slot;
	RowReader  *reader;
	Feed		feed;
	uint64	   *columns;		/* those that deleted rows may have */
	char	   *query;			/* the INSERT */
	bool		running;		/* the INSERT is */
	RestoreRow *failed;			/* after an error: the row it is about, or NULL */
} Restore;

/* The relation given as argument n: its root. */
extern FfsTable *ffs_batch_restore_argument(FunctionCallInfo fcinfo, int n);
/* Error 55000 unless it keeps deleted rows. */
extern void ffs_batch_require_deleted(const FfsTable *table);

/* Between open and close, SPI is connected.  Error 42501 where the role may not INSERT and SELECT. */
extern Restore *ffs_batch_open_restore(FfsTable *table);
extern void ffs_batch_close_restore(Restore *restore);

/*
 * Restore those of the rows that there are, by one INSERT; and where a key says so, what went with it.  How many rows came back.
 */
extern uint64 ffs_batch_restore_rows(Restore *restore, RestoreRow **rows, int nrows);

/* restore_cascade.c: the rows that refer to these, by foreign keys that cascade, and were deleted with them. */
extern uint64 ffs_batch_restore_cascade(FfsTable *table, RestoreRow **rows, int nrows);

/* The attribute of <table>_deleted that comes from `source`. */
extern AttrNumber ffs_batch_deleted_attribute(const FfsTable *table, AttrNumber source);

#endif							/* FFS_BATCH_RESTORE_H */
