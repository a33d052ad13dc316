/*-------------------------------------------------------------------------
 *
 * blocks.c
 *		The store's shared memory, and entries in it: found, put in, taken out,
 *		and what makes room for them.
 *
 * A partition's blocks are all of one size, and an entry is a chain of them:
 * nothing fragments, and to make room is to let the clock go on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/blocks.h"

#define MIN_PARTITION_SIZE	(256 * 1024)
#define MIN_SIZE			(64 * 1024)

Blocks		ffs_cache_blocks;

/* ---- shared memory ---- */

static void
compute_sizes(void)
{
	Size		total = Max((Size) ffs_cache_size * 1024, MIN_SIZE);
	Size		part;

	ffs_cache_blocks.npartitions = 1;
	while (ffs_cache_blocks.npartitions < MAX_PARTITIONS && total / (ffs_cache_blocks.npartitions * 2) >= MIN_PARTITION_SIZE)
		ffs_cache_blocks.npartitions *= 2;
	part = Min(total / ffs_cache_blocks.npartitions, (Size) PG_INT32_MAX);
	ffs_cache_blocks.nbuckets = 256;
	while (ffs_cache_blocks.nbuckets * 4 * (BLOCK_SIZE + sizeof(Bucket)) <= part)
		ffs_cache_blocks.nbuckets *= 2;
	ffs_cache_blocks.nblocks = (part - ffs_cache_blocks.nbuckets * sizeof(Bucket)) / (BLOCK_SIZE + 1);
}

Size
ffs_cache_shared_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(Shared));

	if (ffs_cache_size == 0)
		return size;
	compute_sizes();
	size = add_size(size, mul_size(mul_size(ffs_cache_blocks.npartitions, ffs_cache_blocks.nbuckets), sizeof(Bucket)));
	size = add_size(size, mul_size(mul_size(ffs_cache_blocks.npartitions, ffs_cache_blocks.nblocks), BLOCK_SIZE + 1));
	return size;
}

static void
setup(void *memory, bool found)
{
	Shared	   *area = memory;

	if (ffs_cache_size == 0)
		return;
	compute_sizes();
	ffs_cache_blocks.shared = area;
	ffs_cache_blocks.buckets = (Bucket *) ((char *) memory + CACHELINEALIGN(sizeof(Shared)));
	ffs_cache_blocks.blocks = (char *) (ffs_cache_blocks.buckets + (Size) ffs_cache_blocks.npartitions * ffs_cache_blocks.nbuckets);
	ffs_cache_blocks.states = (uint8 *) ffs_cache_blocks.blocks + (Size) ffs_cache_blocks.npartitions * ffs_cache_blocks.nblocks * BLOCK_SIZE;
	if (!found)
	{
		memset(area, 0, sizeof(Shared));
		area->tranche = LWLockNewTrancheId();
		for (int i = 0; i < N_COUNTERS; i++)
			pg_atomic_init_u64(&area->counters[i], 0);
		pg_atomic_init_u64(&area->next_id, 1);
		memset(ffs_cache_blocks.buckets, 0, sizeof(Bucket) * ffs_cache_blocks.npartitions * ffs_cache_blocks.nbuckets);
		memset(ffs_cache_blocks.states, BLOCK_FREE, (Size) ffs_cache_blocks.npartitions * ffs_cache_blocks.nblocks);
		for (uint32 p = 0; p < ffs_cache_blocks.npartitions; p++)
		{
			Partition  *part = &area->partitions[p].partition;

			LWLockInitialize(&part->lock, area->tranche);
			pg_atomic_init_u64(&part->changes, 0);
			part->nfree = ffs_cache_blocks.nblocks;
			part->first_free = 1;
			for (uint32 b = 1; b <= ffs_cache_blocks.nblocks; b++)
				*(uint32 *) block_at(p, b) = b < ffs_cache_blocks.nblocks ? b + 1 : 0;
		}
	}
	ffs_cache_fences_setup(&area->fences, found);
	LWLockRegisterTranche(area->tranche, "ffstorage_cache");
}

