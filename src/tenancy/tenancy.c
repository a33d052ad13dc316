/*-------------------------------------------------------------------------
 *
 * tenancy.c
 *		Who we are: the transaction's tenant, and the checks that follow.
 *
 * The context lives in static variables here, never in a setting that SQL
 * could change.  It is empty until something asks for it in a transaction;
 * then it becomes the session's tenant, if there is one, and from then on the
 * first tenant that is set stays until the transaction ends.  Subtransactions
 * do not undo it: ROLLBACK TO must not open the way to another tenant.
 *
 * The session's tenant is the value of a hidden setting, so that RESET ALL,
 * DISCARD ALL and the rollback of the transaction that set it undo it.  Its
 * check hook refuses every value that does not come from ffs_set_tenant(), so
 * that a setting can take the session's tenant away and never give one.
 *
 * Parallel workers know no tenant: policies ask in a scalar sub-select, which
 * is evaluated once, in the leader.  Whoever asks in a worker gets an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/policy.h"
#include "executor/execdesc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/uuid.h"

#include "base/base.h"
#include "stats/stats.h"
#include "tenancy/internal.h"
#include "tenancy/tenancy.h"

/* ---- types of tenant columns ---- */

typedef enum TenantType
{
	TENANT_UUID,
	TENANT_TEXT,
	TENANT_INT2,
	TENANT_INT4,
	TENANT_INT8,
	N_TENANT_TYPES
} TenantType;

static const struct
{
	Oid			oid;
	const char *function;		/* in FFS_SCHEMA: the single tenant */
	const char *cast_to;		/* what check_tenant() takes */
	int16		len;
	bool		byval;
	char		align;
}			tenant_types[N_TENANT_TYPES] = {
	[TENANT_UUID] = {UUIDOID, "tenant_uuid", "uuid", UUID_LEN, false, TYPALIGN_CHAR},
	[TENANT_TEXT] = {TEXTOID, "tenant_text", "text", -1, false, TYPALIGN_INT},
	[TENANT_INT2] = {INT2OID, "tenant_int2", "int8", sizeof(int16), true, TYPALIGN_SHORT},
	[TENANT_INT4] = {INT4OID, "tenant_int4", "int8", sizeof(int32), true, TYPALIGN_INT},
	[TENANT_INT8] = {INT8OID, "tenant_int8", "int8", sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE},
};

/* ---- the context ---- */

/* The tenants as values of one type: those whose text fits it, in order. */
typedef struct TenantValues
{
	bool		ready;
	int			n;
	Datum	   *values;
} TenantValues;

static struct
{
	bool		resolved;		/* false: nobody has asked in this transaction */
	FfsTenantMode mode;
	int			ntenants;
	char	  **tenants;		/* sorted, without doubles */
	TenantValues values[N_TENANT_TYPES];
}			context;

static char *session_tenant = NULL; /* the hidden setting */
static bool setting_session_tenant = false;

/*
 * Make the session's tenant, if there is one, this transaction's.  Called by
 * the assign hook of the setting too, which must not fail: without memory the
 * transaction has no tenant.
 */
static void
resolve_context(void)
{
	MemoryContext cxt = TopTransactionContext;
	char	  **list;
	char	   *text;
	Size		len;

	context.resolved = true;
	if (session_tenant == NULL || session_tenant[0] == '\0' || IsParallelWorker())
		return;

	len = strlen(session_tenant) + 1;
	list = MemoryContextAllocExtended(cxt, sizeof(char *), MCXT_ALLOC_NO_OOM);
	text = MemoryContextAllocExtended(cxt, len, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (list == NULL || text == NULL)
		return;
	memcpy(text, session_tenant, len);
	list[0] = text;
	context.tenants = list;
	context.ntenants = 1;
	context.mode = FFS_TENANT_LIST;
}

FfsTenantMode
ffs_tenancy_mode(void)
{
	if (unlikely(!context.resolved))
		resolve_context();
	return context.mode;
}

bool
ffs_tenancy_is_wide(void)
{
	FfsTenantMode mode = ffs_tenancy_mode();

	return mode == FFS_TENANT_ALL || (mode == FFS_TENANT_LIST && context.ntenants > 1);
}

/* The context ends with its transaction; so do the plans made for it. */
static void
end_of_transaction(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			if (context.mode == FFS_TENANT_ALL || context.ntenants > 1)
				ResetPlanCache();
			memset(&context, 0, sizeof(context));
			break;
		default:
			break;
	}
}

