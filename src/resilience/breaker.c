/*-------------------------------------------------------------------------
 *
 * breaker.c
 *		Circuit breakers in shared memory: ffs_breaker_allow,
 *		ffs_breaker_report, ffs_breaker_reset, and what ffs_breakers shows.
 *
 * A breaker belongs to a database and has a name.  It is closed until
 * ffstorage.breaker_failures failures have been reported without a success
 * between them; then it is open, and calls are turned away.  When it has been
 * open for ffstorage.breaker_open_time it is half-open: one call, of whichever
 * backend comes first, may try.  The next report closes it or opens it anew.
 * Half-open is no state that is stored: it is to be open for that long.
 *
 * Reports count at once, whatever becomes of the transaction.  Durations are
 * measured by the monotonic clock, so that setting the clock opens and closes
 * nothing; times that are shown come from the clock.
 *
 * Who tries has the breaker's probe until it reports.  A probe is free again
 * when the (sub)transaction that took it aborts, when the backend ends, and
 * when it has not been reported for the open time since that transaction
 * committed (the connection of a pool may never come back to it).  A crash of
 * any backend empties shared memory, and all breakers are closed.
 *
 * Shared memory is one block: Breakers, the hash values of the breakers' keys,
 * then the breakers themselves.  Which lock guards what:
 *
 *	- Breakers.lock: which breakers there are (nused, hashes, Breaker.dboid and
 *	  name).  Taken shared to find one, and held while it is used; exclusive to
 *	  put another in.
 *	- Breaker.mutex (a spinlock): everything else in a Breaker.
 *	- Breakers.next_probe, last_no_room: atomics.
 *
 * One that is closed makes room for another when all are in use, and so does
 * any that nobody has asked for an hour (its database may be gone).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "resilience/breaker.h"
#include "resilience/clock.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(ffs_breaker_allow);
PG_FUNCTION_INFO_V1(ffs_breaker_report);
PG_FUNCTION_INFO_V1(ffs_breaker_reset);
PG_FUNCTION_INFO_V1(breakers);

/* One that has not been asked for so long may be taken out, whatever its state. */
#define FORGOTTEN_AFTER		USECS_PER_HOUR
/* Breakers that found no room degrade health for so long. */
#define NO_ROOM_MATTERS		USECS_PER_HOUR

/* ---- settings ---- */

static int	breaker_failures = 5;
static int	breaker_open_time = 60 * 1000;	/* ms */
static int	max_breakers = 200;

/* ---- what is in shared memory ---- */

typedef struct Breaker
{
	Oid			dboid;
	char		name[NAMEDATALEN];
	slock_t		mutex;
	/* all from here on begins as zero */
	bool		open;
	int			failures;		/* since the last success */
	int64		opened;			/* monotonic, as all int64 here */
	TimestampTz opened_at;
	uint64		probe;			/* 0: nobody tries now */
	int			probe_pid;
	bool		probe_pinned;	/* its end is certain to be seen */
	int64		probe_since;
	int64		used;
	uint64		calls;			/* that were let go */
	uint64		rejected;
	uint64		succeeded;
	uint64		failed;
	uint64		times_opened;
	TimestampTz last_failure_at;
	int			last_failure;	/* its SQLSTATE where known, else 0 */
} Breaker;

typedef struct Breakers
{
	LWLock		lock;
	int			tranche;
	int			capacity;
	int			nused;
	pg_atomic_uint64 next_probe;
	pg_atomic_uint64 last_no_room;	/* a TimestampTz, 0: never */
} Breakers;

static Breakers *shared = NULL;
static uint32 *hashes;
static Breaker *all;

/* ---- probes of this backend ---- */

typedef struct Probe
{
	Breaker    *breaker;
	uint64		number;
	int			nest;			/* of the transaction that took it; 0: it has committed; -1: pinned */
} Probe;

static Probe *probes = NULL;	/* in TopMemoryContext */
static int	nprobes = 0;
static int	max_probes = 0;

/* ---- finding ---- */

