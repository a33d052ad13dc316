/*-------------------------------------------------------------------------
 *
 * keyorder.h
 *		The order in which the rows of a call are written.
 *
 * Two calls that write the same keys must lock them in the same order, or they
 * wait for each other for ever.  So rows go in by their key, as the unique
 * index that conflicts are looked for on orders it, over the whole call and
 * not only within a batch.  Equal keys come side by side: the second of them
 * in the input is rejected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_KEYORDER_H
#define FFS_BATCH_KEYORDER_H

#include "postgres.h"

#include "batch/feed.h"

typedef struct KeyOrder
{
	int			ncolumns;
	AttrNumber *columns;		/* of the index, in its order */
	bool		nulls_equal;	/* NULLS NOT DISTINCT */
	struct SortSupportData *support;	/* one for each column */
	struct SortSupportData *quick;	/* for the first, on abbreviated keys if it has them */
	Oid		   *operators;		/* < of each column */
} KeyOrder;

/* The order of a unique index over plain columns, in the current memory context. */
extern KeyOrder *ffs_batch_open_order(Oid index);

/* Does the row give all columns of the key? */
extern bool ffs_batch_has_key(const KeyOrder *order, const FeedRow *row);

/* Sort rows: those that have a key by it, then the others; equal ones, and those, as they are numbered. */
extern void ffs_batch_sort_rows(KeyOrder *order, FeedRow **rows, int nrows);

/* Can there be only one row with the key of both?  Both have one. */
extern bool ffs_batch_same_key(KeyOrder *order, const FeedRow *a, const FeedRow *b);

/* ---- the keys of a whole call, in work_mem and temporary files ---- */

typedef struct KeySorter KeySorter;

extern KeySorter *ffs_batch_begin_sorter(KeyOrder *order, RowReader *reader);
/* The row's key and number; it may have none. */
extern void ffs_batch_put_key(KeySorter *sorter, const FeedRow *row);
extern void ffs_batch_sort_keys(KeySorter *sorter);
/*
 * The number of the next row, 0 after the last; *before is the number of the
 * first row in the input that has the same key, or 0.
 */
extern int	ffs_batch_next_key(KeySorter *sorter, int *before);
extern void ffs_batch_end_sorter(KeySorter *sorter);

#endif							/* FFS_BATCH_KEYORDER_H */
