# The read-mostly mix: what a cache takes off the tables.
#
# Of 100 transactions 98 read and 2 write.  Of those that read, 9 in 10 read a
# row by key, keys being Zipf-distributed, and 1 in 10 a list of all rows of one
# tenant, each as likely as the others.  Writes change one row, of any tenant.
# All as a role that row-level security binds.  The same transactions run three
# times, each time on tables of their own: in plain SQL, through ffs_get and
# ffs_cached with the cache off, and with the cache.
#
#   mix.pl --client PROGRAM --pgbench PROGRAM [--transactions N] [--tenants N] [--rows N]
#          [--zipf S] [--clients N] [--seed N] [--quick] [--out FILE.md] [--about TEXT]
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Getopt::Long;
use Time::HiRes qw(time);
use lib dirname(abs_path(__FILE__)) . '/lib';
use Bench::Client;
use Bench::Database qw(make_database);
use Bench::Report;
use Bench::Stats qw(number);

my $home = dirname(abs_path(__FILE__));
my %set = (pgbench => 'pgbench', tenants => 100, rows => 2000, zipf => 1.07, clients => 2, seed => 1);
GetOptions(\%set, 'client=s', 'pgbench=s', 'transactions=i', 'tenants=i', 'rows=i', 'zipf=f', 'clients=i', 'seed=i', 'quick', 'out=s', 'about=s')
  or exit 2;
$set{transactions} //= $set{quick} ? 10_000 : 100_000;
$Bench::Client::program = $set{client} // die "--client is needed\n";
$| = 1;
$SIG{$_} = sub { exit 1; } foreach qw(INT TERM HUP);
binmode STDOUT, ':encoding(UTF-8)';

my $all_rows = $set{tenants} * $set{rows};
my $work = tempdir('ffs-mix-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my ($admin, $postmaster);

# ---- the transactions ----

my $list = 'SELECT id, customer, status, value, due FROM t ORDER BY due DESC';
my %reads = (
	plain => { key => q{SELECT * FROM t WHERE id = md5('row ' || :n)::uuid}, list => $list },
	calls => { key => q{SELECT * FROM ffs_get(NULL::t, md5('row ' || :n)::uuid)}, list => "SELECT ffs_cached('$list')" });

sub script
{
	my ($reads) = @_;
	my $tenant = sub { return "SELECT ffs_set_tenant(md5('tenant ' || $_[0])::uuid::text);" };
	return <<"SQL";
\\set kind random(1, 1000)
\\set n 1 + random_zipfian(1, $all_rows, $set{zipf}) * 7919 % $all_rows
\\set written random(1, $all_rows)
\\set listed random(0, $set{tenants} - 1)
\\set tenant :n % $set{tenants}
BEGIN;
\\if :kind <= 20
\\set tenant :written % $set{tenants}
${\ $tenant->(':tenant')}
UPDATE t SET value = value + 1 WHERE id = md5('row ' || :written)::uuid;
\\elif :kind <= 902
${\ $tenant->(':tenant')}
$reads->{key};
\\else
${\ $tenant->(':listed')}
$reads->{list};
\\endif
COMMIT;
SQL
}

# ---- one run ----

# Which of the rows below a statement belongs to.
my %kind_of = (
	'row by key' => q{toplevel AND query ~ '^SELECT \* FROM (t|ffs_get)\M'},
	'list' => q{toplevel AND query ~ 'ORDER BY due|ffs_cached'},
	'write' => q{toplevel AND query ~ '^UPDATE'},
	'other' => q{toplevel AND query ~ 'ffs_set_tenant'},
	'list, on the tables' => q{query ~ 'ORDER BY due' AND query !~ 'ffs_cached'});

sub load
{
	my ($run, $transactions, $seed) = @_;
	local $ENV{PGOPTIONS} = "-c search_path=$run->{schema},public -c role=app $run->{options}";
	my $each = int($transactions / $set{clients}) || 1;
	my $text = `$set{pgbench} -n -M prepared -c $set{clients} -j $set{clients} -t $each --random-seed=$seed -f $run->{script} 2>&1`;
	die "pgbench: $text\n" if $? || $text !~ /actually processed: (\d+)/;
	return $1;
}

sub prepare
{
	my ($run) = @_;
	$admin->run_sql("CREATE SCHEMA $run->{schema}");
	my $maker = Bench::Client->new("-c search_path=$run->{schema},public");
	$maker->run_sql($_) foreach 'SELECT bench_table()', q{SELECT ffs_manage('t', strategy => 'scd2', tenant_column => 'tenant_id')},
	  "SELECT bench_fill($all_rows, $set{tenants})";
	$maker->close;
	$admin->run_sql("VACUUM ANALYZE $run->{schema}.t");
	$run->{script} = "$work/$run->{schema}.sql";
	open my $out, '>', $run->{script} or die "$run->{script}: $!\n";
	print $out script($run->{reads});
	close $out;
	return;
}

sub count_blocks
{
	my ($run) = @_;
	return $admin->value("SELECT sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)
		+ coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_read, 0) + coalesce(tidx_blks_hit, 0))
		FROM pg_statio_user_tables WHERE schemaname = '$run->{schema}' AND relname = 't'");
}