void
ffs_cache_store_init(void)
{
	StaticAssertStmt(FIRST_ROOM > 128 && FIRST_ROOM < BLOCK_SIZE, "an entry begins in its first block");
	StaticAssertStmt(sizeof(Partition) <= PG_CACHE_LINE_SIZE, "a partition's lock has a cache line of its own");
	ffs_base_register_shmem("ffstorage cache", ffs_cache_shared_size, setup);
}

bool
ffs_cache_store_ready(void)
{
	return ffs_cache_blocks.shared != NULL;
}

/* ---- content ---- */

/* Call `copy` for each piece of the entry's content between two offsets, until it says false. */
#define FOR_EACH_PIECE(p, entry, from, length, piece, piece_length) \
	for (Piece cursor = first_piece(p, entry, from, length); \
		 cursor.left > 0 && (piece = cursor.at, piece_length = Min(cursor.room, cursor.left), true); \
		 next_piece(p, &cursor))

typedef struct Piece
{
	char	   *at;
	Size		room;
	Size		left;
	uint32		more;
} Piece;

static inline void
next_block(uint32 p, Piece *cursor)
{
	char	   *block = block_at(p, cursor->more);

	cursor->more = *(uint32 *) block;
	cursor->at = block + sizeof(uint32);
	cursor->room = MORE_ROOM;
}

static inline Piece
first_piece(uint32 p, Entry *entry, Size from, Size length)
{
	Piece		cursor;

	cursor.at = (char *) entry + sizeof(Entry);
	cursor.room = FIRST_ROOM;
	cursor.more = entry->more;
	cursor.left = length;
	while (length > 0 && from >= cursor.room)
	{
		from -= cursor.room;
		next_block(p, &cursor);
	}
	cursor.at += from;
	cursor.room -= from;
	return cursor;
}

static inline void
next_piece(uint32 p, Piece *cursor)
{
	cursor->left -= Min(cursor->room, cursor->left);
	if (cursor->left > 0)
		next_block(p, cursor);
}

void
ffs_cache_copy_out(uint32 p, Entry *entry, Size from, Size length, char *to)
{
	char	   *piece;
	Size		n;

	FOR_EACH_PIECE(p, entry, from, length, piece, n)
	{
		memcpy(to, piece, n);
		to += n;
	}
}

void
ffs_cache_copy_in(uint32 p, Entry *entry, Size offset, Size length, const char *from)
{
	char	   *piece;
	Size		n;

	FOR_EACH_PIECE(p, entry, offset, length, piece, n)
	{
		memcpy(piece, from, n);
		from += n;
	}
}

/* ---- entries ---- */

static bool
has_key(uint32 p, Entry *entry, const StoreKey *key)
{
	const char *bytes = key->bytes;
	char	   *piece;
	Size		n;

	if (entry->hash != key->hash || entry->relid != key->relid || entry->dboid != MyDatabaseId ||
		entry->key_length != key->length)
		return false;
	FOR_EACH_PIECE(p, entry, 0, key->length, piece, n)
	{
		if (memcmp(piece, bytes, n) != 0)
			return false;
		bytes += n;
	}
	return true;
}

uint32
ffs_cache_find_entry(uint32 p, const StoreKey *key)
{
	uint32		at = bucket_of(key->hash)->first;

	while (at != 0)
	{
		Entry	   *entry = (Entry *) block_at(p, at);

		if (has_key(p, entry, key))
			break;
		at = entry->next;
	}
	return at;
}

/* Give the blocks back.  Partition locked exclusively, as for all below. */
static void
free_blocks(uint32 p, uint32 at)
{
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;

	while (at != 0)
	{
		uint32	   *block = (uint32 *) block_at(p, at);
		uint32		more = *block;

		*state_of(p, at) = BLOCK_FREE;
		*block = part->first_free;
		part->first_free = at;
		part->nfree++;
		at = more;
	}
}

