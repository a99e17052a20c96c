"""Histories of many small files: real repositories, every commit a poll of all folders, read file by file."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import checks
from collector.backfill.commands import backfill_git, export_archive
from collector.backfill.git import read_log
from collector.backfill.git_tree import TreeHistory, read_tree
from collector.config import Config, load
from collector.errors import BackfillRefused, SourceChanged
from collector.mend import Arrival, backfill, reparse
from collector.parse.folder import member, read_folder, written
from collector.sighting import Received, Seen, Seer, see
from collector.sources import models_dev
from collector.verify import faults
from store.evidence import explain
from store.read import open_store
from store.records import Document, Sighting
from store.timeline import Opened, SourceState, Step, Updated
from store.touched import Track
from store.write import Tape
from tests.test_backfill_git import NOW, PACKAGED, START, git, hour, tokentape
from tests.test_timeline import store_digest

SPEC = replace(PACKAGED.sources["models_dev"], expect={})
FOLDERS = ("models", "providers")
RULES = checks.rules(PACKAGED.checks)


class Link(str):
    """A symbolic link, and where it leads."""

    __slots__ = ()


Tree = Mapping[str, str | bytes]


def repository(path: Path, trees: Sequence[tuple[float, Tree]]) -> Path:
    """A bare repository, made or gone on with, that holds one tree after another, each committed at its hour."""
    begun = path.exists()
    if not begun:
        git(path.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    stream = b""
    for hours, tree in trees:
        seconds = START + round(hours * 3600)
        stream += f"commit refs/heads/main\ncommitter T <t@x> {seconds} +0000\ndata 1\nm\n".encode()
        stream += b"from refs/heads/main^0\n" if begun else b""
        stream += b"deleteall\n"
        begun = False
        for name, text in tree.items():
            body = text.encode() if isinstance(text, str) else text
            mode = "120000" if isinstance(text, Link) else "100644"
            stream += f"M {mode} inline {json.dumps(name)}\ndata {len(body)}\n".encode() + body + b"\n"
    git(path, "fast-import", "--quiet", given=stream)
    return path


def model(price: object, **more: str) -> str:
    """A model with a price, and further lines under headings."""
    return f"[cost]\ninput = {price}\noutput = {price}\n" + "".join(f"[{key}]\n{line}\n" for key, line in more.items())


PROVIDER = 'name = "P"\n'
FIRST = {
    "providers/acme/provider.toml": PROVIDER,
    "providers/acme/models/one.toml": model(1),
    "providers/acme/models/deep/two.toml": model(2),
    "providers/other/provider.toml": PROVIDER,
    "providers/other/models/same.toml": 'base_model = "lab/base"\n' + model(3),
    "models/lab/base.toml": "[limit]\ncontext = 1000\n",
    "README.md": "of no interest",
}


def read(path: Path, folders: Sequence[str] = FOLDERS, since: datetime | None = None) -> TreeHistory:
    return read_tree(path, read_log(path, folders), folders, SPEC, models_dev, since=since, now=NOW)


def arrivals(path: Path) -> list[Arrival]:
    return list(read(path).arrivals(SPEC, limit=2**20))


def undated(documents: Sequence[Document]) -> list[Document]:
    """Documents whenever they were fetched: a folder is fetched anew where a commit changed it."""
    return [replace(one, fetched_at=NOW) for one in documents]


def see_all(found: Sequence[Arrival]) -> Iterator[Seen | str]:
    """What a reader who goes on from poll to poll sees; of a poll that is refused, why."""
    seer = Seer(SPEC)
    for arrival in found:
        try:
            yield seer.see(Received(documents=arrival.documents, failures={}), arrival.at)
        except SourceChanged as error:
            yield str(error)


def alone(arrival: Arrival) -> Sighting:
    """A poll by itself."""
    return Seer(SPEC).see(Received(documents=arrival.documents, failures={}), arrival.at).sighting


def offered(tree: Tree, tmp_path: Path) -> dict[str, tuple[dict[str, int], int | None]]:
    """Provider/model[@tag] -> prices in USD per 1M tokens and context, of a repository that holds one tree."""
    (arrival,) = arrivals(repository(tmp_path / "one.git", [(0, tree)]))
    return {
        f"{one.key.provider}/{one.key.model}{'@' if one.key.tag else ''}{one.key.tag}": (
            {meter: amount // 10**9 for meter, amount in one.card.amounts} if one.card else {},
            one.facts.context_length,
        )
        for one in alone(arrival).observations
    }


def configured(store: Path) -> Config:
    return replace(PACKAGED, store=str(store), sources={**PACKAGED.sources, "models_dev": SPEC})


def take(store: Path, repo: Path, since: datetime | None = None, folders: Sequence[str] = FOLDERS) -> str:
    (line,) = backfill_git(configured(store), str(repo), folders, SPEC, since, NOW)
    return line


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Four states: a price moves, a base changes, a model goes."""
    second = {**FIRST, "providers/acme/models/one.toml": model(1.5)}
    third = {**second, "models/lab/base.toml": "[limit]\ncontext = 2000\n"}
    fourth = {name: text for name, text in third.items() if name != "providers/acme/models/deep/two.toml"}
    return repository(tmp_path / "r.git", [(0, FIRST), (24, second), (48, third), (72, fourth)])


