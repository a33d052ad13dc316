/*-------------------------------------------------------------------------
 *
 * resilience.c
 *		Opens the room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "resilience/resilience.h"

void
ffs_resilience_init(void)
{
}
