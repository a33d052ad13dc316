/*-------------------------------------------------------------------------
 *
 * writer.c
 *		Many rows into one heap, without the executor.
 *
 * What is known of a relation's indexes is kept for the session: opening an
 * executor state for each statement costs as much as writing one row.  Kept
 * are only indexes whose entries can be made without running what users wrote;
 * where there are others, the executor does it all (ffs_base_insert_slots).
 *
 * Index entries wait for the end, and their relation may be rebuilt meanwhile
 * (CLUSTER or REINDEX in a function of a user's): whatever has another file
 * then has been built with our rows in it, and wants no entries any more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/brin_internal.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "base/writer.h"

/* The rows that one multi-insert takes. */
#define CHUNK_ROWS	1000
#define CHUNK_BYTES	(256 * 1024)

/* From how many entries on it pays to sort. */
#define SORT_ENTRIES	16

/* ---- what is kept of a relation's indexes ---- */

typedef struct KeptIndex
{
	Oid			oid;
	IndexInfo  *info;
	ExprState  *predicate;		/* NULL: none */
	bool		ranges;			/* summarises the least and greatest times of blocks */
	bool		sorted;			/* a btree */
} KeptIndex;

typedef struct KeptIndexes
{
	Oid			relid;			/* hash key */
	bool		valid;
	bool		usual;			/* false: the executor must make the entries */
	int			nindexes;
	KeptIndex  *indexes;
	EState	   *estate;			/* evaluates predicates; NULL where there are none */
	MemoryContext context;		/* holds all of it */
} KeptIndexes;

typedef struct KeptOwner
{
	Oid			index;			/* hash key */
	Oid			relid;
} KeptOwner;

static HTAB *kept = NULL;
static HTAB *kept_owners = NULL;

static void
relation_changed(Datum arg pg_attribute_unused(), Oid relid)
{
	KeptIndexes *entry;
	KeptOwner  *owner;

	if (kept == NULL)
		return;
	if (!OidIsValid(relid))
	{
		HASH_SEQ_STATUS seq;

		hash_seq_init(&seq, kept);
		while ((entry = hash_seq_search(&seq)) != NULL)
			entry->valid = false;
		return;
	}
	owner = hash_search(kept_owners, &relid, HASH_FIND, NULL);
	if (owner != NULL)
		relid = owner->relid;
	entry = hash_search(kept, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		entry->valid = false;
}

static bool
is_not_builtin(Oid funcid, void *context pg_attribute_unused())
{
	return funcid >= FirstNormalObjectId;
}

/* Is there anything in the expression that somebody may have written, or may change? */
static bool
runs_foreign_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_not_builtin, context) || IsA(node, CoerceToDomain))
		return true;
	return expression_tree_walker(node, runs_foreign_code, context);
}

/* Does a BRIN index keep the least and the greatest of times and numbers, and nothing else? */
static bool
keeps_ranges(Relation index)
{
	if (index->rd_rel->relam != BRIN_AM_OID)
		return false;
	for (int i = 0; i < index->rd_index->indnatts; i++)
		if ((index->rd_opcintype[i] != TIMESTAMPTZOID && index->rd_opcintype[i] != INT8OID) ||
			index_getprocid(index, i + 1, BRIN_PROCNUM_OPCINFO) != F_BRIN_MINMAX_OPCINFO)
			return false;
	return true;
}

static void
keep_index(KeptIndexes *entry, Relation index)
{
	KeptIndex  *keep = &entry->indexes[entry->nindexes];

	keep->oid = RelationGetRelid(index);
	keep->info = BuildIndexInfo(index);
	if (!keep->info->ii_ReadyForInserts)
		return;
	keep->predicate = NULL;
	keep->ranges = keeps_ranges(index);
	keep->sorted = index->rd_rel->relam == BTREE_AM_OID;
	if (keep->info->ii_Expressions != NIL || keep->info->ii_ExclusionOps != NULL ||
		!index->rd_index->indimmediate ||
		runs_foreign_code((Node *) keep->info->ii_Predicate, NULL))
		entry->usual = false;
	else if (keep->info->ii_Predicate != NIL)
	{
		if (entry->estate == NULL)
			entry->estate = CreateExecutorState();
		keep->predicate = ExecPrepareQual(keep->info->ii_Predicate, entry->estate);
	}
	entry->nindexes++;
}

