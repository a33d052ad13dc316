/*-------------------------------------------------------------------------
 *
 * errors.h
 *		Which errors are a row's own, and what to do with them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_ERRORS_H
#define FFS_BATCH_ERRORS_H

#include "postgres.h"

/*
 * Is an error of this SQLSTATE the row's own, so that the next row may do
 * better?  Not those of the call, the transaction or the server: cancels,
 * serialization failures, lack of resources, what is broken inside.
 */
extern bool ffs_batch_is_row_error(int sqlstate);

/* A copy of an error, in the current memory context. */
extern ErrorData *ffs_batch_copy_error(const ErrorData *error);

#endif							/* FFS_BATCH_ERRORS_H */
