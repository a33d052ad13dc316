/*-------------------------------------------------------------------------
 *
 * tenants.c
 *		Counts per tenant.
 *
 * There is room for ffstorage.max_tenants, over all databases.  Where a new
 * one finds none, one that has been little used lately goes (a clock hand
 * takes a point from each that it passes, up to five points for use), and what
 * it counted goes to its database's entry for others: the sum over all of them
 * stays true.
 *
 * Tenants.lock guards who is where: shared to find one and while it is counted
 * in, exclusive to add and remove.  The counts are atomics.  A reference to a
 * place holds its generation: if that is another one by now, its tenant has
 * gone to the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

#define MAX_POINTS 5

typedef struct Tenant
{
	Oid			dboid;			/* InvalidOid: free */
	int			kind;
	uint32		generation;
	pg_atomic_uint32 points;
	char		name[NAMEDATALEN];
	pg_atomic_uint64 calls;
	pg_atomic_uint64 rows;
	pg_atomic_uint64 errors;
	pg_atomic_uint64 total_ns;
	pg_atomic_uint64 writes;
	pg_atomic_uint64 last_period;
} Tenant;

typedef struct Tenants
{
	LWLock		lock;
	int			tranche;
	int			capacity;
	int			nused;
	int			hand;
	uint32		index_mask;
} Tenants;

static Tenants *shared = NULL;
static int32 *shared_index;		/* a tenant's number, -1 where empty */
static Tenant *tenants;

static FfsStatsTenant current_tenant = NULL;

static const char *const kind_names[] = {
	[FFS_TENANT_KIND_ONE] = "tenant",
	[FFS_TENANT_KIND_OTHERS] = "others",
	[FFS_TENANT_KIND_SEVERAL] = "several",
	[FFS_TENANT_KIND_ALL] = "all",
};

void
ffs_stats_register_tenant(FfsStatsTenant tenant)
{
	current_tenant = tenant;
}

const char *
ffs_stats_tenant_kind(int kind)
{
	return kind_names[kind];
}

/* ---- finding ---- */

static uint32
index_start(Oid dboid, int kind, const char *name)
{
	return hash_combine(murmurhash32(dboid + kind),
						hash_bytes((const unsigned char *) name, strlen(name))) & shared->index_mask;
}

static uint32
index_find(Oid dboid, int kind, const char *name)
{
	uint32		i = index_start(dboid, kind, name);

	while (shared_index[i] >= 0)
	{
		Tenant	   *tenant = &tenants[shared_index[i]];

		if (tenant->dboid == dboid && tenant->kind == kind && strcmp(tenant->name, name) == 0)
			break;
		i = (i + 1) & shared->index_mask;
	}
	return i;
}

/* Take a place out of the index; what it counted is still there. */
static void
unindex(Tenant *tenant)
{
	uint32		hole = index_find(tenant->dboid, tenant->kind, tenant->name);

	shared_index[hole] = -1;
	for (uint32 i = (hole + 1) & shared->index_mask;
		 shared_index[i] >= 0;
		 i = (i + 1) & shared->index_mask)
	{
		Tenant	   *other = &tenants[shared_index[i]];
		uint32		start = index_start(other->dboid, other->kind, other->name);

		if (((i - start) & shared->index_mask) >= ((i - hole) & shared->index_mask))
		{
			shared_index[hole] = shared_index[i];
			shared_index[i] = -1;
			hole = i;
		}
	}
}

static void
add_counts(Tenant *tenant, uint64 calls, uint64 rows, uint64 errors, uint64 total_ns, uint64 writes, uint64 period)
{
	if (calls > 0)
		pg_atomic_fetch_add_u64(&tenant->calls, calls);
	if (rows > 0)
		pg_atomic_fetch_add_u64(&tenant->rows, rows);
	if (errors > 0)
		pg_atomic_fetch_add_u64(&tenant->errors, errors);
	if (total_ns > 0)
		pg_atomic_fetch_add_u64(&tenant->total_ns, total_ns);
	if (writes > 0)
		pg_atomic_fetch_add_u64(&tenant->writes, writes);
	/* whoever of two is later to write may be earlier by a moment */
	if (period > pg_atomic_read_u64(&tenant->last_period))
		pg_atomic_write_u64(&tenant->last_period, period);
}

