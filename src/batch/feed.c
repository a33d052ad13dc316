/*-------------------------------------------------------------------------
 *
 * feed.c
 *		Rows in memory as what an INSERT selects from, one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "port/pg_bitutils.h"
#include "tcop/dest.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "batch/batch.h"
#include "batch/feed.h"

typedef struct FeedScanState
{
	CustomScanState css;
	Feed	   *feed;
	uint64		processed;		/* es_processed when the present row was taken */
} FeedScanState;

typedef struct FeedReceiver
{
	DestReceiver pub;
	Feed	   *feed;
} FeedReceiver;

static Plan *plan_feed(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
					   List *tlist, List *clauses, List *custom_plans);
static Node *create_feed_state(CustomScan *cscan);
static void begin_feed(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *exec_feed(CustomScanState *node);
static void end_feed(CustomScanState *node);
static void rescan_feed(CustomScanState *node);

static const CustomPathMethods path_methods = {
	.CustomName = "ffstorage batch",
	.PlanCustomPath = plan_feed,
};

static const CustomScanMethods scan_methods = {
	.CustomName = "ffstorage batch",
	.CreateCustomScanState = create_feed_state,
};

static const CustomExecMethods exec_methods = {
	.CustomName = "ffstorage batch",
	.BeginCustomScan = begin_feed,
	.ExecCustomScan = exec_feed,
	.EndCustomScan = end_feed,
	.ReScanCustomScan = rescan_feed,
};

static set_rel_pathlist_hook_type prev_set_rel_pathlist_hook = NULL;

/* Are we planning an INSERT of ours?  Others may have a relation of this name. */
static bool planning = false;

/* The feed of the innermost INSERT of ours that is running. */
static Feed *running = NULL;

/* ---- planning ---- */

static void
feed_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	CustomPath *path;

	if (prev_set_rel_pathlist_hook)
		prev_set_rel_pathlist_hook(root, rel, rti, rte);
	if (!planning || rte->rtekind != RTE_NAMEDTUPLESTORE || strcmp(rte->enrname, FEED_NAME) != 0)
		return;

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.rows = rel->rows;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = &path_methods;
	rel->pathlist = list_make1(path);
	rel->partial_pathlist = NIL;
}

static Plan *
plan_feed(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
		  List *tlist, List *clauses, List *custom_plans pg_attribute_unused())
{
	CustomScan *scan = makeNode(CustomScan);
	RangeTblEntry *rte = root->simple_rte_array[rel->relid];
	ListCell   *type;
	ListCell   *typmod;
	ListCell   *collation;
	AttrNumber	attno = 0;

	forthree(type, rte->coltypes, typmod, rte->coltypmods, collation, rte->colcollations)
	{
		Expr	   *expr;

		attno++;
		if (OidIsValid(lfirst_oid(type)))
			expr = (Expr *) makeVar(rel->relid, attno, lfirst_oid(type), lfirst_int(typmod),
									lfirst_oid(collation), 0);
		else
			expr = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		scan->custom_scan_tlist = lappend(scan->custom_scan_tlist,
										  makeTargetEntry(expr, attno, NULL, false));
	}
	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = extract_actual_clauses(clauses, false);
	scan->scan.scanrelid = 0;
	scan->flags = path->flags;
	scan->methods = &scan_methods;
	return &scan->scan.plan;
}

/* ---- running ---- */

static Node *
create_feed_state(CustomScan *cscan pg_attribute_unused())
{
	FeedScanState *state = (FeedScanState *) newNode(sizeof(FeedScanState), T_CustomScanState);

	state->css.methods = &exec_methods;
	return (Node *) state;
}

static void
begin_feed(CustomScanState *node, EState *estate, int eflags pg_attribute_unused())
{
	FeedScanState *state = (FeedScanState *) node;
	EphemeralNamedRelation relation = get_ENR(estate->es_queryEnv, FEED_NAME);

	if (relation == NULL || relation->reldata == NULL)
		elog(ERROR, "there is no feed to read from");
	state->feed = (Feed *) relation->reldata;
	state->feed->position = state->feed->from - 1;
	state->processed = 0;
}

/* The executor has done with the present row: what became of it? */
static void
settle(FeedScanState *state)
{
	Feed	   *feed = state->feed;
	uint64		processed = state->css.ss.ps.state->es_processed;

	if (feed->position >= feed->from && feed->position < feed->to)
		feed->rows[feed->position]->outcome =
			processed == state->processed ? FEED_PASSED_OVER :
			feed->updating ? FEED_UPDATED : FEED_INSERTED;
	state->processed = processed;
	feed->updating = false;
}

/* Cells of the INSERT's columns that this row leaves out take their default. */
static void
fill_row(Feed *feed, FeedRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(feed->context);

	for (int word = 0; word < feed->reader->nwords; word++)
	{
		uint64		missing = feed->columns[word] & ~(row->given[word] | row->filled[word]);

		while (missing != 0)
		{
			int			bit = pg_rightmost_one_pos64(missing);
			AttrNumber	attno = word * 64 + bit + 1;

			missing &= missing - 1;
			ffs_batch_default(feed->reader, attno, &row->values[attno - 1], &row->nulls[attno - 1]);
			ffs_batch_set_given(row->filled, attno);
		}
	}
	MemoryContextSwitchTo(old);
}

