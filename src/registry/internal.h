/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files of the registry room tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_INTERNAL_H
#define FFS_REGISTRY_INTERNAL_H

#include "postgres.h"

extern void ffs_registry_descriptor_init(void);

#endif							/* FFS_REGISTRY_INTERNAL_H */
