"""Faults of questions over HTTP whose answer depends on the store, of either engine."""

import json
import re

import pytest

from store.doors import Doors
from store.http.settings import ServeSettings
from tests import polling
from tests.raw_server import answer
from tests.serving import served
from tests.test_faults_said import later

MANY = json.dumps({"data": [{"id": f"acme/m{number}", "in": "2", "out": "8"} for number in range(1500)]}).encode()
QUESTIONS = {
    "limit=1000000000": 400,
    "at=0000-01-01": 400,
    "at=9999-12-31": 400,
    "query=" + "x" * 301: 400,
    "query=%00": 400,
    "query=m1499%00%ff": 400,
    "query=%ff": 200,
    "query=%ed%a0%80": 200,
    "query=m1499": 200,
    "&".join(["query=m"] * 1000): 200,
    "cursor=WzEsMiwzXQ": 400,
}


@pytest.mark.fault(186, 191, 192)
def test_a_store_of_many_offers_is_asked_within_limits(store_url: str) -> None:
    (report,) = polling.polled(store_url, polling.source(), answers={"acme.test": answer(MANY)})
    assert report.changes == 1500
    doors = Doors(store_url, now=lambda: later(1))
    with served(doors) as http:
        assert {asked: http.get(f"/v1/models?{asked}").status_code for asked in QUESTIONS} == QUESTIONS
        metrics = http.get("/metrics").text
        assert "m1499" not in metrics
        assert len(re.findall("^tokentape", metrics, re.MULTILINE)) < 40
    with served(doors, ServeSettings(statement_s=0.001)) as http:
        slow = http.get("/v1/models")
        assert (slow.status_code, slow.headers["retry-after"]) == (503, "1")
        assert http.get("/healthz").status_code == 200


@pytest.mark.fault(193)
def test_a_store_that_cannot_be_read_is_told_without_where_it_is(store_url: str) -> None:
    gone = re.sub(r"(tape\.db|test\d+)", r"gone\1", store_url)
    assert gone != store_url
    with served(Doors(gone, now=lambda: later(1))) as http:
        for path in ("/readyz", "/v1/models", "/models"):
            told = http.get(path)
            assert told.status_code == 503
            assert "gone" not in told.text
            assert "/tmp" not in told.text
        assert http.get("/healthz").status_code == 200
