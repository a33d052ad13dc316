# Figures against a ledger that the clients keep: a mixed load with errors,
# savepoints, prepared transactions, cancels and killed backends.  What a
# client cannot know of a commit, pg_xact_status() says.
#
# What counts at once, whatever becomes of the transaction (errors, look-ups in
# the cache, circuit breakers, calls that were let in), a client cannot know of a
# statement that was cancelled or lost: there the ledger has bounds.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util qw(min);
use POSIX ();
use Time::HiRes qw(sleep time);

my $clients = 4;
my $seconds = $ENV{FFS_LEDGER_SECONDS} // ($ENV{FFS_LONG} ? 60 : 0);
my $transactions = $seconds ? 1000 * 1000 * 1000 : 400;
my $stop = time + $seconds;

my $node = ffs_node('ledger', conf => "fsync = off\nautovacuum = off\ndeadlock_timeout = 50ms\nffstorage.max_tenants = 10
ffstorage.max_running_per_tenant = 1\nffstorage.pace_tenants = off\nffstorage.breaker_failures = 1000000000\nmax_connections = 60\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION ffstorage;
CREATE TABLE busy (id bigint PRIMARY KEY, tenant_id text NOT NULL, n integer CHECK (n >= 0));
SELECT ffs_manage('busy', strategy => 'scd2', tenant_column => 'tenant_id', soft_delete => true);
-- what ffs_run has done: it, and no other, writes here
CREATE TABLE ran (number text PRIMARY KEY);
CREATE SEQUENCE attempts;
CREATE FUNCTION run_one(number text, key bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('attempts');
    INSERT INTO ran VALUES (number);
    UPDATE busy SET n = n + 1 WHERE id = key;
END $$;
INSERT INTO busy SELECT g, 't0', 1 FROM generate_series(1, 10) g;
INSERT INTO busy SELECT g, 't1', 1 FROM generate_series(11, 20) g;
SELECT ffs_stats_reset();
-- known from now on: a success is counted of a breaker that is there
SELECT ffs_breaker_allow('b');
});

# ---- a client ----

$SIG{PIPE} = 'IGNORE';

my ($session, %ledger, %unknown, %pending, $before_lost);

sub lost { return $_[0] =~ /FATAL|server closed|connection to server was lost|no connection/; }

sub open_session
{
	do
	{
		$session = ffs_session($node);
		$session->query("SET application_name = 'client'");
	} while $session->{gone} || $session->{pid} !~ /^\d+$/;
	return;
}

# A statement that gives a number; its SQLSTATE, 'lost', or ''.
sub run
{
	my ($sql) = @_;
	my $said = $session->query($sql);
	# it may have failed by itself just before its backend was killed
	($before_lost) = $said =~ /ERROR:\s+([0-9A-Z]{5})/;
	return 'lost' if $session->{gone} || lost($said);
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
		my $gone = $session->{gone} || lost($status);
		return $status eq 'committed' if $status =~ /^(committed|aborted)$/ && !$gone;
		open_session() if $gone;
		sleep 0.05;
	}
	die "transaction $xid does not end";
}

# What a statement does, if it is done: a call of an operation, with so many rows.
sub does
{
	my ($n, @operations) = @_;
	return map { ("$_ calls" => 1, "$_ rows" => $n) } @operations;
}

# A COPY of one row; from a file, so that an error leaves no data for psql to take for SQL.
sub copy_of
{
	my ($new, $tenant) = @_;
	my $file = $node->basedir . "/copy_$$";
	open my $out, '>', $file or die "$file: $!";
	print $out "$new,t$tenant,1\n";
	close $out;
	return "COPY busy (id, tenant_id, n) FROM '$file' (FORMAT csv)";
}

