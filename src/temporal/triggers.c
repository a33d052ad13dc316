/*-------------------------------------------------------------------------
 *
 * triggers.c
 *		What PostgreSQL calls for each row of a managed table that is written.
 *
 * row_change fires before each row, last of the table's BEFORE ROW triggers
 * (the registry keeps it so): what it lets pass is what is stored.  It stamps
 * the new row and hands the old one to the buffers, which are written out when the
 * statement ends (statements.c).  A BEFORE INSERT trigger cannot know whether a row goes in (ON
 * CONFLICT) or is only half of a move to another partition: is_new_row, in
 * the WHEN clause of an AFTER ROW trigger, is called when it has gone in.
 *
 * A row that an UPDATE moves to another partition fires BEFORE UPDATE and
 * BEFORE DELETE on its old partition and BEFORE INSERT on its new one.  The
 * DELETE is recognised by its tid, which only the UPDATE before it in the same
 * command can have handed over; the INSERT by the key that follows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "storage/bufmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "registry/registry.h"
#include "registry/rowcache.h"
#include "stats/stats.h"
#include "temporal/temporal.h"
#include "temporal/write.h"
#include "tenancy/tenancy.h"

PG_FUNCTION_INFO_V1(row_change);
PG_FUNCTION_INFO_V1(row_inserted);
PG_FUNCTION_INFO_V1(row_replicated);
PG_FUNCTION_INFO_V1(is_new_row);
PG_FUNCTION_INFO_V1(is_new_row_audited);

/*
 * What the statement at one depth of triggers knows of moves: triggers of
 * users' may run others of their own in the middle of one.
 */
typedef struct Mover
{
	/* The last row that BEFORE UPDATE saw in a partition. */
	Oid			relid;
	ItemPointerData tid;
	SubTransactionId subid;
	HeapTuple	stamped;		/* the executor's, and gone when it takes the next row */

	/* A row on its way from one partition to another. */
	bool		moving;
	SubTransactionId moving_subid;
	FfsTable   *source;			/* the partition that it leaves */
	TupleDesc	desc;			/* of that partition, copied */
	HeapTuple	row;			/* as the UPDATE left it, in the source's shape */
	MemoryContext context;		/* holds desc and row */
} Mover;

static Mover *movers = NULL;	/* by pg_trigger_depth() */
static int	nmovers = 0;

/* What BEFORE INSERT passed last, for is_new_row. */
static struct
{
	Oid			rootid;
	bool		moved;
	TimestampTz at;				/* from when it counts */
}			last_insert;

/* ffs_restore is at work on this table. */
static struct
{
	Oid			rootid;
	SubTransactionId subid;
	int32		version;
	TimestampTz after;			/* which its stamp has to be later than */
	const char *operation;
}			restoring;

/* ---- stamps ---- */

typedef struct NewValues
{
	int			n;
	int			cols[FFS_NSTAMPS + 1];
	Datum		values[FFS_NSTAMPS + 1];
	bool		nulls[FFS_NSTAMPS + 1];
} NewValues;

static inline void
put_attribute(NewValues *nv, AttrNumber attno, Datum value, bool isnull)
{
	if (attno == 0)
		return;
	nv->cols[nv->n] = attno;
	nv->values[nv->n] = value;
	nv->nulls[nv->n] = isnull;
	nv->n++;
}

static inline void
put_stamp(NewValues *nv, FfsTable *table, FfsStamp stamp, Datum value)
{
	put_attribute(nv, table->stamp[stamp], value, false);
}

/* The stamp of a new row keeps what the old one has. */
static inline void
keep_stamp(NewValues *nv, FfsTable *table, FfsStamp stamp, TupleTableSlot *old)
{
	if (table->stamp[stamp] != 0)
	{
		bool		isnull;
		Datum		value = slot_getattr(old, table->stamp[stamp], &isnull);

		put_attribute(nv, table->stamp[stamp], value, isnull);
	}
}