static KeptIndexes *
kept_indexes(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	KeptIndexes *entry;
	bool		found;
	MemoryContext old;
	List	   *list;
	ListCell   *lc;

	if (kept == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(KeptIndexes)};
		HASHCTL		owners = {.keysize = sizeof(Oid),.entrysize = sizeof(KeptOwner)};

		kept_owners = hash_create("ffstorage indexes written", 64, &owners, HASH_ELEM | HASH_BLOBS);
		kept = hash_create("ffstorage relations written", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(kept, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->context = NULL;
	}
	if (entry->valid)
		return entry;

	if (entry->context != NULL)
		MemoryContextReset(entry->context);
	else
		entry->context = AllocSetContextCreate(TopMemoryContext, "ffstorage indexes", ALLOCSET_SMALL_SIZES);
	entry->usual = true;
	entry->nindexes = 0;
	entry->estate = NULL;
	list = RelationGetIndexList(rel);
	old = MemoryContextSwitchTo(entry->context);
	entry->indexes = palloc0(sizeof(KeptIndex) * Max(list_length(list), 1));
	/* a change that comes in from here on counts */
	entry->valid = true;
	foreach(lc, list)
	{
		Oid			oid = lfirst_oid(lc);
		Relation	index = index_open(oid, RowExclusiveLock);
		KeptOwner  *owner = hash_search(kept_owners, &oid, HASH_ENTER, NULL);

		owner->relid = relid;
		keep_index(entry, index);
		index_close(index, NoLock);
	}
	MemoryContextSwitchTo(old);
	list_free(list);
	return entry;
}

/* ---- entries that wait ---- */

/* One entry: what is compared and inserted lies together. */
typedef struct Entry
{
	ItemPointerData tid;
	Datum		values[FLEXIBLE_ARRAY_MEMBER];	/* then as many bool, then what values point to */
} Entry;

#define ENTRY_SIZE(ncolumns)			(offsetof(Entry, values) + (sizeof(Datum) + sizeof(bool)) * (ncolumns))
#define ENTRY_NULLS(entry, ncolumns)	((bool *) &(entry)->values[ncolumns])

typedef struct SortItem
{
	Datum		key;			/* of the first column, abbreviated where that can be */
	Entry	   *entry;
} SortItem;

typedef struct Pending
{
	Oid			oid;			/* of the index */
	Oid			file;			/* that it had at its first entry */
	bool		ranges;
	bool		sorted;
	bool		open;			/* ranges: the last two entries take more rows of their block */
	int			ncolumns;
	int			n;
	int			allocated;
	SortItem   *items;
} Pending;

struct FfsWriter
{
	Oid			relid;
	TupleDesc	desc;
	MemoryContext context;		/* holds all of it */
	MemoryContext row_context;	/* the rows of the chunk */
	TupleTableSlot **slots;		/* of the chunk */
	int			nslots;			/* made */
	int			nrows;			/* filled */
	Size		bytes;
	Oid			file;			/* the heap's, while entries wait */
	Pending    *pending;
	int			npending;
	MemoryContext entry_context;	/* holds the entries, in blocks */
	char	   *block;			/* where the next one goes */
	Size		room;			/* in it */
	Size		pending_bytes;
};

static Oid
relation_file(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			file;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	ReleaseSysCache(tuple);
	return file;
}

static Pending *
pending_of(FfsWriter *writer, const KeptIndex *keep)
{
	Oid			file = relation_file(keep->oid);
	Pending    *pending;

	for (int i = 0; i < writer->npending; i++)
	{
		pending = &writer->pending[i];
		if (pending->oid != keep->oid)
			continue;
		if (pending->file != file)
		{
			/* rebuilt since then, with what waited in it */
			pending->file = file;
			pending->n = 0;
			pending->open = false;
		}
		return pending;
	}

	writer->pending = writer->pending == NULL ? MemoryContextAlloc(writer->context, sizeof(Pending)) :
		repalloc(writer->pending, sizeof(Pending) * (writer->npending + 1));
	pending = &writer->pending[writer->npending++];
	memset(pending, 0, sizeof(Pending));
	pending->oid = keep->oid;
	pending->file = file;
	pending->ranges = keep->ranges;
	pending->sorted = keep->sorted;
	pending->ncolumns = keep->info->ii_NumIndexAttrs;
	return pending;
}

/* A new entry with its values and nulls, and `extra` bytes after them. */
static Entry *
new_entry(FfsWriter *writer, Pending *pending, ItemPointer tid,
		  const Datum *values, const bool *nulls, Size extra)
{
	int			ncolumns = pending->ncolumns;
	Size		size = MAXALIGN(MAXALIGN(ENTRY_SIZE(ncolumns)) + extra);
	Entry	   *entry;

	if (pending->n == pending->allocated)
	{
		pending->allocated = Max(pending->allocated * 2, 2);
		pending->items = pending->items == NULL ?
			MemoryContextAlloc(writer->context, sizeof(SortItem) * pending->allocated) :
			repalloc_huge(pending->items, sizeof(SortItem) * pending->allocated);
	}
	if (size > writer->room)
	{
		/* a few at first, as most statements write few rows */
		writer->room = Max(size, Min(Max(writer->pending_bytes, 512), 64 * 1024));
		if (writer->entry_context == NULL)
			writer->entry_context = AllocSetContextCreate(writer->context, "ffstorage index entries",
														  ALLOCSET_DEFAULT_SIZES);
		writer->block = MemoryContextAlloc(writer->entry_context, writer->room);
	}
	entry = (Entry *) writer->block;
	writer->block += size;
	writer->room -= size;
	writer->pending_bytes += size + sizeof(SortItem);
	entry->tid = *tid;
	memcpy(entry->values, values, sizeof(Datum) * ncolumns);
	memcpy(ENTRY_NULLS(entry, ncolumns), nulls, sizeof(bool) * ncolumns);
	pending->items[pending->n++].entry = entry;
	return entry;
}

/* Two entries for each block, of the least and of the greatest of each column. */
static void
add_to_ranges(FfsWriter *writer, Pending *pending, ItemPointer tid, const Datum *values, const bool *nulls)
{
	bool		any_null = false;

	for (int i = 0; i < pending->ncolumns; i++)
		any_null |= nulls[i];
	if (!any_null && pending->open &&
		ItemPointerGetBlockNumber(&pending->items[pending->n - 1].entry->tid) == ItemPointerGetBlockNumber(tid))
	{
		Datum	   *least = pending->items[pending->n - 2].entry->values;
		Datum	   *greatest = pending->items[pending->n - 1].entry->values;

		for (int i = 0; i < pending->ncolumns; i++)
		{
			if (DatumGetInt64(values[i]) < DatumGetInt64(least[i]))
				least[i] = values[i];
			if (DatumGetInt64(values[i]) > DatumGetInt64(greatest[i]))
				greatest[i] = values[i];
		}
		return;
	}
	(void) new_entry(writer, pending, tid, values, nulls, 0);
	if (!any_null)
		(void) new_entry(writer, pending, tid, values, nulls, 0);
	pending->open = !any_null;
}

static void
add_entry(FfsWriter *writer, Pending *pending, const KeptIndex *keep, ItemPointer tid,
		  Datum *values, const bool *nulls)
{
	Size		lengths[INDEX_MAX_KEYS];
	Size		extra = 0;
	Entry	   *entry;
	char	   *to;

	for (int i = 0; i < pending->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(writer->desc, keep->info->ii_IndexAttrNumbers[i] - 1);

		lengths[i] = 0;
		if (nulls[i] || att->attbyval)
			continue;
		/* not compressed nor elsewhere: it is to be compared */
		if (att->attlen == -1)
			values[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[i]));
		lengths[i] = datumGetSize(values[i], false, att->attlen);
		extra += MAXALIGN(lengths[i]);
	}
	entry = new_entry(writer, pending, tid, values, nulls, extra);
	to = (char *) entry + MAXALIGN(ENTRY_SIZE(pending->ncolumns));
	for (int i = 0; i < pending->ncolumns; i++)
	{
		if (lengths[i] == 0)
			continue;
		memcpy(to, DatumGetPointer(values[i]), lengths[i]);
		entry->values[i] = PointerGetDatum(to);
		to += MAXALIGN(lengths[i]);
	}
}

