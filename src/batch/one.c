/*-------------------------------------------------------------------------
 *
 * one.c
 *		ffs_create, ffs_get, ffs_update, ffs_delete.
 *
 * Each is one statement with a plan kept for the session, run as the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/call.h"
#include "batch/batch.h"
#include "batch/one.h"
#include "batch/rows.h"
#include "batch/select.h"
#include "registry/key.h"
#include "registry/rowcache.h"

FFS_CALL(ffs_create);
FFS_CALL(ffs_get);
FFS_CALL(ffs_update);
FFS_CALL(ffs_delete);

/* ---- jsonb rows ---- */

static Jsonb *
object_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	Jsonb	   *object;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errdetail("There is nothing to be written."),
				 errhint("Give a jsonb object with a member for each column.")));
	object = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a jsonb object", name),
				 errdetail("What was given is %s.",
						   JB_ROOT_IS_SCALAR(object) ? "a single value" : "an array"),
				 errhint("Give an object with a member for each column.")));
	return object;
}

/* An object's values, and the columns it names; errors say which column. */
static void
read_object(RowReader *reader, Jsonb *object, Datum **values, bool **nulls, uint64 **given)
{
	MemoryContext context = CurrentMemoryContext;

	*values = palloc0(sizeof(Datum) * reader->natts);
	*nulls = palloc0(sizeof(bool) * reader->natts);
	*given = palloc0(sizeof(uint64) * reader->nwords);
	PG_TRY();
	{
		ffs_batch_read_object(reader, &object->root, *values, *nulls, *given);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (reader->current == NULL)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ffs_batch_name_column(reader, error);
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* A statement on one row is done: the jsonb that it returned, for our caller. */
static NullableDatum
finish_row(Relation rel, uint64 processed, MemoryContext context)
{
	NullableDatum result = {(Datum) 0, true};

	if (processed > 0)
		result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &result.isnull);
	if (!result.isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(result.value));
		MemoryContextSwitchTo(old);
	}
	table_close(rel, NoLock);
	SPI_finish();
	return result;
}

/* The call is done: count it, and give the row. */
static Datum
return_row(FunctionCallInfo fcinfo, FfsTable *table, FfsOperation op, uint64 processed,
		   instr_time start, NullableDatum row)
{
	ffs_batch_count(table->rootid, op, processed, start);
	if (row.isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row.value);
}

/* ---- ffs_create ---- */

static NullableDatum
create_row(FfsTable *table, Jsonb *data, uint64 *processed)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	rel;
	RowReader  *reader;
	Datum	   *values;
	bool	   *nulls;
	uint64	   *given;
	Datum	   *params;
	char	   *param_nulls;
	Oid		   *types;
	int			n = 0;
	StringInfoData query;
	StringInfoData list;

	ffs_batch_require(table->relid, ACL_INSERT);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rel = table_open(table->relid, RowExclusiveLock);
	reader = ffs_batch_open_reader(rel, table);
	read_object(reader, data, &values, &nulls, &given);

	params = palloc(sizeof(Datum) * reader->natts);
	param_nulls = palloc(reader->natts + 1);
	types = palloc(sizeof(Oid) * reader->natts);
	initStringInfo(&query);
	initStringInfo(&list);
	appendStringInfo(&query, "INSERT INTO %s AS ffs_target", reader->relation_name);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		if (!ffs_batch_is_given(given, attno))
			continue;
		params[n] = values[attno - 1];
		param_nulls[n] = nulls[attno - 1] ? 'n' : ' ';
		types[n] = reader->columns[attno - 1].type;
		appendStringInfo(&query, "%s%s", n > 0 ? ", " : " (",
						 quote_identifier(reader->columns[attno - 1].name));
		appendStringInfo(&list, "%s$%d", n > 0 ? ", " : "", n + 1);
		n++;
	}
	if (n > 0)
		appendStringInfo(&query, ") VALUES (%s)", list.data);
	else
		appendStringInfoString(&query, " DEFAULT VALUES");
	appendStringInfoString(&query, " RETURNING ");
	ffs_batch_append_row_jsonb(&query, rel, "ffs_target");
	*processed = ffs_batch_run_plan(query.data, n, types, params, param_nulls, SPI_OK_INSERT_RETURNING);
	return finish_row(rel, *processed, context);
}

static Datum
ffs_create_call(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	NullableDatum row;
	uint64		processed;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_CREATE, &start);
	row = create_row(table, object_argument(fcinfo, 1, "data"), &processed);
	return return_row(fcinfo, table, FFS_OP_CREATE, processed, start, row);
}

/* ---- ffs_get ---- */

/* What a call in a query knows of itself from one row to the next. */
typedef struct GetSite
{
	Oid			relid;
	uint64		serial;			/* of the table's descriptor */
	bool		direct;			/* the arguments are values of the key columns' own types */
} GetSite;

