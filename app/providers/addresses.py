"""The URLs of the carriers' APIs, parsed once. Parsing the URL anew for each text took more than
half of the time that building its request takes."""

from functools import lru_cache

import httpx


@lru_cache(maxsize=1024)
def parse_url(url: str) -> httpx.URL:
    """`url` parsed, from a cache. For the few URLs of an account, not for URLs that differ with
    each text."""
    return httpx.URL(url)
