/*
 * latency.c
 *	  Measures the time from the commit of an enqueue to the start of the job,
 *	  when all processes sleep before the commit.  Run by bench/run.
 *
 *	  latency MODE RUNS
 *
 * One process enqueues one job at a time, with a pause after each.  It reads the
 * clock right before it sends COMMIT and right after the answer.  The handler in
 * the pool returns the time of the server; an external worker, in a process of its
 * own, reads the clock when it has got the job.  All times are from this machine's
 * CLOCK_REALTIME.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define PAUSE_US 20000
#define MAX_RUNS 100000

typedef struct Run
{
	long long	id;
	double		before;			/* right before COMMIT is sent */
	double		after;			/* when the client has the answer */
	double		start;			/* when the worker has the job */
} Run;

typedef struct Seen
{
	long long	id;
	double		at;
} Seen;

static int	n_runs;
static Run *runs;

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static PGconn *
connect_db(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "latency: %s", PQerrorMessage(conn));
		exit(1);
	}
	return conn;
}

/* Run a statement; returns its first value as a number, or 0. */
static double
run(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	double		value = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
	{
		fprintf(stderr, "latency: %s: %s", sql, PQerrorMessage(conn));
		exit(1);
	}
	if (status == PGRES_TUPLES_OK && PQntuples(result) > 0)
		value = atof(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* Print the median and the 95th percentile, in microseconds. */
static void
report(const char *what, double *values)
{
	qsort(values, n_runs, sizeof(double), compare);
	printf("%s, median %.1f\n%s, p95 %.1f\n", what, values[n_runs / 2], what, values[n_runs * 95 / 100]);
}

static void
report_runs(void)
{
	double	   *values = malloc(sizeof(double) * n_runs);

	for (int i = 0; i < n_runs; i++)
		values[i] = runs[i].start - runs[i].before;
	report("from sending COMMIT", values);
	for (int i = 0; i < n_runs; i++)
		values[i] = runs[i].start - runs[i].after;
	report("from its answer", values);
	free(values);
}

/* Run n_runs transactions of one statement, which returns the run's id. */
static void
send_all(PGconn *conn, const char *sql)
{
	for (int i = 0; i < n_runs; i++)
	{
		usleep(PAUSE_US);
		run(conn, "BEGIN");
		runs[i].id = (long long) run(conn, sql);
		if (runs[i].id == 0)
			runs[i].id = i + 1;
		runs[i].before = now_us();
		run(conn, "COMMIT");
		runs[i].after = now_us();
	}
}

/* Measure the pool.  The handler returns the time of its start. */
static void
measure_pool(PGconn *conn)
{
	PGresult   *result;
	int			found = 0;

	send_all(conn, "SELECT taskq.enqueue_job('clock')");
	for (int i = 0; i < 100 && run(conn, "SELECT count(*) FROM taskq.all_jobs"
								   " WHERE task_type = 'clock' AND state <> 'completed'") > 0; i++)
		usleep(PAUSE_US);
	result = PQexec(conn, "SELECT job_id, result FROM taskq.all_jobs WHERE task_type = 'clock'"
					" AND state = 'completed' ORDER BY job_id");
	for (int i = 0, j = 0; i < n_runs; i++)
	{
		while (j < PQntuples(result) && atoll(PQgetvalue(result, j, 0)) < runs[i].id)
			j++;
		if (j == PQntuples(result) || atoll(PQgetvalue(result, j, 0)) != runs[i].id)
			continue;
		runs[i].start = atof(PQgetvalue(result, j, 1));
		found++;
	}
	PQclear(result);
	if (found != n_runs)
	{
		fprintf(stderr, "latency: %d of %d jobs have completed\n", found, n_runs);
		exit(1);
	}
	report_runs();
}

/* Measure a child process, which writes to a pipe which job it got at which time. */
static void
measure_child(PGconn *conn, const char *sql, void (*child) (int fd))
{
	int			fds[2];
	int			status;
	pid_t		pid;

	if (pipe(fds) != 0 || (pid = fork()) < 0)
	{
		perror("latency");
		exit(1);
	}
	if (pid == 0)
	{
		close(fds[0]);
		child(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	usleep(500000);				/* until the child has connected and waits */
	send_all(conn, sql);
	for (int i = 0; i < n_runs; i++)
	{
		Seen		seen;

		if (read(fds[0], &seen, sizeof(seen)) != sizeof(seen) || seen.id != runs[i].id)
		{
			fprintf(stderr, "latency: run %d was not seen\n", i);
			exit(1);
		}
		runs[i].start = seen.at;
	}
	close(fds[0]);
	waitpid(pid, &status, 0);
	report_runs();
}

static void
tell(int fd, long long id, double at)
{
	Seen		seen = {id, at};

	if (write(fd, &seen, sizeof(seen)) != sizeof(seen))
		_exit(1);
}

/* An external worker that waits in claim_job(). */
static void
child_claims(int fd)
{
	PGconn	   *conn = connect_db();

	for (int i = 0; i < n_runs;)
	{
		PGresult   *result = PQexec(conn, "SELECT job_id, epoch FROM taskq.claim_job('worker', '{external}', '5 s')");
		double		at = now_us();
		char		settle[100];

		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			_exit(1);
		if (PQntuples(result) == 1)
		{
			tell(fd, atoll(PQgetvalue(result, 0, 0)), at);
			snprintf(settle, sizeof(settle), "SELECT taskq.complete_job(%s, %s)",
					 PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
			run(conn, settle);
			i++;
		}
		PQclear(result);
	}
	PQfinish(conn);
}

/* Claim from the classic queue; whether there was a job. */
static int
claim_classic(PGconn *conn, int fd)
{
	PGresult   *result = PQexec(conn, "SELECT job_id FROM classic.claim('worker', 1)");
	double		at = now_us();
	int			found = PQntuples(result) == 1;
	char		settle[100];

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		_exit(1);
	if (found)
	{
		tell(fd, atoll(PQgetvalue(result, 0, 0)), at);
		snprintf(settle, sizeof(settle), "SELECT classic.complete(ARRAY[%s]::bigint[])", PQgetvalue(result, 0, 0));
		run(conn, settle);
	}
	PQclear(result);
	return found;
}

/* A listener that claims from the classic queue when it is told to. */
static void
child_listens(int fd)
{
	PGconn	   *conn = connect_db();

	run(conn, "LISTEN classic");
	for (int i = 0; i < n_runs;)
	{
		struct pollfd wait = {PQsocket(conn), POLLIN, 0};
		PGnotify   *notify;

		poll(&wait, 1, -1);
		PQconsumeInput(conn);
		while ((notify = PQnotifies(conn)) != NULL)
			PQfreemem(notify);
		while (i < n_runs && claim_classic(conn, fd))
			i++;
	}
	PQfinish(conn);
}

int
main(int argc, char **argv)
{
	PGconn	   *conn = connect_db();
	const char *mode = argc == 3 ? argv[1] : "";

	n_runs = argc == 3 ? atoi(argv[2]) : 0;
	if (n_runs < 10 || n_runs > MAX_RUNS)
		mode = "";
	runs = calloc(n_runs + 1, sizeof(Run));
	if (strcmp(mode, "pool") == 0)
		measure_pool(conn);
	else if (strcmp(mode, "external") == 0)
		measure_child(conn, "SELECT taskq.enqueue_job('external')", child_claims);
	else if (strcmp(mode, "classic") == 0)
		measure_child(conn, "SELECT classic.enqueue('external', '{}') FROM pg_notify('classic', '')", child_listens);
	else
	{
		fprintf(stderr, "usage: latency pool|external|classic RUNS, from 10 to %d\n", MAX_RUNS);
		return 2;
	}
	PQfinish(conn);
	return 0;
}
