"""The tables, declared here and nowhere else; rows never leave `store`.

Instants are integers of milliseconds since 1970 UTC, amounts integers of 1e-9 currency units per 1M tokens or single
thing. History is clustered by (endpoint, time). Only writing commands import this module: reading needs no
SQLAlchemy (see `store.read`).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlmodel import AutoString, Field, SQLModel

from store import sql_views
from store.corrections import LATE_MILLIS
from store.records import END_REASONS
from store.version import VERSION_TABLE

_SLOT = text("slot IS NOT NULL")
_SUPERSEDED = text("known_to IS NOT NULL")
_UNDELIVERED = text("delivered IS NULL")
_LATE = text(f"known_lag > {LATE_MILLIS}")


class Source(SQLModel, table=True):
    """One upstream, by its configured id."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    trust: int
    """Rank, 0 is believed first."""
    every_s: int


class Poll(SQLModel, table=True):
    """One attempt at one source; for an unchanged source the only row that a poll writes."""

    __table_args__ = (
        Index("poll_source_at", "source_id", "at"),
        Index("poll_slot", "source_id", "slot", unique=True, sqlite_where=_SLOT, postgresql_where=_SLOT),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id")
    at: int = Field(sa_type=BigInteger)
    known: int = Field(sa_type=BigInteger)
    """When it was written; later than `at` by more than moments for a document that arrived late."""
    outcome: str
    """`ok`, `partial` (some parts did not answer) or `failed`."""
    complete: bool
    """Absence counts."""
    pack: str | None = None
    """Archive key of the documents received; None for a failed poll that got nothing whole."""
    pruned: int | None = Field(default=None, sa_type=BigInteger)
    """When its documents were dropped by policy."""
    code: str | None = None
    message: str | None = None
    quotes: int = 0
    changes: int = 0
    held: int = 0
    requests: int = 0
    body_bytes: int = Field(default=0, sa_type=BigInteger)
    duration_ms: int = 0
    failed_parts: str | None = None
    """JSON list of parts that were asked for and did not answer."""
    slot: int | None = Field(default=None, sa_type=BigInteger)
    """Start of the slot that a daemon polled for: there is one poll for each."""


class Lease(SQLModel, table=True):
    """Which daemon polls a source, for which of its slots, and until when it may be believed to be alive."""

    source_id: int = Field(foreign_key="source.id", primary_key=True)
    slot: int = Field(sa_type=BigInteger)
    fence: int = Field(sa_type=BigInteger)
    """One more with each claim: what was claimed with an older one cannot be written any more."""
    holder: str
    until: int = Field(sa_type=BigInteger)
    done: bool
    """The poll of this slot is written."""


class Provider(SQLModel, table=True):
    """Who serves inference, by canonical name."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Model(SQLModel, table=True):
    """What is served, by canonical `author/slug`."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Endpoint(SQLModel, table=True):
    """One provider's offer of one model, as one source publishes it."""

    __table_args__ = (
        UniqueConstraint("source_id", "published_provider", "published_model", "tag", "sibling"),
        Index("endpoint_model", "model_id"),
        Index("endpoint_mark", "source_id", "id", "mark"),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id")
    provider_id: int = Field(foreign_key="provider.id")
    model_id: int = Field(foreign_key="model.id")
    variant: str
    published_provider: str
    published_model: str
    tag: str
    sibling: str
    part: str
    """Of a fan-out, the request it stands in."""
    mark: bytes | None = Field(default=None, sa_type=LargeBinary)
    """Digest of what it settled on, empty at rest, None to be visited at every poll (see `store.touched`)."""


class RateCardRow(SQLModel, table=True):
    """A distinct rate card; the columns repeat what is asked for most."""

    __tablename__ = "rate_card"

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True)
    """SHA-256 of `body`, hex."""
    currency: str
    input: int | None = Field(default=None, sa_type=BigInteger)
    output: int | None = Field(default=None, sa_type=BigInteger)
    cache_read: int | None = Field(default=None, sa_type=BigInteger)
    cache_write: int | None = Field(default=None, sa_type=BigInteger)
    body: str
    """`RateCard.text`."""


class FactsRow(SQLModel, table=True):
    """A distinct set of facts."""

    __tablename__ = "facts"

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True)
    context_length: int | None = Field(default=None, sa_type=BigInteger)
    max_output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    quantization: str | None = None
    body: str
    """`Facts.text`."""


class DocumentRow(SQLModel, table=True):
    """A document that is evidence for something stored."""

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("poll_id", "part"),)

    id: int | None = Field(default=None, primary_key=True)
    poll_id: int = Field(foreign_key="poll.id")
    part: str
    sha256: str
    url: str


class Locator(SQLModel, table=True):
    """A distinct place in a document; the same few serve an endpoint for years."""

    id: int | None = Field(default=None, primary_key=True)
    text: str = Field(unique=True)


