/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Event triggers: what users change about a managed table carries over
 *		to what stands beside it, and what cannot is refused before anything
 *		happened.
 *
 * At ddl_command_start the parse tree says which table will change.  We
 * remember its columns, and take away our views where they would stand in
 * the way.  At ddl_command_end the columns are compared by their numbers, and
 * renamed, added or retyped beside the table; the views come back.
 *
 * All of them stand aside during CREATE EXTENSION, while ffstorage itself
 * changes things, and while a dump is being restored, which brings every
 * object of ours with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "registry/internal.h"

PG_FUNCTION_INFO_V1(ddl_start);
PG_FUNCTION_INFO_V1(ddl_end);
PG_FUNCTION_INFO_V1(ddl_drop);

/* A managed table as it was when a command began. */
typedef struct Remembered
{
	Oid			relid;
	SubTransactionId subid;
	Oid			schema;
	char	   *name;
	int			natts;
	char	  **columns;		/* by attribute number - 1; NULL where dropped */
	bool		tenant_changes; /* the tenant column's type */
	bool		dress;			/* a partition came, or row-level security was turned on or off */
} Remembered;

static List *remembered = NIL;	/* in TopTransactionContext */

/* ---- standing aside ---- */

/*
 * A restore has set what pg_dump writes at the head of every script.
 */
static bool
restoring(void)
{
	return !check_function_bodies && !row_security &&
		(namespace_search_path == NULL || namespace_search_path[0] == '\0' ||
		 strcmp(namespace_search_path, "\"\"") == 0);
}

static bool
stand_aside(void)
{
	return ffs_registry_in_ddl || creating_extension || IsBinaryUpgrade || restoring();
}

static EventTriggerData *
event_of(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by the event trigger manager"),
				 errdetail("The function follows schema changes of managed tables."),
				 errhint("Leave it to the event triggers of ffstorage.")));
	return (EventTriggerData *) fcinfo->context;
}

static void
forget_on_xact_end(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		remembered = NIL;
		ffs_registry_in_ddl = false;
	}
}

static void
forget_on_subxact_abort(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, remembered)
	{
		if (((Remembered *) lfirst(lc))->subid >= subid)
			remembered = foreach_delete_current(remembered, lc);
	}
}

void
ffs_registry_ddl_init(void)
{
	RegisterXactCallback(forget_on_xact_end, NULL);
	RegisterSubXactCallback(forget_on_subxact_abort, NULL);
}

/* ---- remembering ---- */

