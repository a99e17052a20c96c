"""Every state of folders in a git history, as a poll that was made of them at each commit.

What is read
    The same log as for one file, and of each commit the files that changed. Every commit becomes whole documents
    (`collector.trees`): one for each folder below the paths that are asked for, of which those that a commit leaves
    alone are the very documents of the commit before, fetched when it was.

What is left out
    Files that the source does not read (its parser says which), submodules, and a commit that changes nothing else.
    Instants are those of `collector.backfill.git`; a commit dated in the future is counted and named, and what it
    changed comes with the next one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from collector.backfill.git import FILES, Change, Commit, blobs, read_blob
from collector.contract import SourceSpec, TreeParser
from collector.errors import BackfillRefused
from collector.mend import Arrival
from collector.parse.folder import LINK, member, written
from collector.trees import listed
from store.records import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a commit left of the folders, told by what changed since the state before."""

    commit: str
    at: datetime
    origin: str
    """What tells this state from all others."""
    changes: Mapping[str, Change]
    """By path."""


@dataclass(slots=True, kw_only=True)
class TreeHistory:
    """The states of some folders, oldest first."""

    repository: Path
    folders: tuple[str, ...]
    """Paths from the top of the repository."""
    states: list[State]
    refused: list[tuple[datetime, str]] = field(default_factory=list)
    """States that are not handed on, and why: those of the log at once, those of the bodies as they are read."""

    def __len__(self) -> int:
        return len(self.states)

    def leave_out(self, have: AbstractSet[tuple[datetime, str]]) -> None:
        """Hand on no states whose (instant, origin) is there."""
        self.states = _only(self.states, lambda one: (one.at, one.origin) not in have)

    def arrivals(self, spec: SourceSpec, *, limit: int) -> Iterator[Arrival]:
        """Each state as documents of a source; in memory is one of them, and git's own.

        Raises: BackfillRefused if a file is not in the repository.
        """
        members: dict[str, dict[str, str]] = {}
        held: dict[str, Document] = {}
        large: set[str] = set()
        with blobs(
            self.repository, [one.blob for state in self.states for one in state.changes.values() if _kept(one)]
        ) as git:
            for state in self.states:
                touched: set[str] = set()
                for change in state.changes.values():
                    part = self._part(change.path)
                    touched.add(part)
                    large.discard(change.path)
                    members.setdefault(part, {}).pop(change.path, None)
                    if _kept(change):
                        body = read_blob(git, state.commit, limit)
                        if body is None:
                            large.add(change.path)
                        else:
                            members[part][change.path] = member(change.path, change.mode, body)
                for part in touched:
                    files = members[part]
                    held.pop(part, None)
                    if files:
                        folder = written(files[path] for path in sorted(files))
                        held[part] = _document(spec, state, f"git:{part}", folder, part)
                if large:
                    self.refused.append((state.at, f"{state.commit[:12]}: {min(large)} has more than {limit} bytes"))
                else:
                    folders = sorted(held)
                    first = _document(spec, state, f"git:{state.commit}", listed(state.commit, folders))
                    documents = (first, *(held[part] for part in folders))
                    yield Arrival(at=state.at, origin=state.origin, documents=documents)

    def _part(self, path: str) -> str:
        """The folder of a file that is a document of its own."""
        top = next(one for one in self.folders if path.startswith(f"{one}/"))
        inner, below, _ = path[len(top) + 1 :].partition("/")
        return f"{top}/{inner}" if below else top


def _kept(change: Change) -> bool:
    return change.mode in (*FILES, LINK)


def _document(spec: SourceSpec, state: State, url: str, body: bytes, part: str = "") -> Document:
    return Document(
        source=spec.id,
        url=url,
        fetched_at=state.at,
        status=200,
        body=body,
        content_type="application/json",
        part=part,
    )


def read_tree(
    repository: Path,
    commits: Sequence[Commit],
    paths: Sequence[str],
    spec: SourceSpec,
    parser: TreeParser,
    *,
    since: datetime | None,
    now: datetime,
) -> TreeHistory:
    """The states of folders from an instant on, of the commits that changed anything in them.

    Raises: BackfillRefused if the source is made of no file in one of them.
    """
    folders = tuple(sorted({str(PurePosixPath(path)) for path in paths}))
    history = TreeHistory(repository=repository, folders=folders, states=[])
    states: list[State] = []
    waiting: dict[str, Change] = {}
    for commit in commits:
        waiting |= {one.path: one for one in commit.changes if parser.reads(one.path)}
        if not waiting:
            continue
        at = commit.instant(after=states[-1].at if states else None, now=now, refused=history.refused)
        if at is not None:
            origin = f"git commit {commit.name} of {', '.join(folders)}"
            states.append(State(commit=commit.name, at=at, origin=origin, changes=waiting))
            waiting = {}
    for folder in folders:
        if not any(path.startswith(f"{folder}/") for state in states for path in state.changes):
            raise BackfillRefused(f"{folder}: no folder of files that {spec.id} is made of")
    history.states = _only(states, lambda one: since is None or one.at >= since)
    return history


def _only(states: Iterable[State], wanted: Callable[[State], bool]) -> list[State]:
    """Some states, each with what changed in those before it that are left out."""
    left: list[State] = []
    waiting: dict[str, Change] = {}
    for one in states:
        waiting |= one.changes
        if wanted(one):
            left.append(replace(one, changes=waiting))
            waiting = {}
    return left
