/*-------------------------------------------------------------------------
 *
 * counters.c
 *		Counters of operations on tables, in shared memory.
 *
 * Two stages.  Counts of work that may yet be rolled back are kept in the
 * backend, per table, operation and subtransaction nesting level: a
 * subtransaction that commits hands them to its parent, one that aborts drops
 * them, and the end of the transaction adds them to shared memory or drops
 * them.  Errors and tenant violations go to shared memory at once, since the
 * transaction that meets them is about to abort.  What has begun and has not
 * ended when its level aborts is what failed: that is one error each.
 *
 * PREPARE TRANSACTION drops its counts: whether the work is done is not known
 * yet, another session may decide it after a restart, and extensions have no
 * place in a two-phase state file.  How many were dropped is counted.
 *
 * Shared memory is one block: Shared, then an open-addressing index by
 * (database, table) with linear probing, then the entries.  Its size is fixed
 * by ffstorage.max_tables.  Which lock guards what:
 *
 *	- Shared.lock: the index, the free list, Shared.nused, and an entry's
 *	  dboid, relid, next_free.  Taken shared to find an entry, and held while
 *	  the entry is counted in, so that it cannot become another's meanwhile;
 *	  exclusive to add and remove entries.
 *	- OpSlot.mutex (a spinlock): that slot's counts.  Readers copy them whole
 *	  under it, so that calls, times and histogram belong together.
 *	- TableEntry.mutex (a spinlock): violations, last_violation.
 *	- Shared.no_room, Shared.prepared: atomics.
 *	- Shared.nused is also read without the lock, as a hint.
 *
 * An entry goes when DROP TABLE or DROP DATABASE commits.  Should that be
 * missed (a prepared transaction dropped the table), readers do not show it,
 * since the table is not in pg_class, and it is taken out when room is needed.
 *
 * On a clean shutdown all is written to a file, which the next start reads and
 * removes; after a crash the counters begin at zero, as the server's own do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_control.h"
#include "catalog/pg_database.h"
#include "common/controldata_utils.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/counters.h"
#include "stats/histogram.h"
#include "stats/stats.h"

#define DUMP_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/ffstorage.stat"
#define DUMP_MAGIC		0x46465332	/* changes with TableEntry */
#define RECLAIM_EVERY	(60 * USECS_PER_SEC)

/* Names of operations, as ffs_stat_operations shows them. */
static const char *const operation_names[FFS_NOPERATIONS] = {
	[FFS_OP_INSERT] = "insert",
	[FFS_OP_UPDATE] = "update",
	[FFS_OP_DELETE] = "delete",
	[FFS_OP_TRUNCATE] = "truncate",
	[FFS_OP_RESTORE] = "restore",
	[FFS_OP_CREATE] = "ffs_create",
	[FFS_OP_CREATE_MANY] = "ffs_create_many",
	[FFS_OP_GET] = "ffs_get",
	[FFS_OP_GET_MANY] = "ffs_get_many",
	[FFS_OP_UPDATE_ONE] = "ffs_update",
	[FFS_OP_DELETE_ONE] = "ffs_delete",
	[FFS_OP_LIST] = "ffs_list",
	[FFS_OP_COUNT] = "ffs_count",
	[FFS_OP_UPDATE_MANY] = "ffs_update_many",
	[FFS_OP_DELETE_MANY] = "ffs_delete_many",
	[FFS_OP_RESTORE_MANY] = "ffs_restore_many",
	[FFS_OP_CREATE_RECORDS] = "ffs_create_records",
};

const char *
ffs_stats_operation_name(FfsOperation op)
{
	return operation_names[op];
}

/* ---- what is in shared memory ---- */

typedef struct Counts
{
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
	uint64		min_ns;			/* of a call; PG_UINT64_MAX before the first */
	uint64		max_ns;
	uint32		histogram[FFS_HISTOGRAM_BUCKETS];
} Counts;

typedef struct OpSlot
{
	slock_t		mutex;
	Counts		counts;
} OpSlot;

typedef struct TableEntry
{
	Oid			dboid;			/* InvalidOid where the entry is free */
	Oid			relid;
	int			next_free;		/* -1 at the end */
	slock_t		mutex;
	uint64		violations;
	TimestampTz last_violation;
	OpSlot		ops[FFS_NOPERATIONS];
} TableEntry;

typedef struct Shared
{
	LWLock		lock;
	int			tranche;
	int			capacity;
	int			nused;
	int			first_free;		/* -1 where none is */
	uint32		index_mask;
	pg_atomic_uint64 no_room;
	pg_atomic_uint64 prepared;
} Shared;

