/*-------------------------------------------------------------------------
 *
 * restore.c
 *		ffs_restore: a soft-deleted row comes back.
 *
 * The row is read and taken from <table>_deleted by us, since the caller need
 * have no rights there, and goes into the table by an INSERT of the caller's:
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
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "batch/batch.h"
#include "batch/one.h"
#include "batch/rows.h"
#include "registry/key.h"
#include "temporal/temporal.h"
#include "tenancy/tenancy.h"

PG_FUNCTION_INFO_V1(ffs_restore);

/* ---- finding the deleted row ---- */

/* The attribute of <table>_deleted that comes from `source`. */
static AttrNumber
deleted_attribute(const FfsTable *table, AttrNumber source)
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
		form->indkey.values[table->nkeys] == deleted_attribute(table, FFS_FROM_END_TIME);

		for (int i = 0; i < table->nkeys && fits; i++)
			fits = form->indkey.values[i] == deleted_attribute(table, table->key[i]);
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
tenant_sees(const FfsTable *table, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		tenant;

	if (table->tenant == 0)
		return true;
	if (ffs_tenancy_mode() == FFS_TENANT_NONE)
		return ffs_base_bypasses_rls(GetUserId());
	tenant = slot_getattr(slot, deleted_attribute(table, table->tenant), &isnull);
	return !isnull && ffs_tenancy_allows(table->tenant_type, tenant);
}

/*
 * The latest deleted row of this key, locked, so that nobody else restores or
 * purges it meanwhile.  False where there is none.
 */
