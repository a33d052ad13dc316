/*-------------------------------------------------------------------------
 *
 * results.c
 *		Results of queries in shared memory that are never stale.
 *
 * What is promised: a reader with snapshot S is given the rows that the query
 * would give with S, or is told to run it.
 *
 * A result is made of the committed state of parts of tables: a part is all
 * of a table, or one tenant's rows of it.  Every part has a fence (several
 * may share one), on which writers note themselves before they change
 * anything there, each once; `count` says how many did.  How many of them a
 * snapshot sees as finished is its position on that fence.  What snapshots see
 * as finished only grows with the time at which they were taken, so two that
 * see equally many see the same ones, and the same rows of the part.
 *
 *	Filler	runs the query with its snapshot S1, and puts the rows in with
 *			S1's position on each part's fence, asked for after the query ran.
 *			Nothing goes in where that is not known, or S1 is of a transaction
 *			that has written there itself.
 *	Reader	with snapshot S asks for S's position on each of them, and uses
 *			the rows if all are those of the entry.
 *
 * Positions are asked for after the snapshot was taken.  Whoever is finished
 * for it had come in before, so nobody whom it sees is left out; who comes in
 * later is not seen, and does not change its position.  Nobody leaves: of the
 * latest KEPT_WRITERS the ids are known one by one, and of those before them
 * the greatest, which has to be less than the snapshot's xmin, so that they
 * are seen.  (Who comes in a second time, having had to make room, is seen by
 * all whose position is known.)  Writers that did not change the part, but
 * another one of the same fence, cost hits and nothing else.
 *
 * So a result stays good while a writer is at work that a snapshot does not
 * see, and is no longer used once it is seen.
 *
 * What does not say whose rows it writes (COPY, who writes for many tenants,
 * and who wrote before anybody put in a result that reads the table) is noted
 * in a part at which all results of the table look.  TRUNCATE, DDL of the
 * table and the like are in the table's fence of store.c: its generation must
 * be the same, and all of its set be seen.
 *
 * What the query means, and whether the role may run it, is in the catalogs.
 * They have fences like tables': one of the database, one of what all
 * databases share.  The filler notes their generations before it looks at the
 * query, and puts in only if they are the same afterwards and all of their
 * sets is seen; the reader uses only what has their generation.
 *
 * The key is a hash of what else matters: database, role, tenants, query,
 * parameters, settings (cached.c).
 *
 * test/model/results.pml is a model of this; test/specs has its races one by
 * one: fillers, readers and writers that end either way, old snapshots, the
 * catalogs (result_windows, cached_races); more writers than are known one by
 * one, one that comes in twice, tables that nobody read, very many tenants,
 * snapshots whose subtransactions ran over, locks that a hit waits for
 * (result_fences); tenants, roles and rights (result_windows, cache_rights).
 *
 * An entry is a piece of the store, with its rows where these are few; if
 * not, they are in further pieces, of which the clock may take each by
 * itself: then the result is gone.  The name of the pieces is a number that
 * no other result has, so pieces of two are not mixed (result_windows,
 * result_fences).
 *
 * One at a time.  Who misses a result notes its hash in one of the `fillers`;
 * who misses it meanwhile waits for him, once.  He does not wait for a filler
 * who himself waits for a lock, which might be the waiter's own.  `mutex`
 * guards all of the fillers; each is given up at the end of the call, or of
 * the transaction that it breaks (test/t/028_result_waits.pl).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "base/base.h"
#include "cache/fences.h"
#include "cache/results.h"

#define N_FILLERS		128
/* How often who waits looks whether the filler waits for a lock. */
#define LOOK_MS			20

typedef struct Filler
{
	PGPROC	   *proc;			/* NULL: nobody */
	uint64		hash;
	uint64		serial;			/* of this fill */
	ConditionVariable done;
} Filler;

typedef struct Fillers
{
	slock_t		mutex;
	uint64		serial;
	Filler		fillers[N_FILLERS];
} Fillers;

static Fillers *fillers = NULL;
static Filler *own_filler = NULL;

/* The first piece of a result; its needs, relations and, if there are no further pieces, rows follow. */
typedef struct ResultHead
{
	uint64		id;
	uint64		catalog;
	uint64		shared_catalog;
	TimestampTz filled;
	uint64		length;			/* of the rows */
	uint32		n;				/* rows */
	uint32		npieces;		/* further ones */
	uint16		nneeds;
	uint16		nrelations;
	uint32		rows_at;
} ResultHead;

