"""config.yaml -> frozen settings and source specs; every mistake is reported at once, with its file and line.

Read by hand rather than by pydantic models: mistakes keep their places, and a question on the command line does not
pay 50 ms for the import.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import cast, get_args

from collector.aliases import NONE_DECIDED, Decisions, read_decisions
from collector.config_alerts import rules as alert_rules
from collector.config_source import source_id, source_spec
from collector.config_values import (
    SPAN,
    Section,
    Wrong,
    address,
    anything,
    choice,
    day,
    positive,
    reads,
    seconds,
    share,
    size,
    text,
    texts,
    truth,
    whole,
    word,
)
from collector.contract import Request, SourceSpec
from collector.errors import ConfigError
from collector.places import DEFAULT_STORE, ENVIRON_STORE, user_file
from collector.settings import CheckSettings, HttpSettings
from collector.strict_yaml import Mistake, Node, merged, read_file
from store.alert_rules import Rule
from store.currency import USD, CurrencyPolicy, Rate
from store.http.settings import ServeSettings
from store.location import expanded
from store.policy import Policy, Then

DAY_S = 86_400
_TOP = (
    *("store", "archive", "aliases", "retention", "http", "checks", "currencies", "serve", "alerts"),
    *("shapes", "sources", "inherit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that is configured."""

    store: str
    """`sqlite:///PATH` or a path."""
    archive: str = ""
    """Folder of archived documents; empty means beside the store."""
    aliases: str = ""
    """File of decisions about names; empty: none can be recorded."""
    decisions: Decisions = NONE_DECIDED
    """What that file says."""
    retention: Policy = field(default_factory=Policy)
    http: HttpSettings
    checks: CheckSettings
    currencies: CurrencyPolicy = field(default_factory=CurrencyPolicy)
    serve: ServeSettings = field(default_factory=ServeSettings)
    alerts: tuple[Rule, ...] = ()
    sources: Mapping[str, SourceSpec]
    """By id, in the order of the file."""
    path: Path
    """The file it was read from."""


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file, on top of the packaged one.

    Where no `path` is given: `$TOKENTAPE_CONFIG`, `./tokentape.yaml`, `~/.config/tokentape/config.yaml`, and else the
    packaged file alone. What a user's file says is merged over the packaged one: keys of `http`, `checks` and
    `currencies` one by one, `shapes` and `sources` by id and within an entry by key; `inherit: false` starts from
    nothing.
    `$TOKENTAPE_STORE` takes the place of `store`.

    Raises: ConfigError with all mistakes.
    """
    mistakes: list[Mistake] = []
    found = user_file(path, environ) or packaged()
    root = read_file(found, mistakes)
    if not isinstance(root.value, Mapping):
        raise ConfigError(f"{found}: a configuration is a mapping with keys {', '.join(_TOP)}")
    inherit = root.value.get("inherit")
    if found != packaged() and (inherit is None or inherit.value != "false"):
        root = merged(read_file(packaged(), mistakes), root, levels=4)
    config = configuration(Section(_shaped(root, mistakes), "", mistakes), found, environ, mistakes)
    if mistakes:
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise ConfigError(f"{count} in the configuration:", mistakes=[str(one) for one in sorted(mistakes)])
    return config


def policy_with(policy: Policy, full: str | None, then: str | None) -> Policy:
    """A policy with what the command line says in its place.

    Raises: ConfigError.
    """
    try:
        full_s = policy.full_s if full is None else kept_for(Node(full, "", 0))
    except Wrong as wrong:
        raise ConfigError(f"--full: {wrong}") from None
    return Policy(full_s=full_s, then=policy.then if then is None else cast("Then", then))


def packaged() -> Path:
    """The configuration that comes with the program: in the package where it is installed, beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "config.yaml"
    return inside if inside.is_file() else here.parent / "config.yaml"


def ready(spec: SourceSpec, environ: Mapping[str, str]) -> bool:
    """Whether a source is on: enabled, and its key is there if it needs one."""
    return spec.enabled and (not spec.key_env or bool(environ.get(spec.key_env, "").strip()))


def requests_for(spec: SourceSpec, environ: Mapping[str, str]) -> list[Request]:
    """The first request of a source, with its key as a bearer token.

    Raises: ConfigError if the key is missing or cannot be sent.
    """
    if not spec.key_env:
        return [Request(url=spec.url)]
    key = environ.get(spec.key_env, "").strip()
    if not key:
        raise ConfigError(f"{spec.id}: needs a key: set {spec.key_env}", code="key")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"{spec.id}: {spec.key_env} holds characters that no key has", code="key")
    return [Request(url=spec.url, headers=MappingProxyType({"Authorization": f"Bearer {key}"}))]


def _shaped(root: Node, mistakes: list[Mistake]) -> Node:
    """The document with the shape of each source merged under its own keys."""
    top = root.value if isinstance(root.value, Mapping) else {}
    shapes = top["shapes"].value if "shapes" in top else {}
    sources = top["sources"].value if "sources" in top else {}
    if not isinstance(shapes, Mapping) or not isinstance(sources, Mapping):
        return root
    shaped = {}
    for name, source in sources.items():
        shape = source.value.get("shape") if isinstance(source.value, Mapping) else None
        known = shapes.get(shape.value) if shape is not None and isinstance(shape.value, str) else None
        if shape is not None and known is None:
            what = f"sources.{name}.shape: no such shape, of {', '.join(shapes) or 'none'}"
            mistakes.append(Mistake(shape.file, shape.line, what))
        shaped[name] = merged(known, source, levels=2) if known is not None else source
    entries = {**top, "sources": Node(shaped, root.file, root.line)} if shaped else top
    return Node(dict(entries), root.file, root.line)


