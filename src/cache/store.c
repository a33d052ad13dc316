/*-------------------------------------------------------------------------
 *
 * store.c
 *		Rows by key in shared memory that are never stale.
 *
 * What is promised: a reader with snapshot S is given the row version that S
 * sees in the table, or is told to ask the table.
 *
 * States.  Every key has a bucket (several keys may share one), every table a
 * table fence (several tables may share one).  Both remember the top-level
 * transactions that wrote there, as a set of full transaction ids: the last
 * KEPT of them one by one, and `before`, the greatest that had to make room.
 * "S sees all of a set" means: each member is finished, and finished before S
 * was taken.  An entry hangs on its key's bucket and holds a row and the xmin
 * of its tuple, or that there is none (a negative entry).
 *
 *	Writer	fences before it can be seen to have changed anything: before it
 *			commits or is prepared, and before it looks anything up itself.  It
 *			takes the lock of the bucket, puts its own id into the set, and takes
 *			the key's entries out (they stay where they are, of no generation).
 *			Once is enough, since nothing can go in while it runs.  There is
 *			nothing to undo when it ends, however it ends.
 *	Filler	reads the table with its snapshot S.  Under the bucket's lock it
 *			puts in what it read only if S sees all of the bucket's set and of
 *			the table fence's.
 *	Reader	with snapshot S uses an entry if S sees the transaction xmin as
 *			finished; a negative one if S sees all of both sets.
 *
 * Why that is right.  Let an entry hold version V of key K, read with S1, and
 * let S see V's xmin.  Should S see a newer version, its writer W had
 * finished when S was taken, and had fenced before.  The entry did not go in
 * before that fence, which would have removed it.  So it went in after it,
 * and S1 saw W as finished; then S1 had read W's version and not V.  Should V
 * be gone for S, the same holds of whoever deleted it.  Should S be older
 * than S1: whoever made V is finished for S, nobody had ended V when S1 was
 * taken, and so nobody had when S was, since snapshots see ever more
 * transactions finished.  A negative entry: S sees every writer that S1 saw
 * (they are in the sets), and newer ones have removed it.
 *
 * A set must not be a single greatest id: of two writers W1 < W2 of one
 * bucket, W2 may end first, and a filler that sees W2 may not see W1, whose
 * old row it would put in after W1 fenced.  With `before`, a snapshot sees all
 * members if `before` is less than its xmin; that refuses more, never less.
 *
 * The filler's own transaction does not count as finished, though its own
 * snapshot sees its rows: a set that has it is not seen.  A prepared
 * transaction is running until it is finished.  Those that were prepared
 * before the server started are in no set, as sets are in memory: `floor`, the
 * next id at the first fill, stands for them in all sets, for fillers and for
 * readers of negative entries (a row's own xmin needs no set).  Subtransactions
 * need nothing: what a rolled-back one fenced stays fenced.  (A snapshot whose
 * list of subtransactions ran over knows nothing of ids between its xmin and
 * xmax without asking elsewhere: they count as not finished.)
 *
 * Table fences.  What changes more than single rows (TRUNCATE, DDL, triggers
 * switched off, partitions attached) puts its id into the table's set
 * `changes` and counts `generation` up before it commits: entries of other generations are
 * as good as gone, and fills wait until the change is seen.  Rows that come
 * with COPY, of which no key is told, are in a set and a generation of their
 * own, `inserts`, that negative entries obey; others need not: where a row
 * comes, none was, or this or another transaction took it away and fenced.
 * (The transaction that brought them asks the table: with a snapshot that
 * still sees a row which another one has deleted since, it may see two rows
 * of one key.  So does one of a single snapshot that has inserted any row.)
 * A writer that has told very many keys counts the generation up and tells no
 * more; tables of which nothing was ever put in need no fences by key at all:
 * such a writer notes itself once in the table's set `untold` and goes on.
 * (`definition` counts up with `changes` only: what was found out about the
 * table, and results of queries, care for no rows here.)  The flags `used` and
 * `negatives` are set by fillers before they look at a set, and looked at by
 * writers before they put themselves in, both under the table fence's lock:
 * one of them sees the other.
 *
 * Locks.  A partition's LWLock guards its buckets, entries, free blocks and
 * the clock's hand: exclusively to change them, shared to read.  Reference
 * bits are set without it: a lost one costs an eviction.
 * A spinlock guards a table fence's sets and flags; generations are atomics
 * that count up under it, read without it.  Order: the partition's lock, then
 * a table fence's; no two of a kind.  Who sees a writer as finished has taken
 * the snapshot after the writer left the list of running transactions, both
 * under ProcArrayLock: that is what orders fences before look-ups.
 *
 * Reading without the lock.  Who has a partition's lock exclusively makes its
 * `changes` odd before the first store and even, and greater, after the last
 * (begin_changes, end_changes; a write barrier on the inner side of each).  A
 * reader that finds it even, reads, and finds it the same has read what was
 * there at one moment, as if under the shared lock (a read barrier on the
 * inner side of each).  It is that moment, or any up to the second look, at
 * which it has looked up: all of these are after its snapshot was taken, so
 * that a fence of a writer which the snapshot sees as finished is among what
 * it has read, or has made `changes` another.  What is read before the second
 * look may be of any blocks: numbers are held against their limits before they
 * lead anywhere, lengths are used only after a look, and nothing is written
 * but the reference bit, which is in a bucket, as buckets are never anything
 * else.  Whoever finds changes under way takes the lock instead, and so do
 * long rows.
 *
 * Copies in the backend's own memory (front.c) are such readings that have not
 * ended: with `changes` still what it was before the row was copied, the
 * partition, and so the entry, is as it was, and the snapshot, the generation
 * and the age are held against the entry anew each time.  Any put, fence or
 * eviction in the partition ends them all; the next use looks in shared memory.
 *
 * Memory.  A partition's blocks are all of one size, and an entry is a chain of
 * them: nothing fragments, and to make room is to let the clock go on.
 * Long rows are copied out with the lock released and the entry pinned: who
 * evicts it meanwhile unlinks it, and the clock frees its blocks when the pin
 * is gone.
 *
 * test/model/cache.pml is a model of this.  Its races, one by one, are in
 * test/specs:
 *
 *	a writer beside a filler with an older snapshot, ending
 *	  either way, or prepared ...................... cache_races, cache_windows
 *	two writers and more, the later one ends first ... cache_races
 *	a filler in the middle of a fill .................... cache_windows
 *	one's own writes, savepoints, a cursor's snapshot ... cache_races, cache_near
 *	subtransactions, more than a snapshot lists ......... cache_near
 *	the whole table: TRUNCATE, triggers, partitions ..... cache_windows, cache_fences
 *	COPY and negative entries, two rows of one key ...... cache_windows, cache_fences
 *	keys that change; very many ......................... cache_fences, cache_windows
 *	`used`, `untold`, `negatives`, in both orders ....... cache_windows, cache_fences
 *	an entry that goes while it is read without the lock,
 *	  or copied pinned .................................. cache_near, cache_windows
 *	copies in the backend's own memory .................. cache_near
 *	all taken out, or read in, meanwhile ................ cache_windows, cache_fences, cache_near
 *	prepared before the server started .................. test/t/011_cache.pl
 *
 * (`changes` while it is odd, and what is torn in between, only the model has.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "cache/entry.h"
#include "cache/fences.h"
#include "cache/front.h"
#include "cache/store.h"

#define MAX_PARTITIONS		256
#define MIN_PARTITION_SIZE	(256 * 1024)
#define MIN_SIZE			(64 * 1024)
#define BLOCK_SIZE			256
/* Longer rows are copied without the lock. */
#define SHORT_ROW			4096
/* What is longer than this is put in by pieces, of which each may go by itself. */
#define PIECE_SIZE			16384

