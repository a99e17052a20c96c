"""Polls of sources of a test's own, over real sockets into a store of either engine."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from collector.config import Config, load, packaged
from collector.contract import PageSpec, PriceSpec, SourceSpec
from collector.fetch import Fetcher
from collector.poll import Poller, Report
from collector.settings import HttpSettings
from collector.transport import Resolve, system_addresses
from store.write import Tape
from tests.fetching import NOW, Naps, settings, trust
from tests.raw_server import Answer, answer, raw_server

NOT_FOUND = answer(b"", status="404 Not Found")
_UNIT = "USD/1M_token"
PRICES = (PriceSpec(meter="input", at="in", unit=_UNIT), PriceSpec(meter="output", at="out", unit=_UNIT))


def source(name: str = "acme", *, url: str = "", **changes: Any) -> SourceSpec:
    """A source of its own, at `https://NAME.test/models`: a JSON list of `id`, `in` and `out` under `data`."""
    spec = SourceSpec(
        id=name,
        title=name,
        parser="json_list",
        url=url or f"https://{name}.test/models",
        trust="first-party",
        every_s=3600,
        provider=name,
        records="data",
        model="id",
        prices=PRICES,
        expect={"models": 1},
        deadline_s=20.0,
    )
    return replace(spec, **changes)


def page(name: str = "acme", **changes: Any) -> SourceSpec:
    """The same as a table of a page, with the columns `id`, `in` and `out`."""
    return source(name, parser="html_table", kind="page", records="", page=PageSpec(), **changes)


def table(*rows: str) -> str:
    """A page with a table of such rows."""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.split())}</tr>" for row in rows)
    head = "<tr><th>id</th><th>in</th><th>out</th></tr>"
    return f"<!doctype html><html><head><title>x</title></head><body><table>{head}{cells}</table></body></html>"


def polled(
    store: str,
    *specs: SourceSpec,
    answers: Mapping[str, Answer],
    http: HttpSettings | None = None,
    at: datetime = NOW,
    environ: Mapping[str, str] | None = None,
) -> list[Report]:
    """One poll of each source, all at once, in their order; `answers` by the host that is asked.

    There is no robots.txt.
    """

    async def work() -> list[Report]:
        paths = {f"/{host}/models": answer for host, answer in answers.items()}
        async with raw_server(NOT_FOUND, at=paths) as server:
            return await poll_all(store, specs, replace(http or settings(), mirror=server.url), at, environ)

    return asyncio.run(work())


async def poll_all(
    store: str,
    specs: Sequence[SourceSpec],
    http: HttpSettings,
    at: datetime = NOW,
    environ: Mapping[str, str] | None = None,
    resolve: Resolve = system_addresses,
    tls: ssl.SSLContext | None = None,
) -> list[Report]:
    """The same, inside an event loop."""
    tape = await asyncio.to_thread(Tape, store)
    try:
        async with Fetcher(http, lambda: at, sleep=Naps(), resolve=resolve, tls=tls or trust()) as fetcher:
            config = configured(http, *specs)
            poller = Poller(config, tape, fetcher, clock=lambda: at, environ=environ or {})
            return await asyncio.gather(*map(poller.poll, specs))
    finally:
        await asyncio.to_thread(tape.close)


def configured(http: HttpSettings, *specs: SourceSpec) -> Config:
    """The packaged configuration with these sources in place of its own."""
    return replace(_packaged(), http=http, sources={spec.id: spec for spec in specs})


@cache
def _packaged() -> Config:
    """Reading it takes ten times as long as a poll."""
    return load(packaged(), {})