/* Which of the new values is that of this attribute; -1: none. */
static inline int
new_value_of(const NewValues *nv, AttrNumber attno)
{
	for (int i = 0; i < nv->n; i++)
		if (nv->cols[i] == attno)
			return i;
	return -1;
}

/*
 * Put the new values where the old ones are, in the tuple and in the slot that
 * owns it.  False where that cannot be: a value has another length, or it is or
 * was NULL.
 */
static bool
patch_values(HeapTuple tuple, TupleDesc desc, TupleTableSlot *slot, const NewValues *nv)
{
	HeapTupleHeader header = tuple->t_data;
	char	   *data = (char *) header + header->t_hoff;
	AttrNumber	last = 0;
	uint32		at = 0;

	if (!(TTS_IS_HEAPTUPLE(slot) || TTS_IS_BUFFERTUPLE(slot)) ||
		((HeapTupleTableSlot *) slot)->tuple != tuple ||
		(TTS_IS_BUFFERTUPLE(slot) && BufferIsValid(((BufferHeapTupleTableSlot *) slot)->buffer)) ||
		HeapTupleHeaderGetNatts(header) != desc->natts)
		return false;
	slot_getallattrs(slot);
	for (int i = 0; i < nv->n; i++)
	{
		AttrNumber	attno = nv->cols[i];
		bool		isnull = slot->tts_isnull[attno - 1];

		if (isnull != nv->nulls[i])
			return false;
		if (isnull)
			continue;
		if (TupleDescAttr(desc, attno - 1)->attbyval)
			last = Max(last, attno);
		else if (!ffs_temporal_same_value(desc, attno, slot->tts_values[attno - 1], false, nv->values[i], false))
			return false;
	}
	for (int i = 0; i < last; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (slot->tts_isnull[i])
			continue;
		at = att_align_pointer(at, att->attalign, att->attlen, data + at);
		if (att->attbyval)
		{
			int			n = new_value_of(nv, i + 1);

			if (n >= 0)
			{
				store_att_byval(data + at, nv->values[n], att->attlen);
				slot->tts_values[i] = nv->values[n];
			}
		}
		at = att_addlength_pointer(at, att->attlen, data + at);
	}
	return true;
}

/* The tuple with the new values, in its slot if they fit there. */
static HeapTuple
with_values(HeapTuple tuple, TupleDesc desc, TupleTableSlot *slot, NewValues *nv)
{
	if (nv->n == 0 || patch_values(tuple, desc, slot, nv))
		return tuple;
	return heap_modify_tuple_by_cols(tuple, desc, nv->n, nv->cols, nv->values, nv->nulls);
}

/* ---- moves between partitions ---- */

static Mover *
mover(void)
{
	int			depth = DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));

	if (depth >= nmovers)
	{
		int			n = depth + 4;

		movers = movers == NULL ? MemoryContextAllocZero(TopMemoryContext, sizeof(Mover) * n) :
			repalloc(movers, sizeof(Mover) * n);
		memset(movers + nmovers, 0, sizeof(Mover) * (n - nmovers));
		nmovers = n;
	}
	return &movers[depth];
}

/* Forget what this subtransaction left behind, or all of it. */
static void
forget_moves(SubTransactionId subid)
{
	for (int i = 0; i < nmovers; i++)
	{
		Mover	   *m = &movers[i];

		if (subid == InvalidSubTransactionId || m->subid == subid)
		{
			m->relid = InvalidOid;
			m->stamped = NULL;
		}
		if (m->moving && (subid == InvalidSubTransactionId || m->moving_subid == subid))
			m->moving = false;
		if (!m->moving && m->context != NULL)
			MemoryContextReset(m->context);
	}
}

/*
 * A row left its partition and never arrived: a user's trigger suppressed the
 * INSERT.  That is a deletion.
 */
