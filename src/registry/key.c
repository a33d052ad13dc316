/*-------------------------------------------------------------------------
 *
 * key.c
 *		A row's key as callers give it: typed values, one text, or a jsonb
 *		object; and as ffstorage.rekeys keeps it.
 *
 * A value goes into the key's type only where that loses nothing: 1.5 must
 * not find the row 1.  Text goes through the type's input function, without
 * the column's length or scale, for the same reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/base.h"
#include "registry/key.h"

typedef struct KeyColumn
{
	Oid			relid;
	const char *name;
	Oid			type;			/* as declared */
	Oid			base;			/* under any domain */
} KeyColumn;

static void
key_column(const FfsTable *table, int n, KeyColumn *column)
{
	column->relid = table->relid;
	column->name = get_attname(table->relid, table->key[n], false);
	column->type = get_atttype(table->relid, table->key[n]);
	column->base = getBaseType(column->type);
}

/* ---- names and messages ---- */

char *
ffs_registry_key_names(const FfsTable *table)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 get_attname(table->relid, table->key[i], false));
	return buf.data;
}

char *
ffs_registry_key_text(const FfsTable *table, const Datum *values)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "(%s)=(", ffs_registry_key_names(table));
	for (int i = 0; i < table->nkeys; i++)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(get_atttype(table->relid, table->key[i]), &output, &varlena);
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", OidOutputFunctionCall(output, values[i]));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
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

static void
wrong_number(const FfsTable *table, int given) pg_attribute_noreturn();

static void
wrong_number(const FfsTable *table, int given)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_KEY_MISSING),
			 errmsg_plural("%d value given for the key (%s)",
						   "%d values given for the key (%s)",
						   given, given, ffs_registry_key_names(table)),
			 errdetail_plural("The primary key of %s has %d column.",
							  "The primary key of %s has %d columns.",
							  table->nkeys, ffs_base_relation_name(table->rootid), table->nkeys),
			 errhint("Give one value for each key column, in that order, or a jsonb object with a member for each.")));
}

static void
null_value(const KeyColumn *column, const FfsTable *table) pg_attribute_noreturn();

static void
null_value(const KeyColumn *column, const FfsTable *table)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_KEY_MISSING),
			 errmsg("the value for key column \"%s\" is null", column->name),
			 errdetail("The primary key of %s is (%s).",
					   ffs_base_relation_name(table->rootid), ffs_registry_key_names(table)),
			 errhint("Give a value for each key column.")));
}

/* ---- one value ---- */

/* Say which column it was when a type's input function refuses a text. */
static void
input_error(void *arg)
{
	const KeyColumn *column = arg;

	errcontext("key column \"%s\" of table %s", column->name,
			   ffs_base_relation_name(column->relid));
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_DATA_EXCEPTION)
	{
		errdetail("Key column \"%s\" of table %s has type %s.", column->name,
				  ffs_base_relation_name(column->relid), format_type_be(column->type));
		errhint("Give a value of that type.");
	}
}

