/*-------------------------------------------------------------------------
 *
 * validate.h
 *		Query texts judged by PostgreSQL's own parser.
 *
 *		validate_parse.c	texts parsed and cut into tokens, without noise
 *		validate_template.c	values pasted into a template: is the shape the same?
 *		validate_checks.c	the marks of an injection in one finished text
 *		validate_definitions.c	expressions and queries in CREATE and ALTER
 *		validate_fixed.c	conditions that do not depend on the row
 *		validate_union.c	set operations that were pasted together
 *		validate_names.c	functions and relations that attacks reach for
 *		validate_text.c		comments, and verdicts that numbers cannot change
 *		validate_hook.c		what a role's clients send: ffstorage.validate_queries
 *		validate_list.c		the list of queries that are let through
 *		validate.c			what SQL may ask
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_VALIDATE_H
#define FFS_VALIDATE_H

#include "postgres.h"

#include "nodes/nodes.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

extern void ffs_validate_init(void);

/* ---- texts ---- */

/* Longer texts are refused: a literal takes up to twice its length while it is read. */
#define FFS_VALIDATE_MAX_TEXT (256 * 1024 * 1024)

typedef struct FfsParseFailure
{
	char	   *message;
	int			position;		/* in characters from 1 on; 0: unknown */
} FfsParseFailure;

/*
 * Parse a text into RawStmts, silently.  False, with what was wrong, where it
 * is no SQL or too deeply nested; cancels and lack of memory are errors still.
 */
extern bool ffs_validate_parse(const char *text, List **statements, FfsParseFailure *failure);

/* Kinds of tokens; single characters are themselves, keywords are from FFS_TOKEN_KEYWORD on. */
#define FFS_TOKEN_IDENT		258
#define FFS_TOKEN_FCONST	260
#define FFS_TOKEN_SCONST	261
#define FFS_TOKEN_OPERATOR	265
#define FFS_TOKEN_ICONST	266
#define FFS_TOKEN_KEYWORD	275

typedef struct FfsToken
{
	int			kind;
	int			start;			/* bytes */
	int			end;
	const char *name;			/* identifiers and keywords, folded */
} FfsToken;

/* The tokens of a text that parses; NULL where it cannot be cut. */
extern FfsToken *ffs_validate_lex(const char *text, int *ntokens);

typedef bool (*FfsRawWalker) (Node *node, void *context);
/* Calls the walker for each expression in a statement that defines something, and for each query in it. */
extern bool ffs_validate_walk_definition(Node *statement, FfsRawWalker expression, FfsRawWalker query, void *context);
/* raw_expression_tree_walker that also knows RawStmts, and utility statements that have queries or expressions in them. */
extern bool ffs_validate_walk(Node *node, FfsRawWalker walker, void *context);

/* ---- the checks ---- */

typedef struct FfsFinding
{
	const char *check;			/* its name, as documented */
	char	   *what;			/* a sentence */
	int			position;		/* in characters from 1 on; 0: unknown */
} FfsFinding;

/*
 * Look for the marks of an injection.  True where there is none.
 * `by_shape`, unless NULL, says that other numbers and strings in the places
 * of those in the text would have been judged alike.
 */
extern bool ffs_validate_examine(const char *text, FfsFinding *finding, bool *by_shape);

/* How far a check has come; each check adds the first thing it finds. */
typedef struct FfsExamination
{
	const char *text;
	FfsFinding *finding;
	bool		found;
	bool		by_shape;		/* no value of a constant was looked at yet */
} FfsExamination;

/* Note what was found at a byte of the text (-1: unknown); always true. */
extern bool ffs_validate_found(FfsExamination *ex, const char *check, int location, const char *fmt,...) pg_attribute_printf(4, 5);

/* comments that hide or swallow something */
extern bool ffs_validate_comments(FfsExamination *ex);

/* Is it made of constants only, or a comparison of something with itself? */
extern bool ffs_validate_is_constant(Node *node);
/* The same, or made of what is alike for every row and every parameter. */
extern bool ffs_validate_is_fixed(Node *node);

/* small questions: is it this operator, with one side or two; is it a constant of this kind; is somewhere in it asked what server or session this is? */
extern bool ffs_validate_is_operator(Node *node, const char *name);
extern bool ffs_validate_is_const(Node *node, NodeTag tag);
extern bool ffs_validate_find_sysinfo(Node *node, void *context);

/* the arms of a set operation, and what is wrong with them; outermost: not in WITH or a sub-select */
extern void ffs_validate_collect_arms(SelectStmt *select, List **arms);
extern bool ffs_validate_arms(FfsExamination *ex, List *arms, bool outermost);

typedef enum FfsNameKind
{
	FFS_NAME_OTHER,
	FFS_NAME_PURE,				/* a function of its arguments only */
	FFS_NAME_DELAY,
	FFS_NAME_FILE,
	FFS_NAME_LARGE_OBJECT,
	FFS_NAME_REMOTE,
	FFS_NAME_XML,
	FFS_NAME_QUERY,				/* runs a text as a query, for who has use for that */
	FFS_NAME_SETTING,
	FFS_NAME_INFO,				/* of the server */
	FFS_NAME_WHO,				/* of the session */
	FFS_NAME_FOREIGN			/* of another database system */
} FfsNameKind;

extern FfsNameKind ffs_validate_function_kind(List *funcname);

typedef enum FfsRelationKind
{
	FFS_RELATION_USER,
	FFS_RELATION_CATALOG,		/* what drivers and object mappers look tables up in */
	FFS_RELATION_SENSITIVE		/* the other catalogs, and other systems' */
} FfsRelationKind;

extern FfsRelationKind ffs_validate_relation_kind(const RangeVar *rv);

/* ---- what clients send ---- */

#define FFS_CHECK_UNLISTED "unlisted"

extern void ffs_validate_hook_init(void);
extern void ffs_validate_list_init(void);

/* The query id of a text of one statement, analyzed as the caller would; errors of the text's where it does not stand up to that. */
extern int64 ffs_validate_analyze(const char *text);

/* May the session's role run it whatever was found?  What it may not is kept for ffs_validate_learn(). */
extern bool ffs_validate_is_listed(Query *query, const char *text, const FfsFinding *finding);

#endif							/* FFS_VALIDATE_H */
