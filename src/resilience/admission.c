/*-------------------------------------------------------------------------
 *
 * admission.c
 *		ffstorage.max_running_per_tenant: how many calls of a tenant may run
 *		at once.  The others wait in line.
 *
 * A tenant of a database has a queue; so has a role, for its calls while no
 * tenant, or more than one, is set.  A call that finds fewer than the limit
 * running and nobody waiting runs; others wait in the order in which they
 * came.  Whoever ends hands its place to the first of the line and wakes it:
 * a place is never up for grabs, so nobody overtakes and nobody wakes in vain.
 *
 * A place is given back where the call ends or fails (calls.c), and when its
 * backend exits; after a crash there is no shared memory that could remember
 * it.  Waits end with a cancel, with the timeout of the call, and after
 * ffstorage.admission_timeout with the error too_many_running.
 *
 * A call that waits may hold locks that a running one waits for: then neither
 * would go on.  The deadlock detector does not see waits here, so whoever
 * has waited for deadlock_timeout and may hold locks looks whether a running
 * call of its queue waits for it, directly or through others.  If so it goes
 * in over the limit: the other one does not really run.
 *
 * Shared memory is one block: Admission, then the partitions' queues, then a
 * seat for each backend.  Which lock guards what:
 *
 *	- Partition.lock: which queues the partition has, and everything in them.
 *	- Seat: the lock of the queue's partition that it is in; while it is in none
 *	  (Seat.queue NULL), its backend's alone.  Seat.granted is also read without
 *	  the lock by its own backend, as a hint after waking up.
 *
 * A queue that is idle makes room for another when all of its partition are in
 * use; there are so many that one of them always is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "resilience/bounds.h"
#include "resilience/clock.h"
#include "stats/stats.h"
#include "tenancy/tenancy.h"

PG_FUNCTION_INFO_V1(admission);

#define NPARTITIONS		8

/* Refusals degrade health for so long. */
#define REFUSALS_MATTER	(5 * USECS_PER_MINUTE)

/* Whoever is first in the line of a tenant that is paced looks so often whether it still is. */
#define LOOK_AGAIN		(100 * INT64CONST(1000))

/* A tenant that wanted more than its limit is watched for so long. */
#define OVER_LIMIT_MATTERS	(2 * USECS_PER_SEC)

/* ---- settings ---- */

int			ffs_resilience_max_running = 0;
static int	admission_timeout = 5000;	/* ms */
static int	queue_warning = 20;

/* ---- what is in shared memory ---- */

typedef struct Seat Seat;

typedef struct Queue
{
	uint64		key;			/* 0: not in use */
	Oid			dboid;
	Oid			role;			/* InvalidOid: a tenant's */
	char		tenant[NAMEDATALEN];	/* cut, for people */
	int			running;
	int			waiting;
	Seat	   *first;			/* the line */
	Seat	   *last;
	int64		over_limit;		/* monotonic: when more last wanted to run than may */
	FfsUse		use;
	bool		paced;			/* one runs at a time, see pace.c */
	int64		pause_until;	/* monotonic: before that the line does not move */
	int64		used;			/* monotonic */
	int			most_waiting;
	uint64		calls;			/* that ran */
	uint64		waited;			/* that waited first */
	uint64		wait_us;
	uint64		refused;
	int64		last_refused;	/* monotonic, where refused > 0 */
} Queue;

struct Seat
{
	Queue	   *queue;			/* NULL: the backend has no call here */
	bool		granted;		/* runs; else waits */
	bool		counted;		/* runs, and counted in the queue's use */
	int64		since;			/* monotonic: when it was granted */
	int			limit;			/* the one of this call */
	int			pid;
	Latch	   *latch;
	Seat	   *next;			/* in the line */
	Seat	   *prev;
};

typedef struct Partition
{
	LWLock		lock;
	int			nused;
	char		pad[PG_CACHE_LINE_SIZE];
} Partition;

typedef struct Admission
{
	int			tranche;
	int			capacity;		/* of a partition */
	Partition	partitions[NPARTITIONS];
} Admission;

