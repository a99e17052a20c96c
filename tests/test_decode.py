"""Content codings and character sets: whole, bounded, strict."""

import gzip
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from datetime import UTC, datetime

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import BodyDecoder, text_of
from collector.errors import FetchFailed, SourceChanged
from store.records import Document
from tests.bombs import BOMBS

BODY = (
    b'{"data": ['
    + b", ".join(b'{"id": "acme/model-%d", "price": "0.0000%d"}' % (i, i * 7919) for i in range(900))
    + b"]}"
)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate with a zlib header": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "brotli": ("br", lambda body: bytes(brotli.compress(body))),
    "zstd": ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress),
}
each_coding = pytest.mark.parametrize(("name", "encode"), ENCODERS.values(), ids=ENCODERS)


def decoded(coding: str, *chunks: bytes, limit: int = 1 << 22) -> bytes:
    with BodyDecoder(coding, limit=limit, where="acme: https://acme.test/") as decoder:
        for chunk in chunks:
            decoder.feed(chunk)
        return decoder.finish()


def failure(coding: str, *chunks: bytes, limit: int = 1 << 22) -> str:
    with pytest.raises(FetchFailed, match=r"^acme: https://acme.test/: ") as caught:
        decoded(coding, *chunks, limit=limit)
    return caught.value.code


