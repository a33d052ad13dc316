/*-------------------------------------------------------------------------
 *
 * side.c
 *		What stands beside a managed table: history, audit entries, deleted
 *		rows, and the views and functions over them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "registry/internal.h"
#include "registry/key.h"

const char *ffs_registry_history_special[] = {
	"valid_to", "end_operation", "ended_by", "end_transaction_id", "is_current", NULL
};
const char *ffs_registry_audit_special[] = {
	"entry_id", "operation", "field_name", "old_value", "new_value",
	"changed_at", "changed_by", "transaction_id", NULL
};
const char *ffs_registry_deleted_special[] = {
	"deleted_at", "deleted_by", "delete_transaction_id", NULL
};

/* ---- names ---- */

static char *
qualified(FfsManaged *m, const char *name)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(m->relid)), name);
}

/* The name of what stands beside the table under this suffix. */
static char *
beside(FfsManaged *m, const char *suffix)
{
	return ffs_base_side_name(get_rel_name(m->relid), suffix);
}

static void
refuse_taken(FfsManaged *m, const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_NAME_TAKEN),
			 errmsg("%s \"%s\" already exists", what, name),
			 errdetail("ffstorage needs the name beside table \"%s\".", get_rel_name(m->relid)),
			 errhint("Rename or drop it first; it may be what an earlier management left.")));
}

static void
check_relation_free(FfsManaged *m, const char *suffix)
{
	char	   *name = beside(m, suffix);
	Oid			schema = get_rel_namespace(m->relid);

	if (OidIsValid(get_relname_relid(name, schema)))
		refuse_taken(m, name, "relation");
	if (SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema)))
		refuse_taken(m, name, "type");
}

static Oid
find_function(FfsManaged *m, const char *name, int nargs)
{
	Oid			args[2] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	oidvector  *vector = buildoidvector(args, nargs);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(vector), ObjectIdGetDatum(get_rel_namespace(m->relid)));
}

static void
check_function_free(FfsManaged *m, const char *suffix, int nargs)
{
	char	   *name = beside(m, suffix);

	if (OidIsValid(find_function(m, name, nargs)))
		refuse_taken(m, name, "function");
}

/* Refuse names that are in use; `had_` says what is ours already. */
void
ffs_registry_check_side(FfsManaged *m, bool had_history, bool had_audit, bool had_deleted)
{
	if (m->strategy == FFS_STRATEGY_SCD2 && !had_history)
	{
		check_relation_free(m, "_history");
		check_relation_free(m, "_versions");
		check_function_free(m, "_as_of", 1);
		check_function_free(m, "_between", 2);
	}
	if (m->strategy == FFS_STRATEGY_COPY_ON_CHANGE && !had_audit)
		check_relation_free(m, "_audit");
	if (m->soft_delete && !had_deleted)
	{
		check_relation_free(m, "_deleted");
		check_relation_free(m, "_with_deleted");
	}
}

/* ---- column lists ---- */

/* Type, modifier and collation as DDL has them. */
static char *
type_of(Form_pg_attribute att)
{
	char	   *type = format_type_extended(att->atttypid, att->atttypmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);

	if (OidIsValid(att->attcollation) && att->attcollation != get_typcollation(att->atttypid))
		return psprintf("%s COLLATE %s", type, generate_collation_name(att->attcollation));
	return type;
}

static void
append_definitions(StringInfo buf, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			appendStringInfo(buf, "%s %s, ", quote_identifier(NameStr(att->attname)), type_of(att));
	}
}

/* alias.a, alias.b, ... */
static void
append_columns(StringInfo buf, TupleDesc desc, const char *alias)
{
	bool		first = true;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		appendStringInfo(buf, "%s%s.%s", first ? "" : ", ", alias, quote_identifier(NameStr(att->attname)));
		first = false;
	}
}

/* ---- tables ---- */

