"""Pictures of prices: PNG and SVG, the same bytes for the same answer, and no more than is known.

A price is drawn where polls saw it. Between the last poll that saw one price and the first that saw another lies a
band: the change is somewhere in it. What was not seen again is dotted, what nobody offered is a gap, what has been
corrected since is dashed, what a source states without having been seen is dash-dotted. Floats are for drawing only.

Text from upstream is hostile: no formula is read in it, and no label is anything but a label.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from io import BytesIO
from itertools import groupby
from math import ceil, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.breakeven import Breakeven
from store.compare import MONTH_DAYS
from store.errors import QueryError, unwritten
from store.instants import iso
from store.intervals import IntervalRow, prices_only
from store.text import one_line
from store.units import NANO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

    from store.index import Level

FORMS = (".png", ".svg")
METERS = ("input", "output")
_LABELLED = 24
"""Endpoints that have a colour and a name; of more, those that were cheapest last, and the rest is grey."""
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#eeca3b", "#72b7b2", "#9d755d")
_GREY = "#8c8c8c"
_DASHES = ("-", (0, (6, 2)), (0, (2, 1)))
"""With the colours, a look for each endpoint that is named."""
_APART = 8
"""Prices that lie so many times apart are drawn on a logarithmic axis."""
_LONGEST_LABEL = 60

Stretch = tuple[datetime, datetime, int]
"""From, to, and the amount."""


@dataclass(slots=True)
class Trace:
    """One endpoint's price of one meter, as far as it is known."""

    endpoint_id: int
    endpoint: str
    label: str
    seen: list[Stretch] = field(default_factory=list)
    between: list[tuple[datetime, datetime, int, int]] = field(default_factory=list)
    """From, to, and the two amounts: it changed from one to the other somewhere in between."""
    unseen: list[Stretch] = field(default_factory=list)
    """It may have been so, but was not seen: not yet, or not any more."""
    corrected: list[Stretch] = field(default_factory=list)
    stated: list[Stretch] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The amount that was seen last; of what was never seen, one that was told."""
        return self.seen[-1][2] if self.seen else self.amounts[-1]

    @property
    def amounts(self) -> list[int]:
        """All that is drawn."""
        return [amount for _, _, amount in (*self.seen, *self.unseen, *self.corrected, *self.stated)]


def require(path: Path) -> None:
    """Make sure that a picture can be made of that name, before anything is asked.

    Raises: QueryError if not.
    """
    if path.suffix.lower() not in FORMS:
        raise QueryError(f"{path.name!r} is neither a .png nor a .svg")
    if find_spec("matplotlib") is None:
        raise QueryError("pictures need matplotlib: pip install 'tokentape[plots]'")


def traces(rows: Iterable[IntervalRow], meter: str, at: datetime) -> list[Trace]:
    """The course of a meter at each endpoint, from intervals by endpoint and time, up to an instant."""
    found: list[Trace] = []
    for _, group in groupby(rows, key=lambda row: row.endpoint_id):
        intervals = list(group)
        trace = Trace(intervals[0].endpoint_id, intervals[0].endpoint, _label(intervals[0]))
        believed = [row for row in intervals if row.basis == "observed" and row.known_to is None]
        for before, row, after in zip((None, *believed), believed, (*believed[1:], None), strict=False):
            _draw(trace, before, row, after, meter, at)
        for row in intervals:
            amount = row.card.amount(meter)
            since = row.stated_since or row.first_seen
            if amount is not None and row.basis == "stated" and since < at:
                trace.stated.append((since, min(row.stated_until or at, at), amount))
            elif amount is not None and row.known_to is not None:
                trace.corrected.append((row.first_seen, min(row.ended or at, at), amount))
        if trace.amounts:
            found.append(trace)
    return found


def _label(row: IntervalRow) -> str:
    return one_line(f"{row.provider} {row.variant}".rstrip() + f" ({row.source})", _LONGEST_LABEL)


def _draw(
    trace: Trace, before: IntervalRow | None, row: IntervalRow, after: IntervalRow | None, meter: str, at: datetime
) -> None:
    """What one interval adds, between the one before it and the one after."""
    amount = row.card.amount(meter)
    if amount is None:
        return
    if row.not_before is not None and (before is None or before.ended != row.first_seen):
        trace.unseen.append((row.not_before, row.first_seen, amount))
    seen_to = min(row.last_seen, row.ended or at, at)
    trace.seen.append((row.first_seen, seen_to, amount))
    if row.ended is None:
        if seen_to < at:
            trace.unseen.append((seen_to, at, amount))
    elif after is not None and after.first_seen == row.ended:
        other = after.card.amount(meter)
        if other is None or other == amount:
            trace.unseen.append((seen_to, row.ended, amount))
        else:
            trace.between.append((seen_to, row.ended, amount, other))


@contextmanager
def _picture(path: Path, width: float, height: float, *, dark: bool) -> Iterator["Figure"]:
    """A figure that is put in its place as a whole, and looks the same wherever it is drawn."""
    from matplotlib import style
    from matplotlib.figure import Figure

    form = path.suffix.lower()[1:]
    settings: dict[str, Any] = {
        "svg.hashsalt": "tokentape",
        "text.parse_math": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
    styles: list[str | dict[str, Any]] = ["default", *(["dark_background"] if dark else []), settings]
    out = BytesIO()
    with style.context(styles), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
        yield figure
        figure.savefig(out, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    _put(path, out.getvalue())


def _put(path: Path, body: bytes) -> None:
    target = path.resolve()
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(body)
        aside.replace(target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise unwritten(path, error) from error


def prices(
    path: Path,
    rows: Sequence[IntervalRow],
    title: str,
    at: datetime,
    *,
    since: datetime | None = None,
    currency: str = "USD",
    dark: bool = False,
) -> int:
    """Draw the input and output prices of intervals, by endpoint and time; returns how many endpoints are left out.

    Left out are those that have neither price in the currency.
    """
    quoted = [row for row in prices_only(rows) if row.card.currency == currency]
    by_meter = [traces(quoted, meter, at) for meter in METERS]
    drawn = [trace for found in by_meter for trace in found]
    named = _named(drawn)
    with _picture(path, 13, 8.5, dark=dark) as figure:
        both = figure.subplots(len(METERS), 1, sharex=True)
        for axes, meter, found in zip(both, METERS, by_meter, strict=True):
            for trace in sorted(found, key=lambda trace: trace.endpoint_id in named):  # the named ones above the grey
                _trace(axes, trace, *(named[trace.endpoint_id][1:] if trace.endpoint_id in named else (_GREY, "-")))
            _scale(axes, [amount for trace in found for amount in trace.amounts])
            axes.set_ylabel(f"{meter}, {currency} per 1M tokens")
        _time_axis(both[-1], since, at)
        both[0].set_title(one_line(f"{title} (up to {iso(at.replace(microsecond=0))})", 110))
        _legend(figure, named, drawn)
    return len({row.endpoint_id for row in rows} - {trace.endpoint_id for trace in drawn})


def _named(drawn: Sequence[Trace]) -> dict[int, tuple[str, str, Any]]:
    """Endpoint -> label, colour and dashes, of those that were cheapest last, in the order in which they came."""
    last: dict[int, int] = {}
    for trace in drawn:
        last[trace.endpoint_id] = last.get(trace.endpoint_id, 0) + trace.last
    cheapest = set(sorted(last, key=lambda key: (last[key], key))[:_LABELLED])
    chosen = {trace.endpoint_id: trace for trace in drawn if trace.endpoint_id in cheapest}
    alike = Counter(trace.label for trace in chosen.values())
    return {
        key: (
            trace.label if alike[trace.label] == 1 else one_line(f"{trace.label} {trace.endpoint}", _LONGEST_LABEL),
            _COLOURS[place % len(_COLOURS)],
            _DASHES[place // len(_COLOURS)],
        )
        for place, (key, trace) in enumerate(chosen.items())
    }


def _trace(axes: "Axes", trace: Trace, colour: str, dashes: Any) -> None:
    def lines(stretches: Iterable[Stretch], **look: Any) -> None:
        for start, end, amount in stretches:
            axes.plot([start, end], [amount / NANO] * 2, color=colour, **look)  # type: ignore[arg-type]

    lines(trace.seen, linestyle=dashes, linewidth=1.8, solid_capstyle="butt", marker=".", markersize=3)
    lines(trace.unseen, linestyle=":", linewidth=1.0, alpha=0.6)
    lines(trace.corrected, linestyle="--", linewidth=0.9, alpha=0.6)
    lines(trace.stated, linestyle="-.", linewidth=0.9, alpha=0.7)
    for start, end, amount, other in trace.between:
        low, high = sorted((amount / NANO, other / NANO))
        axes.fill_between([start, end], low, high, color=colour, alpha=0.25, hatch="///", linewidth=0)  # type: ignore[arg-type]
        axes.plot([end, end], [low, high], color=colour, linewidth=0.8)  # type: ignore[arg-type]


def _scale(axes: "Axes", amounts: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

    positive = [amount for amount in amounts if amount]
    if not positive or max(positive) < _APART * min(positive):
        axes.set_ylim(bottom=0)
    elif len(positive) < len(amounts):
        least = min(positive) / NANO
        axes.set_yscale("symlog", linthresh=least, linscale=0.3)
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=least, subs=[1, 2, 5]))
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _time_axis(axes: "Axes", since: datetime | None, at: datetime) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_xlim(left=since, right=at)  # type: ignore[arg-type]
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time (UTC)")


def _legend(figure: "Figure", named: dict[int, tuple[str, str, Any]], drawn: Sequence[Trace]) -> None:
    """Beside the picture: who is who, how many are grey, and how what is not quite known is drawn."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[tuple[Any, str]] = [
        (Line2D([], [], color=colour, linestyle=dashes, linewidth=1.8), label)
        for label, colour, dashes in named.values()
    ]
    grey = len({trace.endpoint_id for trace in drawn} - named.keys())
    if grey:
        entries.append((Line2D([], [], color=_GREY, linewidth=1.8), f"{grey} more, dearer"))
    looks: tuple[tuple[bool, Any, str], ...] = (
        (any(one.between for one in drawn), Patch(color=_GREY, alpha=0.25, hatch="///"), "changed within"),
        (any(one.unseen for one in drawn), Line2D([], [], color=_GREY, linestyle=":"), "not seen, may be so"),
        (any(one.corrected for one in drawn), Line2D([], [], color=_GREY, linestyle="--"), "corrected since"),
        (any(one.stated for one in drawn), Line2D([], [], color=_GREY, linestyle="-."), "stated, not seen"),
    )
    entries += [(handle, label) for has, handle, label in looks if has]
    if not entries:
        return
    # Named by their place at first: a legend passes over labels that begin with an underscore.
    legend = figure.legend(
        [handle for handle, _ in entries], [str(place) for place in range(len(entries))], loc="outside right upper"
    )
    _relabel(legend, [label for _, label in entries])