# The kinds of statements: sql gives a number n.  effects: what a commit makes
# true.  at_once: what counts even if it fails, errors: how many errors such a
# failure is.  Rows 1 to 20 are never deleted; new is a number nobody has had.
sub statement
{
	my ($kind, $tenant, $row, $other, $new, $mine) = @_;
	my $of = sub { my ($sql) = @_; return "WITH x AS ($sql RETURNING 1) SELECT count(*) FROM x"; };
	my $object = sub { my ($id, $n) = @_; return qq({"id": $id, "n": $n}); };
	my $write = sub { my ($n, @operations) = @_; return (does($n, @operations), "t$tenant calls" => 1, "t$tenant rows" => $n, "t$tenant writes" => $n); };
	my $read = sub { my ($n, $operation) = @_; return (does($n, $operation), "t$tenant calls" => 1, "t$tenant rows" => $n); };
	my %call = (admitted => 1);

	my %kinds = (
		insert => sub { return { sql => $of->("INSERT INTO busy SELECT g, 't$tenant', 1 FROM generate_series($new, $new + 3) g"), effects => sub { $write->($_[0], 'insert') } }; },
		duplicate => sub { return { sql => $of->("INSERT INTO busy VALUES ($row, 't$tenant', 1)"), effects => sub { $write->($_[0], 'insert') } }; },
		update => sub { return { sql => $of->("UPDATE busy SET n = n + 1 WHERE id IN ($row, $other)"), effects => sub { $write->($_[0], 'update') } }; },
		check => sub { return { sql => $of->("UPDATE busy SET n = " . (rand() < 0.3 ? -1 : 5) . " WHERE id = $row"), effects => sub { $write->($_[0], 'update') } }; },
		delete => sub { return { sql => $of->("DELETE FROM busy WHERE id = $mine"), effects => sub { $write->($_[0], 'delete') } }; },
		copy => sub { return { sql => copy_of($new, $tenant), effects => sub { $write->(1, 'insert') } }; },
		merge => sub { return { sql => "MERGE INTO busy USING (VALUES ($new)) v(i) ON id = i WHEN MATCHED THEN UPDATE SET n = 2 WHEN NOT MATCHED THEN INSERT (id, tenant_id, n) VALUES (i, 't$tenant', 1)",
			effects => sub { ($write->(1, 'insert'), 'update calls' => 1) } }; },
		foreign => sub { return { sql => $of->("INSERT INTO busy VALUES ($new, 'other', 1)"), effects => sub { die 'it was done' }, at_once => { violations => 1 } }; },
		ffs_create => sub { return { sql => "SELECT count(*) FROM ffs_create('busy', '" . $object->($new, 1) . "')", at_once => \%call, effects => sub { $write->($_[0], 'ffs_create', 'insert') } }; },
		ffs_create_again => sub { return { sql => "SELECT count(*) FROM ffs_create('busy', '" . $object->($row, 1) . "')", at_once => \%call, errors => 2, effects => sub { die 'it was done' } }; },
		ffs_create_many => sub { return { sql => "SELECT count(*) FROM ffs_create_many('busy', '[" . join(', ', map { $object->($new + $_, 1) } 0 .. 3) . "]')", at_once => \%call, effects => sub { $write->($_[0], 'ffs_create_many', 'insert') } }; },
		ffs_create_many_bad => sub { return { sql => "SELECT count(*) FROM ffs_create_many('busy', '[" . $object->($row, 1) . ', ' . $object->($new, 1) . "]', on_error => 'report') WHERE action = 'inserted'", at_once => \%call,
			effects => sub { $write->($_[0], 'ffs_create_many', 'insert') } }; },
		ffs_create_records => sub { return { sql => "SELECT count(*) FROM ffs_create_records(ARRAY(SELECT jsonb_populate_record(NULL::busy, '" . $object->($new, 1) . "')))", at_once => \%call, effects => sub { $write->($_[0], 'ffs_create_records', 'insert') } }; },
		ffs_update => sub { return { sql => "SELECT count(*) FROM ffs_update('busy', '" . $object->($row, rand() < 0.2 ? -1 : int rand 100) . "')", at_once => \%call, errors => 2, effects => sub { $write->($_[0], 'ffs_update', 'update') } }; },
		ffs_update_many => sub { return { sql => "SELECT count(*) FROM ffs_update_many('busy', '[" . $object->($row, int rand 100) . ', ' . $object->($other, int rand 100) . "]')", at_once => \%call, errors => 2, effects => sub { $write->($_[0], 'ffs_update_many', 'update') } }; },
		ffs_delete => sub { return { sql => "SELECT ffs_delete('busy', '$mine')::integer", at_once => \%call, effects => sub { $write->($_[0], 'ffs_delete', 'delete') } }; },
		ffs_delete_many => sub { return { sql => "SELECT count(*) FROM ffs_delete_many('busy', '[$mine]') WHERE action = 'deleted'", at_once => \%call, effects => sub { $write->($_[0], 'ffs_delete_many', 'delete') } }; },
		ffs_restore => sub { return { sql => "SELECT ffs_restore('busy', '$mine')::integer", at_once => \%call, effects => sub { $write->($_[0], 'restore', 'insert') } }; },
		ffs_get => sub { return { sql => "SELECT count(*) FROM ffs_get(NULL::busy, $row)", at_once => { %call, lookups => 1 }, effects => sub { $read->($_[0], 'ffs_get') } }; },
		ffs_get_many => sub { return { sql => "SELECT count(*) FROM ffs_get_many(NULL::busy, ARRAY[$row, $other, -1])", at_once => { %call, lookups => 3 }, effects => sub { $read->($_[0], 'ffs_get_many') } }; },
		ffs_list => sub { return { sql => q{SELECT count(*) FROM ffs_list(NULL::busy, '{"id": {"<": 21}}', max_rows => 5)}, at_once => \%call, effects => sub { $read->($_[0], 'ffs_list') } }; },
		ffs_count => sub { return { sql => q{SELECT 1 FROM ffs_count('busy', '{"id": {"<": 21}}')}, at_once => \%call, effects => sub { $read->($_[0], 'ffs_count') } }; },
		ffs_cached => sub { return { sql => "SELECT count(*) FROM ffs_cached('SELECT id FROM busy WHERE id = " . int(rand 5) . "')", at_once => { %call, results => 1 }, effects => sub { () } }; },
		timeout => sub { return { sql => "SET ffstorage.query_timeout = '3 ms';\nSELECT count(*) FROM ffs_cached('SELECT pg_sleep(60)');\nRESET ffstorage.query_timeout", at_once => { %call, timeouts => 1 }, perhaps => { results => 1 }, errors => 0, effects => sub { die 'it was done' } }; },
		allow => sub { return { sql => "SELECT ffs_breaker_allow('b')::integer", at_once => { allowed => 1 }, effects => sub { () } }; },
		report => sub { my $ok = int rand 2; return { sql => "SELECT 1 FROM ffs_breaker_report('b', $ok = 1)", at_once => { $ok ? (succeeded => 1) : (failed => 1) }, effects => sub { () } }; });
	return keys %kinds unless defined $kind;
	return $kinds{$kind}->();
}
my @kinds = sort(statement());

