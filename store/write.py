"""The write side of the store: one transaction per poll.

`Tape.record` takes the step of a poll under the write lock: it loads the source's state, lets the caller decide, and
writes poll row and events together or not at all. What a step does not change is not touched.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import Connection

from store import statements as sql
from store import timeline as tl
from store.archive import Archive, archive_root
from store.db import BUSY_S, open_engine, plain_errors
from store.instants import from_micros, to_micros
from store.load import Loaded, load
from store.location import expanded
from store.records import Facts, RateCard
from store.units import CORE_METERS

Outcome = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What the store keeps of a source's configuration."""

    name: str
    trust: int
    """Rank, 0 is believed first."""
    every_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFacts:
    """One attempt at a source, apart from what it changed."""

    at: datetime
    outcome: Outcome
    pack: str | None = None
    code: str | None = None
    message: str | None = None
    quotes: int = 0
    requests: int = 0
    body_bytes: int = 0
    duration_ms: int = 0
    failed_parts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPolls:
    """What a new poll must know of those before it."""

    newest: datetime | None = None
    """Of any outcome."""
    newest_ok: datetime | None = None
    """That went into the timeline."""
    pack: str | None = None
    """Of the newest that received anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPoll:
    """A poll that is part of a source's timeline."""

    id: int
    at: datetime
    outcome: str
    pack: str
    failed_parts: frozenset[str]


class Tape:
    """A store opened for writing.

    Raises: StoreError on opening and on every call, for anything the database refuses.
    """

    def __init__(self, url: str, archive: str = "", *, busy_s: float = BUSY_S) -> None:
        self._engine, self.path = open_engine(url, busy_s)
        self.archive = Archive(expanded(archive) if archive else archive_root(self.path))

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with plain_errors(self.path), self._engine.begin() as connection:
            yield connection

    def last_polls(self, source: str) -> LastPolls:
        """What came before, for a source that may be new."""
        with plain_errors(self.path), self._engine.connect() as reading:
            connection = reading.execution_options(isolation_level="AUTOCOMMIT")  # no lock for a question
            row = connection.execute(sql.LAST_POLLS, {"name": source}).one()
        return LastPolls(
            newest=None if row.newest is None else from_micros(row.newest),
            newest_ok=None if row.newest_ok is None else from_micros(row.newest_ok),
            pack=row.pack,
        )

    def record_failure(self, source: SourceFacts, poll: PollFacts) -> None:
        """Write the row of a poll that changes nothing."""
        with self._writing() as connection:
            _insert_poll(connection, _source_id(connection, source), poll, complete=False, changes=0, held=0)

    def record(
        self, source: SourceFacts, poll: PollFacts, decide: Callable[[tl.SourceState], tl.Step]
    ) -> tl.Step | None:
        """Write a poll newer than all before it, with all that it changed.

        Returns: None, with nothing written, if a newer one is in the timeline already: that takes `rebuild`.
        """
        with self._writing() as connection:
            newest_ok = connection.execute(sql.LAST_POLLS, {"name": source.name}).one().newest_ok
            if newest_ok is not None and to_micros(poll.at) <= newest_ok:
                return None
            source_id = _source_id(connection, source)
            loaded = load(connection, source_id)
            step = decide(loaded.state)
            poll_id = _insert_poll(
                connection, source_id, poll, complete=step.complete, changes=step.changes, held=step.held
            )
            _Scribe(connection, source_id, loaded).write(poll_id, poll.at, step.events)
        return step

    def rebuild(
        self,
        source: SourceFacts,
        poll: PollFacts,
        build: Callable[[Sequence[KeptPoll]], Iterable[tuple[KeptPoll, tl.Step]]],
    ) -> tl.Step:
        """Write a poll that arrived late: the source's timeline is made anew from all its polls.

        Returns: the step of the late poll.
        """
        with self._writing() as connection:
            source_id = _source_id(connection, source)
            poll_id = _insert_poll(connection, source_id, poll, complete=False, changes=0, held=0)
            kept = [
                KeptPoll(
                    id=row.id,
                    at=from_micros(row.at),
                    outcome=row.outcome,
                    pack=row.pack,
                    failed_parts=frozenset(json.loads(row.failed_parts or "[]")),
                )
                for row in connection.execute(sql.KEPT_POLLS, {"source_id": source_id})
            ]
            for statement in sql.FORGET:
                connection.execute(statement, {"source_id": source_id})
            loaded = load(connection, source_id)
            scribe = _Scribe(connection, source_id, loaded)
            taken: tl.Step | None = None
            for one, step in build(kept):
                scribe.write(one.id, one.at, step.events)
                connection.execute(
                    sql.UPDATE_POLL,
                    {"poll": one.id, "complete": step.complete, "changes": step.changes, "held": step.held},
                )
                if one.id == poll_id:
                    taken = step
            connection.execute(sql.FORGET_UNUSED, {"source_id": source_id})
            assert taken is not None, "the poll just written is among those kept"
        return taken