# ---- What a poll of a tree is ----------------------------------------------------------------------------------------


def test_every_commit_is_a_poll_of_a_first_document_and_one_for_each_folder(repo: Path) -> None:
    found = arrivals(repo)
    parts = ["", "models/lab", "providers/acme", "providers/other"]
    assert [one.at for one in found] == [hour(0), hour(24), hour(48), hour(72)]
    assert [[document.part for document in one.documents] for one in found] == [parts] * 4
    first, *folders = found[0].documents
    commit = found[0].origin.split(" ")[2]
    assert json.loads(first.body) == {"commit": commit, "folders": parts[1:]}
    assert found[0].origin == f"git commit {commit} of models, providers"
    assert [one.url for one in (first, *folders)] == [f"git:{commit}", *(f"git:{part}" for part in parts[1:])]
    assert json.loads(folders[0].body) == {
        "models/lab/base.toml": {"mode": "100644", "text": FIRST["models/lab/base.toml"]}
    }


def test_a_folder_that_a_commit_leaves_alone_is_the_same_document(repo: Path) -> None:
    digests = [{one.part: one.sha256 for one in arrival.documents if one.part} for arrival in arrivals(repo)]
    changed = [{part for part in old if old[part] != new[part]} for old, new in pairwise(digests)]
    assert changed == [{"providers/acme"}, {"models/lab"}, {"providers/acme"}]


def test_commits_that_change_no_file_that_is_read_are_no_polls(tmp_path: Path) -> None:
    other = {**FIRST, "providers/acme/logo.svg": "<svg/>", "README.md": "changed"}
    repo = repository(tmp_path / "r.git", [(0, FIRST), (1, other), (2, {**other, "models/lab/b.toml": model(1)})])
    assert [one.at for one in arrivals(repo)] == [hour(0), hour(2)]
    assert "logo" not in str([document.body for one in arrivals(repo) for document in one.documents])


def test_since_begins_with_a_whole_tree(repo: Path) -> None:
    (only,) = read(repo, since=hour(72)).arrivals(SPEC, limit=2**20)
    assert undated(only.documents) == undated(arrivals(repo)[-1].documents)


def test_a_commit_dated_in_the_future_is_refused_and_its_changes_come_with_the_next(tmp_path: Path) -> None:
    last = {**FIRST, "providers/acme/models/one.toml": model(9)}
    repo = repository(tmp_path / "r.git", [(0, FIRST), (10**5, last), (2, {**last, "models/lab/c.toml": model(1)})])
    history = read(repo)
    found = list(history.arrivals(SPEC, limit=2**20))
    assert ([one.at for one in found], len(history.refused)) == ([hour(0), hour(2)], 1)
    (single,) = arrivals(repository(tmp_path / "s.git", [(2, {**last, "models/lab/c.toml": model(1)})]))
    assert undated(found[1].documents[1:]) == undated(single.documents[1:])


