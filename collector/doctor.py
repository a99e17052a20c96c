"""What is wrong with an installation, and the command that mends it: a look at everything that takes no time.

What takes time is `tokentape verify`: whether everything that the store says follows from its archive.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from collector import clock, schedule
from collector.config import Config, ready
from store.alert_status import undelivered
from store.archive import Archive
from store.catalogue import SourceRow, sources
from store.errors import StoreError, StoreMissing
from store.instants import age_text, from_millis, iso, to_millis
from store.location import archive_folder, is_postgres, sqlite_path
from store.lock import WAL_RESET, daemon_of, reset_danger
from store.mounts import NETWORK, file_system
from store.read import Reader, open_store
from store.received import noted
from store.version import check_version

ROOM = 256 * 2**20
"""Bytes free on a disk below which it is soon full."""
NODES = 1000
"""The same of files that can be made."""
LOOK_BACK = timedelta(days=7)
LATE = timedelta(minutes=5)
"""Beyond two intervals, what a source may be late."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

_LAST_PACKS = """
SELECT s.name, (SELECT p.pack FROM poll p WHERE p.source_id = s.id AND p.pack IS NOT NULL AND p.pruned IS NULL
                ORDER BY p.at DESC LIMIT 1)
FROM source s ORDER BY s.name
"""
_LEFT = """
SELECT s.name, l.holder, l.until FROM lease l JOIN source s ON s.id = l.source_id
WHERE NOT l.done AND l.until <= :now ORDER BY s.name
"""
_GAPS = """
SELECT g.name, g.before, g.at FROM (
    SELECT s.name, s.every_s, p.at, LAG(p.at) OVER (PARTITION BY s.id ORDER BY p.at) AS before
    FROM source s JOIN poll p ON p.source_id = s.id
    WHERE p.at > :since AND p.outcome <> 'failed'
) g
WHERE g.at - g.before > 2000 * g.every_s + :late
ORDER BY g.name, g.at
"""

_RESTORE = "set archive in your configuration to where they are, or tokentape restore DIR, of your last backup"

