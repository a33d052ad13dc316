# Warm-up after a restart: rows of the cache and blocks of managed tables are in
# memory again, and nothing that has changed, is gone or is broken is in its way.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = ffs_node('warm', conf => "ffstorage.warm_interval = 0\nffstorage.cache_ttl = 0\nautovacuum = off\nlog_min_messages = log\n");
my $file = $node->data_dir . '/ffstorage.warm';

sub one { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }
sub health { return one(q{SELECT status || ': ' || message || '. ' || details FROM ffs_health WHERE check_name = 'warm_up'}); }
sub entries { return one('SELECT entries FROM ffs_stat_cache'); }

# Wait until the worker has nothing more to load.
sub wait_loaded
{
	$node->poll_query_until('postgres', <<'SQL') or die 'no end of the warm-up';
SELECT message = 'memory will be loaded again after a restart' AND details NOT LIKE 'No file%' FROM ffs_health WHERE check_name = 'warm_up'
SQL
	return;
}

sub restart { my ($how) = @_; $node->stop($how // 'fast'); $node->start; wait_loaded(); return; }

# Have the file written now.
sub write_file
{
	unlink $file;
	one(q{ALTER SYSTEM SET ffstorage.warm_interval = '1s'});
	one('SELECT pg_reload_conf()');
	foreach (1 .. 300) { last if -e $file; usleep(50_000); }
	die 'no file' if !-e $file;
	one('ALTER SYSTEM RESET ffstorage.warm_interval');
	one('SELECT pg_reload_conf()');
	usleep(300_000);
	return;
}

# What the log says since a place in it.
my $log_at = 0;
sub log_mark { $log_at = -s $node->logfile; return; }
sub log_lines { my ($like) = @_; return scalar(grep { /$like/ } split /\n/, substr(slurp_file($node->logfile), $log_at)); }

# ---- rows and blocks are back ----

one(<<'SQL');
CREATE EXTENSION ffstorage;
CREATE TABLE t (id integer PRIMARY KEY, v text);
SELECT ffs_manage('t', 'scd2', soft_delete => true);
INSERT INTO t (id, v) SELECT i, repeat('x', 100) || i FROM generate_series(1, 5000) i;
UPDATE t SET v = v || ' once more';
CREATE TABLE plain AS SELECT i, repeat('x', 100) AS v FROM generate_series(1, 5000) i;

CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TABLE keys (a numeric, b text, c uuid, d interval, e colour, f code, g timestamptz, h boolean, i name, j bytea, k "char", l date, m jsonb,
	n varchar(10), o smallint, p bigint, v text, PRIMARY KEY (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p));
SELECT ffs_manage('keys');
INSERT INTO keys SELECT i / 7.0, repeat('b', i % 40), md5(i::text)::uuid, i * interval '1 hour', (ARRAY['red', 'green'])[1 + i % 2]::colour, 'f' || i,
	'2020-01-01'::timestamptz + i * interval '1 day', i % 2 = 0, 'n' || i, sha256(i::text::bytea), chr(65 + i % 26)::"char", date '2020-01-01' + i,
	to_jsonb(i), i::text, i, -i, 'v' || i FROM generate_series(1, 100) i;

CREATE TABLE parted (region text, id integer, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE parted_eu (v text, id integer NOT NULL, region text NOT NULL, PRIMARY KEY (region, id));
ALTER TABLE parted ATTACH PARTITION parted_eu FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
SELECT ffs_manage('parted', 'copy_on_change');
INSERT INTO parted SELECT (ARRAY['eu', 'us'])[1 + i % 2], i, 'v' || i FROM generate_series(1, 100) i;

CREATE TABLE tenants (tenant_id integer NOT NULL, id integer PRIMARY KEY, v text);
SELECT ffs_manage('tenants', tenant_column => 'tenant_id');
INSERT INTO tenants SELECT i % 3, i, 'v' || i FROM generate_series(1, 90) i;
CREATE ROLE app LOGIN;
GRANT SELECT ON tenants TO app;
SQL

my $read = <<'SQL';
SELECT count(r.v), md5(string_agg(r::text, ' ' ORDER BY i)) FROM generate_series(1, 1000) i, ffs_get(NULL::t, i) r;
SELECT count(r.v), md5(string_agg(r::text, ' ' ORDER BY x.p)) FROM keys x, ffs_get(NULL::keys, x.a, x.b, x.c, x.d, x.e, x.f, x.g, x.h, x.i, x.j, x.k, x.l, x.m, x.n, x.o, x.p) r;
SELECT count(r.v), md5(string_agg(r::text, ' ' ORDER BY x.id)) FROM parted x, ffs_get(NULL::parted, x.region, x.id) r;
SELECT count(r.v), md5(string_agg(r::text, ' ' ORDER BY x.id)) FROM tenants x, ffs_get(NULL::tenants, x.id) r;
SQL
my $before = one($read);
like($before, qr/^1000\|.*\n100\|.*\n100\|.*\n90\|/, 'rows are read');
is(entries(), 1290, 'and are in the cache');
one('SELECT count(*) FROM plain; SELECT ffs_get(NULL::t, -1)');
like(health(), qr/^healthy: .*There was no file to be loaded after the last start. No file has been written yet/, 'nothing has been loaded or written yet');
log_mark();
restart();
is(entries(), 1290, 'after a restart they are there again, and what was not there is not');
is(one('SELECT misses + hits FROM ffs_stat_cache'), 0, 'before anybody has asked');
is(one($read), $before, 'they are what they were');
is(one('SELECT misses || \' \' || hits FROM ffs_stat_cache'), '0 1290', 'without a look into the tables');
like(health(), qr/healthy: .*1290 of 1290 rows and \d+ of \d+ blocks of 1 database were loaded.*names 1290 rows/, 'health says so');
is(log_lines('warm-up: 1290 of 1290 rows'), 1, 'and so does the log');
is(one(q{SELECT set_config('role', 'app', false); BEGIN; SELECT ffs_set_tenant('1'); SELECT string_agg(coalesce(g.v, '-'), ' ') FROM generate_series(1, 4) i LEFT JOIN ffs_get(NULL::tenants, i) g ON true; COMMIT}) =~ s/.*\n//rs,
	'v1 - - v4', 'each tenant is given his own rows only');

SKIP:
{
	skip 'pg_buffercache is not here', 1 if one(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache'}) == 0;
	# Blocks: with no other reading, all of the table is in memory at once.
	one('CREATE EXTENSION pg_buffercache');
	my $buffers = <<'SQL';
SELECT string_agg(c.relname || ' ' || (SELECT count(*) * 8192 = pg_relation_size(c.oid) FROM pg_buffercache b WHERE b.relfilenode = pg_relation_filenode(c.oid) AND relforknumber = 0), ', ' ORDER BY c.relname)
FROM pg_class c WHERE relname IN ('t', 't_pkey', 't_history', 't_history_pkey', 'plain')
SQL
	one('SELECT count(v) FROM t; SELECT count(valid_to) FROM t_history; SELECT count(*) FROM plain; SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM t WHERE id > 0; SELECT count(*) FROM t_history WHERE id > 0');
	restart();
	is(one($buffers), 'plain false, t true, t_history false, t_history_pkey true, t_pkey true', 'blocks of managed tables, of their indexes and of history\'s are in memory, others are not');
	one('DROP EXTENSION pg_buffercache');
}

# ---- what has changed since the file ----

one($read);
write_file();
one(q{UPDATE t SET v = 'changed' WHERE id <= 100; DELETE FROM t WHERE id BETWEEN 101 AND 200; UPDATE t SET id = id + 10000 WHERE id BETWEEN 201 AND 300; UPDATE parted SET region = 'us' WHERE region = 'eu' AND id < 50});
my $changed = one($read);
restart('immediate');
cmp_ok(entries(), '>', 900, 'after a crash, what the last file says is loaded');
is(one($read), $changed, 'with what has been committed since');
is(one(q{SELECT count(*) FROM generate_series(1, 300) i, LATERAL (SELECT (SELECT v FROM ffs_get(NULL::t, i)) AS got, (SELECT v FROM t WHERE id = i) AS there) x WHERE got IS DISTINCT FROM there}), 0, 'row by row');

# ---- what is gone, or another ----

one('CREATE DATABASE gone');
one('CREATE DATABASE shut');
one('CREATE DATABASE without');
foreach my $database (qw(gone shut without))
{
	one(q{CREATE EXTENSION ffstorage; CREATE TABLE t (id integer PRIMARY KEY, v text); SELECT ffs_manage('t'); INSERT INTO t VALUES (1, 'other'); SELECT ffs_get(NULL::t, 1)}, $database);
}
one(q{
CREATE TABLE dropped (id integer PRIMARY KEY, v text); SELECT ffs_manage('dropped'); INSERT INTO dropped VALUES (1, 'a'); SELECT ffs_get(NULL::dropped, 1);
CREATE TABLE retyped (id text PRIMARY KEY, v text); SELECT ffs_manage('retyped'); INSERT INTO retyped VALUES ('1', 'a'); SELECT ffs_get(NULL::retyped, '1');
CREATE TABLE rekeyed (id integer PRIMARY KEY, other text NOT NULL, v text); SELECT ffs_manage('rekeyed'); INSERT INTO rekeyed VALUES (1, 'x', 'a'); SELECT ffs_get(NULL::rekeyed, 1);
CREATE TABLE unmanaged (id integer PRIMARY KEY, v text); SELECT ffs_manage('unmanaged'); INSERT INTO unmanaged VALUES (1, 'a'); SELECT ffs_get(NULL::unmanaged, 1);
CREATE TABLE rewritten (id integer PRIMARY KEY, v text); SELECT ffs_manage('rewritten'); INSERT INTO rewritten VALUES (1, 'a'); SELECT ffs_get(NULL::rewritten, 1)});
one($read);
write_file();
one('DROP DATABASE gone');
one('SELECT ffs_unmanage_all(); DROP EXTENSION ffstorage', 'without');
one('ALTER DATABASE shut ALLOW_CONNECTIONS false');
one(q{DROP TABLE dropped CASCADE; ALTER TABLE retyped ALTER id TYPE numeric USING id::numeric; SELECT ffs_unmanage('unmanaged');
	ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (other);
	ALTER TABLE rewritten ALTER v TYPE varchar(20), ADD w integer DEFAULT 7});
log_mark();
restart('immediate');
is(log_lines('warm-up of database'), 3, 'one line for each of three databases that are not there for us');
is(log_lines('ERROR|FATAL|PANIC'), 0, 'and no error');
is(one($read), $changed, 'rows of other tables are there');
like(health(), qr/Left out: 3 databases/, 'health says so');
is(one(q{SELECT g.v || g.w FROM ffs_get(NULL::rewritten, 1) g}), 'a7', 'of a table of another form');
is(one(q{SELECT (SELECT v FROM ffs_get(NULL::retyped, 1)) || (SELECT v FROM ffs_get(NULL::rekeyed, 'x'))}), 'aa', 'tables with other keys');
one('DROP DATABASE shut');

# ---- files that cannot be used ----

one($read);
$node->stop;
my $good = slurp_file($file);
sub spoilt { my ($at, $bytes) = @_; my $copy = $good; substr($copy, $at, length $bytes) = $bytes; return $copy; }
my %bad = (
	'empty' => ['', 'too short'],
	'half a head' => [substr($good, 0, 20), 'too short'],
	'cut' => [substr($good, 0, length($good) / 2), 'length is not what it says'],
	'cut by a byte' => [substr($good, 0, -1), 'length is not what it says'],
	'longer' => [$good . 'x', 'length is not what it says'],
	'another file' => ['x' x 10_000, 'not such a file'],
	'another version' => [spoilt(8, pack('V', 99)), 'another version of ffstorage'],
	'another machine' => [spoilt(12, pack('V', 99)), 'another kind of machine'],
	'another PostgreSQL' => [spoilt(16, pack('V', 99)), 'another version of PostgreSQL'],
	'very many sections' => [spoilt(20, pack('V', 0x7fffffff)), 'length is not what it says'],
	'another cluster' => [spoilt(24, pack('Q<', 99)), 'another database cluster'],
	'a bit' => [spoilt(length($good) - 1000, ~substr($good, -1000, 1)), 'checksum is wrong'],
	'the checksum' => [spoilt(length($good) - 4, 'abcd'), 'checksum is wrong'],
);
foreach my $name (sort keys %bad)
{
	my ($content, $reason) = @{ $bad{$name} };
	unlink $file;
	append_to_file($file, $content);
	log_mark();
	$node->start;
	wait_loaded();
	is(log_lines("warm-up: file \"ffstorage.warm\" is not used: .*$reason"), 1, "$name: one line in the log");
	is(entries() . log_lines('ERROR|FATAL|PANIC'), '00', "$name: nothing is loaded, and nothing breaks");
	$node->stop('immediate');
}
foreach my $seed (1 .. 10)
{
	# the sum is right, what it is of is not: never a crash
	my $copy = $good;
	srand($seed);
	substr($copy, 48 + int(rand(length($copy) - 52)), 1) = chr(int(rand(256))) foreach (1 .. 1 + int(rand(30)));
	substr($copy, -4) = pack('V', crc32c(substr($copy, 0, -4)));
	unlink $file;
	append_to_file($file, $copy);
	log_mark();
	$node->start;
	wait_loaded();
	is(log_lines('PANIC|terminated by signal'), 0, "spoilt by seed $seed: the server lives") or last;
	is(one($read), $changed, "spoilt by seed $seed: rows are right") if $seed % 5 == 0;
	$node->stop('immediate');
}
unlink $file;
append_to_file($file, $good);
rename $file, "$file.loading";
append_to_file("$file.tmp", 'half');
log_mark();
$node->start;
wait_loaded();
is(log_lines('loading it did not come to an end the last time'), 1, 'a file during whose loading the server went down is not tried again');
is(entries(), 0, 'nothing is loaded');
ok(!-e "$file.loading" && !-e "$file.tmp", 'and nothing lies about');
$node->stop;
ok(-e $file, 'when it stops, there is a new one');

# ---- a smaller cache ----

unlink $file;
append_to_file($file, $good);
$node->append_conf('postgresql.conf', "ffstorage.cache_size = 128kB\n");
$node->start;
wait_loaded();
cmp_ok(entries(), '>', 150, 'a smaller cache is filled');
is(one('SELECT evictions FROM ffs_stat_cache'), 0, 'and nothing had to make room');
is(one($read), $changed, 'rows are right');
$node->stop;
$node->append_conf('postgresql.conf', "ffstorage.cache_size = 64MB\n");

# ---- others want the database, the table, the server ----

$node->start;
one('CREATE DATABASE busy');
one(q{CREATE EXTENSION ffstorage; CREATE TABLE t (id integer PRIMARY KEY, v text); SELECT ffs_manage('t'); INSERT INTO t VALUES (1, 'other'); SELECT ffs_get(NULL::t, 1)}, 'busy');

# A transaction that was prepared before keeps rows from going in: the worker waits in the database.
$node->stop;
unlink $file;
$node->start;
one(q{SELECT ffs_get(NULL::t, 1)}, 'busy');
one(q{BEGIN; INSERT INTO plain VALUES (0, 'prepared'); PREPARE TRANSACTION 'before'});
log_mark();
$node->stop;
$node->start;
my $in_busy = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ffstorage warm-up' AND datname = 'busy'};
$node->poll_query_until('postgres', $in_busy, '1') or die 'no worker';
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'ffstorage warm-up' AND backend_xmin IS NOT NULL}), 'while it waits it has no snapshot');
my $start = time;
one('CREATE DATABASE copied TEMPLATE busy');
cmp_ok(time - $start, '<', 30, 'a copy of its database does not wait for it');
$node->poll_query_until('postgres', $in_busy, '1') or die 'no worker again';
ok(1, 'it comes again');
$start = time;
one('DROP DATABASE copied');
cmp_ok(time - $start, '<', 30, 'nor does the end of another database');
$start = time;
$node->stop;
cmp_ok(time - $start, '<', 30, 'nor does the server\'s');
is(log_lines('PANIC|ERROR'), 0, 'no error');
log_mark();
$node->start;
$node->poll_query_until('postgres', $in_busy, '1') or die 'no worker';
one(q{COMMIT PREPARED 'before'});
wait_loaded();
is(one(q{SELECT entries FROM ffs_stat_cache}), 1, 'the file was kept, and is loaded when that is possible');
is(one(q{SELECT misses FROM ffs_stat_cache, ffs_get(NULL::t, 1)}, 'busy'), 0, 'a hit');
one(q{BEGIN; INSERT INTO plain VALUES (0, 'prepared'); PREPARE TRANSACTION 'before'});
$node->stop;
$node->start;
$node->poll_query_until('postgres', $in_busy, '1') or die 'no worker';
$start = time;
one('DROP DATABASE busy');
cmp_ok(time - $start, '<', 30, 'the end of its own database does not wait for it either');
wait_loaded();
like(health(), qr/Left out: 1 database;/, 'which is left out then');
one(q{COMMIT PREPARED 'before'});

# A partition and a table that are locked.
one($read);
one(q{BEGIN; INSERT INTO plain VALUES (0, 'prepared'); PREPARE TRANSACTION 'before'});
$node->stop;
log_mark();
$node->start;
my $locker = ffs_session($node);
$locker->query('BEGIN; LOCK TABLE parted_eu, keys IN ACCESS EXCLUSIVE MODE');
one(q{COMMIT PREPARED 'before'});
# (ffs_health looks at every table, and would wait for these)
foreach (1 .. 600) { last if log_lines('blocks are in memory again'); usleep(50_000); }
is(log_lines('ERROR|FATAL|PANIC'), 0, 'locked tables are no error');
my $loaded = entries();
ok($loaded >= 800 && $loaded < 1200, "they are left out, others are loaded ($loaded)");
$locker->query('ROLLBACK');
is(one($read), $changed, 'rows are right');
$locker->close;

# ---- the worker is ended by somebody ----

my $worker = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'ffstorage warm-up' AND datname IS NULL};
my $pid = one($worker);
unlink $file;
one("SELECT pg_terminate_backend($pid)");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'ffstorage warm-up' AND datname IS NULL AND pid <> $pid") or die;
ok(-e $file, 'it wrote the file, and is there again');
like(health(), qr/^healthy/, 'health says so');

