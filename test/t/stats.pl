# Figures over restarts and crashes, room for few tables, many writers at once.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('stats');
$node->init;
$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'ffstorage'
ffstorage.max_tables = 10
autovacuum = off
});
$node->start;

sub counts
{
	my ($table) = @_;
	return $node->safe_psql('postgres',
		"SELECT string_agg(concat_ws(' ', operation, calls, rows, errors), ', ' ORDER BY operation)
		 FROM ffs_stat_operations WHERE relation = '$table'::regclass");
}

sub counters
{
	my ($column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM ffs_health WHERE check_name = 'counters'");
}

$node->safe_psql('postgres', q{
CREATE EXTENSION ffstorage;
CREATE TABLE t (id bigserial PRIMARY KEY, n integer NOT NULL);
SELECT ffs_manage('t');
INSERT INTO t (n) SELECT 1 FROM generate_series(1, 5);
UPDATE t SET n = 2;
});
$node->psql('postgres', 'INSERT INTO t (n) VALUES (NULL)');
my $before = 'insert 1 5 1, update 1 5 0';
is(counts('t'), $before, 'operations and errors are counted');

# ---- restarts ----

my $times = "SELECT string_agg(concat_ws(' ', total_ms, min_ms, max_ms, p95_ms), ', ' ORDER BY operation) FROM ffs_stat_operations";
my $before_times = $node->safe_psql('postgres', $times);
my $file = $node->data_dir . '/pg_stat/ffstorage.stat';
$node->stop;
ok(-f $file, 'a clean shutdown writes the figures');
my $saved = slurp_file($file);
$node->start;
ok(!-f $file, 'the next start removes the file');
is(counts('t'), $before, 'figures survive a clean restart');
is($node->safe_psql('postgres', $times), $before_times, 'and their times');

$node->stop('immediate');
$node->start;
is(counts('t'), '', 'after a crash figures begin at zero');
$node->safe_psql('postgres', 'SELECT ffs_stats_reset()');

# a file that was cut, or changed, is left out with a message
foreach my $bad (substr($saved, 0, length($saved) / 2),
	substr($saved, 0, 100) . 'x' . substr($saved, 101), '')
{
	$node->stop;
	open my $out, '>', $file or die $!;
	binmode $out;
	print $out $bad;
	close $out;
	my $offset = -s $node->logfile;
	$node->start;
	like(slurp_file($node->logfile, $offset), qr/ignoring invalid data in file/, 'a bad file is reported');
	is(counts('t'), '', 'and not used');
}

# ---- room for few tables ----

$node->safe_psql('postgres', q{
DO $$
BEGIN
    FOR i IN 1 .. 15 LOOP
        EXECUTE format('CREATE TABLE room_%s (id integer PRIMARY KEY)', i);
        PERFORM ffs_manage(format('room_%s', i)::regclass);
        EXECUTE format('INSERT INTO room_%s VALUES (1)', i);
        COMMIT;
    END LOOP;
END $$;
});
is($node->safe_psql('postgres', 'SELECT count(DISTINCT relation) FROM ffs_stat_operations'), 10, 'as many tables as there is room for');
is(counters('status'), 'degraded', 'health says that there was no room');
like(counters('details'), qr/room for 10 tables and 5 counts found none/, 'and how often');
$node->safe_psql('postgres', q{
DROP TABLE room_1, room_2, room_3, room_4, room_5, room_6 CASCADE;
DO $$ BEGIN FOR i IN 11 .. 15 LOOP EXECUTE format('INSERT INTO room_%s VALUES (2)', i); END LOOP; END $$;
});
is(counts('room_15'), 'insert 1 1 0', 'dropped tables make room');

# a database that goes takes its figures along
$node->safe_psql('postgres', 'SELECT ffs_stats_reset(); CREATE DATABASE other');
$node->safe_psql('other', q{
CREATE EXTENSION ffstorage;
CREATE TABLE t (id integer PRIMARY KEY);
SELECT ffs_manage('t');
INSERT INTO t VALUES (1);
});
is(counts('t'), '', 'another database keeps its figures to itself');
like(counters('details'), qr/ 1 are counted/, 'but takes room');
$node->safe_psql('postgres', 'DROP DATABASE other');
like(counters('details'), qr/ 0 are counted/, 'until it is dropped');

# ---- many writers at once, some of them rolling back, against what they wrote ----

$node->safe_psql('postgres', q{
CREATE TABLE busy (id bigserial PRIMARY KEY, n integer NOT NULL);
SELECT ffs_manage('busy');
CREATE TABLE truth (operation text, n bigint);
INSERT INTO busy (n) SELECT 0 FROM generate_series(1, 100);
SELECT ffs_stats_reset();
CREATE PROCEDURE work(depth integer) LANGUAGE plpgsql AS $$
DECLARE
    k bigint;
BEGIN
    FOR i IN 1 .. 3 LOOP
        BEGIN
            INSERT INTO busy (n) SELECT 1 FROM generate_series(1, (random() * 3)::integer);
            GET DIAGNOSTICS k = ROW_COUNT;
            INSERT INTO truth VALUES ('insert', k);
            IF random() < 0.4 THEN
                DELETE FROM busy WHERE id IN (SELECT id FROM busy WHERE n = 1 ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED);
                GET DIAGNOSTICS k = ROW_COUNT;
                INSERT INTO truth VALUES ('delete', k);
            END IF;
            IF depth > 0 AND random() < 0.5 THEN
                CALL work(depth - 1);
            END IF;
            IF random() < 0.3 THEN
                RAISE EXCEPTION 'undo';
            END IF;
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
    END LOOP;
END $$;
});
my $script = $node->basedir . '/work.sql';
append_to_file($script, q{
\set r random(1, 10)
BEGIN;
CALL work(2);
\if :r < 3
ROLLBACK;
\else
COMMIT;
\endif
});
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-j', '2', '-t', '50', '-f', $script, 'postgres' ], 'many writers at once');
is( $node->safe_psql('postgres', q{SELECT operation, calls, rows, errors FROM ffs_stat_operations WHERE relation = 'busy'::regclass ORDER BY 1}),
	$node->safe_psql('postgres', q{SELECT operation, count(*), sum(n), 0 FROM truth GROUP BY 1 ORDER BY 1}),
	'counted is what was committed');

# ---- a statement that is cancelled is one error ----

$node->psql('postgres', "SET statement_timeout = '200ms'; INSERT INTO busy (n) SELECT 1 FROM pg_sleep(60)");
is($node->safe_psql('postgres', q{SELECT errors FROM ffs_stat_operations WHERE relation = 'busy'::regclass AND operation = 'insert'}),
	1, 'a cancelled statement is an error');

$node->stop;
done_testing();
