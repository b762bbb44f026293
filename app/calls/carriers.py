"""Ask carriers: send a text, look it up, read their lists, fetch an attachment."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import httpx

from app.domain.carriage import (
    Account,
    InboundPage,
    InboundText,
    LookupMatch,
    NumberPage,
    Outcome,
    OutgoingText,
    PricePage,
    VendorNumber,
    build_webhook_url,
)
from app.domain.phones import format_phone, is_name, is_short_code
from app.domain.problems import Invalid, ProviderError
from app.providers import PRICE_READERS, REGISTRY
from app.wire.client import AnswerLost, NotSent, TooLate, Wire

SEND_SECONDS, LIST_SECONDS, MEDIA_SECONDS = 15.0, 10.0, 5.0
"""Deadlines of one whole exchange. A look-up has as long as the send."""
MAX_LOOKUP_BYTES = 1 << 20
MAX_HISTORY_PAGES, MAX_HISTORY_PAGE_BYTES = 20, 8 << 20
MAX_PRICE_PAGES = 300
MAX_NUMBER_PAGES, MAX_NUMBER_PAGE_BYTES = 50, 4 << 20
REFUSED_STATUSES = (400, 401, 403, 404)
"""What carriers answer to wrong credentials; some have the account's id in the path."""
MAX_MEDIA_BYTES = 5 << 20
"""No carrier forwards a larger attachment."""
MAX_REDIRECTS = 4
"""An attachment's address often redirects to the carrier's storage on another host."""
Page = TypeVar("Page", InboundPage, NumberPage, PricePage)


class RequestNotBuilt(Exception):
    """The adapter could not build the request, so the carrier got nothing. The cause says why."""


class ListFailure(Exception):
    """A carrier's list could not be read to its end. The text says why, without addresses."""


class ListUnreadable(ListFailure):
    """The carrier answered, but not with a page of the list."""

    def __init__(self, response: httpx.Response) -> None:
        detail = " without a list that can be read" if response.is_success else ""
        super().__init__(f"answered {response.status_code}{detail}")
        self.response = response

    @property
    def is_refusal(self) -> bool:
        """Whether the same request would get the same answer later."""
        return self.response.status_code != 429 and not self.response.is_server_error


@dataclass(frozen=True, slots=True)
class SendResult:
    """What one request to send came to."""

    outcome: Outcome
    http_status: int | None
    """None: no answer came."""
    seconds: float


async def send_text(wire: Wire, account: Account, text: OutgoingText, begin_by: float) -> SendResult | None:
    """Sends `text`. None: the request could not begin before `begin_by` (of `time.monotonic`), and
    nothing was sent. Raises `RequestNotBuilt`."""
    provider = REGISTRY[account.provider]
    try:
        # The host's clock, not the database's: the carrier checks signatures against its own.
        request = provider.build_send_request(account, text, datetime.now(UTC))
    except Exception as error:
        raise RequestNotBuilt from error
    started_at = time.monotonic()
    status: int | None = None
    try:
        response = await wire.exchange(request, SEND_SECONDS, begin_by=begin_by)
        status, outcome = response.status_code, provider.read_outcome(response)
    except TooLate:
        return None
    except NotSent as error:
        outcome = Outcome("later", code="UNREACHABLE", detail=str(error))
    except AnswerLost as error:
        outcome = Outcome("unknown", code="NO_ANSWER", detail=str(error))
    return SendResult(outcome, status, time.monotonic() - started_at)


async def look_up_text(
    wire: Wire, account: Account, text: OutgoingText, begun_at: datetime
) -> list[LookupMatch] | None:
    """What the carrier's list holds that may be `text`, whose sending began at `begun_at`. []: the
    carrier does not have it. None: the carrier has no look-up, or did not say."""
    provider = REGISTRY[account.provider]
    request = provider.build_lookup_request(account, text, begun_at)
    if request is None:
        return None
    try:
        response = await wire.exchange(request, SEND_SECONDS, cap=MAX_LOOKUP_BYTES)
    except (NotSent, AnswerLost):
        return None
    matches = provider.read_lookup(response, text, begun_at)
    return None if matches is None else list(matches)


async def list_inbound_texts(
    wire: Wire, account: Account, since: datetime, before_next_page: Callable[[], Awaitable[None]]
) -> list[InboundText]:
    """The inbound texts that the carrier received since then, oldest first; [] where it keeps no
    record. Raises `ListFailure`, and what `before_next_page` raises."""
    provider = REGISTRY[account.provider]
    texts: list[InboundText] = []
    async for page in _read_pages(
        wire,
        lambda cursor: provider.build_history_request(account, since, cursor),
        lambda response: provider.read_history(response, since),
        MAX_HISTORY_PAGES,
        MAX_HISTORY_PAGE_BYTES,
    ):
        texts += page.texts
        if page.next_page is not None:
            await before_next_page()
    return sorted(texts, key=lambda text: text.sent_at or since)


def read_prices(wire: Wire, account: Account, since: datetime, first_page: str | None) -> AsyncIterator[PricePage]:
    """What texts since then cost, as the carrier's record says, which must have prices; from `first_page` on, which
    a page before named. If the last page names a next one, there was more than is read. Raises `ListFailure`."""
    provider = REGISTRY[account.provider]
    return _read_pages(
        wire,
        lambda cursor: provider.build_history_request(account, since, cursor),
        PRICE_READERS[account.provider],
        MAX_PRICE_PAGES,
        MAX_HISTORY_PAGE_BYTES,
        first_page,
    )


