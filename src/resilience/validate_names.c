/*-------------------------------------------------------------------------
 *
 * validate_names.c
 *		Functions and relations that attacks reach for, by name.
 *
 * The parser has folded the names and undone their quotes and escapes.  Other
 * systems' names are here because attacks on them are tried on PostgreSQL too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/value.h"

#include "base/base.h"
#include "resilience/validate.h"

typedef struct NamedFunction
{
	const char *name;
	FfsNameKind kind;
	bool		builtin;		/* only PostgreSQL's own: another schema's function is another one */
} NamedFunction;

/* Sorted by name. */
static const NamedFunction functions[] = {
	{"abs", FFS_NAME_PURE, true},
	{"acos", FFS_NAME_PURE, true},
	{"ascii", FFS_NAME_PURE, true},
	{"asin", FFS_NAME_PURE, true},
	{"atan", FFS_NAME_PURE, true},
	{"atan2", FFS_NAME_PURE, true},
	{"benchmark", FFS_NAME_FOREIGN, false},
	{"bit_length", FFS_NAME_PURE, true},
	{"btrim", FFS_NAME_PURE, true},
	{"cbrt", FFS_NAME_PURE, true},
	{"ceil", FFS_NAME_PURE, true},
	{"ceiling", FFS_NAME_PURE, true},
	{"char", FFS_NAME_PURE, true},
	{"char_length", FFS_NAME_PURE, true},
	{"character_length", FFS_NAME_PURE, true},
	{"charindex", FFS_NAME_FOREIGN, false},
	{"chr", FFS_NAME_PURE, true},
	{"col_name", FFS_NAME_FOREIGN, false},
	{"concat", FFS_NAME_PURE, true},
	{"concat_ws", FFS_NAME_PURE, true},
	{"connection_id", FFS_NAME_FOREIGN, false},
	{"convert_from", FFS_NAME_PURE, true},
	{"convert_to", FFS_NAME_PURE, true},
	{"cos", FFS_NAME_PURE, true},
	{"cot", FFS_NAME_PURE, true},
	{"crypt_key", FFS_NAME_FOREIGN, false},
	{"current_catalog", FFS_NAME_WHO, true},
	{"current_database", FFS_NAME_WHO, true},
	{"current_query", FFS_NAME_INFO, true},
	{"current_role", FFS_NAME_WHO, true},
	{"current_schema", FFS_NAME_WHO, true},
	{"current_schemas", FFS_NAME_WHO, true},
	{"current_setting", FFS_NAME_WHO, true},
	{"current_user", FFS_NAME_WHO, true},
	{"cursor_to_xml", FFS_NAME_XML, true},
	{"cursor_to_xmlschema", FFS_NAME_XML, true},
	{"database", FFS_NAME_FOREIGN, false},
	{"database_to_xml", FFS_NAME_XML, true},
	{"database_to_xml_and_xmlschema", FFS_NAME_XML, true},
	{"database_to_xmlschema", FFS_NAME_XML, true},
	{"db_name", FFS_NAME_FOREIGN, false},
	{"dblink", FFS_NAME_REMOTE, false},
	{"dblink_connect", FFS_NAME_REMOTE, false},
	{"dblink_connect_u", FFS_NAME_REMOTE, false},
	{"dblink_exec", FFS_NAME_REMOTE, false},
	{"dblink_fetch", FFS_NAME_REMOTE, false},
	{"dblink_get_result", FFS_NAME_REMOTE, false},
	{"dblink_open", FFS_NAME_REMOTE, false},
	{"dblink_send_query", FFS_NAME_REMOTE, false},
	{"decode", FFS_NAME_PURE, true},
	{"degrees", FFS_NAME_PURE, true},
	{"difference", FFS_NAME_PURE, true},
	{"elt", FFS_NAME_FOREIGN, false},
	{"encode", FFS_NAME_PURE, true},
	{"exp", FFS_NAME_PURE, true},
	{"extractvalue", FFS_NAME_FOREIGN, false},
	{"ffs_cached", FFS_NAME_QUERY, false},
	{"floor", FFS_NAME_PURE, true},
	{"fuzzbits", FFS_NAME_FOREIGN, false},
	{"get_lock", FFS_NAME_FOREIGN, false},
	{"group_concat", FFS_NAME_FOREIGN, false},
	{"gtid_subset", FFS_NAME_FOREIGN, false},
	{"hex", FFS_NAME_FOREIGN, false},
	{"host_id", FFS_NAME_FOREIGN, false},
	{"host_name", FFS_NAME_FOREIGN, false},
	{"iif", FFS_NAME_FOREIGN, false},
	{"inet_client_addr", FFS_NAME_INFO, true},
	{"inet_server_addr", FFS_NAME_INFO, true},
	{"inet_server_port", FFS_NAME_INFO, true},
	{"initcap", FFS_NAME_PURE, true},
	{"is_srvrolemember", FFS_NAME_FOREIGN, false},
	{"left", FFS_NAME_PURE, true},
	{"length", FFS_NAME_PURE, true},
	{"levenshtein", FFS_NAME_PURE, true},
	{"ln", FFS_NAME_PURE, true},
	{"lo_creat", FFS_NAME_LARGE_OBJECT, true},
	{"lo_create", FFS_NAME_LARGE_OBJECT, true},
	{"lo_export", FFS_NAME_LARGE_OBJECT, true},
	{"lo_from_bytea", FFS_NAME_LARGE_OBJECT, true},
	{"lo_get", FFS_NAME_LARGE_OBJECT, true},
	{"lo_import", FFS_NAME_LARGE_OBJECT, true},
	{"lo_lseek", FFS_NAME_LARGE_OBJECT, true},
	{"lo_lseek64", FFS_NAME_LARGE_OBJECT, true},
	{"lo_open", FFS_NAME_LARGE_OBJECT, true},
	{"lo_put", FFS_NAME_LARGE_OBJECT, true},
	{"lo_tell", FFS_NAME_LARGE_OBJECT, true},
	{"lo_tell64", FFS_NAME_LARGE_OBJECT, true},
	{"lo_truncate", FFS_NAME_LARGE_OBJECT, true},
	{"lo_truncate64", FFS_NAME_LARGE_OBJECT, true},
	{"lo_unlink", FFS_NAME_LARGE_OBJECT, true},
	{"load_file", FFS_NAME_FOREIGN, false},
	{"log", FFS_NAME_PURE, true},
	{"loread", FFS_NAME_LARGE_OBJECT, true},
	{"lower", FFS_NAME_PURE, true},
	{"lowrite", FFS_NAME_LARGE_OBJECT, true},
	{"lpad", FFS_NAME_PURE, true},
	{"ltrim", FFS_NAME_PURE, true},
	{"make_set", FFS_NAME_FOREIGN, false},
	{"md5", FFS_NAME_PURE, true},
	{"mid", FFS_NAME_FOREIGN, false},
	{"mod", FFS_NAME_PURE, true},
	{"name_const", FFS_NAME_FOREIGN, false},
	{"object_id", FFS_NAME_FOREIGN, false},
	{"octet_length", FFS_NAME_PURE, true},
	{"ord", FFS_NAME_FOREIGN, false},
	{"overlay", FFS_NAME_PURE, true},
	{"pg_backend_pid", FFS_NAME_INFO, true},
	{"pg_conf_load_time", FFS_NAME_INFO, true},
	{"pg_config", FFS_NAME_FILE, true},
	{"pg_current_logfile", FFS_NAME_FILE, true},
	{"pg_file_read", FFS_NAME_FILE, false},
	{"pg_file_rename", FFS_NAME_FILE, false},
	{"pg_file_sync", FFS_NAME_FILE, false},
	{"pg_file_unlink", FFS_NAME_FILE, false},
	{"pg_file_write", FFS_NAME_FILE, false},
	{"pg_hba_file_rules", FFS_NAME_FILE, true},
	{"pg_ls_archive_statusdir", FFS_NAME_FILE, true},
	{"pg_ls_dir", FFS_NAME_FILE, true},
	{"pg_ls_logdir", FFS_NAME_FILE, true},
	{"pg_ls_logicalmapdir", FFS_NAME_FILE, true},
	{"pg_ls_logicalsnapdir", FFS_NAME_FILE, true},
	{"pg_ls_replslotdir", FFS_NAME_FILE, true},
	{"pg_ls_tmpdir", FFS_NAME_FILE, true},
	{"pg_ls_waldir", FFS_NAME_FILE, true},
	{"pg_postmaster_start_time", FFS_NAME_INFO, true},
	{"pg_read_binary_file", FFS_NAME_FILE, true},
	{"pg_read_file", FFS_NAME_FILE, true},
	{"pg_read_file_old", FFS_NAME_FILE, true},
	{"pg_reload_conf", FFS_NAME_SETTING, true},
	{"pg_show_all_file_settings", FFS_NAME_FILE, true},
	{"pg_show_all_settings", FFS_NAME_INFO, true},
	{"pg_sleep", FFS_NAME_DELAY, true},
	{"pg_sleep_for", FFS_NAME_DELAY, true},
	{"pg_sleep_until", FFS_NAME_DELAY, true},
	{"pg_stat_file", FFS_NAME_FILE, true},
	{"pg_typeof", FFS_NAME_PURE, true},
	{"pi", FFS_NAME_PURE, true},
	{"position", FFS_NAME_PURE, true},
	{"power", FFS_NAME_PURE, true},
	{"query_to_xml", FFS_NAME_XML, true},
	{"query_to_xml_and_xmlschema", FFS_NAME_XML, true},
	{"query_to_xmlschema", FFS_NAME_XML, true},
	{"quote_ident", FFS_NAME_PURE, true},
	{"quote_literal", FFS_NAME_PURE, true},
	{"radians", FFS_NAME_PURE, true},
	{"rand", FFS_NAME_FOREIGN, false},
	{"randomblob", FFS_NAME_FOREIGN, false},
	{"regexp_substring", FFS_NAME_FOREIGN, false},
	{"repeat", FFS_NAME_PURE, true},
	{"replace", FFS_NAME_PURE, true},
	{"reverse", FFS_NAME_PURE, true},
	{"right", FFS_NAME_PURE, true},
	{"round", FFS_NAME_PURE, true},
	{"row_count", FFS_NAME_FOREIGN, false},
	{"rpad", FFS_NAME_PURE, true},
	{"rtrim", FFS_NAME_PURE, true},
	{"schema", FFS_NAME_FOREIGN, false},
	{"schema_to_xml", FFS_NAME_XML, true},
	{"schema_to_xml_and_xmlschema", FFS_NAME_XML, true},
	{"schema_to_xmlschema", FFS_NAME_XML, true},
	{"session_user", FFS_NAME_WHO, true},
	{"set_config", FFS_NAME_SETTING, true},
	{"sign", FFS_NAME_PURE, true},
	{"sin", FFS_NAME_PURE, true},
	{"sleep", FFS_NAME_FOREIGN, false},
	{"soundex", FFS_NAME_PURE, true},
	{"space", FFS_NAME_FOREIGN, false},
	{"split_part", FFS_NAME_PURE, true},
	{"sqrt", FFS_NAME_PURE, true},
	{"strcmp", FFS_NAME_FOREIGN, false},
	{"strpos", FFS_NAME_PURE, true},
	{"substr", FFS_NAME_PURE, true},
	{"substring", FFS_NAME_PURE, true},
	{"suser_name", FFS_NAME_FOREIGN, false},
	{"suser_sname", FFS_NAME_FOREIGN, false},
	{"sys_context", FFS_NAME_FOREIGN, false},
	{"sys_eval", FFS_NAME_FOREIGN, false},
	{"sys_exec", FFS_NAME_FOREIGN, false},
	{"system_user", FFS_NAME_FOREIGN, false},
	{"table_to_xml", FFS_NAME_XML, true},
	{"table_to_xml_and_xmlschema", FFS_NAME_XML, true},
	{"table_to_xmlschema", FFS_NAME_XML, true},
	{"tan", FFS_NAME_PURE, true},
	{"to_hex", FFS_NAME_PURE, true},
	{"translate", FFS_NAME_PURE, true},
	{"trunc", FFS_NAME_PURE, true},
	{"ts_rewrite", FFS_NAME_QUERY, true},
	{"ts_stat", FFS_NAME_QUERY, true},
	{"unhex", FFS_NAME_FOREIGN, false},
	{"updatexml", FFS_NAME_FOREIGN, false},
	{"upper", FFS_NAME_PURE, true},
	{"user_name", FFS_NAME_FOREIGN, false},
	{"version", FFS_NAME_INFO, true},
	{"waitfor", FFS_NAME_FOREIGN, false},
	{"xmltype", FFS_NAME_FOREIGN, false},
	{"xp_cmdshell", FFS_NAME_FOREIGN, false},
	{"xp_dirtree", FFS_NAME_FOREIGN, false},
};

