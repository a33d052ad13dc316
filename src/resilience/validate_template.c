/*-------------------------------------------------------------------------
 *
 * validate_template.c
 *		ffs_validate_template: values pasted into a template, and whether the
 *		query keeps its shape.
 *
 * The shape of a query is its parse tree without the constants that stand in
 * the marked places.  The template is parsed twice with different harmless
 * values in a place; the constants that differ are that place's.  The text
 * with the real values then has to parse into an equal tree, those constants
 * aside.
 *
 * Where a place makes something else than a constant (a name, the text of a
 * utility statement), the token that it is part of must begin and end where it
 * does with a harmless value, and all else be equal.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/base.h"
#include "resilience/validate.h"

PG_FUNCTION_INFO_V1(ffs_validate_template);

/* Two harmless values of each kind: they differ, and are as long as each other. */
static const char *const harmless[][2] = {
	{"1", "2"},					/* in quotes of all kinds, and where a number fits */
	{"'x'", "'y'"},
	{"x1", "x2"},				/* where a name must be */
};

/* A stretch of text that is pasted. */
typedef struct Place
{
	int			kind;			/* the harmless values that fit */
	bool		is_token;		/* not a constant: compared as a token */
	Bitmapset  *constants;		/* else: which of the tree's constants, in the order of a walk */
} Place;

typedef struct Template
{
	int			nplaces;
	char	  **parts;			/* nplaces + 1 */
	Place	   *places;
	List	   *tree;			/* with harmless values, the places' constants made NULL */
	int			nconstants;
	bool		has_tokens;
	char	   *text;			/* what tree is the tree of */
	int		   *starts;			/* of each place in it */
	FfsToken   *tokens;			/* where has_tokens */
	int			ntokens;
} Template;

/* ---- pasting ---- */

/* Take the template apart at its marks. */
static void
split(Template *t, const char *text)
{
	StringInfoData part;
	List	   *parts = NIL;
	ListCell   *lc;

	initStringInfo(&part);
	for (const char *p = text; *p != '\0'; p++)
	{
		if (p[0] == '%' && p[1] == 's')
		{
			parts = lappend(parts, part.data);
			initStringInfo(&part);
			p++;
			continue;
		}
		if (p[0] == '%' && p[1] == '%')
			p++;
		appendStringInfoChar(&part, *p);
	}
	parts = lappend(parts, part.data);

	t->nplaces = list_length(parts) - 1;
	t->parts = palloc(list_length(parts) * sizeof(char *));
	foreach(lc, parts)
		t->parts[foreach_current_index(lc)] = lfirst(lc);
	t->places = palloc0(Max(t->nplaces, 1) * sizeof(Place));
	t->starts = palloc0(Max(t->nplaces, 1) * sizeof(int));
}

/* The text with these values; where each begins, unless starts is NULL. */
static char *
paste(const Template *t, const char *const *values, int *starts)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i <= t->nplaces; i++)
	{
		appendStringInfoString(&text, t->parts[i]);
		if (i == t->nplaces)
			break;
		if (starts != NULL)
			starts[i] = text.len;
		appendStringInfoString(&text, values[i]);
	}
	return text.data;
}

/* The harmless values that fit; the second one at place `other`. */
static const char **
harmless_values(const Template *t, int other)
{
	const char **values = palloc(Max(t->nplaces, 1) * sizeof(char *));

	for (int i = 0; i < t->nplaces; i++)
		values[i] = harmless[t->places[i].kind][i == other ? 1 : 0];
	return values;
}

/* ---- constants of a tree ---- */

static bool
collect_constants(Node *node, void *context)
{
	List	  **constants = context;

	if (node == NULL)
		return false;
	if (IsA(node, A_Const))
	{
		*constants = lappend(*constants, node);
		return false;
	}
	return ffs_validate_walk(node, collect_constants, context);
}

static List *
constants_of(List *tree)
{
	List	   *constants = NIL;
	ListCell   *lc;

	foreach(lc, tree)
		(void) collect_constants(lfirst(lc), &constants);
	return constants;
}

/* Make the constants of the places alike in all trees. */
static void
forget_constants(const Template *t, List *constants)
{
	for (int i = 0; i < t->nplaces; i++)
	{
		int			n = -1;

		while ((n = bms_next_member(t->places[i].constants, n)) >= 0)
			((A_Const *) list_nth(constants, n))->isnull = true;
	}
}

