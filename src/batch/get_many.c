/*-------------------------------------------------------------------------
 *
 * get_many.c
 *		ffs_get_many: the rows with these keys, in their order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "batch/batch.h"
#include "batch/one.h"
#include "registry/key.h"

PG_FUNCTION_INFO_V1(ffs_get_many);

/* SELECT of whole rows of the table, as its row type. */
static void
append_select(StringInfo query, const FfsTable *table)
{
	/* a bare alias would mean a column of that name */
	appendStringInfo(query, "SELECT (ffs_row.*)::%s FROM ", ffs_base_relation_name(table->relid));
}

static void
put_rows(ReturnSetInfo *result)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		HeapTupleHeader header =
		DatumGetHeapTupleHeader(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		HeapTupleData tuple;

		tuple.t_len = HeapTupleHeaderGetDatumLength(header);
		ItemPointerSetInvalid(&tuple.t_self);
		tuple.t_tableOid = InvalidOid;
		tuple.t_data = header;
		tuplestore_puttuple(result->setResult, &tuple);
	}
}

/* An array of n values of a type. */
static Datum
make_array(Datum *values, int n, Oid type)
{
	int16		length;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &length, &byval, &align);
	return PointerGetDatum(construct_array(values, n, type, length, byval, align));
}

/* All rows by one query, in the order of the keys. */
static uint64
get_rows(FfsTable *table, Datum *keys, int nkeys, Oid *types, ReturnSetInfo *result)
{
	StringInfoData query;
	Datum		arrays[INDEX_MAX_KEYS];
	Oid			array_types[INDEX_MAX_KEYS];
	Datum	   *column = palloc(sizeof(Datum) * nkeys);
	uint64		processed;

	initStringInfo(&query);
	append_select(&query, table);
	appendStringInfoString(&query, "ROWS FROM (");
	for (int i = 0; i < table->nkeys; i++)
	{
		for (int j = 0; j < nkeys; j++)
			column[j] = keys[j * table->nkeys + i];
		arrays[i] = make_array(column, nkeys, types[i]);
		array_types[i] = get_array_type(types[i]);
		appendStringInfo(&query, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	}
	appendStringInfoString(&query, ") WITH ORDINALITY AS ffs_key (");
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&query, "k%d, ", i + 1);
	appendStringInfo(&query, "n) JOIN %s AS ffs_row ON ", ffs_base_relation_name(table->relid));
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&query, "%sffs_row.%s OPERATOR(%s) ffs_key.k%d", i > 0 ? " AND " : "",
						 quote_identifier(get_attname(table->relid, table->key[i], false)),
						 ffs_batch_key_equality(table, i), i + 1);
	appendStringInfoString(&query, " ORDER BY ffs_key.n");
	processed = ffs_batch_run_plan(query.data, table->nkeys, array_types, arrays, NULL, SPI_OK_SELECT);
	put_rows(result);
	return processed;
}

/* Keys that cannot go into arrays (they are arrays), one by one. */
static uint64
get_rows_singly(FfsTable *table, Datum *keys, int nkeys, ReturnSetInfo *result)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];
	uint64		processed = 0;

	initStringInfo(&query);
	append_select(&query, table);
	appendStringInfo(&query, "%s AS ffs_row WHERE ", ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_row", 1, types);
	for (int i = 0; i < nkeys; i++)
	{
		CHECK_FOR_INTERRUPTS();
		processed += ffs_batch_run_plan(query.data, table->nkeys, types, keys + i * table->nkeys, NULL, SPI_OK_SELECT);
		put_rows(result);
		SPI_freetuptable(SPI_tuptable);
	}
	return processed;
}

Datum
ffs_get_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsTable   *table;
	ArrayType  *array;
	Oid			element;
	int16		length;
	bool		byval;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	Datum	   *keys;
	int			nkeys = 0;
	Oid			types[INDEX_MAX_KEYS];
	bool		singly = false;
	uint64		processed = 0;
	instr_time	start;

	table = ffs_batch_element_argument(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	ffs_batch_begin(table->rootid, FFS_OP_GET_MANY, &start);
	ffs_batch_require_key(table);
	if (PG_ARGISNULL(1))
	{
		ffs_batch_count(table->rootid, FFS_OP_GET_MANY, 0, start);
		return (Datum) 0;
	}
	array = PG_GETARG_ARRAYTYPE_P(1);
	element = ARR_ELEMTYPE(array);
	if (table->nkeys > 1 && element != JSONBOID)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_KEY_MISSING),
				 errmsg("the key of table %s has %d columns", ffs_base_relation_name(table->relid), table->nkeys),
				 errdetail("The primary key is (%s).", ffs_registry_key_names(table)),
				 errhint("Give the keys as jsonb[], each an object with a member for each key column.")));
	for (int i = 0; i < table->nkeys; i++)
	{
		types[i] = getBaseType(get_atttype(table->relid, table->key[i]));
		singly |= !OidIsValid(get_array_type(types[i])) || type_is_array(types[i]);
	}

	get_typlenbyvalalign(element, &length, &byval, &align);
	deconstruct_array(array, element, length, byval, align, &elements, &nulls, &nelements);
	keys = palloc_extended(sizeof(Datum) * Max(nelements, 1) * table->nkeys, MCXT_ALLOC_HUGE);
	for (int i = 0; i < nelements; i++)
	{
		Datum	   *key = keys + nkeys * table->nkeys;

		/* NULL finds nothing */
		if (nulls[i])
			continue;
		if (element == JSONBOID)
			ffs_registry_key_from_jsonb(table, DatumGetJsonbP(elements[i]), NULL, key);
		else if (element == types[0])
			key[0] = elements[i];
		else
			key[0] = ffs_registry_key_value(table, 0, element, elements[i]);
		nkeys++;
	}
	if (nkeys > 0)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		processed = singly ? get_rows_singly(table, keys, nkeys, result) :
			get_rows(table, keys, nkeys, types, result);
		SPI_finish();
	}
	ffs_batch_count(table->rootid, FFS_OP_GET_MANY, processed, start);
	return (Datum) 0;
}

