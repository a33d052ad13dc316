/*-------------------------------------------------------------------------
 *
 * restart.c
 *		The figures over a restart of the server, and since when they count.
 *
 * On a clean shutdown all is written to a file, which the next start reads and
 * removes; after a crash the figures begin at zero, as the server's own do,
 * and the time of that is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

#define DUMP_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/ffstorage.stat"
#define DUMP_MAGIC		0x46465334	/* changes with what the file means */

/* Databases whose own beginnings are kept; the oldest of more goes. */
#define MAX_BEGINNINGS	100
#define MAX_KEPT		10

typedef enum Reason
{
	FROM_START, FROM_CRASH, FROM_RESET
} Reason;

static const char *const reasons[] = {
	[FROM_START] = "start",
	[FROM_CRASH] = "crash",
	[FROM_RESET] = "reset",
};

typedef struct Beginning
{
	Oid			dboid;			/* InvalidOid: of all that have none of their own */
	Reason		reason;
	TimestampTz at;
} Beginning;

typedef struct Beginnings
{
	slock_t		mutex;
	int			n;
	Beginning	all[MAX_BEGINNINGS];	/* the first is for all databases */
} Beginnings;

static Beginnings *beginnings = NULL;

static FfsKept parts[MAX_KEPT];
static int	n_parts = 0;

void
ffs_stats_keep(const FfsKept *kept)
{
	if (n_parts >= MAX_KEPT)
		elog(ERROR, "too many parts of the figures");
	parts[n_parts++] = *kept;
}

/* ---- since when ---- */

bool
ffs_stats_since(TimestampTz *since, const char **reason)
{
	if (beginnings == NULL)
		return false;
	SpinLockAcquire(&beginnings->mutex);
	*since = beginnings->all[0].at;
	*reason = reasons[beginnings->all[0].reason];
	for (int i = 1; i < beginnings->n; i++)
	{
		if (beginnings->all[i].dboid != MyDatabaseId)
			continue;
		*since = beginnings->all[i].at;
		*reason = reasons[beginnings->all[i].reason];
	}
	SpinLockRelease(&beginnings->mutex);
	return true;
}

void
ffs_stats_begin_anew(Oid dboid)
{
	TimestampTz now = GetCurrentTimestamp();
	Beginning  *place = NULL;

	SpinLockAcquire(&beginnings->mutex);
	for (int i = 1; i < beginnings->n; i++)
	{
		Beginning  *one = &beginnings->all[i];

		if (one->dboid == dboid)
		{
			place = one;
			break;
		}
		if (place == NULL || one->at < place->at)
			place = one;
	}
	if ((place == NULL || place->dboid != dboid) && beginnings->n < MAX_BEGINNINGS)
		place = &beginnings->all[beginnings->n++];
	place->dboid = dboid;
	place->reason = FROM_RESET;
	place->at = now;
	SpinLockRelease(&beginnings->mutex);
}

void
ffs_stats_forget_beginning(Oid dboid)
{
	SpinLockAcquire(&beginnings->mutex);
	for (int i = beginnings->n - 1; i > 0; i--)
	{
		if (beginnings->all[i].dboid == dboid)
			beginnings->all[i] = beginnings->all[--beginnings->n];
	}
	SpinLockRelease(&beginnings->mutex);
}

PG_FUNCTION_INFO_V1(stat_since);

/*
 * ffstorage.stat_since(): since when the figures of this database count, and
 * why since then.  No row without shared memory.
 */
