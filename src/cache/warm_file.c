/*-------------------------------------------------------------------------
 *
 * warm_file.c
 *		Writes the file that says what was in memory, and tells whether one
 *		can be used.
 *
 * It names rows by the bytes of their keys, with a signature of the types that
 * they are of, and blocks by the files that they are in: whoever writes it is
 * in no database and cannot tell more.  It is written beside the old one,
 * which it then replaces, so that there is always a whole one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catversion.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "base/base.h"
#include "cache/store.h"
#include "cache/warm.h"

/* Of rows no more is named than this, hot ones first. */
#define MAX_ROW_BYTES	((Size) 256 * 1024 * 1024)
#define ROWS_AT_ONCE	128

/* ---- what is in memory ---- */

typedef struct NamedRow
{
	Oid			dboid;
	uint32		length;			/* WarmRow and key */
	Size		offset;
} NamedRow;

typedef struct NamedBlock
{
	Oid			dboid;
	Oid			space;
	Oid			filenode;
	ForkNumber	fork;
	BlockNumber block;
} NamedBlock;

typedef struct Contents
{
	NotedTable *noted;			/* a copy, in no need of a lock */

	Oid		   *databases;		/* in order */
	int			ndatabases;

	char	   *bytes;			/* of all rows */
	Size		bytes_used;
	Size		bytes_size;
	NamedRow   *rows;
	Size		nrows;
	Size		rows_size;

	NamedBlock *blocks;
	Size		nblocks;
} Contents;

static int
compare_oids(const void *a, const void *b)
{
	Oid			left = *(const Oid *) a;
	Oid			right = *(const Oid *) b;

	return left < right ? -1 : left > right;
}

static void
collect_databases(Contents *contents)
{
	Oid			last = InvalidOid;
	int			n = 0;

	contents->databases = palloc(sizeof(Oid) * NOTED_TABLES);
	for (int i = 0; i < NOTED_TABLES; i++)
		if (OidIsValid(contents->noted[i].dboid))
			contents->databases[n++] = contents->noted[i].dboid;
	qsort(contents->databases, n, sizeof(Oid), compare_oids);
	for (int i = 0; i < n; i++)
	{
		if (contents->databases[i] == last)
			continue;
		last = contents->databases[i];
		contents->databases[contents->ndatabases++] = last;
	}
}

static bool
is_known_database(const Contents *contents, Oid dboid)
{
	return bsearch(&dboid, contents->databases, contents->ndatabases, sizeof(Oid), compare_oids) != NULL;
}

static void
add_row(Contents *contents, const StoreNamedRow *named)
{
	WarmRow		row = {named->relid, named->length};
	NamedRow   *entry;

	if (contents->bytes_size - contents->bytes_used < sizeof(row) + named->length)
	{
		contents->bytes_size *= 2;
		contents->bytes = repalloc_huge(contents->bytes, contents->bytes_size);
	}
	if (contents->nrows == contents->rows_size)
	{
		contents->rows_size *= 2;
		contents->rows = repalloc_huge(contents->rows, contents->rows_size * sizeof(NamedRow));
	}
	entry = &contents->rows[contents->nrows++];
	entry->dboid = named->dboid;
	entry->length = sizeof(row) + named->length;
	entry->offset = contents->bytes_used;
	memcpy(contents->bytes + contents->bytes_used, &row, sizeof(row));
	memcpy(contents->bytes + contents->bytes_used + sizeof(row), named->bytes, named->length);
	contents->bytes_used += entry->length;
}

/* By database, each as they were found. */
static int
compare_rows(const void *a, const void *b)
{
	const NamedRow *left = a;
	const NamedRow *right = b;

	if (left->dboid != right->dboid)
		return left->dboid < right->dboid ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void
collect_rows(Contents *contents)
{
	StoreNamedRow *found = palloc(sizeof(StoreNamedRow) * ROWS_AT_ONCE);

	contents->bytes_size = 64 * 1024;
	contents->bytes = palloc(contents->bytes_size);
	contents->rows_size = 1024;
	contents->rows = palloc(contents->rows_size * sizeof(NamedRow));
	for (int cold = 0; cold <= 1; cold++)
	{
		StoreCursor cursor = {0};
		int			n;

		while (contents->bytes_used < MAX_ROW_BYTES &&
			   ffs_cache_next_rows(&cursor, cold == 0, found, ROWS_AT_ONCE, &n))
		{
			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < n; i++)
				if (ffs_cache_warm_noted(contents->noted, found[i].dboid, found[i].relid) != NULL)
					add_row(contents, &found[i]);
		}
	}
	qsort(contents->rows, contents->nrows, sizeof(NamedRow), compare_rows);
}

