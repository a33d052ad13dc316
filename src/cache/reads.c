/*-------------------------------------------------------------------------
 *
 * reads.c
 *		Rows by key from the cache, or else from the table into it.
 *
 * The table is locked first, as a query would lock it, so that what we know of
 * it is true until the transaction ends.  On a miss the row is fetched with
 * the active snapshot by the table's primary key, past row-level security,
 * and kept for all tenants; whose it is decides who is given it
 * (cache_rights).  What is known of partitions may be old: cache_fences.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base.h"
#include "cache/fences.h"
#include "cache/tables.h"
#include "tenancy/tenancy.h"

/* ---- may we? ---- */

/*
 * Is there anything about this call that only the tables can answer: locks of
 * SERIALIZABLE (a safe snapshot takes none), a snapshot that is not an
 * ordinary one, changes of relations that are our own, a foreign-key check?
 */
bool
ffs_cache_must_bypass(void)
{
	Snapshot	snapshot;

	ffs_cache_fence_waiting();
	if (!ffs_cache_enabled || ffs_cache_in_ddl() || (IsolationIsSerializable() && !(XactReadOnly && XactDeferrable)) ||
		IsInParallelMode() || InNoForceRLSOperation() || RecoveryInProgress())
		return true;
	if (!ActiveSnapshotSet())
		return true;
	snapshot = GetActiveSnapshot();
	return snapshot->snapshot_type != SNAPSHOT_MVCC || snapshot->takenDuringRecovery;
}

static inline bool
must_ask(FfsTable *table)
{
	return table->relid != table->rootid || ffs_cache_must_bypass();
}

static inline bool
is_locked(const CachedTable *known)
{
	return known->lxid == ffs_compat_lxid() && known->subid == GetCurrentSubTransactionId();
}

/* Lock the table as a query would, until the transaction ends; false if it is another one now. */
static bool
lock_table(CachedTable **known, FfsTable *table)
{
	FfsTable   *now;

	if (likely(is_locked(*known)))
		return true;
	LockRelationOid(table->relid, AccessShareLock);
	now = ffs_registry_find(table->relid);
	if (now == NULL || now->serial != table->serial)
		return false;
	*known = ffs_cache_known_table(now);
	(*known)->lxid = ffs_compat_lxid();
	(*known)->subid = GetCurrentSubTransactionId();
	return true;
}

/* ---- whose row is it? ---- */

static bool
is_visible(CachedTable *known, FfsTable *table, HeapTupleHeader row)
{
	HeapTupleData tuple;
	Datum		value;
	bool		isnull;

	if (!known->by_tenant)
		return true;
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	value = heap_getattr(&tuple, table->tenant, known->desc, &isnull);
	return !isnull && ffs_tenancy_allows(table->tenant_type, value);
}

/* ---- from the table ---- */

/* The partition, of a partitioned relation, that a row with this key is in; InvalidOid where there is none. */
static Oid
route(Relation rel, FfsTable *table, const Datum *key, bool *known)
{
	PartitionKey partition_key = RelationGetPartitionKey(rel);
	PartitionDesc partitions = RelationGetPartitionDesc(rel, true);
	PartitionBoundInfo bounds = partitions->boundinfo;
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS] = {0};
	bool		equal = false;
	int			at = -1;
	int			offset;

	*known = true;
	if (partitions->nparts == 0)
		return InvalidOid;
	for (int i = 0; i < partition_key->partnatts; i++)
	{
		int			n = 0;

		while (n < table->nkeys && table->key[n] != partition_key->partattrs[i])
			n++;
		if (n == table->nkeys)
		{
			*known = false;
			return InvalidOid;
		}
		values[i] = key[n];
	}
	switch (partition_key->strategy)
	{
		case PARTITION_STRATEGY_HASH:
			at = bounds->indexes[compute_partition_hash_value(partition_key->partnatts, partition_key->partsupfunc,
															  partition_key->partcollation, values, nulls) % bounds->nindexes];
			break;
		case PARTITION_STRATEGY_LIST:
			offset = partition_list_bsearch(partition_key->partsupfunc, partition_key->partcollation,
											bounds, values[0], &equal);
			if (offset >= 0 && equal)
				at = bounds->indexes[offset];
			break;
		case PARTITION_STRATEGY_RANGE:
			offset = partition_range_datum_bsearch(partition_key->partsupfunc, partition_key->partcollation,
												   bounds, partition_key->partnatts, values, &equal);
			at = bounds->indexes[offset + 1];
			break;
		default:
			*known = false;
			return InvalidOid;
	}
	if (at < 0)
		at = bounds->default_index;
	return at < 0 ? InvalidOid : partitions->oids[at];
}