void
ffs_temporal_settle_lost_move(void)
{
	Mover	   *m = mover();
	FfsTable   *table = m->source;
	HeapTuple	row = m->row;
	TupleDesc	desc = m->desc;
	TimestampTz at;

	if (!m->moving)
		return;
	m->moving = false;
	if (m->moving_subid != GetCurrentSubTransactionId())
		return;
	at = ffs_temporal_now();
	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		bool		isnull;

		/* the UPDATE has closed the version that others saw; it was the last */
		at = DatumGetTimestampTz(heap_getattr(row, table->stamp[FFS_VALID_FROM], desc, &isnull));
		ffs_temporal_amend_end(table, row, desc, "delete");
		ffs_temporal_activity(table->rootid)->ends_seen = true;
	}
	else if (table->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
		ffs_temporal_audit_row(table, row, desc, "delete", false, at);
	if (table->soft_delete)
		ffs_temporal_keep_deleted(table, row, desc, at);
}

/* Is this BEFORE INSERT the other half of the pending move? */
static bool
arrives_by_move(FfsTable *table, HeapTuple tuple, TupleDesc desc)
{
	const Mover *m = mover();

	if (!m->moving || m->moving_subid != GetCurrentSubTransactionId() ||
		m->source->rootid != table->rootid)
		return false;
	for (int i = 0; i < table->nkeys; i++)
	{
		bool		anull,
					bnull;
		Datum		a = heap_getattr(tuple, table->key[i], desc, &anull);
		Datum		b = heap_getattr(m->row, m->source->key[i], m->desc, &bnull);

		if (!ffs_temporal_same_value(desc, table->key[i], a, anull, b, bnull))
			return false;
	}
	return true;
}

static void
check_tenant(FfsTable *table, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value;

	if (table->tenant == 0)
		return;
	value = heap_getattr(tuple, table->tenant, desc, &isnull);
	ffs_tenancy_check_row(table->rootid, table->tenant_type, value, isnull);
}

/* ---- the row trigger ---- */

/*
 * The new row with its generated columns computed, which a BEFORE trigger is
 * not shown; for the audit alone.
 */
static TupleTableSlot *
with_generated(Relation rel, HeapTuple tuple)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *rri = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)), &TTSOpsHeapTuple);

	InitResultRelInfo(rri, rel, 0, NULL, 0);
	ExecStoreHeapTuple(heap_copytuple(tuple), slot, false);
	slot->tts_tableOid = RelationGetRelid(rel);
	ExecComputeStoredGenerated(rri, estate, slot, CMD_INSERT);
	ExecMaterializeSlot(slot);
	FreeExecutorState(estate);
	return slot;
}

/*
 * A row has come to its new partition, where users' triggers may have changed
 * it once more: entries for what differs from what the UPDATE's entries say.
 */
static void
audit_arrival(FfsTable *table, Relation rel, HeapTuple tuple)
{
	Mover		m = *mover();	/* a copy: what is called may move them */
	FfsTable   *source = m.source;
	TupleTableSlot *full = NULL;
	TupleTableSlot *before = MakeSingleTupleTableSlot(m.desc, &TTSOpsHeapTuple);
	TupleTableSlot *after = MakeSingleTupleTableSlot(m.desc, &TTSOpsHeapTuple);
	TupleConversionMap *map;

	if (table->generated != NULL)
	{
		full = with_generated(rel, tuple);
		tuple = ExecCopySlotHeapTuple(full);
	}
	map = convert_tuples_by_name(RelationGetDescr(rel), m.desc);
	if (map != NULL)
		tuple = execute_attr_map_tuple(tuple, map);
	ExecStoreHeapTuple(m.row, before, false);
	ExecStoreHeapTuple(tuple, after, false);
	ffs_temporal_audit_fields(source, before, after, ffs_temporal_now());
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	if (full)
		ExecDropSingleTupleTableSlot(full);
}

/*
 * Does a row that was sent to this partition by name belong there?  If not, it
 * is left as it came: PostgreSQL would take a row that a trigger changed for
 * one that the trigger moved, and say so, instead of naming the constraint.
 */
static bool
fits_partition(Relation rel, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *rri = makeNode(ResultRelInfo);
	bool		fits;

	InitResultRelInfo(rri, rel, 0, NULL, 0);
	fits = ExecPartitionCheck(rri, slot, estate, false);
	FreeExecutorState(estate);
	return fits;
}

