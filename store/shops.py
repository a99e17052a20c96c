"""Through which providers the author of a model sells it."""

from collections.abc import Mapping

SHOPS: Mapping[str, tuple[str, ...]] = {
    "amazon": ("amazon-bedrock", "amazon-nova"),
    "google": ("google-ai-studio", "google-vertex"),
    "meta-llama": ("meta",),
    "mistralai": ("mistral",),
    "qwen": ("alibaba",),
    "x-ai": ("xai",),
}
"""Author -> providers that are the author's own shop, where that is not simply their name.

The first is meant where none is named.
"""


def shops(author: str) -> tuple[str, ...]:
    """Providers through which an author sells, that of its own name first."""
    return (author, *SHOPS.get(author, ()))
