/*-------------------------------------------------------------------------
 *
 * validate_hook.c
 *		ffstorage.validate_queries: the checks on what a role's clients send.
 *
 * Only statements as the client sent them are looked at, when they are parsed;
 * not what functions, triggers or ffstorage itself run.  A text that was found
 * safe, and would be with other numbers and strings in it, is remembered
 * without those: from then on, seeing that a text is one of these costs a walk
 * over its bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/base.h"
#include "resilience/validate.h"

typedef enum ValidateMode
{
	VALIDATE_OFF, VALIDATE_WARN, VALIDATE_ENFORCE
} ValidateMode;

static const struct config_enum_entry modes[] = {
	{"off", VALIDATE_OFF, false},
	{"warn", VALIDATE_WARN, false},
	{"enforce", VALIDATE_ENFORCE, false},
	{NULL, 0, false}
};

static int	validate_queries = VALIDATE_OFF;
static bool validate_only_listed = false;

static post_parse_analyze_hook_type previous_hook;
static object_access_hook_type previous_access_hook;

/* ---- texts that are known to be safe ---- */

#define LONGEST_KNOWN	4096
#define MOST_KNOWN		1000

typedef struct KnownText
{
	uint64		hash;			/* the key */
	int			length;
	char	   *text;
} KnownText;

static MemoryContext known_context;
static HTAB *known_texts;

static inline bool
is_name_start(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || IS_HIGHBIT_SET(c);
}

static inline bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Copy a text without its numbers and strings; how long that is, or -1 where
 * this is more than these few lines can tell: comments, dollar quotes, strings
 * of other kinds than 'x'.
 */
static int
without_values(const char *text, char *out)
{
	const unsigned char *p = (const unsigned char *) text;
	char	   *o = out;
	char	   *last = out + LONGEST_KNOWN - 2;

	if (!standard_conforming_strings)
		return -1;
	while (*p != '\0')
	{
		if (o >= last)
			return -1;
		if (is_name_start(*p))
		{
			do
			{
				if (o >= last)
					return -1;
				*o++ = *p++;
			} while (is_name_start(*p) || is_digit(*p) || *p == '$');
			if (*p == '\'' || (*p == '&' && (p[1] == '\'' || p[1] == '"')))
				return -1;
		}
		else if (is_digit(*p))
		{
			*o++ = '0';
			do
				p++;
			while (is_digit(*p));
		}
		else if (*p == '\'')
		{
			for (p++;; p++)
			{
				if (*p == '\0')
					return -1;
				if (*p == '\'' && *++p != '\'')
					break;
			}
			*o++ = '\'';
		}
		else if (*p == '"')
		{
			do
			{
				if (*p == '\0' || o >= last)
					return -1;
				*o++ = *p++;
			} while (*p != '"');
			*o++ = *p++;
		}
		else if (*p == '$')
		{
			if (!is_digit(p[1]))
				return -1;
			do
			{
				if (o >= last)
					return -1;
				*o++ = *p++;
			} while (is_digit(*p));
		}
		else if ((*p == '-' && p[1] == '-') || (*p == '/' && p[1] == '*'))
			return -1;
		else
			*o++ = *p++;
	}
	return o - out;
}

static bool
is_known(const char *text, int length, uint64 hash)
{
	KnownText  *known;

	if (known_texts == NULL)
		return false;
	known = hash_search(known_texts, &hash, HASH_FIND, NULL);
	return known != NULL && known->length == length && memcmp(known->text, text, length) == 0;
}