def test_a_state_with_a_file_larger_than_is_read_is_refused_until_it_is_gone(tmp_path: Path) -> None:
    large = {**FIRST, "models/lab/large.toml": "#" * 2000}
    repo = repository(
        tmp_path / "r.git", [(0, FIRST), (1, large), (2, {**large, "models/lab/d.toml": model(1)}), (3, FIRST)]
    )
    history = read(repo)
    assert [one.at for one in history.arrivals(SPEC, limit=1000)] == [hour(0), hour(3)]
    assert [at for at, _ in history.refused] == [hour(1), hour(2)]
    assert "models/lab/large.toml has more than 1000 bytes" in history.refused[0][1]


def test_submodules_are_left_out(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r.git", [(0, FIRST)])
    module = f"commit refs/heads/main\ncommitter T <t@x> {START + 60} +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
    module += f"M 160000 {'1' * 40} models/lab/base.toml\n"
    git(repo, "fast-import", "--quiet", given=module.encode())
    assert [one.part for one in arrivals(repo)[1].documents] == ["", "providers/acme", "providers/other"]


# ---- What its files say ----------------------------------------------------------------------------------------------


def test_offers_have_the_names_of_the_published_document(tmp_path: Path) -> None:
    assert offered(FIRST, tmp_path) == {
        "acme/one": ({"input": 1, "output": 1}, None),
        "acme/deep/two": ({"input": 2, "output": 2}, None),
        "other/same": ({"input": 3, "output": 3}, 1000),
    }


def test_a_model_takes_from_its_base_what_it_neither_says_nor_omits(tmp_path: Path) -> None:
    tree = {
        "providers/acme/provider.toml": PROVIDER,
        "models/lab/base.toml": "[limit]\ncontext = 1000\noutput = 10\n[cost]\ninput = 5\ncache_read = 1\n",
        "providers/acme/models/all.toml": 'base_model = "lab/base"\n',
        "providers/acme/models/own.toml": 'base_model = "lab/base"\n[limit]\ncontext = 7\n[cost]\ninput = 6\n',
        "providers/acme/models/less.toml": 'base_model = "lab/base"\nbase_model_omit = ["limit", "cost.cache_read"]',
    }
    assert offered(tree, tmp_path) == {
        "acme/all": ({"input": 5, "cache_read": 1}, 1000),
        "acme/own": ({"input": 6, "cache_read": 1}, 7),
        "acme/less": ({"input": 5}, None),
    }


def test_a_model_extends_that_of_another_provider_which_may_extend_a_third(tmp_path: Path) -> None:
    tree = {
        **FIRST,
        "providers/acme/models/far.toml": '[extends]\nfrom = "other/near"\nomit = ["limit"]\n',
        "providers/other/models/near.toml": '[extends]\nfrom = "acme/one"\n[cost]\noutput = 8\n[limit]\ncontext = 5\n',
    }
    found = offered(tree, tmp_path)
    assert found["acme/far"] == ({"input": 1, "output": 8}, None)
    assert found["other/near"] == ({"input": 1, "output": 8}, 5)


def test_links_are_offers_of_their_own_and_one_that_leads_nowhere_is_none(tmp_path: Path) -> None:
    tree = {
        **FIRST,
        "providers/other/models/linked.toml": Link("../../acme/models/one.toml"),
        "providers/other/models/twice.toml": Link("linked.toml"),
        "providers/other/models/dangling.toml": Link("../nothing.toml"),
        "providers/other/models/outside.toml": Link("/etc/passwd"),
    }
    found = offered(tree, tmp_path)
    assert found["other/linked"] == found["other/twice"] == found["acme/one"]
    assert found.keys() == {"acme/one", "acme/deep/two", "other/same", "other/linked", "other/twice"}


def test_a_tier_without_a_type_is_one_of_context(tmp_path: Path) -> None:
    tiers = "[[cost.tiers]]\ninput = 7\ntier = { size = 200_000 }\n"
    tree = {**FIRST, "providers/acme/models/one.toml": model(1) + tiers}
    (arrival,) = arrivals(repository(tmp_path / "r.git", [(0, tree)]))
    (one,) = (one for one in alone(arrival).observations if one.key.model == "one")
    assert one.card is not None
    assert [(found.above_tokens, found.amounts) for found in one.card.overrides] == [(200_000, (("input", 7 * 10**9),))]


def test_a_provider_without_its_own_file_is_not_published(tmp_path: Path) -> None:
    tree = {name: text for name, text in FIRST.items() if name != "providers/acme/provider.toml"}
    assert offered(tree, tmp_path).keys() == {"other/same"}


def test_numbers_are_exact(tmp_path: Path) -> None:
    tree = {**FIRST, "providers/acme/models/one.toml": model("1_0.000_000_001")}
    (arrival,) = arrivals(repository(tmp_path / "r.git", [(0, tree)]))
    card = next(one.card for one in alone(arrival).observations if one.key.model == "one")
    assert card is not None
    assert card.amount("input") == 10_000_000_001


def test_values_that_are_equal_and_not_the_same_are_told_apart(tmp_path: Path) -> None:
    path = "providers/acme/models/one.toml"
    trees = [{**FIRST, path: f"reasoning = {value}\n{model(1)}"} for value in ("true", "1", "1.0", "true # again")]
    found = arrivals(repository(tmp_path / "r.git", list(enumerate(trees))))
    features = []
    for seen in see_all(found):
        assert isinstance(seen, Seen)
        told = seen.sighting.observations if seen.offers is None else [one for (one,) in seen.offers.values()]
        features.append([one.facts.features for one in told if one.key.model == "one"])
    assert features == [[("reasoning",)], [()], [], [("reasoning",)]]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("providers/acme/models/one.toml", "= 1", "acme/models/one.toml: not sound TOML"),
        ("providers/acme/models/one.toml", "[cost]\ninput = nan\n", "nan is not a number"),
        ("providers/acme/models/one.toml", "a = " + "[" * 5000, "not sound TOML"),
        ("providers/acme/models/one.toml", b"a = '\xff'", "half a surrogate pair"),
        ("providers/acme/provider.toml", "name", "acme/provider.toml: not sound TOML"),
        ("models/lab/base.toml", "x", "models/lab/base.toml: not sound TOML"),
        ("providers/acme/models/one.toml", 'base_model = "no/such"', "models/no/such.toml: no such file"),
        ("providers/acme/models/one.toml", "base_model = 5", "models/5.toml: no such file"),
        ("providers/acme/models/one.toml", '[extends]\nfrom = "acme/one"', "one.toml: takes from itself"),
        ("providers/acme/models/one.toml", "[extends]\nx = 1", "no such file"),
        (
            "providers/acme/models/one.toml",
            'base_model = "lab/base"\nbase_model_omit = "limit"',
            "omit: wanted a list of paths",
        ),
        ("providers/acme/models/one.toml", Link("one.toml"), "one.toml: leads in a circle"),
        ("providers/acme/models/ one.toml", model(1), "acme one stands in two files"),
    ],
)
def test_a_tree_that_could_not_have_been_published_is_refused_and_the_next_is_read(
    tmp_path: Path, path: str, text: str | bytes, message: str
) -> None:
    last = {**FIRST, "providers/acme/models/new.toml": model(4)}
    repo = repository(tmp_path / "r.git", [(0, FIRST), (1, {**last, path: text}), (2, last)])
    first, second, third = see_all(arrivals(repo))
    assert isinstance(first, Seen)
    assert isinstance(third, Seen)
    assert isinstance(second, str)
    assert message in second
    assert third.sighting.observations == alone(arrivals(repo)[2]).observations