static void
remember(FfsManaged *m, bool tenant_changes, bool dress)
{
	MemoryContext old;
	TupleDesc	desc;
	Remembered *r;
	ListCell   *lc;

	foreach(lc, remembered)
	{
		if (((Remembered *) lfirst(lc))->relid == m->relid)
			remembered = foreach_delete_current(remembered, lc);
	}
	LockRelationOid(m->relid, AccessShareLock);
	desc = ffs_registry_columns_of(m->relid);
	UnlockRelationOid(m->relid, AccessShareLock);

	old = MemoryContextSwitchTo(TopTransactionContext);
	r = palloc0(sizeof(Remembered));
	r->relid = m->relid;
	r->subid = GetCurrentSubTransactionId();
	r->schema = get_rel_namespace(m->relid);
	r->name = get_rel_name(m->relid);
	r->natts = desc->natts;
	r->columns = palloc0(sizeof(char *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			r->columns[i] = pstrdup(NameStr(TupleDescAttr(desc, i)->attname));
	}
	r->tenant_changes = tenant_changes;
	r->dress = dress;
	remembered = lappend(remembered, r);
	MemoryContextSwitchTo(old);
}

/* ---- before ---- */

/* As the table's owner, take views away and write that down. */
static void
drop_views(FfsManaged *m, bool as_of_too, bool tenant_policies)
{
	Oid			sides[3] = {m->history, m->audit, m->deleted};
	FfsDdl		ddl;
	volatile bool failed = true;

	SPI_connect();
	ffs_registry_begin_ddl(&ddl, m->relid);
	PG_TRY();
	{
		ffs_registry_drop_views(m, as_of_too);
		if (tenant_policies)
		{
			ListCell   *lc;

			foreach(lc, ffs_registry_members(m->relid))
			{
				if (ffs_registry_has_policy(lfirst_oid(lc), "ffstorage_tenant"))
					ffs_base_run(SPI_OK_UTILITY, "DROP POLICY ffstorage_tenant ON %s",
								 ffs_base_relation_name(lfirst_oid(lc)));
			}
			for (int i = 0; i < 3; i++)
			{
				if (OidIsValid(sides[i]) && ffs_registry_has_policy(sides[i], "ffstorage_tenant"))
					ffs_base_run(SPI_OK_UTILITY, "DROP POLICY ffstorage_tenant ON %s",
								 ffs_base_relation_name(sides[i]));
			}
		}
		ffs_registry_store(m);
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
	SPI_finish();
}

static void
before_alter_table(AlterTableStmt *stmt)
{
	Oid			relid = ffs_registry_relid_of(stmt->relation);
	FfsManaged *m;
	ListCell   *lc;
	bool		in_the_way = false;
	bool		tenant_changes = false;
	bool		dress = false;

	if (ffs_registry_is_side(relid))
	{
		foreach(lc, stmt->cmds)
		{
			if (!ffs_registry_harmless_beside(((AlterTableCmd *) lfirst(lc))->subtype))
				ffs_registry_refuse_side(relid);
		}
		return;
	}
	m = ffs_registry_root_of(relid);
	if (m == NULL)
	{
		/* NO INHERIT, or a child that a managed table would get */
		foreach(lc, stmt->cmds)
		{
			AlterTableCmd *cmd = lfirst(lc);

			if (cmd->subtype == AT_AddInherit)
			{
				FfsManaged *parent = ffs_registry_root_of(ffs_registry_relid_of((RangeVar *) cmd->def));

				if (parent != NULL)
					ffs_registry_refuse(parent, "let a table inherit from it", "ffstorage does not manage inheritance trees.",
						   "Use declarative partitioning.");
			}
			else if (cmd->subtype == AT_AttachPartition && !OidIsValid(relid))
				continue;
			else if (cmd->subtype == AT_AttachPartition)
			{
				/* a managed table that becomes a partition would have two masters */
				FfsManaged *part = ffs_registry_root_of(ffs_registry_relid_of(((PartitionCmd *) cmd->def)->name));

				if (part != NULL)
					ffs_registry_refuse(part, "make it a partition", "Partitions are managed with their root.",
						   "Call ffs_unmanage() for it first, then ffs_manage() for the root.");
			}
		}
		return;
	}
	if (!ffs_registry_owned(relid))
		return;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		ffs_registry_check_subcommand(m, relid, cmd);
		if (cmd->subtype == AT_DropColumn || cmd->subtype == AT_AlterColumnType)
			in_the_way = true;
		if (cmd->subtype == AT_AlterColumnType && m->tenant_column != NULL &&
			strcmp(cmd->name, m->tenant_column) == 0)
			tenant_changes = true;
		if (cmd->subtype == AT_AttachPartition)
		{
			FfsManaged *part = ffs_registry_root_of(ffs_registry_relid_of(((PartitionCmd *) cmd->def)->name));

			if (part != NULL && part->relid != m->relid)
				ffs_registry_refuse(part, "make it a partition", "Partitions are managed with their root.",
					   "Call ffs_unmanage() for it first.");
			dress = true;
		}
		/* what stands beside a table without tenants is as open as the table */
		if (m->tenant_column == NULL &&
			(cmd->subtype == AT_EnableRowSecurity || cmd->subtype == AT_DisableRowSecurity ||
			 cmd->subtype == AT_ForceRowSecurity || cmd->subtype == AT_NoForceRowSecurity))
			dress = true;
	}
	remember(m, tenant_changes, dress);
	if (in_the_way)
		drop_views(m, false, tenant_changes);
}

static void
before_rename(RenameStmt *stmt)
{
	Oid			relid;
	FfsManaged *m;

	if (stmt->renameType != OBJECT_TABLE && stmt->renameType != OBJECT_COLUMN)
		return;
	relid = ffs_registry_relid_of(stmt->relation);
	if (ffs_registry_is_side(relid))
	{
		ffs_registry_refuse_side(relid);
		return;
	}
	m = ffs_registry_root_of(relid);
	if (m == NULL || !ffs_registry_owned(relid))
		return;
	remember(m, false, false);
	if (stmt->renameType == OBJECT_TABLE && m->relid == relid)
		drop_views(m, true, false);
}

static void
before_set_schema(AlterObjectSchemaStmt *stmt)
{
	Oid			relid;
	FfsManaged *m;

	if (stmt->objectType != OBJECT_TABLE)
		return;
	relid = ffs_registry_relid_of(stmt->relation);
	if (ffs_registry_is_side(relid))
	{
		ffs_registry_refuse_side(relid);
		return;
	}
	m = ffs_registry_root_of(relid);
	if (m == NULL || m->relid != relid || !ffs_registry_owned(relid))
		return;
	remember(m, false, false);
	drop_views(m, true, false);
}

/* Free what stands beside from a table that is about to go. */
static void
release(FfsManaged *m)
{
	FfsDdl		ddl;
	volatile bool failed = true;

	SPI_connect();
	ffs_registry_begin_ddl(&ddl, m->relid);
	PG_TRY();
	{
		ffs_registry_drop_views(m, true);
		ffs_registry_release_side(m, m->history, true);
		ffs_registry_release_side(m, m->audit, true);
		ffs_registry_release_side(m, m->deleted, true);
		ffs_registry_store(m);
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
	SPI_finish();
}

static void
before_drop_table(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			relid = ffs_registry_relid_of(makeRangeVarFromNameList((List *) lfirst(lc)));
		FfsManaged *m;

		if (ffs_registry_is_side(relid))
		{
			ffs_registry_refuse_side(relid);
			continue;
		}
		m = ffs_registry_root_of(relid);
		if (m == NULL || !ffs_registry_owned(relid))
			continue;
		if (m->relid != relid)
		{
			if (ffs_registry_keeps_past(m) && ffs_registry_has_rows(relid))
				ffs_registry_refuse(m, "drop a partition that has rows",
					   "Rows that go without being deleted have no end in history.",
					   "DELETE or TRUNCATE its rows first, which records their end.");
			continue;
		}
		if (stmt->behavior != DROP_CASCADE)
			release(m);
	}
}

static void
before_drop_extension(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		int			n;

		if (strcmp(strVal(lfirst(lc)), "ffstorage") != 0)
			continue;
		n = list_length(ffs_registry_all());
		if (n > 0)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot drop extension ffstorage while it manages tables"),
					 errdetail_plural("It manages %d table.", "It manages %d tables.", n, n),
					 errhint("SELECT ffs_unmanage_all() first; history stays as plain tables.")));
	}
}