static void
clear(Tenant *tenant)
{
	pg_atomic_write_u32(&tenant->points, 1);
	pg_atomic_write_u64(&tenant->calls, 0);
	pg_atomic_write_u64(&tenant->rows, 0);
	pg_atomic_write_u64(&tenant->errors, 0);
	pg_atomic_write_u64(&tenant->total_ns, 0);
	pg_atomic_write_u64(&tenant->writes, 0);
	pg_atomic_write_u64(&tenant->last_period, 0);
}

/* A free place, after a tenant has left it if need be.  Lock held exclusively. */
static Tenant *
free_place(void)
{
	if (shared->nused < shared->capacity)
	{
		for (int i = 0; i < shared->capacity; i++)
		{
			if (!OidIsValid(tenants[i].dboid))
				return &tenants[i];
		}
	}
	/* twice around at most for each point; entries for others stay */
	for (int i = 0; i < shared->capacity * (MAX_POINTS + 2); i++)
	{
		Tenant	   *tenant = &tenants[shared->hand];
		uint32		points = pg_atomic_read_u32(&tenant->points);
		int			others;

		shared->hand = (shared->hand + 1) % shared->capacity;
		if (tenant->kind == FFS_TENANT_KIND_OTHERS)
			continue;
		if (points > 0)
		{
			pg_atomic_write_u32(&tenant->points, points - 1);
			continue;
		}
		unindex(tenant);
		others = shared_index[index_find(tenant->dboid, FFS_TENANT_KIND_OTHERS, "")];
		if (others < 0)
		{
			/* the first to go stays as the others */
			tenant->kind = FFS_TENANT_KIND_OTHERS;
			tenant->name[0] = '\0';
			shared_index[index_find(tenant->dboid, FFS_TENANT_KIND_OTHERS, "")] = (int32) (tenant - tenants);
			continue;
		}
		add_counts(&tenants[others],
				   pg_atomic_read_u64(&tenant->calls), pg_atomic_read_u64(&tenant->rows),
				   pg_atomic_read_u64(&tenant->errors), pg_atomic_read_u64(&tenant->total_ns),
				   pg_atomic_read_u64(&tenant->writes), pg_atomic_read_u64(&tenant->last_period));
		tenant->dboid = InvalidOid;
		shared->nused--;
		return tenant;
	}
	return NULL;				/* only others are left */
}

/* Names that are too long are cut, with a hash of the whole. */
static void
short_name(const char *name, char *result)
{
	Size		len = strlen(name);

	if (len < NAMEDATALEN)
		memcpy(result, name, len + 1);
	else
	{
		int			keep = pg_mbcliplen(name, (int) len, NAMEDATALEN - 10);

		snprintf(result, NAMEDATALEN, "%.*s_%08x", keep, name,
				 hash_bytes((const unsigned char *) name, (int) len));
	}
}

