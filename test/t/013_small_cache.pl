# A small cache under a working set that is many times larger: rows of every
# length up to the longest that has a place, and longer ones, results of many
# sizes, and writes between them.  Memory stays flat, nothing fails, what is
# given is right, and rows go in at the end as they did in the beginning.
#
# FFS_CACHE_SECONDS says how long, FFS_CACHE_MB how large the working set is (1024
# for ten minutes and more, else 48), FFS_CACHE_CLIENTS how many ask.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use IPC::Run;
use List::Util qw(max min sum0);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $seconds = $ENV{FFS_CACHE_SECONDS} // 20;
my $mb = $ENV{FFS_CACHE_MB} // ($seconds >= 600 ? 1024 : 48);
my $clients = $ENV{FFS_CACHE_CLIENTS} // 2;
my $seed = $ENV{FFS_SEED} // int(rand(100_000));
note("FFS_SEED=$seed");

# A row has about 4,300 bytes on average.
my $rows = int($mb * 1048576 / 4300);
my $buffers = $mb > 200 ? 128 : 32;
my $node = ffs_node('small', conf => <<"CONF");
ffstorage.cache_size = 8MB
ffstorage.cache_max_row = 1MB
shared_buffers = ${buffers}MB
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 4GB
max_parallel_workers_per_gather = 0
CONF

