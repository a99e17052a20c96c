"""Proof that everything the store says follows from the documents in its archive.

Three things are held together: each archived document against its hash, each row of evidence against the document it
names, and every belief of each source against its timeline made anew from the archive. What SQLite's own check cannot
see (a flipped bit in a price is a valid price) differs from what the documents give.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from collector.contract import SourceSpec
from collector.errors import CollectorError
from collector.mend import Progress, no_progress, reparse
from collector.settings import CheckSettings
from store.errors import EvidenceDropped, StoreError
from store.ledger import Correction
from store.units import CORE_METERS, decimal_text
from store.write import Tape


def faults(
    settings: CheckSettings,
    tape: Tape,
    specs: Mapping[str, SourceSpec],
    known: datetime,
    progress: Progress = no_progress,
    note: Callable[[str], None] = print,
) -> Iterator[str]:
    """A line for each thing that is not as the documents say; none if all is well. Nothing is written.

    What cannot be proven because documents were dropped, as asked for, is no fault: it is told to `note`.

    Raises: StoreError if the database itself cannot be read.
    """
    yield from tape.check()
    damaged = list(tape.archive.check())
    yield from damaged
    for source in tape.sources():
        spec = specs.get(source)
        if spec is None:
            yield f"{source}: is in the store and not in the configuration: not verified"
            continue
        try:
            mended = reparse(settings, tape, spec, known=known, progress=progress, dry_run=True)
        except EvidenceDropped as error:
            note(f"not proven: {error}")
            continue
        except (StoreError, CollectorError) as error:
            yield f"{source}: {error}"
            continue
        yield from (f"{source}: {described(one)}" for one in mended.corrections)


def described(one: Correction) -> str:
    """A correction in words."""
    begins = f"{one.first_seen:%Y-%m-%dT%H:%M:%SZ}"
    return f"{one.kind}: {one.subject} from {begins}: {_card(one.before)} -> {_card(one.after)}"


def _card(card: object) -> str:
    from store.records import RateCard

    if not isinstance(card, RateCard):
        return "nothing"
    amounts = [(meter, card.amount(meter)) for meter in CORE_METERS]
    prices = [f"{meter} {decimal_text(amount)}" for meter, amount in amounts if amount is not None]
    return ", ".join(prices) or "no amounts"