static uint32
hash_key(Oid dboid, const char *name)
{
	return hash_combine(murmurhash32(dboid), hash_bytes((const unsigned char *) name, strlen(name)));
}

/* Lock held. */
static Breaker *
find(Oid dboid, const char *name, uint32 hash)
{
	for (int i = 0; i < shared->nused; i++)
		if (hashes[i] == hash && all[i].dboid == dboid && strcmp(all[i].name, name) == 0)
			return &all[i];
	return NULL;
}

/* A place for another one; -1 where there is none.  Lock held exclusively. */
static int
make_room(int64 now)
{
	int			best = -1;
	bool		best_closed = false;

	if (shared->nused < shared->capacity)
		return shared->nused++;
	for (int i = 0; i < shared->nused; i++)
	{
		bool		closed = !all[i].open;

		if (!closed && now - all[i].used < FORGOTTEN_AFTER)
			continue;
		if (best < 0 || closed > best_closed || (closed == best_closed && all[i].used < all[best].used))
		{
			best = i;
			best_closed = closed;
		}
	}
	return best;
}

/*
 * The breaker with this name, with the lock held; made if it is not there and
 * `create`.  NULL, with no lock held, if there is none.
 */
static Breaker *
lock_breaker(const char *name, bool create)
{
	uint32		hash = hash_key(MyDatabaseId, name);
	Breaker    *breaker;
	int64		now;
	int			place;

	LWLockAcquire(&shared->lock, LW_SHARED);
	breaker = find(MyDatabaseId, name, hash);
	if (breaker != NULL)
		return breaker;
	LWLockRelease(&shared->lock);
	if (!create)
		return NULL;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	breaker = find(MyDatabaseId, name, hash);
	if (breaker != NULL)
		return breaker;
	now = ffs_resilience_monotonic();
	place = make_room(now);
	if (place < 0)
	{
		LWLockRelease(&shared->lock);
		pg_atomic_write_u64(&shared->last_no_room, (uint64) GetCurrentTimestamp());
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there is no room for circuit breaker \"%s\"", name),
				 errdetail("All %d breakers are in use and none of them is closed; this one lets every call go.",
						   shared->capacity),
				 errhint("Raise ffstorage.max_breakers and restart the server.")));
		return NULL;
	}
	breaker = &all[place];
	hashes[place] = hash;
	breaker->dboid = MyDatabaseId;
	strlcpy(breaker->name, name, NAMEDATALEN);
	/* a probe of the one that was here before may just be freed, with no lock held */
	SpinLockAcquire(&breaker->mutex);
	memset((char *) breaker + offsetof(Breaker, open), 0, sizeof(Breaker) - offsetof(Breaker, open));
	breaker->used = now;
	SpinLockRelease(&breaker->mutex);
	return breaker;
}

static void
unlock_breaker(void)
{
	LWLockRelease(&shared->lock);
}

/* ---- probes ---- */

/* Has the breaker been open for long enough?  Its mutex or a copy is held. */
static bool
is_half_open(const Breaker *breaker, int64 now)
{
	return breaker->open && now - breaker->opened >= breaker_open_time * INT64CONST(1000);
}

/* May somebody else try?  It is half-open. */
static bool
probe_is_free(const Breaker *breaker, int64 now)
{
	return breaker->probe == 0 ||
		(!breaker->probe_pinned && now - breaker->probe_since >= breaker_open_time * INT64CONST(1000));
}

/* Free the breaker's probe if it is still this one. */
static void
free_probe(const Probe *probe)
{
	Breaker    *breaker = probe->breaker;

	/* numbers are unique, so it does not matter whose place this is by now */
	SpinLockAcquire(&breaker->mutex);
	if (breaker->probe == probe->number)
		breaker->probe = 0;
	SpinLockRelease(&breaker->mutex);
}

