"""The HTTP clients of what plays a part here: the carrier, the agent, a backend."""

import ssl
from functools import cache
from typing import Any

import httpx


@cache
def _authorities() -> ssl.SSLContext:
    """Once a process: they take a tenth of a second to load."""
    return httpx.create_ssl_context(trust_env=False)


def client(base_url: str = "", timeout: float = 15, **more: Any) -> httpx.AsyncClient:
    """Of servers at `base_url`, through no proxy of the environment's; `timeout` in seconds."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, verify=_authorities(), timeout=timeout, **more)


def blocking(base_url: str = "", timeout: float = 15, **more: Any) -> httpx.Client:
    """The same, for a program that waits for each answer."""
    return httpx.Client(base_url=base_url, trust_env=False, verify=_authorities(), timeout=timeout, **more)
