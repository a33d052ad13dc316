/*-------------------------------------------------------------------------
 *
 * get_many.c
 *		ffs_get_many: the rows with these keys, in their order.
 *
 * Where there is a cache, it is asked for one key after another.  Else the keys
 * are the feed of a SELECT that joins the table to it: the executor looks up
 * one after another, and nothing has to be sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/call.h"
#include "batch/batch.h"
#include "batch/feed.h"
#include "batch/literals.h"
#include "batch/one.h"
#include "batch/select.h"
#include "registry/key.h"
#include "registry/rowcache.h"

FFS_CALL(ffs_get_many);

/* Keys that the cache is told of before it is asked for the first of them. */
#define KEYS_TO_EXPECT 32

/* Keys that are looked up by one run of the SELECT. */
#define KEYS_AT_A_TIME 1000

typedef struct GetCall
{
	FfsTable   *table;
	Oid			key_type;		/* of the first key column */
	Oid			element;		/* the keys' */
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
} GetCall;

/* One key, allocated where we are called. */
static void
read_key(GetCall *call, Datum element, Datum *key)
{
	if (call->element == JSONBOID)
		ffs_registry_key_from_jsonb(call->table, DatumGetJsonbP(element), NULL, key);
	else if (call->element == call->key_type)
		key[0] = element;
	else
	{
		if (call->element == TEXTOID && call->key_type == UUIDOID)
		{
			text	   *string = DatumGetTextPP(element);
			pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

			if (ffs_batch_parse_uuid(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string), uuid))
			{
				key[0] = UUIDPGetDatum(uuid);
				return;
			}
		}
		key[0] = ffs_registry_key_value(call->table, 0, call->element, element);
	}
}

/* Rows of the feed, with nothing in them; `n` of them in one piece of memory. */
static FeedRow **
make_rows(int n, int natts, uint64 *none)
{
	FeedRow   **rows = palloc(sizeof(FeedRow *) * n);
	FeedRow    *all = palloc0(sizeof(FeedRow) * n);
	Datum	   *values = palloc0(sizeof(Datum) * n * natts);
	bool	   *nulls = palloc(sizeof(bool) * n * natts);

	memset(nulls, true, sizeof(bool) * n * natts);
	for (int i = 0; i < n; i++)
	{
		rows[i] = &all[i];
		all[i].values = values + i * natts;
		all[i].nulls = nulls + i * natts;
		all[i].given = all[i].filled = none;
	}
	return rows;
}

