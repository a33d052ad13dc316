/*-------------------------------------------------------------------------
 *
 * references.c
 *		A row must not refer to another tenant's row.
 *
 * PostgreSQL checks foreign keys with the owner's rights and without forced
 * row-level security, so that a child could be tied to a parent of another
 * tenant.  While a tenant is set, the rows that a new row refers to in managed
 * tables are looked at here, unless the foreign key holds the tenant column
 * itself and so cannot cross.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_constraint.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "temporal/write.h"
#include "tenancy/tenancy.h"

/* Does the foreign key tie this table's tenant column to the parent's? */
static bool
carries_tenant(ForeignKeyCacheInfo *fk, FfsTable *child, FfsTable *parent)
{
	for (int i = 0; i < fk->nkeys; i++)
	{
		if (fk->conkey[i] == child->tenant && fk->confkey[i] == parent->tenant)
			return true;
	}
	return false;
}

static void
check_reference(ForeignKeyCacheInfo *fk, FfsTable *child, FfsTable *parent,
				Relation rel, HeapTuple old, HeapTuple new)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		values[INDEX_MAX_KEYS];
	Oid			types[INDEX_MAX_KEYS];
	bool		changed = old == NULL;
	StringInfoData buf;
	FfsRights	rights;
	HeapTuple	class_tuple;
	Oid			owner;
	bool		isnull;

	for (int i = 0; i < fk->nkeys; i++)
	{
		values[i] = heap_getattr(new, fk->conkey[i], desc, &isnull);
		if (isnull)
			return;				/* refers to nothing, or fails by itself */
		types[i] = TupleDescAttr(desc, fk->conkey[i] - 1)->atttypid;
		if (!changed)
		{
			bool		oldnull;
			Datum		oldvalue = heap_getattr(old, fk->conkey[i], desc, &oldnull);

			changed = !ffs_temporal_same_value(desc, fk->conkey[i], oldvalue, oldnull, values[i], false);
		}
	}
	if (!changed)
		return;

	class_tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(fk->confrelid));
	if (!HeapTupleIsValid(class_tuple))
		elog(ERROR, "cache lookup failed for relation %u", fk->confrelid);
	owner = ((Form_pg_class) GETSTRUCT(class_tuple))->relowner;
	ReleaseSysCache(class_tuple);

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT p.%s FROM %s p WHERE ",
					 quote_identifier(get_attname(fk->confrelid, parent->tenant, false)),
					 ffs_base_relation_name(fk->confrelid));
	for (int i = 0; i < fk->nkeys; i++)
	{
		char		param[16];

		/* the parent's column stands to the left of a foreign key's operator */
		snprintf(param, sizeof(param), "$%d", i + 1);
		if (i > 0)
			appendStringInfoString(&buf, " AND ");
		generate_operator_clause(&buf,
								 psprintf("p.%s", quote_identifier(get_attname(fk->confrelid, fk->confkey[i], false))),
								 get_atttype(fk->confrelid, fk->confkey[i]),
								 fk->conpfeqop[i], param, types[i]);
	}

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ffs_base_begin_as(&rights, owner);
	SetUserIdAndSecContext(owner, rights.sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	{
		SPIPlanPtr	plan = SPI_prepare(buf.data, fk->nkeys, types);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		/* what is committed by now counts, as for the foreign key itself */
		if (SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot,
								 true, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look at the row referred to");
	}
	ffs_base_end_as(&rights);
	if (SPI_processed > 0)
	{
		Datum		tenant = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (isnull || !ffs_tenancy_allows(parent->tenant_type, tenant))
			ffs_tenancy_violation(child->rootid,
								  "The row would refer to a row of another tenant.");
	}
	SPI_finish();
}

void
ffs_temporal_references_check(FfsTable *table, Relation rel, HeapTuple old, HeapTuple new)
{
	List	   *fks;
	ListCell   *lc;

	if (ffs_tenancy_mode() != FFS_TENANT_LIST)
		return;
	fks = RelationGetFKeyList(rel);
	foreach(lc, fks)
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		FfsTable   *parent = ffs_registry_find(fk->confrelid);

		if (parent != NULL && parent->tenant != 0 && !carries_tenant(fk, table, parent))
			check_reference(fk, table, parent, rel, old, new);
	}
}