static bool
check_session_tenant(char **newval, void **extra pg_attribute_unused(),
					 GucSource source pg_attribute_unused())
{
	/* workers are given the leader's settings; they have no tenant even so */
	if ((*newval)[0] == '\0' || setting_session_tenant || InitializingParallelWorker)
		return true;
	GUC_check_errdetail("The session's tenant is not a setting.");
	GUC_check_errhint("Call ffs_set_tenant(tenant, 'session').");
	return false;
}

static void
assign_session_tenant(const char *newval pg_attribute_unused(),
					  void *extra pg_attribute_unused())
{
	/*
	 * What was in force when the transaction began stays in force.  At the
	 * transaction's end the context has been forgotten already and the next
	 * transaction is to see the new value.
	 */
	if (!context.resolved && IsTransactionState())
		resolve_context();
}

static const char *
show_nothing(void)
{
	return "";
}

/* ---- values ---- */

static int
tenant_type(Oid type)
{
	for (int i = 0; i < N_TENANT_TYPES; i++)
		if (tenant_types[i].oid == type)
			return i;
	return -1;
}

/* The same, for callers that may only have types which can serve. */
static TenantType
known_tenant_type(Oid type)
{
	int			i = tenant_type(type);

	if (i < 0)
		elog(ERROR, "type %u cannot serve as a tenant column", type);
	return (TenantType) i;
}

bool
ffs_tenancy_type_ok(Oid type)
{
	return tenant_type(type) >= 0;
}

const char *
ffs_tenancy_function(Oid type)
{
	return tenant_types[known_tenant_type(type)].function;
}

/* As uuid_in() does, without its error. */
static bool
parse_uuid(const char *text, pg_uuid_t *uuid)
{
	bool		braces = text[0] == '{';

	if (braces)
		text++;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			byte = 0;

		for (int digit = 0; digit < 2; digit++)
		{
			unsigned char c = *text++;

			if (c >= '0' && c <= '9')
				byte = byte << 4 | (c - '0');
			else if (c >= 'a' && c <= 'f')
				byte = byte << 4 | (c - 'a' + 10);
			else if (c >= 'A' && c <= 'F')
				byte = byte << 4 | (c - 'A' + 10);
			else
				return false;
		}
		uuid->data[i] = byte;
		if (text[0] == '-' && i % 2 == 1 && i < UUID_LEN - 1)
			text++;
	}
	if (braces && *text++ != '}')
		return false;
	return *text == '\0';
}

/* As int8in() does, without its error. */
static bool
parse_integer(const char *text, int64 min, int64 max, int64 *result)
{
	char	   *end;

	if (*text == '\0')
		return false;
	errno = 0;
	*result = strtoi64(text, &end, 10);
	if (errno != 0 || end == text)
		return false;
	while (isspace((unsigned char) *end))
		end++;
	return *end == '\0' && *result >= min && *result <= max;
}

/* A tenant's text as a value of a type; false if it does not fit. */
static bool
convert_tenant(TenantType type, const char *text, Datum *value)
{
	int64		number;

	switch (type)
	{
		case TENANT_UUID:
			{
				pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

				*value = UUIDPGetDatum(uuid);
				return parse_uuid(text, uuid);
			}
		case TENANT_TEXT:
			*value = CStringGetTextDatum(text);
			return true;
		case TENANT_INT2:
			if (!parse_integer(text, PG_INT16_MIN, PG_INT16_MAX, &number))
				return false;
			*value = Int16GetDatum((int16) number);
			return true;
		case TENANT_INT4:
			if (!parse_integer(text, PG_INT32_MIN, PG_INT32_MAX, &number))
				return false;
			*value = Int32GetDatum((int32) number);
			return true;
		case TENANT_INT8:
			if (!parse_integer(text, PG_INT64_MIN, PG_INT64_MAX, &number))
				return false;
			*value = Int64GetDatum(number);
			return true;
		case N_TENANT_TYPES:
			break;
	}
	return false;
}

