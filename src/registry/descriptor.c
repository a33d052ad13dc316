/*-------------------------------------------------------------------------
 *
 * descriptor.c
 *		What each backend knows of each managed relation.
 *
 * Descriptors are built from ffstorage.managed and the relation caches when
 * first needed, and thrown away by relation cache invalidations: of the
 * relation itself, of the managed root, and of what stands beside it.
 * ffs_registry_invalidate() sends such messages when ffstorage.managed
 * changes.  A descriptor that is thrown away is freed at the end of the
 * transaction only, since a trigger further up the stack may hold it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "registry/internal.h"
#include "registry/registry.h"

const char *const ffs_registry_stamp_names[FFS_NSTAMPS] = {
	"created_at", "created_by", "updated_at", "updated_by",
	"version", "valid_from", "transaction_id"
};

typedef struct DescriptorEntry
{
	Oid			relid;			/* hash key */
	bool		valid;
	FfsTable   *table;
} DescriptorEntry;

static HTAB *descriptors = NULL;
static List *retired = NIL;		/* contexts to delete at transaction end */

/* ---- throwing away ---- */

static void
relcache_callback(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS seq;
	DescriptorEntry *entry;

	if (descriptors == NULL)
		return;
	hash_seq_init(&seq, descriptors);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		FfsTable   *table = entry->table;

		if (!entry->valid)
			continue;
		if (relid == InvalidOid || relid == entry->relid ||
			(table->managed &&
			 (relid == table->rootid || relid == table->history ||
			  relid == table->audit || relid == table->deleted)))
			entry->valid = false;
	}
}

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	while (retired != NIL)
	{
		MemoryContext context = linitial(retired);

		retired = list_delete_first(retired);
		MemoryContextDelete(context);
	}
}

void
ffs_registry_descriptor_init(void)
{
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	RegisterXactCallback(xact_callback, NULL);
}

void
ffs_registry_invalidate(Oid rootid)
{
	List	   *relids = find_all_inheritors(rootid, NoLock, NULL);
	ListCell   *lc;

	foreach(lc, relids)
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
		relcache_callback((Datum) 0, lfirst_oid(lc));
	}
}

/* ---- building ---- */

/* The row of ffstorage.managed for a relation, copied; NULL where there is none. */
static HeapTuple
fetch_catalog_row(Oid relid, TupleDesc *desc)
{
	Oid			schema = get_namespace_oid(FFS_SCHEMA, true);
	Oid			catalog;
	Oid			index;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (!OidIsValid(schema) ||
		!OidIsValid(catalog = get_relname_relid("managed", schema)) ||
		!OidIsValid(index = get_relname_relid("managed_pkey", schema)))
		return NULL;

	rel = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		*desc = CreateTupleDescCopy(RelationGetDescr(rel));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

static Datum
catalog_value(HeapTuple row, TupleDesc desc, const char *column, bool *isnull)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), column) == 0)
			return heap_getattr(row, i + 1, desc, isnull);
	}
	elog(ERROR, "ffstorage.managed has no column \"%s\"", column);
}