/* The stamp of a row that comes in. */
static TimestampTz
insert_time(const FfsTable *table)
{
	TimestampTz now = ffs_temporal_now();

	if (restoring.rootid == table->rootid && now <= restoring.after)
		now = restoring.after + 1;
	return now;
}

static HeapTuple
insert_row(TriggerData *td, FfsTable *table)
{
	HeapTuple	tuple = td->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	NewValues	nv = {.n = 0};
	TimestampTz now;
	bool		restore = restoring.rootid == table->rootid;
	int32		version = 1;

	if (arrives_by_move(table, tuple, desc))
	{
		mover()->moving = false;
		check_tenant(table, tuple, desc);
		if (table->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
			audit_arrival(table, td->tg_relation, tuple);
		last_insert.rootid = table->rootid;
		last_insert.moved = true;
		return tuple;
	}
	ffs_temporal_settle_lost_move();

	if (table->relid != table->rootid && ffs_temporal_activity(table->rootid)->direct == table->relid &&
		!fits_partition(td->tg_relation, td->tg_trigslot))
		return tuple;

	if (table->tenant != 0)
	{
		Datum		value;

		if (heap_attisnull(tuple, table->tenant, desc) &&
			ffs_tenancy_default(table->tenant_type, &value))
		{
			put_attribute(&nv, table->tenant, value, false);
			tuple = with_values(tuple, desc, td->tg_trigslot, &nv);
			nv.n = 0;
		}
		check_tenant(table, tuple, desc);
	}

	now = insert_time(table);
	if (table->strategy != FFS_STRATEGY_NONE)
	{
		FfsActivity *activity = ffs_temporal_activity(table->rootid);
		TimestampTz end;

		/* a deletion in the same statement may have ended this key's life */
		if ((activity->ends_seen || table->strategy == FFS_STRATEGY_SCD2) &&
			ffs_temporal_buffer_pending(table->rootid))
		{
			ffs_temporal_buffer_flush(table->rootid);
			activity->ends_seen = true;
		}
		if (activity->ends_seen && ffs_temporal_last_end(table, tuple, desc, &end) && end >= now)
			now = end + 1;
	}
	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		if (restore)
			version = restoring.version;
		put_stamp(&nv, table, FFS_VERSION, Int32GetDatum(version));
		put_stamp(&nv, table, FFS_VALID_FROM, TimestampTzGetDatum(now));
		put_stamp(&nv, table, FFS_TRANSACTION_ID, FullTransactionIdGetDatum(ffs_temporal_xid()));
	}
	if (table->has_stamps)
	{
		Datum		actor = ffs_temporal_actor_datum();

		if (!restore)
		{
			put_stamp(&nv, table, FFS_CREATED_AT, TimestampTzGetDatum(now));
			put_stamp(&nv, table, FFS_CREATED_BY, actor);
		}
		put_stamp(&nv, table, FFS_UPDATED_AT, TimestampTzGetDatum(now));
		put_stamp(&nv, table, FFS_UPDATED_BY, actor);
	}

	last_insert.rootid = table->rootid;
	last_insert.moved = false;
	last_insert.at = now;
	ffs_temporal_activity(table->rootid)->arrivals++;
	return with_values(tuple, desc, td->tg_trigslot, &nv);
}

static bool
is_changed(FfsTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = old->tts_tupleDescriptor;

	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < table->ncompared; i++)
	{
		AttrNumber	attno = table->compared[i];

		if (!ffs_temporal_same_value(desc, attno,
									 old->tts_values[attno - 1], old->tts_isnull[attno - 1],
									 new->tts_values[attno - 1], new->tts_isnull[attno - 1]))
			return true;
	}
	return false;
}

static bool
is_key_changed(FfsTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = old->tts_tupleDescriptor;

	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attno = table->key[i];

		if (!ffs_temporal_same_value(desc, attno,
									 old->tts_values[attno - 1], old->tts_isnull[attno - 1],
									 new->tts_values[attno - 1], new->tts_isnull[attno - 1]))
			return true;
	}
	return false;
}