static inline int
compare_integers(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

/* An order of values that is only used for finding them again. */
static int
compare_values(const void *a, const void *b, void *arg)
{
	Datum		x = *(const Datum *) a;
	Datum		y = *(const Datum *) b;

	switch (*(const TenantType *) arg)
	{
		case TENANT_UUID:
			return memcmp(DatumGetUUIDP(x)->data, DatumGetUUIDP(y)->data, UUID_LEN);
		case TENANT_TEXT:
			{
				text	   *s = DatumGetTextPP(x);
				text	   *t = DatumGetTextPP(y);
				Size		slen = VARSIZE_ANY_EXHDR(s);
				Size		tlen = VARSIZE_ANY_EXHDR(t);
				int			order = memcmp(VARDATA_ANY(s), VARDATA_ANY(t), Min(slen, tlen));

				return order != 0 ? order : compare_integers(slen, tlen);
			}
		case TENANT_INT2:
			return compare_integers(DatumGetInt16(x), DatumGetInt16(y));
		case TENANT_INT4:
			return compare_integers(DatumGetInt32(x), DatumGetInt32(y));
		case TENANT_INT8:
			return compare_integers(DatumGetInt64(x), DatumGetInt64(y));
		case N_TENANT_TYPES:
			break;
	}
	return 0;
}

/* The transaction's tenants as values of a type. */
static TenantValues *
tenant_values(TenantType type)
{
	TenantValues *result = &context.values[type];
	MemoryContext oldcxt;

	if (likely(result->ready) || ffs_tenancy_mode() != FFS_TENANT_LIST)
		return result;

	oldcxt = MemoryContextSwitchTo(TopTransactionContext);
	result->values = palloc(mul_size(sizeof(Datum), context.ntenants));
	result->n = 0;
	for (int i = 0; i < context.ntenants; i++)
		if (convert_tenant(type, context.tenants[i], &result->values[result->n]))
			result->n++;
	if (result->n > 1)
		qsort_arg(result->values, result->n, sizeof(Datum), compare_values, &type);
	result->ready = true;
	MemoryContextSwitchTo(oldcxt);
	return result;
}

int
ffs_tenancy_values(Oid type, const Datum **values)
{
	TenantValues *known = tenant_values(known_tenant_type(type));

	*values = known->values;
	return known->n;
}

/* The one tenant; false where there is none, several, or it does not fit. */
static bool
single_tenant(TenantType type, Datum *value)
{
	TenantValues *known = tenant_values(type);

	if (context.mode != FFS_TENANT_LIST || context.ntenants != 1 || known->n != 1)
		return false;
	*value = known->values[0];
	return true;
}

static bool
is_tenant(TenantType type, Datum value)
{
	TenantValues *known = tenant_values(type);

	if (known->n == 1)
		return compare_values(&value, known->values, &type) == 0;
	return known->n > 0 &&
		bsearch_arg(&value, known->values, known->n, sizeof(Datum), compare_values, &type) != NULL;
}

bool
ffs_tenancy_default(Oid type, Datum *value)
{
	return single_tenant(known_tenant_type(type), value);
}

bool
ffs_tenancy_allows(Oid type, Datum value)
{
	switch (ffs_tenancy_mode())
	{
		case FFS_TENANT_NONE:
			return false;
		case FFS_TENANT_ALL:
			return true;
		case FFS_TENANT_LIST:
			break;
	}
	return is_tenant(known_tenant_type(type), value);
}

/* ---- checks of writes ---- */

/*
 * May the role that is behind the running statement write without a tenant?
 * Foreign-key actions run as the table's owner; there the role that runs the
 * statement they belong to counts.
 */
static bool
may_write_without_tenant(void)
{
	return ffs_base_bypasses_rls(InNoForceRLSOperation() ? GetOuterUserId() : GetUserId());
}

static const char *
table_name(Oid relid)
{
	const char *name = get_rel_name(relid);

	return name != NULL ? name : "?";
}

static void
raise_not_set(Oid relid)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_TENANT_NOT_SET),
			 errmsg("no tenant is set for writing to table \"%s\"", table_name(relid)),
			 errdetail("The table has a tenant column, and this transaction has no tenant."),
			 errhint("Call ffs_set_tenant() at the start of the transaction.")));
}