static int
compare_blocks(const void *a, const void *b)
{
	const NamedBlock *left = a;
	const NamedBlock *right = b;

	if (left->dboid != right->dboid)
		return left->dboid < right->dboid ? -1 : 1;
	if (left->space != right->space)
		return left->space < right->space ? -1 : 1;
	if (left->filenode != right->filenode)
		return left->filenode < right->filenode ? -1 : 1;
	if (left->fork != right->fork)
		return left->fork < right->fork ? -1 : 1;
	return left->block < right->block ? -1 : left->block > right->block;
}

static void
collect_blocks(Contents *contents)
{
	Size		size = 1024;

	contents->blocks = palloc(size * sizeof(NamedBlock));
	if (contents->ndatabases == 0)
		return;
	for (int i = 0; i < NBuffers; i++)
	{
		BufferDesc *buffer = GetBufferDescriptor(i);
		NamedBlock	block;
		uint32		state;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		state = LockBufHdr(buffer);
		block.dboid = ffs_compat_tag_database(buffer->tag);
		block.space = ffs_compat_tag_space(buffer->tag);
		block.filenode = ffs_compat_tag_filenode(buffer->tag);
		block.fork = ffs_compat_tag_fork(buffer->tag);
		block.block = buffer->tag.blockNum;
		UnlockBufHdr(buffer, state);
		/* what is not permanent is not managed, nor are catalogs */
		if ((state & (BM_TAG_VALID | BM_PERMANENT)) != (BM_TAG_VALID | BM_PERMANENT) ||
			block.filenode < FirstNormalObjectId || !is_known_database(contents, block.dboid))
			continue;
		if (contents->nblocks == size)
		{
			size *= 2;
			contents->blocks = repalloc_huge(contents->blocks, size * sizeof(NamedBlock));
		}
		contents->blocks[contents->nblocks++] = block;
	}
	qsort(contents->blocks, contents->nblocks, sizeof(NamedBlock), compare_blocks);
}

/* ---- writing ---- */

typedef struct Writer
{
	FILE	   *file;
	pg_crc32c	crc;
	bool		failed;
} Writer;

static void
put(Writer *writer, const void *bytes, Size length)
{
	if (writer->failed || length == 0)
		return;
	COMP_CRC32C(writer->crc, bytes, length);
	writer->failed = fwrite(bytes, 1, length, writer->file) != length;
}

/* The next run of blocks; where it begins is moved on behind it. */
static bool
next_run(const Contents *contents, Size *at, Oid dboid, WarmRun *run)
{
	const NamedBlock *first = &contents->blocks[*at];
	Size		n = 1;

	if (*at == contents->nblocks || first->dboid != dboid)
		return false;
	while (*at + n < contents->nblocks)
	{
		const NamedBlock *next = &first[n];

		if (next->dboid != dboid || next->space != first->space || next->filenode != first->filenode ||
			next->fork != first->fork || next->block != first->block + n)
			break;
		n++;
	}
	*run = (WarmRun)
	{
		first->space, first->filenode, first->fork, first->block, n
	};
	*at += n;
	return true;
}

static int
compare_tables(const void *a, const void *b)
{
	return compare_oids(&((const WarmTable *) a)->relid, &((const WarmTable *) b)->relid);
}

/* The noted tables of a database, by relid. */
static WarmTable *
tables_of(const Contents *contents, Oid dboid, uint32 *n)
{
	WarmTable  *tables = palloc(sizeof(WarmTable) * NOTED_TABLES);

	*n = 0;
	for (int i = 0; i < NOTED_TABLES; i++)
		if (contents->noted[i].dboid == dboid && OidIsValid(contents->noted[i].relid))
			tables[(*n)++] = (WarmTable)
		{
			contents->noted[i].relid, contents->noted[i].signature
		};
	qsort(tables, *n, sizeof(WarmTable), compare_tables);
	return tables;
}

