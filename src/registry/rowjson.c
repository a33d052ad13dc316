/*-------------------------------------------------------------------------
 *
 * rowjson.c
 *		Values and whole rows as jsonb, quickly: an audit entry has one or two,
 *		a result of ffs_cached thousands.
 *
 * All rows of a table have the same members, in the same order, so that what
 * stands before the values is laid out once; the values of the usual types
 * are then put behind it one by one, without a tree of JsonbValues between.
 * The bytes are the same that the server's own code makes (utils/jsonb.h
 * tells what they mean).
 *
 * A jsonb is the varlena header, the container's header, an entry (JEntry) for
 * each name, one for each value, then names and values themselves.  Entries
 * hold lengths, save that every JB_OFFSET_STRIDE'th holds the offset of its
 * end.  A lone scalar is an array of one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "registry/key.h"
#include "registry/rowjson.h"

/* What a value is made of. */
typedef enum ValueKind
{
	VALUE_BOOL,
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8,
	VALUE_NUMERIC,
	VALUE_TEXT,					/* the bytes as they are stored */
	VALUE_UUID,
	VALUE_TIME,					/* a date, or a date and time */
	VALUE_JSONB,
	VALUE_OTHER					/* what to_jsonb() says */
} ValueKind;

/* The settings that a type's output may hang on. */
#define PRINTS_BY_FLOAT_DIGITS		1
#define PRINTS_BY_INTERVAL_STYLE	2
#define PRINTS_BY_BYTEA_OUTPUT		4
#define PRINTS_BY_TIME_ZONE			8	/* or DateStyle */
#define PRINTS_BY_ANY				15

struct FfsValueJson
{
	ValueKind	kind;
	Oid			type;			/* under any domain */
	FfsJsonUse	use;
	/* VALUE_OTHER */
	FmgrInfo	to_jsonb;
	int			settings;		/* PRINTS_BY_… */
	/* VALUE_TIME: the last one, as many rows have the same */
	bool		known;
	Datum		time;
	pg_tz	   *zone;			/* JSON_SHOWN */
	int			time_length;
	char		time_text[MAXDATELEN + 1];
};

typedef struct RowMember
{
	int			index;			/* into the row's values */
	const char *name;
	int			name_length;
	FfsValueJson *value;
} RowMember;

struct FfsRowJson
{
	int			nmembers;
	RowMember  *members;		/* in jsonb's order of names */
	char	   *head;			/* all that comes before the values */
	int			head_length;
};

/* Where the names and values of an object of n members begin. */
#define DATA_START(n)	((int) (VARHDRSZ + sizeof(uint32) + 2 * (n) * sizeof(JEntry)))

/* ---- values ---- */

static int
settings_of(Oid type)
{
	Oid			element = get_base_element_type(type);

	if (OidIsValid(element))
		return settings_of(element);
	type = getBaseType(type);
	if (type_is_enum(type))
		return 0;
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case INETOID:
		case CIDROID:
		case BITOID:
		case VARBITOID:
		case TIMEOID:
			return 0;
		case FLOAT4OID:
		case FLOAT8OID:
			return PRINTS_BY_FLOAT_DIGITS;
		case INTERVALOID:
			return PRINTS_BY_INTERVAL_STYLE;
		case BYTEAOID:
			return PRINTS_BY_BYTEA_OUTPUT;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return PRINTS_BY_TIME_ZONE;
		default:
			return PRINTS_BY_ANY;
	}
}

FfsValueJson *
ffs_registry_value_layout(Oid type, FfsJsonUse use)
{
	FfsValueJson *layout = palloc0(sizeof(FfsValueJson));

	layout->use = use;
	/* a domain is what it is made of */
	layout->type = getBaseType(type);
	switch (layout->type)
	{
		case BOOLOID:
			layout->kind = VALUE_BOOL;
			break;
		case INT2OID:
			layout->kind = VALUE_INT2;
			break;
		case INT4OID:
			layout->kind = VALUE_INT4;
			break;
		case INT8OID:
			layout->kind = VALUE_INT8;
			break;
		case NUMERICOID:
			layout->kind = VALUE_NUMERIC;
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			layout->kind = VALUE_TEXT;
			break;
		case UUIDOID:
			layout->kind = VALUE_UUID;
			break;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			layout->kind = VALUE_TIME;
			break;
		case JSONBOID:
			layout->kind = VALUE_JSONB;
			break;
		default:
			/* to_jsonb() asks the call's expression which type it is given */
			layout->kind = VALUE_OTHER;
			layout->settings = settings_of(layout->type);
			fmgr_info(F_TO_JSONB, &layout->to_jsonb);
			fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
													 list_make1(makeNullConst(layout->type, -1, InvalidOid)),
													 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
							   &layout->to_jsonb);
			break;
	}
	return layout;
}