@each_coding
def test_a_whole_body_comes_out_however_it_is_cut_into_chunks(name: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(BODY)
    for size in (1, 2, 3, 997, len(packed)):
        assert decoded(name, *(packed[i : i + size] for i in range(0, len(packed), size))) == BODY


@each_coding
def test_a_large_body_comes_out_whole_from_chunks_of_any_size(name: str, encode: Callable[[bytes], bytes]) -> None:
    body = b"".join(b'{"id": "acme-%d", "in": %d}' % (number, number * 7919 % 1_000_003) for number in range(100_000))
    packed = encode(body)
    for size in (1000, 1 << 16, 1 << 18, len(packed)):
        assert decoded(name, *(packed[i : i + size] for i in range(0, len(packed), size))) == body


@pytest.mark.fault(33)
@each_coding
def test_a_body_cut_anywhere_is_truncated(name: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(BODY)
    for kept in (1, 2, 3, 9, 10, 18, len(packed) // 2, len(packed) - 8, len(packed) - 1):
        assert failure(name, packed[:kept]) == "truncated", kept


@each_coding
def test_bytes_after_the_end_are_refused(name: str, encode: Callable[[bytes], bytes]) -> None:
    packed = encode(BODY)
    assert failure(name, packed + b"<!-- appended -->") == "decode"
    assert failure(name, packed, b"<!-- appended -->") == "decode"


@each_coding
def test_a_body_that_is_not_in_its_coding_is_refused(name: str, encode: Callable[[bytes], bytes]) -> None:
    del encode
    assert failure(name, BODY) == "decode"


@each_coding
def test_the_limit_is_met_exactly(name: str, encode: Callable[[bytes], bytes]) -> None:
    assert decoded(name, encode(BODY), limit=len(BODY)) == BODY
    assert failure(name, encode(BODY), limit=len(BODY) - 1) == "too_large"


@given(st.binary(max_size=2000), st.sampled_from(sorted(ENCODERS)), st.integers(1, 300))
def test_every_body_survives_every_coding(body: bytes, coding: str, size: int) -> None:
    name, encode = ENCODERS[coding]
    packed = encode(body)
    assert decoded(name, *(packed[i : i + size] for i in range(0, len(packed), size))) == body


@pytest.mark.fault(35)
def test_a_wrong_check_sum_is_refused() -> None:
    packed = gzip.compress(BODY)
    flipped = packed[:-8] + struct.pack("<I", zlib.crc32(BODY) ^ 1) + packed[-4:]
    assert failure("gzip", flipped) == "decode"
    assert failure("zstd", zstandard.ZstdCompressor(write_checksum=True).compress(BODY)[:-1] + b"\x00") == "decode"


def test_every_member_of_a_gzip_body_and_every_frame_of_a_zstd_body_counts() -> None:
    assert decoded("gzip", gzip.compress(BODY) + gzip.compress(b"more")) == BODY + b"more"
    assert failure("gzip", gzip.compress(BODY) + gzip.compress(b"more")[:-1]) == "truncated"
    frame = zstandard.ZstdCompressor().compress
    assert decoded("zstd", frame(BODY) + frame(b"more")) == BODY + b"more"
    assert failure("zstd", frame(BODY) + frame(b"more")[:-1]) == "truncated"


def test_a_body_of_very_many_empty_members_is_refused_before_it_costs_seconds() -> None:
    member = gzip.compress(b"")
    assert decoded("gzip", member * 4096) == b""
    assert failure("gzip", member * 4097) == "decode"
    assert failure("gzip, br", bytes(brotli.compress(member * 400_000, quality=5))) == "decode"
    assert failure("zstd", zstandard.ZstdCompressor().compress(b"") * 4097) == "decode"


def test_output_left_behind_at_the_end_of_raw_deflate_is_not_lost() -> None:
    for size in range((1 << 18) - 3, (1 << 18) + 4):
        assert decoded("deflate", raw_deflate(bytes(size))) == bytes(size)


def test_two_codings_are_undone_from_the_last_to_the_first() -> None:
    assert decoded("gzip, br", brotli.compress(gzip.compress(BODY))) == BODY
    assert failure("gzip, br", brotli.compress(gzip.compress(BODY)[:-1])) == "truncated"


def test_identity_and_no_coding_are_the_body_itself() -> None:
    assert decoded("", BODY[:9], BODY[9:]) == BODY
    assert decoded("Identity", BODY) == BODY
    assert failure("", BODY, limit=len(BODY) - 1) == "too_large"


@pytest.mark.fault(35, 36)
@pytest.mark.parametrize("coding", ["gzip, gzip, gzip", "compress", "br, snappy", "gzip;q=1"])
def test_codings_that_are_unknown_or_too_many_are_refused(coding: str) -> None:
    assert failure(coding, gzip.compress(BODY)) == "coding"


def test_no_bytes_at_all_are_an_empty_body_in_every_coding() -> None:
    assert [decoded(name) for name in ("", "gzip", "deflate", "br", "zstd")] == [b""] * 5


def test_a_zstd_window_beyond_the_standard_is_refused() -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=25)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    assert failure("zstd", packer.compress(BODY) + packer.flush()) == "decode"


@pytest.mark.fault(37)
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_of_gigabytes_ends_within_64_mb(name: str) -> None:
    script = """
        import resource, sys
        from collector.decode import BodyDecoder
        from collector.errors import FetchFailed
        from tests.bombs import BOMBS
        coding, raw = BOMBS[sys.argv[1]]()
        decoder = BodyDecoder(coding, limit=32 << 20, where="bomb")
        decoder.feed(raw[:2])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            for start in range(2, len(raw), 65536):
                decoder.feed(raw[start : start + 65536])
            decoder.finish()
        except FetchFailed as error:
            print(error.code, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), name], capture_output=True, text=True, check=True, timeout=60
    )
    code, grown_mib = run.stdout.split()
    assert code == "too_large"
    assert int(grown_mib) < 64


def document(body: bytes, content_type: str = "") -> Document:
    return Document(
        source="acme",
        url="https://acme.test/",
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
        status=200,
        body=body,
        content_type=content_type,
    )


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("preis 1 €".encode(), ""),
        ("preis 1 €".encode(), "application/json"),
        ("preis 1 €".encode("utf-8-sig"), "text/html; charset=iso-8859-1"),
        ("preis 1 €".encode(), 'text/html; charset="UTF-8"'),
        ("preis 1 €".encode("cp1252"), "text/html;charset=windows-1252"),
        ("preis 1 €".encode("cp1252"), "text/html; charset=ISO-8859-1"),
        ("preis 1 €".encode("utf-16"), ""),
        (b"\xfe\xff" + "preis 1 €".encode("utf-16-be"), "text/html; charset=utf-8"),
        ("preis 1 €".encode("utf-16-le"), "text/html; charset=utf-16"),
    ],
)
def test_text_is_read_by_its_mark_then_by_its_label_then_as_utf_8(body: bytes, content_type: str) -> None:
    assert text_of(document(body, content_type)) == "preis 1 €"


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"preis 1 \x80", ""),
        (b"preis 1 \x80", "text/html; charset=utf-8"),
        (b"preis \xe9", "text/plain; charset=us-ascii"),
        (b"preis \x81", "text/plain; charset=windows-1252"),
        (b"\xff\xfea", ""),
        (b"\xff\xfe\x00\xd8", ""),
        (b"+AGE-", "text/plain; charset=utf-7"),
        (b"preis", "text/plain; charset=unheard-of"),
    ],
)
def test_text_in_another_charset_than_it_says_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(SourceChanged, match=r"^acme: wanted ") as caught:
        text_of(document(body, content_type))
    assert caught.value.code == "encoding"
