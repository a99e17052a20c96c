"""How a break-even is shown: fields that say what is held against what, and a table of volumes."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from store.breakeven import GPU, GPU_RATE_SOURCE, Breakeven, Crossing, Line, Point
from store.columns import Column, Columns
from store.compare import MONTH_DAYS, input_share, place
from store.routing import Workload
from store.show import TableColumn, TableColumns
from store.units import NANO, decimal_text
from store.views_compare import short

MEAN_MONTH_HOURS = 730
"""A year of 365 days in twelve parts, as rents are often told by."""


def money(amount: Fraction) -> str:
    """A plain decimal, rounded once to 1e-9."""
    return decimal_text(round(amount * NANO))


def columns(found: Breakeven, request: Workload, against: str) -> "Columns[Point]":
    """The columns for programs: those of a volume, then what is the same in every row."""
    crossings = {one.line.name: one for one in found.crossings}

    def constant(name: str, value: str | int | None) -> "Column[Point]":
        return Column(name, lambda _: value)

    def of_line(name: str, line: Line | None) -> "Columns[Point]":
        return (
            constant(f"{name}_place", None if line is None else place(line.route)),
            constant(f"{name}_ref", None if line is None else line.route.row.ref),
            constant(f"own_equals_{name}", _tokens(crossings[name].volume) if name in crossings else None),
        )

    return (
        Column("tokens_a_day", lambda one: _tokens(one.volume)),
        Column("what", lambda one: one.what),
        Column("gpus", lambda one: one.gpus),
        Column("own", lambda one: money(one.own)),
        Column("hosted", lambda one: None if one.hosted is None else money(one.hosted)),
        Column("vendor", lambda one: None if one.vendor is None else money(one.vendor)),
        Column("cheapest", lambda one: list(one.cheapest)),
        Column("tokens_per_second", lambda one: _per_second(one.volume)),
        constant("currency", "USD"),
        constant("month_days", MONTH_DAYS),
        constant("input_tokens", request.input_tokens),
        constant("output_tokens", request.output_tokens),
        constant("gpu_rate", money(found.gpus.rate)),
        constant("gpu_tokens_a_day", _tokens(found.gpus.tokens_a_day)),
        *of_line("hosted", found.hosted),
        *of_line("vendor", found.vendor),
        constant("vendor_model", against if found.vendor else None),
    )


def _tokens(volume: Fraction | None) -> int | None:
    """Whole tokens, rounded up."""
    return None if volume is None else ceil(volume)


def _per_second(volume: Fraction) -> str:
    return decimal_text(round(volume / 864) * (NANO // 100))


def points(found: Breakeven) -> "TableColumns[Point]":
    """What each volume costs; own GPUs that nobody knows to take it are cheapest with a question mark."""
    own = "own?" if found.gpus.tokens_a_day is None else "own"
    return (
        TableColumn("tokens a day", lambda one: short(ceil(one.volume)), right=True),
        TableColumn("a second", lambda one: short(ceil(one.volume / 86_400)), spare=2, right=True),
        TableColumn("GPUs", lambda one: str(one.gpus), right=True),
        TableColumn("own $/month", lambda one: _cents(one.own), right=True),
        TableColumn("hosted", lambda one: "-" if one.hosted is None else _cents(one.hosted), right=True),
        TableColumn("vendor", lambda one: "-" if one.vendor is None else _cents(one.vendor), right=True),
        TableColumn("cheapest", lambda one: ", ".join(one.cheapest).replace("own", own)),
        TableColumn("", lambda one: "" if one.what == "asked" else one.what, spare=1),
    )


def _cents(amount: Fraction) -> str:
    """To the cent; what is less than a cent is told in full."""
    return money(amount) if amount < Fraction(1, 100) else f"{decimal_text(round(amount * 100) * (NANO // 100))}"


def fields(found: Breakeven, request: Workload, against: str, *, rate_is_given: bool) -> Iterator[tuple[str, str]]:
    """What is held against what, and where the lines cross."""
    gpus = found.gpus
    named = "GPU, rate as given" if rate_is_given else f"{GPU}, {GPU_RATE_SOURCE}"
    day = gpus.a_day * gpus.count
    mean_month = money(gpus.rate * gpus.count * MEAN_MONTH_HOURS)
    month = f"${money(day * MONTH_DAYS)} a month of {MONTH_DAYS} days (${mean_month} of {MEAN_MONTH_HOURS} h)"
    yield "own", f"{gpus.count} x {money(gpus.rate)} $/h ({named}): ${money(day)} a day, {month}"
    limit = gpus.tokens_a_day
    yield "a GPU takes", "unknown (--tokens-per-second)" if limit is None else f"{short(ceil(limit))} tokens a day"
    yield "hosted", _line(found.hosted, request)
    yield "vendor", "-" if found.vendor is None else f"{against}: {_line(found.vendor, request)}"
    for one in found.crossings:
        yield f"own = {one.line.name}", _crossing(found, one)


def _line(line: Line | None, request: Workload) -> str:
    if line is None:
        return "- (no offer with a price)"
    cost = line.route.cost
    prices = " / ".join("-" if amount is None else decimal_text(amount) for amount in (cost.input, cost.output))
    blend = money(line.per_token * 1_000_000)
    return f"{prices} $/M, {place(line.route)}: {blend} $/M at {input_share(request)}"


def _crossing(found: Breakeven, one: Crossing) -> str:
    gpus = found.gpus
    if one.volume is None:
        assert gpus.tokens_a_day is not None
        there = gpus.tokens_a_day * one.line.per_token
        return f"never: what a full GPU takes for ${_cents(gpus.a_day)} a day costs ${_cents(there)} there"
    told = f"{short(ceil(one.volume))} tokens a day, {short(ceil(one.volume / 86_400))} a second"
    if gpus.tokens_a_day is None:
        return f"{told}, if {'a GPU takes' if gpus.count == 1 else f'{gpus.count} GPUs take'} as many"
    if one.again is None:
        return told
    start, end = (short(ceil(volume)) for volume in one.again)
    return f"{told}; dearer again from {start} to {end}, with one GPU more"
