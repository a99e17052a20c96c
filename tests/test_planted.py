"""Any secret, planted wherever the program takes one, and whatever an upstream makes of it: no output holds it."""

import asyncio
import base64
import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from store.archive import Archive
from store.doors import Doors
from store.location import archive_folder
from tests.collecting import ask, own_sources
from tests.raw_server import Answer, answer, raw_server, reset
from tests.serving import served
from tests.stores import Stores, content
from tests.test_invariants import examples

MARK = "qZ7vXk3W"
"""In the midst of every secret; nothing of it changes where a text is escaped, and nobody else says it."""
EDGES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=16)
KEYS = st.builds(lambda one, other: f"{one}{MARK}{other}", EDGES, EDGES)
NO_KEYS = st.builds(lambda one, char, other: f"{one}{MARK}{char}{other}", EDGES, st.sampled_from(" é\t\x7f€"), EDGES)
"""That no header can hold."""

FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda key: quote(key, safe=""),
    "percent, as paths are": quote,
    "percent, small letters": lambda key: "".join(f"%{ord(char):02x}" for char in key),
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON, slashes too": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON, each character": lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
    "markup": html.escape,
    "markup, by number": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64, one before": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "base64, two before": lambda key: base64.b64encode(f"a:{key}".encode()).decode(),
    "base64 of a URL": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
}
"""How a key may be written."""


def listed(said: str, **more: object) -> bytes:
    """A list of prices that says something beside them, in whatever words it has for it."""
    body = {"data": [{"id": name, "in": "1.5", "out": "6", **more} for name in ("acme-1", "acme-2")], "you": "HERE"}
    return json.dumps(body).replace("HERE", said).encode()


ANSWERS: dict[str, Callable[[str], Answer]] = {
    "fine": lambda _: answer(listed("")),
    "in the body": lambda said: answer(listed(said)),
    "in UTF-16": lambda said: answer(b"\xff\xfe" + listed(said).decode().encode("utf-16-le")),
    "as a name": lambda said: answer(listed("").replace(b"acme-2", said.encode())),
    "as a price": lambda said: answer(listed("").replace(b"1.5", said.encode())),
    "in headers": lambda said: answer(
        listed(""), *(f"{name}: {said}" for name in ("ETag", "Last-Modified", "Set-Cookie", "Sunset", "Deprecation"))
    ),
    "as a type": lambda said: answer(listed(""), f"Content-Type: text/plain; charset={said}"),
    "as a coding": lambda said: answer(listed(""), f"Content-Encoding: {said}"),
    "as a wait": lambda said: answer(said.encode(), f"Retry-After: {said}", status=f"429 {said}"),
    "refused": lambda said: answer(said.encode(), f"WWW-Authenticate: {said}", status="401 Unauthorized"),
    "elsewhere": lambda said: answer(b"", f"Location: https://other.test/{said}?key={said}#{said}", status="302 Found"),
    "to its own host": lambda said: answer(b"", f"Location: /one.example/{said}", status="301 Moved"),
    "to a host": lambda said: answer(b"", f"Location: https://{said}.test/", status="302 Found"),
    "to a user": lambda said: answer(b"", f"Location: https://{said}:{said}@one.example/", status="302 Found"),
    "cut": lambda said: answer(listed(said), length=99_999),
    "reset": lambda said: reset(answer(listed(said), length=99_999)),
    "not HTTP": lambda said: f"{said}\r\n{said}\r\n\r\n".encode(),
    "not JSON": lambda said: answer(f"{{{said}".encode()),
    "a page": lambda said: answer(f"<html><title>{said}</title>{said}".encode()),
    "not a list": lambda said: answer(f'{{"data": "{said}"}}'.encode()),
    "nothing": lambda _: answer(b""),
}
"""What an upstream may answer that says again what it was sent."""


@dataclass(frozen=True)
class Act:
    """One poll."""

    kind: str
    form: str


ACTS = st.builds(Act, kind=st.sampled_from(sorted(ANSWERS)), form=st.sampled_from(sorted(FORMS)))
ASKED = (
    ("sources",), ("sources", "--format", "json"), ("explain", "one/acme-1"), ("held", "--format", "json"),
    ("export", "current", "--format", "jsonl"), ("export", "history", "--raw"), ("export", "changes"), ("verify",),
    ("doctor",),
)  # fmt: skip


@examples
@given(key=KEYS, script=st.lists(ACTS, min_size=1, max_size=5))
def test_whatever_an_upstream_does_with_a_key_it_is_found_in_no_output(
    stores: Stores, key: str, script: list[Act]
) -> None:
    """Secrets: 22."""
    with stores.new() as url, TemporaryDirectory() as folder, logged() as log:
        home = Path(folder)
        said, asked = asyncio.run(collected(home, url, key, script))
        assert len(asked) >= len(script)
        assert all(key in head for head in asked)  # it was sent, or this would be no test
        places = [*said, *outputs(home, url), ("log", log.getvalue().encode())]
        for where, text in places:
            assert not held(text, key), (where, held(text, key), text)


