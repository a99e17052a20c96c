"""Traffic as people describe it: counts and shares, hours in words, kinds of requests in a file."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from store.costing import Workload
from store.errors import QueryError
from store.text import one_line
from store.traffic import HOURS, Traffic, hours_of_week

_COLUMNS = {"input": "input_tokens", "output": "output_tokens", "cached": "cached_tokens"}
_LONGEST_CELL = 20
_MOST_KINDS = 10_000


def described(
    *,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    hits: Fraction | None = None,
    ttl: str | None = None,
    more: Sequence[str] = (),
    mix: Path | None = None,
    a_month: int | None = None,
    hours: str | None = None,
    tz: str = "UTC",
) -> Traffic:
    """Traffic of one kind of requests, or of those in the file `mix`.

    `hits`: share of each prompt that is read from a cache; `ttl`: the rest of it is written to one, for `5m` or `1h`.
    `more`: `METER=N`. `hours`: see `store.traffic.hours_of_week`; with `a_month` alone, they come evenly.
    Raises: ValueError or KeyError, saying what is wrong; QueryError if the file cannot be read.
    """
    if hits is not None and cached_tokens:
        raise ValueError("--cached counts tokens and --cache-hit says which share of the prompt: one of them")
    counts = counts_of(more)
    if ttl is not None:
        written = "cache_write_1h" if ttl == "1h" else "cache_write"
        if written in counts:
            raise ValueError(f"--cache-ttl writes the rest of the prompt to a cache: not beside --also {written}=N")
        parts = sum(count for meter, count in counts.items() if meter.startswith("input_"))
        counts[written] = input_tokens - cached_tokens - parts
    if mix is not None:
        loads = tuple(_kinds(mix))
    else:
        loads = (
            Workload(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_tokens=cached_tokens,
                more=tuple(sorted((meter, count) for meter, count in counts.items() if count)),
            ),
        )
    week = hours_of_week(hours) if hours is not None else (1,) * HOURS if a_month is not None else None
    traffic = Traffic(loads=loads, week=week, tz=tz, a_month=a_month)
    return traffic if hits is None else traffic.with_hits(hits)


def counts_of(more: Sequence[str]) -> dict[str, int]:
    """Meters and counts of `METER=N`.

    Raises: ValueError for anything else.
    """
    counts: dict[str, int] = {}
    for text in more:
        meter, sign, count = text.partition("=")
        if not sign or not count.isdecimal() or len(count) > _LONGEST_CELL or meter in counts:
            raise ValueError(f"{one_line(text, 60)!r} is not of the form METER=N, such as web_search=2, each once")
        counts[meter] = int(count)
    return counts


def _kinds(path: Path) -> Iterator[Workload]:
    """The kinds of requests in a CSV: a column for each count, by the names of options or meters.

    Of a row with `requests`, counts are those of one request.
    """
    import csv  # most questions have no file

    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            if rows.fieldnames is None or len(set(rows.fieldnames)) != len(rows.fieldnames):
                raise QueryError(f"{one_line(str(path), 200)}: no line of headings, each once")
            for number, row in enumerate(rows):
                if number >= _MOST_KINDS:
                    raise QueryError(f"{one_line(str(path), 200)}: more than {_MOST_KINDS} kinds of requests")
                yield _kind(row, f"{one_line(str(path), 200)}: line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise QueryError(f"{one_line(str(path), 200)} cannot be read: {one_line(str(error), 200)}") from None


def _kind(row: Mapping[str | None, object], where: str) -> Workload:
    counts: dict[str, int] = {}
    for name, text in row.items():
        if name is None or text is None:
            raise QueryError(f"{where}: as many cells as headings are expected")
        if text == "":
            continue
        if not isinstance(text, str) or not text.isdecimal() or len(text) > _LONGEST_CELL:
            raise QueryError(f"{where}: {one_line(name, 40)} is {one_line(str(text), 40)!r}, not a count")
        counts[name] = int(text)
    requests = counts.pop("requests", 1)
    tokens = {field: counts.pop(name, 0) * requests for name, field in _COLUMNS.items()}
    try:
        return Workload(
            **tokens,
            more=tuple(sorted((meter, count * requests) for meter, count in counts.items() if count)),
            requests=requests,
            prompt_tokens=tokens["input_tokens"] // max(1, requests),
        )
    except ValueError as error:
        raise QueryError(f"{where}: {error}") from None
