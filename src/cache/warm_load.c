/*-------------------------------------------------------------------------
 *
 * warm_load.c
 *		The worker that loads, in one database, what the file names: first
 *		blocks, while there are free buffers, then rows, while there is room
 *		in the cache.
 *
 * It is in nobody's way.  Its transactions are short, so that neither locks
 * nor its snapshot are kept for long; it waits for no lock for more than a
 * moment, and leaves out what somebody else has locked.  Once it cannot have a
 * lock on the database that those who drop or copy it exclude, it goes away,
 * since they wait for a few seconds only until they are alone.
 *
 * Whatever fails is left out too.  Only if that goes on is the database given
 * up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "cache/store.h"
#include "cache/tables.h"
#include "cache/warm.h"
#include "registry/registry.h"

/* What one transaction loads. */
#define ROWS_AT_ONCE	200
#define BLOCKS_AT_ONCE	128
/* A lock is waited for that long: less than deadlocks are looked for. */
#define LOCK_WAIT		"20ms"
/* Rows one after the other that found no room. */
#define MAX_IN_VAIN		1000
/* Errors in one database. */
#define MAX_FAILURES	20
/* Rows that may not go in yet, as older transactions run, are tried again. */
#define MAX_REFUSALS	10
#define REFUSED_WAIT	1000	/* ms */

typedef struct LoadTable
{
	Oid			relid;
	uint32		signature;
	bool		unusable;
	uint32		batch;			/* in which it was looked at */
	FfsTable   *table;			/* NULL: not in this one */
} LoadTable;

typedef struct Load
{
	WarmSection section;
	char	   *content;		/* of the section */
	LoadTable  *tables;
	const char *rows;
	const WarmRun *runs;
	uint32		batch;
	int			failures;
	int			in_vain;
	int			refusals;
	List	   *sides;			/* what stands beside managed tables */
	Oid			current;		/* the table or index that is being read */
} Load;

/* ---- one transaction ---- */

/*
 * Begin it; false, without one, if somebody wants the database to himself: the
 * lock is the one that connecting takes.
 */
static bool
begin_batch(Load *load)
{
	LOCKTAG		tag;

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	CHECK_FOR_INTERRUPTS();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		CommitTransactionCommand();
		return false;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	load->batch++;
	load->current = InvalidOid;
	return true;
}

static void
end_batch(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}

static int
compare_tables(const void *a, const void *b)
{
	Oid			left = *(const Oid *) a;
	Oid			right = ((const LoadTable *) b)->relid;

	return left < right ? -1 : left > right;
}

static LoadTable *
find_table(Load *load, Oid relid)
{
	return bsearch(&relid, load->tables, load->section.ntables, sizeof(LoadTable), compare_tables);
}

/* Something of it is locked: no more of its rows. */
static void
leave_out(Load *load, Oid relid)
{
	LoadTable  *entry = load->tables != NULL ? find_table(load, relid) : NULL;

	if (entry != NULL)
		entry->unusable = true;
}

/* Run a step of the transaction; false where it failed, and then there is none any more. */
static bool
try_step(Load *load, void (*step) (Load *load))
{
	MemoryContext context = TopMemoryContext;
	volatile bool failed = false;

	PG_TRY();
	{
		step(load);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
			leave_out(load, load->current);
		else if (load->failures++ == 0)
			ereport(LOG,
					(errmsg("warm-up of database %u: something of relation %u is left out: %s",
							MyDatabaseId, load->current, error->message)));
		FreeErrorData(error);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		AbortCurrentTransaction();
		QueryCancelPending = false;
	}
	else
		end_batch();
	MemoryContextSwitchTo(context);
	return !failed;
}

/* ---- blocks ---- */

/* Is it a managed table or partition, or an index or TOAST table of one, or an index of what stands beside it? */
static bool
is_ours(Load *load, Oid relid)
{
	char		kind = get_rel_relkind(relid);

	if (kind == RELKIND_INDEX)
	{
		Oid			table = IndexGetRelation(relid, true);

		if (OidIsValid(table) && list_member_oid(load->sides, table))
			return true;
		relid = table;
		kind = OidIsValid(table) ? get_rel_relkind(table) : '\0';
	}
	if (kind == RELKIND_TOASTVALUE)
	{
		char	   *name = get_rel_name(relid);
		Oid			parent;

		if (name == NULL || sscanf(name, "pg_toast_%u", &parent) != 1)
			return false;
		relid = parent;
		kind = get_rel_relkind(relid);
	}
	return kind == RELKIND_RELATION && ffs_registry_find(relid) != NULL;
}

/* The relation of a file, locked, if it is one of ours and nobody has it for himself. */
static Relation
open_filenode(Load *load, const WarmRun *run)
{
	Oid			relid = ffs_compat_relid_by_filenode(run->space, run->filenode);
	Relation	rel;

	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	load->current = relid;
	if (!is_ours(load, relid))
	{
		UnlockRelationOid(relid, AccessShareLock);
		return NULL;
	}
	rel = try_relation_open(relid, NoLock);
	if (rel != NULL && ffs_compat_filenode(rel) != run->filenode)
	{
		relation_close(rel, AccessShareLock);
		rel = NULL;
	}
	return rel;
}

