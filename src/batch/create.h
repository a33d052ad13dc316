/*-------------------------------------------------------------------------
 *
 * create.h
 *		What ffs_create_many and ffs_create_records have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_BATCH_CREATE_H
#define FFS_BATCH_CREATE_H

#include "postgres.h"

#include "portability/instr_time.h"

#include "batch/engine.h"
#include "batch/precheck.h"

typedef enum OnConflict
{
	CONFLICT_ERROR,
	CONFLICT_SKIP,
	CONFLICT_UPDATE
} OnConflict;

typedef struct Create
{
	BatchCall	call;			/* must be first */
	BatchMethods methods;
	instr_time	start;
	/* NULL, or called when the table is open: sets `always`, `patched` */
	void		(*prepare) (struct Create *create);
	uint64	   *always;			/* columns of every INSERT */
	uint64	   *patched;		/* ON CONFLICT DO UPDATE leaves them alone where a row does not give them; all, to begin with */

	OnConflict	on_conflict;
	int			nconflict;		/* columns of the ON CONFLICT clause */
	AttrNumber *conflict;
	Oid			arbiter;		/* its unique index */
	Precheck   *precheck;		/* NULL until a row has failed */

	/* the last INSERT's text, and what it was made for */
	char	   *query;
	uint64	   *query_columns;
	bool		query_mixed;
	uint64	   *columns;		/* scratch */
} Create;

/*
 * The rest of a call whose call.table, call.total, methods.read,
 * methods.read_key and start are set, with on_conflict and what follows it
 * from argument `first` on.
 */
extern Datum ffs_batch_create(Create *create, FunctionCallInfo fcinfo, int first);

#endif							/* FFS_BATCH_CREATE_H */
