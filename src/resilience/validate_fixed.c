/*-------------------------------------------------------------------------
 *
 * validate_fixed.c
 *		Conditions that do not depend on the row that a query is at.
 *
 * An application compares columns with values.  What compares values with
 * values, whatever the comparison and however it is dressed up, was not
 * written by it.  Parameters count as something that depends: `$1 IS NULL OR
 * name = $1` is how optional filters are written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "base/base.h"
#include "resilience/validate.h"

static bool is_fixed(Node *node, bool constant);

static bool
all_fixed(List *nodes, bool constant)
{
	ListCell   *lc;

	foreach(lc, nodes)
	{
		if (!is_fixed(lfirst(lc), constant))
			return false;
	}
	return true;
}

/* ---- small questions ---- */

bool
ffs_validate_is_operator(Node *node, const char *name)
{
	return node != NULL && IsA(node, A_Expr) && ((A_Expr *) node)->kind == AEXPR_OP &&
		strcmp(strVal(llast(((A_Expr *) node)->name)), name) == 0;
}

bool
ffs_validate_is_const(Node *node, NodeTag tag)
{
	return node != NULL && IsA(node, A_Const) && !((A_Const *) node)->isnull && nodeTag(&((A_Const *) node)->val) == tag;
}

/* What the server or the session is called. */
static bool
is_sysinfo(Node *node)
{
	FfsNameKind kind;

	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		return ffs_validate_is_fixed(node);
	if (!IsA(node, FuncCall))
		return false;
	kind = ffs_validate_function_kind(((FuncCall *) node)->funcname);
	return kind == FFS_NAME_INFO || kind == FFS_NAME_WHO;
}

bool
ffs_validate_find_sysinfo(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (is_sysinfo(node))
		return true;
	return ffs_validate_walk(node, ffs_validate_find_sysinfo, context);
}

/* ---- sub-selects ---- */

typedef struct Scope
{
	List	   *names;			/* of everything that stands in a FROM somewhere in the sub-select */
	bool		has_from;
	bool		outward;		/* refers to something else, or to a parameter */
} Scope;

static bool
collect_names(Node *node, void *context)
{
	Scope	   *scope = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_RangeVar:
			scope->names = lappend(scope->names, ((RangeVar *) node)->relname);
			break;
		case T_Alias:
			scope->names = lappend(scope->names, ((Alias *) node)->aliasname);
			break;
		case T_RangeSubselect:
			(void) collect_names((Node *) ((RangeSubselect *) node)->alias, context);
			break;
		case T_RangeFunction:
			(void) collect_names((Node *) ((RangeFunction *) node)->alias, context);
			break;
		case T_JoinExpr:
			(void) collect_names((Node *) ((JoinExpr *) node)->alias, context);
			break;
		case T_SelectStmt:
			scope->has_from |= ((SelectStmt *) node)->fromClause != NIL;
			break;
		default:
			break;
	}
	if (IsA(node, RangeVar))
		return collect_names((Node *) ((RangeVar *) node)->alias, context);
	return ffs_validate_walk(node, collect_names, context);
}

static bool
find_outward(Node *node, void *context)
{
	Scope	   *scope = context;

	if (node == NULL)
		return false;
	if (IsA(node, ParamRef))
		return scope->outward = true;
	if (IsA(node, ColumnRef))
	{
		List	   *fields = ((ColumnRef *) node)->fields;
		ListCell   *lc;

		if (list_length(fields) == 1)
			return scope->outward = !scope->has_from;
		foreach(lc, scope->names)
		{
			if (IsA(list_nth(fields, list_length(fields) - 2), String) &&
				strcmp(lfirst(lc), strVal(list_nth(fields, list_length(fields) - 2))) == 0)
				return false;
		}
		return scope->outward = true;
	}
	return ffs_validate_walk(node, find_outward, context);
}

/* Is a sub-select's result the same for every row, as far as names tell? */
static bool
is_fixed_select(SelectStmt *select, bool constant)
{
	Scope		scope = {0};
	ListCell   *lc;

	if (select->op != SETOP_NONE)
		return !constant && is_fixed_select(select->larg, false) && is_fixed_select(select->rarg, false);
	if (constant)
	{
		if (select->fromClause != NIL || !is_fixed(select->whereClause, true))
			return false;
		foreach(lc, select->targetList)
		{
			if (!is_fixed(lfirst_node(ResTarget, lc)->val, true))
				return false;
		}
		foreach(lc, select->valuesLists)
		{
			if (!all_fixed(lfirst(lc), true))
				return false;
		}
		return true;
	}
	(void) collect_names((Node *) select, &scope);
	(void) find_outward((Node *) select, &scope);
	return !scope.outward;
}

/* ---- expressions ---- */

