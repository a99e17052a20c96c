"""Speeds beside uptime in the series of how endpoints fare."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add them; until now none was kept."""
    op.add_column("telemetry", sa.Column("first_token_ms", sa.Integer()))
    op.add_column("telemetry", sa.Column("tokens_per_second", sa.Integer()))
