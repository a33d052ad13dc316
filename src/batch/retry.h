/*-------------------------------------------------------------------------
 *
 * retry.h
 *		Writing a batch of which some rows may fail: engine.c's other half.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_RETRY_H
#define FFS_BATCH_RETRY_H

#include "postgres.h"

#include "batch/engine.h"

/* The whole call fails for this row. */
extern void ffs_batch_fail(int row, ErrorData *error) pg_attribute_noreturn();

/*
 * Do some work in a subtransaction, in the memory context of the batch.  NULL,
 * or an error that is a row's own; others end the call.
 */
extern ErrorData *ffs_batch_try(BatchCall *call, void (*work) (BatchCall *call, void *arg), void *arg);

/* Write the first n rows of feed.rows, leaving out those that fail. */
extern void ffs_batch_write_batch(BatchCall *call, int n);
/* Try rows of the batch again whose foreign key found nothing, as long as that brings some of them in. */
extern void ffs_batch_write_leaning(BatchCall *call);

/* What is known from calls before about bad rows of the table, and what those after are to know. */
extern void ffs_batch_recall_trouble(BatchCall *call);
extern void ffs_batch_keep_trouble(BatchCall *call);

#endif							/* FFS_BATCH_RETRY_H */
