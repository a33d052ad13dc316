# Circuit breakers across sessions: one probe only, probes whose holders go
# away in every way, pools, crashes, many names.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = ffs_node('breakers', conf => "ffstorage.max_breakers = 20\nmax_connections = 80\nrestart_after_crash = on\nffstorage.breaker_open_time = 300ms\n");
sub one { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub open_breaker { my ($name) = @_; one(qq{SELECT ffs_breaker_report('$name', false) FROM generate_series(1, 5)}); return; }

sub state_of { my ($name) = @_; return one(qq{SELECT state FROM ffs_breakers WHERE name = '$name'}); }

one(q{CREATE EXTENSION ffstorage; CREATE TABLE probes (client integer, at timestamptz DEFAULT clock_timestamp())});

# ---- fifty at once ----

my $script = $node->basedir . '/probe.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
SELECT ffs_breaker_allow('x') AS go \gset
\if :go
INSERT INTO probes VALUES (:client_id);
\sleep 150 ms
SELECT ffs_breaker_report('x', false);
\else
\sleep 30 ms
\endif
SQL
# connected already: asked within the open time on a busy machine too
my $other = ffs_session($node);
$other->query(q{SELECT ffs_breaker_report('x', false) FROM generate_series(1, 5)});
is($other->query(q{SELECT ffs_breaker_allow('x')}), 'f', 'open: nobody goes');
sleep 0.35;
is(state_of('x'), 'half_open', 'half-open after its time');
# each asks sixty times, while the probe is away and for a while after its failure
$node->command_ok([ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 60, '-f', $script, $node->connstr('postgres') ], 'fifty clients');
my $tries = one('SELECT count(*) FROM probes');
my $gap = one(q{SELECT coalesce(min(extract(epoch FROM gap)), 1) FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM probes) g});
cmp_ok($tries, '>=', 1, "one of them went ($tries in all)");
cmp_ok($gap, '>=', 0.44, 'and no other before that one had failed and the time had passed');
is(one(q{SELECT calls = (SELECT count(*) FROM probes) AND rejected + calls > 2900 FROM ffs_breakers WHERE name = 'x'}), 't', 'all were counted');

# ---- fifty at once, while some are cancelled and terminated ----

one(<<'SQL');
CREATE TABLE storm_over ();
CREATE PROCEDURE storm() LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM storm_over) LOOP
        IF ffs_breaker_allow('storm') THEN
            -- a second one would wait here for the first for longer than it may
            PERFORM set_config('lock_timeout', '500ms', true);
            PERFORM pg_advisory_xact_lock(77);
            INSERT INTO probes VALUES (pg_backend_pid());
            PERFORM pg_sleep(0.8);
            PERFORM ffs_breaker_report('storm', false);
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.02 * random());
    END LOOP;
END $$;
TRUNCATE probes;
SQL
open_breaker('storm');
my $seconds = $ENV{FFS_STORM_SECONDS} // ($ENV{FFS_LONG} ? 60 : 6);
my ($errors, $over) = map { $node->basedir . "/storm.$_" } 'err', 'over';
my @storm = map { IPC::Run::start([ 'sh', '-c', 'while [ ! -e "$3" ]; do psql -X -q -v VERBOSITY=verbose -d "$1" -c "$2"; done', 'sh',
			$node->connstr('postgres'), 'CALL storm()', $over ], '>', '/dev/null', '2>', "$errors$_") } 1 .. 50;