/* Does a row belong into an index? */
static bool
is_wanted(KeptIndexes *indexes, const KeptIndex *keep, TupleTableSlot *slot)
{
	ExprContext *econtext;
	bool		wanted;

	if (keep->predicate == NULL)
		return true;
	econtext = GetPerTupleExprContext(indexes->estate);
	econtext->ecxt_scantuple = slot;
	wanted = ExecQual(keep->predicate, econtext);
	econtext->ecxt_scantuple = NULL;
	ResetExprContext(econtext);
	return wanted;
}

static void
collect_entries(FfsWriter *writer, KeptIndexes *indexes)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < indexes->nindexes; i++)
	{
		KeptIndex  *keep = &indexes->indexes[i];
		Pending    *pending = NULL;

		for (int row = 0; row < writer->nrows; row++)
		{
			TupleTableSlot *slot = writer->slots[row];

			if (!is_wanted(indexes, keep, slot))
				continue;
			if (pending == NULL)
				pending = pending_of(writer, keep);
			FormIndexDatum(keep->info, slot, NULL, values, nulls);
			if (keep->ranges)
				add_to_ranges(writer, pending, &slot->tts_tid, values, nulls);
			else
				add_entry(writer, pending, keep, &slot->tts_tid, values, nulls);
		}
	}
}

