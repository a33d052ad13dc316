/*-------------------------------------------------------------------------
 *
 * pending.c
 *		Counts of work that may yet be rolled back.
 *
 * They are kept in the backend, per table, operation and subtransaction
 * nesting level: a subtransaction that commits hands them to its parent, one
 * that aborts drops them, and the end of the transaction makes them certain or
 * drops them.  What has begun and has not ended when its level aborts is what
 * failed: that is one error each, and an error is certain at once.
 *
 * PREPARE TRANSACTION hands them to prepared.c.
 *
 * An operation that begins while another one is open is inside of that one:
 * the tenant is charged for the outer one only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stats/figures.h"

typedef struct PendingKey
{
	Oid			relid;
	FfsOperation op;
} PendingKey;

/* One call, kept as it was. */
typedef struct Call
{
	uint64		rows;
	uint64		ns;
	bool		is_call;		/* else rows that belong to another call */
	bool		is_outer;
} Call;

/* How many calls are kept before they are counted together. */
#define FEW 4

/* Of short calls so many are timed (more than FEW), then one of so many on average. */
#define SHORT_TIMED	64
#define SHORT_EVERY 16

typedef struct Pending
{
	PendingKey	key;
	int			nest;			/* subtransaction nesting level */
	int			open;			/* begun and not yet counted */
	instr_time	started;		/* the latest of them */
	uint64		calls;
	uint64		rows;
	uint64		total_ns;
	uint64		min_ns;
	uint64		max_ns;
	FfsOuter	outer;
	uint32		nshort;			/* short calls that were timed because they were the first */
	uint32		untimed;		/* short calls since the last one that was timed */
	uint32		untimed_outer;	/* those of them that were not inside of another */
	uint32		next_timed;		/* after so many */
	uint64		short_ns;		/* what that one took */
	uint32	   *histogram;		/* NULL while few do */
	struct Pending *next;		/* same nesting level */
	int			nfew;
	Call		few[FEW];		/* last: it needs no zeros */
} Pending;

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

static Level *levels = NULL;	/* innermost first */
static Level lowest;			/* of the transaction itself; others are in TopTransactionContext */

/* Some that are not used, so that a transaction need not allocate them: in TopMemoryContext, as all are. */
#define MAX_UNUSED	16
static Pending *unused = NULL;
static int	n_unused = 0;

static Pending *recent = NULL;	/* the last one found, of the innermost level */
static int	all_open = 0;		/* operations, at every level */
static FfsTenantRef tenant = {-1, 0};	/* the transaction's */

#define MAX_GONE 8
static FfsDatabaseGone database_gone[MAX_GONE];
static int	n_gone = 0;

static object_access_hook_type prev_object_access_hook = NULL;

/* ---- levels ---- */

static Level *
current_level(void)
{
	int			nest = GetCurrentTransactionNestLevel();

	if (levels == NULL || levels->nest != nest)
	{
		Level	   *level = &lowest;

		if (levels != NULL || nest > 1)
			level = MemoryContextAlloc(TopTransactionContext, sizeof(Level));
		memset(level, 0, sizeof(Level));
		level->nest = nest;
		level->prev = levels;
		levels = level;
	}
	return levels;
}

/* There are few of them: no more than tables that one transaction writes. */
static Pending *
find_in_level(const Level *level, const PendingKey *key)
{
	Pending    *pending = level->pending;

	while (pending != NULL && (pending->key.relid != key->relid || pending->key.op != key->op))
		pending = pending->next;
	return pending;
}

static Pending *
find_pending(Oid relid, FfsOperation op)
{
	Level	   *level = current_level();
	PendingKey	key = {relid, op};
	Pending    *pending;

	if (recent != NULL && recent->key.relid == relid && recent->key.op == op &&
		recent->nest == level->nest)
		return recent;
	pending = find_in_level(level, &key);
	if (pending != NULL)
		return recent = pending;

	if (unused != NULL)
	{
		pending = unused;
		unused = pending->next;
		n_unused--;
	}
	else
		pending = MemoryContextAlloc(TopMemoryContext, sizeof(Pending));
	memset(pending, 0, offsetof(Pending, few));
	pending->key = key;
	pending->nest = level->nest;
	pending->min_ns = PG_UINT64_MAX;
	pending->next = level->pending;
	level->pending = pending;
	return recent = pending;
}

static void
free_pending(Pending *pending)
{
	if (n_unused >= MAX_UNUSED)
	{
		pfree(pending);
		return;
	}
	pending->next = unused;
	unused = pending;
	n_unused++;
}

