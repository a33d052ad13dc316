/*-------------------------------------------------------------------------
 *
 * verdict.h
 *		Whether the result of a query may be kept, and what it is made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_CACHE_VERDICT_H
#define FFS_CACHE_VERDICT_H

#include "postgres.h"

#include "cache/results.h"
#include "nodes/pg_list.h"

/* Setting ffstorage.cache_functions */
extern char *ffs_cache_functions;

typedef struct ReadTable
{
	Oid			rootid;
	bool		by_tenant;		/* of which only the tenants' rows are read */
} ReadTable;

typedef struct Verdict
{
	const char *reason;			/* why it may not be kept, a sentence; NULL: it may */
	const char *hint;
	List	   *tables;			/* of ReadTable */
	List	   *relations;		/* oids of all that is read, views too */
	List	   *types;			/* oids of those that were looked at */
	int			nparams;
	Oid		   *param_types;	/* as they were given, or found out where UNKNOWNOID was */
} Verdict;

/*
 * Look at a query, with parameters of these types, as the current role would
 * run it now.  In the current memory context.  Errors: those of parsing it;
 * 0A000 where it is no query that only reads.
 */
extern Verdict *ffs_cache_examine(const char *query, int nparams, const Oid *param_types);

/* The namespace of this session's temporary objects; InvalidOid where there is none. */
extern Oid	ffs_cache_temporaries(void);

/*
 * Turn the tables into what the store needs to know, for the tenants that are
 * set.  NULL, or why it may not be kept just now.
 */
extern const char *ffs_cache_collect_needs(const Verdict *verdict, ResultNeeds *needs);

#endif							/* FFS_CACHE_VERDICT_H */
