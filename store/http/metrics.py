"""Metrics in the text form of Prometheus, from the store itself: per source, and of nothing that has no bound."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from store.health import PollRow, newest_polls
from store.read import Reader

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_OF_A_POLL: tuple[tuple[str, str, Callable[[PollRow], float | None]], ...] = (
    ("up", "1 if the newest poll went well, also in part.", lambda row: row.outcome != "failed"),
    ("last_poll_timestamp_seconds", "When it was polled last.", lambda row: row.at_ms / 1000),
    (
        "last_success_timestamp_seconds",
        "When a poll went well last, also in part.",
        lambda row: None if row.last_success_ms is None else row.last_success_ms / 1000,
    ),
    ("interval_seconds", "How often it is polled.", lambda row: row.every_s),
    ("poll_duration_seconds", "How long the newest poll took.", lambda row: row.duration_ms / 1000),
    ("poll_bytes", "Bytes that the newest poll received.", lambda row: row.body_bytes),
    ("poll_requests", "Requests of the newest poll.", lambda row: row.requests),
    ("poll_quotes", "Endpoints that the newest poll read.", lambda row: row.quotes),
    ("poll_changes", "Intervals that the newest poll began or ended.", lambda row: row.changes),
    ("poll_held", "Findings that keep something of the newest poll off the tape.", lambda row: row.held),
)


class _OfStore:
    """What is told whenever somebody asks."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        polls = newest_polls(self._reader)
        for name, text, value_of in _OF_A_POLL:
            family = GaugeMetricFamily(f"tokentape_source_{name}", text, labels=("source",))
            for row in polls:
                value = value_of(row)
                if value is not None:
                    family.add_metric((row.source,), value)
            yield family
        yield GaugeMetricFamily("tokentape_store_bytes", "Bytes of the database.", self._reader.size())
        yield GaugeMetricFamily("tokentape_store_schema", "Version of the schema.", self._reader.version)


def metrics(reader: Reader) -> bytes:
    """All of them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfStore(reader))
    return generate_latest(registry)
