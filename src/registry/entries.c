/*-------------------------------------------------------------------------
 *
 * entries.c
 *		Audit entries that follow the table's shape: a column has another
 *		name, a column is new, or the table has a tenant column now.
 *
 * They belong to the table's owner and are append only even for it.  So they
 * are written by heap calls: no statement, with the triggers and rules that
 * users may have put on the table, runs with more rights than theirs, and
 * none runs while the way is open.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/errors.h"
#include "registry/internal.h"
#include "registry/key.h"

/* The change of one entry: new values for columns of the tuple; false: it stays as it is. */
typedef bool (*EntryChange) (HeapTuple entry, TupleDesc desc, int *ncols, int *cols,
							 Datum *values, bool *nulls, void *arg);

#define MAX_CHANGED	3

/* Show every entry to `change`, and write back what it makes of it. */
static void
change_entries(Relation audit, EntryChange change, void *arg)
{
	TupleDesc	desc = RelationGetDescr(audit);
	TupleTableSlot *slot = table_slot_create(audit, NULL);
	TupleTableSlot *changed = table_slot_create(audit, NULL);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage entries",
													  ALLOCSET_DEFAULT_SIZES);
	TableScanDesc scan;

	CommandCounterIncrement();	/* what this command has written so far, too */
	PushActiveSnapshot(GetLatestSnapshot());
	scan = table_beginscan(audit, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old = MemoryContextSwitchTo(row_context);
		bool		should_free;
		HeapTuple	entry = ExecFetchSlotHeapTuple(slot, false, &should_free);
		int			ncols = 0;
		int			cols[MAX_CHANGED];
		Datum		values[MAX_CHANGED];
		bool		nulls[MAX_CHANGED];

		CHECK_FOR_INTERRUPTS();
		if (change(entry, desc, &ncols, cols, values, nulls, arg))
		{
			ExecForceStoreHeapTuple(heap_modify_tuple_by_cols(entry, desc, ncols, cols, values, nulls),
									changed, false);
			ffs_base_update_slot(audit, slot, changed);
			ExecClearTuple(changed);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	table_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(changed);
	MemoryContextDelete(row_context);
	CommandCounterIncrement();
}

static AttrNumber
entry_column(Relation audit, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(audit), name);

	if (attno <= 0)
		elog(ERROR, "audit table \"%s\" has no column \"%s\"", RelationGetRelationName(audit), name);
	return attno;
}

/* ---- a column has another name ---- */

typedef struct Renaming
{
	const char *from;
	const char *to;
	AttrNumber	field_name;
	AttrNumber	values[2];		/* old_value, new_value */
} Renaming;

/* A whole row with the member under its new name; false where it has no such member. */
static bool
rename_member(const Renaming *renaming, Datum row, Datum *result)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	found;
	Jsonb	   *jsonb = DatumGetJsonbP(row);
	int			depth = 0;
	JsonbValue *whole = NULL;

	if (!JB_ROOT_IS_OBJECT(jsonb) ||
		getKeyJsonValueFromContainer(&jsonb->root, renaming->from, strlen(renaming->from), &found) == NULL)
		return false;
	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY)
			depth++;
		else if (token == WJB_END_OBJECT || token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_KEY && depth == 1 &&
				 value.val.string.len == (int) strlen(renaming->from) &&
				 memcmp(value.val.string.val, renaming->from, value.val.string.len) == 0)
		{
			value.val.string.val = unconstify(char *, renaming->to);
			value.val.string.len = strlen(renaming->to);
		}
		whole = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	*result = JsonbPGetDatum(JsonbValueToJsonb(whole));
	return true;
}

static bool
rename_in_entry(HeapTuple entry, TupleDesc desc, int *ncols, int *cols, Datum *values, bool *nulls, void *arg)
{
	Renaming   *renaming = arg;
	bool		isnull;
	Datum		field = heap_getattr(entry, renaming->field_name, desc, &isnull);

	if (!isnull)
	{
		if (strcmp(TextDatumGetCString(field), renaming->from) != 0)
			return false;
		cols[0] = renaming->field_name;
		values[0] = CStringGetTextDatum(renaming->to);
		nulls[0] = false;
		*ncols = 1;
		return true;
	}
	for (int i = 0; i < 2; i++)
	{
		Datum		row = heap_getattr(entry, renaming->values[i], desc, &isnull);

		if (isnull || !rename_member(renaming, row, &values[*ncols]))
			continue;
		cols[*ncols] = renaming->values[i];
		nulls[*ncols] = false;
		(*ncols)++;
	}
	return *ncols > 0;
}

