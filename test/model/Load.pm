# What a client of test/model/run.pl does: transactions at random, as SQL for
# psql.  Comparisons print "@get N", "@many N" or "@cached N" for N rows by key
# or results that were compared with what SELECT gives in the same snapshot,
# and a line with DIFF for what was not the same.
package Load;
use strict;
use warnings;
use Exporter 'import';
use List::Util qw(min);

our @EXPORT_OK = qw(sow dice pick chunk);

# ---- dice ----

my $state = 1;

sub dice
{
	my ($n) = @_;
	for (1 .. 2)
	{
		$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	}
	return int(($state >> 8) % $n);
}

sub sow
{
	$state = $_[0] & 0x7fffffff;
	dice(2) for 1 .. 5;
	return;
}

sub pick { return $_[ dice(scalar @_) ]; }

# ---- tables ----

# key: a literal from a number; cast: the same of k in SQL; keys: how many there may be
my %tables = (
	plain => { key => sub { "$_[0]" }, cast => 'k', keys => 300 },
	parted => { key => sub { "$_[0]" . pick('', '.0', '.00') }, cast => 'k::numeric', keys => 200 },
	owned => { key => sub { "'k$_[0]'" }, cast => q{'k' || k}, keys => 200, tenant => 1 },
	loose => { key => sub { "$_[0]" }, cast => 'k', keys => 100 },
	pairs => { key => sub { "$_[0], 'x" . ($_[0] % 3) . "'" }, cast => q{k, 'x' || k % 3}, keys => 100, pair => 1 },
	parent => { key => sub { "$_[0]" }, cast => 'k', keys => 45 },
	child => { key => sub { "$_[0]" }, cast => 'k', keys => 150, child => 1 },
	swap_a => { key => sub { "$_[0]" }, cast => 'k', keys => 60 },
	swap_b => { key => sub { "$_[0]" }, cast => 'k', keys => 60 },
	quiet => { key => sub { "md5('k$_[0]')::uuid" }, cast => q{md5('k' || k)::uuid}, keys => 130, tenant => 1 },
);
my @names = sort keys %tables;
my @busy = grep { $_ ne 'quiet' } @names;

sub where
{
	my ($name, $n) = @_;
	return "(id, part) = ($n, 'x" . ($n % 3) . "')" if $tables{$name}{pair};
	return 'id = ' . $tables{$name}{key}->($n);
}

# ---- comparing rows ----

# A snapshot of REPEATABLE READ that still sees a row which another transaction
# has deleted since sees two of its key when its own transaction inserts that
# key anew: then there is nothing to compare with, and it does not count.
sub compare_rows
{
	my ($name) = @_;
	my $t = $tables{$name};
	my $length = pick(1, 10, 50, 100, 200, 300);
	my $from = 1 + dice($t->{keys} > $length ? $t->{keys} - $length / 2 : 10);
	my $to = min($from + $length, $t->{keys} + 20);
	my $condition = $t->{pair} ? "t.id = k AND t.part = 'x' || k % 3" : "t.id = $t->{cast}";

	return <<SQL if dice(3);
SELECT '\@get ' || count(*), string_agg('DIFF get $name ' || k || ' table ' || left(a::text, 150) || ' cache ' || left(b::text, 150), E'\\n')
           FILTER (WHERE NOT (cardinality(a) = cardinality(b) AND (cardinality(a) = 0 OR a[1] *= b[1])))
  FROM (SELECT k, ARRAY(SELECT t FROM model.$name t WHERE $condition) AS a, ARRAY(SELECT g FROM ffs_get(NULL::model.$name, $t->{cast}) g) AS b
          FROM generate_series($from, $to) k OFFSET 0) x WHERE cardinality(a) < 2;
SQL
	my $key = $t->{pair} ? q{jsonb_build_object('id', k, 'part', 'x' || k % 3)} : $t->{cast};
	return <<SQL;
WITH x AS MATERIALIZED (SELECT k, n, ARRAY(SELECT t FROM model.$name t WHERE $condition) AS a
                          FROM generate_series($from, $to) k CROSS JOIN generate_series(1, 1 + k % 2) n),
     y AS MATERIALIZED (SELECT ARRAY(SELECT g FROM ffs_get_many(NULL::model.$name, ARRAY(SELECT $key FROM x ORDER BY k % 7, k)) g) AS b),
     z AS MATERIALIZED (SELECT count(*) AS n, bool_or(cardinality(a) > 1) AS two,
                               coalesce(array_agg(a[1] ORDER BY k % 7, k) FILTER (WHERE cardinality(a) > 0), '{}') AS a FROM x)
SELECT '\@many ' || CASE WHEN z.two THEN 0 ELSE z.n END, CASE WHEN NOT z.two AND cardinality(z.a) <> cardinality(y.b)
            THEN 'DIFF many $name table ' || left(z.a::text, 2000) || ' cache ' || left(y.b::text, 2000)
            ELSE (SELECT 'DIFF many $name table ' || left(z.a[i]::text, 300) || ' cache ' || left(y.b[i]::text, 300)
                    FROM generate_subscripts(z.a, 1) i WHERE NOT z.two AND NOT z.a[i] *= y.b[i] LIMIT 1) END
  FROM y, z;
SQL
}