/* The caller's own tenants, as a sentence. */
static char *
own_tenants(void)
{
	if (ffs_tenancy_mode() != FFS_TENANT_LIST)
		return pstrdup("This transaction has no tenant.");
	if (context.ntenants == 1)
		return psprintf("This transaction's tenant is \"%s\".", context.tenants[0]);
	return psprintf("This transaction has %d tenants, and the row belongs to none of them.",
					context.ntenants);
}

void
ffs_tenancy_violation(Oid relid, const char *detail)
{
	const char *name = get_rel_name(relid);

	/* check_tenant() can be called by anyone with any number: count tables only */
	if (name != NULL)
		ffs_stats_count_violation(relid);
	ereport(ERROR,
			(errcode(FFS_ERRCODE_TENANT_VIOLATION),
			 errmsg("tenant boundary of table \"%s\" violated", table_name(relid)),
			 errdetail("%s", detail != NULL ? detail : own_tenants()),
			 errhint("Write only rows of the transaction's own tenant; another tenant is set in a transaction of its own.")));
}

void
ffs_tenancy_check_statement(Oid relid)
{
	if (ffs_tenancy_mode() == FFS_TENANT_NONE && !may_write_without_tenant())
		raise_not_set(relid);
}

void
ffs_tenancy_check_row(Oid relid, Oid type, Datum value, bool isnull)
{
	TenantType	t;

	switch (ffs_tenancy_mode())
	{
		case FFS_TENANT_ALL:
			return;
		case FFS_TENANT_NONE:
			ffs_tenancy_check_statement(relid);
			return;
		case FFS_TENANT_LIST:
			break;
	}
	t = known_tenant_type(type);
	if (likely(!isnull && is_tenant(t, value)))
		return;
	if (context.ntenants == 1 && tenant_values(t)->n == 0)
		ffs_tenancy_violation(relid,
							  psprintf("This transaction's tenant is \"%s\", which is no value that the tenant column can have.",
									   context.tenants[0]));
	if (isnull && context.ntenants > 1)
		ffs_tenancy_violation(relid,
							  psprintf("This transaction has %d tenants, and the row names none of them.",
									   context.ntenants));
	ffs_tenancy_violation(relid, NULL);
}

void
ffs_tenancy_check_truncate(Oid relid)
{
	switch (ffs_tenancy_mode())
	{
		case FFS_TENANT_ALL:
			return;
		case FFS_TENANT_NONE:
			ffs_tenancy_check_statement(relid);
			return;
		case FFS_TENANT_LIST:
			ffs_tenancy_violation(relid, "TRUNCATE takes the rows of every tenant, and this transaction has its own.");
	}
}

/* ---- the policy ---- */

void
ffs_tenancy_policy_sql(StringInfo buf, const char *relation, const char *managed,
					   const char *tenant_column, Oid type)
{
	TenantType	t = known_tenant_type(type);
	const char *column = quote_identifier(tenant_column);
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(ffs_compat_name_list(relation)),
										 NoLock, true);

	if (OidIsValid(relid))
	{
		if (!get_rel_relispartition(relid))
			managed = relation;
		if (OidIsValid(get_relation_policy_oid(relid, FFS_TENANT_POLICY, true)))
			appendStringInfo(buf, "DROP POLICY %s ON %s;\n", FFS_TENANT_POLICY, relation);
	}
	appendStringInfo(buf,
					 "CREATE POLICY %s ON %s AS RESTRICTIVE FOR ALL TO PUBLIC\n"
					 "    USING (%s OPERATOR(pg_catalog.=) (SELECT %s.%s()))\n"
					 "    WITH CHECK (%s.check_tenant(%s::pg_catalog.regclass, %s::pg_catalog.%s));\n"
					 "ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n",
					 FFS_TENANT_POLICY, relation,
					 column, FFS_SCHEMA, tenant_types[t].function,
					 FFS_SCHEMA, quote_literal_cstr(managed), column, tenant_types[t].cast_to,
					 relation);
}

