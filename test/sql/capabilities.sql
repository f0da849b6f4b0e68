-- Capabilities: which tokens are valid, what waits for a capable worker, stored sets
-- that are not valid, and the digest.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(103);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
BEGIN;
CREATE ROLE regress_capabilities LOGIN;
CREATE SCHEMA capabilities;
GRANT USAGE ON SCHEMA capabilities TO PUBLIC;
CREATE FUNCTION capabilities.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' \g /dev/null
SELECT taskq.register_handler('cap-a'), taskq.register_handler('cap-in', 'capabilities.f(jsonb)', run_as => 'regress_capabilities'),
	taskq.create_pool('cap-p', 0, 'regress_capabilities') \gset

-- tokens --------------------------------------------------------------------------
CREATE TEMP TABLE calls (n integer, call text, what text);
INSERT INTO calls VALUES
	(1, $$SELECT taskq.enqueue_job('cap-a', required_capabilities => %L)$$, 'required_capabilities'),
	(2, $$SELECT taskq.enqueue_jobs('cap-a', '{}', required_capabilities => %L)$$, 'required_capabilities'),
	(3, $$SELECT taskq.register_worker('cap-w', capabilities => %L, take_over => true)$$, 'capabilities'),
	(4, $$SELECT taskq.create_pool('cap-new', 0, 'regress_capabilities', capabilities => %L)$$, 'capabilities'),
	(5, $$SELECT taskq.alter_pool('cap-p', capabilities => %L)$$, 'capabilities');
CREATE TEMP TABLE tokens (n integer, token text, shown text, problem text);
INSERT INTO tokens VALUES
	(1, '', '', 'It is empty.'),
	(2, 'gpu,eu', 'gpu,eu', 'It contains a comma.'),
	(3, ',', ',', 'It contains a comma.'),
	(4, 'large fast', 'large fast', 'It contains white space.'),
	(5, 'gpu ', 'gpu ', 'It contains white space.'),
	(6, E'a\tb', 'a\x09b', 'It contains white space.'),
	(7, E'a\n', 'a\x0a', 'It contains white space.'),
	(8, E'a\u00a0b', E'a\u00a0b', 'It contains white space.'),
	(9, E'\u2003', E'\u2003', 'It contains white space.'),
	(10, E'a\u3000b', E'a\u3000b', 'It contains white space.'),
	(11, E'a\u0001', 'a\x01', 'It contains a control character.'),
	(12, E'\u007f', '\x7f', 'It contains a control character.'),
	(13, E'a\u009bb', E'a\u009bb', 'It contains a control character.'),
	(14, repeat('x', 256), repeat('x', 100) || '...', 'It is too long.');
SELECT is(pg_temp.error_of(format(call, ARRAY['ok', token])), format('capability "%s" in %s is not valid', shown, what),
	format('%s refuses token %s, and names it', substring(call, 'taskq\.\w+'), t.n)) FROM calls c, tokens t WHERE c.n = 1 OR t.n IN (1, 2, 4, 11, 14) ORDER BY c.n, t.n;
SELECT throws_ok(format(call, '{""}'), '22023', NULL, substring(call, 'taskq\.\w+') || ' refuses an empty token with 22023') FROM calls ORDER BY n;
SELECT throws_ok(format(call, '{a,NULL}'), '22004', NULL, substring(call, 'taskq\.\w+') || ' refuses NULL with 22004') FROM calls ORDER BY n;
SELECT is(pg_temp.detail_of(format((SELECT call FROM calls WHERE n = 1), ARRAY[token])),
	problem || ' A capability is 1 to 255 bytes, without commas, white space and control characters.', 'the detail says what is wrong with token ' || n) FROM tokens ORDER BY n;
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('cap-a', required_capabilities => ARRAY['gpu,eu']) $$),
	'Make each capability an element of its own, for example ARRAY[''gpu'', ''region=eu''].', 'the hint says how to give two capabilities');
