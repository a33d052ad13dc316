/*-------------------------------------------------------------------------
 *
 * audit.c
 *		copy_on_change: audit entries for whole rows and for changed fields.
 *
 * Entries of one table differ little: what they have in common, and how the
 * table's values become jsonb, is worked out once for each descriptor.  What
 * users wrote may run while an entry is made (to_jsonb() of their types,
 * indexes of theirs on the audit table) and write the same table again: who
 * finds the table's auditor at work makes one for himself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "commands/sequence.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "registry/rowjson.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

/* A buffer that has grown beyond this is not kept. */
#define KEEP_BYTES	(64 * 1024)

/* A column of the table whose changes are kept. */
typedef struct Field
{
	int			index;			/* into a row's values */
	text	   *name;
	FfsValueJson *layout;
} Field;

/* A column of the audit table that the table has too. */
typedef struct Copied
{
	int			from;			/* into a row's values */
	int			to;				/* into an entry's */
} Copied;

typedef struct FfsAuditor
{
	int			natts;			/* of the table */
	int			ncopied;
	Copied	   *copied;

	/* an entry: what changes from one to the next is filled in */
	Datum	   *values;
	bool	   *nulls;
	int			where[-FFS_FROM_NEW_VALUE + 1]; /* into values, by -source */

	int			nfields;
	Field	   *fields;
	FfsRowJson *row;
	StringInfoData old_json;
	StringInfoData new_json;
	Datum	   *row_values;		/* a row of the table, taken apart */
	bool	   *row_nulls;

	text	   *operation_text;	/* what values has now */
	MemoryContext context;		/* holds all of it */
	FullTransactionId busy_in;	/* at work, or left so by an error in this transaction */
} FfsAuditor;

/* ---- what entries have in common ---- */

static void
map_columns(FfsAuditor *auditor, const FfsTable *table)
{
	int			natts = table->audit_desc->natts;

	auditor->copied = palloc(sizeof(Copied) * Max(natts, 1));
	auditor->values = palloc0(sizeof(Datum) * Max(natts, 1));
	auditor->nulls = palloc(sizeof(bool) * Max(natts, 1));
	memset(auditor->nulls, true, natts);
	for (int i = 0; i < natts; i++)
	{
		AttrNumber	source = table->audit_map[i];

		if (source == FFS_FROM_NOWHERE)
			continue;
		auditor->nulls[i] = false;
		if (source < 0)
		{
			auditor->where[-source] = i;
			continue;
		}
		auditor->copied[auditor->ncopied].from = source - 1;
		auditor->copied[auditor->ncopied].to = i;
		auditor->ncopied++;
	}
}

static FfsAuditor *
make_auditor(const FfsTable *table, TupleDesc desc)
{
	FfsAuditor *auditor = palloc0(sizeof(FfsAuditor));

	auditor->context = CurrentMemoryContext;
	auditor->busy_in = InvalidFullTransactionId;
	auditor->natts = desc->natts;
	map_columns(auditor, table);
	auditor->fields = palloc(sizeof(Field) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Field	   *field = &auditor->fields[auditor->nfields];

		if (att->attisdropped || bms_is_member(att->attnum, table->stamp_set) ||
			bms_is_member(att->attnum, table->excluded))
			continue;
		field->index = i;
		field->name = cstring_to_text(NameStr(att->attname));
		field->layout = ffs_registry_value_layout(att->atttypid, JSON_KEPT);
		auditor->nfields++;
	}
	auditor->row = ffs_registry_row_layout(desc, table->excluded, JSON_KEPT);
	auditor->row_values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	auditor->row_nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	initStringInfo(&auditor->old_json);
	initStringInfo(&auditor->new_json);
	return auditor;
}

/* The table's auditor, until end_work(). */
static FfsAuditor *
begin_work(FfsTable *table, TupleDesc desc)
{
	FfsAuditor *auditor = table->auditor;
	FullTransactionId xid = ffs_temporal_xid();

	if (auditor == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(table->context);

		auditor = make_auditor(table, desc);
		MemoryContextSwitchTo(old);
		table->auditor = auditor;
	}
	else if (FullTransactionIdEquals(auditor->busy_in, xid))
		auditor = make_auditor(table, desc);
	if (auditor->natts != desc->natts)
		elog(ERROR, "a row of %d columns where the table has %d", desc->natts, auditor->natts);
	auditor->busy_in = xid;
	return auditor;
}

