"""`tokentape export ledger` of ten million intervals, against the sqlite3 command with the same statement.

Whole processes; the bytes must be equal. Then the same with names, and what `export history` and `export changes` make
of a smaller store, in lines a second: all into a file beside the store.
"""

import argparse
import filecmp
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import BIN, Spent, compare, in_turn, note, report, spend, spread
from tests.benchmarks.synthetic import Shape, build


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="export_ledger", description=__doc__)
    options.add_argument("--many", type=Path, help="a store as `synthetic` makes it, instead of a new one")
    options.add_argument("--few", type=Path, help="one made with --intervals 5")
    options.add_argument("--repetitions", type=int, default=3)
    given = options.parse_args()
    shell = shutil.which("sqlite3") or sys.exit("the sqlite3 command is not installed")
    with tempfile.TemporaryDirectory(dir=given.many and given.many.parent) as folder:
        scratch = Path(folder)
        many, few = given.many or scratch / "many.db", given.few or scratch / "few.db"
        for path, shape in ((many, Shape()), (few, Shape(intervals=5))):
            if not path.exists():
                note(f"making {path}")
                build(path, shape)
        ledger(scratch, many.resolve(), shell, given.repetitions)
        answers(scratch, few.resolve(), given.repetitions)


def tokentape(scratch: Path, store: Path, *words: str | Path) -> Spent:
    """One command, to its end."""
    return spend([BIN / "tokentape", "--store", store, *words], scratch)


def ledger(scratch: Path, store: Path, shell: str, repetitions: int) -> None:
    """The ledger both ways, and with names."""
    statement = tokentape(scratch, store, "export", "ledger", "--show-sql").output
    dump, out = scratch / "dump.csv", scratch / "ledger.csv"
    to_dump: list[str | Path] = ["sh", "-c", 'exec "$0" -csv -header "$1" "$2" > "$3"', shell, store, statement, dump]
    found = in_turn(
        {
            "sqlite3 -csv -header": partial(spend, to_dump, scratch),
            "export ledger": partial(tokentape, scratch, store, "export", "ledger", "-o", out),
            "export ledger --names": partial(
                tokentape, scratch, store, "export", "ledger", "--names", "-o", scratch / "names.csv"
            ),
        },
        repetitions,
    )
    print(f"{dump.stat().st_size / 1e6:.0f} MB; the same bytes: {filecmp.cmp(dump, out, shallow=False)}")
    report(found)
    compare(found, "export ledger", "sqlite3 -csv -header")
    compare(found, "export ledger --names", "sqlite3 -csv -header")


def answers(scratch: Path, store: Path, repetitions: int) -> None:
    """Whole answers: decimals, ISO 8601, every column."""
    print()
    for what, form in (("history", "csv"), ("history", "jsonl"), ("changes", "csv")):
        out = scratch / "answer"
        runs = [tokentape(scratch, store, "export", what, "--format", form, "-o", out) for _ in range(repetitions)]
        with out.open("rb") as file:
            rows = sum(1 for _ in file)
        print(f"{what} as {form}: {rows} lines, {spread([rows / run.cpu_s for run in runs], 'a second of cpu')}")
        report({what: runs})


if __name__ == "__main__":
    main()
