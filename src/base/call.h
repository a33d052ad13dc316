/*-------------------------------------------------------------------------
 *
 * call.h
 *		Where a call of a function that users call begins and ends: one place
 *		for whatever bounds such calls.
 *
 * FFS_CALL(ffs_x) in place of PG_FUNCTION_INFO_V1(ffs_x) declares the function
 * and defines it as a call of
 *
 *		static Datum ffs_x_call(PG_FUNCTION_ARGS)
 *
 * which does the work.  FFS_CALL_OF_ROWS(ffs_x) is for functions that return
 * rows one by one and do all their work before the first.  The room that
 * bounds calls sets ffs_base_call_watcher while there is a bound, and runs the
 * work itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BASE_CALL_H
#define FFS_BASE_CALL_H

#include "postgres.h"

#include "fmgr.h"

/* Does what `work` does, between what a call has to begin and end with. */
typedef Datum (*FfsCallWatcher) (FunctionCallInfo fcinfo, PGFunction work);

/* NULL while nobody watches. */
extern FfsCallWatcher ffs_base_call_watcher;

#define FFS_CALL(name) FFS_CALL_IF(name, true)
#define FFS_CALL_OF_ROWS(name) FFS_CALL_IF(name, fcinfo->flinfo->fn_extra == NULL)

#define FFS_CALL_IF(name, begins) \
	static Datum name##_call(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		if (unlikely(ffs_base_call_watcher != NULL) && (begins)) \
			return ffs_base_call_watcher(fcinfo, name##_call); \
		return name##_call(fcinfo); \
	} \
	extern int no_such_variable

#endif							/* FFS_BASE_CALL_H */