def configuration(top: Section, path: Path, environ: Mapping[str, str], mistakes: list[Mistake]) -> Config:
    """What a whole document says, each shape merged into its sources already; its mistakes are added to `mistakes`."""
    top.take("inherit", truth, default=True)
    top.take("shapes", anything, None)
    store = top.take("store", word, DEFAULT_STORE)
    archive = top.take("archive", text, "")
    aliases = top.take("aliases", text, "")
    decisions = read_decisions(expanded(aliases), mistakes) if aliases else NONE_DECIDED
    retention = _retention(top.section("retention"))
    http = _http(top.section("http"))
    checks = _checks(top.section("checks"))
    currencies = _currencies(top.section("currencies"))
    serve = _serve(top.section("serve"))
    alerts = alert_rules(top)
    sources = {
        name: replace(source_spec(name, section), recorded=decisions.accepted)
        for name, section in top.sections("sources", source_id)
    }
    top.end()
    return Config(
        store=environ.get(ENVIRON_STORE) or store,
        archive=archive,
        aliases=aliases,
        decisions=decisions,
        retention=retention,
        http=http,
        checks=checks,
        currencies=currencies,
        serve=serve,
        alerts=alerts,
        sources=MappingProxyType(sources),
        path=path,
    )


def _retention(section: Section) -> Policy:
    default = Policy()
    policy = Policy(
        full_s=section.take("full", kept_for, default.full_s),
        then=cast("Then", section.take("then", choice(*get_args(Then)), default.then)),
    )
    section.end()
    return policy


@reads({"type": "string", "pattern": f"^(?:all|{SPAN})$"})
def kept_for(node: Node) -> int | None:
    """`all`, or a span of time such as `90d`, in seconds."""
    return None if word(node) == "all" else int(seconds("1d", "36500d")(node))


def _http(section: Section) -> HttpSettings:
    default = HttpSettings()
    settings = HttpSettings(
        mirror=section.take("mirror", _origin, default.mirror),
        user_agent=section.take("user_agent", text, default.user_agent),
        proxy=section.take("proxy", _origin, default.proxy),
        connect_s=float(section.take("connect", seconds("100ms", "5m"), default.connect_s)),
        first_byte_s=float(section.take("first_byte", seconds("100ms", "5m"), default.first_byte_s)),
        attempts=section.take("attempts", whole(1, 10), default.attempts),
        redirects=section.take("redirects", whole(0, 10), default.redirects),
        body_limit=section.take("body_limit", size, default.body_limit),
        decoded_limit=section.take("decoded_limit", size, default.decoded_limit),
        allow_private=section.take("allow_private", truth, default.allow_private),
    )
    section.end()
    return settings


def _serve(section: Section) -> ServeSettings:
    default = ServeSettings()
    settings = ServeSettings(
        host=section.take("host", word, default.host),
        port=section.take("port", whole(0, 65535), default.port),
        hosts=section.take("hosts", texts, default.hosts),
        origins=section.take("origins", texts, default.origins),
        writes=section.take("writes", truth, default.writes),
        statement_s=float(section.take("statement", seconds("100ms", "5m"), default.statement_s)),
        idle_s=float(section.take("idle", seconds("1s", "5m"), default.idle_s)),
        connections=section.take("connections", whole(1, 100_000), default.connections),
    )
    section.end()
    return settings


def _checks(section: Section) -> CheckSettings:
    default = CheckSettings()
    settings = CheckSettings(
        above_usd=section.take("above_usd", whole(1), default.above_usd),
        ratio=section.take("ratio", whole(2), default.ratio),
        missing_share=section.take("missing_share", share, default.missing_share),
        misses=section.take("misses", whole(1, 100), default.misses),
        gap_s=int(section.take("gap", seconds("0s", "366d"), default.gap_s)),
    )
    section.end()
    return settings


@reads({"pattern": "^[A-Z]{3}$", "not": {"const": USD}})
def _currency_code(node: Node) -> str:
    name = word(node)
    if re.fullmatch(r"[A-Z]{3}", name, re.ASCII) is None or name == USD:
        raise Wrong(f"{name!r} is not the code of a currency other than {USD}, such as CNY")
    return name


def _currencies(section: Section) -> CurrencyPolicy:
    default = CurrencyPolicy()
    max_age_s = section.take("max_age", seconds("1d", "366d"), default.max_age_days * DAY_S)
    fixed = {}
    for name, entry in section.sections("fixed", _currency_code):
        fixed[name] = Rate(
            base=name,
            currency=USD,
            text=entry.need("usd", positive, "1"),
            day=entry.need("as_of", day, date.min),
            source=entry.need("source", word, ""),
        )
        entry.end()
    section.end()
    return CurrencyPolicy(max_age_days=int(max_age_s) // DAY_S, fixed=MappingProxyType(fixed))


@reads({"anyOf": [address.schema, {"enum": [""]}]})
def _origin(node: Node) -> str:
    """An address, or nothing."""
    return address(node).rstrip("/") if text(node) else ""