static void
before_create_table(CreateStmt *stmt, bool foreign)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
	{
		FfsManaged *m = ffs_registry_root_of(ffs_registry_relid_of(lfirst(lc)));

		if (m == NULL)
			continue;
		if (stmt->partbound == NULL)
			ffs_registry_refuse(m, "let a table inherit from it", "ffstorage does not manage inheritance trees.",
				   "Use declarative partitioning.");
		if (foreign)
			ffs_registry_refuse(m, "add a foreign partition", "Its rows change where ffstorage does not see it.",
				   "Use an ordinary table.");
		if (stmt->relation->relpersistence != RELPERSISTENCE_PERMANENT)
			ffs_registry_refuse(m, "add a partition that is not permanent",
				   "History outlives what temporary and unlogged tables hold.",
				   "Use an ordinary table.");
	}
}

/* ddl_start() returns event_trigger */
Datum
ddl_start(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_of(fcinfo);
	Node	   *tree = event->parsetree;

	if (stand_aside() || tree == NULL)
		PG_RETURN_NULL();
	switch (nodeTag(tree))
	{
		case T_AlterTableStmt:
			before_alter_table((AlterTableStmt *) tree);
			break;
		case T_RenameStmt:
			before_rename((RenameStmt *) tree);
			break;
		case T_AlterObjectSchemaStmt:
			before_set_schema((AlterObjectSchemaStmt *) tree);
			break;
		case T_CreateStmt:
			before_create_table((CreateStmt *) tree, false);
			break;
		case T_CreateForeignTableStmt:
			before_create_table(&((CreateForeignTableStmt *) tree)->base, true);
			break;
		case T_DropStmt:
			if (((DropStmt *) tree)->removeType == OBJECT_TABLE)
				before_drop_table((DropStmt *) tree);
			else if (((DropStmt *) tree)->removeType == OBJECT_EXTENSION)
				before_drop_extension((DropStmt *) tree);
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}

/* ---- after ---- */

static bool
has_column(Oid relid, const char *column)
{
	return OidIsValid(relid) && get_attnum(relid, column) > 0;
}

static void
rename_column(Oid relid, const char *from, const char *to)
{
	ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s RENAME COLUMN %s TO %s", ffs_base_relation_name(relid),
				 quote_identifier(from), quote_identifier(to));
}