static Shared *shared = NULL;
static int32 *shared_index;		/* entry number, -1 where empty */
static TableEntry *entries;

/* ---- what is pending in this backend ---- */

typedef struct PendingKey
{
	Oid			relid;
	FfsOperation op;
} PendingKey;

/* Of short calls so many are timed, then one of so many on average. */
#define SHORT_TIMED	64
#define SHORT_EVERY 16

/* How many different buckets are kept before a whole histogram is made. */
#define FEW 6

typedef struct Pending
{
	PendingKey	key;
	int			nest;			/* subtransaction nesting level */
	int			open;			/* begun and not yet counted */
	uint64		calls;
	uint64		rows;
	uint64		total_ns;
	uint64		min_ns;
	uint64		max_ns;
	uint32		nshort;			/* short calls that were timed because they were the first */
	uint32		untimed;		/* short calls since the last one that was timed */
	uint32		next_timed;		/* after so many */
	uint64		short_ns;		/* what that one took */
	int			nfew;
	uint16		few_bucket[FEW];
	uint32		few_count[FEW];
	uint32	   *histogram;		/* NULL while few do */
	struct Pending *upper;		/* same key, lower nesting level */
	struct Pending *next;		/* same nesting level */
} Pending;

typedef struct PendingEntry
{
	PendingKey	key;
	Pending    *top;
} PendingEntry;

/* A table or database that is dropped if this level commits. */
typedef struct Dropped
{
	Oid			dboid;
	Oid			relid;			/* InvalidOid: all of the database */
	struct Dropped *next;
} Dropped;

typedef struct Level
{
	int			nest;
	Pending    *pending;
	Dropped    *dropped;
	struct Level *prev;
} Level;

static HTAB *pending_hash = NULL;
static Level *levels = NULL;	/* innermost first; in TopTransactionContext */
static Pending *recent = NULL;	/* the last one found, of the innermost level */
static TimestampTz next_reclaim = 0;

static object_access_hook_type prev_object_access_hook = NULL;

/* ---- entries ---- */

static inline uint32
index_start(Oid dboid, Oid relid)
{
	return hash_combine(murmurhash32(dboid), murmurhash32(relid)) & shared->index_mask;
}

/* The place in the index that holds the key, or the empty one where it would go. */
static uint32
index_find(Oid dboid, Oid relid)
{
	uint32		i = index_start(dboid, relid);

	while (shared_index[i] >= 0)
	{
		TableEntry *entry = &entries[shared_index[i]];

		if (entry->dboid == dboid && entry->relid == relid)
			break;
		i = (i + 1) & shared->index_mask;
	}
	return i;
}

/* Zero the counts of an entry that nobody else can reach. */
static void
clear_counts(TableEntry *entry)
{
	entry->violations = 0;
	entry->last_violation = 0;
	for (int op = 0; op < FFS_NOPERATIONS; op++)
	{
		memset(&entry->ops[op].counts, 0, sizeof(Counts));
		entry->ops[op].counts.min_ns = PG_UINT64_MAX;
	}
}

/* Add an entry; NULL where there is no room.  Lock held exclusively. */
static TableEntry *
add_entry(Oid dboid, Oid relid)
{
	uint32		at = index_find(dboid, relid);
	int			number = shared_index[at];
	TableEntry *entry;

	if (number >= 0)
		return &entries[number];
	number = shared->first_free;
	if (number < 0)
		return NULL;
	entry = &entries[number];
	shared->first_free = entry->next_free;
	shared->nused++;
	clear_counts(entry);
	entry->dboid = dboid;
	entry->relid = relid;
	shared_index[at] = number;
	return entry;
}

/* Take an entry out, if it is there.  Lock held exclusively. */
static void
remove_entry(Oid dboid, Oid relid)
{
	uint32		hole = index_find(dboid, relid);
	int			number = shared_index[hole];

	if (number < 0)
		return;
	entries[number].dboid = InvalidOid;
	entries[number].relid = InvalidOid;
	entries[number].next_free = shared->first_free;
	shared->first_free = number;
	shared->nused--;

	/* Move later ones of the run back, so that no probe ends early. */
	shared_index[hole] = -1;
	for (uint32 i = (hole + 1) & shared->index_mask;
		 shared_index[i] >= 0;
		 i = (i + 1) & shared->index_mask)
	{
		TableEntry *entry = &entries[shared_index[i]];
		uint32		start = index_start(entry->dboid, entry->relid);

		if (((i - start) & shared->index_mask) >= ((i - hole) & shared->index_mask))
		{
			shared_index[hole] = shared_index[i];
			shared_index[i] = -1;
			hole = i;
		}
	}
}

