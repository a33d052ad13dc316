/*-------------------------------------------------------------------------
 *
 * base.c
 *		Shared-memory registration, names, running SQL with another's rights,
 *		and rows by key without SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base.h"
#include "base/writer.h"

typedef struct ShmemPart
{
	const char *name;
	FfsShmemSize size;
	FfsShmemSetup setup;
} ShmemPart;

#define MAX_SHMEM_PARTS 32

FfsCallWatcher ffs_base_call_watcher = NULL;

static ShmemPart shmem_parts[MAX_SHMEM_PARTS];
static int	n_shmem_parts = 0;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* ---- opening the room ---- */

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	for (int i = 0; i < n_shmem_parts; i++)
		RequestAddinShmemSpace(MAXALIGN(shmem_parts[i].size()));
}

static void
shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < n_shmem_parts; i++)
	{
		bool		found;
		void	   *memory = ShmemInitStruct(shmem_parts[i].name, shmem_parts[i].size(), &found);

		shmem_parts[i].setup(memory, found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
ffs_base_init(void)
{
	ffs_base_writer_init();
	ffs_base_debug_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

/* After every room has defined its settings. */
void
ffs_base_init_done(void)
{
	ffs_compat_reserve_prefix("ffstorage");
}

void
ffs_base_register_shmem(const char *name, FfsShmemSize size, FfsShmemSetup setup)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	if (n_shmem_parts >= MAX_SHMEM_PARTS)
		elog(ERROR, "too many shared-memory parts");
	shmem_parts[n_shmem_parts++] = (ShmemPart)
	{
		name, size, setup
	};
}

bool
ffs_base_preloaded(void)
{
	return n_shmem_parts > 0;
}

/* ---- names ---- */

char *
ffs_base_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid),
				 errdetail("It was there when the statement began."),
				 errhint("It was probably dropped meanwhile; run the statement again.")));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

Oid
ffs_base_extension_oid(void)
{
	return get_extension_oid("ffstorage", true);
}

Oid
ffs_base_extension_namespace(void)
{
	Oid			extension = ffs_base_extension_oid();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	if (!OidIsValid(extension))
		return InvalidOid;
	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

Oid
ffs_base_catalog_relid(const char *name)
{
	Oid			schema = get_namespace_oid(FFS_SCHEMA, true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\" does not exist", FFS_SCHEMA, name),
				 errdetail("It belongs to the extension ffstorage."),
				 errhint("Run CREATE EXTENSION ffstorage in this database.")));
	return relid;
}

char *
ffs_base_side_name(const char *base, const char *suffix)
{
	int			baselen = strlen(base);
	int			suffixlen = strlen(suffix);
	char		hash[16];
	int			keep;

	if (baselen + suffixlen < NAMEDATALEN)
		return psprintf("%s%s", base, suffix);

	snprintf(hash, sizeof(hash), "_%08x",
			 hash_bytes((const unsigned char *) base, baselen));
	keep = NAMEDATALEN - 1 - suffixlen - (int) strlen(hash);
	keep = pg_mbcliplen(base, baselen, keep);
	return psprintf("%.*s%s%s", keep, base, hash, suffix);
}

/* ---- another's rights ---- */

Oid
ffs_base_owner(void)
{
	HeapTuple	tuple;
	Oid			owner;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(ffs_base_catalog_relid("managed")));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for the catalog of ffstorage");
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

void
ffs_base_begin_as(FfsRights *saved, Oid role)
{
	GetUserIdAndSecContext(&saved->role, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
ffs_base_end_as(FfsRights *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->role, saved->sec_context);
}

bool
ffs_base_bypasses_rls(Oid role)
{
	return has_bypassrls_privilege(role);	/* true for superusers too */
}

/* ---- SQL ---- */

static const ErrorContextCallback *running_above = NULL;	/* what was there when ffs_base_run began */

bool
ffs_base_is_running(void)
{
	/* SPI puts one of its own on top; whatever runs inside adds more */
	return error_context_stack != NULL && error_context_stack->previous == running_above;
}

uint64
ffs_base_run(int expect, const char *fmt,...)
{
	StringInfoData buf;
	int			save_errno = errno;
	const ErrorContextCallback *outer;
	int			rc;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		errno = save_errno;
		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	outer = running_above;
	running_above = error_context_stack;
	rc = SPI_execute(buf.data, false, 0);
	running_above = outer;
	if (rc < 0 || (expect != 0 && rc != expect))
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(rc), buf.data);
	pfree(buf.data);
	return SPI_processed;
}

/* ---- rows by key ---- */