static uint64
get_rows(GetCall *call, Relation rel, ReturnSetInfo *result)
{
	FfsTable   *table = call->table;
	RowReader  *reader = ffs_batch_open_reader(rel, table);
	uint64	   *columns = palloc0(sizeof(uint64) * reader->nwords);
	Feed		feed = {0};
	StringInfoData query;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage keys", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	uint64		found = 0;
	int			next = 0;

	feed.reader = reader;
	feed.context = context;
	feed.desc = CreateTupleDescCopy(RelationGetDescr(rel));
	feed.command = CMD_SELECT;
	feed.columns = columns;
	feed.dest = ffs_batch_open_result(result);
	feed.rows = make_rows(Min(call->nelements, KEYS_AT_A_TIME), reader->natts, columns);

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	ffs_batch_append_columns(&query, result->setDesc);
	appendStringInfo(&query, " FROM %s AS ffs_row, " FEED_NAME " AS ffs_feed WHERE ", reader->relation_name);
	ffs_batch_append_key_join(&query, table, "ffs_row", "ffs_feed");

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ffs_batch_feed_register(&feed);
	while (next < call->nelements)
	{
		int			n = 0;

		old = MemoryContextSwitchTo(context);
		for (; next < call->nelements && n < KEYS_AT_A_TIME; next++)
		{
			Datum		key[INDEX_MAX_KEYS];

			/* NULL finds nothing */
			if (call->nulls[next])
				continue;
			read_key(call, call->elements[next], key);
			for (int i = 0; i < table->nkeys; i++)
			{
				feed.rows[n]->values[table->key[i] - 1] = key[i];
				feed.rows[n]->nulls[table->key[i] - 1] = false;
			}
			n++;
		}
		feed.from = 0;
		feed.to = n;
		if (n > 0)
			ffs_batch_feed_run(&feed, query.data);
		for (int i = 0; i < n; i++)
			found += feed.rows[i]->outcome == FEED_UPDATED;
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	SPI_finish();
	return found;
}

/* For the figures: the keys from this one on are looked for by a query. */
static void
left_to_query(const GetCall *call, int from)
{
	uint64		n = 0;

	for (int i = from; i < call->nelements; i++)
		n += !call->nulls[i];
	ffs_registry_row_cache->left_to_query(n);
}

/* By way of the cache; false if the table is not one that it answers for. */
static bool
get_cached_rows(GetCall *call, ReturnSetInfo *result, uint64 *found)
{
	FfsTable   *table = call->table;
	MemoryContext context;
	MemoryContext row_context;
	MemoryContext old;
	bool		first = true;
	bool		left = false;

	if (ffs_registry_row_cache == NULL)
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage keys", ALLOCSET_DEFAULT_SIZES);
	row_context = AllocSetContextCreate(context, "ffstorage row", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int next = 0; next < call->nelements && !left;)
	{
		Datum		keys[KEYS_TO_EXPECT * INDEX_MAX_KEYS];
		int			at[KEYS_TO_EXPECT];
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		/* the first one shows whether the table is one that is answered for */
		for (; next < call->nelements && n < (first ? 1 : KEYS_TO_EXPECT); next++)
		{
			if (call->nulls[next])
				continue;
			read_key(call, call->elements[next], keys + n * table->nkeys);
			at[n++] = next;
		}
		if (n > 1)
			ffs_registry_row_cache->expect(table, keys, n);
		for (int i = 0; i < n; i++)
		{
			Datum	   *key = keys + i * table->nkeys;
			Datum		row;
			FfsRowAnswer answer = ffs_registry_row_cache->get(table, key, row_context, &row);

			if (answer == FFS_ROW_ASK)
			{
				if (first)
				{
					left_to_query(call, at[i] + 1);
					left = true;
					break;
				}
				answer = ffs_batch_ask_table(table, key, row_context, &row) ? FFS_ROW_FOUND : FFS_ROW_NONE;
			}
			first = false;
			if (answer == FFS_ROW_FOUND)
			{
				HeapTupleHeader header = DatumGetHeapTupleHeader(row);
				HeapTupleData tuple;

				tuple.t_len = HeapTupleHeaderGetDatumLength(header);
				ItemPointerSetInvalid(&tuple.t_self);
				tuple.t_tableOid = InvalidOid;
				tuple.t_data = header;
				tuplestore_puttuple(result->setResult, &tuple);
				(*found)++;
			}
			MemoryContextReset(row_context);
		}
		MemoryContextResetOnly(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return !first;
}

static Datum
ffs_get_many_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GetCall		call = {0};
	FfsTable   *table = ffs_batch_element_argument(fcinfo, 0);
	Relation	rel = table_open(table->relid, AccessShareLock);
	uint64		found = 0;
	instr_time	start;

	/* again, now that nobody changes it */
	table = call.table = ffs_registry_get(RelationGetRelid(rel), false);
	InitMaterializedSRF(fcinfo, 0);
	ffs_batch_begin(table->rootid, FFS_OP_GET_MANY, &start);
	ffs_batch_require_key(table);
	if (!PG_ARGISNULL(1))
	{
		ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
		int16		length;
		bool		byval;
		char		align;

		call.element = ARR_ELEMTYPE(array);
		call.key_type = getBaseType(get_atttype(table->relid, table->key[0]));
		if (table->nkeys > 1 && call.element != JSONBOID)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_KEY_MISSING),
					 errmsg("the key of table %s has %d columns", ffs_base_relation_name(table->relid), table->nkeys),
					 errdetail("The primary key is (%s).", ffs_registry_key_names(table)),
					 errhint("Give the keys as jsonb[], each an object with a member for each key column.")));
		get_typlenbyvalalign(call.element, &length, &byval, &align);
		deconstruct_array(array, call.element, length, byval, align, &call.elements, &call.nulls, &call.nelements);
		if (call.nelements > 0 && !get_cached_rows(&call, result, &found))
			found = get_rows(&call, rel, result);
	}
	table_close(rel, NoLock);
	ffs_batch_count(table->rootid, FFS_OP_GET_MANY, found, start);
	return (Datum) 0;
}