/* Are the arguments from 1 on the key as it is, by the types that the call declares? */
static bool
is_direct(FunctionCallInfo fcinfo, const FfsTable *table)
{
	if (table->nkeys == 0 || PG_NARGS() != table->nkeys + 1 || get_fn_expr_variadic(fcinfo->flinfo))
		return false;
	for (int i = 0; i < table->nkeys; i++)
	{
		Oid			type = getBaseType(get_atttype(table->relid, table->key[i]));

		if (getBaseType(get_fn_expr_argtype(fcinfo->flinfo, i + 1)) != type || type == JSONBOID)
			return false;
	}
	return true;
}

static FfsTable *
get_arguments(FunctionCallInfo fcinfo, GetSite **site)
{
	FfsTable   *table;

	*site = fcinfo->flinfo->fn_extra;
	if (likely(*site != NULL))
	{
		table = ffs_registry_get((*site)->relid, false);
		if (likely(table->serial == (*site)->serial))
			return table;
	}
	else
		*site = fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(GetSite));
	table = ffs_batch_element_argument(fcinfo, 0);
	(*site)->relid = table->relid;
	(*site)->serial = table->serial;
	(*site)->direct = is_direct(fcinfo, table);
	return table;
}

bool
ffs_batch_ask_table(FfsTable *table, Datum *key, MemoryContext context, Datum *result)
{
	StringInfoData query;
	QueryParams params = {0};
	Oid			types[INDEX_MAX_KEYS];
	bool		isnull;
	bool		found = false;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	initStringInfo(&query);
	/* a bare alias would mean a column of that name */
	appendStringInfo(&query, "SELECT (ffs_row.*)::%s FROM ", ffs_base_relation_name(table->relid));
	appendStringInfo(&query, "%s AS ffs_row WHERE ", ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_row", 1, types);
	for (int i = 0; i < table->nkeys; i++)
		ffs_batch_add_param(&params, types[i], key[i]);
	if (ffs_batch_run_select(query.data, &params, NULL) > 0)
	{
		Datum		row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		*result = PointerGetDatum(PG_DETOAST_DATUM_COPY(row));
		found = true;
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* A row that is in the cache is found sooner than the clock is read twice. */
static inline FfsRowAnswer
find_row(FfsTable *table, const Datum *key, Datum *row)
{
	bool		timed = ffs_stats_times_short(table->rootid, FFS_OP_GET);
	uint64		nanoseconds = 0;
	FfsRowAnswer answer;
	instr_time	start;
	instr_time	end;

	if (timed)
		INSTR_TIME_SET_CURRENT(start);
	answer = ffs_registry_row_cache->find(table, key, CurrentMemoryContext, row);
	if (answer == FFS_ROW_ASK)
		return answer;
	if (timed)
	{
		INSTR_TIME_SET_CURRENT(end);
		INSTR_TIME_SUBTRACT(end, start);
		nanoseconds = Max((uint64) (INSTR_TIME_GET_DOUBLE(end) * 1e9), 1);
	}
	ffs_stats_count_short(table->rootid, FFS_OP_GET, answer == FFS_ROW_FOUND, nanoseconds);
	return answer;
}

static FfsRowAnswer
get_row(FunctionCallInfo fcinfo, FfsTable *table, bool direct, Datum *key, Datum *row)
{
	FfsRowAnswer answer = FFS_ROW_ASK;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_GET, &start);
	if (!direct)
		ffs_registry_key_from_args(table, fcinfo, 1, key);
	if (ffs_registry_row_cache != NULL)
		answer = ffs_registry_row_cache->get(table, key, CurrentMemoryContext, row);
	if (answer == FFS_ROW_ASK)
		answer = ffs_batch_ask_table(table, key, CurrentMemoryContext, row) ? FFS_ROW_FOUND : FFS_ROW_NONE;
	ffs_batch_count(table->rootid, FFS_OP_GET, answer == FFS_ROW_FOUND, start);
	return answer;
}

static Datum
ffs_get_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GetSite    *site;
	FfsTable   *table = get_arguments(fcinfo, &site);
	Datum		key[INDEX_MAX_KEYS];
	bool		direct = site->direct;
	Datum		row = (Datum) 0;
	FfsRowAnswer answer = FFS_ROW_ASK;

	for (int i = 0; direct && i < table->nkeys; i++)
	{
		direct = !PG_ARGISNULL(i + 1);
		key[i] = PG_GETARG_DATUM(i + 1);
	}
	if (direct && ffs_registry_row_cache != NULL)
		answer = find_row(table, key, &row);
	if (answer == FFS_ROW_ASK)
		answer = get_row(fcinfo, table, direct, key, &row);

	/* a set of one row, or of none */
	if (answer == FFS_ROW_FOUND)
	{
		if (result != NULL && IsA(result, ReturnSetInfo))
			result->isDone = ExprSingleResult;
		PG_RETURN_DATUM(row);
	}
	if (result != NULL && IsA(result, ReturnSetInfo))
		result->isDone = ExprEndResult;
	PG_RETURN_NULL();
}

/* ---- ffs_update ---- */

/* Append ` AND version = $n`. */
static void
append_version(StringInfo query, const FfsTable *table, int n)
{
	appendStringInfo(query, " AND ffs_target.%s OPERATOR(pg_catalog.=) $%d",
					 quote_identifier(get_attname(table->relid, table->stamp[FFS_VERSION], false)), n);
}

static NullableDatum
update_row(FfsTable *table, Jsonb *patch, KeyArgument *key, uint64 *processed)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	rel;
	RowReader  *reader;
	Datum	   *values;
	bool	   *nulls;
	uint64	   *given;
	Datum	   *params;
	char	   *param_nulls;
	Oid		   *types;
	int			n = 0;
	StringInfoData query;
	StringInfoData set;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rel = table_open(table->relid, RowExclusiveLock);
	reader = ffs_batch_open_reader(rel, table);
	reader->for_update = true;
	read_object(reader, patch, &values, &nulls, &given);

	params = palloc(sizeof(Datum) * (reader->natts + INDEX_MAX_KEYS + 1));
	param_nulls = palloc0(reader->natts + INDEX_MAX_KEYS + 2);
	types = palloc(sizeof(Oid) * (reader->natts + INDEX_MAX_KEYS + 1));
	ffs_batch_patch_key(reader, values, nulls, given, key->values);
	for (; n < table->nkeys; n++)
	{
		params[n] = key->values[n];
		param_nulls[n] = ' ';
	}

	initStringInfo(&query);
	initStringInfo(&set);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		bool		is_key = false;

		for (int i = 0; i < table->nkeys; i++)
			is_key |= table->key[i] == attno;
		if (!ffs_batch_is_given(given, attno) || is_key)
			continue;
		params[n] = values[attno - 1];
		param_nulls[n] = nulls[attno - 1] ? 'n' : ' ';
		types[n] = reader->columns[attno - 1].type;
		n++;
		appendStringInfo(&set, "%s%s = $%d", set.len > 0 ? ", " : "",
						 quote_identifier(reader->columns[attno - 1].name), n);
	}
	if (set.len > 0)
		appendStringInfo(&query, "UPDATE %s AS ffs_target SET %s WHERE ", reader->relation_name, set.data);
	else
	{
		/* nothing to change, and a row to show */
		appendStringInfoString(&query, "SELECT ");
		ffs_batch_append_row_jsonb(&query, rel, "ffs_target");
		appendStringInfo(&query, " FROM %s AS ffs_target WHERE ", reader->relation_name);
	}
	ffs_batch_append_key(&query, table, "ffs_target", 1, types);
	if (key->has_version)
	{
		params[n] = Int32GetDatum(key->version);
		param_nulls[n] = ' ';
		types[n] = INT4OID;
		n++;
		append_version(&query, table, n);
	}
	if (set.len > 0)
	{
		appendStringInfoString(&query, " RETURNING ");
		ffs_batch_append_row_jsonb(&query, rel, "ffs_target");
	}
	*processed = ffs_batch_run_plan(query.data, n, types, params, param_nulls,
						  set.len > 0 ? SPI_OK_UPDATE_RETURNING : SPI_OK_SELECT);
	if (*processed == 0)
		ffs_batch_explain_absence(table, key, true);
	return finish_row(rel, *processed, context);
}