static bool
lacks_key(FfsTable *table, HeapTuple tuple, TupleDesc desc)
{
	for (int i = 0; i < table->nkeys; i++)
		if (heap_attisnull(tuple, table->key[i], desc))
			return true;
	return false;
}

/* Where a new life of the new row's key may begin, not before `at`. */
static TimestampTz
begin_after_last_life(FfsTable *table, HeapTuple new, TupleDesc desc, TimestampTz at)
{
	TimestampTz end;

	if (ffs_temporal_buffer_pending(table->rootid))
		ffs_temporal_buffer_flush(table->rootid);
	if (ffs_temporal_last_end(table, new, desc, &end) && end >= at)
		return end + 1;
	return at;
}

/* scd2: the stamps of the new version, and the old one to history. */
static TimestampTz
version_row(FfsTable *table, TriggerData *td, bool key_changed, NewValues *nv)
{
	TupleTableSlot *old = td->tg_trigslot;
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	bool		isnull;
	TimestampTz from = DatumGetTimestampTz(slot_getattr(old, table->stamp[FFS_VALID_FROM], &isnull));
	int32		version = DatumGetInt32(slot_getattr(old, table->stamp[FFS_VERSION], &isnull));
	bool		own = ffs_temporal_is_own_version(table, td->tg_trigtuple, desc);
	TimestampTz at;

	if (own && !key_changed)
	{
		/* others will see one new version, whatever comes in between */
		keep_stamp(nv, table, FFS_VERSION, old);
		keep_stamp(nv, table, FFS_VALID_FROM, old);
		keep_stamp(nv, table, FFS_TRANSACTION_ID, old);
		return from;
	}

	at = own ? from : ffs_temporal_follow(from);
	if (own && version > 1)
		ffs_temporal_amend_end(table, td->tg_trigtuple, desc, "rekey");
	else if (!own)
		ffs_temporal_close_version(table, td->tg_trigtuple, desc, at, key_changed ? "rekey" : "update");
	if (key_changed)
	{
		FfsActivity *activity = ffs_temporal_activity(table->rootid);

		activity->ends_seen = true;
		activity->rekeyed = true;
		ffs_temporal_link_lives(table, td->tg_trigtuple, td->tg_newtuple, desc, at);
		at = begin_after_last_life(table, td->tg_newtuple, desc, at);
		version = 0;
	}
	if (version == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("version number out of range for a row of table \"%s\"",
						RelationGetRelationName(td->tg_relation)),
				 errdetail("The row has version %d.", version),
				 errhint("Delete the row and insert it again to begin a new life.")));
	put_stamp(nv, table, FFS_VERSION, Int32GetDatum(version + 1));
	put_stamp(nv, table, FFS_VALID_FROM, TimestampTzGetDatum(at));
	put_stamp(nv, table, FFS_TRANSACTION_ID, FullTransactionIdGetDatum(ffs_temporal_xid()));
	return at;
}

/* copy_on_change: when the change counts as made. */
static TimestampTz
audit_time(FfsTable *table, TriggerData *td)
{
	TimestampTz at = ffs_temporal_now();
	bool		isnull;
	TimestampTz last;

	if (!table->has_stamps)
		return at;
	last = DatumGetTimestampTz(slot_getattr(td->tg_trigslot, table->stamp[FFS_UPDATED_AT], &isnull));
	/* what a row was given before it was managed may be infinity: nothing follows that */
	if (isnull || last < at || TIMESTAMP_NOT_FINITE(last))
		return at;
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(td->tg_trigtuple->t_data)))
		return last;
	return ffs_temporal_follow(last);
}

