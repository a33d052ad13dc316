/*
 * client.c
 *	  The bench's own client: it keeps connections open, holds what it sends
 *	  in memory, and measures wall time and the backends' CPU time.
 *
 * bench.pl drives it through a pipe.  A request is a line "verb name count
 * bytes", then as many bytes; an answer is a line "ok ..." or "error bytes"
 * and the message.  The verbs:
 *
 *	exec		runs SQL on every connection
 *	query		runs SQL, answers with "ok bytes" and the rows, tab-separated
 *	data		runs COPY ... TO STDOUT and keeps it under the name
 *	params		runs a query and keeps its rows, in binary, under the name
 *	statements	runs a query and keeps its first column, texts of SQL
 *	run			times SQL, each statement by itself
 *	copy		times COPY ... FROM STDIN of the data with the name
 *	each		times a prepared statement, once per row of the params with
 *				the name, in binary; count connections share the rows
 *	texts		times the statements with the name, one after the other
 *	forget		drops everything that is kept
 *
 * What is timed answers "ok wall_us cpu_us rows": rows being those that came
 * back or were changed.  Since parameters are made by the server's own send
 * functions, rows and arrays of rows go in exactly as a binary driver sends
 * them, and cost the client nothing while the clock runs.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define MAX_KEPT 16
#define MAX_PARAMS 1000

/* What is kept between requests. */
typedef struct Kept
{
	char		name[64];
	PGresult   *rows;			/* of params and statements */
	char	  **chunks;			/* of data */
	int		   *lengths;
	int			nchunks;
	int			maxchunks;
} Kept;

/* One connection's share of "each". */
typedef struct Share
{
	PGconn	   *conn;
	const PGresult *params;
	int			first;
	int			step;
	long		rows;
	char	   *error;
} Share;

static PGconn *conns[MAX_CONNECTIONS];
static int	nconns = 0;
static Kept kept[MAX_KEPT];
static int	nkept = 0;

/* The session's own statements, run on connections that are opened later. */
static char *session_sql[64];
static int	nsession = 0;

static void *
allocate(size_t size)
{
	void	   *result = malloc(size > 0 ? size : 1);

	if (result == NULL)
	{
		fputs("bench client: out of memory\n", stderr);
		exit(1);
	}
	return result;
}

static long
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

/*
 * A backend's CPU time in microseconds: to the nanosecond where the kernel
 * has schedstat, else in clock ticks.
 */
static long
backend_cpu(int pid)
{
	char		path[64];
	char		line[1024];
	FILE	   *file;
	unsigned long long ns;
	unsigned long user,
				sys;
	long		result = 0;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	if ((file = fopen(path, "r")) != NULL)
	{
		if (fscanf(file, "%llu", &ns) == 1)
			result = (long) (ns / 1000);
		fclose(file);
		if (result > 0)
			return result;
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if ((file = fopen(path, "r")) != NULL)
	{
		char	   *rest;

		if (fgets(line, sizeof(line), file) != NULL &&
			(rest = strrchr(line, ')')) != NULL &&
			sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) == 2)
			result = (long) ((user + sys) * (1000000UL / sysconf(_SC_CLK_TCK)));
		fclose(file);
	}
	return result;
}

static long
all_cpu(int count)
{
	long		sum = 0;

	for (int i = 0; i < count; i++)
		sum += backend_cpu(PQbackendPID(conns[i]));
	return sum;
}

static void
answer_error(const char *message)
{
	printf("error %zu\n%s", strlen(message), message);
}

/* Takes the results of what was sent; NULL or the first error, to be freed. */
static char *
finish_results(PGconn *conn, long *rows)
{
	char	   *error = NULL;
	PGresult   *res;

	while ((res = PQgetResult(conn)) != NULL)
	{
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_TUPLES_OK)
			*rows += PQntuples(res);
		else if (status == PGRES_COMMAND_OK)
			*rows += atol(PQcmdTuples(res));
		else if (status == PGRES_COPY_IN)
			PQputCopyEnd(conn, "the bench sends no data here");
		else if (error == NULL)
			error = strdup(PQresultErrorMessage(res));
		PQclear(res);
	}
	return error;
}

/* True if there was none. */
static bool
no_error(char *error)
{
	if (error == NULL)
		return true;
	answer_error(error);
	free(error);
	return false;
}

static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

static bool
open_connections(int count)
{
	while (nconns < count && nconns < MAX_CONNECTIONS)
	{
		PGconn	   *conn = PQconnectdb("");

		if (PQstatus(conn) != CONNECTION_OK)
		{
			answer_error(PQerrorMessage(conn));
			PQfinish(conn);
			return false;
		}
		PQsetNoticeProcessor(conn, ignore_notice, NULL);
		for (int i = 0; i < nsession; i++)
		{
			long		rows = 0;

			if (!PQsendQuery(conn, session_sql[i]) ||
				!no_error(finish_results(conn, &rows)))
				return false;
		}
		conns[nconns++] = conn;
	}
	return true;
}

static Kept *
find_kept(const char *name)
{
	for (int i = 0; i < nkept; i++)
		if (strcmp(kept[i].name, name) == 0)
			return &kept[i];
	return NULL;
}

static void
forget(Kept *k)
{
	PQclear(k->rows);
	for (int i = 0; i < k->nchunks; i++)
		PQfreemem(k->chunks[i]);
	free(k->chunks);
	free(k->lengths);
	memset(k, 0, sizeof(*k));
}

/* A place under that name; what was there goes. */
static Kept *
new_kept(const char *name)
{
	Kept	   *k = find_kept(name);

	if (k != NULL)
		forget(k);
	else if (nkept < MAX_KEPT)
		k = &kept[nkept++];
	else
		return NULL;
	memset(k, 0, sizeof(*k));
	snprintf(k->name, sizeof(k->name), "%s", name);
	return k;
}

/* ---- the verbs ---- */

/* On all connections, and on those to come. */
static void
verb_exec(const char *sql)
{
	for (int i = 0; i < nconns; i++)
	{
		long		rows = 0;

		if (!PQsendQuery(conns[i], sql))
		{
			answer_error(PQerrorMessage(conns[i]));
			return;
		}
		if (!no_error(finish_results(conns[i], &rows)))
			return;
	}
	if (nsession < (int) (sizeof(session_sql) / sizeof(session_sql[0])))
		session_sql[nsession++] = strdup(sql);
	puts("ok");
}

static void
verb_query(const char *sql)
{
	PGresult   *res = PQexec(conns[0], sql);
	size_t		size = 0;

	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
	{
		answer_error(PQresultErrorMessage(res));
		PQclear(res);
		return;
	}
	for (int i = 0; i < PQntuples(res); i++)
		for (int j = 0; j < PQnfields(res); j++)
			size += PQgetlength(res, i, j) + 1;
	printf("ok %zu\n", size);
	for (int i = 0; i < PQntuples(res); i++)
		for (int j = 0; j < PQnfields(res); j++)
			printf("%s%c", PQgetvalue(res, i, j), j + 1 < PQnfields(res) ? '\t' : '\n');
	PQclear(res);
}

static void
verb_data(const char *name, const char *sql)
{
	PGresult   *res = PQexec(conns[0], sql);
	Kept	   *k;
	char	   *chunk;
	int			length;
	long		rows = 0;

	if (PQresultStatus(res) != PGRES_COPY_OUT)
	{
		answer_error(PQresultStatus(res) == PGRES_FATAL_ERROR ? PQresultErrorMessage(res) : "no COPY TO STDOUT");
		PQclear(res);
		return;
	}
	PQclear(res);
	if ((k = new_kept(name)) == NULL)
	{
		answer_error("too many names are kept");
		return;
	}
	while ((length = PQgetCopyData(conns[0], &chunk, 0)) > 0)
	{
		if (k->nchunks == k->maxchunks)
		{
			k->maxchunks = k->maxchunks > 0 ? 2 * k->maxchunks : 1024;
			k->chunks = realloc(k->chunks, k->maxchunks * sizeof(char *));
			k->lengths = realloc(k->lengths, k->maxchunks * sizeof(int));
			if (k->chunks == NULL || k->lengths == NULL)
				exit(1);
		}
		k->chunks[k->nchunks] = chunk;
		k->lengths[k->nchunks++] = length;
	}
	if (no_error(finish_results(conns[0], &rows)))
		puts("ok");
}

