"""HTTP clients for whoever plays a part here: the carrier, the agent, a backend."""

import ssl
from functools import cache
from typing import Any

import httpx


@cache
def _load_authorities() -> ssl.SSLContext:
    """Once a process: they take a tenth of a second to load."""
    return httpx.create_ssl_context(trust_env=False)


def build_client(base_url: str = "", timeout: float = 15, **options: Any) -> httpx.AsyncClient:
    """Of servers at `base_url`, through no proxy of the environment's; `timeout` in seconds."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, verify=_load_authorities(), timeout=timeout, **options)


def build_blocking_client(base_url: str = "", timeout: float = 15, **options: Any) -> httpx.Client:
    """The same, for a program that waits for each answer."""
    return httpx.Client(base_url=base_url, trust_env=False, verify=_load_authorities(), timeout=timeout, **options)