/* ---- calls ---- */

static void
add_to_bucket(uint32 *histogram, int bucket, uint64 n)
{
	histogram[bucket] = (uint32) Min(histogram[bucket] + n, (uint64) PG_UINT32_MAX);
}

/* From now on calls are counted together. */
static void
begin_histogram(Pending *pending)
{
	pending->histogram = MemoryContextAllocZero(TopTransactionContext,
												sizeof(uint32) * FFS_HISTOGRAM_BUCKETS);
	for (int i = 0; i < pending->nfew; i++)
	{
		if (pending->few[i].is_call)
			add_to_bucket(pending->histogram, ffs_histogram_bucket(pending->few[i].ns), 1);
	}
	pending->nfew = 0;
}

static void
add_call(Pending *pending, const Call *call)
{
	if (pending->histogram == NULL)
	{
		if (pending->nfew < FEW)
		{
			pending->few[pending->nfew++] = *call;
			return;
		}
		begin_histogram(pending);
	}
	if (call->is_call)
		add_to_bucket(pending->histogram, ffs_histogram_bucket(call->ns), 1);
}

/* A call was timed: it stands for those before it that were not. */
static void
add_short_times(Pending *pending, uint64 each)
{
	pending->total_ns += each * pending->untimed;
	pending->outer.total_ns += each * pending->untimed_outer;
	pending->min_ns = Min(pending->min_ns, each);
	pending->max_ns = Max(pending->max_ns, each);
	if (pending->histogram == NULL)
		begin_histogram(pending);
	add_to_bucket(pending->histogram, ffs_histogram_bucket(each), pending->untimed);
	pending->untimed = pending->untimed_outer = 0;
}

/* No more short calls will be timed here: those that were not took as long as the last one that was. */
static void
settle_short(Pending *pending)
{
	if (pending->untimed > 0)
		add_short_times(pending, pending->short_ns);
}

/* The counts of a level that goes to its parent's. */
static void
merge_pending(Pending *upper, Pending *pending)
{
	upper->calls += pending->calls;
	upper->rows += pending->rows;
	upper->total_ns += pending->total_ns;
	upper->min_ns = Min(upper->min_ns, pending->min_ns);
	upper->max_ns = Max(upper->max_ns, pending->max_ns);
	upper->outer.calls += pending->outer.calls;
	upper->outer.rows += pending->outer.rows;
	upper->outer.total_ns += pending->outer.total_ns;
	for (int i = 0; i < pending->nfew; i++)
		add_call(upper, &pending->few[i]);
	if (pending->histogram == NULL)
		return;
	if (upper->histogram == NULL)
	{
		upper->histogram = pending->histogram;
		pending->histogram = NULL;
		for (int i = 0; i < upper->nfew; i++)
		{
			if (upper->few[i].is_call)
				add_to_bucket(upper->histogram, ffs_histogram_bucket(upper->few[i].ns), 1);
		}
		upper->nfew = 0;
		return;
	}
	for (int i = 0; i < FFS_HISTOGRAM_BUCKETS; i++)
	{
		if (pending->histogram[i] > 0)
			add_to_bucket(upper->histogram, i, pending->histogram[i]);
	}
	pfree(pending->histogram);
}

/* ---- what has become certain ---- */

static void
begin_delta(FfsDelta *delta, const PendingKey *key, uint32 period)
{
	memset(delta, 0, sizeof(FfsDelta));
	delta->relid = key->relid;
	delta->op = key->op;
	delta->period = period;
	delta->tenant = tenant;
	delta->min_ns = PG_UINT64_MAX;
}

/* All that one table and operation counted. */
static void
whole_delta(const Pending *pending, const uint32 *histogram, FfsDelta *delta, uint32 period)
{
	begin_delta(delta, &pending->key, period);
	delta->calls = pending->calls;
	delta->rows = pending->rows;
	delta->total_ns = pending->total_ns;
	delta->min_ns = pending->min_ns;
	delta->max_ns = pending->max_ns;
	delta->outer = pending->outer;
	delta->histogram = histogram;
}

