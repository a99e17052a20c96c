"""What marks a store as ours; apart from `store.tables`, so that reading needs no SQLAlchemy."""

from store.errors import OtherSchema

SCHEMA_VERSION = 9
"""Number of the newest revision in `store/migrations`; `PRAGMA user_version` of a SQLite store."""

APPLICATION_ID = 0x746F6B74
"""`PRAGMA application_id` of a SQLite store: "tokt"."""

VERSION_TABLE = "tokentape_version"
"""Where Alembic keeps the revision of a store, and what marks a database in PostgreSQL as one."""


def check_version(name: str, version: int) -> None:
    """Make sure that a store is of this schema.

    Raises: OtherSchema, naming what to do.
    """
    if version < SCHEMA_VERSION:
        raise OtherSchema(
            name, f"has schema {version}, this tokentape needs {SCHEMA_VERSION}: run `tokentape db upgrade`"
        )
    if version > SCHEMA_VERSION:
        raise OtherSchema(
            name, f"has schema {version}, this tokentape knows {SCHEMA_VERSION}: it is of a newer tokentape"
        )