/* ---- their order ---- */

typedef struct Sorting
{
	int			nvalues;		/* columns of an entry */
	int			ncolumns;		/* those that are compared */
	bool		nulls;			/* in the first column of any entry */
	SortSupportData *columns;
} Sorting;

static int
compare_entries(const void *a, const void *b, void *arg)
{
	const SortItem *x = a;
	const SortItem *y = b;
	const Sorting *sorting = arg;
	SortSupport first = &sorting->columns[0];
	const bool *xnulls;
	const bool *ynulls;
	int			result = 0;

	/* the entries themselves are far away: mostly the first column settles it */
	if (!sorting->nulls && (result = ApplySortComparator(x->key, false, y->key, false, first)) != 0)
		return result;
	xnulls = ENTRY_NULLS(x->entry, sorting->nvalues);
	ynulls = ENTRY_NULLS(y->entry, sorting->nvalues);
	if (sorting->nulls)
		result = ApplySortComparator(x->key, xnulls[0], y->key, ynulls[0], first);
	if (result == 0 && first->abbrev_converter != NULL)
		result = ApplySortAbbrevFullComparator(x->entry->values[0], xnulls[0],
											   y->entry->values[0], ynulls[0], first);
	for (int i = 1; result == 0 && i < sorting->ncolumns; i++)
		result = ApplySortComparator(x->entry->values[i], xnulls[i],
									 y->entry->values[i], ynulls[i],
									 &sorting->columns[i]);
	return result != 0 ? result : ItemPointerCompare(&x->entry->tid, &y->entry->tid);
}

/* Put entries in the order of their index. */
static void
sort_entries(Pending *pending, Relation index)
{
	Sorting		sorting;
	SortSupport first;

	sorting.nvalues = pending->ncolumns;
	sorting.nulls = false;
	sorting.ncolumns = IndexRelationGetNumberOfKeyAttributes(index);
	sorting.columns = palloc0(sizeof(SortSupportData) * sorting.ncolumns);
	for (int i = 0; i < sorting.ncolumns; i++)
	{
		SortSupport ssup = &sorting.columns[i];
		bool		descending = (index->rd_indoption[i] & INDOPTION_DESC) != 0;

		ssup->ssup_cxt = CurrentMemoryContext;
		ssup->ssup_collation = index->rd_indcollation[i];
		ssup->ssup_nulls_first = (index->rd_indoption[i] & INDOPTION_NULLS_FIRST) != 0;
		ssup->ssup_attno = i + 1;
		ssup->abbreviate = i == 0;
		ffs_compat_prepare_sort(index, descending, ssup);
	}
	first = &sorting.columns[0];
	for (int i = 0; i < pending->n; i++)
	{
		SortItem   *item = &pending->items[i];

		item->key = item->entry->values[0];
		if (ENTRY_NULLS(item->entry, pending->ncolumns)[0])
			sorting.nulls = true;
		else if (first->abbrev_converter != NULL)
			item->key = first->abbrev_converter(item->key, first);
	}
	qsort_arg(pending->items, pending->n, sizeof(SortItem), compare_entries, &sorting);
}

/* ---- writing ---- */

