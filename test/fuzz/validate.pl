# Query texts that are made up: values of which it is known by how they were
# made whether they change a template's shape; finished texts, judged when they
# are sent as when they are asked about; and texts of no sense at all.
#
#   perl test/fuzz/validate.pl SEED CALLS
#
# Uses a server that PGHOST and so on name.  Prints what is wrong and fails.
use strict;
use warnings;
use IPC::Run qw(run);

my ($seed, $calls) = @ARGV;
$seed //= 1;
$calls //= 1500;
srand $seed;
my $bad = 0;

sub pick { return $_[ rand @_ ]; }
sub some { my ($most, $what) = @_; return map { $what->() } 1 .. int rand($most + 1); }
sub literal { my $s = shift; $s =~ s/'/''/g; $s =~ s/\\/\\\\/g; return " E'$s'"; }

# One psql for many lines of SQL; what it prints.
sub psql
{
	my ($sql, @options) = @_;
	my ($out, $err) = ('', '');
	run([ 'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', @options ], \$sql, \$out, \$err);
	return ($out, $err);
}

sub complain
{
	my $what = shift;
	print "seed $seed: $what\n";
	$bad++;
}

# ---- values whose effect is known by how they are made ----

my @words = ('a', 'name', 'O', 'Brien', 'x1', '%', '_', '5', '-', '/', '*', '(', ')', ';', ',', '=', '"', '--', '/*', '*/', '\\', '$$', '$1', 'OR', 'UNION',
	'SELECT', "\x{e9}", "\x{5317}", 'E', 'U&', ' ', "\t");
sub words { return join pick('', ' '), some(5, sub { pick(@words) }); }

# A constant in a place without quotes.
sub constant
{
	my $c = pick(
		sub { int rand 1000 }, sub { '-' . int rand 1000 }, sub { (int rand 1000) / 8 }, sub { pick('NULL', 'null', 'true', 'FALSE') },
		sub { my $w = words(); $w =~ s/'/''/g; "'$w'" },
		sub { my $w = words(); $w =~ s/[\\']//g; "E'$w\\'\\\\'" },
		sub { my $w = words(); $w =~ s/\$//g; "\$q\$$w\$q\$" },
		sub { "X'1f'" }, sub { "B'01'" }, sub { "U&'\\0041'" }, sub { '1e' . int rand 20 })->();
	$c = pick('', ' ', '/* a */', "\n") . $c . pick('', ' ', '/* b */', " -- c\n");
	$c = "($c)" if rand() < .1;
	return $c;
}

# What is no constant, whatever it is pasted into.
sub no_constant
{
	my $c = constant();
	my $d = constant();
	# a sign before a cast or a power belongs to the result, not to the constant
	$c =~ s/^\s*-//;
	return pick(
		"$c OR $d=$d", "$c oR true", "$c AND a", "$c = b", "$c; SELECT $d", "$c UNION SELECT $d", "$c + $d", "a", '"a"', 'a.b', "f($c)", "($c, $d)",
		"$c)", "($c", "$c, $d", "$c IS NULL", "NOT $c", "${c}::text", "CAST($c AS text)", "(SELECT $c)", "$c IN ($d)", "$c LIKE $d", "$c BETWEEN 1 AND 2",
		"CASE WHEN a THEN $c END", "ARRAY[$c]", '$1', "'", "$c '", '', ' ', ';', "$c LIMIT $d", "$c ORDER BY $d", "/* $c", '--');
}

# A string in quotes, and the query goes on behind it: what keeps the shape has its quotes in pairs.
sub quoted { my $w = join "'", words(), some(3, \&words); my $keeps = rand() < .5; $w =~ s/'/''/g if $keeps; return ($w, ($w =~ s/''//gr) !~ /'/); }

my @templates = (
	'SELECT * FROM t WHERE id = %s', 'SELECT * FROM t WHERE (id > %s) AND b ORDER BY c LIMIT 5', 'UPDATE t SET a = %s WHERE b = 5',
	'INSERT INTO t (a, b) VALUES (%s, 1)', 'DELETE FROM t WHERE a IN (1, %s, 3)', 'SELECT f(%s, 2) FROM t JOIN u ON t.a = u.a',
	'SELECT CASE WHEN a = %s THEN b ELSE c END FROM t', 'WITH w AS (SELECT %s) SELECT * FROM w', 'EXPLAIN SELECT a FROM t WHERE b = %s');
my @quoted = (
	"SELECT * FROM t WHERE name = '%s' LIMIT 1", "SELECT * FROM t WHERE name = '%s' AND pass = 'x'", "UPDATE t SET a = '%s' WHERE b = 5",
	"INSERT INTO t (a, b) VALUES ('%s', 1)", "SELECT * FROM t WHERE name LIKE '%%%s%%' ORDER BY a", "SELECT f('%s'), b FROM t",
	"SELECT * FROM t WHERE a IN ('x', 'a%s', 'y')", "SET LOCAL a.b = '%s', 'z'", "CREATE ROLE r PASSWORD '%s'", "COMMENT ON TABLE t IS '%s'");

my (@asked, $sql);
binmode STDOUT, ':utf8';
for (1 .. $calls)
{
	my ($template, $value, $keeps);
	if (rand() < .5)
	{
		($template, $keeps) = (pick(@templates), rand() < .5);
		$value = $keeps ? constant() : no_constant();
	}
	else
	{
		$template = pick(@quoted);
		($value, $keeps) = quoted();
	}
	push @asked, [ $template, $value, $keeps ? 't' : 'f' ];
}
$sql = join "\n", map { 'SELECT ffs_validate_template(' . literal($_->[0]) . ', ' . literal($_->[1]) . ');' } @asked;
utf8::encode($sql);
my ($out, $err) = psql($sql);
my @answers = split /\n/, $out;
complain("templates: $err") if $err ne '';
complain(@answers . ' answers to ' . @asked . ' questions') if @answers != @asked;
for my $i (0 .. $#asked)
{
	my ($template, $value, $expected) = @{ $asked[$i] };
	complain("template <$template> with <$value>: " . ($answers[$i] // 'nothing') . " instead of $expected")
	  if ($answers[$i] // '') ne $expected;
}

# ---- judged when sent as when asked about, with other numbers and strings too ----

my ($setup, $problem) = psql(<<'SQL');
SET client_min_messages = warning;
DROP TABLE IF EXISTS fuzzed_texts;
CREATE TABLE fuzzed_texts (a integer, b text, c boolean);
SQL
complain("setup: $problem") if $problem ne '';

my $number = sub { pick(0, 1, 2, 32, 65, 100, 6000000) };
my $string = sub { "'" . pick('', 'a', 't', "it''s", '--', '/*', 'x OR 1=1') . "'" };
my $boolean;
$boolean = sub {
	my $depth = shift // 0;
	my @leaves = (
		sub { 'a = ' . $number->() }, sub { 'b = ' . $string->() }, sub { 'c' }, sub { $number->() . ' = ' . $number->() }, sub { 'true' },
		sub { $string->() . ' = ' . $string->() }, sub { 'b LIKE ' . $string->() }, sub { 'a / ' . $number->() . ' > 1' }, sub { 'b = b' },
		sub { 'b = chr(' . $number->() . ') || chr(' . $number->() . ')' }, sub { 'b = ' . $string->() . ' || ' . $string->() },
		sub { 'a IN (' . join(', ', map { $number->() } 1 .. 3) . ')' }, sub { 'a NOT IN (NULL)' }, sub { 'a = (SELECT ' . $number->() . ')' },
		sub { 'EXISTS (SELECT 1 FROM fuzzed_texts x WHERE x.a = ' . $number->() . ')' }, sub { 'b || ' . $string->() . ' <> ' . $string->() },
		sub { 'a > (SELECT count(*) FROM generate_series(1, ' . $number->() . '))' }, sub { 'b = current_user' }, sub { 'a = ' . $number->() . '-' . $number->() });
	return pick(@leaves)->() if $depth > 2 || rand() < .4;
	return pick(
		sub { $boolean->($depth + 1) . ' AND ' . $boolean->($depth + 1) },
		sub { $boolean->($depth + 1) . ' OR ' . $boolean->($depth + 1) },
		sub { 'NOT (' . $boolean->($depth + 1) . ')' }, sub { '(' . $boolean->($depth + 1) . ')' })->();
};
# The same text with other constants comes right after: what is remembered must not decide.
my @texts;
for (1 .. $calls / 3)
{
	my $text = pick('SELECT a FROM fuzzed_texts WHERE ', 'DELETE FROM fuzzed_texts WHERE ', 'UPDATE fuzzed_texts SET b = b || ' . $string->() . ' WHERE ') . $boolean->();
	push @texts, $text;
	$text =~ s/'(?:[^']|'')*'/$string->()/ge;
	$text =~ s/\b[0-9]+\b/$number->()/ge;
	push @texts, $text;
}
my ($safe) = psql(join "\n", map { "SELECT ffs_is_safe_query(" . literal($_) . ");" } @texts);
my @safe = split /\n/, $safe;
(undef, $err) = psql("SET statement_timeout = '5s';\nLOAD 'ffstorage';\nSET ffstorage.validate_queries = enforce;\n"
	  . join("\n", map { "$texts[$_];\n\\warn <$_>" } 0 .. $#texts));
my @sent = split /<\d+>\n/, $err;
for my $i (0 .. $#texts)
{
	my $refused = ($sent[$i] // '') =~ /ERROR:  ZF040/ ? 'f' : 't';
	complain("<$texts[$i]> is safe: " . ($safe[$i] // 'nothing') . ", but when sent: $refused ($sent[$i])") if ($safe[$i] // '') ne $refused;
}

# ---- no sense at all ----

my @tokens = (@words, qw(SELECT FROM WHERE AND OR NOT NULL CASE WHEN THEN END GROUP BY ORDER LIMIT VALUES INSERT INTO UPDATE SET DELETE WITH AS ON JOIN LATERAL
	IN LIKE BETWEEN IS DISTINCT EXISTS ANY ARRAY ROW CAST COPY EXPLAIN PREPARE DECLARE CURSOR FOR CREATE TABLE FUNCTION DO BEGIN MERGE USING MATCHED GRANT
	OVER PARTITION FILTER WITHIN ROLLUP CUBE SETS TABLESAMPLE XMLELEMENT INTERVAL DATE int text), "'", "''", '"', '[', ']', '.', '::', '||', '$a$', '@', '#', "\n",
	"U&'\\", "E'\\x", '%s', '%%', '%');
@texts = map { join pick('', ' ', ' '), some(30, sub { pick(@tokens) }) } 1 .. $calls;
$sql = join "\n", map {
	my $t = literal($_);
	"SELECT ffs_is_safe_query($t);\nSELECT ffs_validate_query($t);\nSELECT ffs_validate_template($t, " . literal(pick(@texts)) . ");\nSELECT ffs_validate_identifier($t);"
} @texts;
utf8::encode($sql);
(undef, $err) = psql("SET statement_timeout = '10s';\n$sql\nSELECT 1;");
complain("an error that should not be: $1") while $err =~ /^(?:psql.*?)?((?:ERROR|FATAL|PANIC): ++(?!ZF040|ZF041|42601|22023).*)$/mg;
complain("the connection was lost") if $err =~ /connection to server was lost|server closed the connection|by signal/;

psql('DROP TABLE fuzzed_texts');
print "seed $seed: $bad wrong\n";
exit($bad ? 1 : 0);
