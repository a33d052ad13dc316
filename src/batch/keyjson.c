/*-------------------------------------------------------------------------
 *
 * keyjson.c
 *		Keys as jsonb, quickly: a batch reports one for each of its rows.
 *
 * For keys of the usual types (integers, uuid, text) the jsonb is laid out
 * directly; its shape is the same for each row.  Others go through
 * ffs_registry_key_to_jsonb(), which gives the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "batch/rows.h"
#include "registry/key.h"

typedef struct KeyMember
{
	int			position;		/* in the key */
	Oid			type;
	char	   *name;
	int			name_length;
} KeyMember;

struct KeyWriter
{
	const FfsTable *table;
	bool		direct;
	int			nmembers;
	KeyMember	members[FLEXIBLE_ARRAY_MEMBER]; /* in jsonb's order of names */
};

/* jsonb sorts members by length, then by bytes. */
static int
compare_members(const void *a, const void *b)
{
	const KeyMember *left = a;
	const KeyMember *right = b;

	if (left->name_length != right->name_length)
		return left->name_length - right->name_length;
	return memcmp(left->name, right->name, left->name_length);
}

KeyWriter *
ffs_batch_open_key_writer(const FfsTable *table, TupleDesc desc)
{
	KeyWriter  *writer = palloc0(offsetof(KeyWriter, members) + sizeof(KeyMember) * table->nkeys);

	writer->table = table;
	writer->direct = true;
	writer->nmembers = table->nkeys;
	for (int i = 0; i < table->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, table->key[i] - 1);
		KeyMember  *member = &writer->members[i];

		member->position = i;
		member->type = att->atttypid;
		member->name = pstrdup(NameStr(att->attname));
		member->name_length = strlen(member->name);
		switch (member->type)
		{
			case INT2OID:
			case INT4OID:
			case INT8OID:
			case UUIDOID:
			case TEXTOID:
			case VARCHAROID:
				break;
			default:
				writer->direct = false;
		}
	}
	qsort(writer->members, writer->nmembers, sizeof(KeyMember), compare_members);
	return writer;
}

static void
append_uuid(StringInfo buf, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char		text[36];
	char	   *p = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid->data[i] >> 4];
		*p++ = digits[uuid->data[i] & 0x0F];
	}
	appendBinaryStringInfo(buf, text, sizeof(text));
}

Datum
ffs_batch_write_key(KeyWriter *writer, const Datum *values)
{
	StringInfoData buf;
	int			n = writer->nmembers;
	int			data_start = VARHDRSZ + sizeof(uint32) + 2 * n * sizeof(JEntry);
	uint32		header = n | JB_FOBJECT;

	if (!writer->direct)
		return JsonbPGetDatum(ffs_registry_key_to_jsonb(writer->table, values));

	/*
	 * The container's header, the entries of the names, those of the values,
	 * then the data in the same order.  Entries hold lengths, save that every
	 * JB_OFFSET_STRIDE'th holds the offset of its end: the first is such a one,
	 * whose offset is its length, and the 32nd of a very long key.
	 */
	initStringInfo(&buf);
	enlargeStringInfo(&buf, 128);
	memset(buf.data, 0, data_start);
	buf.len = data_start;
	memcpy(buf.data + VARHDRSZ, &header, sizeof(header));
	for (int i = 0; i < 2 * n; i++)
	{
		const KeyMember *member = &writer->members[i % n];
		int			start = buf.len;
		JEntry		entry = JENTRY_ISSTRING;

		if (i < n)
			appendBinaryStringInfo(&buf, member->name, member->name_length);
		else
		{
			Datum		value = values[member->position];

			switch (member->type)
			{
				case UUIDOID:
					append_uuid(&buf, DatumGetUUIDP(value));
					break;
				case TEXTOID:
				case VARCHAROID:
					{
						text	   *string = DatumGetTextPP(value);

						appendBinaryStringInfo(&buf, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
						break;
					}
				default:
					{
						int64		integer = member->type == INT2OID ? DatumGetInt16(value) :
						member->type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
						Numeric		number = int64_to_numeric(integer);

						/* numbers are aligned, the padding counts as theirs */
						while ((buf.len - VARHDRSZ) % sizeof(int32) != 0)
							appendStringInfoChar(&buf, '\0');
						appendBinaryStringInfo(&buf, (char *) number, VARSIZE_ANY(number));
						pfree(number);
						entry = JENTRY_ISNUMERIC;
						break;
					}
			}
		}
		if (buf.len - data_start > JENTRY_OFFLENMASK)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a key is too long to be reported as jsonb"),
					 errdetail("What a jsonb object holds must fit into 256 MB."),
					 errhint("Use shorter keys.")));
		if (i % JB_OFFSET_STRIDE == 0)
			entry |= JENTRY_HAS_OFF | (buf.len - data_start);
		else
			entry |= buf.len - start;
		memcpy(buf.data + VARHDRSZ + sizeof(uint32) + i * sizeof(JEntry), &entry, sizeof(entry));
	}
	SET_VARSIZE(buf.data, buf.len);
	return PointerGetDatum(buf.data);
}
