/*-------------------------------------------------------------------------
 *
 * capture.c
 *		What a change of a managed row leaves behind.
 *
 * scd2 keeps what others could have seen.  A row version counts as written by
 * this transaction if its xmin is ours, and its transaction_id and valid_from
 * are, too: xmin alone would take an update of excluded columns, which leaves
 * the stamps alone, for a version; the columns alone would be fooled by xids
 * that a dump brought from another cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "registry/key.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

/* What goes into the columns of a side table that are not the table's. */
typedef struct SideValues
{
	TimestampTz at;
	const char *operation;
} SideValues;

/* ---- time ---- */

TimestampTz
ffs_temporal_follow(TimestampTz previous)
{
	TimestampTz now = ffs_temporal_now();

	if (previous < now)
		return now;
	if (TIMESTAMP_NOT_FINITE(previous))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a row of a managed table begins at infinity"),
				 errdetail("No version can follow it."),
				 errhint("Take the table out with ffs_unmanage() and mend the row's time stamps.")));
	return previous + 1;
}

bool
ffs_temporal_is_own_version(FfsTable *table, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value;

	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		return false;
	value = heap_getattr(tuple, table->stamp[FFS_TRANSACTION_ID], desc, &isnull);
	if (isnull || !FullTransactionIdEquals(DatumGetFullTransactionId(value), ffs_temporal_xid()))
		return false;
	value = heap_getattr(tuple, table->stamp[FFS_VALID_FROM], desc, &isnull);
	return !isnull && DatumGetTimestampTz(value) >= ffs_temporal_now();
}

TimestampTz
ffs_temporal_time_attribute(HeapTuple tuple, AttrNumber attno, TupleDesc desc, TimestampTz otherwise)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attno, desc, &isnull);

	return isnull ? otherwise : DatumGetTimestampTz(value);
}

bool
ffs_temporal_same_value(TupleDesc desc, AttrNumber attno, Datum a, bool anull, Datum b, bool bnull)
{
	Form_pg_attribute att = TupleDescAttr(desc, attno - 1);

	if (anull || bnull)
		return anull == bnull;
	if (a == b)
		return true;
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

/* ---- rows for side tables ---- */

AttrNumber
ffs_temporal_side_attribute(TupleDesc desc, const AttrNumber *map, AttrNumber source)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (map[i] == source)
			return i + 1;
	}
	elog(ERROR, "a side table lacks its column %d", source);
}

static void
buffer_side_row(FfsTable *table, Oid target, TupleDesc side_desc, const AttrNumber *map,
				const Datum *values, const bool *nulls, const SideValues *side)
{
	Datum	   *out = palloc(sizeof(Datum) * side_desc->natts);
	bool	   *outnulls = palloc0(sizeof(bool) * side_desc->natts);

	for (int i = 0; i < side_desc->natts; i++)
	{
		AttrNumber	source = map[i];

		if (source > 0)
		{
			out[i] = values[source - 1];
			outnulls[i] = nulls[source - 1];
			continue;
		}
		switch (source)
		{
			case FFS_FROM_END_TIME:
				out[i] = TimestampTzGetDatum(side->at);
				break;
			case FFS_FROM_OPERATION:
				out[i] = CStringGetTextDatum(side->operation);
				break;
			case FFS_FROM_ACTOR:
				out[i] = ffs_temporal_actor_datum();
				break;
			case FFS_FROM_XID:
				out[i] = FullTransactionIdGetDatum(ffs_temporal_xid());
				break;
			default:
				out[i] = (Datum) 0;
				outnulls[i] = true;
				break;
		}
	}
	ffs_temporal_buffer_row(table->rootid, target, side_desc, out, outnulls);
	pfree(out);
	pfree(outnulls);
}

/* The most that a text can hold with a header of one byte. */
#define SHORT_TEXT	(VARATT_SHORT_MAX - VARHDRSZ_SHORT)

