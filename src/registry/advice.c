/*-------------------------------------------------------------------------
 *
 * advice.c
 *		ffs_index_advice: the indexes that a managed table lacks, as commands;
 *		and the health check history_indexes.
 *
 * Indexes that are not valid come first, then the table's own, then those
 * beside it: in the order of the rows each command finds done what it needs.
 * An index that is not valid counts as there, since its own row mends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/call.h"
#include "registry/advice.h"
#include "registry/internal.h"
#include "stats/stats.h"

FFS_CALL(ffs_index_advice);

/*
 * An index that queries want: columns that they compare for equality, in any
 * order, then the columns that they sort by.
 */
typedef struct Want
{
	Oid			relid;			/* what it is wanted on, partitions included */
	List	   *equal;			/* of char * */
	List	   *sorted;			/* of char * */
	const char *use;
	const char *use_of_order;	/* where an index begins with `equal` already */
} Want;

/* An index that an earlier row creates. */
typedef struct Planned
{
	Oid			relid;
	List	   *columns;		/* of char * */
} Planned;

/* ---- rows ---- */

void
ffs_registry_advise(Advice *advice, Oid relid, const char *status, const char *reason, const char *command)
{
	Datum		values[4] = {
		ObjectIdGetDatum(relid), CStringGetTextDatum(status),
		CStringGetTextDatum(reason), CStringGetTextDatum(command)
	};
	bool		nulls[4] = {0};

	tuplestore_putvalues(advice->result->setResult, advice->result->setDesc, values, nulls);
}

/* ---- does an index serve? ---- */

static Form_pg_attribute
index_attribute(Relation rel, Relation index, int i)
{
	AttrNumber	attnum = index->rd_index->indkey.values[i];
	Form_pg_attribute att;

	if (attnum <= 0)
		return NULL;
	att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	/* other rules of comparing find nothing for a comparison by the column's own */
	if (OidIsValid(index->rd_indcollation[i]) && index->rd_indcollation[i] != att->attcollation)
		return NULL;
	return att;
}

static bool
finds_equal(Relation index, int i, Form_pg_attribute att)
{
	TypeCacheEntry *type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR);

	return OidIsValid(type->eq_opr) && op_in_opfamily(type->eq_opr, index->rd_opfamily[i]);
}

static bool
has_default_order(Relation index, int i, Form_pg_attribute att)
{
	Oid			opclass = GetDefaultOpClass(att->atttypid, BTREE_AM_OID);

	return OidIsValid(opclass) && index->rd_opfamily[i] == get_opclass_family(opclass);
}

/* A partial index serves where all it leaves out are NULLs that no equality finds. */
static bool
leaves_out_nulls_only(Relation rel, Relation index, List *equal)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexPredicate(index))
	{
		NullTest   *test = lfirst(lc);
		Var		   *var;

		if (!IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var))
			return false;
		var = (Var *) test->arg;
		if (var->varattno <= 0 ||
			!ffs_registry_name_in(equal, NameStr(TupleDescAttr(RelationGetDescr(rel), var->varattno - 1)->attname)))
			return false;
	}
	return true;
}

static bool
index_serves(Relation rel, Relation index, Want *want)
{
	Form_pg_index form = index->rd_index;
	int			nequal = list_length(want->equal);
	bool		btree = index->rd_rel->relam == BTREE_AM_OID;
	int			direction = -1;
	List	   *found = NIL;

	if (form->indnkeyatts < nequal + list_length(want->sorted) || !leaves_out_nulls_only(rel, index, want->equal))
		return false;
	if (!btree && (index->rd_rel->relam != HASH_AM_OID || nequal != 1 || want->sorted != NIL))
		return false;
	for (int i = 0; i < nequal; i++)
	{
		Form_pg_attribute att = index_attribute(rel, index, i);

		if (att == NULL || !ffs_registry_name_in(want->equal, NameStr(att->attname)) ||
			ffs_registry_name_in(found, NameStr(att->attname)) || !finds_equal(index, i, att))
			return false;
		found = lappend(found, NameStr(att->attname));
	}
	for (int i = nequal; i < nequal + list_length(want->sorted); i++)
	{
		Form_pg_attribute att = index_attribute(rel, index, i);

		if (att == NULL || strcmp(NameStr(att->attname), list_nth(want->sorted, i - nequal)) != 0 ||
			!has_default_order(index, i, att))
			return false;
		/* read forward or backward as a whole */
		if (index->rd_indoption[i] != 0 && index->rd_indoption[i] != (INDOPTION_DESC | INDOPTION_NULLS_FIRST))
			return false;
		if (direction >= 0 && direction != index->rd_indoption[i])
			return false;
		direction = index->rd_indoption[i];
	}
	return true;
}

