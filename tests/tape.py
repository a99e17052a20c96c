"""A store written row by row, for tests of reading: it says exactly what a test needs and nothing else does."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from store import tables as _tables  # noqa: F401 - declares the tables on the metadata
from store.instants import to_millis
from store.records import END_REASONS, EndReason, Facts, RateCard
from store.version import APPLICATION_ID, SCHEMA_VERSION

T0 = datetime(2026, 8, 1, tzinfo=UTC)
"""The first hour of most tests."""


def hour(count: float) -> datetime:
    """That many hours after T0."""
    return T0 + timedelta(hours=count)


def usd(**amounts: int) -> RateCard:
    """A card in USD; amounts in 1e-9 USD per 1M tokens."""
    return RateCard(currency="USD", amounts=tuple(sorted(amounts.items())))


class Tape:
    """Builds a store; each method returns the key of what it wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path), poolclass=NullPool)
        SQLModel.metadata.create_all(engine)
        engine.dispose()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.commit()
        self._documents = 0

    def source(self, name: str, *, trust: int = 0, every_s: int = 3600) -> int:
        return self._insert("source", name=name, trust=trust, every_s=every_s)

    def poll(
        self,
        source: int,
        at: datetime,
        outcome: str = "ok",
        *,
        known: datetime | None = None,
        failed_parts: Iterable[str] = (),
        pack: str | None = None,
        message: str | None = None,
        changes: int = 0,
    ) -> int:
        return self._insert(
            "poll",
            source_id=source,
            at=to_millis(at),
            known=to_millis(known or at),
            outcome=outcome,
            complete=outcome == "ok",
            pack=pack,
            message=message,
            quotes=0,
            changes=changes,
            held=0,
            requests=1,
            body_bytes=0,
            duration_ms=0,
            failed_parts=json.dumps(list(failed_parts)) if failed_parts else None,
        )

    def endpoint(
        self,
        source: int,
        provider: str,
        model: str,
        *,
        tag: str = "",
        sibling: str = "",
        variant: str = "",
        published_model: str | None = None,
        part: str = "",
    ) -> int:
        return self._insert(
            "endpoint",
            source_id=source,
            provider_id=self._named("provider", provider),
            model_id=self._named("model", model),
            variant=variant,
            published_provider=provider.title(),
            published_model=model if published_model is None else published_model,
            tag=tag,
            sibling=sibling,
            part=part,
        )

    def interval(
        self,
        endpoint: int,
        first_seen: datetime,
        card: RateCard,
        facts: Facts | None = None,
        *,
        not_before: datetime | None = None,
        last_seen: datetime | None = None,
        ended: datetime | None = None,
        end_reason: EndReason | None = None,
        document: int | None = None,
        locator: str = "",
        known: datetime | None = None,
        known_to: datetime | None = None,
        end_known: datetime | None = None,
    ) -> None:
        """Known at once, where a test does not say when."""
        first, end = to_millis(first_seen), _millis(ended)
        self._insert(
            "span",
            endpoint_id=endpoint,
            first_seen=first,
            known_lag=to_millis(known or first_seen) - first,
            known_to=_millis(known_to),
            card_id=self.card(card),
            facts_id=self._facts(facts or Facts()),
            document_id=document or self.document(endpoint),
            locator_id=self._one("SELECT id FROM locator WHERE text = ?", locator)
            or self._insert("locator", text=locator),
            unseen=None if not_before is None else first - to_millis(not_before),
            lasted=None if end is None else end - first,
            missed=None if end is None or last_seen is None else end - to_millis(last_seen),
            reason=None if end_reason is None else END_REASONS.index(end_reason),
            end_lag=None if ended is None else to_millis(end_known or ended) - to_millis(ended),
        )

    def gap(
        self,
        endpoint: int,
        since: datetime,
        last_seen: datetime,
        until: datetime | None = None,
        *,
        known: datetime | None = None,
        known_to: datetime | None = None,
        until_known: datetime | None = None,
    ) -> None:
        self._insert(
            "gap",
            endpoint_id=endpoint,
            since=to_millis(since),
            known_from=to_millis(known or since),
            known_to=_millis(known_to),
            last_seen=to_millis(last_seen),
            until=_millis(until),
            until_known=_millis(until_known or until),
        )

    def stated(
        self,
        endpoint: int,
        since: datetime | None,
        until: datetime | None,
        card: RateCard,
        *,
        first_seen: datetime,
        ended: datetime | None = None,
        known: datetime | None = None,
        known_to: datetime | None = None,
        end_known: datetime | None = None,
    ) -> int:
        return self._insert(
            "stated",
            endpoint_id=endpoint,
            since=_millis(since),
            until=_millis(until),
            card_id=self.card(card),
            document_id=self.document(endpoint),
            locator="",
            known_from=to_millis(known or first_seen),
            known_to=_millis(known_to),
            first_seen=to_millis(first_seen),
            ended=_millis(ended),
            end_known=_millis(end_known or ended),
        )

    def finding(
        self,
        source: int,
        first_seen: datetime,
        *,
        endpoint: int | None = None,
        held: bool = True,
        card: RateCard | None = None,
        ended: datetime | None = None,
        known: datetime | None = None,
        known_to: datetime | None = None,
        end_known: datetime | None = None,
        whole: bool = False,
        subject: str = "Acme model",
        message: str = "25 times the accepted amount",
    ) -> int:
        return self._insert(
            "finding",
            source_id=source,
            endpoint_id=endpoint,
            subject=subject,
            rule="ratio",
            message=message,
            held=held,
            card_id=None if card is None else self.card(card),
            document_id=None if whole else self.document(0),
            locator="data[7]",
            known_from=to_millis(known or first_seen),
            known_to=_millis(known_to),
            first_seen=to_millis(first_seen),
            ended=_millis(ended),
            end_known=_millis(end_known or ended),
        )

    def card(self, card: RateCard) -> int:
        core = {meter: card.amount(meter) for meter in ("input", "output", "cache_read", "cache_write")}
        return self._distinct("rate_card", card.text, currency=card.currency, **core)

    def document(self, poll: int, *, part: str = "", body: bytes | None = None, url: str = "https://x.example") -> int:
        """Without a body, of its own part, as if each endpoint had a document to itself."""
        self._documents += 1
        return self._insert(
            "document",
            poll_id=poll,
            part=part if body is not None else f"document {self._documents}",
            sha256=sha256(str(self._documents).encode() if body is None else body).hexdigest(),
            url=url,
        )

    def _facts(self, facts: Facts) -> int:
        return self._distinct(
            "facts",
            facts.text,
            context_length=facts.context_length,
            max_output_tokens=facts.max_output_tokens,
            quantization=facts.quantization,
        )

    def _distinct(self, table: str, body: str, **columns: int | str | None) -> int:
        digest = sha256(body.encode()).hexdigest()
        found = self._one(f"SELECT id FROM {table} WHERE digest = ?", digest)
        return found or self._insert(table, digest=digest, body=body, **columns)

    def _named(self, table: str, name: str) -> int:
        return self._one(f"SELECT id FROM {table} WHERE name = ?", name) or self._insert(table, name=name)

    def _one(self, sql: str, value: str) -> int | None:
        with closing(sqlite3.connect(self.path)) as connection:
            row = connection.execute(sql, (value,)).fetchone()
        return row and int(row[0])

    def _insert(self, table: str, **columns: int | str | None) -> int:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            cursor = connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', tuple(columns.values()))
            return cursor.lastrowid or 0


def _millis(at: datetime | None) -> int | None:
    return None if at is None else to_millis(at)
