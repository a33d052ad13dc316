/*-------------------------------------------------------------------------
 *
 * pace.c
 *		How fast a tenant's line may move while others want the processors.
 *
 * A limit on how many calls run at once does not keep a tenant with a hundred
 * clients from taking most of the processors' time: each of its places is
 * taken again at once, and much of the work of a short call is done outside of
 * it (the transaction around it, the protocol).  So while processors are short,
 * a tenant that wants to run more calls at once than its limit runs one at a
 * time, and at such a pace that they take a quarter of what the calls of another
 * tenant take on average (but one in a hundred of all processors' time), if a
 * pause of LONGEST_PAUSE is enough for that.  With processors to spare, and for tenants that keep
 * to their limit, there is no pace.
 *
 * What a tenant uses is the processors' time that its calls took which ended in
 * the last moments, and the transactions around them.  Time by the clock would not do: whoever has been made to
 * wait is the first whom the system lets run, so that the same work takes less
 * of it.  Processors are short when more processes want to run than there are
 * (which only Linux says), or, where that is not known, when that many calls of
 * others run.
 *
 * Only calls of tenants within their limits count as those of others: two that
 * are over their limits do not slow each other down.
 *
 * Shared memory: what these calls take, under Pace.mutex, a spinlock; the rest
 * are atomics.  A tenant's own FfsUse is under the lock of its queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "port/atomics.h"
#include "storage/spin.h"

#include "base/base.h"
#include "resilience/bounds.h"

/* The share of another's time that the calls of a tenant over its limit take. */
#define SHARE			0.25

/* What it takes at least, of all processors' time: others may want very little. */
#define LEAST			0.01

/* The last moments: averages forget by half in 0.7 of it; in microseconds. */
#define SPAN			1000000

/*
 * Processors that were short a moment ago still are: a tenant that is slowed
 * down makes them less so; in microseconds.
 */
#define SHORT_FOR		500000

/* How often to look how many processes want to run, in microseconds. */
#define LOOK_EVERY		20000

typedef struct Pace
{
	pg_atomic_uint32 runnable;	/* processes that want to run, on average, times 16; 0: not known */
	pg_atomic_uint64 looked;	/* when that was looked up */
	pg_atomic_uint64 short_until;	/* processors count as short until then */
	slock_t		mutex;
	int64		seen;			/* until when average is true */
	double		average;		/* how many processors calls took in the last moments */
	uint32		running;		/* calls that run */
	uint32		tenants;		/* whose they are */
	int64		span;			/* the number of the present span of time */
	uint32		users;			/* tenants with calls in it */
	uint32		users_before;	/* in the one before */
} Pace;

bool		ffs_resilience_pace_tenants = true;

static Pace *shared = NULL;
static uint32 processors = 1;

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
	average = runnable == 0 ? 0 : Max(average - average / 4 + runnable * 4, 1);
	pg_atomic_write_u32(&shared->runnable, average);
	if (average > processors * 16)
		pg_atomic_write_u64(&shared->short_until, (uint64) (now + SHORT_FOR));
}

static bool
processors_are_short(uint32 others, int64 now)
{
	if (pg_atomic_read_u32(&shared->runnable) == 0)
		return others >= processors;
	return now < (int64) pg_atomic_read_u64(&shared->short_until);
}

/* ---- use ---- */

int64
ffs_resilience_processor_time(void)
{
	struct timespec t;

#ifdef CLOCK_THREAD_CPUTIME_ID
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
		return 0;
#else
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		return 0;
#endif
	return t.tv_sec * USECS_PER_SEC + t.tv_nsec / 1000;
}

/* Forget what is long ago. */
static void
let_fade(int64 now)
{
	int64		span = now / SPAN;

	if (now > shared->seen)
	{
		shared->average *= exp((double) (shared->seen - now) / SPAN);
		shared->seen = now;
	}
	if (span > shared->span)
	{
		shared->users_before = shared->span == span - 1 ? shared->users : shared->tenants;
		shared->users = shared->tenants;
		shared->span = span;
	}
}

/* So many more, or fewer, calls of the tenant run, and the one that ended took so much. */
static void
count_use(FfsUse *use, int change, int64 took, int64 now)
{
	bool		ran = use->running > 0;

	use->running += change;
	SpinLockAcquire(&shared->mutex);
	let_fade(now);
	shared->average += (double) took / SPAN;
	shared->running += change;
	if (use->marked < shared->span)
	{
		/* if it ran, it did so when the span began */
		shared->users += ran ? 0 : 1;
		use->marked = shared->span;
	}
	shared->tenants += (use->running > 0) - ran;
	SpinLockRelease(&shared->mutex);
}

void
ffs_resilience_call_runs(FfsUse *use, int64 now)
{
	count_use(use, 1, 0, now);
}

void
ffs_resilience_call_ended(FfsUse *use, int64 took, int64 now)
{
	count_use(use, -1, took, now);
}

double
ffs_resilience_use_by_another(int64 now)
{
	double		average;
	uint32		running;
	uint32		users;

	if (!ffs_resilience_pace_tenants)
		return 0.0;
	SpinLockAcquire(&shared->mutex);
	let_fade(now);
	average = shared->average;
	running = shared->running;
	users = Max(shared->users, shared->users_before);
	SpinLockRelease(&shared->mutex);

	if (users == 0 || !processors_are_short(running, now))
		return 0.0;
	/* long calls, of which none has ended: the processors are shared evenly */
	if (average <= 0.0 && running > 0)
		average = (double) processors * running / (running + 1);
	return average / users;
}

int64
ffs_resilience_pause(double by_another, int64 duration, int64 took)
{
	double		share = Max(by_another * SHARE, processors * LEAST);

	return (int64) Max(Min(took / share - duration, LONGEST_PAUSE), 1.0);
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
	pg_atomic_init_u32(&shared->runnable, 0);
	pg_atomic_init_u64(&shared->looked, 0);
	pg_atomic_init_u64(&shared->short_until, 0);
	SpinLockInit(&shared->mutex);
}

void
ffs_resilience_pace_init(void)
{
	long		n = sysconf(_SC_NPROCESSORS_ONLN);

	processors = n > 0 ? (uint32) n : 1;
	ffs_base_register_shmem("ffstorage pace", shmem_size, shmem_setup);
}