def test_a_poll_that_lacks_a_folder_is_refused(repo: Path) -> None:
    whole, *_ = arrivals(repo)
    for documents in (whole.documents[:-1], whole.documents[1:], (*whole.documents, whole.documents[1])):
        with pytest.raises(SourceChanged, match="wanted the folders that the first document names"):
            alone(replace(whole, documents=documents))


def test_a_document_that_is_no_folder_is_refused(repo: Path) -> None:
    whole, *_ = arrivals(repo)
    for body in (b"", b"[]", b"{}", b'{\n  "x": {\n    "mode": 1,\n    "text": "" \n  }\n}', b'{\n  "x": {\n  }\n}'):
        broken = replace(whole.documents[1], body=body, sha256="")
        with pytest.raises(SourceChanged, match="models/lab"):
            alone(replace(whole, documents=(whole.documents[0], broken, *whole.documents[2:])))


@given(
    st.lists(
        st.dictionaries(st.text(max_size=3), st.tuples(st.sampled_from(["100644", "120000"]), st.text(max_size=9))),
        min_size=1,
        max_size=4,
    )
)
def test_a_folder_is_read_as_it_was_written_whatever_was_read_before(
    states: list[dict[str, tuple[str, str]]],
) -> None:
    before = None
    for state in states:
        files = {path.encode("utf-8", "ignore").decode(): one for path, one in state.items()} or {"x": ("100644", "")}
        body = written(
            member(path, mode, text.encode("utf-8", "ignore")) for path, (mode, text) in sorted(files.items())
        )
        document = Document(source="s", url="git:p", fetched_at=hour(0), status=200, body=body, part="p")
        before = read_folder(document, before)
        assert before.files == {
            path: (mode, text.encode("utf-8", "ignore").decode()) for path, (mode, text) in files.items()
        }


