/*-------------------------------------------------------------------------
 *
 * create_many.c
 *		ffs_create_many: rows from a jsonb array, a batch at a time.
 *
 * A batch is converted, then written by one INSERT in one subtransaction.
 * Where a row fails, the subtransaction is undone and the rows before it are
 * written again without it; where an error comes only after all rows were
 * taken (a foreign key, say), the batch is halved until the row is found.
 * So a good row is written twice at most for each bad one beside it, and once
 * where there is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "batch/batch.h"
#include "batch/errors.h"
#include "batch/feed.h"
#include "batch/keyset.h"
#include "batch/one.h"


PG_FUNCTION_INFO_V1(ffs_create_many);

typedef enum OnConflict
{
	CONFLICT_ERROR,
	CONFLICT_SKIP,
	CONFLICT_UPDATE
} OnConflict;

/* ---- a call ---- */

typedef struct Call
{
	Relation	rel;
	FfsTable   *table;
	RowReader  *reader;
	Feed		feed;
	OnConflict	on_conflict;
	bool		report;			/* or abort */
	bool		guarded;		/* each INSERT in a subtransaction */
	bool		leaning;		/* rows may refer to later rows of their batch */
	KeySet	   *sets[2];		/* the primary key, and conflict_columns: what came before */
	int			nsets;
	int			nconflict;		/* columns of the ON CONFLICT clause */
	AttrNumber *conflict;
	MemoryContext batch_context;

	FeedRow    *rows;			/* of this batch, in order */
	int			nrows;
	int			capacity;
	int			rejected;		/* in this batch */
	ErrorData  *first_error;	/* abort: of the row that could not be converted */
	int			first_error_row;
	uint64		written;

	/* the last INSERT's text, and what it was made for */
	char	   *query;
	uint64	   *query_columns;
	bool		query_mixed;
	uint64	   *columns;		/* scratch */
} Call;

/* ---- arguments ---- */

static int
keyword_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *const *words)
{
	char	   *given = NULL;
	StringInfoData list;

	if (!PG_ARGISNULL(n))
	{
		given = text_to_cstring(PG_GETARG_TEXT_PP(n));
		for (int i = 0; words[i]; i++)
			if (strcmp(given, words[i]) == 0)
				return i;
	}
	initStringInfo(&list);
	for (int i = 0; words[i]; i++)
		appendStringInfo(&list, "%s'%s'", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errdetail("It says how the batch is to be written."),
				 errhint("Give %s.", list.data)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s cannot be \"%s\"", name, given),
			 errdetail("It is none of the words that %s takes.", name),
			 errhint("Give %s.", list.data)));
	return 0;
}

static Jsonb *
rows_argument(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *rows;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("rows must not be null"),
				 errdetail("There is nothing to be created."),
				 errhint("Give a jsonb array of objects, one for each row.")));
	rows = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_ARRAY(rows) || JB_ROOT_IS_SCALAR(rows))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows must be a jsonb array"),
				 errdetail("What was given is %s.",
						   JB_ROOT_IS_SCALAR(rows) ? "a single value" : "an object"),
				 errhint("Put the rows into an array, even if there is only one.")));
	return rows;
}

/* Is there a unique index that ON CONFLICT (columns) would find? */
static bool
has_unique_index(Relation rel, int ncolumns, const AttrNumber *columns)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indimmediate && form->indisvalid &&
			form->indnkeyatts == ncolumns &&
			RelationGetIndexPredicate(index) == NIL && RelationGetIndexExpressions(index) == NIL)
		{
			found = true;
			for (int i = 0; i < ncolumns && found; i++)
			{
				found = false;
				for (int j = 0; j < form->indnkeyatts; j++)
					found |= form->indkey.values[j] == columns[i];
			}
		}
		index_close(index, AccessShareLock);
		if (found)
			break;
	}
	list_free(indexes);
	return found;
}

