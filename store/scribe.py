"""Writes what steps of a source's timeline change: beliefs begin, and what was open ends."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import Connection

from store import statements as sql
from store import timeline as tl
from store.instants import to_millis
from store.load import Loaded
from store.records import END_REASONS, EndpointKey, Facts, RateCard, Stated
from store.units import CORE_METERS


def millis(at: datetime | None) -> int | None:
    """The integer of an instant, if there is one."""
    return None if at is None else to_millis(at)


def inserted(result: Any) -> int:
    """The id of the row just inserted."""
    return int(result.inserted_primary_key[0])


@dataclass(slots=True)
class Scribe:
    """Writes rows of one source, in one transaction, as known at one instant."""

    connection: Connection
    source_id: int
    known: datetime
    loaded: Loaded
    documents: dict[tuple[int, str], int] = field(default_factory=dict)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    """(table, canonical text) -> row id, of values that are stored once per distinct text."""

    def write(self, poll_id: int, at: datetime, events: Sequence[tl.Event]) -> None:
        """Write the events of the newest step."""
        opened = [one.interval for one in events if isinstance(one, tl.Opened)]
        self.keep(_cards(events), (one.facts for one in opened), (one.evidence.locator for one in opened))
        fared: list[dict[str, Any]] = []
        for event in events:
            match event:
                case tl.Named():
                    self.name(event)
                case tl.Updated():
                    self._update(event, at)
                case tl.Opened():
                    self.open(event.key, event.interval, poll_id)
                case tl.StatedBegan():
                    row = self.state(event.key, event.stated, event.evidence, poll_id, at)
                    self.loaded.stated_ids[event.key, event.stated] = row
                case tl.StatedEnded():
                    self.end("stated", self.loaded.stated_ids.pop((event.key, event.stated)), at)
                case tl.FindingBegan():
                    self.loaded.finding_ids[event.finding] = self.find(event.finding, event.evidence, poll_id, at)
                case tl.FindingEnded():
                    self.end("finding", self.loaded.finding_ids.pop(event.finding), at)
                case tl.Fared():
                    fared.append(self.fared(event, at))
        if fared:
            self.connection.execute(sql.INSERT["telemetry"], fared)

    def name(self, event: tl.Named) -> None:
        """Put an endpoint under its canonical names."""
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
        self.loaded.endpoint_ids[event.key] = inserted(self.connection.execute(sql.INSERT["endpoint"], values))

    def _named(self, table: str, name: str) -> int:
        found = self.names.get((table, name))
        if found is None:
            found = self.connection.execute(sql.BY_NAME[table], {"name": name}).scalar()
            if found is None:
                found = inserted(self.connection.execute(sql.INSERT[table], {"name": name}))
            self.names[table, name] = found
        return found

    def open(self, key: EndpointKey, one: tl.Interval, poll_id: int) -> None:
        """Begin to believe an interval, with its end where that is known."""
        first_seen = to_millis(one.first_seen)
        values = {
            "endpoint_id": self.loaded.endpoint_ids[key],
            "first_seen": first_seen,
            "known_lag": to_millis(self.known) - first_seen,
            "card_id": self.ids["rate_card", one.card.text],
            "facts_id": self.ids["facts", one.facts.text],
            "document_id": self.document(one.evidence, poll_id),
            "locator_id": self.ids["locator", one.evidence.locator],
            "unseen": None if one.not_before is None else first_seen - to_millis(one.not_before),
            **self._end_of(one),
        }
        self.connection.execute(sql.INSERT["span"], values)

    def _end_of(self, one: tl.Interval) -> dict[str, Any]:
        if one.ended is None or one.last_seen is None or one.end_reason is None:
            return {"lasted": None, "missed": None, "reason": None, "end_lag": None}
        ended = to_millis(one.ended)
        return {
            "lasted": ended - to_millis(one.first_seen),
            "missed": ended - to_millis(one.last_seen),
            "reason": END_REASONS.index(one.end_reason),
            "end_lag": to_millis(self.known) - ended,
        }

    def end_interval(self, key: EndpointKey, one: tl.Interval) -> None:
        """Fill in the end of an interval that was open."""
        values = {
            "endpoint": self.loaded.endpoint_ids[key],
            "began": to_millis(one.first_seen),
            **self._end_of(one),
        }
        self.connection.execute(sql.END_INTERVAL, values)

    def _update(self, event: tl.Updated, at: datetime) -> None:
        one = event.interval
        if one.ended is not None:
            self.end_interval(event.key, one)
        if one.ended is None and one.unseen_since is not None:
            assert one.last_seen is not None
            self.miss(event.key, one.unseen_since, one.last_seen, None)
        else:
            self.end_gap(event.key, at)

    def miss(self, key: EndpointKey, since: datetime, last_seen: datetime, until: datetime | None) -> None:
        """Begin to believe a gap, with its end where that is known."""
        values = {
            "endpoint_id": self.loaded.endpoint_ids[key],
            "since": to_millis(since),
            "known_from": to_millis(self.known),
            "last_seen": to_millis(last_seen),
            "until": millis(until),
            "until_known": None if until is None else to_millis(self.known),
        }
        self.connection.execute(sql.INSERT["gap"], values)

    def end_gap(self, key: EndpointKey, at: datetime) -> None:
        """End the gap of an endpoint that is open, if there is one."""
        values = {
            "endpoint": self.loaded.endpoint_ids[key],
            "at": to_millis(at),
            "known": to_millis(self.known),
        }
        self.connection.execute(sql.END_GAP, values)

    def fared(self, event: tl.Fared, at: datetime) -> dict[str, Any]:
        """The row of an endpoint's telemetry."""
        return {
            "endpoint_id": self.loaded.endpoint_ids[event.key],
            "at": to_millis(at),
            "status": event.telemetry.status,
            "uptime_percent": event.telemetry.uptime_percent,
        }

    def state(self, key: EndpointKey, stated: Stated, evidence: tl.Evidence, poll_id: int, at: datetime) -> int:
        """Begin to believe that a source states a dated price."""
        values = {
            "endpoint_id": self.loaded.endpoint_ids[key],
            "since": millis(stated.since),
            "until": millis(stated.until),
            "card_id": self.ids["rate_card", stated.card.text],
            "document_id": self.document(evidence, poll_id),
            "locator": evidence.locator,
            "known_from": to_millis(self.known),
            "first_seen": to_millis(at),
        }
        return inserted(self.connection.execute(sql.INSERT["stated"], values))

    def find(self, one: tl.OpenFinding, evidence: tl.Evidence, poll_id: int, at: datetime) -> int:
        """Begin to believe a finding."""
        values = {
            "source_id": self.source_id,
            "endpoint_id": self.loaded.endpoint_ids[one.key] if one.key else None,
            "subject": one.subject,
            "rule": one.rule,
            "message": one.message,
            "held": one.held,
            "card_id": self.ids["rate_card", one.card.text] if one.card else None,
            "document_id": self.document(evidence, poll_id) if evidence.document else None,
            "locator": evidence.locator,
            "known_from": to_millis(self.known),
            "first_seen": to_millis(at),
        }
        return inserted(self.connection.execute(sql.INSERT["finding"], values))

    def end(self, table: Literal["stated", "finding"], row: int, at: datetime) -> None:
        """Fill in the end of what was open."""
        self.connection.execute(sql.END[table], {"row": row, "at": to_millis(at), "known": to_millis(self.known)})

    def document(self, evidence: tl.Evidence, poll_id: int) -> int:
        """The row of a document that is evidence."""
        key = (poll_id, evidence.part)
        if key not in self.documents:
            values = {"poll_id": poll_id, "part": evidence.part, "sha256": evidence.document, "url": evidence.url}
            self.documents[key] = inserted(self.connection.execute(sql.INSERT["document"], values))
        return self.documents[key]

    def keep(self, cards: Iterable[RateCard], facts: Iterable[Facts], locators: Iterable[str]) -> None:
        """Make sure that cards, facts and locators are stored, and know their ids."""
        self._keep("rate_card", "digest", {card.text: _card_row(card) for card in cards})
        self._keep("facts", "digest", {one.text: _facts_row(one) for one in facts})
        self._keep("locator", "text", {text: {"text": text} for text in locators})

    def _keep(self, table: str, key: str, rows: Mapping[str, dict[str, Any]]) -> None:
        """Rows by their canonical text, each stored once under its key."""
        texts = {row[key]: text for text, row in rows.items() if (table, text) not in self.ids}
        for _ in range(2):
            missing = [one for one, text in texts.items() if (table, text) not in self.ids]
            for start in range(0, len(missing), sql.CHUNK):
                for row in self.connection.execute(sql.BY_KEY[table], {"keys": missing[start : start + sql.CHUNK]}):
                    self.ids[table, texts[row.key]] = row.id
            new = [rows[text] for text in texts.values() if (table, text) not in self.ids]
            if not new:
                break
            self.connection.execute(sql.INSERT[table], new)


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
    return {
        "digest": _digest(card.text),
        "currency": card.currency,
        "body": card.text,
        **{meter: card.amount(meter) for meter in CORE_METERS},
    }


def _facts_row(facts: Facts) -> dict[str, Any]:
    return {
        "digest": _digest(facts.text),
        "context_length": facts.context_length,
        "max_output_tokens": facts.max_output_tokens,
        "quantization": facts.quantization,
        "body": facts.text,
    }


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
