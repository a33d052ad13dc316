# Every row of the bench still works, at a tiny size: what it measures here says nothing.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = test_dir() . '/../bench';
plan skip_all => 'the bench is not here' unless -f "$bench/bench.pl";

my $client = PostgreSQL::Test::Utils::tempdir() . '/client';
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my ($include, $lib) = map { scalar `$pg_config $_` } qw(--includedir --libdir));
command_ok([ $ENV{CC} // 'cc', '-O1', '-Wall', '-Werror', "-I$include", "$bench/client.c", '-o', $client, "-L$lib", '-lpq', '-lpthread' ],
	'the client builds');

my $statements = -f qx{$pg_config --sharedir} =~ s/\n//r . '/extension/pg_stat_statements.control';
my $node = ffs_node('bench',
	preload => 0,
	conf => "shared_preload_libraries = '" . ($statements ? 'pg_stat_statements,' : '') . "ffstorage'\nautovacuum = off\nfsync = off\nsynchronous_commit = off\nmax_connections = 60\n");
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
foreach my $kind (qw(rows growth))
{
	my @option = $kind eq 'growth' ? '--growth' : ();
	my ($out, $err) = run_command([ $^X, "$bench/bench.pl", '--client', $client, '--tiny', @option ]);
	is($err, '', "$kind: nothing is complained of");
	unlike($out, qr/failed:|not measured/, "$kind: every case could be measured");
	unlike($out, qr/^\s++(?!temporal_tables|periods|supa_audit|nearform|pg_local_cache).*not there/m, "$kind: only peers are not there");
	foreach my $file (sort glob "$bench/$kind/*.sql")
	{
		my ($title) = slurp_file($file) =~ /^-- \@row (.+)$/m;
		like($out, qr/^\Q$title\E/m, "$kind: $title");
	}
}

SKIP:
{
	skip 'pg_stat_statements is not here', 5 unless $statements;
	$node->append_conf('postgresql.conf', "pg_stat_statements.track = all\n");
	$node->restart;
	my ($out, $err) = run_command([ $^X, "$bench/mix.pl", '--client', $client, '--transactions', 400, '--tenants', 5, '--rows', 40 ]);
	is($err, '', 'mix: nothing is complained of');
	unlike($out, qr/in plain SQL$|another one in the end/m, 'mix: the same was done');
	foreach my $line ('blocks, on the tables', 'list: rows', 'result_hits')
	{
		like($out, qr/^ +\Q$line\E +[1-9]/m, "mix: $line");
	}
}

my ($out, $err) = run_command([ $^X, "$bench/overhead.pl", '--client', $client, '--rows', 100, '--seconds', 1, '--turns', 1, '--only', 'select-only, none, prepared' ]);
is($err, '', 'overhead: nothing is complained of');
like($out, qr/^  figures, select-only, none, prepared +[\d.]+ +[\d.]+ +[\d.]+ /m, 'overhead: there are figures');
$node->stop;
done_testing();
