# Reads a file of rows/, growth/ or peers/: "-- @word argument" lines, and SQL
# below them.  README.md tells the words.
package Bench::Row;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(read_row read_peer slurp);

# What is timed, and what is made ready for it.
my %timed = map { $_ => 1 } qw(run copy each texts pgbench);
my %section =
  map { $_ => 1 } qw(setup manage fill session data params statements before after check run copy each texts pgbench install clean);

sub slurp
{
	my ($file) = @_;
	open my $in, '<:encoding(UTF-8)', $file or die "$file: $!\n";
	local $/ = undef;
	return scalar <$in>;
}

# The value of each known :word; casts and pgbench's own variables stay.
sub substitute
{
	my ($text, $vars) = @_;
	my $known = join '|', map { quotemeta } keys %$vars;
	$text =~ s/(?<!:):($known)\b/$vars->{$1}/g;
	return $text;
}

# A row; its cases have every section, those that they lack coming from the row.
sub read_row
{
	my ($file, $vars) = @_;
	my ($name) = $file =~ m{([^/]+)\.sql$};
	my $row = { file => $name, cases => [], targets => [], peers => [], measure => 'time', unit => 'run', per => 1 };
	my ($scope, $part) = ($row);

	foreach my $line (split /\n/, substitute(slurp($file), $vars))
	{
		if ($line !~ /^-- \@(\w+)\s*(.*?)\s*$/)
		{
			$part->{text} .= "$line\n" if $part;
			next;
		}
		my ($word, $rest) = ($1, $2);
		$part = undef;
		if ($word eq 'case')
		{
			$scope = { name => $rest };
			push @{ $row->{cases} }, $scope;
		}
		elsif ($section{$word})
		{
			$part = { kind => $word, text => '', map { /^(\S+?)=(.*)$/ ? ($1 => $2) : () } split ' ', $rest };
			push @{ $scope->{parts} }, $part;
		}
		elsif ($word eq 'row') { $row->{title} = $rest; }
		elsif ($word eq 'per') { @$row{qw(per unit)} = per($rest, $file); }
		elsif ($word eq 'measure') { $row->{measure} = $rest; }
		elsif ($word eq 'target') { push @{ $row->{targets} }, target($rest, $file); }
		elsif ($word eq 'peers') { $row->{peers} = [ split ' ', $rest ]; }
		elsif ($word eq 'vary') { push @{ $row->{vary} }, [ split ' ', $rest ]; }
		elsif ($word eq 'schema') { $scope->{schema} = $rest; }
		elsif ($word eq 'needs') { $scope->{needs} = $rest; }
		elsif ($word eq 'options') { $scope->{options} = $rest; }
		else { die "$file: what is \@$word?\n"; }
	}
	die "$file: a row needs \@row and a \@case\n" unless defined $row->{title} && @{ $row->{cases} };
	complete($row, $_) foreach @{ $row->{cases} };
	return $row;
}

# "1000 row", "1000 / 4 row"
sub per
{
	my ($text, $file) = @_;
	my ($n, $by, $unit) = $text =~ m{^(\d+)(?: / (\d+))? (.+)$} or die "$file: bad \@per: $text\n";
	return ($n / ($by // 1), $unit);
}

# "CASE <= 1.75", "CASE >= 0.8", "CASE <= 0.65 of OTHER", "CASE >= 1 within noise"
sub target
{
	my ($text, $file) = @_;
	$text =~ /^(.+?) (<=|>=) ([\d.]+)(?: of (.+?))?( within noise)?$/ or die "$file: bad target: $text\n";
	return { case => $1, op => $2, value => $3, of => $4, noise => $5 };
}

sub complete
{
	my ($row, $case) = @_;
	my @own = @{ $case->{parts} // [] };
	my %has = map { $_->{kind} => 1 } @own;
	my $has_timed = grep { $timed{ $_->{kind} } } @own;
	my @parts = (
		(grep { !$has{ $_->{kind} } && !($has_timed && $timed{ $_->{kind} }) } @{ $row->{parts} // [] }),
		grep { $_->{text} =~ /\S/ || $timed{ $_->{kind} } } @own);

	$case->{timed} = [ grep { $timed{ $_->{kind} } } @parts ];
	$case->{ready} = [ grep { $_->{kind} =~ /^(data|params|statements)$/ } @parts ];
	foreach my $kind (qw(setup manage fill session before after check))
	{
		$case->{$kind} = join '', map { $_->{text} } grep { $_->{kind} eq $kind } @parts;
	}
	$case->{$_} //= $row->{$_} foreach qw(schema needs options);
	delete $case->{parts};
	return;
}

# A peer: what it needs, install (once a database), manage, clean.
sub read_peer
{
	my ($file) = @_;
	my %peer = (needs => '', install => '', manage => '', clean => '');
	my $word = '';
	foreach my $line (split /\n/, slurp($file))
	{
		if ($line =~ /^-- \@needs (.*)$/) { $peer{needs} = $1; }
		elsif ($line =~ /^-- \@(install|manage|clean)\b/) { $word = $1; }
		elsif ($word) { $peer{$word} .= "$line\n"; }
	}
	return \%peer;
}

1;
