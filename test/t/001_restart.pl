# Histories, prepared transactions and figures outlive restarts; what was
# managed stays so with the library preloaded or not.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ffs_node('restart');
ffs_tables($node, 100);

my $work = <<'SQL';
UPDATE versioned SET amount = amount + 1 WHERE id <= 10;
DELETE FROM versioned WHERE id = 11;
UPDATE audited SET note = 'seen' WHERE id <= 10;
DELETE FROM audited WHERE id = 11;
DELETE FROM stamped WHERE id = 11;
UPDATE parted SET note = 'seen' WHERE id IN (2, 98);
SQL
$node->safe_psql('postgres', $work);
ffs_laws_ok($node, 'laws before a restart');
my $state = ffs_state($node);
like($state, qr/versioned_history: 11 /, 'ten updates and a deletion are in history');
like($state, qr/stamped_deleted: 1 /, 'a deleted row was kept');

# Counters are of shared memory, and a clean restart keeps them.
my $figures = q{SELECT coalesce(sum(rows), 0) FROM ffs_stat_operations};
my $counted = $node->safe_psql('postgres', $figures);
cmp_ok($counted, '>', 0, 'writes were counted');

foreach my $mode (qw(fast immediate))
{
	$node->stop($mode);
	$node->start;
	is(ffs_state($node), $state, "the same after a restart, $mode");
	cmp_ok($node->safe_psql('postgres', $figures), '>=', $counted, 'counters outlived a clean restart') if $mode eq 'fast';
	ffs_laws_ok($node, "laws after a restart, $mode");
}

# A prepared transaction's writes are all there, or none is, also after a restart.
$node->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE versioned SET note = 'prepared' WHERE id IN (20, 21);
UPDATE audited SET note = 'prepared' WHERE id IN (20, 21);
DELETE FROM stamped WHERE id = 20;
PREPARE TRANSACTION 'kept';
BEGIN;
UPDATE versioned SET note = 'dropped' WHERE id IN (30, 31);
UPDATE audited SET note = 'dropped' WHERE id IN (30, 31);
PREPARE TRANSACTION 'dropped';
SQL
is(ffs_state($node), $state, 'prepared writes are not seen');
$node->restart;
is(ffs_state($node), $state, 'nor after a restart');
$node->safe_psql('postgres', q{COMMIT PREPARED 'kept'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'dropped'});
is( $node->safe_psql('postgres', q{SELECT count(*) FROM versioned_history h JOIN versioned v USING (id) WHERE v.note = 'prepared' AND v.version = 2}),
	'2', 'a prepared transaction that was committed has its history');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM audited_audit WHERE field_name = 'note' AND new_value = '"prepared"'}),
	'2', 'and its audit entries');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM versioned_history WHERE id IN (30, 31)}),
	'0', 'one that was rolled back has none');
ffs_laws_ok($node, 'laws after prepared transactions');

# Without preload the library is loaded at need, and writes go on being kept.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
$node->safe_psql('postgres', 'UPDATE versioned SET amount = 0 WHERE id = 1');
is($node->safe_psql('postgres', 'SELECT version FROM versioned WHERE id = 1'), '3', 'a write without preload is versioned');
$node->safe_psql('postgres', 'SELECT * FROM ffs_stats; SELECT * FROM ffs_health');
pass('figures are no error without preload');
ffs_laws_ok($node, 'laws without preload');

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'ffstorage'");
$node->restart;
$node->safe_psql('postgres', 'UPDATE versioned SET amount = 1 WHERE id = 1');
is($node->safe_psql('postgres', 'SELECT version FROM versioned WHERE id = 1'), '4', 'and with it again');
ffs_laws_ok($node, 'laws at the end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN ffstorage.managed m ON c.oid = m.relation}), '4', 'all are still managed');

$node->stop;
done_testing();
