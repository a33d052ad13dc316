# What figures and the validation of query texts cost: pgbench's simple-update
# and select-only on managed tables, each by turns with and without.
#
# With --counts FOLDER the server runs under callgrind, which writes there what
# each of its processes has done: instructions, which tell tenths of a percent
# where times do not.  What is given is instructions of the backend for each
# transaction, start and end of the session left out.  Without it, times: CPU
# time of the backends, and transactions a second.
#
#   overhead.pl --client PROGRAM --pgbench PROGRAM [--counts FOLDER] [--turns N] [--quick] [--transactions N]
#               [--seconds N] [--rows N] [--only TEXT] [--out FILE.md] [--about TEXT]
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Getopt::Long;
use lib dirname(abs_path(__FILE__)) . '/lib';
use Bench::Client;
use Bench::Database qw(make_database);
use Bench::Report;
use Bench::Stats qw(median spread);

my $home = dirname(abs_path(__FILE__));
my %set = (pgbench => 'pgbench', rows => 20_000, transactions => 300, seconds => 2);
GetOptions(\%set, 'client=s', 'pgbench=s', 'counts=s', 'turns|repeats=i', 'quick', 'transactions=i', 'seconds=i', 'rows=i', 'only=s', 'out=s', 'about=s')
  or exit 2;
$set{turns} //= $set{quick} ? 1 : $set{counts} ? 3 : 9;
$Bench::Client::program = $set{client} // die "--client is needed\n";
$| = 1;
$SIG{$_} = sub { exit 1; } foreach qw(INT TERM HUP);
binmode STDOUT, ':encoding(UTF-8)';

