# What monitoring/ ships: Prometheus' rules by promtool, the dashboard, and all
# of it for real: both exporters and Prometheus itself on a server whose faults
# are made one after the other.
#
# FFS_PROMETHEUS is a folder with Debian's prometheus, prometheus-postgres-exporter
# and prometheus-sql-exporter unpacked; what wants them is skipped without.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Ffs;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $shipped = test_dir() . '/../monitoring';
my $bin = ($ENV{FFS_PROMETHEUS} // '') . '/usr/bin';
my $have = -x "$bin/prometheus" && -x "$bin/promtool" && -x "$bin/prometheus-postgres-exporter" && -x "$bin/prometheus-sql-exporter";

# ---- rules ----

SKIP:
{
	skip 'no prometheus here', 3 unless $have;
	foreach my $what ([ 'check rules', 'rules/ffstorage.rules.yml' ], [ 'check config', 'prometheus.yml' ], [ 'test rules', 'rules/ffstorage.test.yml' ])
	{
		my ($verb, $file) = @$what;
		my $said = `cd '$shipped' && '$bin/promtool' $verb $file 2>&1`;
		is($?, 0, "promtool $verb") or diag $said;
	}
}
my $rules = slurp_file("$shipped/rules/ffstorage.rules.yml");
my @alerts = $rules =~ /^\s+- alert: (\w+)$/mg;
cmp_ok(scalar @alerts, '>=', 10, 'there are alerts');
my $tests = slurp_file("$shipped/rules/ffstorage.test.yml");
foreach my $alert (@alerts)
{
	like($tests, qr/alertname: $alert\n        exp_alerts:\n/, "$alert: a test that it fires");
	like($tests, qr/alertname: $alert\n        exp_alerts: \[\]\n/, "$alert: a test that it does not");
}

# ---- the dashboard ----

my $dashboard = decode_json(slurp_file("$shipped/grafana/ffstorage.json"));
like($dashboard->{schemaVersion}, qr/^\d+$/, 'the dashboard has the version of its schema');
ok(defined $dashboard->{$_}, "the dashboard has $_") foreach qw(title uid time templating annotations);
my (%ids, %cells, @queries, @bad);
foreach my $panel (@{ $dashboard->{panels} })
{
	my $at = $panel->{gridPos};
	push @bad, "id $panel->{id} comes twice" if $ids{ $panel->{id} }++;
	push @bad, "$panel->{title}: beyond the grid" if $at->{x} < 0 || $at->{x} + $at->{w} > 24 || $at->{h} < 1;
	foreach my $x ($at->{x} .. $at->{x} + $at->{w} - 1)
	{
		foreach my $y ($at->{y} .. $at->{y} + $at->{h} - 1) { push @bad, "$panel->{title}: on another one" if $cells{"$x $y"}++; }
	}
	next if $panel->{type} eq 'row';
	push @bad, "$panel->{title}: type $panel->{type}" if $panel->{type} !~ /^(timeseries|stat|state-timeline|table)$/;
	push @bad, "$panel->{title}: no unit" if !$panel->{fieldConfig}{defaults}{unit};
	push @bad, "$panel->{title}: nothing to show" if !@{ $panel->{targets} };
	my %refs;
	foreach my $target (@{ $panel->{targets} })
	{
		push @bad, "$panel->{title}: two targets $target->{refId}" if $refs{ $target->{refId} }++;
		push @bad, "$panel->{title}: a source of its own" if $target->{datasource}{uid} ne '${datasource}';
		push @queries, [ $panel->{title}, $target->{expr} ];
	}
}
push @queries, map { [ $_->{name}, $_->{expr} ] } grep { $_->{expr} } @{ $dashboard->{annotations}{list} };
is(join('; ', @bad), '', 'its panels are well formed');

# ---- the runbook ----

my $runbook = slurp_file(test_dir() . '/../docs/runbook.md');
my %entry = map { lc $_ => 1 } $runbook =~ /<a id="([^"]+)">/g;
ok($entry{ lc $_ }, "runbook: $_") foreach @alerts;

# ---- a server with something to see ----