/* Schemas and packages of other systems. */
static const char *const foreign_prefixes[] = {
	"ctxsys", "dbms_", "master", "mysql", "sys", "sysibm", "utl_", "xp_"
};

static bool
is_foreign_schema(const char *schema)
{
	for (int i = 0; i < (int) lengthof(foreign_prefixes); i++)
	{
		if (strncmp(schema, foreign_prefixes[i], strlen(foreign_prefixes[i])) == 0 &&
			(schema[strlen(foreign_prefixes[i])] == '\0' || foreign_prefixes[i][strlen(foreign_prefixes[i]) - 1] == '_'))
			return true;
	}
	return false;
}

FfsNameKind
ffs_validate_function_kind(List *funcname)
{
	const char *name = strVal(llast(funcname));
	const char *schema = list_length(funcname) > 1 ? strVal(list_nth(funcname, list_length(funcname) - 2)) : NULL;
	int			low = 0;
	int			high = lengthof(functions);

	if (schema != NULL && is_foreign_schema(schema))
		return FFS_NAME_FOREIGN;
	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(name, functions[middle].name);

		if (order == 0)
		{
			if (functions[middle].builtin && schema != NULL && strcmp(schema, "pg_catalog") != 0)
				return FFS_NAME_OTHER;
			/* a function of the application's own schema may be called as another system's is */
			if (functions[middle].kind == FFS_NAME_FOREIGN && schema != NULL)
				return FFS_NAME_OTHER;
			return functions[middle].kind;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return FFS_NAME_OTHER;
}

/* ---- relations ---- */

/* What drivers and object mappers read to learn of tables, columns and types. */
static const char *const structural[] = {
	"pg_am", "pg_attrdef", "pg_attribute", "pg_class", "pg_collation", "pg_constraint", "pg_depend", "pg_description",
	"pg_enum", "pg_index", "pg_inherits", "pg_namespace", "pg_opclass", "pg_operator", "pg_range", "pg_sequence",
	"pg_trigger", "pg_type"
};

static const char *const foreign_relations[] = {
	"all_objects", "all_tab_columns", "all_tables", "all_users", "dba_tables", "dba_users", "dual", "msysaccessobjects",
	"msysobjects", "sqlite_master", "sqlite_schema", "sqlite_temp_master", "syscat", "syscolumns", "sysdatabases",
	"sysibm", "syslogins", "sysobjects", "systables", "sysusers", "user_tab_columns", "user_tables"
};

static bool
is_among(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

FfsRelationKind
ffs_validate_relation_kind(const RangeVar *rv)
{
	if (rv->schemaname != NULL)
	{
		if (strcmp(rv->schemaname, "information_schema") == 0 || is_foreign_schema(rv->schemaname))
			return FFS_RELATION_SENSITIVE;
		if (strcmp(rv->schemaname, "pg_catalog") != 0 && strcmp(rv->schemaname, "pg_toast") != 0)
			return FFS_RELATION_USER;
	}
	else if (is_among(rv->relname, foreign_relations, lengthof(foreign_relations)))
		return FFS_RELATION_SENSITIVE;
	else if (strncmp(rv->relname, "pg_", 3) != 0)
		return FFS_RELATION_USER;
	return is_among(rv->relname, structural, lengthof(structural)) ? FFS_RELATION_CATALOG : FFS_RELATION_SENSITIVE;
}