/* Numbers and containers are aligned; the padding counts as theirs. */
static inline void
pad(StringInfo buf)
{
	enlargeStringInfo(buf, sizeof(int32));
	while (buf->len % sizeof(int32) != 0)
		buf->data[buf->len++] = '\0';
}

/*
 * What numeric.c has in a value's first two bytes.  It is what tables are full
 * of, and so stays as it is.
 */
#define NUMERIC_KIND_MASK	0xC000
#define NUMERIC_KIND_SHORT	0x8000	/* sign, scale and weight are in the same two bytes */
#define NUMERIC_KIND_SPECIAL	0xC000	/* NaN and the infinities */
#define NUMERIC_SHORT_MINUS	0x2000

/* With a header of one byte or of four. */
static JEntry
append_number(StringInfo buf, struct varlena *number)
{
	int			length = VARSIZE_ANY_EXHDR(number);
	uint16		header;

	memcpy(&header, VARDATA_ANY(number), sizeof(header));
	if ((header & NUMERIC_KIND_MASK) == NUMERIC_KIND_SPECIAL)
	{
		char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, PointerGetDatum(number)));

		appendBinaryStringInfo(buf, text, strlen(text));
		pfree(text);
		return JENTRY_ISSTRING;
	}
	pad(buf);
	enlargeStringInfo(buf, VARHDRSZ + length);
	SET_VARSIZE(buf->data + buf->len, VARHDRSZ + length);
	memcpy(buf->data + buf->len + VARHDRSZ, VARDATA_ANY(number), length);
	buf->len += VARHDRSZ + length;
	return JENTRY_ISNUMERIC;
}

/* A numeric of scale 0: digits to the base of 10000, none of them zero at either end. */
static JEntry
append_integer(StringInfo buf, int64 integer)
{
	uint64		rest = integer < 0 ? -(uint64) integer : (uint64) integer;
	int16		digits[5];		/* the last first */
	int			ndigits = 0;
	int			skip = 0;
	uint16		header = NUMERIC_KIND_SHORT;
	int16	   *to;

	for (; rest > 0; rest /= 10000)
		digits[ndigits++] = rest % 10000;
	if (ndigits > 0)
		header |= ndigits - 1;	/* the weight of the first digit */
	if (integer < 0)
		header |= NUMERIC_SHORT_MINUS;
	while (skip < ndigits && digits[skip] == 0)
		skip++;

	pad(buf);
	enlargeStringInfo(buf, VARHDRSZ + sizeof(header) + sizeof(digits));
	SET_VARSIZE(buf->data + buf->len, VARHDRSZ + sizeof(header) + (ndigits - skip) * sizeof(int16));
	memcpy(buf->data + buf->len + VARHDRSZ, &header, sizeof(header));
	to = (int16 *) (buf->data + buf->len + VARHDRSZ + sizeof(header));
	buf->len += VARSIZE(buf->data + buf->len);
	while (ndigits > skip)
		*to++ = digits[--ndigits];
	return JENTRY_ISNUMERIC;
}

static JEntry
append_uuid(StringInfo buf, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char	   *to;

	enlargeStringInfo(buf, 2 * UUID_LEN + 4);
	to = buf->data + buf->len;
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[uuid->data[i] >> 4];
		*to++ = digits[uuid->data[i] & 0x0F];
	}
	buf->len += 2 * UUID_LEN + 4;
	return JENTRY_ISSTRING;
}

static JEntry
append_time(StringInfo buf, FfsValueJson *layout, Datum value)
{
	if (!layout->known || layout->time != value || layout->zone != session_timezone)
	{
		int			utc = 0;

		layout->known = false;
		(void) JsonEncodeDateTime(layout->time_text, value, layout->type, layout->use == JSON_KEPT ? &utc : NULL);
		layout->time_length = strlen(layout->time_text);
		layout->time = value;
		layout->zone = session_timezone;
		/* a pointer says nothing of what it points to */
		layout->known = FLOAT8PASSBYVAL || layout->type == DATEOID;
	}
	appendBinaryStringInfo(buf, layout->time_text, layout->time_length);
	return JENTRY_ISSTRING;
}

