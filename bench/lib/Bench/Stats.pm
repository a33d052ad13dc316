# Medians, quartiles and ratios of what was measured by turns.
package Bench::Stats;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(min max);

our @EXPORT_OK = qw(median spread compare judge number);

# The value below which that part of the values lies.
sub quantile
{
	my ($part, @values) = @_;
	@values = sort { $a <=> $b } @values;
	my $place = $part * $#values;
	my $low = int $place;
	return $values[$low] if $low >= $#values;
	return $values[$low] + ($place - $low) * ($values[ $low + 1 ] - $values[$low]);
}

sub median { return quantile(0.5, @_); }

# Quartiles; of fewer than five values all of them.
sub spread
{
	my (@values) = @_;
	return @values < 5 ? (min(@values), max(@values)) : (quantile(0.25, @values), quantile(0.75, @values));
}

# How a case stands to another: value, low, high, cpu.  Pairs are of one turn.
# time: the case's time by the other's; throughput: the other's time by the
# case's; difference: nanoseconds more per unit.
sub compare
{
	my ($measure, $per, $case, $other) = @_;
	my $how = sub {
		my ($mine, $theirs) = @_;
		return 1e9 * ($mine - $theirs) / $per if $measure eq 'difference';
		($mine, $theirs) = ($theirs, $mine) if $measure eq 'throughput';
		return $theirs > 0 ? $mine / $theirs : 0;
	};
	# Only turns that both had: the machine may have been another in the rest.
	my @turns = grep { exists $other->{wall}{$_} } sort keys %{ $case->{wall} };
	my @pairs = map { $how->($case->{wall}{$_}, $other->{wall}{$_}) } @turns;
	my $median = sub { my ($of, $what) = @_; return median(@{ $of->{$what} }{@turns}); };
	my ($low, $high) = spread(@pairs);
	return {
		value => $how->($median->($case, 'wall'), $median->($other, 'wall')),
		cpu => $how->($median->($case, 'cpu'), $median->($other, 'cpu')),
		low => $low,
		high => $high,
		pairs => scalar @pairs
	};
}

# Whether the target was reached: (1 or 0, words).
sub judge
{
	my ($target, $result) = @_;
	my ($value, $goal) = ($result->{value}, $target->{value});
	my $off = $target->{op} eq '<=' ? $value / $goal - 1 : 1 - $value / $goal;
	return (1, 'reached') if $off <= 0;
	return (1, 'reached, within noise') if $target->{noise} && $result->{low} <= $goal && $goal <= $result->{high};
	my $words = sprintf 'missed by %.0f %%', 100 * $off;
	$words = 'missed by less than 1 %' if $off < 0.005;
	$words .= ', within the spread' if $result->{low} <= $goal && $goal <= $result->{high};
	return (0, $words);
}

# Three digits that count.
sub number
{
	my ($value) = @_;
	my $size = abs $value;
	return sprintf '%.0f', $value if $size >= 100;
	return sprintf '%.1f', $value if $size >= 10;
	return sprintf '%.2f', $value if $size >= 0.1 || $size == 0;
	return sprintf '%.3f', $value;
}

1;
