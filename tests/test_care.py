"""Doctor, backup and restore: what is told to be wrong, and what comes back."""

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collector.schedule import BACK_OFF_S
from store.backup import back_up, restore
from store.errors import StoreError
from store.lock import only_daemon, reset_danger
from store.mounts import FORCED, file_system, refuse_network
from store.received import NAME, TAIL, Arrived, note, noted
from store.write import Tape
from tests.changing import EVERY, START, collect, configured
from tests.collecting import Upstreams, ask, locked, own_sources, told
from tests.killed import killed_at
from tests.stores import Server, Stores, content, rows, run
from tests.test_crash import answers, faults

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /mnt/far nfs4 rw 0 0
tmpfs /mnt/far/near tmpfs rw 0 0
//server/share /mnt/with\\040space cifs rw 0 0
"""


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with Upstreams() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, upstreams: Upstreams) -> Path:
    """One source, in a file that names no store."""
    return own_sources(tmp_path, mirror=upstreams.mirror, every={"acme": "1h"})


def doctor(home: Path, config: Path, store: Path | str, **environ: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Exit code, and what is wrong, by what it is about."""
    done = ask(home, "--config", config, "--store", store, "doctor", "--format", "json", **environ)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout):
        found.setdefault(one["what"], []).append(one)
    return done.exit_code, found


def test_where_all_is_well_there_is_no_fault(store_url: str, tmp_path: Path, config: Path) -> None:
    assert ask(tmp_path, "--config", config, "--store", store_url, "collect").exit_code == 0
    status, found = doctor(tmp_path, config, store_url)
    assert status == 0
    assert found.keys() <= {"sqlite"}


def test_without_a_store_it_is_said_how_to_begin(tmp_path: Path, config: Path) -> None:
    status, found = doctor(tmp_path, config, tmp_path / "tape.db")
    assert status == 1
    assert found["store"][0]["mend"] == "tokentape collect"
    assert not (tmp_path / "tape.db").exists()


