"""All recorded timelines of configured sources in an archive, and in git packed: bytes of both, and the slowest read.

Each poll is kept with the one before it as its base. git has each version as a commit of one file, and a sweep of many
answers also as a file for each answer, whichever is smaller; its pack file is counted, without index. A read is of a
whole pack, every hash verified, by a process that has read no other; of three the fastest counts, then of all packs the
slowest. A second row of each timeline is of all its polls kept at once, as a backfill does, in one file (`bulk`): its
`keep` is processor time a poll, the thread that compresses included.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from store.archive import Archive
from store.records import Document
from tests.benchmarks.measure import figure, note, recorded
from tests.test_archive import AT, histories, way

GOAL = 1.5
REPETITIONS = 3
QUIET = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Repository:
    """A bare git repository, filled through one stream."""

    def __init__(self, path: Path) -> None:
        self._path = path
        subprocess.run(["git", "init", "--quiet", "--bare", path], check=True, env=QUIET)

    def __enter__(self) -> Self:
        command = ["git", "fast-import", "--quiet"]
        self._import = subprocess.Popen(command, cwd=self._path, env=QUIET, stdin=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._import.stdin is not None
        self._import.stdin.close()
        if self._import.wait() and error is None:
            raise RuntimeError("git fast-import failed")

    def commit(self, at: float, files: Iterable[tuple[str, bytes]]) -> None:
        """One version."""
        stream = self._import.stdin
        assert stream is not None
        stream.write(f"commit refs/heads/main\ncommitter a <a@b> {at:.0f} +0000\ndata 0\ndeleteall\n".encode())
        for path, content in files:
            stream.write(f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")

    def packed(self) -> int:
        """Bytes of the pack file."""
        command = ["git", "repack", "-adfq", "--depth=50", "--window=10"]
        subprocess.run(command, cwd=self._path, check=True, env=QUIET)
        return sum(path.stat().st_size for path in self._path.glob("objects/pack/*.pack"))


@dataclass(slots=True, kw_only=True)
class Kept:
    """One timeline in the archive."""

    versions: int = 0
    body_bytes: int = 0
    keys: list[str] = field(default_factory=list)
    slowest_keep_s: float = 0.0


def keep(archive: Archive, history: Iterator[list[Document]], git: Sequence[Repository]) -> Kept:
    """Keep every version in the archive and in git."""
    kept = Kept()
    before: str | None = None
    for documents in history:
        started = time.perf_counter()
        before = archive.keep(documents, before)
        kept.slowest_keep_s = max(kept.slowest_keep_s, time.perf_counter() - started)
        kept.versions += 1
        kept.body_bytes += sum(len(one.body) for one in documents)
        kept.keys.append(before)
        at = documents[0].fetched_at.timestamp()
        as_one, as_many = git
        as_one.commit(at, [("all", b"".join(one.body for one in documents))])
        as_many.commit(at, [(f"{quote(one.part, safe='') or 'first'}.json", one.body) for one in documents])
    return kept


def keep_at_once(archive: Archive, history: Iterator[list[Document]]) -> tuple[list[str], float]:
    """Keep every version in one file: the keys, and processor time a version without that of reading the recordings."""
    keys: list[str] = []
    reading = -time.thread_time()
    started = time.process_time()
    with archive.bulk() as bulk:
        for documents in history:
            reading += time.thread_time()
            keys.append(bulk.keep(documents))
            reading -= time.thread_time()
        reading += time.thread_time()
    return keys, (time.process_time() - started - reading) / len(keys)


def slowest_read_s(archive: Archive, keys: Iterable[str]) -> float:
    """Of the pack that takes longest."""

    def seconds(key: str) -> float:
        started = time.perf_counter()
        Archive(archive.root).documents(key, source="", fetched_at=AT)
        return time.perf_counter() - started

    return max(min(seconds(key) for _ in range(REPETITIONS)) for key in keys)


def line(name: str, versions: int, whole: int, git: int, packs: int, rest: str) -> str:
    """A row of the table."""
    sizes = "".join(f"{size / 1000:>12,.0f}" for size in (whole, git, packs))
    return f"{name:16}{versions:>9}{sizes}{figure(packs / git):>10}{rest}"


def main() -> None:
    """Print the figures."""
    head = f"{'timeline':16}{'versions':>9}{'bodies kB':>12}{'git kB':>12}{'archive kB':>12}{'of git':>10}"
    print(f"{head}{'deepest':>9}{'slowest read':>14}{'slowest keep':>14}")
    totals = [0, 0, 0, 0]
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for (name, history), (_, again) in zip(histories(recorded()), histories(recorded()), strict=True):
            note(f"{name} ...")
            scratch = Path(folder) / name
            archive = Archive(scratch / "archive")
            with Repository(scratch / "one.git") as as_one, Repository(scratch / "many.git") as as_many:
                kept = keep(archive, history, (as_one, as_many))
            git = min(as_one.packed(), as_many.packed())
            packs = sum(path.stat().st_size for path in archive.root.rglob("*.zst"))
            keys = set(kept.keys)
            deepest = max(len(way(archive, key)) - 1 for key in keys)
            read_s = slowest_read_s(archive, keys)
            faults = list(archive.check())
            assert not faults, faults
            rest = f"{deepest:>9}{figure(1000 * read_s):>11} ms{figure(1000 * kept.slowest_keep_s):>11} ms"
            print(line(name, kept.versions, kept.body_bytes, git, packs, rest), flush=True)
            bulk = Archive(scratch / "bulk")
            many, cpu_s = keep_at_once(bulk, again)
            assert set(many) == keys
            bulk_read_s = slowest_read_s(bulk, keys)
            bulk_size = sum(path.stat().st_size for path in bulk.root.rglob("*.zst"))
            rest = f"{'':9}{figure(1000 * bulk_read_s):>11} ms{figure(1000 * cpu_s):>11} ms"
            print(line("  bulk", kept.versions, kept.body_bytes, git, bulk_size, rest), flush=True)
            slowest = max(slowest, read_s, bulk_read_s)
            found = (kept.versions, kept.body_bytes, git, packs)
            totals = [total + one for total, one in zip(totals, found, strict=True)]
    versions, whole, git, packs = totals
    print(line("all", versions, whole, git, packs, f"{'':9}{figure(1000 * slowest):>11} ms"))
    print(f"archive / git: {figure(packs / git)} (at most {GOAL})")


if __name__ == "__main__":
    main()
