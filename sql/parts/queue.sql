-- queue ---------------------------------------------------------------------

CREATE FUNCTION taskq.create_queue(
	queue text, description text DEFAULT NULL, retain_completed interval DEFAULT NULL,
	retain_other interval DEFAULT NULL, keep_payload boolean DEFAULT true, on_unhandled text DEFAULT 'wait',
	events boolean DEFAULT false, retain_events interval DEFAULT NULL,
	validate_payloads boolean DEFAULT true, ordered boolean DEFAULT false, on_delayed text DEFAULT 'hold',
	fair boolean DEFAULT false, fair_by text[] DEFAULT '{group_key}', weights jsonb DEFAULT NULL,
	age_every interval DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_create_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.create_queue(text, text, interval, interval, boolean, text, boolean, interval, boolean, boolean, text, boolean, text[], jsonb, interval) IS 'create a queue; by default, completed jobs are kept for 7 days, and jobs that ended in another way for 30 days. ordered => true: jobs of one group key run one at a time, in the order of their ids. In a fair queue the values of the keys in fair_by (group_key, tenant_id or both) take turns, whatever the priorities of their jobs; a value with a weight in weights ({"acme": 3}; 0.01 to 100, otherwise 1) has as many times the turns. With age_every, from 1 ms to 365 days, the priority of a waiting job improves by one for each such time since its run_at; without it, priorities are strict; not together with ordered or fair. on_unhandled says what happens to jobs of a type that is not registered: wait, fail (they are discarded) or reject (enqueue_job() raises TQ002). Errors: 22023 for a wrong value, 42710 if the queue exists. For admins';

CREATE FUNCTION taskq.alter_queue(
	queue text, description text DEFAULT NULL, retain_completed interval DEFAULT NULL,
	retain_other interval DEFAULT NULL, keep_payload boolean DEFAULT NULL, on_unhandled text DEFAULT NULL,
	events boolean DEFAULT NULL, retain_events interval DEFAULT NULL,
	validate_payloads boolean DEFAULT NULL, ordered boolean DEFAULT NULL, on_delayed text DEFAULT NULL,
	fair boolean DEFAULT NULL, fair_by text[] DEFAULT NULL, weights jsonb DEFAULT NULL,
	age_every interval DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_queue(text, text, interval, interval, boolean, text, boolean, interval, boolean, boolean, text, boolean, text[], jsonb, interval) IS 'change a queue; a NULL leaves a value as it is. weights replaces all weights, and {} removes them. An age_every of 0 makes its priorities strict again. The arguments are those of create_queue(). Errors: 22023 for a wrong value, 42704 if there is no such queue. For admins';

CREATE FUNCTION taskq.drop_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_queue(text) IS 'drop a queue that has never had a job; false if there is no queue of that name';

CREATE FUNCTION taskq.pause_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_pause_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.pause_queue(text) IS 'start no more jobs of a queue; running jobs finish. False if it was already paused';

CREATE FUNCTION taskq.resume_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_resume_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.resume_queue(text) IS 'end the pause of a queue; false if it was not paused';

