"""The proof of a price: who said it, where, when, in which document, and the record as it was published."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from store.belief import Coverage, at_end, believed, lasted
from store.conflicts import Conflict, conflicts_of
from store.currency import Conversion
from store.errors import ArchiveDamaged, NothingMatched, QueryError, StoreForeign
from store.flaps import Span, flaps
from store.instants import from_millis
from store.intervals import IntervalRow, endpoints, history
from store.read import Reader
from store.records import Facts, RateCard, endpoint_reference
from store.text import ELLIPSIS, one_line

LARGEST_RECORD = 20_000
"""Characters of a published record that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An interval and what it rests on."""

    row: IntervalRow
    url: str
    polled_at: datetime
    """The poll that fetched the document."""
    pack: str | None
    """Archive key of that poll's documents."""
    part: str
    """Of a fan-out, the document within the pack."""
    facts: str | None
    """Canonical JSON; None for a price that was not observed."""
    held: tuple[str, ...]
    """Why a newer price was held back at that instant, if one was."""
    record: str | None
    """As published, to the letter, up to a bound."""
    record_missing: str | None
    """Why there is no record to show."""
    list_card: RateCard | None
    """What is charged without the discount that the source states; None: it states none."""
    flaps: tuple[datetime, ...]
    """When its price came back after a short time of another one, up to that instant (see `store.flaps`)."""
    conflicts: tuple[Conflict, ...]
    """What other sources state differently at that instant; `row` is the one of each that is explained."""


_ENDPOINTS = """
SELECT m.name, e.published_model, e.tag, e.sibling
FROM endpoint e
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
WHERE s.name = :source AND p.name = :provider
ORDER BY e.id
"""
_DOCUMENT = """
SELECT d.url, d.part, b.at, b.pack, b.pruned
FROM document d
JOIN poll b ON b.id = d.poll_id
WHERE d.id = :document
"""
_FACTS = "SELECT body FROM facts WHERE id = :facts"
_HELD = f"""
SELECT g.rule, g.message FROM finding g
WHERE g.endpoint_id = :endpoint AND g.held AND {believed("g")} AND g.first_seen <= :seen AND {lasted("g", ":seen")}
ORDER BY g.id
"""  # noqa: S608 - put together from constants only
_PAST = f"""
SELECT i.card_id, i.first_seen, {at_end("i", "ended")} FROM "interval" i
WHERE i.endpoint_id = :endpoint AND i.first_seen <= :at AND {believed("i")}
ORDER BY i.first_seen
"""  # noqa: S608 - put together from constants only
_WHITE = re.compile(r"[ \t\n\r]*")
_INDEX = re.compile(r"\[([0-9]{1,9})\]", re.ASCII)
# Numbers stay the text that they are: nothing is computed from them here.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


def explain(
    reader: Reader, ref: str, at: datetime, *, known: datetime | None = None, archive: Path | None = None
) -> list[Evidence]:
    """The evidence for what an endpoint charges at an instant, or else for what it charged last before that.

    As known at another instant (None: all that is known). `ref` is `source:provider:endpoint`, as every row of
    `endpoints` names itself. There is one answer, unless the source publishes one provider under several names. Records
    are read from the archive beside the store, or `archive`.
    Raises: as `named`.
    """
    rows = named(reader, ref, at, known=known)
    coverage = Coverage(reader, at, known)
    stated = [
        one
        for model in dict.fromkeys(row.model for row in rows)
        for one in endpoints(reader, model, at, known=known, provider=rows[0].provider)
    ]
    return [_evidence(reader, row, coverage, archive, tuple(conflicts_of(row, stated, at))) for row in rows]


def named(reader: Reader, ref: str, at: datetime, *, known: datetime | None = None) -> list[IntervalRow]:
    """The prices of an endpoint in force at an instant, or else the last before that, as known at another.

    Raises: QueryError if `ref` is not of the form SOURCE:PROVIDER:ENDPOINT; NothingMatched if there is no such
    endpoint, or not yet.
    """
    source, _, rest = ref.partition(":")
    provider, _, reference = rest.partition(":")
    if not source or not provider or not reference:
        raise QueryError(f"{one_line(ref, 80)!r} does not name an endpoint: expected SOURCE:PROVIDER:ENDPOINT")
    offered = [
        (model, endpoint_reference(published_model, tag, sibling))
        for model, published_model, tag, sibling in reader.rows(_ENDPOINTS, {"source": source, "provider": provider})
    ]
    models = dict.fromkeys(model for model, name in offered if name == reference)
    if not models:
        raise NothingMatched(
            f"no endpoint {one_line(ref, 120)!r} in this store; {_hint(source, provider, reference, offered)}"
        )
    rows: list[IntervalRow] = []
    for model in models:
        in_force = endpoints(reader, model, at, known=known, provider=provider, source=source)
        before = history(reader, model, at, known=known, until=at, provider=provider, source=source)
        newest = {row.endpoint_id: row for row in before if row.endpoint == reference}
        rows += [row for row in in_force if row.endpoint == reference] or newest.values()
    if not rows:
        raise NothingMatched(f"no price of {one_line(ref, 120)!r} is known for that time; see `tokentape history`")
    return rows


