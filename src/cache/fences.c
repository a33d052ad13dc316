/*-------------------------------------------------------------------------
 *
 * fences.c
 *		Who wrote where: sets of transactions, fences of tables, and what
 *		this transaction has fenced.  store.c and results.c say why, and where
 *		in test/specs it is shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"

#include "base/debug.h"
#include "cache/fences.h"

/* After so many rows inserted by one transaction their keys are not told. */
#define FEW_INSERTS			16
/* After so many keys told by one transaction, all of the table goes. */
#define MANY_KEYS			1000
/* After so many changes of tenant from row to row, all of them are told of. */
#define MANY_TENANTS		1000

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
	bool		part_unsaid;	/* in these parts of it */
	bool		part_any;
	uint64		tenant_hash;	/* the last one, 0: none */
	int			ntenants;
} OwnFence;

#define MAX_OWN_FENCES 8
static OwnFence own_fences[MAX_OWN_FENCES];
static int	n_own_fences = 0;

static void
init_table_fence(TableFence *fence)
{
	SpinLockInit(&fence->mutex);
	pg_atomic_init_u64(&fence->generation, 1);
	pg_atomic_init_u64(&fence->insert_generation, 1);
	pg_atomic_init_u64(&fence->definition, 1);
}

void
ffs_cache_fences_setup(Fences *memory, bool found)
{
	fences = memory;
	if (found)
		return;
	SpinLockInit(&fences->mutex);
	for (int i = 0; i < TABLE_FENCES; i++)
		init_table_fence(&fences->tables[i]);
	for (int i = 0; i < CATALOG_FENCES; i++)
		init_table_fence(&fences->catalogs[i]);
	for (int i = 0; i < WRITE_FENCES; i++)
		SpinLockInit(&fences->writes[i].mutex);
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
	/* nothing is put in on a standby, and what is prepared on the primary comes to it until it is promoted */
	if (RecoveryInProgress())
		return 0;
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
	/* of no relation: the catalogs' own; those of all databases have the first */
	if (!OidIsValid(relid))
		return &fences->catalogs[OidIsValid(dboid) ? 1 + murmurhash32(dboid) % (CATALOG_FENCES - 1) : 0];
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
	return pg_atomic_read_u64(&fence->definition);
}

static inline bool
is_of(const TableFence *fence, Oid relid)
{
	return fence->shared || (fence->relid == relid && fence->dboid == MyDatabaseId);
}

/* Are there, or may there be, rows of this table? */
static inline bool
is_used(const TableFence *fence, Oid relid)
{
	return fence->used && is_of(fence, relid);
}

/* Or results of queries that read it? */
static inline bool
is_read(const TableFence *fence, Oid relid)
{
	return fence->read && is_of(fence, relid);
}

bool
ffs_cache_open_table(TableFence *fence, Oid relid, StoreUse use, Snapshot snapshot, uint64 *generation)
{
	SpinLockAcquire(&fence->mutex);
	if (!fence->used && !fence->read)
	{
		fence->dboid = MyDatabaseId;
		fence->relid = relid;
	}
	else if (!is_of(fence, relid))
		fence->shared = true;
	if (use == STORE_ROWS)
		fence->used = true;
	else
		fence->read = true;
	SpinLockRelease(&fence->mutex);
	FFS_DEBUG_POINT("cache-open-table");
	return ffs_cache_sees_changes(fence, snapshot, ffs_cache_full_xmin(snapshot), generation);
}

bool
ffs_cache_sees_changes(TableFence *fence, Snapshot snapshot, uint64 xmin, uint64 *generation)
{
	XidSet		changes;
	bool		changing;

	SpinLockAcquire(&fence->mutex);
	changes = fence->changes;
	*generation = pg_atomic_read_u64(&fence->definition);
	changing = fence->changing > 0;
	SpinLockRelease(&fence->mutex);
	return !changing && ffs_cache_sees_all(&changes, snapshot, xmin);
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
			return own_fences[i].inserts || own_fences[i].all ||
				(own_fences[i].ninserts > 0 && IsolationUsesXactSnapshot());
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

	FFS_DEBUG_POINT("cache-note-unused");
	SpinLockAcquire(&fence->mutex);
	unused = !is_used(fence, relid);
	if (unused)
		ffs_cache_note_writer(&fence->untold, xid);
	SpinLockRelease(&fence->mutex);
	return unused;
}