# ---- From state to state ---------------------------------------------------------------------------------------------


def published(tree: Tree) -> dict[str, Any]:
    """`api.json` as the files give it, read plainly; KeyError if it could not have been published."""
    import posixpath
    import tomllib

    def text(path: str) -> str:
        found = tree[path]
        if isinstance(found, Link):
            return text(posixpath.normpath(posixpath.join(posixpath.dirname(path), found)))
        assert isinstance(found, str)
        return found

    def whole(path: str) -> dict[str, Any]:
        own = tomllib.loads(text(path))
        if "base_model" in own:
            base = whole(f"models/{own['base_model']}.toml")
        elif "extends" in own:
            provider, name = own["extends"]["from"].split("/")
            base = whole(f"providers/{provider}/models/{name}.toml")
        else:
            return own
        return {key: {**base.get(key, {}), **own.get(key, {})} for key in ("cost", "limit") if key in {**base, **own}}

    body: dict[str, Any] = {}
    for path in sorted(tree):
        words = path.split("/")
        if words[0] == "providers" and f"providers/{words[1]}/provider.toml" in tree and words[2] == "models":
            try:
                text(path)
            except KeyError:
                continue  # a link to nothing
            body.setdefault(words[1], {"models": {}})["models"][words[3].removesuffix(".toml")] = whole(path)
    return body


_PRICES = st.sampled_from([1, 2, 3])
_FILES = st.one_of(
    _PRICES.map(model),
    _PRICES.map(lambda price: model(price, limit="context = 9")),
    _PRICES.map(lambda price: 'base_model = "lab/m"\n' + model(price)),
    st.sampled_from(["a/x", "b/y"]).map(lambda name: f'[extends]\nfrom = "{name}"\n[limit]\ncontext = 8\n'),
    st.sampled_from(["x.toml", "../../b/models/y.toml", "../../../models/lab/m.toml"]).map(Link),
)
_TREES = st.fixed_dictionaries(
    {"providers/a/models/x.toml": _PRICES.map(model), "models/lab/other.toml": st.just("")},
    optional={
        "providers/a/provider.toml": st.just(PROVIDER),
        "providers/b/provider.toml": st.just(PROVIDER),
        "providers/a/models/z.toml": _FILES,
        "providers/b/models/y.toml": _FILES,
        "providers/b/models/w.toml": _FILES,
        "models/lab/m.toml": st.sampled_from([1, 2]).map(lambda size: f"[limit]\ncontext = {size}\n"),
    },
)


def intervals(step: Step) -> set[tuple[object, ...]]:
    """What a step says of prices, apart from where it was read."""
    return {
        (type(event), event.key, replace(event.interval, evidence=None))  # type: ignore[arg-type]
        for event in step.events
        if isinstance(event, Opened | Updated)
    }


