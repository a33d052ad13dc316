# What is printed, and the same as Markdown with plots.
package Bench::Report;
use strict;
use warnings;
use Bench::Plot qw(bars lines);
use Bench::Stats qw(median compare judge number);

# file: the .md to write, or undef
sub new
{
	my ($class, $file, $about, $admin) = @_;
	my $self = bless { file => $file, about => $about, plots => [] }, $class;
	$self->{facts} = [ machine(), load('at the start'), server($admin, $about) ];
	print "$_->[0]: $_->[1]\n" foreach @{ $self->{facts} };
	return $self;
}

sub first_match
{
	my ($file, $pattern) = @_;
	open my $in, '<', $file or return '?';
	while (my $line = <$in>)
	{
		return $1 if $line =~ $pattern;
	}
	return '?';
}

sub machine
{
	my $cores = () = do { local @ARGV = ('/proc/cpuinfo'); join '', <> } =~ /^processor\s*:/mg;
	my $memory = first_match('/proc/meminfo', qr/^MemTotal:\s+(\d+)/);
	return [ 'machine', sprintf '%s, %d cores, %.0f GB', first_match('/proc/cpuinfo', qr/^model name\s*:\s*(.*?)\s*$/), $cores, $memory / 1048576 ];
}

# What else runs here: with two cores more than 0.5 is noise.
sub load
{
	my ($when) = @_;
	return [ "load $when", first_match('/proc/loadavg', qr/^(\S+)/) ];
}

sub server
{
	my ($admin, $about) = @_;
	my $settings = join ', ', map { "$_->[0] = $_->[1]" } $admin->rows(
		q{SELECT name, current_setting(name) FROM pg_settings WHERE source IN ('command line', 'configuration file')
		  AND name NOT IN ('port', 'listen_addresses', 'unix_socket_directories', 'TimeZone', 'log_timezone', 'default_text_search_config', 'DateStyle')
		  AND name NOT LIKE 'lc\_%' AND name NOT LIKE 'log\_%' ORDER BY name});
	return (
		[ 'versions', $admin->value('SHOW server_version') . '; ffstorage ' . $admin->value("SELECT extversion FROM pg_extension WHERE extname = 'ffstorage'")
			  . (defined $about && $about ne '' ? " ($about)" : '') ],
		[ 'settings', $settings ]);
}

# ---- a row ----

my %unit = (1 => 's', 1e-3 => 'ms', 1e-6 => "\x{b5}s");

sub unit_of
{
	my ($seconds) = @_;
	return $seconds >= 1 ? 1 : $seconds >= 1e-2 ? 1e-3 : 1e-6;
}

