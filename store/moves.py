"""What differs between two rate cards, or two sets of facts: pure."""

from fractions import Fraction

from store.conditions import condition_text
from store.records import Facts, RateCard
from store.units import decimal_text, hundredths

Move = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""meter, old, new, old state, new state, percent."""


def card_moves(old: RateCard | None, new: RateCard | None) -> list[Move]:
    """The meters that differ between two cards; None: there was no offer, and every meter of the other moved."""
    before, after = _meters(old), _meters(new)
    moves: list[Move] = []
    comparable = True
    if old is not None and new is not None and old.currency != new.currency:
        comparable = False
        moves.append(("currency", old.currency, new.currency, None, None, None))
    for meter in dict.fromkeys((*before, *after)):
        old_amount, old_state = before.get(meter, (None, None if old is None else "not_offered"))
        new_amount, new_state = after.get(meter, (None, None if new is None else "not_offered"))
        if (old_amount, old_state) != (new_amount, new_state):
            percent = percent_text(old_amount, new_amount) if comparable else None
            moves.append((meter, _amount(old_amount), _amount(new_amount), old_state, new_state, percent))
    if not moves and (old is None or new is None):
        moves.append(("", None, None, None, None, None))  # an offer without any price came or went all the same
    return moves


def facts_moves(old: Facts, new: Facts) -> list[Move]:
    """The facts that differ."""
    moves: list[Move] = []
    for name in Facts.__dataclass_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(before, tuple):
            gone = " ".join(one for one in before if one not in after)
            added = " ".join(one for one in after if one not in before)
            moves.append((name, gone or None, added or None, None, None, None))
        else:
            counts = isinstance(before, int) and isinstance(after, int)
            moves.append(
                (name, _fact(before), _fact(after), None, None, percent_text(before, after) if counts else None)
            )
    return moves


def percent_text(old: int | None, new: int | None) -> str | None:
    """By how many percent of the old the new differs, rounded half to even to hundredths; None from nothing."""
    if not old or new is None:
        return None
    return hundredths(Fraction((new - old) * 100, old))


def _meters(card: RateCard | None) -> dict[str, tuple[int | None, str]]:
    """Each meter of a card, also under its conditions, with its amount and state."""
    if card is None:
        return {}
    meters: dict[str, tuple[int | None, str]] = {
        meter: (amount, "priced" if amount else "free") for meter, amount in card.amounts
    }
    meters |= {meter: (None, state) for meter, state in card.states}
    for override in card.overrides:
        meters |= {
            f"{meter} {condition_text(override)}": (amount, "priced" if amount else "free")
            for meter, amount in override.amounts
        } | {f"{meter} {condition_text(override)}": (None, "unknown") for meter in override.unknown}
    return meters


def _amount(amount: int | None) -> str | None:
    return None if amount is None else decimal_text(amount)


def _fact(value: object) -> str | None:
    return None if value is None else str(value)