# A call of ffs_run, which has a transaction of its own.
sub run_alone
{
	my ($me, $number, $row) = @_;
	my $tenant = $me % 2;
	my $said = run("CALL ffs_run('SELECT run_one(\$1, \$2)', '[\"$me $number\", $row]', max_attempts => " . (1 + int rand 4) . ", base_delay => '1 ms', tenant => 't$tenant', breaker => 'run')");

	if ($said eq 'lost')
	{
		my $pid = $session->{pid};
		open_session();
		foreach (1 .. 600)
		{
			last if run("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid") eq '=0';
			sleep 0.05;
		}
	}
	# it says itself whether it was done
	my $done = run("SELECT count(*) FROM ran WHERE number = '$me $number'");
	while ($done !~ /^=/)
	{
		open_session() if $done eq 'lost';
		$done = run("SELECT count(*) FROM ran WHERE number = '$me $number'");
	}
	if ($said eq 'lost' || $said eq '57014' || $said eq 'ZF032')
	{
		$ledger{'run refused'}++ if $said eq 'ZF032';
		$ledger{"error $said"}++ if $said ne 'ZF032';
		$unknown{$_}++ foreach 'runs', 'admitted', 'exhausted', "t$tenant errors";
	}
	else
	{
		$ledger{runs}++;
		$ledger{admitted}++;
		$ledger{exhausted}++ if $said eq 'ZF033';
	}
	die "ffs_run says $said, and was " . ($done eq '=1' ? '' : 'not ') . 'done' if ($said eq '') != ($done eq '=1') && $said ne 'lost';
	if ($done eq '=1')
	{
		my %did = (does(1, 'update'), "t$tenant calls" => 1, "t$tenant rows" => 1, "t$tenant writes" => 1);
		$ledger{$_} += $did{$_} foreach keys %did;
	}
	return;
}

