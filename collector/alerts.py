"""Alerts go out: rules are judged, and what is in the outbox is handed to Apprise, which knows a hundred services.

The address of a channel is a secret: it is read from the environment where it is needed, and never stored, shown or
logged; nor is anything that Apprise says, which may hold it, but for the status of an answer.
"""

import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime

from collector.config import Config, ready
from collector.errors import ConfigError
from store.alerts import Circumstances
from store.errors import StoreError
from store.instants import utc_now
from store.outbox import Outbox, Send, Sent

SEND_WITHIN_S = 30.0
"""What takes a channel longer has failed; it may have arrived all the same."""
EVERY_S = 60.0
"""A daemon looks this often, and after every poll."""
REST_S = 2.0
"""Between two looks, however many polls end."""
STOP_WITHIN_S = 1.0
"""A message under way at a stop may finish within this; if it does not, it is sent again by the next process."""

_STATUS = re.compile(r"error=([0-9]{3})\b")

Note = Callable[[str], None]


def require() -> None:
    """Make sure that Apprise is there.

    Raises: ConfigError, naming what to install.
    """
    try:
        import apprise  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"alerts need what is not installed ({error}): pip install 'tokentape[alerts]'") from None


def send(channel: str, title: str, body: str, environ: Mapping[str, str]) -> str | None:
    """Hand a message to a channel: why it did not go out, or None.

    What hangs is left behind: a server that answers drop by drop holds up nothing else.
    """
    address = environ.get(channel, "").strip()
    if not address:
        return f"{channel} is not set"
    said = [f"no answer within {SEND_WITHIN_S:.0f} s"]

    def work() -> None:
        try:
            said[:] = [_notified(channel, address, title, body)]
        except Exception as error:  # noqa: BLE001 - whatever a service does, it must not stop the others
            said[:] = [f"{channel}: {type(error).__name__}"]

    thread = threading.Thread(target=work, name=f"alert to {channel}", daemon=True)
    thread.start()
    thread.join(SEND_WITHIN_S)
    return said[0] or None


def _notified(channel: str, address: str, title: str, body: str) -> str:
    """Why a service did not take a message; empty if it did."""
    import apprise

    told = _overheard()
    # A redirect is no delivery: what was posted would be asked for instead, and lost.
    asset = apprise.AppriseAsset(
        app_id="tokentape",
        app_desc="tokentape",
        app_url="",
        async_mode=False,
        http_redirects=False,
        allow_templates=False,
        service_timeout=0,
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(address) or len(service) != 1:
        return f"{channel} is not one address that Apprise knows, such as mailto://... or json://..."
    if service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT):
        return ""
    found = _STATUS.search("\n".join(told))
    return f"{channel} did not take it: {f'status {found[1]}' if found else 'out of reach, or refused'}"


class _Ear(logging.Filter):
    """Keeps what a thread is told by the loggers that it is put on, and lets nothing through to anybody else."""

    def __init__(self) -> None:
        super().__init__()
        self.mine = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep it, and drop it."""
        getattr(self.mine, "told", []).append(record.getMessage())
        return False


_EAR = _Ear()


def _overheard() -> list[str]:
    """What Apprise, and what it speaks HTTP with, says in this thread from now on."""
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_EAR)
    warnings.filterwarnings("ignore", module=r"urllib3\.")  # which name the host of an address with `verify=no`
    told: list[str] = []
    _EAR.mine.told = told
    return told


def _sender(environ: Mapping[str, str]) -> Send:
    return lambda channel, title, body: send(channel, title, body, environ)


def given(config: Config, environ: Mapping[str, str]) -> Circumstances:
    """What rules are judged by, beside the ledger."""
    watched = frozenset(spec.id for spec in config.sources.values() if ready(spec, environ))
    return Circumstances(watched=watched, currencies=lambda: config.currencies)


def run_once(
    config: Config, outbox: Outbox, environ: Mapping[str, str], now: Callable[[], datetime] = utc_now
) -> tuple[int, list[Sent]]:
    """Judge every rule and deliver what is due: how many alerts are new, and what became of each message.

    Raises: StoreError.
    """
    new = outbox.judge(config.alerts, given(config, environ), now())
    return new, outbox.deliver(_sender(environ), now)


class Watch:
    """Judges and delivers beside the polls of a daemon, in a thread of its own: no channel holds up a poll.

    Where there are no rules, it looks once, so that those of before are forgotten.
    """

    def __init__(self, config: Config, note: Note, environ: Mapping[str, str]) -> None:
        self._config = config
        self._note = note
        self._environ = environ
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._said: dict[str, str | None] = {}

    def look(self) -> None:
        """There may be something new."""
        self._wake.set()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join(STOP_WITHIN_S)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self.once()
            if not self._config.alerts:
                return
            self._stopping.wait(REST_S)
            self._wake.wait(EVERY_S)

    def once(self) -> None:
        """Judge and deliver, and tell what went wrong."""
        try:
            outbox = Outbox(self._config.store)
            try:
                outbox.judge(self._config.alerts, given(self._config, self._environ), utc_now())
                if self._config.alerts:
                    for one in outbox.deliver(_sender(self._environ), utc_now, lambda: not self._stopping.is_set()):
                        self._tell(one.channel, one.error)
            finally:
                outbox.close()
            self._tell("", None)
        except StoreError as error:
            self._tell("", str(error))
        except Exception as error:  # noqa: BLE001 - a fault in what tells must not stop what is told of
            self._tell("", f"{type(error).__name__}: {error}")

    def _tell(self, about: str, error: str | None) -> None:
        """Say what went wrong, once, until that changes."""
        if self._said.get(about) != error:
            self._said[about] = error
            self._note(f"alerts: {error}" if error else f"alerts: {about or 'judging'} works again")
