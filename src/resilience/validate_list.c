/*-------------------------------------------------------------------------
 *
 * validate_list.c
 *		Queries that are let through whatever the checks say, by query id.
 *
 * ffstorage.allowed_queries has them, for a login role each; a backend keeps
 * its role's in memory until the table changes.  What was not let through, or
 * would not have been, is kept in shared memory for ffs_validate_learn() to
 * put there.  An id is that of a query's analyzed tree, constants left out; it
 * holds for this database and major version.
 *
 * Guarded by seen->lock: all of Seen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif
#include "mb/pg_wchar.h"
#include "parser/analyze.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "resilience/validate.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(ffs_validate_learn);
PG_FUNCTION_INFO_V1(ffs_validate_forget);
PG_FUNCTION_INFO_V1(unsafe_queries);

#define LIST_TABLE	"allowed_queries"

/* ---- what was seen ---- */

#define MOST_SEEN		256
#define LONGEST_SAMPLE	1024

typedef struct SeenQuery
{
	Oid			database;
	Oid			role;
	int64		query_id;
	int64		calls;			/* 0: free */
	TimestampTz last_seen;
	char		check[16];
	char		sample[LONGEST_SAMPLE]; /* without its constants and comments */
} SeenQuery;

typedef struct Seen
{
	LWLock		lock;
	int			tranche;
	SeenQuery	queries[MOST_SEEN];
} Seen;

static Seen *seen;

static Size
seen_size(void)
{
	return sizeof(Seen);
}

static void
seen_setup(void *memory, bool found)
{
	seen = memory;
	if (!found)
	{
		memset(seen, 0, sizeof(Seen));
		seen->tranche = LWLockNewTrancheId();
		LWLockInitialize(&seen->lock, seen->tranche);
	}
	LWLockRegisterTranche(seen->tranche, "ffstorage_validate");
}

/* The text with ? for constants, one blank between tokens, and without comments. */
static char *
sample_of(const char *text)
{
	StringInfoData sample;
	int			ntokens = 0;
	FfsToken   *tokens = ffs_validate_lex(text, &ntokens);

	initStringInfo(&sample);
	for (int i = 0; tokens != NULL && i < ntokens && sample.len < LONGEST_SAMPLE; i++)
	{
		if (i > 0 && tokens[i].start > tokens[i - 1].end)
			appendStringInfoChar(&sample, ' ');
		if (tokens[i].kind >= FFS_TOKEN_FCONST && tokens[i].kind <= FFS_TOKEN_ICONST && tokens[i].kind != FFS_TOKEN_OPERATOR)
			appendStringInfoChar(&sample, '?');
		else
			appendBinaryStringInfo(&sample, text + tokens[i].start, tokens[i].end - tokens[i].start);
	}
	if (sample.len >= LONGEST_SAMPLE)
		sample.data[pg_mbcliplen(sample.data, sample.len, LONGEST_SAMPLE - 1)] = '\0';
	return sample.data;
}

static void
note_seen(int64 query_id, const char *text, const char *check)
{
	SeenQuery  *place = NULL;
	char	   *sample;
	Oid			role = GetSessionUserId();

	if (seen == NULL)
		return;
	sample = sample_of(text);
	LWLockAcquire(&seen->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MOST_SEEN; i++)
	{
		SeenQuery  *query = &seen->queries[i];

		if (query->calls > 0 && query->database == MyDatabaseId && query->role == role && query->query_id == query_id)
		{
			place = query;
			break;
		}
		/* else a free one, or the one that was not seen for longest */
		if (place == NULL || (place->calls > 0 && (query->calls == 0 || query->last_seen < place->last_seen)))
			place = query;
	}
	if (!(place->calls > 0 && place->database == MyDatabaseId && place->role == role && place->query_id == query_id))
	{
		place->calls = 0;
		place->database = MyDatabaseId;
		place->role = role;
		place->query_id = query_id;
		strlcpy(place->sample, sample, LONGEST_SAMPLE);
	}
	strlcpy(place->check, check, sizeof(place->check));
	place->calls++;
	place->last_seen = GetCurrentTimestamp();
	LWLockRelease(&seen->lock);
}

/* ---- query ids ---- */