/* A column's name as audit entries and links between lives spell it. */
void
ffs_registry_rename_in_entries(FfsManaged *m, const char *from, const char *to)
{
	FfsRights	rights;
	char	   *old_name = quote_literal_cstr(from);
	char	   *new_name = quote_literal_cstr(to);

	if (OidIsValid(m->audit))
	{
		Relation	audit = table_open(m->audit, RowExclusiveLock);
		Renaming	renaming = {.from = from,.to = to};

		renaming.field_name = entry_column(audit, "field_name");
		renaming.values[0] = entry_column(audit, "old_value");
		renaming.values[1] = entry_column(audit, "new_value");
		change_entries(audit, rename_in_entry, &renaming);
		table_close(audit, NoLock);
	}

	/* a table of ours, of which the owner has no part */
	ffs_base_begin_as(&rights, ffs_base_owner());
	ffs_base_run(SPI_OK_UPDATE,
				 "UPDATE ffstorage.rekeys SET"
				 " old_key = (old_key - %s) || jsonb_build_object(%s, old_key -> %s),"
				 " new_key = (new_key - %s) || jsonb_build_object(%s, new_key -> %s)"
				 " WHERE relation = %u AND old_key ? %s",
				 old_name, new_name, old_name, old_name, new_name, old_name, m->relid, old_name);
	ffs_base_end_as(&rights);
}

/* ---- the table has a tenant column now ---- */

typedef struct Filling
{
	AttrNumber	entry_id;
	AttrNumber	tenant;
	int			n;				/* entries whose tenant is known, by entry_id */
	int64	   *ids;
	Datum	   *tenants;
} Filling;

static bool
fill_entry(HeapTuple entry, TupleDesc desc, int *ncols, int *cols, Datum *values, bool *nulls, void *arg)
{
	Filling    *filling = arg;
	bool		isnull;
	int64		id = DatumGetInt64(heap_getattr(entry, filling->entry_id, desc, &isnull));
	int			low = 0;
	int			high = filling->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (filling->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == filling->n || filling->ids[low] != id)
		return false;
	cols[0] = filling->tenant;
	values[0] = filling->tenants[low];
	nulls[0] = false;
	*ncols = 1;
	return true;
}

/* Run a query that gives entry_id and tenant, ordered by the first, and fill in what it says. */
static void
fill_from(FfsManaged *m, const char *query)
{
	Relation	audit;
	Form_pg_attribute att;
	Filling		filling = {0};
	bool		isnull;

	filling.n = (int) ffs_base_run(SPI_OK_SELECT, "%s", query);
	audit = table_open(m->audit, RowExclusiveLock);
	filling.entry_id = entry_column(audit, "entry_id");
	filling.tenant = entry_column(audit, m->tenant_column);
	att = TupleDescAttr(RelationGetDescr(audit), filling.tenant - 1);
	filling.ids = palloc_extended(sizeof(int64) * Max(filling.n, 1), MCXT_ALLOC_HUGE);
	filling.tenants = palloc_extended(sizeof(Datum) * Max(filling.n, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < filling.n; i++)
	{
		filling.ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		filling.tenants[i] = datumCopy(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull),
									   att->attbyval, att->attlen);
	}
	if (filling.n > 0)
		change_entries(audit, fill_entry, &filling);
	table_close(audit, NoLock);
	pfree(filling.ids);
	pfree(filling.tenants);
}

/* The tenant of audit entries that were written before the table had a tenant column. */
void
ffs_registry_fill_audit_tenant(FfsManaged *m)
{
	char	   *audit = ffs_base_relation_name(m->audit);
	char	   *table = ffs_base_relation_name(m->relid);
	const char *tenant = quote_identifier(m->tenant_column);
	List	   *key = ffs_registry_key_of(m->relid);
	StringInfoData same_row;
	StringInfoData same_entry;
	ListCell   *lc;

	initStringInfo(&same_row);
	initStringInfo(&same_entry);
	foreach(lc, key)
	{
		const char *column = quote_identifier(lfirst(lc));

		if (strcmp(lfirst(lc), m->tenant_column) == 0)
			return;				/* it was in every entry from the start */
		appendStringInfo(&same_row, " AND a.%s = t.%s", column, column);
		appendStringInfo(&same_entry, " AND a.%s = e.%s", column, column);
	}
	fill_from(m, psprintf("SELECT a.entry_id, t.%s FROM %s a, %s t WHERE a.%s IS NULL%s ORDER BY 1",
						  tenant, audit, table, tenant, same_row.data));
	/* keys that are gone: any entry with the whole row knows */
	fill_from(m, psprintf("SELECT DISTINCT ON (a.entry_id) a.entry_id, (pg_catalog.jsonb_populate_record(NULL::%s,"
						  " COALESCE(e.new_value, e.old_value))).%s AS tenant FROM %s a, %s e"
						  " WHERE a.%s IS NULL AND e.field_name IS NULL"
						  " AND pg_catalog.jsonb_typeof(COALESCE(e.new_value, e.old_value)) = 'object'"
						  " AND COALESCE(e.new_value, e.old_value) -> %s <> 'null'%s"
						  " ORDER BY a.entry_id, e.entry_id",
						  table, tenant, audit, audit, tenant, quote_literal_cstr(m->tenant_column), same_entry.data));
}