/* How long each database's part is; the whole file's length. */
static uint64
lay_out(const Contents *contents, WarmSection *sections)
{
	uint64		offset = sizeof(WarmHead) + sizeof(WarmSection) * contents->ndatabases;
	Size		row = 0;
	Size		block = 0;

	for (int i = 0; i < contents->ndatabases; i++)
	{
		WarmSection *section = &sections[i];
		WarmRun		run;

		memset(section, 0, sizeof(WarmSection));
		section->dboid = contents->databases[i];
		section->offset = offset;
		pfree(tables_of(contents, section->dboid, &section->ntables));
		for (; row < contents->nrows && contents->rows[row].dboid == section->dboid; row++)
		{
			section->nrows++;
			section->row_bytes += contents->rows[row].length;
		}
		while (next_run(contents, &block, section->dboid, &run))
		{
			section->nruns++;
			section->nblocks += run.count;
		}
		offset += warm_section_length(section);
	}
	return offset + sizeof(pg_crc32c);
}

static void
put_all(Writer *writer, const Contents *contents, const WarmHead *head, const WarmSection *sections)
{
	Size		row = 0;
	Size		block = 0;

	put(writer, head, sizeof(WarmHead));
	put(writer, sections, sizeof(WarmSection) * contents->ndatabases);
	for (int i = 0; i < contents->ndatabases; i++)
	{
		const WarmSection *section = &sections[i];
		uint32		ntables;
		WarmTable  *tables = tables_of(contents, section->dboid, &ntables);
		WarmRun		run;

		CHECK_FOR_INTERRUPTS();
		put(writer, tables, sizeof(WarmTable) * ntables);
		pfree(tables);
		for (uint64 n = 0; n < section->nrows; n++, row++)
			put(writer, contents->bytes + contents->rows[row].offset, contents->rows[row].length);
		while (next_run(contents, &block, section->dboid, &run))
			put(writer, &run, sizeof(run));
	}
	FIN_CRC32C(writer->crc);
	if (!writer->failed)
		writer->failed = fwrite(&writer->crc, sizeof(writer->crc), 1, writer->file) != 1;
}

static bool
write_file(const Contents *contents, WarmHead *head)
{
	WarmSection *sections = palloc(sizeof(WarmSection) * Max(contents->ndatabases, 1));
	Writer		writer = {0};
	int			save_errno;

	memset(head, 0, sizeof(WarmHead));
	strlcpy(head->magic, WARM_MAGIC, sizeof(head->magic));
	head->format = WARM_FORMAT;
	head->machine = WARM_MACHINE;
	head->catalog_version = CATALOG_VERSION_NO;
	head->nsections = contents->ndatabases;
	head->system_identifier = GetSystemIdentifier();
	head->written = GetCurrentTimestamp();
	head->length = lay_out(contents, sections);

	INIT_CRC32C(writer.crc);
	writer.file = AllocateFile(WARM_FILE_NEW, PG_BINARY_W);
	if (writer.file == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", WARM_FILE_NEW)));
		return false;
	}
	put_all(&writer, contents, head, sections);
	save_errno = errno;
	if (FreeFile(writer.file) != 0 && !writer.failed)
	{
		save_errno = errno;
		writer.failed = true;
	}
	if (writer.failed)
	{
		unlink(WARM_FILE_NEW);
		errno = save_errno;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", WARM_FILE_NEW)));
		return false;
	}
	return durable_rename(WARM_FILE_NEW, WARM_FILE, LOG) == 0;
}

