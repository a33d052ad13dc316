/*-------------------------------------------------------------------------
 *
 * advice_invalid.c
 *		ffs_index_advice: indexes that are not valid.  Queries do not use
 *		them, and writes pay for them.
 *
 * CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY leave them behind when
 * they fail; CREATE INDEX ON ONLY leaves one on a partitioned table until
 * every partition has its part.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "registry/advice.h"
#include "registry/internal.h"

/* Tables that an index is being built on now: what is not valid there may be on its way. */
static List *
tables_in_work(void)
{
	List	   *result = NIL;
	FfsRights	rights;
	bool		isnull;

	/* as one who sees what others do */
	ffs_base_begin_as(&rights, ffs_base_owner());
	ffs_base_run(SPI_OK_SELECT,
				 "SELECT relid FROM pg_stat_progress_create_index WHERE datid = %u AND relid IS NOT NULL",
				 MyDatabaseId);
	for (uint64 i = 0; i < SPI_processed; i++)
		result = lappend_oid(result, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
																	1, &isnull)));
	ffs_base_end_as(&rights);
	return result;
}

/* Do two indexes of a table hold the same? */
static bool
same_index(Relation a, Relation b)
{
	Form_pg_index one = a->rd_index;
	Form_pg_index other = b->rd_index;

	if (a->rd_rel->relam != b->rd_rel->relam || one->indnatts != other->indnatts ||
		one->indnkeyatts != other->indnkeyatts || one->indisunique != other->indisunique ||
		one->indnullsnotdistinct != other->indnullsnotdistinct)
		return false;
	for (int i = 0; i < one->indnatts; i++)
	{
		if (one->indkey.values[i] != other->indkey.values[i])
			return false;
	}
	for (int i = 0; i < one->indnkeyatts; i++)
	{
		if (a->rd_indcollation[i] != b->rd_indcollation[i] || a->rd_opfamily[i] != b->rd_opfamily[i] ||
			a->rd_indoption[i] != b->rd_indoption[i])
			return false;
	}
	return equal(RelationGetIndexExpressions(a), RelationGetIndexExpressions(b)) &&
		equal(RelationGetIndexPredicate(a), RelationGetIndexPredicate(b));
}

/* A valid index that holds the same as this one, by name; NULL where there is none. */
static char *
valid_twin(Relation rel, Relation index)
{
	char	   *name = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	other = index_open(lfirst_oid(lc), AccessShareLock);

		if (name == NULL && other->rd_index->indisvalid && same_index(index, other))
			name = ffs_base_relation_name(lfirst_oid(lc));
		index_close(other, AccessShareLock);
	}
	return name;
}

static bool
is_constraint(Relation index)
{
	return OidIsValid(get_index_constraint(RelationGetRelid(index)));
}

static void
advise_rebuild(Advice *advice, Relation rel, Relation index)
{
	char	   *name = ffs_base_relation_name(RelationGetRelid(index));
	char	   *twin = NULL;

	if (!is_constraint(index) && !index->rd_rel->relispartition)
		twin = valid_twin(rel, index);
	if (twin != NULL)
		ffs_registry_advise(advice, RelationGetRelid(rel), "invalid",
							psprintf("%s is not valid, and %s holds the same: a build failed", name, twin),
							psprintf("DROP INDEX CONCURRENTLY %s", name));
	else
		ffs_registry_advise(advice, RelationGetRelid(rel), "invalid",
							psprintf("%s is not valid: a build failed; queries do not use it", name),
							psprintf("REINDEX INDEX %s%s", index->rd_index->indisexclusion ? "" : "CONCURRENTLY ", name));
}

/* ---- of partitioned tables ---- */

/* The index of a partition that is, or could be, its part of `whole`. */
static Oid
find_part(Relation rel, Relation whole, Oid childid, bool *attached)
{
	Relation	child = table_open(childid, AccessShareLock);
	IndexInfo  *info = BuildIndexInfo(whole);
	AttrMap    *map = build_attrmap_by_name(RelationGetDescr(child), RelationGetDescr(rel)
#if PG_VERSION_NUM >= 160000
											,false
#endif
		);
	Oid			result = InvalidOid;
	ListCell   *lc;

	*attached = false;
	foreach(lc, RelationGetIndexList(child))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_rel->relispartition)
		{
			if (get_partition_parent(lfirst_oid(lc), true) == RelationGetRelid(whole))
			{
				*attached = true;
				result = lfirst_oid(lc);
			}
		}
		else if (!*attached && !OidIsValid(result) && is_constraint(index) == is_constraint(whole) &&
				 CompareIndexInfo(BuildIndexInfo(index), info, index->rd_indcollation, whole->rd_indcollation,
								  index->rd_opfamily, whole->rd_opfamily, map))
			result = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	table_close(child, NoLock);
	return result;
}

