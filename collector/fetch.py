"""Request -> Document: with `transport` and `address` below it, the only room that knows HTTP, retries and politeness.

httpx supplies the protocol and nothing more. Its transport is used without its client, so that there is no cookie jar,
no proxy or certificate of the environment, no redirect that carries keys along and no log line with a URL in it.

A body counts as whole when its length, its chunks or its content coding end as they announced. One that has none of
these and ends when the connection does can be cut unnoticed: proving its end (whole JSON, `</html>`) is the parser's.
"""

import asyncio
import hashlib
import re
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self, cast
from urllib.parse import urljoin

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from collector import robots
from collector.address import checked, origin, shown, site
from collector.contract import Request, SourceSpec
from collector.decode import ACCEPT_ENCODING, BodyDecoder
from collector.errors import Blocked, FetchFailed
from collector.keys import Keys
from collector.release import release
from collector.settings import HttpSettings
from collector.transport import Resolve, Transport, named_errors, system_addresses
from store.errors import NO_RESOURCES
from store.instants import age_text, iso
from store.records import Document

Sleep = Callable[[float], Awaitable[None]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_GOOD = frozenset({301, 308})
_CODES = {401: "auth", 403: "auth", 404: "gone", 410: "gone", 429: "rate_limited"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NEVER_SERVED = ("http_501", "http_505")
_PASSING = frozenset(
    {
        "connect",
        "connect_timeout",
        "dns",
        "first_byte_timeout",
        "protocol",
        "rate_limited",
        "read",
        "read_timeout",
        "truncated",
    }
)
"""Codes, beside those of 5xx, that the next try may not meet again."""

_WAIT = re.compile(r"(?:asked to wait|wants to be left alone for) ([0-9]{1,10}) s$")
_BACKOFF = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 0.5)
_CHALLENGE = re.compile(
    rb"<title>\s*(just a moment|attention required! \| cloudflare|vercel security checkpoint|ddos-guard)", re.IGNORECASE
)
_LOGIN = re.compile(rb"<input\b[^>]*\btype\s*=\s*[\"']?password\b", re.IGNORECASE)
_SKEW_S = 300
"""Seconds beyond which the clock of an upstream, or ours, is told to be wrong."""
_HEADER_LIMIT = 1024
_IN_MEMORY = 2**17
"""Bytes of a body under way that are held in memory; what is more waits in a file that has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One call of `Fetcher.get`, and what is derived from it once."""

    request: Request
    spec: SourceSpec
    previous: Document | None
    ends: float
    """Instant of the event loop."""
    url: httpx.URL
    validators: Mapping[str, str]
    rules: robots.Rules | None
    """Of a page, what its robots.txt says."""

    @property
    def where(self) -> str:
        """Source and URL, for messages: no user, password, query or fragment."""
        return f"{self.spec.id}: {shown(self.url)}"

    @property
    def keys(self) -> Keys:
        """The words of its headers, as an answer may repeat them."""
        return Keys(self.request.headers.values())


@dataclass(slots=True)
class _Host:
    """What one upstream host is owed; the sources that share it share the slots of the first to ask."""

    slots: asyncio.Semaphore
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_start: float = 0.0
    held_until: float = 0.0
    delay_s: float = 0.0
    """Its crawl-delay."""

    def leave_alone(self, wait_s: float) -> None:
        """Start nothing for that long."""
        self.held_until = max(self.held_until, asyncio.get_running_loop().time() + wait_s)

    async def start(self, job: _Job, sleep: Sleep) -> None:
        """Wait for the turn of one more request.

        Raises: FetchFailed at once if the host asked to be left alone beyond the end of the job.
        """
        now = asyncio.get_running_loop().time
        async with self.starting:
            seen = 0.0
            while (until := max(self.next_start, self.held_until)) > now() and until != seen:
                if self.held_until >= job.ends:
                    wait_s = self.held_until - now()
                    message = f"{job.where}: not asked, its host wants to be left alone for {wait_s:.0f} s"
                    raise FetchFailed(message, code="rate_limited", retry_after_s=wait_s)
                await sleep(until - now())
                seen = until  # once more only if it was moved meanwhile
            self.next_start = now() + max(job.spec.pause_s, self.delay_s)


@dataclass(slots=True)
class _Robots:
    """What is known of the robots.txt of one origin."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    rules: robots.Rules | None = None
    until: float = 0.0
    """Instant of the event loop at which it is to be read again."""


class Fetcher:
    """Fetches documents; one per run, shared by its sources, entered as an async context.

    Behind `settings.mirror` everything is read from there, keys included, and named as if it came from the upstream.
    Behind `settings.proxy` names are resolved, and addresses therefore chosen, by the proxy.
    `transport`, `sleep`, `resolve` and `tls` replace what stands between this and the network.
    """

    def __init__(
        self,
        settings: HttpSettings,
        clock: Callable[[], datetime],
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
        *,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = transport or Transport(settings, resolve, tls)
        self._sleep = sleep
        self._mirror = str(httpx.URL(settings.mirror)).rstrip("/") if settings.mirror else ""
        self._user_agent = settings.user_agent or _default_user_agent()
        self._hosts: dict[str, _Host] = {}
        self._robots: dict[tuple[str, str, int | None], _Robots] = {}
        self.robots_asked: Counter[str] = Counter()
        """Requests for a robots.txt, by the source that they were made for."""

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, traceback)

    async def get(
        self, request: Request, spec: SourceSpec, previous: Document | None = None, deadline: float | None = None
    ) -> Document:
        """The document at `request.url`, named by that URL wherever it was read.

        `previous` is what we hold of it: its validators are sent, and a 304 returns it as of now, `not_modified`.
        A page is asked only if its robots.txt, read once a day, lets it be.
        Units: `deadline` is an instant of `time.monotonic()`; None gives the request `spec.deadline_s`.
        Raises: Blocked if something was not asked, FetchFailed if no whole, believable body came by the deadline.
        """
        now = asyncio.get_running_loop().time
        url = checked(request.url, spec.id)
        ends = now() + spec.deadline_s if deadline is None else deadline
        kept = previous if previous is not None and previous.url == request.url else None
        validators = _validators(kept) if kept else {}
        rules = await self._rules(url, spec, ends) if spec.kind == "page" else None
        job = _Job(request=request, spec=spec, previous=kept, ends=ends, url=url, validators=validators, rules=rules)
        _require_allowed(job, url)
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=_wait_s,
            stop=lambda state: state.attempt_number >= self._settings.attempts or now() + state.upcoming_sleep >= ends,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout_at(ends):
                return await retrying(self._attempt, job)
        except FetchFailed as error:
            raise error.with_traceback(None) from None  # whose frames hold what came, and what was decoding it
        except TimeoutError:
            raise FetchFailed(f"{job.where}: no whole body by the deadline", code="deadline") from None

    def leave_alone(self, spec: SourceSpec, wait_s: float) -> None:
        """Ask nothing of a source's host for that long, as an earlier run was told."""
        self._host(checked(spec.url, spec.id), spec).leave_alone(wait_s)

    async def _rules(self, url: httpx.URL, spec: SourceSpec, ends: float) -> robots.Rules:
        """What the robots.txt of a page's origin says.

        Raises: FetchFailed if that cannot be told: the page is not asked this time.
        """
        now = asyncio.get_running_loop().time
        known = self._robots.setdefault(origin(url), _Robots())
        async with known.reading:
            if known.rules is None or now() >= known.until:
                where = f"{url.scheme}://{url.netloc.decode('ascii')}/robots.txt"
                self.robots_asked[spec.id] += 1
                try:
                    body = (await self.get(Request(url=where), replace(spec, kind="api"), None, ends)).body
                except FetchFailed as error:
                    if error.code.startswith("http_5"):
                        raise FetchFailed(
                            str(error), code="robots_unknown", retry_after_s=error.retry_after_s
                        ) from None
                    if error.code not in robots.MISSING:
                        raise
                    body = b""
                known.rules = robots.rules(body, self._user_agent.partition("/")[0])
                known.until = now() + robots.LASTS_S
        host = self._host(url, spec)
        host.delay_s = max(host.delay_s, known.rules.delay_s)
        return known.rules

    async def _attempt(self, job: _Job) -> Document:
        async with self._host(job.url, job.spec).slots:
            for validators in (job.validators, {}):
                document = await self._follow(job, validators)
                if document is not None:
                    return document
                if validators and job.previous is not None:
                    return replace(job.previous, fetched_at=self._clock(), not_modified=True)
        raise FetchFailed(f"{job.where}: got 304 Not Modified, and had sent nothing to compare with", code="http_304")

    async def _follow(self, job: _Job, validators: Mapping[str, str]) -> Document | None:
        """What the last hop answers; None is a 304."""
        url, moved = job.url, False
        for hops in range(self._settings.redirects + 1):
            await self._host(job.url, job.spec).start(job, self._sleep)
            response = await self._send(job, url, validators)
            try:
                if response.status_code == 304:
                    with named_errors(job.where, in_body=True):
                        # It has no body, whatever coding it names; read to its end, the connection can be used again.
                        async for _ in response.aiter_raw():
                            pass
                    return None
                if response.status_code not in _REDIRECTS:
                    document = await self._document(job, response)
                    if hops and _LOGIN.search(document.body):
                        raise FetchFailed(f"{job.where}: redirects to a page that asks for a password", code="login")
                    note = (f"{shown(job.url)} has moved for good, to {shown(url)}",) if moved else ()
                    return replace(document, notes=(*note, *document.notes))
                moved = response.status_code in _FOR_GOOD and (moved or not hops)
                url = self._target(job, url, response.headers.get("location", ""))
            finally:
                await response.aclose()
        raise FetchFailed(f"{job.where}: more than {self._settings.redirects} redirects", code="redirects")

    async def _send(self, job: _Job, url: httpx.URL, validators: Mapping[str, str]) -> httpx.Response:
        headers = {"user-agent": self._user_agent, "accept": "*/*"}
        if origin(url) == origin(job.url):
            headers |= {name.lower(): value for name, value in job.request.headers.items()}
        headers |= {"accept-encoding": ACCEPT_ENCODING, **validators}
        timeouts = httpx.Timeout(
            connect=self._settings.connect_s,
            read=self._settings.first_byte_s,
            write=self._settings.first_byte_s,
            pool=None,
        )
        with named_errors(job.where, in_body=False):
            asked = httpx.Request(
                "GET",
                self._mirrored(url),
                headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
                extensions={"timeout": timeouts.as_dict()},
            )
            return await self._transport.handle_async_request(asked)

    async def _document(self, job: _Job, response: httpx.Response) -> Document:
        if response.status_code != 200:
            raise self._refusal(job, response)
        body = await self._body(job, response)
        if not body or body.isspace():
            raise FetchFailed(f"{job.where}: wanted a body, got an empty one", code="empty")
        if "cf-mitigated" in response.headers or _CHALLENGE.search(body, 0, 4096):
            raise FetchFailed(f"{job.where}: wanted the document, got a browser challenge", code="challenge")
        sent = body
        notes: tuple[str, ...] = ()
        keys = job.keys
        body = keys.removed(body)
        if body != sent:
            digest = hashlib.sha256(sent).hexdigest()
            notes = (f"{shown(job.url)} repeated our key, which was removed from what it sent, of SHA-256 {digest}",)
        notes += (*_skewed(job.url.host, response.headers, self._clock()), *_ending(job.url.host, response.headers))
        facts = {name: _plain(response.headers.get(name)) for name in ("content-type", "etag", "last-modified")}
        facts = {name: value if value and not keys.in_text(value) else None for name, value in facts.items()}
        return Document(
            source=job.spec.id,
            url=job.request.url,
            part=job.request.part,
            fetched_at=self._clock(),
            status=response.status_code,
            body=body,
            content_type=facts["content-type"] or "",
            etag=facts["etag"],
            last_modified=facts["last-modified"],
            notes=notes,
        )

    async def _body(self, job: _Job, response: httpx.Response) -> bytes:
        length = response.headers.get("content-length")
        if length is not None and "transfer-encoding" in response.headers:
            raise FetchFailed(f"{job.where}: got both a length and a transfer coding", code="protocol")
        limit = self._settings.body_limit
        too_large = f"{job.where}: wanted at most {limit} bytes, got more"
        if length is not None and int(length) > limit:
            raise FetchFailed(too_large, code="too_large")
        encoding = response.headers.get("content-encoding", "")
        if job.keys.in_text(encoding):
            raise FetchFailed(f"{job.where}: repeats our key as its content coding", code="coding")
        decoded = BodyDecoder(encoding, limit=self._settings.decoded_limit, where=job.where)
        with decoded as decoder, SpooledTemporaryFile(_IN_MEMORY) as raw:
            with named_errors(job.where, in_body=True):
                async for chunk in cast("httpx.AsyncByteStream", response.stream):  # raw: nothing of httpx decodes it
                    if raw.tell() + len(chunk) > limit:
                        raise FetchFailed(too_large, code="too_large")
                    with _enough_room(job.where):
                        raw.write(chunk)
            raw.seek(0)
            # Without a pause, so that of all bodies under way one is in memory, and the windows of one coding.
            with _enough_room(job.where):
                while chunk := raw.read(_IN_MEMORY):
                    decoder.feed(chunk)
                return decoder.finish()

    def _refusal(self, job: _Job, response: httpx.Response) -> FetchFailed:
        """The failure that a status other than 200 is; a wait that it asks for holds its host."""
        status = response.status_code
        wait_s = None
        if status == 429 or status >= 500:
            wait_s = _retry_after_s(response.headers, self._clock())
        message = f"{job.where}: wanted 200, got {status} {_PHRASES.get(status, '')}".rstrip()
        if wait_s is not None:
            self._host(job.url, job.spec).leave_alone(wait_s)
            message += f", asked to wait {wait_s:.0f} s"
        return FetchFailed(message, code=_CODES.get(status, f"http_{status}"), retry_after_s=wait_s)

    def _target(self, job: _Job, url: httpx.URL, location: str) -> httpx.URL:
        """The upstream URL that a redirect leads to, if it may be followed."""
        if not location:
            raise FetchFailed(f"{job.where}: a redirect without a target", code="redirects")
        if job.keys.in_text(location):
            raise Blocked(f"{job.where}: redirects to a URL that repeats our key: not asked", code="redirect_key")
        try:
            joined = urljoin(str(self._mirrored(url)), location)
        except ValueError:
            raise Blocked(f"{job.where}: redirects to what is no URL: not asked", code="url") from None
        target = self._upstream(job, checked(joined, job.spec.id))
        if site(target) != site(job.url):
            raise Blocked(f"{job.where}: redirects to another host, {shown(target)}: not asked", code="redirect_host")
        if (url.scheme, target.scheme) == ("https", "http"):
            raise Blocked(f"{job.where}: redirects from https to http: not asked", code="downgrade")
        if target.path == "/" != job.url.path:
            raise FetchFailed(f"{job.where}: redirects to the home page", code="redirect_target")
        _require_allowed(job, target)
        return target

    def _mirrored(self, url: httpx.URL) -> httpx.URL:
        if not self._mirror:
            return url
        return httpx.URL(f"{self._mirror}/{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}")

    def _upstream(self, job: _Job, url: httpx.URL) -> httpx.URL:
        """`url` in the upstream's terms, if it lies in the mirror."""
        inside = str(url).removeprefix(f"{self._mirror}/")
        if not self._mirror or inside == str(url):
            return url
        return checked(f"{job.url.scheme}://{inside or job.url.netloc.decode('ascii')}", job.spec.id)

    def _host(self, url: httpx.URL, spec: SourceSpec) -> _Host:
        if url.host not in self._hosts:
            self._hosts[url.host] = _Host(asyncio.Semaphore(spec.concurrency))
        return self._hosts[url.host]


def wait_of(message: str) -> float:
    """Seconds for which the upstream wanted to be left alone, from the message of a failure; 0 if it did not say."""
    found = _WAIT.search(message)
    return float(found[1]) if found else 0.0


def _require_allowed(job: _Job, url: httpx.URL) -> None:
    """Raises: Blocked if the robots.txt of a page forbids a URL."""
    if job.rules is not None and not job.rules.allows(str(url)):
        raise Blocked(f"{job.spec.id}: {shown(url)}: not asked, its robots.txt forbids it", code="robots")


def _default_user_agent() -> str:
    return f"tokentape/{release()}".rstrip("/")


def _validators(document: Document) -> dict[str, str]:
    named = {"if-none-match": document.etag, "if-modified-since": document.last_modified}
    return {name: value for name, value in named.items() if value}


@contextmanager
def _enough_room(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = "resources" if error.errno in NO_RESOURCES else "disk"
        raise FetchFailed(f"{where}: no room for its body: {error.strerror}", code=code) from None


def _plain(value: str | None) -> str | None:
    """A header's value, unless it is one that could not be sent back or shown."""
    return value if value and len(value) <= _HEADER_LIMIT and value.isascii() and value.isprintable() else None


def _retry_after_s(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds that the upstream wants to be left alone; None if it does not say, or says it wrongly.

    A date is compared with the upstream's own clock where the answer tells it.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,10}", text):
        return float(text)
    until = _http_date(text)
    return max(0.0, (until - (_http_date(headers.get("date", "")) or now)).total_seconds()) if until else None


def _skewed(host: str, headers: httpx.Headers, now: datetime) -> tuple[str, ...]:
    """What is to be said of an answer that is dated otherwise than by our clock; that date orders nothing.

    What a cache says of its age is taken off: an old answer is no wrong clock.
    """
    dated, age = _http_date(headers.get("date", "")), headers.get("age", "")
    if dated is None:
        return ()
    behind = now - dated - timedelta(seconds=int(age) if re.fullmatch(r"[0-9]{1,9}", age) else 0)
    if abs(behind.total_seconds()) <= _SKEW_S:
        return ()
    side = "behind" if behind > timedelta() else "ahead of"
    return (f"{host} dates its answer {age_text(abs(behind))} {side} our clock",)


def _ending(host: str, headers: httpx.Headers) -> Iterator[str]:
    """What is to be said of a resource that its upstream gives up (RFC 8594, RFC 9745)."""
    if sunset := _http_date(headers.get("sunset", "")):
        yield f"{host} will answer this no longer from {iso(sunset)} on (Sunset)"
    said = headers.get("deprecation", "")
    if since := re.fullmatch(r"@([0-9]{1,11})", said):
        yield f"{host} has deprecated this as of {iso(datetime.fromtimestamp(int(since[1]), UTC))} (Deprecation)"
    elif dated := _http_date(said):
        yield f"{host} has deprecated this as of {iso(dated)} (Deprecation)"
    elif said.strip().lower() == "true":
        yield f"{host} has deprecated this (Deprecation)"


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, FetchFailed):
        return False
    return error.code in _PASSING or (error.code.startswith("http_5") and error.code not in _NEVER_SERVED)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, FetchFailed) else None
    return max(_BACKOFF(state), asked or 0.0)