/*
 * Find a table's entry or make it, and return with the lock held (shared, or
 * exclusively where it was made); NULL, with no lock held and the loss
 * counted, where there is no room.
 */
static TableEntry *
lock_entry(Oid relid)
{
	int			number;
	TableEntry *entry;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = shared_index[index_find(MyDatabaseId, relid)];
	if (number >= 0)
		return &entries[number];
	LWLockRelease(&shared->lock);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = add_entry(MyDatabaseId, relid);
	if (entry == NULL)
	{
		LWLockRelease(&shared->lock);
		pg_atomic_fetch_add_u64(&shared->no_room, 1);
	}
	return entry;
}

static void
unlock_entry(void)
{
	LWLockRelease(&shared->lock);
}

/*
 * Make room: take out entries of tables and databases that are gone.  Looks
 * into the catalogs, hence not under the lock and only within a transaction.
 * (A table whose DROP is not committed yet counts as gone to its dropper;
 * should that roll back, its figures begin anew.)
 */
static void
reclaim_entries(void)
{
	PendingKey *keys;
	Oid		   *dboids;
	int			n = 0;

	keys = palloc(sizeof(PendingKey) * shared->capacity);
	dboids = palloc(sizeof(Oid) * shared->capacity);
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->capacity; i++)
	{
		if (!OidIsValid(entries[i].dboid))
			continue;
		dboids[n] = entries[i].dboid;
		keys[n++].relid = entries[i].relid;
	}
	LWLockRelease(&shared->lock);

	for (int i = 0; i < n; i++)
	{
		bool		gone;

		CHECK_FOR_INTERRUPTS();
		if (dboids[i] == MyDatabaseId)
			gone = OidIsValid(keys[i].relid) &&
				!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(keys[i].relid));
		else
			gone = !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dboids[i]));
		if (gone)
		{
			LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
			remove_entry(dboids[i], keys[i].relid);
			LWLockRelease(&shared->lock);
		}
	}
	pfree(keys);
	pfree(dboids);
}

/* ---- histograms ---- */

/*
 * Add to a bucket.  When it would pass 32 bits the whole histogram is halved:
 * the shares, and so the percentiles, stay.
 */
static inline void
add_to_bucket(uint32 *histogram, int bucket, uint32 n)
{
	n = Min(n, (uint32) PG_INT32_MAX);
	if (unlikely(histogram[bucket] > PG_UINT32_MAX - n))
	{
		for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
			histogram[i] /= 2;
	}
	histogram[bucket] += n;
}

/* The duration, in milliseconds, that the share `q` of calls did not exceed. */
static double
percentile_ms(const Counts *counts, double q)
{
	uint64		n = 0;
	uint64		seen = 0;
	uint64		rank;
	double		ns = 0.0;

	for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
		n += counts->histogram[i];
	rank = (uint64) ceil(q * n);
	for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
	{
		seen += counts->histogram[i];
		if (seen >= rank && counts->histogram[i] > 0)
		{
			ns = ffs_histogram_value(i);
			break;
		}
	}
	ns = Max(ns, (double) counts->min_ns);
	ns = Min(ns, (double) counts->max_ns);
	return ns / 1e6;
}

/* ---- errors, at once ---- */

static void
add_errors(Oid relid, FfsOperation op, int n)
{
	TableEntry *entry;

	if (!ffs_stats_enabled())
		return;
	entry = lock_entry(relid);
	if (entry == NULL)
		return;
	SpinLockAcquire(&entry->ops[op].mutex);
	entry->ops[op].counts.errors += n;
	SpinLockRelease(&entry->ops[op].mutex);
	unlock_entry();
}

/* ---- pending counts ---- */

static Level *
current_level(void)
{
	int			nest = GetCurrentTransactionNestLevel();

	if (levels == NULL || levels->nest != nest)
	{
		Level	   *level = MemoryContextAllocZero(TopTransactionContext, sizeof(Level));

		level->nest = nest;
		level->prev = levels;
		levels = level;
	}
	return levels;
}

static void
add_to_few(Pending *pending, int bucket, uint32 n)
{
	if (pending->histogram == NULL)
	{
		for (int i = 0; i < pending->nfew; i++)
		{
			if (pending->few_bucket[i] == bucket &&
				pending->few_count[i] <= PG_UINT32_MAX - n)
			{
				pending->few_count[i] += n;
				return;
			}
		}
		if (pending->nfew < FEW)
		{
			pending->few_bucket[pending->nfew] = bucket;
			pending->few_count[pending->nfew++] = n;
			return;
		}
		pending->histogram = MemoryContextAllocZero(TopTransactionContext,
													sizeof(uint32) * FFS_HISTOGRAM_BUCKETS);
		for (int i = 0; i < pending->nfew; i++)
			add_to_bucket(pending->histogram, pending->few_bucket[i], pending->few_count[i]);
		pending->nfew = 0;
	}
	add_to_bucket(pending->histogram, bucket, n);
}