static HeapTuple
update_row(TriggerData *td, FfsTable *table)
{
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	TupleTableSlot *old = td->tg_trigslot;
	TupleTableSlot *new = td->tg_newslot;
	HeapTuple	result;
	HeapTuple	stored = NULL;	/* result with its generated columns */
	NewValues	nv = {.n = 0};
	bool		key_changed;

	ffs_temporal_settle_lost_move();
	if (table->tenant != 0)
	{
		check_tenant(table, td->tg_trigtuple, desc);
		check_tenant(table, td->tg_newtuple, desc);
	}

	if (!is_changed(table, old, new))
	{
		bool		same = true;
		int			i = -1;

		for (int s = 0; s < FFS_NSTAMPS; s++)
			keep_stamp(&nv, table, s, old);
		while (same && (i = bms_next_member(table->stamp_set, i)) >= 0)
			same = ffs_temporal_same_value(desc, i, old->tts_values[i - 1], old->tts_isnull[i - 1],
										   new->tts_values[i - 1], new->tts_isnull[i - 1]);
		result = same ? td->tg_newtuple : with_values(td->tg_newtuple, desc, new, &nv);
	}
	else
	{
		TimestampTz at;

		key_changed = is_key_changed(table, old, new);
		/* the NOT NULL constraint has yet to see it: nothing is kept of what cannot be */
		if (key_changed && lacks_key(table, td->tg_newtuple, desc))
			return td->tg_newtuple;
		if (table->strategy == FFS_STRATEGY_SCD2)
			at = version_row(table, td, key_changed, &nv);
		else if (table->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
		{
			at = audit_time(table, td);
			if (key_changed)
			{
				FfsActivity *activity = ffs_temporal_activity(table->rootid);

				activity->rekeyed = true;
				if (at > ffs_temporal_now())
					activity->ends_seen = true;
				at = begin_after_last_life(table, td->tg_newtuple, desc, at);
			}
		}
		else
			at = ffs_temporal_now();

		if (table->has_stamps)
		{
			keep_stamp(&nv, table, FFS_CREATED_AT, old);
			keep_stamp(&nv, table, FFS_CREATED_BY, old);
			put_stamp(&nv, table, FFS_UPDATED_AT, TimestampTzGetDatum(at));
			put_stamp(&nv, table, FFS_UPDATED_BY, ffs_temporal_actor_datum());
		}
		result = with_values(td->tg_newtuple, desc, new, &nv);

		if (table->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
		{
			TupleTableSlot *full = NULL;

			stored = result;
			if (table->generated != NULL)
			{
				full = with_generated(td->tg_relation, result);
				stored = ExecCopySlotHeapTuple(full);
			}
			if (key_changed)
			{
				ffs_temporal_link_lives(table, td->tg_trigtuple, result, desc, at);
				ffs_temporal_audit_row(table, td->tg_trigtuple, desc, "rekey", false, at);
				ffs_temporal_audit_row(table, stored, desc, "rekey", true, at);
			}
			else
				ffs_temporal_audit_fields(table, old, full ? full : new, at);
			if (full)
				ExecDropSingleTupleTableSlot(full);
		}
	}

	if (table->relid != table->rootid)
	{
		Mover	   *m = mover();

		/* in case the row goes on to another partition: BEFORE DELETE follows then */
		m->relid = table->relid;
		m->tid = td->tg_trigtuple->t_self;
		m->subid = GetCurrentSubTransactionId();
		m->stamped = stored ? stored : result;
	}
	return result;
}

static bool
delete_row(TriggerData *td, FfsTable *table)
{
	TupleDesc	desc = RelationGetDescr(td->tg_relation);
	Mover	   *m = mover();

	if (m->relid == table->relid && m->stamped != NULL &&
		m->subid == GetCurrentSubTransactionId() &&
		ItemPointerEquals(&m->tid, &td->tg_trigtuple->t_self))
	{
		MemoryContext context;

		if (m->context == NULL)
			m->context = AllocSetContextCreate(TopMemoryContext, "ffstorage move", ALLOCSET_SMALL_SIZES);
		MemoryContextReset(m->context);
		context = MemoryContextSwitchTo(m->context);
		m->moving = true;
		m->moving_subid = GetCurrentSubTransactionId();
		m->source = table;
		m->desc = CreateTupleDescCopy(desc);
		m->row = heap_copytuple(m->stamped);
		MemoryContextSwitchTo(context);
		m->relid = InvalidOid;
		m->stamped = NULL;
		return false;
	}

	ffs_temporal_settle_lost_move();
	check_tenant(table, td->tg_trigtuple, desc);
	ffs_temporal_end_row(table, td->tg_trigtuple, desc, "delete");
	if (table->strategy == FFS_STRATEGY_SCD2)
		ffs_temporal_activity(table->rootid)->ends_seen = true;
	return true;
}

/* What the trigger lets pass is about to be written: rows cached under these keys are to go. */
static inline void
tell_cache(TriggerData *td, FfsTable *table, HeapTuple result)
{
	if (ffs_registry_row_cache != NULL)
		ffs_registry_row_cache->row_written(table, RelationGetDescr(td->tg_relation),
											TRIGGER_FIRED_BY_INSERT(td->tg_event) ? NULL : td->tg_trigtuple,
											TRIGGER_FIRED_BY_DELETE(td->tg_event) ? NULL : result);
}

Datum
row_change(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "row_change");
	FfsTable   *table;
	HeapTuple	result;

	if (!TRIGGER_FIRED_BEFORE(td->tg_event) || !TRIGGER_FIRED_FOR_ROW(td->tg_event))
		ffs_temporal_wrong_event("row_change", "BEFORE ROW");
	table = ffs_registry_get(RelationGetRelid(td->tg_relation), true);
	ffs_temporal_note_write();

	if (TRIGGER_FIRED_BY_INSERT(td->tg_event))
		result = insert_row(td, table);
	else if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
	{
		result = update_row(td, table);
		ffs_temporal_activity(table->rootid)->rows[FFS_OP_UPDATE]++;
	}
	else
	{
		if (delete_row(td, table))
			ffs_temporal_activity(table->rootid)->rows[FFS_OP_DELETE]++;
		result = td->tg_trigtuple;
	}
	tell_cache(td, table, result);
	return PointerGetDatum(result);
}

/*
 * The same row where the session's role is "replica" (logical replication
 * applies it, pg_restore loads it): what stands beside the table comes from
 * the origin too, but the cache of this server must know.
 */
Datum
row_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *td = ffs_temporal_trigger_data(fcinfo, "row_replicated");
	FfsTable   *table = ffs_registry_find(RelationGetRelid(td->tg_relation));
	HeapTuple	result = TRIGGER_FIRED_BY_UPDATE(td->tg_event) ? td->tg_newtuple : td->tg_trigtuple;

	if (!TRIGGER_FIRED_BEFORE(td->tg_event) || !TRIGGER_FIRED_FOR_ROW(td->tg_event))
		ffs_temporal_wrong_event("row_replicated", "BEFORE ROW");
	if (table != NULL)
		tell_cache(td, table, result);
	return PointerGetDatum(result);
}

