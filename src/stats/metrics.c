/*-------------------------------------------------------------------------
 *
 * metrics.c
 *		Figures of other rooms, and all figures as Prometheus has them.
 *
 * Names have base units and the suffixes _total, _seconds, _bytes.  The bounds
 * of the histogram are powers of two nanoseconds, which the counters have
 * exactly.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/base.h"
#include "stats/figures.h"

/* The bounds of the histogram are 2^n nanoseconds, from about 1 us to 69 s. */
#define FIRST_BOUND		10
#define LAST_BOUND		36

#define MAX_SOURCES		20

PG_FUNCTION_INFO_V1(figures);
PG_FUNCTION_INFO_V1(metrics);

bool		ffs_stats_metrics_tenants = false;

/* ---- figures of other rooms ---- */

typedef struct Source
{
	const char *component;
	FfsFigures	figures;
} Source;

static Source sources[MAX_SOURCES];
static int	n_sources = 0;

struct FfsFigureSink
{
	const char *component;
	ReturnSetInfo *rows;		/* of figures() */
	ReturnSetInfo *samples;		/* of metrics() */
};

void
ffs_stats_register_figures(const char *component, FfsFigures f)
{
	if (n_sources >= MAX_SOURCES)
		elog(ERROR, "too many sources of figures");
	sources[n_sources].component = component;
	sources[n_sources++].figures = f;
}

/* ---- samples ---- */

typedef struct Label
{
	const char *name;
	const char *value;
} Label;

static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	pushJsonbValue(state, token, &value);
}

static void
put_sample(ReturnSetInfo *rsinfo, const char *name, const char *type, const char *help,
		   const Label *labels, int nlabels, double value)
{
	JsonbParseState *state = NULL;
	Datum		values[5];
	bool		nulls[5] = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < nlabels; i++)
	{
		if (labels[i].value == NULL)
			continue;
		push_string(&state, WJB_KEY, labels[i].name);
		push_string(&state, WJB_VALUE, labels[i].value);
	}
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(type);
	values[2] = CStringGetTextDatum(help);
	values[3] = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	values[4] = Float8GetDatum(value);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* "ffstorage_" component "_" metric, with the suffixes that its unit and kind ask for. */
static char *
metric_name(const char *component, FfsFigureKind kind, const char *metric, const char *unit)
{
	bool		base_unit = strcmp(unit, "bytes") == 0 || strcmp(unit, "seconds") == 0;
	Size		len = strlen(metric);
	Size		unit_len = strlen(unit);
	bool		said = len > unit_len && strcmp(metric + len - unit_len, unit) == 0;

	return psprintf("ffstorage_%s_%s%s%s%s", component, metric,
					base_unit && !said ? "_" : "", base_unit && !said ? unit : "",
					kind == FFS_COUNTER ? "_total" : "");
}

void
ffs_stats_figure(FfsFigureSink *sink, FfsFigureKind kind, const char *metric, const char *unit,
				 const char *help, double value, const char *label, const char *label_value)
{
	Datum		values[6];
	bool		nulls[6] = {0};

	if (sink->samples != NULL)
	{
		Label		one = {label, label_value};

		put_sample(sink->samples, metric_name(sink->component, kind, metric, unit),
				   kind == FFS_COUNTER ? "counter" : "gauge", help, &one, label != NULL ? 1 : 0, value);
		return;
	}
	values[0] = CStringGetTextDatum(sink->component);
	values[1] = CStringGetTextDatum(label != NULL ? psprintf("%s.%s", metric, label_value) : metric);
	values[2] = Float8GetDatum(value);
	values[3] = CStringGetTextDatum(unit);
	values[4] = CStringGetTextDatum(kind == FFS_COUNTER ? "counter" : "gauge");
	values[5] = CStringGetTextDatum(help);
	tuplestore_putvalues(sink->rows->setResult, sink->rows->setDesc, values, nulls);
}

static void
ask_sources(FfsFigureSink *sink)
{
	for (int i = 0; i < n_sources; i++)
	{
		sink->component = sources[i].component;
		sources[i].figures(sink);
	}
}

/*
 * ffstorage.figures(): what other rooms count, for ffs_stats.
 */
Datum
figures(PG_FUNCTION_ARGS)
{
	FfsFigureSink sink = {0};

	InitMaterializedSRF(fcinfo, 0);
	sink.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	ask_sources(&sink);
	return (Datum) 0;
}

/* ---- operations ---- */

static void
put_histogram(ReturnSetInfo *rsinfo, const Label *labels, const FfsCounts *counts)
{
	static const char *const help = "Time of operations on managed tables that were committed.";
	Label		with_bound[3] = {labels[0], labels[1], {"le", NULL}};
	uint64		n = 0;
	int			bucket = 0;

	for (int octave = FIRST_BOUND; octave <= LAST_BOUND; octave++)
	{
		/* all buckets whose durations are less than 2^octave */
		int			end = 1 + (octave - FFS_HISTOGRAM_FIRST_OCTAVE) * FFS_HISTOGRAM_PER_OCTAVE;

		for (; bucket < end; bucket++)
			n += counts->histogram[bucket];
		with_bound[2].value = psprintf("%.9g", ldexp(1e-9, octave));
		put_sample(rsinfo, "ffstorage_operation_duration_seconds_bucket", "histogram", help, with_bound, 3, (double) n);
	}
	with_bound[2].value = "+Inf";
	put_sample(rsinfo, "ffstorage_operation_duration_seconds_bucket", "histogram", help, with_bound, 3, (double) counts->calls);
	put_sample(rsinfo, "ffstorage_operation_duration_seconds_sum", "histogram", help, labels, 2, counts->total_ns / 1e9);
	put_sample(rsinfo, "ffstorage_operation_duration_seconds_count", "histogram", help, labels, 2, (double) counts->calls);
}

