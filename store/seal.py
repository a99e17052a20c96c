"""The seal of a SQLite store: a sum over all its rows, so that one that was changed behind its back is noticed.

SQLite's own check looks at the structure of a file. A flipped bit in a price, or in an instant, is another price and
another instant, and sound to it. So every row counts, by a digest of all its values, towards the sum of its table: the
transaction that writes it adds it, and the one that deletes or changes it takes it away. Triggers do that, whichever
statement it is, and the function that they call is known to our connections alone: another program can read a store,
and cannot write to it.

PostgreSQL keeps checksums of its pages itself, where its cluster was made with them (`data_checksums`).
"""

# ruff: noqa: S608 - statements are put together from the names of our own tables
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b

FUNCTION = "tokentape_seal"
TABLE = "seal"
SCHEMA = "schema"
"""The name under which the statements that made tables, indexes, views and triggers count."""

_MAKE = f"CREATE TABLE {TABLE} (name TEXT PRIMARY KEY, counted INTEGER NOT NULL, total INTEGER NOT NULL) WITHOUT ROWID"
_STATEMENTS = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_TABLES = f"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> '{TABLE}'"
_LEFT_OUT = {"endpoint": {"mark"}}
"""What every change of a price moves on, and what no answer shows: `store.check` looks at it in another way."""
_EVENTS = {"INSERT": (1, ("NEW",)), "DELETE": (-1, ("OLD",)), "UPDATE": (0, ("OLD", "NEW"))}
"""Event -> how many rows more there are after it, and the rows that it takes away or adds."""
_SIGNS = {"OLD": -1, "NEW": 1}


def enable(connection: sqlite3.Connection) -> None:
    """Make a connection one that can write."""
    connection.create_function(FUNCTION, -1, _after)
    connection.execute("PRAGMA trusted_schema = ON")  # or triggers may not call it


def install(connection: sqlite3.Connection) -> None:
    """Seal a store as it is: make the triggers anew, and count every row."""
    lift(connection)
    connection.execute(_MAKE)
    for table in _tables(connection):
        for event in _EVENTS:
            connection.execute(_trigger(table, _columns(connection, table), event))
        _keep(connection, table, _rows(connection, table))
    _keep(connection, SCHEMA, _STATEMENTS)


def lift(connection: sqlite3.Connection) -> None:
    """Take the seal away, so that rows may be written by anybody."""
    for table in _tables(connection):
        for event in _EVENTS:
            connection.execute(f"DROP TRIGGER IF EXISTS {_name(table, event)}")
    connection.execute(f"DROP TABLE IF EXISTS {TABLE}")


def is_under(connection: sqlite3.Connection) -> bool:
    """Whether a store has a seal; those of older schemas have none."""
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (TABLE,)).fetchone() is not None


def faults(connection: sqlite3.Connection) -> Iterator[str]:
    """A line for each table that does not hold just what was written into it."""
    sealed = {name: (count, total) for name, count, total in connection.execute(f"SELECT * FROM {TABLE}")}
    found = {table: _counted(connection, _rows(connection, table)) for table in _tables(connection)}
    found[SCHEMA] = _counted(connection, _STATEMENTS)
    for name in sorted(sealed.keys() | found.keys(), key=str):  # a damaged name may be of any type
        before, now = sealed.get(name), found.get(name)
        if before is None or now is None:
            yield f"store: {name} is {'not under the seal' if before is None else 'missing'}"
        elif before[0] != now[0]:
            yield f"store: {name} has {now[0]} rows where {before[0]} were written"
        elif before != now:
            yield f"store: a row of {name} is not as it was written"


def _tables(connection: sqlite3.Connection) -> list[str]:
    return sorted(str(name) for (name,) in connection.execute(_TABLES))


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """By name: a column that a later schema added stands last in an older store."""
    names = (row[1] for row in connection.execute(f'PRAGMA table_info("{table}")'))
    return sorted(f'"{name}"' for name in names if name not in _LEFT_OUT.get(table, ()))


def _rows(connection: sqlite3.Connection, table: str) -> str:
    return f'SELECT {", ".join(_columns(connection, table))} FROM "{table}"'


def _name(table: str, event: str) -> str:
    return f"seal_{table}_{event.lower()}"


def _trigger(table: str, names: list[str], event: str) -> str:
    more, rows = _EVENTS[event]
    total = "total"
    for row in rows:
        values = ", ".join(f"{row}.{name}" for name in names)
        total = f"{FUNCTION}({total}, {_SIGNS[row]}, {values})"
    when = f"UPDATE OF {', '.join(names)}" if event == "UPDATE" else event
    return (
        f'CREATE TRIGGER {_name(table, event)} AFTER {when} ON "{table}" BEGIN UPDATE {TABLE}'
        f" SET counted = counted + {more}, total = {total} WHERE name = '{table}'; END"
    )


def _keep(connection: sqlite3.Connection, name: str, rows: str) -> None:
    connection.execute(f"INSERT INTO {TABLE} VALUES (?, ?, ?)", (name, *_counted(connection, rows)))


def _counted(connection: sqlite3.Connection, rows: str) -> tuple[int, int]:
    count = total = 0
    for row in connection.execute(rows):
        count += 1
        total += _digest(row)
    return count, _wrapped(total)


def _after(total: int, sign: int, *values: object) -> int:
    return _wrapped(total + sign * _digest(values))


def _digest(values: tuple[object, ...]) -> int:
    return int.from_bytes(blake2b(repr(values).encode(errors="backslashreplace"), digest_size=8).digest(), "little")


def _wrapped(total: int) -> int:
    """As SQLite can keep it: 64 bits, signed."""
    return (total + 2**63) % 2**64 - 2**63
