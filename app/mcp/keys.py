"""The key of a request. Without the SDK: it is looked for before anything is loaded."""

from collections.abc import Mapping


def find_key(headers: Mapping[str, str] | None) -> str | None:
    """The API key: in `X-API-Key`, or as a bearer token, as many MCP clients send theirs."""
    headers = headers or {}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else None) or None
