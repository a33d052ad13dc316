/*-------------------------------------------------------------------------
 *
 * retry.c
 *		Writing a batch of which some rows may fail.
 *
 * A batch is written by one statement in one subtransaction.  Where a row
 * fails, the subtransaction is undone and the rows before it are written again
 * without it; where an error comes only after all rows were taken (a foreign
 * key, say), the batch is halved until the row is found.  That is dear, so
 * once a row has failed, rows are looked at before they are written, if the
 * call can do that: what surely fails is rejected, and what may fail is
 * written alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/errors.h"
#include "base/subxact.h"
#include "batch/errors.h"
#include "batch/retry.h"

/* ---- errors ---- */

void
ffs_batch_fail(int row, ErrorData *error)
{
	MemoryContext old = MemoryContextSwitchTo(error->assoc_context);

	error->detail = psprintf("Row %d of the input was refused%s%s", row,
							 error->detail ? ": " : ".",
							 error->detail ? error->detail : "");
	if (error->hint == NULL)
		error->hint = pstrdup("Mend the row, or call with on_error => 'report' to have the good rows written.");
	MemoryContextSwitchTo(old);
	ReThrowError(error);
	pg_unreachable();
}

void
ffs_batch_reject(BatchCall *call, FeedRow *row, ErrorData *error)
{
	MemoryContext old;

	call->rejected++;
	row->sqlstate = error->sqlerrcode;
	if (!call->report)
	{
		if (!call->leaning)
			ffs_batch_fail(row->number, error);
		row->error = error;
		return;
	}
	old = MemoryContextSwitchTo(call->batch_context);
	if (error->column_name != NULL && strstr(error->message, psprintf("\"%s\"", error->column_name)) == NULL)
		row->message = psprintf("column \"%s\": %s", error->column_name, error->message);
	else if (error->sqlerrcode == FFS_ERRCODE_VERSION_CONFLICT && error->detail != NULL)
		row->message = psprintf("%s: %s", error->message, error->detail);
	else
		row->message = pstrdup(error->message);
	MemoryContextSwitchTo(old);
	FreeErrorData(error);
}

/* ---- writing ---- */

