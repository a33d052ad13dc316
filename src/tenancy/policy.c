/*-------------------------------------------------------------------------
 *
 * policy.c
 *		What the planner makes of the tenant policy.
 *
 * The policy compares the tenant column with one tenant,
 * `tenant = (SELECT ffstorage.tenant_T())`, which keeps indexes and sort
 * orders usable.  Here a planner hook takes care of what that form and
 * PostgreSQL's own enforcement cannot say:
 *
 * - Several tenants, or all of them: the comparison is widened in the plans of
 *   such transactions.  Functions are asked again whenever a plan runs, so a
 *   plan from another transaction can show too little, never too much; and
 *   all cached plans are made anew when such a mode begins and ends.
 *
 * - Rows that a statement meets by a unique key, ON CONFLICT DO UPDATE and
 *   MERGE, are checked by the policy's USING, whose failure would be a plain
 *   42501: check_tenant() takes its place, which raises tenant_violation and
 *   counts.  ON CONFLICT's own WHERE, which PostgreSQL evaluates before that
 *   check, gets it in front, so that it never sees another tenant's row.
 *
 * - A foreign key is checked as the table's owner, past every policy: the
 *   query that looks for the referenced row gets check_tenant() in its target
 *   list, so that no row refers to another tenant's.
 *
 * Queries that have nothing to do with any of this pass with a few tests.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "rewrite/rowsecurity.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "tenancy/internal.h"
#include "tenancy/tenancy.h"

static planner_hook_type prev_planner_hook = NULL;

/* ---- recognizing what policies are made of ---- */

static bool
in_our_schema(Oid function)
{
	Oid			namespace = get_func_namespace(function);

	return OidIsValid(namespace) && namespace == get_namespace_oid(FFS_SCHEMA, true);
}

/* Is this tenant_T()? */
static bool
is_tenant_function(Node *node)
{
	FuncExpr   *call = (FuncExpr *) node;
	char	   *name;

	if (node == NULL || !IsA(node, FuncExpr) || call->args != NIL ||
		!ffs_tenancy_type_ok(call->funcresulttype) || !in_our_schema(call->funcid))
		return false;
	name = get_func_name(call->funcid);
	return name != NULL && strcmp(name, ffs_tenancy_function(call->funcresulttype)) == 0;
}

/* Is this check_tenant(relation, column)? */
static bool
is_check(Node *node)
{
	FuncExpr   *call = (FuncExpr *) node;
	char	   *name;

	if (node == NULL || !IsA(node, FuncExpr) || list_length(call->args) != 2 ||
		call->funcresulttype != BOOLOID || !in_our_schema(call->funcid))
		return false;
	name = get_func_name(call->funcid);
	return name != NULL && strcmp(name, "check_tenant") == 0;
}

/*
 * The sub-select's call, if the node is `column = (SELECT tenant_T())`; else
 * NULL.
 */
static FuncExpr *
match_policy(Node *node)
{
	OpExpr	   *op = (OpExpr *) node;
	SubLink    *link;
	Query	   *query;
	TargetEntry *target;

	if (node == NULL || !IsA(node, OpExpr) || list_length(op->args) != 2 ||
		!IsA(linitial(op->args), Var) || !IsA(lsecond(op->args), SubLink))
		return NULL;
	link = lsecond_node(SubLink, op->args);
	if (link->subLinkType != EXPR_SUBLINK || !IsA(link->subselect, Query))
		return NULL;
	query = (Query *) link->subselect;
	if (query->commandType != CMD_SELECT || query->rtable != NIL ||
		list_length(query->targetList) != 1)
		return NULL;
	target = linitial_node(TargetEntry, query->targetList);
	if (!is_tenant_function((Node *) target->expr))
		return NULL;
	return (FuncExpr *) target->expr;
}

/* ---- several tenants, or all ---- */

typedef struct WidenContext
{
	FfsTenantMode mode;
	PlannerInfo *root;			/* only for what inlining functions needs */
} WidenContext;

static Node *widen_mutator(Node *node, WidenContext *context);

/* (SELECT function()), a function beside the one that `like` calls in its sub-select */
static SubLink *
similar_sublink(SubLink *like, const char *function, Oid result_type)
{
	SubLink    *link = copyObject(like);
	TargetEntry *target = linitial_node(TargetEntry, castNode(Query, link->subselect)->targetList);
	FuncExpr   *call = castNode(FuncExpr, target->expr);
	Oid			namespace = get_func_namespace(call->funcid);
	Oid			funcid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum(function),
										 PointerGetDatum(buildoidvector(NULL, 0)),
										 ObjectIdGetDatum(namespace));

	if (!OidIsValid(funcid))
		elog(ERROR, "function %s.%s() is missing", FFS_SCHEMA, function);
	call->funcid = funcid;
	call->funcresulttype = result_type;
	if (!OidIsValid(get_typcollation(result_type)))
		call->funccollid = InvalidOid;
	return link;
}

