/*
 * The protocol of src/cache/store.c for one key: writers, fillers, readers.
 *
 *   spin -DWRITERS=2 -a cache.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * What is checked: an entry that a reader may use is what its snapshot sees in
 * the table.  The mutations that a macro switches on break the protocol, each
 * at one point, and the check must find every one (test/t/cache.pl):
 *
 *   -DNO_REMOVE     the fence leaves the key's entry in
 *   -DNO_FENCE      fills do not look at the bucket's set
 *   -DONE_ID        the set is the greatest id alone, taken as seen if that is
 *   -DLATE_FENCE    the writer fences after its end can be seen
 *   -DANY_READER    entries are used whatever the reader's snapshot sees
 *   -DNO_GENERATION changes of the table as a whole do not count
 *   -DNO_NOTE       they are not noted in the table's set
 *   -DNO_INSERTS    negative entries do not obey inserts whose keys are not told
 *
 * With -DPEEK readers take no lock: fences and fills are made step by step
 * between two counts of `changes`, and a reader keeps what it has copied for
 * as long as that stays the same (fills are few then, FILLS, and fences late
 * only).  The mutations:
 *
 *   -DNO_RECHECK    a reader does not look at `changes` again after it has read
 *   -DNO_ODD        nor does it heed that changes are under way
 *   -DFENCE_UNSAID  a fence does not count `changes`
 *   -DKEEP_COPY     a copy is used again whatever `changes` is
 *
 * Transactions have the ids 1 to WRITERS in the order in which they begin.  A
 * snapshot is the set of those that have finished, as bits, and its xmin the
 * least id that has not.  The table holds a chain of versions of the key, each
 * by the transaction that made it; a version may be "gone".  The row's lock
 * keeps writers of the chain one after another.
 */
#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef FILLERS
#define FILLERS 1
#endif
#ifndef FILLS
#define FILLS 2
#endif
#define MAXIMUM (WRITERS + 1)
#define BIT(x) (1 << (x))

/* what a writer is */
mtype = { told, whole, untold_insert };

byte next_xid = 1;
byte finished = 1;				/* bit 0: the row that was there from the start */
byte aborted = 0;

/* the chain: who made each version, and whether it says that the row is gone */
byte length = 1;
byte made_by[MAXIMUM];
bool gone[MAXIMUM];
bool row_locked = false;

/* the bucket's set, the table's, and that of inserts: one kept id each, and `before` */
byte kept[3];
byte before[3];
#define BUCKET 0
#define TABLE 1
#define INSERTS 2
byte generation = 0;
byte insert_generation = 0;

/* the entry of the key */
bool there = false;
bool negative;
byte entry_xmin;
byte entry_version;				/* its place in the chain; what the table must give */
byte entry_generation;
byte entry_insert_generation;

/* the partition */
bool locked = false;
byte changes = 0;

#ifdef PEEK
inline begin_changes() { atomic { !locked -> locked = true; changes++ } }
inline end_changes() { changes++; locked = false }
#else
inline begin_changes() { skip }
inline end_changes() { skip }
#endif

inline note(set, xid)
{
	if
	:: kept[set] == xid
	:: else ->
#ifdef ONE_ID
		if
		:: xid > kept[set] -> kept[set] = xid
		:: else
		fi
#else
		if
		:: kept[set] > before[set] -> before[set] = kept[set]
		:: else
		fi;
		kept[set] = xid
#endif
	fi
}

/* does the snapshot see all of the set? */
#define SEES(set, snapshot, xmin) ((kept[set] == 0 || (snapshot & BIT(kept[set]))) && before[set] < xmin)

inline take_snapshot(snapshot, xmin)
{
	atomic {
		snapshot = finished;
		xmin = 1;
		do
		:: xmin < MAXIMUM && (snapshot & BIT(xmin)) -> xmin++
		:: else -> break
		od
	}
}

/* the place in the chain of what the snapshot sees; versions of aborted ones are out of the chain */
inline find_visible(snapshot, version)
{
	version = length - 1;
	do
	:: snapshot & BIT(made_by[version]) -> break
	:: else -> version--
	od
}

/* a writer that tells its keys fences this one */
inline fence_told(xid)
{
#ifdef PEEK
#ifdef FENCE_UNSAID
	atomic { !locked -> locked = true }
#else
	begin_changes();
#endif
	atomic { note(BUCKET, xid) }
	there = false;
#ifdef FENCE_UNSAID
	locked = false
#else
	end_changes()
#endif
#elif !defined(LATE_FENCE)
	atomic {
		note(BUCKET, xid);
#ifndef NO_REMOVE
		there = false
#endif
	}
#else
	skip
#endif
}