def outputs(home: Path, url: str) -> Iterator[tuple[str, bytes]]:
    """All that is kept, and all that is answered from it, by where."""
    for table, lines in content(url).items():
        yield table, repr(lines).encode()
    archive = Archive(archive_folder(url))
    yield from (("archive", archive.content(key)) for key in set(archive.keys()))
    for words in ASKED:
        yield " ".join(words), ask(home, "--store", url, "--config", home / "user.yaml", *words).output.encode()
    with served(Doors(url)) as http:
        yield from ((path, http.get(path).content) for path in ("/metrics", "/source?source=one", "/v1/sources"))
    yield from ((path.name, path.read_bytes()) for path in home.rglob("*.json*"))


async def collected(home: Path, url: str, key: str, script: list[Act]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """What the commands that poll say, and what came to the upstream."""
    said = []
    answers = [ANSWERS[act.kind](FORMS[act.form](key)) for act in script]
    async with raw_server(*answers) as server:
        path = own_sources(home, mirror=server.url, every={"one": "1h"})
        settings = json.loads(path.read_text())
        settings["sources"]["one"] |= {"key_env": "ACME_API_KEY", "url": "http://one.example/models"}
        path.write_text(json.dumps(settings))
        for number, _ in enumerate(script):
            words = (
                ("try", "one")
                if number == 3
                else ("record", "one", "--out", f"r{number}")
                if number == 2
                else ("collect",)
            )
            result = await asyncio.to_thread(ask, home, "--store", url, "--config", path, *words, ACME_API_KEY=key)
            said.append((" ".join(words), result.output.encode()))
        path.unlink()
        return said, server.requests


WRONG: dict[str, Callable[[str], dict[str, object]]] = {
    "as the name of its variable": lambda secret: {"key_env": secret},
    "as a user": lambda secret: {"url": f"https://{within(secret)}@one.example/models"},
    "as a password": lambda secret: {"url": f"https://me:{within(secret)}@one.example/models"},
    "as a password of another": lambda secret: {"also_at": [f"https://me:{within(secret)}@one.example/"]},
    "as a parameter": lambda secret: {"url": f"https://one.example/models?api_key={secret}"},
    "as a fragment": lambda secret: {"url": f"https://one.example/models#{secret}"},
    "as a header": lambda secret: {"headers": {"Authorization": secret}},
    "of a proxy": lambda secret: {"proxy": f"http://me:{within(secret)}@127.0.0.1:9"},
    "in the environment": lambda _: {},
}
"""Where a secret stands in a file that must not hold one, or in a variable though it can be none."""


def within(secret: str) -> str:
    """What of a secret can stand before a host: the characters left out would end it."""
    return re.sub("[/?#]", "", secret)


@examples
@given(secret=KEYS | NO_KEYS, place=st.sampled_from(sorted(WRONG)))
def test_a_secret_in_the_wrong_place_is_not_repeated(secret: str, place: str) -> None:
    """Secrets: 22."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        path = own_sources(home, mirror="http://127.0.0.1:9", every={"one": "1h"})
        settings = json.loads(path.read_text())
        settings["sources"]["one"]["key_env"] = "ACME_API_KEY"
        changed = settings["http"] if place == "of a proxy" else settings["sources"]["one"]
        changed |= WRONG[place](secret)
        path.write_text(json.dumps(settings))
        result = ask(home, "--config", path, "collect", "one", ACME_API_KEY=secret)
        assert result.exit_code in (1, 2)
        assert not held(result.output.encode(), secret), result.output


@examples
@given(password=KEYS)
def test_the_password_of_a_store_is_in_no_line_about_it(password: str) -> None:
    """Secrets: 22."""
    url = f"postgresql://me:{quote(password, safe='')}@127.0.0.1:1/tape"
    with TemporaryDirectory() as folder:
        for words in (("collect",), ("sources",), ("doctor",), ("verify",), ("models",), ("backup", "there")):
            result = ask(Path(folder), "--store", url, *words)
            assert not held(result.output.encode(), password), result.output


@contextmanager
def logged() -> Iterator[StringIO]:
    """All that is logged meanwhile."""
    out, log = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(out), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield out
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def held(text: bytes, secret: str) -> list[str]:
    """How a text holds a secret; its mark alone would tell of any way that is not listed."""
    forms = {name: form(secret).encode() for name, form in FORMS.items()}
    forms |= {f"mark, {name}": middle(form(MARK), name).encode() for name, form in FORMS.items()}
    forms["mark, UTF-16"] = MARK.encode("utf-16-le")
    return [name for name, form in forms.items() if form in text]


def middle(coded: str, name: str) -> str:
    """What of a mark in base64 does not depend on what comes before and after it."""
    return coded.rstrip("=")[3:-1] if name.startswith("base64") else coded
