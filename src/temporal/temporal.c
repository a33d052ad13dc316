/*-------------------------------------------------------------------------
 *
 * temporal.c
 *		Opens the temporal room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "temporal/temporal.h"
#include "temporal/write.h"

void
ffs_temporal_init(void)
{
	ffs_temporal_transaction_init();
	ffs_temporal_buffer_init();
	ffs_temporal_copy_init();
	ffs_temporal_triggers_init();
	ffs_temporal_statements_init();
}
