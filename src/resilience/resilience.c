/*-------------------------------------------------------------------------
 *
 * resilience.c
 *		Opens the room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "resilience/bounds.h"
#include "resilience/breaker.h"
#include "resilience/resilience.h"
#include "resilience/validate.h"

void
ffs_resilience_init(void)
{
	ffs_resilience_breaker_init();
	ffs_resilience_calls_init();
	ffs_validate_init();
}
