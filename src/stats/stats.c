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

#include "stats/counters.h"
#include "stats/stats.h"

bool		ffs_stats_track = true;
int			ffs_stats_max_tables = 1000;

void
ffs_stats_init(void)
{
	DefineCustomBoolVariable("ffstorage.track",
							 "Counts operations on managed tables.",
							 "Figures need ffstorage in shared_preload_libraries.",
							 &ffs_stats_track, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	/*
	 * Without preload the setting does nothing, but a configuration file that
	 * has it must still be accepted; PGC_POSTMASTER is refused at this time.
	 */
	DefineCustomIntVariable("ffstorage.max_tables",
							"Number of tables that there is room to count operations for.",
							"Counts for further tables are lost, and ffs_health says so.",
							&ffs_stats_max_tables, 1000, 10, 100000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);

	ffs_stats_init_counters();
	ffs_stats_init_checks();
	ffs_stats_init_progress();
}
