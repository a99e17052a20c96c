"""Bodies out of their content coding, text out of bodies: bounded in memory, and nothing cut taken for whole.

HTTP libraries take a cut gzip, brotli or deflate body for a whole one, drop the second member of a gzip body, hand an
unknown coding through as if it were the body, and let 3 KB of brotli become 4 GB at one stroke. Here every step puts
out a bounded piece, the piece is counted before the next one is made, and each coding must come to its own end marker.

Not: completeness of a body without content coding; the transfer proves it where there is a length or are chunks, the
parser otherwise. A body of several gzip members or zstd frames that is cut exactly between two of them is such a body.
"""

import codecs
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from types import MappingProxyType
from typing import Protocol, Self

from collector.errors import FetchFailed, SourceChanged
from store.records import Document

ACCEPT_ENCODING = "gzip, deflate, br, zstd"

MAX_CODINGS = 2

IN_MEMORY = 2 << 20
"""Bytes of a body beyond which it grows in a file that has no name: what is much larger mostly never ends."""

STEP = 1 << 18
"""Bytes put out at a time, about: brotli and zstd may exceed it, never by more than some MB."""

ZSTD_FEED = 128
"""Bytes of zstd taken in at a time. Its decoder knows no limit on output, but four bytes in are never more than one
block of 128 KiB out."""

ZSTD_WINDOW = 8 << 20
"""The largest window that RFC 9659 allows in a content coding; the library would allocate 128 MiB."""


MAX_MEMBERS = 4096
"""Members of a gzip body, or frames of a zstd body: a million empty ones would cost seconds and add nothing."""


