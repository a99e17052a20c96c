"""Verdicts on what is held, and the canonical names of what findings are about."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; findings get their names when their documents are read again."""
    for name in ("provider", "model", "variant"):
        op.add_column("finding", sa.Column(name, TEXT))
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("known", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("verdict_source", "verdict", ["source_id"])
