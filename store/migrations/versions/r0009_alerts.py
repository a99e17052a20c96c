"""Alerts: how far each rule has been judged, and what is to be told until it is."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
UNDELIVERED = sa.text("delivered IS NULL")


def upgrade() -> None:
    """Add them, with nothing in them."""
    op.create_table(
        "alert_rule",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("definition", TEXT, nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger()),
        sa.Column("error", TEXT),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token", "channel"),
    )
    op.create_index("alert_due", "alert", ["next_try"], sqlite_where=UNDELIVERED, postgresql_where=UNDELIVERED)
