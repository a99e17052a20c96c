"""Parsing in a process apart, which a body can neither keep busy for ever nor fill with all of this machine's memory.

A body of some megabytes can ask hours of an HTML parser, in C code that no timeout interrupts, and a gigabyte of a JSON
parser. So pages, and whatever is large, are parsed by a child with limits on processor time and memory: it takes one
document after another, and where one is its end, the next gets a new child. Small JSON costs neither, and is parsed
here; so is everything where nothing is read from elsewhere (`package:NAME`).

What the child answers with is pickled, and unpickled into our own records and nothing else: no name that comes back is
ever looked up anywhere but among them. It gets no key: its environment is empty.
"""

import atexit
import copyreg
import dataclasses
import gc
import importlib
import io
import math
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from collector.contract import Describer, Follower, Quote, Request, SourceSpec
from collector.errors import CollectorError, SourceChanged
from collector.sources import TABLES, parser_of
from store.errors import NO_RESOURCES
from store.records import Document, Facts, Finding
from store.text import one_line

CPU_S = 5
"""Processor time for one document."""
MEMORY = 512 * 2**20
"""Bytes of address space of the child."""
WITHIN_S = 60.0
"""For one document, on a machine that has little time for the child."""
ANSWER = 128 * 2**20
"""Bytes of an answer; that of 50,000 offers is a fifth of it."""
SMALL = 2**20
"""Bytes of a body up to which JSON is parsed in this process."""
LARGE = 8 * 2**20
"""Bytes of a body after which the child, which may have grown to many times that, is replaced."""

_START = "import sys; sys.path[:] = sys.argv[1:]; from collector.parsing import serve; serve()"
_RECORDS = ("collector.contract", "collector.identify", "store.records")
"""Modules whose dataclasses may pass between the processes."""
_SIZE = struct.Struct("<Q")
Step = Literal["parse", "follow", "described"]


def quotes(document: Document, spec: SourceSpec) -> list[Quote]:
    """The quotes of a document, as the parser of its source reads them.

    Raises: SourceChanged as that does, and if the document takes too much time or memory (`parse_limit`);
        CollectorError if there can be no child.
    """
    if _alone(document, spec):
        return cast("list[Quote]", _child.ask("parse", document, spec))
    return parser_of(spec).parse(document, spec)


def links(document: Document, spec: SourceSpec) -> list[Request]:
    """What else to fetch, of a source whose parser is a `Follower`; none of any other.

    Raises: as `quotes`.
    """
    parser = parser_of(spec)
    if not isinstance(parser, Follower):
        return []
    if _alone(document, spec):
        return cast("list[Request]", _child.ask("follow", document, spec))
    return parser.follow(document, spec)


def described(document: Document, spec: SourceSpec) -> Mapping[str, tuple[Facts, tuple[Finding, ...]]]:
    """What a first document says of the others, of a source whose parser is a `Describer`; nothing of any other.

    Raises: as `quotes`.
    """
    parser = parser_of(spec)
    if not isinstance(parser, Describer):
        return {}
    if _alone(document, spec):
        return cast("Mapping[str, tuple[Facts, tuple[Finding, ...]]]", _child.ask("described", document, spec))
    return parser.described(document, spec)


def _alone(document: Document, spec: SourceSpec) -> bool:
    return spec.kind == "page" or spec.parser in TABLES or len(document.body) > SMALL


def _frozen(mapping: dict[object, object]) -> MappingProxyType[object, object]:
    return MappingProxyType(mapping)  # which has no name of its own to be pickled by


_KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    (one.__module__, one.__qualname__): one for one in (date, datetime, timedelta, timezone, Decimal, _frozen)
}


