# Query texts: the made-up ones of test/fuzz/validate.pl in their short form
# (FFS_SEED chooses others, FFS_CALLS how many), and what the clients of a role
# send, in every protocol.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FFS_SEED} // 1;
my $calls = $ENV{FFS_CALLS} // 1500;
my $node = ffs_node('validate', conf => "autovacuum = off\nmax_stack_depth = 1MB\n");
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$node->safe_psql('postgres', 'CREATE EXTENSION ffstorage');

my $output = `perl test/fuzz/validate.pl $seed $calls 2>&1`;
is($?, 0, "texts that are made up are judged by what they do (seed $seed)") or diag($output);

# ---- a role, from warnings to refusals ----

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
CREATE TABLE users (id integer PRIMARY KEY, name text);
INSERT INTO users VALUES (1, 'ana'), (2, 'ben');
GRANT SELECT, INSERT ON users TO app, other;
ALTER ROLE app SET ffstorage.validate_queries = warn;
SQL

sub as_role
{
	my ($role, $sql) = @_;
	my ($out, $err) = ('', '');
	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', $role ]);
	return ($out, $err);
}

# pgbench speaks the other protocols; what it says of errors.
sub bench
{
	my ($protocol, $role, $sql) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	PostgreSQL::Test::Utils::append_to_file($file, "\\set id 1\n$sql\n");
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-t', '3', '-M', $protocol, '-f', $file, '-U', $role, 'postgres' ], '>', \$out, '2>', \$err);
	return $err;
}

my ($out, $err) = as_role('app', 'SELECT count(*) FROM users WHERE id = 3 OR 1=1;');
is($out, '2', 'with warn, a statement runs');
like($err, qr/WARNING:  query has the marks of an injection: tautology/, '... with a warning');
($out, $err) = as_role('other', 'SELECT count(*) FROM users WHERE id = 3 OR 1=1;');
is($err, '', 'another role is left alone');
as_role('app', "SELECT name FROM users WHERE name = 'secret' OR 'a'='a' /* secret */;") for 1 .. 2;
is( $node->safe_psql('postgres', 'SELECT role, check_name, query, calls FROM ffs_unsafe_queries WHERE role = \'app\' ORDER BY query'),
	"app|tautology|SELECT count(*) FROM users WHERE id = ? OR ?=?;|1\napp|tautology|SELECT name FROM users WHERE name = ? OR ?=? ;|2",
	'what was found is kept, without its constants and comments');

is($node->safe_psql('postgres', "SELECT ffs_validate_learn('app')"), '2', 'it can be learned');
$node->safe_psql('postgres', 'ALTER ROLE app SET ffstorage.validate_queries = enforce');
($out, $err) = as_role('app', "SELECT count(*) FROM users WHERE id = 7 OR 8=8;\nSELECT count(*) FROM users WHERE id = 7 OR 8=8 OR id = 9;");
is($out, '2', 'what was learned runs, with other constants too');
like($err, qr/ERROR:  query has the marks of an injection/, 'what was not is refused');

($out, $err) = as_role('app', "SET ffstorage.validate_queries = off;\nRESET ffstorage.validate_queries;\nRESET ALL;\nDISCARD ALL;\nSELECT 1 FROM users WHERE id = 1 OR 5=5 OR false;");
is(scalar(() = $err =~ /permission denied to set parameter/g), 2, 'the role cannot take its checks off');
like($err, qr/marks of an injection/, '... nor by RESET ALL and DISCARD ALL');

# A list that could not be read is read again.
my $locker = ffs_session($node);
$locker->query('BEGIN; LOCK TABLE ffstorage.allowed_queries');
my $reader = Ffs::Session->new($node->connstr('postgres') . ' user=app');
like($reader->query("SET lock_timeout = '100ms'; SELECT count(*) FROM users WHERE id = 7 OR 8=8"), qr/ERROR:  55P03/, 'the list is locked');
$locker->query('COMMIT');
is($reader->query('SELECT count(*) FROM users WHERE id = 7 OR 8=8'), '2', 'what was learned runs when it no longer is');
$_->close foreach ($locker, $reader);

# An open session sees changes of the list; functions do what they do.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION lookup() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM users WHERE id = 3 OR 1=1 OR name = 'x'); END $$;
CREATE FUNCTION lookup_sql() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM users WHERE id = 3 OR 1=1 OR name = 'x' $$;
SQL
($out, $err) = as_role('app', "SELECT lookup() + lookup_sql();");
is("$out$err", '4', 'what functions run is not looked at');

