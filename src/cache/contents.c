/*-------------------------------------------------------------------------
 *
 * contents.c
 *		All that is in the store: taken out by table, gone through, counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "cache/blocks.h"

uint64		ffs_cache_pending[N_COUNTERS];

/* ---- taken out ---- */

/* Is it of the relation, or, of no relation, what the caller wants? */
static bool
is_wanted(uint32 p, Entry *entry, Oid relid, StoreWanted wanted)
{
	char	   *bytes;
	bool		result;

	if (OidIsValid(entry->relid) || wanted == NULL)
		return entry->relid == relid;
	bytes = palloc(entry->row_length);
	ffs_cache_copy_out(p, entry, entry->key_length, entry->row_length, bytes);
	result = wanted(bytes, entry->row_length, entry->key_length, relid);
	pfree(bytes);
	return result;
}

uint64
ffs_cache_remove(Oid relid, StoreWanted wanted)
{
	uint64		removed = 0;

	for (uint32 p = 0; p < ffs_cache_blocks.npartitions; p++)
	{

		CHECK_FOR_INTERRUPTS();
		begin_changes(p);
		for (uint32 at = 1; at <= ffs_cache_blocks.nblocks; at++)
		{
			Entry	   *entry = (Entry *) block_at(p, at);

			if (*state_of(p, at) == BLOCK_ENTRY && entry->dboid == MyDatabaseId && is_wanted(p, entry, relid, wanted))
			{
				if (!is_useless(entry))
					removed++;
				ffs_cache_remove_entry_at(p, at);
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
	if (ffs_cache_blocks.shared == NULL || p >= ffs_cache_blocks.npartitions)
		return false;
	lock = &ffs_cache_blocks.shared->partitions[p].partition.lock;
	end = Min(cursor->block + BLOCKS_AT_ONCE, ffs_cache_blocks.nblocks);
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
		ffs_cache_copy_out(p, entry, 0, entry->key_length, row->bytes);
		(*n)++;
	}
	LWLockRelease(lock);
	if (cursor->block >= ffs_cache_blocks.nblocks)
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
			pg_atomic_fetch_add_u64(&ffs_cache_blocks.shared->counters[i], ffs_cache_pending[i]);
		ffs_cache_pending[i] = 0;
	}
}

void
ffs_cache_reset_counters(void)
{
	for (int i = 0; i < N_COUNTERS; i++)
	{
		ffs_cache_pending[i] = 0;
		pg_atomic_write_u64(&ffs_cache_blocks.shared->counters[i], 0);
	}
}

void
ffs_cache_figures(StoreFigures *figures)
{
	memset(figures, 0, sizeof(StoreFigures));
	for (int i = 0; i < N_COUNTERS; i++)
		figures->counters[i] = pg_atomic_read_u64(&ffs_cache_blocks.shared->counters[i]) + ffs_cache_pending[i];
	for (uint32 p = 0; p < ffs_cache_blocks.npartitions; p++)
	{
		Partition  *part = &ffs_cache_blocks.shared->partitions[p].partition;

		LWLockAcquire(&part->lock, LW_SHARED);
		figures->entries += part->nentries;
		figures->used_bytes += (uint64) (ffs_cache_blocks.nblocks - part->nfree) * BLOCK_SIZE;
		LWLockRelease(&part->lock);
	}
	figures->capacity_bytes = (uint64) ffs_cache_blocks.npartitions * ffs_cache_blocks.nblocks * BLOCK_SIZE;
	figures->shared_bytes = ffs_cache_shared_size();
	figures->max_row = FIRST_ROOM + (Size) (ffs_cache_blocks.nblocks / 4 - 1) * MORE_ROOM - MAX_KEY_BYTES;
	figures->blocked = ffs_cache_full_xmin(GetActiveSnapshot()) < ffs_cache_floor();
}
