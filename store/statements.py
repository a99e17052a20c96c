"""The statements of the write side, built once."""

from sqlalchemy import (
    Table,
    TextClause,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.sql.base import Executable
from sqlmodel import SQLModel

import store.tables as _tables  # noqa: F401 - declares the tables on the metadata

CHUNK = 500
"""Values in one IN list."""

_TABLES = SQLModel.metadata.tables
INSERT: dict[str, Executable] = {name: insert(table) for name, table in _TABLES.items()}
INSERT_FOR_IDS: dict[str, Executable] = {
    name: insert(table).returning(table.c.id, sort_by_parameter_order=True)
    for name, table in _TABLES.items()
    if "id" in table.c
}
"""Rows of which the ids are wanted, in the order of the rows."""

SHARED = {"provider": "name", "model": "name", "rate_card": "digest", "facts": "digest", "locator": "text"}
"""Tables of what sources share, each stored once under its key. Whoever adds to several does so in this order, and to
one in that of its keys: else two writers could wait for each other."""


def _keep(table: Table) -> TextClause:
    columns = [column.name for column in table.columns if column.name != "id"]
    values = ", ".join(f":{column}" for column in columns)
    return text(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING")  # noqa: S608


KEEP = {name: _keep(_TABLES[name]) for name in ("source", *SHARED)}
"""Store what is not stored yet, whoever else stores the same at this moment."""

SOURCE = select(_TABLES["source"]).where(_TABLES["source"].c.name == bindparam("name"))
SOURCES = select(_TABLES["source"].c.name).order_by(_TABLES["source"].c.name)
UPDATE_SOURCE = (
    update(_TABLES["source"])
    .where(_TABLES["source"].c.id == bindparam("source"))
    .values(trust=bindparam("trust"), every_s=bindparam("every_s"))
)
UPDATE_POLL = (
    update(_TABLES["poll"])
    .where(_TABLES["poll"].c.id == bindparam("poll"))
    .values({name: bindparam(name) for name in ("quotes", "complete", "changes", "held")})
)
SETTLE_POLL = (
    update(_TABLES["poll"])
    .where(_TABLES["poll"].c.id == bindparam("poll"))
    .values(
        {name: bindparam(name) for name in ("outcome", "quotes", "failed_parts", "complete", "changes", "held")}
        | {name: func.coalesce(bindparam(name), _TABLES["poll"].c[name]) for name in ("code", "message")}
    )
)
_NEWEST = """(
        SELECT poll.{column} FROM poll
         WHERE poll.source_id = (SELECT source.id FROM source WHERE source.name = :name) {where}
         ORDER BY poll.at DESC LIMIT 1
    )"""
LAST_POLLS = text(
    f"""
    SELECT {_NEWEST.format(column="at", where="")} AS newest,
           {_NEWEST.format(column="known", where="")} AS known,
           {_NEWEST.format(column="slot", where="")} AS slot,
           {_NEWEST.format(column="at", where="AND poll.outcome <> 'failed'")} AS newest_ok,
           {_NEWEST.format(column="pack", where="AND poll.pack IS NOT NULL")} AS pack
    """
)
FAILURES = text(
    f"""
    SELECT count(*) FROM poll WHERE poll.source_id = (SELECT source.id FROM source WHERE source.name = :name)
       AND poll.at > coalesce({_NEWEST.format(column="at", where="AND poll.outcome <> 'failed'")}, {-(2**63)})
    """  # noqa: S608 - put together from constants only
)
WRITTEN = text(
    """
    SELECT poll.changes, poll.held FROM poll JOIN source ON source.id = poll.source_id
     WHERE source.name = :name AND poll.at = :at AND coalesce(poll.pack, '') = :pack AND poll.outcome = :outcome
    """
)
NEWEST_POLL = text(
    """
    SELECT max(each.at) FROM (
        SELECT (SELECT poll.at FROM poll WHERE poll.source_id = source.id ORDER BY poll.at DESC LIMIT 1) AS at
          FROM source) AS each
    """
)
REFUSED = text(
    """
    SELECT source.name, poll.at, poll.message FROM source JOIN poll ON poll.id =
           (SELECT newest.id FROM poll AS newest WHERE newest.source_id = source.id ORDER BY newest.at DESC LIMIT 1)
     WHERE poll.outcome = 'failed' AND (poll.code = 'rate_limited' OR poll.code LIKE 'http_5%')
    """
)
LAST_WITH = text(
    """
    SELECT max(poll.at) FROM poll JOIN source ON source.id = poll.source_id
     WHERE source.name = :name AND poll.pack = :pack AND poll.at >= :since AND poll.at < :before
    """
)
NEWEST_READ = text(
    """
    SELECT pack FROM poll WHERE source_id = :source_id AND outcome <> 'failed' ORDER BY at DESC, id DESC LIMIT 1
    """
)
LAST_READ_WITH = text(
    """
    SELECT max(at) FROM poll
     WHERE source_id = :source_id AND outcome <> 'failed' AND pack = :pack AND at >= :since AND at < :before
    """
)
RUN = text(
    """
    SELECT min(at) AS since FROM poll
     WHERE source_id = :source_id AND outcome <> 'failed' AND at > (
           SELECT at FROM poll WHERE source_id = :source_id AND outcome <> 'failed' AND pack <> :pack
            ORDER BY at DESC LIMIT 1)
    """
)
"""The first of the newest polls that had the same documents."""
STANDS = text(
    """
    SELECT 1 FROM finding
     WHERE source_id = :source_id AND subject = '' AND rule = :rule AND ended IS NULL AND known_to IS NULL
     LIMIT 1
    """
)
LAST_KNOWN = text(
    """
    SELECT max(both_kinds.known) FROM (
        SELECT max(known) AS known FROM poll WHERE source_id = :source_id
        UNION ALL
        SELECT max(coalesce(interval.known_to, interval.known_from)) FROM interval
          JOIN endpoint ON endpoint.id = interval.endpoint_id WHERE endpoint.source_id = :source_id) AS both_kinds
    """
)
NEWEST_KNOWN = text(
    """
    SELECT max(both_kinds.known) FROM (
        SELECT (SELECT known FROM poll ORDER BY id DESC LIMIT 1) AS known
        UNION ALL
        SELECT max(known_to) FROM span WHERE known_to IS NOT NULL) AS both_kinds
    """
)
"""Of all sources: of the poll written last, and of the last correction."""
ORIGINS = text(
    """
    SELECT poll.at, poll.message FROM poll JOIN source ON source.id = poll.source_id
     WHERE source.name = :name AND poll.outcome = 'ok' AND poll.pack IS NOT NULL AND poll.message IS NOT NULL
    """
)
KEPT_POLLS = text(
    """
    SELECT id, at, outcome, complete, pack, pruned, quotes, failed_parts FROM poll
     WHERE source_id = :source_id AND pack IS NOT NULL ORDER BY at, id
    """
)


def _by_key(table: Table, key: str) -> Executable:
    return select(table.c[key].label("key"), table.c.id).where(table.c[key].in_(bindparam("keys", expanding=True)))


BY_KEY = {name: _by_key(_TABLES[name], key) for name, key in SHARED.items()}

_endpoint = _TABLES["endpoint"]
RENAME = (
    update(_endpoint)
    .where(_endpoint.c.id == bindparam("endpoint"))
    .values({name: bindparam(f"new_{name}") for name in ("provider_id", "model_id", "variant", "part")})
)
MARKS = select(_endpoint.c.mark, _endpoint.c.id).where(
    _endpoint.c.source_id == bindparam("source_id"),
    or_(_endpoint.c.mark.is_(None), _endpoint.c.mark != bindparam("rest")),
)
"""Endpoints that settled on something, and those (None) that every poll must look at."""
SET_MARK = update(_endpoint).where(_endpoint.c.id == bindparam("endpoint")).values(mark=bindparam("new_mark"))
_offer = (_endpoint.c.published_provider, _endpoint.c.published_model, _endpoint.c.tag)
_sibling = _endpoint.alias("sibling")
SIBLINGS_OF = (
    select(*_offer, _sibling.c.id)
    .join(_sibling, and_(*(_sibling.c[one.name] == one for one in (_endpoint.c.source_id, *_offer))))
    .where(_endpoint.c.id.in_(bindparam("endpoints", expanding=True)))
)
"""The offers of endpoints, and all endpoints that share them."""
SIBLINGS = select(_endpoint.c.id).where(
    _endpoint.c.source_id == bindparam("source_id"), tuple_(*_offer).in_(bindparam("offers", expanding=True))
)


def _believed(table: Table, start: str) -> Update:
    """The belief about an endpoint that began at an instant and is held still."""
    return update(table).where(
        table.c.endpoint_id == bindparam("endpoint"), table.c[start] == bindparam("began"), table.c.known_to.is_(None)
    )


_span, _gap = _TABLES["span"], _TABLES["gap"]
END_INTERVAL = _believed(_span, "first_seen").values(
    {name: bindparam(name) for name in ("lasted", "missed", "reason", "end_lag")}
)
END_GAP = (
    update(_gap)
    .where(_gap.c.endpoint_id == bindparam("endpoint"), _gap.c.until.is_(None), _gap.c.known_to.is_(None))
    .values(until=bindparam("at"), until_known=bindparam("known"))
)
NAME_FINDING = (
    update(_TABLES["finding"])
    .where(_TABLES["finding"].c.id == bindparam("row"))
    .values({name: bindparam(f"new_{name}") for name in ("provider", "model", "variant")})
)
END = {
    name: update(_TABLES[name])
    .where(_TABLES[name].c.id == bindparam("row"))
    .values(ended=bindparam("at"), end_known=bindparam("known"))
    for name in ("stated", "finding")
}
SUPERSEDE = {
    "span": _believed(_span, "first_seen").values(known_to=bindparam("known")),
    "gap": _believed(_gap, "since").values(known_to=bindparam("known")),
    **{
        name: update(_TABLES[name]).where(_TABLES[name].c.id == bindparam("row")).values(known_to=bindparam("known"))
        for name in ("stated", "finding")
    },
}

_poll = _TABLES["poll"]
FORGET_TELEMETRY = delete(_TABLES["telemetry"]).where(
    _TABLES["telemetry"].c.endpoint_id.in_(
        select(_endpoint.c.id).where(_endpoint.c.source_id == bindparam("source_id"))
    ),
    _TABLES["telemetry"].c.at.not_in(
        select(_poll.c.at).where(_poll.c.source_id == bindparam("source_id"), _poll.c.pruned.is_not(None))
    ),
)
"""Of a source, but for polls whose documents cannot tell it again."""
RESTORE_POLLS = (
    update(_poll)
    .where(
        _poll.c.source_id == bindparam("source"), _poll.c.at == bindparam("instant"), _poll.c.pack == bindparam("key")
    )
    .values(pruned=None)
)
"""Of polls whose documents were dropped and came back."""
FORGET_UNUSED = delete(_endpoint).where(
    _endpoint.c.source_id == bindparam("source_id"),
    *(_endpoint.c.id.not_in(select(_TABLES[name].c.endpoint_id)) for name in ("span", "stated")),
)
"""Endpoints about which nothing was ever believed."""


def _of_some(query: str) -> tuple[TextClause, TextClause]:
    """A statement about all endpoints of a source, and about some of them."""
    some = text(query.format(which="endpoint.id IN :endpoints")).bindparams(bindparam("endpoints", expanding=True))
    return text(query.format(which="endpoint.source_id = :source_id")), some


ENDPOINTS = _of_some(
    """
    SELECT endpoint.id, endpoint.published_provider, endpoint.published_model, endpoint.tag, endpoint.sibling,
           endpoint.part, endpoint.variant, endpoint.mark, provider.name AS provider, model.name AS model,
           interval.first_seen, interval.not_before, interval.last_seen, interval.ended, interval.end_reason,
           interval.locator, rate_card.body AS card, facts.body AS facts, document.part AS document_part,
           document.sha256, document.url, gap.since AS unseen_since, gap.last_seen AS seen_before_gap,
           interval.first_seen IS NULL AND EXISTS (
               SELECT 1 FROM stated WHERE stated.endpoint_id = endpoint.id AND stated.known_to IS NULL) AS stated_only
      FROM endpoint
      JOIN provider ON provider.id = endpoint.provider_id
      JOIN model ON model.id = endpoint.model_id
      LEFT JOIN interval ON interval.endpoint_id = endpoint.id AND interval.known_to IS NULL
           AND interval.first_seen = (
               SELECT max(newest.first_seen) FROM interval AS newest
                WHERE newest.endpoint_id = endpoint.id AND newest.known_to IS NULL)
      LEFT JOIN gap ON gap.endpoint_id = endpoint.id AND gap.until IS NULL AND gap.known_to IS NULL
      LEFT JOIN rate_card ON rate_card.id = interval.card_id
      LEFT JOIN facts ON facts.id = interval.facts_id
      LEFT JOIN document ON document.id = interval.document_id
     WHERE {which}
    """
)
STATED = _of_some(
    """
    SELECT stated.id, stated.endpoint_id, stated.since, stated.until, rate_card.body AS card
      FROM stated JOIN endpoint ON endpoint.id = stated.endpoint_id JOIN rate_card ON rate_card.id = stated.card_id
     WHERE {which} AND stated.ended IS NULL AND stated.known_to IS NULL
    """
)
TELEMETRY = _of_some(
    """
    SELECT telemetry.endpoint_id, telemetry.status, telemetry.uptime_percent, telemetry.first_token_ms,
           telemetry.tokens_per_second
      FROM telemetry JOIN endpoint ON endpoint.id = telemetry.endpoint_id
     WHERE {which} AND telemetry.at = (
           SELECT max(newest.at) FROM telemetry AS newest WHERE newest.endpoint_id = telemetry.endpoint_id)
    """
)
_FINDINGS = """
    SELECT finding.id, finding.endpoint_id, finding.subject, finding.rule, finding.message, finding.held,
           finding.provider, finding.model, finding.variant, rate_card.body AS card, document.part
      FROM finding
      LEFT JOIN rate_card ON rate_card.id = finding.card_id
      LEFT JOIN document ON document.id = finding.document_id
     WHERE finding.ended IS NULL AND finding.known_to IS NULL AND
    """
FINDINGS = (
    text(f"{_FINDINGS} finding.source_id = :source_id"),
    text(f"{_FINDINGS} finding.endpoint_id IN :endpoints").bindparams(bindparam("endpoints", expanding=True)),
)
FINDINGS_OF_NONE = text(f"{_FINDINGS} finding.source_id = :source_id AND finding.endpoint_id IS NULL")
VERDICTS = text(
    """
    SELECT subject, value, released, by, note, since FROM verdict WHERE source_id = :source_id ORDER BY id
    """
)
_CONFIRMABLE = """
    SELECT finding.source_id, source.name AS source, finding.subject, finding.first_seen, held.body AS held,
           (SELECT accepted.body FROM interval AS last JOIN rate_card AS accepted ON accepted.id = last.card_id
             WHERE last.endpoint_id = finding.endpoint_id AND last.known_to IS NULL
             ORDER BY last.first_seen DESC LIMIT 1) AS accepted,
           witness.name AS witness, {columns}
      FROM {tables}
      JOIN rate_card AS held ON held.id = finding.card_id
      JOIN rate_card AS stated ON stated.id = {said_by}.card_id
     WHERE finding.source_id = source.id AND finding.held AND finding.ended IS NULL AND finding.known_to IS NULL
       AND {where}
     ORDER BY source.name, finding.subject, witness.trust, witness.name, stated_id
"""
# CROSS JOIN keeps SQLite from going through all endpoints, or the whole history, for the few things that are held.
CONFIRMABLE = text(
    _CONFIRMABLE.format(
        columns="""endpoint.published_provider, endpoint.published_model, endpoint.tag, endpoint.sibling,
           interval.first_seen AS stated_since, stated.body AS stated, endpoint.id AS stated_id""",
        tables="""source CROSS JOIN finding CROSS JOIN provider CROSS JOIN model CROSS JOIN endpoint CROSS JOIN interval
      JOIN source AS witness ON witness.id = endpoint.source_id""",
        said_by="interval",
        where="""provider.name = finding.provider AND model.name = finding.model
       AND endpoint.provider_id = provider.id AND endpoint.model_id = model.id AND endpoint.variant = finding.variant
       AND endpoint.source_id <> finding.source_id
       AND interval.endpoint_id = endpoint.id AND interval.known_to IS NULL AND interval.ended IS NULL
       AND NOT EXISTS (SELECT 1 FROM gap WHERE gap.endpoint_id = endpoint.id AND gap.until IS NULL
                          AND gap.known_to IS NULL)
       AND NOT EXISTS (SELECT 1 FROM finding AS doubt WHERE doubt.endpoint_id = endpoint.id AND doubt.held
                          AND doubt.ended IS NULL AND doubt.known_to IS NULL)""",
    )
)
"""What is held beside what other sources state, undoubted, of the same offer."""
CONFIRMABLE_BY_DOUBTED = text(
    _CONFIRMABLE.format(
        columns="other.subject AS stated_by, other.first_seen AS stated_since, stated.body AS stated,"
        " other.id AS stated_id",
        tables="source AS witness CROSS JOIN finding AS other CROSS JOIN source CROSS JOIN finding",
        said_by="other",
        where="""other.source_id = witness.id AND witness.id <> source.id
       AND other.rule = 'apart' AND other.held AND other.ended IS NULL AND other.known_to IS NULL
       AND other.provider = finding.provider AND other.model = finding.model AND other.variant = finding.variant
       AND NOT EXISTS (SELECT 1 FROM finding AS doubt
                        WHERE doubt.source_id = other.source_id AND doubt.ended IS NULL
                          AND doubt.subject = other.subject AND doubt.rule <> other.rule AND doubt.held
                          AND doubt.known_to IS NULL)""",
    )
)
"""The same beside what other sources state and nothing speaks against but what others charge."""
SELLERS = text(
    """
    SELECT model.name AS model, endpoint.variant, provider.name AS provider, rate_card.input, rate_card.output,
           source.trust < :trust AS trusted_more
      FROM model
     CROSS JOIN endpoint
     CROSS JOIN interval
      JOIN source ON source.id = endpoint.source_id
      JOIN provider ON provider.id = endpoint.provider_id
      JOIN rate_card ON rate_card.id = interval.card_id
     WHERE model.name IN :models AND endpoint.model_id = model.id AND source.name <> :source
       AND interval.endpoint_id = endpoint.id AND interval.known_to IS NULL
       AND interval.first_seen <= :at AND (interval.ended IS NULL OR interval.ended > :at)
       AND rate_card.currency = 'USD' AND rate_card.input > 0 AND rate_card.output > 0
    """
).bindparams(bindparam("models", expanding=True))
HELD = text(
    """
    SELECT count(*) FROM finding
     WHERE source_id = :source_id AND ended IS NULL AND known_to IS NULL AND held
    """
)
COMPLETE_SINCE = text(
    """
    SELECT at FROM poll WHERE source_id = :source_id AND complete AND outcome <> 'failed'
     ORDER BY at DESC LIMIT 1 OFFSET :skip
    """
)
POLLS_SINCE = text(
    """
    SELECT at, complete, failed_parts, pruned FROM poll
     WHERE source_id = :source_id AND outcome <> 'failed' AND at >= :since ORDER BY at, id
    """
)
OFFERED = text(
    """
    SELECT at / 86400000 AS day, max(quotes) AS offers FROM poll
     WHERE source_id = :source_id AND complete AND outcome <> 'failed' AND at >= (
           SELECT (at / 86400000 - :days + 1) * 86400000 FROM poll
            WHERE source_id = :source_id AND complete AND outcome <> 'failed' ORDER BY at DESC LIMIT 1)
     GROUP BY at / 86400000
    """
)
"""By days since 1970, as many as are asked for up to the last that had a complete poll."""
BELIEVED_INTERVALS = text(
    """
    SELECT interval.endpoint_id, interval.first_seen, interval.not_before, interval.last_seen, interval.ended,
           interval.end_reason, interval.locator, interval.document_id, rate_card.body AS card, facts.body AS facts
      FROM interval JOIN endpoint ON endpoint.id = interval.endpoint_id
      JOIN rate_card ON rate_card.id = interval.card_id JOIN facts ON facts.id = interval.facts_id
     WHERE endpoint.source_id = :source_id AND interval.known_to IS NULL
    """
)
BELIEVED_GAPS = text(
    """
    SELECT gap.endpoint_id, gap.since, gap.last_seen, gap.until FROM gap JOIN endpoint ON endpoint.id = gap.endpoint_id
     WHERE endpoint.source_id = :source_id AND gap.known_to IS NULL
    """
)
BELIEVED_STATED = text(
    """
    SELECT stated.id, stated.endpoint_id, stated.since, stated.until, stated.locator, stated.document_id,
           stated.first_seen, stated.ended, rate_card.body AS card
      FROM stated JOIN endpoint ON endpoint.id = stated.endpoint_id JOIN rate_card ON rate_card.id = stated.card_id
     WHERE endpoint.source_id = :source_id AND stated.known_to IS NULL
    """
)
BELIEVED_FINDINGS = text(
    """
    SELECT finding.id, finding.endpoint_id, finding.subject, finding.rule, finding.message, finding.held,
           finding.provider, finding.model, finding.variant, finding.locator, finding.document_id,
           finding.first_seen, finding.ended, rate_card.body AS card
      FROM finding LEFT JOIN rate_card ON rate_card.id = finding.card_id
     WHERE finding.source_id = :source_id AND finding.known_to IS NULL
    """
)
DOCUMENTS = text(
    """
    SELECT document.id, document.poll_id, document.part FROM document JOIN poll ON poll.id = document.poll_id
     WHERE poll.source_id = :source_id
    """
)
