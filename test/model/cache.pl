#!/usr/bin/perl
# What ffs_get and ffs_get_many give against what SELECT gives in the same
# snapshot, while clients at mixed isolation levels write, roll back, prepare,
# truncate, change tables, switch triggers off, roles and tenants.
#
#   perl test/model/cache.pl [SEED [TRANSACTIONS [CLIENTS]]]
#
# Works on the database that the PG* variables name, through psql, as a
# superuser; max_prepared_transactions should be 10 or so.  Makes the schema
# model and the role model_user there.  Prints its seed, the number of
# comparisons and each difference; exits with 1 if there is one.
use strict;
use warnings;
use File::Temp;

my $seed = $ARGV[0] // time;
my $transactions = $ARGV[1] // 150;
my $clients = $ARGV[2] // 8;
print "seed $seed, $clients clients, $transactions transactions each\n";

my $state;
sub sow { $state = $_[0] & 0x7fffffff; dice(2) for 1 .. 5; }
sub dice
{
	my ($n) = @_;
	for (1 .. 2)
	{
		$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	}
	return int(($state >> 8) % $n);
}
sub pick { return $_[ dice(scalar @_) ]; }

# name => key expression from an integer, number of keys, has a tenant
my %tables = (
	plain => { key => sub { "$_[0]" }, cast => 'k', keys => 300 },
	parted => { key => sub { "$_[0]" . pick('', '.0', '.00') }, cast => 'k::numeric', keys => 200 },
	owned => { key => sub { "'k$_[0]'" }, cast => q{'k' || k}, keys => 200, tenant => 1 },
	loose => { key => sub { "$_[0]" }, cast => 'k', keys => 100 },
	pairs => { key => sub { "$_[0], 'x" . ($_[0] % 3) . "'" }, cast => q{k, 'x' || k % 3}, keys => 200, pair => 1 },
);
my @names = sort keys %tables;

sub where
{
	my ($name, $n) = @_;
	return "(id, part) = ($n, 'x" . ($n % 3) . "')" if $tables{$name}{pair};
	return 'id = ' . $tables{$name}{key}->($n);
}

sub run_psql
{
	my ($sql) = @_;
	my $in = File::Temp->new;
	print $in $sql;
	close $in;
	my $said = `psql -X -A -t -q -v ON_ERROR_STOP=1 -f $in 2>&1`;
	die $said if $?;
	return $said;
}

