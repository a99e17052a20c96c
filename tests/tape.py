"""A store written row by row, for tests of reading: it says exactly what a test needs and nothing else does."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from store.archive import Archive
from store.db import open_engine
from store.instants import to_millis
from store.location import archive_folder, is_postgres
from store.records import END_REASONS, EndReason, Facts, RateCard, Telemetry
from tests.stores import connected

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

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        open_engine(self.url).engine.dispose()
        self._documents = 0

    @property
    def path(self) -> Path:
        """The file, on SQLite."""
        assert not is_postgres(self.url)
        return Path(self.url)

    @property
    def archive(self) -> Archive:
        """The archive of the store."""
        return Archive(archive_folder(self.url))

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
            locator_id=self._one("locator", text=locator) or self._insert("locator", text=locator),
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

    def telemetry(self, endpoint: int, at: datetime, telemetry: Telemetry) -> None:
        self._insert("telemetry", endpoint_id=endpoint, at=to_millis(at), **asdict(telemetry))

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
        return self._one(table, digest=digest) or self._insert(table, digest=digest, body=body, **columns)

    def _named(self, table: str, name: str) -> int:
        return self._one(table, name=name) or self._insert(table, name=name)

    def _one(self, table: str, **key: str) -> int | None:
        ((name, value),) = key.items()
        return self._run(f"SELECT id FROM {table} WHERE {name} = ?", value)

    def _insert(self, table: str, **columns: int | str | None) -> int:
        marks = ", ".join("?" * len(columns))
        added = self._run(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) RETURNING *", *columns.values())
        assert added is not None
        return added

    def _run(self, sql: str, *values: int | str | None) -> int | None:
        """The first value of the first row; references are not held to, so that a test need not write what it is not
        about."""
        with connected(self.url) as connection:
            if is_postgres(self.url):
                connection.execute("SET session_replication_role = replica")
                sql = sql.replace("?", "%s")
            row = connection.execute(sql, values).fetchone()
        return row and int(row[0])


def _millis(at: datetime | None) -> int | None:
    return None if at is None else to_millis(at)
