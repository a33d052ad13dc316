/*-------------------------------------------------------------------------
 *
 * one.c
 *		ffs_create, ffs_get, ffs_get_many, ffs_update, ffs_delete.
 *
 * Each is one statement with a plan kept for the session, run as the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "batch/batch.h"
#include "batch/one.h"
#include "batch/rows.h"
#include "registry/key.h"

PG_FUNCTION_INFO_V1(ffs_create);
PG_FUNCTION_INFO_V1(ffs_get);
PG_FUNCTION_INFO_V1(ffs_get_many);
PG_FUNCTION_INFO_V1(ffs_update);
PG_FUNCTION_INFO_V1(ffs_delete);

/* ---- keys with companions ---- */

static bool
is_key_column(const FfsTable *table, const char *name)
{
	for (int i = 0; i < table->nkeys; i++)
		if (strcmp(get_attname(table->relid, table->key[i], false), name) == 0)
			return true;
	return false;
}

/* Take a member that is no key column out of the object, into *value. */
static bool
take_member(const FfsTable *table, Jsonb **object, const char *name, JsonbValue *value)
{
	if (is_key_column(table, name) ||
		getKeyJsonValueFromContainer(&(*object)->root, name, strlen(name), value) == NULL)
		return false;
	*object = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(*object),
												 CStringGetTextDatum(name)));
	return true;
}

void
ffs_batch_key_argument(const FfsTable *table, FunctionCallInfo fcinfo, int n,
					   bool with_cascade, KeyArgument *key)
{
	Jsonb	   *object;
	JsonbValue	value;

	key->has_version = key->cascade = false;
	key->version = 0;
	if (PG_NARGS() != n + 1 || PG_ARGISNULL(n) || get_fn_expr_variadic(fcinfo->flinfo) ||
		get_fn_expr_argtype(fcinfo->flinfo, n) != JSONBOID)
	{
		ffs_registry_key_from_args(table, fcinfo, n, key->values);
		return;
	}

	object = PG_GETARG_JSONB_P(n);
	if (JB_ROOT_IS_OBJECT(object))
	{
		if (take_member(table, &object, "expected_version", &value) && value.type != jbvNull)
		{
			bool		failed = value.type != jbvNumeric;

			if (!failed)
				key->version = numeric_int4_opt_error(value.val.numeric, &failed);
			if (failed)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("expected_version must be an integer"),
						 errdetail("The member is of another type, or out of range."),
						 errhint("Give the version that was read, as a jsonb number.")));
			key->has_version = true;
		}
		if (with_cascade && take_member(table, &object, "cascade", &value) && value.type != jbvNull)
		{
			if (value.type != jbvBool)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("cascade must be true or false"),
						 errdetail("The member is of another type."),
						 errhint("Give it as a jsonb boolean.")));
			key->cascade = value.val.boolean;
		}
	}
	ffs_registry_key_from_jsonb(table, object, NULL, key->values);
	if (key->has_version)
		ffs_batch_check_versioned(table);
}

static void
require_key(const FfsTable *table)
{
	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_KEY_MISSING),
				 errmsg("table %s has no primary key", ffs_base_relation_name(table->rootid)),
				 errdetail("A row is found by the columns of its table's primary key."),
				 errhint("Add a primary key to the table.")));
}

/* ---- versions, and rows that are not there ---- */

void
ffs_batch_check_versioned(const FfsTable *table)
{
	if (table->stamp[FFS_VERSION] != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("table %s has no versions to expect", ffs_base_relation_name(table->relid)),
			 errdetail("Rows have versions where the table is managed with strategy scd2."),
			 errhint("Leave expected_version out, or call ffs_manage() with strategy => 'scd2'.")));
}

void
ffs_batch_version_conflict(const FfsTable *table, const Datum *key, int32 expected, int32 found)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_VERSION_CONFLICT),
			 errmsg("the row %s of table %s has another version", ffs_registry_key_text(table, key),
					ffs_base_relation_name(table->relid)),
			 errdetail("Version %d was expected, version %d was found.", expected, found),
			 errhint("Read the row again and repeat the change on what it is now.")));
}

const char *
ffs_batch_side_column(TupleDesc desc, const AttrNumber *map, AttrNumber source)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && map[i] == source)
			return NameStr(TupleDescAttr(desc, i)->attname);
	return NULL;
}

static uint64
run_plan(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expect)
{
	bool		kept;
	SPIPlanPtr	plan = ffs_batch_plan(query, nargs, types, &kept);
	int			result = SPI_execute_plan(plan, values, nulls, false, 0);

	if (!kept)
		SPI_freeplan(plan);
	if (result == SPI_OK_REWRITTEN)
		return SPI_processed;
	if (result != expect)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(result), query);
	return SPI_processed;
}