static Oid
created(FfsManaged *m, const char *name)
{
	Oid			relid = get_relname_relid(name, get_rel_namespace(m->relid));

	if (!OidIsValid(relid))
		elog(ERROR, "relation \"%s\" was not created", name);
	return relid;
}

/* An index under a name beside the table if that is free, else under one that PostgreSQL chooses. */
static char *
index_name(FfsManaged *m, const char *table, const char *suffix)
{
	char	   *name = ffs_base_side_name(table, suffix);

	if (OidIsValid(get_relname_relid(name, get_rel_namespace(m->relid))))
		return pstrdup("");
	return pstrdup(quote_identifier(name));
}

static void
make_history(FfsManaged *m)
{
	char	   *name = beside(m, "_history");
	char	   *table = qualified(m, name);
	const char *valid_from = quote_identifier(m->columns[FFS_VALID_FROM]);
	StringInfoData buf;

	initStringInfo(&buf);
	append_definitions(&buf, ffs_registry_columns_of(m->relid));
	ffs_base_run(SPI_OK_UTILITY,
				 "CREATE TABLE %s (%svalid_to timestamptz NOT NULL, end_operation text NOT NULL,"
				 " ended_by text, end_transaction_id xid8 NOT NULL, PRIMARY KEY (%s, %s))",
				 table, buf.data, ffs_registry_name_list(ffs_registry_key_of(m->relid)), valid_from);
	ffs_base_run(SPI_OK_UTILITY, "COMMENT ON TABLE %s IS %s", table,
				 quote_literal_cstr(psprintf("closed versions of the rows of %s, kept by ffstorage; append only",
											 ffs_base_relation_name(m->relid))));
	m->history = created(m, name);
}

static void
make_audit(FfsManaged *m)
{
	char	   *name = beside(m, "_audit");
	char	   *table = qualified(m, name);
	char	   *sequence = ChooseRelationName(name, "entry_id", "seq", get_rel_namespace(m->relid), false);
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	List	   *key = ffs_registry_key_of(m->relid);
	List	   *columns = list_copy(key);
	int			guc_level;
	StringInfoData buf;
	ListCell   *lc;

	if (m->tenant_column != NULL)
	{
		bool		in_key = false;

		foreach(lc, key)
			in_key |= strcmp(lfirst(lc), m->tenant_column) == 0;
		if (!in_key)
			columns = lappend(columns, m->tenant_column);
	}
	initStringInfo(&buf);
	foreach(lc, columns)
		appendStringInfo(&buf, "%s %s NOT NULL, ", quote_identifier(lfirst(lc)),
						 type_of(ffs_registry_column(desc, lfirst(lc))));

	ffs_base_run(SPI_OK_UTILITY, "CREATE SEQUENCE %s AS bigint", qualified(m, sequence));
	ffs_base_run(SPI_OK_UTILITY,
				 "CREATE TABLE %s (entry_id bigint NOT NULL DEFAULT pg_catalog.nextval(%s), %s"
				 "operation text NOT NULL, field_name text, old_value jsonb, new_value jsonb,"
				 " changed_at timestamptz NOT NULL, changed_by text, transaction_id xid8 NOT NULL,"
				 " PRIMARY KEY (%s, entry_id))",
				 table, quote_literal_cstr(qualified(m, sequence)), buf.data, ffs_registry_name_list(key));
	ffs_base_run(SPI_OK_UTILITY, "ALTER SEQUENCE %s OWNED BY %s.entry_id", qualified(m, sequence), table);
	ffs_base_run(SPI_OK_UTILITY, "COMMENT ON TABLE %s IS %s", table,
				 quote_literal_cstr(psprintf("changes to the rows of %s, kept by ffstorage; append only",
											 ffs_base_relation_name(m->relid))));
	m->audit = created(m, name);

	/* The rows that are there are where its story begins. */
	initStringInfo(&buf);
	foreach(lc, m->exclude)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", quote_literal_cstr(lfirst(lc)));
	guc_level = ffs_registry_begin_plain_output();
	ffs_base_run(SPI_OK_INSERT,
				 "INSERT INTO %s (%s, operation, new_value, changed_at, changed_by, transaction_id)"
				 " SELECT %s, 'baseline', pg_catalog.to_jsonb(ffs_row.*)"
				 " OPERATOR(pg_catalog.-) ARRAY[%s]::pg_catalog.text[], ffstorage.stamp_time(),"
				 " ffstorage.stamp_actor(), ffstorage.stamp_xid() FROM %s ffs_row",
				 table, ffs_registry_name_list(columns), ffs_registry_name_list(columns), buf.data, ffs_base_relation_name(m->relid));
	AtEOXact_GUC(false, guc_level);
}