static void
conflict_argument(Call *call, FunctionCallInfo fcinfo, int n)
{
	FfsTable   *table = call->table;
	Datum	   *names;
	bool	   *nulls;
	int			nnames;
	StringInfoData list;

	if (table->nkeys > 0)
		call->sets[call->nsets++] = ffs_batch_open_key_set(call->reader, table->nkeys, table->key);

	if (PG_ARGISNULL(n))
	{
		if (call->on_conflict != CONFLICT_ERROR && table->nkeys == 0)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_KEY_MISSING),
					 errmsg("table %s has no primary key", call->reader->relation_name),
					 errdetail("A conflict is looked for on the primary key where conflict_columns is not given."),
					 errhint("Add a primary key to the table, or name the columns of a unique index in conflict_columns.")));
		call->nconflict = table->nkeys;
		call->conflict = table->key;
		return;
	}

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &names, &nulls, &nnames);
	if (nnames == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("conflict_columns must not be empty"),
				 errdetail("Without columns there is nothing to look for a conflict on."),
				 errhint("Name the columns of a unique index, or leave it NULL for the primary key.")));
	call->conflict = palloc(sizeof(AttrNumber) * nnames);
	initStringInfo(&list);
	for (int i = 0; i < nnames; i++)
	{
		AttrNumber	attno = InvalidAttrNumber;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("conflict_columns must not hold nulls"),
					 errdetail("Each of its elements is the name of a column."),
					 errhint("Name the columns of a unique index.")));
		attno = get_attnum(RelationGetRelid(call->rel), NameStr(*DatumGetName(names[i])));
		if (attno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							NameStr(*DatumGetName(names[i])), RelationGetRelationName(call->rel)),
					 errdetail("conflict_columns names it."),
					 errhint("Name the columns of a unique index.")));
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", NameStr(*DatumGetName(names[i])));
		call->conflict[i] = attno;
	}
	call->nconflict = nnames;
	if (!has_unique_index(call->rel, call->nconflict, call->conflict))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("table %s has no unique index on (%s)", call->reader->relation_name, list.data),
				 errdetail("A partial, deferrable or invalid index, or one over expressions, does not serve."),
				 errhint("Name the columns of a unique index, all of them.")));
	call->sets[call->nsets++] = ffs_batch_open_key_set(call->reader, call->nconflict, call->conflict);
}

/*
 * Could an error come after a row was taken, so that the row at hand is not
 * the culprit?  That is so where triggers other than ours run after rows:
 * foreign keys, above all.  Partitions may have some that we do not look at.
 */
static bool
errors_come_late(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			schema = get_namespace_oid(FFS_SCHEMA, false);

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return true;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_AFTER(trigger->tgtype) &&
			(TRIGGER_FOR_INSERT(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype)) &&
			get_func_namespace(trigger->tgfoid) != schema)
			return true;
	}
	return false;
}

/* Has the table a foreign key to itself? */
static bool
refers_to_itself(Relation rel, FfsTable *table)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		if (key->confrelid == table->relid || key->confrelid == table->rootid)
			return true;
	}
	return false;
}

