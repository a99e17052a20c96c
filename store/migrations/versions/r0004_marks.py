"""Marks of a source side by side: every poll reads all of them, and of endpoints nothing else."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the index that holds them."""
    op.create_index("endpoint_mark", "endpoint", ["source_id", "id", "mark"])
