/*-------------------------------------------------------------------------
 *
 * literals.c
 *		Texts of the most usual form as values.
 *
 * Only forms that mean the same under every setting (DateStyle, TimeZone) are
 * taken here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"

#include "batch/literals.h"

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
ffs_batch_parse_uuid(const char *text, int length, pg_uuid_t *result)
{
	if (length != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
		return false;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			high;
		int			low;

		if (*text == '-')
			text++;
		high = hex_digit(text[0]);
		low = hex_digit(text[1]);
		if ((high | low) < 0)
			return false;
		result->data[i] = (high << 4) | low;
		text += 2;
	}
	return true;
}

/* `n` digits as a number, or -1. */
static inline int
digits(const char *text, int n)
{
	int			value = 0;

	for (int i = 0; i < n; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

bool
ffs_batch_parse_date(const char *text, int length, DateADT *result)
{
	int			year;
	int			month;
	int			day;

	if (length != 10 || text[4] != '-' || text[7] != '-')
		return false;
	year = digits(text, 4);
	month = digits(text + 5, 2);
	day = digits(text + 8, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		return false;
	*result = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	return true;
}

bool
ffs_batch_parse_timestamp(const char *text, int length, bool with_zone, Timestamp *result)
{
	const char *end = text + length;
	DateADT		date;
	int			hour;
	int			minute;
	int			second;
	int			fraction = 0;
	int64		time;

	if (length < 19 || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':' ||
		!ffs_batch_parse_date(text, 10, &date))
		return false;
	hour = digits(text + 11, 2);
	minute = digits(text + 14, 2);
	second = digits(text + 17, 2);
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;
	text += 19;
	if (text < end && *text == '.')
	{
		int			scale = 100000;

		text++;
		if (text == end || *text < '0' || *text > '9')
			return false;
		for (; text < end && *text >= '0' && *text <= '9'; text++, scale /= 10)
		{
			if (scale == 0)
				return false;
			fraction += (*text - '0') * scale;
		}
	}
	time = ((hour * INT64CONST(60) + minute) * 60 + second) * USECS_PER_SEC + fraction;
	if (with_zone)
	{
		if (text == end)
			return false;
		if (*text == 'Z')
		{
			text++;
		}
		else
		{
			int			sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
			int			zone_hour;
			int			zone_minute = 0;

			if (sign == 0 || end - text < 3)
				return false;
			zone_hour = digits(text + 1, 2);
			text += 3;
			if (text < end)
			{
				if (end - text != 3 || *text != ':')
					return false;
				zone_minute = digits(text + 1, 2);
				text += 3;
			}
			if (zone_hour < 0 || zone_hour > 14 || zone_minute < 0 || zone_minute > 59)
				return false;
			time -= sign * (zone_hour * INT64CONST(60) + zone_minute) * 60 * USECS_PER_SEC;
		}
	}
	if (text != end)
		return false;
	*result = date * USECS_PER_DAY + time;
	return true;
}
