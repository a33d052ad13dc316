/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files of the registry room tell each other.
 *
 * Everything below that changes objects runs between SPI_connect and
 * SPI_finish, as the table's owner (ffs_registry_begin_ddl).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_INTERNAL_H
#define FFS_REGISTRY_INTERNAL_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "commands/event_trigger.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

#include "base/base.h"
#include "registry/registry.h"

/* A column of the table as it was before it was managed. */
typedef struct FfsFoundColumn
{
	char	   *name;
	bool		added;			/* by us: nothing was there */
	bool		not_null;
	char	   *default_expr;	/* NULL where there was none */
} FfsFoundColumn;

/* A partition whose row-level security was on before. */
typedef struct FfsFoundPartition
{
	char	   *name;			/* qualified and quoted */
	bool		row_security;
	bool		force_row_security;
} FfsFoundPartition;

/* A row of ffstorage.managed. */
typedef struct FfsManaged
{
	Oid			relid;
	FfsStrategy strategy;
	char	   *tenant_column;	/* NULL where there is none */
	bool		soft_delete;
	List	   *exclude;		/* of char * */
	bool		stamps;
	char	   *columns[FFS_NSTAMPS];	/* the name of each column of ours in this table */
	Oid			history;
	Oid			audit;
	Oid			deleted;
	Oid			versions;
	Oid			with_deleted;
	char	   *as_of_function;
	char	   *between_function;
	char	   *row_trigger;
	bool		row_security;	/* what was found */
	bool		force_row_security;
	List	   *found_columns;	/* of FfsFoundColumn * */
	List	   *found_partitions;	/* of FfsFoundPartition * */
	TimestampTz managed_at;
} FfsManaged;

/* descriptor.c */
extern void ffs_registry_descriptor_init(void);

/* names.c: lists of column names, of char * */
extern bool ffs_registry_name_in(const List *names, const char *name);
extern char *ffs_registry_name_list(const List *names);	/* quoted, with commas between */

/* managed.c: the catalog */
extern const char *ffs_registry_strategy_name(FfsStrategy strategy);
extern bool ffs_registry_parse_strategy(const char *name, FfsStrategy *strategy);
extern FfsManaged *ffs_registry_load(Oid relid);
extern void ffs_registry_store(FfsManaged *m);	/* inserts or replaces */
extern void ffs_registry_forget(Oid relid);
extern FfsFoundColumn *ffs_registry_found_column(FfsManaged *m, const char *name);
extern char *ffs_registry_columns_json(FfsManaged *m);
extern bool ffs_registry_uses_stamp(FfsManaged *m, FfsStamp stamp);

typedef struct FfsDdl
{
	FfsRights	rights;
	bool		outer_in_ddl;
} FfsDdl;

/* As the table's owner, event triggers standing aside; end it in PG_FINALLY. */
extern void ffs_registry_begin_ddl(FfsDdl *ddl, Oid relid);
extern void ffs_registry_end_ddl(FfsDdl *ddl, bool failed);
extern Oid	ffs_registry_owner_of(Oid relid);

/* columns.c: the table's own columns */
extern TupleDesc ffs_registry_columns_of(Oid relid);
extern Form_pg_attribute ffs_registry_column(TupleDesc desc, const char *name);
extern List *ffs_registry_key_of(Oid relid);	/* of char *, in key order */
extern char *ffs_registry_default_of(Oid relid, AttrNumber attnum);
extern void ffs_registry_check_columns(FfsManaged *m);
extern void ffs_registry_add_columns(FfsManaged *m);
extern void ffs_registry_restore_column(FfsManaged *m, Oid relid, FfsFoundColumn *found, bool drop_added);

extern void ffs_registry_drop_default(FfsManaged *m, const char *column);

/* side.c: tables, views and functions beside it */
extern const char *ffs_registry_history_special[];
extern const char *ffs_registry_audit_special[];
extern const char *ffs_registry_deleted_special[];
extern void ffs_registry_check_side(FfsManaged *m, bool had_history, bool had_audit, bool had_deleted);
extern void ffs_registry_make_side(FfsManaged *m);
extern void ffs_registry_sync_side_columns(FfsManaged *m);
extern void ffs_registry_drop_views(FfsManaged *m, bool as_of_too);
extern void ffs_registry_extend_views(FfsManaged *m);
extern void ffs_registry_make_views(FfsManaged *m);