/* Would a new index of a partitioned table on these columns take this one for its part? */
static bool
index_is_part(Relation rel, Relation index, List *columns)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || index->rd_rel->relispartition || !form->indisvalid ||
		form->indisunique || form->indnatts != list_length(columns) ||
		form->indnkeyatts != list_length(columns) || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < form->indnatts; i++)
	{
		Form_pg_attribute att = index_attribute(rel, index, i);

		if (att == NULL || strcmp(NameStr(att->attname), list_nth(columns, i)) != 0 ||
			!has_default_order(index, i, att))
			return false;
	}
	return true;
}

typedef bool (*IndexTest) (Relation rel, Relation index, void *arg);

static bool
any_index(Oid relid, IndexTest test, void *arg)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= test(rel, index, arg);
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

static bool
serves_test(Relation rel, Relation index, void *want)
{
	return index_serves(rel, index, want);
}

static bool
part_test(Relation rel, Relation index, void *columns)
{
	return index_is_part(rel, index, columns);
}

/* ---- what is missing on the table ---- */

static bool
planned_serves(List *columns, Want *want)
{
	int			nequal = list_length(want->equal);

	if (list_length(columns) < nequal + list_length(want->sorted))
		return false;
	for (int i = 0; i < nequal + list_length(want->sorted); i++)
	{
		if (i < nequal ? !ffs_registry_name_in(want->equal, list_nth(columns, i)) :
			strcmp(list_nth(columns, i), list_nth(want->sorted, i - nequal)) != 0)
			return false;
	}
	return true;
}

static bool
is_served(Advice *advice, Oid relid, Want *want)
{
	ListCell   *lc;

	foreach(lc, advice->planned)
	{
		Planned    *planned = lfirst(lc);

		if (planned->relid == relid && planned_serves(planned->columns, want))
			return true;
	}
	return any_index(relid, serves_test, want);
}

static void
advise_missing(Advice *advice, Oid relid, Want *want, bool concurrently)
{
	Planned    *planned = palloc(sizeof(Planned));
	Want		equality = {.equal = want->equal};
	bool		only_order = want->sorted != NIL && is_served(advice, relid, &equality);

	planned->relid = relid;
	planned->columns = list_concat(list_copy(want->equal), want->sorted);
	ffs_registry_advise(advice, relid, "missing", only_order ? want->use_of_order : want->use,
						psprintf("CREATE INDEX %sON %s (%s)", concurrently ? "CONCURRENTLY " : "",
								 ffs_base_relation_name(relid), ffs_registry_name_list(planned->columns)));
	advice->planned = lappend(advice->planned, planned);
}

/*
 * Partitions are indexed one by one, for what is partitioned cannot be
 * indexed concurrently; the index of the whole then finds its parts done, and
 * gives itself to partitions to come.  True if every partition has, or will
 * have, its part.
 */
static bool
advise_partitions(Advice *advice, Oid relid, Want *want)
{
	bool		parts = true;
	ListCell   *lc;

	CHECK_FOR_INTERRUPTS();
	if (is_served(advice, relid, want))
		return any_index(relid, part_test, list_concat(list_copy(want->equal), want->sorted));
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
	{
		advise_missing(advice, relid, want, true);
		return true;
	}
	foreach(lc, find_inheritance_children(relid, AccessShareLock))
		parts = advise_partitions(advice, lfirst_oid(lc), want) && parts;
	return parts;
}

static void
advise_want(Advice *advice, Want *want)
{
	if (is_served(advice, want->relid, want))
		return;
	if (advise_partitions(advice, want->relid, want) &&
		get_rel_relkind(want->relid) == RELKIND_PARTITIONED_TABLE)
		advise_missing(advice, want->relid, want, false);
}

