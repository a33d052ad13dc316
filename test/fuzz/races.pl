#!/usr/bin/perl
# Schema changes, ffs_manage and ffs_unmanage while other sessions write, and
# statements that are cancelled in the middle: no internal error, nothing that
# hangs, and the laws hold (test/laws.sql) when all have ended.
#
#   perl test/fuzz/races.pl [SEED [ROUNDS]]
#
# Works on the database that the PG* variables name, through psql, as a
# superuser.  Makes the schema races there.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Temp;

my $seed = $ARGV[0] // time;
my $rounds = $ARGV[1] // 2;
my $here = dirname(__FILE__);
print "seed $seed, $rounds rounds\n";

my $state = $seed & 0x7fffffff;
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

my $failures = 0;
my %seen;

# Start psql on each script at once, wait for all, give what each said.
sub together
{
	my @running;
	foreach my $sql (@_)
	{
		my $in = File::Temp->new;
		my $out = File::Temp->new;
		print $in "SET client_min_messages = error;\nSET search_path = races, public;\n$sql";
		close $in;
		my $pid = fork() // die $!;
		if ($pid == 0)
		{
			exec("exec psql -X -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=never -f $in >$out 2>&1") or die $!;
		}
		push @running, [ $pid, $in, $out ];
	}
	my @said;
	foreach my $one (@running)
	{
		waitpid($one->[0], 0);
		open my $in, '<', "$one->[2]" or die $!;
		local $/;
		push @said, <$in>;
	}
	return @said;
}

sub judge
{
	my ($what, $said, $expected) = @_;
	$seen{$1}++ while $said =~ /(?:ERROR|FATAL):\s+(\w{5}):/g;
	while ($said =~ /^(.*(?:XX\d\d\d:|server closed|PANIC|57P0\d).*\n.*)/mg)
	{
		$failures++;
		print "$what: $1\n";
	}
	if ($expected && $said =~ /^(.*(?:ERROR|FATAL):\s+(?!\s|$expected).*)/m)
	{
		$failures++;
		print "$what: not expected: $1\n";
	}
}

# What schema changes and ffs_manage itself write is in no entry: columns that
# were added with a DEFAULT or dropped, stamps that were there before, columns
# that were excluded for a time.
my $stands_aside = q{l !~ 'updated_at is not|updated_by is not|created_at|created_by is not|"x[0-9]": |differs: .*"v"|the row was .*"v"|old_value of (v|x[0-9])'};

sub laws
{
	my ($what) = @_;
	my ($said) = together("SET statement_timeout = '60s'; SELECT * FROM public.laws_all() l WHERE $stands_aside LIMIT 5; SELECT relation || ': ' || amiss FROM ffs_tables WHERE amiss IS NOT NULL;");
	return if $said =~ /^(?:SET\n)*\z/;
	$failures++;
	print "$what: $said\n";
}

