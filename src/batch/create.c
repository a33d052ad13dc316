/*-------------------------------------------------------------------------
 *
 * create.c
 *		What ffs_create_many and ffs_create_records have in common: the INSERT.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "batch/create.h"
#include "batch/one.h"

/* ---- arguments ---- */

/* The unique index that ON CONFLICT (columns) would find, or InvalidOid. */
static Oid
find_unique_index(Relation rel, int ncolumns, const AttrNumber *columns)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			result = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		found = false;

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
		{
			result = lfirst_oid(lc);
			break;
		}
	}
	list_free(indexes);
	return result;
}

static void
conflict_argument(Create *create, FunctionCallInfo fcinfo, int n)
{
	BatchCall  *call = &create->call;
	FfsTable   *table = call->table;
	Oid			index;
	Datum	   *names;
	bool	   *nulls;
	int			nnames;
	StringInfoData list;

	if (PG_ARGISNULL(n))
	{
		if (create->on_conflict != CONFLICT_ERROR && table->nkeys == 0)
			ereport(ERROR,
					(errcode(FFS_ERRCODE_KEY_MISSING),
					 errmsg("table %s has no primary key", call->reader->relation_name),
					 errdetail("A conflict is looked for on the primary key where conflict_columns is not given."),
					 errhint("Add a primary key to the table, or name the columns of a unique index in conflict_columns.")));
		create->nconflict = table->nkeys;
		create->conflict = table->key;
		create->arbiter = table->pk_index;
		if (table->nkeys > 0)
			ffs_batch_order_by_index(call, table->pk_index);
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
	create->conflict = palloc(sizeof(AttrNumber) * nnames);
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
		create->conflict[i] = attno;
	}
	create->nconflict = nnames;
	index = find_unique_index(call->rel, create->nconflict, create->conflict);
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("table %s has no unique index on (%s)", call->reader->relation_name, list.data),
				 errdetail("A partial, deferrable or invalid index, or one over expressions, does not serve."),
				 errhint("Name the columns of a unique index, all of them.")));
	create->arbiter = index;
	ffs_batch_order_by_index(call, index);
	if (table->nkeys > 0 && index != table->pk_index)
		ffs_batch_order_by_index(call, table->pk_index);
}

/* ---- the INSERT ---- */

static const char *
column_name(Create *create, AttrNumber attno)
{
	return quote_identifier(create->call.reader->columns[attno - 1].name);
}

/* May ON CONFLICT DO UPDATE set it? */
static bool
is_updatable(Create *create, AttrNumber attno)
{
	for (int i = 0; i < create->nconflict; i++)
		if (create->conflict[i] == attno)
			return false;
	for (int i = 0; i < create->call.table->nkeys; i++)
		if (create->call.table->key[i] == attno)
			return false;
	return true;
}

static char *
insert_text(Create *create, const uint64 *columns, bool mixed)
{
	StringInfoData buf;
	StringInfoData select;
	StringInfoData set;
	int			ncolumns = 0;
	int			nset = 0;

	initStringInfo(&buf);
	initStringInfo(&select);
	initStringInfo(&set);
	appendStringInfo(&buf, "INSERT INTO %s AS ffs_target", create->call.reader->relation_name);
	for (AttrNumber attno = 1; attno <= create->call.reader->natts; attno++)
	{
		const char *name;

		if (!ffs_batch_is_given(columns, attno))
			continue;
		name = column_name(create, attno);
		appendStringInfo(&buf, "%s%s", ncolumns > 0 ? ", " : " (", name);
		appendStringInfo(&select, "%sffs_feed.%s", ncolumns > 0 ? ", " : "", name);
		ncolumns++;
		if (!is_updatable(create, attno))
			continue;
		appendStringInfo(&set, "%s%s = ", nset++ > 0 ? ", " : "", name);
		/* a row that leaves the column out leaves it as it is */
		if (mixed && ffs_batch_is_given(create->patched, attno))
			appendStringInfo(&set, "CASE WHEN " FFS_SCHEMA ".batch_given(%d) THEN EXCLUDED.%s ELSE ffs_target.%s END",
							 attno, name, name);
		else
			appendStringInfo(&set, "EXCLUDED.%s", name);
	}
	if (ncolumns > 0)
		appendStringInfoChar(&buf, ')');
	appendStringInfo(&buf, " SELECT %s FROM " FEED_NAME " AS ffs_feed", select.data);
	if (create->on_conflict != CONFLICT_ERROR)
	{
		appendStringInfoString(&buf, " ON CONFLICT (");
		for (int i = 0; i < create->nconflict; i++)
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", column_name(create, create->conflict[i]));
		if (create->on_conflict == CONFLICT_SKIP || nset == 0)
			appendStringInfoString(&buf, ") DO NOTHING");
		else
			appendStringInfo(&buf, ") DO UPDATE SET %s WHERE " FFS_SCHEMA ".batch_conflict()", set.data);
	}
	if (create->call.feed.returning)
	{
		appendStringInfoString(&buf, " RETURNING ");
		for (int i = 0; i < create->call.table->nkeys; i++)
			appendStringInfo(&buf, "%sffs_target.%s", i > 0 ? ", " : "",
							 column_name(create, create->call.table->key[i]));
	}
	return buf.data;
}

