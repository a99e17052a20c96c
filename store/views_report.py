"""The page of a month: every figure of `store.report` with the ref that proves it, and the command that shows all."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from store.changes import ChangeRow
from store.instants import age_text, iso
from store.moves import percent_text
from store.page import Kind, Page, Section
from store.report import Report, ref
from store.units import hundredths
from store.views_index import amount, change_percent

_PRICE: tuple[tuple[str, Kind], ...] = (
    ("change %", "number"),
    ("meter", "text"),
    ("old", "number"),
    ("new", "number"),
    ("model", "text"),
    ("provider", "text"),
    ("seen (UTC)", "instant"),
    ("ref", "ref"),
)


def page(one: Report, top: int) -> Page:
    """The page; sections show their first `top` rows."""
    span = f"--since {iso(one.month.since)} --until {iso(one.until)}"
    at = f"--at {iso(one.until)}"
    return Page(
        title=f"Prices of inference, {one.month.name}",
        figures=tuple(_figures(one)),
        sections=(
            _cuts_and_rises(one, top, span, up=False),
            _cuts_and_rises(one, top, span, up=True),
            _routes(one, top, at),
            _models(one, top),
            _endpoints("New endpoints", one.events.arrivals, top, span, new=True),
            _endpoints("Withdrawn endpoints", one.events.withdrawals, top, span, new=False),
            _announced(one.events.announced, top, span),
            _index(one),
            _corrections(one.events.corrections, top, span),
            _held(one, top),
            _contradicted(one, top, at),
            _sources(one),
        ),
    )


def _figures(one: Report) -> Iterator[tuple[str, str]]:
    gaps = sum(source.gap for source in one.sources)
    yield "time", f"{iso(one.month.since)} to {iso(one.until)}, as known at {iso(one.known)}"
    yield "sources", f"{len(one.sources)}, {gaps} of them with gaps"
    yield "models on offer", f"{one.on_offer}, {len(one.new_models)} new, {len(one.gone_models)} gone"
    yield "endpoints", f"{len(one.events.arrivals)} new, {len(one.events.withdrawals)} withdrawn"
    yield "prices moved", f"{len(one.events.moves)}, as told by the first source that did"
    yield "index", _index_figure(one)
    yield "corrections", str(len(one.events.corrections))
    yield "held anew", str(len(one.held))
    yield "prices contradicted", str(len(one.conflicts))


def _minute(at: datetime | None) -> str:
    return "" if at is None else iso(at)[:16].replace("T", " ")


def _cuts_and_rises(one: Report, top: int, span: str, *, up: bool) -> Section:
    def percent(row: ChangeRow) -> Decimal:
        return Decimal(row.change_percent or 0)

    found = sorted(
        (row for row in one.events.moves if (percent(row) > 0) == up and percent(row)),
        key=lambda row: (-abs(percent(row)), row.seen, ref(row), row.meter),
    )
    return Section(
        title="Biggest rises" if up else "Biggest cuts",
        note="In the currency quoted, per 1M tokens or single thing.",
        command=f"tokentape changes {span} --prices",
        heads=_PRICE,
        rows=[
            (
                row.change_percent or "",
                row.meter,
                row.old or "",
                row.new or "",
                row.model,
                row.provider,
                _minute(row.seen),
                ref(row),
            )
            for row in found[:top]
        ],
        of=len(found),
    )


def _routes(one: Report, top: int, at: str) -> Section:
    return Section(
        title="New cheapest routes",
        note="Models that another provider sells for less than anybody did: USD per 1M tokens, of which 750K are read.",
        command=f"tokentape spread {at}",
        heads=(
            ("model", "text"),
            ("change %", "number"),
            ("was", "number"),
            ("at", "text"),
            ("is", "number"),
            ("at", "text"),
            ("ref", "ref"),
        ),
        rows=[
            (
                new.model,
                hundredths((new.cheapest / old.cheapest - 1) * 100),
                amount(old.cheapest),
                old.low.provider,
                amount(new.cheapest),
                new.low.provider,
                new.low.ref,
            )
            for old, new in one.routes[:top]
        ],
        of=len(one.routes),
    )


def _models(one: Report, top: int) -> Section:
    rows = [
        ("new", model, str(len(told)), _minute(told[0].seen), ref(told[0])) for model, told in one.new_models.items()
    ]
    rows.sort(key=lambda row: (-int(row[2]), row[1]))
    rows += [("gone", model, "", "", "") for model in one.gone_models]
    return Section(
        title="New models, and models that are gone",
        note="Gone: nobody who offered it when the month began did when it ended.",
        command="tokentape models",
        heads=(
            ("", "text"),
            ("model", "text"),
            ("endpoints", "number"),
            ("first seen (UTC)", "instant"),
            ("ref", "ref"),
        ),
        rows=rows[: 2 * top],
        of=len(rows),
    )


def _endpoints(title: str, found: Sequence[Sequence[ChangeRow]], top: int, span: str, *, new: bool) -> Section:
    def told(meters: Sequence[ChangeRow], meter: str) -> str:
        for row in meters:
            if row.meter == meter:
                value, state = (row.new, row.new_state) if new else (row.old, row.old_state)
                return value or state or ""
        return ""

    return Section(
        title=title,
        command=f"tokentape changes {span} --prices",
        heads=(
            ("model", "text"),
            ("provider", "text"),
            ("variant", "text"),
            ("input", "number"),
            ("output", "number"),
            ("seen (UTC)", "instant"),
            ("ref", "ref"),
        ),
        rows=[
            (
                meters[0].model,
                meters[0].provider,
                meters[0].variant,
                told(meters, "input"),
                told(meters, "output"),
                _minute(meters[0].seen),
                ref(meters[0]),
            )
            for meters in found[:top]
        ],
        of=len(found),
    )


def _announced(found: Sequence[ChangeRow], top: int, span: str) -> Section:
    return Section(
        title="Announced",
        note="Prices that sources dated for later, and those that they took back.",
        command=f"tokentape changes {span} --prices",
        heads=(
            ("", "text"),
            ("meter", "text"),
            ("old", "number"),
            ("new", "number"),
            ("from (UTC)", "instant"),
            ("model", "text"),
            ("provider", "text"),
            ("ref", "ref"),
        ),
        rows=[
            (
                row.event,
                row.meter,
                row.old or "",
                row.new or "",
                _minute(row.since),
                row.model,
                row.provider,
                ref(row),
            )
            for row in found[:top]
        ],
        of=len(found),
    )


def _index_figure(one: Report) -> str:
    level = next((level for level in one.series if level.period.name == one.month.name), None)
    if level is None or level.link is None:
        return "unknown: nothing was there and polled at both ends of the month"
    return (
        f"{change_percent(level)} % over {level.matched} endpoints of {level.models} models, {level.stale} not polled"
    )


def _index(one: Report) -> Section:
    return Section(
        title="Index",
        note="Every model counts alike, what comes or goes moves nothing; 100 at the beginning.",
        command=f"tokentape index --since {iso(one.series[0].period.since)} --until {iso(one.until)}"
        if one.series
        else "",
        heads=(
            ("month", "text"),
            ("index", "number"),
            ("change %", "number"),
            ("matched", "number"),
            ("entered", "number"),
            ("left", "number"),
            ("stale", "number"),
        ),
        rows=[
            (
                level.period.name,
                "?" if level.index is None else f"{level.index:.4f}",
                change_percent(level) or "",
                str(level.matched),
                str(level.entered),
                str(level.left),
                str(level.stale),
            )
            for level in one.series
        ],
        of=len(one.series),
    )


def _corrections(found: Sequence[ChangeRow], top: int, span: str) -> Section:
    return Section(
        title="Corrections",
        note="What had been believed of the past and is no more: mended, arrived late, or released.",
        command=f"tokentape changes {span} --prices",
        heads=(
            ("known (UTC)", "instant"),
            ("of (UTC)", "text"),
            ("meter", "text"),
            ("old", "number"),
            ("new", "number"),
            ("model", "text"),
            ("provider", "text"),
            ("ref", "ref"),
        ),
        rows=[
            (
                _minute(row.known),
                f"{_minute(row.since)} to {_minute(row.until) or 'now'}",
                row.meter,
                row.old or row.old_state or "",
                row.new or row.new_state or "",
                row.model,
                row.provider,
                ref(row),
            )
            for row in found[:top]
        ],
        of=len(found),
    )


def _held(one: Report, top: int) -> Section:
    return Section(
        title="Held",
        note="Read in this month and not believed, nor released by its end.",
        command="tokentape held",
        heads=(
            ("held", "ref"),
            ("source", "text"),
            ("subject", "text"),
            ("rule", "text"),
            ("why", "text"),
            ("since (UTC)", "instant"),
        ),
        rows=[
            (row.held_ref, row.source, row.subject, row.rule, row.message, _minute(row.first_seen))
            for row in one.held[:top]
        ],
        of=len(one.held),
    )


def _contradicted(report: Report, top: int, at: str) -> Section:
    return Section(
        title="Conflicts",
        note="Where two sources stated different prices of one offer when the month ended, the furthest apart first.",
        command=f"tokentape conflicts {at} --sort ratio",
        heads=(
            ("model", "text"),
            ("provider", "text"),
            ("meter", "text"),
            ("says", "number"),
            ("other", "number"),
            ("difference %", "number"),
            ("ref", "ref"),
            ("other ref", "ref"),
        ),
        rows=[
            (
                one.row.model,
                one.row.provider,
                f"{one.difference.meter} {one.difference.case}".rstrip(),
                one.difference.text,
                one.difference.other_text,
                percent_text(one.difference.value, one.difference.other) or "",
                one.row.ref,
                one.other.ref,
            )
            for one in report.conflicts[:top]
        ],
        of=len(report.conflicts),
    )


def _sources(report: Report) -> Section:
    return Section(
        title="Sources",
        note="A gap is longer than two polls may lie apart; what it hid is not filled in.",
        command="tokentape sources",
        heads=(
            ("source", "text"),
            ("polls", "number"),
            ("in part", "number"),
            ("failed", "number"),
            ("last success (UTC)", "instant"),
            ("longest without", "number"),
            ("", "text"),
        ),
        rows=[
            (
                one.source,
                str(one.polls),
                str(one.partial),
                str(one.failed),
                _minute(one.last_success),
                age_text(one.longest),
                "gap" if one.gap else "",
            )
            for one in report.sources
        ],
        of=len(report.sources),
    )
