"""How comparisons and the page of a model are shown: columns for programs, and tables with a column for each model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from textwrap import wrap
from typing import NamedTuple

from store.columns import Column, Columns
from store.compare import WORKLOADS, Property
from store.currency import USD
from store.show import TableColumn, TableColumns, display_width
from store.text import ELLIPSIS, printable
from store.units import NANO, decimal_text

PROPERTIES: "Columns[Property]" = (
    Column("model", lambda one: one.model),
    Column("property", lambda one: one.name),
    Column("value", lambda one: one.value),
    Column("unit", lambda one: one.unit),
    Column("note", lambda one: one.note),
    Column("sources", lambda one: list(one.sources)),
    Column("disputed", lambda one: one.disputed),
    Column("ref", lambda one: one.ref),
    Column("place", lambda one: one.place),
)

_NAMED = 12
"""So many of a list are named in a table."""
_LINES = 3
"""No cell of a table has more."""
_GAP = 2
_NARROWEST = 12

Found = Mapping[str, Sequence[Property]]
"""What is known of one model, by property; of a list, each thing on it."""


class Line(NamedTuple):
    """One line of a table in which models stand side by side."""

    label: str
    cells: tuple[str, ...]


def by_name(properties: Sequence[Property]) -> Found:
    """What is known of one model, by property."""
    found: dict[str, list[Property]] = {}
    for one in properties:
        found.setdefault(one.name, []).append(one)
    return found


def room(found: Sequence[Found], width: int | None) -> int | None:
    """Cells of a terminal that each model has beside the others in a width; None: as many as it takes."""
    if width is None:
        return None
    longest = max(len(label) for label, _ in told(found[0], USD))
    return max(_NARROWEST, (width - longest) // len(found) - _GAP)


def lines(found: Sequence[Found], room: int | None, *, currency: str) -> Iterator[Line]:
    """The lines of a comparison, in cells of so much room."""
    cells_of = [dict(told(one, currency)) for one in found]
    for label in cells_of[0]:
        cells = [_wrapped(one[label], room, _LINES) for one in cells_of]
        for place in range(max(map(len, cells))):
            yield Line(label if place == 0 else "", tuple(cell[place] if place < len(cell) else "" for cell in cells))


def compared(models: Sequence[str], room: int | None) -> "TableColumns[Line]":
    """A line for each property, a column for each model."""
    slugs = [model.rpartition("/")[2] for model in models]
    return (
        TableColumn("", lambda line: line.label),
        *(_column(place, _wrapped(slug, room, 1)[0]) for place, slug in enumerate(slugs)),
    )


def _column(place: int, title: str) -> "TableColumn[Line]":
    return TableColumn(title, lambda line: line.cells[place])


def _wrapped(text: str, room: int | None, most: int) -> list[str]:
    """A text in lines of so many cells of a terminal, and so many lines at most; a cut is visible."""
    if room is None or display_width(text) <= room:
        return [text]
    found = _folded(text, room)
    return found if len(found) <= most else [*found[: most - 1], f"{found[most - 1][: room - 1]}{ELLIPSIS}"]


def _folded(text: str, room: int) -> list[str]:
    """A text in lines; one of other letters than ours in lines half as long, for they may be twice as wide."""
    shown = printable(text)
    return wrap(shown, room if shown.isascii() else room // 2)


def folded(pairs: Iterable[tuple[str, str]], width: int | None) -> Iterator[tuple[str, str]]:
    """Names and values, each folded into a width; None: as long as they are."""
    shown = list(pairs)
    room = None if width is None else max(_NARROWEST, width - max(len(name) for name, _ in shown) - _GAP)
    for name, text in shown:
        yield name, text if room is None else "\n".join(_folded(text, room))


def told(found: Found, currency: str) -> Iterator[tuple[str, str]]:
    """Labels and cells of one model; `-` is unknown."""
    sign = "$" if currency == USD else currency
    yield "model", found["author"][0].model
    yield "released", _with(_cell(found, "release_date"), _newer(found))
    yield "knowledge to", _cell(found, "knowledge_cutoff")
    yield "status", _noted(found, "status")
    yield "successor", _noted(found, "successor")
    yield "deprecated on", _noted(found, "deprecated_on")
    yield "retires on", _noted(found, "retires_on")
    yield "open weights", _cell(found, "open_weights").replace("true", "yes").replace("false", "no")
    yield "licence", _cell(found, "licence")
    yield "parameters", _with(_billions(found, "total_parameters"), f"{_billions(found, 'active_parameters')} active")
    yield (
        "context",
        _with(
            _cell(found, "context_length"),
            f"{_cell(found, 'context_pages')} pages",
            _times(found, "context_ratio", least=""),
        ),
    )
    yield "largest prompt", _with(_cell(found, "largest_prompt"), _place(found, "largest_prompt"))
    yield "max output", _cell(found, "max_output_tokens")
    yield "takes", _list(found, "input_modalities")
    yield "gives", _list(found, "output_modalities")
    yield "features", _list(found, "features")
    yield "providers", _cell(found, "providers")
    yield "endpoints", _with(_cell(found, "endpoints"), _left_out(found))
    yield f"author's {sign}/M", _price(found, "first_party")
    yield f"cheapest {sign}/M", _price(found, "cheapest")
    yield f"dearest {sign}/M", _price(found, "dearest")
    yield "spread", _with(_times(found, "spread") or "-")
    for name, workload in WORKLOADS.items():
        label = f"{workload.input_tokens * 100 // (workload.input_tokens + workload.output_tokens)} % input {sign}/M"
        yield label, _with(_cell(found, f"{name}_cost"), _times(found, f"{name}_ratio"), _place(found, f"{name}_cost"))
    for name in found:
        if name.startswith("month_at_"):
            yield f"{short(int(name.split('_')[2]))} tokens/day", _a_month(_cell(found, name), currency)


def _first(found: Found, name: str) -> Property | None:
    return found[name][0] if name in found else None


def _cell(found: Found, name: str) -> str:
    one = _first(found, name)
    if one is None or one.value is None:
        return "-"
    return f"{one.value} (disputed)" if one.disputed and not one.ref else one.value


def _with(text: str, *more: str) -> str:
    """What is known, with what else there is to say of it; of what is unknown there is nothing."""
    return text if text == "-" else ", ".join((text, *filter(None, more)))


def _noted(found: Found, name: str) -> str:
    one = _first(found, name)
    note = one.note if one else ""
    return f"{_cell(found, name)}{f' ({note})' if note else ''}"


def _newer(found: Found) -> str:
    one = _first(found, "months_newer")
    return f"+{one.value} months" if one and one.value and one.value != "0" else ""


def _billions(found: Found, name: str) -> str:
    """`116.8B`, to a tenth."""
    one = _first(found, name)
    if one is None or one.value is None:
        return "-"
    return f"{decimal_text(round(Fraction(one.value) / 10**8) * NANO // 10)}B"


def _times(found: Found, name: str, *, least: str = "1x") -> str:
    one = _first(found, name)
    if one is None or one.value is None:
        return ""
    return least if one.value == "1" else f"{one.value}x"


def _left_out(found: Found) -> str:
    one = _first(found, "endpoints_left_out")
    return f"{one.value} left out: {one.note}" if one and one.note else ""


def _list(found: Found, name: str) -> str:
    """What most providers name first, and what less than half of them name, with how many do."""
    listed = [one for one in found.get(name, ()) if one.value is not None]
    named = ", ".join(_listed(one) for one in listed[:_NAMED])
    more = len(listed) - _NAMED
    return _with(named or "-", f"{more} more" if more > 0 else "")


def _listed(one: Property) -> str:
    if one.naming is None or 2 * one.naming[0] >= one.naming[1]:
        return str(one.value)
    return f"{one.value} ({one.naming[0]} of {one.naming[1]})"


def _a_month(cost: str, currency: str) -> str:
    if cost == "-":
        return cost
    return f"{f'${cost}' if currency == USD else f'{cost} {currency}'} a month"


def _price(found: Found, place: str) -> str:
    """`0.03 / 0.17, coreweave fp4, stale`."""
    one = _first(found, f"{place}_input")
    if one is None or not one.ref:
        return "-"
    return f"{_cell(found, f'{place}_input')} / {_cell(found, f'{place}_output')}, {one.place}"


def _place(found: Found, name: str) -> str:
    one = _first(found, name)
    return one.place if one else ""


def short(count: int) -> str:
    """`1M`, `2.5B`: a count of tokens in words."""
    for letter, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            return f"{decimal_text(round(Fraction(count * 1000, size)) * (NANO // 1000))}{letter}"
    return str(count)
