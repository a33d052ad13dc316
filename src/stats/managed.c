/*-------------------------------------------------------------------------
 *
 * managed.c
 *		How much each managed table keeps beside it, for ffs_stats and ffs_tables.
 *
 * A page that is polled must not queue behind a schema change, so that a size
 * is taken only where every lock for it is to be had at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base.h"

static bool add_bytes(Oid relid, int64 *bytes);

static bool
add_bytes_of_all(List *relids, int64 *bytes)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		if (!add_bytes(lfirst_oid(lc), bytes))
			return false;
	}
	return true;
}

/*
 * Add the bytes of a relation, all its forks, indexes, TOAST and partitions.
 * False where it, or one of them, is locked by another or gone.
 */
static bool
add_bytes(Oid relid, int64 *bytes)
{
	Relation	rel;
	bool		complete = true;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) ?
		try_relation_open(relid, NoLock) : NULL;
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return false;
	}

	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		for (ForkNumber fork = 0; fork <= MAX_FORKNUM; fork++)
		{
			if (smgrexists(RelationGetSmgr(rel), fork))
				*bytes += (int64) smgrnblocks(RelationGetSmgr(rel), fork) * BLCKSZ;
		}
	}
	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
		rel->rd_rel->relkind != RELKIND_INDEX)
	{
		if (OidIsValid(rel->rd_rel->reltoastrelid))
			complete = add_bytes(rel->rd_rel->reltoastrelid, bytes);
		complete = complete && add_bytes_of_all(RelationGetIndexList(rel), bytes);
	}
	else if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		complete = add_bytes_of_all(find_inheritance_children(relid, NoLock), bytes);

	relation_close(rel, AccessShareLock);
	return complete;
}

PG_FUNCTION_INFO_V1(relation_bytes);

/*
 * ffstorage.relation_bytes(relation regclass): what pg_total_relation_size()
 * says, partitions included; NULL where that would have to wait.
 */
Datum
relation_bytes(PG_FUNCTION_ARGS)
{
	int64		bytes = 0;

	if (!add_bytes(PG_GETARG_OID(0), &bytes))
		PG_RETURN_NULL();
	PG_RETURN_INT64(bytes);
}

PG_FUNCTION_INFO_V1(stat_managed);

/*
 * ffstorage.stat_managed(): managed tables and the bytes beside each.
 */
Datum
stat_managed(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsRights	saved;

	InitMaterializedSRF(fcinfo, 0);

	ffs_base_begin_as(&saved, ffs_base_owner());
	SPI_connect();
	ffs_base_run(SPI_OK_SELECT,
				 "SELECT m.relation::oid, b.relid "
				 "FROM ffstorage.managed m "
				 "CROSS JOIN LATERAL (VALUES (m.history::oid), (m.audit::oid), (m.deleted::oid)) b(relid) "
				 "WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = m.relation) "
				 "ORDER BY 1");
	for (uint64 i = 0; i < SPI_processed;)
	{
		bool		isnull;
		Datum		relid = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		int64		bytes = 0;
		bool		complete = true;
		Datum		values[2];
		bool		nulls[2] = {0};

		CHECK_FOR_INTERRUPTS();
		for (; i < SPI_processed; i++)
		{
			Datum		beside;

			if (SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull) != relid)
				break;
			beside = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
			if (!isnull)
				complete = add_bytes(DatumGetObjectId(beside), &bytes) && complete;
		}
		values[0] = relid;
		values[1] = Int64GetDatum(bytes);
		nulls[1] = !complete;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	ffs_base_end_as(&saved);
	return (Datum) 0;
}
