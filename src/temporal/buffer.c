/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		Rows on their way to side tables.
 *
 * A row trigger hands over one row at a time; written together they cost one
 * WAL record a page, and their index entries go in sorted (base/writer.h).
 * Each buffer belongs to one target and one subtransaction, so that what a
 * subtransaction did is never written under another one's xid: statements flush
 * what they buffered at their end, in the subtransaction that they ran in.
 * Buffers of a subtransaction that aborts are dropped with it; those of one
 * that commits pass to its parent.  Whatever is left at commit is written then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

#include "base/base.h"
#include "base/writer.h"
#include "temporal/temporal.h"
#include "temporal/write.h"

typedef struct RowBuffer
{
	dlist_node	node;
	Oid			rootid;
	Oid			target;
	SubTransactionId subid;
	FfsWriter  *writer;
} RowBuffer;

static dlist_head buffers = DLIST_STATIC_INIT(buffers);

/* Out of the list first: what fails in the middle must not be tried again. */
static void
write_buffer(RowBuffer *buffer)
{
	FfsWriter  *writer = buffer->writer;

	dlist_delete(&buffer->node);
	pfree(buffer);
	ffs_base_writer_finish(writer);
}

static void
drop_buffer(RowBuffer *buffer)
{
	FfsWriter  *writer = buffer->writer;

	dlist_delete(&buffer->node);
	pfree(buffer);
	ffs_base_writer_drop(writer);
}

FfsWriter *
ffs_temporal_buffer(Oid rootid, Oid target, TupleDesc desc)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_iter	iter;
	RowBuffer  *buffer;

	dlist_foreach(iter, &buffers)
	{
		buffer = dlist_container(RowBuffer, node, iter.cur);
		if (buffer->target == target && buffer->subid == subid && buffer->rootid == rootid)
			return buffer->writer;
	}
	buffer = MemoryContextAlloc(TopTransactionContext, sizeof(RowBuffer));
	buffer->rootid = rootid;
	buffer->target = target;
	buffer->subid = subid;
	buffer->writer = ffs_base_writer_open(target, desc, TopTransactionContext);
	dlist_push_tail(&buffers, &buffer->node);
	return buffer->writer;
}

void
ffs_temporal_buffer_row(Oid rootid, Oid target, TupleDesc desc, const Datum *values, const bool *nulls)
{
	FfsWriter  *writer = ffs_temporal_buffer(rootid, target, desc);

	ffs_base_writer_put(writer, ffs_base_writer_form(writer, values, nulls));
}

static RowBuffer *
find_buffer(Oid rootid)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	dlist_iter	iter;

	dlist_foreach(iter, &buffers)
	{
		RowBuffer  *buffer = dlist_container(RowBuffer, node, iter.cur);

		if (buffer->subid == subid && (rootid == InvalidOid || buffer->rootid == rootid))
			return buffer;
	}
	return NULL;
}

void
ffs_temporal_buffer_flush(Oid rootid)
{
	RowBuffer  *buffer;

	while ((buffer = find_buffer(rootid)) != NULL)
		write_buffer(buffer);
}

bool
ffs_temporal_buffer_pending(Oid rootid)
{
	return find_buffer(rootid) != NULL;
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
		RowBuffer  *buffer = dlist_container(RowBuffer, node, iter.cur);

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
