# Where a backend's CPU time goes, by perf.
package Bench::Profile;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(profiled);

# Runs the code while perf looks at the process, and at those that it starts;
# the lines of the functions that take a hundredth or more, at most 25.
sub profiled
{
	my ($process, $file, $code) = @_;
	my $perf = fork // die "fork: $!\n";
	if ($perf == 0)
	{
		open STDOUT, '>', '/dev/null' or exit 1;
		open STDERR, '>', '/dev/null' or exit 1;
		exec qw(perf record -q -e cpu-clock -F 1999 -o), $file, '-p', $process or exit 127;
	}
	# It says nothing of when it has begun.
	select undef, undef, undef, 0.3;
	my $well = eval { $code->(); 1 };
	my $error = $@;
	kill INT => $perf;
	waitpid $perf, 0;
	die $error unless $well;

	open my $report, '-|', "perf report --stdio --no-children --percent-limit 1 --sort dso,symbol -i $file 2>/dev/null"
	  or die "perf: $!\n";
	my @lines = grep { /^\s+\d+\.\d+%/ } <$report>;
	close $report;
	splice @lines, 25 if @lines > 25;
	s/(\s+-)*\s+$// foreach @lines;
	return @lines ? \@lines : ['perf saw nothing'];
}

1;
