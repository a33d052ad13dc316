# gnuplot scripts: bars of ratios, lines of growth; SVG.
package Bench::Plot;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(bars lines);

my @colours = ('#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#17becf', '#7f7f7f', '#8c564b');

sub quoted
{
	my ($text) = @_;
	$text =~ s/(['"\\])/ /g;
	return "\"$text\"";
}

# Each bar: label, value, low, high; a line at 1.  The labels go in as they are.
sub bars
{
	my ($title, @bars) = @_;
	my $height = 90 + 34 * @bars;
	my $text = "set terminal svg size 760,$height font 'sans,12' background 'white' noenhanced\n";
	$text .= 'set title ' . quoted($title) . " noenhanced\n";
	$text .= "unset key\nset style fill solid 0.7 noborder\nset grid xtics\nset xrange [0:*]\nset bars 0.6\nset lmargin 34\nset rmargin 4\nset tics nomirror\n";
	$text .= 'set yrange [' . (@bars - 0.5) . ":-0.5]\nset arrow from 1,-0.5 to 1," . (@bars - 0.5) . " nohead dashtype 2\n";
	$text .= "\$data << END\n" . join('', map { join("\t", quoted($bars[$_]{label}), $_, @{ $bars[$_] }{qw(value low high)}) . "\n" } 0 .. $#bars) . "END\n";
	$text .= "plot \$data using (\$3*0.5):2:(\$3*0.5):(0.35):ytic(1) with boxxyerror linecolor rgb '$colours[0]', "
	  . "\$data using 3:2:4:5 with xerrorbars linecolor rgb 'black' pointtype 0\n";
	return $text;
}

# Each series: label, points [x, y, low, high].
sub lines
{
	my ($title, $x, $y, @series) = @_;
	my $text = "set terminal svg size 760,420 font 'sans,12' background 'white' noenhanced\n";
	$text .= 'set title ' . quoted($title) . " noenhanced\nset xlabel " . quoted($x) . "\nset ylabel " . quoted($y) . "\n";
	$text .= "set logscale x\nset rmargin 6\nset yrange [0:*]\nset grid\nset key outside bottom center horizontal\n";
	my @parts;
	foreach my $i (0 .. $#series)
	{
		$text .= "\$s$i << END\n" . join('', map { "@$_\n" } @{ $series[$i]{points} }) . "END\n";
		push @parts, "\$s$i using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 pointsize 0.5 linecolor rgb '$colours[$i % @colours]' title "
		  . quoted($series[$i]{label});
	}
	return $text . 'plot ' . join(', ', @parts) . "\n";
}

# Without gnuplot there are tables only.
sub write_plots
{
	my (@plots) = @_;
	foreach my $plot (@plots)
	{
		my $pid = open my $gnuplot, '|-';
		die "gnuplot: $!\n" unless defined $pid;
		if ($pid == 0)
		{
			open STDOUT, '>', $plot->{file} or die "$plot->{file}: $!\n";
			exec 'gnuplot' or exit 127;
		}
		local $SIG{PIPE} = 'IGNORE';
		binmode $gnuplot, ':encoding(UTF-8)';
		print $gnuplot "set encoding utf8\n$plot->{script}";
		close $gnuplot or warn "gnuplot could not draw $plot->{file}\n";
	}
	return;
}

1;
