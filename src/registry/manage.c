/*-------------------------------------------------------------------------
 *
 * manage.c
 *		ffs_manage, ffs_unmanage, ffs_unmanage_all.
 *
 * ffs_manage is written as a change-over from what the catalog says to what
 * the caller says, with "not managed" as the first state: it refuses what
 * cannot be, lets go of what is no longer wanted, and then adds whatever is
 * missing.  Run again with the same words it finds nothing to do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/call.h"
#include "registry/internal.h"

FFS_CALL(ffs_manage);
FFS_CALL(ffs_unmanage);
FFS_CALL(ffs_unmanage_all);

/* ---- what cannot be managed ---- */

static void
refuse_kind(Oid relid, const char *what, const char *hint) pg_attribute_noreturn();

static void
refuse_kind(Oid relid, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_UNSUPPORTED_RELATION),
			 errmsg("ffstorage cannot manage \"%s\"", get_rel_name(relid)),
			 errdetail("It is %s.", what),
			 errhint("%s", hint)));
}

static void
check_owner(Oid relid)
{
	if (!ffs_compat_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errdetail("Only its owner decides what stands beside a table."),
				 errhint("Call it as a role that owns the table, or is a member of its owner.")));
}

static void
check_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid),
				 errdetail("It may have been dropped meanwhile."),
				 errhint("Name a table that exists.")));
	form = (Form_pg_class) GETSTRUCT(tuple);

	if (IsCatalogRelationOid(relid) || IsToastNamespace(form->relnamespace) ||
		relid < FirstNormalObjectId)
		refuse_kind(relid, "a system catalog", "Manage a table of your own.");
	if (form->relnamespace == get_namespace_oid(FFS_SCHEMA, true))
		refuse_kind(relid, "part of ffstorage itself", "Manage a table of your own.");
	check_owner(relid);
	switch (form->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			break;
		case RELKIND_VIEW:
			refuse_kind(relid, "a view", "Manage the tables that it reads.");
		case RELKIND_MATVIEW:
			refuse_kind(relid, "a materialized view", "Manage the tables that it reads.");
		case RELKIND_FOREIGN_TABLE:
			refuse_kind(relid, "a foreign table", "Manage the table on the server that holds it.");
		case RELKIND_SEQUENCE:
			refuse_kind(relid, "a sequence", "Manage the table that uses it.");
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			refuse_kind(relid, "an index", "Manage the table that it is on.");
		case RELKIND_COMPOSITE_TYPE:
			refuse_kind(relid, "a composite type", "Manage a table of that type.");
		default:
			refuse_kind(relid, "not a table", "Manage an ordinary or a partitioned table.");
	}
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		refuse_kind(relid, "a temporary table", "Use a permanent table: history outlives the session.");
	if (form->relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse_kind(relid, "an unlogged table", "ALTER TABLE ... SET LOGGED first: an unlogged table is emptied by a crash.");
	if (form->relispartition)
		refuse_kind(relid, "a partition", "Manage the root of the partitioned table; its partitions come with it.");
	if (OidIsValid(form->reloftype))
		refuse_kind(relid, "a typed table", "ALTER TABLE ... NOT OF first.");
	if (form->relkind == RELKIND_RELATION &&
		(has_superclass(relid) || find_inheritance_children(relid, NoLock) != NIL))
		refuse_kind(relid, "part of an inheritance tree",
					"Use declarative partitioning, or ALTER TABLE ... NO INHERIT first.");
	ReleaseSysCache(tuple);

	foreach(lc, ffs_registry_all())
	{
		FfsManaged *other = ffs_registry_load(lfirst_oid(lc));

		if (other != NULL &&
			(relid == other->history || relid == other->audit || relid == other->deleted))
			refuse_kind(relid, psprintf("what stands beside table %s", ffs_base_relation_name(other->relid)),
						"Manage the table itself.");
	}
}

/* Partitions of every level must be of a kind that can carry triggers and policies. */
static void
check_partitions(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Oid			member = lfirst_oid(lc);
		char		kind = get_rel_relkind(member);

		if (kind == RELKIND_FOREIGN_TABLE)
			refuse_kind(relid, psprintf("partly on another server, in its foreign partition \"%s\"",
										get_rel_name(member)),
						"DETACH the foreign partition first.");
		if (get_rel_persistence(member) != RELPERSISTENCE_PERMANENT)
			refuse_kind(relid, psprintf("partly unlogged or temporary, in its partition \"%s\"",
										get_rel_name(member)),
						"ALTER TABLE ... SET LOGGED for the partition first.");
	}
}

/* ---- the caller's words ---- */

