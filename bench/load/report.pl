# Prints what pgbench did, script by script: report.pl PGBENCH-OUTPUT LOG...
#
# Transactions and latencies are those of pgbench's log (percentiles within half
# a percent), failures its own counts.  Its own counts of each script's transactions
# may be some short: its threads count them in one place, without a lock.  Exits with 1 if a script did nothing, or anything failed.
use strict;
use warnings;

my ($output, @logs) = @ARGV;
my (@scripts, @seen, %all, $seconds);
my $bad = 0;

open my $in, '<', $output or die "$output: $!\n";
while (<$in>)
{
	push @scripts, { name => $1, transactions => 0, failed => 0 } if m{^SQL script \d+: (?:.*/)?(.+?)(?:\.sql)?$};
	# With one script its counts are those of the whole.
	my $script = $scripts[-1] // \%all;
	$script->{failed} = $1 if /number of failed transactions: (\d+)/;
	$all{name} = $1 if m{^transaction type: (?:.*/)?(.+?)(?:\.sql)?$};
	$all{transactions} = $1 if /^number of transactions actually processed: (\d+)/;
	$all{failed} = $1 if !@scripts && /^number of failed transactions: (\d+)/;
	$all{tps} = $1 if /^tps = ([\d.]+) \(without/;
	$bad = 1 if /Run was aborted/;
}
close $in;
die "pgbench did not come to its end\n" unless defined $all{tps} && defined $all{transactions};
@scripts = { %all, transactions => 0 } unless @scripts;
$seconds = $all{tps} > 0 ? $all{transactions} / $all{tps} : 0;

# client, transaction, microseconds (or "failed"), script, ...
foreach my $log (@logs)
{
	open my $lines, '<', $log or die "$log: $!\n";
	while (<$lines>)
	{
		my (undef, undef, $time, $script) = split ' ';
		next unless $time =~ /^\d+$/;
		$scripts[$script]{transactions}++;
		my $step = $time < 200 ? 1 : 10**(length($time) - 3);
		$_->{ int($time / $step + 0.5) * $step }++ foreach $seen[$script] //= {}, $all{seen} //= {};
	}
	close $lines;
}

# The latencies, in milliseconds, that these shares of the transactions do not pass.
sub percentiles
{
	my ($seen, @shares) = @_;
	my ($total, $sum, @found) = (0, 0);
	$total += $_ foreach values %$seen;
	foreach my $time (sort { $a <=> $b } keys %$seen)
	{
		$sum += $seen->{$time};
		push @found, $time / 1000 while @found < @shares && $sum >= $shares[@found] * $total;
	}
	return map { $_ // 0 } @found[ 0 .. $#shares ];
}

sub line
{
	my ($name, $script, $seen) = @_;
	printf "%-20s %12d %10.1f %10.3f %10.3f %10.3f %8d\n", $name, $script->{transactions}, $seconds ? $script->{transactions} / $seconds : 0,
	  percentiles($seen // {}, 0.5, 0.95, 0.99), $script->{failed} // 0;
	$bad = 1 if $script->{failed} || !$script->{transactions};
	return;
}

printf "%-20s %12s %10s %10s %10s %10s %8s\n", 'script', 'transactions', 'tps', 'p50 ms', 'p95 ms', 'p99 ms', 'errors';
line($scripts[$_]{name}, $scripts[$_], $seen[$_]) foreach 0 .. $#scripts;
$all{failed} = 0;
$all{failed} += $_->{failed} foreach @scripts;
line('all', \%all, $all{seen});
exit $bad;
