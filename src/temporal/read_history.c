/*-------------------------------------------------------------------------
 *
 * read_history.c
 *		ffs_history: one row's life.
 *
 * What is stored of a key is read into lives: an insert begins one, a
 * deletion ends it, a restore goes on with it.  A change of the key ends one
 * key's life and begins another's; ffstorage.rekeys says which belong
 * together.  Starting with all lives of the key that was asked for, the links
 * are followed both ways; lives that are linked are put out as one chain,
 * each chain in the order of time.
 *
 * Rows are read with the caller's rights.  ffstorage.rekeys and
 * ffstorage.transactions, which only their owner may read, are asked only
 * about rows that the caller has been shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "registry/key.h"
#include "temporal/read.h"

FFS_CALL(ffs_history);

#define HISTORY_COLUMNS 9

/*
 * Stamps of one transaction lie close together, while the same transaction id
 * may come again much later: in a cluster that a dump was restored into.
 */
#define SAME_TRANSACTION (60 * USECS_PER_MINUTE)

/* One line of the answer. */
typedef struct Line
{
	int			version;		/* 0: unknown */
	const char *operation;		/* NULL: to be told from the lines around it */
	TimestampTz from;
	TimestampTz to;
	bool		open;			/* no `to` */
	const char *actor;
	uint64		xid;			/* 0: unknown */
	bool		is_end;			/* the row is gone from here on */
	Jsonb	   *changes;
	/* the row as of this line */
	HeapTupleHeader tuple;		/* scd2 */
	Jsonb	   *json;			/* copy_on_change */
} Line;

typedef struct Life Life;

/* A key and all that is kept of it. */
typedef struct KeyNode
{
	Jsonb	   *key;
	List	   *lives;
} KeyNode;

struct Life
{
	KeyNode    *node;
	List	   *lines;
	bool		reached;
	bool		printed;
	bool		ended_by_rekey; /* its last line is an end with that operation */
	Life	   *before;			/* linked by a change of the key */
	Life	   *after;
};

/* A change of a key, seen from one of its two ends. */
typedef struct Link
{
	Jsonb	   *other;
	TimestampTz at;
	uint64		xid;
	ItemPointerData position;	/* the order of those of one transaction */
} Link;

typedef struct History
{
	Reader	   *reader;
	TimestampTz managed_at;
	List	   *nodes;
	/* the transaction that was asked about last */
	uint64		known_xid;
	TimestampTz known_at;
	const char *known_actor;
	Jsonb	   *known_metadata;
} History;

static Line *
first_line(const Life *life)
{
	return linitial(life->lines);
}