static Node *
widen_policy(OpExpr *op, FuncExpr *call, FfsTenantMode mode)
{
	SubLink    *link = lsecond_node(SubLink, op->args);
	ScalarArrayOpExpr *any;

	/*
	 * All: the tenant's own comparison stays beside, so that the plan would be
	 * right in any other transaction too.
	 */
	if (mode == FFS_TENANT_ALL)
		return (Node *) makeBoolExpr(OR_EXPR,
									 list_make2(similar_sublink(link, "all_tenants", BOOLOID), op),
									 -1);

	any = makeNode(ScalarArrayOpExpr);
	any->opno = op->opno;
	any->opfuncid = op->opfuncid;
	any->useOr = true;
	any->inputcollid = op->inputcollid;
	any->args = list_make2(linitial(op->args),
						   similar_sublink(link,
										   psprintf("tenants_%s",
													ffs_tenancy_function(call->funcresulttype) + strlen("tenant_")),
										   get_array_type(call->funcresulttype)));
	any->location = op->location;
	return (Node *) any;
}

/*
 * Put the bodies of set-returning SQL functions in their place, as the planner
 * will do when it is too late to look at them.
 */
static void
inline_functions(Query *query, WidenContext *context)
{
	ListCell   *lc;

	context->root->parse = query;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Query	   *body;

		if (rte->rtekind != RTE_FUNCTION)
			continue;
		rte->functions = (List *) eval_const_expressions(context->root, (Node *) rte->functions);
		body = inline_set_returning_function(context->root, rte);
		if (body == NULL)
			continue;
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = body;
		rte->security_barrier = false;
		rte->funcordinality = false;
	}
}

static Node *
widen_mutator(Node *node, WidenContext *context)
{
	FuncExpr   *call;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		inline_functions((Query *) node, context);
		return (Node *) query_tree_mutator((Query *) node, widen_mutator, context, 0);
	}
	call = match_policy(node);
	if (call != NULL)
		return widen_policy((OpExpr *) node, call, context->mode);
	return expression_tree_mutator(node, widen_mutator, context);
}

/* ---- writes that meet rows by a key ---- */

/* The policy's check_tenant() among the options that row-level security added. */
static Node *
find_check(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *option = lfirst_node(WithCheckOption, lc);

		if (option->kind != WCO_VIEW_CHECK && option->polname != NULL &&
			strcmp(option->polname, FFS_TENANT_POLICY) == 0 && is_check(option->qual))
			return option->qual;
	}
	return NULL;
}

/*
 * A MERGE that reads no column of its target gets no policy for reading, and
 * its conditions would be asked about the rows of all tenants.
 */
static void
hide_from_merge(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	ListCell   *lc;

	foreach(lc, target->securityQuals)
		if (match_policy(lfirst(lc)) != NULL)
			return;
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *option = lfirst_node(WithCheckOption, lc);

		if (option->kind == WCO_VIEW_CHECK || match_policy(option->qual) == NULL)
			continue;
		target->securityQuals = lcons(copyObject(option->qual), target->securityQuals);
		query->hasSubLinks = true;
		return;
	}
}

/* Let check_tenant() take the place of the policy's USING in checks of rows. */
static void
guard_writes(Query *query)
{
	Node	   *check = find_check(query);
	List	   *options = NIL;
	ListCell   *lc;

	if (check == NULL)
		return;
	if (query->commandType == CMD_MERGE)
		hide_from_merge(query);
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *option = lfirst_node(WithCheckOption, lc);

		if (option->kind != WCO_VIEW_CHECK && match_policy(option->qual) != NULL)
			option->qual = copyObject(check);
		options = list_append_unique(options, option);
	}
	query->withCheckOptions = options;

	if (query->onConflict != NULL && query->onConflict->action == ONCONFLICT_UPDATE)
		query->onConflict->onConflictWhere =
			make_and_qual(copyObject(check), query->onConflict->onConflictWhere);
}

