/*-------------------------------------------------------------------------
 *
 * validate_checks.c
 *		The marks of an injection in one finished text, in its parse tree.
 *
 * A finished text does not say which of it the application wrote.  These are
 * things that applications do not write and attacks need.  What a legitimate
 * statement has as well must not be among them: the constant that object
 * mappers begin a condition with, optional filters by parameter, reading
 * catalogs to learn of tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/scansup.h"

#include "base/base.h"
#include "resilience/validate.h"

/* A statement as it is walked. */
typedef struct Walk
{
	FfsExamination *ex;
	int			in_condition;	/* nesting of WHERE, HAVING, ON, WHEN */
	int			in_targets;		/* in what a SELECT gives */
	int			in_later_arm;	/* in an arm of a set operation, but the first */
	int			in_sublink;
	int			in_cte;
	bool		has_tables;		/* reads or writes a table that is no catalog */
	bool		has_filter;		/* a WHERE, or a join */
	FuncCall   *alone;			/* the first call of what is meant to be called by itself */
	RangeVar   *catalog;		/* the first catalog that it reads */
	RangeVar   *sensitive;
} Walk;

static bool examine(Node *node, void *context);

bool
ffs_validate_found(FfsExamination *ex, const char *check, int location, const char *fmt,...)
{
	StringInfoData what;

	ex->found = true;
	ex->finding->check = check;
	ex->finding->position = location >= 0 ? pg_mbstrlen_with_len(ex->text, location) + 1 : 0;
	initStringInfo(&what);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&what, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&what, needed);
	}
	ex->finding->what = what.data;
	return true;
}

static bool
found(Walk *walk, const char *check, Node *where, const char *what)
{
	return ffs_validate_found(walk->ex, check, exprLocation(where), "%s", what);
}

/* ---- small questions ---- */

/* A numeric constant's value, looked at: the verdict is about this text only. */
static double
value_of(Walk *walk, Node *node)
{
	walk->ex->by_shape = false;
	if (ffs_validate_is_const(node, T_Integer))
		return intVal(&((A_Const *) node)->val);
	if (ffs_validate_is_const(node, T_Float))
		return floatVal(&((A_Const *) node)->val);
	return 0;
}

static bool
is_number(Node *node)
{
	return ffs_validate_is_const(node, T_Integer) || ffs_validate_is_const(node, T_Float);
}

static bool
is_string(Node *node)
{
	return ffs_validate_is_const(node, T_String);
}

/* What object mappers write for "all" and "none": true, 1=1, 1<>1, 't'='f'. */
static bool
is_idiom(Node *node)
{
	A_Expr	   *expr = (A_Expr *) node;

	if (ffs_validate_is_const(node, T_Boolean))
		return true;
	if (!ffs_validate_is_operator(node, "=") && !ffs_validate_is_operator(node, "<>"))
		return false;
	if (ffs_validate_is_const(expr->lexpr, T_Integer) && ffs_validate_is_const(expr->rexpr, T_Integer))
		return true;
	if (ffs_validate_is_const(expr->lexpr, T_Boolean) && ffs_validate_is_const(expr->rexpr, T_Boolean))
		return true;
	return ffs_validate_is_operator(node, "=") && is_string(expr->lexpr) && is_string(expr->rexpr) &&
		strcmp(strVal(&((A_Const *) expr->lexpr)->val), "t") == 0 &&
		strlen(strVal(&((A_Const *) expr->rexpr)->val)) == 1;
}

/* false, 1=0, 1<>1: what a list of alternatives may begin with */
static bool
is_false_idiom(Walk *walk, Node *node)
{
	A_Expr	   *expr = (A_Expr *) node;
	bool		same;

	if (!is_idiom(node))
		return false;
	walk->ex->by_shape = false;
	if (ffs_validate_is_const(node, T_Boolean))
		return !boolVal(&((A_Const *) node)->val);
	same = equal(&((A_Const *) expr->lexpr)->val, &((A_Const *) expr->rexpr)->val);
	return same == ffs_validate_is_operator(node, "<>");
}

/* x IN (NULL), x NOT IN (NULL): how object mappers begin what they make of an empty list. */
static bool
is_empty_list(Node *node)
{
	List	   *list;

	if (node == NULL || !IsA(node, A_Expr) || ((A_Expr *) node)->kind != AEXPR_IN)
		return false;
	list = (List *) ((A_Expr *) node)->rexpr;
	return IsA(list, List) && list_length(list) == 1 && IsA(linitial(list), A_Const) &&
		((A_Const *) linitial(list))->isnull;
}

