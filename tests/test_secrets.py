"""Planted keys: what they are sent to, and that they are found nowhere else."""

import base64
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from collector.config import load, packaged
from collector.contract import Request, SourceSpec
from collector.fetch import Fetcher
from collector.poll import Report
from store.archive import Archive
from store.location import archive_folder
from tests import polling
from tests.collecting import ask, told
from tests.fetching import NOW, OK, Naps, everything_is_loopback, run, settings, trust
from tests.raw_server import Answer, answer, raw_server, reset, silence
from tests.stores import content, rows

GOOD = b'{"data": [{"id": "acme-1", "in": "1.5", "out": "6"}]%s}'


@dataclass
class Planted:
    """A source with a key, and what its upstream answers."""

    name: str
    answer: Answer
    key: str = field(default_factory=lambda: "sk-" + secrets.token_urlsafe(24) + '+/"')

    @property
    def variable(self) -> str:
        return f"{self.name.upper()}_API_KEY"

    @property
    def spec(self) -> SourceSpec:
        return polling.source(self.name, key_env=self.variable)

    def forms(self) -> list[bytes]:
        """The key as it may be written anywhere."""
        raw = self.key.encode()
        return [raw, quote(self.key, safe="").encode(), base64.b64encode(raw), self.key.replace('"', '\\"').encode()]


def planted() -> list[Planted]:
    """Twelve sources whose upstreams say what they heard, or break in every way."""
    found = [Planted(f"acme{number}", b"") for number in range(12)]
    raw = [one.key.encode() for one in found]
    said = [b', "you": "%s"' % one.key.replace('"', '\\"').encode() for one in found]
    heard = [f"X-Echo: {one.key}" for one in found]
    answers: list[Answer] = [
        answer(GOOD % said[0]),
        answer(GOOD % (b', "you": "%s"' % quote(found[1].key, safe="").encode())),
        answer(GOOD % b"", f'ETag: "{found[2].key}"', f"Set-Cookie: k={found[2].key}", f"Content-Type: {found[2].key}"),
        answer(raw[3], status="401 Unauthorized"),
        answer(raw[4], heard[4], "Retry-After: 90", status=f"429 {found[4].key}"),
        answer(b"{" + raw[5]),
        answer(b'{"error": {"message": "key %s is not known"}}' % said[6][9:-1]),
        answer(b"", f"Location: https://other.test/?key={quote(found[7].key)}", status="302 Found"),
        answer(raw[8], "Content-Encoding: gzip"),
        reset(raw[9]),
        silence(),
        answer(GOOD % (b', "you": "%s"' % base64.b64encode(raw[11]))),
    ]
    return [Planted(one.name, reply, one.key) for one, reply in zip(found, answers, strict=True)]


def everything(store: str, reports: list[Report]) -> Iterator[tuple[str, bytes]]:
    """All that a poll leaves anywhere, by where."""
    for report in reports:
        yield "line", report.line.encode()
    for table, lines in content(store).items():
        yield table, repr(lines).encode()
    archive = Archive(archive_folder(store))
    yield from (("archive", archive.content(key)) for key in set(archive.keys()))


