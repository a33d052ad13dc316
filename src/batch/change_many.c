/*-------------------------------------------------------------------------
 *
 * change_many.c
 *		ffs_update_many, ffs_delete_many: rows changed by key, a batch at a
 *		time.
 *
 * A batch is one UPDATE or DELETE that joins the table to the batch's feed by
 * the primary key.  The expected version of a row travels in the feed's version
 * column, which nobody else may give.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/subxact.h"
#include "base/call.h"
#include "batch/batch.h"
#include "batch/engine.h"
#include "batch/errors.h"
#include "batch/one.h"

FFS_CALL(ffs_update_many);
FFS_CALL(ffs_delete_many);

typedef struct ChangeCall
{
	BatchCall	call;			/* first */
	Jsonb	   *input;
	bool		deletes;
	KeyOrder   *order;

	/* the last statement's text, and what it was made for */
	char	   *query;
	CmdType		query_command;
	uint64	   *query_columns;
	bool		query_mixed;
	uint64	   *columns;		/* scratch */
	uint64	   *none;			/* no column takes its default */
} ChangeCall;

/* ---- reading ---- */

static void
read_patch(BatchCall *call, FeedRow *row)
{
	RowReader  *reader = call->reader;
	KeyArgument key;

	memset(&key, 0, sizeof(key));
	memset(row->nulls, true, reader->natts);
	ffs_batch_read_object(reader, ffs_batch_array_object(((ChangeCall *) call)->input, row->number),
						  row->values, row->nulls, row->given);
	ffs_batch_patch_key(reader, row->values, row->nulls, row->given, key.values);
	ffs_batch_read_version(call->table, &reader->version, &key);
	ffs_batch_key_to_row(row, call->table, &key);
}

/* Only the key of a patch; what it lacks is found when it is read. */
static void
read_patch_key(BatchCall *call, const KeyOrder *order, FeedRow *row)
{
	ffs_batch_read_members(call->reader, ffs_batch_array_object(((ChangeCall *) call)->input, row->number),
						   order->ncolumns, order->columns, row->values, row->nulls, row->given);
}

static void
read_key(BatchCall *call, FeedRow *row)
{
	FfsTable   *table = call->table;
	KeyArgument key;

	memset(row->nulls, true, call->reader->natts);
	ffs_batch_read_key(table, ffs_batch_array_element(((ChangeCall *) call)->input, row->number),
					   false, &key);
	ffs_batch_key_to_row(row, table, &key);
}

static void
read_only_key(BatchCall *call, const KeyOrder *order pg_attribute_unused(), FeedRow *row)
{
	read_key(call, row);
}

/* ---- the statement ---- */

static const char *
column_name(BatchCall *call, AttrNumber attno)
{
	return quote_identifier(call->reader->columns[attno - 1].name);
}

static bool
is_key(const FfsTable *table, AttrNumber attno)
{
	for (int i = 0; i < table->nkeys; i++)
		if (table->key[i] == attno)
			return true;
	return false;
}

/* How a row of the table and one of the feed belong together. */
static void
append_join(StringInfo query, BatchCall *call, bool versions)
{
	ffs_batch_append_key_join(query, call->table, "ffs_target", "ffs_feed");
	if (versions)
	{
		const char *name = column_name(call, call->table->stamp[FFS_VERSION]);

		appendStringInfo(query, " AND (ffs_feed.%s IS NULL OR ffs_target.%s OPERATOR(pg_catalog.=) ffs_feed.%s)",
						 name, name, name);
	}
}

/*
 * SET of the columns; where not all rows name all of them, each leaves the
 * others as they are.  How many there are.
 */
static int
append_set(StringInfo query, BatchCall *call, const uint64 *columns, bool mixed)
{
	int			n = 0;

	for (AttrNumber attno = 1; attno <= call->reader->natts; attno++)
	{
		const char *name;

		if (!ffs_batch_is_given(columns, attno) || is_key(call->table, attno) ||
			call->reader->columns[attno - 1].stamp)
			continue;
		name = column_name(call, attno);
		appendStringInfo(query, "%s%s = ", n++ > 0 ? ", " : " SET ", name);
		if (mixed)
			appendStringInfo(query, "CASE WHEN " FFS_SCHEMA ".batch_given(%d) THEN ffs_feed.%s ELSE ffs_target.%s END",
							 attno, name, name);
		else
			appendStringInfo(query, "ffs_feed.%s", name);
	}
	return n;
}

/* The statement's text, and which it is. */
static char *
statement_text(ChangeCall *change, const uint64 *columns, bool mixed, bool versions)
{
	BatchCall  *call = &change->call;
	const char *name = call->reader->relation_name;
	StringInfoData query;

	initStringInfo(&query);
	change->query_command = CMD_DELETE;
	if (change->deletes)
		appendStringInfo(&query, "DELETE FROM %s AS ffs_target USING " FEED_NAME " AS ffs_feed", name);
	else
	{
		change->query_command = CMD_UPDATE;
		appendStringInfo(&query, "UPDATE %s AS ffs_target", name);
		if (append_set(&query, call, columns, mixed) > 0)
			appendStringInfoString(&query, " FROM " FEED_NAME " AS ffs_feed");
		else
		{
			/* nothing to change: is the row there? */
			change->query_command = CMD_SELECT;
			resetStringInfo(&query);
			appendStringInfo(&query, "SELECT 1 FROM %s AS ffs_target, " FEED_NAME " AS ffs_feed", name);
		}
	}
	appendStringInfoString(&query, " WHERE ");
	append_join(&query, call, versions);
	return query.data;
}