Datum
stat_since(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz since;
	const char *reason;
	Datum		values[2];
	bool		nulls[2] = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (!ffs_stats_since(&since, &reason))
		return (Datum) 0;
	values[0] = TimestampTzGetDatum(since);
	values[1] = CStringGetTextDatum(reason);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

static int
count_beginnings(void)
{
	return beginnings->n;
}

static bool
get_beginning(int i, void *record)
{
	memcpy(record, &beginnings->all[i], sizeof(Beginning));
	return true;
}

static void
put_beginning(const void *record)
{
	const Beginning *kept = record;

	if (!OidIsValid(kept->dboid))
		beginnings->all[0] = *kept;
	else if (beginnings->n < MAX_BEGINNINGS)
		beginnings->all[beginnings->n++] = *kept;
}

/* ---- the file ---- */

typedef struct DumpHeader
{
	uint32		magic;
	uint32		pg_version;
	uint32		n_parts;
	uint32		buckets;
} DumpHeader;

typedef struct PartHeader
{
	char		name[16];
	uint32		record_size;
	uint32		n;
} PartHeader;

static void
make_header(DumpHeader *header)
{
	header->magic = DUMP_MAGIC;
	header->pg_version = PG_VERSION_NUM / 100;
	header->n_parts = n_parts;
	header->buckets = FFS_HISTOGRAM_BUCKETS;
}

static void
make_part_header(const FfsKept *part, PartHeader *header)
{
	memset(header, 0, sizeof(PartHeader));
	strlcpy(header->name, part->name, sizeof(header->name));
	header->record_size = (uint32) part->record_size;
}

/*
 * Did the server come to a clean end?  The postmaster exits with 0 from an
 * immediate shutdown too, when a backend may have been stopped half-way
 * through a change here.
 */
static bool
clean_shutdown(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		clean = crc_ok && (control->state == DB_SHUTDOWNED ||
								   control->state == DB_SHUTDOWNED_IN_RECOVERY);

	pfree(control);
	return clean;
}

/* Does the server start from a backup, which is that of a server that ran? */
static bool
is_from_backup(void)
{
	return access(BACKUP_LABEL_FILE, F_OK) == 0;
}

static bool
write_bytes(FILE *file, pg_crc32c *crc, const void *bytes, Size n)
{
	COMP_CRC32C(*crc, bytes, n);
	return fwrite(bytes, n, 1, file) == 1;
}

static bool
write_part(FILE *file, pg_crc32c *crc, const FfsKept *part)
{
	void	   *record = palloc(part->record_size);
	PartHeader	header;
	int			n = part->count();

	make_part_header(part, &header);
	for (int i = 0; i < n; i++)
		header.n += part->get(i, record);
	if (!write_bytes(file, crc, &header, sizeof(header)))
		return false;
	for (int i = 0; i < n; i++)
	{
		if (part->get(i, record) && !write_bytes(file, crc, record, part->record_size))
			return false;
	}
	pfree(record);
	return true;
}

static bool
write_all(FILE *file)
{
	DumpHeader	header;
	pg_crc32c	crc;

	make_header(&header);
	INIT_CRC32C(crc);
	if (!write_bytes(file, &crc, &header, sizeof(header)))
		return false;
	for (int i = 0; i < n_parts; i++)
	{
		if (!write_part(file, &crc, &parts[i]))
			return false;
	}
	FIN_CRC32C(crc);
	return fwrite(&crc, sizeof(crc), 1, file) == 1;
}

/* Write all to the file.  The server is going down; no one else is there. */
static void
save(int code, Datum arg pg_attribute_unused())
{
	FILE	   *file;
	bool		ok;

	if (code != 0 || beginnings == NULL || !clean_shutdown())
		return;					/* not after a crash */
	ffs_stats_drain();
	file = AllocateFile(DUMP_FILE ".tmp", PG_BINARY_W);
	ok = file != NULL && write_all(file);
	if (file != NULL && FreeFile(file) != 0)
		ok = false;
	if (ok)
	{
		(void) durable_rename(DUMP_FILE ".tmp", DUMP_FILE, LOG);
		return;
	}
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", DUMP_FILE ".tmp")));
	unlink(DUMP_FILE ".tmp");
}

/* Use what was read: false, and nothing done, where it is not whole. */
static bool
use_all(const char *bytes, Size len)
{
	DumpHeader	header;
	PartHeader	part_header;
	pg_crc32c	crc,
				expected;

	make_header(&header);
	if (len < sizeof(header) + sizeof(crc) || memcmp(bytes, &header, sizeof(header)) != 0)
		return false;
	len -= sizeof(crc);
	memcpy(&expected, bytes + len, sizeof(crc));
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, len);
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, expected))
		return false;

	/* first whether all parts are as we know them, then what they hold */
	for (int pass = 0; pass < 2; pass++)
	{
		Size		at = sizeof(header);

		for (int i = 0; i < n_parts; i++)
		{
			char	   *record = palloc(parts[i].record_size);
			PartHeader	known;

			make_part_header(&parts[i], &known);
			if (at + sizeof(PartHeader) > len)
				return false;
			memcpy(&part_header, bytes + at, sizeof(PartHeader));
			at += sizeof(PartHeader);
			if (strcmp(part_header.name, known.name) != 0 || part_header.record_size != known.record_size ||
				at + (Size) part_header.n * known.record_size > len)
				return false;
			for (uint32 r = 0; r < part_header.n; r++)
			{
				/* for its alignment */
				memcpy(record, bytes + at, known.record_size);
				if (pass == 1)
					parts[i].put(record);
				at += known.record_size;
			}
			pfree(record);
		}
	}
	return true;
}

/*
 * Read the file, if there is one, and remove it, so that neither a backup nor
 * a crash brings it back.  A file that does not fit is left out with a message.
 */
static void
load(void)
{
	FILE	   *file = AllocateFile(DUMP_FILE, PG_BINARY_R);
	struct stat st;
	char	   *bytes;

	if (file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", DUMP_FILE)));
		return;
	}
	if (fstat(fileno(file), &st) != 0 || st.st_size < 0 || (uint64) st.st_size > MaxAllocHugeSize)
		st.st_size = 0;
	bytes = MemoryContextAllocHuge(CurrentMemoryContext, st.st_size + 1);
	if (st.st_size == 0 || fread(bytes, st.st_size, 1, file) != 1 || !use_all(bytes, st.st_size))
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ignoring invalid data in file \"%s\"", DUMP_FILE)));
	pfree(bytes);
	FreeFile(file);
	unlink(DUMP_FILE);
}

/* ---- opening ---- */

static Size
shmem_size(void)
{
	return sizeof(Beginnings);
}

/* Registered last, so that all else is set up. */
static void
shmem_setup(void *memory, bool found)
{
	beginnings = memory;
	if (!found)
	{
		SpinLockInit(&beginnings->mutex);
		beginnings->n = 1;
		beginnings->all[0].dboid = InvalidOid;
		beginnings->all[0].reason = clean_shutdown() || is_from_backup() ? FROM_START : FROM_CRASH;
		beginnings->all[0].at = GetCurrentTimestamp();
	}
	if (!IsUnderPostmaster)
		on_shmem_exit(save, (Datum) 0);
	if (!found)
		load();
}

void
ffs_stats_init_restart(void)
{
	static const FfsKept kept = {"beginnings", sizeof(Beginning), count_beginnings, get_beginning, put_beginning};

	if (!process_shared_preload_libraries_in_progress)
		return;
	ffs_base_register_shmem("ffstorage beginnings", shmem_size, shmem_setup);
	ffs_stats_keep(&kept);
}
