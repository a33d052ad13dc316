/*-------------------------------------------------------------------------
 *
 * fences.c
 *		Who wrote where: sets of transactions, fences of tables, and what
 *		this transaction has fenced.  store.c says why.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"

#include "cache/fences.h"

/* After so many rows inserted by one transaction their keys are not told. */
#define FEW_INSERTS			16
/* After so many keys told by one transaction, all of the table goes. */
#define MANY_KEYS			1000

static Fences *fences = NULL;

/* ---- what this transaction has fenced ---- */

typedef struct OwnFence
{
	TableFence *fence;
	Oid			relid;
	bool		all;			/* in the table's set */
	bool		inserts;		/* in its set of inserts */
	int			ninserts;
	int			nkeys;
} OwnFence;

#define MAX_OWN_FENCES 8
static OwnFence own_fences[MAX_OWN_FENCES];
static int	n_own_fences = 0;

void
ffs_cache_fences_setup(Fences *memory, bool found)
{
	fences = memory;
	if (found)
		return;
	SpinLockInit(&fences->mutex);
	for (int i = 0; i < TABLE_FENCES; i++)
	{
		SpinLockInit(&fences->tables[i].mutex);
		pg_atomic_init_u64(&fences->tables[i].generation, 1);
		pg_atomic_init_u64(&fences->tables[i].insert_generation, 1);
	}
}

/* ---- sets of transactions ---- */

void
ffs_cache_note_writer(XidSet *set, uint64 xid)
{
	for (int i = 0; i < KEPT; i++)
		if (set->kept[i] == xid)
			return;
	set->before = Max(set->before, set->kept[KEPT - 1]);
	for (int i = KEPT - 1; i > 0; i--)
		set->kept[i] = set->kept[i - 1];
	set->kept[0] = xid;
}

bool
ffs_cache_is_finished(TransactionId xid, Snapshot snapshot)
{
	if (TransactionIdPrecedes(xid, snapshot->xmin))
		return true;
	if (!TransactionIdPrecedes(xid, snapshot->xmax) || snapshot->suboverflowed || snapshot->takenDuringRecovery)
		return false;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (TransactionIdEquals(xid, snapshot->xip[i]))
			return false;
	for (int32 i = 0; i < snapshot->subxcnt; i++)
		if (TransactionIdEquals(xid, snapshot->subxip[i]))
			return false;
	return true;
}

uint64
ffs_cache_full_xmin(Snapshot snapshot)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	return next + (int32) (snapshot->xmin - (TransactionId) next);
}

bool
ffs_cache_sees_all(const XidSet *set, Snapshot snapshot, uint64 xmin)
{
	TransactionId own = GetTopTransactionIdIfAny();

	if (set->before >= xmin)
		return false;
	for (int i = 0; i < KEPT; i++)
	{
		TransactionId xid = (TransactionId) set->kept[i];

		if (set->kept[i] == 0)
			continue;
		if (TransactionIdEquals(xid, own))
			return false;
		if (set->kept[i] >= xmin && !ffs_cache_is_finished(xid, snapshot))
			return false;
	}
	return true;
}

uint64
ffs_cache_floor(void)
{
	uint64		floor;

	if (max_prepared_xacts == 0)
		return 0;
	SpinLockAcquire(&fences->mutex);
	floor = fences->floor;
	SpinLockRelease(&fences->mutex);
	if (floor != 0)
		return floor;
	floor = U64FromFullTransactionId(ReadNextFullTransactionId());
	SpinLockAcquire(&fences->mutex);
	if (fences->floor == 0)
		fences->floor = floor;
	floor = fences->floor;
	SpinLockRelease(&fences->mutex);
	return floor;
}

/* ---- table fences ---- */

TableFence *
ffs_cache_fence_of(Oid dboid, Oid relid)
{
	return &fences->tables[hash_combine(murmurhash32(dboid), murmurhash32(relid)) % TABLE_FENCES];
}

TableFence *
ffs_cache_table_fence(Oid relid)
{
	return ffs_cache_fence_of(MyDatabaseId, relid);
}

uint64
ffs_cache_generation(TableFence *fence)
{
	return pg_atomic_read_u64(&fence->generation);
}

/* Are there, or may there be, entries of this table? */
static inline bool
is_used(const TableFence *fence, Oid relid)
{
	return fence->used && (fence->shared || (fence->relid == relid && fence->dboid == MyDatabaseId));
}

