/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Opens the room: settings, health; and what SQL may ask of the cache.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "base/base.h"
#include "cache/cache.h"
#include "cache/cached.h"
#include "cache/results.h"
#include "cache/store.h"
#include "cache/tables.h"
#include "cache/verdict.h"
#include "cache/warm.h"
#include "registry/rowcache.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(stat_cache);
PG_FUNCTION_INFO_V1(ffs_cache_invalidate);
FFS_CALL(ffs_cache_warm);
PG_FUNCTION_INFO_V1(cache_reset);

int			ffs_cache_size = 64 * 1024;
int			ffs_cache_ttl = 300;
int			ffs_cache_max_row = 8192;
bool		ffs_cache_enabled = true;
int			ffs_cache_max_result = 4096;
char	   *ffs_cache_functions = NULL;

static const FfsRowCache row_cache = {
	ffs_cache_get,
	ffs_cache_find,
	ffs_cache_expect,
	ffs_cache_left_to_query,
	ffs_cache_row_written,
	ffs_cache_rows_inserted,
	ffs_cache_table_written
};

/* ---- health ---- */

static void
check_cache(FfsHealthSink *sink)
{
	StoreFigures figures;

	if (!ffs_cache_store_ready())
	{
		if (ffs_base_preloaded())
			ffs_stats_report(sink, FFS_HEALTH_OFF, "the cache is switched off",
							 "ffstorage.cache_size is 0: every call asks the tables.",
							 "Set ffstorage.cache_size and restart the server.");
		else
			ffs_stats_report(sink, FFS_HEALTH_OFF, "the cache needs shared memory",
							 "ffstorage is not in shared_preload_libraries: every call asks the tables.",
							 "Add ffstorage to shared_preload_libraries and restart the server.");
		return;
	}
	ffs_cache_figures(&figures);
	if (figures.blocked)
		ffs_stats_report(sink, FFS_DEGRADED, "the cache waits for old transactions",
						 "A transaction that was running or prepared when the cache was first used is not finished: nothing is put in until it is.",
						 "See pg_prepared_xacts, and pg_stat_activity for the oldest backend_xmin.");
	else
		ffs_stats_report(sink, FFS_HEALTHY, psprintf("the cache holds " UINT64_FORMAT " entries", figures.entries),
						 psprintf(UINT64_FORMAT " of " UINT64_FORMAT " bytes are in use.",
								  figures.used_bytes, figures.capacity_bytes), NULL);
}

/* ---- figures ---- */

static void
cache_figures(FfsFigureSink *sink)
{
	static const struct
	{
		const char *metric;
		const char *help;
	}			counters[N_COUNTERS] = {
		[COUNT_HITS] = {"hits", "Rows, or their absence, given without a look into the tables."},
		[COUNT_MISSES] = {"misses", "Rows that had to be read from their table."},
		[COUNT_BYPASSED] = {"bypassed", "Look-ups that were left to a query."},
		[COUNT_FILLS] = {"fills", "Rows that were put in."},
		[COUNT_REFUSED] = {"refused", "Rows that were not put in, because something of them was changing."},
		[COUNT_EVICTIONS] = {"evictions", "Entries that made room for others."},
		[COUNT_INVALIDATIONS] = {"invalidations", "Entries that were taken out because they changed."},
		[COUNT_RESULT_HITS] = {"result_hits", "Results of ffs_cached given without running the query."},
		[COUNT_RESULT_MISSES] = {"result_misses", "Queries of ffs_cached that had to be run."},
		[COUNT_RESULT_BYPASSED] = {"result_bypassed", "Queries of ffs_cached that cannot be cached."},
		[COUNT_RESULT_FILLS] = {"result_fills", "Results that were put in."},
		[COUNT_RESULT_REFUSED] = {"result_refused", "Results that were not put in."},
		[COUNT_RESULT_WAITS] = {"result_waits", "Calls that waited for another one that ran the same query."},
	};
	StoreFigures figures;

	if (!ffs_cache_store_ready())
		return;
	ffs_cache_figures(&figures);
	for (int i = 0; i < N_COUNTERS; i++)
		ffs_stats_figure(sink, FFS_COUNTER, counters[i].metric, "entries", counters[i].help,
						 (double) figures.counters[i], NULL, NULL);
	ffs_stats_figure(sink, FFS_GAUGE, "entries", "entries", "Rows and results in the cache.", (double) figures.entries, NULL, NULL);
	ffs_stats_figure(sink, FFS_GAUGE, "used", "bytes", "Bytes in use.", (double) figures.used_bytes, NULL, NULL);
	ffs_stats_figure(sink, FFS_GAUGE, "capacity", "bytes", "Bytes that there is room for.", (double) figures.capacity_bytes, NULL, NULL);
}

/* ---- settings ---- */

static bool
check_functions(char **newval, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	char	   *list = pstrdup(*newval);
	char	   *save = NULL;

	for (char *piece = strtok_r(list, ",", &save); piece != NULL; piece = strtok_r(NULL, ",", &save))
	{
		char	   *dot = strchr(piece, '.');

		if (dot == NULL || dot == piece || dot[1] == '\0')
		{
			GUC_check_errdetail("\"%s\" is not the name of a function with its schema.", piece);
			GUC_check_errhint("Write schema.name, separated by commas, without arguments.");
			return false;
		}
	}
	pfree(list);
	return true;
}