ErrorData *
ffs_batch_try(BatchCall *call, void (*work) (BatchCall *call, void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	CHECK_FOR_INTERRUPTS();
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(call->batch_context);
	PG_TRY();
	{
		work(call, arg);
		ffs_base_release_subtransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(call->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		ffs_batch_feed_abandon(&call->feed);
		/* a row that is refused is told of by the call */
		if (ffs_batch_is_row_error(error->sqlerrcode))
			ffs_stats_forgive();
		RollbackAndReleaseCurrentSubTransaction();
		ffs_batch_name_column(call->reader, error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	call->reader->current = NULL;
	if (error != NULL && !ffs_batch_is_row_error(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/* Write rows [from, to) as part of what is at stake: an error ends the call. */
static void
write_unguarded(BatchCall *call, int from, int to)
{
	PG_TRY();
	{
		call->methods->write(call, from, to);
	}
	PG_CATCH();
	{
		int			at = call->feed.position;
		ErrorData  *error;

		MemoryContextSwitchTo(call->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		ffs_batch_feed_abandon(&call->feed);
		ffs_batch_name_column(call->reader, error);
		if (ffs_batch_is_row_error(error->sqlerrcode) && at >= from && at < to)
			ffs_batch_fail(call->feed.rows[at]->number, error);
		ReThrowError(error);
	}
	PG_END_TRY();
}

static void
write_work(BatchCall *call, void *arg pg_attribute_unused())
{
	call->methods->write(call, call->feed.from, call->feed.to);
}

/* Write rows [from, to).  NULL, or why it failed; nothing of it stands then. */
static ErrorData *
try_write(BatchCall *call, int from, int to)
{
	call->feed.from = from;
	call->feed.to = to;
	call->feed.position = from - 1;
	if (call->guarded)
		return ffs_batch_try(call, write_work, NULL);
	CHECK_FOR_INTERRUPTS();
	write_unguarded(call, from, to);
	return NULL;
}

/* Do all rows [from, to) name the same columns? */
static bool
are_alike(BatchCall *call, int from, int to)
{
	for (int i = from + 1; i < to; i++)
		if (memcmp(call->feed.rows[i]->given, call->feed.rows[from]->given,
				   sizeof(uint64) * call->reader->nwords) != 0)
			return false;
	return true;
}

/*
 * Once a row has failed, so many rows at most are tried at a time, and the
 * fewer, the more of them fail, lest each of very many failures cost a look
 * at all the rows that are left.
 */
#define MOST_AFTER_FAILURE 1000
#define FEWEST_AFTER_FAILURE 16

/* Write rows [from, to), leaving out those that fail. */
static void
write_rows(BatchCall *call, int from, int to)
{
	int			most = to - from;

	check_stack_depth();
	while (from < to)
	{
		int			end = from + Min(most, to - from);
		ErrorData  *error = try_write(call, from, end);
		int			at = call->feed.position;
		int			rejected = call->rejected;

		if (error == NULL)
		{
			from = end;
			most = most < MOST_AFTER_FAILURE / 2 ? most * 2 : MOST_AFTER_FAILURE;
			continue;
		}
		most = Max(Min(most, MOST_AFTER_FAILURE) / 2, FEWEST_AFTER_FAILURE);
		if (end - from == 1)
		{
			ffs_batch_reject(call, call->feed.rows[from], error);
			from = end;
		}
		else if (at >= from && at < end)
		{
			/* this row; but if an earlier one falls too, it may have been that one's fault */
			write_rows(call, from, at);
			if (call->rejected == rejected)
			{
				ffs_batch_reject(call, call->feed.rows[at], error);
				at++;
			}
			from = at;
		}
		else if (at < from && are_alike(call, from, end))
		{
			/* it did not begin, and would not for any of them */
			for (int i = from; i < end; i++)
				ffs_batch_reject(call, call->feed.rows[i], i == end - 1 ? error : ffs_batch_copy_error(error));
			from = end;
		}
		else
		{
			int			middle = from + (end - from) / 2;

			write_rows(call, from, middle);
			from = middle;
		}
	}
}

/* ---- looking before writing ---- */

/*
 * Rows are looked at before they are written for so many batches after the
 * last bad one, in this call and those that follow it in the session.
 */
#define CHECK_BATCHES 16

/* What tables had bad rows lately. */
static struct
{
	Oid			relid;
	int			checking;
	int			what;
}			troubles[8];
static int	next_trouble = 0;

/* False, once and for all, if there is no telling. */
static bool
begin_checking(BatchCall *call)
{
	if (call->check_begun)
		return true;
	if (!call->methods->can_check(call))
	{
		call->checking = -1;
		return false;
	}
	call->methods->begin_check(call);
	call->check_begun = true;
	return true;
}

void
ffs_batch_recall_trouble(BatchCall *call)
{
	call->checking = call->report && call->methods->can_check != NULL ? 0 : -1;
	if (call->checking < 0)
		return;
	for (int i = 0; i < (int) lengthof(troubles); i++)
		if (troubles[i].relid == call->table->relid)
		{
			call->checking = troubles[i].checking;
			call->check_what = troubles[i].what;
		}
	if (call->checking > 0)
		begin_checking(call);
}

void
ffs_batch_keep_trouble(BatchCall *call)
{
	int			at = -1;

	if (call->checking < 0)
		return;
	for (int i = 0; i < (int) lengthof(troubles); i++)
		if (troubles[i].relid == call->table->relid)
			at = i;
	if (at < 0)
	{
		if (call->checking == 0)
			return;
		at = next_trouble;
		next_trouble = (next_trouble + 1) % (int) lengthof(troubles);
	}
	troubles[at].relid = call->checking > 0 ? call->table->relid : InvalidOid;
	troubles[at].checking = call->checking;
	troubles[at].what = call->check_what;
}

/* What to look at so as to find such an error. */
static int
check_for(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
			return FFS_CHECK_UNIQUE;
		case ERRCODE_FOREIGN_KEY_VIOLATION:
			return FFS_CHECK_REFERENCES;
		default:
			return FFS_CHECK_ROW;
	}
}

typedef struct CheckedRows
{
	int			at;
	int			to;
} CheckedRows;

static void
check_work(BatchCall *call, void *arg)
{
	CheckedRows *checked = arg;

	for (; checked->at < checked->to; checked->at++)
	{
		FeedRow    *row = call->feed.rows[checked->at];

		row->doubtful = false;
		if (row->sqlstate == 0)
			call->methods->check(call, row);
		if (checked->at % 256 == 255)
			CHECK_FOR_INTERRUPTS();
	}
}

/* Take what surely fails out of rows [from, to); where those end that are left. */
static int
check_rows(BatchCall *call, int from, int to)
{
	CheckedRows checked = {.at = from, .to = to};
	FeedRow   **rows = call->feed.rows;
	ErrorData  *error;
	int			left = from;

	while ((error = ffs_batch_try(call, check_work, &checked)) != NULL)
	{
		FeedRow    *row = rows[checked.at++];

		/* a partition says it by its own name; a violation is not to be counted twice */
		if (call->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
			error->sqlerrcode != FFS_ERRCODE_TENANT_VIOLATION)
		{
			row->doubtful = true;
			FreeErrorData(error);
		}
		else
			ffs_batch_reject(call, row, error);
	}
	for (int i = from; i < to; i++)
		if (rows[i]->sqlstate == 0)
			rows[left++] = rows[i];
	return left;
}

static void write_unchecked(BatchCall *call, int from, int to);

/*
 * Look at rows [from, to) and write those that are left, the doubtful ones
 * alone, in their place.  Rows that others of the batch may refer to go in
 * together, though, and the doubtful ones, which will surely fail, after them.
 */
static void
write_checked(BatchCall *call, int from, int to)
{
	FeedRow   **rows = call->feed.rows;

	to = check_rows(call, from, to);
	if (call->leaning && !call->swayed)
	{
		FeedRow   **doubtful = palloc_extended(sizeof(FeedRow *) * Max(to - from, 1), MCXT_ALLOC_HUGE);
		int			ndoubtful = 0;
		int			ngood = from;

		for (int i = from; i < to; i++)
			if (rows[i]->doubtful)
				doubtful[ndoubtful++] = rows[i];
			else
				rows[ngood++] = rows[i];
		memcpy(rows + ngood, doubtful, sizeof(FeedRow *) * ndoubtful);
	}
	while (from < to)
	{
		int			end = from;

		while (end < to && !rows[end]->doubtful)
			end++;
		if (end > from)
			write_unchecked(call, from, end);
		if (end < to)
			write_rows(call, end, end + 1);
		from = end + 1;
	}
}

/* Write rows [from, to); if one fails for what was not looked at, look at that. */
static void
write_unchecked(BatchCall *call, int from, int to)
{
	ErrorData  *error = try_write(call, from, to);
	int			at = call->feed.position;
	int			what;
	bool		can_check;
	bool		its_own;

	if (error == NULL)
		return;
	what = check_for(error->sqlerrcode);
	can_check = begin_checking(call);

	/*
	 * What no other row decides is this row's, and tenant violations are not
	 * to be counted twice.
	 */
	its_own = at >= from && at < to && what == FFS_CHECK_ROW &&
		((can_check && !call->swayed) || error->sqlerrcode == FFS_ERRCODE_TENANT_VIOLATION);
	if (its_own)
		ffs_batch_reject(call, call->feed.rows[at], error);
	if (at >= from && can_check && (call->check_what & what) == 0)
	{
		call->check_what |= what;
		write_checked(call, from, to);
	}
	else if (its_own)
	{
		write_rows(call, from, at);
		write_rows(call, at + 1, to);
	}
	else
		write_rows(call, from, to);
}

void
ffs_batch_write_batch(BatchCall *call, int n)
{
	int			rejected = call->rejected;

	if (n == 0)
		return;
	if (call->checking < 0)
	{
		write_rows(call, 0, n);
		return;
	}
	if (call->checking > 0)
		write_checked(call, 0, n);
	else
		write_unchecked(call, 0, n);
	if (call->checking < 0)
		return;
	if (call->rejected > rejected)
		call->checking = CHECK_BATCHES;
	else if (call->checking > 0)
		call->checking--;
	if (call->checking == 0)
		call->check_what = 0;
}

/*
 * Where rows may refer to one another, halving a batch takes rows from those
 * that refer to them.  So rows whose foreign key found nothing are tried again
 * together, as long as that brings some of them in.
 */
void
ffs_batch_write_leaning(BatchCall *call)
{
	for (;;)
	{
		FeedRow   **rows;
		int			n = 0;
		int			before = call->rejected;

		if (before == 0)
			return;
		rows = palloc_extended(sizeof(FeedRow *) * call->nrows, MCXT_ALLOC_HUGE);
		for (int i = 0; i < call->nrows; i++)
			if (call->rows[i].sqlstate == ERRCODE_FOREIGN_KEY_VIOLATION)
			{
				rows[n] = &call->rows[i];
				rows[n++]->sqlstate = 0;
			}
		if (n == 0)
			return;
		call->feed.rows = rows;
		call->rejected -= n;
		write_rows(call, 0, n);
		if (call->rejected == before)
			return;
	}
}
