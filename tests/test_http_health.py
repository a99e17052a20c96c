"""Metrics and feeds: what programs that watch are told."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families

from store.doors import Doors
from store.http.settings import ServeSettings
from tests.serving import Served, served
from tests.tape import Tape, hour, usd
from tests.test_cli_read import tape as _tape
from tests.test_query import MODEL

tape = _tape
NOW = hour(3)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def http(tape: Tape) -> Iterator[Served]:
    with served(Doors(tape.url, now=lambda: NOW)) as running:
        yield running


def figures(http: Served) -> dict[tuple[str, str], float]:
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, sample.labels.get("source", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_tell_of_every_source_how_its_newest_poll_went(http: Served, tape: Tape) -> None:
    found = figures(http)
    assert found["tokentape_source_up", "openrouter"] == 1
    assert found["tokentape_source_last_poll_timestamp_seconds", "openrouter"] == hour(2).timestamp()
    assert found["tokentape_source_interval_seconds", "openrouter"] == 3600
    assert found["tokentape_store_schema", ""] >= 7
    assert found["tokentape_store_bytes", ""] > 0
    tape.poll(1, hour(2.5), "failed", message="it is gone")
    found = figures(http)
    assert found["tokentape_source_up", "openrouter"] == 0
    assert found["tokentape_source_last_success_timestamp_seconds", "openrouter"] == hour(2).timestamp()
    assert found["tokentape_source_up", "genai_prices"] == 1


@pytest.mark.fault(186)
def test_no_name_of_a_model_or_an_offer_becomes_a_label(http: Served, tape: Tape) -> None:
    before = len(figures(http))
    for number in range(500):
        tape.interval(tape.endpoint(1, f"provider{number}", f"model/{number}"), hour(0), usd(input=1, output=1))
    assert len(figures(http)) == before
    assert "model/7" not in http.get("/metrics").text


def test_the_dashboard_for_grafana_shows_figures_that_there_are(http: Served) -> None:
    told = {name for name, _ in figures(http)}
    panels = http.get("/v1/grafana.json").json()["panels"]
    asked = {name for panel in panels for one in panel["targets"] for name in re.findall(r"tokentape_\w+", one["expr"])}
    assert asked <= told
    assert len(panels) == len({panel["id"] for panel in panels}) == 10


def test_metrics_need_the_token_that_all_else_needs(tape: Tape) -> None:
    with served(Doors(tape.url, now=lambda: NOW), ServeSettings(token="secret")) as http:
        assert http.get("/metrics").status_code == 401
        assert http.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_a_feed_has_the_newest_changes_first_under_names_that_last(http: Served, tape: Tape) -> None:
    root = ET.fromstring(http.get("/v1/feed?prices=false").text)
    entries = root.findall(f"{ATOM}entry")
    titles = [entry.findtext(f"{ATOM}title") or "" for entry in entries]
    assert any("groq" in title and "0.15 to 0.1" in title for title in titles)
    dates = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
    assert dates == sorted(dates, reverse=True)
    assert root.findtext(f"{ATOM}updated") == dates[0]
    names = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(names)) == len(names)
    told = http.get("/v1/feed?form=json&prices=false").json()
    assert [item["id"] for item in told["items"]] == names
    assert told["version"] == "https://jsonfeed.org/version/1.1"
    assert all(item["url"].startswith(f"http://127.0.0.1:{http.port}/v1/history?") for item in told["items"])
    tape.poll(1, hour(2.5))
    assert [item["id"] for item in http.get("/v1/feed?form=json&prices=false").json()["items"]] == names


def test_a_feed_may_be_of_one_model_provider_or_source(http: Served) -> None:
    assert http.get(f"/v1/feed?form=json&model={MODEL}&provider=groq").json()["items"]
    assert not http.get("/v1/feed?form=json&provider=nobody").json()["items"]
    assert http.get("/v1/feed?model=nothing/like-it").status_code == 404
    empty = ET.fromstring(http.get("/v1/feed?provider=nobody").text)
    assert empty.findtext(f"{ATOM}updated") == "1970-01-01T00:00:00Z"


def test_hostile_names_stay_text_in_a_feed(http: Served, tape: Tape) -> None:
    evil = "<script>alert(1)</script>]]>&\x1b[31m"
    endpoint = tape.endpoint(1, evil, MODEL)
    tape.interval(endpoint, hour(0), usd(input=1, output=1), ended=hour(1), end_reason="changed", last_seen=hour(0))
    tape.interval(endpoint, hour(1), usd(input=2, output=1), not_before=hour(0))
    answer = http.get("/v1/feed")
    assert "<script>" not in answer.text
    titles = [entry.findtext(f"{ATOM}title") or "" for entry in ET.fromstring(answer.text).findall(f"{ATOM}entry")]
    assert any("<script>" in title for title in titles)
    assert "\x1b" not in answer.text
