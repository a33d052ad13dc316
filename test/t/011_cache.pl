# The cache of rows and results: what ffs_get, ffs_get_many and ffs_cached give
# against SELECT under a random load (test/model/run.pl), processes killed along
# the way; restarts, prepared transactions from before, replication; and the
# model of its protocol (test/model/cache.pml) where spin is installed.
# FFS_SEED chooses another load, FFS_COMPARISONS and FFS_KILLS how much of it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use File::Temp;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FFS_SEED} // int(rand(100_000));
note("FFS_SEED=$seed");

sub one { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql); }

# ---- a load, with caches that always evict and ones that never do, and kill -9 ----

my ($kills, $comparisons) = $ENV{FFS_LONG} ? (20, 2_000_000) : (4, 100_000);
$comparisons = $ENV{FFS_COMPARISONS} // $comparisons;
$kills = $ENV{FFS_KILLS} // $kills;
chomp(my $bindir = `$ENV{PG_CONFIG} --bindir`) if $ENV{PG_CONFIG};
my $output = run_load($kills, $comparisons);
like($output, qr/^seed $seed: \d+ comparisons, 0 differences/m, 'what the cache gives is what SELECT gives') or diag($output);
my %figures = figures($output);
cmp_ok($figures{rows}, '>', $comparisons / 10, 'rows were given from the cache');
cmp_ok($figures{results}, '>', $comparisons / 2000, 'results were');
cmp_ok($figures{evictions}, '>', $comparisons / 100, 'rows made room for others');
is($figures{killed}, $kills, 'processes were killed along the way');

sub run_load
{
	my ($kills, $comparisons) = @_;
	my @command = ($^X, test_dir() . '/model/run.pl', "--seed=$seed", "--comparisons=$comparisons", "--kills=$kills");
	push @command, "--bindir=$bindir" if defined $bindir;
	# its server is its own
	local %ENV = %ENV;
	delete @ENV{qw(PGHOST PGPORT PGDATABASE PGDATA)};
	my $output = `@command 2>&1`;
	is($?, 0, 'the load runs') or diag($output);
	note($output);
	diag("figure: $_") foreach grep { /^(?:compared|answered|killed|seed \d+:)/ } split /\n/, $output;
	return $output;
}

# What it says at its end.
sub figures
{
	my ($output) = @_;
	my %figures;
	@figures{qw(rows results)} = $output =~ /^answered from the cache: (\d+) rows, (\d+) results/m;
	($figures{evictions}) = $output =~ /evictions (\d+)/;
	my ($backends, $servers) = $output =~ /^killed: (\d+) backends, (\d+) servers/m;
	$figures{killed} = ($backends // 0) + ($servers // 0);
	$figures{$_} //= 0 foreach qw(rows results evictions);
	return %figures;
}

my $node = ffs_node('cache', conf => "ffstorage.cache_size = 16MB\nautovacuum_naptime = 1s\nwal_level = replica\nmax_wal_senders = 10\nhot_standby = on\n");
one($node, 'CREATE EXTENSION ffstorage');

# ---- transactions that were prepared before the server started ----

one($node, q{CREATE TABLE t (id integer PRIMARY KEY, v text); SELECT ffs_manage('t', 'scd2');
	INSERT INTO t (id, v) VALUES (1, 'old'), (2, 'old'), (3, 'old')});
one($node, q{BEGIN; UPDATE t SET v = 'new' WHERE id = 1; PREPARE TRANSACTION 'before'});
$node->stop('immediate');
$node->start;
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'old', 'not committed yet');
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 2)}), 'old', 'another row');
is(one($node, q{SELECT entries FROM ffs_stat_cache}), 0, 'nothing is put in while it may end');
is(one($node, q{SELECT status FROM ffs_health WHERE check_name = 'cache'}), 'degraded', 'and health says so');
one($node, q{COMMIT PREPARED 'before'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'committed');
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'from the cache');

