# Clients that write the same rows at the same time, and transactions that
# begin in one order and commit in another: no error that the same table
# without management would not give, and the laws hold.
# FFS_LONG=1 makes it 30 seconds each in place of 5.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{FFS_LONG} ? 30 : 5;
# Few rows: the clients meet.
my $rows = 10;
my $node = ffs_node('concurrency', conf => "synchronous_commit = off\n");
ffs_tables($node, $rows);

my $load = $node->basedir . '/load.sql';
ffs_load_script($rows, $load);

# The clock is read (a snapshot is taken, a stamp is fixed by a write elsewhere)
# at the start, then the row that another client may have changed meanwhile.
my $late = $node->basedir . '/late.sql';
append_to_file($late, <<"SQL");
\\set a random(1, $rows)
\\set own $rows * 10 + :client_id + 1
\\set d random(1, 1000)
\\set pause random(0, 3000)
BEGIN;
INSERT INTO versioned (id, account, amount) VALUES (:own, 'own', :d) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
\\sleep :pause us
UPDATE versioned SET amount = :d WHERE id = :a;
UPDATE audited SET amount = :d WHERE id = :a;
COMMIT;
BEGIN;
UPDATE parted SET amount = :d WHERE id = :a;
\\sleep :pause us
DELETE FROM parted WHERE id = :own;
INSERT INTO parted (id, account) VALUES (:own, 'own');
COMMIT;
SQL

foreach my $isolation ('read committed', 'repeatable read', 'serializable')
{
	foreach my $script ($load, $late)
	{
		my $name = $script eq $load ? 'mixed writes' : 'late writes';
		# At the higher levels a table gives serialization failures by itself: those are tried again.
		my @retry = $isolation eq 'read committed' ? () : ('--max-tries=1000');
		local $ENV{PGOPTIONS} = "-c default_transaction_isolation=" . ($isolation =~ s/ /\\ /r);
		my ($out, $err) = run_command(
			[ 'pgbench', '-n', '-c', '2', '-j', '2', '-T', $seconds, @retry, '-f', $script, $node->connstr('postgres') ]);
		unlike($err, qr/ERROR|aborted/, "$isolation, $name: no errors");
		like($out, qr/number of failed transactions: 0 /, "$isolation, $name: no transaction failed");
		my ($done) = $out =~ /actually processed: ([0-9]+)/;
		cmp_ok($done // 0, '>', 10, "$isolation, $name: " . ($done // 0) . ' transactions');
		ffs_laws_ok($node, "$isolation, $name: laws");
	}
}
is( $node->safe_psql('postgres', 'SELECT count(*) FROM versioned_history WHERE valid_from >= valid_to'), '0', 'no empty period');
cmp_ok($node->safe_psql('postgres', 'SELECT max(version) FROM versioned'), '>', 20, 'rows were changed often');

# By hand: the one that began first commits last.
my ($in, $early_out) = ('', '');
my $early = IPC::Run::start(
	[ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres') ],
	'<', \$in, '>&', \$early_out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$in .= "BEGIN; UPDATE versioned SET note = 'early' WHERE id = 1;\n\\echo stamped\n";
$early->pump until $early_out =~ /stamped/;
$node->safe_psql('postgres', q{UPDATE versioned SET note = 'between' WHERE id = 2});
$in .= "UPDATE versioned SET note = 'late' WHERE id = 2; COMMIT;\n\\echo committed\n";
$early->pump until $early_out =~ /committed/;
$in .= "\\q\n";
$early->finish;
is($early_out =~ /ERROR/ ? $early_out : '', '', 'a transaction that began earlier changes a row that was changed meanwhile');
is( $node->safe_psql('postgres', q{SELECT v.note, h.note, v.valid_from = h.valid_to, v.valid_from > h.valid_from FROM versioned v JOIN versioned_history h ON h.id = v.id AND h.version = v.version - 1 WHERE v.id = 2}),
	'late|between|t|t', 'its version comes after, without a gap');
ffs_laws_ok($node, 'laws at the end');

$node->stop;
done_testing();
