/*-------------------------------------------------------------------------
 *
 * verdict_hidden.c
 *		What the tree of a query does not show, and its result depends on even
 *		so: names that only this session knows; how values become text and
 *		JSON, and text values; the conditions of domains; arguments that are
 *		left out; casts of what functions give.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "cache/verdict_walk.h"

/* ---- names that only this session knows ---- */

Oid
ffs_cache_temporaries(void)
{
	Oid			namespace;
	Oid			toast;

	GetTempNamespaceState(&namespace, &toast);
	return namespace;
}

/*
 * Are there temporary objects of kinds that the walk does not look for, like
 * operators and text search configurations?
 */
bool
ffs_cache_has_odd_temporaries(Oid namespace)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(namespace));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			class = ((Form_pg_depend) GETSTRUCT(tuple))->classid;

		found = class != RelationRelationId && class != TypeRelationId && class != ProcedureRelationId;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/* ---- types ---- */

static bool
check_row(Walk *context, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && ffs_cache_check_type(context, att->atttypid))
			return true;
	}
	return false;
}

/* Arguments that are left out are put in by the planner. */
bool
ffs_cache_check_defaults(Walk *context, FuncExpr *call)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	Datum		defaults;
	bool		isnull = true;
	bool		result = false;

	if (!HeapTupleIsValid(tuple))
		return ffs_cache_refuse(context, "A function is gone.");
	if (list_length(call->args) < ((Form_pg_proc) GETSTRUCT(tuple))->pronargs)
		defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
	if (!isnull)
		result = ffs_cache_walk(stringToNode(TextDatumGetCString(defaults)), context);
	ReleaseSysCache(tuple);
	return result;
}

/* A function gives rows that have no type with a name. */
bool
ffs_cache_check_result(Walk *context, Node *call)
{
	TupleDesc	desc;

	switch (get_expr_result_type(call, NULL, &desc))
	{
		case TYPEFUNC_COMPOSITE:
		case TYPEFUNC_COMPOSITE_DOMAIN:
			return check_row(context, desc);
		default:
			return false;
	}
}

/* The same in FROM, where the query may say what the columns are. */
bool
ffs_cache_check_columns(Walk *context, RangeTblEntry *rte)
{
	ListCell   *lc;
	ListCell   *tc;

	foreach(lc, rte->functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, lc);

		foreach(tc, function->funccoltypes)
			if (ffs_cache_check_type(context, lfirst_oid(tc)))
				return true;
	}
	return false;
}

/* Names of these are written with their schema where others of the same name come first. */
static bool
is_name_of_ones_own(Oid type)
{
	return type == REGCLASSOID || type == REGTYPEOID || type == REGPROCEDUREOID || type == REGOPERATOROID;
}

/* The conditions of a domain are not in the tree; literals of rows and arrays of it have met them before. */
static bool
check_domain(Walk *context, Oid type)
{
	/* it stays with the context */
	DomainConstraintRef *ref = palloc(sizeof(DomainConstraintRef));
	ListCell   *lc;

	InitDomainConstraintRef(type, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
		if (ffs_cache_walk((Node *) ((DomainConstraintState *) lfirst(lc))->check_expr, context))
			return true;
	return false;
}

/* What a type is made of, and how it becomes text and JSON. */
static bool
check_parts(Walk *context, Oid type, Form_pg_type form)
{
	Oid			element = get_element_type(type);
	Oid			cast;
	TupleDesc	desc;
	bool		result;

	if (OidIsValid(element))
		return ffs_cache_check_type(context, element);
	switch (form->typtype)
	{
		case TYPTYPE_PSEUDO:
			return false;
		case TYPTYPE_DOMAIN:
			return check_domain(context, type) || ffs_cache_check_type(context, form->typbasetype);
		case TYPTYPE_COMPOSITE:
			desc = lookup_rowtype_tupdesc(type, -1);
			result = check_row(context, desc);
			ReleaseTupleDesc(desc);
			return result;
		case TYPTYPE_RANGE:
			result = ffs_cache_check_type(context, get_range_subtype(type));
			break;
		case TYPTYPE_MULTIRANGE:
			result = ffs_cache_check_type(context, get_multirange_range(type));
			break;
		default:
			result = false;
			break;
	}
	if (result || type < FirstNormalObjectId)
		return result;
	if (find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &cast) == COERCION_PATH_FUNC &&
		OidIsValid(cast) && ffs_cache_check_function(context, cast, NULL))
		return true;
	return ffs_cache_check_function(context, form->typoutput, NULL);
}

