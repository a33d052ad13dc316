/*-------------------------------------------------------------------------
 *
 * front.h
 *		Copies of hot rows in the backend's own memory.
 *
 * They are near, where shared memory of some size is not, and other backends
 * need not be told of their use.  What makes them true is said in store.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_FRONT_H
#define FFS_CACHE_FRONT_H

#include "postgres.h"

#include "cache/entry.h"
#include "cache/store.h"

#define FRONT_SIZE		512		/* of a copy, with all that belongs to it */
#define FRONT_WAYS		4		/* where a key may be */
#define FRONT_SETS		512

typedef struct FrontRow
{
	uint64		changes;		/* of the partition when it was copied */
	Entry		head;			/* the entry that it is a copy of */
	char		bytes[FLEXIBLE_ARRAY_MEMBER];	/* key and row */
} FrontRow;

#define FRONT_ROOM		(FRONT_SIZE - offsetof(FrontRow, bytes))

typedef struct Front
{
	uint64		hashes[FRONT_SETS][FRONT_WAYS]; /* 0: none */
	char		rows[FRONT_SETS][FRONT_WAYS][FRONT_SIZE];
} Front;

/* NULL until there is a hot row. */
extern Front *ffs_cache_front;

/* The key's copy, true or not; NULL if there is none. */
static inline FrontRow *
ffs_cache_front_find(const StoreKey *key)
{
	uint32		set = (key->hash >> 32) % FRONT_SETS;

	if (ffs_cache_front == NULL)
		return NULL;
	for (int i = 0; i < FRONT_WAYS; i++)
	{
		FrontRow   *row = (FrontRow *) ffs_cache_front->rows[set][i];

		if (ffs_cache_front->hashes[set][i] == key->hash && row->head.relid == key->relid &&
			row->head.key_length == key->length && memcmp(row->bytes, key->bytes, key->length) == 0)
			return row;
	}
	return NULL;
}

/* A row has been read from shared memory: keep it if it is hot. */
extern void ffs_cache_front_keep(const StoreKey *key, uint64 changes, const Entry *head, const void *row);

#endif							/* FFS_CACHE_FRONT_H */
