"""A route for each question: doors to the functions that the commands ask, with no logic of their own."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import FastAPI, Query, Request, Response
from pydantic import Field

from store import catalogue, columns, disputes, gateways, intervals, mix, rates
from store.calendar import calendar as find_calendar
from store.calendar import columns_of
from store.changes import changes as find_changes
from store.choice import Choice, choose
from store.conditions import zone
from store.conflicts import KINDS, Conflict
from store.constraints import Constraints, condition
from store.course import COURSE
from store.course import course as find_course
from store.currency import USD
from store.doors import Doors
from store.errors import QueryError
from store.evidence import explain as find_evidence
from store.facts import facts as find_facts
from store.http import feeds, models, moves
from store.http.asked import TOKENS, Asked, Count, Currency, Instant, Name, Paged, Question, asked
from store.naming import find_model
from store.read import Reader

_MANY = 20
"""Names in one list of a question."""
Names = Annotated[tuple[Name, ...], Field(max_length=_MANY)]
Ref = Annotated[str, Field(max_length=600, examples=["openrouter:groq:openai/gpt-oss-120b@groq"])]
MODEL = Field(max_length=300, examples=["openai/gpt-oss-120b"], description="A canonical id, or a slug of one model.")


class Everything(Paged):
    """A question about all of them."""


class Searched(Paged):
    """Models by a part of their id."""

    query: Name = Field("", description="A part of the id.", examples=["gpt-oss"])


class Offers(Paged):
    """The offers of a model."""

    model: str = MODEL
    provider: Name | None = None
    source: Name | None = None
    currency: Currency | None = Field(None, description="Prices in this currency, by the rates on the tape.")


class Past(Offers):
    """The intervals of a model's offers."""

    since: Instant | None = None
    until: Instant | None = None
    stated: bool = Field(default=False, description="Also the prices that sources date themselves.")
    superseded: bool = Field(default=False, description="Also what was believed once and has been corrected.")
    prices: bool = Field(default=False, description="Intervals of prices alone: facts begin none.")


class Moved(Paged):
    """What moved."""

    since: Instant = Field("7d", description="From this instant on.")
    until: Instant | None = None
    model: str | None = Field(None, max_length=300)
    provider: Name | None = None
    source: Name | None = None
    prices: bool = Field(default=False, description="Prices only, no facts.")


class Contradicted(Paged):
    """Where sources disagree."""

    model: str | None = Field(None, max_length=300)
    provider: Name | None = None
    source: Name | None = None
    kind: Annotated[tuple[Literal["price", "tier", "window", "context"], ...], Field(max_length=len(KINDS))] = ()
    min_ratio: int = Field(1, ge=1, le=10**9, description="Only where the larger is so many times the smaller.")
    sort: Literal["model", "ratio", "since"] = "model"


class Of(Paged):
    """What is held, or polled, by source."""

    source: Name | None = None


class Endpoint(Question):
    """One endpoint."""

    endpoint: Ref = Field(description="SOURCE:PROVIDER:ENDPOINT, the `ref` of an answer.")


class Hours(Endpoint):
    """The week of one endpoint."""

    prompt: Count = Field(0, description="Length of the prompts: prices of their tier.")
    tz: Name = Field("UTC", description="Whose days.")


class Sent(Paged):
    """Traffic, and what a route must be: see `tokentape cheapest --help`."""

    model: Names = Field((), description="Models that compete; none: any that `where` lets in.")
    input: Count = Field(3000, description="Prompt tokens a request.")
    output: Count = Field(1000, description="Tokens answered.")
    cached: Count = Field(0, description="Of `input`, read from a cache.")
    cache_hit: Decimal | None = Field(
        None, ge=0, le=1, max_digits=12, description="Of `input`, the share read from a cache."
    )
    cache_ttl: Literal["5m", "1h"] | None = None
    also: Names = Field((), description="METER=N of what is used beside.", examples=[["web_search=2"]])
    requests: Annotated[int, Field(ge=1, le=TOKENS)] | None = Field(None, description="Requests a month.")
    hours: Annotated[str, Field(max_length=500)] | None = Field(None, examples=["Mon-Fri 08-18 x3; 0-24"])
    tz: Name = "UTC"
    min_context: Count | None = None
    max_output: Count | None = None
    provider: Names = ()
    exclude_provider: Names = ()
    quantization: Names = ()
    min_bits: Annotated[int, Field(ge=1, le=64)] | None = None
    source: Names = ()
    tier: Names = ()
    region: Names = ()
    feature: Names = ()
    modality: Names = ()
    output_modality: Names = ()
    no_training: bool = False
    min_uptime: Annotated[int, Field(ge=0, le=100)] | None = None
    max_latency: Count | None = None
    min_throughput: Count | None = None
    where: Names = Field((), examples=[["open_weights=true"]])
    include_free: bool = False
    currency: Currency = "USD"
    current: Ref | None = Field(None, description="Where it is sent now: a provider or a `ref`.")


