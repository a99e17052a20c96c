"""Usage files as they come: every known export, columns by any name, and nothing read that is not there."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.usage import BadRow, Invoiced, Misread, Name, Reading, Usage, amount, instant, rows_of, usage
from collector.usage_forms import Form, NotCharged, recognise
from store.errors import QueryError

AT = datetime(2026, 8, 20, 12, tzinfo=UTC)
FEMTO = 10**15


def read(text: str, **given: str) -> tuple[str, list[Usage | str]]:
    """The form of a file, and its rows, or why one is none."""
    columns, rows = rows_of(io.StringIO(text))
    form = recognise(columns, given, utc=True, cost_digits=None)
    found: list[Usage | str] = []
    for line, record in rows:
        if isinstance(record, Misread):
            found.append(f"{line}: {record.reason}")
            continue
        try:
            found.extend(usage(line, fields, form.reading) for fields in form.fields(record))
        except BadRow as error:
            found.append(f"{line}: {error}")
    return form.name, found


def one(text: str, **given: str) -> Usage:
    _, (found,) = read(text, **given)
    assert isinstance(found, Usage), found
    return found


def lines(*records: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


# --- exports of others ---

OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens,input_audio_tokens\n"
)


def test_the_usage_page_of_openai() -> None:
    form, (day, batch) = read(
        OPENAI
        + "1759622400,1759708800,2025-10-05T00:00:00+00:00,2025-10-06T00:00:00+00:00,proj_a,10.0,user-b,key_c,"
        + "gpt-4o-2024-08-06,FALSE,default,59200.0,10646.0,5760.0,53440.0,0.0\n"
        + "1759795200,1759881600,2025-10-07T00:00:00+00:00,2025-10-08T00:00:00+00:00,,,,,,,,,,,,\n"
        + "1759795200,1759881600,2025-10-07T00:00:00+00:00,2025-10-08T00:00:00+00:00,proj_a,1.0,user-b,key_c,"
        + "gpt-4o-2024-08-06,TRUE,default,10,1,0,10,4\n"
    )
    assert form == "openai"
    assert day == Usage(
        line=2,
        at=datetime(2025, 10, 5, tzinfo=UTC),
        until=datetime(2025, 10, 6, tzinfo=UTC),
        name=Name("", "gpt-4o-2024-08-06", "", "", "", ""),
        input_tokens=59200,
        output_tokens=10646,
        cached_tokens=5760,
        more=(),
        requests=10,
        invoiced=None,
        labels=("key_c", "user-b", "proj_a"),
    )
    assert isinstance(batch, Usage)
    assert (batch.name.tier, batch.more) == ("batch", (("input_audio", 4),))


def test_the_usage_api_of_openai_by_bucket_and_by_page() -> None:
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "num_model_requests": 5,
        "model": "gpt-5-2025-08-07",
        "batch": False,
        "service_tier": "flex",
    }
    bucket = {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600, "results": [result, result]}
    form, found = read(lines(bucket))
    assert (form, len(found)) == ("openai", 2)
    assert read(lines({"object": "page", "data": [bucket], "has_more": False}))[1] == found
    assert isinstance(found[0], Usage)
    assert (found[0].at, found[0].name.tier) == (datetime(2024, 11, 1, tzinfo=UTC), "flex")


def spend(**more: Any) -> dict[str, Any]:
    return {
        "request_id": "r",
        "call_type": "acompletion",
        "api_key": "hash",
        "spend": 0.00012300000000000001,
        "prompt_tokens": 1000,
        "completion_tokens": 80,
        "startTime": "2026-08-20 12:00:00.123456",
        "model": "claude-sonnet-4-5",
        "custom_llm_provider": "anthropic",
        "user": "u",
        "team_id": "t",
        **more,
    }


def test_spend_logs_of_litellm_with_what_was_read_from_caches_and_written_to_them() -> None:
    details = {"cached_tokens": 600, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 50}}
    used = {
        "prompt_tokens_details": details,
        "cache_creation_input_tokens": 200,
        "completion_tokens_details": {"reasoning_tokens": 25},
    }
    found = one(lines(spend(metadata={"usage_object": used})))
    assert (found.input_tokens, found.cached_tokens, found.output_tokens) == (1000, 600, 80)
    assert found.more == (("cache_write", 150), ("cache_write_1h", 50), ("reasoning", 25))
    assert (found.name.provider, found.labels, found.at.microsecond) == ("anthropic", ("hash", "u", "t"), 123000)
    assert found.invoiced is not None
    assert found.invoiced.explains(123_000_000_000)
    assert not found.invoiced.explains(123_000_000_009)


def test_spend_logs_in_csv_have_their_metadata_as_json() -> None:
    record = spend(metadata=json.dumps({"usage_object": {"cache_read_input_tokens": 7}}))
    header, cells = ",".join(record), ",".join('"' + str(cell).replace('"', '""') + '"' for cell in record.values())
    assert one(f"{header}\n{cells}\n").cached_tokens == 7
    assert read(f"{header}\n{cells}\n".replace("{", "[", 1))[1][0] != ""


@pytest.mark.parametrize("more", [{"cache_hit": "True"}, {"status": "failure"}])
def test_what_nobody_charged_for_is_told_and_not_priced(more: dict[str, str]) -> None:
    _, (found,) = read(lines(spend(**more)))
    assert isinstance(found, str)
    assert ("own cache" in found) or ("failed" in found)
    assert issubclass(NotCharged, BadRow)


@pytest.mark.parametrize(
    "record",
    [
        {"startTime": "2026-08-20T12:00:00.000Z", "model": "gpt-4o", "totalCost": 0.25},
        {"start_time": "2026-08-20 12:00:00.000000", "provided_model_name": "gpt-4o", "total_cost": "0.25"},
    ],
    ids=["table", "blob storage"],
)
def test_observations_of_langfuse_whose_usage_types_are_disjoint(record: dict[str, Any]) -> None:
    used = {"input": 100, "input_cached_tokens": 60, "output": 40, "output_reasoning_tokens": 5, "total": 205}
    name = "usageDetails" if "startTime" in record else "usage_details"
    found = one(lines({**record, "type": "GENERATION", name: used}))
    assert (found.at, found.input_tokens, found.cached_tokens, found.output_tokens) == (AT, 160, 60, 45)
    assert found.more == (("reasoning", 5),)
    assert found.invoiced == Invoiced(FEMTO // 4, FEMTO // 4 // 10**14 + 1, "USD")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"type": "SPAN"}, "no generation"),
        ({"usageDetails": {"total": 5}}, "has no usage"),
        ({"usageDetails": {"input": 5, "moon_tokens": 1}}, "usage type 'moon_tokens' is 1"),
        ({"usageDetails": "{"}, "usage details is not JSON"),
        ({"usageDetails": [1]}, "usage details is [1]"),
    ],
)
def test_what_langfuse_counts_otherwise_is_not_priced(more: dict[str, Any], reason: str) -> None:
    record = {"startTime": "2026-08-20T12:00:00Z", "model": "m", "usageDetails": {"input": 1}, **more}
    _, (found,) = read(lines(record))
    assert isinstance(found, str)
    assert reason in found


OPENROUTER = (
    "generation_id,created_at,cost_total,cost_cache,byok_usage_inference,tokens_prompt,tokens_completion,"
    "tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,api_key_name,app_name,user\n"
)


def test_the_activity_page_of_openrouter() -> None:
    form, (paid, own) = read(
        OPENROUTER
        + "g1,2026-08-20 12:00:00.000,0.00033,0,0,3000,1000,200,1000,openai/gpt-oss-120b,DeepInfra,standard,k,app,u\n"
        + "g2,2026-08-20 12:00:00.000,0.00033,0,0.01,3000,1000,0,0,openai/gpt-oss-120b,Groq,free,k,app,u\n"
    )
    assert form == "openrouter"
    assert isinstance(paid, Usage)
    assert isinstance(own, Usage)
    assert paid.name == Name("DeepInfra", "openai/gpt-oss-120b", "", "", "", "")
    assert (paid.cached_tokens, paid.more, paid.labels) == (1000, (("reasoning", 200),), ("k", "u", "app"))
    assert paid.invoiced is not None
    assert paid.invoiced.femto == 330 * 10**9
    assert (own.name.model, own.invoiced) == ("openai/gpt-oss-120b:free", None)


def test_the_activity_api_of_openrouter_sums_up_days() -> None:
    record = {
        "date": "2026-08-20",
        "model": "openai/gpt-4.1",
        "model_permaslug": "openai/gpt-4.1-2025-04-14",
        "provider_name": "OpenAI",
        "usage": 0.015,
        "byok_usage_inference": 0,
        "requests": 5,
        "prompt_tokens": 50,
        "completion_tokens": 125,
        "reasoning_tokens": 25,
    }
    found = one(lines(record))
    assert (found.at, found.until, found.requests) == (AT - timedelta(hours=12), AT + timedelta(hours=12), 5)


def test_half_a_character_is_none() -> None:
    record = {"instant": "2026-08-20T12:00:00Z", "model": "m\ud800", "input": 1, "key": "\udfff"}
    found = one(lines(record))
    assert (found.name.model, found.labels[0]) == ("m?", "?")


# --- columns of any name ---


def test_columns_that_are_called_as_fields_are_need_no_map() -> None:
    found = one(
        "instant,provider,model,tier,input,output,cached,cache_write,cost\n2026-08-20T14:00+02:00,p,m,Batch,9,1,2,3,0.50\n"
    )
    assert (found.at, found.name.tier, found.more) == (AT, "batch", (("cache_write", 3),))
    assert found.invoiced == Invoiced(FEMTO // 2, FEMTO // 200, "USD")


def test_mapped_columns_and_prompts_that_leave_out_what_was_cached() -> None:
    text = "ts\tname\tfresh\tread\tout\n1787227200\tm\t100\t60\t5\n"
    given = {"instant": "ts", "model": "name", "uncached_input": "fresh", "cached": "read", "output": "out"}
    found = one(text, **given)
    assert (found.at, found.input_tokens, found.cached_tokens) == (AT, 160, 60)


@pytest.mark.parametrize(
    ("text", "given", "told"),
    [
        ("a,b\n1,2\n", {}, "is of no form that is known"),
        ("a,b\n1,2\n", {"instant": "c"}, "has no column 'c'; it has a, b"),
        ("ts,m\n1,2\n", {"instant": "ts", "model": "m"}, "--map input=COLUMN,output=COLUMN"),
        ("a,a\n1,2\n", {}, "column 'a' stands twice"),
        ("[1]\n", {}, "not a JSON record"),
        ('{"a": NaN}\n', {}, "jq -c"),
        ("", {}, "is of no form that is known"),
    ],
)
def test_a_file_of_another_form_is_refused_and_told_what_it_has(text: str, given: dict[str, str], told: str) -> None:
    with pytest.raises(QueryError) as error:
        read(text, **given)
    assert told in str(error.value)


PLAIN = "instant,model,input,output,cached,reasoning,requests,cost\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2026-08-20,m,1,1,0,0,1", "has 7 cells, the header 8"),
        ("yesterday,m,1,1,0,0,1,", "instant is 'yesterday'"),
        (",m,1,1,0,0,1,", "instant is ''"),
        ("2026-08-20T12:00Z,,1,1,0,0,1,", "names no model"),
        ("2026-08-20T12:00Z,m,-1,1,0,0,1,", "input is '-1', not a count"),
        ("2026-08-20T12:00Z,m,1.5,1,0,0,1,", "input is '1.5', not a count"),
        ("2026-08-20T12:00Z,m,٣,1,0,0,1,", "not a count"),
        ("2026-08-20T12:00Z,m,1,1,2,0,1,", "the parts of the prompt are more than the prompt"),
        ("2026-08-20T12:00Z,m,1,1,0,2,1,", "the parts of the answer are more than the answer"),
        ("2026-08-20T12:00Z,m,0,0,0,0,1,", "counts nothing"),
        ("2026-08-20T12:00Z,m,1,1,0,0,0,", "counts no requests"),
        ("9999-12-31,m,1,1,0,0,1,", "instant is '9999-12-31'"),
        ("2026-08-20T12:00Z,m,1,1,0,0,1,free", "cost is 'free', not an amount"),
        ("2026-08-20T12:00Z,m,1,1,0,0,1,NaN", "not an amount"),
        ('2026-08-20T12:00Z,"m"x,1,1,0,0,1,', "not CSV"),
    ],
)
def test_a_row_that_cannot_be_read_says_where_and_why_and_the_next_one_is_read(row: str, reason: str) -> None:
    _, (bad, good) = read(f"{PLAIN}{row}\n2026-08-20T12:00Z,m,1,1,0,0,1,0.1\n")
    assert isinstance(bad, str)
    assert bad.startswith("2: ")
    assert reason in bad
    assert isinstance(good, Usage)
    assert good.line == 3


def test_a_record_that_is_none_is_told_and_the_next_one_is_read() -> None:
    good = {"instant": "2026-08-20T12:00:00Z", "model": "m", "input": 1, "output": 2}
    form, found = read(lines(good) + '{"instant": \n\n[1]\n' + lines({**good, "model": ["m"]}) + lines(good))
    assert form == "columns"
    assert [one if isinstance(one, str) else one.line for one in found] == [
        1,
        "2: not a JSON record",
        "4: not a JSON record",
        "5: has a list or an object where a name should be",
        6,
    ]


def test_a_row_that_sums_up_years_is_told() -> None:
    header = "instant,until,model,input\n2024-01-01T00:00Z,"
    assert read(f"{header}2026-01-01T00:00Z,m,1\n")[1] == ["2: sums up more than 366 days"]
    assert read(f"{header}2023-01-01T00:00Z,m,1\n")[1] == ["2: ends before it begins"]


def test_an_instant_without_an_offset_is_none_unless_it_is_said_to_be_utc() -> None:
    with pytest.raises(BadRow, match="has no offset: --utc"):
        instant("2026-08-20 12:00:00", utc=False)
    assert instant("2026-08-20 12:00:00", utc=True) == (AT, None)
    assert instant("2026-08-20", utc=False) == (AT - timedelta(hours=12), AT + timedelta(hours=12))
    odds: list[Any] = [True, 1.5, [], "99999999999999999999", -1]
    for odd in odds:
        with pytest.raises(BadRow):
            instant(odd, utc=True)


@given(st.integers(0, 10**12), st.integers(0, 9))
def test_an_amount_is_read_exactly_and_explains_what_rounds_to_it(units: int, digits: int) -> None:
    said = f"{units // 10**digits}.{units % 10**digits:0{digits}d}" if digits else str(units)
    found = amount(said, "USD", Reading())
    exact = units * FEMTO // 10**digits
    half = FEMTO // (2 * 10**digits)
    assert found.femto == exact
    if len(str(units).strip("0")) < 15:
        assert found.explains(exact + half)
        assert found.explains(exact - half)
        assert not found.explains(exact + half + 1)


@pytest.mark.parametrize(
    ("said", "reading", "slack"),
    [
        ("0.5", Reading(cost_digits=4), FEMTO // 20_000),
        ("0.00043499999999999995", Reading(), 434999999999 // 10**14 + 1),
        ("4.35e-06", Reading(exact=True), 1),
        ("4.35e-06", Reading(), FEMTO // (2 * 10**8)),
        ("12", Reading(), FEMTO // 2),
        ("0.0000000000000000001", Reading(), 1),
    ],
)
def test_what_an_amount_may_be_off_by(said: str, reading: Reading, slack: int) -> None:
    assert amount(said, "USD", reading).slack == slack


def test_forms_are_recognised_by_their_columns_alone() -> None:
    assert isinstance(recognise(OPENROUTER.strip().split(","), {}, utc=False, cost_digits=None), Form)


NESTED = (
    *(
        "usage_object",
        "prompt_tokens_details",
        "cache_creation_token_details",
        "cached_tokens",
        "cache_creation_tokens",
    ),
    *("input", "output", "total", "input_cached_tokens", "start_time", "results", "model", "input_tokens"),
)
BUCKET = {"input_tokens": 1, "output_tokens": 1, "num_model_requests": 1, "model": "m", "batch": None}
RECORDS: list[dict[str, Any]] = [
    {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600, "results": [BUCKET]},
    {"object": "page", "data": [{"start_time": 1730419200, "results": [BUCKET]}], "has_more": False},
    spend(metadata={"usage_object": {"prompt_tokens_details": {"cached_tokens": 1}}}, cache_hit="", status="success"),
    {"startTime": "2026-08-20T12:00:00Z", "model": "m", "usageDetails": {"input": 1}, "type": "GENERATION"},
    {
        "date": "2026-08-20",
        "model_permaslug": "a/m",
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "usage": 0.1,
        "byok_usage_inference": 0,
    },
    {
        "instant": "2026-08-20T12:00:00Z",
        "until": "",
        "model": "m",
        "input": 1,
        "cost": "1",
        "currency": "USD",
        "key": "",
    },
]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["2026-08-20T12:00:00Z", "2026-08-20", "1787227200", "9" * 30, "1e400", "0001-01-01T00:00+23:59"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NESTED), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(RECORDS), st.data())
def test_whatever_stands_in_a_record_it_is_read_or_told_to_be_none(record: dict[str, Any], data: st.DataObject) -> None:
    changed = {**record, **{name: data.draw(ODD) for name in data.draw(st.sets(st.sampled_from(sorted(record))))}}
    _, found = read(lines(record, changed))
    assert all(isinstance(one, Usage | str) for one in found)
