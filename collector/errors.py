"""Everything that can go wrong while collecting.

    CollectorError
    ├── ConfigError      the configuration is not usable: nothing was started
    ├── FetchFailed      no whole, believable body was received
    │   └── Blocked      not one byte was asked for: forbidden address, scheme or redirect
    ├── SourceChanged    a body came, and it is not what its source has always said
    └── BackfillRefused  a folder or a history cannot be taken over: nothing of it was

A message says source, place, what was wanted and what was there: one line, truncated, free of control characters and
of secrets. `code` is a short stable word for tables and tests (`http_500`, `truncated`, `too_large`, `columns`, ...).
"""

from collections.abc import Sequence

from store.text import one_line


class CollectorError(Exception):
    """Base of all errors of the collector."""

    def __init__(self, message: str, *, code: str) -> None:
        self.code = code
        super().__init__(one_line(message))


class ConfigError(CollectorError):
    """The configuration is not usable; shown with a line for each mistake."""

    def __init__(self, message: str, *, code: str = "config", mistakes: Sequence[str] = ()) -> None:
        self.mistakes = tuple(map(one_line, mistakes))
        super().__init__(message, code=code)

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *self.mistakes])


class FetchFailed(CollectorError):
    """No whole, believable body was received."""

    def __init__(self, message: str, *, code: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message, code=code)


class Blocked(FetchFailed):
    """The request was not sent, or a redirect was not followed."""


class SourceChanged(CollectorError):
    """The body is not what the source has always said."""

    def __init__(self, message: str, *, code: str = "schema") -> None:
        super().__init__(message, code=code)


class BackfillRefused(CollectorError):
    """A folder or a history is not what it should be, or cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="backfill")
