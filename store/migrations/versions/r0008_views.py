"""Views of prices for other programs: `current_prices` and `price_history`."""

from alembic import op

revision = "0008"
down_revision = "0007"

SQLITE = (
    """
CREATE VIEW current_prices AS
SELECT m.name AS model,
    p.name AS provider,
    e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS endpoint,
    e.variant AS variant,
    s.name AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', (i.first_seen - i.unseen) / 1000.0, 'unixepoch') AS not_before,
    strftime('%Y-%m-%dT%H:%M:%fZ', (i.first_seen) / 1000.0, 'unixepoch') AS first_seen,
    strftime('%Y-%m-%dT%H:%M:%fZ', (
        CASE WHEN i.lasted IS NOT NULL THEN i.first_seen + i.lasted - i.missed
        ELSE MAX(i.first_seen, COALESCE(
            (SELECT u.last_seen FROM gap u WHERE u.endpoint_id = e.id AND u.known_to IS NULL AND u.until IS NULL
             ORDER BY u.since DESC LIMIT 1),
            (SELECT b.at FROM poll b
             WHERE b.source_id = e.source_id AND b.outcome <> 'failed'
                AND (b.failed_parts IS NULL OR NOT EXISTS (
                SELECT 1 FROM json_each(b.failed_parts) k WHERE k.value = e.part))
             ORDER BY b.at DESC LIMIT 1),
            i.first_seen)) END) / 1000.0, 'unixepoch') AS last_seen,
    CASE WHEN c.input IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.input / 1000000000, c.input % 1000000000), '0'), '.')
    END AS input,
    CASE WHEN c.output IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.output / 1000000000, c.output % 1000000000), '0'), '.')
    END AS output,
    CASE WHEN c.cache_read IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.cache_read / 1000000000, c.cache_read % 1000000000), '0'), '.')
    END AS cache_read,
    CASE WHEN c.cache_write IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.cache_write / 1000000000, c.cache_write % 1000000000), '0'), '.')
    END AS cache_write,
    c.currency AS currency,
    CASE WHEN c.input > 0 THEN 'priced' WHEN c.input = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.input'), 'not_offered') END AS input_state,
    CASE WHEN c.output > 0 THEN 'priced' WHEN c.output = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.output'), 'not_offered') END AS output_state,
    CASE WHEN c.cache_read > 0 THEN 'priced' WHEN c.cache_read = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.cache_read'), 'not_offered') END AS cache_read_state,
    CASE WHEN c.cache_write > 0 THEN 'priced' WHEN c.cache_write = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.cache_write'), 'not_offered') END AS cache_write_state,
    c.input AS input_nano,
    c.output AS output_nano,
    c.cache_read AS cache_read_nano,
    c.cache_write AS cache_write_nano,
    json_type(c.body, '$.overrides') IS NOT NULL AS has_conditions,
    f.context_length AS context_length,
    f.max_output_tokens AS max_output_tokens,
    f.quantization AS quantization,
    EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.known_to IS NULL AND g.ended IS NULL AND i.lasted IS NULL
    ) AS disputed,
    d.sha256 AS document,
    s.name || ':' || p.name || ':'
        || e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS ref
FROM endpoint e
CROSS JOIN span i
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = e.id AND i.known_to IS NULL
    AND substr(m.name, 1, 9) <> 'currency/' AND i.lasted IS NULL AND i.first_seen = (
    SELECT x.first_seen FROM span x WHERE x.endpoint_id = e.id AND x.known_to IS NULL
    ORDER BY x.first_seen DESC LIMIT 1)
""",
    """
CREATE VIEW price_history AS
SELECT m.name AS model,
    p.name AS provider,
    e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS endpoint,
    e.variant AS variant,
    s.name AS source,
    strftime('%Y-%m-%dT%H:%M:%fZ', (i.first_seen - i.unseen) / 1000.0, 'unixepoch') AS not_before,
    strftime('%Y-%m-%dT%H:%M:%fZ', (i.first_seen) / 1000.0, 'unixepoch') AS first_seen,
    strftime('%Y-%m-%dT%H:%M:%fZ', (
        CASE WHEN i.lasted IS NOT NULL THEN i.first_seen + i.lasted - i.missed
        ELSE MAX(i.first_seen, COALESCE(
            (SELECT u.last_seen FROM gap u WHERE u.endpoint_id = e.id AND u.known_to IS NULL AND u.until IS NULL
             ORDER BY u.since DESC LIMIT 1),
            (SELECT b.at FROM poll b
             WHERE b.source_id = e.source_id AND b.outcome <> 'failed'
                AND (b.failed_parts IS NULL OR NOT EXISTS (
                SELECT 1 FROM json_each(b.failed_parts) k WHERE k.value = e.part))
             ORDER BY b.at DESC LIMIT 1),
            i.first_seen)) END) / 1000.0, 'unixepoch') AS last_seen,
    strftime('%Y-%m-%dT%H:%M:%fZ', (i.first_seen + i.lasted) / 1000.0, 'unixepoch') AS ended,
    CASE i.reason WHEN 0 THEN 'changed' WHEN 1 THEN 'withdrawn' WHEN 2 THEN 'superseded' END AS end_reason,
    CASE WHEN c.input IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.input / 1000000000, c.input % 1000000000), '0'), '.')
    END AS input,
    CASE WHEN c.output IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.output / 1000000000, c.output % 1000000000), '0'), '.')
    END AS output,
    CASE WHEN c.cache_read IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.cache_read / 1000000000, c.cache_read % 1000000000), '0'), '.')
    END AS cache_read,
    CASE WHEN c.cache_write IS NOT NULL THEN
        rtrim(rtrim(printf('%d.%09d', c.cache_write / 1000000000, c.cache_write % 1000000000), '0'), '.')
    END AS cache_write,
    c.currency AS currency,
    CASE WHEN c.input > 0 THEN 'priced' WHEN c.input = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.input'), 'not_offered') END AS input_state,
    CASE WHEN c.output > 0 THEN 'priced' WHEN c.output = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.output'), 'not_offered') END AS output_state,
    CASE WHEN c.cache_read > 0 THEN 'priced' WHEN c.cache_read = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.cache_read'), 'not_offered') END AS cache_read_state,
    CASE WHEN c.cache_write > 0 THEN 'priced' WHEN c.cache_write = 0 THEN 'free'
        ELSE COALESCE(json_extract(c.body, '$.states.cache_write'), 'not_offered') END AS cache_write_state,
    c.input AS input_nano,
    c.output AS output_nano,
    c.cache_read AS cache_read_nano,
    c.cache_write AS cache_write_nano,
    json_type(c.body, '$.overrides') IS NOT NULL AS has_conditions,
    f.context_length AS context_length,
    f.max_output_tokens AS max_output_tokens,
    f.quantization AS quantization,
    EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.known_to IS NULL AND g.ended IS NULL AND i.lasted IS NULL
    ) AS disputed,
    d.sha256 AS document,
    s.name || ':' || p.name || ':'
        || e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS ref
FROM endpoint e
CROSS JOIN span i
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = e.id AND i.known_to IS NULL
    AND substr(m.name, 1, 9) <> 'currency/'
""",
)
POSTGRESQL = (
    """
CREATE VIEW current_prices AS
SELECT m.name AS model,
    p.name AS provider,
    e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS endpoint,
    e.variant AS variant,
    s.name AS source,
    timestamptz 'epoch' + (i.first_seen - i.unseen) * interval '1 millisecond' AS not_before,
    timestamptz 'epoch' + (i.first_seen) * interval '1 millisecond' AS first_seen,
    timestamptz 'epoch' + (
        CASE WHEN i.lasted IS NOT NULL THEN i.first_seen + i.lasted - i.missed
        ELSE GREATEST(i.first_seen, COALESCE(
            (SELECT u.last_seen FROM gap u WHERE u.endpoint_id = e.id AND u.known_to IS NULL AND u.until IS NULL
             ORDER BY u.since DESC LIMIT 1),
            (SELECT b.at FROM poll b
             WHERE b.source_id = e.source_id AND b.outcome <> 'failed'
                AND (b.failed_parts IS NULL OR NOT jsonb_exists(b.failed_parts::jsonb, e.part))
             ORDER BY b.at DESC LIMIT 1),
            i.first_seen)) END) * interval '1 millisecond' AS last_seen,
    trim_scale(c.input * 0.000000001) AS input,
    trim_scale(c.output * 0.000000001) AS output,
    trim_scale(c.cache_read * 0.000000001) AS cache_read,
    trim_scale(c.cache_write * 0.000000001) AS cache_write,
    c.currency AS currency,
    CASE WHEN c.input > 0 THEN 'priced' WHEN c.input = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,input}', 'not_offered') END AS input_state,
    CASE WHEN c.output > 0 THEN 'priced' WHEN c.output = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,output}', 'not_offered') END AS output_state,
    CASE WHEN c.cache_read > 0 THEN 'priced' WHEN c.cache_read = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,cache_read}', 'not_offered') END AS cache_read_state,
    CASE WHEN c.cache_write > 0 THEN 'priced' WHEN c.cache_write = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,cache_write}', 'not_offered') END AS cache_write_state,
    c.input AS input_nano,
    c.output AS output_nano,
    c.cache_read AS cache_read_nano,
    c.cache_write AS cache_write_nano,
    jsonb_exists(c.body::jsonb, 'overrides') AS has_conditions,
    f.context_length AS context_length,
    f.max_output_tokens AS max_output_tokens,
    f.quantization AS quantization,
    EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.known_to IS NULL AND g.ended IS NULL AND i.lasted IS NULL
    ) AS disputed,
    d.sha256 AS document,
    s.name || ':' || p.name || ':'
        || e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS ref
FROM endpoint e
CROSS JOIN span i
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = e.id AND i.known_to IS NULL
    AND substr(m.name, 1, 9) <> 'currency/' AND i.lasted IS NULL AND i.first_seen = (
    SELECT x.first_seen FROM span x WHERE x.endpoint_id = e.id AND x.known_to IS NULL
    ORDER BY x.first_seen DESC LIMIT 1)
""",
    """
CREATE VIEW price_history AS
SELECT m.name AS model,
    p.name AS provider,
    e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS endpoint,
    e.variant AS variant,
    s.name AS source,
    timestamptz 'epoch' + (i.first_seen - i.unseen) * interval '1 millisecond' AS not_before,
    timestamptz 'epoch' + (i.first_seen) * interval '1 millisecond' AS first_seen,
    timestamptz 'epoch' + (
        CASE WHEN i.lasted IS NOT NULL THEN i.first_seen + i.lasted - i.missed
        ELSE GREATEST(i.first_seen, COALESCE(
            (SELECT u.last_seen FROM gap u WHERE u.endpoint_id = e.id AND u.known_to IS NULL AND u.until IS NULL
             ORDER BY u.since DESC LIMIT 1),
            (SELECT b.at FROM poll b
             WHERE b.source_id = e.source_id AND b.outcome <> 'failed'
                AND (b.failed_parts IS NULL OR NOT jsonb_exists(b.failed_parts::jsonb, e.part))
             ORDER BY b.at DESC LIMIT 1),
            i.first_seen)) END) * interval '1 millisecond' AS last_seen,
    timestamptz 'epoch' + (i.first_seen + i.lasted) * interval '1 millisecond' AS ended,
    CASE i.reason WHEN 0 THEN 'changed' WHEN 1 THEN 'withdrawn' WHEN 2 THEN 'superseded' END AS end_reason,
    trim_scale(c.input * 0.000000001) AS input,
    trim_scale(c.output * 0.000000001) AS output,
    trim_scale(c.cache_read * 0.000000001) AS cache_read,
    trim_scale(c.cache_write * 0.000000001) AS cache_write,
    c.currency AS currency,
    CASE WHEN c.input > 0 THEN 'priced' WHEN c.input = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,input}', 'not_offered') END AS input_state,
    CASE WHEN c.output > 0 THEN 'priced' WHEN c.output = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,output}', 'not_offered') END AS output_state,
    CASE WHEN c.cache_read > 0 THEN 'priced' WHEN c.cache_read = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,cache_read}', 'not_offered') END AS cache_read_state,
    CASE WHEN c.cache_write > 0 THEN 'priced' WHEN c.cache_write = 0 THEN 'free'
        ELSE COALESCE(c.body::jsonb #>> '{states,cache_write}', 'not_offered') END AS cache_write_state,
    c.input AS input_nano,
    c.output AS output_nano,
    c.cache_read AS cache_read_nano,
    c.cache_write AS cache_write_nano,
    jsonb_exists(c.body::jsonb, 'overrides') AS has_conditions,
    f.context_length AS context_length,
    f.max_output_tokens AS max_output_tokens,
    f.quantization AS quantization,
    EXISTS (
        SELECT 1 FROM finding g
        WHERE g.endpoint_id = e.id AND g.held AND g.known_to IS NULL AND g.ended IS NULL AND i.lasted IS NULL
    ) AS disputed,
    d.sha256 AS document,
    s.name || ':' || p.name || ':'
        || e.published_model || CASE e.tag WHEN '' THEN '' ELSE '@' || e.tag END
        || CASE e.sibling WHEN '' THEN '' ELSE '#' || e.sibling END AS ref
FROM endpoint e
CROSS JOIN span i
JOIN source s ON s.id = e.source_id
JOIN provider p ON p.id = e.provider_id
JOIN model m ON m.id = e.model_id
JOIN rate_card c ON c.id = i.card_id
JOIN facts f ON f.id = i.facts_id
JOIN document d ON d.id = i.document_id
WHERE i.endpoint_id = e.id AND i.known_to IS NULL
    AND substr(m.name, 1, 9) <> 'currency/'
""",
)


def upgrade() -> None:
    """Make them."""
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