/* May this role see the key columns of what it inserts? */
static bool
may_return_key(FfsTable *table)
{
	if (table->nkeys == 0)
		return false;
	if (pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < table->nkeys; i++)
		if (pg_attribute_aclcheck(table->relid, table->key[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	return true;
}

/* ---- the INSERT ---- */

static const char *
column_name(Call *call, AttrNumber attno)
{
	return quote_identifier(call->reader->columns[attno - 1].name);
}

/* May ON CONFLICT DO UPDATE set it? */
static bool
is_updatable(Call *call, AttrNumber attno)
{
	for (int i = 0; i < call->nconflict; i++)
		if (call->conflict[i] == attno)
			return false;
	for (int i = 0; i < call->table->nkeys; i++)
		if (call->table->key[i] == attno)
			return false;
	return true;
}

static char *
insert_text(Call *call, const uint64 *columns, bool mixed)
{
	StringInfoData buf;
	StringInfoData select;
	StringInfoData set;
	int			ncolumns = 0;
	int			nset = 0;

	initStringInfo(&buf);
	initStringInfo(&select);
	initStringInfo(&set);
	appendStringInfo(&buf, "INSERT INTO %s AS ffs_target", call->reader->relation_name);
	for (AttrNumber attno = 1; attno <= call->reader->natts; attno++)
	{
		const char *name;

		if (!ffs_batch_is_given(columns, attno))
			continue;
		name = column_name(call, attno);
		appendStringInfo(&buf, "%s%s", ncolumns > 0 ? ", " : " (", name);
		appendStringInfo(&select, "%sffs_feed.%s", ncolumns > 0 ? ", " : "", name);
		ncolumns++;
		if (!is_updatable(call, attno))
			continue;
		appendStringInfo(&set, "%s%s = ", nset++ > 0 ? ", " : "", name);
		/* a row that leaves the column out leaves it as it is */
		if (mixed)
			appendStringInfo(&set, "CASE WHEN " FFS_SCHEMA ".batch_given(%d) THEN EXCLUDED.%s ELSE ffs_target.%s END",
							 attno, name, name);
		else
			appendStringInfo(&set, "EXCLUDED.%s", name);
	}
	if (ncolumns > 0)
		appendStringInfoChar(&buf, ')');
	appendStringInfo(&buf, " SELECT %s FROM " FEED_NAME " AS ffs_feed", select.data);
	if (call->on_conflict != CONFLICT_ERROR)
	{
		appendStringInfoString(&buf, " ON CONFLICT (");
		for (int i = 0; i < call->nconflict; i++)
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", column_name(call, call->conflict[i]));
		if (call->on_conflict == CONFLICT_SKIP || nset == 0)
			appendStringInfoString(&buf, ") DO NOTHING");
		else
			appendStringInfo(&buf, ") DO UPDATE SET %s WHERE " FFS_SCHEMA ".batch_conflict()", set.data);
	}
	if (call->feed.returning)
	{
		appendStringInfoString(&buf, " RETURNING ");
		for (int i = 0; i < call->table->nkeys; i++)
			appendStringInfo(&buf, "%sffs_target.%s", i > 0 ? ", " : "",
							 column_name(call, call->table->key[i]));
	}
	return buf.data;
}

/* The INSERT for rows [from, to): of the columns that any of them names. */
static const char *
insert_for(Call *call, int from, int to)
{
	int			nwords = call->reader->nwords;
	uint64	   *columns = call->columns;
	bool		mixed = false;

	memcpy(columns, call->feed.rows[from]->given, sizeof(uint64) * nwords);
	for (int i = from + 1; i < to; i++)
	{
		const uint64 *given = call->feed.rows[i]->given;

		for (int word = 0; word < nwords; word++)
		{
			mixed |= columns[word] != given[word];
			columns[word] |= given[word];
		}
	}
	mixed &= call->on_conflict == CONFLICT_UPDATE;
	if (call->query == NULL || mixed != call->query_mixed ||
		memcmp(columns, call->query_columns, sizeof(uint64) * nwords) != 0)
	{
		char	   *text = insert_text(call, columns, mixed);

		if (call->query)
			pfree(call->query);
		call->query = MemoryContextStrdup(call->reader->context, text);
		memcpy(call->query_columns, columns, sizeof(uint64) * nwords);
		call->query_mixed = mixed;
	}
	call->feed.columns = call->query_columns;
	return call->query;
}

/* ---- errors ---- */

/* The whole call fails for this row. */
static void
fail(int row, ErrorData *error) pg_attribute_noreturn();

static void
fail(int row, ErrorData *error)
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

/* A row is not written.  Fails the call where that was asked for. */
static void
reject(Call *call, FeedRow *row, ErrorData *error)
{
	MemoryContext old;

	call->rejected++;
	row->sqlstate = error->sqlerrcode;
	if (!call->report)
	{
		if (!call->leaning)
			fail(row->number, error);
		row->error = error;
		return;
	}
	old = MemoryContextSwitchTo(call->batch_context);
	if (error->column_name != NULL && strstr(error->message, psprintf("\"%s\"", error->column_name)) == NULL)
		row->message = psprintf("column \"%s\": %s", error->column_name, error->message);
	else
		row->message = pstrdup(error->message);
	MemoryContextSwitchTo(old);
	FreeErrorData(error);
}

/* ---- writing ---- */

/* Run the INSERT over rows [from, to).  NULL, or why it failed; nothing of it stands then. */
static ErrorData *
try_insert(Call *call, int from, int to)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	bool		guarded = call->guarded;

	CHECK_FOR_INTERRUPTS();
	call->feed.from = from;
	call->feed.to = to;
	if (guarded)
	{
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(context);
	}
	PG_TRY();
	{
		ffs_batch_feed_run(&call->feed, insert_for(call, from, to));
		if (guarded)
		{
			ReleaseCurrentSubTransaction();
			MemoryContextSwitchTo(context);
			CurrentResourceOwner = owner;
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(call->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		ffs_batch_feed_abandon(&call->feed);
		ffs_batch_name_column(call->reader, error);
		if (!guarded)
		{
			int			at = call->feed.position;

			if (ffs_batch_is_row_error(error->sqlerrcode) && at >= from && at < to)
				fail(call->feed.rows[at]->number, error);
			ReThrowError(error);
		}
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!ffs_batch_is_row_error(error->sqlerrcode))
			ReThrowError(error);
	}
	PG_END_TRY();
	return error;
}

/* Do all rows [from, to) name the same columns? */
static bool
are_alike(Call *call, int from, int to)
{
	for (int i = from + 1; i < to; i++)
		if (memcmp(call->feed.rows[i]->given, call->feed.rows[from]->given,
				   sizeof(uint64) * call->reader->nwords) != 0)
			return false;
	return true;
}

/* Write rows [from, to), leaving out those that fail. */
static void
write_rows(Call *call, int from, int to)
{
	check_stack_depth();
	while (from < to)
	{
		ErrorData  *error = try_insert(call, from, to);
		int			at = call->feed.position;
		int			rejected = call->rejected;

		if (error == NULL)
			return;
		if (to - from == 1)
		{
			reject(call, call->feed.rows[from], error);
			return;
		}
		if (at >= from && at < to)
		{
			/* this row; but if an earlier one falls too, it may have been that one's fault */
			write_rows(call, from, at);
			if (call->rejected == rejected)
			{
				reject(call, call->feed.rows[at], error);
				at++;
			}
			from = at;
		}
		else if (at < from && are_alike(call, from, to))
		{
			/* it did not begin, and would not for any of them */
			for (int i = from; i < to; i++)
				reject(call, call->feed.rows[i], i == to - 1 ? error : ffs_batch_copy_error(error));
			return;
		}
		else
		{
			int			middle = from + (to - from) / 2;

			write_rows(call, from, middle);
			from = middle;
		}
	}
}

/*
 * Where rows may refer to one another, halving a batch takes rows from those
 * that refer to them.  So rows whose foreign key found nothing are tried again
 * together, as long as that brings some of them in.
 */
static void
try_leaning_rows(Call *call)
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

/* ---- reading ---- */

/* Error 21000 if a key of this row came before. */
static void
check_twice(Call *call, FeedRow *row)
{
	for (int i = 0; i < call->nsets; i++)
	{
		int			before = ffs_batch_key_before(call->sets[i], row);

		if (before != 0)
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("the key of the row came before in this call"),
					 errdetail("Row %d of the input has the same key.", before),
					 errhint("Give each key once.")));
	}
}

/* Convert one element of the array. */
static void
read_row(Call *call, FeedRow *row, JsonbValue *element)
{
	call->reader->current = NULL;
	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row must be a jsonb object"),
				 errdetail("The element of the array is of another type."),
				 errhint("Give an object with a member for each column.")));
	ffs_batch_read_object(call->reader, element->val.binary.data, row->values, row->nulls, row->given);
	check_twice(call, row);
}

