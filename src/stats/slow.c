/*-------------------------------------------------------------------------
 *
 * slow.c
 *		The latest slow operations.
 *
 * A ring in shared memory under one lock.  An operation that took
 * ffstorage.slow_operation or longer is noted at once, whatever becomes of its
 * transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

typedef struct Ring
{
	LWLock		lock;
	int			tranche;
	int			capacity;
	uint64		latest;			/* number of the latest */
	FfsSlowOperation all[FLEXIBLE_ARRAY_MEMBER];
} Ring;

static Ring *ring = NULL;

/* ---- noting ---- */

void
ffs_stats_note_slow(Oid relid, FfsOperation op, uint64 ns, uint64 rows, int sqlstate, FfsTenantRef tenant)
{
	FfsSlowOperation slow = {0};

	if (ring == NULL)
		return;
	slow.at = GetCurrentTimestamp();
	slow.dboid = MyDatabaseId;
	slow.relid = relid;
	slow.role = GetOuterUserId();
	slow.op = op;
	slow.pid = MyProcPid;
	slow.sqlstate = sqlstate;
	slow.ns = ns;
	slow.rows = rows;
	slow.query_id = pgstat_get_my_query_id();
	if (!ffs_stats_tenant_name(tenant, &slow.tenant_kind, slow.tenant))
		slow.tenant_kind = -1;
	slow.caller = *ffs_stats_caller(sqlstate != 0);
	ffs_stats_copy_text(slow.application_name, application_name);

	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	slow.number = ++ring->latest;
	ring->all[slow.number % ring->capacity] = slow;
	LWLockRelease(&ring->lock);
}

void
ffs_stats_forget_slow(Oid dboid)
{
	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ring->capacity; i++)
	{
		if (ring->all[i].dboid == dboid)
			ring->all[i].number = 0;
	}
	LWLockRelease(&ring->lock);
}

/* ---- reading ---- */

FfsSlowOperation *
ffs_stats_copy_slow(int *n)
{
	FfsSlowOperation *result;

	*n = 0;
	if (ring == NULL)
		return NULL;
	result = palloc(sizeof(FfsSlowOperation) * ring->capacity);
	LWLockAcquire(&ring->lock, LW_SHARED);
	for (int back = 0; back < ring->capacity && (uint64) back < ring->latest; back++)
	{
		const FfsSlowOperation *slow = &ring->all[(ring->latest - back) % ring->capacity];

		if (slow->number > 0 && slow->dboid == MyDatabaseId)
			result[(*n)++] = *slow;
	}
	LWLockRelease(&ring->lock);
	return result;
}

PG_FUNCTION_INFO_V1(slow_operations);

/*
 * ffstorage.slow_operations(): the latest slow operations in this database.
 */
Datum
slow_operations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsSlowOperation *slow;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	slow = ffs_stats_copy_slow(&n);
	for (int i = 0; i < n; i++, slow++)
	{
		Datum		values[13];
		bool		nulls[13] = {0};

		values[0] = TimestampTzGetDatum(slow->at);
		values[1] = ObjectIdGetDatum(slow->relid);
		nulls[1] = !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(slow->relid));
		values[2] = CStringGetTextDatum(ffs_stats_operation_name(slow->op));
		values[3] = Float8GetDatum(slow->ns / 1e6);
		values[4] = Int64GetDatum((int64) slow->rows);
		values[5] = CStringGetTextDatum(slow->tenant_kind == FFS_TENANT_KIND_ONE ? slow->tenant :
										slow->tenant_kind < 0 ? "" :
										psprintf("(%s)", ffs_stats_tenant_kind(slow->tenant_kind)));
		nulls[5] = slow->tenant_kind < 0;
		values[6] = CStringGetTextDatum(slow->caller.actor);
		nulls[6] = slow->caller.actor[0] == '\0';
		values[7] = CStringGetTextDatum(slow->caller.traceparent);
		nulls[7] = slow->caller.traceparent[0] == '\0';
		values[8] = ObjectIdGetDatum(slow->role);
		values[9] = CStringGetTextDatum(slow->application_name);
		values[10] = Int32GetDatum(slow->pid);
		values[11] = Int64GetDatum((int64) slow->query_id);
		nulls[11] = slow->query_id == 0;
		if (slow->sqlstate != 0)
			values[12] = CStringGetTextDatum(unpack_sql_state(slow->sqlstate));
		else
			nulls[12] = true;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- over a restart ---- */

static int
count_slow(void)
{
	return ring->capacity;
}

/* In the order of their numbers. */
static bool
get_slow(int i, void *record)
{
	memcpy(record, &ring->all[(ring->latest + 1 + i) % ring->capacity], sizeof(FfsSlowOperation));
	return ((FfsSlowOperation *) record)->number > 0;
}

static void
put_slow(const void *record)
{
	FfsSlowOperation *slow;

	ring->latest++;
	slow = &ring->all[ring->latest % ring->capacity];
	memcpy(slow, record, sizeof(FfsSlowOperation));
	slow->number = ring->latest;
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return add_size(offsetof(Ring, all), mul_size(sizeof(FfsSlowOperation), ffs_stats_max_slow_operations));
}

static void
shmem_setup(void *memory, bool found)
{
	ring = memory;
	if (!found)
	{
		memset(memory, 0, shmem_size());
		ring->tranche = LWLockNewTrancheId();
		LWLockInitialize(&ring->lock, ring->tranche);
		ring->capacity = ffs_stats_max_slow_operations;
	}
	LWLockRegisterTranche(ring->tranche, "ffstorage_slow_operations");
}

void
ffs_stats_init_slow(void)
{
	static const FfsKept kept = {"slow", sizeof(FfsSlowOperation), count_slow, get_slow, put_slow};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage slow operations", shmem_size, shmem_setup);
	ffs_stats_keep(&kept);
}