static Pending *
find_pending(Oid relid, FfsOperation op)
{
	Level	   *level = current_level();
	PendingKey	key = {relid, op};
	PendingEntry *entry;
	Pending    *pending;
	bool		found;

	if (recent != NULL && recent->key.relid == relid && recent->key.op == op &&
		recent->nest == level->nest)
		return recent;
	if (pending_hash == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(PendingKey);
		ctl.entrysize = sizeof(PendingEntry);
		ctl.hcxt = TopMemoryContext;
		pending_hash = hash_create("ffstorage pending counts", 64, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(pending_hash, &key, HASH_ENTER, &found);
	if (!found)
		entry->top = NULL;
	if (entry->top != NULL && entry->top->nest == level->nest)
		return recent = entry->top;

	pending = MemoryContextAllocZero(TopTransactionContext, sizeof(Pending));
	pending->key = key;
	pending->nest = level->nest;
	pending->min_ns = PG_UINT64_MAX;
	pending->upper = entry->top;
	pending->next = level->pending;
	entry->top = pending;
	level->pending = pending;
	return recent = pending;
}

static inline void
add_times(Pending *pending, uint64 each, uint32 n)
{
	pending->total_ns += each * n;
	pending->min_ns = Min(pending->min_ns, each);
	pending->max_ns = Max(pending->max_ns, each);
	add_to_few(pending, ffs_histogram_bucket(each), n);
}

/* No more short calls will be timed here: those that were not took as long as the last one that was. */
static void
settle_short(Pending *pending)
{
	if (pending->untimed > 0)
		add_times(pending, pending->short_ns, pending->untimed);
	pending->untimed = 0;
}

/*
 * Forget a level's counts, giving way to those of the levels above it.  What
 * is open when it aborts is what failed.
 */
static void
drop_level(bool aborted)
{
	recent = NULL;
	for (Pending *pending = levels->pending; pending != NULL; pending = pending->next)
	{
		PendingEntry *entry = hash_search(pending_hash, &pending->key, HASH_FIND, NULL);

		if (aborted && pending->open > 0)
			add_errors(pending->key.relid, pending->key.op, pending->open);
		if (pending->upper != NULL)
			entry->top = pending->upper;
		else
			hash_search(pending_hash, &pending->key, HASH_REMOVE, NULL);
	}
	levels = levels->prev;
}

/* A subtransaction has committed: what it counted is its parent's now. */
static void
merge_level(void)
{
	Level	   *level = levels;
	Level	   *parent = level->prev;
	Pending    *next;

	recent = NULL;
	if (parent == NULL || parent->nest < level->nest - 1)
	{
		/* the parent has none: hand over the whole list */
		level->nest--;
		for (Pending *pending = level->pending; pending != NULL; pending = pending->next)
			pending->nest--;
		return;
	}

	for (Pending *pending = level->pending; pending != NULL; pending = next)
	{
		Pending    *upper = pending->upper;
		PendingEntry *entry;

		next = pending->next;
		settle_short(pending);
		if (upper == NULL || upper->nest < level->nest - 1)
		{
			pending->nest--;
			pending->next = parent->pending;
			parent->pending = pending;
			continue;
		}
		upper->calls += pending->calls;
		upper->rows += pending->rows;
		upper->total_ns += pending->total_ns;
		upper->min_ns = Min(upper->min_ns, pending->min_ns);
		upper->max_ns = Max(upper->max_ns, pending->max_ns);
		for (int i = 0; i < pending->nfew; i++)
			add_to_few(upper, pending->few_bucket[i], pending->few_count[i]);
		if (pending->histogram != NULL)
		{
			for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
			{
				if (pending->histogram[i] > 0)
					add_to_few(upper, i, pending->histogram[i]);
			}
			pfree(pending->histogram);
		}
		entry = hash_search(pending_hash, &pending->key, HASH_FIND, NULL);
		entry->top = upper;
		pfree(pending);
	}
	if (level->dropped != NULL)
	{
		Dropped    *last = level->dropped;

		while (last->next != NULL)
			last = last->next;
		last->next = parent->dropped;
		parent->dropped = level->dropped;
	}
	levels = parent;
	pfree(level);
}

/* Add to shared memory what one table and operation counted. */
static void
flush_pending(const Pending *pending)
{
	TableEntry *entry = lock_entry(pending->key.relid);
	OpSlot	   *slot;
	Counts	   *counts;

	if (entry == NULL)
		return;
	slot = &entry->ops[pending->key.op];
	counts = &slot->counts;
	SpinLockAcquire(&slot->mutex);
	counts->calls += pending->calls;
	counts->rows += pending->rows;
	counts->total_ns += pending->total_ns;
	counts->min_ns = Min(counts->min_ns, pending->min_ns);
	counts->max_ns = Max(counts->max_ns, pending->max_ns);
	for (int i = 0; i < pending->nfew; i++)
		add_to_bucket(counts->histogram, pending->few_bucket[i], pending->few_count[i]);
	if (pending->histogram != NULL)
	{
		for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
		{
			if (pending->histogram[i] > 0)
				add_to_bucket(counts->histogram, i, pending->histogram[i]);
		}
	}
	SpinLockRelease(&slot->mutex);
	unlock_entry();
}

/* Take out the entries of what the transaction has dropped. */
static void
flush_dropped(const Dropped *dropped)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (; dropped != NULL; dropped = dropped->next)
	{
		if (OidIsValid(dropped->relid))
		{
			remove_entry(dropped->dboid, dropped->relid);
			continue;
		}
		for (int i = 0; i < shared->capacity; i++)
		{
			if (entries[i].dboid == dropped->dboid)
				remove_entry(entries[i].dboid, entries[i].relid);
		}
	}
	LWLockRelease(&shared->lock);
}

/*
 * The transaction ends.  Nothing here may fail: it has committed already.
 * A parallel worker only reads, so that its counts are true whatever the
 * leader does afterwards.
 */
static void
at_transaction_end(XactEvent event, void *arg pg_attribute_unused())
{
	if (levels == NULL)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			Assert(levels->prev == NULL);
			for (Pending *pending = levels->pending; pending != NULL; pending = pending->next)
			{
				settle_short(pending);
				flush_pending(pending);
			}
			if (levels->dropped != NULL)
				flush_dropped(levels->dropped);
			break;
		case XACT_EVENT_PREPARE:
			for (Pending *pending = levels->pending; pending != NULL; pending = pending->next)
				pg_atomic_fetch_add_u64(&shared->prepared, pending->calls);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
		default:
			return;				/* not at the end yet */
	}
	while (levels != NULL)
		drop_level(event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mySubid pg_attribute_unused(),
					  SubTransactionId parentSubid pg_attribute_unused(),
					  void *arg pg_attribute_unused())
{
	if (levels == NULL || levels->nest < GetCurrentTransactionNestLevel())
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		merge_level();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		drop_level(true);
}

/* Has this table an entry, or may it get one when this transaction commits? */
static bool
has_counts(Oid relid)
{
	bool		found;

	if (pending_hash != NULL && hash_get_num_entries(pending_hash) > 0)
		return true;
	if (shared->nused == 0)
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	found = shared_index[index_find(MyDatabaseId, relid)] >= 0;
	LWLockRelease(&shared->lock);
	return found;
}

/* Note what is dropped, so that its figures go when that commits. */
static void
object_access(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, classId, objectId, subId, arg);

	if (access == OAT_DROP && subId == 0 && shared != NULL &&
		(classId == DatabaseRelationId ||
		 (classId == RelationRelationId && has_counts(objectId))))
	{
		bool		database = (classId == DatabaseRelationId);
		Level	   *level = current_level();
		Dropped    *dropped = MemoryContextAlloc(TopTransactionContext, sizeof(Dropped));

		dropped->dboid = database ? objectId : MyDatabaseId;
		dropped->relid = database ? InvalidOid : objectId;
		dropped->next = level->dropped;
		level->dropped = dropped;
	}
}