/* The next row of the batch, empty. */
static FeedRow *
add_row(Call *call, int number)
{
	int			natts = call->reader->natts;
	int			nwords = call->reader->nwords;
	FeedRow    *row;
	char	   *memory;

	if (call->nrows >= call->capacity)
	{
		call->capacity = call->capacity == 0 ? 64 : call->capacity * 2;
		if (call->rows == NULL)
			call->rows = MemoryContextAllocHuge(call->reader->context, sizeof(FeedRow) * call->capacity);
		else
			call->rows = repalloc_huge(call->rows, sizeof(FeedRow) * call->capacity);
	}
	row = &call->rows[call->nrows++];
	memset(row, 0, sizeof(FeedRow));
	row->number = number;
	/* one piece of memory, the widest first */
	memory = palloc0((sizeof(Datum) + sizeof(bool)) * natts + 2 * sizeof(uint64) * nwords);
	row->values = (Datum *) memory;
	row->given = (uint64 *) (memory + sizeof(Datum) * natts);
	row->filled = row->given + nwords;
	row->nulls = (bool *) (row->filled + nwords);
	return row;
}

/*
 * Take up to `limit` elements of the array into the batch and convert them.
 * A row that cannot be converted never reaches the table; it costs the rows
 * beside it nothing.  False at the end of the array.
 */