class _Coding(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data`, which is not empty, adds to the body, in bounded pieces; a ValueError says what is wrong."""

    def whole(self) -> bool:
        """The end has come."""


class _Identity:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def whole(self) -> bool:
        return True


class _Gzip:
    """Any number of members, one after another, with nothing between or after them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
                self._members = _one_more(self._members)
            yield from _inflate(self._member, data)
            data = self._member.unused_data

    def whole(self) -> bool:
        return self._member.eof


class _Deflate:
    """One zlib stream, as the standard has it, or one raw deflate stream, as some servers have it."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            # A zlib header begins with the method, 8; a raw stream with that nibble would be a stored block that is
            # padded with a one, which no encoder writes.
            self._stream = zlib.decompressobj(wbits=15 if data[0] & 15 == 8 else -15)
        ended = self._stream.eof
        yield from _inflate(self._stream, data)
        if ended or self._stream.unused_data:
            raise ValueError("bytes after the end of the deflate body")

    def whole(self) -> bool:
        return self._stream is not None and self._stream.eof


def _one_more(members: int) -> int:
    if members == MAX_MEMBERS:
        raise ValueError(f"the body has more than {MAX_MEMBERS} members")
    return members + 1


def _inflate(stream: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    try:
        while not stream.eof:
            piece = stream.decompress(data, STEP)
            yield piece
            data = stream.unconsumed_tail
            if not data and len(piece) < STEP:  # a full piece may have left output behind though all input was taken
                return
    except zlib.error:
        raise ValueError("the gzip or deflate body is damaged") from None


class _Brotli:
    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]

        self._stream = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._stream.process(data, output_buffer_limit=STEP)
            # That it could take more does not say that all is out of what it took: only an empty piece does.
            while piece or not self._stream.can_accept_more_data():
                yield piece
                piece = b"" if self._stream.is_finished() else self._stream.process(b"", output_buffer_limit=STEP)
        except self._error:
            raise ValueError("the brotli body is damaged") from None

    def whole(self) -> bool:
        return bool(self._stream.is_finished())


class _Zstd:
    """Any number of frames, one after another, with nothing between or after them."""

    def __init__(self) -> None:
        import zstandard

        self._decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._frame = self._decompressor.decompressobj()
        self._frames = 1
        self._error: type[Exception] = zstandard.ZstdError

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), ZSTD_FEED):
                rest = data[start : start + ZSTD_FEED]
                while rest:
                    if self._frame.eof:
                        self._frame = self._decompressor.decompressobj()
                        self._frames = _one_more(self._frames)
                    yield self._frame.decompress(rest)
                    rest = self._frame.unused_data
        except self._error:
            raise ValueError("the zstd body is damaged, or its window is above 8 MiB") from None

    def whole(self) -> bool:
        return self._frame.eof


_CODINGS: Mapping[str, Callable[[], _Coding]] = MappingProxyType(
    {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate, "br": _Brotli, "zstd": _Zstd}
)


class BodyDecoder:
    """A body, grown from raw bytes as they come in; entered as a context.

    `where` begins every message; `limit` bounds the bytes that come out of each coding.
    Raises: FetchFailed, of code `coding` (unknown, or too many), `decode` (damaged, or followed by other bytes),
    `truncated` (without its end) or `too_large`.
    """

    def __init__(self, content_encoding: str, *, limit: int, where: str) -> None:
        names = [name for part in content_encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
        if len(names) > MAX_CODINGS or any(name not in _CODINGS for name in names):
            raise FetchFailed(
                f"{where}: wanted at most {MAX_CODINGS} codings out of {ACCEPT_ENCODING}, got {content_encoding}",
                code="coding",
            )
        self._where = where
        self._limit = limit
        self._stages = [_CODINGS[name]() for name in reversed(names)] or [_Identity()]
        self._sizes = [0] * len(self._stages)
        self._body = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by `__exit__`
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what was decoded, which would stay for as long as its failure is spoken of."""
        self._body.close()
        self._stages.clear()

    def feed(self, data: bytes) -> None:
        """Take in raw bytes."""
        self._begun = self._begun or bool(data)
        try:
            for piece in self._through(0, data):
                self._body.write(piece)
        except ValueError as error:
            raise FetchFailed(f"{self._where}: {error}", code="decode") from None

    def finish(self) -> bytes:
        """The whole body; empty if not one byte ever came."""
        if self._begun and not all(stage.whole() for stage in self._stages):
            raise FetchFailed(f"{self._where}: wanted a whole body, got one that ends before its end", code="truncated")
        self._body.seek(0)
        return self._body.read()

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        """`data` through the stages from `depth` on; what any of them puts out counts, even if the next swallows it."""
        if depth == len(self._stages):
            yield data
        elif data:
            for piece in self._stages[depth].feed(data):
                self._sizes[depth] += len(piece)
                if self._sizes[depth] > self._limit:
                    message = f"{self._where}: wanted at most {self._limit} bytes of body, got more"
                    raise FetchFailed(message, code="too_large")
                yield from self._through(depth + 1, piece)


_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

_CHARSETS: Mapping[str, str] = MappingProxyType(
    {
        "": "utf-8",
        "utf-8": "utf-8",
        "utf8": "utf-8",
        "us-ascii": "ascii",
        "iso-8859-1": "cp1252",  # as every browser reads it: a euro sign is worth more here than a control character
        "windows-1252": "cp1252",
        "utf-16": "utf-16-le",
        "utf-16le": "utf-16-le",
        "utf-16be": "utf-16-be",
    }
)


def is_plain(document: Document) -> bool:
    """Whether the body is UTF-8 from its first byte on, if it is text at all."""
    return _codec_of(document) == ("utf-8", 0)


def text_of(document: Document) -> str:
    """The body as text: by its byte order mark, else by the charset of its content type, else as UTF-8.

    Raises: SourceChanged if it is not wholly text in that charset, or if the charset is another one.
    """
    codec, start = _codec_of(document)
    try:
        return str(memoryview(document.body)[start:], codec)
    except UnicodeDecodeError as error:
        message = f"{document.source}: wanted {codec} text, got other bytes at {start + error.start} of the body"
        raise SourceChanged(message, code="encoding") from None


def _codec_of(document: Document) -> tuple[str, int]:
    """Python's name of the charset, and where the text begins."""
    for mark, codec in _MARKS:
        if document.body.startswith(mark):
            return codec, len(mark)
    label = re.search(r";\s*charset\s*=\s*[\"']?([^\s;\"']*)", document.content_type, re.IGNORECASE)
    charset = label[1].lower() if label else ""
    if charset not in _CHARSETS:
        raise SourceChanged(f"{document.source}: wanted UTF-8, got charset {charset}", code="encoding")
    return _CHARSETS[charset], 0