def api(tree: Tree, at: datetime) -> Received:
    """A poll of the published document."""
    body = json.dumps(published(tree)).encode()
    return Received(
        documents=(Document(source=SPEC.id, url=SPEC.url, fetched_at=at, status=200, body=body),), failures={}
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(_TREES, st.booleans()), min_size=1, max_size=7))
def test_any_history_gives_the_timeline_of_the_documents_published_one_by_one(
    states: list[tuple[dict[str, str], bool]],
) -> None:
    """Also where some instants were polled live: those come as the published document itself."""
    with TemporaryDirectory() as folder:
        trees = [(9.0 * number, tree) for number, (tree, _) in enumerate(states)]
        found = {one.at: one for one in arrivals(repository(Path(folder) / "r.git", trees))}
    seer, track, plain = Seer(SPEC), Track(SourceState(), RULES), Track(SourceState(), RULES)
    for number, (tree, live) in enumerate(states):
        at = hour(9 * number)
        if at not in found:
            continue  # nothing changed
        try:
            received = api(tree, at)
            sighting, _ = see(received, SPEC, at)
        except (KeyError, RecursionError, SourceChanged):
            with pytest.raises(SourceChanged):
                seer.see(Received(documents=found[at].documents, failures={}), at)
            continue
        given_now = received if live else Received(documents=found[at].documents, failures={})
        step, wanted = seer.see(given_now, at).step(track), plain.take(sighting)
        assert intervals(step) == intervals(wanted)
        assert step.complete == wanted.complete
        if not live:
            assert {(one.key, one.card, one.facts) for one in alone(found[at]).observations} == {
                (one.key, one.card, one.facts) for one in sighting.observations
            }


# ---- Into a store ----------------------------------------------------------------------------------------------------


def test_a_history_becomes_a_timeline(repo: Path, tmp_path: Path) -> None:
    assert (
        take(tmp_path / "t.db", repo) == "models_dev: 4 polls read, 4 in all, 0 refused, 5 intervals new or corrected"
    )


def test_taken_over_in_parts_in_any_order_it_gives_the_same_store(repo: Path, tmp_path: Path) -> None:
    take(tmp_path / "whole.db", repo)
    take(tmp_path / "parts.db", repo, hour(48))
    take(tmp_path / "parts.db", repo)
    assert store_digest(tmp_path / "parts.db") == store_digest(tmp_path / "whole.db")
    assert take(tmp_path / "parts.db", repo).startswith("models_dev: 0 polls read, 4 in all, 0 refused, 0 intervals")


def test_a_history_that_goes_on_is_gone_on_with(repo: Path, tmp_path: Path) -> None:
    take(tmp_path / "parts.db", repo)
    repository(repo, [(96, FIRST), (120, {**FIRST, "providers/acme/models/one.toml": model(1.25)})])
    assert take(tmp_path / "parts.db", repo).startswith("models_dev: 2 polls read")
    take(tmp_path / "whole.db", repo)
    assert store_digest(tmp_path / "parts.db") == store_digest(tmp_path / "whole.db")


def test_a_run_that_is_stopped_leaves_the_store_as_it_was_and_is_run_again(repo: Path, tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "t.db"))

    def stopped() -> Iterator[Arrival]:
        yield from arrivals(repo)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill(PACKAGED.checks, tape, SPEC, stopped(), known=NOW)
    tape.close()
    assert store_digest(tmp_path / "t.db") == []
    take(tmp_path / "t.db", repo)
    take(tmp_path / "whole.db", repo)
    assert store_digest(tmp_path / "t.db") == store_digest(tmp_path / "whole.db")


def test_live_polls_and_a_history_that_comes_late_join_in_one_timeline(repo: Path, tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "t.db"))
    moved = {**FIRST, "providers/acme/models/one.toml": model(1.5)}
    live = [(hour(30), moved), (hour(100), {**moved, "providers/acme/models/one.toml": model(1.75)})]
    polls = [Arrival(at=at, documents=api(tree, at).documents) for at, tree in live]
    backfill(PACKAGED.checks, tape, SPEC, polls, known=NOW)
    line = take(tmp_path / "t.db", repo)
    assert line.startswith("models_dev: 4 polls read, 6 in all, 0 refused")
    with sqlite3.connect(tmp_path / "t.db") as connection:
        rows = connection.execute(
            "SELECT e.published_provider, e.published_model, i.first_seen FROM interval i"
            " JOIN endpoint e ON e.id = i.endpoint_id WHERE i.known_to IS NULL AND e.published_model = 'one' ORDER BY 3"
        ).fetchall()
    assert rows == [("acme", "one", round(hour(at).timestamp() * 1000)) for at in (0, 24, 100)]
    assert reparse(PACKAGED.checks, tape, SPEC, known=NOW + timedelta(hours=1), dry_run=True).corrections == ()
    assert list(faults(PACKAGED.checks, tape, {"models_dev": SPEC}, NOW + timedelta(hours=1))) == []
    tape.close()


