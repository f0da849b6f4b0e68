-- external_worker: external workers -----------------------------------------

CREATE FUNCTION taskq.register_worker(
	worker_id text, task_types text[] DEFAULT NULL, queues text[] DEFAULT NULL, capabilities text[] DEFAULT NULL,
	max_concurrent_jobs integer DEFAULT NULL, lease interval DEFAULT NULL, take_over boolean DEFAULT false,
	instance_id text DEFAULT NULL, tenants text[] DEFAULT NULL, queue_weights jsonb DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_register_worker' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.register_worker(text, text[], text[], text[], integer, interval, boolean, text, text[], jsonb) IS 'register an instance of an external worker, whose claims then belong to the caller''s role, whichever member makes them; without instance_id, the default instance, which has the worker''s id. By default it takes all types that are registered for external workers, all queues and tenants, has no capabilities, holds any number of jobs, and its leases are as long as taskq.lease says. An instance with tenants is given only jobs of these tenants; without, jobs of all. With queue_weights ({"mail": 3, "reports": 1}; 0.01 to 100, otherwise 1) its queues take turns by these weights, instead of in the order of queues. True if it is new, false if an older registration was replaced. Errors: TQ022 if the instance is alive, unless take_over is given, TQ002 for a type that is not registered for external workers, 22023 for a wrong value, also an empty array, 42501 if another role has registered the id, 42704 for a queue that does not exist. For workers';

CREATE FUNCTION taskq.worker_heartbeat(
	worker_id text, job_ids bigint[] DEFAULT NULL, epochs bigint[] DEFAULT NULL, instance_id text DEFAULT NULL,
	OUT job_id bigint, OUT epoch bigint, OUT status text, OUT lease_expires_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_worker_heartbeat' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.worker_heartbeat(text, bigint[], bigint[], text) IS 'report that an instance of a worker is alive, and extend the leases of the jobs listed, or, without a list, of all that the instance has; returns a row for each job, with status ok, cancel, timeout or lost. Each array has up to 100,000 elements. ok is also returned while another transaction settles the job. For members of the role that registered the worker, and for operators';

CREATE FUNCTION taskq.drain_worker(worker_id text, instance_id text DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drain_worker' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drain_worker(text, text) IS 'give an instance of a worker no more jobs, but let it finish those that it has; without instance_id, the default instance. A background worker leaves and is replaced. For operators and, for an external worker, members of the role that registered it';

CREATE FUNCTION taskq.unregister_worker(worker_id text, instance_id text DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_unregister_worker' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.unregister_worker(text, text) IS 'end the registration of an instance; without instance_id, of the default instance. Its running jobs are released, also those claimed before a promotion, but not those claimed in a transaction that is still open; these end when they are settled, or with their leases. The worker is given no more jobs until it is registered again. Other instances of the worker go on. False if there is no such registration. For members of the role that registered it, and for admins';

