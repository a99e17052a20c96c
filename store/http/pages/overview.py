"""The overview, and the lists that it is the top of: what moved, contradictions, what is held, sources."""

from collections import Counter
from datetime import timedelta
from itertools import islice
from typing import Literal

from fastapi import Response
from pydantic import Field

from store import catalogue, intervals
from store.changes import ChangeRow
from store.changes import changes as find_changes
from store.conflicts import ORDERS
from store.conflicts import conflicts as find_conflicts
from store.http.asked import Name, Question
from store.http.pages import views
from store.http.pages.cells import table
from store.http.pages.render import page
from store.http.pages.visit import Visit
from store.http.routes import Contradicted, Of, contradictions
from store.naming import find_model
from store.read import Reader

DAYS = 7
TOP = 15
"""Rows of a list on the overview."""
MOST = 300
"""Rows of a page that is a list."""
_LOOKED_AT = 60
"""Models that moved furthest, of which the overview tells contradictions: all of them have a page of their own."""
_MOVES = frozenset({"change", "announcement", "correction"})


class Listed(Question):
    """A list to sort and to search."""

    q: Name = ""
    sort: Name = ""


class Changed(Listed):
    """What moved."""

    days: int = Field(DAYS, ge=1, le=3660)
    model: str | None = Field(None, max_length=300)
    provider: Name | None = None
    source: Name | None = None
    facts: bool = False


class Contradictory(Contradicted):
    """Where sources disagree, of prices the furthest apart first."""

    q: Name = ""
    sort: Literal["model", "ratio", "since"] = "ratio"


class OfSource(Of):
    """What is held, by source."""

    q: Name = ""
    sort: Name = ""


def moved(
    visit: Visit,
    reader: Reader,
    days: int,
    *,
    model: str | None = None,
    provider: str | None = None,
    source: str | None = None,
    facts: bool = False,
) -> list[views.Moved]:
    """What moved in the days before the instant of a page, furthest first."""
    ask = visit.ask
    found: list[ChangeRow] = list(
        find_changes(
            reader,
            known=ask.known,
            since=ask.at - timedelta(days=days),
            until=ask.at + timedelta(milliseconds=1),
            model=None if model is None else find_model(reader, model),
            provider=provider,
            source=source,
            prices_only=not facts,
        )
    )
    return views.biggest(views.moved(found))


def overview(visit: Visit, _wanted: Question) -> Response:
    """What moved this week, how sources fare, where they disagree, and what is held."""
    ask = visit.ask
    with ask.open() as reader:
        models = catalogue.models(reader, "", ask.at, known=ask.known)
        every = moved(visit, reader, DAYS)
        sources = catalogue.sources(reader, ask.doors.now())
        held = catalogue.held(reader, known=ask.known)
        prices = [one for one in every if one.first.event in _MOVES]
        looked_at = list(islice(dict.fromkeys(one.first.model for one in prices), _LOOKED_AT))
        found = [
            conflict
            for name in looked_at
            for conflict in find_conflicts(intervals.endpoints(reader, name, ask.at, known=ask.known), ask.at)
        ]
    found.sort(key=ORDERS["ratio"])
    marks = [views.health(visit, one) for one in sources]
    worst = sorted(zip(marks, sources, strict=True), key=lambda pair: (pair[0].tone == "good", pair[1].source))
    return page(
        "overview.html",
        visit=visit,
        models=len(models),
        endpoints=sum(one.endpoints for one in models),
        events=Counter(one.first.event for one in every),
        days=DAYS,
        fresh=sum(mark.tone == "good" for mark in marks),
        looked_at=len(looked_at),
        moves=table(
            "moves",
            f"Prices that moved in {DAYS} days, the furthest first",
            views.moves(visit),
            prices,
            most=TOP,
            nothing="No price moved.",
        ),
        sources=table(
            "sources",
            "How sources fare now, those in trouble first",
            views.sources(visit),
            [one for _, one in worst],
            most=TOP,
            nothing="Nothing has been collected yet.",
        ),
        conflicts=table(
            "conflicts",
            "Contradictions on models that moved, furthest apart first",
            views.contradictions(visit),
            found,
            most=TOP,
            nothing="No source contradicts another on what moved.",
        ),
        held=table("held", "Kept out of the tape", views.held(visit), held, most=TOP, nothing="Nothing is held."),
    )


def changes(visit: Visit, wanted: Changed) -> Response:
    """All that moved."""
    names = {"model": wanted.model, "provider": wanted.provider, "source": wanted.source}
    with visit.ask.open() as reader:
        found = moved(visit, reader, wanted.days, facts=wanted.facts, **names)
    return page(
        "list.html",
        visit=visit,
        title="What moved",
        lead=f"In the {wanted.days} days before {visit.ask.at:%Y-%m-%d %H:%M} UTC, the furthest first.",
        days=wanted.days,
        facts=wanted.facts,
        fields=names,
        table=table(
            "moves",
            "What moved",
            views.moves(visit),
            found,
            again=visit.again,
            sort=wanted.sort,
            query=wanted.q,
            most=MOST,
            nothing="Nothing moved.",
        ),
        data=visit.data("changes", since=f"{visit.ask.at - timedelta(days=wanted.days):%Y-%m-%dT%H:%M:%SZ}", **names),
    )


def conflicts(visit: Visit, wanted: Contradictory) -> Response:
    """All contradictions."""
    with visit.ask.open() as reader:
        found = contradictions(reader, visit.ask, wanted)
    names = {"model": wanted.model, "provider": wanted.provider, "source": wanted.source}
    return page(
        "list.html",
        visit=visit,
        title="Contradictions",
        lead="Two sources state different things of one offer. Nobody is outvoted: the more trusted one stands first.",
        days=None,
        facts=None,
        fields=names,
        table=table(
            "conflicts",
            "Contradictions",
            views.contradictions(visit),
            found,
            query=wanted.q,
            most=MOST,
            nothing="No source contradicts another here.",
        ),
        data=visit.data("conflicts", sort=wanted.sort, **names),
    )


def held(visit: Visit, wanted: OfSource) -> Response:
    """All that is held."""
    with visit.ask.open() as reader:
        found = catalogue.held(reader, known=visit.ask.known, source=wanted.source)
    return page(
        "list.html",
        visit=visit,
        title="Held",
        lead="Kept out of the tape until somebody, or a second source, says it is right: tokentape held show NAME.",
        days=None,
        facts=None,
        fields={"source": wanted.source},
        table=table(
            "held",
            "Kept out of the tape",
            views.held(visit),
            found,
            again=visit.again,
            sort=wanted.sort,
            query=wanted.q,
            most=MOST,
            nothing="Nothing is held.",
        ),
        data=visit.data("held", source=wanted.source),
    )


def sources(visit: Visit, wanted: Listed) -> Response:
    """Every source."""
    with visit.ask.open() as reader:
        found = catalogue.sources(reader, visit.ask.doors.now())
    return page(
        "list.html",
        visit=visit,
        title="Sources",
        lead="How every source that was ever polled fares now.",
        days=None,
        facts=None,
        fields={},
        table=table(
            "sources",
            "Sources",
            views.sources(visit),
            found,
            again=visit.again,
            sort=wanted.sort,
            query=wanted.q,
            nothing="Nothing has been collected yet.",
        ),
        data=visit.data("sources"),
    )
