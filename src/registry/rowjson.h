/*-------------------------------------------------------------------------
 *
 * rowjson.h
 *		Values and whole rows as jsonb, as to_jsonb() makes them.
 *
 * A layout is worked out once for a type or a row type, in the memory context
 * that is current then; the jsonb itself is put into a buffer of the caller's,
 * emptied before, and is good until that is used again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_ROWJSON_H
#define FFS_REGISTRY_ROWJSON_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"

typedef struct FfsValueJson FfsValueJson;
typedef struct FfsRowJson FfsRowJson;

typedef enum FfsJsonUse
{
	JSON_KEPT,					/* for good: in UTC, and whatever the session's settings are */
	JSON_SHOWN					/* to the session, by its settings: exactly what to_jsonb() says */
} FfsJsonUse;

/* One value; a null is a jsonb null. */
extern FfsValueJson *ffs_registry_value_layout(Oid type, FfsJsonUse use);
extern Datum ffs_registry_value_jsonb(FfsValueJson *layout, Datum value, bool isnull, StringInfo buf);

/* A row as an object by column names, without the attributes in `leave_out`. */
extern FfsRowJson *ffs_registry_row_layout(TupleDesc desc, const Bitmapset *leave_out, FfsJsonUse use);
extern Datum ffs_registry_row_jsonb(FfsRowJson *layout, const Datum *values, const bool *nulls, StringInfo buf);

#endif							/* FFS_REGISTRY_ROWJSON_H */