sub client
{
	my ($me) = @_;
	my $tenant = $me % 2;
	my $next = 1000 * 1000 * 1000 * ($me + 1);
	my @mine;

	open_session();
	foreach my $number (1 .. $transactions)
	{
		my $gid = "client $me $number";
		my ($xid, $end, %before);

		last if $seconds && time > $stop;
		%pending = ();
		if (rand() < 0.15)
		{
			run_alone($me, $number, 1 + $tenant * 10 + int rand 10);
			next;
		}
		open_session() if run('BEGIN') eq 'lost';
		if ((run("SELECT 1 FROM ffs_set_tenant('t$tenant')") ne '=1') || (($xid = run('SELECT pg_current_xact_id()')) !~ s/^=//))
		{
			open_session() if run('ROLLBACK') eq 'lost';
			next;
		}
		foreach my $step (1 .. 1 + int rand 4)
		{
			my $savepoint = rand() < 0.3;
			my $row = 1 + $tenant * 10 + int rand 10;

			last if $end;
			if ($savepoint)
			{
				%before = %pending;
				my $said = run('SAVEPOINT a');
				if ($said ne '') { $end = $said; last; }
			}
			my $statement = statement($kinds[ int rand @kinds ], $tenant, $row, $row % 10 + 1 + 10 * $tenant, $next, @mine ? $mine[ int rand @mine ] : 0);
			push @mine, $next;
			shift @mine if @mine > 10;
			$next += 10;
			# some wait for their turn no longer than this
			my $impatient = $statement->{at_once}{admitted} && rand() < 0.2;
			my $said = $impatient ? run("SET LOCAL ffstorage.admission_timeout = '2 ms'") : '';
			if ($said ne '') { $end = $said; last; }
			my $at_once = $statement->{at_once} // {};

			$said = run($statement->{sql});
			if ($said eq '' || $said =~ /^=/)
			{
				my ($n) = $said =~ /^=(\d+)/;
				die "$statement->{sql} gives nothing" if !defined $n && $statement->{sql} !~ /^(COPY|MERGE)/;
				my %effects = $statement->{effects}->($n);
				$pending{$_} += $effects{$_} foreach keys %effects;
				$ledger{$_} += $at_once->{$_} foreach keys %$at_once;
				if ($impatient && ($said = run('SET LOCAL ffstorage.admission_timeout = DEFAULT')) ne '') { $end = $said; last; }
				if ($savepoint && rand() < 0.5)
				{
					my $back = run('ROLLBACK TO a');
					if ($back ne '') { $end = $back; last; }
					%pending = %before;
				}
				next;
			}
			# an error counts whatever becomes of the rest
			my $error = $before_lost // $said;
			if ($error eq 'ZF032') { $ledger{refused}++; }
			elsif ($error eq 'lost' || $error eq '57014')
			{
				$ledger{"error $error"}++;
				$unknown{"t$tenant errors"}++;
				foreach my $may ($at_once, $statement->{perhaps} // {}) { $unknown{$_} += $may->{$_} foreach keys %$may; }
			}
			else
			{
				$ledger{$_} += $at_once->{$_} foreach keys %$at_once;
				# three milliseconds may be over before the query is looked at
				$unknown{$_} += $statement->{perhaps}{$_} foreach keys %{ $statement->{perhaps} // {} };
				$ledger{"error $error"} += $statement->{errors} // 1;
				# for a tenant an error inside of a call is the call's
				$ledger{"t$tenant errors"} += min(1, $statement->{errors} // 1);
			}
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
		print $out "unknown $_\t$unknown{$_}\n" foreach sort keys %unknown;
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

my %sum = (allowed => 1);
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
UNION ALL SELECT concat_ws(E'\t', tenant || ' ' || k, v) FROM ffs_stat_tenants, LATERAL (VALUES ('calls', calls), ('rows', rows), ('writes', writes), ('errors', errors)) x(k, v)
UNION ALL SELECT concat_ws(E'\t', 'error ' || sqlstate, calls) FROM ffs_stat_errors
UNION ALL SELECT concat_ws(E'\t', k, v) FROM ffs_stat_cache, LATERAL (VALUES ('lookups', hits + misses + bypassed), ('results', result_hits + result_misses + result_bypassed)) x(k, v)
UNION ALL SELECT concat_ws(E'\t', k, v) FROM ffs_breakers, LATERAL (VALUES ('allowed', calls), ('succeeded', succeeded), ('failed', failed), ('rejected', rejected)) x(k, v) WHERE name = 'b'
UNION ALL SELECT concat_ws(E'\t', k, v) FROM (SELECT sum(calls) AS calls, sum(refused) AS refused FROM ffs_stat_admission) a, LATERAL (VALUES ('admitted', calls), ('refused', refused)) x(k, v)
UNION ALL SELECT concat_ws(E'\t', CASE name WHEN 'ffstorage_run_calls_total' THEN 'runs' WHEN 'ffstorage_run_attempts_total' THEN 'attempts' WHEN 'ffstorage_run_exhausted_total' THEN 'exhausted'
	WHEN 'ffstorage_calls_timeouts_total' THEN 'timeouts' ELSE 'violations' END, value) FROM ffs_metrics
	WHERE name IN ('ffstorage_run_calls_total', 'ffstorage_run_attempts_total', 'ffstorage_run_exhausted_total', 'ffstorage_calls_timeouts_total', 'ffstorage_tenant_violations_total')});

my @operations = qw(insert update delete restore ffs_create ffs_create_many ffs_create_records ffs_update ffs_update_many ffs_delete ffs_delete_many
  ffs_get ffs_get_many ffs_list ffs_count);
foreach my $op (@operations)
{
	is($counted{"$op $_"} // 0, $sum{"$op $_"} // 0, "$op: $_") foreach qw(calls rows);
	cmp_ok($sum{"$op calls"} // 0, '>', 0, "$op: there were some");
}
foreach my $tenant (qw(t0 t1))
{
	is($counted{"$tenant $_"} // 0, $sum{"$tenant $_"} // 0, "tenant $tenant: $_") foreach qw(calls rows writes);
}

# at least as many as are known, at most as many as may be
sub within
{
	my ($counter, $more) = @_;
	my ($least, $is) = ($sum{$counter} // 0, $counted{$counter} // 0);
	my $most = $least + ($sum{"unknown $counter"} // 0) + ($more // 0);
	ok($is >= $least && $is <= $most, "$counter: $is, of $least to $most");
	return;
}

my $attempts = $node->safe_psql('postgres', 'SELECT last_value FROM attempts');
# the connections themselves are no more than a few that look
within($_) foreach qw(lookups results allowed succeeded failed violations timeouts runs exhausted admitted);
is($counted{rejected}, 0, 'rejected: the breaker was never open');
within('refused', $sum{'run refused'});
# one that was cancelled before it began
ok($counted{attempts} >= $attempts && $counted{attempts} <= $attempts + ($sum{'unknown runs'} // 0), "attempts: $counted{attempts}, of $attempts that began");
# ffs_run has tried again after those
my $again = $counted{attempts} - ($sum{runs} // 0);
note("attempts more than calls of ffs_run: $again");
within("$_ errors", $again + ($sum{exhausted} // 0)) foreach qw(t0 t1);

foreach my $state (sort grep { /^error/ } keys %sum)
{
	if ($state eq 'error lost' || $state eq 'error 57014')
	{
		# whether it had begun when it was hit, its client cannot know; a call has a statement inside
		my $name = $state eq 'error lost' ? 'error 57P01' : $state;
		cmp_ok($counted{$name} // 0, '<=', 2 * $sum{$state}, "$name: no more than were hit");
		next;
	}
	# timeouts and refused calls have not touched a table
	next if $state eq 'error ZF030';
	within($state, $state =~ /40P01|40001|55P03/ ? $again : 0);
}
is_deeply([ sort grep { /^error/ && !/57P01|57014|40P01/ && !$sum{$_} } keys %counted ], [], 'no error that no client has seen');
is($node->safe_psql('postgres', 'SELECT sum(calls) FROM ffs_stat_errors'),
	$node->safe_psql('postgres', 'SELECT sum(errors) FROM ffs_stat_operations'), 'errors add up');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ffs_stat_operations WHERE (calls, rows, errors) IS DISTINCT FROM (calls_5m, rows_5m, errors_5m)'),
	0, 'the window has all of it') if !$seconds;

# ---- the other views say the same ----

is($node->safe_psql('postgres', q{
SELECT count(*), count(*) FILTER (WHERE m.value IS DISTINCT FROM o.value) FROM
	(SELECT labels ->> 'operation' AS operation, name, value FROM ffs_metrics WHERE name ~ '^ffstorage_operation_(calls|rows|errors)_total$') m
	FULL JOIN (SELECT operation, format('ffstorage_operation_%s_total', k) AS name, v AS value FROM ffs_stat_operations,
		LATERAL (VALUES ('calls', calls), ('rows', rows), ('errors', errors)) x(k, v)) o USING (operation, name)}) =~ s/^\d+\|//r, 0, 'ffs_metrics has the same');
is($node->safe_psql('postgres', q{
SELECT count(*) FROM (SELECT metric, value FROM ffs_stats WHERE component = 'operations' AND metric ~ '_(calls|rows|errors)$') m
	FULL JOIN (SELECT operation || '_' || k AS metric, v AS value FROM ffs_stat_operations, LATERAL (VALUES ('calls', calls), ('rows', rows), ('errors', errors)) x(k, v)) o
	USING (metric) WHERE m.value IS DISTINCT FROM o.value}), 0, 'so has ffs_stats');
is($node->safe_psql('postgres', q{SELECT sum(running) || ' ' || sum(waiting) FROM ffs_stat_admission}), '0 0', 'no place is left taken');
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
