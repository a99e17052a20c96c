"""What is to be told, kept until it is: written in the transaction in which its rule is judged so far.

At least once: what a process was about to say when it was killed is said again by the next one, under the same id. A
message is claimed before it is sent, by one sender at a time, and tried again with growing pauses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from store.alert_news import News
from store.alert_rules import Rule
from store.alert_status import GIVE_UP
from store.alert_texts import Text, at_most, together
from store.alerts import Alert, Circumstances, alerts, ordered
from store.db import BUSY_S, open_engine, plain_errors, reading
from store.instants import to_millis
from store.read import Reader, open_store

OVERLAP = timedelta(hours=1)
"""How far back is looked again: what others wrote may have become known a little before it could be read."""
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)

_RULES = text("SELECT name, definition, began, judged FROM alert_rule")
_KEEP_RULE = text(
    """
    INSERT INTO alert_rule (name, definition, began, judged) VALUES (:name, :definition, :began, :judged)
    ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, began = excluded.began, judged = excluded.judged
    """
)
_FORGET_RULE = text("DELETE FROM alert_rule WHERE name = :name")
_ADD = text(
    """
    INSERT INTO alert (token, rule, channel, at, title, body, made, attempts, next_try)
    VALUES (:token, :rule, :channel, :at, :title, :body, :made, 0, :made) ON CONFLICT DO NOTHING
    """
)
_DUE = text(
    """
    SELECT id, rule, channel, title, body, attempts FROM alert
     WHERE delivered IS NULL AND next_try <= :now AND made > :too_old ORDER BY channel, rule, at, id
    """
)
_CLAIM = text(
    """
    UPDATE alert SET attempts = attempts + 1, next_try = :next_try
     WHERE id = :id AND delivered IS NULL AND attempts = :attempts
    """
)
_SENT = text("UPDATE alert SET delivered = :now, error = NULL WHERE id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_NOT_SENT = text("UPDATE alert SET error = :error WHERE delivered IS NULL AND id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)

Send = Callable[[str, str, str], str | None]
"""Called with channel, title and body; why it did not go out, or None."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How far a rule has been judged, and what was found."""

    rule: Rule
    began: int
    judged: int
    alerts: Sequence[Alert]


class _Pending(NamedTuple):
    id: int
    rule: str
    channel: str
    text: Text
    attempts: int


class Sent(NamedTuple):
    """What became of a message."""

    channel: str
    rule: str
    alerts: int
    error: str | None


class Outbox:
    """The alerts of a store.

    Raises: StoreError on opening and on every call, for anything the database refuses.
    """

    def __init__(self, url: str, *, busy_s: float = BUSY_S) -> None:
        database = open_engine(url, busy_s)
        self._url = url
        self._engine = database.engine
        self._name = database.name

    def close(self) -> None:
        """Release the file, or the server."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with plain_errors(self._name), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with reading(self._engine, self._name) as connection:
            yield connection

    def judge(self, rules: Sequence[Rule], given: Circumstances, now: datetime) -> int:
        """Find what is to be told by each rule since it was judged last; how many are new.

        A rule that is new, or says something else than before, begins now; one that is no more is forgotten.
        """
        with self._reading() as connection:
            before = {row.name: row for row in connection.execute(_RULES)}
        if not rules and not before:
            return 0
        found: list[Judged] = []
        overlap, millis = OVERLAP // timedelta(milliseconds=1), to_millis(now)
        with open_store(self._url) as reader:
            news = _News(reader)
            for rule in rules:
                row = before.get(rule.name)
                if row is None or row.definition != rule.definition:
                    found.append(Judged(rule, millis, millis, ()))
                    continue
                until = max(millis, row.judged)
                between = news.between(max(row.began, row.judged - overlap), until)
                found.append(Judged(rule, row.began, until, ordered(alerts(rule, between, given))))
        gone = before.keys() - {rule.name for rule in rules}
        with self._writing() as connection:
            for name in sorted(gone):
                connection.execute(_FORGET_RULE, {"name": name})
            return sum(self._keep(connection, one, millis) for one in sorted(found, key=lambda one: one.rule.name))

    def _keep(self, connection: Connection, one: Judged, made: int) -> int:
        rule = one.rule
        values = {"name": rule.name, "definition": rule.definition, "began": one.began, "judged": one.judged}
        connection.execute(_KEEP_RULE, values)
        return sum(
            self._add(connection, rule.name, channel, alert, made) for alert in one.alerts for channel in rule.channels
        )

    def _add(self, connection: Connection, rule: str, channel: str, alert: Alert, made: int) -> int:
        values = {
            "token": alert.id,
            "rule": rule,
            "channel": channel,
            "at": alert.at,
            "title": alert.title,
            "body": alert.body,
            "made": made,
        }
        return connection.execute(_ADD, values).rowcount

    def deliver(self, send: Send, now: Callable[[], datetime], go_on: Callable[[], bool] = lambda: True) -> list[Sent]:
        """Send all that is due; a channel that fails is left alone until the next time."""
        done: list[Sent] = []
        failed: set[str] = set()
        with self._reading() as connection:
            values = {"now": to_millis(now()), "too_old": to_millis(now() - GIVE_UP)}
            due = [
                _Pending(row.id, row.rule, row.channel, (row.title, row.body), row.attempts)
                for row in connection.execute(_DUE, values)
            ]
        for (channel, rule), group in groupby(due, key=lambda one: (one.channel, one.rule)):
            left = list(group)
            for count in at_most([one.text for one in left]):
                some, left = left[:count], left[count:]
                claimed = [] if channel in failed or not go_on() else self._claim(some, now())
                if claimed:
                    error = send(channel, *together(rule, [one.text for one in claimed]))
                    self._over(claimed, error, now())
                    done.append(Sent(channel, rule, len(claimed), error))
                    if error is not None:
                        failed.add(channel)
        return done

    def _claim(self, some: Iterable[_Pending], now: datetime) -> list[_Pending]:
        """Those of some that nobody else is about to send."""
        claimed = []
        with self._writing() as connection:
            for one in some:
                next_try = to_millis(now + pause(one.attempts))
                values = {"id": one.id, "attempts": one.attempts, "next_try": next_try}
                if connection.execute(_CLAIM, values).rowcount == 1:
                    claimed.append(one)
        return claimed

    def _over(self, some: Iterable[_Pending], error: str | None, now: datetime) -> None:
        ids = [one.id for one in some]
        with self._writing() as connection:
            if error is None:
                connection.execute(_SENT, {"ids": ids, "now": to_millis(now)})
            else:
                connection.execute(_NOT_SENT, {"ids": ids, "error": error})


class _News:
    """News of a reader, by the stretch of time that is asked about: most rules have the same."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[tuple[int, int], News] = {}

    def between(self, after: int, until: int) -> News:
        return self._known.setdefault((after, until), News(self._reader, after, until))


def pause(attempts: int) -> timedelta:
    """How long after an attempt the next one may be made, by how many there were before."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(attempts, 10)))
