# A handler runs as its pool's role, whatever it tries. Each job here is an escape
# that has worked on some system. All jobs call grab(), which records the role that
# it runs as. Only the pool's role may ever be recorded.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('identity', conf => { 'taskq.poll_interval' => "'200ms'" });

# The other objects: a role with a secret, a superuser's function that runs with its
# owner's rights, and a table in which every role may record its name.
sql($node, <<'SQL');
CREATE ROLE rich LOGIN;
CREATE SCHEMA rich AUTHORIZATION rich;
CREATE TABLE rich.treasure (n integer);
INSERT INTO rich.treasure VALUES (42);
ALTER TABLE rich.treasure OWNER TO rich;
CREATE TABLE public.loot (trick text, who name DEFAULT current_user, session_role name DEFAULT session_user, treasure integer);
GRANT INSERT, SELECT ON public.loot TO PUBLIC;
CREATE FUNCTION public.lend_enqueue(task_type text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT taskq.enqueue_job($1) $$;
CREATE FUNCTION public.lend_register(task_type text, handler regprocedure, run_as regrole) RETURNS void LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT taskq.register_handler($1, $2, run_as => $3) $$;
CREATE FUNCTION public.lend_run(task_types text[], handler regprocedure) RETURNS void LANGUAGE sql SECURITY DEFINER
	AS $$ SELECT taskq.run_next($1, $2) $$;
CREATE FUNCTION public.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.loot (trick) SELECT 'event trigger of a superuser' WHERE current_user = 'app';
END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION public.note_ddl();
SQL

sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.grab(trick text) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	loot integer;
BEGIN
	BEGIN
		EXECUTE 'SELECT n FROM rich.treasure' INTO loot;
	EXCEPTION WHEN insufficient_privilege THEN
	END;
	INSERT INTO public.loot (trick, treasure) VALUES (trick, loot);
	RETURN 1;
END $$;
-- each statement alone: one that is refused must not hide the next
CREATE FUNCTION app.attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
END $$;
CREATE FUNCTION app.grab_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM app.grab(TG_ARGV[0]);
	-- once more, so late that only the commit itself is left
	IF TG_NARGS > 1 AND NEW.n < 3 THEN
		EXECUTE 'SET CONSTRAINTS ALL DEFERRED';
		INSERT INTO app.late VALUES (NEW.n + 1);
	END IF;
	RETURN NULL;
END $$;
CREATE TABLE app.deferred (n integer);
CREATE CONSTRAINT TRIGGER grab AFTER INSERT ON app.deferred DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION app.grab_trigger('deferred trigger');
CREATE TABLE app.late (n integer);
CREATE CONSTRAINT TRIGGER grab AFTER INSERT ON app.late DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION app.grab_trigger('deferred trigger that defers again', 'again');
CREATE FUNCTION app.grab_immutable(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM app.grab('index expression');
	RETURN n;
END $$;
CREATE TABLE app.defaulted (n integer DEFAULT app.grab('default expression'), c integer CHECK (app.grab('check constraint') = 1));
CREATE TABLE app.indexed (n integer);
CREATE INDEX ON app.indexed (app.grab_immutable(n));
CREATE FUNCTION app.as_definer(trick text) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN app.grab(trick); END $$;
SQL

# name => body of the handler, in PL/pgSQL
my %tricks = (
	'reset role' => q(PERFORM app.attempt('RESET ROLE'); PERFORM app.grab('reset role');),
	'reset session authorization' => q(PERFORM app.attempt('RESET SESSION AUTHORIZATION'); PERFORM app.grab('reset session authorization');),
	'set role' => q(PERFORM app.attempt('SET ROLE postgres'); PERFORM app.attempt('SET ROLE rich'); PERFORM app.grab('set role');),
	'set session authorization' => q(PERFORM app.attempt('SET SESSION AUTHORIZATION postgres'); PERFORM app.grab('set session authorization');),
	'set_config role' => q(PERFORM app.attempt($x$SELECT set_config('role', 'postgres', false)$x$); PERFORM app.grab('set_config role');),
	'alter role' => q(PERFORM app.attempt('ALTER ROLE app SUPERUSER'); PERFORM app.attempt('GRANT rich TO app'); PERFORM app.grab('alter role');),
	'deferred trigger' => q(INSERT INTO app.deferred VALUES (1);),
	'deferred trigger that defers again' => q(INSERT INTO app.late VALUES (1);),
	'deferred trigger behind SECURITY DEFINER' => q(PERFORM app.as_definer('behind SECURITY DEFINER'); INSERT INTO app.deferred VALUES (1);),
	'cursor with hold' => q(EXECUTE $x$DECLARE c CURSOR WITH HOLD FOR SELECT app.grab('cursor with hold')$x$;),
	'default expression' => q(INSERT INTO app.defaulted (c) VALUES (1);),
	'index expression' => q(INSERT INTO app.indexed VALUES (1);),
	'temporary objects' => q(CREATE TEMP TABLE jobs (n integer DEFAULT app.grab('temporary objects')); INSERT INTO jobs DEFAULT VALUES;
		CREATE FUNCTION pg_temp.clock_now() RETURNS timestamptz LANGUAGE sql AS $x$ SELECT app.grab('temporary function'), now(); SELECT now() $x$;),
	'triggers on the tables of taskq' => q(PERFORM app.attempt($x$CREATE TRIGGER t AFTER INSERT ON taskq.jobs FOR EACH ROW EXECUTE FUNCTION app.grab_trigger('taskq')$x$);
		PERFORM app.attempt($x$CREATE RULE r AS ON INSERT TO taskq.jobs DO ALSO SELECT app.grab('taskq')$x$);
		PERFORM app.grab('triggers on the tables of taskq');),
	'objects in the schema taskq' => q(PERFORM app.attempt($x$CREATE FUNCTION taskq.evil() RETURNS integer LANGUAGE sql AS 'SELECT 1'$x$);
		PERFORM app.attempt($x$CREATE OR REPLACE FUNCTION taskq.clock_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'$x$); PERFORM app.grab('objects in the schema taskq');),
	'search_path left behind' => q(PERFORM set_config('search_path', 'app, pg_catalog', false); PERFORM app.grab('search_path left behind');),
	'run_as another' => q(PERFORM app.attempt($x$SELECT taskq.register_handler('stolen', 'app.work(jsonb)', run_as => 'rich')$x$); PERFORM app.grab('run_as another');),
	'runs jobs with borrowed rights' => q(PERFORM taskq.enqueue_job('by_hand'); PERFORM app.attempt($x$SELECT public.lend_run('{by_hand}', 'app.grab_job(jsonb)')$x$); PERFORM app.grab('runs jobs with borrowed rights');),
	'claims with borrowed rights' => q(PERFORM public.lend_enqueue('work'); PERFORM app.grab('claims with borrowed rights');),
	'pool of another' => q(PERFORM app.attempt($x$SELECT taskq.create_pool('mine', role => 'rich')$x$); PERFORM app.attempt($x$SELECT taskq.alter_pool('rich', size => 0)$x$); PERFORM app.grab('pool of another');),
	'event trigger' => q(PERFORM app.attempt('CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION public.note_ddl()'); CREATE TEMP TABLE ddl (); PERFORM app.grab('event trigger');),
	'settings of the role' => q(PERFORM app.grab('settings of the role');),
);
sql_as($node, 'postgres', 'app', q(CREATE FUNCTION app.grab_job(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(app.grab('by_hand')) $$));
my $i = 0;
for my $trick (sort keys %tricks)
{
	$i++;
	sql_as($node, 'postgres', 'app', <<SQL);
CREATE FUNCTION app.trick_$i(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$f\$ BEGIN $tricks{$trick} RETURN NULL; END \$f\$;
SELECT taskq.register_handler('trick_$i', 'app.trick_$i(jsonb)', retry_policy => 'none');
SELECT taskq.enqueue_job('trick_$i');
SQL
}
add_type($node, 'postgres', 'app', 'work');
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type LIKE 'trick%' AND finished_at IS NULL)), 'all tricks were tried');

is(sql($node, q(SELECT string_agg(DISTINCT j.task_type || ': ' || j.last_error, E'\n') FROM taskq.all_jobs j WHERE task_type LIKE 'trick%' AND state <> 'completed')), '',
	'each handler returned');
cmp_ok(sql($node, 'SELECT count(DISTINCT trick) FROM public.loot'), '>=', scalar(keys %tricks) - 2, 'the tricks have recorded their role');
is(sql($node, q(SELECT DISTINCT who || '/' || session_role FROM public.loot)), 'app/app', 'the role was always that of the pool');
is(sql($node, q(SELECT count(*) FROM public.loot WHERE treasure IS NOT NULL)), 0, 'no trick has read the secret');
is(sql($node, q(SELECT count(*) FROM public.loot WHERE trick = 'deferred trigger that defers again')), 3, 'this holds for triggers at the commit, too');
cmp_ok(sql($node, q(SELECT count(*) FROM public.loot WHERE trick = 'event trigger of a superuser')), '>', 0, 'an event trigger sees the role, too');
is(sql($node, q(SELECT count(*) FROM pg_trigger WHERE tgrelid = 'taskq.jobs'::regclass)), 0, 'the tables of taskq have no triggers');
is(sql($node, q(SELECT rolsuper OR pg_has_role('app', 'rich', 'member') FROM pg_roles WHERE rolname = 'app')), 'f', 'the role has no new rights');
is(sql($node, q(SELECT count(*) FROM taskq.list_handlers() WHERE task_type = 'stolen')), 0, 'no handler was registered for another role');
is(sql($node, q(SELECT count(*) FROM taskq.pools WHERE pool = 'mine')), 0, 'no pool was created for another role');

# not even a superuser's trigger: its role would be unclear
sql($node, q(CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.loot (trick) VALUES ('spy'); RETURN NULL; END $$));
fails_with($node, '0A000', q(CREATE TRIGGER spy AFTER INSERT OR UPDATE OR DELETE ON taskq.jobs FOR EACH ROW EXECUTE FUNCTION public.spy()),
	'a trigger on taskq.jobs is refused, also in a session that has not called taskq');
my $job = sql($node, q(SELECT taskq.enqueue_job('work')));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'jobs run after the refused trigger');
is(sql($node, q(SELECT count(*) FROM public.loot WHERE trick = 'spy')), 0, 'the refused trigger was never called');

# borrowed rights ---------------------------------------------------------------

fails_with($node, '42501', q(SELECT public.lend_run('{work}', 'app.grab_job(jsonb)')), 'a SECURITY DEFINER function cannot run jobs for its caller', role => 'app');
fails_with($node, '42501', q(SET ROLE app; SELECT taskq.run_next('{work}', 'app.grab_job(jsonb)')), 'a superuser who has set a role cannot run jobs');
fails_with($node, '42501', q(SELECT taskq.register_handler('stolen', 'app.work(jsonb)', run_as => 'rich')), 'run_as requires membership', role => 'app');
sql($node, 'GRANT EXECUTE ON FUNCTION app.work(jsonb) TO rich');
fails_with($node, '42501', q(SELECT public.lend_register('boss', 'app.work(jsonb)', 'postgres')), 'a SECURITY DEFINER function cannot register a handler of a superuser', role => 'app');

# names ---------------------------------------------------------------------------

sql($node, q(CREATE ROLE "App" LOGIN; CREATE ROLE "APP" LOGIN; CREATE ROLE " app""; DROP TABLE public.loot; --" LOGIN;
SELECT taskq.grant_access(r::regrole, a) FROM unnest(ARRAY['"App"', '"APP"', '" app""; DROP TABLE public.loot; --"']) r, unnest(ARRAY['admin', 'producer', 'worker']) a));
my $k = 0;
for my $role ('App', 'APP', ' app"; DROP TABLE public.loot; --')
{
	(my $quoted = $role) =~ s/"/""/g;
	$k++;
	sql($node, <<SQL);
CREATE SCHEMA names_$k AUTHORIZATION "$quoted";
SET SESSION AUTHORIZATION "$quoted";
CREATE FUNCTION names_$k.who(payload jsonb) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT jsonb_build_array(current_user, session_user) \$\$;
SELECT taskq.register_handler('names_$k', 'names_$k.who(jsonb)');
SELECT taskq.enqueue_job('names_$k');
SQL
	wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE task_type = 'names_$k'), "a handler of role $role runs");
	is(sql($node, qq(SELECT result->>0 = r AND result->>1 = r FROM taskq.all_jobs, (VALUES (\$r\$$role\$r\$)) v (r) WHERE task_type = 'names_$k')), 't', 'the handler runs as exactly this role');
}

