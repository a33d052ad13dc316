/*-------------------------------------------------------------------------
 *
 * debug.c
 *		Places where a test can make a session wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"

#include "base/debug.h"

bool		ffs_base_at_debug_point = false;

/* Setting ffstorage.debug_points */
static char *debug_points = NULL;

static void
assign_debug_points(const char *newval, void *extra pg_attribute_unused())
{
	ffs_base_at_debug_point = newval != NULL && newval[0] != '\0';
}

void
ffs_base_debug_init(void)
{
	DefineCustomStringVariable("ffstorage.debug_points",
							   "Where this session waits for advisory locks, for tests.",
							   "See src/base/debug.h.",
							   &debug_points, "", PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, assign_debug_points, NULL);
}

/* Is it among the names that the setting has, separated by commas? */
static bool
is_named(const char *name)
{
	Size		length = strlen(name);
	const char *at = debug_points;

	while ((at = strstr(at, name)) != NULL)
	{
		if ((at == debug_points || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
			return true;
		at += length;
	}
	return false;
}

void
ffs_base_debug_point(const char *name)
{
	uint64		key;
	LOCKTAG		tag;

	if (!is_named(name))
		return;
	key = hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, 1);
	/* of the session: there may be no transaction to hold it any more */
	(void) LockAcquire(&tag, ShareLock, true, false);
	(void) LockRelease(&tag, ShareLock, true);
}
