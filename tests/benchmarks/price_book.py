"""A price looked up and a request priced: from a book, through the store, and by the peer; then what importing costs.

The peer, `genai_prices.calc_price`, prices the same request; its own data is in the store that is asked.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import ROOT, compare, in_turn, note, report, spend, spread

if TYPE_CHECKING:
    from store.book import PriceBook

CALLS = 20_000
THROUGH_STORE = 400
MODEL, PROVIDER = "openai/gpt-4o", "openai"
OURS = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(prog="price_book", description=__doc__)
    options.add_argument("--repetitions", type=int, default=9)
    options.add_argument("--store", type=Path, help="a store to ask instead of one made of genai-prices' own data")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        store = given.store.resolve() if given.store else collected(scratch)
        imports(scratch, store, given.repetitions)
        calls(store, given.repetitions)


def collected(scratch: Path) -> Path:
    """A store of the source that needs no network."""
    store = scratch / "tokentape.db"
    run = f"{OURS}from collector.cli import run; run()"
    note(spend([sys.executable, "-c", run, "--store", store, "collect", "genai_prices"], scratch).output)
    return store


def imports(scratch: Path, store: Path, repetitions: int) -> None:
    """Whole processes that import, and that open a store and price one request."""
    book = f"{OURS}from store import open_store\nwith open_store({str(store)!r}) as tape: "
    one = f"tape.price_book(models=[{MODEL!r}]).cost({MODEL!r}, input_tokens=1)"
    peer = "from genai_prices import calc_price, Usage"
    sides = {
        "from store import open_store": f"{OURS}from store import open_store",
        "... one price": book + one,
        "... a book of all models": book + "tape.price_book()",
        "import genai_prices": "import genai_prices",
        "... one price (peer)": f"{peer}; calc_price(Usage(input_tokens=1), 'gpt-4o', provider_id='openai')",
        "python -c pass": "pass",
    }
    runs = {name: partial(spend, [sys.executable, "-c", code], scratch) for name, code in sides.items()}
    found = in_turn(runs, repetitions)
    report(found)
    compare(found, "from store import open_store", "import genai_prices")
    compare(found, "... one price", "import genai_prices")
    compare(found, "... one price", "... one price (peer)")


def calls(store: Path, repetitions: int) -> None:
    """The same request priced again and again inside one process."""
    from genai_prices import Usage, calc_price

    from store import Workload, open_store

    at = datetime.now(UTC)
    load = Workload(input_tokens=3000, output_tokens=1000, cached_tokens=500)
    usage = Usage(input_tokens=3000, output_tokens=1000, cache_read_tokens=500)
    with open_store(str(store)) as tape:
        started = time.perf_counter()
        book = tape.price_book()
        print(f"book of {len(book)} offers made in {1000 * (time.perf_counter() - started):.0f} ms")
        sides: dict[str, Callable[[], object]] = {
            "book": lambda: book.cost(MODEL, PROVIDER, input_tokens=3000, output_tokens=1000, cached_tokens=500),
            "book, long prompts": lambda: book.cost(
                "anthropic/claude-sonnet-4.5", "anthropic", input_tokens=3000, output_tokens=1000, cached_tokens=500
            ),
            "calc_price": lambda: calc_price(usage, "gpt-4o", provider_id=PROVIDER),
            "through the store": lambda: tape.cost(MODEL, load, provider=PROVIDER),
        }
        for name, seller in hourly(book):
            sides["book, by the hour"] = partial(
                book.cost, name, seller, at=at, input_tokens=3000, output_tokens=1000, cached_tokens=500
            )
        timed(sides, repetitions)


def hourly(book: "PriceBook") -> list[tuple[str, str]]:
    """An offer whose price depends on the hour, if there is any."""
    from store.errors import StoreError

    for model in ("deepseek/deepseek-v4-pro", "deepseek/deepseek-v4-flash", "deepseek/deepseek-chat"):
        try:
            if any(one.start_minute is not None for one in book.offer(model, "deepseek").card.overrides):
                return [(model, "deepseek")]
        except StoreError:
            continue
    return []


def timed(sides: Mapping[str, Callable[[], object]], repetitions: int) -> None:
    """Microseconds a call, in turn, and the ratio to the peer."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            count = THROUGH_STORE if name == "through the store" else CALLS // 20 if name == "calc_price" else CALLS
            started = time.perf_counter()
            for _ in range(count):
                side()
            found[name].append(1e6 * (time.perf_counter() - started) / count)
    for name, values in found.items():
        ratio = statistics.median(a / b for a, b in zip(values, found["calc_price"], strict=True))
        print(f"{name:20} {spread(values, 'us')}  {ratio:.3g}x calc_price")


if __name__ == "__main__":
    main()
