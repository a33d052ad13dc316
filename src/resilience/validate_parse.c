/*-------------------------------------------------------------------------
 *
 * validate_parse.c
 *		Texts parsed and cut into tokens by PostgreSQL's own parser.
 *
 * What the parser says of bad texts is an answer here, not an error; its
 * notices and warnings are kept from the client and the log.  The parser looks
 * at no catalog and holds nothing but memory, so that its errors need no
 * subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/keywords.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "utils/guc.h"

#include "base/base.h"
#include "resilience/validate.h"

/* About half a second. */
#define MAX_OPERATOR_COST 5e7

/* Is it the text that is wrong, and not the server or the caller's patience? */
static bool
is_about_the_text(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
		default:
			return true;
	}
}

/*
 * The scanner looks at a run of operator characters again for each comment
 * that begins in it, and for each plus sign at its end; it cannot be cancelled
 * while it does.  What it would take, in looks at a character.
 */
static double
cost_of_operators(const char *text)
{
	double		cost = 0;

	for (const char *p = text; *(p += strcspn(p, "/+")) != '\0';)
	{
		size_t		run = strspn(p, "~!@#^&|`?+-*/%<>=");
		size_t		again = 0;

		for (size_t i = 0; i < run; i++)
			again += p[i] == '+' || (p[i] == '/' && p[i + 1] == '*');
		cost += (double) run * again;
		p += run;
	}
	return cost;
}

/* Run something of the parser; false, and why, where it raised an error about the text. */
static bool
silently(void (*run) (const char *text, void *result), const char *text, void *result, FfsParseFailure *failure)
{
	volatile bool done = false;
	MemoryContext context = CurrentMemoryContext;
	int			to_client = client_min_messages;
	int			to_log = log_min_messages;
	bool		escapes = escape_string_warning;

	if (strlen(text) > FFS_VALIDATE_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query text is too long"),
				 errdetail("It has %zu bytes; at most %d can be looked at.", strlen(text), FFS_VALIDATE_MAX_TEXT),
				 errhint("Pass long values as parameters.")));
	if (cost_of_operators(text) > MAX_OPERATOR_COST)
	{
		if (failure != NULL)
		{
			failure->message = "too many operator characters in a row";
			failure->position = 0;
		}
		return false;
	}
	PG_TRY();
	{
		client_min_messages = Max(client_min_messages, ERROR);
		log_min_messages = Max(log_min_messages, ERROR);
		escape_string_warning = false;
		run(text, result);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		client_min_messages = to_client;
		log_min_messages = to_log;
		escape_string_warning = escapes;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_the_text(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		if (failure != NULL)
		{
			failure->message = error->message;
			failure->position = error->cursorpos;
		}
	}
	PG_END_TRY();
	client_min_messages = to_client;
	log_min_messages = to_log;
	escape_string_warning = escapes;
	return done;
}

/* ---- parsing ---- */

static void
run_parser(const char *text, void *result)
{
	*(List **) result = raw_parser(text, RAW_PARSE_DEFAULT);
}

bool
ffs_validate_parse(const char *text, List **statements, FfsParseFailure *failure)
{
	*statements = NIL;
	return silently(run_parser, text, statements, failure);
}

/* ---- tokens ---- */

typedef struct TokenList
{
	FfsToken   *tokens;
	int			count;
	int			room;
} TokenList;

static void
run_lexer(const char *text, void *result)
{
	TokenList  *list = result;
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	core_YYSTYPE value;
	YYLTYPE		start;
	int			kind;

	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	extra.escape_string_warning = false;
	while ((kind = core_yylex(&value, &start, scanner)) != 0)
	{
		FfsToken   *token;

		if (list->count == list->room)
		{
			list->room *= 2;
			list->tokens = repalloc_huge(list->tokens, list->room * sizeof(FfsToken));
		}
		token = &list->tokens[list->count++];
		token->kind = kind;
		token->start = start;
		/* the scanner puts a NUL behind the token that it is at */
		token->end = start + (int) strlen(extra.scanbuf + start);
		token->name = kind == FFS_TOKEN_IDENT ? value.str : kind >= FFS_TOKEN_KEYWORD ? value.keyword : NULL;
	}
	scanner_finish(scanner);
}

FfsToken *
ffs_validate_lex(const char *text, int *ntokens)
{
	TokenList	list = {palloc(64 * sizeof(FfsToken)), 0, 64};

	if (!silently(run_lexer, text, &list, NULL))
		return NULL;
	*ntokens = list.count;
	return list.tokens;
}

/* ---- walking ---- */

/* A statement in a statement: only those that can be walked. */
static bool
walk_statement(Node *statement, FfsRawWalker walker, void *context)
{
	if (statement == NULL)
		return false;
	switch (nodeTag(statement))
	{
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
		case T_ExplainStmt:
		case T_PrepareStmt:
		case T_CreateTableAsStmt:
		case T_DeclareCursorStmt:
		case T_ViewStmt:
		case T_CopyStmt:
		case T_CallStmt:
		case T_ExecuteStmt:
		case T_VariableSetStmt:
		case T_RuleStmt:
		case T_ReturnStmt:
			return walker(statement, context);
		default:
			return false;
	}
}

bool
ffs_validate_walk(Node *node, FfsRawWalker walker, void *context)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (nodeTag(node))
	{
		case T_RawStmt:
			return walk_statement(((RawStmt *) node)->stmt, walker, context);
		case T_ExplainStmt:
			return walk_statement(((ExplainStmt *) node)->query, walker, context);
		case T_PrepareStmt:
			return walk_statement(((PrepareStmt *) node)->query, walker, context);
		case T_CreateTableAsStmt:
			return walk_statement(((CreateTableAsStmt *) node)->query, walker, context);
		case T_DeclareCursorStmt:
			return walk_statement(((DeclareCursorStmt *) node)->query, walker, context);
		case T_ViewStmt:
			return walk_statement(((ViewStmt *) node)->query, walker, context);
		case T_CopyStmt:
			return walk_statement(((CopyStmt *) node)->query, walker, context) ||
				walker(((CopyStmt *) node)->whereClause, context);
		case T_CallStmt:
			return walker((Node *) ((CallStmt *) node)->funccall, context);
		case T_ExecuteStmt:
			return walker((Node *) ((ExecuteStmt *) node)->params, context);
		case T_VariableSetStmt:
			return walker((Node *) ((VariableSetStmt *) node)->args, context);
		case T_ReturnStmt:
			return walker(((ReturnStmt *) node)->returnval, context);
		case T_RuleStmt:
			foreach(lc, ((RuleStmt *) node)->actions)
			{
				if (walk_statement(lfirst(lc), walker, context))
					return true;
			}
			return walker(((RuleStmt *) node)->whereClause, context);
		default:
			return raw_expression_tree_walker(node, walker, context);
	}
}
