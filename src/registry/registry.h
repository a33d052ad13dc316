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
#include "nodes/pg_list.h"
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
/* of an audit table: */
#define FFS_FROM_ENTRY_ID	(-5)
#define FFS_FROM_FIELD		(-6)	/* field_name */
#define FFS_FROM_OLD_VALUE	(-7)
#define FFS_FROM_NEW_VALUE	(-8)

/*
 * A managed relation as one backend knows it: the root, or one partition
 * with its own attribute numbers.  A pointer stays good until the transaction
 * ends, but may be out of date after an invalidation: whoever needs today's
 * truth looks it up anew (row triggers do, once a row).
 */
typedef struct FfsTable
{
	Oid			relid;			/* hash key */
	bool		managed;		/* false: not managed, all below is unset */
	uint64		serial;			/* another one whenever the descriptor was made anew */

	Oid			rootid;			/* the managed table; relid unless a partition */
	FfsStrategy strategy;
	bool		soft_delete;
	bool		has_stamps;		/* created_ and updated_ columns */

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
	Oid			history_pk;		/* its index on (key, valid_from) */
	Oid			history_ended;	/* its partial index on the ends of lives */
	Oid			audit_pk;		/* the same of the audit table: (key, entry_id) */
	Oid			audit_ended;
	Oid			audit_sequence; /* gives entry_id */

	/*
	 * The columns of each, and where each comes from: the entry for
	 * attribute n is map[n - 1].
	 */
	TupleDesc	history_desc;
	AttrNumber *history_map;
	TupleDesc	deleted_desc;
	AttrNumber *deleted_map;
	TupleDesc	audit_desc;
	AttrNumber *audit_map;

	/* How its changes become audit entries; of the room temporal, made on first use. */
	struct FfsAuditor *auditor;

	/* NULL, or why the next write must fail with history_out_of_step. */
	char	   *out_of_step;

	MemoryContext context;		/* holds all of the above that is allocated */
} FfsTable;

extern void ffs_registry_init(void);

/* The descriptor, or NULL where relid is not managed (nor a partition of a managed root). */
extern FfsTable *ffs_registry_find(Oid relid);

/* The same; error not_managed where there is none, history_out_of_step where it says so and for_write. */
extern FfsTable *ffs_registry_get(Oid relid, bool for_write);

/* Every managed root of this database, as a list of Oid. */
extern List *ffs_registry_all(void);

/* ffstorage.managed has changed for this root: forget descriptors everywhere at commit, here at once. */
extern void ffs_registry_invalidate(Oid rootid);

/*
 * What is missing or out of step on a managed table, as sentences; NULL if
 * nothing is, or the table is not managed.
 */
extern char *ffs_registry_amiss(Oid relid);

/* May the current role read what stands beside this root? */
extern bool ffs_registry_may_read(Oid relid);

/* Is ffstorage itself running DDL now (event triggers then stand aside)? */
extern bool ffs_registry_in_ddl;

#endif							/* FFS_REGISTRY_H */
