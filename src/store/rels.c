/*
 * rels.c
 *	  The names and the OIDs of taskq's tables, indexes and sequences.
 *
 * A table or sequence is found by its name, and an index by its definition
 * (find_index.c).  catalog.c decides when they must be found again.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "store/columns.h"
#include "store/find_index.h"
#include "store/rels.h"

/* Names of tables, indexes and sequences, and the definitions of the indexes. */
static const struct
{
	const char *name;
	TaskqRel	table; /* the table of an index */
	IndexWanted index;
} rels[TASKQ_RELS] = {
	[REL_JOBS] = { "jobs" },
	[REL_JOBS_PKEY] = { "jobs_pkey", REL_JOBS, { 1, { Anum_jobs_job_id }, .definition = "ALTER TABLE taskq.jobs ADD CONSTRAINT jobs_pkey PRIMARY KEY (job_id)" } },
	[REL_JOBS_OPEN] = { "jobs_open", REL_JOBS, { 4, { Anum_jobs_route_id, Anum_jobs_priority, Anum_jobs_run_at, Anum_jobs_job_id }, .gate_column = Anum_jobs_gate, .gate = 'o', .definition = "CREATE INDEX jobs_open ON taskq.jobs (route_id, priority, run_at, job_id) WITH (deduplicate_items = off) WHERE gate = 'o'" } },
	[REL_JOBS_LANES] = { "jobs_lanes", REL_JOBS, { 5, { Anum_jobs_route_id, Anum_jobs_lane, Anum_jobs_priority, Anum_jobs_run_at, Anum_jobs_job_id }, .gate_column = Anum_jobs_gate, .gate = 'l', .definition = "CREATE INDEX jobs_lanes ON taskq.jobs (route_id, lane, priority, run_at, job_id) WITH (deduplicate_items = off) WHERE gate = 'l'" } },
	[REL_JOBS_ORDERED] = { "jobs_ordered", REL_JOBS, { 2, { Anum_jobs_lane, Anum_jobs_job_id }, .gate_column = Anum_jobs_gate, .gate = 'l', .negative = Anum_jobs_lane, .definition = "CREATE INDEX jobs_ordered ON taskq.jobs (lane, job_id) WITH (deduplicate_items = off) WHERE gate = 'l' AND lane < 0" } },
	[REL_JOBS_RUNNING] = { "jobs_running", REL_JOBS, { 2, { Anum_jobs_instance_id, Anum_jobs_job_id }, .collation = C_COLLATION_OID, .gate_column = Anum_jobs_gate, .gate = 'r', .definition = "CREATE INDEX jobs_running ON taskq.jobs (instance_id COLLATE \"C\", job_id) WITH (deduplicate_items = off) WHERE gate = 'r'" } },
	[REL_HISTORY] = { "job_history" },
	[REL_HISTORY_OVERFLOW] = { "job_history_overflow" },
	[REL_FAILURES] = { "attempt_failures" },
	[REL_ROUTES] = { "routes" },
	[REL_QUEUES] = { "queue_defs" },
	[REL_HANDLERS] = { "handlers" },
	[REL_POOLS] = { "pool_defs" },
	[REL_WORKERS] = { "external_workers" },
	[REL_WORKERS_PKEY] = { "external_workers_pkey", REL_WORKERS, { 2, { Anum_external_workers_worker_id, Anum_external_workers_instance_id }, .collation = DEFAULT_COLLATION_OID, .definition = "ALTER TABLE taskq.external_workers ADD CONSTRAINT external_workers_pkey PRIMARY KEY (worker_id, instance_id)" } },
	[REL_CANCELS] = { "cancel_requests" },
	[REL_CANCELS_JOB] = { "cancel_requests_job", REL_CANCELS, { 1, { Anum_cancel_requests_job_id }, .definition = "CREATE INDEX cancel_requests_job ON taskq.cancel_requests (job_id)" } },
	[REL_INSTALLATION] = { "installation" },
	[REL_JOB_ID_SEQ] = { "job_id_seq" },
	[REL_EPOCH_SEQ] = { "epoch_seq" },
	[REL_EVENTS] = { "event_log" },
	[REL_EVENTS_OVERFLOW] = { "event_log_overflow" },
	[REL_EVENT_ID_SEQ] = { "event_id_seq" },
	[REL_FRAMES] = { "frame_log" },
	[REL_GRANTS] = { "access_grants" },
	[REL_RIGHTS] = { "access_rights" },
	[REL_HANDLER_CHANGES] = { "handler_changes" },
	[REL_LIMITS] = { "limit_defs" },
	[REL_LIMIT_STARTS] = { "limit_starts" },
	[REL_BUDGETS] = { "budget_defs" },
	[REL_BUDGET_PERIODS] = { "budget_periods" },
	[REL_BUDGET_TOTALS] = { "budget_totals" },
	[REL_BUDGET_REPORTS] = { "budget_reports" },
	[REL_BUDGET_REPORTS_OPEN] = { "budget_reports_open", REL_BUDGET_REPORTS, { 2, { Anum_budget_reports_budget_id, Anum_budget_reports_period_no }, .gate_column = Anum_budget_reports_gate, .gate = 'o', .definition = "CREATE INDEX budget_reports_open ON taskq.budget_reports (budget_id, period_no) WHERE gate = 'o'" } },
	[REL_BUDGET_REPORTS_PKEY] = { "budget_reports_pkey", REL_BUDGET_REPORTS, { 3, { Anum_budget_reports_job_id, Anum_budget_reports_budget_id, Anum_budget_reports_usage_key }, .collation = DEFAULT_COLLATION_OID, .definition = "ALTER TABLE taskq.budget_reports ADD CONSTRAINT budget_reports_pkey PRIMARY KEY (job_id, budget_id, usage_key)" } },
	[REL_BOUND_TENANTS] = { "bound_tenants" },
};

