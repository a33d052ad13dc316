/*-------------------------------------------------------------------------
 *
 * fences.h
 *		Who wrote where, as the store sees it.  store.c says why.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_FENCES_H
#define FFS_CACHE_FENCES_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/spin.h"

#include "cache/store.h"

#define KEPT				3
#define TABLE_FENCES		1024
#define CATALOG_FENCES		64
#define WRITE_FENCES		4096
#define KEPT_WRITERS		5

typedef struct XidSet
{
	uint64		before;
	uint64		kept[KEPT];		/* 0 where there is none */
} XidSet;

struct TableFence
{
	slock_t		mutex;
	bool		used;			/* by the table below */
	bool		shared;			/* by others too */
	bool		negatives;		/* negative entries may be there */
	bool		read;			/* results of queries that read it may be there */
	Oid			dboid;
	Oid			relid;
	pg_atomic_uint64 generation;	/* of its rows */
	pg_atomic_uint64 insert_generation;
	pg_atomic_uint64 definition;	/* the generation of what is not rows only */
	XidSet		changes;		/* who counted the last one up */
	XidSet		untold;			/* who wrote rows and did not tell their keys */
	XidSet		inserts;		/* who inserted such */
	uint32		changing;		/* of catalogs: commits of changes under way */
};

/*
 * Where the writers of a part of a table are noted one by one, in order, for
 * results of queries.  Each comes in once while it runs.
 */
typedef struct WriteFence
{
	slock_t		mutex;
	uint64		count;			/* of those that came in */
	uint64		before;			/* the greatest that had to make room */
	uint64		kept[KEPT_WRITERS]; /* the latest first; 0 where there is none */
} WriteFence;

/* The part of shared memory that is fences.c's; zeroed before setup. */
typedef struct Fences
{
	slock_t		mutex;			/* floor */
	uint64		floor;
	TableFence	tables[TABLE_FENCES];
	TableFence	catalogs[CATALOG_FENCES];
	WriteFence	writes[WRITE_FENCES];
} Fences;

extern void ffs_cache_fences_setup(Fences *memory, bool found);

extern TableFence *ffs_cache_fence_of(Oid dboid, Oid relid);

/* This transaction's top-level id, assigned if need be, in full. */
extern uint64 ffs_cache_own_xid(void);
/* Put a writer into a set, which the caller has locked. */
extern void ffs_cache_note_writer(XidSet *set, uint64 xid);

/* A snapshot's xmin, in full. */
extern uint64 ffs_cache_full_xmin(Snapshot snapshot);
/* Is this transaction, which is not one of our own, finished for the snapshot? */
extern bool ffs_cache_is_finished(TransactionId xid, Snapshot snapshot);
/* Does the snapshot, whose full xmin is given, see all of the set? */
extern bool ffs_cache_sees_all(const XidSet *set, Snapshot snapshot, uint64 xmin);
/* What stands in every set for transactions that were prepared before the server started. */
extern uint64 ffs_cache_floor(void);

/* Does the snapshot see all changes of the table as a whole?  Gives the generation of its definition. */
extern bool ffs_cache_sees_changes(TableFence *fence, Snapshot snapshot, uint64 xmin, uint64 *generation);

/* Is a change of the catalogs on its way, which not all have been told of? */
extern bool ffs_cache_is_held(TableFence *fence);

/*
 * How many of a part's writers the snapshot sees as finished.  False where
 * that cannot be said, or where one is the caller itself.
 */
extern bool ffs_cache_position(uint32 number, Snapshot snapshot, uint64 xmin, uint64 *position);

/*
 * A row of the table is about to be written: must its key be told?  If not,
 * the writer has been noted, now or before, where that does instead.
 */
extern bool ffs_cache_must_tell(TableFence *fence, Oid relid, bool is_insert);

#endif							/* FFS_CACHE_FENCES_H */
