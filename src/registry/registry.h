/*-------------------------------------------------------------------------
 *
 * registry.h
 *		What is managed and how: the catalog ffstorage.managed, a descriptor
 *		of each managed relation in each backend, ffs_manage and its family,
 *		and the event triggers that follow schema changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_H
#define FFS_REGISTRY_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"

typedef enum FfsStrategy
{
	FFS_STRATEGY_NONE,
	FFS_STRATEGY_COPY_ON_CHANGE,
	FFS_STRATEGY_SCD2
} FfsStrategy;

/* The columns that are ours to fill, in the order in which they are added. */
typedef enum FfsStamp
{
	FFS_CREATED_AT,
	FFS_CREATED_BY,
	FFS_UPDATED_AT,
	FFS_UPDATED_BY,
	FFS_VERSION,
	FFS_VALID_FROM,
	FFS_TRANSACTION_ID,
	FFS_NSTAMPS
} FfsStamp;

extern const char *const ffs_registry_stamp_names[FFS_NSTAMPS];

/*
 * Where a column of a side table (history, audit, deleted) comes from: a
 * positive number is a column of the managed relation, 0 is NULL (a column
 * that the table no longer has), the rest are filled by the writer.
 */
#define FFS_FROM_NOWHERE	0
#define FFS_FROM_END_TIME	(-1)	/* valid_to, deleted_at */
#define FFS_FROM_OPERATION	(-2)	/* end_operation */
#define FFS_FROM_ACTOR		(-3)	/* ended_by, deleted_by */
#define FFS_FROM_XID		(-4)	/* end_transaction_id, delete_transaction_id */

/*
 * A managed relation as one backend knows it: the root, or one partition
 * with its own attribute numbers.  Lives until the next invalidation: look it
 * up anew after anything that may accept invalidation messages if in doubt;
 * row triggers look it up once a row.
 */
typedef struct FfsTable
{
	Oid			relid;			/* hash key */
	bool		valid;			/* false: to be built again */
	bool		managed;		/* false: not managed, all below is unset */

	Oid			rootid;			/* the managed table; relid unless a partition */
	FfsStrategy strategy;
	bool		soft_delete;
	bool		has_stamps;		/* created_ and updated_ columns */

	int			natts;			/* of relid's descriptor when built */
	AttrNumber	stamp[FFS_NSTAMPS]; /* attribute of relid, 0 where there is none */
	Bitmapset  *stamp_set;		/* the same as a set of attribute numbers */

	int			nkeys;			/* primary key columns, 0 where there is none */
	AttrNumber *key;			/* attributes of relid, in key order */
	Oid			pk_index;		/* relid's own primary key index */

	AttrNumber	tenant;			/* 0 where there is none */
	Oid			tenant_type;

	/* Columns whose change counts: not dropped, not stamps, not excluded, not generated. */
	int			ncompared;
	AttrNumber *compared;
	/* Generated columns, which a BEFORE trigger does not see filled yet. */
	Bitmapset  *generated;
	/* Excluded columns. */
	Bitmapset  *excluded;

	/* Relations beside the root; InvalidOid where the strategy has none. */
	Oid			history;
	Oid			audit;
	Oid			deleted;
	/* for each column of history / deleted, 1-based entry at [attno - 1] */
	int			history_natts;
	AttrNumber *history_map;
	int			deleted_natts;
	AttrNumber *deleted_map;

	/* NULL, or why the next write must fail with history_out_of_step. */
	char	   *out_of_step;

	MemoryContext context;		/* holds all of the above that is allocated */
} FfsTable;

extern void ffs_registry_init(void);

/* The descriptor, or NULL where relid is not managed (nor a partition of a managed root). */
extern FfsTable *ffs_registry_find(Oid relid);

/* The same; error not_managed where there is none, history_out_of_step where it says so and for_write. */
extern FfsTable *ffs_registry_get(Oid relid, bool for_write);

/* ffstorage.managed has changed for this root: forget descriptors everywhere at commit, here at once. */
extern void ffs_registry_invalidate(Oid rootid);

/* Counts up whenever any descriptor is thrown away: callers may cache a pointer with it. */
extern uint64 ffs_registry_generation(void);

/* Is ffstorage itself running DDL now (event triggers then stand aside)? */
extern bool ffs_registry_in_ddl;

#endif							/* FFS_REGISTRY_H */