/* One more attribute, as bytes, at the end of a tuple; `to` NULL: only how long it gets. */
static Size
append_attribute(char *to, Size at, Form_pg_attribute att, const void *bytes, Size length)
{
	if (att->attlen == -1)
	{
		if (to != NULL)
		{
			SET_VARSIZE_SHORT(to + at, VARHDRSZ_SHORT + length);
			memcpy(to + at + VARHDRSZ_SHORT, bytes, length);
		}
		return at + VARHDRSZ_SHORT + length;
	}
	at = att_align_nominal(at, att->attalign);
	if (to != NULL)
		memcpy(to + at, bytes, length);
	return at + length;
}

/*
 * The usual case of buffer_whole_row: the side table has the table's columns in
 * their order, and then our own.  The row's bytes are taken over as they are,
 * without taking them apart.  False: it is not the usual case.
 */
static bool
buffer_extended_row(FfsTable *table, Oid target, TupleDesc side_desc, const AttrNumber *map,
					HeapTuple tuple, TupleDesc desc, const SideValues *side)
{
	HeapTupleHeader from = tuple->t_data;
	int			natts = desc->natts;
	int			nall = side_desc->natts;
	const void *bytes[8];
	Size		lengths[8];
	FullTransactionId xid = ffs_temporal_xid();
	text	   *actor = DatumGetTextPP(ffs_temporal_actor_datum());
	bool		has_nulls = HeapTupleHasNulls(tuple);
	Size		header = MAXALIGN(SizeofHeapTupleHeader + (has_nulls ? BITMAPLEN(nall) : 0));
	Size		taken = tuple->t_len - from->t_hoff;
	Size		length = taken;
	FfsWriter  *writer;
	HeapTuple	result;
	HeapTupleHeader to;

	if (nall < natts || nall - natts > (int) lengthof(bytes) || HeapTupleHeaderGetNatts(from) != natts)
		return false;
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);
		Form_pg_attribute b = TupleDescAttr(side_desc, i);

		if (map[i] != i + 1 || a->attlen != b->attlen || a->attalign != b->attalign)
			return false;
	}
	for (int i = natts; i < nall; i++)
	{
		Form_pg_attribute att = TupleDescAttr(side_desc, i);
		const void **b = &bytes[i - natts];
		Size	   *l = &lengths[i - natts];

		switch (map[i])
		{
			case FFS_FROM_END_TIME:
				*b = &side->at;
				*l = sizeof(TimestampTz);
				break;
			case FFS_FROM_OPERATION:
				*b = side->operation;
				*l = strlen(side->operation);
				break;
			case FFS_FROM_ACTOR:
				*b = VARDATA_ANY(actor);
				*l = VARSIZE_ANY_EXHDR(actor);
				break;
			case FFS_FROM_XID:
				*b = &xid;
				*l = sizeof(xid);
				break;
			default:
				return false;
		}
		if (att->attlen == -1 ? *l > SHORT_TEXT || att->attstorage == TYPSTORAGE_PLAIN : att->attlen != (int) *l)
			return false;
		length = append_attribute(NULL, length, att, *b, *l);
	}

	writer = ffs_temporal_buffer(table->rootid, target, side_desc);
	result = ffs_base_writer_room(writer, header + length);
	to = result->t_data;
	HeapTupleHeaderSetNatts(to, nall);
	ItemPointerSetInvalid(&to->t_ctid);
	to->t_hoff = header;
	to->t_infomask = (from->t_infomask & (HEAP_HASNULL | HEAP_HASEXTERNAL)) | HEAP_HASVARWIDTH;
	if (has_nulls)
	{
		memcpy(to->t_bits, from->t_bits, BITMAPLEN(natts));
		for (int i = natts; i < nall; i++)
			to->t_bits[i >> 3] |= 1 << (i & 7);
	}
	memcpy((char *) to + header, (char *) from + from->t_hoff, taken);
	for (int i = natts; i < nall; i++)
		taken = append_attribute((char *) to + header, taken, TupleDescAttr(side_desc, i),
								 bytes[i - natts], lengths[i - natts]);
	ffs_base_writer_put(writer, result);
	return true;
}