static Admission *shared = NULL;
static Queue *queues;			/* capacity of each partition, one after the other */
static Seat *seats;

/* The seat of this backend while it is in a queue, and where that was last. */
static Seat *seat = NULL;
static Queue *recent = NULL;

/*
 * The processors' time that this backend had taken when its last call ended,
 * and what goes for the present one: from when it ran, less what the transaction
 * and the protocol around it took, as far as that is MOST_AROUND.
 */
#define MOST_AROUND		1000
static int64 took_until = 0;
static int64 took_from = 0;

/* ---- queues ---- */

static inline Partition *
partition_of(uint64 key)
{
	return &shared->partitions[key % NPARTITIONS];
}

static inline Queue *
first_queue(const Partition *partition)
{
	return queues + (partition - shared->partitions) * shared->capacity;
}

/* The key's queue, made if it is not there.  Partition locked. */
static Queue *
find_queue(Partition *partition, uint64 key, Oid role, const text *tenant)
{
	Queue	   *all = first_queue(partition);
	Queue	   *queue = NULL;

	if (recent != NULL && recent->key == key)
		return recent;
	for (int i = 0; i < partition->nused; i++)
		if (all[i].key == key)
			return recent = &all[i];

	/* each backend is in one queue at most, this one in none */
	if (partition->nused < shared->capacity)
		queue = &all[partition->nused++];
	else
	{
		for (int i = 0; i < shared->capacity; i++)
			if (all[i].running == 0 && all[i].waiting == 0 && (queue == NULL || all[i].used < queue->used))
				queue = &all[i];
		if (queue == NULL)
			elog(PANIC, "no queue is idle");
	}
	memset(queue, 0, sizeof(Queue));
	queue->key = key;
	queue->dboid = MyDatabaseId;
	queue->role = role;
	if (tenant != NULL)
		memcpy(queue->tenant, VARDATA_ANY(tenant),
			   pg_mbcliplen(VARDATA_ANY(tenant), VARSIZE_ANY_EXHDR(tenant), NAMEDATALEN - 1));
	return recent = queue;
}

static void
join_line(Queue *queue, Seat *s)
{
	s->prev = queue->last;
	s->next = NULL;
	if (queue->last != NULL)
		queue->last->next = s;
	else
		queue->first = s;
	queue->last = s;
	queue->waiting++;
	if (queue->running + queue->waiting > s->limit)
		queue->over_limit = ffs_resilience_monotonic();
	queue->most_waiting = Max(queue->most_waiting, queue->waiting);
}

static void
leave_line(Queue *queue, Seat *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		queue->first = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	else
		queue->last = s->prev;
	queue->waiting--;
}

/* Has it wanted more than its limit of late? */
static bool
is_over_limit(const Queue *queue, int64 now)
{
	return queue->over_limit != 0 && now - queue->over_limit < OVER_LIMIT_MATTERS;
}

static void
grant(Queue *queue, Seat *s, int64 now)
{
	queue->running++;
	queue->calls++;
	s->since = now;
	s->granted = true;
	s->counted = !is_over_limit(queue, now);
	if (s->counted)
		ffs_resilience_call_runs(&queue->use, now);
}

/* Is there a place for one more call of that limit? */
static bool
has_place(const Queue *queue, int limit, int64 now)
{
	return queue->running < (queue->paced ? 1 : limit) && queue->pause_until <= now;
}

/*
 * Let those in for whom there is a place now.  While the line has to pause,
 * its first one wakes up by itself when the pause is over.
 */
static void
let_in(Queue *queue, int64 now)
{
	while (queue->first != NULL && has_place(queue, queue->first->limit, now))
	{
		Seat	   *s = queue->first;

		leave_line(queue, s);
		grant(queue, s, now);
		SetLatch(s->latch);
	}
	if (queue->first != NULL && queue->first != seat && queue->running < queue->first->limit)
		SetLatch(queue->first->latch);
}

/* ---- leaving ---- */

