/*-------------------------------------------------------------------------
 *
 * cached.c
 *		ffs_cached: the result of a query, from the store or else from the
 *		tables into it.
 *
 * The key of a result is a hash of the query's text, its parameters, who
 * asks, for which tenants, and every setting that what is allowed in such
 * queries (verdict.c) depends on.  Nothing else is needed on a hit: what the
 * text means is guarded by the catalogs' fences (results.c).  Only a session
 * with temporary relations looks at the query itself first, as its names may
 * mean these.
 *
 * Queries that were run are kept prepared in the session, with the verdict on
 * them for as long as nothing was heard of changes, and the catalogs' fences
 * say the same (result_fences: twice in one statement).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/gin.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/int.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "tsearch/ts_cache.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/xml.h"

#include "base/base.h"
#include "cache/cached.h"
#include "cache/results.h"
#include "cache/tables.h"
#include "cache/verdict.h"
#include "registry/rowjson.h"
#include "tenancy/tenancy.h"

FFS_CALL_OF_ROWS(ffs_cached);

/* So many queries are kept prepared in a session. */
#define MAX_PREPARED 200

/* What a call asks for. */
typedef struct Call
{
	char	   *query;
	int64		ttl;			/* microseconds, 0: as the setting says */
	int			nparams;
	Datum	   *values;
	bool	   *nulls;
	Oid		   *types;
} Call;

/* A query that this session has run. */
typedef struct Prepared
{
	ResultKey	name;			/* hash key: of all but the parameters' values and the tenants */
	SPIPlanPtr	plan;
	Verdict    *verdict;
	uint64		epoch;			/* of the verdict */
	ResultCatalogs catalogs;
	bool		too_long;		/* its result was, the last time */
	MemoryContext context;		/* holds the verdict */
} Prepared;

static HTAB *prepared_queries = NULL;

/* Counts up whenever this backend hears of a change of relations, types, functions or roles. */
static uint64 catalog_epoch = 1;

static void
catalog_callback(Datum arg pg_attribute_unused(), int cacheid pg_attribute_unused(), uint32 hashvalue pg_attribute_unused())
{
	catalog_epoch++;
}

static void
relation_callback(Datum arg pg_attribute_unused(), Oid relid pg_attribute_unused())
{
	catalog_epoch++;
}

void
ffs_cache_cached_init(void)
{
	CacheRegisterRelcacheCallback(relation_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, catalog_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, catalog_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_callback, (Datum) 0);
}

/* ---- the call ---- */

static int64
read_ttl(Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		ttl;

	if (days > INT_MAX || days < INT_MIN ||
		pg_mul_s64_overflow(days, USECS_PER_DAY, &ttl) || pg_add_s64_overflow(ttl, interval->time, &ttl))
		ttl = days > 0 ? PG_INT64_MAX : -1;
	if (ttl <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl must be greater than zero"),
				 errdetail("A result is kept for so long at most."),
				 errhint("Give an interval, or NULL for ffstorage.cache_ttl.")));
	return ttl;
}

static void
read_call(FunctionCallInfo fcinfo, Call *call)
{
	memset(call, 0, sizeof(Call));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null"),
				 errdetail("It says what is to be read."),
				 errhint("Give the text of a SELECT.")));
	call->query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
		call->ttl = read_ttl(PG_GETARG_INTERVAL_P(1));
	if (PG_NARGS() > 2)
		call->nparams = extract_variadic_args(fcinfo, 2, false, &call->values, &call->types, &call->nulls);
	/* VARIADIC NULL */
	if (call->nparams < 0)
		call->nparams = 0;
}

/* ---- keys ---- */

static void
add_bytes(StringInfo buf, const void *bytes, Size length)
{
	uint64		prefix = length;

	appendBinaryStringInfo(buf, (char *) &prefix, sizeof(prefix));
	appendBinaryStringInfo(buf, bytes, length);
}

static void
add_string(StringInfo buf, const char *string)
{
	if (string == NULL)
		string = "";
	add_bytes(buf, string, strlen(string));
}

static void
add_number(StringInfo buf, int64 number)
{
	appendBinaryStringInfo(buf, (char *) &number, sizeof(number));
}

