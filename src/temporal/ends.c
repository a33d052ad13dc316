/*-------------------------------------------------------------------------
 *
 * ends.c
 *		Lives follow each other: a row that comes in begins after the last life
 *		of its key has ended.
 *
 * Another transaction may have ended that life after our stamp was taken.  The
 * row trigger looks for such ends where there are any; an INSERT that waits for
 * a deletion to commit learns of it only afterwards, and is stamped again at
 * the statement's end.
 *
 * Ends of lives are closed versions that no update closed (scd2), or audit
 * entries without a new value (copy_on_change); an index on their times and
 * transactions finds those of others.  They are looked for with SnapshotSelf:
 * the question is what has been committed by now, not what our snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

/* Where the ends of a table's lives are. */
typedef struct Past
{
	Oid			relid;			/* history or audit */
	Oid			key_index;		/* on the key, and what numbers its versions or entries */
	Oid			ended_index;	/* on the ends' times and transactions */
	const AttrNumber *map;
	TupleDesc	desc;
} Past;

static Past
past_of(const FfsTable *table)
{
	Past		past;

	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		past.relid = table->history;
		past.key_index = table->history_pk;
		past.ended_index = table->history_ended;
		past.map = table->history_map;
		past.desc = table->history_desc;
	}
	else
	{
		past.relid = table->audit;
		past.key_index = table->audit_pk;
		past.ended_index = table->audit_ended;
		past.map = table->audit_map;
		past.desc = table->audit_desc;
	}
	return past;
}

/* ---- one key ---- */

/* False where one of them is NULL: there is no such key, and the constraint will say so. */
static bool
key_values(FfsTable *table, HeapTuple tuple, TupleDesc desc, Datum *values)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(tuple, table->key[i], desc, &isnull);
		if (isnull)
			return false;
	}
	return true;
}

/*
 * The last closed version or entry of this key, in a slot that
 * the caller drops; NULL where there is none.
 */
static TupleTableSlot *
last_of_key(FfsTable *table, Relation past, HeapTuple tuple, TupleDesc desc)
{
	Relation	index = index_open(past_of(table).key_index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(past, NULL);
	Datum		key[INDEX_MAX_KEYS];

	if (!key_values(table, tuple, desc, key) ||
		!ffs_base_fetch_by_key(past, index, table->nkeys, key, SnapshotSelf, true, slot))
	{
		ExecDropSingleTupleTableSlot(slot);
		slot = NULL;
	}
	index_close(index, AccessShareLock);
	return slot;
}

static Datum
slot_value(TupleTableSlot *slot, const AttrNumber *map, AttrNumber source)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, ffs_temporal_side_attribute(slot->tts_tupleDescriptor, map, source), &isnull);

	if (isnull)
		elog(ERROR, "null in what ended a life");
	return value;
}

/* Does an audit entry end a life? */
static bool
is_end(TupleTableSlot *entry, const Past *past)
{
	return slot_attisnull(entry, ffs_temporal_side_attribute(past->desc, past->map, FFS_FROM_NEW_VALUE));
}

