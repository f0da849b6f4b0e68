/*
 * latency.c
 *	  How long from the commit of an enqueue to the start of the job, and what
 *	  the same machine takes for comparable things.  Run by bench/wake.
 *
 * One process enqueues, one job at a time with a pause after each, so that
 * everybody sleeps when the next one comes.  It takes the time right before it
 * sends COMMIT and right after the answer.  The handler returns its server's
 * clock; external waiters, in a process of their own, take the time when they
 * have the job, or the notification, in hand.  All clocks are this machine's
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
	double		before;			/* COMMIT is about to be sent */
	double		after;			/* the client knows that it is done */
	double		start;			/* the other side has it */
} Run;

typedef struct Seen
{
	long long	id;
	double		at;
} Seen;

static int	n_runs;
static Run *runs;
static double round_trip;		/* median of an empty statement */

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

/* Run a statement; its first value as a number, or 0. */
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

/* Print a line of the table; the median. */
static double
report(const char *what, double *values, int n)
{
	double		median;

	qsort(values, n, sizeof(double), compare);
	median = values[n / 2];
	if (round_trip == 0)
		round_trip = median;
	printf("| %-58s | %7.0f | %7.0f | %7.0f | %6.1f |\n", what, median,
		   values[n * 95 / 100], values[n * 99 / 100], median / round_trip);
	fflush(stdout);
	return median;
}

static void
report_runs(const char *what)
{
	double	   *values = malloc(sizeof(double) * n_runs);

	for (int i = 0; i < n_runs; i++)
		values[i] = runs[i].start - runs[i].before;
	report(what, values, n_runs);
	for (int i = 0; i < n_runs; i++)
		values[i] = runs[i].after - runs[i].before;
	report("  of which COMMIT, until its client has the answer", values, n_runs);
	for (int i = 0; i < n_runs; i++)
		values[i] = runs[i].start - runs[i].after;
	report("  from that answer on", values, n_runs);
	free(values);
}

/* n_runs transactions of one statement; what it returns is the run's id. */
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

static void
measure_empty(PGconn *conn)
{
	double	   *values = malloc(sizeof(double) * n_runs);

	for (int i = 0; i < n_runs; i++)
	{
		double		before = now_us();

		run(conn, "");
		values[i] = now_us() - before;
		usleep(PAUSE_US / 10);
	}
	report("round trip of an empty statement", values, n_runs);
	free(values);
}

/* By the pool: the handler's result is when it started. */
static void
measure_pool(PGconn *conn, const char *what)
{
	PGresult   *result;
	int			found = 0;

	send_all(conn, "SELECT taskq.enqueue_job('bench_clock', '{}')");
	for (int i = 0; i < 100 && run(conn, "SELECT count(*) FROM taskq.all_jobs"
								   " WHERE task_type = 'bench_clock' AND state <> 'completed'") > 0; i++)
		usleep(PAUSE_US);
	result = PQexec(conn, "SELECT job_id, result FROM taskq.all_jobs WHERE task_type = 'bench_clock'"
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
	report_runs(what);
}

/* By a process of its own, which says on a pipe what it has seen when. */
static void
measure_child(PGconn *conn, const char *what, const char *sql, void (*child) (int fd))
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
	usleep(500000);				/* it connects and waits */
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
	report_runs(what);
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
		PGresult   *result = PQexec(conn, "SELECT job_id, epoch FROM taskq.claim_job('bench', '{bench_external}', '5 s')");
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

/* A listener: it learns that there is something, and has not got it yet. */
static void
child_listens(int fd)
{
	PGconn	   *conn = connect_db();

	run(conn, "LISTEN bench");
	for (int i = 0; i < n_runs;)
	{
		struct pollfd wait = {PQsocket(conn), POLLIN, 0};
		PGnotify   *notify;

		poll(&wait, 1, -1);
		PQconsumeInput(conn);
		while ((notify = PQnotifies(conn)) != NULL)
		{
			tell(fd, ++i, now_us());
			PQfreemem(notify);
		}
	}
	PQfinish(conn);
}

static const char noted[] = "INSERT INTO bench.noted SELECT 1 FROM pg_notify('bench', '')";

int
main(int argc, char **argv)
{
	PGconn	   *conn = connect_db();

	n_runs = argc > 1 ? atoi(argv[1]) : 500;
	if (n_runs < 100 || n_runs > MAX_RUNS)
	{
		fprintf(stderr, "usage: latency [RUNS, from 100 to %d]\n", MAX_RUNS);
		return 2;
	}
	runs = calloc(n_runs, sizeof(Run));
	printf("| %-58s | median  |   p95   |   p99   | ratio  |\n", "microseconds");
	printf("|------------------------------------------------------------|--------:|--------:|--------:|-------:|\n");
	measure_empty(conn);
	measure_pool(conn, "enqueue: from sending COMMIT to the start of the handler");
	measure_child(conn, "enqueue: ... to an external worker having the job in hand",
				  "SELECT taskq.enqueue_job('bench_external', '{}')", child_claims);
	measure_child(conn, "INSERT and NOTIFY: ... to the listener knowing of it", noted, child_listens);
	run(conn, "SET synchronous_commit = off");
	measure_pool(conn, "pool again, without the flush (synchronous_commit = off)");
	measure_child(conn, "INSERT and NOTIFY again, without the flush", noted, child_listens);
	PQfinish(conn);
	return 0;
}
