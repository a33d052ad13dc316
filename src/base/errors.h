/*-------------------------------------------------------------------------
 *
 * errors.h
 *		The one table of errors that only ffstorage knows, class ZF.
 *
 * FFS_ERROR_TABLE names each as X(symbol, "sqlstate", condition, meaning,
 * remedy).  The view ffs_errors is made of the same table, so that code and
 * documentation cannot differ.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_ERRORS_H
#define FFS_ERRORS_H

#include "utils/elog.h"

#define FFS_ERROR_TABLE(X) \
	X(TENANT_NOT_SET, "ZF001", "tenant_not_set", \
	  "A write to a table with a tenant column came without a tenant.", \
	  "Call ffs_set_tenant() at the start of the transaction.") \
	X(TENANT_VIOLATION, "ZF002", "tenant_violation", \
	  "A statement would have written or truncated another tenant's rows, or tied a row to one of them.", \
	  "Check the tenant column's values, and which tenant the transaction has set.") \
	X(TENANT_PINNED, "ZF003", "tenant_pinned", \
	  "A transaction that has a tenant asked for another one.", \
	  "Set the tenant once per transaction; COMMIT or ROLLBACK before you set another.") \
	X(TENANT_TOKEN_INVALID, "ZF004", "tenant_token_invalid", \
	  "A tenant token was missing, expired, or not signed by a known key.", \
	  "Ask the issuer for a new token for this database and role.") \
	X(TENANT_COLUMN_INVALID, "ZF005", "tenant_column_invalid", \
	  "A tenant column is missing, may be NULL, or has a type or collation that cannot serve.", \
	  "Use a NOT NULL column of type uuid, text (with a deterministic collation), smallint, integer or bigint.") \
	X(VERSION_CONFLICT, "ZF010", "version_conflict", \
	  "A row no longer has the version that the caller expected.", \
	  "Read the row again and repeat the change on what it is now.") \
	X(ROW_NOT_FOUND, "ZF011", "row_not_found", \
	  "There is no row with this key that the caller may see.", \
	  "Check the key, and which tenant the transaction has set.") \
	X(ROW_DELETED, "ZF012", "row_deleted", \
	  "The row with this key has been deleted.", \
	  "Call ffs_restore() first, or leave the row alone.") \
	X(NOT_MANAGED, "ZF020", "not_managed", \
	  "The table is not managed by ffstorage.", \
	  "Call ffs_manage() for the table first.") \
	X(KEY_MISSING, "ZF021", "key_missing", \
	  "The table has no primary key, or a call did not give all of its columns.", \
	  "Add a primary key to the table, or give a value for each key column.") \
	X(HISTORY_READ_ONLY, "ZF022", "history_read_only", \
	  "What stands beside a managed table is append only.", \
	  "Change the table itself; ffs_prune() and ffs_erase() remove history.") \
	X(AS_OF_READ_ONLY, "ZF023", "as_of_read_only", \
	  "Managed tables cannot be written while the session looks at the past.", \
	  "RESET ffstorage.as_of first.") \
	X(HISTORY_OUT_OF_STEP, "ZF024", "history_out_of_step", \
	  "A managed table and what stands beside it no longer match.", \
	  "Call ffs_manage() again with the table's strategy; the error's detail names what differs.") \
	X(AS_OF_UNAVAILABLE, "ZF025", "as_of_unavailable", \
	  "A table cannot be seen at that moment.", \
	  "Choose a later moment, or a table with strategy scd2.") \
	X(UNSUPPORTED_RELATION, "ZF026", "unsupported_relation", \
	  "ffstorage cannot manage a relation of this kind.", \
	  "Use an ordinary or partitioned permanent table.") \
	X(NAME_TAKEN, "ZF027", "name_taken", \
	  "A name that ffstorage needs beside the table is in use.", \
	  "Rename or drop what has the name.") \
	X(QUERY_TIMEOUT, "ZF030", "query_timeout", \
	  "A call ran longer than ffstorage.query_timeout.", \
	  "Do less in one call, or raise the setting.") \
	X(BREAKER_OPEN, "ZF031", "breaker_open", \
	  "A circuit breaker is open.", \
	  "Wait until it half-opens, or mend what it guards and call ffs_breaker_reset().") \
	X(TOO_MANY_RUNNING, "ZF032", "too_many_running", \
	  "The tenant or role already runs as many calls as it may.", \
	  "Try again later, or raise ffstorage.max_running_per_tenant.") \
	X(RETRIES_EXHAUSTED, "ZF033", "retries_exhausted", \
	  "A statement failed in each of the attempts that it had.", \
	  "See the detail for the last failure; raise max_attempts if it was transient.") \
	X(UNSAFE_QUERY, "ZF040", "unsafe_query", \
	  "A query text has the marks of an injection.", \
	  "Pass values as parameters.") \
	X(UNSAFE_IDENTIFIER, "ZF041", "unsafe_identifier", \
	  "A text cannot stand as a name in SQL.", \
	  "Use a name of at most 63 bytes without NUL characters.") \
	X(BATCH_REJECTED, "ZF050", "batch_rejected", \
	  "A batch was refused as a whole.", \
	  "See the detail for the first bad row, or call with on_error => 'report'.") \
	X(CACHE_UNAVAILABLE, "ZF051", "cache_unavailable", \
	  "The cache was asked for what it cannot do.", \
	  "Add ffstorage to shared_preload_libraries and restart.")

/* "ZF001" packed as elog.h packs it, usable in constant expressions. */
#define FFS_SQLSTATE(s) MAKE_SQLSTATE((s)[0], (s)[1], (s)[2], (s)[3], (s)[4])

