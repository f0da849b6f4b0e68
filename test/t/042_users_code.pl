# Validators and retry functions that do not end, or that try to end the calling
# session, and what they can do in a background worker and without preloading.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# Functions of a hostile role; obey() does what the payload says.
sub make_low
{
	my ($node) = @_;
	sql($node, <<'SQL');
CREATE ROLE low LOGIN;
CREATE SCHEMA low AUTHORIZATION low;
GRANT USAGE ON SCHEMA low TO PUBLIC;
SELECT taskq.grant_access('low', 'admin'), taskq.grant_access('low', 'producer');
SQL
	sql_as($node, 'postgres', 'low', <<'SQL');
CREATE FUNCTION low.deaf() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(3600);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
END $$;
CREATE FUNCTION low.obey(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE p->>'sql';
	RETURN NULL;
END $$;
CREATE FUNCTION low.deaf(p jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT low.deaf()';
CREATE DOMAIN low.deafened AS jsonb CHECK (low.deaf(VALUE));
CREATE FUNCTION low.deaf(attempt integer, error jsonb) RETURNS interval LANGUAGE sql AS $$ SELECT CASE WHEN low.deaf() THEN interval '0' END $$;
CREATE FUNCTION low.ends() RETURNS boolean LANGUAGE plpgsql SET exit_on_error = on AS $$ BEGIN RETURN 1 / 0 > 0; END $$;
CREATE FUNCTION low.reopens() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	r refcursor := 'c';
BEGIN
	OPEN r FOR SELECT 'another';
	RETURN true;
EXCEPTION WHEN duplicate_cursor THEN
	RETURN true;
END $$;
SELECT taskq.register_handler('obey', validator => 'low.obey(jsonb)'),
	taskq.register_handler('deaf', validator => 'low.deaf(jsonb)'),
	taskq.register_handler('deafened', payload_type => 'low.deafened'),
	taskq.register_handler('retry-deaf', retry_function => 'low.deaf(integer, jsonb)');
SQL
	return;
}

# Check that the call fails with this error.
sub call_fails
{
	my ($node, $query, $error, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, $out, $err) = $node->psql('postgres', $query, on_error_stop => 1);
	like($err, $error, $name);
	return;
}

my $node = new_node('users_code', conf => { 'taskq.poll_interval' => "'200ms'", 'taskq.validation_timeout' => "'100ms'" });
make_low($node);

# code that does not end ------------------------------------------------------

my $since = log_since($node);
call_fails($node, q(SELECT taskq.enqueue_job('deaf')),
	qr/FATAL:  terminating the session because validator low\.deaf\(pg_catalog\.jsonb\) does not come to an end/, 'a validator that catches its cancels ends the session by its name');
call_fails($node, q(SELECT taskq.enqueue_job('deafened')),
	qr/FATAL:  terminating the session because payload type low\.deafened does not come to an end/, 'a payload type that catches its cancels ends the session, which the log says');
sql($node, q(SELECT taskq.enqueue_job('retry-deaf')));
call_fails($node, q(SELECT taskq.fail_job(job_id, epoch) FROM taskq.claim_job('w', '{retry-deaf}')),
	qr/FATAL:  terminating the session because retry function low\.deaf\(integer,pg_catalog\.jsonb\) does not come to an end/, 'a retry function that catches its cancels ends the session, which the log says');
call_fails($node, q(SELECT taskq.validate_task('obey', '{"sql": "SELECT pg_sleep(3600)"}')),
	qr/ERROR:  validator low\.obey\(pg_catalog\.jsonb\) took longer than 0\.1 s/, 'code that takes too long but can be interrupted raises an error');

# in a handler, the run ends with its worker, and the attempt is recorded
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.asks_deaf(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.validate_task('deaf', '{}');
	RETURN NULL;
END $$;
CREATE FUNCTION app.raises(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'first'; END $$;
SQL
sql($node, q(SELECT taskq.grant_access('app', 'producer')));
add_type($node, 'postgres', 'app', 'asks_deaf');
my $job = sql($node, q(SELECT taskq.enqueue_job('asks_deaf', max_attempts => 1)));
wait_until($node, qq(SELECT state = 'discarded' FROM taskq.all_jobs WHERE job_id = $job), 'a job whose handler calls such a validator is discarded');
is(sql($node, qq(SELECT outcome, error_type FROM taskq.attempts WHERE job_id = $job)), 'timeout|timeout', 'its attempt has timed out');
like(slurp_file($node->logfile, $since), qr/FATAL:  terminating the session because validator low\.deaf/, 'the log names the validator');

# the end of the session ------------------------------------------------------

my $session = session($node);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
for my $sql ('SELECT low.ends()', q(SELECT set_config('exit_on_error', 'on', true)), 'SET exit_on_error = on', 'DO $$ BEGIN SET LOCAL exit_on_error = on; PERFORM 1/0; END $$')
{
	my $quoted = $sql =~ s/'/''/gr;
	$session->query(qq(SELECT taskq.validate_task('obey', jsonb_build_object('sql', '$quoted'))));
	like($session->{stderr}, qr/ERROR:  (42501: )?.*(exit_on_error|set_config|SET)/, "an error, no more: $sql");
	$session->{stderr} = '';
}
is($session->query_safe('SELECT pg_backend_pid()'), $pid, 'the session goes on');

# In a worker, the error of the run is recorded, whatever the handler or its role
# has set.
sql($node, q(ALTER ROLE app SET exit_on_error = on));
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.ends_by_set(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('exit_on_error', 'on', true); PERFORM taskq.raise_permanent('bad data'); END $$;
CREATE FUNCTION app.ends_by_clause(jsonb) RETURNS jsonb LANGUAGE plpgsql SET exit_on_error = on AS $$ BEGIN PERFORM taskq.raise_permanent('bad data'); END $$;
CREATE FUNCTION app.ends_by_role(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RESET exit_on_error; PERFORM taskq.raise_permanent('bad data'); END $$;
SQL
add_type($node, 'postgres', 'app', $_) for qw(ends_by_set ends_by_clause ends_by_role);
sql($node, q(SELECT taskq.enqueue_job(t, max_attempts => 1) FROM unnest('{ends_by_set,ends_by_clause,ends_by_role}'::text[]) t));
wait_until($node, q(SELECT count(*) = 3 FROM taskq.all_jobs WHERE task_type LIKE 'ends_by%' AND state = 'discarded'), 'three jobs that try to end their worker are discarded');
is(sql($node, q(SELECT string_agg(task_type || ' ' || outcome || ' ' || error_type, ', ' ORDER BY task_type) FROM taskq.attempts JOIN taskq.all_jobs USING (job_id) WHERE task_type LIKE 'ends_by%')),
	'ends_by_clause failed handler_error, ends_by_role failed permanent_error, ends_by_set failed handler_error', 'their attempts have failed like others');
SKIP:
{
	skip 'this version has no transaction_timeout', 1 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout')) eq '0';
	sql_as($node, 'postgres', 'low', q(CREATE FUNCTION low.times() RETURNS boolean LANGUAGE plpgsql SET transaction_timeout = '1ms' AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN true; END $$));
	call_fails($node, q(SELECT taskq.validate_task('obey', '{"sql": "SELECT low.times()"}')), qr/ERROR:.*transaction_timeout/, 'nor by its transaction_timeout');
}

# between the roles of a worker ------------------------------------------------

sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.has_cursor(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	c refcursor := 'c';
	said text;
BEGIN
	OPEN c FOR SELECT 'mine';
	BEGIN
		PERFORM taskq.validate_task('obey', '{"sql": "CLOSE c"}');
	EXCEPTION WHEN insufficient_privilege THEN
	END;
	PERFORM taskq.validate_task('obey', '{"sql": "SELECT low.reopens()"}');
	FETCH c INTO said;
	CLOSE c;
	PERFORM taskq.validate_task('obey', '{"sql": "SELECT low.reopens()"}');
	RETURN to_jsonb(said || (SELECT count(*) FROM pg_cursors WHERE name = 'c'));
END $$;
SQL
add_type($node, 'postgres', 'app', 'has_cursor');
$job = sql($node, q(SELECT taskq.enqueue_job('has_cursor')));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'a handler with a cursor calls a validator of another role');
is(sql($node, qq(SELECT result #>> '{}' FROM taskq.all_jobs WHERE job_id = $job)), 'mine0', 'the handler keeps its cursor, and that of the validator is gone');
clean_log($node);
$node->stop;

# without preload ---------------------------------------------------------------

my $bare = new_node('users_code_bare', conf => { shared_preload_libraries => undef });
make_low($bare);

# each call is in a session of its own, which loads the library by that call
call_fails($bare, qq(SELECT taskq.validate_task('obey', jsonb_build_object('sql', \$s\$$_\$s\$))), qr/is not allowed in users' code outside handlers/, "refused: $_")
	for ('SELECT pg_advisory_lock(1)', 'SET CONSTRAINTS ALL IMMEDIATE', 'NOTIFY x', 'SELECT current_query()');
sql($bare, q(CREATE TABLE public.x (a integer); GRANT ALL ON public.x TO low));
call_fails($bare, q(SELECT taskq.validate_task('obey', '{"sql": "INSERT INTO public.x VALUES (1)"}')), qr/writing is not allowed/, 'refused: writing');
call_fails($bare, q(SELECT taskq.validate_task('obey', '{"sql": "SELECT low.ends()"}')), qr/ERROR:  invalid value for parameter "exit_on_error"/, 'refused: exit_on_error');
call_fails($bare, q(BEGIN; DECLARE c CURSOR FOR SELECT 1; SELECT taskq.validate_task('obey', '{"sql": "FETCH c"}')), qr/ERROR:  portal "c" cannot be run/, 'refused: a cursor');
is(sql($bare, q(BEGIN; DECLARE c CURSOR FOR SELECT 'mine'; SELECT taskq.validate_task('obey', '{"sql": "SELECT low.reopens()"}') \g /dev/null
FETCH c)), 'mine', 'the caller\'s cursor is kept');
call_fails($bare, q(SET taskq.validation_timeout = '100ms'; SELECT taskq.validate_task('deaf', '{}')), qr/FATAL:  terminating the session because validator/, 'and the end is the end');

done_testing();
