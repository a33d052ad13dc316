#!/usr/bin/perl
# Calls every function of the extension with arguments that nobody would pass.
#
#   perl test/fuzz/calls.pl [SEED [CALLS]]
#
# Works on the database that the PG* variables name, through psql, as a
# superuser.  Makes the schema fuzz there.  Says what it found: an internal
# error (XX...), a server that went away, a call that did not end within its
# time, an error of ours (class ZF or 22) without a DETAIL or a HINT.
use strict;
use warnings;
use File::Basename qw(dirname basename);
use File::Temp;

my $seed = $ARGV[0] // time;
my $calls = $ARGV[1] // 2000;
my $here = dirname(__FILE__);
print "seed $seed, $calls calls\n";

# A generator of our own: the same numbers everywhere.
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

sub quote
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

# ---- values ----

my @relations = qw(plain_none plain_audit plain_scd2 tenant_scd2 tenant_audit tenant_none soft_scd2 soft_audit soft_none
  no_key rich parts others);
my $odd = q{"Odd ""Schema"."a 'quoted"" table, %s $1 that comes near the limit of bytes"};
my @strangers = qw(unmanaged unmanaged_no_columns unlogged late_key clash clash_name parent child typed a_view a_matview
  a_sequence an_index a_foreign_table parts_1 parts_2 parts_2_low plain_scd2_history plain_scd2_versions
  plain_audit_audit soft_none_deleted soft_none_with_deleted rich_history pair plain_scd2_pkey parts_pkey a_temp
  pg_catalog.pg_class pg_catalog.pg_authid information_schema.tables pg_catalog.pg_proc_oid_index ffstorage.managed
  ffstorage.rekeys ffstorage.transactions ffs_tables ffs_stats);

sub relation
{
	my $which = dice(10);
	return quote(pick(@relations)) . '::regclass' if $which < 6;
	return quote($odd) . '::regclass' if $which == 6;
	return quote(pick(@strangers)) . '::regclass' if $which < 9;
	return pick('NULL', 'NULL::regclass', '0::regclass', '1::regclass', '4294967295::regclass',
		'(SELECT gone FROM oids)::regclass', "'nowhere'::regclass", "''", "'-'", "'1259'", "'a.b.c.d'",
		"(SELECT reltoastrelid FROM pg_class WHERE oid = 'rich'::regclass)::regclass");
}

my @keys = (
	qw(id v n tenant_id a b version valid_from created_by m r arr p pd j x i g bits c k parent expected_version cascade),
	'the key; --', 'select', 'é"', '', 'nosuch', 'x' x 70, 'ctid', 'tableoid', '........pg.dropped.15........', '"id"', 'ID', "\\u0001");

sub json
{
	my ($depth) = @_;
	my $which = dice($depth > 3 ? 14 : 20);
	return pick('null', 'true', 'false', '0', '1', '2', '7', '-1', '""', '"x"') if $which < 8;
	return pick('1e10', '1.5', '99999999999999999999', '1e1000', '-1e-300', '2147483648', '32768', '"NaN"', '"infinity"') if $which < 10;
	return pick('"11111111-1111-1111-1111-111111111111"', '"22222222-2222-2222-2222-222222222222"', '"2020-01-01"',
		'"294277-01-01"', '"{1,2}"', '"(1,x)"', '"[1,5)"', '"ok"', '"happy"', '"101"', '"\\\\x00"', '"<a/>"',
		'"' . ('y' x (10**dice(5))) . '"', '"\u00e9\ud83d\ude00"', '"' . "'; DROP TABLE x; --" . '"', '"\\\\"')
	  if $which < 14;
	return '[' . join(', ', map { json($depth + 1) } 1 .. dice(5)) . ']' if $which < 16;
	return object($depth + 1);
}

