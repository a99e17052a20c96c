"""What marks a file as a store of ours; apart from `store.tables`, so that reading needs no SQLAlchemy."""

SCHEMA_VERSION = 2
"""`PRAGMA user_version` of a SQLite store."""

APPLICATION_ID = 0x746F6B74
"""`PRAGMA application_id` of a SQLite store: "tokt"."""
