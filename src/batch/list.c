/*-------------------------------------------------------------------------
 *
 * list.c
 *		ffs_list, ffs_count: the rows that a filter asks for.
 *
 * Each is one query of the caller's, with a plan kept for the session, in the
 * snapshot of the statement that calls us.  Rows go from the executor straight
 * into the result, which spills to disk where it is large.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/call.h"
#include "batch/batch.h"
#include "batch/filter.h"
#include "batch/one.h"

FFS_CALL(ffs_list);
FFS_CALL(ffs_count);

/* Append ` WHERE ...` of the filter given as argument n, if there is one. */
static void
append_where(StringInfo query, RowReader *reader, FunctionCallInfo fcinfo, int n, QueryParams *params)
{
	if (PG_ARGISNULL(n))
		return;
	appendStringInfoString(query, " WHERE ");
	ffs_batch_append_filter(query, reader, PG_GETARG_JSONB_P(n), params);
}

/* A number of rows: -1 where it is NULL. */
static int
rows_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return -1;
	if (PG_GETARG_INT32(n) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name),
				 errdetail("It is a number of rows."),
				 errhint("Give 0 or more, or leave it NULL.")));
	return PG_GETARG_INT32(n);
}

static Datum
ffs_list_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsTable   *table = ffs_batch_element_argument(fcinfo, 0);
	Relation	rel = table_open(table->relid, AccessShareLock);
	RowReader  *reader;
	QueryParams params = {0};
	StringInfoData query;
	int			max_rows;
	int			skip_rows;
	uint64		processed;
	instr_time	start;

	/* again, now that nobody changes it */
	table = ffs_registry_get(RelationGetRelid(rel), false);
	InitMaterializedSRF(fcinfo, 0);
	ffs_batch_begin(table->rootid, FFS_OP_LIST, &start);
	max_rows = rows_argument(fcinfo, 3, "max_rows");
	skip_rows = rows_argument(fcinfo, 4, "skip_rows");
	reader = ffs_batch_open_filter_reader(rel, table);

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	ffs_batch_append_columns(&query, result->setDesc);
	appendStringInfo(&query, " FROM %s AS ffs_row", reader->relation_name);
	append_where(&query, reader, fcinfo, 1, &params);
	if (!PG_ARGISNULL(2))
	{
		appendStringInfoString(&query, " ORDER BY ");
		ffs_batch_append_order(&query, reader, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	}
	else if ((max_rows >= 0 || skip_rows > 0) && table->nkeys > 0)
	{
		/* so that pages neither overlap nor miss a row */
		appendStringInfoString(&query, " ORDER BY ");
		for (int i = 0; i < table->nkeys; i++)
			appendStringInfo(&query, "%sffs_row.%s", i > 0 ? ", " : "",
							 quote_identifier(reader->columns[table->key[i] - 1].name));
	}
	if (max_rows >= 0)
		appendStringInfo(&query, " LIMIT $%d",
						 ffs_batch_add_param(&params, INT8OID, Int64GetDatum(max_rows)));
	if (skip_rows > 0)
		appendStringInfo(&query, " OFFSET $%d",
						 ffs_batch_add_param(&params, INT8OID, Int64GetDatum(skip_rows)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	processed = ffs_batch_run_select(query.data, &params, ffs_batch_open_result(result));
	SPI_finish();
	table_close(rel, NoLock);
	ffs_batch_count(table->rootid, FFS_OP_LIST, processed, start);
	return (Datum) 0;
}

static Datum
ffs_count_call(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, false);
	Relation	rel = table_open(table->relid, AccessShareLock);
	RowReader  *reader;
	QueryParams params = {0};
	StringInfoData query;
	int64		count;
	bool		isnull;
	instr_time	start;

	table = ffs_registry_get(RelationGetRelid(rel), false);
	ffs_batch_begin(table->rootid, FFS_OP_COUNT, &start);
	reader = ffs_batch_open_filter_reader(rel, table);
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT pg_catalog.count(*) FROM %s AS ffs_row", reader->relation_name);
	append_where(&query, reader, fcinfo, 1, &params);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	(void) ffs_batch_run_select(query.data, &params, NULL);
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	table_close(rel, NoLock);
	ffs_batch_count(table->rootid, FFS_OP_COUNT, 1, start);
	PG_RETURN_INT64(count);
}
