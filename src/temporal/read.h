/*-------------------------------------------------------------------------
 *
 * read.h
 *		Inside the room temporal: what the readers of the past share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TEMPORAL_READ_H
#define FFS_TEMPORAL_READ_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

#include "registry/registry.h"

/*
 * A managed root as one call reads it: a copy, since descriptors may go away
 * under the queries that a reader runs.
 */
typedef struct Reader
{
	Oid			rootid;
	FfsStrategy strategy;
	const char *table;			/* quoted names */
	const char *side;			/* the history or the audit table */
	Oid			side_relid;
	Oid			rowtype;
	TupleDesc	desc;
	AttrNumber	stamp[FFS_NSTAMPS];
	Bitmapset  *hidden;			/* attributes whose change is no news: stamps, excluded ones */
	int			nkeys;
	AttrNumber *key;
	Oid		   *key_type;		/* under any domain */
	const char **key_name;		/* quoted */
	const char **key_equal;		/* OPERATOR(schema.=) */
	Bitmapset  *in_history;		/* attributes that the history has too */
} Reader;

/* The root of `table`, opened for reading; error as_of_unavailable where nothing is kept of it. */
extern Reader *ffs_temporal_reader(const FfsTable *table);

/*
 * In the middle of a statement that writes the table (a trigger has called
 * us), what has left the table may still be on its way to history.  Write it
 * out and take a snapshot that sees it; true if the caller must pop that.
 */
extern bool ffs_temporal_catch_up(Oid rootid);

/* "alias.key = $1 AND …", parameters counted from `first`. */
extern const char *ffs_temporal_key_clause(const Reader *reader, const char *alias, int first);

/* "ROW(alias.a, …)::type" for a row of `rowtype_relid` (the root or a partition) out of the table or its history. */
extern const char *ffs_temporal_row_expression(const Reader *reader, Oid rowtype_relid,
											   const char *alias, bool from_history);

/* One entry of an audit table; `field` NULL for one with a whole row. */
typedef struct AuditEntry
{
	const char *operation;
	const char *field;
	Jsonb	   *old_value;
	Jsonb	   *new_value;
	TimestampTz at;
	const char *actor;
	uint64		xid;
} AuditEntry;

/* A key's audit entries up to a moment, oldest first, into an array; needs SPI_connect. */
extern AuditEntry *ffs_temporal_audit_entries(const Reader *reader, const Datum *key,
											  TimestampTz until, int *nentries);

/* The row after one more entry (NULL: no row, or none known). */
extern Jsonb *ffs_temporal_replay(const Reader *reader, Jsonb *row, const AuditEntry *entry);

/* An object of one member, for building others; a NULL value is a jsonb null. */
extern void ffs_temporal_push_member(JsonbParseState **state, const char *name, Jsonb *value);

#endif							/* FFS_TEMPORAL_READ_H */
