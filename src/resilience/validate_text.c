/*-------------------------------------------------------------------------
 *
 * validate_text.c
 *		What the parser does not hand on: comments.
 *
 * Attacks end in a comment to swallow what the application's text goes on
 * with, and use comments as blanks to get past filters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/base.h"
#include "resilience/validate.h"

/* A comment, and what stands around it. */
typedef struct Comment
{
	const char *start;			/* its content */
	const char *end;
	bool		is_block;
	bool		after_code;		/* on the same line */
	bool		is_last;		/* no code after it, but perhaps a semicolon */
	bool		is_glued;		/* between tokens, without blanks on both sides */
	bool		ends_text;		/* the text's last byte belongs to it */
} Comment;

static bool
is_letter(char c)
{
	return isalpha((unsigned char) c) || IS_HIGHBIT_SET(c);
}

/* Quotes that belong together come in pairs; apostrophes stand between letters. */
static bool
has_odd_quotes(const Comment *c)
{
	int			single = 0;
	int			doubled = 0;

	for (const char *p = c->start; p < c->end; p++)
	{
		if (*p == '"')
			doubled++;
		else if (*p == '\'' &&
				 !(p > c->start && is_letter(p[-1]) && p + 1 < c->end && is_letter(p[1])))
			single++;
	}
	return single % 2 != 0 || doubled % 2 != 0;
}

/* Does it begin as what follows a value does, whose quote was closed before? */
static bool
begins_with_quote(const Comment *c)
{
	const char *p = c->start;

	while (p < c->end && isspace((unsigned char) *p))
		p++;
	return p < c->end && strchr("'\")", *p) != NULL;
}

/* Does it begin as the rest of a statement does? */
static bool
begins_like_sql(const Comment *c)
{
	static const char *const words[] = {
		"and", "or", "order", "limit", "group", "offset", "union", "having", "where", "from", "set", "values",
		"returning", "on", "for", "fetch", "intersect", "except", "join", "left", "inner"
	};
	const char *p = c->start;

	while (p < c->end && isspace((unsigned char) *p))
		p++;
	if (p == c->end || strchr("'\")];,=-+%", *p) != NULL)
		return true;
	for (int i = 0; i < (int) lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		if (c->end - p >= (ptrdiff_t) length && pg_strncasecmp(p, words[i], length) == 0 &&
			(p + length == c->end || !is_letter(p[length])))
			return true;
	}
	return false;
}

static bool
judge(FfsExamination *ex, const Comment *c)
{
	int			location = c->start - 2 - ex->text;

	if (c->is_block)
	{
		if (c->start == c->end)
			return ffs_validate_found(ex, "comment", location, "An empty comment stands for a blank.");
		if (*c->start == '!')
			return ffs_validate_found(ex, "comment", location, "A comment is one that another database system executes.");
		if (c->is_glued)
			return ffs_validate_found(ex, "comment", location, "A comment stands for a blank.");
		if (c->after_code && has_odd_quotes(c))
			return ffs_validate_found(ex, "comment", location, "A comment holds one quote of a pair.");
		if (c->after_code && !c->is_last && begins_with_quote(c))
			return ffs_validate_found(ex, "comment", location, "A comment swallows the end of a string, and what follows it.");
		return false;
	}
	if (!c->after_code)
		return false;
	if (has_odd_quotes(c))
		return ffs_validate_found(ex, "comment", location, "A comment holds one quote of a pair.");
	if (c->is_last && (c->ends_text || begins_like_sql(c)))
		return ffs_validate_found(ex, "comment", location, "A comment swallows what the statement goes on with.");
	return false;
}

/* The comments between two tokens. */
static bool
judge_gap(FfsExamination *ex, int start, int end, bool has_code_before, bool has_code_after)
{
	const char *p = ex->text + start;
	const char *stop = ex->text + end;
	bool		blank = false;
	bool		same_line = has_code_before;

	for (const char *q = p; q < stop; q++)
	{
		/* blanks outside of comments */
		if (q[0] == '-' && q + 1 < stop && q[1] == '-')
			break;
		if (q[0] == '/' && q + 1 < stop && q[1] == '*')
			break;
		blank = true;
	}
	while (p < stop)
	{
		Comment		c = {0};

		c.after_code = same_line;
		c.is_last = !has_code_after;
		if (p[0] == '-' && p + 1 < stop && p[1] == '-')
		{
			c.start = p + 2;
			for (p = c.start; p < stop && *p != '\n' && *p != '\r'; p++)
				;
			c.end = p;
			c.ends_text = *p == '\0';
			if (judge(ex, &c))
				return true;
		}
		else if (p[0] == '/' && p + 1 < stop && p[1] == '*')
		{
			int			depth = 1;

			c.start = p + 2;
			for (p = c.start; p < stop && depth > 0; p++)
			{
				if (p[0] == '/' && p[1] == '*')
					depth++, p++;
				else if (p[0] == '*' && p[1] == '/')
					depth--, p++;
			}
			c.end = p - 2;
			c.is_block = true;
			c.is_glued = !blank && has_code_before && has_code_after && (p == stop || *p == '/');
			if (judge(ex, &c))
				return true;
		}
		else
		{
			if (*p == '\n' || *p == '\r')
				same_line = false;
			p++;
		}
	}
	return false;
}

bool
ffs_validate_comments(FfsExamination *ex)
{
	FfsToken   *tokens;
	int			n;
	int			last;

	if (strstr(ex->text, "--") == NULL && strstr(ex->text, "/*") == NULL)
		return false;
	tokens = ffs_validate_lex(ex->text, &n);
	if (tokens == NULL)
		return false;
	for (last = n; last > 0 && tokens[last - 1].kind == ';'; last--)
		;
	for (int i = 0; i <= n; i++)
	{
		int			start = i == 0 ? 0 : tokens[i - 1].end;
		int			end = i == n ? (int) strlen(ex->text) : tokens[i].start;

		if (end > start + 1 && judge_gap(ex, start, end, i > 0, i < last))
			return true;
	}
	pfree(tokens);
	return false;
}
