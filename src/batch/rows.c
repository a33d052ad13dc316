/*-------------------------------------------------------------------------
 *
 * rows.c
 *		jsonb objects as rows of a table.
 *
 * A value becomes what jsonb_populate_record() would make of it.  The usual
 * types have a short cut that gives the same; arrays and composites go through
 * that function itself, a column at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "batch/literals.h"
#include "batch/rows.h"

/* ---- set-up ---- */

RowReader *
ffs_batch_open_reader(Relation rel, FfsTable *table)
{
	TupleDesc	desc = RelationGetDescr(rel);
	RowReader  *reader = palloc0(sizeof(RowReader));

	reader->rel = rel;
	reader->table = table;
	reader->relation_name = ffs_base_relation_name(RelationGetRelid(rel));
	reader->natts = desc->natts;
	reader->nwords = GIVEN_WORDS(desc->natts);
	reader->columns = palloc0(sizeof(RowColumn) * desc->natts);
	reader->context = CurrentMemoryContext;
	reader->expected = palloc(sizeof(int) * desc->natts);
	initStringInfo(&reader->scratch);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		RowColumn  *column = &reader->columns[i];

		column->attno = i + 1;
		column->dropped = att->attisdropped;
		if (column->dropped)
			continue;
		column->name = pstrdup(NameStr(att->attname));
		column->name_length = strlen(column->name);
		column->type = att->atttypid;
		column->typmod = att->atttypmod;
		column->byval = att->attbyval;
		column->length = att->attlen;
		column->stamp = bms_is_member(column->attno, table->stamp_set);
		column->generated = att->attgenerated != '\0';
		column->identity_always = att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	}
	return reader;
}

/* jsonb_populate_record(record of this one column, jsonb), ready to call. */
static void
set_up_populate(RowReader *reader, RowColumn *column)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	Param	   *record = makeNode(Param);
	Param	   *json = makeNode(Param);
	Datum		value = (Datum) 0;
	bool		isnull = true;

	TupleDescInitEntry(desc, 1, column->name, column->type, column->typmod, 0);
	BlessTupleDesc(desc);
	column->populate_base = HeapTupleGetDatum(heap_form_tuple(desc, &value, &isnull));

	/* the function asks the call's expression for its argument's type */
	record->paramkind = PARAM_EXTERN;
	record->paramtype = RECORDOID;
	record->paramtypmod = -1;
	json->paramkind = PARAM_EXTERN;
	json->paramtype = JSONBOID;
	json->paramtypmod = -1;
	fmgr_info_cxt(F_JSONB_POPULATE_RECORD, &column->populate, reader->context);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, RECORDOID,
											 list_make2(record, json),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &column->populate);
}

static void
set_up_column(RowReader *reader, RowColumn *column)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	Oid			base = getBaseType(column->type);
	Oid			input;

	column->is_domain = base != column->type;
	getTypeInputInfo(column->type, &input, &column->io_param);
	fmgr_info_cxt(input, &column->input, reader->context);

	if (type_is_array(base) || type_is_rowtype(base))
	{
		column->kind = COLUMN_POPULATE;
		set_up_populate(reader, column);
	}
	else if (column->is_domain)
		column->kind = base == JSONBOID ? COLUMN_POPULATE : COLUMN_INPUT;
	else
		switch (base)
		{
			case TEXTOID:
			case VARCHAROID:
				column->kind = COLUMN_TEXT;
				break;
			case INT2OID:
				column->kind = COLUMN_INT2;
				break;
			case INT4OID:
				column->kind = COLUMN_INT4;
				break;
			case INT8OID:
				column->kind = COLUMN_INT8;
				break;
			case FLOAT4OID:
				column->kind = COLUMN_FLOAT4;
				break;
			case FLOAT8OID:
				column->kind = COLUMN_FLOAT8;
				break;
			case NUMERICOID:
				column->kind = COLUMN_NUMERIC;
				break;
			case BOOLOID:
				column->kind = COLUMN_BOOL;
				break;
			case UUIDOID:
				column->kind = COLUMN_UUID;
				break;
			case DATEOID:
				column->kind = COLUMN_DATE;
				break;
			case TIMESTAMPOID:
				column->kind = COLUMN_TIMESTAMP;
				break;
			case TIMESTAMPTZOID:
				column->kind = COLUMN_TIMESTAMPTZ;
				break;
			case JSONBOID:
				column->kind = COLUMN_JSONB;
				break;
			default:
				column->kind = COLUMN_INPUT;
				break;
		}
	if (column->is_domain && column->kind == COLUMN_POPULATE && !column->populate_base)
		set_up_populate(reader, column);
	column->ready = true;
	MemoryContextSwitchTo(old);
}