/* Every setting that what verdict.c lets pass depends on. */
static void
add_settings(StringInfo buf)
{
	add_string(buf, namespace_search_path);
	add_string(buf, pg_get_timezone_name(session_timezone));
	add_string(buf, GetConfigOption("timezone_abbreviations", true, false));
	add_number(buf, DateStyle);
	add_number(buf, DateOrder);
	add_number(buf, IntervalStyle);
	add_number(buf, extra_float_digits);
	add_number(buf, bytea_output);
	add_number(buf, xmlbinary);
	add_number(buf, xmloption);
	add_number(buf, row_security);
	add_number(buf, quote_all_identifiers);
	add_number(buf, standard_conforming_strings);
	add_number(buf, backslash_quote);
	add_number(buf, Array_nulls);
	add_number(buf, Transform_null_equals);
	add_string(buf, locale_monetary);
	add_string(buf, locale_numeric);
	add_string(buf, locale_time);
	add_string(buf, TSCurrentConfig);
	add_string(buf, ffs_cache_functions);
	/* since 15.8; views are an error with it */
	add_string(buf, GetConfigOption("restrict_nonsystem_relation_kind", true, false));
}

static void
hash_key(const char *bytes, int length, ResultKey *key)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) bytes, length) < 0 ||
		pg_cryptohash_final(hash, key->digest, sizeof(key->digest)) < 0)
		elog(ERROR, "could not hash the key of a cached result");
	pg_cryptohash_free(hash);
}

/* All that a query's name is a hash of: no values, and no tenants. */
static void
write_name(StringInfo buf, const Call *call)
{
	initStringInfo(buf);
	add_number(buf, MyDatabaseId);
	add_number(buf, GetUserId());
	add_settings(buf);
	add_string(buf, call->query);
	add_number(buf, call->nparams);
	for (int i = 0; i < call->nparams; i++)
		add_number(buf, call->types[i]);
}

static void
add_value(StringInfo buf, Oid type, Datum value, bool isnull)
{
	int16		length;
	bool		byval;

	appendStringInfoChar(buf, isnull ? 'n' : 'v');
	if (isnull)
		return;
	get_typlenbyval(type, &length, &byval);
	if (byval)
		add_number(buf, (int64) value);
	else if (length > 0)
		add_bytes(buf, DatumGetPointer(value), length);
	else if (length == -1)
	{
		struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);

		add_bytes(buf, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));
	}
	else
		add_string(buf, DatumGetCString(value));
}

/* What the key of the result has after that. */
static void
write_values(StringInfo buf, const Call *call)
{
	Datum		tenants;

	for (int i = 0; i < call->nparams; i++)
		add_value(buf, call->types[i], call->values[i], call->nulls[i]);
	add_number(buf, ffs_tenancy_mode());
	if (ffs_tenancy_list(&tenants))
		add_value(buf, TEXTARRAYOID, tenants, false);
}

/* ---- prepared queries ---- */

static void
forget_prepared(void)
{
	HASH_SEQ_STATUS status;
	Prepared   *prepared;

	hash_seq_init(&status, prepared_queries);
	while ((prepared = hash_seq_search(&status)) != NULL)
	{
		if (prepared->plan != NULL)
			SPI_freeplan(prepared->plan);
		MemoryContextDelete(prepared->context);
		hash_search(prepared_queries, &prepared->name, HASH_REMOVE, NULL);
	}
}

/* The place of an error is in the query that was given, not in the one that calls us. */
static void
tell_where(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
	else
		errcontext("SQL statement \"%s\"", (char *) arg);
}

/* Look at the query, in a context of its own. */
static Verdict *
examine(const Call *call, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Verdict    *verdict;
	ErrorContextCallback error_context = {error_context_stack, tell_where, call->query};

	error_context_stack = &error_context;
	verdict = ffs_cache_examine(call->query, call->nparams, call->types);
	error_context_stack = error_context.previous;
	MemoryContextSwitchTo(old);
	return verdict;
}

