"""A process that may open no more files: every part of the way of a price says so, and goes on once it may."""

import asyncio
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.contract import Request
from collector.errors import CollectorError
from collector.parsing import _start
from store.errors import NoResources, unwritten
from store.write import Tape
from tests.fetching import OK, fetcher, settings, spec
from tests.raw_server import raw_server
from tests.stores import Stores


@contextmanager
def no_more_files() -> Iterator[None]:
    """Every handle that this process may have is taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 1, hard)
    )
    taken = []
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for handle in taken:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault(150)
def test_a_store_that_cannot_be_opened_for_want_of_a_handle_says_so_and_goes_on(stores: Stores, tmp_path: Path) -> None:
    with stores.new() as url:
        tape = Tape(url, str(tmp_path))
        with no_more_files(), pytest.raises(NoResources, match="Too many open files"):
            tape.last_polls("acme")
        assert tape.last_polls("acme").newest is None
        tape.close()


@pytest.mark.fault(150)
def test_an_archive_without_a_handle_is_told_apart_from_a_full_disk(tmp_path: Path) -> None:
    tape = Tape(str(tmp_path / "tape.db"))
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as caught:
        tape.archive.keep(())
    assert unwritten(tape.archive.root, caught.value).code == NoResources.code
    tape.close()


@pytest.mark.fault(150)
def test_neither_a_connection_nor_a_child_without_a_handle_is_the_upstream_s_fault() -> None:
    async def asked() -> None:
        async with raw_server(OK) as server, fetcher(settings()) as fetching:
            with no_more_files():
                await fetching.get(Request(url=server.url), spec())

    def read() -> None:
        with no_more_files():
            _start("acme")

    calls: list[Callable[[], object]] = [lambda: asyncio.run(asked()), read]
    for call in calls:
        with pytest.raises(CollectorError, match="Too many open files") as caught:
            call()
        assert caught.value.code == "resources"
