/*-------------------------------------------------------------------------
 *
 * audit.c
 *		copy_on_change: audit entries for whole rows and for changed fields.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/sequence.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "temporal/rowjson.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

/* What goes into the columns of an audit table that are not the table's. */
typedef struct Entry
{
	TimestampTz at;
	const char *operation;
	const char *field;
	Datum		old_value;		/* jsonb; 0 is NULL */
	Datum		new_value;
} Entry;

static void
buffer_entry(FfsTable *table, const Datum *values, const bool *nulls, const Entry *entry)
{
	TupleDesc	desc = table->audit_desc;
	Datum	   *out = palloc(sizeof(Datum) * desc->natts);
	bool	   *outnulls = palloc0(sizeof(bool) * desc->natts);

	for (int i = 0; i < desc->natts; i++)
	{
		AttrNumber	source = table->audit_map[i];

		if (source > 0)
		{
			out[i] = values[source - 1];
			outnulls[i] = nulls[source - 1];
			continue;
		}
		switch (source)
		{
			case FFS_FROM_END_TIME:
				out[i] = TimestampTzGetDatum(entry->at);
				break;
			case FFS_FROM_OPERATION:
				out[i] = CStringGetTextDatum(entry->operation);
				break;
			case FFS_FROM_ACTOR:
				out[i] = ffs_temporal_actor_datum();
				break;
			case FFS_FROM_XID:
				out[i] = FullTransactionIdGetDatum(ffs_temporal_xid());
				break;
			case FFS_FROM_ENTRY_ID:
				out[i] = Int64GetDatum(nextval_internal(table->audit_sequence, false));
				break;
			case FFS_FROM_FIELD:
				outnulls[i] = entry->field == NULL;
				out[i] = entry->field ? CStringGetTextDatum(entry->field) : (Datum) 0;
				break;
			case FFS_FROM_OLD_VALUE:
				out[i] = entry->old_value;
				outnulls[i] = entry->old_value == 0;
				break;
			case FFS_FROM_NEW_VALUE:
				out[i] = entry->new_value;
				outnulls[i] = entry->new_value == 0;
				break;
			default:
				out[i] = (Datum) 0;
				outnulls[i] = true;
				break;
		}
	}
	ffs_temporal_buffer_row(table->rootid, table->audit, desc, out, outnulls);
	pfree(out);
	pfree(outnulls);
}

void
ffs_temporal_audit_row(FfsTable *table, HeapTuple tuple, TupleDesc desc,
					   const char *operation, bool is_new, TimestampTz at)
{
	Entry		entry = {.at = at,.operation = operation};
	Datum		json = ffs_temporal_row_jsonb(tuple, desc, table->excluded);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	if (is_new)
		entry.new_value = json;
	else
		entry.old_value = json;
	heap_deform_tuple(tuple, desc, values, nulls);
	buffer_entry(table, values, nulls, &entry);
	pfree(values);
	pfree(nulls);
}

void
ffs_temporal_audit_fields(FfsTable *table, TupleTableSlot *old, TupleTableSlot *new, TimestampTz at)
{
	TupleDesc	desc = old->tts_tupleDescriptor;
	Entry		entry = {.at = at,.operation = "update"};

	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || bms_is_member(att->attnum, table->stamp_set) ||
			bms_is_member(att->attnum, table->excluded))
			continue;
		if (ffs_temporal_same_value(desc, att->attnum, old->tts_values[i], old->tts_isnull[i],
									new->tts_values[i], new->tts_isnull[i]))
			continue;
		entry.field = NameStr(att->attname);
		entry.old_value = ffs_temporal_value_jsonb(att->atttypid, old->tts_values[i], old->tts_isnull[i]);
		entry.new_value = ffs_temporal_value_jsonb(att->atttypid, new->tts_values[i], new->tts_isnull[i]);
		buffer_entry(table, new->tts_values, new->tts_isnull, &entry);
	}
}