static Prepared *
find_entry(const ResultKey *name)
{
	if (prepared_queries == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(ResultKey),.entrysize = sizeof(Prepared)};

		prepared_queries = hash_create("ffstorage cached queries", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	return hash_search(prepared_queries, name, HASH_FIND, NULL);
}

/* The query, looked at unless nothing has changed since. */
static Prepared *
find_prepared(const ResultKey *name, const Call *call, const ResultCatalogs *catalogs)
{
	Prepared   *prepared = find_entry(name);
	MemoryContext context;
	Verdict    *verdict;
	uint64		epoch;

	if (prepared != NULL && prepared->epoch == catalog_epoch &&
		prepared->catalogs.own == catalogs->own && prepared->catalogs.shared == catalogs->shared)
		return prepared;
	context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage cached query", ALLOCSET_SMALL_SIZES);
	AcceptInvalidationMessages();
	epoch = catalog_epoch;
	verdict = examine(call, context);

	/* literals of domains run functions, which may have run queries like this one: only now is it looked for */
	prepared = find_entry(name);
	if (prepared == NULL)
	{
		if (hash_get_num_entries(prepared_queries) >= MAX_PREPARED)
			forget_prepared();
		prepared = hash_search(prepared_queries, name, HASH_ENTER, NULL);
	}
	else
	{
		/* a plan that is kept does not hear of new tables of the same name */
		if (prepared->plan != NULL)
			SPI_freeplan(prepared->plan);
		MemoryContextDelete(prepared->context);
	}
	MemoryContextSetParent(context, TopMemoryContext);
	prepared->plan = NULL;
	prepared->too_long = false;
	prepared->context = context;
	prepared->verdict = verdict;
	prepared->epoch = epoch;
	prepared->catalogs = *catalogs;
	return prepared;
}

/* Parameters without a type take that which the query wants. */
static void
type_parameters(Call *call, const Verdict *verdict)
{
	Oid		   *types = palloc(sizeof(Oid) * Max(call->nparams, 1));

	/* the verdict may be forgotten while input functions run */
	for (int i = 0; i < call->nparams; i++)
	{
		types[i] = call->types[i];
		if (types[i] == UNKNOWNOID && i < verdict->nparams)
			types[i] = verdict->param_types[i];
		if (types[i] == UNKNOWNOID || !OidIsValid(types[i]))
			types[i] = TEXTOID;
	}
	for (int i = 0; i < call->nparams; i++)
	{
		Oid			input;
		Oid			ioparam;

		if (call->types[i] != UNKNOWNOID || call->nulls[i])
			continue;
		getTypeInputInfo(types[i], &input, &ioparam);
		call->values[i] = OidInputFunctionCall(input, DatumGetCString(call->values[i]), ioparam, -1);
	}
	call->types = types;
}

static bool
has_untyped(const Call *call)
{
	for (int i = 0; i < call->nparams; i++)
		if (call->types[i] == UNKNOWNOID)
			return true;
	return false;
}

/* The query that is called, and its parameters as it wants them. */
static Prepared *
prepare(const ResultKey *name, Call *call, const ResultCatalogs *catalogs)
{
	Prepared   *prepared = find_prepared(name, call, catalogs);

	if (!has_untyped(call))
		return prepared;
	type_parameters(call, prepared->verdict);
	/* their input functions may have run queries, which may have forgotten this one */
	return find_prepared(name, call, catalogs);
}

/* ---- running it ---- */

typedef struct RowReceiver
{
	DestReceiver pub;
	ReturnSetInfo *result;		/* who wants the rows */
	Tuplestorestate *store;		/* all of them */
	TupleDesc	store_desc;
	ResultRows	rows;			/* for the cache */
	Size		room;
	Size		limit;			/* rows beyond this are not kept; 0: none are */
	bool		too_long;
	FfsRowJson *json;			/* how the query's rows become jsonb */
	StringInfoData row;
	MemoryContext row_context;
	MemoryContext context;
} RowReceiver;

static void
start_rows(DestReceiver *self, int operation pg_attribute_unused(), TupleDesc desc)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	receiver->json = ffs_registry_row_layout(desc, NULL, JSON_SHOWN);
	initStringInfo(&receiver->row);
	MemoryContextSwitchTo(old);
}

static void
keep_row(RowReceiver *receiver, const Jsonb *row)
{
	Size		length = VARSIZE(row);
	Size		wanted = receiver->rows.length + INTALIGN(length);

	if (wanted > receiver->limit)
	{
		receiver->too_long = true;
		return;
	}
	if (wanted > receiver->room)
	{
		receiver->room = Min(Max(wanted, receiver->room * 2), receiver->limit);
		if (receiver->rows.bytes == NULL)
			receiver->rows.bytes = MemoryContextAllocHuge(receiver->context, receiver->room);
		else
			receiver->rows.bytes = repalloc_huge(receiver->rows.bytes, receiver->room);
	}
	memset(receiver->rows.bytes + wanted - sizeof(int), 0, sizeof(int));
	memcpy(receiver->rows.bytes + receiver->rows.length, row, length);
	receiver->rows.length = wanted;
	receiver->rows.n++;
}

static bool
take_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
	Datum		row;
	bool		isnull = false;

	/* not every plan gives slots of the descriptor that was announced, and names columns in them */
	slot_getallattrs(slot);
	row = ffs_registry_row_jsonb(receiver->json, slot->tts_values, slot->tts_isnull, &receiver->row);
	tuplestore_putvalues(receiver->store, receiver->store_desc, &row, &isnull);
	if (receiver->limit > 0 && !receiver->too_long)
		keep_row(receiver, DatumGetJsonbP(row));
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
no_rows_more(DestReceiver *self pg_attribute_unused())
{
}

