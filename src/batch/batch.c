#include "postgres.h"

#include "batch/batch.h"

void
ffs_batch_init(void)
{
}
