/*-------------------------------------------------------------------------
 *
 * warm.h
 *		What a restart loses of memory, written down and loaded again.
 *		warm.c says how; the rest here is for its files alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_WARM_H
#define FFS_CACHE_WARM_H

#include "postgres.h"

#include "fmgr.h"
#include "storage/block.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* Settings, shared memory, health and the worker. */
extern void ffs_cache_warm_init(void);

/*
 * Rows of this table are cached, and their keys are of these types; or
 * (InvalidOid) there are managed tables in this database.
 */
extern void ffs_cache_warm_note(Oid relid, uint32 signature);

/* ---- the file ---- */

#define WARM_FILE			"ffstorage.warm"
#define WARM_FILE_NEW		"ffstorage.warm.tmp"
/* Its name while it is being loaded. */
#define WARM_FILE_LOADING	"ffstorage.warm.loading"

#define WARM_MAGIC			"FFSWARM"
#define WARM_FORMAT			1

/*
 * WarmHead, a WarmSection for each database, then what they stand for: its
 * WarmTables by relid, its rows (WarmRow and the bytes of the key, hottest
 * first), its WarmRuns.  At the end the CRC of all that.
 */
typedef struct WarmHead
{
	char		magic[8];
	uint32		format;
	uint32		machine;		/* as WARM_MACHINE is on the one that wrote it */
	uint32		catalog_version;
	uint32		nsections;
	uint64		system_identifier;
	TimestampTz written;
	uint64		length;			/* of the file */
} WarmHead;

#define WARM_MACHINE (0x01020000 | (uint32) sizeof(Datum))

typedef struct WarmSection
{
	Oid			dboid;
	uint32		ntables;
	uint64		nrows;
	uint64		row_bytes;
	uint64		nruns;
	uint64		nblocks;
	uint64		offset;			/* in the file */
} WarmSection;

typedef struct WarmTable
{
	Oid			relid;
	uint32		signature;
} WarmTable;

typedef struct WarmRow
{
	Oid			relid;
	uint32		length;
} WarmRow;

/* Blocks one after the other. */
typedef struct WarmRun
{
	Oid			space;
	Oid			filenode;
	int32		fork;
	BlockNumber first;
	BlockNumber count;
} WarmRun;

static inline uint64
warm_section_length(const WarmSection *section)
{
	return section->ntables * sizeof(WarmTable) + section->row_bytes + section->nruns * sizeof(WarmRun);
}

/* Write the file; false, and it says so in the log, where that cannot be done. */
extern bool ffs_cache_warm_write(void);

/*
 * The sections of the file, if it is whole and ours; NULL otherwise, with what
 * is wrong with it in *reason (NULL: there is none).
 */
extern WarmSection *ffs_cache_warm_check(WarmHead *head, const char **reason);

/* ---- in shared memory ---- */

#define NOTED_TABLES	4096	/* a power of two */

typedef enum WarmState
{
	WARM_NOT_YET,
	WARM_LOADING,
	WARM_LOADED,
	WARM_NOTHING,				/* there was no file */
	WARM_UNUSABLE				/* there was one, but not for us */
} WarmState;

/* How the worker in a database ended. */
typedef enum WarmOutcome
{
	WARM_BROKEN,
	WARM_YIELDED,				/* somebody wants the database to himself */
	WARM_NO_EXTENSION,
	WARM_FULL,					/* there is room for no more */
	WARM_DONE
} WarmOutcome;

typedef struct NotedTable
{
	Oid			dboid;
	Oid			relid;			/* invalid: just the database */
	uint32		signature;
} NotedTable;

typedef struct Warm
{
	LWLock		lock;			/* for all that follows */
	int			tranche;
	pid_t		pid;			/* of the worker; 0: it does not run */
	bool		begun;			/* loading, since the memory is there */

	WarmState	state;
	char		reason[128];	/* WARM_UNUSABLE */
	TimestampTz load_began;
	TimestampTz load_ended;
	uint64		rows_named;
	uint64		rows_loaded;
	uint64		blocks_named;
	uint64		blocks_loaded;
	int			databases;
	int			databases_left_out;

	TimestampTz written;		/* the file; 0: never */
	bool		write_failed;	/* the last time */
	uint64		rows_written;
	uint64		blocks_written;
	uint64		bytes_written;

	/* What the worker in a database has to do, and how far it is. */
	WarmSection section;
	uint64		next_run;
	BlockNumber next_block;		/* in that run */
	uint64		next_row;
	WarmOutcome outcome;

	NotedTable	noted[NOTED_TABLES];
} Warm;

/* NULL where there is no warm-up. */
extern Warm *ffs_cache_warm_area;

/* Where a table is noted in an array like `noted`; NULL where it is not. */
extern NotedTable *ffs_cache_warm_noted(NotedTable *noted, Oid dboid, Oid relid);

/* What the postmaster calls. */
extern PGDLLEXPORT void ffs_cache_warm_worker(Datum arg);
extern PGDLLEXPORT void ffs_cache_warm_database(Datum arg);

#endif							/* FFS_CACHE_WARM_H */