class Span(SQLModel, table=True):
    """A belief: that a source stated the same card and facts for an endpoint over [first_seen, ended).

    Believed over [known_from, known_to); a correction ends one belief and begins another, and edits none. Only what was
    still open is ever filled in: the end, with the instant at which it became known.

    This is most of what a store holds, so instants stand as their distance from one another: small integers are small
    in SQLite, and a row takes some fifty bytes. It is read as the view `interval`, in instants.
    """

    __table_args__ = (
        # Of what is superseded or became known late: a tape that is only polled has nothing in them.
        Index("span_superseded", "known_to", sqlite_where=_SUPERSEDED, postgresql_where=_SUPERSEDED),
        Index("span_late", text("(first_seen + known_lag)"), sqlite_where=_LATE, postgresql_where=_LATE),
        {"sqlite_with_rowid": False},
    )

    endpoint_id: int = Field(foreign_key="endpoint.id", primary_key=True)
    first_seen: int = Field(primary_key=True, sa_type=BigInteger)
    known_lag: int = Field(primary_key=True, sa_type=BigInteger)
    """From `first_seen` to `known_from`."""
    known_to: int | None = Field(default=None, sa_type=BigInteger)
    """None: believed still."""
    card_id: int = Field(foreign_key="rate_card.id")
    facts_id: int = Field(foreign_key="facts.id")
    document_id: int = Field(foreign_key="document.id")
    locator_id: int = Field(foreign_key="locator.id")
    unseen: int | None = Field(default=None, sa_type=BigInteger)
    """From `not_before`, the last successful poll that did not yet show it, to `first_seen`; None: there was none."""
    lasted: int | None = Field(default=None, sa_type=BigInteger)
    """From `first_seen` to `ended`."""
    missed: int | None = Field(default=None, sa_type=BigInteger)
    """From `last_seen` to `ended`; until there is an end, it is seen by each poll that covers it, short of a gap."""
    reason: int | None = None
    """Why it ended, by its place in `store.records.END_REASONS`."""
    end_lag: int | None = Field(default=None, sa_type=BigInteger)
    """From `ended` to `end_known`, before which it was believed to be open."""


INTERVAL = f"""
CREATE VIEW "interval" AS
SELECT endpoint_id, first_seen, first_seen + known_lag AS known_from, known_to, card_id, facts_id, document_id,
    (SELECT locator.text FROM locator WHERE locator.id = span.locator_id) AS locator,
    first_seen - unseen AS not_before, first_seen + lasted - missed AS last_seen, first_seen + lasted AS ended,
    CASE reason {" ".join(f"WHEN {code} THEN '{reason}'" for code, reason in enumerate(END_REASONS))} END AS end_reason,
    first_seen + lasted + end_lag AS end_known, known_lag
FROM span
"""  # noqa: S608 - put together from constants only
"""Beliefs in instants, as every statement that reads takes them."""

NO_OVERLAP = """
ALTER TABLE span ADD CONSTRAINT span_no_overlap EXCLUDE USING gist (
    box(point(endpoint_id, first_seen), point(endpoint_id + 0.5, coalesce(first_seen + lasted - 0.5, 9e15))) WITH &&
) WHERE (known_to IS NULL AND lasted IS DISTINCT FROM 0) DEFERRABLE INITIALLY DEFERRED
"""
"""On PostgreSQL, what is believed of an endpoint cannot overlap; on SQLite `tokentape verify` finds it.

Endpoint and time span a box: whole numbers are exact in it up to 2^53, half of one keeps neighbours apart, and it costs
a fifth of what two ranges do.
"""


@event.listens_for(SQLModel.metadata, "after_create")
def _make_view(_metadata: MetaData, connection: Connection, **_: object) -> None:
    connection.exec_driver_sql(INTERVAL)
    for statement in sql_views.statements(sqlite=connection.dialect.name == "sqlite"):
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(NO_OVERLAP)


class Gap(SQLModel, table=True):
    """A stretch [since, until) in which polls should have shown an endpoint and did not; believed like an interval."""

    __table_args__ = {"sqlite_with_rowid": False}

    endpoint_id: int = Field(foreign_key="endpoint.id", primary_key=True)
    since: int = Field(primary_key=True, sa_type=BigInteger)
    known_from: int = Field(primary_key=True, sa_type=BigInteger)
    known_to: int | None = Field(default=None, sa_type=BigInteger)
    last_seen: int = Field(sa_type=BigInteger)
    """The last poll before it that showed the endpoint."""
    until: int | None = Field(default=None, sa_type=BigInteger)
    until_known: int | None = Field(default=None, sa_type=BigInteger)


