/*-------------------------------------------------------------------------
 *
 * precheck.c
 *		What a new row would fail for, found without writing it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "batch/engine.h"
#include "batch/precheck.h"
#include "tenancy/tenancy.h"

/* A foreign key, as a look into the index that it refers to. */
typedef struct Reference
{
	Relation	parent;
	Relation	index;
	TupleTableSlot *found;
	int			nkeys;
	AttrNumber	columns[INDEX_MAX_KEYS];	/* in the index's order */
	ScanKeyData keys[INDEX_MAX_KEYS];
} Reference;

struct Precheck
{
	RowReader  *reader;
	EState	   *estate;
	ResultRelInfo *rri;
	TupleTableSlot *slot;
	List	   *arbiter;		/* a row that meets one there is none of the others' business */
	List	   *unique;			/* indexes in which nothing may stand already */
	List	   *lasting;		/* of them those that the server will name then: no row of the call takes an entry away, nor makes one before */
	List	   *references;
	Datum	   *values;			/* of columns that no row gives: stamps */
	bool	   *nulls;
};

/*
 * Has the table a trigger other than ours for such events (TRIGGER_TYPE_)?
 * Where `before`, only those count that see a row before it is stored.
 */
static bool
has_others(Relation rel, int events, bool before)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			schema = get_namespace_oid(FFS_SCHEMA, false);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		int			on = trigger->tgtype & events;

		if (before && !(TRIGGER_FOR_BEFORE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype)))
			continue;
		/* these look, and write nothing; what a foreign key does on UPDATE may come back to the table */
		if (trigger->tgfoid == F_UNIQUE_KEY_RECHECK || trigger->tgfoid == F_RI_FKEY_CHECK_INS)
			continue;
		if (on != 0 && get_func_namespace(trigger->tgfoid) != schema)
			return true;
	}
	return false;
}

/* A function that may look at tables, and so at what rows before have written. */
static bool
may_look_around(Oid function, void *context pg_attribute_unused())
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return true;
	result = ((Form_pg_proc) GETSTRUCT(tuple))->provolatile != PROVOLATILE_IMMUTABLE &&
		((Form_pg_proc) GETSTRUCT(tuple))->prolang != INTERNALlanguageId &&
		((Form_pg_proc) GETSTRUCT(tuple))->prolang != ClanguageId;
	ReleaseSysCache(tuple);
	return result;
}

static bool
looks_around_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, may_look_around, context) ||
		expression_tree_walker(node, looks_around_walker, context);
}

/* Does a CHECK or a default of the table depend on what is in tables? */
static bool
looks_around(Relation rel)
{
	TupleConstr *constr = rel->rd_att->constr;

	if (constr == NULL)
		return false;
	for (int i = 0; i < constr->num_check; i++)
		if (looks_around_walker(stringToNode(constr->check[i].ccbin), NULL))
			return true;
	for (int i = 0; i < constr->num_defval; i++)
		if (looks_around_walker(stringToNode(constr->defval[i].adbin), NULL))
			return true;
	return false;
}

/* May the table's rows be judged before they are written? */
static bool
is_predictable(Relation rel)
{
	return rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE &&
		!has_others(rel, TRIGGER_TYPE_INSERT, true) && !looks_around(rel);
}

/* The same of all partitions. */
static bool
are_predictable(Relation root)
{
	List	   *relids = find_all_inheritors(RelationGetRelid(root), AccessShareLock, NULL);
	ListCell   *lc;

	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		bool		predictable = is_predictable(rel);

		table_close(rel, NoLock);
		if (!predictable)
			return false;
	}
	return true;
}

/* Has it others' triggers, on any level? */
bool
ffs_batch_has_others(Relation root, int events)
{
	List	   *relids;
	ListCell   *lc;

	if (root->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return has_others(root, events, false);
	relids = find_all_inheritors(RelationGetRelid(root), AccessShareLock, NULL);
	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		bool		found = has_others(rel, events, false);

		table_close(rel, NoLock);
		if (found)
			return true;
	}
	return false;
}