/* ---- setting the tenant ---- */

/*
 * As SET LOCAL does, say that what is set for this transaction will be gone
 * with the statement.  Like there, nothing is said within functions, which may
 * go on to use it: the call stands in the statement of the client itself if
 * its function was looked up in that statement's own memory.
 */
static void
warn_outside_block(FunctionCallInfo fcinfo, const char *function)
{
	QueryDesc  *top = ActivePortal != NULL ? ActivePortal->queryDesc : NULL;

	if (IsTransactionBlock() || IsSubTransaction())
		return;
	if (top == NULL || top->estate == NULL || fcinfo->flinfo->fn_mcxt != top->estate->es_query_cxt)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
			 errmsg("%s can only be used in transaction blocks", function),
			 errdetail("The tenant is set for this statement alone."),
			 errhint("BEGIN a transaction first.")));
}

/* Is what the transaction has what is asked for? */
static bool
same_tenants(FfsTenantMode mode, int n, char **tenants)
{
	if (context.mode != mode || context.ntenants != n)
		return false;
	for (int i = 0; i < n; i++)
		if (strcmp(context.tenants[i], tenants[i]) != 0)
			return false;
	return true;
}

/* Set this transaction's tenants, sorted and without doubles. */
static void
pin_tenants(FfsTenantMode mode, int n, char **tenants)
{
	char	  **copy = NULL;

	if (ffs_tenancy_mode() != FFS_TENANT_NONE)
	{
		if (same_tenants(mode, n, tenants))
			return;
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_PINNED),
				 errmsg("this transaction has its tenant already"),
				 context.mode == FFS_TENANT_ALL ? errdetail("All tenants are set.") :
				 context.ntenants == 1 ? errdetail("The tenant is \"%s\".", context.tenants[0]) :
				 errdetail("The tenants are %d, the first of them \"%s\".",
						   context.ntenants, context.tenants[0]),
				 errhint("Set the tenant once per transaction; COMMIT or ROLLBACK before you set another.")));
	}

	if (n > 0)
	{
		copy = MemoryContextAlloc(TopTransactionContext, mul_size(sizeof(char *), n));
		for (int i = 0; i < n; i++)
			copy[i] = MemoryContextStrdup(TopTransactionContext, tenants[i]);
	}
	memset(context.values, 0, sizeof(context.values));
	context.tenants = copy;
	context.ntenants = n;
	context.mode = mode;

	/* plans made until now compare with one tenant only */
	if (ffs_tenancy_is_wide())
		ResetPlanCache();
}

static void
refuse_empty(bool isnull)
{
	ereport(ERROR,
			(errcode(isnull ? ERRCODE_NULL_VALUE_NOT_ALLOWED : ERRCODE_INVALID_PARAMETER_VALUE),
			 isnull ? errmsg("tenant must not be null") : errmsg("tenant must not be empty"),
			 errdetail("A transaction without a tenant sees no rows of tables with a tenant column."),
			 errhint("Pass the tenant's identifier; to have no tenant, set none.")));
}