/* Is a row with this key waiting to be restored, as far as this role may know? */
static bool
is_deleted(const FfsTable *table, Datum *key)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];

	if (!table->soft_delete || !OidIsValid(table->deleted) ||
		pg_class_aclcheck(table->deleted, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		!ffs_registry_may_read(table->rootid))
		return false;
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT 1 FROM %s AS ffs_row WHERE ", ffs_base_relation_name(table->deleted));
	for (int i = 0; i < table->nkeys; i++)
	{
		const char *name = ffs_batch_side_column(table->deleted_desc, table->deleted_map, table->key[i]);

		if (name == NULL)
			return false;
		appendStringInfo(&query, "%sffs_row.%s OPERATOR(%s) $%d", i > 0 ? " AND " : "",
						 quote_identifier(name), ffs_batch_key_equality(table, i), i + 1);
		types[i] = getBaseType(get_atttype(table->relid, table->key[i]));
	}
	appendStringInfoString(&query, " LIMIT 1");
	return run_plan(query.data, table->nkeys, types, key, NULL, SPI_OK_SELECT) > 0;
}

/*
 * A statement found no row to change: say why.  Returns only if the row is not
 * there, or was kept from us, and `must_be_there` is false.
 */
static void
explain_absence(const FfsTable *table, KeyArgument *key, bool must_be_there)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];
	AttrNumber	version = table->stamp[FFS_VERSION];
	bool		there;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s FROM %s AS ffs_row WHERE ",
					 version != 0 && key->has_version ?
					 psprintf("ffs_row.%s", quote_identifier(get_attname(table->relid, version, false))) :
					 "NULL::pg_catalog.int4",
					 ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_row", 1, types);
	there = run_plan(query.data, table->nkeys, types, key->values, NULL, SPI_OK_SELECT) > 0;
	if (there && key->has_version)
	{
		bool		isnull;
		int32		found = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

		if (!isnull && found != key->version)
			ffs_batch_version_conflict(table, key->values, key->version, found);
	}
	if (!must_be_there)
		return;
	if (there)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_ROW_NOT_FOUND),
				 errmsg("the row %s of table %s cannot be changed", ffs_registry_key_text(table, key->values),
						ffs_base_relation_name(table->relid)),
				 errdetail("The row is there, but a policy or a trigger of the table kept it from the change."),
				 errhint("Check the table's policies for UPDATE and its triggers.")));
	if (is_deleted(table, key->values))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_ROW_DELETED),
				 errmsg("the row %s of table %s has been deleted", ffs_registry_key_text(table, key->values),
						ffs_base_relation_name(table->relid)),
				 errdetail("It is kept in %s.", ffs_base_relation_name(table->deleted)),
				 errhint("Call ffs_restore() first, or leave the row alone.")));
	ereport(ERROR,
			(errcode(FFS_ERRCODE_ROW_NOT_FOUND),
			 errmsg("table %s has no row %s", ffs_base_relation_name(table->relid),
					ffs_registry_key_text(table, key->values)),
			 errdetail("No row with this key can be seen by role \"%s\".",
					   GetUserNameFromId(GetUserId(), false)),
			 errhint("Check the key, and which tenant the transaction has set.")));
}

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

/* The jsonb that the statement returned, for our caller; 0 rows or NULL: false. */
static bool
take_jsonb(uint64 processed, MemoryContext context, Datum *result)
{
	MemoryContext old;
	bool		isnull;
	Datum		value;

	if (processed == 0)
		return false;
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return false;
	old = MemoryContextSwitchTo(context);
	*result = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(old);
	return true;
}

/* ---- ffs_create ---- */

static bool
create_row(FfsTable *table, Jsonb *data, Datum *result, uint64 *processed)
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
	bool		found;

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
	*processed = run_plan(query.data, n, types, params, param_nulls, SPI_OK_INSERT_RETURNING);
	found = take_jsonb(*processed, context, result);
	table_close(rel, NoLock);
	SPI_finish();
	return found;
}

Datum
ffs_create(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	Datum		result = (Datum) 0;
	uint64		processed;
	bool		found;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_CREATE, &start);
	found = create_row(table, object_argument(fcinfo, 1, "data"), &result, &processed);
	ffs_batch_count(table->rootid, FFS_OP_CREATE, processed, start);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* ---- ffs_get ---- */

/* SELECT of whole rows of the table, as its row type. */
static void
append_select(StringInfo query, const FfsTable *table)
{
	/* a bare alias would mean a column of that name */
	appendStringInfo(query, "SELECT (ffs_row.*)::%s FROM ", ffs_base_relation_name(table->relid));
}