/* The foreign key as a look into an index, or NULL where that is not all there is to it. */
static Reference *
open_reference(Relation rel, const ForeignKeyCacheInfo *key)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
	Reference  *reference;
	Relation	index;
	Oid			index_oid;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	index_oid = ((Form_pg_constraint) GETSTRUCT(tuple))->conindid;
	ReleaseSysCache(tuple);
	if (get_rel_relkind(key->confrelid) != RELKIND_RELATION || !OidIsValid(index_oid))
		return NULL;

	reference = palloc0(sizeof(Reference));
	index = index_open(index_oid, AccessShareLock);
	reference->nkeys = IndexRelationGetNumberOfKeyAttributes(index) == key->nkeys ? key->nkeys : 0;
	for (int i = 0; i < reference->nkeys; i++)
	{
		int			at = 0;
		Oid			left;
		Oid			right;

		while (at < key->nkeys && key->confkey[at] != index->rd_index->indkey.values[i])
			at++;
		if (at >= key->nkeys)
		{
			reference->nkeys = 0;
			break;
		}
		reference->columns[i] = key->conkey[at];
		op_input_types(key->conpfeqop[at], &left, &right);
		if (!IsBinaryCoercible(TupleDescAttr(RelationGetDescr(rel), key->conkey[at] - 1)->atttypid, right) ||
			get_op_opfamily_strategy(key->conpfeqop[at], index->rd_opfamily[i]) != BTEqualStrategyNumber)
		{
			reference->nkeys = 0;
			break;
		}
		ScanKeyEntryInitialize(&reference->keys[i], 0, i + 1, BTEqualStrategyNumber, right,
							   index->rd_indcollation[i], get_opcode(key->conpfeqop[at]), (Datum) 0);
	}
	if (reference->nkeys == 0)
	{
		index_close(index, AccessShareLock);
		return NULL;
	}
	reference->index = index;
	reference->parent = table_open(key->confrelid, AccessShareLock);
	reference->found = table_slot_create(reference->parent, NULL);
	return reference;
}

bool
ffs_batch_can_precheck(Relation rel, const FfsTable *table)
{
	int			attno = -1;

	if (rel->rd_rel->relispartition || !is_predictable(rel) ||
		(rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !are_predictable(rel)))
		return false;
	/* stamps are what the column's default says, unless somebody took that away */
	while ((attno = bms_next_member(table->stamp_set, attno)) >= 0)
		if (!TupleDescAttr(RelationGetDescr(rel), attno - 1)->atthasdef)
			return false;
	return true;
}

/* May changes of these columns (NULL: none) change what is in the index? */
static bool
is_changed(const IndexInfo *info, const uint64 *changing)
{
	if (changing == NULL)
		return false;
	if (info->ii_Expressions != NIL || info->ii_Predicate != NIL)
		return true;
	for (int i = 0; i < info->ii_NumIndexKeyAttrs; i++)
		if (ffs_batch_is_given(changing, info->ii_IndexAttrNumbers[i]))
			return true;
	return false;
}

Precheck *
ffs_batch_open_precheck(RowReader *reader, Oid arbiter, const uint64 *changing, bool swayed)
{
	Relation	rel = reader->rel;
	Precheck   *check;
	MemoryContext old;
	ListCell   *lc;
	bool		nothing_before = true;

	old = MemoryContextSwitchTo(reader->context);
	check = palloc0(sizeof(Precheck));
	check->reader = reader;
	check->estate = CreateExecutorState();
	check->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(check->rri, rel, 0, NULL, 0);
	/* of a partitioned table, the partitions' indexes are looked into when a row is written */
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		ExecOpenIndices(check->rri, true);
	for (int i = 0; i < check->rri->ri_NumIndices; i++)
	{
		Form_pg_index form = check->rri->ri_IndexRelationDescs[i]->rd_index;
		IndexInfo  *info = check->rri->ri_IndexRelationInfo[i];

		if (!(form->indisunique || form->indisexclusion) || !form->indimmediate || form->indexrelid == arbiter)
			continue;
		check->unique = lappend_oid(check->unique, form->indexrelid);
		/* rows of one call share no primary key; on another index a row may meet one that is not there yet, first */
		if (!form->indisexclusion && !swayed && !is_changed(info, changing) && nothing_before)
			check->lasting = lappend_oid(check->lasting, form->indexrelid);
		nothing_before &= form->indisprimary;
	}
	if (OidIsValid(arbiter))
		check->arbiter = list_make1_oid(arbiter);
	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);
		Reference  *reference = key->confrelid == RelationGetRelid(rel) ? NULL : open_reference(rel, key);

		if (reference != NULL)
			check->references = lappend(check->references, reference);
	}
	check->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)), &TTSOpsVirtual);
	check->slot->tts_tableOid = RelationGetRelid(rel);
	check->values = palloc0(sizeof(Datum) * reader->natts);
	check->nulls = palloc0(sizeof(bool) * reader->natts);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		const RowColumn *column = &reader->columns[attno - 1];

		check->nulls[attno - 1] = true;
		if (column->stamp || column->identity_always)
			ffs_batch_default(reader, attno, &check->values[attno - 1], &check->nulls[attno - 1]);
	}
	MemoryContextSwitchTo(old);
	return check;
}