PG_FUNCTION_INFO_V1(ffs_set_tenant);
Datum
ffs_set_tenant(PG_FUNCTION_ARGS)
{
	char	   *tenant;
	char	   *scope;

	if (PG_ARGISNULL(0))
		refuse_empty(true);
	tenant = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (tenant[0] == '\0')
		refuse_empty(false);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("scope must not be null"),
				 errdetail("It says how long the tenant is to hold."),
				 errhint("Pass 'transaction' or 'session', or leave it out.")));
	scope = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (strcmp(scope, "transaction") == 0)
	{
		pin_tenants(FFS_TENANT_LIST, 1, &tenant);
		warn_outside_block(fcinfo, "ffs_set_tenant");
	}
	else if (strcmp(scope, "session") == 0)
	{
		(void) ffs_tenancy_mode();	/* this transaction keeps what it has */
		setting_session_tenant = true;
		PG_TRY();
		{
			(void) set_config_option("ffstorage.session_tenant", tenant, PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SET, true, 0, false);
		}
		PG_FINALLY();
		{
			setting_session_tenant = false;
		}
		PG_END_TRY();
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid scope: \"%s\"", scope),
				 errdetail("It says how long the tenant is to hold."),
				 errhint("Pass 'transaction' or 'session', or leave it out.")));
	PG_RETURN_VOID();
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

PG_FUNCTION_INFO_V1(ffs_set_tenants);
Datum
ffs_set_tenants(PG_FUNCTION_ARGS)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			distinct = 0;
	char	  **tenants;

	if (PG_ARGISNULL(0))
		refuse_empty(true);
	array = PG_GETARG_ARRAYTYPE_P(0);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("tenants must be an array of one dimension"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array)),
				 errhint("Pass the tenants as one list.")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		refuse_empty(false);

	tenants = palloc(mul_size(sizeof(char *), n));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			refuse_empty(true);
		tenants[i] = TextDatumGetCString(elements[i]);
		if (tenants[i][0] == '\0')
			refuse_empty(false);
	}
	qsort(tenants, n, sizeof(char *), compare_texts);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(tenants[i], tenants[distinct - 1]) != 0)
			tenants[distinct++] = tenants[i];

	pin_tenants(FFS_TENANT_LIST, distinct, tenants);
	warn_outside_block(fcinfo, "ffs_set_tenants");
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ffs_set_all_tenants);
Datum
ffs_set_all_tenants(PG_FUNCTION_ARGS)
{
	pin_tenants(FFS_TENANT_ALL, 0, NULL);
	warn_outside_block(fcinfo, "ffs_set_all_tenants");
	PG_RETURN_VOID();
}

/* ---- who we are ---- */

/*
 * A function that is marked PARALLEL SAFE and reads a table with a tenant
 * column can be run by a worker.  It must not find the table empty there.
 */
static void
refuse_worker(void)
{
	if (unlikely(IsParallelWorker()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("parallel workers do not know the transaction's tenant"),
				 errdetail("A function that a parallel worker runs reads a table with a tenant column, or asks for the tenant."),
				 errhint("Mark that function PARALLEL RESTRICTED.")));
}

PG_FUNCTION_INFO_V1(ffs_tenant);
Datum
ffs_tenant(PG_FUNCTION_ARGS)
{
	refuse_worker();
	if (ffs_tenancy_mode() != FFS_TENANT_LIST || context.ntenants != 1)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(context.tenants[0]));
}

static Datum
tenants_array(FunctionCallInfo fcinfo, TenantType type)
{
	TenantValues *known;

	refuse_worker();
	known = tenant_values(type);
	if (context.mode != FFS_TENANT_LIST)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(known->values, known->n, tenant_types[type].oid,
										  tenant_types[type].len, tenant_types[type].byval,
										  tenant_types[type].align));
}

bool
ffs_tenancy_list(Datum *tenants)
{
	TenantValues *known = tenant_values(TENANT_TEXT);

	if (context.mode != FFS_TENANT_LIST)
		return false;
	*tenants = PointerGetDatum(construct_array(known->values, known->n, TEXTOID, -1, false, TYPALIGN_INT));
	return true;
}

static Datum
one_tenant(FunctionCallInfo fcinfo, TenantType type)
{
	Datum		value;

	refuse_worker();
	if (!single_tenant(type, &value))
		PG_RETURN_NULL();
	/* values live as long as the transaction: no copy is needed */
	PG_RETURN_DATUM(value);
}