proctype Writer()
{
	byte xid;
	bool fenced = false;
	mtype kind;

	if
	:: kind = told
	:: kind = whole
#ifndef PEEK
	:: kind = untold_insert
#endif
	fi;
	atomic { xid = next_xid; next_xid++ }

	/* the fence */
	atomic { !row_locked -> row_locked = true }
	if
	:: kind == told ->
		/* now, or when it is about to end */
#ifdef PEEK
		skip
#else
		if
		:: fence_told(xid); fenced = true
		:: true
		fi
#endif
	:: kind == untold_insert ->
		if
		:: gone[length - 1] ->
			atomic {
#ifndef NO_INSERTS
				note(INSERTS, xid);
				insert_generation++
#else
				skip
#endif
			}
		:: else -> goto abort	/* unique_violation */
		fi
	:: else
	fi;

	/* the change, which nobody else sees yet */
	atomic {
		made_by[length] = xid;
		gone[length] = false;
		if
		:: kind != untold_insert -> gone[length] = true
		:: true
		fi;
		length++
	}

	if
	:: goto rollback
	:: true
	fi;
	if
	:: kind == told && !fenced -> fence_told(xid)
	:: kind == whole ->
		atomic {
#ifndef NO_NOTE
			note(TABLE, xid);
#endif
#ifndef NO_GENERATION
			generation++;
#endif
			skip
		}
	:: else
	fi;
	finished = finished | BIT(xid);
#ifdef LATE_FENCE
	if
	:: kind == told -> atomic { note(BUCKET, xid); there = false }
	:: else
	fi;
#endif
	row_locked = false;
	goto done;

rollback:
	atomic { length--; made_by[length] = 0; gone[length] = false }
abort:
	finished = finished | BIT(xid);
	row_locked = false;
done:
	skip
}

proctype Filler()
{
	byte snapshot, xmin, version, seen_generation, seen_inserts;
	bool may;
#ifdef PEEK
	byte n = 0;
#define MORE_FILLS n < FILLS ->
#else
#define MORE_FILLS
#endif

	do
	:: MORE_FILLS take_snapshot(snapshot, xmin);
		d_step { find_visible(snapshot, version) }
		/* the table fence's lock, then the bucket's */
		atomic {
			seen_generation = generation;
			seen_inserts = insert_generation;
			may = SEES(TABLE, snapshot, xmin) && (!gone[version] || SEES(INSERTS, snapshot, xmin))
		}
#ifdef PEEK
		begin_changes();
		if
		:: may && SEES(BUCKET, snapshot, xmin) ->
			/* the blocks may be another entry's: it goes first */
			there = false;
			negative = gone[version];
			entry_xmin = made_by[version];
			entry_version = version;
			entry_generation = seen_generation;
			entry_insert_generation = seen_inserts;
			there = true
		:: else
		fi;
		end_changes();
		n++;
		atomic { snapshot = 0; xmin = 0; version = 0; seen_generation = 0; seen_inserts = 0; may = false }
#else
		atomic {
			if
#ifdef NO_FENCE
			:: may ->
#else
			:: may && SEES(BUCKET, snapshot, xmin) ->
#endif
				there = true;
				negative = gone[version];
				entry_xmin = made_by[version];
				entry_version = version;
				entry_generation = seen_generation;
				entry_insert_generation = seen_inserts
			:: else
			fi;
			snapshot = 0; xmin = 0; version = 0; seen_generation = 0; seen_inserts = 0; may = false
		}
#endif
	:: break
	od
}

#ifdef PEEK
proctype Reader()
{
	byte snapshot, xmin, version, seen = 0;
	bool copied = false;
	bool copy_there, copy_negative, usable;
	byte copy_xmin, copy_version, copy_generation, copy_insert_generation;

	do
	:: take_snapshot(snapshot, xmin);
		/* what was copied before, or read it anew, field by field */
		if
#ifdef KEEP_COPY
		:: copied
#else
		:: copied && seen == changes
#endif
		:: true ->
			copied = false;
			seen = changes;
#ifndef NO_ODD
			if
			:: seen & 1 -> goto again
			:: else
			fi;
#endif
			copy_there = there;
			copy_xmin = entry_xmin;
			copy_generation = entry_generation;
			copy_negative = negative;
			copy_insert_generation = entry_insert_generation;
			copy_version = entry_version;
			/* negative entries are not kept: the set is read with them */
			usable = !copy_negative || SEES(BUCKET, snapshot, xmin);
#ifndef NO_RECHECK
			if
			:: seen != changes -> goto again
			:: else
			fi;
#endif
			copied = copy_there && !copy_negative
		fi;
		atomic {
			if
			:: copy_there && copy_generation == generation &&
				((!copy_negative && (snapshot & BIT(copy_xmin))) ||
				 (copy_negative && usable && copy_insert_generation == insert_generation &&
				  SEES(TABLE, snapshot, xmin) && SEES(INSERTS, snapshot, xmin))) ->
				find_visible(snapshot, version);
				assert(gone[version] == copy_negative && (copy_negative || version == copy_version))
			:: else
			fi
		}
again:
		atomic {
			snapshot = 0; xmin = 0; version = 0; usable = false;
			if
			:: !copied ->
				seen = 0; copy_there = false; copy_negative = false; copy_xmin = 0; copy_version = 0;
				copy_generation = 0; copy_insert_generation = 0
			:: else
			fi
		}
	:: break
	od
}
#else
proctype Reader()
{
	byte snapshot, xmin, version;

	do
	:: take_snapshot(snapshot, xmin);
		atomic {
			if
			:: there && entry_generation == generation &&
#ifndef ANY_READER
				((!negative && (snapshot & BIT(entry_xmin))) ||
				 (negative && entry_insert_generation == insert_generation && SEES(TABLE, snapshot, xmin) &&
				  SEES(INSERTS, snapshot, xmin) && SEES(BUCKET, snapshot, xmin))) &&
#endif
				true ->
				find_visible(snapshot, version);
				assert(gone[version] == negative && (negative || version == entry_version))
			:: else
			fi;
			snapshot = 0; xmin = 0; version = 0
		}
	:: break
	od
}
#endif

init
{
	atomic {
		byte i = 0;
		do
		:: i < WRITERS -> run Writer(); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < FILLERS -> run Filler(); i++
		:: else -> break
		od;
		i = 0;
		run Reader()
	}
}
