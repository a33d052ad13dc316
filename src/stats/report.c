/*-------------------------------------------------------------------------
 *
 * report.c
 *		ffs_report(): figures and health as one HTML page.
 *
 * The page needs nothing from elsewhere: styles are in it, charts are SVG, and
 * there is no script.  Everything that is not ours is escaped where it is
 * written (put_text): names of tables, tenants and programs are whatever their
 * owners want.  It reads the views as its caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/checks.h"
#include "stats/figures.h"

PG_FUNCTION_INFO_V1(ffs_report);

#define MAX_BARS	20
#define BAR_HEIGHT	22
#define LABEL_WIDTH 250
#define CHART_WIDTH 860

static const char *const style =
"<style>\n"
":root{--bg:#f7f8fa;--card:#fff;--text:#1c2330;--soft:#5d6778;--line:#dfe3ea;--bar:#3b73c8;--bar2:#e2872b;--bar3:#b8415b;"
"--good:#1f8a4c;--warn:#b26a00;--bad:#c02b2b;--off:#7a8496}\n"
"@media (prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1b212b;--text:#e6e9ef;--soft:#9aa5b5;--line:#2d3644;"
"--bar:#6c9ff0;--bar2:#f0a658;--bar3:#ee7f95;--good:#4cc67f;--warn:#f0b357;--bad:#ff7b72;--off:#8b95a5}}\n"
"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);font:14px/1.45 system-ui,sans-serif}\n"
"main{max-width:1000px;margin:0 auto;padding:24px 16px}h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:0 0 12px}\n"
"section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;margin:16px 0;overflow-x:auto}\n"
".soft{color:var(--soft)}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:5px 10px 5px 0;vertical-align:top;"
"border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap;"
"font-variant-numeric:tabular-nums}td{overflow-wrap:anywhere}td.w{white-space:nowrap}\n"
".s{display:inline-block;min-width:76px;padding:1px 8px;border-radius:10px;color:#fff;text-align:center;font-size:12px}\n"
".healthy{background:#1f8a4c}.degraded{background:#b26a00}.unhealthy{background:#c02b2b}.off{background:#6b7585}\n"
".tiles{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0 0}.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;"
"padding:12px 16px;min-width:140px;flex:1}.tile b{display:block;font-size:22px;font-variant-numeric:tabular-nums}\n"
"svg{display:block;max-width:100%;height:auto}svg text{fill:var(--text);font:12px system-ui,sans-serif}svg text.soft{fill:var(--soft)}\n"
".b1{fill:var(--bar)}.b2{fill:var(--bar2)}.b3{fill:var(--bar3)}.axis{stroke:var(--line)}\n"
".key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 4px 0 14px}.k1{background:var(--bar)}.k2{background:var(--bar2)}"
".k3{background:var(--bar3)}\n"
"@media print{section{break-inside:avoid}}\n"
"</style>\n";

/* ---- writing ---- */

/* UTF-8 as references to its characters. */
static void
put_references(StringInfo page, const unsigned char *utf8, int len)
{
	while (len > 0)
	{
		int			n = pg_utf_mblen(utf8);

		if (n <= len && pg_utf8_islegal(utf8, n))
			appendStringInfo(page, "&#%u;", (unsigned int) utf8_to_unicode(utf8));
		else
		{
			appendStringInfoString(page, "&#65533;");
			n = 1;
		}
		utf8 += n;
		len -= n;
	}
}

/*
 * The character that is not ASCII at the beginning of a text, as a reference:
 * then the page is UTF-8 whatever the database's encoding and the client's.
 * SQL_ASCII may be anything; it is taken for UTF-8.  Its length.
 */
static int
put_character(StringInfo page, const char *text)
{
	int			encoding = GetDatabaseEncoding();
	int			len = (int) strnlen(text, encoding == PG_SQL_ASCII ? pg_utf_mblen((const unsigned char *) text) : pg_mblen(text));
	unsigned char utf8[64];
	Oid			conversion;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
	{
		if (!pg_utf8_islegal((const unsigned char *) text, len))
			len = 1;
		put_references(page, (const unsigned char *) text, len);
		return len;
	}
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (OidIsValid(conversion) &&
		pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8, (unsigned char *) unconstify(char *, text), len,
									  utf8, sizeof(utf8), true) == len)
		put_references(page, utf8, (int) strlen((char *) utf8));
	else
		appendStringInfoString(page, "&#65533;");
	return len;
}

