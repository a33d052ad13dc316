/*-------------------------------------------------------------------------
 *
 * statement.c
 *		A statement as text, with parameters as jsonb, for ffs_run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/params.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/base.h"
#include "resilience/statement.h"

/* ---- where errors are ---- */

/* An error's position is in our text, not in the client's. */
static void
move_position(void *arg)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery((const char *) arg);
}

static void
begin_positions(ErrorContextCallback *callback, const char *text)
{
	callback->callback = move_position;
	callback->arg = unconstify(char *, text);
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

static void
name_parameter(void *arg)
{
	errcontext("parameter $%d of the statement", *(int *) arg);
}

/* ---- parsing ---- */

void
ffs_resilience_statement_init(FfsStatement *statement, char *text, Jsonb *params)
{
	ErrorContextCallback callback;
	List	   *list;

	statement->text = text;
	statement->params = params;
	if (params != NULL && (!JB_ROOT_IS_ARRAY(params) || JB_ROOT_IS_SCALAR(params)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a jsonb array"),
				 errdetail("What was given is %s.", JB_ROOT_IS_SCALAR(params) ? "a single value" : "an object"),
				 errhint("Give an array with a value for each parameter of the statement, such as '[\"first\", 2]'.")));
	statement->nparams = params == NULL ? 0 : JB_ROOT_COUNT(params);

	begin_positions(&callback, text);
	list = raw_parser(text, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	if (list_length(list) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("ffs_run takes one statement"),
				 errdetail("What was given has %d.", list_length(list)),
				 errhint("Give one statement; several go into a function or a DO block, or a call of ffs_run each.")));
	statement->raw = linitial_node(RawStmt, list);
	if (IsA(statement->raw->stmt, TransactionStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ffs_run cannot run %s", GetCommandTagName(CreateCommandTag(statement->raw->stmt))),
				 errdetail("It begins and ends the transactions of its statement itself."),
				 errhint("Give the statement that is to be done in the transaction.")));
	if (IsA(statement->raw->stmt, CopyStmt) && castNode(CopyStmt, statement->raw->stmt)->filename == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ffs_run cannot run COPY from or to the client"),
				 errdetail("It has no stream of data for each attempt."),
				 errhint("Send COPY by itself, or call ffs_create_many().")));
}

/* ---- parameters ---- */

/* Which types the statement gives its parameters; error unless there are as many as values. */
static Oid *
parameter_types(FfsStatement *statement)
{
	ErrorContextCallback callback;
	Oid		   *types = NULL;
	int			n = 0;

	begin_positions(&callback, statement->text);
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) parse_analyze_varparams(copyObject(statement->raw), statement->text, &types, &n, NULL);
	PopActiveSnapshot();
	error_context_stack = callback.previous;
	if (n != statement->nparams)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must have as many values as the statement has parameters"),
				 errdetail("The statement has %d, params has %d.", n, statement->nparams),
				 errhint("Write $1, $2 and so on in the statement for the values, in the order of the array.")));
	for (int i = 0; i < n; i++)
		if (!OidIsValid(types[i]) || types[i] == UNKNOWNOID)
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of parameter $%d", i + 1),
					 errdetail("The statement does not use it, or not where a type follows."),
					 errhint("Cast it in the statement, as in $%d::integer.", i + 1)));
	return types;
}

/* A scalar of jsonb as text. */
static char *
scalar_text(JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			elog(ERROR, "unexpected jsonb value of type %d", (int) value->type);
			return NULL;
	}
}

/* An array or object as a value of a type, as jsonb_to_record() makes it. */
static Datum
structure_value(JsonbValue *value, Oid type, bool *isnull)
{
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue *object;
	Oid			argtype = JSONBOID;
	Datum		arg;
	int			rc;

	key.type = jbvString;
	key.val.string.val = pstrdup("value");
	key.val.string.len = 5;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	(void) pushJsonbValue(&state, WJB_VALUE, value);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	arg = JsonbPGetDatum(JsonbValueToJsonb(object));
	rc = SPI_execute_with_args(psprintf("SELECT r.value FROM pg_catalog.jsonb_to_record($1) AS r (value %s)",
										format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY | FORMAT_TYPE_TYPEMOD_GIVEN)),
							   1, &argtype, &arg, NULL, true, 1);
	if (rc != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result %s of reading a parameter", SPI_result_code_string(rc));
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
}

static Datum
parameter_value(JsonbValue *value, Oid type, bool *isnull)
{
	Oid			base = getBaseType(type);
	Oid			input;
	Oid			ioparam;
	char	   *text;

	*isnull = value->type == jbvNull;
	if (!*isnull && base == JSONBOID && base == type)
		return JsonbPGetDatum(JsonbValueToJsonb(value));
	if (value->type == jbvBinary && base != JSONOID && base != JSONBOID)
		return structure_value(value, type, isnull);
	if (*isnull)
		text = NULL;			/* a domain may refuse it */
	else if (base == JSONOID || base == JSONBOID)
	{
		Jsonb	   *json = JsonbValueToJsonb(value);

		text = JsonbToCString(NULL, &json->root, VARSIZE(json));
	}
	else
		text = scalar_text(value);
	getTypeInputInfo(type, &input, &ioparam);
	return OidInputFunctionCall(input, text, ioparam, -1);
}

static ParamListInfo
make_params(FfsStatement *statement, const Oid *types)
{
	ParamListInfo params = makeParamList(statement->nparams);

	for (int i = 0; i < statement->nparams; i++)
	{
		ParamExternData *param = &params->params[i];
		int			number = i + 1;
		ErrorContextCallback callback = {error_context_stack, name_parameter, &number};

		error_context_stack = &callback;
		param->value = parameter_value(getIthJsonbValueFromContainer(&statement->params->root, i),
									   types[i], &param->isnull);
		param->ptype = types[i];
		param->pflags = PARAM_FLAG_CONST;
		error_context_stack = callback.previous;
	}
	return params;
}

/* ---- running ---- */

void
ffs_resilience_statement_execute(FfsStatement *statement)
{
	Oid		   *types = parameter_types(statement);
	SPIExecuteOptions options = {0};
	SPIPlanPtr	plan;
	int			rc;

	/* a domain's check may run queries */
	PushActiveSnapshot(GetTransactionSnapshot());
	options.params = make_params(statement, types);
	PopActiveSnapshot();
	options.dest = None_Receiver;
	plan = SPI_prepare(statement->text, statement->nparams, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc < 0)
		elog(ERROR, "unexpected result %s of the statement", SPI_result_code_string(rc));
}