sub object
{
	my ($depth) = @_;
	my @members;
	# a key that may exist, most of the time
	push @members, '"id": ' . pick(1 .. 9, '"1"', '"22222222-2222-2222-2222-222222222222"') if dice(3);
	push @members, '"a": 1, "b": "x"' if !dice(4);
	push @members, '"m": "ok"' if !dice(4);
	push @members, '"k": ' . (1 + dice(4)) if !dice(4);
	push @members, map { (my $key = pick(@keys)) =~ s/"/\\"/g; qq("$key": ) . json($depth + 1) } 1 .. dice(4);
	return '{' . join(', ', @members) . '}';
}

sub nested
{
	my ($open, $close) = pick([ '[', ']' ], [ '{"a": ', '}' ])->@*;
	my $depth = 10**(1 + dice(4));
	$depth = 3000 if $depth > 3000;
	return ($open x $depth) . '1' . ($close x $depth);
}

sub jsonb
{
	my $which = dice(20);
	return pick('NULL', 'NULL::jsonb') if $which == 0;
	return quote(nested()) . '::jsonb' if $which == 1;
	return "(SELECT jsonb_agg(jsonb_build_object('id', i, 'v', i)) FROM generate_series(100, " . pick(99, 100, 5000) . ') i)' if $which == 2;
	return "(SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 5000) i)" if $which == 3;
	return "jsonb_build_object('id', 5, 'v', repeat('z', 3000000))" if $which == 4;
	return quote(json(0)) . '::jsonb' if $which < 8;
	return quote(object(0)) . '::jsonb' if $which < 14;
	return quote('[' . join(', ', map { object(0) } 1 .. dice(6)) . ']') . '::jsonb';
}

sub text
{
	return pick('NULL', 'NULL::text', quote(''), (map { quote($_) } qw(error skip update abort report none copy_on_change scd2
		transaction session 1 2 3 7 x 22222222-2222-2222-2222-222222222222 tenant_id nosuch NaN {} {"id":1}), '(1,2)', ' ', 'a"b\\'),
		"repeat('x', 1000000)", 'chr(1) || chr(127)', "E'\\u00e9'", quote("it's; --"), "E'\\n'");
}

sub name { return pick('NULL', "''", (map { quote($_) } qw(id tenant_id v nosuch created_at version ctid xmin), 'x' x 63, 'the key; --')); }

sub names
{
	no warnings "qw";
	return pick("'{}'", 'NULL', "'{id}'", "'{v}'", "'{v,v}'", "'{n}'", "'{NULL}'", "'{id,NULL}'", "'{{id,v},{v,id}}'", "'[5:6]={id,v}'",
		"'{\"\"}'", "'{nosuch}'", "'{tenant_id}'", "'{b,a}'", "'{m,id}'", "'{id,k}'", "(SELECT array_agg(attname) FROM pg_attribute)",
		"'{created_at,version}'", "'{ctid}'");
}

sub number { return pick('NULL', 0, 1, 2, 3, 10, -1, 1000, 2147483647, -2147483648, 65535, 100001); }

sub moment
{
	return pick('NULL', "'infinity'", "'-infinity'", 'now()', 'clock_timestamp()', "'294276-12-31 23:59:59.999999+00'",
		"'4714-11-24 00:00:00+00 BC'", "'2000-01-01'", "now() - interval '100000 years'", "now() + interval '1 second'");
}

# A typed value for a key, or something else.
sub any
{
	my @kinds = ('1', '2', '4', '1::bigint', '1::smallint', "'x'::text", "'1'::text", "'x'", "'1'", 'NULL', 'NULL::integer',
		"'ok'::mood", '1::positive', "'22222222-2222-2222-2222-222222222222'::uuid", "'{\"id\": 1}'::jsonb", "'{1,2}'::integer[]",
		'ROW(1, 2)', 'ROW()', "(1, 'x')::pair", "'infinity'::timestamptz", '1.5', "'NaN'::numeric", "'x'::name", "'a'::\"char\"", "'1'::cstring",
		"'<a/>'::xml", "B'101'", "'now'::regproc", "'int4'::regtype", 'true', "'id'::unknown", "'1'::varchar(3)", "'[1,2]'::int4range",
		"'{}'::text[]", '(SELECT plain_scd2 FROM plain_scd2 LIMIT 1)', 'NULL::plain_scd2', "'x'::refcursor");
	return pick(@kinds);
}