/* Text of others, so that a browser takes it for nothing but text. */
static void
put_text(StringInfo page, const char *text)
{
	for (const char *c = text != NULL ? text : ""; *c != '\0'; c++)
	{
		switch (*c)
		{
			case '&':
				appendStringInfoString(page, "&amp;");
				break;
			case '<':
				appendStringInfoString(page, "&lt;");
				break;
			case '>':
				appendStringInfoString(page, "&gt;");
				break;
			case '"':
				appendStringInfoString(page, "&quot;");
				break;
			case '\'':
				appendStringInfoString(page, "&#39;");
				break;
			default:
				if (IS_HIGHBIT_SET(*c))
					c += put_character(page, c) - 1;
				else
					/* what HTML does not allow even escaped */
					appendStringInfoChar(page, *c < ' ' && *c != '\n' && *c != '\t' ? ' ' : *c);
		}
	}
}

static void
put_cell(StringInfo page, const char *class, const char *text)
{
	appendStringInfo(page, "<td%s%s%s>", class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
	put_text(page, text);
	appendStringInfoString(page, "</td>");
}

static void
begin_section(StringInfo page, const char *title)
{
	appendStringInfo(page, "<section><h2>%s</h2>\n", title);
}

static void
end_section(StringInfo page)
{
	appendStringInfoString(page, "</section>\n");
}

static void
put_nothing(StringInfo page, const char *what)
{
	appendStringInfo(page, "<p class=\"soft\">%s</p>\n", what);
}

/* A query over our views, which are in the extension's schema; stays connected. */
static void
ask(const char *select, const char *view, const char *rest)
{
	char	   *schema = get_namespace_name(ffs_base_extension_namespace());

	if (schema == NULL)
		elog(ERROR, "the extension has no schema");
	ffs_stats_query(psprintf("SELECT %s FROM %s.%s %s", select, quote_identifier(schema), view, rest));
}

static double
number_of(uint64 row, int column)
{
	char	   *text = ffs_stats_text_of(row, column);

	return text != NULL ? atof(text) : 0.0;
}

/* A table of what the query gave: its columns' names are the headings, numbers to the right. */
static void
put_rows(StringInfo page, const char *nothing)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;

	if (SPI_processed == 0)
	{
		put_nothing(page, nothing);
		return;
	}
	appendStringInfoString(page, "<table><tr>");
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(page, "<th%s>%s</th>", SPI_gettypeid(desc, i + 1) == TEXTOID ? "" : " class=\"n\"",
						 SPI_fname(desc, i + 1));
	appendStringInfoString(page, "</tr>\n");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		appendStringInfoString(page, "<tr>");
		for (int i = 0; i < desc->natts; i++)
		{
			char	   *text = ffs_stats_text_of(row, i + 1);

			put_cell(page, SPI_gettypeid(desc, i + 1) != TEXTOID ? "n" :
					 text != NULL && strlen(text) < 20 ? "w" : NULL, text);
		}
		appendStringInfoString(page, "</tr>\n");
	}
	appendStringInfoString(page, "</table>\n");
}

/*
 * Bars for what the query gave: a label, what stands at its end, then up to
 * three values that are drawn one above the other; by their logarithm where
 * they differ much.
 */