class Gateway(Sent):
    """The same, for a gateway."""

    gateway: Literal["litellm", "openrouter"]


def _models(ask: Asked, wanted: Searched) -> Response:
    with ask.open() as reader:
        return ask.answer(catalogue.models(reader, wanted.query, ask.at, known=ask.known), columns.MODELS)


def _endpoints(ask: Asked, wanted: Offers) -> Response:
    with ask.open() as reader:
        name = find_model(reader, wanted.model)
        found: Iterable[intervals.IntervalRow] = disputes.in_force(
            reader, ask.at, known=ask.known, model=name, provider=wanted.provider, source=wanted.source
        )
        if wanted.currency is not None:
            into = ask.doors.converter(reader, wanted.currency, ask.known)
            found = [rates.converted(row, into, ask.at) for row in found]
        return ask.answer(found, columns.ENDPOINTS)


def _history(ask: Asked, wanted: Past) -> Response:
    with ask.open() as reader:
        found = disputes.marked(past(reader, ask, wanted), reader, ask.at, known=ask.known)
        found = intervals.prices_only(found) if wanted.prices else found
        if wanted.currency is not None:
            into = ask.doors.converter(reader, wanted.currency, ask.known)
            found = (rates.converted(row, into) for row in found)
        return ask.answer(found, columns.HISTORY)


def _course(ask: Asked, wanted: Past) -> Response:
    with ask.open() as reader:
        found: Iterable[intervals.IntervalRow] = past(reader, ask, wanted)
        currency = wanted.currency or USD
        if wanted.currency is not None:
            into = ask.doors.converter(reader, currency, ask.known)
            found = (rates.converted(row, into) for row in found)
        return ask.answer(find_course(found, min(ask.at, ask.known), currency), COURSE)


def past(reader: Reader, ask: Asked, wanted: Past) -> Iterable[intervals.IntervalRow]:
    """The intervals that were asked for."""
    return intervals.history(
        reader,
        find_model(reader, wanted.model),
        ask.at,
        known=ask.known,
        since=ask.instant(wanted.since),
        until=ask.instant(wanted.until),
        provider=wanted.provider,
        source=wanted.source,
        stated=wanted.stated,
        superseded=wanted.superseded,
    )


def _changes(ask: Asked, wanted: Moved) -> Response:
    with ask.open() as reader:
        found = find_changes(
            reader,
            known=ask.known,
            since=ask.instant(wanted.since),
            until=ask.instant(wanted.until),
            model=None if wanted.model is None else find_model(reader, wanted.model),
            provider=wanted.provider,
            source=wanted.source,
            prices_only=wanted.prices,
        )
        return ask.answer(found, columns.CHANGES)


def _cheapest(ask: Asked, wanted: Sent) -> Response:
    with ask.open() as reader:
        return ask.answer(choice(reader, ask, wanted).routes, columns.CHEAPEST)


def _excluded(ask: Asked, wanted: Sent) -> Response:
    with ask.open() as reader:
        return ask.answer(choice(reader, ask, wanted).excluded, columns.EXCLUDED)


def _crossovers(ask: Asked, wanted: Sent) -> Response:
    with ask.open() as reader:
        return ask.answer(choice(reader, ask, wanted).crossings(), columns.CROSSOVERS)


def _gateway(ask: Asked, wanted: Gateway) -> Response:
    with ask.open() as reader:
        if wanted.gateway == "openrouter":
            wanted = wanted.model_copy(update={"source": [gateways.OPENROUTER]})
        found = choice(reader, ask, wanted)
    if wanted.gateway == "openrouter":
        return Response(gateways.openrouter(found.routes, found.wanted), media_type="application/json")
    return Response(gateways.litellm(found.routes, found.offers)[0], media_type="application/yaml")


