"""Instants in milliseconds; intervals as spans, in distances of instants; locators stored once.

An instant of the first schema loses what is finer than a millisecond, as every instant does from here on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
SUPERSEDED = sa.text("known_to IS NOT NULL")
LATE = sa.text("known_lag > 3600000")
INSTANTS = {
    "poll": ("at", "known"),
    "gap": ("since", "known_from", "known_to", "last_seen", "until", "until_known"),
    "stated": ("since", "until", "known_from", "known_to", "first_seen", "ended", "end_known"),
    "finding": ("known_from", "known_to", "first_seen", "ended", "end_known"),
    "telemetry": ("at",),
}
INTERVAL = """
CREATE VIEW "interval" AS
SELECT endpoint_id, first_seen, first_seen + known_lag AS known_from, known_to, card_id, facts_id, document_id,
    (SELECT locator.text FROM locator WHERE locator.id = span.locator_id) AS locator,
    first_seen - unseen AS not_before, first_seen + lasted - missed AS last_seen, first_seen + lasted AS ended,
    CASE reason WHEN 0 THEN 'changed' WHEN 1 THEN 'withdrawn' WHEN 2 THEN 'superseded' END AS end_reason,
    first_seen + lasted + end_lag AS end_known, known_lag
FROM span
"""
NO_OVERLAP = """
ALTER TABLE span ADD CONSTRAINT span_no_overlap EXCLUDE USING gist (
    box(point(endpoint_id, first_seen), point(endpoint_id + 0.5, coalesce(first_seen + lasted - 0.5, 9e15))) WITH &&
) WHERE (known_to IS NULL AND lasted IS DISTINCT FROM 0) DEFERRABLE INITIALLY DEFERRED
"""


def millis(column: str) -> str:
    """SQL: an instant in whole milliseconds, rounded down also before 1970."""
    return f"(({column} - (({column} % 1000) + 1000) % 1000) / 1000)"


def upgrade() -> None:
    """Move everything over."""
    op.add_column("poll", sa.Column("pruned", sa.BigInteger()))
    op.add_column("endpoint", sa.Column("mark", sa.LargeBinary()))
    op.drop_index("poll_source_at", "poll")
    for table, columns in INSTANTS.items():
        op.execute(f"UPDATE {table} SET {', '.join(f'{one} = {millis(one)}' for one in columns)}")  # noqa: S608
    op.create_index("poll_source_at", "poll", ["source_id", "at"])
    op.create_table(
        "locator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("text"),
    )
    op.execute('INSERT INTO locator (text) SELECT DISTINCT locator FROM "interval" ORDER BY locator')
    op.create_table(
        "span",
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("known_lag", sa.BigInteger(), nullable=False),
        sa.Column("known_to", sa.BigInteger()),
        sa.Column("card_id", sa.Integer(), nullable=False),
        sa.Column("facts_id", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Integer(), nullable=False),
        sa.Column("locator_id", sa.Integer(), nullable=False),
        sa.Column("unseen", sa.BigInteger()),
        sa.Column("lasted", sa.BigInteger()),
        sa.Column("missed", sa.BigInteger()),
        sa.Column("reason", sa.Integer()),
        sa.Column("end_lag", sa.BigInteger()),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"]),
        sa.ForeignKeyConstraint(["card_id"], ["rate_card.id"]),
        sa.ForeignKeyConstraint(["facts_id"], ["facts.id"]),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"]),
        sa.ForeignKeyConstraint(["locator_id"], ["locator.id"]),
        sa.PrimaryKeyConstraint("endpoint_id", "first_seen", "known_lag"),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"""
        INSERT INTO span (endpoint_id, first_seen, known_lag, known_to, card_id, facts_id, document_id, locator_id,
            unseen, lasted, missed, reason, end_lag)
        SELECT endpoint_id, {millis("first_seen")}, {millis("known_from")} - {millis("first_seen")},
            {millis("known_to")}, card_id, facts_id, document_id, locator.id,
            {millis("first_seen")} - {millis("not_before")}, {millis("ended")} - {millis("first_seen")},
            {millis("ended")} - {millis("last_seen")},
            CASE end_reason WHEN 'changed' THEN 0 WHEN 'withdrawn' THEN 1 WHEN 'superseded' THEN 2 END,
            {millis("end_known")} - {millis("ended")}
        FROM "interval" JOIN locator ON locator.text = "interval".locator
        ORDER BY endpoint_id, first_seen, known_from
        """  # noqa: S608 - put together from constants only
    )
    op.drop_table("interval")
    op.create_index("span_superseded", "span", ["known_to"], sqlite_where=SUPERSEDED, postgresql_where=SUPERSEDED)
    op.create_index(
        "span_late", "span", [sa.text("(first_seen + known_lag)")], sqlite_where=LATE, postgresql_where=LATE
    )
    op.execute(INTERVAL)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NO_OVERLAP)
