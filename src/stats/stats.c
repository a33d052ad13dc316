#include "postgres.h"

#include "stats/stats.h"

void
ffs_stats_init(void)
{
}
