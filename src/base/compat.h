/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between server versions, behind inline functions and
 *		macros, all on this page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_COMPAT_H
#define FFS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "ffstorage needs PostgreSQL 15 or later"
#endif

#include "utils/guc.h"
#include "utils/regproc.h"

/* The prefix that belongs to us: unknown settings under it are errors. */
static inline void
ffs_compat_reserve_prefix(const char *prefix)
{
	MarkGUCPrefixReserved(prefix);
}

/* A qualified name, quoted where it must be, as a list of its parts. */
static inline List *
ffs_compat_name_list(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

#endif							/* FFS_COMPAT_H */
