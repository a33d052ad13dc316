/*-------------------------------------------------------------------------
 *
 * refuse.c
 *		Schema changes that a managed table, or what stands beside it, cannot
 *		take, refused before anything happened.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "registry/internal.h"

/* ---- finding ---- */

/* What is known of the managed root that a relation is or belongs to; NULL if none. */
FfsManaged *
ffs_registry_root_of(Oid relid)
{
	FfsManaged *m;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return NULL;
	m = ffs_registry_load(relid);
	if (m != NULL || !get_rel_relispartition(relid))
		return m;
	foreach(lc, get_partition_ancestors(relid))
	{
		m = ffs_registry_load(lfirst_oid(lc));
		if (m != NULL)
			return m;
	}
	return NULL;
}

Oid
ffs_registry_relid_of(RangeVar *name)
{
	return name == NULL ? InvalidOid : RangeVarGetRelid(name, NoLock, true);
}

/* Does it stand beside a managed table?  What it refuses with says so, under whatever name and in whatever state. */
bool
ffs_registry_is_side(Oid relid)
{
	return OidIsValid(relid) && ffs_registry_calls_trigger(relid, "side_read_only");
}

bool
ffs_registry_owned(Oid relid)
{
	return ffs_compat_owns_relation(relid, GetUserId());
}

/* ---- refusing ---- */

void
ffs_registry_refuse(FfsManaged *m, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot %s while table \"%s\" is managed by ffstorage", what, get_rel_name(m->relid)),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

void
ffs_registry_refuse_side(Oid relid)
{
	if (superuser() || !ffs_registry_owned(relid))
		return;
	ereport(ERROR,
			(errcode(FFS_ERRCODE_HISTORY_READ_ONLY),
			 errmsg("\"%s\" changes with the table that it stands beside", get_rel_name(relid)),
			 errdetail("What stands beside a managed table is append only, its shape too."),
			 errhint("Change the table itself, or take it out with ffs_unmanage() first.")));
}

/*
 * For commands that would make the relation part of another (whose triggers
 * and policies would count in place of ours) or put something on it.
 */
void
ffs_registry_check_parts(RangeVar *name)
{
	Oid			relid = ffs_registry_relid_of(name);

	if (ffs_registry_is_side(relid))
		ffs_registry_refuse_side(relid);
}

/* Commands on what stands beside that change nothing of what it says. */
bool
ffs_registry_harmless_beside(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplicaIdentity:
			return true;
		default:
			return false;
	}
}

/* Is there any row, committed or of ours?  Locks the table so that it stays true. */
bool
ffs_registry_has_rows(Oid relid)
{
	ListCell   *lc;

	LockRelationOid(relid, AccessExclusiveLock);
	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);
		bool		found = false;

		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
			TupleTableSlot *slot = table_slot_create(rel, NULL);
			TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

			found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
			table_endscan(scan);
			ExecDropSingleTupleTableSlot(slot);
			UnregisterSnapshot(snapshot);
		}
		table_close(rel, NoLock);
		if (found)
			return true;
	}
	return false;
}

bool
ffs_registry_keeps_past(FfsManaged *m)
{
	return m->strategy != FFS_STRATEGY_NONE;
}

/* Our name for a column that this table uses as one of ours; NULL if it does not. */
static const char *
stamp_named(FfsManaged *m, const char *column)
{
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (ffs_registry_uses_stamp(m, i) && strcmp(m->columns[i], column) == 0)
			return ffs_registry_stamp_names[i];
	}
	return NULL;
}

static bool
is_primary_key(Oid relid, const char *constraint)
{
	Oid			oid = get_relation_constraint_oid(relid, constraint, true);
	HeapTuple	tuple;
	bool		result;

	if (!OidIsValid(oid))
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_PRIMARY;
	ReleaseSysCache(tuple);
	return result;
}