sub variadic
{
	my $which = dice(12);
	return jsonb() if $which == 0;
	return text() if $which == 1;
	return 'VARIADIC ' . pick('ARRAY[1]', "ARRAY['x', 'y']", "ARRAY[1, NULL]", "'{}'::integer[]", 'NULL::integer[]', 'NULL', 'ARRAY[[1,2],[3,4]]', '1',
		"ARRAY['1', '1']", 'ARRAY(SELECT generate_series(1, 90))', "ARRAY[ROW(1, 2)]", "'[3:4]={1,2}'::integer[]") if $which == 2;
	return join(', ', map { any() } 1 .. 40 + dice(70)) if $which == 3 && !dice(4);
	return pick("1, 'x'::text", "'x'::text, 1", "'ok'::mood, 1", "1, 1", "7::smallint, 1::bigint", "'1'", '1', '4') if $which < 9;
	return join(', ', map { any() } 1 .. 1 + dice(3));
}

sub row_type
{
	my $which = dice(10);
	return 'NULL::' . pick(@relations) if $which < 6;
	return "NULL::$odd" if $which == 6;
	return "NULL::" . pick(grep { !/index|pkey|sequence|toast/ } @strangers) if $which == 7;
	return '(SELECT x FROM ' . pick(@relations) . ' x LIMIT 1)' if $which == 8;
	return pick('NULL', '1', "'x'", 'ROW(1, 2)', 'NULL::record', "(1, 'x')::pair", 'NULL::pair_domain', "'{1}'::integer[]",
		'NULL::plain_scd2[]', "ROW(1, 'x', 3)::unmanaged", 'NULL::mood', 'NULL::positive');
}

sub keys_array
{
	return pick("'{}'::integer[]", 'NULL', 'NULL::integer[]', 'ARRAY[1, 2, 3]', 'ARRAY[3, NULL, 1, 1]', "ARRAY['1', '2']", "ARRAY[NULL]::text[]",
		'ARRAY[[1, 2], [3, 4]]', "'[5:6]={1,2}'::integer[]", "ARRAY['{\"id\": 1}', 'null', '[]', '{}']::jsonb[]", 'ARRAY[' . quote(object(0)) . '::jsonb]',
		'ARRAY[ROW(1, 2)]', "ARRAY['x'::mood]", 'ARRAY(SELECT generate_series(1, 20000))', "ARRAY['22222222-2222-2222-2222-222222222222'::uuid]",
		'1', "'x'", "ARRAY[1.5, 'NaN']", "ARRAY[repeat('x', 100000)]", 'ARRAY[1::positive]', 'ARRAY[1::bigint]', "ARRAY['1'::name]",
		"'{{{1}}}'::bigint[]", "int2vectorin('1 2')", "'1 2'::oidvector");
}

my %makers = (
	'regclass' => \&relation, 'jsonb' => \&jsonb, 'text' => \&text, 'name' => \&name, 'name[]' => \&names,
	'boolean' => sub { pick('true', 'false', 'NULL') },
	'integer' => \&number, 'bigint' => \&number, 'smallint' => \&number,
	'timestamp with time zone' => \&moment, 'interval' => sub { pick('NULL', "'1 day'", "'-1 year'", "'0'", "'178000000 years'") },
	'"any"' => \&variadic, 'anyelement' => \&row_type, 'anycompatiblearray' => \&keys_array, 'anyarray' => \&keys_array,
	'text[]' => sub { pick("'{}'", 'NULL', "'{NULL}'", "'{a,b}'", "'{7}'", "'{\"\"}'", "'{{a},{b}}'", 'ARRAY(SELECT i::text FROM generate_series(1, 20000) i)') },
	'uuid' => sub { pick('NULL', 'gen_random_uuid()', "'11111111-1111-1111-1111-111111111111'") },
	'oid' => sub { pick('NULL', 0, 1, 1259, 4294967295) },
	'record' => sub { pick('NULL', 'ROW()', 'ROW(1, 2)', 'ROW(1, NULL)::pair', 'NULL::plain_audit', '(SELECT x FROM ' . pick(@relations) . ' x LIMIT 1)') },
);

