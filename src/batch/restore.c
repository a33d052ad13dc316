/*-------------------------------------------------------------------------
 *
 * restore.c
 *		Soft-deleted rows come back; ffs_restore.
 *
 * The rows are read and taken from <table>_deleted by us, since the caller need
 * have no rights there, and go into the table by one INSERT of the caller's:
 * with its privileges, policies, constraints and triggers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/call.h"
#include "batch/batch.h"
#include "batch/errors.h"
#include "batch/restore.h"
#include "registry/key.h"
#include "temporal/temporal.h"
#include "tenancy/tenancy.h"

FFS_CALL(ffs_restore);

/* ---- finding the deleted row ---- */

AttrNumber
ffs_batch_deleted_attribute(const FfsTable *table, AttrNumber source)
{
	for (int i = 0; i < table->deleted_desc->natts; i++)
		if (!TupleDescAttr(table->deleted_desc, i)->attisdropped && table->deleted_map[i] == source)
			return i + 1;
	ereport(ERROR,
			(errcode(FFS_ERRCODE_HISTORY_OUT_OF_STEP),
			 errmsg("table %s and what stands beside it do not match", ffs_base_relation_name(table->relid)),
			 errdetail("A column that is needed is missing in %s.", ffs_base_relation_name(table->deleted)),
			 errhint("Call ffs_manage() again with the table's strategy.")));
	return 0;
}

/* The index of <table>_deleted on (key, deleted_at). */
static Oid
deleted_index(const FfsTable *table, Relation deleted)
{
	List	   *indexes = RelationGetIndexList(deleted);
	ListCell   *lc;
	Oid			result = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		fits = form->indisvalid && form->indnkeyatts == table->nkeys + 1 &&
		RelationGetIndexPredicate(index) == NIL &&
		form->indkey.values[table->nkeys] == ffs_batch_deleted_attribute(table, FFS_FROM_END_TIME);

		for (int i = 0; i < table->nkeys && fits; i++)
			fits = form->indkey.values[i] == ffs_batch_deleted_attribute(table, table->key[i]);
		index_close(index, AccessShareLock);
		if (fits)
		{
			result = lfirst_oid(lc);
			break;
		}
	}
	list_free(indexes);
	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_HISTORY_OUT_OF_STEP),
				 errmsg("table %s has lost its index on the key and deleted_at",
						ffs_base_relation_name(table->deleted)),
				 errdetail("It belongs to the managed table %s.", ffs_base_relation_name(table->relid)),
				 errhint("Call ffs_manage() again with the table's strategy.")));
	return result;
}

/* May the transaction's tenant see this row? */
static bool
tenant_sees(TupleTableSlot *slot, void *arg)
{
	const FfsTable *table = arg;
	bool		isnull;
	Datum		tenant;

	if (table->tenant == 0)
		return true;
	if (ffs_tenancy_mode() == FFS_TENANT_NONE)
		return ffs_base_bypasses_rls(GetUserId());
	tenant = slot_getattr(slot, ffs_batch_deleted_attribute(table, table->tenant), &isnull);
	return !isnull && ffs_tenancy_allows(table->tenant_type, tenant);
}

/*
 * The latest deleted row of this key, of those that the tenant sees: where the
 * tenant is no part of the key, several tenants' may lie under it.  Who sees
 * all of them is told that one is another tenant's, as for any other write.
 */
static bool
fetch_deleted_row(Restore *restore, const Datum *key)
{
	FfsTable   *table = restore->table;
	bool		isnull;
	Datum		tenant;

	if (ffs_base_fetch_last_wanted(restore->deleted, restore->index, table->nkeys, key,
								   tenant_sees, table, GetActiveSnapshot(), restore->slot))
		return true;
	if (table->tenant != 0 && ffs_base_bypasses_rls(GetUserId()) &&
		ffs_base_fetch_by_key(restore->deleted, restore->index, table->nkeys, key,
							  GetActiveSnapshot(), true, restore->slot))
	{
		tenant = slot_getattr(restore->slot, ffs_batch_deleted_attribute(table, table->tenant), &isnull);
		ffs_tenancy_check_row(table->relid, table->tenant_type, tenant, isnull);
	}
	return false;
}

/*
 * The same, locked, so that nobody else restores or purges it meanwhile.
 * False where there is none.
 */
