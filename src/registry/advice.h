/*-------------------------------------------------------------------------
 *
 * advice.h
 *		What the two files of ffs_index_advice tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_ADVICE_H
#define FFS_ADVICE_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

typedef struct Advice
{
	ReturnSetInfo *result;
	List	   *planned;		/* of what the rows so far create */
} Advice;

/* Add a row. */
extern void ffs_registry_advise(Advice *advice, Oid relid, const char *status, const char *reason,
								const char *command);

/* advice_invalid.c: rows for those indexes of these relations that are not valid */
extern void ffs_registry_advise_invalid(Advice *advice, List *relids);

#endif							/* FFS_ADVICE_H */
