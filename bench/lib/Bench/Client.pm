# One client process (client.c) with its connections, or pgbench.
package Bench::Client;
use strict;
use warnings;
use Encode qw(encode_utf8 decode_utf8);
use IPC::Open2;
use POSIX qw(sysconf _SC_CLK_TCK);

our $program;      # client.c, compiled

# options: what goes into PGOPTIONS
sub new
{
	my ($class, $options) = @_;
	local $ENV{PGOPTIONS} = $options;
	my $pid = open2(my $out, my $in, $program);
	binmode $_ foreach $in, $out;
	my $self = bless { pid => $pid, in => $in, out => $out, options => $options }, $class;
	$self->answer;
	return $self;
}

sub answer
{
	my ($self) = @_;
	my $line = readline $self->{out};
	die "the client is gone\n" unless defined $line;
	chomp $line;
	return $line if $line =~ s/^ok ?//;
	my ($bytes) = $line =~ /^error (\d+)$/ or die "the client answers: $line\n";
	read($self->{out}, my $message, $bytes);
	$message = decode_utf8($message);
	$message =~ s/\s+$//;
	die "$message\n";
}

sub request
{
	my ($self, $verb, $text, $count) = @_;
	my $bytes = encode_utf8($text);
	# "x": only one thing of a kind is kept by each client here.
	print { $self->{in} } sprintf("%s %s %d %d\n", $verb, 'x', $count // 1, length $bytes), $bytes;
	$self->{in}->flush;
	return $self->answer;
}

sub run_sql
{
	my ($self, $sql) = @_;
	$self->request('exec', $sql) if defined $sql && $sql =~ /\S/;
	return;
}

# The rows, each a reference to an array.
sub rows
{
	my ($self, $sql) = @_;
	my $bytes = $self->request('query', $sql);
	my $text = '';
	read($self->{out}, $text, $bytes) if $bytes;
	return map { [ split /\t/, $_, -1 ] } split /\n/, decode_utf8($text);
}

sub value
{
	my ($self, $sql) = @_;
	my @rows = $self->rows($sql);
	return @rows ? $rows[0][0] : undef;
}

# Seconds of wall and of CPU, and rows.
sub timed
{
	my ($self, $verb, $text, $count) = @_;
	my ($wall, $cpu, $rows) = split ' ', $self->request($verb, $text, $count);
	return ($wall / 1e6, $cpu / 1e6, $rows);
}

sub close
{
	my ($self) = @_;
	CORE::close $self->{in};
	CORE::close $self->{out};
	waitpid $self->{pid}, 0;
	return;
}

# CPU seconds of the postmaster's children that have ended.
sub ended_children
{
	my ($postmaster) = @_;
	open my $in, '<', "/proc/$postmaster/stat" or return 0;
	my $line = <$in>;
	$line =~ s/^.*\) //;
	my @field = split ' ', $line;
	return ($field[13] + $field[14]) / sysconf(_SC_CLK_TCK);
}

# how: program, script (a file), clients, seconds or transactions, options,
# postmaster.  Seconds of wall and of CPU of one transaction.
sub pgbench
{
	my (%how) = @_;
	local $ENV{PGOPTIONS} = $how{options};
	my $before = ended_children($how{postmaster});
	my @amount = $how{transactions} ? ('-t', $how{transactions}) : ('-T', $how{seconds});
	my $threads = $how{clients} < 2 ? 1 : 2;
	open my $out, '-|', "$how{program} -n -M prepared -c $how{clients} -j $threads @amount -f $how{script} 2>&1"
	  or die "pgbench: $!\n";
	my $text = join '', <$out>;
	CORE::close $out or die "pgbench: $text\n";
	my ($done) = $text =~ /actually processed: (\d+)/ or die "pgbench: $text\n";
	my ($tps) = $text =~ /tps = ([\d.]+)/;
	# The postmaster takes its time to notice.
	select undef, undef, undef, 0.1;
	return (1 / $tps, (ended_children($how{postmaster}) - $before) / $done, $done);
}

1;