static void
check_attach(FfsManaged *m, PartitionCmd *cmd)
{
	Oid			partition = ffs_registry_relid_of(cmd->name);

	if (!OidIsValid(partition) || !ffs_registry_owned(partition))
		return;					/* PostgreSQL says so */
	if (get_rel_relkind(partition) == RELKIND_FOREIGN_TABLE)
		ffs_registry_refuse(m, "attach a foreign table", "Its rows change where ffstorage does not see it.",
			   "Attach an ordinary table.");
	if (ffs_registry_keeps_past(m) && ffs_registry_has_rows(partition))
		ffs_registry_refuse(m, "attach a partition that has rows", "Rows that come without being inserted have no history.",
			   "Attach it empty, then INSERT its rows into the table.");
}

static void
check_detach(FfsManaged *m, PartitionCmd *cmd)
{
	Oid			partition = ffs_registry_relid_of(cmd->name);

	if (!OidIsValid(partition) || !ffs_registry_keeps_past(m))
		return;
	if (cmd->concurrent)
		ffs_registry_refuse(m, "detach a partition concurrently", "Rows could come in while it is being detached.",
			   "DELETE or TRUNCATE its rows, and use DETACH PARTITION without CONCURRENTLY.");
	if (ffs_registry_has_rows(partition))
		ffs_registry_refuse(m, "detach a partition that has rows", "Rows that go without being deleted have no end in history.",
			   "DELETE or TRUNCATE its rows first, which records their end.");
}

void
ffs_registry_check_subcommand(FfsManaged *m, Oid relid, AlterTableCmd *cmd)
{
	const char *stamp;

	switch (cmd->subtype)
	{
		case AT_DropColumn:
			stamp = stamp_named(m, cmd->name);
			if (m->tenant_column != NULL && strcmp(cmd->name, m->tenant_column) == 0)
				ffs_registry_refuse(m, psprintf("drop column \"%s\"", cmd->name), "It is the tenant column.",
					   "Call ffs_manage() without tenant_column first.");
			if (stamp != NULL)
				ffs_registry_refuse(m, psprintf("drop column \"%s\"", cmd->name),
					   psprintf("ffstorage fills it as \"%s\".", stamp),
					   "Call ffs_manage() with stamps => false or another strategy, or ffs_unmanage(), first.");
			if (ffs_registry_keeps_past(m) && ffs_registry_name_in(ffs_registry_key_of(m->relid), cmd->name))
				ffs_registry_refuse(m, psprintf("drop column \"%s\"", cmd->name), "It is part of the primary key.",
					   "Call ffs_unmanage() first, or use strategy => 'none'.");
			break;
		case AT_DropConstraint:
			if (ffs_registry_keeps_past(m) && is_primary_key(relid, cmd->name))
				ffs_registry_refuse(m, "drop the primary key",
					   psprintf("Strategy %s keeps the life of each row by its key.",
								ffs_registry_strategy_name(m->strategy)),
					   "Call ffs_unmanage() first, or use strategy => 'none'.");
			break;
		case AT_DropNotNull:
			if (m->tenant_column != NULL && strcmp(cmd->name, m->tenant_column) == 0)
				ffs_registry_refuse(m, psprintf("let column \"%s\" be NULL", cmd->name), "It is the tenant column.",
					   "Call ffs_manage() without tenant_column first.");
			break;
		case AT_AlterColumnType:
			stamp = stamp_named(m, cmd->name);
			if (stamp != NULL)
				ffs_registry_refuse(m, psprintf("change the type of column \"%s\"", cmd->name),
					   psprintf("ffstorage fills it as \"%s\".", stamp),
					   "Leave its type as it is, or call ffs_unmanage() first.");
			break;
		case AT_SetUnLogged:
			ffs_registry_refuse(m, "make the table unlogged", "An unlogged table is emptied by a crash, and its history is not.",
				   "Call ffs_unmanage() first.");
			break;
		case AT_AddInherit:
		case AT_AddOf:
			ffs_registry_refuse(m, "give the table a parent or a type", "ffstorage manages neither inheritance trees nor typed tables.",
				   "Call ffs_unmanage() first.");
			break;
		case AT_AttachPartition:
			check_attach(m, (PartitionCmd *) cmd->def);
			break;
		case AT_DetachPartition:
			check_detach(m, (PartitionCmd *) cmd->def);
			break;
		default:
			break;
	}
}
