"""Distrust of a single row, while the document is believed."""

from collections.abc import Mapping

from store.records import Finding
from store.text import one_line


class Doubt(ValueError):
    """A reason not to believe one row: the row is held, its document is not refused."""

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        super().__init__(message)

    def finding(self, locator: str) -> Finding:
        """The doubt as it is kept."""
        return Finding(rule=self.rule, message=one_line(str(self)), held=True, locator=locator)


def note(rule: str, message: str, locator: str) -> Finding:
    """A remark on a row that is believed all the same."""
    return Finding(rule=rule, message=one_line(message), held=False, locator=locator)


def describe(value: object) -> str:
    """A JSON value in a few words, for messages."""
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return one_line(repr(value) if isinstance(value, str) else str(value), 60)
