"""Models and who offers them: search, the page of a model, comparisons, the page of a provider."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from fastapi import Response
from pydantic import Field

from store import catalogue, disputes, intervals, rates, views_compare
from store.compare import WORKLOADS, Subject, properties, subject
from store.compare import compare as find_compared
from store.crossovers import Crossing
from store.errors import NothingMatched, QueryError
from store.facts import FactRow
from store.http.asked import Instant, Name
from store.http.pages import views
from store.http.pages.cells import Cell, Column, Mark, Table, count, instant, table, text
from store.http.pages.overview import MOST, Listed, moved
from store.http.pages.render import page
from store.http.pages.visit import Visit
from store.http.routes import Names, Sent, choice
from store.instants import iso
from store.intervals import IntervalRow
from store.naming import find_model
from store.read import Reader
from store.routing import Excluded, Route, believed
from store.text import one_line

HISTORY_DAYS = 90
MOVES_DAYS = 30
TOKENS_A_DAY = (1_000_000, 100_000_000)
MOST_COMPARED = 6
MOST_FACTS = 150
_LONGEST_NOTE = 70
BALANCED = WORKLOADS["balanced"]
_EXISTS = "SELECT 1 FROM provider WHERE name = :provider"


class OfModel(Sent):
    """The page of a model, its table, its chart and its calculator."""

    q: Name = ""
    sort: Name = ""
    show: Literal["believed", "all"] = "believed"
    since: Instant | None = None
    until: Instant | None = None


class Compared(Listed):
    """Models side by side."""

    model: Names = ()


class OfProvider(Listed):
    """The page of a provider."""

    provider: Name = Field(min_length=1)
    show: Literal["believed", "all"] = "believed"


def search(visit: Visit, wanted: Listed) -> Response:
    """Models by a part of their id."""
    with visit.ask.open() as reader:
        found = catalogue.models(reader, wanted.q.strip(), visit.ask.at, known=visit.ask.known)
    return page(
        "models.html",
        visit=visit,
        table=table(
            "models",
            "Models on offer; lowest prices in USD per 1M tokens",
            views.models(visit),
            found,
            again=visit.again,
            sort=wanted.sort,
            most=MOST,
            nothing="No model on offer is called that.",
        ),
        data=visit.data("models", query=wanted.q.strip()),
    )


class Calculated(NamedTuple):
    """What the calculator of a page says."""

    routes: Table
    excluded: Table
    crossings: Table
    reasons: str
    """Why not, if it says nothing."""


def model(visit: Visit, wanted: OfModel) -> Response:
    """All there is of a model: endpoints, history, routes."""
    if len(wanted.model) != 1:
        raise QueryError("name one model: /model?model=openai/gpt-oss-120b")
    ask = visit.ask
    since = ask.instant(wanted.since) or ask.at - timedelta(days=HISTORY_DAYS)
    until = ask.instant(wanted.until)
    with ask.open() as reader:
        name = find_model(reader, wanted.model[0])
        into = ask.doors.converter(reader, wanted.currency, ask.known)
        one = subject(reader, name, ask.at, known=ask.known, into=into)
        rows = list(one.offers) if wanted.show == "all" else one.believed
        if visit.value("currency"):
            rows = [rates.converted(row, into, ask.at) for row in rows]
        calculated, places = _calculated(visit, reader, wanted, name)
        past = _past(visit, reader, name, {row.endpoint_id for row in rows}, (since, until))
    endpoints = _offers(
        visit,
        wanted,
        sorted(rows, key=lambda row: places.get(row.endpoint_id, len(places))),
        "Where the request below costs least first",
    )
    shown = {line.ref for line in endpoints.rows if not line.hidden}
    return page(
        "model.html",
        visit=visit,
        name=name,
        wanted=wanted,
        since=iso(since.replace(microsecond=0)),
        spans=_spans(visit, ask.at),
        headline=list(_headline(visit, one)),
        everywhere=len(one.offers),
        endpoints=endpoints,
        past=table(
            "history",
            "What these endpoints charged, interval by interval",
            views.intervals(visit),
            past,
            nothing="Nothing is known of that time.",
            ref=lambda row: row.ref,
            shown=lambda row: not endpoints.rows or row.ref in shown,
        ),
        facts=table(
            "facts", "What is said of it", _facts(visit), one.facts, most=MOST_FACTS, nothing="Nothing is said of it."
        ),
        calculated=calculated,
        providers=sorted({row.provider for row in one.offers}),
        chart=visit.data(
            "course", model=name, since=iso(since), until=iso(until or ask.at), stated="true", limit=10_000,
            currency=visit.value("currency"),
        ),
        data=visit.data("endpoints", model=name),
    )  # fmt: skip


def _offers(visit: Visit, wanted: OfModel | OfProvider, rows: list[IntervalRow], caption: str) -> Table:
    return table(
        "endpoints",
        f"{caption}; prices in {visit.value('currency') or 'USD'} per 1M tokens unless another currency is named",
        views.endpoints(visit, model=isinstance(wanted, OfProvider)),
        rows,
        again=visit.again,
        sort=wanted.sort,
        query=wanted.q,
        most=MOST if len(rows) > MOST else None,
        nothing="Nothing is on offer here at this instant.",
        ref=lambda row: row.ref,
    )


def _spans(visit: Visit, at: datetime) -> list[tuple[str, str]]:
    """Stretches of time that a chart is often asked for."""
    found = [
        (label, visit.again(since=iso((at - timedelta(days=days)).replace(microsecond=0)), until=None))
        for label, days in (("30 days", 30), ("90 days", 90), ("1 year", 365))
    ]
    return [*found, ("everything", visit.again(since="2020-01-01", until=None))]


def _past(
    visit: Visit, reader: Reader, name: str, keys: set[int], within: tuple[datetime, datetime | None]
) -> list[IntervalRow]:
    """The intervals of some endpoints; of all where there are none."""
    ask = visit.ask
    since, until = within
    found = intervals.history(reader, name, ask.at, known=ask.known, since=since, until=until, stated=True)
    these = (row for row in found if row.endpoint_id in keys or not keys)
    return list(intervals.prices_only(disputes.marked(these, reader, ask.at, known=ask.known)))


def _calculated(visit: Visit, reader: Reader, wanted: OfModel, name: str) -> tuple[Calculated, Mapping[int, int]]:
    """What the calculator says, and the place of each endpoint that is a route."""
    routes: list[Route] = []
    excluded: list[Excluded] = []
    crossings: list[Crossing] = []
    reasons = ""
    try:
        found = choice(reader, visit.ask, wanted.model_copy(update={"model": (name,)}))
        routes, excluded, crossings = list(found.routes), list(found.excluded), list(found.crossings())
    except QueryError as error:
        reasons = str(error)
    calculated = Calculated(
        table(
            "routes",
            f"Routes, cheapest first; prices in {wanted.currency} per 1M tokens, as they apply to this workload",
            views.routes(visit, wanted.currency, saving=wanted.current is not None, month=wanted.requests is not None),
            routes,
            nothing="No endpoint takes this workload for a known price.",
        ),
        table("excluded", "What is no route, and why", views.excluded(visit), excluded),
        table(
            "crossings",
            "Where another becomes the cheapest",
            views.crossings(visit),
            [one for one in crossings if not one.always],
            nothing="The cheapest stays so at any share of cache hits, length of prompt and hour of the week.",
        ),
        reasons,
    )
    return calculated, {one.row.endpoint_id: place for place, one in enumerate(routes)}


class Headline(NamedTuple):
    """One of the few things that matter most of a model."""

    label: str
    value: str
    note: str = ""
    href: str = ""
    disputed: bool = False


def _headline(visit: Visit, one: Subject) -> Iterator[Headline]:
    found = {name: of[0] for name, of in views_compare.by_name(list(properties(one, BALANCED, ()))).items()}

    def told(name: str) -> tuple[str, str, bool]:
        property_ = found[name]
        value = property_.value or "unknown"
        return (
            f"{int(value):,}" if value.isdecimal() else value,
            one_line(property_.note, _LONGEST_NOTE),
            property_.disputed,
        )

    cost = found["balanced_cost"]
    proof = visit.link("/endpoint", endpoint=cost.ref) if cost.ref else ""
    where = f"{cost.unit}, {cost.place}" if cost.value else cost.note
    yield Headline("Cheapest, 75 % prompt", cost.value or "unknown", one_line(where, _LONGEST_NOTE), proof)
    for label, name in (
        ("Context", "context_length"),
        ("Released", "release_date"),
        ("Open weights", "open_weights"),
        ("Providers", "providers"),
    ):
        value, note, disputed = told(name)
        yield Headline(label, {"true": "yes", "false": "no"}.get(value, value), note, "", disputed)


def _facts(visit: Visit) -> list[Column[FactRow]]:
    return [
        Column("fact", "Fact", lambda row: text(row.fact)),
        Column("provider", "Provider", lambda row: text(row.provider, visit.link("/provider", provider=row.provider))),
        Column("value", "Value", lambda row: text(row.value)),
        Column("endpoints", "Endpoints", lambda row: count(row.endpoints), number=True),
        Column("since", "Since", lambda row: instant(row.since)),
        Column(
            "sources",
            "Sources",
            lambda row: Cell(marks=tuple(Mark(one, visit.link("/source", source=one), "note") for one in row.sources)),
        ),
        Column(
            "doubts",
            "Doubts",
            lambda row: Cell(
                marks=(Mark("disputed", visit.link("/conflicts", model=row.model)),) if row.disputed else ()
            ),
        ),
    ]


_PROOF = {
    "author's": "first_party_input",
    "cheapest": "cheapest_input",
    "dearest": "dearest_input",
    **{
        f"{load.input_tokens * 100 // (load.input_tokens + load.output_tokens)} %": f"{name}_cost"
        for name, load in WORKLOADS.items()
    },
}
"""How a label begins -> the property that says which endpoint it is of."""


def compare(visit: Visit, wanted: Compared) -> Response:
    """Models side by side."""
    if len(wanted.model) > MOST_COMPARED:
        raise QueryError(f"at most {MOST_COMPARED} models stand side by side")
    ask = visit.ask
    names: list[str] = []
    lines: list[tuple[str, list[Cell]]] = []
    if wanted.model:
        with ask.open() as reader:
            names = list(dict.fromkeys(find_model(reader, name) for name in wanted.model))
            into = ask.doors.converter(reader, "USD", ask.known)
            subjects = [subject(reader, name, ask.at, known=ask.known, into=into) for name in names]
            every = find_compared(subjects, BALANCED, TOKENS_A_DAY)
        by_model = [views_compare.by_name([one for one in every if one.model == name]) for name in names]
        told = [dict(views_compare.told(found, "USD")) for found in by_model]
        for label in list(told[0])[1:]:
            proof = next((name for begins, name in _PROOF.items() if label.startswith(begins)), None)
            refs = [found[proof][0].ref if proof else "" for found in by_model]
            lines.append(
                (
                    label,
                    [
                        Cell(
                            text="unknown" if cells[label] == "-" else cells[label],
                            tone="faint" if cells[label] == "-" else "",
                            href=visit.link("/endpoint", endpoint=ref) if ref else "",
                        )
                        for cells, ref in zip(told, refs, strict=True)
                    ],
                )
            )
    return page("compare.html", visit=visit, names=names, lines=lines, most=MOST_COMPARED)


def provider(visit: Visit, wanted: OfProvider) -> Response:
    """What a provider offers, and what moved there."""
    ask = visit.ask
    with ask.open() as reader:
        if reader.row(_EXISTS, {"provider": wanted.provider}) is None:
            raise NothingMatched(f"no provider {one_line(wanted.provider, 80)!r} in this store")
        every = list(disputes.in_force(reader, ask.at, known=ask.known, provider=wanted.provider))
        into = ask.doors.converter(reader, "USD", ask.known)
        rows = every if wanted.show == "all" else believed(every, ask.at, into)
        found = moved(visit, reader, MOVES_DAYS, provider=wanted.provider)
    return page(
        "provider.html",
        visit=visit,
        name=wanted.provider,
        wanted=wanted,
        models=len({row.model for row in every}),
        everywhere=len(every),
        endpoints=_offers(visit, wanted, rows, "What it offers"),
        days=MOVES_DAYS,
        moves=table(
            "moves",
            f"What moved there in {MOVES_DAYS} days, the furthest first",
            views.moves(visit),
            found,
            most=40,
            nothing="Nothing moved.",
        ),
        more=visit.link("/changes", provider=wanted.provider, days=MOVES_DAYS),
    )
