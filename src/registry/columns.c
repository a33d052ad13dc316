/*-------------------------------------------------------------------------
 *
 * columns.c
 *		The table's own columns: what must be there, what ffstorage adds, and
 *		how it is put back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupdesc.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "registry/internal.h"
#include "tenancy/tenancy.h"

typedef struct StampColumn
{
	Oid			type;
	const char *type_name;
	const char *default_expr;
	bool		not_null;
} StampColumn;

static const StampColumn stamp_columns[FFS_NSTAMPS] = {
	{TIMESTAMPTZOID, "timestamp with time zone", "ffstorage.stamp_time()", false},
	{TEXTOID, "text", "ffstorage.stamp_actor()", false},
	{TIMESTAMPTZOID, "timestamp with time zone", "ffstorage.stamp_time()", false},
	{TEXTOID, "text", "ffstorage.stamp_actor()", false},
	{INT4OID, "integer", "1", true},
	{TIMESTAMPTZOID, "timestamp with time zone", "ffstorage.stamp_time()", true},
	{XID8OID, "xid8", "ffstorage.stamp_xid()", true},
};

/* ---- looking ---- */

/* The relation's descriptor, copied.  The caller holds a lock. */
TupleDesc
ffs_registry_columns_of(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(rel));

	/* CreateTupleDescCopy forgets these, and we ask for them */
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute from = TupleDescAttr(RelationGetDescr(rel), i);
		Form_pg_attribute to = TupleDescAttr(desc, i);

		to->attnotnull = from->attnotnull;
		to->atthasdef = from->atthasdef;
		to->attidentity = from->attidentity;
		to->attgenerated = from->attgenerated;
	}
	table_close(rel, NoLock);
	return desc;
}

Form_pg_attribute
ffs_registry_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	return NULL;
}

/* The names of the primary key's columns, in key order; NIL where there is none. */
List *
ffs_registry_key_of(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	List	   *result = NIL;
	ListCell   *lc;

	/* rd_pkindex leaves deferrable ones out on some versions: look ourselves */
	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
		{
			for (int i = 0; i < index->indnkeyatts; i++)
			{
				Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), index->indkey.values[i] - 1);

				result = lappend(result, pstrdup(NameStr(att->attname)));
			}
		}
		ReleaseSysCache(tuple);
	}
	table_close(rel, NoLock);
	return result;
}

/* A column's default as text, NULL where there is none. */
char *
ffs_registry_default_of(Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	char	   *result = NULL;

	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
	{
		if (constr->defval[i].adnum == attnum)
		{
			Node	   *expr = stringToNode(constr->defval[i].adbin);

			result = deparse_expression(expr, deparse_context_for(RelationGetRelationName(rel), relid),
										false, false);
		}
	}
	table_close(rel, NoLock);
	return result;
}

static bool
is_our_default(const char *expr)
{
	return expr != NULL &&
		(strncmp(expr, FFS_SCHEMA ".stamp_", strlen(FFS_SCHEMA ".stamp_")) == 0 ||
		 strncmp(expr, FFS_SCHEMA ".tenant_", strlen(FFS_SCHEMA ".tenant_")) == 0);
}

/* ---- checking ---- */

static void
check_stamp(FfsManaged *m, TupleDesc desc, List *key, FfsStamp stamp)
{
	const char *name = m->columns[stamp];
	bool		mapped = strcmp(name, ffs_registry_stamp_names[stamp]) != 0;
	Form_pg_attribute att = ffs_registry_column(desc, name);
	const char *table = get_rel_name(m->relid);

	if (att == NULL)
	{
		if (mapped)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", name, table),
					 errdetail("It was to serve as \"%s\".", ffs_registry_stamp_names[stamp]),
					 errhint("Name a column of the table in \"columns\", or leave \"%s\" out to have it added.",
							 ffs_registry_stamp_names[stamp])));
		return;
	}
	if (att->atttypid != stamp_columns[stamp].type || att->atttypmod != -1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s", name, table,
						format_type_with_typemod(att->atttypid, att->atttypmod)),
				 errdetail("ffstorage needs it as \"%s\", of type %s.",
						   ffs_registry_stamp_names[stamp], stamp_columns[stamp].type_name),
				 stamp < FFS_VERSION
				 ? errhint("Change its type or rename it, name another column in \"columns\", or do without: stamps => false.")
				 : errhint("Change its type or rename it, or name another column in \"columns\".")));
	if (att->attgenerated || att->attidentity)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" of table \"%s\" is filled by PostgreSQL itself", name, table),
				 errdetail("A generated or identity column cannot serve as \"%s\".",
						   ffs_registry_stamp_names[stamp]),
				 errhint("Rename it, or name another column in \"columns\".")));
	if (ffs_registry_name_in(key, name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("column \"%s\" of table \"%s\" is part of the primary key", name, table),
				 errdetail("ffstorage changes \"%s\" with every write.", ffs_registry_stamp_names[stamp]),
				 errhint("Rename it, or name another column in \"columns\".")));
}

