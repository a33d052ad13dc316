/*-------------------------------------------------------------------------
 *
 * transaction.c
 *		The transaction's one stamp, who writes and why, and the row in
 *		ffstorage.transactions that says so.
 *
 * All of it is backend-local and ends with the transaction.  The row is
 * written at the first write to a managed table in a transaction that has
 * something to say: an actor or metadata set for it or for the session, a
 * trace, or all tenants.  If the subtransaction that wrote the row aborts,
 * the next write writes it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/base.h"
#include "stats/stats.h"
#include "temporal/temporal.h"
#include "temporal/write.h"
#include "tenancy/tenancy.h"

/* Columns of ffstorage.transactions. */
enum
{
	TX_ID, TX_AT, TX_ACTOR, TX_METADATA, TX_TRACEPARENT, TX_SESSION_USER,
	TX_APPLICATION_NAME, TX_TENANTS, TX_ALL_TENANTS, TX_NCOLUMNS
};

static char *setting_actor = NULL;	/* ffstorage.actor */
static char *setting_traceparent = NULL;	/* ffstorage.traceparent */

static TimestampTz stamp = 0;	/* 0: no managed table written yet */
static char *own_actor = NULL;	/* by ffs_set_actor(), in TopTransactionContext */
static Jsonb *own_metadata = NULL;
static text *actor_text = NULL; /* what ffs_temporal_actor_datum() gave last */
static SubTransactionId noted_in = InvalidSubTransactionId; /* who wrote the row */

PG_FUNCTION_INFO_V1(ffs_set_actor);
PG_FUNCTION_INFO_V1(stamp_time);
PG_FUNCTION_INFO_V1(stamp_xid);
PG_FUNCTION_INFO_V1(stamp_actor);

/* ---- who, when ---- */

TimestampTz
ffs_temporal_now(void)
{
	if (stamp == 0)
		stamp = GetCurrentTimestamp();
	return stamp;
}

FullTransactionId
ffs_temporal_xid(void)
{
	return GetTopFullTransactionId();
}

const char *
ffs_temporal_actor(void)
{
	if (own_actor != NULL)
		return own_actor;
	if (setting_actor != NULL && setting_actor[0] != '\0')
		return setting_actor;
	return GetUserNameFromId(GetSessionUserId(), false);
}

/*
 * The name of the session user costs a catalog look-up, so it is kept too;
 * ALTER ROLE ... RENAME of oneself in mid-transaction is not followed.
 */
Datum
ffs_temporal_actor_datum(void)
{
	static Oid	kept_user = InvalidOid;
	const char *actor;

	if (own_actor == NULL && (setting_actor == NULL || setting_actor[0] == '\0'))
	{
		if (actor_text != NULL && kept_user == GetSessionUserId())
			return PointerGetDatum(actor_text);
		kept_user = GetSessionUserId();
		actor = GetUserNameFromId(kept_user, false);
	}
	else
	{
		actor = ffs_temporal_actor();
		kept_user = InvalidOid;
		if (actor_text != NULL &&
			VARSIZE_ANY_EXHDR(actor_text) == strlen(actor) &&
			memcmp(VARDATA_ANY(actor_text), actor, strlen(actor)) == 0)
			return PointerGetDatum(actor_text);
	}

	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		actor_text = cstring_to_text(actor);
		MemoryContextSwitchTo(old);
	}
	return PointerGetDatum(actor_text);
}

/* ---- the transaction's row ---- */

static void
form_row(Datum *values, bool *nulls)
{
	memset(nulls, 0, sizeof(bool) * TX_NCOLUMNS);
	values[TX_ID] = FullTransactionIdGetDatum(ffs_temporal_xid());
	values[TX_AT] = TimestampTzGetDatum(ffs_temporal_now());
	values[TX_ACTOR] = ffs_temporal_actor_datum();
	if (own_metadata != NULL)
		values[TX_METADATA] = JsonbPGetDatum(own_metadata);
	else
		nulls[TX_METADATA] = true;
	if (setting_traceparent != NULL && setting_traceparent[0] != '\0')
		values[TX_TRACEPARENT] = CStringGetTextDatum(setting_traceparent);
	else
		nulls[TX_TRACEPARENT] = true;
	values[TX_SESSION_USER] = DirectFunctionCall1(namein,
												  CStringGetDatum(GetUserNameFromId(GetSessionUserId(), false)));
	values[TX_APPLICATION_NAME] = CStringGetTextDatum(application_name ? application_name : "");
	nulls[TX_TENANTS] = !ffs_tenancy_list(&values[TX_TENANTS]);
	values[TX_ALL_TENANTS] = BoolGetDatum(ffs_tenancy_mode() == FFS_TENANT_ALL);
}

