/*-------------------------------------------------------------------------
 *
 * rowjson.h
 *		Values and whole rows as jsonb, as to_jsonb() makes them, but for
 *		times with a zone, which are always UTC: what is kept does not hang on
 *		the writer's time zone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TEMPORAL_ROWJSON_H
#define FFS_TEMPORAL_ROWJSON_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"

/* One value; a null is a jsonb null. */
extern Datum ffs_temporal_value_jsonb(Oid type, Datum value, bool isnull);

/* A row as an object by column names, without the attributes in `leave_out`. */
extern Datum ffs_temporal_row_jsonb(HeapTuple tuple, TupleDesc desc, const Bitmapset *leave_out);

#endif							/* FFS_TEMPORAL_ROWJSON_H */