typedef struct PieceName
{
	uint64		id;
	uint32		number;
} PieceName;

#define PIECE_NAME_LENGTH (sizeof(uint64) + sizeof(uint32))

static Size
fillers_size(void)
{
	return sizeof(Fillers);
}

static void
fillers_setup(void *memory, bool found)
{
	fillers = memory;
	if (found)
		return;
	memset(fillers, 0, sizeof(Fillers));
	SpinLockInit(&fillers->mutex);
	for (int i = 0; i < N_FILLERS; i++)
		ConditionVariableInit(&fillers->fillers[i].done);
}

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		ffs_cache_result_done(NULL);
}

void
ffs_cache_results_init(void)
{
	ffs_base_register_shmem("ffstorage cached results", fillers_size, fillers_setup);
	RegisterXactCallback(xact_callback, NULL);
}

/* ---- names of pieces ---- */

static StoreKey
head_key(const ResultKey *key)
{
	StoreKey	store;

	store.relid = InvalidOid;
	store.fence = ffs_cache_fence_of(MyDatabaseId, InvalidOid);
	memcpy(&store.hash, key->digest, sizeof(uint64));
	store.length = sizeof(key->digest);
	store.bytes = (const char *) key->digest;
	return store;
}

static StoreKey
piece_key(PieceName *name, uint64 id, uint32 number)
{
	StoreKey	store;

	name->id = id;
	name->number = number;
	store.relid = InvalidOid;
	store.fence = ffs_cache_fence_of(MyDatabaseId, InvalidOid);
	store.hash = hash_bytes_extended((unsigned char *) name, PIECE_NAME_LENGTH, 0);
	store.length = PIECE_NAME_LENGTH;
	store.bytes = (const char *) name;
	return store;
}

static inline ResultNeed *
needs_of(ResultHead *head)
{
	return (ResultNeed *) (head + 1);
}

static inline Oid *
relations_of(ResultHead *head)
{
	return (Oid *) (needs_of(head) + head->nneeds);
}

/* Room for any first piece. */
static ResultHead *
head_buffer(Size *size)
{
	*size = ffs_cache_piece_size();
	return palloc(*size);
}

/* ---- is it true? ---- */

static bool
sees_catalog(Oid dboid, Snapshot snapshot, uint64 xmin, uint64 *generation)
{
	return ffs_cache_sees_changes(ffs_cache_fence_of(dboid, InvalidOid), snapshot, xmin, generation);
}

bool
ffs_cache_result_catalogs(Snapshot snapshot, ResultCatalogs *catalogs)
{
	uint64		xmin = ffs_cache_full_xmin(snapshot);
	bool		own = sees_catalog(MyDatabaseId, snapshot, xmin, &catalogs->own);
	bool		shared = sees_catalog(InvalidOid, snapshot, xmin, &catalogs->shared);

	return own && shared && xmin >= ffs_cache_floor();
}

/* What of a need is the snapshot's? */
static bool
find_position(const ResultNeed *need, Snapshot snapshot, uint64 xmin, uint64 *position)
{
	if (OidIsValid(need->relid))
		return ffs_cache_sees_changes(ffs_cache_table_fence(need->relid), snapshot, xmin, position);
	return ffs_cache_position(need->part, snapshot, xmin, position);
}

typedef enum Truth
{
	TRUE_FOR_US,
	NOT_FOR_US,					/* but for other snapshots it may be */
	NO_LONGER
} Truth;

static Truth
judge(ResultHead *head, Snapshot snapshot)
{
	uint64		xmin = ffs_cache_full_xmin(snapshot);
	ResultCatalogs catalogs;
	ResultNeed *needs = needs_of(head);

	if (!ffs_cache_result_catalogs(snapshot, &catalogs))
		return NOT_FOR_US;
	if (catalogs.own != head->catalog || catalogs.shared != head->shared_catalog)
		return NO_LONGER;
	for (int i = 0; i < head->nneeds; i++)
	{
		uint64		position;

		if (!find_position(&needs[i], snapshot, xmin, &position))
			return NOT_FOR_US;
		if (position != needs[i].position)
			return position > needs[i].position ? NO_LONGER : NOT_FOR_US;
	}
	return TRUE_FOR_US;
}

/* ---- readers ---- */

static void
drop_pieces(const ResultHead *head)
{
	for (uint32 i = 0; i < head->npieces; i++)
	{
		PieceName	name;
		StoreKey	store = piece_key(&name, head->id, i);

		ffs_cache_drop_piece(&store);
	}
}

