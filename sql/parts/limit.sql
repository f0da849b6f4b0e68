-- limit ---------------------------------------------------------------------

CREATE FUNCTION taskq.set_limit(
	name text, queue text DEFAULT NULL, task_type text DEFAULT NULL, concurrency integer DEFAULT NULL,
	description text DEFAULT NULL, rate integer DEFAULT NULL, per interval DEFAULT NULL, burst integer DEFAULT NULL,
	quota integer DEFAULT NULL, quota_window interval DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_set_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.set_limit(text, text, text, integer, text, integer, interval, integer, integer, interval) IS 'let at most "concurrency" jobs of a queue and a task type run at the same time, "rate" start in each time of "per" (1 s) and "burst" (a tenth of the rate, at least 1) more at once, and "quota" start in any time of "quota_window"; a queue or type of NULL means all. At least one of the three is given. Replaces a limit of this name. A limit that is new, or for other jobs than before, is armed when the transactions have ended that have claimed jobs; until then it starts none. Errors: 22004 for no name or number, 22023 for a wrong number or name, or one that lacks another, 42704 for a queue that does not exist, 42710 if another limit is for the same jobs. For admins';

CREATE FUNCTION taskq.alter_limit(
	name text, concurrency integer DEFAULT NULL, description text DEFAULT NULL, rate integer DEFAULT NULL,
	per interval DEFAULT NULL, burst integer DEFAULT NULL, quota integer DEFAULT NULL,
	quota_window interval DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_limit(text, integer, text, integer, interval, integer, integer, interval) IS 'change a limit; a NULL leaves a value as it is. A lower limit ends no job: none starts until there is room. Errors: 22023 for a wrong number, 42704 if there is no such limit. For admins';

CREATE FUNCTION taskq.drop_limit(name text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_limit' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_limit(text) IS 'drop a limit; false if there is none of that name. For admins';

CREATE FUNCTION taskq.limit_states(OUT limit_id integer, OUT state text, OUT in_use integer, OUT waits_for integer[],
	OUT tokens bigint, OUT quota_left bigint, OUT next_start_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_limit_states' LANGUAGE C VOLATILE ROWS 10;
COMMENT ON FUNCTION taskq.limit_states() IS 'what is in shared memory of each limit; read the views taskq.limits and taskq.limit_usage';

