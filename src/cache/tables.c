/*-------------------------------------------------------------------------
 *
 * tables.c
 *		Which tables may be answered from the cache, for whom, and how their
 *		keys are hashed.
 *
 * A table is cacheable while every write to it is told: while our triggers on
 * it and on all its partitions are on.  Whoever changes that counts the
 * table's generation up before the change commits (writes.c), so that what
 * was found out holds as long as the generation does; and it is only found
 * out with a snapshot that sees all such changes of that generation as
 * finished.  Relation cache invalidations alone would not do: they are sent
 * after others can see the change (cache_races, cache_windows: triggers off, and
 * on again; cache_rights: roles, grants, policies).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "parser/parse_func.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "base/base.h"
#include "cache/fences.h"
#include "cache/tables.h"
#include "cache/warm.h"
#include "tenancy/tenancy.h"

static HTAB *known_tables = NULL;
static CachedTable *last_known = NULL;
static uint64 role_epoch = 1;	/* counts changes of roles, memberships, schemas */

static void
role_callback(Datum arg pg_attribute_unused(), int cacheid pg_attribute_unused(), uint32 hashvalue pg_attribute_unused())
{
	role_epoch++;
}

void
ffs_cache_tables_init(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_callback, (Datum) 0);
	/* its owner is a member of pg_database_owner */
	CacheRegisterSyscacheCallback(DATABASEOID, role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, role_callback, (Datum) 0);
}

/* ---- keys ---- */

static bool
is_deterministic(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* How values of a key column are hashed; false where they cannot be. */
static bool
describe_part(KeyPart *part, Form_pg_attribute att)
{
	Oid			type = getBaseType(att->atttypid);
	TypeCacheEntry *entry;

	/* a BEFORE trigger does not see it filled */
	if (att->attgenerated)
		return false;
	part->length = att->attlen;
	part->byval = att->attbyval;
	part->collation = att->attcollation;
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (part->byval)
			{
				part->kind = KEY_BY_VALUE;
				return true;
			}
			break;
		case UUIDOID:
			part->kind = KEY_FIXED;
			return true;
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
			if (is_deterministic(att->attcollation))
			{
				part->kind = KEY_VARLENA;
				return true;
			}
			break;
	}
	entry = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC_FINFO);
	if (!OidIsValid(entry->hash_extended_proc))
		return false;
	part->kind = KEY_HASHED;
	fmgr_info_cxt(entry->hash_extended_proc, &part->hash, CurrentMemoryContext);
	return true;
}

/* Of tables with equal ones, one's keys in full are keys of the other's types. */
static uint32
signature_of(const CachedTable *known, FfsTable *table)
{
	uint32		signature = table->nkeys;

	for (int i = 0; i < table->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(known->desc, table->key[i] - 1);

		signature = hash_combine(signature, murmurhash32(att->atttypid));
		signature = hash_combine(signature, murmurhash32((uint32) att->attlen << 1 | att->attbyval));
	}
	return signature;
}

