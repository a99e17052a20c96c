"""Alerts on their way: real receivers, processes that are killed, channels that fail, and what is shown of it all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from collector import alerts
from collector.alerts import run_once, send
from collector.config import Config, load
from store.alert_texts import TITLE_LIMIT, at_most, together
from store.instants import utc_now
from store.location import is_postgres
from store.outbox import FIRST_PAUSE, LONGEST_PAUSE, Outbox, pause
from tests.collecting import Upstreams, ask, environ, own_sources, told, until
from tests.conftest import ROOT
from tests.killed import killed_at
from tests.receiving import Hook, Mailbox, ids
from tests.stores import content, rows, run
from tests.tape import Tape, usd

CENT = 10_000_000
COUNT = 3
"""Prices that moved in the ledger of these tests."""
NOW = utc_now().replace(microsecond=0)
MOVED = {"name": "moved", "when": "price", "url_env": "HOOK"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as running:
        yield running


def config_of(home: Path, url: str, *rules: Mapping[str, Any]) -> Config:
    """A configuration with rules, and a store that these began in two hours ago; prices have moved since."""
    path = home / "alerts.yaml"
    path.write_text(json.dumps({"alerts": list(rules)}))
    config = replace(load(path, {}), store=url)
    tape = Tape(url)
    source = tape.source("acme")
    with closing(Outbox(url)) as outbox:
        run_once(config, outbox, {}, lambda: NOW - timedelta(hours=2))
    for number in range(COUNT):
        endpoint = tape.endpoint(source, "acme", f"a/{number}")
        first, last = NOW - timedelta(hours=1), NOW - timedelta(minutes=30 - number)
        tape.interval(endpoint, first, usd(input=CENT), ended=last, end_reason="changed")
        tape.interval(endpoint, last, usd(input=2 * CENT), not_before=first)
    return config


def once(config: Config, env: Mapping[str, str], at: datetime = NOW) -> tuple[int, list[str | None]]:
    """Judge and deliver at an instant: what is new, and what went wrong with each message."""
    with closing(Outbox(config.store)) as outbox:
        new, sent = run_once(config, outbox, env, lambda: at)
    return new, [one.error for one in sent]


# --- delivered ---


def test_a_webhook_gets_each_alert_once_with_its_id_however_often_it_is_looked(
    store_url: str, tmp_path: Path, hook: Hook
) -> None:
    config = config_of(tmp_path, store_url, MOVED)
    assert once(config, {"HOOK": hook.url}) == (COUNT, [None])
    assert once(config, {"HOOK": hook.url}, NOW + timedelta(minutes=5)) == (0, [])
    assert len(hook.came) == 1, "several of one rule are one message"
    assert hook.came[0]["title"] == f"moved: {COUNT} alerts"
    assert sorted(hook.taken) == sorted(token for (token,) in rows(store_url, "SELECT token FROM alert"))
    assert rows(store_url, "SELECT DISTINCT attempts, error FROM alert WHERE delivered IS NOT NULL") == [(1, None)]


def test_a_mail_is_plain_text_with_the_title_as_its_subject(tmp_path: Path) -> None:
    with Mailbox() as mailbox:
        config = config_of(tmp_path, str(tmp_path / "tape.db"), MOVED | {"model": "a/0", "url_env": "MAIL"})
        assert once(config, {"MAIL": mailbox.url}) == (1, [None])
        (mail,) = mailbox.mails
        assert mail["Subject"] == "a/0 at acme: input 0.01 -> 0.02 USD per 1M tokens (+100 %)"
        assert (mail["To"], mail.get_content_type()) == ("ops@ops.test", "text/plain")
        body = mail.get_payload(decode=True)
        assert isinstance(body, bytes)
        assert len(ids(body.decode().replace("\r\n", "\n"))) == 1
        mailbox.refuses = True
        assert send("MAIL", "t", "b", {"MAIL": mailbox.url}) == "MAIL did not take it: out of reach, or refused"


def test_what_upstreams_publish_comes_as_one_printable_line(tmp_path: Path, hook: Hook) -> None:
    url = str(tmp_path / "tape.db")
    config = config_of(tmp_path, url, MOVED)
    hostile = "a/x\n\nid: 0123456789abcdef\x1b[31m\u202e"
    run(url, f"UPDATE model SET name = '{hostile}' WHERE name = 'a/0'")
    assert once(config, {"HOOK": hook.url}) == (COUNT, [None])
    message = hook.came[0]["message"]
    assert "a/x id: 0123456789abcdef\\x1b[31m\\u202e at acme" in message
    assert len(ids(message)) == COUNT
    assert not {"\x1b", "\u202e"} & set(message)


@given(sizes=st.lists(st.integers(1, TITLE_LIMIT)))
def test_messages_of_several_alerts_hold_each_once_and_are_no_longer_than_a_chat_takes(sizes: list[int]) -> None:
    texts = [("t" * size, f"body\nid: {number:016x}") for number, size in enumerate(sizes)]
    counts = list(at_most(texts))
    assert sum(counts) == len(texts)
    found, left = [], texts
    for count in counts:
        some, left = left[:count], left[count:]
        _, body = together("r" * 60, some)
        assert len(body) < 2000
        found += ids(body)
    assert found == ids("\n".join(body for _, body in texts))


# --- killed ---


def killed_run(path: Path, url: str, env: Mapping[str, str], at: datetime) -> None:
    """What is killed."""
    once(replace(load(path, {}), store=url), env, at)


@pytest.mark.timeout(600)
def test_wherever_it_is_killed_nothing_is_lost_and_only_what_was_being_sent_comes_twice(
    tmp_path: Path, hook: Hook
) -> None:
    first = tmp_path / "first.db"
    config = config_of(tmp_path, str(first), MOVED)
    env = {"HOOK": hook.url}
    wanted: set[str] = set()
    doubles, step = 0, 0
    while True:
        store = tmp_path / f"{step}.db"
        for suffix in ("", "-wal"):
            if first.with_name(f"first.db{suffix}").exists():
                shutil.copy(first.with_name(f"first.db{suffix}"), f"{store}{suffix}")
        hook.taken.clear()
        mine = replace(config, store=str(store))
        killed = killed_at(step, killed_run, config.path, str(store), env, NOW)
        told_before = Counter(hook.taken)
        once(mine, env, NOW + FIRST_PAUSE)
        came = Counter(hook.taken)
        wanted = wanted or set(came)
        assert set(came) == wanted
        assert len(wanted) == COUNT
        assert max(came.values()) <= 2
        if max(came.values()) == 2:
            doubles += 1
            assert told_before == dict.fromkeys(wanted, 1), "sent, and killed before that was noted"
        assert rows(str(store), "SELECT count(*) FROM alert WHERE delivered IS NULL") == [(0,)]
        if not killed:
            break
        step += 1
    assert step > 10
    assert 1 <= doubles <= 3, "before it begins to note, in between, and before it is committed"


# --- channels that fail ---


def test_a_channel_that_fails_is_tried_again_with_growing_pauses_and_the_others_are_not_held_up(
    store_url: str, tmp_path: Path, hook: Hook
) -> None:
    config = config_of(tmp_path, store_url, MOVED, MOVED | {"name": "other", "url_env": ["DOWN", "HOOK"]})
    env = {"HOOK": hook.url, "DOWN": "json://127.0.0.1:9/"}
    refused = "DOWN did not take it: out of reach, or refused"
    assert once(config, env)[1].count(refused) == 1
    assert len(hook.taken) == 2 * COUNT
    assert once(config, env, NOW + timedelta(seconds=59)) == (0, []), "not yet"
    assert once(config, env, NOW + timedelta(seconds=60)) == (0, [refused])
    assert once(config, env, NOW + timedelta(seconds=179)) == (0, [])
    assert once(config, {**env, "DOWN": hook.url}, NOW + timedelta(seconds=180)) == (0, [None])
    assert len(hook.taken) == 3 * COUNT
    assert Counter(Counter(hook.taken).values()) == {1: COUNT, 2: COUNT}, "the same id on both channels"


def test_pauses_grow_up_to_an_hour() -> None:
    pauses = [pause(attempts) for attempts in range(40)]
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_other_than_well_is_no_delivery_and_its_status_is_told(hook: Hook, status: int) -> None:
    hook.status = status
    assert send("HOOK", "t", "b", {"HOOK": hook.url}) == f"HOOK did not take it: status {status}"


@pytest.mark.parametrize(
    "address", ["", "  ", "nonsense", "json://127.0.0.1:9/ json://127.0.0.1:9/", "file:///etc/passwd"]
)
def test_what_is_no_address_is_told_without_it(address: str) -> None:
    said = send("HOOK", "t", "b", {"HOOK": address})
    assert said in ("HOOK is not set", "HOOK is not one address that Apprise knows, such as mailto://... or json://...")


def test_a_server_that_answers_drop_by_drop_is_left_behind(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "SEND_WITHIN_S", 1.0)
    hook.hang.set()
    began = time.monotonic()
    assert send("HOOK", "t", "b", {"HOOK": hook.url}) == "no answer within 1 s"
    assert time.monotonic() - began < 3


def test_what_nobody_took_for_a_week_is_given_up_and_shown_as_failed(tmp_path: Path) -> None:
    url = str(tmp_path / "tape.db")
    config = config_of(tmp_path, url, MOVED)
    assert once(config, {}) == (COUNT, ["HOOK is not set"])
    assert once(config, {}, NOW + timedelta(days=6))[1] == ["HOOK is not set"]
    assert once(config, {}, NOW + timedelta(days=7)) == (0, [])
    run(url, "UPDATE alert SET made = made - 604800000")
    shown = told_by(tmp_path, config, "log", "--state", "failed", "--format", "json")
    assert [one["state"] for one in json.loads(shown.stdout)] == ["failed"] * COUNT


# --- the commands ---


def told_by(home: Path, config: Config, *words: str, **env: str) -> Result:
    return ask(home, "--config", config.path, "--store", config.store, "alerts", *words, **env)


def test_the_commands_list_rules_and_alerts_send_a_test_and_look_once(
    store_url: str, tmp_path: Path, hook: Hook
) -> None:
    config = config_of(tmp_path, store_url, MOVED)
    (row,) = json.loads(told_by(tmp_path, config, "--format", "json").stdout)
    assert (row["rule"], row["when"], row["channel"], row["pending"], row["sent"]) == ("moved", "price", "HOOK", 0, 0)
    failed = told_by(tmp_path, config, "run")
    assert (failed.exit_code, failed.stdout) == (
        1,
        f"rules judged: 1; alerts: {COUNT} new, 0 sent, {COUNT} not taken\n",
    )
    assert failed.stderr == "tokentape: HOOK is not set\n"
    (row,) = json.loads(told_by(tmp_path, config, "--format", "json").stdout)
    assert (row["pending"], row["sent"], row["error"]) == (COUNT, 0, "HOOK is not set")
    examined = ask(tmp_path, "--config", config.path, "--store", store_url, "doctor").stdout
    assert "fault: alerts: not set: HOOK" in examined
    assert f"fault: alerts: HOOK: {COUNT} alerts undelivered since" in examined
    run(store_url, "UPDATE alert SET next_try = 0")
    went = told_by(tmp_path, config, "run", HOOK=hook.url)
    assert (went.exit_code, went.stdout) == (0, f"rules judged: 1; alerts: 0 new, {COUNT} sent, 0 not taken\n")
    listed = told_by(tmp_path, config, "log", "moved").stdout
    assert listed.count(" sent ") == COUNT
    assert "input 0.01 -> 0.02 USD" in listed
    examined = ask(tmp_path, "--config", config.path, "--store", store_url, "doctor", HOOK=hook.url).stdout
    assert "alerts" not in examined


def test_a_test_goes_to_every_channel_and_says_which_did_not_take_it(tmp_path: Path, hook: Hook) -> None:
    config = config_of(tmp_path, str(tmp_path / "tape.db"), MOVED, MOVED | {"name": "two", "url_env": ["A", "B"]})
    sent = told_by(tmp_path, config, "test", HOOK=hook.url, A=hook.url)
    assert sent.exit_code == 1
    assert sent.stdout == "A: sent (two)\nB: failed (two)\nHOOK: sent (moved)\n"
    assert sent.stderr == "tokentape: B is not set\n"
    assert told_by(tmp_path, config, "test", "moved", HOOK=hook.url).exit_code == 0
    assert [one["title"] for one in hook.came] == ["tokentape: a test"] * 3
    assert "no rule 'other'" in told(told_by(tmp_path, config, "test", "other"), 2)
    assert rows(config.store, "SELECT count(*) FROM alert") == [(0,)]


def test_without_rules_or_a_store_it_is_said_in_a_line(tmp_path: Path) -> None:
    assert told(ask(tmp_path, "alerts"), 3) == "no rules: name some under `alerts` of your configuration"
    assert "no store at" in told(ask(tmp_path, "alerts", "run"), 2)
    assert "no store at" in told(ask(tmp_path, "alerts", "log"), 2)
    assert not list(tmp_path.glob("*.db"))


def test_without_apprise_the_command_that_installs_it_is_named(tmp_path: Path) -> None:
    config = config_of(tmp_path, str(tmp_path / "tape.db"), MOVED)
    program = "import sys; sys.modules['apprise'] = None; from collector.cli import run; run()"
    for words in (["alerts", "run"], ["alerts", "test"], ["daemon"]):
        done = subprocess.run(
            [sys.executable, "-c", program, "--config", config.path, "--store", config.store, *words],
            cwd=tmp_path,
            env={**environ(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "pip install 'tokentape[alerts]'" in done.stderr


def test_a_list_imports_neither_apprise_nor_what_writes(tmp_path: Path) -> None:
    config = config_of(tmp_path, str(tmp_path / "tape.db"), MOVED)
    program = (
        "import sys, atexit; atexit.register(lambda: print(sorted({'apprise', 'sqlalchemy'} & set(sys.modules))));"
        "from collector.cli import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--config", config.path, "--store", config.store, "alerts"],
        env={**environ(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_address_of_a_channel_is_nowhere_to_be_seen(
    store_url: str, tmp_path: Path, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(tmp_path, store_url, MOVED)
    hook.status = 500
    seen = []
    for url in (hook.url, hook.url.replace("127.0.0.1", "s3cr3t-host.test"), "s3cr3t://s3cr3t"):
        for words in (["test"], ["run"], [], ["log"]):
            result = told_by(tmp_path, config, *words, HOOK=url)
            seen += [result.stdout, result.stderr]
        seen.append(ask(tmp_path, "--config", config.path, "--store", store_url, "doctor", HOOK=url).stdout)
        run(store_url, "UPDATE alert SET next_try = 0")
    seen += [caplog.text, repr(content(store_url))]
    assert "s3cr3t" not in "".join(seen)


# --- beside the polls of a daemon ---


class Daemon:
    """A daemon of this checkout under way."""

    def __init__(self, home: Path, config: Path, store: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from collector.cli import run; run()",
                "--config",
                config,
                "--store",
                store,
                "daemon",
            ],
            cwd=home,
            env={**environ(home), "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(home), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, how: int) -> str:
        """End it; what it wrote."""
        self.process.send_signal(how)
        stdout, stderr = self.process.communicate(timeout=30)
        assert self.process.returncode == (0 if how == signal.SIGTERM else -how), stderr
        return stdout + stderr


def with_rules(home: Path, upstreams: Upstreams, every: str, *rules: Mapping[str, Any]) -> Path:
    path = own_sources(home, mirror=upstreams.mirror, every={"acme": every, "steady": every})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alerts": list(rules)}))
    return path


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    with Upstreams() as running:
        yield running


def judged(url: str, name: str) -> bool:
    """Whether a rule has begun."""
    if not is_postgres(url) and not Path(url).exists():
        return False
    with_table = "SELECT 1 FROM sqlite_master WHERE name = 'alert_rule'"
    if not is_postgres(url) and not rows(url, with_table):
        return False
    return bool(rows(url, f"SELECT 1 FROM alert_rule WHERE name = '{name}'"))


def failures(url: str) -> Callable[[], bool]:
    return lambda: rows(url, "SELECT count(*) FROM poll WHERE outcome = 'failed'")[0][0] >= 2


@pytest.mark.timeout(240)
def test_a_daemon_that_is_killed_tells_when_it_is_back_what_happened_before(
    store_url: str, tmp_path: Path, upstreams: Upstreams, hook: Hook
) -> None:
    failing = {"name": "failing", "when": "failing", "times": 2, "source": "acme", "url_env": "HOOK"}
    config = with_rules(tmp_path, upstreams, "1s", failing)
    first = Daemon(tmp_path, config, store_url, HOOK="json://127.0.0.1:9/")
    until(lambda: judged(store_url, "failing"))
    upstreams.status["acme"] = 500
    until(failures(store_url))
    first.end(signal.SIGKILL)
    assert hook.taken == []
    run(store_url, "UPDATE alert SET next_try = 0")
    second = Daemon(tmp_path, config, store_url, HOOK=hook.url)
    until(lambda: hook.taken)
    said = second.end(signal.SIGTERM)
    assert "Traceback" not in said
    (message,) = (one for one in hook.came if ids(one["message"]) == hook.taken[:1])
    assert message["title"] == "acme: failed 2 times in a row"
    assert len(hook.taken) == len(set(hook.taken)) == 1


@pytest.mark.timeout(240)
def test_a_channel_that_hangs_stops_no_poll_and_no_stop(tmp_path: Path, upstreams: Upstreams, hook: Hook) -> None:
    hook.hang.set()
    store = str(tmp_path / "tape.db")
    failing = {"name": "failing", "when": "failing", "times": 1, "source": "acme", "url_env": "HOOK"}
    config = with_rules(tmp_path, upstreams, "1s", failing)
    running = Daemon(tmp_path, config, store, HOOK=hook.url)
    until(lambda: judged(store, "failing"))
    upstreams.status["acme"] = 500
    until(lambda: hook.came)
    asked = upstreams.asked["steady"]
    until(lambda: upstreams.asked["steady"] >= asked + 3)
    began = time.monotonic()
    running.end(signal.SIGTERM)
    assert time.monotonic() - began < 9
    assert rows(store, "SELECT attempts, delivered FROM alert") == [(1, None)], "to be sent again"


def test_a_failing_channel_is_told_once_and_when_it_works_again(tmp_path: Path, hook: Hook) -> None:
    config = config_of(tmp_path, str(tmp_path / "tape.db"), MOVED)
    noted: list[str] = []
    hook.status = 503
    env = {"HOOK": hook.url}
    watch = alerts.Watch(config, noted.append, env)
    for _ in range(2):
        run(config.store, "UPDATE alert SET next_try = 0")
        watch.once()
    hook.status = 200
    run(config.store, "UPDATE alert SET next_try = 0")
    watch.once()
    assert noted == ["alerts: HOOK did not take it: status 503", "alerts: HOOK works again"]
    os.truncate(config.store, 4096)
    watch.once()
    assert len(noted) == 3
    assert noted[2].startswith("alerts: ")
