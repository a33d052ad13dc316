/*-------------------------------------------------------------------------
 *
 * feed.c
 *		Rows in memory as what a statement reads from, one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "port/pg_bitutils.h"
#include "tcop/dest.h"
#include "utils/guc.h"
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
	bool		rechecking;		/* we are part of a recheck of the row at hand */
	bool		rechecked;		/* and have given it */
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
static get_relation_info_hook_type prev_get_relation_info_hook = NULL;

/* Are we planning a statement of ours?  Others may have a relation of this name. */
static bool planning = false;

/* The feed of the innermost statement of ours that is running. */
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

/*
 * The table that a feed is joined to: for the planner it is large, however
 * small it is now, since the plan is kept.  So it is looked into by its primary
 * key for each row of the feed, in the feed's order.
 */
static void
feed_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *lc;

	if (prev_get_relation_info_hook)
		prev_get_relation_info_hook(root, relid, inhparent, rel);
	if (!planning || root->parent_root != NULL)
		return;
	rel->tuples = Max(rel->tuples, 1e7);
	rel->pages = Max(rel->pages, 200000);
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, lc);

		index->tuples = Max(index->tuples, 1e7);
		index->pages = Max(index->pages, 30000);
		index->tree_height = Max(index->tree_height, 2);
	}
}

/* Its other ways are closed, whatever the session's settings say.  Undone by AtEOXact_GUC(). */
static int
steer_planner(void)
{
	static const char *const settings[][2] = {
		{"enable_nestloop", "on"}, {"enable_indexscan", "on"}, {"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"}, {"enable_seqscan", "off"}, {"enable_bitmapscan", "off"},
		{"enable_indexonlyscan", "off"}, {"enable_material", "off"}, {"enable_memoize", "off"},
		{"enable_partitionwise_join", "off"}, {"jit", "off"},
	};
	int			level = NewGUCNestLevel();

	for (size_t i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
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
	/* rechecks of other rows want the whole row too: they find ours by themselves */
	foreach(type, pull_var_clause((Node *) tlist, PVC_RECURSE_PLACEHOLDERS))
	{
		Var		   *var = lfirst_node(Var, type);

		if (var->varattno != InvalidAttrNumber)
			continue;
		scan->custom_scan_tlist = lappend(scan->custom_scan_tlist,
										  makeTargetEntry((Expr *) copyObject(var), ++attno, NULL, false));
		break;
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
	state->rechecking = estate->es_epq_active != NULL;
	state->processed = 0;
	if (!state->rechecking)
		state->feed->position = state->feed->from - 1;
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
			feed->updating || feed->command != CMD_INSERT ? FEED_UPDATED : FEED_INSERTED;
	state->processed = processed;
	feed->updating = false;
}

void
ffs_batch_feed_fill(Feed *feed, FeedRow *row)
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
store_row(Feed *feed, FeedRow *row, TupleTableSlot *slot)
{
	int			natts = feed->desc->natts;

	memcpy(slot->tts_values, row->values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * natts);
	for (int i = natts; i < slot->tts_tupleDescriptor->natts; i++)
		slot->tts_isnull[i] = true;
	return ExecStoreVirtualTuple(slot);
}

/*
 * The row that our statement changes was changed meanwhile by another
 * transaction: the executor asks whether the join still holds for what it is
 * now.  We give the row at hand, once.
 */
static bool
recheck_row(ScanState *node, TupleTableSlot *slot)
{
	FeedScanState *state = (FeedScanState *) node;
	Feed	   *feed = state->feed;

	ExecClearTuple(slot);
	if (state->rechecked || feed->position < feed->from || feed->position >= feed->to)
		return false;
	state->rechecked = true;
	store_row(feed, feed->rows[feed->position], slot);
	return true;
}

static TupleTableSlot *
next_row(ScanState *node)
{
	FeedScanState *state = (FeedScanState *) node;
	Feed	   *feed = state->feed;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	FeedRow    *row;

	if (state->rechecking)
	{
		(void) recheck_row(node, slot);
		return slot;
	}
	ExecClearTuple(slot);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		settle(state);
		if (feed->position < feed->to)
			feed->position++;
		running = feed;
		row = feed->position < feed->to ? feed->rows[feed->position] : NULL;
		if ((feed->take == NULL || feed->take(feed, row)) || row == NULL)
			break;
	}
	if (row == NULL)
		return slot;
	ffs_batch_feed_fill(feed, row);
	return store_row(feed, row, slot);
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
rescan_feed(CustomScanState *node)
{
	FeedScanState *state = (FeedScanState *) node;

	if (!state->rechecking)
		elog(ERROR, "a batch cannot be read twice");
	state->rechecked = false;
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

/* The plan as it is by now, made anew where it has to be. */
static CachedPlan *
current_plan(const Feed *feed, SPIPlanPtr plan, bool steer)
{
	CachedPlan *result;
	int			level = steer ? steer_planner() : 0;

	result = SPI_plan_get_cached_plan(plan);
	if (steer)
		AtEOXact_GUC(true, level);
	if (result == NULL)
		elog(ERROR, "a batch's statement has no plan of its own: %s", feed->reader->relation_name);
	return result;
}

/* The plan, with our scan in it; *passing is what to free after it, if anything. */
static CachedPlan *
plan_statement(const Feed *feed, const char *query, SPIPlanPtr *passing)
{
	SPIPlanPtr	plan;
	bool		kept;
	CachedPlan *volatile result = NULL;
	volatile bool before = planning;

	planning = true;
	PG_TRY();
	{
		CachedPlanSource *source;
		bool		joins = feed->command != CMD_INSERT;
		bool		ready;

		plan = ffs_batch_plan(query, 0, NULL, &kept);
		source = linitial(SPI_plan_get_plan_sources(plan));
		/* steering costs more than a look at a plan that is there */
		ready = source->is_valid && source->gplan != NULL && source->gplan->is_valid;
		if (joins && ready)
		{
			int			generation = source->generation;

			result = current_plan(feed, plan, false);
			if (source->generation != generation)
			{
				/* it was not as good as it looked, and has been made anew */
				ReleaseCachedPlan(result, kept ? CurrentResourceOwner : NULL);
				source->gplan->is_valid = false;
				ready = false;
			}
		}
		if (!joins || !ready)
			result = current_plan(feed, plan, joins);
		*passing = kept ? NULL : plan;
	}
	PG_FINALLY();
	{
		planning = before;
	}
	PG_END_TRY();
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

	cplan = plan_statement(feed, query, &passing);
	statement = linitial_node(PlannedStmt, cplan->stmt_list);
	if (list_length(cplan->stmt_list) != 1 || statement->commandType != feed->command)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("batches cannot be written to a table with rules on %s",
						feed->command == CMD_UPDATE ? "UPDATE" : feed->command == CMD_DELETE ? "DELETE" : "INSERT"),
				 errdetail("The table is %s.", feed->reader->relation_name),
				 errhint("Use triggers in place of rules.")));

	if (feed->command == CMD_SELECT)
		PushActiveSnapshot(GetActiveSnapshot());	/* what the calling statement sees */
	else
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
	}

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
						   feed->dest ? feed->dest : feed->returning ? &receiver.pub : None_Receiver,
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
	if (running == feed)
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
	prev_get_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = feed_relation_info;
}
