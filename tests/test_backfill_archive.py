"""Recorded folders: taken over as if polled then, refused whole for one wrong bit, and written again to the byte."""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector import mend
from collector.backfill.archive import Folder
from collector.backfill.bundle import read_bundle
from collector.backfill.commands import backfill_folder, export_archive
from collector.backfill.sweeps import arrivals
from collector.config import Config, load
from collector.errors import BackfillRefused
from collector.mend import Arrival
from store.records import Document
from store.write import Tape
from tests import stores, test_timelines, timelines
from tests.test_timeline import store_digest

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PACKAGED = load(None, {})
LIST = PACKAGED.sources["deepinfra"].url
MODELS = PACKAGED.sources["openrouter"].url
Line = dict[str, Any]


def configured(store: Path) -> Config:
    """Without the least numbers that a whole document must have: the ones here are small."""
    sources = {name: replace(spec, expect={}, skip={}) for name, spec in PACKAGED.sources.items()}
    return replace(PACKAGED, store=str(store), sources=sources)


def prices(**models: float) -> bytes:
    """A list in DeepInfra's shape."""
    rows = [
        {"id": f"acme/{name}", "metadata": {"pricing": {"input_tokens": price, "output_tokens": price}}}
        for name, price in models.items()
    ]
    return json.dumps({"data": rows}).encode()


def listed(*models: str) -> bytes:
    """A list in OpenRouter's shape."""
    return json.dumps({"data": [{"id": model} for model in models]}).encode()


def answer(model: str, price: str) -> bytes:
    """What OpenRouter says of a model that one provider serves."""
    endpoint = {"provider_name": "Acme", "tag": "acme", "pricing": {"prompt": price, "completion": price}}
    return json.dumps({"data": {"id": model, "endpoints": [endpoint]}}).encode()


def bundle(aliases: dict[str, str] | None = None, **answers: bytes) -> bytes:
    """Answers by the name of the model, which is of acme."""
    members = b", ".join(json.dumps(f"acme/{name}").encode() + b" : " + body for name, body in answers.items())
    return b'{"models": {' + members + b'}, "aliases": ' + json.dumps(aliases or {}).encode() + b"}"


def record(root: Path, hour: float, url: str, body: bytes, **more: object) -> Line:
    """Put a body into a folder; its line."""
    name = f"bodies/{hashlib.sha256(body).hexdigest()}.gz"
    (root / "bodies").mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(gzip.compress(body))
    return {
        "upstream": "u",
        "url": url,
        "observed_at": (datetime(2026, 8, 1, tzinfo=UTC) + timedelta(hours=hour)).isoformat(),
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "file": name,
        "content_type": "application/json",
        **more,
    }