static void
write_row(void)
{
	Relation	rel = table_open(ffs_base_catalog_relid("transactions"), RowExclusiveLock);
	FfsWriter  *writer = ffs_base_writer_open(RelationGetRelid(rel), RelationGetDescr(rel), CurrentMemoryContext);
	Datum		values[TX_NCOLUMNS];
	bool		nulls[TX_NCOLUMNS];

	form_row(values, nulls);
	ffs_base_writer_put(writer, ffs_base_writer_form(writer, values, nulls));
	ffs_base_writer_finish(writer);
	table_close(rel, NoLock);
}

/* The actor or its words changed after the row was written: write them over. */
static void
rewrite_row(void)
{
	Relation	rel = table_open(ffs_base_catalog_relid("transactions"), RowExclusiveLock);
	Relation	index = index_open(get_relname_relid("transactions_pkey", RelationGetNamespace(rel)), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *newslot = table_slot_create(rel, NULL);
	Datum		key[2];

	CommandCounterIncrement();
	key[0] = FullTransactionIdGetDatum(ffs_temporal_xid());
	key[1] = TimestampTzGetDatum(ffs_temporal_now());
	if (!ffs_base_fetch_by_key(rel, index, 2, key, SnapshotSelf, false, slot))
		elog(ERROR, "the row of transaction " UINT64_FORMAT " is not there",
			 U64FromFullTransactionId(ffs_temporal_xid()));
	form_row(newslot->tts_values, newslot->tts_isnull);
	ExecStoreVirtualTuple(newslot);
	ffs_base_update_slot(rel, slot, newslot);
	CommandCounterIncrement();
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(newslot);
	index_close(index, AccessShareLock);
	table_close(rel, RowExclusiveLock);
}

void
ffs_temporal_note_write(void)
{
	if (noted_in != InvalidSubTransactionId)
		return;
	if (own_actor == NULL && own_metadata == NULL &&
		(setting_actor == NULL || setting_actor[0] == '\0') &&
		(setting_traceparent == NULL || setting_traceparent[0] == '\0') &&
		ffs_tenancy_mode() != FFS_TENANT_ALL)
		return;
	write_row();
	noted_in = GetCurrentSubTransactionId();
}

/* ---- callbacks ---- */

static void
xact_callback(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* what the pointers pointed to goes with TopTransactionContext */
			stamp = 0;
			own_actor = NULL;
			own_metadata = NULL;
			actor_text = NULL;
			noted_in = InvalidSubTransactionId;
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg pg_attribute_unused())
{
	if (noted_in != subid)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		noted_in = parent;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		noted_in = InvalidSubTransactionId;
}

/* ---- for the figures ---- */

static const char *
actor_that_was_set(void)
{
	return own_actor != NULL ? own_actor : setting_actor;
}

static const char *
traceparent(void)
{
	return setting_traceparent;
}

/* ---- opening ---- */

void
ffs_temporal_transaction_init(void)
{
	DefineCustomStringVariable("ffstorage.actor",
							   "Who writes, for history and audit, in this session.",
							   "ffs_set_actor() goes before it; empty means the session's user.",
							   &setting_actor, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("ffstorage.traceparent",
							   "The W3C trace context of what this session does.",
							   "It is kept in ffs_transactions.",
							   &setting_traceparent, "", PGC_USERSET, 0, NULL, NULL, NULL);
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	ffs_stats_register_caller(actor_that_was_set, traceparent);
}

/* ---- SQL ---- */

Datum
ffs_set_actor(PG_FUNCTION_ARGS)
{
	MemoryContext old;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("actor must not be null"),
				 errdetail("ffs_set_actor() was called with a null actor."),
				 errhint("Pass the name of the person or program that writes.")));
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("actor must not be empty"),
				 errdetail("ffs_set_actor() was called with an empty text."),
				 errhint("Pass the name of the person or program that writes.")));
	if (!PG_ARGISNULL(1) && !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metadata must be a JSON object"),
				 errdetail("ffs_set_actor() was called with another kind of JSON value."),
				 errhint("Pass an object such as {\"ticket\": \"OPS-7\"}.")));

	old = MemoryContextSwitchTo(TopTransactionContext);
	own_actor = text_to_cstring(PG_GETARG_TEXT_PP(0));
	own_metadata = PG_ARGISNULL(1) ? NULL : DatumGetJsonbPCopy(PG_GETARG_DATUM(1));
	actor_text = NULL;
	MemoryContextSwitchTo(old);

	if (noted_in != InvalidSubTransactionId)
		rewrite_row();
	PG_RETURN_VOID();
}

Datum
stamp_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ffs_temporal_now());
}

Datum
stamp_xid(PG_FUNCTION_ARGS)
{
	PG_RETURN_FULLTRANSACTIONID(ffs_temporal_xid());
}

Datum
stamp_actor(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(datumCopy(ffs_temporal_actor_datum(), false, -1));
}