static bool
find_sublink(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
		return true;
	return ffs_validate_walk(node, find_sublink, context);
}

/* A call that depends on nothing but constants, whatever it does. */
static bool
find_fixed_call(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall) && ((FuncCall *) node)->args != NIL)
	{
		ListCell   *lc;

		foreach(lc, ((FuncCall *) node)->args)
		{
			if (!ffs_validate_is_constant(lfirst(lc)))
				return false;
		}
		return true;
	}
	return ffs_validate_walk(node, find_fixed_call, context);
}

/* Something || something, anywhere in it. */
static bool
find_concatenation(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (ffs_validate_is_operator(node, "||"))
		return true;
	if (IsA(node, FuncCall) && strncmp(strVal(llast(((FuncCall *) node)->funcname)), "concat", 6) == 0)
		return true;
	return ffs_validate_walk(node, find_concatenation, context);
}

/* x LIKE '%' */
static bool
is_like_all(Walk *walk, Node *node)
{
	A_Expr	   *expr = (A_Expr *) node;

	if (node == NULL || !IsA(node, A_Expr) || (expr->kind != AEXPR_LIKE && expr->kind != AEXPR_ILIKE) ||
		!is_string(expr->rexpr))
		return false;
	walk->ex->by_shape = false;
	return strcmp(strVal(llast(expr->name)), "!~~") != 0 && strcmp(strVal(llast(expr->name)), "!~~*") != 0 &&
		strcmp(strVal(&((A_Const *) expr->rexpr)->val), "%") == 0;
}

/* ---- conditions ---- */

/*
 * Look at what a condition is made of.  `leads` says that it may begin with a
 * constant, as object mappers like to do.  Boolean expressions that were
 * looked at get their location hidden, so that the walk leaves them alone.
 */
static bool
examine_condition(Walk *walk, Node *node, bool leads)
{
	ListCell   *lc;
	BoolExpr   *expr = (BoolExpr *) node;
	Node	   *before = NULL;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (leads && is_idiom(node))
	{
		/* 't' = 'f' */
		if (IsA(node, A_Expr) && is_string(((A_Expr *) node)->lexpr))
			walk->ex->by_shape = false;
		return false;
	}
	if (ffs_validate_is_constant(node))
		return found(walk, "tautology", node, "A condition is the same for every row: it compares constants, or something with itself.");
	if (ffs_validate_is_fixed(node))
		return found(walk, "tautology", node, "A condition is the same for every row: it asks for something else than the row.");
	if (!IsA(node, BoolExpr))
		return false;
	expr->location = -2;
	foreach(lc, expr->args)
	{
		Node	   *arg = lfirst(lc);
		bool		first = foreach_current_index(lc) == 0;

		/* (x NOT IN (NULL) OR (1 = 1)), and (x IN (NULL) AND (1 != 1)) */
		if (is_empty_list(before) && is_idiom(arg))
			continue;
		if (leads && first && expr->boolop == OR_EXPR && is_false_idiom(walk, arg))
			continue;
		if (!first && expr->boolop == OR_EXPR && is_like_all(walk, arg))
			return found(walk, "tautology", arg, "An alternative is true for every row: its pattern is like everything.");
		if (examine_condition(walk, arg, leads && first && expr->boolop == AND_EXPR))
			return true;
		before = expr->boolop != NOT_EXPR && arg != NULL && IsA(arg, BoolExpr) &&
			((BoolExpr *) arg)->boolop == NOT_EXPR ? linitial(((BoolExpr *) arg)->args) : arg;
	}
	return false;
}

/* A condition, and then all that is in it. */
static bool
examine_where(Walk *walk, Node *node, bool leads)
{
	bool		result;
	int			in_targets = walk->in_targets;

	if (node == NULL)
		return false;
	walk->has_filter = true;
	walk->in_condition++;
	walk->in_targets = 0;
	result = examine_condition(walk, node, leads) || examine(node, walk);
	walk->in_targets = in_targets;
	walk->in_condition--;
	return result;
}

/* ---- selects ---- */