void
ffs_resilience_leave(void)
{
	Queue	   *queue;
	Partition  *partition;
	int64		now;

	if (seat == NULL)
		return;
	queue = seat->queue;
	partition = partition_of(queue->key);
	now = ffs_resilience_monotonic();
	ffs_resilience_look_at_processors(now);
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (seat->granted)
	{
		int64		took;
		double		by_another;

		took_until = ffs_resilience_processor_time();
		took = took_until - took_from;
		if (queue->running + queue->waiting > seat->limit)
			queue->over_limit = now;
		if (seat->counted)
			ffs_resilience_call_ended(&queue->use, took, now);
		by_another = is_over_limit(queue, now) ? ffs_resilience_use_by_another(now) : 0.0;
		queue->paced = by_another > 0.0;
		if (queue->paced)
			queue->pause_until = Min(Max(queue->pause_until, now) + ffs_resilience_pause(by_another, now - seat->since, took),
									 now + LONGEST_PAUSE);
		else
			queue->pause_until = 0;
		queue->running--;
	}
	else
		leave_line(queue, seat);
	seat->queue = NULL;
	queue->used = now;
	let_in(queue, now);
	LWLockRelease(&partition->lock);
	seat = NULL;
}

static void
at_exit(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	ffs_resilience_leave();
}

/* ---- waiting ---- */

/* The pids that run calls of our queue. */
static List *
running_pids(const Queue *queue)
{
	Partition  *partition = partition_of(queue->key);
	int		   *pids = palloc(sizeof(int) * MaxBackends);
	int			n = 0;
	List	   *list = NIL;

	LWLockAcquire(&partition->lock, LW_SHARED);
	for (int i = 0; i < MaxBackends; i++)
		if (seats[i].queue == queue && seats[i].granted)
			pids[n++] = seats[i].pid;
	LWLockRelease(&partition->lock);
	for (int i = 0; i < n; i++)
		list = lappend_int(list, pids[i]);
	pfree(pids);
	return list;
}

/* Does a running call of our queue wait for a lock of ours, directly or through others? */
static bool
is_waited_for(const Queue *queue)
{
	List	   *pids = running_pids(queue);

	/* the list grows by those that wait, and by whom for */
	for (int i = 0; i < list_length(pids); i++)
	{
		ArrayType  *blockers = DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids,
																	  Int32GetDatum(list_nth_int(pids, i))));
		int			n = ArrayGetNItems(ARR_NDIM(blockers), ARR_DIMS(blockers));
		int32	   *pid = (int32 *) ARR_DATA_PTR(blockers);

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < n; j++)
		{
			if (pid[j] == MyProcPid)
				return true;
			pids = list_append_unique_int(pids, pid[j]);
		}
	}
	list_free(pids);
	return false;
}

/* Go in although there is no place. */
static void
enter_over_limit(Queue *queue)
{
	Partition  *partition = partition_of(queue->key);

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (!seat->granted)
	{
		leave_line(queue, seat);
		grant(queue, seat, ffs_resilience_monotonic());
	}
	LWLockRelease(&partition->lock);
}

/*
 * We woke up without a place: has a pause of the line ended?  Says when to
 * look again, if only time is to pass until it moves.
 */
static int64
look_at_line(Queue *queue, int64 now)
{
	Partition  *partition = partition_of(queue->key);
	int64		until = PG_INT64_MAX;

	if (queue->first != seat)
		return until;
	ffs_resilience_look_at_processors(now);
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (queue->first == seat)
	{
		if (queue->paced && queue->pause_until <= now)
			queue->paced = is_over_limit(queue, now) && ffs_resilience_use_by_another(now) > 0.0;
		let_in(queue, now);
		if (!seat->granted && queue->running < seat->limit)
			until = queue->pause_until > now ? queue->pause_until : now + LOOK_AGAIN;
	}
	LWLockRelease(&partition->lock);
	return until;
}

/* Has the place been granted?  If not, the wait is given up and counted. */
static bool
give_up(Queue *queue, int64 waited)
{
	Partition  *partition = partition_of(queue->key);
	bool		granted;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	granted = seat->granted;
	if (!granted)
	{
		queue->refused++;
		queue->last_refused = ffs_resilience_monotonic();
		queue->wait_us += waited;
	}
	LWLockRelease(&partition->lock);
	return granted;
}

