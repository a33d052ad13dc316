/*-------------------------------------------------------------------------
 *
 * keys.c
 *		Keys in jsonb with what may stand beside them, versions that are
 *		expected, and why a row is not there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "batch/batch.h"
#include "batch/one.h"
#include "registry/key.h"

/* ---- keys with companions ---- */

static bool
is_key_column(const FfsTable *table, const char *name)
{
	for (int i = 0; i < table->nkeys; i++)
		if (strcmp(get_attname(table->relid, table->key[i], false), name) == 0)
			return true;
	return false;
}

/* Take a member that is no key column out of the object, into *value. */
static bool
take_member(const FfsTable *table, Jsonb **object, const char *name, JsonbValue *value)
{
	if (is_key_column(table, name) ||
		getKeyJsonValueFromContainer(&(*object)->root, name, strlen(name), value) == NULL)
		return false;
	*object = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(*object),
												 CStringGetTextDatum(name)));
	return true;
}

void
ffs_batch_read_version(const FfsTable *table, JsonbValue *value, KeyArgument *key)
{
	bool		failed = value->type != jbvNumeric;

	if (value->type == jbvNull)
		return;
	if (!failed)
		key->version = numeric_int4_opt_error(value->val.numeric, &failed);
	if (failed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expected_version must be an integer"),
				 errdetail("The member is of another type, or out of range."),
				 errhint("Give the version that was read, as a jsonb number.")));
	key->has_version = true;
	ffs_batch_check_versioned(table);
}

void
ffs_batch_read_cascade(JsonbValue *value, KeyArgument *key)
{
	if (value->type == jbvNull)
		return;
	if (value->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cascade must be true or false"),
				 errdetail("The member is of another type."),
				 errhint("Give it as a jsonb boolean.")));
	key->cascade = value->val.boolean;
}

void
ffs_batch_read_key(const FfsTable *table, Jsonb *object, bool with_cascade, KeyArgument *key)
{
	JsonbValue	value;

	key->has_version = key->cascade = false;
	key->version = 0;
	if (JB_ROOT_IS_OBJECT(object))
	{
		if (take_member(table, &object, "expected_version", &value))
			ffs_batch_read_version(table, &value, key);
		if (with_cascade && take_member(table, &object, "cascade", &value))
			ffs_batch_read_cascade(&value, key);
	}
	ffs_registry_key_from_jsonb(table, object, NULL, key->values);
}

void
ffs_batch_key_argument(const FfsTable *table, FunctionCallInfo fcinfo, int n,
					   bool with_cascade, KeyArgument *key)
{
	if (PG_NARGS() == n + 1 && !PG_ARGISNULL(n) && !get_fn_expr_variadic(fcinfo->flinfo) &&
		get_fn_expr_argtype(fcinfo->flinfo, n) == JSONBOID)
	{
		ffs_batch_read_key(table, PG_GETARG_JSONB_P(n), with_cascade, key);
		return;
	}
	key->has_version = key->cascade = false;
	key->version = 0;
	ffs_registry_key_from_args(table, fcinfo, n, key->values);
}

void
ffs_batch_patch_key(RowReader *reader, const Datum *values, const bool *nulls, const uint64 *given, Datum *key)
{
	const FfsTable *table = reader->table;

	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attno = table->key[i];

		if (!ffs_batch_is_given(given, attno) || nulls[attno - 1])
			ereport(ERROR,
					(errcode(FFS_ERRCODE_KEY_MISSING),
					 ffs_batch_is_given(given, attno) ?
					 errmsg("the value for key column \"%s\" is null", reader->columns[attno - 1].name) :
					 errmsg("the patch has no member \"%s\"", reader->columns[attno - 1].name),
					 errdetail("The primary key of %s is (%s).", reader->relation_name,
							   ffs_registry_key_names(table)),
					 errhint("Give a value for each key column.")));
		key[i] = values[attno - 1];
	}
}

void
ffs_batch_key_to_row(FeedRow *row, const FfsTable *table, const KeyArgument *key)
{
	AttrNumber	version = table->stamp[FFS_VERSION];

	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attno = table->key[i];

		row->values[attno - 1] = key->values[i];
		row->nulls[attno - 1] = false;
		ffs_batch_set_given(row->given, attno);
	}
	if (version != 0)
	{
		row->values[version - 1] = Int32GetDatum(key->version);
		row->nulls[version - 1] = !key->has_version;
		if (key->has_version)
			ffs_batch_set_given(row->given, version);
	}
}

void
ffs_batch_key_from_row(const FeedRow *row, const FfsTable *table, KeyArgument *key)
{
	AttrNumber	version = table->stamp[FFS_VERSION];

	for (int i = 0; i < table->nkeys; i++)
		key->values[i] = row->values[table->key[i] - 1];
	key->has_version = version != 0 && !row->nulls[version - 1];
	key->version = key->has_version ? DatumGetInt32(row->values[version - 1]) : 0;
	key->cascade = false;
}

