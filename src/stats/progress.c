/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far the long calls that run now have come: ffs_progress.
 *
 * Each backend has a slot in shared memory that it alone writes, by the
 * protocol of the server's own backend status: the count is odd while the slot
 * is being written, and a reader tries again until it finds it even and the
 * same before and after.  No lock is taken, and writing costs a few stores.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(progress);

typedef struct Progress
{
	uint32		changes;		/* odd: being written */
	int			pid;			/* 0: nothing runs here; what follows is unset then */
	Oid			database;
	Oid			role;			/* the session's */
	Oid			relid;
	FfsOperation operation;
	TimestampTz started;
	int64		done;
	int64		rejected;
	int64		total;
	int64		batch;
} Progress;

static Progress *slots = NULL;	/* one for each backend */

/* The call that is shown runs in a (sub)transaction of this depth; 0: none.  Calls inside of it are not shown. */
static int	shown_level = 0;

static void
begin_change(volatile Progress *slot)
{
	slot->changes++;
	pg_write_barrier();
}

static void
end_change(volatile Progress *slot)
{
	pg_write_barrier();
	slot->changes++;
}

bool
ffs_stats_begin_progress(Oid relid, FfsOperation op, uint64 total)
{
	volatile Progress *slot;

	if (slots == NULL || shown_level > 0)
		return false;
	slot = &slots[ffs_compat_backend_slot()];
	shown_level = GetCurrentTransactionNestLevel();
	begin_change(slot);
	slot->pid = MyProcPid;
	slot->database = MyDatabaseId;
	slot->role = GetSessionUserId();
	slot->relid = relid;
	slot->operation = op;
	slot->started = GetCurrentTimestamp();
	slot->done = slot->rejected = 0;
	slot->total = total;
	slot->batch = 0;
	end_change(slot);
	return true;
}

void
ffs_stats_progress(uint64 done, uint64 rejected, uint64 batch)
{
	volatile Progress *slot = &slots[ffs_compat_backend_slot()];

	begin_change(slot);
	slot->done = done;
	slot->rejected = rejected;
	slot->batch = batch;
	end_change(slot);
}

void
ffs_stats_end_progress(void)
{
	volatile Progress *slot = &slots[ffs_compat_backend_slot()];

	shown_level = 0;
	begin_change(slot);
	slot->pid = 0;
	end_change(slot);
}

/* ---- calls that fail ---- */

static void
xact_callback(XactEvent event pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (shown_level > 0 && slots != NULL)
		ffs_stats_end_progress();
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid pg_attribute_unused(),
				 SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (event == SUBXACT_EVENT_ABORT_SUB && shown_level > 0 &&
		GetCurrentTransactionNestLevel() <= shown_level)
		ffs_stats_end_progress();
}

/* ---- reading ---- */

/* A copy of what a slot holds at one moment; false where nothing runs. */
static bool
read_slot(volatile Progress *slot, Progress *copy)
{
	for (;;)
	{
		uint32		before = slot->changes;

		pg_read_barrier();
		memcpy(copy, unvolatize(Progress *, slot), sizeof(Progress));
		pg_read_barrier();
		if ((before & 1) == 0 && before == slot->changes)
			return copy->pid != 0;
		CHECK_FOR_INTERRUPTS();
	}
}

/* ffstorage.progress(): calls of the current user's own sessions, or all for who may read all statistics. */
Datum
progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; slots != NULL && i < MaxBackends; i++)
	{
		Progress	call;
		Datum		values[10];
		bool		nulls[10] = {0};

		if (!read_slot(&slots[i], &call) || !(all || has_privs_of_role(GetUserId(), call.role)))
			continue;
		values[0] = Int32GetDatum(call.pid);
		values[1] = ObjectIdGetDatum(call.database);
		values[2] = ObjectIdGetDatum(call.role);
		values[3] = ObjectIdGetDatum(call.relid);
		values[4] = CStringGetTextDatum(ffs_stats_operation_name(call.operation));
		values[5] = TimestampTzGetDatum(call.started);
		values[6] = Int64GetDatum(call.done);
		values[7] = Int64GetDatum(call.rejected);
		values[8] = Int64GetDatum(call.total);
		values[9] = Int64GetDatum(call.batch);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- memory ---- */

static Size
shmem_size(void)
{
	return mul_size(sizeof(Progress), MaxBackends);
}

static void
shmem_setup(void *memory, bool found)
{
	slots = memory;
	if (!found)
		memset(slots, 0, shmem_size());
}

void
ffs_stats_init_progress(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage progress", shmem_size, shmem_setup);
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
