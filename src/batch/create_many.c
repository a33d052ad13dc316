/*-------------------------------------------------------------------------
 *
 * create_many.c
 *		ffs_create_many: rows from a jsonb array, a batch at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"

#include "base/call.h"
#include "batch/create.h"
#include "batch/one.h"

FFS_CALL(ffs_create_many);

typedef struct CreateMany
{
	Create		create;
	Jsonb	   *rows;
} CreateMany;

static void
read_row(BatchCall *call, FeedRow *row)
{
	ffs_batch_read_object(call->reader, ffs_batch_array_object(((CreateMany *) call)->rows, row->number),
						  row->values, row->nulls, row->given);
}

static void
read_key(BatchCall *call, const KeyOrder *order, FeedRow *row)
{
	ffs_batch_read_members(call->reader, ffs_batch_array_object(((CreateMany *) call)->rows, row->number),
						   order->ncolumns, order->columns, row->values, row->nulls, row->given);
}

static Datum
ffs_create_many_call(PG_FUNCTION_ARGS)
{
	CreateMany *many = palloc0(sizeof(CreateMany));
	BatchCall  *call = &many->create.call;

	InitMaterializedSRF(fcinfo, 0);
	call->op = FFS_OP_CREATE_MANY;
	call->table = ffs_batch_table_argument(fcinfo, 0, true);
	ffs_batch_begin(call->table->rootid, call->op, &many->create.start);
	many->rows = ffs_batch_array_argument(fcinfo, 1, "rows");
	call->total = JB_ROOT_COUNT(many->rows);
	many->create.methods.read = read_row;
	many->create.methods.read_key = read_key;
	return ffs_batch_create(&many->create, fcinfo, 2);
}