static bool
lock_deleted_row(Restore *restore, const Datum *key)
{
	for (;;)
	{
		TM_FailureData failure;
		TM_Result	result;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(GetTransactionSnapshot());
		ExecClearTuple(restore->slot);
		if (!fetch_deleted_row(restore, key))
		{
			PopActiveSnapshot();
			return false;
		}
		tid = restore->slot->tts_tid;
		result = table_tuple_lock(restore->deleted, &tid, GetActiveSnapshot(), restore->slot,
								  GetCurrentCommandId(false), LockTupleExclusive, LockWaitBlock,
								  0, &failure);
		PopActiveSnapshot();
		if (result == TM_Ok)
			return true;
		if (result == TM_SelfModified)
			return false;
		if (result != TM_Deleted && result != TM_Updated)
			elog(ERROR, "unexpected result %d of locking a deleted row", (int) result);
		/* somebody restored or purged it while we waited: look again */
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update"),
					 errdetail("The deleted row was restored or purged meanwhile."),
					 errhint("Run the transaction again.")));
	}
}

/*
 * The version that the restored row takes: the next after the last one that
 * its life has in history.  That is the last one that began before the row was
 * deleted: meanwhile the key may have had another life, which a change of the
 * key ended.  A row of version 1 whose deletion closed no version was seen by
 * nobody else: it begins a life.
 */
static int32
next_version(Restore *restore, const RestoreRow *row)
{
	FfsTable   *table = restore->table;
	Datum		valid_from;
	bool		isnull;
	int32		version = 1;

	if (table->strategy != FFS_STRATEGY_SCD2)
		return 0;
	valid_from = slot_getattr(restore->slot, ffs_batch_deleted_attribute(table, table->stamp[FFS_VALID_FROM]), &isnull);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (ffs_base_fetch_last_until(restore->history, restore->history_index, table->nkeys, row->key.values,
								  valid_from, GetActiveSnapshot(), restore->history_slot))
	{
		TimestampTz valid_to = 0;
		int32		last = 0;

		for (int i = 0; i < table->history_desc->natts; i++)
		{
			Datum		value = slot_getattr(restore->history_slot, i + 1, &isnull);

			if (isnull || TupleDescAttr(table->history_desc, i)->attisdropped)
				continue;
			if (table->history_map[i] == FFS_FROM_END_TIME)
				valid_to = DatumGetTimestampTz(value);
			else if (table->history_map[i] == table->stamp[FFS_VERSION])
				last = DatumGetInt32(value);
		}
		if (valid_to == row->deleted_at || row->deleted_version > 1)
			version = last + 1;
	}
	PopActiveSnapshot();
	ExecClearTuple(restore->history_slot);
	return version;
}

/* ---- rows to be put back ---- */

/* What the deleted row holds, as a row of the feed. */
static void
read_deleted_row(Restore *restore, RestoreRow *row)
{
	FfsTable   *table = restore->table;
	TupleDesc	deleted_desc = RelationGetDescr(restore->deleted);
	TupleDesc	desc = RelationGetDescr(restore->rel);
	int			natts = desc->natts;
	int			nwords = restore->reader->nwords;
	Datum	   *values = palloc(sizeof(Datum) * deleted_desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * deleted_desc->natts);
	HeapTuple	tuple = ExecCopySlotHeapTuple(restore->slot);

	heap_deform_tuple(tuple, deleted_desc, values, nulls);
	row->feed.values = palloc0(sizeof(Datum) * natts);
	row->feed.nulls = palloc(sizeof(bool) * natts);
	row->feed.given = palloc0(sizeof(uint64) * nwords);
	row->feed.filled = palloc0(sizeof(uint64) * nwords);
	memset(row->feed.nulls, true, natts);
	row->deleted_version = 0;
	for (int i = 0; i < table->deleted_desc->natts; i++)
	{
		AttrNumber	attno = table->deleted_map[i];
		Form_pg_attribute att;

		if (TupleDescAttr(table->deleted_desc, i)->attisdropped)
			continue;
		if (attno == FFS_FROM_XID)
			row->xid = DatumGetFullTransactionId(values[i]);
		else if (attno == FFS_FROM_END_TIME)
			row->deleted_at = DatumGetTimestampTz(values[i]);
		if (attno <= 0)
			continue;
		if (attno == table->stamp[FFS_VERSION])
			row->deleted_version = DatumGetInt32(values[i]);
		att = TupleDescAttr(desc, attno - 1);
		row->feed.values[attno - 1] = values[i];
		row->feed.nulls[attno - 1] = nulls[i];
		if (att->attgenerated)
			continue;
		/* a column that came after the deletion, and may not be NULL, takes its default */
		if (nulls[i] && att->attnotnull && (att->atthasdef || att->attidentity))
			continue;
		ffs_batch_set_given(row->feed.given, attno);
	}
	row->tid = restore->slot->tts_tid;
	row->version = next_version(restore, row);
}