static void
put_bars(StringInfo page, int nvalues, bool logarithmic, const char *nothing)
{
	double		most = 0.0;
	double		least = HUGE_VAL;
	int			height = BAR_HEIGHT;
	uint64		n = Min(SPI_processed, MAX_BARS);
	double		room = CHART_WIDTH - LABEL_WIDTH - (nvalues > 1 ? 210 : 150);

	if (n == 0)
	{
		put_nothing(page, nothing);
		return;
	}
	for (uint64 row = 0; row < n; row++)
	{
		for (int v = 0; v < nvalues; v++)
		{
			double		value = number_of(row, 3 + v);

			most = Max(most, value);
			if (value > 0)
				least = Min(least, value);
		}
	}
	appendStringInfo(page, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n<line class=\"axis\" x1=\"%d\" y1=\"0\" x2=\"%d\" y2=\"%d\"/>\n",
					 CHART_WIDTH, (int) n * height + 4, CHART_WIDTH, LABEL_WIDTH, LABEL_WIDTH, (int) n * height + 4);
	for (uint64 row = 0; row < n; row++)
	{
		int			y = (int) row * height;
		double		longest = 0.0;
		char	   *label = ffs_stats_text_of(row, 1);

		appendStringInfoString(page, "<g><title>");
		put_text(page, label);
		appendStringInfo(page, "</title><text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL_WIDTH - 8, y + 15);
		if (pg_mbstrlen(label) > 36)
		{
			put_text(page, pnstrdup(label, pg_mbcharcliplen(label, strlen(label), 35)));
			appendStringInfoString(page, "&hellip;");
		}
		else
			put_text(page, label);
		appendStringInfoString(page, "</text>");
		for (int v = 0; v < nvalues; v++)
		{
			double		value = number_of(row, 3 + v);
			double		width = most <= 0 || value <= 0 ? 0.0 :
			logarithmic && most > least ? room * (0.05 + 0.95 * log(value / least) / log(most / least)) :
			room * value / most;
			double		bar = (height - 6.0) / nvalues;

			appendStringInfo(page, "<rect class=\"b%d\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>",
							 v + 1, LABEL_WIDTH, y + 3 + v * bar, Max(width, value > 0 ? 1.0 : 0.0), Max(bar - (nvalues > 1 ? 0.8 : 0), 1));
			longest = Max(longest, width);
		}
		appendStringInfo(page, "<text class=\"soft\" x=\"%.1f\" y=\"%d\">", LABEL_WIDTH + longest + 6, y + 15);
		put_text(page, ffs_stats_text_of(row, 2));
		appendStringInfoString(page, "</text></g>\n");
	}
	appendStringInfoString(page, "</svg>\n");
	if (SPI_processed > n)
		appendStringInfo(page, "<p class=\"soft\">And %llu more.</p>\n", (unsigned long long) (SPI_processed - n));
}

/* ---- the page ---- */

static void
put_tile(StringInfo page, const char *value, const char *what)
{
	appendStringInfoString(page, "<div class=\"tile\"><b>");
	put_text(page, value);
	appendStringInfo(page, "</b><span class=\"soft\">%s</span></div>\n", what);
}

static void
put_head(StringInfo page)
{
	ask("(SELECT count(*) FROM ffstorage.stat_managed())::text, "
		"to_char(coalesce(sum(calls), 0), 'FM999G999G999G999G990'), to_char(coalesce(sum(calls_5m), 0), 'FM999G999G999G990'), "
		"to_char(coalesce(sum(errors_5m), 0), 'FM999G999G999G990'), "
		"(SELECT pg_size_pretty(coalesce(sum(history_bytes), 0)) FROM ffstorage.stat_managed()), "
		"(SELECT to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC (' || reason || ')' FROM ffstorage.stat_since()), "
		"to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), "
		"(SELECT version()) ", "ffs_stat_operations", "");
	appendStringInfoString(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
						   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
						   "<meta name=\"color-scheme\" content=\"light dark\">\n"
						   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
						   "<title>ffstorage: ");
	put_text(page, get_database_name(MyDatabaseId));
	appendStringInfo(page, "</title>\n%s</head><body><main>\n<h1>ffstorage %s on ", style, FFS_EXTENSION_VERSION);
	put_text(page, get_database_name(MyDatabaseId));
	appendStringInfo(page, "</h1><div class=\"soft\">%s UTC &middot; ", ffs_stats_text_of(0, 7));
	put_text(page, ffs_stats_text_of(0, 8));
	appendStringInfoString(page, "</div>\n<div class=\"tiles\">\n");
	put_tile(page, ffs_stats_text_of(0, 1), "managed tables");
	put_tile(page, ffs_stats_text_of(0, 3), "operations in 5 minutes");
	put_tile(page, ffs_stats_text_of(0, 4), "errors in 5 minutes");
	put_tile(page, ffs_stats_text_of(0, 2), "operations in all");
	put_tile(page, ffs_stats_text_of(0, 5), "beside the tables");
	appendStringInfoString(page, "</div>\n<p class=\"soft\">");
	if (ffs_stats_text_of(0, 6) != NULL)
		appendStringInfo(page, "Counted since %s.", ffs_stats_text_of(0, 6));
	else
		appendStringInfoString(page, "Nothing is counted: ffstorage is not in shared_preload_libraries.");
	appendStringInfoString(page, "</p>\n");
	SPI_finish();
}

static void
put_health(StringInfo page)
{
	begin_section(page, "Health");
	ask("status, check_name, message, details, hint", "ffs_health",
		"ORDER BY array_position('{unhealthy,degraded,off,healthy}', status), check_name");
	appendStringInfoString(page, "<table>\n");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		appendStringInfo(page, "<tr><td><span class=\"s %s\">%s</span></td>", ffs_stats_text_of(row, 1), ffs_stats_text_of(row, 1));
		put_cell(page, NULL, ffs_stats_text_of(row, 2));
		appendStringInfoString(page, "<td>");
		put_text(page, ffs_stats_text_of(row, 3));
		if (ffs_stats_text_of(row, 4) != NULL)
		{
			appendStringInfoString(page, "<div class=\"soft\">");
			put_text(page, ffs_stats_text_of(row, 4));
			appendStringInfoString(page, "</div>");
		}
		if (ffs_stats_text_of(row, 5) != NULL)
		{
			appendStringInfoString(page, "<div>&rarr; ");
			put_text(page, ffs_stats_text_of(row, 5));
			appendStringInfoString(page, "</div>");
		}
		appendStringInfoString(page, "</td></tr>\n");
	}
	appendStringInfoString(page, "</table>\n");
	SPI_finish();
	end_section(page);
}

