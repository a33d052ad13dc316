# kill -9 of backends, and of the server, in the middle of a write load: after
# recovery the laws hold, and what was acknowledged is there with its history.
# FFS_LONG=1 makes it 100 crashes in place of 20.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $crashes = $ENV{FFS_LONG} ? 100 : 20;
my $rows = 200;
# A row lock is all that clients wait for: no deadlocks; crash after crash, backends start anew.
my $node = ffs_node('crash', conf => "restart_after_crash = on\nsynchronous_commit = on\nmax_wal_size = 64MB\ncheckpoint_timeout = 30s\n");
ffs_tables($node, $rows);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE ledger (id integer PRIMARY KEY, n integer NOT NULL);
SELECT ffs_manage('ledger', strategy => 'scd2');
INSERT INTO ledger VALUES (1, 0);
SQL

my $script = $node->basedir . '/load.sql';
ffs_load_script($rows, $script);
my $counting = $node->basedir . '/count.sql';
append_to_file($counting, "UPDATE ledger SET n = n + 1 WHERE id = 1 RETURNING n;\n" x 20000);

my $broken = '';
my $acknowledged_lost = 0;
my $recovered = 0;
my $last_count = 0;

foreach my $round (1 .. $crashes)
{
	my ($load_out, $count_out) = ('', '');
	# Both end by themselves, with an error, when the server goes.
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '3', '-j', '1', '-T', '60', '-f', $script, $node->connstr('postgres') ],
		'>&', \$load_out);
	my $count = IPC::Run::start(
		[ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres'), '-f', $counting ],
		'>', \$count_out, '2>', '/dev/null');
	usleep(200_000 + int(rand(600_000)));

	# Every fourth time the whole server, else one backend, which takes the others with it.
	if ($round % 4 == 0)
	{
		my $pid = pid_of_postmaster($node);
		$node->kill9;
		wait_gone($node, $pid);
		finish($load, $count);
		start_again($node);
	}
	else
	{
		my $victims = $node->safe_psql('postgres',
			q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state = 'active' ORDER BY random() LIMIT 1});
		$victims ||= $node->safe_psql('postgres',
			q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1});
		kill 9, $victims if $victims;
		finish($load, $count);
		$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	}
	$recovered++;

	my ($seen) = reverse grep { /^[0-9]+$/ } split /\n/, $count_out;
	my ($now, $versions) = split /\|/,
	  $node->safe_psql('postgres', 'SELECT n, (SELECT count(*) FROM ledger_history h WHERE h.id = l.id) FROM ledger l WHERE id = 1');
	# The first version is the insert's: n updates leave n closed versions.
	$acknowledged_lost++ if $now < ($seen // $last_count) || $versions != $now;
	$last_count = $now;

	my $laws = ffs_laws($node);
	$broken .= "crash $round: $laws\n" if $laws ne '';
	last if $broken ne '';
}

is($recovered, $crashes, "$crashes crashes were recovered from");
is($broken, '', 'the laws hold after each of them');
is($acknowledged_lost, 0, 'each acknowledged write is there, with its history');
cmp_ok($last_count, '>', $crashes, "and there were enough of them ($last_count)");
is( $node->safe_psql('postgres', 'SELECT count(*), max(version) = max(n) + 1 FROM ledger'), '1|t', 'versions and updates agree');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM versioned_history'), '>', 20, 'the load had history written');
is($node->safe_psql('postgres', 'UPDATE versioned SET amount = 1 WHERE id = 1 RETURNING id'), '1', 'writes go on');
ffs_laws_ok($node, 'laws at the end');
$node->stop;
done_testing();

sub finish
{
	foreach my $run (@_)
	{
		eval { $run->finish; };
		$run->kill_kill if $@;
	}
	return;
}

sub pid_of_postmaster
{
	my ($server) = @_;
	my ($pid) = split /\n/, slurp_file($server->data_dir . '/postmaster.pid');
	return $pid;
}

# The backends notice that their postmaster is gone; until then no new one can start.
sub wait_gone
{
	my ($server, $pid) = @_;
	foreach (1 .. 600)
	{
		return if !kill(0, $pid);
		usleep(50_000);
	}
	return;
}

sub start_again
{
	my ($server) = @_;
	foreach (1 .. 60)
	{
		return if $server->start(fail_ok => 1);
		usleep(500_000);
	}
	die 'the server does not start again';
}
