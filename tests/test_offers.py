"""Which offer is meant: what is told decides, what is not told must not matter, and nothing is guessed."""

from typing import Any

import pytest

from store.costing import Unpriced
from store.currency import Converter
from store.intervals import IntervalRow
from store.offers import Wanted, choose
from tests.tape import T0, hour, usd
from tests.test_routing import offer

MODEL = "openai/gpt-oss-120b"
CHEAP, DEAR, DEARER = (usd(input=amount, output=amount) for amount in (1, 2, 3))


def meant(rows: list[IntervalRow], **wanted: Any) -> str:
    """The endpoint that is meant, or why that cannot be told."""
    found = choose(rows, Wanted(MODEL, **{"provider": "acme"} | wanted), T0, Converter())
    assert found == choose(rows[::-1], Wanted(MODEL, **{"provider": "acme"} | wanted), T0, Converter())
    return found.reason if isinstance(found, Unpriced) else f"{found.source}:{found.endpoint}"


OFFERS = [
    offer(CHEAP, variant="batch", endpoint="m@batch"),
    offer(DEAR, variant="fp8", endpoint="m@fp8"),
    offer(DEARER, variant="fp8/us-east-1", endpoint="m@us"),
    offer(DEARER, provider="other", endpoint="other"),
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "openrouter:m@fp8"),
        ({"variant": "batch"}, "openrouter:m@batch"),
        ({"variant": "fp8"}, "openrouter:m@fp8"),
        ({"variant": "us-east-1"}, "openrouter:m@us"),
        ({"variant": "us-east-1/fp8"}, "openrouter:m@us"),
        ({"endpoint": "us"}, "openrouter:m@us"),
        ({"endpoint": "m@batch"}, "openrouter:m@batch"),
        ({"provider": "other"}, "openrouter:other"),
    ],
)
def test_what_is_told_decides_and_quantization_need_not_be_told(wanted: dict[str, str], expected: str) -> None:
    assert meant(OFFERS, **wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"variant": "flex"}, "no flex offer of acme is known then: there is m@batch (batch), m@fp8 (fp8)"),
        ({"endpoint": "eu"}, "no eu offer of acme is known then"),
        ({"provider": "nobody"}, "no offer of nobody is known then: name one of acme, other"),
        ({"provider": ""}, "no offer of its own author is known then: name one of acme, other"),
    ],
)
def test_what_is_not_there_is_no_other_offer(wanted: dict[str, str], reason: str) -> None:
    assert meant(OFFERS, **wanted).startswith(reason)


def test_a_model_that_nobody_sells_has_no_offer() -> None:
    assert meant([]) == f"no offer of {MODEL} is known then"


def test_offers_that_nothing_tells_apart_must_have_the_same_prices() -> None:
    rows = [offer(CHEAP, variant="fp8", endpoint="a"), offer(DEAR, variant="fp4", endpoint="b")]
    assert meant(rows) == "2 offers of acme at different prices: a (fp8), b (fp4)"
    assert meant(rows, published="b") == "openrouter:b"
    assert meant([rows[0], rows[1]._replace(card=CHEAP)]) == "openrouter:a"


def test_a_region_need_not_be_told_where_there_are_only_regions_at_one_price() -> None:
    rows = [offer(DEAR, variant=region, endpoint=region) for region in ("us-east-1", "eu-west-1")]
    assert meant(rows) == "openrouter:eu-west-1"
    assert meant([*rows, offer(CHEAP, variant="us-west-2", endpoint="c")]).startswith("3 offers of acme at different")
    assert meant([*rows, offer(CHEAP, endpoint="plain")]) == "openrouter:plain"


def test_the_author_is_found_under_its_own_name_and_under_that_of_its_shop() -> None:
    rows = [offer(CHEAP, provider="openai", endpoint="own"), offer(DEAR, endpoint="acme")]
    assert meant(rows, provider="") == "openrouter:own"
    shops = [offer(CHEAP, provider=name, endpoint=name) for name in ("acme", "google-vertex", "google-ai-studio")]
    found = choose(shops, Wanted("google/gemini-2.5-pro"), T0, Converter())
    assert isinstance(found, IntervalRow)
    assert found.provider == "google-ai-studio"


def test_the_source_that_is_named_answers_where_it_states_the_provider_and_else_the_most_trusted() -> None:
    rows = [offer(CHEAP, source="page", trust=0, endpoint="m"), offer(DEAR, source="router", endpoint="m")]
    assert meant(rows) == "page:m"
    assert meant(rows, source="router") == "router:m"
    assert meant(rows, source="third") == "page:m"


def test_an_offer_that_was_not_seen_again_gives_way_to_one_that_was() -> None:
    rows = [offer(CHEAP, endpoint="gone", unseen_since=hour(1)), offer(DEAR, endpoint="there")]
    assert meant(rows) == "openrouter:there"
    assert meant(rows[:1]) == "openrouter:gone"
