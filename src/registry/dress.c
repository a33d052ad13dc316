/*-------------------------------------------------------------------------
 *
 * dress.c
 *		What hangs on a managed table and on what stands beside it: triggers,
 *		row-level security, rights.  Everything here looks first and changes
 *		only what differs.
 *
 * A partition may belong to another role than its root: each is changed as
 * its own owner.  On error the caller's PG_FINALLY and the abort of the
 * transaction put rights and flags back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/internal.h"
#include "tenancy/tenancy.h"

#define ROW_TRIGGER		"zz_ffstorage_row"
#define POLICY_TENANT	"ffstorage_tenant"
#define POLICY_OPEN		"ffstorage_open"
#define POLICY_MAY_READ	"ffstorage_may_read"

PG_FUNCTION_INFO_V1(may_read);

/* The root and all its partitions, of every level, root first. */
List *
ffs_registry_members(Oid relid)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		char		kind = get_rel_relkind(lfirst_oid(lc));

		/* a foreign partition cannot carry what we need; manage refuses them */
		if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE)
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

/* ---- triggers ---- */

/* The trigger of that name, unless it is disabled; InvalidOid if there is none. */
static Oid
find_trigger(Oid relid, const char *name, bool enabled_only, Oid *function)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!enabled_only || trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS)
			result = trigger->oid;
		if (function != NULL)
			*function = trigger->tgfoid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

bool
ffs_registry_fires_on_replica(Oid relid, const char *name)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, name) == 0)
			result = trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA;
	}
	table_close(rel, AccessShareLock);
	return result;
}

Oid
ffs_registry_trigger(Oid relid, const char *name)
{
	return find_trigger(relid, name, true, NULL);
}

/* Has the relation a trigger, enabled or not, that calls this function of ours? */
bool
ffs_registry_calls_trigger(Oid relid, const char *function)
{
	Oid			schema = get_namespace_oid(FFS_SCHEMA, true);
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			called = ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid;
		char	   *name = get_func_name(called);

		found = name != NULL && strcmp(name, function) == 0 && get_func_namespace(called) == schema;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* `when`: BEFORE/AFTER events; `each`: ROW or STATEMENT with its condition. */
static void
make_trigger(Oid relid, const char *name, const char *when, const char *each, const char *function)
{
	Oid			there = find_trigger(relid, name, false, NULL);

	if (OidIsValid(there))
	{
		if (!OidIsValid(find_trigger(relid, name, true, NULL)))
			ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ENABLE TRIGGER %s",
						 ffs_base_relation_name(relid), quote_identifier(name));
		return;
	}
	ffs_base_run(SPI_OK_UTILITY, "CREATE TRIGGER %s %s ON %s FOR EACH %s EXECUTE FUNCTION ffstorage.%s()",
				 quote_identifier(name), when, ffs_base_relation_name(relid), each, function);
}

static void
drop_trigger(Oid relid, const char *name)
{
	if (OidIsValid(find_trigger(relid, name, false, NULL)))
		ffs_base_run(SPI_OK_UTILITY, "DROP TRIGGER %s ON %s", quote_identifier(name),
					 ffs_base_relation_name(relid));
}

/* The name that sorts last among the BEFORE ROW triggers that are not ours; "" where there is none. */
static char *
last_foreign_trigger(List *members, const char *ours)
{
	char	   *last = pstrdup("");
	ListCell   *lc;

	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);

		for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		{
			Trigger    *trigger = &rel->trigdesc->triggers[i];

			if (TRIGGER_FOR_BEFORE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype) &&
				(ours == NULL || strcmp(trigger->tgname, ours) != 0) &&
				strcmp(trigger->tgname, last) > 0)
				last = pstrdup(trigger->tgname);
		}
		table_close(rel, AccessShareLock);
	}
	return last;
}

static bool
trigger_name_free(List *members, const char *name)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		if (OidIsValid(find_trigger(lfirst_oid(lc), name, false, NULL)))
			return false;
	}
	return true;
}