static TupleTableSlot *
next_row(ScanState *node)
{
	FeedScanState *state = (FeedScanState *) node;
	Feed	   *feed = state->feed;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	FeedRow    *row;

	settle(state);
	ExecClearTuple(slot);
	if (feed->position < feed->to)
		feed->position++;
	if (feed->position >= feed->to)
		return slot;
	row = feed->rows[feed->position];
	running = feed;
	fill_row(feed, row);
	memcpy(slot->tts_values, row->values, sizeof(Datum) * feed->desc->natts);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * feed->desc->natts);
	return ExecStoreVirtualTuple(slot);
}

static bool
recheck_row(ScanState *node pg_attribute_unused(), TupleTableSlot *slot pg_attribute_unused())
{
	return true;
}

static TupleTableSlot *
exec_feed(CustomScanState *node)
{
	return ExecScan(&node->ss, next_row, recheck_row);
}

static void
end_feed(CustomScanState *node pg_attribute_unused())
{
}

static void
rescan_feed(CustomScanState *node pg_attribute_unused())
{
	elog(ERROR, "a batch cannot be read twice");
}

/* A RETURNING row: the key of the row at hand. */
static bool
receive_key(TupleTableSlot *slot, DestReceiver *self)
{
	Feed	   *feed = ((FeedReceiver *) self)->feed;
	MemoryContext old;

	slot_getallattrs(slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
		if (slot->tts_isnull[i])
			return true;
	old = MemoryContextSwitchTo(feed->context);
	feed->rows[feed->position]->key = ffs_batch_write_key(feed->key_writer, slot->tts_values);
	MemoryContextSwitchTo(old);
	return true;
}

static void
receive_startup(DestReceiver *self pg_attribute_unused(), int operation pg_attribute_unused(), TupleDesc desc pg_attribute_unused())
{
}

static void
receive_nothing(DestReceiver *self pg_attribute_unused())
{
}

void
ffs_batch_feed_register(Feed *feed)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = FEED_NAME;
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = feed->desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = 1000;
	relation->reldata = feed;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the feed of a batch");
}

/* The plan, with our scan in it; *passing is what to free after it, if anything. */
static CachedPlan *
plan_insert(const char *query, SPIPlanPtr *passing)
{
	SPIPlanPtr	plan;
	bool		kept;
	CachedPlan *result = NULL;
	bool		before = planning;

	planning = true;
	PG_TRY();
	{
		plan = ffs_batch_plan(query, 0, NULL, &kept);
		result = SPI_plan_get_cached_plan(plan);
		*passing = kept ? NULL : plan;
	}
	PG_FINALLY();
	{
		planning = before;
	}
	PG_END_TRY();
	if (result == NULL)
		elog(ERROR, "no plan for: %s", query);
	return result;
}

void
ffs_batch_feed_run(Feed *feed, const char *query)
{
	SPIPlanPtr	passing;
	CachedPlan *cplan;
	PlannedStmt *statement;
	QueryDesc  *desc;
	FeedReceiver receiver;
	QueryEnvironment *environment;
	EphemeralNamedRelationData relation;

	feed->position = feed->from - 1;
	feed->updating = false;
	feed->outer = running;

	cplan = plan_insert(query, &passing);
	statement = linitial_node(PlannedStmt, cplan->stmt_list);
	if (list_length(cplan->stmt_list) != 1 || statement->commandType != CMD_INSERT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("batches cannot be written to a table with rules on INSERT"),
				 errdetail("The table is %s.", feed->reader->relation_name),
				 errhint("Use triggers in place of rules.")));

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());

	/* the scan finds its feed here */
	environment = create_queryEnv();
	memset(&relation, 0, sizeof(relation));
	relation.md.name = FEED_NAME;
	relation.md.tupdesc = feed->desc;
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.reldata = feed;
	register_ENR(environment, &relation);

	memset(&receiver, 0, sizeof(receiver));
	receiver.pub.receiveSlot = receive_key;
	receiver.pub.rStartup = receive_startup;
	receiver.pub.rShutdown = receive_nothing;
	receiver.pub.rDestroy = receive_nothing;
	receiver.pub.mydest = DestNone;
	receiver.feed = feed;

	desc = CreateQueryDesc(statement, query, GetActiveSnapshot(), InvalidSnapshot,
						   feed->returning ? &receiver.pub : None_Receiver,
						   NULL, environment, 0);
	ExecutorStart(desc, 0);
	ffs_compat_executor_run(desc);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	PopActiveSnapshot();
	ReleaseCachedPlan(cplan, passing ? NULL : CurrentResourceOwner);
	if (passing)
		SPI_freeplan(passing);
	running = feed->outer;
}

void
ffs_batch_feed_abandon(Feed *feed)
{
	running = feed->outer;
}

/* ---- what the INSERT's ON CONFLICT clause asks ---- */

PG_FUNCTION_INFO_V1(batch_conflict);
PG_FUNCTION_INFO_V1(batch_given);

/* The row at hand met a conflict and is about to be updated. */
Datum
batch_conflict(PG_FUNCTION_ARGS)
{
	if (running != NULL)
		running->updating = true;
	PG_RETURN_BOOL(true);
}

/* Does the input name this column (by number) for the row at hand? */
Datum
batch_given(PG_FUNCTION_ARGS)
{
	int32		attno = PG_GETARG_INT32(0);

	PG_RETURN_BOOL(running != NULL && running->position >= running->from &&
				   running->position < running->to &&
				   attno >= 1 && attno <= running->desc->natts &&
				   ffs_batch_is_given(running->rows[running->position]->given, attno));
}

void
ffs_batch_feed_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	prev_set_rel_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = feed_pathlist;
}