/* A column that the table dropped long ago makes room for a new one of its name. */
static void
make_room(Oid side, const char *column)
{
	char	   *name;

	if (!has_column(side, column))
		return;
	name = ffs_base_side_name(column, "_dropped");
	for (int i = 2; has_column(side, name); i++)
		name = ffs_base_side_name(column, psprintf("_dropped_%d", i));
	rename_column(side, column, name);
}

static void
column_renamed(FfsManaged *m, const char *from, const char *to)
{
	Oid			sides[3] = {m->history, m->deleted, m->audit};
	Oid			views[2] = {m->versions, m->with_deleted};
	FfsFoundColumn *found = ffs_registry_found_column(m, from);
	ListCell   *lc;

	for (int i = 0; i < 3; i++)
	{
		if (!has_column(sides[i], from))
			continue;
		make_room(sides[i], to);
		rename_column(sides[i], from, to);
	}
	for (int i = 0; i < 2; i++)
	{
		if (has_column(views[i], from))
			rename_column(views[i], from, to);
	}
	if (m->tenant_column != NULL && strcmp(m->tenant_column, from) == 0)
		m->tenant_column = pstrdup(to);
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (ffs_registry_uses_stamp(m, i) && strcmp(m->columns[i], from) == 0)
			m->columns[i] = pstrdup(to);
	}
	if (found != NULL)
		found->name = pstrdup(to);
	foreach(lc, m->exclude)
	{
		if (strcmp(lfirst(lc), from) == 0)
			lfirst(lc) = pstrdup(to);
	}
}

static void
column_dropped(FfsManaged *m, const char *column)
{
	FfsFoundColumn *found = ffs_registry_found_column(m, column);
	ListCell   *lc;

	if (found != NULL)
		m->found_columns = list_delete_ptr(m->found_columns, found);
	foreach(lc, m->exclude)
	{
		if (strcmp(lfirst(lc), column) == 0)
			m->exclude = foreach_delete_current(m->exclude, lc);
	}
}

/* What stands beside takes the table's new name or schema. */
static void
side_follows(FfsManaged *m, Oid side, const char *suffix)
{
	Oid			schema = get_rel_namespace(m->relid);
	char	   *name;

	if (!OidIsValid(side) || !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(side)))
		return;
	name = ffs_base_side_name(get_rel_name(m->relid), suffix);
	if (get_rel_namespace(side) != schema || strcmp(get_rel_name(side), name) != 0)
	{
		if (OidIsValid(get_relname_relid(name, schema)) && get_relname_relid(name, schema) != side)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_NAME_TAKEN),
					 errmsg("relation \"%s\" already exists", name),
					 errdetail("ffstorage needs the name beside table \"%s\".", get_rel_name(m->relid)),
					 errhint("Rename or drop it first.")));
	}
	if (strcmp(get_rel_name(side), name) != 0)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s RENAME TO %s", ffs_base_relation_name(side),
					 quote_identifier(name));
	if (get_rel_namespace(side) != schema)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s SET SCHEMA %s", ffs_base_relation_name(side),
					 quote_identifier(get_namespace_name(schema)));
}

static void
carry_over(Remembered *before, FfsManaged *m)
{
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	bool		columns = false;
	bool		added = false;

	for (int i = 0; i < before->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (before->columns[i] == NULL)
			continue;
		if (att->attisdropped)
		{
			column_dropped(m, before->columns[i]);
			columns = true;
		}
		else if (strcmp(before->columns[i], NameStr(att->attname)) != 0)
		{
			column_renamed(m, before->columns[i], NameStr(att->attname));
			columns = true;
		}
	}
	for (int i = before->natts; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		make_room(m->history, NameStr(att->attname));
		make_room(m->deleted, NameStr(att->attname));
		added = true;
	}
	if (columns || added)
		ffs_registry_check_columns(m);
	if (before->schema != get_rel_namespace(m->relid) ||
		strcmp(before->name, get_rel_name(m->relid)) != 0)
	{
		side_follows(m, m->history, "_history");
		side_follows(m, m->audit, "_audit");
		side_follows(m, m->deleted, "_deleted");
	}
	ffs_registry_sync_side_columns(m);
	if (before->tenant_changes)
	{
		ffs_registry_check_columns(m);
		ffs_registry_add_columns(m);
	}
	if (added)
		ffs_registry_extend_views(m);
	ffs_registry_make_views(m);
	if (before->dress || before->tenant_changes)
		ffs_registry_dress(m);
	else
		ffs_registry_sync_rights(m);
	ffs_registry_store(m);
}

