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

my $node = ffs_node('bench', conf => "autovacuum = off\nfsync = off\nsynchronous_commit = off\nmax_connections = 60\n");
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
$node->stop;
done_testing();