static void
describe(CachedTable *known, FfsTable *table)
{
	Relation	rel;
	MemoryContext old;

	known->serial = 0;
	known->hashable = false;
	known->checked = 0;
	known->role = InvalidOid;
	if (known->context == NULL)
		known->context = AllocSetContextCreate(TopMemoryContext, "ffstorage cached table", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(known->context);
	rel = table_open(table->relid, AccessShareLock);
	old = MemoryContextSwitchTo(known->context);
	known->rootid = table->rootid;
	known->fence = ffs_cache_table_fence(table->rootid);
	known->nkeys = table->nkeys;
	known->parts = palloc0(sizeof(KeyPart) * Max(table->nkeys, 1));
	known->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	known->hashable = table->nkeys > 0;
	for (int i = 0; i < table->nkeys && known->hashable; i++)
		known->hashable = describe_part(&known->parts[i], TupleDescAttr(known->desc, table->key[i] - 1));
	known->tenant_hashable = table->tenant > 0 &&
		is_deterministic(TupleDescAttr(known->desc, table->tenant - 1)->attcollation);
	known->signature = signature_of(known, table);
	MemoryContextSwitchTo(old);
	table_close(rel, AccessShareLock);
	known->serial = table->serial;
	ffs_cache_warm_note(InvalidOid, 1);
}

CachedTable *
ffs_cache_known_table(FfsTable *table)
{
	CachedTable *known = last_known;
	bool		found;

	if (likely(known != NULL && known->relid == table->relid && known->serial == table->serial))
		return known;
	if (known_tables == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(CachedTable)};

		known_tables = hash_create("ffstorage cached tables", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	known = hash_search(known_tables, &table->relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(known, 0, sizeof(CachedTable));
		known->relid = table->relid;
	}
	if (known->serial != table->serial)
		describe(known, table);
	last_known = known;
	return known;
}

/* What of a value counts as its bytes. */
static const char *
value_bytes(const KeyPart *part, Datum *value, Size *length)
{
	if (part->byval)
	{
		/* whatever whoever made the datum left in its upper bytes */
		if (part->length == 1)
			*value = CharGetDatum(DatumGetChar(*value));
		else if (part->length == 2)
			*value = Int16GetDatum(DatumGetInt16(*value));
		else if (part->length == 4)
			*value = Int32GetDatum(DatumGetInt32(*value));
		*length = sizeof(Datum);
		return (const char *) value;
	}
	if (part->length > 0)
		*length = part->length;
	else if (part->length == -1)
	{
		struct varlena *varlena = PG_DETOAST_DATUM_PACKED(*value);

		*length = VARSIZE_ANY_EXHDR(varlena);
		return VARDATA_ANY(varlena);
	}
	else
		*length = strlen(DatumGetCString(*value)) + 1;
	return DatumGetPointer(*value);
}

static inline uint64
hash_part(const KeyPart *part, Datum value, const char *bytes, Size length, uint64 hash)
{
	if (part->kind == KEY_HASHED)
		return hash_combine64(hash, DatumGetUInt64(FunctionCall2Coll(unconstify(FmgrInfo *, &part->hash), part->collation,
																	  value, UInt64GetDatum(hash))));
	return hash_bytes_extended((const unsigned char *) bytes, length, hash);
}

static inline uint64
first_hash(const CachedTable *known)
{
	return ((uint64) MyDatabaseId << 32) | known->rootid;
}

bool
ffs_cache_hash_row(CachedTable *known, FfsTable *table, TupleDesc desc, HeapTuple tuple, uint64 *hash)
{
	*hash = first_hash(known);
	for (int i = 0; i < known->nkeys; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, table->key[i], desc, &isnull);
		const char *bytes = NULL;
		Size		length = 0;

		if (isnull)
			return false;
		if (known->parts[i].kind != KEY_HASHED)
			bytes = value_bytes(&known->parts[i], &value, &length);
		*hash = hash_part(&known->parts[i], value, bytes, length, *hash);
	}
	return true;
}

bool
ffs_cache_make_key(CachedTable *known, const Datum *values, char *buffer, StoreKey *key)
{
	int			used = 0;

	key->relid = known->rootid;
	key->fence = known->fence;
	key->hash = first_hash(known);
	for (int i = 0; i < known->nkeys; i++)
	{
		Datum		value = values[i];
		Size		length;
		const char *bytes = value_bytes(&known->parts[i], &value, &length);
		uint32		prefix = length;

		if (used + sizeof(prefix) + length > MAX_KEY_BYTES)
			return false;
		key->hash = hash_part(&known->parts[i], value, bytes, length, key->hash);
		if (known->parts[i].length < 0)
		{
			memcpy(buffer + used, &prefix, sizeof(prefix));
			used += sizeof(prefix);
		}
		memcpy(buffer + used, bytes, length);
		used += length;
	}
	key->bytes = buffer;
	key->length = used;
	return true;
}

uint64
ffs_cache_hash_tenant(Oid type, Datum value)
{
	int64		number;

	switch (type)
	{
		case UUIDOID:
			return hash_bytes_extended(DatumGetUUIDP(value)->data, UUID_LEN, 1) | 1;
		case TEXTOID:
			{
				text	   *string = DatumGetTextPP(value);

				return hash_bytes_extended((unsigned char *) VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string), 1) | 1;
			}
		case INT2OID:
			number = DatumGetInt16(value);
			break;
		case INT4OID:
			number = DatumGetInt32(value);
			break;
		default:
			number = DatumGetInt64(value);
			break;
	}
	return hash_bytes_extended((unsigned char *) &number, sizeof(number), 1) | 1;
}

