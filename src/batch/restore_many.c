/*-------------------------------------------------------------------------
 *
 * restore_many.c
 *		ffs_restore_many: soft-deleted rows come back, a batch at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/call.h"
#include "batch/batch.h"
#include "batch/engine.h"
#include "batch/restore.h"

FFS_CALL(ffs_restore_many);

typedef struct RestoreCall
{
	BatchCall	call;			/* first */
	Jsonb	   *keys;
	Restore    *restore;
} RestoreCall;

/* A key; what stands beside it is read when the row is restored. */
static void
read_key(BatchCall *call, FeedRow *row)
{
	FfsTable   *table = call->table;
	KeyArgument key;

	ffs_batch_read_key(table, ffs_batch_array_element(((RestoreCall *) call)->keys, row->number), true, &key);
	ffs_batch_key_to_row(row, table, &key);
}

static void
read_only_key(BatchCall *call, const KeyOrder *order pg_attribute_unused(), FeedRow *row)
{
	read_key(call, row);
}

/* The row of the restore that stands for one of the call's. */
static RestoreRow *
make_row(RestoreCall *self, FeedRow *row)
{
	RestoreRow *result = palloc0(sizeof(RestoreRow));

	result->feed.number = row->number;
	ffs_batch_read_key(self->call.table, ffs_batch_array_element(self->keys, row->number), true, &result->key);
	return result;
}

static void
write_rows(BatchCall *call, int from, int to)
{
	RestoreCall *self = (RestoreCall *) call;
	Feed	   *feed = &call->feed;
	RestoreRow **rows = palloc_extended(sizeof(RestoreRow *) * (to - from), MCXT_ALLOC_HUGE);

	feed->from = from;
	feed->to = to;
	feed->position = to;
	for (int i = from; i < to; i++)
		rows[i - from] = make_row(self, feed->rows[i]);
	self->restore->feed.context = CurrentMemoryContext;
	PG_TRY();
	{
		(void) ffs_batch_restore_rows(self->restore, rows, to - from);
	}
	PG_CATCH();
	{
		for (int i = from; i < to; i++)
			if (rows[i - from] == self->restore->failed)
				feed->position = i;
		PG_RE_THROW();
	}
	PG_END_TRY();
	for (int i = from; i < to; i++)
		feed->rows[i]->outcome = rows[i - from]->feed.outcome;
}

static const BatchMethods restore_methods = {.read = read_key, .read_key = read_only_key, .write = write_rows};

static Datum
ffs_restore_many_call(PG_FUNCTION_ARGS)
{
	RestoreCall *self = palloc0(sizeof(RestoreCall));
	BatchCall  *call = &self->call;
	FfsTable   *table;
	uint64		written;
	instr_time	start;

	InitMaterializedSRF(fcinfo, 0);
	table = call->table = ffs_batch_restore_argument(fcinfo, 0);
	ffs_batch_begin(table->rootid, FFS_OP_RESTORE_MANY, &start);
	self->keys = ffs_batch_array_argument(fcinfo, 1, "keys");
	call->op = FFS_OP_RESTORE_MANY;
	call->methods = &restore_methods;
	call->report = ffs_batch_on_error_argument(fcinfo, 2);
	call->batch_size = ffs_batch_size_argument(fcinfo, 3);
	call->total = JB_ROOT_COUNT(self->keys);
	ffs_batch_require_key(table);
	ffs_batch_require_deleted(table);

	ffs_batch_open_call(call);
	call->actions[FEED_INSERTED] = "restored";
	ffs_batch_order_by_index(call, table->pk_index);
	self->restore = ffs_batch_open_restore(table);
	written = ffs_batch_run_call(call, fcinfo);
	ffs_batch_close_restore(self->restore);
	ffs_batch_close_call(call);
	ffs_batch_count(table->rootid, FFS_OP_RESTORE_MANY, written, start);
	return (Datum) 0;
}