static bool
lock_deleted_row(const FfsTable *table, Relation deleted, Datum *key, TupleTableSlot *slot)
{
	Relation	index = index_open(deleted_index(table, deleted), AccessShareLock);
	bool		found = false;

	for (;;)
	{
		TM_FailureData failure;
		TM_Result	result;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(GetTransactionSnapshot());
		ExecClearTuple(slot);
		if (!ffs_base_fetch_by_key(deleted, index, table->nkeys, key, GetActiveSnapshot(), true, slot) ||
			!tenant_sees(table, slot))
		{
			PopActiveSnapshot();
			break;
		}
		tid = slot->tts_tid;
		result = table_tuple_lock(deleted, &tid, GetActiveSnapshot(), slot,
								  GetCurrentCommandId(false), LockTupleExclusive, LockWaitBlock,
								  0, &failure);
		PopActiveSnapshot();
		if (result == TM_Ok)
		{
			ExecMaterializeSlot(slot);
			found = true;
			break;
		}
		if (result == TM_SelfModified)
			break;
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
	index_close(index, NoLock);
	return found;
}

/*
 * The version that the restored row takes: the next after the last one that
 * its life has in history.  That is the last one that began before the row was
 * deleted: meanwhile the key may have had another life, which a change of the
 * key ended.  A row of version 1 whose deletion closed no version was seen by
 * nobody else: it begins a life.
 */
static int32
next_version(const FfsTable *table, TupleTableSlot *deleted, Datum *key, TimestampTz deleted_at)
{
	Relation	history;
	Relation	index;
	TupleTableSlot *slot;
	Datum		valid_from;
	bool		isnull;
	int32		version = 1;

	if (table->strategy != FFS_STRATEGY_SCD2)
		return 0;
	history = table_open(table->history, AccessShareLock);
	index = index_open(table->history_pk, AccessShareLock);
	slot = table_slot_create(history, NULL);
	valid_from = slot_getattr(deleted, deleted_attribute(table, table->stamp[FFS_VALID_FROM]), &isnull);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (ffs_base_fetch_last_until(history, index, table->nkeys, key, valid_from, GetActiveSnapshot(), slot))
	{
		TimestampTz valid_to = 0;
		int32		last = 0;
		int32		deleted_version = DatumGetInt32(slot_getattr(deleted,
																 deleted_attribute(table, table->stamp[FFS_VERSION]),
																 &isnull));

		for (int i = 0; i < table->history_desc->natts; i++)
		{
			Datum		value = slot_getattr(slot, i + 1, &isnull);

			if (isnull || TupleDescAttr(table->history_desc, i)->attisdropped)
				continue;
			if (table->history_map[i] == FFS_FROM_END_TIME)
				valid_to = DatumGetTimestampTz(value);
			else if (table->history_map[i] == table->stamp[FFS_VERSION])
				last = DatumGetInt32(value);
		}
		if (valid_to == deleted_at || deleted_version > 1)
			version = last + 1;
	}
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(history, AccessShareLock);
	return version;
}

/* ---- putting it back ---- */

/* An INSERT of what the deleted row holds; the columns' values are in `params`. */
static char *
insert_text(const FfsTable *table, Relation rel, TupleTableSlot *slot,
			Datum *params, char *nulls, Oid *types, int *nparams)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData query;
	StringInfoData list;
	int			n = 0;

	initStringInfo(&query);
	initStringInfo(&list);
	appendStringInfo(&query, "INSERT INTO %s AS ffs_target (", ffs_base_relation_name(table->relid));
	for (int i = 0; i < table->deleted_desc->natts; i++)
	{
		AttrNumber	attno = table->deleted_map[i];
		Form_pg_attribute att;
		Datum		value;
		bool		isnull;

		if (TupleDescAttr(table->deleted_desc, i)->attisdropped || attno <= 0)
			continue;
		att = TupleDescAttr(desc, attno - 1);
		if (att->attgenerated)
			continue;
		value = slot_getattr(slot, i + 1, &isnull);
		/* a column that came after the deletion, and may not be NULL, takes its default */
		if (isnull && att->attnotnull && (att->atthasdef || att->attidentity))
			continue;
		params[n] = value;
		nulls[n] = isnull ? 'n' : ' ';
		types[n] = att->atttypid;
		appendStringInfo(&query, "%s%s", n > 0 ? ", " : "", quote_identifier(NameStr(att->attname)));
		appendStringInfo(&list, "%s$%d", n > 0 ? ", " : "", n + 1);
		n++;
	}
	appendStringInfo(&query, ") OVERRIDING SYSTEM VALUE VALUES (%s) RETURNING ", list.data);
	/* so that the table's policies for reading have their say too */
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&query, "%sffs_target.%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(desc, table->key[i] - 1)->attname)));
	*nparams = n;
	return query.data;
}

/* Say what stands in the way where the key or a unique value is taken by now. */
static void
rethrow_taken(ErrorData *error, const char *key_text, const char *name)
{
	MemoryContext old;

	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	old = MemoryContextSwitchTo(error->assoc_context);
	error->detail = psprintf("%s%s%s", error->message, error->detail ? ": " : "",
							 error->detail ? error->detail : "");
	error->message = psprintf("the row %s of table %s cannot be restored: its key or a unique value is taken",
							  key_text, name);
	error->hint = pstrdup("Delete or change the row that has the value now, then restore.");
	MemoryContextSwitchTo(old);
	ReThrowError(error);
}

static bool
insert_row(const FfsTable *table, Relation rel, TupleTableSlot *slot, Datum *key, TimestampTz deleted_at)
{
	int			natts = table->deleted_desc->natts;
	Datum	   *params = palloc(sizeof(Datum) * natts);
	char	   *nulls = palloc0(natts + 1);
	Oid		   *types = palloc(sizeof(Oid) * natts);
	int			nparams;
	char	   *query = insert_text(table, rel, slot, params, nulls, types, &nparams);
	char	   *key_text = ffs_registry_key_text(table, key);
	char	   *name = ffs_base_relation_name(table->relid);
	MemoryContext context = CurrentMemoryContext;
	bool		kept;
	SPIPlanPtr	plan = ffs_batch_plan(query, nparams, types, &kept);
	volatile uint64 processed = 0;

	ffs_temporal_begin_restore(table->rootid, next_version(table, slot, key, deleted_at), "restore");
	PG_TRY();
	{
		int			result = SPI_execute_plan(plan, params, nulls, false, 0);

		if (result < 0)
			elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(result), query);
		processed = SPI_processed;
		ffs_temporal_end_restore();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		ffs_temporal_end_restore();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		rethrow_taken(error, key_text, name);
	}
	PG_END_TRY();
	if (!kept)
		SPI_freeplan(plan);
	return processed > 0;
}