/* The rows of a result that is true, in the current memory context. */
static bool
take_rows(ResultHead *head, ResultRows *rows)
{
	Size		done = 0;

	rows->n = head->n;
	rows->length = head->length;
	rows->bytes = palloc_extended(Max(head->length, 1), MCXT_ALLOC_HUGE);
	if (head->npieces == 0)
	{
		memcpy(rows->bytes, (char *) head + head->rows_at, head->length);
		return true;
	}
	for (uint32 i = 0; i < head->npieces; i++)
	{
		PieceName	name;
		StoreKey	store = piece_key(&name, head->id, i);
		Size		length = head->length - done;

		if (!ffs_cache_get_piece(&store, rows->bytes + done, &length))
			break;
		done += length;
	}
	if (done == head->length)
		return true;
	pfree(rows->bytes);
	return false;
}

bool
ffs_cache_result_find(const ResultKey *key, Snapshot snapshot, int64 ttl, ResultRows *rows)
{
	StoreKey	store = head_key(key);
	Size		size;
	ResultHead *head = head_buffer(&size);
	bool		found = false;

	if (ffs_cache_get_piece(&store, head, &size) &&
		(ttl <= 0 || GetCurrentStatementStartTimestamp() - head->filled <= ttl))
	{
		Truth		truth = judge(head, snapshot);

		if (truth == TRUE_FOR_US)
		{
			FFS_DEBUG_POINT("result-lock");
			/* as the query would; what we wait for may change everything */
			for (int i = 0; i < head->nrelations; i++)
				LockRelationOid(relations_of(head)[i], AccessShareLock);
			truth = judge(head, snapshot);
		}
		FFS_DEBUG_POINT("result-rows");
		if (truth == TRUE_FOR_US)
			found = take_rows(head, rows);
		else if (truth == NO_LONGER)
		{
			/* what takes its place has pieces of its own */
			ffs_cache_drop_piece(&store);
			drop_pieces(head);
			ffs_cache_pending[COUNT_INVALIDATIONS]++;
		}
	}
	pfree(head);
	return found;
}

/* ---- fillers ---- */

Size
ffs_cache_result_limit(void)
{
	return Min((Size) ffs_cache_max_result * 1024, ffs_cache_capacity() / 4);
}

/*
 * Is there a result already that later writers are in?  One that an older
 * snapshot made does not take its place.
 */
static bool
is_older(const StoreKey *store, const ResultNeeds *needs)
{
	Size		size;
	ResultHead *head = head_buffer(&size);
	bool		older = false;

	if (ffs_cache_get_piece(store, head, &size))
	{
		for (int i = 0; i < needs->n && head->nneeds == needs->n; i++)
			older = older || needs_of(head)[i].position > needs->needs[i].position;
		if (!older)
			drop_pieces(head);
	}
	pfree(head);
	return older;
}

static bool
put_pieces(ResultHead *head, const ResultRows *rows, TimestampTz expires)
{
	Size		room = ffs_cache_piece_size();
	Size		done = 0;

	while (done < rows->length)
	{
		PieceName	name;
		StoreKey	store = piece_key(&name, head->id, head->npieces);
		Size		length = Min(room, rows->length - done);

		if (!ffs_cache_put_piece(&store, head->catalog, expires, rows->bytes + done, length))
			return false;
		head->npieces++;
		done += length;
	}
	return true;
}

