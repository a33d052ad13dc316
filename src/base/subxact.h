/*-------------------------------------------------------------------------
 *
 * subxact.h
 *		Subtransactions, of which a transaction may have very many.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BASE_SUBXACT_H
#define FFS_BASE_SUBXACT_H

#include "postgres.h"

/*
 * ReleaseCurrentSubTransaction(), with one difference: memory that the
 * subtransaction allocated to last as long as the transaction, and freed
 * since (statement triggers do that), does not stay behind.
 */
extern void ffs_base_release_subtransaction(void);

#endif							/* FFS_BASE_SUBXACT_H */