static void
check_tenant_column(FfsManaged *m, TupleDesc desc)
{
	Form_pg_attribute att = ffs_registry_column(desc, m->tenant_column);
	const char *table = get_rel_name(m->relid);

	if (att == NULL)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
				 errmsg("table \"%s\" has no column \"%s\" to hold the tenant", table, m->tenant_column),
				 errdetail("ffstorage does not add a tenant column: it could not know whose the rows are."),
				 errhint("ALTER TABLE ... ADD COLUMN it, fill it, and make it NOT NULL first.")));
	if (!ffs_tenancy_type_ok(att->atttypid))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
				 errmsg("tenant column \"%s\" of table \"%s\" has type %s", m->tenant_column, table,
						format_type_with_typemod(att->atttypid, att->atttypmod)),
				 errdetail("A tenant column is of type uuid, text, smallint, integer or bigint."),
				 errhint("Change its type with ALTER TABLE ... ALTER COLUMN ... TYPE.")));
	/* The check of writes and the cache compare tenants byte by byte, policies by the column's collation. */
	if (OidIsValid(att->attcollation) && !get_collation_isdeterministic(att->attcollation))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
				 errmsg("tenant column \"%s\" of table \"%s\" has the nondeterministic collation \"%s\"", m->tenant_column, table,
						get_collation_name(att->attcollation)),
				 errdetail("By such a collation, different tenants can be equal."),
				 errhint("ALTER TABLE ... ALTER COLUMN ... TYPE text COLLATE \"C\" first.")));
	if (!att->attnotnull)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
				 errmsg("tenant column \"%s\" of table \"%s\" may be NULL", m->tenant_column, table),
				 errdetail("A row without a tenant would belong to nobody."),
				 errhint("ALTER TABLE ... ALTER COLUMN ... SET NOT NULL first.")));
	if (att->attgenerated || att->attidentity)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
				 errmsg("tenant column \"%s\" of table \"%s\" is filled by PostgreSQL itself",
						m->tenant_column, table),
				 errdetail("A generated or identity column cannot say whose a row is."),
				 errhint("Use an ordinary column.")));
}

static void
check_special(FfsManaged *m, TupleDesc desc, const char **special, const char *what, List *only)
{
	for (int i = 0; special[i] != NULL; i++)
	{
		if (only != NIL ? ffs_registry_name_in(only, special[i]) : ffs_registry_column(desc, special[i]) != NULL)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_NAME_TAKEN),
					 errmsg("column \"%s\" of table \"%s\" has a name that its %s needs",
							special[i], get_rel_name(m->relid), what),
					 errdetail("What stands beside the table has the table's columns and columns of its own."),
					 errhint("Rename the column of the table.")));
	}
}

