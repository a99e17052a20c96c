"""Shared fixtures: where recorded documents lie, stores of each engine, and a network that ends at loopback."""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.stores import ENGINES, Server, Stores

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: "test_every_interval" not in item.name and "test_kill_" not in item.name)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded upstream documents, `replay.py` among them; skips where there is none."""
    folder = Path(os.environ.get("TOKENTAPE_RECORDED", ROOT / ".." / "shared" / "upstream")).resolve()
    if not (folder / "replay.py").is_file():
        reason = f"no recorded documents at {folder}: set TOKENTAPE_RECORDED to their folder"
        if os.environ.get("TOKENTAPE_RECORDED_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL, started by the first test that needs one."""
    started = Server()
    yield started
    started.stop()


@pytest.fixture(scope="session", params=ENGINES)
def stores(request: pytest.FixtureRequest) -> Stores:
    """What makes stores: each test that asks for it is run on each engine."""
    return Stores(request.getfixturevalue("server") if request.param == "postgresql" else None)


@pytest.fixture
def store_url(stores: Stores) -> Iterator[str]:
    """A store of a test's own."""
    with stores.new() as url:
        yield url


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the archives of stores in PostgreSQL are."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, data_home: Path) -> None:
    """A width, a store or a key in the environment of whoever runs the tests is not the tests' business."""
    for name in ("COLUMNS", "NO_COLOR", "TOKENTAPE_CONFIG", "TOKENTAPE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(data_home))