/* Equal but for where the statements are in their texts? */
static bool
same_trees(List *a, List *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		if (!equal(lfirst_node(RawStmt, la)->stmt, lfirst_node(RawStmt, lb)->stmt))
			return false;
	}
	return true;
}

/* ---- tokens of a text ---- */

/* The token that the stretch from start to end is in, or NULL. */
static const FfsToken *
token_at(const FfsToken *tokens, int ntokens, int start, int end)
{
	int			low = 0;
	int			high = ntokens;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (tokens[middle].end < end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ntokens && tokens[low].start <= start ? &tokens[low] : NULL;
}

/* Where a byte of the template's text outside of its places is with other values in them. */
static int
moved(const Template *t, const int *starts, const char *const *values, int position)
{
	int			moved = position;

	for (int i = 0; i < t->nplaces; i++)
	{
		int			length = strlen(harmless[t->places[i].kind][0]);

		if (position < t->starts[i] + length)
			break;
		moved = position - (t->starts[i] + length) + starts[i] + strlen(values[i]);
	}
	return moved;
}

/*
 * Is each place that is no constant part of a token of the same kind and
 * extent as with a harmless value?  `quoted` becomes the values with names in
 * quotes.
 */
static bool
same_tokens(const Template *t, const char *text, const int *starts, const char *const *values, const char **quoted)
{
	int			ntokens;
	FfsToken   *tokens = ffs_validate_lex(text, &ntokens);

	if (tokens == NULL)
		return false;
	for (int i = 0; i < t->nplaces; i++)
	{
		const FfsToken *was;
		const FfsToken *is;
		int			start;
		int			end;

		quoted[i] = values[i];
		if (!t->places[i].is_token)
			continue;
		was = token_at(t->tokens, t->ntokens, t->starts[i], t->starts[i] + strlen(harmless[t->places[i].kind][0]));
		if (was == NULL)
			return false;
		if (was->start == t->starts[i] && was->end == was->start + (int) strlen(harmless[t->places[i].kind][0]))
		{
			/* blanks around the value are no part of the token, nor is a number's sign */
			start = starts[i];
			end = starts[i] + strlen(values[i]);
			while (end > start && isspace((unsigned char) text[end - 1]))
				end--;
			while (start < end && (isspace((unsigned char) text[start]) ||
								   (text[start] == '-' && was->kind == FFS_TOKEN_ICONST)))
				start++;
		}
		else
		{
			start = moved(t, starts, values, was->start);
			end = moved(t, starts, values, was->end);
		}
		is = token_at(tokens, ntokens, start, end);
		if (is == NULL)
			return false;
		if (is->start != start || is->end != end)
			return false;
		if (is->kind == was->kind && is->kind != FFS_TOKEN_IDENT)
			continue;
		if (was->kind == FFS_TOKEN_ICONST && is->kind == FFS_TOKEN_FCONST)
			continue;
		/* keywords that may be names are seen by how the text parses with the name in quotes */
		if (was->kind != FFS_TOKEN_IDENT || is->name == NULL)
			return false;
		if (text[is->start] != '"' && is->start >= starts[i] && is->end <= starts[i] + (int) strlen(values[i]))
			quoted[i] = psprintf("\"%s\"", is->name);
	}
	return true;
}

/* ---- the template ---- */

/* The place that an error at a character of the text is to be blamed on: the last one before it. */
static int
place_of_error(const Template *t, const char *text, const int *starts, int position)
{
	const char *p = text;
	int			place = 0;

	for (int i = 1; i < position && *p != '\0'; i++)
		p += pg_mblen(p);
	for (int i = 1; i < t->nplaces; i++)
	{
		if (starts[i] <= p - text)
			place = i;
	}
	return place;
}

/* Find harmless values that fit; each failure moves one place on to its next kind. */
static void
find_harmless(Template *t)
{
	FfsParseFailure failure;

	while (!ffs_validate_parse(t->text = paste(t, harmless_values(t, -1), t->starts), &t->tree, &failure))
	{
		Place	   *place = t->places + place_of_error(t, t->text, t->starts, failure.position);

		while (place >= t->places && place->kind == lengthof(harmless) - 1)
			place--;
		if (place < t->places)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("template is no query with harmless values in its places"),
					 errdetail("Neither a number, nor a string, nor a name makes it one: %s.", failure.message),
					 errhint("Mark the place of each value with %%s, in quotes where the application writes quotes.")));
		place->kind++;
		CHECK_FOR_INTERRUPTS();
	}
}