/* The statement's own checks, and those of statements in its WITH. */
static void
guard_statement(Query *query)
{
	ListCell   *lc;

	if (query->withCheckOptions != NIL)
		guard_writes(query);
	if (query->hasModifyingCTE)
		foreach(lc, query->cteList)
		{
			Query	   *cte = castNode(Query, lfirst_node(CommonTableExpr, lc)->ctequery);

			if (cte->withCheckOptions != NIL)
				guard_writes(cte);
		}
}

/* ---- foreign keys ---- */

/*
 * Is this `SELECT 1 FROM table x WHERE key = $1 FOR KEY SHARE OF x`, the query
 * that looks for the row that another refers to?  (The same looks for rows
 * that still refer to one about to go; there a row found is an error anyway.)
 */
static bool
is_reference_query(Query *query)
{
	RangeTblEntry *rte;
	Node	   *target;

	if (query->commandType != CMD_SELECT || list_length(query->rtable) != 1 ||
		list_length(query->rowMarks) != 1 || list_length(query->targetList) != 1)
		return false;
	rte = linitial_node(RangeTblEntry, query->rtable);
	target = (Node *) linitial_node(TargetEntry, query->targetList)->expr;
	return rte->rtekind == RTE_RELATION &&
		linitial_node(RowMarkClause, query->rowMarks)->strength == LCS_FORKEYSHARE &&
		IsA(target, Const) && ((Const *) target)->consttype == INT4OID;
}

/*
 * Let the target list check the tenant of the row found: CASE WHEN
 * check_tenant(...) THEN 1 END, which is 1 or the error.  A qual would not do:
 * it could be evaluated before the key is compared.  Users' triggers run in
 * the same security context as the queries of foreign keys; a query of theirs
 * that looks the same still gives the same.
 */
static void
guard_reference(Query *query)
{
	RangeTblEntry *rte;
	TargetEntry *target;
	Relation	rel;
	ListCell   *lc;

	if (!is_reference_query(query))
		return;
	rte = linitial_node(RangeTblEntry, query->rtable);
	target = linitial_node(TargetEntry, query->targetList);

	rel = table_open(rte->relid, NoLock);	/* locked with the query */
	if (rel->rd_rsdesc != NULL)
	{
		foreach(lc, rel->rd_rsdesc->policies)
		{
			RowSecurityPolicy *policy = (RowSecurityPolicy *) lfirst(lc);
			CaseWhen   *when;
			CaseExpr   *result;

			if (policy->policy_name == NULL ||
				strcmp(policy->policy_name, FFS_TENANT_POLICY) != 0 ||
				!is_check((Node *) policy->with_check_qual))
				continue;
			when = makeNode(CaseWhen);
			when->expr = copyObject(policy->with_check_qual);
			when->result = target->expr;
			when->location = -1;
			result = makeNode(CaseExpr);
			result->casetype = INT4OID;
			result->args = list_make1(when);
			result->defresult = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
			result->location = -1;
			target->expr = (Expr *) result;
			break;
		}
	}
	table_close(rel, NoLock);
}

/* ---- rows by key ---- */

/* Plans that read no more rows than this ask for the tenant row by row. */
#define FEW_ROWS 10

typedef struct InlineContext
{
	int			param;
	FuncExpr   *call;
} InlineContext;

static Node *
inline_mutator(Node *node, InlineContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC &&
		((Param *) node)->paramid == context->param)
		return (Node *) copyObject(context->call);
	return expression_tree_mutator(node, inline_mutator, context);
}

static List *
inline_call(List *quals, InlineContext *context)
{
	return (List *) inline_mutator((Node *) quals, context);
}

/* The call that a sub-plan `SELECT tenant_T()` consists of; NULL for others. */
static FuncExpr *
subplan_call(Plan *plan)
{
	TargetEntry *target;

	if (plan == NULL || !IsA(plan, Result) || plan->lefttree != NULL || plan->qual != NIL ||
		((Result *) plan)->resconstantqual != NULL || list_length(plan->targetlist) != 1)
		return NULL;
	target = linitial_node(TargetEntry, plan->targetlist);
	return is_tenant_function((Node *) target->expr) ? (FuncExpr *) target->expr : NULL;
}

/* Does an expression, or do the expressions of a list, use this parameter? */
static bool
uses_param(Node *node, void *param)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC && ((Param *) node)->paramid == *(int *) param;
	return expression_tree_walker(node, uses_param, param);
}

/*
 * Is the parameter used by anything but the quals of the scan: by what the
 * statement itself says, such as its target list, or by another sub-plan?
 */
