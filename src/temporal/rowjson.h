/*-------------------------------------------------------------------------
 *
 * rowjson.h
 *		Values and whole rows as jsonb, as to_jsonb() makes them, but for
 *		times with a zone, which are always UTC: what is kept does not hang on
 *		the writer's time zone.
 *
 * A layout is worked out once for a type or a row type, in the memory context
 * that is current then; the jsonb itself is put into a buffer of the caller's,
 * emptied before, and is good until that is used again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TEMPORAL_ROWJSON_H
#define FFS_TEMPORAL_ROWJSON_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"

typedef struct FfsValueJson FfsValueJson;
typedef struct FfsRowJson FfsRowJson;

/* One value; a null is a jsonb null. */
extern FfsValueJson *ffs_temporal_value_layout(Oid type);
extern Datum ffs_temporal_value_jsonb(FfsValueJson *layout, Datum value, bool isnull, StringInfo buf);

/* A row as an object by column names, without the attributes in `leave_out`. */
extern FfsRowJson *ffs_temporal_row_layout(TupleDesc desc, const Bitmapset *leave_out);
extern Datum ffs_temporal_row_jsonb(FfsRowJson *layout, const Datum *values, const bool *nulls, StringInfo buf);

#endif							/* FFS_TEMPORAL_ROWJSON_H */
