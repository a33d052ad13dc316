/*-------------------------------------------------------------------------
 *
 * stats.c
 *		Opens the room: its settings, its counters, its health checks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "stats/figures.h"
#include "stats/stats.h"

bool		ffs_stats_track = true;
int			ffs_stats_max_tables = 1000;
int			ffs_stats_max_tenants = 1000;
int			ffs_stats_slow_operation = 1000;
int			ffs_stats_max_slow_operations = 200;

/*
 * Without preload such a setting does nothing, but a configuration file that
 * has it must still be accepted; PGC_POSTMASTER is refused at that time.
 */
static void
define_size(const char *name, const char *what, const char *more, int *value, int boot, int min, int max)
{
	DefineCustomIntVariable(name, what, more, value, boot, min, max,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);
}

void
ffs_stats_init(void)
{
	DefineCustomBoolVariable("ffstorage.track",
							 "Counts operations on managed tables.",
							 "Figures need ffstorage in shared_preload_libraries.",
							 &ffs_stats_track, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("ffstorage.slow_operation",
							"Operations that take so long are kept in ffs_slow_operations.",
							"0 keeps every operation, -1 none.",
							&ffs_stats_slow_operation, 1000, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("ffstorage.metrics_tenants",
							 "Lets ffs_metrics show tenants by name.",
							 "Each tenant makes five samples more.",
							 &ffs_stats_metrics_tenants, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	define_size("ffstorage.max_tables",
				"Number of tables that there is room to count operations for.",
				"Counts for further tables are lost, and ffs_health says so.",
				&ffs_stats_max_tables, 1000, 10, 100000);
	define_size("ffstorage.max_tenants",
				"Number of tenants that there is room to count operations for.",
				"Of further ones, those that are least used are counted together.",
				&ffs_stats_max_tenants, 1000, 10, 100000);
	define_size("ffstorage.max_slow_operations",
				"Number of slow operations that are kept.",
				"The latest, over all databases.",
				&ffs_stats_max_slow_operations, 200, 1, 100000);

	ffs_stats_init_counters();
	ffs_stats_init_log();
	ffs_stats_init_tenants();
	ffs_stats_init_sqlstates();
	ffs_stats_init_slow();
	ffs_stats_init_failures();
	ffs_stats_init_prepared();
	ffs_stats_init_restart();
	if (process_shared_preload_libraries_in_progress)
		ffs_stats_init_pending();
	ffs_stats_init_checks();
	ffs_stats_init_progress();
}