# One line per case: name, time, ratio, cpu, target, verdict.
sub lines_of
{
	my ($row) = @_;
	my @cases = @{ $row->{cases} };
	my $base = $cases[0];
	my %by_name = map { $_->{name} => $_ } @cases;
	my @lines;
	my $scale = $base->{wall} ? unit_of(median(values %{ $base->{wall} }) / $row->{per}) : 1e-6;
	my $kind = { time => 'time', throughput => 'throughput', difference => 'more, ns a ' . $row->{unit} }->{ $row->{measure} };
	push @lines, [ 'case', "$unit{$scale} a $row->{unit}", 'CPU', $kind, 'spread', 'of CPU', 'turns', 'target', '' ];
	foreach my $case (@cases)
	{
		if (!$case->{wall} || $case->{lacks})
		{
			push @lines, [ $case->{name}, ('') x 7, $case->{lacks} || 'not measured' ];
			next;
		}
		my ($wall, $cpu) = map { number(median(values %{ $case->{$_} }) / $row->{per} / $scale) } qw(wall cpu);
		my @targets = grep { $_->{case} eq $case->{name} } @{ $row->{targets} };
		my $line = [ $case->{name}, $wall, $cpu, '', '', '', scalar keys %{ $case->{wall} }, '', '' ];
		if ($base->{wall} && !$base->{lacks})
		{
			my $c = compare($row->{measure}, $row->{per}, $case, $base);
			$case->{of_base} = $c;
			@$line[ 3 .. 5 ] = (number($c->{value}), number($c->{low}) . '..' . number($c->{high}), number($c->{cpu}));
			@$line[ 3 .. 5 ] = $row->{measure} eq 'difference' ? (0, '', 0) : (1, '', 1) if $case == $base;
		}
		push @lines, $line;
		foreach my $target (@targets)
		{
			my $other = defined $target->{of} ? $by_name{ $target->{of} } : $base;
			my ($goal, $words) = ("$target->{op} $target->{value}", '');
			$goal .= " of $target->{of}" if defined $target->{of};
			if ($other && $other->{wall} && !$other->{lacks})
			{
				my $c = compare($row->{measure}, $row->{per}, $case, $other);
				(my $reached, $words) = judge($target, $c);
				# Where others use the machine, the CPU's time tells more.
				$words .= ', reached in CPU time' if !$reached && (judge($target, { %$c, value => $c->{cpu} }))[0];
				$words = sprintf '%s: %s', number($c->{value}), $words if defined $target->{of};
				push @{ $row->{judged} }, { %$target, %$c, goal => $target->{value}, reached => $reached, words => $words, of => $target->{of} };
			}
			# A second target of a case has a line of its own.
			$line = [ ('') x 9 ], push @lines, $line if $line->[7] ne '';
			@$line[ 7, 8 ] = ($goal, $words);
		}
	}
	return @lines;
}

