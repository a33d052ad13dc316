/*-------------------------------------------------------------------------
 *
 * warm.c
 *		What a restart loses of memory is written down and loaded again: the
 *		rows in the cache and the blocks of managed tables in the server's
 *		buffers.
 *
 * A worker that is in no database writes a file (warm_file.c), from time to
 * time and when the server stops.  When it starts, it reads that file and has
 * one other worker after the other, each in a database, load what the file
 * names (warm_load.c).
 *
 * The file only says what to look for.  Rows are read from their tables, in
 * the way in which a look-up that misses reads them, so that it does not
 * matter what has changed since: it may be old, and the server may have
 * crashed.
 *
 * A file that is being loaded has another name.  If a server finds one of that
 * name when it starts, loading did not come to its end the last time: perhaps
 * it was what brought the server down.  It is not tried again.
 *
 * Waiting, the worker takes part in what all processes are asked to take part
 * in (barriers, invalidations): DROP DATABASE would wait for it otherwise.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "cache/warm.h"
#include "stats/stats.h"

#define WORKER_NAME		"ffstorage warm-up"
/* When the worker failed. */
#define RESTART_AFTER	10		/* s */
/* A database that somebody wanted to himself is tried again so often. */
#define MAX_YIELDS		12
#define YIELD_FOR		5000	/* ms */
/* How long a free place for a worker is waited for. */
#define PLACE_TRIES		60
#define PLACE_WAIT		1000	/* ms */
#define PROBES			8

static bool warm_up = true;
static int	warm_interval = 300;

Warm	   *ffs_cache_warm_area = NULL;

/* ---- in shared memory ---- */

static Size
shmem_size(void)
{
	return sizeof(Warm);
}

static void
shmem_setup(void *memory, bool found)
{
	ffs_cache_warm_area = memory;
	if (!found)
	{
		memset(ffs_cache_warm_area, 0, sizeof(Warm));
		ffs_cache_warm_area->tranche = LWLockNewTrancheId();
		LWLockInitialize(&ffs_cache_warm_area->lock, ffs_cache_warm_area->tranche);
	}
	LWLockRegisterTranche(ffs_cache_warm_area->tranche, "ffstorage_warm");
}

static inline NotedTable *
probe(NotedTable *noted, Oid dboid, Oid relid, int n)
{
	return &noted[(hash_combine(murmurhash32(dboid), murmurhash32(relid)) + n) & (NOTED_TABLES - 1)];
}

NotedTable *
ffs_cache_warm_noted(NotedTable *noted, Oid dboid, Oid relid)
{
	for (int n = 0; n < PROBES; n++)
	{
		NotedTable *entry = probe(noted, dboid, relid, n);

		if (entry->dboid == dboid && entry->relid == relid)
			return entry;
	}
	return NULL;
}

void
ffs_cache_warm_note(Oid relid, uint32 signature)
{
	NotedTable *entry;
	bool		same;

	if (ffs_cache_warm_area == NULL)
		return;
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_SHARED);
	entry = ffs_cache_warm_noted(ffs_cache_warm_area->noted, MyDatabaseId, relid);
	same = entry != NULL && entry->signature == signature;
	LWLockRelease(&ffs_cache_warm_area->lock);
	if (same)
		return;
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	entry = ffs_cache_warm_noted(ffs_cache_warm_area->noted, MyDatabaseId, relid);
	for (int n = 0; entry == NULL && n < PROBES; n++)
		if (!OidIsValid(probe(ffs_cache_warm_area->noted, MyDatabaseId, relid, n)->dboid))
			entry = probe(ffs_cache_warm_area->noted, MyDatabaseId, relid, n);
	/* where there is no place, one that has been there for long makes room */
	if (entry == NULL)
		entry = probe(ffs_cache_warm_area->noted, MyDatabaseId, relid, 0);
	*entry = (NotedTable)
	{
		MyDatabaseId, relid, signature
	};
	LWLockRelease(&ffs_cache_warm_area->lock);
}

/* Once in each session: is the database one that has managed tables, perhaps? */
static void
note_database(XactEvent event, void *arg pg_attribute_unused())
{
	static bool done = false;
	bool		noted;

	if (event != XACT_EVENT_PRE_COMMIT || done || MyBackendType != B_BACKEND || !OidIsValid(MyDatabaseId))
		return;
	done = true;
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_SHARED);
	noted = ffs_cache_warm_noted(ffs_cache_warm_area->noted, MyDatabaseId, InvalidOid) != NULL;
	LWLockRelease(&ffs_cache_warm_area->lock);
	if (!noted && OidIsValid(ffs_base_extension_oid()))
		ffs_cache_warm_note(InvalidOid, 1);
}