# ---- comparing results ----

# Queries, and for each parameter what it may be.  {loose}: names or functions
# in it may come to mean something else while a statement runs.
my $number = sub { dice(4) . '::integer' };
my $wide = sub { pick(dice(20) . '::integer', dice(20) . '::bigint', dice(20) . '::smallint', 'NULL::integer', dice(20) . '.0::numeric', "'" . dice(20) . "'") };
my $text = sub { pick("'t" . dice(5) . "'::text", "'t" . dice(5) . "'", 'NULL::text', "'t1'::varchar") };
my $mood = sub { pick("'even'::model.mood", "'high'::model.mood", 'NULL::model.mood') };
my @queries = (
	# aggregates
	{ q => 'SELECT count(*) AS n, sum(v) AS v, max(length(pad)) AS pad FROM model.plain' },
	{ q => 'SELECT v % 3 AS third, count(*) AS n, avg(v) AS mean FROM model.parted GROUP BY 1 ORDER BY 1' },
	{ q => 'SELECT tenant, count(*) AS n, string_agg(id, $1 ORDER BY id) AS ids FROM model.owned GROUP BY tenant ORDER BY tenant', p => [ sub { pick("','::text", "';'::text") } ] },
	{ q => 'SELECT count(*) AS n FROM model.quiet' },
	{ q => 'SELECT mood, count(*) AS n, sum(amount) AS amount FROM model.quiet GROUP BY mood ORDER BY mood' },
	{ q => 'SELECT count(DISTINCT v) FILTER (WHERE v > $1) AS n FROM model.loose', p => [$wide] },
	# lists
	{ q => 'SELECT * FROM model.plain WHERE id % 10 = $1 ORDER BY id', p => [$wide] },
	{ q => 'SELECT id, v FROM model.owned WHERE v >= $1 ORDER BY id LIMIT 50', p => [$number] },
	{ q => 'SELECT * FROM model.owned ORDER BY id' },
	{ q => 'SELECT id, tenant, v FROM model.quiet ORDER BY id' },
	{ q => 'SELECT id, v FROM model.quiet WHERE tenant = $1 ORDER BY v, id', p => [$number] },
	{ q => 'SELECT t.id, t.v FROM model.quiet t WHERE $1 = ANY (tags) ORDER BY t.id', p => [$text] },
	{ q => 'SELECT id, mood FROM model.quiet WHERE mood >= $1 ORDER BY id', p => [$mood], loose => 1 },
	{ q => 'SELECT id, v FROM model.quiet WHERE at >= $1 ORDER BY id', p => [ sub { pick("timestamptz '2024-04-10 12:00'", "'2024-04-01 00:00+02'::timestamptz", "'2024-04-05'::date") } ] },
	{ q => 'SELECT id FROM model.pairs p WHERE (p.id, p.part) > ($1, $2) ORDER BY 1 LIMIT 10', p => [ sub { dice(100) . '::integer' }, sub { pick("'x0'::text", "'x1'") } ] },
	# how values are written
	{ q => 'SELECT id, at::text AS at, day::text AS day, to_char(at, $1) AS c, date_trunc($2, at) AS d, at::date AS dd, span::text AS span, ratio::text AS ratio, bytes::text AS bytes FROM model.quiet WHERE v < 30 ORDER BY v',
		p => [ sub { pick("'YYYY-MM-DD HH24 TZ'::text", "'Day Mon'::text") }, sub { pick("'day'::text", "'month'::text") } ] },
	{ q => 'SELECT id, at, day, span, tags, q FROM model.quiet q WHERE v < 20 ORDER BY v' },
	{ q => 'SELECT row_to_json(q) AS j, q::text AS t FROM model.quiet q WHERE v BETWEEN $1 AND $1 + 3 ORDER BY v', p => [$number] },
	# joins, subqueries, sets
	{ q => 'SELECT p.id, p.v, c.id AS child, c.v AS cv FROM model.parent p JOIN model.child c ON c.parent = p.id WHERE p.id % 5 = $1 ORDER BY p.id, c.id', p => [$number] },
	{ q => 'SELECT p.id, (SELECT count(*) FROM model.child c WHERE c.parent = p.id) AS n FROM model.parent p ORDER BY p.id' },
	{ q => 'SELECT o.id, q.v FROM model.owned o JOIN model.quiet q ON q.tenant = o.tenant AND q.v = 3 + o.tenant ORDER BY o.id, q.v' },
	{ q => 'SELECT id FROM model.plain EXCEPT SELECT id FROM model.loose ORDER BY 1 LIMIT 40' },
	{ q => 'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < $1) SELECT r.n, p.v FROM r LEFT JOIN model.plain p ON p.id = r.n ORDER BY r.n', p => [ sub { (2 + dice(8)) . '::integer' } ] },
	{ q => 'SELECT p.id FROM model.plain p WHERE EXISTS (SELECT FROM model.parted d WHERE d.id = p.id AND d.v >= $1) ORDER BY p.id', p => [$wide] },
	# partitions
	{ q => 'SELECT id, v FROM model.parted_a ORDER BY id' },
	{ q => 'SELECT count(*) AS n, sum(v) AS v FROM model.parted_b' },
	{ q => 'SELECT count(*) AS n FROM model.parted_b1' },
	{ q => 'SELECT tableoid::regclass::text AS t, count(*) AS n FROM model.parted GROUP BY 1 ORDER BY 1' },
	{ q => 'SELECT id FROM model.parted WHERE id = $1', p => [ sub { pick(dice(200) . '::numeric', dice(200), 'NULL::numeric') } ] },
	# views, functions, names
	{ q => 'SELECT * FROM model.seen ORDER BY id', loose => 1 },
	{ q => 'SELECT count(*) AS n, sum(v) AS v FROM model.seen', loose => 1 },
	{ q => 'SELECT * FROM model.mine ORDER BY id', loose => 1 },
	{ q => 'SELECT tenant, sum(v) AS v FROM model.whole GROUP BY tenant ORDER BY tenant', loose => 1 },
	{ q => 'SELECT * FROM model.family WHERE children > $1 ORDER BY id', p => [$number], loose => 1 },
	{ q => 'SELECT model.total($1) AS t, count(*) AS n FROM model.owned', p => [$number], loose => 1 },
	{ q => 'SELECT model.body($1) AS b, max(v) AS v FROM model.quiet', p => [$number], loose => 1 },
	{ q => 'SELECT model.definer($1) AS d, max(v) AS v FROM model.quiet', p => [$number], loose => 1 },
	{ q => 'SELECT id, model.constant(v) AS c FROM model.loose ORDER BY id LIMIT 20', loose => 1 },
	{ q => 'SELECT id, v, pad FROM swap_a ORDER BY id', loose => 1 },
	{ q => 'SELECT sum(a.v) AS v FROM swap_a a JOIN swap_b b USING (id)', loose => 1 },
	{ q => 'SELECT count(*) AS n, sum(v) AS v FROM plain', loose => 1 },
	{ q => 'SELECT count(*) AS n FROM quiet WHERE tenant = $1', p => [$number], loose => 1 },
	{ q => 'SELECT DISTINCT enum_range(NULL::model.mood)::text AS r, $1::text AS m FROM model.quiet', p => [$mood], loose => 1 },
	{ q => 'SELECT current_user AS me, current_schema AS s, count(*) AS n FROM model.quiet', loose => 1 },
	{ q => 'SELECT ffs_tenant() AS t, count(*) AS n FROM model.owned', loose => 1 },
	# what cannot be cached, or is wrong
	{ q => 'SELECT now() IS NULL AS n, count(*) AS c FROM model.plain' },
	{ q => 'SELECT 1 / (v - v) AS wrong FROM model.plain WHERE id < 20', loose => 1 },
	{ q => 'SELECT $1::integer AS i, count(*) AS n FROM model.loose', p => [$text], loose => 1 },
);

