"""The statements of the write side, built once."""

from sqlalchemy import Table, TextClause, bindparam, delete, insert, select, text, update
from sqlalchemy.sql.base import Executable
from sqlmodel import SQLModel

import store.tables as _tables  # noqa: F401 - declares the tables on the metadata

CHUNK = 500
"""Values in one IN list."""

_TABLES = SQLModel.metadata.tables
INSERT: dict[str, Executable] = {name: insert(table) for name, table in _TABLES.items()}

SOURCE = select(_TABLES["source"]).where(_TABLES["source"].c.name == bindparam("name"))
UPDATE_SOURCE = (
    update(_TABLES["source"])
    .where(_TABLES["source"].c.id == bindparam("source"))
    .values(trust=bindparam("trust"), every_s=bindparam("every_s"))
)
UPDATE_POLL = (
    update(_TABLES["poll"])
    .where(_TABLES["poll"].c.id == bindparam("poll"))
    .values(complete=bindparam("complete"), changes=bindparam("changes"), held=bindparam("held"))
)
LAST_POLLS = text(
    """
    SELECT max(poll.at) AS newest,
           max(CASE WHEN poll.outcome <> 'failed' THEN poll.at END) AS newest_ok,
           (SELECT kept.pack FROM poll AS kept JOIN source AS s ON s.id = kept.source_id
             WHERE s.name = :name AND kept.pack IS NOT NULL ORDER BY kept.at DESC LIMIT 1) AS pack
      FROM poll JOIN source ON source.id = poll.source_id
     WHERE source.name = :name
    """
)
KEPT_POLLS = text(
    """
    SELECT id, at, outcome, pack, failed_parts FROM poll
     WHERE source_id = :source_id AND outcome <> 'failed' ORDER BY at, id
    """
)


def _by_name(table: Table) -> Executable:
    return select(table.c.id).where(table.c.name == bindparam("name"))


def _by_digest(table: Table) -> Executable:
    return select(table.c.digest, table.c.id).where(table.c.digest.in_(bindparam("digests", expanding=True)))


BY_NAME = {name: _by_name(_TABLES[name]) for name in ("provider", "model")}
BY_DIGEST = {name: _by_digest(_TABLES[name]) for name in ("rate_card", "facts")}

_endpoint = _TABLES["endpoint"]
RENAME = (
    update(_endpoint)
    .where(_endpoint.c.id == bindparam("endpoint"))
    .values({name: bindparam(f"new_{name}") for name in ("provider_id", "model_id", "variant", "part")})
)
_interval = _TABLES["interval"]
UPDATE_INTERVAL = (
    update(_interval)
    .where(_interval.c.endpoint_id == bindparam("endpoint"), _interval.c.first_seen == bindparam("began"))
    .values({name: bindparam(name) for name in ("unseen_since", "last_seen", "ended", "end_reason")})
)
END = {
    name: update(_TABLES[name]).where(_TABLES[name].c.id == bindparam("row")).values(ended=bindparam("at"))
    for name in ("stated", "finding")
}

_OF_SOURCE = select(_endpoint.c.id).where(_endpoint.c.source_id == bindparam("source_id"))
FORGET: tuple[Executable, ...] = (
    *(
        delete(_TABLES[name]).where(_TABLES[name].c.endpoint_id.in_(_OF_SOURCE))
        for name in ("interval", "stated", "telemetry")
    ),
    delete(_TABLES["finding"]).where(_TABLES["finding"].c.source_id == bindparam("source_id")),
    delete(_TABLES["document"]).where(
        _TABLES["document"].c.poll_id.in_(
            select(_TABLES["poll"].c.id).where(_TABLES["poll"].c.source_id == bindparam("source_id"))
        )
    ),
)
"""All that a source's timeline is made of, except the names of its endpoints."""
FORGET_UNUSED = delete(_endpoint).where(
    _endpoint.c.source_id == bindparam("source_id"),
    *(_endpoint.c.id.not_in(select(_TABLES[name].c.endpoint_id)) for name in ("interval", "stated")),
)
"""Endpoints that a timeline made anew no longer has."""

ENDPOINTS: TextClause = text(
    """
    SELECT endpoint.id, endpoint.published_provider, endpoint.published_model, endpoint.tag, endpoint.sibling,
           endpoint.part, endpoint.variant, provider.name AS provider, model.name AS model,
           interval.first_seen, interval.not_before, interval.unseen_since, interval.last_seen, interval.ended,
           interval.end_reason, interval.locator, rate_card.body AS card, facts.body AS facts,
           document.part AS document_part, document.sha256, document.url
      FROM endpoint
      JOIN provider ON provider.id = endpoint.provider_id
      JOIN model ON model.id = endpoint.model_id
      LEFT JOIN interval ON interval.endpoint_id = endpoint.id AND interval.first_seen = (
           SELECT max(newest.first_seen) FROM interval AS newest WHERE newest.endpoint_id = endpoint.id)
      LEFT JOIN rate_card ON rate_card.id = interval.card_id
      LEFT JOIN facts ON facts.id = interval.facts_id
      LEFT JOIN document ON document.id = interval.document_id
     WHERE endpoint.source_id = :source_id
    """
)
STATED = text(
    """
    SELECT stated.id, stated.endpoint_id, stated.since, stated.until, rate_card.body AS card
      FROM stated JOIN endpoint ON endpoint.id = stated.endpoint_id JOIN rate_card ON rate_card.id = stated.card_id
     WHERE endpoint.source_id = :source_id AND stated.ended IS NULL
    """
)
TELEMETRY = text(
    """
    SELECT telemetry.endpoint_id, telemetry.status, telemetry.uptime_percent
      FROM telemetry JOIN endpoint ON endpoint.id = telemetry.endpoint_id
     WHERE endpoint.source_id = :source_id AND telemetry.at = (
           SELECT max(newest.at) FROM telemetry AS newest WHERE newest.endpoint_id = telemetry.endpoint_id)
    """
)
FINDINGS = text(
    """
    SELECT finding.id, finding.endpoint_id, finding.subject, finding.rule, finding.message, finding.held,
           rate_card.body AS card, document.part
      FROM finding
      LEFT JOIN rate_card ON rate_card.id = finding.card_id
      LEFT JOIN document ON document.id = finding.document_id
     WHERE finding.source_id = :source_id AND finding.ended IS NULL
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
    SELECT at, complete, failed_parts FROM poll
     WHERE source_id = :source_id AND outcome <> 'failed' AND at >= :since ORDER BY at, id
    """
)