static Datum
ffs_update_call(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	NullableDatum row;
	KeyArgument key;
	uint64		processed;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_UPDATE_ONE, &start);
	ffs_batch_require_key(table);
	ffs_batch_require(table->relid, ACL_UPDATE);
	memset(&key, 0, sizeof(key));
	if (!PG_ARGISNULL(2))
	{
		ffs_batch_check_versioned(table);
		key.has_version = true;
		key.version = PG_GETARG_INT32(2);
	}
	row = update_row(table, object_argument(fcinfo, 1, "patch"), &key, &processed);
	return return_row(fcinfo, table, FFS_OP_UPDATE_ONE, processed, start, row);
}

/* ---- ffs_delete ---- */

static uint64
delete_row(FfsTable *table, KeyArgument *key)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS + 1];
	Datum		params[INDEX_MAX_KEYS + 1];
	int			n = table->nkeys;
	uint64		processed;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	memcpy(params, key->values, sizeof(Datum) * n);
	initStringInfo(&query);
	appendStringInfo(&query, "DELETE FROM %s AS ffs_target WHERE ", ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_target", 1, types);
	if (key->has_version)
	{
		params[n] = Int32GetDatum(key->version);
		types[n] = INT4OID;
		n++;
		append_version(&query, table, n);
	}
	processed = ffs_batch_run_plan(query.data, n, types, params, NULL, SPI_OK_DELETE);
	if (processed == 0 && key->has_version)
		ffs_batch_explain_absence(table, key, false);
	SPI_finish();
	return processed;
}

static Datum
ffs_delete_call(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	KeyArgument key;
	uint64		processed;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_DELETE_ONE, &start);
	ffs_batch_key_argument(table, fcinfo, 1, false, &key);
	processed = delete_row(table, &key);
	ffs_batch_count(table->rootid, FFS_OP_DELETE_ONE, processed, start);
	PG_RETURN_BOOL(processed > 0);
}
