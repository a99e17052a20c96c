"""The direction of imports, read from the syntax tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = (
    "collector/normalise.py",
    "collector/audit.py",
    "collector/checks.py",
    "collector/doubts.py",
    "collector/witnesses.py",
    "collector/identify.py",
    "collector/parse",
    "store/timeline.py",
    "store/routing.py",
    "store/breakeven.py",
    "store/blend.py",
    "store/conditions.py",
    "store/conflicts.py",
    "store/currency.py",
    "store/page.py",
    "store/periods.py",
    "store/records.py",
    "store/spread.py",
    "store/units.py",
)
"""Files of the way of a price that must not know network, database, clock or log."""
FORBIDDEN_IN_PURE = {"httpx", "sqlalchemy", "sqlmodel", "sqlite3", "socket", "logging", "apscheduler", "subprocess"}
LATE = {
    "apprise",
    "httpx",
    "sqlalchemy",
    "sqlmodel",
    "alembic",
    "psycopg",
    "apscheduler",
    "fastapi",
    "jinja2",
    "pydantic",
    "selectolax",
    "uvicorn",
    "genai_prices",
    "matplotlib",
    "pyarrow",
    "xlsxwriter",
}
"""Packages too slow to be imported before a command needs them."""


def modules(*parts: str) -> list[Path]:
    found: list[Path] = []
    for part in parts:
        path = ROOT / part
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def test_store_never_imports_collector() -> None:
    for path in modules("store"):
        assert not [name for name in imports(path) if name.split(".")[0] == "collector"], path


@pytest.mark.parametrize("path", modules(*PURE), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_files_know_no_network_database_clock_or_log(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN_IN_PURE
    calls = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not calls & {"now", "utcnow", "today"}


def test_only_fetch_with_its_parts_and_the_client_know_http() -> None:
    knowing = {path.name for path in modules("collector", "store") if "httpx" in set(imports(path))}
    assert knowing == {"fetch.py", "transport.py", "address.py", "client.py"}


def test_only_the_write_side_knows_sqlalchemy() -> None:
    knowing = {
        str(path.relative_to(ROOT / "store"))
        for path in modules("collector", "store")
        if {name.split(".")[0] for name in imports(path)} & {"sqlalchemy", "sqlmodel", "alembic"}
    }
    revisions = {name for name in knowing if name.startswith("migrations/")}
    assert knowing - revisions == {
        "check.py",
        "db.py",
        "leases.py",
        "load.py",
        "outbox.py",
        "retention.py",
        "scribe.py",
        "statements.py",
        "tables.py",
        "upgrade.py",
        "verdicts.py",
        "write.py",
    }


def test_only_one_module_knows_the_driver_of_postgresql() -> None:
    knowing = {path.name for path in modules("collector", "store") if "psycopg" in set(imports(path))}
    assert knowing == {"postgres.py"}


def test_command_line_imports_nothing_slow_before_a_command_runs() -> None:
    for path in modules("collector/cli.py", "store/cli.py"):
        names = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not names & LATE, path


def test_no_floats_in_the_rooms_of_money() -> None:
    for path in modules(
        *(
            "store/units.py",
            "store/routing.py",
            "store/costing.py",
            "store/traffic.py",
            "store/currency.py",
            "store/timeline.py",
            "collector/normalise.py",
        ),
        *("store/compare.py", "store/model_page.py", "store/breakeven.py"),
        *("store/blend.py", "store/index.py", "store/spread.py", "store/volatility.py", "store/weights.py"),
        *("store/book.py", "store/offers.py", "store/priced.py", "store/ready.py", "store/stretches.py"),
        *(
            "collector/bill.py",
            "collector/bill_routes.py",
            "collector/bill_totals.py",
            "collector/causes.py",
            "collector/audit_usage_views.py",
        ),
        *("collector/usage.py", "collector/usage_forms.py"),
    ):
        tree = ast.parse(path.read_text())
        floats = [
            node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is float
        ]
        names = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "float"]
        assert not floats + names, path
