/*-------------------------------------------------------------------------
 *
 * amiss.c
 *		Is everything that ffs_manage made still there?  For ffs_tables, and
 *		for the health checks triggers_and_policies and history_in_step.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "registry/internal.h"
#include "stats/stats.h"

PG_FUNCTION_INFO_V1(amiss);

static void
say(StringInfo buf, const char *fmt,...) pg_attribute_printf(2, 3);

static void
say(StringInfo buf, const char *fmt,...)
{
	if (buf->len > 0)
		appendStringInfoChar(buf, ' ');
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(buf, needed);
	}
}

static void
want_trigger(StringInfo buf, Oid relid, const char *name)
{
	if (!OidIsValid(ffs_registry_trigger(relid, name)))
		say(buf, "Trigger \"%s\" on %s is missing or disabled.", name, ffs_base_relation_name(relid));
}

static void
want_policy(StringInfo buf, Oid relid, const char *name)
{
	if (!ffs_registry_has_policy(relid, name))
		say(buf, "Policy \"%s\" on %s is missing.", name, ffs_base_relation_name(relid));
}

static void
want_row_security(StringInfo buf, Oid relid, bool force)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		return;
	if (!rel->rd_rel->relrowsecurity)
		say(buf, "Row-level security is off on %s.", ffs_base_relation_name(relid));
	else if (force && !rel->rd_rel->relforcerowsecurity)
		say(buf, "Row-level security does not bind the owner on %s.", ffs_base_relation_name(relid));
	relation_close(rel, AccessShareLock);
}

static bool
is_there(Oid relid)
{
	return OidIsValid(relid) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

static void
triggers_and_policies_amiss(StringInfo buf, FfsManaged *m)
{
	Oid			sides[3] = {m->history, m->audit, m->deleted};
	bool		base_secured;
	Relation	root;
	ListCell   *lc;

	want_trigger(buf, m->relid, m->row_trigger);
	want_trigger(buf, m->relid, "ffstorage_inserted");
	foreach(lc, ffs_registry_members(m->relid))
	{
		Oid			relid = lfirst_oid(lc);

		want_trigger(buf, relid, "ffstorage_begin");
		want_trigger(buf, relid, "ffstorage_end");
		want_trigger(buf, relid, "ffstorage_truncate");
		if (!ffs_registry_fires_on_replica(relid, REPLICA_TRIGGER))
			say(buf, "Trigger \"%s\" on %s is missing or does not fire on replicas.", REPLICA_TRIGGER,
				ffs_base_relation_name(relid));
		if (relid != m->relid)
		{
			want_trigger(buf, relid, m->row_trigger);
			want_trigger(buf, relid, "ffstorage_inserted");
		}
		if (m->tenant_column != NULL)
		{
			want_row_security(buf, relid, true);
			want_policy(buf, relid, "ffstorage_tenant");
			if (!ffs_registry_has_user_policy(relid, true))
				want_policy(buf, relid, "ffstorage_open");
		}
	}

	root = table_open(m->relid, AccessShareLock);
	base_secured = root->rd_rel->relrowsecurity;
	table_close(root, NoLock);
	for (int i = 0; i < 3; i++)
	{
		if (!is_there(sides[i]))
			continue;
		want_trigger(buf, sides[i], "ffstorage_read_only");
		if (m->tenant_column != NULL || base_secured)
		{
			want_row_security(buf, sides[i], m->tenant_column != NULL);
			want_policy(buf, sides[i], "ffstorage_may_read");
		}
		if (m->tenant_column != NULL)
			want_policy(buf, sides[i], "ffstorage_tenant");
	}
}

static void
step_amiss(StringInfo buf, FfsManaged *m)
{
	ListCell   *lc;

	foreach(lc, ffs_registry_members(m->relid))
	{
		FfsTable   *table = ffs_registry_find(lfirst_oid(lc));

		if (table != NULL && table->out_of_step != NULL)
		{
			say(buf, "%s", table->out_of_step);
			break;				/* the same for each partition */
		}
	}
	if (m->strategy == FFS_STRATEGY_SCD2 && !is_there(m->versions))
		say(buf, "The view over its versions is missing.");
	if (m->soft_delete && !is_there(m->with_deleted))
		say(buf, "The view over its deleted rows is missing.");
}

typedef void (*AmissPart) (StringInfo buf, FfsManaged *m);

/* What `parts` find amiss; NULL if nothing, if not managed, or if someone is changing the table. */
static char *
amiss_by(Oid relid, AmissPart *parts, int nparts)
{
	StringInfoData buf;
	FfsManaged *m = ffs_registry_load(relid);

	if (m == NULL)
		return NULL;
	if (!is_there(relid))
		return pstrdup("The table is gone.");
	/* a report must not queue behind DDL */
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	initStringInfo(&buf);
	if (is_there(relid))
	{
		for (int i = 0; i < nparts; i++)
			parts[i] (&buf, m);
	}
	UnlockRelationOid(relid, AccessShareLock);
	return buf.len > 0 ? buf.data : NULL;
}

char *
ffs_registry_amiss(Oid relid)
{
	AmissPart	parts[] = {triggers_and_policies_amiss, step_amiss};

	return amiss_by(relid, parts, lengthof(parts));
}

/* amiss(managed regclass) returns text */
Datum
amiss(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *text;

	/* what is amiss names objects: for those who may know them */
	if (is_there(relid) && !ffs_compat_owns_relation(relid, GetUserId()) &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		PG_RETURN_NULL();
	text = ffs_registry_amiss(relid);
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* ---- health ---- */

static void
check_all(FfsHealthSink *sink, AmissPart part, FfsHealthStatus worst, const char *good, const char *bad)
{
	StringInfoData details;
	int			tables = 0;
	int			found = 0;
	ListCell   *lc;

	initStringInfo(&details);
	foreach(lc, ffs_registry_all())
	{
		char	   *text = amiss_by(lfirst_oid(lc), &part, 1);

		CHECK_FOR_INTERRUPTS();
		tables++;
		if (text == NULL)
			continue;
		found++;
		say(&details, "%s: %s", is_there(lfirst_oid(lc)) ? ffs_base_relation_name(lfirst_oid(lc)) :
			psprintf("%u", lfirst_oid(lc)), text);
	}
	if (found == 0)
		ffs_stats_report(sink, FFS_HEALTHY, psprintf("%s on %d managed tables", good, tables), NULL, NULL);
	else
		ffs_stats_report(sink, worst, psprintf("%s on %d of %d managed tables", bad, found, tables), details.data,
						 "Call ffs_manage() again with the table's strategy, as its owner: it puts back what is missing.");
}

static void
check_triggers_and_policies(FfsHealthSink *sink)
{
	check_all(sink, triggers_and_policies_amiss, FFS_UNHEALTHY,
			  "triggers and policies in place", "triggers or policies missing");
}

static void
check_history_in_step(FfsHealthSink *sink)
{
	check_all(sink, step_amiss, FFS_UNHEALTHY,
			  "history in step", "history out of step");
}

void
ffs_registry_amiss_init(void)
{
	ffs_stats_register_check("triggers_and_policies", check_triggers_and_policies);
	ffs_stats_register_check("history_in_step", check_history_in_step);
}