static void
refuse_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("\"%s\" must not be NULL", argument),
			 errdetail("The argument says how the table is to be managed."),
			 errhint("Give a value, or leave the argument out for its default.")));
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static List *
parse_exclude(ArrayType *array)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;
	List	   *result = NIL;
	List	   *unique = NIL;
	ListCell   *lc;

	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			refuse_null("exclude");
		result = lappend(result, pstrdup(NameStr(*DatumGetName(names[i]))));
	}
	list_sort(result, compare_names);
	foreach(lc, result)
	{
		if (unique == NIL || strcmp(llast(unique), lfirst(lc)) != 0)
			unique = lappend(unique, lfirst(lc));
	}
	return unique;
}

static void
refuse_columns(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"columns\""),
			 errdetail("%s", detail),
			 errhint("Give an object such as {\"created_by\": \"creator\"}; our names are created_at, created_by,"
					 " updated_at, updated_by, version, valid_from and transaction_id.")));
}

static void
parse_columns(FfsManaged *m, Jsonb *columns)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			stamp = -1;

	for (int i = 0; i < FFS_NSTAMPS; i++)
		m->columns[i] = pstrdup(ffs_registry_stamp_names[i]);
	if (columns == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(columns))
		refuse_columns("It is not a JSON object.");

	it = JsonbIteratorInit(&columns->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char	   *key = pnstrdup(value.val.string.val, value.val.string.len);

			stamp = -1;
			for (int i = 0; i < FFS_NSTAMPS; i++)
			{
				if (strcmp(key, ffs_registry_stamp_names[i]) == 0)
					stamp = i;
			}
			if (stamp < 0)
				refuse_columns(psprintf("\"%s\" is no column of ours.", key));
		}
		else if (token == WJB_VALUE)
		{
			if (value.type != jbvString || value.val.string.len == 0)
				refuse_columns(psprintf("The column for \"%s\" is not given as a name.",
										ffs_registry_stamp_names[stamp]));
			m->columns[stamp] = pnstrdup(value.val.string.val, value.val.string.len);
		}
	}
}

/* ---- changing over ---- */

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
still_used(FfsManaged *m, const char *name)
{
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (ffs_registry_uses_stamp(m, i) && strcmp(m->columns[i], name) == 0)
			return true;
	}
	return m->tenant_column != NULL && strcmp(m->tenant_column, name) == 0;
}

static void
check_change(FfsManaged *old, FfsManaged *m)
{
	if (old->strategy == FFS_STRATEGY_SCD2 && m->strategy == FFS_STRATEGY_SCD2)
	{
		for (int i = FFS_VERSION; i < FFS_NSTAMPS; i++)
		{
			if (strcmp(old->columns[i], m->columns[i]) != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("another column cannot take the place of \"%s\" now", old->columns[i]),
						 errdetail("History names it as \"%s\".", ffs_registry_stamp_names[i]),
						 errhint("ALTER TABLE ... RENAME COLUMN carries over to history by itself.")));
		}
	}
}

static bool
relation_is_there(Oid relid)
{
	return OidIsValid(relid) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/* Let go of what the new words no longer ask for. */
static void
let_go(FfsManaged *old, FfsManaged *m)
{
	bool		views = false;
	bool		close = m->tenant_column != NULL;	/* the boundary would not cover it any more */

	if (old->strategy == FFS_STRATEGY_SCD2 && m->strategy != FFS_STRATEGY_SCD2)
	{
		views = true;
		ffs_registry_drop_views(m, true);
		ffs_registry_release_side(old, old->history, close);
		m->history = InvalidOid;
	}
	if (old->soft_delete && !m->soft_delete)
	{
		if (!views)
			ffs_registry_drop_views(m, false);
		ffs_registry_release_side(old, old->deleted, close);
		m->deleted = InvalidOid;
	}
	if (old->strategy == FFS_STRATEGY_COPY_ON_CHANGE && m->strategy != FFS_STRATEGY_COPY_ON_CHANGE)
	{
		ffs_registry_release_side(old, old->audit, close);
		m->audit = InvalidOid;
	}
	if (old->tenant_column != NULL && !same_text(old->tenant_column, m->tenant_column))
	{
		Oid			sides[3] = {m->history, m->audit, m->deleted};

		ffs_registry_drop_tenant_policies(old);
		for (int i = 0; i < 3; i++)
		{
			if (relation_is_there(sides[i]) && ffs_registry_has_policy(sides[i], "ffstorage_tenant"))
				ffs_base_run(SPI_OK_UTILITY, "DROP POLICY ffstorage_tenant ON %s",
							 ffs_base_relation_name(sides[i]));
		}
	}

	for (ListCell *lc = list_head(old->found_columns); lc != NULL; lc = lnext(old->found_columns, lc))
	{
		FfsFoundColumn *found = lfirst(lc);

		if (still_used(m, found->name))
			continue;
		ffs_registry_restore_column(old, old->relid, found, false);
		m->found_columns = list_delete_ptr(list_copy(m->found_columns), found);
	}
}

/* Remember how row-level security stood before we turn it on. */
static void
remember_row_security(FfsManaged *m)
{
	ListCell   *lc;

	m->found_partitions = NIL;
	foreach(lc, ffs_registry_members(m->relid))
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel = table_open(relid, AccessShareLock);
		bool		enabled = rel->rd_rel->relrowsecurity;
		bool		forced = rel->rd_rel->relforcerowsecurity;

		table_close(rel, NoLock);
		if (relid == m->relid)
		{
			m->row_security = enabled;
			m->force_row_security = forced;
		}
		else if (enabled || forced)
		{
			FfsFoundPartition *partition = palloc0(sizeof(FfsFoundPartition));

			partition->name = ffs_base_relation_name(relid);
			partition->row_security = enabled;
			partition->force_row_security = forced;
			m->found_partitions = lappend(m->found_partitions, partition);
		}
	}
}

