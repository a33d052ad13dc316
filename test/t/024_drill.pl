# scripts/drill: a backup of managed tables of every kind passes, with pg_dump
# and with pgBackRest, while the source is written; one whose history is damaged,
# in the source or on its way, fails with the table and the law.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $drill = test_dir() . '/../scripts/drill';
# A short path: there is a socket in it.
my $folder = tempdir('drill-XXXX', DIR => '/tmp', CLEANUP => 1);
my @damage = ("SET session_replication_role = replica", "DELETE FROM versioned_history WHERE id = 12 AND version = 2");

# Runs the drill; its last line, all that it said, its exit status.
sub drill
{
	my (@arguments) = @_;
	my $said = '';
	local $ENV{TMPDIR} = $folder;
	IPC::Run::run([ $drill, @arguments ], '<', \'', '>&', \$said);
	my $status = $? >> 8;
	note $said;
	my ($last) = $said =~ /([^\n]*)\n\z/;
	return ($last, $said, $status);
}

sub write_file
{
	my ($name, $text) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir() . "/$name";
	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	close $out;
	return $path;
}

# A source with what there is: strategies, a tenant, a composite key, odd names, partitions, soft delete, roles.
sub fill
{
	my ($node) = @_;
	ffs_tables($node, 60);
	$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA "odd schema";
CREATE TABLE "odd schema"."Tenants' rows" ("the tenant" uuid NOT NULL, "the key" text, "a ""value""" jsonb, PRIMARY KEY ("the tenant", "the key"));
SELECT ffs_manage('"odd schema"."Tenants'' rows"', strategy => 'scd2', tenant_column => 'the tenant', soft_delete => true, exclude => ARRAY['a "value"']::name[]);
CREATE TABLE lines (tenant_id text NOT NULL, order_id bigint, line integer, price numeric, weight float8, due timestamptz, PRIMARY KEY (order_id, line));
SELECT ffs_manage('lines', strategy => 'copy_on_change', tenant_column => 'tenant_id', soft_delete => true);
CREATE TABLE keyless (n integer);
SELECT ffs_manage('keyless', soft_delete => true);
CREATE ROLE reader LOGIN;
GRANT SELECT ON "odd schema"."Tenants' rows" TO reader;
INSERT INTO "odd schema"."Tenants' rows" SELECT md5((n % 3)::text)::uuid, 'key ' || n, '{}' FROM generate_series(1, 50) n;
UPDATE "odd schema"."Tenants' rows" SET "the key" = 'other ' || "the key" WHERE "the key" ~ '7';
DELETE FROM "odd schema"."Tenants' rows" WHERE "the key" ~ '9';
INSERT INTO lines SELECT 't' || n % 3, n / 5, n % 5, n * 1.10, n / 3.0, '2026-01-01' FROM generate_series(1, 50) n;
UPDATE lines SET price = price * 2, due = NULL WHERE line = 2;
UPDATE lines SET price = price::text::numeric(10, 3) WHERE line = 3;
DELETE FROM lines WHERE line = 4;
INSERT INTO keyless SELECT generate_series(1, 20);
DELETE FROM keyless WHERE n < 5;
UPDATE versioned SET amount = amount * 2 WHERE id BETWEEN 10 AND 20;
UPDATE versioned SET amount = amount * 2 WHERE id = 12;
DELETE FROM versioned WHERE id IN (13, 14);
SELECT ffs_restore('versioned', 14);
INSERT INTO versioned (id, account) VALUES (13, 'another life');
UPDATE audited SET amount = NULL, note = 'x' WHERE id < 5;
DELETE FROM audited WHERE id = 3;
-- Columns come and go.
ALTER TABLE audited ADD COLUMN later text, ADD COLUMN gone text;
UPDATE audited SET gone = 'x' WHERE id IN (5, 30);
ALTER TABLE audited DROP COLUMN gone;
DELETE FROM audited WHERE id IN (4, 30);
UPDATE parted SET note = 'x' WHERE id IN (1, 59);
BEGIN;
SELECT ffs_set_actor('ana', '{"ticket": "T-1"}');
UPDATE versioned SET note = 'by ana' WHERE id = 15;
COMMIT;
SQL
	return;
}