static bool
read_batch(Call *call, JsonbIterator **iterator, int limit, int *number)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	JsonbIteratorToken token = WJB_ELEM;
	volatile bool more = true;
	volatile int taken = 0;

	while (more && taken < limit && call->first_error == NULL)
	{
		CHECK_FOR_INTERRUPTS();
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(call->batch_context);
		PG_TRY();
		{
			while (taken < limit)
			{
				JsonbValue	element;

				/* the iterator lives as long as the call */
				MemoryContextSwitchTo(call->reader->context);
				token = JsonbIteratorNext(iterator, &element, true);
				MemoryContextSwitchTo(call->batch_context);
				if (token != WJB_ELEM)
				{
					more = false;
					break;
				}
				taken++;
				(*number)++;
				read_row(call, add_row(call, *number), &element);
				if (taken % 256 == 0)
					CHECK_FOR_INTERRUPTS();
			}
			ReleaseCurrentSubTransaction();
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
			ffs_batch_name_column(call->reader, error);
			call->reader->current = NULL;
			if (!ffs_batch_is_row_error(error->sqlerrcode))
				ReThrowError(error);
			if (call->report)
				reject(call, &call->rows[call->nrows - 1], error);
			else
			{
				/* an earlier row may yet be refused by the table */
				call->first_error = error;
				call->first_error_row = *number;
				call->rows[call->nrows - 1].sqlstate = error->sqlerrcode;
			}
		}
		PG_END_TRY();
	}
	return more;
}

/* ---- the result ---- */

/* The key of a row as the input gave it, or 0. */
static Datum
key_as_given(Call *call, FeedRow *row)
{
	FfsTable   *table = call->table;
	Datum		values[INDEX_MAX_KEYS];

	if (table->nkeys == 0)
		return (Datum) 0;
	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attno = table->key[i];

		/* a default that a rejected row took is nobody's key */
		if (row->nulls[attno - 1] ||
			(!ffs_batch_is_given(row->given, attno) &&
			 (row->sqlstate != 0 || !ffs_batch_is_given(row->filled, attno))))
			return (Datum) 0;
		values[i] = row->values[attno - 1];
	}
	return ffs_batch_write_key(call->feed.key_writer, values);
}