#define FFS_ERRCODE_TENANT_NOT_SET			MAKE_SQLSTATE('Z','F','0','0','1')
#define FFS_ERRCODE_TENANT_VIOLATION		MAKE_SQLSTATE('Z','F','0','0','2')
#define FFS_ERRCODE_TENANT_PINNED			MAKE_SQLSTATE('Z','F','0','0','3')
#define FFS_ERRCODE_TENANT_TOKEN_INVALID	MAKE_SQLSTATE('Z','F','0','0','4')
#define FFS_ERRCODE_TENANT_COLUMN_INVALID	MAKE_SQLSTATE('Z','F','0','0','5')
#define FFS_ERRCODE_VERSION_CONFLICT		MAKE_SQLSTATE('Z','F','0','1','0')
#define FFS_ERRCODE_ROW_NOT_FOUND			MAKE_SQLSTATE('Z','F','0','1','1')
#define FFS_ERRCODE_ROW_DELETED				MAKE_SQLSTATE('Z','F','0','1','2')
#define FFS_ERRCODE_NOT_MANAGED				MAKE_SQLSTATE('Z','F','0','2','0')
#define FFS_ERRCODE_KEY_MISSING				MAKE_SQLSTATE('Z','F','0','2','1')
#define FFS_ERRCODE_HISTORY_READ_ONLY		MAKE_SQLSTATE('Z','F','0','2','2')
#define FFS_ERRCODE_AS_OF_READ_ONLY			MAKE_SQLSTATE('Z','F','0','2','3')
#define FFS_ERRCODE_HISTORY_OUT_OF_STEP		MAKE_SQLSTATE('Z','F','0','2','4')
#define FFS_ERRCODE_AS_OF_UNAVAILABLE		MAKE_SQLSTATE('Z','F','0','2','5')
#define FFS_ERRCODE_UNSUPPORTED_RELATION	MAKE_SQLSTATE('Z','F','0','2','6')
#define FFS_ERRCODE_NAME_TAKEN				MAKE_SQLSTATE('Z','F','0','2','7')
#define FFS_ERRCODE_QUERY_TIMEOUT			MAKE_SQLSTATE('Z','F','0','3','0')
#define FFS_ERRCODE_BREAKER_OPEN			MAKE_SQLSTATE('Z','F','0','3','1')
#define FFS_ERRCODE_TOO_MANY_RUNNING		MAKE_SQLSTATE('Z','F','0','3','2')
#define FFS_ERRCODE_RETRIES_EXHAUSTED		MAKE_SQLSTATE('Z','F','0','3','3')
#define FFS_ERRCODE_UNSAFE_QUERY			MAKE_SQLSTATE('Z','F','0','4','0')
#define FFS_ERRCODE_UNSAFE_IDENTIFIER		MAKE_SQLSTATE('Z','F','0','4','1')
#define FFS_ERRCODE_BATCH_REJECTED			MAKE_SQLSTATE('Z','F','0','5','0')
#define FFS_ERRCODE_CACHE_UNAVAILABLE		MAKE_SQLSTATE('Z','F','0','5','1')

#endif							/* FFS_ERRORS_H */
