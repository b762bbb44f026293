"""The addresses that texts are sent to, parsed once: for each text anew, that was more than half
of what building its request costs."""

from functools import lru_cache

import httpx


@lru_cache(maxsize=1024)
def parse_url(url: str) -> httpx.URL:
    """`url`, as a request takes it. For those that an account keeps, not for those that name a
    text."""
    return httpx.URL(url)