static void
make_deleted(FfsManaged *m)
{
	char	   *name = beside(m, "_deleted");
	char	   *table = qualified(m, name);
	StringInfoData buf;

	initStringInfo(&buf);
	append_definitions(&buf, ffs_registry_columns_of(m->relid));
	ffs_base_run(SPI_OK_UTILITY,
				 "CREATE TABLE %s (%sdeleted_at timestamptz NOT NULL, deleted_by text,"
				 " delete_transaction_id xid8 NOT NULL)", table, buf.data);
	/* it has no key of its own, and restored rows leave it on subscribers too */
	ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s REPLICA IDENTITY FULL", table);
	ffs_base_run(SPI_OK_UTILITY, "COMMENT ON TABLE %s IS %s", table,
				 quote_literal_cstr(psprintf("deleted rows of %s, kept by ffstorage until restored or purged",
											 ffs_base_relation_name(m->relid))));
	m->deleted = created(m, name);
}

static bool
relation_exists(Oid relid)
{
	return OidIsValid(relid) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

/* ---- indexes ---- */

typedef enum SideIndexKind
{
	PRIMARY_KEY,
	BTREE,
	BRIN
} SideIndexKind;

static FfsSideIndex *
side_index(Oid side, SideIndexKind kind, const char *suffix, List *columns, const char *predicate,
		   const char *what, const char *use)
{
	FfsSideIndex *index = palloc(sizeof(FfsSideIndex));

	index->side = side;
	index->suffix = kind == PRIMARY_KEY ? NULL : suffix;
	index->columns = columns;
	index->brin = kind == BRIN;
	index->predicate = predicate;
	index->what = what;
	index->use = use;
	return index;
}

static List *
with_column(List *key, const char *name)
{
	return lappend(list_copy(key), pstrdup(name));
}

static List *
history_indexes(FfsManaged *m, List *key)
{
	char	   *valid_from = m->columns[FFS_VALID_FROM];
	List	   *indexes = NIL;

	if (key != NIL)
		indexes = lappend(indexes, side_index(m->history, PRIMARY_KEY, NULL, with_column(key, valid_from), NULL,
											  "its primary key",
											  "the versions of a row, and every write that closes one"));
	indexes = lappend(indexes, side_index(m->history, BTREE, "_ended", list_make2("valid_to", "end_transaction_id"),
										  "end_operation <> 'update'",
										  "the index on the ends of lives",
										  "the ends of lives, which writes look for"));
	return lappend(indexes, side_index(m->history, BRIN, "_times", list_make2(valid_from, "valid_to"), NULL,
									   "the index on valid_from and valid_to",
									   "the whole table as of a moment"));
}

/* One btree of all entries: a second costs a tenth of an UPDATE; entries lie in the order of time and number. */
static List *
audit_indexes(FfsManaged *m, List *key)
{
	List	   *indexes = NIL;

	if (key != NIL)
		indexes = lappend(indexes, side_index(m->audit, PRIMARY_KEY, NULL, with_column(key, "entry_id"), NULL,
											  "its primary key",
											  "the entries of a row, and every write that adds one"));
	indexes = lappend(indexes, side_index(m->audit, BRIN, "_changed_at", list_make2("changed_at", "entry_id"), NULL,
										  "the index on changed_at and entry_id",
										  "the entries of a range of time"));
	return lappend(indexes, side_index(m->audit, BTREE, "_ended", list_make2("changed_at", "transaction_id"),
									   "new_value IS NULL",
									   "the index on the ends of lives",
									   "the ends of lives, which writes look for"));
}

static List *
deleted_indexes(FfsManaged *m, List *key)
{
	List	   *indexes = NIL;

	if (key != NIL)
		indexes = lappend(indexes, side_index(m->deleted, BTREE, "_key", with_column(key, "deleted_at"), NULL,
											  "the index on the key and deleted_at",
											  "a deleted row by its key: ffs_restore()"));
	return lappend(indexes, side_index(m->deleted, BTREE, "_deleted_at", list_make1("deleted_at"), NULL,
									   "the index on deleted_at",
									   "deleted rows of a range of time"));
}

List *
ffs_registry_side_indexes(FfsManaged *m)
{
	List	   *key = ffs_registry_key_of(m->relid);
	List	   *indexes = NIL;

	if (relation_exists(m->history))
		indexes = list_concat(indexes, history_indexes(m, key));
	if (relation_exists(m->audit))
		indexes = list_concat(indexes, audit_indexes(m, key));
	if (relation_exists(m->deleted))
		indexes = list_concat(indexes, deleted_indexes(m, key));
	return indexes;
}

static bool
is_side_index(Relation index, FfsSideIndex *wanted)
{
	Form_pg_index form = index->rd_index;
	ListCell   *lc;

	if (wanted->suffix == NULL)
		return form->indisprimary;
	if (form->indisprimary || form->indnkeyatts != list_length(wanted->columns) ||
		(RelationGetIndexPredicate(index) != NIL) != (wanted->predicate != NULL) ||
		!(index->rd_rel->relam == BTREE_AM_OID || (wanted->brin && index->rd_rel->relam == BRIN_AM_OID)))
		return false;
	foreach(lc, wanted->columns)
	{
		if (form->indkey.values[foreach_current_index(lc)] != get_attnum(wanted->side, lfirst(lc)))
			return false;
	}
	return true;
}

bool
ffs_registry_has_side_index(FfsSideIndex *wanted)
{
	Relation	side = try_relation_open(wanted->side, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	if (side == NULL)
		return true;			/* gone meanwhile: there is nothing to index */
	foreach(lc, RelationGetIndexList(side))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= is_side_index(index, wanted);
		index_close(index, AccessShareLock);
	}
	relation_close(side, AccessShareLock);
	return found;
}

char *
ffs_registry_side_index_command(FfsManaged *m, FfsSideIndex *index, bool concurrently)
{
	char	   *table = ffs_base_relation_name(index->side);

	if (index->suffix == NULL)
		return psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", table, ffs_registry_name_list(index->columns));
	return psprintf("CREATE INDEX %s%s ON %s%s (%s)%s%s", concurrently ? "CONCURRENTLY " : "",
					index_name(m, get_rel_name(index->side), index->suffix), table,
					index->brin ? " USING brin" : "", ffs_registry_name_list(index->columns),
					index->predicate ? " WHERE " : "", index->predicate ? index->predicate : "");
}

/* Create the tables that the strategy needs and that are not there, and indexes that are missing. */
void
ffs_registry_make_side(FfsManaged *m)
{
	ListCell   *lc;

	if (m->strategy == FFS_STRATEGY_SCD2 && !relation_exists(m->history))
		make_history(m);
	if (m->strategy == FFS_STRATEGY_COPY_ON_CHANGE && !relation_exists(m->audit))
		make_audit(m);
	if (m->soft_delete && !relation_exists(m->deleted))
		make_deleted(m);
	foreach(lc, ffs_registry_side_indexes(m))
	{
		if (!ffs_registry_has_side_index(lfirst(lc)))
			ffs_base_run(SPI_OK_UTILITY, "%s", ffs_registry_side_index_command(m, lfirst(lc), false));
	}
}

/* Add to one side table the columns that it lacks, and change types that differ. */
static void
sync_columns(Oid side, TupleDesc desc, List *only)
{
	TupleDesc	have;
	StringInfoData buf;

	if (!relation_exists(side))
		return;
	LockRelationOid(side, AccessShareLock);
	have = ffs_registry_columns_of(side);
	initStringInfo(&buf);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);
		Form_pg_attribute other;

		if (att->attisdropped || (only != NIL && !ffs_registry_name_in(only, name)))
			continue;
		other = ffs_registry_column(have, name);
		if (other == NULL)
			appendStringInfo(&buf, "%s ADD COLUMN %s %s", buf.len ? "," : "", quote_identifier(name), type_of(att));
		else if (other->atttypid != att->atttypid || other->atttypmod != att->atttypmod ||
				 other->attcollation != att->attcollation)
			appendStringInfo(&buf, "%s ALTER COLUMN %s TYPE %s USING %s::%s", buf.len ? "," : "",
							 quote_identifier(name), type_of(att), quote_identifier(name),
							 format_type_extended(att->atttypid, att->atttypmod,
												  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	}
	if (buf.len > 0)
		ffs_base_run(SPI_OK_UTILITY, "ALTER TABLE %s%s", ffs_base_relation_name(side), buf.data);
}

void
ffs_registry_sync_side_columns(FfsManaged *m)
{
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	List	   *of_audit = ffs_registry_key_of(m->relid);

	sync_columns(m->history, desc, NIL);
	sync_columns(m->deleted, desc, NIL);
	if (m->tenant_column != NULL)
		of_audit = lappend(of_audit, m->tenant_column);
	if (of_audit != NIL)
		sync_columns(m->audit, desc, of_audit);
}

/* ---- views and functions ---- */

static void
drop_view(Oid *view)
{
	if (relation_exists(*view))
		ffs_base_run(SPI_OK_UTILITY, "DROP VIEW %s", ffs_base_relation_name(*view));
	*view = InvalidOid;
}

static void
drop_function(FfsManaged *m, char **name, int nargs)
{
	if (*name != NULL && OidIsValid(find_function(m, *name, nargs)))
		ffs_base_run(SPI_OK_UTILITY, "DROP FUNCTION %s(%s)", qualified(m, *name),
					 nargs == 1 ? "timestamptz" : "timestamptz, timestamptz");
	*name = NULL;
}

/*
 * Take the views away, and what returns their rows.  `as_of_too`: also the
 * function that returns the table's own.  The catalog row is the caller's to
 * write.
 */
void
ffs_registry_drop_views(FfsManaged *m, bool as_of_too)
{
	drop_function(m, &m->between_function, 2);
	if (as_of_too)
		drop_function(m, &m->as_of_function, 1);
	drop_view(&m->versions);
	drop_view(&m->with_deleted);
}

/* What a view has for its own columns: for a row of the table, and for one beside it. */
typedef struct ViewColumn
{
	const char *name;
	const char *present;
	const char *beside;
} ViewColumn;

static const ViewColumn versions_columns[] = {
	{"valid_to", "NULL::pg_catalog.timestamptz", "h.valid_to"},
	{"end_operation", "NULL::pg_catalog.text", "h.end_operation"},
	{"ended_by", "NULL::pg_catalog.text", "h.ended_by"},
	{"end_transaction_id", "NULL::pg_catalog.xid8", "h.end_transaction_id"},
	{"is_current", "true", "false"},
	{NULL, NULL, NULL}
};

static const ViewColumn with_deleted_columns[] = {
	{"deleted_at", "NULL::pg_catalog.timestamptz", "h.deleted_at"},
	{"deleted_by", "NULL::pg_catalog.text", "h.deleted_by"},
	{"delete_transaction_id", "NULL::pg_catalog.xid8", "h.delete_transaction_id"},
	{NULL, NULL, NULL}
};

/*
 * The names of a view's columns: what it has now (views can only grow at
 * their end), then the table's, then its own.
 */
static List *
view_columns(FfsManaged *m, Oid view, const ViewColumn *special)
{
	List	   *names = NIL;
	TupleDesc	desc;

	if (relation_exists(view))
	{
		desc = ffs_registry_columns_of(view);
		for (int i = 0; i < desc->natts; i++)
			names = lappend(names, pstrdup(NameStr(TupleDescAttr(desc, i)->attname)));
	}
	desc = ffs_registry_columns_of(m->relid);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && !ffs_registry_name_in(names, NameStr(att->attname)))
			names = lappend(names, pstrdup(NameStr(att->attname)));
	}
	for (; special->name != NULL; special++)
	{
		if (!ffs_registry_name_in(names, special->name))
			names = lappend(names, pstrdup(special->name));
	}
	return names;
}