/* `until`, where not NULL, bounds the index column after the keys from above. */
static bool
fetch(Relation rel, Relation index, int nkeys, const Datum *values, const Datum *until,
	  Snapshot snapshot, bool backward, FfsRowWanted wanted, void *arg, TupleTableSlot *slot)
{
	ScanKeyData keys[INDEX_MAX_KEYS];
	IndexScanDesc scan;
	int			nscankeys = nkeys + (until != NULL ? 1 : 0);
	bool		found;

	for (int i = 0; i < nscankeys; i++)
	{
		StrategyNumber strategy = i < nkeys ? BTEqualStrategyNumber : BTLessEqualStrategyNumber;
		Oid			type = index->rd_opcintype[i];
		Oid			op = get_opfamily_member(index->rd_opfamily[i], type, type, strategy);

		if (!OidIsValid(op))
			elog(ERROR, "missing comparison operator in index \"%s\"", RelationGetRelationName(index));
		ScanKeyEntryInitialize(&keys[i], 0, i + 1, strategy, InvalidOid,
							   index->rd_indcollation[i], get_opcode(op), i < nkeys ? values[i] : *until);
	}
	scan = ffs_compat_index_beginscan(rel, index, snapshot, nscankeys);
	index_rescan(scan, keys, nscankeys, NULL, 0);
	do
	{
		CHECK_FOR_INTERRUPTS();
		found = index_getnext_slot(scan, backward ? BackwardScanDirection : ForwardScanDirection, slot);
	} while (found && wanted != NULL && !wanted(slot, arg));
	if (found)
		ExecMaterializeSlot(slot);
	index_endscan(scan);
	return found;
}

bool
ffs_base_fetch_by_key(Relation rel, Relation index, int nkeys, const Datum *values,
					  Snapshot snapshot, bool backward, TupleTableSlot *slot)
{
	return fetch(rel, index, nkeys, values, NULL, snapshot, backward, NULL, NULL, slot);
}

bool
ffs_base_fetch_last_until(Relation rel, Relation index, int nkeys, const Datum *values, Datum until,
						  Snapshot snapshot, TupleTableSlot *slot)
{
	return fetch(rel, index, nkeys, values, &until, snapshot, true, NULL, NULL, slot);
}

bool
ffs_base_fetch_last_wanted(Relation rel, Relation index, int nkeys, const Datum *values,
						   FfsRowWanted wanted, void *arg, Snapshot snapshot, TupleTableSlot *slot)
{
	return fetch(rel, index, nkeys, values, NULL, snapshot, true, wanted, arg, slot);
}

/*
 * An executor state with the relation's indexes open, for index insertion.
 * What an index of users' says in expressions runs as the relation's owner,
 * whoever it is that writes.
 */
static EState *
begin_index_insert(Relation rel, ResultRelInfo **rri, FfsRights *saved)
{
	EState	   *estate = CreateExecutorState();

	GetUserIdAndSecContext(&saved->role, &saved->sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	*rri = makeNode(ResultRelInfo);
	InitResultRelInfo(*rri, rel, 0, NULL, 0);
	ExecOpenIndices(*rri, false);
	return estate;
}

static void
end_index_insert(EState *estate, ResultRelInfo *rri, FfsRights *saved)
{
	SetUserIdAndSecContext(saved->role, saved->sec_context);
	ExecCloseIndices(rri);
	FreeExecutorState(estate);
}

void
ffs_base_insert_slots(Relation rel, TupleTableSlot **slots, int nslots)
{
	EState	   *estate;
	ResultRelInfo *rri;
	FfsRights	saved;

	if (nslots == 0)
		return;
	estate = begin_index_insert(rel, &rri, &saved);
	table_multi_insert(rel, slots, nslots, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < nslots; i++)
	{
		ResetPerTupleExprContext(estate);
		if (rri->ri_NumIndices > 0)
			ffs_compat_insert_index_tuples(rri, slots[i], estate);
	}
	end_index_insert(estate, rri, &saved);
}

void
ffs_base_update_slot(Relation rel, TupleTableSlot *slot, TupleTableSlot *newslot)
{
	EState	   *estate;
	ResultRelInfo *rri;
	FfsRights	saved;
	ItemPointerData tid = slot->tts_tid;

	estate = begin_index_insert(rel, &rri, &saved);
	ffs_compat_update_tuple(rel, &tid, newslot, rri, estate);
	end_index_insert(estate, rri, &saved);
}

void
ffs_base_delete_tid(Relation rel, ItemPointer tid)
{
	simple_table_tuple_delete(rel, tid, GetActiveSnapshot());
}
