# The example of a worker that calls a web service, with a service that gives all
# kinds of answers: which answers complete, end or retry a job, and when.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $python = '/usr/bin/python3';
plan skip_all => 'python3-psycopg2 is not installed' if system("$python -c 'import psycopg2' 2>/dev/null") != 0;

my $node = new_node('api');
my $examples = "$FindBin::RealBin/../../examples/api";
my $dir = PostgreSQL::Test::Utils::tempdir();
my $service = IPC::Run::start([ $python, "$FindBin::RealBin/../perl/api_server.py", $dir ], '>', "$dir/service.log", '2>&1');
my $seen = sub { -e "$dir/requests" ? slurp_file("$dir/requests") : '' };

# Wait for something outside the database.
my $until = sub {
	my ($true, $name) = @_;
	my $tries = 18000;
	select(undef, undef, undef, 0.01) while not $true->() and --$tries;
	return ok($tries > 0, $name);
};
$until->(sub { -e "$dir/port" }, 'the web service starts');
my $url = 'http://127.0.0.1:' . slurp_file("$dir/port");

my $start = sub {
	my ($id, %env) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'app', PGDATABASE => 'postgres', API_URL => $url, no_proxy => '*', %env);
	return IPC::Run::start([ "$examples/worker.py", $id ], '>', "$dir/$id.log", '2>&1');
};
my $end = sub {
	my ($worker, $name) = @_;
	$worker->signal('TERM');
	$worker->finish;
	return is($worker->result(0), 0, $name);
};
my $enqueue = sub {
	my ($payload) = @_;
	return sql_as($node, 'postgres', 'app', "SELECT taskq.enqueue_job('http_request', '$payload')");
};

sql_as($node, 'postgres', 'app', slurp_file("$examples/schema.sql"));
# a retry policy whose delay differs from every delay that the service asks for
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('http_request', allow_override => true, retry_base => '8 d', retry_cap => '10 d', max_attempts => 3)));

# answers -------------------------------------------------------------------

# request => outcome of the job: state, error type, error code, delay
my %expected = (
	(map { ("/status/$_" => 'completed') } 200, 201, 202, 204),
	(map { ("/status/$_" => "discarded permanent_error HTTP_$_") } 301, 302, 307, 308, 400 .. 407, 409 .. 424, 426, 428, 431, 451, 499),
	(map { ("/status/$_" => "retryable retryable_error HTTP_$_ policy") } 408, 425, 429, 500 .. 505, 507, 508, 511, 599),
	'/status/503?1200' => 'retryable retryable_error HTTP_503 1200',
	'/status/429?700' => 'retryable retryable_error HTTP_429 700',
	'/status/408?9999999999999999999999' => 'retryable retryable_error HTTP_408 86400',
	'/status/404?30' => 'discarded permanent_error HTTP_404',
	'/date/503' => 'retryable retryable_error HTTP_503 200',
	(map { ("/status/503?$_" => 'retryable retryable_error HTTP_503 policy') } 'soon', '-5', '1.5', 'Thu,%2099%20Foo'),
	'/status/700' => 'retryable retryable_error HTTP_700 policy',
	'/drop' => 'retryable retryable_error NO_ANSWER policy');
# requests that may be repeated at once are repeated until the attempts are used up
my @at_once = ('/status/503?0', '/status/503?Thu,%2001%20Jan%202015%2000:00:00%20GMT');
my %job = map { $_ => $enqueue->(qq({"path": "$_"})) } sort(keys %expected), @at_once;
my %wrong = map { $_ => $enqueue->($_) } '{}', '[]', '7', '{"path": 1}', '{"path": "status"}', '{"path": "/a b"}', '{"path": "@evil.example/"}', '{"path": "/x\\r\\nHost: y"}',
	'{"path": "/", "method": "TRACE"}', '{"path": "/", "method": []}';
my $post = $enqueue->('{"path": "/status/201", "method": "POST", "body": {"a": [1]}}');
my $flaky = $enqueue->('{"path": "/flaky"}');

my $worker = $start->('api-1');
wait_until($node, q(SELECT count(*) = 0 FROM taskq.all_jobs WHERE task_type = 'http_request' AND state IN ('available', 'running')), 'all jobs were run');
for my $path (sort keys %expected)
{
	is(sql($node, "SELECT concat_ws(' ', state, a.error_type, a.error_code, CASE WHEN j.finished_at IS NULL THEN CASE WHEN delay > 500000 THEN 'policy' ELSE delay::text END END)
		FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id), LATERAL (SELECT round(extract(epoch FROM j.run_at - a.finished_at)) AS delay) d WHERE job_id = $job{$path}"),
		$expected{$path}, $path);
}
is(sql($node, "SELECT string_agg(DISTINCT j.state || ' ' || a.error_type, ','), count(*) FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = $job{$_}"),
	'discarded retryable_error|3', $_) for @at_once;
