/*-------------------------------------------------------------------------
 *
 * order.c
 *		Orders like 'value DESC NULLS LAST, id' as sort keys in SQL.
 *
 * The text is read here, by a grammar that knows columns and the five words;
 * what goes into the query is written anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "batch/filter.h"

static void
fail_order(const char *order, const char *at, const char *what) pg_attribute_noreturn();

static void
fail_order(const char *order, const char *at, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 *at ? errmsg("order_by cannot be read from \"%s\" on", ffs_batch_shown(at, strlen(at))) :
			 errmsg("order_by ends too early"),
			 errdetail("%s is expected at character %d.", what, (int) pg_mbstrlen_with_len(order, at - order) + 1),
			 errhint("Write columns, each with ASC or DESC and NULLS FIRST or NULLS LAST if wanted, separated by commas; quote names as in SQL.")));
}

static void
skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r' || **at == '\f' || **at == '\v')
		(*at)++;
}

static bool
begins_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || IS_HIGHBIT_SET(c);
}

static bool
goes_on_name(char c)
{
	return begins_name(c) || (c >= '0' && c <= '9') || c == '$';
}

/* The next token if it is this word. */
static bool
take_word(const char **at, const char *word)
{
	size_t		length = strlen(word);

	skip_blanks(at);
	if (pg_strncasecmp(*at, word, length) != 0 || goes_on_name((*at)[length]))
		return false;
	*at += length;
	return true;
}

/* A name as SQL reads it; NULL where there is none. */
static char *
take_name(const char **at)
{
	const char *start;

	skip_blanks(at);
	start = *at;
	if (begins_name(*start))
	{
		while (goes_on_name(**at))
			(*at)++;
		return downcase_truncate_identifier(start, *at - start, false);
	}
	if (*start == '"')
	{
		StringInfoData buf;

		initStringInfo(&buf);
		for (const char *p = start + 1; *p; p++)
		{
			if (*p == '"' && *++p != '"')
			{
				*at = p;
				truncate_identifier(buf.data, buf.len, false);
				return buf.len > 0 ? buf.data : NULL;
			}
			appendStringInfoChar(&buf, *p);
		}
	}
	return NULL;
}

void
ffs_batch_append_order(StringInfo query, RowReader *reader, const char *order)
{
	const char *at = order;

	for (int n = 0;; n++)
	{
		const char *start;
		char	   *name;
		RowColumn  *column;

		skip_blanks(&at);
		start = at;
		name = take_name(&at);
		if (name == NULL)
			fail_order(order, start, "A column");
		column = ffs_batch_find_column(reader, name, strlen(name));
		if (column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
							RelationGetRelationName(reader->rel)),
					 errdetail("order_by names it."),
					 errhint("Name columns of the table; names with capitals are quoted as in SQL.")));
		if (!OidIsValid(lookup_type_cache(column->type, TYPECACHE_LT_OPR)->lt_opr))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("rows cannot be ordered by column \"%s\"", column->name),
					 errdetail("The column is of type %s, which has no order.", format_type_be(column->type)),
					 errhint("Order by other columns.")));
		appendStringInfo(query, "%sffs_row.%s", n > 0 ? ", " : "", quote_identifier(column->name));

		if (take_word(&at, "desc"))
			appendStringInfoString(query, " DESC");
		else
			(void) take_word(&at, "asc");
		if (take_word(&at, "nulls"))
		{
			if (take_word(&at, "first"))
				appendStringInfoString(query, " NULLS FIRST");
			else if (take_word(&at, "last"))
				appendStringInfoString(query, " NULLS LAST");
			else
				fail_order(order, at, "FIRST or LAST");
		}
		skip_blanks(&at);
		if (*at == '\0')
			return;
		if (*at != ',')
			fail_order(order, at, "A comma");
		at++;
	}
}
