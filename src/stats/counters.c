/*-------------------------------------------------------------------------
 *
 * counters.c
 *		Counters per table and operation, in shared memory.
 *
 * One block: Shared, then an open-addressing index by (database, table) with
 * linear probing, then the tables, then a pool of operations: a table takes
 * one from it for each kind of operation that it sees.  The sizes are fixed by
 * ffstorage.max_tables.  An operation has counts over all time and ten of half
 * a minute each, which are used in turn: the window over the last 5 minutes.
 * Which lock guards what:
 *
 *	- Shared.lock: the index, the free lists, Shared.nused, a table's dboid,
 *	  relid, next_free and ops.  Taken shared to find an operation, and held
 *	  while it is counted in, so that it cannot become another's meanwhile;
 *	  exclusive to add and remove.
 *	- Operation.mutex (a spinlock): that operation's counts.  Readers copy
 *	  them whole under it, so that calls, times and histogram belong together.
 *	- TableEntry.mutex (a spinlock): violations, last_violation.
 *	- Shared.no_room, Shared.prepared: atomics.
 *	- Shared.nused is also read without the lock, as a hint.
 *
 * Writers do not come here for each call: see log.c.
 *
 * An entry goes when DROP TABLE or DROP DATABASE commits.  Should that be
 * missed (a prepared transaction dropped the table), readers do not show it,
 * since the table is not in pg_class, and it is taken out when room is needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

#define RECLAIM_EVERY	(60 * USECS_PER_SEC)

/* Operations in the pool for each table that there is room for. */
#define OPERATIONS_PER_TABLE	3

/* ---- what is in shared memory ---- */

typedef struct Window
{
	uint32		period;			/* that it counts; 0: none */
	uint32		shift;			/* one in the histogram stands for 2^shift calls */
	uint64		calls;
	uint64		rows;
	uint64		errors;
	uint64		total_ns;
	uint64		min_ns;
	uint64		max_ns;
	uint16		histogram[FFS_HISTOGRAM_BUCKETS];
} Window;

typedef struct Operation
{
	slock_t		mutex;
	int			next_free;		/* -1 at the end */
	FfsCounts	all;
	Window		windows[FFS_WINDOW_PERIODS];
} Operation;

typedef struct TableEntry
{
	Oid			dboid;			/* InvalidOid where the entry is free */
	Oid			relid;
	int			next_free;		/* -1 at the end */
	slock_t		mutex;
	uint64		violations;
	TimestampTz last_violation;
	int			ops[FFS_NOPERATIONS];	/* -1: not seen */
} TableEntry;

typedef struct Shared
{
	LWLock		lock;
	int			tranche;
	int			capacity;		/* tables */
	int			noperations;	/* in the pool */
	int			nused;			/* tables */
	int			first_free;		/* -1 where none is */
	int			first_free_operation;
	uint32		index_mask;
	pg_atomic_uint64 no_room;
	pg_atomic_uint64 prepared;
} Shared;

static Shared *shared = NULL;
static int32 *shared_index;		/* entry number, -1 where empty */
static TableEntry *entries;
static Operation *operations;

static TimestampTz next_reclaim = 0;

bool
ffs_stats_have_counters(void)
{
	return shared != NULL;
}

/* ---- histograms ---- */

/* A bit of chance: good enough to round by. */
static uint32
chance(void)
{
	static uint32 state = 2463534242U;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* n / 2^shift, up or down by chance, so that it is right on average. */
static uint64
scaled(uint64 n, uint32 shift)
{
	uint64		rest = n & ((UINT64CONST(1) << shift) - 1);

	return (n >> shift) + (rest > (chance() & ((UINT64CONST(1) << shift) - 1)) ? 1 : 0);
}

/*
 * Add to a bucket of a window.  When it would pass 16 bits the whole histogram
 * is halved: the shares, and so the percentiles, stay.
 */
static void
add_to_window_bucket(Window *window, int bucket, uint64 n)
{
	n = Min(n, UINT64CONST(1) << 40);
	if (unlikely(window->shift > 0))
		n = scaled(n, window->shift);
	while (unlikely(n + window->histogram[bucket] > PG_UINT16_MAX))
	{
		for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
			window->histogram[i] = (uint16) scaled(window->histogram[i], 1);
		n = scaled(n, 1);
		window->shift++;
	}
	window->histogram[bucket] += (uint16) n;
}

double
ffs_stats_percentile(const FfsCounts *counts, double q)
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
	return ns;
}

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
	entry->dboid = dboid;
	entry->relid = relid;
	entry->violations = 0;
	entry->last_violation = 0;
	memset(entry->ops, 0xff, sizeof(entry->ops));
	shared_index[at] = number;
	return entry;
}