void
ffs_batch_require_key(const FfsTable *table)
{
	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_KEY_MISSING),
				 errmsg("table %s has no primary key", ffs_base_relation_name(table->rootid)),
				 errdetail("A row is found by the columns of its table's primary key."),
				 errhint("Add a primary key to the table.")));
}

/* ---- versions, and rows that are not there ---- */

void
ffs_batch_check_versioned(const FfsTable *table)
{
	if (table->stamp[FFS_VERSION] != 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("table %s has no versions to expect", ffs_base_relation_name(table->relid)),
			 errdetail("Rows have versions where the table is managed with strategy scd2."),
			 errhint("Leave expected_version out, or call ffs_manage() with strategy => 'scd2'.")));
}

void
ffs_batch_version_conflict(const FfsTable *table, const Datum *key, int32 expected, int32 found)
{
	ereport(ERROR,
			(errcode(FFS_ERRCODE_VERSION_CONFLICT),
			 errmsg("the row %s of table %s has another version", ffs_registry_key_text(table, key),
					ffs_base_relation_name(table->relid)),
			 errdetail("Version %d was expected, version %d was found.", expected, found),
			 errhint("Read the row again and repeat the change on what it is now.")));
}

const char *
ffs_batch_side_column(TupleDesc desc, const AttrNumber *map, AttrNumber source)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && map[i] == source)
			return NameStr(TupleDescAttr(desc, i)->attname);
	return NULL;
}

/* Is a row with this key waiting to be restored, as far as this role may know? */
static bool
is_deleted(const FfsTable *table, Datum *key)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];

	if (!table->soft_delete || !OidIsValid(table->deleted) ||
		pg_class_aclcheck(table->deleted, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		!ffs_registry_may_read(table->rootid))
		return false;
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT 1 FROM %s AS ffs_row WHERE ", ffs_base_relation_name(table->deleted));
	for (int i = 0; i < table->nkeys; i++)
	{
		const char *name = ffs_batch_side_column(table->deleted_desc, table->deleted_map, table->key[i]);

		if (name == NULL)
			return false;
		appendStringInfo(&query, "%sffs_row.%s OPERATOR(%s) $%d", i > 0 ? " AND " : "",
						 quote_identifier(name), ffs_batch_key_equality(table, i), i + 1);
		types[i] = getBaseType(get_atttype(table->relid, table->key[i]));
	}
	appendStringInfoString(&query, " LIMIT 1");
	return ffs_batch_run_plan(query.data, table->nkeys, types, key, NULL, SPI_OK_SELECT) > 0;
}

void
ffs_batch_explain_absence(const FfsTable *table, KeyArgument *key, bool must_be_there)
{
	StringInfoData query;
	Oid			types[INDEX_MAX_KEYS];
	AttrNumber	version = table->stamp[FFS_VERSION];
	bool		there;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s FROM %s AS ffs_row WHERE ",
					 version != 0 && key->has_version ?
					 psprintf("ffs_row.%s", quote_identifier(get_attname(table->relid, version, false))) :
					 "NULL::pg_catalog.int4",
					 ffs_base_relation_name(table->relid));
	ffs_batch_append_key(&query, table, "ffs_row", 1, types);
	there = ffs_batch_run_plan(query.data, table->nkeys, types, key->values, NULL, SPI_OK_SELECT) > 0;
	if (there && key->has_version)
	{
		bool		isnull;
		int32		found = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

		if (!isnull && found != key->version)
			ffs_batch_version_conflict(table, key->values, key->version, found);
	}
	if (!must_be_there)
		return;
	if (there)
		ereport(ERROR,
				(errcode(FFS_ERRCODE_ROW_NOT_FOUND),
				 errmsg("the row %s of table %s cannot be changed", ffs_registry_key_text(table, key->values),
						ffs_base_relation_name(table->relid)),
				 errdetail("The row is there, but a policy or a trigger of the table kept it from the change."),
				 errhint("Check the table's policies for UPDATE and its triggers.")));
	if (is_deleted(table, key->values))
		ereport(ERROR,
				(errcode(FFS_ERRCODE_ROW_DELETED),
				 errmsg("the row %s of table %s has been deleted", ffs_registry_key_text(table, key->values),
						ffs_base_relation_name(table->relid)),
				 errdetail("It is kept in %s.", ffs_base_relation_name(table->deleted)),
				 errhint("Call ffs_restore() first, or leave the row alone.")));
	ereport(ERROR,
			(errcode(FFS_ERRCODE_ROW_NOT_FOUND),
			 errmsg("table %s has no row %s", ffs_base_relation_name(table->relid),
					ffs_registry_key_text(table, key->values)),
			 errdetail("No row with this key can be seen by role \"%s\".",
					   GetUserNameFromId(GetUserId(), false)),
			 errhint("Check the key, and which tenant the transaction has set.")));
}