sub set_up
{
	my $sql = <<'SQL';
SET client_min_messages = warning;
SELECT ffs_unmanage(relation, false) FROM ffs_tables WHERE relation::text ~ '^model\.';
DROP SCHEMA IF EXISTS model CASCADE;
CREATE SCHEMA model;
DO $$ BEGIN CREATE ROLE model_user; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA model TO model_user;
CREATE TABLE model.plain (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.parted (id numeric PRIMARY KEY, v integer, pad text) PARTITION BY RANGE (id);
CREATE TABLE model.parted_a PARTITION OF model.parted FOR VALUES FROM (MINVALUE) TO (70);
CREATE TABLE model.parted_b PARTITION OF model.parted FOR VALUES FROM (70) TO (MAXVALUE) PARTITION BY HASH (id);
CREATE TABLE model.parted_b1 (pad text, gone text, v integer, id numeric NOT NULL);
ALTER TABLE model.parted_b1 DROP COLUMN gone;
ALTER TABLE model.parted_b ATTACH PARTITION model.parted_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE model.parted_b2 PARTITION OF model.parted_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE model.owned (id text PRIMARY KEY, tenant integer NOT NULL, v integer, pad text);
CREATE TABLE model.loose (id integer PRIMARY KEY, v integer, pad text);
CREATE TABLE model.pairs (part text, id integer, v integer, pad text, PRIMARY KEY (id, part));
SELECT ffs_manage('model.plain', 'scd2'), ffs_manage('model.parted', 'copy_on_change', stamps => false),
       ffs_manage('model.owned', 'scd2', 'tenant'), ffs_manage('model.loose', stamps => false),
       ffs_manage('model.pairs', 'scd2', soft_delete => true);
INSERT INTO model.plain SELECT k, 0, repeat('p', k) FROM generate_series(1, 300, 2) k;
INSERT INTO model.parted SELECT k, 0, repeat('p', k) FROM generate_series(1, 200, 2) k;
INSERT INTO model.owned SELECT 'k' || k, k % 3, 0, repeat('p', k * 10) FROM generate_series(1, 200, 2) k;
INSERT INTO model.loose SELECT k, 0, 'p' FROM generate_series(1, 100, 2) k;
INSERT INTO model.pairs SELECT 'x' || k % 3, k, 0, repeat('p', 6000) FROM generate_series(1, 200, 2) k;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA model TO model_user;
SQL
	run_psql($sql);
}

# ---- what a client does ----

sub compare
{
	my ($name) = @_;
	my $t = $tables{$name};
	my $from = 1 + dice($t->{keys});
	my $to = $from + pick(1, 5, 30, 100);

	# A snapshot of REPEATABLE READ that still sees a row which another
	# transaction has deleted since sees two of its key when its own
	# transaction inserts that key anew: then there is nothing to compare with.
	my $condition = $t->{pair} ? "t.id = k AND t.part = 'x' || k % 3" : "t.id = $t->{cast}";
	my $row = "(SELECT CASE WHEN count(*) > 1 THEN 'two' ELSE min(t::text) END FROM model.$name t WHERE $condition)";
	return <<SQL if dice(3);
SELECT '\@' || count(*), string_agg('DIFF $name ' || k || ' table=' || left(coalesce(a, 'none'), 90) || ' cache=' || left(coalesce(b, 'none'), 90), E'\\n')
           FILTER (WHERE a IS DISTINCT FROM b AND a IS DISTINCT FROM 'two')
  FROM (SELECT k, $row AS a, (SELECT g::text FROM ffs_get(NULL::model.$name, $t->{cast}) g) AS b FROM generate_series($from, $to) k) x;
SQL
	my $keys = $t->{pair} ? q{array_agg(jsonb_build_object('id', k, 'part', 'x' || k % 3) ORDER BY k % 7, k)} :
	  "array_agg($t->{cast} ORDER BY k % 7, k)";
	return <<SQL;
WITH x AS MATERIALIZED (SELECT k, $row AS a FROM generate_series($from, $to) k),
     keys AS MATERIALIZED (SELECT $keys AS keys FROM generate_series($from, $to) k),
     y AS MATERIALIZED (SELECT array_agg(g::text) AS b FROM keys, ffs_get_many(NULL::model.$name, keys) g)
SELECT '\@' || count(*), CASE WHEN array_agg(a ORDER BY k % 7, k) FILTER (WHERE a IS NOT NULL) IS DISTINCT FROM min(b) AND NOT bool_or(a IS NOT DISTINCT FROM 'two')
            THEN 'DIFF $name many table=' || left(array_agg(a ORDER BY k % 7, k)::text, 300) || ' cache=' || left(min(b)::text, 300) END
  FROM x, y;
SQL
}

sub row_values
{
	my ($name, $n) = @_;
	my $pad = "repeat('q', " . pick(0, 10, 200, 3000) . ')';
	return "(id, part, v, pad) VALUES ($n, 'x" . ($n % 3) . "', 1, $pad)" if $tables{$name}{pair};
	return "(id, tenant, v, pad) VALUES (" . $tables{$name}{key}->($n) . ', ' . ($n % 3) . ", 1, $pad)" if $tables{$name}{tenant};
	return '(id, v, pad) VALUES (' . $tables{$name}{key}->($n) . ", 1, $pad)";
}

sub write_rows
{
	my ($name) = @_;
	my $t = $tables{$name};
	my $n = 1 + dice($t->{keys});
	my $d = dice(20);

	return "UPDATE model.$name SET v = v + 1 WHERE " . where($name, $n) . ";\n" if $d < 8;
	return "UPDATE model.$name SET v = v + 1, pad = repeat('u', " . dice(500) . ") WHERE v % 5 = " . dice(5) . ";\n" if $d == 8;
	return "DELETE FROM model.$name WHERE " . where($name, $n) . ";\n" if $d < 12;
	return "INSERT INTO model.$name " . row_values($name, $n) . " ON CONFLICT DO NOTHING;\n" if $d < 15;
	return "INSERT INTO model.$name " . row_values($name, $n) . " ON CONFLICT (id" . ($t->{pair} ? ', part' : '')
	  . ") DO UPDATE SET v = $name.v + 1;\n" if $d < 17;
	return "UPDATE model.$name SET id = " . $t->{key}->(1 + dice($t->{keys})) . ' WHERE ' . where($name, $n) . ";\n"
	  if $d == 17 && !$t->{pair};
	return "SELECT ffs_restore('model.pairs', $n, 'x" . ($n % 3) . "');\n" if $d == 17;
	if ($d == 18 && !$t->{tenant} && !$t->{pair})
	{
		my $m = $n + 1;
		return "COPY model.$name (id, v, pad) FROM STDIN;\n$n\t2\tcopied\n\\.\n";
	}
	return "MERGE INTO model.$name t USING (SELECT 1) s ON " . where($name, $n) . " WHEN MATCHED THEN UPDATE SET v = t.v + 10;\n";
}

my $prepared = 0;
sub transaction
{
	my ($client) = @_;
	my $level = pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ', 'SERIALIZABLE');
	my $sql = "BEGIN ISOLATION LEVEL $level;\n";
	my $steps = 1 + dice(6);
	my $deep = 0;
	my $special = dice(40);
	my @mine = map { pick(@names) } 1 .. 2;
	my $role = 0;

	if ($special == 0)
	{
		$sql .= pick(
			'TRUNCATE model.' . pick('loose', 'parted_a', 'parted_b1', 'plain') . ";\n",
			"ALTER TABLE model.loose ADD COLUMN extra$client integer DEFAULT $client;\n",
			"ALTER TABLE model.loose DROP COLUMN IF EXISTS extra" . dice($clients) . ";\n",
			"ALTER TABLE model.plain ALTER COLUMN pad SET STORAGE EXTERNAL;\nCREATE INDEX ON model.loose (v);\n",
			"ALTER TABLE model.loose DISABLE TRIGGER USER;\nUPDATE model.loose SET v = v + 100;\nALTER TABLE model.loose ENABLE TRIGGER USER;\nALTER TABLE model.loose ENABLE REPLICA TRIGGER zz_ffstorage_replica;\n",
			"ALTER TABLE model.loose DISABLE TRIGGER USER;\n",
			"ALTER TABLE model.parted_b DETACH PARTITION model.parted_b1;\n",
			"ALTER TABLE model.parted_b ATTACH PARTITION model.parted_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n");
	}
	elsif ($special == 1)
	{
		$sql .= "ALTER TABLE model.loose ENABLE TRIGGER USER;\nALTER TABLE model.loose ENABLE REPLICA TRIGGER zz_ffstorage_replica;\n";
	}
	elsif ($special < 6)
	{
		$sql .= "SET LOCAL session_replication_role = replica;\n";
	}
	elsif ($special < 16)
	{
		$role = 1;
		$sql .= pick("SELECT ffs_set_tenant('" . dice(3) . "');\n", '', "SELECT ffs_set_tenants('{0,2}');\n", "SELECT ffs_set_all_tenants();\n");
		$sql .= "SET LOCAL ROLE model_user;\n";
	}
	for (1 .. $steps)
	{
		my $name = pick(@mine);
		my $d = dice(20);

		if ($d < 9) { $sql .= compare($name); }
		elsif ($d < 15) { $sql .= write_rows($name); }
		elsif ($d == 15) { $sql .= "SAVEPOINT s;\n"; $deep++; }
		elsif ($d == 16 && $deep) { $sql .= "ROLLBACK TO s;\n"; }
		elsif ($d == 17) { $sql .= write_rows($name) . compare($name); }
		elsif ($d == 18) { $sql .= 'SELECT pg_sleep(0.00' . dice(10) . ");\n"; }
		else { $sql .= compare(pick(@names)); }
	}
	my $end = dice(20);
	return $sql . "ROLLBACK;\n" if $end < 4;
	if ($end == 4 && !$role)
	{
		my $gid = "model_${client}_" . ++$prepared;
		$sql .= "PREPARE TRANSACTION '$gid';\n" . compare($mine[0]) . 'SELECT pg_sleep(0.0' . dice(10) . ");\n";
		return $sql . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$gid';\n" . compare($mine[0]);
	}
	return $sql . "COMMIT;\n" . (dice(2) ? compare($mine[0]) : '');
}

sub script
{
	my ($client) = @_;
	my $sql = "SET client_min_messages = error;\nSET lock_timeout = '500ms';\nSET deadlock_timeout = '50ms';\n";
	sow($seed * 100 + $client);
	$sql .= transaction($client) for 1 .. $transactions;
	return $sql;
}

set_up();
my @running;
foreach my $client (0 .. $clients - 1)
{
	my $in = File::Temp->new;
	my $out = File::Temp->new;
	print $in script($client);
	close $in;
	my $pid = fork() // die $!;
	exec("exec psql -X -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=never -f $in >$out 2>&1") if $pid == 0;
	push @running, [ $pid, $in, $out ];
}
my ($compared, $differences, %seen) = (0, 0);
foreach my $one (@running)
{
	waitpid($one->[0], 0);
	open my $said, '<', "$one->[2]" or die $!;
	while (<$said>)
	{
		$compared += $1 if /^@(\d+)/;
		$seen{$1}++ if /(?:ERROR|FATAL|PANIC):\s+(\w{5}):/;
		next unless /DIFF/ || /ERROR:\s+XX/ || /PANIC|server closed/;
		$differences++;
		print if $differences <= 20;
	}
}
run_psql("SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE gid ~ '^model' \\gexec\n");
print "$compared comparisons, $differences differences\n";
print 'errors: ', join(', ', map { "$_ $seen{$_}" } sort keys %seen), "\n";
print run_psql("SELECT row_to_json(s) FROM ffs_stat_cache s;");
exit($differences > 0);