/* Go on to the first run of another file. */
static void
skip_file(Load *load)
{
	const WarmRun *run = &load->runs[ffs_cache_warm_area->next_run];
	uint64		next = ffs_cache_warm_area->next_run;

	while (next < load->section.nruns && load->runs[next].space == run->space && load->runs[next].filenode == run->filenode)
		next++;
	ffs_cache_warm_area->next_run = next;
	ffs_cache_warm_area->next_block = 0;
}

static void
next_run(void)
{
	ffs_cache_warm_area->next_run++;
	ffs_cache_warm_area->next_block = 0;
}

/* Some blocks of one file; the position says how far it came. */
static void
load_blocks(Load *load)
{
	const WarmRun *first = &load->runs[ffs_cache_warm_area->next_run];
	Relation	rel = open_filenode(load, first);
	int			n = 0;

	if (rel == NULL)
	{
		skip_file(load);
		return;
	}
	while (n < BLOCKS_AT_ONCE && ffs_cache_warm_area->next_run < load->section.nruns && have_free_buffer())
	{
		const WarmRun *run = &load->runs[ffs_cache_warm_area->next_run];
		BlockNumber nblocks = 0;

		if (run->space != first->space || run->filenode != first->filenode)
			break;
		if (run->fork >= 0 && run->fork <= MAX_FORKNUM && smgrexists(RelationGetSmgr(rel), run->fork))
			nblocks = RelationGetNumberOfBlocksInFork(rel, run->fork);
		while (ffs_cache_warm_area->next_block < run->count && n < BLOCKS_AT_ONCE && have_free_buffer())
		{
			BlockNumber block = run->first + ffs_cache_warm_area->next_block;

			CHECK_FOR_INTERRUPTS();
			if (block >= nblocks || block < run->first)
			{
				ffs_cache_warm_area->next_block = run->count;
				break;
			}
			ReleaseBuffer(ReadBufferExtended(rel, run->fork, block, RBM_NORMAL, NULL));
			ffs_cache_warm_area->next_block++;
			ffs_cache_warm_area->blocks_loaded++;
			n++;
		}
		if (ffs_cache_warm_area->next_block >= run->count)
			next_run();
	}
	relation_close(rel, AccessShareLock);
}

static WarmOutcome
load_all_blocks(Load *load)
{
	while (ffs_cache_warm_area->next_run < load->section.nruns && have_free_buffer() && load->failures < MAX_FAILURES)
	{
		if (!begin_batch(load))
			return WARM_YIELDED;
		if (!try_step(load, load_blocks))
			skip_file(load);
	}
	return WARM_DONE;
}

/* ---- rows ---- */

/* The table of a row, if rows of it can be read in this transaction. */
static FfsTable *
usable_table(Load *load, Oid relid)
{
	LoadTable  *entry = find_table(load, relid);
	FfsTable   *table;

	if (entry == NULL || entry->unusable)
		return NULL;
	if (entry->batch == load->batch)
		return entry->table;
	entry->batch = load->batch;
	entry->table = NULL;
	load->current = relid;
	/* locked, so that nothing after this waits for it */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	entry->unusable = true;		/* unless it turns out otherwise */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return NULL;
	table = ffs_registry_find(relid);
	if (table == NULL || table->rootid != relid || ffs_cache_known_table(table)->signature != entry->signature)
		return NULL;
	entry->unusable = false;
	entry->table = table;
	return table;
}

static void
load_rows(Load *load)
{
	uint64		refused = ffs_cache_pending[COUNT_REFUSED];
	uint64		first = ffs_cache_warm_area->next_row;
	const char *begin = load->rows;
	int			loaded = 0;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage warm-up row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_context);

	for (int i = 0; i < ROWS_AT_ONCE && ffs_cache_warm_area->next_row < load->section.nrows && load->in_vain < MAX_IN_VAIN; i++)
	{
		WarmRow		row;
		const char *key = load->rows + sizeof(row);
		FfsTable   *table;

		CHECK_FOR_INTERRUPTS();
		memcpy(&row, load->rows, sizeof(row));
		/* behind it already, should it be what fails */
		load->rows += sizeof(row) + row.length;
		ffs_cache_warm_area->next_row++;
		table = usable_table(load, row.relid);
		if (table == NULL)
			continue;
		load->current = row.relid;
		switch (ffs_cache_read_key(table, key, row.length))
		{
			case FFS_LOADED:
				loaded++;
				ffs_cache_warm_area->rows_loaded++;
				load->in_vain = 0;
				break;
			case FFS_NO_ROOM:
				load->in_vain++;
				break;
			case FFS_NOT_LOADED:
				break;
		}
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	if (ffs_cache_pending[COUNT_REFUSED] > refused && loaded == 0 && load->refusals++ < MAX_REFUSALS)
	{
		/* all of them once more, later */
		load->rows = begin;
		ffs_cache_warm_area->next_row = first;
	}
}