FfsTenantRef
ffs_stats_tenant_ref(Oid dboid, int kind, const char *name)
{
	FfsTenantRef ref = {-1, 0};
	Tenant	   *tenant;
	int			number;
	uint32		points;

	LWLockAcquire(&shared->lock, LW_SHARED);
	number = shared_index[index_find(dboid, kind, name)];
	if (number < 0)
	{
		LWLockRelease(&shared->lock);
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		number = shared_index[index_find(dboid, kind, name)];
		if (number < 0)
		{
			tenant = free_place();
			if (tenant == NULL)
			{
				/* then it is one of the others at once */
				number = shared_index[index_find(dboid, FFS_TENANT_KIND_OTHERS, "")];
				if (number < 0)
				{
					LWLockRelease(&shared->lock);
					return ref;
				}
			}
			else
			{
				number = (int) (tenant - tenants);
				tenant->dboid = dboid;
				tenant->kind = kind;
				tenant->generation++;
				strlcpy(tenant->name, name, NAMEDATALEN);
				clear(tenant);
				shared_index[index_find(dboid, kind, name)] = number;
				shared->nused++;
			}
		}
	}
	tenant = &tenants[number];
	points = pg_atomic_read_u32(&tenant->points);
	if (points < MAX_POINTS)
		pg_atomic_write_u32(&tenant->points, points + 1);
	ref.number = number;
	ref.generation = tenant->generation;
	LWLockRelease(&shared->lock);
	return ref;
}

FfsTenantRef
ffs_stats_current_tenant(void)
{
	FfsTenantRef none = {-1, 0};
	FfsTenantKind kind = FFS_TENANT_KIND_ONE;
	const char *name = current_tenant != NULL ? current_tenant(&kind) : NULL;
	char		buffer[NAMEDATALEN];

	if (name == NULL || shared == NULL)
		return none;
	short_name(kind == FFS_TENANT_KIND_ONE ? name : "", buffer);
	return ffs_stats_tenant_ref(MyDatabaseId, kind, buffer);
}

bool
ffs_stats_tenant_name(FfsTenantRef ref, int *kind, char *name)
{
	bool		found;

	if (ref.number < 0 || shared == NULL)
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	found = tenants[ref.number].generation == ref.generation && OidIsValid(tenants[ref.number].dboid);
	if (found)
	{
		*kind = tenants[ref.number].kind;
		strlcpy(name, tenants[ref.number].name, NAMEDATALEN);
	}
	LWLockRelease(&shared->lock);
	return found;
}

/* ---- adding ---- */

void
ffs_stats_merge_tenant(Oid dboid, const FfsDelta *delta)
{
	int			number = delta->tenant.number;
	uint64		writes = delta->op <= FFS_OP_TRUNCATE ? delta->rows : 0;

	if (number < 0 ||
		(delta->outer.calls == 0 && delta->outer.errors == 0 && writes == 0))
		return;
	LWLockAcquire(&shared->lock, LW_SHARED);
	if (tenants[number].generation != delta->tenant.generation || tenants[number].dboid != dboid)
		number = shared_index[index_find(dboid, FFS_TENANT_KIND_OTHERS, "")];
	if (number >= 0)
		add_counts(&tenants[number], delta->outer.calls, delta->outer.rows, delta->outer.errors,
				   delta->outer.total_ns, writes, delta->period);
	LWLockRelease(&shared->lock);
}

void
ffs_stats_forget_tenants(Oid dboid)
{
	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->capacity; i++)
	{
		if (tenants[i].dboid != dboid)
			continue;
		unindex(&tenants[i]);
		tenants[i].dboid = InvalidOid;
		tenants[i].generation++;
		shared->nused--;
	}
	LWLockRelease(&shared->lock);
}

/* ---- reading ---- */

static bool
copy_tenant(const Tenant *tenant, FfsTenantFigures *copy)
{
	memset(copy, 0, sizeof(FfsTenantFigures));
	if (!OidIsValid(tenant->dboid))
		return false;
	copy->dboid = tenant->dboid;
	copy->kind = tenant->kind;
	strlcpy(copy->name, tenant->name, NAMEDATALEN);
	copy->calls = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->calls));
	copy->rows = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->rows));
	copy->errors = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->errors));
	copy->total_ns = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->total_ns));
	copy->writes = pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->writes));
	copy->last_at = (TimestampTz) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &tenant->last_period)) *
		FFS_PERIOD_USECS;
	return true;
}

