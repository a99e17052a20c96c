"""What is left where a process is killed, a disk is full, or files are not those that were written."""

import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector import verify
from store import seal
from store.errors import StoreError, StoreForeign, StoreFull
from store.instants import utc_now
from store.read import open_store
from store.write import Tape
from tests.changing import collect, collect_killed, configured
from tests.collecting import Upstreams, ask, own_sources
from tests.conftest import ROOT
from tests.stores import Stores, content, rows

COUNT = 12


def faults(config: Any, url: str, archive: str) -> list[str]:
    """What `verify` says."""
    tape = Tape(url, archive)
    try:
        return list(verify.faults(config.checks, tape, config.sources, utc_now(), note=lambda _: None))
    finally:
        tape.close()


# --- kill -9 ---


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.fault(127, 129, 151)
def test_whenever_collectors_are_killed_nothing_is_lost_and_nothing_is_there_twice(
    stores: Stores, tmp_path: Path
) -> None:
    chance = random.Random(1)
    config = configured(tmp_path, 5)
    with stores.new() as control, stores.new() as url:
        collect(config, control, str(tmp_path / "control.archive"), COUNT)
        archive = str(tmp_path / "killed.archive")
        kills = collect_killed(config, url, archive, COUNT, [chance.uniform(0.02, 0.12) for _ in range(40)])
        assert kills >= 3
        assert answers(url) == answers(control)
        assert faults(config, url, archive) == []
        assert not list(Path(archive).rglob("*.tmp"))


def answers(url: str) -> list[Any]:
    """Polls and beliefs, without the keys by which they are kept."""
    polls = "SELECT s.name, p.at, p.outcome, p.pack, p.changes FROM poll p JOIN source s ON s.id = p.source_id"
    beliefs = (
        "SELECT s.name, e.published_model, i.first_seen, i.ended, i.known_from, i.known_to, c.input, c.output"
        ' FROM "interval" i JOIN endpoint e ON e.id = i.endpoint_id JOIN source s ON s.id = e.source_id'
        " JOIN rate_card c ON c.id = i.card_id"
    )
    return [sorted(rows(url, sql), key=repr) for sql in (polls, beliefs)]


# --- files that are not those that were written ---


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """A store whose log was never taken over, as a kill leaves it; and all that was ever committed to it."""
    folder = tmp_path_factory.mktemp("logged")
    path = folder / "tape.db"
    config = configured(folder, 1)
    Tape(str(path)).close()
    states = [content(str(path))]
    with closing(sqlite3.connect(path)) as other:  # who reads keeps the log from being taken over
        other.execute("PRAGMA wal_autocheckpoint = 0")
        for count in range(1, 8):
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM poll").fetchone()
            collect(config, str(path), "", count)
            states.append(content(str(path)))
            other.execute("COMMIT")
            for name in ("tape.db", "tape.db-wal"):
                shutil.copy(folder / name, folder / f"{name}.kept")
        yield folder, states


def lay_down(folder: Path, tmp_path: Path, log: bytes) -> str:
    shutil.copy(folder / "tape.db.kept", tmp_path / "tape.db")
    (tmp_path / "tape.db-wal").write_bytes(log)
    (tmp_path / "tape.db-shm").unlink(missing_ok=True)
    return str(tmp_path / "tape.db")


