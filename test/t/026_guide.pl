# docs/production.md as it stands: its settings start servers, its SQL runs in
# the order of the page, and its list before going live finds nothing, until
# something is wrong.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = test_dir() . '/../docs';
my $page = slurp_file("$docs/production.md");
my @blocks = map { [ split /\n/, $_, 2 ] } $page =~ /^```(\w+\n.*?)^```$/msg;
my @settings = map { $_->[1] } grep { $_->[0] eq 'ini' } @blocks;
my @sql = map { $_->[1] } grep { $_->[0] eq 'sql' } @blocks;

# ---- links ----

my %pages;
sub anchors
{
	my ($file) = @_;
	return $pages{$file} //= do
	{
		my $text = slurp_file($file);
		my %found = map { $_ => 1 } $text =~ /<a id="([^"]+)">/g;
		foreach my $title ($text =~ /^#+ (.+)$/mg)
		{
			$title = lc $title;
			$title =~ s/[^\w\- ]//g;
			$title =~ s/ /-/g;
			$found{$title} = 1;
		}
		\%found;
	};
}
foreach my $file ('production.md', 'runbook.md', '../monitoring/README.md')
{
	my ($folder) = "$docs/$file" =~ m{^(.*)/};
	my @lost;
	foreach my $link (slurp_file("$docs/$file") =~ /\]\(([^)]+)\)/g)
	{
		my ($to, $anchor) = split /#/, $link;
		my $target = $to ? "$folder/$to" : "$docs/$file";
		push @lost, $link if !-e $target || (defined $anchor && !anchors($target)->{$anchor});
	}
	is(join(' ', @lost), '', "$file: links lead somewhere");
}

# ---- settings ----

my $node = ffs_node('guide');
foreach my $setting (@settings)
{
	# this machine may have less memory than the one that they are for
	my $conf = $setting =~ s/^(shared_buffers|ffstorage.cache_size) = .*$/$1 = 64MB/mgr;
	$node->append_conf('postgresql.conf', $conf);
	$node->stop;
	ok($node->start(fail_ok => 1), 'a server starts with these settings') or BAIL_OUT($conf);
	my %want = $conf =~ /^([\w.]+) = ([^#\n]*?)\s*(?:#.*)?$/mg;
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"), 0, 'all of which are known');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_settings WHERE name = ANY(ARRAY[' . join(', ', map { "'$_'" } keys %want) . '])'),
		scalar keys %want, 'and there');
}

# ---- SQL ----

cmp_ok(scalar @sql, '>=', 12, 'there is SQL');
my ($list) = grep { /Before|preloaded, and of one version/ } @sql;
my $session = ffs_session($node);
foreach my $n (0 .. $#sql)
{
	next if $sql[$n] eq $list;
	my ($title) = split /\n/, $sql[$n];
	my ($rc, $out, $err) = $node->psql('postgres', "SET search_path = shop, public;\n$sql[$n]", on_error_stop => 1);
	is($rc, 0, "runs: $title") or diag $err;
	is(join("\n", grep { !/NOTICE/ } grep { /ERROR|WARNING/ } split /\n/, $err), '', 'without a warning');
}
is($node->safe_psql('postgres', q{SELECT string_agg(rejected, ',') FROM (SELECT count(*)::text AS rejected FROM shop.orders) o}), 1, 'the batch had one good row');
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.orders_history'), 1, 'what was deleted and restored has its past');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ffs_transactions WHERE traceparent LIKE '%4bf92f3577b34da6a3ce929d0e0e4736%' AND actor = 'ana@acme.io'}), 1,
	'the trace is kept');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM shop.customers_audit JOIN ffs_transactions USING (transaction_id) WHERE traceparent IS NOT NULL}), 't',
	'and found from the audit');

# ---- errors ----

my @errors = split /\n/, $node->safe_psql('postgres', q{SELECT format('| %s | %s | %s | %s |', sqlstate, condition, meaning, remedy) FROM ffs_errors ORDER BY sqlstate});
is_deeply([ slurp_file("$docs/reference.md") =~ /^(\| ZF\d+ \|.*)$/mg ], \@errors, 'the reference has the errors as ffs_errors has them');
is_deeply([ slurp_file("$docs/clients.md") =~ /^\| (ZF\d+ \| `\w+`)/mg ], [ map { /^\| (\w+) \| (\w+)/ && "$1 | `$2`" } @errors ],
	'and the page for clients says what to do with each');

# ---- before you go live ----

sub list { my $out = $node->safe_psql('postgres', "SET search_path = shop, public;\n$list"); return $out; }
is(list(), 'healthy', 'the list finds nothing');
foreach my $wrong (
	[ 'a table that is not managed', 'CREATE TABLE shop.more (id integer)', 'DROP TABLE shop.more' ],
	[ 'no tenant column', q{CREATE TABLE shop.more (id integer PRIMARY KEY); SELECT ffs_manage('shop.more')}, 'DROP TABLE shop.more' ],
	[ 'a trigger that is off', 'ALTER TABLE shop.orders DISABLE TRIGGER ffstorage_begin', 'ALTER TABLE shop.orders ENABLE TRIGGER ffstorage_begin' ],
	[ 'a role that is too strong', 'ALTER ROLE shop_app BYPASSRLS', 'ALTER ROLE shop_app NOBYPASSRLS' ],
	[ 'a role that owns the tables', 'GRANT shop_owner TO shop_app', 'REVOKE shop_owner FROM shop_app' ],
	[ 'an index that is missing', 'DROP INDEX shop.orders_tenant_id_customer_id_idx', 'CREATE INDEX ON shop.orders (tenant_id, customer_id)' ],
	[ 'a limit that was forgotten', 'ALTER ROLE shop_app RESET lock_timeout', q{ALTER ROLE shop_app SET lock_timeout = '3s'} ])
{
	my ($what, $make, $mend) = @$wrong;
	$node->safe_psql('postgres', $make);
	isnt(list(), 'healthy', "it finds $what");
	$node->safe_psql('postgres', $mend);
	is(list(), 'healthy', 'until that is mended');
}

$node->stop;
done_testing();
