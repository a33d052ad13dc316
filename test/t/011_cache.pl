# The cache of rows: what ffs_get gives against SELECT under a random load
# (test/model/cache.pl), with a cache that always evicts and with one that
# never does; restarts, crashes, prepared transactions from before, replication;
# and the model of its protocol (test/model/cache.pml) where spin is installed.
# FFS_SEED chooses another load, FFS_TRANSACTIONS how much of it.
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
my $transactions = $ENV{FFS_TRANSACTIONS} // ($ENV{FFS_LONG} ? 10_000 : 150);
note("FFS_SEED=$seed");

sub one { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql); }

# ---- a load ----

sub run_model
{
	my ($node, $name) = @_;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	my $output = `perl test/model/cache.pl $seed $transactions 2>&1`;
	is($?, 0, "$name: what the cache gives is what SELECT gives") or diag($output);
	like($output, qr/^\d{4,} comparisons, 0 differences/m, "$name: it was compared");
	note($output);
}

my $node = ffs_node('cache', conf => "ffstorage.cache_size = 128kB\nautovacuum_naptime = 1s\nwal_level = replica\nmax_wal_senders = 10\nhot_standby = on\n");
one($node, 'CREATE EXTENSION ffstorage');
run_model($node, 'tiny');
cmp_ok(one($node, 'SELECT evictions FROM ffs_stat_cache'), '>', 100, 'rows made room for others');
one($node, 'ALTER SYSTEM SET ffstorage.cache_size = \'16MB\'');
$node->restart;
run_model($node, 'large');
cmp_ok(one($node, 'SELECT hits FROM ffs_stat_cache'), '>', 1000, 'it was used');
is(one($node, 'SELECT evictions FROM ffs_stat_cache'), 0, 'nothing had to go');

# ---- transactions that were prepared before the server started ----

one($node, q{SELECT ffs_unmanage_all()});
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
