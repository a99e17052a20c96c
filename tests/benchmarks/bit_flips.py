"""Single bits of a store and of its archive turned over at random: how many that change anything go unnoticed.

The store is that of a recorded timeline whose documents came in four batches out of order, so that it holds beliefs
that were superseded. Of each flip it is asked whether any row reads otherwise, or any document; if so, `verify` has to
say something.
"""

import argparse
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from collector import verify
from collector.cli import main as main_command
from collector.config import load
from collector.mend import Arrival
from store.archive import Archive
from store.errors import StoreError
from store.instants import from_millis, utc_now
from store.write import Tape
from tests.benchmarks.any_order import batches, fill
from tests.benchmarks.measure import note
from tests.benchmarks.store_size import polls
from tests.stores import content, rows

SOURCE = "llm_prices"
QUESTIONS = (("export", "history"), ("export", "changes"), ("models",), ("sources",), ("cheapest", "openai/gpt-4o"))
CONFIG = load(None, {})


def main() -> None:
    """Print what became of the flips; exit 1 if any went unnoticed."""
    options = argparse.ArgumentParser(prog="bit_flips", description=__doc__)
    options.add_argument("--flips", type=int, default=1000, help="of the store, and as many of the archive")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "tape.db")
        arrivals = [Arrival(at=at, documents=seen.documents) for at, seen in polls(CONFIG.sources[SOURCE])]
        fill(store, CONFIG.sources[SOURCE], batches(chance.sample(arrivals, len(arrivals))))
        assert not faults(store), faults(store)
        unnoticed = [
            *flipped("store", store, [store], rows_of, given.flips, chance),
            *flipped("archive", store, archived(store), documents_of, given.flips, chance),
        ]
    for line in unnoticed:
        print(line)
    raise SystemExit(bool(unnoticed))


def flipped(
    what: str, store: Path, files: list[Path], meaning: Callable[[Path], Any], flips: int, chance: random.Random
) -> list[str]:
    """Turn over a bit of one of the files, again and again; a line for each that changed something, unnoticed."""
    found: Counter[str] = Counter()
    lines = []
    sound = meaning(store)
    sizes = [path.stat().st_size for path in files]
    for number in range(flips):
        if number % 100 == 0:
            note(f"{what}: {number} of {flips}")
        (path,) = chance.choices(files, sizes)
        place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
        kept = path.read_bytes()
        path.write_bytes(kept[:place] + bytes([kept[place] ^ 1 << bit]) + kept[place + 1 :])
        try:
            changed = differing(sound, meaning(store))
        except (sqlite3.Error, StoreError, OSError, UnicodeDecodeError) as error:
            changed = f"cannot be read: {error}"
        for words in QUESTIONS:
            asked = CliRunner().invoke(main_command, ["--store", str(store), *words])
            if not isinstance(asked.exception, SystemExit | None):
                found["tracebacks"] += 1
                lines.append(f"{what}: byte {place}, bit {bit}: {words[0]}: {asked.exception!r}")
        if not changed:
            found["harmless"] += 1
        else:
            try:
                noticed = bool(faults(store))
            except Exception as error:  # noqa: BLE001 - what no user may see
                found["tracebacks"] += 1
                lines.append(f"{what}: byte {place}, bit {bit}: verify: {error!r}")
                noticed = True
            found["noticed" if noticed else "unnoticed"] += 1
            if not noticed:
                lines.append(f"{what}: byte {place}, bit {bit}: {changed}")
        for aside in store.parent.glob(f"{store.name}-*"):
            aside.unlink()
        path.write_bytes(kept)
    print(f"{what}, {sum(sizes)} bytes: {flips} flips: {dict(found)}", flush=True)
    return lines


def faults(store: Path) -> list[str]:
    """What `verify` says."""
    try:
        tape = Tape(str(store))
        try:
            return list(verify.faults(CONFIG.checks, tape, CONFIG.sources, utc_now(), note=lambda _: None))
        finally:
            tape.close()
    except StoreError as error:
        return [str(error)]


def rows_of(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, and the statements that made the tables."""
    return content(str(store)) | {"schema": sorted(rows(str(store), "SELECT type, name, sql FROM sqlite_schema"))}


def archived(store: Path) -> list[Path]:
    """The files of the archive."""
    return [path for path in Archive(store.with_suffix(".archive")).root.rglob("*.zst") if path.is_file()]


def documents_of(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The documents of every poll."""
    archive = Archive(store.with_suffix(".archive"))
    return {
        key: [(one.part, one.sha256, one.body) for one in archive.documents(key, source="", fetched_at=from_millis(0))]
        for key in archive.keys()  # noqa: SIM118 - it is no mapping
    }


def differing(sound: dict[str, list[tuple[Any, ...]]], found: dict[str, list[tuple[Any, ...]]]) -> str:
    """Where two differ, if they do."""
    for name in sound.keys() | found.keys():
        before, after = sound.get(name, []), found.get(name, [])
        if before != after:
            was = [one for one in before if one not in after][:1]
            return f"{name}: {str(was)[:200]} -> {str([one for one in after if one not in before][:1])[:200]}"
    return ""


if __name__ == "__main__":
    main()