bool
ffs_cache_open_table(TableFence *fence, Oid relid, Snapshot snapshot, uint64 *generation)
{
	XidSet		changes;
	uint64		xmin = ffs_cache_full_xmin(snapshot);

	SpinLockAcquire(&fence->mutex);
	if (!fence->used)
	{
		fence->dboid = MyDatabaseId;
		fence->relid = relid;
		fence->used = true;
	}
	else if (!is_used(fence, relid))
		fence->shared = true;
	changes = fence->changes;
	*generation = pg_atomic_read_u64(&fence->generation);
	SpinLockRelease(&fence->mutex);
	return ffs_cache_sees_all(&changes, snapshot, xmin);
}

static OwnFence *
own_fence(TableFence *fence, Oid relid)
{
	OwnFence   *own;

	for (int i = 0; i < n_own_fences; i++)
		if (own_fences[i].fence == fence && own_fences[i].relid == relid)
			return &own_fences[i];
	/* one that is forgotten is only noted once more */
	own = &own_fences[n_own_fences < MAX_OWN_FENCES ? n_own_fences++ : MAX_OWN_FENCES - 1];
	memset(own, 0, sizeof(OwnFence));
	own->fence = fence;
	own->relid = relid;
	return own;
}

bool
ffs_cache_has_own_inserts(TableFence *fence, Oid relid)
{
	for (int i = 0; i < n_own_fences; i++)
		if (own_fences[i].fence == fence && own_fences[i].relid == relid)
			return own_fences[i].inserts || own_fences[i].all;
	/* one may have been forgotten */
	return n_own_fences == MAX_OWN_FENCES;
}

void
ffs_cache_forget_fences(void)
{
	n_own_fences = 0;
}

uint64
ffs_cache_own_xid(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionId());
}

/* Note the writer in the table's set, if no keys need to be told; false if they do. */
static bool
note_in_unused(TableFence *fence, Oid relid)
{
	uint64		xid = ffs_cache_own_xid();
	bool		unused;

	SpinLockAcquire(&fence->mutex);
	unused = !is_used(fence, relid);
	if (unused)
		ffs_cache_note_writer(&fence->changes, xid);
	SpinLockRelease(&fence->mutex);
	return unused;
}

static bool
note_without_negatives(TableFence *fence)
{
	uint64		xid = ffs_cache_own_xid();
	bool		none;

	SpinLockAcquire(&fence->mutex);
	none = !fence->negatives;
	if (none)
		ffs_cache_note_writer(&fence->inserts, xid);
	SpinLockRelease(&fence->mutex);
	return none;
}

void
ffs_cache_fence_inserts(TableFence *fence, Oid relid)
{
	OwnFence   *own = own_fence(fence, relid);
	uint64		xid = ffs_cache_own_xid();

	if (own->all || own->inserts)
		return;
	SpinLockAcquire(&fence->mutex);
	ffs_cache_note_writer(&fence->inserts, xid);
	pg_atomic_fetch_add_u64(&fence->insert_generation, 1);
	SpinLockRelease(&fence->mutex);
	own->inserts = true;
}

void
ffs_cache_fence_table(TableFence *fence, Oid relid)
{
	uint64		xid = ffs_cache_own_xid();

	SpinLockAcquire(&fence->mutex);
	ffs_cache_note_writer(&fence->changes, xid);
	if (is_used(fence, relid))
		pg_atomic_fetch_add_u64(&fence->generation, 1);
	SpinLockRelease(&fence->mutex);
}

void
ffs_cache_fence_everything(void)
{
	uint64		xid = ffs_cache_own_xid();

	for (int i = 0; i < TABLE_FENCES; i++)
	{
		TableFence *fence = &fences->tables[i];

		SpinLockAcquire(&fence->mutex);
		ffs_cache_note_writer(&fence->changes, xid);
		pg_atomic_fetch_add_u64(&fence->generation, 1);
		SpinLockRelease(&fence->mutex);
	}
}

bool
ffs_cache_must_tell(TableFence *fence, Oid relid, bool is_insert)
{
	OwnFence   *own = own_fence(fence, relid);

	if (own->all || (is_insert && own->inserts))
		return false;
	if (!is_used(fence, relid) && note_in_unused(fence, relid))
	{
		own->all = true;
		return false;
	}
	if (is_insert)
	{
		if (!fence->negatives && note_without_negatives(fence))
		{
			own->inserts = true;
			return false;
		}
		if (++own->ninserts > FEW_INSERTS)
		{
			ffs_cache_fence_inserts(fence, relid);
			return false;
		}
	}
	else if (++own->nkeys > MANY_KEYS)
	{
		ffs_cache_fence_table(fence, relid);
		own->all = true;
		return false;
	}
	return true;
}