/* The INSERT for rows [from, to): of the columns that any of them names. */
static const char *
insert_for(Create *create, int from, int to)
{
	int			nwords = create->call.reader->nwords;
	uint64	   *columns = create->columns;
	bool		mixed = false;

	memcpy(columns, create->always, sizeof(uint64) * nwords);
	for (int i = from; i < to; i++)
		for (int word = 0; word < nwords; word++)
			columns[word] |= create->call.feed.rows[i]->given[word];
	for (int i = from; i < to && !mixed; i++)
		for (int word = 0; word < nwords; word++)
			mixed |= ((columns[word] & ~create->call.feed.rows[i]->given[word]) & create->patched[word]) != 0;
	mixed &= create->on_conflict == CONFLICT_UPDATE;
	if (create->query == NULL || mixed != create->query_mixed ||
		memcmp(columns, create->query_columns, sizeof(uint64) * nwords) != 0)
	{
		char	   *text = insert_text(create, columns, mixed);

		if (create->query)
			pfree(create->query);
		create->query = MemoryContextStrdup(create->call.reader->context, text);
		memcpy(create->query_columns, columns, sizeof(uint64) * nwords);
		create->query_mixed = mixed;
	}
	create->call.feed.columns = create->query_columns;
	return create->query;
}

static void
write_rows(BatchCall *call, int from, int to)
{
	ffs_batch_feed_run(&call->feed, insert_for((Create *) call, from, to));
}

/* ---- looking before writing ---- */

static bool
can_check(BatchCall *call)
{
	return ffs_batch_can_precheck(call->rel, call->table) &&
		pg_class_aclcheck(call->table->relid, GetUserId(), ACL_INSERT) == ACLCHECK_OK;
}

/* All columns are given then, so that what was looked at is what is written. */
static void
begin_check(BatchCall *call)
{
	Create	   *create = (Create *) call;
	RowReader  *reader = call->reader;
	uint64	   *changing = NULL;
	int			events = TRIGGER_TYPE_INSERT;
	bool		others;

	if (create->precheck != NULL)
		return;
	if (create->on_conflict == CONFLICT_UPDATE)
	{
		events |= TRIGGER_TYPE_UPDATE;
		changing = palloc0(sizeof(uint64) * reader->nwords);
		for (AttrNumber attno = 1; attno <= reader->natts; attno++)
			if (is_updatable(create, attno))
				ffs_batch_set_given(changing, attno);
	}
	others = ffs_batch_has_others(call->rel, events);
	call->swayed = others || create->on_conflict == CONFLICT_UPDATE;
	create->precheck = ffs_batch_open_precheck(reader,
											   create->on_conflict == CONFLICT_ERROR ? InvalidOid : create->arbiter,
											   changing, others);
	for (AttrNumber attno = 1; attno <= reader->natts; attno++)
	{
		const RowColumn *column = &reader->columns[attno - 1];

		if (!column->dropped && !column->stamp && !column->generated && !column->identity_always)
			ffs_batch_set_given(create->always, attno);
	}
}

static void
check_row(BatchCall *call, FeedRow *row)
{
	Create	   *create = (Create *) call;

	call->feed.columns = create->always;
	row->doubtful = ffs_batch_precheck(create->precheck, call->check_what, &call->feed, row);
}

/* ---- the call ---- */

Datum
ffs_batch_create(Create *create, FunctionCallInfo fcinfo, int first)
{
	static const char *const conflict_words[] = {"error", "skip", "update", NULL};
	BatchCall  *call = &create->call;
	int			nwords;
	uint64		written;

	create->on_conflict = ffs_batch_keyword_argument(fcinfo, first, "on_conflict", conflict_words);
	call->report = ffs_batch_on_error_argument(fcinfo, first + 1);
	call->batch_size = ffs_batch_size_argument(fcinfo, first + 2);
	ffs_batch_require(call->table->relid, ACL_INSERT);
	if (create->on_conflict == CONFLICT_UPDATE)
		ffs_batch_require(call->table->relid, ACL_UPDATE);

	create->methods.write = write_rows;
	create->methods.can_check = can_check;
	create->methods.begin_check = begin_check;
	create->methods.check = check_row;
	call->methods = &create->methods;
	ffs_batch_open_call(call);
	conflict_argument(create, fcinfo, first + 3);
	nwords = call->reader->nwords;
	create->query_columns = palloc0(sizeof(uint64) * nwords);
	create->columns = palloc0(sizeof(uint64) * nwords);
	create->patched = palloc(sizeof(uint64) * nwords);
	memset(create->patched, 0xFF, sizeof(uint64) * nwords);
	create->always = palloc0(sizeof(uint64) * nwords);
	if (create->prepare)
		create->prepare(create);

	written = ffs_batch_run_call(call, fcinfo);
	if (create->precheck)
		ffs_batch_close_precheck(create->precheck);
	ffs_batch_close_call(call);
	ffs_batch_count(call->table->rootid, call->op, written, create->start);
	return (Datum) 0;
}
