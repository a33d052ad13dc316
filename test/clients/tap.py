"""TAP for the Python clients' tests: one line a case, and what went wrong."""

import contextlib
import sys
import traceback
import uuid

TENANT_A = "11111111-1111-4111-8111-111111111111"
TENANT_B = "22222222-2222-4222-8222-222222222222"


class Tap:
    """Counts cases; a case fails when its block raises."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    @contextlib.contextmanager
    def case(self, name):
        self.count += 1
        try:
            yield
        except Exception:  # pylint: disable=broad-except
            self.failed += 1
            print(f"not ok {self.count} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
        else:
            print(f"ok {self.count} - {name}")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def done(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def eq(found, expected):
    """Raises unless both are equal, naming them."""
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


@contextlib.contextmanager
def raises(kind, sqlstate, attribute="sqlstate"):
    """The block must raise this exception with this SQLSTATE."""
    caught = []
    try:
        yield caught
    except kind as error:
        eq(getattr(error, attribute), sqlstate)
        caught.append(error)
    else:
        raise AssertionError(f"no error, expected {sqlstate}")


COLUMNS = """
SELECT array_agg(attname::text ORDER BY attnum) AS columns FROM pg_attribute
 WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped
"""


class Table:
    """One of tables.sql, and the SQL that depends on its shape.

    shape is a row of the table shapes; hole(n) gives what the driver
    writes for parameter n.
    """

    def __init__(self, shape, hole):
        self.table = shape["name"]
        self.versions = shape["strategy"] == "scd2"
        self.tenant = shape["tenant"]
        self.soft_delete = shape["soft_delete"]
        self.key = shape["key"]
        self.key_types = shape["key_type"].split(",")
        self.arbiter = shape["arbiter"]
        # Key columns that an INSERT has to give.
        self.given = [] if shape["generated"] else [c for c in self.key if c != "tenant_id"]
        self.hole = hole
        self.used = 1000

    def keys(self):
        """Values for the columns of self.given, not used yet."""
        self.used += 1
        return [self.used, 1][: len(self.given)]

    def absent(self):
        """A value of the key's last column that no row has."""
        return str(uuid.uuid4()) if self.key_types[-1] == "uuid" else 987654

    def insert(self, *columns, tail=""):
        names = [*self.given, *columns]
        holes = ", ".join(self.hole(n + 1) for n in range(len(names)))
        return f"INSERT INTO {self.table} ({', '.join(names)}) VALUES ({holes}) {tail}"

    def record(self, columns, **values):
        """A whole row, as the functions take it in an array: NULL is the default."""
        values = {**dict(zip(self.given, self.keys())), **values}
        return tuple(values.get(column) for column in columns)

    def where(self, row, first=1):
        """A condition on the key, and the values of its parameters."""
        parts = [f"{c} = {self.hole(first + n)}" for n, c in enumerate(self.key)]
        return " AND ".join(parts), [row[c] for c in self.key]

    def call(self, row, first=1):
        """The key as typed parameters of a function, and their values."""
        holes = [f"{self.hole(first + n)}::{t}" for n, t in enumerate(self.key_types)]
        return ", ".join(holes), [row[c] for c in self.key]

    def jsonb_key(self, row):
        """The key as the functions take it in jsonb."""
        return {column: str(row[column]) for column in self.key}