static bool
is_there(const Reference *reference, const TupleTableSlot *slot)
{
	ScanKeyData keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	bool		result;

	for (int i = 0; i < reference->nkeys; i++)
	{
		AttrNumber	attno = reference->columns[i];

		if (slot->tts_isnull[attno - 1])
			return true;
		keys[i] = reference->keys[i];
		keys[i].sk_argument = slot->tts_values[attno - 1];
	}
	/* what we wrote ourselves counts, and what is committed by now */
	scan = ffs_compat_index_beginscan(reference->parent, reference->index, SnapshotSelf, reference->nkeys);
	index_rescan(scan, keys, reference->nkeys, NULL, 0);
	result = index_getnext_slot(scan, ForwardScanDirection, reference->found);
	ExecClearTuple(reference->found);
	index_endscan(scan);
	return result;
}

/*
 * Is the row's place free in the unique indexes?  Where it is not, and will
 * not be when the row's turn comes, that is an error as the server has it;
 * otherwise, and for exclusion constraints, false.
 */
static bool
is_free(Precheck *check, TupleTableSlot *slot)
{
	ResultRelInfo *rri = check->rri;
	ItemPointerData conflict;

	if (check->arbiter != NIL &&
		!ffs_compat_check_unique(rri, slot, check->estate, &conflict, check->arbiter))
		return true;
	if (ffs_compat_check_unique(rri, slot, check->estate, &conflict, check->unique))
		return true;
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation	index = rri->ri_IndexRelationDescs[i];
		List	   *one = list_make1_oid(RelationGetRelid(index));
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];
		char	   *key;

		if (!list_member_oid(check->unique, RelationGetRelid(index)) ||
			ffs_compat_check_unique(rri, slot, check->estate, &conflict, one))
			continue;
		/* the first that is not free is what the server will name */
		if (!list_member_oid(check->lasting, RelationGetRelid(index)))
			return false;
		FormIndexDatum(rri->ri_IndexRelationInfo[i], slot, check->estate, values, nulls);
		key = BuildIndexValueDescription(index, values, nulls);
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("duplicate key value violates unique constraint \"%s\"", RelationGetRelationName(index)),
				 key ? errdetail("Key %s already exists.", key) : 0,
				 errtableconstraint(check->reader->rel, RelationGetRelationName(index))));
	}
	return false;
}

bool
ffs_batch_precheck(Precheck *check, int what, Feed *feed, FeedRow *row)
{
	RowReader  *reader = check->reader;
	const FfsTable *table = reader->table;
	TupleTableSlot *slot = check->slot;
	Relation	rel = reader->rel;
	ListCell   *lc;

	ResetPerTupleExprContext(check->estate);
	ffs_batch_feed_fill(feed, row);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, sizeof(Datum) * reader->natts);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * reader->natts);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
		if (!ffs_batch_is_given(row->given, attno) && !ffs_batch_is_given(row->filled, attno))
		{
			slot->tts_values[attno - 1] = check->values[attno - 1];
			slot->tts_isnull[attno - 1] = check->nulls[attno - 1];
		}
	ExecStoreVirtualTuple(slot);

	if (table->tenant != 0)
	{
		Datum		tenant = slot->tts_values[table->tenant - 1];

		/* the row trigger fills in what is NULL */
		if (slot->tts_isnull[table->tenant - 1] && ffs_tenancy_default(table->tenant_type, &tenant))
		{
			slot->tts_values[table->tenant - 1] = tenant;
			slot->tts_isnull[table->tenant - 1] = false;
		}
		ffs_tenancy_check_row(table->rootid, table->tenant_type, tenant, slot->tts_isnull[table->tenant - 1]);
	}
	if (rel->rd_att->constr != NULL)
	{
		if (rel->rd_att->constr->has_generated_stored)
			ExecComputeStoredGenerated(check->rri, check->estate, slot, CMD_INSERT);
		ExecConstraints(check->rri, slot, check->estate);
	}
	if ((what & FFS_CHECK_UNIQUE) && check->unique != NIL && !is_free(check, slot))
		return true;
	if (what & FFS_CHECK_REFERENCES)
		foreach(lc, check->references)
			if (!is_there(lfirst(lc), slot))
				return true;
	return false;
}

void
ffs_batch_close_precheck(Precheck *check)
{
	ListCell   *lc;

	foreach(lc, check->references)
	{
		Reference  *reference = lfirst(lc);

		ExecDropSingleTupleTableSlot(reference->found);
		index_close(reference->index, AccessShareLock);
		table_close(reference->parent, AccessShareLock);
	}
	if (check->rri->ri_NumIndices > 0)
		ExecCloseIndices(check->rri);
	ExecDropSingleTupleTableSlot(check->slot);
	FreeExecutorState(check->estate);
}