/* An index that ffs_manage() gives to what stands beside a table. */
typedef struct FfsSideIndex
{
	Oid			side;
	const char *suffix;			/* of its name; NULL: the primary key */
	List	   *columns;		/* of const char *, in order */
	bool		brin;
	const char *predicate;		/* NULL where it is of all rows */
	const char *what;			/* as in "has lost ..." */
	const char *use;			/* what looks into it */
} FfsSideIndex;

extern List *ffs_registry_side_indexes(FfsManaged *m);	/* of FfsSideIndex *, for the sides that are there */
/* Is it there?  An invalid one is: what it needs is a REINDEX. */
extern bool ffs_registry_has_side_index(FfsSideIndex *index);
extern char *ffs_registry_side_index_command(FfsManaged *m, FfsSideIndex *index, bool concurrently);

/* advice.c */
extern void ffs_registry_advice_init(void);

/* entries.c: audit entries in other words */
extern void ffs_registry_rename_in_entries(FfsManaged *m, const char *from, const char *to);
extern void ffs_registry_fill_audit_tenant(FfsManaged *m);
extern void ffs_registry_audit_new_column(FfsManaged *m, const char *column);

/* dress.c: triggers, policies, rights */
extern List *ffs_registry_members(Oid relid);	/* the root and all its partitions */
extern void ffs_registry_dress(FfsManaged *m);
extern void ffs_registry_undress(FfsManaged *m);
extern void ffs_registry_drop_tenant_policies(FfsManaged *m);
extern void ffs_registry_sync_open_policy(FfsManaged *m, Oid relid);
extern void ffs_registry_undress_member(FfsManaged *m, Oid relid);
extern void ffs_registry_sync_owner(FfsManaged *m);
extern void ffs_registry_sync_rights(FfsManaged *m);
extern void ffs_registry_release_side(FfsManaged *m, Oid side, bool close);
extern void ffs_registry_keep_trigger_last(FfsManaged *m);
/* The triggers for replicas fire there only again, where ENABLE TRIGGER ALL or USER made them fire everywhere else. */
extern void ffs_registry_mend_replica_triggers(FfsManaged *m);
extern bool ffs_registry_has_policy(Oid relid, const char *name);
extern bool ffs_registry_has_user_policy(Oid relid, bool permissive_only);
extern Oid	ffs_registry_trigger(Oid relid, const char *name);
/* The row trigger that fires on replicas only, and whether it does. */
#define REPLICA_TRIGGER	"zz_ffstorage_replica"
extern bool ffs_registry_fires_on_replica(Oid relid, const char *name);
extern bool ffs_registry_calls_trigger(Oid relid, const char *function);

/* amiss.c */
extern void ffs_registry_amiss_init(void);

/* refuse.c: schema changes that cannot be */
extern FfsManaged *ffs_registry_root_of(Oid relid);
extern Oid	ffs_registry_relid_of(RangeVar *name);
extern bool ffs_registry_is_side(Oid relid);
extern bool ffs_registry_owned(Oid relid);
extern bool ffs_registry_keeps_past(FfsManaged *m);
extern bool ffs_registry_has_rows(Oid relid);
extern bool ffs_registry_harmless_beside(AlterTableType subtype);
extern void ffs_registry_refuse(FfsManaged *m, const char *what, const char *detail,
								const char *hint) pg_attribute_noreturn();
extern void ffs_registry_refuse_side(Oid relid);
extern void ffs_registry_check_parts(RangeVar *name);
extern void ffs_registry_check_subcommand(FfsManaged *m, Oid relid, AlterTableCmd *cmd);

/* ddl.c: event triggers, before and after */
/* A managed table as it was when a command began. */
typedef struct FfsRemembered
{
	Oid			relid;
	SubTransactionId subid;
	Oid			schema;
	char	   *name;
	int			natts;
	char	  **columns;		/* by attribute number - 1; NULL where dropped */
	bool		tenant_changes; /* the tenant column's type */
	bool		dress;			/* a partition came, or row-level security was turned on or off */
} FfsRemembered;

extern List *ffs_registry_take_remembered(void);	/* of FfsRemembered * */
extern bool ffs_registry_stands_aside(void);
extern EventTriggerData *ffs_registry_event(FunctionCallInfo fcinfo);
extern void ffs_registry_ddl_init(void);

#endif							/* FFS_REGISTRY_INTERNAL_H */
