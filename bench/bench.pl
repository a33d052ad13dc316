# Runs the rows of rows/ (or growth/) against the server that PGHOST, PGPORT
# and PGUSER name, in a database of its own, and prints how each case stands to
# its row's first.  scripts/bench is what starts a server and calls this.
#
#   bench.pl --client PROGRAM --pgbench PROGRAM [--row NAME,NAME] [--quick | --tiny]
#            [--growth] [--max ROWS] [--peers DIR] [--repeats N] [--profile] [--out FILE.md] [--about TEXT]
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Getopt::Long;
use Time::HiRes qw(time);
use lib dirname(abs_path(__FILE__)) . '/lib';
use Bench::Client;
use Bench::Database qw(make_database);
use Bench::Profile qw(profiled);
use Bench::Report;
use Bench::Row qw(read_row read_peer slurp);

my $home = dirname(abs_path(__FILE__));
my %set = (pgbench => 'pgbench', max => 1_000_000);
GetOptions(\%set, 'client=s', 'pgbench=s', 'row=s', 'quick', 'tiny', 'growth', 'max=i', 'peers=s', 'repeats=i', 'profile', 'out=s', 'about=s')
  or exit 2;
$Bench::Client::program = $set{client} // die "--client is needed\n";
$| = 1;
# An end like any other: the temporary folder goes.
$SIG{$_} = sub { exit 1; } foreach qw(INT TERM HUP);
binmode STDOUT, ':encoding(UTF-8)';

# How much of everything; a row ends early when it has taken its time.
my %size = $set{tiny}
  ? (rows => 2000, half => 1000, batch => 100, versions => 10_000, lookups => 200)
  : (rows => 200_000, half => 100_000, batch => 1000, versions => 2_000_000, lookups => 10_000);
