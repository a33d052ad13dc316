/*-------------------------------------------------------------------------
 *
 * writes.c
 *		Every way in which a cached table can change, told to the store.
 *
 * - Rows: the BEFORE ROW trigger of managed tables, whose word is final, tells
 *   the old and the new key before the row is written; a trigger of its own
 *   does so where session_replication_role is "replica".  COPY at its own
 *   speed fires no row trigger, and brings new rows only: it says that.
 * - Everything else, TRUNCATE and all DDL, changes a relation's entry in the
 *   catalogs or its storage, which makes PostgreSQL send an invalidation of
 *   the relation cache when it has committed.  Before the transaction commits
 *   or is prepared the relations of its invalidations are fenced, with the
 *   roots that they belong to; until then the backend bypasses the cache.
 * - What else may change what a query means or who may run it, functions,
 *   types, views, roles: the fence of the database's catalogs, and for roles
 *   that of all databases, in the same way.  Others can see the change before
 *   they hear of it, and a query that they plan in between may be an old one:
 *   so from before the commit until they have been told the fence is held, as
 *   if the change were seen by nobody, and then it counts up once more.
 *
 * In test/specs: rows before they are written, cascades, replication
 * (cache_windows, cache_fences); before the commit, after it, and before others
 * have been told (cache_windows, result_windows); partitions and prepared
 * transactions (cache_fences, result_fences); rights (cache_rights).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "nodes/pg_list.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "cache/tables.h"

/* ---- rows ---- */

/* A row of a tenant is written: results that read other tenants' rows stay. */
static void
tell_tenants(CachedTable *known, FfsTable *table, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	HeapTuple	rows[2] = {old, new};

	if (!ffs_cache_must_tell_tenants(known->fence, known->rootid) || table->tenant == 0)
		return;
	for (int i = 0; i < 2; i++)
	{
		bool		isnull;
		Datum		tenant;

		if (rows[i] == NULL)
			continue;
		tenant = heap_getattr(rows[i], table->tenant, desc, &isnull);
		if (isnull || !known->tenant_hashable)
			ffs_cache_fence_all_tenants(known->fence, known->rootid);
		else
			ffs_cache_fence_tenant(known->fence, known->rootid, ffs_cache_hash_tenant(table->tenant_type, tenant));
	}
}

void
ffs_cache_row_written(FfsTable *table, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	CachedTable *known = ffs_cache_known_table(table);
	uint64		hash = 0;
	uint64		new_hash;
	bool		fenced = false;

	tell_tenants(known, table, desc, old, new);
	if (!known->hashable)
		return;
	if (old != NULL && ffs_cache_hash_row(known, table, desc, old, &hash))
	{
		ffs_cache_fence_key(known->fence, known->rootid, hash, false);
		fenced = true;
	}
	if (new != NULL && ffs_cache_hash_row(known, table, desc, new, &new_hash) && !(fenced && hash == new_hash))
		ffs_cache_fence_key(known->fence, known->rootid, new_hash, true);
	FFS_DEBUG_POINT("cache-row-fenced");
}

void
ffs_cache_rows_inserted(FfsTable *table)
{
	TableFence *fence = ffs_cache_table_fence(table->rootid);

	ffs_cache_fence_inserts(fence, table->rootid);
	ffs_cache_fence_all_tenants(fence, table->rootid);
	FFS_DEBUG_POINT("cache-inserts-fenced");
}

/* ---- whole relations ---- */

/* Has this transaction changed relations, or may it have changed what queries mean? */
static bool in_ddl = false;

bool
ffs_cache_in_ddl(void)
{
	return in_ddl;
}

void
ffs_cache_table_written(Oid relid)
{
	ffs_cache_fence_table(ffs_cache_table_fence(relid), relid);
	in_ddl = true;
}

/* Invalidations that others sent look the same here: they cost hits at worst. */
static void
relcache_callback(Datum arg pg_attribute_unused(), Oid relid)
{
	/* autovacuum changes statistics, and nothing that rows depend on */
	if (relid >= FirstNormalObjectId && ffs_cache_store_ready() && !ffs_compat_is_autovacuum() && TransactionIdIsValid(GetTopTransactionIdIfAny()))
		in_ddl = true;
}

/*
 * Is this a catalog that says what queries mean?  Relations have messages of
 * their own; types are told apart by the caller.
 */
static bool
says_what_queries_mean(int cache)
{
	switch (cache)
	{
		case AGGFNOID:
		case AMOPOPID:
		case AMPROCNUM:
		case AUTHMEMROLEMEM:
		case AUTHOID:
		case CASTSOURCETARGET:
		case CLAOID:
		case COLLOID:
		case CONDEFAULT:
		case DATABASEOID:
		case ENUMOID:
		case NAMESPACEOID:
		case OPEROID:
		case PROCOID:
		case RANGETYPE:
		case TSCONFIGMAP:
		case TSCONFIGOID:
		case TSDICTOID:
		case TYPEOID:
			return true;
		default:
			return false;
	}
}

/*
 * Temporary relations change no other session's queries.  A session remembers
 * its own, for when they are dropped; of types (their row type and its arrays)
 * the hash values in the syscache are remembered, which messages have.
 */
static HTAB *temporary_relations = NULL;

typedef struct TemporaryRelation
{
	Oid			relid;
	uint32		types[2];
} TemporaryRelation;

static void
remember_temporary(Oid relid, Oid type)
{
	TemporaryRelation *known;
	Oid			array = OidIsValid(type) ? get_array_type(type) : InvalidOid;

	if (temporary_relations == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(TemporaryRelation)};

		temporary_relations = hash_create("ffstorage temporary relations", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	known = hash_search(temporary_relations, &relid, HASH_ENTER, NULL);
	known->types[0] = GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(type));
	known->types[1] = GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(array));
}

