/*-------------------------------------------------------------------------
 *
 * call.c
 *		What a call of many rows begins and ends with: arguments, the table,
 *		what belongs to the call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "batch/batch.h"
#include "batch/engine.h"

/* ---- arguments ---- */

int
ffs_batch_keyword_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *const *words)
{
	char	   *given = NULL;
	StringInfoData list;

	if (!PG_ARGISNULL(n))
	{
		given = text_to_cstring(PG_GETARG_TEXT_PP(n));
		for (int i = 0; words[i]; i++)
			if (strcmp(given, words[i]) == 0)
				return i;
	}
	initStringInfo(&list);
	for (int i = 0; words[i]; i++)
		appendStringInfo(&list, "%s'%s'", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errdetail("It says how the batch is to be written."),
				 errhint("Give %s.", list.data)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s cannot be \"%s\"", name, given),
			 errdetail("It is none of the words that %s takes.", name),
			 errhint("Give %s.", list.data)));
	return 0;
}

bool
ffs_batch_on_error_argument(FunctionCallInfo fcinfo, int n)
{
	static const char *const words[] = {"abort", "report", NULL};

	return ffs_batch_keyword_argument(fcinfo, n, "on_error", words) == 1;
}

int
ffs_batch_size_argument(FunctionCallInfo fcinfo, int n)
{
	int			batch_size = PG_ARGISNULL(n) ? 0 : PG_GETARG_INT32(n);

	if (batch_size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1"),
				 errdetail("It says how many rows are written at a time."),
				 errhint("A thousand is a good size.")));
	return batch_size;
}

Jsonb *
ffs_batch_array_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	Jsonb	   *array;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errdetail("There is nothing to be done."),
				 errhint("Give a jsonb array of objects, one for each row.")));
	array = PG_GETARG_JSONB_P(n);
	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_IS_SCALAR(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a jsonb array", name),
				 errdetail("What was given is %s.",
						   JB_ROOT_IS_SCALAR(array) ? "a single value" : "an object"),
				 errhint("Put the rows into an array, even if there is only one.")));
	return array;
}

Jsonb *
ffs_batch_array_element(Jsonb *array, int number)
{
	return JsonbValueToJsonb(getIthJsonbValueFromContainer(&array->root, number - 1));
}

JsonbContainer *
ffs_batch_array_object(Jsonb *array, int number)
{
	JsonbValue *element = getIthJsonbValueFromContainer(&array->root, number - 1);

	if (element == NULL || element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a row must be a jsonb object"),
				 errdetail("The element of the array is of another type."),
				 errhint("Give an object with a member for each column.")));
	return element->val.binary.data;
}

/* ---- what is true of a table ---- */

bool
ffs_batch_errors_come_late(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			schema = get_namespace_oid(FFS_SCHEMA, false);

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return true;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_AFTER(trigger->tgtype) && !TRIGGER_FOR_TRUNCATE(trigger->tgtype) &&
			get_func_namespace(trigger->tgfoid) != schema)
			return true;
	}
	return false;
}

bool
ffs_batch_refers_to_itself(Relation rel, const FfsTable *table)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		if (key->confrelid == table->relid || key->confrelid == table->rootid)
			return true;
	}
	return false;
}

bool
ffs_batch_may_return_key(const FfsTable *table)
{
	if (table->nkeys == 0)
		return false;
	if (pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < table->nkeys; i++)
		if (pg_attribute_aclcheck(table->relid, table->key[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	return true;
}

/* ---- a call ---- */

void
ffs_batch_open_call(BatchCall *call)
{
	FfsTable   *table = call->table;

	call->rel = table_open(table->relid, RowExclusiveLock);
	call->reader = ffs_batch_open_reader(call->rel, table);
	call->guarded = call->report || ffs_batch_errors_come_late(call->rel);
	call->leaning = ffs_batch_refers_to_itself(call->rel, table);
	call->batch_context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage batch",
												ALLOCSET_DEFAULT_SIZES);
	call->feed.reader = call->reader;
	call->feed.context = call->batch_context;
	call->feed.desc = CreateTupleDescCopy(RelationGetDescr(call->rel));
	call->feed.command = CMD_INSERT;
	call->feed.returning = ffs_batch_may_return_key(table);
	if (table->nkeys > 0)
		call->feed.key_writer = ffs_batch_open_key_writer(table, call->feed.desc);
	call->actions[FEED_PENDING] = "rejected";
	call->actions[FEED_PASSED_OVER] = "skipped";
	call->actions[FEED_INSERTED] = "inserted";
	call->actions[FEED_UPDATED] = "updated";
}

void
ffs_batch_order_by_index(BatchCall *call, Oid index)
{
	if (call->norders >= (int) lengthof(call->orders))
		elog(ERROR, "too many orders for one call");
	call->orders[call->norders++] = ffs_batch_open_order(index);
}

void
ffs_batch_close_call(BatchCall *call)
{
	if (call->reader->estate)
		FreeExecutorState(call->reader->estate);
	MemoryContextDelete(call->batch_context);
	table_close(call->rel, NoLock);
}
