"""Carriers' webhooks: verify the request, store it, answer as the carrier expects. The account in the
path decides the secret and the tenant before the body is read."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import Counter

from app import traces
from app.access.sealing import Unsealable
from app.access.timed_cache import TimedCache
from app.calls.text_parts import read_text_parts
from app.commands import parts, receipts, receive
from app.commands.receipts import ReceiptReport
from app.commands.receive import InboundPost, PostOutcome
from app.domain.carriage import Account, Habits, InboundText, WebhookRequest
from app.domain.problems import MethodNotAllowed, NotFound, OutcomeUnknown, Unauthorized
from app.domain.windows import BEGIN_WITHIN
from app.providers import REGISTRY, Provider
from app.resources import Resources
from app.store import accounts, outbox
from app.store.batching import Batcher, In, Out
from app.store.engine import Database
from app.web.hot_routes import HotRoute
from app.web.state import get_state

ACCOUNT_CACHE_SECONDS = 4.0
"""An account may be this stale. A signature that fails is checked again with the account read anew,
and a text's number is read when the text is stored."""
INBOUND_TEXTS = Counter(
    "leadsail_inbound_texts",
    "Inbound texts by what became of them",
    ["provider", "as_"],
)
log = structlog.get_logger("webhooks")
router = APIRouter(prefix="/webhooks/{provider}/{account_id}", route_class=HotRoute, include_in_schema=False)

PostBatcher = Batcher[InboundPost, PostOutcome]
ReportBatcher = Batcher[ReceiptReport, int]
AccountCache = TimedCache[str, "KnownAccount"]


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """An account, and the same account with credentials that were replaced lately."""

    account: Account
    former: tuple[Account, ...]

    def has_signed(self, dialect: Provider, hook: WebhookRequest) -> bool:
        """Whether the webhook bears the account's present or former signature."""
        now = datetime.now(UTC)
        return any(dialect.is_genuine(account, hook, now) for account in (self.account, *self.former))


def build_post_batcher(database: Database) -> PostBatcher:
    """Batches plain posts of all accounts."""

    async def run_batch(posts: Sequence[InboundPost]) -> Sequence[PostOutcome]:
        async with database.batch_tx() as tx:
            return await receive.receive_texts(tx, posts)

    async def run_single(post: InboundPost) -> PostOutcome:
        async with database.system_tx(plan_now=True) as tx:
            [outcome] = await receive.receive_texts(tx, [post])
        return outcome

    return Batcher(run_batch, run_single, _get_sender)


def _get_sender(post: InboundPost) -> str | None:
    """The one phone that the post's texts come from: a post from several is never batched."""
    return post.texts[0].sender if post.texts else None


def build_report_batcher(database: Database) -> ReportBatcher:
    """Batches receipts of all accounts."""

    async def run_batch(reports: Sequence[ReceiptReport]) -> Sequence[int]:
        async with database.batch_tx() as tx:
            return await receipts.apply_reports(tx, reports)

    async def run_single(report: ReceiptReport) -> int:
        return await _apply_report(database, report)

    return Batcher(run_batch, run_single)


async def _apply_report(database: Database, report: ReceiptReport) -> int:
    async with database.system_tx() as tx:
        [unknown_count] = await receipts.apply_reports(tx, [report])
    return unknown_count


def build_account_cache() -> AccountCache:
    """By account id, opened accounts that are at most `ACCOUNT_CACHE_SECONDS` old."""
    return TimedCache(ACCOUNT_CACHE_SECONDS)


async def _verify_request(request: Request, resources: Resources) -> tuple[Account, Provider, WebhookRequest]:
    """The account in the path, its adapter, and the request as the carrier signed it. Raises
    `NotFound` for an unknown account and `Unauthorized` for a wrong or missing signature."""
    provider, account_id = request.path_params["provider"], request.path_params["account_id"]
    account_cache = get_state(request.app).account_cache
    known_account = await account_cache.get(account_id, lambda: _get_account(resources, account_id))
    if known_account.account.provider != provider:
        raise NotFound
    dialect = REGISTRY[provider]
    if request.method == "GET" and not dialect.TAKES_GET:
        raise MethodNotAllowed
    webhook_request = await _build_webhook_request(request, resources)
    if not known_account.has_signed(dialect, webhook_request):
        # The cached secret may be out of date.
        account_cache.forget(lambda cached_id, _: cached_id == account_id)
        known_account = await account_cache.get(account_id, lambda: _get_account(resources, account_id))
        if not known_account.has_signed(dialect, webhook_request):
            await get_state(request.app).refused_webhooks.count(resources.database, account_id)
            raise Unauthorized("The signature is missing or wrong.")
    return known_account.account, dialect, webhook_request