/* The select list for those names, of the table (alias c) or of what stands beside it (alias h). */
static void
append_view_columns(StringInfo buf, List *names, const ViewColumn *special, bool beside)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		const char *name = lfirst(lc);
		const ViewColumn *own = special;

		while (own->name != NULL && strcmp(own->name, name) != 0)
			own++;
		if (foreach_current_index(lc) > 0)
			appendStringInfoString(buf, ", ");
		if (own->name == NULL)
			appendStringInfo(buf, "%s.%s", beside ? "h" : "c", quote_identifier(name));
		else
			appendStringInfo(buf, "%s AS %s", beside ? own->beside : own->present, own->name);
	}
}

/* Create a view, or let the one that is there grow. */
static void
make_view(FfsManaged *m, Oid *view, const char *suffix, Oid side, const ViewColumn *special, const char *comment)
{
	char	   *name = relation_exists(*view) ? get_rel_name(*view) : beside(m, suffix);
	List	   *columns = view_columns(m, *view, special);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE %sVIEW %s WITH (security_invoker = true) AS SELECT ",
					 relation_exists(*view) ? "OR REPLACE " : "", qualified(m, name));
	append_view_columns(&buf, columns, special, false);
	appendStringInfo(&buf, " FROM %s c UNION ALL SELECT ", ffs_base_relation_name(m->relid));
	append_view_columns(&buf, columns, special, true);
	appendStringInfo(&buf, " FROM %s h", ffs_base_relation_name(side));
	ffs_base_run(SPI_OK_UTILITY, "%s", buf.data);
	*view = created(m, name);
	ffs_base_run(SPI_OK_UTILITY, "COMMENT ON VIEW %s IS %s", qualified(m, name), quote_literal_cstr(comment));
}