def test_a_commit_that_does_not_parse_is_a_failed_poll_and_prices_stay(tmp_path: Path) -> None:
    broken = {**FIRST, "providers/acme/models/one.toml": "[cost\n"}
    repo = repository(tmp_path / "r.git", [(0, FIRST), (24, broken), (48, {**FIRST, "models/lab/e.toml": model(1)})])
    assert (
        take(tmp_path / "t.db", repo) == "models_dev: 3 polls read, 3 in all, 1 refused, 3 intervals new or corrected"
    )


def test_the_evidence_is_the_file_in_the_document_of_its_folder(repo: Path, tmp_path: Path) -> None:
    take(tmp_path / "t.db", repo)
    with open_store(str(tmp_path / "t.db")) as reader:
        (found,) = explain(reader, "models_dev:acme:one", NOW)
    assert (found.url, found.part) == ("git:providers/acme", "providers/acme")
    assert found.row.locator == '["providers/acme/models/one.toml"].text'
    assert found.record is not None
    assert json.loads(found.record) == model(1.5)


def test_an_exported_history_is_taken_over_again(repo: Path, tmp_path: Path) -> None:
    from collector.backfill.commands import backfill_folder

    take(tmp_path / "t.db", repo)
    list(export_archive(configured(tmp_path / "t.db"), tmp_path / "out", [SPEC]))
    list(backfill_folder(configured(tmp_path / "u.db"), tmp_path / "out", [SPEC], NOW))
    assert store_digest(tmp_path / "u.db") == store_digest(tmp_path / "t.db")


def test_a_single_file_of_such_a_source_is_taken_over_as_one(tmp_path: Path) -> None:
    body = json.dumps(published(FIRST))
    repo = repository(tmp_path / "r.git", [(0, {"api.json": body})])
    assert take(tmp_path / "t.db", repo, folders=["api.json"]).startswith(
        "models_dev: 1 polls read, 1 in all, 0 refused"
    )


def test_what_is_no_folder_of_the_source_is_refused_in_one_line(repo: Path, tmp_path: Path) -> None:
    for folders, message in (
        (["models", "nothing"], "its history has no file nothing"),
        (["models", "README.md"], "README.md: no folder of files that models_dev is made of"),
    ):
        with pytest.raises(BackfillRefused, match=message):
            take(tmp_path / "t.db", repo, folders=folders)
    config = load(None, {})
    with pytest.raises(BackfillRefused, match="litellm is one document: wanted the path of one file"):
        list(backfill_git(config, str(repo), FOLDERS, config.sources["litellm"], None, NOW))
    with pytest.raises(BackfillRefused, match="models: is a folder"):
        list(backfill_git(config, str(repo), ["models"], config.sources["litellm"], None, NOW))
    assert not (tmp_path / "t.db").exists()


def test_the_command_takes_over_folders(repo: Path, tmp_path: Path) -> None:
    words = ("backfill", "git", str(repo), "--path", "providers", "--path", "models", "--source", "models_dev")
    done = tokentape(tmp_path, *words)
    assert (done.returncode, done.stderr.count("wanted at least 90 endpoints")) == (0, 4)
    assert done.stdout == "models_dev: 4 polls read, 4 in all, 4 refused, 0 intervals new or corrected\n"
    done = tokentape(tmp_path, *words[:5], "--source", "litellm")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_git_is_started_twice(repo: Path, tmp_path: Path) -> None:
    """Whatever the number of commits: once for the log, once for all bodies."""
    log = tmp_path / "started"
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho x >> {log}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    program = (
        f"import os; os.environ['PATH'] = '{wrapper.parent}:' + os.environ['PATH']; "
        "from collector.cli import run; run()"
    )
    words = ("backfill", "git", str(repo), "--path", "providers", "--path", "models", "--source", "models_dev")
    command = [sys.executable, "-c", program, "--store", str(tmp_path / "t.db"), *words]
    done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parent.parent, check=False)
    assert (done.returncode, log.read_text()) == (0, "x\nx\n")
