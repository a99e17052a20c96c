"""What a bill adds up to: by day, model, provider or whatever else its rows are told apart by."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from collector.bill import Line, Unbilled
from collector.bill_routes import Route
from collector.causes import CAUSES, Cause, Hypothesis, explained
from collector.usage import Invoiced, Usage

_REASONS = 1000
"""Reasons that are counted apart."""


class Placed(NamedTuple):
    """A row, and whose offer it used; what is not known is empty."""

    usage: Usage
    model: str
    provider: str
    ref: str


BY: Mapping[str, Callable[[Placed], str]] = {
    "model": attrgetter("model"),
    "provider": attrgetter("provider"),
    "endpoint": attrgetter("ref"),
    "published": lambda row: row.usage.name.model,
    "day": lambda row: row.usage.at.date().isoformat(),
    "month": lambda row: row.usage.at.date().isoformat()[:7],
    "key": lambda row: row.usage.labels[0],
    "user": lambda row: row.usage.labels[1],
    "project": lambda row: row.usage.labels[2],
}
"""The group of a row."""


@dataclass(slots=True)
class Total:
    """What some rows add up to. Costs are in 1e-15 units of the bill's currency."""

    name: str
    rows: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    priced: int = 0
    femto: int = 0
    """Of the rows that are priced."""
    compared: int = 0
    """Rows that are priced and say what they cost."""
    invoiced: int = 0
    """Of the rows that are compared; or the invoice of the whole."""
    slack: int = 0
    causes: dict[Cause, int] = field(default_factory=dict)
    """Cause -> what is invoiced beyond what it cost."""
    unpriced_invoiced: int = 0
    """What rows without a price say that they cost."""
    doubted: int = 0
    """Rows priced by what was stale, disputed, or stated and not seen."""
    routed: int = 0
    """Rows that were priced and could have gone somewhere."""
    cheapest: int = 0
    """What those would have cost at least."""
    routed_femto: int = 0
    """What those cost."""
    otherwise: dict[tuple[Cause, str], int] = field(default_factory=dict)
    """Hypothesis -> by how much the whole would have cost more."""

    def count(self, usage: Usage) -> None:
        """Add what a row uses."""
        self.rows += 1
        self.requests += usage.requests
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens

    def charge(self, line: Line, cause: Cause | None, hypotheses: Iterable[Hypothesis], route: Route | None) -> None:
        """Add what a row cost, why its invoice differs, and where it would have cost least."""
        self.priced += 1
        self.femto += line.femto
        row = line.offer.row
        self.doubted += row.stale or row.disputed or row.basis == "stated"
        if line.invoiced is not None:
            self.compared += 1
            self.invoiced += line.invoiced.femto
            self.slack += line.invoiced.slack
            if cause is not None and line.invoiced.femto != line.femto:
                self.causes[cause] = self.causes.get(cause, 0) + line.invoiced.femto - line.femto
        told: dict[tuple[Cause, str], int] = {}
        for one in hypotheses:
            told.setdefault((one.cause, one.what), one.femto - line.femto)
        for name, more in told.items():
            self.otherwise[name] = self.otherwise.get(name, 0) + more
        if route is not None:
            self.routed += 1
            self.cheapest += route.femto
            self.routed_femto += line.femto

    def invoice(self, invoiced: Invoiced) -> None:
        """Hold the whole against an invoice."""
        self.compared, self.invoiced, self.slack = self.priced, invoiced.femto, invoiced.slack
        whole = (Hypothesis(cause, what, self.femto + more) for (cause, what), more in self.otherwise.items())
        if invoiced.femto != self.femto:
            self.causes = {explained(self.femto, invoiced, whole): invoiced.femto - self.femto}

    @property
    def difference(self) -> int | None:
        """What is invoiced beyond what it cost; None where nothing could be compared."""
        return sum(self.causes.values()) if self.compared else None


class Totals:
    """The totals of a bill, and of the whole."""

    def __init__(self, by: str) -> None:
        self._of = BY[by]
        self.whole = Total("total")
        self.groups: dict[str, Total] = {}
        self.unpriced: Counter[str] = Counter()
        """Reason -> rows."""

    def of(self, usage: Usage, model: str, provider: str, ref: str = "") -> tuple[Total, Total]:
        """Where a row is added."""
        name = self._of(Placed(usage, model, provider, ref))
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Total(name)
        return group, self.whole

    def leave_out(self, one: Unbilled) -> None:
        """Add a row that has no price."""
        self.leave(one.reason)
        for total in self.of(one.usage, one.model, one.provider):
            total.count(one.usage)
            if one.usage.invoiced is not None:
                total.unpriced_invoiced += one.usage.invoiced.femto

    def leave(self, reason: str) -> None:
        """Count a row that has no price, or that could not even be read."""
        known = reason in self.unpriced or len(self.unpriced) < _REASONS
        self.unpriced[reason if known else "other reasons"] += 1

    def by_name(self) -> list[Total]:
        """The groups in the order of their names."""
        return [self.groups[name] for name in sorted(self.groups)]


def parts(total: Total) -> list[tuple[Cause, int]]:
    """The causes of a difference, in one order."""
    return [(cause, total.causes[cause]) for cause in CAUSES if cause in total.causes]