static Datum
from_cstring(KeyColumn *column, char *text)
{
	ErrorContextCallback callback;
	Oid			input;
	Oid			ioparam;
	Datum		result;

	callback.callback = input_error;
	callback.arg = column;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	getTypeInputInfo(column->base, &input, &ioparam);
	result = OidInputFunctionCall(input, text, ioparam, -1);
	error_context_stack = callback.previous;
	return result;
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* A value of some type as the key column's, where nothing is lost by it. */
static Datum
from_typed(KeyColumn *column, Oid type, Datum value)
{
	char		category;
	bool		preferred;
	Oid			function;
	Oid			output;
	bool		varlena;
	CoercionContext context = COERCION_IMPLICIT;
	ErrorContextCallback callback;
	Datum		result;

	if (type == UNKNOWNOID)
		return from_cstring(column, DatumGetCString(value));
	type = getBaseType(type);
	if (type == column->base)
		return value;

	/* Texts are literals; a text key also takes what prints as text. */
	get_type_category_preferred(type, &category, &preferred);
	if (category == TYPCATEGORY_STRING)
	{
		getTypeOutputInfo(type, &output, &varlena);
		return from_cstring(column, OidOutputFunctionCall(output, value));
	}
	get_type_category_preferred(column->base, &category, &preferred);
	if (category == TYPCATEGORY_STRING)
	{
		getTypeOutputInfo(type, &output, &varlena);
		return from_cstring(column, OidOutputFunctionCall(output, value));
	}

	if (is_integer(type) && is_integer(column->base))
		context = COERCION_ASSIGNMENT;	/* too large a one is an error */
	switch (find_coercion_pathway(column->base, type, context, &function))
	{
		case COERCION_PATH_RELABELTYPE:
			return value;
		case COERCION_PATH_FUNC:
			callback.callback = input_error;
			callback.arg = column;
			callback.previous = error_context_stack;
			error_context_stack = &callback;
			/* the second and third argument are there in functions that apply a typmod */
			if (get_func_nargs(function) == 1)
				result = OidFunctionCall1(function, value);
			else if (get_func_nargs(function) == 2)
				result = OidFunctionCall2(function, value, Int32GetDatum(-1));
			else
				result = OidFunctionCall3(function, value, Int32GetDatum(-1), BoolGetDatum(false));
			error_context_stack = callback.previous;
			return result;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("key column \"%s\" is of type %s but the value given is of type %s",
					column->name, format_type_be(column->type), format_type_be(type)),
			 errdetail("The key belongs to table %s.", ffs_base_relation_name(column->relid)),
			 errhint("Cast the value to %s, or give it as text.", format_type_be(column->type))));
	return (Datum) 0;
}

/*
 * A jsonb array or object as an array or a row, as jsonb_populate_record()
 * makes it: by a row of the table that has this column only.
 */
static Datum
from_container(KeyColumn *column, JsonbValue *value)
{
	Oid			rowtype = get_rel_type_id(column->relid);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(rowtype, -1);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	LOCAL_FCINFO(fcinfo, 2);
	FmgrInfo	function;
	ErrorContextCallback callback;
	JsonbParseState *state = NULL;
	JsonbValue	name = {.type = jbvString};
	HeapTupleData tuple;
	Datum		row;
	Datum		result;
	bool		isnull;

	memset(nulls, true, sizeof(bool) * desc->natts);
	name.val.string.val = unconstify(char *, column->name);
	name.val.string.len = strlen(column->name);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &name);
	pushJsonbValue(&state, WJB_VALUE, value);
	fmgr_info(F_JSONB_POPULATE_RECORD, &function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, rowtype,
											 list_make2(makeNullConst(rowtype, -1, InvalidOid), makeNullConst(JSONBOID, -1, InvalidOid)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL), &function);
	InitFunctionCallInfoData(*fcinfo, &function, 2, InvalidOid, NULL, NULL);
	/* a row of NULLs, not NULL: domains of other columns are not looked at */
	fcinfo->args[0].value = heap_copy_tuple_as_datum(heap_form_tuple(desc, values, nulls), desc);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	fcinfo->args[1].isnull = false;

	callback.callback = input_error;
	callback.arg = column;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	row = FunctionCallInvoke(fcinfo);
	error_context_stack = callback.previous;

	tuple.t_data = DatumGetHeapTupleHeader(row);
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	result = heap_getattr(&tuple, get_attnum(column->relid, column->name), desc, &isnull);
	if (isnull)
		elog(ERROR, "key column \"%s\" was not filled", column->name);
	return result;
}

