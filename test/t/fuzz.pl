# Calls that nobody would make, tables of many shapes, batches against plain
# statements, changes that race: the programs of test/fuzz/ in their short form.
# FFS_SEED chooses others, FFS_CALLS how many.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FFS_SEED} // 1;
my $calls = $ENV{FFS_CALLS} // 1500;
my $node = PostgreSQL::Test::Cluster->new('fuzz');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'ffstorage'
autovacuum = off
});
$node->start;

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

# The twin and the races need less: their statements are many.
foreach ([ calls => $calls, 'no call reaches a crash, an internal error or a hang, and errors say what to do' ],
	[ shapes => int($calls / 750), 'tables of many shapes behave as they do without management, and the laws hold' ],
	[ batches => int($calls / 25), 'batches do what plain statements do, a row at a time, whatever is in them' ],
	[ races => int($calls / 1500), 'schema changes while others write, and statements that are cancelled, leave nothing amiss' ])
{
	my ($program, $much, $name) = @$_;
	my $output = `perl test/fuzz/$program.pl $seed $much 2>&1`;
	is($?, 0, $name) or diag($output);
}
my $output = `psql -X -q -A -t -v seed=$seed -v calls=$calls -f test/fuzz/turns.sql 2>&1`;
like($output, qr/WARNING:  0 found/, 'rows of a batch are judged in their turn, as plain statements are') or diag($output);
my $log = slurp_file($node->logfile);
is($log =~ /(.*(?:was terminated by signal|TRAP:|PANIC).*)/ ? $1 : '', '', 'the server never went down');

$node->stop;
done_testing();
