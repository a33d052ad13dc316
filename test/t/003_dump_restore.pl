# pg_dump and restore into a new cluster: the same rows, the same history, and
# management that goes on; then the way out, ffs_unmanage_all and DROP EXTENSION.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = ffs_node('old');
ffs_tables($old, 60);
$old->safe_psql('postgres', <<'SQL');
CREATE SCHEMA "odd schema";
CREATE TABLE "odd schema"."Tenants' rows" ("the tenant" uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001', "the key" text, "a ""value""" jsonb,
	PRIMARY KEY ("the tenant", "the key"));
SELECT ffs_manage('"odd schema"."Tenants'' rows"', strategy => 'scd2', tenant_column => 'the tenant', soft_delete => true, exclude => ARRAY['a "value"']::name[]);
CREATE ROLE reader LOGIN;
GRANT USAGE ON SCHEMA "odd schema" TO reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON "odd schema"."Tenants' rows" TO reader;
SQL
$old->safe_psql('postgres', <<'SQL');
INSERT INTO "odd schema"."Tenants' rows" VALUES ('00000000-0000-0000-0000-000000000001', 'one', '{}'), ('00000000-0000-0000-0000-000000000002', 'two', '[1]');
UPDATE versioned SET amount = amount * 2 WHERE id BETWEEN 10 AND 20;
UPDATE versioned SET amount = amount * 2 WHERE id = 12;
DELETE FROM versioned WHERE id = 13;
UPDATE audited SET amount = NULL, note = 'x' WHERE id < 5;
DELETE FROM audited WHERE id = 3;
DELETE FROM stamped WHERE id = 3;
UPDATE parted SET note = 'x' WHERE id IN (1, 59);
BEGIN;
SELECT ffs_set_actor('ana', '{"ticket": "T-1"}');
UPDATE versioned SET note = 'by ana' WHERE id = 14;
COMMIT;
SQL
ffs_laws_ok($old, 'laws before the dump');
my $moment = $old->safe_psql('postgres', 'SELECT clock_timestamp()');
my $state = ffs_state($old);

# Roles first, then the database, as one dumps a cluster.
my $dump = $old->basedir . '/dump.sql';
my $archive = $old->basedir . '/dump.custom';
my $roles = $old->basedir . '/roles.sql';
$old->command_ok([ 'pg_dumpall', '-r', '-f', $roles ], 'pg_dumpall of the roles');
$old->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump, plain');
$old->command_ok([ 'pg_dump', '-Fc', '-f', $archive, 'postgres' ], 'pg_dump, custom format');

my $new = ffs_node('new');
# Transactions in the new cluster have other numbers: what a dump brings must not look like ours.
$new->psql('postgres', undef, extra_params => [ '-f', $roles ], on_error_stop => 0);
$new->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0; CREATE DATABASE custom TEMPLATE template0');
$new->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('plain'), '-f', $dump ], 'the plain dump restores without errors');
$new->command_ok([ 'pg_restore', '--exit-on-error', '-d', $new->connstr('custom'), $archive ], 'so does the custom one');

