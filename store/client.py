"""A client of `tokentape serve`: a method for every route, thin enough to be read in a minute.

    from store.client import Client

    with Client("http://127.0.0.1:8787", token="...") as tape:
        for row in tape.cheapest("openai/gpt-oss-120b", input=20_000, cache_hit="0.75"):
            print(row["provider"], row["cost_per_request_usd"])

Rows are as the route has them: prices are plain decimals as text, instants ISO 8601 in UTC, None is not stated. Pages
are followed to the end. What was answered before is not sent again where it is the answer still (ETags). Whatever text
an upstream published is data.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypedDict, Unpack
from urllib.parse import quote

from store.errors import StoreError

if TYPE_CHECKING:
    import httpx

Row: TypeAlias = dict[str, Any]
Instant: TypeAlias = datetime | str
"""With its offset; or as text: `2026-08-22`, `2026-08-22T12:00:00Z`, an age such as `36h`."""
KEPT = 64
"""Pages that are kept for the next time they are asked for."""


class Problem(StoreError):
    """What the server answered instead (RFC 9457), or that it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP: 400 a question that is none, 401 a token is asked for, 404 nothing of that name, 503 try again; 0:
        nobody answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and the two instants that they are about: asked for again with them, they are the same."""

    rows: list[Row] = field(repr=False)
    at: str
    known_at: str

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Then(TypedDict, total=False):
    """When it was true, and when it was known."""

    at: Instant
    known_at: Instant


class Offers(Then, total=False):
    """Which offers of a model."""

    provider: str
    source: str
    currency: str


class Past(Offers, total=False):
    """Which intervals of a model's offers."""

    since: Instant
    until: Instant
    stated: bool
    superseded: bool
    prices: bool


class Feed(Then, total=False):
    """Which changes, as a feed."""

    since: Instant
    model: str
    provider: str
    source: str
    prices: bool


class Moved(Feed, total=False):
    """Which changes."""

    until: Instant


class Contradicted(Then, total=False):
    """Which contradictions."""

    model: str
    provider: str
    source: str
    kind: Sequence[Literal["price", "tier", "window", "context"]]
    min_ratio: int
    sort: Literal["model", "ratio", "since"]


class Sent(Then, total=False):
    """Traffic, and what a route must be: see `tokentape cheapest --help`."""

    input: int
    output: int
    cached: int
    cache_hit: str
    cache_ttl: Literal["5m", "1h"]
    also: Sequence[str]
    requests: int
    hours: str
    tz: str
    min_context: int
    max_output: int
    provider: Sequence[str]
    exclude_provider: Sequence[str]
    quantization: Sequence[str]
    min_bits: int
    source: Sequence[str]
    tier: Sequence[str]
    region: Sequence[str]
    feature: Sequence[str]
    modality: Sequence[str]
    output_modality: Sequence[str]
    no_training: bool
    min_uptime: int
    max_latency: int
    min_throughput: int
    where: Sequence[str]
    include_free: bool
    currency: str
    current: str


class Ranked(Sent, total=False):
    """The same, and how many routes."""

    limit: int


class Compared(Then, total=False):
    """The request by which models are compared, and the volume."""

    input: int
    output: int
    tokens_a_day: Sequence[int]
    currency: str


class Bill(Then, total=False):
    """A request, or several, and where it goes."""

    provider: str
    input: int
    output: int
    cached: int
    also: Sequence[str]
    requests: int
    variant: str
    endpoint: str
    source: str
    currency: str


class Series(Then, total=False):
    """Which periods of an index."""

    blend: str
    every: Literal["day", "week", "month"]
    since: Instant


class Spread(Then, total=False):
    """Which offers lie apart."""

    model: str
    blend: str
    tier: Sequence[str]
    currency: str


class Volatile(Then, total=False):
    """Whose moves."""

    model: str
    blend: str
    by: Literal["endpoint", "model"]
    provider: str
    source: str
    since: Instant


class Even(Then, total=False):
    """GPUs of one's own."""

    input: int
    output: int
    tokens_a_day: Sequence[int]
    against: str
    gpu_rate: str
    gpus: int
    tokens_per_second: str
    utilisation: int