/* The statement for rows [from, to): of the columns that any of them names. */
static const char *
statement_for(ChangeCall *change, int from, int to)
{
	BatchCall  *call = &change->call;
	int			nwords = call->reader->nwords;
	AttrNumber	version = call->table->stamp[FFS_VERSION];
	uint64	   *columns = change->columns;
	bool		mixed = false;
	bool		versions = false;

	memset(columns, 0, sizeof(uint64) * nwords);
	for (int i = from; i < to; i++)
		for (int word = 0; word < nwords; word++)
			columns[word] |= call->feed.rows[i]->given[word];
	versions = version != 0 && ffs_batch_is_given(columns, version);
	for (int i = from; i < to && !mixed; i++)
		for (int word = 0; word < nwords; word++)
		{
			uint64		missing = columns[word] & ~call->feed.rows[i]->given[word];

			/* a row may do without an expected version */
			if (versions && (version - 1) / 64 == word)
				missing &= ~(UINT64CONST(1) << ((version - 1) % 64));
			mixed |= missing != 0;
		}
	if (change->query == NULL || mixed != change->query_mixed ||
		memcmp(columns, change->query_columns, sizeof(uint64) * nwords) != 0)
	{
		char	   *text = statement_text(change, columns, mixed, versions);

		if (change->query)
			pfree(change->query);
		change->query = MemoryContextStrdup(call->reader->context, text);
		memcpy(change->query_columns, columns, sizeof(uint64) * nwords);
		change->query_mixed = mixed;
	}
	call->feed.command = change->query_command;
	return change->query;
}

/* ---- rows that were not there ---- */

/* The statement passed over a row: an error that says why, where that is one. */
static void
explain_row(ChangeCall *change, FeedRow *row)
{
	BatchCall  *call = &change->call;
	FfsTable   *table = call->table;
	KeyArgument key;

	ffs_batch_key_from_row(row, table, &key);
	if (change->deletes && !key.has_version)
		return;
	ffs_batch_explain_absence(table, &key, !change->deletes);
	SPI_freetuptable(SPI_tuptable);
}

/* The same, where the row alone is rejected: the others stand. */
static void
reject_absent(ChangeCall *change, FeedRow *row)
{
	BatchCall  *call = &change->call;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		explain_row(change, row);
		ffs_base_release_subtransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(call->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!ffs_batch_is_row_error(error->sqlerrcode))
			ReThrowError(error);
		ffs_batch_reject(call, row, error);
	}
	PG_END_TRY();
}

/* ---- writing ---- */

static void
write_rows(BatchCall *call, int from, int to)
{
	ChangeCall *change = (ChangeCall *) call;
	Feed	   *feed = &call->feed;

	feed->from = from;
	feed->to = to;
	feed->columns = change->none;
	ffs_batch_feed_run(feed, statement_for(change, from, to));
	for (int i = from; i < to; i++)
	{
		if (feed->rows[i]->outcome != FEED_PASSED_OVER)
			continue;
		if (call->report)
			reject_absent(change, feed->rows[i]);
		else
		{
			feed->position = i;
			explain_row(change, feed->rows[i]);
		}
	}
	feed->position = to;
}

static const BatchMethods update_methods = {.read = read_patch, .read_key = read_patch_key, .write = write_rows};
static const BatchMethods delete_methods = {.read = read_key, .read_key = read_only_key, .write = write_rows};

/* ---- the calls ---- */

static Datum
run(FunctionCallInfo fcinfo, FfsOperation op, const char *input, bool deletes)
{
	ChangeCall *change = palloc0(sizeof(ChangeCall));
	BatchCall  *call = &change->call;
	FfsTable   *table;
	uint64		written;
	instr_time	start;

	InitMaterializedSRF(fcinfo, 0);
	table = call->table = ffs_batch_table_argument(fcinfo, 0, true);
	ffs_batch_begin(table->rootid, op, &start);
	change->input = ffs_batch_array_argument(fcinfo, 1, input);
	change->deletes = deletes;
	call->op = op;
	call->methods = deletes ? &delete_methods : &update_methods;
	call->report = ffs_batch_on_error_argument(fcinfo, 2);
	call->batch_size = ffs_batch_size_argument(fcinfo, 3);
	call->total = JB_ROOT_COUNT(change->input);
	ffs_batch_require_key(table);
	ffs_batch_require(table->relid, deletes ? ACL_DELETE : ACL_UPDATE);

	ffs_batch_open_call(call);
	call->actions[FEED_UPDATED] = deletes ? "deleted" : "updated";
	call->feed.returning = false;
	call->reader->for_update = call->reader->takes_version = !deletes;
	ffs_batch_order_by_index(call, table->pk_index);
	change->query_columns = palloc0(sizeof(uint64) * call->reader->nwords);
	change->columns = palloc0(sizeof(uint64) * call->reader->nwords);
	change->none = palloc0(sizeof(uint64) * call->reader->nwords);
	written = ffs_batch_run_call(call, fcinfo);
	ffs_batch_close_call(call);
	ffs_batch_count(table->rootid, op, written, start);
	return (Datum) 0;
}

static Datum
ffs_update_many_call(PG_FUNCTION_ARGS)
{
	return run(fcinfo, FFS_OP_UPDATE_MANY, "patches", false);
}

static Datum
ffs_delete_many_call(PG_FUNCTION_ARGS)
{
	return run(fcinfo, FFS_OP_DELETE_MANY, "keys", true);
}