/*
 * Refuse values of a type that others do not know, or whose text, or JSON,
 * depends on more than the value.  Any value may become text: in the end each
 * is in a row that becomes jsonb.
 */
bool
ffs_cache_check_type(Walk *context, Oid type)
{
	HeapTuple	tuple;
	Form_pg_type form;
	bool		result;

	if (list_member_oid(context->verdict->types, type))
		return false;
	context->verdict->types = lappend_oid(context->verdict->types, type);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return ffs_cache_refuse(context, "A type is gone.");
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (OidIsValid(context->temporaries) && (form->typnamespace == context->temporaries || is_name_of_ones_own(type)))
	{
		context->verdict->hint = "This session has temporary objects, which others do not know.";
		result = ffs_cache_refuse(context, "It has a value of type %s.", format_type_be(type));
	}
	else
		result = check_parts(context, type, form);
	ReleaseSysCache(tuple);
	return result;
}

/* Texts become values of this type while the query runs. */
bool
ffs_cache_check_input(Walk *context, Oid type)
{
	Oid			input;
	Oid			ioparam;

	getTypeInputInfo(type, &input, &ioparam);
	return ffs_cache_check_function(context, input, NULL);
}

bool
ffs_cache_check_inputs(Walk *context, TableFunc *function)
{
	ListCell   *lc;

	foreach(lc, function->coltypes)
		if (ffs_cache_check_type(context, lfirst_oid(lc)) || ffs_cache_check_input(context, lfirst_oid(lc)))
			return true;
	return false;
}

/* Does an expression of this kind give a value?  Those that give no type that is new are left out. */
bool
ffs_cache_has_type(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_Aggref:
		case T_WindowFunc:
		case T_SubscriptingRef:
		case T_FuncExpr:
		case T_OpExpr:
		case T_FieldSelect:
		case T_FieldStore:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_CoerceToDomain:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_CaseTestExpr:
			return true;
		default:
			return false;
	}
}

/* ---- casts that are not in the tree ---- */

static bool
check_cast(Walk *context, Oid from, Oid to)
{
	Oid			function = InvalidOid;

	if (IsBinaryCoercible(from, to))
		return false;
	if (ffs_cache_check_type(context, to))
		return true;
	switch (find_coercion_pathway(to, from, COERCION_ASSIGNMENT, &function))
	{
		case COERCION_PATH_FUNC:
			return OidIsValid(function) && ffs_cache_check_function(context, function, NULL);
		case COERCION_PATH_COERCEVIAIO:
			return ffs_cache_check_type(context, from) || ffs_cache_check_input(context, to);
		case COERCION_PATH_ARRAYCOERCE:
			return ffs_cache_refuse(context, "A function makes %s of %s.", format_type_be(to), format_type_be(from));
		default:
			return false;
	}
}

/* What the last query of a function gives is cast to what the function gives. */
bool
ffs_cache_check_return(Walk *context, Oid funcid, Node *call, Query *query)
{
	Oid			type;
	TupleDesc	desc = NULL;
	TypeFuncClass class;
	int			column = 0;
	ListCell   *lc;

	if (query == NULL)
		return false;
	class = call != NULL && IsA(call, FuncExpr) ? get_expr_result_type(call, &type, &desc) :
		get_func_result_type(funcid, &type, &desc);
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Oid			from = exprType((Node *) entry->expr);

		if (entry->resjunk || from == type)
			continue;
		if (class == TYPEFUNC_SCALAR)
		{
			if (type != VOIDOID && check_cast(context, from, type))
				return true;
			continue;
		}
		while (desc != NULL && column < desc->natts && TupleDescAttr(desc, column)->attisdropped)
			column++;
		if (desc == NULL && from >= FirstNormalObjectId)
			return ffs_cache_refuse(context, "Function %s gives rows of no named type.", format_procedure(funcid));
		if (desc == NULL || column == desc->natts)
			continue;
		if (check_cast(context, from, TupleDescAttr(desc, column++)->atttypid))
			return true;
	}
	return false;
}
