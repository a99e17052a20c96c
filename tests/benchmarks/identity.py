"""How many names are joined with the right model, how many with a wrong one, and how many are refused.

Truth is what others say a provider's id stands for: `base_model` of models.dev (from a clone of it), the weights that
OpenRouter and Parasail name for their ids, and the ids that OpenRouter's pages show beside providers. Whole providers
were held out while rules were written: those of which the SHA-256 of the name is divisible by three.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import subprocess
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from collector.identify import read
from tests.conftest import ROOT

RECORDED = Path(os.environ.get("TOKENTAPE_RECORDED", ROOT / ".." / "shared" / "upstream")).resolve()

DISBELIEVED = {
    ("anyapi", "deepseek/deepseek-r1"): "R1 is not `deepseek-reasoner`, which has been several models",
    ("cloudflare-workers-ai", "@cf/deepseek-ai/deepseek-r1-distill-qwen-32b"): "a distillation is not R1",
    ("databricks", "databricks-claude-sonnet-4"): "Sonnet 4 is not Sonnet 4.5",
    ("databricks", "databricks-gemini-3-1-flash-lite"): "the model is out, and is not its preview",
    ("databricks", "databricks-gemini-3-1-pro"): "nothing says `customtools`",
    ("friendli", "Qwen/Qwen3-235B-A22B-Instruct-2507"): "2507 is not the first one",
    ("neon", "claude-sonnet-4"): "Sonnet 4 is not Sonnet 4.5",
    ("neon", "gemini-3-1-flash-lite"): "the model is out, and is not its preview",
    ("neon", "gemini-3-1-pro"): "nothing says `customtools`",
    ("routing-run", "route/mimo-v2.5"): "MiMo V2.5 is not V2.5 Pro",
    ("routing-run", "route/mistral-small-2503"): "2503 is not 2603",
    ("scaleway", "qwen3-235b-a22b-instruct-2507"): "2507 is not the first one",
    ("snowflake-cortex", "mistral-large2"): "Large 2 is of 2407, not the latest",
    ("venice", "claude-opus-4-7-fast"): "OpenRouter sells it as a model of its own",
    ("venice", "claude-opus-4-8-fast"): "OpenRouter sells it as a model of its own",
    ("venice", "openai-gpt-4o-mini-2024-07-18"): "OpenRouter sells it as a model of its own",
}
"""Labels of models.dev that are looser than the ids they stand beside, as read one by one: counted apart."""

KINDS = (
    ("date", re.compile(r"20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2}|-[0-9]{4}$")),
    ("quantization", re.compile(r"[-.](?:fp|bf|int|nvfp|mxfp)[0-9]+|awq|gptq|w[0-9]a[0-9]", re.IGNORECASE)),
    ("tier", re.compile(r"[-:](?:tee|free|maas|turbo|fast|tput|highspeed|flex|thinking|basic|lite)$", re.IGNORECASE)),
)


class Pair(NamedTuple):
    """A name, and what another says that it stands for."""

    source: str
    provider: str
    model_id: str
    label: str


def main() -> None:
    """Print a table of kinds for each set of pairs, then the speed of reading them for the first time."""
    options = argparse.ArgumentParser(prog="identity", description=__doc__)
    options.add_argument("--models-dev", type=Path, metavar="REPO", help="a clone of models.dev, for its base_model")
    options.add_argument("--list", action="store_true", help="each name that is not joined with its label's model")
    given = options.parse_args()
    sets = {
        "OpenRouter: weights": list(weights()),
        "OpenRouter: ids of providers": list(dict.fromkeys(frontend())),
        "Parasail: weights": list(parasail()),
    }
    if given.models_dev:
        pairs = list(base_models(given.models_dev))
        sets["models.dev: written with"] = [pair for pair in pairs if not held_out(pair.provider)]
        sets["models.dev: held out"] = [pair for pair in pairs if held_out(pair.provider)]
    everything = [pair for pairs in sets.values() for pair in pairs]
    started = time.process_time()
    for pair in everything:
        read(*pair[:3])
    spent = time.process_time() - started
    for name, pairs in sets.items():
        report(name, pairs, listed=given.list)
    print(f"\n{len(everything)} names read for the first time: {spent / len(everything) * 1e6:.0f} us each")


def report(name: str, pairs: Iterable[Pair], *, listed: bool) -> None:
    """A line for each kind: pairs, joined right, wrong, refused, and what the last path segment alone would join."""
    counts = defaultdict[str, Counter[str]](Counter)
    for pair in pairs:
        outcome = judged(pair)
        naive = squashed(pair.model_id) == squashed(pair.label)
        if listed and outcome not in ("right", "disbelieved"):
            print(f"    {outcome}: {pair.provider} {pair.model_id} is {pair.label}")
        for kind in ("all", kind_of(pair)):
            counts[kind].update([outcome, "naive"] if naive and outcome != "disbelieved" else [outcome])
    print(f"\n{name}\n{'kind':14}{'pairs':>7}{'right':>9}{'wrong':>9}{'refused':>9}{'naive':>9}  label disbelieved")
    for kind, found in counts.items():
        total = found["right"] + found["wrong"] + found["refused"]
        shares = "".join(f"{100 * found[one] / max(total, 1):8.1f}%" for one in ("right", "wrong", "refused", "naive"))
        print(f"{kind:14}{total:7}{shares}  {found['disbelieved'] or ''}")


def judged(pair: Pair) -> str:
    """What came of reading a name."""
    if (pair.provider, pair.model_id) in DISBELIEVED:
        return "disbelieved"
    reading = read(*pair[:3])
    if reading.confidence == "unsure":
        return "refused"
    return "right" if reading.identity.model == read("", "some-gateway", pair.label).identity.model else "wrong"


def kind_of(pair: Pair) -> str:
    """What is hard about a name."""
    for kind, sign in KINDS:
        if sign.search(pair.model_id):
            return kind
    ours, theirs = squashed(pair.model_id), squashed(pair.label)
    if ours == theirs:
        return "prefix" if "/" in pair.model_id else "plain"
    return "prefix" if theirs in ours else "rename"


def squashed(name: str) -> str:
    """The last segment in letters and digits: the naive way of joining."""
    return re.sub("[^a-z0-9]", "", re.split("[@:]", name.rpartition("/")[2].lower())[0])


def held_out(provider: str) -> bool:
    """Whether no rule was written with this provider's pairs in sight."""
    return int(hashlib.sha256(provider.encode()).hexdigest(), 16) % 3 == 0


