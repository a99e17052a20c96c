"""Fetching recorded documents through a mirror, whole and with every fault that the replay server knows."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.contract import Request
from collector.errors import Blocked, FetchFailed
from collector.settings import HttpSettings
from store.records import Document
from tests.fetching import NOW, Naps, fetcher, run, spec

pytestmark = pytest.mark.recorded
URL = "https://openrouter.ai/api/v1/models"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """The replay server, and one source that reads through it."""

    replay: Any
    naps: Naps

    @property
    def settings(self) -> HttpSettings:
        """`allow_private` stays off: the mirror itself is allowed, and nothing else."""
        return HttpSettings(mirror=self.replay.url("").rstrip("/"), connect_s=1, first_byte_s=0.5, attempts=3)

    def get(self, url: str = URL, previous: Document | None = None, *, deadline_s: float = 5.0) -> Document:
        async def work() -> Document:
            async with fetcher(self.settings, self.naps) as source:
                return await source.get(Request(url=url), spec(), previous, time.monotonic() + deadline_s)

        return run(work())

    def failure(self, fault: str, *, deadline_s: float = 5.0) -> FetchFailed:
        self.replay.fault(f"openrouter-models={fault}")
        with pytest.raises(FetchFailed, match=r"^acme: https://openrouter\.ai/api/v1/models: ") as caught:
            self.get(deadline_s=deadline_s)
        return caught.value

    @property
    def asked(self) -> list[str]:
        return [entry["url"] for entry in self.replay.log]


@pytest.fixture
def mirror(recorded: Path) -> Iterator[Mirror]:
    assert recorded  # it makes the next import possible
    from replay import Replay

    with Replay(at="2026-08-01T00:00:00Z") as replay:
        yield Mirror(replay=replay, naps=Naps())


def test_a_document_read_from_a_mirror_is_named_by_its_upstream(mirror: Mirror) -> None:
    document = mirror.get(URL + "?output_modalities=all")
    assert document.url == URL + "?output_modalities=all"
    assert document.body.startswith(b"{")
    assert len(document.body) > 100_000
    assert (document.content_type, document.fetched_at) == ("application/json", NOW)


def test_the_same_document_is_fetched_once_and_a_newer_one_again(mirror: Mirror) -> None:
    first = mirror.get()
    again = mirror.get(previous=first)
    assert again.not_modified
    assert again.body is first.body
    assert mirror.replay.next("openrouter-models")
    later = mirror.get(previous=again)
    assert not later.not_modified
    assert later.sha256 != first.sha256


def test_the_largest_documents_fit(mirror: Mirror) -> None:
    for url in (
        "https://models.dev/api.json",
        "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json",
    ):
        assert len(mirror.get(url).body) > 1_000_000


@pytest.mark.parametrize(
    ("fault", "code", "asked"),
    [
        ("500", "http_500", 3),
        ("503", "http_503", 3),
        ("503:1", "http_503", 3),
        ("429", "rate_limited", 3),
        ("429:30", "rate_limited", 1),
        ("404", "gone", 1),
        ("401", "auth", 1),
        ("204", "http_204", 1),
        ("truncate", "truncated", 3),
        ("hang:1", "first_byte_timeout", 3),
        ("delay:1", "first_byte_timeout", 3),
        ("reset", "read", 3),
        ("html", "auth", 1),
        ("html200", "challenge", 1),
        ("empty", "empty", 1),
        ("badgzip", "decode", 1),
        ("redirect", "redirect_target", 1),
        ("always304", "http_304", 2),
    ],
)
def test_a_fault_ends_in_its_code(mirror: Mirror, fault: str, code: str, asked: int) -> None:
    assert mirror.failure(fault).code == code
    assert len(mirror.asked) == asked


def test_a_wait_beyond_the_deadline_is_passed_on(mirror: Mirror) -> None:
    assert mirror.failure("429:30").retry_after_s == 30
    assert mirror.naps.taken == []


def test_a_slow_body_ends_at_the_deadline(mirror: Mirror) -> None:
    before = time.monotonic()
    assert mirror.failure("slow:6", deadline_s=0.7).code == "deadline"
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("fault", ["503,times=2", "429:1,times=1", "reset,times=1", "truncate,times=2"])
def test_a_fault_that_passes_leaves_no_trace(mirror: Mirror, fault: str) -> None:
    whole = mirror.get()
    mirror.replay.fault(f"openrouter-models={fault}")
    assert mirror.get() == whole


@pytest.mark.parametrize("fault", ["nothing", "half", "cut", "scale"])
def test_a_whole_transfer_of_a_wrong_document_is_for_the_parser_to_refuse(mirror: Mirror, fault: str) -> None:
    mirror.replay.fault(f"openrouter-models={fault}")
    assert mirror.get().body


def test_a_source_without_validators_is_fetched_whole_each_time(mirror: Mirror) -> None:
    first = mirror.get()
    mirror.replay.fault("openrouter-models=novalidators")
    second = mirror.get(previous=first)
    assert (second.etag, second.last_modified, second.not_modified) == (None, None, False)
    assert second.body == first.body


def test_a_304_to_everything_is_believed_only_where_we_hold_a_body(mirror: Mirror) -> None:
    first = mirror.get()
    mirror.replay.fault("openrouter-models=always304")
    assert mirror.get(previous=first).not_modified


@pytest.mark.parametrize(
    "to",
    [
        "/openrouter.ai/api/v1/models",
        "{mirror}/openrouter.ai/api/v1/models",
        "https://openrouter.ai/api/v1/models",
        "{mirror}/www.openrouter.ai/api/v1/models",
    ],
)
def test_a_redirect_within_the_upstream_host_stays_in_the_mirror(mirror: Mirror, to: str) -> None:
    mirror.replay.fault(f"openrouter-models=redirect:{to.replace('{mirror}', mirror.settings.mirror)},times=1")
    if "www." in to:
        with pytest.raises(FetchFailed) as caught:  # the recording knows no such host, but it was asked
            mirror.get()
        assert caught.value.code == "gone"
    else:
        assert mirror.get().body
    assert len(mirror.asked) == 2


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("/models.dev/api.json", "redirect_host"),
        ("https://models.dev/api.json", "redirect_host"),
        ("{mirror}/models.dev/api.json", "redirect_host"),
        ("http://openrouter.ai/api/v1/models", "downgrade"),
        ("https://openrouter.ai/", "redirect_target"),
        ("{mirror}/", "redirect_target"),
        ("{mirror}/openrouter.ai", "redirect_target"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(mirror: Mirror, to: str, code: str) -> None:
    error = mirror.failure(f"redirect:{to.replace('{mirror}', mirror.settings.mirror)}")
    assert error.code == code
    assert isinstance(error, Blocked) == (code != "redirect_target")
    assert mirror.asked == ["openrouter.ai/api/v1/models"]


def test_many_requests_at_once_are_all_answered(mirror: Mirror) -> None:
    async def work() -> set[str]:
        async with fetcher(mirror.settings) as source:
            requests = [Request(url=f"{URL}?page={i}", part=str(i)) for i in range(40)]
            documents = await asyncio.gather(*(source.get(request, spec(deadline_s=15)) for request in requests))
            return {document.part for document in documents}

    assert run(work()) == {str(i) for i in range(40)}
