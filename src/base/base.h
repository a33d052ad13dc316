/*-------------------------------------------------------------------------
 *
 * base.h
 *		What every other room stands on: version differences, SQLSTATEs,
 *		shared-memory registration, names, running SQL with another's rights,
 *		look-ups through an index without SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BASE_H
#define FFS_BASE_H

#include "postgres.h"

#include "access/genam.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "base/call.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/errors.h"

/* The schema that holds what users do not call themselves. */
#define FFS_SCHEMA "ffstorage"

extern void ffs_base_init(void);
extern void ffs_base_init_done(void);

/* ---- shared memory (only when in shared_preload_libraries) ---- */

/*
 * Ask for `size` bytes under `name`, from a room's init function.  `setup`
 * runs in every process once the memory is there; `found` says that it was
 * set up before.  Nothing happens, and setup is never called, without preload.
 */
typedef Size (*FfsShmemSize) (void);
typedef void (*FfsShmemSetup) (void *memory, bool found);
extern void ffs_base_register_shmem(const char *name, FfsShmemSize size, FfsShmemSetup setup);
extern bool ffs_base_preloaded(void);

/* ---- names ---- */

/* "schema"."table", quoted where it must be; palloc'd. */
extern char *ffs_base_relation_name(Oid relid);

/* The schema that the user-facing functions are in (CREATE EXTENSION's). */
extern Oid	ffs_base_extension_namespace(void);
/* The extension's oid; InvalidOid where it is not created in this database. */
extern Oid	ffs_base_extension_oid(void);
/* A table of ours in FFS_SCHEMA, by name; error if it is not there. */
extern Oid	ffs_base_catalog_relid(const char *name);

/*
 * A name beside a table: base + suffix, cut to NAMEDATALEN - 1 bytes with a
 * hash of the whole where it would be longer; never inside a character.
 */
extern char *ffs_base_side_name(const char *base, const char *suffix);

/* ---- another's rights ---- */

/*
 * Between begin and end, SQL runs as `role` with search_path pg_catalog,
 * pg_temp.  Errors undo it by themselves (transaction abort restores both).
 */
typedef struct FfsRights
{
	Oid			role;
	int			sec_context;
	int			guc_level;
} FfsRights;

extern void ffs_base_begin_as(FfsRights *saved, Oid role);
extern void ffs_base_end_as(FfsRights *saved);
/* the owner of the extension's own tables */
extern Oid	ffs_base_owner(void);

/* May this role write whatever row-level security says? */
extern bool ffs_base_bypasses_rls(Oid role);

/* ---- SQL ---- */

/* SPI_execute of a formatted text; errors unless it returns `expect` (an SPI_OK_ code, 0 for any).  Needs SPI_connect. Returns SPI_processed. */
extern uint64 ffs_base_run(int expect, const char *fmt,...) pg_attribute_printf(2, 3);

/* In an event trigger: is the command that fired it one of ffs_base_run's own, not one that functions of users' run inside? */
extern bool ffs_base_is_running(void);

/* ---- rows by key, without SQL ---- */

/*
 * Fetch the first row of `rel` that `index` finds with its leading nkeys
 * columns equal to `values` (none NULL), visible to `snapshot`, into `slot`
 * (made by table_slot_create).  Backward takes the last such row in index
 * order instead.  No lock is taken on the row.
 */
extern bool ffs_base_fetch_by_key(Relation rel, Relation index, int nkeys, const Datum *values,
								  Snapshot snapshot, bool backward, TupleTableSlot *slot);

/* The same, backward, with the index column after the keys at most `until`. */
extern bool ffs_base_fetch_last_until(Relation rel, Relation index, int nkeys, const Datum *values, Datum until,
									  Snapshot snapshot, TupleTableSlot *slot);

/* The last row of the key that is wanted. */
typedef bool (*FfsRowWanted) (TupleTableSlot *slot, void *arg);
extern bool ffs_base_fetch_last_wanted(Relation rel, Relation index, int nkeys, const Datum *values,
									   FfsRowWanted wanted, void *arg, Snapshot snapshot, TupleTableSlot *slot);

/* Insert slots into a heap with their index entries (unique checks included); no triggers, no constraints, no rights.  Index expressions run as the table's owner. */
extern void ffs_base_insert_slots(Relation rel, TupleTableSlot **slots, int nslots);

/* Replace the row that `slot` was fetched from by what `newslot` holds, index entries included. */
extern void ffs_base_update_slot(Relation rel, TupleTableSlot *slot, TupleTableSlot *newslot);

/* Take the row at `tid` out. */
extern void ffs_base_delete_tid(Relation rel, ItemPointer tid);

#endif							/* FFS_BASE_H */
