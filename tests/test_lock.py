"""One daemon per store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import StoreBusy
from store.lock import only_daemon

HOLD = """
import sys, time
from pathlib import Path
from store.lock import only_daemon
with only_daemon(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.fault(139)
def test_second_daemon_is_refused_and_told_who_holds_the_store(tmp_path: Path) -> None:
    store = tmp_path / "tape.db"
    command = [sys.executable, "-c", HOLD, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusy, match=f"process {first.pid}"), only_daemon(store):
            pass
        first.kill()
    with only_daemon(store):
        assert (tmp_path / "tape.db.daemon").read_text() == f"{os.getpid()}\n"


@pytest.mark.fault(139)
def test_lock_is_free_after_its_holder_is_done(tmp_path: Path) -> None:
    for _ in range(2):
        with only_daemon(tmp_path / "tape.db"):
            pass
