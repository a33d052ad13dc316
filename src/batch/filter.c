/*-------------------------------------------------------------------------
 *
 * filter.c
 *		Filters in jsonb as conditions in SQL.
 *
 * A member of the filter names a column; its value is what the column is to
 * equal, or an object of operators and operands.  A table without columns of
 * these names has the members "and", "or" and "not" for filters in filters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "batch/filter.h"

typedef enum FilterOperator
{
	FILTER_EQUAL,
	FILTER_NOT_EQUAL,
	FILTER_LESS,
	FILTER_LESS_EQUAL,
	FILTER_GREATER,
	FILTER_GREATER_EQUAL,
	FILTER_IN,
	FILTER_NOT_IN,
	FILTER_BETWEEN,
	FILTER_IS,
	FILTER_IS_NOT,
	FILTER_LIKE,
	FILTER_NOT_LIKE,
	FILTER_ILIKE,
	FILTER_NOT_ILIKE,
	FILTER_PREFIX,
	FILTER_CONTAINS,
	FILTER_CONTAINED_IN,
	FILTER_OVERLAPS
} FilterOperator;

typedef struct OperatorWord
{
	const char *word;
	FilterOperator operator;
} OperatorWord;

static const OperatorWord operator_words[] = {
	{"=", FILTER_EQUAL},
	{"<>", FILTER_NOT_EQUAL},
	{"!=", FILTER_NOT_EQUAL},
	{"<", FILTER_LESS},
	{"<=", FILTER_LESS_EQUAL},
	{">", FILTER_GREATER},
	{">=", FILTER_GREATER_EQUAL},
	{"in", FILTER_IN},
	{"not in", FILTER_NOT_IN},
	{"between", FILTER_BETWEEN},
	{"is", FILTER_IS},
	{"is not", FILTER_IS_NOT},
	{"like", FILTER_LIKE},
	{"not like", FILTER_NOT_LIKE},
	{"ilike", FILTER_ILIKE},
	{"not ilike", FILTER_NOT_ILIKE},
	{"prefix", FILTER_PREFIX},
	{"contains", FILTER_CONTAINS},
	{"contained in", FILTER_CONTAINED_IN},
	{"overlaps", FILTER_OVERLAPS},
};

typedef struct Filter
{
	StringInfo	query;
	RowReader  *reader;
	QueryParams *params;
	RowColumn  *column;			/* at hand, for messages; NULL where none is */
	const char *word;			/* its operator */
	bool		converting;		/* its operand */
} Filter;

static void append_object(Filter *filter, JsonbContainer *object);

RowReader *
ffs_batch_open_filter_reader(Relation rel, FfsTable *table)
{
	RowReader  *reader = ffs_batch_open_reader(rel, table);

	/* a value that is too long for the column, or breaks its domain, is one that no row has */
	for (int i = 0; i < reader->natts; i++)
	{
		RowColumn  *column = &reader->columns[i];

		if (column->dropped)
			continue;
		column->typmod = -1;
		column->type = getBaseType(column->type);
	}
	return reader;
}

/* ---- messages ---- */

static void
fail_operand(Filter *filter, int sqlstate, const char *what, const char *hint) pg_attribute_noreturn();

static void
fail_operand(Filter *filter, int sqlstate, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("the filter cannot compare column \"%s\" with operator \"%s\"",
					filter->column->name, filter->word),
			 errdetail("%s", what),
			 errhint("%s", hint)));
}

static void
fail_null(Filter *filter) pg_attribute_noreturn();

static void
fail_null(Filter *filter)
{
	fail_operand(filter, ERRCODE_NULL_VALUE_NOT_ALLOWED, "Its operand is null.",
				 "Only \"=\", \"<>\", \"is\", \"is not\", \"in\" and \"not in\" take null.");
}

static void
fail_type(Filter *filter) pg_attribute_noreturn();

static void
fail_type(Filter *filter)
{
	fail_operand(filter, ERRCODE_UNDEFINED_FUNCTION,
				 psprintf("The column is of type %s, which does not have it.", format_type_be(filter->column->type)),
				 "Use an operator that the type has.");
}

/* ---- pieces of SQL ---- */

static void
append_column(Filter *filter)
{
	appendStringInfo(filter->query, "ffs_row.%s", quote_identifier(filter->column->name));
}

/* `column OPERATOR(op) $n` */
static void
append_comparison(Filter *filter, const char *operator, Oid type, Datum value)
{
	append_column(filter);
	appendStringInfo(filter->query, " OPERATOR(%s) $%d", operator,
					 ffs_batch_add_param(filter->params, type, value));
}

