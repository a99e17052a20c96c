"""Shared fixtures: where recorded documents lie, and a network that ends at loopback."""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

ROOT = Path(__file__).parent.parent


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


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield
