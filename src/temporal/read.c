/*-------------------------------------------------------------------------
 *
 * read.c
 *		What the readers of the past share: a managed table's names and
 *		columns, SQL over what stands beside it, audit entries replayed.
 *
 * Everything is read by SQL with the caller's own rights, so that privileges
 * and row-level security hold.  The caller's search_path is left alone (the
 * policies' functions may need it): every name in our SQL is qualified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "registry/key.h"
#include "temporal/read.h"
#include "temporal/write.h"

/* ---- the table ---- */

/* "OPERATOR(schema.=)" as the primary key itself compares its column `n`. */
static const char *
key_operator(Relation index, int n)
{
	Oid			type = index->rd_opcintype[n];
	Oid			op = get_opfamily_member(index->rd_opfamily[n], type, type, BTEqualStrategyNumber);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(op));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "missing equality operator in index \"%s\"", RelationGetRelationName(index));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

static void
refuse_without_past(const FfsTable *table)
{
	if (table->strategy == FFS_STRATEGY_NONE)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_AS_OF_UNAVAILABLE),
				 errmsg("table %s keeps no history", ffs_base_relation_name(table->rootid)),
				 errdetail("Its strategy is \"none\"."),
				 errhint("Call ffs_manage() with strategy => 'scd2' or 'copy_on_change' to keep what changes from then on.")));
	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_KEY_MISSING),
				 errmsg("table %s has no primary key", ffs_base_relation_name(table->rootid)),
				 errdetail("A row is found by the columns of its table's primary key."),
				 errhint("Add a primary key to the table.")));
}

Reader *
ffs_temporal_reader(const FfsTable *table)
{
	Reader	   *reader = palloc0(sizeof(Reader));
	Relation	rel;
	Relation	index;

	refuse_without_past(table);

	reader->rootid = table->rootid;
	reader->strategy = table->strategy;
	reader->side_relid = table->strategy == FFS_STRATEGY_SCD2 ? table->history : table->audit;
	reader->nkeys = table->nkeys;
	reader->key = palloc(table->nkeys * sizeof(AttrNumber));
	reader->key_type = palloc(table->nkeys * sizeof(Oid));
	reader->key_name = palloc(table->nkeys * sizeof(char *));
	reader->key_equal = palloc(table->nkeys * sizeof(char *));
	memcpy(reader->key, table->key, table->nkeys * sizeof(AttrNumber));
	memcpy(reader->stamp, table->stamp, sizeof(reader->stamp));
	reader->hidden = bms_union(table->stamp_set, table->excluded);
	for (int i = 0; table->strategy == FFS_STRATEGY_SCD2 && i < table->history_desc->natts; i++)
		if (table->history_map[i] > 0)
			reader->in_history = bms_add_member(reader->in_history, table->history_map[i]);
	index = index_open(table->pk_index, AccessShareLock);

	/* The lock keeps the columns as they are until the transaction ends. */
	rel = relation_open(reader->rootid, AccessShareLock);
	reader->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	reader->rowtype = rel->rd_rel->reltype;
	reader->table = ffs_base_relation_name(reader->rootid);
	reader->side = ffs_base_relation_name(reader->side_relid);
	for (int i = 0; i < reader->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(reader->desc, reader->key[i] - 1);

		reader->key_type[i] = getBaseType(att->atttypid);
		reader->key_name[i] = quote_identifier(pstrdup(NameStr(att->attname)));
		reader->key_equal[i] = key_operator(index, i);
	}
	index_close(index, AccessShareLock);
	relation_close(rel, NoLock);
	return reader;
}

bool
ffs_temporal_catch_up(Oid rootid)
{
	if (!ffs_temporal_buffer_pending(rootid))
		return false;
	ffs_temporal_buffer_flush(rootid);
	CommandCounterIncrement();
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	return true;
}

const char *
ffs_temporal_key_clause(const Reader *reader, const char *alias, int first)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < reader->nkeys; i++)
		appendStringInfo(&buf, "%s%s.%s %s $%d", i > 0 ? " AND " : "",
						 alias, reader->key_name[i], reader->key_equal[i], first + i);
	return buf.data;
}

const char *
ffs_temporal_row_expression(const Reader *reader, Oid rowtype_relid, const char *alias, bool from_history)
{
	StringInfoData buf;
	Relation	rel = relation_open(rowtype_relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		first = true;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "ROW(");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		if (!first)
			appendStringInfoString(&buf, ", ");
		first = false;
		/* a partition numbers its columns in its own way */
		if (from_history && !bms_is_member(get_attnum(reader->rootid, NameStr(att->attname)), reader->in_history))
			appendStringInfoString(&buf, "NULL");
		else
			appendStringInfo(&buf, "%s.%s", alias, quote_identifier(NameStr(att->attname)));
	}
	appendStringInfo(&buf, ")::%s", ffs_base_relation_name(rowtype_relid));
	relation_close(rel, NoLock);
	return buf.data;
}

/* ---- audit entries ---- */

/*
 * Where the primary key is deferrable, a row may come to a key before the one
 * that had it leaves, within one transaction.  Put the leaving first.
 */