$node->poll_query_until('postgres', q{SELECT count(*) = 50 FROM pg_stat_activity WHERE query LIKE 'CALL storm%'});
my $chaos = ffs_session($node);
my $stop = time + $seconds;
my ($hit, $last) = (0, time + $seconds + 60);
# a while longer where a busy machine has let few through
while (time < $stop || ($hit < 20 && time < $last))
{
	$hit += $chaos->query(q{SELECT count(CASE WHEN random() < 0.5 THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END)
		FROM (SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL storm%' AND (pid IN (SELECT probe_pid FROM ffs_breakers) AND random() < 0.1 OR random() < 0.003)) x});
	sleep 0.05;
}
PostgreSQL::Test::Utils::append_to_file($over, "\n");
one('INSERT INTO storm_over DEFAULT VALUES');
$_->finish foreach @storm;
my %storm;
foreach my $n (1 .. 50)
{
	$storm{$_}++ foreach slurp_file("$errors$n") =~ /(?:ERROR|FATAL):  (\w{5})/g;
}
my $sleeps = one(q{SELECT calls - failed FROM ffs_breakers WHERE name = 'storm'});
note("storm: $sleeps probes were not reported; " . join(', ', map { "$storm{$_} times $_" } sort keys %storm));
is(join(' ', grep { !/^(57014|57P01)$/ } sort keys %storm), '', 'storm: no two had the probe at once');
cmp_ok($storm{57014} // 0, '>', 0, 'storm: some were cancelled');
cmp_ok(one(q{SELECT calls FROM ffs_breakers WHERE name = 'storm'}), '>', 1, 'storm: others tried after them');
is(one(q{SELECT probe_pid IS NULL FROM ffs_breakers WHERE name = 'storm'}), 't', 'storm: nobody holds the probe in the end');

# ---- turned away in under a millisecond ----

open_breaker('fast');
one(q{SET ffstorage.breaker_open_time = '1h'; DO $$ BEGIN FOR i IN 1..1000 LOOP PERFORM ffs_breaker_allow('fast'); END LOOP; END $$});
my $start = time;
one(q{SET ffstorage.breaker_open_time = '1h'; DO $$ BEGIN FOR i IN 1..1000 LOOP IF ffs_breaker_allow('fast') THEN RAISE 'open'; END IF; END LOOP; END $$});
cmp_ok(time - $start, '<', 1, 'a thousand refusals, a psql and its connection in under a second');

# ---- holders that go away ----

open_breaker('held');
sleep 0.35;
my $session = ffs_session($node);
$session->query('BEGIN');
is($session->query(q{SELECT ffs_breaker_allow('held')}), 't', 'a session has the probe');
is(one(q{SELECT ffs_breaker_allow('held')}), 'f', 'no other gets it');
my $pid = $session->query('SELECT pg_backend_pid()');
is(one(q{SELECT probe_pid FROM ffs_breakers WHERE name = 'held'}), $pid, 'ffs_breakers says who');
one("SELECT pg_terminate_backend($pid, 10000)");
is(one(q{BEGIN; SELECT ffs_breaker_allow('held'); ROLLBACK}), 't', 'a session that is terminated leaves it');
is(one(q{SELECT ffs_breaker_allow('held')}), 't', 'and one that rolls back');
is(one(q{SELECT ffs_breaker_allow('held')}), 't', 'and one that ends without a report');

# a statement that is cancelled
$session = ffs_session($node);
$session->query(q{SET ffstorage.breaker_open_time = '1h'});
open_breaker('cancelled');
sleep 0.35;
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT ffs_breaker_allow('cancelled'), pg_sleep(10)}, timeout => 30,
	extra_params => [], on_error_stop => 1, connstr => $node->connstr('postgres') . q{ options='-c statement_timeout=200'});
like($err, qr/statement timeout/, 'a statement with the probe times out');
is(one(q{SELECT ffs_breaker_allow('cancelled')}), 't', 'and leaves it');

# a pool: the transaction that took it has committed, its session stays and never reports
open_breaker('pool');
sleep 0.35;
$session = ffs_session($node);
is($session->query(q{SELECT ffs_breaker_allow('pool')}), 't', 'a session has the probe');
is($other->query(q{SELECT ffs_breaker_allow('pool')}), 'f', 'for a while');
sleep 0.35;
is(one(q{BEGIN; SELECT ffs_breaker_allow('pool'); ROLLBACK}), 't', 'no longer than the open time');
is($session->query(q{SELECT ffs_breaker_allow('pool')}), 't', 'then somebody else');
is(one(q{SELECT ffs_breaker_report('pool', true); SELECT state FROM ffs_breakers WHERE name = 'pool'}), "\nclosed", 'any session may report');

# an open transaction keeps it, however long
open_breaker('long');
sleep 0.35;
$session->query('BEGIN');
is($session->query(q{SELECT ffs_breaker_allow('long')}), 't', 'a transaction has the probe');
sleep 0.7;
is(one(q{SELECT ffs_breaker_allow('long')}), 'f', 'and keeps it until it ends');
$session->query('COMMIT');
is($other->query(q{SELECT ffs_breaker_allow('long')}), 'f', 'and a while longer');
$session->query(q{SELECT ffs_breaker_report('long', true)});
is(state_of('long'), 'closed', 'it closes it');

# ---- a crash ----

open_breaker('crash');
$session->query('BEGIN');
$pid = $session->query('SELECT pg_backend_pid()');
sleep 0.35;
is($session->query(q{SELECT ffs_breaker_allow('crash')}), 't', 'a session has the probe');
kill 'KILL', $pid;
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM ffs_breakers}, 't');
is(one(q{SELECT ffs_breaker_allow('crash')}), 't', 'a crash closes all breakers');

