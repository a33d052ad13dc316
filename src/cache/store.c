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

#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "cache/blocks.h"
#include "cache/front.h"

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

		if (at > ffs_cache_blocks.nblocks || n == FEW_ENTRIES)
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

		if (more == 0 || more > ffs_cache_blocks.nblocks)
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
	Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;
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
	at = ffs_cache_find_entry(p, key);
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
	ffs_cache_copy_out(p, entry, entry->key_length, length, *row);
	if (pinned)
		pg_atomic_fetch_sub_u32(&entry->pins, 1);
	else
		LWLockRelease(&part->lock);
	return STORE_ROW;
}

static inline void
prefetch_block(uint32 partition, uint32 number)
{
	char	   *block = block_at(partition, number);

	for (int line = 0; line < BLOCK_SIZE; line += 64)
		ffs_compat_prefetch(block + line);
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
		ffs_compat_prefetch(&ffs_cache_blocks.shared->partitions[partition_of(hashes[i])]);
		ffs_compat_prefetch(bucket_of(hashes[i]));
	}
	for (int i = 0; i < n; i++)
	{
		at[i] = *(volatile uint32 *) &bucket_of(hashes[i])->first;
		if (at[i] != 0 && at[i] <= ffs_cache_blocks.nblocks)
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
		if (at[i] != 0 && at[i] <= ffs_cache_blocks.nblocks)
			prefetch_block(partition_of(hashes[i]), at[i]);
		else
			at[i] = 0;
	}
	for (int i = 0; i < n; i++)
	{
		uint32		more = at[i] == 0 ? 0 :
			*(volatile uint32 *) block_at(partition_of(hashes[i]), at[i]);

		if (more != 0 && more <= ffs_cache_blocks.nblocks)
			prefetch_block(partition_of(hashes[i]), more);
	}
}

/* ---- fillers ---- */

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
	entry = ffs_cache_place_entry(p, key, generation, length, policy);
	if (entry == NULL)
	{
		end_changes(p);
		return false;
	}
	entry->insert_generation = insert_generation;
	entry->xmin = row != NULL ? xmin : InvalidTransactionId;
	ffs_cache_copy_in(p, entry, key->length, length, row);
	end_changes(p);
	ffs_cache_pending[COUNT_FILLS]++;
	return true;

refused:
	ffs_cache_pending[COUNT_REFUSED]++;
	return false;
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
			ffs_cache_blocks.shared->partitions[p].partition.nentries--;
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

		if (at != 0 && at <= ffs_cache_blocks.nblocks)
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
	ffs_compat_prefetch(&ffs_cache_blocks.shared->partitions[partition_of(hash)]);
	ffs_compat_prefetch(bucket_of(hash));
	waiting[nwaiting++] = hash;
	if (nwaiting == FEW_KEYS || ending)
		ffs_cache_fence_waiting();
}