async def _get_account(resources: Resources, account_id: str) -> KnownAccount:
    row = await resources.database.look_up(lambda read: accounts.get_for_webhook(read, account_id))
    if row is None or row.provider not in REGISTRY:
        raise NotFound
    account = resources.seal.open_account(row)
    return KnownAccount(account, tuple(_open_former(resources, account, row.former_credentials)))


def _open_former(resources: Resources, account: Account, sealed_credentials: Sequence[bytes]) -> Iterator[Account]:
    for sealed_words in sealed_credentials:
        try:
            yield replace(account, credentials=resources.seal.open_words(sealed_words))
        except Unsealable:  # the present credentials do without the key of the former ones
            log.warning("former credentials cannot be opened", account_id=account.account_id)


async def _build_webhook_request(request: Request, resources: Resources) -> WebhookRequest:
    path = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("utf-8", "replace")
    return WebhookRequest(
        method=request.method,
        url=f"{resources.settings.base_url}{path}" + (f"?{query}" if query else ""),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.raw},
        query=tuple(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        body=await request.body(),
    )


@router.api_route("/inbound", methods=["GET", "POST"])
async def take_inbound(request: Request) -> Response:
    resources = get_state(request.app).resources
    account, dialect, webhook_request = await _verify_request(request, resources)
    texts = await read_text_parts(resources.wire, account, dialect.read_inbound(webhook_request))
    if not texts:
        log.info("an inbound webhook without a text", provider=account.provider)
    post = InboundPost(account, texts, Habits(dialect.ANSWERED_WORDS, dialect.YES_RESTORES))
    if _is_batchable(texts):
        outcome = await _submit_with_retry(get_state(request.app).post_batcher, post)
    else:
        outcome = await _store_alone(resources, post)
    for result, count in (
        ("stored", outcome.stored_count),
        ("repeated", outcome.repeated_count),
        ("foreign", outcome.foreign_count),
    ):
        if count:
            INBOUND_TEXTS.labels(account.provider, result).inc(count)
    for turn_id in outcome.turn_ids:
        traces.record_point("webhook", turn_id, provider=account.provider)
    return _build_answer(dialect)


def _is_batchable(texts: Sequence[InboundText]) -> bool:
    """Whether the texts may share a batch with other leads' texts: they are whole, come from one
    phone, and none is, or may turn out to be, a word such as STOP, which must take effect before the
    answer."""
    return len({text.sender for text in texts}) <= 1 and all(
        text.part is None and text.taken_as is None and not text.may_quote for text in texts
    )


async def _submit_with_retry(batcher: Batcher[In, Out], entry: In) -> Out:
    try:
        return await batcher.submit(entry)
    except OutcomeUnknown:  # safe to repeat: what was stored is recognized by the carrier's id
        return await batcher.submit(entry)


async def _store_alone(resources: Resources, post: InboundPost) -> PostOutcome:
    async with resources.database.system_tx(plan_now=True) as tx:
        whole_texts = await parts.join(tx, post.account, post.texts)
        [outcome] = await receive.receive_texts(tx, [replace(post, texts=whole_texts)])
    if outcome.stopped_phones:
        await _wait_for_open_sends(resources, post.account.tenant_id, outcome.stopped_phones)
    return outcome


@router.api_route("/status", methods=["GET", "POST"])
async def take_status(request: Request) -> Response:
    resources = get_state(request.app).resources
    account, dialect, webhook_request = await _verify_request(request, resources)
    known_receipts = [
        replace(receipt, meaning=dialect.ERROR_MEANINGS.get(receipt.code or ""))
        for receipt in dialect.read_status(webhook_request)
    ]
    report = ReceiptReport(account, known_receipts)
    if report.has_opt_outs or report.has_parts:
        unknown_count = await _apply_report(resources.database, report)
    else:
        unknown_count = await _submit_with_retry(get_state(request.app).report_batcher, report)
    if unknown_count or not known_receipts:
        log.info("a receipt without a known text or status", provider=account.provider)
    return _build_answer(dialect)


async def _wait_for_open_sends(resources: Resources, tenant_id: str, phones: tuple[str, ...]) -> None:
    """Waits until no request to the phones that was claimed before the STOP's commit can still
    begin. From the STOP's 2xx on, nothing is sent to them."""
    async with resources.database.system_tx() as tx:
        seconds_since_claim = await outbox.get_seconds_since_claim(tx, tenant_id, phones)
    if seconds_since_claim is not None:
        await asyncio.sleep(max(BEGIN_WITHIN.total_seconds() - seconds_since_claim, 0))


def _build_answer(dialect: Provider) -> Response:
    content_type, body = dialect.WEBHOOK_ANSWER
    return Response(body, media_type=content_type)
