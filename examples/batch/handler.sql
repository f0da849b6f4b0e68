-- A job that works through a table in batches, a short transaction each. What a
-- run did, and how far it got, commit together; a crash loses the batch in hand
-- and nothing else. See doc/batch-handler.md.

CREATE FUNCTION batch.convert_readings(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	job           taskq.job := taskq.current_job();
	state         jsonb := job.checkpoint;
	batch_size    integer;
	end_cursor    bigint;
	last_cursor   bigint;
	processed     integer := 0;
	failed        integer := 0;
	item          batch.reading;
BEGIN
	-- the first run settles what the job is about: rows that come later are not
	IF state IS NULL THEN
		state := jsonb_build_object(
			'batch_size', COALESCE((payload ->> 'batch_size')::integer, 50),
			'start_cursor', COALESCE((payload ->> 'start_cursor')::bigint, 0),
			'end_cursor', COALESCE((payload ->> 'end_cursor')::bigint, (SELECT max(reading_id) FROM batch.reading), 0),
			'last_cursor', COALESCE((payload ->> 'start_cursor')::bigint, 0),
			'items_processed', 0, 'items_succeeded', 0, 'items_failed', 0);
	END IF;
	batch_size := state -> 'batch_size';
	end_cursor := state -> 'end_cursor';
	last_cursor := state -> 'last_cursor';
	IF batch_size < 1 THEN
		PERFORM taskq.raise_permanent('batch_size must be at least 1', code => 'BATCH_SIZE');
	END IF;

	FOR item IN
		SELECT * FROM batch.reading
		WHERE reading_id > last_cursor AND reading_id <= end_cursor
		ORDER BY reading_id LIMIT batch_size
	LOOP
		-- an item that cannot be done is counted; it must not stop the others
		BEGIN
			UPDATE batch.reading
			SET celsius = round((item.fahrenheit::numeric - 32) * 5 / 9, 1), times_converted = times_converted + 1
			WHERE reading_id = item.reading_id;
		EXCEPTION WHEN data_exception THEN
			UPDATE batch.reading SET problem = SQLERRM WHERE reading_id = item.reading_id;
			failed := failed + 1;
		END;
		processed := processed + 1;
		last_cursor := item.reading_id;
	END LOOP;

	state := state || jsonb_build_object(
		'last_cursor', last_cursor,
		'items_processed', (state -> 'items_processed')::integer + processed,
		'items_succeeded', (state -> 'items_succeeded')::integer + processed - failed,
		'items_failed', (state -> 'items_failed')::integer + failed);
	PERFORM taskq.save_checkpoint(state), taskq.update_progress(state -> 'items_processed');

	IF processed < batch_size THEN
		RETURN state; -- that was all: the job is completed, and this its result
	END IF;
	RETURN taskq.snooze(); -- commit, and run again
END $$;

SELECT taskq.register_handler('convert_readings', 'batch.convert_readings(jsonb)',
	description => 'convert all readings to degrees Celsius', version => '1.0.0');
