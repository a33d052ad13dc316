#include "postgres.h"

#include "temporal/temporal.h"

void
ffs_temporal_init(void)
{
}