/* A member of a jsonb key. */
static Datum
from_jsonb_value(const FfsTable *table, KeyColumn *column, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			if (column->base == JSONBOID)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			null_value(column, table);
		case jbvString:
			if (column->base == JSONBOID)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			return from_cstring(column, pnstrdup(value->val.string.val, value->val.string.len));
		case jbvNumeric:
			if (column->base == JSONBOID)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			return from_cstring(column,
								DatumGetCString(DirectFunctionCall1(numeric_out,
																	NumericGetDatum(value->val.numeric))));
		case jbvBool:
			if (column->base == JSONBOID)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			return from_cstring(column, pstrdup(value->val.boolean ? "true" : "false"));
		case jbvBinary:
		case jbvArray:
		case jbvObject:
			if (column->base == JSONBOID)
				return JsonbPGetDatum(JsonbValueToJsonb(value));
			if (OidIsValid(get_element_type(column->base)) || get_typtype(column->base) == TYPTYPE_COMPOSITE)
				return from_container(column, value);
			break;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("key column \"%s\" is of type %s but the value given is a jsonb array or object",
					column->name, format_type_be(column->type)),
			 errdetail("The key belongs to table %s.", ffs_base_relation_name(column->relid)),
			 errhint("Give the value as a jsonb string, written as a literal of %s.",
					 format_type_be(column->type))));
	return (Datum) 0;
}

Datum
ffs_registry_key_value(const FfsTable *table, int n, Oid type, Datum value)
{
	KeyColumn	column;

	key_column(table, n, &column);
	return from_typed(&column, type, value);
}

/* ---- whole keys ---- */

/* Does a jsonb object have a member for each key column? */
static bool
names_every_column(const FfsTable *table, Jsonb *key)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		char	   *name = get_attname(table->relid, table->key[i], false);
		JsonbValue	found;

		if (getKeyJsonValueFromContainer(&key->root, name, strlen(name), &found) == NULL)
			return false;
	}
	return true;
}

/* Refuse members that are no key columns: they are misspelt, or belong elsewhere. */
static void
check_members(const FfsTable *table, Jsonb *key, const char *extra)
{
	JsonbIterator *iterator = JsonbIteratorInit(&key->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *member;
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		member = pnstrdup(value.val.string.val, value.val.string.len);
		if (extra != NULL && strcmp(member, extra) == 0)
			known = true;
		for (int i = 0; i < table->nkeys && !known; i++)
			known = strcmp(member, get_attname(table->relid, table->key[i], false)) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("\"%s\" is not a key column of table %s", member,
							ffs_base_relation_name(table->rootid)),
					 errdetail("The primary key is (%s).", ffs_registry_key_names(table)),
					 errhint("Name the key columns, and no others.")));
	}
}

void
ffs_registry_key_from_jsonb(const FfsTable *table, Jsonb *key, const char *extra, Datum *values)
{
	KeyColumn	column;

	require_key(table);

	if (JB_ROOT_IS_OBJECT(key))
	{
		/* a key that is itself a jsonb may be any object */
		if (table->nkeys == 1 && !names_every_column(table, key))
		{
			key_column(table, 0, &column);
			if (column.base == JSONBOID)
			{
				values[0] = JsonbPGetDatum(key);
				return;
			}
		}
		check_members(table, key, extra);
		for (int i = 0; i < table->nkeys; i++)
		{
			JsonbValue	found;

			key_column(table, i, &column);
			if (getKeyJsonValueFromContainer(&key->root, column.name, strlen(column.name), &found) == NULL)
				ereport(ERROR,
						(errcode(FFS_ERRCODE_KEY_MISSING),
						 errmsg("the key has no member \"%s\"", column.name),
						 errdetail("The primary key of %s is (%s).",
								   ffs_base_relation_name(table->rootid), ffs_registry_key_names(table)),
						 errhint("Give a value for each key column.")));
			values[i] = from_jsonb_value(table, &column, &found);
		}
		return;
	}

	if (table->nkeys != 1)
		wrong_number(table, 1);
	key_column(table, 0, &column);
	if (column.base == JSONBOID)
		values[0] = JsonbPGetDatum(key);
	else if (JB_ROOT_IS_SCALAR(key))
	{
		JsonbValue	scalar;

		if (!JsonbExtractScalar(&key->root, &scalar))
			elog(ERROR, "scalar jsonb without a value");
		values[0] = from_jsonb_value(table, &column, &scalar);
	}
	else
	{
		JsonbValue	array;

		array.type = jbvBinary;
		array.val.binary.data = &key->root;
		array.val.binary.len = VARSIZE(key) - VARHDRSZ;
		values[0] = from_jsonb_value(table, &column, &array);
	}
}