# ---- statements ----

sub call
{
	my ($function) = @_;
	my ($name, $types, $defaults) = @$function;
	my @types = @$types;
	# leave some of the defaulted ones away
	splice @types, @types - dice($defaults + 1) if $defaults;
	# a NULL where a function is not expecting one, some of the time
	my @arguments = map {
		my $maker = $makers{$_};
		my $value = $maker ? $maker->() : "NULL::$_";
		$_ ne '"any"' && !dice(25) ? 'NULL' : $value;
	} @types;
	return "$name(" . join(', ', @arguments) . ')';
}

# Names of tables that a statement may write, with an assignment to one of their columns.
my @writes = ("plain_scd2 SET v = v || 'x'", "plain_audit SET v = v || 'x'", 'soft_scd2 SET v = v + 1', "parts SET v = v || 'x'", "rich SET b = b || 'x'",
	'plain_scd2 SET id = id + 10', 'soft_none SET v = v + 1', 'plain_audit SET id = id + 10', 'parts SET k = 1 + (k + 1) % 3', 'soft_audit SET v = v + 1');

sub statement
{
	my ($call) = @_;
	my $which = dice(24);
	return "SELECT * FROM $call" if $which < 10;
	return "SELECT $call" if $which < 14;
	return "SELECT $call FROM generate_series(1, 3) LIMIT 2" if $which == 14;
	return "SELECT 1 FROM plain_scd2 WHERE ($call) IS NULL" if $which == 15;
	return 'UPDATE ' . pick(@writes) . " WHERE ($call) IS NOT NULL" if $which == 16;
	return "UPDATE " . pick(@writes) . " RETURNING ($call) IS NULL" if $which == 17;
	return "INSERT INTO plain_scd2 SELECT 100 + i, (SELECT count(*) FROM $call) FROM generate_series(1, 2) i" if $which == 18;
	return "DELETE FROM " . pick(@relations) . " WHERE EXISTS (SELECT FROM $call)" if $which == 19;
	return "EXPLAIN (ANALYZE) SELECT * FROM $call" if $which == 20;
	return "DECLARE c CURSOR FOR SELECT * FROM $call; FETCH 1 FROM c; SAVEPOINT c; MOVE ALL IN c; FETCH BACKWARD 1 FROM c; CLOSE c" if $which == 21;
	return 'DO ' . quote("BEGIN PERFORM * FROM $call; PERFORM * FROM $call; EXCEPTION WHEN division_by_zero THEN NULL; END") if $which == 22;
	return "PREPARE p AS SELECT * FROM $call; EXECUTE p; EXECUTE p; DEALLOCATE p";
}