/* ---- workers ---- */

/* Wait, and do what is asked of every process meanwhile. */
static void
wait_ms(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (milliseconds >= 0 ? WL_TIMEOUT : 0),
					 milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	ProcessCatchupInterrupt();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* The same for so long, whatever wakes us, unless we are to stop. */
static void
wait_for(long milliseconds)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
	long		left;

	while (!ShutdownRequestPending && (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
		wait_ms(left);
}

static void
describe_worker(BackgroundWorker *worker, const char *function)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_ConsistentState;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "ffstorage", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker->bgw_type, WORKER_NAME, BGW_MAXLEN);
}

/* Start a worker in the database that is set, and wait for its end; false where there is no place for it. */
static bool
run_worker(void)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle = NULL;
	BgwHandleStatus status;
	pid_t		pid;

	describe_worker(&worker, "ffs_cache_warm_database");
	snprintf(worker.bgw_name, BGW_MAXLEN, WORKER_NAME " of database %u", ffs_cache_warm_area->section.dboid);
	worker.bgw_notify_pid = MyProcPid;
	for (int i = 0; i < PLACE_TRIES && handle == NULL && !ShutdownRequestPending; i++)
	{
		if (i > 0)
			wait_for(PLACE_WAIT);
		if (!RegisterDynamicBackgroundWorker(&worker, &handle))
			handle = NULL;
	}
	if (handle == NULL)
		return false;
	for (;;)
	{
		status = GetBackgroundWorkerPid(handle, &pid);
		if (status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED)
			break;
		if (ShutdownRequestPending)
		{
			TerminateBackgroundWorker(handle);
			/* it will hardly be started now */
			if (status == BGWH_NOT_YET_STARTED)
				break;
		}
		wait_ms(1000);
	}
	pfree(handle);
	return true;
}

/* ---- loading ---- */

/* Is there a database of this number, that takes connections? */
static bool
is_database(Oid dboid)
{
	HeapTuple	tuple;
	bool		result = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		/* -2: one whose DROP was interrupted */
		result = database->datallowconn && database->datconnlimit != -2;
		ReleaseSysCache(tuple);
	}
	CommitTransactionCommand();
	return result;
}

/* False where there is no use in going on with other databases. */
static bool
load_database(const WarmSection *section)
{
	const char *left_out = NULL;
	int			yields = 0;
	bool		go_on = true;

	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->section = *section;
	ffs_cache_warm_area->next_run = 0;
	ffs_cache_warm_area->next_block = 0;
	ffs_cache_warm_area->next_row = 0;
	LWLockRelease(&ffs_cache_warm_area->lock);
	for (;;)
	{
		WarmOutcome outcome;

		if (!is_database(section->dboid))
		{
			left_out = "there is no such database any more, or it takes no connections";
			break;
		}
		ffs_cache_warm_area->outcome = WARM_BROKEN;
		if (!run_worker())
		{
			left_out = "there is no place for a background worker; max_worker_processes may be too low";
			go_on = false;
			break;
		}
		outcome = ffs_cache_warm_area->outcome;
		if (outcome == WARM_BROKEN)
			left_out = "the worker failed";
		else if (outcome == WARM_NO_EXTENSION)
			left_out = "ffstorage is not installed there any more";
		if (outcome != WARM_YIELDED || ShutdownRequestPending)
			break;
		if (++yields > MAX_YIELDS)
		{
			left_out = "it is wanted by others";
			break;
		}
		wait_for(YIELD_FOR);
	}
	if (ShutdownRequestPending)
		return false;
	if (left_out != NULL)
	{
		LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
		ffs_cache_warm_area->databases_left_out++;
		LWLockRelease(&ffs_cache_warm_area->lock);
		ereport(LOG,
				(errmsg("warm-up of database %u: %s", section->dboid, left_out)));
	}
	return go_on;
}