/* The transaction that took it has committed: it is bounded by time from now on. */
static void
unpin_probe(Probe *probe)
{
	Breaker    *breaker = probe->breaker;
	int64		now = ffs_resilience_monotonic();

	probe->nest = 0;
	SpinLockAcquire(&breaker->mutex);
	if (breaker->probe == probe->number)
	{
		breaker->probe_pinned = false;
		breaker->probe_since = now;
	}
	SpinLockRelease(&breaker->mutex);
}

static void
forget_probe(int i)
{
	probes[i] = probes[--nprobes];
}

static void
at_exit(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	while (nprobes > 0)
		free_probe(&probes[--nprobes]);
}

static void
at_transaction_end(XactEvent event, void *arg pg_attribute_unused())
{
	bool		aborted = (event == XACT_EVENT_ABORT);

	if (nprobes == 0 || !(aborted || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE))
		return;
	for (int i = nprobes - 1; i >= 0; i--)
	{
		if (probes[i].nest <= 0)
			continue;
		if (aborted)
		{
			free_probe(&probes[i]);
			forget_probe(i);
		}
		else
			unpin_probe(&probes[i]);
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mySubid pg_attribute_unused(),
					  SubTransactionId parentSubid pg_attribute_unused(),
					  void *arg pg_attribute_unused())
{
	int			nest;

	if (nprobes == 0 || (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB))
		return;
	nest = GetCurrentTransactionNestLevel();
	for (int i = nprobes - 1; i >= 0; i--)
	{
		if (probes[i].nest < nest)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
		{
			free_probe(&probes[i]);
			forget_probe(i);
		}
		else
			probes[i].nest = nest - 1;
	}
}

/* See that there is room to note a probe. */
static void
prepare_probe(void)
{
	static bool registered = false;

	if (!registered)
	{
		before_shmem_exit(at_exit, (Datum) 0);
		registered = true;
	}
	if (probes == NULL)
	{
		probes = MemoryContextAlloc(TopMemoryContext, sizeof(Probe) * 8);
		max_probes = 8;
	}
	else if (nprobes == max_probes)
	{
		probes = repalloc(probes, sizeof(Probe) * max_probes * 2);
		max_probes *= 2;
	}
}

/* What this backend tried of a breaker needs no report any more. */
static void
forget_probes_of(const Breaker *breaker)
{
	for (int i = nprobes - 1; i >= 0; i--)
		if (probes[i].breaker == breaker)
			forget_probe(i);
}

/* ---- asking and reporting ---- */

static bool
allow(const char *name, bool pinned)
{
	Breaker    *breaker;
	int64		now;
	bool		go = true;
	uint64		probe = 0;

	if (shared == NULL)
		return true;
	prepare_probe();
	breaker = lock_breaker(name, true);
	if (breaker == NULL)
		return true;
	now = ffs_resilience_monotonic();
	SpinLockAcquire(&breaker->mutex);
	breaker->used = now;
	if (breaker->open)
	{
		go = is_half_open(breaker, now) && probe_is_free(breaker, now);
		if (go)
		{
			probe = pg_atomic_fetch_add_u64(&shared->next_probe, 1);
			breaker->probe = probe;
			breaker->probe_pid = MyProcPid;
			breaker->probe_pinned = true;
			breaker->probe_since = now;
		}
	}
	if (go)
		breaker->calls++;
	else
		breaker->rejected++;
	SpinLockRelease(&breaker->mutex);
	if (probe != 0)
	{
		forget_probes_of(breaker);
		probes[nprobes].breaker = breaker;
		probes[nprobes].number = probe;
		probes[nprobes++].nest = pinned ? -1 : GetCurrentTransactionNestLevel();
	}
	unlock_breaker();
	return go;
}

bool
ffs_resilience_breaker_allow(const char *name)
{
	return allow(name, true);
}

void
ffs_resilience_breaker_report(const char *name, bool ok, int sqlstate)
{
	Breaker    *breaker;
	int64		now;
	TimestampTz at = ok ? 0 : GetCurrentTimestamp();
	bool		opens = false;

	if (shared == NULL)
		return;
	/* a success of one that is not there leaves nothing to be kept */
	breaker = lock_breaker(name, !ok);
	if (breaker == NULL)
		return;
	now = ffs_resilience_monotonic();
	SpinLockAcquire(&breaker->mutex);
	breaker->used = now;
	if (ok)
	{
		breaker->succeeded++;
		/* of a call that was let go before it opened, perhaps: that proves nothing */
		if (!breaker->open || is_half_open(breaker, now))
		{
			breaker->open = false;
			breaker->failures = 0;
			breaker->probe = 0;
		}
	}
	else
	{
		breaker->failed++;
		breaker->failures++;
		breaker->last_failure_at = at;
		breaker->last_failure = sqlstate;
		opens = breaker->open ? is_half_open(breaker, now) : breaker->failures >= breaker_failures;
		if (opens)
		{
			breaker->open = true;
			breaker->opened = now;
			breaker->opened_at = at;
			breaker->times_opened++;
			breaker->probe = 0;
		}
	}
	SpinLockRelease(&breaker->mutex);
	forget_probes_of(breaker);
	unlock_breaker();
	if (opens)
		ereport(LOG,
				(errmsg("circuit breaker \"%s\" opened", name),
				 errdetail("It lets a call try again after %d ms.", breaker_open_time)));
}

void
ffs_resilience_breaker_give_up(const char *name)
{
	Breaker    *breaker;

	if (shared == NULL || nprobes == 0)
		return;
	breaker = lock_breaker(name, false);
	if (breaker == NULL)
		return;
	for (int i = nprobes - 1; i >= 0; i--)
	{
		if (probes[i].breaker != breaker)
			continue;
		free_probe(&probes[i]);
		forget_probe(i);
	}
	unlock_breaker();
}

void
ffs_resilience_breaker_raise(const char *name, const char *after)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_BREAKER_OPEN),
			 errmsg("circuit breaker \"%s\" is open", name),
			 errdetail("%s", after != NULL ? after :
					   "Calls behind it have failed too often; the view ffs_breakers shows when one may try again."),
			 errhint("Wait until it half-opens, or mend what it guards and call ffs_breaker_reset().")));
}

