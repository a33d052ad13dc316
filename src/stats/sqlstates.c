/*-------------------------------------------------------------------------
 *
 * sqlstates.c
 *		Errors of operations on managed tables, per table and SQLSTATE.
 *
 * A small table in shared memory under one lock: errors are rare.  Where there
 * is no room, the one that was met longest ago goes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

#define MAX_SQLSTATES 1000

typedef struct Sqlstates
{
	LWLock		lock;
	int			tranche;
	int			n;
	FfsSqlstateFigures all[MAX_SQLSTATES];
} Sqlstates;

static Sqlstates *shared = NULL;

/* The place of a key; where it has none, a new one.  Lock held exclusively. */
static FfsSqlstateFigures *
find_place(Oid dboid, Oid relid, int sqlstate)
{
	FfsSqlstateFigures *place = NULL;

	for (int i = 0; i < shared->n; i++)
	{
		FfsSqlstateFigures *one = &shared->all[i];

		if (one->dboid == dboid && one->relid == relid && one->sqlstate == sqlstate)
			return one;
		if (place == NULL || one->last_at < place->last_at)
			place = one;
	}
	if (shared->n < MAX_SQLSTATES)
		place = &shared->all[shared->n++];
	memset(place, 0, sizeof(FfsSqlstateFigures));
	place->dboid = dboid;
	place->relid = relid;
	place->sqlstate = sqlstate;
	return place;
}

void
ffs_stats_add_sqlstate(Oid relid, int sqlstate, uint64 n)
{
	FfsSqlstateFigures *place;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId, relid, sqlstate);
	place->calls += n;
	place->last_at = GetCurrentTimestamp();
	LWLockRelease(&shared->lock);
}

void
ffs_stats_forget_sqlstates(Oid dboid, Oid relid)
{
	int			kept = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n; i++)
	{
		FfsSqlstateFigures *one = &shared->all[i];

		if (one->dboid == dboid && (!OidIsValid(relid) || one->relid == relid))
			continue;
		shared->all[kept++] = *one;
	}
	shared->n = kept;
	LWLockRelease(&shared->lock);
}

FfsSqlstateFigures *
ffs_stats_copy_sqlstates(int *n)
{
	FfsSqlstateFigures *result;
	int			kept = 0;

	*n = 0;
	if (shared == NULL)
		return NULL;
	result = palloc(sizeof(shared->all));
	LWLockAcquire(&shared->lock, LW_SHARED);
	*n = shared->n;
	memcpy(result, shared->all, sizeof(FfsSqlstateFigures) * shared->n);
	LWLockRelease(&shared->lock);
	for (int i = 0; i < *n; i++)
	{
		if (result[i].dboid == MyDatabaseId && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(result[i].relid)))
			result[kept++] = result[i];
	}
	*n = kept;
	return result;
}

PG_FUNCTION_INFO_V1(stat_errors);

/*
 * ffstorage.stat_errors(): errors of operations in this database, per table
 * and SQLSTATE.
 */
Datum
stat_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsSqlstateFigures *figures;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	figures = ffs_stats_copy_sqlstates(&n);
	for (int i = 0; i < n; i++)
	{
		const char *condition = ffs_stats_condition(figures[i].sqlstate);
		Datum		values[5];
		bool		nulls[5] = {0};

		values[0] = CStringGetTextDatum(unpack_sql_state(figures[i].sqlstate));
		if (condition != NULL)
			values[1] = CStringGetTextDatum(condition);
		else
			nulls[1] = true;
		values[2] = Int64GetDatum((int64) figures[i].calls);
		values[3] = TimestampTzGetDatum(figures[i].last_at);
		values[4] = ObjectIdGetDatum(figures[i].relid);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- over a restart ---- */

static int
count_sqlstates(void)
{
	return shared->n;
}

static bool
get_sqlstate(int i, void *record)
{
	memcpy(record, &shared->all[i], sizeof(FfsSqlstateFigures));
	return true;
}

static void
put_sqlstate(const void *record)
{
	if (shared->n < MAX_SQLSTATES)
		memcpy(&shared->all[shared->n++], record, sizeof(FfsSqlstateFigures));
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return sizeof(Sqlstates);
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
	}
	LWLockRegisterTranche(shared->tranche, "ffstorage_stats_errors");
}

void
ffs_stats_init_sqlstates(void)
{
	static const FfsKept kept = {"errors", sizeof(FfsSqlstateFigures), count_sqlstates, get_sqlstate, put_sqlstate};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage errors", shmem_size, shmem_setup);
	ffs_stats_keep(&kept);
}
