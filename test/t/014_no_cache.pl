# Whether there is a cache or not, what calls give is the same: the same random
# statements on a server with the cache, with it switched off in the session or
# for the server, with the library loaded by sessions, and without preload.
# FFS_SEED chooses other statements, FFS_STATEMENTS how many.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FFS_SEED} // int(rand(100_000));
my $count = $ENV{FFS_STATEMENTS} // ($ENV{FFS_LONG} ? 5000 : 400);
srand($seed);
note("FFS_SEED=$seed");

sub pick { return $_[ rand @_ ]; }

# ---- the statements ----

my $keys = 60;
my %table = (plain => sub { $_[0] }, owned => sub { "'k$_[0]'" }, parted => sub { "$_[0]" . pick('', '.0') });

sub read_statement
{
	my $name = pick(sort keys %table);
	my ($key, $k) = ($table{$name}, 1 + int(rand($keys)));
	my $many = join ', ', map { $key->(1 + int(rand($keys))) } 1 .. 1 + int(rand(8));
	my $query = pick(
		"SELECT count(*), sum(n) AS sum FROM $name",
		"SELECT * FROM $name WHERE n > 3 ORDER BY id",
		"SELECT a.id, b.v FROM $name a JOIN plain b ON a.n = b.n ORDER BY a.id, b.id",
		"SELECT now() IS NOT NULL AS now, count(*) FROM $name",
		"SELECT max(v) AS v FROM listed");
	return pick(
		"SELECT * FROM ffs_get(NULL::$name, " . $key->($k) . ')',
		"SELECT ffs_get(NULL::$name, jsonb_build_object('id', " . $key->($k) . '))',
		"SELECT * FROM ffs_get_many(NULL::$name, ARRAY[$many]) WITH ORDINALITY",
		"SELECT ffs_cached('$query')",
		"SELECT ffs_cached('$query', '1 minute')",
		"SELECT ffs_cached('SELECT id, v FROM $name WHERE n = \$1 ORDER BY id', NULL, " . int(rand(6)) . ')');
}

sub write_statement
{
	my $name = pick(sort keys %table);
	my $key = $table{$name}->(1 + int(rand($keys)));
	my $tenant = $name eq 'owned' ? 'coalesce(ffs_tenant()::integer, 1)' : 1;
	return pick(
		"UPDATE $name SET v = v || '+', n = n + 1 WHERE id = $key",
		"UPDATE $name SET n = (n + 1) % 6 WHERE n = " . int(rand(6)),
		"DELETE FROM $name WHERE id = $key",
		"INSERT INTO $name (id, tenant, n, v) VALUES ($key, $tenant, " . int(rand(6)) . ", 'new') ON CONFLICT DO NOTHING");
}

sub transaction
{
	my $isolation = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');
	my @lines = ("BEGIN ISOLATION LEVEL $isolation");
	my $tenant = int(rand(3));
	push @lines, pick(
		"SET LOCAL ROLE no_cache_user",
		"SELECT ffs_set_tenant('$tenant')",
		"SELECT ffs_set_tenant('$tenant'); SET LOCAL ROLE no_cache_user",
		"SELECT ffs_set_tenants('{0,1}'); SET LOCAL ROLE no_cache_user",
		'SELECT ffs_set_all_tenants()');
	foreach (1 .. 1 + int(rand(6)))
	{
		push @lines, rand() < 0.3 ? write_statement() : read_statement();
		push @lines, 'SAVEPOINT s', write_statement(), read_statement(), 'ROLLBACK TO s', read_statement() if rand() < 0.1;
	}
	push @lines, pick('TRUNCATE plain', 'ALTER TABLE plain ADD COLUMN IF NOT EXISTS more integer DEFAULT 7', "SELECT ffs_cache_invalidate('plain') IS NOT NULL",
		"SELECT ffs_cache_warm('plain') IS NOT NULL", 'DROP INDEX IF EXISTS plain_n; CREATE INDEX plain_n ON plain (n)') if rand() < 0.1;
	push @lines, read_statement() if rand() < 0.5;
	push @lines, pick('COMMIT', 'COMMIT', 'ROLLBACK');
	return join '', map { "$_;\n" } @lines;
}