/* ---- one value ---- */

/*
 * A jsonb number that is an integer of up to 16 digits, read from numeric's
 * form on disk: short header, no digits after the point.  False for anything
 * else, which goes the long way.
 */
static bool
numeric_small_integer(Numeric number, int64 *result)
{
	const char *data = VARDATA_ANY(number);
	int			size = VARSIZE_ANY_EXHDR(number);
	uint16		header;
	int			ndigits;
	int			weight;
	int64		value = 0;

	if (size < (int) sizeof(uint16))
		return false;
	memcpy(&header, data, sizeof(uint16));
	if ((header & 0xC000) != 0x8000)	/* not short, or NaN or infinity */
		return false;
	if (header & 0x1F80)		/* has digits after the point */
		return false;
	ndigits = (size - sizeof(uint16)) / sizeof(int16);
	weight = (header & 0x0040) ? -1 : (header & 0x003F);
	if (ndigits == 0)
	{
		*result = 0;
		return true;
	}
	if (weight < 0 || weight > 3 || ndigits > weight + 1)
		return false;
	for (int i = 0; i <= weight; i++)
	{
		int16		digit = 0;

		if (i < ndigits)
			memcpy(&digit, data + sizeof(uint16) + i * sizeof(int16), sizeof(int16));
		value = value * 10000 + digit;
	}
	*result = (header & 0x2000) ? -value : value;
	return true;
}

/* A jsonb value as the text that jsonb_populate_record hands to input functions. */
static char *
value_text(RowReader *reader, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			/* almost every value comes this way: no allocation */
			resetStringInfo(&reader->scratch);
			appendBinaryStringInfo(&reader->scratch, value->val.string.val, value->val.string.len);
			return reader->scratch.data;
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			elog(ERROR, "unexpected jsonb value of type %d", (int) value->type);
	}
	return NULL;
}

static Datum
populate_value(RowColumn *column, JsonbValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue	name;
	JsonbValue *object;
	Datum		record;
	HeapTupleHeader header;
	HeapTupleData tuple;
	TupleDesc	desc;
	Datum		result;
	bool		isnull;

	name.type = jbvString;
	name.val.string.val = unconstify(char *, column->name);
	name.val.string.len = column->name_length;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &name);
	pushJsonbValue(&state, WJB_VALUE, value);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);

	record = FunctionCall2(&column->populate, column->populate_base,
						   JsonbPGetDatum(JsonbValueToJsonb(object)));
	header = DatumGetHeapTupleHeader(record);
	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	result = heap_getattr(&tuple, 1, desc, &isnull);
	ReleaseTupleDesc(desc);
	if (isnull)
		elog(ERROR, "a jsonb value became null");
	return result;
}

static Datum
input_value(RowReader *reader, RowColumn *column, JsonbValue *value)
{
	return InputFunctionCall(&column->input, value_text(reader, value),
							 column->io_param, column->typmod);
}

