"""What `tokentape backfill` and `tokentape archive` do, apart from their options."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import click

from collector.backfill.archive import Folder, fans_out
from collector.backfill.export import export
from collector.backfill.git import read_history, repository_at
from collector.backfill.sweeps import arrivals
from collector.config import Config
from collector.contract import SourceSpec
from collector.errors import BackfillRefused
from collector.mend import Arrival, Mended, backfill
from store.archive import Archive
from store.instants import iso
from store.kept import kept_polls
from store.location import archive_folder
from store.policy import Policy
from store.read import open_store
from store.text import printable
from store.write import Tape

REFUSED_SHOWN = 5


def backfill_folder(config: Config, root: Path, specs: Sequence[SourceSpec], now: datetime) -> Iterator[str]:
    """A line for each source of which a recorded folder has documents; `specs` empty: for all that are on.

    Raises: BackfillRefused, with nothing written; StoreError.
    """
    folder = Folder(root, limit=config.http.decoded_limit)
    asked = specs or [spec for spec in config.sources.values() if spec.enabled]
    held, unread = folder.survey(asked, now=now, progress=_bar(f"{root}: line"))
    _clear()
    if not specs:
        for address, count in sorted(unread.items()):
            _note(f"{address}: {count} lines: no source that is on reads it")
    for spec in asked:
        if have := held.get(spec.id):
            if have.unlisted:
                _note(f"{spec.id}: {have.unlisted} bundles are older than the first list: left out")
            with closing(Tape(config.store, config.archive)) as tape:
                mended = _take(config, tape, spec, arrivals(folder, spec, have), len(have.polls), now)
            yield _described(spec, mended, mended.refused)


def backfill_git(
    config: Config, place: str, file: str, spec: SourceSpec, since: datetime | None, now: datetime
) -> Iterator[str]:
    """A line about the versions of a file that were taken over.

    Raises: BackfillRefused, with nothing written; StoreError.
    """
    if fans_out(spec):
        raise BackfillRefused(f"{spec.id}: is many documents, which no single file can stand for")
    history = read_history(repository_at(place), file, since=since, now=now)
    with closing(Tape(config.store, config.archive)) as tape:
        have = tape.origins(spec.id)
        history.versions = [one for one in history.versions if (one.at, one.origin) not in have]
        polls = history.arrivals(spec, limit=config.http.decoded_limit)
        mended = _take(config, tape, spec, polls, len(history.versions), now)
    yield _described(spec, mended, sorted([*history.refused, *mended.refused]))


def export_archive(config: Config, root: Path, specs: Sequence[SourceSpec]) -> Iterator[str]:
    """A line about what was written.

    Raises: BackfillRefused, StoreError.
    """
    with open_store(config.store) as reader:
        archive = Archive(archive_folder(config.store, config.archive))
        polls = kept_polls(reader, [spec.id for spec in specs] or None)
        lines, pruned = export(archive, polls, root, lambda poll: _show(f"{poll.source}: {iso(poll.at)}"))
    _clear()
    if pruned:
        _note(f"the documents of {pruned} polls were pruned: left out")
    yield f"{lines} documents in {root}"


def prune_archive(
    config: Config, policy: Policy, now: datetime, *, drop_before: datetime | None, dry_run: bool
) -> Iterator[str]:
    """A line about the documents that were dropped, or would be.

    Raises: StoreError.
    """
    with open_store(config.store):
        pass  # a store that is not there is not made by looking at it
    horizon = None if policy.full_s is None else now - timedelta(seconds=policy.full_s)
    tape = Tape(config.store, config.archive)
    try:
        pruned = tape.prune(
            policy,
            now=now,
            horizon=horizon,
            drop_before=drop_before,
            dry_run=dry_run,
            progress=_bar("archive: written anew"),
        )
    finally:
        tape.close()
        _clear()
    would = "would be " if dry_run else ""
    losing = f", {pruned.intervals} intervals {would}left without theirs" if drop_before else ""
    yield f"{pruned.polls} polls: documents {would}dropped, {pruned.freed:,} bytes {would}freed{losing}"


def _take(config: Config, tape: Tape, spec: SourceSpec, polls: Iterable[Arrival], count: int, now: datetime) -> Mended:
    reading, building = _bar(f"{spec.id}: reading"), _bar(f"{spec.id}: building")

    def watched() -> Iterator[Arrival]:
        for number, poll in enumerate(polls, 1):
            reading(number, count)
            yield poll

    try:
        return backfill(config.checks, tape, spec, watched(), known=now, progress=building)
    finally:
        _clear()


def _described(spec: SourceSpec, mended: Mended, refused: Sequence[tuple[datetime, str]]) -> str:
    for at, why in refused[:REFUSED_SHOWN]:
        _note(f"{spec.id}: refused, as of {iso(at)}: {why}")
    if len(refused) > REFUSED_SHOWN:
        _note(f"{spec.id}: and {len(refused) - REFUSED_SHOWN} more refused, the last as of {iso(refused[-1][0])}")
    return (
        f"{spec.id}: {mended.arrived} polls read, {mended.polls} in all, {len(refused)} refused,"
        f" {len(mended.corrections)} intervals new or corrected"
    )


def _bar(what: str) -> Callable[..., None]:
    return lambda done, known=None: _show(f"{what} {done}{f' of {known}' if known is not None else ''}")


def _show(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{printable(text)}", nl=False, err=True)


def _clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)


def _note(text: str) -> None:
    click.echo(f"tokentape: {printable(text)}", err=True)