static void
prepare(Template *t, const char *text)
{
	List	   *constants;

	split(t, text);
	if (t->nplaces == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("template has no place for a value"),
				 errdetail("There is no %%s in it."),
				 errhint("Mark the place of each value with %%s; a percent sign is %%%%.")));
	find_harmless(t);
	constants = constants_of(t->tree);
	t->nconstants = list_length(constants);

	for (int i = 0; i < t->nplaces; i++)
	{
		Place	   *place = &t->places[i];
		List	   *other;
		List	   *others;

		place->is_token = true;
		t->has_tokens = true;
		if (!ffs_validate_parse(paste(t, harmless_values(t, i), NULL), &other, NULL))
			continue;
		others = constants_of(other);
		if (list_length(others) != t->nconstants)
			continue;
		for (int n = 0; n < t->nconstants; n++)
		{
			A_Const    *a = list_nth(constants, n);
			A_Const    *b = list_nth(others, n);

			if (equal(a, b))
				continue;
			place->constants = bms_add_member(place->constants, n);
			b->isnull = a->isnull;
			b->val = a->val;
		}
		place->is_token = !same_trees(t->tree, other);
	}
	t->has_tokens = false;
	for (int i = 0; i < t->nplaces; i++)
		t->has_tokens |= t->places[i].is_token;
	if (t->has_tokens)
		t->tokens = ffs_validate_lex(t->text, &t->ntokens);
	forget_constants(t, constants);
}

/* Does the query have the template's shape with these values? */
static bool
keeps_shape(const Template *t, const char *const *values)
{
	int		   *starts = palloc(t->nplaces * sizeof(int));
	char	   *text = paste(t, values, starts);
	List	   *tree;
	List	   *constants;

	if (!ffs_validate_parse(text, &tree, NULL))
		return false;
	if (t->has_tokens)
	{
		const char **quoted = palloc(t->nplaces * sizeof(char *));
		const char **tame = harmless_values(t, -1);
		List	   *other;

		if (t->tokens == NULL || !same_tokens(t, text, starts, values, quoted))
			return false;
		/* a keyword in a name's place has to be taken for a name */
		if (!ffs_validate_parse(paste(t, quoted, NULL), &other, NULL) || !same_trees(tree, other))
			return false;
		for (int i = 0; i < t->nplaces; i++)
		{
			if (!t->places[i].is_token)
				tame[i] = values[i];
		}
		if (!ffs_validate_parse(paste(t, tame, NULL), &tree, NULL))
			return false;
	}
	constants = constants_of(tree);
	if (list_length(constants) != t->nconstants)
		return false;
	forget_constants(t, constants);
	return same_trees(t->tree, tree);
}

/* The same; a text that the parser took, but that is too deeply nested to be compared, does not keep it. */
static bool
keeps_shape_or_fails(const Template *t, const char *const *values)
{
	volatile bool kept = false;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		kept = keeps_shape(t, values);
	}
	PG_CATCH();
	{
		int			sqlerrcode;

		MemoryContextSwitchTo(context);
		sqlerrcode = geterrcode();
		if (sqlerrcode != ERRCODE_STATEMENT_TOO_COMPLEX)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	return kept;
}

/*
 * ffs_validate_template(template text, VARIADIC values text[]) returns boolean
 */
Datum
ffs_validate_template(PG_FUNCTION_ARGS)
{
	Template	t = {0};
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			nvalues;
	const char **values;
	bool		each;
	bool		safe = true;
	MemoryContext old;
	MemoryContext scratch;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	prepare(&t, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	array = PG_ARGISNULL(1) ? construct_empty_array(TEXTOID) : PG_GETARG_ARRAYTYPE_P(1);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &nvalues);
	each = t.nplaces == 1;
	if (each ? nvalues == 0 : nvalues != t.nplaces)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of values is not the template's number of places"),
				 errdetail("Places: %d, values: %d. Each place takes one value; a template with one place takes any number from one on, each tried by itself.",
						   t.nplaces, nvalues),
				 errhint("Give as many values as there are %%s in the template; a percent sign is %%%%.")));

	values = palloc(nvalues * sizeof(char *));
	for (int i = 0; i < nvalues; i++)
		values[i] = nulls[i] ? "" : TextDatumGetCString(elements[i]);

	scratch = AllocSetContextCreate(CurrentMemoryContext, "ffs_validate_template", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	for (int i = 0; safe && i < (each ? nvalues : 1); i++)
	{
		safe = keeps_shape_or_fails(&t, values + i);
		MemoryContextReset(scratch);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	PG_RETURN_BOOL(safe);
}
