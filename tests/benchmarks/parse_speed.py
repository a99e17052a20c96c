"""From bytes to observations: the newest recorded bodies parsed, normalised and identified, against `json.loads`."""

import argparse
import gc
import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from collector.config import load
from collector.contract import SourceSpec
from collector.parse.strict import read_json
from collector.sighting import Received, see
from collector.sources import parser_of
from store.records import Document
from tests import timelines
from tests.benchmarks.measure import recorded, spread

UPSTREAMS = {"litellm": "litellm", "models_dev": "models-dev"}


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="parse_speed", description=__doc__)
    options.add_argument("--repetitions", type=int, default=9)
    repetitions, folder, sources = options.parse_args().repetitions, recorded(), load(None, {}).sources
    for name, upstream in UPSTREAMS.items():
        row = timelines.rows(folder, upstream)[-1]
        compare(sources[name], timelines.instant(row), timelines.body(folder, row), repetitions)
    at, answers = newest_sweep(folder)
    compare(sources["openrouter"], at, answers, repetitions)


def newest_sweep(folder: Path) -> tuple[datetime, dict[str, bytes]]:
    """The answers of OpenRouter's newest whole sweep, by model."""
    row = timelines.rows(folder, "openrouter-endpoints")[-1]
    answers = json.loads(timelines.body(folder, row))["models"]
    return timelines.instant(row), {name: json.dumps(answer).encode() for name, answer in answers.items()}


def compare(spec: SourceSpec, at: datetime, bodies: bytes | dict[str, bytes], repetitions: int) -> None:
    """Each stage in turn, and what it takes of the plainest reading."""
    documents = tuple(
        Document(source=spec.id, url=f"{spec.url}/{part}", fetched_at=at, status=200, body=body, part=part)
        for part, body in (bodies.items() if isinstance(bodies, dict) else [("", bodies)])
    )
    parser = parser_of(spec)
    stages: dict[str, Callable[[], object]] = {
        "json.loads": lambda: [json.loads(document.body) for document in documents],
        "strict reading": lambda: [read_json(document) for document in documents],
        "parse": lambda: [parser.parse(document, spec) for document in documents],
        "parse + normalise + identify": lambda: see(Received(documents=documents, failures={}), spec, at),
    }
    first_ms = taken_ms(stages["parse + normalise + identify"])
    found: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(repetitions):
        for name, stage in stages.items():
            found[name].append(taken_ms(stage))
    sighting, _ = see(Received(documents=documents, failures={}), spec, at)
    size = sum(len(document.body) for document in documents)
    print(f"{spec.id}: {len(documents)} bodies, {size / 1e6:.2f} MB, {len(sighting.observations)} endpoints")
    for name, times in found.items():
        ratios = [own / floor for own, floor in zip(times, found["json.loads"], strict=True)]
        print(f"  {name:28}  {spread(times, 'ms')}  {spread(ratios, 'x')}")
    print(f"  {'the same, first time':28}  {first_ms:.0f} ms")


def taken_ms(stage: Callable[[], object]) -> float:
    """Processor time of a stage, with nothing left over from the one before."""
    gc.collect()
    started = time.process_time()
    stage()
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
