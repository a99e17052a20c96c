"""What `tokentape backfill` and `tokentape archive` do, apart from their options."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import click

from collector.backfill.archive import Folder, fans_out
from collector.backfill.export import export
from collector.backfill.git import History, is_one_file, read_history, read_log, repository_at
from collector.backfill.git_tree import TreeHistory, read_tree
from collector.backfill.sweeps import arrivals
from collector.config import Config
from collector.contract import SourceSpec, TreeParser
from collector.errors import BackfillRefused
from collector.mend import Arrival, Mended, backfill
from collector.sources import parser_of
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
    config: Config, place: str, paths: Sequence[str], spec: SourceSpec, since: datetime | None, now: datetime
) -> Iterator[str]:
    """A line about the versions of a file, or of folders, that were taken over.

    Raises: BackfillRefused, with nothing written; StoreError.
    """
    if fans_out(spec):
        raise BackfillRefused(f"{spec.id}: is many documents, which no file or folder can stand for")
    repository = repository_at(place)
    commits = read_log(repository, paths)
    history: History | TreeHistory
    parser = parser_of(spec)
    if isinstance(parser, TreeParser) and not is_one_file(commits, paths):
        history = read_tree(repository, commits, paths, spec, parser, since=since, now=now)
    elif len(paths) > 1:
        raise BackfillRefused(f"{', '.join(paths)}: {spec.id} is one document: wanted the path of one file")
    else:
        history = read_history(repository, commits, paths[0], since=since, now=now)
    with closing(Tape(config.store, config.archive)) as tape:
        history.leave_out(tape.origins(spec.id))
        polls = history.arrivals(spec, limit=config.http.decoded_limit)
        mended = _take(config, tape, spec, polls, len(history), now)
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