FfsTenantFigures *
ffs_stats_copy_tenants(int *n)
{
	FfsTenantFigures *result;

	*n = 0;
	if (shared == NULL)
		return NULL;
	ffs_stats_drain();
	result = palloc_extended(sizeof(FfsTenantFigures) * shared->capacity, MCXT_ALLOC_HUGE);
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < shared->capacity; i++)
	{
		if (tenants[i].dboid == MyDatabaseId && copy_tenant(&tenants[i], &result[*n]) &&
			(result[*n].calls > 0 || result[*n].errors > 0 || result[*n].writes > 0))
			(*n)++;
	}
	LWLockRelease(&shared->lock);
	return result;
}

PG_FUNCTION_INFO_V1(stat_tenants);

/*
 * ffstorage.stat_tenants(): one row for each tenant of this database.
 */
Datum
stat_tenants(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsTenantFigures *figures;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	figures = ffs_stats_copy_tenants(&n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[8];
		bool		nulls[8] = {0};

		values[0] = CStringGetTextDatum(figures[i].name);
		nulls[0] = figures[i].kind != FFS_TENANT_KIND_ONE;
		values[1] = CStringGetTextDatum(kind_names[figures[i].kind]);
		values[2] = Int64GetDatum((int64) figures[i].calls);
		values[3] = Int64GetDatum((int64) figures[i].rows);
		values[4] = Int64GetDatum((int64) figures[i].errors);
		values[5] = Float8GetDatum(figures[i].total_ns / 1e6);
		values[6] = Int64GetDatum((int64) figures[i].writes);
		values[7] = TimestampTzGetDatum(figures[i].last_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---- over a restart ---- */

static int
count_tenants(void)
{
	return shared->capacity;
}

static bool
get_tenant(int i, void *record)
{
	return copy_tenant(&tenants[i], record);
}

static void
put_tenant(const void *record)
{
	const FfsTenantFigures *kept = record;
	FfsTenantRef ref = ffs_stats_tenant_ref(kept->dboid, kept->kind, kept->name);

	if (ref.number < 0)
		return;
	add_counts(&tenants[ref.number], kept->calls, kept->rows, kept->errors, kept->total_ns, kept->writes,
			   ffs_stats_period(kept->last_at));
}

/* ---- opening ---- */

static uint32
index_size(void)
{
	return pg_nextpower2_32(ffs_stats_max_tenants * 2);
}

static Size
shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(Tenants));

	size = add_size(size, MAXALIGN(mul_size(sizeof(int32), index_size())));
	return add_size(size, mul_size(sizeof(Tenant), ffs_stats_max_tenants));
}

static void
shmem_setup(void *memory, bool found)
{
	uint32		nindex = index_size();

	shared = memory;
	shared_index = (int32 *) ((char *) memory + MAXALIGN(sizeof(Tenants)));
	tenants = (Tenant *) ((char *) shared_index + MAXALIGN(sizeof(int32) * nindex));
	if (!found)
	{
		memset(memory, 0, shmem_size());
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		shared->capacity = ffs_stats_max_tenants;
		shared->index_mask = nindex - 1;
		memset(shared_index, 0xff, sizeof(int32) * nindex);
		for (int i = 0; i < shared->capacity; i++)
		{
			pg_atomic_init_u32(&tenants[i].points, 0);
			pg_atomic_init_u64(&tenants[i].calls, 0);
			pg_atomic_init_u64(&tenants[i].rows, 0);
			pg_atomic_init_u64(&tenants[i].errors, 0);
			pg_atomic_init_u64(&tenants[i].total_ns, 0);
			pg_atomic_init_u64(&tenants[i].writes, 0);
			pg_atomic_init_u64(&tenants[i].last_period, 0);
		}
	}
	LWLockRegisterTranche(shared->tranche, "ffstorage_stats_tenants");
}

void
ffs_stats_init_tenants(void)
{
	static const FfsKept kept = {"tenants", sizeof(FfsTenantFigures), count_tenants, get_tenant, put_tenant};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage tenants", shmem_size, shmem_setup);
	ffs_stats_keep(&kept);
}