static void
end_work(FfsAuditor *auditor)
{
	StringInfo	buffers[] = {&auditor->old_json, &auditor->new_json};

	for (int i = 0; i < (int) lengthof(buffers); i++)
	{
		if (buffers[i]->maxlen <= KEEP_BYTES)
			continue;
		buffers[i]->len = 0;
		buffers[i]->maxlen = KEEP_BYTES;
		buffers[i]->data = repalloc(buffers[i]->data, KEEP_BYTES);
	}
	auditor->busy_in = InvalidFullTransactionId;
}

/* ---- entries ---- */

static inline void
put(FfsAuditor *auditor, int source, Datum value, bool isnull)
{
	int			i = auditor->where[-source];

	auditor->values[i] = value;
	auditor->nulls[i] = isnull;
}

static bool
text_is(const text *t, const char *string)
{
	size_t		length = strlen(string);

	return VARSIZE(t) - VARHDRSZ == length && memcmp(VARDATA(t), string, length) == 0;
}

/* What all entries of one change have in common. */
static void
begin_change(FfsAuditor *auditor, const char *operation, TimestampTz at,
			 const Datum *values, const bool *nulls)
{
	if (auditor->operation_text == NULL || !text_is(auditor->operation_text, operation))
	{
		MemoryContext old = MemoryContextSwitchTo(auditor->context);

		if (auditor->operation_text != NULL)
			pfree(auditor->operation_text);
		auditor->operation_text = NULL;
		auditor->operation_text = cstring_to_text(operation);
		MemoryContextSwitchTo(old);
	}
	put(auditor, FFS_FROM_OPERATION, PointerGetDatum(auditor->operation_text), false);
	put(auditor, FFS_FROM_END_TIME, TimestampTzGetDatum(at), false);
	put(auditor, FFS_FROM_ACTOR, ffs_temporal_actor_datum(), false);
	put(auditor, FFS_FROM_XID, FullTransactionIdGetDatum(ffs_temporal_xid()), false);
	for (int i = 0; i < auditor->ncopied; i++)
	{
		Copied	   *copied = &auditor->copied[i];

		auditor->values[copied->to] = values[copied->from];
		auditor->nulls[copied->to] = nulls[copied->from];
	}
}

static void
buffer_entry(FfsTable *table, FfsAuditor *auditor)
{
	put(auditor, FFS_FROM_ENTRY_ID, Int64GetDatum(nextval_internal(table->audit_sequence, false)), false);
	ffs_temporal_buffer_row(table->rootid, table->audit, table->audit_desc, auditor->values, auditor->nulls);
}

void
ffs_temporal_audit_row(FfsTable *table, HeapTuple tuple, TupleDesc desc,
					   const char *operation, bool is_new, TimestampTz at)
{
	FfsAuditor *auditor = begin_work(table, desc);
	Datum		json;

	heap_deform_tuple(tuple, desc, auditor->row_values, auditor->row_nulls);
	json = ffs_registry_row_jsonb(auditor->row, auditor->row_values, auditor->row_nulls, &auditor->new_json);
	begin_change(auditor, operation, at, auditor->row_values, auditor->row_nulls);
	put(auditor, FFS_FROM_FIELD, (Datum) 0, true);
	put(auditor, FFS_FROM_OLD_VALUE, is_new ? (Datum) 0 : json, is_new);
	put(auditor, FFS_FROM_NEW_VALUE, is_new ? json : (Datum) 0, !is_new);
	buffer_entry(table, auditor);
	end_work(auditor);
}

void
ffs_temporal_audit_fields(FfsTable *table, TupleTableSlot *old, TupleTableSlot *new, TimestampTz at)
{
	TupleDesc	desc = old->tts_tupleDescriptor;
	FfsAuditor *auditor = begin_work(table, desc);
	bool		begun = false;

	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < auditor->nfields; i++)
	{
		Field	   *field = &auditor->fields[i];
		int			n = field->index;
		Datum		old_json;
		Datum		new_json;

		if (ffs_temporal_same_value(desc, n + 1, old->tts_values[n], old->tts_isnull[n],
									new->tts_values[n], new->tts_isnull[n]))
			continue;
		old_json = ffs_registry_value_jsonb(field->layout, old->tts_values[n], old->tts_isnull[n], &auditor->old_json);
		new_json = ffs_registry_value_jsonb(field->layout, new->tts_values[n], new->tts_isnull[n], &auditor->new_json);
		if (!begun)
			begin_change(auditor, "update", at, new->tts_values, new->tts_isnull);
		begun = true;
		put(auditor, FFS_FROM_FIELD, PointerGetDatum(field->name), false);
		put(auditor, FFS_FROM_OLD_VALUE, old_json, false);
		put(auditor, FFS_FROM_NEW_VALUE, new_json, false);
		buffer_entry(table, auditor);
	}
	end_work(auditor);
}
