# The example of a batch handler, with workers and servers that are killed in the
# middle of a batch. Every item is processed exactly once, and the totals show it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('batch');
my $examples = "$FindBin::RealBin/../../examples/batch";

# Run a file of the example as its owner; returns what it prints.
my $example = sub {
	my ($file) = @_;
	return sql_as($node, 'postgres', 'app', slurp_file("$examples/$file.sql"));
};
sql($node, 'GRANT CREATE ON DATABASE postgres TO app');
$example->('schema');
$example->('handler');

# A row that another transaction has locked stops the job in the middle of a batch.
my $stop_at = sub {
	my ($id) = @_;
	my $s = session($node);
	$s->query_safe("BEGIN; SELECT FROM batch.reading WHERE reading_id = $id FOR UPDATE");
	return $s;
};
my $waits = q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND wait_event_type = 'Lock');
my $kept = sub {
	return sql($node, q(SELECT checkpoint->'last_cursor', checkpoint->'items_processed', checkpoint->'items_succeeded', checkpoint->'items_failed', progress
		FROM taskq.all_jobs WHERE task_type = 'convert_readings'));
};
my $converted = sub { sql($node, 'SELECT count(*) FROM batch.reading WHERE celsius IS NOT NULL OR problem IS NOT NULL') };

my $enable = sub {
	my ($value) = @_;
	$node->append_conf('postgresql.conf', "taskq.enabled = $value");
	$node->reload;
};

my $block = $stop_at->(2010);
my $job = $example->('enqueue');
for my $how ('worker', 'immediate', 'terminate', 'fast')
{
	my $done = { worker => 2000, immediate => 4000, terminate => 6000, fast => 8000 }->{$how};
	wait_until($node, $waits, "$how: the job is in the middle of a batch");
	my $good = $done - $done / 100;
	is($kept->(), join('|', $done, $done, $good, $done / 100, $done), "$how: its checkpoint is that of the batch before");
	is($converted->(), $done, "$how: and so is what others see of its work");

	# no job starts again before the next row is locked
	my $pid = (pids_of($node, 'worker'))[0];
	$enable->('off');
	if ($how eq 'worker')
	{
		crash($node, $pid);
	}
	elsif ($how eq 'terminate')
	{
		sql($node, "SELECT pg_terminate_backend($pid)");
		poll($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	eval { $block->quit };
	$block = $stop_at->($done + 2010) if $done < 8000;
	$enable->('on');
}

settled($node, 'the job ends');
is(sql($node, "SELECT state, priority FROM taskq.all_jobs WHERE job_id = $job"), 'completed|0', 'the job is completed');
is(sql($node, "SELECT r.* FROM taskq.all_jobs, jsonb_to_record(result) AS r(batch_size integer, start_cursor bigint, end_cursor bigint, last_cursor bigint,
		items_processed integer, items_succeeded integer, items_failed integer) WHERE job_id = $job"),
	'20|0|10000|10000|10000|9900|100', 'every field of the result has the expected total');
is(sql($node, "SELECT result = checkpoint, (SELECT count(*) FROM jsonb_object_keys(result)) FROM taskq.all_jobs WHERE job_id = $job"), 't|7', 'the result has no other field');
is(sql($node, 'SELECT count(*) FILTER (WHERE times_converted = 1), count(*) FILTER (WHERE times_converted > 1), count(*) FILTER (WHERE times_converted = 0), count(problem),
		count(*) FILTER (WHERE times_converted = 1 AND problem IS NULL AND celsius = round((fahrenheit::numeric - 32) * 5 / 9, 1)) FROM batch.reading'),
	'9900|0|100|100|9900', 'every item was processed exactly once');
like(sql($node, "SELECT string_agg(outcome, ',' ORDER BY epoch) FROM taskq.attempts WHERE job_id = $job"), qr/^(\w+,)?terminated,(\w+,)?completed$/,
	'only the interrupted runs and the last one count as attempts');
like($example->('show'), qr/^$job\|completed\|.*9900\|100\|0\|0$/s, 'show.sql shows the job');

# a part of the table, in batches of the default size; and an error
my $part = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('convert_readings', '{"start_cursor": 9900, "end_cursor": 9999}')));
my $wrong = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('convert_readings', '{"batch_size": 0}')));
settled($node, 'a job for a part of the table, and one with a wrong batch size, end');
is(sql($node, "SELECT state, result->'batch_size', result->'last_cursor', result->'items_processed' FROM taskq.all_jobs WHERE job_id = $part"), 'completed|50|9999|99', 'the job for a part has processed that part');
is(sql($node, "SELECT state, error_code FROM taskq.all_jobs JOIN taskq.attempts USING (job_id) WHERE job_id = $wrong"), 'discarded|BATCH_SIZE', 'the job with a wrong batch size is discarded');
is(sql($node, 'SELECT sum(times_converted) FROM batch.reading'), 9900 + 99, 'no other row was changed');

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
