/*-------------------------------------------------------------------------
 *
 * validate.c
 *		What SQL may ask of query texts and names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/base.h"
#include "resilience/validate.h"

PG_FUNCTION_INFO_V1(ffs_validate_query);
PG_FUNCTION_INFO_V1(ffs_is_safe_query);
PG_FUNCTION_INFO_V1(ffs_validate_identifier);

/* ffs_validate_query(query text, with_analysis boolean) returns void */
Datum
ffs_validate_query(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	FfsFinding	finding;

	if (!ffs_validate_examine(query, &finding, NULL))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_UNSAFE_QUERY),
				 errmsg("query has the marks of an injection: %s", finding.check),
				 finding.position > 0
				 ? errdetail("%s It is at character %d.", finding.what, finding.position)
				 : errdetail("%s", finding.what),
				 errhint("Pass values as parameters; where the application means it so, see the check in the documentation of ffs_validate_query."),
				 internalerrquery(query),
				 internalerrposition(finding.position)));
	if (PG_GETARG_BOOL(1))
		(void) ffs_validate_analyze(query);
	PG_RETURN_VOID();
}

/* ffs_is_safe_query(query text) returns boolean */
Datum
ffs_is_safe_query(PG_FUNCTION_ARGS)
{
	FfsFinding	finding;

	PG_RETURN_BOOL(ffs_validate_examine(text_to_cstring(PG_GETARG_TEXT_PP(0)), &finding, NULL));
}

/* ffs_validate_identifier(name text) returns text */
Datum
ffs_validate_identifier(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	size_t		length = strlen(name);

	if (length == 0)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_UNSAFE_IDENTIFIER),
				 errmsg("name is empty"),
				 errdetail("SQL knows no empty names."),
				 errhint("Give the name of a table, a column, or another object.")));
	if (length >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_UNSAFE_IDENTIFIER),
				 errmsg("name is too long"),
				 errdetail("It has %zu bytes, and a name has at most %d; it would be cut and might mean another object.",
						   length, NAMEDATALEN - 1),
				 errhint("Use a shorter name.")));
	PG_RETURN_TEXT_P(cstring_to_text(quote_identifier(name)));
}

void
ffs_validate_init(void)
{
	ffs_validate_hook_init();
	ffs_validate_list_init();
}