static bool
used_elsewhere(PlannedStmt *stmt, Plan *scan, int param)
{
	ListCell   *lc;

	foreach(lc, stmt->subplans)
	{
		Plan	   *subplan = lfirst(lc);

		if (subplan != NULL && bms_is_member(param, subplan->extParam))
			return true;
	}
	if (uses_param((Node *) ((IndexScan *) scan)->indexorderby, &param) ||
		uses_param((Node *) ((IndexScan *) scan)->indexorderbyorig, &param) ||
		uses_param((Node *) scan->targetlist, &param))
		return true;
	for (Plan *plan = stmt->planTree; plan != scan; plan = plan->lefttree)
	{
		if (uses_param((Node *) plan->targetlist, &param) || uses_param((Node *) plan->qual, &param))
			return true;
		if (IsA(plan, Limit) &&
			(uses_param(((Limit *) plan)->limitOffset, &param) || uses_param(((Limit *) plan)->limitCount, &param)))
			return true;
		if (IsA(plan, ModifyTable))
		{
			ModifyTable *modify = (ModifyTable *) plan;

			if (uses_param((Node *) modify->withCheckOptionLists, &param) ||
				uses_param((Node *) modify->returningLists, &param) ||
				uses_param((Node *) modify->onConflictSet, &param) ||
				uses_param(modify->onConflictWhere, &param) ||
				uses_param((Node *) modify->mergeActionLists, &param))
				return true;
		}
	}
	return false;
}

/*
 * To start a sub-plan costs about a quarter of reading one row by its key.  In
 * a plan that is just that, let the scan call the function itself.  (Not in
 * plans that may run in parallel workers, which know no tenant, not where
 * there are many rows to call it for, and not where the statement asks for the
 * tenant elsewhere, too: the sub-plan would be missing there.)
 */
static void
inline_tenant(PlannedStmt *stmt)
{
	Plan	   *top = stmt->planTree;
	Plan	   *scan = top;
	List	   *kept = NIL;
	ListCell   *lc;

	if (top->initPlan == NIL || stmt->parallelModeNeeded)
		return;
	while (IsA(scan, ModifyTable) || IsA(scan, LockRows) || IsA(scan, Limit))
		scan = scan->lefttree;
	if (!IsA(scan, IndexScan) || scan->plan_rows > FEW_ROWS || scan->initPlan != (scan == top ? top->initPlan : NIL))
		return;

	foreach(lc, top->initPlan)
	{
		SubPlan    *init = lfirst_node(SubPlan, lc);
		ListCell   *cell = list_nth_cell(stmt->subplans, init->plan_id - 1);
		InlineContext context;

		context.call = subplan_call(lfirst(cell));
		if (context.call == NULL || list_length(init->setParam) != 1 ||
			used_elsewhere(stmt, scan, linitial_int(init->setParam)))
		{
			kept = lappend(kept, init);
			continue;
		}
		context.param = linitial_int(init->setParam);
		scan->qual = inline_call(scan->qual, &context);
		((IndexScan *) scan)->indexqual = inline_call(((IndexScan *) scan)->indexqual, &context);
		((IndexScan *) scan)->indexqualorig = inline_call(((IndexScan *) scan)->indexqualorig, &context);
		lfirst(cell) = NULL;
	}
	top->initPlan = kept;
}

/* ---- the hook ---- */

static PlannedStmt *
plan_query(Query *query, const char *query_string, int cursor_options, ParamListInfo params)
{
	PlannedStmt *result;
	PlannerGlobal *glob = NULL;

	if (InNoForceRLSOperation())
		guard_reference(query);
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		guard_statement(query);
	if (ffs_tenancy_is_wide())
	{
		WidenContext context;

		glob = makeNode(PlannerGlobal);
		glob->boundParams = params;
		context.mode = ffs_tenancy_mode();
		context.root = makeNode(PlannerInfo);
		context.root->glob = glob;
		context.root->query_level = 1;
		query = (Query *) widen_mutator((Node *) query, &context);
	}

	result = prev_planner_hook ?
		prev_planner_hook(query, query_string, cursor_options, params) :
		standard_planner(query, query_string, cursor_options, params);

	/* what inlining functions found out about the plan */
	if (glob == NULL)
	{
		if (result->subplans != NIL)
			inline_tenant(result);
	}
	else
	{
		result->invalItems = list_concat(result->invalItems, glob->invalItems);
		result->dependsOnRole |= glob->dependsOnRole;
	}
	return result;
}

void
ffs_tenancy_init_policy(void)
{
	prev_planner_hook = planner_hook;
	planner_hook = plan_query;
	/* plans that a foreign key made before we were there */
	if (!process_shared_preload_libraries_in_progress)
		ResetPlanCache();
}