static Oid
catalog_relation(HeapTuple row, TupleDesc desc, const char *column)
{
	bool		isnull;
	Datum		value = catalog_value(row, desc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* The name that a column of ours has in this table. */
static char *
mapped_name(Jsonb *columns, const char *ours)
{
	JsonbValue	key;
	JsonbValue *found;

	key.type = jbvString;
	key.val.string.val = (char *) ours;
	key.val.string.len = strlen(ours);
	found = findJsonbValueFromContainer(&columns->root, JB_FOBJECT, &key);
	if (found == NULL || found->type != jbvString)
		return pstrdup(ours);
	return pnstrdup(found->val.string.val, found->val.string.len);
}

static AttrNumber
attribute_named(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return 0;
}

static void
mark_out_of_step(FfsTable *table, char *why)
{
	if (table->out_of_step == NULL)
		table->out_of_step = why;
}

typedef struct SpecialColumn
{
	const char *name;
	AttrNumber	source;
} SpecialColumn;

static const SpecialColumn history_columns[] = {
	{"valid_to", FFS_FROM_END_TIME},
	{"end_operation", FFS_FROM_OPERATION},
	{"ended_by", FFS_FROM_ACTOR},
	{"end_transaction_id", FFS_FROM_XID},
	{NULL, 0}
};

static const SpecialColumn deleted_columns[] = {
	{"deleted_at", FFS_FROM_END_TIME},
	{"deleted_by", FFS_FROM_ACTOR},
	{"delete_transaction_id", FFS_FROM_XID},
	{NULL, 0}
};

static const SpecialColumn audit_columns[] = {
	{"entry_id", FFS_FROM_ENTRY_ID},
	{"operation", FFS_FROM_OPERATION},
	{"field_name", FFS_FROM_FIELD},
	{"old_value", FFS_FROM_OLD_VALUE},
	{"new_value", FFS_FROM_NEW_VALUE},
	{"changed_at", FFS_FROM_END_TIME},
	{"changed_by", FFS_FROM_ACTOR},
	{"transaction_id", FFS_FROM_XID},
	{NULL, 0}
};

/*
 * Say where each column of a side table comes from.  `whole`: every column of
 * the table must have its counterpart, of the same type; else only the side
 * table's own columns are looked for.
 */
static void
map_side_table(FfsTable *table, Relation rel, Oid side, bool whole,
			   const SpecialColumn *special, TupleDesc *desc_out, AttrNumber **map_out)
{
	TupleDesc	mine = RelationGetDescr(rel);
	Relation	side_rel = try_relation_open(side, AccessShareLock);
	TupleDesc	desc;
	AttrNumber *map;
	MemoryContext old;

	if (side_rel == NULL)
	{
		mark_out_of_step(table, psprintf("The table that stood beside it (OID %u) is gone.", side));
		return;
	}

	old = MemoryContextSwitchTo(table->context);
	desc = CreateTupleDescCopy(RelationGetDescr(side_rel));
	map = palloc0(sizeof(AttrNumber) * Max(desc->natts, 1));
	MemoryContextSwitchTo(old);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);
		AttrNumber	source = 0;

		if (att->attisdropped)
			continue;
		for (const SpecialColumn *s = special; s->name; s++)
		{
			if (strcmp(s->name, name) == 0)
				source = s->source;
		}
		if (source == 0)
			source = attribute_named(mine, name);
		if (source > 0 && TupleDescAttr(mine, source - 1)->atttypid != att->atttypid)
			mark_out_of_step(table,
							 psprintf("Column \"%s\" has type %s in the table and %s in \"%s\".",
									  name,
									  format_type_be(TupleDescAttr(mine, source - 1)->atttypid),
									  format_type_be(att->atttypid),
									  RelationGetRelationName(side_rel)));
		map[i] = source;
	}

	for (const SpecialColumn *s = special; s->name; s++)
	{
		if (attribute_named(desc, s->name) == 0)
			mark_out_of_step(table, psprintf("\"%s\" has no column \"%s\".",
											 RelationGetRelationName(side_rel), s->name));
	}
	if (whole)
	{
		for (int i = 0; i < mine->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(mine, i);

			if (!att->attisdropped && attribute_named(desc, NameStr(att->attname)) == 0)
				mark_out_of_step(table, psprintf("Column \"%s\" of the table has no counterpart in \"%s\".",
												 NameStr(att->attname), RelationGetRelationName(side_rel)));
		}
	}
	relation_close(side_rel, AccessShareLock);
	*desc_out = desc;
	*map_out = map;
}

/* The indexes of the history or audit table that the write path looks into. */
static void
find_past_indexes(FfsTable *table, Oid relid, const AttrNumber *map, Oid *pk, Oid *ended)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	List	   *indexes;
	ListCell   *lc;

	if (rel == NULL)
		return;					/* said by map_side_table */
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisvalid && index->indisprimary)
			*pk = index->indexrelid;
		else if (index->indisvalid && index->indnkeyatts == 2 &&
				 !heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
				 index->indkey.values[0] > 0 && index->indkey.values[1] > 0 && map != NULL &&
				 map[index->indkey.values[0] - 1] == FFS_FROM_END_TIME &&
				 map[index->indkey.values[1] - 1] == FFS_FROM_XID)
			*ended = index->indexrelid;
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	if (!OidIsValid(*pk) || !OidIsValid(*ended))
		mark_out_of_step(table, psprintf("\"%s\" lacks its primary key or its index on ended lives.",
										 RelationGetRelationName(rel)));
	relation_close(rel, AccessShareLock);
}

