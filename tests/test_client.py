"""The client of the store over HTTP, asked over real HTTP."""

import inspect
import socket
import threading
import typing
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from store.client import KEPT, Answer, Client, Problem
from store.doors import Doors
from store.http.routes import DOORS
from store.http.settings import ServeSettings
from store.instants import iso
from tests.serving import Served, served
from tests.tape import Tape, hour, usd
from tests.test_cli_read import tape as _tape
from tests.test_http import NOW
from tests.test_http import doors as _doors
from tests.test_http import http as _http
from tests.test_query import MODEL

tape = _tape
doors = _doors
http = _http
REF = f"openrouter:groq:{MODEL}@groq"


@pytest.fixture
def client(http: Served) -> Iterator[Client]:
    with client_of(http) as asking:
        yield asking


def client_of(http: Served, token: str = "") -> Client:
    return Client(f"http://127.0.0.1:{http.port}", token=token)


CALLS: dict[str, tuple[Callable[[Client], Answer | str], dict[str, Any]]] = {
    "models": (lambda tape: tape.models("gpt"), {"query": "gpt"}),
    "endpoints": (
        lambda tape: tape.endpoints(MODEL, provider="groq", at=hour(1)),
        {"model": MODEL, "provider": "groq", "at": iso(hour(1))},
    ),
    "history": (
        lambda tape: tape.history(MODEL, since="2h", stated=True, known_at=hour(2)),
        {"model": MODEL, "since": "2h", "stated": "true", "known_at": iso(hour(2))},
    ),
    "course": (lambda tape: tape.course(MODEL, since="2d"), {"model": MODEL, "since": "2d"}),
    "changes": (lambda tape: tape.changes(prices=False, model=MODEL), {"prices": "false", "model": MODEL}),
    "cheapest": (
        lambda tape: tape.cheapest(MODEL, "other/model", cache_hit="0.75", exclude_provider=["groq", "free"]),
        {"model": [MODEL, "other/model"], "cache_hit": "0.75", "exclude_provider": ["groq", "free"]},
    ),
    "cheapest/excluded": (lambda tape: tape.excluded(MODEL, min_context=1000), {"model": MODEL, "min_context": 1000}),
    "cheapest/crossovers": (lambda tape: tape.crossovers(MODEL), {"model": MODEL}),
    "cheapest/gateway": (lambda tape: tape.gateway("litellm", MODEL), {"gateway": "litellm", "model": MODEL}),
    "calendar": (lambda tape: tape.calendar(REF, tz="Europe/Berlin"), {"endpoint": REF, "tz": "Europe/Berlin"}),
    "explain": (lambda tape: tape.explain(REF), {"endpoint": REF}),
    "facts": (lambda tape: tape.facts(MODEL), {"model": MODEL}),
    "conflicts": (lambda tape: tape.conflicts(kind=["price", "tier"]), {"kind": ["price", "tier"]}),
    "held": (lambda tape: tape.held("openrouter"), {"source": "openrouter"}),
    "sources": (lambda tape: tape.sources(), {}),
    "cost": (lambda tape: tape.cost(MODEL, provider="groq", input=5), {"model": MODEL, "provider": "groq", "input": 5}),
    "index": (lambda tape: tape.index(MODEL, every="day", since="2d"), {"model": MODEL, "every": "day", "since": "2d"}),
    "spread": (lambda tape: tape.spread(model=MODEL, blend="1:1"), {"model": MODEL, "blend": "1:1"}),
    "volatility": (lambda tape: tape.volatility(by="model"), {"by": "model"}),
    "compare": (lambda tape: tape.compare(MODEL, "other/model"), {"model": [MODEL, "other/model"]}),
    "model": (lambda tape: tape.model(MODEL, tokens_a_day=[1000]), {"model": MODEL, "tokens_a_day": 1000}),
    "breakeven": (lambda tape: tape.breakeven(MODEL, gpus=2), {"model": MODEL, "gpus": 2}),
    "feed": (lambda tape: tape.feed("json", model=MODEL), {"form": "json", "model": MODEL}),
    "rates": (lambda tape: tape.rates(), {}),
}


