-- queue ---------------------------------------------------------------------

CREATE FUNCTION taskq.create_queue(
	queue text, description text DEFAULT NULL, retain_completed interval DEFAULT NULL,
	retain_other interval DEFAULT NULL, keep_payload boolean DEFAULT true, on_unhandled text DEFAULT 'wait',
	events boolean DEFAULT false, retain_events interval DEFAULT NULL,
	validate_payloads boolean DEFAULT true) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_create_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.create_queue(text, text, interval, interval, boolean, text, boolean, interval, boolean) IS 'make a queue; its finished jobs are kept 7 days when completed and 30 days otherwise unless said differently';

CREATE FUNCTION taskq.alter_queue(
	queue text, description text DEFAULT NULL, retain_completed interval DEFAULT NULL,
	retain_other interval DEFAULT NULL, keep_payload boolean DEFAULT NULL, on_unhandled text DEFAULT NULL,
	events boolean DEFAULT NULL, retain_events interval DEFAULT NULL,
	validate_payloads boolean DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_queue(text, text, interval, interval, boolean, text, boolean, interval, boolean) IS 'change a queue; what is NULL stays as it is';

CREATE FUNCTION taskq.drop_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_queue(text) IS 'drop a queue that has never had a job; false when there is none of that name';

CREATE FUNCTION taskq.pause_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_pause_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.pause_queue(text) IS 'start no more jobs of a queue; running ones finish. False when it was paused already';

CREATE FUNCTION taskq.resume_queue(queue text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_resume_queue' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.resume_queue(text) IS 'end pause_queue(); false when the queue was not paused';