/* What the server has made a jsonb of. */
static JEntry
append_jsonb(StringInfo buf, Jsonb *jsonb)
{
	JsonbValue	scalar;

	if (!JB_ROOT_IS_SCALAR(jsonb))
	{
		pad(buf);
		appendBinaryStringInfo(buf, VARDATA(jsonb), VARSIZE(jsonb) - VARHDRSZ);
		return JENTRY_ISCONTAINER;
	}
	if (!JsonbExtractScalar(&jsonb->root, &scalar))
		elog(ERROR, "scalar jsonb without a value");
	switch (scalar.type)
	{
		case jbvNull:
			return JENTRY_ISNULL;
		case jbvBool:
			return scalar.val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		case jbvNumeric:
			return append_number(buf, (struct varlena *) scalar.val.numeric);
		case jbvString:
			appendBinaryStringInfo(buf, scalar.val.string.val, scalar.val.string.len);
			return JENTRY_ISSTRING;
		default:
			elog(ERROR, "unexpected kind of scalar in a jsonb: %d", scalar.type);
	}
}

/*
 * What the server makes of a value of any other type, which hangs on settings
 * of the session: not what is kept for good.
 */
static Datum
other_jsonb(FfsValueJson *layout, Datum value)
{
	int			by = layout->settings;
	bool		plain = layout->use == JSON_SHOWN ||
		((!(by & PRINTS_BY_FLOAT_DIGITS) || extra_float_digits > 0) &&
		(!(by & PRINTS_BY_INTERVAL_STYLE) || IntervalStyle == INTSTYLE_POSTGRES) &&
		(!(by & PRINTS_BY_BYTEA_OUTPUT) || bytea_output == BYTEA_OUTPUT_HEX) &&
		(!(by & PRINTS_BY_TIME_ZONE) ||
		 (DateStyle == USE_ISO_DATES && strcmp(pg_get_timezone_name(session_timezone), "UTC") == 0)));
	int			guc_level = plain ? 0 : ffs_registry_begin_plain_output();
	Datum		result = FunctionCall1(&layout->to_jsonb, value);

	if (!plain)
		AtEOXact_GUC(false, guc_level);
	return result;
}

/* Put a value's bytes behind what is there, and say of what kind they are. */
static JEntry
append_value(StringInfo buf, FfsValueJson *layout, Datum value)
{
	JEntry		kind;
	struct varlena *flat;

	switch (layout->kind)
	{
		case VALUE_BOOL:
			return DatumGetBool(value) ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		case VALUE_INT2:
			return append_integer(buf, DatumGetInt16(value));
		case VALUE_INT4:
			return append_integer(buf, DatumGetInt32(value));
		case VALUE_INT8:
			return append_integer(buf, DatumGetInt64(value));
		case VALUE_UUID:
			return append_uuid(buf, DatumGetUUIDP(value));
		case VALUE_TIME:
			return append_time(buf, layout, value);
		case VALUE_TEXT:
			flat = PG_DETOAST_DATUM_PACKED(value);
			appendBinaryStringInfo(buf, VARDATA_ANY(flat), VARSIZE_ANY_EXHDR(flat));
			kind = JENTRY_ISSTRING;
			break;
		case VALUE_NUMERIC:
			flat = PG_DETOAST_DATUM_PACKED(value);
			kind = append_number(buf, flat);
			break;
		case VALUE_JSONB:
			flat = PG_DETOAST_DATUM(value);
			kind = append_jsonb(buf, (Jsonb *) flat);
			break;
		default:
			return append_jsonb(buf, DatumGetJsonbP(other_jsonb(layout, value)));
	}
	if ((Pointer) flat != DatumGetPointer(value))
		pfree(flat);
	return kind;
}

static void
check_length(int length, FfsJsonUse use)
{
	if (length > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg(use == JSON_KEPT ? "a value is too long for an audit entry" : "a row is too long for a jsonb"),
				 errdetail("What a jsonb holds must fit into %u bytes.", JENTRY_OFFLENMASK),
				 use == JSON_KEPT ? errhint("Leave the column out with ffs_manage(..., exclude => ...), or use strategy scd2.") :
				 errhint("Ask for fewer or shorter columns.")));
}