static bool
examine_select(Walk *walk, SelectStmt *select)
{
	if (select->op != SETOP_NONE)
	{
		List	   *arms = NIL;
		ListCell   *lc;

		ffs_validate_collect_arms(select, &arms);
		if (ffs_validate_arms(walk->ex, arms, walk->in_cte == 0 && walk->in_sublink == 0))
			return true;
		foreach(lc, arms)
		{
			bool		later = foreach_current_index(lc) > 0;

			walk->in_later_arm += later;
			if (examine(lfirst(lc), walk))
				return true;
			walk->in_later_arm -= later;
		}
	}
	else
	{
		walk->in_targets++;
		if (examine((Node *) select->targetList, walk))
			return true;
		walk->in_targets--;
		if (list_length(select->fromClause) > 1)
			walk->has_filter = true;
		if (examine((Node *) select->fromClause, walk) ||
			examine_where(walk, select->whereClause, true) ||
			examine((Node *) select->groupClause, walk) ||
			examine_where(walk, select->havingClause, false) ||
			examine((Node *) select->windowClause, walk) ||
			examine((Node *) select->valuesLists, walk))
			return true;
		if (select->distinctClause != NIL && linitial(select->distinctClause) != NULL &&
			examine((Node *) select->distinctClause, walk))
			return true;
	}
	return examine((Node *) select->sortClause, walk) ||
		examine(select->limitOffset, walk) ||
		examine(select->limitCount, walk) ||
		examine((Node *) select->withClause, walk);
}

/* ---- functions ---- */

/* Something that is meant to be called by itself stands in a query of something else. */
static bool
found_within(Walk *walk, FuncCall *call)
{
	if (ffs_validate_function_kind(call->funcname) == FFS_NAME_SETTING)
		return found(walk, "setting", (Node *) call, "A function changes a setting within a query of something else.");
	return found(walk, "catalog", (Node *) call, "A function runs a text as a query, within a query of something else.");
}

static bool
examine_function(Walk *walk, FuncCall *call)
{
	Node	   *node = (Node *) call;
	const char *name = strVal(llast(call->funcname));

	switch (ffs_validate_function_kind(call->funcname))
	{
		case FFS_NAME_DELAY:
			return found(walk, "delay", node, "A function waits.");
		case FFS_NAME_FILE:
			return found(walk, "file", node, "A function reads or writes the server's files.");
		case FFS_NAME_LARGE_OBJECT:
			return found(walk, "large_object", node, "A function reads or writes large objects.");
		case FFS_NAME_REMOTE:
			return found(walk, "program", node, "A function connects to another server.");
		case FFS_NAME_XML:
			return found(walk, "catalog", node, "A function runs a text as a query, or gives whole tables, as XML.");
		case FFS_NAME_FOREIGN:
			return found(walk, "foreign", node, "A function is another database system's.");
		case FFS_NAME_SETTING:
		case FFS_NAME_QUERY:
			/* SELECT set_config(...) by itself is how pools and gateways set a session up; see examine_alone */
			if (strcmp(name, "ts_rewrite") == 0 && list_length(call->args) != 2)
				break;
			if (walk->alone == NULL)
				walk->alone = call;
			if (walk->in_condition > 0 || walk->in_sublink > 0 || walk->in_later_arm > 0)
				return found_within(walk, call);
			break;
		case FFS_NAME_INFO:
			if (walk->in_condition > 0 || walk->in_sublink > 0 || walk->in_later_arm > 0)
				return found(walk, "catalog", node, "A function tells what server this is, within a query of something else.");
			break;
		case FFS_NAME_PURE:
			/* the first characters of something that is not the row's, one by one */
			if (walk->in_condition > 0 && call->args != NIL &&
				(strcmp(name, "ascii") == 0 || strncmp(name, "substr", 6) == 0 || strcmp(name, "left") == 0) &&
				(find_sublink(linitial(call->args), NULL) || ffs_validate_find_sysinfo(linitial(call->args), NULL)))
				return found(walk, "blind", node, "A condition looks at single characters of what another query gives.");
			break;
		default:
			if (strcmp(name, "generate_series") == 0 && list_length(call->args) >= 2 &&
				is_number(lsecond(call->args)) && value_of(walk, lsecond(call->args)) > 5e6)
				return found(walk, "delay", node, "A function gives a very large number of rows.");
			break;
	}
	return examine_where(walk, call->agg_filter, false);
}

/* ---- expressions ---- */

