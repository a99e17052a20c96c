"""Small bodies that become gigabytes: one packed stretch, repeated, so that making them is cheap."""

import struct
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]

MB = 1 << 20


def _deflated(wbits: int) -> bytes:
    packer = zlib.compressobj(9, wbits=wbits)
    first = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * 2047


def gzip_bomb() -> tuple[str, bytes]:
    """2 GiB in 2 MiB."""
    return "gzip", _deflated(31)


def deflate_bomb() -> tuple[str, bytes]:
    """2 GiB in 2 MiB."""
    return "deflate", _deflated(15)


def brotli_bomb() -> tuple[str, bytes]:
    """4 GiB in 7 KB."""
    packer = brotli.Compressor(quality=5)
    first = packer.process(bytes(16 * MB)) + packer.flush()
    again = packer.process(bytes(16 * MB)) + packer.flush()
    return "br", bytes(first + again * 255)


def zstd_bomb() -> tuple[str, bytes]:
    """4 GiB in 128 KB: blocks of 128 KiB that repeat one byte, in a window of 8 MiB."""
    head = struct.pack("<IBB", 0xFD2FB528, 0, 13 << 3)
    block = (1 << 1) | (128 << 10 << 3)
    return "zstd", head + (struct.pack("<I", block)[:3] + b"0") * 32768


def double_bomb() -> tuple[str, bytes]:
    """A gzip body in brotli: 2 GiB in some 60 bytes."""
    name, raw = gzip_bomb()
    return f"{name}, br", bytes(brotli.compress(raw, quality=5))


BOMBS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "gzip": gzip_bomb,
    "deflate": deflate_bomb,
    "brotli": brotli_bomb,
    "zstd": zstd_bomb,
    "gzip in brotli": double_bomb,
}
