/*-------------------------------------------------------------------------
 *
 * keyorder.c
 *		The order in which the rows of a call are written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"

#include "batch/keyorder.h"

KeyOrder *
ffs_batch_open_order(Oid index_oid)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	KeyOrder   *order = palloc0(sizeof(KeyOrder));
	int			n = IndexRelationGetNumberOfKeyAttributes(index);

	order->ncolumns = n;
	order->columns = palloc(sizeof(AttrNumber) * n);
	order->nulls_equal = index->rd_index->indnullsnotdistinct;
	order->support = palloc0(sizeof(SortSupportData) * n);
	order->quick = palloc0(sizeof(SortSupportData));
	order->operators = palloc(sizeof(Oid) * n);
	for (int i = 0; i < n; i++)
	{
		SortSupport support = &order->support[i];
		Oid			type = index->rd_opcintype[i];

		order->columns[i] = index->rd_index->indkey.values[i];
		order->operators[i] = get_opfamily_member(index->rd_opfamily[i], type, type, BTLessStrategyNumber);
		if (!OidIsValid(order->operators[i]))
			elog(ERROR, "missing comparison operator in index \"%s\"", RelationGetRelationName(index));
		support->ssup_cxt = CurrentMemoryContext;
		support->ssup_collation = index->rd_indcollation[i];
		support->ssup_attno = i + 1;
		ffs_compat_prepare_sort(index, false, support);
	}
	order->quick->ssup_cxt = CurrentMemoryContext;
	order->quick->ssup_collation = index->rd_indcollation[0];
	order->quick->ssup_attno = 1;
	order->quick->abbreviate = true;
	ffs_compat_prepare_sort(index, false, order->quick);
	index_close(index, AccessShareLock);
	return order;
}

bool
ffs_batch_has_key(const KeyOrder *order, const FeedRow *row)
{
	for (int i = 0; i < order->ncolumns; i++)
		if (!ffs_batch_is_given(row->given, order->columns[i]))
			return false;
	return true;
}

bool
ffs_batch_same_key(KeyOrder *order, const FeedRow *a, const FeedRow *b)
{
	for (int i = 0; i < order->ncolumns; i++)
	{
		int			column = order->columns[i] - 1;

		if (!order->nulls_equal && (a->nulls[column] || b->nulls[column]))
			return false;
		if (ApplySortComparator(a->values[column], a->nulls[column],
								b->values[column], b->nulls[column], &order->support[i]) != 0)
			return false;
	}
	return true;
}

/* ---- the rows of a batch ---- */

typedef struct SortItem
{
	Datum		quick;			/* of the first column, abbreviated if it can be */
	bool		isnull;
	bool		keyless;
	FeedRow    *row;
} SortItem;

static int
compare_items(const void *a, const void *b, void *arg)
{
	const SortItem *left = a;
	const SortItem *right = b;
	KeyOrder   *order = arg;
	int			result;

	CHECK_FOR_INTERRUPTS();
	if (left->keyless || right->keyless)
	{
		if (left->keyless != right->keyless)
			return left->keyless ? 1 : -1;
		return left->row->number < right->row->number ? -1 : 1;
	}
	result = ApplySortComparator(left->quick, left->isnull, right->quick, right->isnull, order->quick);
	for (int i = order->quick->abbrev_converter ? 0 : 1; result == 0 && i < order->ncolumns; i++)
	{
		int			column = order->columns[i] - 1;

		result = ApplySortComparator(left->row->values[column], left->row->nulls[column],
									 right->row->values[column], right->row->nulls[column],
									 &order->support[i]);
	}
	if (result != 0)
		return result;
	return left->row->number < right->row->number ? -1 : left->row->number > right->row->number;
}

void
ffs_batch_sort_rows(KeyOrder *order, FeedRow **rows, int nrows)
{
	SortItem   *items;
	AttrNumber	first = order->columns[0];
	bool		sorted = true;

	if (nrows < 2)
		return;
	items = palloc_extended(sizeof(SortItem) * nrows, MCXT_ALLOC_HUGE);
	for (int i = 0; i < nrows; i++)
	{
		SortItem   *item = &items[i];

		item->row = rows[i];
		item->keyless = !ffs_batch_has_key(order, rows[i]);
		item->isnull = item->keyless || rows[i]->nulls[first - 1];
		item->quick = item->isnull ? (Datum) 0 :
			order->quick->abbrev_converter ?
			order->quick->abbrev_converter(rows[i]->values[first - 1], order->quick) :
			rows[i]->values[first - 1];
		if (sorted && i > 0)
			sorted = compare_items(item - 1, item, order) < 0;
	}
	if (!sorted)
	{
		qsort_arg(items, nrows, sizeof(SortItem), compare_items, order);
		for (int i = 0; i < nrows; i++)
			rows[i] = items[i].row;
	}
	pfree(items);
}

/* ---- the keys of a call ---- */

