/*-------------------------------------------------------------------------
 *
 * internal.h
 *		What the files of this room tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_TENANCY_INTERNAL_H
#define FFS_TENANCY_INTERNAL_H

#include "postgres.h"

/* The name of the restrictive policy on every relation with a tenant column. */
#define FFS_TENANT_POLICY "ffstorage_tenant"

/*
 * Do this transaction's reads need plans of their own: is the mode ALL, or
 * are there several tenants?
 */
extern bool ffs_tenancy_is_wide(void);

/* policy.c */
extern void ffs_tenancy_init_policy(void);


#endif							/* FFS_TENANCY_INTERNAL_H */