/* ---- counting ---- */

bool
ffs_stats_enabled(void)
{
	return shared != NULL && ffs_stats_track;
}

void
ffs_stats_begin(Oid relid, FfsOperation op)
{
	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	Assert(op >= 0 && op < FFS_NOPERATIONS);
	find_pending(relid, op)->open++;
}

void
ffs_stats_count(Oid relid, FfsOperation op, uint64 calls, uint64 rows, uint64 nanoseconds)
{
	Pending    *pending;

	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	Assert(op >= 0 && op < FFS_NOPERATIONS);

	if (unlikely(shared->nused >= shared->capacity))
	{
		TimestampTz now = GetCurrentStatementStartTimestamp();

		if (now >= next_reclaim)
		{
			next_reclaim = now + RECLAIM_EVERY;
			reclaim_entries();
		}
	}

	pending = find_pending(relid, op);
	if (pending->open > 0)
		pending->open--;
	pending->calls += calls;
	pending->rows += rows;
	pending->total_ns += nanoseconds;
	if (calls > 0)
	{
		uint64		each = nanoseconds / calls;

		pending->min_ns = Min(pending->min_ns, each);
		pending->max_ns = Max(pending->max_ns, each);
		add_to_few(pending, ffs_histogram_bucket(each), (uint32) Min(calls, PG_INT32_MAX));
	}
}