static void
make_versions(FfsManaged *m)
{
	make_view(m, &m->versions, "_versions", m->history, versions_columns,
			  psprintf("all versions of the rows of %s, current ones with valid_to NULL",
					   ffs_base_relation_name(m->relid)));
}

static void
make_with_deleted(FfsManaged *m)
{
	make_view(m, &m->with_deleted, "_with_deleted", m->deleted, with_deleted_columns,
			  psprintf("the rows of %s and its deleted ones, present ones with deleted_at NULL",
					   ffs_base_relation_name(m->relid)));
}

/* Do views of users read this one? */
static bool
has_readers(Oid view)
{
	return relation_exists(view) &&
		ffs_base_run(SPI_OK_SELECT,
					 "SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid"
					 " WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass"
					 " AND d.refclassid = 'pg_catalog.pg_class'::regclass"
					 " AND d.refobjid = %u AND r.ev_class <> %u LIMIT 1", view, view) > 0;
}

/*
 * The table has new columns: make the views anew, or where views of users
 * stand on them let them grow at their end.
 */
void
ffs_registry_extend_views(FfsManaged *m)
{
	if (has_readers(m->versions))
		make_versions(m);
	else if (relation_exists(m->versions))
	{
		drop_function(m, &m->between_function, 2);
		drop_view(&m->versions);
	}
	if (has_readers(m->with_deleted))
		make_with_deleted(m);
	else
		drop_view(&m->with_deleted);
}