/* The query's id, whatever compute_query_id says; 0 where it has none. */
static int64
query_id_of(Query *query, const char *text)
{
	int			setting = compute_query_id;

	if (query->queryId != 0)
		return (int64) query->queryId;
	PG_TRY();
	{
		compute_query_id = COMPUTE_QUERY_ID_ON;
#if PG_VERSION_NUM >= 160000
		(void) text;
		(void) JumbleQuery(query);
#else
		(void) JumbleQuery(query, text);
#endif
	}
	PG_FINALLY();
	{
		compute_query_id = setting;
	}
	PG_END_TRY();
	return (int64) query->queryId;
}

/* ---- the list of this backend's role ---- */

static HTAB *listed;
static Oid	listed_role;
static bool listed_valid;
static Oid	listed_relid;

static void
forget_list(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relid == listed_relid)
		listed_valid = false;
}

static void
load_list(Oid role)
{
	HASHCTL		ctl = {.keysize = sizeof(int64), .entrysize = sizeof(int64)};
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	ScanKeyData key;

	if (listed != NULL)
		hash_destroy(listed);
	listed = NULL;
	ctl.hcxt = TopMemoryContext;
	listed = hash_create("ffstorage allowed queries", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	/* nobody's until it is whole; what changes meanwhile makes it invalid */
	listed_role = InvalidOid;
	listed_valid = true;
	listed_relid = OidIsValid(ffs_base_extension_oid()) ? ffs_base_catalog_relid(LIST_TABLE) : InvalidOid;
	if (!OidIsValid(listed_relid))
	{
		/* until CREATE EXTENSION, which is not told of */
		listed_valid = false;
		return;
	}
	rel = table_open(listed_relid, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		id = DatumGetInt64(heap_getattr(tuple, 2, RelationGetDescr(rel), &isnull));

		(void) hash_search(listed, &id, HASH_ENTER, NULL);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	listed_role = role;
}

bool
ffs_validate_is_listed(Query *query, const char *text, const FfsFinding *finding)
{
	int64		id;
	Oid			role = GetSessionUserId();

	/* in a failed transaction there is no looking things up */
	if (!IsTransactionState())
		return false;
	id = query_id_of(query, text);
	if (!listed_valid || listed_role != role)
		load_list(role);
	if (id != 0 && hash_search(listed, &id, HASH_FIND, NULL) != NULL)
		return true;
	note_seen(id, text, finding->check);
	return false;
}

/* ---- learning ---- */

static Oid
role_argument(FunctionCallInfo fcinfo)
{
	Oid			role;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("role must not be null"),
				 errdetail("Queries are allowed for one login role each."),
				 errhint("Name the role that the application connects as.")));
	role = get_role_oid(NameStr(*PG_GETARG_NAME(0)), true);
	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", NameStr(*PG_GETARG_NAME(0))),
				 errdetail("Queries are allowed for one login role each."),
				 errhint("Name the role that the application connects as.")));
	return role;
}

/* One query into the list; whether it is new there. */
static bool
allow(Oid role, int64 id, const char *sample)
{
	Oid			types[] = {OIDOID, INT8OID, TEXTOID, NAMEOID};
	Datum		values[4];
	FfsRights	rights;
	NameData	by;
	int			result;

	namestrcpy(&by, GetUserNameFromId(GetUserId(), false));
	values[0] = ObjectIdGetDatum(role);
	values[1] = Int64GetDatum(id);
	values[2] = CStringGetTextDatum(sample);
	values[3] = NameGetDatum(&by);
	ffs_base_begin_as(&rights, ffs_base_owner());
	result = SPI_execute_with_args("INSERT INTO " FFS_SCHEMA "." LIST_TABLE
								   " (role, query_id, query, learned_by) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
								   4, types, values, NULL, false, 0);
	ffs_base_end_as(&rights);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "inserting an allowed query failed: %s", SPI_result_code_string(result));
	return SPI_processed > 0;
}

/* Errors of analyzing a text are about a place in it, not in what the client sent. */
static void
point_into_text(void *text)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(text);
}

/* The id of a query's text, analyzed as the caller would. */
int64
ffs_validate_analyze(const char *text)
{
	List	   *statements;
	FfsParseFailure failure;
	ErrorContextCallback callback;
	int64		id;
	Oid		   *types = NULL;
	int			ntypes = 0;

	if (!ffs_validate_parse(text, &statements, &failure))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query cannot be parsed"),
				 errdetail("%s.", failure.message),
				 errhint("Give one statement as the application sends it.")));
	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one query can be analyzed at a time"),
				 errdetail("The text has %d statements.", list_length(statements)),
				 errhint("Give each statement by itself.")));
	callback.callback = point_into_text;
	callback.arg = unconstify(char *, text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	id = query_id_of(parse_analyze_varparams(linitial_node(RawStmt, statements), text, &types, &ntypes, NULL), text);
	error_context_stack = callback.previous;
	return id;
}

