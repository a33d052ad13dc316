/*-------------------------------------------------------------------------
 *
 * registry.c
 *		Opens the registry room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "registry/internal.h"
#include "registry/registry.h"
#include "registry/rowcache.h"

const FfsRowCache *ffs_registry_row_cache = NULL;

void
ffs_registry_init(void)
{
	ffs_registry_descriptor_init();
	ffs_registry_amiss_init();
	ffs_registry_advice_init();
	ffs_registry_ddl_init();
}
