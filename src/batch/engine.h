/*-------------------------------------------------------------------------
 *
 * engine.h
 *		A call that writes many rows: in batches, in the order of their keys,
 *		with a line of result for each.
 *
 * The engine reads the rows of the input (BatchMethods.read), sorts them by
 * key over the whole call, has a batch at a time written
 * (BatchMethods.write), finds the rows that fail, and reports all in the
 * input's order.  What it holds in memory depends on batch_size and work_mem,
 * not on the input.
 *
 * A function of that kind fills in a BatchCall:
 *
 *		InitMaterializedSRF(fcinfo, 0);
 *		call->table = ...; call->op = ...; call->methods = &...;
 *		call->report = ffs_batch_on_error_argument(fcinfo, 3);
 *		call->batch_size = ffs_batch_size_argument(fcinfo, 4);
 *		ffs_batch_open_call(call);			-- rel, reader, feed
 *		ffs_batch_order_by_key(call, ...);
 *		call->total = ...; call->feed.command = ...;
 *		written = ffs_batch_run_call(call, fcinfo);
 *		ffs_batch_close_call(call);
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_ENGINE_H
#define FFS_BATCH_ENGINE_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "batch/feed.h"
#include "batch/keyorder.h"
#include "stats/stats.h"

typedef struct BatchCall BatchCall;

#define FFS_CHECK_ROW			0x01
#define FFS_CHECK_UNIQUE		0x02
#define FFS_CHECK_REFERENCES	0x04

typedef struct BatchMethods
{
	/*
	 * Read row row->number (1 to call->total) of the input into row->values,
	 * nulls and given, which are empty; in the current memory context, a
	 * batch's.  An error is that row's.
	 */
	void		(*read) (BatchCall *call, FeedRow *row);
	/* The same, but only the columns of `order` are needed. */
	void		(*read_key) (BatchCall *call, const KeyOrder *order, FeedRow *row);
	/*
	 * Write rows [from, to) of call->feed.rows, mostly by
	 * ffs_batch_feed_run().  An error belongs to the row at feed.position
	 * where that is one of them, or to any of them where it is not.  Rows
	 * that are found wanting where the others stand go to ffs_batch_reject().
	 */
	void		(*write) (BatchCall *call, int from, int to);
	/*
	 * Called once rows have failed in `write`: what does this row fail for?
	 * Raises that, or sets row->doubtful; doubtful rows are written alone.
	 * All NULL, or can_check false, if there is no telling.
	 */
	bool		(*can_check) (BatchCall *call);
	void		(*begin_check) (BatchCall *call);
	void		(*check) (BatchCall *call, FeedRow *row);
} BatchMethods;

struct BatchCall
{
	const BatchMethods *methods;
	FfsTable   *table;
	FfsOperation op;
	const char *actions[4];		/* what is reported, by FeedOutcome; [FEED_PENDING] of rejected rows */
	int			total;			/* rows of the input */
	int			batch_size;
	bool		report;			/* on_error: or abort */
	bool		guarded;		/* each write in a subtransaction; always where `report` */
	bool		leaning;		/* rows may refer to other rows of the call */
	bool		swayed;			/* rows may change or remove others: begin_check sets it */

	/* by ffs_batch_open_call() */
	Relation	rel;
	RowReader  *reader;
	Feed		feed;
	MemoryContext batch_context;	/* reset after each batch */

	/* in which order rows go in, and what else may come once only */
	KeyOrder   *orders[2];
	int			norders;

	/* the engine's own */
	FeedRow    *rows;			/* of this batch */
	int			nrows;
	int			capacity;
	int			rejected;		/* in this batch */
	ErrorData  *first_error;	/* abort: of the row that could not be read */
	int			first_error_row;
	int		   *before;			/* by row number - 1: the row that has the same key, NULL while none is known */
	struct BatchResult *result;
	int			checking;		/* rows are checked first in so many more batches; -1: there is no telling */
	bool		check_begun;
	int			check_what;		/* besides the row itself: FFS_CHECK_ */
};

/* ---- arguments ---- */

/* Argument n as an index into `words`, which NULL ends; error 22004, 22023. */
extern int	ffs_batch_keyword_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *const *words);
/* on_error: true for report, false for abort */
extern bool ffs_batch_on_error_argument(FunctionCallInfo fcinfo, int n);
extern int	ffs_batch_size_argument(FunctionCallInfo fcinfo, int n);
/* A jsonb array, called `name` in messages. */
extern Jsonb *ffs_batch_array_argument(FunctionCallInfo fcinfo, int n, const char *name);

/* Element row->number of such an array, which must be an object (error 22023). */
extern JsonbContainer *ffs_batch_array_object(Jsonb *array, int number);

/* The same, of any kind, as a jsonb of its own. */
extern Jsonb *ffs_batch_array_element(Jsonb *array, int number);

/* ---- a call ---- */

/* Open the table (RowExclusiveLock) and what belongs to the call; table, methods and report are set. */
extern void ffs_batch_open_call(BatchCall *call);
/* Rows go in by this unique index's key (or may share no key of it, from the second one on). */
extern void ffs_batch_order_by_index(BatchCall *call, Oid index);
/* Run it: lines `row_number, action, key, sqlstate, message` to fcinfo's result. The number of rows written. */
extern uint64 ffs_batch_run_call(BatchCall *call, FunctionCallInfo fcinfo);
extern void ffs_batch_close_call(BatchCall *call);
/* A row is not written.  Fails the call where that was asked for. */
extern void ffs_batch_reject(BatchCall *call, FeedRow *row, ErrorData *error);

/*
 * Could an error come after a row was taken, so that the row at hand is not
 * the culprit?  (Then calls must be guarded to name it.)
 */
extern bool ffs_batch_errors_come_late(Relation rel);
/* Has the table a foreign key to itself? */
extern bool ffs_batch_refers_to_itself(Relation rel, const FfsTable *table);
/* May this role see the key columns of what it writes? */
extern bool ffs_batch_may_return_key(const FfsTable *table);

#endif							/* FFS_BATCH_ENGINE_H */
