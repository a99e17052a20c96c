"""How many tokens go where, as a file says it: the weights of an index."""

import csv
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from store.blend import NOTHING, Volume
from store.errors import QueryError
from store.instants import EPOCH, parse_instant
from store.periods import Period
from store.text import one_line

MOST_LINES = 100_000
_COLUMNS = {"model", "endpoint", "volume", "input", "output", "since"}
_NUMBER = re.compile(r"[0-9]{1,24}(\.[0-9]{1,24})?", re.ASCII)


@dataclass(slots=True)
class Course:
    """A volume over time."""

    since: list[datetime] = field(default_factory=list)
    """From when on each holds, ascending."""
    volumes: list[Volume] = field(default_factory=list)

    def at(self, instant: datetime) -> Volume:
        """What holds at an instant; nothing before the first."""
        place = bisect_right(self.since, instant)
        return self.volumes[place - 1] if place else NOTHING

    def over(self, period: Period) -> tuple[Volume, Volume]:
        """What holds at the beginning of a period, and at its end."""
        return self.at(period.since), self.at(period.until)


@dataclass(frozen=True, slots=True)
class Weights:
    """Volumes by model, and by endpoint."""

    models: Mapping[str, Course]
    """As the file names them: of all endpoints of a model that have none of their own."""
    endpoints: Mapping[str, Course]
    """By `ref`."""

    def renamed(self, name_of: Callable[[str], str]) -> "Weights":
        """The same with the models' canonical names.

        Raises: QueryError if two are one.
        """
        models = {name_of(name): course for name, course in self.models.items()}
        if len(models) < len(self.models):
            raise QueryError("two models of the file are one")
        return Weights(models, self.endpoints)


def read_weights(path: Path, mixture: Volume, now: datetime) -> Weights:
    """The volumes of a CSV, each line of a `model` or of an `endpoint` (SOURCE:PROVIDER:ENDPOINT).

    Its tokens are `input` and `output`, or a `volume` of both in a mixture. A line with `since` holds from that instant
    on, in place of an earlier one; without, from ever.

    Raises: QueryError, naming the line.
    """
    name = one_line(str(path), 200)
    found: tuple[dict[str, dict[datetime, Volume]], dict[str, dict[datetime, Volume]]] = ({}, {})
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            heads = rows.fieldnames or []
            if not set(heads) <= _COLUMNS or len(set(heads)) != len(heads) or not {"model", "endpoint"} & set(heads):
                raise QueryError(f"{name}: expected headings are model or endpoint, volume or input and output, since")
            for row in rows:
                where = f"{name}: line {rows.line_num}"
                if rows.line_num > MOST_LINES:
                    raise QueryError(f"{where}: more than {MOST_LINES} lines")
                _take(row, mixture, now, where, found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise QueryError(f"{name} cannot be read: {one_line(str(error), 200)}") from None
    if not any(found):
        raise QueryError(f"{name}: no line says how much goes where")
    models, endpoints = ({who: _course(told) for who, told in one.items()} for one in found)
    return Weights(models, endpoints)


def _take(
    row: Mapping[str | None, str | None],
    mixture: Volume,
    now: datetime,
    where: str,
    found: tuple[dict[str, dict[datetime, Volume]], dict[str, dict[datetime, Volume]]],
) -> None:
    cells = {name: text.strip() for name, text in row.items() if name is not None and isinstance(text, str)}
    if len(cells) != len(row):
        raise QueryError(f"{where}: as many cells as headings are expected")
    model, endpoint = cells.get("model", ""), cells.get("endpoint", "")
    if bool(model) == bool(endpoint):
        raise QueryError(f"{where}: either a model or an endpoint is expected")
    try:
        since = parse_instant(cells["since"], now) if cells.get("since") else EPOCH
    except QueryError as error:
        raise QueryError(f"{where}: {error}") from None
    told = (found[0] if model else found[1]).setdefault(model or endpoint, {})
    if since in told:
        raise QueryError(f"{where}: {one_line(model or endpoint, 80)} stands twice")
    told[since] = _volume(cells, mixture, where)


def _volume(cells: Mapping[str, str], mixture: Volume, where: str) -> Volume:
    told = {name: _tokens(cells[name], where) for name in ("volume", "input", "output") if cells.get(name)}
    if not told or ("volume" in told and len(told) > 1):
        raise QueryError(f"{where}: either a volume is expected, or input and output")
    if "volume" in told:
        return mixture.times(told["volume"])
    return Volume(told.get("input", Fraction(0)), told.get("output", Fraction(0)))


def _tokens(text: str, where: str) -> Fraction:
    if _NUMBER.fullmatch(text) is None:
        raise QueryError(f"{where}: {one_line(text, 40)!r} is not a number of tokens")
    return Fraction(Decimal(text))


def _course(told: Mapping[datetime, Volume]) -> Course:
    order = sorted(told)
    return Course(order, [told[since] for since in order])
