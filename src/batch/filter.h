/*-------------------------------------------------------------------------
 *
 * filter.h
 *		Filters and orders that callers give, as pieces of SQL.
 *
 * Nothing that a caller writes reaches the SQL text: columns are looked up and
 * quoted, operators come from a fixed list, values become parameters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_FILTER_H
#define FFS_BATCH_FILTER_H

#include "postgres.h"

#include "batch/select.h"

/* A reader whose values are the columns' base types', of any length: what a column is compared with. */
extern RowReader *ffs_batch_open_filter_reader(Relation rel, FfsTable *table);

/*
 * Append the condition that a filter (a jsonb object) means for the rows of
 * FROM ... AS ffs_row: at least TRUE.
 */
extern void ffs_batch_append_filter(StringInfo query, RowReader *reader, Jsonb *filter, QueryParams *params);

/* Append the sort keys that an order like 'value DESC NULLS LAST, id' means. */
extern void ffs_batch_append_order(StringInfo query, RowReader *reader, const char *order);

/* As much of a text of the caller's as a message should show. */
extern char *ffs_batch_shown(const char *text, int length);

#endif							/* FFS_BATCH_FILTER_H */
