# Rows of which one in a hundred is bad: each bad one is reported once, with its
# number and its error, the good ones go in; and what that costs.
# FFS_BAD_ROWS says how many rows, FFS_BAD_REPEATS how often each is measured.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = $ENV{FFS_BAD_ROWS} // 20_000;
my $repeats = $ENV{FFS_BAD_REPEATS} // 0;
my $step = $rows < 100_000 ? $rows : 100_000;
my $parts = int($rows / $step);

my $node = ffs_node('bad_rows', conf => "autovacuum = off\nfsync = off\nsynchronous_commit = off\nshared_buffers = 512MB\nmax_wal_size = 4GB\n");
my $session = ffs_session($node);
is($session->query(<<'SQL'), '', 'set up');
SET client_min_messages = error;
CREATE EXTENSION ffstorage;
CREATE TABLE customers (id integer PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 1000);
CREATE TABLE inputs (kind text, part integer, r jsonb);
ALTER TABLE inputs ALTER r SET STORAGE EXTERNAL;
CREATE FUNCTION key_of(i integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS 'SELECT md5(i::text)::uuid'
SQL

# What is bad of row i, its SQLSTATE, what the table has besides, whether row arrays can say it.
my %kinds = (
	'conversion' => [ q{'{"value": "much"}'}, "'22P02'", '', 0 ],
	'not null' => [ q{'{"name": null}'}, "'23502'", '', 1 ],
	'check' => [ q{'{"n": -1}'}, "'23514'", ', CHECK (n >= 0)', 1 ],
	'key exists' => [ q{jsonb_build_object('id', key_of(-i))}, "'23505'", '', 1 ],
	'key twice' => [ q{jsonb_build_object('id', key_of(i - 1))}, "'21000'", '', 1 ],
	'unique value exists' => [ q{jsonb_build_object('note', 'taken ' || i)}, "'23505'", ', UNIQUE (note)', 1 ],
	'foreign key' => [ q{'{"customer_id": -1}'}, "'23503'", ', FOREIGN KEY (customer_id) REFERENCES customers', 1 ],
	'tenant' => [ q{'{"tenant_id": 8}'}, "'ZF002'", '', 1 ],
);
my @kinds = sort keys %kinds;
my $turn = '(i / 100) % ' . scalar(@kinds);
$kinds{mixed} = [
	"CASE $turn " . join(' ', map { "WHEN $_ THEN ($kinds{ $kinds[$_] }[0])::jsonb" } 0 .. $#kinds) . ' END',
	"CASE $turn " . join(' ', map { "WHEN $_ THEN $kinds{ $kinds[$_] }[1]" } 0 .. $#kinds) . ' END',
	join('', map { $kinds{$_}[2] } @kinds), 0 ];
push @kinds, 'mixed';

foreach my $kind ('none', @kinds)
{
	my $bad = $kind eq 'none' ? "'{}'" : "CASE WHEN i % 100 = 37 THEN ($kinds{$kind}[0])::jsonb ELSE '{}' END";
	my $said = $session->query("INSERT INTO inputs SELECT '$kind', (i - 1) / $step + 1, jsonb_agg(jsonb_build_object('id', key_of(i), 'tenant_id', 7, 'n', i, 'customer_id', 1 + i % 1000,
		'name', 'name ' || i, 'note', 'note ' || i, 'value', i, 'at', '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 second') || $bad ORDER BY i) FROM generate_series(1, $rows) i GROUP BY 2");
	is($said, '', "input: $kind") if $said ne '';
}
$session->query('VACUUM ANALYZE inputs');

# Puts the rows of $input into a new table that is made as $kind needs it; seconds of CPU.
sub run
{
	my ($function, $kind, $input, $look) = @_;
	my $said = $session->query(<<"SQL");
DROP TABLE IF EXISTS t, t_history, lines CASCADE;
CREATE TABLE t (id uuid PRIMARY KEY, tenant_id integer NOT NULL, n integer, customer_id integer, name text NOT NULL, note text, value numeric, at timestamptz$kinds{$kind}[2]);
SELECT ffs_manage('t', 'scd2', 'tenant_id');
CREATE TABLE lines (part integer, row_number integer, action text, key jsonb, sqlstate text, message text);
BEGIN; SELECT ffs_set_tenant('7');
INSERT INTO t SELECT key_of(-i), 7, i, 1, 'there', 'taken ' || i, 0, now() FROM generate_series(37, $rows, 100) i;
COMMIT; CHECKPOINT;
CREATE TEMP TABLE prepared AS SELECT part, r FROM inputs WHERE kind = '$input'
SQL
	my $call = "ffs_create_many('t', r, on_error => 'report')";
	if ($function eq 'ffs_create_records')
	{
		$said .= $session->query("ALTER TABLE prepared ADD a t[]; ALTER TABLE prepared ALTER a SET STORAGE EXTERNAL; UPDATE prepared SET a = (SELECT array_agg(x) FROM jsonb_populate_recordset(NULL::t, r) x)");
		$call = "ffs_create_records(a, on_error => 'report')";
	}
	my $before = $session->cpu;
	my $what = $look ? "INSERT INTO lines SELECT part, l.* FROM prepared, $call l" : "SELECT count(*) FROM prepared, $call";
	$said .= $session->query("BEGIN; SELECT ffs_set_tenant('7'); $what; COMMIT");
	my $took = $session->cpu - $before;
	$session->query('DROP TABLE prepared');
	like($said, $look ? qr/^\s*$/ : qr/^\s*$rows$/, "$function, $input: as many lines as rows") if $look || $said !~ /^\s*$rows$/;
	return $took;
}

sub look
{
	my ($function, $kind) = @_;
	run($function, $kind, $kind, 1);
	my $expected = "SELECT (i - 1) / $step + 1 AS part, (i - 1) % $step + 1 AS row_number, CASE WHEN i % 100 = 37 THEN 'rejected' ELSE 'inserted' END AS action, CASE WHEN i % 100 = 37 THEN $kinds{$kind}[1] END AS sqlstate FROM generate_series(1, $rows) i";
	my $got = 'SELECT part, row_number, action, sqlstate FROM lines';
	is( $session->query("SELECT * FROM (($expected EXCEPT ALL $got) UNION ALL ($got EXCEPT ALL $expected)) x LIMIT 5"),
		'', "$function, $kind: each row is reported once, each bad one with its error");
	is( $session->query("SELECT count(*) FROM lines WHERE action = 'inserted' AND (sqlstate IS NOT NULL OR message IS NOT NULL OR key->>'id' <> key_of((part - 1) * $step + row_number)::text) OR action = 'rejected' AND message IS NULL"),
		'0', "$function, $kind: keys and messages are the rows' own");
	is( $session->query("SELECT count(*), (SELECT count(*) FROM lines WHERE action = 'inserted') + $rows / 100 FROM t"),
		join('|', ($rows) x 2), "$function, $kind: the good rows are there, and no others");
	return;
}

foreach my $function (qw(ffs_create_many ffs_create_records))
{
	next if $session->query("SELECT count(*) FROM pg_proc WHERE proname = '$function'") eq '0';
	foreach my $kind (@kinds)
	{
		next if $function eq 'ffs_create_records' && !$kinds{$kind}[3];
		look($function, $kind);
		my (@good, @bad);
		foreach (1 .. $repeats)
		{
			push @good, run($function, $kind, 'none', 0);
			push @bad, run($function, $kind, $kind, 0);
		}
		next unless $repeats;
		my ($good, $bad) = map { my @sorted = sort { $a <=> $b } @$_; $sorted[ $#sorted / 2 ] } \@good, \@bad;
		note(sprintf 'figure: %s, %d rows, 1 in 100 bad (%s): %.2f us of CPU a row, %.2f without bad ones; speed %.2f',
			$function, $rows, $kind, 1e6 * $bad / $rows, 1e6 * $good / $rows, $good / ($bad || 1));
	}
}

$session->close;
$node->stop;
done_testing();
