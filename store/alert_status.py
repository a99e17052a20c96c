"""How alerts fare: by rule and channel, and one by one."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from store.alert_rules import Rule
from store.columns import Column, Columns
from store.instants import from_millis, iso, to_millis
from store.read import Reader
from store.show import TableColumn, TableColumns

GIVE_UP = timedelta(days=7)
"""What could not be told for so long is no news any more: it stays in the store as failed."""

State = Literal["pending", "sent", "failed"]

_COUNTS = """
SELECT rule, channel, SUM(CASE WHEN delivered IS NULL AND made > :too_old THEN 1 ELSE 0 END),
    SUM(CASE WHEN delivered IS NOT NULL THEN 1 ELSE 0 END),
    SUM(CASE WHEN delivered IS NULL AND made <= :too_old THEN 1 ELSE 0 END), MAX(delivered)
FROM alert GROUP BY rule, channel ORDER BY rule, channel
"""
_ERRORS = """
SELECT rule, channel, error FROM alert WHERE delivered IS NULL AND error IS NOT NULL ORDER BY id
"""
_JUDGED = "SELECT name, began, judged FROM alert_rule"
_ALERTS = """
SELECT token, rule, channel, at, title, made, attempts, next_try, delivered, error, body FROM alert
WHERE (CAST(:rule AS TEXT) IS NULL OR rule = :rule) ORDER BY id
"""
_UNDELIVERED = """
SELECT channel, COUNT(*), MIN(made), MAX(attempts) FROM alert
WHERE delivered IS NULL AND attempts > 0 GROUP BY channel ORDER BY channel
"""
_ERROR = "SELECT error FROM alert WHERE delivered IS NULL AND channel = :channel ORDER BY attempts DESC, id LIMIT 1"


class Standing(NamedTuple):
    """How a rule fares on a channel."""

    rule: str
    when: str
    """Empty: the rule is configured no longer."""
    channel: str
    began: datetime | None
    """What became known before is not told; None: it has not been judged yet."""
    judged: datetime | None
    pending: int
    sent: int
    failed: int
    """Given up."""
    last_sent: datetime | None
    error: str | None
    """Why the newest of those that are not sent did not go out."""


class AlertRow(NamedTuple):
    """An alert and what became of it."""

    id: str
    rule: str
    channel: str
    state: State
    at: datetime
    """When what it is about became known."""
    title: str
    made: datetime
    attempts: int
    next_try: datetime | None
    delivered: datetime | None
    error: str | None
    body: str


class Undelivered(NamedTuple):
    """A channel that does not take what it should."""

    channel: str
    alerts: int
    since: datetime
    attempts: int
    error: str | None


def standings(reader: Reader | None, rules: Iterable[Rule], now: datetime) -> list[Standing]:
    """How each rule fares on each of its channels; then what is left of rules that are no more.

    `reader` None: there is no store yet.
    """
    judged = {} if reader is None else {name: instants for name, *instants in reader.rows(_JUDGED)}
    values = {"too_old": to_millis(now - GIVE_UP)}
    counts = {} if reader is None else {row[:2]: row[2:] for row in reader.rows(_COUNTS, values)}
    errors = {} if reader is None else {(rule, channel): error for rule, channel, error in reader.rows(_ERRORS)}
    wanted = {(rule.name, channel): str(rule.when) for rule in rules for channel in rule.channels}
    found = []
    for key in dict.fromkeys((*wanted, *counts)):
        began, until = judged.get(key[0], (None, None))
        pending, sent, failed, last_sent = counts.get(key, (0, 0, 0, None))
        found.append(
            Standing(
                key[0],
                wanted.get(key, ""),
                key[1],
                _instant(began),
                _instant(until),
                pending,
                sent,
                failed,
                _instant(last_sent),
                errors.get(key),
            )
        )
    return found


def alerts(reader: Reader, now: datetime, *, rule: str | None = None, state: State | None = None) -> list[AlertRow]:
    """Every alert in the order in which they were found."""
    found = []
    for token, name, channel, at, title, made, attempts, next_try, delivered, error, body in reader.rows(
        _ALERTS, {"rule": rule}
    ):
        given_up = from_millis(made) <= now - GIVE_UP
        is_now: State = "sent" if delivered is not None else "failed" if given_up else "pending"
        if state is None or state == is_now:
            found.append(
                AlertRow(
                    token,
                    name,
                    channel,
                    is_now,
                    from_millis(at),
                    title,
                    from_millis(made),
                    attempts,
                    from_millis(next_try) if is_now == "pending" else None,
                    _instant(delivered),
                    error,
                    body,
                )
            )
    return found


def undelivered(reader: Reader) -> list[Undelivered]:
    """Channels to which something was sent in vain."""
    return [
        Undelivered(
            channel, count, from_millis(since), attempts, (reader.row(_ERROR, {"channel": channel}) or (None,))[0]
        )
        for channel, count, since, attempts in list(reader.rows(_UNDELIVERED))
    ]


def _instant(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _columns(fields: Iterable[str]) -> Columns[Any]:
    return tuple(Column(name, attrgetter(name)) for name in fields)


STANDINGS: Columns[Standing] = _columns(Standing._fields)
ALERTS: Columns[AlertRow] = _columns(AlertRow._fields)


def _minute(at: datetime | None) -> str:
    return "" if at is None else iso(at)[:16].replace("T", " ")


def standings_table() -> TableColumns[Standing]:
    """Rules and channels."""
    return (
        TableColumn("rule", lambda row: row.rule),
        TableColumn("when", lambda row: row.when or "no rule"),
        TableColumn("channel", lambda row: row.channel, spare=1, cut="right"),
        TableColumn("pending", lambda row: str(row.pending), right=True),
        TableColumn("sent", lambda row: str(row.sent), right=True),
        TableColumn("failed", lambda row: str(row.failed), right=True),
        TableColumn("last sent (UTC)", lambda row: _minute(row.last_sent), spare=3),
        TableColumn("judged (UTC)", lambda row: _minute(row.judged), spare=4),
        TableColumn("error", lambda row: row.error or "", spare=2, cut="right"),
    )


def alerts_table() -> TableColumns[AlertRow]:
    """Alerts."""
    return (
        TableColumn("id", lambda row: row.id, spare=5),
        TableColumn("state", lambda row: row.state),
        TableColumn("known (UTC)", lambda row: _minute(row.at), spare=2),
        TableColumn("rule", lambda row: row.rule, spare=3),
        TableColumn("title", lambda row: row.title, cut="right"),
        TableColumn("tries", lambda row: str(row.attempts), spare=4, right=True),
        TableColumn("channel", lambda row: row.channel, spare=6, cut="right"),
        TableColumn("error", lambda row: row.error or "", spare=1, cut="right"),
    )