/* May rows be looked for in the index with this snapshot? */
static bool
is_index_usable(Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || !form->indisready || !form->indislive)
		return false;
	return !form->indcheckxmin ||
		TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin);
}

/*
 * Is what this backend knows of partitions true for its snapshot?  They come
 * and go (ATTACH, DETACH CONCURRENTLY) without a lock that readers wait for.
 * Whoever did that, and is finished for the snapshot, has told everybody if no
 * change of the catalogs is on its way (writes.c); for who is not, the table's
 * fence stands.
 */
static bool
knows_partitions(void)
{
	bool		told;

	FFS_DEBUG_POINT("cache-partitions");
	told = !ffs_cache_is_held(ffs_cache_table_fence(InvalidOid));
	AcceptInvalidationMessages();
	return told;
}

/* A tuple of a leaf as a datum of the root's row type, in the current memory context. */
static HeapTupleHeader
make_row(HeapTuple tuple, TupleDesc leaf, TupleDesc root)
{
	TupleConversionMap *map = leaf == root ? NULL : convert_tuples_by_name(leaf, root);

	if (HeapTupleHeaderGetNatts(tuple->t_data) < leaf->natts)
		tuple = heap_expand_tuple(tuple, leaf);
	if (map != NULL)
		tuple = execute_attr_map_tuple(tuple, map);
	return DatumGetHeapTupleHeader(heap_copy_tuple_as_datum(tuple, root));
}

/* Read the row, and put what was found (if only where there is room: a row) into the store. */
static FfsRowAnswer
read_row(FfsTable *table, const StoreKey *store_key, const Datum *key, StorePolicy policy,
		 MemoryContext context, HeapTupleHeader *row)
{
	Relation	root = table_open(table->relid, AccessShareLock);
	Relation	rel = root;
	Relation	index;
	FfsTable   *leaf = table;
	Snapshot	snapshot = GetActiveSnapshot();
	FfsRowAnswer answer = FFS_ROW_NONE;
	bool		is_known = true;
	bool		keep = rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || knows_partitions();

	while (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		Oid			next = route(rel, leaf, key, &is_known);

		if (rel != root)
			table_close(rel, NoLock);
		rel = NULL;
		if (!OidIsValid(next))
			break;
		rel = table_open(next, AccessShareLock);
		leaf = ffs_registry_find(next);
		if (leaf == NULL || leaf->nkeys != table->nkeys)
		{
			is_known = false;
			break;
		}
	}

	if (rel != NULL && is_known && OidIsValid(leaf->pk_index))
	{
		index = index_open(leaf->pk_index, AccessShareLock);
		if (is_index_usable(index))
		{
			TupleTableSlot *slot = table_slot_create(rel, NULL);

			if (ffs_base_fetch_by_key(rel, index, leaf->nkeys, key, snapshot, false, slot))
			{
				bool		should_free;
				HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
				MemoryContext old = MemoryContextSwitchTo(context);

				*row = make_row(tuple, RelationGetDescr(rel), RelationGetDescr(root));
				MemoryContextSwitchTo(old);
				if (keep)
					ffs_cache_put(store_key, snapshot, *row, HeapTupleHeaderGetDatumLength(*row),
								  HeapTupleHeaderGetXmin(tuple->t_data), policy);
				answer = FFS_ROW_FOUND;
				if (should_free)
					heap_freetuple(tuple);
			}
			ExecDropSingleTupleTableSlot(slot);
		}
		else
			is_known = false;
		index_close(index, NoLock);
	}
	else if (rel != NULL)
		is_known = false;

	if (rel != NULL && rel != root)
		table_close(rel, NoLock);
	table_close(root, NoLock);
	if (!is_known)
		return FFS_ROW_ASK;
	if (!keep)
		ffs_cache_pending[COUNT_REFUSED]++;
	else if (answer == FFS_ROW_NONE && policy == STORE_EVICT)
		ffs_cache_put(store_key, snapshot, NULL, 0, InvalidTransactionId, STORE_EVICT);
	return answer;
}