static void
count_new_row(void)
{
	/* without a row trigger, the row is COPY's */
	Oid			rootid = OidIsValid(last_insert.rootid) ? last_insert.rootid : ffs_temporal_copying();

	if (OidIsValid(rootid) && !last_insert.moved)
		ffs_temporal_activity(rootid)->rows[FFS_OP_INSERT]++;
	last_insert.rootid = InvalidOid;
	last_insert.moved = false;
}

/*
 * Called in a WHEN clause when a row has gone in: counts it.  False: there is
 * nothing more to do for the row.
 */
Datum
is_new_row(PG_FUNCTION_ARGS)
{
	count_new_row();
	PG_RETURN_BOOL(false);
}

/*
 * Is the argument the NEW of a trigger's WHEN clause?  Only there a whole-row
 * variable stands for the outer relation: elsewhere the planner has replaced
 * it by a column of a subplan.  Anyone may call the function, as WHEN clauses
 * run with the rights of whoever writes, so this keeps entries from being forged.
 */
static bool
is_call_of_when_clause(FunctionCallInfo fcinfo)
{
	Node	   *expr = fcinfo->flinfo->fn_expr;
	Node	   *arg;

	if (expr == NULL || !IsA(expr, FuncExpr) || list_length(((FuncExpr *) expr)->args) != 1)
		return false;
	arg = linitial(((FuncExpr *) expr)->args);
	while (arg != NULL && (IsA(arg, ConvertRowtypeExpr) || IsA(arg, RelabelType)))
		arg = IsA(arg, RelabelType) ? (Node *) ((RelabelType *) arg)->arg :
			(Node *) ((ConvertRowtypeExpr *) arg)->arg;
	return arg != NULL && IsA(arg, Var) && ((Var *) arg)->varno == OUTER_VAR &&
		((Var *) arg)->varattno == InvalidAttrNumber;
}