/*
 * The plan of the query, taken out of where it is kept while it runs: functions
 * in it may run other queries, and this one.
 */
static SPIPlanPtr
take_plan(const ResultKey *name, const Call *call, bool *kept)
{
	Prepared   *prepared = hash_search(prepared_queries, name, HASH_FIND, NULL);
	SPIPlanPtr	plan = prepared != NULL ? prepared->plan : NULL;

	*kept = plan != NULL;
	if (plan != NULL)
		prepared->plan = NULL;
	else
		plan = SPI_prepare_cursor(call->query, call->nparams, call->types, CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static void
put_plan_back(const ResultKey *name, SPIPlanPtr plan, bool kept)
{
	Prepared   *prepared = hash_search(prepared_queries, name, HASH_FIND, NULL);

	if (prepared != NULL && prepared->plan == NULL)
	{
		if (!kept)
			SPI_keepplan(plan);
		prepared->plan = plan;
	}
	else
		SPI_freeplan(plan);
}

static void
execute(SPIPlanPtr plan, bool kept, const SPIExecuteOptions *options)
{
	PG_TRY();
	{
		int			rc = SPI_execute_plan_extended(plan, options);

		if (rc != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
	}
	PG_CATCH();
	{
		if (kept)
			SPI_freeplan(plan);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Make ready for all rows that the query gives: they outlive the call. */
static void
prepare_receiver(RowReceiver *receiver, ReturnSetInfo *result)
{
	MemoryContext old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);

	receiver->store_desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(receiver->store_desc, 1, "ffs_cached", JSONBOID, -1, 0);
	receiver->store = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(old);
}

static void
run_query(RowReceiver *receiver, const ResultKey *name, const Call *call)
{
	SPIExecuteOptions options = {0};
	SPIPlanPtr	plan;
	bool		kept;

	prepare_receiver(receiver, receiver->result);
	receiver->pub.receiveSlot = take_row;
	receiver->pub.rStartup = start_rows;
	receiver->pub.rShutdown = no_rows_more;
	receiver->pub.rDestroy = no_rows_more;
	receiver->pub.mydest = DestTuplestore;
	receiver->context = CurrentMemoryContext;
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage cached row", ALLOCSET_DEFAULT_SIZES);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = take_plan(name, call, &kept);
	if (call->nparams > 0)
	{
		options.params = makeParamList(call->nparams);
		for (int i = 0; i < call->nparams; i++)
		{
			options.params->params[i].value = call->values[i];
			options.params->params[i].isnull = call->nulls[i];
			options.params->params[i].pflags = PARAM_FLAG_CONST;
			options.params->params[i].ptype = call->types[i];
		}
	}
	options.read_only = true;
	options.dest = &receiver->pub;
	execute(plan, kept, &options);
	put_plan_back(name, plan, kept);
	SPI_finish();
	MemoryContextDelete(receiver->row_context);
}

/* Was the result too long the last time?  Then nobody waits for it. */
static void
note_length(const ResultKey *name, bool too_long)
{
	Prepared   *prepared = hash_search(prepared_queries, name, HASH_FIND, NULL);

	if (prepared != NULL)
		prepared->too_long = too_long;
}

/* ---- ffs_cached ---- */

static void
say_why_not(const Verdict *verdict, const char *reason)
{
	ereport(NOTICE,
			(errmsg("the result is not cached"),
			 errdetail("%s", reason),
			 verdict->reason != NULL && verdict->hint != NULL ? errhint("%s", verdict->hint) : 0));
}

/* Run the query, and put its result in if that may be. */
static void
run_and_keep(RowReceiver *receiver, const ResultKey *name, const Call *call, const ResultKey *key,
			 const ResultCatalogs *catalogs, ResultNeeds *needs)
{
	PG_TRY();
	{
		run_query(receiver, name, call);
		note_length(name, receiver->too_long);
		if (!receiver->too_long && !ffs_cache_in_ddl() &&
			ffs_cache_result_keep(key, catalogs, needs, GetActiveSnapshot(), call->ttl, &receiver->rows))
			ffs_cache_pending[COUNT_RESULT_FILLS]++;
		else
			ffs_cache_pending[COUNT_RESULT_REFUSED]++;
	}
	PG_CATCH();
	{
		ffs_cache_result_done(key);
		PG_RE_THROW();
	}
	PG_END_TRY();
	ffs_cache_result_done(key);
}

/*
 * The rows, from the store; or false, and all of them are in the receiver's
 * tuplestore.
 */
static bool
answer(Call *call, RowReceiver *receiver, ResultRows *rows)
{
	StringInfoData buf;
	int			name_length;
	ResultKey	name;
	ResultKey	key;
	ResultCatalogs catalogs = {0};
	ResultNeeds *needs;
	Prepared   *prepared = NULL;
	bool		usable = ffs_cache_store_ready() && !ffs_cache_must_bypass() && GinFuzzySearchLimit == 0;
	bool		seen = usable && ffs_cache_result_catalogs(GetActiveSnapshot(), &catalogs);
	const char *reason;

	write_name(&buf, call);
	name_length = buf.len;
	/* a session with temporary objects may mean these by the same names */
	if (has_untyped(call) || !usable || OidIsValid(ffs_cache_temporaries()))
	{
		hash_key(buf.data, name_length, &name);
		prepared = prepare(&name, call, &catalogs);
	}
	usable = usable && (prepared == NULL || prepared->verdict->reason == NULL);
	write_values(&buf, call);
	hash_key(buf.data, buf.len, &key);
	if (usable && ffs_cache_result_find(&key, GetActiveSnapshot(), call->ttl, rows))
		goto found;

	FFS_DEBUG_POINT("result-examine");
	if (prepared == NULL)
	{
		hash_key(buf.data, name_length, &name);
		prepared = prepare(&name, call, &catalogs);
	}
	if (prepared->verdict->reason != NULL)
	{
		say_why_not(prepared->verdict, prepared->verdict->reason);
		usable = false;
	}
	if (!usable)
	{
		ffs_cache_pending[COUNT_RESULT_BYPASSED]++;
		run_query(receiver, &name, call);
		return false;
	}
	needs = palloc(sizeof(ResultNeeds));
	reason = ffs_cache_collect_needs(prepared->verdict, needs);
	if (reason != NULL)
		say_why_not(prepared->verdict, reason);
	ffs_cache_pending[COUNT_RESULT_MISSES]++;
	/* a snapshot that does not see the catalogs as they are fills nothing */
	receiver->limit = ffs_cache_result_limit();
	if (reason != NULL || !seen || ffs_cache_in_ddl() || receiver->limit == 0)
	{
		receiver->limit = 0;
		run_query(receiver, &name, call);
		return false;
	}
	if (!prepared->too_long && ffs_cache_result_wait(&key) &&
		ffs_cache_result_find(&key, GetActiveSnapshot(), call->ttl, rows))
	{
		ffs_cache_pending[COUNT_RESULT_MISSES]--;
		goto found;
	}
	run_and_keep(receiver, &name, call, &key, &catalogs, needs);
	return false;

found:
	ffs_cache_pending[COUNT_RESULT_HITS]++;
	return true;
}

/* The rows that were found, one a call. */
typedef struct FoundRows
{
	ResultRows	rows;
	Size		at;
} FoundRows;

/* ffs_cached(query text, ttl interval [, VARIADIC params "any"]) returns setof jsonb */
static Datum
ffs_cached_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *context;
	FoundRows  *found;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		Call		call;
		RowReceiver receiver;
		bool		is_hit;

		if (result == NULL || !IsA(result, ReturnSetInfo) || result->econtext == NULL ||
			(result->allowedModes & SFRM_Materialize) == 0 || (result->allowedModes & SFRM_ValuePerCall) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("set-valued function called in context that cannot accept a set"),
					 errdetail("ffs_cached gives a row for each row of the query."),
					 errhint("Call it in FROM, or in the list of a SELECT.")));
		read_call(fcinfo, &call);
		memset(&receiver, 0, sizeof(receiver));
		receiver.result = result;
		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		found = palloc0(sizeof(FoundRows));
		is_hit = answer(&call, &receiver, &found->rows);
		MemoryContextSwitchTo(old);
		if (!is_hit)
		{
			end_MultiFuncCall(fcinfo, context);
			result->returnMode = SFRM_Materialize;
			result->setResult = receiver.store;
			result->setDesc = receiver.store_desc;
			PG_RETURN_NULL();
		}
		context->user_fctx = found;
		context->max_calls = found->rows.n;
	}

	context = SRF_PERCALL_SETUP();
	found = context->user_fctx;
	if (context->call_cntr < context->max_calls)
	{
		struct varlena *row = (struct varlena *) (found->rows.bytes + found->at);

		found->at += INTALIGN(VARSIZE(row));
		SRF_RETURN_NEXT(context, PointerGetDatum(row));
	}
	SRF_RETURN_DONE(context);
}
