"""Single bits of a store and of its archive turned over at random: how many that change anything go unnoticed.

The store is that of a recorded timeline whose documents came in four batches out of order, so that it holds beliefs
that were superseded. Of each flip it is asked whether any row reads otherwise, or any document; if so, `verify` has to
say something. Reading commands are asked meanwhile, in turn, more of them where a row reads otherwise: they may answer,
or fail in a line.
"""

import argparse
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
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
from tests.stores import connected

SOURCE = "llm_prices"
MODEL = "openai/gpt-4o"
OF_THE_ARCHIVE = ("explain", "llm_prices:openai:gpt-4o")
"""The one question whose answer is taken from there."""
QUESTIONS = (
    ("export", "history", "--superseded", "--format", "jsonl"),
    ("export", "changes"),
    ("export", "ledger", "--names"),
    ("models",),
    ("sources",),
    ("cheapest", MODEL),
    ("endpoints", MODEL),
    ("history", MODEL),
    ("facts", MODEL),
    OF_THE_ARCHIVE,
    ("held",),
    ("conflicts",),
)
AT_ONCE = 4
"""Questions about a store that reads otherwise."""
PROVEN_WHOLE = 100
"""Of as many flips that are noticed, one is verified to the end, and the others until something is said."""
CONFIG = load(None, {})


def main() -> None:
    """Print what became of the flips; exit 1 if any went unnoticed."""
    options = argparse.ArgumentParser(prog="bit_flips", description=__doc__)
    options.add_argument("--flips", type=int, default=1000, help="of the store, and as many of the archive")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--of", choices=["store", "archive"], help="of one of them only")
    given = options.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "tape.db")
        arrivals = [Arrival(at=at, documents=seen.documents) for at, seen in polls(CONFIG.sources[SOURCE])]
        fill(store, CONFIG.sources[SOURCE], batches(chance.sample(arrivals, len(arrivals))))
        assert not faults(store), faults(store)
        clean = True
        if given.of != "archive":
            clean &= flipped("store", store, [store], rows_of, given.flips, chance)
        if given.of != "store":
            clean &= flipped("archive", store, archived(store), documents_of, given.flips, chance)
    raise SystemExit(not clean)


def flipped(
    what: str, store: Path, files: list[Path], meaning: Callable[[Path], Any], flips: int, chance: random.Random
) -> bool:
    """Turn over a bit of one of the files, again and again; whether all went well. Prints a line where it did not."""
    found: Counter[str] = Counter()
    sound = meaning(store)
    sizes = [path.stat().st_size for path in files]
    for number in range(flips):
        if number % 100 == 0:
            note(f"{what}: {number} of {flips}: {dict(found)}")
        (path,) = chance.choices(files, sizes)
        place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
        where = f"{what}: byte {place}, bit {bit}"
        kept = path.read_bytes()
        path.write_bytes(kept[:place] + bytes([kept[place] ^ 1 << bit]) + kept[place + 1 :])
        try:
            changed = differing(sound, meaning(store))
        except (sqlite3.Error, StoreError, OSError, UnicodeDecodeError) as error:
            changed = f"cannot be read: {error}"
        for words in questions(number, len(QUESTIONS) // AT_ONCE if changed else len(QUESTIONS), archive=path != store):
            asked = CliRunner().invoke(main_command, ["--store", str(store), *words])
            if not isinstance(asked.exception, SystemExit | None):
                found["tracebacks"] += 1
                print(f"{where}: {' '.join(words)}: {asked.exception!r}", flush=True)
        if not changed:
            found["harmless"] += 1
        else:
            try:
                noticed = bool(faults(store, whole=number % PROVEN_WHOLE == 0))
            except Exception as error:  # noqa: BLE001 - what no user may see
                found["tracebacks"] += 1
                print(f"{where}: verify: {error!r}", flush=True)
                noticed = True
            found["noticed" if noticed else "unnoticed"] += 1
            if not noticed:
                print(f"{where}: {changed}", flush=True)
        for aside in store.parent.glob(f"{store.name}-*"):
            aside.unlink()
        path.write_bytes(kept)
    print(f"{what}, {sum(sizes)} bytes: {flips} flips: {dict(found)}", flush=True)
    return not found["unnoticed"] and not found["tracebacks"]


def questions(number: int, apart: int, *, archive: bool) -> Sequence[Sequence[str]]:
    """What is asked of a flip."""
    return [OF_THE_ARCHIVE] if archive else QUESTIONS[number % apart :: apart]


def faults(store: Path, *, whole: bool = True) -> list[str]:
    """What `verify` says, or no more than the first of it."""
    try:
        tape = Tape(str(store))
        try:
            told = verify.faults(CONFIG.checks, tape, CONFIG.sources, utc_now(), note=lambda _: None)
            return list(told if whole else islice(told, 1))
        finally:
            tape.close()
    except StoreError as error:
        return [str(error)]


def rows_of(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, and the statements that made the tables."""
    with connected(str(store)) as connection:
        statements = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
        names = [name for kind, name, _ in statements if kind == "table"]
        found = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    return found | {"schema": statements}


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
        if before != after and sorted(before, key=repr) != sorted(after, key=repr):
            was = [one for one in before if one not in after][:1]
            return f"{name}: {str(was)[:200]} -> {str([one for one in after if one not in before][:1])[:200]}"
    return ""


if __name__ == "__main__":
    main()
