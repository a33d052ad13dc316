# How many calls of a tenant run at once: the limit, the order of the line, every
# way to leave it, calls that wait for each other, and what is left to others.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = ffs_node('admission', conf => <<'CONF');
max_connections = 150
restart_after_crash = on
deadlock_timeout = 200ms
ffstorage.max_running_per_tenant = 4
ffstorage.admission_timeout = 60s
synchronous_commit = off
fsync = off
CONF
sub one { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub configure { my ($set) = @_; one("ALTER SYSTEM SET $set"); $node->reload; sleep 0.3; return; }

# A psql in the background that runs the statements of one tenant.
sub background
{
	my ($out, @statements) = @_;
	return IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'>', $out, '2>&1');
}

sub wait_for { my ($sql) = @_; $node->poll_query_until('postgres', "SELECT $sql FROM ffs_stat_admission WHERE tenant = 'a'"); return; }

one(<<'SQL');
CREATE EXTENSION ffstorage;
CREATE TABLE items (id bigserial PRIMARY KEY, tenant text NOT NULL, note text, ms integer);
SELECT ffs_manage('items', 'none', 'tenant');
CREATE TABLE spans (tenant text, note text, since timestamptz, until timestamptz);
-- takes its time without a processor, and says from when to when
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE since timestamptz = clock_timestamp();
BEGIN
    IF NEW.ms IS NOT NULL THEN
        PERFORM pg_sleep(NEW.ms / 1000.0);
        INSERT INTO spans VALUES (NEW.tenant, NEW.note, since, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER take_time BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION take_time();
CREATE VIEW at_once AS
    SELECT s.tenant, max((SELECT count(*) FROM spans o WHERE o.tenant = s.tenant AND o.since <= s.since AND o.until > s.since)) AS most
    FROM spans s GROUP BY tenant;
CREATE ROLE app LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON items TO app;
GRANT ALL ON SEQUENCE items_id_seq TO app;
GRANT INSERT ON spans TO app;
SQL

sub create { my ($note, $ms) = @_; $ms //= 'null'; return qq{SELECT ffs_create('items', '{"note": "$note", "ms": $ms}') ->> 'note'}; }
my $tenant_a = q{SELECT ffs_set_tenant('a', 'session')};

# ---- never more than the limit; each in its turn ----

my $script = $node->basedir . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script, <<'SQL');
\set tenant :client_id % 2
BEGIN;
SELECT ffs_set_tenant('tenant ' || :tenant);
SELECT ffs_create('items', '{"note": "x", "ms": 5}');
COMMIT;
SQL
$node->command_ok([ 'pgbench', '-n', '-U', 'app', '-c', 40, '-j', 2, '-t', 10, '-f', $script, $node->connstr('postgres') ], 'forty clients of two tenants');
is(one('SELECT string_agg(most::text, $$ $$) FROM at_once'), '4 4', 'four calls of each tenant run at once, and no more');
is(one(q{SELECT sum(calls) || ' ' || sum(running + waiting + refused) || ' ' || bool_and(waited > 0 AND wait_ms > 0 AND most_waiting > 10) FROM ffs_stat_admission WHERE tenant LIKE 'tenant%'}),
	'400 0 true', 'they are counted');

configure('ffstorage.max_running_per_tenant = 1');
my @out = ('') x 12;
my @calls = (background(\$out[0], $tenant_a, create('first', 5000)));
wait_for('running = 1');
foreach my $n (1 .. 8)
{
	push @calls, background(\$out[$n], $tenant_a, create("turn $n", 5));
	wait_for("waiting = $n");
}
# some leave the line again
one(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%turn 3%' AND pid <> pg_backend_pid()});
one(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE '%turn 5%' AND pid <> pg_backend_pid()});
wait_for('waiting = 6');
$_->finish foreach @calls;
is(one(q{SELECT string_agg(note, ', ' ORDER BY since) FROM spans WHERE tenant = 'a'}),
	'first, turn 1, turn 2, turn 4, turn 6, turn 7, turn 8', 'they run in the order in which they came');
is(one(q{SELECT running + waiting FROM ffs_stat_admission WHERE tenant = 'a'}), 0, 'nothing is left');
like($out[3], qr/57014/, 'a wait can be cancelled');

# ---- it is too long ----

my $held;
my $holder = background(\$held, $tenant_a, create('long', 3000));
wait_for('running = 1');
my $start = time;
my $refused;
background(\$refused, $tenant_a, q{SET ffstorage.admission_timeout = '200 ms'}, create('refused', 1))->finish;
like($refused, qr/ERROR:  ZF032: too many calls of the tenant are running\nDETAIL:  1 may run at once, and this one has waited for 200 ms\.\nHINT: /, 'too_many_running');
cmp_ok(time - $start, '>', 0.2, 'after its time');
background(\$refused, $tenant_a, q{SET ffstorage.query_timeout = '100 ms'}, create('refused', 1))->finish;
like($refused, qr/ERROR:  ZF030/, 'the time for a call counts waits');
background(\$refused, q{SELECT ffs_set_tenant('b', 'session')}, create('other', 1))->finish;
is($refused, "\nother\n", 'another tenant does not wait');
background(\$refused, $tenant_a, 'SELECT count(*) > 0 FROM items')->finish;
is($refused, "\nt\n", 'nor does a statement without calls');
is(one(q{SELECT refused FROM ffs_stat_admission WHERE tenant = 'a'}), 1, 'refusals are counted');
is(one(q{SELECT status || ', ' || message FROM ffs_health WHERE check_name = 'admission'}), 'degraded, calls were refused in the last five minutes', 'and health says so');
$holder->finish;

# ---- holders that go away ----

foreach my $way ('pg_cancel_backend(pid)', 'pg_terminate_backend(pid)')
{
	$holder = background(\$held, $tenant_a, create('holder', 60000));
	wait_for('running = 1');
	my $next = background(\$refused, $tenant_a, create('next', 1));
	wait_for('waiting = 1');
	one("SELECT $way FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
	$next->finish;
	$holder->finish;
	is($refused, "\nnext\n", "the next one runs after $way");
}
$holder = background(\$held, $tenant_a, create('holder', 60000));
wait_for('running = 1');
kill 'KILL', one(q{SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
$holder->finish;
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ffs_stat_admission');
background(\$refused, $tenant_a, create('after', 1))->finish;
is($refused, "\nafter\n", 'a crash leaves no place taken');

# an open transaction holds no place, only a call does
$holder = ffs_session($node);
$holder->query($tenant_a);
$holder->query('BEGIN');
$holder->query(create('in a block'));
background(\$refused, $tenant_a, create('meanwhile', 1))->finish;
is($refused, "\nmeanwhile\n", 'a transaction between calls holds no place');
$holder->query('COMMIT');

# ---- a call that runs waits for a lock of one that waits to run ----

one(q{INSERT INTO items (id, tenant) VALUES (-1, 'a')});
$holder->query('BEGIN');
$holder->query(q{UPDATE items SET note = 'locked' WHERE id = -1});
my $blocked = background(\$held, $tenant_a, q{SELECT ffs_update('items', '{"id": -1, "note": "blocked"}') ->> 'note'});
wait_for('running = 1');
sleep 0.2;
$start = time;
is($holder->query(create('over the limit')), 'over the limit', 'it is let in over the limit');
cmp_ok(time - $start, '<', 5, 'soon');
$holder->query('COMMIT');
$blocked->finish;
is($held, "\nblocked\n", 'and the other one goes on');
is(one(q{SELECT running + waiting FROM ffs_stat_admission WHERE tenant = 'a'}), 0, 'nothing is left');

# ---- what is left to others ----

configure('ffstorage.max_running_per_tenant = 4');
one(<<'SQL');
CREATE TABLE batches AS SELECT n, (SELECT jsonb_agg(jsonb_build_object('note', 'x' || i)) FROM generate_series(1, n) i) AS rows FROM unnest(ARRAY[1, 100, 1000]) n;
INSERT INTO items (id, tenant, note) SELECT -10 - i, 't' || i % 10, 'x' || i % 7 FROM generate_series(1, 5000) i;
CREATE INDEX ON items (tenant);
VACUUM ANALYZE items;
CREATE TABLE read_only (LIKE items INCLUDING ALL);
INSERT INTO read_only SELECT * FROM items WHERE id < -10;
SELECT ffs_manage('read_only', 'none', 'tenant');
GRANT SELECT ON batches, read_only TO app;
SQL
my %calls = (
	'one row' => q{SELECT ffs_create('items', '{"note": "x"}')},
	map({ ("$_ rows" => "SELECT count(*) FROM ffs_create_many('items', (SELECT rows FROM batches WHERE n = $_))") } 1, 100, 1000),
	'a cached result' => q{SELECT ffs_cached('SELECT note, count(*) FROM read_only GROUP BY note')},
	'a result that is not cached' => q{SELECT ffs_cached('SELECT note, count(*) FROM read_only WHERE id < $1 GROUP BY note', NULL, VARIADIC ARRAY[:number::bigint])},
	'a list' => q{SELECT count(*) FROM ffs_list(NULL::read_only, '{"note": {"contains": "x"}}')},
	'ffs_run' => q{CALL ffs_run('SELECT ffs_create(''items'', ''{"note": "x"}'')', tenant => 't' || :t)});

sub script_of
{
	my ($what, $tenant) = @_;
	my $path = $node->basedir . '/' . ($what . $tenant) =~ s/\W/_/gr . '.sql';
	my $body = $what eq 'ffs_run' ? "$calls{$what};\n" : "BEGIN;\nSELECT ffs_set_tenant('t' || :t);\n$calls{$what};\nCOMMIT;\n";
	PostgreSQL::Test::Utils::append_to_file($path, "\\set t $tenant\n\\set number random(1, 1000000000)\n$body") unless -e $path;
	return $path;
}

sub pgbench
{
	my ($script, @how) = @_;
	# CALL cannot be prepared where it commits
	return ('pgbench', '-n', '-M', $script =~ /ffs_run/ ? 'simple' : 'prepared', '-U', 'app', '-j', 1, @how, '-f', $script, $node->connstr('postgres'));
}

# Throughput of the nine, two clients each, and calls of the one with a hundred meanwhile.
sub nine
{
	my ($what, $seconds) = @_;
	my $greedy = sub { return one(q{SELECT coalesce(sum(calls), 0) FROM ffs_stat_admission WHERE tenant = 't0'}); };
	my $before = $greedy->();
	my ($out, $err);
	IPC::Run::run([ pgbench(script_of($what, '1 + :client_id / 2'), '-c', 18, '-T', $seconds) ], '>', \$out, '2>', \$err);
	$out =~ /tps = ([\d.]+)/ or die "$out$err";
	return ($1, $greedy->() - $before);
}

# The one stays connected, and is stopped by turns: what the machine does besides changes as well.
my $seconds = $ENV{FFS_LONG} ? 5 : 2;
foreach my $what ($ENV{FFS_LONG} ? ('one row', '1 rows', '100 rows', '1000 rows', 'a cached result', 'a result that is not cached', 'a list', 'ffs_run') : ('one row', '100 rows'))
{
	my $out;
	my $greedy = IPC::Run::start([ pgbench(script_of($what, 0), '-c', 100, '-T', 600) ], '>', \$out, '2>&1');
	my $pid = $greedy->{KIDS}[0]{PID};
	$node->poll_query_until('postgres', q{SELECT waiting > 90 FROM ffs_stat_admission WHERE tenant = 't0'}) or die $out;
	my (@ratios, @shares);
	foreach my $round (1 .. ($ENV{FFS_LONG} ? 5 : 3))
	{
		kill 'STOP', $pid;
		my ($alone) = nine($what, $seconds);
		kill 'CONT', $pid;
		my ($with, $calls) = nine($what, $seconds);
		push @ratios, $with / $alone;
		push @shares, $calls / $seconds / ($with / 9);
	}
	kill 'KILL', $pid;
	eval { $greedy->finish };
	one(q{SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = 'app'});
	@ratios = sort { $a <=> $b } @ratios;
	@shares = sort { $a <=> $b } @shares;
	note(sprintf('figure: %s: nine tenants keep %.2f (%.2f to %.2f) of what they have alone; the one with a hundred clients has %.2f of what another has',
		$what, $ratios[$#ratios / 2], $ratios[0], $ratios[-1], $shares[$#shares / 2]));
	cmp_ok($shares[$#shares / 2], '<', 0.7, "$what: a tenant with a hundred clients has less than another has");
	cmp_ok($ratios[$#ratios / 2], '>', 0.75, "$what: nine tenants keep what they have alone");
}

$node->stop;
done_testing();