my @contexts = (
	"SELECT ffs_set_tenant('11111111-1111-1111-1111-111111111111')", "SELECT ffs_set_tenant('7')", "SELECT ffs_set_tenants('{7,8,x}')",
	'SELECT ffs_set_all_tenants()', 'SET LOCAL ROLE fuzz_owner', 'SET LOCAL ROLE fuzz_reader', 'SET LOCAL ROLE fuzz_nobody', 'SET LOCAL row_security = off',
	"SELECT ffs_set_actor('me', '{\"a\": 1}')", 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'SET TRANSACTION READ ONLY', "SET LOCAL work_mem = '64kB'",
	"SET LOCAL plan_cache_mode = force_generic_plan", 'DROP TABLE plain_scd2_history', 'ALTER TABLE plain_scd2 DROP COLUMN n', 'TRUNCATE parts',
	"SET LOCAL search_path = ''", 'DROP VIEW plain_scd2_versions CASCADE', 'ALTER TABLE plain_scd2 ADD COLUMN late integer DEFAULT 5', 'ALTER TABLE parts DETACH PARTITION parts_1',
	'SAVEPOINT s; INSERT INTO plain_scd2 VALUES (50, 1); ROLLBACK TO s', 'UPDATE plain_scd2 SET id = id + 100', 'DELETE FROM plain_audit', 'SET LOCAL session_replication_role = replica',
	'DELETE FROM soft_scd2', 'DECLARE open CURSOR FOR SELECT * FROM plain_scd2; FETCH open', 'SET CONSTRAINTS ALL DEFERRED', "SELECT ffs_unmanage('parts')");