void
ffs_registry_key_from_args(const FfsTable *table, FunctionCallInfo fcinfo, int first, Datum *values)
{
	Datum	   *args;
	Oid		   *types;
	bool	   *nulls;
	int			nargs;

	require_key(table);
	nargs = extract_variadic_args(fcinfo, first, false, &args, &types, &nulls);
	if (nargs == 1 && types[0] == JSONBOID && !nulls[0])
	{
		ffs_registry_key_from_jsonb(table, DatumGetJsonbP(args[0]), NULL, values);
		return;
	}
	if (nargs != table->nkeys)
		wrong_number(table, Max(nargs, 0));
	for (int i = 0; i < nargs; i++)
	{
		KeyColumn	column;

		key_column(table, i, &column);
		if (nulls[i])
			null_value(&column, table);
		values[i] = from_typed(&column, types[i], args[i]);
	}
}

/* ---- keys as jsonb ---- */

Datum
ffs_registry_to_jsonb(Oid type, Datum value)
{
	FmgrInfo	flinfo;
	Param	   *argument = makeNode(Param);

	/* to_jsonb() asks the call's expression which type it is given */
	argument->paramkind = PARAM_EXTERN;
	argument->paramtype = type;
	argument->paramtypmod = -1;
	argument->location = -1;
	fmgr_info(F_TO_JSONB, &flinfo);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &flinfo);
	return FunctionCall1(&flinfo, value);
}

static bool
prints_alike_everywhere(Oid type)
{
	return is_integer(type) || type == TEXTOID || type == VARCHAROID || type == UUIDOID ||
		type == NUMERICOID || type == BOOLOID;
}

int
ffs_registry_begin_plain_output(void)
{
	int			guc_level = NewGUCNestLevel();

	(void) set_config_option("timezone", "UTC", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("datestyle", "ISO", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "3", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("bytea_output", "hex", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return guc_level;
}

Jsonb *
ffs_registry_key_to_jsonb(const FfsTable *table, const Datum *values)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;
	int			guc_level = -1;

	for (int i = 0; i < table->nkeys && guc_level < 0; i++)
	{
		if (prints_alike_everywhere(get_atttype(table->relid, table->key[i])))
			continue;
		guc_level = ffs_registry_begin_plain_output();
	}

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < table->nkeys; i++)
	{
		KeyColumn	column;
		JsonbValue	name;
		JsonbValue	member;
		Jsonb	   *json;

		key_column(table, i, &column);
		name.type = jbvString;
		name.val.string.val = unconstify(char *, column.name);
		name.val.string.len = strlen(column.name);
		pushJsonbValue(&state, WJB_KEY, &name);

		/* char(n) is equal without its trailing blanks, jsonb is not */
		if (column.base == BPCHAROID)
			json = DatumGetJsonbP(ffs_registry_to_jsonb(TEXTOID, DirectFunctionCall1(rtrim1, values[i])));
		else
			json = DatumGetJsonbP(ffs_registry_to_jsonb(column.type, values[i]));
		if (JB_ROOT_IS_SCALAR(json))
		{
			if (!JsonbExtractScalar(&json->root, &member))
				elog(ERROR, "scalar jsonb without a value");
		}
		else
		{
			member.type = jbvBinary;
			member.val.binary.data = &json->root;
			member.val.binary.len = VARSIZE(json) - VARHDRSZ;
		}
		pushJsonbValue(&state, WJB_VALUE, &member);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	if (guc_level >= 0)
		AtEOXact_GUC(false, guc_level);
	return JsonbValueToJsonb(result);
}