/* Is there a deleted row of this key, to be restored?  It is locked then, and read. */
static bool
find_row(Restore *restore, RestoreRow *row)
{
	FfsTable   *table = restore->table;
	bool		found = lock_deleted_row(restore, row->key.values);

	if (found)
	{
		read_deleted_row(restore, row);
		if (row->key.has_version && row->deleted_version != row->key.version)
			ffs_batch_version_conflict(table, row->key.values, row->key.version, row->deleted_version);
		found = !FullTransactionIdIsValid(row->only) || FullTransactionIdEquals(row->only, row->xid);
	}
	ExecClearTuple(restore->slot);
	return found;
}

/* ---- putting them back ---- */

/* An INSERT of all columns that a deleted row may have. */
static char *
insert_text(Restore *restore)
{
	FfsTable   *table = restore->table;
	RowReader  *reader = restore->reader;
	StringInfoData query;
	StringInfoData list;

	initStringInfo(&query);
	initStringInfo(&list);
	appendStringInfo(&query, "INSERT INTO %s AS ffs_target (", reader->relation_name);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		const char *name;

		if (!ffs_batch_is_given(restore->columns, attno))
			continue;
		name = quote_identifier(reader->columns[attno - 1].name);
		appendStringInfo(&query, "%s%s", list.len > 0 ? ", " : "", name);
		appendStringInfo(&list, "%sffs_feed.%s", list.len > 0 ? ", " : "", name);
	}
	appendStringInfo(&query, ") OVERRIDING SYSTEM VALUE SELECT %s FROM " FEED_NAME " AS ffs_feed RETURNING ",
					 list.data);
	/* so that the table's policies for reading have their say too */
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&query, "%sffs_target.%s", i > 0 ? ", " : "",
						 quote_identifier(reader->columns[table->key[i] - 1].name));
	return query.data;
}

/*
 * The INSERT takes a row, or none is left.  Only now is its deleted row looked
 * for and locked, so that all locks are taken in the order of the rows.
 */
static bool
take_row(Feed *feed, FeedRow *row)
{
	RestoreRow *restored = (RestoreRow *) row;
	MemoryContext old;
	TimestampTz after;
	bool		found;

	if (row == NULL)
	{
		ffs_temporal_end_restore();
		return false;
	}
	old = MemoryContextSwitchTo(feed->context);
	found = find_row((Restore *) ((char *) feed - offsetof(Restore, feed)), restored);
	MemoryContextSwitchTo(old);
	if (!found)
		return false;
	/* what this transaction deleted may come back with the same stamp */
	after = restored->deleted_at;
	if (FullTransactionIdEquals(restored->xid, GetTopFullTransactionIdIfAny()))
		after--;
	ffs_temporal_begin_restore(feed->reader->table->rootid, restored->version, after, "restore");
	return true;
}

/* Say what stands in the way where the key or a unique value is taken by now. */
static void
describe_taken(Restore *restore, const RestoreRow *row, ErrorData *error)
{
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		return;
	error->detail = psprintf("%s%s%s", error->message, error->detail ? ": " : "",
							 error->detail ? error->detail : "");
	error->message = psprintf("the row %s of table %s cannot be restored: its key or a unique value is taken",
							  ffs_registry_key_text(restore->table, row->key.values),
							  restore->reader->relation_name);
	error->hint = pstrdup("Delete or change the row that has the value now, then restore.");
}

/* ---- a table's restores ---- */

Restore *
ffs_batch_open_restore(FfsTable *table)
{
	Restore    *restore = palloc0(sizeof(Restore));

	if (pg_class_aclcheck(table->relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK ||
		pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(table->relid));
	if (table->tenant != 0)
		ffs_tenancy_check_statement(table->relid);

	restore->table = table;
	restore->rel = table_open(table->relid, RowExclusiveLock);
	restore->deleted = table_open(table->deleted, RowExclusiveLock);
	restore->index = index_open(deleted_index(table, restore->deleted), AccessShareLock);
	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		restore->history = table_open(table->history, AccessShareLock);
		restore->history_index = index_open(table->history_pk, AccessShareLock);
	}
	restore->reader = ffs_batch_open_reader(restore->rel, table);
	restore->feed.reader = restore->reader;
	restore->feed.context = CurrentMemoryContext;
	restore->feed.desc = CreateTupleDescCopy(RelationGetDescr(restore->rel));
	restore->feed.command = CMD_INSERT;
	restore->feed.take = take_row;
	restore->columns = palloc0(sizeof(uint64) * restore->reader->nwords);
	for (int i = 0; i < table->deleted_desc->natts; i++)
		if (!TupleDescAttr(table->deleted_desc, i)->attisdropped && table->deleted_map[i] > 0 &&
			!restore->reader->columns[table->deleted_map[i] - 1].generated)
			ffs_batch_set_given(restore->columns, table->deleted_map[i]);
	restore->query = insert_text(restore);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ffs_batch_feed_register(&restore->feed);
	return restore;
}

