/*-------------------------------------------------------------------------
 *
 * operations.c
 *		The counters as rows, for the views.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "stats/figures.h"

/* Names of operations, as ffs_stat_operations shows them. */
static const char *const operation_names[FFS_NOPERATIONS] = {
	[FFS_OP_INSERT] = "insert",
	[FFS_OP_UPDATE] = "update",
	[FFS_OP_DELETE] = "delete",
	[FFS_OP_TRUNCATE] = "truncate",
	[FFS_OP_RESTORE] = "restore",
	[FFS_OP_CREATE] = "ffs_create",
	[FFS_OP_CREATE_MANY] = "ffs_create_many",
	[FFS_OP_GET] = "ffs_get",
	[FFS_OP_GET_MANY] = "ffs_get_many",
	[FFS_OP_UPDATE_ONE] = "ffs_update",
	[FFS_OP_DELETE_ONE] = "ffs_delete",
	[FFS_OP_LIST] = "ffs_list",
	[FFS_OP_COUNT] = "ffs_count",
	[FFS_OP_UPDATE_MANY] = "ffs_update_many",
	[FFS_OP_DELETE_MANY] = "ffs_delete_many",
	[FFS_OP_RESTORE_MANY] = "ffs_restore_many",
	[FFS_OP_CREATE_RECORDS] = "ffs_create_records",
};

const char *
ffs_stats_operation_name(FfsOperation op)
{
	return operation_names[op];
}

PG_FUNCTION_INFO_V1(stat_operations);
PG_FUNCTION_INFO_V1(stat_violations);

/* calls, rows, errors, then milliseconds: total, mean, min, max, p50, p95, p99 */
#define N_FIGURES 10

static void
put_counts(const FfsCounts *counts, Datum *values, bool *nulls)
{
	values[0] = Int64GetDatum((int64) counts->calls);
	values[1] = Int64GetDatum((int64) counts->rows);
	values[2] = Int64GetDatum((int64) counts->errors);
	values[3] = Float8GetDatum(counts->total_ns / 1e6);
	if (counts->calls == 0)
	{
		memset(&nulls[4], true, N_FIGURES - 4);
		return;
	}
	values[4] = Float8GetDatum(counts->total_ns / 1e6 / counts->calls);
	values[5] = Float8GetDatum(counts->min_ns / 1e6);
	values[6] = Float8GetDatum(counts->max_ns / 1e6);
	values[7] = Float8GetDatum(ffs_stats_percentile(counts, 0.50) / 1e6);
	values[8] = Float8GetDatum(ffs_stats_percentile(counts, 0.95) / 1e6);
	values[9] = Float8GetDatum(ffs_stats_percentile(counts, 0.99) / 1e6);
}

static void
put_operation(const FfsOperationFigures *figures, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[2 + 2 * N_FIGURES];
	bool		nulls[2 + 2 * N_FIGURES] = {0};

	values[0] = ObjectIdGetDatum(figures->relid);
	nulls[0] = !OidIsValid(figures->relid);
	values[1] = CStringGetTextDatum(operation_names[figures->op]);
	put_counts(&figures->all, &values[2], &nulls[2]);
	put_counts(&figures->window, &values[2 + N_FIGURES], &nulls[2 + N_FIGURES]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * ffstorage.stat_operations(): one row for each table and operation that has
 * been counted in this database.
 */
Datum
stat_operations(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	ffs_stats_visit_operations(put_operation, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
put_violations(Oid relid, uint64 violations, TimestampTz latest, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[3];
	bool		nulls[3] = {0};

	values[0] = ObjectIdGetDatum(relid);
	nulls[0] = !OidIsValid(relid);
	values[1] = Int64GetDatum((int64) violations);
	values[2] = TimestampTzGetDatum(latest);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * ffstorage.stat_violations(): tenant violations per table of this database,
 * for tables that had any.
 */
Datum
stat_violations(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	ffs_stats_visit_violations(put_violations, fcinfo->resultinfo);
	return (Datum) 0;
}
