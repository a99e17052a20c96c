"""What Alembic runs: the revisions that are missing, in the transaction that it is given (see `store.upgrade`)."""

from alembic import context

from store.version import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
