"""Git histories: real repositories, made by `git fast-import`, taken over as if polled at every commit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.backfill.commands import backfill_git
from collector.backfill.git import History, read_history, read_log, repository_at
from collector.config import Config, load
from collector.errors import BackfillRefused
from tests import test_timelines, timelines
from tests.test_timeline import store_digest

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 12, 1, tzinfo=UTC)
START = 1_785_542_400
"""Seconds since 1970 of 2026-08-01T00:00:00Z."""
FILE = "data/prices now.json"
PACKAGED = load(None, {})


def hour(count: float) -> datetime:
    return datetime.fromtimestamp(START, UTC) + timedelta(hours=count)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """Of one file; `body` None deletes it."""

    hour: float
    body: bytes | None = None
    file: str = FILE
    mode: str = "100644"
    branch: str = "main"
    start: str = ""
    """The branch that this one leaves."""
    merged: str = ""
    """The branch that this one takes in."""


def repository(path: Path, commits: Iterable[Commit]) -> Path:
    """A bare repository with these commits."""
    git(path.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    stream = b""
    for commit in commits:
        seconds = START + round(commit.hour * 3600)
        ref = f"refs/heads/{commit.branch}"
        links = [f"from refs/heads/{commit.start}"] if commit.start else []
        links += [f"merge refs/heads/{commit.merged}"] if commit.merged else []
        stream += f"commit {ref}\nauthor T <t@x> 0 +0000\ncommitter T <t@x> {seconds} +0200\ndata 1\nm\n".encode()
        stream += "".join(f"{one}\n" for one in links).encode()
        if commit.body is None:
            stream += f"D {commit.file}\n".encode()
        elif commit.mode == "160000":
            stream += f"M 160000 {'1' * 40} {commit.file}\n".encode()
        else:
            stream += f"M {commit.mode} inline {commit.file}\ndata {len(commit.body)}\n".encode() + commit.body + b"\n"
    git(path, "fast-import", "--quiet", "--date-format=raw-permissive", given=stream)
    return path


def git(folder: Path, *words: str, given: bytes = b"") -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "-C", str(folder), *words], input=given, check=True, env=environ, capture_output=True)


def prices(**models: float) -> bytes:
    """A list in DeepInfra's shape."""
    rows = [
        {"id": f"acme/{name}", "metadata": {"pricing": {"input_tokens": price, "output_tokens": price}}}
        for name, price in models.items()
    ]
    return json.dumps({"data": rows}).encode()


def read(path: Path, file: str = FILE, since: datetime | None = None, now: datetime = NOW) -> History:
    return read_history(path, read_log(path, [file]), file, since=since, now=now)


def versions(history: History, limit: int = 2**25) -> list[tuple[datetime, bytes]]:
    spec = PACKAGED.sources["deepinfra"]
    return [(one.at, one.documents[0].body) for one in history.arrivals(spec, limit=limit)]


def configured(store: Path) -> Config:
    spec = replace(PACKAGED.sources["deepinfra"], expect={}, skip={})
    return replace(PACKAGED, store=str(store), sources={**PACKAGED.sources, "deepinfra": spec})


def take(store: Path, place: str, since: datetime | None = None) -> str:
    config = configured(store)
    (line,) = backfill_git(config, place, [FILE], config.sources["deepinfra"], since, NOW)
    return line


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(
        tmp_path / "repo.git",
        [
            Commit(hour=0, body=prices(one=1, two=2)),
            Commit(hour=24, body=prices(one=1.5, two=2)),
            Commit(hour=48, body=b"elsewhere", file="README"),
            Commit(hour=72, body=prices(one=1.5, two=2.5)),
        ],
    )


# ---- Which versions, and when ----------------------------------------------------------------------------------------


def test_every_version_of_the_file_comes_once_oldest_first_at_its_committers_instant(repo: Path) -> None:
    assert versions(read(repo)) == [
        (hour(0), prices(one=1, two=2)),
        (hour(24), prices(one=1.5, two=2)),
        (hour(72), prices(one=1.5, two=2.5)),
    ]


def test_a_document_has_the_address_of_its_source(repo: Path) -> None:
    spec = PACKAGED.sources["deepinfra"]
    (document,) = next(read(repo).arrivals(spec, limit=2**20)).documents
    assert (document.source, document.url, document.status, document.part) == ("deepinfra", spec.url, 200, "")


