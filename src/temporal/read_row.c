/*-------------------------------------------------------------------------
 *
 * read_row.c
 *		ffs_row_at: one row as it was at a moment.
 *
 * With scd2 that is one probe of the table's index and one of the history's,
 * by a plan that is kept from call to call.  With copy_on_change the row is
 * built again from its audit entries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "base/base.h"
#include "registry/key.h"
#include "temporal/read.h"

FFS_CALL(ffs_row_at);

/* A probe made ready, by the relation whose row type was asked for. */
typedef struct Probe
{
	Oid			relid;			/* hash key */
	bool		valid;			/* false: to be made anew */
	Oid			rootid;
	Oid			history;
	int			nkeys;
	SPIPlanPtr	plan;
} Probe;

static HTAB *probes = NULL;

/* A table, or what it is called, has changed: the SQL may no longer be right. */
static void
forget_probes(Oid relid)
{
	HASH_SEQ_STATUS seq;
	Probe	   *probe;

	hash_seq_init(&seq, probes);
	while ((probe = hash_seq_search(&seq)) != NULL)
		if (!OidIsValid(relid) || relid == probe->relid ||
			relid == probe->rootid || relid == probe->history)
			probe->valid = false;
}

static void
relcache_callback(Datum arg pg_attribute_unused(), Oid relid)
{
	forget_probes(relid);
}

static void
syscache_callback(Datum arg pg_attribute_unused(), int cacheid pg_attribute_unused(),
				  uint32 hashvalue pg_attribute_unused())
{
	forget_probes(InvalidOid);
}

/* The plan for a row of `relid`'s type out of an scd2 table; needs SPI_connect. */
static Probe *
find_probe(const FfsTable *table, Oid relid)
{
	Probe	   *probe;
	bool		found;
	Reader	   *reader;
	Oid		   *types;
	const char *valid_from;
	SPIPlanPtr	plan;

	if (probes == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Probe)};

		probes = hash_create("ffstorage row probes", 32, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, syscache_callback, (Datum) 0);
	}
	probe = hash_search(probes, &relid, HASH_FIND, NULL);
	if (probe != NULL && probe->valid)
		return probe;

	reader = ffs_temporal_reader(table);
	valid_from = quote_identifier(NameStr(TupleDescAttr(reader->desc, reader->stamp[FFS_VALID_FROM] - 1)->attname));
	types = palloc((reader->nkeys + 1) * sizeof(Oid));
	memcpy(types, reader->key_type, reader->nkeys * sizeof(Oid));
	types[reader->nkeys] = TIMESTAMPTZOID;
	plan = SPI_prepare(psprintf("SELECT %s FROM %s t WHERE %s AND t.%s OPERATOR(pg_catalog.<=) $%d"
								" UNION ALL SELECT %s FROM (SELECT v.* FROM %s v WHERE %s"
								" AND v.%s OPERATOR(pg_catalog.<=) $%d ORDER BY v.%s DESC LIMIT 1) h"
								" WHERE h.valid_to OPERATOR(pg_catalog.>) $%d",
								ffs_temporal_row_expression(reader, relid, "t", false),
								reader->table, ffs_temporal_key_clause(reader, "t", 1),
								valid_from, reader->nkeys + 1,
								ffs_temporal_row_expression(reader, relid, "h", true),
								reader->side, ffs_temporal_key_clause(reader, "v", 1),
								valid_from, reader->nkeys + 1, valid_from, reader->nkeys + 1),
					   reader->nkeys + 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a look-up in the history: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);

	probe = hash_search(probes, &relid, HASH_ENTER, &found);
	if (found)
		SPI_freeplan(probe->plan);
	probe->rootid = reader->rootid;
	probe->history = reader->side_relid;
	/* an invalidation that came meanwhile is caught by the plan itself */
	probe->valid = true;
	probe->nkeys = reader->nkeys;
	probe->plan = plan;
	return probe;
}

/* The row from audit entries, as jsonb_populate_record() makes it. */
static bool
row_from_audit(const FfsTable *table, Oid relid, const Datum *key, TimestampTz moment, Datum *row)
{
	Reader	   *reader = ffs_temporal_reader(table);
	int			nentries;
	AuditEntry *entries = ffs_temporal_audit_entries(reader, key, moment, &nentries);
	Jsonb	   *json = NULL;
	Oid			type = JSONBOID;
	Datum		value;
	bool		isnull;

	for (int i = 0; i < nentries; i++)
		json = ffs_temporal_replay(reader, json, &entries[i]);
	if (json == NULL)
		return false;

	value = JsonbPGetDatum(json);
	if (SPI_execute_with_args(psprintf("SELECT pg_catalog.jsonb_populate_record(NULL::%s, $1)",
									   ffs_base_relation_name(relid)),
							  1, &type, &value, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not build a row from its audit entries");
	*row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return !isnull;
}

/* The relation that the first argument, NULL::relation, names by its type. */
static Oid
argument_relation(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(getBaseType(type)) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the first argument is not of a table's row type"),
				 errdetail("Its type is %s.", OidIsValid(type) ? format_type_be(type) : "unknown"),
				 errhint("Name the table by a NULL of its row type, as in ffs_row_at(NULL::contracts, ...).")));
	return relid;
}

static Datum
ffs_row_at_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = argument_relation(fcinfo);
	FfsTable   *table = ffs_registry_get(relid, false);
	Datum		values[INDEX_MAX_KEYS + 1];
	TimestampTz moment;
	Datum		row = (Datum) 0;
	bool		found;
	bool		pushed;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set"),
				 errdetail("ffs_row_at() gives a row or none."),
				 errhint("Call it in FROM.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the moment is null"),
				 errdetail("A row is looked up as of a moment."),
				 errhint("Give a timestamp, such as now().")));
	moment = PG_GETARG_TIMESTAMPTZ(1);
	/* again, under a lock: it may have been dropped or changed while we waited */
	LockRelationOid(table->rootid, AccessShareLock);
	table = ffs_registry_get(table->rootid, false);
	ffs_registry_key_from_args(table, fcinfo, 2, values);

	pushed = ffs_temporal_catch_up(table->rootid);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (table->strategy == FFS_STRATEGY_SCD2)
	{
		Probe	   *probe = find_probe(table, relid);

		values[probe->nkeys] = TimestampTzGetDatum(moment);
		if (SPI_execute_plan(probe->plan, values, NULL, true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look up a row in the history");
		found = SPI_processed > 0;
		if (found)
		{
			bool		isnull;

			row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
			Assert(!isnull);
		}
	}
	else
		found = row_from_audit(table, relid, values, moment, &row);
	if (found)
		row = SPI_datumTransfer(row, false, -1);
	SPI_finish();
	if (pushed)
		PopActiveSnapshot();

	if (!found)
	{
		rsinfo->isDone = ExprEndResult;
		PG_RETURN_NULL();
	}
	rsinfo->isDone = ExprSingleResult;
	PG_RETURN_DATUM(row);
}
