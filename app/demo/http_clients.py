"""HTTP clients for the simulated carrier, the demo agent and the story."""

import ssl
from functools import cache
from typing import Any

import httpx


@cache
def _load_authorities() -> ssl.SSLContext:
    """The trusted certificates. Cached, because loading them takes a tenth of a second."""
    return httpx.create_ssl_context(trust_env=False)


def build_client(base_url: str = "", timeout: float = 15, **options: Any) -> httpx.AsyncClient:
    """A client of the server at `base_url`; `timeout` in seconds. It ignores proxies that the
    environment sets."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, verify=_load_authorities(), timeout=timeout, **options)


def build_blocking_client(base_url: str = "", timeout: float = 15, **options: Any) -> httpx.Client:
    """The same client, blocking."""
    return httpx.Client(base_url=base_url, trust_env=False, verify=_load_authorities(), timeout=timeout, **options)
