/*-------------------------------------------------------------------------
 *
 * write.h
 *		What the files that write the past tell each other.
 *
 * transaction.c	the transaction's stamp, actor, and its row
 * buffer.c			rows on their way to side tables
 * capture.c		what a change leaves behind: history, deleted rows
 * audit.c			what a change leaves behind: audit entries
 * copy.c			COPY at its own speed
 * statements.c		what PostgreSQL calls for each statement
 * triggers.c		what PostgreSQL calls for each row
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TEMPORAL_WRITE_H
#define FFS_TEMPORAL_WRITE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "portability/instr_time.h"

#include "base/writer.h"
#include "registry/registry.h"
#include "stats/stats.h"

/* ---- transaction.c ---- */

extern void ffs_temporal_transaction_init(void);
/* The actor as a text datum, good for the transaction. */
extern Datum ffs_temporal_actor_datum(void);
/* This transaction's id as xid8, assigned if need be. */
extern FullTransactionId ffs_temporal_xid(void);
/* A managed table is being written: see that the transaction's row is there if it has something to say. */
extern void ffs_temporal_note_write(void);

/* ---- buffer.c ---- */

extern void ffs_temporal_buffer_init(void);
/*
 * Where rows for `target`, a table beside rootid, go now; they are written by
 * the next flush of rootid in this subtransaction at the latest, and are
 * forgotten if the subtransaction aborts before.  desc must live as long as
 * the transaction, or be counted.
 */
extern FfsWriter *ffs_temporal_buffer(Oid rootid, Oid target, TupleDesc desc);
/* Take one row; the values are copied. */
extern void ffs_temporal_buffer_row(Oid rootid, Oid target, TupleDesc desc,
									const Datum *values, const bool *nulls);
/* Write out what this subtransaction has buffered for rootid (InvalidOid: for every table). */
extern void ffs_temporal_buffer_flush(Oid rootid);
/* Is anything buffered for rootid in this subtransaction? */
extern bool ffs_temporal_buffer_pending(Oid rootid);

/* ---- capture.c ---- */

/* Was this row version written by this transaction (as scd2 counts it)? */
extern bool ffs_temporal_is_own_version(FfsTable *table, HeapTuple tuple, TupleDesc desc);

/*
 * The moment from which a new version of `old` counts: the transaction's
 * stamp, or just past the old version's where that is not earlier.
 */
extern TimestampTz ffs_temporal_follow(TimestampTz previous);

/* One closed version of a row, to history. */
extern void ffs_temporal_close_version(FfsTable *table, HeapTuple old, TupleDesc desc,
									   TimestampTz end, const char *operation);

/* A row leaves the table, by DELETE, TRUNCATE or otherwise: history, audit and deleted rows as the table's strategy wants them. */
extern void ffs_temporal_end_row(FfsTable *table, HeapTuple old, TupleDesc desc, const char *operation);

/* A deleted row, to where it waits for ffs_restore(). */
extern void ffs_temporal_keep_deleted(FfsTable *table, HeapTuple old, TupleDesc desc, TimestampTz at);

/* A key changed: the link between two lives. */
extern void ffs_temporal_link_lives(FfsTable *table, HeapTuple old, HeapTuple new, TupleDesc desc, TimestampTz at);

/* Have two values of a column the same image? */
extern bool ffs_temporal_same_value(TupleDesc desc, AttrNumber attno, Datum a, bool anull, Datum b, bool bnull);

/* Rows of a key as a jsonb object {"column": value}. */
extern Datum ffs_temporal_key_jsonb(FfsTable *table, HeapTuple tuple, TupleDesc desc);

/* ---- audit.c ---- */

/* Audit entries: of a whole row that came or went, of each field that differs. */
extern void ffs_temporal_audit_row(FfsTable *table, HeapTuple tuple, TupleDesc desc,
								   const char *operation, bool is_new, TimestampTz at);
extern void ffs_temporal_audit_fields(FfsTable *table, TupleTableSlot *old, TupleTableSlot *new,
									  TimestampTz at);

/* A time of a row; `otherwise` where it is NULL. */
extern TimestampTz ffs_temporal_time_attribute(HeapTuple tuple, AttrNumber attno, TupleDesc desc, TimestampTz otherwise);
/* The column of a side table that comes from `source`. */
extern AttrNumber ffs_temporal_side_attribute(TupleDesc desc, const AttrNumber *map, AttrNumber source);

/* ---- ends.c: scd2 and copy_on_change ---- */

/* The latest closed version, written by this transaction's earlier update, ends the life after all. */
extern void ffs_temporal_amend_end(FfsTable *table, HeapTuple old, TupleDesc desc, const char *operation);

/*
 * When the last life of this key ended, at or after the transaction's stamp;
 * false where no such end is known.
 */
extern bool ffs_temporal_last_end(FfsTable *table, HeapTuple tuple, TupleDesc desc, TimestampTz *end);

/* Are there ends of lives at or after the transaction's stamp at all? */
extern bool ffs_temporal_any_end(FfsTable *table);

/*
 * After the statement: move rows that this transaction inserted past ends of
 * their keys' lives; where the row trigger looked (`probed`), only past those
 * that were committed meanwhile.
 */
extern void ffs_temporal_settle_inserts(FfsTable *table, bool probed);

/* ---- copy.c ---- */

extern void ffs_temporal_copy_init(void);
/* Called at the start of a statement: is it a COPY that runs without our row trigger? */
extern bool ffs_temporal_copy_begins(Oid relid);
/* The managed table that such a COPY fills now; InvalidOid where none runs. */
extern Oid	ffs_temporal_copying(void);

/* ---- statements.c ---- */

/*
 * What the statements of this transaction did to a table, until they end:
 * for the figures, and whether inserts must look for ends of lives.
 */
typedef struct FfsActivity
{
	dlist_node	node;
	Oid			rootid;
	SubTransactionId subid;
	bool		ends_seen;		/* ends of lives at or after our stamp, or our own */
	Oid			direct;			/* the partition that an INSERT named itself */
	bool		unprobed;		/* rows came without a look at the ends of lives */
	bool		rekeyed;		/* an UPDATE of the running statement began lives */
	uint64		arrivals;		/* rows passed by BEFORE INSERT that is_new_row has yet to see */
	int			truncating;		/* partitions that TRUNCATE of their root has yet to come to */
	uint64		rows[FFS_OP_TRUNCATE + 1];
	bool		started[FFS_OP_TRUNCATE + 1];
	instr_time	start[FFS_OP_TRUNCATE + 1];
} FfsActivity;

extern void ffs_temporal_statements_init(void);
/* What the current subtransaction is doing to a table. */
extern FfsActivity *ffs_temporal_activity(Oid rootid);
/* The trigger's data; error unless called by a trigger. */
extern TriggerData *ffs_temporal_trigger_data(FunctionCallInfo fcinfo, const char *name);
/* Error: the function belongs to another kind of trigger. */
extern void ffs_temporal_wrong_event(const char *name, const char *when);

/* ---- triggers.c ---- */

extern void ffs_temporal_triggers_init(void);
/* A row that left its partition and did not arrive in another was deleted. */
extern void ffs_temporal_settle_lost_move(void);
/* NULL, or the operation that ffs_temporal_begin_restore() announced for rootid. */
extern const char *ffs_temporal_restoring(Oid rootid);

#endif							/* FFS_TEMPORAL_WRITE_H */
