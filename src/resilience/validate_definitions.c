/*-------------------------------------------------------------------------
 *
 * validate_definitions.c
 *		The expressions and queries in statements that define something:
 *		defaults, constraints, indexes, policies, bodies of functions.
 *
 * The parser's own walker does not know these statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "base/base.h"
#include "resilience/validate.h"

typedef struct Walkers
{
	FfsRawWalker expression;
	FfsRawWalker query;
	void	   *context;
} Walkers;

static bool walk_definition(Node *node, const Walkers *walkers);

static bool
walk_all(List *nodes, const Walkers *walkers)
{
	ListCell   *lc;

	foreach(lc, nodes)
	{
		if (walk_definition(lfirst(lc), walkers))
			return true;
	}
	return false;
}

static bool
walk_expression(Node *node, const Walkers *walkers)
{
	return node != NULL && walkers->expression(node, walkers->context);
}

static bool
walk_constraint(const Constraint *constraint, const Walkers *walkers)
{
	ListCell   *lc;

	/* of EXCLUDE: pairs of an IndexElem and an operator */
	foreach(lc, constraint->exclusions)
	{
		if (walk_expression(linitial(lfirst_node(List, lc)), walkers))
			return true;
	}
	return walk_expression(constraint->raw_expr, walkers) || walk_expression(constraint->where_clause, walkers);
}

static bool
walk_definition(Node *node, const Walkers *walkers)
{
	if (node == NULL)
		return false;
	check_stack_depth();
	switch (nodeTag(node))
	{
		case T_List:
			return walk_all((List *) node, walkers);
		case T_CreateStmt:
		case T_CreateForeignTableStmt:	/* begins with a CreateStmt */
			return walk_all(((CreateStmt *) node)->tableElts, walkers) ||
				walk_all(((CreateStmt *) node)->constraints, walkers);
		case T_ColumnDef:
			return walk_expression(((ColumnDef *) node)->raw_default, walkers) ||
				walk_all(((ColumnDef *) node)->constraints, walkers);
		case T_Constraint:
			return walk_constraint((Constraint *) node, walkers);
		case T_AlterTableStmt:
			return walk_all(((AlterTableStmt *) node)->cmds, walkers);
		case T_AlterTableCmd:
			if (((AlterTableCmd *) node)->subtype == AT_ColumnDefault)
				return walk_expression(((AlterTableCmd *) node)->def, walkers);
			return walk_definition(((AlterTableCmd *) node)->def, walkers);
		case T_IndexStmt:
			return walk_expression((Node *) ((IndexStmt *) node)->indexParams, walkers) ||
				walk_expression(((IndexStmt *) node)->whereClause, walkers);
		case T_CreateDomainStmt:
			return walk_all(((CreateDomainStmt *) node)->constraints, walkers);
		case T_AlterDomainStmt:
			if (((AlterDomainStmt *) node)->subtype == 'T')
				return walk_expression(((AlterDomainStmt *) node)->def, walkers);
			return walk_definition(((AlterDomainStmt *) node)->def, walkers);
		case T_CreatePolicyStmt:
			return walk_expression(((CreatePolicyStmt *) node)->qual, walkers) ||
				walk_expression(((CreatePolicyStmt *) node)->with_check, walkers);
		case T_AlterPolicyStmt:
			return walk_expression(((AlterPolicyStmt *) node)->qual, walkers) ||
				walk_expression(((AlterPolicyStmt *) node)->with_check, walkers);
		case T_CreateTrigStmt:
			return walk_expression(((CreateTrigStmt *) node)->whenClause, walkers);
		case T_CreateSchemaStmt:
			return walk_all(((CreateSchemaStmt *) node)->schemaElts, walkers);
		case T_CreateFunctionStmt:
			return walk_definition(((CreateFunctionStmt *) node)->sql_body, walkers);
		case T_StatsElem:
			return walk_expression(((StatsElem *) node)->expr, walkers);
		case T_CreateStatsStmt:
			return walk_all(((CreateStatsStmt *) node)->exprs, walkers);
		/* in a schema's or a function's definition */
		case T_ViewStmt:
		case T_ReturnStmt:
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
		case T_CallStmt:
			return walkers->query(node, walkers->context);
		default:
			return false;
	}
}

bool
ffs_validate_walk_definition(Node *statement, FfsRawWalker expression, FfsRawWalker query, void *context)
{
	Walkers		walkers = {expression, query, context};

	switch (nodeTag(statement))
	{
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
		case T_AlterTableStmt:
		case T_IndexStmt:
		case T_CreateDomainStmt:
		case T_AlterDomainStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_CreateTrigStmt:
		case T_CreateSchemaStmt:
		case T_CreateFunctionStmt:
		case T_CreateStatsStmt:
			return walk_definition(statement, &walkers);
		default:
			return false;
	}
}