def _calendar(ask: Asked, wanted: Hours) -> Response:
    try:
        zone(wanted.tz)
        with ask.open() as reader:
            found = find_calendar(
                reader, wanted.endpoint, ask.at, known=ask.known, prompt_tokens=wanted.prompt, tz=wanted.tz
            )
    except (KeyError, ValueError):
        raise QueryError("nobody knows this time zone, or one of this endpoint's hours") from None
    rows = [(one, hour) for one in found for hour in one.hours]
    return ask.answer(rows, columns_of(rows))


def _explain(ask: Asked, wanted: Endpoint) -> Response:
    with ask.open() as reader:
        found = find_evidence(reader, wanted.endpoint, ask.at, known=ask.known, archive=ask.doors.archive)
    answer = ask.answer(found, columns.EVIDENCE)
    answer.headers["Cache-Control"] = "no-store"  # the archive may change where the store does not
    return answer


def _facts(ask: Asked, wanted: Offers) -> Response:
    with ask.open() as reader:
        name = find_model(reader, wanted.model)
        found = find_facts(reader, name, ask.at, known=ask.known, provider=wanted.provider, source=wanted.source)
        return ask.answer(found, columns.FACTS)


def _conflicts(ask: Asked, wanted: Contradicted) -> Response:
    with ask.open() as reader:
        return ask.answer(contradictions(reader, ask, wanted), columns.CONFLICTS)


def contradictions(reader: Reader, ask: Asked, wanted: Contradicted) -> list[Conflict]:
    """Those that were asked for, in that order."""
    return list(
        disputes.contradictions(
            reader,
            ask.at,
            known=ask.known,
            model=wanted.model,
            provider=wanted.provider,
            source=wanted.source,
            kinds=wanted.kind,
            min_ratio=Fraction(wanted.min_ratio),
            order=wanted.sort,
        )
    )


def _held(ask: Asked, wanted: Of) -> Response:
    with ask.open() as reader:
        return ask.answer(catalogue.held(reader, known=ask.known, source=wanted.source), columns.HELD)


def _sources(ask: Asked, _wanted: Everything) -> Response:
    with ask.open() as reader:
        return ask.answer(catalogue.sources(reader, ask.at), columns.SOURCES)


def _exchange(ask: Asked, _wanted: Everything) -> Response:
    with ask.open() as reader:
        return ask.answer(rates.rates(reader, ask.at, known=ask.known), columns.RATES)


def choice(reader: Reader, ask: Asked, wanted: Sent) -> Choice:
    """The routes for what was asked."""
    if not wanted.model and not wanted.where:
        raise QueryError("name a model, or what it must be by `where`")
    try:
        traffic = mix.described(
            input_tokens=wanted.input,
            output_tokens=wanted.output,
            cached_tokens=wanted.cached,
            hits=None if wanted.cache_hit is None else Fraction(wanted.cache_hit),
            ttl=wanted.cache_ttl,
            more=wanted.also,
            a_month=wanted.requests,
            hours=wanted.hours,
            tz=wanted.tz,
        )
        limits = Constraints(
            min_context=wanted.min_context,
            max_output=wanted.max_output,
            providers=frozenset(wanted.provider),
            exclude_providers=frozenset(wanted.exclude_provider),
            quantizations=frozenset(wanted.quantization),
            min_bits=wanted.min_bits,
            sources=frozenset(wanted.source),
            tiers=frozenset(wanted.tier),
            regions=frozenset(wanted.region),
            features=frozenset(wanted.feature),
            input_modalities=frozenset(wanted.modality),
            output_modalities=frozenset(wanted.output_modality),
            no_training=wanted.no_training,
            min_uptime_percent=wanted.min_uptime,
            max_first_token_ms=wanted.max_latency,
            min_tokens_per_second=wanted.min_throughput,
            where=tuple(map(condition, wanted.where)),
            include_free=wanted.include_free,
        )
    except (KeyError, ValueError) as error:
        raise QueryError(str(error.args[0] if error.args else error)) from None
    into = ask.doors.converter(reader, wanted.currency, ask.known)
    return choose(
        reader, wanted.model, traffic, limits, ask.at, into, known=ask.known, sent_to=wanted.current, top=ask.limit
    )


