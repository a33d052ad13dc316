/*-------------------------------------------------------------------------
 *
 * select.h
 *		Queries whose rows are a function's result.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_SELECT_H
#define FFS_BATCH_SELECT_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "tcop/dest.h"

#include "batch/rows.h"

/* The parameters of a query, as they are added to its text. */
typedef struct QueryParams
{
	int			n;
	int			capacity;
	Oid		   *types;
	Datum	   *values;
} QueryParams;

/* Add one; the number that stands for it after $. */
extern int	ffs_batch_add_param(QueryParams *params, Oid type, Datum value);

/* Append the columns of `desc` as a list for SELECT ... FROM ... AS ffs_row; dropped ones as NULLs. */
extern void ffs_batch_append_columns(StringInfo query, TupleDesc desc);

/* Where a query's rows go to be a materialized result; the query's columns are the result's. */
extern DestReceiver *ffs_batch_open_result(ReturnSetInfo *result);

/*
 * Run a SELECT in the snapshot of the calling statement, with a plan kept for
 * the session; its rows go to `dest`, or where that is NULL to SPI_tuptable.
 * Needs SPI_connect.  How many there are.
 */
extern uint64 ffs_batch_run_select(const char *query, const QueryParams *params, DestReceiver *dest);

#endif							/* FFS_BATCH_SELECT_H */
