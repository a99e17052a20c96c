"""Forty upstreams that answer with bodies of ten gigabytes, all at once: what the daemon makes of them, and its memory.

Bodies are plain, with and without their length and in chunks, or packed by each coding or by two, some of them into a
few kilobytes. The daemon has these sources alone, all due as it starts. Its memory is what the kernel says was the most
of its process, and the most that it and its children had together whenever that was looked at.
"""

import argparse
import asyncio
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import brotli  # type: ignore[import-untyped]

from tests.benchmarks.measure import ROOT, figure
from tests.collecting import environ, own_sources
from tests.raw_server import Answer, answer, raw_server

SIZE = 10 * 10**9
MB = 1 << 20
MOST_MB = 150
WITHIN_S = 120
DAEMON = "from collector.cli import run; run()"


def main() -> None:
    """Print the figures; exit 1 if a body was taken or the memory was too much."""
    options = argparse.ArgumentParser(prog="hostile_bodies", description=__doc__)
    options.add_argument("--upstreams", type=int, default=40)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(asyncio.run(campaign(Path(folder), given.upstreams)))


async def campaign(home: Path, upstreams: int) -> int:
    """All of it; the exit status."""
    kinds = [list(BODIES)[number % len(BODIES)] for number in range(upstreams)]
    names = {f"acme{number}": kind for number, kind in enumerate(kinds)}
    at = {f"/{name}.example/models": served(*BODIES[kind]) for name, kind in names.items()}
    async with raw_server(b"", at=at) as server:
        config = own_sources(home, mirror=server.url, every=dict.fromkeys(names, "1h"))
        command = [sys.executable, "-c", DAEMON, "--config", str(config), "--store", str(home / "tape.db"), "daemon"]
        started = time.monotonic()
        with subprocess.Popen(  # noqa: ASYNC220 - once, at the start
            command, cwd=home, env=environ(home, PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE, text=True
        ) as daemon:
            assert daemon.stdout is not None
            idle_mb, together_mb, most_mb = 0.0, 0.0, 0.0
            said = asyncio.create_task(asyncio.to_thread(lines, daemon.stdout, upstreams))
            while not said.done() and time.monotonic() < started + WITHIN_S:
                if not server.requests:
                    idle_mb = memory_mb(daemon.pid, "VmRSS")
                together_mb = max(together_mb, sum(memory_mb(pid, "VmRSS") for pid in family(daemon.pid)))
                most_mb = memory_mb(daemon.pid, "VmHWM") or most_mb
                await asyncio.sleep(0.005)
            took_s = time.monotonic() - min(server.starts)
            daemon.terminate()
            daemon.wait()
            found = await said
    codes: dict[str, set[str]] = {kind: set() for kind in BODIES}
    for line in found:
        name, _, rest = line.split(" ", 1)[1].partition(": ")
        codes[names[name]].add(rest.partition(":")[0])
    for kind, outcomes in codes.items():
        print(f"{kind:22} {', '.join(sorted(outcomes)) or 'no outcome'}")
    refused = sum("failed (too_large)" in line for line in found)
    print(f"{refused} of {upstreams} refused within {took_s:.1f} s, {server.most_under_way} under way at once")
    print(
        f"memory of the daemon: {figure(idle_mb)} MB before, {figure(most_mb)} MB at most;"
        f" with children {figure(together_mb)} MB"
    )
    return int(refused < upstreams or max(most_mb, together_mb) >= MOST_MB)


def lines(stream: Iterator[str], count: int) -> list[str]:
    """That many lines of a log, or all until its end."""
    return [line.rstrip("\n") for _, line in zip(range(count), stream, strict=False)]


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return [pid]


def memory_mb(pid: int, what: str) -> float:
    """A line of the memory of a process; 0 if it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(f"{what}:")]
    return int(found[0]) / 1024 if found else 0.0


def served(head: bytes, body: Callable[[], Iterator[bytes]]) -> Answer:
    """An answer that is sent for as long as anybody takes it."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for piece in body():
            writer.write(piece)
            await writer.drain()

    return write


def plain() -> Iterator[bytes]:
    return repeat(b" " * MB, SIZE // MB)


def chunked() -> Iterator[bytes]:
    return repeat(b"100000\r\n" + b" " * MB + b"\r\n", SIZE // MB)


def noise() -> Iterator[bytes]:
    """What no coding makes smaller, as gzip: more is sent than comes out."""
    packer = zlib.compressobj(0, wbits=31)
    return (packer.compress(os.urandom(MB)) for _ in range(SIZE // MB))


def deflated(wbits: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=wbits)
    pieces = [packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return chain(pieces[:1], repeat(pieces[1], SIZE // MB))


def brotlied() -> Iterator[bytes]:
    packer = brotli.Compressor(quality=5, lgwin=24)
    pieces = [bytes(packer.process(bytes(16 * MB)) + packer.flush()) for _ in range(2)]
    return chain(pieces[:1], repeat(pieces[1], SIZE // MB // 16))


def zstd() -> Iterator[bytes]:
    """Blocks of 128 KiB that repeat one byte, in a window of 8 MiB."""
    block = struct.pack("<I", (1 << 1) | (128 << 10 << 3))[:3] + b" "
    return chain([struct.pack("<IBB", 0xFD2FB528, 0, 13 << 3)], repeat(block * 8, SIZE // MB))


def stacked() -> Iterator[bytes]:
    """gzip in brotli."""
    packer = brotli.Compressor(quality=5, lgwin=24)
    return (bytes(packer.process(piece)) + bytes(packer.flush()) for piece in deflated(31))


def coded(name: str) -> bytes:
    return answer(b"", f"Content-Encoding: {name}", sized=False)


BODIES: dict[str, tuple[bytes, Callable[[], Iterator[bytes]]]] = {
    "plain": (answer(b"", sized=False), plain),
    "plain, with its length": (answer(b"", length=SIZE), plain),
    "plain, in chunks": (answer(b"", "Transfer-Encoding: chunked", sized=False), chunked),
    "gzip": (coded("gzip"), lambda: deflated(31)),
    "gzip of noise": (coded("gzip"), noise),
    "deflate": (coded("deflate"), lambda: deflated(15)),
    "raw deflate": (coded("deflate"), lambda: deflated(-15)),
    "br": (coded("br"), brotlied),
    "zstd": (coded("zstd"), zstd),
    "gzip, br": (coded("gzip, br"), stacked),
}


if __name__ == "__main__":
    main()