/* ---- SQL ---- */

void
ffs_resilience_breaker_check_name(const char *name)
{
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of a circuit breaker must not be null"),
				 errdetail("It says which breaker is meant."),
				 errhint("Give the name of what the breaker guards.")));
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a circuit breaker must have from 1 to %d bytes", NAMEDATALEN - 1),
				 errdetail("What was given has %d.", (int) strlen(name)),
				 errhint("Give a name of that length, of what the breaker guards.")));
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	char	   *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	ffs_resilience_breaker_check_name(name);
	return name;
}

/* ffs_breaker_allow(name text) returns boolean */
Datum
ffs_breaker_allow(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(allow(name_argument(fcinfo), false));
}

/* ffs_breaker_report(name text, ok boolean) returns void */
Datum
ffs_breaker_report(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("ok must not be null"),
				 errdetail("It says whether the call behind the breaker went well."),
				 errhint("Give true or false.")));
	ffs_resilience_breaker_report(name, PG_GETARG_BOOL(1), 0);
	PG_RETURN_VOID();
}

/* ffs_breaker_reset(name text) returns boolean */
Datum
ffs_breaker_reset(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	Breaker    *breaker;

	if (shared == NULL)
		PG_RETURN_BOOL(false);
	breaker = lock_breaker(name, false);
	if (breaker == NULL)
		PG_RETURN_BOOL(false);
	SpinLockAcquire(&breaker->mutex);
	breaker->open = false;
	breaker->failures = 0;
	breaker->probe = 0;
	SpinLockRelease(&breaker->mutex);
	unlock_breaker();
	PG_RETURN_BOOL(true);
}

/* A copy of what a breaker holds.  Lock held. */
static void
copy_breaker(Breaker *breaker, Breaker *copy)
{
	SpinLockAcquire(&breaker->mutex);
	memcpy(copy, breaker, sizeof(Breaker));
	SpinLockRelease(&breaker->mutex);
}

