"""Slots and leases: of several daemons, one polls a source in each of its slots."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
SLOT = sa.text("slot IS NOT NULL")


def upgrade() -> None:
    """Add them; the polls until now were for no slot."""
    op.add_column("poll", sa.Column("slot", sa.BigInteger()))
    op.create_index("poll_slot", "poll", ["source_id", "slot"], unique=True, sqlite_where=SLOT, postgresql_where=SLOT)
    op.create_table(
        "lease",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"]),
        sa.PrimaryKeyConstraint("source_id"),
    )
