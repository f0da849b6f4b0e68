-- budget --------------------------------------------------------------------

CREATE FUNCTION taskq.set_budget(
	budget text, soft numeric DEFAULT NULL, hard numeric DEFAULT NULL, period interval DEFAULT NULL,
	on_exceeded text DEFAULT 'block', description text DEFAULT NULL, period_from timestamptz DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_set_budget' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.set_budget(text, numeric, numeric, interval, text, text, timestamptz) IS 'bound what the jobs that name a budget may use of cost units in a period: from "soft" on, reports answer soft_limit, and "hard" is not exceeded; NULL means no bound. The use begins at 0 again after each "period" (whole months, or at least a minute; NULL means never), counted in UTC from "period_from" (by default now). When hard is reached, no job of the budget starts, and with on_exceeded => cancel_running its running jobs are asked to end. If there is a budget of this name, all its values are replaced, also by the defaults of arguments that are left out; what was used and added stays. Errors: 22004 for no name, 22023 for a wrong value, TQ010 for more budgets than taskq.max_budgets. For admins';

CREATE FUNCTION taskq.alter_budget(
	budget text, soft numeric DEFAULT NULL, hard numeric DEFAULT NULL, period interval DEFAULT NULL,
	on_exceeded text DEFAULT NULL, description text DEFAULT NULL, period_from timestamptz DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_budget' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_budget(text, numeric, numeric, interval, text, text, timestamptz) IS 'change a budget; a NULL leaves a value as it is, and what was used and added stays. A "period" alone is counted from now on, unless it is the same as before; "period_from" alone moves the period that there is. set_budget() removes a limit or a period. Errors: 22004 for no name, 22023 for a wrong value or a soft limit above the hard one, 42704 if there is no such budget. For admins';

CREATE FUNCTION taskq.add_to_budget(budget text, amount numeric) RETURNS numeric
	AS 'MODULE_PATHNAME', 'taskq_add_to_budget' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.add_to_budget(text, numeric) IS 'add an amount of cost units to the hard limit of a budget until its period ends; a negative amount lowers it. Returns the hard limit with all that was added. Errors: 22004 for a NULL, 22023 for a wrong amount, 42704 if there is no such budget, 55000 if it has no hard limit. For admins';

CREATE FUNCTION taskq.drop_budget(budget text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_budget' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_budget(text) IS 'drop a budget; false if there is none of that name. Jobs that name it start without a bound, and what they report is not recorded. Errors: 22004 for no name. For admins';

CREATE FUNCTION taskq.report_usage(
	budget text, amount numeric, usage_key text, allow_overrun boolean DEFAULT false,
	OUT answer text, OUT balance numeric, OUT used numeric, OUT applied boolean)
	AS 'MODULE_PATHNAME', 'taskq_report_usage' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.report_usage(text, numeric, text, boolean) IS 'inside a handler: report what the run has used of a budget that its job names. A job''s report counts once for each budget and "usage_key", in whichever attempt. Commits and is rolled back with the handler''s work. "answer" is ok, soft_limit, hard_limit (not applied, unless allow_overrun) or duplicate (not applied again); "balance" is what is left of the hard limit, and "used" what was used in this period, open transactions included. Errors: 22004 for a NULL, 22023 for a wrong value or a budget that the job does not name, 55000 outside a handler or without preload. For workers';

CREATE FUNCTION taskq.report_usage(
	job_id bigint, epoch bigint, budget text, amount numeric, usage_key text, allow_overrun boolean DEFAULT false,
	OUT answer text, OUT balance numeric, OUT used numeric, OUT applied boolean)
	AS 'MODULE_PATHNAME', 'taskq_report_usage_of' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.report_usage(bigint, bigint, text, numeric, text, boolean) IS 'report what the run of a claimed job has used of a budget that the job names; arguments and answer as in a handler. Errors: also 42501 for a claim of another role, TQ003 for a claim that is not in force, TQ011 for a job that does not exist. For workers';

CREATE FUNCTION taskq.budget_states(OUT budget_id integer, OUT state text, OUT taken numeric, OUT held numeric) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_budget_states' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.budget_states() IS 'what is in shared memory of each budget, for those who see all jobs; read the view taskq.budgets';

