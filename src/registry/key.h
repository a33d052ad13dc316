/*-------------------------------------------------------------------------
 *
 * key.h
 *		A row's key as callers give it, and as ffstorage.rekeys keeps it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FFS_REGISTRY_KEY_H
#define FFS_REGISTRY_KEY_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "registry/registry.h"

/*
 * The key that the arguments of a call give, from argument `first` (0-based)
 * on, as values of the key columns' types, in key order, none NULL, allocated
 * where we are called.  The same for all three forms that SQL declares:
 * VARIADIC "any" (also called with VARIADIC and an array), text, jsonb.
 *
 * Errors: key_missing (no primary key, the wrong number of values, a NULL),
 * 42804 (a type that does not go into the key's without loss), 22P02 and its
 * like (a text that is no such value), 42703 (a jsonb member that is no key
 * column).
 */
extern void ffs_registry_key_from_args(const FfsTable *table, FunctionCallInfo fcinfo,
									   int first, Datum *values);

/*
 * The same from a jsonb: an object with a member for each key column (and, if
 * it likes, one called `extra`, which may be NULL for none), or for a key of
 * one column a bare value.
 */
extern void ffs_registry_key_from_jsonb(const FfsTable *table, Jsonb *key,
										const char *extra, Datum *values);

/* One value of any type as a value of key column `n` (0-based). */
extern Datum ffs_registry_key_value(const FfsTable *table, int n, Oid type, Datum value);

/*
 * A key as jsonb: an object by key column names, in a form that no setting of
 * the session (time zone, digits of floats) changes.  ffstorage.rekeys holds
 * and finds keys so.
 */
extern Jsonb *ffs_registry_key_to_jsonb(const FfsTable *table, const Datum *values);

/*
 * From here to AtEOXact_GUC(false, result), values print in a form that no
 * setting of the session changes, and that gives back the very value.
 */
extern int	ffs_registry_begin_plain_output(void);

/* A datum as to_jsonb() makes it; never NULL. */
extern Datum ffs_registry_to_jsonb(Oid type, Datum value);

/* The key as people read it in a message: (a, b)=(1, x). */
extern char *ffs_registry_key_text(const FfsTable *table, const Datum *values);

/* The key columns' names, separated by commas. */
extern char *ffs_registry_key_names(const FfsTable *table);

#endif							/* FFS_REGISTRY_KEY_H */