/*
 * The functions are plain SQL without settings, so that the planner inlines
 * them; everything in them is qualified instead.
 */
static char *
as_of_body(FfsManaged *m)
{
	TupleDesc	desc = ffs_registry_columns_of(m->relid);
	const char *from = quote_identifier(m->columns[FFS_VALID_FROM]);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	append_columns(&buf, desc, "c");
	appendStringInfo(&buf, " FROM %s c WHERE c.%s OPERATOR(pg_catalog.<=) $1 UNION ALL SELECT ",
					 ffs_base_relation_name(m->relid), from);
	append_columns(&buf, desc, "h");
	appendStringInfo(&buf, " FROM %s h WHERE h.%s OPERATOR(pg_catalog.<=) $1 AND h.valid_to OPERATOR(pg_catalog.>) $1",
					 ffs_base_relation_name(m->history), from);
	return buf.data;
}

static char *
between_body(FfsManaged *m)
{
	List	   *columns = view_columns(m, m->versions, versions_columns);
	const char *from = quote_identifier(m->columns[FFS_VALID_FROM]);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT ");
	append_view_columns(&buf, columns, versions_columns, false);
	appendStringInfo(&buf, " FROM %s c WHERE c.%s OPERATOR(pg_catalog.<=) $2"
					 " AND $1 OPERATOR(pg_catalog.<=) $2 UNION ALL SELECT ",
					 ffs_base_relation_name(m->relid), from);
	append_view_columns(&buf, columns, versions_columns, true);
	appendStringInfo(&buf, " FROM %s h WHERE h.%s OPERATOR(pg_catalog.<=) $2 AND h.valid_to OPERATOR(pg_catalog.>) $1"
					 " AND $1 OPERATOR(pg_catalog.<=) $2",
					 ffs_base_relation_name(m->history), from);
	return buf.data;
}