my $work = tempdir('ffs-overhead-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($admin, $cleaner, $postmaster);

# ---- what is compared ----

# pgbench's own scripts, with as many rows as we have.
my %script = (
	'simple-update' => <<"SQL",
\\set aid random(1, $set{rows})
\\set bid random(1, 10)
\\set tid random(1, 10)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
SQL
	'select-only' => <<"SQL",
\\set aid random(1, $set{rows})
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL
);

my $off = '-c ffstorage.track=off';
my $on = '-c ffstorage.track=on';
my $enforce = '-c ffstorage.validate_queries=enforce';

# Limits are of the base; undef: told, not judged.  "of FUNCTION": what the
# function and all that it calls take within the case, by callgrind.
sub comparisons
{
	my @all;
	foreach my $script ('simple-update', 'select-only')
	{
		foreach my $strategy ('scd2', 'copy_on_change', 'none')
		{
			foreach my $protocol ('prepared', 'simple')
			{
				push @all, { what => 'figures', script => $script, strategy => $strategy, protocol => $protocol, base => $off, case => $on, limit => 1.01 };
			}
		}
		# A prepared statement is parsed once: nothing is left to measure.
		foreach my $protocol ('simple', 'extended')
		{
			push @all,
			  { what => 'validation off', script => $script, strategy => 'scd2', protocol => $protocol, case => $on, of => 'check_statement', limit => 1.005 },
			  { what => 'validation enforced', script => $script, strategy => 'scd2', protocol => $protocol, base => $on, case => "$on $enforce", limit => 1.03 };
		}
	}
	@all = grep { defined $_->{base} } @all unless $set{counts};
	return grep { name($_) =~ /\Q$set{only}\E/ } @all if defined $set{only};
	return @all;
}

sub name { my ($c) = @_; return join ', ', @$c{qw(what script strategy protocol)}; }

sub make_tables
{
	foreach my $strategy ('scd2', 'copy_on_change', 'none')
	{
		my $maker = Bench::Client->new("-c search_path=$strategy,public");
		$maker->run_sql($_) foreach "CREATE SCHEMA $strategy",
		  'CREATE TABLE pgbench_accounts (aid integer PRIMARY KEY, bid integer, abalance integer, filler character(84)) WITH (fillfactor = 80)',
		  'CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler character(22))',
		  "INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, $set{rows}) i",
		  "SELECT ffs_manage('pgbench_accounts', strategy => '$strategy')", "SELECT ffs_manage('pgbench_history')";
		$maker->close;
	}
	return;
}

# All meet the same state.
sub settle
{
	my ($strategy) = @_;
	$cleaner->run_sql("TRUNCATE $_") foreach map { $_->[0] } $admin->rows("SELECT oid::regclass FROM pg_class
		WHERE relnamespace = '$strategy'::regnamespace AND relname IN ('pgbench_history', 'pgbench_accounts_history', 'pgbench_accounts_audit')");
	$admin->run_sql("VACUUM $strategy.pgbench_accounts");
	$admin->run_sql('CHECKPOINT');
	return;
}

sub pgbench
{
	my ($comparison, $options, $seed, @how) = @_;
	local $ENV{PGOPTIONS} = "-c search_path=$comparison->{strategy},public $options";
	my $file = "$work/script.sql";
	open my $out, '>', $file or die "$file: $!\n";
	print $out $script{ $comparison->{script} };
	CORE::close $out;
	my $text = `$set{pgbench} -n -M $comparison->{protocol} --random-seed=$seed @how -f $file 2>&1`;
	die "pgbench: $text\n" if $? || $text !~ /actually processed: (\d+)/;
	my $done = $1;
	my ($tps) = $text =~ /tps = ([\d.]+)/;
	return ($done, $tps);
}

# ---- by instructions ----

# The server's processes.
sub children
{
	my @children;
	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $in, '<', $stat or next;
		my ($pid, $parent) = (readline $in // '') =~ /^(\d+) .*\) \S (\d+)/ or next;
		push @children, $pid if $parent == $postmaster;
	}
	return @children;
}

# What callgrind has written of processes that ended meanwhile: the file of the
# most instructions (pgbench has a look around in a session of its own first).
sub ended_backend
{
	my ($known) = @_;
	select undef, undef, undef, 0.05 while grep { !$known->{$_} } children();
	my ($most, $which) = (0);
	foreach my $file (grep { !$known->{$_} } glob "$set{counts}/callgrind.out.*")
	{
		open my $in, '<', $file or next;
		my ($count) = join('', <$in>) =~ /^(?:totals|summary): (\d+)/m;
		($most, $which) = ($count, $file) if defined $count && $count > $most;
	}
	return ($most, $which) if defined $which;
	die "callgrind has written nothing into $set{counts}\n";
}

sub known { return { map { $_ => 1 } children(), glob "$set{counts}/callgrind.out.*" }; }

# What a function took with all that it called.
sub inclusive
{
	my ($file, $function) = @_;
	my $text = `callgrind_annotate --inclusive=yes --threshold=100 $file 2>/dev/null`;
	my ($count) = $text =~ /^\s*([\d,]+) .*[:\s]\Q$function\E(?:'\d+)?(?: \[|\s*$)/m or return 0;
	return $count =~ tr/,//dr;
}

# Instructions of one transaction: those of a long session less those of a short one.
sub count
{
	my ($comparison, $options, $seed) = @_;
	my (@counts, @inside);
	foreach my $transactions ($set{transactions} / 3, $set{transactions} * 4 / 3)
	{
		settle($comparison->{strategy});
		my $known = known();
		my ($done) = pgbench($comparison, $options, $seed, '-c', 1, '-t', int $transactions);
		my ($count, $file) = ended_backend($known);
		push @counts, [ $done, $count ];
		push @inside, inclusive($file, $comparison->{of}) if $comparison->{of};
	}
	my $each = sub { my ($from, $to) = @_; return ($to - $from) / ($counts[1][0] - $counts[0][0]); };
	return ($each->($counts[0][1], $counts[1][1]), $comparison->{of} ? $each->(@inside) : 0);
}

sub by_counts
{
	my ($report, @all) = @_;
	my @lines = ([ 'instructions of a transaction', 'without', 'with', 'ratio', 'spread', 'limit', '' ]);
	my $over = 0;
	foreach my $c (@all)
	{
		my (@without, @with);
		foreach my $turn (1 .. $set{turns})
		{
			if ($c->{of})
			{
				my ($count, $inside) = count($c, $c->{case}, $turn);
				push @with, $count;
				push @without, $count - $inside;
				next;
			}
			# There and back again.
			foreach my $case ($turn % 2 ? (0, 1) : (1, 0))
			{
				my ($count) = count($c, $case ? $c->{case} : $c->{base}, $turn);
				push @{ $case ? \@with : \@without }, $count;
			}
		}
		my @ratios = map { $with[$_] / $without[$_] } 0 .. $#with;
		$over += add_line(\@lines, $c, '%.0f', median(@without), median(@with), @ratios);
	}
	$report->table("what figures and validation cost, by instructions of the backend, $set{turns} turns of $set{transactions} transactions", @lines);
	return $over;
}

# ---- by time ----

sub by_time
{
	my ($report, @all) = @_;
	my @lines = ([ "CPU of a transaction, \x{b5}s", 'without', 'with', 'ratio', 'spread', 'limit', '' ]);
	foreach my $c (@all)
	{
		my (@without, @with);
		foreach my $turn (0 .. $set{turns})
		{
			foreach my $case ($turn % 2 ? (0, 1) : (1, 0))
			{
				settle($c->{strategy});
				my $before = Bench::Client::ended_children($postmaster);
				my ($done) = pgbench($c, $case ? $c->{case} : $c->{base}, $turn + 1, '-c', 2, '-j', 1, '-T', $set{seconds});
				# The postmaster takes its time to notice.
				select undef, undef, undef, 0.1;
				# The first turn does not count.
				push @{ $case ? \@with : \@without }, 1e6 * (Bench::Client::ended_children($postmaster) - $before) / $done if $turn;
			}
		}
		add_line(\@lines, $c, '%.1f', median(@without), median(@with), map { $with[$_] / $without[$_] } 0 .. $#with);
	}
	$report->table("what figures and validation cost, by CPU time of the backends, $set{turns} turns of $set{seconds} s, 2 clients", @lines);
	return 0;
}

# A line of the table; is the median of the ratios over the limit?
sub add_line
{
	my ($lines, $c, $format, $without, $with, @ratios) = @_;
	my ($low, $high) = spread(@ratios);
	my $ratio = median(@ratios);
	my $over = $ratio > $c->{limit};
	push @$lines, [ name($c), sprintf($format, $without), sprintf($format, $with), sprintf('%.4f', $ratio), sprintf('%.4f to %.4f', $low, $high),
		$c->{limit}, !$over ? 'kept' : $low <= $c->{limit} ? 'over, within the spread' : 'over' ];
	print "$lines->[-1][0]: $lines->[-1][3] ($lines->[-1][4])\n";
	return $over;
}

sub main
{
	($admin, $postmaster) = make_database("$home/setup.sql");
	my $report = Bench::Report->new($set{out}, $set{about}, $admin);
	make_tables();
	# What stands beside a table is emptied past its triggers.
	$cleaner = Bench::Client->new('-c session_replication_role=replica');
	my $over = $set{counts} ? by_counts($report, comparisons()) : by_time($report, comparisons());
	$report->finish;
	$_->close foreach $admin, $cleaner;
	return $over ? 1 : 0;
}

exit main();