static void
write_entries(Relation rel, Pending *pending, KeptIndexes *indexes)
{
	Relation	index = try_relation_open(pending->oid, RowExclusiveLock);
	IndexInfo  *info = NULL;
	IndexUniqueCheck check;

	if (index == NULL || index->rd_rel->relfilenode != pending->file)
	{
		if (index != NULL)
			relation_close(index, NoLock);
		return;
	}
	for (int i = 0; indexes != NULL && i < indexes->nindexes; i++)
		if (indexes->indexes[i].oid == pending->oid)
			info = indexes->indexes[i].info;
	if (info == NULL)
		info = BuildIndexInfo(index);
	info->ii_AmCache = NULL;
	info->ii_Context = CurrentMemoryContext;
	check = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	if (pending->sorted && pending->n >= SORT_ENTRIES)
		sort_entries(pending, index);
	for (int i = 0; i < pending->n; i++)
	{
		Entry	   *entry = pending->items[i].entry;

		if ((i & 0xff) == 0)
			CHECK_FOR_INTERRUPTS();
		/* of a range, the greatest may be the least again */
		if (pending->ranges && i > 0 &&
			ItemPointerEquals(&entry->tid, &pending->items[i - 1].entry->tid) &&
			memcmp(entry->values, pending->items[i - 1].entry->values,
				   sizeof(Datum) * pending->ncolumns) == 0)
			continue;
		index_insert(index, entry->values, ENTRY_NULLS(entry, pending->ncolumns), &entry->tid,
					 rel, check, false, info);
	}
	ffs_compat_index_insert_cleanup(index, info);
	info->ii_AmCache = NULL;
	relation_close(index, NoLock);
}

