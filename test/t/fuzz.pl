# Calls that nobody would make, in their short form: test/fuzz/ has the programs.
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

my $output = `perl test/fuzz/calls.pl $seed $calls 2>&1`;
is($?, 0, 'no call reaches a crash, an internal error or a hang, and errors say what to do') or diag($output);
unlike(slurp_file($node->logfile), qr/was terminated by signal|TRAP:/, 'the server never went down');

$node->stop;
done_testing();
