"""Writes rows of a source: beliefs begin, and what was open ends. Many rows at a time, by statements built once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from operator import itemgetter
from typing import Any, Literal

from sqlalchemy import Connection
from sqlalchemy.sql.base import Executable

from store import statements as sql
from store import timeline as tl
from store.instants import to_millis
from store.load import Loaded
from store.records import END_REASONS, EndpointKey, Facts, Identity, RateCard, Stated
from store.touched import Mark
from store.units import CORE_METERS

Proof = tuple[tl.Evidence, int]
"""Evidence, and which of the polls that are written has it."""


def millis(at: datetime | None) -> int | None:
    """The integer of an instant, if there is one."""
    return None if at is None else to_millis(at)


def names_of(identity: Identity | None) -> dict[str, str | None]:
    """The columns of the canonical names of what a finding is about, if it is about an offer."""
    return {name: getattr(identity, name, None) for name in ("provider", "model", "variant")}


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
    polls: Sequence[int]
    """The row of each poll that is written."""
    documents: dict[tuple[int, str], int] = field(default_factory=dict)
    """(poll row, part) -> row of a document that is evidence."""
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    """(table, name or canonical text) -> row, of values that are stored once per distinct text."""

    def _write(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self.connection.execute(statement, rows)

    def _write_for_ids(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        return list(self.connection.execute(sql.INSERT_FOR_IDS[table], rows).scalars()) if rows else []

    def name(self, named: Iterable[tl.Named]) -> None:
        """Put endpoints under their canonical names."""
        told = list(named)
        self._keep("provider", {one.identity.provider: {"name": one.identity.provider} for one in told})
        self._keep("model", {one.identity.model: {"name": one.identity.model} for one in told})
        renamed, new = [], []
        for one in told:
            names = {
                "provider_id": self.ids["provider", one.identity.provider],
                "model_id": self.ids["model", one.identity.model],
                "variant": one.identity.variant,
                "part": one.part,
            }
            known = self.loaded.endpoint_ids.get(one.key)
            if known is not None:
                renamed.append({"endpoint": known, **{f"new_{name}": value for name, value in names.items()}})
                continue
            provider, model, tag, sibling = one.key
            published = {"published_provider": provider, "published_model": model, "tag": tag, "sibling": sibling}
            new.append({"source_id": self.source_id, **published, **names})
        self._write(sql.RENAME, renamed)
        unknown = [one.key for one in told if one.key not in self.loaded.endpoint_ids]
        self.loaded.endpoint_ids |= zip(unknown, self._write_for_ids("endpoint", new), strict=True)

    def mark(self, marks: Mapping[EndpointKey, Mark]) -> None:
        """Remember on what endpoints settled."""
        changed = [
            {"endpoint": self.loaded.endpoint_ids[key], "new_mark": mark}
            for key, mark in marks.items()
            if self.loaded.marks.get(key) != mark
        ]
        self._write(sql.SET_MARK, changed)

    def open(self, begun: Iterable[tuple[EndpointKey, tl.Interval, int]]) -> None:
        """Begin to believe intervals (endpoint, interval, poll), with their ends where those are known."""
        known, rows = to_millis(self.known), []
        for key, one, poll in begun:
            first_seen = to_millis(one.first_seen)
            rows.append(
                {
                    "endpoint_id": self.loaded.endpoint_ids[key],
                    "first_seen": first_seen,
                    "known_lag": known - first_seen,
                    "card_id": self.ids["rate_card", one.card.text],
                    "facts_id": self.ids["facts", one.facts.text],
                    "document_id": self.document(one.evidence, poll),
                    "locator_id": self.ids["locator", one.evidence.locator],
                    "unseen": None if one.not_before is None else first_seen - to_millis(one.not_before),
                    **self._end_of(one),
                }
            )
        self._write(sql.INSERT["span"], rows)

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

    def end_intervals(self, ended: Iterable[tuple[EndpointKey, tl.Interval]]) -> None:
        """Fill in the ends of intervals that were open."""
        rows = [
            {
                "endpoint": self.loaded.endpoint_ids[key],
                "began": to_millis(one.first_seen),
                **self._end_of(one),
            }
            for key, one in ended
        ]
        self._write(sql.END_INTERVAL, rows)

    def miss(self, begun: Iterable[tuple[EndpointKey, datetime, datetime, datetime | None]]) -> None:
        """Begin to believe gaps (endpoint, since, last seen, until)."""
        known = to_millis(self.known)
        rows = [
            {
                "endpoint_id": self.loaded.endpoint_ids[key],
                "since": to_millis(since),
                "known_from": known,
                "last_seen": to_millis(last_seen),
                "until": millis(until),
                "until_known": None if until is None else known,
            }
            for key, since, last_seen, until in begun
        ]
        self._write(sql.INSERT["gap"], rows)

    def end_gaps(self, ended: Iterable[tuple[EndpointKey, datetime]]) -> None:
        """Fill in the ends of gaps that were open."""
        known = to_millis(self.known)
        rows = [{"endpoint": self.loaded.endpoint_ids[key], "at": to_millis(at), "known": known} for key, at in ended]
        self._write(sql.END_GAP, rows)

    def fare(self, fared: Iterable[tuple[tl.Fared, datetime]]) -> None:
        """Add to the series of how endpoints fare."""
        rows = [
            {
                "endpoint_id": self.loaded.endpoint_ids[one.key],
                "at": to_millis(at),
                "status": one.telemetry.status,
                "uptime_percent": one.telemetry.uptime_percent,
                "first_token_ms": one.telemetry.first_token_ms,
                "tokens_per_second": one.telemetry.tokens_per_second,
            }
            for one, at in fared
        ]
        self._write(sql.INSERT["telemetry"], rows)

    def state(self, begun: Iterable[tuple[EndpointKey, Stated, Proof, datetime, datetime | None]]) -> None:
        """Begin to believe that a source states dated prices (endpoint, stated, proof, first seen, ended)."""
        known = to_millis(self.known)
        rows = [
            {
                "endpoint_id": self.loaded.endpoint_ids[key],
                "since": millis(stated.since),
                "until": millis(stated.until),
                "card_id": self.ids["rate_card", stated.card.text],
                "document_id": self.document(*proof),
                "locator": proof[0].locator,
                "known_from": known,
                "first_seen": to_millis(at),
                "ended": millis(ended),
                "end_known": None if ended is None else known,
            }
            for key, stated, proof, at, ended in begun
        ]
        self._write(sql.INSERT["stated"], rows)

    def find(self, begun: Iterable[tuple[tl.OpenFinding, Proof, datetime, datetime | None]]) -> None:
        """Begin to believe findings (finding, proof, first seen, ended)."""
        known = to_millis(self.known)
        rows = [
            {
                "source_id": self.source_id,
                "endpoint_id": self.loaded.endpoint_ids[one.key] if one.key else None,
                "subject": one.subject,
                "rule": one.rule,
                "message": one.message,
                "held": one.held,
                **names_of(one.identity),
                "card_id": self.ids["rate_card", one.card.text] if one.card else None,
                "document_id": self.document(*proof) if proof[0].document else None,
                "locator": proof[0].locator,
                "known_from": known,
                "first_seen": to_millis(at),
                "ended": millis(ended),
                "end_known": None if ended is None else known,
            }
            for one, proof, at, ended in begun
        ]
        self._write(sql.INSERT["finding"], rows)

    def name_findings(self, renamed: Iterable[tuple[int, tl.OpenFinding]]) -> None:
        """Put findings that stay under the canonical names of today."""
        rows = [
            {"row": row, **{f"new_{name}": value for name, value in names_of(one.identity).items()}}
            for row, one in renamed
        ]
        self._write(sql.NAME_FINDING, rows)

    def end(self, table: Literal["stated", "finding"], ended: Iterable[tuple[int, datetime]]) -> None:
        """Fill in the ends of rows that were open."""
        known = to_millis(self.known)
        self._write(sql.END[table], [{"row": row, "at": to_millis(at), "known": known} for row, at in ended])

    def document(self, evidence: tl.Evidence, poll: int) -> int:
        """The row of a document that is evidence (see `prove`)."""
        return self.documents[self.polls[poll], evidence.part]

    def prove(self, proofs: Iterable[Proof]) -> None:
        """Make sure that documents that are evidence are stored."""
        new: dict[tuple[int, str], dict[str, Any]] = {}
        for evidence, poll in proofs:
            key = (self.polls[poll], evidence.part)
            if evidence.document and key not in self.documents and key not in new:
                new[key] = {"poll_id": key[0], "part": key[1], "sha256": evidence.document, "url": evidence.url}
        self.documents |= zip(new, self._write_for_ids("document", list(new.values())), strict=True)

    def keep(self, cards: Iterable[RateCard], facts: Iterable[Facts], locators: Iterable[str]) -> None:
        """Make sure that cards, facts and locators are stored, and know their ids; after names (see `SHARED`)."""
        self._keep("rate_card", {text: _card_row(card) for text, card in _by_text(cards).items()})
        self._keep("facts", {text: _facts_row(one) for text, one in _by_text(facts).items()})
        self._keep("locator", {text: {"text": text} for text in locators})

    def _keep(self, table: str, rows: Mapping[str, dict[str, Any]]) -> None:
        """Rows by their canonical text, each stored once under its key."""
        key = sql.SHARED[table]
        texts = {row[key]: text for text, row in rows.items() if (table, text) not in self.ids}
        for _ in range(2):
            missing = [one for one, text in texts.items() if (table, text) not in self.ids]
            for start in range(0, len(missing), sql.CHUNK):
                for row in self.connection.execute(sql.BY_KEY[table], {"keys": missing[start : start + sql.CHUNK]}):
                    self.ids[table, texts[row.key]] = row.id
            new = sorted((rows[text] for text in texts.values() if (table, text) not in self.ids), key=itemgetter(key))
            if not new:
                break
            self._write(sql.KEEP[table], new)


def _by_text(values: Iterable[Any]) -> dict[str, Any]:
    """Cards or facts by their canonical text."""
    return {one.text: one for one in values}


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