class _Pickler(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table | {MappingProxyType: lambda proxy: (_frozen, (dict(proxy),))}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if known := _KNOWN.get((module, name)):
            return known
        found = getattr(importlib.import_module(module), name, None) if module in _RECORDS else None
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no record")


class _Child:
    """At most one child at a time, started when it is first needed."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def ask(self, step: Step, document: Document, spec: SourceSpec) -> object:
        """What a step of the parser gives, there.

        Raises: as `quotes`.
        """
        with self._turn:
            if self._running is not None and self._running[0].poll() is not None:
                self._end()  # ended by someone else, between two documents
            process, line = self._running = self._running or _start(document.source)
            try:
                kind, value, code = _exchange(line, (step, document, spec))
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                why = _end_of(process, error)
                self._end()
                raise SourceChanged(f"{document.source}: its document {why}", code="parse_limit") from None
            if len(document.body) > LARGE:
                self._end()
        if kind == "changed":
            raise SourceChanged(value, code=code)
        if kind == "bug":
            raise RuntimeError(value)
        return value

    def close(self) -> None:
        """End the child, if there is one."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        if self._running is not None:
            process, line = self._running
            line.close()
            process.kill()
            process.wait()
            self._running = None


_child = _Child()
atexit.register(_child.close)


def _start(source: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A new child and the line to it; it ends when that does, and is spared the signals of a terminal.

    Raises: CollectorError.
    """
    try:
        here, there = socket.socketpair()
    except OSError as error:
        raise _no_process(source, error) from None
    path = [str(Path(folder).absolute()) for folder in sys.path]
    environ = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LD_", "DYLD_"))}
    try:
        with there:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-P", "-c", _START, *path],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environ,
                start_new_session=True,
            )
    except OSError as error:
        here.close()
        raise _no_process(source, error) from None
    return process, here


def _no_process(source: str, error: OSError) -> CollectorError:
    code = "resources" if error.errno in NO_RESOURCES else "process"
    return CollectorError(f"{source}: no process to read its document: {error.strerror}", code=code)


def _end_of(process: subprocess.Popen[bytes], error: Exception) -> str:
    """What a document did to a child that did not answer, which may be about to end."""
    if isinstance(error, TimeoutError):
        return f"takes more than {WITHIN_S:.0f} s to read"
    try:
        status = process.wait(1)
    except subprocess.TimeoutExpired:
        return "cannot be read: the answer makes no sense"
    if status == -signal.SIGXCPU:
        return f"takes more than {CPU_S} s of processor time to read"
    return f"cannot be read: the child ended with status {status}"


def _exchange(line: socket.socket, question: object) -> Any:
    """Ask, and wait for the answer.

    Raises: OSError, EOFError, pickle.UnpicklingError.
    """
    ends = time.monotonic() + WITHIN_S
    line.settimeout(WITHIN_S)
    _send(line, question)
    return _received(line, lambda: line.settimeout(max(0.001, ends - time.monotonic())))


def _send(line: socket.socket, value: object) -> None:
    written = io.BytesIO()
    _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(value)
    line.sendall(_SIZE.pack(len(written.getbuffer())))
    line.sendall(written.getbuffer())


def _received(line: socket.socket, before_each: Callable[[], None] = lambda: None) -> Any:
    """The next value on a line.

    Raises: EOFError at its end, OSError, pickle.UnpicklingError.
    """

    def read(size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            before_each()
            piece = line.recv(min(size - len(data), 2**20))
            if not piece:
                raise EOFError
            data += piece
        return data

    (size,) = _SIZE.unpack(read(_SIZE.size))
    if size > ANSWER:
        raise pickle.UnpicklingError(f"{size} bytes")
    return _Unpickler(io.BytesIO(read(size))).load()


def serve() -> None:
    """The child: answer what is asked on standard input, one document after another, until that ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # where the system knows no such limit, that on time remains
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    gc.disable()  # what is made lives as long as its document
    with socket.socket(fileno=0) as line, suppress(EOFError):
        while True:
            step, document, spec = _received(line)
            spent = resource.getrusage(resource.RUSAGE_SELF)
            most = math.ceil(spent.ru_utime + spent.ru_stime) + CPU_S
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            kind, value, code = _answer(step, document, spec)
            _send(line, (kind, value, code))
            del document, value
            gc.collect()


def _answer(step: Step, document: Document, spec: SourceSpec) -> tuple[str, object, str]:
    """`value`, `changed` or `bug`; the value or a message; of a change its code."""
    try:
        return "value", getattr(parser_of(spec), step)(document, spec), ""
    except SourceChanged as error:
        return "changed", str(error), error.code
    except MemoryError:
        message = f"{document.source}: its document takes more than {MEMORY >> 20} MiB to read"
        return "changed", message, "parse_limit"
    except Exception as error:  # noqa: BLE001 - it is raised again where it was asked for
        return "bug", one_line(f"{type(error).__name__}: {error}"), ""
