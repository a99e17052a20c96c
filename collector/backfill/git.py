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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import IO
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
_FILES = ("100644", "100755")
CHUNK = 1 << 20
PIPE = 1 << 20
"""Bytes under way from git: a body comes in a few reads, each of which may have to wait for other threads."""


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

    def arrivals(self, spec: SourceSpec, *, limit: int) -> Iterator[Arrival]:
        """Each version as a document of a source; in memory is one of them, and git's own.

        The document's address is that of the source: the file stands for what was served there.
        Raises: BackfillRefused if a version is not in the repository.
        """
        with _cat_file(self.repository) as (ask, answer):
            for version, following in zip(self.versions, [*self.versions[1:], None], strict=False):
                if version is self.versions[0]:
                    _ask(ask, version)
                if following is not None:
                    _ask(ask, following)  # git unpacks it while this one is read
                body = _body(answer, version, limit)
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


def read_history(repository: Path, file: str, *, since: datetime | None, now: datetime) -> History:
    """The versions of a file from an instant on.

    Raises: BackfillRefused if there is no such repository, or no such file in its history.
    """
    name = str(PurePosixPath(file))
    log = _git(repository, *_LOG, *_PLAIN, f":(top,literal){name}")
    history = History(repository=repository, versions=[])
    found = list(_changes(log, name))
    if not found:
        raise BackfillRefused(f"{repository}: its history has no file {file}")
    last: Version | None = None
    for commit, seconds, mode, blob in reversed(found):
        at = _instant(seconds)
        if at is None or at > now:
            history.refused.append((now if at is None else at, f"{commit[:12]}: its date is no past instant"))
            continue
        if last is not None:
            at = max(at, last.at + timedelta(milliseconds=1))
        if mode in _FILES and (last is None or blob != last.blob):
            last = Version(commit=commit, blob=blob, at=at)
            if since is None or at >= since:
                history.versions.append(last)
    return history


def _changes(log: bytes, name: str) -> Iterator[tuple[str, str, str, str]]:
    """(commit, seconds since 1970, mode, blob) for each commit that changed the file, newest first.

    Shape: `COMMIT TAB SECONDS NUL LF :MODE MODE BLOB BLOB STATUS NUL PATH NUL`, again and again.
    """
    commit = seconds = ""
    words = iter(os.fsdecode(log).split("\0"))
    for word in words:
        if word.startswith("\n:"):
            _, mode, _, blob, _ = word[2:].split(" ")
            if next(words) != name:
                raise BackfillRefused(
                    f"{name}: is a folder: wanted the path of one file, from the top of the repository"
                )
            yield commit, seconds, mode, blob
        elif word:
            commit, _, seconds = word.partition("\t")


def _instant(seconds: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


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
def _cat_file(repository: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Where to ask for blobs, and where they come; git ends with this, whatever happens."""
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
        try:
            yield git.stdin, git.stdout
        except (EOFError, BrokenPipeError):
            git.kill()
            complaints.seek(0)
            said = complaints.read(4096).decode(errors="replace")
            raise BackfillRefused(f"{repository}: git stopped in the middle: {said}") from None
        except BaseException:
            git.kill()
            raise


def _ask(git: IO[bytes], version: Version) -> None:
    git.write(f"{version.blob}\n".encode())
    git.flush()


def _body(git: IO[bytes], version: Version, limit: int) -> bytes | None:
    """The blob that git answers with; None if it is larger than is read.

    Raises: BackfillRefused if git does not have it; EOFError if git stopped.
    """
    header = git.readline().split()
    if header[1:] == [b"missing"]:
        raise BackfillRefused(f"{version.commit[:12]}: its version of the file is not in the repository")
    if len(header) != 3 or header[1] != b"blob":
        raise EOFError
    size = int(header[2])
    if size > limit:
        left = size + 1
        while left:
            left -= len(_exactly(git, min(left, CHUNK)))
        return None
    return _exactly(git, size + 1)[:-1]


def _exactly(git: IO[bytes], size: int) -> bytes:
    found = git.read(size)
    if len(found) != size:
        raise EOFError
    return found
