/*-------------------------------------------------------------------------
 *
 * errors.c
 *		Which errors are a row's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/errors.h"
#include "batch/errors.h"

bool
ffs_batch_is_row_error(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_INVALID_TRANSACTION_TERMINATION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_CONFIG_FILE_ERROR:
		case ERRCODE_FDW_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return false;
	}
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_ASSERT_FAILURE:
		case FFS_ERRCODE_TENANT_NOT_SET:
		case FFS_ERRCODE_AS_OF_READ_ONLY:
		case FFS_ERRCODE_HISTORY_OUT_OF_STEP:
		case FFS_ERRCODE_QUERY_TIMEOUT:
			return false;
	}
	return true;
}

ErrorData *
ffs_batch_copy_error(const ErrorData *error)
{
	ErrorData  *copy = palloc(sizeof(ErrorData));

#define COPY_TEXT(field) \
	if (error->field) copy->field = pstrdup(error->field)

	memcpy(copy, error, sizeof(ErrorData));
	COPY_TEXT(message);
	COPY_TEXT(detail);
	COPY_TEXT(detail_log);
	COPY_TEXT(hint);
	COPY_TEXT(context);
	COPY_TEXT(backtrace);
	COPY_TEXT(schema_name);
	COPY_TEXT(table_name);
	COPY_TEXT(column_name);
	COPY_TEXT(datatype_name);
	COPY_TEXT(constraint_name);
	COPY_TEXT(internalquery);
	copy->assoc_context = CurrentMemoryContext;
	return copy;
#undef COPY_TEXT
}
