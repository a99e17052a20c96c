"""LiteLLM's entries read a second time, in the plainest way: which of their prices are what their names say."""

import re
from collections.abc import Mapping
from typing import Any

TEXT = ("chat", "responses", "completion", "realtime", "embedding", "rerank", "moderation", "ocr")
IMAGES = ("image_generation", "image_edit")
OTHERS = {
    "audio_transcription": ["input_cost_per_second"],
    "audio_speech": ["input_cost_per_character"],
    "video_generation": ["output_cost_per_second", "output_cost_per_video_per_second"],
    "search": ["input_cost_per_query"],
    "vector_store": ["input_cost_per_query"],
}
"""Mode -> what it charges for, besides tokens."""
MODES = (*TEXT, *IMAGES, *OTHERS)

_PIECE = re.compile(r"(?:in|out)put_cost_per_(image|second|video_per_second|character|query|request)(?:_above_.*)?")
_SIZE = re.compile(r"(?:(?<=/)|^)(?:[0-9]+-x-[0-9]+|low|medium|high|standard|hd|(?:[0-9]+|max)-steps)/")


def unread(entry: Mapping[str, Any]) -> set[str]:
    """Keys of prices that are not read, though their names are those of prices that are."""
    mode, made = entry["mode"], "output_cost_per_image"
    if mode in IMAGES and not (entry.get(made) or entry.get(f"{made}_token")):
        return set(entry)
    found = set() if mode in TEXT else {"tiered_pricing"}
    for key, value in entry.items():
        piece = _PIECE.fullmatch(key)
        if piece is None:
            continue
        way = key.partition("_")[0]
        twin = {"character": "token", "image": "image_token", "second": "audio_token"}.get(piece[1])
        if f"{way}_cost_per_{twin}" in entry:
            found.add(key)
        elif mode in TEXT:
            token = entry.get(f"{way}_cost_per_token") or 0
            if "second" in key or (piece[1] == "image" and value and value <= 10 * token):
                found.add(key)
        elif mode in IMAGES:
            if piece[1] != "image" or (way == "input" and value == entry.get(made)):
                found.add(key)
        elif key not in OTHERS[mode]:
            found.add(key)
    return found


def model_and_size(name: str, mode: str) -> tuple[str, str]:
    """The name of a model, and the size of the images that a price is for."""
    if mode not in IMAGES:
        return name, ""
    return _SIZE.sub("", name), "".join(_SIZE.findall(name)).rstrip("/")