bool
ffs_cache_warm_write(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ffstorage warm-up file", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Contents	contents = {0};
	WarmHead	head;
	bool		written;

	/* by which rows are too old or not */
	SetCurrentStatementStartTimestamp();
	/* first: what is noted later is not of the rows that are found */
	contents.noted = palloc(sizeof(NotedTable) * NOTED_TABLES);
	LWLockAcquire(&ffs_cache_warm_area->lock, LW_SHARED);
	memcpy(contents.noted, ffs_cache_warm_area->noted, sizeof(NotedTable) * NOTED_TABLES);
	LWLockRelease(&ffs_cache_warm_area->lock);
	collect_databases(&contents);
	collect_rows(&contents);
	collect_blocks(&contents);
	written = write_file(&contents, &head);

	LWLockAcquire(&ffs_cache_warm_area->lock, LW_EXCLUSIVE);
	ffs_cache_warm_area->write_failed = !written;
	if (written)
	{
		ffs_cache_warm_area->written = head.written;
		ffs_cache_warm_area->rows_written = contents.nrows;
		ffs_cache_warm_area->blocks_written = contents.nblocks;
		ffs_cache_warm_area->bytes_written = head.length;
	}
	LWLockRelease(&ffs_cache_warm_area->lock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return written;
}

/* ---- reading ---- */

/* Is the CRC at the end that of all before it? */
static bool
is_whole(FILE *file, uint64 length)
{
	char	   *buffer = palloc(64 * 1024);
	uint64		left = length - sizeof(pg_crc32c);
	pg_crc32c	crc;
	pg_crc32c	said;

	INIT_CRC32C(crc);
	rewind(file);
	while (left > 0)
	{
		Size		n = Min(left, 64 * 1024);

		CHECK_FOR_INTERRUPTS();
		if (fread(buffer, 1, n, file) != n)
			return false;
		COMP_CRC32C(crc, buffer, n);
		left -= n;
	}
	FIN_CRC32C(crc);
	pfree(buffer);
	return fread(&said, sizeof(said), 1, file) == 1 && EQ_CRC32C(crc, said);
}

static const char *
wrong_with(FILE *file, WarmHead *head, WarmSection **sections)
{
	struct stat st;
	uint64		offset;

	if (fstat(fileno(file), &st) != 0 || fread(head, sizeof(WarmHead), 1, file) != 1)
		return "it is too short";
	if (memcmp(head->magic, WARM_MAGIC, sizeof(head->magic)) != 0)
		return "it is not such a file";
	if (head->format != WARM_FORMAT)
		return "it is of another version of ffstorage";
	if (head->machine != WARM_MACHINE || head->catalog_version != CATALOG_VERSION_NO)
		return "it is of another version of PostgreSQL or another kind of machine";
	if (head->system_identifier != GetSystemIdentifier())
		return "it is of another database cluster";
	offset = sizeof(WarmHead) + sizeof(WarmSection) * (uint64) head->nsections;
	if (head->nsections > NOTED_TABLES || head->length != (uint64) st.st_size ||
		head->length < offset + sizeof(pg_crc32c))
		return "its length is not what it says";
	if (!is_whole(file, head->length))
		return "its checksum is wrong";

	*sections = palloc(sizeof(WarmSection) * Max(head->nsections, 1));
	if (fseeko(file, sizeof(WarmHead), SEEK_SET) != 0 ||
		fread(*sections, sizeof(WarmSection), head->nsections, file) != head->nsections)
		return "it cannot be read";
	for (uint32 i = 0; i < head->nsections; i++)
	{
		WarmSection *section = &(*sections)[i];
		uint64		length = head->length;

		/* each by itself: their sum may run over */
		if (section->offset != offset || section->ntables > NOTED_TABLES ||
			section->row_bytes > length || section->nruns > length / sizeof(WarmRun))
			return "it contradicts itself";
		offset += warm_section_length(section);
	}
	return offset + sizeof(pg_crc32c) == head->length ? NULL : "it contradicts itself";
}

WarmSection *
ffs_cache_warm_check(WarmHead *head, const char **reason)
{
	FILE	   *file = AllocateFile(WARM_FILE, PG_BINARY_R);
	WarmSection *sections = NULL;

	*reason = NULL;
	if (file == NULL)
	{
		if (errno != ENOENT)
			*reason = "it cannot be opened";
		return NULL;
	}
	*reason = wrong_with(file, head, &sections);
	FreeFile(file);
	return *reason == NULL ? sections : NULL;
}