@pytest.mark.fault(170, 171, 172, 173, 175)
def test_twelve_planted_keys_are_sent_to_their_own_upstream_and_found_nowhere_else(
    store_url: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    all_planted = planted()
    specs = [one.spec for one in all_planted]
    environ = {one.variable: one.key for one in all_planted}

    async def work() -> tuple[list[Report], list[str]]:
        at = {f"/{one.name}.test/models": one.answer for one in all_planted}
        async with raw_server(polling.NOT_FOUND, at=at) as server:
            return await polling.poll_all(store_url, specs, settings(mirror=server.url), NOW, environ), server.requests

    reports, requests = run(work())
    assert [one.outcome for one in reports].count("ok") == 4
    for one in all_planted:
        heads = [head for head in requests if one.key in head]
        assert heads, one.name  # it was sent, or this would be no test
        assert all(head.startswith(f"GET /{one.name}.test/models ") for head in heads)
        assert all(f"authorization: Bearer {one.key}\r\n" in head for head in heads)
    exported = [tmp_path / f"{what}.jsonl" for what in ("current", "history")]
    for path in exported:
        assert ask(tmp_path, "--store", store_url, "export", path.stem, "--format", "jsonl", "-o", path).exit_code == 0
    places = [*everything(store_url, reports), ("log", caplog.text.encode())]
    places += [(path.name, path.read_bytes()) for path in exported]
    for command in (("sources",), ("explain", "acme0/acme-1"), ("endpoints", "acme-1"), ("held",)):
        asked = ask(tmp_path, "--store", store_url, *command)
        places.append((" ".join(command), asked.output.encode()))
    for where, text in places:
        for one in all_planted:
            assert not any(form in text for form in one.forms()), (where, one.name)


@pytest.mark.fault(172)
def test_a_key_that_an_upstream_repeats_is_removed_and_the_poll_says_what_was_sent(store_url: str) -> None:
    key = "sk-0123456789"
    body = GOOD % (b', "for": "%s"' % key.encode())
    (report,) = polling.polled(
        store_url,
        polling.source(key_env="ACME_API_KEY"),
        answers={"acme.test": answer(body)},
        environ={"ACME_API_KEY": key},
    )
    said = "https://acme.test/models repeated our key, which was removed from what it sent, of SHA-256"
    assert (report.outcome, report.message) == ("ok", f"{said} {sha256(body).hexdigest()}")
    ((kept,),) = rows(store_url, "SELECT sha256 FROM document")
    assert kept == sha256(body.replace(key.encode(), b"[key removed]")).hexdigest()


@pytest.mark.fault(175)
def test_keys_of_two_sources_whose_addresses_are_swapped_go_where_the_address_says_and_not_across() -> None:
    async def work() -> list[str]:
        async with (
            raw_server(OK) as server,
            Fetcher(settings(), lambda: NOW, sleep=Naps(), resolve=everything_is_loopback, tls=trust()) as fetcher,
        ):
            for host, key in (("one.test", "key-of-one"), ("two.test", "key-of-two"), ("one.test", "key-of-one")):
                url = f"http://{host}:{server.port}/models"
                request = Request(url=url, headers={"Authorization": f"Bearer {key}"})
                await fetcher.get(request, polling.source(host.partition(".")[0]))
            return server.requests

    for head in run(work()):
        assert ("key-of-one" in head) == ("host: one.test" in head.lower())
        assert ("key-of-two" in head) == ("host: two.test" in head.lower())


@pytest.mark.fault(174)
def test_a_missing_key_stops_the_source_and_no_packaged_source_asks_for_another_kind_of_secret(tmp_path: Path) -> None:
    assert ask(tmp_path, "collect", "xai").exit_code == 2
    assert ask(tmp_path, "collect", "xai", XAI_API_KEY="  ").exit_code == 2
    assert not list(tmp_path.rglob("*.db"))
    names = {spec.key_env for spec in load(packaged(), {}).sources.values()} - {""}
    assert len(names) > 10


@pytest.mark.fault(174, 175)
def test_a_file_that_points_a_packaged_source_elsewhere_has_to_say_whose_key_goes_there(tmp_path: Path) -> None:
    path = tmp_path / "user.yaml"
    elsewhere = "sources:\n  xai:\n    url: https://elsewhere.example/models\n"
    path.write_text(elsewhere)
    said = told(ask(tmp_path, "--config", path, "collect", "xai", XAI_API_KEY="the-key-of-xai"), 2, lines=2)
    where, _, what = said.splitlines()[1].partition(": sources.xai.url: ")
    assert where.strip() == f"{path}:3"
    assert what == "is another than that which gets XAI_API_KEY: say in key_env whose key this one gets"
    for line, variable in {"XAI_API_KEY": "XAI_API_KEY", "''": "", "MY_API_KEY": "MY_API_KEY"}.items():
        path.write_text(f"{elsewhere}    key_env: {line}\n")
        assert load(path, {}).sources["xai"].key_env == variable
    path.write_text("sources: {xai: {every: 1d, key_env: MY_API_KEY}}")
    assert load(path, {}).sources["xai"].url == load(packaged(), {}).sources["xai"].url
