"""Where configuration is looked for, apart from reading it: a question asked of the store needs no more than this."""

from collections.abc import Mapping
from pathlib import Path

ENVIRON_CONFIG = "TOKENTAPE_CONFIG"
ENVIRON_STORE = "TOKENTAPE_STORE"
DEFAULT_STORE = "sqlite:///tokentape.db"
"""What the packaged configuration says; a test holds the two equal."""


def user_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The user's own configuration: the file named, `$TOKENTAPE_CONFIG`, `./tokentape.yaml`, or
    `~/.config/tokentape/config.yaml`; None where there is none."""
    if path is not None:
        return path
    if environ.get(ENVIRON_CONFIG):
        return Path(environ[ENVIRON_CONFIG])
    folder = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    candidates = [Path("tokentape.yaml"), *([Path(folder, "tokentape", "config.yaml")] if folder else [])]
    return next((candidate for candidate in candidates if candidate.is_file()), None)