static void
buffer_whole_row(FfsTable *table, Oid target, TupleDesc side_desc, const AttrNumber *map,
				 HeapTuple tuple, TupleDesc desc, const SideValues *side)
{
	Datum	   *values;
	bool	   *nulls;

	if (buffer_extended_row(table, target, side_desc, map, tuple, desc, side))
		return;
	values = palloc(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	heap_deform_tuple(tuple, desc, values, nulls);
	buffer_side_row(table, target, side_desc, map, values, nulls, side);
	pfree(values);
	pfree(nulls);
}

void
ffs_temporal_close_version(FfsTable *table, HeapTuple old, TupleDesc desc,
						   TimestampTz end, const char *operation)
{
	SideValues	side = {.at = end,.operation = operation};

	buffer_whole_row(table, table->history, table->history_desc, table->history_map,
					 old, desc, &side);
}

Datum
ffs_temporal_key_jsonb(FfsTable *table, HeapTuple tuple, TupleDesc desc)
{
	Datum		values[INDEX_MAX_KEYS];

	for (int i = 0; i < table->nkeys; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(tuple, table->key[i], desc, &isnull);
	}
	return JsonbPGetDatum(ffs_registry_key_to_jsonb(table, values));
}

void
ffs_temporal_keep_deleted(FfsTable *table, HeapTuple old, TupleDesc desc, TimestampTz at)
{
	SideValues	side = {.at = at};

	buffer_whole_row(table, table->deleted, table->deleted_desc, table->deleted_map, old, desc, &side);
}

void
ffs_temporal_end_row(FfsTable *table, HeapTuple old, TupleDesc desc, const char *operation)
{
	TimestampTz at = ffs_temporal_now();

	switch (table->strategy)
	{
		case FFS_STRATEGY_SCD2:
			at = ffs_temporal_time_attribute(old, table->stamp[FFS_VALID_FROM], desc, 0);
			if (ffs_temporal_is_own_version(table, old, desc))
			{
				bool		isnull;

				/* nobody else has seen it; what others saw ended where it began */
				if (DatumGetInt32(heap_getattr(old, table->stamp[FFS_VERSION], desc, &isnull)) > 1)
					ffs_temporal_amend_end(table, old, desc, operation);
			}
			else
			{
				at = ffs_temporal_follow(at);
				ffs_temporal_close_version(table, old, desc, at, operation);
			}
			break;
		case FFS_STRATEGY_COPY_ON_CHANGE:
			if (table->has_stamps)
			{
				TimestampTz last = ffs_temporal_time_attribute(old, table->stamp[FFS_UPDATED_AT], desc, 0);

				if (last > at && !TIMESTAMP_NOT_FINITE(last))
					at = last;
				if (last == at && !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(old->t_data)))
					at = ffs_temporal_follow(last);
			}
			ffs_temporal_audit_row(table, old, desc, operation, false, at);
			if (at > ffs_temporal_now())
				ffs_temporal_activity(table->rootid)->ends_seen = true;
			break;
		case FFS_STRATEGY_NONE:
			break;
	}
	if (table->soft_delete)
		ffs_temporal_keep_deleted(table, old, desc, at);
}

void
ffs_temporal_link_lives(FfsTable *table, HeapTuple old, HeapTuple new, TupleDesc desc, TimestampTz at)
{
	Oid			target = ffs_base_catalog_relid("rekeys");
	Relation	rel = table_open(target, RowExclusiveLock);
	Datum		values[5];
	bool		nulls[5] = {false};

	if (RelationGetDescr(rel)->natts != 5)
		elog(ERROR, "ffstorage.rekeys has %d columns", RelationGetDescr(rel)->natts);
	values[0] = ObjectIdGetDatum(table->rootid);
	values[1] = ffs_temporal_key_jsonb(table, old, desc);
	values[2] = ffs_temporal_key_jsonb(table, new, desc);
	values[3] = TimestampTzGetDatum(at);
	values[4] = FullTransactionIdGetDatum(ffs_temporal_xid());
	ffs_temporal_buffer_row(table->rootid, target, RelationGetDescr(rel), values, nulls);
	table_close(rel, NoLock);
}
