"""A pack as bytes: documents folded into one string, compressed alone or as a difference, sealed into a file.

A file is a zstd frame behind a head, which zstd itself skips: `zstd -d` reads a pack that stands alone, and
`zstd -d --patch-from=` its base's content one that is a difference, but for one that leaves out what both have
(`quick_difference`). Every byte of a file is under the head's check, so that damage is found where it is, without what
the file is a difference from.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import zstandard

from store.alike import alike
from store.records import Document

LEVEL = 12
QUICK_LEVEL = 5
"""Where many packs are waited for."""
SHORTEST_MATCH = 6
"""Bytes worth pointing to in what a difference is from: shorter ones are chance, and looking for them takes time."""
SHARE = 0.7
"""Of its size alone, what a difference may take at most."""
PLAINLY_SMALL = 50
"""How many times smaller than the documents a difference is when nothing alone could come near it."""
RUN = 8
"""Packs of a chain before one skips back."""
PERIOD = RUN**3
"""Packs from one that stands alone to the next."""
SKIPPABLE = 0x184D2A5E
PLACES = SKIPPABLE + 1
"""Begins a list of what is in the base as well."""
REMEMBERED = 1 << 12
"""Documents of which the words about them are remembered: a poll after another has mostly the same."""
_PLACES = struct.Struct("<II")
"""Mark and length as zstd has them."""
_PLACE = struct.Struct("<III")
"""Start in the string, start in the base, bytes."""
_HEAD = struct.Struct("<IIIH32s")
"""Mark and length as zstd has them, CRC-32 of all after it, ordinal, key of the base (zeros: none)."""
HEAD_SIZE = _HEAD.size
_CHECKED = struct.calcsize("<III")
_NO_BASE = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What one file holds."""

    ordinal: int = 0
    """Place among the packs since one that stands alone, which is 0."""
    base: str | None = None
    """Key of the pack that this one is a difference from; None if it stands alone."""
    frame: bytes = b""
    """zstd."""
    content: bytes | None = None
    """The string itself, where it comes from among many; never in a file of its own."""


def seal(pack: Pack) -> bytes:
    """A pack as the bytes of its file."""
    base = bytes.fromhex(pack.base) if pack.base else _NO_BASE
    head = _HEAD.pack(SKIPPABLE, _HEAD.size - 8, 0, pack.ordinal, base)
    check = zlib.crc32(pack.frame, zlib.crc32(head[_CHECKED:]))
    return b"".join((head[: _CHECKED - 4], struct.pack("<I", check), head[_CHECKED:], pack.frame))


def unseal(data: bytes) -> Pack:
    """The pack in a file. One without a head, as the first version wrote them, stands alone.

    Raises: ValueError if any byte is not as it was sealed.
    """
    if data.startswith(zstandard.FRAME_HEADER):
        return Pack(frame=data)
    if len(data) < _HEAD.size:
        raise ValueError("too short for a pack")
    mark, length, check, ordinal, base = _HEAD.unpack_from(data)
    if (mark, length, check) != (SKIPPABLE, _HEAD.size - 8, zlib.crc32(memoryview(data)[_CHECKED:])):
        raise ValueError("not a pack as it was sealed")
    return Pack(ordinal=ordinal, base=None if base == _NO_BASE else base.hex(), frame=data[_HEAD.size :])


def base_in(head: bytes) -> str | None:
    """The key of the base that the first bytes of a file name, if they do; nothing is verified."""
    if len(head) < HEAD_SIZE or head.startswith(zstandard.FRAME_HEADER):
        return None
    base = _HEAD.unpack(head)[-1]
    return None if base == _NO_BASE else base.hex()


def parent(ordinal: int) -> int:
    """The ordinal of the pack that one is a difference from: the one before, or further back at each full run.

    Every 8th pack skips back over 8 and every 64th over 64: each is a difference from one that the pack before rests
    on too, and a pack rests on 21 others at most.
    """
    step = 1
    while ordinal % (step * RUN) == 0:
        step *= RUN
    return ordinal - step