async def list_numbers(wire: Wire, account: Account) -> list[VendorNumber]:
    """All numbers of the account. Raises `Invalid` where the carrier does not list them, and
    `ProviderError` when the list cannot be read to its end."""
    provider = REGISTRY.get(account.provider)
    if provider is None:
        raise _numbers_unlisted()
    try:
        read_pages = _read_pages(
            wire,
            lambda cursor: provider.build_numbers_request(account, cursor),
            provider.read_numbers,
            MAX_NUMBER_PAGES,
            MAX_NUMBER_PAGE_BYTES,
        )
        pages = [page async for page in read_pages]
    except ListUnreadable as error:
        raise ProviderError(details=[f"provider: answered {error.response.status_code}"]) from None
    except ListFailure:
        raise ProviderError from None
    if not pages:
        raise _numbers_unlisted()
    if pages[-1].next_page is not None:
        raise ProviderError(details=["provider: the list of numbers does not end"])
    return [number for page in pages for number in page.numbers]


async def find_credential_fault(wire: Wire, account: Account, now: datetime) -> str | None:
    """Reads a page of what only the account may read: its numbers, or else the texts since now. In words,
    why that did not succeed; None: it did, or the carrier has no such list."""
    provider = REGISTRY[account.provider]
    try:
        async for _ in _read_pages(
            wire,
            lambda cursor: provider.build_numbers_request(account, cursor),
            provider.read_numbers,
            1,
            MAX_NUMBER_PAGE_BYTES,
        ):
            return None
        async for _ in _read_pages(
            wire,
            lambda cursor: provider.build_history_request(account, now, cursor),
            lambda response: provider.read_history(response, now),
            1,
            MAX_HISTORY_PAGE_BYTES,
        ):
            return None
    except ListUnreadable as error:
        status = error.response.status_code
        if status in REFUSED_STATUSES:
            return f"The carrier refuses these credentials: it answered {status}"
        return f"The carrier did not say whether these credentials are right: it {error}"
    except ListFailure as error:
        return f"The carrier could not be asked: {error}"
    return None


def _numbers_unlisted() -> Invalid:
    return Invalid(details=["accountId: this provider does not list its numbers"])


async def _read_pages(
    wire: Wire,
    build_request: Callable[[str | None], httpx.Request | None],
    read_page: Callable[[httpx.Response], Page | None],
    max_pages: int,
    max_page_bytes: int,
    cursor: str | None = None,
) -> AsyncIterator[Page]:
    """The first `max_pages` pages of a carrier's list from `cursor` on, one by one; none where it has no list.
    Raises `ListFailure`."""
    for _ in range(max_pages):
        try:
            request = build_request(cursor)
        except httpx.InvalidURL:  # the account's address, or the next page as the carrier named it
            raise ListFailure("the address is not valid") from None
        if request is None:
            return
        try:
            response = await wire.exchange(request, LIST_SECONDS, cap=max_page_bytes)
        except (NotSent, AnswerLost) as error:
            raise ListFailure(str(error)) from None
        page = read_page(response)
        if page is None:
            raise ListUnreadable(response)
        yield page
        cursor = page.next_page
        if cursor is None:
            return


async def find_webhook_faults(wire: Wire, account: Account, base_url: str, own_numbers: Sequence[str]) -> list[str]:
    """Why texts to `own_numbers` would not come to our webhook, by what the carrier lists; one sentence
    for each fault. Raises as `list_numbers` does."""
    wanted_url = build_webhook_url(base_url, account.provider, account.account_id, "inbound")
    vendor_numbers = {number.phone_number: number for number in await list_numbers(wire, account)}
    if not own_numbers:
        return ["No active number belongs to this account. Sync its numbers first."]
    if not any(map(is_short_code, vendor_numbers)):  # the carrier does not list them
        vendor_numbers |= {number: VendorNumber(number, ()) for number in own_numbers if is_short_code(number)}
    faults = [
        _describe_webhook_fault(number, vendor_numbers.get(number), wanted_url)
        for number in own_numbers
        if not is_name(number)
    ]
    return [fault for fault in faults if fault is not None]


def _describe_webhook_fault(phone: str, vendor_number: VendorNumber | None, wanted_url: str) -> str | None:
    """What is wrong with a number's webhook; None: nothing."""
    if vendor_number is None:
        return f"{format_phone(phone)} is not among the vendor's numbers of this account."
    if vendor_number.inbound_url is None:
        return f"The vendor does not say where texts to {format_phone(phone)} go: set it to {wanted_url}"
    if not vendor_number.inbound_url:
        return f"Texts to {format_phone(phone)} go nowhere: set the number's webhook to {wanted_url}"
    if vendor_number.inbound_url.split("#")[0] != wanted_url:
        return f"Texts to {format_phone(phone)} go to another address: set the webhook to {wanted_url}"
    if vendor_number.inbound_method not in (None, "POST"):
        return f"Texts to {format_phone(phone)} come by {vendor_number.inbound_method}: set the method to POST."
    return None


async def fetch_attachment(
    wire: Wire, account: Account | None, url: str, max_bytes: int = MAX_MEDIA_BYTES
) -> httpx.Response:
    """The whole attachment at `url`. The adapter of `account` adds credentials at the carrier's own
    host only, also after a redirect. Raises `ProviderError`, also for more than `max_bytes`."""
    for _ in range(MAX_REDIRECTS):
        try:
            request = httpx.Request("GET", url)
            if account:
                request = REGISTRY[account.provider].build_media_request(account, url)
            response = await wire.exchange(request, MEDIA_SECONDS, cap=max_bytes)
            if response.is_success and not response.extensions["truncated"]:
                return response
            if not response.has_redirect_location:
                break
            url = str(request.url.join(response.headers["location"]))
        except (AnswerLost, NotSent, httpx.InvalidURL):
            break
    raise ProviderError("The attachment cannot be fetched from where it lies.")