/* Give an entry an operation; NULL where there is no room.  Lock held exclusively. */
static Operation *
add_operation(TableEntry *entry, FfsOperation op)
{
	int			number = entry->ops[op];
	Operation  *operation;

	if (number >= 0)
		return &operations[number];
	number = shared->first_free_operation;
	if (number < 0)
		return NULL;
	operation = &operations[number];
	shared->first_free_operation = operation->next_free;
	memset(&operation->all, 0, sizeof(operation->all));
	operation->all.min_ns = PG_UINT64_MAX;
	for (int i = 0; i < FFS_WINDOW_PERIODS; i++)
		operation->windows[i].period = 0;
	entry->ops[op] = number;
	return operation;
}

/* Take an entry out, if it is there.  Lock held exclusively. */
static void
remove_entry(Oid dboid, Oid relid)
{
	uint32		hole = index_find(dboid, relid);
	int			number = shared_index[hole];
	TableEntry *gone;

	if (number < 0)
		return;
	gone = &entries[number];
	for (int op = 0; op < FFS_NOPERATIONS; op++)
	{
		if (gone->ops[op] < 0)
			continue;
		operations[gone->ops[op]].next_free = shared->first_free_operation;
		shared->first_free_operation = gone->ops[op];
	}
	gone->dboid = InvalidOid;
	gone->relid = InvalidOid;
	gone->next_free = shared->first_free;
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
 * Find a table's entry or make it, and return with the lock held; NULL, with
 * no lock held and the loss counted, where there is no room.  With `operation`,
 * find or make the operation too.
 */
static TableEntry *
lock_entry(Oid dboid, Oid relid, FfsOperation op, Operation **operation)
{
	int			number;
	TableEntry *entry;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = shared_index[index_find(dboid, relid)];
	if (number >= 0)
	{
		entry = &entries[number];
		if (operation == NULL)
			return entry;
		if (entry->ops[op] >= 0)
		{
			*operation = &operations[entry->ops[op]];
			return entry;
		}
	}
	LWLockRelease(&shared->lock);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = add_entry(dboid, relid);
	if (entry != NULL && operation != NULL)
		*operation = add_operation(entry, op);
	if (entry == NULL || (operation != NULL && *operation == NULL))
	{
		LWLockRelease(&shared->lock);
		pg_atomic_fetch_add_u64(&shared->no_room, 1);
		return NULL;
	}
	return entry;
}

static void
unlock_entry(void)
{
	LWLockRelease(&shared->lock);
}

/*
 * Take out entries of tables and databases that are gone.  Looks into the
 * catalogs, hence not under the lock and only within a transaction.  (A table
 * whose DROP is not committed yet counts as gone to its dropper; should that
 * roll back, its figures begin anew.)
 */
static void
reclaim_entries(void)
{
	Oid		   *dboids = palloc(sizeof(Oid) * shared->capacity);
	Oid		   *relids = palloc(sizeof(Oid) * shared->capacity);
	int			n = 0;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->capacity; i++)
	{
		if (!OidIsValid(entries[i].dboid))
			continue;
		dboids[n] = entries[i].dboid;
		relids[n++] = entries[i].relid;
	}
	LWLockRelease(&shared->lock);

	for (int i = 0; i < n; i++)
	{
		bool		gone;

		CHECK_FOR_INTERRUPTS();
		if (dboids[i] == MyDatabaseId)
			gone = OidIsValid(relids[i]) &&
				!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relids[i]));
		else
			gone = !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dboids[i]));
		if (gone)
			ffs_stats_forget(dboids[i], relids[i]);
	}
	pfree(dboids);
	pfree(relids);
}

