/*-------------------------------------------------------------------------
 *
 * rows.h
 *		What the files of the batch room tell each other: rows made from
 *		jsonb, plans kept for the session, the feed of a batch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_ROWS_H
#define FFS_BATCH_ROWS_H

#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "base/base.h"
#include "registry/registry.h"

/* ---- rows.c: jsonb objects as rows of a table ---- */

/* How a column takes a jsonb value: the fast ways, and the general ones. */
typedef enum ColumnKind
{
	COLUMN_INPUT,				/* the type's input function */
	COLUMN_TEXT,
	COLUMN_INT2,
	COLUMN_INT4,
	COLUMN_INT8,
	COLUMN_FLOAT4,
	COLUMN_FLOAT8,
	COLUMN_NUMERIC,
	COLUMN_BOOL,
	COLUMN_UUID,
	COLUMN_DATE,
	COLUMN_TIMESTAMP,
	COLUMN_TIMESTAMPTZ,
	COLUMN_JSONB,
	COLUMN_POPULATE				/* arrays and composites: jsonb_populate_record */
} ColumnKind;

typedef struct RowColumn
{
	AttrNumber	attno;
	const char *name;
	int			name_length;
	Oid			type;
	int32		typmod;
	bool		byval;
	int16		length;
	bool		dropped;
	bool		stamp;			/* ours: ignored where it is given */
	bool		generated;
	bool		identity_always;
	bool		is_domain;

	bool		ready;			/* what follows is set up at first use */
	ColumnKind	kind;
	FmgrInfo	input;
	Oid			io_param;
	FmgrInfo	populate;
	Datum		populate_base;	/* a NULL of this column as a record of one */

	bool		default_ready;
	ExprState  *default_expr;	/* NULL: no default */
} RowColumn;

#define GIVEN_WORDS(natts) (((natts) + 63) / 64)

typedef struct RowReader
{
	Relation	rel;
	FfsTable   *table;
	const char *relation_name;	/* as messages name it: no look-up is allowed where they are made */
	int			natts;
	int			nwords;			/* of a set of given columns */
	RowColumn  *columns;		/* by attribute number - 1 */
	MemoryContext context;		/* lives as long as the reader */
	StringInfoData scratch;
	EState	   *estate;			/* evaluates defaults */
	int		   *expected;		/* the last object's columns in its order */
	int			nexpected;
	bool		for_update;		/* objects are patches: key columns of any kind may be named */
	bool		whole_rows;		/* not objects, but rows of the table's type, are read */
	bool		takes_version;	/* and expected_version, which goes to `version` */
	JsonbValue	version;		/* jbvNull where the object has none */
	const RowColumn *current;	/* the column being converted, for messages */
} RowReader;

extern RowReader *ffs_batch_open_reader(Relation rel, FfsTable *table);

/*
 * Convert the members of a jsonb object into values of the columns, in the
 * current memory context; `given` is the set of columns that it names, without
 * stamps, as bits.  Errors: undefined column, bad value, a column that takes
 * none; reader->current is the column then, or NULL.
 */
extern void ffs_batch_read_object(RowReader *reader, JsonbContainer *object,
								  Datum *values, bool *nulls, uint64 *given);

/* The same of these columns only, whatever else the object holds. */
extern void ffs_batch_read_members(RowReader *reader, JsonbContainer *object, int ncolumns, const AttrNumber *columns,
								   Datum *values, bool *nulls, uint64 *given);

/* The column of this name, or NULL. */
extern RowColumn *ffs_batch_find_column(RowReader *reader, const char *name, int length);

/*
 * One jsonb value as a value of `column`, which may be the caller's own: name,
 * type, typmod, byval and length are what counts of it.
 */
extern Datum ffs_batch_read_value(RowReader *reader, RowColumn *column, JsonbValue *value, bool *isnull);

/* The column's DEFAULT, evaluated, in the current memory context. */
extern void ffs_batch_default(RowReader *reader, AttrNumber attno, Datum *value, bool *isnull);

/* Put "Column "x" of table y." before an error's DETAIL, where one is being converted. */
extern void ffs_batch_name_column(RowReader *reader, ErrorData *error);

static inline bool
ffs_batch_is_given(const uint64 *given, AttrNumber attno)
{
	return (given[(attno - 1) / 64] >> ((attno - 1) % 64)) & 1;
}

static inline void
ffs_batch_set_given(uint64 *given, AttrNumber attno)
{
	given[(attno - 1) / 64] |= UINT64CONST(1) << ((attno - 1) % 64);
}

static inline void
ffs_batch_clear_given(uint64 *given, AttrNumber attno)
{
	given[(attno - 1) / 64] &= ~(UINT64CONST(1) << ((attno - 1) % 64));
}

/* Error 428C9: a value was given for a column that only the server fills. */
extern void ffs_batch_refuse_value(RowReader *reader, const RowColumn *column);

/* ---- keyjson.c: keys as jsonb, quickly ---- */

typedef struct KeyWriter KeyWriter;
extern KeyWriter *ffs_batch_open_key_writer(const FfsTable *table, TupleDesc desc);
/* The key as a jsonb object, in the current memory context. */
extern Datum ffs_batch_write_key(KeyWriter *writer, const Datum *values);

/* ---- plans.c: plans kept for the session ---- */

/*
 * The plan of a text with parameters of these types; needs SPI_connect.  One
 * that is not kept should go by SPI_freeplan after use.
 */
extern SPIPlanPtr ffs_batch_plan(const char *query, int nargs, Oid *types, bool *kept);

/* Run that plan; SPI_processed, and SPI_tuptable is what it gave.  Errors unless it ends as SPI code `expect`. */
extern uint64 ffs_batch_run_plan(const char *query, int nargs, Oid *types, Datum *values,
								 const char *nulls, int expect);

/* "schema".<, an operator to be written after OPERATOR. */
extern char *ffs_batch_operator_name(Oid operator);
/* "schema".=, the equality of a key column's index, to be written after OPERATOR. */
extern char *ffs_batch_key_equality(const FfsTable *table, int n);
/* Append `alias.k1 OPERATOR(=) $first AND ...`; types of the parameters go to `types`. */
extern void ffs_batch_append_key(StringInfo buf, const FfsTable *table, const char *alias,
								 int first, Oid *types);
/* Append `left.k1 OPERATOR(=) right.k1 AND ...`. */
extern void ffs_batch_append_key_join(StringInfo buf, const FfsTable *table, const char *left, const char *right);
/* Append the RETURNING or SELECT expression that is the row `alias` as jsonb, of the columns this role may read. */
extern void ffs_batch_append_row_jsonb(StringInfo buf, Relation rel, const char *alias);

/* ---- arguments ---- */

/* A managed relation given as argument n; errors on NULL and on what is not managed. */
extern FfsTable *ffs_batch_table_argument(FunctionCallInfo fcinfo, int n, bool for_write);
/* The same of a row type: NULL::contracts. */
extern FfsTable *ffs_batch_element_argument(FunctionCallInfo fcinfo, int n);
/* Error 42501 unless the role may do this to the table or to some column of it. */
extern void ffs_batch_require(Oid relid, AclMode mode);

#endif							/* FFS_BATCH_ROWS_H */
