/*-------------------------------------------------------------------------
 *
 * verdict.c
 *		Whether the result of a query may be kept, and what it is made of.
 *
 * The query is parsed, analyzed and rewritten, which puts views and policies in
 * their places, and the tree is walked.  It must read managed tables only, by
 * functions that give the same as long as the tables, the settings of the key
 * (cached.c), the role and the tenants are the same: immutable ones; those of
 * PostgreSQL that are stable because of these settings alone (the list
 * below); those of ours that tell the tenant; those that a superuser lists.
 * The bodies of stable functions in SQL are walked too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/functions.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_type.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/base.h"
#include "cache/tables.h"
#include "cache/verdict_walk.h"
#include "registry/registry.h"
#include "tenancy/tenancy.h"

/* Bodies of functions within bodies. */
#define MAX_DEPTH 20
/* A result for more tenants than this looks at all writers of a table. */
#define MAX_TENANTS 16

/*
 * Functions of pg_catalog that are stable, and not immutable, because of time
 * zone, styles, locales and text search settings only, or because they were
 * given values of any type (output functions are as stable).  Sorted.  Input
 * functions of dates are not here: 'now' is a date; nor is what turns jsonb
 * into rows, which uses them.
 */
static const char *const steady_functions[] = {
	"anyarray_out", "anycompatiblearray_out", "anycompatiblemultirange_out",
	"anycompatiblerange_out", "anyenum_out", "anymultirange_out",
	"anyrange_out", "anytextcat", "array_out", "array_to_json",
	"array_to_string", "cash_out", "concat", "concat_ws", "convert",
	"convert_from", "convert_to", "date", "date_cmp_timestamptz",
	"date_eq_timestamptz", "date_ge_timestamptz", "date_gt_timestamptz",
	"date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz",
	"date_out", "date_part", "date_trunc", "enum_first", "enum_in",
	"enum_last", "enum_out", "enum_range", "extract", "format",
	"generate_series", "in_range", "interval_in", "interval_out", "interval_pl_timestamptz",
	"json_agg", "json_agg_transfn", "json_build_array", "json_build_object",
	"json_object_agg", "json_object_agg_transfn", "json_to_tsvector",
	"jsonb_agg", "jsonb_agg_finalfn", "jsonb_agg_transfn",
	"jsonb_build_array", "jsonb_build_object", "jsonb_object_agg",
	"jsonb_object_agg_finalfn", "jsonb_object_agg_transfn",
	"jsonb_path_exists_tz", "jsonb_path_match_tz",
	"jsonb_path_query_array_tz", "jsonb_path_query_first_tz",
	"jsonb_path_query_tz", "jsonb_to_tsvector", "length", "make_timestamptz",
	"money", "multirange_out", "numeric", "overlaps", "phraseto_tsquery",
	"plainto_tsquery", "quote_literal", "quote_nullable", "range_out",
	"record_out", "row_to_json", "textanycat", "time", "timestamp",
	"timestamp_cmp_timestamptz", "timestamp_eq_timestamptz",
	"timestamp_ge_timestamptz", "timestamp_gt_timestamptz",
	"timestamp_le_timestamptz", "timestamp_lt_timestamptz",
	"timestamp_ne_timestamptz", "timestamp_out", "timestamptz",
	"timestamptz_cmp_date", "timestamptz_cmp_timestamp",
	"timestamptz_eq_date", "timestamptz_eq_timestamp", "timestamptz_ge_date",
	"timestamptz_ge_timestamp", "timestamptz_gt_date",
	"timestamptz_gt_timestamp", "timestamptz_le_date",
	"timestamptz_le_timestamp", "timestamptz_lt_date",
	"timestamptz_lt_timestamp", "timestamptz_mi_interval",
	"timestamptz_ne_date", "timestamptz_ne_timestamp", "timestamptz_out",
	"timestamptz_pl_interval", "to_char", "to_date", "to_json", "to_jsonb",
	"to_number", "to_timestamp", "to_tsquery", "to_tsvector", "ts_headline",
	"ts_match_tq", "ts_match_tt", "websearch_to_tsquery", "xml", "xml_in",
	"xml_is_well_formed"
};