/* The leaves of a chain of ||. */
static void
collect_chain(Node *node, List **leaves)
{
	check_stack_depth();
	if (!ffs_validate_is_operator(node, "||"))
	{
		*leaves = lappend(*leaves, node);
		return;
	}
	/* seen: it is part of a longer one */
	((A_Expr *) node)->location = -2;
	collect_chain(((A_Expr *) node)->lexpr, leaves);
	collect_chain(((A_Expr *) node)->rexpr, leaves);
}

/* chr(65): a character that a filter shall not see.  Control characters are how one writes line ends. */
static bool
is_hidden_character(Walk *walk, Node *node)
{
	const char *name;

	if (node == NULL || !IsA(node, FuncCall) || list_length(((FuncCall *) node)->args) != 1)
		return false;
	name = strVal(llast(((FuncCall *) node)->funcname));
	return (strcmp(name, "chr") == 0 || strcmp(name, "char") == 0) && is_number(linitial(((FuncCall *) node)->args)) &&
		value_of(walk, linitial(((FuncCall *) node)->args)) >= 32;
}

static bool
examine_chain(Walk *walk, Node *node)
{
	List	   *leaves = NIL;
	ListCell   *lc;
	int			hidden = 0;
	bool		strings = true;

	collect_chain(node, &leaves);
	foreach(lc, leaves)
	{
		hidden += is_hidden_character(walk, lfirst(lc));
		strings &= is_string(lfirst(lc));
	}
	if (hidden > 1)
		return found(walk, "obfuscation", node, "A text is put together from single characters.");
	/* 'a' || (SELECT ...) || 'b', where a value was to be */
	if (is_string(linitial(leaves)) && is_string(llast(leaves)) && walk->in_targets == 0 &&
		(find_sublink((Node *) leaves, NULL) || ffs_validate_find_sysinfo((Node *) leaves, NULL) || find_fixed_call((Node *) leaves, NULL)))
		return found(walk, "concatenation", node, "A string is cut open for the result of something else.");
	/* '' || 'a' */
	walk->ex->by_shape &= !strings;
	if (strings && walk->in_targets == 0 &&
		(*strVal(&((A_Const *) linitial(leaves))->val) == '\0' || *strVal(&((A_Const *) llast(leaves))->val) == '\0'))
		return found(walk, "concatenation", node, "A string is cut in two.");
	return false;
}