/* ---- what is in shared memory ---- */

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

/* What follows from the setting; the same in every process. */
static uint32 npartitions;
static uint32 nbuckets;			/* of a partition */
static uint32 nblocks;

static Shared *shared = NULL;
static Bucket *buckets;
static char *blocks;
static uint8 *states;

uint64		ffs_cache_pending[N_COUNTERS];

/* ---- shared memory ---- */

static void
compute_sizes(void)
{
	Size		total = Max((Size) ffs_cache_size * 1024, MIN_SIZE);
	Size		part;

	npartitions = 1;
	while (npartitions < MAX_PARTITIONS && total / (npartitions * 2) >= MIN_PARTITION_SIZE)
		npartitions *= 2;
	part = Min(total / npartitions, (Size) PG_INT32_MAX);
	nbuckets = 256;
	while (nbuckets * 4 * (BLOCK_SIZE + sizeof(Bucket)) <= part)
		nbuckets *= 2;
	nblocks = (part - nbuckets * sizeof(Bucket)) / (BLOCK_SIZE + 1);
}

static Size
shared_size(void)
{
	Size		size = CACHELINEALIGN(sizeof(Shared));

	if (ffs_cache_size == 0)
		return size;
	compute_sizes();
	size = add_size(size, mul_size(mul_size(npartitions, nbuckets), sizeof(Bucket)));
	size = add_size(size, mul_size(mul_size(npartitions, nblocks), BLOCK_SIZE + 1));
	return size;
}