/* Of ours. */
static const char *const tenant_functions[] = {
	"all_tenants", "any_row", "ffs_tenant", "ffs_tenants", "tenant_int2", "tenant_int4",
	"tenant_int8", "tenant_text", "tenant_uuid", "tenants_int2", "tenants_int4",
	"tenants_int8", "tenants_text", "tenants_uuid"
};


bool
ffs_cache_refuse(Walk *context, const char *fmt,...)
{
	StringInfoData buf;

	if (context->verdict->reason != NULL)
		return true;
	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	context->verdict->reason = buf.data;
	return true;
}

/* ---- strings that mean a moment ---- */

static bool
names_moment(const char *string)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < (int) lengthof(words); i++)
	{
		Size		length = strlen(words[i]);

		for (const char *at = string; *at != '\0'; at++)
			if (pg_strncasecmp(at, words[i], length) == 0)
				return true;
	}
	return false;
}

static bool
find_moments(Node *node, Walk *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Const))
	{
		A_Const    *constant = (A_Const *) node;

		if (!constant->isnull && IsA(&constant->val, String) && names_moment(strVal(&constant->val)))
			context->moments = lappend_int(context->moments, constant->location);
		return false;
	}
	return raw_expression_tree_walker(node, find_moments, context);
}

/* May a value of this type have been made of such a string? */
static bool
has_moments(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	if (OidIsValid(element))
		return has_moments(element);
	switch (TypeCategory(base))
	{
		case TYPCATEGORY_DATETIME:
		case TYPCATEGORY_RANGE:
		case TYPCATEGORY_COMPOSITE:
			return true;
		default:
			return false;
	}
}

/* ---- functions ---- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool
is_among(const char *name, const char *const *names, int n)
{
	return bsearch(&name, names, n, sizeof(char *), compare_names) != NULL;
}

static bool
is_listed(Form_pg_proc proc)
{
	char	   *list = pstrdup(ffs_cache_functions != NULL ? ffs_cache_functions : "");
	char	   *save = NULL;
	char	   *schema = get_namespace_name(proc->pronamespace);

	for (char *piece = strtok_r(list, ",", &save); piece != NULL; piece = strtok_r(NULL, ",", &save))
	{
		List	   *names = ffs_compat_name_list(piece);

		if (list_length(names) == 2 && schema != NULL && strcmp(strVal(linitial(names)), schema) == 0 &&
			strcmp(strVal(lsecond(names)), NameStr(proc->proname)) == 0)
			return true;
	}
	return false;
}

static bool
is_of_ours(Oid funcid, Form_pg_proc proc)
{
	return is_among(NameStr(proc->proname), tenant_functions, lengthof(tenant_functions)) &&
		getExtensionOfObject(ProcedureRelationId, funcid) == ffs_base_extension_oid();
}

/* Walk the body of a function in SQL. */
static bool
walk_body(Walk *context, Oid funcid, HeapTuple tuple, Node *call)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	Walk		inner = *context;
	Query	   *last = NULL;
	List	   *queries;
	ListCell   *lc;
	Datum		datum;
	bool		isnull;

	if (list_member_oid(context->functions, funcid))
		return false;
	if (context->depth >= MAX_DEPTH)
		return ffs_cache_refuse(context, "Function %s is nested too deeply.", format_procedure(funcid));
	for (int i = 0; i < proc->pronargs; i++)
		if (IsPolymorphicType(proc->proargtypes.values[i]) && !OidIsValid(get_call_expr_argtype(call, i)))
			return ffs_cache_refuse(context, "Of function %s it is not known what types it is called with.", format_procedure(funcid));
	inner.functions = lappend_oid(list_copy(context->functions), funcid);
	inner.depth++;
	inner.moments = NIL;

	datum = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);
	if (!isnull)
	{
		Node	   *body = stringToNode(TextDatumGetCString(datum));

		queries = IsA(body, List) ? linitial_node(List, castNode(List, body)) : list_make1(body);
		foreach(lc, queries)
		{
			ListCell   *rc;
			Query	   *query = lfirst_node(Query, lc);

			AcquireRewriteLocks(query, true, false);
			foreach(rc, pg_rewrite_query(query))
			{
				last = lfirst_node(Query, rc);
				if (ffs_cache_walk((Node *) last, &inner))
					return true;
			}
		}
	}
	else
	{
		char	   *source;
		SQLFunctionParseInfoPtr info = prepare_sql_fn_parse_info(tuple, call, InvalidOid);

		datum = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		source = isnull ? pstrdup("") : TextDatumGetCString(datum);
		foreach(lc, pg_parse_query(source))
		{
			RawStmt    *raw = lfirst_node(RawStmt, lc);
			ListCell   *rc;

			if (IsA(raw->stmt, SelectStmt))
				find_moments(raw->stmt, &inner);
			foreach(rc, pg_analyze_and_rewrite_withcb(raw, source, (ParserSetupHook) sql_fn_parser_setup, info, NULL))
			{
				last = lfirst_node(Query, rc);
				if (ffs_cache_walk((Node *) last, &inner))
					return true;
			}
		}
	}
	/* tables and relations were added to what both share */
	return ffs_cache_check_return(&inner, funcid, call, last);
}