bool
ffs_cache_result_keep(const ResultKey *key, const ResultCatalogs *catalogs, ResultNeeds *needs,
					  Snapshot snapshot, int64 ttl, const ResultRows *rows)
{
	StoreKey	store = head_key(key);
	uint64		xmin = ffs_cache_full_xmin(snapshot);
	TimestampTz filled = GetCurrentStatementStartTimestamp();
	TimestampTz expires = ttl > 0 && filled <= DT_NOEND - 1 - ttl ? filled + ttl : 0;
	ResultCatalogs now;
	ResultHead *head;
	Size		size;
	Size		at;
	bool		kept;

	FFS_DEBUG_POINT("result-keep");
	if (!ffs_cache_result_catalogs(snapshot, &now) || now.own != catalogs->own || now.shared != catalogs->shared)
		return false;
	for (int i = 0; i < needs->n; i++)
	{
		ResultNeed *need = &needs->needs[i];
		uint64		position;

		if (!find_position(need, snapshot, xmin, &position))
			return false;
		/* of a table it was found out before */
		if (OidIsValid(need->relid) && position != need->position)
			return false;
		need->position = position;
	}
	FFS_DEBUG_POINT("result-put");
	at = MAXALIGN(sizeof(ResultHead) + sizeof(ResultNeed) * needs->n + sizeof(Oid) * needs->nrelations);
	head = head_buffer(&size);
	if (at > size || is_older(&store, needs))
	{
		pfree(head);
		return false;
	}
	memset(head, 0, at);
	head->id = ffs_cache_next_id();
	head->catalog = catalogs->own;
	head->shared_catalog = catalogs->shared;
	head->filled = filled;
	head->length = rows->length;
	head->n = rows->n;
	head->nneeds = needs->n;
	head->nrelations = needs->nrelations;
	head->rows_at = at;
	memcpy(needs_of(head), needs->needs, sizeof(ResultNeed) * needs->n);
	memcpy(relations_of(head), needs->relations, sizeof(Oid) * needs->nrelations);
	if (at + rows->length <= size)
	{
		memcpy((char *) head + at, rows->bytes, rows->length);
		kept = ffs_cache_put_piece(&store, catalogs->own, expires, head, at + rows->length);
	}
	else
		kept = put_pieces(head, rows, expires) &&
			ffs_cache_put_piece(&store, catalogs->own, expires, head, at);
	if (!kept)
		drop_pieces(head);
	pfree(head);
	return kept;
}

bool
ffs_cache_result_reads(const char *bytes, Size length, int key_length, Oid relid)
{
	ResultHead	head;
	const char *relations;

	if (key_length != PG_SHA256_DIGEST_LENGTH || length < sizeof(ResultHead))
		return false;
	memcpy(&head, bytes, sizeof(head));
	if (!OidIsValid(relid))
		return true;
	relations = bytes + sizeof(ResultHead) + sizeof(ResultNeed) * head.nneeds;
	for (int i = 0; i < head.nrelations; i++)
		if (memcmp(relations + i * sizeof(Oid), &relid, sizeof(Oid)) == 0)
			return true;
	return false;
}

/* ---- one at a time ---- */

/* Who is at it?  With the mutex. */
static Filler *
find_filler(uint64 hash)
{
	for (int i = 0; i < N_FILLERS; i++)
		if (fillers->fillers[i].proc != NULL && fillers->fillers[i].hash == hash)
			return &fillers->fillers[i];
	return NULL;
}

static void
become_filler(uint64 hash)
{
	for (int i = 0; i < N_FILLERS; i++)
	{
		Filler	   *filler = &fillers->fillers[i];

		if (filler->proc != NULL)
			continue;
		filler->proc = MyProc;
		filler->hash = hash;
		filler->serial = ++fillers->serial;
		own_filler = filler;
		return;
	}
}

/* Is this fill still going on, and does it get anywhere? */
static bool
is_under_way(Filler *filler, uint64 serial)
{
	PGPROC	   *proc;

	SpinLockAcquire(&fillers->mutex);
	proc = filler->serial == serial ? filler->proc : NULL;
	SpinLockRelease(&fillers->mutex);
	return proc != NULL && pg_atomic_read_u64(&proc->waitStart) == 0;
}

bool
ffs_cache_result_wait(const ResultKey *key)
{
	Filler	   *filler;
	uint64		hash;
	uint64		serial = 0;

	if (fillers == NULL || own_filler != NULL)
		return false;
	memcpy(&hash, key->digest, sizeof(hash));
	SpinLockAcquire(&fillers->mutex);
	filler = find_filler(hash);
	if (filler == NULL)
		become_filler(hash);
	else
		serial = filler->serial;
	SpinLockRelease(&fillers->mutex);
	if (filler == NULL)
		return false;

	ffs_cache_pending[COUNT_RESULT_WAITS]++;
	ConditionVariablePrepareToSleep(&filler->done);
	while (is_under_way(filler, serial))
		ConditionVariableTimedSleep(&filler->done, LOOK_MS, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return true;
}

void
ffs_cache_result_done(const ResultKey *key)
{
	Filler	   *filler = own_filler;

	/* a function in the query may call for another one */
	if (filler == NULL || (key != NULL && memcmp(&filler->hash, key->digest, sizeof(filler->hash)) != 0))
		return;
	own_filler = NULL;
	SpinLockAcquire(&fillers->mutex);
	filler->proc = NULL;
	SpinLockRelease(&fillers->mutex);
	ConditionVariableBroadcast(&filler->done);
}
