/*-------------------------------------------------------------------------
 *
 * statements.c
 *		What PostgreSQL calls for each statement that writes a managed table.
 *
 * statement_begin refuses writes without a tenant; statement_end writes out
 * what the row triggers (triggers.c) have buffered, and counts.  Both are on
 * every partition too, since a statement that names a partition fires only its
 * own.  table_truncate ends every row before TRUNCATE takes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base.h"
#include "registry/registry.h"
#include "registry/rowcache.h"
#include "stats/stats.h"
#include "temporal/temporal.h"
#include "temporal/write.h"
#include "tenancy/tenancy.h"

PG_FUNCTION_INFO_V1(statement_begin);
PG_FUNCTION_INFO_V1(statement_end);
PG_FUNCTION_INFO_V1(table_truncate);
PG_FUNCTION_INFO_V1(side_read_only);

/* ---- what statements do to a table ---- */

static dlist_head activities = DLIST_STATIC_INIT(activities);

FfsActivity *
ffs_temporal_activity(Oid rootid)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_iter	iter;
	FfsActivity *activity;

	dlist_foreach(iter, &activities)
	{
		activity = dlist_container(FfsActivity, node, iter.cur);
		if (activity->rootid == rootid && activity->subid == subid)
			return activity;
	}
	activity = MemoryContextAllocZero(TopTransactionContext, sizeof(FfsActivity));
	activity->rootid = rootid;
	activity->subid = subid;
	dlist_push_head(&activities, &activity->node);
	return activity;
}

/* Have lives been ended around this subtransaction? */
static bool
ends_seen_outside(Oid rootid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &activities)
	{
		FfsActivity *activity = dlist_container(FfsActivity, node, iter.cur);

		if (activity->rootid == rootid && activity->ends_seen)
			return true;
	}
	return false;
}

/* ---- checks of the protocol ---- */

TriggerData *
ffs_temporal_trigger_data(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by a trigger", name),
				 errdetail("It is one of the functions that ffs_manage() makes triggers of."),
				 errhint("Write to the managed table instead.")));
	return (TriggerData *) fcinfo->context;
}

void
ffs_temporal_wrong_event(const char *name, const char *when)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" was called by a trigger of another kind", name),
			 errdetail("It must fire %s.", when),
			 errhint("Let ffs_manage() make the table's triggers.")));
}

/* ---- statements ---- */

static FfsOperation
event_operation(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return FFS_OP_INSERT;
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return FFS_OP_UPDATE;
	if (TRIGGER_FIRED_BY_DELETE(event))
		return FFS_OP_DELETE;
	return FFS_OP_TRUNCATE;
}

Datum
statement_begin(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "statement_begin");
	FfsTable   *table;
	FfsOperation op = event_operation(td->tg_event);
	FfsActivity *activity;

	if (!TRIGGER_FIRED_FOR_STATEMENT(td->tg_event))
		ffs_temporal_wrong_event("statement_begin", "for each statement");
	table = ffs_registry_get(RelationGetRelid(td->tg_relation), true);
	activity = ffs_temporal_activity(table->rootid);
	if (ffs_stats_enabled())
	{
		instr_time	now;

		INSTR_TIME_SET_CURRENT(now);
		ffs_stats_begin(table->rootid, op, now);
		if (!activity->started[op])
		{
			activity->started[op] = true;
			activity->start[op] = now;
		}
	}
	if (table->tenant != 0)
		ffs_tenancy_check_statement(table->rootid);
	if (op == FFS_OP_INSERT)
		activity->direct = table->relid != table->rootid ? table->relid : InvalidOid;
	if (op == FFS_OP_INSERT && ffs_temporal_copy_begins(RelationGetRelid(td->tg_relation)))
	{
		ffs_temporal_note_write();
		activity->unprobed = true;
		if (ffs_registry_row_cache != NULL)
			ffs_registry_row_cache->rows_inserted(table);
	}
	else if (table->strategy != FFS_STRATEGY_NONE && op == FFS_OP_INSERT && !activity->ends_seen)
		activity->ends_seen = ends_seen_outside(table->rootid) || ffs_temporal_any_end(table);
	return PointerGetDatum(NULL);
}

static void
count_statement(FfsActivity *activity, FfsOperation op, uint64 calls)
{
	if (ffs_stats_enabled())
	{
		instr_time	elapsed;

		INSTR_TIME_SET_CURRENT(elapsed);
		if (activity->started[op])
			INSTR_TIME_SUBTRACT(elapsed, activity->start[op]);
		else
			INSTR_TIME_SET_ZERO(elapsed);
		ffs_stats_count(activity->rootid, op, calls, activity->rows[op],
						(uint64) (INSTR_TIME_GET_DOUBLE(elapsed) * 1e9));
	}
	activity->rows[op] = 0;
	activity->started[op] = false;
}