bool
ffs_cache_key_values(CachedTable *known, const char *bytes, int length, Datum *values)
{
	for (int i = 0; i < known->nkeys; i++)
	{
		const KeyPart *part = &known->parts[i];
		uint32		n = part->byval ? (int) sizeof(Datum) : part->length;

		if (part->length < 0)
		{
			if (length < (int) sizeof(n))
				return false;
			memcpy(&n, bytes, sizeof(n));
			bytes += sizeof(n);
			length -= sizeof(n);
		}
		if (n > (uint32) length || (part->length == -2 && (n == 0 || bytes[n - 1] != '\0')))
			return false;
		if (part->byval)
			memcpy(&values[i], bytes, n);
		else if (part->length == -1)
			values[i] = PointerGetDatum(cstring_to_text_with_len(bytes, n));
		else
			values[i] = PointerGetDatum(memcpy(palloc(n), bytes, n));
		bytes += n;
		length -= n;
	}
	return length == 0;
}

/* ---- is every write told? ---- */

/* Do our row triggers of this relation fire, and no other one after the replica's? */
static bool
triggers_fire(Relation triggers, Oid relid, Oid row_change, Oid row_replicated, Snapshot snapshot)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		changes = false;
	NameData	last;
	NameData	replicated;

	memset(&last, 0, sizeof(last));
	memset(&replicated, 0, sizeof(replicated));
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!TRIGGER_FOR_BEFORE(trigger->tgtype) || !TRIGGER_FOR_ROW(trigger->tgtype))
			continue;
		if (trigger->tgfoid == row_change)
			changes = trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
		else if (trigger->tgfoid == row_replicated && trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			replicated = trigger->tgname;
		else if (trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS)
			last = trigger->tgname;
	}
	systable_endscan(scan);
	return changes && NameStr(replicated)[0] != '\0' && strcmp(NameStr(last), NameStr(replicated)) < 0;
}

static bool
every_write_is_told(FfsTable *table, Snapshot snapshot)
{
	Oid			row_change = LookupFuncName(list_make2(makeString(FFS_SCHEMA), makeString("row_change")), 0, NULL, true);
	Oid			row_replicated = LookupFuncName(list_make2(makeString(FFS_SCHEMA), makeString("row_replicated")), 0, NULL, true);
	List	   *members = find_all_inheritors(table->rootid, NoLock, NULL);
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	bool		result = OidIsValid(row_change) && OidIsValid(row_replicated);
	ListCell   *lc;

	foreach(lc, members)
		result = result && triggers_fire(triggers, lfirst_oid(lc), row_change, row_replicated, snapshot);
	table_close(triggers, AccessShareLock);
	list_free(members);
	return result;
}

/* Values that are not in the tuple cannot be kept as it is. */
static bool
is_stored_whole(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		char		generated = TupleDescAttr(desc, i)->attgenerated;

		if (generated != '\0' && generated != ATTRIBUTE_GENERATED_STORED)
			return false;
	}
	return true;
}

bool
ffs_cache_is_cacheable(CachedTable *known, FfsTable *table, StoreUse use)
{
	Snapshot	snapshot;
	bool		seen;
	uint64		generation;

	if (likely((known->checked & use) != 0 && known->generation == ffs_cache_generation(known->fence)))
		return known->cacheable && (use != STORE_ROWS || known->hashable);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	seen = ffs_cache_open_table(known->fence, known->rootid, use, snapshot, &generation);
	if (known->generation != generation)
		known->checked = 0;
	if (seen)
	{
		known->generation = generation;
		known->cacheable = table->out_of_step == NULL && is_stored_whole(known->desc) &&
			every_write_is_told(table, snapshot);
		known->checked |= use;
		if (known->cacheable && use == STORE_ROWS && known->hashable)
			ffs_cache_warm_note(known->rootid, known->signature);
	}
	UnregisterSnapshot(snapshot);
	return seen && known->cacheable && (use != STORE_ROWS || known->hashable);
}

/* ---- what a role may see ---- */

/* Is this a function of ours, called without arguments? */
static bool
is_our_call(Node *node, const char *name)
{
	FuncExpr   *call = (FuncExpr *) node;
	char	   *found;

	if (node == NULL || !IsA(node, FuncExpr) || call->args != NIL ||
		get_func_namespace(call->funcid) != get_namespace_oid(FFS_SCHEMA, true))
		return false;
	found = get_func_name(call->funcid);
	return found != NULL && strcmp(found, name) == 0;
}

