"""Which model a user means; never another one."""

from collections.abc import Sequence

from store.errors import NothingMatched, QueryError
from store.read import Reader
from store.text import one_line

CURRENCIES = "currency/"
"""What stands before the code of a currency where its rates are (see `store.rates`): no model of anybody's."""

_NEAR = 5
"""Names told of where nothing was found."""

_EXACT = "SELECT name FROM model WHERE name = :name"
_BY_SLUG = "SELECT name FROM model WHERE LOWER(name) LIKE :pattern ESCAPE '!' ORDER BY name"
_ALL = "SELECT name FROM model ORDER BY name"


def find_model(reader: Reader, name: str) -> str:
    """The canonical id that a user means: exactly that id, or the one model whose slug it is.

    Raises: NothingMatched, naming what is near; QueryError if the slug is that of several models.
    """
    if reader.row(_EXACT, {"name": name}) is not None:
        return name
    wanted = name.lower()
    found = [row[0] for row in reader.rows(_BY_SLUG, {"pattern": f"%/{literally(wanted)}"}) if "/" not in wanted]
    if not found and reader.row(_EXACT, {"name": wanted}) is not None:
        return wanted
    if len(found) == 1:
        return str(found[0])
    if found:
        raise QueryError(f"{one_line(name, 80)!r} is the slug of several models: {', '.join(found)}")
    near = near_names(wanted, [row[0] for row in reader.rows(_ALL)])
    hint = f"near: {', '.join(near)}" if near else "see `tokentape models`"
    raise NothingMatched(f"no model {one_line(name, 80)!r} in this store; {hint}")


def near_names(wanted: str, names: Sequence[str]) -> list[str]:
    """Names that hold what was asked for, then those that look like it."""
    from difflib import get_close_matches  # only where nothing was found

    slug = wanted.rpartition("/")[2]
    by_slug = {name.rpartition("/")[2]: name for name in names}
    near = sorted((name for name in names if slug and slug in name.lower()), key=len)[:_NEAR]
    near += [by_slug[close] for close in get_close_matches(slug, by_slug, _NEAR)]
    return list(dict.fromkeys(near))[:_NEAR]


def literally(text: str) -> str:
    """A text in which LIKE finds no wildcards."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