/*
 * The same with the row itself (of the root's row type, for a partition too),
 * for the audit.  The entry must be numbered now: a user's AFTER trigger may
 * go on to update the row before any AFTER trigger of ours could fire.
 */
Datum
is_new_row_audited(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row;
	TupleDesc	desc;
	Oid			relid;
	bool		moved = last_insert.moved;
	bool		stamped = OidIsValid(last_insert.rootid);
	TimestampTz at = last_insert.at;

	if (PG_ARGISNULL(0) || !is_call_of_when_clause(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function \"is_new_row\" was not called by a trigger's WHEN clause"),
				 errdetail("It writes audit entries, and nothing else may."),
				 errhint("Write to the managed table instead.")));
	row = PG_GETARG_HEAPTUPLEHEADER(0);
	relid = get_typ_typrelid(HeapTupleHeaderGetTypeId(row));
	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	count_new_row();
	if (!moved)
	{
		FfsTable   *table = ffs_registry_get(relid, true);
		FfsActivity *activity = ffs_temporal_activity(table->rootid);
		HeapTupleData tuple;
		const char *operation = ffs_temporal_restoring(table->rootid);

		if (table->strategy != FFS_STRATEGY_COPY_ON_CHANGE)
			ffs_temporal_wrong_event("is_new_row", "on a table with strategy copy_on_change");
		/* a trigger of the user's with this WHEN clause makes no entry of what did not come in */
		if (activity->arrivals > 0)
			activity->arrivals--;
		else if (ffs_temporal_copying() != table->rootid)
		{
			ReleaseTupleDesc(desc);
			PG_RETURN_BOOL(false);
		}
		tuple.t_len = HeapTupleHeaderGetDatumLength(row);
		ItemPointerSetInvalid(&tuple.t_self);
		tuple.t_tableOid = relid;
		tuple.t_data = row;
		ffs_temporal_audit_row(table, &tuple, desc, operation ? operation : "insert", true,
							   stamped ? at : insert_time(table));
	}
	ReleaseTupleDesc(desc);
	PG_RETURN_BOOL(false);
}

Datum
row_inserted(PG_FUNCTION_ARGS)
{
	(void) ffs_temporal_trigger_data(fcinfo, "row_inserted");
	ffs_temporal_wrong_event("row_inserted", "never, behind its WHEN clause");
	PG_RETURN_NULL();
}

/* ---- restore ---- */

void
ffs_temporal_begin_restore(Oid rootid, int32 version, TimestampTz after, const char *operation)
{
	restoring.rootid = rootid;
	restoring.subid = GetCurrentSubTransactionId();
	restoring.version = version;
	restoring.after = after;
	restoring.operation = operation;
}

void
ffs_temporal_end_restore(void)
{
	restoring.rootid = InvalidOid;
}

const char *
ffs_temporal_restoring(Oid rootid)
{
	return restoring.rootid == rootid ? restoring.operation : NULL;
}

/* ---- ends of transactions ---- */

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	forget_moves(InvalidSubTransactionId);
	restoring.rootid = InvalidOid;
	last_insert.rootid = InvalidOid;
}

/* What goes on outside of the subtransaction goes on after it. */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	forget_moves(subid);
	if (restoring.subid == subid)
		restoring.rootid = InvalidOid;
	last_insert.rootid = InvalidOid;
}

void
ffs_temporal_triggers_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