static void
verb_params(const char *name, const char *sql, int format)
{
	PGresult   *res = PQexecParams(conns[0], sql, 0, NULL, NULL, NULL, NULL, format);
	Kept	   *k;

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		answer_error(PQresultErrorMessage(res));
	else if (PQnfields(res) > MAX_PARAMS)
		answer_error("too many parameters");
	else if ((k = new_kept(name)) == NULL)
		answer_error("too many names are kept");
	else
	{
		k->rows = res;
		puts("ok");
		return;
	}
	PQclear(res);
}

static void
answer_time(long start, long cpu_start, int count, long rows, char *error)
{
	long		wall = now_us() - start;

	if (no_error(error))
		printf("ok %ld %ld %ld\n", wall, all_cpu(count) - cpu_start, rows);
}

static void
verb_run(const char *sql)
{
	long		rows = 0;
	long		cpu = all_cpu(1);
	long		start = now_us();

	if (!PQsendQuery(conns[0], sql))
		answer_error(PQerrorMessage(conns[0]));
	else
		answer_time(start, cpu, 1, rows, finish_results(conns[0], &rows));
}

static void
verb_copy(const char *name, const char *sql)
{
	const Kept *k = find_kept(name);
	PGresult   *res;
	long		rows = 0;
	long		cpu = all_cpu(1);
	long		start;
	char	   *error;

	if (k == NULL || k->nchunks == 0)
	{
		answer_error("no data with that name");
		return;
	}
	start = now_us();
	res = PQexec(conns[0], sql);
	if (PQresultStatus(res) != PGRES_COPY_IN)
	{
		answer_error(PQresultErrorMessage(res));
		PQclear(res);
		return;
	}
	PQclear(res);
	for (int i = 0; i < k->nchunks; i++)
		if (PQputCopyData(conns[0], k->chunks[i], k->lengths[i]) != 1)
			break;
	PQputCopyEnd(conns[0], NULL);
	error = finish_results(conns[0], &rows);
	answer_time(start, cpu, 1, rows, error);
}

static void *
each_share(void *arg)
{
	Share	   *s = arg;
	int			nparams = PQnfields(s->params);
	const char *values[MAX_PARAMS];
	int			lengths[MAX_PARAMS];
	int			formats[MAX_PARAMS];

	for (int row = s->first; row < PQntuples(s->params); row += s->step)
	{
		for (int i = 0; i < nparams; i++)
		{
			bool		null = PQgetisnull(s->params, row, i);

			values[i] = null ? NULL : PQgetvalue(s->params, row, i);
			lengths[i] = PQgetlength(s->params, row, i);
			formats[i] = 1;
		}
		if (!PQsendQueryPrepared(s->conn, "bench", nparams, values, lengths, formats, 1))
			s->error = strdup(PQerrorMessage(s->conn));
		else
			s->error = finish_results(s->conn, &s->rows);
		if (s->error != NULL)
			break;
	}
	return NULL;
}