/* Copies of this database's breakers, in an array. */
static Breaker *
copy_breakers(int *n)
{
	Breaker    *copies;

	*n = 0;
	if (shared == NULL)
		return NULL;
	copies = palloc(mul_size(sizeof(Breaker), shared->capacity));
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nused; i++)
		if (all[i].dboid == MyDatabaseId)
			copy_breaker(&all[i], &copies[(*n)++]);
	LWLockRelease(&shared->lock);
	return copies;
}

/* ffstorage.breakers() returns setof record */
Datum
breakers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		now = ffs_resilience_monotonic();
	TimestampTz clock = GetCurrentTimestamp();
	int			n;
	Breaker    *copies;

	InitMaterializedSRF(fcinfo, 0);
	copies = copy_breakers(&n);
	for (int i = 0; i < n; i++)
	{
		Breaker    *breaker = &copies[i];
		bool		half_open = is_half_open(breaker, now);
		bool		tried = half_open && !probe_is_free(breaker, now);
		Datum		values[14];
		bool		nulls[14] = {0};

		values[0] = CStringGetTextDatum(breaker->name);
		values[1] = CStringGetTextDatum(half_open ? "half_open" : breaker->open ? "open" : "closed");
		values[2] = Int32GetDatum(breaker->failures);
		values[3] = TimestampTzGetDatum(breaker->opened_at);
		nulls[3] = !breaker->open;

		/* by the clock as it is now; unknown while one tries whose end will be seen */
		values[4] = TimestampTzGetDatum(clock + breaker_open_time * INT64CONST(1000) -
										(now - (tried ? breaker->probe_since : breaker->opened)));
		nulls[4] = !breaker->open || (tried && breaker->probe_pinned);
		values[5] = Int32GetDatum(breaker->probe_pid);
		nulls[5] = !tried;
		values[6] = Int64GetDatum((int64) breaker->calls);
		values[7] = Int64GetDatum((int64) breaker->rejected);
		values[8] = Int64GetDatum((int64) breaker->succeeded);
		values[9] = Int64GetDatum((int64) breaker->failed);
		values[10] = Int64GetDatum((int64) breaker->times_opened);
		values[11] = TimestampTzGetDatum(breaker->last_failure_at);
		nulls[11] = breaker->failed == 0;
		if (breaker->last_failure != 0)
			values[12] = CStringGetTextDatum(unpack_sql_state(breaker->last_failure));
		else
			nulls[12] = true;
		values[13] = TimestampTzGetDatum(clock - (now - breaker->used));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- health ---- */

static void
check_breakers(FfsHealthSink *sink)
{
	StringInfoData names;
	TimestampTz no_room;
	int			n;
	int			nopen = 0;
	Breaker    *copies;

	if (shared == NULL)
	{
		ffs_stats_report(sink, FFS_HEALTH_OFF, "circuit breakers let every call go",
						 "There is no shared memory to keep them in.",
						 "Add ffstorage to shared_preload_libraries and restart the server.");
		return;
	}
	copies = copy_breakers(&n);
	initStringInfo(&names);
	for (int i = 0; i < n; i++)
	{
		if (!copies[i].open)
			continue;
		if (nopen++ < 10)
			appendStringInfo(&names, "%s\"%s\"", nopen > 1 ? ", " : "", copies[i].name);
	}
	if (nopen > 10)
		appendStringInfo(&names, " and %d more", nopen - 10);
	no_room = (TimestampTz) pg_atomic_read_u64(&shared->last_no_room);
	if (nopen > 0)
		ffs_stats_report(sink, FFS_DEGRADED, "circuit breakers are open",
						 psprintf("They turn calls away: %s.", names.data),
						 "See ffs_breakers for what failed last; mend what they guard: then they close by themselves, at once with ffs_breaker_reset().");
	else if (no_room != 0 && GetCurrentTimestamp() - no_room < NO_ROOM_MATTERS)
		ffs_stats_report(sink, FFS_DEGRADED, "there was no room for a circuit breaker in the last hour",
						 psprintf("There is room for %d, in all databases; those that find none let every call go.", shared->capacity),
						 "Raise ffstorage.max_breakers and restart the server.");
	else
		ffs_stats_report(sink, FFS_HEALTHY, "no circuit breaker is open",
						 psprintf("This database has %d of them.", n), NULL);
}

static void
figures(FfsFigureSink *sink)
{
	int64		now = ffs_resilience_monotonic();
	int			n;
	Breaker    *copies = copy_breakers(&n);

	for (int i = 0; i < n; i++)
	{
		const Breaker *b = &copies[i];

		ffs_stats_figure(sink, FFS_GAUGE, "state", "state", "0: closed, 1: half-open, 2: open.",
						 !b->open ? 0 : is_half_open(b, now) ? 1 : 2, "breaker", b->name);
		ffs_stats_figure(sink, FFS_COUNTER, "calls", "calls", "Calls that were let go.",
						 (double) b->calls, "breaker", b->name);
		ffs_stats_figure(sink, FFS_COUNTER, "rejected", "calls", "Calls that were turned away.",
						 (double) b->rejected, "breaker", b->name);
		ffs_stats_figure(sink, FFS_COUNTER, "failed", "calls", "Failures that were reported.",
						 (double) b->failed, "breaker", b->name);
		ffs_stats_figure(sink, FFS_COUNTER, "opened", "times", "How often it opened.",
						 (double) b->times_opened, "breaker", b->name);
	}
}

/* ---- databases that are gone ---- */

/* Their breakers are the first to make room for others. */
static void
database_gone(Oid dboid)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nused; i++)
	{
		Breaker    *breaker = &all[i];

		if (breaker->dboid != dboid)
			continue;
		breaker->dboid = InvalidOid;
		SpinLockAcquire(&breaker->mutex);
		memset((char *) breaker + offsetof(Breaker, open), 0, sizeof(Breaker) - offsetof(Breaker, open));
		SpinLockRelease(&breaker->mutex);
	}
	LWLockRelease(&shared->lock);
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Breakers));

	size = add_size(size, MAXALIGN(mul_size(sizeof(uint32), max_breakers)));
	return add_size(size, mul_size(sizeof(Breaker), max_breakers));
}

