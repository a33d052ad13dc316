/*-------------------------------------------------------------------------
 *
 * follow.c
 *		Event triggers after a schema change: what stands beside a managed
 *		table takes it over, and what is gone is forgotten.  See ddl.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "registry/internal.h"

PG_FUNCTION_INFO_V1(ddl_end);
PG_FUNCTION_INFO_V1(ddl_drop);

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

/* Entries about a column that the table dropped long ago make room, too. */
static void
make_room_in_entries(FfsManaged *m, const char *column)
{
	char	   *name = ffs_base_side_name(column, "_dropped");

	for (int i = 2; get_attnum(m->relid, name) > 0; i++)
		name = ffs_base_side_name(column, psprintf("_dropped_%d", i));
	ffs_registry_rename_in_entries(m, column, name);
}

static bool
ever_dropped_a_column(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			return true;
	}
	return false;
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
	if (ever_dropped_a_column(ffs_registry_columns_of(m->relid)))
		make_room_in_entries(m, to);
	ffs_registry_rename_in_entries(m, from, to);
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
carry_over(FfsRemembered *before, FfsManaged *m)
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
		if (OidIsValid(m->audit) && ever_dropped_a_column(desc))
			make_room_in_entries(m, NameStr(att->attname));
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
	for (int i = before->natts; m->strategy == FFS_STRATEGY_COPY_ON_CHANGE && i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			ffs_registry_audit_new_column(m, NameStr(TupleDescAttr(desc, i)->attname));
	}
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
	carry_over((FfsRemembered *) arg, m);
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
views_step(FfsManaged *m, void *arg pg_attribute_unused())
{
	ffs_registry_make_views(m);
	ffs_registry_store(m);
}

/* The text of our functions names the schema. */
static void
after_rename_schema(Oid schema)
{
	ListCell   *lc;

	foreach(lc, ffs_registry_all())
	{
		FfsManaged *m;

		if (get_rel_namespace(lfirst_oid(lc)) != schema)
			continue;
		m = ffs_registry_load(lfirst_oid(lc));
		if (m != NULL)
			as_owner(m, views_step, NULL);
	}
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
	ListCell   *lc;

	foreach(lc, ffs_registry_take_remembered())
	{
		FfsRemembered *r = lfirst(lc);
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

static void
replica_step(FfsManaged *m, void *arg pg_attribute_unused())
{
	ffs_registry_mend_replica_triggers(m);
}

static void
after_enable_trigger(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;
		FfsManaged *m;

		if (type != AT_EnableTrig && type != AT_EnableAlwaysTrig && type != AT_EnableTrigAll && type != AT_EnableTrigUser)
			continue;
		m = ffs_registry_root_of(ffs_registry_relid_of(stmt->relation));
		if (m != NULL)
			as_owner(m, replica_step, NULL);
		return;
	}
}

/* A new partition gets what its table has. */
static void
after_create_table(CreateStmt *stmt)
{
	FfsManaged *m;

	if (stmt->partbound == NULL)
		return;
	m = ffs_registry_root_of(ffs_registry_relid_of(linitial(stmt->inhRelations)));
	if (m != NULL)
		as_owner(m, dress_step, NULL);
}

/* What a schema is created with makes no event of its own. */
static void
after_create_schema(CreateSchemaStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->schemaElts)
	{
		if (IsA(lfirst(lc), CreateStmt))
			after_create_table(lfirst(lc));
		else if (IsA(lfirst(lc), GrantStmt))
			after_grant(lfirst(lc));
	}
}

/* ddl_end() returns event_trigger */
Datum
ddl_end(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = ffs_registry_event(fcinfo);
	Node	   *tree = event->parsetree;

	if (ffs_registry_stands_aside() || tree == NULL)
		PG_RETURN_NULL();
	after_remembered();
	switch (nodeTag(tree))
	{
		case T_CreateStmt:
			after_create_table((CreateStmt *) tree);
			break;
		case T_CreateSchemaStmt:
			after_create_schema((CreateSchemaStmt *) tree);
			break;
		case T_AlterTableStmt:
			after_detach((AlterTableStmt *) tree);
			after_enable_trigger((AlterTableStmt *) tree);
			break;
		case T_CreateTrigStmt:
			after_trigger(ffs_registry_relid_of(((CreateTrigStmt *) tree)->relation));
			break;
		case T_RenameStmt:
			if (((RenameStmt *) tree)->renameType == OBJECT_TRIGGER)
				after_trigger(ffs_registry_relid_of(((RenameStmt *) tree)->relation));
			else if (((RenameStmt *) tree)->renameType == OBJECT_SCHEMA)
				after_rename_schema(get_namespace_oid(((RenameStmt *) tree)->newname, false));
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
	EventTriggerData *event = ffs_registry_event(fcinfo);
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
