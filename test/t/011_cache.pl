# The cache of rows and results: what ffs_get, ffs_get_many and ffs_cached give
# against SELECT under a random load (test/model/run.pl), processes killed along
# the way; restarts, prepared transactions from before, replication; and the
# models of its protocols (test/model/*.pml) where spin is installed.
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

# The result of a query twice, so that the second one may be from the cache.
sub same_result
{
	my ($node, $name) = @_;
	my $query = q{SELECT string_agg(id || coalesce(v, '-'), ' ' ORDER BY id) AS s FROM t};
	my $result = qq{SELECT ffs_cached(\$q\$$query\$q\$) ->> 's'};
	is(one($node, $result) . '/' . one($node, $result), one($node, "$query") . '/' . one($node, $query), "$name: the result of a query");
}

# ---- transactions that were prepared before the server started ----

one($node, q{CREATE TABLE t (id integer PRIMARY KEY, v text); SELECT ffs_manage('t', 'scd2');
	INSERT INTO t (id, v) VALUES (1, 'old'), (2, 'old'), (3, 'old')});
one($node, q{BEGIN; UPDATE t SET v = 'new' WHERE id = 1; PREPARE TRANSACTION 'before'});
$node->stop('immediate');
$node->start;
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'old', 'not committed yet');
same_result($node, 'not committed yet');
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 2)}), 'old', 'another row');
same_result($node, 'another row');
is(one($node, q{SELECT entries FROM ffs_stat_cache}), 0, 'nothing is put in while it may end');
is(one($node, q{SELECT status FROM ffs_health WHERE check_name = 'cache'}), 'degraded', 'and health says so');
one($node, q{COMMIT PREPARED 'before'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'committed');
same_result($node, 'committed');
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'from the cache');
same_result($node, 'from the cache');

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
cmp_ok(one($node, q{SELECT entries FROM ffs_stat_cache}), '>', 0, 'rows are put in again');
is(one($node, q{SELECT status FROM ffs_health WHERE check_name = 'cache'}), 'healthy', 'and health is back');

# ---- now prepared, with DDL too ----

one($node, q{SELECT ffs_get(NULL::t, 1), ffs_get(NULL::t, 2)});
one($node, q{BEGIN; DELETE FROM t WHERE id = 2; PREPARE TRANSACTION 'now'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 2)}), 'old', 'prepared: not yet');
same_result($node, 'prepared: not yet');
one($node, q{COMMIT PREPARED 'now'});
is(one($node, q{SELECT count(*) FROM ffs_get(NULL::t, 2)}), 0, 'committed: gone');
same_result($node, 'committed: gone');
one($node, q{BEGIN; ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET v = 'untold' WHERE id = 1; PREPARE TRANSACTION 'ddl'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'new', 'prepared with triggers off: not yet');
same_result($node, 'prepared with triggers off: not yet');
one($node, q{COMMIT PREPARED 'ddl'});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'untold', 'committed');
same_result($node, 'committed');
one($node, q{UPDATE t SET v = 'untold again' WHERE id = 1});
is(one($node, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'untold again', 'with triggers off the table is asked');
same_result($node, 'with triggers off the table is asked');
one($node, q{SELECT ffs_manage('t', 'scd2')});

one($node, q{CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'});
my $twice = q{SELECT ffs_cached('SELECT sum(twice(id)) AS s FROM t') ->> 's'};
is(one($node, $twice) . one($node, $twice), '22', 'made of a function');
one($node, q{BEGIN; CREATE OR REPLACE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n * 20'; PREPARE TRANSACTION 'function'});
is(one($node, $twice), '2', 'which a prepared transaction changes: not yet');
one($node, q{COMMIT PREPARED 'function'});
is(one($node, $twice) . one($node, $twice), '2020', 'committed: changed');

# ---- what replication applies ----

my $origin = ffs_node('origin', conf => "wal_level = logical\nmax_wal_senders = 10\n");
one($origin, q{CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (3, 'c'); CREATE PUBLICATION p FOR TABLE t});
one($node, 'TRUNCATE t');
my $connstr = $origin->connstr . ' dbname=postgres';
one($node, qq{CREATE SUBSCRIPTION s CONNECTION '$connstr' PUBLICATION p});
$node->wait_for_subscription_sync($origin, 's');
is(one($node, q{SELECT string_agg(k || coalesce(v, '-'), ' ') FROM generate_series(1, 3) k LEFT JOIN ffs_get(NULL::t, k) ON true}), '1a 2- 3c', 'copied');
same_result($node, 'copied');
one($origin, q{UPDATE t SET v = 'b' WHERE id = 1; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (2, 'new')});
$origin->wait_for_catchup('s');
is(one($node, q{SELECT string_agg(k || coalesce(v, '-'), ' ') FROM generate_series(1, 3) k LEFT JOIN ffs_get(NULL::t, k) ON true}), '1b 2new 3-', 'what was applied is seen');
same_result($node, 'what was applied is seen');
one($origin, q{TRUNCATE t});
$origin->wait_for_catchup('s');
is(one($node, q{SELECT count(*) FROM ffs_get_many(NULL::t, ARRAY[1, 2, 3])}), 0, 'TRUNCATE too');
same_result($node, 'TRUNCATE too');
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
same_result($standby, 'read on a standby');
one($node, q{UPDATE t SET v = 'changed' WHERE id = 1});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'changed', 'changed on the primary');
same_result($standby, 'changed on the primary');
# What was prepared while it was a standby is not known to the cache either, whoever has looked at its figures.
like(one($standby, 'SELECT entries FROM ffs_stat_cache'), qr/^0$/, 'nothing is put in on a standby');
one($node, q{INSERT INTO t (id, v) VALUES (5, 'old'); BEGIN; UPDATE t SET v = 'new' WHERE id = 5; PREPARE TRANSACTION 'on standby'});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->promote;
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 5)}), 'old', 'prepared on the primary, not committed after the promotion');
same_result($standby, 'prepared on the primary, not committed after the promotion');
one($standby, q{COMMIT PREPARED 'on standby'});
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 5)}), 'new', 'committed after the promotion');
same_result($standby, 'committed after the promotion');
one($standby, q{SELECT ffs_get(NULL::t, 1)});
one($standby, q{UPDATE t SET v = 'promoted' WHERE id = 1});
is(one($standby, q{SELECT v FROM ffs_get(NULL::t, 1)}), 'promoted', 'and after the promotion');
same_result($standby, 'and after the promotion');
$standby->stop;
$node->stop;