class Door(NamedTuple):
    """A route."""

    path: str
    """Below `/v1`."""
    summary: str
    kind: type[Question]
    """Its parameters."""
    answer: Callable[[Asked, Any], Response]
    forms: tuple[str, ...] = ("application/json", "application/x-ndjson", "text/csv")
    """Media types of what it answers."""


DOORS = (
    Door("/models", "Search the models on offer", Searched, _models),
    Door("/endpoints", "Every endpoint of a model: price, context, variant, source", Offers, _endpoints),
    Door("/history", "What a model cost, when: the intervals of its endpoints", Past, _history),
    Door("/course", "The course of a model's prices in pieces, for a chart: seen, between, unseen", Past, _course),
    Door("/changes", "What moved, by how much, and where it was seen", Moved, _changes),
    Door("/cheapest", "Endpoints ranked by what traffic costs there", Sent, _cheapest),
    Door("/cheapest/excluded", "What is no route for that traffic, and why", Sent, _excluded),
    Door("/cheapest/crossovers", "At which cache hits, prompts and hours another is the cheapest", Sent, _crossovers),
    Door(
        "/cheapest/gateway",
        "The routes as LiteLLM's model_list (YAML) or OpenRouter's provider preferences (JSON)",
        Gateway,
        _gateway,
        ("application/json", "application/yaml"),
    ),
    Door("/calendar", "What an endpoint charges at each hour of a week, and when that changes next", Hours, _calendar),
    Door(
        "/explain",
        "The evidence for a price: source, URL, instant, SHA-256, the record as published",
        Endpoint,
        _explain,
    ),
    Door("/facts", "What is said of a model beside its prices", Offers, _facts),
    Door("/conflicts", "Where two sources state different things of one offer", Contradicted, _conflicts),
    Door("/held", "What is kept out of the tape, and why", Of, _held),
    Door("/sources", "How every source that was ever polled fares", Everything, _sources),
    Door("/cost", "What a request costs at one offer, meter by meter", models.Bill, models.billed),
    Door("/compare", "Models side by side", models.Compared, models.compared),
    Door(
        "/model", "The page of a model: what it is, what it costs where, how it moved", models.Page, models.model_page
    ),
    Door("/breakeven", "Own GPUs, hosted open weights and a vendor's API", models.Even, models.broken_even),
    Door("/index", "How prices moved: a chained index", moves.Series, moves.series),
    Door("/spread", "How far apart the endpoints of models are", moves.Spread, moves.spread),
    Door("/volatility", "How often and how far prices moved", moves.Volatile, moves.volatility),
    Door(
        "/feed",
        "What moved, as Atom or JSON Feed",
        feeds.Fed,
        feeds.feed,
        feeds.FORMS,
    ),
    Door("/rates", "Exchange rates: what one euro costs", Everything, _exchange),
)


def _responses(door: Door) -> dict[int | str, dict[str, Any]]:
    """What may come of a question."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        200: {"description": "The answer.", "content": {form: {"schema": {}} for form in door.forms}},
        304: {"description": "Nothing is new since the answer whose ETag was shown."},
        421: {"description": "Asked for under a name that this server does not have."},
        **{
            status: {"description": text, "content": problem}
            for status, text in (
                (400, "A question that cannot be asked."),
                (401, "A token is asked for."),
                (404, "The store has nothing of that name."),
                (405, "This store is read only."),
                (414, "The question is too long."),
                (503, "The store is busy, or the question takes too long."),
            )
        },
    }


def add_routes(app: FastAPI, doors: Doors, statement_s: float) -> None:
    """Give an application the routes over a store."""
    for door in DOORS:
        app.add_api_route(
            f"/v1{door.path}",
            _handler(door, doors, statement_s),
            methods=["GET"],
            summary=door.summary,
            name=door.path.strip("/").replace("/", "_"),
            response_class=Response,
            responses=_responses(door),
        )


def _handler(door: Door, doors: Doors, statement_s: float) -> Callable[..., Response]:
    def handle(request: Request, question: Any) -> Response:
        return door.answer(asked(doors, statement_s, request, question), question)

    handle.__annotations__["question"] = Annotated[door.kind, Query()]
    handle.__doc__ = door.kind.__doc__
    return handle