/* One tenant's rows, in the order in which ffs_list() turns pages: that of the key. */
static Want *
tenant_want(FfsManaged *m)
{
	Want	   *want;
	ListCell   *lc;

	if (m->tenant_column == NULL || get_attnum(m->relid, m->tenant_column) <= 0)
		return NULL;
	want = palloc0(sizeof(Want));
	want->relid = m->relid;
	want->equal = list_make1(m->tenant_column);
	foreach(lc, ffs_registry_key_of(m->relid))
	{
		if (strcmp(lfirst(lc), m->tenant_column) != 0)
			want->sorted = lappend(want->sorted, lfirst(lc));
	}
	if (list_length(want->sorted) >= INDEX_MAX_KEYS)
		want->sorted = NIL;
	want->use = want->sorted != NIL ?
		"a tenant's rows, which the tenant policy asks for, and pages of ffs_list() among them" :
		"a tenant's rows, which the tenant policy asks for";
	want->use_of_order = "pages of ffs_list() among a tenant's rows, in the order of the key";
	return want;
}

/*
 * When a row that others refer to is deleted or its key changes, PostgreSQL
 * looks for those as the table's owner, past all policies: by the columns of
 * the foreign key alone.
 */
static Want *
foreign_key_want(FfsManaged *m, Relation rel, ForeignKeyCacheInfo *key)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
	Form_pg_constraint form;
	Want	   *want = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	/* a partition's part of a key of the whole goes with that one; PostgreSQL looks for nothing where it enforces nothing */
	if (!OidIsValid(form->conparentid)
#if PG_VERSION_NUM >= 180000
		&& form->conenforced
#endif
		)
	{
		want = palloc0(sizeof(Want));
		want->relid = RelationGetRelid(rel);
		for (int i = 0; i < key->nkeys; i++)
		{
			char	   *name = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), key->conkey[i] - 1)->attname));

			/* the tenant first: then the index finds a tenant's rows as well */
			if (m->tenant_column != NULL && strcmp(name, m->tenant_column) == 0)
				want->equal = lcons(name, want->equal);
			else
				want->equal = lappend(want->equal, name);
		}
		want->use = psprintf("rows that refer to a row of %s when that is deleted or its key changes (%s)",
							 ffs_base_relation_name(key->confrelid), quote_identifier(NameStr(form->conname)));
	}
	ReleaseSysCache(tuple);
	return want;
}

/* Longer ones first, for they serve in place of shorter ones. */
static int
compare_wants(const ListCell *a, const ListCell *b)
{
	Want	   *one = lfirst(a);
	Want	   *other = lfirst(b);
	int			more = list_length(other->equal) + list_length(other->sorted)
		- list_length(one->equal) - list_length(one->sorted);

	return more != 0 ? more : strcmp(one->use, other->use);
}

static void
advise_table(Advice *advice, FfsManaged *m, List *members)
{
	List	   *wants = NIL;
	Want	   *tenant = tenant_want(m);
	ListCell   *lc;

	if (tenant != NULL)
		wants = lappend(wants, tenant);
	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);
		ListCell   *key;

		foreach(key, copyObject(RelationGetFKeyList(rel)))
		{
			Want	   *want = foreign_key_want(m, rel, lfirst(key));

			if (want != NULL)
				wants = lappend(wants, want);
		}
		table_close(rel, NoLock);
	}
	list_sort(wants, compare_wants);
	foreach(lc, wants)
		advise_want(advice, lfirst(lc));
}

/* ---- what stands beside it ---- */

static char *
text_array(List *names)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(names), 1));
	Oid			output;
	bool		varlena;
	ListCell   *lc;

	foreach(lc, names)
		values[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	getTypeOutputInfo(TEXTARRAYOID, &output, &varlena);
	return OidOutputFunctionCall(output, PointerGetDatum(construct_array(values, list_length(names), TEXTOID, -1,
																		 false, TYPALIGN_INT)));
}

