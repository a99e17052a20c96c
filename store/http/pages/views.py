"""The tables of pages: which columns, and where each of their cells leads."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from store.catalogue import HeldRow, ModelRow, SourceRow
from store.changes import ChangeRow
from store.conflicts import Conflict
from store.crossovers import Crossing
from store.currency import Conversion
from store.http.pages.cells import Cell, Column, Mark, amount, count, instant, text
from store.http.pages.visit import Visit
from store.intervals import GRACE_S, IntervalRow
from store.moves import percent_text
from store.polls import PollRow
from store.records import TRUST_ORDER, RateCard
from store.routing import Excluded, Route
from store.views import crossing_place, month_text, price_text, short_cost


def _priced(card: RateCard, meter: str) -> Cell:
    """A price; of one that is not told, why not."""
    value = card.amount(meter)
    shown = {"varies": "varies", "unknown": "unknown"}.get(card.state(meter), "")
    return amount(value, price_text(card, meter) if value is not None else shown)


def evidence(visit: Visit, row: IntervalRow) -> str:
    """Where the proof of a price is."""
    return visit.link("/endpoint", endpoint=row.ref)


def offered_by(visit: Visit, row: IntervalRow) -> Cell:
    """Provider and variant."""
    name = f"{row.provider} {row.variant}".rstrip()
    return text(name, visit.link("/provider", provider=row.provider))


def _proof(visit: Visit, row: IntervalRow) -> Cell:
    return Cell(text="evidence", href=evidence(visit, row), label=f"evidence for {row.ref[:200]}")


def _of_source(visit: Visit, name: str) -> Cell:
    return text(name, visit.link("/source", source=name))


def _of_model(visit: Visit, name: str | None) -> Cell:
    return text(name, visit.link("/model", model=name) if name else "")


def marks(visit: Visit, row: IntervalRow) -> tuple[Mark, ...]:
    """What is to be doubted about a price, and what else to know, each with where to look."""
    at = {
        "stale": visit.link("/source", source=row.source),
        "disputed": visit.link("/held", source=row.source),
        "contradicted": visit.link("/conflicts", model=row.model, provider=row.provider),
    }
    proof = evidence(visit, row)
    notes = [Mark("conditions", proof, "note")] if row.card.overrides else []
    if isinstance(row.conversion, Conversion):
        notes.append(Mark(f"from {row.conversion.quoted}", proof, "note"))
    return (*(Mark(word, at.get(word, proof)) for word in row.doubts), *notes)


def endpoints(visit: Visit, *, model: bool = False) -> Iterator[Column[IntervalRow]]:
    """Offers as they are in force."""
    if model:
        yield Column("model", "Model", lambda row: _of_model(visit, row.model))
        yield Column("variant", "Variant", lambda row: text(row.variant))
    else:
        yield Column("provider", "Provider", lambda row: offered_by(visit, row))
    yield Column("input", "Input", lambda row: _priced(row.card, "input"), number=True)
    yield Column("output", "Output", lambda row: _priced(row.card, "output"), number=True)
    yield Column("cache_read", "Cache read", lambda row: _priced(row.card, "cache_read"), number=True)
    yield Column("cache_write", "Cache write", lambda row: _priced(row.card, "cache_write"), number=True)
    yield Column("context", "Context", lambda row: count(row.context_length), number=True)
    yield Column("max_output", "Max output", lambda row: count(row.max_output_tokens), number=True)
    yield Column("quantization", "Weights", lambda row: text(row.quantization))
    yield Column("source", "Source", lambda row: _of_source(visit, row.source))
    yield Column("seen", "Last seen", lambda row: instant(row.last_seen))
    yield Column("doubts", "Doubts", lambda row: _marked(visit, row))
    yield Column("evidence", "Evidence", lambda row: _proof(visit, row))


def _marked(visit: Visit, row: IntervalRow) -> Cell:
    found = marks(visit, row)
    return Cell(marks=found, key=" ".join(mark.word for mark in found) or None)


def intervals(visit: Visit) -> Iterator[Column[IntervalRow]]:
    """The past of offers."""
    yield Column("provider", "Provider", lambda row: offered_by(visit, row))
    yield Column("from", "From", lambda row: instant(row.stated_since if row.basis == "stated" else row.first_seen))
    yield Column("not_before", "Not yet at", lambda row: instant(row.not_before))
    yield Column("to", "To", lambda row: instant(row.stated_until if row.basis == "stated" else row.ended))
    yield Column("ended", "Ended", lambda row: text(row.end_reason or ""))
    yield Column("input", "Input", lambda row: _priced(row.card, "input"), number=True)
    yield Column("output", "Output", lambda row: _priced(row.card, "output"), number=True)
    yield Column("cache_read", "Cache read", lambda row: _priced(row.card, "cache_read"), number=True)
    yield Column("source", "Source", lambda row: _of_source(visit, row.source))
    yield Column("doubts", "Doubts", lambda row: _marked(visit, row))
    yield Column("document", "Document", lambda row: _document(visit, row.document))


def _document(visit: Visit, sha256: str | None) -> Cell:
    if sha256 is None:
        return Cell()
    return Cell(text=sha256[:12], href=visit.link(f"/document/{sha256}"), tone="code", label=f"document {sha256[:12]}")


class Moved(NamedTuple):
    """All that moved of one endpoint at one instant."""

    rows: tuple[ChangeRow, ...]
    ratio: Fraction | None
    """How many times the furthest of its prices rose or fell; None: from or to nothing."""

    @property
    def first(self) -> ChangeRow:
        """What is the same in all of them."""
        return self.rows[0]


def moved(found: Iterable[ChangeRow]) -> list[Moved]:
    """What moved, by endpoint and instant, in the order of `found`."""
    return [
        Moved(rows, max((_ratio(row) for row in rows), key=_far))
        for _, group in groupby(found, key=lambda row: (row.seen, row.event, row.source, row.provider, row.endpoint))
        if (rows := tuple(group))
    ]


def biggest(found: Iterable[Moved]) -> list[Moved]:
    """The furthest first."""
    return sorted(found, key=lambda one: _far(one.ratio), reverse=True)


def _far(ratio: Fraction | None) -> tuple[bool, Fraction]:
    return ratio is None, ratio or Fraction(0)


def _ratio(row: ChangeRow) -> Fraction | None:
    """1 where there is nothing to compare."""
    if row.kind != "price" or row.old is None or row.new is None or row.old_state is None or row.new_state is None:
        return Fraction(1)
    low, high = sorted((Fraction(row.old), Fraction(row.new)))
    return high / low if low else None


def moves(visit: Visit) -> Iterator[Column[Moved]]:
    """What moved."""
    yield Column("model", "Model", lambda one: _of_model(visit, one.first.model))
    yield Column(
        "provider",
        "Provider",
        lambda one: text(
            f"{one.first.provider} {one.first.variant}".rstrip(), visit.link("/provider", provider=one.first.provider)
        ),
    )
    yield Column("seen", "Seen", lambda one: instant(one.first.seen))
    yield Column("event", "Event", lambda one: text(one.first.event))
    yield Column("furthest", "Moved", _furthest, number=True)
    yield Column("what", "What moved", _what)
    yield Column("source", "Source", lambda one: _of_source(visit, one.first.source))
    yield Column("evidence", "Evidence", lambda one: _shown_by(visit, one.first))


def _shown_by(visit: Visit, row: ChangeRow) -> Cell:
    """The proof of what came; of what went, that of what was there before."""
    ref = f"{row.source}:{row.provider}:{row.endpoint}"
    link = visit.link("/endpoint", endpoint=ref)
    return Cell(text="evidence", href=link, label=f"evidence for {ref[:200]}")


def _furthest(one: Moved) -> Cell:
    row = max(one.rows, key=lambda row: _far(_ratio(row)))
    if row.change_percent is None:
        return Cell(text="–", tone="faint", key=None if one.ratio is not None else 10**9)
    down = row.change_percent.startswith("-")
    return Cell(
        text=f"{'−' if down else '+'}{row.change_percent.removeprefix('-')} %",
        key=Fraction(row.change_percent),
        tone="down" if down else "up",
    )


_PARTS = 3
"""Meters of a move that are told in a table."""


def _what(one: Moved) -> Cell:
    told = [f"{row.meter} {_value(row.old, row.old_state)} → {_value(row.new, row.new_state)}" for row in one.rows]
    more = f", and {len(told) - _PARTS} more" if len(told) > _PARTS else ""
    return Cell(text="; ".join(part[:120] for part in told[:_PARTS]) + more, tone="wide")


def _value(value: str | None, state: str | None) -> str:
    if state in {"free", "varies", "unknown"}:
        return state
    return "–" if value is None else value


def contradictions(visit: Visit) -> Iterator[Column[Conflict]]:
    """What two sources state differently."""
    yield Column("model", "Model", lambda one: _of_model(visit, one.row.model))
    yield Column("provider", "Provider", lambda one: offered_by(visit, one.row))
    yield Column(
        "meter", "Meter", lambda one: text(" ".join(filter(None, (one.difference.meter, one.difference.case))))
    )
    yield Column("source", "Source", lambda one: _claim(visit, one.row))
    yield Column("value", "says", lambda one: amount(one.difference.value, one.difference.text), number=True)
    yield Column("other", "Other", lambda one: _claim(visit, one.other))
    yield Column(
        "other_value", "says", lambda one: amount(one.difference.other, one.difference.other_text), number=True
    )
    yield Column("apart", "Apart", _apart, number=True)
    yield Column("agreeing", "Agree", lambda one: Cell(text=f"{1 + len(one.agreeing)} : {1 + len(one.other_agreeing)}"))
    yield Column("since", "Since", lambda one: instant(one.since))


def _claim(visit: Visit, row: IntervalRow) -> Cell:
    """A source, by way of its evidence."""
    return Cell(
        text=row.source,
        href=evidence(visit, row),
        label=f"evidence for {row.ref[:200]}",
        key=row.source,
        marks=(Mark("stale", visit.link("/source", source=row.source)),) if row.stale else (),
    )


def _apart(one: Conflict) -> Cell:
    told = percent_text(one.difference.value, one.difference.other)
    ratio = one.difference.ratio
    shown = "–" if told is None else f"{told.replace('-', '−')} %"
    return Cell(text=shown, key=ratio if ratio is not None else 10**9)


def held(visit: Visit) -> Iterator[Column[HeldRow]]:
    """What is kept out of the tape."""
    yield Column("source", "Source", lambda row: _of_source(visit, row.source))
    yield Column("subject", "Offer as published", lambda row: text(row.subject, tone="wide"))
    yield Column("rule", "Rule", lambda row: text(row.rule))
    yield Column("message", "Why", lambda row: text(row.message, tone="wide"))
    yield Column("accepted", "On the tape", lambda row: _both(row.accepted, visit.link("/endpoint", endpoint=row.ref)))
    yield Column("card", "It says", lambda row: _both(row.card, ""))
    yield Column("since", "Since", lambda row: instant(row.first_seen))
    yield Column("document", "Document", lambda row: _document(visit, row.document))
    yield Column("held", "Name", lambda row: text(row.held_ref, tone="code"))


def _both(card: RateCard | None, href: str) -> Cell:
    if card is None:
        return Cell(text="–", tone="faint")
    return Cell(text=" / ".join(price_text(card, meter) for meter in ("input", "output")), href=href, tone="pair")


def sources(visit: Visit) -> Iterator[Column[SourceRow]]:
    """How sources fare."""
    yield Column("source", "Source", lambda row: _of_source(visit, row.source))
    yield Column("health", "Health", lambda row: Cell(marks=(health(visit, row),), key=health(visit, row).word))
    yield Column("trust", "Trust", lambda row: Cell(text=trust(row.trust), key=row.trust))
    yield Column("success", "Last success", lambda row: instant(row.last_success))
    yield Column("every", "Polled every", lambda row: Cell(text=period(row.every_s), key=row.every_s), number=True)
    yield Column("endpoints", "Endpoints", lambda row: count(row.endpoints), number=True)
    yield Column("changes", "Changes, 24 h", lambda row: count(row.changes), number=True)
    yield Column("held", "Held", lambda row: count(row.held), number=True)
    yield Column("failures", "Failures", lambda row: count(row.failures), number=True)
    yield Column("error", "Last error", lambda row: text(row.last_error))


def health(visit: Visit, row: SourceRow) -> Mark:
    """`fresh`, `stale` or `failing`, as of when it is asked."""
    link = visit.link("/source", source=row.source)
    late = timedelta(seconds=2 * row.every_s + GRACE_S)
    if row.failures:
        return Mark("failing", link)
    if row.last_success is None or visit.ask.doors.now() - row.last_success > late:
        return Mark("stale", link)
    return Mark("fresh", link, "good")


def trust(rank: int) -> str:
    """`first-party`, ..."""
    return TRUST_ORDER[rank] if rank < len(TRUST_ORDER) else str(rank)


def period(seconds: int) -> str:
    """`30 min`, `12 h`, `7 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds % size == 0 and (seconds > size or unit == "min"):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def models(visit: Visit) -> Iterator[Column[ModelRow]]:
    """Models on offer."""
    yield Column("model", "Model", lambda row: _of_model(visit, row.model))
    yield Column("endpoints", "Endpoints", lambda row: count(row.endpoints), number=True)
    yield Column("providers", "Providers", lambda row: count(row.providers), number=True)
    yield Column("sources", "Sources", lambda row: count(row.sources), number=True)
    yield Column("input", "Input from", lambda row: amount(row.input), number=True)
    yield Column("output", "Output from", lambda row: amount(row.output), number=True)
    yield Column("free", "Free", lambda row: count(row.free or None), number=True)
    yield Column("context", "Context to", lambda row: count(row.context_length), number=True)
    yield Column("disputed", "Disputed", lambda row: count(row.disputed or None), number=True)


def routes(visit: Visit, currency: str, *, saving: bool, month: bool) -> Iterator[Column[Route]]:
    """Where traffic can go."""
    yield Column("rank", "Rank", lambda one: Cell(text=f"{one.rank}{'=' if one.tied else ''}"))
    yield Column("provider", "Provider", lambda one: offered_by(visit, one.row))
    yield Column("cost", f"{currency} a request", lambda one: Cell(text=short_cost(one.spend.request)), number=True)
    if month:
        yield Column("month", f"{currency} a month", lambda one: Cell(text=month_text(one)), number=True)
    if saving:
        yield Column(
            "saving",
            "Saves",
            lambda one: Cell(text="" if one.saving is None else short_cost(one.saving).replace("-", "−")),
            number=True,
        )
    yield Column("input", "Input", lambda one: amount(one.cost.input), number=True)
    yield Column("output", "Output", lambda one: amount(one.cost.output), number=True)
    yield Column("cache_read", "Cache read", lambda one: amount(one.cost.cache_read), number=True)
    yield Column("context", "Context", lambda one: count(one.row.context_length), number=True)
    yield Column("conditions", "Conditions", lambda one: text("; ".join(one.cost.conditions)))
    yield Column("source", "Source", lambda one: _of_source(visit, one.row.source))
    yield Column("doubts", "Doubts", lambda one: _marked(visit, one.row))
    yield Column("evidence", "Evidence", lambda one: _proof(visit, one.row))


def excluded(visit: Visit) -> Iterator[Column[Excluded]]:
    """What is no route."""
    yield Column("provider", "Provider", lambda one: offered_by(visit, one.row))
    yield Column("reason", "Why", lambda one: text(one.reason))
    yield Column("source", "Source", lambda one: _of_source(visit, one.row.source))
    yield Column("evidence", "Evidence", lambda one: _proof(visit, one.row))


def crossings(visit: Visit) -> Iterator[Column[Crossing]]:
    """Who is cheapest, from where to where."""
    yield Column("by", "By", lambda one: text(one.by))
    yield Column("from", "From", lambda one: Cell(text=crossing_place(one.since)), number=True)
    yield Column("to", "To", lambda one: Cell(text=crossing_place(one.until)), number=True)
    yield Column("provider", "Cheapest", lambda one: offered_by(visit, one.row))
    yield Column("start", "A request from", lambda one: _request(one.cost_since, one.currency), number=True)
    yield Column("end", "to", lambda one: _request(one.cost_until, one.currency), number=True)
    yield Column("source", "Source", lambda one: _of_source(visit, one.row.source))
    yield Column("evidence", "Evidence", lambda one: _proof(visit, one.row))


def _request(femto: Fraction, currency: str) -> Cell:
    return Cell(text=f"{short_cost(femto)} {currency}")


def polls(visit: Visit) -> Iterator[Column[PollRow]]:
    """What was asked of a source."""
    tones: dict[str, str] = {"ok": "good"}
    link = visit.again()
    yield Column("at", "Polled", lambda row: instant(row.at))
    yield Column(
        "outcome", "Outcome", lambda row: Cell(marks=(Mark(row.outcome, link, tones.get(row.outcome, "doubt")),))
    )
    yield Column("quotes", "Quotes", lambda row: count(row.quotes), number=True)
    yield Column("changes", "Changes", lambda row: count(row.changes), number=True)
    yield Column("held", "Held", lambda row: count(row.held), number=True)
    yield Column("bytes", "Bytes", lambda row: count(row.body_bytes), number=True)
    yield Column("message", "Message", lambda row: text(row.message or row.code))
    yield Column("documents", "Evidence kept", lambda row: _documents(visit, row))


def _documents(visit: Visit, row: PollRow) -> Cell:
    if row.pruned is not None:
        return Cell(text=f"dropped on {row.pruned:%Y-%m-%d}, as asked for", tone="faint")
    return Cell(
        marks=tuple(Mark(one.sha256[:12], visit.link(f"/document/{one.sha256}"), "code") for one in row.documents)
    )