static void
flush_pending(const Pending *pending, uint32 period)
{
	FfsDelta	delta;
	uint16		bucket;

	if (pending->histogram != NULL)
	{
		whole_delta(pending, pending->histogram, &delta, period);
		ffs_stats_merge(MyDatabaseId, &delta, period);
		return;
	}
	for (int i = 0; i < pending->nfew; i++)
	{
		const Call *call = &pending->few[i];

		begin_delta(&delta, &pending->key, period);
		delta.rows = call->rows;
		delta.total_ns = call->ns;
		if (call->is_call)
		{
			delta.calls = 1;
			delta.min_ns = delta.max_ns = call->ns;
			bucket = (uint16) ffs_histogram_bucket(call->ns);
			delta.nbuckets = 1;
			delta.buckets = &bucket;
		}
		if (call->is_outer)
		{
			delta.outer.calls = 1;
			delta.outer.rows = call->rows;
			delta.outer.total_ns = call->ns;
		}
		ffs_stats_log(&delta);
	}
}

static void
prepare_pending(Pending *pending)
{
	uint32		histogram[FFS_HISTOGRAM_BUCKETS];
	FfsDelta	delta;

	if (pending->calls == 0 && pending->rows == 0)
		return;
	settle_short(pending);
	if (pending->histogram != NULL)
		memcpy(histogram, pending->histogram, sizeof(histogram));
	else
	{
		memset(histogram, 0, sizeof(histogram));
		for (int i = 0; i < pending->nfew; i++)
		{
			if (pending->few[i].is_call)
				add_to_bucket(histogram, ffs_histogram_bucket(pending->few[i].ns), 1);
		}
	}
	whole_delta(pending, histogram, &delta, 0);
	ffs_stats_add_prepared(&delta);
}

/* What was open when its level aborted has failed. */
static void
count_failed(const Pending *pending, uint32 period)
{
	FfsDelta	delta;
	int			sqlstate = ffs_stats_latest_sqlstate();
	instr_time	duration;

	all_open -= pending->open;
	begin_delta(&delta, &pending->key, period);
	delta.errors = pending->open;
	delta.outer.errors = all_open == 0 ? 1 : 0;
	ffs_stats_log(&delta);
	ffs_stats_add_sqlstate(pending->key.relid, sqlstate, pending->open);

	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, pending->started);
	ffs_stats_note_duration(pending->key.relid, pending->key.op,
							(uint64) (INSTR_TIME_GET_DOUBLE(duration) * 1e9), 0, sqlstate, tenant);
}

/* ---- ends of levels ---- */

/* Forget a level's counts. */
static void
drop_level(bool aborted)
{
	Pending    *next;

	recent = NULL;
	for (Pending *pending = levels->pending; pending != NULL; pending = next)
	{
		next = pending->next;
		if (aborted && pending->open > 0)
			count_failed(pending, ffs_stats_period(GetCurrentTimestamp()));
		free_pending(pending);
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
		Pending    *upper = find_in_level(parent, &pending->key);

		next = pending->next;
		settle_short(pending);
		if (upper == NULL)
		{
			pending->nest--;
			pending->next = parent->pending;
			parent->pending = pending;
			continue;
		}
		merge_pending(upper, pending);
		all_open -= pending->open;
		free_pending(pending);
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
	pfree(level);				/* never the lowest, which has no parent */
}

/* When did this transaction commit?  What the server has noted for itself costs nothing. */
static TimestampTz
commit_time(void)
{
	return GetCurrentTransactionStopTimestamp();
}

static void
make_certain(void)
{
	uint32		period = ffs_stats_period(commit_time());

	Assert(levels->prev == NULL);
	for (Pending *pending = levels->pending; pending != NULL; pending = pending->next)
	{
		settle_short(pending);
		flush_pending(pending, period);
	}
	for (Dropped *dropped = levels->dropped; dropped != NULL; dropped = dropped->next)
	{
		/* else what is in the logs would bring it back */
		ffs_stats_drain();
		ffs_stats_forget(dropped->dboid, dropped->relid);
		ffs_stats_forget_sqlstates(dropped->dboid, dropped->relid);
		if (!OidIsValid(dropped->relid))
		{
			ffs_stats_forget_tenants(dropped->dboid);
			ffs_stats_forget_slow(dropped->dboid);
			ffs_stats_forget_beginning(dropped->dboid);
			for (int i = 0; i < n_gone; i++)
				database_gone[i] (dropped->dboid);
		}
	}
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
	{
		if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PARALLEL_PRE_COMMIT &&
			event != XACT_EVENT_PRE_PREPARE)
			tenant.number = -1;
		return;
	}
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			make_certain();
			break;
		case XACT_EVENT_PREPARE:
			ffs_stats_begin_prepared();
			for (Pending *pending = levels->pending; pending != NULL; pending = pending->next)
				prepare_pending(pending);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
		default:
			return;				/* not at the end yet */
	}
	while (levels != NULL)
		drop_level(event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT);
	all_open = 0;
	tenant.number = -1;
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

