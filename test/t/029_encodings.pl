# Figures in databases of every kind of encoding, for clients of any: the page
# says that it is UTF-8.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ffs_node('encodings');

# a name that is cut in the page
foreach my $case ([ 'UTF8', 0xe9 ], [ 'LATIN1', 0xe9 ], [ 'EUC_JP', 0x304b ], [ 'SQL_ASCII', 0x304b ])
{
	my ($encoding, $code) = @$case;
	my $name = 'x' . chr($code) x 15;
	utf8::encode($name);
	$node->safe_psql('postgres', "CREATE DATABASE \"$encoding\" ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	local $ENV{PGCLIENTENCODING} = $encoding eq 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
	my ($rc, $out, $err) = $node->psql($encoding, <<"SQL");
CREATE EXTENSION ffstorage;
CREATE SCHEMA "of a schema with a rather long name";
CREATE TABLE "of a schema with a rather long name"."$name" (id integer PRIMARY KEY);
SELECT ffs_manage('"of a schema with a rather long name"."$name"', 'scd2');
INSERT INTO "of a schema with a rather long name"."$name" VALUES (1);
SQL
	is($rc, 0, "$encoding: a table") or diag($err);
	foreach my $client ($encoding, 'UTF8', 'SQL_ASCII')
	{
		local $ENV{PGCLIENTENCODING} = $client;
		my ($failed, $page, $why) = $node->psql($encoding, 'SELECT ffs_report()');
		is($failed, 0, "$encoding: a page for a client of $client") or diag($why);
		unlike($page, qr/[^\x00-\x7f]/, 'that is the same in every encoding');
		like($page, qr/x(&#$code;){15}/, 'and has the name');
		my ($no_metrics, $metrics) = $node->psql($encoding, 'SELECT ffs_metrics_text()');
		is($no_metrics, 0, "$encoding: metrics for a client of $client");
	}
}

$node->stop;
done_testing();
