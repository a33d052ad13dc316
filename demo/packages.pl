# Prints a Debian package index as JSON, one package a line:
#
#   packages.pl FILE ...      Packages files as apt keeps them (compressed or
#                             not); where a package comes more than once, the
#                             one with the highest version
#   packages.pl --installed   what is installed on this machine
use strict;
use warnings;

my @wanted = (
	[ 'Package', 'package' ], [ 'Version', 'package_version' ],
	[ 'Architecture', 'architecture' ], [ 'Source', 'source' ],
	[ 'Section', 'section' ], [ 'Priority', 'priority' ],
	[ 'Installed-Size', 'installed_size' ], [ 'Maintainer', 'maintainer' ],
	[ 'Homepage', 'homepage' ], [ 'Depends', 'depends' ],
	[ 'Description', 'description' ]);
my %name = map { $_->[0] => $_->[1] } @wanted;
my (%best, @order);

if (@ARGV && $ARGV[0] eq '--installed')
{
	my $format = join '', map { "$_->[0]: \${$_->[0]}\\n" } @wanted;
	read_index('dpkg-query', '-W', '-f', "Status: \${db:Status-Status}\\n$format\\n");
}
else
{
	read_index('/usr/lib/apt/apt-helper', 'cat-file', $_) foreach @ARGV;
}
foreach my $package (@order)
{
	my $fields = $best{$package};
	my @pairs;
	foreach my $want (@wanted)
	{
		my $value = $fields->{ $want->[0] };
		next unless defined $value && $value ne '';
		push @pairs, "\"$want->[1]\":"
		  . ($want->[0] eq 'Installed-Size' && $value =~ /^[0-9]+$/ ? $value : json($value));
	}
	print '{', join(',', @pairs), "}\n";
}

sub read_index
{
	my @command = @_;
	open my $in, '-|', @command or die "cannot run $command[0]: $!\n";
	local $/ = '';    # a stanza at a time
	while (my $stanza = <$in>)
	{
		my %fields;
		foreach my $line (split /\n/, $stanza)
		{
			# Lines that go on with a field, as long descriptions do, are left out.
			$fields{$1} = $2 if $line =~ /^([A-Za-z-]+): (.*)/ && ($name{$1} || $1 eq 'Status');
		}
		my $package = $fields{Package};
		next unless defined $package && defined $fields{Version};
		next if defined $fields{Status} && $fields{Status} ne 'installed';
		if (!$best{$package}) { push @order, $package; }
		elsif (compare($best{$package}{Version}, $fields{Version}) >= 0) { next; }
		$best{$package} = \%fields;
	}
	close $in or die "$command[0] failed\n";
}

# A JSON string; what comes in is UTF-8, or nothing that PostgreSQL would take.
sub json
{
	my ($value) = @_;
	my $copy = $value;
	# Latin-1 bytes in an old maintainer's name.
	utf8::encode($value) unless utf8::decode($copy);
	$value =~ s/(["\\])/\\$1/g;
	$value =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
	return "\"$value\"";
}

# Debian's order of versions: epoch, upstream version, revision.
sub compare
{
	my ($left, $right) = map { [ /^(?:([0-9]+):)?(.*?)(?:-([^-]*))?$/ ] } @_;
	return ($left->[0] // 0) <=> ($right->[0] // 0)
	  || compare_part($left->[1], $right->[1])
	  || compare_part($left->[2] // '', $right->[2] // '');
}

# Text and numbers by turns; a tilde comes before the end, letters before the rest.
sub compare_part
{
	my ($left, $right) = @_;
	while ($left ne '' || $right ne '')
	{
		my ($left_text) = $left =~ s/^([^0-9]*)// ? $1 : '';
		my ($right_text) = $right =~ s/^([^0-9]*)// ? $1 : '';
		foreach my $at (0 .. 200)
		{
			my ($one, $two) = map { $at < length $_ ? substr($_, $at, 1) : '' } $left_text, $right_text;
			my $order = weight($one) <=> weight($two);
			return $order if $order;
			last if $one eq '' && $two eq '';
		}
		my ($left_number) = $left =~ s/^0*([0-9]*)// ? $1 : '';
		my ($right_number) = $right =~ s/^0*([0-9]*)// ? $1 : '';
		my $order = length $left_number <=> length $right_number || $left_number cmp $right_number;
		return $order if $order;
	}
	return 0;
}

sub weight
{
	my ($letter) = @_;
	return $letter eq '~' ? -1 : $letter eq '' ? 0 : $letter =~ /[A-Za-z]/ ? ord $letter : 256 + ord $letter;
}
