/*-------------------------------------------------------------------------
 *
 * pace.c
 *		How fast a tenant's line may move while others want the processors.
 *
 * A limit on how many calls run at once does not keep a tenant with a hundred
 * clients from taking most of the processors' time: each of its places is
 * taken again at once, and much of the work of a short call is done outside of
 * it (the transaction around it, the protocol).  So while processors are short,
 * a tenant that wants to run more calls at once than its limit may only begin
 * them at such a pace that they take a quarter of what the calls of another
 * tenant take on average.  With processors to spare, and for tenants that keep
 * to their limit, there is no pace.
 *
 * What a tenant uses is the time that its calls take: by the clock over the
 * last moments, and by how many run now, whichever is more, so that it is known
 * for short and for long calls.  Processors are short when more processes want
 * to run than there are (which only Linux says), or, where that is not known,
 * when that many calls of others run.
 *
 * Shared memory: the total of all tenants' use, under Pace.mutex, a spinlock;
 * the rest are atomics.  A tenant's own use is under the lock of its queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/spin.h"

#include "base/base.h"
#include "resilience/bounds.h"

/* The share of another's time that the calls of a tenant over its limit take. */
#define SHARE			0.25

/* Use is counted by spans of time of this length, in microseconds. */
#define SPAN			200000

/* How often to look how many processes want to run, in microseconds. */
#define LOOK_EVERY		20000

typedef struct Pace
{
	pg_atomic_uint32 running;	/* calls that run now */
	pg_atomic_uint32 tenants;	/* whose they are */
	pg_atomic_uint32 runnable;	/* processes that want to run, on average, times 16; 0: not known */
	pg_atomic_uint64 looked;	/* when that was looked up */
	slock_t		mutex;
	FfsUse		total;
	uint32		users;			/* tenants in total.now */
	uint32		users_before;	/* in total.before */
} Pace;

bool		ffs_resilience_pace_tenants = true;

static Pace *shared = NULL;
static uint32 processors = 1;

void
ffs_resilience_call_runs(bool first)
{
	pg_atomic_fetch_add_u32(&shared->running, 1);
	if (first)
		pg_atomic_fetch_add_u32(&shared->tenants, 1);
}

void
ffs_resilience_call_ended(bool last)
{
	pg_atomic_fetch_sub_u32(&shared->running, 1);
	if (last)
		pg_atomic_fetch_sub_u32(&shared->tenants, 1);
}

/* ---- are processors short? ---- */

/* How many processes want to run; 0 where there is no telling. */
static uint32
count_runnable(void)
{
	char		buf[128];
	unsigned int runnable = 0;
	int			file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	ssize_t		n;

	if (file < 0)
		return 0;
	n = read(file, buf, sizeof(buf) - 1);
	close(file);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	return sscanf(buf, "%*f %*f %*f %u/", &runnable) == 1 ? runnable : 0;
}

void
ffs_resilience_look_at_processors(int64 now)
{
	uint64		looked = pg_atomic_read_u64(&shared->looked);
	uint32		average;
	uint32		runnable;

	if (now - (int64) looked < LOOK_EVERY ||
		!pg_atomic_compare_exchange_u64(&shared->looked, &looked, (uint64) now))
		return;
	runnable = count_runnable();
	average = pg_atomic_read_u32(&shared->runnable);
	pg_atomic_write_u32(&shared->runnable,
						runnable == 0 ? 0 : Max(average - average / 4 + runnable * 4, 1));
}

static bool
processors_are_short(uint32 others)
{
	uint32		average = pg_atomic_read_u32(&shared->runnable);

	return average == 0 ? others >= processors : average > processors * 16;
}

/* ---- use ---- */

/* Bring the counts up to the span that `now` is in; is it another one than before? */
static bool
move_on(FfsUse *use, int64 now)
{
	int64		span = now / SPAN;

	if (use->span == span)
		return false;
	use->before = use->span == span - 1 ? use->now : 0;
	use->now = 0;
	use->span = span;
	return true;
}

/* How many calls ran at once, on average, over about a span. */
static double
average_use(const FfsUse *use, int64 now)
{
	double		part = (double) (now % SPAN) / SPAN;

	return (use->before * (1.0 - part) + use->now) / SPAN;
}

int64
ffs_resilience_pause(FfsUse *use, uint32 own, bool over_limit, int64 duration, int64 now)
{
	uint32		running = pg_atomic_read_u32(&shared->running);
	uint32		tenants = pg_atomic_read_u32(&shared->tenants);
	uint32		others = running > own ? running - own : 0;
	uint64		cost = (uint64) Min(Max(duration, 1), SPAN);
	double		used;
	double		by_others;
	double		total;
	uint32		users;

	(void) move_on(use, now);
	SpinLockAcquire(&shared->mutex);
	if (move_on(&shared->total, now))
	{
		shared->users_before = shared->total.before > 0 ? shared->users : 0;
		shared->users = 0;
	}
	if (use->now == 0)
		shared->users++;
	shared->total.now += cost;
	use->now += cost;
	total = average_use(&shared->total, now);
	users = Max(shared->users, shared->users_before);
	SpinLockRelease(&shared->mutex);

	used = average_use(use, now);
	by_others = users > 1 ? (total - used) / (users - 1) : 0.0;
	if (tenants > 1)
		by_others = Max(by_others, (double) others / (tenants - 1));
	if (by_others <= 0.0 || !over_limit || !ffs_resilience_pace_tenants || !processors_are_short(others))
		return 0;
	return (int64) Min(duration / (by_others * SHARE), LONGEST_PAUSE);
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return sizeof(Pace);
}

static void
shmem_setup(void *memory, bool found)
{
	shared = memory;
	if (found)
		return;
	memset(shared, 0, sizeof(Pace));
	pg_atomic_init_u32(&shared->running, 0);
	pg_atomic_init_u32(&shared->tenants, 0);
	pg_atomic_init_u32(&shared->runnable, 0);
	pg_atomic_init_u64(&shared->looked, 0);
	SpinLockInit(&shared->mutex);
}

void
ffs_resilience_pace_init(void)
{
	long		n = sysconf(_SC_NPROCESSORS_ONLN);

	processors = n > 0 ? (uint32) n : 1;
	ffs_base_register_shmem("ffstorage pace", shmem_size, shmem_setup);
}