static void
set_force(List *relids, const char *force)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		FfsDdl		ddl;

		ffs_registry_begin_ddl(&ddl, lfirst_oid(lc));
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s %s ROW LEVEL SECURITY",
					 ffs_base_relation_name(lfirst_oid(lc)), force);
		ffs_registry_end_ddl(&ddl, false);
	}
}

/* The owner must see every row while we stamp and copy them. */
static List *
suspend_force(Oid rootid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, ffs_registry_members(rootid))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);

		if (rel->rd_rel->relforcerowsecurity)
			result = lappend_oid(result, lfirst_oid(lc));
		table_close(rel, NoLock);
	}
	set_force(result, "NO FORCE");
	return result;
}

static bool
same_words(FfsManaged *old, FfsManaged *m)
{
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (strcmp(old->columns[i], m->columns[i]) != 0)
			return false;
	}
	return old->strategy == m->strategy && old->soft_delete == m->soft_delete &&
		old->stamps == m->stamps && same_text(old->tenant_column, m->tenant_column);
}

/* Everything is there that must be: nothing will be read or stamped. */
static bool
sides_are_there(FfsManaged *m)
{
	return (m->strategy != FFS_STRATEGY_SCD2 || relation_is_there(m->history)) &&
		(m->strategy != FFS_STRATEGY_COPY_ON_CHANGE || relation_is_there(m->audit)) &&
		(!m->soft_delete || relation_is_there(m->deleted));
}

/* Bring the table from `old` (NULL: not managed) to `m`. */
static void
change_over(FfsManaged *old, FfsManaged *m)
{
	bool		touches_rows = old == NULL || !same_words(old, m) || !sides_are_there(m);
	bool		new_tenant = m->tenant_column != NULL &&
	(old == NULL || !same_text(old->tenant_column, m->tenant_column));
	List	   *forced = NIL;

	if (old != NULL)
		let_go(old, m);
	/* with a tenant before, what was found then still holds */
	if (old == NULL || (old->tenant_column == NULL && m->tenant_column != NULL))
		remember_row_security(m);
	if (touches_rows)
		forced = suspend_force(m->relid);

	ffs_registry_add_columns(m);
	if (old != NULL)
	{
		if (new_tenant && relation_is_there(m->audit))
			ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY",
						 ffs_base_relation_name(m->audit));
		ffs_registry_sync_side_columns(m);
		if (new_tenant && relation_is_there(m->audit))
			ffs_registry_fill_audit_tenant(m);
		/* views show all columns: a missing one means that they are old */
		if (!same_words(old, m) && (OidIsValid(m->versions) || OidIsValid(m->with_deleted)))
			ffs_registry_drop_views(m, false);
	}
	ffs_registry_make_side(m);
	ffs_registry_make_views(m);

	set_force(forced, "FORCE");
	ffs_registry_dress(m);
	ffs_registry_store(m);
}

