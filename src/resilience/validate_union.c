/*-------------------------------------------------------------------------
 *
 * validate_union.c
 *		Set operations of which one arm looks as if it was pasted.
 *
 * An application's arms are alike: each asks a table for columns, or none
 * does.  What comes in by a value adds an arm to what was none: it has to fill
 * up the columns that it has no use for, or takes a table as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "base/base.h"
#include "resilience/validate.h"

void
ffs_validate_collect_arms(SelectStmt *select, List **arms)
{
	/* the parser makes chains lean to the left */
	List	   *later = NIL;

	check_stack_depth();
	for (; select->op != SETOP_NONE; select = select->larg)
		later = lcons(select->rarg, later);
	*arms = lappend(*arms, select);
	while (later != NIL)
	{
		ffs_validate_collect_arms(linitial(later), arms);
		later = list_delete_first(later);
	}
}

/* Constants that no name is given to. */
static int
count_padding(SelectStmt *arm)
{
	ListCell   *lc;
	int			n = 0;

	foreach(lc, arm->targetList)
	{
		ResTarget  *target = lfirst_node(ResTarget, lc);

		if (target->name == NULL && ffs_validate_is_constant(target->val) && !IsA(target->val, TypeCast))
			n++;
	}
	return n;
}

static bool
asks_server(SelectStmt *arm)
{
	return ffs_validate_find_sysinfo((Node *) arm->targetList, NULL);
}

static bool
find_negative_key(Node *node, void *context)
{
	if (node == NULL || IsA(node, SubLink))
		return false;
	if (ffs_validate_is_operator(node, "=") && IsA(((A_Expr *) node)->lexpr, ColumnRef) &&
		ffs_validate_is_const(((A_Expr *) node)->rexpr, T_Integer) &&
		intVal(&((A_Const *) ((A_Expr *) node)->rexpr)->val) < 0)
		return true;
	return ffs_validate_walk(node, find_negative_key, context);
}

/* A column, or whatever, compared with a constant. */
static bool
find_compared_constant(Node *node, void *context)
{
	A_Expr	   *expr = (A_Expr *) node;

	if (node == NULL || IsA(node, SubLink))
		return false;
	if (IsA(node, A_Expr) && (expr->kind == AEXPR_OP || expr->kind == AEXPR_LIKE || expr->kind == AEXPR_ILIKE) &&
		expr->lexpr != NULL && IsA(expr->lexpr, ColumnRef) && expr->rexpr != NULL && ffs_validate_is_constant(expr->rexpr))
		return true;
	return ffs_validate_walk(node, find_compared_constant, context);
}

/* SELECT name, password FROM users */
static bool
is_plain_table(SelectStmt *arm)
{
	ListCell   *lc;

	if (arm->whereClause != NULL || list_length(arm->fromClause) != 1 || !IsA(linitial(arm->fromClause), RangeVar) ||
		arm->groupClause != NIL || arm->distinctClause != NIL || arm->withClause != NULL)
		return false;
	foreach(lc, arm->targetList)
	{
		ResTarget  *target = lfirst_node(ResTarget, lc);

		if (target->name != NULL || (!IsA(target->val, ColumnRef) && !ffs_validate_is_constant(target->val)))
			return false;
	}
	return true;
}

bool
ffs_validate_arms(FfsExamination *ex, List *arms, bool outermost)
{
	SelectStmt *first = linitial(arms);
	ListCell   *lc;

	if (first->fromClause == NIL)
		return false;
	for_each_from(lc, arms, 1)
	{
		SelectStmt *arm = lfirst(lc);
		Node	   *where = arm->targetList != NIL ? (Node *) linitial(arm->targetList) : NULL;

		if (arm->valuesLists != NIL)
			continue;
		if (arm->fromClause == NIL && arm->targetList != NIL && count_padding(arm) == list_length(arm->targetList))
			return ffs_validate_found(ex, "union", exprLocation(where), "An arm of a set operation gives constants only.");
		if (asks_server(arm))
			return ffs_validate_found(ex, "union", exprLocation(where), "An arm of a set operation asks who and where it is.");
		if (count_padding(arm) > 1 && arm->whereClause == NULL)
			return ffs_validate_found(ex, "union", exprLocation(where), "An arm of a set operation is filled up with constants.");
		if (outermost && is_plain_table(arm) && find_compared_constant(first->whereClause, NULL))
			return ffs_validate_found(ex, "union", exprLocation(where), "The first arm of a set operation looks for a constant, and another one gives a whole table.");
		/* recursive ones begin with all kinds of keys */
		if (outermost && find_negative_key(first->whereClause, NULL))
			return ffs_validate_found(ex, "union", exprLocation(where), "The first arm of a set operation looks for a negative number.");
	}
	return false;
}