void
ffs_stats_make_room(void)
{
	TimestampTz now;

	if (likely(shared->nused < shared->capacity))
		return;
	now = GetCurrentStatementStartTimestamp();
	if (now >= next_reclaim)
	{
		next_reclaim = now + RECLAIM_EVERY;
		reclaim_entries();
	}
}

bool
ffs_stats_has_counts(Oid relid)
{
	bool		found;

	if (shared->nused == 0)
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	found = shared_index[index_find(MyDatabaseId, relid)] >= 0;
	LWLockRelease(&shared->lock);
	return found;
}

void
ffs_stats_forget(Oid dboid, Oid relid)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (OidIsValid(relid))
		remove_entry(dboid, relid);
	else
	{
		for (int i = 0; i < shared->capacity; i++)
		{
			if (entries[i].dboid == dboid)
				remove_entry(entries[i].dboid, entries[i].relid);
		}
	}
	LWLockRelease(&shared->lock);
}

/* ---- adding ---- */

/* The window of a period, emptied where it was another's; NULL where the period is over. */
static Window *
window_of(Operation *operation, uint32 period, uint32 now)
{
	Window	   *window = &operation->windows[period % FFS_WINDOW_PERIODS];

	if (window->period == period)
		return window;
	/* what is later than now was counted by a clock that has been set back */
	if (window->period > period && window->period <= now)
		return NULL;
	memset(window, 0, sizeof(Window));
	window->period = period;
	window->min_ns = PG_UINT64_MAX;
	return window;
}

void
ffs_stats_merge(Oid dboid, const FfsDelta *delta, uint32 now)
{
	Operation  *operation;
	FfsCounts  *all;
	Window	   *window;

	ffs_stats_merge_tenant(dboid, delta);
	if (lock_entry(dboid, delta->relid, delta->op, &operation) == NULL)
		return;
	all = &operation->all;
	SpinLockAcquire(&operation->mutex);
	all->calls += delta->calls;
	all->rows += delta->rows;
	all->errors += delta->errors;
	all->total_ns += delta->total_ns;
	all->min_ns = Min(all->min_ns, delta->min_ns);
	all->max_ns = Max(all->max_ns, delta->max_ns);
	window = window_of(operation, delta->period, now);
	if (window != NULL)
	{
		window->calls += delta->calls;
		window->rows += delta->rows;
		window->errors += delta->errors;
		window->total_ns += delta->total_ns;
		window->min_ns = Min(window->min_ns, delta->min_ns);
		window->max_ns = Max(window->max_ns, delta->max_ns);
	}
	if (delta->histogram == NULL)
	{
		for (int i = 0; i < delta->nbuckets; i++)
		{
			all->histogram[delta->buckets[i]]++;
			if (window != NULL)
				add_to_window_bucket(window, delta->buckets[i], 1);
		}
	}
	else
	{
		for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
		{
			if (delta->histogram[i] == 0)
				continue;
			all->histogram[i] += delta->histogram[i];
			if (window != NULL)
				add_to_window_bucket(window, i, delta->histogram[i]);
		}
	}
	SpinLockRelease(&operation->mutex);
	unlock_entry();
}

void
ffs_stats_add_violation(Oid relid, TimestampTz now)
{
	TableEntry *entry = lock_entry(MyDatabaseId, relid, 0, NULL);

	if (entry == NULL)
		return;
	SpinLockAcquire(&entry->mutex);
	entry->violations++;
	entry->last_violation = Max(entry->last_violation, now);
	SpinLockRelease(&entry->mutex);
	unlock_entry();
}

void
ffs_stats_lose_prepared(uint64 calls)
{
	pg_atomic_fetch_add_u64(&shared->prepared, calls);
}

/* ---- reading ---- */