is(sql($node, "SELECT state, attempt, error_type, error_code FROM taskq.all_jobs JOIN taskq.attempts USING (job_id, attempt) WHERE job_id = $wrong{$_}"),
	'discarded|1|validation_error|BAD_REQUEST', "payload $_") for sort keys %wrong;
is(sql($node, "SELECT result FROM taskq.all_jobs WHERE job_id = $post"), '{"body": "hello ' . "\xef\xbf\xbd" . '", "status": 201}', 'the result is the answer of the service');
like($seen->(), qr/^POST \/status\/201 taskq-$post \{"a": \[1\]\}$/m, 'the service got the request of the payload');
is(sql($node, "SELECT state, attempt, result->>'status' FROM taskq.all_jobs WHERE job_id = $flaky"), 'completed|2|200', 'a request that fails once is repeated');
is(scalar(() = $seen->() =~ /^GET \/flaky taskq-$flaky $/mg), 2, 'the repeated request has the same key');
my $redirected = $job{'/status/302'};
unlike($seen->(), qr{^GET /status/200 taskq-$redirected }m, 'no redirect is followed');

# the end -------------------------------------------------------------------

# a long call: heartbeats extend its lease, and TERM gives the job back
$end->($worker, 'a worker without a job ends on TERM');
is(sql($node, q(SELECT count(*) FROM taskq.workers WHERE worker_id = 'api-1')), 0, 'it has unregistered itself');
my $hang = $enqueue->('{"path": "/hang"}');
$worker = $start->('api-2', API_LEASE => 2);
$until->(sub { $seen->() =~ m{^GET /hang taskq-$hang }m }, 'a worker makes a call that lasts long');
wait_until($node, "SELECT state = 'running' AND lease_expires_at > started_at + interval '2.5 s' FROM taskq.all_jobs WHERE job_id = $hang", 'the worker extends the lease of the job');
$end->($worker, 'a worker with a job ends on TERM');
is(sql($node, "SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $hang"), 'available|0', 'the job is released, and the attempt does not count');

# a job whose claim is lost in the meantime
$worker = $start->('api-3');
$until->(sub { (() = $seen->() =~ m{^GET /hang taskq-$hang }mg) == 2 }, 'another worker takes the released job');
is(sql($node, "SELECT taskq.release_job(job_id, epoch), taskq.discard_job(job_id) FROM taskq.all_jobs WHERE job_id = $hang"), 't|t', 'the job is taken away from that worker');
my $next = $enqueue->('{"path": "/status/200"}');
append_to_file("$dir/answer", '');
wait_until($node, "SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $next", 'the worker continues with the next job');
like(slurp_file("$dir/api-3.log"), qr/^job $hang was lost: /, 'the worker logs that it lost the job');
$end->($worker, 'the worker that lost a job ends on TERM');

# a service that does not answer
$service->kill_kill;
my $lonely = $enqueue->('{"path": "/status/200"}');
$worker = $start->('api-4');
wait_until($node, "SELECT state = 'retryable' AND error_code = 'NO_ANSWER' AND error_type = 'retryable_error' FROM taskq.all_jobs JOIN taskq.attempts USING (job_id) WHERE job_id = $lonely",
	'a job is retried if the service does not answer');
$end->($worker, 'the worker has survived that and ends on TERM');

# the rule for other languages
is(sql($node, q(SELECT string_agg(s::text, ',' ORDER BY s) FROM generate_series(100, 599) s WHERE taskq.error_type_of_http_status(s) = 'retryable_error' AND s < 500)), '408,425,429', 'of 4xx these are retryable');
is(sql($node, q(SELECT t, min(s), max(s), count(*) FROM generate_series(100, 599) s, taskq.error_type_of_http_status(s) t GROUP BY t ORDER BY t)),
	"permanent_error|300|499|197\nretryable_error|408|599|103\n|100|299|200", 'all other classes of status are permanent, or no errors');
is(sql($node, 'SELECT taskq.error_type_of_http_status(NULL)'), 'retryable_error', 'no answer is retryable');
fails_with($node, '22023', "SELECT taskq.error_type_of_http_status($_)", "status $_") for -1, 99, 600;

$node->stop;
clean_log($node);
done_testing();
