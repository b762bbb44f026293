"""The client. Requests that may be repeated safely are, all others never:

* surely not accepted (no connection, 429, 503 of the service): any request;
* perhaps accepted (a lost answer, another 5xx, 504): a GET, or a request with an Idempotency-Key.
"""

import random
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, Self, Unpack, cast
from urllib.parse import quote

import anyio
import httpx

from leadsail.errors import ApiError, LeadSailError, OutcomeUnknown, Unreachable
from leadsail.shapes import BulkAccepted, BulkText, Entry, Event, Forecast, Interaction, SendOptions, Sent

MAX_TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
"""A longer Retry-After (the day's limit is spent) is the caller's to wait for."""
POLL_SECONDS = 25
"""How long the service waits for the next event."""
NOT_SENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
NOT_ACCEPTED_CODES = ("RATE_LIMITED", "UNAVAILABLE")


class LeadSail:
    """A client with one API key. Use it with `async with`, or close it."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 30,
        first_pause: float = FIRST_PAUSE_SECONDS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`first_pause`: seconds before the first repeat; each later pause is twice as long. `http`: a
        client of your own, for proxies or certificates; you close it yourself."""
        self._url = f"{base_url.rstrip('/')}/api/v1"
        self._headers = {"X-API-Key": api_key}
        self._timeout, self._first_pause = timeout, first_pause
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._owns_http:
            await self._http.aclose()

    # Texts.

    async def send(
        self, lead_id: str, message: str, *, idempotency_key: str | None = None, **options: Unpack[SendOptions]
    ) -> Sent:
        """Sends a text. A repeat after a lost answer does not send it twice; give an `idempotency_key`
        of your own if your process may crash and begin again."""
        body = _to_json({"lead_id": lead_id, "message": message, **options})
        return cast(Sent, await self.create("/sms/send", body, idempotency_key))

    async def forecast(self, lead_id: str, message: str, **options: Unpack[SendOptions]) -> Forecast:
        """A dry run: what `send` would do. Nothing is stored."""
        body = _to_json({"lead_id": lead_id, "message": message, "dry_run": True, **options})
        # It stores nothing, so a repeat is as harmless as one of a GET. The service ignores its key.
        return cast(Forecast, await self.create("/sms/send", body, None))

    async def send_bulk(self, texts: Iterable[BulkText], *, idempotency_key: str | None = None) -> BulkAccepted:
        """Sends up to 1,000 texts. One that is refused stands in `results` with its error."""
        body = {"messages": [_to_json(text) for text in texts]}
        return cast(BulkAccepted, await self.create("/sms/send/bulk", body, idempotency_key))

    async def get_message(self, message_id: str) -> dict[str, Any]:
        return await self.request("GET", f"/messages/{_quote(message_id)}")

    async def cancel_message(self, message_id: str) -> dict[str, Any]:
        return await self.request("POST", f"/messages/{_quote(message_id)}/cancel")

    # Threads.

    async def get_interaction(self, interaction_id: str) -> Interaction:
        return cast(Interaction, await self.request("GET", f"/interactions/{_quote(interaction_id)}"))

    async def list_interactions(self, **filters: Any) -> AsyncIterator[Interaction]:
        """All interactions, the newest activity first. Filters as in the API: `status=["qualified"]`."""
        async for interaction in self.list_all("/interactions", "interactions", **filters):
            yield cast(Interaction, interaction)

    async def list_transcript(self, interaction_id: str, after: int = 0) -> AsyncIterator[Entry]:
        """All texts of an interaction whose `seq` is above `after`, in their order."""
        has_more = True
        while has_more:
            page = await self.request(
                "GET", f"/interactions/{_quote(interaction_id)}/messages", params={"after": after, "limit": 100}
            )
            for entry in page["messages"]:
                after = entry["seq"]
                yield cast(Entry, entry)
            has_more = page["hasMore"]

    # The directory.

    async def add_lead(self, *, idempotency_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """Adds a lead: `first_name`, `last_name`, `phone`, `campaign_id` and so on."""
        return await self.create("/leads", _to_json(fields), idempotency_key)

    async def put_lead(self, lead_id: str, **fields: Any) -> dict[str, Any]:
        """Adds a lead by an id of your own system, or replaces it."""
        return await self.request("PUT", f"/leads/{_quote(lead_id)}", json=_to_json(fields))

    async def get_lead(self, lead_id: str) -> dict[str, Any]:
        return await self.request("GET", f"/leads/{_quote(lead_id)}")

    async def list_leads(self, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        async for lead in self.list_all("/leads", "leads", **filters):
            yield lead

    # Events.

    async def follow_events(self, after: str | None = None, types: Iterable[str] | None = None) -> AsyncIterator[Event]:
        """Everything that happens, in order and without an end. Begins after the event `after`, else with
        the oldest that is stored. It goes on by itself when the service was away. Store `eventId` once
        an event is done with, and give it as `after` when your process begins again."""
        pause = self._first_pause
        while True:
            query = {"after": after, "types": list(types) if types else None, "limit": 100, "wait": POLL_SECONDS}
            try:
                page = await self.request("GET", "/events", params=query, timeout=self._timeout + POLL_SECONDS)
            except LeadSailError as error:
                if isinstance(error, ApiError) and error.status < 500 and error.code != "RATE_LIMITED":
                    raise
                await anyio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                continue
            pause = self._first_pause
            for event in page["events"]:
                after = event["eventId"]
                yield cast(Event, event)

    # Everything else.

    async def list_all(self, path: str, items: str, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """All items of a list, page after page. `items`: the field that holds them."""
        query = {"limit": 100, **_to_json(filters)}
        while True:
            page = await self.request("GET", path, params=query)
            for item in page[items]:
                yield item
            if not page["hasMore"]:
                return
            query["cursor"] = page["nextCursor"]

    async def create(self, path: str, json: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        """A POST that creates something: it gets an Idempotency-Key, so it may be repeated."""
        return await self.request("POST", path, json=json, idempotency_key=idempotency_key or str(uuid.uuid4()))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # of each try, and httpx's own
    ) -> dict[str, Any]:
        """Any request under /api/v1; returns the answer's `data`. Raises `ApiError`, `OutcomeUnknown`,
        `Unreachable`. Only routes that create something know the `idempotency_key`."""
        headers = {**self._headers, **({"Idempotency-Key": idempotency_key} if idempotency_key else {})}
        query = {name: value for name, value in (params or {}).items() if value is not None}
        may_repeat = method == "GET" or idempotency_key is not None
        doubt: OutcomeUnknown | None = None
        for tries in range(1, MAX_TRIES + 1):
            pause = min(self._first_pause * 2 ** (tries - 1), MAX_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
            try:
                response = await self._http.request(
                    method,
                    f"{self._url}{path}",
                    params=query,
                    json=json,
                    headers=headers,
                    timeout=timeout or self._timeout,
                )
            except NOT_SENT_ERRORS as error:
                failure: LeadSailError = Unreachable(f"{type(error).__name__}: {error}")
            except httpx.UnsupportedProtocol:
                raise  # the base address is wrong
            except httpx.TransportError as error:
                failure = OutcomeUnknown(f"the answer was lost: {type(error).__name__}", idempotency_key)
            else:
                if response.is_success:
                    data: dict[str, Any] = response.json()["data"]
                    return data
                failure = _read_failure(response, idempotency_key)
                pause = max(pause, _get_retry_after(response))
            if isinstance(failure, OutcomeUnknown):
                doubt = failure
            may_try_again = _may_try_again(failure, may_repeat)
            if tries == MAX_TRIES or pause > MAX_PAUSE_SECONDS or not may_try_again:
                # That the last try was not accepted says nothing about one before it.
                raise doubt if doubt and may_try_again else failure
            await anyio.sleep(pause)
        raise AssertionError("not reached")


def _may_try_again(failure: LeadSailError, may_repeat: bool) -> bool:
    if isinstance(failure, OutcomeUnknown):
        return may_repeat
    if isinstance(failure, ApiError):
        return failure.code in NOT_ACCEPTED_CODES or (failure.code == "IDEMPOTENCY_IN_PROGRESS" and may_repeat)
    return True


def _get_retry_after(response: httpx.Response) -> float:
    """Seconds; 0 where nothing is said, or a date, as something between us and the service may do."""
    value: str = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdecimal() else 0


def _read_failure(response: httpx.Response, idempotency_key: str | None) -> LeadSailError:
    """A 5xx that does not say that nothing was accepted leaves the outcome unknown."""
    status = response.status_code
    try:
        error = response.json()["error"]
        code, message, details = str(error["code"]), str(error["message"]), list(error["details"])
    except (ValueError, LookupError, TypeError):  # from something between us and the service
        code, message, details = f"HTTP_{status}", response.reason_phrase, []
    if status >= 500 and code not in ("UNAVAILABLE", "PROVIDER_ERROR"):
        return OutcomeUnknown(f"{code}: {message}", idempotency_key)
    return ApiError(status, code, message, details, response.headers.get("X-Request-Id"))


def _quote(id: str) -> str:
    return quote(id, safe=":")


def _to_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`lead_id` → `leadId`, `from_` → `from`; times in ISO 8601."""
    return {_to_camel(name): _to_value(value) for name, value in fields.items()}


def _to_camel(name: str) -> str:
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def _to_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value