/* What the last 5 minutes' windows hold, together. */
static void
sum_windows(const Window *windows, uint32 now, FfsCounts *sum)
{
	memset(sum, 0, sizeof(FfsCounts));
	sum->min_ns = PG_UINT64_MAX;
	for (int i = 0; i < FFS_WINDOW_PERIODS; i++)
	{
		const Window *window = &windows[i];

		if (window->period > now || window->period + FFS_WINDOW_PERIODS <= now)
			continue;
		sum->calls += window->calls;
		sum->rows += window->rows;
		sum->errors += window->errors;
		sum->total_ns += window->total_ns;
		sum->min_ns = Min(sum->min_ns, window->min_ns);
		sum->max_ns = Max(sum->max_ns, window->max_ns);
		for (int bucket = 0; bucket < FFS_HISTOGRAM_BUCKETS; bucket++)
			sum->histogram[bucket] += (uint64) window->histogram[bucket] << window->shift;
	}
}

/* Copy entry number i if it is one of this database's and its table is there. */
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
	SpinLockAcquire(&entry->mutex);
	*copy = *entry;
	SpinLockRelease(&entry->mutex);
	LWLockRelease(&shared->lock);

	CHECK_FOR_INTERRUPTS();
	return !OidIsValid(copy->relid) ||
		SearchSysCacheExists1(RELOID, ObjectIdGetDatum(copy->relid));
}

/* Copy the operation that entry number i had when it was copied, if it still has it. */
static bool
read_operation(int i, const TableEntry *entry, FfsOperation op, Operation *copy)
{
	Operation  *operation = NULL;

	LWLockAcquire(&shared->lock, LW_SHARED);
	if (entries[i].dboid == entry->dboid && entries[i].relid == entry->relid && entries[i].ops[op] >= 0)
	{
		operation = &operations[entries[i].ops[op]];
		SpinLockAcquire(&operation->mutex);
		copy->all = operation->all;
		memcpy(copy->windows, operation->windows, sizeof(copy->windows));
		SpinLockRelease(&operation->mutex);
	}
	LWLockRelease(&shared->lock);
	return operation != NULL;
}

void
ffs_stats_visit_operations(FfsOperationVisitor visit, void *arg)
{
	TableEntry	entry;
	Operation  *copy;
	FfsOperationFigures *figures;
	uint32		now;

	if (shared == NULL)
		return;
	ffs_stats_drain();
	now = ffs_stats_period(GetCurrentTimestamp());
	copy = palloc(sizeof(Operation));
	figures = palloc(sizeof(FfsOperationFigures));
	for (int i = 0; i < shared->capacity; i++)
	{
		if (!read_entry(i, &entry))
			continue;
		for (int op = 0; op < FFS_NOPERATIONS; op++)
		{
			if (entry.ops[op] < 0 || !read_operation(i, &entry, op, copy))
				continue;
			figures->relid = entry.relid;
			figures->op = op;
			figures->all = copy->all;
			sum_windows(copy->windows, now, &figures->window);
			visit(figures, arg);
		}
	}
	pfree(copy);
	pfree(figures);
}

void
ffs_stats_visit_violations(FfsViolationVisitor visit, void *arg)
{
	TableEntry	entry;

	for (int i = 0; shared != NULL && i < shared->capacity; i++)
	{
		if (read_entry(i, &entry) && entry.violations > 0)
			visit(entry.relid, entry.violations, entry.last_violation, arg);
	}
}

bool
ffs_stats_usage(FfsStatsUsage *usage)
{
	if (shared == NULL)
		return false;
	ffs_stats_drain();
	usage->capacity = shared->capacity;
	LWLockAcquire(&shared->lock, LW_SHARED);
	usage->used = shared->nused;
	LWLockRelease(&shared->lock);
	usage->no_room = pg_atomic_read_u64(&shared->no_room);
	usage->prepared = pg_atomic_read_u64(&shared->prepared);
	return true;
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
	ffs_stats_drain();
	ffs_stats_forget(MyDatabaseId, InvalidOid);
	ffs_stats_forget_tenants(MyDatabaseId);
	ffs_stats_forget_sqlstates(MyDatabaseId, InvalidOid);
	ffs_stats_forget_slow(MyDatabaseId);
	pg_atomic_write_u64(&shared->no_room, 0);
	pg_atomic_write_u64(&shared->prepared, 0);
	ffs_stats_begin_anew(MyDatabaseId);
	PG_RETURN_VOID();
}