SELECT lives_ok(format(call, ARRAY['region=eu', E'gr\u00f6\u00dfe', '"{}\''', repeat('x', 255)]), substring(call, 'taskq\.\w+') || ' takes all other tokens') FROM calls ORDER BY n;
SELECT is(capabilities, ARRAY['"{}\''', E'gr\u00f6\u00dfe', 'region=eu', repeat('x', 255)] COLLATE "C", 'a set is stored sorted by bytes') FROM taskq.pools WHERE pool = 'cap-p';
SELECT taskq.alter_pool('cap-p', capabilities => '{}'), taskq.drop_pool('cap-new'), taskq.unregister_worker('cap-w') \gset
SELECT taskq.discard_job(job_id) FROM taskq.all_jobs WHERE state = 'available' \g /dev/null

-- what waits for a capable worker ---------------------------------------------------
CREATE FUNCTION pg_temp.lacks(t text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(reason_code || COALESCE(' ' || missing_capabilities::text, ''), '; ' ORDER BY required_capabilities) FROM taskq.unroutable_jobs WHERE task_type = t $$;
SELECT pg_temp.add('x', 'cap-a', caps => '{x,gpu,eu}') \gset
SELECT is(pg_temp.lacks('cap-a'), 'no_live_worker', 'without any worker of the type, no capabilities are missing');
SELECT taskq.register_worker('cap-none', '{cap-a}') \gset
SELECT is(pg_temp.lacks('cap-a'), 'waiting_for_capable_worker {eu,gpu,x}', 'a worker without capabilities lacks all');
SELECT taskq.register_worker('cap-eu', '{cap-a}', capabilities => '{eu,other}'), taskq.register_worker('cap-two', '{cap-a}', capabilities => '{x,gpu}'),
	taskq.register_worker('cap-three', capabilities => '{gpu,us}') \gset
SELECT is(pg_temp.lacks('cap-a'), 'waiting_for_capable_worker {eu}', 'the nearest worker is the one that lacks fewest');
SELECT is((SELECT array_agg(missing_capabilities) FROM taskq.route_reasons WHERE task_type = 'cap-a' AND reason_code = 'waiting_for_capable_worker' AND required_capabilities @> '{x,gpu,eu}'), '{{eu}}', 'route_reasons shows the same');
SELECT results_eq($$ SELECT reason_code, missing_capabilities FROM taskq.explain_claim('cap-eu') WHERE required_capabilities @> '{x,gpu,eu}' $$,
	$$ VALUES ('lacks_capabilities', '{gpu,x}'::text[]) $$, 'explain_claim() shows what this worker lacks');
SELECT results_eq($$ SELECT reason_code, missing_capabilities FROM taskq.describe_job(pg_temp.id('x')) $$,
	$$ VALUES ('waiting_for_capable_worker', '{eu}'::text[]) $$, 'describe_job() shows what the nearest worker lacks');
SELECT taskq.drain_worker('cap-two') \gset
SELECT is(pg_temp.lacks('cap-a'), 'waiting_for_capable_worker {gpu,x}', 'a draining worker is not near');
SELECT taskq.register_worker('cap-q', queues => '{default}', capabilities => '{eu,gpu}', task_types => '{cap-none-of-them}') FROM (SELECT taskq.register_handler('cap-none-of-them')) r \gset
SELECT is(pg_temp.lacks('cap-a'), 'waiting_for_capable_worker {gpu,x}', 'a worker of another type is not near');
SET LOCAL taskq.clock_offset = '1 h';
SELECT is(pg_temp.lacks('cap-a'), 'no_live_worker', 'a worker that was not seen for a long time is not near');
SET LOCAL taskq.clock_offset = 0;
SELECT taskq.register_worker('cap-all', capabilities => '{eu,gpu,x,y}') \gset
SELECT is(pg_temp.lacks('cap-a'), NULL, 'a capable worker removes the reason');
SELECT is(pg_temp.take('cap-all'), 'x', 'it is given the job');
SELECT pg_temp.add('in', 'cap-in', caps => '{gpu,eu}'), taskq.alter_pool('cap-p', 1, capabilities => '{eu}') \gset
SELECT is(pg_temp.lacks('cap-in'), 'waiting_for_capable_worker {gpu}', 'a pool is a worker of its type, too');
SELECT taskq.create_pool('cap-far', 1, 'regress_capabilities') \gset
SELECT is(pg_temp.lacks('cap-in'), 'waiting_for_capable_worker {gpu}', 'the nearest pool counts');
SELECT taskq.create_pool('cap-fits', 1, 'regress_capabilities', capabilities => '{gpu,eu}'), taskq.pause_pool('cap-fits') \gset
SELECT is(pg_temp.lacks('cap-in'), 'pool_paused', 'a pool that fits but is paused is the reason, although others are not paused');
SELECT taskq.drop_pool(p) FROM unnest('{cap-fits,cap-far,cap-p}'::text[]) p \g /dev/null

-- what a claim costs while many wait for a capable worker ----------------------------------
CREATE FUNCTION pg_temp.read_by(sql text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index WHERE indrelid = 'taskq.jobs'::regclass);
BEGIN
	EXECUTE sql;
	RETURN (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index WHERE indrelid = 'taskq.jobs'::regclass) - before;
END $$;
SELECT taskq.enqueue_job('cap-a', '{"n": 1}'), taskq.enqueue_job('cap-a', '{"n": 2}'), taskq.enqueue_job('cap-a', '{"n": 3}') \gset
SELECT count(*) FROM taskq.claim_job('cap-eu') \gset
SELECT pg_temp.read_by($$ SELECT * FROM taskq.claim_job('cap-eu') $$) AS alone \gset
SELECT count(*) FROM taskq.enqueue_jobs('cap-a', array_fill('{}'::jsonb, '{10000}'), priority => -100, required_capabilities => '{quantum}') \gset
SELECT is(pg_temp.read_by($$ SELECT * FROM taskq.claim_job('cap-eu') $$), :alone::bigint, 'ten thousand jobs ahead that the worker is not capable of cost its claim nothing');
SELECT is(count(*), 1::bigint, 'the claim was given the job behind them') FROM taskq.all_jobs WHERE payload = '{"n": 3}' AND state = 'running';

-- stored sets that are not valid --------------------------------------------------------
SELECT taskq.clear_handlers(), taskq.register_handler('cap-b') \gset
SELECT pg_temp.add('old', 'cap-b', caps => '{old}'), pg_temp.add('null', 'cap-b', caps => '{nothing}'), pg_temp.add('good', 'cap-b', caps => '{gpu}'),
	taskq.register_worker('cap-old', '{cap-b}', capabilities => '{gpu,old}'), taskq.create_pool('cap-old', 0, 'regress_capabilities', capabilities => '{old}') \gset
UPDATE taskq.routes SET capabilities = '{"gpu,old set"}' WHERE capabilities = '{old}';
UPDATE taskq.routes SET capabilities = '{gpu,NULL}' WHERE capabilities = '{nothing}';
UPDATE taskq.external_workers SET capabilities = '{"gpu,old set",gpu,NULL}' WHERE worker_id = 'cap-old';
UPDATE taskq.pool_defs SET capabilities = '{"gpu,old set"}' WHERE pool = 'cap-old';
SELECT taskq.register_worker('cap-bad', '{cap-b}', capabilities => '{gpu}'), taskq.create_queue('cap-anew') \gset
UPDATE taskq.external_workers SET capabilities = '{"gpu,old set",gpu}' WHERE worker_id = 'cap-bad';
SELECT pg_temp.add('deep', 'cap-b', caps => '{deep}'), taskq.register_worker('cap-deep', '{cap-b}', capabilities => '{gpu}'), taskq.create_pool('cap-deep', 0, 'regress_capabilities') \gset
UPDATE taskq.routes SET capabilities = '{{gpu},{eu}}' WHERE capabilities = '{deep}';
UPDATE taskq.external_workers SET capabilities = '{{gpu},{eu}}' WHERE worker_id = 'cap-deep';
UPDATE taskq.pool_defs SET capabilities = '{{gpu},{eu}}' WHERE pool = 'cap-deep';
-- other sessions, and this one, read the rows anew
SELECT taskq.register_worker('cap-again') \gset
SELECT results_eq($$ SELECT reason_code, reason FROM taskq.unroutable_jobs WHERE task_type = 'cap-b' ORDER BY reason COLLATE "C" $$,
	$$ VALUES ('invalid_capabilities', 'required capability "gpu,old set" is not valid'), ('invalid_capabilities', 'required capability NULL is not valid'),
		('invalid_capabilities', 'required capability array of 2 dimensions is not valid') $$,
	'jobs that require a capability which is not valid wait, and the reason names it');
SELECT is(pg_temp.take_many('cap-bad', 5), 'good', 'they match no worker, not even one with the same token; a valid capability of the worker still counts');
SELECT is((SELECT string_agg(DISTINCT reason_code, ' ') FROM taskq.explain_claim('cap-bad') WHERE task_type = 'cap-b' AND NOT claimable), 'invalid_capabilities', 'explain_claim() says so');
SELECT is(reason_code, 'invalid_capabilities', 'describe_job() says so') FROM taskq.describe_job(pg_temp.id('old'));
SELECT is((SELECT string_agg(value, '; ' ORDER BY value COLLATE "C") FROM taskq.status() WHERE name = 'invalid capabilities'),
	'pool cap-deep: array of 2 dimensions; pool cap-old: "gpu,old set"; worker cap-bad: "gpu,old set"; worker cap-deep: array of 2 dimensions; worker cap-old: "gpu,old set"', 'status() names the pools and workers with such capabilities');
SELECT is((SELECT string_agg(DISTINCT reason_code, '; ') FROM taskq.status() WHERE name IN ('invalid capabilities', 'unroutable jobs') AND value !~ 'cap-a'), 'invalid_capabilities', 'its rows have the code');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id = 'cap-old' AND capabilities_digest IS NULL), 1::bigint, 'the view workers shows a worker whose set has a NULL');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id = 'cap-deep' AND capabilities_digest IS NULL), 1::bigint, 'and a worker whose set has two dimensions');
SELECT is(reason_code, 'invalid_capabilities', 'describe_job() describes a job that requires such a set') FROM taskq.describe_job(pg_temp.id('deep'));
SELECT is(pg_temp.take_many('cap-deep', 5), 'good2', 'the valid capabilities of such a worker count') FROM (SELECT pg_temp.add('good2', 'cap-b', caps => '{gpu}')) x;
SELECT is(taskq.discard_job(pg_temp.id('null')), true, 'such a job can be discarded');
SELECT is(taskq.retry_job(pg_temp.id('null'), true), true, 'and put back');

-- digest -----------------------------------------------------------------------------
SELECT is(taskq.capabilities_digest('{region=eu,gpu}'), left(encode(sha256('gpu,region=eu'), 'hex'), 8), 'the digest is the beginning of the SHA-256 of the sorted tokens with commas');
SELECT is(taskq.capabilities_digest('{gpu,region=eu,gpu}'), taskq.capabilities_digest('{region=eu,gpu}'), 'order and duplicates do not matter');
SELECT ok(taskq.capabilities_digest(c) IS NULL, 'there is no digest of ' || COALESCE(c::text, 'NULL')) FROM (VALUES (NULL::text[]), ('{}'), ('{NULL}'), ('{{a},{b}}')) v (c);
SELECT taskq.register_worker('cap-d', capabilities => '{region=eu,gpu}') \gset
SELECT is(capabilities_digest, taskq.capabilities_digest('{gpu,region=eu}'), 'the view workers shows the digest') FROM taskq.workers WHERE worker_id = 'cap-d';
SELECT is((SELECT string_agg(DISTINCT capabilities_digest, ' ') FROM taskq.explain_claim('cap-d')), taskq.capabilities_digest('{gpu,region=eu}'), 'explain_claim() shows it');
SELECT is((SELECT count(capabilities_digest) FROM taskq.explain_claim('cap-again')), 0::bigint, 'a worker without capabilities has none');
SELECT * FROM finish();
ROLLBACK;
