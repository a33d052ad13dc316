/*-------------------------------------------------------------------------
 *
 * tables.h
 *		What a backend knows of the tables whose rows it caches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_TABLES_H
#define FFS_CACHE_TABLES_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "storage/lock.h"

#include "cache/store.h"
#include "registry/registry.h"
#include "registry/rowcache.h"

typedef enum KeyKind
{
	KEY_BY_VALUE,				/* equal if the datum is */
	KEY_FIXED,					/* equal if so many bytes are */
	KEY_VARLENA,				/* equal if its bytes are */
	KEY_HASHED					/* equal values have equal hashes */
} KeyKind;

typedef struct KeyPart
{
	KeyKind		kind;
	int16		length;
	bool		byval;
	FmgrInfo	hash;			/* KEY_HASHED: the type's extended hash function */
	Oid			collation;
} KeyPart;

typedef struct CachedTable
{
	Oid			relid;			/* hash key: a root or a partition */
	uint64		serial;			/* of the descriptor that the following comes from; 0: none */
	bool		hashable;		/* the key can be */
	Oid			rootid;
	TableFence *fence;			/* of the root */
	int			nkeys;
	KeyPart    *parts;
	uint32		signature;		/* of the types of the key */
	MemoryContext context;		/* holds what is allocated */

	/* What only readers need, of a root. */
	int			checked;		/* StoreUses for which the following is true in this generation */
	uint64		generation;
	bool		cacheable;		/* every write is told */
	TupleDesc	desc;
	bool		tenant_hashable;	/* equal tenants have equal bytes */

	/* What one role may see, until roles change. */
	Oid			role;
	uint64		role_epoch;
	uint64		rights;			/* the catalogs' generation */
	bool		may_ask;		/* may the cache answer at all? */
	bool		by_tenant;		/* only rows of its tenants */

	/* Where we know the table to be locked. */
	LocalTransactionId lxid;
	SubTransactionId subid;
} CachedTable;

extern void ffs_cache_tables_init(void);

/* What is known of the table, for writers: good until the next call. */
extern CachedTable *ffs_cache_known_table(FfsTable *table);

/* The hash of a row's key; false where a column is NULL. */
extern bool ffs_cache_hash_row(CachedTable *known, FfsTable *table, TupleDesc desc, HeapTuple tuple, uint64 *hash);

/* A key in full; `bytes` has MAX_KEY_BYTES.  False if it is too long. */
extern bool ffs_cache_make_key(CachedTable *known, const Datum *values, char *bytes, StoreKey *key);

/* The values of a key in full, allocated where they need to be; false if it is not one of this table. */
extern bool ffs_cache_key_values(CachedTable *known, const char *bytes, int length, Datum *values);

/* May the current role be answered from the cache, and is the table one of which every write is told? */
extern bool ffs_cache_may_answer(CachedTable *known, FfsTable *table);
/* The same, only if that is known; else false. */
extern bool ffs_cache_is_known_to_answer(CachedTable *known);
/* Is it such a table, for rows or for results of queries?  (Of a role, nothing is asked.) */
extern bool ffs_cache_is_cacheable(CachedTable *known, FfsTable *table, StoreUse use);
/* Is a role that row-level security binds bound to its tenants' rows? */
extern bool ffs_cache_is_bound_to_tenants(Relation rel, FfsTable *table);
/* A tenant's hash: that of equal ones is equal, whatever the column's type. */
extern uint64 ffs_cache_hash_tenant(Oid type, Datum value);

/* ---- writes.c ---- */

extern void ffs_cache_writes_init(void);
extern void ffs_cache_row_written(FfsTable *table, TupleDesc desc, HeapTuple old, HeapTuple new);
extern void ffs_cache_rows_inserted(FfsTable *table);
extern void ffs_cache_table_written(Oid relid);
/* Has this transaction changed relations? */
extern bool ffs_cache_in_ddl(void);

/* ---- reads.c ---- */

/* Must this call ask the tables, whatever it asks for? */
extern bool ffs_cache_must_bypass(void);

extern FfsRowAnswer ffs_cache_find(FfsTable *table, const Datum *key, MemoryContext context, Datum *row);
extern void ffs_cache_expect(FfsTable *table, const Datum *keys, int n);
extern void ffs_cache_left_to_query(uint64 n);
extern FfsRowAnswer ffs_cache_get(FfsTable *table, const Datum *key, MemoryContext context, Datum *row);
typedef enum FfsLoaded
{
	FFS_LOADED,					/* or it was there */
	FFS_NOT_LOADED,
	FFS_NO_ROOM
} FfsLoaded;

/*
 * Read the row with a key in full into the cache, if there is one and there is
 * room without taking others out; whatever needs memory is allocated in the
 * current context.
 */
extern FfsLoaded ffs_cache_read_key(FfsTable *table, const char *bytes, int length);
/* Read the whole table into the cache, as far as there is room; how many rows went in. */
extern uint64 ffs_cache_read_table(FfsTable *table);

#endif							/* FFS_CACHE_TABLES_H */