/* ---- over a restart ---- */

typedef struct KeptTable
{
	Oid			dboid;
	Oid			relid;
	uint64		violations;
	TimestampTz last_violation;
} KeptTable;

typedef struct KeptOperation
{
	Oid			dboid;
	Oid			relid;
	FfsOperation op;
	FfsCounts	all;
	Window		windows[FFS_WINDOW_PERIODS];
} KeptOperation;

static int
count_tables(void)
{
	return shared->capacity;
}

static bool
get_table(int i, void *record)
{
	KeptTable  *kept = record;

	memset(kept, 0, sizeof(KeptTable));
	kept->dboid = entries[i].dboid;
	kept->relid = entries[i].relid;
	kept->violations = entries[i].violations;
	kept->last_violation = entries[i].last_violation;
	return OidIsValid(kept->dboid);
}

static void
put_table(const void *record)
{
	const KeptTable *kept = record;
	TableEntry *entry = add_entry(kept->dboid, kept->relid);

	if (entry == NULL)
		return;					/* ffstorage.max_tables was lowered */
	entry->violations = kept->violations;
	entry->last_violation = kept->last_violation;
}

static int
count_operations(void)
{
	return shared->capacity * FFS_NOPERATIONS;
}

static bool
get_operation(int i, void *record)
{
	KeptOperation *kept = record;
	TableEntry *entry = &entries[i / FFS_NOPERATIONS];
	FfsOperation op = i % FFS_NOPERATIONS;

	if (!OidIsValid(entry->dboid) || entry->ops[op] < 0)
		return false;
	memset(kept, 0, sizeof(KeptOperation));
	kept->dboid = entry->dboid;
	kept->relid = entry->relid;
	kept->op = op;
	kept->all = operations[entry->ops[op]].all;
	memcpy(kept->windows, operations[entry->ops[op]].windows, sizeof(kept->windows));
	return true;
}

static void
put_operation(const void *record)
{
	const KeptOperation *kept = record;
	TableEntry *entry = add_entry(kept->dboid, kept->relid);
	Operation  *operation = entry == NULL || kept->op >= FFS_NOPERATIONS ? NULL : add_operation(entry, kept->op);

	if (operation == NULL)
		return;
	operation->all = kept->all;
	memcpy(operation->windows, kept->windows, sizeof(kept->windows));
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
	size = add_size(size, MAXALIGN(mul_size(sizeof(TableEntry), ffs_stats_max_tables)));
	size = add_size(size, mul_size(sizeof(Operation), mul_size(ffs_stats_max_tables, OPERATIONS_PER_TABLE)));
	return size;
}

static void
shmem_setup(void *memory, bool found)
{
	uint32		nindex = index_size();

	shared = memory;
	shared_index = (int32 *) ((char *) memory + MAXALIGN(sizeof(Shared)));
	entries = (TableEntry *) ((char *) shared_index + MAXALIGN(sizeof(int32) * nindex));
	operations = (Operation *) ((char *) entries + MAXALIGN(sizeof(TableEntry) * ffs_stats_max_tables));

	if (!found)
	{
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		shared->capacity = ffs_stats_max_tables;
		shared->noperations = ffs_stats_max_tables * OPERATIONS_PER_TABLE;
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
		}
		for (int i = 0; i < shared->noperations; i++)
		{
			operations[i].next_free = (i + 1 < shared->noperations) ? i + 1 : -1;
			SpinLockInit(&operations[i].mutex);
		}
		shared->first_free = 0;
		shared->first_free_operation = 0;
	}
	LWLockRegisterTranche(shared->tranche, "ffstorage_stats");
}

void
ffs_stats_init_counters(void)
{
	static const FfsKept tables = {"tables", sizeof(KeptTable), count_tables, get_table, put_table};
	static const FfsKept kept_operations = {"operations", sizeof(KeptOperation), count_operations, get_operation, put_operation};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage counters", shmem_size, shmem_setup);
	ffs_stats_keep(&tables);
	ffs_stats_keep(&kept_operations);
}