# Every managed table, and what stands beside it, by name with its rows.
sub relations
{
	my ($node) = @_;
	return split /\n/, $node->safe_psql('postgres', <<'SQL');
SET search_path = '';
SELECT r || '|' || (xpath('//d/text()', query_to_xml('SELECT count(*) AS d FROM ' || r, false, true, '')))[1]
  FROM ffstorage.managed, unnest(ARRAY[relation, history, audit, deleted]) r WHERE r IS NOT NULL ORDER BY 1
SQL
}

sub left_nothing
{
	my ($label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([ glob("$folder/*") ], [], "$label: nothing is left behind");
	return;
}

# ---- pg_dump ----

my $node = ffs_node('source', conf => "autovacuum = off\n");
my @dump = ('pg_dump', '-h', $node->host, '-p', $node->port, 'postgres');
fill($node);
ffs_laws_ok($node, 'laws in the source');
my $state = ffs_state($node);
my $xmax = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');

my ($last, $said, $status) = drill(@dump, '--part=40');
like($last, qr/^PASS: 7 managed tables, 0 known findings, \d+\.\d s$/, 'pg_dump: passes');
is($status, 0, 'and its status says so');
foreach (relations($node))
{
	my ($name, $rows) = split /\|/;
	like($said, qr/^  \Q$name\E +$rows +$rows  same$/m, "$name: $rows rows, compared");
}
foreach my $step ('pg_dump, of one snapshot', 'pg_restore', 'laws of public.versioned, part 2 of \d', 'laws of "odd schema"."Tenants\' rows", part 1 of \d', 'laws of public.keyless')
{
	like($said, qr/^ *$step +\d+\.\d s$/m, "how long it took: $step");
}
is($node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())'), $xmax, 'no transaction of the source was given a number: it was only read');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ffstorage drill'}), '0', 'nobody is left in the source');
left_nothing('pg_dump');

# While the source is written, and by a connection string.
my $load = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
ffs_load_script(60, $load);
my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-T', 300, '-f', $load, $node->connstr('postgres') ], '<', \'', '>&', \my $pgbench_said);
($last, $said, $status) = drill('pg_dump', '-d', $node->connstr('postgres'), '--jobs=1');
is($status, 0, 'among writers: passes');
like($last, qr/^PASS: /, 'and says so');
$pgbench->pump_nb;
ok($pgbench->pumpable, 'they have been writing all the time');
$pgbench->signal('TERM');
$pgbench->finish;
unlike($pgbench_said, qr/ERROR|aborted/, 'without an error');

# Damaged on its way: what is compared differs, and the law of what is left is broken.
my $damage = write_file('damage.sql', <<'SQL');
SET session_replication_role = replica;
UPDATE public.audited SET amount = 77.5 WHERE id = 7;
DELETE FROM public.parted_history WHERE id = 59;
DELETE FROM public.keyless WHERE n = 20;
SELECT 'my own finding';
SQL
($last, $said, $status) = drill(@dump, "--check=$damage");
is($status, 1, 'a damaged restore fails');
like($last, qr/^FAIL: \d+ findings, .*damage.sql: my own finding/, 'what a check of our own prints is a finding');
like($said, qr/^  public\.audited: digests differ: (\d+) rows in the source, \1 restored$/m, 'a changed value is found');
like($said, qr/^  public\.parted_history: rows differ: /m, 'a missing version');
like($said, qr/^  public\.keyless: rows differ: 16 rows in the source, 15 restored$/m, 'a missing row');
like($last, qr/public\.audited: law 4 broken: 1 lines/, 'the last line names the table and the law');
like($last, qr/public\.parted: law 2 broken: /, 'of every one');
like($said, qr/law 4: key \(7\): differs: \{"amount": \[[\d.]+, 77\.5\]\}/, 'and the key is told');
unlike($said, qr/^ .*"odd schema".*(?:broken|differ)/m, 'what is whole is whole');
left_nothing('a damaged restore');