/* Has this table counts, or may it get some when this transaction commits? */
static bool
may_have_counts(Oid relid)
{
	return levels != NULL || ffs_stats_has_counts(relid);
}

/* Note what is dropped, so that its figures go when that commits. */
static void
object_access(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (prev_object_access_hook)
		prev_object_access_hook(access, classId, objectId, subId, arg);

	if (access == OAT_DROP && subId == 0 && ffs_stats_have_counters() &&
		(classId == DatabaseRelationId ||
		 (classId == RelationRelationId && may_have_counts(objectId))))
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
	return ffs_stats_track && ffs_stats_have_counters();
}

void
ffs_stats_begin(Oid relid, FfsOperation op, instr_time started)
{
	Pending    *pending;

	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	Assert(op >= 0 && op < FFS_NOPERATIONS);
	if (tenant.number < 0)
		tenant = ffs_stats_current_tenant();
	pending = find_pending(relid, op);
	pending->open++;
	pending->started = started;
	all_open++;
}

void
ffs_stats_forgive(void)
{
	int			nest = GetCurrentTransactionNestLevel();

	for (Level *level = levels; level != NULL && level->nest >= nest; level = level->prev)
	{
		for (Pending *pending = level->pending; pending != NULL; pending = pending->next)
		{
			all_open -= pending->open;
			pending->open = 0;
		}
	}
}

void
ffs_stats_count(Oid relid, FfsOperation op, uint64 calls, uint64 rows, uint64 nanoseconds)
{
	Pending    *pending;
	Call		call = {.rows = rows, .ns = nanoseconds, .is_call = calls > 0};

	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	Assert(op >= 0 && op < FFS_NOPERATIONS);
	Assert(calls <= 1);

	ffs_stats_make_room();
	if (tenant.number < 0)
		tenant = ffs_stats_current_tenant();
	pending = find_pending(relid, op);
	if (pending->open > 0)
	{
		pending->open--;
		all_open--;
	}
	pending->calls += calls;
	pending->rows += rows;
	pending->total_ns += nanoseconds;
	if (calls > 0)
	{
		pending->min_ns = Min(pending->min_ns, nanoseconds);
		pending->max_ns = Max(pending->max_ns, nanoseconds);
		if (all_open == 0)
		{
			call.is_outer = true;
			pending->outer.calls++;
			pending->outer.rows += rows;
			pending->outer.total_ns += nanoseconds;
		}
	}
	add_call(pending, &call);
	if (calls > 0)
		ffs_stats_note_duration(relid, op, nanoseconds, rows, 0, tenant);
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
	Call		call = {.rows = rows, .ns = nanoseconds, .is_call = true, .is_outer = all_open == 0};

	if (!ffs_stats_enabled() || !IsTransactionState())
		return;
	if (tenant.number < 0)
		tenant = ffs_stats_current_tenant();
	pending = find_pending(relid, op);
	pending->calls++;
	pending->rows += rows;
	if (call.is_outer)
	{
		pending->outer.calls++;
		pending->outer.rows += rows;
	}
	if (nanoseconds == 0)
	{
		pending->untimed++;
		pending->untimed_outer += call.is_outer;
		return;
	}
	if (pending->untimed > 0)
		add_short_times(pending, nanoseconds);
	add_call(pending, &call);
	pending->total_ns += nanoseconds;
	pending->outer.total_ns += call.is_outer ? nanoseconds : 0;
	pending->min_ns = Min(pending->min_ns, nanoseconds);
	pending->max_ns = Max(pending->max_ns, nanoseconds);
	if (pending->nshort < SHORT_TIMED)
	{
		ffs_stats_make_room();
		pending->nshort++;
	}
	pending->short_ns = nanoseconds;
	/* never in step with what the caller does */
	chance = chance * UINT32_C(1664525) + UINT32_C(1013904223);
	pending->next_timed = (chance >> 16) % (2 * SHORT_EVERY - 1);
	ffs_stats_note_duration(relid, op, nanoseconds, rows, 0, tenant);
}

void
ffs_stats_count_violation(Oid relid)
{
	if (ffs_stats_enabled())
		ffs_stats_add_violation(relid, GetCurrentTimestamp());
}

/* ---- opening ---- */

void
ffs_stats_register_database_gone(FfsDatabaseGone gone)
{
	if (n_gone >= MAX_GONE)
		elog(ERROR, "too many rooms that keep something of databases");
	database_gone[n_gone++] = gone;
}

void
ffs_stats_init_pending(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}