static void
append_null_test(Filter *filter, bool is_null)
{
	append_column(filter);
	appendStringInfoString(filter->query, is_null ? " IS NULL" : " IS NOT NULL");
}

/* The column type's own comparison. */
static char *
comparison(Filter *filter, FilterOperator operator)
{
	TypeCacheEntry *type = lookup_type_cache(filter->column->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	Oid			result = InvalidOid;
	StrategyNumber strategy = 0;

	switch (operator)
	{
		case FILTER_EQUAL:
			result = type->eq_opr;
			break;
		case FILTER_NOT_EQUAL:
			if (OidIsValid(type->eq_opr))
				result = get_negator(type->eq_opr);
			break;
		case FILTER_LESS:
			strategy = BTLessStrategyNumber;
			break;
		case FILTER_LESS_EQUAL:
			strategy = BTLessEqualStrategyNumber;
			break;
		case FILTER_GREATER:
			strategy = BTGreaterStrategyNumber;
			break;
		default:
			strategy = BTGreaterEqualStrategyNumber;
			break;
	}
	if (strategy != 0 && OidIsValid(type->btree_opf))
		result = get_opfamily_member(type->btree_opf, type->btree_opintype, type->btree_opintype, strategy);
	if (!OidIsValid(result))
		fail_type(filter);
	return ffs_batch_operator_name(result);
}

/* ---- operands ---- */

static Datum
read_operand(Filter *filter, RowColumn *column, JsonbValue *value)
{
	bool		isnull;
	Datum		result;

	if (value->type == jbvNull)
		fail_null(filter);
	filter->converting = true;
	result = ffs_batch_read_value(filter->reader, column, value, &isnull);
	filter->converting = false;
	return result;
}

/* The elements of an array operand; the number of them. */
static int
array_operand(Filter *filter, JsonbValue *value, JsonbValue **elements)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	int			n = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		fail_operand(filter, ERRCODE_INVALID_PARAMETER_VALUE, "Its operand is no array.",
					 "Give a jsonb array.");
	*elements = palloc(sizeof(JsonbValue) * Max(JsonContainerSize(value->val.binary.data), 1));
	iterator = JsonbIteratorInit(value->val.binary.data);
	(void) JsonbIteratorNext(&iterator, &element, true);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) == WJB_ELEM)
		(*elements)[n++] = element;
	return n;
}

static char *
string_operand(Filter *filter, JsonbValue *value)
{
	if (value->type == jbvNull)
		fail_null(filter);
	if (value->type != jbvString)
		fail_operand(filter, ERRCODE_INVALID_PARAMETER_VALUE, "Its operand is no string.",
					 "Give a jsonb string.");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* ---- operators ---- */

/* A list is a list of what "=" takes: null among it is NULL, and the list has it or has not. */
static void
append_list(Filter *filter, JsonbValue *value, bool negate)
{
	StringInfo	query = filter->query;
	JsonbValue *elements;
	int			nelements = array_operand(filter, value, &elements);
	Datum	   *values = palloc(sizeof(Datum) * Max(nelements, 1));
	Oid			type = filter->column->type;
	Oid			array_type = get_array_type(type);
	char	   *operator = comparison(filter, negate ? FILTER_NOT_EQUAL : FILTER_EQUAL);
	bool		has_null = false;
	int			n = 0;

	for (int i = 0; i < nelements; i++)
	{
		if (elements[i].type == jbvNull)
			has_null = true;
		else
			values[n++] = read_operand(filter, filter->column, &elements[i]);
	}
	appendStringInfoChar(query, '(');
	if (OidIsValid(array_type))
	{
		int16		length;
		bool		byval;
		char		align;

		get_typlenbyvalalign(type, &length, &byval, &align);
		append_column(filter);
		appendStringInfo(query, " OPERATOR(%s) %s ($%d)", operator, negate ? "ALL" : "ANY",
						 ffs_batch_add_param(filter->params, array_type,
											 PointerGetDatum(construct_array(values, n, type, length, byval, align))));
	}
	else
	{
		/* arrays, which no array holds */
		appendStringInfoString(query, negate ? "TRUE" : "FALSE");
		for (int i = 0; i < n; i++)
		{
			appendStringInfoString(query, negate ? " AND " : " OR ");
			append_comparison(filter, operator, type, values[i]);
		}
	}
	if (has_null)
	{
		appendStringInfoString(query, negate ? " AND " : " OR ");
		append_null_test(filter, !negate);
	}
	appendStringInfoChar(query, ')');
}

static void
append_between(Filter *filter, JsonbValue *value)
{
	JsonbValue *bounds;

	if (array_operand(filter, value, &bounds) != 2)
		fail_operand(filter, ERRCODE_INVALID_PARAMETER_VALUE, "Its operand is no array of two elements.",
					 "Give the lower and the upper bound, both included.");
	appendStringInfoChar(filter->query, '(');
	append_comparison(filter, comparison(filter, FILTER_GREATER_EQUAL), filter->column->type,
					  read_operand(filter, filter->column, &bounds[0]));
	appendStringInfoString(filter->query, " AND ");
	append_comparison(filter, comparison(filter, FILTER_LESS_EQUAL), filter->column->type,
					  read_operand(filter, filter->column, &bounds[1]));
	appendStringInfoChar(filter->query, ')');
}

static bool
is_string_type(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING;
}

/*
 * The matching operator for the column, and the type of its pattern.  A string
 * type from an extension (citext) may have its own, which counts if the
 * type's owner made it.
 */
static char *
match_operator(Filter *filter, const char *name, Oid *pattern_type)
{
	Oid			type = filter->column->type;
	HeapTuple	tuple;
	Oid			owner;
	Oid			namespace;
	char	   *result = NULL;

	*pattern_type = TEXTOID;
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return psprintf("pg_catalog.%s", name);
	}
	if (!is_string_type(type))
		fail_type(filter);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	namespace = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	tuple = SearchSysCache4(OPERNAMENSP, PointerGetDatum(name), ObjectIdGetDatum(type),
							ObjectIdGetDatum(type), ObjectIdGetDatum(namespace));
	if (HeapTupleIsValid(tuple))
	{
		if (((Form_pg_operator) GETSTRUCT(tuple))->oprowner == owner)
		{
			*pattern_type = type;
			result = psprintf("%s.%s", quote_identifier(get_namespace_name(namespace)), name);
		}
		ReleaseSysCache(tuple);
	}
	if (result == NULL)
		fail_type(filter);
	return result;
}