my $set_up = <<"SQL";
SET client_min_messages = warning;
CREATE EXTENSION ffstorage;
CREATE ROLE no_cache_user;
CREATE TABLE plain (id integer PRIMARY KEY, tenant integer, n integer, v text);
CREATE TABLE owned (id text PRIMARY KEY, tenant integer NOT NULL, n integer, v text);
CREATE TABLE parted (id numeric PRIMARY KEY, tenant integer, n integer, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (20);
CREATE TABLE parted_high PARTITION OF parted DEFAULT;
CREATE VIEW listed WITH (security_invoker) AS SELECT * FROM owned;
SELECT ffs_manage('plain', stamps => false) IS NULL, ffs_manage('owned', stamps => false, tenant_column => 'tenant') IS NULL, ffs_manage('parted', 'copy_on_change', stamps => false) IS NULL;
GRANT ALL ON plain, owned, parted, listed TO no_cache_user;
INSERT INTO plain SELECT i, 1, i % 6, 'v' || i FROM generate_series(1, $keys, 2) i;
INSERT INTO owned SELECT 'k' || i, i % 3, i % 6, 'v' || i FROM generate_series(1, $keys, 2) i;
INSERT INTO parted SELECT i, 1, i % 6, 'v' || i FROM generate_series(1, $keys, 2) i;
SQL
# errors are results as well; which plan was taken must not show
my $text = "\\set ON_ERROR_ROLLBACK on\nSET client_min_messages = error;\n" . join '', map { transaction() } 1 .. $count / 5;

# ---- the servers ----

my %mode = (
	'with the cache' => { preload => 1, status => 'healthy' },
	'switched off in the session' => { preload => 1, conf => "ffstorage.cache = off\n", status => 'healthy' },
	'without results' => { preload => 1, conf => "ffstorage.cache_max_result = 0\n", status => 'healthy', hits => qr/^[1-9]\d*\|0$/ },
	'of no size' => { preload => 1, conf => "ffstorage.cache_size = 0\n", status => 'off' },
	'loaded by sessions' => { preload => 0, conf => "session_preload_libraries = 'ffstorage'\n", status => 'off' },
	'not preloaded' => { preload => 0, status => 'off' });

sub run_mode
{
	my ($name, $how) = @_;
	my $node = ffs_node($name =~ s/\W+/_/gr, preload => $how->{preload}, conf => "max_parallel_workers_per_gather = 0\n" . ($how->{conf} // ''));
	$node->safe_psql('postgres', $set_up);
	my ($out, $err);
	$node->psql('postgres', $text, stdout => \$out, stderr => \$err, on_error_stop => 0);
	# psql tells where it is in what it was given
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$how->{said} = "$out\n$err";
	is($node->safe_psql('postgres', q{SELECT status, hint IS NOT NULL FROM ffs_health WHERE check_name = 'cache'}),
		$how->{status} eq 'off' ? 'off|t' : 'healthy|f', "$name: health says $how->{status}");
	my $figures = $node->safe_psql('postgres', 'SELECT hits, result_hits FROM ffs_stat_cache');
	if ($name eq 'with the cache') { like($figures, qr/^[1-9]\d*\|[1-9]/, "$name: it was used ($figures)"); }
	elsif ($how->{hits}) { like($figures, $how->{hits}, "$name: it was used for rows only ($figures)"); }
	else { like($figures, $how->{status} eq 'off' ? qr/^$/ : qr/^0\|0$/, "$name: it was not used"); }
	my ($warned, $rc);
	$rc = $node->psql('postgres', q{SELECT ffs_cache_invalidate(), ffs_cache_warm('plain') IS NOT NULL, ffstorage.cache_reset()}, stdout => \$out, stderr => \$warned);
	is($rc, 0, "$name: no call for people is an error");
	if ($how->{status} eq 'off') { like($warned, qr/WARNING:  there is no cache.*HINT/s, "$name: they warn"); }
	else { is($warned, '', "$name: they do not warn"); }
	unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|XX000/, "$name: no crash");
	$node->stop;
	return;
}

my $first = 'with the cache';
run_mode($first, $mode{$first});
cmp_ok(scalar(() = $mode{$first}{said} =~ /\n/g), '>', $count / 2, 'there is something to compare');
unlike($mode{$first}{said}, qr/ERROR:  (?!new row|duplicate|permission denied|.*tenant|current transaction is aborted|must be owner)/, 'and no errors but those that were meant');
foreach my $name (grep { $_ ne $first } sort keys %mode)
{
	run_mode($name, $mode{$name});
	is($mode{$name}{said}, $mode{$first}{said}, "$name: all is the same");
}
done_testing();