class StatedRow(SQLModel, table=True):
    """A price dated by its source, and the stretch of polls in which it stated so."""

    __tablename__ = "stated"
    __table_args__ = (Index("stated_endpoint", "endpoint_id"),)

    id: int | None = Field(default=None, primary_key=True)
    endpoint_id: int = Field(foreign_key="endpoint.id")
    since: int | None = Field(default=None, sa_type=BigInteger)
    until: int | None = Field(default=None, sa_type=BigInteger)
    card_id: int = Field(foreign_key="rate_card.id")
    document_id: int = Field(foreign_key="document.id")
    locator: str
    known_from: int = Field(sa_type=BigInteger)
    known_to: int | None = Field(default=None, sa_type=BigInteger)
    first_seen: int = Field(sa_type=BigInteger)
    ended: int | None = Field(default=None, sa_type=BigInteger)
    """First poll that no longer stated it."""
    end_known: int | None = Field(default=None, sa_type=BigInteger)


class FindingRow(SQLModel, table=True):
    """A finding and the stretch of polls that had it."""

    __tablename__ = "finding"
    __table_args__ = (Index("finding_source", "source_id", "ended"), Index("finding_endpoint", "endpoint_id"))

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id")
    endpoint_id: int | None = Field(default=None, foreign_key="endpoint.id")
    """None: about the whole document, or about an offer that has never been accepted."""
    subject: str
    """What it is about, as published: `provider model tag`, or the source's id."""
    rule: str
    message: str
    held: bool
    card_id: int | None = Field(default=None, foreign_key="rate_card.id")
    """The card that was held."""
    provider: str | None = None
    """Canonical, as are model and variant: of what it is about, be it on the tape or not."""
    model: str | None = None
    variant: str | None = None
    document_id: int | None = Field(default=None, foreign_key="document.id")
    """None: about the poll as a whole."""
    locator: str
    known_from: int = Field(sa_type=BigInteger)
    known_to: int | None = Field(default=None, sa_type=BigInteger)
    first_seen: int = Field(sa_type=BigInteger)
    ended: int | None = Field(default=None, sa_type=BigInteger)
    end_known: int | None = Field(default=None, sa_type=BigInteger)


class VerdictRow(SQLModel, table=True):
    """What a person or a second source said of what was held; never edited, and the newest on a thing stands."""

    __tablename__ = "verdict"
    __table_args__ = (Index("verdict_source", "source_id"),)

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id")
    subject: str
    """As that of a finding."""
    value: str
    """`RateCard.text` of the card that was held, or the finding's message where it has none."""
    released: bool
    """False: rejected."""
    by: str
    """Who: a person, or `source NAME`."""
    note: str
    """Why."""
    since: int = Field(sa_type=BigInteger)
    """From when on it was held."""
    known: int = Field(sa_type=BigInteger)
    """When it was said."""


class TelemetryRow(SQLModel, table=True):
    """How an endpoint fared, where that changed."""

    __tablename__ = "telemetry"
    __table_args__ = {"sqlite_with_rowid": False}

    endpoint_id: int = Field(foreign_key="endpoint.id", primary_key=True)
    at: int = Field(primary_key=True, sa_type=BigInteger)
    status: int | None = None
    uptime_percent: int | None = None
    first_token_ms: int | None = None
    tokens_per_second: int | None = None
    """Coarse, both of them (see `store.records.Telemetry`)."""


class AlertRuleRow(SQLModel, table=True):
    """How far a rule has been judged (see `store.outbox`)."""

    __tablename__ = "alert_rule"

    name: str = Field(primary_key=True)
    definition: str
    """Digest of what it says; where that is another, it is a new rule."""
    began: int = Field(sa_type=BigInteger)
    """What became known before is not told."""
    judged: int = Field(sa_type=BigInteger)
    """What became known up to then has been told, or need not be."""


class AlertRow(SQLModel, table=True):
    """Something to be told to one channel, until it is."""

    __tablename__ = "alert"
    __table_args__ = (
        UniqueConstraint("token", "channel"),
        Index("alert_due", "next_try", sqlite_where=_UNDELIVERED, postgresql_where=_UNDELIVERED),
    )

    id: int | None = Field(default=None, primary_key=True)
    token: str
    """The id that its message shows: the same event under the same rule has the same."""
    rule: str
    channel: str
    """Name of the variable of the environment that holds its URL, which is never stored."""
    at: int = Field(sa_type=BigInteger)
    """When what it is about became known."""
    title: str
    body: str
    made: int = Field(sa_type=BigInteger)
    attempts: int
    next_try: int = Field(sa_type=BigInteger)
    delivered: int | None = Field(default=None, sa_type=BigInteger)
    error: str | None = None
    """Why it did not go out the last time."""


VERSION = Table(
    VERSION_TABLE,
    SQLModel.metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""The revision of the schema, as Alembic keeps it."""

# Text is compared by its bytes, in every database and whatever its locale.
for _table in SQLModel.metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, AutoString):
            _column.type = String().with_variant(Text(collation="C"), "postgresql")