/* A free name for our row trigger that sorts after `last`. */
static char *
choose_row_trigger(List *members, const char *last)
{
	const char *candidates[] = {ROW_TRIGGER, "zzzz_ffstorage_row", "~_ffstorage_row", "~~~~_ffstorage_row", NULL, NULL};
	int			len = strlen(last);

	if (len + (int) strlen("~ffstorage_row") < NAMEDATALEN)
		candidates[4] = psprintf("%s~ffstorage_row", last);
	if (len + 1 < NAMEDATALEN)
		candidates[5] = psprintf("%s~", last);
	for (int i = 0; i < (int) lengthof(candidates); i++)
	{
		if (candidates[i] != NULL && strcmp(candidates[i], last) > 0 &&
			trigger_name_free(members, candidates[i]))
			return pstrdup(candidates[i]);
	}
	ereport(ERROR,
			(errcode(FFS_ERRCODE_NAME_TAKEN),
			 errmsg("no trigger name sorts after \"%s\"", last),
			 errdetail("ffstorage's own trigger must fire after all other BEFORE ROW triggers of the table."),
			 errhint("Rename trigger \"%s\" with ALTER TRIGGER.", last)));
}

/* Someone may have renamed ours: its function says which it is. */
static void
find_renamed_row_trigger(FfsManaged *m)
{
	Relation	rel;
	Oid			function = InvalidOid;

	if (OidIsValid(find_trigger(m->relid, m->row_trigger, false, NULL)))
		return;
	function = LookupFuncName(list_make2(makeString(FFS_SCHEMA), makeString("row_change")), 0, NULL, true);
	rel = table_open(m->relid, AccessShareLock);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (rel->trigdesc->triggers[i].tgfoid == function)
			m->row_trigger = pstrdup(rel->trigdesc->triggers[i].tgname);
	}
	table_close(rel, AccessShareLock);
}

/* Rename our row trigger where another one sorts after it. */
void
ffs_registry_keep_trigger_last(FfsManaged *m)
{
	List	   *members = ffs_registry_members(m->relid);
	char	   *last;
	char	   *name;

	find_renamed_row_trigger(m);
	last = last_foreign_trigger(members, m->row_trigger);
	if (strcmp(last, m->row_trigger) < 0 || !OidIsValid(find_trigger(m->relid, m->row_trigger, false, NULL)))
		return;
	name = choose_row_trigger(members, last);
	ffs_base_run(SPI_OK_UTILITY, "ALTER TRIGGER %s ON %s RENAME TO %s", quote_identifier(m->row_trigger),
				 ffs_base_relation_name(m->relid), quote_identifier(name));
	m->row_trigger = name;
}

void
ffs_registry_mend_replica_triggers(FfsManaged *m)
{
	ListCell   *lc;

	foreach(lc, ffs_registry_members(m->relid))
	{
		if (OidIsValid(find_trigger(lfirst_oid(lc), REPLICA_TRIGGER, true, NULL)))
			ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE ONLY %s ENABLE REPLICA TRIGGER " REPLICA_TRIGGER,
						 ffs_base_relation_name(lfirst_oid(lc)));
	}
}

/* Does the WHEN clause of the AFTER INSERT trigger take the row? */
static bool
is_inserted_trigger_audited(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, "ffstorage_inserted") == 0 && trigger->tgqual != NULL)
			result = strstr(trigger->tgqual, "{VAR ") != NULL;
	}
	table_close(rel, AccessShareLock);
	return result;
}

static void
make_triggers(FfsManaged *m, List *members)
{
	ListCell   *lc;
	bool		audited = m->strategy == FFS_STRATEGY_COPY_ON_CHANGE;

	if (m->row_trigger != NULL)
		find_renamed_row_trigger(m);
	if (m->row_trigger == NULL || !OidIsValid(find_trigger(m->relid, m->row_trigger, false, NULL)))
		m->row_trigger = choose_row_trigger(members, last_foreign_trigger(members, NULL));
	make_trigger(m->relid, m->row_trigger, "BEFORE INSERT OR UPDATE OR DELETE", "ROW", "row_change");
	if (!ffs_registry_fires_on_replica(m->relid, REPLICA_TRIGGER))
	{
		make_trigger(m->relid, REPLICA_TRIGGER, "BEFORE INSERT OR UPDATE OR DELETE", "ROW", "row_replicated");
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ENABLE REPLICA TRIGGER " REPLICA_TRIGGER,
					 ffs_base_relation_name(m->relid));
	}
	ffs_registry_keep_trigger_last(m);

	/*
	 * Its WHEN clause does the work; copy_on_change shows it the row.  Made
	 * anew where the table had another strategy.
	 */
	if (audited != is_inserted_trigger_audited(m->relid))
		drop_trigger(m->relid, "ffstorage_inserted");
	make_trigger(m->relid, "ffstorage_inserted", "AFTER INSERT",
				 audited ? "ROW WHEN (ffstorage.is_new_row(NEW.*))" : "ROW WHEN (ffstorage.is_new_row())",
				 "row_inserted");
	foreach(lc, members)
	{
		Oid			relid = lfirst_oid(lc);
		FfsDdl		ddl;

		ffs_registry_begin_ddl(&ddl, relid);
		make_trigger(relid, "ffstorage_begin", "BEFORE INSERT OR UPDATE OR DELETE", "STATEMENT", "statement_begin");
		make_trigger(relid, "ffstorage_end", "AFTER INSERT OR UPDATE OR DELETE", "STATEMENT", "statement_end");
		make_trigger(relid, "ffstorage_truncate", "BEFORE TRUNCATE", "STATEMENT", "table_truncate");
		ffs_registry_end_ddl(&ddl, false);
	}
}