/* Refuse a function that may give something else for the same input. */
bool
ffs_cache_check_function(Walk *context, Oid funcid, Node *call)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		return ffs_cache_refuse(context, "A function is gone.");
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (OidIsValid(context->temporaries) && proc->pronamespace == context->temporaries)
		result = ffs_cache_refuse(context, "Function %s is temporary.", NameStr(proc->proname));
	else if (proc->prokind == PROKIND_AGGREGATE && funcid >= FirstNormalObjectId)
	{
		HeapTuple	agg = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(funcid));
		Form_pg_aggregate form;

		if (!HeapTupleIsValid(agg))
			elog(ERROR, "cache lookup failed for aggregate %u", funcid);
		form = (Form_pg_aggregate) GETSTRUCT(agg);
		{
			Oid			parts[] = {form->aggtransfn, form->aggfinalfn, form->aggcombinefn, form->aggserialfn,
			form->aggdeserialfn, form->aggmtransfn, form->aggminvtransfn, form->aggmfinalfn};

			for (int i = 0; i < (int) lengthof(parts) && !result; i++)
				result = OidIsValid(parts[i]) && ffs_cache_check_function(context, parts[i], NULL);
		}
		ReleaseSysCache(agg);
	}
	else if (proc->provolatile != PROVOLATILE_IMMUTABLE && !is_listed(proc) && !is_of_ours(funcid, proc) &&
			 !(proc->provolatile == PROVOLATILE_STABLE && proc->pronamespace == PG_CATALOG_NAMESPACE &&
			   proc->prolang != SQLlanguageId && is_among(NameStr(proc->proname), steady_functions, lengthof(steady_functions))))
	{
		/* what runs as somebody else, or with other settings, would have to be looked at so */
		if (proc->provolatile == PROVOLATILE_STABLE && proc->prolang == SQLlanguageId && !proc->prosecdef &&
			heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
			result = walk_body(context, funcid, tuple, call);
		else
		{
			context->verdict->hint = "Pass what it gives as a parameter; or, if it only depends on its arguments and on managed tables that the query reads anyway, have a superuser add it to ffstorage.cache_functions.";
			result = ffs_cache_refuse(context, "Function %s is neither immutable nor listed.", format_procedure(funcid));
		}
	}
	ReleaseSysCache(tuple);
	return result;
}

typedef struct FunctionCheck
{
	Walk	   *context;
	Node	   *call;
} FunctionCheck;

static bool
function_checker(Oid funcid, void *arg)
{
	FunctionCheck *check = arg;

	return ffs_cache_check_function(check->context, funcid, check->call);
}

/* ---- relations ---- */