/* ---- a column is new ---- */

#define ENTRIES_AT_ONCE	1000

/* Add the rows that a query gives, with a column for each of the audit table's. */
static void
add_entries(Relation audit, const char *query)
{
	TupleDesc	desc = RelationGetDescr(audit);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * ENTRIES_AT_ONCE);
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	Portal		portal;

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", query);
	for (int i = 0; i < ENTRIES_AT_ONCE; i++)
		slots[i] = table_slot_create(audit, NULL);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
	for (;;)
	{
		uint64		n;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, ENTRIES_AT_ONCE);
		n = SPI_processed;
		for (uint64 i = 0; i < n; i++)
		{
			int			column = 1;

			ExecClearTuple(slots[i]);
			for (int j = 0; j < desc->natts; j++)
			{
				slots[i]->tts_values[j] = (Datum) 0;
				slots[i]->tts_isnull[j] = true;
				if (!TupleDescAttr(desc, j)->attisdropped)
					slots[i]->tts_values[j] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
															column++, &slots[i]->tts_isnull[j]);
			}
			ExecStoreVirtualTuple(slots[i]);
		}
		ffs_base_insert_slots(audit, slots, (int) n);
		for (uint64 i = 0; i < n; i++)
			ExecClearTuple(slots[i]);
		SPI_freetuptable(SPI_tuptable);
		if (n == 0)
			break;
	}
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
	for (int i = 0; i < ENTRIES_AT_ONCE; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	pfree(slots);
	CommandCounterIncrement();
}

/* What a new column's entry has in a column of the audit table. */
static const char *
entry_value(FfsManaged *m, AttrNumber attno, const char *name, const char *column)
{
	if (strcmp(name, "entry_id") == 0)
	{
		const char *next = ffs_registry_default_of(m->audit, attno);

		if (next == NULL)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_HISTORY_OUT_OF_STEP),
					 errmsg("table \"%s\" has lost the sequence that numbers its entries", get_rel_name(m->audit)),
					 errdetail("It stands beside the managed table \"%s\".", get_rel_name(m->relid)),
					 errhint("Give its column entry_id a default from an owned sequence again, as a superuser.")));
		return next;
	}
	if (strcmp(name, "operation") == 0)
		return "'update'::pg_catalog.text";
	if (strcmp(name, "field_name") == 0)
		return psprintf("%s::pg_catalog.text", quote_literal_cstr(column));
	if (strcmp(name, "old_value") == 0)
		return "'null'::pg_catalog.jsonb";
	if (strcmp(name, "new_value") == 0)
		return psprintf("pg_catalog.to_jsonb(ffs_row.%s)", quote_identifier(column));
	if (strcmp(name, "changed_at") == 0)
		return m->stamps ?
			psprintf("GREATEST(ffstorage.stamp_time(), ffs_row.%s)", quote_identifier(m->columns[FFS_UPDATED_AT])) :
			"ffstorage.stamp_time()";
	if (strcmp(name, "changed_by") == 0)
		return "ffstorage.stamp_actor()";
	if (strcmp(name, "transaction_id") == 0)
		return "ffstorage.stamp_xid()";
	return psprintf("ffs_row.%s", quote_identifier(name));	/* key and tenant */
}

/*
 * A new column of a copy_on_change table has values in rows that are there,
 * by its default: an entry for each, so that a replay knows them.  The owner,
 * as whom we run, is to see all of them.
 */
void
ffs_registry_audit_new_column(FfsManaged *m, const char *column)
{
	char	   *table = ffs_base_relation_name(m->relid);
	Relation	rel = table_open(m->relid, AccessShareLock);
	bool		forced = rel->rd_rel->relforcerowsecurity;
	Relation	audit = table_open(m->audit, RowExclusiveLock);
	StringInfoData query;
	int			guc_level;

	table_close(rel, NoLock);
	initStringInfo(&query);
	for (int i = 0; i < RelationGetDescr(audit)->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(audit), i);

		if (!att->attisdropped)
			appendStringInfo(&query, "%s%s", query.len > 0 ? ", " : "SELECT ",
							 entry_value(m, att->attnum, NameStr(att->attname), column));
	}
	appendStringInfo(&query, " FROM %s ffs_row WHERE ffs_row.%s IS NOT NULL", table, quote_identifier(column));

	if (forced)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY", table);
	guc_level = ffs_registry_begin_plain_output();
	add_entries(audit, query.data);
	AtEOXact_GUC(false, guc_level);
	if (forced)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s FORCE ROW LEVEL SECURITY", table);
	table_close(audit, NoLock);
}
