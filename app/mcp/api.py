"""Requests to the service's own API, with the key of who called the tool."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from mcp.server.mcpserver.exceptions import ToolError
from starlette.types import ASGIApp

from app.mcp.keys import find_key

Data = dict[str, Any]
HINTS = {
    "DNC_BLOCKED": "The recipient opted out or was suppressed. Do not try another way to reach them.",
    "STALE_TURN": "The lead wrote again. Read the transcript and decide anew.",
    "FORBIDDEN": "The key of this connection may not do this.",
    "OUTCOME_UNKNOWN": "Repeat the call with the same idempotency_key: nothing is sent twice.",
    "UNAVAILABLE": "Nothing was stored. Repeat the call later.",
}
"""What an assistant should make of a refusal, where the API's words are for programmers."""


class Api:
    """The API of the service `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    async def call(
        self,
        headers: Mapping[str, str] | None,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Data:
        """Returns the answer's `data`. `headers` are those of the tool call; fields of query and body that
        are None are left out. Raises `ToolError` with the code, the message and the details of a refusal."""
        request = httpx.Request(
            method,
            f"http://localhost/api/v1{path}",
            params=drop_absent(query or {}),
            headers=build_headers(headers, idempotency_key),
            json=None if body is None else drop_absent(body),
        )
        response = await self._transport.handle_async_request(request)
        answer = json.loads(await response.aread())
        if not answer["success"]:
            raise ToolError(describe_refusal(answer["error"]))
        data: Data = answer["data"]
        return data


def drop_absent(fields: Mapping[str, Any]) -> Data:
    return {name: value for name, value in fields.items() if value is not None}


def build_headers(headers: Mapping[str, str] | None, idempotency_key: str | None) -> dict[str, str]:
    key = find_key(headers)
    return {
        **({"X-API-Key": key} if key else {}),
        **({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
    }


def describe_refusal(error: Mapping[str, Any]) -> str:
    """A refusal of the API in words for an assistant."""
    parts = [f"{error['code']}: {error['message']}", *error["details"]]
    if hint := HINTS.get(error["code"]):
        parts.append(hint)
    return "\n".join(parts)
