/*-------------------------------------------------------------------------
 *
 * log.c
 *		What backends have counted, on its way to the counters.
 *
 * Each backend has a log in shared memory with room for some events: a call
 * that a transaction has committed, or errors.  It alone writes there, so that
 * counting shares no memory with other backends.  When the log is full, its
 * backend brings it into the counters; whoever reads the counters brings in
 * all logs first, and therefore sees everything that was committed before.
 *
 *	- Log.mutex (a spinlock) guards a log; only its owner appends.
 *	- Logs.lock: held shared by a backend that empties its own log, until what
 *	  was in it is in the counters; exclusively by who empties all of them.
 *	  So nothing is on its way when a reader begins.
 *
 * A log outlives its backend: what is in it is not lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

#define LOG_EVENTS 64

#define EVENT_CALL		0x01
#define EVENT_ERRORS	0x02	/* rows is their number */
#define EVENT_OUTER		0x04	/* not inside of another call */
#define EVENT_DONE		0xff

typedef struct Event
{
	Oid			relid;
	uint8		op;
	uint8		flags;
	uint16		bucket;
	uint32		period;
	FfsTenantRef tenant;
	uint64		rows;
	uint64		ns;
} Event;

typedef struct Log
{
	slock_t		mutex;
	Oid			dboid;			/* of all events */
	int			n;
	Event		events[LOG_EVENTS];
	char		pad[PG_CACHE_LINE_SIZE];	/* from the next one's mutex */
} Log;

typedef struct Logs
{
	LWLock		lock;
	int			tranche;
} Logs;

static Logs *logs = NULL;
static Log *all_logs;			/* one for each backend */

static void
to_event(const FfsDelta *delta, Event *event)
{
	event->relid = delta->relid;
	event->op = (uint8) delta->op;
	event->bucket = delta->nbuckets > 0 ? delta->buckets[0] : 0;
	event->period = delta->period;
	event->tenant = delta->tenant;
	event->ns = delta->total_ns;
	if (delta->errors > 0)
	{
		event->flags = EVENT_ERRORS | (delta->outer.errors > 0 ? EVENT_OUTER : 0);
		event->rows = delta->errors;
	}
	else
	{
		event->flags = (delta->calls > 0 ? EVENT_CALL : 0) | (delta->outer.calls > 0 ? EVENT_OUTER : 0);
		event->rows = delta->rows;
	}
}

static bool
same_place(const Event *a, const Event *b)
{
	return a->relid == b->relid && a->op == b->op && a->period == b->period &&
		a->tenant.number == b->tenant.number && a->tenant.generation == b->tenant.generation;
}

/* Add an event to what goes to one place. */
static void
add_event(const Event *event, FfsDelta *delta, uint16 *buckets)
{
	bool		outer = (event->flags & EVENT_OUTER) != 0;

	if (event->flags & EVENT_ERRORS)
	{
		delta->errors += event->rows;
		delta->outer.errors += outer ? 1 : 0;
		return;
	}
	delta->rows += event->rows;
	delta->total_ns += event->ns;
	if (event->flags & EVENT_CALL)
	{
		delta->calls++;
		delta->min_ns = Min(delta->min_ns, event->ns);
		delta->max_ns = Max(delta->max_ns, event->ns);
		buckets[delta->nbuckets++] = event->bucket;
	}
	if (outer)
	{
		delta->outer.calls++;
		delta->outer.rows += event->rows;
		delta->outer.total_ns += event->ns;
	}
}

/* Empty a log into the counters.  Logs.lock is held. */
static void
empty_log(Log *log)
{
	static Event events[LOG_EVENTS];
	uint16		buckets[LOG_EVENTS];
	uint32		now;
	Oid			dboid;
	int			n;

	SpinLockAcquire(&log->mutex);
	dboid = log->dboid;
	n = log->n;
	memcpy(events, log->events, sizeof(Event) * n);
	log->n = 0;
	SpinLockRelease(&log->mutex);

	now = ffs_stats_period(GetCurrentTimestamp());
	for (int i = 0; i < n; i++)
	{
		const Event *first = &events[i];
		FfsDelta	delta = {
			.relid = first->relid, .op = first->op, .period = first->period, .tenant = first->tenant,
			.min_ns = PG_UINT64_MAX, .buckets = buckets
		};

		if (first->flags == EVENT_DONE)
			continue;
		/* what goes to the same place goes there once */
		for (int j = i; j < n; j++)
		{
			if (events[j].flags == EVENT_DONE || !same_place(first, &events[j]))
				continue;
			add_event(&events[j], &delta, buckets);
			events[j].flags = EVENT_DONE;
		}
		ffs_stats_merge(dboid, &delta, now);
	}
}

void
ffs_stats_log(const FfsDelta *delta)
{
	int			number = ffs_compat_backend_slot();
	Log		   *log;

	if (number < 0 || number >= MaxBackends)
	{
		ffs_stats_merge(MyDatabaseId, delta, delta->period);
		return;
	}
	log = &all_logs[number];
	if (log->n >= LOG_EVENTS || (log->dboid != MyDatabaseId && log->n > 0))
	{
		LWLockAcquire(&logs->lock, LW_SHARED);
		empty_log(log);
		LWLockRelease(&logs->lock);
	}
	SpinLockAcquire(&log->mutex);
	log->dboid = MyDatabaseId;
	to_event(delta, &log->events[log->n++]);
	SpinLockRelease(&log->mutex);
}

void
ffs_stats_drain(void)
{
	if (logs == NULL)
		return;
	LWLockAcquire(&logs->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MaxBackends; i++)
	{
		if (all_logs[i].n > 0)
			empty_log(&all_logs[i]);
	}
	LWLockRelease(&logs->lock);
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(Logs)), mul_size(sizeof(Log), MaxBackends));
}

static void
shmem_setup(void *memory, bool found)
{
	logs = memory;
	all_logs = (Log *) ((char *) memory + MAXALIGN(sizeof(Logs)));
	if (!found)
	{
		memset(memory, 0, shmem_size());
		logs->tranche = LWLockNewTrancheId();
		LWLockInitialize(&logs->lock, logs->tranche);
		for (int i = 0; i < MaxBackends; i++)
			SpinLockInit(&all_logs[i].mutex);
	}
	LWLockRegisterTranche(logs->tranche, "ffstorage_stats_logs");
}

void
ffs_stats_init_log(void)
{
	ffs_base_register_shmem("ffstorage logs", shmem_size, shmem_setup);
}