static void
define_settings(void)
{
	/* without preload a setting that needs a restart is still accepted */
	DefineCustomIntVariable("ffstorage.cache_size",
							"Shared memory for cached rows.",
							"0 switches the cache off. Needs ffstorage in shared_preload_libraries.",
							&ffs_cache_size, 64 * 1024, 0, MAX_KILOBYTES,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.cache_ttl",
							"How long a cached row is used.",
							"0 means as long as there is room. Cached rows are never stale: this bounds the cost of unused ones.",
							&ffs_cache_ttl, 300, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.cache_max_row",
							"The longest row that is cached.",
							"As it is in memory, TOAST included.",
							&ffs_cache_max_row, 8192, 64, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("ffstorage.cache_max_result",
							"The longest result of ffs_cached that is kept.",
							"All its rows together, as jsonb. A quarter of the cache is the most, whatever is said here.",
							&ffs_cache_max_result, 4096, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable("ffstorage.cache_functions",
							   "Functions that are not immutable and may be in queries of ffs_cached even so.",
							   "A list of schema.name. They must depend on nothing but their arguments, the role, its tenants, and tables that the query reads anyway.",
							   &ffs_cache_functions, "", PGC_SIGHUP, 0, check_functions, NULL, NULL);
	DefineCustomBoolVariable("ffstorage.cache",
							 "Lets ffs_get, ffs_get_many and ffs_cached use the cache.",
							 "Off, every call asks the tables; what they give is the same.",
							 &ffs_cache_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
ffs_cache_init(void)
{
	define_settings();
	ffs_stats_register_check("cache", check_cache);
	ffs_stats_register_figures("cache", cache_figures);
	ffs_cache_cached_init();
	ffs_cache_warm_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_cache_store_init();
	ffs_cache_results_init();
	ffs_cache_tables_init();
	ffs_cache_writes_init();
	if (ffs_cache_size > 0)
		ffs_registry_row_cache = &row_cache;
}

/* ---- what SQL may ask ---- */

/* ffstorage.stat_cache() returns record; no row without the cache */
Datum
stat_cache(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StoreFigures figures;
	Datum		values[N_COUNTERS + 5];
	bool		nulls[N_COUNTERS + 5] = {0};
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (!ffs_cache_store_ready())
		return (Datum) 0;
	ffs_cache_figures(&figures);
	for (int i = 0; i < N_COUNTERS; i++)
		values[n++] = Int64GetDatum((int64) figures.counters[i]);
	values[n++] = Int64GetDatum((int64) figures.entries);
	values[n++] = Int64GetDatum((int64) figures.used_bytes);
	values[n++] = Int64GetDatum((int64) figures.capacity_bytes);
	values[n++] = Int64GetDatum((int64) figures.shared_bytes);
	values[n++] = Int64GetDatum((int64) Min(figures.max_row, (Size) ffs_cache_max_row));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

static void
need_cache(void)
{
	if (ffs_cache_store_ready())
		return;
	ereport(WARNING,
			(errcode(FFS_ERRCODE_CACHE_UNAVAILABLE),
			 errmsg("there is no cache"),
			 errdetail("ffstorage is not in shared_preload_libraries, or ffstorage.cache_size is 0."),
			 errhint("Add ffstorage to shared_preload_libraries, set ffstorage.cache_size, and restart the server.")));
}

/* ffs_cache_invalidate(pattern text) returns bigint */
Datum
ffs_cache_invalidate(PG_FUNCTION_ARGS)
{
	uint64		removed = 0;
	Datum		pattern = PG_ARGISNULL(0) ? CStringGetTextDatum("%") : PG_GETARG_DATUM(0);
	ListCell   *lc;

	need_cache();
	if (!ffs_cache_store_ready())
		PG_RETURN_INT64(0);
	foreach(lc, ffs_registry_all())
	{
		Oid			relid = lfirst_oid(lc);
		char	   *name = get_rel_name(relid);
		char	   *schema = name != NULL ? get_namespace_name(get_rel_namespace(relid)) : NULL;

		if (schema == NULL || !ffs_compat_owns_relation(relid, GetUserId()))
			continue;
		if (DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID, CStringGetTextDatum(name), pattern)) ||
			DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
												 CStringGetTextDatum(psprintf("%s.%s", schema, name)), pattern)))
			removed += ffs_cache_remove(relid, ffs_cache_result_reads);
	}
	PG_RETURN_INT64((int64) removed);
}

/* ffs_cache_warm(relation regclass) returns bigint */
static Datum
ffs_cache_warm_call(PG_FUNCTION_ARGS)
{
	Oid			relid;
	FfsTable   *table;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null"),
				 errdetail("It says which table is to be read."),
				 errhint("Give the name of a managed table.")));
	relid = PG_GETARG_OID(0);
	table = ffs_registry_get(relid, false);
	if (table->relid != table->rootid)
		table = ffs_registry_get(table->rootid, false);
	if (!ffs_compat_owns_relation(table->relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table->relid));
	need_cache();
	if (!ffs_cache_store_ready())
		PG_RETURN_INT64(0);
	PG_RETURN_INT64((int64) ffs_cache_read_table(table));
}

/* ffstorage.cache_reset() returns void */
Datum
cache_reset(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	need_cache();
	if (ffs_cache_store_ready())
		ffs_cache_reset_counters();
	PG_RETURN_VOID();
}
