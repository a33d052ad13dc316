/*-------------------------------------------------------------------------
 *
 * checks_tables.c
 *		Health checks about managed tables: indexes on tenant columns that are
 *		missing, and history that grows.
 *
 * Whether triggers, policies and what stands beside a table are in place,
 * indexes included, is checked by the registry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "stats/checks.h"

#define MAX_SHOWN 10

static int	index_rows = 10000;
static int	history_ratio = 20;
static int	history_size = 1024;	/* MB */

/* The rows' first columns, as a list; then the connection ends. */
static char *
list_rows(uint64 *n)
{
	StringInfoData buf;

	initStringInfo(&buf);
	*n = SPI_processed;
	for (uint64 i = 0; i < Min(*n, MAX_SHOWN); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? " " : "", ffs_stats_text_of(i, 1));
	if (*n > MAX_SHOWN)
		appendStringInfo(&buf, " And %llu more.", (unsigned long long) (*n - MAX_SHOWN));
	return buf.data;
}

static void
report_rows(FfsHealthSink *sink, FfsHealthStatus bad, const char *good, const char *message, const char *hint)
{
	uint64		n;
	char	   *details = list_rows(&n);

	if (n == 0)
		ffs_stats_report(sink, FFS_HEALTHY, good, NULL, NULL);
	else
		ffs_stats_report(sink, bad, message, details, hint);
	SPI_finish();
}

/* Every query for one tenant's rows reads the whole table where no index begins with the tenant column. */
static void
check_tenant_indexes(FfsHealthSink *sink)
{
	ffs_stats_query(psprintf(
		"SELECT format('%%s (%%s rows) has no index that begins with %%I.', "
		"t.relid::regclass, c.reltuples::int8, m.tenant_column) "
		"FROM ffstorage.managed m CROSS JOIN LATERAL pg_partition_tree(m.relation) t "
		"JOIN pg_class c ON c.oid = t.relid "
		"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = m.tenant_column AND NOT a.attisdropped "
		"WHERE m.tenant_column IS NOT NULL AND t.isleaf AND c.reltuples >= %d "
		"AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum) "
		"UNION ALL "
		"SELECT format('%%s (%%s rows) has no index that begins with %%I.', "
		"c.oid::regclass, c.reltuples::int8, m.tenant_column) "
		"FROM ffstorage.managed m JOIN pg_class c ON c.oid = m.relation "
		"JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = m.tenant_column AND NOT a.attisdropped "
		"WHERE m.tenant_column IS NOT NULL AND c.relkind = 'r' AND NOT c.relispartition AND c.reltuples >= %d "
		"AND NOT EXISTS (SELECT FROM pg_partition_tree(m.relation)) "
		"AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum) "
		"ORDER BY 1", index_rows, index_rows));
	report_rows(sink, FFS_DEGRADED, "tenant columns have their indexes", "indexes on tenant columns are missing",
				"Run the commands that ffs_index_advice() gives for the table, as its owner.");
}

static void
check_history_growth(FfsHealthSink *sink)
{
	ffs_stats_query(psprintf(
		"SELECT format('%%s beside %%s, %%s times the table.', pg_size_pretty(h.bytes), h.relid::regclass, "
		"round(h.bytes / greatest(t.bytes, 8192.0))) "
		"FROM ffstorage.stat_managed() h(relid, bytes) "
		"CROSS JOIN LATERAL (SELECT coalesce(sum(c.relpages::int8), 0) * current_setting('block_size')::int8 AS bytes "
		"FROM pg_class c WHERE c.oid = h.relid OR c.oid IN (SELECT p.relid FROM pg_partition_tree(h.relid) p)) t "
		"WHERE h.bytes >= %d::int8 * 1048576 AND h.bytes >= greatest(t.bytes, 8192) * %d "
		"ORDER BY h.bytes DESC", history_size, history_ratio));
	report_rows(sink, FFS_DEGRADED, "history is in proportion to its tables", "history grows out of proportion",
				"Look what changes so often (ffs_stat_operations), leave columns out that need no history (exclude), or move old history away.");
}

void
ffs_stats_init_table_checks(void)
{
	ffs_stats_define_threshold("ffstorage.health_index_rows",
							   "Tables with fewer rows need no index on the tenant column.", NULL,
							   &index_rows, 10000, 0, 0);
	ffs_stats_define_threshold("ffstorage.health_history_ratio",
							   "Health is degraded when what stands beside a table is so many times as large.",
							   "And at least ffstorage.health_history_size.",
							   &history_ratio, 20, 1, 0);
	ffs_stats_define_threshold("ffstorage.health_history_size",
							   "What stands beside a table and is smaller is never out of proportion.", NULL,
							   &history_size, 1024, 0, GUC_UNIT_MB);
	ffs_stats_register_check("tenant_indexes", check_tenant_indexes);
	ffs_stats_register_check("history_growth", check_history_growth);
}
