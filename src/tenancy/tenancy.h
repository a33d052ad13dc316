/*-------------------------------------------------------------------------
 *
 * tenancy.h
 *		Who we are: the transaction's tenant, kept in this module and in no
 *		setting, and the checks that follow from it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TENANCY_H
#define FFS_TENANCY_H

#include "postgres.h"

#include "lib/stringinfo.h"

typedef enum FfsTenantMode
{
	FFS_TENANT_NONE,			/* none set: reads see nothing, writes fail */
	FFS_TENANT_LIST,			/* one or more named tenants */
	FFS_TENANT_ALL				/* ffs_set_all_tenants() */
} FfsTenantMode;

extern void ffs_tenancy_init(void);

extern FfsTenantMode ffs_tenancy_mode(void);

/* The tenants set, as text[] in the current memory context; false where there are none (mode NONE or ALL). */
extern bool ffs_tenancy_list(Datum *tenants);

/* Those of the tenants set that are values of `type`, good until the transaction ends; how many. */
extern int	ffs_tenancy_values(Oid type, const Datum **values);

/* May a tenant column have this type?  (uuid, text, int2, int4, int8) */
extern bool ffs_tenancy_type_ok(Oid type);

/*
 * The name of the function in FFS_SCHEMA that gives the single tenant as
 * `type`: the DEFAULT of tenant columns, and what policies compare with.
 */
extern const char *ffs_tenancy_function(Oid type);

/*
 * The policy of one relation, as SQL commands appended to buf, separated by
 * semicolons: a restrictive one, ffstorage_tenant, that compares the tenant
 * column (made anew where it is there), ENABLE and FORCE ROW LEVEL SECURITY.
 * `relation` and `managed` come with their schema, quoted where they must be;
 * `tenant_column` as it is.  `managed` is the root that the relation is,
 * belongs to or stands beside; errors and counts name it.  (Not for what
 * stands beside: a policy that names another table holds up its DROP.)
 * The permissive policy beside it should say USING (ffstorage.any_row()):
 * when somebody drops the extension with CASCADE, both go, and nothing opens.
 */
extern void ffs_tenancy_policy_sql(StringInfo buf, const char *relation, const char *managed,
								   const char *tenant_column, Oid type);

/* The value for a tenant column that a statement left NULL; false if there is not exactly one tenant or it does not fit the type. */
extern bool ffs_tenancy_default(Oid type, Datum *value);

/* Is this value one of the tenants set (true in mode ALL; false with none)? */
extern bool ffs_tenancy_allows(Oid type, Datum value);

/*
 * At the start of a statement that writes `relid`: error tenant_not_set when
 * no tenant is set and the role does not bypass row-level security (for a
 * foreign-key action, the role that runs the outer statement counts).
 */
extern void ffs_tenancy_check_statement(Oid relid);

/*
 * Before a row with this tenant is written: error tenant_violation, counted
 * for `relid`, if a tenant is set and this is not it; tenant_not_set as above.
 */
extern void ffs_tenancy_check_row(Oid relid, Oid type, Datum value, bool isnull);

/* TRUNCATE with a tenant set is a violation. */
extern void ffs_tenancy_check_truncate(Oid relid);

/* Raise tenant_violation for `relid`, counted; `detail` as a sentence or NULL. */
extern void ffs_tenancy_violation(Oid relid, const char *detail) pg_attribute_noreturn();

#endif							/* FFS_TENANCY_H */