/* Is the condition `tenant = (SELECT tenant_T())`? */
static bool
is_tenant_condition(Expr *qual, FfsTable *table)
{
	OpExpr	   *op = (OpExpr *) qual;
	SubLink    *link;
	Query	   *query;
	Var		   *var;

	if (table->tenant == 0 || qual == NULL || !IsA(qual, OpExpr) || list_length(op->args) != 2 ||
		!IsA(linitial(op->args), Var) || !IsA(lsecond(op->args), SubLink))
		return false;
	var = linitial_node(Var, op->args);
	link = lsecond_node(SubLink, op->args);
	if (var->varattno != table->tenant || link->subLinkType != EXPR_SUBLINK || !IsA(link->subselect, Query) ||
		get_func_namespace(get_opcode(op->opno)) != PG_CATALOG_NAMESPACE ||
		get_commutator(op->opno) != op->opno)
		return false;
	query = (Query *) link->subselect;
	return query->rtable == NIL && list_length(query->targetList) == 1 &&
		is_our_call((Node *) linitial_node(TargetEntry, query->targetList)->expr,
					ffs_tenancy_function(table->tenant_type));
}

/* Are the table's policies ours as we made them, and no others? */
static bool
only_our_policies(Relation rel, FfsTable *table)
{
	bool		open = false;
	bool		tenant = false;
	ListCell   *lc;

	if (rel->rd_rsdesc == NULL)
		return false;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);
		bool		for_all = policy->polcmd == '*' && ARR_DIMS(policy->roles)[0] == 1 &&
			((Oid *) ARR_DATA_PTR(policy->roles))[0] == ACL_ID_PUBLIC;

		if (for_all && policy->permissive && is_our_call((Node *) policy->qual, "any_row"))
			open = true;
		else if (for_all && !policy->permissive && is_tenant_condition(policy->qual, table))
			tenant = true;
		else
			return false;
	}
	return open && tenant;
}

bool
ffs_cache_is_bound_to_tenants(Relation rel, FfsTable *table)
{
	ListCell   *lc;

	if (rel->rd_rsdesc == NULL)
		return false;
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);

		if (!policy->permissive && policy->polcmd == '*' && ARR_DIMS(policy->roles)[0] == 1 &&
			((Oid *) ARR_DATA_PTR(policy->roles))[0] == ACL_ID_PUBLIC && is_tenant_condition(policy->qual, table))
			return true;
	}
	return false;
}

/* Counts up with each change of the catalogs, before we hear of it. */
static inline uint64
rights_generation(void)
{
	static TableFence *own = NULL;
	static TableFence *shared = NULL;

	if (unlikely(own == NULL))
	{
		own = ffs_cache_table_fence(InvalidOid);
		shared = ffs_cache_fence_of(InvalidOid, InvalidOid);
	}
	return ffs_cache_generation(own) + ffs_cache_generation(shared);
}

static inline bool
is_judged(const CachedTable *known, Oid role)
{
	return known->role == role && known->role_epoch == role_epoch && known->rights == rights_generation();
}

static void
judge_role(CachedTable *known, FfsTable *table, Oid role)
{
	uint64		rights = rights_generation();
	uint64		epoch;
	Relation	rel;

	/* a query would hear of changes when it looks things up */
	AcceptInvalidationMessages();
	epoch = role_epoch;
	rel = table_open(table->relid, AccessShareLock);
	known->may_ask = pg_class_aclcheck(table->relid, role, ACL_SELECT) == ACLCHECK_OK &&
		ffs_compat_may_use_namespace(RelationGetNamespace(rel), role);
	known->by_tenant = check_enable_rls(table->relid, InvalidOid, true) == RLS_ENABLED;
	if (known->by_tenant)
		known->may_ask = known->may_ask && only_our_policies(rel, table);
	table_close(rel, AccessShareLock);
	known->role = role;
	known->role_epoch = epoch;
	known->rights = rights;
}

bool
ffs_cache_is_known_to_answer(CachedTable *known)
{
	return (known->checked & STORE_ROWS) != 0 && known->cacheable && known->hashable && known->may_ask &&
		known->generation == ffs_cache_generation(known->fence) &&
		is_judged(known, GetUserId()) && (!known->by_tenant || row_security);
}

bool
ffs_cache_may_answer(CachedTable *known, FfsTable *table)
{
	Oid			role = GetUserId();

	if (!ffs_cache_is_cacheable(known, table, STORE_ROWS))
		return false;
	if (unlikely(!is_judged(known, role)))
		judge_role(known, table, role);
	return known->may_ask && (!known->by_tenant || row_security);
}
