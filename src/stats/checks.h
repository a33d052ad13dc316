/*-------------------------------------------------------------------------
 *
 * checks.h
 *		What the files with health checks tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CHECKS_H
#define FFS_CHECKS_H

#include "postgres.h"

#include "stats/stats.h"

/* Setting: ffstorage.health_timeout, in milliseconds */
extern int	ffs_stats_health_timeout;

/* Run a query, and stay connected to SPI; its rows' columns, counted from 1. */
extern void ffs_stats_query(const char *sql);
extern int64 ffs_stats_int_of(uint64 row, int column);
extern char *ffs_stats_text_of(uint64 row, int column);

extern void ffs_stats_define_threshold(const char *name, const char *what, const char *more,
									   int *value, int boot, int min, int flags);

/* checks_tables.c */
extern void ffs_stats_init_table_checks(void);

#endif							/* FFS_CHECKS_H */
