-- decide: results that name the next steps ----------------------------------

CREATE FUNCTION taskq.decision(
	activated_steps text[], routing_context jsonb DEFAULT '{}', payload jsonb DEFAULT NULL,
	step_options jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'taskq_decision' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.decision(text[], jsonb, jsonb, jsonb) IS 'return value of a handler, or result for complete_job(): the job is completed, and a job of each of these task types is enqueued in the same transaction';