static WarmOutcome
load_all_rows(Load *load)
{
	while (ffs_cache_warm_area->next_row < load->section.nrows && load->in_vain < MAX_IN_VAIN && load->failures < MAX_FAILURES && load->refusals <= MAX_REFUSALS)
	{
		int			refusals = load->refusals;

		if (!begin_batch(load))
			return WARM_YIELDED;
		(void) try_step(load, load_rows);
		if (load->refusals > refusals)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, REFUSED_WAIT, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
		}
	}
	return load->in_vain >= MAX_IN_VAIN ? WARM_FULL : WARM_DONE;
}

/* ---- what there is to load ---- */

/* Read our section of the file; its length has been checked, and what is in it is checked here. */
static void
read_section(Load *load)
{
	FILE	   *file = AllocateFile(WARM_FILE_LOADING, PG_BINARY_R);
	uint64		length = warm_section_length(&load->section);
	const WarmTable *tables;
	const char *rows;

	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", WARM_FILE_LOADING)));
	load->content = MemoryContextAllocHuge(TopMemoryContext, Max(length, 1));
	if (fseeko(file, load->section.offset, SEEK_SET) != 0 || fread(load->content, 1, length, file) != length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", WARM_FILE_LOADING)));
	FreeFile(file);

	tables = (const WarmTable *) load->content;
	load->tables = MemoryContextAllocZero(TopMemoryContext, sizeof(LoadTable) * Max(load->section.ntables, 1));
	for (uint32 i = 0; i < load->section.ntables; i++)
	{
		load->tables[i].relid = tables[i].relid;
		load->tables[i].signature = tables[i].signature;
	}
	load->rows = rows = (const char *) (tables + load->section.ntables);
	for (uint64 i = 0; i < load->section.nrows; i++)
	{
		uint64		left = load->section.row_bytes - (rows - load->rows);
		WarmRow		row;

		if (left >= sizeof(row))
			memcpy(&row, rows, sizeof(row));
		if (left < sizeof(row) || row.length > MAX_KEY_BYTES || left - sizeof(row) < row.length)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" contradicts itself", WARM_FILE_LOADING)));
		rows += sizeof(row) + row.length;
	}
	/* rows have any length, runs must be aligned */
	load->runs = MemoryContextAllocHuge(TopMemoryContext, Max(load->section.nruns, 1) * sizeof(WarmRun));
	memcpy(unconstify(WarmRun *, load->runs), load->rows + load->section.row_bytes, load->section.nruns * sizeof(WarmRun));
}

/* Go to where the one before us stopped. */
static void
skip_rows(Load *load)
{
	for (uint64 i = 0; i < ffs_cache_warm_area->next_row; i++)
	{
		WarmRow		row;

		memcpy(&row, load->rows, sizeof(row));
		load->rows += sizeof(row) + row.length;
	}
}

static bool has_extension;

static void
look_around(Load *load)
{
	ListCell   *lc;

	has_extension = OidIsValid(ffs_base_extension_oid());
	if (!has_extension)
		return;
	/* for the next file */
	ffs_cache_warm_note(InvalidOid, 1);
	foreach(lc, ffs_registry_all())
	{
		Oid			relid = lfirst_oid(lc);
		FfsTable   *table;
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		load->current = relid;
		if (!ConditionalLockRelationOid(relid, AccessShareLock))
			continue;
		table = ffs_registry_find(relid);
		old = MemoryContextSwitchTo(TopMemoryContext);
		if (table != NULL && OidIsValid(table->history))
			load->sides = lappend_oid(load->sides, table->history);
		if (table != NULL && OidIsValid(table->audit))
			load->sides = lappend_oid(load->sides, table->audit);
		if (table != NULL && OidIsValid(table->deleted))
			load->sides = lappend_oid(load->sides, table->deleted);
		MemoryContextSwitchTo(old);
		UnlockRelationOid(relid, AccessShareLock);
	}
}

static WarmOutcome
load_database(Load *load)
{
	WarmOutcome outcome;

	if (!begin_batch(load))
		return WARM_YIELDED;
	/* whatever fails of it, the rest is done */
	(void) try_step(load, look_around);
	if (!has_extension)
		return WARM_NO_EXTENSION;
	read_section(load);
	skip_rows(load);
	outcome = load_all_blocks(load);
	if (outcome == WARM_DONE && ffs_cache_store_ready() && !RecoveryInProgress())
		outcome = load_all_rows(load);
	if (load->failures >= MAX_FAILURES)
		outcome = WARM_BROKEN;
	return outcome;
}

void
ffs_cache_warm_database(Datum arg pg_attribute_unused())
{
	Load	   *load;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(ffs_cache_warm_area->section.dboid, InvalidOid, 0);
	/* whatever the database's own settings are */
	SetConfigOption("lock_timeout", LOCK_WAIT, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "on", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_activity(STATE_RUNNING, "loading blocks and rows of managed tables");

	load = MemoryContextAllocZero(TopMemoryContext, sizeof(Load));
	load->section = ffs_cache_warm_area->section;
	ffs_cache_warm_area->outcome = load_database(load);
}
