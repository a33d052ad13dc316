/*-------------------------------------------------------------------------
 *
 * engine.c
 *		A call that writes many rows.
 *
 * A batch is read, sorted, written (retry.c) and reported.
 *
 * A call of one batch is sorted in memory.  For one of several batches the
 * keys alone are read first and sorted with the numbers of their rows, and the
 * rows are read as they come; their lines of result are sorted back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_operator.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "batch/engine.h"
#include "batch/errors.h"
#include "batch/retry.h"

/* Where lines of result go. */
typedef struct BatchResult
{
	ReturnSetInfo *info;
	Tuplesortstate *sort;		/* by row number, where rows do not come in order; else NULL */
	TupleTableSlot *slot;
	Datum		actions[4];
	uint64		written;
	uint64		rejected;
	uint64		done;
	uint64		batches;
	bool		shown;			/* in ffs_progress */
} BatchResult;

/* The numbers of the rows that are yet to be written. */
typedef struct RowSource
{
	KeySorter  *sorter;			/* from here, or */
	const int  *numbers;		/* these, or (NULL) */
	int			next;			/* all, from this one on, */
	int			end;			/* up to this one */
} RowSource;

/* What is wrong with a row whose key came before. */
static ErrorData *
came_before(BatchCall *call, int before)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("the key of the row came before in this call"),
				 errdetail("Row %d of the input has the same key.", before),
				 errhint("Give each key once.")));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(call->batch_context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return error;
}

/* ---- reading ---- */

/* A row without any value yet, in the current memory context. */
static void
make_row(const RowReader *reader, FeedRow *row, int number)
{
	int			natts = reader->natts;
	int			nwords = reader->nwords;
	char	   *memory;

	memset(row, 0, sizeof(FeedRow));
	row->number = number;
	/* one piece of memory, the widest first */
	memory = palloc0((sizeof(Datum) + sizeof(bool)) * natts + 2 * sizeof(uint64) * nwords);
	row->values = (Datum *) memory;
	row->given = (uint64 *) (memory + sizeof(Datum) * natts);
	row->filled = row->given + nwords;
	row->nulls = (bool *) (row->filled + nwords);
}

static FeedRow *
add_row(BatchCall *call, int number)
{
	FeedRow    *row;

	if (call->nrows >= call->capacity)
	{
		call->capacity = call->capacity == 0 ? 64 : call->capacity * 2;
		if (call->rows == NULL)
			call->rows = MemoryContextAllocHuge(call->reader->context, sizeof(FeedRow) * call->capacity);
		else
			call->rows = repalloc_huge(call->rows, sizeof(FeedRow) * call->capacity);
	}
	row = &call->rows[call->nrows++];
	make_row(call->reader, row, number);
	return row;
}

typedef struct KeyOfRow
{
	const KeyOrder *order;
	FeedRow    *row;
} KeyOfRow;

static void
key_work(BatchCall *call, void *arg)
{
	KeyOfRow   *key = arg;

	call->methods->read_key(call, key->order, key->row);
}

/*
 * A row that cannot be read may still have a key, which the rows after it are
 * not to have.
 */
static void
read_key_at_least(BatchCall *call, FeedRow *row)
{
	for (int i = 0; i < call->norders; i++)
	{
		KeyOfRow	key = {.order = call->orders[i], .row = row};
		uint64	   *given;

		if (ffs_batch_has_key(key.order, row))
			continue;
		given = MemoryContextAlloc(call->batch_context, sizeof(uint64) * call->reader->nwords);
		memcpy(given, row->given, sizeof(uint64) * call->reader->nwords);
		if (ffs_batch_try(call, key_work, &key) == NULL)
			for (int word = 0; word < call->reader->nwords; word++)
				given[word] |= row->given[word];
		row->given = given;
	}
}

static int
next_number(BatchCall *call, RowSource *source, int *before)
{
	int			number;

	*before = 0;
	if (source->sorter != NULL)
		number = ffs_batch_next_key(source->sorter, before);
	else if (source->next >= source->end)
		number = 0;
	else
	{
		number = source->numbers != NULL ? source->numbers[source->next] : source->next + 1;
		source->next++;
	}
	if (number != 0 && call->before != NULL && *before == 0)
		*before = call->before[number - 1];
	return number;
}

