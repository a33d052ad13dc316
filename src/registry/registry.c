#include "postgres.h"

#include "registry/registry.h"

void
ffs_registry_init(void)
{
}
