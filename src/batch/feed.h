/*-------------------------------------------------------------------------
 *
 * feed.h
 *		Rows in memory as what a statement reads from, one at a time.
 *
 * An INSERT selects from, or an UPDATE, DELETE or SELECT joins to, a named relation that stands for the rows of a feed; a
 * planner hook puts a custom scan in its place.  So the executor takes rows
 * straight from the batch, and we know at every moment which row it is at:
 * which one failed, which one a RETURNING row belongs to, whether it was
 * inserted, updated or passed over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_FEED_H
#define FFS_BATCH_FEED_H

#include "postgres.h"

#include "nodes/nodes.h"
#include "tcop/dest.h"

#include "batch/rows.h"

/* The named relation. */
#define FEED_NAME "ffstorage_batch_feed"

typedef enum FeedOutcome
{
	FEED_PENDING,
	FEED_PASSED_OVER,			/* ON CONFLICT DO NOTHING, or a trigger's NULL */
	FEED_INSERTED,
	FEED_UPDATED				/* or whatever else the statement does */
} FeedOutcome;

typedef struct FeedRow
{
	int			number;			/* in the caller's input, from 1 */
	Datum	   *values;			/* by attribute */
	bool	   *nulls;
	uint64	   *given;			/* the columns that the input names */
	uint64	   *filled;			/* the columns that took their default */
	FeedOutcome outcome;
	bool		doubtful;		/* may fail in the table */
	Datum		key;			/* jsonb, 0 where it is not known */
	int			sqlstate;		/* not 0: rejected */
	char	   *message;
	ErrorData  *error;			/* abort: why, where others are looked at first */
} FeedRow;

typedef struct Feed
{
	RowReader  *reader;
	KeyWriter  *key_writer;
	TupleDesc	desc;			/* of the named relation: the table's */
	MemoryContext context;		/* where filled cells and keys go */

	FeedRow   **rows;
	int			from;			/* the rows of this run: [from, to) */
	int			to;
	int			position;		/* from - 1: not begun; to: all taken */
	const uint64 *columns;		/* those of the INSERT, of any row */
	bool		updating;		/* the row at `position` met a conflict */
	bool		returning;		/* the INSERT returns the key columns */
	CmdType		command;		/* what the statement is */
	DestReceiver *dest;			/* NULL, or where what a SELECT gives goes */
	/*
	 * NULL, or called when the statement takes a row, which may be filled in
	 * then (false: it is passed over), and with NULL after the last.
	 */
	bool		(*take) (struct Feed *feed, FeedRow *row);
	struct Feed *outer;			/* whose statement ours runs inside of */
} Feed;

extern void ffs_batch_feed_init(void);

/*
 * Run `query` over rows [from, to) as the current role: an INSERT from
 * FEED_NAME, or an UPDATE, DELETE or SELECT of one table joined to FEED_NAME by
 * the table's primary key, which takes the feed's rows one after another and
 * looks for each.  Needs SPI_connect, and nobody else's FEED_NAME in it.  Errors leave
 * feed->position where it was.
 */
extern void ffs_batch_feed_run(Feed *feed, const char *query);
/* Cells of feed->columns that this row leaves out take their default. */
extern void ffs_batch_feed_fill(Feed *feed, FeedRow *row);
/* After an error in ffs_batch_feed_run, or one before it that is nobody's. */
extern void ffs_batch_feed_abandon(Feed *feed);
/* Make FEED_NAME known to this SPI connection. */
extern void ffs_batch_feed_register(Feed *feed);

#endif							/* FFS_BATCH_FEED_H */