static void
order_entries(AuditEntry *entries, int nentries)
{
	bool		taken = false;

	for (int i = 0; i < nentries; i++)
	{
		if (entries[i].field != NULL)
			continue;
		if (entries[i].new_value == NULL)
		{
			taken = false;
			continue;
		}
		for (int j = i + 1; taken && j < nentries && entries[j].xid == entries[i].xid; j++)
			if (entries[j].field == NULL && entries[j].new_value == NULL)
			{
				AuditEntry	leaving = entries[j];

				memmove(&entries[i + 1], &entries[i], (j - i) * sizeof(AuditEntry));
				entries[i++] = leaving;
				break;
			}
		taken = true;
	}
}

AuditEntry *
ffs_temporal_audit_entries(const Reader *reader, const Datum *key, TimestampTz until, int *nentries)
{
	Oid		   *types = palloc((reader->nkeys + 1) * sizeof(Oid));
	Datum	   *values = palloc((reader->nkeys + 1) * sizeof(Datum));
	AuditEntry *entries;
	SPITupleTable *found;
	int			rc;

	memcpy(types, reader->key_type, reader->nkeys * sizeof(Oid));
	memcpy(values, key, reader->nkeys * sizeof(Datum));
	types[reader->nkeys] = TIMESTAMPTZOID;
	values[reader->nkeys] = TimestampTzGetDatum(until);
	rc = SPI_execute_with_args(psprintf("SELECT a.operation, a.field_name, a.old_value, a.new_value,"
										" a.changed_at, a.changed_by, a.transaction_id FROM %s a"
										" WHERE %s AND a.changed_at OPERATOR(pg_catalog.<=) $%d ORDER BY a.entry_id",
										reader->side, ffs_temporal_key_clause(reader, "a", 1), reader->nkeys + 1),
							   reader->nkeys + 1, types, values, NULL, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s", SPI_result_code_string(rc));

	found = SPI_tuptable;
	*nentries = (int) SPI_processed;
	entries = palloc0(Max(SPI_processed, 1) * sizeof(AuditEntry));
	for (int i = 0; i < *nentries; i++)
	{
		AuditEntry *entry = &entries[i];
		HeapTuple	tuple = found->vals[i];
		bool		isnull;
		Datum		value;

		entry->operation = SPI_getvalue(tuple, found->tupdesc, 1);
		entry->field = SPI_getvalue(tuple, found->tupdesc, 2);
		value = SPI_getbinval(tuple, found->tupdesc, 3, &isnull);
		entry->old_value = isnull ? NULL : DatumGetJsonbPCopy(value);
		value = SPI_getbinval(tuple, found->tupdesc, 4, &isnull);
		entry->new_value = isnull ? NULL : DatumGetJsonbPCopy(value);
		value = SPI_getbinval(tuple, found->tupdesc, 5, &isnull);
		entry->at = isnull ? 0 : DatumGetTimestampTz(value);
		entry->actor = SPI_getvalue(tuple, found->tupdesc, 6);
		value = SPI_getbinval(tuple, found->tupdesc, 7, &isnull);
		entry->xid = isnull ? 0 : U64FromFullTransactionId(DatumGetFullTransactionId(value));
	}
	SPI_freetuptable(found);
	order_entries(entries, *nentries);
	return entries;
}

void
ffs_temporal_push_member(JsonbParseState **state, const char *name, Jsonb *value)
{
	JsonbValue	member;

	member.type = jbvString;
	member.val.string.val = unconstify(char *, name);
	member.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &member);
	if (value == NULL)
		member.type = jbvNull;
	else if (JB_ROOT_IS_SCALAR(value))
	{
		if (!JsonbExtractScalar(&value->root, &member))
			elog(ERROR, "scalar jsonb without a value");
	}
	else
	{
		member.type = jbvBinary;
		member.val.binary.data = &value->root;
		member.val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
	pushJsonbValue(state, WJB_VALUE, &member);
}

Jsonb *
ffs_temporal_replay(const Reader *reader, Jsonb *row, const AuditEntry *entry)
{
	JsonbParseState *state = NULL;
	Jsonb	   *patch;

	if (entry->field == NULL)
		return entry->new_value;
	if (row == NULL)
		return NULL;			/* what came before was pruned */

	/* an update's stamps are in its entries' own columns */
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ffs_temporal_push_member(&state, entry->field, entry->new_value);
	if (reader->stamp[FFS_UPDATED_AT] > 0)
	{
		Form_pg_attribute att = TupleDescAttr(reader->desc, reader->stamp[FFS_UPDATED_AT] - 1);
		int			utc = 0;
		char	   *at = JsonEncodeDateTime(NULL, TimestampTzGetDatum(entry->at), TIMESTAMPTZOID, &utc);

		ffs_temporal_push_member(&state, NameStr(att->attname),
								 DatumGetJsonbP(ffs_registry_to_jsonb(TEXTOID, CStringGetTextDatum(at))));
	}
	if (reader->stamp[FFS_UPDATED_BY] > 0)
	{
		Form_pg_attribute att = TupleDescAttr(reader->desc, reader->stamp[FFS_UPDATED_BY] - 1);

		ffs_temporal_push_member(&state, NameStr(att->attname),
								 entry->actor == NULL ? NULL :
								 DatumGetJsonbP(ffs_registry_to_jsonb(TEXTOID, CStringGetTextDatum(entry->actor))));
	}
	patch = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(row), JsonbPGetDatum(patch)));
}
