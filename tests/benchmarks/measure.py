"""What a process spent, pairs run in turn, and how figures are written.

Whole processes are accounted by the kernel (`wait4`): peak memory includes what the starting process held, so a
benchmark imports nothing heavy before it starts others.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
"""Not resolved: a console script lies beside the interpreter of its virtual environment."""
AT_ONCE = """
import socketserver, sys
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
sys.path.insert(0, sys.argv[1])
import replay
sys.exit(replay.main(sys.argv[2:]))
"""
"""Starts the replay server of a folder without delays between the parts of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one process took, from start to exit."""

    wall_s: float
    cpu_s: float
    """User and system, its own and of the children it waited for."""
    peak_mb: float
    output: str


def spend(command: Sequence[str | Path], scratch: Path) -> Spent:
    """Run a command in a folder to its end.

    Bytecode is kept in that folder: what is measured is a program that has run before, and a checkout stays clean.
    Raises: RuntimeError if it fails.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOKENTAPE_", "PYTHON"))}
    environ |= {"HOME": str(scratch), "PYTHONPYCACHEPREFIX": str(scratch / "bytecode")}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=scratch, env=environ, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {process.returncode}: {said.strip()}")
    return Spent(
        wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss / 1024, output=said.strip()
    )


def in_turn(sides: Mapping[str, Callable[[], Spent]], repetitions: int) -> dict[str, list[Spent]]:
    """Every side once, then every side again, and so on: what else the machine does falls on all of them alike."""
    found: dict[str, list[Spent]] = {name: [] for name in sides}
    for number in range(repetitions):
        note(f"repetition {number + 1} of {repetitions}")
        for name, side in sides.items():
            found[name].append(side())
    return found


def report(found: Mapping[str, Sequence[Spent]]) -> None:
    """A line for each side: wall time, processor time, peak memory."""
    width = max(map(len, found))
    for name, runs in found.items():
        wall, cpu = ([1000 * value for value in one] for one in zip(*((r.wall_s, r.cpu_s) for r in runs), strict=True))
        print(f"{name:{width}}  wall {spread(wall, 'ms')}  cpu {spread(cpu, 'ms')}  peak {peak(runs)}")


def peak(runs: Sequence[Spent]) -> str:
    """Peak memory, as far as it can be told from that of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peaks = [run.peak_mb for run in runs]
    return spread(peaks, "MB") if min(peaks) > own else f"under {figure(own)} MB"


def compare(found: Mapping[str, Sequence[Spent]], one: str, other: str) -> None:
    """How many times the other one side takes, repetition by repetition."""
    pairs = list(zip(found[one], found[other], strict=True))
    wall, cpu = [a.wall_s / b.wall_s for a, b in pairs], [a.cpu_s / b.cpu_s for a, b in pairs]
    print(f"{one} / {other}: wall {spread(wall, 'x')}, cpu {spread(cpu, 'x')}")


def spread(values: Sequence[float], unit: str) -> str:
    """`median unit [least-most]`, to three digits."""
    middle, least, most = (figure(value) for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} {unit} [{least}-{most}]"


def figure(value: float) -> str:
    """A number to three digits or whole."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def note(text: str) -> None:
    """Progress, apart from the figures."""
    print(text, file=sys.stderr, flush=True)


def recorded() -> Path:
    """The folder of recorded upstream documents, as for the tests marked `recorded`."""
    folder = Path(os.environ.get("TOKENTAPE_RECORDED", ROOT / ".." / "shared" / "upstream")).resolve()
    if not (folder / "replay.py").is_file():
        sys.exit(f"no recorded documents at {folder}: set TOKENTAPE_RECORDED to their folder")
    return folder


@contextmanager
def mirror(scratch: Path, *, at_once: bool = True) -> Iterator[str]:
    """The address of a replay server, in a process of its own, at the newest instant that is recorded.

    It sends headers and body apart, and on a warm connection the body waits 40 ms for the headers to be acknowledged:
    `at_once` spares the client that wait, which is no work of anybody's.
    """
    port_file = scratch / "port"
    options = ["--at", "last", "--quiet", "--port", "0", "--port-file", str(port_file)]
    start = [sys.executable, "-c", AT_ONCE, str(recorded())] if at_once else [sys.executable, recorded() / "replay.py"]
    server = subprocess.Popen([*map(str, start), *options], stdout=subprocess.DEVNULL)
    try:
        while not (port_file.exists() and port_file.read_text()):
            if server.poll() is not None:
                sys.exit("the replay server did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text()}"
    finally:
        server.terminate()
        server.wait()


def config(scratch: Path, mirror_url: str) -> Path:
    """A configuration that reads everything through a mirror."""
    path = scratch / "tokentape.yaml"
    path.write_text(f"http: {{mirror: {mirror_url}}}\n")
    return path