# ---- another database, and more names than there is room for ----

one('CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION ffstorage');
open_breaker('both');
is(one(q{SELECT ffs_breaker_allow('both')}), 'f', 'open here');
is($node->safe_psql('other', q{SELECT ffs_breaker_allow('both')}), 't', 'closed in another database');
one(q{SELECT ffs_breaker_allow('name ' || i) FROM generate_series(1, 100) i});
is(one(q{SELECT count(*) FROM ffs_breakers}) , 20 , 'closed ones make room for others');
like(state_of('both'), qr/open/, 'open ones do not');
open_breaker("full $_") foreach (1 .. 19);
($rc, $out, $err) = $node->psql('postgres', q{SELECT ffs_breaker_allow('one more')});
is($out, 't', 'one that finds no room lets calls go');
like($err, qr/WARNING:  there is no room for circuit breaker "one more"/, 'and says so');
$node->psql('postgres', q{SELECT ffs_breaker_report('one more', false) FROM generate_series(1, 9); SELECT ffs_breaker_reset(name) FROM ffs_breakers}, stderr => \$err);
is(one(q{SELECT status || ', ' || message FROM ffs_health WHERE check_name = 'breakers'}), 'degraded, there was no room for a circuit breaker in the last hour', 'health says so too');
is(one(q{SELECT ffs_breaker_allow('one more')}), 't', 'there is room again');

# ---- a database that is dropped, and made again with its OID ----

one('CREATE DATABASE again OID 70001');
$node->safe_psql('again', <<'SQL');
CREATE EXTENSION ffstorage;
CREATE TABLE kept (id integer PRIMARY KEY);
SELECT ffs_manage('kept');
SET ffstorage.max_running_per_tenant = 5;
SELECT ffs_create('kept', '{"id": 1}');
SELECT ffs_breaker_report('theirs', false) FROM generate_series(1, 5);
SET ffstorage.validate_queries = warn;
SELECT 1 WHERE 1=1 OR 2=2;
SELECT ffs_stats_reset();
SQL
my $seen = q{SELECT (SELECT count(*) FROM ffs_breakers), (SELECT count(*) FROM ffs_stat_admission), (SELECT count(*) FROM ffs_unsafe_queries),
	(SELECT reason = 'reset' FROM ffs_stats_since)};
is($node->safe_psql('again', $seen), '1|1|1|t', 'a database has breakers, calls, queries');
one('DROP DATABASE again');
one('CREATE DATABASE again OID 70001');
$node->safe_psql('again', 'CREATE EXTENSION ffstorage');
is($node->safe_psql('again', $seen), '0|0|0|f', 'another one in its place has none of them');
is($node->safe_psql('again', q{SELECT ffs_breaker_allow('theirs')}), 't', 'and its calls go');

$node->stop;
done_testing();
