# The bench's own database, made anew.
package Bench::Database;
use strict;
use warnings;
use Bench::Client;
use Bench::Row qw(slurp);
use Exporter 'import';

our @EXPORT_OK = qw(make_database);

# A connection to it, and the postmaster's pid; PGDATABASE names it from now on.
sub make_database
{
	my ($setup) = @_;
	$ENV{PGDATABASE} = 'postgres';
	my $maintenance = Bench::Client->new('');
	$maintenance->run_sql('DROP DATABASE IF EXISTS ffs_bench');
	$maintenance->run_sql('DROP ROLE IF EXISTS app');
	$maintenance->run_sql('CREATE DATABASE ffs_bench');
	my ($postmaster) = slurp($maintenance->value('SHOW data_directory') . '/postmaster.pid') =~ /^(\d+)/;
	$maintenance->close;
	$ENV{PGDATABASE} = 'ffs_bench';
	my $admin = Bench::Client->new('');
	$admin->run_sql(slurp($setup));
	return ($admin, $postmaster);
}

1;
