#include "postgres.h"

#include "tenancy/tenancy.h"

void
ffs_tenancy_init(void)
{
}
