# Each health check with its fault made for real, and gone again.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ffs_node('health', conf => "wal_level = replica\nmax_wal_senders = 5\nautovacuum = off\nfsync = off\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION ffstorage;
CREATE TABLE t (id integer PRIMARY KEY, tenant_id text NOT NULL, n integer CHECK (n < 100));
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id', soft_delete => true);
CREATE INDEX by_tenant ON t (tenant_id);
INSERT INTO t SELECT g, 'a', 1 FROM generate_series(1, 200) g;
ANALYZE t;
});

my $strict = join ' ', map { "SET ffstorage.health_$_;" }
  ('index_rows = 100', 'history_size = 0', 'prepared_age = 0', 'transaction_time = 0', 'replication_lag = 1');

# What a check finds: status and message, the worst first.
sub found
{
	my ($check, $settings, $on) = @_;
	return ($on // $node)->safe_psql('postgres', ($settings // '') . qq{
SELECT status || ': ' || message FROM ffs_health WHERE check_name = '$check' ORDER BY status DESC, message LIMIT 1});
}

sub details
{
	my ($check, $settings, $on) = @_;
	return ($on // $node)->safe_psql('postgres', ($settings // '') . "SELECT string_agg(concat_ws(' ', details, hint), ' ') FROM ffs_health WHERE check_name = '$check'");
}

# Run what ffs_index_advice() says of a table.
sub mend
{
	my ($table) = @_;
	my @commands = split /\n/, $node->safe_psql('postgres', "SELECT command FROM ffs_index_advice('$table')");
	$node->safe_psql('postgres', $_) for @commands;
	is($node->safe_psql('postgres', "SELECT count(*) FROM ffs_index_advice('$table')"), '0', 'the advice is all that there is');
	return scalar @commands;
}

sub all_healthy
{
	my ($name) = @_;
	is($node->safe_psql('postgres', $strict . "SELECT string_agg(check_name || ' ' || message || coalesce(': ' || details, ''), '; ') FROM ffs_health WHERE status NOT IN ('healthy', 'off')"), '', $name);
	return;
}

all_healthy('nothing is wrong to begin with, by strict thresholds');
is($node->safe_psql('postgres', 'SELECT ffs_health_status()'), 'healthy', 'in one word');

# ---- errors ----

$node->psql('postgres', join ';', ('UPDATE t SET n = 1000') x 2, 'UPDATE t SET n = 2 WHERE id = 1');
is(found('error_rate'), 'healthy: few operations fail', 'few operations say nothing of a rate');
$node->safe_psql('postgres', q{
DO $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        BEGIN
            UPDATE t SET n = 1000;
        EXCEPTION WHEN check_violation THEN
            NULL;
        END;
    END LOOP;
END $$});
is(found('error_rate'), 'unhealthy: many operations fail', 'errors');
like(details('error_rate'), qr/41 of \d+ operations failed .* Most of them: update on public\.t/, 'which');
is(found('error_rate', 'SET ffstorage.health_error_rate = 100;'), 'healthy: few operations fail', 'by its threshold');
is($node->safe_psql('postgres', 'SELECT ffs_health_status()'), 'unhealthy', 'the one word follows');
$node->safe_psql('postgres', 'SELECT ffs_stats_reset()');

# ---- prepared and long transactions ----

my $session = ffs_session($node);
$session->query("BEGIN; UPDATE t SET n = 3 WHERE id = 2; PREPARE TRANSACTION 'left open'");
is(found('prepared_transactions', $strict), 'degraded: prepared transactions are left open', 'a prepared transaction');
like(details('prepared_transactions', $strict), qr/"left open"/, 'which');
is(found('prepared_transactions'), 'healthy: no prepared transaction is left open', 'not for an hour');
$session->query("ROLLBACK PREPARED 'left open'");
$session->query('BEGIN; UPDATE t SET n = 3 WHERE id = 2');
is(found('long_transactions', $strict . 'SELECT pg_sleep(0.1);') =~ s/^\n//r, 'degraded: transactions are open for long', 'a long transaction');
like(details('long_transactions', $strict), qr/process $session->{pid} \(idle in transaction\)/, 'whose');
is(found('long_transactions'), 'healthy: no transaction is open for long', 'not for an hour');
$session->query('ROLLBACK');

# ---- transaction ids ----

is(found('transaction_ids', 'SET ffstorage.health_transaction_age = 1;'), 'unhealthy: transaction ids are running out', 'transaction ids that were not frozen');
$node->safe_psql('postgres', 'VACUUM FREEZE');
is(found('transaction_ids'), 'healthy: transaction ids are frozen in time', 'by its threshold');

# ---- indexes ----

$node->safe_psql('postgres', 'DROP INDEX by_tenant');
is(found('tenant_indexes', $strict), 'degraded: indexes on tenant columns are missing', 'a tenant column without an index');
like(details('tenant_indexes', $strict), qr/public\.t \(\d+ rows\) has no index that begins with tenant_id\. Run the commands that ffs_index_advice\(\) gives/, 'which, and what to do');
is(found('tenant_indexes'), 'healthy: tenant columns have their indexes', 'a small table needs none');
ok(mend('t') > 0, 'advice is there');
is(found('tenant_indexes', $strict), 'healthy: tenant columns have their indexes', 'it helps');

$node->safe_psql('postgres', 'ALTER TABLE t_history DROP CONSTRAINT t_history_pkey');
is(found('history_indexes'), 'unhealthy: indexes of history are missing', 'history without its key');
like(details('history_indexes'), qr/^public\.t_history has lost its primary key\. Run the commands that ffs_index_advice\(\) gives/, 'which, and what to do');
ok(mend('t') > 0, 'advice is there');
is(found('history_indexes'), 'healthy: history has its indexes', 'back again');
$node->safe_psql('postgres', 'DROP INDEX t_history_times; ALTER INDEX t_history_ended RENAME TO other');
like(details('history_indexes'), qr/^public\.t_history has lost the index on valid_from and valid_to\. Run/, 'known by what they are, not by their names');
ok(mend('t') > 0, 'advice is there');
is(found('history_indexes'), 'healthy: history has its indexes', 'back again');

# ---- history that grows ----

is(found('history_growth', $strict), 'healthy: history is in proportion to its tables', 'little history');
$node->safe_psql('postgres', 'SET ffstorage.actor = \'x\'; DO $$ BEGIN FOR i IN 1 .. 60 LOOP UPDATE t SET n = i; COMMIT; END LOOP; END $$; ANALYZE t');
is(found('history_growth', $strict . 'SET ffstorage.health_history_ratio = 2;'), 'degraded: history grows out of proportion', 'much history');
is(found('history_growth'), 'healthy: history is in proportion to its tables', 'of a small table');

# ---- triggers and policies ----

$node->safe_psql('postgres', 'ALTER TABLE t DISABLE TRIGGER ffstorage_begin');
is(found('triggers_and_policies'), 'unhealthy: triggers or policies missing on 1 of 1 managed tables', 'a trigger that is off');
$node->safe_psql('postgres', 'ALTER TABLE t ENABLE TRIGGER ffstorage_begin');
$node->safe_psql('postgres', 'ALTER TABLE t DISABLE ROW LEVEL SECURITY');
is(found('triggers_and_policies'), 'unhealthy: triggers or policies missing on 1 of 1 managed tables', 'policies that are off');
$node->safe_psql('postgres', 'ALTER TABLE t ENABLE ROW LEVEL SECURITY');

# ---- replication ----

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('health_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(found('replication', undef, $standby), 'healthy: this standby keeps up', 'a standby that keeps up');
is($standby->safe_psql('postgres', 'SELECT reason FROM ffs_stats_since'), 'start', 'that it began from a backup is no crash');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$node->safe_psql('postgres', 'UPDATE t SET n = 7');
$node->wait_for_catchup($standby, 'flush', $node->lsn('insert'));
$node->safe_psql('postgres', 'SELECT pg_sleep(2.5)');
is(found('replication', $strict, $standby) =~ s/^unhealthy/degraded/r, 'degraded: this standby is behind', 'a standby that is behind says so');
ok($node->poll_query_until('postgres', "SELECT replay_lag > '1 s' FROM pg_stat_replication"), 'the lag is seen');
is(found('replication', $strict) =~ s/^unhealthy/degraded/r, 'degraded: a standby is behind', 'so does its primary');
like(details('replication', $strict), qr/"health_standby" is \d+ seconds and \d+ bytes behind/, 'which');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('unused', true); UPDATE t SET n = 8; SELECT pg_switch_wal(); UPDATE t SET n = 9");
is(found('replication', 'SET ffstorage.health_replication_slot_size = 1;'), 'degraded: a replication slot keeps much WAL', 'a slot that nobody uses');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('unused')");
$standby->stop;

# ---- checks that are sick themselves ----

$session->query('BEGIN; LOCK TABLE ffstorage.managed IN ACCESS EXCLUSIVE MODE');
my $start = time;
is(found('tenant_indexes', 'SET ffstorage.health_timeout = 300;'), 'unhealthy: the check took too long', 'a check that hangs is stopped');
cmp_ok(time - $start, '<', 15, 'in time');
is($node->safe_psql('postgres', "SET ffstorage.health_timeout = 300; SELECT status FROM ffs_health WHERE check_name = 'preload'"), 'healthy', 'and the others go on');
my ($rc, $out, $err) = $node->psql('postgres', "SET ffstorage.health_timeout = 0; SET statement_timeout = 500; SELECT * FROM ffs_health");
like($err, qr/canceling statement due to statement timeout/, 'a cancel of the statement is one');
$session->query('ROLLBACK');

# whoever changes a table, with all that stands beside it, holds no page up
$session->query('BEGIN');
$session->query(q{DO $$
DECLARE
    r regclass;
BEGIN
    FOR r IN SELECT b.relid FROM ffs_tables t, LATERAL (VALUES (t.relation), (t.history), (t.audit), (t.deleted)) b(relid) WHERE b.relid IS NOT NULL LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', r);
    END LOOP;
END $$});
foreach my $page ('ffs_stats', 'ffs_health', 'ffs_metrics', 'ffs_stat_operations', 'ffs_tables', 'ffs_report()', 'ffs_health_status()', 'ffs_metrics_text()', 'ffs_slow_operations')
{
	($rc, $out, $err) = $node->psql('postgres', "SET ffstorage.health_timeout = 0; SET lock_timeout = 1; SELECT * FROM $page");
	is("$rc $err", '0 ', "$page waits for no lock");
}
is($node->safe_psql('postgres', 'SELECT count(history_bytes) FROM ffs_tables'), 0, 'sizes that would have to be waited for are left out');
$session->query('ROLLBACK');
is($node->safe_psql('postgres', 'SELECT count(*) - count(history_bytes) FROM ffs_tables'), 0, 'and there again');

# ---- connections ----

$node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT 4');
my @more = map { ffs_session($node) } 1 .. 2;
like(details('connections'), qr/Database "postgres" has \d of the 4 connections/, 'a database whose connections are used up');
$_->close foreach @more;
$node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT -1');
$session->close;

# ---- without preload ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
is($node->safe_psql('postgres', "SELECT count(*) FROM ffs_health WHERE status = 'unhealthy'"), 0, 'without preload nothing is unhealthy');
is(found('preload'), 'off: not loaded when the server started', 'and it is said');
is(found('error_rate'), 'off: errors are not counted', 'so are figures');
$node->stop;
done_testing();
