/*-------------------------------------------------------------------------
 *
 * verdict_walk.h
 *		The walk through a query, for verdict.c, and verdict_hidden.c, which
 *		knows what the tree does not show.
 *
 * All of these say true where the walk is over because the result may not be
 * kept, and then the verdict has the reason.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_VERDICT_WALK_H
#define FFS_CACHE_VERDICT_WALK_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "cache/verdict.h"

typedef struct Walk
{
	Verdict    *verdict;
	Query	   *query;			/* that we are in */
	List	   *moments;		/* locations of strings that may mean a moment */
	List	   *functions;		/* whose bodies were walked */
	int			depth;
	Oid			temporaries;	/* the namespace of this session's, InvalidOid: there are none */
} Walk;

/* verdict.c */
extern bool ffs_cache_refuse(Walk *context, const char *fmt,...) pg_attribute_printf(2, 3);
extern bool ffs_cache_walk(Node *node, Walk *context);
/* Of a function that is called here by this node; NULL: it is not in the tree. */
extern bool ffs_cache_check_function(Walk *context, Oid funcid, Node *call);

/* verdict_hidden.c */
extern bool ffs_cache_has_odd_temporaries(Oid namespace);
extern bool ffs_cache_has_type(const Node *node);
extern bool ffs_cache_check_type(Walk *context, Oid type);
extern bool ffs_cache_check_input(Walk *context, Oid type);
extern bool ffs_cache_check_inputs(Walk *context, TableFunc *function);
extern bool ffs_cache_check_defaults(Walk *context, FuncExpr *call);
extern bool ffs_cache_check_result(Walk *context, Node *call);
extern bool ffs_cache_check_columns(Walk *context, RangeTblEntry *rte);
extern bool ffs_cache_check_return(Walk *context, Oid funcid, Node *call, Query *last);

#endif							/* FFS_CACHE_VERDICT_WALK_H */
