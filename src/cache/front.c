/*-------------------------------------------------------------------------
 *
 * front.c
 *		Copies of hot rows in the backend's own memory.
 *
 * A row is hot when it is read twice while few others are: of the last keys
 * that were read from shared memory a tag each is remembered, and a key whose
 * tag is there is copied.  Of two keys that would have the same place among
 * the tags the older one stays every other time, so that both come in.
 *
 * What makes a copy true is said in store.c, and shown in cache_near.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cache/front.h"

#define TAGS 8192

Front	   *ffs_cache_front = NULL;

static uint16 tags[TAGS];
static uint32 turn = 0;

/* Has it been read lately? */
static bool
is_hot(uint64 hash)
{
	uint16	   *tag = &tags[(hash >> 16) % TAGS];
	uint16		own = (uint16) (hash >> 48) | 1;

	if (*tag == own)
		return true;
	if (*tag == 0 || (++turn & 1) != 0)
		*tag = own;
	return false;
}

void
ffs_cache_front_keep(const StoreKey *key, uint64 changes, const Entry *head, const void *row)
{
	uint32		set = (key->hash >> 32) % FRONT_SETS;
	uint64	   *hashes;
	FrontRow   *copy;
	int			way = 0;

	if (key->hash == 0 || key->length + head->row_length > FRONT_ROOM || !is_hot(key->hash))
		return;
	if (ffs_cache_front == NULL)
		ffs_cache_front = MemoryContextAllocExtended(TopMemoryContext, sizeof(Front), MCXT_ALLOC_ZERO | MCXT_ALLOC_NO_OOM);
	if (ffs_cache_front == NULL)
		return;
	hashes = ffs_cache_front->hashes[set];
	while (way < FRONT_WAYS && hashes[way] != key->hash && hashes[way] != 0)
		way++;
	if (way == FRONT_WAYS)
		way = turn++ % FRONT_WAYS;
	copy = (FrontRow *) ffs_cache_front->rows[set][way];
	hashes[way] = key->hash;
	copy->changes = changes;
	memcpy(&copy->head, head, sizeof(Entry));
	memcpy(copy->bytes, key->bytes, key->length);
	memcpy(copy->bytes + key->length, row, head->row_length);
}