# ---- settings of the database do not matter, those of the worker do ----

one($read);
one(q{ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'});
one(q{ALTER DATABASE postgres SET search_path = nowhere, public});
one(q{ALTER DATABASE postgres SET row_security = off});
restart();
cmp_ok(entries(), '>=', 1000, 'settings of the database change nothing');
one('ALTER DATABASE postgres RESET ALL');
$node->append_conf('postgresql.conf', "ffstorage.warm_up = off\n");
$node->restart;
is(entries(), 0, 'off: nothing is loaded');
like(health(), qr/^off: nothing is loaded again after a restart. The setting ffstorage.warm_up is off/, 'health says so');
is(one($worker), '', 'there is no worker');
unlink $file;
$node->stop;
ok(!-e $file, 'and no file');
$node->append_conf('postgresql.conf', "ffstorage.warm_up = on\nffstorage.cache_size = 0\n");
$node->start;
one('SELECT count(*) FROM t; SELECT 1 FROM t WHERE id = 1; UPDATE t SET v = v WHERE id = 1');
restart();
like(health(), qr/0 of 0 rows and [1-9]\d* of \d+ blocks/, 'without a cache, blocks are loaded');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
like(health(), qr/^off: .*not in shared_preload_libraries/, 'not preloaded: off');
$node->stop;
done_testing();

# CRC-32C as the server has it.
sub crc32c
{
	my ($bytes) = @_;
	my @table = map { my $c = $_; $c = $c & 1 ? ($c >> 1) ^ 0x82F63B78 : $c >> 1 foreach (1 .. 8); $c } (0 .. 255);
	my $crc = 0xFFFFFFFF;
	$crc = $table[($crc ^ $_) & 0xFF] ^ ($crc >> 8) foreach unpack('C*', $bytes);
	return $crc ^ 0xFFFFFFFF;
}