static void
set_state(WarmState state, const char *reason)
{
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->state = state;
	if (reason != NULL)
		strlcpy(ffs_cache_warm_area->reason, reason, sizeof(ffs_cache_warm_area->reason));
	LWLockRelease(&ffs_cache_warm_area->lock);
	if (state == WARM_UNUSABLE)
		ereport(LOG,
				(errmsg("warm-up: file \"%s\" is not used: %s", WARM_FILE, reason)));
}

static void
load(void)
{
	WarmHead	head;
	WarmSection *sections;
	const char *reason;

	unlink(WARM_FILE_NEW);
	if (unlink(WARM_FILE_LOADING) == 0)
	{
		set_state(WARM_UNUSABLE, "loading it did not come to an end the last time");
		return;
	}
	sections = ffs_cache_warm_check(&head, &reason);
	if (sections != NULL && durable_rename(WARM_FILE, WARM_FILE_LOADING, LOG) != 0)
	{
		sections = NULL;
		reason = "it cannot be renamed";
	}
	if (sections == NULL)
	{
		set_state(reason == NULL ? WARM_NOTHING : WARM_UNUSABLE, reason);
		return;
	}

	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->state = WARM_LOADING;
	ffs_cache_warm_area->load_began = GetCurrentTimestamp();
	ffs_cache_warm_area->written = head.written;
	ffs_cache_warm_area->databases = head.nsections;
	ffs_cache_warm_area->bytes_written = head.length;
	for (uint32 i = 0; i < head.nsections; i++)
	{
		ffs_cache_warm_area->rows_named += sections[i].nrows;
		ffs_cache_warm_area->blocks_named += sections[i].nblocks;
	}
	ffs_cache_warm_area->rows_written = ffs_cache_warm_area->rows_named;
	ffs_cache_warm_area->blocks_written = ffs_cache_warm_area->blocks_named;
	LWLockRelease(&ffs_cache_warm_area->lock);
	for (uint32 i = 0; i < head.nsections; i++)
		if (!load_database(&sections[i]))
			break;
	pfree(sections);

	/* still good, should the server crash before there is another */
	(void) durable_rename(WARM_FILE_LOADING, WARM_FILE, LOG);
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->state = WARM_LOADED;
	ffs_cache_warm_area->load_ended = GetCurrentTimestamp();
	LWLockRelease(&ffs_cache_warm_area->lock);
	if (!ShutdownRequestPending && head.nsections > 0)
		ereport(LOG,
				(errmsg("warm-up: " UINT64_FORMAT " of " UINT64_FORMAT " rows and " UINT64_FORMAT " of " UINT64_FORMAT " blocks are in memory again",
						ffs_cache_warm_area->rows_loaded, ffs_cache_warm_area->rows_named,
						ffs_cache_warm_area->blocks_loaded, ffs_cache_warm_area->blocks_named)));
}

/* ---- the worker ---- */

static void
forget_pid(int code pg_attribute_unused(), Datum arg pg_attribute_unused())
{
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->pid = 0;
	LWLockRelease(&ffs_cache_warm_area->lock);
}

void
ffs_cache_warm_worker(Datum arg pg_attribute_unused())
{
	TimestampTz last;
	bool		must_load;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(forget_pid, (Datum) 0);
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->pid = MyProcPid;
	must_load = !ffs_cache_warm_area->begun;
	ffs_cache_warm_area->begun = true;
	LWLockRelease(&ffs_cache_warm_area->lock);

	if (must_load)
		load();
	else
	{
		/* this worker's predecessor failed, and the server lives */
		if (ffs_cache_warm_area->state == WARM_LOADING)
			set_state(WARM_UNUSABLE, "the worker failed while it was loaded");
		unlink(WARM_FILE_LOADING);
	}
	/* what is there after half a load is not to replace the whole */
	if (must_load && ShutdownRequestPending)
		proc_exit(1);

	last = GetCurrentTimestamp();
	while (!ShutdownRequestPending)
	{
		long		left = -1;

		if (warm_interval > 0)
		{
			left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												   TimestampTzPlusMilliseconds(last, (int64) warm_interval * 1000));
			if (left <= 0)
			{
				(void) ffs_cache_warm_write();
				last = GetCurrentTimestamp();
				continue;
			}
		}
		wait_ms(left);
	}
	(void) ffs_cache_warm_write();
	/* not for good, should it have been asked by somebody else than the server */
	proc_exit(1);
}

/* ---- health ---- */