def _micros(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _source_id(connection: Connection, source: SourceFacts) -> int:
    values = {"name": source.name, "trust": source.trust, "every_s": source.every_s}
    row = connection.execute(sql.SOURCE, {"name": source.name}).one_or_none()
    if row is None:
        return _inserted(connection.execute(sql.INSERT["source"], values))
    if (row.trust, row.every_s) != (source.trust, source.every_s):
        connection.execute(sql.UPDATE_SOURCE, {"source": row.id, "trust": source.trust, "every_s": source.every_s})
    return int(row.id)


def _inserted(result: Any) -> int:
    return int(result.inserted_primary_key[0])


def _insert_poll(
    connection: Connection, source_id: int, poll: PollFacts, *, complete: bool, changes: int, held: int
) -> int:
    values = {
        "source_id": source_id,
        "at": to_micros(poll.at),
        "outcome": poll.outcome,
        "complete": complete,
        "pack": poll.pack,
        "code": poll.code,
        "message": poll.message,
        "quotes": poll.quotes,
        "changes": changes,
        "held": held,
        "requests": poll.requests,
        "body_bytes": poll.body_bytes,
        "duration_ms": poll.duration_ms,
        "failed_parts": json.dumps(sorted(poll.failed_parts)) if poll.failed_parts else None,
    }
    return _inserted(connection.execute(sql.INSERT["poll"], values))


@dataclass(slots=True)
class _Scribe:
    """Writes the events of steps of one source, in one transaction."""

    connection: Connection
    source_id: int
    loaded: Loaded
    documents: dict[tuple[int, str], int] = field(default_factory=dict)
    names: dict[tuple[str, str], int] = field(default_factory=dict)

    def write(self, poll_id: int, at: datetime, events: Sequence[tl.Event]) -> None:
        cards = self._ids("rate_card", {card.text: _card_row(card) for card in _cards(events)})
        facts = self._ids(
            "facts",
            {one.text: _facts_row(one) for one in (e.interval.facts for e in events if isinstance(e, tl.Opened))},
        )
        fared: list[dict[str, Any]] = []
        for event in events:
            match event:
                case tl.Named():
                    self._name(event)
                case tl.Updated():
                    self._update(event)
                case tl.Fared():
                    fared.append(self._fared(event, at))
                case tl.StatedEnded():
                    self._end("stated", self.loaded.stated_ids.pop((event.key, event.stated)), at)
                case tl.FindingEnded():
                    self._end("finding", self.loaded.finding_ids.pop(event.finding), at)
                case tl.Opened():
                    self._open(event, cards, facts, poll_id)
                case tl.StatedBegan():
                    self._state(event, cards, poll_id, at)
                case tl.FindingBegan():
                    self._find(event, cards, poll_id, at)
        if fared:
            self.connection.execute(sql.INSERT["telemetry"], fared)

    def _name(self, event: tl.Named) -> None:
        names = {
            "provider_id": self._named("provider", event.identity.provider),
            "model_id": self._named("model", event.identity.model),
            "variant": event.identity.variant,
            "part": event.part,
        }
        known = self.loaded.endpoint_ids.get(event.key)
        if known is not None:
            self.connection.execute(sql.RENAME, {"endpoint": known, **{f"new_{k}": v for k, v in names.items()}})
            return
        values = {
            **names,
            "source_id": self.source_id,
            "published_provider": event.key.provider,
            "published_model": event.key.model,
            "tag": event.key.tag,
            "sibling": event.key.sibling,
        }
        self.loaded.endpoint_ids[event.key] = _inserted(self.connection.execute(sql.INSERT["endpoint"], values))

    def _named(self, table: str, name: str) -> int:
        found = self.names.get((table, name))
        if found is None:
            found = self.connection.execute(sql.BY_NAME[table], {"name": name}).scalar()
            if found is None:
                found = _inserted(self.connection.execute(sql.INSERT[table], {"name": name}))
            self.names[table, name] = found
        return found

    def _open(self, event: tl.Opened, cards: Mapping[str, int], facts: Mapping[str, int], poll_id: int) -> None:
        one = event.interval
        values = {
            "endpoint_id": self.loaded.endpoint_ids[event.key],
            "first_seen": to_micros(one.first_seen),
            "card_id": cards[one.card.text],
            "facts_id": facts[one.facts.text],
            "document_id": self._document(one.evidence, poll_id),
            "locator": one.evidence.locator,
            "not_before": _micros(one.not_before),
        }
        self.connection.execute(sql.INSERT["interval"], values)

    def _update(self, event: tl.Updated) -> None:
        one = event.interval
        values = {
            "endpoint": self.loaded.endpoint_ids[event.key],
            "began": to_micros(one.first_seen),
            "unseen_since": _micros(one.unseen_since),
            "last_seen": _micros(one.last_seen),
            "ended": _micros(one.ended),
            "end_reason": one.end_reason,
        }
        self.connection.execute(sql.UPDATE_INTERVAL, values)

    def _fared(self, event: tl.Fared, at: datetime) -> dict[str, Any]:
        return {
            "endpoint_id": self.loaded.endpoint_ids[event.key],
            "at": to_micros(at),
            "status": event.telemetry.status,
            "uptime_percent": event.telemetry.uptime_percent,
        }

    def _state(self, event: tl.StatedBegan, cards: Mapping[str, int], poll_id: int, at: datetime) -> None:
        values = {
            "endpoint_id": self.loaded.endpoint_ids[event.key],
            "since": _micros(event.stated.since),
            "until": _micros(event.stated.until),
            "card_id": cards[event.stated.card.text],
            "document_id": self._document(event.evidence, poll_id),
            "locator": event.evidence.locator,
            "first_seen": to_micros(at),
        }
        row = _inserted(self.connection.execute(sql.INSERT["stated"], values))
        self.loaded.stated_ids[event.key, event.stated] = row

    def _find(self, event: tl.FindingBegan, cards: Mapping[str, int], poll_id: int, at: datetime) -> None:
        one = event.finding
        values = {
            "source_id": self.source_id,
            "endpoint_id": self.loaded.endpoint_ids[one.key] if one.key else None,
            "subject": one.subject,
            "rule": one.rule,
            "message": one.message,
            "held": one.held,
            "card_id": cards[one.card.text] if one.card else None,
            "document_id": self._document(event.evidence, poll_id) if event.evidence.document else None,
            "locator": event.evidence.locator,
            "first_seen": to_micros(at),
        }
        self.loaded.finding_ids[one] = _inserted(self.connection.execute(sql.INSERT["finding"], values))

    def _end(self, table: Literal["stated", "finding"], row: int, at: datetime) -> None:
        self.connection.execute(sql.END[table], {"row": row, "at": to_micros(at)})

    def _document(self, evidence: tl.Evidence, poll_id: int) -> int:
        key = (poll_id, evidence.part)
        if key not in self.documents:
            values = {
                "poll_id": poll_id,
                "part": evidence.part,
                "sha256": evidence.document,
                "url": evidence.url,
            }
            self.documents[key] = _inserted(self.connection.execute(sql.INSERT["document"], values))
        return self.documents[key]

    def _ids(self, table: str, rows: Mapping[str, dict[str, Any]]) -> dict[str, int]:
        """Canonical text -> row id, for values that are stored once per distinct text."""
        digests = {sha256(text.encode()).hexdigest(): text for text in rows}
        ids: dict[str, int] = {}
        for _ in range(2):
            missing = [digest for digest, text in digests.items() if text not in ids]
            for start in range(0, len(missing), sql.CHUNK):
                chunk = missing[start : start + sql.CHUNK]
                for row in self.connection.execute(sql.BY_DIGEST[table], {"digests": chunk}):
                    ids[digests[row.digest]] = row.id
            new = [{"digest": digest, **rows[text]} for digest, text in digests.items() if text not in ids]
            if not new:
                break
            self.connection.execute(sql.INSERT[table], new)
        return ids


def _cards(events: Sequence[tl.Event]) -> Iterator[RateCard]:
    for event in events:
        match event:
            case tl.Opened():
                yield event.interval.card
            case tl.StatedBegan():
                yield event.stated.card
            case tl.FindingBegan() if event.finding.card is not None:
                yield event.finding.card


def _card_row(card: RateCard) -> dict[str, Any]:
    return {"currency": card.currency, "body": card.text, **{meter: card.amount(meter) for meter in CORE_METERS}}


def _facts_row(facts: Facts) -> dict[str, Any]:
    return {
        "context_length": facts.context_length,
        "max_output_tokens": facts.max_output_tokens,
        "quantization": facts.quantization,
        "body": facts.text,
    }