# ---- results: one runs the query, the others wait for it ----

sub psql_for { my ($node) = @_; return sprintf q{psql -X -q -A -t -h %s -p %s -d postgres}, $node->host, $node->port; }

$node = ffs_node('results', conf => "ffstorage.cache_functions = 'app.slow, app.stuck'\n");
one($node, q{CREATE EXTENSION ffstorage; CREATE SCHEMA app; CREATE SEQUENCE app.runs; CREATE TABLE app.gate (id integer);
	CREATE TABLE t (id integer PRIMARY KEY, v integer)});
one($node, q{SELECT ffs_manage('t'); INSERT INTO t VALUES (1, 1), (2, 2);
	CREATE FUNCTION app.slow() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN nextval('app.runs'); END $$;
	CREATE FUNCTION app.stuck() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN LOCK TABLE app.gate; RETURN nextval('app.runs'); END $$});
my $call = q{SELECT ffs_cached('SELECT sum(v), app.slow() AS n FROM t')};
my @answers = sort split /\n/, do { my $c = psql_for($node); `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do $c -c "$call" & done; wait`; };
is(join(' ', do { my %seen; grep { !$seen{$_}++ } @answers }), '{"n": 1, "sum": 3}', 'twelve at once: the query ran once');
is(scalar(@answers), 12, 'all had an answer');
is(one($node, q{SELECT last_value FROM app.runs}), 1, 'no second run');
cmp_ok(one($node, q{SELECT result_waits FROM ffs_stat_cache}), '>', 0, 'the others waited');

# whoever waits for one that is terminated runs the query
one($node, q{UPDATE t SET v = v + 1});
my $both = do
{
	my $c = psql_for($node);
	`$c -c "$call" >/dev/null 2>&1 & sleep 0.4; $c -c "$call" & sleep 0.3; $c -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ffs_cached%' AND wait_event = 'PgSleep'" >/dev/null; wait`;
};
like($both, qr/"sum": 5/, 'who waited for a backend that was terminated has an answer');

# nobody waits for one that waits for a lock, which may be the waiter's own
my $stuck = q{SELECT ffs_cached('SELECT sum(v), app.stuck() IS NOT NULL AS n FROM t')};
my $start = time;
is(do
	{
		my $c = psql_for($node);
		`($c -c "BEGIN" -c "LOCK TABLE app.gate" -c "SELECT pg_sleep(1)" -c "$stuck" -c COMMIT) & sleep 0.3; $c -c "$stuck" >/dev/null & wait`;
	}, "\n" . qq({"n": true, "sum": 5}\n), 'no deadlock with a filler that waits for our lock');
cmp_ok(time - $start, '<', 20, 'and no long wait');
$node->stop;

# ---- the model ----

SKIP:
{
	skip 'spin is not installed', 21 if system('command -v spin >/dev/null 2>&1 && command -v cc >/dev/null 2>&1') != 0;
	my %mutations = (
		'cache.pml' => [qw(NO_REMOVE NO_FENCE ONE_ID LATE_FENCE ANY_READER NO_GENERATION NO_NOTE NO_INSERTS),
			# and with readers that take no lock
			'PEEK', map { "PEEK $_" } qw(NO_RECHECK NO_ODD FENCE_UNSAID KEEP_COPY)],
		'results.pml' => [qw(LATE_NOTE NO_NOTE NO_BEFORE NO_POSITION ONE_PART OWN_SEEN)]);
	foreach my $name (sort keys %mutations)
	{
		foreach my $mutation ('', @{ $mutations{$name} })
		{
			my $model = test_dir() . "/model/$name";
			my $dir = File::Temp->newdir;
			my $define = join ' ', map { "-D$_" } split ' ', $mutation;
			my $store = $mutation =~ /PEEK/ ? "-DHC4" : "-DCOLLAPSE";
			my $output = `cd $dir && spin -DWRITERS=2 $define -a $model 2>&1 && cc -O2 -w -DSAFETY $store -o pan pan.c 2>&1 && ./pan -m100000 2>&1`;
			my ($errors) = $output =~ /errors: (\d+)/;
			if ($mutation !~ /^(PEEK)?$/) { is($errors, 1, "$name: a protocol with $mutation is found out") or diag($output); }
			else { is($errors, 0, "$name: no run of the model gives what a snapshot does not see ($mutation)") or diag($output); }
		}
	}
}
done_testing();