static inline char *
block_at(uint32 partition, uint32 number)
{
	return blocks + ((Size) partition * nblocks + number - 1) * BLOCK_SIZE;
}

static inline void
prefetch_block(uint32 partition, uint32 number)
{
	char	   *block = block_at(partition, number);

	for (int line = 0; line < BLOCK_SIZE; line += 64)
		ffs_compat_prefetch(block + line);
}

static inline uint8 *
state_of(uint32 partition, uint32 number)
{
	return states + (Size) partition * nblocks + number - 1;
}

static void
setup(void *memory, bool found)
{
	Shared	   *area = memory;

	if (ffs_cache_size == 0)
		return;
	compute_sizes();
	shared = area;
	buckets = (Bucket *) ((char *) memory + CACHELINEALIGN(sizeof(Shared)));
	blocks = (char *) (buckets + (Size) npartitions * nbuckets);
	states = (uint8 *) blocks + (Size) npartitions * nblocks * BLOCK_SIZE;
	if (!found)
	{
		memset(area, 0, sizeof(Shared));
		area->tranche = LWLockNewTrancheId();
		for (int i = 0; i < N_COUNTERS; i++)
			pg_atomic_init_u64(&area->counters[i], 0);
		pg_atomic_init_u64(&area->next_id, 1);
		memset(buckets, 0, sizeof(Bucket) * npartitions * nbuckets);
		memset(states, BLOCK_FREE, (Size) npartitions * nblocks);
		for (uint32 p = 0; p < npartitions; p++)
		{
			Partition  *part = &area->partitions[p].partition;

			LWLockInitialize(&part->lock, area->tranche);
			pg_atomic_init_u64(&part->changes, 0);
			part->nfree = nblocks;
			part->first_free = 1;
			for (uint32 b = 1; b <= nblocks; b++)
				*(uint32 *) block_at(p, b) = b < nblocks ? b + 1 : 0;
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
	ffs_base_register_shmem("ffstorage cache", shared_size, setup);
}

bool
ffs_cache_store_ready(void)
{
	return shared != NULL;
}

/* ---- entries ---- */

static inline uint32
partition_of(uint64 hash)
{
	return hash & (npartitions - 1);
}

static inline Bucket *
bucket_of(uint64 hash)
{
	return &buckets[(Size) partition_of(hash) * nbuckets + ((hash >> 16) & (nbuckets - 1))];
}

/* ---- locks ---- */

/*
 * To change a partition.  An error may leave `changes` odd, which only means
 * that readers take the lock until the next one has changed something.
 */
static void
begin_changes(uint32 p)
{
	Partition  *part = &shared->partitions[p].partition;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	pg_atomic_write_u64(&part->changes, (pg_atomic_read_u64(&part->changes) + 1) | 1);
	pg_write_barrier();
}

static void
end_changes(uint32 p)
{
	Partition  *part = &shared->partitions[p].partition;

	pg_write_barrier();
	pg_atomic_write_u64(&part->changes, pg_atomic_read_u64(&part->changes) + 1);
	LWLockRelease(&part->lock);
}

/* To read it without the lock: false where somebody changes it. */
static inline bool
begin_reading(uint32 p, uint64 *changes)
{
	*changes = pg_atomic_read_u64(&shared->partitions[p].partition.changes);
	pg_read_barrier();
	return (*changes & 1) == 0;
}

/* Was nothing changed since, so that what was read until now is true? */
static inline bool
has_not_changed(uint32 p, uint64 changes)
{
	pg_read_barrier();
	return pg_atomic_read_u64(&shared->partitions[p].partition.changes) == changes;
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

static void
copy_out(uint32 p, Entry *entry, Size from, Size length, char *to)
{
	char	   *piece;
	Size		n;

	FOR_EACH_PIECE(p, entry, from, length, piece, n)
	{
		memcpy(to, piece, n);
		to += n;
	}
}

static void
copy_in(uint32 p, Entry *entry, Size offset, Size length, const char *from)
{
	char	   *piece;
	Size		n;

	FOR_EACH_PIECE(p, entry, offset, length, piece, n)
	{
		memcpy(piece, from, n);
		from += n;
	}
}

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

static uint32
find_entry(uint32 p, const StoreKey *key)
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
	Partition  *part = &shared->partitions[p].partition;

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
		shared->partitions[p].partition.nentries--;
	if (pg_atomic_read_u32(&entry->pins) > 0)
		*state_of(p, at) = BLOCK_DEAD;
	else
		free_blocks(p, at);
}

static void
remove_at(uint32 p, uint32 at)
{
	uint32	   *link = &bucket_of(((Entry *) block_at(p, at))->hash)->first;

	while (*link != at)
		link = &((Entry *) block_at(p, *link))->next;
	remove_entry(p, link);
}

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

/* Are there n free blocks, or can there be? */
static bool
make_room(uint32 p, uint32 n, StorePolicy policy)
{
	Partition  *part = &shared->partitions[p].partition;

	if (part->nfree >= n)
		return true;
	if (n > nblocks / 4)
		return false;
	/* twice round: the first time may only take reference bits away */
	for (uint32 steps = 0; steps < 2 * nblocks && part->nfree < n; steps++)
	{
		uint32		at = part->hand + 1;
		uint8	   *state = state_of(p, at);

		part->hand = at % nblocks;
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
				remove_at(p, at);
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
	Partition  *part = &shared->partitions[p].partition;
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

/* ---- readers ---- */

/* May be met in a bucket before one takes the lock to look on. */
#define FEW_ENTRIES 16

/*
 * Find an entry without the lock, and copy what it begins with.  False where
 * somebody changed the partition meanwhile.  What is read before that is known
 * may be anything: block numbers are looked at before they are used.
 */
static bool
peek_entry(uint32 p, const StoreKey *key, uint64 changes, Entry *head, uint32 *found)
{
	uint32		at = *(volatile uint32 *) &bucket_of(key->hash)->first;

	*found = 0;
	for (int n = 0; at != 0; n++)
	{
		Entry	   *entry;

		if (at > nblocks || n == FEW_ENTRIES)
			return false;
		entry = (Entry *) block_at(p, at);
		if (entry->hash == key->hash && entry->relid == key->relid && entry->dboid == MyDatabaseId &&
			entry->key_length == key->length && memcmp(entry + 1, key->bytes, key->length) == 0)
		{
			memcpy(head, entry, sizeof(Entry));
			*found = at;
			break;
		}
		at = *(volatile uint32 *) &entry->next;
	}
	return has_not_changed(p, changes);
}

/* Copy the row of an entry that begins with `head`, likewise. */
static bool
peek_row(uint32 p, const Entry *head, uint32 at, uint64 changes, char *to)
{
	Size		left = head->row_length;
	Size		n = Min(left, FIRST_ROOM - head->key_length);
	uint32		more = head->more;

	memcpy(to, block_at(p, at) + sizeof(Entry) + head->key_length, n);
	while ((left -= n) > 0)
	{
		char	   *block;

		if (more == 0 || more > nblocks)
			return false;
		to += n;
		block = block_at(p, more);
		more = *(volatile uint32 *) block;
		n = Min(left, MORE_ROOM);
		memcpy(to, block + sizeof(uint32), n);
	}
	return has_not_changed(p, changes);
}

/* Is a negative entry true for the snapshot? */
static bool
sees_absence(const StoreKey *key, const Entry *entry, Snapshot snapshot)
{
	TableFence *fence = key->fence;
	uint64		xmin = ffs_cache_full_xmin(snapshot);
	XidSet		changes;
	XidSet		untold;
	XidSet		inserts;

	SpinLockAcquire(&fence->mutex);
	changes = fence->changes;
	untold = fence->untold;
	inserts = fence->inserts;
	SpinLockRelease(&fence->mutex);
	return xmin >= ffs_cache_floor() &&
		entry->insert_generation == pg_atomic_read_u64(&fence->insert_generation) &&
		ffs_cache_sees_all(&bucket_of(key->hash)->writers, snapshot, xmin) &&
		ffs_cache_sees_all(&changes, snapshot, xmin) && ffs_cache_sees_all(&untold, snapshot, xmin) &&
		ffs_cache_sees_all(&inserts, snapshot, xmin);
}

/* Can the snapshot use an entry that begins so? */
static inline bool
is_true(const StoreKey *key, const Entry *head, Snapshot snapshot)
{
	if (head->generation != pg_atomic_read_u64(&key->fence->generation) || is_expired(head))
		return false;
	return TransactionIdIsValid(head->xmin) ? ffs_cache_is_finished(head->xmin, snapshot) : sees_absence(key, head, snapshot);
}

/* Look up without the lock; false where that needs it. */
static inline bool
peek(const StoreKey *key, Snapshot snapshot, MemoryContext context, void **row, StoreAnswer *answer)
{
	uint32		p = partition_of(key->hash);
	uint64		changes;
	uint32		at;
	Entry		head;

	if (key->length > (int) FIRST_ROOM || !begin_reading(p, &changes) || !peek_entry(p, key, changes, &head, &at))
		return false;
	*answer = STORE_MISS;
	if (at == 0)
		return true;
	if (!is_true(key, &head, snapshot))
		return true;
	if (head.row_length > SHORT_ROW)
		return false;
	note_reference(key->hash);
	if (!TransactionIdIsValid(head.xmin))
	{
		/* the bucket's set is read with the entry */
		*answer = STORE_NONE;
		return has_not_changed(p, changes);
	}
	*row = MemoryContextAlloc(context, head.row_length);
	FFS_DEBUG_POINT("cache-peek-row");
	if (!peek_row(p, &head, at, changes, *row))
	{
		pfree(*row);
		return false;
	}
	ffs_cache_front_keep(key, changes, &head, *row);
	*answer = STORE_ROW;
	return true;
}

/* Look up among the backend's own copies; false if the key is not there as the partition has it. */
static inline bool
look_in_front(const StoreKey *key, Snapshot snapshot, MemoryContext context, void **row)
{
	FrontRow   *copy = ffs_cache_front_find(key);

	if (copy == NULL || !has_not_changed(partition_of(key->hash), copy->changes) ||
		!is_true(key, &copy->head, snapshot))
		return false;
	*row = MemoryContextAlloc(context, copy->head.row_length);
	memcpy(*row, copy->bytes + copy->head.key_length, copy->head.row_length);
	return true;
}

StoreAnswer
ffs_cache_look_up(const StoreKey *key, Snapshot snapshot, MemoryContext context, void **row)
{
	uint32		p = partition_of(key->hash);
	Partition  *part = &shared->partitions[p].partition;
	uint32		at;
	Entry	   *entry;
	Size		length;
	bool		pinned;
	StoreAnswer answer;

	if (look_in_front(key, snapshot, context, row))
		return STORE_ROW;
	if (likely(peek(key, snapshot, context, row, &answer)))
		return answer;
	LWLockAcquire(&part->lock, LW_SHARED);
	at = find_entry(p, key);
	entry = at != 0 ? (Entry *) block_at(p, at) : NULL;
	if (entry == NULL || !is_true(key, entry, snapshot))
	{
		LWLockRelease(&part->lock);
		return STORE_MISS;
	}
	note_reference(key->hash);
	if (!TransactionIdIsValid(entry->xmin))
	{
		LWLockRelease(&part->lock);
		return STORE_NONE;
	}
	length = entry->row_length;
	*row = MemoryContextAlloc(context, length);
	pinned = length > SHORT_ROW;
	if (pinned)
	{
		pg_atomic_fetch_add_u32(&entry->pins, 1);
		LWLockRelease(&part->lock);
		FFS_DEBUG_POINT("cache-copy");
	}
	copy_out(p, entry, entry->key_length, length, *row);
	if (pinned)
		pg_atomic_fetch_sub_u32(&entry->pins, 1);
	else
		LWLockRelease(&part->lock);
	return STORE_ROW;
}

/*
 * Memory that is far away takes longer than all else of a look-up, and many
 * fetches at once hardly longer than one.  These are hints: what a number leads to
 * may be another entry by the time that it is looked at, or none.
 */
void
ffs_cache_fetch(const uint64 *hashes, int n)
{
	uint32		at[FEW_KEYS];

	for (int i = 0; i < n; i++)
	{
		ffs_compat_prefetch(&shared->partitions[partition_of(hashes[i])]);
		ffs_compat_prefetch(bucket_of(hashes[i]));
	}
	for (int i = 0; i < n; i++)
	{
		at[i] = *(volatile uint32 *) &bucket_of(hashes[i])->first;
		if (at[i] != 0 && at[i] <= nblocks)
			prefetch_block(partition_of(hashes[i]), at[i]);
		else
			at[i] = 0;
	}
	for (int i = 0; i < n; i++)
	{
		Entry	   *entry = at[i] == 0 ? NULL : (Entry *) block_at(partition_of(hashes[i]), at[i]);

		if (entry == NULL || entry->hash == hashes[i])
			continue;
		at[i] = *(volatile uint32 *) &entry->next;
		if (at[i] != 0 && at[i] <= nblocks)
			prefetch_block(partition_of(hashes[i]), at[i]);
		else
			at[i] = 0;
	}
	for (int i = 0; i < n; i++)
	{
		uint32		more = at[i] == 0 ? 0 :
			*(volatile uint32 *) block_at(partition_of(hashes[i]), at[i]);

		if (more != 0 && more <= nblocks)
			prefetch_block(partition_of(hashes[i]), more);
	}
}

/* ---- fillers ---- */

/*
 * Put an entry in, in place of the key's last one; its content is left to the
 * caller.  NULL where there is no room.  Partition locked exclusively.
 */
static Entry *
place_entry(uint32 p, const StoreKey *key, uint64 generation, Size length, StorePolicy policy)
{
	uint32		at = find_entry(p, key);
	Entry	   *entry;

	if (at != 0)
		remove_at(p, at);
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
	copy_in(p, entry, 0, key->length, key->bytes);
	bucket_of(key->hash)->first = at;
	shared->partitions[p].partition.nentries++;
	return entry;
}

bool
ffs_cache_put(const StoreKey *key, Snapshot snapshot, const void *row, Size length,
			  TransactionId xmin, StorePolicy policy)
{
	uint32		p = partition_of(key->hash);
	TableFence *fence = key->fence;
	uint64		full = ffs_cache_full_xmin(snapshot);
	uint64		generation;
	uint64		insert_generation;
	XidSet		changes;
	XidSet		untold;
	XidSet		inserts;
	Entry	   *entry;

	FFS_DEBUG_POINT("cache-put");
	ffs_cache_fence_waiting();
	if (row != NULL && (TransactionIdIsCurrentTransactionId(xmin) || length > (Size) ffs_cache_max_row))
		return false;
	if (full < ffs_cache_floor())
		goto refused;
	SpinLockAcquire(&fence->mutex);
	if (row == NULL)
		fence->negatives = true;
	changes = fence->changes;
	untold = fence->untold;
	inserts = fence->inserts;
	generation = pg_atomic_read_u64(&fence->generation);
	insert_generation = pg_atomic_read_u64(&fence->insert_generation);
	SpinLockRelease(&fence->mutex);
	if (!ffs_cache_sees_all(&changes, snapshot, full) || !ffs_cache_sees_all(&untold, snapshot, full) || (row == NULL && !ffs_cache_sees_all(&inserts, snapshot, full)))
		goto refused;
	FFS_DEBUG_POINT("cache-put-bucket");

	begin_changes(p);
	if (!ffs_cache_sees_all(&bucket_of(key->hash)->writers, snapshot, full))
	{
		end_changes(p);
		goto refused;
	}
	entry = place_entry(p, key, generation, length, policy);
	if (entry == NULL)
	{
		end_changes(p);
		return false;
	}
	entry->insert_generation = insert_generation;
	entry->xmin = row != NULL ? xmin : InvalidTransactionId;
	copy_in(p, entry, key->length, length, row);
	end_changes(p);
	ffs_cache_pending[COUNT_FILLS]++;
	return true;

refused:
	ffs_cache_pending[COUNT_REFUSED]++;
	return false;
}

/* ---- pieces ---- */

bool
ffs_cache_put_piece(const StoreKey *key, uint64 generation, TimestampTz expires, const void *bytes, Size length)
{
	uint32		p = partition_of(key->hash);
	Entry	   *entry;

	begin_changes(p);
	entry = place_entry(p, key, generation, length, STORE_EVICT);
	if (entry != NULL)
	{
		entry->expires = expires;
		copy_in(p, entry, key->length, length, bytes);
	}
	end_changes(p);
	return entry != NULL;
}

bool
ffs_cache_get_piece(const StoreKey *key, void *bytes, Size *length)
{
	uint32		p = partition_of(key->hash);
	LWLock	   *lock = &shared->partitions[p].partition.lock;
	uint32		at;
	Entry	   *entry;
	Size		found;
	bool		pinned;

	LWLockAcquire(lock, LW_SHARED);
	at = find_entry(p, key);
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
	copy_out(p, entry, entry->key_length, found, bytes);
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
	at = find_entry(p, key);
	if (at != 0)
		remove_at(p, at);
	end_changes(p);
}

Size
ffs_cache_piece_size(void)
{
	return Min((Size) PIECE_SIZE, (Size) (nblocks / 8) * MORE_ROOM);
}

Size
ffs_cache_capacity(void)
{
	return (Size) npartitions * nblocks * MORE_ROOM;
}

uint64
ffs_cache_next_id(void)
{
	return pg_atomic_fetch_add_u64(&shared->next_id, 1);
}

/* ---- writers ---- */

/*
 * Keys that are to be fenced yet: what they lead to is far away, and nearer
 * when some are fetched at once.
 */
static uint64 waiting[FEW_KEYS];
static int	nwaiting = 0;
static bool ending = false;		/* nobody comes later to fence them */

static void
fence_hash(uint64 hash, uint64 xid)
{
	uint32		p = partition_of(hash);
	Bucket	   *bucket = bucket_of(hash);
	uint32		at;

	begin_changes(p);
	ffs_cache_note_writer(&bucket->writers, xid);
	at = bucket->first;
	while (at != 0)
	{
		Entry	   *entry = (Entry *) block_at(p, at);

		/* it stays where it is, of no generation, until the clock comes or the key is put in again */
		if (entry->hash == hash && entry->generation != 0)
		{
			entry->generation = 0;
			shared->partitions[p].partition.nentries--;
			ffs_cache_pending[COUNT_INVALIDATIONS]++;
		}
		at = entry->next;
	}
	end_changes(p);
}

void
ffs_cache_fence_waiting(void)
{
	uint64		xid;

	if (nwaiting == 0)
		return;
	xid = ffs_cache_own_xid();
	for (int i = 0; i < nwaiting; i++)
	{
		/* wherever that leads to by the time that it is looked at */
		uint32		at = *(volatile uint32 *) &bucket_of(waiting[i])->first;

		if (at != 0 && at <= nblocks)
			ffs_compat_prefetch(block_at(partition_of(waiting[i]), at));
	}
	for (int i = 0; i < nwaiting; i++)
		fence_hash(waiting[i], xid);
	nwaiting = 0;
}

void
ffs_cache_fence_at_once(void)
{
	ffs_cache_fence_waiting();
	ending = true;
}

void
ffs_cache_forget_waiting(void)
{
	nwaiting = 0;
	ending = false;
}

void
ffs_cache_fence_key(TableFence *fence, Oid relid, uint64 hash, bool is_insert)
{
	if (!ffs_cache_must_tell(fence, relid, is_insert))
		return;
	/* while it can still be assigned */
	(void) ffs_cache_own_xid();
	ffs_compat_prefetch(&shared->partitions[partition_of(hash)]);
	ffs_compat_prefetch(bucket_of(hash));
	waiting[nwaiting++] = hash;
	if (nwaiting == FEW_KEYS || ending)
		ffs_cache_fence_waiting();
}

/* Is it of the relation, or, of no relation, what the caller wants? */
static bool
is_wanted(uint32 p, Entry *entry, Oid relid, StoreWanted wanted)
{
	char	   *bytes;
	bool		result;

	if (OidIsValid(entry->relid) || wanted == NULL)
		return entry->relid == relid;
	bytes = palloc(entry->row_length);
	copy_out(p, entry, entry->key_length, entry->row_length, bytes);
	result = wanted(bytes, entry->row_length, entry->key_length, relid);
	pfree(bytes);
	return result;
}

uint64
ffs_cache_remove(Oid relid, StoreWanted wanted)
{
	uint64		removed = 0;

	for (uint32 p = 0; p < npartitions; p++)
	{

		CHECK_FOR_INTERRUPTS();
		begin_changes(p);
		for (uint32 at = 1; at <= nblocks; at++)
		{
			Entry	   *entry = (Entry *) block_at(p, at);

			if (*state_of(p, at) == BLOCK_ENTRY && entry->dboid == MyDatabaseId && is_wanted(p, entry, relid, wanted))
			{
				if (!is_useless(entry))
					removed++;
				remove_at(p, at);
			}
		}
		end_changes(p);
	}
	ffs_cache_pending[COUNT_INVALIDATIONS] += removed;
	return removed;
}

/* ---- all of it ---- */

/* Entries are looked at in steps, so that nobody waits for the lock for long. */
#define BLOCKS_AT_ONCE 256

bool
ffs_cache_next_rows(StoreCursor *cursor, bool used, StoreNamedRow *rows, int max, int *n)
{
	uint32		p = cursor->partition;
	uint32		end;
	LWLock	   *lock;

	*n = 0;
	if (shared == NULL || p >= npartitions)
		return false;
	lock = &shared->partitions[p].partition.lock;
	end = Min(cursor->block + BLOCKS_AT_ONCE, nblocks);
	LWLockAcquire(lock, LW_SHARED);
	while (cursor->block < end && *n < max)
	{
		uint32		at = ++cursor->block;
		Entry	   *entry = (Entry *) block_at(p, at);
		StoreNamedRow *row = &rows[*n];

		if (*state_of(p, at) != BLOCK_ENTRY || is_referenced(entry->hash) != used ||
			!TransactionIdIsValid(entry->xmin) || is_useless(entry))
			continue;
		row->dboid = entry->dboid;
		row->relid = entry->relid;
		row->length = entry->key_length;
		copy_out(p, entry, 0, entry->key_length, row->bytes);
		(*n)++;
	}
	LWLockRelease(lock);
	if (cursor->block >= nblocks)
	{
		cursor->partition++;
		cursor->block = 0;
	}
	return true;
}

/* ---- figures ---- */

void
ffs_cache_flush_counters(void)
{
	for (int i = 0; i < N_COUNTERS; i++)
	{
		if (ffs_cache_pending[i] > 0)
			pg_atomic_fetch_add_u64(&shared->counters[i], ffs_cache_pending[i]);
		ffs_cache_pending[i] = 0;
	}
}

void
ffs_cache_reset_counters(void)
{
	for (int i = 0; i < N_COUNTERS; i++)
	{
		ffs_cache_pending[i] = 0;
		pg_atomic_write_u64(&shared->counters[i], 0);
	}
}

void
ffs_cache_figures(StoreFigures *figures)
{
	memset(figures, 0, sizeof(StoreFigures));
	for (int i = 0; i < N_COUNTERS; i++)
		figures->counters[i] = pg_atomic_read_u64(&shared->counters[i]) + ffs_cache_pending[i];
	for (uint32 p = 0; p < npartitions; p++)
	{
		Partition  *part = &shared->partitions[p].partition;

		LWLockAcquire(&part->lock, LW_SHARED);
		figures->entries += part->nentries;
		figures->used_bytes += (uint64) (nblocks - part->nfree) * BLOCK_SIZE;
		LWLockRelease(&part->lock);
	}
	figures->capacity_bytes = (uint64) npartitions * nblocks * BLOCK_SIZE;
	figures->shared_bytes = shared_size();
	figures->max_row = FIRST_ROOM + (Size) (nblocks / 4 - 1) * MORE_ROOM - MAX_KEY_BYTES;
	figures->blocked = ffs_cache_full_xmin(GetActiveSnapshot()) < ffs_cache_floor();
}
