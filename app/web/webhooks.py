"""Where carriers call: verify, store, answer as the carrier expects. The first room of the way
in. The account in the path decides secret and tenant before the body is read."""

import asyncio
from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import Counter

from app.commands import receipts, receive
from app.domain.carriage import Account, Hook
from app.domain.problems import NotFound, Unauthorized
from app.providers import REGISTRY, Provider
from app.store import accounts, outbox
from app.web.doors import Held

router = APIRouter(prefix="/webhooks", include_in_schema=False)
BEGIN_WITHIN = 1.0
"""Within this many seconds of its claim a request to a carrier begins, or not at all."""
TEXTS = Counter(
    "leadsail_inbound_texts",
    "Inbound texts by what became of them",
    ["provider", "as_"],
)
log = structlog.get_logger("webhooks")


async def _genuine(
    request: Request, held: Held, provider: str, account_id: str
) -> tuple[Account, Provider, Hook]:
    """The account, and the request as the carrier signed it; raises `NotFound` for an unknown
    account and `Unauthorized` for a forged request."""
    async with held.database.system() as tx:
        row = await accounts.by_id(tx, account_id)
    if row is None or row["provider"] != provider or provider not in REGISTRY:
        raise NotFound
    account = Account(
        row["tenant_id"], row["account_id"], row["provider"],
        held.seal.open_words(row["credentials"]), row["base_url"],
    )  # fmt: skip
    query = request.url.query
    path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
    hook = Hook(
        method=request.method,
        url=f"{held.settings.base_url}{path}" + (f"?{query}" if query else ""),
        headers={name.decode("latin-1").lower(): value.decode("latin-1")
                 for name, value in request.headers.raw},
        query=tuple(request.query_params.multi_items()),
        body=await request.body(),
    )  # fmt: skip
    if not REGISTRY[provider].genuine(account, hook, datetime.now(UTC)):
        raise Unauthorized("The signature is missing or wrong.")
    return account, REGISTRY[provider], hook


@router.post("/{provider}/{account_id}/inbound")
async def inbound(request: Request, held: Held, provider: str, account_id: str) -> Response:
    account, dialect, hook = await _genuine(request, held, provider, account_id)
    texts = dialect.read_inbound(hook)
    if not texts:
        log.info("a webhook without a text", provider=provider)
    async with held.database.system() as tx:
        received = await receive.texts(tx, account, texts)
    for word, count in (("stored", received.stored), ("repeated", received.repeated),
                        ("foreign", received.foreign)):  # fmt: skip
        TEXTS.labels(provider, word).inc(count)
    if received.stopped:
        await _let_sending_pass(held, account.tenant_id, received.stopped)
    return _answer(dialect)


@router.post("/{provider}/{account_id}/status")
async def status(request: Request, held: Held, provider: str, account_id: str) -> Response:
    account, dialect, hook = await _genuine(request, held, provider, account_id)
    given = dialect.read_status(hook)
    async with held.database.system() as tx:
        unknown = await receipts.apply(tx, account, given)
    if unknown or not given:
        log.info("a receipt that says nothing we know", provider=provider)
    return _answer(dialect)


async def _let_sending_pass(held: Held, tenant_id: str, phones: tuple[str, ...]) -> None:
    """Returns once no request to the phones that was claimed before the STOP's commit can
    still begin: afterwards the STOP's 2xx is a promise."""
    async with held.database.system() as tx:
        claimed = await outbox.seconds_since_claim(tx, tenant_id, phones)
    if claimed is not None and claimed < BEGIN_WITHIN:
        await asyncio.sleep(BEGIN_WITHIN - claimed)


def _answer(dialect: Provider) -> Response:
    content_type, body = dialect.ANSWER
    return Response(body, media_type=content_type)