bool
ffs_stats_times_short(Oid relid, FfsOperation op)
{
	Pending    *pending;

	if (!ffs_stats_enabled() || !IsTransactionState())
		return false;
	pending = find_pending(relid, op);
	return pending->nshort < SHORT_TIMED || pending->untimed >= pending->next_timed;
}

void
ffs_stats_count_short(Oid relid, FfsOperation op, uint64 rows, uint64 nanoseconds)
{
	static uint32 chance = 1;
	Pending    *pending;

	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	pending = find_pending(relid, op);
	pending->calls++;
	pending->rows += rows;
	if (nanoseconds == 0)
	{
		pending->untimed++;
		return;
	}
	if (pending->nshort < SHORT_TIMED)
		pending->nshort++;
	add_times(pending, nanoseconds, pending->untimed + 1);
	pending->untimed = 0;
	pending->short_ns = nanoseconds;
	/* never in step with what the caller does */
	chance = chance * UINT32_C(1664525) + UINT32_C(1013904223);
	pending->next_timed = (chance >> 16) % (2 * SHORT_EVERY - 1);
}

void
ffs_stats_count_error(Oid relid, FfsOperation op)
{
	Assert(op >= 0 && op < FFS_NOPERATIONS);
	add_errors(relid, op, 1);
}

void
ffs_stats_count_violation(Oid relid)
{
	TableEntry *entry;
	TimestampTz now;

	if (!ffs_stats_enabled())
		return;
	now = GetCurrentTimestamp();
	entry = lock_entry(relid);
	if (entry == NULL)
		return;
	SpinLockAcquire(&entry->mutex);
	entry->violations++;
	entry->last_violation = Max(entry->last_violation, now);
	SpinLockRelease(&entry->mutex);
	unlock_entry();
}

/* ---- reading ---- */

/*
 * Copy entry number i if it is one of this database's and its table is there.
 */
static bool
read_entry(int i, TableEntry *copy)
{
	TableEntry *entry = &entries[i];

	LWLockAcquire(&shared->lock, LW_SHARED);
	if (entry->dboid != MyDatabaseId)
	{
		LWLockRelease(&shared->lock);
		return false;
	}
	copy->relid = entry->relid;
	SpinLockAcquire(&entry->mutex);
	copy->violations = entry->violations;
	copy->last_violation = entry->last_violation;
	SpinLockRelease(&entry->mutex);
	for (int op = 0; op < FFS_NOPERATIONS; op++)
	{
		SpinLockAcquire(&entry->ops[op].mutex);
		copy->ops[op].counts = entry->ops[op].counts;
		SpinLockRelease(&entry->ops[op].mutex);
	}
	LWLockRelease(&shared->lock);

	CHECK_FOR_INTERRUPTS();
	return !OidIsValid(copy->relid) ||
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(copy->relid));
}

PG_FUNCTION_INFO_V1(stat_operations);

/*
 * ffstorage.stat_operations(): one row for each table and operation that has
 * been counted in this database.
 */
