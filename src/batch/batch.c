/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Rows by key and many at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "batch/batch.h"
#include "batch/feed.h"

void
ffs_batch_init(void)
{
	ffs_batch_feed_init();
}