# Damaged in the source: the dump is the same as the source, and yet no history.
$node->safe_psql('postgres', join('; ', @damage));
($last, $said, $status) = drill(@dump, '--part=1000');
is($status, 1, 'a damaged source fails');
like($last, qr/^FAIL: 1 findings, [\d.]+ s: public\.versioned: law 2 broken: \d+ lines$/, 'with the table and the law');
like($said, qr/law 2: key \(12\) version 3: follows version 1/, 'and the key');
unlike($said, qr/differ/, 'though the dump is what the source is');
($last, $said, $status) = drill(@dump, '--allow=versioned: law 2');
like($last, qr/^PASS: 7 managed tables, 1 known findings/, 'what is known is told and passes');

# What cannot be done is said.
($last, $said, $status) = drill('pg_dump', '-h', $node->host, '-p', $node->port, '-d', 'not there');
is($status, 1, 'no database, no drill');
like($said, qr/database "not there" does not exist.*^FAIL: /ms, 'and why');
($last, $said, $status) = drill('pg_dump', '-h', $node->host, '-p', $node->port, 'template1');
like($said, qr/database template1 has no ffstorage.*^FAIL: /ms, 'a database without ffstorage');
left_nothing('a drill that could not be done');

# Ended from outside.
my $marker = PostgreSQL::Test::Utils::tempdir() . '/waiting';
my $wait = write_file('wait.sql', "\\! touch $marker\nSELECT pg_sleep(100);\n");
{
	local $ENV{TMPDIR} = $folder;
	my $drilling = IPC::Run::start([ $drill, @dump, "--check=$wait" ], '<', \'', '>&', \$said);
	for (1 .. 1200) { last if -e $marker; sleep 0.1; }
	ok(-e $marker, 'a drill is under way');
	my ($pid) = glob("$folder/*/data/postmaster.pid");
	$drilling->signal('TERM');
	open my $in, '<', $pid or die "$pid: $!";
	chomp(my $server = <$in>);
	close $in;
	# bash waits for what it runs.
	$node->run_log([ 'psql', '-X', '-h', dirname_of($pid) . '/../socket', '-p', 5432, '-U', 'ffs_drill', '-d', 'postgres', '-c', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()} ]);
	$drilling->finish;
	isnt($drilling->full_result(0), 0, 'it ends');
	ok(!readlink("/proc/$server/exe"), 'its server too');
	left_nothing('a drill that was ended');
}

# ---- pgBackRest ----

SKIP:
{
	my $there = IPC::Run::run([ 'sh', '-c', 'command -v pgbackrest' ], '>', \my $where);
	skip 'there is no pgbackrest', 1 unless $there;
	pgbackrest();
}
$node->stop;
done_testing();

sub dirname_of { return $_[0] =~ s{/[^/]*$}{}r; }