/* InvalidOid for what was not found. */
static Oid rel_oids[TASKQ_RELS];

/*
 * Return how many columns a relation has, or -1 if it does not exist.  A table of
 * an older version has fewer columns.
 */
static int
CountColumns(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int		  columns = -1;

	if (HeapTupleIsValid(tuple))
	{
		columns = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
		ReleaseSysCache(tuple);
	}
	return columns;
}

/*
 * Find all of them in the schema.  Returns false if a table is missing or has fewer
 * columns than this library reads.
 */
bool
RelsFind(Oid schema)
{
	bool complete = true;

	for (int i = 0; i < TASKQ_RELS; i++)
	{
		if (rels[i].index.n_keys > 0)
			continue;
		rel_oids[i] = get_relname_relid(rels[i].name, schema);
		if (CountColumns(rel_oids[i]) < ColumnsCount(i))
			complete = false;
	}
	for (int i = 0; i < TASKQ_RELS; i++)
		if (rels[i].index.n_keys > 0)
			rel_oids[i] = IndexFind(&rels[i].index, rels[i].name, rel_oids[rels[i].table]);
	return complete;
}

/* Forget all OIDs, because another installation was found. */
void
RelsForget(void)
{
	memset(rel_oids, 0, sizeof(rel_oids));
}

Oid
RelOid(TaskqRel rel)
{
	Assert(rel >= 0 && rel < TASKQ_RELS);
	return rel_oids[rel];
}

/*
 * Return which of them has this OID, or TASKQ_RELS if none has.  Called by
 * invalidations, so it must not read the catalog.
 */
TaskqRel
RelOfOid(Oid relid)
{
	TaskqRel rel = 0;

	Assert(OidIsValid(relid));
	while (rel < TASKQ_RELS && rel_oids[rel] != relid)
		rel++;
	return rel;
}

const char *
RelName(TaskqRel rel)
{
	return rels[rel].name;
}

/* Return the table of an index. */
TaskqRel
RelTable(TaskqRel rel)
{
	Assert(rels[rel].index.n_keys > 0);
	return rels[rel].table;
}

/* Has a required index been dropped? */
bool
RelIsMissingIndex(TaskqRel rel)
{
	return rels[rel].index.n_keys > 0 && !OidIsValid(rel_oids[rel]);
}

/* Return the statement that creates an index. */
const char *
RelIndexDefinition(TaskqRel rel)
{
	return rels[rel].index.definition;
}