my $node = ffs_node('monitoring', conf => "wal_level = replica\nautovacuum = off\nfsync = off\nmax_connections = 40\n" .
	  "ffstorage.health_index_rows = 100\nffstorage.health_history_size = 0\nffstorage.max_tables = 30\nffstorage.cache_size = 1MB\nffstorage.breaker_failures = 3\n" .
	  "ffstorage.max_running_per_tenant = 1\nffstorage.admission_timeout = '50 ms'\nffstorage.pace_tenants = off\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION ffstorage;
CREATE ROLE ffs_monitor LOGIN;
GRANT pg_monitor TO ffs_monitor;
CREATE TABLE t (id integer PRIMARY KEY, tenant_id text NOT NULL, n integer CHECK (n < 1000));
SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id');
CREATE INDEX by_tenant ON t (tenant_id);
INSERT INTO t SELECT g, 'a', 1 FROM generate_series(1, 200) g;
CREATE TABLE other (id integer PRIMARY KEY, n integer);
SELECT ffs_manage('other');
INSERT INTO other SELECT g, 0 FROM generate_series(1, 30) g;
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.1); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE UPDATE ON other FOR EACH ROW WHEN (NEW.n = 9) EXECUTE FUNCTION wait();
ANALYZE;
SELECT ffs_breaker_allow('far');
BEGIN; SELECT ffs_set_tenant('a'); UPDATE t SET n = n WHERE id = 1; COMMIT;
});
$node->psql('postgres', 'INSERT INTO other VALUES (1, 0)');	# an error, for its labels

my %checks = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT DISTINCT check_name FROM ffs_health');
ok($entry{"check-$_"}, "runbook: check $_") foreach sort keys %checks;
is($entry{"error-$_"} // 0, 1, "runbook: error $_") foreach split /\n/, $node->safe_psql('postgres', 'SELECT lower(sqlstate) FROM ffs_errors');
my %names = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SET ffstorage.metrics_tenants = on; SELECT DISTINCT name FROM ffs_metrics');
my %labels = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SET ffstorage.metrics_tenants = on; SELECT DISTINCT k FROM ffs_metrics, jsonb_object_keys(labels) k');
foreach my $file (qw(postgres_exporter.yml sql_exporter.yml))
{
	my $text = slurp_file("$shipped/$file");
	# the SQL exporter has the database's name by itself
	is(join(' ', grep { !($_ eq 'database' && $file eq 'sql_exporter.yml') && $text !~ /labels ->> '$_'/ } sort keys %labels), '', "$file has every label");
}
foreach my $used ($rules =~ /\b(ffstorage_[a-z_]+)/g, map { $_->[1] =~ /\b(ffstorage_[a-z_]+)/g } @queries)
{
	push @bad, $used if !$names{$used};
}
is(join(' ', @bad), '', 'every metric that is used is there');

if (!$have)
{
	note 'no prometheus here: nothing is scraped';
	done_testing();
	exit;
}

# ---- Prometheus and the exporters ----

my $folder = $node->basedir . '/prometheus';
mkdir $folder or die "$folder: $!";
mkdir "$folder/rules" or die $!;
my %port = map { $_ => free_port() } qw(postgres sql prometheus);
my ($host, $pgport) = ($node->host, $node->port);

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
	return $socket->sockport;
}

sub write_file
{
	my ($path, $text) = @_;
	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	close $out;
	return;
}

