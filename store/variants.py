"""The parts of a variant: what makes two offers of one provider for one model differ, such as `fp8`, `us/batch`."""

import re
from functools import lru_cache

QUANTIZATION = re.compile(
    r"(?:fp|bf|int|nvfp|mxfp)[0-9]{1,2}(?:-dynamic)?|(?:quantized\.)?w[0-9]{1,2}a[0-9]{1,2}|awq|gptq|gguf|[468]bit"
)
REGION = re.compile(
    r"global|global-standard|regional|us|us-gov|eu|europe|uk|au|jp|ca|apac|swedencentral"
    r"|(?:us|eu|ap|ca|sa|me|af|il|mx|asia|europe)-(?:gov-)?(?:north|south|east|west|central){1,2}-?[0-9]"
)
TIER = re.compile(
    r"batch|flex|priority|fast|turbo|scale|provisioned|highspeed|high-throughput|slow|free"
    r"|[0-9]+-month-commitment"
)
"""How soon, or on which terms, an answer comes."""


def parts(variant: str) -> frozenset[str]:
    """The parts of a variant; none of the plain one."""
    return frozenset(filter(None, variant.split("/")))


def unquantized(variant: str) -> str:
    """A variant without what it says of quantization."""
    return "/".join(part for part in variant.split("/") if not QUANTIZATION.fullmatch(part))


@lru_cache(maxsize=1 << 14)
def told_apart(variant: str, kind: re.Pattern[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The parts of a variant that are of a kind, and the others, quantization aside."""
    all_parts = frozenset(part for part in parts(variant) if not QUANTIZATION.fullmatch(part))
    of_kind = frozenset(part for part in all_parts if kind.fullmatch(part))
    return of_kind, all_parts - of_kind