my $repeats = $set{repeats} // ($set{tiny} ? 1 : $set{quick} ? 3 : $set{growth} ? 3 : 9);
my $peer_repeats = $set{tiny} || $set{quick} ? 1 : 3;
my $seconds = $set{quick} || $set{growth} ? 2 : 4;
my $row_time = $set{quick} ? 20 : 75;
my $work = tempdir('ffs-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $failed = 0;
my ($admin, $postmaster, %peers, %shared, $schemas);

sub vars
{
	my (%more) = @_;
	my %v = (%size, tenants => $set{tiny} ? 10 : 100, clients => 2, %more);
	@v{qw(new_first new_last)} = ($v{rows} + 1, $v{rows} + $v{half});
	return \%v;
}

# ---- the database ----

# The newest file of that name in the folder of peers or one below.
sub peer_file
{
	my ($name) = @_;
	return unless defined $set{peers};
	my @found = sort grep { -f } glob("$set{peers}/$name $set{peers}/*/$name");
	return $found[-1];
}

# '' if what is needed is there, else why not.
sub lacking
{
	my ($needs) = @_;
	return '' unless defined $needs && $needs =~ /^(extension|function|library|file) (\S+)$/;
	my ($kind, $name) = ($1, $2);
	return peer_file($name) ? '' : 'not there' if $kind eq 'file';
	my %count = (
		extension => "FROM pg_available_extensions WHERE name = '$name'",
		function => "FROM pg_proc WHERE proname = '$name'",
		library => "WHERE current_setting('shared_preload_libraries') ~ '\\m$name\\M'");
	my $found = $admin->value("SELECT count(*) $count{$kind}");
	return $found ? '' : 'not there';
}

# Installs a peer when a row first asks for it.
sub peer
{
	my ($name) = @_;
	return $peers{$name} if $peers{$name};
	my $peer = $peers{$name} = read_peer("$home/peers/$name.sql");
	$peer->{lacks} = lacking($peer->{needs});
	return $peer if $peer->{lacks};
	eval {
		my $client = Bench::Client->new('');
		$client->run_sql($peer->{install});
		$client->run_sql(slurp(peer_file($1))) if $peer->{needs} =~ /^file (\S+)/;
		$client->close;
		1;
	} or do
	{
		chomp(my $error = $@);
		$peer->{lacks} = "cannot be installed: $error";
	};
	return $peer;
}

# ---- one case ----

# The row's first case again, under a peer's care.
sub peer_case
{
	my ($row, $name) = @_;
	my $peer = peer($name);
	return { name => $name, lacks => $peer->{lacks} } if $peer->{lacks};
	my %case = %{ $row->{cases}[0] };
	# Filled first: a peer's triggers may not be switched off.
	$case{fill} .= $peer->{manage};
	return { %case, name => $name, manage => '', after => "$case{after}$peer->{clean}", peer => 1 };
}

# Makes a case's table and what it sends; the connection stays open.
sub prepare
{
	my ($case) = @_;
	my $schema = $case->{schema} // 'c' . ++$schemas;
	$case->{in} = $schema;
	my $options = "-c search_path=$schema,public" . join '', map { " -c $_" } split ' ', $case->{options} // '';
	$case->{pgoptions} = $options;
	unless ($shared{$schema})
	{
		$shared{$schema} = 1 if $case->{schema};
		$admin->run_sql("CREATE SCHEMA $schema");
		my $maker = Bench::Client->new($options);
		$maker->run_sql($case->{$_}) foreach qw(setup manage fill);
		$maker->close;
		$admin->run_sql("VACUUM ANALYZE $_") foreach tables($schema);
	}
	my $client = $case->{client} = Bench::Client->new($options);
	# Whose rights it has while it makes ready does not matter: the role comes after.
	$client->request($_->{kind}, $_->{text}) foreach @{ $case->{ready} };
	$client->run_sql($case->{session});
	return;
}

sub tables
{
	my ($schema) = @_;
	return
	  map { $_->[0] } $admin->rows("SELECT oid::regclass FROM pg_class WHERE relnamespace = '$schema'::regnamespace AND relkind IN ('r', 'p')");
}

# Both see the same state: no dead rows, nothing dirty.
sub settle
{
	my ($case) = @_;
	$admin->run_sql("VACUUM $_") foreach tables($case->{in});
	$admin->run_sql('CHECKPOINT');
	return;
}

sub run_timed
{
	my ($case, $part) = @_;
	my ($kind, $text, $clients) = ($part->{kind}, $part->{text}, $part->{clients} // 1);
	return $case->{client}->timed($kind, $text, $clients) if $kind ne 'pgbench';

	my $file = "$work/pgbench.sql";
	open my $out, '>', $file or die "$file: $!\n";
	print $out $text;
	close $out;
	my $options = join '', map { /^(kind|text|clients)$/ ? () : " -c $_=$part->{$_}" } sort keys %$part;
	return Bench::Client::pgbench(
		program => $set{pgbench},
		script => $file,
		clients => $clients,
		options => $case->{pgoptions} . $options,
		postmaster => $postmaster,
		($set{tiny} ? (transactions => 20) : (seconds => $seconds)));
}

# One turn of a case; what it took is kept under the turn's number.
sub turn
{
	my ($case, $number) = @_;
	my ($wall, $cpu) = (0, 0);
	janitor($case)->run_sql($case->{before});
	settle($case);
	foreach my $part (@{ $case->{timed} })
	{
		my ($w, $c, $rows) = run_timed($case, $part);
		$wall += $w;
		$cpu += $c;
	}
	check($case);
	janitor($case)->run_sql($case->{after});
	if ($number > 0)
	{
		$case->{wall}{$number} = $wall;
		$case->{cpu}{$number} = $cpu;
	}
	return;
}

# The connection that keeps house for a case.
sub janitor
{
	my ($case) = @_;
	return $case->{janitor} //= Bench::Client->new("-c search_path=$case->{in},public");
}

# That what was timed did its work.
sub check
{
	my ($case) = @_;
	return unless $case->{check} =~ /\S/;
	my $answer = janitor($case)->value($case->{check});
	die "the check says $answer\n" unless defined $answer && $answer eq 't';
	return;
}

# Whether it went well; if not the case is out.
sub attempt
{
	my ($case, $code) = @_;
	return 1 if eval { $code->(); 1 };
	chomp(my $error = $@);
	$case->{lacks} = "failed: $error";
	$failed = 1;
	return 0;
}

# ---- one row ----

sub run_row
{
	my ($row) = @_;
	my @cases = (@{ $row->{cases} }, map { peer_case($row, $_) } @{ $row->{peers} });
	$row->{cases} = \@cases;
	foreach my $case (@cases)
	{
		$case->{lacks} ||= lacking($case->{needs});
		attempt($case, sub { prepare($case); turn($case, 0); }) unless $case->{lacks};
	}
	my $start = time;
	foreach my $number (1 .. $repeats)
	{
		last if $number > 3 && time - $start > $row_time;
		# There and back again: who comes after whom changes.
		foreach my $case ($number % 2 ? @cases : reverse @cases)
		{
			next if $case->{lacks} || ($case->{peer} && $number > $peer_repeats);
			attempt($case, sub { turn($case, $number); });
		}
	}
	foreach my $case (grep { $set{profile} && !$_->{lacks} } @cases)
	{
		# Where the time goes of what has a target.
		next unless grep { $_->{case} eq $case->{name} } @{ $row->{targets} };
		my $pgbench = grep { $_->{kind} eq 'pgbench' } @{ $case->{timed} };
		my $process = $pgbench ? $postmaster : $case->{client}->value('SELECT pg_backend_pid()');
		attempt($case, sub { $case->{profile} = profiled($process, "$work/perf", sub { turn($case, 0); }); });
	}
	foreach my $case (@cases)
	{
		$_->close foreach grep { defined } delete @$case{qw(client janitor)};
		$admin->run_sql("DROP SCHEMA $case->{in} CASCADE") if defined $case->{in} && !defined $case->{schema};
	}
	return;
}

sub run_rows
{
	my ($report, @files) = @_;
	foreach my $file (@files)
	{
		my $row = read_row($file, vars());
		next if lacking($row->{needs});
		run_row($row);
		$report->row($row);
	}
	return;
}

# All rows at each value of what varies; tables of the same name and size are
# shared among them, and gone before others are made.
sub run_growth
{
	my ($report, @files) = @_;
	my (%points, $made);
	foreach my $axis (axes(@files))
	{
		my ($name, @values) = @$axis;
		foreach my $value (values_of($name, @values))
		{
			my $vars = vars($name => $value);
			my $wanted = "$vars->{rows} $vars->{tenants}";
			drop_shared() if defined $made && $made ne $wanted;
			$made = $wanted;
			foreach my $file (@files)
			{
				my $row = read_row($file, $vars);
				next unless grep { $_->[0] eq $name } @{ $row->{vary} };
				print "$name = $value: $row->{title}\n";
				run_row($row);
				push @{ $points{$name}{$file} }, { at => $value, row => $row };
			}
		}
		$report->growth($name, @{ $points{$name}{$_} }) foreach grep { $points{$name}{$_} } @files;
	}
	return;
}

# What varies, with all values that any row names.
sub axes
{
	my (%values, @names);
	foreach my $file (@_)
	{
		foreach my $vary (@{ read_row($file, vars())->{vary} // [] })
		{
			my ($name, @of) = @$vary;
			push @names, $name unless $values{$name};
			$values{$name}{$_} = 1 foreach @of;
		}
	}
	return map { [ $_, sort { $a <=> $b } keys %{ $values{$_} } ] } @names;
}

sub values_of
{
	my ($name, @values) = @_;
	return $values[0] < $size{rows} ? $values[0] : $size{rows} if $set{tiny};
	return $name eq 'rows' ? grep { $_ <= $set{max} } @values : @values;
}

sub drop_shared
{
	$admin->run_sql("DROP SCHEMA $_ CASCADE") foreach sort keys %shared;
	%shared = ();
	return;
}

sub main
{
	my $folder = $set{growth} ? 'growth' : 'rows';
	my @files = sort glob "$home/$folder/*.sql";
	if (defined $set{row})
	{
		my $wanted = join '|', map { quotemeta } split /[,\s]+/, $set{row};
		@files = grep { m{[^/]*(?:$wanted)[^/]*\.sql$} } @files;
		die "no row has such a name: $set{row}\n" unless @files;
	}
	($admin, $postmaster) = make_database("$home/setup.sql");
	my $report = Bench::Report->new($set{out}, $set{about}, $admin);
	$set{growth} ? run_growth($report, @files) : run_rows($report, @files);
	$report->finish;
	$admin->close;
	return;
}

main();
exit $failed;
