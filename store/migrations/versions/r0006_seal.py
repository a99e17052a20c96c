"""Offers at rest that a finding is about are visited again, so that it may end; and a SQLite store is sealed.

The seal is made by `store.upgrade`, after whatever the last revision changed.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Take away the marks that let polls pass such offers by."""
    op.execute(
        "UPDATE endpoint SET mark = NULL WHERE id IN ("
        "SELECT endpoint_id FROM finding WHERE ended IS NULL AND known_to IS NULL AND endpoint_id IS NOT NULL)"
    )
