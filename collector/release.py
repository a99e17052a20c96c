"""Which tokentape this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """The version that is installed; empty where none is: run from a checkout."""
    try:
        return version("tokentape")
    except PackageNotFoundError:
        return ""
