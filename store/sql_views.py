"""Prices for those who open the store with other programs: two views of what is believed, in names, decimals and UTC.

On SQLite decimals and instants are text: `0.15`, and `2026-08-22T12:00:00.000Z`, of which the later is the greater; on
PostgreSQL they are `numeric` and `timestamptz`. Amounts stand beside them as integers of 1e-9, to sort and to count by.
Nothing that has been corrected is there, and no clock is: how old a price is, `last_seen` says.
"""

from collections.abc import Callable, Iterator

from store.naming import CURRENCIES
from store.records import END_REASONS
from store.units import CORE_METERS

VIEWS = {
    "current_prices": """ AND i.lasted IS NULL AND i.first_seen = (
    SELECT x.first_seen FROM span x WHERE x.endpoint_id = e.id AND x.known_to IS NULL
    ORDER BY x.first_seen DESC LIMIT 1)""",
    "price_history": "",
}
"""Name -> which of an endpoint's beliefs that were not superseded: the newest is found by its key."""


def statements(*, sqlite: bool) -> Iterator[str]:
    """SQL: what makes the views."""
    for name, chosen in VIEWS.items():
        columns = [
            f"{value} AS {column}"
            for column, value in (_on_sqlite() if sqlite else _on_postgres()).items()
            if name != "current_prices" or column not in {"ended", "end_reason"}
        ]
        listed = ",\n    ".join(columns)
        yield f"""
CREATE VIEW {name} AS
SELECT {listed}
FROM endpoint e
CROSS JOIN span i
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = e.id AND i.known_to IS NULL
    AND substr(m.name, 1, {len(CURRENCIES)}) <> '{CURRENCIES}'{chosen}
"""  # noqa: S608 - put together from constants only


_ENDPOINT = """e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END"""
_REASON = "".join(
    ("CASE i.reason", *(f" WHEN {code} THEN '{reason}'" for code, reason in enumerate(END_REASONS)), " END")
)
_DISPUTED = """EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.known_to IS NULL AND g.ended IS NULL AND i.lasted IS NULL
    )"""


def _last_seen(no_part_of: str, later: str) -> str:
    """The last poll that saw it: told where it ended or is missing now, else the newest that covered its part."""
    return f"""
        CASE WHEN i.lasted IS NOT NULL THEN i.first_seen + i.lasted - i.missed
        ELSE {later}(i.first_seen, COALESCE(
            (SELECT u.last_seen FROM gap u WHERE u.endpoint_id = e.id AND u.known_to IS NULL AND u.until IS NULL
             ORDER BY u.since DESC LIMIT 1),
            (SELECT b.at FROM poll b
             WHERE b.source_id = e.source_id AND b.outcome <> 'failed'
                AND (b.failed_parts IS NULL OR {no_part_of})
             ORDER BY b.at DESC LIMIT 1),
            i.first_seen)) END"""  # noqa: S608 - put together from constants only


def _columns(
    instant: Callable[[str], str],
    decimal: Callable[[str], str],
    *,
    last_seen: str,
    state: Callable[[str], str],
    conditions: str,
) -> dict[str, str]:
    """Column -> SQL, by the names of the columns of `tokentape export`."""
    return {
        "model": "m.name",
        "provider": "p.name",
        "endpoint": _ENDPOINT,
        "variant": "e.variant",
        "source": "s.name",
        "not_before": instant("i.first_seen - i.unseen"),
        "first_seen": instant("i.first_seen"),
        "last_seen": instant(last_seen),
        "ended": instant("i.first_seen + i.lasted"),
        "end_reason": _REASON,
        **{meter: decimal(f"c.{meter}") for meter in CORE_METERS},
        "currency": "c.currency",
        **{
            f"{meter}_state": f"CASE WHEN c.{meter} > 0 THEN 'priced' WHEN c.{meter} = 0 THEN 'free'\n"
            f"        ELSE COALESCE({state(meter)}, 'not_offered') END"
            for meter in CORE_METERS
        },
        **{f"{meter}_nano": f"c.{meter}" for meter in CORE_METERS},
        "has_conditions": conditions,
        "context_length": "f.context_length",
        "max_output_tokens": "f.max_output_tokens",
        "quantization": "f.quantization",
        "disputed": _DISPUTED,
        "document": "d.sha256",
        "ref": f"s.name || ':' || p.name || ':'\n        || {_ENDPOINT}",
    }


def _on_sqlite() -> dict[str, str]:
    def instant(millis: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', ({millis}) / 1000.0, 'unixepoch')"

    def decimal(nano: str) -> str:
        text = f"printf('%d.%09d', {nano} / 1000000000, {nano} % 1000000000)"
        return f"CASE WHEN {nano} IS NOT NULL THEN\n        rtrim(rtrim({text}, '0'), '.')\n    END"

    missing = "NOT EXISTS (\n                SELECT 1 FROM json_each(b.failed_parts) k WHERE k.value = e.part)"
    return _columns(
        instant,
        decimal,
        last_seen=_last_seen(missing, "MAX"),
        state=lambda meter: f"json_extract(c.body, '$.states.{meter}')",
        conditions="json_type(c.body, '$.overrides') IS NOT NULL",
    )


def _on_postgres() -> dict[str, str]:
    return _columns(
        lambda millis: f"timestamptz 'epoch' + ({millis}) * interval '1 millisecond'",
        lambda nano: f"trim_scale({nano} * 0.000000001)",
        last_seen=_last_seen("NOT jsonb_exists(b.failed_parts::jsonb, e.part)", "GREATEST"),
        state=lambda meter: f"c.body::jsonb #>> '{{states,{meter}}}'",
        conditions="jsonb_exists(c.body::jsonb, 'overrides')",
    )
