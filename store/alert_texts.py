"""What is said of an alert: a title and a few lines of plain text.

What upstreams publish is hostile until proven otherwise: all of it is made one printable line (`store.text`).
"""

from collections.abc import Iterable, Iterator

from store.alert_news import Announced, Failing, Held, Moved, Offer, Stale
from store.instants import from_millis, iso
from store.moves import Move, card_moves
from store.records import RateCard
from store.routing import Route
from store.text import one_line
from store.units import METERS

TITLE_LIMIT = 200
"""Characters; several channels take no more."""
SHOWN = 20
"""Lines of prices."""
MESSAGE_LIMIT = 1800
"""Characters of several alerts in one message; many a chat takes 2000."""
ID_LINE = len("\nid: 0123456789abcdef\n\n")

_HAPPENED = {
    "arrival": "offered",
    "return": "offered again",
    "change": "changed",
    "withdrawal": "withdrawn",
    "correction": "corrected",
}

Text = tuple[str, str]
"""Title and body."""


def text_of(title: str, *lines: str) -> Text:
    """A title and the lines of a body, each on one line; empty ones are left out."""
    told = [one_line(line) for line in lines if line]
    return one_line(title, TITLE_LIMIT), "\n".join(told)


def moved(one: Moved, moves: Iterable[Move]) -> Text:
    """Of prices that moved, all of one offer."""
    currency = _currency(one.new or one.old)
    lines = [_move(move, currency) for move in moves]
    about = "corrected: " if one.event == "correction" else ""
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return text_of(
        f"{_named(one.offer)}: {about}{lines[0]}{more}", *_first(lines), *_when(one), *_where(one.offer, one.document)
    )


def below(one: Moved, meter: str, amount: str, value: str) -> Text:
    """Of a price that fell below a value, or came below it."""
    return text_of(
        f"{_named(one.offer)}: {meter} {amount} USD, below {value}",
        f"{meter}: {amount} USD {_per(meter)}",
        *_when(one),
        *_where(one.offer, one.document),
    )


def offered(one: Moved, *, as_model: bool) -> Text:
    """Of an offer that came, came back or is gone; `as_model`: nobody offered the model before."""
    what = f"new model {one.offer.model}, at {one.offer.provider}" if as_model else ""
    card = one.new or one.old
    lines = [_move(move, _currency(card), old=False) for move in card_moves(None, card)]
    return text_of(
        what or f"{_named(one.offer)}: {_HAPPENED[one.event]}",
        *_first(lines if one.new else [f"last {line}" for line in lines]),
        *_when(one),
        *_where(one.offer, one.document),
    )


def announced(one: Announced) -> Text:
    """Of a price that is to be."""
    currency = _currency(one.new)
    since = iso(from_millis(one.since))
    lines = [_move(move, currency) for move in card_moves(one.old, one.new)]
    return text_of(
        f"{_named(one.offer)}: announced from {since}: {lines[0] if lines else 'the prices of today'}",
        *_first(lines),
        f"from: {since}",
        "" if one.until is None else f"until: {iso(from_millis(one.until))}",
        f"seen: {iso(from_millis(one.seen))}",
        *_where(one.offer, one.document),
    )


def retiring(one: Moved, facts: Iterable[tuple[str, str]]) -> Text:
    """Of an offer that is to end."""
    told = [f"{name} {value}" for name, value in facts]
    return text_of(f"{_named(one.offer)}: {', '.join(told)}", *told, *_when(one), *_where(one.offer, one.document))


def held(one: Held) -> Text:
    """Of something that is not believed."""
    row = one.row
    return text_of(
        f"{row.source}: held: {row.subject}: {row.rule}",
        f"{row.rule}: {row.message}",
        "" if row.model is None else f"model: {row.model}",
        "" if row.provider is None else f"provider: {row.provider}",
        f"seen: {iso(row.first_seen)}",
        "" if row.document is None else f"document: {row.document}",
        f"see: tokentape held show {row.held_ref}",
    )