@pytest.mark.fault(130)
def test_a_log_that_is_cut_or_has_a_flipped_bit_opens_as_what_was_committed_until_then(
    logged: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, states = logged
    log = (folder / "tape.db-wal.kept").read_bytes()
    assert content(lay_down(folder, tmp_path, log)) == states[-1]
    chance, seen = random.Random(2), set()
    for number in range(120):
        if number % 2:
            damaged = log[: chance.randrange(len(log))]
        else:
            place = chance.randrange(len(log))
            damaged = log[:place] + bytes([log[place] ^ 1 << chance.randrange(8)]) + log[place + 1 :]
        url = lay_down(folder, tmp_path, damaged)
        found = content(url)
        assert found in states
        seen.add(states.index(found))
        with closing(sqlite3.connect(url)) as connection:
            assert list(seal.faults(connection)) == []
    assert len(seen) > 2


@pytest.mark.fault(134)
def test_a_log_that_is_gone_or_of_another_store_changes_nothing_that_was_taken_over(
    logged: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, states = logged
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as foreign:
        foreign.execute("PRAGMA journal_mode = WAL")
        foreign.execute("CREATE TABLE poll (at INTEGER)")
        foreign_log = other.with_name("other.db-wal").read_bytes()
    assert foreign_log
    for log in (b"", foreign_log):
        url = lay_down(folder, tmp_path, log)
        try:
            found = content(url)
        except sqlite3.DatabaseError:
            continue  # refused by SQLite itself
        if found in states:
            with closing(sqlite3.connect(url)) as connection:
                assert list(seal.faults(connection)) == []
            continue
        with pytest.raises(StoreError), open_store(url) as reader:
            list(reader.rows("SELECT * FROM poll"))


# --- disks that do not take it ---


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own, where this user may have one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        done = 1
    if done:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with Upstreams() as running:
        yield running


@pytest.mark.fault(135)
def test_on_a_full_disk_polls_are_refused_prices_are_read_and_it_goes_on_when_there_is_room(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"one": "1h", "two": "1h"})
    with small_disk(tmp_path / "disk", "2m") as disk:
        store = disk / "tape.db"
        assert ask(tmp_path, "--config", config, "--store", store, "collect", "one").exit_code == 0
        before = ask(tmp_path, "--store", store, "endpoints", "acme/model-1", "--format", "csv").stdout
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(b"x" * 2**22)
        refused = ask(tmp_path, "--config", config, "--store", store, "collect", "two")
        assert refused.exit_code == 1
        assert "failed (disk_full)" in refused.stderr + refused.stdout
        assert ask(tmp_path, "--store", store, "endpoints", "acme/model-1", "--format", "csv").stdout == before
        examined = ask(tmp_path, "--config", config, "--store", store, "doctor")
        assert examined.exit_code == 1
        assert f"fault: disk: 0 MiB are free at {disk}" in examined.stdout
        filler.unlink()
        assert ask(tmp_path, "--config", config, "--store", store, "collect", "two").exit_code == 0
        assert ask(tmp_path, "--config", config, "--store", store, "verify").exit_code == 0


@pytest.mark.fault(135)
def test_where_documents_find_no_room_polls_are_refused_and_prices_are_read_until_there_is_some(
    store_url: str, tmp_path: Path, upstreams: Upstreams
) -> None:
    path = own_sources(tmp_path, mirror=upstreams.mirror, every={"one": "1h", "two": "1h"})
    with small_disk(tmp_path / "disk", "1m") as disk:
        places = {"store": store_url, "archive": str(disk / "documents")}
        path.write_text(json.dumps(json.loads(path.read_text()) | places))
        command = ("--config", path)
        asked = (*command, "endpoints", "acme/model-1", "--format", "csv")
        assert ask(tmp_path, *command, "collect", "one").exit_code == 0
        before = ask(tmp_path, *asked).stdout
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(b"x" * 2**21)
        refused = ask(tmp_path, *command, "collect", "two")
        assert refused.exit_code == 1
        assert "failed (disk_full)" in refused.stderr + refused.stdout
        assert rows(store_url, "SELECT outcome, code FROM poll ORDER BY at") == [("ok", None), ("failed", "disk_full")]
        assert ask(tmp_path, *asked).stdout == before != ""
        filler.unlink()
        assert ask(tmp_path, *command, "collect", "two").exit_code == 0
        assert ask(tmp_path, *command, "verify").exit_code == 0


@pytest.mark.fault(136)
def test_on_a_disk_that_may_not_be_written_collecting_is_refused_and_prices_are_read(
    tmp_path: Path, upstreams: Upstreams
) -> None:
    config = own_sources(tmp_path, mirror=upstreams.mirror, every={"one": "1h"})
    with small_disk(tmp_path / "disk", "4m") as disk:
        store = disk / "tape.db"
        assert ask(tmp_path, "--config", config, "--store", store, "collect").exit_code == 0
        before = ask(tmp_path, "--store", store, "endpoints", "acme/model-1", "--format", "csv").stdout
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for command in ("collect", "daemon"):
            refused = ask(tmp_path, "--config", config, "--store", store, command)
            said = refused.stdout + refused.stderr
            assert (refused.exit_code, said.count("\n")) == (1 if command == "collect" else 2, 1)
            assert str(disk) in said
        assert ask(tmp_path, "--store", store, "endpoints", "acme/model-1", "--format", "csv").stdout == before
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert ask(tmp_path, "--config", config, "--store", store, "collect").exit_code == 0


@pytest.mark.fault(136)
def test_what_a_disk_did_not_confirm_is_not_there_for_the_next_poll(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path, 1)
    real, broken = os.fsync, [0]

    def fsync(handle: int) -> None:
        broken[0] += 1
        if broken[0] in (1, 3):  # of the file; then, of another try, of its folder
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    archive = tmp_path / "documents"
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            collect(config, store_url, str(archive), 1)
        assert not list(archive.rglob("*.zst"))
        assert rows(store_url, "SELECT count(*) FROM poll") == [(0,)]
    collect(config, store_url, str(archive), 1)
    assert len(list(archive.rglob("*.zst"))) == 1
    assert faults(config, store_url, str(archive)) == []


@pytest.mark.fault(150)
def test_with_few_file_handles_every_source_ends_in_a_line(tmp_path: Path, upstreams: Upstreams) -> None:
    every = {f"source{number}": "1h" for number in range(40)}
    config = own_sources(tmp_path, mirror=upstreams.mirror, every=every)
    command = [sys.executable, "-c", "from collector.cli import run; run()", "--config", str(config)]
    done = subprocess.run(
        [*command, "--store", str(tmp_path / "tape.db"), "collect"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}, capture_output=True, text=True,
        timeout=60, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)),
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-2000:]
    assert done.returncode == 1
    assert sum(any(line.startswith(f"{name}: ") for line in said.splitlines()) for name in every) == len(every)
    again = ask(tmp_path, "--config", config, "--store", tmp_path / "tape.db", "collect")
    assert again.exit_code == 0, again.output


@pytest.mark.fault(150)
def test_a_thousand_failures_leave_no_handle_open(tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "tape.db"))
    opened = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(1000):
        with pytest.raises(StoreError):
            tape.archive.documents("0" * 64, source="s", fetched_at=utc_now())
        with pytest.raises(StoreForeign), open_store("/dev/null"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
    tape.close()


@pytest.mark.fault(135)
def test_a_full_disk_is_told_apart_from_other_errors(tmp_path: Path) -> None:
    path = tmp_path / "tape.db"
    tape = Tape(str(path))
    with closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()

    def fill(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("INSERT INTO provider (name) VALUES (?)", ("x" * 100_000,))

    with pytest.raises(StoreFull, match="full"):
        _in_transaction(tape, fill)
    tape.close()


def _in_transaction(tape: Tape, act: Callable[[Any], None]) -> None:
    with tape._writing() as connection:
        act(connection)