static bool
is_comparison(A_Expr *expr)
{
	static const char *const names[] = {"=", "<>", "<", ">", "<=", ">="};

	if (expr->kind == AEXPR_LIKE || expr->kind == AEXPR_ILIKE)
		return true;
	if (expr->kind != AEXPR_OP || expr->lexpr == NULL)
		return false;
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(strVal(llast(expr->name)), names[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_built_string(Node *node)
{
	return ffs_validate_is_operator(node, "||") && ffs_validate_is_constant(node);
}

static bool
find_cast(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, TypeCast))
		return true;
	return ffs_validate_walk(node, find_cast, context);
}

/* 2-1, 1+1: what nobody writes, but to see whether it is computed.  Dates are reckoned with, and 60*60 is easier to read. */
static bool
is_built_number(Node *node)
{
	return node != NULL && IsA(node, A_Expr) && ((A_Expr *) node)->kind == AEXPR_OP && ((A_Expr *) node)->lexpr != NULL &&
		!ffs_validate_is_operator(node, "*") && !ffs_validate_is_operator(node, "/") && !ffs_validate_is_operator(node, "||") &&
		ffs_validate_is_constant(node) && !find_cast(node, NULL);
}

/* 'a', or -'a' */
static bool
is_bare_string(Node *node)
{
	if (node != NULL && IsA(node, A_Expr) && ((A_Expr *) node)->kind == AEXPR_OP && ((A_Expr *) node)->lexpr == NULL)
		node = ((A_Expr *) node)->rexpr;
	return is_string(node);
}

static bool
is_bare_column(Node *node)
{
	return node != NULL && IsA(node, ColumnRef) && list_length(((ColumnRef *) node)->fields) == 1;
}

/* Operators that show where a string was closed, or that another system's text is meant. */
static bool
examine_leftovers(Walk *walk, A_Expr *expr)
{
	Node	   *node = (Node *) expr;
	const char *op = strVal(llast(expr->name));

	if (expr->kind != AEXPR_OP && expr->kind != AEXPR_LIKE && expr->kind != AEXPR_ILIKE && expr->kind != AEXPR_SIMILAR)
		return false;
	if (is_bare_string(expr->lexpr) && is_bare_string(expr->rexpr) && strcmp(op, "||") != 0 && walk->in_targets == 0 &&
		!is_idiom(node))
		return found(walk, "concatenation", node, "An operator stands between two strings.");
	if (expr->kind != AEXPR_OP)
		return false;
	if ((strcmp(op, "*") == 0 || strcmp(op, "/") == 0 || strcmp(op, "%") == 0 || strcmp(op, "^") == 0) &&
		(is_string(expr->lexpr) || (is_string(expr->rexpr) && !is_bare_column(expr->lexpr))))
		return found(walk, "concatenation", node, "A string is reckoned with.");
	if (expr->lexpr == NULL && (strcmp(op, "@@") == 0 || (strcmp(op, "@") == 0 && is_bare_column(expr->rexpr))))
		return found(walk, "foreign", node, "A variable is another database system's.");
	/* 1=@@version is one operator here; so is == */
	if ((op[0] == '=' && op[1] != '\0') || strchr(op, '`') != NULL)
		return found(walk, "foreign", node, "An operator is another database system's.");
	if (strcmp(op, "#") == 0 && walk->in_condition > 0 && is_bare_column(expr->rexpr))
		return found(walk, "foreign", node, "A comment is another database system's.");
	return false;
}

/* Typographic quotes, as UTF-8: what attacks copied from web pages have. */
static const char *const typographic[] = {"\342\200\230", "\342\200\231", "\342\200\234", "\342\200\235"};

static bool
is_leftover_name(const char *name)
{
	bool		has_letter = false;

	for (const char *p = name; *p != '\0'; p++)
		has_letter |= isalnum((unsigned char) *p) || IS_HIGHBIT_SET(*p) || *p == '_' || *p == '?';
	if (!has_letter || strpbrk(name, "=';\"") != NULL || strstr(name, "--") != NULL)
		return true;
	for (int i = 0; i < (int) lengthof(typographic) && GetDatabaseEncoding() == PG_UTF8; i++)
	{
		if (strstr(name, typographic[i]) != NULL)
			return true;
	}
	return false;
}

/* A name in quotes that has statements in it: what was meant for a string in them. */
static bool
examine_column(Walk *walk, ColumnRef *ref)
{
	ListCell   *lc;

	foreach(lc, ref->fields)
	{
		if (IsA(lfirst(lc), String) && is_leftover_name(strVal(lfirst(lc))))
			return found(walk, "obfuscation", (Node *) ref, "A column's name looks like part of a statement.");
	}
	return false;
}

static bool
examine_operator(Walk *walk, A_Expr *expr)
{
	Node	   *node = (Node *) expr;

	if (examine_leftovers(walk, expr))
		return true;
	if (ffs_validate_is_operator(node, "||") && expr->location != -2 && examine_chain(walk, node))
		return true;
	if ((ffs_validate_is_operator(node, "/") || ffs_validate_is_operator(node, "%")) && expr->lexpr != NULL &&
		is_number(expr->rexpr) && value_of(walk, expr->rexpr) == 0)
		return found(walk, "error", node, "A division by zero is there to fail.");
	if (ffs_validate_is_operator(node, "="))
	{
		if (is_built_string(expr->lexpr) || is_built_string(expr->rexpr))
			return found(walk, "concatenation", node, "A column is compared with a string that is put together from constants.");
		if (is_built_number(expr->rexpr) || is_built_number(expr->lexpr))
			return found(walk, "concatenation", node, "A column is compared with a number that is computed from constants.");
	}
	/* x = 'a' = 'b', and x = (y LIKE 'z'): a comparison of truths */
	if (is_comparison(expr) && ((IsA(expr->lexpr, A_Expr) && is_comparison((A_Expr *) expr->lexpr) && ffs_validate_is_constant(expr->rexpr)) ||
								(expr->rexpr != NULL && IsA(expr->rexpr, A_Expr) && is_comparison((A_Expr *) expr->rexpr) &&
								 ffs_validate_is_constant(expr->rexpr))))
		return found(walk, "tautology", node, "The result of a comparison is compared again.");
	return false;
}

static bool
is_numeric_type(TypeName *type)
{
	static const char *const names[] = {
		"int2", "int4", "int8", "int", "integer", "bigint", "smallint", "numeric", "decimal", "float4", "float8",
		"signed", "unsigned"
	};
	const char *name;

	if (type->names == NIL)
		return false;
	name = strVal(llast(type->names));
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
examine_cast(Walk *walk, TypeCast *cast)
{
	Node	   *arg = cast->arg;

	if (!is_numeric_type(cast->typeName))
		return false;
	if (ffs_validate_find_sysinfo(arg, NULL))
		return found(walk, "error", (Node *) cast, "What names the server or the session is read as a number, which fails and shows it.");
	if (IsA(arg, SubLink) || ffs_validate_is_operator(arg, "||"))
	{
		if (find_sublink(arg, NULL) && find_concatenation(arg, NULL))
			return found(walk, "error", (Node *) cast, "A text from another query is read as a number, which fails and shows it.");
	}
	return false;
}

/* ---- relations ---- */

static void
note_relation(Walk *walk, RangeVar *rv)
{
	switch (ffs_validate_relation_kind(rv))
	{
		case FFS_RELATION_USER:
			walk->has_tables = true;
			break;
		case FFS_RELATION_SENSITIVE:
			if (walk->sensitive == NULL)
				walk->sensitive = rv;
			/* FALLTHROUGH */
		case FFS_RELATION_CATALOG:
			if (walk->catalog == NULL)
				walk->catalog = rv;
			break;
	}
}

static bool
examine_alone(Walk *walk)
{
	return walk->alone != NULL && walk->has_tables && found_within(walk, walk->alone);
}

/* Catalogs may be read by who reads nothing else, and asks for something. */
static bool
examine_relations(Walk *walk)
{
	if (walk->sensitive != NULL)
		return found(walk, "catalog", (Node *) walk->sensitive, "It reads a catalog that applications have no use for.");
	if (walk->catalog == NULL)
		return false;
	if (walk->has_tables)
		return found(walk, "catalog", (Node *) walk->catalog, "It reads a catalog within a query of something else.");
	if (!walk->has_filter)
		return found(walk, "catalog", (Node *) walk->catalog, "It reads a whole catalog.");
	return false;
}

/* ---- the walk ---- */

static bool
examine(Node *node, void *context)
{
	Walk	   *walk = context;
	ListCell   *lc;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SelectStmt:
			return examine_select(walk, (SelectStmt *) node);
		case T_UpdateStmt:
			if (examine_where(walk, ((UpdateStmt *) node)->whereClause, true))
				return true;
			break;
		case T_DeleteStmt:
			if (examine_where(walk, ((DeleteStmt *) node)->whereClause, true))
				return true;
			break;
		case T_MergeStmt:
			if (examine_where(walk, ((MergeStmt *) node)->joinCondition, true))
				return true;
			break;
		case T_JoinExpr:
			if (examine_where(walk, ((JoinExpr *) node)->quals, true))
				return true;
			walk->has_filter = true;
			break;
		case T_OnConflictClause:
			if (examine_where(walk, ((OnConflictClause *) node)->whereClause, true))
				return true;
			break;
		case T_CaseExpr:
			if (((CaseExpr *) node)->arg != NULL && ffs_validate_is_constant(node))
				return found(walk, "tautology", node, "A CASE has constants only.");
			foreach(lc, ((CaseExpr *) node)->args)
			{
				CaseWhen   *when = lfirst_node(CaseWhen, lc);

				if (((CaseExpr *) node)->arg == NULL && examine_where(walk, (Node *) when->expr, false))
					return true;
			}
			break;
		case T_BoolExpr:
			/* not where conditions are, or it would have been looked at */
			if (((BoolExpr *) node)->location != -2 && examine_condition(walk, node, false))
				return true;
			break;
		case T_FuncCall:
			if (examine_function(walk, (FuncCall *) node))
				return true;
			break;
		case T_A_Expr:
			if (examine_operator(walk, (A_Expr *) node))
				return true;
			break;
		case T_TypeCast:
			if (examine_cast(walk, (TypeCast *) node))
				return true;
			break;
		case T_RangeVar:
			note_relation(walk, (RangeVar *) node);
			return false;
		case T_ColumnRef:
			return examine_column(walk, (ColumnRef *) node);
		case T_CommonTableExpr:
			{
				bool		result;

				walk->in_cte++;
				result = ffs_validate_walk(node, examine, walk);
				walk->in_cte--;
				return result;
			}
		case T_SubLink:
			{
				bool		result;

				walk->in_sublink++;
				result = ffs_validate_walk(node, examine, walk);
				walk->in_sublink--;
				return result;
			}
		default:
			break;
	}
	return ffs_validate_walk(node, examine, walk);
}

/* ---- statements ---- */

/* Where a statement begins; before 18 blanks in front of it are its own. */
static int
beginning(const FfsExamination *ex, const RawStmt *raw)
{
	int			location = Max(raw->stmt_location, 0);

	while (scanner_isspace(ex->text[location]))
		location++;
	return location;
}

/* Statements that have no condition, and reach out of the database by themselves. */
static bool
examine_utility(Walk *walk, RawStmt *raw)
{
	Node	   *node = raw->stmt;
	int			location = beginning(walk->ex, raw);

	switch (nodeTag(node))
	{
		case T_CopyStmt:
			if (((CopyStmt *) node)->is_program)
				return ffs_validate_found(walk->ex, "program", location, "COPY runs a program.");
			if (((CopyStmt *) node)->filename != NULL)
				return ffs_validate_found(walk->ex, "file", location, "COPY reads or writes a file of the server's.");
			return false;
		case T_DoStmt:
			return ffs_validate_found(walk->ex, "program", location, "DO runs code.");
		case T_LoadStmt:
			return ffs_validate_found(walk->ex, "program", location, "LOAD runs a library.");
		case T_AlterSystemStmt:
			return ffs_validate_found(walk->ex, "setting", location, "ALTER SYSTEM changes the server's settings.");
		case T_CreateFunctionStmt:
			{
				ListCell   *lc;

				/* LANGUAGE 'c' is a string */
				walk->ex->by_shape = false;
				foreach(lc, ((CreateFunctionStmt *) node)->options)
				{
					DefElem    *option = lfirst_node(DefElem, lc);

					if (strcmp(option->defname, "language") == 0 && pg_strcasecmp(strVal(option->arg), "c") == 0)
						return ffs_validate_found(walk->ex, "program", location, "CREATE FUNCTION takes code from a library.");
				}
				return false;
			}
		default:
			return false;
	}
}

/*
 * An expression in what defines a table, a policy and the like: of what it
 * calls, what no definition has.  Conditions may be what they like there.
 */
static bool
examine_definition(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncCall))
	{
		FfsNameKind kind = ffs_validate_function_kind(((FuncCall *) node)->funcname);

		if ((kind == FFS_NAME_DELAY || kind == FFS_NAME_FILE || kind == FFS_NAME_LARGE_OBJECT || kind == FFS_NAME_REMOTE || kind == FFS_NAME_XML) &&
			examine_function(context, (FuncCall *) node))
			return true;
	}
	return ffs_validate_walk(node, examine_definition, context);
}

