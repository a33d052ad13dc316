#!/usr/bin/perl
# Batches into tables of random shapes, from input of any shape, against plain
# statements on a twin, a row at a time: what goes in by INSERT goes in by a
# batch, with the same result, what is refused is refused, with the same
# SQLSTATE, and each row is reported once, in its place.
#
#   perl test/fuzz/batches.pl [SEED [SHAPES]]
#
# Works on the database that the PG* variables name, through psql, as a
# superuser.  Makes the schema batches there.  FUZZ_SCRIPTS=folder keeps the
# script of each shape that something was found with.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Temp;

my $seed = $ARGV[0] // time;
my $shapes = $ARGV[1] // 20;
my $here = dirname(__FILE__);
print "seed $seed, $shapes shapes\n";

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
sub chance { my ($percent) = @_; return dice(1000) < $percent * 10; }

sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }
sub ident { my ($text) = @_; $text =~ s/"/""/g; return qq("$text"); }
sub string { my ($text) = @_; $text =~ s/(["\\])/\\$1/g; return qq("$text"); }
sub words { return map { string($_) } @_; }

# ---- types: what a column of each may be given, as JSON ----

my @days = words('2020-02-29', '2021-02-29', '2020-01-31', ' 2020-01-01 ', '20200101', 'Jan 5 2020', 'infinity', '-infinity', 'epoch', '0000-01-01',
	'0001-01-01', '10000-01-01', '4713-01-01 BC', '2020-1-1', '2020-13-01', '2020-00-10', '2020-01-32', '5874897-12-31', '5874898-01-01', '2020-02-30', 'today', '1999-12-31', '2020-01-01x');
my @clocks = words('2020-02-29 12:34:56', '2020-02-29T12:34:56.123456', '2020-02-29T12:34:56.1234567', '2020-02-29T12:34:56.9999999', '2020-01-01T24:00:00', '2020-01-01T24:00:01', '2020-06-30T23:59:60Z',
	'2020-06-30 23:59:60.5', '2020-01-01T00:00:00Z', '2020-01-01T00:00:00+05:30', '2020-01-01 00:00:00-15:59', '2020-01-01 00:00:00+16', '2020-01-01 00:00:00+99', '2020-01-01T00:00:00z', '2020-01-01 00:00:00 Europe/Berlin',
	'2020-01-01 00:00:00.', '2020-01-01 00:00', '294276-12-31 23:59:59.999999Z', '294277-01-01 00:00:00Z', '2020-03-29 02:30:00', '2020-01-01T00:00:00+05:3', '2020-01-01T00:00:00+0530', '2020-01-01T00:00:00+05:30:15', '2020-01-01T12:00:00+00:60',
	'9999-12-31T23:59:59.999999-12', '0001-01-01T00:00:00Z', '2020-02-30T00:00:00Z', '2021-02-29 00:00:00');
my @huge = ('1e400', '-1e400', '1e-400', '123456789012345678901234567890.123456789', '1e131071', '0.1e-16382', '"NaN"', '"Infinity"', '"-inf"', '1e30', '99999.995', '0.005');
my @ints = (0 .. 9, -1, '"5"', '" 6 "', '1.0', '1e1', '10e-1', '-0');

my %types = (
	int2 => [ [ @ints, 32767 ], [ 32768, -32769, '1.5', '"x"', 'true', '[1]', '""', '2e1' ] ],
	int4 => [ [ @ints, 2147483647 ], [ 2147483648, '1.5', '"x"', 'true', '[1]', '{"a": 1}', '""', '1e400', '9999999999999999' ] ],
	int8 => [ [ @ints, 9223372036854775807, -9223372036854775808, 9999999999999999, 10000000000000000, 123400005678 ], [ 9223372036854775808, '"1e3"', 'false', '1e-400' ] ],
	numeric => [ [ @ints, @huge, '1.00', '100000000', '0.00010000' ], [ '"x"', 'true', '[]', '"1e999999"', '"--1"' ] ],
	'numeric(5,2)' => [ [ @ints, '1.005', '999.994', '"NaN"', '1e-400', '-0.004' ], [ '999.995', '1e3', '"Infinity"', '"x"', '1e400' ] ],
	float4 => [ [ @ints, 16777215, 16777216, 16777217, 33554433, '0.1', '"NaN"', '"-Infinity"', '"-0"', 9007199254740993 ], [ '1e400', '1e39', '1e-60', '"x"', 'true' ] ],
	float8 => [ [ @ints, 9007199254740991, 9007199254740992, 9007199254740993, '0.1', '"NaN"', '"inf"', '1e308', '123456789012345678' ], [ '1e400', '1e-400', '"x"', '{}' ] ],
	bool => [ [ 'true', 'false', '"t"', '"no"', '" on "', '1', '0' ], [ '2', '"x"', '""', '[true]', '1.0' ] ],
	text => [ [ '""', '"a"', '"A"', '"\u00e4"', '"\ud83d\ude00"', '"it\'s; -- $1 \\\\ %s"', '1', '1.50', 'true', '[1, {"b": 2}]', '{"z": 1, "a": [null]}', '"\u0001\n\t"', '"' . 'x' x 300 . '"' ], [] ],
	'varchar(5)' => [ [ '""', '"abcde"', '"abc      "', '"\u00e4\u00e4\u00e4\u00e4\u00e4"', '"x"', '12345', 'true' ], [ '"abcdef"', '"\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"', '123456', '{"a": 1}', '"ab   c"' ] ],
	'char(4)' => [ [ '""', '"ab"', '"ab  "', '"abcd     "', '"\u00e4"', '12', 'true' ], [ '"abcde"', '12345', 'false', '[]' ] ],
	'"char"' => [ [ '""', '"a"', '"abc"', '"\\\\101"', '1' ], [] ],
	name => [ [ '"n"', '"' . 'n' x 70 . '"', '""', '3' ], [] ],
	bytea => [ [ '"\\\\x00ff"', '"\\\\x"', '"abc"', '"\\\\000"', '""', '1' ], [ '"\\\\x0"', '"\\\\xzz"', '"\\\\9"' ] ],
	'bit(3)' => [ [ '"101"', 101 ], [ '"x5"', '"1"', '"1010"', '"abc"', '5' ] ],
	'varbit(5)' => [ [ '"101"', '""', '11111', '"xf"' ], [ '111111', '"2"' ] ],
	uuid => [ [ words('11111111-1111-1111-1111-11111111111a', '11111111-1111-1111-1111-11111111111A', '{22222222-2222-2222-2222-222222222222}', '33333333333333333333333333333333', '4444-4444-4444-4444-4444-4444-4444-4444') ],
		[ words('', 'x', '11111111-1111-1111-1111-11111111111', '11111111-1111-1111-1111-1111111111111', '11111111-1111-1111-1111-11111111111g', '11111111x1111-1111-1111-111111111111', '-1111111-1111-1111-1111-111111111111', '1111111101111-1111-1111-111111111111'), '1', 'true' ] ],
	json => [ [ '1', '"x"', 'true', '{"b": 1, "a": [1, 2.50, null]}', '[]', '"\u00e4\\\\ \"q\""', '1e400', '"{\"a\": 1}"' ], [] ],
	jsonb => [ [ '1', '"x"', 'false', '{"b": 1, "a": [1, 2.50, null], "": {}}', '[[[[]]]]', '1e400', '"[1"', '{"aa": 1, "b": 2, "aa": 3}' ], [] ],
	xml => [ [ '"<a/>"', '"text"', '1', '"<a>\u00e4</a>"', '""' ], [ '"<a>"', '"&x;"', '{"<": 1}' ] ],
	date => [ [ @days[ 0, 2 .. 6 ] ], [ @days, @clocks[ 0, 3 ], 1, 'true' ] ],
	time => [ [ words('12:34:56', '24:00:00', '23:59:60', '1:2', 'allballs', '040506') ], [ words('25:00', 'x'), 12 ] ],
	'timetz(2)' => [ [ words('12:34:56+02', '12:34:56.789Z') ], [ words('x', '12:00+99') ] ],
	timestamp => [ [ @clocks[ 0 .. 2, 4, 8, 9 ], @days[ 0, 3, 6, 7 ] ], [ @clocks, @days, 1 ] ],
	'timestamp(0)' => [ [ @clocks[ 0 .. 3, 7 ] ], [@clocks] ],
	timestamptz => [ [ @clocks[ 0 .. 2, 4, 8 .. 10, 14 ], @days[ 0, 3, 6, 7 ] ], [ @clocks, @days, 'false' ] ],
	'timestamptz(3)' => [ [ @clocks[ 0 .. 3, 9 ] ], [@clocks] ],
	interval => [ [ words('1 day', '24:00', '1 mon', '30 days', 'P1Y2M', '-1 year ago'), 5 ], [ words('x', '999999999999 years', '') ] ],
	'interval day to second(2)' => [ [ words('1 day 00:00:01.239', '1') ], [ words('x') ] ],
	inet => [ [ words('10.0.0.1', '10.0.0.1/8', '::1', '1.2.3.4/32') ], [ words('10.0.0.256', '', '10.0.0.1/33'), 1 ] ],
	cidr => [ [ words('10.0.0.0/8', '::/0') ], [ words('10.0.0.1/8') ] ],
	macaddr => [ [ words('08:00:2b:01:02:03', '08002b010203') ], [ words('x') ] ],
	point => [ [ words('(1,2)', '1,2', '(NaN,inf)') ], [ words('(1)', ''), 1 ] ],
	box => [ [ words('((0,0),(1,1))', '3,4,1,2') ], [ words('(1,2)') ] ],
	path => [ [ words('[(0,0),(1,1)]', '((0,0),(1,1))') ], [ '[[0,0],[1,1]]' ] ],
	circle => [ [ words('<(0,0),1>') ], [ words('<(0,0),-1>') ] ],
	tsvector => [ [ words('a b', "'x y':1A", ''), 1 ], [ words("'x") ] ],
	tsquery => [ [ words('a & b', '') ], [ words('a &') ] ],
	money => [ [ words('$1.50', '-2'), 1, '1.005' ], [ words('x'), '1e400' ] ],
	int4range => [ [ words('[1,5)', '(0,4]', 'empty', '(,)', '[1,1]') ], [ words('[5,1)', '[1', 'x', '[1,2147483647]'), 1, '[1, 5]' ] ],
	numrange => [ [ words('[1.0,1.00]', '(1,)') ], [ words('[x,)') ] ],
	'batches.span' => [ [ words('[0.1,1e3)', 'empty') ], [ words('[1e400,)') ] ],
	tstzrange => [ [ words('[2020-01-01,2020-01-02)', '(,infinity]') ], [ words('[x,)') ] ],
	int4multirange => [ [ words('{}', '{[1,3), [2,5)}') ], [ words('{[1,3)', '[1,2)'), '[]' ] ],
	'batches.mood' => [ [ words('sad', 'ok', 'happy', "it's \"odd\"") ], [ words('OK', '', 'x'), 1 ] ],
	'batches.positive' => [ [ 1 .. 9, '"7"' ], [ 0, -1, '"x"', '1e400' ] ],
	'batches.small_positive' => [ [ 1 .. 9 ], [ 0, 1000, '1.5' ] ],
	'batches.word' => [ [ words('w', 'word', '12345678', 'x        '), 5 ], [ words('bad', '123456789'), 'null' ] ],
	'batches.numbers' => [ [ '[]', '[1, null]', '"{1,2,3}"', '[[1], [2]]' ], [ '[1, 2, 3, 4]', '[[1], 2]', '"{1"', '1', '{"a": 1}' ] ],
	'batches.some_pair' => [ [ '{"a": 1}', '{"a": 2, "b": "x", "c": 1}', '"(3,y)"' ], [ '{"a": 0}', '{"a": "x"}', '"(0,)"', '[]', '"(1"' ] ],
	'batches.some_json' => [ [ '{"a": 1}', '"x"', '[1]' ], [ '1', '1e400' ] ],
	'batches.some_uuid' => [ [ words('11111111-1111-1111-1111-111111111111') ], [ words('00000000-0000-0000-0000-000000000000', 'x') ] ],
	'batches.moment' => [ [ @clocks[ 0, 9 ] ], [ words('infinity', 'x') ] ],
	'batches.amount' => [ [ 1, '1.005', '"0.004"' ], [ '-1', '9999.995', '"NaN"' ] ],
	'batches.pair' => [ [ '{"a": 1, "b": "x"}', '{}', '{"b": [1]}', '"(5,\"q\\\\\"r\")"', '"(,)"', '{"a": null, "unknown": 1}' ], [ '{"a": "x"}', '"(1)"', '[1, "x"]', '1', '""' ] ],
	'batches.nested' => [ [ '{"p": {"a": 1}, "l": [1, 2], "odd \"name": "ok"}', '{"p": "(1,x)", "l": "{3}"}', '"(\"(1,x)\",\"{1,2}\",ok)"' ], [ '{"p": {"a": "x"}}', '{"l": [1, "x"]}', '{"odd \"name": "bad"}', '{"l": {"a": 1}}' ] ],
	'int4[]' => [ [ '[]', '[1, null, 2]', '[[1, 2], [3, 4]]', '"{5,6}"', '"[5:6]={1,2}"', '"{}"', '[[], []]' ], [ '[[1], [2, 3]]', '[1, [2]]', '["x"]', '1', '{"a": 1}', '"{1"', '[1e400]' ] ],
	'text[]' => [ [ '["a", null, "NULL", ""]', '[[["x"]]]', '"{a,\"b c\"}"', '[{"a": 1}, [1]]', '[{"a": 1}, "x", true]' ], [ '[["a"], "b"]', '"x"' ] ],
	'varchar(3)[]' => [ [ '["abc", "d   "]' ], [ '["abcd"]' ] ],
	'numeric(4,1)[]' => [ [ '[1.25, "NaN"]' ], [ '[1000]' ] ],
	'jsonb[]' => [ [ '[1, {"a": 1}, "x", [1]]', '[null]' ], [ '[[1], 2]' ] ],
	'json[]' => [ [ '[{"b": 1}, "x", null]' ], [ '1' ] ],
	'uuid[]' => [ [ '["11111111-1111-1111-1111-111111111111"]' ], [ '["x"]' ] ],
	'timestamptz[]' => [ [ '["2020-01-01T00:00:00Z", "infinity"]' ], [ '["x"]' ] ],
	'batches.pair[]' => [ [ '[{"a": 1}, null, "(2,x)"]', '[[{"a": 1}], [{}]]' ], [ '[{"a": "x"}]', '[1]' ] ],
	'batches.mood[]' => [ [ '["sad", "ok"]' ], [ '["x"]' ] ],
	'batches.positive[]' => [ [ '[1, 2]', '[null]' ], [ '[0]', '[[1], [-1]]' ] ],
	'batches.some_pair[]' => [ [ '[{"a": 1}]' ], [ '[{"a": 0}]' ] ],
	'int4range[]' => [ [ '["[1,2)", null]' ], [ '["[2,1)"]' ] ],
	oid => [ [ 1, '"2"', 4294967295 ], [ 4294967296, '"x"' ] ],
	regclass => [ [ '"pg_class"', '"-"', 1259 ], [ '"nosuch.table"', '"a b c"' ] ],
	xid8 => [ [ '"5"', 7 ], [ '"x"' ] ],
	pg_lsn => [ [ '"1/2"' ], [ '"x"', 1 ] ],
);
my @typical = qw(int4 int8 text varchar(5) uuid timestamptz date numeric bool jsonb float8);
my @all = sort keys %types;
# such as an index takes, and has few values for, so that keys meet
my @keyable = ('int4', 'int4', 'int8', 'int2', 'text', 'text', 'varchar(5)', 'char(4)', 'uuid', 'uuid', 'date', 'timestamptz', 'numeric', 'numeric(5,2)', 'float8', 'bool', 'bytea', 'inet',
	'batches.mood', 'batches.positive', 'batches.word', 'int4range', 'int4[]', 'batches.pair', 'interval', 'batches.some_uuid', 'name', '"char"', 'text[]', 'oid', 'batches.amount', 'bit(3)', 'batches.numbers', 'batches.some_pair');

my @chaos = ('null', 'true', '0', '-1', '1e400', '1e-400', '"x"', '""', '[]', '{}', '[null]', '[[]]', '{"a": {"b": {"c": []}}}', '"\u00e9\ud83d\ude00"', '99999999999999999999', '"NaN"', '"infinity"', '"{1,2}"', '"(1,x)"', '"[1,5)"',
	'"' . 'y' x 5000 . '"', '[' x 50 . ']' x 50, '"\\\\"', '"\\\\x"', '"2020-01-01"', '"11111111-1111-1111-1111-111111111111"', '"null"', '" "');

sub value
{
	my ($type, $bad) = @_;
	my ($good, $refused) = @{ $types{$type} };
	if (chance($bad))
	{
		return 'null' if chance(20);
		return pick(@chaos) if chance(40) || !@$refused;
		return pick(@$refused);
	}
	return pick(@$good);
}

# ---- tables ----

my @names = ('a', 'b', 'c', 'd', 'x', 'n', 'A b', 'sel"ect', "\xc3\xa9", 'select', 'n' x 63, '$1', "x'y", '%s', 'ffs_feed', 'ffs_target', 'excluded', 'r', 'key', 'row_number', 'action', 'message', 'sqlstate', 'new', 'old', 'back\\slash',
	'k1', 'k2', 'new line
', 'ID', 'customer', 'rows', 'values', 'default', ' ');
# such as another strategy would want, or a table beside it
my @side_names = ('version', 'valid_to', 'is_current', 'operation', 'deleted_at', 'created_at', 'entry_id');
my @tables = ('t', 'Odd "table', "it's", '%s $1', 'select', 'ffs_feed', 'm' x 55, "\xc3\xa9t\xc3\xa9");

# A random table: its DDL with %s for the name, and what its columns are like.
sub shape
{
	my ($number) = @_;
	my %shape = (strategy => pick(qw(none copy_on_change scd2 scd2)), soft => chance(25), partitioned => chance(15), checks => []);
	my $columns = pick(1, 2, 3, 4, 5, 6, 8, 12, 20);
	$columns = pick(65, 130, 300) if chance(5);
	$columns = pick(700, 1500, 1580) if chance(1.5);
	my @free = (@names, chance(10) ? @side_names : ());
	my @columns;

	for my $i (1 .. $columns)
	{
		my $name = $columns > 20 || !@free ? "c$i" : splice @free, dice(scalar @free), 1;
		my $type = $columns > 300 ? pick(qw(int4 bool int2)) : chance(35) ? pick(@typical) : pick(@all);
		push @columns, { name => $name, type => $type, mask => '%s::text', default => '' };
	}

	# the key
	my $keys = $shape{strategy} eq 'none' && chance(15) ? 0 : pick(1, 1, 1, 2, 2, 3);
	$keys = @columns if $keys > @columns;
	my @key;
	if ($keys)
	{
		my @order = 0 .. $#columns;
		@key = map { $columns[ splice @order, dice(scalar @order), 1 ] } 1 .. $keys;
		$_->{type} = pick(@keyable) foreach @key;
		$_->{key} = 1 foreach @key;
	}
	if ($shape{partitioned})
	{
		$shape{partitioned} = 0 unless @key;
		$key[0]{type} = 'int4' if $shape{partitioned};
	}

	# what else a column may be
	foreach my $column (@columns)
	{
		my $ints = $column->{type} =~ /^int[48]$/;
		my $which = dice(100);
		if ($ints && $which < 8)
		{
			$column->{identity} = pick(qw(always default));
			$column->{default} = $column->{identity} eq 'always' ? 'GENERATED ALWAYS AS IDENTITY (START 1000000000)' : 'GENERATED BY DEFAULT AS IDENTITY (START 1000000000)';
			$column->{mask} = q{CASE WHEN %1$s >= 1000000000 AND %1$s < 1100000000 THEN 'default' ELSE %1$s::text END};
			$column->{volatile} = 1;
		}
		elsif ($ints && $which < 14)
		{
			$column->{default} = q{DEFAULT nextval('batches.far')};
			$column->{mask} = q{CASE WHEN %1$s >= 1000000000 AND %1$s < 1100000000 THEN 'default' ELSE %1$s::text END};
			$column->{volatile} = 1;
		}
		elsif ($column->{type} eq 'uuid' && $which < 30)
		{
			$column->{default} = 'DEFAULT gen_random_uuid()';
			$column->{mask} = q{CASE WHEN substr(%1$s::text, 15, 1) = '4' THEN 'default' ELSE %1$s::text END};
			$column->{volatile} = 1;
		}
		elsif ($column->{type} eq 'text' && $which < 15)
		{
			$column->{default} = q{DEFAULT 'random:' || random()};
			$column->{mask} = q{CASE WHEN %1$s LIKE 'random:%%' THEN 'default' ELSE %1$s END};
			$column->{volatile} = 1;
		}
		elsif ($column->{type} =~ /^timestamptz(\(3\))?$/ && $which < 25 && !$column->{key})
		{
			$column->{default} = pick('DEFAULT now()', 'DEFAULT clock_timestamp()');
			$column->{volatile} = 1;
		}
		elsif ($which < 35 && !$column->{key})
		{
			my $default = pick(@{ $types{ $column->{type} }[0] });
			if ($default =~ /^"([^\\]*)"$/) { $column->{default} = 'DEFAULT ' . literal($column->{type} =~ /^json/ ? $default : $1); }
			elsif ($default =~ /^\d+$/) { $column->{default} = "DEFAULT '$default'"; }
			elsif ($ints) { $column->{default} = 'DEFAULT (1 / (random() * 0)::integer)'; }
		}
		$column->{mask} = q{CASE WHEN %1$s BETWEEN now() - interval '2 days' AND now() + interval '2 days' THEN 'default' ELSE %1$s::text END} if $column->{type} =~ /^timestamp.*[^\]]$/;
		$column->{not_null} = chance(15) || $column->{identity};
		$column->{default} .= ' COLLATE batches.whatever' if $column->{type} =~ /^(text|varchar)/ && $column->{default} eq '' && chance(20);
	}

	# columns made of others
	my @sources = grep { $_->{type} =~ /^(int4|int8|int2|text|numeric)$/ && !$_->{volatile} } @columns;
	if (@sources && chance(20))
	{
		my $source = pick(@sources);
		my $name = ident($source->{name});
		my ($type, $expression) = $source->{type} eq 'text' ? ('text', "upper($name COLLATE \"C\")") : pick([ 'int4', "($name * 1000)::int4" ], [ 'numeric', "10 / ($name - 5)" ], [ 'int8', "${name}::int8" ])->@*;
		push @columns, { name => 'made', type => $type, generated => 1, default => "GENERATED ALWAYS AS ($expression) STORED", mask => '%s::text' };
	}
	if (chance(20))
	{
		my $type = pick(qw(uuid text int4 int8 int2));
		my %ours = (uuid => '99999999-9999-9999-9999-999999999999', text => 'acme', int4 => 99, int8 => 99, int2 => 99);
		$shape{tenant} = $ours{$type};
		push @columns, { name => pick('tenant_id', 'Ten "ant'), type => $type, tenant => 1, not_null => 1, default => '', mask => '%s::text' };
	}
	if (chance(20))
	{
		$shape{parent} = 1;
		push @columns, { name => 'parent_id', type => 'int4', default => 'REFERENCES batches.parent' . pick('', ' DEFERRABLE', ' DEFERRABLE INITIALLY DEFERRED'), mask => '%s::text' };
	}
	# dropped ones
	my @parts;
	my @drop;
	foreach my $column (@columns)
	{
		if (chance(8) && @columns < 300)
		{
			push @drop, 'gone' . @drop;
			push @parts, "$drop[-1] " . pick('integer', 'text NOT NULL', 'uuid DEFAULT gen_random_uuid()', 'jsonb');
		}
		push @parts, ident($column->{name}) . " $column->{type} $column->{default}" . ($column->{not_null} ? ' NOT NULL' : '');
	}
	push @parts, 'PRIMARY KEY (' . join(', ', map { ident($_->{name}) } @key) . ')' if @key;
	my @unique;
	my @may = grep { my $t = $_->{type}; !$_->{generated} && !$_->{tenant} && grep { $_ eq $t } @keyable } @columns;
	if (@may && !$shape{partitioned} && chance(35))
	{
		my @of = (pick(@may));
		push @of, grep { $_ != $of[0] } pick(@may) if chance(30);
		my $late = pick('', '', '', ' DEFERRABLE', ' DEFERRABLE INITIALLY DEFERRED');
		# what is checked at the end of a statement lets rows of one batch change places
		$shape{late} = 1 if $late ne '';
		push @parts, 'UNIQUE (' . join(', ', map { ident($_->{name}) } @of) . ")$late";
		# a constant default may be a key twice in a call: what then is refused depends on the batches
		@unique = @of if $late eq '' && !grep { $_->{default} ne '' && !$_->{volatile} && $_->{default} !~ /^ COLLATE/ } @of;
	}
	my @numbers = grep { $_->{type} =~ /^(int[248]|numeric)$/ } @columns;
	push @parts, 'CHECK (' . pick('%s < 1000', '%s <> 8', '10 / (%s - 8) < 100') =~ s/%s/ident(pick(@numbers)->{name})/er . ')' if @numbers && chance(25);
	my @ranges = grep { $_->{type} eq 'int4range' } @columns;
	if (@ranges && !$shape{partitioned} && chance(40))
	{
		my $late = pick('', ' DEFERRABLE');
		$shape{late} = 1 if $late ne '';
		push @parts, 'EXCLUDE USING gist (' . ident($ranges[0]{name}) . " WITH &&)$late";
	}

	s/%/%%/g foreach @parts;
	my $ddl = 'CREATE TABLE %1$s (' . join(', ', @parts) . ')';
	if ($shape{partitioned})
	{
		my $first = ident($key[0]{name}) =~ s/%/%%/gr;
		$ddl .= " PARTITION BY RANGE ($first);\n" . "CREATE TABLE %2\$s PARTITION OF %1\$s FOR VALUES FROM (MINVALUE) TO (3);\n" . "CREATE TABLE %3\$s PARTITION OF %1\$s FOR VALUES FROM (3) TO (9)";
		$ddl .= ";\nCREATE TABLE %4\$s PARTITION OF %1\$s FOR VALUES FROM (1000000000) TO (2000000000)";
	}
	$ddl .= ";\n" . join('', map { "ALTER TABLE %1\$s DROP COLUMN $_;\n" } @drop);
	my @watched = grep { $_->{type} =~ /^(int[248])$/ && !$_->{key} && !$_->{generated} && !$_->{identity} && !$_->{tenant} } @columns;
	if (@watched && chance(20))
	{
		my $name = literal(pick(@watched)->{name}) =~ s/%/%%/gr;
		$ddl .= 'CREATE TRIGGER ' . pick('aaa', 'zzzz') . " BEFORE INSERT OR UPDATE ON %1\$s FOR EACH ROW EXECUTE FUNCTION batches.meddle($name);\n";
		$ddl .= "CREATE TRIGGER later AFTER INSERT OR UPDATE ON %1\$s FOR EACH ROW EXECUTE FUNCTION batches.object($name);\n" if chance(50);
	}
	$shape{ddl} = $ddl;
	$shape{columns} = \@columns;
	$shape{key} = \@key;
	$shape{unique} = \@unique;
	my @tenants = grep { $_->{tenant} } @columns;
	$shape{manage} = literal($shape{strategy}) . (@tenants ? ', tenant_column => ' . literal($tenants[0]{name}) : '') . ($shape{soft} ? ', soft_delete => true' : '') . (chance(10) ? ', stamps => false' : '');
	$shape{table} = pick(@tables);
	return \%shape;
}

# ---- input ----

sub member { my ($name, $value) = @_; $name =~ s/\n/\\n/g; return string($name) =~ s/\\\\n/\\n/r . ": $value"; }

sub object
{
	my ($shape, $bad, $records) = @_;
	my @members;
	my @columns = @{ $shape->{columns} };
	my $leave_out = @columns > 50 ? 90 : pick(0, 10, 50);
	foreach my $column (@columns)
	{
		if ($column->{generated} || ($column->{identity} // '') eq 'always')
		{
			push @members, member($column->{name}, pick('null', 5)) if !$records && chance(2);
			next;
		}
		if ($column->{tenant})
		{
			push @members, member($column->{name}, chance(10) ? pick('null', 98, '"other"', '"11111111-1111-1111-1111-111111111111"') : string($shape->{tenant})) if chance(30);
			next;
		}
		if ($column->{key}) { next if chance($column->{default} ? 30 : 3); }
		elsif ($records && $column->{type} eq 'batches.word') { }
		elsif (chance($leave_out)) { next; }
		push @members, member($column->{name}, $column->{name} eq 'parent_id' ? pick(0 .. 5, chance(20) ? 77 : 1, 'null') : value($column->{type}, $bad));
	}
	if (chance(1) && !$records)
	{
		push @members, pick(map { member($_, pick(@chaos)) } '', 'nosuch', 'ctid', 'tableoid', 'xmin', 'NOSUCH', 'x' x 100, '........pg.dropped.1........', 'gone0', "\x7f", '"a"');
	}
	push @members, pick(map { member($_, pick(@chaos)) } qw(created_at created_by updated_at updated_by version valid_from transaction_id)) if chance(2);
	# in any order, now and then twice
	push @members, pick(@members) if @members && chance(3);
	@members = map { splice @members, dice(scalar @members), 1 } 1 .. @members;
	return '{' . join(', ', @members) . '}';
}

my $has_records = `psql -X -A -t -c "SELECT count(*) FROM pg_proc WHERE proname = 'ffs_create_records'"`;

sub call
{
	my ($shape, $names) = @_;
	return key_call($shape, $names) if @{ $shape->{key} } && chance(35);
	my $kind = chance(8) ? 'create' : $has_records > 0 && chance(40) ? 'records' : 'many';
	my $bad = pick(0, 0, 1, 5, 30);
	my $rows = $kind eq 'create' ? 1 : pick(0, 1, 1, 2, 3, 5, 8, 15, 25);
	$rows = 3 if @{ $shape->{columns} } > 100 && $rows > 3;
	my @input;
	for (1 .. $rows)
	{
		my $row = object($shape, $kind eq 'records' ? 0 : $bad, $kind eq 'records');
		$row = pick(@chaos, '[{}]') if $kind eq 'many' && chance($bad / 5);
		$row = undef if $kind eq 'records' && chance($bad / 5);
		push @input, $row;
	}
	my $conflict = $kind eq 'create' ? 'error' : $shape->{late} ? pick(qw(error skip)) : pick(qw(error skip update update));
	my $columns = 'null';
	if (@{ $shape->{unique} } && chance(50)) { $columns = '[' . join(', ', map { string($_->{name}) } @{ $shape->{unique} }) . ']'; }
	elsif (@{ $shape->{key} } && chance(20)) { $columns = '[' . join(', ', map { string($_->{name}) } reverse @{ $shape->{key} }) . ']'; }
	$columns =~ s/\n/\\n/g;
	$conflict = 'error' if !@{ $shape->{key} } && $columns eq 'null';
	my $how = sprintf '{"kind": "%s", "on_conflict": "%s", "on_error": "%s", "batch_size": %d, "conflict_columns": %s}',
	  $kind, $conflict, $kind eq 'create' ? 'abort' : pick(qw(abort report report)), pick(1, 2, 7, 1000), $columns;
	return checked($shape, $names, \@input, $how);
}

# Rows by key: changed, deleted, restored.
sub key_call
{
	my ($shape, $names) = @_;
	my $kind = $shape->{soft} ? pick(qw(update delete restore)) : pick(qw(update update delete));
	$kind = 'delete' if $kind eq 'update' && $shape->{late};
	my $bad = pick(0, 0, 2, 20);
	my @input;
	foreach (1 .. pick(1, 2, 5, 10, 25))
	{
		if ($kind ne 'update' && @{ $shape->{key} } == 1 && chance(50))
		{
			push @input, value($shape->{key}[0]{type}, $bad);
			next;
		}
		if (chance($bad / 4)) { push @input, pick(@chaos); next; }
		my @members = map { member($_->{name}, value($_->{type}, $bad)) } grep { !chance($bad / 10) } @{ $shape->{key} };
		push @members, '"expected_version": ' . pick(1, 1, 2, 3, 'null', chance($bad) ? '"x"' : 1) if $shape->{strategy} eq 'scd2' && chance(20);
		if ($kind eq 'update')
		{
			my @columns = grep { !$_->{key} } @{ $shape->{columns} };
			my $take = @columns > 50 ? 5 : pick(20, 60);
			foreach my $column (grep { chance($take) } @columns)
			{
				next if ($column->{generated} || ($column->{identity} // '') eq 'always' || $column->{tenant}) && !chance(5);
				push @members, member($column->{name}, $column->{name} eq 'parent_id' ? pick(0 .. 5, chance(20) ? 77 : 1, 'null') : $column->{tenant} ? pick(string($shape->{tenant}), 'null', 98) : value($column->{type} , $bad));
			}
		}
		push @members, '"cascade": true' if $kind eq 'restore' && chance(10);
		push @members, pick(map { member($_, pick(@chaos)) } '', 'nosuch', 'ctid', 'created_at', 'version') if chance(2);
		@members = map { splice @members, dice(scalar @members), 1 } 1 .. @members;
		push @input, '{' . join(', ', @members) . '}';
	}
	return checked($shape, $names, \@input, sprintf '{"kind": "%s", "on_error": "%s", "batch_size": %d}', $kind, pick(qw(abort report report)), pick(1, 2, 7, 1000));
}

sub checked
{
	my ($shape, $names, $input, $how) = @_;
	my $array = 'ARRAY[' . join(', ', map { defined $_ ? literal($_) : 'NULL' } @$input) . ']::text[]';
	my $exprs = 'ARRAY[' . join(', ', map { literal('(' . sprintf($_->{mask}, ident($_->{name})) . ') COLLATE "C"') } @{ $shape->{columns} }) . ']';
	return "SELECT batches.check_call(" . literal($names->[0]) . ', ' . literal($names->[1]) . ", $array,\n  " . literal($how) . ",\n  $exprs)";
}

# Not compared with anything: no crash, no internal error, and a word of help.
sub wild
{
	my ($shape, $names) = @_;
	my $json = pick(@chaos, '[' . join(', ', map { pick(@chaos) } 1 .. 5) . ']', '[{"a": "\u0000"}]', '[{"a": "\ud800"}]', '[{"\u0000": 1}]', '[' . '{"a": ' x 3000 . '1' . '}' x 3000 . ']', '[' x 7000,
		'[{"a": 1, "a": 2, "": {"": ""}}]', '[' . join(',', ('{}') x 3000) . ']', '[{"a": 1e131072}]', '{"0": {}}');
	my $how = join ', ', map { pick('NULL', "''", "'error'", "'update'", "'skip'", "'report'", "'abort'", "'UPDATE'") } 1, 2;
	$how .= ', ' . pick('NULL', 0, -1, 1, 2147483647) . ', ' . pick("'{}'", "'{NULL}'", "'{nosuch}'", "'{{a},{b}}'", "'{ctid}'", "'{created_at}'", 'NULL', "'[5:5]={a}'", 'ARRAY[' . join(', ', map { literal($_->{name}) } @{ $shape->{columns} }) . ']::name[]');
	my $function = $has_records > 0 && chance(30) ? 'ffs_create_records(' . pick("'{}'", 'NULL', "ARRAY[NULL]", "ARRAY[[NULL, NULL]]", "'[3:4]={NULL,NULL}'") . "::$names->[0]\[]" : 'ffs_create_many(' . literal($names->[0]) . ', ' . literal($json);
	return "SELECT count(*) FROM $function, $how)";
}

# ---- running ----

my ($failures, $calls, $script) = (0, 0, '');
my %found;

sub psql
{
	my ($sql) = @_;
	my $in = File::Temp->new;
	print $in $sql;
	close $in;
	my $output = `psql -X -q -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=never -f $in 2>&1`;
	$output =~ s/^psql:\S+ //mg;
	return $output;
}

my $setup = `psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f "$here/batches.sql" -f "$here/../laws.sql" 2>&1`;
die "setup failed: $setup" if $?;

my $unmanageable = 0;
foreach my $number (1 .. $shapes)
{
	my $shape = shape($number);
	my @names = map { 'batches.' . ident("$shape->{table} $_") } "t$number", "u$number";
	my $managed = '';
	my $sql = "SET client_min_messages = error;\nSET timezone = 'Europe/Berlin';\n\\set ON_ERROR_STOP 1\n";
	foreach my $name (@names)
	{
		my @parts = map { my $p = $_; $name =~ s/"$/$p"/r } qw(_p1 _p2 _p3);
		$sql .= sprintf($shape->{ddl}, $name, @parts) . "SELECT ffs_manage(" . literal($name) . ", $shape->{manage});\n";
	}
	$sql .= "\\set ON_ERROR_STOP 0\n";
	my @calls = map { chance(10) ? wild($shape, \@names) : call($shape, \@names) } 1 .. 12;
	my $n = 0;
	foreach my $call (@calls)
	{
		$sql .= "\\echo #" . $n++ . "\nBEGIN;\nSET LOCAL statement_timeout = '60s';\n";
		$sql .= "SELECT ffs_set_tenant(" . literal($shape->{tenant}) . ");\n" if defined $shape->{tenant};
		$sql .= "SET CONSTRAINTS ALL IMMEDIATE;\n$call;\nCOMMIT;\n";
	}
	# an entry's values may be equal as jsonb and differ in the table: 1 and 1.0
	$sql .= "\\echo #laws\nSELECT * FROM public.laws(" . literal($names[0]) . ") l WHERE l !~ 'nothing changed' LIMIT 5;\n";
	$sql .= "DROP TABLE " . join(', ', @names) . " CASCADE;\n";
	$sql .= "DO \$\$ DECLARE t text; BEGIN FOR t IN SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'batches'::regnamespace AND relkind IN ('r', 'p') AND relname ~ '_(history|audit|deleted)\$' LOOP EXECUTE 'DROP TABLE ' || t || ' CASCADE'; END LOOP; END \$\$;\n";
	my $output = psql($sql);
	$calls += @calls;
	my @parts = split /^(?=#(?:\d+|laws)$)/m, $output;
	if ($parts[0] !~ /^#/ && $parts[0] =~ /ERROR/)
	{
		# a table that cannot be, or cannot be managed
		$unmanageable++;
		print "$parts[0]\n" if $parts[0] =~ /XX\d\d\d:|server closed/ || $ENV{FUZZ_VERBOSE};
		$failures++ if $parts[0] =~ /XX\d\d\d:|server closed/;
		psql('DROP TABLE IF EXISTS ' . join(', ', @names) . ' CASCADE');
		next;
	}
	my ($said, $bad) = ('', '');
	foreach my $part (@parts)
	{
		my ($which) = $part =~ /^#(\d+|laws)$/m or next;
		# one that differs makes those after it differ
		last if $bad ne '' && $bad ne $which;
		my $is_check = $which eq 'laws' || $calls[$which] =~ /check_call/;
		my @lines = grep { !/^#|^\s*$/ } split /\n/, $part;
		# of the wild ones only what should never be
		@lines = grep { /XX\d\d\d:|server closed|connection to server|PANIC|FATAL|57014|TRAP/ } @lines unless $is_check;
		@lines = grep { !/^(LINE|QUERY|LOCATION|CONTEXT|\s)/ } @lines;
		next unless @lines;
		$bad = $which;
		$said .= "  call $which: $_\n" foreach @lines[ 0 .. ($#lines < 9 ? $#lines : 9) ];
	}
	if ($said ne '')
	{
		$failures++;
		if ($ENV{FUZZ_SCRIPTS})
		{
			open my $out, '>', "$ENV{FUZZ_SCRIPTS}/$seed.$number.sql" or die $!;
			print $out $sql =~ s/^DROP TABLE/-- DROP TABLE/mr;
		}
		$said =~ s/(.)\1{49,}/$1 x 10 . '...'/ge;
		print "shape $number, $shape->{strategy}" . ($shape->{partitioned} ? ', partitioned' : '') . (defined $shape->{tenant} ? ', tenant' : '') . ":\n$said" if $failures < 20;
	}
	for (1 .. 30)
	{
		last if `psql -X -A -t -c 'SELECT 1' 2>/dev/null` eq "1\n";
		sleep 1;
	}
}
psql('DROP SCHEMA batches CASCADE') unless $failures;
print "$calls calls on $shapes shapes, $unmanageable of them unfit\n$failures found\n";
exit($failures ? 1 : 0);