static Datum
convert_value(RowReader *reader, RowColumn *column, JsonbValue *value, bool *isnull)
{
	int64		integer;

	if (unlikely(!column->ready))
		set_up_column(reader, column);

	if (value->type == jbvNull)
	{
		*isnull = true;
		/* a domain has its say about NULL */
		if (column->is_domain)
			(void) InputFunctionCall(&column->input, NULL, column->io_param, column->typmod);
		return (Datum) 0;
	}
	*isnull = false;

	switch (column->kind)
	{
		case COLUMN_TEXT:
			if (value->type == jbvString &&
				(column->typmod < 0 || value->val.string.len <= column->typmod - (int) VARHDRSZ))
				return PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																value->val.string.len));
			break;
		case COLUMN_INT2:
			if (value->type == jbvNumeric && numeric_small_integer(value->val.numeric, &integer) &&
				integer >= PG_INT16_MIN && integer <= PG_INT16_MAX)
				return Int16GetDatum((int16) integer);
			break;
		case COLUMN_INT4:
			if (value->type == jbvNumeric && numeric_small_integer(value->val.numeric, &integer) &&
				integer >= PG_INT32_MIN && integer <= PG_INT32_MAX)
				return Int32GetDatum((int32) integer);
			break;
		case COLUMN_INT8:
			if (value->type == jbvNumeric && numeric_small_integer(value->val.numeric, &integer))
				return Int64GetDatum(integer);
			break;
		case COLUMN_FLOAT4:
			if (value->type == jbvNumeric && numeric_small_integer(value->val.numeric, &integer) &&
				integer > -(1 << 24) && integer < (1 << 24))
				return Float4GetDatum((float4) integer);
			break;
		case COLUMN_FLOAT8:
			if (value->type == jbvNumeric && numeric_small_integer(value->val.numeric, &integer) &&
				integer > -(INT64CONST(1) << 53) && integer < (INT64CONST(1) << 53))
				return Float8GetDatum((float8) integer);
			break;
		case COLUMN_NUMERIC:
			/* in place: the input outlives the row */
			if (value->type == jbvNumeric)
			{
				if (column->typmod < 0)
					return NumericGetDatum(value->val.numeric);
				return DirectFunctionCall2(numeric, NumericGetDatum(value->val.numeric),
										   Int32GetDatum(column->typmod));
			}
			break;
		case COLUMN_BOOL:
			if (value->type == jbvBool)
				return BoolGetDatum(value->val.boolean);
			break;
		case COLUMN_UUID:
			if (value->type == jbvString)
			{
				pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

				if (ffs_batch_parse_uuid(value->val.string.val, value->val.string.len, uuid))
					return UUIDPGetDatum(uuid);
				pfree(uuid);
			}
			break;
		case COLUMN_DATE:
			if (value->type == jbvString)
			{
				DateADT		date;

				if (ffs_batch_parse_date(value->val.string.val, value->val.string.len, &date))
					return DateADTGetDatum(date);
			}
			break;
		case COLUMN_TIMESTAMP:
		case COLUMN_TIMESTAMPTZ:
			if (value->type == jbvString && column->typmod < 0)
			{
				Timestamp	timestamp;

				if (ffs_batch_parse_timestamp(value->val.string.val, value->val.string.len,
											  column->kind == COLUMN_TIMESTAMPTZ, &timestamp))
					return TimestampGetDatum(timestamp);
			}
			break;
		case COLUMN_JSONB:
			return JsonbPGetDatum(JsonbValueToJsonb(value));
		case COLUMN_POPULATE:
			return populate_value(column, value);
		case COLUMN_INPUT:
			/* json text keeps its quotes */
			if (getBaseType(column->type) == JSONOID && value->type != jbvBinary)
			{
				Jsonb	   *json = JsonbValueToJsonb(value);

				return InputFunctionCall(&column->input,
										 JsonbToCString(NULL, &json->root, VARSIZE(json)),
										 column->io_param, column->typmod);
			}
			break;
	}
	return input_value(reader, column, value);
}

Datum
ffs_batch_read_value(RowReader *reader, RowColumn *column, JsonbValue *value, bool *isnull)
{
	return convert_value(reader, column, value, isnull);
}

/* ---- one object ---- */

RowColumn *
ffs_batch_find_column(RowReader *reader, const char *name, int length)
{
	for (int i = 0; i < reader->natts; i++)
	{
		RowColumn  *column = &reader->columns[i];

		if (!column->dropped && column->name_length == length && memcmp(column->name, name, length) == 0)
			return column;
	}
	return NULL;
}

static void
unknown_column(RowReader *reader, const char *name, int length) pg_attribute_noreturn();

static void
unknown_column(RowReader *reader, const char *name, int length)
{
	/* never the whole of a member's name that is no name */
	int			shown = pg_mbcliplen(name, length, NAMEDATALEN);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%.*s\" of relation \"%s\" does not exist", shown, name,
					RelationGetRelationName(reader->rel)),
			 errdetail("A member of the object has this name."),
			 errhint("Members of the object must be named as the table's columns are.")));
}

/* Columns whose values are the server's to make. */
void
ffs_batch_refuse_value(RowReader *reader, const RowColumn *column)
{
	FfsTable   *table = reader->table;

	if (reader->for_update)
		for (int i = 0; i < table->nkeys; i++)
			if (table->key[i] == column->attno)
				return;
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 reader->for_update ?
			 errmsg("column \"%s\" can only be updated to DEFAULT", column->name) :
			 errmsg("cannot insert a non-DEFAULT value into column \"%s\"", column->name),
			 column->generated ?
			 errdetail("Column \"%s\" is a generated column.", column->name) :
			 errdetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.", column->name),
			 reader->whole_rows ?
			 errhint("Let it be NULL: the server makes the value.") :
			 errhint("Leave the column out.")));
}

