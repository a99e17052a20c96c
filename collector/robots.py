"""robots.txt: what an upstream asks of those who read its pages by machine (RFC 9309).

protego reads it: the standard library's `urllib.robotparser` knows neither `*` and `$` within a rule nor that the
longest rule wins, and would read `Allow: /docs/` after `Disallow: /` as forbidden.

A file that is missing or empty forbids nothing. Any other failure to read it, a refusal among them, is no permission:
the page is not asked this time.
"""

from dataclasses import dataclass

from protego import Protego

LENGTH = 512 * 1024
"""Bytes of a robots.txt that count; RFC 9309 wants at least 500 KiB read."""
LASTS_S = 86_400.0
"""Seconds for which one is believed."""
LONGEST_DELAY_S = 600.0
"""A larger crawl-delay than this between two requests is kept as this: a poll would never end."""
MISSING = frozenset({"gone", "empty"})
"""Codes of failures that say that there is none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one robots.txt says to us."""

    _rules: Protego
    _agent: str

    def allows(self, url: str) -> bool:
        """Whether a URL may be asked."""
        return self._rules.can_fetch(url, self._agent)

    @property
    def delay_s(self) -> float:
        """Least time between the starts of two requests; 0 where it asks for none."""
        return min(max(self._rules.crawl_delay(self._agent) or 0.0, 0.0), LONGEST_DELAY_S)


def rules(body: bytes, agent: str) -> Rules:
    """The rules for a product token such as `tokentape`; lines that cannot be read are passed over, as the RFC says."""
    return Rules(Protego.parse(body[:LENGTH].decode("utf-8-sig", "replace")), agent)