static void
add_table(Walk *context, Oid rootid, bool by_tenant)
{
	ListCell   *lc;
	ReadTable  *table;

	foreach(lc, context->verdict->tables)
	{
		table = lfirst(lc);
		if (table->rootid == rootid)
		{
			table->by_tenant = table->by_tenant && by_tenant;
			return;
		}
	}
	table = palloc(sizeof(ReadTable));
	table->rootid = rootid;
	table->by_tenant = by_tenant;
	context->verdict->tables = lappend(context->verdict->tables, table);
}

/* A table or view is named, one that is there for everybody. */
static bool
note_relation(Walk *context, Oid relid)
{
	context->verdict->relations = list_append_unique_oid(context->verdict->relations, relid);
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return ffs_cache_refuse(context, "%s is temporary.", get_rel_name(relid));
	return false;
}

static bool
walk_relation(Walk *context, RangeTblEntry *rte)
{
	FfsTable   *table;
	FfsTable   *root;
	Relation	rel;
	Oid			user = ffs_compat_check_as_user(context->query, rte);
	bool		bound;

	if (note_relation(context, rte->relid))
		return true;
	/* what a view is made of has entries of its own */
	if (rte->relkind == RELKIND_VIEW)
		return false;
	if (rte->tablesample != NULL)
		return ffs_cache_refuse(context, "It takes a sample of %s.", ffs_base_relation_name(rte->relid));
	table = ffs_registry_find(rte->relid);
	root = table == NULL || table->relid == table->rootid ? table : ffs_registry_find(table->rootid);
	if (root == NULL)
	{
		context->verdict->hint = "Only writes to managed tables are told to the cache: see ffs_manage().";
		return ffs_cache_refuse(context, "%s is not a managed table.", ffs_base_relation_name(rte->relid));
	}
	if (!OidIsValid(user))
		user = GetUserId();
	rel = table_open(rte->relid, AccessShareLock);
	bound = table->tenant != 0 && check_enable_rls(rte->relid, user, true) == RLS_ENABLED &&
		ffs_cache_is_bound_to_tenants(rel, table);
	table_close(rel, NoLock);
	add_table(context, root->relid, bound && ffs_cache_known_table(root)->tenant_hashable);
	return false;
}

static bool
walk_query(Walk *context, Query *query)
{
	Query	   *outer = context->query;
	ListCell   *lc;
	bool		result = false;

	if (query->commandType != CMD_SELECT || query->hasModifyingCTE || query->rowMarks != NIL)
		return ffs_cache_refuse(context, "It does more than read.");
	context->query = query;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION)
			result = walk_relation(context, rte);
		else if (rte->rtekind == RTE_SUBQUERY && OidIsValid(rte->relid))
			/* 16 and later keep the view there */
			result = note_relation(context, rte->relid);
		else if (rte->rtekind == RTE_NAMEDTUPLESTORE)
			result = ffs_cache_refuse(context, "It reads a transition table.");
		else if (rte->rtekind == RTE_FUNCTION)
			result = ffs_cache_check_columns(context, rte);
		if (result)
			break;
	}
	result = result || query_tree_walker(query, ffs_cache_walk, context, 0);
	context->query = outer;
	return result;
}

/* ---- the tree ---- */