/* Refuse what cannot be managed the way `m` says. */
void
ffs_registry_check_columns(FfsManaged *m)
{
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	List	   *key = ffs_registry_key_of(m->relid);
	const char *table = get_rel_name(m->relid);
	ListCell   *lc;

	if (key == NIL && m->strategy != FFS_STRATEGY_NONE)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_KEY_MISSING),
				 errmsg("table \"%s\" has no primary key", table),
				 errdetail("Strategy %s keeps the life of each row by its key.",
						   ffs_registry_strategy_name(m->strategy)),
				 errhint("ALTER TABLE ... ADD PRIMARY KEY first, or use strategy => 'none'.")));

	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (!ffs_registry_uses_stamp(m, i))
			continue;
		check_stamp(m, desc, key, i);
		for (int j = 0; j < i; j++)
		{
			if (ffs_registry_uses_stamp(m, j) && strcmp(m->columns[i], m->columns[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("column \"%s\" cannot serve as both \"%s\" and \"%s\"", m->columns[i],
								ffs_registry_stamp_names[j], ffs_registry_stamp_names[i]),
						 errdetail("Each column of ours needs a column of its own."),
						 errhint("Correct \"columns\".")));
		}
		if (m->tenant_column != NULL && strcmp(m->tenant_column, m->columns[i]) == 0)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_TENANT_COLUMN_INVALID),
					 errmsg("column \"%s\" of table \"%s\" is filled by ffstorage", m->tenant_column, table),
					 errdetail("It serves as \"%s\".", ffs_registry_stamp_names[i]),
					 errhint("Name the column that says whose a row is.")));
		if (ffs_registry_name_in(m->exclude, m->columns[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot be excluded", m->columns[i]),
					 errdetail("It is filled by ffstorage and never counts as a change."),
					 errhint("Leave it out of \"exclude\".")));
	}

	if (m->tenant_column != NULL)
		check_tenant_column(m, desc);

	foreach(lc, m->exclude)
	{
		const char *name = lfirst(lc);

		if (ffs_registry_column(desc, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", name, table),
					 errdetail("It was to be excluded."),
					 errhint("Name columns of the table in \"exclude\".")));
		if (ffs_registry_name_in(key, name) || (m->tenant_column != NULL && strcmp(m->tenant_column, name) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot be excluded", name),
					 errdetail("Key and tenant columns always count."),
					 errhint("Leave it out of \"exclude\".")));
	}

	if (m->strategy == FFS_STRATEGY_SCD2)
		check_special(m, desc, ffs_registry_history_special, "history", NIL);
	if (m->soft_delete)
		check_special(m, desc, ffs_registry_deleted_special, "table of deleted rows", NIL);
	if (m->strategy == FFS_STRATEGY_COPY_ON_CHANGE)
	{
		if (m->tenant_column != NULL)
			key = lappend(key, m->tenant_column);
		check_special(m, desc, ffs_registry_audit_special, "audit table", key);
	}
}

/* ---- adding ---- */

/* Remember how a column was before we touch it. */
static void
remember(FfsManaged *m, const char *name, Form_pg_attribute att)
{
	FfsFoundColumn *found = ffs_registry_found_column(m, name);

	if (found != NULL)
		return;
	found = palloc0(sizeof(FfsFoundColumn));
	found->name = pstrdup(name);
	found->added = att == NULL;
	if (att != NULL)
	{
		found->not_null = att->attnotnull;
		found->default_expr = ffs_registry_default_of(m->relid, att->attnum);
		if (is_our_default(found->default_expr))
			found->default_expr = NULL;
	}
	m->found_columns = lappend(m->found_columns, found);
}

typedef struct SilencedTrigger
{
	Oid			relid;
	char	   *name;
	char		enabled;
} SilencedTrigger;

static void
alter_trigger(SilencedTrigger *s, const char *what)
{
	FfsDdl		ddl;

	ffs_registry_begin_ddl(&ddl, s->relid);
	ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE ONLY %s %s TRIGGER %s",
				 ffs_base_relation_name(s->relid), what, quote_identifier(s->name));
	ffs_registry_end_ddl(&ddl, false);
}

/* Users' triggers are not to hear of it when we stamp rows that are there. */
static List *
silence_triggers(Oid rootid)
{
	List	   *silenced = NIL;
	ListCell   *lc;

	foreach(lc, ffs_registry_members(rootid))
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);

		for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		{
			Trigger    *trigger = &rel->trigdesc->triggers[i];
			SilencedTrigger *s;

			if (trigger->tgisinternal || trigger->tgenabled == TRIGGER_DISABLED)
				continue;
			s = palloc(sizeof(SilencedTrigger));
			s->relid = lfirst_oid(lc);
			s->name = pstrdup(trigger->tgname);
			s->enabled = trigger->tgenabled;
			silenced = lappend(silenced, s);
		}
		table_close(rel, NoLock);
	}
	foreach(lc, silenced)
	{
		SilencedTrigger *s = lfirst(lc);

		alter_trigger(s, "DISABLE");
	}
	return silenced;
}

static void
restore_triggers(List *silenced)
{
	ListCell   *lc;

	foreach(lc, silenced)
	{
		SilencedTrigger *s = lfirst(lc);

		alter_trigger(s, s->enabled == TRIGGER_FIRES_ON_REPLICA ? "ENABLE REPLICA" :
					  s->enabled == TRIGGER_FIRES_ALWAYS ? "ENABLE ALWAYS" : "ENABLE");
	}
}

/*
 * Columns that were there under a name of ours begin with our values: what
 * they held meant something else, or ended with an earlier management.
 */
static void
reset_columns(FfsManaged *m, List *stamps)
{
	StringInfoData set;
	List	   *silenced;
	ListCell   *lc;

	initStringInfo(&set);
	foreach(lc, stamps)
	{
		int			stamp = lfirst_int(lc);

		appendStringInfo(&set, "%s%s = %s", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(m->columns[stamp]), stamp_columns[stamp].default_expr);
	}
	silenced = silence_triggers(m->relid);
	ffs_base_run(SPI_OK_UPDATE, "UPDATE %s SET %s", ffs_base_relation_name(m->relid), set.data);
	restore_triggers(silenced);
}