/* ---- one row ---- */

FfsRowAnswer
ffs_cache_find(FfsTable *table, const Datum *key, MemoryContext context, Datum *row)
{
	CachedTable *known;
	StoreKey	store_key;
	char		bytes[MAX_KEY_BYTES];
	void	   *found = NULL;

	if (must_ask(table))
		return FFS_ROW_ASK;
	known = ffs_cache_known_table(table);
	if (!is_locked(known) || !ffs_cache_is_known_to_answer(known) ||
		ffs_cache_has_own_inserts(known->fence, known->rootid))
		return FFS_ROW_ASK;
	if (known->by_tenant && ffs_tenancy_mode() == FFS_TENANT_NONE)
	{
		ffs_cache_pending[COUNT_HITS]++;
		return FFS_ROW_NONE;
	}
	if (!ffs_cache_make_key(known, key, bytes, &store_key))
		return FFS_ROW_ASK;
	switch (ffs_cache_look_up(&store_key, GetActiveSnapshot(), context, &found))
	{
		case STORE_MISS:
			return FFS_ROW_ASK;
		case STORE_NONE:
			ffs_cache_pending[COUNT_HITS]++;
			return FFS_ROW_NONE;
		case STORE_ROW:
			ffs_cache_pending[COUNT_HITS]++;
			break;
	}
	*row = PointerGetDatum(found);
	return is_visible(known, table, found) ? FFS_ROW_FOUND : FFS_ROW_NONE;
}

void
ffs_cache_expect(FfsTable *table, const Datum *keys, int n)
{
	CachedTable *known;
	uint64		hashes[FEW_KEYS];
	int			nhashes = 0;

	if (must_ask(table))
		return;
	known = ffs_cache_known_table(table);
	if (!is_locked(known) || !ffs_cache_is_known_to_answer(known))
		return;
	for (int i = 0; i < n && nhashes < FEW_KEYS; i++)
	{
		StoreKey	store_key;
		char		bytes[MAX_KEY_BYTES];

		if (ffs_cache_make_key(known, keys + i * table->nkeys, bytes, &store_key))
			hashes[nhashes++] = store_key.hash;
	}
	ffs_cache_fetch(hashes, nhashes);
}

void
ffs_cache_left_to_query(uint64 n)
{
	ffs_cache_pending[COUNT_BYPASSED] += n;
}

FfsRowAnswer
ffs_cache_get(FfsTable *table, const Datum *key, MemoryContext context, Datum *row)
{
	CachedTable *known;
	StoreKey	store_key;
	char		bytes[MAX_KEY_BYTES];
	void	   *found = NULL;
	FfsRowAnswer answer = FFS_ROW_FOUND;

	if (must_ask(table))
		goto ask;
	known = ffs_cache_known_table(table);
	if (!lock_table(&known, table) || !ffs_cache_may_answer(known, table))
		goto ask;
	if (known->by_tenant && ffs_tenancy_mode() == FFS_TENANT_NONE)
	{
		ffs_cache_pending[COUNT_HITS]++;
		return FFS_ROW_NONE;
	}
	if (ffs_cache_has_own_inserts(known->fence, known->rootid) ||
		!ffs_cache_make_key(known, key, bytes, &store_key))
		goto ask;

	switch (ffs_cache_look_up(&store_key, GetActiveSnapshot(), context, &found))
	{
		case STORE_ROW:
			ffs_cache_pending[COUNT_HITS]++;
			break;
		case STORE_NONE:
			ffs_cache_pending[COUNT_HITS]++;
			return FFS_ROW_NONE;
		case STORE_MISS:
			ffs_cache_pending[COUNT_MISSES]++;
			answer = read_row(table, &store_key, key, STORE_EVICT, context, (HeapTupleHeader *) &found);
			if (answer == FFS_ROW_ASK)
				goto ask;
			break;
	}
	if (answer == FFS_ROW_FOUND && !is_visible(known, table, found))
	{
		pfree(found);
		return FFS_ROW_NONE;
	}
	*row = PointerGetDatum(found);
	return answer;

ask:
	ffs_cache_pending[COUNT_BYPASSED]++;
	return FFS_ROW_ASK;
}