def depth(ordinal: int) -> int:
    """How many packs the pack at a place rests on."""
    return sum(ordinal // place % RUN for place in (1, RUN, RUN * RUN))


def key_of(documents: Sequence[Document]) -> str:
    """What identifies documents: SHA-256 over part, URL, status and SHA-256 of each."""
    identities = (_identity(one.part, one.url, one.status, one.sha256) for one in documents)
    return hashlib.sha256(f"[{','.join(identities)}]".encode()).hexdigest()


@lru_cache(maxsize=REMEMBERED)
def _identity(part: str, url: str, status: int, sha256: str) -> str:
    return json.dumps([part, url, status, sha256], separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Folded:
    """Documents as one string, in the pieces that it is made of: a line about them, then the bodies.

    Hashes are not in it: they follow from the bodies, and are what a difference could not make small.
    """

    line: bytes
    bodies: tuple[tuple[str, bytes], ...]
    """With the part of each."""

    @property
    def size(self) -> int:
        """Bytes of the string."""
        return len(self.line) + sum(len(body) for _, body in self.bodies)

    @property
    def whole(self) -> bytes:
        """The string."""
        return self.without({})

    def without(self, stretches: Mapping[int, Iterable[tuple[int, int]]]) -> bytes:
        """The string without stretches (start, size) of its documents, by their places in a row."""
        left = [self.line]
        for number, (_, body) in enumerate(self.bodies):
            left += _between(body, stretches[number]) if number in stretches else (body,)
        return b"".join(left)


def fold(documents: Sequence[Document]) -> Folded:
    """Documents as one string."""
    about = (
        _about(one.part, one.url, one.status, len(one.body), one.content_type, one.etag, one.last_modified)
        for one in documents
    )
    line = f"[{','.join(about)}]\n".encode("ascii")
    return Folded(line, tuple((one.part, one.body) for one in documents))


@lru_cache(maxsize=REMEMBERED)
def _about(
    part: str, url: str, status: int, size: int, content_type: str, etag: str | None, last_modified: str | None
) -> str:
    about = {
        "part": part,
        "url": url,
        "status": status,
        "bytes": size,
        "content_type": content_type,
        "etag": etag,
        "last_modified": last_modified,
    }
    return json.dumps(about, separators=(",", ":"))


def folded(whole: bytes) -> Folded:
    """The pieces that a string is made of.

    Raises: ValueError, TypeError or KeyError if it is not such a string.
    """
    at = whole.index(b"\n") + 1
    line, bodies = whole[:at], []
    for entry in json.loads(line):
        bodies.append((entry["part"], whole[at : at + entry["bytes"]]))
        at += entry["bytes"]
    return Folded(line, tuple(bodies))


def unfold(whole: bytes, *, source: str, fetched_at: datetime) -> list[Document]:
    """The documents in a string, their hashes taken anew.

    Raises: ValueError, TypeError or KeyError if it is not such a string.
    """
    start = whole.index(b"\n") + 1
    documents = []
    for entry in json.loads(whole[:start]):
        body = whole[start : start + entry["bytes"]]
        start += entry["bytes"]
        documents.append(
            Document(
                source=source,
                url=entry["url"],
                fetched_at=fetched_at,
                status=entry["status"],
                body=body,
                content_type=entry["content_type"],
                etag=entry["etag"],
                last_modified=entry["last_modified"],
                part=entry["part"],
            )
        )
    return documents


def compress(whole: bytes, *, quick: bool = False) -> bytes:
    """A string as a frame that stands alone; a quick one is somewhat larger."""
    level = QUICK_LEVEL if quick else LEVEL
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=len(whole))
    return zstandard.ZstdCompressor(compression_params=parameters).compress(whole)


def quick_difference(whole: Folded, base: Folded) -> bytes:
    """A string as a frame that points into another string, made quickly and somewhat larger.

    It leaves out what documents of one part have in common, behind a list of its places: to have it found by zstd would
    take longer than all else.
    """
    before: dict[str, tuple[int, int, bytes]] = {}
    at = len(base.line)
    for number, (part, body) in enumerate(base.bodies):
        before[part] = (number, at, body)
        at += len(body)
    in_whole: dict[int, list[tuple[int, int]]] = {}
    in_base: dict[int, list[tuple[int, int]]] = {}
    places: list[tuple[int, int, int]] = []
    at, behind = len(whole.line), 0
    for number, (part, body) in enumerate(whole.bodies):
        old_number, begins, old = before.get(part, (0, 0, b""))
        if old and begins >= behind:
            both = list(alike(body, old))
            in_whole[number] = [(one.start, one.size) for one in both]
            in_base[old_number] = [(one.old, one.size) for one in both]
            for one in both:
                _add(places, at + one.start, begins + one.old, one.size)
            behind = begins + len(old)
        at += len(body)
    frame = difference(whole.without(in_whole), base.without(in_base), quick=True)
    if not places:
        return frame
    listed = b"".join(_PLACE.pack(*one) for one in places)
    return b"".join((_PLACES.pack(PLACES, len(listed)), listed, frame))


def _add(places: list[tuple[int, int, int]], start: int, old: int, size: int) -> None:
    """Add a stretch to those in a string and its base, to the last one where it goes on in both."""
    if places and (places[-1][0] + places[-1][2], places[-1][1] + places[-1][2]) == (start, old):
        places[-1] = (*places[-1][:2], places[-1][2] + size)
    else:
        places.append((start, old, size))


def difference(whole: bytes, base: bytes, *, quick: bool = False) -> bytes:
    """A string as a frame that points into another string wherever it can; a quick one is somewhat larger."""
    both = (len(whole) + len(base)).bit_length()
    closely = {} if quick else {"hash_log": min(22, max(17, both - 2)), "min_match": SHORTEST_MATCH}
    parameters = zstandard.ZstdCompressionParameters.from_level(
        QUICK_LEVEL if quick else LEVEL,
        source_size=len(whole),
        dict_size=len(base),
        window_log=max(zstandard.WINDOWLOG_MIN, both),  # or the beginning of the base would be out of reach
        **closely,  # the level's own hash is as good, and takes longer to clear than to search
    )
    return zstandard.ZstdCompressor(dict_data=_dictionary(base), compression_params=parameters).compress(whole)


def decompress(frame: bytes, base: bytes | None, largest: int) -> bytes:
    """The string in a frame, which may point into the string of its base.

    Raises: ValueError if the frame is damaged, or holds more bytes than `largest`.
    """
    if len(frame) >= _PLACES.size and base is not None:
        mark, size = _PLACES.unpack_from(frame)
        if mark == PLACES:
            end = _PLACES.size + size
            if size % _PLACE.size or len(frame) < end:
                raise ValueError("not a list of places")
            kept = list(_PLACE.iter_unpack(frame[_PLACES.size : end]))
            return _put_together(frame[end:], kept, base, largest)
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= largest:
            raise ValueError(f"a pack of {size} bytes")
        decompressor = zstandard.ZstdDecompressor(dict_data=None if base is None else _dictionary(base))
        return decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def _between(whole: bytes, stretches: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """What is left of a string without stretches (start, size) of it: what is before each, and after the last.

    Raises: ValueError if they are not in order, or not in it.
    """
    at = 0
    for start, size in stretches:
        if not at <= start <= start + size <= len(whole):
            raise ValueError("a stretch out of place")
        yield whole[at:start]
        at = start + size
    yield whole[at:]


def _put_together(frame: bytes, kept: Sequence[tuple[int, int, int]], base: bytes, largest: int) -> bytes:
    """Raises: ValueError."""
    new = decompress(frame, b"".join(_between(base, ((start, size) for _, start, size in kept))), largest)
    pieces: list[bytes] = []
    at = taken = 0
    for start, old, size in kept:
        if start < at or start - at > len(new) - taken:
            raise ValueError("a stretch out of place")
        pieces += (new[taken : taken + start - at], base[old : old + size])
        taken += start - at
        at = start + size
    if at + len(new) - taken > largest:
        raise ValueError(f"a pack of more than {largest} bytes")
    return b"".join((*pieces, new[taken:]))


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
