/*-------------------------------------------------------------------------
 *
 * temporal.h
 *		Writing the past (triggers) and reading it (history, one row then).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TEMPORAL_H
#define FFS_TEMPORAL_H

#include "postgres.h"

#include "access/transam.h"
#include "datatype/timestamp.h"

extern void ffs_temporal_init(void);

/* This transaction's stamp: the clock at its first write to a managed table. */
extern TimestampTz ffs_temporal_now(void);
/* Who writes: ffs_set_actor(), ffstorage.actor, else session_user. */
extern const char *ffs_temporal_actor(void);

/* Write out what the running statements have buffered (for readers inside a statement). */
extern void ffs_temporal_flush(void);

/*
 * The next row inserted into rootid by this backend goes on with a life that
 * had ended: ffs_restore sets this around its INSERT.  version is the version
 * to give, and its stamp is to be later than `after`; created_* of the row are
 * kept as given.
 */
extern void ffs_temporal_begin_restore(Oid rootid, int32 version, TimestampTz after, const char *operation);
extern void ffs_temporal_end_restore(void);

#endif							/* FFS_TEMPORAL_H */