Datum
statement_end(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "statement_end");
	FfsTable   *table;
	FfsOperation op = event_operation(td->tg_event);
	FfsActivity *activity;

	if (!TRIGGER_FIRED_FOR_STATEMENT(td->tg_event) || !TRIGGER_FIRED_AFTER(td->tg_event))
		ffs_temporal_wrong_event("statement_end", "AFTER STATEMENT");
	table = ffs_registry_get(RelationGetRelid(td->tg_relation), true);
	ffs_temporal_settle_lost_move();
	ffs_temporal_buffer_flush(table->rootid);
	activity = ffs_temporal_activity(table->rootid);
	if (table->strategy != FFS_STRATEGY_NONE &&
		(op == FFS_OP_INSERT || (op == FFS_OP_UPDATE && activity->rekeyed)))
	{
		ffs_temporal_settle_inserts(table, !activity->unprobed);
		activity->rekeyed = activity->unprobed = false;
	}
	count_statement(activity, op, 1);
	return PointerGetDatum(NULL);
}

/* Every row of one table, before TRUNCATE takes them. */
static uint64
end_all_rows(Relation rel, FfsTable *table)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage truncate",
													  ALLOCSET_DEFAULT_SIZES);
	uint64		n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);

		CHECK_FOR_INTERRUPTS();
		ffs_temporal_end_row(table, tuple, RelationGetDescr(rel), "truncate");
		n++;
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row_context);
	return n;
}

Datum
table_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "table_truncate");
	FfsTable   *table;
	FfsActivity *activity;
	bool		is_call = true;

	if (!TRIGGER_FIRED_BEFORE(td->tg_event) || !TRIGGER_FIRED_BY_TRUNCATE(td->tg_event))
		ffs_temporal_wrong_event("table_truncate", "BEFORE TRUNCATE");
	table = ffs_registry_get(RelationGetRelid(td->tg_relation), true);
	activity = ffs_temporal_activity(table->rootid);

	/*
	 * TRUNCATE of a partitioned table fires here for it and then for each of
	 * its partitions: that is one call.
	 */
	if (activity->truncating > 0)
	{
		activity->truncating--;
		is_call = false;
	}
	else if (td->tg_relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		activity->truncating = list_length(find_all_inheritors(RelationGetRelid(td->tg_relation), NoLock, NULL)) - 1;
	INSTR_TIME_SET_CURRENT(activity->start[FFS_OP_TRUNCATE]);
	activity->started[FFS_OP_TRUNCATE] = true;
	if (is_call)
		ffs_stats_begin(table->rootid, FFS_OP_TRUNCATE, activity->start[FFS_OP_TRUNCATE]);
	if (table->tenant != 0)
		ffs_tenancy_check_truncate(table->rootid);
	if (ffs_registry_row_cache != NULL)
		ffs_registry_row_cache->table_written(table->rootid);

	if (td->tg_relation->rd_rel->relkind == RELKIND_RELATION)
	{
		ffs_temporal_note_write();
		activity->rows[FFS_OP_TRUNCATE] = end_all_rows(td->tg_relation, table);
		ffs_temporal_buffer_flush(table->rootid);
		activity->ends_seen = true;
	}
	count_statement(activity, FFS_OP_TRUNCATE, is_call ? 1 : 0);
	return PointerGetDatum(NULL);
}

Datum
side_read_only(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "side_read_only");

	if (!superuser())
		ereport(ERROR,
				(errcode(FFS_ERRCODE_HISTORY_READ_ONLY),
				 errmsg("table \"%s\" is append only", RelationGetRelationName(td->tg_relation)),
				 errdetail("It stands beside a managed table, and is written by ffstorage alone."),
				 errhint("Change the managed table itself; only a superuser may change what is kept of its past.")));
	return PointerGetDatum(td->tg_trigtuple);
}

/* ---- ends of transactions ---- */

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		dlist_init(&activities);	/* they go with TopTransactionContext */
}

/* All statements of the subtransaction have ended: only what its parent must know stays. */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg pg_attribute_unused())
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach_modify(iter, &activities)
	{
		FfsActivity *activity = dlist_container(FfsActivity, node, iter.cur);
		dlist_iter	it;
		bool		merged = false;

		if (activity->subid != subid)
			continue;
		dlist_delete(&activity->node);
		if (event == SUBXACT_EVENT_ABORT_SUB || !activity->ends_seen)
		{
			/* a transaction may have very many of them */
			pfree(activity);
			continue;
		}
		dlist_foreach(it, &activities)
		{
			FfsActivity *other = dlist_container(FfsActivity, node, it.cur);

			if (other->rootid == activity->rootid && other->subid == parent)
				other->ends_seen = merged = true;
		}
		if (merged)
			pfree(activity);
		else
		{
			memset(activity->rows, 0, sizeof(activity->rows));
			activity->subid = parent;
			dlist_push_tail(&activities, &activity->node);
		}
	}
}

void
ffs_temporal_statements_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
