/*-------------------------------------------------------------------------
 *
 * writer.h
 *		Many rows into one heap, without the executor.
 *
 * Rows go into the heap a page at a time as they come; what their indexes need
 * is kept and goes in at the end, sorted, so that keys in random order do not
 * cost a walk through the whole index each.  Until then the rows cannot be
 * found through an index, and the heap stays locked (ROW EXCLUSIVE, to the
 * transaction's end).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_WRITER_H
#define FFS_WRITER_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"

typedef struct FfsWriter FfsWriter;

extern void ffs_base_writer_init(void);

/*
 * A writer in a memory context of its own below `parent`; deleting that
 * context forgets what is not written yet.  `desc` is the relation's; one that
 * is not counted must live as long as the writer.
 */
extern FfsWriter *ffs_base_writer_open(Oid relid, TupleDesc desc, MemoryContext parent);

/* Where to form the next row, and with which length: its data must be put there before the next call. */
extern HeapTuple ffs_base_writer_form(FfsWriter *writer, const Datum *values, const bool *nulls);
/* Room for a tuple of that many bytes, header included, zeroed, for the caller to fill. */
extern HeapTuple ffs_base_writer_room(FfsWriter *writer, Size length);

/* Take the row that form or room gave last. */
extern void ffs_base_writer_put(FfsWriter *writer, HeapTuple tuple);

/* Write all that is left, and free the writer. */
extern void ffs_base_writer_finish(FfsWriter *writer);

/* Free the writer, and forget what it has not written. */
extern void ffs_base_writer_drop(FfsWriter *writer);

#endif							/* FFS_WRITER_H */
