"""The tape as a Python library.

    from store import open_store

    with open_store("tokentape.db") as tape:
        for row in tape.endpoints("openai/gpt-oss-120b"):
            print(row.provider, row.card.amount("input"))

`open_store` gives a `store.tape.Tape`, which answers every question of the command line; `Workload`, `Traffic` and
`Constraints` say what to ask it about. Nothing is imported before it is needed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from store.constraints import Constraints
    from store.costing import Workload
    from store.tape import Tape, open_store
    from store.traffic import Traffic

__all__ = ["Constraints", "Tape", "Traffic", "Workload", "open_store"]

_FROM = {
    "Constraints": "store.constraints",
    "Tape": "store.tape",
    "Traffic": "store.traffic",
    "Workload": "store.costing",
    "open_store": "store.tape",
}


def __getattr__(name: str) -> Any:
    """What stands in `__all__`, from where it is."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FROM[name]), name)
