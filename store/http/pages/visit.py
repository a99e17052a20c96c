"""What a page is asked for: its address, and the addresses that lead on from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin
from urllib.parse import urlencode

from fastapi import Request
from pydantic import ValidationError

from store.doors import Doors
from store.errors import QueryError
from store.http.asked import Asked, Question, asked
from store.http.gate import LONGEST_TARGET

Q = TypeVar("Q", bound=Question)
Value = str | int | Iterable[str] | None
KEPT = ("at", "known_at")
"""What every link within the dashboard carries on."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that was asked for."""

    ask: Asked
    path: str
    given: tuple[tuple[str, str], ...]
    """The parameters that have a value, in their order."""

    def value(self, name: str) -> str:
        """A parameter as it was given; empty if it was not."""
        return next((value for key, value in self.given if key == name), "")

    def values(self, name: str) -> tuple[str, ...]:
        """All values of one that may be given several times."""
        return tuple(value for key, value in self.given if key == name)

    def link(self, path: str, **named: Value) -> str:
        """The address of another page at the same instants; empty where nobody could ask for it."""
        return _address(path, [*named.items(), *((name, self.value(name)) for name in KEPT)])

    def again(self, **changed: Value) -> str:
        """The address of this page with other values."""
        return _address(self.path, [*((k, v) for k, v in self.given if k not in changed), *changed.items()])

    def data(self, path: str, **named: Value) -> str:
        """The address of an answer for programs that is about the same instants."""
        return self.link(f"/v1/{path}", **named)


def visit(doors: Doors, statement_s: float, request: Request, kind: type[Q]) -> tuple[Visit, Q]:
    """A page with its question; what a form left empty was not asked.

    Raises: QueryError for what is no question.
    """
    given = tuple((name, value) for name, value in request.query_params.multi_items() if value.strip())
    fields: dict[str, Any] = {}
    for name, value in given:
        field = kind.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is tuple:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    try:
        question = kind.model_validate(fields)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])[:100] or "the address"
        raise QueryError(f"{place}: {wrong['msg']}") from None
    return Visit(asked(doors, statement_s, request, question), request.url.path, given), question


def _address(path: str, named: Iterable[tuple[str, Value]]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in named:
        values = [str(value)] if isinstance(value, (str, int)) else value or ()
        pairs += ((name, one) for one in values if one)
    address = f"{path}?{urlencode(pairs, errors='replace')}" if pairs else path
    return address if len(address) <= LONGEST_TARGET else ""
