/*-------------------------------------------------------------------------
 *
 * resilience.h
 *		Staying up: circuit breakers, statements that are tried again, bounds
 *		on how long and how many calls run, connections, checks of query texts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_RESILIENCE_H
#define FFS_RESILIENCE_H

extern void ffs_resilience_init(void);

#endif							/* FFS_RESILIENCE_H */