static bool
is_temporary(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return temporary_relations != NULL && hash_search(temporary_relations, &relid, HASH_FIND, NULL) != NULL;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relpersistence == RELPERSISTENCE_TEMP;
	if (result)
		remember_temporary(relid, ((Form_pg_class) GETSTRUCT(tuple))->reltype);
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_temporary_type(uint32 hash)
{
	HASH_SEQ_STATUS status;
	TemporaryRelation *known;
	bool		found = false;

	if (temporary_relations == NULL)
		return false;
	hash_seq_init(&status, temporary_relations);
	while ((known = hash_seq_search(&status)) != NULL)
		found = found || known->types[0] == hash || known->types[1] == hash;
	return found;
}

/* Those that are no more were dropped by this transaction, or are gone with its end. */
static void
forget_temporaries(void)
{
	HASH_SEQ_STATUS status;
	TemporaryRelation *known;

	if (temporary_relations == NULL)
		return;
	hash_seq_init(&status, temporary_relations);
	while ((known = hash_seq_search(&status)) != NULL)
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(known->relid)))
			hash_search(temporary_relations, &known->relid, HASH_REMOVE, NULL);
}

static void
fence_relation(Oid relid)
{
	ListCell   *lc;

	ffs_cache_fence_table(ffs_cache_table_fence(relid), relid);
	if (!get_rel_relispartition(relid))
		return;
	foreach(lc, get_partition_ancestors(relid))
		ffs_cache_fence_table(ffs_cache_table_fence(lfirst_oid(lc)), lfirst_oid(lc));
}

static bool catalog_held = false;
static bool shared_catalog_held = false;

/*
 * Fence what this transaction's own invalidations are of.  There are none
 * where it has only written rows.
 */
static void
fence_changed(void)
{
	SharedInvalidationMessage *messages;
	bool		unused;
	bool		own = false;
	bool		shared = false;
	int			n;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) || ffs_compat_is_autovacuum())
		return;
	n = xactGetCommittedInvalidationMessages(&messages, &unused);
	if (n == 0)
		return;
	/* the last command's have not been heeded here yet */
	CommandCounterIncrement();
	for (int i = 0; i < n; i++)
	{
		SharedInvalidationMessage *message = &messages[i];

		if (message->id != SHAREDINVALRELCACHE_ID)
			continue;
		if (!OidIsValid(message->rc.relId))
		{
			ffs_cache_fence_everything();
			own = true;
		}
		else if (message->rc.relId >= FirstNormalObjectId && !is_temporary(message->rc.relId))
		{
			fence_relation(message->rc.relId);
			own = true;
		}
	}
	for (int i = 0; i < n && !(own && shared); i++)
	{
		SharedInvalidationMessage *message = &messages[i];

		if (message->id == SHAREDINVALCATALOG_ID)
			own = shared = true;
		else if (message->id >= 0 && says_what_queries_mean(message->cc.id) &&
				 !(message->cc.id == TYPEOID && is_temporary_type(message->cc.hashValue)))
		{
			if (OidIsValid(message->cc.dbId))
				own = true;
			else
				shared = true;
		}
	}
	forget_temporaries();
	if (own && !catalog_held)
	{
		ffs_cache_fence_catalog(MyDatabaseId);
		catalog_held = true;
	}
	if (shared && !shared_catalog_held)
	{
		ffs_cache_fence_catalog(InvalidOid);
		shared_catalog_held = true;
	}
	FFS_DEBUG_POINT("cache-ddl-fenced");
}

/* The transaction is over, one way or the other, and others have been sent its invalidations. */
static void
release_callback(ResourceReleasePhase phase, bool is_commit pg_attribute_unused(), bool is_top, void *arg pg_attribute_unused())
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top)
		return;
	FFS_DEBUG_POINT("cache-commit-told");
	if (catalog_held)
		ffs_cache_release_catalog(MyDatabaseId);
	if (shared_catalog_held)
		ffs_cache_release_catalog(InvalidOid);
	catalog_held = shared_catalog_held = false;
	/* an abort hears of its own changes once more */
	in_ddl = false;
}

/*
 * Commands that define something: until the transaction ends, its own
 * definitions are nobody else's.  And the end of a prepared transaction, whose
 * invalidations are not known here; our own transaction's end is late enough.
 */
static ProcessUtility_hook_type prev_process_utility = NULL;

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type next = prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	bool		is_end = IsA(pstmt->utilityStmt, TransactionStmt) &&
		castNode(TransactionStmt, pstmt->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	/* of much of what queries mean there are no messages that are listened to here */
	if (GetCommandLogLevel(pstmt->utilityStmt) == LOGSTMT_DDL)
		in_ddl = true;
	if (is_end && ffs_cache_store_ready() && !catalog_held && !shared_catalog_held)
	{
		ffs_cache_hold_catalog(MyDatabaseId);
		ffs_cache_hold_catalog(InvalidOid);
		catalog_held = shared_catalog_held = true;
	}
	next(pstmt, query_string, read_only, context, params, environment, dest, qc);
}

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (!ffs_cache_store_ready())
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			fence_changed();
			ffs_cache_fence_at_once();
			break;
		case XACT_EVENT_COMMIT:
			/* others can see it, and have not been told */
			FFS_DEBUG_POINT("cache-commit-seen");
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			in_ddl = false;
			ffs_cache_forget_fences();
			ffs_cache_forget_waiting();
			ffs_cache_flush_counters();
			break;
		default:
			break;
	}
}

void
ffs_cache_writes_init(void)
{
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	RegisterXactCallback(xact_callback, NULL);
	RegisterResourceReleaseCallback(release_callback, NULL);
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
