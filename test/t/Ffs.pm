# What the TAP tests share: a node with ffstorage, tables of each strategy, a
# write load on them, and the laws.
package Ffs;
use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(ffs_node ffs_tables ffs_load_script ffs_laws ffs_laws_ok ffs_state ffs_session test_dir);

sub test_dir { return File::Spec->rel2abs(dirname(__FILE__) . '/..'); }

# A started node; %how: preload (default true), conf (more settings).
sub ffs_node
{
	my ($name, %how) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', "log_statement = none\nmax_prepared_transactions = 20\n");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'ffstorage'\n")
	  if $how{preload} // 1;
	$node->append_conf('postgresql.conf', $how{conf}) if $how{conf};
	$node->start;
	return $node;
}

# A table of each kind, with $rows rows each; a table without management beside them.
sub ffs_tables
{
	my ($node, $rows) = @_;
	$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION IF NOT EXISTS ffstorage;
CREATE TABLE versioned (id integer PRIMARY KEY, account text NOT NULL, amount numeric, note text);
CREATE TABLE audited (LIKE versioned INCLUDING ALL);
CREATE TABLE stamped (LIKE versioned INCLUDING ALL);
CREATE TABLE plain (LIKE versioned INCLUDING ALL);
CREATE TABLE parted (id integer, account text NOT NULL, amount numeric, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ($rows / 2);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM ($rows / 2) TO (MAXVALUE);
SELECT ffs_manage('versioned', strategy => 'scd2', soft_delete => true);
SELECT ffs_manage('audited', strategy => 'copy_on_change');
SELECT ffs_manage('stamped', soft_delete => true);
SELECT ffs_manage('parted', strategy => 'scd2');
SQL
	foreach my $table (qw(versioned audited stamped plain parted))
	{
		$node->safe_psql('postgres',
			"INSERT INTO $table (id, account, amount, note) SELECT i, 'account ' || i, i, NULL FROM generate_series(1, $rows) i");
	}
	return;
}

# A pgbench script that writes to those tables in every way, savepoints included.
# Statements are such that two clients do not deadlock: one row at a time.
sub ffs_load_script
{
	my ($rows, $path) = @_;
	my $text = <<"SQL";
\\set a random(1, $rows)
\\set b random(1, $rows)
\\set c random($rows + 1, $rows * 2)
\\set d random(1, 1000)
BEGIN;
UPDATE versioned SET amount = amount + 1 WHERE id = :a;
SAVEPOINT one;
UPDATE versioned SET note = 'kept ' || :d WHERE id = :a;
RELEASE one;
COMMIT;
INSERT INTO versioned (id, account, amount) VALUES (:c, 'new', :d) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount;
DELETE FROM versioned WHERE id = :c AND amount > 500;
BEGIN;
UPDATE audited SET amount = :d, note = 'note ' || :d WHERE id = :b;
SAVEPOINT one;
UPDATE audited SET amount = -1 WHERE id = :b;
ROLLBACK TO one;
COMMIT;
INSERT INTO audited (id, account, amount) VALUES (:c, 'new', :d) ON CONFLICT (id) DO NOTHING;
DELETE FROM audited WHERE id = :c AND amount > 500;
UPDATE stamped SET amount = :d WHERE id = :a;
UPDATE parted SET amount = :d WHERE id = :b;
DELETE FROM parted WHERE id = :c;
INSERT INTO parted (id, account) VALUES (:c, 'again') ON CONFLICT (id) DO UPDATE SET note = 'seen';
SQL
	PostgreSQL::Test::Utils::append_to_file($path, $text);
	return;
}

# A psql that stays, with a look at its backend; see Ffs::Session.
sub ffs_session
{
	my ($node, $database) = @_;
	return Ffs::Session->new($node->connstr($database // 'postgres'));
}

# What breaks a law, one a line; '' where all hold.
sub ffs_laws
{
	my ($node, $database) = @_;
	$database //= 'postgres';
	my ($rc, $out, $err);
	$rc = $node->psql($database, undef, extra_params => [ '-f', test_dir() . '/laws.sql' ], stdout => \$out, stderr => \$err);
	return "laws.sql: $err" if $rc;
	$rc = $node->psql($database, 'SELECT laws_all() LIMIT 20', stdout => \$out, stderr => \$err);
	return $rc ? "laws_all: $err" : $out;
}

sub ffs_laws_ok
{
	my ($node, $label, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(ffs_laws($node, $database), '', $label);
	return;
}

# A digest of everything that is managed, and of what stands beside it.
sub ffs_state
{
	my ($node, $database) = @_;
	return $node->safe_psql($database // 'postgres', <<'SQL');
SELECT string_agg(format('%s: %s', r, x.d[1]::text), E'\n' ORDER BY r::text)
  FROM (SELECT unnest(ARRAY[relation, history, audit, deleted]) FROM ffstorage.managed) AS m(r),
       LATERAL (SELECT xpath('//d/text()', query_to_xml(format(
           'SELECT count(*) || '' '' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text)), '''') AS d FROM %s t', r), false, true, ''))) AS x(d)
 WHERE r IS NOT NULL
SQL
}

package Ffs::Session;
use IO::Select;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(time);

sub new
{
	my ($class, $connstr) = @_;
	my $self = bless { n => 0 }, $class;
	$self->{psql} = open2($self->{out}, $self->{in},
		"exec psql -X -q -A -t -v VERBOSITY=verbose -v SHOW_CONTEXT=never -d '$connstr' 2>&1");
	binmode $self->{out};
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	return $self;
}

# Runs SQL, gives what psql says; $while, if given, is called every 10 ms meanwhile.
sub query
{
	my ($self, $sql, $while) = @_;
	my $mark = 'done ' . ++$self->{n};
	print { $self->{in} } "$sql;\n\\echo $mark\n";
	$self->{in}->flush;
	my $select = IO::Select->new($self->{out});
	my $said = '';
	while ($said !~ /^$mark$/m)
	{
		if ($select->can_read($while ? 0.01 : undef))
		{
			# psql has ended
			if (!sysread($self->{out}, $said, 65536, length $said)) { $self->{gone} = 1; last; }
		}
		$while->($self) if $while;
	}
	$said =~ s/^$mark\n//m;
	chomp $said;
	return $said;
}

# Seconds of CPU that the backend has used.
sub cpu
{
	my ($self) = @_;
	open my $in, '<', "/proc/$self->{pid}/stat" or return 0;
	my @fields = split ' ', <$in> =~ s/^.*\) //r;
	return ($fields[11] + $fields[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# Megabytes of memory that are the backend's own (not those shared with others).
sub memory
{
	my ($self) = @_;
	open my $in, '<', "/proc/$self->{pid}/status" or return 0;
	my ($kb) = join('', <$in>) =~ /^RssAnon:\s+(\d+)/m;
	return ($kb // 0) / 1024;
}

sub close
{
	my ($self) = @_;
	close $self->{in};
	waitpid $self->{psql}, 0;
	return;
}

1;