/* Take the entry that *link points to off its bucket, and free it. */
static void
remove_entry(uint32 p, uint32 *link)
{
	uint32		at = *link;
	Entry	   *entry = (Entry *) block_at(p, at);

	*link = entry->next;
	if (entry->generation != 0)
		ffs_cache_blocks.shared->partitions[p].partition.nentries--;
	if (pg_atomic_read_u32(&entry->pins) > 0)
		*state_of(p, at) = BLOCK_DEAD;
	else
		free_blocks(p, at);
}

void
ffs_cache_remove_entry_at(uint32 p, uint32 at)
{
	uint32	   *link = &bucket_of(((Entry *) block_at(p, at))->hash)->first;

	while (*link != at)
		link = &((Entry *) block_at(p, *link))->next;
	remove_entry(p, link);
}

/* Are there n free blocks, or can there be? */
static bool
make_room(uint32 p, uint32 n, StorePolicy policy)
{
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;

	if (part->nfree >= n)
		return true;
	if (n > ffs_cache_blocks.nblocks / 4)
		return false;
	/* twice round: the first time may only take reference bits away */
	for (uint32 steps = 0; steps < 2 * ffs_cache_blocks.nblocks && part->nfree < n; steps++)
	{
		uint32		at = part->hand + 1;
		uint8	   *state = state_of(p, at);

		part->hand = at % ffs_cache_blocks.nblocks;
		if (*state == BLOCK_DEAD)
		{
			if (pg_atomic_read_u32(&((Entry *) block_at(p, at))->pins) == 0)
				free_blocks(p, at);
		}
		else if (*state == BLOCK_ENTRY)
		{
			Entry	   *entry = (Entry *) block_at(p, at);
			bool		useless = is_useless(entry);

			if (!useless && policy == STORE_IF_ROOM)
				continue;
			if (!useless && is_referenced(entry->hash))
				bucket_of(entry->hash)->referenced &= ~reference_bit(entry->hash);
			else
			{
				ffs_cache_remove_entry_at(p, at);
				if (!useless)
					ffs_cache_pending[COUNT_EVICTIONS]++;
			}
		}
	}
	return part->nfree >= n;
}

/* A new entry of so many bytes of content, its blocks chained; there is room. */
static uint32
take_blocks(uint32 p, Size content)
{
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;
	uint32		first = part->first_free;
	uint32		at = first;
	Size		room = FIRST_ROOM;

	*state_of(p, at) = BLOCK_ENTRY;
	part->nfree--;
	while (room < content)
	{
		/* free blocks are chained as an entry's are */
		at = *(uint32 *) block_at(p, at);
		*state_of(p, at) = BLOCK_MORE;
		part->nfree--;
		room += MORE_ROOM;
	}
	part->first_free = *(uint32 *) block_at(p, at);
	*(uint32 *) block_at(p, at) = 0;
	return first;
}

static inline uint32
blocks_for(Size content)
{
	return content <= FIRST_ROOM ? 1 : 1 + (content - FIRST_ROOM + MORE_ROOM - 1) / MORE_ROOM;
}

Entry *
ffs_cache_place_entry(uint32 p, const StoreKey *key, uint64 generation, Size length, StorePolicy policy)
{
	uint32		at = ffs_cache_find_entry(p, key);
	Entry	   *entry;

	if (at != 0)
		ffs_cache_remove_entry_at(p, at);
	if (!make_room(p, blocks_for(key->length + length), policy))
		return NULL;
	at = take_blocks(p, key->length + length);
	entry = (Entry *) block_at(p, at);
	entry->next = bucket_of(key->hash)->first;
	entry->hash = key->hash;
	entry->generation = generation;
	entry->insert_generation = 0;
	entry->filled = GetCurrentStatementStartTimestamp();
	entry->expires = 0;
	entry->dboid = MyDatabaseId;
	entry->relid = key->relid;
	entry->xmin = InvalidTransactionId;
	entry->key_length = key->length;
	bucket_of(key->hash)->referenced &= ~reference_bit(key->hash);
	entry->row_length = length;
	pg_atomic_init_u32(&entry->pins, 0);
	ffs_cache_copy_in(p, entry, 0, key->length, key->bytes);
	bucket_of(key->hash)->first = at;
	ffs_cache_blocks.shared->partitions[p].partition.nentries++;
	return entry;
}
