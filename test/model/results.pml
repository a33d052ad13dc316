/*
 * The protocol of src/cache/results.c for one part of a table, and the part in
 * which those note themselves who do not say whose rows they write: writers,
 * fillers, readers.
 *
 *   spin -a results.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * What is checked: a result that a reader may use was made of the same
 * transactions that its own snapshot sees.  The mutations that a macro
 * switches on break the protocol, each at one point, and the check must find
 * every one (test/t/011_cache.pl):
 *
 *   -DLATE_NOTE     the writer notes itself after its end can be seen
 *   -DNO_NOTE       who writes while nothing has been read notes nothing
 *   -DNO_BEFORE     a writer that had to make room is taken as seen
 *   -DNO_POSITION   a result is used whatever the positions
 *   -DONE_PART      readers do not look at those who do not say
 *   -DOWN_SEEN      a filler's own writes count as seen
 *
 * Transactions have the ids 1 to WRITERS + 1 in the order in which they begin
 * (the last may be a filler's own).  A snapshot is the set of those that have
 * finished, as bits, and its xmin the least id that has not.  What the table
 * holds for a snapshot is the set of those that it sees and that have
 * committed changes.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#define MAXIMUM (WRITERS + 2)
#define BIT(x) (1 << (x))
#define KEPT 2

byte next_xid = 1;
byte finished = 1;
byte committed = 0;				/* whose changes are in the table */
byte changed = 0;				/* who has made changes, finished or not */

/* the two parts: the latest KEPT ids, the greatest of those before, and how many came in */
#define SAID 0
#define UNSAID 1
byte kept0[2];
byte kept1[2];
byte before[2];
byte count[2];
bool read_flag = false;

/* the result */
bool there = false;
byte content;
byte place[2];

inline note(part, xid)
{
	if
	:: kept0[part] == xid || kept1[part] == xid
	:: else ->
		if
		:: kept1[part] > before[part] -> before[part] = kept1[part]
		:: else
		fi;
		kept1[part] = kept0[part];
		kept0[part] = xid;
		count[part]++
	fi
}

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

#define SEEN(xid, snapshot) ((xid) == 0 || ((snapshot) & BIT(xid)))

/* the snapshot's position on a part; own is the caller's id or 0 */
inline find_position(part, snapshot, xmin, own, known, position)
{
	atomic {
		known = true;
		position = count[part];
#ifndef NO_BEFORE
		if
		:: before[part] >= xmin -> known = false
		:: else
		fi;
#endif
#ifndef OWN_SEEN
		if
		:: own != 0 && (kept0[part] == own || kept1[part] == own) -> known = false
		:: else
		fi;
#endif
		if
		:: SEEN(kept0[part], snapshot) || (own != 0 && kept0[part] == own)
		:: else -> position--
		fi;
		if
		:: SEEN(kept1[part], snapshot) || (own != 0 && kept1[part] == own)
		:: else -> position--
		fi
	}
}

proctype Writer()
{
	byte xid;
	byte part;

	atomic { xid = next_xid; next_xid++ }
	/* who writes for many tenants does not say */
	if
	:: part = SAID
	:: part = UNSAID
	fi;
#ifndef LATE_NOTE
	atomic {
		if
		:: !read_flag ->
#ifndef NO_NOTE
			note(UNSAID, xid)
#else
			skip
#endif
		:: else -> note(part, xid)
		fi
	}
#endif
	changed = changed | BIT(xid);
	if
	:: atomic { committed = committed | BIT(xid); finished = finished | BIT(xid) }
	:: finished = finished | BIT(xid)
	fi
#ifdef LATE_NOTE
	;
	atomic { note(part, xid) }
#endif
}

/* a filler, which may have written itself; afterwards it reads what is there */
proctype Filler(bool may_write)
{
	byte snapshot, xmin, own, now;
	byte position[2];
	bool known;

	if
	:: may_write ->
		atomic { own = next_xid; next_xid++ };
		atomic {
			if
			:: !read_flag -> note(UNSAID, own)
			:: else -> note(SAID, own)
			fi
		};
		changed = changed | BIT(own)
	:: true
	fi;
	take_snapshot(snapshot, xmin);

	/* read */
	find_position(SAID, snapshot, xmin, own, known, position[0]);
	if
	:: known ->
		find_position(UNSAID, snapshot, xmin, own, known, position[1]);
		atomic {
			if
#ifdef NO_POSITION
			:: known && there ->
#else
#ifdef ONE_PART
			:: known && there && place[0] == position[0] ->
#else
			:: known && there && place[0] == position[0] && place[1] == position[1] ->
#endif
#endif
				assert(content == (snapshot & committed | (own -> BIT(own) & changed : 0)))
			:: else
			fi
		}
	:: else
	fi;

	/* fill */
	read_flag = true;
	now = snapshot & committed;
	if
	:: own != 0 -> now = now | (changed & BIT(own))
	:: else
	fi;
	find_position(SAID, snapshot, xmin, own, known, position[0]);
	if
	:: known ->
		find_position(UNSAID, snapshot, xmin, own, known, position[1]);
		if
		:: known -> atomic { there = true; content = now; place[0] = position[0]; place[1] = position[1] }
		:: else
		fi
	:: else
	fi;
	if
	:: own != 0 -> finished = finished | BIT(own)
	:: else
	fi
}

init
{
	byte i;

	atomic {
		run Filler(true);
		run Filler(false);
		i = 0;
		do
		:: i < WRITERS -> run Writer(); i++
		:: else -> break
		od
	};
}