typedef void (*ManagedStep) (FfsManaged *m, void *arg);

/* Do something to a managed table as its owner. */
static void
as_owner(FfsManaged *m, ManagedStep step, void *arg)
{
	FfsDdl		ddl;
	volatile bool failed = true;

	SPI_connect();
	ffs_registry_sync_owner(m);
	ffs_registry_begin_ddl(&ddl, m->relid);
	PG_TRY();
	{
		step(m, arg);
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
	SPI_finish();
}

static void
carry_over_step(FfsManaged *m, void *arg)
{
	carry_over((Remembered *) arg, m);
}

static void
dress_step(FfsManaged *m, void *arg pg_attribute_unused())
{
	ffs_registry_dress(m);
	ffs_registry_store(m);
}

static void
detach_step(FfsManaged *m, void *arg)
{
	ListCell   *lc;

	/* it may have partitions of its own */
	foreach(lc, ffs_registry_members(*(Oid *) arg))
		ffs_registry_undress_member(m, lfirst_oid(lc));
	foreach(lc, m->found_columns)
		ffs_registry_restore_column(m, *(Oid *) arg, lfirst(lc), false);
	ffs_registry_invalidate(*(Oid *) arg);
}

static void
trigger_step(FfsManaged *m, void *arg pg_attribute_unused())
{
	ffs_registry_keep_trigger_last(m);
	ffs_registry_store(m);
}

static void
policy_step(FfsManaged *m, void *arg)
{
	Oid			relid = *(Oid *) arg;

	if (ffs_registry_has_policy(relid, "ffstorage_tenant"))
		ffs_registry_sync_open_policy(m, relid);
}

static void
rights_step(FfsManaged *m, void *arg pg_attribute_unused())
{
	ffs_registry_sync_rights(m);
}

static void
after_trigger(Oid relid)
{
	FfsManaged *m = ffs_registry_root_of(relid);

	if (m != NULL)
		as_owner(m, trigger_step, NULL);
}

static void
after_policy(Oid relid, const char *policy)
{
	FfsManaged *m = ffs_registry_root_of(relid);

	if (m != NULL && strncmp(policy, "ffstorage_", strlen("ffstorage_")) != 0)
		as_owner(m, policy_step, &relid);
}

static void
after_grant(GrantStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype != OBJECT_TABLE)
		return;
	if (stmt->targtype == ACL_TARGET_OBJECT)
	{
		foreach(lc, stmt->objects)
		{
			FfsManaged *m = ffs_registry_load(ffs_registry_relid_of(lfirst(lc)));

			if (m != NULL)
				as_owner(m, rights_step, NULL);
		}
	}
	else if (stmt->targtype == ACL_TARGET_ALL_IN_SCHEMA)
	{
		List	   *schemas = NIL;

		foreach(lc, stmt->objects)
			schemas = lappend_oid(schemas, get_namespace_oid(strVal(lfirst(lc)), true));
		foreach(lc, ffs_registry_all())
		{
			FfsManaged *m;

			if (!list_member_oid(schemas, get_rel_namespace(lfirst_oid(lc))))
				continue;
			m = ffs_registry_load(lfirst_oid(lc));
			if (m != NULL)
				as_owner(m, rights_step, NULL);
		}
	}
}

static void
after_remembered(void)
{
	List	   *work = remembered;
	ListCell   *lc;

	remembered = NIL;
	foreach(lc, work)
	{
		Remembered *r = lfirst(lc);
		FfsManaged *m = ffs_registry_load(r->relid);

		if (m != NULL && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(r->relid)))
			as_owner(m, carry_over_step, r);
	}
}

/* A partition that left keeps nothing of ours. */
static void
after_detach(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);
		FfsManaged *m;
		Oid			partition;

		if (cmd->subtype != AT_DetachPartition)
			continue;
		m = ffs_registry_root_of(ffs_registry_relid_of(stmt->relation));
		partition = ffs_registry_relid_of(((PartitionCmd *) cmd->def)->name);
		if (m == NULL || !OidIsValid(partition))
			continue;
		as_owner(m, detach_step, &partition);
	}
}