static Datum
ffs_manage_call(PG_FUNCTION_ARGS)
{
	Oid			relid;
	FfsManaged *old;
	FfsManaged *m;
	char	   *strategy;
	FfsDdl		ddl;
	volatile bool failed = true;
	bool		isnull;

	if (PG_ARGISNULL(0))
		refuse_null("relation");
	if (PG_ARGISNULL(1))
		refuse_null("strategy");
	if (PG_ARGISNULL(3))
		refuse_null("soft_delete");
	if (PG_ARGISNULL(5))
		refuse_null("stamps");
	relid = PG_GETARG_OID(0);

	SPI_connect();
	check_relation(relid);
	LockRelationOid(relid, ffs_registry_load(relid) != NULL ? ShareRowExclusiveLock : AccessExclusiveLock);
	check_relation(relid);		/* again: it may have changed while we waited */
	check_partitions(relid);

	old = ffs_registry_load(relid);
	m = ffs_registry_load(relid);
	if (m == NULL)
	{
		m = palloc0(sizeof(FfsManaged));
		m->relid = relid;
		/* what the rows that are there will be stamped with */
		ffs_base_run(SPI_OK_SELECT, "SELECT ffstorage.stamp_time()");
		m->managed_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	strategy = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!ffs_registry_parse_strategy(strategy, &m->strategy))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown strategy \"%s\"", strategy),
				 errdetail("A strategy says how much of the past of a table is kept."),
				 errhint("Use none, copy_on_change or scd2.")));
	m->tenant_column = PG_ARGISNULL(2) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(2)));
	m->soft_delete = PG_GETARG_BOOL(3);
	m->exclude = PG_ARGISNULL(4) ? NIL : parse_exclude(PG_GETARG_ARRAYTYPE_P(4));
	m->stamps = PG_GETARG_BOOL(5);
	parse_columns(m, PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6));

	ffs_registry_check_columns(m);
	if (old != NULL)
		check_change(old, m);
	ffs_registry_check_side(m, old != NULL && relation_is_there(old->history),
							old != NULL && relation_is_there(old->audit),
							old != NULL && relation_is_there(old->deleted));

	ffs_registry_begin_ddl(&ddl, relid);
	PG_TRY();
	{
		change_over(old, m);
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---- taking out again ---- */

static bool
is_version_column(FfsManaged *m, const char *name)
{
	for (int i = FFS_VERSION; i < FFS_NSTAMPS; i++)
	{
		if (strcmp(m->columns[i], name) == 0)
			return true;
	}
	return false;
}

static void
take_out(FfsManaged *m, bool keep_history)
{
	Oid			sides[3] = {m->history, m->audit, m->deleted};
	ListCell   *lc;
	FfsRights	rights;

	ffs_registry_drop_views(m, true);
	ffs_registry_undress(m);
	for (int i = 0; i < 3; i++)
	{
		if (!relation_is_there(sides[i]))
			continue;
		if (keep_history)
			ffs_registry_release_side(m, sides[i], false);
		else
			ffs_base_run(SPI_OK_UTILITY, "DROP TABLE %s", ffs_base_relation_name(sides[i]));
	}
	foreach(lc, m->found_columns)
	{
		FfsFoundColumn *found = lfirst(lc);

		ffs_registry_restore_column(m, m->relid, found, !keep_history && is_version_column(m, found->name));
	}
	if (!keep_history)
	{
		ffs_base_begin_as(&rights, ffs_base_owner());
		ffs_base_run(SPI_OK_DELETE, "DELETE FROM ffstorage.rekeys WHERE relation = %u", m->relid);
		ffs_base_end_as(&rights);
	}
	ffs_registry_forget(m->relid);
}

static void
unmanage(Oid relid, bool keep_history)
{
	FfsManaged *m;
	FfsDdl		ddl;
	volatile bool failed = true;

	check_owner(relid);
	LockRelationOid(relid, AccessExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;					/* dropped while we waited, its row with it */
	check_owner(relid);
	m = ffs_registry_load(relid);
	if (m == NULL)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_NOT_MANAGED),
				 errmsg("table \"%s\" is not managed by ffstorage", get_rel_name(relid)),
				 errdetail("It has no row in ffs_tables."),
				 errhint("Name a table that ffs_tables lists; of a partitioned table, the root.")));
	/* partitions too, in the order in which everyone takes them */
	(void) find_all_inheritors(relid, AccessExclusiveLock, NULL);

	ffs_registry_begin_ddl(&ddl, relid);
	PG_TRY();
	{
		take_out(m, keep_history);
		failed = false;
	}
	PG_FINALLY();
	{
		ffs_registry_end_ddl(&ddl, failed);
	}
	PG_END_TRY();
}

static Datum
ffs_unmanage_call(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		refuse_null("relation");
	if (PG_ARGISNULL(1))
		refuse_null("keep_history");
	if (get_rel_name(PG_GETARG_OID(0)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(0)),
				 errdetail("It may have been dropped meanwhile."),
				 errhint("Name a table that ffs_tables lists.")));
	SPI_connect();
	unmanage(PG_GETARG_OID(0), PG_GETARG_BOOL(1));
	SPI_finish();
	PG_RETURN_VOID();
}

static Datum
ffs_unmanage_all_call(PG_FUNCTION_ARGS)
{
	int			count = 0;
	ListCell   *lc;

	SPI_connect();
	foreach(lc, ffs_registry_all())
	{
		Oid			relid = lfirst_oid(lc);

		CHECK_FOR_INTERRUPTS();
		if (get_rel_name(relid) == NULL)
		{
			/* dropped while nobody followed: only the row is left */
			ffs_registry_forget(relid);
			continue;
		}
		unmanage(relid, true);
		count++;
	}
	SPI_finish();
	PG_RETURN_INT32(count);
}
