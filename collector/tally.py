"""How many endpoints and models there are, kept up as offers come and go."""

from collections import Counter
from collections.abc import Collection

from collector import checks
from collector.contract import SourceSpec
from store.records import Observation


class Tally:
    """What `checks.counted` counts of all observations, at the cost of those that change."""

    def __init__(self) -> None:
        self._models: Counter[str] = Counter()
        self._distinct = 0
        """Models that there is an offer of."""
        self._endpoints = 0
        self.quotes = 0
        """Observations."""

    def exchange(self, gone: Collection[tuple[Observation, ...]], new: Collection[tuple[Observation, ...]]) -> None:
        """Put offers, each with all its observations, in the place of others."""
        models = Counter(one.identity.model for seen in new for one in seen)
        models.subtract(one.identity.model for seen in gone for one in seen)
        self._distinct += sum(self._models[model] == 0 < more for model, more in models.items())
        self._distinct -= sum(self._models[model] == -more > 0 for model, more in models.items())
        self._models.update(models)
        self._endpoints += _endpoints(new) - _endpoints(gone)
        self.quotes += sum(map(len, new)) - sum(map(len, gone))

    def expect(self, spec: SourceSpec) -> None:
        """Raises: SourceChanged if a source is known to have more."""
        checks.expected({"endpoints": self._endpoints, "models": self._distinct}, spec)


def _endpoints(offers: Collection[tuple[Observation, ...]]) -> int:
    """How many offers that facts tell apart; mostly one of a kind, of which nobody has to ask."""
    return sum(len(seen) if len(seen) < 2 else len({one.facts.text for one in seen}) for seen in offers)
