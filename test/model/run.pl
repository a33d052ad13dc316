#!/usr/bin/perl
# What ffs_get, ffs_get_many and ffs_cached give against what SELECT gives in
# the same snapshot, while clients at mixed isolation levels write, roll back,
# prepare, truncate, change tables, views, functions, policies and privileges,
# switch triggers off, roles and tenants; with caches from tiny to large, and
# processes of the server killed along the way.
#
#   perl test/model/run.pl [--seed=N] [--comparisons=N] [--clients=N] [--kills=N]
#                          [--sizes=64kB,1MB,64MB] [--conf=NAME=VALUE]... [--bindir=DIR] [--postgres=PROGRAM]
#
# Starts a server of its own in a temporary folder, not as root, with the
# programs of --bindir, PG_CONFIG or the PATH; --postgres may be one that runs
# postgres under valgrind.  Half of the kills are of one
# backend, which makes the server recover, half of the server itself; it comes
# back with the next of the sizes (as it does in between, if there are fewer
# kills than sizes).  Prints the seed, what was compared and how much of that
# the cache answered (a little less, as a crash takes its latest counts along),
# and each difference; exits with 1 if there is one.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp;
use FindBin;
use Getopt::Long;
use IO::Handle;
use IO::Select;
use Time::HiRes qw(sleep time);
use lib $FindBin::RealBin;
use Load qw(sow dice pick chunk);

my %options = (seed => int(rand(1_000_000)), comparisons => 100_000, clients => 8, kills => 0, sizes => '64kB,256kB,1MB,64MB', transactions => 30, patience => 120);
GetOptions(\%options, 'seed=i', 'comparisons=i', 'clients=i', 'kills=i', 'sizes=s', 'conf=s@', 'bindir=s', 'postgres=s', 'transactions=i', 'patience=i', 'keep')
  or die "see the top of $0\n";
my @sizes = split /,/, $options{sizes};

my $bin = $options{bindir};
if (!defined $bin)
{
	my $config = $ENV{PG_CONFIG} // 'pg_config';
	chomp($bin = `$config --bindir`);
}
my $dir = File::Temp->newdir('ffs_model_XXXXXX', TMPDIR => 1, CLEANUP => !$options{keep});
my $data = "$dir/data";
$ENV{PATH} = "$bin:$ENV{PATH}";
$ENV{PGHOST} = "$dir";
$ENV{PGPORT} = 5432;
$ENV{PGUSER} = 'postgres';
$ENV{PGDATABASE} = 'postgres';
delete $ENV{PGOPTIONS};
$| = 1;

my $main = $$;
my $running = 0;
my @clients;

# ---- the server ----