@pytest.mark.parametrize("path", CALLS)
def test_a_method_answers_what_its_route_does(client: Client, http: Served, path: str) -> None:
    call, parameters = CALLS[path]
    found, answer = call(client), http.get(f"/v1/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    if isinstance(found, str):
        assert found == answer.text
        return
    assert list(found) == found.rows == answer.json()
    assert (len(found), found.at) == (len(answer.json()), answer.headers["tokentape-at"])
    assert found.known_at == answer.headers["tokentape-known-at"]


def test_every_route_has_a_method_and_every_parameter_of_it_a_name() -> None:
    assert set(CALLS) == {door.path.strip("/") for door in DOORS}
    for door in DOORS:
        method = getattr(Client, door.path.rpartition("/")[2])
        names = set(inspect.signature(method).parameters) - {"self"}
        (bundle,) = {name for name in names if name in {"then", "asked", "sent"}}
        keys = typing.get_args(typing.get_type_hints(method)[bundle])[0].__annotations__
        told = {"model" if name == "models" else name for name in (names - {bundle}) | set(keys)}
        assert told - {"limit"} == set(door.kind.model_fields) - {"format", "raw", "limit", "cursor"}, door.path


def test_pages_are_followed_to_the_end_as_of_one_instant(tape: Tape, doors: Doors) -> None:
    models = [f"m/{number}" for number in range(20)]
    for number, model in enumerate(models):
        tape.interval(tape.endpoint(1, "acme", model), hour(0), usd(input=number, output=1))
    with served(doors) as http, client_of(http) as client:
        found = client.compare(*models, tokens_a_day=range(1, 20))
        assert len(http.get("/v1/compare", params={"model": models, "tokens_a_day": [*range(1, 20)]}).json()) == 1000
        assert len({(row["model"], row["property"], row["place"]) for row in found}) == len(found) > 1000
        assert found.at == iso(NOW)


def test_a_limit_is_one_page(client: Client) -> None:
    assert len(client.cheapest(MODEL)) == 2
    assert len(client.cheapest(MODEL, limit=1)) == 1


def test_prices_come_as_they_are_and_never_as_floats(client: Client) -> None:
    row = client.cheapest(MODEL, input=1000, output=1000).rows[0]
    assert Decimal(row["cost_per_request_usd"]) == Decimal("0.0007")
    assert not [value for value in row.values() if isinstance(value, float)]


def test_what_is_the_answer_still_is_not_sent_again(tape: Tape) -> None:
    clock = [hour(2.6)]
    with served(Doors(tape.url, now=lambda: clock[0])) as http, client_of(http) as client:
        sent: list[int] = []
        client._http.event_hooks["response"] = [lambda answer: sent.append(answer.status_code)]
        first = client.endpoints(MODEL)
        clock[0] = hour(2.7)
        again = client.endpoints(MODEL)
        assert (again.rows, sent) == (first.rows, [200, 304])
        assert (first.at, again.at) == (iso(hour(2.6)), iso(hour(2.7)))
        tape.poll(1, hour(2.8))
        clock[0] = hour(2.9)
        assert client.endpoints(MODEL).rows != first.rows
        assert sent == [200, 304, 200]


def test_no_more_is_kept_than_has_its_place(client: Client) -> None:
    for number in range(KEPT + 5):
        client.models(f"none{number}")
    assert len(client._kept) == KEPT


def test_problems_are_exceptions_of_one_line(client: Client, doors: Doors) -> None:
    for call, status, text in (
        (lambda: client.endpoints("nobody/nothing"), 404, "nobody/nothing"),
        (lambda: client.models(at="yesterday"), 400, "yesterday"),
        (lambda: client.models(at=datetime(2026, 8, 22)), 400, "offset"),  # noqa: DTZ001 - it has none
        (client.cheapest, 400, "name a model"),
        (lambda: client.release("1234abcd", by="me"), 405, "read only"),
    ):
        with pytest.raises(Problem, match=text) as caught:
            call()
        assert caught.value.status == status
        assert "\n" not in str(caught.value)


def test_a_token_is_shown(doors: Doors) -> None:
    decided: list[tuple[str, bool, str, str]] = []

    def decide(*said: Any) -> list[str]:
        decided.append(said)
        return ["done"]

    with served(doors, ServeSettings(token="secret", writes=True), decide) as http:
        with client_of(http) as client, pytest.raises(Problem, match="a token is asked for") as caught:
            client.models()
        assert caught.value.status == 401
        with client_of(http, "secret") as client:
            assert len(client.models())
            assert client.release("1234abcd", by="me", note="seen") == ["done"]
            assert client.reject("1234abcd", by="me") == ["done"]
    assert decided == [("1234abcd", True, "seen", "me"), ("1234abcd", False, "", "me")]


def test_a_store_that_is_missing_is_a_problem_too(tmp_path: Path) -> None:
    missing = Doors(str(tmp_path / "none.db"))
    with served(missing) as http, client_of(http) as client, pytest.raises(Problem) as caught:
        client.models()
    assert caught.value.status == 503


def test_nobody_and_somebody_else_are_told_apart_from_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(Problem) as caught:
        client.models()
    assert caught.value.status == 0

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.split("=")[1]))
            self.end_headers()
            self.wfile.write(b"[1]")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{other.server_port}") as client:
            for status, text in ((200, "no tokentape answers there"), (302, "302 Found"), (500, "500 Internal")):
                with pytest.raises(Problem, match=text):
                    client.models(str(status))
        other.shutdown()