Datum
stat_operations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TableEntry *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;

	copy = palloc(sizeof(TableEntry));
	for (int i = 0; i < shared->capacity; i++)
	{
		if (!read_entry(i, copy))
			continue;
		for (int op = 0; op < FFS_NOPERATIONS; op++)
		{
			const Counts *counts = &copy->ops[op].counts;
			Datum		values[12];
			bool		nulls[12] = {0};

			if (counts->calls == 0 && counts->rows == 0 && counts->errors == 0)
				continue;
			values[0] = ObjectIdGetDatum(copy->relid);
			nulls[0] = !OidIsValid(copy->relid);
			values[1] = CStringGetTextDatum(operation_names[op]);
			values[2] = Int64GetDatum((int64) counts->calls);
			values[3] = Int64GetDatum((int64) counts->rows);
			values[4] = Int64GetDatum((int64) counts->errors);
			values[5] = Float8GetDatum(counts->total_ns / 1e6);
			if (counts->calls > 0)
			{
				values[6] = Float8GetDatum(counts->total_ns / 1e6 / counts->calls);
				values[7] = Float8GetDatum(counts->min_ns / 1e6);
				values[8] = Float8GetDatum(counts->max_ns / 1e6);
				values[9] = Float8GetDatum(percentile_ms(counts, 0.50));
				values[10] = Float8GetDatum(percentile_ms(counts, 0.95));
				values[11] = Float8GetDatum(percentile_ms(counts, 0.99));
			}
			else
				memset(&nulls[6], true, 6);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	pfree(copy);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(stat_violations);

/*
 * ffstorage.stat_violations(): tenant violations per table of this database,
 * for tables that had any.
 */
Datum
stat_violations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TableEntry *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;

	copy = palloc(sizeof(TableEntry));
	for (int i = 0; i < shared->capacity; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {0};

		if (!read_entry(i, copy) || copy->violations == 0)
			continue;
		values[0] = ObjectIdGetDatum(copy->relid);
		nulls[0] = !OidIsValid(copy->relid);
		values[1] = Int64GetDatum((int64) copy->violations);
		values[2] = TimestampTzGetDatum(copy->last_violation);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	pfree(copy);
	return (Datum) 0;
}

bool
ffs_stats_usage(FfsStatsUsage *usage)
{
	if (shared == NULL)
		return false;
	usage->capacity = shared->capacity;
	LWLockAcquire(&shared->lock, LW_SHARED);
	usage->used = shared->nused;
	LWLockRelease(&shared->lock);
	usage->no_room = pg_atomic_read_u64(&shared->no_room);
	usage->prepared = pg_atomic_read_u64(&shared->prepared);
	return true;
}

uint64
ffs_stats_violations(TimestampTz *latest)
{
	TableEntry *copy = palloc(sizeof(TableEntry));
	uint64		sum = 0;

	*latest = 0;
	for (int i = 0; shared != NULL && i < shared->capacity; i++)
	{
		if (!read_entry(i, copy))
			continue;
		sum += copy->violations;
		*latest = Max(*latest, copy->last_violation);
	}
	pfree(copy);
	return sum;
}

PG_FUNCTION_INFO_V1(ffs_stats_reset);

/*
 * ffs_stats_reset(): forget this database's figures, and the cluster's count
 * of what could not be counted.
 */
Datum
ffs_stats_reset(PG_FUNCTION_ARGS)
{
	if (shared == NULL)
	{
		ereport(WARNING,
				(errmsg("there are no figures to reset"),
				 errdetail("ffstorage was not loaded when the server started."),
				 errhint("Add ffstorage to shared_preload_libraries and restart the server.")));
		PG_RETURN_VOID();
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->capacity; i++)
	{
		if (entries[i].dboid == MyDatabaseId)
			remove_entry(entries[i].dboid, entries[i].relid);
	}
	pg_atomic_write_u64(&shared->no_room, 0);
	pg_atomic_write_u64(&shared->prepared, 0);
	LWLockRelease(&shared->lock);
	PG_RETURN_VOID();
}

/* ---- over a restart ---- */

typedef struct DumpHeader
{
	uint32		magic;
	uint32		pg_version;
	uint32		entry_size;
	uint32		nentries;
} DumpHeader;

/*
 * Did the server come to a clean end?  The postmaster exits with 0 from an
 * immediate shutdown too, when a backend may have been stopped half-way
 * through a change here.
 */
static bool
clean_shutdown(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		clean = crc_ok && (control->state == DB_SHUTDOWNED ||
								   control->state == DB_SHUTDOWNED_IN_RECOVERY);

	pfree(control);
	return clean;
}

/* Write all entries to the file.  The server is going down; no one else is there. */
static void
dump_counters(int code, Datum arg pg_attribute_unused())
{
	FILE	   *file;
	DumpHeader	header;
	pg_crc32c	crc;

	if (code != 0 || shared == NULL || !clean_shutdown())
		return;					/* not after a crash */

	header.magic = DUMP_MAGIC;
	header.pg_version = PG_VERSION_NUM / 100;
	header.entry_size = sizeof(TableEntry);
	header.nentries = shared->nused;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &header, sizeof(header));

	file = AllocateFile(DUMP_FILE ".tmp", PG_BINARY_W);
	if (file == NULL)
		goto error;
	if (fwrite(&header, sizeof(header), 1, file) != 1)
		goto error;
	for (int i = 0; i < shared->capacity; i++)
	{
		if (!OidIsValid(entries[i].dboid))
			continue;
		COMP_CRC32C(crc, &entries[i], sizeof(TableEntry));
		if (fwrite(&entries[i], sizeof(TableEntry), 1, file) != 1)
			goto error;
	}
	FIN_CRC32C(crc);
	if (fwrite(&crc, sizeof(crc), 1, file) != 1)
		goto error;
	if (FreeFile(file))
	{
		file = NULL;
		goto error;
	}
	(void) durable_rename(DUMP_FILE ".tmp", DUMP_FILE, LOG);
	return;

error:
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", DUMP_FILE ".tmp")));
	if (file)
		FreeFile(file);
	unlink(DUMP_FILE ".tmp");
}

/*
 * Read the file, if there is one, and remove it, so that neither a backup nor
 * a crash brings it back.  A file that does not fit is left out with a message.
 */
static void
load_counters(void)
{
	FILE	   *file = AllocateFile(DUMP_FILE, PG_BINARY_R);
	DumpHeader	header;
	TableEntry *copy = NULL;
	pg_crc32c	crc,
				expected;

	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", DUMP_FILE)));
		return;
	}

	/* First the checksum of it all, then the entries. */
	for (int pass = 0; pass < 2; pass++)
	{
		rewind(file);
		if (fread(&header, sizeof(header), 1, file) != 1 ||
			header.magic != DUMP_MAGIC ||
			header.pg_version != PG_VERSION_NUM / 100 ||
			header.entry_size != sizeof(TableEntry))
			goto invalid;
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, &header, sizeof(header));
		if (copy == NULL)
			copy = palloc(sizeof(TableEntry));
		for (uint32 i = 0; i < header.nentries; i++)
		{
			TableEntry *entry;

			if (fread(copy, sizeof(TableEntry), 1, file) != 1)
				goto invalid;
			COMP_CRC32C(crc, copy, sizeof(TableEntry));
			if (pass == 0)
				continue;
			entry = add_entry(copy->dboid, copy->relid);
			if (entry == NULL)
				break;			/* ffstorage.max_tables was lowered */
			entry->violations = copy->violations;
			entry->last_violation = copy->last_violation;
			for (int op = 0; op < FFS_NOPERATIONS; op++)
				entry->ops[op].counts = copy->ops[op].counts;
		}
		FIN_CRC32C(crc);
		if (pass == 0 &&
			(fread(&expected, sizeof(expected), 1, file) != 1 || !EQ_CRC32C(crc, expected)))
			goto invalid;
	}
	goto done;

