"""The floor under a full poll: the same requests with nothing around them but a client and `json.loads`.

usage: bare_fetch.py MIRROR TAGS

TAGS is a file of entity tags by URL. Where there is none, the list and every answer that it leads to are fetched and
decoded, and their tags are left there; where there is one, each of its URLs is asked whether it still stands.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx

CONCURRENCY = 6
LIST = "openrouter.ai/api/v1/models"


async def fetch(mirror: str, known: dict[str, str]) -> dict[str, str]:
    """The tags of all answers."""
    tags: dict[str, str] = {}
    at_once = asyncio.Semaphore(CONCURRENCY)
    async with httpx.AsyncClient(trust_env=False) as client:

        async def get(url: str) -> list[str]:
            """The ids in the answer, where it is a list of models."""
            async with at_once:
                answer = await client.get(url, headers={"If-None-Match": known[url]} if known else {})
            assert answer.status_code == (304 if known else 200), (url, answer.status_code)
            tags[url] = answer.headers["etag"]
            data = {} if known else json.loads(answer.content)["data"]
            return [one["id"] for one in data] if isinstance(data, list) else []

        base = f"{mirror}/{LIST}"
        ids = await get(base)
        follow = [url for url in known if url != base] if known else [f"{base}/{one}/endpoints" for one in ids]
        await asyncio.gather(*map(get, follow))
    return tags


def main(mirror: str, tags_file: Path) -> None:
    """Fetch, leave the tags, and say how much that was."""
    known = json.loads(tags_file.read_text()) if tags_file.exists() else {}
    tags = asyncio.run(fetch(mirror, known))
    tags_file.write_text(json.dumps(tags))
    print(f"{len(tags)} requests")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
