"""Names that our rules do not join, and what speaks for joining them: for a person to decide, never joined by itself.

1. `hugging_face`: a record names its weights on the Hugging Face hub, and our rules read that id as another model than
   the record's own id, or are sure of it alone.
2. `renamed`: in one poll a name of a provider went and another came at the same prices, and that happened to no other.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collector.aliases import Decision, Decisions
from collector.contract import SourceSpec
from collector.identify import Reading, read
from store.archive import Archive
from store.instants import from_millis, iso
from store.read import Reader

Link = Literal["hugging_face", "renamed"]

_HUB_KEYS = ("hugging_face_id", "huggingface_id", "hf_id")
_DEPTH = 6
"""Levels of a document that are looked through for records."""

_NEWEST = """
SELECT s.name, b.pack, b.at FROM poll b JOIN source s ON s.id = b.source_id
WHERE b.pack IS NOT NULL AND b.at = (
    SELECT MAX(p.at) FROM poll p
    WHERE p.source_id = b.source_id AND p.pack IS NOT NULL AND p.pruned IS NULL AND p.outcome <> 'failed')
ORDER BY s.name
"""
_OFFERED = """
SELECT DISTINCT s.name, e.published_provider, e.published_model, e.tag FROM endpoint e
JOIN source s ON s.id = e.source_id
JOIN "interval" i ON i.endpoint_id = e.id
WHERE i.known_to IS NULL AND i.ended IS NULL
ORDER BY s.name, e.published_provider, e.published_model, e.tag
"""
_GONE = """
SELECT s.name, e.published_provider, e.published_model, i.card_id, i.ended FROM "interval" i
JOIN endpoint e ON e.id = i.endpoint_id JOIN source s ON s.id = e.source_id
WHERE i.known_to IS NULL AND i.end_reason = 'withdrawn'
"""
_CAME = """
SELECT s.name, e.published_provider, e.published_model, i.card_id, i.first_seen FROM "interval" i
JOIN endpoint e ON e.id = i.endpoint_id JOIN source s ON s.id = e.source_id
WHERE i.known_to IS NULL AND i.not_before IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM "interval" b
        WHERE b.endpoint_id = i.endpoint_id AND b.known_to IS NULL AND b.first_seen < i.first_seen)
"""

Names = tuple[str, str, str]
"""(source, provider, model id), each as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A name, and the model that it may stand for."""

    source: str
    provider: str
    """Canonical."""
    model_id: str
    """As published."""
    reads_as: str
    """What our rules make of it."""
    confidence: str
    model: str
    """What it may stand for."""
    link: Link
    evidence: str


def proposals(
    reader: Reader, specs: Mapping[str, SourceSpec], decisions: Decisions, archive: Path
) -> Iterator[Proposal]:
    """What the store and the newest documents of its sources propose, without what has been decided.

    Raises: StoreError, also where a document is damaged.
    """
    told: set[Decision] = set()
    for one in (*_linked(reader, specs, archive), *_renamed(reader)):
        rejection = Decision(act="reject", provider=one.provider, model_id=one.model_id, model=one.model)
        if rejection not in decisions.rejected | told and (one.provider, one.model_id) not in decisions.accepted:
            told.add(rejection)
            yield one


def _linked(reader: Reader, specs: Mapping[str, SourceSpec], archive: Path) -> Iterator[Proposal]:
    """Names on offer whose own record, or another's of the same id, names its weights."""
    links = dict(_links(reader, archive))
    for source, provider, model_id, tag in reader.rows(_OFFERED):
        hub = links.get((source, model_id.lower())) if source in specs else None
        if hub is None:
            continue
        ours, theirs = read(source, provider, model_id, tag), read("", "hugging-face", hub)
        if theirs.confidence != "unsure" and ours.identity.model != theirs.identity.model:
            yield _proposal((source, provider, model_id), ours, theirs.identity.model, "hugging_face", f"weights {hub}")


def _links(reader: Reader, archive: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """((source, model id in lower case), id of its weights) of the newest documents."""
    documents = Archive(archive)
    for source, pack, at in list(reader.rows(_NEWEST)):
        for document in documents.documents(pack, source=source, fetched_at=from_millis(at)):
            try:
                body = json.loads(document.body)
            except ValueError:  # a page: it has no records
                continue
            for record in _records(body, 0):
                hub = next((record[name] for name in _HUB_KEYS if record.get(name)), None)
                model_id = record.get("id")
                if isinstance(model_id, str) and isinstance(hub, str):
                    yield (source, model_id.lower()), hub


def _records(body: object, depth: int) -> Iterator[Mapping[str, object]]:
    if isinstance(body, Mapping):
        yield body
    if depth < _DEPTH and isinstance(body, Mapping | list):
        for item in body.values() if isinstance(body, Mapping) else body:
            yield from _records(item, depth + 1)


def _renamed(reader: Reader) -> Iterator[Proposal]:
    """Names that went and came at once, where only one did at that provider and those prices."""
    gone, came = _moves(reader.rows(_GONE)), _moves(reader.rows(_CAME))
    for move in sorted(gone.keys() & came.keys()):
        source, provider, _, at = move
        if len(gone[move]) != 1 or len(came[move]) != 1:
            continue
        (old,), (new,) = gone[move], came[move]
        before, after = read(source, provider, old), read(source, provider, new)
        if before.identity.model == after.identity.model:
            continue
        evidence = f"{old!r} went and {new!r} came at {iso(from_millis(at))}, at the same prices"
        if after.confidence == "unsure" and before.confidence != "unsure":
            yield _proposal((source, provider, new), after, before.identity.model, "renamed", evidence)
        elif before.confidence == "unsure" and after.confidence != "unsure":
            yield _proposal((source, provider, old), before, after.identity.model, "renamed", evidence)


def _moves(rows: Iterable[tuple[str, str, str, int, int]]) -> dict[tuple[str, str, int, int], set[str]]:
    """(source, provider, rate card, instant) -> model ids."""
    moves = defaultdict[tuple[str, str, int, int], set[str]](set)
    for source, provider, model_id, card, at in rows:
        moves[source, provider, card, at].add(model_id)
    return moves


def _proposal(names: Names, ours: Reading, model: str, link: Link, evidence: str) -> Proposal:
    source, _, model_id = names
    return Proposal(
        source=source,
        provider=ours.identity.provider,
        model_id=model_id,
        reads_as=ours.identity.model,
        confidence=ours.confidence,
        model=model,
        link=link,
        evidence=evidence,
    )
