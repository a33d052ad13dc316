# Figures against a ledger that the clients keep: a mixed load with errors,
# savepoints, prepared transactions, cancels and killed backends.  What a
# client cannot know of a commit, pg_xact_status() says.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);

my $clients = 4;
my $transactions = $ENV{FFS_LONG} ? 1500 : 400;

my $node = ffs_node('ledger', conf => "fsync = off\nautovacuum = off\ndeadlock_timeout = 50ms\nffstorage.max_tenants = 10\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION ffstorage;
CREATE TABLE busy (id bigint PRIMARY KEY, tenant_id text NOT NULL, n integer CHECK (n >= 0));
SELECT ffs_manage('busy', strategy => 'scd2', tenant_column => 'tenant_id');
INSERT INTO busy SELECT g, 't0', 1 FROM generate_series(1, 10) g;
INSERT INTO busy SELECT g, 't1', 1 FROM generate_series(11, 20) g;
SELECT ffs_stats_reset();
});

# ---- a client ----

$SIG{PIPE} = 'IGNORE';

my ($session, %ledger, %pending, $before_lost);

sub lost { return $_[0] =~ /FATAL|server closed|connection to server was lost|no connection/; }

sub open_session
{
	$session = ffs_session($node);
	$session->query("SET application_name = 'client'");
	return;
}

# A statement that gives a number; its SQLSTATE, 'lost', or ''.
sub run
{
	my ($sql) = @_;
	my $said = $session->query($sql);
	# it may have failed by itself just before its backend was killed
	($before_lost) = $said =~ /ERROR:\s+([0-9A-Z]{5})/;
	return 'lost' if lost($said);
	return $before_lost if defined $before_lost;
	return $said =~ /^(\d+)$/ ? "=$1" : '';
}

sub settle
{
	my ($kept) = @_;
	if ($kept) { $ledger{$_} += $pending{$_} foreach keys %pending; }
	%pending = ();
	return;
}

# What became of a transaction whose connection was lost?
sub ask
{
	my ($xid, $gid) = @_;
	open_session();
	if (defined $gid && run("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'") eq '=1')
	{
		run("ROLLBACK PREPARED '$gid'");
		return 0;
	}
	foreach (1 .. 600)
	{
		my $status = $session->query("SELECT pg_xact_status('$xid')");
		return $status eq 'committed' if $status ne 'in progress' && !lost($status);
		open_session() if lost($status);
		sleep 0.05;
	}
	die "transaction $xid does not end";
}

