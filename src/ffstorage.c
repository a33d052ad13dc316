/*-------------------------------------------------------------------------
 *
 * ffstorage.c
 *		The table of contents: every room is opened here, callees first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/base.h"
#include "batch/batch.h"
#include "cache/cache.h"
#include "registry/registry.h"
#include "resilience/resilience.h"
#include "stats/stats.h"
#include "temporal/temporal.h"
#include "tenancy/tenancy.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	ffs_base_init();
	ffs_stats_init();
	ffs_tenancy_init();
	ffs_registry_init();
	ffs_temporal_init();
	ffs_batch_init();
	ffs_cache_init();
	ffs_resilience_init();
	ffs_base_init_done();
}
