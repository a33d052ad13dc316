/*-------------------------------------------------------------------------
 *
 * managed.c
 *		The rows of ffstorage.managed, read and written, and the rights under
 *		which ffstorage changes a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "registry/internal.h"

bool		ffs_registry_in_ddl = false;

/* ---- strategies ---- */

static const char *const strategy_names[] = {"none", "copy_on_change", "scd2"};

const char *
ffs_registry_strategy_name(FfsStrategy strategy)
{
	return strategy_names[strategy];
}

bool
ffs_registry_parse_strategy(const char *name, FfsStrategy *strategy)
{
	for (int i = 0; i < (int) lengthof(strategy_names); i++)
	{
		if (strcmp(name, strategy_names[i]) == 0)
		{
			*strategy = (FfsStrategy) i;
			return true;
		}
	}
	return false;
}

/* Does this table have this column of ours? */
bool
ffs_registry_uses_stamp(FfsManaged *m, FfsStamp stamp)
{
	return stamp < FFS_VERSION ? m->stamps : m->strategy == FFS_STRATEGY_SCD2;
}

FfsFoundColumn *
ffs_registry_found_column(FfsManaged *m, const char *name)
{
	ListCell   *lc;

	foreach(lc, m->found_columns)
	{
		FfsFoundColumn *found = lfirst(lc);

		if (strcmp(found->name, name) == 0)
			return found;
	}
	return NULL;
}

/* ---- rights ---- */