/* ddl_end() returns event_trigger */
Datum
ddl_end(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_of(fcinfo);
	Node	   *tree = event->parsetree;

	if (stand_aside() || tree == NULL)
		PG_RETURN_NULL();
	if (remembered != NIL)
		after_remembered();
	switch (nodeTag(tree))
	{
		case T_CreateStmt:
			{
				CreateStmt *stmt = (CreateStmt *) tree;
				FfsManaged *m;

				if (stmt->partbound == NULL)
					break;
				m = ffs_registry_root_of(ffs_registry_relid_of(linitial(stmt->inhRelations)));
				if (m != NULL)
					as_owner(m, dress_step, NULL);
				break;
			}
		case T_AlterTableStmt:
			after_detach((AlterTableStmt *) tree);
			break;
		case T_CreateTrigStmt:
			after_trigger(ffs_registry_relid_of(((CreateTrigStmt *) tree)->relation));
			break;
		case T_RenameStmt:
			if (((RenameStmt *) tree)->renameType == OBJECT_TRIGGER)
				after_trigger(ffs_registry_relid_of(((RenameStmt *) tree)->relation));
			else if (((RenameStmt *) tree)->renameType == OBJECT_POLICY)
				after_policy(ffs_registry_relid_of(((RenameStmt *) tree)->relation), ((RenameStmt *) tree)->subname);
			break;
		case T_CreatePolicyStmt:
			after_policy(ffs_registry_relid_of(((CreatePolicyStmt *) tree)->table), ((CreatePolicyStmt *) tree)->policy_name);
			break;
		case T_AlterPolicyStmt:
			after_policy(ffs_registry_relid_of(((AlterPolicyStmt *) tree)->table), ((AlterPolicyStmt *) tree)->policy_name);
			break;
		case T_GrantStmt:
			after_grant((GrantStmt *) tree);
			break;
		case T_DropStmt:
			if (((DropStmt *) tree)->removeType == OBJECT_POLICY)
			{
				ListCell   *lc;

				foreach(lc, ((DropStmt *) tree)->objects)
				{
					List	   *name = list_copy((List *) lfirst(lc));
					char	   *policy = strVal(llast(name));

					after_policy(ffs_registry_relid_of(makeRangeVarFromNameList(list_truncate(name, list_length(name) - 1))),
								 policy);
				}
			}
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}

/* ---- gone ---- */

static void
drop_side(Oid side)
{
	FfsDdl		ddl;
	volatile bool failed = true;

	if (!OidIsValid(side) || !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(side)))
		return;
	ffs_registry_begin_ddl(&ddl, side);
	PG_TRY();
	{
		ffs_base_run(SPI_OK_UTILITY, "DROP TABLE %s CASCADE", ffs_base_relation_name(side));
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
}

/* A managed table has gone: its row goes too, and what stood beside it where CASCADE was said. */
static void
table_gone(FfsManaged *m, bool cascade)
{
	FfsRights	rights;

	/* first of all: dropping more comes back to here */
	ffs_registry_forget(m->relid);
	ffs_base_begin_as(&rights, ffs_base_owner());
	ffs_base_run(SPI_OK_DELETE, "DELETE FROM ffstorage.rekeys WHERE relation = %u", m->relid);
	ffs_base_end_as(&rights);
	if (cascade)
	{
		drop_side(m->history);
		drop_side(m->audit);
		drop_side(m->deleted);
	}
}

/* ddl_drop() returns event_trigger */
Datum
ddl_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = event_of(fcinfo);
	bool		cascade;
	ListCell   *lc;

	/* also while ffstorage itself drops things: a row without its table helps nobody */
	if (creating_extension || IsBinaryUpgrade)
		PG_RETURN_NULL();
	cascade = event->parsetree != NULL && IsA(event->parsetree, DropStmt) &&
		((DropStmt *) event->parsetree)->behavior == DROP_CASCADE;
	foreach(lc, ffs_registry_all())
	{
		FfsManaged *m;

		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			continue;
		m = ffs_registry_load(lfirst_oid(lc));
		SPI_connect();
		if (m != NULL)
			table_gone(m, cascade);
		SPI_finish();
	}
	PG_RETURN_NULL();
}