/* What follows the table's name in the index's definition, every name qualified. */
static char *
definition_after_table(Relation rel, Relation whole)
{
	FfsRights	rights;
	char	   *definition;
	char	   *before = psprintf("CREATE %sINDEX %s ON %s ", whole->rd_index->indisunique ? "UNIQUE " : "",
								  quote_identifier(RelationGetRelationName(whole)),
								  ffs_base_relation_name(RelationGetRelid(rel)));

	ffs_base_begin_as(&rights, GetUserId());
	definition = pg_get_indexdef_string(RelationGetRelid(whole));
	ffs_base_end_as(&rights);
	if (strncmp(definition, before, strlen(before)) != 0)
		elog(ERROR, "unexpected definition of an index: %s", definition);
	return definition + strlen(before);
}

static char *
part_command(Relation rel, Relation whole, Oid childid, const char *name)
{
	char	   *child = ffs_base_relation_name(childid);

	if (is_constraint(whole))
		return psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", child, quote_identifier(name),
						TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
																ObjectIdGetDatum(get_index_constraint(RelationGetRelid(whole))))));
	return psprintf("CREATE %sINDEX %s%s ON %s %s", whole->rd_index->indisunique ? "UNIQUE " : "",
					get_rel_relkind(childid) == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ",
					quote_identifier(name), child, definition_after_table(rel, whole));
}

static char *
free_index_name(Relation whole, Oid relid)
{
	char	   *name = ffs_base_side_name(get_rel_name(relid), psprintf("_%s", RelationGetRelationName(whole)));

	if (OidIsValid(get_relname_relid(name, get_rel_namespace(relid))))
		name = ffs_base_side_name(get_rel_name(relid), psprintf("_%u", RelationGetRelid(whole)));
	return name;
}

/* What is partitioned itself cannot be indexed concurrently, its partitions can: it finds their parts done. */
static void
advise_leaves(Advice *advice, Relation rel, Relation whole, Oid childid, const char *reason)
{
	ListCell   *lc;

	if (is_constraint(whole))
		return;
	foreach(lc, find_all_inheritors(childid, AccessShareLock, NULL))
	{
		Oid			leaf = lfirst_oid(lc);
		bool		attached;

		if (get_rel_relkind(leaf) != RELKIND_PARTITIONED_TABLE &&
			!OidIsValid(find_part(rel, whole, leaf, &attached)))
			ffs_registry_advise(advice, leaf, "missing", reason,
								part_command(rel, whole, leaf, free_index_name(whole, leaf)));
	}
}

/*
 * The parts that the partitions lack, each attached: the last one makes the
 * whole valid.  Where none is lacking, attaching one again has it looked at.
 */
static void
advise_parts(Advice *advice, Relation rel, Relation whole)
{
	char	   *name = ffs_base_relation_name(RelationGetRelid(whole));
	char	   *reason = psprintf("%s is not valid: partitions lack their parts of it", name);
	char	   *again = NULL;
	Oid			again_on = InvalidOid;
	bool		lacking = false;
	ListCell   *lc;

	foreach(lc, find_inheritance_children(RelationGetRelid(rel), AccessShareLock))
	{
		Oid			childid = lfirst_oid(lc);
		bool		attached;
		Oid			part = find_part(rel, whole, childid, &attached);
		char	   *part_name;

		CHECK_FOR_INTERRUPTS();
		if (attached)
		{
			again = ffs_base_relation_name(part);
			again_on = childid;
			continue;
		}
		lacking = true;
		if (OidIsValid(part))
			part_name = ffs_base_relation_name(part);
		else
		{
			char	   *free_name = free_index_name(whole, childid);

			if (get_rel_relkind(childid) == RELKIND_PARTITIONED_TABLE)
				advise_leaves(advice, rel, whole, childid, reason);
			ffs_registry_advise(advice, childid, "missing", reason, part_command(rel, whole, childid, free_name));
			part_name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(childid)), free_name);
		}
		ffs_registry_advise(advice, childid, "invalid", reason,
							psprintf("ALTER INDEX %s ATTACH PARTITION %s", name, part_name));
	}
	if (!lacking && again != NULL)
		ffs_registry_advise(advice, again_on, "invalid", psprintf("%s is not valid, though its parts are there", name),
							psprintf("ALTER INDEX %s ATTACH PARTITION %s", name, again));
}

/* Parts before wholes. */
void
ffs_registry_advise_invalid(Advice *advice, List *relids)
{
	List	   *in_work = tables_in_work();

	for (int i = list_length(relids) - 1; i >= 0; i--)
	{
		Relation	rel = try_relation_open(list_nth_oid(relids, i), AccessShareLock);
		ListCell   *lc;

		if (rel == NULL)
			continue;			/* what stood beside it is gone */
		foreach(lc, RelationGetIndexList(rel))
		{
			Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

			if (index->rd_index->indisvalid || list_member_oid(in_work, RelationGetRelid(rel)))
				 /* nothing to do */ ;
			else if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
				advise_parts(advice, rel, index);
			else
				advise_rebuild(advice, rel, index);
			index_close(index, AccessShareLock);
		}
		relation_close(rel, NoLock);
	}
}