static bool
note_without_negatives(TableFence *fence)
{
	uint64		xid = ffs_cache_own_xid();
	bool		none;

	FFS_DEBUG_POINT("cache-note-inserts");
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

/* Rows of the table change whose keys nobody will tell. */
static void
fence_rows(TableFence *fence)
{
	uint64		xid = ffs_cache_own_xid();

	SpinLockAcquire(&fence->mutex);
	ffs_cache_note_writer(&fence->untold, xid);
	pg_atomic_fetch_add_u64(&fence->generation, 1);
	SpinLockRelease(&fence->mutex);
}

static void
fence_and_count(TableFence *fence)
{
	uint64		xid = ffs_cache_own_xid();

	SpinLockAcquire(&fence->mutex);
	ffs_cache_note_writer(&fence->changes, xid);
	pg_atomic_fetch_add_u64(&fence->generation, 1);
	pg_atomic_fetch_add_u64(&fence->definition, 1);
	SpinLockRelease(&fence->mutex);
}

void
ffs_cache_fence_table(TableFence *fence, Oid relid)
{
	uint64		xid = ffs_cache_own_xid();
	bool		idle;

	SpinLockAcquire(&fence->mutex);
	idle = !is_used(fence, relid) && !is_read(fence, relid);
	if (idle)
		ffs_cache_note_writer(&fence->changes, xid);
	SpinLockRelease(&fence->mutex);
	if (!idle)
		fence_and_count(fence);
}

void
ffs_cache_fence_everything(void)
{
	for (int i = 0; i < TABLE_FENCES; i++)
		fence_and_count(&fences->tables[i]);
}

bool
ffs_cache_is_held(TableFence *fence)
{
	bool		held;

	SpinLockAcquire(&fence->mutex);
	held = fence->changing > 0;
	SpinLockRelease(&fence->mutex);
	return held;
}

void
ffs_cache_hold_catalog(Oid dboid)
{
	TableFence *fence = ffs_cache_fence_of(dboid, InvalidOid);

	SpinLockAcquire(&fence->mutex);
	fence->changing++;
	SpinLockRelease(&fence->mutex);
}

void
ffs_cache_fence_catalog(Oid dboid)
{
	ffs_cache_hold_catalog(dboid);
	fence_and_count(ffs_cache_fence_of(dboid, InvalidOid));
}

void
ffs_cache_release_catalog(Oid dboid)
{
	TableFence *fence = ffs_cache_fence_of(dboid, InvalidOid);

	SpinLockAcquire(&fence->mutex);
	fence->changing--;
	pg_atomic_fetch_add_u64(&fence->generation, 1);
	pg_atomic_fetch_add_u64(&fence->definition, 1);
	SpinLockRelease(&fence->mutex);
}

/* ---- parts of tables ---- */

static uint32
part(Oid relid, uint32 kind, uint64 hash)
{
	uint64		of[3] = {((uint64) MyDatabaseId << 32) | relid, kind, hash};

	return hash_bytes_extended((unsigned char *) of, sizeof(of), 0) % WRITE_FENCES;
}

uint32
ffs_cache_part_unsaid(Oid relid)
{
	return part(relid, 0, 0);
}

uint32
ffs_cache_part_any(Oid relid)
{
	return part(relid, 1, 0);
}

uint32
ffs_cache_part_tenant(Oid relid, uint64 tenant_hash)
{
	return part(relid, 2, tenant_hash);
}

/* With the mutex. */
static void
note_in_part(WriteFence *fence, uint64 xid)
{
	for (int i = 0; i < KEPT_WRITERS; i++)
		if (fence->kept[i] == xid)
			return;
	fence->before = Max(fence->before, fence->kept[KEPT_WRITERS - 1]);
	for (int i = KEPT_WRITERS - 1; i > 0; i--)
		fence->kept[i] = fence->kept[i - 1];
	fence->kept[0] = xid;
	fence->count++;
}

static void
fence_part(uint32 number)
{
	WriteFence *fence = &fences->writes[number];
	uint64		xid = ffs_cache_own_xid();

	SpinLockAcquire(&fence->mutex);
	note_in_part(fence, xid);
	SpinLockRelease(&fence->mutex);
}

/* Note the writer where all look, if nothing was put in that reads the table. */
static bool
note_in_unread(TableFence *fence, Oid relid)
{
	WriteFence *unsaid = &fences->writes[ffs_cache_part_unsaid(relid)];
	uint64		xid = ffs_cache_own_xid();
	bool		unread;

	/* who puts in sets the flag before it takes this mutex */
	SpinLockAcquire(&unsaid->mutex);
	unread = !is_read(fence, relid);
	if (unread)
		note_in_part(unsaid, xid);
	SpinLockRelease(&unsaid->mutex);
	return unread;
}

bool
ffs_cache_must_tell_tenants(TableFence *fence, Oid relid)
{
	OwnFence   *own = own_fence(fence, relid);

	if (own->part_unsaid)
		return false;
	if (own->part_any)
		return true;
	if (note_in_unread(fence, relid))
	{
		own->part_unsaid = true;
		return false;
	}
	fence_part(ffs_cache_part_any(relid));
	own->part_any = true;
	return true;
}

void
ffs_cache_fence_tenant(TableFence *fence, Oid relid, uint64 tenant_hash)
{
	OwnFence   *own = own_fence(fence, relid);

	if (own->part_unsaid || own->tenant_hash == tenant_hash)
		return;
	if (++own->ntenants > MANY_TENANTS)
	{
		ffs_cache_fence_all_tenants(fence, relid);
		return;
	}
	fence_part(ffs_cache_part_tenant(relid, tenant_hash));
	own->tenant_hash = tenant_hash;
}

void
ffs_cache_fence_all_tenants(TableFence *fence, Oid relid)
{
	OwnFence   *own = own_fence(fence, relid);

	if (own->part_unsaid)
		return;
	fence_part(ffs_cache_part_unsaid(relid));
	own->part_unsaid = true;
}

/*
 * The sets only have top-level ids, and a snapshot knows of each of these
 * whether it was running, even where its list of subtransactions ran over.
 */
static bool
was_running(TransactionId xid, Snapshot snapshot)
{
	if (TransactionIdPrecedes(xid, snapshot->xmin))
		return false;
	if (!TransactionIdPrecedes(xid, snapshot->xmax))
		return true;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		if (TransactionIdEquals(xid, snapshot->xip[i]))
			return true;
	return false;
}

bool
ffs_cache_position(uint32 number, Snapshot snapshot, uint64 xmin, uint64 *position)
{
	WriteFence *shared = &fences->writes[number];
	WriteFence	fence;
	TransactionId own = GetTopTransactionIdIfAny();
	int			unseen = 0;

	SpinLockAcquire(&shared->mutex);
	fence = *shared;
	SpinLockRelease(&shared->mutex);
	if (fence.before >= xmin)
		return false;
	for (int i = 0; i < KEPT_WRITERS && fence.kept[i] != 0; i++)
	{
		TransactionId xid = (TransactionId) fence.kept[i];

		if (TransactionIdEquals(xid, own))
			return false;
		if (fence.kept[i] < xmin || !was_running(xid, snapshot))
			continue;
		unseen++;
	}
	*position = fence.count - unseen;
	return true;
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
		fence_rows(fence);
		own->all = true;
		return false;
	}
	return true;
}


