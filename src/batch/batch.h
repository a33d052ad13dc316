/*-------------------------------------------------------------------------
 *
 * batch.h
 *		Rows by key and many at a time: create, get, update, delete, restore.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_H
#define FFS_BATCH_H

extern void ffs_batch_init(void);

#endif							/* FFS_BATCH_H */
