/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between server versions, behind inline functions and
 *		macros, all on this page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_COMPAT_H
#define FFS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "ffstorage needs PostgreSQL 15 or later"
#endif

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
#if PG_VERSION_NUM >= 170000
#include "storage/procnumber.h"
#else
#include "storage/backendid.h"
#endif
#include "miscadmin.h"
#include "postmaster/autovacuum.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#if PG_VERSION_NUM >= 160000
#include "utils/relfilenumbermap.h"
#else
#include "utils/relfilenodemap.h"
#endif
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"

/* The prefix that belongs to us: unknown settings under it are errors. */
static inline void
ffs_compat_reserve_prefix(const char *prefix)
{
	MarkGUCPrefixReserved(prefix);
}

/* 16 has it no longer. */
#ifndef Abs
#define Abs(x) ((x) >= 0 ? (x) : -(x))
#endif

/* 18 has another spelling, in front of the declaration. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* A scan of an index, by entries. */
static inline IndexScanDesc
ffs_compat_index_beginscan(Relation rel, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(rel, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(rel, index, snapshot, nkeys, 0);
#endif
}

/* How the columns of a btree index are sorted. */
static inline void
ffs_compat_prepare_sort(Relation index, bool descending, SortSupport ssup)
{
#if PG_VERSION_NUM >= 180000
	PrepareSortSupportFromIndexRel(index, descending, ssup);
#else
	PrepareSortSupportFromIndexRel(index, descending ? BTGreaterStrategyNumber : BTLessStrategyNumber, ssup);
#endif
}

/*
 * Settings of utils/pg_locale.h, which includes ICU's headers where the server
 * was built with ICU: those need not be here.
 */
extern PGDLLIMPORT char *locale_monetary;
extern PGDLLIMPORT char *locale_numeric;
extern PGDLLIMPORT char *locale_time;

/* A number that no other backend has meanwhile, from 0 to MaxBackends - 1. */
static inline int
ffs_compat_backend_slot(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyBackendId - 1;
#endif
}

/* A qualified name, quoted where it must be, as a list of its parts. */
static inline List *
ffs_compat_name_list(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* The index entries of a row that has just gone in. */
static inline void
ffs_compat_insert_index_tuples(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false));
#else
	list_free(ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL));
#endif
}

/* After the last index_insert() of an IndexInfo: from 17 on, it may hold resources. */
static inline void
ffs_compat_index_insert_cleanup(Relation index, IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	index_insert_cleanup(index, info);
#else
	(void) index;
	(void) info;
#endif
}

/* Is there nothing yet in these unique indexes that a row would conflict with? */
static inline bool
ffs_compat_check_unique(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate,
						ItemPointer conflict, List *indexes)
{
#if PG_VERSION_NUM >= 180000
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	return ExecCheckIndexConstraints(rri, slot, estate, conflict, &none, indexes);
#else
	return ExecCheckIndexConstraints(rri, slot, estate, conflict, indexes);
#endif
}

/* Replace the row at tid; its index entries too where they have to be. */
static inline void
ffs_compat_update_tuple(Relation rel, ItemPointer tid, TupleTableSlot *slot,
						ResultRelInfo *rri, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes;

	simple_table_tuple_update(rel, tid, slot, GetActiveSnapshot(), &update_indexes);
	if (update_indexes != TU_None && rri->ri_NumIndices > 0)
		list_free(ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL,
										update_indexes == TU_Summarizing));
#else
	bool		update_indexes;

	simple_table_tuple_update(rel, tid, slot, GetActiveSnapshot(), &update_indexes);
	if (update_indexes && rri->ri_NumIndices > 0)
		list_free(ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL));
#endif
}

/* What a hook on the executor's run is given, and gives on. */
#if PG_VERSION_NUM >= 180000
#define FFS_EXECUTOR_RUN_ARGS QueryDesc *desc, ScanDirection direction, uint64 count
#define FFS_EXECUTOR_RUN(run) run(desc, direction, count)
#else
#define FFS_EXECUTOR_RUN_ARGS QueryDesc *desc, ScanDirection direction, uint64 count, bool execute_once
#define FFS_EXECUTOR_RUN(run) run(desc, direction, count, execute_once)
#endif

/* Run a plan to its end, once. */
static inline void
ffs_compat_executor_run(QueryDesc *desc)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(desc, ForwardScanDirection, 0);
#else
	ExecutorRun(desc, ForwardScanDirection, 0, true);
#endif
}

/* Does the role own the relation (or is it a superuser)? */
static inline bool
ffs_compat_owns_relation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* May the role look things up in the schema? */
static inline bool
ffs_compat_may_use_namespace(Oid namespace, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, namespace, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(namespace, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* This backend's number of the running transaction, which has no id yet perhaps. */
static inline LocalTransactionId
ffs_compat_lxid(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

/* The role that an entry of the range table is read as; InvalidOid: the current one. */
static inline Oid
ffs_compat_check_as_user(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return rte->perminfoindex > 0 ? getRTEPermissionInfo(query->rteperminfos, rte)->checkAsUser : InvalidOid;
#else
	(void) query;
	return rte->checkAsUser;
#endif
}

static inline bool
ffs_compat_is_autovacuum(void)
{
#if PG_VERSION_NUM >= 170000
	return AmAutoVacuumWorkerProcess();
#else
	return IsAutoVacuumWorkerProcess();
#endif
}

/* Where a block in the server's buffers is from; of a BufferTag. */
#if PG_VERSION_NUM >= 160000
#define ffs_compat_tag_space(tag)		((tag).spcOid)
#define ffs_compat_tag_database(tag)	((tag).dbOid)
#define ffs_compat_tag_filenode(tag)	BufTagGetRelNumber(&(tag))
#define ffs_compat_tag_fork(tag)		BufTagGetForkNum(&(tag))
#else
#define ffs_compat_tag_space(tag)		((tag).rnode.spcNode)
#define ffs_compat_tag_database(tag)	((tag).rnode.dbNode)
#define ffs_compat_tag_filenode(tag)	((tag).rnode.relNode)
#define ffs_compat_tag_fork(tag)		((tag).forkNum)
#endif

/* The number of a relation's file. */
static inline Oid
ffs_compat_filenode(Relation rel)
{
#if PG_VERSION_NUM >= 160000
	return rel->rd_locator.relNumber;
#else
	return rel->rd_node.relNode;
#endif
}

/* The relation of this database with that file; InvalidOid where there is none. */
static inline Oid
ffs_compat_relid_by_filenode(Oid space, Oid filenode)
{
#if PG_VERSION_NUM >= 160000
	return RelidByRelfilenumber(space, filenode);
#else
	return RelidByRelfilenode(space, filenode);
#endif
}

/* A variable that no other library sees: looked at without a detour. */
#if defined(__GNUC__)
#define FFS_HIDDEN __attribute__((visibility("hidden")))
#else
#define FFS_HIDDEN
#endif

/* Fetch from memory what will be wanted soon; nothing where the compiler does not know how. */
#if defined(__GNUC__)
#define ffs_compat_prefetch(address) __builtin_prefetch(address)
#else
#define ffs_compat_prefetch(address) ((void) (address))
#endif

#endif							/* FFS_COMPAT_H */