def base_models(clone: Path) -> Iterator[Pair]:
    """Every `base_model` at the newest commit of a clone of models.dev."""
    listing = _git(clone, "ls-tree", "-r", "HEAD", "providers").decode().splitlines()
    files = [line.split("\t") for line in listing if line.startswith("100644") and line.endswith(".toml")]
    blobs = _git(clone, "cat-file", "--batch", given="\n".join(facts.split()[2] for facts, _ in files))
    place = 0
    for _, path in files:
        end = blobs.index(b"\n", place)
        size = int(blobs[place:end].split()[2])
        body, place = tomllib.loads(blobs[end + 1 : end + 1 + size].decode()), end + 2 + size
        _, provider, folder, *rest = path.removesuffix(".toml").split("/")
        if folder == "models" and "base_model" in body:
            yield Pair("models_dev", provider, "/".join(rest), body["base_model"])


def _git(clone: Path, *arguments: str, given: str = "") -> bytes:
    command = ["git", "-C", str(clone), *arguments]
    return subprocess.run(command, input=given.encode(), capture_output=True, check=True).stdout


def weights() -> Iterator[Pair]:
    """Weights on the hub, and the id under which OpenRouter sells them."""
    newest = max((RECORDED / "timeline" / "openrouter-models").glob("*.json.gz"))
    for model in json.loads(gzip.decompress(newest.read_bytes()))["data"]:
        if model.get("hugging_face_id"):
            yield Pair("", "some-host", model["hugging_face_id"], model["id"].partition(":")[0])


def frontend() -> Iterator[Pair]:
    """What providers call the models that OpenRouter sends them requests for."""
    body = gzip.decompress(
        (RECORDED / "recorded/openrouter-frontend/2026-08-08-model_stats-3models.jsonl.gz").read_bytes()
    )
    for line in body.splitlines():
        yield from _endpoints(json.loads(line))


def _endpoints(body: Any) -> Iterator[Pair]:
    if isinstance(body, dict) and {"provider_name", "provider_model_id"} <= body.keys():
        label = body["model_variant_slug"].partition(":")[0]
        yield Pair("", body["provider_name"], body["provider_model_id"], label)
    for item in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _endpoints(item)


def parasail() -> Iterator[Pair]:
    """Parasail's names, and the weights behind them."""
    for row in json.loads((RECORDED / "recorded/parasail/2025-12-29-serverless-deployments.json").read_bytes()):
        yield Pair("", "Parasail", row["externalAlias"], row["modelName"])


if __name__ == "__main__":
    main()