# The text of a query, what SELECT has in its place, and of ffs_cached.
sub ask
{
	my ($query, $ttl) = @_;
	my @values = map { $_->() } @{ $query->{p} // [] };
	my $select = $query->{q} =~ s/\$(\d)/"(" . $values[ $1 - 1 ] . ")"/ger;
	my $call = "\$q\$$query->{q}\$q\$" . (@values ? ', ' . join(', ', $ttl, @values) : $ttl eq 'NULL' ? '' : ", $ttl");

	return ("SELECT jsonb_agg(to_jsonb(x)) FROM ($select) x", "SELECT jsonb_agg(y) FROM ffs_cached($call) y");
}

sub compare_results
{
	my $query = pick(@queries);
	my $ttl = pick('NULL', 'NULL', "interval '1 second'", "interval '1 hour'");
	my (@selects, @tests);

	for (1 .. pick(1, 2, 3))
	{
		my ($select, $test) = ask(pick($query, $query, pick(@queries)), $ttl);
		push @selects, ($select) x 2;
		push @tests, ($test) x 2;
	}
	# As a statement of its own, or from within a function.
	return "SELECT '\@cached 1', CASE WHEN a IS DISTINCT FROM b THEN 'DIFF cached ' || \$diff\$$tests[0]\$diff\$ || ' gives ' || left(b::text, 300) || ', SELECT ' || left(a::text, 300) END "
	  . "FROM (SELECT ($selects[0]) AS a, ($tests[0]) AS b OFFSET 0) z;\n"
	  if !$query->{loose} && @tests == 2;
	return 'SELECT model.check(\'cached\', ARRAY[' . join(', ', map { "\$s\$$_\$s\$" } @selects) . '], ARRAY['
	  . join(', ', map { "\$s\$$_\$s\$" } @tests) . "]);\n";
}

# Whether rows are given to who may not see them: as results are compared.
sub compare_rights
{
	my $name = pick('owned', 'plain', 'quiet', 'loose');
	my (@selects, @tests);

	for (1 .. 3)
	{
		my $n = 1 + dice($tables{$name}{keys});
		push @selects, "SELECT jsonb_agg(t) FROM model.$name t WHERE " . where($name, $n);
		push @tests, "SELECT jsonb_agg(g) FROM ffs_get(NULL::model.$name, " . $tables{$name}{key}->($n) . ') g';
	}
	return 'SELECT model.check(\'get\', ARRAY[' . join(', ', map { "\$s\$$_\$s\$" } @selects) . '], ARRAY['
	  . join(', ', map { "\$s\$$_\$s\$" } @tests) . "]);\n";
}

sub compare
{
	my ($name) = @_;
	my $d = dice(20);
	return compare_results() if $d < 9;
	return compare_rights() if $d == 9;
	return compare_rows($d < 12 ? 'quiet' : $name);
}

# ---- writing ----

sub row_values
{
	my ($name, $n) = @_;
	my $pad = "repeat('" . pick('q', 'r') . "', " . pick(0, 10, 200, 200, 3000) . ')';
	my $t = $tables{$name};
	return "(id, part, v, pad) VALUES ($n, 'x" . ($n % 3) . "', 1, $pad)" if $t->{pair};
	return "(id, parent, v, pad) VALUES ($n, " . (1 + dice(45)) . ", 1, $pad)" if $t->{child};
	return "(id, tenant, v, pad) VALUES (" . $t->{key}->($n) . ', ' . ($n % 3) . ", 1, $pad)" if $t->{tenant};
	return '(id, v, pad) VALUES (' . $t->{key}->($n) . ", 1, $pad)";
}

sub write_rows
{
	my ($name) = @_;
	my $t = $tables{$name};
	my $n = 1 + dice($t->{keys});
	my $d = dice(24);

	return "UPDATE model.$name SET v = v + 1 WHERE " . where($name, $n) . ";\n" if $d < 9;
	return "UPDATE model.$name SET v = v + 1, pad = repeat('u', " . dice(500) . ") WHERE v % 5 = " . dice(5) . ";\n" if $d == 9;
	return "DELETE FROM model.$name WHERE " . where($name, $n) . ";\n" if $d < 13;
	return "INSERT INTO model.$name " . row_values($name, $n) . " ON CONFLICT DO NOTHING;\n" if $d < 16;
	return "INSERT INTO model.$name " . row_values($name, $n) . ' ON CONFLICT (id' . ($t->{pair} ? ', part' : '')
	  . ") DO UPDATE SET v = $name.v + 1;\n" if $d < 18;
	return "UPDATE model.$name SET id = " . $t->{key}->(1 + dice($t->{keys})) . ' WHERE ' . where($name, $n) . ";\n"
	  if $d == 18 && !$t->{pair};
	return "SELECT ffs_restore('model.pairs', $n, 'x" . ($n % 3) . "');\n" if $d == 18;
	if ($d == 19 && !$t->{tenant} && !$t->{pair} && !$t->{child})
	{
		return "COPY model.$name (id, v, pad) FROM STDIN;\n$n\t2\tcopied\n\\.\n";
	}
	# many inserts: keys are told of the first only
	return "INSERT INTO model.$name (id, v, pad) SELECT k, 3, 'many' FROM generate_series($n, $n + 40) k ON CONFLICT DO NOTHING;\n"
	  if $d == 20 && $name =~ /^(plain|loose|swap_.|parent)$/;
	return "UPDATE model.$name SET tenant = " . dice(3) . ' WHERE ' . where($name, $n) . ";\n" if $d == 21 && $t->{tenant};
	return "UPDATE model.parent SET id = " . (1 + dice(45)) . " WHERE id = " . (1 + dice(45)) . ";\n" if $d == 22;
	return "MERGE INTO model.$name t USING (SELECT 1) s ON " . where($name, $n) . ' WHEN MATCHED AND t.v % 7 = 0 THEN DELETE'
	  . " WHEN MATCHED THEN UPDATE SET v = t.v + 10;\n";
}

# ---- whole tables, and what names mean ----

my @replica = ("ALTER TABLE model.loose ENABLE TRIGGER USER;\nALTER TABLE model.loose ENABLE REPLICA TRIGGER zz_ffstorage_replica;\n");

sub change_schema
{
	my ($client) = @_;
	my $n = dice(3);
	return pick(
		'TRUNCATE model.' . pick('loose', 'parted_a', 'parted_b1', 'parted', 'plain', 'child', 'swap_a') . ";\n",
		"TRUNCATE model.parent CASCADE;\nINSERT INTO model.parent (id, v, pad) SELECT k, 0, 'p' FROM generate_series(1, 40) k;\n",
		"ALTER TABLE model.loose ADD COLUMN extra$client integer DEFAULT $client;\n",
		'ALTER TABLE model.loose DROP COLUMN IF EXISTS extra' . dice(8) . ";\n",
		'ALTER TABLE model.loose ALTER COLUMN v TYPE ' . pick('integer', 'bigint') . ";\n",
		"ALTER TABLE model.plain ALTER COLUMN pad SET STORAGE EXTERNAL;\nCREATE INDEX ON model.swap_b (v);\n",
		"CLUSTER model.swap_b USING swap_b_pkey;\nREINDEX TABLE model.plain;\n",
		"ALTER TABLE model.loose DISABLE TRIGGER USER;\nUPDATE model.loose SET v = v + 100;\n@replica",
		"ALTER TABLE model.loose DISABLE TRIGGER USER;\n",
		"ALTER TABLE model.loose DISABLE TRIGGER USER;\n",
		"ALTER TABLE model.parted_b DETACH PARTITION model.parted_b1;\n",
		"ALTER TABLE model.parted_b ATTACH PARTITION model.parted_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n",
		"ALTER TABLE model.parted_b ATTACH PARTITION model.parted_b1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n",
		"ALTER TABLE model.parted DETACH PARTITION model.parted_a;\nUPDATE model.parted_a SET v = v + 7;\nALTER TABLE model.parted ATTACH PARTITION model.parted_a FOR VALUES FROM (MINVALUE) TO (70);\n",
		"SELECT ffs_unmanage('model.loose', false);\nUPDATE model.loose SET v = v + 1000 WHERE id % 3 = $n;\nSELECT ffs_manage('model.loose', stamps => false);\n",
		"CREATE OR REPLACE TRIGGER zzz_after_ours BEFORE UPDATE ON model.loose FOR EACH ROW EXECUTE FUNCTION model." . pick('meddle', 'move') . "();\n",
		"DROP TRIGGER IF EXISTS zzz_after_ours ON model.loose;\n",
		"DROP TRIGGER IF EXISTS zzz_after_ours ON model.loose;\n",
		"CREATE POLICY only_even ON model." . pick('owned', 'quiet') . ' AS ' . pick('RESTRICTIVE', 'PERMISSIVE') . " USING (v % 2 = $n % 2);\n",
		"DROP POLICY IF EXISTS only_even ON model.owned;\nDROP POLICY IF EXISTS only_even ON model.quiet;\n",
		"DROP POLICY IF EXISTS only_even ON model.owned;\nDROP POLICY IF EXISTS only_even ON model.quiet;\n",
		pick('REVOKE', 'GRANT') . ' SELECT ON model.' . pick('owned', 'quiet', 'plain', 'seen') . ' ' . "%TO% model_user;\n",
		"GRANT SELECT ON ALL TABLES IN SCHEMA model TO model_user;\n",
		"GRANT SELECT ON ALL TABLES IN SCHEMA model TO model_user;\n",
		pick('REVOKE', 'GRANT') . " USAGE ON SCHEMA model_first %TO% model_user;\n",
		pick('REVOKE', 'GRANT') . " EXECUTE ON FUNCTION model.total(integer) %TO% PUBLIC;\n",
		# not within a statement that compares
		"DO \$\$ BEGIN LOCK TABLE model.quiet, model.owned; ALTER ROLE model_user " . pick('BYPASSRLS', 'NOBYPASSRLS', 'NOBYPASSRLS') . "; END \$\$;\n",
		pick('REVOKE', 'GRANT') . " model_group %TO% model_user;\n",
		"CREATE OR REPLACE VIEW model.seen AS SELECT id, v FROM model." . pick('plain', 'swap_b', 'plain') . " WHERE v % 3 = $n;\n",
		'ALTER VIEW model.mine SET (security_invoker = ' . pick('true', 'false') . ");\n",
		"CREATE OR REPLACE FUNCTION model.total(t integer) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT " . pick('sum', 'max', 'count', 'min') . "(v) FROM model." . pick('owned', 'quiet') . " WHERE tenant = t';\n",
		'ALTER FUNCTION model.total(integer) ' . pick('STABLE', 'VOLATILE', 'STABLE', 'SECURITY DEFINER', 'SECURITY INVOKER') . ";\n",
		"CREATE OR REPLACE FUNCTION model.constant(v integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT v + $n';\n",
		"ALTER TYPE model.mood RENAME VALUE '" . pick("even' TO 'odd", "odd' TO 'even", "odd' TO 'even") . "';\n",
		"DO \$\$ BEGIN ALTER TABLE model.swap_a RENAME TO swap_c; ALTER TABLE model.swap_b RENAME TO swap_a; ALTER TABLE model.swap_c RENAME TO swap_b; END \$\$;\n",
		'CREATE TABLE model_first.' . pick('plain', 'quiet', 'swap_a') . " (id integer PRIMARY KEY, tenant integer, v integer, pad text);\n",
		"DROP TABLE IF EXISTS model_first.plain;\nDROP TABLE IF EXISTS model_first.quiet;\nDROP TABLE IF EXISTS model_first.swap_a;\n",
		"SELECT ffs_cache_warm('model." . pick('plain', 'parted', 'quiet') . "');\n",
		"SELECT ffs_cache_invalidate();\n",
	) =~ s/(REVOKE|GRANT)(.*)%TO%/"$1$2" . ($1 eq 'GRANT' ? 'TO' : 'FROM')/er;
}

sub settings
{
	return pick(
		"SET LOCAL timezone = '" . pick('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata') . "';\n",
		"SET LOCAL datestyle = '" . pick('ISO, DMY', 'German', 'SQL, MDY', 'Postgres') . "';\n",
		"SET LOCAL search_path = " . pick('model_first, model, public', 'model, public', 'public, model') . ";\n",
		"SET LOCAL intervalstyle = " . pick('iso_8601', 'postgres_verbose') . ";\nSET LOCAL bytea_output = escape;\n",
		"SET LOCAL extra_float_digits = " . pick(-15, 0, 3) . ";\n",
		"SET LOCAL row_security = off;\n",
		"SET LOCAL ffstorage.cache = off;\n",
		"CREATE TEMP TABLE " . pick('plain', 'quiet', 'swap_a', 'swap_b') . " ON COMMIT DROP AS SELECT 1 AS id, 2 AS tenant, 3 AS v, 'p' AS pad;\n");
}

# ---- transactions ----

my $prepared = 0;

sub transaction
{
	my ($client, $prefix) = @_;
	my $level = pick('READ COMMITTED', 'READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ', 'REPEATABLE READ',
		'SERIALIZABLE', 'SERIALIZABLE READ ONLY DEFERRABLE');
	my $reads_only = $level =~ /READ ONLY/ || $client % 4 == 3 && dice(10) > 0;
	my $special = $reads_only ? 40 + dice(40) : dice(100);
	my $sql = "BEGIN ISOLATION LEVEL $level;\n";
	# the wait for a safe snapshot has been seen not to end, with nothing left to wait for
	$sql .= "SET LOCAL statement_timeout = '5s';\n" if $level =~ /DEFERRABLE/;
	my $steps = 1 + dice(7);
	my $deep = 0;
	my @mine = map { pick(@busy) } 1 .. 2;
	my $alone = 1;

	push @mine, 'quiet' if dice(12) == 0;
	# rarely: it takes all results along
	if ($special < 8) { $sql .= change_schema($client) if dice(3) == 0; }
	elsif ($special < 10) { $sql .= $replica[0]; }
	elsif ($special < 18) { $sql .= "SET LOCAL session_replication_role = replica;\n"; }
	elsif ($special < 60 && $special >= 40)
	{
		$alone = 0;
		$sql .= pick("SELECT ffs_set_tenant('" . dice(3) . "');\n", '', "SELECT ffs_set_tenant('" . dice(3) . "');\n", "SELECT ffs_set_tenants('{0,2}');\n", "SELECT ffs_set_all_tenants();\n");
		$sql .= 'SET LOCAL ROLE model_user' . ";\n";
	}
	$sql .= settings() if dice(4) == 0;
	for (1 .. $steps)
	{
		my $name = pick(@mine);
		my $d = dice(20);

		if ($d < 9 || $reads_only) { $sql .= compare($name); }
		elsif ($d < 14) { $sql .= write_rows($name); }
		elsif ($d == 14) { $sql .= "SAVEPOINT s;\n"; $deep++; }
		elsif ($d == 15 && $deep) { $sql .= pick("ROLLBACK TO s;\n", "ROLLBACK TO s;\n", "RELEASE s;\n") . compare($name); }
		elsif ($d == 16) { $sql .= write_rows($name) . compare($name); }
		elsif ($d == 17) { $sql .= 'SELECT pg_sleep(0.00' . dice(10) . ");\n"; }
		else { $sql .= compare(pick(@names)); }
	}
	my $end = dice(20);
	return $sql . "ROLLBACK;\n" if $end < 4;
	if ($end == 4 && $alone)
	{
		my $gid = "${prefix}_" . ++$prepared;
		$sql .= "PREPARE TRANSACTION '$gid';\n" . compare($mine[0]) . 'SELECT pg_sleep(0.0' . dice(10) . ");\n" . compare($mine[0]);
		return $sql . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$gid';\n" . compare($mine[0]);
	}
	return $sql . "COMMIT;\n" . (dice(2) ? compare($mine[0]) : '');
}

# Outside of transactions.
sub alone
{
	return pick(
		"ALTER TABLE model.parted DETACH PARTITION model.parted_a CONCURRENTLY;\n" . compare_rows('parted')
		  . "ALTER TABLE model.parted ATTACH PARTITION model.parted_a FOR VALUES FROM (MINVALUE) TO (70);\n",
		"ALTER TABLE model.parted DETACH PARTITION model.parted_a FINALIZE;\n",
		'VACUUM model.' . pick(@names) . ";\n",
		'VACUUM FULL model.' . pick('loose', 'swap_a') . ";\n",
		"ANALYZE model.plain;\n",
		"DISCARD ALL;\nSET search_path = model, public;\nSET client_min_messages = error;\nSET lock_timeout = '300ms';\n");
}

# What a client does before it comes back: so many transactions in one session.
sub chunk
{
	my ($client, $prefix, $transactions) = @_;
	my $sql = "SET client_min_messages = error;\nSET lock_timeout = '300ms';\nSET deadlock_timeout = '50ms';\nSET search_path = model, public;\n";

	$sql .= "\\set ON_ERROR_ROLLBACK on\n" if dice(3) == 0;
	for (1 .. $transactions)
	{
		$sql .= dice(150) == 0 ? alone() : transaction($client, $prefix);
	}
	return $sql;
}

1;