static void
shmem_setup(void *memory, bool found)
{
	shared = memory;
	if (!found)
	{
		memset(memory, 0, shmem_size());
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		shared->capacity = max_breakers;
		pg_atomic_init_u64(&shared->next_probe, 1);
		pg_atomic_init_u64(&shared->last_no_room, 0);
	}
	hashes = (uint32 *) ((char *) memory + MAXALIGN(sizeof(Breakers)));
	all = (Breaker *) ((char *) hashes + MAXALIGN(sizeof(uint32) * shared->capacity));
	for (int i = 0; !found && i < shared->capacity; i++)
		SpinLockInit(&all[i].mutex);
	LWLockRegisterTranche(shared->tranche, "ffstorage_breakers");
}

void
ffs_resilience_breaker_init(void)
{
	DefineCustomIntVariable("ffstorage.breaker_failures",
							"So many failures in a row open a circuit breaker.",
							"The setting of the session that reports the failure counts.",
							&breaker_failures, 5, 1, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.breaker_open_time",
							"After so long an open circuit breaker lets one call try.",
							"The setting of the session that asks counts.",
							&breaker_open_time, 60 * 1000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	/* without preload a setting that needs a restart is still accepted */
	DefineCustomIntVariable("ffstorage.max_breakers",
							"Number of circuit breakers that there is room for.",
							"In all databases. Further ones let every call go, and ffs_health says so.",
							&max_breakers, 200, 1, 10000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);
	ffs_stats_register_check("breakers", check_breakers);
	ffs_stats_register_figures("breakers", figures);
	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage breakers", shmem_size, shmem_setup);
	ffs_stats_register_database_gone(database_gone);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