sub pgbackrest
{
	my $repository = PostgreSQL::Test::Utils::tempdir();
	my $space = PostgreSQL::Test::Utils::tempdir();
	my $touched = PostgreSQL::Test::Utils::tempdir() . '/touched';
	my $backed = PostgreSQL::Test::Cluster->new('backed');
	my $config = write_file('pgbackrest.conf', join("\n", '[global]', "repo1-path=$repository", 'log-level-file=off', "lock-path=$repository/lock", 'start-fast=y',
		'[main]', 'pg1-path=' . $backed->data_dir, 'pg1-socket-path=' . $backed->host, 'pg1-port=' . $backed->port, ''));
	my @backrest = ('pgbackrest', "--config=$config", '--stanza=main');
	$backed->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$backed->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'ffstorage'
max_prepared_transactions = 20
wal_level = replica
max_wal_senders = 3
archive_mode = on
archive_command = 'pgbackrest --config=$config --stanza=main archive-push %p'
CONF
	$backed->start;
	# What must not be done again where the backup is restored.
	$backed->safe_psql('postgres', "ALTER SYSTEM SET $_") foreach "archive_cleanup_command = 'touch $touched'", "recovery_end_command = 'touch $touched'", "external_pid_file = '$touched'";
	fill($backed);
	$backed->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$space'");
	$backed->safe_psql('postgres', 'ALTER TABLE versioned_history SET TABLESPACE elsewhere');
	$backed->command_ok([ @backrest, 'stanza-create' ], 'pgBackRest: a stanza');
	$backed->command_ok([ @backrest, '--type=full', 'backup' ], 'a backup');

	# What comes after it is in the WAL; a transaction is prepared.
	$backed->safe_psql('postgres', q{UPDATE versioned SET note = 'after the backup' WHERE id < 20; INSERT INTO lines VALUES ('t1', 900, 1, 1, 1, now()); CREATE DATABASE without});
	$backed->safe_psql('postgres', q{BEGIN; UPDATE audited SET amount = 1 WHERE id = 1; PREPARE TRANSACTION 'open'});
	my $after = $backed->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
	$backed->poll_query_until('postgres', "SELECT last_archived_wal >= '$after' FROM pg_stat_archiver") or die 'nothing is archived';
	# pgBackRest counts in seconds: this one is later than the backup's end.
	my $moment = $backed->safe_psql('postgres', q{SELECT pg_sleep(1); SELECT clock_timestamp()}) =~ s/^\n//r;
	my @relations = relations($backed);
	my ($latest, $all, $rc) = drill('pgbackrest', '--stanza=main', "--config=$config", '--part=40');
	like($latest, qr/^PASS: 7 managed tables, 0 known findings, /, 'pgBackRest: passes');
	is($rc, 0, 'and its status says so');
	foreach (@relations)
	{
		my ($name, $rows) = split /\|/;
		like($all, qr/^  \Q$name\E +$rows$/m, "$name: $rows rows restored, those of the WAL too");
	}
	like($all, qr/^$_ +\d+\.\d s$/m, "how long it took: $_") foreach 'pgbackrest restore', 'recovery';
	left_nothing('pgBackRest');

	# Damaged later: the latest state fails, the one before does not.
	$backed->safe_psql('postgres', join('; ', @damage));
	my $segment = $backed->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
	$backed->poll_query_until('postgres', "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver") or die 'nothing is archived';
	($latest, $all, $rc) = drill('pgbackrest', '--stanza=main', "--config=$config");
	is($rc, 1, 'a damaged cluster fails');
	like($latest, qr/^FAIL: 1 findings, .*public\.versioned: law 2 broken: /, 'with the table and the law');
	like($all, qr/law 2: key \(12\) version 3: follows version 1/, 'and the key');
	($latest, $all, $rc) = drill('pgbackrest', '--stanza=main', "--config=$config", '--type=time', "--target=$moment");
	like($latest, qr/^PASS: /, 'at the moment before it was damaged it passes');

	ok(!-e $touched, 'no command of the cluster was run');
	($latest, $all, $rc) = drill('pgbackrest', '--stanza=other', "--config=$config");
	is($rc, 1, 'no such stanza');
	like($all, qr/there is no backup of --stanza=other/, 'is said');
	like((drill('pgbackrest', '--stanza=main', '--type=standby'))[1], qr/--type=standby: the drill wants/, 'what would not stand by itself is refused');
	left_nothing('pgBackRest');
	$backed->command_ok([ @backrest, 'check' ], 'the cluster goes on archiving');
	$backed->stop;
	return;
}