def failing(one: Failing, times: int) -> Text:
    """Of a source that fails."""
    return text_of(
        f"{one.source}: failed {times} times in a row",
        one.message,
        f"at: {iso(from_millis(one.at))}",
        f"see: tokentape try {one.source}",
    )


def stale(one: Stale) -> Text:
    """Of a source that is not heard of."""
    return text_of(
        f"{one.source}: stale, no success since {iso(from_millis(one.last_success))}",
        f"stale since: {iso(from_millis(one.since))}",
        f"see: tokentape try {one.source}",
    )


def cheapest(model: str, before: Route | None, now: Route | None, known: int) -> Text:
    """Of another cheapest route."""
    was, is_now = (one and f"{one.row.ref} at {one.cost.text} {one.cost.currency} a request" for one in (before, now))
    return text_of(
        f"{model}: cheapest is {now.row.provider if now else 'unknown: no route is left'}"
        f"{f', was {before.row.provider}' if before else ''}",
        f"now: {is_now}" if is_now else "now: no route",
        f"before: {was}" if was else "before: no route",
        f"in doubt: {', '.join(now.row.doubts)}" if now and now.row.doubts else "",
        f"known: {iso(from_millis(known))}",
        f"document: {now.row.document}" if now else "",
        f"see: tokentape explain {now.row.ref}" if now else "",
    )


def together(rule: str, texts: Iterable[Text]) -> Text:
    """Alerts of one rule as one message: of several, the titles, each with its id, the last line of its body."""
    told = list(texts)
    if len(told) == 1:
        return told[0]
    lines = [f"{title}\n{body.rpartition(chr(10))[2]}" for title, body in told]
    return f"{rule}: {len(told)} alerts", "\n\n".join([*lines, f"see: tokentape alerts log {rule} --format json"])


def at_most(texts: Iterable[Text]) -> Iterator[int]:
    """How many alerts go into each message, one after the other, so that none is longer than most channels take."""
    count = size = 0
    for title, _ in texts:
        more = len(title) + ID_LINE
        if count and size + more > MESSAGE_LIMIT:
            yield count
            count = size = 0
        count, size = count + 1, size + more
    if count:
        yield count


def _named(offer: Offer) -> str:
    variant = f" ({offer.variant})" if offer.variant else ""
    return f"{offer.model} at {offer.provider}{variant}"


def _currency(card: RateCard | None) -> str:
    return "" if card is None else card.currency


def _per(meter: str) -> str:
    known = METERS.get(meter.partition(" ")[0])
    if known is None:
        return ""
    return "per 1M tokens" if known.thing == "token" else f"per {known.thing}"


def _move(move: Move, currency: str, *, old: bool = True) -> str:
    meter, before, after, old_state, new_state, percent = move
    if not meter:
        return "no price"
    if meter == "currency":
        return f"currency {before} -> {after}"
    was, now = before or old_state, after or new_state
    unit = f" {currency} {_per(meter)}" if before or after else ""
    sign = "" if percent is None or percent.startswith("-") else "+"
    change = f" ({sign}{percent} %)" if percent else ""
    return f"{meter} {f'{was} -> ' if old and was else ''}{now}{unit}{change}"


def _first(lines: list[str]) -> list[str]:
    return [*lines[:SHOWN], f"and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""]


def _when(one: Moved) -> list[str]:
    before = "" if one.not_before is None else f"; not yet at {iso(from_millis(one.not_before))}"
    if one.event == "withdrawal":
        before = "" if one.not_before is None else f"; last seen {iso(from_millis(one.not_before))}"
        return [f"gone: {iso(from_millis(one.seen))}{before}"]
    if one.event == "correction":
        return [f"of: {iso(from_millis(one.seen))}", f"known: {iso(from_millis(one.known))}"]
    return [f"seen: {iso(from_millis(one.seen))}{before}"]


def _where(offer: Offer, document: str | None) -> list[str]:
    return ["" if document is None else f"document: {document}", f"see: tokentape explain {offer.ref}"]