void
ffs_temporal_amend_end(FfsTable *table, HeapTuple old, TupleDesc desc, const char *operation)
{
	Relation	history;
	TupleTableSlot *slot;

	/* what this statement has written must be there, and from an earlier command */
	ffs_temporal_buffer_flush(table->rootid);
	CommandCounterIncrement();

	history = table_open(table->history, RowExclusiveLock);
	slot = last_of_key(table, history, old, desc);
	if (slot != NULL)
	{
		Datum		xid = slot_value(slot, table->history_map, FFS_FROM_XID);
		Datum		op = slot_value(slot, table->history_map, FFS_FROM_OPERATION);
		Datum		end = slot_value(slot, table->history_map, FFS_FROM_END_TIME);

		if (FullTransactionIdEquals(DatumGetFullTransactionId(xid), ffs_temporal_xid()) &&
			strcmp(TextDatumGetCString(op), "update") == 0 &&
			DatumGetTimestampTz(end) == ffs_temporal_time_attribute(old, table->stamp[FFS_VALID_FROM], desc, 0))
		{
			TupleTableSlot *amended = table_slot_create(history, NULL);
			HeapTuple	tuple = ExecCopySlotHeapTuple(slot);
			int			cols[2];
			Datum		values[2];
			bool		nulls[2] = {false, false};

			cols[0] = ffs_temporal_side_attribute(slot->tts_tupleDescriptor, table->history_map, FFS_FROM_OPERATION);
			cols[1] = ffs_temporal_side_attribute(slot->tts_tupleDescriptor, table->history_map, FFS_FROM_ACTOR);
			values[0] = CStringGetTextDatum(operation);
			values[1] = ffs_temporal_actor_datum();
			tuple = heap_modify_tuple_by_cols(tuple, slot->tts_tupleDescriptor, 2, cols, values, nulls);
			ExecForceStoreHeapTuple(tuple, amended, false);
			ffs_base_update_slot(history, slot, amended);
			CommandCounterIncrement();
			ExecDropSingleTupleTableSlot(amended);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(history, RowExclusiveLock);
}

bool
ffs_temporal_last_end(FfsTable *table, HeapTuple tuple, TupleDesc desc, TimestampTz *end)
{
	Past		past = past_of(table);
	Relation	rel = table_open(past.relid, AccessShareLock);
	TupleTableSlot *slot = last_of_key(table, rel, tuple, desc);
	bool		found = false;

	if (slot != NULL)
	{
		found = table->strategy == FFS_STRATEGY_SCD2 || is_end(slot, &past);
		if (found)
			*end = DatumGetTimestampTz(slot_value(slot, past.map, FFS_FROM_END_TIME));
		ExecDropSingleTupleTableSlot(slot);
	}
	table_close(rel, AccessShareLock);
	return found;
}

/* ---- the ends of others ---- */

/*
 * Ends at or after our stamp that others have written: those of the stamp's
 * own time before and after our transaction's in the index, then all later
 * ones.  What we have ended ourselves may be much, and is not walked through,
 * unless it is asked for.
 */
typedef struct EndsScan
{
	Relation	rel;
	Relation	index;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	int			part;			/* of the three, the one that runs; 3: none is left */
	bool		with_own;		/* one part: all at or after our stamp */
} EndsScan;

static void
begin_part(EndsScan *ends)
{
	ScanKeyData keys[2];
	int			nkeys = ends->part == 2 ? 1 : 2;

	if (ends->with_own)
		ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
					TimestampTzGetDatum(ffs_temporal_now()));
	else
		ScanKeyInit(&keys[0], 1, nkeys == 1 ? BTGreaterStrategyNumber : BTEqualStrategyNumber,
					nkeys == 1 ? F_TIMESTAMPTZ_GT : F_TIMESTAMPTZ_EQ,
					TimestampTzGetDatum(ffs_temporal_now()));
	ScanKeyInit(&keys[1], 2, ends->part == 0 ? BTLessStrategyNumber : BTGreaterStrategyNumber,
				ends->part == 0 ? F_XID8LT : F_XID8GT,
				FullTransactionIdGetDatum(ffs_temporal_xid()));
	ends->scan = ffs_compat_index_beginscan(ends->rel, ends->index, SnapshotSelf, nkeys);
	index_rescan(ends->scan, keys, nkeys, NULL, 0);
}

static void
begin_ends(EndsScan *ends, const Past *past, bool with_own)
{
	ends->rel = table_open(past->relid, AccessShareLock);
	ends->index = index_open(past->ended_index, AccessShareLock);
	ends->slot = table_slot_create(ends->rel, NULL);
	ends->with_own = with_own;
	ends->part = with_own ? 2 : 0;
	begin_part(ends);
}

/* The next of them, or NULL. */
static TupleTableSlot *
next_end(EndsScan *ends)
{
	while (ends->part < 3)
	{
		while (index_getnext_slot(ends->scan, ForwardScanDirection, ends->slot))
		{
			bool		isnull;
			Datum		xmin = slot_getsysattr(ends->slot, MinTransactionIdAttributeNumber, &isnull);

			CHECK_FOR_INTERRUPTS();
			if (ends->with_own || !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)))
				return ends->slot;
		}
		index_endscan(ends->scan);
		if (++ends->part < 3)
			begin_part(ends);
	}
	return NULL;
}

