-- vocabulary ----------------------------------------------------------------

CREATE TYPE taskq.job AS (
	job_id                bigint,
	epoch                 bigint,
	task_type             text,
	queue                 text,
	priority              integer,
	attempt               integer,
	max_attempts          integer,
	payload               jsonb,
	progress              jsonb,
	tags                  text[],
	tenant_id             text,
	group_key             text,
	required_capabilities text[],
	timeout               interval,
	run_at                timestamptz,
	created_at            timestamptz,
	started_at            timestamptz,
	lease_expires_at      timestamptz,
	worker_id             text,
	checkpoint            jsonb,
	correlation_id        text,
	weight                integer,
	budgets               text[],
	estimated_cost        numeric
);
COMMENT ON TYPE taskq.job IS 'a claimed job, as claim_job() returns it and as handlers of the form f(taskq.job) receive it';