/* ---- row-level security ---- */

typedef struct PolicyInfo
{
	char	   *name;
	char		command;
	bool		permissive;
	List	   *roles;			/* of Oid, InvalidOid for PUBLIC */
} PolicyInfo;

static List *
policies_of(Oid relid)
{
	Relation	rel = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *result = NIL;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy form = (Form_pg_policy) GETSTRUCT(tuple);
		PolicyInfo *policy = palloc0(sizeof(PolicyInfo));
		bool		isnull;
		Datum		roles = heap_getattr(tuple, Anum_pg_policy_polroles, RelationGetDescr(rel), &isnull);

		policy->name = pstrdup(NameStr(form->polname));
		policy->command = form->polcmd;
		policy->permissive = form->polpermissive;
		if (!isnull)
		{
			ArrayType  *array = DatumGetArrayTypePCopy(roles);
			Oid		   *oids = (Oid *) ARR_DATA_PTR(array);

			for (int i = 0; i < ARR_DIMS(array)[0]; i++)
				policy->roles = lappend_oid(policy->roles, oids[i]);
		}
		result = lappend(result, policy);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static bool
is_our_policy(const char *name)
{
	return strcmp(name, POLICY_TENANT) == 0 || strcmp(name, POLICY_OPEN) == 0 ||
		strcmp(name, POLICY_MAY_READ) == 0;
}

bool
ffs_registry_has_policy(Oid relid, const char *name)
{
	ListCell   *lc;

	foreach(lc, policies_of(relid))
	{
		if (strcmp(((PolicyInfo *) lfirst(lc))->name, name) == 0)
			return true;
	}
	return false;
}

bool
ffs_registry_has_user_policy(Oid relid, bool permissive_only)
{
	ListCell   *lc;

	foreach(lc, policies_of(relid))
	{
		PolicyInfo *policy = lfirst(lc);

		if (!is_our_policy(policy->name) && (policy->permissive || !permissive_only))
			return true;
	}
	return false;
}

static void
row_security_of(Oid relid, bool *enabled, bool *forced)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	*enabled = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
	*forced = ((Form_pg_class) GETSTRUCT(tuple))->relforcerowsecurity;
	ReleaseSysCache(tuple);
}

static void
set_row_security(Oid relid, bool enable, bool force)
{
	bool		enabled,
				forced;

	row_security_of(relid, &enabled, &forced);
	if (enabled != enable)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s %s ROW LEVEL SECURITY", ffs_base_relation_name(relid),
					 enable ? "ENABLE" : "DISABLE");
	if (forced != force)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s %s ROW LEVEL SECURITY", ffs_base_relation_name(relid),
					 force ? "FORCE" : "NO FORCE");
}

static void
drop_policy(Oid relid, const char *name)
{
	if (ffs_registry_has_policy(relid, name))
		ffs_base_run(SPI_OK_UTILITY, "DROP POLICY %s ON %s", name, ffs_base_relation_name(relid));
}

static void
make_open_policy(Oid relid)
{
	if (!ffs_registry_has_policy(relid, POLICY_OPEN))
		ffs_base_run(SPI_OK_UTILITY, "CREATE POLICY " POLICY_OPEN " ON %s USING (ffstorage.any_row())",
					 ffs_base_relation_name(relid));
}

