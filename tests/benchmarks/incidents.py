"""Wrong prices that public catalogues really had: how many would have been held; and how many genuine moves.

Histories are read from clones on this machine by `tokentape backfill git`, one after the other into one store, with the
packaged checks; then Portkey's recorded files, as of the day of their faults. Which rows are bad is told by what the
incident was, from prices alone: a row counts as held if its bad price was found and never in force. Genuine moves are
those of OpenRouter's recorded lists; seeded faults are made in each offer of the largest recorded sweep of its
endpoints.
"""

import argparse
import gzip
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from collector import doubts
from collector.backfill.commands import backfill_git
from collector.config import Config, load
from collector.mend import Arrival, backfill
from collector.settings import CheckSettings
from collector.sighting import Received, see
from store.instants import utc_now
from store.records import Document, RateCard
from store.units import NANO
from store.write import Tape
from tests import timelines

Bad = Callable[[Mapping[str, int]], bool]
SETTINGS = CheckSettings()
FACTORS = {"x10^3": (10**3, 1), "x10^5": (10**5, 1), "x10^6": (10**6, 1), "CNY": (71, 10)}


class Incident(NamedTuple):
    """Bad rows of one catalogue, by provider, model and what was wrong with their prices (nano USD per 1M)."""

    name: str
    source: str
    provider: str
    model: str
    """LIKE pattern."""
    bad: Bad


def above(usd: int, *meters: str) -> Bad:
    """Any of these amounts, or input or output, is at least as much."""
    return lambda card: any(card.get(meter, 0) >= usd * NANO for meter in meters or ("input", "output"))


def between(least_nano: int, most_nano: int, meter: str = "input") -> Bad:
    """An amount lies between two."""
    return lambda card: least_nano <= card.get(meter, -1) <= most_nano


INCIDENTS = (
    Incident("LiteLLM wandb x100,000", "litellm", "wandb", "%", above(1000)),
    Incident("LiteLLM novita x10,000", "litellm", "novita", "%", above(100)),
    Incident("LiteLLM watsonx x10,000", "litellm", "watsonx", "%", above(100)),
    Incident("LiteLLM ui-tars x10^6", "litellm", "openrouter", "%ui-tars-1.5-7b", above(1000)),
    Incident("LiteLLM jais x1,000", "litellm", "azure_ai", "%jais-30b-chat", above(1000)),
    Incident("models.dev gpt-5.4 / 10^6", "models_dev", "openrouter", "%gpt-5.4-%", between(1, NANO // 1000)),
    Incident("models.dev mistral-small x1,000", "models_dev", "helicone", "mistral-small", above(75)),
    Incident("models.dev cloudflare x10^6", "models_dev", "cloudflare-ai-gateway", "%", above(10_000)),
    Incident(
        "models.dev anthropic cache swapped",
        "models_dev",
        "anthropic",
        "%",
        lambda card: card.get("cache_read", 0) > card.get("input", 0) > 0,
    ),
    Incident("Portkey MiniMax-M2.5 x1,000", "portkey", "together-ai", "%minimax-m2.5", above(100)),
    Incident("Portkey Qwen3.5-397B x10", "portkey", "together-ai", "%qwen3.5-397b-a17b", above(5)),
    Incident("Portkey Qwen3.5-9B x6", "portkey", "together-ai", "%qwen3.5-9b", above(1)),
    Incident(
        "models.dev haiku-4-5 output",
        "models_dev",
        "anthropic",
        "claude-haiku-4-5%",
        lambda card: card.get("output") in (15 * NANO, 5 * NANO // 4),
    ),
)


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="incidents", description=__doc__)
    options.add_argument("--litellm", type=Path, help="a clone with LiteLLM's file in its history")
    options.add_argument("--models-dev", type=Path, help="a clone of models.dev")
    options.add_argument("--recorded", type=Path, default=Path("../shared/upstream"))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "tokentape.db"))
        config = replace(load(None, {}), store=store, archive=str(Path(folder, "archive")))
        if given.litellm:
            _backfill(config, "litellm", given.litellm, "model_prices_and_context_window.json")
        if given.models_dev:
            _backfill(config, "models_dev", given.models_dev, "providers", "models")
        _portkey(config, given.recorded)
        found = [*_incidents(store)]
    for name, rows, held in found:
        print(f"{name:38} {rows:4} bad rows, {held:4} held")
    rows, held = sum(one[1] for one in found), sum(one[2] for one in found)
    if rows:
        print(f"{'all':38} {rows:4} bad rows, {held:4} held: {100 * held / rows:.1f} %")
    moves, kept = _genuine(given.recorded)
    nothing = kept.pop("to_zero", 0)
    held = sum(kept.values())
    print(f"moves of OpenRouter's text prices: {moves}, held {held} {dict(kept)}: {100 * held / moves:.2f} %")
    print(f"    and {nothing} falls to zero, which are unknown prices and no moves")
    for name, made, caught in _seeded(given.recorded):
        print(f"seeded {name:8} {made:5} made, {caught:5} held: {100 * caught / made:.1f} %")


def _backfill(config: Config, source: str, repository: Path, *paths: str) -> None:
    for line in backfill_git(config, str(repository.resolve()), paths, config.sources[source], None, utc_now()):
        print(line)


