"""Price tables of others -> observations: a file in the form of one of our sources, or what a source sent last.

Read by the parsers and under the names that read the sources, so that a table says here what it would say on the tape.
CSV is read by `collector.named_columns`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from collector.config import Config
from collector.contract import Follower, SourceSpec
from collector.errors import SourceChanged
from collector.sighting import Received, see
from collector.sources import parser_of
from store.archive import Archive
from store.errors import QueryError
from store.instants import from_millis, to_millis
from store.read import Reader
from store.records import Document, Observation

FORMS = ("litellm", "models_dev", "portkey", "genai_prices", "llm_prices")
"""Sources that a file is known to be like where nobody says so."""
_NEWEST = """
SELECT p.pack, p.at FROM poll p JOIN source s ON s.id = p.source_id
WHERE s.name = :source AND p.pack IS NOT NULL AND p.pruned IS NULL AND p.outcome <> 'failed'
    AND p.at <= :at
ORDER BY p.at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """A price table, read."""

    form: str
    """`csv`, or the source in whose form it is."""
    offers: Iterable[Observation]
    source: str = ""
    """Whose own it is, and so no evidence about it; empty for a file."""
    documents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Part -> SHA-256 (hex) of what was read; none of CSV, which is read as it comes."""


def of_source(spec: SourceSpec, reader: Reader, archive: Path, at: datetime) -> PriceTable:
    """What a source had sent last at an instant, with all that is held of it.

    Raises: QueryError if it has sent nothing; ArchiveDamaged; SourceChanged.
    """
    row = reader.row(_NEWEST, {"source": spec.id, "at": to_millis(at)})
    if row is None:
        raise QueryError(f"{spec.id} has sent nothing that is kept: `tokentape collect {spec.id}`")
    polled = from_millis(row[1])
    return _read(Archive(archive).documents(row[0], source=spec.id, fetched_at=polled), spec, polled, spec.id)


def of_file(path: Path, config: Config, at: datetime, *, form: str = "", provider: str = "") -> PriceTable:
    """What a JSON file says, in the form of a source; of the one that it is known to be like where none is named.

    `provider` sells what a file lists where its name alone says who does, as with Portkey's (`together-ai.json`).
    Raises: QueryError if it cannot be read, is larger than a decoded body may be, or is like none.
    """
    body = _body(path, config.http.decoded_limit)
    refused: list[str] = []
    for spec in [config.sources[form]] if form else [config.sources[name] for name in FORMS if name in config.sources]:
        part = (provider or path.stem) if isinstance(parser_of(spec), Follower) else ""
        document = Document(source=spec.id, url=path.name, fetched_at=at, status=200, body=body, part=part)
        try:
            return _read([document], spec, at)
        except SourceChanged as error:
            refused.append(str(error))
    if form:
        raise QueryError(f"{path}: {refused[0]}")
    raise QueryError(f"{path}: is like none of {', '.join(FORMS)}; --as names its form, and says what is wrong with it")


def _body(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        raise QueryError(f"{path}: cannot be read: {error.strerror}") from None
    if len(body) > limit:
        raise QueryError(f"{path}: has more than {limit} bytes, which http.decoded_limit allows")
    return body


def _read(documents: Sequence[Document], spec: SourceSpec, at: datetime, source: str = "") -> PriceTable:
    sighting, _ = see(Received(documents=tuple(documents), failures={}), spec, at)
    hashes = {part: sha256 for part, (sha256, _) in sighting.documents.items()}
    return PriceTable(form=spec.id, offers=sighting.observations, source=source, documents=hashes)