foreach my $database (qw(plain custom))
{
	is(ffs_state($new, $database), $state, "$database: the same rows, the same history");
	ffs_laws_ok($new, "$database: laws after the restore", $database);
	is( $new->safe_psql($database, q{SELECT string_agg(concat_ws(' ', relation, strategy, tenant_column, soft_delete), '; ' ORDER BY relation::text) FROM ffs_tables}),
		$old->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', relation, strategy, tenant_column, soft_delete), '; ' ORDER BY relation::text) FROM ffs_tables}),
		"$database: the same management");
	is( $new->safe_psql($database, q{SELECT actor, metadata->>'ticket' FROM ffs_transactions WHERE metadata IS NOT NULL}),
		'ana|T-1', "$database: who and why came along");
	is( $new->safe_psql($database, "SELECT count(*), sum(amount) FROM versioned_as_of('$moment')"),
		$old->safe_psql('postgres', 'SELECT count(*), sum(amount) FROM versioned'), "$database: the past is as it was");

	# It goes on.
	$new->safe_psql($database, <<'SQL');
UPDATE versioned SET amount = 1 WHERE id = 12;
UPDATE audited SET amount = 1 WHERE id = 1;
DELETE FROM stamped WHERE id = 4;
UPDATE parted SET note = 'y' WHERE id IN (1, 59);
INSERT INTO versioned (id, account) VALUES (1000, 'new');
INSERT INTO versioned (id, account) VALUES (13, 'another life');
SQL
	is($new->safe_psql($database, 'SELECT version FROM versioned WHERE id = 12'), '4', "$database: versions go on");
	is($new->safe_psql($database, q{SELECT count(*) FROM audited_audit WHERE id = 1 AND field_name = 'amount'}), '2', "$database: audit entries go on");
	is($new->safe_psql($database, 'SELECT count(*) FROM stamped_deleted'), '2', "$database: deleted rows go on");
	is($new->safe_psql($database, q{SELECT string_agg(note, ',') FROM parted WHERE id IN (1, 59) AND version = 3}), 'y,y', "$database: partitions too");
	ffs_laws_ok($new, "$database: laws after going on", $database);

	# The tenant boundary stands, for a role that it binds.
	my $tenants = $new->safe_psql($database, <<'SQL');
SET ROLE reader;
SELECT count(*) FROM "odd schema"."Tenants' rows";
BEGIN;
SELECT ffs_set_tenant('00000000-0000-0000-0000-000000000002') \g /dev/null
SELECT "the key" FROM "odd schema"."Tenants' rows";
COMMIT;
SQL
	is($tenants, "0\ntwo", "$database: no tenant, no rows; a tenant, its own");
	# A side table's rights and triggers as well.
	my ($rc, $out, $err) = $new->psql($database, q{SET ROLE reader; DELETE FROM "odd schema"."Tenants' rows_history"});
	isnt($rc, 0, "$database: history is still append only");
}

# The same objects as in the original: nothing was lost, nothing doubled.
my $objects = q{SELECT string_agg(pg_describe_object(classid, objid, 0), E'\n' ORDER BY pg_describe_object(classid, objid, 0)) FROM (
	SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace IN ('public'::regnamespace, '"odd schema"'::regnamespace) AND relkind <> 't'
	UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, '"odd schema"'::regnamespace, 'ffstorage'::regnamespace)
	UNION ALL SELECT 'pg_trigger'::regclass, oid FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT 'pg_policy'::regclass, oid FROM pg_policy
	UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger) AS o(classid, objid)};
is($new->safe_psql('custom', $objects), $old->safe_psql('postgres', $objects), 'the same objects');

# A dump of the restored database is a dump as well.
my $second = $new->basedir . '/second.custom';
$new->command_ok([ 'pg_dump', '-Fc', '-f', $second, 'custom' ], 'a dump of the restored database');
$new->safe_psql('postgres', 'CREATE DATABASE again TEMPLATE template0');
$new->command_ok([ 'pg_restore', '--exit-on-error', '-d', $new->connstr('again'), $second ], 'and its restore');
is(ffs_state($new, 'again'), ffs_state($new, 'custom'), 'the same once more');

# The way out.
my ($rc, $out, $err) = $new->psql('custom', 'DROP EXTENSION ffstorage');
isnt($rc, 0, 'DROP EXTENSION is refused while tables are managed');
like($err, qr/HINT: .*ffs_unmanage_all/, 'and says what to do');
($rc, $out, $err) = $new->psql('custom', 'DROP EXTENSION ffstorage CASCADE');
isnt($rc, 0, 'with CASCADE too');
ffs_laws_ok($new, 'and left all in place', 'custom');
my $rows = $new->safe_psql('custom', 'SELECT count(*), sum(amount) FROM versioned');
$new->safe_psql('custom', 'SELECT ffs_unmanage_all()');
$new->safe_psql('custom', 'DROP FUNCTION laws_all, laws, laws_state; DROP EXTENSION ffstorage');
pass('after ffs_unmanage_all it is dropped');
is($new->safe_psql('custom', 'SELECT count(*), sum(amount) FROM versioned'), $rows, 'the rows are as they were');
$new->safe_psql('custom', 'INSERT INTO versioned (id, account) VALUES (2000, 1); UPDATE versioned SET amount = 2 WHERE id = 1; DELETE FROM versioned WHERE id = 2');
pass('the table can be written');
cmp_ok($new->safe_psql('custom', 'SELECT count(*) FROM versioned_history'), '>', 0, 'history was kept');
is( $new->safe_psql('custom', q{SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal}), '0', 'no trigger is left');
is( $new->safe_psql('custom', q{SELECT relrowsecurity, relforcerowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) FROM pg_class c WHERE relname = 'Tenants'' rows'}),
	'f|f|0', 'row-level security is as it was found');

$old->stop;
$new->stop;
done_testing();
