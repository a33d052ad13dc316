/*-------------------------------------------------------------------------
 *
 * keyset.c
 *		The keys that came before in a call.
 *
 * Of each key 128 bits are kept that its image hashes to: a call may bring
 * millions of rows, and its memory for them must stay small.  Two keys that
 * are equal but look different (1.0 and 1.00) are left to the unique index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "batch/keyset.h"

typedef struct KeyHash
{
	uint64		a;
	uint64		b;
} KeyHash;

typedef struct SeenKey
{
	KeyHash		hash;
	int			row;
	char		status;
} SeenKey;

#define SH_PREFIX seen
#define SH_ELEMENT_TYPE SeenKey
#define SH_KEY_TYPE KeyHash
#define SH_KEY hash
#define SH_HASH_KEY(tb, key) ((uint32) (key).a)
#define SH_EQUAL(tb, x, y) ((x).a == (y).a && (x).b == (y).b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct KeySet
{
	RowReader  *reader;
	int			ncolumns;
	const AttrNumber *columns;
	seen_hash  *seen;
};

KeySet *
ffs_batch_open_key_set(RowReader *reader, int ncolumns, const AttrNumber *columns)
{
	KeySet	   *set = palloc(sizeof(KeySet));

	set->reader = reader;
	set->ncolumns = ncolumns;
	set->columns = columns;
	set->seen = seen_create(CurrentMemoryContext, 1024, NULL);
	return set;
}

static void
add_value(KeyHash *hash, const RowColumn *column, Datum value)
{
	const unsigned char *data = (const unsigned char *) &value;
	int			length = sizeof(Datum);

	if (!column->byval && column->length == -1)
	{
		struct varlena *plain = PG_DETOAST_DATUM_PACKED(value);

		data = (const unsigned char *) VARDATA_ANY(plain);
		length = VARSIZE_ANY_EXHDR(plain);
	}
	else if (!column->byval)
	{
		data = (const unsigned char *) DatumGetPointer(value);
		length = column->length == -2 ? (int) strlen((const char *) data) : column->length;
	}
	hash->a = hash_combine64(hash->a, hash_bytes_extended(data, length, 0));
	hash->b = hash_combine64(hash->b, hash_bytes_extended(data, length, hash->a));
}

int
ffs_batch_key_before(KeySet *set, const FeedRow *row)
{
	KeyHash		hash = {UINT64CONST(0x9E3779B97F4A7C15), UINT64CONST(0xC2B2AE3D27D4EB4F)};
	SeenKey    *entry;
	bool		found;

	for (int i = 0; i < set->ncolumns; i++)
	{
		AttrNumber	attno = set->columns[i];

		if (!ffs_batch_is_given(row->given, attno) || row->nulls[attno - 1])
			return 0;
		add_value(&hash, &set->reader->columns[attno - 1], row->values[attno - 1]);
	}
	entry = seen_insert(set->seen, hash, &found);
	if (found)
		return entry->row;
	entry->row = row->number;
	return 0;
}
