/*-------------------------------------------------------------------------
 *
 * pieces.c
 *		Bytes by key in the store, of no relation, whose truth is up to the
 *		caller: results are put in by such pieces, of which each may go by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/debug.h"
#include "cache/blocks.h"

/* What is longer than this is put in by pieces. */
#define PIECE_SIZE			16384

bool
ffs_cache_put_piece(const StoreKey *key, uint64 generation, TimestampTz expires, const void *bytes, Size length)
{
	uint32		p = partition_of(key->hash);
	Entry	   *entry;

	begin_changes(p);
	entry = ffs_cache_place_entry(p, key, generation, length, STORE_EVICT);
	if (entry != NULL)
	{
		entry->expires = expires;
		ffs_cache_copy_in(p, entry, key->length, length, bytes);
	}
	end_changes(p);
	return entry != NULL;
}

bool
ffs_cache_get_piece(const StoreKey *key, void *bytes, Size *length)
{
	uint32		p = partition_of(key->hash);
	LWLock	   *lock = &ffs_cache_blocks.shared->partitions[p].partition.lock;
	uint32		at;
	Entry	   *entry;
	Size		found;
	bool		pinned;

	LWLockAcquire(lock, LW_SHARED);
	at = ffs_cache_find_entry(p, key);
	entry = at != 0 ? (Entry *) block_at(p, at) : NULL;
	if (entry == NULL || entry->generation != pg_atomic_read_u64(&key->fence->generation) ||
		is_expired(entry) || entry->row_length > *length)
	{
		LWLockRelease(lock);
		return false;
	}
	note_reference(key->hash);
	found = entry->row_length;
	pinned = found > SHORT_ROW;
	if (pinned)
	{
		pg_atomic_fetch_add_u32(&entry->pins, 1);
		LWLockRelease(lock);
		FFS_DEBUG_POINT("cache-copy-piece");
	}
	ffs_cache_copy_out(p, entry, entry->key_length, found, bytes);
	if (pinned)
		pg_atomic_fetch_sub_u32(&entry->pins, 1);
	else
		LWLockRelease(lock);
	*length = found;
	return true;
}

void
ffs_cache_drop_piece(const StoreKey *key)
{
	uint32		p = partition_of(key->hash);
	uint32		at;

	begin_changes(p);
	at = ffs_cache_find_entry(p, key);
	if (at != 0)
		ffs_cache_remove_entry_at(p, at);
	end_changes(p);
}

Size
ffs_cache_piece_size(void)
{
	return Min((Size) PIECE_SIZE, (Size) (ffs_cache_blocks.nblocks / 8) * MORE_ROOM);
}

Size
ffs_cache_capacity(void)
{
	return (Size) ffs_cache_blocks.npartitions * ffs_cache_blocks.nblocks * MORE_ROOM;
}

uint64
ffs_cache_next_id(void)
{
	return pg_atomic_fetch_add_u64(&ffs_cache_blocks.shared->next_id, 1);
}
