/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Event triggers: what users change about a managed table carries over
 *		to what stands beside it, and what cannot is refused before anything
 *		happened.
 *
 * At ddl_command_start the parse tree says which table will change.  We
 * remember its columns, and take away our views where they would stand in
 * the way (this file); what cannot be is refused (refuse.c).  At
 * ddl_command_end the columns are compared by their numbers, and renamed,
 * added or retyped beside the table; the views come back (follow.c).
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
#include "catalog/dependency.h"
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

static List *remembered = NIL;	/* in TopTransactionContext */

/* ---- standing aside ---- */

/*
 * A restore has set what pg_dump writes at the head of every script, and is
 * run by a superuser, as CREATE EXTENSION ffstorage needs one: others shall
 * not get out of our sight by a few settings.
 */
static bool
restoring(void)
{
	return superuser_arg(GetAuthenticatedUserId()) && !check_function_bodies && !row_security &&
		(namespace_search_path == NULL || namespace_search_path[0] == '\0' ||
		 strcmp(namespace_search_path, "\"\"") == 0) && !InLocalUserIdChange();
}

/*
 * While ffstorage itself changes things, functions of users' may run (casts,
 * index expressions), and what these change is their own.
 */
bool
ffs_registry_stands_aside(void)
{
	return (ffs_registry_in_ddl && ffs_base_is_running()) || creating_extension || IsBinaryUpgrade || restoring();
}

EventTriggerData *
ffs_registry_event(FunctionCallInfo fcinfo)
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
		if (((FfsRemembered *) lfirst(lc))->subid >= subid)
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
	FfsRemembered *r;
	ListCell   *lc;

	foreach(lc, remembered)
	{
		if (((FfsRemembered *) lfirst(lc))->relid == m->relid)
			remembered = foreach_delete_current(remembered, lc);
	}
	LockRelationOid(m->relid, AccessShareLock);
	desc = ffs_registry_columns_of(m->relid);
	UnlockRelationOid(m->relid, AccessShareLock);

	old = MemoryContextSwitchTo(TopTransactionContext);
	r = palloc0(sizeof(FfsRemembered));
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

/* Hand over what was remembered. */
List *
ffs_registry_take_remembered(void)
{
	List	   *result = remembered;

	remembered = NIL;
	return result;
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
			FfsFoundColumn *found = ffs_registry_found_column(m, m->tenant_column);
			ListCell   *lc;

			/* our default is of the old type; it comes back with the new one */
			if (found != NULL)
				ffs_registry_drop_default(m, found->name);

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

/*
 * The root of a managed table again, under the lock that the command will
 * take: what is seen then stays so.  NULL where the table went, or was taken
 * out of management, while we waited; the command itself will say what is wrong.
 */
static FfsManaged *
lock_managed(Oid relid, LOCKMODE mode)
{
	LockRelationOid(relid, mode);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) ? ffs_registry_root_of(relid) : NULL;
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
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_AttachPartition)
			ffs_registry_check_parts(((PartitionCmd *) cmd->def)->name);
		else if (cmd->subtype == AT_AddInherit)
			ffs_registry_check_parts((RangeVar *) cmd->def);
	}
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
	m = lock_managed(relid, AlterTableGetLockLevel(stmt->cmds));
	if (m == NULL)
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

	/* our triggers and policies beside a table are known by their names */
	if ((stmt->renameType == OBJECT_TRIGGER || stmt->renameType == OBJECT_POLICY) &&
		strncmp(stmt->subname, "ffstorage_", strlen("ffstorage_")) == 0)
		ffs_registry_check_parts(stmt->relation);
	/* ALTER INDEX renames tables too */
	if (stmt->renameType != OBJECT_TABLE && stmt->renameType != OBJECT_COLUMN &&
		stmt->renameType != OBJECT_INDEX)
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
	m = lock_managed(relid, AccessExclusiveLock);
	if (m == NULL)
		return;
	remember(m, false, false);
	if (stmt->renameType != OBJECT_COLUMN && m->relid == relid)
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
	m = lock_managed(relid, AccessExclusiveLock);
	if (m == NULL)
		return;
	remember(m, false, false);
	drop_views(m, true, false);
}

/* Free what stands beside from a table that is about to go. */
static void
release(FfsManaged *m)
{
	bool		close = m->tenant_column != NULL;
	FfsDdl		ddl;
	volatile bool failed = true;

	SPI_connect();
	ffs_registry_begin_ddl(&ddl, m->relid);
	PG_TRY();
	{
		ffs_registry_drop_views(m, true);
		ffs_registry_release_side(m, m->history, close);
		ffs_registry_release_side(m, m->audit, close);
		ffs_registry_release_side(m, m->deleted, close);
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
		m = lock_managed(relid, AccessExclusiveLock);
		if (m == NULL)
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

/* An extension that goes leaves what it manages without triggers, policies and history. */
static void
refuse_to_drop_extension(void)
{
	int			n = list_length(ffs_registry_all());

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop extension ffstorage while it manages tables"),
				 errdetail_plural("It manages %d table.", "It manages %d tables.", n, n),
				 errhint("SELECT ffs_unmanage_all() first; history stays as plain tables.")));
}

