# ffs_run under load: every statement done once among deadlocks, serialization
# failures, errors in COMMIT, cancels and terminated sessions; a foreign server
# that dies and comes back behind a circuit breaker.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = ffs_node('run', conf => "deadlock_timeout = 10ms\nmax_connections = 80\nrestart_after_crash = on\n");
sub one { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# What happens to a call that fails: SQLSTATE, message and detail.
sub failure
{
	my ($sql, $session) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	$err =~ /ERROR:  (\w{5}): (.*)\n(?:DETAIL:  (.*)\n)?/ or return ('', $err, '');
	return ($1, $2, $3 // '');
}

my $clients = 8;
my $each = $ENV{FFS_LONG} ? 2000 : 150;

one(<<'SQL');
CREATE EXTENSION ffstorage;
CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL DEFAULT 0, touched integer NOT NULL DEFAULT 0);
INSERT INTO accounts SELECT i FROM generate_series(1, 6) i;
SELECT ffs_manage('accounts', 'scd2');
CREATE TABLE ledger (number bigint PRIMARY KEY, giver integer, taker integer);
CREATE SEQUENCE attempts;
-- locks its rows in the order in which they come, and so meets deadlocks
CREATE FUNCTION transfer(giver integer, taker integer, number bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('attempts');
    UPDATE accounts SET balance = balance - 1, touched = touched + 1 WHERE id = giver;
    UPDATE accounts SET balance = balance + 1, touched = touched + 1 WHERE id = taker;
    INSERT INTO ledger VALUES (number, giver, taker);
END $$;
SQL

sub ledger_ok
{
	my ($label, $calls) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(one('SELECT count(*) FROM ledger'), $calls, "$label: each call is in the ledger once") if defined $calls;
	is(one(q{SELECT count(*) FROM accounts a WHERE balance <>
		(SELECT count(*) FILTER (WHERE taker = a.id) - count(*) FILTER (WHERE giver = a.id) FROM ledger)
		OR touched <> (SELECT count(*) FILTER (WHERE taker = a.id) + count(*) FILTER (WHERE giver = a.id) FROM ledger)}),
		0, "$label: what was done to the accounts is what the ledger says");
	return;
}

# A pgbench script of transfers by ffs_run; a number for each call.
sub load
{
	my ($name, $options) = @_;
	my $script = $node->basedir . "/$name.sql";
	PostgreSQL::Test::Utils::append_to_file($script, <<"SQL");
\\set a random(1, 6)
\\set b 1 + (:a + random(0, 4)) % 6
SELECT nextval('numbers') AS number \\gset
CALL ffs_run('SELECT transfer(\$1, \$2, \$3)', jsonb_build_array(:a::integer, :b::integer, :number::bigint)$options);
SQL
	return $script;
}
one('CREATE SEQUENCE numbers');

# ---- deadlocks ----

my $load = load('deadlocks', q{, max_attempts => 100, base_delay => '2 ms'});
$node->command_ok([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, '-f', $load, $node->connstr('postgres') ], 'deadlocks: no call fails');
ledger_ok('deadlocks', $clients * $each);
cmp_ok(one('SELECT last_value FROM attempts'), '>', $clients * $each, 'deadlocks: some were tried again');
cmp_ok(one('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'), '>', 0, 'deadlocks: there were some');
note('attempts: ' . one('SELECT last_value FROM attempts') . ", calls: " . $clients * $each);

# ---- serialization failures, at COMMIT too ----

one(q{TRUNCATE ledger; SELECT setval('attempts', 1, false); UPDATE accounts SET balance = 0, touched = 0});
one(<<'SQL');
-- reads all, writes one: each two of these that overlap are an anomaly
CREATE TABLE sums (number bigint PRIMARY KEY, seen bigint NOT NULL);
CREATE FUNCTION count_on(number bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('attempts');
    INSERT INTO sums SELECT $1, count(*) FROM sums;
END $$;
SQL
$load = $node->basedir . '/ssi.sql';
PostgreSQL::Test::Utils::append_to_file($load, <<'SQL');
SELECT nextval('numbers') AS number \gset
CALL ffs_run('SELECT count_on($1)', jsonb_build_array(:number::bigint), max_attempts => 1000, base_delay => '1 ms', isolation => 'serializable');
SQL
$node->command_ok([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, '-f', $load, $node->connstr('postgres') ], 'serializable: no call fails');
is(one('SELECT count(*) || $$ $$ || count(DISTINCT seen) || $$ $$ || max(seen) + 1 FROM sums'),
	join(' ', ($clients * $each) x 3), 'serializable: each saw all that went before');
cmp_ok(one('SELECT last_value FROM attempts'), '>', $clients * $each, 'serializable: some were tried again');
note('attempts: ' . one('SELECT last_value FROM attempts') . ", calls: " . $clients * $each);

# repeatable read, on rows
one('SELECT setval($$attempts$$, 1, false)');
$load = load('rr', q{, max_attempts => 1000, base_delay => '1 ms', isolation => 'repeatable read'});
$node->command_ok([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, '-f', $load, $node->connstr('postgres') ], 'repeatable read: no call fails');
ledger_ok('repeatable read', $clients * $each);

# ---- few attempts, cancels and terminated sessions: what fails leaves nothing ----

my $stop = time + ($ENV{FFS_RUN_SECONDS} // ($ENV{FFS_LONG} ? 60 : 5));
my @loads;
foreach my $n (1 .. $clients)
{
	my $base = $node->basedir . "/harsh$n";
	PostgreSQL::Test::Utils::append_to_file("$base.sql", join('', map {
		my $a = 1 + int rand 6;
		my $b = 1 + ($a + int rand 5) % 6;
		"CALL ffs_run('SELECT transfer($a, $b, nextval(''numbers''))', max_attempts => 2, base_delay => '1 ms', timeout => '40 ms');\n" } 1 .. 2000));
	# again and again: a terminated session is the end of a psql
	push @loads, IPC::Run::start([ 'sh', '-c', 'while [ -e "$2" ]; do psql -X -q -d "$1" -f "$2"; done', 'sh', $node->connstr('postgres'), "$base.sql" ],
		'>', '/dev/null', '2>', "$base.err");
}
my $chaos = ffs_session($node);
while (time < $stop)
{
	$chaos->query(q{SELECT count(CASE WHEN random() < 0.1 THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END)
		FROM pg_stat_activity WHERE query LIKE 'CALL ffs_run%' AND random() < 0.3});
	sleep 0.01 + rand 0.05;
}
unlink map { $node->basedir . "/harsh$_.sql" } 1 .. $clients;
one(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'CALL ffs_run%'});
$_->finish foreach @loads;
ledger_ok('cancels');
my %seen;
foreach my $n (1 .. $clients)
{
	$seen{$_}++ foreach PostgreSQL::Test::Utils::slurp_file($node->basedir . "/harsh$n.err") =~ /ERROR:  (.*)/g;
}
note("$seen{$_} times: $_") foreach sort keys %seen;
is(join(', ', grep { !/^statement failed in each of 2 attempts$|^canceling call due to query timeout$|^canceling statement due to user request$/ } sort keys %seen),
	'', 'cancels: they fail with what was to be expected');
cmp_ok(scalar keys %seen, '>', 1, 'cancels: some fail');

# ---- a foreign server ----

my $remote = PostgreSQL::Test::Cluster->new('remote');
$remote->init;
$remote->start;
$remote->safe_psql('postgres', 'CREATE TABLE far (id integer)');
my ($host, $port) = ($remote->host, $remote->port);
one(<<"SQL");
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER far;
CREATE FOREIGN TABLE far (id integer) SERVER far;
SQL
my $far = q{CALL ffs_run('INSERT INTO far VALUES ($1)', '[1]', breaker => 'far', base_delay => '1 ms'};
one("$far)");
is($remote->safe_psql('postgres', 'SELECT count(*) FROM far'), 1, 'a statement reaches the foreign server');

# lost in the middle of a session: the next attempt connects anew
my $session = ffs_session($node);
$session->query("$far)");
$remote->stop('fast');
$remote->start;
$session->query("$far)");
is($remote->safe_psql('postgres', 'SELECT count(*) FROM far'), 3, 'a restart of the foreign server is not noticed');

$remote->stop('fast');
foreach my $n (1 .. 5)
{
	my ($state) = failure("$far, max_attempts => 1);");
	is($state, 'ZF033', "failure $n of a dead server");
	is(one(q{SELECT state FROM ffs_breakers WHERE name = 'far'}), $n < 5 ? 'closed' : 'open', $n < 5 ? 'leaves the breaker closed' : 'opens it');
}
my ($state, $message) = failure("$far);");
is("$state $message", 'ZF031 circuit breaker "far" is open', 'then calls are turned away');
is(one(q{SELECT last_failure FROM ffs_breakers WHERE name = 'far'}), '08001', 'ffs_breakers says why');
my ($rc, $out, $err) = $node->psql('postgres', "\\timing on\n" . "$far);\n" x 101, on_error_stop => 0);
my @times = sort { $a <=> $b } $out =~ /Time: ([\d.]+) ms/g;
cmp_ok($times[50], '<', 1, "in under a millisecond (median of 101: $times[50] ms)");

# it opens in the middle of a call, too
one(q{SELECT ffs_breaker_reset('far'), ffs_breaker_report('far', false), ffs_breaker_report('far', false), ffs_breaker_report('far', false)});
my $detail;
($state, $message, $detail) = failure("$far, max_attempts => 10);");
is($state, 'ZF031', 'a breaker that opens ends the attempts');
like($detail, qr/^It opened while the statement was tried\.  Attempt 2 of 10 failed: could not connect.*\(SQLSTATE 08001\)/, 'with the failure that opened it');

# half-open: of fifty at once one tries
sleep 0.6;
my $failed = one(q{SELECT failed FROM ffs_breakers WHERE name = 'far'});
my $script = $node->basedir . '/far.sql';
PostgreSQL::Test::Utils::append_to_file($script, "SELECT pg_advisory_lock_shared(50);\nSET ffstorage.breaker_open_time = '500 ms';\n$far, max_attempts => 1);\n");
my $at_once = sub {
	# connected first: a machine that is busy takes longer for that than a probe
	my $gate = ffs_session($node);
	$gate->query('SELECT pg_advisory_lock(50)');
	my @calls = map { IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', $script ], '>', '/dev/null', '2>', '/dev/null') } (1 .. 50);
	$node->poll_query_until('postgres', q{SELECT count(*) = 50 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
	$gate->query('SELECT pg_advisory_unlock(50)');
	$_->finish foreach @calls;
	$gate->close;
};
# one that takes a while to fail: the connection is accepted and never answered
{
	use Socket;
	my $path = "$host/.s.PGSQL.$port";
	socket(my $deaf, PF_UNIX, SOCK_STREAM, 0) or die $!;
	unlink $path;
	bind($deaf, pack_sockaddr_un($path)) or die $!;
	listen($deaf, 100) or die $!;
	one(q{ALTER SERVER far OPTIONS (ADD connect_timeout '2')});
	$at_once->();
	is(one(q{SELECT failed FROM ffs_breakers WHERE name = 'far'}), $failed + 1, 'half-open: of fifty calls at once one tries');
	is(one(q{SELECT state || ' ' || (rejected > 49) FROM ffs_breakers WHERE name = 'far'}), 'open true', 'and it is open again');
	close $deaf;
	unlink $path;
}
$remote->start;
sleep 0.6;
one(q{SET ffstorage.breaker_open_time = '500 ms'; } . "$far)");
is(one(q{SELECT state FROM ffs_breakers WHERE name = 'far'}), 'closed', 'it closes when the server is back');
is($remote->safe_psql('postgres', 'SELECT count(*) FROM far'), 4, 'and each statement was done once');

# what is no fault of the server's does not open it
foreach my $bad (q{'SELECT 1/0'}, q{'SELECT nothing'}, q{'INSERT INTO ledger SELECT * FROM ledger'}, q{'DO $$ BEGIN RAISE serialization_failure; END $$'})
{
	failure("CALL ffs_run($bad, max_attempts => 8, base_delay => '0', breaker => 'far');");
}
is(one(q{SELECT state || ' ' || failures FROM ffs_breakers WHERE name = 'far'}), 'closed 0', 'errors of statements, and other transactions, do not open it');

# ---- who tries goes away ----

foreach my $way ('pg_cancel_backend', 'pg_terminate_backend')
{
	one(q{SELECT ffs_breaker_report('slow', false) FROM generate_series(1, 5)});
	my $caller = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', q{SET ffstorage.breaker_open_time = 0},
			'-c', q{CALL ffs_run('SELECT pg_sleep(60)', breaker => 'slow')} ], '>', '/dev/null', '2>', '/dev/null');
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	is(one(q{SET ffstorage.breaker_open_time = 0; SELECT ffs_breaker_allow('slow')}), 'f', 'a call has the probe');
	one(qq{SELECT $way(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	$caller->finish;
	is(one(q{SET ffstorage.breaker_open_time = 0; BEGIN; SELECT ffs_breaker_allow('slow'); ROLLBACK}), 't', "$way leaves it to others");
}

# a wait between attempts can be cancelled
my $start = time;
my $caller = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'),
		'-c', q{CALL ffs_run('DO $$ BEGIN RAISE serialization_failure; END $$', max_attempts => 2, base_delay => '1 day')} ], '>', '/dev/null', '2>', \$err);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'Extension' AND query LIKE 'CALL ffs_run%'});
is(one(q{SELECT backend_xid IS NULL AND backend_xmin IS NULL FROM pg_stat_activity WHERE wait_event = 'Extension' AND query LIKE 'CALL ffs_run%'}),
	't', 'a wait holds no snapshot');
one(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'Extension' AND query LIKE 'CALL ffs_run%'});
$caller->finish;
like($err, qr/canceling statement due to user request/, 'a wait between attempts can be cancelled');
cmp_ok(time - $start, '<', 30, 'at once');

# a COMMIT that takes longer than the call may: it is done, and the call says so
one('CREATE TABLE committed (id integer)');
$node->append_conf('postgresql.conf', "fsync = on\ncommit_delay = 100000\ncommit_siblings = 0\n");
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('fsync') = 'on'});
($rc, $out, $err) = $node->psql('postgres', "\\timing on\nCALL ffs_run('INSERT INTO committed VALUES (1)', timeout => '50 ms');");
my ($took) = $out =~ /Time: ([\d.]+) ms/;
cmp_ok($took, '>=', 50, 'a COMMIT takes longer than the call may');
my $done = one('SELECT count(*) FROM committed');
is("$rc $done", '0 1', 'a call that has committed does not fail');
is($node->psql('postgres', "SET statement_timeout = 50;\n" . "CALL ffs_run('INSERT INTO committed VALUES (2)');\nSELECT 1;\n" x 10),
	0, 'nor does the statement after it, where statement_timeout came too late');

ledger_ok('at the end');
$node->stop;
$remote->stop;
done_testing();
