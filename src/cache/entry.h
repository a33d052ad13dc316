/*-------------------------------------------------------------------------
 *
 * entry.h
 *		What an entry of the store begins with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_ENTRY_H
#define FFS_CACHE_ENTRY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"

/* The first block of an entry begins with this, the others with `more`. */
typedef struct Entry
{
	uint32		more;			/* the next block of this entry */
	uint32		next;			/* the next entry of the bucket */
	uint64		hash;
	uint64		generation;		/* 0: its key was fenced */
	uint64		insert_generation;
	TimestampTz filled;
	TimestampTz expires;		/* 0: as the setting says */
	Oid			dboid;
	Oid			relid;
	TransactionId xmin;			/* invalid: negative */
	uint16		key_length;
	uint32		row_length;
	pg_atomic_uint32 pins;
} Entry;

#endif							/* FFS_CACHE_ENTRY_H */