sub command
{
	my (@command) = @_;
	my $said = File::Temp->new(DIR => "$dir");
	my $pid = fork() // die $!;
	if ($pid == 0)
	{
		open STDOUT, '>', "$said" or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec @command or die $!;
	}
	waitpid $pid, 0;
	my $rc = $?;
	open my $in, '<', "$said" or die $!;
	local $/;
	return ($rc, scalar(<$in>) // '');
}

sub psql
{
	my ($sql) = @_;
	my ($rc, $said) = command('psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-c', $sql);
	chomp $said;
	return $rc == 0 ? $said : undef;
}

sub set_size
{
	my ($size) = @_;
	open my $out, '>', "$data/size.conf" or die $!;
	print $out "ffstorage.cache_size = '$size'\n";
	# What goes in is not always all.
	print $out 'ffstorage.cache_ttl = ', pick(1, 300, 0), "\nffstorage.cache_max_row = ", pick(500, 8192, 8192), "\nffstorage.cache_max_result = ", pick('16kB', '4MB', '4MB'), "\n";
	close $out;
	return;
}

sub start
{
	for (1 .. $options{patience} * 2)
	{
		my ($rc, $said) = command('pg_ctl', '-D', $data, '-l', "$dir/log", '-w', '-t', 60, (defined $options{postgres} ? ('-p', $options{postgres}) : ()), 'start');
		return $running = 1 if $rc == 0;
		# backends of the one that was killed may still be there
		sleep 0.5;
	}
	die 'the server does not start: ' . `tail -n 20 $dir/log`;
}

sub stop
{
	my ($mode) = @_;
	command('pg_ctl', '-D', $data, '-m', $mode, '-w', 'stop') if $running;
	$running = 0;
	return;
}

sub postmaster
{
	open my $in, '<', "$data/postmaster.pid" or return;
	my ($pid) = <$in> =~ /(\d+)/;
	return $pid;
}

sub make_server
{
	my ($rc, $said) = command('initdb', '-D', $data, '-U', 'postgres', '-A', 'trust', '-N', '--encoding=UTF8', '--locale=C.UTF-8');
	die $said if $rc != 0;
	open my $out, '>>', "$data/postgresql.conf" or die $!;
	print $out <<"CONF";
listen_addresses = ''
unix_socket_directories = '$dir'
port = 5432
max_connections = @{[ $options{clients} + 20 ]}
max_prepared_transactions = @{[ $options{clients} * 4 + 4 ]}
shared_preload_libraries = 'ffstorage'
wal_level = replica
fsync = off
jit = off
autovacuum_naptime = 1s
log_min_messages = fatal
include 'size.conf'
CONF
	print $out "$_\n" foreach @{ $options{conf} // [] };
	close $out;
	set_size($sizes[0]);
	start();
	psql('CREATE EXTENSION ffstorage') // die 'CREATE EXTENSION fails';
	($rc, $said) = command('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$FindBin::RealBin/tables.sql");
	die $said if $rc != 0;
	return;
}

# ---- what the cache counted, crash by crash ----

my @counted = qw(hits misses bypassed fills evictions invalidations result_hits result_misses result_bypassed result_fills result_waits);
my (%before, %latest);

sub look_at_counters
{
	my $said = psql('SELECT ' . join(', ', @counted) . ' FROM ffs_stat_cache') // return;
	my @values = split /\|/, $said;
	return if @values != @counted;
	@latest{@counted} = @values;
	return;
}

sub counters_begin_anew
{
	$before{$_} += $latest{$_} // 0 foreach @counted;
	%latest = ();
	return;
}

sub counter { return ($before{ $_[0] } // 0) + ($latest{ $_[0] } // 0); }

# ---- a client ----

sub wait_for_server
{
	for (1 .. $options{patience} * 5)
	{
		return if defined psql('SELECT 1');
		sleep 0.2;
	}
	die "the server does not come back\n";
}

# Transactions that were prepared when the server went, ended one way or the other.
sub finish_prepared
{
	my ($prefix) = @_;
	my $said = psql("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE '${prefix}\\_%'") // return;
	psql(pick('COMMIT', 'ROLLBACK') . " PREPARED '$_'") foreach split /\n/, $said;
	return;
}

sub run_client
{
	my ($client, $report) = @_;
	my $over = 0;
	my $prefix = "model_$client";
	my $n = 0;

	local $SIG{TERM} = sub { $over = 1; };
	sow($options{seed} * 100 + $client);
	while (!$over)
	{
		my $in = File::Temp->new(DIR => "$dir");
		my %done = (get => 0, many => 0, cached => 0);
		my %errors;
		my @bad;

		print $in chunk($client, "${prefix}_" . ++$n, $options{transactions});
		close $in;
		my ($rc, $said) = command('psql', '-X', '-A', '-t', '-q', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=never', '-f', "$in");
		foreach (split /\n/, $said)
		{
			if (/^\@(get|many|cached) (\d+)/) { $done{$1} += $2; }
			$errors{$1}++ if /(?:ERROR|FATAL|PANIC):\s+(\w{5}):/;
			push @bad, $_ if /DIFF/ || /PANIC/ || (/ERROR:\s+XX/ && !/tuple concurrently (?:updated|deleted)/);
		}
		print $report join("\t", 'done', @done{qw(get many cached)}, join(' ', map { "$_=$errors{$_}" } keys %errors)), "\n";
		print $report "bad\tclient $client, round $n: $_\n" foreach @bad;
		$report->flush;
		if ($rc >> 8 == 2)
		{
			wait_for_server();
			# some are still open for a while
			sleep 1 if dice(2);
			finish_prepared($prefix);
		}
	}
	finish_prepared($prefix);
	return;
}

sub start_client
{
	my ($client) = @_;
	pipe(my $out, my $in) or die $!;
	my $pid = fork() // die $!;
	if ($pid == 0)
	{
		close $out;
		eval { run_client($client, $in); };
		print $in "bad\tclient $client ended: $@\n" if $@;
		close $in;
		POSIX::_exit(0);
	}
	close $in;
	push @clients, { pid => $pid, out => $out, said => '' };
	return;
}

# ---- the run ----

use POSIX ();

my %done = (get => 0, many => 0, cached => 0);
my %errors;
my ($differences, $backends_killed, $servers_killed) = (0, 0, 0);

sub total { return $done{get} + $done{many} + $done{cached}; }

sub listen_to_clients
{
	my ($seconds) = @_;
	my $select = IO::Select->new(map { $_->{out} } grep { $_->{out} } @clients);
	foreach my $out ($select->can_read($seconds))
	{
		my ($client) = grep { defined $_->{out} && $_->{out} == $out } @clients;
		if (!sysread($out, $client->{said}, 65536, length $client->{said}))
		{
			close $out;
			$client->{out} = undef;
			next;
		}
		while ($client->{said} =~ s/^(.*)\n//)
		{
			my ($what, @rest) = split /\t/, $1, 5;
			if ($what eq 'done')
			{
				$done{get} += $rest[0];
				$done{many} += $rest[1];
				$done{cached} += $rest[2];
				foreach (split / /, $rest[3] // '') { $errors{$1} += $2 if /(.*)=(.*)/; }
			}
			else
			{
				$differences++;
				print "@rest\n" if $differences <= 50;
			}
		}
	}
	return;
}

sub kill_backend
{
	my $victim = psql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY state = 'active' DESC, random() LIMIT 1});
	return 0 if !$victim;
	look_at_counters();
	return 0 if !kill 9, $victim;
	counters_begin_anew();
	$backends_killed++;
	sleep 0.1;
	wait_for_server();
	return 1;
}

sub kill_server
{
	my ($size) = @_;
	my $pid = postmaster() // return 0;
	look_at_counters();
	set_size($size);
	kill 9, $pid or return 0;
	counters_begin_anew();
	$servers_killed++;
	for (1 .. 600)
	{
		last if !kill 0, $pid;
		sleep 0.05;
	}
	start();
	return 1;
}

sub restart
{
	my ($size) = @_;
	look_at_counters();
	set_size($size);
	stop('fast');
	counters_begin_anew();
	start();
	return;
}

sub progress
{
	printf "%6.0f s: %d comparisons (%d get, %d many, %d cached), %d differences, %d + %d killed\n",
	  time - $^T, total(), @done{qw(get many cached)}, $differences, $backends_killed, $servers_killed;
	return;
}

# What only the log tells.
sub crashes
{
	my ($n) = (0);
	open my $in, '<', "$dir/log" or return 0;
	while (<$in>)
	{
		next unless /TRAP:|PANIC|was terminated by signal (?!9:)/;
		$n++;
		print if $n <= 10;
	}
	return $n;
}

END
{
	my $rc = $?;
	if ($$ == $main)
	{
		foreach (@clients) { kill 'KILL', $_->{pid} if $_->{out}; }
		stop('immediate');
	}
	$? = $rc;
}
$SIG{INT} = $SIG{TERM} = sub { exit 1; };

print "seed $options{seed}, $options{clients} clients, $options{comparisons} comparisons, $options{kills} kills\n";
sow($options{seed});
make_server();
start_client($_) foreach 1 .. $options{clients};

# So many events, evenly spread: kills of backends and servers in turn, and restarts for the sizes that are left.
my @events = map { $_ % 2 ? 'backend' : 'server' } 1 .. $options{kills};
my $restarts = @sizes - 1 - grep { $_ eq 'server' } @events;
push @events, ('restart') x $restarts if $restarts > 0;
my $next = 0;
my $size = 0;
my ($looked, $shown) = (time, time);
while (total() < $options{comparisons} && grep { $_->{out} } @clients)
{
	listen_to_clients(0.2);
	if (time - $looked > 2) { look_at_counters(); $looked = time; }
	if (time - $shown > 30) { progress(); $shown = time; }
	next if $next >= @events || total() < $options{comparisons} * ($next + 0.5) / @events;
	my $event = $events[$next];
	$size++ if $event ne 'backend';
	my $to = $sizes[ $size % @sizes ];
	if ($event eq 'backend') { $next++ if kill_backend(); }
	elsif ($event eq 'server') { $next++ if kill_server($to); }
	else { restart($to); $next++; }
}
kill 'TERM', $_->{pid} foreach @clients;
my $end = time + $options{patience};
listen_to_clients(1) while (grep { $_->{out} } @clients) && time < $end;
if (my @late = grep { $_->{out} } @clients)
{
	$differences++;
	print scalar(@late), " clients do not end\n", psql('SELECT pid, wait_event_type, wait_event, left(query, 200) FROM pg_stat_activity WHERE state <> \'idle\'') // '', "\n";
}
look_at_counters();
counters_begin_anew();
stop('fast');
$differences += crashes();

printf "compared: %d rows by ffs_get, %d by ffs_get_many, %d results of ffs_cached\n", @done{qw(get many cached)};
printf "answered from the cache: %d rows, %d results; read: %d rows, %d results; bypassed: %d rows, %d results; %d waits for another's result\n",
  map { counter($_) } qw(hits result_hits misses result_misses bypassed result_bypassed result_waits);
printf "fills %d and %d, evictions %d, invalidations %d\n", map { counter($_) } qw(fills result_fills evictions invalidations);
print 'errors: ', join(', ', map { "$_ $errors{$_}" } sort keys %errors), "\n";
print "killed: $backends_killed backends, $servers_killed servers\n";
printf "seed %d: %d comparisons, %d differences, %.0f s\n", $options{seed}, total(), $differences, time - $^T;
exit($differences > 0);
