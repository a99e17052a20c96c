"""What the store can be asked: one function per question.

A question takes a reader (`store.read.open_store`) and aware UTC instants, passed in by the door that reads the clock,
and answers with frozen rows, or with an iterator of them where there may be many. Of the two clocks, `at` is when it
was true and `known` when we knew it: an answer for an earlier `known` is the one that was given then. What a workload
costs, and where it is cheapest, is computed from such rows in `store.routing`.
"""

from store.belief import Coverage
from store.catalogue import HeldRow, ModelRow, SourceRow, held, models, sources
from store.changes import ChangeRow, changes
from store.evidence import Evidence, explain
from store.facts import FactRow, facts
from store.intervals import IntervalRow, current, endpoints, history
from store.naming import find_model

__all__ = [
    "ChangeRow",
    "Coverage",
    "Evidence",
    "FactRow",
    "HeldRow",
    "IntervalRow",
    "ModelRow",
    "SourceRow",
    "changes",
    "current",
    "endpoints",
    "explain",
    "facts",
    "find_model",
    "held",
    "history",
    "models",
    "sources",
]