static void
make_tenant_policy(FfsManaged *m, Oid relid)
{
	Form_pg_attribute att = ffs_registry_column(ffs_registry_columns_of(m->relid), m->tenant_column);

	if (att == NULL)
		elog(ERROR, "column \"%s\" of relation %u does not exist", m->tenant_column, m->relid);
	if (!ffs_registry_has_policy(relid, POLICY_TENANT))
	{
		StringInfoData buf;

		initStringInfo(&buf);
		ffs_tenancy_policy_sql(&buf, ffs_base_relation_name(relid), ffs_base_relation_name(m->relid),
							   m->tenant_column, att->atttypid);
		ffs_base_run(0, "%s", buf.data);
	}
	set_row_security(relid, true, true);
}

/*
 * A tenant policy only restricts: without a permissive policy nobody would
 * see anything.  The open one stands in while the user has none.
 */
void
ffs_registry_sync_open_policy(FfsManaged *m, Oid relid)
{
	if (m->tenant_column != NULL && !ffs_registry_has_user_policy(relid, true))
		make_open_policy(relid);
	else
		drop_policy(relid, POLICY_OPEN);
}

/* Policies on a table beside: tenants, and only readers of the whole table. */
static void
dress_side(FfsManaged *m, Oid side)
{
	bool		enabled,
				forced;

	if (!OidIsValid(side))
		return;
	row_security_of(m->relid, &enabled, &forced);
	if (m->tenant_column != NULL)
		make_tenant_policy(m, side);
	else
	{
		drop_policy(side, POLICY_TENANT);
		set_row_security(side, enabled, enabled && forced);
	}
	if (m->tenant_column != NULL || enabled)
	{
		make_open_policy(side);
		if (!ffs_registry_has_policy(side, POLICY_MAY_READ))
			ffs_base_run(SPI_OK_UTILITY, "CREATE POLICY " POLICY_MAY_READ " ON %s AS RESTRICTIVE FOR SELECT"
						 " USING ((SELECT ffstorage.may_read(%s::regclass)))",
						 ffs_base_relation_name(side),
						 quote_literal_cstr(ffs_base_relation_name(m->relid)));
	}
	else
	{
		drop_policy(side, POLICY_OPEN);
		drop_policy(side, POLICY_MAY_READ);
	}
	make_trigger(side, "ffstorage_read_only", "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE",
				 "STATEMENT", "side_read_only");
}

/* ---- rights ---- */

/* The roles that the ACL of a relation gives SELECT on the whole of it (InvalidOid: PUBLIC), without its owner. */
static List *
readers_of(Oid relid, List **others)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;
	Datum		value;
	bool		isnull;
	List	   *result = NIL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	if (!isnull)
	{
		Acl		   *acl = DatumGetAclPCopy(value);
		AclItem    *items = ACL_DAT(acl);

		for (int i = 0; i < ACL_NUM(acl); i++)
		{
			AclMode		rights = ACLITEM_GET_PRIVS(items[i]);

			if (items[i].ai_grantee == owner)
				continue;
			if (rights & ACL_SELECT)
				result = list_append_unique_oid(result, items[i].ai_grantee);
			if (others != NULL && (rights & ~ACL_SELECT))
				*others = list_append_unique_oid(*others, items[i].ai_grantee);
		}
	}
	ReleaseSysCache(tuple);
	return result;
}

static const char *
grantee_name(Oid role)
{
	return OidIsValid(role) ? quote_identifier(GetUserNameFromId(role, false)) : "PUBLIC";
}

/* Those who read the whole table may read this, and nobody does more. */
static void
sync_rights_of(Oid relid, List *readers)
{
	List	   *more = NIL;
	List	   *present;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	present = readers_of(relid, &more);
	foreach(lc, list_concat_unique_oid(list_copy(more), list_difference_oid(present, readers)))
		ffs_base_run(SPI_OK_UTILITY, "REVOKE ALL ON %s FROM %s CASCADE", ffs_base_relation_name(relid),
					 grantee_name(lfirst_oid(lc)));
	foreach(lc, readers)
	{
		if (!list_member_oid(present, lfirst_oid(lc)) || list_member_oid(more, lfirst_oid(lc)))
			ffs_base_run(SPI_OK_UTILITY, "GRANT SELECT ON %s TO %s", ffs_base_relation_name(relid),
						 grantee_name(lfirst_oid(lc)));
	}
}

