/*-------------------------------------------------------------------------
 *
 * errors.c
 *		The table of errors of base/errors.h as rows, for the view ffs_errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/errors.h"

typedef struct ErrorEntry
{
	const char *columns[4];		/* sqlstate, condition, meaning, remedy */
} ErrorEntry;

static const ErrorEntry error_entries[] = {
#define X(symbol, sqlstate, condition, meaning, remedy) {{sqlstate, condition, meaning, remedy}},
	FFS_ERROR_TABLE(X)
#undef X
};

PG_FUNCTION_INFO_V1(error_table);

/*
 * ffstorage.error_table(): one row for each error of class ZF.
 */
Datum
error_table(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (int) lengthof(error_entries); i++)
	{
		Datum		values[4];
		bool		nulls[4] = {0};

		for (int column = 0; column < 4; column++)
			values[column] = CStringGetTextDatum(error_entries[i].columns[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