static void
put_operations(StringInfo page)
{
	begin_section(page, "Operations since the figures began");
	ask("operation || ' ' || relation::text, to_char(calls, 'FM999G999G999G999G990'), calls::float8", "ffs_stat_operations",
		"WHERE calls > 0 ORDER BY calls DESC, 1");
	put_bars(page, 1, false, "No operation has been counted yet.");
	SPI_finish();
	end_section(page);

	begin_section(page, "Latency of the last 5 minutes, in milliseconds, logarithmic "
				  "<span class=\"key soft\"><i class=\"k1\"></i>p50<i class=\"k2\"></i>p95<i class=\"k3\"></i>p99</span>");
	ask("operation || ' ' || relation::text, "
		"concat_ws(' / ', round(p50_ms_5m::numeric, 3), round(p95_ms_5m::numeric, 3), round(p99_ms_5m::numeric, 3)), "
		"p50_ms_5m, p95_ms_5m, p99_ms_5m", "ffs_stat_operations",
		"WHERE calls_5m > 0 ORDER BY p95_ms_5m DESC, 1");
	put_bars(page, 3, true, "No operation in the last 5 minutes.");
	SPI_finish();
	end_section(page);

	begin_section(page, "Slow operations, the latest");
	ask("to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS \"UTC\", relation::text, operation, round(duration_ms::numeric, 1) AS ms, rows, "
		"tenant, coalesce(actor, role::text) AS actor, application_name AS application, sqlstate, traceparent", "ffs_slow_operations", "LIMIT 20");
	put_rows(page, "None.");
	SPI_finish();
	end_section(page);

	begin_section(page, "Errors");
	ask("relation::text, sqlstate, condition, calls, to_char(last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS \"last, UTC\"",
		"ffs_stat_errors", "ORDER BY calls DESC, 1, 2 LIMIT 20");
	put_rows(page, "None.");
	SPI_finish();
	end_section(page);
}

static void
put_tables(StringInfo page)
{
	begin_section(page, "History: bytes beside each table");
	ffs_stats_query("SELECT relid::regclass::text, pg_size_pretty(history_bytes), history_bytes::float8 FROM ffstorage.stat_managed() "
					"WHERE history_bytes > 0 ORDER BY 3 DESC, 1");
	put_bars(page, 1, false, "Nothing stands beside the managed tables.");
	SPI_finish();
	end_section(page);

	begin_section(page, "Tenants: time of their calls");
	ask("tenant, to_char(total_ms, 'FM999G999G990D0') || ' ms, ' || calls || ' calls', total_ms", "ffs_stat_tenants",
		"WHERE calls > 0 ORDER BY total_ms DESC, 1");
	put_bars(page, 1, false, "No tenant has been counted yet.");
	SPI_finish();
	end_section(page);

	begin_section(page, "More figures");
	ffs_stats_query("SELECT component, metric, value::numeric AS value, unit FROM ffstorage.figures()");
	put_rows(page, "None.");
	SPI_finish();
	end_section(page);
}

/* ffs_report() returns text */
Datum
ffs_report(PG_FUNCTION_ARGS)
{
	StringInfoData page;

	(void) fcinfo;
	initStringInfo(&page);
	put_head(&page);
	put_health(&page);
	put_operations(&page);
	put_tables(&page);
	appendStringInfoString(&page, "</main></body></html>\n");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(page.data, page.len));
}