sub client
{
	my ($me) = @_;
	my $tenant = $me % 2;
	my $next = 1000 * 1000 * ($me + 1);
	my @mine;

	open_session();
	foreach my $number (1 .. $transactions)
	{
		my $gid = "client $me $number";
		my ($xid, $end, %before);

		%pending = ();
		open_session() if run('BEGIN') eq 'lost';
		if ((run("SELECT 1 FROM ffs_set_tenant('t$tenant')") ne '=1') || (($xid = run('SELECT pg_current_xact_id()')) !~ s/^=//))
		{
			open_session() if run('ROLLBACK') eq 'lost';
			next;
		}
		foreach my $step (1 .. 1 + int rand 4)
		{
			my $savepoint = rand() < 0.3;
			my $what = int rand 7;
			my $row = 1 + $tenant * 10 + int rand 10;
			my ($op, $sql, $n);

			last if $end;
			if ($savepoint)
			{
				%before = %pending;
				my $said = run('SAVEPOINT a');
				if ($said ne '') { $end = $said; last; }
			}
			if ($what == 0)
			{
				my $to = $next + int rand 5;
				($op, $sql) = ('insert', "WITH x AS (INSERT INTO busy SELECT g, 't$tenant', 1 FROM generate_series($next, $to) g RETURNING 1) SELECT count(*) FROM x");
				push @mine, $next;
				$next = $to + 1;
			}
			elsif ($what == 1) { ($op, $sql) = ('insert', "WITH x AS (INSERT INTO busy VALUES ($row, 't$tenant', 1) RETURNING 1) SELECT count(*) FROM x"); }
			elsif ($what == 2) { ($op, $sql) = ('update', "WITH x AS (UPDATE busy SET n = n + 1 WHERE id IN ($row, $row % 10 + 1 + 10 * $tenant) RETURNING 1) SELECT count(*) FROM x"); }
			elsif ($what == 3) { ($op, $sql) = ('update', "WITH x AS (UPDATE busy SET n = " . (rand() < 0.3 ? -1 : 5) . " WHERE id = $row RETURNING 1) SELECT count(*) FROM x"); }
			elsif ($what == 4) { ($op, $sql) = ('delete', 'WITH x AS (DELETE FROM busy WHERE id = ' . (@mine ? shift @mine : 0) . ' RETURNING 1) SELECT count(*) FROM x'); }
			elsif ($what == 5) { ($op, $sql) = ('ffs_create', "SELECT count(*) FROM ffs_create('busy', '{\"id\": " . $next++ . ", \"n\": 1}')"); }
			else { ($op, $sql) = ('ffs_get', "SELECT count(*) FROM ffs_get(NULL::busy, $row)"); }

			my $said = run($sql);
			if ($said =~ /^=(\d+)/)
			{
				$n = $1;
				$pending{"$op calls"}++;
				$pending{"$op rows"} += $n;
				if ($op eq 'ffs_create') { $pending{'insert calls'}++; $pending{'insert rows'} += $n; }
				$pending{"t$tenant calls"}++;
				$pending{"t$tenant rows"} += $n;
				$pending{"t$tenant writes"} += $n if $op ne 'ffs_get';
				if ($savepoint && rand() < 0.5)
				{
					my $back = run('ROLLBACK TO a');
					if ($back ne '') { $end = $back; last; }
					%pending = %before;
				}
				next;
			}
			# an error counts whatever becomes of the rest
			$ledger{'error ' . ($before_lost // $said)}++;
			if ($said eq 'lost' || !$savepoint) { $end = $said; last; }
			my $back = run('ROLLBACK TO a');
			if ($back ne '') { $end = $back; last; }
			%pending = %before;
		}

		if (defined $end)
		{
			settle(0);
			open_session() if $end eq 'lost' || run('ROLLBACK') eq 'lost';
			next;
		}
		my $how = rand();
		if ($how < 0.15)
		{
			settle(0);
			open_session() if run('ROLLBACK') eq 'lost';
			next;
		}
		if ($how < 0.35)
		{
			my $said = run("PREPARE TRANSACTION '$gid'");
			if ($said eq 'lost') { settle(ask($xid, $gid)); next; }
			if ($said ne '') { settle(0); run('ROLLBACK'); next; }
			my $commit = rand() < 0.6;
			do { $said = run(($commit ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'"); } while ($said eq '57014');
			if ($said eq 'lost') { settle(ask($xid, $gid)); next; }
			die "$gid: $said" if $said ne '';
			settle($commit);
			next;
		}
		my $said = run('COMMIT');
		settle($said eq 'lost' ? ask($xid) : $said eq '');
	}
	return;
}

my @files = map { $node->basedir . "/ledger_$_" } 0 .. $clients - 1;
my @pids;
foreach my $me (0 .. $clients - 1)
{
	my $pid = fork;
	if ($pid == 0)
	{
		srand($$ + time);
		eval { client($me); 1 } or $ledger{broken} = $@ =~ s/\s+/ /gr;
		open my $out, '>', $files[$me] or POSIX::_exit(1);
		print $out "$_\t$ledger{$_}\n" foreach sort keys %ledger;
		close $out;
		POSIX::_exit(0);
	}
	push @pids, $pid;
}

# ---- chaos, until they are done ----

my $chaos = ffs_session($node);
my ($cancelled, $killed) = (0, 0);
my %running = map { $_ => 1 } @pids;
while (%running)
{
	foreach my $pid (keys %running) { delete $running{$pid} if waitpid($pid, 1) == $pid; }
	my $kill = rand() < 0.4;
	my $n = $chaos->query('SELECT count(' . ($kill ? 'pg_terminate_backend' : 'pg_cancel_backend') .
		"(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = 'client' AND (state = 'active' OR random() < 0.2) ORDER BY random() LIMIT 1) x");
	$kill ? $killed += $n : ($cancelled += $n);
	sleep 0.01 + rand 0.05;
}
note "$cancelled cancelled, $killed killed";
cmp_ok($cancelled, '>', 0, 'some were cancelled');
cmp_ok($killed, '>', 0, 'some were killed');

# ---- the sum of what they know ----

my %sum;
foreach my $file (@files)
{
	foreach my $line (split /\n/, slurp_file($file))
	{
		my ($key, $value) = split /\t/, $line;
		die "a client: $value" if $key eq 'broken';
		$sum{$key} += $value;
	}
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), 0, 'nothing is left prepared');

my %counted = map { split /\t/ } split /\n/, $node->safe_psql('postgres', q{
SELECT concat_ws(E'\t', operation || ' ' || k, v) FROM ffs_stat_operations, LATERAL (VALUES ('calls', calls), ('rows', rows)) x(k, v)
UNION ALL SELECT concat_ws(E'\t', tenant || ' ' || k, v) FROM ffs_stat_tenants, LATERAL (VALUES ('calls', calls), ('rows', rows), ('writes', writes)) x(k, v)
UNION ALL SELECT concat_ws(E'\t', 'error ' || sqlstate, calls) FROM ffs_stat_errors});

foreach my $op (qw(insert update delete ffs_create ffs_get))
{
	is($counted{"$op $_"} // 0, $sum{"$op $_"} // 0, "$op: $_") foreach qw(calls rows);
}
foreach my $tenant (qw(t0 t1))
{
	is($counted{"$tenant $_"} // 0, $sum{"$tenant $_"} // 0, "tenant $tenant: $_") foreach qw(calls rows writes);
}
# ffs_create's duplicate is an error of both operations, but ids are new there
foreach my $state (sort grep { /^error/ } keys %sum)
{
	if ($state eq 'error lost' || $state eq 'error 57014')
	{
		# whether it had begun when it was hit, its client cannot know; ffs_create has an INSERT inside
		my $name = $state eq 'error lost' ? 'error 57P01' : $state;
		cmp_ok($counted{$name} // 0, '<=', 2 * $sum{$state}, "$name: no more than were hit");
		next;
	}
	is($counted{$state} // 0, $sum{$state}, $state);
}
is_deeply([ sort grep { /^error/ && !/57P01|57014/ && !$sum{$_} } keys %counted ], [], 'no error that no client has seen');
is($node->safe_psql('postgres', 'SELECT sum(calls) FROM ffs_stat_errors'),
	$node->safe_psql('postgres', 'SELECT sum(errors) FROM ffs_stat_operations'), 'errors add up');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ffs_stat_operations WHERE (calls, rows, errors) IS DISTINCT FROM (calls_5m, rows_5m, errors_5m)'),
	0, 'the window has all of it') if !$ENV{FFS_LONG};
is($node->safe_psql('postgres', "SELECT count(*) FROM ffs_health WHERE check_name = 'counters' AND details LIKE '%prepared%'"), 0, 'nothing was lost with prepared transactions');

# ---- more tenants than there is room for ----

my $sum = "SELECT concat_ws(' ', sum(calls), sum(rows), sum(writes)) FROM ffs_stat_tenants";
my ($calls, $rows, $writes) = split / /, $node->safe_psql('postgres', $sum);
$node->safe_psql('postgres', q{
DO $$
BEGIN
    FOR i IN 1 .. 60 LOOP
        PERFORM ffs_set_tenant('new ' || i);
        INSERT INTO busy VALUES (100 + i, 'new ' || i, 1);
        COMMIT;
    END LOOP;
END $$});
is($node->safe_psql('postgres', $sum), join(' ', $calls + 60, $rows + 60, $writes + 60), 'the sum over tenants stays true');
is($node->safe_psql('postgres', "SELECT count(*) || ' ' || count(*) FILTER (WHERE kind = 'others') FROM ffs_stat_tenants"), '10 1', 'those that are little used are counted together');

# ---- restarts ----

$node->safe_psql('postgres', "BEGIN; SELECT ffs_set_tenant('t0'); UPDATE busy SET n = 9 WHERE id = 1; PREPARE TRANSACTION 'over a restart'");
my $all = "SELECT string_agg(o::text, E'\\n' ORDER BY operation) FROM ffs_stat_operations o";
my $tenants = 'SELECT string_agg(concat_ws(\' \', tenant, calls, rows, errors, writes), E\'\n\' ORDER BY tenant) FROM ffs_stat_tenants';
my @kept = map { $node->safe_psql('postgres', $_) } $all =~ s/o::text/concat_ws(' ', operation, calls, rows, errors, total_ms, p95_ms, stats_reset)/r, $tenants, 'TABLE ffs_stat_errors', 'TABLE ffs_slow_operations';
$node->restart;
is_deeply([ map { $node->safe_psql('postgres', $_) } $all =~ s/o::text/concat_ws(' ', operation, calls, rows, errors, total_ms, p95_ms, stats_reset)/r, $tenants, 'TABLE ffs_stat_errors', 'TABLE ffs_slow_operations' ], \@kept, 'all figures survive a clean restart');
my $updates = $node->safe_psql('postgres', "SELECT calls FROM ffs_stat_operations WHERE operation = 'update'");
$node->safe_psql('postgres', "COMMIT PREPARED 'over a restart'");
is($node->safe_psql('postgres', "SELECT calls FROM ffs_stat_operations WHERE operation = 'update'"), $updates + 1, 'so do those of a prepared transaction');

my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT reason, since > '$now' FROM ffs_stats_since"), 'crash|t', 'a crash resets the figures, and says when');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM ffs_stat_operations) + (SELECT count(*) FROM ffs_stat_tenants) + (SELECT count(*) FROM ffs_stat_errors)'), 0, 'all of them');

$node->stop;
done_testing();