static void
put_operation(const FfsOperationFigures *f, void *arg)
{
	static const struct
	{
		const char *name;
		double		share;
	}			quantiles[] = {{"0.5", 0.5}, {"0.95", 0.95}, {"0.99", 0.99}};
	ReturnSetInfo *rsinfo = arg;
	Label		labels[3] = {
		{"relation", ffs_base_relation_name(f->relid)},
		{"operation", ffs_stats_operation_name(f->op)},
		{"quantile", NULL}
	};

	put_sample(rsinfo, "ffstorage_operation_calls_total", "counter",
			   "Operations on managed tables that were committed.", labels, 2, (double) f->all.calls);
	put_sample(rsinfo, "ffstorage_operation_rows_total", "counter",
			   "Rows of these operations.", labels, 2, (double) f->all.rows);
	put_sample(rsinfo, "ffstorage_operation_errors_total", "counter",
			   "Operations on managed tables that failed.", labels, 2, (double) f->all.errors);
	put_histogram(rsinfo, labels, &f->all);
	for (int i = 0; f->window.calls > 0 && i < (int) lengthof(quantiles); i++)
	{
		labels[2].value = quantiles[i].name;
		put_sample(rsinfo, "ffstorage_operation_recent_seconds", "gauge",
				   "Time that this share of operations did not exceed in the last 5 minutes.", labels, 3,
				   ffs_stats_percentile(&f->window, quantiles[i].share) / 1e9);
	}
}

static void
put_violations(Oid relid, uint64 violations, TimestampTz latest pg_attribute_unused(), void *arg)
{
	Label		label = {"relation", ffs_base_relation_name(relid)};

	put_sample(arg, "ffstorage_tenant_violations_total", "counter",
			   "Writes that were refused because they named another tenant's rows.", &label, 1, (double) violations);
}

static void
put_errors(ReturnSetInfo *rsinfo)
{
	int			n;
	FfsSqlstateFigures *errors = ffs_stats_copy_sqlstates(&n);

	for (int i = 0; i < n; i++)
	{
		Label		labels[3] = {
			{"relation", ffs_base_relation_name(errors[i].relid)},
			{"sqlstate", pstrdup(unpack_sql_state(errors[i].sqlstate))},
			{"condition", ffs_stats_condition(errors[i].sqlstate)}
		};

		put_sample(rsinfo, "ffstorage_errors_total", "counter",
				   "Errors that operations on managed tables ended with.", labels, 3, (double) errors[i].calls);
	}
}

static void
put_tenants(ReturnSetInfo *rsinfo)
{
	int			n;
	FfsTenantFigures *f = ffs_stats_copy_tenants(&n);

	for (int i = 0; i < n; i++)
	{
		Label		labels[2] = {
			{"tenant", f[i].kind == FFS_TENANT_KIND_ONE ? f[i].name : ""},
			{"kind", ffs_stats_tenant_kind(f[i].kind)}
		};

		put_sample(rsinfo, "ffstorage_tenant_calls_total", "counter", "Calls of the tenant.", labels, 2, (double) f[i].calls);
		put_sample(rsinfo, "ffstorage_tenant_rows_total", "counter", "Rows of these calls.", labels, 2, (double) f[i].rows);
		put_sample(rsinfo, "ffstorage_tenant_errors_total", "counter", "Calls of the tenant that failed.", labels, 2, (double) f[i].errors);
		put_sample(rsinfo, "ffstorage_tenant_duration_seconds_total", "counter", "Time of these calls.", labels, 2, f[i].total_ns / 1e9);
		put_sample(rsinfo, "ffstorage_tenant_rows_written_total", "counter", "Rows that the tenant wrote.", labels, 2, (double) f[i].writes);
	}
}

/*
 * ffstorage.metrics(): the figures that are in shared memory, as samples.
 */
Datum
metrics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FfsFigureSink sink = {.samples = rsinfo};
	Label		version = {"version", FFS_EXTENSION_VERSION};
	TimestampTz since;
	const char *reason;

	InitMaterializedSRF(fcinfo, 0);
	put_sample(rsinfo, "ffstorage_info", "gauge", "The library's version.", &version, 1, 1.0);
	if (ffs_stats_since(&since, &reason))
		put_sample(rsinfo, "ffstorage_stats_reset_timestamp_seconds", "gauge",
				   "Since when the figures of this database count.", NULL, 0,
				   since / 1e6 + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY);
	ffs_stats_visit_operations(put_operation, rsinfo);
	ffs_stats_visit_violations(put_violations, rsinfo);
	put_errors(rsinfo);
	if (ffs_stats_metrics_tenants)
		put_tenants(rsinfo);
	ask_sources(&sink);
	return (Datum) 0;
}