static char *
seconds_between(TimestampTz from, TimestampTz to)
{
	return psprintf("%.1f", (double) (to - from) / USECS_PER_SEC);
}

static void
check_warm_up(FfsHealthSink *sink)
{
	Warm	   *now;
	StringInfoData details;
	const char *preload_hint = "Add ffstorage to shared_preload_libraries and restart the server.";

	if (ffs_cache_warm_area == NULL)
	{
		if (ffs_base_preloaded())
			ffs_stats_report(sink, FFS_HEALTH_OFF, "nothing is loaded again after a restart",
							 "The setting ffstorage.warm_up is off.",
							 "Turn ffstorage.warm_up on and restart the server.");
		else
			ffs_stats_report(sink, FFS_HEALTH_OFF, "nothing is loaded again after a restart",
							 "ffstorage is not in shared_preload_libraries: there is no worker to do it.", preload_hint);
		return;
	}
	now = palloc(sizeof(Warm));
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_SHARED);
	memcpy(now, ffs_cache_warm_area, sizeof(Warm));
	LWLockRelease(&ffs_cache_warm_area->lock);

	initStringInfo(&details);
	if (now->state == WARM_LOADING || now->state == WARM_LOADED)
		appendStringInfo(&details, UINT64_FORMAT " of " UINT64_FORMAT " rows and " UINT64_FORMAT " of " UINT64_FORMAT
						 " blocks of %d database%s were loaded after the last start, in %s seconds%s. ",
						 now->rows_loaded, now->rows_named, now->blocks_loaded, now->blocks_named,
						 now->databases, now->databases == 1 ? "" : "s",
						 seconds_between(now->load_began,
										 now->state == WARM_LOADED ? now->load_ended : GetCurrentTimestamp()),
						 now->state == WARM_LOADED ? "" : " so far");
	else if (now->state == WARM_UNUSABLE)
		appendStringInfo(&details, "Nothing was loaded after the last start, as the file could not be used: %s. ", now->reason);
	else if (now->state == WARM_NOTHING)
		appendStringInfoString(&details, "There was no file to be loaded after the last start. ");
	if (now->databases_left_out > 0)
		appendStringInfo(&details, "Left out: %d database%s; the server's log says why. ",
						 now->databases_left_out, now->databases_left_out == 1 ? "" : "s");
	if (now->written == 0)
		appendStringInfoString(&details, "No file has been written yet.");
	else
		appendStringInfo(&details, "The last file, of " UINT64_FORMAT " bytes, is of %s and names " UINT64_FORMAT
						 " rows and " UINT64_FORMAT " blocks.",
						 now->bytes_written, timestamptz_to_str(now->written), now->rows_written, now->blocks_written);

	if (now->pid == 0)
		ffs_stats_report(sink, FFS_DEGRADED, "the warm-up worker does not run", details.data,
						 "See the server's log for the reason, and whether max_worker_processes is too low.");
	else if (now->write_failed)
		ffs_stats_report(sink, FFS_DEGRADED, "the warm-up file could not be written", details.data,
						 "See the server's log for the reason; it is written into the data directory.");
	else if (now->state == WARM_LOADING)
		ffs_stats_report(sink, FFS_HEALTHY, "memory is being loaded again", details.data, NULL);
	else
		ffs_stats_report(sink, FFS_HEALTHY, "memory will be loaded again after a restart", details.data, NULL);
}

/* ---- opening ---- */

void
ffs_cache_warm_init(void)
{
	BackgroundWorker worker;

	/* without preload a setting that needs a restart is still accepted */
	DefineCustomBoolVariable("ffstorage.warm_up",
							 "Loads cached rows and blocks of managed tables again after a restart.",
							 "Needs ffstorage in shared_preload_libraries.",
							 &warm_up, true,
							 process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.warm_interval",
							"How often it is written down what is to be loaded again.",
							"0: only when the server stops.",
							&warm_interval, 300, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	ffs_stats_register_check("warm_up", check_warm_up);
	if (!process_shared_preload_libraries_in_progress || !warm_up || IsBinaryUpgrade)
		return;
	ffs_base_register_shmem("ffstorage warm-up", shmem_size, shmem_setup);
	RegisterXactCallback(note_database, NULL);
	describe_worker(&worker, "ffs_cache_warm_worker");
	worker.bgw_restart_time = RESTART_AFTER;
	RegisterBackgroundWorker(&worker);
}
