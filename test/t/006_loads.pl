# Many rows through batches: the memory of the backend stays flat, whatever the
# number of calls, in one transaction or many, and that of one call depends on its
# input and batch_size alone; and every call can be cancelled at any time.
# FFS_LOAD_ROWS says how many rows, FFS_LOAD_CANCELS how often each is cancelled.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $rows = $ENV{FFS_LOAD_ROWS} // 200_000;
my $cancels = $ENV{FFS_LOAD_CANCELS} // 1;
my $long = $rows > 200_000;
my $seed = $ENV{FFS_SEED} // int(rand(100_000));
srand($seed);
note("FFS_SEED=$seed");

my $node = ffs_node('loads', conf => "autovacuum = off\nfsync = off\nsynchronous_commit = off\nshared_buffers = 256MB\nmax_wal_size = 8GB\nwork_mem = 4MB\nlogging_collector = off\n");
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION ffstorage;
CREATE FUNCTION key_of(i bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$ SELECT md5(i::text)::uuid $$;
CREATE TABLE versioned (id uuid PRIMARY KEY, tenant_id integer NOT NULL, n integer, name text NOT NULL, note text, value numeric, at timestamptz);
CREATE TABLE audited (LIKE versioned INCLUDING ALL);
SELECT ffs_manage('versioned', 'scd2', 'tenant_id'), ffs_manage('audited', 'copy_on_change', soft_delete => true);
CREATE FUNCTION input(first bigint, last bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(jsonb_build_object('id', key_of(i), 'tenant_id', 7, 'n', i % 1000000, 'name', 'name ' || i, 'note', repeat(md5(i::text), 4), 'value', i, 'at', '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 second'))
	FROM generate_series(first, last) i
$$;
SQL

# ---- many calls ----

# Calls of $call rows up to $total in all; memory after each tenth of them.
sub many_calls
{
	my ($name, $total, $call, $each, $before, $after) = @_;
	my $session = ffs_session($node);
	my $said = $session->query($before);
	my $calls = int($total / $call);
	my $sample = max(1, int($calls / 20));
	my @memory;
	my $peak = 0;
	my ($cpu, $start) = ($session->cpu, time);
	foreach my $i (1 .. $calls)
	{
		my ($from, $to) = (($i - 1) * $call + 1, $i * $call);
		$said = $session->query($each->($from, $to), sub { $peak = max($peak, $_[0]->memory); });
		last if $said =~ /ERROR|FATAL|lost/;
		push @memory, $session->memory if $i % $sample == 0;
	}
	is($said =~ /((?:ERROR|FATAL).*)/ ? $1 : '', '', "$name: no error");
	$session->query($after);
	my $contexts = $session->query("SELECT round(sum(total_bytes) / 1048576.0, 1) FROM pg_backend_memory_contexts");
	my @first = @memory[ 0 .. min(4, $#memory) ];
	note(sprintf 'figure: %s: %d rows in calls of %d: %.0f s, %.0f s of CPU; MB of the backend after each 20th of the calls: %s; highest at any time %.0f; contexts in the end %s',
		$name, $total, $call, time - $start, $session->cpu - $cpu, join(' ', map { sprintf '%.1f', $_ } @memory), $peak, $contexts);
	# freed memory may stay with the allocator: a little is allowed, growth is not
	cmp_ok(max(@memory), '<', max(@first) + 8, "$name: memory stays flat");
	$session->close;
	return;
}

my $call = $long ? 10_000 : 2_500;
my $create = sub {
	my ($from, $to) = @_;
	return "BEGIN; SELECT ffs_set_tenant('7'); SELECT count(*) FROM ffs_create_many('versioned', input($from, $to)); COMMIT";
};
many_calls('many transactions', $rows, $call, $create, 'SELECT 1', 'SELECT 1');
is($node->safe_psql('postgres', 'SELECT count(*) FROM versioned'), $rows, 'all rows are there');

my $part = $long ? min($rows, 2_000_000) : 50_000;
many_calls('many calls in one transaction', $part, $call,
	sub { my ($from, $to) = map { $_ + $rows } @_; return "SELECT count(*) FROM ffs_create_many('versioned', input($from, $to), on_error => 'report')" },
	"BEGIN; SELECT ffs_set_tenant('7')", 'ROLLBACK');
many_calls('upserts of what is there in one transaction', min($part, 500_000), $call,
	sub { my ($from, $to) = @_; return "SELECT count(*) FROM ffs_create_many('versioned', (SELECT jsonb_agg(e || '{\"name\": \"other\"}') FROM jsonb_array_elements(input($from, $to)) e), on_conflict => 'update')" },
	"BEGIN; SELECT ffs_set_tenant('7')", 'ROLLBACK');
many_calls('audited, soft deletes', min($part, 500_000), $call,
	sub {
		my ($from, $to) = @_;
		return "SELECT count(*) FROM ffs_create_many('audited', input($from, $to)); SELECT count(*) FROM ffs_update_many('audited', (SELECT jsonb_agg(jsonb_build_object('id', key_of(i), 'name', i)) FROM generate_series($from, $to) i));
			SELECT count(*) FROM ffs_delete_many('audited', (SELECT jsonb_agg(key_of(i)) FROM generate_series($from, $to) i)); SELECT count(*) FROM ffs_restore_many('audited', (SELECT jsonb_agg(key_of(i)) FROM generate_series($from, $to) i))";
	}, 'SELECT 1', 'SELECT 1');
is($node->safe_psql('postgres', q{SELECT count(*) - count(*) FILTER (WHERE name = n::text) FROM audited}), '0', 'what was deleted is back');

# ---- one call ----

my $wide = $long ? 100_000_000 : 20_000_000;
# Long enough for a cancel, and no more than a jsonb holds (256 MB).
my $big = $long ? min($rows, 800_000) : 50_000;
$node->safe_psql('postgres', "CREATE TABLE inputs (name text, r jsonb); ALTER TABLE inputs ALTER r SET STORAGE EXTERNAL;
	INSERT INTO inputs SELECT 'good', input(100000001, 100000000 + $big);
	INSERT INTO inputs SELECT 'bad', jsonb_agg(CASE WHEN o % 100 = 37 THEN e || '{\"value\": \"x\"}' WHEN o % 100 = 73 THEN e - 'name' ELSE e END ORDER BY o) FROM inputs, jsonb_array_elements(r) WITH ORDINALITY t(e, o);
	INSERT INTO inputs SELECT 'same', jsonb_agg(jsonb_build_object('id', key_of(o % 1000), 'tenant_id', 7, 'name', o)) FROM generate_series(1, $big) o;
	INSERT INTO inputs SELECT 'all bad', jsonb_agg(e - 'name') FROM inputs, jsonb_array_elements(r) e WHERE inputs.name = 'good';
	INSERT INTO inputs SELECT 'there', jsonb_agg(e || '{\"note\": \"changed\"}') FROM jsonb_array_elements(input(1, $big)) e;
	INSERT INTO inputs SELECT 'keys', jsonb_agg(jsonb_build_object('id', key_of(i))) FROM generate_series(1, $big) i;
	INSERT INTO inputs VALUES ('wide', jsonb_build_array(jsonb_build_object('id', key_of(-1), 'tenant_id', 7, 'name', repeat('x', $wide))));
	INSERT INTO inputs SELECT 'nested', jsonb_build_array(jsonb_build_object('id', key_of(-1), 'tenant_id', 7, 'name', input(1, $big / 2)));
	VACUUM ANALYZE inputs");

# The input's own copy, and what a call needs besides: batches and sorts.
sub one_call
{
	my ($name, $input, $call, $beside) = @_;
	my $session = ffs_session($node);
	$session->query("BEGIN; SELECT ffs_set_tenant('7')");
	$session->query("SELECT count(*) FROM ffs_create_many('versioned', input(300000001, 300002000), on_error => 'report')");
	my $before = $session->memory;
	my $size = $session->query("SELECT round(pg_column_size(r) / 1048576.0, 1) FROM inputs WHERE name = '$input'");
	my $peak = 0;
	my ($cpu, $start) = ($session->cpu, time);
	my $said = $session->query("SELECT count(*) FROM inputs, LATERAL $call WHERE inputs.name = '$input'", sub { $peak = max($peak, $_[0]->memory); });
	like($said, qr/^\d+$/, "$name: it ends well");
	note(sprintf 'figure: %s: %s lines, input %s MB: %.1f s, %.1f s of CPU, MB of the backend before %.0f, at most %.0f', $name, $said, $size, time - $start, $session->cpu - $cpu, $before, $peak);
	cmp_ok($peak, '<', $before + 2 * $size + $beside, "$name: memory is bounded");
	$session->query('ROLLBACK');
	$session->close;
	return;
}

my $report = "on_error => 'report'";
one_call("one call of $big rows", 'good', "ffs_create_many('versioned', r)", 40);
one_call("one call of $big rows, 1 in 50 bad", 'bad', "ffs_create_many('versioned', r, $report)", 40);
one_call("one call of $big rows with the same keys", 'same', "ffs_create_many('versioned', r, $report)", 40);
one_call("one call of $big upserts", 'there', "ffs_create_many('versioned', r, on_conflict => 'update')", 40);

# ---- cancels ----

my @calls = (
	[ 'rows', 'good', "ffs_create_many('versioned', r)" ],
	[ 'rows, one batch', 'good', "ffs_create_many('versioned', r, $report, batch_size => 10000000)" ],
	[ 'bad rows', 'bad', "ffs_create_many('versioned', r, $report)" ],
	[ 'bad rows in batches of 20,000', 'bad', "ffs_create_many('versioned', r, $report, batch_size => 20000)" ],
	[ 'bad rows only', 'all bad', "ffs_create_many('versioned', r, $report, batch_size => 5000)" ],
	[ 'the same keys', 'same', "ffs_create_many('versioned', r, $report, batch_size => 10000000)" ],
	[ 'upserts', 'there', "ffs_create_many('versioned', r, on_conflict => 'update')" ],
	[ 'a wide row', 'wide', "ffs_create_many('versioned', r)" ],
	[ 'a nested value', 'nested', "ffs_create_many('versioned', r)" ],
	[ 'records', 'good', "ffs_create_records((SELECT array_agg(x) FROM jsonb_populate_recordset(NULL::versioned, r) x), $report)" ],
	[ 'updates', 'there', "ffs_update_many('versioned', r, $report)" ],
	[ 'deletes', 'keys', "ffs_delete_many('versioned', r, $report)" ],
	[ 'deletes kept', 'keys', "ffs_delete_many('audited', r)" ],
	[ 'keys', 'keys', "ffs_get_many(NULL::versioned, ARRAY(SELECT e FROM jsonb_array_elements(r) e)) g" ],
);
my $digest = q{SELECT (SELECT count(*) FROM versioned), (SELECT count(*) FROM versioned_history), (SELECT count(*) FROM audited), (SELECT count(*) FROM audited_audit), (SELECT count(*) FROM audited_deleted)};
my $session = ffs_session($node);
my $state = $session->query($digest);
my ($cancelled, $slowest, $slowest_name) = (0, 0, '');
foreach my $one (@calls)
{
	my ($name, $input, $function) = @$one;
	my $longest = 0;
	# how long it takes when it is let be, at most a while
	my $statement = "BEGIN; SELECT ffs_set_tenant('7'); SELECT count(*) FROM inputs, LATERAL $function WHERE inputs.name = '$input'; ROLLBACK";
	my $start = time;
	$session->query("SET statement_timeout = '20s'; $statement; SET statement_timeout = 0");
	my $length = time - $start;
	my $errors = '';
	foreach (1 .. $cancels)
	{
		# one half by statement_timeout, one half as pg_cancel_backend does it
		my $at = 0.001 + rand($length);
		my ($sent, $used, $timer) = (0, 0, rand() < 0.5);
		$start = time;
		$session->query(sprintf 'SET statement_timeout = %d', $timer ? 1 + 1000 * $at : 0);
		my $said = $session->query($statement, sub {
				return if $sent || time < $start + $at;
				($sent, $used) = (time, $_[0]->cpu);
				kill 'INT', $_[0]{pid} unless $timer;
			});
		if ($said =~ /ERROR:\s+(\w+)/)
		{
			# other work on the machine is not ours to answer for: CPU counts, too
			my $late = min(time - $sent, $session->cpu - $used + 0.02);
			$cancelled++;
			$longest = max($longest, $late);
			$errors .= $said if $1 ne '57014' && $1 ne '25P02' || $said =~ /FATAL|PANIC/;
		}
		else { $errors .= $said if $said =~ /FATAL|PANIC|lost/; }
	}
	$session->query('SET statement_timeout = 0; ROLLBACK');
	is($errors, '', "$name, cancelled: no other error");
	cmp_ok($longest, '<', 1, "$name, cancelled: it ends within a second");
	note(sprintf 'figure: %s: takes %.1f s, ended %.3f s after a cancel at most', $name, $length, $longest);
}
cmp_ok($cancelled, '>', 0, "$cancelled cancels came in time");
is($session->query($digest), $state, 'nothing of what was cancelled is there');
$session->close;

my $log = slurp_file($node->logfile);
is($log =~ /(.*(?:was terminated by signal|TRAP:|PANIC|XX000).*)/ ? $1 : '', '', 'no crash');
$node->stop;
done_testing();