static bool
is_comparison(A_Expr *expr)
{
	const char *op;

	if (expr->kind == AEXPR_LIKE || expr->kind == AEXPR_ILIKE || expr->kind == AEXPR_SIMILAR ||
		expr->kind == AEXPR_DISTINCT || expr->kind == AEXPR_NOT_DISTINCT)
		return true;
	if (expr->kind != AEXPR_OP)
		return false;
	op = strVal(llast(expr->name));
	return strcmp(op, "=") == 0 || strcmp(op, "<>") == 0 || strcmp(op, "<=") == 0 || strcmp(op, ">=") == 0 ||
		strcmp(op, "<") == 0 || strcmp(op, ">") == 0;
}

/* COUNT(1) and SUM(1) of a group: in HAVING, since a WHERE cannot call them. */
static bool
counts_rows(FuncCall *call)
{
	const char *name = strVal(llast(call->funcname));

	return strcmp(name, "count") == 0 || strcmp(name, "sum") == 0;
}

/* A call of some function with constants, where it is compared with something: has_role('x') alone is a condition. */
static bool
is_fixed_call(Node *node)
{
	return node != NULL && IsA(node, FuncCall) && ((FuncCall *) node)->args != NIL &&
		!counts_rows((FuncCall *) node) && all_fixed(((FuncCall *) node)->args, true);
}

static bool
is_fixed(Node *node, bool constant)
{
	if (node == NULL)
		return true;
	check_stack_depth();
	switch (nodeTag(node))
	{
		case T_A_Const:
		case T_String:			/* of operators' names and the like */
			return true;
		case T_List:
			return all_fixed((List *) node, constant);
		case T_TypeCast:
			return is_fixed(((TypeCast *) node)->arg, constant);
		case T_CollateClause:
			return is_fixed(((CollateClause *) node)->arg, constant);
		case T_NullTest:
			return is_fixed((Node *) ((NullTest *) node)->arg, constant);
		case T_BooleanTest:
			return is_fixed((Node *) ((BooleanTest *) node)->arg, constant);
		case T_BoolExpr:
			return all_fixed(((BoolExpr *) node)->args, constant);
		case T_RowExpr:
			return all_fixed(((RowExpr *) node)->args, constant);
		case T_A_ArrayExpr:
			return all_fixed(((A_ArrayExpr *) node)->elements, constant);
		case T_CoalesceExpr:
			return all_fixed(((CoalesceExpr *) node)->args, constant);
		case T_MinMaxExpr:
			return all_fixed(((MinMaxExpr *) node)->args, constant);
		case T_A_Expr:
			{
				A_Expr	   *expr = (A_Expr *) node;

				if (is_comparison(expr) && expr->lexpr != NULL && IsA(expr->lexpr, ColumnRef) &&
					equal(expr->lexpr, expr->rexpr))
					return true;
				return (is_fixed(expr->lexpr, constant) || (!constant && is_fixed_call(expr->lexpr))) &&
					(is_fixed(expr->rexpr, constant) || (!constant && is_fixed_call(expr->rexpr)));
			}
		case T_CaseExpr:
			{
				CaseExpr   *expr = (CaseExpr *) node;
				ListCell   *lc;

				foreach(lc, expr->args)
				{
					CaseWhen   *when = lfirst_node(CaseWhen, lc);

					if (!is_fixed((Node *) when->expr, constant) || !is_fixed((Node *) when->result, constant))
						return false;
				}
				return is_fixed((Node *) expr->arg, constant) && is_fixed((Node *) expr->defresult, constant);
			}
		case T_FuncCall:
			switch (ffs_validate_function_kind(((FuncCall *) node)->funcname))
			{
				case FFS_NAME_OTHER:
					return false;
				case FFS_NAME_PURE:
					return all_fixed(((FuncCall *) node)->args, constant);
				default:
					return !constant && all_fixed(((FuncCall *) node)->args, false);
			}
		case T_SQLValueFunction:
			switch (((SQLValueFunction *) node)->op)
			{
				case SVFOP_CURRENT_ROLE:
				case SVFOP_CURRENT_USER:
				case SVFOP_USER:
				case SVFOP_SESSION_USER:
				case SVFOP_CURRENT_CATALOG:
				case SVFOP_CURRENT_SCHEMA:
					return !constant;
				default:
					return false;
			}
		case T_SubLink:
			{
				SubLink    *link = (SubLink *) node;
				bool		trivial;

				if (!IsA(link->subselect, SelectStmt))
					return false;
				trivial = is_fixed_select((SelectStmt *) link->subselect, true);
				switch (link->subLinkType)
				{
					case EXISTS_SUBLINK:
						/* whether there is a row may be asked of another table */
						return trivial;
					case EXPR_SUBLINK:
						return trivial || (!constant && is_fixed_select((SelectStmt *) link->subselect, false));
					case ANY_SUBLINK:
					case ALL_SUBLINK:
						return is_fixed(link->testexpr, constant) &&
							(trivial || (!constant && is_fixed_select((SelectStmt *) link->subselect, false)));
					default:
						return false;
				}
			}
		default:
			return false;
	}
}

bool
ffs_validate_is_constant(Node *node)
{
	return is_fixed(node, true);
}

bool
ffs_validate_is_fixed(Node *node)
{
	return is_fixed(node, false);
}