def test_the_same_version_twice_in_a_row_is_one_also_across_a_deletion_and_a_change_of_mode(tmp_path: Path) -> None:
    repo = repository(
        tmp_path / "r.git",
        [
            Commit(hour=0, body=b"1"),
            Commit(hour=1, body=b"1", mode="100755"),
            Commit(hour=2),
            Commit(hour=3, body=b"1"),
            Commit(hour=4, body=b"2"),
            Commit(hour=5, body=b"1"),
        ],
    )
    assert versions(read(repo)) == [(hour(0), b"1"), (hour(4), b"2"), (hour(5), b"1")]


def test_links_and_submodules_under_the_files_name_are_no_versions(tmp_path: Path) -> None:
    repo = repository(
        tmp_path / "r.git",
        [
            Commit(hour=0, body=b"1"),
            Commit(hour=1, body=b"../../etc/passwd", mode="120000"),
            Commit(hour=2, body=b"", mode="160000"),
            Commit(hour=3, body=b"2"),
        ],
    )
    assert versions(read(repo)) == [(hour(0), b"1"), (hour(3), b"2")]


def test_a_version_not_dated_after_the_one_before_it_follows_by_a_millisecond(tmp_path: Path) -> None:
    repo = repository(
        tmp_path / "r.git",
        [Commit(hour=at, body=body) for at, body in ((2, b"1"), (2, b"2"), (1, b"3"), (3, b"4"))],
    )
    tick = timedelta(milliseconds=1)
    found = [(hour(2), b"1"), (hour(2) + tick, b"2"), (hour(2) + 2 * tick, b"3"), (hour(3), b"4")]
    assert versions(read(repo)) == found
    assert versions(read(repo, since=hour(2) + tick)) == found[1:]


def test_of_a_merge_only_the_home_branch_counts(tmp_path: Path) -> None:
    repo = repository(
        tmp_path / "r.git",
        [
            Commit(hour=0, body=b"1"),
            Commit(hour=1, body=b"never published", branch="topic", start="main"),
            Commit(hour=2, body=b"2", branch="topic"),
            Commit(hour=3, body=b"x", file="other"),
            Commit(hour=4, body=b"2", merged="topic"),
        ],
    )
    assert versions(read(repo)) == [(hour(0), b"1"), (hour(4), b"2")]


def test_since_begins_with_the_first_version_from_then_on(repo: Path) -> None:
    assert [at for at, _ in versions(read(repo, since=hour(24)))] == [hour(24), hour(72)]
    assert versions(read(repo, since=hour(100))) == []


def test_a_version_dated_in_the_future_is_refused_and_moves_no_other(repo: Path) -> None:
    history = read(repo, now=hour(30))
    assert [at for at, _ in versions(history)] == [hour(0), hour(24)]
    ((at, why),) = history.refused
    assert at == hour(72)
    assert "no past instant" in why


def test_a_version_larger_than_is_read_is_passed_over_and_told(tmp_path: Path) -> None:
    large = bytes(3 * 2**20)
    repo = repository(
        tmp_path / "r.git",
        [Commit(hour=0, body=b"1"), Commit(hour=1, body=large), Commit(hour=2, body=b""), Commit(hour=3, body=large)],
    )
    history = read(repo)
    assert versions(history, limit=2**20) == [(hour(0), b"1"), (hour(2), b"")]
    assert [at for at, _ in history.refused] == [hour(1), hour(3)]


@pytest.mark.parametrize("file", ["ü.json", "a\tb", 'quo"te', "new\nline", "*", ":(glob)x", "-x", "a  b "])
def test_any_name_of_a_file_is_taken_literally(tmp_path: Path, file: str) -> None:
    quoted = json.dumps(file, ensure_ascii=False) if not file.isprintable() or '"' in file else file
    repo = repository(
        tmp_path / "r.git", [Commit(hour=0, body=b"1", file=quoted), Commit(hour=1, body=b"2", file="another")]
    )
    assert versions(read(repo, file)) == [(hour(0), b"1")]


