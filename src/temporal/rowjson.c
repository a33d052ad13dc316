/*-------------------------------------------------------------------------
 *
 * rowjson.c
 *		Values and whole rows as jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "temporal/rowjson.h"

/* A value of any type as a JsonbValue; what `to` refers to may live in the current context. */
static void
push_value(JsonbParseState **state, JsonbIteratorToken token, Oid type, Datum value, bool isnull)
{
	int			utc = 0;		/* what is kept does not hang on the writer's time zone */
	JsonbValue	jbv;
	Jsonb	   *jsonb;

	if (isnull)
	{
		jbv.type = jbvNull;
		pushJsonbValue(state, token, &jbv);
		return;
	}
	switch (type)
	{
		case BOOLOID:
			jbv.type = jbvBool;
			jbv.val.boolean = DatumGetBool(value);
			break;
		case INT2OID:
			jbv.type = jbvNumeric;
			jbv.val.numeric = int64_to_numeric(DatumGetInt16(value));
			break;
		case INT4OID:
			jbv.type = jbvNumeric;
			jbv.val.numeric = int64_to_numeric(DatumGetInt32(value));
			break;
		case INT8OID:
			jbv.type = jbvNumeric;
			jbv.val.numeric = int64_to_numeric(DatumGetInt64(value));
			break;
		case TEXTOID:
		case VARCHAROID:
			{
				text	   *t = DatumGetTextPP(value);

				jbv.type = jbvString;
				jbv.val.string.val = VARDATA_ANY(t);
				jbv.val.string.len = VARSIZE_ANY_EXHDR(t);
				break;
			}
		case UUIDOID:
			jbv.type = jbvString;
			jbv.val.string.val = DatumGetCString(DirectFunctionCall1(uuid_out, value));
			jbv.val.string.len = strlen(jbv.val.string.val);
			break;
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			jbv.type = jbvString;
			jbv.val.string.val = JsonEncodeDateTime(NULL, value, type, &utc);
			jbv.val.string.len = strlen(jbv.val.string.val);
			break;
		default:
			{
				/* a domain is what it is made of; for all else the server's own rules */
				Oid			base = getBaseType(type);
				FmgrInfo	flinfo;

				if (base != type)
				{
					push_value(state, token, base, value, false);
					return;
				}

				fmgr_info(F_TO_JSONB, &flinfo);
				fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
														 list_make1(makeNullConst(type, -1, InvalidOid)),
														 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
								   &flinfo);
				jsonb = DatumGetJsonbP(FunctionCall1(&flinfo, value));
				if (!JB_ROOT_IS_SCALAR(jsonb))
				{
					JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
					JsonbIteratorToken t;
					JsonbValue	v;

					/* containers go in token by token */
					while ((t = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
						pushJsonbValue(state, t, t < WJB_BEGIN_ARRAY ? &v : NULL);
					return;
				}
				(void) JsonbExtractScalar(&jsonb->root, &jbv);
				break;
			}
	}
	pushJsonbValue(state, token, &jbv);
}

Datum
ffs_temporal_value_jsonb(Oid type, Datum value, bool isnull)
{
	JsonbParseState *state = NULL;
	JsonbValue	jbv;
	JsonbValue *result;

	if (isnull)
	{
		jbv.type = jbvNull;
		PG_RETURN_JSONB_P(JsonbValueToJsonb(&jbv));
	}
	/* an array of one, raw-scalar style, is how a lone scalar is stored */
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case TEXTOID:
		case VARCHAROID:
		case UUIDOID:
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
			pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
			push_value(&state, WJB_ELEM, type, value, false);
			result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
			PG_RETURN_JSONB_P(JsonbValueToJsonb(&result->val.array.elems[0]));
		default:
			{
				Oid			base = getBaseType(type);
				FmgrInfo	flinfo;

				if (base != type)
					return ffs_temporal_value_jsonb(base, value, false);
				fmgr_info(F_TO_JSONB, &flinfo);
				fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
														 list_make1(makeNullConst(type, -1, InvalidOid)),
														 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
								   &flinfo);
				return FunctionCall1(&flinfo, value);
			}
	}
}

static void
push_key(JsonbParseState **state, const char *name)
{
	JsonbValue	key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

Datum
ffs_temporal_row_jsonb(HeapTuple tuple, TupleDesc desc, const Bitmapset *leave_out)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		isnull;
		Datum		value;

		if (att->attisdropped || bms_is_member(att->attnum, leave_out))
			continue;
		value = heap_getattr(tuple, att->attnum, desc, &isnull);
		push_key(&state, NameStr(att->attname));
		push_value(&state, WJB_VALUE, att->atttypid, value, isnull);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