/* Our row trigger must see what will be stored: nothing may fire after it. */
static void
check_row_trigger_last(FfsTable *table, Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			ours = InvalidOid;
	const char *our_name = NULL;

	if (triggers == NULL)
		return;
	ours = LookupFuncName(list_make2(makeString(FFS_SCHEMA), makeString("row_change")), 0, NULL, true);
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid == ours)
			our_name = trigger->tgname;
	}
	if (our_name == NULL)
		return;					/* health says so; nothing is written then */
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_BEFORE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype) &&
			trigger->tgfoid != ours && trigger->tgenabled != TRIGGER_DISABLED &&
			strcmp(trigger->tgname, our_name) > 0)
			mark_out_of_step(table, psprintf("Trigger \"%s\" fires after ffstorage's own trigger \"%s\".",
											 trigger->tgname, our_name));
	}
}

static void
find_primary_key(FfsTable *table, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
		{
			table->pk_index = index->indexrelid;
			table->nkeys = index->indnkeyatts;
			table->key = palloc(sizeof(AttrNumber) * table->nkeys);
			for (int i = 0; i < table->nkeys; i++)
				table->key[i] = index->indkey.values[i];
		}
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

static FfsTable *
build_descriptor(Oid relid)
{
	static uint64 last_serial = 0;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "ffstorage descriptor",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FfsTable   *table = palloc0(sizeof(FfsTable));
	HeapTuple	row;
	TupleDesc	row_desc = NULL;
	Relation	rel;
	TupleDesc	desc;
	Jsonb	   *columns;
	char	   *strategy;
	bool		isnull;
	Datum		value;
	Datum	   *excluded;
	int			nexcluded;

	/*
	 * An error below leaves the context without an owner: it hangs under the
	 * current one until it is known to be whole.
	 */
	MemoryContextSetParent(context, old);
	table->relid = relid;
	table->serial = ++last_serial;
	table->context = context;

	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		goto done;

	table->rootid = relid;
	row = fetch_catalog_row(relid, &row_desc);
	if (row == NULL && rel->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(relid);
		ListCell   *lc;

		foreach(lc, ancestors)
		{
			table->rootid = lfirst_oid(lc);
			row = fetch_catalog_row(table->rootid, &row_desc);
			if (row != NULL)
				break;
		}
	}
	if (row == NULL)
	{
		relation_close(rel, AccessShareLock);
		goto done;
	}

	table->managed = true;
	desc = RelationGetDescr(rel);
	strategy = TextDatumGetCString(catalog_value(row, row_desc, "strategy", &isnull));
	table->strategy = strcmp(strategy, "scd2") == 0 ? FFS_STRATEGY_SCD2 :
		strcmp(strategy, "copy_on_change") == 0 ? FFS_STRATEGY_COPY_ON_CHANGE : FFS_STRATEGY_NONE;
	table->soft_delete = DatumGetBool(catalog_value(row, row_desc, "soft_delete", &isnull));
	table->has_stamps = DatumGetBool(catalog_value(row, row_desc, "stamps", &isnull));
	columns = DatumGetJsonbP(catalog_value(row, row_desc, "columns", &isnull));
	table->history = catalog_relation(row, row_desc, "history");
	table->audit = catalog_relation(row, row_desc, "audit");
	table->deleted = catalog_relation(row, row_desc, "deleted");

	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		char	   *name;

		if (i < FFS_VERSION ? !table->has_stamps : table->strategy != FFS_STRATEGY_SCD2)
			continue;
		name = mapped_name(columns, ffs_registry_stamp_names[i]);
		table->stamp[i] = attribute_named(desc, name);
		if (table->stamp[i] == 0)
			mark_out_of_step(table, psprintf("The table has no column \"%s\".", name));
		else
			table->stamp_set = bms_add_member(table->stamp_set, table->stamp[i]);
	}

	value = catalog_value(row, row_desc, "tenant_column", &isnull);
	if (!isnull)
	{
		table->tenant = attribute_named(desc, NameStr(*DatumGetName(value)));
		if (table->tenant == 0)
			mark_out_of_step(table, psprintf("The table has no column \"%s\", its tenant column.",
											 NameStr(*DatumGetName(value))));
		else
			table->tenant_type = TupleDescAttr(desc, table->tenant - 1)->atttypid;
	}

	find_primary_key(table, rel);
	if (table->nkeys == 0 && table->strategy != FFS_STRATEGY_NONE)
		mark_out_of_step(table, pstrdup("The table has no primary key any more."));

	deconstruct_array(DatumGetArrayTypeP(catalog_value(row, row_desc, "exclude", &isnull)),
					  NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &excluded, NULL, &nexcluded);
	for (int i = 0; i < nexcluded; i++)
	{
		AttrNumber	attno = attribute_named(desc, NameStr(*DatumGetName(excluded[i])));

		if (attno > 0)
			table->excluded = bms_add_member(table->excluded, attno);
	}

	table->compared = palloc(sizeof(AttrNumber) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || bms_is_member(att->attnum, table->stamp_set))
			continue;
		if (att->attgenerated)
			table->generated = bms_add_member(table->generated, att->attnum);
		else if (!bms_is_member(att->attnum, table->excluded))
			table->compared[table->ncompared++] = att->attnum;
	}

	if (OidIsValid(table->history))
	{
		map_side_table(table, rel, table->history, true, history_columns,
					   &table->history_desc, &table->history_map);
		find_past_indexes(table, table->history, table->history_map, &table->history_pk, &table->history_ended);
	}
	if (OidIsValid(table->deleted))
		map_side_table(table, rel, table->deleted, true, deleted_columns,
					   &table->deleted_desc, &table->deleted_map);
	if (OidIsValid(table->audit))
	{
		List	   *sequences;

		map_side_table(table, rel, table->audit, false, audit_columns,
					   &table->audit_desc, &table->audit_map);
		find_past_indexes(table, table->audit, table->audit_map, &table->audit_pk, &table->audit_ended);
		sequences = getOwnedSequences(table->audit);
		if (list_length(sequences) == 1)
			table->audit_sequence = linitial_oid(sequences);
		else
			mark_out_of_step(table, pstrdup("The audit table does not own exactly one sequence."));
	}
	if ((table->strategy == FFS_STRATEGY_SCD2 && !OidIsValid(table->history)) ||
		(table->strategy == FFS_STRATEGY_COPY_ON_CHANGE && !OidIsValid(table->audit)) ||
		(table->soft_delete && !OidIsValid(table->deleted)))
		mark_out_of_step(table, pstrdup("What stood beside the table is gone."));
	check_row_trigger_last(table, rel);
	relation_close(rel, AccessShareLock);