bool
ffs_cache_walk(Node *node, Walk *context)
{
	FunctionCheck check = {context, node};

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			return walk_query(context, (Query *) node);
		case T_SQLValueFunction:
			switch (((SQLValueFunction *) node)->op)
			{
				case SVFOP_CURRENT_ROLE:
				case SVFOP_CURRENT_USER:
				case SVFOP_USER:
					/* of a body that runs as its owner, too: the key has the role */
				case SVFOP_CURRENT_CATALOG:
					break;
				case SVFOP_CURRENT_SCHEMA:
					if (OidIsValid(context->temporaries))
						return ffs_cache_refuse(context, "It asks for a schema that may be this session's own.");
					break;
				default:
					context->verdict->hint = "Pass the moment, or what else it is, as a parameter.";
					return ffs_cache_refuse(context, "It asks for the time, or for who has logged in.");
			}
			break;
		case T_Param:
			/* its columns' types are numbered in the session */
			if (((Param *) node)->paramtype == RECORDOID || ((Param *) node)->paramtype == RECORDARRAYOID)
			{
				context->verdict->hint = "Give the row a type that has a name.";
				return ffs_cache_refuse(context, "A parameter is a row of no named type.");
			}
			break;
		case T_FuncExpr:
			if (ffs_cache_check_defaults(context, (FuncExpr *) node) ||
				(((FuncExpr *) node)->funcresulttype == RECORDOID && ffs_cache_check_result(context, node)))
				return true;
			break;
		case T_TableFunc:
			if (ffs_cache_check_inputs(context, (TableFunc *) node))
				return true;
			break;
#if PG_VERSION_NUM >= 170000
		case T_JsonExpr:
			if (ffs_cache_check_type(context, exprType(node)) || ffs_cache_check_input(context, exprType(node)))
				return true;
			break;
#endif
		case T_NextValueExpr:
			return ffs_cache_refuse(context, "It takes numbers from a sequence.");
		case T_CurrentOfExpr:
			return ffs_cache_refuse(context, "It looks at a cursor.");
		case T_Var:
			if (((Var *) node)->varattno < 0 && ((Var *) node)->varattno != TableOidAttributeNumber)
				return ffs_cache_refuse(context, "It reads a system column.");
			break;
		case T_Const:
			if (list_member_int(context->moments, ((Const *) node)->location) && has_moments(((Const *) node)->consttype))
			{
				context->verdict->hint = "Pass the moment as a parameter.";
				return ffs_cache_refuse(context, "A literal means the present time.");
			}
			break;
		default:
			break;
	}
	if (check_functions_in_node(node, function_checker, &check) ||
		(ffs_cache_has_type(node) && ffs_cache_check_type(context, exprType(node))))
		return true;
	return expression_tree_walker(node, ffs_cache_walk, context);
}

static void
not_read_only(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("ffs_cached takes one query that only reads"),
			 errdetail("%s", detail),
			 errhint("Give it one SELECT, VALUES or TABLE, without FOR UPDATE or FOR SHARE.")));
}

/* Is a query, or one in it, of a kind that a read-only transaction refuses? */
static bool
find_writing(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		return query->commandType != CMD_SELECT || query->rowMarks != NIL ||
			query_tree_walker(query, find_writing, context, 0);
	}
	return expression_tree_walker(node, find_writing, context);
}

/* What is kept of it, which is little of what looking at it takes. */
static Verdict *
copy_verdict(const Verdict *verdict)
{
	Verdict    *copy = palloc0(sizeof(Verdict));
	ListCell   *lc;

	copy->reason = verdict->reason != NULL ? pstrdup(verdict->reason) : NULL;
	copy->hint = verdict->hint;
	foreach(lc, verdict->tables)
	{
		ReadTable  *table = palloc(sizeof(ReadTable));

		*table = *(ReadTable *) lfirst(lc);
		copy->tables = lappend(copy->tables, table);
	}
	copy->relations = list_copy(verdict->relations);
	copy->nparams = verdict->nparams;
	copy->param_types = palloc(sizeof(Oid) * Max(verdict->nparams, 1));
	memcpy(copy->param_types, verdict->param_types, sizeof(Oid) * verdict->nparams);
	return copy;
}

