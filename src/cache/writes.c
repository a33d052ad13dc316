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
 *   the relation cache.  The backend that does it hears of it itself, at the
 *   next command of its transaction: those relations are remembered, and
 *   fenced, with the roots that they belong to, before the transaction commits
 *   or is prepared.  Until then it bypasses the cache itself.
 *
 * Invalidations that others sent look the same.  They only come to mind where
 * this transaction has an id, and cost hits at worst.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "nodes/pg_list.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "base/base.h"
#include "cache/tables.h"

/* ---- rows ---- */

void
ffs_cache_row_written(FfsTable *table, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	CachedTable *known = ffs_cache_known_table(table);
	uint64		hash = 0;
	uint64		new_hash;
	bool		fenced = false;

	if (!known->hashable)
		return;
	if (old != NULL && ffs_cache_hash_row(known, table, desc, old, &hash))
	{
		ffs_cache_fence_key(known->fence, known->rootid, hash, false);
		fenced = true;
	}
	if (new != NULL && ffs_cache_hash_row(known, table, desc, new, &new_hash) && !(fenced && hash == new_hash))
		ffs_cache_fence_key(known->fence, known->rootid, new_hash, old == NULL);
}

void
ffs_cache_rows_inserted(FfsTable *table)
{
	ffs_cache_fence_inserts(ffs_cache_table_fence(table->rootid), table->rootid);
}

/* ---- whole relations ---- */

#define MAX_CHANGED 256

static Oid	changed[MAX_CHANGED];
static int	nchanged = 0;		/* MAX_CHANGED + 1: too many to tell */

bool
ffs_cache_in_ddl(void)
{
	return nchanged > 0;
}

static void
note_changed(Oid relid)
{
	for (int i = 0; i < Min(nchanged, MAX_CHANGED); i++)
		if (changed[i] == relid)
			return;
	if (nchanged < MAX_CHANGED)
		changed[nchanged++] = relid;
	else
		nchanged = MAX_CHANGED + 1;
}

void
ffs_cache_table_written(Oid relid)
{
	ffs_cache_fence_table(ffs_cache_table_fence(relid), relid);
	note_changed(relid);
}

static void
relcache_callback(Datum arg pg_attribute_unused(), Oid relid)
{
	/* autovacuum changes statistics, and nothing that rows depend on */
	if (relid >= FirstNormalObjectId && ffs_cache_store_ready() && !ffs_compat_is_autovacuum() && TransactionIdIsValid(GetTopTransactionIdIfAny()))
		note_changed(relid);
}

static void
fence_changed(void)
{
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	/* the last command's invalidations may not have come yet */
	CommandCounterIncrement();
	if (nchanged > MAX_CHANGED)
		ffs_cache_fence_everything();
	else
	{
		/* the list may grow meanwhile */
		for (int i = 0; i < Min(nchanged, MAX_CHANGED); i++)
		{
			Oid			relid = changed[i];
			ListCell   *lc;

			ffs_cache_fence_table(ffs_cache_table_fence(relid), relid);
			if (!get_rel_relispartition(relid))
				continue;
			foreach(lc, get_partition_ancestors(relid))
				ffs_cache_fence_table(ffs_cache_table_fence(lfirst_oid(lc)), lfirst_oid(lc));
		}
	}
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
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			nchanged = 0;
			ffs_cache_forget_fences();
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
}