struct KeySorter
{
	KeyOrder   *order;
	Tuplesortstate *sort;
	MemoryContext context;		/* of the sort, its tuples and its files, */
	ResourceOwner owner;		/* whatever subtransaction we are called in */
	TupleTableSlot *put;
	TupleTableSlot *got;
	TupleTableSlot *previous;	/* the one before, its first */
	int			first;			/* the number of the first row of that key */
};

/*
 * A tuple is the key's columns, whether the row has no key (these are NULL
 * then), and the row's number: together they sort as sort_rows() does.
 */
KeySorter *
ffs_batch_begin_sorter(KeyOrder *order, RowReader *reader)
{
	KeySorter  *sorter = palloc0(sizeof(KeySorter));
	int			n = order->ncolumns;
	TupleDesc	desc = CreateTemplateTupleDesc(n + 2);
	AttrNumber *attnos = palloc(sizeof(AttrNumber) * (n + 2));
	Oid		   *operators = palloc(sizeof(Oid) * (n + 2));
	Oid		   *collations = palloc0(sizeof(Oid) * (n + 2));
	bool	   *nulls_first = palloc0(sizeof(bool) * (n + 2));

	for (int i = 0; i < n; i++)
	{
		const RowColumn *column = &reader->columns[order->columns[i] - 1];

		TupleDescInitEntry(desc, i + 1, NULL, getBaseType(column->type), -1, 0);
		operators[i] = order->operators[i];
		collations[i] = order->support[i].ssup_collation;
	}
	TupleDescInitEntry(desc, n + 1, NULL, INT4OID, -1, 0);
	TupleDescInitEntry(desc, n + 2, NULL, INT4OID, -1, 0);
	operators[n] = operators[n + 1] = Int4LessOperator;
	for (int i = 0; i < n + 2; i++)
		attnos[i] = i + 1;

	sorter->order = order;
	sorter->context = CurrentMemoryContext;
	sorter->owner = CurrentResourceOwner;
	sorter->sort = tuplesort_begin_heap(desc, n + 2, attnos, operators, collations, nulls_first,
										work_mem, NULL, TUPLESORT_NONE);
	sorter->put = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sorter->got = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	sorter->previous = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	return sorter;
}

void
ffs_batch_put_key(KeySorter *sorter, const FeedRow *row)
{
	KeyOrder   *order = sorter->order;
	TupleTableSlot *slot = sorter->put;
	bool		keyless = !ffs_batch_has_key(order, row);
	int			n = order->ncolumns;
	ResourceOwner owner = CurrentResourceOwner;

	ExecClearTuple(slot);
	for (int i = 0; i < n; i++)
	{
		slot->tts_isnull[i] = keyless || row->nulls[order->columns[i] - 1];
		slot->tts_values[i] = slot->tts_isnull[i] ? (Datum) 0 : row->values[order->columns[i] - 1];
	}
	slot->tts_values[n] = Int32GetDatum(keyless ? 1 : 0);
	slot->tts_values[n + 1] = Int32GetDatum(row->number);
	slot->tts_isnull[n] = slot->tts_isnull[n + 1] = false;
	ExecStoreVirtualTuple(slot);
	CurrentResourceOwner = sorter->owner;
	tuplesort_puttupleslot(sorter->sort, slot);
	CurrentResourceOwner = owner;
}

void
ffs_batch_sort_keys(KeySorter *sorter)
{
	tuplesort_performsort(sorter->sort);
}

static bool
same_as_previous(KeySorter *sorter)
{
	KeyOrder   *order = sorter->order;
	TupleTableSlot *a = sorter->previous;
	TupleTableSlot *b = sorter->got;
	int			n = order->ncolumns;

	if (TTS_EMPTY(a) || DatumGetInt32(b->tts_values[n]) != 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (!order->nulls_equal && (a->tts_isnull[i] || b->tts_isnull[i]))
			return false;
		if (ApplySortComparator(a->tts_values[i], a->tts_isnull[i],
								b->tts_values[i], b->tts_isnull[i], &order->support[i]) != 0)
			return false;
	}
	return true;
}

int
ffs_batch_next_key(KeySorter *sorter, int *before)
{
	TupleTableSlot *spare = sorter->previous;
	MemoryContext context = MemoryContextSwitchTo(sorter->context);
	ResourceOwner owner = CurrentResourceOwner;
	bool		found;
	int			number;

	CurrentResourceOwner = sorter->owner;
	found = tuplesort_gettupleslot(sorter->sort, true, true, sorter->got, NULL);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(context);
	if (!found)
		return 0;
	slot_getallattrs(sorter->got);
	number = DatumGetInt32(sorter->got->tts_values[sorter->order->ncolumns + 1]);
	*before = 0;
	if (same_as_previous(sorter))
	{
		*before = sorter->first;
		return number;
	}
	sorter->first = number;
	sorter->previous = sorter->got;
	sorter->got = spare;
	return number;
}

void
ffs_batch_end_sorter(KeySorter *sorter)
{
	ExecDropSingleTupleTableSlot(sorter->put);
	ExecDropSingleTupleTableSlot(sorter->got);
	ExecDropSingleTupleTableSlot(sorter->previous);
	tuplesort_end(sorter->sort);
}
