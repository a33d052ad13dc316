# Random statements on managed tables and their unmanaged twins: the same
# answers, the same rows, and the laws (see test/lab.sql and test/random.sql).
# FFS_SEED chooses others, FFS_TRANSACTIONS how many on each kind of table.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FFS_SEED} // int(rand(100_000));
my $transactions = $ENV{FFS_TRANSACTIONS} // 25;
note("FFS_SEED=$seed");

my $node = ffs_node('random');
$node->safe_psql('postgres', 'CREATE EXTENSION ffstorage');
foreach my $file (qw(laws lab random))
{
	$node->safe_psql('postgres', slurp_file(test_dir() . "/$file.sql"));
}

my $combos = $node->safe_psql('postgres', <<'SQL');
SELECT format('%s %s %s', shape, strategy, soft)
  FROM unnest(ARRAY['uuid', 'pair', 'part', 'wide']) WITH ORDINALITY s(shape, i),
       (VALUES ('none', false), ('none', true), ('copy_on_change', false), ('copy_on_change', true), ('scd2', false), ('scd2', true)) t(strategy, soft)
 WHERE shape IN ('uuid', 'part') OR strategy <> 'none' AND soft = (strategy = 'scd2')
 ORDER BY i, strategy, soft
SQL
foreach my $combo (split /\n/, $combos)
{
	my ($shape, $strategy, $soft) = split / /, $combo;
	$node->safe_psql('postgres', "CALL lab.set_up('$shape', '$strategy', '$soft')");
}

foreach my $combo (split /\n/, $node->safe_psql('postgres', 'SELECT combo FROM lab.combos ORDER BY combo'))
{
	$node->safe_psql('postgres', "CALL lab.random('$combo', $seed, $transactions)");
	my $broken = $node->safe_psql('postgres', "SELECT left(line, 1000) FROM lab.broken WHERE combo = '$combo' ORDER BY line LIMIT 20");
	is($broken, '', "$combo: as unmanaged, and the laws hold")
	  or diag("FFS_SEED=$seed; what was run last:\n"
		  . $node->safe_psql('postgres', "SELECT step FROM (SELECT * FROM lab.script WHERE combo = '$combo' ORDER BY n DESC LIMIT 30) x ORDER BY n"));
}
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM lab.script'), '>', 16 * $transactions, 'they ran');
ffs_laws_ok($node, 'laws at the end');

$node->stop;
done_testing();
