/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		Rows on their way to side tables.
 *
 * A row trigger hands over one row at a time; written together they cost one
 * WAL record a page and one opening of the indexes a batch.  Each buffer
 * belongs to one target and one subtransaction, so that what a subtransaction
 * did is never written under another one's xid: statements flush what they
 * buffered at their end, in the subtransaction that they ran in.  Buffers of a
 * subtransaction that aborts are dropped with it; those of one that commits
 * pass to its parent.  Whatever is left at commit is written then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

#include "base/base.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

/* Bytes at which a buffer is written before its statement ends: work_mem, but never so much that the array of rows outgrows an allocation. */
#define MAX_BYTES	Min((Size) work_mem * 1024, (Size) 1024 * 1024 * 1024)

/* How many rows one multi-insert takes. */
#define CHUNK_ROWS	1000

/* From how many rows on it pays to sort. */
#define SORT_ROWS	64

typedef struct RowBuffer
{
	dlist_node	node;
	Oid			rootid;
	Oid			target;
	SubTransactionId subid;
	AttrNumber	sort_attno;		/* in whose order they are written; 0 is as they came */
	MemoryContext context;		/* holds the buffer and its rows */
	int			nrows;
	int			allocated;
	Size		bytes;
	HeapTuple  *rows;
} RowBuffer;

static dlist_head buffers = DLIST_STATIC_INIT(buffers);

typedef struct SortItem
{
	Datum		value;
	HeapTuple	row;
} SortItem;

static int
compare_items(const void *a, const void *b, void *arg)
{
	return ApplySortComparator(((const SortItem *) a)->value, false,
							   ((const SortItem *) b)->value, false,
							   (SortSupport) arg);
}

/*
 * Put the rows in the order of the index on the target's keys, by its first
 * column: keys that come in random order cost a walk through the whole index
 * each, which is most of what a history row costs.
 */
static void
sort_rows(RowBuffer *buffer, TupleDesc desc)
{
	Form_pg_attribute att;
	TypeCacheEntry *type;
	SortSupportData ssup;
	SortItem   *items;

	if (buffer->nrows < SORT_ROWS || buffer->sort_attno == 0)
		return;
	att = TupleDescAttr(desc, buffer->sort_attno - 1);
	type = lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR);
	if (!OidIsValid(type->lt_opr))
		return;
	memset(&ssup, 0, sizeof(ssup));
	ssup.ssup_cxt = buffer->context;
	ssup.ssup_collation = att->attcollation;
	ssup.ssup_attno = 1;
	PrepareSortSupportFromOrderingOp(type->lt_opr, &ssup);

	items = palloc(sizeof(SortItem) * buffer->nrows);
	for (int i = 0; i < buffer->nrows; i++)
	{
		bool		isnull;

		items[i].row = buffer->rows[i];
		items[i].value = heap_getattr(buffer->rows[i], buffer->sort_attno, desc, &isnull);
		if (isnull)
			elog(ERROR, "null in a key");
		if (att->attlen == -1)
			items[i].value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(items[i].value));
	}
	qsort_arg(items, buffer->nrows, sizeof(SortItem), compare_items, &ssup);
	for (int i = 0; i < buffer->nrows; i++)
		buffer->rows[i] = items[i].row;
	pfree(items);
}

static void
write_buffer(RowBuffer *buffer)
{
	Relation	rel;
	TupleDesc	desc;
	TupleTableSlot **slots;
	int			nslots;
	MemoryContext old;
	bool		pushed = false;

	if (buffer->nrows == 0)
		return;
	old = MemoryContextSwitchTo(buffer->context);
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	rel = table_open(buffer->target, RowExclusiveLock);
	/* a copy of the descriptor: slots would pin the relation's, one by one */
	desc = CreateTupleDescCopy(RelationGetDescr(rel));
	sort_rows(buffer, desc);
	nslots = Min(buffer->nrows, CHUNK_ROWS);
	slots = palloc(sizeof(TupleTableSlot *) * nslots);
	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	for (int done = 0; done < buffer->nrows; done += nslots)
	{
		int			n = Min(nslots, buffer->nrows - done);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
			ExecStoreHeapTuple(buffer->rows[done + i], slots[i], false);
		ffs_base_insert_slots(rel, slots, n);
	}
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	table_close(rel, RowExclusiveLock);
	if (pushed)
		PopActiveSnapshot();
	buffer->nrows = 0;
	MemoryContextSwitchTo(old);
}

