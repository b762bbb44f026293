"""What the carriers' requests share: URLs, credentials and limits."""

import base64
from datetime import timedelta
from functools import lru_cache

import httpx

from app.domain.carriage import Account


@lru_cache(maxsize=1024)
def parse_url(url: str) -> httpx.URL:
    """`url` parsed, from a cache: parsing it anew for each text took more than half of the time that
    building the request takes. For the few URLs of an account, not for URLs that differ with each text."""
    return httpx.URL(url)


def get_base_url(account: Account, default: str) -> str:
    """The account's own base URL or `default`, without a slash at the end."""
    return (account.base_url or default).rstrip("/")


def encode_basic(account: Account, name: str, password: str) -> str:
    """The Basic credentials that the account holds under these two names."""
    pair = f"{account.credentials[name]}:{account.credentials[password]}"
    return base64.b64encode(pair.encode()).decode()


def build_basic_auth(account: Account, name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {encode_basic(account, name, password)}"}


def build_bearer_auth(account: Account, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials[name]}"}


def limit_seconds(validity: timedelta, bounds: tuple[int, int]) -> int:
    """`validity` in whole seconds, within the carrier's bounds."""
    shortest, longest = bounds
    return min(max(int(validity.total_seconds()), shortest), longest)


def build_attachment_request(url: str, auth: dict[str, str], base_url: str, *domains: str) -> httpx.Request:
    """The request for an attachment. The credentials go only to `base_url`, and by https to the
    carrier's own `domains`."""
    target, base = httpx.URL(url), httpx.URL(base_url)
    is_vendor = target.scheme == "https" and any(f".{target.host}".endswith(f".{domain}") for domain in domains)
    is_trusted = is_vendor or (target.scheme, target.netloc) == (base.scheme, base.netloc)
    return httpx.Request("GET", url, headers=auth if is_trusted else None)