static void
append_match(Filter *filter, const char *name, const char *pattern)
{
	Oid			type;
	char	   *operator = match_operator(filter, name, &type);
	Oid			input;
	Oid			io_param;
	Datum		value;

	if (type == TEXTOID)
		value = CStringGetTextDatum(pattern);
	else
	{
		getTypeInputInfo(type, &input, &io_param);
		filter->converting = true;
		value = OidInputFunctionCall(input, unconstify(char *, pattern), io_param, -1);
		filter->converting = false;
	}
	append_comparison(filter, operator, type, value);
}

/* A pattern that matches the text as it is, with these around it. */
static char *
literal_pattern(const char *before, const char *text, const char *after)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, before);
	/* a byte of these values is no part of another character: the server's encodings see to that */
	for (const char *p = text; *p; p++)
	{
		if (*p == '%' || *p == '_' || *p == '\\')
			appendStringInfoChar(&buf, '\\');
		appendStringInfoChar(&buf, *p);
	}
	appendStringInfoString(&buf, after);
	return buf.data;
}

/* One element as an array of it, so that {"tags": {"contains": "x"}} says what it looks like. */
static void
wrap_element(JsonbValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue	element = *value;
	Jsonb	   *array;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &element);
	array = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
	value->type = jbvBinary;
	value->val.binary.data = &array->root;
	value->val.binary.len = VARSIZE(array) - VARHDRSZ;
}

/* The type of what a range or multirange holds; InvalidOid for other types. */
static Oid
range_element(Oid type)
{
	Oid			range = type_is_multirange(type) ? get_multirange_range(type) : type;

	return type_is_range(range) ? get_range_subtype(range) : InvalidOid;
}

static void
append_contains(Filter *filter, JsonbValue *value)
{
	RowColumn  *column = filter->column;
	RowColumn	bound;
	Oid			element = range_element(column->type);

	if (is_string_type(column->type))
	{
		append_match(filter, "~~", literal_pattern("%", string_operand(filter, value), "%"));
		return;
	}
	if (OidIsValid(element))
	{
		char		align;

		memset(&bound, 0, sizeof(bound));
		bound.name = column->name;
		bound.name_length = column->name_length;
		bound.type = getBaseType(element);
		bound.typmod = -1;
		get_typlenbyvalalign(bound.type, &bound.length, &bound.byval, &align);
		append_comparison(filter, "pg_catalog.@>", bound.type, read_operand(filter, &bound, value));
		return;
	}
	if (type_is_array(column->type))
	{
		if (value->type != jbvNull &&
			!(value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data)))
			wrap_element(value);
	}
	else if (column->type != JSONBOID)
		fail_type(filter);
	append_comparison(filter, "pg_catalog.@>", column->type, read_operand(filter, column, value));
}

