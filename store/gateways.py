"""Routes in the words of gateways: LiteLLM's router, OpenRouter's provider preferences.

Source: https://docs.litellm.ai/docs/routing (`model_list`, `order`), https://docs.litellm.ai/docs/proxy/custom_pricing,
https://openrouter.ai/docs/features/provider-routing (`order`, `allow_fallbacks`, `data_collection`, `max_price`).
A price that OpenRouter charges is had through OpenRouter, any other directly: the two are never exchanged.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from store.constraints import Constraints
from store.errors import QueryError
from store.intervals import IntervalRow
from store.routing import Excluded, Route
from store.units import NANO, TOKENS_PER_AMOUNT

OPENROUTER, LITELLM = "openrouter", "litellm"
"""Sources whose names of models these gateways know."""


def litellm(routes: Iterable[Route], rows: Iterable[IntervalRow]) -> tuple[str, list[Excluded]]:
    """The `model_list` of a LiteLLM router as YAML, cheapest first, and the routes that LiteLLM has no name for.

    An offer that OpenRouter states is asked for through OpenRouter, kept to that endpoint; any other by the name under
    which LiteLLM's own price list has the same provider, model and variant.
    Units: USD per token, as LiteLLM has it.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Decimals digit by digit."""

    def decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
        text = f"{value:f}"
        return dumper.represent_scalar("tag:yaml.org,2002:float", text if "." in text else f"{text}.0")

    Dumper.add_representer(Decimal, decimal)
    names = {(row.provider, row.model, row.variant): row.endpoint for row in rows if row.source == LITELLM}
    entries, unnamed = [], []
    for route in routes:
        row = route.row
        pinned: dict[str, Any] = {}
        if row.source == OPENROUTER:
            published, tag = _parts(row)
            name: str | None = f"openrouter/{published}"
            pinned = {"extra_body": {"provider": {"order": [tag], "allow_fallbacks": False}}}
        else:
            name = row.endpoint if row.source == LITELLM else names.get((row.provider, row.model, row.variant))
        if name is None:
            unnamed.append(Excluded(row=row, reason="LiteLLM's price list does not name it"))
            continue
        prices = {
            "input_cost_per_token": route.cost.input,
            "output_cost_per_token": route.cost.output,
            "cache_read_input_token_cost": route.cost.cache_read,
        }
        told = {key: _per_token(amount) for key, amount in prices.items() if amount is not None}
        parameters = {"model": name, "order": route.rank, **told, **pinned}
        entries.append(
            {
                "model_name": row.model,
                "litellm_params": parameters,
                "model_info": {"id": row.ref, "document": row.document},
            }
        )
    text = yaml.dump({"model_list": entries}, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=1000)
    return str(text), unnamed


def openrouter(routes: Sequence[Route], wanted: Constraints) -> str:
    """OpenRouter's `provider` preferences as JSON: these endpoints in this order, and no others.

    Raises: QueryError unless the routes are those of one model at OpenRouter.
    """
    if len({route.row.model for route in routes}) != 1 or any(route.row.source != OPENROUTER for route in routes):
        raise QueryError("preferences of OpenRouter are those of one model that it offers: name one")
    parts = [(route, *_parts(route.row)) for route in routes]
    plain = [(route, tag) for route, published, tag in parts if ":" not in published]
    preferences: dict[str, object] = {
        "order": list(dict.fromkeys(tag for _, tag in plain)),
        "allow_fallbacks": False,
    }
    if wanted.no_training:
        preferences["data_collection"] = "deny"
    if wanted.features:
        preferences["require_parameters"] = True
    return json.dumps(preferences, indent=2)


def _parts(row: IntervalRow) -> tuple[str, str]:
    """The id under which OpenRouter has a model, and the tag of the endpoint."""
    published, _, tag = row.endpoint.partition("#")[0].rpartition("@")
    return published, tag


def _per_token(amount: int) -> Decimal:
    return Decimal(amount) / (NANO * TOKENS_PER_AMOUNT)