static void
list_changed(void)
{
	CacheInvalidateRelcacheByRelid(ffs_base_catalog_relid(LIST_TABLE));
}

/* ffs_validate_learn(for_role name, query text) returns integer */
Datum
ffs_validate_learn(PG_FUNCTION_ARGS)
{
	Oid			role = role_argument(fcinfo);
	int32		learned = 0;

	SPI_connect();
	if (!PG_ARGISNULL(1))
	{
		char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));

		learned += allow(role, ffs_validate_analyze(query), sample_of(query));
	}
	else if (seen == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is nothing to learn from"),
				 errdetail("What clients send is collected in shared memory, and ffstorage is not in shared_preload_libraries."),
				 errhint("Add ffstorage to shared_preload_libraries and restart the server, or give the text of a query.")));
	else
	{
		SeenQuery  *copy = palloc(sizeof(seen->queries));

		LWLockAcquire(&seen->lock, LW_SHARED);
		memcpy(copy, seen->queries, sizeof(seen->queries));
		LWLockRelease(&seen->lock);
		for (int i = 0; i < MOST_SEEN; i++)
		{
			if (copy[i].calls > 0 && copy[i].database == MyDatabaseId && copy[i].role == role && copy[i].query_id != 0)
				learned += allow(role, copy[i].query_id, copy[i].sample);
		}
	}
	SPI_finish();
	list_changed();
	PG_RETURN_INT32(learned);
}

/* ffs_validate_forget(for_role name, query_id bigint) returns integer */
Datum
ffs_validate_forget(PG_FUNCTION_ARGS)
{
	Oid			types[] = {OIDOID, INT8OID};
	Datum		values[2];
	char		nulls[] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};
	FfsRights	rights;
	int			result;
	int32		forgotten;

	values[0] = ObjectIdGetDatum(role_argument(fcinfo));
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	SPI_connect();
	ffs_base_begin_as(&rights, ffs_base_owner());
	result = SPI_execute_with_args("DELETE FROM " FFS_SCHEMA "." LIST_TABLE
								   " WHERE role = $1 AND ($2 IS NULL OR query_id = $2)", 2, types, values, nulls, false, 0);
	ffs_base_end_as(&rights);
	if (result != SPI_OK_DELETE)
		elog(ERROR, "deleting allowed queries failed: %s", SPI_result_code_string(result));
	forgotten = (int32) SPI_processed;
	SPI_finish();
	list_changed();
	PG_RETURN_INT32(forgotten);
}

/* ffstorage.unsafe_queries() returns record: what was seen in this database */
Datum
unsafe_queries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SeenQuery  *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (seen == NULL)
		return (Datum) 0;
	copy = palloc(sizeof(seen->queries));
	LWLockAcquire(&seen->lock, LW_SHARED);
	memcpy(copy, seen->queries, sizeof(seen->queries));
	LWLockRelease(&seen->lock);
	for (int i = 0; i < MOST_SEEN; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {0};

		if (copy[i].calls == 0 || copy[i].database != MyDatabaseId)
			continue;
		values[0] = ObjectIdGetDatum(copy[i].role);
		values[1] = Int64GetDatum(copy[i].query_id);
		values[2] = CStringGetTextDatum(copy[i].check);
		values[3] = CStringGetTextDatum(copy[i].sample);
		values[4] = Int64GetDatum(copy[i].calls);
		values[5] = TimestampTzGetDatum(copy[i].last_seen);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static void
database_gone(Oid dboid)
{
	LWLockAcquire(&seen->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MOST_SEEN; i++)
	{
		if (seen->queries[i].database == dboid)
			seen->queries[i].calls = 0;
	}
	LWLockRelease(&seen->lock);
}

void
ffs_validate_list_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		ffs_stats_register_database_gone(database_gone);
	CacheRegisterRelcacheCallback(forget_list, (Datum) 0);
	ffs_base_register_shmem("ffstorage query checks", seen_size, seen_setup);
}