static Line *
last_line(const Life *life)
{
	return llast(life->lines);
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static Life *
new_life(KeyNode *node)
{
	Life	   *life = palloc0(sizeof(Life));

	life->node = node;
	node->lives = lappend(node->lives, life);
	return life;
}

static Line *
new_line(Life *life, int version, const char *operation, TimestampTz from)
{
	Line	   *line = palloc0(sizeof(Line));

	line->version = version;
	line->operation = operation;
	line->from = from;
	line->open = true;
	life->lines = lappend(life->lines, line);
	return line;
}

/* A line of its own for the end of what came before. */
static Line *
end_line(Life *life, const char *operation, TimestampTz at, const char *actor, uint64 xid)
{
	int			version = life->lines == NIL ? 0 : last_line(life)->version;
	Line	   *line = new_line(life, version, operation, at);

	line->actor = actor;
	line->xid = xid;
	line->is_end = true;
	life->ended_by_rekey = same(operation, "rekey");
	return line;
}

/* ---- scd2: versions into lives ---- */

/*
 * Was the row there before its first version began?  Then the table came
 * under scd2 meanwhile.
 */
static bool
created_before(const Reader *reader, HeapTuple found, TupleDesc found_desc, TimestampTz from)
{
	HeapTupleHeader row;
	HeapTupleData tuple;
	bool		isnull;
	Datum		value;

	if (reader->stamp[FFS_CREATED_AT] == 0)
		return false;
	row = DatumGetHeapTupleHeader(SPI_getbinval(found, found_desc, 1, &isnull));
	tuple.t_data = row;
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	value = heap_getattr(&tuple, reader->stamp[FFS_CREATED_AT], reader->desc, &isnull);
	return !isnull && DatumGetTimestampTz(value) < from;
}

/*
 * Did a life of this key end with a deletion at this version?  Then a restore
 * goes on with it, whatever life the key had meanwhile.
 */
static bool
was_deleted_at(const KeyNode *node, int version)
{
	ListCell   *cell;

	foreach(cell, node->lives)
	{
		const Life *life = lfirst(cell);

		if (life->lines != NIL && last_line(life)->is_end && !life->ended_by_rekey &&
			last_line(life)->version == version)
			return true;
	}
	return false;
}

static void
load_versions(History *history, KeyNode *node, const Datum *key)
{
	Reader	   *reader = history->reader;
	SPITupleTable *found;
	uint64		nfound;
	Life	   *life = NULL;
	char	   *end_operation = NULL;	/* of the version before */
	char	   *ended_by = NULL;
	TimestampTz valid_to = 0;
	StringInfoData sql;
	const char *version = NameStr(TupleDescAttr(reader->desc, reader->stamp[FFS_VERSION] - 1)->attname);
	const char *valid_from = NameStr(TupleDescAttr(reader->desc, reader->stamp[FFS_VALID_FROM] - 1)->attname);
	const char *xid = NameStr(TupleDescAttr(reader->desc, reader->stamp[FFS_TRANSACTION_ID] - 1)->attname);
	const char *updated_by = NULL;

	if (reader->stamp[FFS_UPDATED_BY] > 0)
		updated_by = NameStr(TupleDescAttr(reader->desc, reader->stamp[FFS_UPDATED_BY] - 1)->attname);

	initStringInfo(&sql);
	for (int from_history = 0; from_history <= 1; from_history++)
	{
		const char *alias = from_history ? "h" : "t";

		appendStringInfo(&sql, "%sSELECT %s, %s.%s, %s.%s, %s.%s, ",
						 from_history ? " UNION ALL " : "",
						 ffs_temporal_row_expression(reader, reader->rootid, alias, from_history),
						 alias, quote_identifier(version), alias, quote_identifier(valid_from),
						 alias, quote_identifier(xid));
		if (updated_by != NULL)
			appendStringInfo(&sql, "%s.%s::pg_catalog.text, ", alias, quote_identifier(updated_by));
		else
			appendStringInfoString(&sql, "NULL::pg_catalog.text, ");
		if (from_history)
			appendStringInfo(&sql, "h.valid_to, h.end_operation, h.ended_by, h.end_transaction_id FROM %s h", reader->side);
		else
			appendStringInfo(&sql, "NULL::pg_catalog.timestamptz, NULL::pg_catalog.text, NULL::pg_catalog.text,"
							 " NULL::pg_catalog.xid8 FROM %s t", reader->table);
		appendStringInfo(&sql, " WHERE %s", ffs_temporal_key_clause(reader, alias, 1));
	}
	appendStringInfoString(&sql, " ORDER BY 3, 6");

	if (SPI_execute_with_args(sql.data, reader->nkeys, reader->key_type, unconstify(Datum *, key),
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history of a row");
	found = SPI_tuptable;
	nfound = SPI_processed;

	for (uint64 i = 0; i < nfound; i++)
	{
		HeapTuple	tuple = found->vals[i];
		bool		isnull;
		int			number;
		TimestampTz from;
		uint64		end_xid = 0;
		Line	   *line;
		bool		follows;
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		number = DatumGetInt32(SPI_getbinval(tuple, found->tupdesc, 2, &isnull));
		from = DatumGetTimestampTz(SPI_getbinval(tuple, found->tupdesc, 3, &isnull));

		if (life != NULL && (number <= 1 || life->ended_by_rekey))
			life = NULL;
		follows = life != NULL && end_operation != NULL && valid_to == from && !last_line(life)->is_end;
		if (life == NULL)
			life = new_life(node);

		line = new_line(life, number, NULL, from);
		if (follows)
			line->operation = end_operation;	/* what ended the one began the other */
		else if (list_length(life->lines) > 1)
			line->operation = "restore";
		else if (number > 1)
			line->operation = was_deleted_at(node, number - 1) ? "restore" : "update";	/* what came before was pruned */
		else if (from == history->managed_at ||
				 (list_length(node->lives) == 1 && created_before(reader, tuple, found->tupdesc, from)))
			line->operation = "baseline";
		else
			line->operation = "insert";

		value = SPI_getbinval(tuple, found->tupdesc, 4, &isnull);
		line->xid = isnull ? 0 : U64FromFullTransactionId(DatumGetFullTransactionId(value));
		line->actor = SPI_getvalue(tuple, found->tupdesc, 5);
		if (line->actor == NULL && follows)
			line->actor = ended_by;
		line->tuple = DatumGetHeapTupleHeader(SPI_getbinval(tuple, found->tupdesc, 1, &isnull));

		value = SPI_getbinval(tuple, found->tupdesc, 6, &isnull);
		if (isnull)
		{
			end_operation = NULL;
			continue;
		}
		valid_to = DatumGetTimestampTz(value);
		line->to = valid_to;
		line->open = false;
		end_operation = SPI_getvalue(tuple, found->tupdesc, 7);
		ended_by = SPI_getvalue(tuple, found->tupdesc, 8);
		value = SPI_getbinval(tuple, found->tupdesc, 9, &isnull);
		if (!isnull)
			end_xid = U64FromFullTransactionId(DatumGetFullTransactionId(value));

		/* An end, unless the next version takes over where this one stops. */
		if (!same(end_operation, "update"))
		{
			bool		goes_on = false;

			if (i + 1 < nfound && !same(end_operation, "delete") &&
				!same(end_operation, "truncate") && !same(end_operation, "rekey"))
			{
				HeapTuple	next = found->vals[i + 1];
				int			next_number = DatumGetInt32(SPI_getbinval(next, found->tupdesc, 2, &isnull));
				TimestampTz next_from = DatumGetTimestampTz(SPI_getbinval(next, found->tupdesc, 3, &isnull));

				goes_on = next_number > number && next_from == valid_to;
			}
			if (!goes_on)
				(void) end_line(life, end_operation, valid_to, ended_by, end_xid);
		}
	}
	/* the tuples that lines point to live on until SPI_finish */
}

/* ---- copy_on_change: entries into lives ---- */

/* May this entry belong to the line of the entry before it? */
static bool
same_change(const AuditEntry *entry, const Line *line, const List *fields)
{
	ListCell   *cell;

	if (entry->field == NULL || line == NULL || line->is_end || fields == NIL ||
		entry->xid != line->xid || entry->at != line->from || !same(entry->operation, line->operation))
		return false;
	foreach(cell, fields)
		if (same(((AuditEntry *) lfirst(cell))->field, entry->field))
			return false;
	return true;
}

static Jsonb *
field_changes(const List *fields)
{
	JsonbParseState *state = NULL;
	ListCell   *cell;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, fields)
	{
		AuditEntry *entry = lfirst(cell);
		JsonbParseState *inner = NULL;

		pushJsonbValue(&inner, WJB_BEGIN_OBJECT, NULL);
		ffs_temporal_push_member(&inner, "old", entry->old_value);
		ffs_temporal_push_member(&inner, "new", entry->new_value);
		ffs_temporal_push_member(&state, entry->field,
								 JsonbValueToJsonb(pushJsonbValue(&inner, WJB_END_OBJECT, NULL)));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
load_entries(History *history, KeyNode *node, const Datum *key)
{
	int			nentries;
	AuditEntry *entries = ffs_temporal_audit_entries(history->reader, key, DT_NOEND, &nentries);
	Life	   *life = NULL;
	Line	   *line = NULL;
	List	   *fields = NIL;	/* entries of the line that is being made */
	Jsonb	   *row = NULL;

	for (int i = 0; i < nentries; i++)
	{
		AuditEntry *entry = &entries[i];

		CHECK_FOR_INTERRUPTS();
		row = ffs_temporal_replay(history->reader, row, entry);
		if (same_change(entry, line, fields))
		{
			fields = lappend(fields, entry);
			line->changes = field_changes(fields);
			line->json = row;
			continue;
		}
		fields = NIL;

		if (line != NULL && !line->is_end)
		{
			line->to = entry->at;
			line->open = false;
		}
		if (entry->field == NULL && entry->new_value == NULL)
		{
			if (life == NULL)
				life = new_life(node);
			line = end_line(life, entry->operation, entry->at, entry->actor, entry->xid);
			continue;
		}

		/* A whole row begins a life, except one that was brought back or re-recorded. */
		if (life != NULL && (life->ended_by_rekey ||
							 (entry->field == NULL && line->is_end && !same(entry->operation, "restore")) ||
							 (entry->field == NULL && same(entry->operation, "insert"))))
			life = NULL;
		if (life == NULL)
			life = new_life(node);
		line = new_line(life, life->lines == NIL ? 1 : last_line(life)->version + 1,
						entry->operation, entry->at);
		line->actor = entry->actor;
		line->xid = entry->xid;
		line->json = row;
		if (entry->field != NULL)
		{
			fields = list_make1(entry);
			line->changes = field_changes(fields);
			if (row == NULL)
				line->version = 0;	/* what came before was pruned */
		}
	}
}

/* ---- links ---- */

static bool
same_key(const Jsonb *a, const Jsonb *b)
{
	return compareJsonbContainers(&unconstify(Jsonb *, a)->root, &unconstify(Jsonb *, b)->root) == 0;
}

/* The node of a key, read where we have not met it yet. */
static KeyNode *
find_node(History *history, Jsonb *key, const Datum *values)
{
	KeyNode    *node;
	ListCell   *cell;
	Datum		own[INDEX_MAX_KEYS];

	foreach(cell, history->nodes)
	{
		node = lfirst(cell);
		if (same_key(node->key, key))
			return node;
	}
	if (values == NULL)
	{
		ffs_registry_key_from_jsonb(ffs_registry_get(history->reader->rootid, false), key, NULL, own);
		values = own;
	}
	node = palloc0(sizeof(KeyNode));
	node->key = key;
	history->nodes = lappend(history->nodes, node);
	if (history->reader->strategy == FFS_STRATEGY_SCD2)
		load_versions(history, node, values);
	else
		load_entries(history, node, values);
	return node;
}

/* The key changes of one transaction that lead away from a key, or to it, in their order. */
static List *
find_links(History *history, Jsonb *key, bool away, uint64 xid, TimestampTz near)
{
	Oid			types[] = {OIDOID, JSONBOID, XID8OID};
	Datum		values[3];
	FfsRights	rights;
	List	   *links = NIL;
	bool		isnull;

	values[0] = ObjectIdGetDatum(history->reader->rootid);
	values[1] = JsonbPGetDatum(key);
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
	ffs_base_begin_as(&rights, ffs_base_owner());
	if (SPI_execute_with_args(away ?
							  "SELECT new_key, at, ctid FROM ffstorage.rekeys"
							  " WHERE relation = $1 AND old_key = $2 AND transaction_id = $3 ORDER BY ctid" :
							  "SELECT old_key, at, ctid FROM ffstorage.rekeys"
							  " WHERE relation = $1 AND new_key = $2 AND transaction_id = $3 ORDER BY ctid",
							  3, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read ffstorage.rekeys");
	ffs_base_end_as(&rights);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		TimestampTz at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
		Link	   *link;

		if (Abs(at - near) > SAME_TRANSACTION)
			continue;
		link = palloc(sizeof(Link));
		link->other = DatumGetJsonbPCopy(SPI_getbinval(tuple, desc, 1, &isnull));
		link->at = at;
		link->xid = xid;
		link->position = *(ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, 3, &isnull));
		links = lappend(links, link);
	}
	return links;
}

static bool
began_with(const Life *life, uint64 xid, TimestampTz near)
{
	const Line *line = first_line(life);

	return !line->is_end && line->version == 1 && line->xid == xid && xid != 0 &&
		Abs(line->from - near) <= SAME_TRANSACTION;
}

static bool
ended_with(const Life *life, uint64 xid, TimestampTz near)
{
	const Line *line = last_line(life);

	return life->ended_by_rekey && line->xid == xid && xid != 0 &&
		Abs(line->from - near) <= SAME_TRANSACTION;
}

/*
 * Where a transaction that changed this key took the row in the end, or (not
 * away) had it from in the beginning: through keys that it had only meanwhile.
 *
 * At each key that we come to, others may have come and gone in the same
 * transaction.  The row that was there before it left by the first link away;
 * the row that is there afterwards came by the last link to it.
 */
static KeyNode *
follow(History *history, KeyNode *start, bool away, uint64 xid, TimestampTz near)
{
	KeyNode    *current = start;
	ItemPointerData position;
	bool		moved = false;

	for (;;)
	{
		Link	   *step = NULL;
		Link	   *outermost;
		List	   *links = find_links(history, current->key, away, xid, near);
		ListCell   *cell;

		CHECK_FOR_INTERRUPTS();
		foreach(cell, links)
		{
			Link	   *link = lfirst(cell);

			if (away)
			{
				/* the first one after the one that brought us here */
				if (step == NULL && (!moved || ItemPointerCompare(&link->position, &position) > 0))
					step = link;
			}
			else if (!moved || ItemPointerCompare(&link->position, &position) < 0)
				step = link;	/* the last one before it */
		}
		if (step == NULL)
			return moved ? current : NULL;
		current = find_node(history, step->other, NULL);
		position = step->position;
		moved = true;

		links = find_links(history, current->key, !away, xid, near);
		outermost = away ? llast(links) : linitial(links);
		if (ItemPointerEquals(&outermost->position, &position))
			foreach(cell, current->lives)
				if (away ? began_with(lfirst(cell), xid, near) : ended_with(lfirst(cell), xid, near))
					return current;
	}
}

static void
join(Life *before, Life *after)
{
	if (before->after == NULL && after->before == NULL && before != after)
	{
		before->after = after;
		after->before = before;
		first_line(after)->operation = "rekey";
	}
}

/*
 * scd2 keeps of a transaction only where it left a row: at most one life of
 * each key ends with it, and at most one begins.
 */
static void
link_versions(History *history, Life *life)
{
	const Line *line = first_line(life);
	KeyNode    *node;
	ListCell   *cell;

	if (life->before == NULL && began_with(life, line->xid, line->from) &&
		(node = follow(history, life->node, false, line->xid, line->from)) != NULL)
	{
		first_line(life)->operation = "rekey";
		foreach(cell, node->lives)
			if (ended_with(lfirst(cell), line->xid, line->from))
				join(lfirst(cell), life);
	}

	line = last_line(life);
	if (life->after == NULL && ended_with(life, line->xid, line->from) &&
		(node = follow(history, life->node, true, line->xid, line->from)) != NULL)
	{
		foreach(cell, node->lives)
			if (began_with(lfirst(cell), line->xid, line->from))
				join(life, lfirst(cell));
	}
}

/*
 * copy_on_change keeps every step: the n-th of a key's lives that a
 * transaction ended by changing the key belongs to the n-th link away from
 * it, and likewise at the other end.
 */
static void
link_entries(History *history, Life *life, bool away)
{
	const Line *line = away ? last_line(life) : first_line(life);
	TimestampTz near = line->from;
	uint64		xid = line->xid;
	int			n = 0;
	List	   *links;
	Link	   *link;
	KeyNode    *node;
	ListCell   *cell;

	if (away ? life->after != NULL || !ended_with(life, xid, near) :
		life->before != NULL || !began_with(life, xid, near) || !same(line->operation, "rekey"))
		return;
	foreach(cell, life->node->lives)
	{
		Life	   *other = lfirst(cell);

		if (other == life)
			break;
		if (away ? ended_with(other, xid, near) :
			began_with(other, xid, near) && same(first_line(other)->operation, "rekey"))
			n++;
	}
	links = find_links(history, life->node->key, away, xid, near);
	if (n >= list_length(links))
		return;
	link = list_nth(links, n);

	node = find_node(history, link->other, NULL);
	n = 0;
	links = find_links(history, node->key, !away, xid, near);
	foreach(cell, links)
	{
		if (ItemPointerEquals(&((Link *) lfirst(cell))->position, &link->position))
			break;
		n++;
	}
	foreach(cell, node->lives)
	{
		Life	   *other = lfirst(cell);

		if (away ? !began_with(other, xid, near) || !same(first_line(other)->operation, "rekey") :
			!ended_with(other, xid, near))
			continue;
		if (n-- == 0)
		{
			if (away)
				join(life, other);
			else
				join(other, life);
			return;
		}
	}
}

static void
link_life(History *history, Life *life)
{
	if (history->reader->strategy == FFS_STRATEGY_SCD2)
		link_versions(history, life);
	else
	{
		link_entries(history, life, false);
		link_entries(history, life, true);
	}
}

/* All lives that are reached from those of one key. */
static List *
reach(History *history, KeyNode *start)
{
	List	   *lives = list_copy(start->lives);
	ListCell   *cell;

	foreach(cell, lives)
		((Life *) lfirst(cell))->reached = true;
	for (int i = 0; i < list_length(lives); i++)
	{
		Life	   *life = list_nth(lives, i);
		Life	   *neighbours[2];

		link_life(history, life);
		neighbours[0] = life->before;
		neighbours[1] = life->after;
		for (int n = 0; n < 2; n++)
			if (neighbours[n] != NULL && !neighbours[n]->reached)
			{
				neighbours[n]->reached = true;
				lives = lappend(lives, neighbours[n]);
			}
	}
	return lives;
}

/* ---- putting it out ---- */

/* {"field": {"old": …, "new": …}} for the columns of two versions that differ. */
static Jsonb *
tuple_changes(const Reader *reader, HeapTupleHeader before, HeapTupleHeader after)
{
	JsonbParseState *state = NULL;
	HeapTupleData tuples[2];
	Datum	   *values[2];
	bool	   *nulls[2];

	for (int n = 0; n < 2; n++)
	{
		tuples[n].t_data = n == 0 ? before : after;
		tuples[n].t_len = HeapTupleHeaderGetDatumLength(tuples[n].t_data);
		ItemPointerSetInvalid(&tuples[n].t_self);
		tuples[n].t_tableOid = InvalidOid;
		values[n] = palloc(reader->desc->natts * sizeof(Datum));
		nulls[n] = palloc(reader->desc->natts * sizeof(bool));
		heap_deform_tuple(&tuples[n], reader->desc, values[n], nulls[n]);
	}
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < reader->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(reader->desc, i);
		JsonbParseState *inner = NULL;

		if (att->attisdropped || bms_is_member(att->attnum, reader->hidden))
			continue;
		if (nulls[0][i] == nulls[1][i] &&
			(nulls[0][i] || datum_image_eq(values[0][i], values[1][i], att->attbyval, att->attlen)))
			continue;
		pushJsonbValue(&inner, WJB_BEGIN_OBJECT, NULL);
		ffs_temporal_push_member(&inner, "old", nulls[0][i] ? NULL :
								 DatumGetJsonbP(ffs_registry_to_jsonb(att->atttypid, values[0][i])));
		ffs_temporal_push_member(&inner, "new", nulls[1][i] ? NULL :
								 DatumGetJsonbP(ffs_registry_to_jsonb(att->atttypid, values[1][i])));
		ffs_temporal_push_member(&state, NameStr(att->attname),
								 JsonbValueToJsonb(pushJsonbValue(&inner, WJB_END_OBJECT, NULL)));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* The same for two rows that were built again from audit entries. */
static Jsonb *
json_changes(const Reader *reader, Jsonb *before, Jsonb *after)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < reader->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(reader->desc, i);
		Jsonb	   *rows[2] = {before, after};
		Jsonb	   *members[2] = {NULL, NULL};
		JsonbParseState *inner = NULL;

		if (att->attisdropped || bms_is_member(att->attnum, reader->hidden))
			continue;
		for (int n = 0; n < 2; n++)
		{
			JsonbValue	found;

			if (getKeyJsonValueFromContainer(&rows[n]->root, NameStr(att->attname),
											 strlen(NameStr(att->attname)), &found) != NULL &&
				found.type != jbvNull)
				members[n] = JsonbValueToJsonb(&found);
		}
		if (members[0] == members[1] ||
			(members[0] != NULL && members[1] != NULL && same_key(members[0], members[1])))
			continue;
		pushJsonbValue(&inner, WJB_BEGIN_OBJECT, NULL);
		ffs_temporal_push_member(&inner, "old", members[0]);
		ffs_temporal_push_member(&inner, "new", members[1]);
		ffs_temporal_push_member(&state, NameStr(att->attname),
								 JsonbValueToJsonb(pushJsonbValue(&inner, WJB_END_OBJECT, NULL)));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* What ffstorage.transactions has to say of a transaction whose row was shown. */
static void
find_transaction(History *history, uint64 xid, TimestampTz at)
{
	Oid			types[] = {XID8OID, TIMESTAMPTZOID};
	Datum		values[2];
	FfsRights	rights;

	if (history->known_xid == xid && history->known_at == at)
		return;
	history->known_xid = xid;
	history->known_at = at;
	history->known_actor = NULL;
	history->known_metadata = NULL;
	if (xid == 0)
		return;

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
	values[1] = TimestampTzGetDatum(at);
	ffs_base_begin_as(&rights, ffs_base_owner());
	if (SPI_execute_with_args("SELECT actor, metadata FROM ffstorage.transactions"
							  " WHERE transaction_id = $1 AND at <= $2 ORDER BY at DESC LIMIT 1",
							  2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read ffstorage.transactions");
	ffs_base_end_as(&rights);
	if (SPI_processed > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		bool		isnull;
		Datum		metadata = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull);

		history->known_actor = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		history->known_metadata = isnull ? NULL : DatumGetJsonbPCopy(metadata);
	}
}

static void
put_line(History *history, ReturnSetInfo *rsinfo, Line *line, const Line *before)
{
	Reader	   *reader = history->reader;
	Datum		values[HISTORY_COLUMNS] = {0};
	bool		nulls[HISTORY_COLUMNS];
	const char *actor = line->actor;

	memset(nulls, true, sizeof(nulls));
	if (line->changes == NULL && before != NULL && !line->is_end)
	{
		if (before->tuple != NULL && line->tuple != NULL)
			line->changes = tuple_changes(reader, before->tuple, line->tuple);
		else if (before->json != NULL && line->json != NULL)
			line->changes = json_changes(reader, before->json, line->json);
	}
	find_transaction(history, line->xid, line->from);
	if (actor == NULL)
		actor = history->known_actor;

#define PUT(n, datum) (values[n] = (datum), nulls[n] = false)
	if (line->version > 0)
		PUT(0, Int32GetDatum(line->version));
	PUT(1, CStringGetTextDatum(line->operation));
	PUT(2, TimestampTzGetDatum(line->from));
	if (!line->open)
		PUT(3, TimestampTzGetDatum(line->to));
	if (actor != NULL)
		PUT(4, CStringGetTextDatum(actor));
	if (line->xid != 0)
		PUT(5, FullTransactionIdGetDatum(FullTransactionIdFromU64(line->xid)));
	if (line->changes != NULL)
		PUT(6, JsonbPGetDatum(line->changes));
	if (line->tuple != NULL)
		PUT(7, ffs_registry_to_jsonb(reader->rowtype, HeapTupleHeaderGetDatum(line->tuple)));
	else if (line->json != NULL)
		PUT(7, JsonbPGetDatum(line->json));
	if (history->known_metadata != NULL)
		PUT(8, JsonbPGetDatum(history->known_metadata));
#undef PUT
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static int
by_begin(const ListCell *a, const ListCell *b)
{
	TimestampTz left = first_line(lfirst(a))->from;
	TimestampTz right = first_line(lfirst(b))->from;

	return left < right ? -1 : left > right ? 1 : 0;
}

static void
put_chains(History *history, ReturnSetInfo *rsinfo, List *lives)
{
	List	   *begins = NIL;
	ListCell   *cell;

	foreach(cell, lives)
	{
		Life	   *life = lfirst(cell);

		if (life->before == NULL)
			begins = lappend(begins, life);
	}
	list_sort(begins, by_begin);

	foreach(cell, begins)
	{
		const Line *before = NULL;	/* the last line that has a row */
		List	   *lines = NIL;
		ListCell   *line_cell;

		for (Life *life = lfirst(cell); life != NULL; life = life->after)
			foreach(line_cell, life->lines)
			{
				Line	   *line = lfirst(line_cell);

				/* a change of the key that could be followed has its line in the next life */
				if (line->is_end && life->after != NULL && line == last_line(life))
					continue;
				lines = lappend(lines, line);
			}
		foreach(line_cell, lines)
		{
			Line	   *line = lfirst(line_cell);

			/* it stayed away until it came back, or until the key was taken anew */
			if (line->is_end)
			{
				ListCell   *next = lnext(lines, line_cell);
				ListCell   *next_life = lnext(begins, cell);
				Line	   *then = next ? lfirst(next) : next_life ? first_line(lfirst(next_life)) : NULL;

				if (then != NULL && then->from >= line->from)
				{
					line->to = then->from;
					line->open = false;
				}
			}
			put_line(history, rsinfo, line, before);
			if (line->tuple != NULL || line->json != NULL)
				before = line;
		}
	}
}

static TimestampTz
find_managed_at(Oid rootid)
{
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(rootid);
	FfsRights	rights;
	bool		isnull;
	TimestampTz result = DT_NOBEGIN;

	ffs_base_begin_as(&rights, ffs_base_owner());
	if (SPI_execute_with_args("SELECT managed_at FROM ffstorage.managed WHERE relation = $1",
							  1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read ffstorage.managed");
	ffs_base_end_as(&rights);
	if (SPI_processed > 0)
		result = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return result;
}

static Datum
ffs_history_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	History		history = {0};
	FfsTable   *table;
	Datum		values[INDEX_MAX_KEYS];
	Jsonb	   *key;
	List	   *lives;
	bool		pushed;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the relation is null"),
				 errdetail("A row's life is that of a row of a managed table."),
				 errhint("Name a managed table.")));
	InitMaterializedSRF(fcinfo, 0);
	table = ffs_registry_get(PG_GETARG_OID(0), false);
	/* again, under a lock: it may have been dropped or changed while we waited */
	LockRelationOid(table->rootid, AccessShareLock);
	table = ffs_registry_get(table->rootid, false);
	ffs_registry_key_from_args(table, fcinfo, 1, values);

	pushed = ffs_temporal_catch_up(table->rootid);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	key = ffs_registry_key_to_jsonb(table, values);
	history.reader = ffs_temporal_reader(table);
	history.managed_at = find_managed_at(history.reader->rootid);
	lives = reach(&history, find_node(&history, key, values));
	put_chains(&history, rsinfo, lives);
	SPI_finish();
	if (pushed)
		PopActiveSnapshot();
	return (Datum) 0;
}
