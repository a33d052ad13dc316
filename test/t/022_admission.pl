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

one(q{INSERT INTO items (id, tenant) VALUES (1000001, 'a')});
$holder->query('BEGIN');
$holder->query(q{UPDATE items SET note = 'locked' WHERE id = 1000001});
my $blocked = background(\$held, $tenant_a, q{SELECT ffs_update('items', '{"id": 1000001, "note": "blocked"}') ->> 'note'});
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
my $seconds = $ENV{FFS_LONG} ? 10 : 3;
my ($nine, $hundred) = map { $node->basedir . "/$_.sql" } qw(nine hundred);
my $body = <<'SQL';
BEGIN;
SELECT ffs_set_tenant('t' || :t);
SELECT ffs_create('items', '{"note": "x"}');
COMMIT;
SQL
PostgreSQL::Test::Utils::append_to_file($nine, "\\set t 1 + :client_id / 2\n$body");
PostgreSQL::Test::Utils::append_to_file($hundred, "\\set t 0\n$body");

sub nine
{
	my ($out, $err);
	my $rc = IPC::Run::run([ 'pgbench', '-n', '-M', 'prepared', '-U', 'app', '-c', 18, '-j', 1, '-T', $seconds, '-f', $nine, $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	$out =~ /tps = ([\d.]+)/ or die "$out$err";
	return $1;
}
my @ratios;
foreach my $round (1 .. 3)
{
	my $alone = nine();
	my $greedy = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-U', 'app', '-c', 100, '-j', 1, '-T', 3 * $seconds + 30, '-f', $hundred, $node->connstr('postgres') ], '>', '/dev/null', '2>&1');
	$node->poll_query_until('postgres', q{SELECT most_waiting > 10 FROM ffs_stat_admission WHERE tenant = 't0'}) if $round == 1;
	sleep 2;
	my $with = nine();
	$greedy->kill_kill;
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'});
	push @ratios, $with / $alone;
	note(sprintf('nine tenants alone: %.0f tps, beside one with a hundred clients: %.0f tps', $alone, $with));
}
@ratios = sort { $a <=> $b } @ratios;
cmp_ok($ratios[1], '>', 0.7, sprintf('nine tenants keep what they have alone (median %.2f)', $ratios[1]));

$node->stop;
done_testing();