sub print_table
{
	my (@lines) = @_;
	my @width;
	foreach my $line (@lines)
	{
		foreach my $i (0 .. $#$line)
		{
			$width[$i] = length $line->[$i] if !defined $width[$i] || length $line->[$i] > $width[$i];
		}
	}
	foreach my $line (@lines)
	{
		my $text = join '  ', map { sprintf $_ == 0 || $_ >= 7 ? "%-$width[$_]s" : "%$width[$_]s", $line->[$_] } 0 .. $#$line;
		$text =~ s/\s+$//;
		print "  $text\n";
	}
	return;
}

# Columns of figures stand to the right.
sub markdown_table
{
	my ($head, @lines) = @_;
	my $row_of = sub {
		return '| ' . join(' | ', map { (my $cell = $_) =~ s/\|/\\|/g; $cell =~ s/\n.*//s; $cell } @_) . " |\n";
	};
	my @align = map {
		my $i = $_;
		(grep { $_->[$i] !~ /^-?[\d.]*(?:\.\.-?[\d.]+)?$/ } @lines) ? '---' : '---:'
	} 0 .. $#$head;
	return join '', $row_of->(@$head), $row_of->(@align), map { $row_of->(@$_) } @lines;
}

sub row
{
	my ($self, $row) = @_;
	my @lines = lines_of($row);
	print "\n$row->{title}\n";
	print_table(@lines);
	$self->{body} .= "## $row->{title}\n\n" . markdown_table(@lines) . "\n";
	foreach my $case (grep { $_->{profile} } @{ $row->{cases} })
	{
		print "\n  where the CPU time goes: $case->{name}\n", map { "  $_\n" } @{ $case->{profile} };
		$self->{body} .= "Where the CPU time goes: $case->{name}\n\n```\n" . join('', map { "$_\n" } @{ $case->{profile} }) . "```\n\n";
	}
	push @{ $self->{summary} }, map { { %$_, title => $row->{title} } } @{ $row->{judged} // [] };

	my @bars = map { { label => $_->{name}, %{ $_->{of_base} } } } grep { $_->{of_base} } @{ $row->{cases} };
	if (@bars > 2 && $row->{measure} ne 'difference')
	{
		my ($target) = grep { !defined $_->{of} } @{ $row->{targets} };
		$self->plot($row->{file}, bars("$row->{title}: $row->{measure} (base = 1)", @bars));
	}
	return;
}

# Any table.
sub table
{
	my ($self, $title, @lines) = @_;
	print "\n$title\n";
	print_table(@lines);
	$self->{body} .= "## $title\n\n" . markdown_table(@lines) . "\n";
	return;
}

sub plot
{
	my ($self, $name, $script) = @_;
	return unless defined $self->{file};
	(my $file = $self->{file}) =~ s/\.md$/-$name.svg/;
	push @{ $self->{plots} }, { file => $file, script => $script };
	(my $base = $file) =~ s{.*/}{};
	$self->{body} .= "![$name]($base)\n\n";
	return;
}

# ---- growth ----

# A line per value of what varies, a column per case: what one unit costs, or
# how many a second.
sub growth
{
	my ($self, $varied, @points) = @_;
	my $row = $points[0]{row};
	my @names = map { $_->{name} } @{ $points[0]{row}{cases} };
	my $throughput = $row->{measure} eq 'throughput';
	my $head = [ $varied, map { ($_, 'spread', "CPU, \x{b5}s") } @names ];
	my (@lines, %series);
	foreach my $point (@points)
	{
		my @line = ($point->{at});
		foreach my $case (@{ $point->{row}{cases} })
		{
			if (!$case->{wall} || $case->{lacks})
			{
				push @line, $case->{lacks} || 'not measured', '', '';
				next;
			}
			my @values = map { $throughput ? $point->{row}{per} / $_ : 1e6 * $_ / $point->{row}{per} } values %{ $case->{wall} };
			my ($low, $high) = Bench::Stats::spread(@values);
			my $cpu = 1e6 * median(values %{ $case->{cpu} }) / $point->{row}{per};
			push @line, number(median(@values)), number($low) . '..' . number($high), number($cpu);
			push @{ $series{ $case->{name} } }, [ $point->{at}, median(@values), $low, $high ];
		}
		push @lines, \@line;
	}
	my $what = $throughput ? "$row->{unit}s a second" : "\x{b5}s a $row->{unit}";
	my $title = "$row->{title}, by number of $varied";
	print "\n$title ($what)\n";
	print_table($head, @lines);
	$self->{body} .= "## $title\n\n$what\n\n" . markdown_table($head, @lines) . "\n";
	$self->plot("$row->{file}-$varied", lines($title, $varied, $what, map { { label => $_, points => $series{$_} } } grep { $series{$_} } @names))
	  if @points > 1;
	return;
}

# ---- the end ----

sub finish
{
	my ($self) = @_;
	my @summary = @{ $self->{summary} // [] };
	my $reached = grep { $_->{reached} } @summary;
	my @lines = map {
		[ $_->{title}, $_->{case}, number($_->{value}), number($_->{low}) . '..' . number($_->{high}), number($_->{cpu}),
			"$_->{op} $_->{goal}" . (defined $_->{of} ? " of $_->{of}" : ''), $_->{words} ]
	} @summary;
	if (@summary)
	{
		print "\nTargets: $reached of " . @summary . " reached\n";
		print_table(map { [ "$_->[0]: $_->[1]", ('') x 4, $_->[2], '', @$_[ 5, 6 ] ] } @lines);
	}
	return unless defined $self->{file};

	(my $date = $self->{file}) =~ s{.*/|\.md$}{}g;
	my $text = "# Bench of $date\n\n";
	$text .= "- $_->[0]: $_->[1]\n" foreach @{ $self->{facts} };
	$text .= "\nMedians of runs by turns, after a VACUUM and a CHECKPOINT each. A ratio is of the first case's median, its spread the quartiles\n"
	  . "(of fewer than five turns: all) of the ratios within turns; CPU is the same of the backends' CPU time.\n\n";
	$text .= "## Targets: $reached of " . @summary . " reached\n\n"
	  . markdown_table([ 'work', 'case', 'ratio', 'spread', 'of CPU', 'target', '' ], @lines) . "\n"
	  if @summary;
	open my $out, '>:encoding(UTF-8)', $self->{file} or die "$self->{file}: $!\n";
	print $out $text, $self->{body} // '';
	close $out;
	Bench::Plot::write_plots(@{ $self->{plots} });
	print "\nwritten: $self->{file}\n";
	return;
}

1;