def _relabel(legend: "Legend", labels: Sequence[str]) -> None:
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)
        text.set_fontsize("x-small")


def levels(path: Path, found: Sequence["Level"], title: str, *, dark: bool = False) -> None:
    """Draw an index: where each period left it, joined where it is known."""
    with _picture(path, 10, 5, dark=dark) as figure:
        axes = figure.subplots()
        start: datetime | None = found[0].period.since
        height = 100.0
        for one in found:
            if one.index is None:
                start = None
                continue
            before, height = height, float(one.index)
            ends = [start or one.period.until, one.period.until]
            axes.plot(ends, [before if start else height, height], color=_COLOURS[0], linewidth=1.8, marker=".")  # type: ignore[arg-type]
            start = one.period.until
        axes.set_ylabel(f"{iso(found[0].period.since)[:10]} = 100")
        axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
        _time_axis(axes, found[0].period.since, found[-1].period.until)
        axes.set_title(one_line(title, 110))


def breakeven(path: Path, found: Breakeven, title: str, names: dict[str, str], *, dark: bool = False) -> None:
    """Draw what a month costs by volume: on own GPUs, hosted, and at the vendor; `names` say who those two are."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from store.views_compare import short

    volumes = [float(point.volume) for point in found.points]
    low, high = log10(min(volumes)), log10(max(volumes))
    span = max(high - low, 1.0)
    shown = [10 ** (low - 0.1 * span + place * 1.2 * span / 600) for place in range(601)]
    of_one = float(found.gpus.a_day) * MONTH_DAYS
    limit = None if found.gpus.tokens_a_day is None else float(found.gpus.tokens_a_day)
    own = [of_one * (found.gpus.count if limit is None else max(found.gpus.count, ceil(one / limit))) for one in shown]
    with _picture(path, 10, 6.5, dark=dark) as figure:
        axes = figure.subplots()
        label = "own GPUs" + (", if they take as much" if limit is None else "")
        lines: list[tuple[Any, str]] = [(axes.plot(shown, own, color=_COLOURS[3], linewidth=1.8)[0], label)]
        for line, colour in ((found.hosted, _COLOURS[0]), (found.vendor, _COLOURS[1])):
            if line is not None:
                costs = [float(line.per_token) * one * MONTH_DAYS for one in shown]
                drawn = axes.plot(shown, costs, color=colour, linewidth=1.8)[0]
                lines.append((drawn, f"{line.name}: {one_line(names[line.name], _LONGEST_LABEL)}"))
        for one in found.crossings:
            if one.volume is not None:
                at = (float(one.volume), of_one * found.gpus.count)
                axes.plot(*at, marker="o", color=_GREY)
                axes.annotate(
                    short(ceil(one.volume)),
                    at,
                    xytext=(6, -14),
                    textcoords="offset points",
                    fontsize="small",
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(round(value))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("tokens a day")
        axes.set_ylabel(f"USD a month of {MONTH_DAYS} days")
        axes.set_title(one_line(title, 110))
        legend = axes.legend([line for line, _ in lines], [str(place) for place in range(len(lines))], loc="upper left")
        _relabel(legend, [label for _, label in lines])
