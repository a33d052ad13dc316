/*-------------------------------------------------------------------------
 *
 * prepared.c
 *		Counts of prepared transactions, until they are decided.
 *
 * Extensions have no place in a two-phase state file, so that the counts wait
 * in shared memory under the transaction's name: COMMIT PREPARED, by whatever
 * session, makes them certain, ROLLBACK PREPARED drops them.  They are kept
 * over a clean restart.  A crash drops them with all other figures.
 *
 * The names are seen by a hook on the utility commands.  What prepares
 * otherwise (the apply worker of a subscription with two_phase), and more
 * than there is room for, is not counted; how many calls that were is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

/* Tables and operations for each transaction. */
#define MAX_COUNTS 16

typedef struct PreparedCount
{
	Oid			relid;
	FfsOperation op;
	uint64		calls;
	uint64		rows;
	uint64		total_ns;
	uint64		min_ns;
	uint64		max_ns;
	FfsOuter	outer;
	uint32		histogram[FFS_HISTOGRAM_BUCKETS];
} PreparedCount;

typedef struct Prepared
{
	char		gid[GIDSIZE];	/* empty: free */
	Oid			dboid;
	int			tenant_kind;	/* -1: none */
	char		tenant[NAMEDATALEN];
	TimestampTz at;
	int			n;
	PreparedCount counts[MAX_COUNTS];
} Prepared;

typedef struct AllPrepared
{
	LWLock		lock;
	int			tranche;
	int			capacity;
	Prepared	all[FLEXIBLE_ARRAY_MEMBER];
} AllPrepared;

static AllPrepared *shared = NULL;

static ProcessUtility_hook_type prev_process_utility = NULL;

static char preparing[GIDSIZE]; /* by PREPARE TRANSACTION of this name */
static Prepared *current = NULL;	/* what is being written; NULL: is lost */

/* ---- keeping ---- */

static Prepared *
find_prepared(const char *gid, Oid dboid)
{
	for (int i = 0; i < shared->capacity; i++)
	{
		if (shared->all[i].dboid == dboid && strcmp(shared->all[i].gid, gid) == 0)
			return &shared->all[i];
	}
	return NULL;
}

/* The oldest goes where all are taken: it was decided out of our sight. */
static Prepared *
free_prepared(void)
{
	Prepared   *oldest = NULL;

	for (int i = 0; i < shared->capacity; i++)
	{
		Prepared   *one = &shared->all[i];

		if (one->gid[0] == '\0')
			return one;
		if (oldest == NULL || one->at < oldest->at)
			oldest = one;
	}
	return oldest;
}

void
ffs_stats_begin_prepared(void)
{
	current = NULL;
	if (shared == NULL || preparing[0] == '\0')
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	current = find_prepared(preparing, MyDatabaseId);
	if (current == NULL)
		current = free_prepared();
	if (current != NULL)
	{
		strlcpy(current->gid, preparing, GIDSIZE);
		current->dboid = MyDatabaseId;
		current->tenant_kind = -1;
		current->at = GetCurrentTimestamp();
		current->n = 0;
	}
	LWLockRelease(&shared->lock);
	preparing[0] = '\0';
}

void
ffs_stats_add_prepared(const FfsDelta *delta)
{
	PreparedCount *count;

	if (current == NULL || current->n >= MAX_COUNTS)
	{
		ffs_stats_lose_prepared(delta->calls);
		return;
	}
	if (current->tenant_kind < 0 &&
		!ffs_stats_tenant_name(delta->tenant, &current->tenant_kind, current->tenant))
		current->tenant_kind = -1;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	count = &current->counts[current->n];
	count->relid = delta->relid;
	count->op = delta->op;
	count->calls = delta->calls;
	count->rows = delta->rows;
	count->total_ns = delta->total_ns;
	count->min_ns = delta->min_ns;
	count->max_ns = delta->max_ns;
	count->outer = delta->outer;
	memcpy(count->histogram, delta->histogram, sizeof(count->histogram));
	current->n++;
	LWLockRelease(&shared->lock);
}

/* The transaction of this name has been decided. */
static void
decide(const char *gid, bool committed)
{
	Prepared   *prepared;
	uint32		now = ffs_stats_period(GetCurrentTimestamp());
	FfsTenantRef tenant = {-1, 0};

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	prepared = find_prepared(gid, MyDatabaseId);
	if (prepared != NULL && committed)
	{
		if (prepared->tenant_kind >= 0)
			tenant = ffs_stats_tenant_ref(MyDatabaseId, prepared->tenant_kind, prepared->tenant);
		for (int i = 0; i < prepared->n; i++)
		{
			const PreparedCount *count = &prepared->counts[i];
			FfsDelta	delta = {
				.relid = count->relid, .op = count->op, .period = now, .tenant = tenant,
				.calls = count->calls, .rows = count->rows, .total_ns = count->total_ns,
				.min_ns = count->min_ns, .max_ns = count->max_ns, .outer = count->outer,
				.histogram = count->histogram
			};

			ffs_stats_merge(MyDatabaseId, &delta, now);
		}
	}
	if (prepared != NULL)
	{
		prepared->gid[0] = '\0';
		prepared->dboid = InvalidOid;
	}
	LWLockRelease(&shared->lock);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = prev_process_utility ? prev_process_utility : standard_ProcessUtility;
	TransactionStmt *stmt = IsA(pstmt->utilityStmt, TransactionStmt) ? (TransactionStmt *) pstmt->utilityStmt : NULL;
	char		gid[GIDSIZE];

	if (likely(stmt == NULL || stmt->gid == NULL))
	{
		next(pstmt, query, read_only_tree, context, params, env, dest, completion);
		return;
	}
	strlcpy(gid, stmt->gid, GIDSIZE);
	if (stmt->kind == TRANS_STMT_PREPARE)
		strlcpy(preparing, gid, GIDSIZE);
	next(pstmt, query, read_only_tree, context, params, env, dest, completion);
	if (stmt->kind == TRANS_STMT_COMMIT_PREPARED || stmt->kind == TRANS_STMT_ROLLBACK_PREPARED)
		decide(gid, stmt->kind == TRANS_STMT_COMMIT_PREPARED);
}

/* ---- over a restart ---- */

static int
count_prepared(void)
{
	return shared->capacity;
}

static bool
get_prepared(int i, void *record)
{
	memcpy(record, &shared->all[i], sizeof(Prepared));
	return shared->all[i].gid[0] != '\0';
}

static void
put_prepared(const void *record)
{
	for (int i = 0; i < shared->capacity; i++)
	{
		if (shared->all[i].gid[0] == '\0')
		{
			memcpy(&shared->all[i], record, sizeof(Prepared));
			return;
		}
	}
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return add_size(offsetof(AllPrepared, all), mul_size(sizeof(Prepared), max_prepared_xacts));
}

static void
shmem_setup(void *memory, bool found)
{
	shared = memory;
	if (!found)
	{
		memset(memory, 0, shmem_size());
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		shared->capacity = max_prepared_xacts;
	}
	LWLockRegisterTranche(shared->tranche, "ffstorage_stats_prepared");
}

void
ffs_stats_init_prepared(void)
{
	static const FfsKept kept = {"prepared", sizeof(Prepared), count_prepared, get_prepared, put_prepared};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage prepared counts", shmem_size, shmem_setup);
	ffs_stats_keep(&kept);
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