void
ffs_batch_close_restore(Restore *restore)
{
	SPI_finish();
	if (restore->reader->estate)
		FreeExecutorState(restore->reader->estate);
	if (restore->history)
	{
		index_close(restore->history_index, NoLock);
		table_close(restore->history, NoLock);
	}
	index_close(restore->index, NoLock);
	table_close(restore->deleted, NoLock);
	table_close(restore->rel, NoLock);
}

/* Put those of the rows back that there are. */
static uint64
restore_rows(Restore *restore, RestoreRow **rows, int nrows)
{
	Feed	   *feed = &restore->feed;
	bool		cascade = false;
	uint64		restored = 0;

	/* made anew each time: an error leaves them in a subtransaction that is gone */
	restore->slot = table_slot_create(restore->deleted, NULL);
	if (restore->history)
		restore->history_slot = table_slot_create(restore->history, NULL);

	feed->rows = (FeedRow **) rows;
	feed->from = 0;
	feed->to = nrows;
	feed->columns = restore->columns;
	feed->position = -1;
	restore->running = true;
	ffs_batch_feed_run(feed, restore->query);
	restore->running = false;

	ExecDropSingleTupleTableSlot(restore->slot);
	if (restore->history)
		ExecDropSingleTupleTableSlot(restore->history_slot);
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < nrows; i++)
	{
		if (rows[i]->feed.outcome != FEED_INSERTED)
			continue;
		ffs_base_delete_tid(restore->deleted, &rows[i]->tid);
		restored++;
		cascade |= rows[i]->key.cascade;
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
	if (cascade)
		restored += ffs_batch_restore_cascade(restore->table, rows, nrows);
	return restored;
}

/* After an error: the row it is about, or NULL. */
static RestoreRow *
failed_row(Restore *restore)
{
	Feed	   *feed = &restore->feed;

	if (!restore->running)
		return NULL;
	restore->running = false;
	ffs_batch_feed_abandon(feed);
	if (feed->position < feed->from || feed->position >= feed->to)
		return NULL;
	return (RestoreRow *) feed->rows[feed->position];
}

uint64
ffs_batch_restore_rows(Restore *restore, RestoreRow **rows, int nrows)
{
	MemoryContext context = CurrentMemoryContext;
	volatile uint64 restored = 0;

	check_stack_depth();
	restore->failed = NULL;
	PG_TRY();
	{
		restored = restore_rows(restore, rows, nrows);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		restore->failed = failed_row(restore);
		if (restore->failed == NULL)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		describe_taken(restore, restore->failed, error);
		ReThrowError(error);
	}
	PG_END_TRY();
	return restored;
}

FfsTable *
ffs_batch_restore_argument(FunctionCallInfo fcinfo, int n)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, n, true);

	/* what was deleted from a partition is kept beside the root */
	if (table->relid != table->rootid)
		table = ffs_registry_get(table->rootid, true);
	return table;
}

void
ffs_batch_require_deleted(const FfsTable *table)
{
	if (!table->soft_delete || !OidIsValid(table->deleted))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s does not keep deleted rows", ffs_base_relation_name(table->relid)),
				 errdetail("It is managed without soft_delete."),
				 errhint("Call ffs_manage() with soft_delete => true; rows deleted from then on can be restored.")));
}

/* ---- one row ---- */

static Datum
ffs_restore_call(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_restore_argument(fcinfo, 0);
	RestoreRow	row;
	RestoreRow *rows = &row;
	Restore    *restore;
	uint64		restored;
	instr_time	start;

	ffs_batch_begin(table->rootid, FFS_OP_RESTORE, &start);
	memset(&row, 0, sizeof(row));
	ffs_batch_key_argument(table, fcinfo, 1, true, &row.key);
	ffs_batch_require_deleted(table);
	restore = ffs_batch_open_restore(table);
	restored = ffs_batch_restore_rows(restore, &rows, 1);
	ffs_batch_close_restore(restore);
	ffs_batch_count(table->rootid, FFS_OP_RESTORE, restored, start);
	PG_RETURN_BOOL(restored > 0);
}