static void
drop_buffer(RowBuffer *buffer)
{
	dlist_delete(&buffer->node);
	MemoryContextDelete(buffer->context);
}

static RowBuffer *
find_buffer(Oid rootid, Oid target)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_iter	iter;
	MemoryContext context;
	RowBuffer	   *buffer;

	dlist_foreach(iter, &buffers)
	{
		buffer = dlist_container(RowBuffer, node, iter.cur);
		if (buffer->target == target && buffer->subid == subid && buffer->rootid == rootid)
			return buffer;
	}
	context = AllocSetContextCreate(TopTransactionContext, "ffstorage buffer", ALLOCSET_DEFAULT_SIZES);
	buffer = MemoryContextAllocZero(context, sizeof(RowBuffer));
	buffer->rootid = rootid;
	buffer->target = target;
	buffer->subid = subid;
	buffer->context = context;
	buffer->allocated = 8;
	buffer->rows = MemoryContextAlloc(context, sizeof(HeapTuple) * buffer->allocated);
	dlist_push_tail(&buffers, &buffer->node);
	return buffer;
}

void
ffs_temporal_buffer_row(Oid rootid, Oid target, TupleDesc desc,
						const Datum *values, const bool *nulls, AttrNumber sort_attno)
{
	RowBuffer	   *buffer = find_buffer(rootid, target);
	MemoryContext old;
	HeapTuple	tuple;

	if (buffer->bytes >= MAX_BYTES)
	{
		write_buffer(buffer);
		drop_buffer(buffer);
		buffer = find_buffer(rootid, target);
	}
	buffer->sort_attno = sort_attno;
	old = MemoryContextSwitchTo(buffer->context);
	if (buffer->nrows == buffer->allocated)
	{
		buffer->allocated *= 2;
		buffer->rows = repalloc(buffer->rows, sizeof(HeapTuple) * buffer->allocated);
	}
	tuple = heap_form_tuple(desc, unconstify(Datum *, values), unconstify(bool *, nulls));
	tuple->t_tableOid = target;
	buffer->rows[buffer->nrows++] = tuple;
	buffer->bytes += tuple->t_len;
	MemoryContextSwitchTo(old);
}

void
ffs_temporal_buffer_flush(Oid rootid)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &buffers)
	{
		RowBuffer	   *buffer = dlist_container(RowBuffer, node, iter.cur);

		if (buffer->subid == subid && (rootid == InvalidOid || buffer->rootid == rootid))
		{
			write_buffer(buffer);
			drop_buffer(buffer);
		}
	}
}

bool
ffs_temporal_buffer_pending(Oid rootid)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_iter	iter;

	dlist_foreach(iter, &buffers)
	{
		RowBuffer	   *buffer = dlist_container(RowBuffer, node, iter.cur);

		if (buffer->rootid == rootid && buffer->subid == subid)
			return true;
	}
	return false;
}

void
ffs_temporal_flush(void)
{
	ffs_temporal_buffer_flush(InvalidOid);
	CommandCounterIncrement();
}

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* only what a statement without its AFTER trigger left behind */
			ffs_temporal_buffer_flush(InvalidOid);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* the contexts go with TopTransactionContext */
			dlist_init(&buffers);
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg pg_attribute_unused())
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach_modify(iter, &buffers)
	{
		RowBuffer	   *buffer = dlist_container(RowBuffer, node, iter.cur);

		if (buffer->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			drop_buffer(buffer);
		else
			buffer->subid = parent;
	}
}

void
ffs_temporal_buffer_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