/* `<@` and `&&` with a value of the column's own type. */
static void
append_containment(Filter *filter, const char *operator, bool has_jsonb, JsonbValue *value)
{
	Oid			type = filter->column->type;

	if (!type_is_array(type) && !OidIsValid(range_element(type)) && !(has_jsonb && type == JSONBOID))
		fail_type(filter);
	append_comparison(filter, operator, type, read_operand(filter, filter->column, value));
}

static void
append_equality(Filter *filter, JsonbValue *value, bool negate)
{
	if (value->type == jbvNull)
		append_null_test(filter, !negate);
	else
		append_comparison(filter, comparison(filter, negate ? FILTER_NOT_EQUAL : FILTER_EQUAL),
						  filter->column->type, read_operand(filter, filter->column, value));
}

static void
append_operator(Filter *filter, FilterOperator operator, JsonbValue *value)
{
	switch (operator)
	{
		case FILTER_EQUAL:
		case FILTER_NOT_EQUAL:
			append_equality(filter, value, operator == FILTER_NOT_EQUAL);
			break;
		case FILTER_LESS:
		case FILTER_LESS_EQUAL:
		case FILTER_GREATER:
		case FILTER_GREATER_EQUAL:
			append_comparison(filter, comparison(filter, operator), filter->column->type,
							  read_operand(filter, filter->column, value));
			break;
		case FILTER_IN:
		case FILTER_NOT_IN:
			append_list(filter, value, operator == FILTER_NOT_IN);
			break;
		case FILTER_BETWEEN:
			append_between(filter, value);
			break;
		case FILTER_IS:
		case FILTER_IS_NOT:
			if (value->type != jbvNull)
				fail_operand(filter, ERRCODE_INVALID_PARAMETER_VALUE, "Its operand is not null.",
							 "Give null, or use \"=\" or \"<>\".");
			append_null_test(filter, operator == FILTER_IS);
			break;
		case FILTER_LIKE:
			append_match(filter, "~~", string_operand(filter, value));
			break;
		case FILTER_NOT_LIKE:
			append_match(filter, "!~~", string_operand(filter, value));
			break;
		case FILTER_ILIKE:
			append_match(filter, "~~*", string_operand(filter, value));
			break;
		case FILTER_NOT_ILIKE:
			append_match(filter, "!~~*", string_operand(filter, value));
			break;
		case FILTER_PREFIX:
			append_match(filter, "~~", literal_pattern("", string_operand(filter, value), "%"));
			break;
		case FILTER_CONTAINS:
			append_contains(filter, value);
			break;
		case FILTER_CONTAINED_IN:
			append_containment(filter, "pg_catalog.<@", true, value);
			break;
		case FILTER_OVERLAPS:
			append_containment(filter, "pg_catalog.&&", false, value);
			break;
	}
}

/* ---- objects ---- */

char *
ffs_batch_shown(const char *text, int length)
{
	return pnstrdup(text, pg_mbcliplen(text, length, NAMEDATALEN));
}

static const OperatorWord *
find_operator(Filter *filter, JsonbValue *word)
{
	for (size_t i = 0; i < lengthof(operator_words); i++)
		if (word->val.string.len == (int) strlen(operator_words[i].word) &&
			pg_strncasecmp(word->val.string.val, operator_words[i].word, word->val.string.len) == 0)
			return &operator_words[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the filter has no operator \"%s\" for column \"%s\"",
					ffs_batch_shown(word->val.string.val, word->val.string.len), filter->column->name),
			 errdetail("An object beside a column holds operators and what they compare with."),
			 errhint("Operators are =, <>, <, <=, >, >=, in, not in, between, is, is not, like, not like, ilike, not ilike, prefix, contains, contained in and overlaps; an object as a value is written {\"=\": {...}}.")));
	return NULL;
}

/* All of the operators on one column. */
static void
append_operators(Filter *filter, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	const OperatorWord *word = NULL;
	int			n = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			word = find_operator(filter, &value);
			filter->word = word->word;
		}
		else if (token == WJB_VALUE)
		{
			if (n++ > 0)
				appendStringInfoString(filter->query, " AND ");
			append_operator(filter, word->operator, &value);
		}
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the filter has no operator for column \"%s\"", filter->column->name),
				 errdetail("The object beside the column is empty."),
				 errhint("Give an operator and what it compares with, or leave the column out.")));
}