static void
end_ends(EndsScan *ends)
{
	if (ends->part < 3)
		index_endscan(ends->scan);
	ExecDropSingleTupleTableSlot(ends->slot);
	index_close(ends->index, AccessShareLock);
	table_close(ends->rel, AccessShareLock);
}

bool
ffs_temporal_any_end(FfsTable *table)
{
	Past		past = past_of(table);
	EndsScan	ends;
	bool		found;

	begin_ends(&ends, &past, false);
	found = next_end(&ends) != NULL;
	end_ends(&ends);
	return found;
}

/* ---- rows that came in too early ---- */

/* A copy of the slot's row, with where it is. */
static HeapTuple
copy_row(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);

	tuple->t_self = slot->tts_tid;
	return tuple;
}

/* Put times into a row, whatever its table. */
static void
stamp_again(Relation rel, HeapTuple tuple, int n, int *cols, TimestampTz at)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *newslot = table_slot_create(rel, NULL);
	Datum		values[FFS_NSTAMPS];
	bool		nulls[FFS_NSTAMPS] = {false};

	for (int i = 0; i < n; i++)
		values[i] = TimestampTzGetDatum(at);
	CommandCounterIncrement();
	ExecForceStoreHeapTuple(tuple, slot, false);
	slot->tts_tid = tuple->t_self;
	ExecForceStoreHeapTuple(heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), n, cols, values, nulls),
							newslot, false);
	ffs_base_update_slot(rel, slot, newslot);
	CommandCounterIncrement();
	ExecDropSingleTupleTableSlot(newslot);
	ExecDropSingleTupleTableSlot(slot);
}

/* The time from which a row counts, if this transaction brought it in; else false. */
static bool
own_beginning(FfsTable *table, HeapTuple tuple, TupleDesc desc, TimestampTz *begins)
{
	AttrNumber	attno;
	bool		isnull;

	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		if (!ffs_temporal_is_own_version(table, tuple, desc))
			return false;
		attno = table->stamp[FFS_VALID_FROM];
	}
	else
	{
		if (!table->has_stamps || !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			return false;
		attno = table->stamp[FFS_UPDATED_AT];
	}
	*begins = DatumGetTimestampTz(heap_getattr(tuple, attno, desc, &isnull));
	return !isnull;
}

/*
 * The row of the managed table that has this key, if this transaction inserted
 * or restored it, and it begins too early: stamp it again, just past the end of
 * the life before.  (A version that it only updated begins after that end by
 * itself: the row did.)  In a partitioned table, `rel` is a leaf.
 */
static void
settle_row(FfsTable *table, Relation rel, const Datum *key, TimestampTz end)
{
	Relation	index = index_open(table->pk_index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TimestampTz was;

	if (ffs_base_fetch_by_key(rel, index, table->nkeys, key, SnapshotSelf, false, slot))
	{
		HeapTuple	tuple = copy_row(slot);
		TupleDesc	desc = RelationGetDescr(rel);

		if (own_beginning(table, tuple, desc, &was) && was <= end)
		{
			const FfsStamp moved[] = {FFS_VALID_FROM, FFS_CREATED_AT, FFS_UPDATED_AT};
			int			cols[lengthof(moved)];
			int			n = 0;

			/* all that said when the row began, not what a restore kept */
			for (int i = 0; i < (int) lengthof(moved); i++)
				if (table->stamp[moved[i]] != 0 &&
					ffs_temporal_time_attribute(tuple, table->stamp[moved[i]], desc, 0) == was)
					cols[n++] = table->stamp[moved[i]];
			stamp_again(rel, tuple, n, cols, end + 1);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
}

/* Our entries of a key that are not later than another's end, from the last one back. */
typedef struct EarlyEntries
{
	AttrNumber	at;				/* changed_at */
	TimestampTz end;
	List	   *entries;
} EarlyEntries;

static bool
collect_early(TupleTableSlot *slot, void *arg)
{
	EarlyEntries *early = arg;
	bool		isnull;

	if (!TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull))))
		return true;
	if (DatumGetTimestampTz(slot_getattr(slot, early->at, &isnull)) <= early->end)
		early->entries = lappend(early->entries, copy_row(slot));
	return false;
}