def index(root: Path, *lines: Line) -> Path:
    (root / "index.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return root


def take(store: Path, root: Path, *sources: str) -> list[str]:
    config = configured(store)
    return list(backfill_folder(config, root, [config.sources[name] for name in sources], NOW))


def surveyed(root: Path, source: str) -> list[Arrival]:
    """The polls that a folder has of a source."""
    spec = configured(Path("unused")).sources[source]
    folder = Folder(root, limit=2**25)
    held, _ = folder.survey([spec], now=NOW, progress=lambda _: None)
    return list(arrivals(folder, spec, held[source]))


def parts(arrival: Arrival) -> dict[str, bytes]:
    return {document.part: document.body for document in arrival.documents}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three lists of one source, the first two in the wrong order."""
    root = tmp_path / "recorded"
    return index(
        root,
        record(root, 24, LIST, prices(one=2, two=3)),
        record(root, 0, LIST, prices(one=1, two=3)),
        record(root, 48, LIST, prices(one=2, two=4)),
    )


def polled(store: Path, source: str, *polls: Arrival) -> list[tuple[object, ...]]:
    """The digest of a store that took these polls one by one."""
    config = configured(store)
    tape = Tape(config.store)
    for poll in polls:
        mend.backfill(config.checks, tape, config.sources[source], [poll], known=NOW)
    tape.close()
    return store_digest(store)


def test_documents_in_any_order_of_lines_become_the_timeline_of_polling(root: Path, tmp_path: Path) -> None:
    lines = take(tmp_path / "tape.db", root)
    assert lines == ["deepinfra: 3 polls read, 3 in all, 0 refused, 4 intervals new or corrected"]
    one_by_one = [
        Arrival(
            at=datetime(2026, 8, 1 + day, tzinfo=UTC),
            documents=(Document(source="deepinfra", url=LIST, fetched_at=NOW, status=200, body=body),),
        )
        for day, body in enumerate((prices(one=1, two=3), prices(one=2, two=3), prices(one=2, two=4)))
    ]
    assert store_digest(tmp_path / "tape.db") == polled(tmp_path / "polled.db", "deepinfra", *one_by_one)


def test_a_folder_taken_over_twice_changes_nothing(root: Path, tmp_path: Path) -> None:
    take(tmp_path / "tape.db", root)
    before = store_digest(tmp_path / "tape.db")
    assert take(tmp_path / "tape.db", root)[0].endswith(" 0 intervals new or corrected")
    assert store_digest(tmp_path / "tape.db") == before


def test_lines_that_no_source_reads_are_counted_and_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    other = record(root, 0, "https://x.example/prices", b"{}")
    index(root, *lines, other, other)
    assert len(take(tmp_path / "tape.db", root)) == 1
    assert "https://x.example/prices: 2 lines: no source that is on reads it" in capsys.readouterr().err


def test_another_address_of_an_upstream_is_read_as_its_own(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    index(root, record(root, 0, "https://mirror.example/list", prices(one=1)))
    (root / "upstreams.json").write_text(json.dumps({"u": {"aliases": [LIST], "note": ""}}))
    assert len(take(tmp_path / "tape.db", root)) == 1


def test_a_further_address_that_the_source_names_is_read_as_its_own(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    index(root, record(root, 0, "https://old.example/list", prices(one=1)))
    config = configured(tmp_path / "tape.db")
    spec = config.sources["deepinfra"]
    assert list(backfill_folder(config, root, [spec], NOW)) == []
    (line,) = backfill_folder(config, root, [replace(spec, also_at=("https://old.example/list",))], NOW)
    assert line.startswith("deepinfra: 1 polls read, 1 in all, 0 refused")


@pytest.mark.recorded
def test_both_recorded_forms_of_genai_prices_are_read(recorded: Path, tmp_path: Path) -> None:
    config = replace(PACKAGED, store=str(tmp_path / "tape.db"))
    (line,) = backfill_folder(config, recorded / "timeline", [config.sources["genai_prices"]], NOW)
    assert line.startswith("genai_prices: 57 polls read, 57 in all, 0 refused")


def test_a_document_that_the_parser_refuses_is_counted_and_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index(root, record(root, 0, LIST, prices(one=1)), record(root, 1, LIST, b'{"error": "no"}'))
    (line,) = take(tmp_path / "tape.db", root)
    assert "2 polls read, 2 in all, 1 refused" in line
    assert "deepinfra: refused, as of 2026-08-01T01:00:00Z: " in capsys.readouterr().err


def test_a_source_that_is_off_is_taken_over_only_by_name(root: Path, tmp_path: Path) -> None:
    config = configured(tmp_path / "tape.db")
    off = replace(config.sources["deepinfra"], enabled=False)
    config = replace(config, sources={**config.sources, "deepinfra": off})
    assert list(backfill_folder(config, root, [], NOW)) == []
    assert len(list(backfill_folder(config, root, [off], NOW))) == 1


# ---- What is refused -------------------------------------------------------------------------------------------------


def broken(change: Callable[[Line], None]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        lines = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
        change(lines[1])
        index(root, *lines)

    return apply


def second_line(text: bytes) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        lines = (root / "index.jsonl").read_bytes().splitlines()
        lines[1] = text
        (root / "index.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    return apply


def body_of_second_line(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        change(root / json.loads((root / "index.jsonl").read_text().splitlines()[1])["file"])

    return apply


def flip(path: Path) -> None:
    body = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(body.replace(b"1", b"7", 1)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(2**24)))


def link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere.gz")
    path.symlink_to("../elsewhere.gz")


def through_link(root: Path) -> None:
    (root / "beside").symlink_to("bodies")
    broken(lambda line: line.update(file=line["file"].replace("bodies/", "beside/")))(root)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (body_of_second_line(flip), "is not what its sha256 says"),
    "a cut body": (body_of_second_line(cut), "ends before its end"),
    "a bomb": (body_of_second_line(bomb), "got more"),
    "a missing body": (body_of_second_line(Path.unlink), "is not there"),
    "a symbolic link": (body_of_second_line(link), "is a symbolic link"),
    "a path through a symbolic link": (through_link, "lies behind one"),
    "a pipe": (body_of_second_line(pipe), "is not there"),
    "a path upwards": (broken(lambda line: line.update(file="../x.gz")), "does not lie in the folder"),
    "an absolute path": (broken(lambda line: line.update(file="/etc/passwd")), "does not lie in the folder"),
    "no path": (broken(lambda line: line.update(file="")), "is not there"),
    "a path with a null": (broken(lambda line: line.update(file="a\0b")), "file: wanted printable text"),
    "another size": (broken(lambda line: line.update(bytes=2**20)), "wanted 1048576 bytes"),
    "too large a size": (broken(lambda line: line.update(bytes=2**40)), "http.decoded_limit"),
    "a size that is true": (broken(lambda line: line.update(bytes=True)), "bytes: wanted a whole number"),
    "a negative size": (broken(lambda line: line.update(bytes=-1)), "bytes: wanted a whole number"),
    "no hash": (broken(lambda line: line.pop("sha256")), "sha256: wanted printable text, got None"),
    "an instant without offset": (broken(lambda line: line.update(observed_at="2026-08-01T00:00:00")), "observed_at"),
    "no instant": (broken(lambda line: line.update(observed_at="yesterday")), "'yesterday' is not an instant"),
    "the last of years": (broken(lambda line: line.update(observed_at="9999-12-31T00:00:00Z")), "in the future"),
    "an endless instant": (broken(lambda line: line.update(observed_at="infinity")), "'infinity' is not an instant"),
    "a leap second": (broken(lambda line: line.update(observed_at="2016-12-31T23:59:60Z")), "is not an instant"),
    "an instant in the future": (broken(lambda line: line.update(observed_at="2027-01-01T00:00:00Z")), "in the future"),
    "half a surrogate pair": (broken(lambda line: line.update(url="\ud800")), "url: wanted printable text"),
    "a bad scope": (broken(lambda line: line.update(scope="some")), "scope: wanted a list"),
    "a source that is empty": (broken(lambda line: line.update(source="")), "source: is empty"),
    "a part apart": (broken(lambda line: line.update(source="deepinfra", part="p")), "stands apart from the first"),
    "a line cut short": (second_line(b'{"upstream": "u"'), "delimiter"),
    "a list": (second_line(b"[]"), "a line is a JSON object"),
    "other bytes": (second_line(b'"\xff\xfe"'), "codec can't decode"),
    "endless nesting": (second_line(b"[" * 100_000), "recursion"),
    "an endless line": (second_line(b" " * (2**20 + 2)), "is longer than"),
}


@pytest.mark.fault(126, 183, 184)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_folder_with_one_thing_wrong_is_refused_whole_and_the_line_is_named(
    root: Path, tmp_path: Path, wrong: str
) -> None:
    change, message = WRONG[wrong]
    change(root)
    with pytest.raises(BackfillRefused) as refused:
        take(tmp_path / "tape.db", root)
    assert message in str(refused.value)
    assert f"{root / 'index.jsonl'}:2: " in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "tape.db").exists()
    assert not (tmp_path / "tape.archive").exists()


@pytest.mark.fault(126, 183, 184)
def test_a_store_that_is_there_already_is_left_as_it_was_by_a_folder_with_one_thing_wrong(
    store_url: str, root: Path, tmp_path: Path
) -> None:
    config = replace(configured(tmp_path / "unused.db"), store=store_url, archive=str(tmp_path / "documents"))
    spec = config.sources["deepinfra"]
    assert list(backfill_folder(config, root, [spec], NOW))
    before = stores.content(store_url)
    for number, (change, message) in enumerate(WRONG.values()):
        wrong = tmp_path / f"wrong{number}" / "recorded"
        shutil.copytree(root, wrong)
        change(wrong)
        with pytest.raises(BackfillRefused, match=re.escape(message)):
            list(backfill_folder(config, wrong, [spec], NOW))
    assert stores.content(store_url) == before


def test_a_body_changed_after_the_survey_is_refused_when_it_is_read(root: Path) -> None:
    spec = PACKAGED.sources["deepinfra"]
    folder = Folder(root, limit=2**20)
    held, _ = folder.survey([spec], now=NOW, progress=lambda _: None)
    body_of_second_line(flip)(root)
    with pytest.raises(BackfillRefused, match="is not what its sha256 says"):
        list(arrivals(folder, spec, held["deepinfra"]))


@pytest.mark.parametrize("aliases", ["[]", '{"u": []}', '{"u": {"aliases": [1]}}', "{"])
def test_a_table_of_upstreams_that_is_none_is_refused(root: Path, tmp_path: Path, aliases: str) -> None:
    (root / "upstreams.json").write_text(aliases)
    with pytest.raises(BackfillRefused, match="is not a table of upstreams"):
        take(tmp_path / "tape.db", root)


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackfillRefused, match=r"index\.jsonl is not there"):
        take(tmp_path / "tape.db", tmp_path)


def test_the_command_tells_what_is_wrong_in_one_line_and_exits_with_2(root: Path, tmp_path: Path) -> None:
    body_of_second_line(flip)(root)
    done = tokentape(tmp_path / "tape.db", "backfill", "archive", str(root))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "index.jsonl:2: " in done.stderr


def tokentape(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    program = "from collector.cli import run; run()"
    command = [sys.executable, "-c", program, "--store", str(store), *words]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=store.parent)


# ---- Bundles ---------------------------------------------------------------------------------------------------------

TEMPLATE = f"{MODELS}/{{author}}/{{slug}}/endpoints"


def swept(root: Path, hour: float, body: bytes, **more: object) -> Line:
    return record(root, hour, TEMPLATE, body, bundle=True, **more)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    root = tmp_path / "bundles"
    whole = bundle({"acme/old": "acme/a"}, a=answer("acme/a", "0.1"), b=answer("acme/b", "0.20"))
    changed = bundle(a=answer("acme/a", "0.3"))
    again = bundle(b=answer("acme/b", "0.4"))
    return index(
        root,
        swept(root, 2, whole, scope="all"),
        swept(root, 4, changed, scope=["acme/a", "acme/b"]),
        swept(root, 6, again, scope="all", not_recorded=["acme/a"]),
        swept(root, -1, again, scope="all"),
        record(root, 1, MODELS, listed("acme/a", "acme/b", "acme/old", "acme/new")),
        record(root, 5, MODELS, listed("acme/a", "acme/b")),
        record(root, 9, MODELS, listed("acme/a")),
    )


def test_a_whole_bundle_is_a_sweep_of_the_newest_list_with_aliases_and_what_was_not_recorded(bundles: Path) -> None:
    sweep = surveyed(bundles, "openrouter")[0]
    assert parts(sweep) == {
        "": listed("acme/a", "acme/b", "acme/old", "acme/new"),
        "acme/a": answer("acme/a", "0.1"),
        "acme/b": answer("acme/b", "0.20"),
        "acme/old": answer("acme/a", "0.1"),
    }
    assert sweep.failed_parts == {"acme/new"}
    assert {document.fetched_at for document in sweep.documents} == {sweep.at}
    assert sweep.documents[1].url == f"{MODELS}/acme/a/endpoints"


def test_a_partial_bundle_speaks_for_its_scope_and_takes_away_what_is_gone(bundles: Path) -> None:
    sweep = surveyed(bundles, "openrouter")[1]
    assert parts(sweep)["acme/a"] == answer("acme/a", "0.3")
    assert "acme/b" in sweep.failed_parts


def test_what_a_whole_bundle_did_not_ask_for_stays_as_it_was(bundles: Path) -> None:
    sweep = surveyed(bundles, "openrouter")[2]
    assert parts(sweep) == {
        "": listed("acme/a", "acme/b"),
        "acme/a": answer("acme/a", "0.3"),
        "acme/b": answer("acme/b", "0.4"),
    }
    assert not sweep.failed_parts


def test_a_bundle_older_than_every_list_is_left_out_and_told(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = take(tmp_path / "tape.db", bundles)
    assert line.startswith("openrouter: 3 polls read")
    assert "1 bundles are older than the first list" in capsys.readouterr().err


def test_a_list_that_is_none_makes_its_sweep_a_refused_poll(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    whole = bundle(a=answer("acme/a", "0.1"))
    index(root, record(root, 0, MODELS, b'{"data": []}'), swept(root, 1, whole, scope="all"))
    assert "1 refused" in take(tmp_path / "tape.db", root)[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"models": 1}',
        b'{"models": {"a": }}',
        b'{"models": {"a": 1',
        b'{"models": {"a" 1}}',
        b'{"models": {"a": 1 "b": 2}}',
        b'{"models": {}, "aliases": []}',
        b'{"models": {}, "aliases": {"a": 1}}',
        b'{"models": {"a": ' + b"[" * 100_000 + b"}}",
        b"\xff",
    ],
)
def test_a_bundle_that_is_none_is_refused_before_anything_is_used(tmp_path: Path, body: bytes) -> None:
    root = tmp_path / "recorded"
    index(root, record(root, 0, MODELS, listed("acme/a")), swept(root, 1, body, scope="all"))
    with pytest.raises(BackfillRefused, match=r"index\.jsonl:2: .* is not a bundle of answers"):
        take(tmp_path / "tape.db", root)
    assert not (tmp_path / "tape.db").exists()


def test_answers_leave_a_bundle_to_the_letter() -> None:
    answers, aliases = read_bundle(b'{ "models" : {"a": {"x": 1e-7, "y": 0.10}, "\\u00e4":[]}, "aliases": {"c": "a"} }')
    assert answers == {"a": b'{"x": 1e-7, "y": 0.10}', "ä": b"[]"}
    assert aliases == {"c": "a"}


# ---- Round trip ------------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def export(store: Path, folder: Path, *sources: str) -> list[str]:
    config = configured(store)
    return list(export_archive(config, folder, [config.sources[name] for name in sources]))


@pytest.fixture
def filled(root: Path, bundles: Path, tmp_path: Path) -> Path:
    """A store of two sources, with a refused document, facts of the transfer and an instant to the millisecond."""
    store = tmp_path / "filled.db"
    take(store, root)
    take(store, bundles)
    at = datetime(2026, 8, 9, 1, 2, 3, 4000, tzinfo=UTC)
    document = Document(source="deepinfra", url=LIST, fetched_at=at, status=200, body=prices(one=1), etag='"e"')
    refused = replace(document, fetched_at=at, body=b"[]", sha256="", last_modified="Sun, 09 Aug 2026 00:00:00 GMT")
    polled(
        store,
        "deepinfra",
        Arrival(at=at, documents=(document,)),
        Arrival(at=at + timedelta(days=1), documents=(refused,)),
        Arrival(at=at + timedelta(days=2), documents=(document,)),
    )
    return store


def test_what_is_exported_fills_an_empty_store_alike_and_is_exported_alike(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path / "first")
    take(tmp_path / "again.db", tmp_path / "first")
    assert store_digest(tmp_path / "again.db") == store_digest(filled)
    export(tmp_path / "again.db", tmp_path / "second")
    assert content(tmp_path / "first") == content(tmp_path / "second")


def test_exported_lines_say_what_each_document_was(filled: Path, tmp_path: Path) -> None:
    assert export(filled, tmp_path / "out") == [f"16 documents in {tmp_path / 'out'}"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "index.jsonl").read_text().splitlines()]
    newest = lines[5]
    assert {**newest, "sha256": "", "file": ""} == {
        "upstream": "deepinfra",
        "source": "deepinfra",
        "observed_at": "2026-08-11T01:02:03.004Z",
        "url": LIST,
        "sha256": "",
        "bytes": len(prices(one=1)),
        "file": "",
        "status": 200,
        "etag": '"e"',
    }
    assert lines[6]["not_recorded"] == ["acme/new"]
    assert [line.get("part") for line in lines[6:10]] == [None, "acme/a", "acme/b", "acme/old"]


def test_equal_bodies_are_exported_once(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path / "out")
    bodies = [gzip.decompress(path.read_bytes()) for path in (tmp_path / "out" / "bodies").rglob("*.gz")]
    assert len(bodies) == len(set(bodies)) < 16


def test_only_the_sources_asked_for_are_exported(filled: Path, tmp_path: Path) -> None:
    assert export(filled, tmp_path / "out", "deepinfra") == [f"6 documents in {tmp_path / 'out'}"]


def test_an_empty_folder_may_be_exported_into_and_another_not(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(filled, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(BackfillRefused, match="is not empty"):
        export(filled, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_a_file_in_place_of_a_folder_is_not_exported_into(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BackfillRefused, match="cannot be written"):
        export(filled, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_export_that_fails_leaves_nothing_behind(filled: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "filled.archive").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    done = tokentape(filled, "archive", "export", str(tmp_path / "out"))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_a_poll_that_comes_back_in_pieces_is_the_poll_that_it_was(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path / "out")
    sweep = surveyed(tmp_path / "out", "openrouter")[0]
    assert sorted(parts(sweep)) == ["", "acme/a", "acme/b", "acme/old"]
    assert sweep.failed_parts == {"acme/new"}


# ---- Recorded timelines ----------------------------------------------------------------------------------------------


@pytest.mark.recorded
def test_a_recorded_timeline_gives_the_intervals_of_a_second_reading_of_the_files(
    recorded: Path, tmp_path: Path
) -> None:
    config = replace(PACKAGED, store=str(tmp_path / "tape.db"))
    spec = config.sources["litellm"]
    (line,) = backfill_folder(config, recorded / "timeline", [spec], NOW)
    assert line.startswith("litellm: 62 polls read, 62 in all, 0 refused")
    polls = [poll for poll, _ in test_timelines.SOURCES["litellm"](recorded)]
    wanted = test_timelines.wanted(timelines.expected(polls), test_timelines.context_of)
    assert test_timelines.kept(tmp_path / "tape.db") == wanted


@pytest.mark.recorded
def test_recorded_bundles_give_the_sweeps_of_a_second_reading_of_the_files(recorded: Path) -> None:
    spec = PACKAGED.sources["openrouter"]
    folder = Folder(recorded / "timeline", limit=2**25)
    held, _ = folder.survey([spec], now=NOW, progress=lambda _: None)
    values = Values()
    count = 0
    for found, (at, first, answers) in zip(
        arrivals(folder, spec, held["openrouter"]), timelines.openrouter(recorded), strict=True
    ):
        bodies = parts(found)
        assert (found.at, bodies.pop("")) == (at, first)
        assert found.failed_parts == {name for name, body in answers.items() if body is None}
        assert list(values.of(bodies)) == list(values.of({name: body for name, body in answers.items() if body}))
        count += 1
    assert count == 330


class Values:
    """Reads equal bodies once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}

    def of(self, bodies: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
        for name, body in sorted(bodies.items()):
            if body not in self._known:
                self._known[body] = json.loads(body)
            yield name, self._known[body]