FfsLoaded
ffs_cache_read_key(FfsTable *table, const char *bytes, int length)
{
	CachedTable *known;
	StoreKey	store_key;
	Datum		key[INDEX_MAX_KEYS];
	char		buffer[MAX_KEY_BYTES];
	void	   *found;
	uint64		fills = ffs_cache_pending[COUNT_FILLS];
	uint64		refused = ffs_cache_pending[COUNT_REFUSED];

	if (must_ask(table))
		return FFS_NOT_LOADED;
	known = ffs_cache_known_table(table);
	if (!lock_table(&known, table) || !ffs_cache_is_cacheable(known, table, STORE_ROWS) ||
		!ffs_cache_key_values(known, bytes, length, key) || !ffs_cache_make_key(known, key, buffer, &store_key))
		return FFS_NOT_LOADED;
	if (ffs_cache_look_up(&store_key, GetActiveSnapshot(), CurrentMemoryContext, &found) != STORE_MISS)
		return FFS_LOADED;
	if (read_row(table, &store_key, key, STORE_IF_ROOM, CurrentMemoryContext, (HeapTupleHeader *) &found) != FFS_ROW_FOUND)
		return FFS_NOT_LOADED;
	if (ffs_cache_pending[COUNT_FILLS] > fills)
		return FFS_LOADED;
	return ffs_cache_pending[COUNT_REFUSED] > refused ? FFS_NOT_LOADED : FFS_NO_ROOM;
}

/* ---- all rows ---- */

/* False where there is no more room. */
static bool
read_leaf(FfsTable *table, CachedTable *known, Relation root, Oid relid, MemoryContext row_context, uint64 *filled)
{
	Relation	rel = table_open(relid, AccessShareLock);
	FfsTable   *leaf = ffs_registry_find(relid);
	Snapshot	snapshot = GetActiveSnapshot();
	TableScanDesc scan;
	TupleTableSlot *slot;
	bool		room = true;
	int			in_vain = 0;

	if (leaf == NULL || leaf->nkeys != table->nkeys || rel->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(rel, NoLock);
		return true;
	}
	scan = table_beginscan(rel, snapshot, 0, NULL);
	slot = table_slot_create(rel, NULL);
	while (room && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
		HeapTupleHeader row = make_row(tuple, RelationGetDescr(rel), RelationGetDescr(root));
		Datum		key[INDEX_MAX_KEYS];
		char		bytes[MAX_KEY_BYTES];
		StoreKey	store_key;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < leaf->nkeys; i++)
			key[i] = slot_getattr(slot, leaf->key[i], &isnull);
		if (ffs_cache_make_key(known, key, bytes, &store_key))
		{
			if (ffs_cache_put(&store_key, snapshot, row, HeapTupleHeaderGetDatumLength(row),
							  HeapTupleHeaderGetXmin(tuple->t_data), STORE_IF_ROOM))
			{
				(*filled)++;
				in_vain = 0;
			}
			else
				room = ++in_vain < 1000;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(rel, NoLock);
	return room;
}

uint64
ffs_cache_read_table(FfsTable *table)
{
	Relation	root;
	CachedTable *known;
	MemoryContext row_context;
	uint64		filled = 0;
	ListCell   *lc;

	if (must_ask(table))
		return 0;
	known = ffs_cache_known_table(table);
	if (!lock_table(&known, table) || !ffs_cache_is_cacheable(known, table, STORE_ROWS))
		return 0;
	root = table_open(table->relid, AccessShareLock);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage warm-up", ALLOCSET_DEFAULT_SIZES);
	foreach(lc, find_all_inheritors(table->relid, AccessShareLock, NULL))
	{
		if (!read_leaf(table, known, root, lfirst_oid(lc), row_context, &filled))
			break;
	}
	MemoryContextDelete(row_context);
	table_close(root, NoLock);
	return filled;
}