static void
remember(const char *text, int length, uint64 hash)
{
	KnownText  *known;
	char	   *copy;
	bool		found;

	if (known_texts != NULL && hash_get_num_entries(known_texts) >= MOST_KNOWN)
	{
		MemoryContextDelete(known_context);
		known_texts = NULL;
	}
	if (known_texts == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(KnownText)};

		known_context = AllocSetContextCreate(TopMemoryContext, "ffstorage safe queries", ALLOCSET_DEFAULT_SIZES);
		ctl.hcxt = known_context;
		known_texts = hash_create("ffstorage safe queries", 128, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	copy = MemoryContextAlloc(known_context, length);
	memcpy(copy, text, length);
	known = hash_search(known_texts, &hash, HASH_ENTER, &found);
	known->length = length;
	known->text = copy;
}

/* ---- the verdict on a statement ---- */

/* ffs_validate_examine, asked once for all texts of a kind. */
static bool
is_safe(const char *text, FfsFinding *finding)
{
	char		bare[LONGEST_KNOWN];
	int			length = without_values(text, bare);
	uint64		hash = 0;
	bool		by_shape;
	bool		safe;
	MemoryContext old;
	MemoryContext scratch;

	if (length >= 0)
	{
		hash = hash_bytes_extended((const unsigned char *) bare, length, 0);
		if (is_known(bare, length, hash))
			return true;
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "ffstorage query check", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	safe = ffs_validate_examine(text, finding, &by_shape);
	MemoryContextSwitchTo(old);
	if (safe)
	{
		MemoryContextDelete(scratch);
		if (by_shape && length >= 0)
			remember(bare, length, hash);
	}
	return safe;
}

static void
tell(const FfsFinding *finding)
{
	bool		unlisted = strcmp(finding->check, FFS_CHECK_UNLISTED) == 0;

	ereport(validate_queries == VALIDATE_ENFORCE ? ERROR : WARNING,
			(errcode(FFS_ERRCODE_UNSAFE_QUERY),
			 unlisted ? errmsg("query is not in the list of allowed queries")
			 : errmsg("query has the marks of an injection: %s", finding->check),
			 errdetail("%s", finding->what),
			 unlisted ? errhint("Where the application means it so, an administrator can allow it with ffs_validate_learn().")
			 : errhint("Pass values as parameters; where the application means it so, an administrator can allow it with ffs_validate_learn()."),
			 finding->position > 0 ? errposition(finding->position) : 0));
}

/* What has to go when nothing else does: transactions end, and who may set them sets these settings. */
static bool
is_always_allowed(Query *query)
{
	Node	   *statement = query->utilityStmt;

	if (query->commandType != CMD_UTILITY)
		return false;
	if (IsA(statement, TransactionStmt))
		return true;
	return IsA(statement, VariableSetStmt) && ((VariableSetStmt *) statement)->name != NULL &&
		pg_strncasecmp(((VariableSetStmt *) statement)->name, "ffstorage.validate_", strlen("ffstorage.validate_")) == 0;
}

static void
check_statement(ParseState *pstate, Query *query, JumbleState *jstate)
{
	FfsFinding	finding;

	if (previous_hook != NULL)
		previous_hook(pstate, query, jstate);
	if (likely(validate_queries == VALIDATE_OFF))
		return;
	/* the client's own texts are known by where they are in memory */
	if (pstate->p_sourcetext == NULL || pstate->p_sourcetext != debug_query_string)
		return;
	if (validate_only_listed)
	{
		if (is_always_allowed(query) && is_safe(pstate->p_sourcetext, &finding))
			return;
		finding.check = FFS_CHECK_UNLISTED;
		finding.what = "Only queries that were learned may be run.";
		finding.position = 0;
	}
	else if (is_safe(pstate->p_sourcetext, &finding))
		return;
	if (ffs_validate_is_listed(query, pstate->p_sourcetext, &finding))
		return;
	tell(&finding);
}

/*
 * A client can also have a function called without a text (the protocol's
 * FunctionCall).  That is nothing that can be learned.
 */
static void
check_function_call(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	static TimestampTz told = 0;

	if (previous_access_hook != NULL)
		previous_access_hook(access, classId, objectId, subId, arg);
	if (likely(!validate_only_listed) || validate_queries == VALIDATE_OFF || access != OAT_FUNCTION_EXECUTE ||
		MyBEEntry == NULL || MyBEEntry->st_state != STATE_FASTPATH)
		return;
	/* a warning for the call, not for those that it makes itself */
	if (validate_queries == VALIDATE_WARN && told == GetCurrentStatementStartTimestamp())
		return;
	told = GetCurrentStatementStartTimestamp();
	ereport(validate_queries == VALIDATE_ENFORCE ? ERROR : WARNING,
			(errcode(FFS_ERRCODE_UNSAFE_QUERY),
			 errmsg("function call is not in the list of allowed queries"),
			 errdetail("Only queries that were learned may be run, and a call without a query cannot be."),
			 errhint("Call the function in a SELECT.")));
}

void
ffs_validate_hook_init(void)
{
	DefineCustomEnumVariable("ffstorage.validate_queries",
							 "What becomes of statements that have the marks of an injection.",
							 "off: they are not looked at; warn: they run, with a warning; enforce: they are refused. Meant for ALTER ROLE ... SET.",
							 &validate_queries, VALIDATE_OFF, modes, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("ffstorage.validate_only_listed",
							 "Whether only statements that were learned may be run.",
							 "As ffstorage.validate_queries says: with a warning, or an error. ffs_validate_learn() fills the list.",
							 &validate_only_listed, false, PGC_SUSET, 0, NULL, NULL, NULL);
	previous_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = check_statement;
	previous_access_hook = object_access_hook;
	object_access_hook = check_function_call;
}