/* ---- rows that went with it ---- */

static uint64 restore_row(FfsTable *table, KeyArgument *key, FullTransactionId only);

/* Keys of deleted rows of `child` that the transaction deleted and that refer to the restored row. */
static List *
find_children(FfsTable *child, FullTransactionId xid, int nfks, const AttrNumber *conkey,
			  const Oid *operators, const Oid *collations, const Datum *parent)
{
	Relation	deleted = table_open(child->deleted, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(deleted, NULL);
	AttrNumber	xid_attno = deleted_attribute(child, FFS_FROM_XID);
	TableScanDesc scan;
	ScanKeyData key;
	List	   *result = NIL;

	PushActiveSnapshot(GetTransactionSnapshot());
	ScanKeyInit(&key, xid_attno, BTEqualStrategyNumber, F_XID8EQ, FullTransactionIdGetDatum(xid));
	scan = table_beginscan(deleted, GetActiveSnapshot(), 1, &key);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		refers = true;
		KeyArgument *found;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < nfks && refers; i++)
		{
			bool		isnull;
			Datum		value = slot_getattr(slot, deleted_attribute(child, conkey[i]), &isnull);

			refers = !isnull &&
				DatumGetBool(OidFunctionCall2Coll(get_opcode(operators[i]), collations[i], parent[i], value));
		}
		if (!refers)
			continue;
		found = palloc0(sizeof(KeyArgument));
		found->cascade = true;
		for (int i = 0; i < child->nkeys; i++)
		{
			AttrNumber	attno = deleted_attribute(child, child->key[i]);
			Form_pg_attribute att = TupleDescAttr(child->deleted_desc, attno - 1);
			bool		isnull;
			Datum		value = slot_getattr(slot, attno, &isnull);

			if (isnull)
				elog(ERROR, "a deleted row has no key");
			found->values[i] = datumCopy(value, att->attbyval, att->attlen);
		}
		result = lappend(result, found);
	}
	table_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(deleted, AccessShareLock);
	return result;
}

/* Restore the rows of one foreign key that cascades from `table`. */
static uint64
restore_children(FfsTable *table, HeapTuple constraint, TupleTableSlot *slot, FullTransactionId xid)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(constraint);
	FfsTable   *child = ffs_registry_find(form->conrelid);
	int			nfks;
	AttrNumber	conkey[INDEX_MAX_KEYS];
	AttrNumber	confkey[INDEX_MAX_KEYS];
	Oid			operators[INDEX_MAX_KEYS];
	Oid			collations[INDEX_MAX_KEYS];
	Datum		parent[INDEX_MAX_KEYS];
	List	   *keys;
	ListCell   *lc;
	uint64		restored = 0;

	if (child == NULL || !child->soft_delete || !OidIsValid(child->deleted) || child->nkeys == 0)
		return 0;
	if (child->relid != child->rootid)
		return 0;				/* a partition's own: its root's table holds the rows */
	child = ffs_registry_get(form->conrelid, true);

	DeconstructFkConstraintRow(constraint, &nfks, conkey, confkey, operators, NULL, NULL, NULL, NULL);
	for (int i = 0; i < nfks; i++)
	{
		bool		isnull;

		parent[i] = slot_getattr(slot, deleted_attribute(table, confkey[i]), &isnull);
		if (isnull)
			return 0;
		collations[i] = TupleDescAttr(table->deleted_desc,
									  deleted_attribute(table, confkey[i]) - 1)->attcollation;
	}
	keys = find_children(child, xid, nfks, conkey, operators, collations, parent);
	foreach(lc, keys)
		restored += restore_row(child, lfirst(lc), xid);
	return restored;
}

