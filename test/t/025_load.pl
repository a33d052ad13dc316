# bench/load: the mix runs on a server that is there; what its table says is what
# pgbench counted, what pgbench's log has, and what the server's own figures have; the laws hold after.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $run = test_dir() . '/../bench/load/run';
my $node = ffs_node('load', conf => "max_connections = 40\nfsync = off\n");
my $folder = PostgreSQL::Test::Utils::tempdir();
my @scripts = qw(get list cached update create_many delete_restore as_of);

# Runs it; what it said, its exit status.
sub load
{
	my (@arguments) = @_;
	my $said = '';
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');
	IPC::Run::run([ $run, @arguments ], '<', \'', '>&', \$said);
	my $status = $? >> 8;
	note $said;
	return ($said, $status);
}

# Its table: script => transactions, tps, p50, p95, p99, errors.
sub table
{
	my ($said) = @_;
	return map { my ($name, @numbers) = split; ($name => \@numbers) } $said =~ /^([a-z_]+(?: +[\d.]+){6})$/mg;
}

# How many transactions of a script the log has.
sub logged
{
	my ($script) = @_;
	return scalar grep { $_->[2] =~ /^\d+$/ && $_->[3] == $script } map { [split] } map { split /\n/, slurp_file($_) } glob("$folder/out/log.*");
}

# The exact latency that this share of the log's transactions of a script does not pass, in milliseconds.
sub percentile
{
	my ($share, $script) = @_;
	my @times;
	foreach my $log (glob("$folder/out/log.*"))
	{
		push @times, map { $_->[2] / 1000 } grep { $_->[3] == $script } map { [split] } split /\n/, slurp_file($log);
	}
	@times = sort { $a <=> $b } @times;
	my $at = $share * @times;
	return $times[ $at == int $at ? $at - 1 : int $at ];
}

# Made first: what setting up does is not the load's.
my ($said, $status) = load('seconds=1', 'clients=2', 'scale=1', map { "$_=0" } grep { $_ ne 'get' } @scripts);
is($status, 0, 'one script alone');
my %table = table($said);
is_deeply([ sort keys %table ], [ 'all', 'get' ], 'is one line, and the sum');
cmp_ok($table{get}[0], '>', 0, 'and does something');
ffs_laws_ok($node, 'laws after setting up');
$node->safe_psql('postgres', 'SELECT ffs_stats_reset()');
my $versions = $node->safe_psql('postgres', 'SELECT count(*) FROM ffs_load.contracts_history');

($said, $status) = load('seconds=4', 'clients=4', 'scale=1', 'create_many=4', "out=$folder/out");
is($status, 0, 'the mix');
like($said, qr/^health: healthy$/m, 'the server is healthy after it');
%table = table($said);
my $report = slurp_file("$folder/out/pgbench.txt");
my $number = 0;
foreach my $script (@scripts)
{
	my ($transactions, $tps, $p50, $p95, $p99, $errors) = @{ $table{$script} // [] };
	cmp_ok($transactions // 0, '>', 0, "$script: it ran");
	is($errors, 0, "$script: without an error");
	my ($counted, $speed) = $report =~ m{/$script\.sql\n.*\n - (\d+) transactions \([\d.]+% of total, tps = ([\d.]+)\)};
	is($transactions, logged($number), "$script: as often as the log has it");
	# which loses one now and then, as its threads count without a lock
	ok($counted <= $transactions && $counted >= 0.99 * $transactions - 3, "$script: and about as often as pgbench says");
	cmp_ok(abs($tps - $speed), '<', 0.01 * $speed + 0.1, "$script: as fast");
	foreach my $share ([ 0.5, $p50 ], [ 0.95, $p95 ], [ 0.99, $p99 ])
	{
		my $exact = percentile($share->[0], $number);
		cmp_ok(abs($share->[1] - $exact), '<=', 0.006 * $exact + 0.0011, "$script: p" . 100 * $share->[0] . " is the log's");
	}
	$number++;
}
my $sum = 0;
$sum += $table{$_}[0] foreach @scripts;
is($table{all}[0], $sum, 'the sum of all');

# The server's own figures.
my %calls = map { split /\|/ } split /\n/, $node->safe_psql('postgres', q{SELECT operation, calls FROM ffs_stat_operations WHERE relation = 'ffs_load.contracts'::regclass});
is($calls{ffs_get}, $table{get}[0], 'ffs_get: calls as transactions');
is($calls{ffs_list}, $table{list}[0], 'ffs_list');
is($calls{ffs_create_many}, $table{create_many}[0], 'ffs_create_many');
is($calls{ffs_delete}, $table{delete_restore}[0], 'ffs_delete');
is($node->safe_psql('postgres', q{SELECT calls FROM ffs_stat_operations WHERE relation = 'ffs_load.invoices'::regclass AND operation = 'update'}), $table{update}[0], 'updates');
cmp_ok($node->safe_psql('postgres', 'SELECT result_hits FROM ffs_stat_cache'), '>', 0, 'results came from the cache');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ffs_load.contracts WHERE customer ~ '^new'}), 100 * $table{create_many}[0], 'the rows are there');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM ffs_load.contracts_history'), '>', $versions, 'and the versions');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ffs_load.contracts_history WHERE ended_by = 'load' AND tenant_id <> 't' || (id - 1) / 1000 AND id <= 10000}), '0', 'each of its own tenant');
ffs_laws_ok($node, 'laws after it');

# What goes wrong is told.
($said, $status) = load('scale=3');
is($status, 1, 'another size than is there');
like($said, qr/there is a load of 10 tenants already: .*scale=1 uses it/, 'is refused');
($said, $status) = load('nonsense=1');
like($said, qr/what is nonsense=1\?/, 'what is not in the mix is refused');
$node->safe_psql('postgres', 'ALTER TABLE ffs_load.invoices RENAME COLUMN value TO amount');
($said, $status) = load('seconds=2', 'clients=2', 'scale=1');
is($status, 1, 'a script that fails is a failure');
like($said, qr/ERROR:  column "value" of relation "invoices" does not exist|ERROR:  column "value" does not exist/, 'and its error is shown');

($said, $status) = load('drop');
is($status, 0, 'drop');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'ffs_load') + (SELECT count(*) FROM pg_roles WHERE rolname = 'ffs_load') + (SELECT count(*) FROM ffs_tables)}), '0', 'takes all of it away');

$node->stop;
done_testing();
