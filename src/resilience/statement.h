/*-------------------------------------------------------------------------
 *
 * statement.h
 *		A statement as text, with parameters as jsonb.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_RESILIENCE_STATEMENT_H
#define FFS_RESILIENCE_STATEMENT_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "utils/jsonb.h"

typedef struct FfsStatement
{
	char	   *text;
	Jsonb	   *params;			/* NULL: none */
	int			nparams;
	RawStmt    *raw;
} FfsStatement;

/*
 * Parse the text; in the current memory context, which must hold it as long as
 * it is needed.  Errors: no statement, several, one that ends transactions,
 * params that are no array.
 */
extern void ffs_resilience_statement_init(FfsStatement *statement, char *text, Jsonb *params);

/* Run it with its parameters; rows that it returns are dropped.  Needs SPI_connect. */
extern void ffs_resilience_statement_execute(FfsStatement *statement);

#endif							/* FFS_RESILIENCE_STATEMENT_H */