@pytest.mark.fault(146)
@pytest.mark.parametrize(
    ("version", "told"), [((3, 6, 23), False), ((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False)]
)
def test_versions_of_sqlite_that_may_do_damage_are_known(version: tuple[int, ...], told: bool) -> None:
    assert bool(reset_danger(version)) is told


@pytest.mark.fault(146)
def test_a_version_of_sqlite_that_may_do_damage_is_noted_by_doctor_and_by_who_writes_beside_a_daemon(
    tmp_path: Path, config: Path
) -> None:
    store = tmp_path / "tape.db"
    _, found = doctor(tmp_path, config, store)
    assert ("sqlite" in found) == bool(reset_danger())
    assert "may damage" not in ask(tmp_path, "--config", config, "--store", store, "collect").stderr
    with only_daemon(store):
        said = ask(tmp_path, "--config", config, "--store", store, "collect").stderr
    assert (f"and process {os.getpid()} is a daemon that keeps {store}" in said) == bool(reset_danger())


@pytest.mark.fault(146)
def test_who_only_reads_takes_no_log_over(tmp_path: Path) -> None:
    config, live = configured(tmp_path, 1), tmp_path / "tape.db"
    copy = tmp_path / "copy" / "tape.db"
    copy.parent.mkdir()
    collect(config, str(live), "", 2)
    with closing(sqlite3.connect(live)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM poll").fetchone()  # so that the log stays
        collect(config, str(live), "", 6)
        for name in ("tape.db", "tape.db-wal"):
            shutil.copy(tmp_path / name, copy.with_name(name))
    log = copy.with_name("tape.db-wal")
    before = copy.read_bytes(), log.read_bytes()
    assert log.stat().st_size > 0
    for words in (["models"], ["export", "history"], ["sources"]):
        assert ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", copy, *words).exit_code == 0
    assert (copy.read_bytes(), log.read_bytes()) == before


def test_a_source_that_fails_or_is_stale_is_named_with_what_to_try(
    store_url: str, tmp_path: Path, config: Path, upstreams: Upstreams
) -> None:
    upstreams.status["acme"] = 500
    for _ in range(2):
        assert ask(tmp_path, "--config", config, "--store", store_url, "collect").exit_code == 1
    status, found = doctor(tmp_path, config, store_url)
    (source,) = found["source"]
    assert (status, source["level"], source["mend"]) == (1, "fault", "tokentape try acme")
    assert source["message"].startswith("acme: failed 2 times, never a success, asked every 60m: acme: ")
    run(store_url, "UPDATE poll SET outcome = 'ok', at = at - 8000000")
    (source,) = doctor(tmp_path, config, store_url)[1]["source"]
    assert source["message"].startswith("acme: stale, no success since ")
    assert BACK_OFF_S == 21_600


def test_missing_documents_are_told(store_url: str, tmp_path: Path, config: Path) -> None:
    assert ask(tmp_path, "--config", config, "--store", store_url, "collect").exit_code == 0
    tape = Tape(store_url)
    shutil.rmtree(tape.archive.root)
    tape.close()
    status, found = doctor(tmp_path, config, store_url)
    assert status == 1
    assert found["archive"][0]["message"].startswith("acme: the documents of its newest poll are not in ")


def test_keys_proxies_locks_and_rights_are_looked_at(tmp_path: Path, config: Path) -> None:
    store = tmp_path / "tape.db"
    assert ask(tmp_path, "--config", config, "--store", store, "collect").exit_code == 0
    read = json.loads(config.read_text())
    read["sources"]["acme"]["key_env"] = "ACME_API_KEY"
    config.write_text(json.dumps(read))
    with locked(store):
        status, found = doctor(tmp_path, config, store, https_proxy="http://127.0.0.1:3128")
    assert status == 1
    assert found["locked"][0]["mend"] == f"fuser {store}"
    assert found["key"][0]["message"] == "off for want of a key: acme (ACME_API_KEY)"
    assert found["proxy"][0]["message"] == "https_proxy is set and not used"


def test_an_older_schema_and_a_damaged_store_are_told_with_their_command(tmp_path: Path, config: Path) -> None:
    store = tmp_path / "tape.db"
    Tape(str(store)).close()
    run(str(store), "PRAGMA user_version = 1")
    assert doctor(tmp_path, config, store)[1]["store"][0]["mend"] == "tokentape db upgrade"
    store.write_bytes(b"\xff" * 8192)
    status, found = doctor(tmp_path, config, store)
    assert (status, found["store"][0]["level"]) == (1, "fault")


# --- where a store lies ---


@pytest.mark.fault(147)
def test_a_store_on_a_network_file_system_is_refused_unless_that_is_forced(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    for place, kind in (
        ("/mnt/far/tape.db", "nfs4"),
        ("/mnt/with space/tape.db", "cifs"),
        ("/mnt/far/near/tape.db", "tmpfs"),
        ("/var/tape.db", "ext4"),
    ):
        assert file_system(Path(place), mounts) == kind
        if kind in ("nfs4", "cifs"):
            with pytest.raises(StoreError, match=rf"a network file system \({kind}\)"):
                refuse_network(place, {}, mounts)
            refuse_network(f"sqlite:///{place}", {FORCED: "1"}, mounts)
        else:
            refuse_network(place, {}, mounts)
    refuse_network("postgresql:///tape", {}, mounts)
    assert file_system(tmp_path / "tape.db"), "of this machine"
    assert file_system(tmp_path, tmp_path / "none") == ""


# --- backup and restore ---


@pytest.mark.fault(149)
def test_a_backup_made_under_load_comes_back_as_a_state_that_was_committed(tmp_path: Path) -> None:
    config = configured(tmp_path, 4)
    live, back = tmp_path / "tape.db", tmp_path / "back" / "tape.db"
    collect(config, str(live), "", 2)
    load = threading.Thread(target=collect, args=(config, str(live), "", 24))
    load.start()
    made: list[Path] = []
    while load.is_alive() and len(made) < 2:
        folder = tmp_path / f"backup{len(made)}"
        done = ask(tmp_path, "--store", live, "backup", folder)
        assert done.exit_code == 0, done.stderr
        made.append(folder)
    load.join()
    polls, beliefs = answers(str(live))
    sizes = []
    for folder in made:
        subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True)
        shutil.rmtree(back.parent, ignore_errors=True)
        done = ask(tmp_path, "--store", back, "restore", folder)
        assert done.exit_code == 0, done.stderr
        assert faults(config, str(back), "") == []
        found, _ = answers(str(back))
        assert set(found) <= set(polls)
        sizes.append(len(found))
        # Gone on from there, it is the store that the live one is.
        collect(config, str(back), "", 24)
        assert answers(str(back)) == [polls, beliefs]
    assert sizes == sorted(sizes)
    assert sizes[0] < len(polls)


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A store, and a backup of it."""
    store = tmp_path / "tape.db"
    collect(configured(tmp_path, 2), str(store), "", 3)
    assert ask(tmp_path, "--store", store, "backup", tmp_path / "backup").exit_code == 0
    return store, tmp_path / "backup"


def test_a_backup_is_never_written_over_anything(kept: tuple[Path, Path], tmp_path: Path) -> None:
    store, folder = kept
    said = told(ask(tmp_path, "--store", store, "backup", folder), 2)
    assert said == f"{folder} is there already: name a new folder"
    assert told(ask(tmp_path, "--store", tmp_path / "no.db", "backup", tmp_path / "b"), 2).startswith("no store at")
    assert not (tmp_path / "b").exists()


def test_nothing_is_restored_over_a_store_or_under_a_daemon(kept: tuple[Path, Path], tmp_path: Path) -> None:
    store, folder = kept
    before = content(str(store))
    assert "move it away first" in told(ask(tmp_path, "--store", store, "restore", folder), 2)
    assert content(str(store)) == before
    store.rename(tmp_path / "away.db")
    with only_daemon(store):
        assert "a daemon already keeps" in told(ask(tmp_path, "--store", store, "restore", folder), 2)
    assert not store.exists()


@pytest.mark.fault(132, 149)
@pytest.mark.parametrize("harm", ["flip", "cut", "missing", "renamed", "no sums", "path"])
def test_a_backup_that_is_not_what_its_sums_say_is_not_restored(
    kept: tuple[Path, Path], tmp_path: Path, harm: str
) -> None:
    _, folder = kept
    pack = next(iter(sorted(folder.rglob("*.zst"))))
    whole = pack.read_bytes()
    if harm == "flip":
        pack.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif harm == "cut":
        pack.write_bytes(whole[:-1])
    elif harm == "missing":
        pack.unlink()
    elif harm == "renamed":
        (folder / "tape.db").rename(folder / "tape2.db")
    elif harm == "no sums":
        (folder / "SHA256SUMS").unlink()
    else:
        with (folder / "SHA256SUMS").open("a") as sums:
            sums.write(f"{'0' * 64}  archive/../../x\n")
    target = tmp_path / "new" / "tape.db"
    told(ask(tmp_path, "--store", target, "restore", folder), 2)
    assert not target.parent.exists()


def test_where_only_the_store_was_lost_its_documents_stay(kept: tuple[Path, Path], tmp_path: Path) -> None:
    store, folder = kept
    before, packs = content(str(store)), sorted((tmp_path / "tape.archive").rglob("*.zst"))
    times = [pack.stat().st_mtime_ns for pack in packs]
    store.unlink()
    assert ask(tmp_path, "--store", store, "restore", folder).exit_code == 0
    assert content(str(store)) == before
    assert [pack.stat().st_mtime_ns for pack in packs] == times


def test_a_store_in_postgresql_is_backed_up_by_its_own_tools(tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        said = told(ask(tmp_path, "--store", "postgresql://me@db.example/tape", command, tmp_path / "b"), 2)
        assert said.startswith("a store in PostgreSQL is backed up by pg_dump, then its documents by a copy of ")


def test_a_backup_of_a_damaged_store_is_refused(kept: tuple[Path, Path], tmp_path: Path) -> None:
    store, _ = kept
    run(str(store), "UPDATE poll SET at = at + 1")
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    said = told(ask(tmp_path, "--store", store, "backup", tmp_path / "other"), 2)
    assert "a row of poll is not as it was written" in said
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".other*"))


@pytest.mark.fault(145, 137, 129)
def test_a_store_restored_from_behind_its_archive_takes_over_what_is_missing_before_it_polls(tmp_path: Path) -> None:
    config = configured(tmp_path, 2)
    live, archive = tmp_path / "tape.db", tmp_path / "tape.archive"
    collect(config, str(live), "", 4)
    assert ask(tmp_path, "--store", live, "backup", tmp_path / "backup").exit_code == 0
    collect(config, str(live), "", 12)
    _, believed = answers(str(live))
    live.rename(tmp_path / "lost.db")
    with (archive / NAME).open("ab") as file:
        file.write(b'["source0", 1787356800000, "' + b"0" * 20)  # a process was killed while it wrote
    assert ask(tmp_path, "--store", live, "restore", tmp_path / "backup").exit_code == 0
    examined = ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", live, "doctor").stdout
    assert "note: archive: source0: " in examined
    assert "are in the archive and not in the store" in examined
    assert ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", live, "collect").exit_code == 1, "nobody there"
    _, again = answers(str(live))
    assert [row[:4] + row[6:] for row in again] == [row[:4] + row[6:] for row in believed], "but for when it was known"
    assert {row[0] for row in rows(str(live), "SELECT code FROM poll WHERE message LIKE '%taken over%'")} <= {
        "taken_over", "too_few",
    }  # fmt: skip
    assert faults(config, str(live), "") == []
    examined = ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", live, "doctor").stdout
    assert "not in the store" not in examined


@pytest.mark.fault(145)
def test_a_store_that_is_lost_without_any_backup_comes_back_from_its_archive(tmp_path: Path) -> None:
    config = configured(tmp_path, 2)
    live = tmp_path / "tape.db"
    collect(config, str(live), "", 12)
    _, believed = answers(str(live))
    live.unlink()
    assert ask(tmp_path, "--config", tmp_path / "user.yaml", "--store", live, "collect").exit_code == 1
    _, again = answers(str(live))
    assert [row[:4] + row[6:] for row in again] == [row[:4] + row[6:] for row in believed]


@pytest.mark.fault(145)
def test_a_store_from_before_takes_over_what_its_archive_has_more_than_it_before_it_polls(
    stores: Stores, tmp_path: Path
) -> None:
    config, documents = configured(tmp_path, 1), str(tmp_path / "documents")
    with stores.new() as live, stores.new() as restored:
        collect(config, restored, documents, 3)
        collect(config, live, documents, 10)
        path, places = tmp_path / "user.yaml", {"store": restored, "archive": documents}
        path.write_text(json.dumps(json.loads(path.read_text()) | places))
        command = ("--config", path)
        examined = ask(tmp_path, *command, "doctor").stdout
        assert "are in the archive and not in the store" in examined
        assert ask(tmp_path, *command, "collect").exit_code == 1, "nobody there"
        _, believed = answers(live)
        _, again = answers(restored)
        assert [row[:4] + row[6:] for row in again] == [row[:4] + row[6:] for row in believed]
        assert faults(config, restored, documents) == []
        assert "not in the store" not in ask(tmp_path, *command, "doctor").stdout


@pytest.mark.fault(132)
def test_a_line_that_is_not_as_it_was_written_says_nothing(tmp_path: Path) -> None:
    first = Arrived(source="acme", at=START, pack="0" * 64)
    other = Arrived(source="acme", at=START + EVERY, pack="1" * 64, failed_parts=frozenset({"a/b"}))
    note(tmp_path, first)
    whole = (tmp_path / NAME).read_bytes()
    for place in range(len(whole) - 1):
        (tmp_path / NAME).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert noted(tmp_path, "acme", None) == []
        (tmp_path / NAME).write_bytes(whole[:place])
        note(tmp_path, other)
        assert noted(tmp_path, "acme", None) == [other]


def test_lines_are_read_as_far_back_as_they_are_needed(tmp_path: Path) -> None:
    lines = [Arrived(source="acme", at=START + number * EVERY, pack=f"{number:064}") for number in range(1000)]
    (tmp_path / NAME).write_text("".join(one.line for one in lines))
    assert (tmp_path / NAME).stat().st_size > TAIL
    assert noted(tmp_path, "acme", lines[0].at) == lines
    assert noted(tmp_path, "acme", lines[-1].at)[-1] == lines[-1]
    assert len(noted(tmp_path, "acme", lines[-1].at)) < 1000
    assert noted(tmp_path, "other", None) == []


@pytest.mark.fault(149)
def test_a_store_in_postgresql_comes_back_from_pg_dump_and_a_copy_of_its_documents(
    server: Server, tmp_path: Path
) -> None:
    config = configured(tmp_path, 2)
    with server.database() as url, server.database(made=False) as back:
        collect(config, url, str(tmp_path / "documents"), 6)
        dump = tmp_path / "tape.dump"
        subprocess.run([server.program("pg_dump"), "-Fc", "-f", dump, url], check=True)
        shutil.copytree(tmp_path / "documents", tmp_path / "copied")
        subprocess.run([server.program("pg_restore"), "-d", back, dump], check=True)
        assert content(back) == content(url)
        assert faults(config, back, str(tmp_path / "copied")) == []


@pytest.mark.fault(128)
def test_backup_and_restore_killed_at_any_step_leave_nothing_half_done_and_are_done_again(tmp_path: Path) -> None:
    store, folder, back = tmp_path / "tape.db", tmp_path / "backup", tmp_path / "new" / "tape.db"
    collect(configured(tmp_path, 1), str(store), "", 3)
    wanted = content(str(store))
    for step in itertools.count(0, 2):
        if not killed_at(step, back_up, str(store), None, folder):
            break
        assert not folder.exists() or (folder / "SHA256SUMS").exists()
        shutil.rmtree(folder, ignore_errors=True)
    assert step > 10
    for step in itertools.count(0, 2):
        if not killed_at(step, restore, folder, str(back), None):
            break
        if back.exists():
            assert content(str(back)) == wanted
            back.unlink()
    assert step > 10
    assert content(str(back)) == wanted