Level = Literal["fault", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is not as it should be."""

    level: Level
    """`fault`: prices are not kept as they should be, or soon will not be; `note`: worth knowing."""
    what: str
    """`store`, `archive`, `clock`, `disk`, `source`, ..."""
    message: str
    mend: str
    """What to do: a command, where there is one; empty: nothing can be done any more."""


def examine(config: Config, environ: Mapping[str, str], now: datetime) -> Iterator[Trouble]:
    """All that is wrong, as far as can be told at once.

    Raises: StoreError for a URL that names no store.
    """
    archive = archive_folder(config.store, config.archive)
    yield from _surroundings(config, environ)
    if not is_postgres(config.store):
        yield from _file(sqlite_path(config.store))
    yield from _folder(archive)
    try:
        with open_store(config.store, any_schema=True) as reader:
            check_version(reader.name, reader.version)
            yield from _inside(reader, config, environ, Archive(archive), now)
    except StoreMissing as error:
        if why := clock.doubt(now, None):
            yield _fault("clock", why, "timedatectl set-ntp true")
        yield _fault("store", str(error), "tokentape collect")
    except StoreError as error:
        yield _fault("store", str(error), _mend_of(error))


def _mend_of(error: StoreError) -> str:
    if "tokentape db upgrade" in str(error):
        return "tokentape db upgrade"
    return "tokentape verify; then tokentape restore DIR, of your last backup" if "damaged" in str(error) else ""


def _fault(what: str, message: str, mend: str) -> Trouble:
    return Trouble(level="fault", what=what, message=message, mend=mend)


def _note(what: str, message: str, mend: str) -> Trouble:
    return Trouble(level="note", what=what, message=message, mend=mend)


def _surroundings(config: Config, environ: Mapping[str, str]) -> Iterator[Trouble]:
    """What the environment says: keys, proxies, the version of SQLite."""
    wanting = [
        f"{spec.id} ({spec.key_env})" for spec in config.sources.values() if spec.enabled and not ready(spec, environ)
    ]
    if wanting:
        yield _note("key", f"off for want of a key: {', '.join(wanting)}", "export NAME=KEY, for those that you have")
    found = [name for name in (*PROXIES, *map(str.lower, PROXIES)) if environ.get(name)]
    if found and not config.http.proxy:
        yield _note("proxy", f"{', '.join(found)} is set and not used", "set http.proxy in your configuration")
    if not is_postgres(config.store) and (why := reset_danger()):
        mended = ".".join(map(str, WAL_RESET[1]))
        yield _note("sqlite", why, f"keep to one daemon, or use a Python with SQLite {mended} or later")


def _file(path: Path) -> Iterator[Trouble]:
    """What can be said of the file of a store from outside."""
    if (kind := file_system(path)) in NETWORK:
        yield _fault("store", f"{path} lies on a network file system ({kind})", "move it to a disk of this machine")
    yield from _room(path)
    if not path.is_file():
        return
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            yield _fault("permissions", f"{place} cannot be written", f"chown {os.geteuid()} {place}")
            return
    if _locked(path):
        yield _fault("locked", f"{path} is being written by another program for longer than a moment", f"fuser {path}")


def _locked(path: Path) -> bool:
    """Whether nobody can write now, nor in a second."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=1)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    except sqlite3.Error:
        return False  # told when it is read
    return False


def _folder(archive: Path) -> Iterator[Trouble]:
    if archive.is_dir():
        yield from _room(archive / "lock")
        if not os.access(archive, os.W_OK):
            yield _fault("permissions", f"{archive} cannot be written", f"chown -R {os.geteuid()} {archive}")


def _room(path: Path) -> Iterator[Trouble]:
    """What is left of the disk that a file is on, or will be."""
    place = next((one for one in path.absolute().parents if one.is_dir()), Path("/"))
    free, nodes = shutil.disk_usage(place).free, os.statvfs(place)
    if free < ROOM:
        yield _fault("disk", f"{free // 2**20} MiB are free at {place}", "tokentape archive prune --full 90d")
    elif nodes.f_files and nodes.f_favail < NODES:
        yield _fault("disk", f"only {nodes.f_favail} more files can be made at {place}", f"df -i {place}")


def _inside(
    reader: Reader, config: Config, environ: Mapping[str, str], archive: Archive, now: datetime
) -> Iterator[Trouble]:
    known = {row.source: row for row in sources(reader, now)}
    newest = max((row.last_poll for row in known.values() if row.last_poll), default=None)
    if why := clock.doubt(now, newest):
        yield _fault("clock", why, "timedatectl set-ntp true")
    for name, pack in reader.rows(_LAST_PACKS):
        if pack is not None and not archive.has(str(pack)):
            yield _fault("archive", f"{name}: the documents of its newest poll are not in {archive.root}", _RESTORE)
    alive = None if is_postgres(config.store) else daemon_of(sqlite_path(config.store))
    for name, row in known.items():
        lacking = [one for one in noted(archive.root, name, row.last_poll) if one.at > (row.last_poll or one.at)]
        if lacking:
            yield _note(
                "archive",
                f"{name}: {len(lacking)} polls from {iso(lacking[0].at)} on are in the archive and not in the store",
                f"tokentape collect {name}",
            )
    on = [spec for spec in config.sources.values() if ready(spec, environ)]
    for spec in on:
        if spec.id in known:
            yield from _source(spec.every_s, known[spec.id], now)
    if new := [spec.id for spec in on if spec.id not in known]:
        yield _note("source", f"never polled: {', '.join(new)}", "tokentape collect")
    for name, holder, until in reader.rows(_LEFT, {"now": to_millis(now)}):
        if alive is None:
            left = f"{name}: a poll was left under way by {holder} at {iso(from_millis(until))}"
            yield _note("lease", left, "tokentape daemon")
    yield from _alerts(reader, config, environ)
    values = {"since": to_millis(now - LOOK_BACK), "late": LATE // timedelta(milliseconds=1)}
    for name, before, at in reader.rows(_GAPS, values):
        since, until = from_millis(before), from_millis(at)
        yield _note("unobserved", f"{name}: from {iso(since)} to {iso(until)} ({age_text(until - since)})", "")


def _alerts(reader: Reader, config: Config, environ: Mapping[str, str]) -> Iterator[Trouble]:
    """Channels that are not there, or do not take what they should."""
    named = {channel for rule in config.alerts for channel in rule.channels}
    if wanting := sorted(channel for channel in named if not environ.get(channel, "").strip()):
        yield _fault("alerts", f"not set: {', '.join(wanting)}", f"export {wanting[0]}=URL, of a channel")
    for one in undelivered(reader):
        told = (
            f"{one.channel}: {one.alerts} alerts undelivered since {iso(one.since)}, {one.attempts} tries: {one.error}"
        )
        yield _fault("alerts", told, "tokentape alerts test")


def _source(every_s: int, row: SourceRow, now: datetime) -> Iterator[Trouble]:
    """What is wrong with a source that is on."""
    name = row.source
    since = f"no success since {iso(row.last_success)}" if row.last_success else "never a success"
    if row.failures:
        apart = timedelta(seconds=schedule.apart_s(every_s, row.failures))
        said = f"{name}: failed {row.failures} times, {since}, asked every {age_text(apart)}: {row.last_error}"
        yield _fault("source", said, f"tokentape try {name}")
    elif row.last_success is None or now - row.last_success > 2 * timedelta(seconds=every_s) + LATE:
        yield _fault("source", f"{name}: stale, {since}", f"tokentape collect {name}, or tokentape daemon")