static bool
get_row(FfsTable *table, Datum *key, MemoryContext context, Datum *result)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];
	bool		isnull;
	bool		found = false;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	initStringInfo(&query);
	append_select(&query, table);
	appendStringInfo(&query, "%s AS ffs_row WHERE ", ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_row", 1, types);
	if (run_plan(query.data, table->nkeys, types, key, NULL, SPI_OK_SELECT) > 0)
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

Datum
ffs_get(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;

	if (SRF_IS_FIRSTCALL())
	{
		FfsTable   *table;
		Datum		key[INDEX_MAX_KEYS];
		Datum		row = (Datum) 0;
		bool		found;
		instr_time	start;

		context = SRF_FIRSTCALL_INIT();
		table = ffs_batch_element_argument(fcinfo, 0);
		ffs_batch_begin(table->rootid, FFS_OP_GET, &start);
		ffs_registry_key_from_args(table, fcinfo, 1, key);
		found = get_row(table, key, context->multi_call_memory_ctx, &row);
		ffs_batch_count(table->rootid, FFS_OP_GET, found, start);
		if (found)
		{
			context->user_fctx = DatumGetPointer(row);
			SRF_RETURN_NEXT(context, row);
		}
		SRF_RETURN_DONE(context);
	}
	context = SRF_PERCALL_SETUP();
	SRF_RETURN_DONE(context);
}

/* ---- ffs_get_many ---- */

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
	processed = run_plan(query.data, table->nkeys, array_types, arrays, NULL, SPI_OK_SELECT);
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
		processed += run_plan(query.data, table->nkeys, types, keys + i * table->nkeys, NULL, SPI_OK_SELECT);
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
	require_key(table);
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

/* ---- ffs_update ---- */

/* Append ` AND version = $n`. */
static void
append_version(StringInfo query, const FfsTable *table, int n)
{
	appendStringInfo(query, " AND ffs_target.%s OPERATOR(pg_catalog.=) $%d",
					 quote_identifier(get_attname(table->relid, table->stamp[FFS_VERSION], false)), n);
}

static bool
update_row(FfsTable *table, Jsonb *patch, KeyArgument *key, Datum *result, uint64 *processed)
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
	bool		found;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rel = table_open(table->relid, RowExclusiveLock);
	reader = ffs_batch_open_reader(rel, table);
	reader->for_update = true;
	read_object(reader, patch, &values, &nulls, &given);

	params = palloc(sizeof(Datum) * (reader->natts + INDEX_MAX_KEYS + 1));
	param_nulls = palloc0(reader->natts + INDEX_MAX_KEYS + 2);
	types = palloc(sizeof(Oid) * (reader->natts + INDEX_MAX_KEYS + 1));
	for (; n < table->nkeys; n++)
	{
		AttrNumber	attno = table->key[n];

		if (!ffs_batch_is_given(given, attno) || nulls[attno - 1])
			ereport(ERROR,
					(errcode(FFS_ERRCODE_KEY_MISSING),
					 nulls[attno - 1] ?
					 errmsg("the value for key column \"%s\" is null", reader->columns[attno - 1].name) :
					 errmsg("the patch has no member \"%s\"", reader->columns[attno - 1].name),
					 errdetail("The primary key of %s is (%s).", reader->relation_name,
							   ffs_registry_key_names(table)),
					 errhint("Give a value for each key column.")));
		params[n] = key->values[n] = values[attno - 1];
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
	*processed = run_plan(query.data, n, types, params, param_nulls,
						  set.len > 0 ? SPI_OK_UPDATE_RETURNING : SPI_OK_SELECT);
	if (*processed == 0)
		explain_absence(table, key, true);
	found = take_jsonb(*processed, context, result);
	table_close(rel, NoLock);
	SPI_finish();
	return found;
}

Datum
ffs_update(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	Datum		result = (Datum) 0;
	KeyArgument key;
	uint64		processed;
	bool		found;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_UPDATE_ONE, &start);
	require_key(table);
	ffs_batch_require(table->relid, ACL_UPDATE);
	memset(&key, 0, sizeof(key));
	if (!PG_ARGISNULL(2))
	{
		ffs_batch_check_versioned(table);
		key.has_version = true;
		key.version = PG_GETARG_INT32(2);
	}
	found = update_row(table, object_argument(fcinfo, 1, "patch"), &key, &result, &processed);
	ffs_batch_count(table->rootid, FFS_OP_UPDATE_ONE, processed, start);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
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
	processed = run_plan(query.data, n, types, params, NULL, SPI_OK_DELETE);
	if (processed == 0 && key->has_version)
		explain_absence(table, key, false);
	SPI_finish();
	return processed;
}

Datum
ffs_delete(PG_FUNCTION_ARGS)
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