/* copy_on_change: the entries of what came in too early. */
static void
settle_entries(FfsTable *root, const Past *past, const Datum *key, TimestampTz end)
{
	Relation	rel = table_open(past->relid, RowExclusiveLock);
	Relation	index = index_open(past->key_index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	EarlyEntries early = {.at = ffs_temporal_side_attribute(past->desc, past->map, FFS_FROM_END_TIME),.end = end};
	int			col = early.at;
	ListCell   *lc;

	(void) ffs_base_fetch_last_wanted(rel, index, root->nkeys, key, collect_early, &early, SnapshotSelf, slot);
	foreach(lc, early.entries)
		stamp_again(rel, lfirst(lc), 1, &col, end + 1);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, NoLock);
}

static void
settle_key(FfsTable *root, const Past *past, const Datum *key, TimestampTz end)
{
	Relation	rel = table_open(root->rootid, RowExclusiveLock);

	if (root->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
		settle_entries(root, past, key, end);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		List	   *leaves = RelationGetPartitionDesc(rel, true)->nparts > 0 ?
			find_all_inheritors(root->rootid, RowExclusiveLock, NULL) : NIL;
		ListCell   *lc;

		foreach(lc, leaves)
		{
			if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			{
				Relation	leaf = table_open(lfirst_oid(lc), NoLock);

				settle_row(ffs_registry_get(lfirst_oid(lc), true), leaf, key, end);
				table_close(leaf, NoLock);
			}
		}
	}
	else
		settle_row(root, rel, key, end);
	table_close(rel, NoLock);
}

void
ffs_temporal_settle_inserts(FfsTable *table, bool probed)
{
	Past		past = past_of(table);
	bool		with_own = !probed && table->strategy == FFS_STRATEGY_SCD2;
	EndsScan	ends;
	TupleTableSlot *slot;
	List	   *found = NIL;
	ListCell   *lc;

	begin_ends(&ends, &past, with_own);
	while ((slot = next_end(&ends)) != NULL)
	{
		bool		isnull;
		TransactionId xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));

		/* what was there when the statement began was seen by the row trigger */
		if (probed &&
			(!TransactionIdIsNormal(xmin) || !XidInMVCCSnapshot(xmin, GetActiveSnapshot())))
			continue;
		found = lappend(found, copy_row(slot));
	}
	end_ends(&ends);
	if (found == NIL)
		return;

	slot = MakeSingleTupleTableSlot(past.desc, &TTSOpsHeapTuple);
	foreach(lc, found)
	{
		FfsTable   *root = ffs_registry_get(table->rootid, true);
		Past		root_past = past_of(root);
		Datum		key[INDEX_MAX_KEYS];
		bool		isnull;

		ExecStoreHeapTuple(lfirst(lc), slot, false);
		for (int i = 0; i < root->nkeys; i++)
			key[i] = slot_getattr(slot, ffs_temporal_side_attribute(root_past.desc, root_past.map, root->key[i]), &isnull);
		settle_key(root, &root_past, key,
				   DatumGetTimestampTz(slot_value(slot, root_past.map, FFS_FROM_END_TIME)));
	}
	ExecDropSingleTupleTableSlot(slot);
}
