# Runs TAP tests and says what became of them.
#
#   tap.pl pgtap FILE.sql ...   each in a psql of its own, database from PG*
#   tap.pl perl FILE.pl ...     each in a perl of its own
#   tap.pl clients FILE ...     .py and .js as they are, .java by its class name
#
# The last line is "result PASSED FAILED SKIPPED", in assertions; a file that
# dies, or does not keep its plan, is one failure more.
use strict;
use warnings;
use TAP::Parser;

my ($kind, @files) = @ARGV;

my ($passed, $failed, $skipped) = (0, 0, 0);

foreach my $file (@files)
{
	my $start = time;
	my $parser = TAP::Parser->new({ exec => [ command($file) ], merge => 1 });
	my ($ok, $bad, $left) = (0, 0, 0);
	my @shown;

	while (my $result = $parser->next)
	{
		if ($result->is_test)
		{
			if ($result->has_skip) { $left++; }
			elsif ($result->is_ok) { $ok++; }
			else { $bad++; push @shown, $result->as_string; }
		}
		elsif ($result->is_comment || $result->is_unknown)
		{
			push @shown, $result->as_string;
		}
	}
	$left++ if $parser->skip_all;

	my @broken = $parser->parse_errors;
	push @broken, 'exit status ' . $parser->exit if $parser->exit && !$bad;
	$bad++ if @broken;

	printf "%s: %d passed, %d failed%s (%d s)\n", $file, $ok, $bad,
	  (@broken ? ': ' . join('; ', @broken) : ''), time - $start;
	if ($bad)
	{
		splice @shown, 0, @shown - 80 if @shown > 80;
		print "    $_\n" foreach @shown, the_log($file);
	}
	$passed += $ok;
	$failed += $bad;
	$skipped += $left;
}
print "result $passed $failed $skipped\n";
exit($failed ? 1 : 0);

# How a file is run.
sub command
{
	my ($file) = @_;
	# An error outside of an assertion stops a SQL file, and so breaks its plan.
	return (qw(psql -X -q -A -t -v ON_ERROR_STOP=1 -P pager=off -f), $file) if $kind eq 'pgtap';
	return ($^X, $file) if $kind eq 'perl';
	# Debian's own Python: it is the one that has Debian's drivers.
	return ('/usr/bin/python3', $file) if $file =~ /\.py$/;
	return ('node', $file) if $file =~ /\.js$/;
	# Compiled before; it wants to know where tables.sql is.
	return ('java', $2, "$1tables.sql") if $file =~ m{^(.*/)([^/]+)\.java$};
	die "$file: no way to run it\n";
}

# What PostgreSQL::Test writes elsewhere: the end of the test's log.
sub the_log
{
	my ($file) = @_;
	return () if $kind ne 'perl';
	my ($name) = $file =~ m{([^/]+)\.pl$};
	my @lines;
	foreach my $log (glob("$ENV{TESTDIR}/tmp_check/log/regress_log_$name $ENV{TESTDIR}/log/regress_log_$name"))
	{
		open my $in, '<', $log or next;
		@lines = <$in>;
		close $in;
	}
	chomp @lines;
	splice @lines, 0, @lines - 40 if @lines > 40;
	return @lines;
}