# Triggers of ours on tables, and at moments, that they were not made for.
my @trigger_functions = qw(row_change row_inserted statement_begin statement_end table_truncate side_read_only);
sub trigger
{
	my $function = pick(@trigger_functions);
	my $table = pick('unmanaged', 'plain_scd2', 'plain_audit', 'no_key', 'late_key', 'parts', 'parts_1', 'tenant_scd2', 'a_view', 'parent', 'soft_none', 'plain_scd2_history');
	my $level = pick('ROW', 'STATEMENT');
	my $moment = pick('BEFORE', 'AFTER', 'INSTEAD OF');
	my $event = pick('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'INSERT OR UPDATE', 'INSERT OR UPDATE OR DELETE');
	my $when = pick('', '', 'WHEN (ffstorage.is_new_row()) ', $level eq 'ROW' ? 'WHEN (ffstorage.is_new_row(NEW.*)) ' : '');
	my $name = pick('aaa', 'zzz', 'zz_ffstorage_row', 'ffstorage_begin', 'ffstorage_end');
	return "CREATE TRIGGER $name $moment $event ON $table FOR EACH $level ${when}EXECUTE FUNCTION ffstorage.$function(" . pick('', "'x'", '1, 2') . "); " .
	  join('; ', map { "SAVEPOINT t; $_" } "INSERT INTO $table DEFAULT VALUES", "INSERT INTO $table VALUES (77)", "UPDATE $table SET " . ($table =~ /no_key|tenant/ ? "v = 'z'" : 'id = id'),
		"DELETE FROM $table", "TRUNCATE $table CASCADE", "ALTER TABLE $table DROP COLUMN v");
}

# ---- running ----

sub run_psql
{
	my ($sql) = @_;
	my $in = File::Temp->new;
	my $err = File::Temp->new;
	binmode $in, ':utf8';
	print $in $sql;
	close $in;
	system("psql -X -q -o /dev/null -v VERBOSITY=verbose -v SHOW_CONTEXT=never -f $in >$err 2>&1");
	open my $out, '<', "$err" or die $!;
	local $/;
	return <$out>;
}

use utf8;
my $setup = `psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f "$here/setup.sql" 2>&1`;
die "setup failed: $setup" if $?;

my @functions;
foreach (split /\n/, `psql -X -A -t -F '|' -c "
	SELECT p.pronamespace::regnamespace || '.' || p.proname, p.pronargdefaults, p.proretset,
	       (SELECT string_agg(format_type(a, NULL), ';' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY u(a, n))
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ffstorage') AND p.prokind IN ('f', 'p')
	ORDER BY p.oid::regprocedure::text"`)
{
	my ($name, $defaults, $set, $types) = split /\|/;
	push @functions, [ $name, [ split /;/, $types // '' ], $defaults ];
}
die "no functions" unless @functions;

# Those with arguments more often than those without.
my @weighted = map { my $f = $_; ($f) x ($f->[0] =~ /\.ffs_/ && @{ $f->[1] } ? 5 : 1) } @functions;

my $head = "SET search_path = fuzz, public;\nSET statement_timeout = '20s';\nSET client_min_messages = error;\nCREATE TEMP TABLE a_temp (id integer PRIMARY KEY);\n";
my %ours = map { basename($_) => 1 } glob "$here/../../src/*/*.c";
my (@statements, %found, %seen);

sub note
{
	my ($kind, $statement, $message) = @_;
	# once for each place
	my ($place) = $message =~ /LOCATION:\s+(.*)/;
	my $key = $kind . ($place // substr($message, 0, 60));
	return if $found{$key}++;
	s/(.)\1{99,}/$1 x 10 . '...'/ge foreach $statement, $message;
	$statement = substr($statement, 0, 1500) . '...' if length $statement > 1500;
	print "\n$kind\n  $statement\n  $message\n";
}

sub judge
{
	my ($output) = @_;
	my $number;
	my @parts = split /^(?=#\d+$)/m, $output;
	foreach my $part (@parts)
	{
		my ($number) = $part =~ /^#(\d+)$/m;
		my $statement = defined $number ? $statements[$number] : '(before the first)';
		while ($part =~ /^psql:\S+ ((?:ERROR|FATAL|PANIC):.*?)(?=^psql:|\z)/msg)
		{
			my $message = $1;
			my ($code) = $message =~ /^\w+:\s+([0-9A-Z]{5}):/;
			my ($place) = $message =~ /LOCATION:\s+\w+, ([\w.]+):/;
			if (!defined $code) { note('connection', $statement, $message); next; }
			$seen{$code}++;
			note('internal error', $statement, $message) if $code =~ /^XX/;
			note('time', $statement, $message) if $code eq '57014';
			note('no hint or detail', $statement, $message)
			  if $code =~ /^(ZF|22)/ && defined $place && $ours{$place} && ($message !~ /^DETAIL:/m || $message !~ /^HINT:/m);
		}
		note('connection', $statement, $part) if $part =~ /server closed the connection|connection to server was lost|terminating connection/;
	}
}

# With ON_ERROR_ROLLBACK psql sets a savepoint before each statement of a block.
my $batch = 200;
while (@statements < $calls)
{
	my $sql = $head . '\set ON_ERROR_ROLLBACK ' . pick('on', 'on', 'off') . "\n";
	for (1 .. $batch)
	{
		my $statement = !dice(12) ? trigger() : statement(call(pick(@weighted)));
		my $context = dice(3) ? '' : join('; ', map { pick(@contexts) } 1 .. 1 + dice(2)) . '; ';
		# most are rolled back, so that there is something left for the next
		$statement = $context . $statement;
		$statement = dice(6) && $statement !~ /TRIGGER|DROP|ALTER|unmanage|DETACH|TRUNCATE/ && !dice(3) ? $statement : "BEGIN; $statement; ROLLBACK";
		$sql .= '\warn #' . scalar(@statements) . "\n$statement;\n";
		$sql .= "ROLLBACK;\nDISCARD PLANS;\nRESET ROLE;\n";
		push @statements, $statement;
	}
	judge(run_psql($sql));
	# whether it is still there: a server that crashed needs a while
	for (1 .. 30)
	{
		last if `psql -X -A -t -c 'SELECT 1' 2>/dev/null` eq "1\n";
		sleep 1;
	}
}
system(q{psql -X -q -c 'DROP SCHEMA fuzz, "Odd ""Schema" CASCADE; DROP FOREIGN DATA WRAPPER fuzz_wrapper CASCADE' >/dev/null 2>&1});
printf "%d calls, %s\n", scalar @statements, join(' ', map { "$_:$seen{$_}" } sort keys %seen);
printf "%d found\n", scalar keys %found;
exit(%found ? 1 : 0);
