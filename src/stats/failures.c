/*-------------------------------------------------------------------------
 *
 * failures.c
 *		What the latest error was, and whose.
 *
 * An operation that fails is seen only when its transaction aborts, when the
 * error itself may be gone already.  Therefore a callback is on the error
 * context stack while statements run: the server calls it for every message,
 * and it keeps the SQLSTATE of the latest that was an error, and who the
 * caller said to be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/elog.h"

#include "base/base.h"
#include "stats/figures.h"

static FfsStatsText get_actor = NULL;
static FfsStatsText get_traceparent = NULL;

static int	latest_sqlstate = 0;
static FfsCaller failed_caller;

static ExecutorRun_hook_type prev_executor_run = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;

/* ---- who ---- */

void
ffs_stats_register_caller(FfsStatsText actor, FfsStatsText traceparent)
{
	get_actor = actor;
	get_traceparent = traceparent;
}

void
ffs_stats_copy_text(char *to, const char *from)
{
	int			len = 0;

	if (from != NULL)
	{
		len = strlen(from);
		if (len >= NAMEDATALEN)
			len = pg_mbcliplen(from, len, NAMEDATALEN - 1);
		memcpy(to, from, len);
	}
	to[len] = '\0';
}

static void
ask_caller(FfsCaller *caller)
{
	ffs_stats_copy_text(caller->actor, get_actor != NULL ? get_actor() : NULL);
	ffs_stats_copy_text(caller->traceparent, get_traceparent != NULL ? get_traceparent() : NULL);
}

const FfsCaller *
ffs_stats_caller(bool failed)
{
	static FfsCaller caller;

	if (failed)
		return &failed_caller;
	ask_caller(&caller);
	return &caller;
}

int
ffs_stats_latest_sqlstate(void)
{
	return latest_sqlstate != 0 ? latest_sqlstate : ERRCODE_INTERNAL_ERROR;
}

/* ---- watching ---- */

static void
note_error(void *arg pg_attribute_unused())
{
	int			sqlstate = geterrcode();

	/* what is no error has one of these, or is followed by the error */
	if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_SUCCESSFUL_COMPLETION ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_WARNING)
		return;
	latest_sqlstate = sqlstate;
	if (ffs_stats_slow_operation >= 0)
		ask_caller(&failed_caller);
}

static inline void
begin_watch(ErrorContextCallback *watcher)
{
	watcher->callback = note_error;
	watcher->arg = NULL;
	watcher->previous = error_context_stack;
	error_context_stack = watcher;
}

static inline void
end_watch(ErrorContextCallback *watcher)
{
	error_context_stack = watcher->previous;
}

static void
executor_run(FFS_EXECUTOR_RUN_ARGS)
{
	ErrorContextCallback watcher;

	begin_watch(&watcher);
	if (prev_executor_run)
		FFS_EXECUTOR_RUN(prev_executor_run);
	else
		FFS_EXECUTOR_RUN(standard_ExecutorRun);
	end_watch(&watcher);
}

static void
executor_finish(QueryDesc *desc)
{
	ErrorContextCallback watcher;

	begin_watch(&watcher);
	if (prev_executor_finish)
		prev_executor_finish(desc);
	else
		standard_ExecutorFinish(desc);
	end_watch(&watcher);
}

/*
 * Only those that change rows: what else runs here may count the levels of the
 * error context (ffs_base_is_running).
 */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	bool		watched = IsA(pstmt->utilityStmt, CopyStmt) || IsA(pstmt->utilityStmt, TruncateStmt);
	ErrorContextCallback watcher;

	if (watched)
		begin_watch(&watcher);
	next(pstmt, query, read_only_tree, context, params, env, dest, completion);
	if (watched)
		end_watch(&watcher);
}

void
ffs_stats_init_failures(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