def _hint(source: str, provider: str, reference: str, offered: list[tuple[str, str]]) -> str:
    from difflib import get_close_matches  # only where nothing was found

    near = get_close_matches(reference, [name for _, name in offered], 3)
    if near:
        return f"near: {', '.join(f'{source}:{provider}:{name}' for name in near)}"
    return "`tokentape endpoints MODEL --format jsonl` names each as `ref`"


def _evidence(
    reader: Reader, row: IntervalRow, coverage: Coverage, archive: Path | None, conflicts: tuple[Conflict, ...]
) -> Evidence:
    document = reader.row(_DOCUMENT, {"document": row.document_id})
    if document is None:
        raise StoreForeign(f"store {reader.name} is damaged: document {row.document_id} is missing")
    url, part, polled_at, pack, pruned = document
    facts = None if row.facts_id is None else reader.row(_FACTS, {"facts": row.facts_id})
    record, missing = _published(archive or reader.archive, row, pack, part)
    if record is None and pruned is not None:
        missing = f"it was dropped from the archive on {from_millis(pruned):%Y-%m-%d}, as asked for"
    values = coverage.values | {"endpoint": row.endpoint_id}
    held = reader.rows(_HELD, values)
    past = (
        Span(card_id, from_millis(first), None if ended is None else from_millis(ended))
        for card_id, first, ended in reader.rows(_PAST, values)
    )
    return Evidence(
        row=row,
        url=url,
        polled_at=from_millis(polled_at),
        pack=pack,
        part=part,
        facts=None if facts is None else facts[0],
        held=tuple(f"{rule}: {message}" for rule, message in held),
        record=record,
        record_missing=missing,
        list_card=None if facts is None else list_card(row.card, Facts.from_text(facts[0])),
        flaps=flaps(past),
        conflicts=conflicts,
    )


def list_card(card: RateCard, facts: Facts) -> RateCard | None:
    """The list prices that a stated discount was taken off, computed exactly and rounded once; None without one."""
    try:
        share = 1 - Fraction(facts.discount or "1")
    except ValueError:  # a word
        return None
    if share <= 0:
        return None
    undone = Conversion(quoted=card.currency, currency=card.currency, factor=1 / share, rates=())
    return undone.card(card)


def _published(archive: Path, row: IntervalRow, pack: str | None, part: str) -> tuple[str | None, str | None]:
    """The record as published, or why it cannot be shown."""
    from store.archive import Archive  # nothing else that is asked needs a decompressor

    if pack is None:
        return None, "the poll kept no documents"
    try:
        documents = Archive(archive).documents(pack, source=row.source, fetched_at=row.first_seen)
    except ArchiveDamaged as error:
        return None, str(error)
    body = next((one.body for one in documents if one.part == part and one.sha256 == row.document), None)
    if body is None:
        return None, "the archived documents of that poll do not hold this one"
    record = published_record(body, row.locator)
    if record is None:
        return None, f"it is not JSON: see {row.locator or 'the whole document'}"
    return record if len(record) <= LARGEST_RECORD else record[: LARGEST_RECORD - 1] + ELLIPSIS, None


def published_record(body: bytes, locator: str) -> str | None:
    """The part of a JSON document at a locator, to the letter; None if the document or the place is another.

    A locator leads through `.key`, `["key"]` and `[index]`. A key may hold any of these characters itself: of the keys
    that are there, the longest that the locator can mean is taken.
    """
    try:
        text = body.decode("utf-8-sig")
        start = _skip(text, 0)
        while locator:
            members = _members(text, start) if text[start] == "{" else _items(text, start)
            # Of a key that is there twice, the last, as JSON readers do.
            found = max(((step, value) for key, value in members if (step := _step(locator, key))), default=None)
            if found is None:
                return None
            locator, start = locator[found[0] :], found[1]
        return text[start : _DECODER.raw_decode(text, start)[1]]
    except (ValueError, IndexError, RecursionError):
        return None


def _step(locator: str, key: str | int) -> int:
    """How many characters of a locator a key accounts for; 0 if it begins otherwise."""
    if isinstance(key, int):
        index = _INDEX.match(locator)
        return index.end() if index and int(index[1]) == key else 0
    if locator.startswith(f'["{key}"]'):
        return len(key) + 4
    bare = locator[locator.startswith(".") :]
    if not bare.startswith(key) or bare[len(key) : len(key) + 1] not in ("", ".", "["):
        return 0
    return len(locator) - len(bare) + len(key)


def _members(text: str, start: int) -> Iterator[tuple[str | int, int]]:
    """Each key of the object that begins there, and where its value begins."""
    at = _skip(text, start + 1)
    while text[at] == '"':
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        value = _skip(text, at + 1)
        yield key, value
        at = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[at] != ",":
            return
        at = _skip(text, at + 1)


def _items(text: str, start: int) -> Iterator[tuple[str | int, int]]:
    """Each index of the list that begins there, and where its value begins; nothing for any other value."""
    if text[start] != "[":
        return
    at = _skip(text, start + 1)
    index = 0
    while text[at] != "]":
        yield index, at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at] != ",":
            return
        at = _skip(text, at + 1)
        index += 1


def _skip(text: str, at: int) -> int:
    white = _WHITE.match(text, at)
    return white.end() if white else at
