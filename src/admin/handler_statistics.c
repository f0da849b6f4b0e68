/*
 * handler_statistics.c
 *	  The statistics of runs, for the view stat_handlers.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/histogram.h"
#include "base/rows.h"
#include "base/signature.h"
#include "shared/stats.h"

PG_FUNCTION_INFO_V1(taskq_handler_statistics);
PG_FUNCTION_INFO_V1(taskq_stat_reset);

/* Put a quantile in milliseconds, or NULL if there is none. */
static void
PutQuantile(Datum *values, bool *nulls, int i, const Histogram *histogram, double q)
{
	double microseconds = 0;

	nulls[i] = !HistogramQuantile(histogram, q, &microseconds);
	values[i] = Float8GetDatum(microseconds / 1000.0);
}

/* The columns of handler_statistics(). */
static const Oid columns[] = { TEXTOID, INT8OID, INT8OID, INT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, TIMESTAMPTZOID };

Datum
taskq_handler_statistics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StatsEntry	  *copies;
	int			   n;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(columns), columns);
	if (!StatsPresent())
		return (Datum) 0;
	copies = StatsCopyAll(MyDatabaseId, &n);
	for (int i = 0; i < n; i++)
	{
		const StatsNumbers *numbers = &copies[i].numbers;
		int64				runs = numbers->completed + numbers->failed;
		Datum				values[16];
		bool				nulls[16] = { false };

		if (runs == 0)
			continue;
		values[0] = CStringGetTextDatum(copies[i].key.task_type);
		values[1] = Int64GetDatum(runs);
		values[2] = Int64GetDatum(numbers->completed);
		values[3] = Int64GetDatum(numbers->failed);
		values[4] = Float8GetDatum(numbers->total / 1000.0);
		values[5] = Float8GetDatum(numbers->runs.least / 1000.0);
		values[6] = Float8GetDatum(numbers->runs.most / 1000.0);
		values[7] = TimestampTzGetDatum(numbers->last_run_at);
		PutQuantile(values, nulls, 8, &numbers->runs, 0.5);
		PutQuantile(values, nulls, 9, &numbers->runs, 0.95);
		PutQuantile(values, nulls, 10, &numbers->runs, 0.99);
		values[11] = Float8GetDatum(numbers->waited / 1000.0);
		PutQuantile(values, nulls, 12, &numbers->waits, 0.5);
		PutQuantile(values, nulls, 13, &numbers->waits, 0.95);
		PutQuantile(values, nulls, 14, &numbers->waits, 0.99);
		values[15] = TimestampTzGetDatum(numbers->since);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* SQL-callable stat_reset(): reset the statistics of a task type or, for NULL, of all task types of this database. */
Datum
taskq_stat_reset(PG_FUNCTION_ARGS)
{
	char *task_type;

	CheckCall(fcinfo);
	task_type = ArgNameOrNull(fcinfo, 0, "task type");
	if (StatsPresent())
		StatsReset(task_type);
	PG_RETURN_VOID();
}
