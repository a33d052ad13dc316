/*-------------------------------------------------------------------------
 *
 * results.h
 *		Results of queries in the store.  results.c says how it works and why
 *		it is right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_RESULTS_H
#define FFS_CACHE_RESULTS_H

#include "postgres.h"

#include "cache/store.h"
#include "common/sha2.h"
#include "utils/timestamp.h"

/* Setting ffstorage.cache_max_result (kB) */
extern int	ffs_cache_max_result;

/* What says which result: a hash of all that it depends on but the tables. */
typedef struct ResultKey
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
} ResultKey;

/* Rows, one after the other, each an int-aligned varlena. */
typedef struct ResultRows
{
	char	   *bytes;
	Size		length;
	uint32		n;
} ResultRows;

#define MAX_NEEDS 120

/* What of the tables a result was made of. */
typedef struct ResultNeed
{
	Oid			relid;			/* the table as a whole, or InvalidOid: */
	uint32		part;			/* this part of one */
	uint64		position;		/* the table's generation, or the part's writers */
} ResultNeed;

typedef struct ResultNeeds
{
	int			n;
	ResultNeed	needs[MAX_NEEDS];
	int			nrelations;
	Oid			relations[MAX_NEEDS];	/* what a query would lock */
} ResultNeeds;

/* The catalogs as they are before a query is looked at. */
typedef struct ResultCatalogs
{
	uint64		own;
	uint64		shared;
} ResultCatalogs;

extern void ffs_cache_results_init(void);

/* Note which catalogs the query is going to be read with; false where the snapshot does not see all of their changes. */
extern bool ffs_cache_result_catalogs(Snapshot snapshot, ResultCatalogs *catalogs);

/*
 * The rows that the query would give, as the snapshot sees the tables, in
 * the current memory context; none that are older than ttl (in microseconds,
 * 0: as the setting says).  False where they are not there.
 */
extern bool ffs_cache_result_find(const ResultKey *key, Snapshot snapshot, int64 ttl, ResultRows *rows);

/*
 * Put in what the snapshot saw.  The positions of parts are filled in here.
 * It does not go in where the protocol or memory forbids.
 */
extern bool ffs_cache_result_keep(const ResultKey *key, const ResultCatalogs *catalogs, ResultNeeds *needs,
								  Snapshot snapshot, int64 ttl, const ResultRows *rows);
/* The most bytes of rows that are put in. */
extern Size ffs_cache_result_limit(void);

/* Does this entry of the store belong to a result that reads the relation?  (StoreWanted) */
extern bool ffs_cache_result_reads(const char *bytes, Size length, int key_length, Oid relid);

/* ---- one at a time ---- */

/*
 * Someone else may be running the same query now: then wait for them and say
 * true, and it may be there.  If not, the others will wait for us until
 * ffs_cache_result_done(), of this result or (NULL) of whichever it is.
 */
extern bool ffs_cache_result_wait(const ResultKey *key);
extern void ffs_cache_result_done(const ResultKey *key);

#endif							/* FFS_CACHE_RESULTS_H */