/* The call that the table was put under management with. */
static char *
manage_call(FfsManaged *m)
{
	StringInfoData buf;
	char	   *columns;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT %s(%s, %s",
					 quote_qualified_identifier(get_namespace_name(ffs_base_extension_namespace()), "ffs_manage"),
					 quote_literal_cstr(ffs_base_relation_name(m->relid)),
					 quote_literal_cstr(ffs_registry_strategy_name(m->strategy)));
	if (m->tenant_column != NULL)
		appendStringInfo(&buf, ", tenant_column => %s", quote_literal_cstr(m->tenant_column));
	if (m->soft_delete)
		appendStringInfoString(&buf, ", soft_delete => true");
	if (m->exclude != NIL)
		appendStringInfo(&buf, ", exclude => %s", quote_literal_cstr(text_array(m->exclude)));
	if (!m->stamps)
		appendStringInfoString(&buf, ", stamps => false");
	columns = ffs_registry_columns_json(m);
	if (strcmp(columns, "{}") != 0)
		appendStringInfo(&buf, ", columns => %s", quote_literal_cstr(columns));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* What is lost, as it was; a primary key by ffs_manage(), for the owner may not change the shape of what stands beside. */
static void
advise_sides(Advice *advice, FfsManaged *m)
{
	List	   *lost = NIL;
	bool		primary = false;
	ListCell   *lc;

	foreach(lc, ffs_registry_side_indexes(m))
	{
		FfsSideIndex *index = lfirst(lc);

		if (ffs_registry_has_side_index(index))
			continue;
		lost = lappend(lost, index);
		primary |= index->suffix == NULL;
	}
	foreach(lc, lost)
	{
		FfsSideIndex *index = lfirst(lc);

		/* ffs_manage() would make them all */
		if (!primary || index->suffix == NULL)
			ffs_registry_advise(advice, index->side, "missing", index->use, primary ? manage_call(m) :
								ffs_registry_side_index_command(m, index, true));
	}
}

/* ---- the call ---- */

/* As for ffs_tables: who owns the table or may SELECT any of it, and pg_monitor. */
static void
check_may_know(Oid relid)
{
	if (ffs_compat_owns_relation(relid, GetUserId()) ||
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK ||
		has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for table %s", get_rel_name(relid)),
			 errdetail("What a table lacks is for roles that own it or may SELECT from it, and for pg_monitor."),
			 errhint("GRANT SELECT on the table, or pg_monitor, to the role.")));
}

static Datum
ffs_index_advice_call(PG_FUNCTION_ARGS)
{
	Advice		advice = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	FfsTable   *table;
	FfsManaged *m;
	Oid			rootid;
	List	   *members;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null"),
				 errdetail("It says which table's indexes are looked at."),
				 errhint("Give the name of a managed table.")));
	table = ffs_registry_get(PG_GETARG_OID(0), false);
	rootid = table->rootid;
	check_may_know(rootid);
	members = find_all_inheritors(rootid, AccessShareLock, NULL);
	table = ffs_registry_get(rootid, false);	/* again, now that nobody changes it */
	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	m = ffs_registry_load(rootid);
	if (m != NULL)
	{
		List	   *relids = list_copy(members);
		Oid			sides[3] = {m->history, m->audit, m->deleted};

		for (int i = 0; i < 3; i++)
		{
			if (OidIsValid(sides[i]))
				relids = lappend_oid(relids, sides[i]);
		}
		ffs_registry_advise_invalid(&advice, relids);
		advise_table(&advice, m, members);
		advise_sides(&advice, m);
	}
	SPI_finish();
	return (Datum) 0;
}

/* ---- health ---- */

#define MAX_SHOWN 10

static void
check_history_indexes(FfsHealthSink *sink)
{
	StringInfoData details;
	int			n = 0;
	ListCell   *lc;

	initStringInfo(&details);
	foreach(lc, ffs_registry_all())
	{
		FfsManaged *m;
		ListCell   *of_table;

		CHECK_FOR_INTERRUPTS();
		/* a report must not queue behind DDL */
		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
			continue;
		m = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))) ? ffs_registry_load(lfirst_oid(lc)) : NULL;
		foreach(of_table, m != NULL ? ffs_registry_side_indexes(m) : NIL)
		{
			FfsSideIndex *index = lfirst(of_table);

			if (!ConditionalLockRelationOid(index->side, AccessShareLock))
				continue;
			if (!ffs_registry_has_side_index(index) && n++ < MAX_SHOWN)
				appendStringInfo(&details, "%s%s has lost %s.", n > 1 ? " " : "",
								 ffs_base_relation_name(index->side), index->what);
			UnlockRelationOid(index->side, AccessShareLock);
		}
		UnlockRelationOid(lfirst_oid(lc), AccessShareLock);
	}
	if (n > MAX_SHOWN)
		appendStringInfo(&details, " And %d more.", n - MAX_SHOWN);
	if (n == 0)
		ffs_stats_report(sink, FFS_HEALTHY, "history has its indexes", NULL, NULL);
	else
		ffs_stats_report(sink, FFS_UNHEALTHY, "indexes of history are missing", details.data,
						 "Run the commands that ffs_index_advice() gives for the table, as its owner.");
}

void
ffs_registry_advice_init(void)
{
	ffs_stats_register_check("history_indexes", check_history_indexes);
}