static void
refuse(int limit, bool tenant)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_TOO_MANY_RUNNING),
			 tenant ? errmsg("too many calls of the tenant are running") :
			 errmsg("too many calls of the role are running"),
			 errdetail("%d may run at once, and this one has waited for %d ms.", limit, admission_timeout),
			 errhint("Try again later; send fewer calls at once, or have ffstorage.max_running_per_tenant or ffstorage.admission_timeout raised.")));
}

static void
wait_in_line(Queue *queue, bool tenant)
{
	int64		start = ffs_resilience_monotonic();
	int64		until = admission_timeout == 0 ? PG_INT64_MAX : start + admission_timeout * INT64CONST(1000);
	int64		look = TransactionIdIsValid(GetTopTransactionIdIfAny()) ?
		start + DeadlockTimeout * INT64CONST(1000) : PG_INT64_MAX;
	Partition  *partition = partition_of(queue->key);
	int64		now;

	for (;;)
	{
		int64		next;

		ResetLatch(MyLatch);
		pg_memory_barrier();
		if (((volatile Seat *) seat)->granted)
			break;
		CHECK_FOR_INTERRUPTS();
		now = ffs_resilience_monotonic();
		if (now >= until)
		{
			if (give_up(queue, now - start))
				break;
			refuse(seat->limit, tenant);
		}
		if (now >= look)
		{
			if (is_waited_for(queue))
			{
				enter_over_limit(queue);
				break;
			}
			look = now + Max(DeadlockTimeout, 1000) * INT64CONST(1000);
		}
		next = Min(Min(until, look), look_at_line(queue, now));
		if (((volatile Seat *) seat)->granted)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min((next - now) / 1000 + 1, INT_MAX), PG_WAIT_EXTENSION);
	}
	now = ffs_resilience_monotonic();
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	queue->waited++;
	queue->wait_us += now - start;
	LWLockRelease(&partition->lock);
}

/* ---- entering ---- */

/* Whose call is it?  A key, and for people the role or the tenant. */
static uint64
whose_call(const char *named_tenant, Oid *role, text **tenant)
{
	Datum		value;
	uint64		hash;

	*role = InvalidOid;
	if (named_tenant != NULL)
		*tenant = cstring_to_text(named_tenant);
	else if (ffs_tenancy_default(TEXTOID, &value))
		*tenant = DatumGetTextPP(value);
	else
	{
		*tenant = NULL;
		*role = GetOuterUserId();
	}
	if (*tenant != NULL)
		hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(*tenant), VARSIZE_ANY_EXHDR(*tenant), MyDatabaseId);
	else
		hash = hash_bytes_uint32_extended(*role, ~(uint64) MyDatabaseId);
	return hash == 0 ? 1 : hash;
}

void
ffs_resilience_enter(const char *named_tenant)
{
	static bool registered = false;
	Oid			role;
	text	   *tenant;
	uint64		key;
	Partition  *partition;
	Queue	   *queue;
	Seat	   *mine;
	int64		now;
	bool		granted;

	if (shared == NULL || ffs_resilience_max_running == 0)
		return;
	if (!registered)
	{
		before_shmem_exit(at_exit, (Datum) 0);
		registered = true;
	}
	key = whose_call(named_tenant, &role, &tenant);
	partition = partition_of(key);
	mine = &seats[ffs_compat_backend_slot()];

	now = ffs_resilience_monotonic();
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	queue = find_queue(partition, key, role, tenant);
	mine->queue = queue;
	mine->granted = false;
	mine->limit = ffs_resilience_max_running;
	mine->pid = MyProcPid;
	mine->latch = MyLatch;
	if (queue->first == NULL && has_place(queue, mine->limit, now))
		grant(queue, mine, now);
	else
		join_line(queue, mine);
	granted = mine->granted;
	seat = mine;
	LWLockRelease(&partition->lock);
	if (!granted)
		wait_in_line(queue, tenant != NULL);
	took_from = ffs_resilience_processor_time();
	took_from -= Min(took_from - took_until, MOST_AROUND);
}