invalid:
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("ignoring invalid data in file \"%s\"", DUMP_FILE)));
done:
	if (copy != NULL)
		pfree(copy);
	FreeFile(file);
	unlink(DUMP_FILE);
}

/* ---- opening ---- */

static uint32
index_size(void)
{
	return pg_nextpower2_32(ffs_stats_max_tables * 2);
}

static Size
shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Shared));

	size = add_size(size, MAXALIGN(mul_size(sizeof(int32), index_size())));
	size = add_size(size, mul_size(sizeof(TableEntry), ffs_stats_max_tables));
	return size;
}

static void
shmem_setup(void *memory, bool found)
{
	uint32		nindex = index_size();

	shared = memory;
	shared_index = (int32 *) ((char *) memory + MAXALIGN(sizeof(Shared)));
	entries = (TableEntry *) ((char *) shared_index + MAXALIGN(sizeof(int32) * nindex));

	if (!found)
	{
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		shared->capacity = ffs_stats_max_tables;
		shared->nused = 0;
		shared->index_mask = nindex - 1;
		pg_atomic_init_u64(&shared->no_room, 0);
		pg_atomic_init_u64(&shared->prepared, 0);
		memset(shared_index, 0xff, sizeof(int32) * nindex);
		for (int i = 0; i < shared->capacity; i++)
		{
			TableEntry *entry = &entries[i];

			entry->dboid = InvalidOid;
			entry->relid = InvalidOid;
			entry->next_free = (i + 1 < shared->capacity) ? i + 1 : -1;
			SpinLockInit(&entry->mutex);
			for (int op = 0; op < FFS_NOPERATIONS; op++)
				SpinLockInit(&entry->ops[op].mutex);
			clear_counts(entry);
		}
		shared->first_free = 0;
	}
	LWLockRegisterTranche(shared->tranche, "ffstorage_stats");

	if (!IsUnderPostmaster)
		on_shmem_exit(dump_counters, (Datum) 0);
	if (!found)
		load_counters();
}

void
ffs_stats_init_counters(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage counters", shmem_size, shmem_setup);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}