sub one { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

one(<<"SQL");
CREATE EXTENSION ffstorage;
CREATE FUNCTION mixed(i bigint, n bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql AS \$\$ SELECT (hashint8extended(i, n) & 9007199254740991) \$\$;
-- Half the rows are short, one in fifty is about as long as any that has a place, or longer.
CREATE FUNCTION content(i bigint, turn bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS \$\$
	SELECT substr(repeat(md5(i::text || turn), (n / 32 + 1)::integer), 1, n::integer)
	FROM (SELECT CASE WHEN s < 50 THEN 1 + mixed(i, turn + 1) % 400 WHEN s < 75 THEN 200 + mixed(i, turn + 1) % 2000
		WHEN s < 90 THEN 2000 + mixed(i, turn + 1) % 6000 WHEN s < 98 THEN 8000 + mixed(i, turn + 1) % 30000
		ELSE 55000 + mixed(i, turn + 1) % 12000 END AS n FROM (SELECT mixed(i, turn) % 100 AS s) x) y
\$\$;
CREATE TABLE things (id bigint PRIMARY KEY, n integer, v text);
ALTER TABLE things ALTER v SET STORAGE EXTERNAL;
CREATE TABLE calm (id bigint PRIMARY KEY, n integer, v text);
SELECT ffs_manage('things', stamps => false), ffs_manage('calm', stamps => false);
INSERT INTO things SELECT i, i % 1000, content(i, 0) FROM generate_series(1, $rows) i;
INSERT INTO calm SELECT i, i % 100, left(content(i, 1), 300) FROM generate_series(1, 20000) i;
ANALYZE things;
ANALYZE calm;
SQL
my $working_set = one("SELECT pg_total_relation_size('things') / 1048576");

# ---- what the clients do ----

# A list of one of the tables, more or less wide and long.
my $list = q{'SELECT id, n, left(v, ' || 100 * :width || ') AS v FROM ' || CASE WHEN :what % 3 = 0 THEN 'things' ELSE 'calm' END
	|| ' WHERE id >= $1 AND id < $1 + $2 ORDER BY id'};
my $script = $node->basedir . '/load.sql';
append_to_file($script, <<"SQL");
\\set what random(1, 1000)
\\set k random(1, $rows)
\\set other random(1, $rows)
\\set turn random(1, 1000000)
\\if :what <= 500
	SELECT length(v) FROM ffs_get(NULL::things, :k::bigint);
\\elif :what <= 700
	SELECT count(*), sum(length(v)) FROM ffs_get_many(NULL::things, ARRAY(SELECT 1 + (:k::bigint + i * 7919) % $rows FROM generate_series(1, 20) i));
\\elif :what <= 850
	\\set many int(power(10, random(0, 3)))
	\\set width random(1, 2)
	\\set from 1 + random_zipfian(1, 20000, 1.2) / :many * :many
	SELECT count(*) FROM ffs_cached($list, NULL, :from::bigint, :many::bigint);
\\elif :what <= 920
	UPDATE things SET v = content(id, :turn) WHERE id = :k;
\\elif :what <= 940
	DELETE FROM things WHERE id = :k;
	SELECT count(*) FROM ffs_get(NULL::things, :k::bigint);
	INSERT INTO things VALUES (:k, 1, content(:k, :turn)) ON CONFLICT (id) DO NOTHING;
\\elif :what <= 960
	BEGIN;
	UPDATE things SET v = content(id, :turn) WHERE id = :k;
	SELECT length(v) FROM ffs_get(NULL::things, :k::bigint);
	ROLLBACK;
\\elif :what <= 980
	SELECT count(*) FROM ffs_get(NULL::things, -:k::bigint);
\\elif :what <= 995
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT length(v) FROM ffs_get(NULL::things, :k::bigint);
	SELECT length(v) FROM ffs_get(NULL::things, :other::bigint);
	COMMIT;
\\elif :what <= 999
	UPDATE calm SET n = n + 1 WHERE id = 1 + :k % 20000;
\\else
	SELECT ffs_cache_invalidate('calm');
\\endif
SQL

# ---- what is looked at meanwhile ----

my $watch = ffs_session($node);
my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

# Kilobytes of the processes: name => sum.
sub memory_of
{
	my (@pids) = @_;
	my %sum;
	foreach my $pid (@pids)
	{
		# it may have ended
		open my $in, '<', "/proc/$pid/smaps_rollup" or next;
		while (my $line = <$in>) { $sum{$1} += $2 if $line =~ /^(\w+): +(\d+) kB/; }
		close $in;
	}
	return %sum;
}

sub sample
{
	my $pids = $watch->query("SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name = 'load'");
	my %mine = memory_of(split ' ', $pids);
	my @all = `ps -o pid= --ppid $postmaster`;
	chomp @all;
	my %all = memory_of($postmaster, map { s/\s//gr } @all);
	my @names = qw(hits misses fills refused evictions invalidations result_hits result_misses result_fills result_refused used_bytes capacity_bytes);
	my @figures = split /\|/, $watch->query('SELECT ' . join(', ', @names) . ' FROM ffs_stat_cache');
	my %s = (time => time, anon => $mine{Anonymous} // 0, rss => $mine{Rss} // 0, shared => $all{Pss_Shmem} // 0, pss => $all{Pss} // 0);
	@s{@names} = @figures;
	# what is given against what is there, in one snapshot
	my $k = int(rand($rows));
	$s{wrong} = $watch->query("SELECT count(*) FILTER (WHERE a IS DISTINCT FROM b) FROM (SELECT (SELECT t::text FROM things t WHERE id = k) AS a, (SELECT g::text FROM ffs_get(NULL::things, k) g) AS b FROM (SELECT 1 + ($k + i * 101::bigint) % $rows AS k FROM generate_series(1, 50) i) x) y");
	my ($of, $from, $many) = (rand() < 0.5 ? 'calm' : 'things', 1 + int(rand(20)) * 1000, 10**int(rand(4)));
	my $query = "SELECT id, n, left(v, 50) AS v FROM $of WHERE id >= \$1 AND id < \$1 + \$2 ORDER BY id";
	my $plain = $query =~ s/\$1/$from/gr =~ s/\$2/$many/gr;
	$s{wrong} += $watch->query("SELECT ((SELECT jsonb_agg(to_jsonb(q)) FROM ($plain) q) IS DISTINCT FROM (SELECT jsonb_agg(c) FROM ffs_cached('$query', NULL, $from\::bigint, $many\::bigint) c))::integer");
	return \%s;
}

my $database = $node->connstr('postgres') . ' application_name=load';
my ($out, $err) = ('', '');
my $load = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', $clients, '-j', 2, '-T', $seconds, '--random-seed', $seed, '-f', $script, $database ],
	'>', \$out, '2>', \$err);
my $start = time;
my $step = max(0.5, min(5, $seconds / 120));
my @samples;
while (time < $start + $seconds - $step / 2)
{
	sleep $step;
	$load->pump_nb;
	last unless $load->pumpable;
	push @samples, sample();
}
$load->finish;

# ---- what was found ----

is($load->result // '', '', 'the clients ended well') or diag($err);
unlike($err, qr/error|aborted/i, 'and had no errors');
my ($transactions) = $out =~ /actually processed: (\d+)/;
cmp_ok(scalar @samples, '>', 10, 'there are samples');

my $third = int(@samples / 3);
my @part = ([ @samples[ 0 .. $third - 1 ] ], [ @samples[ $third .. 2 * $third - 1 ] ], [ @samples[ 2 * $third .. $#samples ] ]);
sub most { my ($name, $part) = @_; return max(map { $_->{$name} } @$part); }
# What a figure grew by in a part, per second.
sub rate
{
	my ($name, $part) = @_;
	my ($first, $last) = @$part[ 0, -1 ];
	return ($last->{$name} - $first->{$name}) / ($last->{time} - $first->{time});
}

note(sprintf 'figure: %d s, %d clients, %d transactions, %d MB of rows under a cache of %.1f MB', $seconds, $clients, $transactions, $working_set, $samples[0]{capacity_bytes} / 1048576);
foreach my $i (0 .. 2)
{
	my $part = $part[$i];
	note(sprintf 'figure: third %d: MB of the backends their own %.1f, resident %.1f; of all processes together shared %.1f, proportional %.1f; used %.2f; a second %.0f hits, %.0f misses, %.0f fills, %.1f refused, %.0f evictions, %.0f invalidations; of results %.0f hits, %.0f misses, %.0f fills',
		$i + 1, (map { most($_, $part) / 1024 } qw(anon rss shared pss)), most('used_bytes', $part) / 1048576, map { rate($_, $part) } qw(hits misses fills refused evictions invalidations result_hits result_misses result_fills));
}
# Freed memory may stay with the allocator: a little is allowed, growth is not.
cmp_ok(most('anon', $part[2]), '<', most('anon', $part[1]) + 4096 * $clients, q{the backends' own memory does not grow});
cmp_ok(most('rss', $part[2]), '<', most('rss', $part[1]) + 8192 * $clients, 'nor does what is resident in them');
cmp_ok(most('shared', $part[2]), '<', most('shared', $part[1]) + 4096, 'nor does shared memory');
cmp_ok(most('used_bytes', \@samples), '<=', $samples[0]{capacity_bytes}, 'the cache stays within its bounds');
cmp_ok(min(map { $_->{used_bytes} } @{ $part[2] }), '>', 0.5 * $samples[0]{capacity_bytes}, 'and is used');
cmp_ok($samples[-1]{evictions}, '>', 100, 'rows made room for others');
foreach my $kind ('', 'result_')
{
	my ($in_the_beginning, $in_the_end) = map { rate("${kind}fills", $part[$_]) / rate("${kind}misses", $part[$_]) } 0, 2;
	cmp_ok($in_the_end, '>', 0.95 * $in_the_beginning, "${kind}misses go in as often as in the beginning");
	cmp_ok($samples[-1]{"${kind}hits"}, '>', 100, "there were ${kind}hits");
}
is(sum0(map { $_->{wrong} } @samples), 0, 'what is given is what is there');

# ---- and rows of the largest size go in ----

my $largest = one('SELECT max_row_bytes FROM ffs_stat_cache');
one("DELETE FROM things WHERE id BETWEEN 1 AND 200; INSERT INTO things SELECT i, 1, repeat('x', 1000) FROM generate_series(1, 200) i");
my $beside = one('SELECT pg_column_size(g) - 1000 FROM ffs_get(NULL::things, 1) g');
one("UPDATE things SET v = repeat('y', $largest - $beside) WHERE id BETWEEN 1 AND 200");
is(one('SELECT max(pg_column_size(g)) FROM generate_series(1, 200) i, ffs_get(NULL::things, i) g'), $largest, 'rows as long as any may be');
my ($went_in, $given) = (0, 0);
foreach my $i (1 .. 200)
{
	my $before = one('SELECT fills, hits FROM ffs_stat_cache');
	one("SELECT ffs_get(NULL::things, $i)") foreach 1, 2;
	my ($fills, $hits) = split /\|/, $before;
	my ($new_fills, $new_hits) = split /\|/, one('SELECT fills, hits FROM ffs_stat_cache');
	$went_in += $new_fills + $new_hits >= $fills + $hits + 2;
	$given += $new_hits > $hits;
}
is($went_in, 200, 'each of them goes in');
is($given, 200, 'and is given');

my $log = slurp_file($node->logfile);
is($log =~ /(.*(?:was terminated by signal|TRAP:|PANIC|FATAL|ERROR).*)/ ? $1 : '', '', 'nothing is complained of in the log');
$watch->close;
$node->stop;
done_testing();
