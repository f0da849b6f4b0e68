-- limit ---------------------------------------------------------------------

CREATE FUNCTION taskq.set_limit(
	name text, queue text DEFAULT NULL, task_type text DEFAULT NULL, tenant_id text DEFAULT NULL, for_each text[] DEFAULT NULL,
	concurrency integer DEFAULT NULL, description text DEFAULT NULL, rate integer DEFAULT NULL, per interval DEFAULT NULL,
	burst integer DEFAULT NULL, quota integer DEFAULT NULL, quota_window interval DEFAULT NULL, overrides jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_set_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.set_limit(text, text, text, text, text[], integer, text, integer, interval, integer, integer, interval, jsonb) IS 'let at most "concurrency" jobs of a queue, a task type and a tenant run at the same time, "rate" start in each time of "per" (1 s) and "burst" (a tenth of the rate, at least 1) more at once, and "quota" start in any time of "quota_window"; NULL means all queues, types or tenants. At least one of the three is given. With "for_each", names of the keys tenant_id and group_key, each combination of their values has a concurrency, rate and quota of its own, and "overrides" gives other numbers for single values, such as {"acme": 10} for another concurrency, {"acme": {"rate": 50, "burst": 5, "quota": 1000}}, or {"acme": {"order-1": 2}} for both keys; jobs without such a key are not limited, and an override leaves the other numbers of its value as they are. Replaces a limit of this name. A limit that is new, or for other jobs than before, is armed when the transactions have ended that have claimed jobs; until then it starts none. Errors: 22004 for no name or number, 22023 for a wrong number, name, key or override, or for one that needs another, 42704 for a queue that does not exist, 42710 if another limit is for the same jobs. For admins';

CREATE FUNCTION taskq.alter_limit(
	name text, concurrency integer DEFAULT NULL, description text DEFAULT NULL, rate integer DEFAULT NULL,
	per interval DEFAULT NULL, burst integer DEFAULT NULL, quota integer DEFAULT NULL,
	quota_window interval DEFAULT NULL, overrides jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_limit(text, integer, text, integer, interval, integer, integer, interval, jsonb) IS 'change a limit; a NULL leaves a value as it is, and overrides of {} removes them all. A new rate does not change the burst. A lower limit ends no job: none starts until there is room. Errors: 22023 for a wrong number or override, or for a number that does not fit the overrides that it keeps, 42704 if there is no such limit. For admins';

CREATE FUNCTION taskq.drop_limit(name text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_limit(text) IS 'drop a limit; false if there is none of that name. For admins';

CREATE FUNCTION taskq.limit_states(OUT limit_id integer, OUT state text, OUT in_use integer, OUT waits_for integer[],
	OUT tokens bigint, OUT quota_left bigint, OUT next_start_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_limit_states' LANGUAGE C VOLATILE ROWS 10;
COMMENT ON FUNCTION taskq.limit_states() IS 'what is in shared memory of each limit; read the views taskq.limits and taskq.limit_usage';

CREATE FUNCTION taskq.limit_values(OUT limit_id integer, OUT tenant_id text, OUT group_key text, OUT concurrency integer, OUT in_use integer,
	OUT rate integer, OUT quota integer, OUT tokens bigint, OUT quota_left bigint, OUT next_start_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_limit_values' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.limit_values() IS 'how many jobs hold each limit for a value of its keys, and how many may start; read the view taskq.limit_usage';
