"""Polls out of a recorded folder: one document each, or a whole fan-out out of bundles or exported parts."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from collector.backfill.archive import Folder, Held
from collector.backfill.bundle import read_bundle
from collector.backfill.index import Row
from collector.contract import Follower, SourceSpec
from collector.errors import SourceChanged
from collector.mend import Arrival
from collector.sources import parser_of
from store.records import Document


def arrivals(folder: Folder, spec: SourceSpec, held: Held) -> Iterator[Arrival]:
    """Every poll of a source, oldest first; in memory is never more than one, and what the next may share with it.

    Raises: BackfillRefused.
    """
    bodies: dict[str, bytes] = {}
    bundles = Bundles(folder, spec, held)
    for rows in folder.rows(held.polls):
        if rows[0].bundle:
            yield _sweep(bundles, rows[0])
            continue
        # Of two polls in a row most parts are the same.
        bodies = {row.sha256: bodies.get(row.sha256) or folder.body(row) for row in rows}
        yield Arrival(
            at=rows[0].at,
            documents=tuple(_document(spec, row, bodies[row.sha256]) for row in rows),
            failed_parts=frozenset(rows[0].not_recorded),
        )


def _document(spec: SourceSpec, row: Row, body: bytes) -> Document:
    return Document(
        source=spec.id,
        url=row.url,
        fetched_at=row.at,
        status=row.status,
        body=body,
        content_type=row.content_type,
        etag=row.etag,
        last_modified=row.last_modified,
        part=row.part,
        sha256=row.sha256,
    )


@dataclass(slots=True)
class Bundles:
    """What is known of each part as bundle follows bundle: a bundle speaks for its scope only."""

    folder: Folder
    spec: SourceSpec
    held: Held
    answers: dict[str, bytes] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    _firsts: int = 0
    _listed: Document | None = None

    def take(self, row: Row) -> None:
        """Go on to the next bundle."""
        answers, aliases = read_bundle(self.folder.body(row))
        if row.scope is None:
            kept = {name: self.answers[name] for name in row.not_recorded if name in self.answers}
            self.answers, self.aliases = kept | answers, aliases
        else:
            for name in row.scope:
                self.answers.pop(name, None)
            self.answers |= answers

    def answer(self, part: str) -> bytes | None:
        """The newest answer of a part, under its own name or that of which it is an alias; None: not recorded."""
        return self.answers.get(part, self.answers.get(self.aliases.get(part, "")))

    def first(self, row: Row) -> Document:
        """The newest first document that is not newer than a bundle, as if asked for with it."""
        newest = self._firsts
        while newest < len(self.held.firsts) and self.held.firsts[newest].at <= row.at:
            newest += 1
        if newest > self._firsts:
            self._firsts = newest
            ((listed,),) = self.folder.rows(self.held.firsts[newest - 1 : newest])
            self._listed = _document(self.spec, listed, self.folder.body(listed))
        assert self._listed is not None
        return replace(self._listed, fetched_at=row.at)


def _sweep(bundles: Bundles, row: Row) -> Arrival:
    """What a poll at the instant of a bundle would have got."""
    bundles.take(row)
    first = bundles.first(row)
    spec, parser = bundles.spec, parser_of(bundles.spec)
    assert isinstance(parser, Follower)
    try:
        links = parser.follow(first, spec)
    except SourceChanged:
        return Arrival(at=row.at, documents=(first,))  # parsing it says again what is wrong with it, and it is refused
    answers = [(link, bundles.answer(link.part)) for link in links]
    parts = [
        Document(
            source=spec.id,
            url=link.url,
            fetched_at=row.at,
            status=200,
            body=answer,
            content_type=row.content_type,
            part=link.part,
        )
        for link, answer in answers
        if answer is not None
    ]
    return Arrival(
        at=row.at,
        documents=(first, *parts),
        failed_parts=frozenset(link.part for link, answer in answers if answer is None),
    )