# as shipped, but sooner
write_file("$folder/sql.yml", slurp_file("$shipped/sql_exporter.yml") =~ s/interval: '15s'/interval: '1s'/r =~
	  s#postgres://[^']*#postgres://ffs_monitor\@:$pgport/postgres?sslmode=disable&host=$host#r);
write_file("$folder/prometheus.yml", slurp_file("$shipped/prometheus.yml") =~ s/_interval: 15s/_interval: 1s/gr =~
	  s/localhost:9187/127.0.0.1:$port{postgres}/r =~ s/localhost:9237/127.0.0.1:$port{sql}/r);
write_file("$folder/rules/ffstorage.rules.yml", $rules =~ s/for: \d+m/for: 2s/gr);

my @pids;
sub start
{
	my ($log, %env) = (shift, %{ shift() });
	my @command = @_;
	my $pid = fork;
	if ($pid == 0)
	{
		$ENV{$_} = $env{$_} foreach keys %env;
		open STDOUT, '>', "$folder/$log.log" or POSIX::_exit(1);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
		exec @command or POSIX::_exit(1);
	}
	push @pids, $pid;
	return;
}
END { local $?; kill 'KILL', @pids if @pids; }

start('postgres_exporter', { DATA_SOURCE_NAME => "user=ffs_monitor host=$host port=$pgport dbname=postgres sslmode=disable" },
	"$bin/prometheus-postgres-exporter", "--web.listen-address=127.0.0.1:$port{postgres}", "--extend.query-path=$shipped/postgres_exporter.yml",
	'--disable-default-metrics', '--disable-settings-metrics');
start('sql_exporter', {}, "$bin/prometheus-sql-exporter", '-config.file', "$folder/sql.yml", '-web.listen-address', "127.0.0.1:$port{sql}");
start('prometheus', {}, "$bin/prometheus", "--config.file=$folder/prometheus.yml", "--storage.tsdb.path=$folder/data",
	"--web.listen-address=127.0.0.1:$port{prometheus}", '--log.level=warn');

my $http = HTTP::Tiny->new(timeout => 10);
sub ask
{
	my ($path, %form) = @_;
	my $got = $http->get("http://127.0.0.1:$port{prometheus}/api/v1/$path?" . $http->www_form_urlencode(\%form));
	return $got->{success} ? decode_json($got->{content})->{data} : undef;
}

sub query { my $data = ask('query', query => $_[0]); return $data ? @{ $data->{result} } : (); }

# what fires: alert, and the check that it is about, by job
sub firing
{
	my %firing;
	my $data = ask('alerts') or return {};
	foreach my $alert (grep { $_->{state} eq 'firing' } @{ $data->{alerts} })
	{
		my $name = join ' ', grep { defined } @{ $alert->{labels} }{qw(alertname check)};
		$firing{$name}{ $alert->{labels}{job} } = $alert;
	}
	return \%firing;
}

sub within
{
	my ($seconds, $is_so) = @_;
	my $end = time + $seconds;
	while (time < $end) { return 1 if $is_so->(); sleep 0.2; }
	return 0;
}

ok(within(60, sub { query('ffstorage_info') == 2 }), 'Prometheus has figures by both exporters')
  or BAIL_OUT(join '', map { slurp_file("$folder/$_.log") } qw(postgres_exporter sql_exporter prometheus));
my %scraped = map { $_->{metric}{__name__} => 1 } query('{__name__=~"ffstorage_.*", job="ffstorage"}');
my %scraped_too = map { $_->{metric}{__name__} => 1 } query('{__name__=~"ffstorage_.*", job="ffstorage_sql"}');
my @expected = sort grep { !/^ffstorage_tenant_/ || /violations/ } keys %names;
is_deeply([ sort keys %scraped ], \@expected, 'all of them, by their names, from the postgres exporter');
is_deeply([ sort keys %scraped_too ], \@expected, 'and from the SQL exporter');
my ($calls) = query('ffstorage_operation_calls_total{job="ffstorage", relation="public.t", operation="insert"}');
is($calls->{value}[1], 1, 'with their labels and values');

# ---- faults ----

my $session = ffs_session($node);
my %fired;
my %known;	# alerts that fire, or may still do so because their window is not over

sub fires
{
	my ($alert, $make, $mend) = @_;
	$make->();
	my $seen = within(90, sub { my $f = firing()->{$alert}; $f && keys %$f == 2 });
	ok($seen, "$alert fires");
	$fired{ (split ' ', $alert)[0] } = 1;
	$known{$alert} = 1;
	my $now = firing();
	is(join(', ', grep { !$known{$_} } sort keys %$now), '', "$alert: and no other");
	my ($one) = values %{ $now->{$alert} // {} };
	if ($one)
	{
		my ($anchor) = ($one->{annotations}{runbook} // '') =~ /^docs\/runbook\.md#(.+)$/;
		ok($anchor && $entry{ lc $anchor }, "$alert: the runbook has it");
	}
	return unless $mend;
	$mend->();
	if ($alert =~ /^Ffstorage(Unhealthy|Degraded|No)/)
	{
		ok(within(90, sub { !firing()->{$alert} }), "$alert: gone when it is mended");
		delete $known{$alert};
	}
	return;
}

sub sql { my ($text) = @_; return sub { $node->safe_psql('postgres', $text) }; }
sub set { my ($name, $value) = @_; return sub { $node->safe_psql('postgres', "ALTER SYSTEM SET ffstorage.$name = '$value'"); $node->reload }; }
sub unset { my ($name) = @_; return sub { $node->safe_psql('postgres', "ALTER SYSTEM RESET ffstorage.$name"); $node->reload }; }

sleep 4;
is(join(', ', sort keys %{ firing() }), '', 'nothing fires while nothing is wrong');

fires('FfstorageDegraded breakers', sql(q{SELECT ffs_breaker_report('far', false) FROM generate_series(1, 3)}), sql(q{SELECT ffs_breaker_reset('far')}));
fires('FfstorageDegraded tenant_indexes', sql('DROP INDEX by_tenant'), sql('CREATE INDEX by_tenant ON t (tenant_id)'));
fires('FfstorageUnhealthy triggers_and_policies', sql('ALTER TABLE t DISABLE TRIGGER ffstorage_begin'), sql('ALTER TABLE t ENABLE TRIGGER ffstorage_begin'));
# without its key history can be looked at, and not written
$known{'FfstorageUnhealthy history_in_step'} = 1;
fires('FfstorageUnhealthy history_indexes', sql('ALTER TABLE t_history DROP CONSTRAINT t_history_pkey'),
	sql('ALTER TABLE t_history ADD PRIMARY KEY (id, valid_from)'));
ok(within(90, sub { !firing()->{'FfstorageUnhealthy history_in_step'} }), 'history is in step again');
delete $known{'FfstorageUnhealthy history_in_step'};
fires('FfstorageUnhealthy history_in_step', sql('DROP VIEW t_versions CASCADE'), sql(q{SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id')}));
fires('FfstorageDegraded prepared_transactions',
	sub { $node->safe_psql('postgres', "BEGIN; UPDATE other SET n = 1 WHERE id = 1; PREPARE TRANSACTION 'left'"); set('health_prepared_age', '0')->() },
	sub { $node->safe_psql('postgres', "ROLLBACK PREPARED 'left'"); unset('health_prepared_age')->() });
fires('FfstorageDegraded long_transactions',
	sub { $session->query('BEGIN; UPDATE other SET n = 1 WHERE id = 2'); sleep 1.2; set('health_transaction_time', '1s')->() },
	sub { $session->query('ROLLBACK'); unset('health_transaction_time')->() });
fires('FfstorageUnhealthy transaction_ids', set('health_transaction_age', '1'), unset('health_transaction_age'));
fires('FfstorageDegraded replication',
	sub { $node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('unused', true); UPDATE other SET n = 2; SELECT pg_switch_wal(); UPDATE other SET n = 3"); set('health_replication_slot_size', '1')->() },
	sub { $node->safe_psql('postgres', "SELECT pg_drop_replication_slot('unused')"); unset('health_replication_slot_size')->() });
fires('FfstorageUnhealthy version', sql("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'ffstorage'"),
	sub { $node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'ffstorage'") });
fires('FfstorageDegraded history_growth',
	sub { $node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 60 LOOP UPDATE t SET n = i; COMMIT; END LOOP; END $$; ANALYZE t'); set('health_history_ratio', '2')->() },
	unset('health_history_ratio'));

# What has a window of its own goes on for five minutes.
fires('FfstorageTimeouts', sql(q{
DO $$
BEGIN
    SET LOCAL ffstorage.query_timeout = '20 ms';
    FOR i IN 1 .. 10 LOOP
        BEGIN
            PERFORM ffs_cached('SELECT pg_sleep(60)');
        EXCEPTION WHEN SQLSTATE 'ZF030' THEN
            NULL;
        END;
    END LOOP;
END $$}));
fires('FfstorageResultsNotCached', sql(q{
SET client_min_messages = error;
DO $$ BEGIN FOR i IN 1 .. 300 LOOP PERFORM ffs_cached('SELECT count(*) FROM pg_am'); END LOOP; END $$}));
fires('FfstorageCacheTooSmall', sql(q{
CREATE TABLE many (id integer PRIMARY KEY, text text);
SELECT ffs_manage('many');
INSERT INTO many SELECT g, repeat('x', 200) FROM generate_series(1, 8000) g;
DO $$ BEGIN FOR i IN 1 .. 24000 LOOP PERFORM ffs_get(NULL::many, i % 8000); END LOOP; END $$;
DROP TABLE many}));
fires('FfstorageRetriesExhausted', sub {
	$node->psql('postgres', q{CALL ffs_run('DO $$ BEGIN RAISE SQLSTATE ''40001''; END $$', max_attempts => 2, base_delay => '1 ms')}) });
fires('FfstorageSlowOperations', sub {
	my @all = map { ffs_session($node) } 1 .. 12;
	print { $all[$_]{in} } 'UPDATE other SET n = 9 WHERE id = ' . ($_ + 3) . ";\n" foreach 0 .. 11;
	$_->{in}->flush foreach @all;
	$_->query('SELECT 1') foreach @all;
	$_->close foreach @all; });
$known{'FfstorageUnhealthy tenant_violations'} = $known{'FfstorageDegraded tenant_violations'} = 0;
my ($rc, $out, $err) = (0);
$node->psql('postgres', q{BEGIN; SELECT ffs_set_tenant('a'); INSERT INTO t VALUES (1001, 'b', 1)});
my $word = $node->safe_psql('postgres', "SELECT initcap(status) FROM ffs_health WHERE check_name = 'tenant_violations'");
fires("Ffstorage$word tenant_violations", sub { });
$node->safe_psql('postgres', q{
DO $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        BEGIN
            INSERT INTO t VALUES (2000 + i, 'a', 1000);
        EXCEPTION WHEN check_violation THEN
            NULL;
        END;
    END LOOP;
END $$});
$word = $node->safe_psql('postgres', "SELECT initcap(status) FROM ffs_health WHERE check_name = 'error_rate'");
isnt($word, 'Healthy', 'errors are seen');
$known{"Ffstorage$_ error_rate"} = 1 foreach qw(Degraded Unhealthy);
fires("Ffstorage$word error_rate", sub { });

# one tenant with more calls than it may have
my $holder = ffs_session($node);
$holder->query(q{BEGIN; SELECT ffs_set_tenant('a')});
print { $holder->{in} } "SELECT ffs_cached('SELECT pg_sleep(60)');\n";
$holder->{in}->flush;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
$node->psql('postgres', q{BEGIN; SELECT ffs_set_tenant('a'); SELECT ffs_count('t', '{}')});
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
$holder->query('ROLLBACK');
$known{"Ffstorage$_ admission"} = 1 foreach qw(Degraded Unhealthy);
$word = $node->safe_psql('postgres', "SELECT initcap(status) FROM ffs_health WHERE check_name = 'admission'");
fires("Ffstorage$word admission", sub { });

# connections of the database
my @more;
fires('FfstorageDegraded connections', sub {
	my $used = $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres'");
	$node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT ' . ($used + 5));
	push @more, ffs_session($node) foreach 1 .. 4; },
	sub { $_->close foreach @more; $node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT -1') });
fires('FfstorageFiguresReset', sql('SELECT ffs_stats_reset()'));

# ---- the dashboard's queries have data ----

$node->safe_psql('postgres', q{
SELECT count(*) FROM other, ffs_get(NULL::other, other.id);
SELECT count(*) FROM other, ffs_get(NULL::other, other.id);
SELECT ffs_cached('SELECT count(*) FROM other');
SELECT ffs_cached('SELECT count(*) FROM other');
UPDATE other SET n = 4;
});
sleep 3;
$node->safe_psql('postgres', 'UPDATE other SET n = 5; SELECT count(*) FROM other, ffs_get(NULL::other, other.id); SELECT ffs_cached(\'SELECT count(*) FROM other\')');
sleep 3;
foreach my $query (@queries)
{
	my ($title, $expr) = @$query;
	$expr =~ s/\$__rate_interval/5m/g;
	$expr =~ s/\$(job|instance|database)\b/.*/g;
	my @found = query($expr);
	ok(scalar @found, "dashboard: $title") or diag $expr;
}

# ---- the server itself ----

$session->close;
$holder->close;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->stop('immediate');
$known{$_} = 1 foreach keys %{ firing() };
fires('FfstorageNoFigures', sub { });
delete $known{FfstorageNoFigures};
$node->start;
ok(within(90, sub { !firing()->{FfstorageNoFigures} }), 'FfstorageNoFigures: gone when it is back');
fires('FfstorageNotPreloaded', sub { });
is(join(' ', grep { !$fired{$_} } @alerts), '', 'each alert has fired');

kill 'TERM', @pids;
waitpid $_, 0 foreach @pids;
@pids = ();
$node->stop;
done_testing();
