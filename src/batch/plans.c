/*-------------------------------------------------------------------------
 *
 * plans.c
 *		Plans kept for the session, pieces of SQL, and arguments that all
 *		functions of this room share.
 *
 * A plan is found by its text and its parameters' types.  The server makes it
 * anew when a table, a policy or the role changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "batch/batch.h"
#include "batch/rows.h"

/* ---- plans ---- */

#define MAX_PLANS 256

typedef struct PlanEntry
{
	uint64		hash;			/* of the text and the types; the key */
	char	   *text;			/* both, written out */
	SPIPlanPtr	plan;
	uint64		transaction;	/* the last that used it */
	uint64		used;
} PlanEntry;

static HTAB *plans = NULL;
static uint64 transaction_count = 1;
static uint64 use_count = 0;

/* A plan may still be running while its transaction lasts, and is not freed in it. */
static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		transaction_count++;
}

static void
open_plans(void)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(PlanEntry);
	plans = hash_create("ffstorage batch plans", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	RegisterXactCallback(xact_callback, NULL);
}

static void
drop_plan(PlanEntry *entry)
{
	SPIPlanPtr	plan = entry->plan;
	char	   *text = entry->text;

	hash_search(plans, &entry->hash, HASH_REMOVE, NULL);
	if (plan)
		SPI_freeplan(plan);
	if (text)
		pfree(text);
}

/* Make room by dropping the one that was not used for longest, if there is one that may go. */
static bool
make_room(void)
{
	HASH_SEQ_STATUS status;
	PlanEntry  *entry;
	PlanEntry  *oldest = NULL;

	hash_seq_init(&status, plans);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->transaction != transaction_count && (oldest == NULL || entry->used < oldest->used))
			oldest = entry;
	if (oldest == NULL)
		return false;
	drop_plan(oldest);
	return true;
}

SPIPlanPtr
ffs_batch_plan(const char *query, int nargs, Oid *types, bool *kept_plan)
{
	StringInfoData text;
	uint64		hash;
	PlanEntry  *entry;
	bool		found;
	SPIPlanPtr	plan;
	char	   *kept;

	if (plans == NULL)
		open_plans();

	initStringInfo(&text);
	for (int i = 0; i < nargs; i++)
		appendStringInfo(&text, "%u,", types[i]);
	appendStringInfoString(&text, query);
	hash = hash_bytes_extended((const unsigned char *) text.data, text.len, 0);

	entry = hash_search(plans, &hash, HASH_FIND, NULL);
	if (entry != NULL && strcmp(entry->text, text.data) == 0)
	{
		entry->transaction = transaction_count;
		entry->used = ++use_count;
		pfree(text.data);
		*kept_plan = true;
		return entry->plan;
	}

	plan = SPI_prepare(query, nargs, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", query);
	/* not kept: the second of two texts of one hash, and too many in one transaction */
	*kept_plan = false;
	if (entry != NULL || (hash_get_num_entries(plans) >= MAX_PLANS && !make_room()))
		return plan;
	*kept_plan = true;
	kept = MemoryContextStrdup(TopMemoryContext, text.data);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
	entry = hash_search(plans, &hash, HASH_ENTER, &found);
	entry->text = kept;
	entry->plan = plan;
	entry->transaction = transaction_count;
	entry->used = ++use_count;
	pfree(text.data);
	return plan;
}

uint64
ffs_batch_run_plan(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expect)
{
	bool		kept;
	SPIPlanPtr	plan = ffs_batch_plan(query, nargs, types, &kept);
	int			result = SPI_execute_plan(plan, values, nulls, false, 0);

	if (!kept)
		SPI_freeplan(plan);
	if (result == SPI_OK_REWRITTEN)
		return SPI_processed;
	if (result != expect)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(result), query);
	return SPI_processed;
}

/* ---- pieces of SQL ---- */

char *
ffs_batch_operator_name(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("%s.%s", quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

char *
ffs_batch_key_equality(const FfsTable *table, int n)
{
	Relation	index = index_open(table->pk_index, AccessShareLock);
	Oid			family = index->rd_opfamily[n];
	Oid			type = index->rd_opcintype[n];

	index_close(index, AccessShareLock);
	return ffs_batch_operator_name(get_opfamily_member(family, type, type, BTEqualStrategyNumber));
}

void
ffs_batch_append_key(StringInfo buf, const FfsTable *table, const char *alias, int first, Oid *types)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		appendStringInfo(buf, "%s%s.%s OPERATOR(%s) $%d", i > 0 ? " AND " : "", alias,
						 quote_identifier(get_attname(table->relid, table->key[i], false)),
						 ffs_batch_key_equality(table, i), first + i);
		types[i] = getBaseType(get_atttype(table->relid, table->key[i]));
	}
}

void
ffs_batch_append_key_join(StringInfo buf, const FfsTable *table, const char *left, const char *right)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		const char *name = quote_identifier(get_attname(table->relid, table->key[i], false));

		appendStringInfo(buf, "%s%s.%s OPERATOR(%s) %s.%s", i > 0 ? " AND " : "", left, name,
						 ffs_batch_key_equality(table, i), right, name);
	}
}

void
ffs_batch_append_row_jsonb(StringInfo buf, Relation rel, const char *alias)
{
	Oid			relid = RelationGetRelid(rel);
	TupleDesc	desc = RelationGetDescr(rel);
	int			readable = 0;

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
	{
		appendStringInfo(buf, "pg_catalog.to_jsonb(%s.*)", alias);
		return;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped ||
			pg_attribute_aclcheck(relid, att->attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			continue;
		appendStringInfo(buf, "%s%s.%s",
						 readable++ > 0 ? ", " : "(SELECT pg_catalog.to_jsonb(ffs_row.*) FROM (SELECT ",
						 alias, quote_identifier(NameStr(att->attname)));
	}
	appendStringInfoString(buf, readable > 0 ? ") AS ffs_row)" : "NULL::pg_catalog.jsonb");
}

/* ---- arguments ---- */

FfsTable *
ffs_batch_table_argument(FunctionCallInfo fcinfo, int n, bool for_write)
{
	FfsTable   *table;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null"),
				 errdetail("It says which table is meant."),
				 errhint("Give the name of a table that ffs_manage() was called for.")));
	table = ffs_registry_get(PG_GETARG_OID(n), for_write);
	if (for_write)
	{
		/* again, under a lock: it may have been dropped or changed while we waited */
		LockRelationOid(table->relid, RowExclusiveLock);
		table = ffs_registry_get(PG_GETARG_OID(n), true);
	}
	return table;
}

FfsTable *
ffs_batch_element_argument(FunctionCallInfo fcinfo, int n)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(type) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the first argument must be of a table's row type, not %s",
						OidIsValid(type) ? format_type_be(type) : "unknown"),
				 errdetail("Its type says which table is meant; its value does not matter."),
				 errhint("Write NULL::table_name.")));
	return ffs_registry_get(relid, false);
}

void
ffs_batch_require(Oid relid, AclMode mode)
{
	if (pg_class_aclcheck(relid, GetUserId(), mode) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), mode, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
}