done:
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	return table;
}

/* ---- finding ---- */

FfsTable *
ffs_registry_find(Oid relid)
{
	DescriptorEntry *entry;
	static DescriptorEntry *last_found = NULL;
	FfsTable   *table;
	bool		found;

	if (descriptors == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(DescriptorEntry)};

		descriptors = hash_create("ffstorage descriptors", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}

	/* entries stay where they are */
	entry = last_found;
	if (entry == NULL || entry->relid != relid)
		entry = hash_search(descriptors, &relid, HASH_FIND, NULL);
	last_found = entry;
	if (entry != NULL && entry->valid)
		return entry->table->managed ? entry->table : NULL;

	/*
	 * Built before the entry is touched: building may fail, and may accept
	 * invalidations.  One that arrives for what was just read is lost to an
	 * entry that does not exist yet, so pending ones are taken first, and the
	 * locks that the caller holds on the relation keep later ones away.
	 */
	AcceptInvalidationMessages();
	table = build_descriptor(relid);

	entry = hash_search(descriptors, &relid, HASH_ENTER, &found);
	if (found && entry->table != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		retired = lappend(retired, entry->table->context);
		MemoryContextSwitchTo(old);
	}
	entry->table = table;
	entry->valid = true;
	return table->managed ? table : NULL;
}

FfsTable *
ffs_registry_get(Oid relid, bool for_write)
{
	FfsTable   *table = ffs_registry_find(relid);

	if (table == NULL)
	{
		char	   *name = get_rel_name(relid);

		ereport(ERROR,
				(errcode(FFS_ERRCODE_NOT_MANAGED),
				 errmsg("table \"%s\" is not managed by ffstorage", name ? name : "(dropped)"),
				 errdetail("It has no row in ffs_tables."),
				 errhint("Call ffs_manage() for the table first.")));
	}
	if (for_write && table->out_of_step != NULL)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_HISTORY_OUT_OF_STEP),
				 errmsg("table \"%s\" and what stands beside it are out of step", get_rel_name(table->rootid)),
				 errdetail("%s", table->out_of_step),
				 errhint("Call ffs_manage() again with the table's strategy, as its owner.")));
	return table;
}
