"""The table of faults in `FAULTS.md`: what may go wrong, what has to come of it, and the tests that make it so.

A test says which faults it makes by `@pytest.mark.fault(37, 38)`; `faults.csv` has them by number. After a change of
either, `python -m tests.faults` writes the table anew.
"""

import ast
import csv
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
TABLE = FOLDER / "FAULTS.md"
ENGINES = {"store_url", "stores"}
"""Fixtures that give a test SQLite and PostgreSQL in turn, as do those of its module that are made of them."""
ALONE = {
    121: "no store: refused before one is opened",
    130: "SQLite's own: its log",
    134: "SQLite's own: its log",
    138: "SQLite's own: its lock",
    139: "SQLite's own: daemons of PostgreSQL share a store (140)",
    141: "PostgreSQL's own: a server",
    142: "PostgreSQL's own: a connection",
    143: "PostgreSQL's own: a connection",
    144: "PostgreSQL's own: transactions at once",
    146: "SQLite's own: a fault of its library",
    147: "SQLite's own: a file",
    149: "each by its own means, and each with its own test",
    168: "no store: the configuration",
    169: "no store: the configuration",
    174: "no store: the configuration",
    182: "no store: patterns",
    185: "no store: the log",
    188: "no store: who is answered",
    189: "no store: who is answered",
    190: "no store: who is answered",
    194: "no store: files of the dashboard",
    195: "no store: the list of routes",
    196: "no store: the configuration",
    197: "no store: code",
    198: "no store: headers of a question",
}
"""Faults that cannot befall a store of each engine alike, and why."""
HERE = {
    24: "so until it has lasted as long as an absence must, or a new document says the same",
    56: "no list on several pages is taken: REFUSE(incomplete)",
    62: "tables are found by their headings: no model is an anchor, and one that is gone is absent",
    102: "where a source names what stands behind an id, that is an endpoint of its own, and so is the next one",
}
"""What comes of a fault where the outcome supposes another design."""

HEAD = """\
# Faults

What may go wrong, what has to come of it, and the tests that make it happen; written by `python -m tests.faults`.
{shown} of {faults} are made by a test, {both} of them on both SQLite and PostgreSQL, by those marked ².
Of the other {alone} no store takes part, or they are one engine's own, as is said beside the outcome.

- *REFUSE*: the poll fails with a reason of one line, and changes nothing.
- *ROW*: one row is refused, and its endpoint counts as seen.
- *HOLD*: the value waits, and the old one stays in force.
- *NOTE*: stored, with a note. *NOOP*: only the poll's row is written.
- *BLOCK*: not a byte is sent. *STOP*: the command refuses to start, in a line, and nothing is changed.
- *RESUME*: all of it happened, or nothing."""


class Fault(NamedTuple):
    """One way to go wrong."""

    number: int
    kind: str
    fault: str
    outcome: str


class Made(NamedTuple):
    """A test that makes faults."""

    name: str
    """`test_fetch.py::test_a_body_that_is_cut`."""
    faults: tuple[int, ...]
    both: bool
    """On both engines."""


def listed() -> list[Fault]:
    """All faults, by number."""
    with (FOLDER / "faults.csv").open(encoding="utf-8", newline="") as file:
        return [Fault(int(row["number"]), row["kind"], row["fault"], row["outcome"]) for row in csv.DictReader(file)]


def made() -> list[Made]:
    """Every test that says which faults it makes."""
    return [
        found
        for path in sorted(FOLDER.rglob("test_*.py"))
        for found in _in(path.relative_to(FOLDER).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
    ]


def _in(file: str, tree: ast.Module) -> Iterator[Made]:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    engines = set(ENGINES)
    for node in functions:  # a fixture stands above those that are made of it
        if any(ast.unparse(one).startswith("pytest.fixture") for one in node.decorator_list) and _asks(node, engines):
            engines.add(node.name)
    for node in functions:
        if faults := tuple(_marked(node)):
            yield Made(f"{file}::{node.name}", faults, _asks(node, engines))


def _asks(node: ast.FunctionDef, fixtures: set[str]) -> bool:
    return any(argument.arg in fixtures for argument in node.args.args)


def _marked(node: ast.FunctionDef) -> Iterator[int]:
    for one in node.decorator_list:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.fault":
            yield from (ast.literal_eval(argument) for argument in one.args)


def shown(tests: Iterable[Made]) -> set[int]:
    """The faults that are made by a test."""
    return {number for test in tests for number in test.faults}


def on_both(tests: Iterable[Made]) -> set[int]:
    """Those that are made on both engines."""
    return shown(test for test in tests if test.both)


def table() -> str:
    """The table as Markdown."""
    faults, tests = listed(), made()
    lines = [HEAD.format(shown=len(shown(tests)), faults=len(faults), both=len(on_both(tests)), alone=len(ALONE))]
    for kind, group in groupby(faults, lambda fault: fault.kind):
        lines += ["", f"## {kind}", "", "| # | fault | outcome | tests |", "|---|---|---|---|"]
        for fault in group:
            found = [f"`{one.name}`{'²' if one.both else ''}" for one in tests if fault.number in one.faults]
            said = [("here", HERE), ("engines", ALONE)]
            notes = [f"<br>*{what}:* {notes[fault.number]}" for what, notes in said if fault.number in notes]
            outcome = fault.outcome + "".join(notes)
            lines.append(f"| {fault.number} | {fault.fault} | {outcome} | {'<br>'.join(found) or '–'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