static void
before_drop_extension(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
		if (strcmp(strVal(lfirst(lc)), "ffstorage") == 0)
			refuse_to_drop_extension();
}

/* The schema that the extension was created in takes it along. */
static void
before_drop_schema(DropStmt *stmt)
{
	char	   *schema = get_namespace_name(ffs_base_extension_namespace());
	ListCell   *lc;

	if (stmt->behavior != DROP_CASCADE || schema == NULL)
		return;
	foreach(lc, stmt->objects)
		if (strcmp(strVal(lfirst(lc)), schema) == 0)
			refuse_to_drop_extension();
}

/* So does its owner. */
static void
before_drop_owned(DropOwnedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->roles)
		if (get_rolespec_oid(lfirst(lc), true) == ffs_base_owner())
			refuse_to_drop_extension();
}

static void
before_create_table(CreateStmt *stmt, bool foreign)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
	{
		FfsManaged *m = ffs_registry_root_of(ffs_registry_relid_of(lfirst(lc)));

		ffs_registry_check_parts(lfirst(lc));
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

/* Who may read what stands beside a table follows from who may read the table. */
static void
before_grant(GrantStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype != OBJECT_TABLE || stmt->targtype != ACL_TARGET_OBJECT)
		return;
	foreach(lc, stmt->objects)
		ffs_registry_check_parts(lfirst(lc));
}

/* Our triggers and policies on what stands beside are part of its shape. */
static void
before_drop_part(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		List	   *name = list_copy((List *) lfirst(lc));
		char	   *part = strVal(llast(name));
		Oid			relid;

		if (strncmp(part, "ffstorage_", strlen("ffstorage_")) != 0)
			continue;
		relid = ffs_registry_relid_of(makeRangeVarFromNameList(list_truncate(name, list_length(name) - 1)));
		if (ffs_registry_is_side(relid))
			ffs_registry_refuse_side(relid);
	}
}

/* What a schema is created with makes no event of its own. */
static void
before_create_schema(CreateSchemaStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->schemaElts)
	{
		if (IsA(lfirst(lc), CreateStmt))
			before_create_table(lfirst(lc), false);
		else if (IsA(lfirst(lc), GrantStmt))
			before_grant(lfirst(lc));
	}
}

/* The numbers of audit entries are their order. */
static void
before_alter_sequence(AlterSeqStmt *stmt)
{
	Oid			sequence = ffs_registry_relid_of(stmt->sequence);
	Oid			relid;
	int32		column;

	if (OidIsValid(sequence) && sequenceIsOwned(sequence, DEPENDENCY_AUTO, &relid, &column) &&
		ffs_registry_is_side(relid))
		ffs_registry_refuse_side(relid);
}

static void
before_alter_policy(AlterPolicyStmt *stmt)
{
	Oid			relid = ffs_registry_relid_of(stmt->table);

	if (strncmp(stmt->policy_name, "ffstorage_", strlen("ffstorage_")) == 0 && ffs_registry_is_side(relid))
		ffs_registry_refuse_side(relid);
}

/* ddl_start() returns event_trigger */
Datum
ddl_start(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = ffs_registry_event(fcinfo);
	Node	   *tree = event->parsetree;

	if (ffs_registry_stands_aside() || tree == NULL)
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
			else if (((DropStmt *) tree)->removeType == OBJECT_SCHEMA)
				before_drop_schema((DropStmt *) tree);
			else if (((DropStmt *) tree)->removeType == OBJECT_TRIGGER ||
					 ((DropStmt *) tree)->removeType == OBJECT_POLICY)
				before_drop_part((DropStmt *) tree);
			break;
		case T_DropOwnedStmt:
			before_drop_owned((DropOwnedStmt *) tree);
			break;
		case T_AlterPolicyStmt:
			before_alter_policy((AlterPolicyStmt *) tree);
			break;
		case T_CreateSchemaStmt:
			before_create_schema((CreateSchemaStmt *) tree);
			break;
		case T_CreateTrigStmt:
			ffs_registry_check_parts(((CreateTrigStmt *) tree)->relation);
			break;
		case T_RuleStmt:
			ffs_registry_check_parts(((RuleStmt *) tree)->relation);
			break;
		case T_AlterObjectDependsStmt:
			ffs_registry_check_parts(((AlterObjectDependsStmt *) tree)->relation);
			break;
		case T_AlterSeqStmt:
			before_alter_sequence((AlterSeqStmt *) tree);
			break;
		case T_GrantStmt:
			before_grant((GrantStmt *) tree);
			break;
		default:
			break;
	}
	PG_RETURN_NULL();
}