static bool
exists(Oid relid)
{
	return OidIsValid(relid) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/*
 * What stands beside belongs to the table's owner.  Runs as the extension's
 * owner, since neither the old nor the new one need be able to give it away.
 */
void
ffs_registry_sync_owner(FfsManaged *m)
{
	Oid			beside[5] = {m->history, m->audit, m->deleted, m->versions, m->with_deleted};
	Oid			owner = ffs_registry_owner_of(m->relid);
	char	   *name = pstrdup(quote_identifier(GetUserNameFromId(owner, false)));
	bool		outer_in_ddl = ffs_registry_in_ddl;
	FfsRights	rights;
	bool		differs = false;

	for (int i = 0; i < (int) lengthof(beside); i++)
		differs |= exists(beside[i]) && ffs_registry_owner_of(beside[i]) != owner;
	if (!differs)
		return;

	ffs_base_begin_as(&rights, ffs_base_owner());
	ffs_registry_in_ddl = true;
	PG_TRY();
	{
		for (int i = 0; i < (int) lengthof(beside); i++)
		{
			if (exists(beside[i]) && ffs_registry_owner_of(beside[i]) != owner)
				ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s OWNER TO %s", ffs_base_relation_name(beside[i]), name);
		}
		if (m->as_of_function != NULL)
			ffs_base_run(SPI_OK_UTILITY, "ALTER FUNCTION %s(timestamptz) OWNER TO %s",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(m->relid)),
													m->as_of_function), name);
		if (m->between_function != NULL)
			ffs_base_run(SPI_OK_UTILITY, "ALTER FUNCTION %s(timestamptz, timestamptz) OWNER TO %s",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(m->relid)),
													m->between_function), name);
	}
	PG_FINALLY();
	{
		ffs_registry_in_ddl = outer_in_ddl;
	}
	PG_END_TRY();
	ffs_base_end_as(&rights);
}

/* Readers of what stands beside are those of the whole table. */
void
ffs_registry_sync_rights(FfsManaged *m)
{
	Oid			beside[5] = {m->history, m->audit, m->deleted, m->versions, m->with_deleted};
	List	   *readers = readers_of(m->relid, NULL);

	for (int i = 0; i < (int) lengthof(beside); i++)
	{
		if (exists(beside[i]))
			sync_rights_of(beside[i], readers);
	}
}

/* ---- all of it ---- */

/* Put on the table, its partitions and what stands beside it whatever is missing. */
void
ffs_registry_dress(FfsManaged *m)
{
	List	   *members = ffs_registry_members(m->relid);
	ListCell   *lc;

	make_triggers(m, members);
	foreach(lc, members)
	{
		Oid			relid = lfirst_oid(lc);
		FfsDdl		ddl;

		if (m->tenant_column == NULL)
			continue;
		ffs_registry_begin_ddl(&ddl, relid);
		make_tenant_policy(m, relid);
		ffs_registry_sync_open_policy(m, relid);
		ffs_registry_end_ddl(&ddl, false);
	}
	if (exists(m->history))
		dress_side(m, m->history);
	if (exists(m->audit))
		dress_side(m, m->audit);
	if (exists(m->deleted))
		dress_side(m, m->deleted);
	ffs_registry_sync_rights(m);
}

/* Was row-level security on for this member before? */
static void
found_row_security(FfsManaged *m, Oid relid, bool *enabled, bool *forced)
{
	char	   *name = ffs_base_relation_name(relid);
	ListCell   *lc;

	if (relid == m->relid)
	{
		*enabled = m->row_security;
		*forced = m->force_row_security;
		return;
	}
	*enabled = *forced = false;
	foreach(lc, m->found_partitions)
	{
		FfsFoundPartition *partition = lfirst(lc);

		if (strcmp(partition->name, name) == 0)
		{
			*enabled = partition->row_security;
			*forced = partition->force_row_security;
		}
	}
}

/* Take the tenants' policies off one of them; row-level security as it was found. */
static void
drop_member_policies(FfsManaged *m, Oid relid)
{
	bool		enabled,
				forced;

	if (!ffs_registry_has_policy(relid, POLICY_TENANT) && !ffs_registry_has_policy(relid, POLICY_OPEN))
		return;
	drop_policy(relid, POLICY_TENANT);
	drop_policy(relid, POLICY_OPEN);
	found_row_security(m, relid, &enabled, &forced);
	/* policies that users made meanwhile must not fall open */
	if (ffs_registry_has_user_policy(relid, false))
		enabled = true;
	set_row_security(relid, enabled, forced);
}

