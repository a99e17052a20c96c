"""What the tests of fetching share: settings with short times, a source, a clock that stands, a sleep that is noted."""

import asyncio
import ssl
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from collector.contract import SourceSpec
from collector.fetch import Fetcher, Sleep
from collector.settings import HttpSettings
from collector.transport import Resolve, system_addresses
from tests.raw_server import answer

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
BODY = b'{"data": [' + b", ".join(b'{"id": "acme/model-%d"}' % i for i in range(500)) + b"]}"
OK = answer(BODY, "Content-Type: application/json")

T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 20))


class Naps:
    """A sleep that is noted and cut short."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def spec(*, concurrency: int = 6, pause_s: float = 0.0, deadline_s: float = 5.0) -> SourceSpec:
    return SourceSpec(
        id="acme",
        title="Acme",
        parser="json_list",
        url="https://acme.test/models",
        trust="first-party",
        every_s=3600,
        concurrency=concurrency,
        pause_s=pause_s,
        deadline_s=deadline_s,
    )


def settings(
    *,
    mirror: str = "",
    proxy: str = "",
    allow_private: bool = True,
    attempts: int = 1,
    first_byte_s: float = 0.4,
    body_limit: int = 1 << 20,
    decoded_limit: int = 1 << 21,
) -> HttpSettings:
    return HttpSettings(
        mirror=mirror,
        proxy=proxy,
        allow_private=allow_private,
        attempts=attempts,
        connect_s=0.4,
        first_byte_s=first_byte_s,
        body_limit=body_limit,
        decoded_limit=decoded_limit,
    )


@cache
def trust() -> ssl.SSLContext:
    """The usual certificates; loading them for every test would take most of the time."""
    return ssl.create_default_context()


def fetcher(given: HttpSettings, sleep: Sleep | None = None, resolve: Resolve = system_addresses) -> Fetcher:
    return Fetcher(given, lambda: NOW, sleep=sleep or Naps(), resolve=resolve, tls=trust())


async def everything_is_loopback(host: str, port: int) -> list[str]:
    """A resolver for names that exist only in tests."""
    del host, port
    return ["127.0.0.1"]