/* ---- figures ---- */

/* A copy of this database's queues, in an array. */
static Queue *
copy_queues(int *n)
{
	Queue	   *copies;

	*n = 0;
	if (shared == NULL)
		return NULL;
	copies = palloc(mul_size(sizeof(Queue), mul_size(NPARTITIONS, shared->capacity)));
	for (int p = 0; p < NPARTITIONS; p++)
	{
		Partition  *partition = &shared->partitions[p];

		LWLockAcquire(&partition->lock, LW_SHARED);
		for (int i = 0; i < partition->nused; i++)
			if (first_queue(partition)[i].dboid == MyDatabaseId)
				copies[(*n)++] = first_queue(partition)[i];
		LWLockRelease(&partition->lock);
	}
	return copies;
}

/* ffstorage.admission() returns setof record */
Datum
admission(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		now = ffs_resilience_monotonic();
	TimestampTz clock = GetCurrentTimestamp();
	int			n;
	Queue	   *copies;

	InitMaterializedSRF(fcinfo, 0);
	copies = copy_queues(&n);
	for (int i = 0; i < n; i++)
	{
		Queue	   *queue = &copies[i];
		Datum		values[10];
		bool		nulls[10] = {0};

		values[0] = CStringGetTextDatum(queue->tenant);
		nulls[0] = OidIsValid(queue->role);
		values[1] = ObjectIdGetDatum(queue->role);
		nulls[1] = !OidIsValid(queue->role);
		values[2] = Int32GetDatum(queue->running);
		values[3] = Int32GetDatum(queue->waiting);
		values[4] = Int32GetDatum(queue->most_waiting);
		values[5] = Int64GetDatum((int64) queue->calls);
		values[6] = Int64GetDatum((int64) queue->waited);
		values[7] = Float8GetDatum(queue->wait_us / 1000.0);
		values[8] = Int64GetDatum((int64) queue->refused);
		values[9] = TimestampTzGetDatum(clock - (now - queue->last_refused));
		nulls[9] = queue->refused == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static void
check_admission(FfsHealthSink *sink)
{
	int64		now = ffs_resilience_monotonic();
	int			n;
	Queue	   *copies;
	int			waiting = 0;
	int			running = 0;
	int			refusing = 0;

	if (shared == NULL)
	{
		ffs_stats_report(sink, FFS_HEALTH_OFF, "calls of a tenant are not limited",
						 "There is no shared memory to count them in.",
						 "Add ffstorage to shared_preload_libraries and restart the server.");
		return;
	}
	if (ffs_resilience_max_running == 0)
	{
		ffs_stats_report(sink, FFS_HEALTH_OFF, "calls of a tenant are not limited",
						 "ffstorage.max_running_per_tenant is 0.",
						 "Set ffstorage.max_running_per_tenant so that no tenant can keep the others from the server.");
		return;
	}
	copies = copy_queues(&n);
	for (int i = 0; i < n; i++)
	{
		waiting += copies[i].waiting;
		running += copies[i].running;
		if (copies[i].refused > 0 && now - copies[i].last_refused < REFUSALS_MATTER)
			refusing++;
	}
	if (refusing > 0 || (queue_warning > 0 && waiting >= queue_warning))
		ffs_stats_report(sink, FFS_DEGRADED,
						 refusing > 0 ? "calls were refused in the last five minutes" : "many calls wait for others of their tenant",
						 psprintf("Tenants and roles with refused calls: %d; calls that run now: %d; that wait: %d.",
								  refusing, running, waiting),
						 "See ffs_stat_admission for whose they are; ask them to send fewer at once, or raise ffstorage.max_running_per_tenant.");
	else
		ffs_stats_report(sink, FFS_HEALTHY, "calls are limited per tenant, and hardly wait",
						 psprintf("Calls that run now: %d; that wait: %d.", running, waiting), NULL);
}

static void
figures(FfsFigureSink *sink)
{
	int			n;
	Queue	   *copies = copy_queues(&n);
	Queue		sum = {0};

	if (shared == NULL)
		return;
	for (int i = 0; i < n; i++)
	{
		sum.running += copies[i].running;
		sum.waiting += copies[i].waiting;
		sum.calls += copies[i].calls;
		sum.waited += copies[i].waited;
		sum.wait_us += copies[i].wait_us;
		sum.refused += copies[i].refused;
	}
	ffs_stats_figure(sink, FFS_GAUGE, "running", "calls", "Calls that run now, while calls of a tenant are limited.", sum.running, NULL, NULL);
	ffs_stats_figure(sink, FFS_GAUGE, "waiting", "calls", "Calls that wait for others of their tenant.", sum.waiting, NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "calls", "calls", "Calls that ran.", (double) sum.calls, NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "waited", "calls", "Calls that waited before they ran.", (double) sum.waited, NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "wait", "seconds", "Time of all waits.", sum.wait_us / 1e6, NULL, NULL);
	ffs_stats_figure(sink, FFS_COUNTER, "refused", "calls", "Calls that ended with too_many_running.", (double) sum.refused, NULL, NULL);
}

/* ---- databases that are gone ---- */

/* Their queues are the first to make room for others. */
static void
database_gone(Oid dboid)
{
	for (int p = 0; p < NPARTITIONS; p++)
	{
		Partition  *partition = &shared->partitions[p];

		LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
		for (int i = 0; i < partition->nused; i++)
		{
			if (first_queue(partition)[i].dboid == dboid)
				memset(&first_queue(partition)[i], 0, sizeof(Queue));
		}
		LWLockRelease(&partition->lock);
	}
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Admission));

	size = add_size(size, MAXALIGN(mul_size(sizeof(Queue), mul_size(NPARTITIONS, MaxBackends + 1))));
	return add_size(size, mul_size(sizeof(Seat), MaxBackends));
}