/*
 * Bring the table's own columns to what `m` asks for.  Row-level security
 * must not stand between the owner and the rows here: the caller has seen to
 * it.
 */
void
ffs_registry_add_columns(FfsManaged *m)
{
	char	   *table = ffs_base_relation_name(m->relid);
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	StringInfoData alter;
	StringInfoData not_null;
	List	   *reset = NIL;

	initStringInfo(&alter);
	initStringInfo(&not_null);
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		const StampColumn *stamp = &stamp_columns[i];
		const char *name = m->columns[i];
		Form_pg_attribute att = ffs_registry_column(desc, name);
		bool		known = ffs_registry_found_column(m, name) != NULL;
		char	   *default_now;

		if (!ffs_registry_uses_stamp(m, i))
			continue;
		remember(m, name, att);
		if (att == NULL)
		{
			appendStringInfo(&alter, "%s ADD COLUMN %s %s DEFAULT %s%s", alter.len ? "," : "",
							 quote_identifier(name), stamp->type_name, stamp->default_expr,
							 stamp->not_null ? " NOT NULL" : "");
			continue;
		}
		default_now = ffs_registry_default_of(m->relid, att->attnum);
		if (default_now == NULL || strcmp(default_now, stamp->default_expr) != 0)
			appendStringInfo(&alter, "%s ALTER COLUMN %s SET DEFAULT %s", alter.len ? "," : "",
							 quote_identifier(name), stamp->default_expr);
		if (stamp->not_null && !known)
			reset = lappend_int(reset, i);
		if (stamp->not_null && !att->attnotnull)
			appendStringInfo(&not_null, "%s ALTER COLUMN %s SET NOT NULL", not_null.len ? "," : "",
							 quote_identifier(name));
	}
	if (m->tenant_column != NULL)
	{
		Form_pg_attribute att = ffs_registry_column(desc, m->tenant_column);
		char	   *wanted = psprintf("%s.%s()", FFS_SCHEMA, ffs_tenancy_function(att->atttypid));
		char	   *default_now = ffs_registry_default_of(m->relid, att->attnum);

		remember(m, m->tenant_column, att);
		if (default_now == NULL || strcmp(default_now, wanted) != 0)
			appendStringInfo(&alter, "%s ALTER COLUMN %s SET DEFAULT %s", alter.len ? "," : "",
							 quote_identifier(m->tenant_column), wanted);
	}

	if (alter.len > 0)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s%s", table, alter.data);
	if (reset != NIL)
		reset_columns(m, reset);
	if (not_null.len > 0)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s%s", table, not_null.data);
}

/*
 * Put a column back to how it was found: its default, whether it may be NULL.
 * A column that we added is dropped if asked; its values stay otherwise.
 * `relid` is the table, or a partition that left it.
 */
void
ffs_registry_restore_column(FfsManaged *m, Oid relid, FfsFoundColumn *found, bool drop_added)
{
	TupleDesc	desc = ffs_registry_columns_of(relid);
	Form_pg_attribute att = ffs_registry_column(desc, found->name);
	char	   *table = ffs_base_relation_name(relid);
	char	   *default_now;

	FfsDdl		ddl;

	if (att == NULL)
		return;
	ffs_registry_begin_ddl(&ddl, relid);
	if (found->added && drop_added)
	{
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s DROP COLUMN %s", table, quote_identifier(found->name));
		ffs_registry_end_ddl(&ddl, false);
		return;
	}
	default_now = ffs_registry_default_of(relid, att->attnum);
	if (is_our_default(default_now) ||
		(default_now != NULL && strcmp(default_now, "1") == 0 &&
		 strcmp(found->name, m->columns[FFS_VERSION]) == 0))
	{
		if (found->default_expr != NULL)
			ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", table,
						 quote_identifier(found->name), found->default_expr);
		else
			ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", table,
						 quote_identifier(found->name));
	}
	if (att->attnotnull && !found->not_null)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", table,
					 quote_identifier(found->name));
	ffs_registry_end_ddl(&ddl, false);
}

/* Take our default off a column. */
void
ffs_registry_drop_default(FfsManaged *m, const char *column)
{
	Form_pg_attribute att = ffs_registry_column(ffs_registry_columns_of(m->relid), column);

	if (att != NULL && is_our_default(ffs_registry_default_of(m->relid, att->attnum)))
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT",
					 ffs_base_relation_name(m->relid), quote_identifier(column));
}