static void
append_member(Filter *filter, RowColumn *column, JsonbValue *value)
{
	filter->column = column;
	filter->word = "=";
	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		append_operators(filter, value->val.binary.data);
	else
	{
		if (value->type == jbvBinary && !type_is_array(column->type) && column->type != JSONBOID)
			fail_operand(filter, ERRCODE_INVALID_PARAMETER_VALUE, "The value is an array, the column holds none.",
						 "Write {\"in\": [...]} for any of several values.");
		append_equality(filter, value, false);
	}
	filter->column = NULL;
}

/* The filters of an "and" or "or". */
static void
append_filters(Filter *filter, const char *word, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	bool		all = strcmp(word, "and") == 0;
	int			n = 0;

	appendStringInfoChar(filter->query, '(');
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		iterator = JsonbIteratorInit(value->val.binary.data);
		(void) JsonbIteratorNext(&iterator, &element, true);
		while ((token = JsonbIteratorNext(&iterator, &element, true)) == WJB_ELEM)
		{
			if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
				break;
			if (n++ > 0)
				appendStringInfoString(filter->query, all ? " AND " : " OR ");
			append_object(filter, element.val.binary.data);
		}
		if (token == WJB_END_ARRAY)
		{
			if (n == 0)
				appendStringInfoString(filter->query, all ? "TRUE" : "FALSE");
			appendStringInfoChar(filter->query, ')');
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" in a filter must be an array of filters", word),
			 errdetail("Each of its elements is a jsonb object like the filter itself."),
			 errhint("Write {\"%s\": [{...}, {...}]}.", word)));
}

static void
append_not(Filter *filter, JsonbValue *value)
{
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"not\" in a filter must be a filter"),
				 errdetail("It is a jsonb object like the filter itself."),
				 errhint("Write {\"not\": {...}}.")));
	appendStringInfoString(filter->query, "NOT ");
	append_object(filter, value->val.binary.data);
}

static bool
is_word(JsonbValue *name, const char *word)
{
	return name->val.string.len == (int) strlen(word) &&
		memcmp(name->val.string.val, word, name->val.string.len) == 0;
}

static void
append_object(Filter *filter, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	value;
	int			n = 0;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	appendStringInfoChar(filter->query, '(');
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		RowColumn  *column;

		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE)
			continue;
		if (n++ > 0)
			appendStringInfoString(filter->query, " AND ");
		column = ffs_batch_find_column(filter->reader, name.val.string.val, name.val.string.len);
		if (column != NULL)
			append_member(filter, column, &value);
		else if (is_word(&name, "and"))
			append_filters(filter, "and", &value);
		else if (is_word(&name, "or"))
			append_filters(filter, "or", &value);
		else if (is_word(&name, "not"))
			append_not(filter, &value);
		else
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							ffs_batch_shown(name.val.string.val, name.val.string.len),
							RelationGetRelationName(filter->reader->rel)),
					 errdetail("The filter names it."),
					 errhint("Members of a filter are named as the table's columns are, or and, or, not.")));
	}
	if (n == 0)
		appendStringInfoString(filter->query, "TRUE");
	appendStringInfoChar(filter->query, ')');
}

void
ffs_batch_append_filter(StringInfo query, RowReader *reader, Jsonb *filter, QueryParams *params)
{
	MemoryContext context = CurrentMemoryContext;
	Filter		state = {query, reader, params, NULL, NULL, false};
	Filter	   *volatile at = &state;

	if (!JB_ROOT_IS_OBJECT(filter))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("filter must be a jsonb object"),
				 errdetail("What was given is %s.", JB_ROOT_IS_SCALAR(filter) ? "a single value" : "an array"),
				 errhint("Give an object with a member for each column, or NULL for all rows.")));
	PG_TRY();
	{
		append_object(&state, &filter->root);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (at->column == NULL)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* a value that the column's type refused */
		if (at->converting)
		{
			error->detail = psprintf("The filter compares column \"%s\" of table %s with it, operator \"%s\"%s%s",
									 at->column->name, reader->relation_name, at->word,
									 error->detail ? ": " : ".", error->detail ? error->detail : "");
			if (error->hint == NULL)
				error->hint = pstrdup("Give a value of the column's type.");
		}
		if (error->column_name == NULL)
			error->column_name = pstrdup(at->column->name);
		ReThrowError(error);
	}
	PG_END_TRY();
}