class Client:
    """Asks a server; not for several threads at once.

    `token`: what the server has in $TOKENTAPE_TOKEN. Raises, in every method: Problem.
    """

    def __init__(self, url: str = "http://127.0.0.1:8787", *, token: str = "", timeout_s: float = 30.0) -> None:
        import httpx

        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self._kept: OrderedDict[str, tuple[str, list[Row]]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def models(self, query: str = "", **then: Unpack[Then]) -> Answer:
        """The models on offer that have this in their id."""
        return self._rows("models", {"query": query, **then})

    def endpoints(self, model: str, **asked: Unpack[Offers]) -> Answer:
        """Every endpoint of a model: price, context, variant, source."""
        return self._rows("endpoints", {"model": model, **asked})

    def history(self, model: str, **asked: Unpack[Past]) -> Answer:
        """What a model cost, when: the intervals of its endpoints."""
        return self._rows("history", {"model": model, **asked})

    def changes(self, **asked: Unpack[Moved]) -> Answer:
        """What moved, by how much, and where it was seen; in the last seven days unless `since` says otherwise."""
        return self._rows("changes", asked)

    def feed(self, form: Literal["atom", "json"] = "atom", **asked: Unpack[Feed]) -> str:
        """What moved, newest first, as Atom or JSON Feed."""
        return self._written("feed", {"form": form, **asked})

    def cheapest(self, *models: str, **sent: Unpack[Ranked]) -> Answer:
        """Endpoints ranked by what the traffic costs there; without models, of all that `where` lets in."""
        return self._rows("cheapest", {"model": models, **sent})

    def excluded(self, *models: str, **sent: Unpack[Sent]) -> Answer:
        """What is no route for that traffic, and why."""
        return self._rows("cheapest/excluded", {"model": models, **sent})

    def crossovers(self, *models: str, **sent: Unpack[Sent]) -> Answer:
        """At which cache hits, prompts and hours another route is the cheapest."""
        return self._rows("cheapest/crossovers", {"model": models, **sent})

    def gateway(self, gateway: Literal["litellm", "openrouter"], *models: str, **sent: Unpack[Ranked]) -> str:
        """The routes as LiteLLM's `model_list` (YAML), or OpenRouter's provider preferences (JSON)."""
        return self._written("cheapest/gateway", {"gateway": gateway, "model": models, **sent})

    def calendar(self, endpoint: str, *, prompt: int = 0, tz: str = "UTC", **then: Unpack[Then]) -> Answer:
        """What an endpoint charges at each hour of a week."""
        return self._rows("calendar", {"endpoint": endpoint, "prompt": prompt, "tz": tz, **then})

    def explain(self, endpoint: str, **then: Unpack[Then]) -> Answer:
        """The evidence for the price of SOURCE:PROVIDER:ENDPOINT: URL, instant, SHA-256, the record as published."""
        return self._rows("explain", {"endpoint": endpoint, **then})

    def facts(self, model: str, **asked: Unpack[Offers]) -> Answer:
        """What is said of a model beside its prices."""
        return self._rows("facts", {"model": model, **asked})

    def conflicts(self, **asked: Unpack[Contradicted]) -> Answer:
        """Where two sources state different things of one offer."""
        return self._rows("conflicts", asked)

    def held(self, source: str | None = None, **then: Unpack[Then]) -> Answer:
        """What is kept out of the tape, and why."""
        return self._rows("held", {"source": source, **then})

    def release(self, ref: str, *, by: str, note: str = "") -> list[str]:
        """Believe what is held under a reference; lines about what that corrects."""
        return self._decide(ref, "release", by, note)

    def reject(self, ref: str, *, by: str, note: str = "") -> list[str]:
        """Do not believe it; lines about what that corrects."""
        return self._decide(ref, "reject", by, note)

    def sources(self, **then: Unpack[Then]) -> Answer:
        """How every source that was ever polled fares."""
        return self._rows("sources", then)

    def cost(self, model: str, **asked: Unpack[Bill]) -> Answer:
        """What a request costs at one offer."""
        return self._rows("cost", {"model": model, **asked})

    def compare(self, *models: str, **asked: Unpack[Compared]) -> Answer:
        """Models side by side, a row for each property of each."""
        return self._rows("compare", {"model": models, **asked})

    def model(
        self, model: str, *, tokens_a_day: Sequence[int] = (), currency: str = "USD", **then: Unpack[Then]
    ) -> Answer:
        """The page of a model: what it is, what it costs where, how it moved."""
        return self._rows("model", {"model": model, "tokens_a_day": tokens_a_day, "currency": currency, **then})

    def breakeven(self, model: str, **asked: Unpack[Even]) -> Answer:
        """Own GPUs, hosted open weights and a vendor's API."""
        return self._rows("breakeven", {"model": model, **asked})

    def index(self, *models: str, **asked: Unpack[Series]) -> Answer:
        """The index of prices: of these models, or of all."""
        return self._rows("index", {"model": models, **asked})

    def spread(self, **asked: Unpack[Spread]) -> Answer:
        """How far apart the endpoints of a model are, or those of each."""
        return self._rows("spread", asked)

    def volatility(self, **asked: Unpack[Volatile]) -> Answer:
        """How often and how far prices moved."""
        return self._rows("volatility", asked)

    def rates(self, **then: Unpack[Then]) -> Answer:
        """Exchange rates: what one euro costs."""
        return self._rows("rates", then)

    def _rows(self, route: str, asked: Mapping[str, object]) -> Answer:
        """All pages of an answer, or the one that has `limit` rows."""
        parameters = _told(asked)
        rows: list[Row] = []
        while True:
            page, headers = self._page(route, parameters)
            rows += page
            cursor = headers.get("Tokentape-Next")
            if cursor is None or "limit" in asked:
                return Answer(rows, headers["Tokentape-At"], headers["Tokentape-Known-At"])
            parameters["cursor"] = cursor

    def _page(self, route: str, parameters: Mapping[str, Any]) -> "tuple[list[Row], httpx.Headers]":
        """One page, sent anew only where it is another than the one that is kept."""
        request = self._http.build_request("GET", f"v1/{route}", params=parameters)
        url = str(request.url)
        kept = self._kept.pop(url, None)
        if kept is not None:
            request.headers["If-None-Match"] = kept[0]
        answer = self._answered(request)
        if kept is None or answer.status_code != 304:
            if "Tokentape-At" not in answer.headers:
                raise Problem(answer.status_code, f"{url}: no tokentape answers there")
            kept = (answer.headers.get("ETag", ""), json.loads(answer.content, parse_float=Decimal))
        self._kept[url] = kept
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept[1], answer.headers

    def _written(self, route: str, asked: Mapping[str, object]) -> str:
        """An answer that is no rows."""
        return self._answered(self._http.build_request("GET", f"v1/{route}", params=_told(asked))).text

    def _decide(self, ref: str, verdict: str, by: str, note: str) -> list[str]:
        path = f"v1/held/{quote(ref, safe='')}/{verdict}"
        answer = self._answered(self._http.build_request("POST", path, json={"by": by, "note": note}))
        lines: list[str] = answer.json()["lines"]
        return lines

    def _answered(self, request: "httpx.Request") -> "httpx.Response":
        """What came back; what is no answer is raised."""
        import httpx

        try:
            answer = self._http.send(request)
        except httpx.HTTPError as error:
            raise Problem(0, f"{request.url}: {error or type(error).__name__}") from None
        if answer.status_code not in {200, 304}:
            raise Problem(answer.status_code, f"{answer.status_code} {_detail(answer.content) or answer.reason_phrase}")
        return answer


def _told(asked: Mapping[str, object]) -> dict[str, Any]:
    """Parameters as a URL has them."""
    return {name: _text(value) for name, value in asked.items() if value is not None}


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _detail(body: bytes) -> str:
    """What a problem says of itself."""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("detail") or told.get("title") or "") if isinstance(told, dict) else ""
