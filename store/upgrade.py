"""A store brought to this schema by the revisions in `store/migrations`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from store import seal
from store.db import driver, lock_schema, mark, on_sqlite, plain_errors, reach, stored_version
from store.errors import StoreForeign, StoreMissing
from store.version import SCHEMA_VERSION, VERSION_TABLE, check_version


def upgrade(url: str, *, dry_run: bool = False) -> int:
    """Bring a store to this schema, in one transaction; the schema that it had.

    All of it is done or nothing, however it ends. With `dry_run` all of it is done and then taken back.

    Raises: StoreMissing, StoreForeign, StoreBusy, StoreError.
    """
    # References are checked at the end, since a table may be replaced that others refer to.
    database = reach(url, foreign_keys=False)
    missing = f"no store at {database.name}: run `tokentape collect`"
    if database.path is not None and not database.path.exists():
        raise StoreMissing(missing)
    with plain_errors(database.name), database.engine.connect() as connection, connection.begin() as transaction:
        lock_schema(connection)
        version = stored_version(connection, database)
        if version is None:
            raise StoreMissing(missing)
        if version < SCHEMA_VERSION:
            if on_sqlite(connection) and seal.is_under(driver(connection)):
                for fault in seal.faults(driver(connection)):
                    raise StoreForeign(f"{database.name} is damaged: {fault}: restore it from a backup")
            _run(connection, version)
            if on_sqlite(connection):
                for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
                    raise StoreForeign(f"store {database.name} is damaged: a row of {row[0]} points to no {row[2]}")
        else:
            check_version(database.name, version)
        if dry_run:
            transaction.rollback()
    return version


def _run(connection: Connection, version: int) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if not inspect(connection).has_table(VERSION_TABLE):  # the first schema was made without
        command.stamp(config, f"{version:04}")
    command.upgrade(config, "head")
    if on_sqlite(connection):
        mark(connection)
        seal.install(driver(connection))