static Datum
check_value(FunctionCallInfo fcinfo, Oid type)
{
	ffs_tenancy_check_row(PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0), type,
						  PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	PG_RETURN_BOOL(true);
}

PG_FUNCTION_INFO_V1(ffs_tenants);
PG_FUNCTION_INFO_V1(tenant_uuid);
PG_FUNCTION_INFO_V1(tenant_text);
PG_FUNCTION_INFO_V1(tenant_int2);
PG_FUNCTION_INFO_V1(tenant_int4);
PG_FUNCTION_INFO_V1(tenant_int8);
PG_FUNCTION_INFO_V1(tenants_uuid);
PG_FUNCTION_INFO_V1(tenants_text);
PG_FUNCTION_INFO_V1(tenants_int2);
PG_FUNCTION_INFO_V1(tenants_int4);
PG_FUNCTION_INFO_V1(tenants_int8);
PG_FUNCTION_INFO_V1(all_tenants);
PG_FUNCTION_INFO_V1(check_tenant_uuid);
PG_FUNCTION_INFO_V1(check_tenant_text);
PG_FUNCTION_INFO_V1(check_tenant_int8);

Datum
ffs_tenants(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_TEXT);
}

Datum
tenant_uuid(PG_FUNCTION_ARGS)
{
	return one_tenant(fcinfo, TENANT_UUID);
}

Datum
tenant_text(PG_FUNCTION_ARGS)
{
	return one_tenant(fcinfo, TENANT_TEXT);
}

Datum
tenant_int2(PG_FUNCTION_ARGS)
{
	return one_tenant(fcinfo, TENANT_INT2);
}

Datum
tenant_int4(PG_FUNCTION_ARGS)
{
	return one_tenant(fcinfo, TENANT_INT4);
}

Datum
tenant_int8(PG_FUNCTION_ARGS)
{
	return one_tenant(fcinfo, TENANT_INT8);
}

Datum
tenants_uuid(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_UUID);
}

Datum
tenants_text(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_TEXT);
}

Datum
tenants_int2(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_INT2);
}

Datum
tenants_int4(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_INT4);
}

Datum
tenants_int8(PG_FUNCTION_ARGS)
{
	return tenants_array(fcinfo, TENANT_INT8);
}

Datum
all_tenants(PG_FUNCTION_ARGS)
{
	refuse_worker();
	PG_RETURN_BOOL(ffs_tenancy_mode() == FFS_TENANT_ALL);
}

Datum
check_tenant_uuid(PG_FUNCTION_ARGS)
{
	return check_value(fcinfo, UUIDOID);
}

Datum
check_tenant_text(PG_FUNCTION_ARGS)
{
	return check_value(fcinfo, TEXTOID);
}

Datum
check_tenant_int8(PG_FUNCTION_ARGS)
{
	return check_value(fcinfo, INT8OID);
}

/* ---- for the figures ---- */

static const char *
tenant_that_is_counted(FfsTenantKind *kind)
{
	switch (ffs_tenancy_mode())
	{
		case FFS_TENANT_NONE:
			return NULL;
		case FFS_TENANT_ALL:
			*kind = FFS_TENANT_KIND_ALL;
			return "";
		case FFS_TENANT_LIST:
			break;
	}
	*kind = context.ntenants > 1 ? FFS_TENANT_KIND_SEVERAL : FFS_TENANT_KIND_ONE;
	return context.ntenants > 0 ? context.tenants[0] : NULL;
}

/* ---- opening the room ---- */

void
ffs_tenancy_init(void)
{
	DefineCustomStringVariable("ffstorage.session_tenant",
							   "Marks a session that has a tenant; only ffs_set_tenant() sets it.",
							   NULL,
							   &session_tenant,
							   "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_session_tenant,
							   assign_session_tenant,
							   show_nothing);
	RegisterXactCallback(end_of_transaction, NULL);
	ffs_stats_register_tenant(tenant_that_is_counted);
	ffs_tenancy_init_policy();
}