/* One row fails before it reaches the table. */
static void
reject_early(BatchCall *call, FeedRow *row, ErrorData *error)
{
	if (call->report)
	{
		ffs_batch_reject(call, row, error);
		return;
	}
	/* an earlier row may yet be refused by the table */
	call->first_error = error;
	call->first_error_row = row->number;
	row->sqlstate = error->sqlerrcode;
}

typedef struct RowsRead
{
	RowSource  *source;
	bool		more;
	int			before;			/* of the last row */
} RowsRead;

static void
read_work(BatchCall *call, void *arg)
{
	RowsRead   *reading = arg;

	while (call->nrows < call->batch_size)
	{
		int			before;
		int			number = next_number(call, reading->source, &before);

		if (number == 0)
		{
			reading->more = false;
			break;
		}
		reading->before = 0;
		call->reader->current = NULL;
		call->methods->read(call, add_row(call, number));
		reading->before = before;
		if (before != 0)
			break;
		if (call->nrows % 256 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Take up to batch_size rows into the batch and read them.  A row that cannot
 * be read never reaches the table; it costs the rows beside it nothing.  False
 * when there are no more.
 */
static bool
read_batch(BatchCall *call, RowSource *source)
{
	RowsRead	reading = {.source = source, .more = true};

	call->nrows = 0;
	while (reading.more && call->nrows < call->batch_size && call->first_error == NULL)
	{
		ErrorData  *error;

		reading.before = 0;
		error = ffs_batch_try(call, read_work, &reading);
		if (error != NULL)
		{
			if (call->report)
				read_key_at_least(call, &call->rows[call->nrows - 1]);
			reject_early(call, &call->rows[call->nrows - 1], error);
		}
		else if (reading.before != 0)
			reject_early(call, &call->rows[call->nrows - 1], came_before(call, reading.before));
	}
	return reading.more;
}

/*
 * Sort the rows of a batch that is the whole call; of rows with one key, all
 * but the first of the input are out.  Fills feed.rows; the number of them.
 */
static int
sort_batch(BatchCall *call)
{
	FeedRow   **rows = call->feed.rows;
	int		   *before = palloc_extended(sizeof(int) * Max(call->nrows, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int			end = call->nrows;
	int			n = 0;

	for (int i = call->norders - 1; i >= 0; i--)
	{
		KeyOrder   *order = call->orders[i];
		FeedRow    *first;

		for (int k = 0; k < call->nrows; k++)
			rows[k] = &call->rows[k];
		ffs_batch_sort_rows(order, rows, call->nrows);
		first = call->nrows > 0 ? rows[0] : NULL;
		for (int k = 1; k < call->nrows && ffs_batch_has_key(order, rows[k]); k++)
		{
			if (!ffs_batch_same_key(order, first, rows[k]))
				first = rows[k];
			else if (before[rows[k] - call->rows] == 0)
				before[rows[k] - call->rows] = first->number;
		}
	}

	for (int k = 0; k < end; k++)
		if (before[k] != 0 && call->rows[k].sqlstate == 0)
		{
			reject_early(call, &call->rows[k], came_before(call, before[k]));
			if (call->first_error != NULL)
				end = k;
		}
	/* those that are left, in order */
	for (int k = 0; k < call->nrows; k++)
	{
		FeedRow    *row = call->norders > 0 ? rows[k] : &call->rows[k];

		if (row->sqlstate == 0 && row - call->rows < end)
			rows[n++] = row;
	}
	return n;
}

/* ---- the result ---- */

/* The key of a row as the input gave it, or 0. */
static Datum
key_as_given(BatchCall *call, FeedRow *row)
{
	FfsTable   *table = call->table;
	Datum		values[INDEX_MAX_KEYS];

	if (table->nkeys == 0)
		return (Datum) 0;
	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attno = table->key[i];

		/* a default that a rejected row took is nobody's key */
		if (row->nulls[attno - 1] ||
			(!ffs_batch_is_given(row->given, attno) &&
			 (row->sqlstate != 0 || !ffs_batch_is_given(row->filled, attno))))
			return (Datum) 0;
		values[i] = row->values[attno - 1];
	}
	return ffs_batch_write_key(call->feed.key_writer, values);
}

static void
report_row(BatchCall *call, FeedRow *row)
{
	BatchResult *result = call->result;
	Datum		values[5] = {0};
	bool		nulls[5] = {false, false, true, true, true};
	Datum		key = row->key;

	values[0] = Int32GetDatum(row->number);
	result->done++;
	if (row->sqlstate != 0)
	{
		values[1] = result->actions[FEED_PENDING];
		values[3] = CStringGetTextDatum(unpack_sql_state(row->sqlstate));
		values[4] = CStringGetTextDatum(row->message);
		nulls[3] = nulls[4] = false;
		key = (Datum) 0;
		result->rejected++;
	}
	else
	{
		values[1] = result->actions[row->outcome];
		if (row->outcome == FEED_INSERTED || row->outcome == FEED_UPDATED)
			result->written++;
	}
	if (key == (Datum) 0)
		key = key_as_given(call, row);
	if (key != (Datum) 0)
	{
		values[2] = key;
		nulls[2] = false;
	}
	if (result->sort == NULL)
	{
		tuplestore_putvalues(result->info->setResult, result->info->setDesc, values, nulls);
		return;
	}
	ExecClearTuple(result->slot);
	memcpy(result->slot->tts_values, values, sizeof(values));
	memcpy(result->slot->tts_isnull, nulls, sizeof(nulls));
	tuplesort_puttupleslot(result->sort, ExecStoreVirtualTuple(result->slot));
}

/* Lines are to come in another order than they will be given in. */
static void
begin_sorting_result(BatchResult *result)
{
	AttrNumber	attno = 1;
	Oid			operator = Int4LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	result->sort = tuplesort_begin_heap(result->info->setDesc, 1, &attno, &operator, &collation,
										&nulls_first, work_mem, NULL, TUPLESORT_NONE);
	result->slot = MakeSingleTupleTableSlot(result->info->setDesc, &TTSOpsVirtual);
}

static void
end_sorting_result(BatchResult *result)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(result->info->setDesc, &TTSOpsMinimalTuple);

	tuplesort_performsort(result->sort);
	while (tuplesort_gettupleslot(result->sort, true, false, slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(result->info->setResult, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(result->slot);
	tuplesort_end(result->sort);
	result->sort = NULL;
}

/* ---- the call ---- */

/* Rows that wait for rows of later batches. */
typedef struct Aside
{
	int		   *numbers;
	int			n;
	int			capacity;
} Aside;

static void
put_aside(BatchCall *call, Aside *aside, int number)
{
	if (aside->n >= aside->capacity)
	{
		aside->capacity = aside->capacity == 0 ? 64 : aside->capacity * 2;
		if (aside->numbers == NULL)
			aside->numbers = MemoryContextAllocHuge(call->reader->context, sizeof(int) * aside->capacity);
		else
			aside->numbers = repalloc_huge(aside->numbers, sizeof(int) * aside->capacity);
	}
	aside->numbers[aside->n++] = number;
}

/*
 * Write the rows of the source, batch by batch.  With `aside`, rows whose
 * foreign key found nothing go there in place of being reported.
 */
static void
write_source(BatchCall *call, RowSource *source, Aside *aside)
{
	bool		whole = source->sorter == NULL && source->numbers == NULL && call->total <= call->batch_size;
	bool		more;

	do
	{
		MemoryContext old;
		int			n = 0;

		call->rejected = 0;
		more = read_batch(call, source);

		old = MemoryContextSwitchTo(call->batch_context);
		call->feed.rows = palloc_extended(sizeof(FeedRow *) * Max(call->nrows, 1), MCXT_ALLOC_HUGE);
		if (whole)
			n = sort_batch(call);
		else
			for (int i = 0; i < call->nrows; i++)
				if (call->rows[i].sqlstate == 0)
					call->feed.rows[n++] = &call->rows[i];
		ffs_batch_write_batch(call, n);
		if (call->leaning)
			ffs_batch_write_leaning(call);
		for (int i = 0; i < call->nrows; i++)
		{
			FeedRow    *row = &call->rows[i];

			if (aside != NULL && row->sqlstate == ERRCODE_FOREIGN_KEY_VIOLATION)
				put_aside(call, aside, row->number);
			else if (row->error != NULL && row->sqlstate != 0)
				ffs_batch_fail(row->number, row->error);
			else if (call->first_error == NULL)
				report_row(call, row);
		}
		if (call->first_error != NULL)
			ffs_batch_fail(call->first_error_row, call->first_error);
		MemoryContextSwitchTo(old);
		MemoryContextReset(call->batch_context);
		if (call->result->shown)
			ffs_stats_progress(call->result->done, call->result->rejected, ++call->result->batches);
	} while (more);
}

typedef struct KeysRead
{
	const KeyOrder *order;
	KeySorter  *sorter;
	FeedRow		row;
} KeysRead;

static void
sort_work(BatchCall *call, void *arg)
{
	KeysRead   *reading = arg;
	FeedRow    *row = &reading->row;

	while (row->number < call->total)
	{
		row->number++;
		memset(row->given, 0, sizeof(uint64) * call->reader->nwords);
		call->methods->read_key(call, reading->order, row);
		ffs_batch_put_key(reading->sorter, row);
		if (row->number % 256 == 0)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(call->batch_context);
		}
	}
}

/* The keys of all rows, sorted. */
static KeySorter *
sort_call(BatchCall *call, KeyOrder *order)
{
	KeysRead	reading = {.order = order, .sorter = ffs_batch_begin_sorter(order, call->reader)};
	ErrorData  *error;

	make_row(call->reader, &reading.row, 0);
	while ((error = ffs_batch_try(call, sort_work, &reading)) != NULL)
	{
		/* it has no key that we know of; when the row is read, that is its error */
		FreeErrorData(error);
		memset(reading.row.given, 0, sizeof(uint64) * call->reader->nwords);
		ffs_batch_put_key(reading.sorter, &reading.row);
	}
	MemoryContextReset(call->batch_context);
	ffs_batch_sort_keys(reading.sorter);
	return reading.sorter;
}

/* Which rows have a key of `order` that came before? */
static void
find_same_keys(BatchCall *call, KeyOrder *order)
{
	KeySorter  *sorter = sort_call(call, order);
	int			number;
	int			before;

	while ((number = ffs_batch_next_key(sorter, &before)) != 0)
	{
		if (before == 0)
			continue;
		if (call->before == NULL)
			call->before = MemoryContextAllocExtended(call->reader->context, sizeof(int) * (Size) call->total,
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		call->before[number - 1] = before;
	}
	ffs_batch_end_sorter(sorter);
}

static void
write_all(BatchCall *call)
{
	RowSource	source = {.next = 0, .end = call->total};
	Aside		asides[2] = {0};
	int			turn = 0;

	if (call->total <= call->batch_size)
	{
		write_source(call, &source, NULL);
		return;
	}

	for (int i = 1; i < call->norders; i++)
		find_same_keys(call, call->orders[i]);
	if (call->norders > 0)
		source.sorter = sort_call(call, call->orders[0]);
	if (call->norders > 0 || call->leaning)
		begin_sorting_result(call->result);
	write_source(call, &source, call->leaning ? &asides[0] : NULL);
	if (source.sorter != NULL)
		ffs_batch_end_sorter(source.sorter);

	/* as long as that brings some of them in */
	while (asides[turn].n > 0)
	{
		Aside	   *from = &asides[turn];
		Aside	   *to = &asides[1 - turn];
		bool		stuck = from->n == to->n;

		source = (RowSource) {.numbers = from->numbers, .next = 0, .end = from->n};
		to->n = 0;
		write_source(call, &source, stuck ? NULL : to);
		if (stuck)
			break;
		turn = 1 - turn;
	}
	if (call->result->sort != NULL)
		end_sorting_result(call->result);
}

uint64
ffs_batch_run_call(BatchCall *call, FunctionCallInfo fcinfo)
{
	BatchResult result = {.info = (ReturnSetInfo *) fcinfo->resultinfo};

	for (int i = 0; i < (int) lengthof(result.actions); i++)
		result.actions[i] = CStringGetTextDatum(call->actions[i]);
	call->result = &result;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ffs_batch_feed_register(&call->feed);
	ffs_batch_recall_trouble(call);
	result.shown = ffs_stats_begin_progress(call->table->relid, call->op, call->total);
	write_all(call);
	if (result.shown)
		ffs_stats_end_progress();
	ffs_batch_keep_trouble(call);
	SPI_finish();
	call->result = NULL;
	return result.written;
}
