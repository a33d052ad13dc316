/*-------------------------------------------------------------------------
 *
 * select.c
 *		Queries whose rows are a function's result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "nodes/params.h"
#include "utils/builtins.h"

#include "batch/select.h"

int
ffs_batch_add_param(QueryParams *params, Oid type, Datum value)
{
	if (params->n >= params->capacity)
	{
		params->capacity = params->capacity == 0 ? 16 : params->capacity * 2;
		if (params->types == NULL)
		{
			params->types = palloc(sizeof(Oid) * params->capacity);
			params->values = palloc(sizeof(Datum) * params->capacity);
		}
		else
		{
			params->types = repalloc(params->types, sizeof(Oid) * params->capacity);
			params->values = repalloc(params->values, sizeof(Datum) * params->capacity);
		}
	}
	params->types[params->n] = type;
	params->values[params->n] = value;
	return ++params->n;
}

void
ffs_batch_append_columns(StringInfo query, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (i > 0)
			appendStringInfoString(query, ", ");
		if (att->attisdropped)
			appendStringInfoString(query, "NULL::pg_catalog.int4");
		else
			appendStringInfo(query, "ffs_row.%s", quote_identifier(NameStr(att->attname)));
	}
}

DestReceiver *
ffs_batch_open_result(ReturnSetInfo *result)
{
	DestReceiver *dest = CreateTuplestoreDestReceiver();

	SetTuplestoreDestReceiverParams(dest, result->setResult,
									result->econtext->ecxt_per_query_memory, false, NULL, NULL);
	return dest;
}

uint64
ffs_batch_run_select(const char *query, const QueryParams *params, DestReceiver *dest)
{
	ParamListInfo list = makeParamList(params->n);
	SPIExecuteOptions options;
	SPIPlanPtr	plan;
	bool		kept;
	int			result;

	for (int i = 0; i < params->n; i++)
	{
		list->params[i].ptype = params->types[i];
		list->params[i].value = params->values[i];
		list->params[i].isnull = false;
		list->params[i].pflags = PARAM_FLAG_CONST;
	}
	memset(&options, 0, sizeof(options));
	options.params = list;
	options.read_only = true;
	options.dest = dest;
	plan = ffs_batch_plan(query, params->n, params->types, &kept);
	result = SPI_execute_plan_extended(plan, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(result), query);
	if (!kept)
		SPI_freeplan(plan);
	return SPI_processed;
}