Oid
ffs_registry_owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
ffs_registry_begin_ddl(FfsDdl *ddl, Oid relid)
{
	Oid			owner = ffs_registry_owner_of(relid);
	Oid			caller = GetUserId();

	ffs_base_begin_as(&ddl->rights, owner);

	/*
	 * What the owner's objects run (defaults, expressions) must not outlive
	 * the owner's rights: no deferred trigger may be queued under another's.
	 */
	if (owner != caller)
		SetUserIdAndSecContext(owner, ddl->rights.sec_context |
							   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	set_locally("default_table_access_method", "heap");
	set_locally("row_security", "on");
	ddl->outer_in_ddl = ffs_registry_in_ddl;
	ffs_registry_in_ddl = true;
}

void
ffs_registry_end_ddl(FfsDdl *ddl, bool failed)
{
	ffs_registry_in_ddl = ddl->outer_in_ddl;
	/* after an error the abort of the (sub)transaction does the rest */
	if (!failed)
		ffs_base_end_as(&ddl->rights);
}

/* ---- reading ---- */

static char *
json_string(JsonbContainer *object, const char *key)
{
	JsonbValue	want;
	JsonbValue *value;

	want.type = jbvString;
	want.val.string.val = (char *) key;
	want.val.string.len = strlen(key);
	value = findJsonbValueFromContainer(object, JB_FOBJECT, &want);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static bool
json_bool(JsonbContainer *object, const char *key)
{
	JsonbValue	want;
	JsonbValue *value;

	want.type = jbvString;
	want.val.string.val = (char *) key;
	want.val.string.len = strlen(key);
	value = findJsonbValueFromContainer(object, JB_FOBJECT, &want);
	return value != NULL && value->type == jbvBool && value->val.boolean;
}

/* The objects in the array under `key`, of JsonbContainer *. */
static List *
json_objects(JsonbContainer *object, const char *key)
{
	JsonbValue	want;
	JsonbValue *value;
	List	   *result = NIL;

	want.type = jbvString;
	want.val.string.val = (char *) key;
	want.val.string.len = strlen(key);
	value = findJsonbValueFromContainer(object, JB_FOBJECT, &want);
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NIL;
	for (uint32 i = 0; i < JsonContainerSize(value->val.binary.data); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (element != NULL && element->type == jbvBinary)
			result = lappend(result, element->val.binary.data);
	}
	return result;
}

static void
read_found(FfsManaged *m, Jsonb *found)
{
	ListCell   *lc;

	m->row_security = json_bool(&found->root, "row_security");
	m->force_row_security = json_bool(&found->root, "force_row_security");
	foreach(lc, json_objects(&found->root, "columns"))
	{
		JsonbContainer *object = lfirst(lc);
		FfsFoundColumn *column = palloc0(sizeof(FfsFoundColumn));

		column->name = json_string(object, "name");
		column->added = json_bool(object, "added");
		column->not_null = json_bool(object, "not_null");
		column->default_expr = json_string(object, "default");
		if (column->name != NULL)
			m->found_columns = lappend(m->found_columns, column);
	}
	foreach(lc, json_objects(&found->root, "partitions"))
	{
		JsonbContainer *object = lfirst(lc);
		FfsFoundPartition *partition = palloc0(sizeof(FfsFoundPartition));

		partition->name = json_string(object, "name");
		partition->row_security = json_bool(object, "row_security");
		partition->force_row_security = json_bool(object, "force_row_security");
		if (partition->name != NULL)
			m->found_partitions = lappend(m->found_partitions, partition);
	}
}

static Datum
column_value(HeapTuple tuple, TupleDesc desc, const char *name, bool *isnull)
{
	int			attnum = SPI_fnumber(desc, name);

	if (attnum <= 0)
		elog(ERROR, "ffstorage.managed has no column \"%s\"", name);
	return heap_getattr(tuple, attnum, desc, isnull);
}

static Oid
column_oid(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool		isnull;
	Datum		value = column_value(tuple, desc, name, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static char *
column_name(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool		isnull;
	Datum		value = column_value(tuple, desc, name, &isnull);

	return isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

static FfsManaged *
read_row(HeapTuple tuple, TupleDesc desc)
{
	FfsManaged *m = palloc0(sizeof(FfsManaged));
	Jsonb	   *columns;
	Datum	   *names;
	int			nnames;
	bool		isnull;
	char	   *strategy;

	m->relid = column_oid(tuple, desc, "relation");
	strategy = TextDatumGetCString(column_value(tuple, desc, "strategy", &isnull));
	if (!ffs_registry_parse_strategy(strategy, &m->strategy))
		elog(ERROR, "unknown strategy \"%s\" in ffstorage.managed", strategy);
	m->tenant_column = column_name(tuple, desc, "tenant_column");
	m->soft_delete = DatumGetBool(column_value(tuple, desc, "soft_delete", &isnull));
	m->stamps = DatumGetBool(column_value(tuple, desc, "stamps", &isnull));
	deconstruct_array(DatumGetArrayTypeP(column_value(tuple, desc, "exclude", &isnull)),
					  NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, NULL, &nnames);
	for (int i = 0; i < nnames; i++)
		m->exclude = lappend(m->exclude, pstrdup(NameStr(*DatumGetName(names[i]))));
	columns = DatumGetJsonbP(column_value(tuple, desc, "columns", &isnull));
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		m->columns[i] = json_string(&columns->root, ffs_registry_stamp_names[i]);
		if (m->columns[i] == NULL)
			m->columns[i] = pstrdup(ffs_registry_stamp_names[i]);
	}
	m->history = column_oid(tuple, desc, "history");
	m->audit = column_oid(tuple, desc, "audit");
	m->deleted = column_oid(tuple, desc, "deleted");
	m->versions = column_oid(tuple, desc, "versions");
	m->with_deleted = column_oid(tuple, desc, "with_deleted");
	m->as_of_function = column_name(tuple, desc, "as_of_function");
	m->between_function = column_name(tuple, desc, "between_function");
	m->row_trigger = column_name(tuple, desc, "row_trigger");
	read_found(m, DatumGetJsonbP(column_value(tuple, desc, "found", &isnull)));
	m->managed_at = DatumGetTimestampTz(column_value(tuple, desc, "managed_at", &isnull));
	return m;
}

/* Rows of the catalog, as FfsManaged *: the one of relid, or all where it is InvalidOid. */
static List *
read_catalog(Oid relid)
{
	Oid			schema = get_namespace_oid(FFS_SCHEMA, true);
	Oid			catalog;
	Oid			index;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	List	   *result = NIL;

	if (!OidIsValid(schema) ||
		!OidIsValid(catalog = get_relname_relid("managed", schema)) ||
		!OidIsValid(index = get_relname_relid("managed_pkey", schema)))
		return NIL;
	rel = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, index, OidIsValid(relid), NULL, OidIsValid(relid) ? 1 : 0, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend(result, read_row(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* What is known of a managed root, or NULL. */
FfsManaged *
ffs_registry_load(Oid relid)
{
	List	   *rows = read_catalog(relid);

	return rows == NIL ? NULL : linitial(rows);
}

List *
ffs_registry_all(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, read_catalog(InvalidOid))
		result = lappend_oid(result, ((FfsManaged *) lfirst(lc))->relid);
	return result;
}

/* ---- writing ---- */

static void
append_json_member(StringInfo buf, const char *key, const char *value)
{
	escape_json(buf, key);
	appendStringInfoString(buf, ": ");
	if (value == NULL)
		appendStringInfoString(buf, "null");
	else
		escape_json(buf, value);
}

static char *
found_as_json(FfsManaged *m)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"row_security\": %s, \"force_row_security\": %s, \"columns\": [",
					 m->row_security ? "true" : "false",
					 m->force_row_security ? "true" : "false");
	foreach(lc, m->found_columns)
	{
		FfsFoundColumn *column = lfirst(lc);

		appendStringInfoString(&buf, foreach_current_index(lc) ? ", {" : "{");
		append_json_member(&buf, "name", column->name);
		appendStringInfo(&buf, ", \"added\": %s, \"not_null\": %s, ",
						 column->added ? "true" : "false", column->not_null ? "true" : "false");
		append_json_member(&buf, "default", column->default_expr);
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, "], \"partitions\": [");
	foreach(lc, m->found_partitions)
	{
		FfsFoundPartition *partition = lfirst(lc);

		appendStringInfoString(&buf, foreach_current_index(lc) ? ", {" : "{");
		append_json_member(&buf, "name", partition->name);
		appendStringInfo(&buf, ", \"row_security\": %s, \"force_row_security\": %s}",
						 partition->row_security ? "true" : "false",
						 partition->force_row_security ? "true" : "false");
	}
	appendStringInfoString(&buf, "]}");
	return buf.data;
}

/* Our names to the columns' where they differ, as ffs_manage() takes them. */
char *
ffs_registry_columns_json(FfsManaged *m)
{
	StringInfoData buf;
	bool		first = true;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < FFS_NSTAMPS; i++)
	{
		if (strcmp(m->columns[i], ffs_registry_stamp_names[i]) == 0)
			continue;
		if (!first)
			appendStringInfoString(&buf, ", ");
		first = false;
		append_json_member(&buf, ffs_registry_stamp_names[i], m->columns[i]);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static Datum
name_datum(const char *name)
{
	Name		result = palloc0(NAMEDATALEN);

	namestrcpy(result, name ? name : "");
	return NameGetDatum(result);
}

/* Write the row, as the catalog's owner, and tell every backend. */
void
ffs_registry_store(FfsManaged *m)
{
	Oid			types[17] = {REGCLASSOID, TEXTOID, NAMEOID, BOOLOID, NAMEARRAYOID, BOOLOID,
		TEXTOID, REGCLASSOID, REGCLASSOID, REGCLASSOID, REGCLASSOID, REGCLASSOID,
	NAMEOID, NAMEOID, NAMEOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[17];
	char		nulls[18];
	Datum	   *names = palloc(sizeof(Datum) * Max(1, list_length(m->exclude)));
	FfsRights	rights;
	ListCell   *lc;
	int			rc;

	memset(nulls, ' ', 17);
	nulls[17] = '\0';
	foreach(lc, m->exclude)
		names[foreach_current_index(lc)] = name_datum(lfirst(lc));

	values[0] = ObjectIdGetDatum(m->relid);
	values[1] = CStringGetTextDatum(ffs_registry_strategy_name(m->strategy));
	values[2] = name_datum(m->tenant_column);
	nulls[2] = m->tenant_column ? ' ' : 'n';
	values[3] = BoolGetDatum(m->soft_delete);
	values[4] = PointerGetDatum(construct_array(names, list_length(m->exclude), NAMEOID,
												NAMEDATALEN, false, TYPALIGN_CHAR));
	values[5] = BoolGetDatum(m->stamps);
	values[6] = CStringGetTextDatum(ffs_registry_columns_json(m));
	values[7] = ObjectIdGetDatum(m->history);
	values[8] = ObjectIdGetDatum(m->audit);
	values[9] = ObjectIdGetDatum(m->deleted);
	values[10] = ObjectIdGetDatum(m->versions);
	values[11] = ObjectIdGetDatum(m->with_deleted);
	for (int i = 7; i <= 11; i++)
		nulls[i] = OidIsValid(DatumGetObjectId(values[i])) ? ' ' : 'n';
	values[12] = name_datum(m->as_of_function);
	nulls[12] = m->as_of_function ? ' ' : 'n';
	values[13] = name_datum(m->between_function);
	nulls[13] = m->between_function ? ' ' : 'n';
	values[14] = name_datum(m->row_trigger);
	values[15] = CStringGetTextDatum(found_as_json(m));
	values[16] = TimestampTzGetDatum(m->managed_at);

	ffs_base_begin_as(&rights, ffs_base_owner());
	rc = SPI_execute_with_args("INSERT INTO ffstorage.managed (relation, strategy, tenant_column, soft_delete,"
							   " exclude, stamps, columns, history, audit, deleted, versions, with_deleted,"
							   " as_of_function, between_function, row_trigger, found, managed_at)"
							   " VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $14, $15,"
							   " $16::jsonb, $17)"
							   " ON CONFLICT (relation) DO UPDATE SET strategy = excluded.strategy,"
							   " tenant_column = excluded.tenant_column, soft_delete = excluded.soft_delete,"
							   " exclude = excluded.exclude, stamps = excluded.stamps, columns = excluded.columns,"
							   " history = excluded.history, audit = excluded.audit, deleted = excluded.deleted,"
							   " versions = excluded.versions, with_deleted = excluded.with_deleted,"
							   " as_of_function = excluded.as_of_function,"
							   " between_function = excluded.between_function,"
							   " row_trigger = excluded.row_trigger, found = excluded.found"
							   " WHERE (managed.*) IS DISTINCT FROM (excluded.*)",
							   17, types, values, nulls, false, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not write ffstorage.managed: %s", SPI_result_code_string(rc));
	ffs_base_end_as(&rights);
	ffs_registry_invalidate(m->relid);
}

/* Take the row out. */
void
ffs_registry_forget(Oid relid)
{
	FfsRights	rights;

	ffs_base_begin_as(&rights, ffs_base_owner());
	ffs_base_run(SPI_OK_DELETE, "DELETE FROM ffstorage.managed WHERE relation = %u", relid);
	ffs_base_end_as(&rights);
	/* of a table that is gone, everyone hears by its drop */
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ffs_registry_invalidate(relid);
}