static bool
examine_statement(FfsExamination *ex, RawStmt *raw)
{
	Walk		walk = {.ex = ex};

	return examine_utility(&walk, raw) ||
		ffs_validate_walk((Node *) raw, examine, &walk) ||
		ffs_validate_walk_definition(raw->stmt, examine_definition, examine, &walk) ||
		examine_alone(&walk) ||
		examine_relations(&walk);
}

/* ---- the whole text ---- */

static void
examine_text(FfsExamination *ex)
{
	FfsParseFailure failure;
	List	   *statements;

	if (!ffs_validate_parse(ex->text, &statements, &failure))
	{
		ffs_validate_found(ex, "syntax", -1, "It cannot be parsed: %s.", failure.message);
		ex->finding->position = failure.position;
		ex->by_shape = false;
		return;
	}
	if (list_length(statements) > 1)
	{
		ffs_validate_found(ex, "stacked", beginning(ex, lsecond_node(RawStmt, statements)), "There is more than one statement.");
		return;
	}
	if (ffs_validate_comments(ex))
		return;
	if (statements != NIL)
		(void) examine_statement(ex, linitial_node(RawStmt, statements));
}

bool
ffs_validate_examine(const char *text, FfsFinding *finding, bool *by_shape)
{
	FfsExamination ex = {text, finding, false, true};
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		examine_text(&ex);
	}
	PG_CATCH();
	{
		int			sqlerrcode;

		MemoryContextSwitchTo(context);
		sqlerrcode = geterrcode();
		if (sqlerrcode != ERRCODE_STATEMENT_TOO_COMPLEX)
			PG_RE_THROW();
		FlushErrorState();
		ffs_validate_found(&ex, "syntax", -1, "It is too deeply nested to be looked at.");
		ex.by_shape = false;
	}
	PG_END_TRY();
	if (by_shape != NULL)
		*by_shape = ex.by_shape;
	return !ex.found;
}