# settings --------------------------------------------------------------------------

sql($node, q(GRANT rich TO app; ALTER ROLE app SET role = 'rich'; ALTER ROLE app SET search_path = app, public;
ALTER ROLE app SET default_transaction_read_only = on; ALTER ROLE app SET default_transaction_isolation = 'serializable';
ALTER ROLE app SET statement_timeout = '1ms'; ALTER ROLE app SET lock_timeout = '1ms'; ALTER ROLE app SET idle_in_transaction_session_timeout = '1ms';
ALTER ROLE app SET row_security = off; ALTER ROLE app SET TimeZone = 'Asia/Kathmandu'; ALTER ROLE app SET enable_indexscan = off;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'));
sql_as($node, 'postgres', 'rich', q(SET default_transaction_read_only = off; SELECT 1));
sql($node, q(CREATE FUNCTION app.tell(payload jsonb) RETURNS jsonb LANGUAGE sql SET work_mem = '123kB' AS $$
	SELECT jsonb_build_object('current', current_user, 'session', session_user, 'path', current_setting('search_path'), 'zone', current_setting('TimeZone'),
		'read_only', current_setting('transaction_read_only'), 'isolation', current_setting('transaction_isolation'), 'work_mem', current_setting('work_mem')) $$;
GRANT EXECUTE ON FUNCTION app.tell(jsonb) TO app;
SET search_path = names_1, public;
SET SESSION AUTHORIZATION app; SET default_transaction_read_only = off;
SELECT taskq.register_handler('tell', 'app.tell(jsonb)');
SELECT taskq.register_handler('tell_there', 'app.tell(jsonb)', search_path => 'app, pg_temp');
SELECT taskq.enqueue_job(t) FROM unnest(ARRAY['tell', 'tell_there']) t));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE task_type LIKE 'tell%' AND state = 'completed'), 'jobs run with any settings of the role');
is(sql($node, q(SELECT result - 'path' FROM taskq.all_jobs WHERE task_type = 'tell')),
	'{"zone": "Asia/Kathmandu", "current": "app", "session": "app", "work_mem": "123kB", "isolation": "read committed", "read_only": "off"}',
	'they run as the role, READ COMMITTED and read-write, with the other settings of the role and those of the function');
is(sql($node, q(SELECT string_agg(result->>'path', '; ' ORDER BY task_type) FROM taskq.all_jobs WHERE task_type LIKE 'tell%')), 'names_1, public; app, pg_temp',
	'they have the search_path of the registration');

$node->stop;
clean_log($node);
done_testing();
