/*-------------------------------------------------------------------------
 *
 * copy.c
 *		COPY FROM at its own speed.
 *
 * A BEFORE ROW trigger costs COPY its multi-insert.  Ours has nothing to do
 * for a COPY that leaves the stamp columns to their defaults, as long as these
 * are the ones that we made: they give the same stamps.  What the trigger
 * would have checked besides is made good elsewhere: tenants are not, so such
 * a COPY goes the ordinary way while a tenant is set; ends of lives are looked
 * for after the statement, for every row instead of for those that raced.
 *
 * So the relation's trigger descriptor is shown to COPY without BEFORE ROW
 * INSERT triggers.  COPY copies it before it fires the BEFORE STATEMENT
 * trigger, which puts the flag back: other statements that run meanwhile, in
 * triggers or defaults, find it as ever.  A rebuilt relation cache entry has
 * the flag set too; then COPY goes the ordinary way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base.h"
#include "registry/registry.h"
#include "temporal/write.h"
#include "tenancy/tenancy.h"

static ProcessUtility_hook_type prev_process_utility = NULL;

/* The COPY that runs without our row trigger, from its start to its end. */
static struct
{
	Relation	rel;			/* NULL: none, or its flag is back already */
	Oid			relid;
	Oid			rootid;			/* InvalidOid: none */
}			copying;

/* ---- is a COPY of that kind? ---- */

static bool
is_our_default(Relation rel, FfsTable *table, FfsStamp stamp)
{
	static const char *const functions[FFS_NSTAMPS] = {
		[FFS_CREATED_AT] = "stamp_time",[FFS_CREATED_BY] = "stamp_actor",
		[FFS_UPDATED_AT] = "stamp_time",[FFS_UPDATED_BY] = "stamp_actor",
		[FFS_VALID_FROM] = "stamp_time",[FFS_TRANSACTION_ID] = "stamp_xid"
	};
	Node	   *expr = build_column_default(rel, table->stamp[stamp]);
	FuncExpr   *call;

	if (expr == NULL)
		return false;
	if (stamp == FFS_VERSION)
		return IsA(expr, Const) && !((Const *) expr)->constisnull &&
			((Const *) expr)->consttype == INT4OID && DatumGetInt32(((Const *) expr)->constvalue) == 1;
	if (!IsA(expr, FuncExpr))
		return false;
	call = (FuncExpr *) expr;
	return call->args == NIL &&
		get_func_namespace(call->funcid) == get_namespace_oid(FFS_SCHEMA, true) &&
		strcmp(get_func_name(call->funcid), functions[stamp]) == 0;
}

/*
 * Is ours the only BEFORE ROW INSERT trigger, and do it and the BEFORE
 * STATEMENT trigger, which puts the flag back, fire?
 */
static bool
only_our_trigger(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;
	Oid			schema = get_namespace_oid(FFS_SCHEMA, true);
	bool		found = false;
	bool		found_begin = false;

	if (triggers == NULL || !triggers->trig_insert_before_row ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		bool		fires = trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
		bool		ours = get_func_namespace(trigger->tgfoid) == schema;
		char	   *name = get_func_name(trigger->tgfoid);

		if (!TRIGGER_FOR_BEFORE(trigger->tgtype) || !TRIGGER_FOR_INSERT(trigger->tgtype) || name == NULL)
			continue;
		if (trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			continue;			/* not here */
		if (!TRIGGER_FOR_ROW(trigger->tgtype))
		{
			if (ours && fires && strcmp(name, "statement_begin") == 0)
				found_begin = true;
			continue;
		}
		if (found || !fires || !ours || strcmp(name, "row_change") != 0)
			return false;
		found = true;
	}
	return found && found_begin;
}

static bool
may_skip_row_trigger(CopyStmt *stmt, Relation rel, FfsTable *table)
{
	ListCell   *lc;

	/* a WHERE clause may call functions before the flag is put back */
	if (stmt->attlist == NIL || stmt->whereClause != NULL ||
		rel->rd_rel->relkind != RELKIND_RELATION || table->out_of_step != NULL ||
		(table->tenant != 0 && ffs_tenancy_mode() == FFS_TENANT_LIST) ||
		!only_our_trigger(rel))
		return false;
	for (int s = 0; s < FFS_NSTAMPS; s++)
	{
		if (table->stamp[s] == 0)
			continue;
		foreach(lc, stmt->attlist)
		{
			if (strcmp(strVal(lfirst(lc)),
					   NameStr(TupleDescAttr(RelationGetDescr(rel), table->stamp[s] - 1)->attname)) == 0)
				return false;
		}
		if (!is_our_default(rel, table, s))
			return false;
	}
	return true;
}

/* ---- while it runs ---- */

/* Put the flag back; from here on COPY goes by its own copy of the descriptor. */
static void
unmask(void)
{
	if (copying.rel != NULL && copying.rel->trigdesc != NULL)
		copying.rel->trigdesc->trig_insert_before_row = true;
	copying.rel = NULL;
}

bool
ffs_temporal_copy_begins(Oid relid)
{
	if (copying.rel == NULL || copying.relid != relid)
		return false;
	unmask();
	return true;
}

Oid
ffs_temporal_copying(void)
{
	return copying.rootid;
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type volatile next = prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	CopyStmt   *stmt = (CopyStmt *) pstmt->utilityStmt;
	Relation	rel = NULL;
	bool		skip = false;

	if (IsA(stmt, CopyStmt) && stmt->is_from && stmt->relation != NULL && copying.rootid == InvalidOid)
	{
		/* the lock that COPY takes itself */
		Oid			relid = RangeVarGetRelid(stmt->relation, RowExclusiveLock, true);
		FfsTable   *table = OidIsValid(relid) ? ffs_registry_find(relid) : NULL;

		if (table != NULL)
		{
			rel = table_open(relid, NoLock);
			skip = may_skip_row_trigger(stmt, rel, table);
		}
		if (skip)
		{
			copying.rel = rel;
			copying.relid = relid;
			copying.rootid = table->rootid;
			rel->trigdesc->trig_insert_before_row = false;
		}
	}

	if (!skip)
	{
		if (rel != NULL)
			table_close(rel, NoLock);
		next(pstmt, query_string, read_only_tree, context, params, query_env, dest, qc);
		return;
	}

	PG_TRY();
	{
		next(pstmt, query_string, read_only_tree, context, params, query_env, dest, qc);
	}
	PG_FINALLY();
	{
		unmask();
		copying.rootid = InvalidOid;
	}
	PG_END_TRY();
	table_close(rel, NoLock);
}

void
ffs_temporal_copy_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