Datum
ffs_registry_value_jsonb(FfsValueJson *layout, Datum value, bool isnull, StringInfo buf)
{
	const int	data_start = VARHDRSZ + sizeof(uint32) + sizeof(JEntry);
	uint32		header = 1 | JB_FARRAY | JB_FSCALAR;
	JEntry		entry;

	if (!isnull && layout->kind == VALUE_JSONB)
		return PointerGetDatum(PG_DETOAST_DATUM(value));
	if (!isnull && layout->kind == VALUE_OTHER)
		return other_jsonb(layout, value);

	resetStringInfo(buf);
	enlargeStringInfo(buf, 64);
	buf->len = data_start;
	entry = isnull ? JENTRY_ISNULL : append_value(buf, layout, value);
	check_length(buf->len - VARHDRSZ, layout->use);
	entry |= JENTRY_HAS_OFF | (buf->len - data_start);
	memcpy(buf->data + VARHDRSZ, &header, sizeof(header));
	memcpy(buf->data + VARHDRSZ + sizeof(header), &entry, sizeof(entry));
	SET_VARSIZE(buf->data, buf->len);
	return PointerGetDatum(buf->data);
}

/* ---- rows ---- */

/* jsonb sorts members by length, then by bytes; of one name, the last first. */
static int
compare_members(const void *a, const void *b)
{
	const RowMember *left = a;
	const RowMember *right = b;
	int			order;

	if (left->name_length != right->name_length)
		return left->name_length - right->name_length;
	order = memcmp(left->name, right->name, left->name_length);
	return order != 0 ? order : right->index - left->index;
}

/* Of members of one name, which a query's row may have, the last one counts. */
static void
drop_doubles(FfsRowJson *layout)
{
	int			n = 0;

	for (int i = 0; i < layout->nmembers; i++)
	{
		if (n == 0 || strcmp(layout->members[n - 1].name, layout->members[i].name) != 0)
			layout->members[n++] = layout->members[i];
	}
	layout->nmembers = n;
}

FfsRowJson *
ffs_registry_row_layout(TupleDesc desc, const Bitmapset *leave_out, FfsJsonUse use)
{
	FfsRowJson *layout = palloc0(sizeof(FfsRowJson));
	StringInfoData head;
	uint32		header;
	JEntry	   *entries;
	int			data_start;

	layout->members = palloc(sizeof(RowMember) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		RowMember  *member = &layout->members[layout->nmembers];

		if (att->attisdropped || bms_is_member(att->attnum, leave_out))
			continue;
		member->index = i;
		member->name = pstrdup(NameStr(att->attname));
		member->name_length = strlen(member->name);
		member->value = ffs_registry_value_layout(att->atttypid, use);
		layout->nmembers++;
	}
	qsort(layout->members, layout->nmembers, sizeof(RowMember), compare_members);
	drop_doubles(layout);

	initStringInfo(&head);
	data_start = DATA_START(layout->nmembers);
	enlargeStringInfo(&head, data_start + layout->nmembers * NAMEDATALEN);
	memset(head.data, 0, data_start);
	head.len = data_start;
	header = layout->nmembers | JB_FOBJECT;
	memcpy(head.data + VARHDRSZ, &header, sizeof(header));
	entries = (JEntry *) (head.data + VARHDRSZ + sizeof(header));
	for (int i = 0; i < layout->nmembers; i++)
	{
		appendBinaryStringInfo(&head, layout->members[i].name, layout->members[i].name_length);
		if (i % JB_OFFSET_STRIDE == 0)
			entries[i] = JENTRY_ISSTRING | JENTRY_HAS_OFF | (head.len - data_start);
		else
			entries[i] = JENTRY_ISSTRING | layout->members[i].name_length;
	}
	layout->head = head.data;
	layout->head_length = head.len;
	return layout;
}

Datum
ffs_registry_row_jsonb(FfsRowJson *layout, const Datum *values, const bool *nulls, StringInfo buf)
{
	int			n = layout->nmembers;
	int			data_start = DATA_START(n);

	resetStringInfo(buf);
	appendBinaryStringInfo(buf, layout->head, layout->head_length);
	for (int i = 0; i < n; i++)
	{
		RowMember  *member = &layout->members[i];
		int			start = buf->len;
		JEntry		entry = nulls[member->index] ? JENTRY_ISNULL :
			append_value(buf, member->value, values[member->index]);

		check_length(buf->len - VARHDRSZ, member->value->use);
		if ((n + i) % JB_OFFSET_STRIDE == 0)
			entry |= JENTRY_HAS_OFF | (buf->len - data_start);
		else
			entry |= buf->len - start;
		/* the buffer may have moved */
		((JEntry *) (buf->data + VARHDRSZ + sizeof(uint32)))[n + i] = entry;
	}
	SET_VARSIZE(buf->data, buf->len);
	return PointerGetDatum(buf->data);
}