/* Create or replace a function unless it is there with this body. */
static void
make_function(FfsManaged *m, char **name, const char *suffix, int nargs, const char *body,
			  const char *returns, const char *comment)
{
	Oid			present;
	const char *args = nargs == 1 ? "at timestamptz" : "since timestamptz, until timestamptz";

	if (*name == NULL)
		*name = beside(m, suffix);
	present = find_function(m, *name, nargs);
	if (OidIsValid(present))
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(present));
		bool		isnull;
		Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		bool		same = !isnull && strcmp(TextDatumGetCString(source), body) == 0;

		ReleaseSysCache(tuple);
		if (same)
			return;
	}
	ffs_base_run(SPI_OK_UTILITY,
				 "CREATE OR REPLACE FUNCTION %s(%s) RETURNS SETOF %s LANGUAGE sql STABLE PARALLEL SAFE AS %s",
				 qualified(m, *name), args, returns, quote_literal_cstr(body));
	ffs_base_run(SPI_OK_UTILITY, "COMMENT ON FUNCTION %s(%s) IS %s", qualified(m, *name),
				 nargs == 1 ? "timestamptz" : "timestamptz, timestamptz", quote_literal_cstr(comment));
}

/* Create the views and functions that are not there; bring functions up to date. */
void
ffs_registry_make_views(FfsManaged *m)
{
	if (m->strategy == FFS_STRATEGY_SCD2)
	{
		if (!relation_exists(m->versions))
			make_versions(m);
		make_function(m, &m->as_of_function, "_as_of", 1, as_of_body(m), ffs_base_relation_name(m->relid),
					  psprintf("the rows of %s as they were at a moment", ffs_base_relation_name(m->relid)));
		make_function(m, &m->between_function, "_between", 2, between_body(m),
					  ffs_base_relation_name(m->versions),
					  psprintf("all versions of the rows of %s that were alive at any moment from since to until",
							   ffs_base_relation_name(m->relid)));
	}
	if (m->soft_delete && !relation_exists(m->with_deleted))
		make_with_deleted(m);
}
