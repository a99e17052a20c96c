"""A store for tests of pages: an ordinary history with every doubt there is, and names that are out to do harm."""

from pathlib import Path

from store.records import Document, Facts, Override, RateCard
from tests.stores import run
from tests.tape import Tape, hour, usd
from tests.test_query import MODEL

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "' onmouseover='window.pwned=1",
    "\u202egnirts\u2066",
    "x" * 5000,
    "{{ 7 * 7 }}{% raw %}",
    "</textarea></title><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "https://evil.example/<b>",
)
PAGE = (
    b"<!doctype html><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\n<p>\xff\x00 $0.15 per 1M</p>\n"
)
NOW = hour(24 * 40)
GROQ = f"openrouter:groq:{MODEL}@groq"


def hostile_tape(path: Path) -> tuple[Tape, str]:
    """The store, and the SHA-256 of a document in its archive."""
    tape = Tape(path)
    live = tape.source("openrouter", trust=1, every_s=86_400)
    catalogue = tape.source("genai_prices", trust=2, every_s=86_400)
    page = Document(
        source="openrouter", url="https://openrouter.example/api", fetched_at=hour(0), status=200, body=PAGE
    )
    pack = tape.archive.keep([page])
    for day in (0, 1, 19, 20, 38, 39):
        tape.poll(live, hour(24 * day), pack=pack if day == 0 else None)
    for day in (0, 9):
        tape.poll(catalogue, hour(24 * day))
    tape.poll(catalogue, hour(24 * 39), "failed", message=HOSTILE[0])
    document = tape.document(1, body=PAGE, url="https://openrouter.example/api")
    _history(tape, live, catalogue, document)
    for number, name in enumerate(HOSTILE):
        slug = name.replace(":", ";")  # it parts the names of an endpoint
        source = tape.source(slug, trust=3, every_s=86_400)
        tape.poll(source, hour(24 * 39), message=name)
        tape.document(source, body=name.encode(), url=name)
        facts = Facts(quantization=name, licence=name, features=(name,), status=name, context_length=1000 + number)
        for model in (MODEL, f"evil/{name}"):
            endpoint = tape.endpoint(
                source, slug, model, tag=name, variant=name, published_model=name + "!" * (model == MODEL)
            )
            before = usd(input=10**9, output=10**9 + number)
            tape.interval(endpoint, hour(0), before, facts, ended=hour(900), end_reason="changed", last_seen=hour(800))
            tape.interval(endpoint, hour(900), usd(input=2 * 10**9, output=10**9), facts, locator=name)
            tape.finding(source, hour(901), endpoint=endpoint, card=before, subject=name, message=name)
    run(tape.url, "UPDATE document SET poll_id = 1 WHERE poll_id NOT IN (SELECT id FROM poll)")
    return tape, page.sha256


def _history(tape: Tape, live: int, catalogue: int, document: int) -> None:
    facts = Facts(context_length=131_072, max_output_tokens=32_768, quantization="fp8", release_date="2025-08-05")
    groq = tape.endpoint(live, "groq", MODEL, tag="groq")
    dearer, cheaper = (usd(input=amount, output=600_000_000) for amount in (150_000_000, 75_000_000))
    tape.interval(
        groq, hour(0), dearer, facts, ended=hour(480), end_reason="changed", last_seen=hour(456), document=document
    )
    tape.interval(groq, hour(480), cheaper, facts, not_before=hour(456))
    tape.finding(live, hour(900), endpoint=groq, card=usd(input=1, output=1))
    tape.interval(
        tape.endpoint(live, "deepinfra", MODEL, tag="turbo", variant="turbo"), hour(0), usd(input=5, output=9)
    )
    tiered = RateCard(
        currency="USD",
        amounts=(("input", 90_000_000), ("output", 500_000_000)),
        overrides=(Override(above_tokens=100_000, amounts=(("input", 200_000_000),)),),
    )
    tape.interval(tape.endpoint(live, "novita", MODEL), hour(0), tiered, facts)
    back = tape.endpoint(live, "together", MODEL)
    tape.interval(
        back, hour(0), usd(input=200_000_000, output=1), ended=hour(240), end_reason="withdrawn", last_seen=hour(216)
    )
    tape.interval(back, hour(360), usd(input=120_000_000, output=300_000_000), facts)
    tape.gap(back, hour(912), hour(888))
    tape.interval(tape.endpoint(live, "kilo", MODEL, variant="free"), hour(0), usd(input=0, output=0))
    varies = RateCard(currency="USD", amounts=(("output", 1),), states=(("input", "varies"),))
    tape.interval(tape.endpoint(live, "auto", MODEL), hour(0), varies)
    said = tape.endpoint(catalogue, "groq", MODEL)
    tape.interval(said, hour(0), dearer, Facts(context_length=8192))
    announced = tape.endpoint(catalogue, "cerebras", MODEL)
    tape.stated(announced, hour(-240), None, dearer, first_seen=hour(0))
    other = tape.endpoint(live, "groq", "openai/gpt-oss-20b", tag="groq")
    tape.interval(other, hour(0), usd(input=50_000_000, output=200_000_000), facts)
