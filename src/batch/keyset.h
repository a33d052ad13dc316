/*-------------------------------------------------------------------------
 *
 * keyset.h
 *		The keys that came before in a call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_KEYSET_H
#define FFS_BATCH_KEYSET_H

#include "postgres.h"

#include "batch/feed.h"

typedef struct KeySet KeySet;

/* An empty set of keys of these columns, in the current memory context. */
extern KeySet *ffs_batch_open_key_set(RowReader *reader, int ncolumns, const AttrNumber *columns);

/*
 * The number of the row that had the same key before, or 0, when the key is
 * remembered.  A key that the row does not give wholly, or with a NULL, is none.
 */
extern int	ffs_batch_key_before(KeySet *set, const FeedRow *row);

#endif							/* FFS_BATCH_KEYSET_H */