static uint64
restore_cascade(FfsTable *table, TupleTableSlot *slot, FullTransactionId xid)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *found = NIL;
	ListCell   *lc;
	uint64		restored = 0;

	ScanKeyInit(&key, Anum_pg_constraint_confrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table->relid));
	scan = systable_beginscan(constraints, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_FOREIGN && !OidIsValid(form->conparentid) &&
			form->confdeltype == FKCONSTR_ACTION_CASCADE)
			found = lappend(found, heap_copytuple(tuple));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	foreach(lc, found)
		restored += restore_children(table, lfirst(lc), slot, xid);
	return restored;
}

/* ---- one row ---- */

/* Restore the row; if `only` is valid, only what that transaction deleted.  How many rows came back. */
static uint64
restore_row(FfsTable *table, KeyArgument *key, FullTransactionId only)
{
	Relation	rel;
	Relation	deleted;
	TupleTableSlot *slot;
	ItemPointerData tid;
	FullTransactionId xid;
	TimestampTz deleted_at;
	bool		isnull;
	uint64		restored = 0;

	check_stack_depth();
	if (pg_class_aclcheck(table->relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK ||
		pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(table->relid));
	if (table->tenant != 0)
		ffs_tenancy_check_statement(table->relid);

	rel = table_open(table->relid, RowExclusiveLock);
	deleted = table_open(table->deleted, RowExclusiveLock);
	slot = table_slot_create(deleted, NULL);
	if (lock_deleted_row(table, deleted, key->values, slot))
	{
		tid = slot->tts_tid;
		xid = DatumGetFullTransactionId(slot_getattr(slot, deleted_attribute(table, FFS_FROM_XID), &isnull));
		deleted_at = DatumGetTimestampTz(slot_getattr(slot, deleted_attribute(table, FFS_FROM_END_TIME), &isnull));
		if (key->has_version)
		{
			int32		version = DatumGetInt32(slot_getattr(slot, deleted_attribute(table, table->stamp[FFS_VERSION]), &isnull));

			if (version != key->version)
				ffs_batch_version_conflict(table, key->values, key->version, version);
		}
		if ((!FullTransactionIdIsValid(only) || FullTransactionIdEquals(only, xid)) &&
			insert_row(table, rel, slot, key->values, deleted_at))
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			ffs_base_delete_tid(deleted, &tid);
			PopActiveSnapshot();
			CommandCounterIncrement();
			restored = 1;
			if (key->cascade)
				restored += restore_cascade(table, slot, xid);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(deleted, NoLock);
	table_close(rel, NoLock);
	return restored;
}

Datum
ffs_restore(PG_FUNCTION_ARGS)
{
	FfsTable   *table = ffs_batch_table_argument(fcinfo, 0, true);
	KeyArgument key;
	uint64		restored;
	instr_time	start;

	/* what was deleted from a partition is kept beside the root */
	if (table->relid != table->rootid)
		table = ffs_registry_get(table->rootid, true);
	ffs_batch_begin(table->rootid, FFS_OP_RESTORE, &start);
	ffs_batch_key_argument(table, fcinfo, 1, true, &key);
	if (!table->soft_delete || !OidIsValid(table->deleted))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s does not keep deleted rows", ffs_base_relation_name(table->relid)),
				 errdetail("It is managed without soft_delete."),
				 errhint("Call ffs_manage() with soft_delete => true; rows deleted from then on can be restored.")));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	restored = restore_row(table, &key, InvalidFullTransactionId);
	SPI_finish();
	ffs_batch_count(table->rootid, FFS_OP_RESTORE, restored, start);
	PG_RETURN_BOOL(restored > 0);
}