def test_a_repository_with_sha256_names_is_read_too(tmp_path: Path) -> None:
    repo = tmp_path / "r"
    git(tmp_path, "init", "--quiet", "--object-format=sha256", str(repo))
    (repo / "f").write_bytes(b"1")
    git(repo, "add", "f")
    git(repo, "-c", "user.name=t", "-c", "user.email=t@x", "commit", "--quiet", "-m", "m")
    assert [body for _, body in versions(read(repo, "f"))] == [b"1"]


# ---- What git is not allowed -----------------------------------------------------------------------------------------


def test_settings_of_the_repository_and_the_environment_change_nothing(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = versions(read(repo))
    touch = f"touch {tmp_path / 'ran'}"
    for name, value in {
        "core.fsmonitor": touch,
        "core.pager": touch,
        "diff.external": touch,
        "gpg.program": touch,
        "core.hooksPath": str(tmp_path),
        "log.showSignature": "true",
        "log.showRoot": "false",
        "log.follow": "true",
        "log.date": "relative",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.noprefix": "true",
        "color.ui": "always",
        "format.pretty": "oneline",
        "i18n.logOutputEncoding": "utf-16",
    }.items():
        git(repo, "config", name, value)
    for name, value in {"GIT_DIR": "/nowhere", "GIT_TRACE": "1", "GIT_LITERAL_PATHSPECS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert versions(read(repo)) == expected
    assert not (tmp_path / "ran").exists()


def test_replaced_objects_are_read_as_they_were(repo: Path) -> None:
    expected = versions(read(repo))
    first, last = (read(repo).versions[number].blob for number in (0, -1))
    git(repo, "replace", first, last)
    assert versions(read(repo)) == expected


def test_what_a_partial_clone_lacks_is_not_fetched(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", f"file://{repo}", "partial.git")
    with pytest.raises(BackfillRefused, match="git stopped in the middle: "):
        versions(read(tmp_path / "partial.git"))


@pytest.mark.parametrize(
    "place",
    ["https://x.example/r.git", "git@x.example:r.git", "ssh://x.example/r", "ext::sh -c true", "file://x.example/r"],
)
def test_what_is_not_on_this_machine_is_refused_with_a_hint(place: str) -> None:
    with pytest.raises(BackfillRefused, match="clone it first"):
        repository_at(place)


def test_a_repository_is_named_by_path_or_file_address(repo: Path, tmp_path: Path) -> None:
    assert repository_at(str(repo)) == repository_at(repo.as_uri()) == repo
    odd = tmp_path / "a:b ü"
    odd.mkdir()
    assert repository_at(str(odd)) == repository_at(odd.as_uri()) == odd
    with pytest.raises(BackfillRefused, match="is no folder"):
        repository_at(str(tmp_path / "nothing"))


def test_what_has_no_such_history_is_refused_in_one_line(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    for path, file, message in (
        (repo, "no.json", "has no file no.json"),
        (repo, "data", "is a folder"),
        (repo, "", "has no file"),
        (repo, "../x", "has no file"),
        (tmp_path / "empty", FILE, "git says"),
    ):
        with pytest.raises(BackfillRefused, match=message) as refused:
            read(path, file)
        assert "\n" not in str(refused.value)


def test_a_blob_that_is_missing_is_refused(repo: Path) -> None:
    history = read(repo)
    (repo / "objects").rename(repo / "taken")
    git(repo.parent, "init", "--quiet", "--bare", str(repo))
    with pytest.raises(BackfillRefused, match="is not in the repository"):
        versions(history)


# ---- Into a store ----------------------------------------------------------------------------------------------------


def test_a_history_becomes_the_timeline_of_its_versions(repo: Path, tmp_path: Path) -> None:
    line = take(tmp_path / "tape.db", str(repo))
    assert line == "deepinfra: 3 polls read, 3 in all, 0 refused, 4 intervals new or corrected"


def test_a_history_taken_over_in_two_parts_in_any_order_gives_the_same_store(repo: Path, tmp_path: Path) -> None:
    take(tmp_path / "whole.db", str(repo))
    take(tmp_path / "parts.db", str(repo), hour(24))
    take(tmp_path / "parts.db", str(repo))
    assert store_digest(tmp_path / "parts.db") == store_digest(tmp_path / "whole.db")
    assert take(tmp_path / "parts.db", str(repo)).endswith(" 0 intervals new or corrected")
    assert store_digest(tmp_path / "parts.db") == store_digest(tmp_path / "whole.db")


def test_versions_that_the_store_has_are_not_read_again(repo: Path, tmp_path: Path) -> None:
    take(tmp_path / "tape.db", str(repo))
    digest = store_digest(tmp_path / "tape.db")
    assert take(tmp_path / "tape.db", str(repo)).startswith("deepinfra: 0 polls read, 3 in all, 0 refused, 0 intervals")
    assert store_digest(tmp_path / "tape.db") == digest
    for folder, newer in (("old", 1), ("new", 2)):
        other = repository(
            tmp_path / folder, [Commit(hour=0, body=prices(one=1, two=2)), Commit(hour=24, body=prices(one=newer))]
        )
        line = take(tmp_path / "tape.db", str(other))
        assert line.startswith("deepinfra: 1 polls read"), "another body of the same instant is another version"


def test_a_history_that_goes_on_is_gone_on_with(repo: Path, tmp_path: Path) -> None:
    """What is newer than all that is stored leaves the same as if all had come at once, and reads nothing again."""
    take(tmp_path / "parts.db", str(repo))
    shutil.rmtree(tmp_path / "parts.archive")
    more = [Commit(hour=hours, body=prices(one=price, two=2.5)) for hours, price in ((96, 1.5), (120, 1.75))]
    repository(repo, [replace(more[0], start="main^0"), more[1]])
    assert take(tmp_path / "parts.db", str(repo)).startswith("deepinfra: 1 polls read, 4 in all")
    take(tmp_path / "whole.db", str(repo))
    assert store_digest(tmp_path / "parts.db") == store_digest(tmp_path / "whole.db")


def test_a_version_that_the_parser_refuses_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [prices(one=1), *(b"broken %d" % number for number in range(7)), prices(one=2)]
    repo = repository(tmp_path / "r.git", [Commit(hour=number, body=body) for number, body in enumerate(bodies)])
    assert "9 polls read, 9 in all, 7 refused, 2 intervals" in take(tmp_path / "tape.db", str(repo))
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("tokentape: deepinfra: refused, as of 2026-08-01T01:00:00Z: ")
    assert told[5] == "tokentape: deepinfra: and 2 more refused, the last as of 2026-08-01T07:00:00Z"
    assert len(told) == 6


def test_a_source_of_many_documents_has_no_history_of_one_file(repo: Path, tmp_path: Path) -> None:
    config = configured(tmp_path / "tape.db")
    with pytest.raises(BackfillRefused, match="many documents"):
        list(backfill_git(config, str(repo), [FILE], config.sources["openrouter"], None, NOW))


def test_the_command_takes_over_a_history_and_tells_a_mistake_in_one_line(repo: Path, tmp_path: Path) -> None:
    words = ("backfill", "git", str(repo), "--path", FILE, "--source", "deepinfra", "--since", "2026-08-02")
    done = tokentape(tmp_path, *words)
    assert (done.returncode, done.stderr.count("refused, as of")) == (0, 2)
    assert done.stdout == "deepinfra: 2 polls read, 2 in all, 2 refused, 0 intervals new or corrected\n"
    done = tokentape(tmp_path, "backfill", "git", "https://x.example/r", "--path", "x", "--source", "deepinfra")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def tokentape(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    program = "from collector.cli import run; run()"
    command = [sys.executable, "-c", program, "--store", str(folder / "tape.db"), *words]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=folder)


@pytest.mark.recorded
def test_a_recorded_timeline_committed_version_by_version_gives_the_intervals_of_a_second_reading(
    recorded: Path, tmp_path: Path
) -> None:
    rows = timelines.rows(recorded, "litellm")
    commits = [
        Commit(hour=(timelines.instant(row).timestamp() - START) / 3600, body=timelines.body(recorded, row))
        for row in rows
    ]
    repo = repository(tmp_path / "r.git", commits)
    config = replace(PACKAGED, store=str(tmp_path / "tape.db"))
    (line,) = backfill_git(config, str(repo), [FILE], config.sources["litellm"], None, NOW)
    assert line.startswith(f"litellm: {len(rows)} polls read, {len(rows)} in all, 0 refused")
    polls = [poll for poll, _ in test_timelines.SOURCES["litellm"](recorded)]
    wanted = test_timelines.wanted(timelines.expected(polls), test_timelines.context_of)
    assert test_timelines.kept(tmp_path / "tape.db") == wanted