sub measure
{
	my ($run) = @_;
	# What is used again and again is in memory, whichever that is.
	load($run, $set{transactions} / 5, $set{seed} + 1);
	$admin->run_sql('CHECKPOINT');
	$admin->run_sql('SELECT ffstorage.cache_reset(), pg_stat_statements_reset()');
	my $blocks = count_blocks($run);
	my $cpu = Bench::Client::ended_children($postmaster);
	my $start = time;
	$run->{transactions} = load($run, $set{transactions}, $set{seed});
	$run->{seconds} = time - $start;
	# The figures come in when the sessions have ended.
	sleep 1;
	$run->{cpu} = Bench::Client::ended_children($postmaster) - $cpu;
	$run->{table_blocks} = count_blocks($run) - $blocks;
	foreach my $kind (sort keys %kind_of)
	{
		my ($found) = $admin->rows("SELECT coalesce(sum(calls), 0), coalesce(sum(rows), 0), coalesce(sum(shared_blks_hit + shared_blks_read), 0), coalesce(sum(total_exec_time), 0)
			FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND userid = 'app'::regrole AND $kind_of{$kind}");
		@{ $run->{kinds}{$kind} }{qw(calls rows blocks ms)} = @$found;
	}
	my @names = qw(hits misses bypassed hit_ratio fills refused evictions invalidations result_hits result_misses result_bypassed result_hit_ratio
	  result_fills result_refused result_waits entries used_bytes capacity_bytes);
	my ($cache) = $admin->rows('SELECT ' . join(', ', @names) . ' FROM ffs_stat_cache');
	@{ $run->{cache} }{@names} = @$cache if $cache;
	$run->{state} = $admin->value("SELECT md5(string_agg(id::text || value, '' ORDER BY id)) FROM $run->{schema}.t");
	return;
}

# ---- what came out ----

sub total
{
	my ($run, $what, @kinds) = @_;
	my $sum = 0;
	$sum += $run->{kinds}{$_}{$what} foreach @kinds;
	return $sum;
}

sub fall
{
	my ($from, $to) = @_;
	return $from > 0 ? sprintf('%.1f %%', 100 * (1 - $to / $from)) : '';
}

sub report_runs
{
	my ($report, $plain, $off, $on) = @_;
	my @all = ('row by key', 'list', 'write', 'other');
	my @lines = ([ 'of all transactions', 'plain SQL', 'cache off', 'cache on', 'less than off', 'less than plain' ]);
	my $line = sub {
		my ($name, @values) = @_;
		push @lines, [ $name, map({ sprintf '%.0f', $_ } @values), fall(@values[ 1, 2 ]), fall(@values[ 0, 2 ]) ];
	};
	foreach my $what ([ 'blocks', 'blocks, ' ], [ 'ms', 'execution ms, ' ])
	{
		foreach my $kind (@all)
		{
			$line->("$what->[1]$kind", map { $_->{kinds}{$kind}{ $what->[0] } } $plain, $off, $on) if $what->[0] eq 'ms' || $kind ne 'other';
		}
		$line->("$what->[1]all statements", map { total($_, $what->[0], @all) } $plain, $off, $on);
		# What ffs_cached ran, instead of what it took to give the rows out.
		$line->("$what->[1]on the tables", map { total($_, $what->[0], 'row by key', 'list, on the tables', 'write') } $plain, $off, $on);
	}
	$line->('blocks of the table (pg_statio_user_tables)', map { $_->{table_blocks} } $plain, $off, $on);
	$line->('CPU of the backends, ms', map { 1000 * $_->{cpu} } $plain, $off, $on);
	$report->table("$set{transactions} transactions, $set{clients} clients, $set{tenants} tenants of $set{rows} rows, keys Zipf($set{zipf})", @lines);

	my $calls = [ 'calls of a kind', 'plain SQL', 'cache off', 'cache on' ];
	$report->table('the same was done', $calls,
		map({ my $kind = $_; [ "$kind: calls", map { $_->{kinds}{$kind}{calls} } $plain, $off, $on ], [ "$kind: rows", map { $_->{kinds}{$kind}{rows} } $plain, $off, $on ] } @all[ 0 .. 2 ]),
		[ 'transactions a second', map { sprintf '%.0f', $_->{transactions} / $_->{seconds} } $plain, $off, $on ]);

	my $cache = $on->{cache};
	$report->table('ffs_stat_cache, cache on', [ 'figure', 'value' ], map { [ $_, $cache->{$_} =~ /\.\d/ ? sprintf('%.3f', $cache->{$_}) : $cache->{$_} ] } sort keys %$cache)
	  if $cache;
	return;
}

# Reads and writes were the same in all three.
sub check_runs
{
	my ($plain, @others) = @_;
	my $wrong = 0;
	foreach my $run (@others)
	{
		foreach my $kind ('row by key', 'list', 'write')
		{
			foreach my $what (qw(calls rows))
			{
				my ($is, $should) = map { $_->{kinds}{$kind}{$what} } $run, $plain;
				next if $is == $should;
				print "$run->{name}: $is $what of \"$kind\", and $should in plain SQL\n";
				$wrong++;
			}
		}
		next if $run->{state} eq $plain->{state};
		print "$run->{name}: the table is another one in the end\n";
		$wrong++;
	}
	return $wrong;
}

sub main
{
	($admin, $postmaster) = make_database("$home/setup.sql");
	$admin->run_sql('CREATE EXTENSION pg_stat_statements');
	my $report = Bench::Report->new($set{out}, $set{about}, $admin);
	my @runs = (
		{ name => 'plain SQL', schema => 'mix_plain', reads => $reads{plain}, options => '' },
		{ name => 'cache off', schema => 'mix_off', reads => $reads{calls}, options => '-c ffstorage.cache=off' },
		{ name => 'cache on', schema => 'mix_on', reads => $reads{calls}, options => '' });
	prepare($_) foreach @runs;
	measure($_) foreach @runs;
	report_runs($report, @runs);
	my $wrong = check_runs(@runs);
	$report->finish;
	$admin->close;
	return $wrong ? 1 : 0;
}

exit main();