/* Index code of any kind runs as the relation's owner. */
static void
begin_as_owner(Relation rel, FfsRights *saved)
{
	GetUserIdAndSecContext(&saved->role, &saved->sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
}

static void
end_as_owner(const FfsRights *saved)
{
	SetUserIdAndSecContext(saved->role, saved->sec_context);
}

/* The entries of a few rows, at once. */
static void
write_entries_now(FfsWriter *writer, Relation rel, KeptIndexes *indexes)
{
	FfsRights	saved;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	begin_as_owner(rel, &saved);
	for (int i = 0; i < indexes->nindexes; i++)
	{
		KeptIndex  *keep = &indexes->indexes[i];
		Relation	index = NULL;
		IndexUniqueCheck check = UNIQUE_CHECK_NO;

		for (int row = 0; row < writer->nrows; row++)
		{
			TupleTableSlot *slot = writer->slots[row];

			if (!is_wanted(indexes, keep, slot))
				continue;
			if (index == NULL)
			{
				index = index_open(keep->oid, RowExclusiveLock);
				if (index->rd_index->indisunique)
					check = UNIQUE_CHECK_YES;
				keep->info->ii_AmCache = NULL;
				keep->info->ii_Context = writer->row_context;
			}
			FormIndexDatum(keep->info, slot, NULL, values, nulls);
			index_insert(index, values, nulls, &slot->tts_tid, rel, check, false, keep->info);
		}
		if (index == NULL)
			continue;
		ffs_compat_index_insert_cleanup(index, keep->info);
		keep->info->ii_AmCache = NULL;
		index_close(index, NoLock);
	}
	end_as_owner(&saved);
}

/* All entries that wait. */
static void
write_pending(FfsWriter *writer, Relation rel)
{
	FfsRights	saved;
	MemoryContext context;
	MemoryContext old;

	if (writer->npending == 0)
		return;
	if (rel->rd_rel->relfilenode == writer->file)
	{
		KeptIndexes *indexes = kept_indexes(rel);

		context = AllocSetContextCreate(writer->context, "ffstorage entries in order", ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(context);
		begin_as_owner(rel, &saved);
		for (int i = 0; i < writer->npending; i++)
		{
			write_entries(rel, &writer->pending[i], indexes);
			MemoryContextReset(context);
		}
		end_as_owner(&saved);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
	for (int i = 0; i < writer->npending; i++)
		pfree(writer->pending[i].items);
	pfree(writer->pending);
	writer->pending = NULL;
	writer->npending = 0;
	writer->pending_bytes = 0;
	writer->room = 0;
	MemoryContextReset(writer->entry_context);
}

/* The rows of the chunk; and what waits, if it is much or the last. */
static void
write_chunk(FfsWriter *writer, bool last)
{
	Relation	rel;
	KeptIndexes *indexes;
	MemoryContext old;
	bool		pushed = false;

	if (writer->nrows == 0 && writer->npending == 0)
		return;
	old = MemoryContextSwitchTo(writer->context);
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	/* the lock stays: whoever builds an index must wait for entries of ours */
	rel = table_open(writer->relid, RowExclusiveLock);
	if (writer->nrows > 0)
	{
		indexes = kept_indexes(rel);
		if (indexes->usual)
		{
			if (writer->npending > 0 && writer->file != rel->rd_rel->relfilenode)
				write_pending(writer, rel); /* forgets them */
			writer->file = rel->rd_rel->relfilenode;
			MemoryContextSwitchTo(writer->row_context);
			table_multi_insert(rel, writer->slots, writer->nrows, GetCurrentCommandId(true), 0, NULL);
			if (last && writer->npending == 0 && writer->nrows < SORT_ENTRIES)
				write_entries_now(writer, rel, indexes);
			else
				collect_entries(writer, indexes);
			MemoryContextSwitchTo(writer->context);
		}
		else
		{
			write_pending(writer, rel);
			ffs_base_insert_slots(rel, writer->slots, writer->nrows);
		}
		for (int i = 0; i < writer->nrows; i++)
			ExecClearTuple(writer->slots[i]);
		writer->nrows = 0;
		writer->bytes = 0;
		if (!last)
			MemoryContextReset(writer->row_context);
	}
	if (last || writer->pending_bytes >= (Size) work_mem * 1024)
		write_pending(writer, rel);
	table_close(rel, NoLock);
	if (pushed)
		PopActiveSnapshot();
	MemoryContextSwitchTo(old);
}

FfsWriter *
ffs_base_writer_open(Oid relid, TupleDesc desc, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "ffstorage writer", ALLOCSET_DEFAULT_SIZES);
	FfsWriter  *writer = MemoryContextAllocZero(context, sizeof(FfsWriter));

	writer->relid = relid;
	writer->desc = desc;
	if (desc->tdrefcount >= 0)
	{
		/* slots would pin it, for a resource owner that may end before them */
		MemoryContext old = MemoryContextSwitchTo(context);

		writer->desc = CreateTupleDescCopy(desc);
		MemoryContextSwitchTo(old);
	}
	writer->context = context;
	writer->row_context = AllocSetContextCreate(context, "ffstorage rows", ALLOCSET_DEFAULT_SIZES);
	return writer;
}

HeapTuple
ffs_base_writer_form(FfsWriter *writer, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(writer->row_context);
	HeapTuple	tuple = heap_form_tuple(writer->desc, unconstify(Datum *, values), unconstify(bool *, nulls));

	tuple->t_tableOid = writer->relid;
	MemoryContextSwitchTo(old);
	return tuple;
}

HeapTuple
ffs_base_writer_room(FfsWriter *writer, Size length)
{
	HeapTuple	tuple = MemoryContextAllocZero(writer->row_context, HEAPTUPLESIZE + length);

	tuple->t_len = length;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = writer->relid;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	return tuple;
}

void
ffs_base_writer_put(FfsWriter *writer, HeapTuple tuple)
{
	if (writer->nrows == writer->nslots)
	{
		MemoryContext old = MemoryContextSwitchTo(writer->context);

		if (writer->slots == NULL)
			writer->slots = palloc(sizeof(TupleTableSlot *) * CHUNK_ROWS);
		writer->slots[writer->nslots++] = MakeSingleTupleTableSlot(writer->desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	/* the slot's own: it would be copied when it is written otherwise */
	ExecStoreHeapTuple(tuple, writer->slots[writer->nrows++], true);
	writer->bytes += tuple->t_len;
	if (writer->nrows == CHUNK_ROWS || writer->bytes >= CHUNK_BYTES)
		write_chunk(writer, false);
}

void
ffs_base_writer_finish(FfsWriter *writer)
{
	write_chunk(writer, true);
	MemoryContextDelete(writer->context);
}

void
ffs_base_writer_drop(FfsWriter *writer)
{
	MemoryContextDelete(writer->context);
}

void
ffs_base_writer_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}
