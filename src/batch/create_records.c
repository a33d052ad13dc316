/*-------------------------------------------------------------------------
 *
 * create_records.c
 *		ffs_create_records: rows from an array of the table's row type.
 *
 * Values are taken where they lie in the array.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "funcapi.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/call.h"
#include "batch/create.h"
#include "batch/one.h"

FFS_CALL(ffs_create_records);

typedef struct CreateRecords
{
	Create		create;
	char	   *data;			/* the array's elements */
	uint32	   *offsets;		/* where each lies in it; NO_RECORD for a NULL */
	Oid			row_type;
	uint64	   *taken;			/* columns that every record gives, */
	uint64	   *defaulted;		/* of them those whose NULL is no value: the default takes its place */
} CreateRecords;

#define NO_RECORD PG_UINT32_MAX

/* ---- the argument ---- */

static ArrayType *
records_argument(CreateRecords *records, FunctionCallInfo fcinfo, int n)
{
	ArrayType  *array;
	Oid			relid;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("records must not be null"),
				 errdetail("There is nothing to be created."),
				 errhint("Give an array of the table's row type.")));
	array = PG_GETARG_ARRAYTYPE_P(n);
	records->row_type = getBaseType(ARR_ELEMTYPE(array));
	relid = get_typ_typrelid(records->row_type);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("records must be an array of a table's row type, not %s[]",
						format_type_be(ARR_ELEMTYPE(array))),
				 errdetail("The type of its elements says which table is meant."),
				 errhint("Cast the array to the table's row type: $1::table_name[].")));
	/* the lock before the look: it may be dropped or changed while we wait */
	(void) ffs_registry_get(relid, true);
	LockRelationOid(relid, RowExclusiveLock);
	records->create.call.table = ffs_registry_get(relid, true);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("records must be an array of one dimension"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array)),
				 errhint("Give the rows one after another.")));
	return array;
}

/* Find the array's elements. */
static void
find_records(CreateRecords *records, ArrayType *array)
{
	int			total = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	char	   *at = ARR_DATA_PTR(array);
	bits8	   *bitmap = ARR_NULLBITMAP(array);
	int16		length;
	bool		byval;
	char		align;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &byval, &align);
	records->data = at;
	records->offsets = palloc_extended(sizeof(uint32) * Max(total, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < total; i++)
	{
		if (bitmap != NULL && (bitmap[i / 8] & (1 << (i % 8))) == 0)
		{
			records->offsets[i] = NO_RECORD;
			continue;
		}
		at = (char *) att_align_pointer(at, align, length, at);
		records->offsets[i] = at - records->data;
		at = att_addlength_pointer(at, length, at);
	}
	records->create.call.total = total;
}

/* ---- the columns ---- */

/*
 * Every column counts, save stamps and what only the server makes.  A NULL
 * stands for the default in identity and tenant columns, and in NOT NULL
 * columns that have one.
 */
static void
prepare(Create *create)
{
	CreateRecords *records = (CreateRecords *) create;
	RowReader  *reader = create->call.reader;
	FfsTable   *table = create->call.table;

	reader->whole_rows = true;
	records->taken = palloc0(sizeof(uint64) * reader->nwords);
	records->defaulted = palloc0(sizeof(uint64) * reader->nwords);
	memset(create->patched, 0, sizeof(uint64) * reader->nwords);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		const RowColumn *column = &reader->columns[attno - 1];
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(create->call.rel), attno - 1);

		if (column->dropped || column->stamp || column->generated || column->identity_always)
			continue;
		ffs_batch_set_given(records->taken, attno);
		ffs_batch_set_given(create->always, attno);
		if (att->attidentity != '\0' || attno == table->tenant)
		{
			/* a row that is there keeps its own */
			ffs_batch_set_given(records->defaulted, attno);
			ffs_batch_set_given(create->patched, attno);
		}
		else if (att->attnotnull && build_column_default(create->call.rel, attno) != NULL)
			ffs_batch_set_given(records->defaulted, attno);
	}
}

/* ---- one record ---- */

static HeapTupleHeader
find_record(CreateRecords *records, int number, HeapTupleData *tuple)
{
	uint32		offset = records->offsets[number - 1];
	HeapTupleHeader header;

	if (offset == NO_RECORD)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a record must not be null"),
				 errdetail("The element of the array is NULL."),
				 errhint("Leave it out.")));
	header = DatumGetHeapTupleHeader(PointerGetDatum(records->data + offset));
	if (HeapTupleHeaderGetTypeId(header) != records->row_type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a record is of type %s, not %s", format_type_be(HeapTupleHeaderGetTypeId(header)),
						format_type_be(records->row_type)),
				 errdetail("All elements of an array are of one type."),
				 errhint("Cast the array to the table's row type.")));
	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	tuple->t_data = header;
	return header;
}

static void
read_record(BatchCall *call, FeedRow *row)
{
	CreateRecords *records = (CreateRecords *) call;
	RowReader  *reader = call->reader;
	HeapTupleData tuple;

	(void) find_record(records, row->number, &tuple);
	/* a record that was stored before a column was added has its missing value */
	heap_deform_tuple(&tuple, call->feed.desc, row->values, row->nulls);
	memcpy(row->given, records->taken, sizeof(uint64) * reader->nwords);
	for (int i = 0; i < reader->natts; i++)
	{
		const RowColumn *column = &reader->columns[i];

		if (row->nulls[i])
		{
			if (ffs_batch_is_given(records->defaulted, i + 1))
				ffs_batch_clear_given(row->given, i + 1);
		}
		else if (unlikely(!column->stamp && !column->dropped && (column->generated || column->identity_always)))
			ffs_batch_refuse_value(reader, column);
	}
}

static void
read_key(BatchCall *call, const KeyOrder *order, FeedRow *row)
{
	CreateRecords *records = (CreateRecords *) call;
	HeapTupleData tuple;

	(void) find_record(records, row->number, &tuple);
	for (int i = 0; i < order->ncolumns; i++)
	{
		AttrNumber	attno = order->columns[i];

		row->values[attno - 1] = heap_getattr(&tuple, attno, call->feed.desc, &row->nulls[attno - 1]);
		if (ffs_batch_is_given(records->taken, attno) &&
			!(row->nulls[attno - 1] && ffs_batch_is_given(records->defaulted, attno)))
			ffs_batch_set_given(row->given, attno);
	}
}

static Datum
ffs_create_records_call(PG_FUNCTION_ARGS)
{
	CreateRecords *records = palloc0(sizeof(CreateRecords));
	ArrayType  *array;

	InitMaterializedSRF(fcinfo, 0);
	records->create.call.op = FFS_OP_CREATE_RECORDS;
	array = records_argument(records, fcinfo, 0);
	ffs_batch_begin(records->create.call.table->rootid, FFS_OP_CREATE_RECORDS, &records->create.start);
	find_records(records, array);
	records->create.prepare = prepare;
	records->create.methods.read = read_record;
	records->create.methods.read_key = read_key;
	return ffs_batch_create(&records->create, fcinfo, 1);
}