void
ffs_batch_read_object(RowReader *reader, JsonbContainer *object,
					  Datum *values, bool *nulls, uint64 *given)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	RowColumn  *column = NULL;
	int			member = 0;

	reader->current = NULL;
	reader->version.type = jbvNull;
	memset(given, 0, sizeof(uint64) * reader->nwords);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			const char *name = value.val.string.val;
			int			length = value.val.string.len;

			/* objects of one call mostly have the same members in the same order */
			column = NULL;
			if (member < reader->nexpected)
			{
				RowColumn  *likely = &reader->columns[reader->expected[member]];

				if (likely->name_length == length && memcmp(likely->name, name, length) == 0)
					column = likely;
			}
			if (column == NULL)
			{
				column = ffs_batch_find_column(reader, name, length);
				if (column == NULL && reader->takes_version &&
					length == (int) strlen("expected_version") && memcmp(name, "expected_version", length) == 0)
					continue;
				if (column == NULL)
					unknown_column(reader, name, length);
				reader->expected[member] = column->attno - 1;
				reader->nexpected = member + 1;
			}
			member++;
		}
		else if (token == WJB_VALUE && column == NULL)
			reader->version = value;
		else if (token == WJB_VALUE)
		{
			if (column->stamp)
				continue;
			if (unlikely(column->generated || column->identity_always))
				ffs_batch_refuse_value(reader, column);
			reader->current = column;
			values[column->attno - 1] = convert_value(reader, column, &value, &nulls[column->attno - 1]);
			ffs_batch_set_given(given, column->attno);
			reader->current = NULL;
		}
	}
}

void
ffs_batch_read_members(RowReader *reader, JsonbContainer *object, int ncolumns, const AttrNumber *columns,
					   Datum *values, bool *nulls, uint64 *given)
{
	memset(given, 0, sizeof(uint64) * reader->nwords);
	for (int i = 0; i < ncolumns; i++)
	{
		RowColumn  *column = &reader->columns[columns[i] - 1];
		JsonbValue	value;

		if (column->stamp ||
			getKeyJsonValueFromContainer(object, column->name, column->name_length, &value) == NULL)
			continue;
		reader->current = column;
		values[column->attno - 1] = convert_value(reader, column, &value, &nulls[column->attno - 1]);
		ffs_batch_set_given(given, column->attno);
		reader->current = NULL;
	}
}

/* ---- defaults ---- */

void
ffs_batch_default(RowReader *reader, AttrNumber attno, Datum *value, bool *isnull)
{
	RowColumn  *column = &reader->columns[attno - 1];
	ExprContext *econtext;
	Datum		result;

	if (!column->default_ready)
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);
		Node	   *expr = build_column_default(reader->rel, attno);

		if (reader->estate == NULL)
			reader->estate = CreateExecutorState();
		if (expr != NULL)
		{
			MemoryContextSwitchTo(reader->estate->es_query_cxt);
			column->default_expr = ExecPrepareExpr((Expr *) expr, reader->estate);
		}
		column->default_ready = true;
		MemoryContextSwitchTo(old);
	}
	if (!column->ready)
		set_up_column(reader, column);
	if (column->default_expr == NULL)
	{
		*value = (Datum) 0;
		*isnull = true;
		if (column->is_domain)
			(void) InputFunctionCall(&column->input, NULL, column->io_param, column->typmod);
		return;
	}
	econtext = GetPerTupleExprContext(reader->estate);
	result = ExecEvalExprSwitchContext(column->default_expr, econtext, isnull);
	*value = *isnull ? (Datum) 0 : datumCopy(result, column->byval, column->length);
	ResetExprContext(econtext);
}

/* ---- messages ---- */

void
ffs_batch_name_column(RowReader *reader, ErrorData *error)
{
	MemoryContext old;

	if (reader->current == NULL)
		return;
	old = MemoryContextSwitchTo(error->assoc_context);
	error->detail = psprintf("Column \"%s\" of table %s%s%s", reader->current->name,
							 reader->relation_name,
							 error->detail ? ": " : ".",
							 error->detail ? error->detail : "");
	if (error->column_name == NULL)
		error->column_name = pstrdup(reader->current->name);
	MemoryContextSwitchTo(old);
}
