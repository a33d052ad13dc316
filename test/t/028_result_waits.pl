# One at a time: who misses a result that another session is just making waits
# for it, once, whatever becomes of it.  The query takes as long as somebody
# holds a lock, without waiting for any; that a session has come so far is
# looked up in pg_stat_activity.  (An isolation test knows waits for locks only.)
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Ffs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = ffs_node('waits', conf => "ffstorage.cache_size = 16MB\n");
$node->safe_psql('postgres', $_) foreach <<'SQL', q{SELECT count(*) FROM ffs_cached('SELECT v FROM list')};
CREATE EXTENSION ffstorage;
CREATE TABLE list (id integer PRIMARY KEY, v text);
SELECT ffs_manage('list', stamps => false);
INSERT INTO list VALUES (1, 'v0');
CREATE FUNCTION slowly(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	WHILE NOT pg_try_advisory_lock_shared(7) LOOP PERFORM pg_sleep(0.01); END LOOP;
	PERFORM pg_advisory_unlock_shared(7);
	RETURN v;
END $$;
SQL

my ($h, $f, $r, $o, $w) = map { ffs_session($node) } 1 .. 5;
my $slow = q{SELECT x->>'v' FROM ffs_cached('SELECT slowly(v) AS v FROM list') x};
my $rows = 0;

# Gives the values, each once, of what $do does while $who waits at $event.
sub when
{
	my ($who, $event, $do) = @_;
	my $done = 0;
	return sub {
		return if $done || $h->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $who->{pid} AND wait_event = '$event'") eq '0';
		$done = 1;
		$do->();
	};
}

sub while_f_runs { my ($do) = @_; return $f->query($slow, when($f, 'PgSleep', $do)); }
sub begin
{
	$h->query("UPDATE list SET v = 'v" . ++$rows . "'");
	$h->query('SELECT ffstorage.cache_reset()');
	$h->query('SELECT pg_advisory_lock(7)');
	return;
}
sub go_on { return $h->query('SELECT pg_advisory_unlock_all()'); }
sub counts { return $h->query('SELECT result_fills, result_waits, result_hits, result_misses FROM ffs_stat_cache'); }

# Who waits is given what the other one found.
begin();
my ($of_r, $of_o);
is(while_f_runs(sub { $of_r = $r->query($slow, when($r, 'Extension', \&go_on)) }), 'v1', 'one runs the query');
is($of_r, 'v1', 'another waits for it');
is(counts(), '1|1|1|1', 'and is given what was found');

# Two of them.
begin();
while_f_runs(sub { $of_r = $r->query($slow, when($r, 'Extension', sub { $of_o = $o->query($slow, when($o, 'Extension', \&go_on)) })) });
is("$of_r $of_o", 'v2 v2', 'two wait');
is(counts(), '1|2|2|1', 'and are given what was found');

# Another query does not wait.
begin();
while_f_runs(sub { $of_r = $r->query(q{SELECT x->>'v' FROM ffs_cached('SELECT v FROM list') x}); go_on() });
is($of_r, 'v3', 'another query does not wait');
is(counts(), '2|0|0|2', 'and is kept as well');

# The other one fails, or its backend is gone: who waited runs the query.
begin();
like(while_f_runs(sub { $of_r = $r->query($slow, when($r, 'Extension', sub { $h->query("SELECT pg_cancel_backend($f->{pid})"); go_on() })) }),
	qr/57014/, 'who runs it is cancelled');
is($of_r, 'v4', 'who waited runs it');
is(counts(), '1|1|0|2', 'and keeps it');
begin();
while_f_runs(sub { $of_r = $r->query($slow, when($r, 'Extension', sub { $h->query("SELECT pg_terminate_backend($f->{pid})"); go_on() })) });
is($of_r, 'v5', 'who runs it is terminated, and who waited runs it');
$f = ffs_session($node);

# Who waits is cancelled.
begin();
is( while_f_runs(sub {
		$of_r = $r->query($slow, when($r, 'Extension', sub { $o->query("SELECT pg_cancel_backend($r->{pid})") }));
		go_on();
	}),
	'v6', 'who waits is cancelled, and nobody else');
like($of_r, qr/57014/, 'it is told so');
is($r->query($slow), 'v6', 'and asks again');

# A change meanwhile, which who waits sees, or does not see.
begin();
while_f_runs(sub {
	$w->query(q{UPDATE list SET v = 'seen'});
	$of_r = $r->query($slow, when($r, 'Extension', \&go_on));
});
is($of_r, 'seen', 'who sees a change is given it, though who ran the query did not see it');
is($o->query($slow), 'seen', 'and it is what is kept');
begin();
$o->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM list');
while_f_runs(sub {
	$w->query(q{UPDATE list SET v = 'unseen'});
	$of_o = $o->query($slow, when($o, 'Extension', \&go_on));
});
is($of_o, "v$rows", 'who does not see it is not given it');
$o->query('COMMIT');
is($r->query($slow), 'unseen', 'who comes later is');

# Who waits for a lock is not waited for: the lock may be the waiter's own.
begin();
$f->query(q{SET ffstorage.debug_points = 'result-keep'});
$w->query(q{SELECT pg_advisory_lock(hashtextextended('result-keep', 0))});
go_on();
$f->query($slow, when($f, 'advisory', sub { $of_r = $r->query($slow); $w->query('SELECT pg_advisory_unlock_all()') }));
is($of_r, "v$rows", 'who waits for a lock is not waited for');

$_->close foreach $h, $f, $r, $o, $w;
$node->stop;
done_testing();