foreach my $protocol ('simple', 'extended', 'prepared')
{
	is(bench($protocol, 'app', 'SELECT name FROM users WHERE id = :id;') =~ s/^pgbench \(.*\n//r, '', "$protocol: a query runs");
	like(bench($protocol, 'app', 'SELECT name FROM users WHERE id = :id OR 1=1 OR name IS NULL;'), qr/ERROR:  query has the marks of an injection/,
		"$protocol: an unsafe one is refused");
	is(bench($protocol, 'app', 'SELECT count(*) FROM users WHERE id = 5 OR 6=6;') =~ s/^pgbench \(.*\n//r, '', "$protocol: a learned one runs");
}

# ---- only what was learned ----

$node->safe_psql('postgres', "SELECT ffs_validate_forget('app'); ALTER ROLE app SET ffstorage.validate_only_listed = on; ALTER ROLE app SET ffstorage.validate_queries = warn");
($out, $err) = as_role('app', "BEGIN;\nSELECT name FROM users WHERE id = 1;\nCOMMIT;");
is($out, 'ana', 'with warn, what was not learned runs');
like($err, qr/^\S*\s*WARNING:  query is not in the list of allowed queries/, '... with a warning');
is($node->safe_psql('postgres', "SELECT ffs_validate_learn('app') > 0"), 't', 'it is learned');
$node->safe_psql('postgres', "ALTER ROLE app SET ffstorage.validate_queries = enforce");
($out, $err) = as_role('app', "BEGIN;\nSELECT name FROM users WHERE id = 2;\nCOMMIT;");
is("$out$err", 'ben', 'then it runs');
($out, $err) = as_role('app', "SELECT name FROM users WHERE id = 2 AND name = 'ben';");
like($err, qr/ERROR:  query is not in the list/, 'and nothing else does');
($out, $err) = as_role('app', "INSERT INTO users VALUES (3, 'x');\nSELECT 1;");
is($node->safe_psql('postgres', 'SELECT count(*) FROM users'), '2', '... whatever it is');

# The protocol's FunctionCall of a function without arguments: the answer, or the error.
sub call_function
{
	my ($role, $function) = @_;
	my $oid = $node->safe_psql('postgres', "SELECT '$function'::regprocedure::oid");
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die $!;
	my $startup = pack('N', 196608) . "user\0$role\0database\0postgres\0\0";
	my $result = '';
	print $socket pack('N', 4 + length $startup) . $startup;
	for (my $ready = 0; $ready < 2;)
	{
		read($socket, my $head, 5) == 5 or last;
		my ($type, $length) = unpack('a N', $head);
		read($socket, my $body, $length - 4);
		$result .= "$type $body\n" if $type =~ /[EV]/;
		next if $type ne 'Z';
		# no arguments, and their formats; the result as text
		print $socket 'F' . pack('N', 14) . pack('N n n n', $oid, 0, 0, 0) if ++$ready == 1;
	}
	close $socket;
	return $result;
}

like(call_function('other', 'txid_current()'), qr/^V .*\d+\n$/s, 'a function is called without a query');
like(call_function('app', 'txid_current()'), qr/^E .*ZF\d+.*function call is not in the list of allowed queries/s, 'but not by a role that may run what was learned only');
$node->safe_psql('postgres', "ALTER ROLE app SET ffstorage.validate_queries = warn");
like(call_function('app', 'txid_current()'), qr/^V .*\d+\n$/s, 'unless that is for warnings');

# ---- texts that are long, deep, or hard to read ----

foreach ([ q{'SELECT ' || repeat('(', 200000) || '1' || repeat(')', 200000)}, 'f' ], [ q{'SELECT ' || repeat('f(', 4000) || '1' || repeat(')', 4000)}, 'f|t' ],
	[ q{'SELECT ' || repeat('NOT ', 9000) || 'a'}, 'f|t' ], [ q{'SELECT ' || repeat('1 + ', 300000) || 'a'}, 'f' ],
	[ q{'SELECT * FROM t WHERE a = ' || repeat('b OR a = ', 300000) || 'b'}, 't' ], [ q{'SELECT ''' || repeat('x', 50000000) || ''''}, 't' ],
	[ q{'SELECT ' || repeat('/*', 500000) || repeat('*/', 500000) || '1'}, 'f' ], [ q{'SELECT ' || repeat('+', 1000000) || '1'}, 'f' ],
	[ q{'SELECT a' || repeat(' || a', 300000)}, 'f' ], [ q{'SELECT 1 FROM a' || repeat(' UNION SELECT 1 FROM b', 100000)}, 'f|t' ],
	[ q{'SELECT ' || repeat('CASE WHEN a THEN ', 3000) || '1' || repeat(' END', 3000)}, 'f|t' ])
{
	my ($text, $expected) = @$_;
	my ($rc, $stdout, $stderr) = $node->psql('postgres', "SET statement_timeout = '60s'; SELECT ffs_is_safe_query($text)");
	like("$stdout$stderr", qr/^(?:$expected)$/, substr($text, 0, 60));
	($rc, $stdout, $stderr) = $node->psql('postgres', "SET statement_timeout = '60s'; SELECT ffs_validate_template('SELECT a = %s', substr($text, 8))");
	like("$stdout$stderr", qr/^[ft]$/, '... and as a value');
}

my $log = slurp_file($node->logfile);
is($log =~ /(.*(?:was terminated by signal|TRAP:|PANIC|XX000).*)/ ? $1 : '', '', 'the server never went down');
$node->stop;
done_testing();