static void
report_batch(Call *call, ReturnSetInfo *result, const Datum *actions)
{
	for (int i = 0; i < call->nrows; i++)
	{
		FeedRow    *row = &call->rows[i];
		Datum		values[5] = {0};
		bool		nulls[5] = {false, false, true, true, true};
		Datum		key = row->key;

		values[0] = Int32GetDatum(row->number);
		if (row->sqlstate != 0)
		{
			values[1] = actions[0];
			values[3] = CStringGetTextDatum(unpack_sql_state(row->sqlstate));
			values[4] = CStringGetTextDatum(row->message);
			nulls[3] = nulls[4] = false;
			key = (Datum) 0;
		}
		else
		{
			values[1] = actions[row->outcome];
			if (row->outcome == FEED_INSERTED || row->outcome == FEED_UPDATED)
				call->written++;
		}
		if (key == (Datum) 0)
			key = key_as_given(call, row);
		if (key != (Datum) 0)
		{
			values[2] = key;
			nulls[2] = false;
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* ---- the call ---- */

static void
run_call(Call *call, Jsonb *rows, int batch_size, ReturnSetInfo *result)
{
	JsonbIterator *iterator = JsonbIteratorInit(&rows->root);
	JsonbValue	element;
	int			number = 0;
	bool		more;
	/* by FeedOutcome, where "pending" is what is reported of rejected rows */
	Datum		actions[] = {
		CStringGetTextDatum("rejected"), CStringGetTextDatum("skipped"),
		CStringGetTextDatum("inserted"), CStringGetTextDatum("updated")
	};

	(void) JsonbIteratorNext(&iterator, &element, true);
	do
	{
		MemoryContext old;
		int			n = 0;

		call->nrows = 0;
		call->rejected = 0;
		more = read_batch(call, &iterator, batch_size, &number);

		old = MemoryContextSwitchTo(call->batch_context);
		call->feed.rows = palloc_extended(sizeof(FeedRow *) * Max(call->nrows, 1), MCXT_ALLOC_HUGE);
		for (int i = 0; i < call->nrows; i++)
			if (call->rows[i].sqlstate == 0)
				call->feed.rows[n++] = &call->rows[i];
		write_rows(call, 0, n);
		if (call->leaning)
			try_leaning_rows(call);
		for (int i = 0; i < call->nrows && !call->report; i++)
			if (call->rows[i].error != NULL && call->rows[i].sqlstate != 0)
				fail(call->rows[i].number, call->rows[i].error);
		if (call->first_error != NULL)
			fail(call->first_error_row, call->first_error);
		report_batch(call, result, actions);
		MemoryContextSwitchTo(old);
		MemoryContextReset(call->batch_context);
	} while (more);
}

Datum
ffs_create_many(PG_FUNCTION_ARGS)
{
	static const char *const conflict_words[] = {"error", "skip", "update", NULL};
	static const char *const error_words[] = {"abort", "report", NULL};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	instr_time	start;
	Call	   *call;
	Jsonb	   *rows;
	int			batch_size;

	InitMaterializedSRF(fcinfo, 0);

	call = palloc0(sizeof(Call));
	call->table = ffs_batch_table_argument(fcinfo, 0, true);
	ffs_batch_begin(call->table->rootid, FFS_OP_CREATE_MANY, &start);
	rows = rows_argument(fcinfo, 1);
	call->on_conflict = keyword_argument(fcinfo, 2, "on_conflict", conflict_words);
	call->report = keyword_argument(fcinfo, 3, "on_error", error_words) == 1;
	batch_size = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4);
	if (batch_size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1"),
				 errdetail("It says how many rows are written at a time."),
				 errhint("A thousand is a good size.")));
	ffs_batch_require(call->table->relid, ACL_INSERT);
	if (call->on_conflict == CONFLICT_UPDATE)
		ffs_batch_require(call->table->relid, ACL_UPDATE);

	call->rel = table_open(call->table->relid, RowExclusiveLock);
	call->reader = ffs_batch_open_reader(call->rel, call->table);
	conflict_argument(call, fcinfo, 5);
	call->guarded = call->report || errors_come_late(call->rel);
	call->leaning = refers_to_itself(call->rel, call->table);
	call->query_columns = palloc0(sizeof(uint64) * call->reader->nwords);
	call->columns = palloc0(sizeof(uint64) * call->reader->nwords);
	call->batch_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage batch",
												ALLOCSET_DEFAULT_SIZES);
	call->feed.reader = call->reader;
	call->feed.context = call->batch_context;
	call->feed.desc = CreateTupleDescCopy(RelationGetDescr(call->rel));
	call->feed.command = CMD_INSERT;
	call->feed.returning = may_return_key(call->table);
	if (call->table->nkeys > 0)
		call->feed.key_writer = ffs_batch_open_key_writer(call->table, call->feed.desc);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ffs_batch_feed_register(&call->feed);
	run_call(call, rows, batch_size, result);
	SPI_finish();

	if (call->reader->estate)
		FreeExecutorState(call->reader->estate);
	table_close(call->rel, NoLock);
	ffs_batch_count(call->table->rootid, FFS_OP_CREATE_MANY, call->written, start);
	return (Datum) 0;
}