# A snapshot that still sees a row which such a transaction deletes is not told
# by a negative entry that there is none.
one($node, q{BEGIN; DELETE FROM t WHERE id = 3; PREPARE TRANSACTION 'before'});
$node->stop('immediate');
$node->start;
my $psql = sprintf q{psql -X -q -A -t -h %s -p %s -d postgres -c}, $node->host, $node->port;
is(one($node, qq{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
\\! $psql "COMMIT PREPARED 'before'"
\\! $psql 'SELECT count(*) FROM ffs_get(NULL::t, 3)'
\\! $psql 'SELECT count(*) FROM ffs_get(NULL::t, 3)'
SELECT v FROM ffs_get(NULL::t, 3);
COMMIT}), "3\n0\n0\nold", 'an older snapshot still sees the row that it deleted');
is(one($node, q{SELECT entries FROM ffs_stat_cache}), 1, 'rows are put in again');
is(one($node, q{SELECT status FROM ffs_health WHERE check_name = 'cache'}), 'healthy', 'and health is back');

# ---- now prepared, with DDL too ----

one($node, q{SELECT ffs_get(NULL::t, 1), ffs_get(NULL::t, 2)});
one($node, q{BEGIN; DELETE FROM t WHERE id = 2; PREPARE TRANSACTION 'now'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 2)}), 'old', 'prepared: not yet');
one($node, q{COMMIT PREPARED 'now'});
is(one($node, q{SELECT count(*) FROM ffs_get(NULL::t, 2)}), 0, 'committed: gone');
one($node, q{BEGIN; ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET v = 'untold' WHERE id = 1; PREPARE TRANSACTION 'ddl'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'prepared with triggers off: not yet');
one($node, q{COMMIT PREPARED 'ddl'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'untold', 'committed');
one($node, q{UPDATE t SET v = 'untold again' WHERE id = 1});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'untold again', 'with triggers off the table is asked');
one($node, q{SELECT ffs_manage('t', 'scd2')});

# ---- what replication applies ----

my $origin = ffs_node('origin', conf => "wal_level = logical\nmax_wal_senders = 10\n");
one($origin, q{CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (3, 'c'); CREATE PUBLICATION p FOR TABLE t});
one($node, 'TRUNCATE t');
my $connstr = $origin->connstr . ' dbname=postgres';
one($node, qq{CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p});
$node->wait_for_subscription_sync($origin, 's');
is(one($node, q{SELECT string_agg(k || coalesce(v, '-'), ' ') FROM generate_series(1, 3) k LEFT JOIN ffs_get(NULL::t, k) ON true}), '1a 2- 3c', 'copied');
one($origin, q{UPDATE t SET v = 'b' WHERE id = 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (2, 'new')});
$origin->wait_for_catchup('s');
is(one($node, q{SELECT string_agg(k || coalesce(v, '-'), ' ') FROM generate_series(1, 3) k LEFT JOIN ffs_get(NULL::t, k) ON true}), '1b 2new 3-', 'what was applied is seen');
one($origin, q{TRUNCATE t});
$origin->wait_for_catchup('s');
is(one($node, q{SELECT count(*) FROM ffs_get_many(NULL::t, ARRAY[1, 2, 3])}), 0, 'TRUNCATE too');
one($node, 'DROP SUBSCRIPTION s');
$origin->stop;

# ---- a standby asks its tables, and caches when it is promoted ----

one($node, q{INSERT INTO t (id, v) VALUES (1, 'standby')});
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'standby', 'read on a standby');
one($node, q{UPDATE t SET v = 'changed' WHERE id = 1});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'changed', 'changed on the primary');
$standby->promote;
one($standby, q{SELECT ffs_get(NULL::t, 1)});
one($standby, q{UPDATE t SET v = 'promoted' WHERE id = 1});
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'promoted', 'and after the promotion');
$standby->stop;
$node->stop;

# ---- the model ----

SKIP:
{
	skip 'spin is not installed', 9 if system('command -v spin >/dev/null 2>&1 && command -v cc >/dev/null 2>&1') != 0;
	my $model = test_dir() . '/model/cache.pml';
	foreach my $mutation ('', qw(NO_REMOVE NO_FENCE ONE_ID LATE_FENCE ANY_READER NO_GENERATION NO_NOTE NO_INSERTS))
	{
		my $dir = File::Temp->newdir;
		my $define = $mutation ? "-D$mutation" : '';
		my $output = `cd $dir && spin -DWRITERS=2 $define -a $model 2>&1 && cc -O1 -w -DSAFETY -o pan pan.c 2>&1 && ./pan -m100000 2>&1`;
		my ($errors) = $output =~ /errors: (\d+)/;
		if ($mutation) { is($errors, 1, "a protocol with $mutation is found out") or diag($output); }
		else { is($errors, 0, 'no run of the model gives what a snapshot does not see') or diag($output); }
	}
}
done_testing();