static void
shmem_setup(void *memory, bool found)
{
	shared = memory;
	if (!found)
	{
		memset(memory, 0, shmem_size());
		shared->tranche = LWLockNewTrancheId();
		shared->capacity = MaxBackends + 1;
		for (int p = 0; p < NPARTITIONS; p++)
			LWLockInitialize(&shared->partitions[p].lock, shared->tranche);
	}
	queues = (Queue *) ((char *) memory + MAXALIGN(sizeof(Admission)));
	seats = (Seat *) ((char *) queues + MAXALIGN(sizeof(Queue) * NPARTITIONS * shared->capacity));
	LWLockRegisterTranche(shared->tranche, "ffstorage_admission");
}

static void
max_running_changed(int newval, void *extra pg_attribute_unused())
{
	ffs_resilience_max_running = newval;
	ffs_resilience_settings_changed();
}

void
ffs_resilience_admission_init(void)
{
	DefineCustomIntVariable("ffstorage.max_running_per_tenant",
							"How many calls of ffs_ functions a tenant may run at once.",
							"Of a role, where no tenant is set; in one database. Further ones wait. 0 means as many as it likes. Needs ffstorage in shared_preload_libraries.",
							&ffs_resilience_max_running, 0, 0, INT_MAX, PGC_SUSET, 0,
							NULL, max_running_changed, NULL);
	DefineCustomIntVariable("ffstorage.admission_timeout",
							"How long a call waits until it may run.",
							"0 means as long as it takes.",
							&admission_timeout, 5000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("ffstorage.pace_tenants",
							 "Slows down a tenant that is over its limit while others want the processors.",
							 "Off, ffstorage.max_running_per_tenant alone decides when a call may run.",
							 &ffs_resilience_pace_tenants, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.health_admission_queue",
							"Health is degraded when so many calls wait for others of their tenant.",
							"0: however many wait.",
							&queue_warning, 20, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	ffs_stats_register_check("admission", check_admission);
	ffs_stats_register_figures("admission", figures);
	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage admission", shmem_size, shmem_setup);
	ffs_stats_register_database_gone(database_gone);
	ffs_resilience_pace_init();
}