static void
verb_each(const char *name, int count, const char *sql)
{
	const Kept *k = find_kept(name);
	Share		shares[MAX_CONNECTIONS];
	pthread_t	threads[MAX_CONNECTIONS];
	Oid			types[MAX_PARAMS];
	long		rows = 0;
	long		cpu;
	long		start;
	char	   *error = NULL;

	if (k == NULL || k->rows == NULL)
	{
		answer_error("no parameters with that name");
		return;
	}
	if (count < 1 || count > MAX_CONNECTIONS)
	{
		answer_error("that many connections there cannot be");
		return;
	}
	if (!open_connections(count))
		return;
	for (int i = 0; i < PQnfields(k->rows); i++)
		types[i] = PQftype(k->rows, i);
	for (int i = 0; i < count; i++)
	{
		PGresult   *res;

		PQclear(PQexec(conns[i], "DEALLOCATE ALL"));
		res = PQprepare(conns[i], "bench", sql, PQnfields(k->rows), types);
		if (PQresultStatus(res) != PGRES_COMMAND_OK)
		{
			answer_error(PQresultErrorMessage(res));
			PQclear(res);
			return;
		}
		PQclear(res);
	}

	cpu = all_cpu(count);
	start = now_us();
	for (int i = 0; i < count; i++)
	{
		shares[i] = (Share){.conn = conns[i], .params = k->rows, .first = i, .step = count};
		if (i > 0 && pthread_create(&threads[i], NULL, each_share, &shares[i]) != 0)
		{
			fputs("bench client: no thread\n", stderr);
			exit(1);
		}
	}
	each_share(&shares[0]);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			pthread_join(threads[i], NULL);
		rows += shares[i].rows;
		if (error == NULL)
			error = shares[i].error;
		else
			free(shares[i].error);
	}
	answer_time(start, cpu, count, rows, error);
}

static void
verb_texts(const char *name)
{
	const Kept *k = find_kept(name);
	long		rows = 0;
	long		cpu = all_cpu(1);
	long		start = now_us();
	char	   *error = NULL;

	if (k == NULL || k->rows == NULL)
	{
		answer_error("no statements with that name");
		return;
	}
	for (int i = 0; i < PQntuples(k->rows) && error == NULL; i++)
	{
		if (!PQsendQuery(conns[0], PQgetvalue(k->rows, i, 0)))
			error = strdup(PQerrorMessage(conns[0]));
		else
			error = finish_results(conns[0], &rows);
	}
	answer_time(start, cpu, 1, rows, error);
}

static void
do_request(const char *verb, const char *name, int count, const char *body)
{
	if (strcmp(verb, "exec") == 0)
		verb_exec(body);
	else if (strcmp(verb, "query") == 0)
		verb_query(body);
	else if (strcmp(verb, "data") == 0)
		verb_data(name, body);
	else if (strcmp(verb, "params") == 0)
		verb_params(name, body, 1);
	else if (strcmp(verb, "statements") == 0)
		verb_params(name, body, 0);
	else if (strcmp(verb, "run") == 0)
		verb_run(body);
	else if (strcmp(verb, "copy") == 0)
		verb_copy(name, body);
	else if (strcmp(verb, "each") == 0)
		verb_each(name, count, body);
	else if (strcmp(verb, "texts") == 0)
		verb_texts(name);
	else if (strcmp(verb, "forget") == 0)
	{
		for (int i = 0; i < nkept; i++)
			forget(&kept[i]);
		nkept = 0;
		puts("ok");
	}
	else
		answer_error("no such verb");
}

int
main(void)
{
	char		line[256];

	/* Answers come out whole, at the end of each request. */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (!open_connections(1))
	{
		fflush(stdout);
		return 1;
	}
	puts("ok");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		char		verb[64];
		char		name[64];
		int			count;
		size_t		bytes;
		char	   *body;

		if (sscanf(line, "%63s %63s %d %zu", verb, name, &count, &bytes) != 4)
			return 1;
		body = allocate(bytes + 1);
		if (fread(body, 1, bytes, stdin) != bytes)
			return 1;
		body[bytes] = '\0';
		do_request(verb, name, count, body);
		fflush(stdout);
		free(body);
	}
	for (int i = 0; i < nconns; i++)
		PQfinish(conns[i]);
	return 0;
}