void
ffs_registry_drop_tenant_policies(FfsManaged *m)
{
	ListCell   *lc;

	foreach(lc, ffs_registry_members(m->relid))
	{
		FfsDdl		ddl;

		ffs_registry_begin_ddl(&ddl, lfirst_oid(lc));
		drop_member_policies(m, lfirst_oid(lc));
		ffs_registry_end_ddl(&ddl, false);
	}
}

/* Take what is ours off a partition, which may have left the table already. */
void
ffs_registry_undress_member(FfsManaged *m, Oid relid)
{
	FfsDdl		ddl;

	ffs_registry_begin_ddl(&ddl, relid);
	drop_trigger(relid, "ffstorage_begin");
	drop_trigger(relid, "ffstorage_end");
	drop_trigger(relid, "ffstorage_truncate");
	drop_member_policies(m, relid);
	ffs_registry_end_ddl(&ddl, false);
}

/* Take everything of ours off the table and its partitions, not off what stands beside. */
void
ffs_registry_undress(FfsManaged *m)
{
	ListCell   *lc;

	drop_trigger(m->relid, m->row_trigger);
	drop_trigger(m->relid, "ffstorage_inserted");
	drop_trigger(m->relid, REPLICA_TRIGGER);
	foreach(lc, ffs_registry_members(m->relid))
		ffs_registry_undress_member(m, lfirst_oid(lc));
}

/*
 * Let go of a table beside: a plain table from now on, readable by whom it
 * was.  Where rows of it are to stay hidden from some of them, since the
 * table itself hides such rows by policies that stay (`close`: or that the
 * caller knows of), only its owner keeps it.
 */
void
ffs_registry_release_side(FfsManaged *m, Oid side, bool close)
{
	bool		enabled,
				forced;
	bool		closed;

	if (!exists(side))
		return;
	row_security_of(side, &enabled, &forced);
	closed = close || (enabled && (m->row_security || ffs_registry_has_user_policy(m->relid, false)));
	drop_trigger(side, "ffstorage_read_only");
	drop_policy(side, POLICY_TENANT);
	drop_policy(side, POLICY_OPEN);
	drop_policy(side, POLICY_MAY_READ);
	if (!ffs_registry_has_user_policy(side, false))
		set_row_security(side, false, false);
	if (closed)
		sync_rights_of(side, NIL);
}

/* ---- who may read what stands beside ---- */

/* May the current role SELECT the whole table, and does no policy of the table's own bind it? */
bool
ffs_registry_may_read(Oid relid)
{
	Oid			role = GetUserId();
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		bound = false;
	bool		open = false;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (pg_class_aclcheck(relid, role, ACL_SELECT) != ACLCHECK_OK)
		bound = true;
	else if (form->relrowsecurity && !has_bypassrls_privilege(role) &&
			 (form->relforcerowsecurity || !has_privs_of_role(role, form->relowner)))
	{
		foreach(lc, policies_of(relid))
		{
			PolicyInfo *policy = lfirst(lc);
			ListCell   *rc;

			if (policy->command != '*' && policy->command != ACL_SELECT_CHR)
				continue;
			foreach(rc, policy->roles)
			{
				if (OidIsValid(lfirst_oid(rc)) && !has_privs_of_role(role, lfirst_oid(rc)))
					continue;
				if (!is_our_policy(policy->name))
					bound = true;
				else if (policy->permissive)
					open = true;
			}
		}
		if (!open)
			bound = true;
	}
	ReleaseSysCache(tuple);
	return !bound;
}

/*
 * may_read(managed regclass) returns boolean
 *
 * The condition of the policy on what stands beside a table: only who may
 * read all of the table may read its past.  Raises instead of giving false,
 * since rows that are silently missing would be a wrong past.
 */
Datum
may_read(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid),
				 errdetail("A policy on what stood beside it still asks for it."),
				 errhint("Call ffs_manage() again for the table.")));
	if (!ffs_registry_may_read(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for what stands beside table \"%s\"", get_rel_name(relid)),
				 errdetail("Its past is open only to roles that may SELECT the whole table and that no policy of it binds."),
				 errhint("Read the table itself, or ask its owner.")));
	PG_RETURN_BOOL(true);
}