my ($setup) = together("\\set ON_ERROR_STOP 1
CREATE EXTENSION IF NOT EXISTS ffstorage;
DROP SCHEMA IF EXISTS races CASCADE;
CREATE SCHEMA races;
\\i $here/../laws.sql
");
die "setup failed: $setup" if $setup =~ /ERROR/;

# ---- schema changes while others write ----

sub write_statement
{
	my $table = pick(qw(versioned audited kept parted));
	my $id = dice(20);
	return pick("INSERT INTO $table (id, v) VALUES ($id, 'i') ON CONFLICT (id) DO UPDATE SET v = 'c'", "INSERT INTO $table (id, v) VALUES ($id, 'i')",
		"UPDATE $table SET v = v || 'u' WHERE id = $id", "UPDATE $table SET v = 'w' || id WHERE id BETWEEN $id AND $id + 2", "DELETE FROM $table WHERE id = $id",
		"UPDATE $table SET id = id + 100 WHERE id = $id", "DELETE FROM $table WHERE id > 99", "SELECT ffs_create_many('$table', '[{\"id\": $id, \"v\": \"m\"}, {\"id\": " . dice(20) . "}]', on_conflict => 'update', on_error => 'report')",
		"SELECT count(*) FROM ffs_history('$table', $id)", "SELECT ffs_update('$table', '{\"id\": $id, \"v\": \"p\"}')", "SELECT * FROM ffs_get(NULL::$table, $id)", "SELECT ffs_restore('$table', $id)", "SELECT count(*) FROM ffs_tables WHERE amiss = ''",
		"SELECT ffs_delete('$table', $id)");
}

sub ddl_statement
{
	my $table = pick(qw(versioned audited kept parted));
	my %how = (versioned => "'scd2', soft_delete => true", audited => "'copy_on_change'", kept => "'none', soft_delete => true", parted => "'scd2'");
	my $column = 'x' . dice(3);
	return "SELECT ffs_manage('$table', $how{$table})" if !dice(4);
	return pick( "SELECT ffs_unmanage('$table', false); SELECT pg_sleep(0.01); SELECT ffs_manage('$table', $how{$table})", "ALTER TABLE $table ADD COLUMN $column integer DEFAULT 3", "ALTER TABLE $table DROP COLUMN $column",
		"ALTER TABLE $table RENAME COLUMN $column TO x" . dice(3), "ALTER TABLE $table ALTER COLUMN $column TYPE bigint", "CREATE INDEX ON $table (v)", "SELECT ffs_manage('$table', $how{$table}, exclude => '{v}'); SELECT ffs_manage('$table', $how{$table})",
		"ALTER TABLE $table RENAME TO moved; ALTER TABLE moved RENAME TO $table", 'TRUNCATE ' . $table, "BEGIN; ALTER TABLE $table ADD COLUMN $column text; UPDATE $table SET $column = v; ROLLBACK",
		"CREATE TABLE parted_more PARTITION OF parted FOR VALUES FROM (1000) TO (2000)", 'DROP TABLE parted_more', "VACUUM $table", "CREATE TRIGGER zzz BEFORE UPDATE ON $table FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "DROP TRIGGER zzz ON $table",
		dice(4) ? 'SELECT 1' : 'SELECT ffs_unmanage_all()', "REINDEX TABLE $table", "CLUSTER ${table}_history USING ${table}_history_pkey", "DROP TABLE $table CASCADE; DROP TABLE IF EXISTS ${table}_history, ${table}_audit, ${table}_deleted CASCADE; CREATE TABLE $table (id integer PRIMARY KEY, v text); SELECT ffs_manage('$table', $how{$table})");
}

foreach my $round (1 .. $rounds)
{
	together(q{
DROP TABLE IF EXISTS versioned, audited, kept, parted CASCADE;
DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'races' LOOP EXECUTE format('DROP TABLE races.%I CASCADE', t); END LOOP; END $$;
CREATE TABLE versioned (id integer PRIMARY KEY, v text);
CREATE TABLE audited (id integer PRIMARY KEY, v text);
CREATE TABLE kept (id integer PRIMARY KEY, v text);
CREATE TABLE parted (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (10);
CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (10) TO (1000);
SELECT ffs_manage('versioned', 'scd2', soft_delete => true), ffs_manage('audited', 'copy_on_change'), ffs_manage('kept', soft_delete => true), ffs_manage('parted', 'scd2');
});
	my @scripts = map {
		"SET statement_timeout = '20s';\n" . join('', map { dice(4) ? write_statement() . ";\n" : 'BEGIN; ' . join('; ', map { write_statement() } 1 .. 3) . '; ' . pick('COMMIT', 'ROLLBACK') . ";\n" } 1 .. 250)
	} 1 .. 2;
	push @scripts, "SET statement_timeout = '20s';\n" . join('', map { ddl_statement() . ";\nSELECT pg_sleep(0.01);\n" } 1 .. 60);
	push @scripts, "SET statement_timeout = '20s';\n" . join('', map { ddl_statement() . ";\nSELECT pg_sleep(0.02);\n" } 1 .. 15);
	my @said = together(@scripts);
	judge("round $round, session " . ($_ + 1), $said[$_]) for 0 .. $#said;
	if ("@said" =~ /(.*57014:.*)/) { $failures++; print "round $round: hangs: $1\n"; }
	laws("round $round");
}

# ---- cancelled in the middle, and little room ----

together(q{
SELECT ffs_unmanage_all();
CREATE TABLE big (id integer PRIMARY KEY, v text, w text);
CREATE TABLE big_audit_table (LIKE big INCLUDING ALL);
CREATE TABLE later (LIKE big INCLUDING ALL);
INSERT INTO later SELECT i, 'v', repeat('w', 50) FROM generate_series(1, 60000) i;
SELECT ffs_manage('big', 'scd2', soft_delete => true), ffs_manage('big_audit_table', 'copy_on_change', soft_delete => true);
INSERT INTO big SELECT * FROM later; INSERT INTO big_audit_table SELECT * FROM later;
ANALYZE;
});
my @long = (
	"UPDATE big SET v = v || 'x'", "UPDATE big_audit_table SET v = v || 'x', w = w || 'x'", 'TRUNCATE big', 'TRUNCATE big_audit_table', 'DELETE FROM big', 'DELETE FROM big_audit_table', "UPDATE big SET id = id + 100000",
	"SELECT count(*) FROM ffs_create_many('big', (SELECT jsonb_agg(jsonb_build_object('id', i + 100000, 'v', i)) FROM generate_series(1, 60000) i))",
	"SELECT count(*) FROM ffs_create_many('big', (SELECT jsonb_agg(jsonb_build_object('id', i, 'v', 'u' || i)) FROM generate_series(1, 60000) i), on_conflict => 'update')",
	"SELECT count(*) FROM ffs_create_many('big_audit_table', (SELECT jsonb_agg(jsonb_build_object('id', i - 30000, 'v', 'u' || i)) FROM generate_series(1, 60000) i), on_error => 'report')",
	"SELECT ffs_manage('later', 'copy_on_change', soft_delete => true)", "SELECT ffs_manage('later', 'scd2')", "SELECT ffs_manage('big', 'copy_on_change')", "SELECT ffs_manage('big_audit_table', 'scd2')", "SELECT ffs_unmanage('big', false)",
	"SELECT count(*) FROM ffs_get_many(NULL::big, ARRAY(SELECT generate_series(1, 60000)))", "COPY big (id, v, w) FROM PROGRAM 'seq -f %.0f,a,b 200000 260000' (FORMAT csv)",
);
foreach my $statement (@long)
{
	my $ms = 20 + dice(200);
	my $digest = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM %1\$s t;\n";
	my $digests = join('', map { sprintf $digest, $_ } qw(big big_audit_table later)) . 'SELECT (SELECT count(*) FROM big_history), (SELECT count(*) FROM big_audit_table_audit), (SELECT count(*) FROM big_deleted), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM ffstorage.rekeys);';
	my ($before) = together($digests);
	my ($said) = together("\\timing on\nBEGIN; SET LOCAL statement_timeout = $ms;\n\\echo begin\n$statement;\nROLLBACK;\n");
	judge("cancel after $ms ms: $statement", $said);
	# psql says how long the statement that failed took
	my ($took) = $said =~ /begin.*?57014.*?Time: ([\d.]+)/s;
	if (defined $took && $took > $ms + 1000) { $failures++; print "cancelled after $ms ms, ended after $took ms: $statement\n"; }
	if (!dice(2))
	{
		# little room: what needs more says so, or gets along
		my ($little) = together("BEGIN; SET LOCAL work_mem = '64kB'; SET LOCAL temp_file_limit = '1MB'; SET LOCAL maintenance_work_mem = '1MB'; SET LOCAL statement_timeout = '60s';\n$statement;\nROLLBACK;\n");
		judge("little room: $statement", $little, '53400|25P02|57014');
	}
	my ($after) = together($digests);
	if ($before ne $after) { $failures++; print "not as before: $statement\n$before\n$after\n"; }
}
# pg_cancel_backend by another, and lock_timeout behind a lock
my @said = together("SET application_name = 'victim';\nUPDATE big SET v = v || 'y';\nUPDATE big SET v = v || 'z';\n",
	"SELECT pg_sleep(0.15);\nSELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE application_name = 'victim';\n",
	"BEGIN; LOCK TABLE later; SELECT pg_sleep(0.5); COMMIT;\n", "SELECT pg_sleep(0.1); SET lock_timeout = 50; SELECT ffs_manage('later', 'scd2'); SELECT count(*) FROM ffs_tables;\n");
judge('cancelled by another', $said[0], '57014');
judge('lock timeout', $said[3], '55P03');
together('DROP TABLE big, big_audit_table, later CASCADE') unless $failures;

together('SELECT ffs_unmanage_all(); DROP SCHEMA races CASCADE; DROP FUNCTION public.laws, public.laws_all, public.laws_state') unless $failures;
print join(' ', map { "$_:$seen{$_}" } sort keys %seen), "\n$failures found\n";
exit($failures ? 1 : 0);
