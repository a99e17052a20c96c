"""Every version of a file in a git history, as a document that was current from its commit on.

What is read
    The first-parent history of HEAD, what the file's home branch had when: one `git log --raw` for all (commit, blob),
    one `git cat-file --batch` for the bodies. Nothing is checked out, written, fetched or run: no hook, monitor,
    filter, pager or signature check; of the environment no `GIT_*` variable is handed on.

Instants
    The committer's date, in UTC: the author's may be years before the file was published. Seconds are all that git has,
    and clocks of committers differ: a version that is not dated after the one before it counts as one millisecond after
    it, so that the order of history stands (git's own corrected commit date does the same, by a second). Where `since`
    cuts makes no difference to that.

What is left out
    A version equal to the one before it, also across a deletion, which says nothing of prices; a symbolic link or a
    submodule under the file's name; and, counted and named, a version dated in the future or larger than is read.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

from collector.contract import SourceSpec
from collector.errors import BackfillRefused
from collector.mend import Arrival
from store.records import Document

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|[^/]+:", re.IGNORECASE)
_LOG = ("log", "-z", "--format=%H\t%ct", "--first-parent", "--diff-merges=first-parent", "--raw", "--no-abbrev")
_PLAIN = (
    "--no-renames",
    "--no-relative",
    "--encoding=UTF-8",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--end-of-options",
    "HEAD",
    "--",
)
_SETTINGS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "protocol.allow=never",  # nor does a partial clone fetch what it lacks
    "log.showSignature=false",
    "log.showRoot=true",
    "log.follow=false",
)
_ENVIRON = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
}
FILES = ("100644", "100755")
CHUNK = 1 << 20
PIPE = 1 << 20
"""Bytes under way from git: a body comes in a few reads, each of which may have to wait for other threads."""


class Change(NamedTuple):
    """A file as a commit left it; mode `000000` where it took it away."""

    path: str
    mode: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit changed."""

    name: str
    seconds: str
    """Of the committer, since 1970, as git has them."""
    changes: list[Change] = field(default_factory=list)

    def instant(self, *, after: datetime | None, now: datetime, refused: list[tuple[datetime, str]]) -> datetime | None:
        """When it came, if it is to come after an instant; None, which is noted, where it has no past date."""
        try:
            at = datetime.fromtimestamp(int(self.seconds), UTC)
        except (ValueError, OverflowError, OSError):
            at = None
        if at is None or at > now:
            refused.append((now if at is None else at, f"{self.name[:12]}: its date is no past instant"))
            return None
        return at if after is None else max(at, after + timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A file as a commit left it."""

    commit: str
    blob: str
    at: datetime

    @property
    def origin(self) -> str:
        """What tells this copy from all others."""
        return f"git blob {self.blob}"


@dataclass(slots=True, kw_only=True)
class History:
    """The versions of one file, oldest first."""

    repository: Path
    versions: list[Version]
    refused: list[tuple[datetime, str]] = field(default_factory=list)
    """Versions that are not handed on, and why: those of the log at once, those of the bodies as they are read."""

    def __len__(self) -> int:
        return len(self.versions)

    def leave_out(self, have: AbstractSet[tuple[datetime, str]]) -> None:
        """Hand on no versions whose (instant, origin) is there."""
        self.versions = [one for one in self.versions if (one.at, one.origin) not in have]

    def arrivals(self, spec: SourceSpec, *, limit: int) -> Iterator[Arrival]:
        """Each version as a document of a source; in memory is one of them, and git's own.

        The document's address is that of the source: the file stands for what was served there.
        Raises: BackfillRefused if a version is not in the repository.
        """
        with blobs(self.repository, [version.blob for version in self.versions]) as git:
            for version in self.versions:
                body = read_blob(git, version.commit, limit)
                if body is None:
                    self.refused.append((version.at, f"{version.commit[:12]}: more than {limit} bytes"))
                else:
                    yield Arrival(
                        at=version.at,
                        origin=version.origin,
                        documents=(
                            Document(source=spec.id, url=spec.url, fetched_at=version.at, status=200, body=body),
                        ),
                    )


def repository_at(place: str) -> Path:
    """The folder that a user means by a path or a `file://` address.

    Raises: BackfillRefused for anything that would have to be fetched, or is not there.
    """
    path = Path(place).expanduser()
    if place.lower().startswith("file://"):
        address = urlsplit(place)
        if address.netloc not in ("", "localhost"):
            raise BackfillRefused(f"{place}: names another machine: clone it first")
        path = Path(unquote(address.path))
    elif _ADDRESS.match(place) and not path.exists():
        raise BackfillRefused(
            f"{place}: is not on this machine: clone it first (git clone --bare), then name the folder"
        )
    if "\0" in str(path) or not path.is_dir():
        raise BackfillRefused(f"{place}: is no folder")
    return path


def is_one_file(commits: Sequence[Commit], paths: Sequence[str]) -> bool:
    """Whether what commits changed is the file at a path."""
    return {one.path for commit in commits for one in commit.changes} == {str(PurePosixPath(path)) for path in paths}


def read_log(repository: Path, paths: Sequence[str]) -> list[Commit]:
    """The commits that changed a file at one of the paths or below it, oldest first.

    Raises: BackfillRefused if there is no such repository, or one of the paths has no history in it.
    """
    names = {path: str(PurePosixPath(path)) for path in paths}
    log = _git(repository, *_LOG, *_PLAIN, *(f":(top,literal){name}" for name in names.values()))
    commits = list(_commits(log))[::-1]
    for path, name in names.items():
        if not any(one.path == name or one.path.startswith(f"{name}/") for commit in commits for one in commit.changes):
            raise BackfillRefused(f"{repository}: its history has no file {path}")
    return commits


def read_history(
    repository: Path, commits: Sequence[Commit], file: str, *, since: datetime | None, now: datetime
) -> History:
    """The versions of a file from an instant on, of the commits that changed it.

    Raises: BackfillRefused if it is a folder.
    """
    history = History(repository=repository, versions=[])
    last: Version | None = None
    for commit in commits:
        at = commit.instant(after=last.at if last else None, now=now, refused=history.refused)
        if at is None:
            continue
        ((path, mode, blob), *others) = commit.changes
        if others or path != str(PurePosixPath(file)):
            raise BackfillRefused(f"{file}: is a folder: wanted the path of one file, from the top of the repository")
        if mode in FILES and (last is None or blob != last.blob):
            last = Version(commit=commit.name, blob=blob, at=at)
            if since is None or at >= since:
                history.versions.append(last)
    return history


def _commits(log: bytes) -> Iterator[Commit]:
    """Newest first.

    Shape: `COMMIT TAB SECONDS NUL LF :MODE MODE BLOB BLOB STATUS NUL PATH NUL ...`, again and again.
    """
    commit: Commit | None = None
    words = iter(os.fsdecode(log).split("\0"))
    for word in words:
        if word.startswith((":", "\n:")) and commit is not None:
            _, mode, _, blob, _ = word.lstrip("\n").split(" ")
            commit.changes.append(Change(next(words), mode, blob))
        elif word:
            if commit is not None:
                yield commit
            name, _, seconds = word.partition("\t")
            commit = Commit(name=name, seconds=seconds)
    if commit is not None:
        yield commit


def _command(repository: Path, arguments: Sequence[str]) -> list[str]:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    return ["git", "--no-pager", "-C", str(repository.absolute()), *settings, *arguments]


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ENVIRON


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - a list of words, the user's own path among them behind `-C` or `--`
            _command(repository, arguments), env=_environ(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise BackfillRefused("git is not installed, or not on the PATH") from None
    if done.returncode:
        raise BackfillRefused(f"{repository}: git says: {done.stderr.decode(errors='replace')}")
    return done.stdout


@contextmanager
def blobs(repository: Path, names: Iterable[str]) -> Iterator[IO[bytes]]:
    """Where blobs come, in the order of their names, for `read_blob`; git ends with this, whatever happens.

    Raises: BackfillRefused if git stops in the middle.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - as above
            _command(repository, ("cat-file", "--batch")),
            env=_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            pipesize=PIPE,
        ) as git,
    ):
        assert git.stdin is not None
        assert git.stdout is not None
        asking = Thread(target=_ask, args=(git.stdin, names), name="asking git", daemon=True)
        asking.start()
        try:
            yield git.stdout
        except EOFError:
            git.kill()
            complaints.seek(0)
            said = complaints.read(4096).decode(errors="replace")
            raise BackfillRefused(f"{repository}: git stopped in the middle: {said}") from None
        except BaseException:
            git.kill()
            raise
        finally:
            asking.join()


def _ask(git: IO[bytes], names: Iterable[str]) -> None:
    """Ask for blobs: git has the next one ready while one is read, and waits for who reads."""
    with suppress(BrokenPipeError), git:
        for name in names:
            git.write(f"{name}\n".encode())


def read_blob(git: IO[bytes], commit: str, limit: int) -> bytes | None:
    """The next blob, which a commit has; None if it is larger than is read.

    Raises: BackfillRefused if git does not have it; EOFError if git stopped.
    """
    header = git.readline().split()
    if header[1:] == [b"missing"]:
        raise BackfillRefused(f"{commit[:12]}: its version of a file is not in the repository")
    if len(header) != 3 or header[1] != b"blob":
        raise EOFError
    size = int(header[2])
    if size > limit:
        left = size + 1
        while left:
            left -= len(_exactly(git, min(left, CHUNK)))
        return None
    body = _exactly(git, size)
    _exactly(git, 1)
    return body


def _exactly(git: IO[bytes], size: int) -> bytes:
    found = git.read(size)
    if len(found) != size:
        raise EOFError
    return found
