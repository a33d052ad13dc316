/*-------------------------------------------------------------------------
 *
 * blocks.h
 *		What the store is made of, for the files that are the store: buckets,
 *		and entries, each a chain of blocks, in partitions.
 *
 * Who may do what with which lock, and what may be looked at without, is in
 * store.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_BLOCKS_H
#define FFS_CACHE_BLOCKS_H

#include "postgres.h"

#include "access/xact.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "cache/entry.h"
#include "cache/fences.h"
#include "cache/store.h"

#define MAX_PARTITIONS		256
#define BLOCK_SIZE			256
/* Longer rows are copied without the lock. */
#define SHORT_ROW			4096

typedef struct Bucket
{
	XidSet		writers;
	uint32		first;			/* block number + 1; 0: no entry */
	uint32		referenced;		/* bits by hash: entries used since the clock's hand passed */
} Bucket;

#define FIRST_ROOM	(BLOCK_SIZE - sizeof(Entry))
#define MORE_ROOM	(BLOCK_SIZE - sizeof(uint32))

/* Of each block. */
#define BLOCK_FREE		0
#define BLOCK_MORE		1
#define BLOCK_ENTRY		2
#define BLOCK_DEAD		3		/* an entry unlinked while it was pinned */

typedef struct Partition
{
	LWLock		lock;
	pg_atomic_uint64 changes;	/* odd while who has the lock may change things */
	uint32		first_free;
	uint32		nfree;
	uint32		hand;
	uint32		nentries;
} Partition;

typedef union PaddedPartition
{
	Partition	partition;
	char		pad[PG_CACHE_LINE_SIZE];
} PaddedPartition;

typedef struct Shared
{
	PaddedPartition partitions[MAX_PARTITIONS];	/* first, so that each has its cache line */
	int			tranche;
	pg_atomic_uint64 counters[N_COUNTERS];
	pg_atomic_uint64 next_id;	/* of what is put in by pieces */
	Fences		fences;
} Shared;

/* Where all of it is, and what follows from the setting; the same in every process. */
typedef struct Blocks
{
	uint32		npartitions;
	uint32		nbuckets;		/* of a partition */
	uint32		nblocks;
	Shared	   *shared;			/* NULL: there is no store */
	Bucket	   *buckets;
	char	   *blocks;
	uint8	   *states;
} Blocks;

extern FFS_HIDDEN Blocks ffs_cache_blocks;

static inline char *
block_at(uint32 partition, uint32 number)
{
	return ffs_cache_blocks.blocks + ((Size) partition * ffs_cache_blocks.nblocks + number - 1) * BLOCK_SIZE;
}

static inline uint8 *
state_of(uint32 partition, uint32 number)
{
	return ffs_cache_blocks.states + (Size) partition * ffs_cache_blocks.nblocks + number - 1;
}

static inline uint32
partition_of(uint64 hash)
{
	return hash & (ffs_cache_blocks.npartitions - 1);
}

static inline Bucket *
bucket_of(uint64 hash)
{
	return &ffs_cache_blocks.buckets[(Size) partition_of(hash) * ffs_cache_blocks.nbuckets + ((hash >> 16) & (ffs_cache_blocks.nbuckets - 1))];
}

/* ---- locks ---- */

/*
 * To change a partition.  An error may leave `changes` odd, which only means
 * that readers take the lock until the next one has changed something.
 */
static inline void
begin_changes(uint32 p)
{
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	pg_atomic_write_u64(&part->changes, (pg_atomic_read_u64(&part->changes) + 1) | 1);
	pg_write_barrier();
}

static inline void
end_changes(uint32 p)
{
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;

	pg_write_barrier();
	pg_atomic_write_u64(&part->changes, pg_atomic_read_u64(&part->changes) + 1);
	LWLockRelease(&part->lock);
}

/* To read it without the lock: false where somebody changes it. */
static inline bool
begin_reading(uint32 p, uint64 *changes)
{
	*changes = pg_atomic_read_u64(&ffs_cache_blocks.shared->partitions[p].partition.changes);
	pg_read_barrier();
	return (*changes & 1) == 0;
}

/* Was nothing changed since, so that what was read until now is true? */
static inline bool
has_not_changed(uint32 p, uint64 changes)
{
	pg_read_barrier();
	return pg_atomic_read_u64(&ffs_cache_blocks.shared->partitions[p].partition.changes) == changes;
}

/* ---- references ---- */

static inline uint32
reference_bit(uint64 hash)
{
	return UINT32_C(1) << ((hash >> 56) & 31);
}

static inline bool
is_referenced(uint64 hash)
{
	return (bucket_of(hash)->referenced & reference_bit(hash)) != 0;
}

/* With or without the lock: what is lost costs an eviction. */
static inline void
note_reference(uint64 hash)
{
	if (!is_referenced(hash))
		bucket_of(hash)->referenced |= reference_bit(hash);
}

/* ---- age ---- */

static inline bool
is_expired(const Entry *entry)
{
	if (entry->expires != 0)
		return GetCurrentStatementStartTimestamp() > entry->expires;
	return ffs_cache_ttl > 0 &&
		GetCurrentStatementStartTimestamp() - entry->filled > ffs_cache_ttl * USECS_PER_SEC;
}

/* Will nobody use the entry any more? */
static inline bool
is_useless(const Entry *entry)
{
	return is_expired(entry) ||
		entry->generation != pg_atomic_read_u64(&ffs_cache_fence_of(entry->dboid, entry->relid)->generation);
}

/* ---- blocks.c ---- */

/* Between an entry's content (its key, then its row) from `offset` on and other memory. */
extern void ffs_cache_copy_out(uint32 p, Entry *entry, Size offset, Size length, char *to);
extern void ffs_cache_copy_in(uint32 p, Entry *entry, Size offset, Size length, const char *from);
/* The number of a key's entry; 0 where there is none. */
extern uint32 ffs_cache_find_entry(uint32 p, const StoreKey *key);
extern void ffs_cache_remove_entry_at(uint32 p, uint32 at);
/*
 * Put an entry in, in place of the key's last one; its content is left to the
 * caller.  NULL where there is no room.  Partition locked exclusively.
 */
extern Entry *ffs_cache_place_entry(uint32 p, const StoreKey *key, uint64 generation, Size length, StorePolicy policy);
extern Size ffs_cache_shared_size(void);

#endif							/* FFS_CACHE_BLOCKS_H */
