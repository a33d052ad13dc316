/*-------------------------------------------------------------------------
 *
 * restore_cascade.c
 *		Rows that were deleted together with restored ones come back too.
 *
 * Those are the rows that refer to a restored one by a foreign key that
 * cascades, and that the same transaction deleted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_constraint.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "batch/batch.h"
#include "batch/keyorder.h"
#include "batch/restore.h"

/* A foreign key that cascades. */
typedef struct Reference
{
	FfsTable   *child;
	int			n;
	AttrNumber	conkey[INDEX_MAX_KEYS];
	AttrNumber	confkey[INDEX_MAX_KEYS];
	FmgrInfo	equal[INDEX_MAX_KEYS];	/* (parent, child) */
	Oid			collations[INDEX_MAX_KEYS];
	AttrNumber	attributes[INDEX_MAX_KEYS]; /* conkey in the child's <table>_deleted */
} Reference;

/* False where the referring rows are not kept. */
static bool
read_reference(FfsTable *table, HeapTuple constraint, Reference *reference)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(constraint);
	FfsTable   *child = ffs_registry_find(form->conrelid);
	Oid			operators[INDEX_MAX_KEYS];

	if (child == NULL || !child->soft_delete || !OidIsValid(child->deleted) || child->nkeys == 0)
		return false;
	if (child->relid != child->rootid)
		return false;			/* a partition's own: its root's table holds the rows */
	reference->child = ffs_registry_get(form->conrelid, true);
	DeconstructFkConstraintRow(constraint, &reference->n, reference->conkey, reference->confkey,
							   operators, NULL, NULL, NULL, NULL);
	for (int i = 0; i < reference->n; i++)
	{
		AttrNumber	attno = ffs_batch_deleted_attribute(table, reference->confkey[i]);

		fmgr_info(get_opcode(operators[i]), &reference->equal[i]);
		reference->collations[i] = TupleDescAttr(table->deleted_desc, attno - 1)->attcollation;
		reference->attributes[i] = ffs_batch_deleted_attribute(reference->child, reference->conkey[i]);
	}
	return true;
}

/* Does the deleted row in `slot` refer to the restored one, and was deleted with it? */
static bool
refers(const Reference *reference, TupleTableSlot *slot, FullTransactionId xid, const RestoreRow *parent)
{
	if (!FullTransactionIdEquals(xid, parent->xid))
		return false;
	for (int i = 0; i < reference->n; i++)
	{
		AttrNumber	attno = reference->confkey[i];
		bool		isnull;
		Datum		value = slot_getattr(slot, reference->attributes[i], &isnull);

		if (isnull || parent->feed.nulls[attno - 1] ||
			!DatumGetBool(FunctionCall2Coll(unconstify(FmgrInfo *, &reference->equal[i]),
											reference->collations[i],
											parent->feed.values[attno - 1], value)))
			return false;
	}
	return true;
}

static RestoreRow *
make_child(FfsTable *child, TupleTableSlot *slot, FullTransactionId xid)
{
	RestoreRow *row = palloc0(sizeof(RestoreRow));

	row->key.cascade = true;
	row->only = xid;
	for (int i = 0; i < child->nkeys; i++)
	{
		AttrNumber	attno = ffs_batch_deleted_attribute(child, child->key[i]);
		Form_pg_attribute att = TupleDescAttr(child->deleted_desc, attno - 1);
		bool		isnull;
		Datum		value = slot_getattr(slot, attno, &isnull);

		if (isnull)
			elog(ERROR, "a deleted row has no key");
		row->key.values[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	return row;
}

/* The children, in one look through what is deleted of their table. */
static List *
find_children(const Reference *reference, RestoreRow **parents, int nparents)
{
	FfsTable   *child = reference->child;
	Relation	deleted = table_open(child->deleted, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(deleted, NULL);
	AttrNumber	xid_attno = ffs_batch_deleted_attribute(child, FFS_FROM_XID);
	TableScanDesc scan;
	List	   *result = NIL;

	PushActiveSnapshot(GetTransactionSnapshot());
	scan = table_beginscan(deleted, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		FullTransactionId xid = DatumGetFullTransactionId(slot_getattr(slot, xid_attno, &isnull));

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < nparents; i++)
			if (refers(reference, slot, xid, parents[i]))
			{
				result = lappend(result, make_child(child, slot, xid));
				break;
			}
	}
	table_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(deleted, AccessShareLock);
	return result;
}

/*
 * In the order of their keys, as all calls lock rows; what a transaction
 * deleted twice under one key is there once.  The new number of rows.
 */
static int
sort_children(Restore *restore, RestoreRow **rows, int nrows)
{
	RowReader  *reader = restore->reader;
	KeyOrder   *order = ffs_batch_open_order(restore->table->pk_index);
	int			n = 0;

	for (int i = 0; i < nrows; i++)
	{
		FeedRow    *row = &rows[i]->feed;

		row->number = i;
		row->values = palloc0(sizeof(Datum) * reader->natts);
		row->nulls = palloc0(sizeof(bool) * reader->natts);
		row->given = palloc0(sizeof(uint64) * reader->nwords);
		ffs_batch_key_to_row(row, restore->table, &rows[i]->key);
	}
	ffs_batch_sort_rows(order, (FeedRow **) rows, nrows);
	for (int i = 0; i < nrows; i++)
		if (i == 0 || !ffs_batch_same_key(order, &rows[n - 1]->feed, &rows[i]->feed))
			rows[n++] = rows[i];
	return n;
}

/* Restore the rows of one foreign key that cascades from `table`. */
static uint64
restore_children(FfsTable *table, HeapTuple constraint, RestoreRow **parents, int nparents)
{
	Reference	reference;
	List	   *children;
	ListCell   *lc;
	RestoreRow **rows;
	Restore    *restore;
	int			n = 0;
	uint64		restored;

	if (!read_reference(table, constraint, &reference))
		return 0;
	children = find_children(&reference, parents, nparents);
	if (children == NIL)
		return 0;
	rows = palloc_extended(sizeof(RestoreRow *) * list_length(children), MCXT_ALLOC_HUGE);
	foreach(lc, children)
		rows[n++] = lfirst(lc);
	restore = ffs_batch_open_restore(reference.child);
	n = sort_children(restore, rows, n);
	restored = ffs_batch_restore_rows(restore, rows, n);
	ffs_batch_close_restore(restore);
	return restored;
}

uint64
ffs_batch_restore_cascade(FfsTable *table, RestoreRow **rows, int nrows)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *found = NIL;
	ListCell   *lc;
	RestoreRow **parents = palloc_extended(sizeof(RestoreRow *) * nrows, MCXT_ALLOC_HUGE);
	int			nparents = 0;
	uint64		restored = 0;

	for (int i = 0; i < nrows; i++)
		if (rows[i]->key.cascade && rows[i]->feed.outcome == FEED_INSERTED)
			parents[nparents++] = rows[i];
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
		restored += restore_children(table, lfirst(lc), parents, nparents);
	return restored;
}
