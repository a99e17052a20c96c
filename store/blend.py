"""What an endpoint charges as one figure: so many tokens read, so many written. Exact, and pure."""

import re
from fractions import Fraction
from typing import NamedTuple

from store.records import RateCard

_RATIO = re.compile(r"([0-9]{1,6}):([0-9]{1,6})", re.ASCII)


class Volume(NamedTuple):
    """Tokens, or shares of them."""

    input: Fraction
    output: Fraction

    def cost(self, card: RateCard) -> Fraction | None:
        """What they cost by a card outside all its conditions, in 1e-9 currency units per 1M; None: that is not known.

        A meter of which there is nothing needs no price.
        """
        total = Fraction(0)
        for meter, tokens in (("input", self.input), ("output", self.output)):
            amount = card.amount(meter)
            if amount is not None:
                total += tokens * amount
            elif tokens:
                return None
        return total

    def plus(self, other: "Volume") -> "Volume":
        """Both together."""
        return Volume(self.input + other.input, self.output + other.output)

    def times(self, factor: Fraction | int) -> "Volume":
        """So many times as much."""
        return Volume(self.input * factor, self.output * factor)


NOTHING = Volume(Fraction(0), Fraction(0))
BLEND = Volume(Fraction(3, 4), Fraction(1, 4))
"""Three tokens read for each that is written."""


def blend(text: str) -> Volume:
    """The mixture of a ratio such as `3:1`, input first, which comes to one token.

    Raises: ValueError, saying what is wrong.
    """
    match = _RATIO.fullmatch(text)
    if match is None or not int(match[1]) + int(match[2]):
        raise ValueError(f"{text!r} is not of the form INPUT:OUTPUT, such as 3:1")
    read, written = int(match[1]), int(match[2])
    return Volume(Fraction(read, read + written), Fraction(written, read + written))