static Verdict *
examine(const char *query, int nparams, const Oid *param_types)
{
	Verdict    *verdict = palloc0(sizeof(Verdict));
	List	   *statements = pg_parse_query(query);
	Walk		context = {.verdict = verdict,.temporaries = ffs_cache_temporaries()};
	RawStmt    *raw;
	Query	   *analyzed;
	List	   *rewritten;

	if (list_length(statements) != 1)
		not_read_only(statements == NIL ? "There is no statement." : "There are several statements.");
	raw = linitial_node(RawStmt, statements);
	verdict->nparams = nparams;
	verdict->param_types = palloc(sizeof(Oid) * Max(nparams, 1));
	memcpy(verdict->param_types, param_types, sizeof(Oid) * nparams);
	/* analysis puts its own nodes into the raw tree */
	if (IsA(raw->stmt, SelectStmt))
		find_moments(raw->stmt, &context);
	analyzed = parse_analyze_varparams(raw, query, &verdict->param_types, &verdict->nparams, NULL);
	if (verdict->nparams > nparams)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", verdict->nparams),
				 errdetail_plural("ffs_cached was given %d parameter.", "ffs_cached was given %d parameters.", nparams, nparams),
				 errhint("Give a value for each parameter of the query, after the time to live.")));
	if (find_writing((Node *) analyzed, NULL))
		not_read_only("The statement changes, locks or does something else.");
	rewritten = pg_rewrite_query(analyzed);
	if (list_length(rewritten) != 1)
		not_read_only("Rules make several statements of it.");
	if (OidIsValid(context.temporaries) && ffs_cache_has_odd_temporaries(context.temporaries))
		ffs_cache_refuse(&context, "This session has temporary objects other than relations, types and functions.");
	else
		ffs_cache_walk(linitial(rewritten), &context);
	if (verdict->reason == NULL && verdict->tables == NIL)
	{
		verdict->reason = "It reads no table.";
		verdict->hint = "Without a table there is nothing to save.";
	}
	return verdict;
}

Verdict *
ffs_cache_examine(const char *query, int nparams, const Oid *param_types)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext work = AllocSetContextCreate(old, "ffstorage verdict", ALLOCSET_DEFAULT_SIZES);
	Verdict    *verdict;

	MemoryContextSwitchTo(work);
	verdict = examine(query, nparams, param_types);
	MemoryContextSwitchTo(old);
	verdict = copy_verdict(verdict);
	MemoryContextDelete(work);
	return verdict;
}

/* ---- what the store needs to know ---- */

static bool
add_need(ResultNeeds *needs, Oid relid, uint32 part, uint64 position)
{
	if (needs->n == MAX_NEEDS)
		return false;
	needs->needs[needs->n].relid = relid;
	needs->needs[needs->n].part = part;
	needs->needs[needs->n].position = position;
	needs->n++;
	return true;
}

const char *
ffs_cache_collect_needs(const Verdict *verdict, ResultNeeds *needs)
{
	ListCell   *lc;

	needs->n = 0;
	needs->nrelations = 0;
	if (list_length(verdict->relations) > MAX_NEEDS)
		return "It reads too many relations.";
	foreach(lc, verdict->relations)
		needs->relations[needs->nrelations++] = lfirst_oid(lc);
	foreach(lc, verdict->tables)
	{
		ReadTable  *read = lfirst(lc);
		FfsTable   *table = ffs_registry_find(read->rootid);
		CachedTable *known;
		const Datum *tenants;
		int			ntenants = 0;
		bool		fits;

		if (table == NULL)
			return "A table is managed no longer.";
		known = ffs_cache_known_table(table);
		if (!ffs_cache_is_cacheable(known, table, STORE_RESULTS))
			return psprintf("Not every write to %s is told to the cache: it is being altered, or triggers of ours on it are off (ffs_tables says which).",
							ffs_base_relation_name(table->relid));
		fits = add_need(needs, table->relid, 0, known->generation) &&
			add_need(needs, InvalidOid, ffs_cache_part_unsaid(table->relid), 0);
		if (read->by_tenant && ffs_tenancy_mode() != FFS_TENANT_ALL)
			ntenants = ffs_tenancy_values(table->tenant_type, &tenants);
		if (!read->by_tenant || ffs_tenancy_mode() == FFS_TENANT_ALL || ntenants > MAX_TENANTS)
			fits = fits && add_need(needs, InvalidOid, ffs_cache_part_any(table->relid), 0);
		else
			for (int i = 0; i < ntenants; i++)
				fits = fits && add_need(needs, InvalidOid,
										ffs_cache_part_tenant(table->relid, ffs_cache_hash_tenant(table->tenant_type, tenants[i])), 0);
		if (!fits)
			return "It reads too many tables.";
	}
	return NULL;
}
