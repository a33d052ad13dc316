/*-------------------------------------------------------------------------
 *
 * literals.h
 *		Texts of the most usual form as values, without their types' input
 *		functions, which give the same and take longer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_LITERALS_H
#define FFS_BATCH_LITERALS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/uuid.h"

/* Each is false for any other form, good or bad: the input function decides then. */

/* 36 characters with the hyphens in their places */
extern bool ffs_batch_parse_uuid(const char *text, int length, pg_uuid_t *result);
/* 2026-01-31 */
extern bool ffs_batch_parse_date(const char *text, int length, DateADT *result);
/* 2026-01-31T23:59:59.123456, T or a blank, up to six digits after the point; with_zone: then Z, +02 or +02:00 */
extern bool ffs_batch_parse_timestamp(const char *text, int length, bool with_zone, Timestamp *result);

#endif							/* FFS_BATCH_LITERALS_H */