def _incidents(store: str) -> Iterator[tuple[str, int, int]]:
    with closing(sqlite3.connect(store)) as connection:
        believed = connection.execute(
            """
            SELECT s.name, e.published_provider, e.published_model, c.body FROM interval i
              JOIN endpoint e ON e.id = i.endpoint_id JOIN rate_card c ON c.id = i.card_id
              JOIN source s ON s.id = e.source_id WHERE i.known_to IS NULL
            """
        ).fetchall()
        doubted = connection.execute(
            """
            SELECT s.name, n.subject, c.body FROM finding n JOIN rate_card c ON c.id = n.card_id
              JOIN source s ON s.id = n.source_id WHERE n.held
            """
        ).fetchall()
        for one in INCIDENTS:
            theirs = (one.source, one.provider)
            in_force = {
                model
                for source, provider, model, body in believed
                if (source, provider) == theirs and _is(one, model, body)
            }
            subjects = [
                (subject.removeprefix(f"{one.provider} ").split("@")[0], body)
                for source, subject, body in doubted
                if source == one.source and subject.startswith(f"{one.provider} ")
            ]
            held = {model for model, body in subjects if _is(one, model, body)}
            if in_force | held:
                yield one.name, len(in_force | held), len(held - in_force)


def _is(one: Incident, model: str, body: str) -> bool:
    words = [word for word in one.model.split("%") if word]
    return all(word in model.lower() for word in words) and one.bad(json.loads(body)["amounts"])


def _portkey(config: Config, recorded: Path) -> None:
    spec, at = config.sources["portkey"], datetime(2026, 8, 21, tzinfo=UTC)
    documents = []
    for path in sorted((recorded / "recorded" / "portkey").glob("*-pricing-*")):
        part = path.name.partition("-pricing-")[2].partition(".")[0]
        if part in spec.options["providers"]:
            body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            documents.append(
                Document(
                    source=spec.id,
                    url=f"{spec.url.rpartition('/')[0]}/{part}.json",
                    fetched_at=at,
                    status=200,
                    body=body,
                    part=part,
                )
            )
    tape = Tape(config.store, config.archive)
    try:
        mended = backfill(
            config.checks, tape, replace(spec, expect={}), [Arrival(at=at, documents=tuple(documents))], known=utc_now()
        )
        print(f"portkey: {len(mended.corrections)} intervals, {len(mended.refused)} refused")
    finally:
        tape.close()


def _genuine(recorded: Path) -> tuple[int, Counter[str]]:
    """Moves of OpenRouter's own prices, and those that are held, by rule."""
    last: dict[str, RateCard] = {}
    shown: dict[str, RateCard] = {}
    moves, held = 0, Counter[str]()
    for row in timelines.rows(recorded, "openrouter-models"):
        for model in json.loads(timelines.body(recorded, row))["data"]:
            # What is counted by the image was once per image and once per token: no move of a price.
            read = timelines.openrouter_amounts(model["pricing"])
            amounts = {meter: amount for meter, amount in read.items() if meter in doubts.TEXT_METERS}
            card = RateCard(currency="USD", amounts=tuple(sorted(amounts.items())))
            name = model["id"]
            if name not in last or shown[name] == card:
                last.setdefault(name, card)
                shown[name] = card
                continue
            moves += 1
            shown[name] = card
            found = [
                *doubts.of_card(card, SETTINGS),
                *doubts.too_dear_for_its_size(name, card),
                *doubts.of_move(card, last[name], SETTINGS),
            ]
            if found:
                held[found[0].finding.rule] += 1
            last[name] = card  # as if released: each move is judged from the price before it
    return moves, held


def _seeded(recorded: Path) -> Iterator[tuple[str, int, int]]:
    """Every fault in every offer of the newest recorded sweep of endpoints."""
    _, listed, answers = max(timelines.openrouter(recorded), key=lambda sweep: len(sweep[2]))
    spec = load(None, {}).sources["openrouter"]
    at = datetime(2026, 8, 22, tzinfo=UTC)
    bodies = {"": listed} | {part: answer for part, answer in answers.items() if answer is not None}
    documents = tuple(
        Document(source=spec.id, url=f"{spec.url}/{part}", fetched_at=at, status=200, body=body, part=part)
        for part, body in bodies.items()
    )
    sighting, _ = see(Received(documents=documents, failures={}), spec, at)
    cards = [one.card for one in sighting.observations if one.card is not None and any(dict(one.card.amounts).values())]
    for name, wrong in _faults():
        pairs = [(card, faulty) for card in cards if (faulty := wrong(card)) is not None and faulty != card]
        caught = sum(
            any(True for _ in (*doubts.of_card(faulty, SETTINGS), *doubts.of_move(faulty, card, SETTINGS)))
            for card, faulty in pairs
        )
        yield name, len(pairs), caught


def _faults() -> Iterator[tuple[str, Callable[[RateCard], RateCard | None]]]:
    def times(by: int, over: int) -> Callable[[RateCard], RateCard | None]:
        return lambda card: replace(
            card,
            amounts=tuple(
                (meter, amount * by // over if meter in doubts.TEXT_METERS else amount)
                for meter, amount in card.amounts
            ),
        )

    def swapped(card: RateCard) -> RateCard | None:
        amounts = dict(card.amounts)
        if not amounts.get("input") or not amounts.get("output"):
            return None
        amounts["input"], amounts["output"] = amounts["output"], amounts["input"]
        return replace(card, amounts=tuple(sorted(amounts.items())))

    def varying(card: RateCard) -> RateCard | None:
        kept = tuple((meter, amount) for meter, amount in card.amounts if meter not in ("input", "output"))
        return replace(card, amounts=kept, states=(("input", "varies"), ("output", "varies")))

    for name, (by, over) in FACTORS.items():
        yield name, times(by, over)
        yield f"1/{name}", times(over, by)
    yield "swap", swapped
    yield "-1", varying
    yield "to zero", times(0, 1)


if __name__ == "__main__":
    main()
