"""Small worlds of endpoints, polls and failures, for property tests of the timeline."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from store.records import EndpointKey, Facts, Finding, Identity, Observation, RateCard, Sighting, Stated, Telemetry
from store.timeline import Judge, Patience, SourceState, Step, step

START = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = ("a/x", "b/y")
DOCUMENTS = dict.fromkeys(("", *PARTS), ("d" * 64, "https://api.example/models"))
MODELS = {"one": "a/x", "two": "a/x", "three": "b/y", "four": "b/y"}


def card(input_nano: int, output_nano: int | None = None) -> RateCard:
    """A plain card."""
    output = input_nano if output_nano is None else output_nano
    return RateCard(currency="USD", amounts=(("input", input_nano), ("output", output)))


def observation(
    model: str = "one",
    *,
    tag: str = "",
    price: RateCard | None = None,
    facts: Facts | None = None,
    part: str = "",
    stated: tuple[Stated, ...] = (),
    findings: tuple[Finding, ...] = (),
    uptime: int | None = None,
) -> Observation:
    """One offer of provider `P` as a poll saw it."""
    return Observation(
        key=EndpointKey(provider="P", model=model, tag=tag),
        identity=Identity(provider="p", model=f"author/{model}", variant=tag),
        card=price,
        facts=facts or Facts(context_length=1000),
        part=part,
        locator=f"data[{model}]",
        stated=stated,
        findings=findings,
        telemetry=None
        if uptime is None
        else Telemetry(status=0, uptime_percent=uptime, first_token_ms=500 * uptime, tokens_per_second=20 * uptime),
    )


@dataclass(frozen=True)
class Poll:
    """What one poll of a drawn world saw."""

    hour: int
    failed: frozenset[str]
    offers: tuple[tuple[str, int, int], ...]
    """(model, price, context)"""

    @property
    def sighting(self) -> Sighting:
        """The poll as the timeline takes it."""
        return Sighting(
            at=START + timedelta(hours=self.hour),
            complete=not self.failed,
            failed_parts=self.failed,
            documents=DOCUMENTS,
            observations=tuple(
                observation(
                    model,
                    price=card(price * 1_000_000),
                    facts=Facts(context_length=context),
                    part=MODELS[model],
                    uptime=price % 3,
                )
                for model, price, context in self.offers
                if MODELS[model] not in self.failed
            ),
        )


@st.composite
def polls(draw: st.DrawFn, least: int = 1, most: int = 12) -> list[Poll]:
    """Polls at distinct hours; prices move by small and by absurd factors, offers blink, siblings share a key."""
    hours = draw(st.lists(st.integers(0, 120), min_size=least, max_size=most, unique=True))
    offer = st.tuples(st.sampled_from(sorted(MODELS)), st.sampled_from([1, 2, 3, 40, 0]), st.sampled_from([1000, 2000]))
    return [
        Poll(
            hour=hour,
            failed=frozenset(draw(st.sets(st.sampled_from(PARTS), max_size=1))) if draw(st.booleans()) else frozenset(),
            offers=tuple(draw(st.lists(offer, max_size=6))),
        )
        for hour in hours
    ]


def build(sightings: Iterable[Sighting], judge: Judge, patience: Patience) -> Iterator[Step]:
    """A whole timeline, step by step, from sightings in the order of their instants."""
    state = SourceState()
    for sighting in sightings:
        taken = step(state, sighting, judge, patience)
        state = taken.state
        yield taken
