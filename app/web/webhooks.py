"""Where carriers call: verify, store, answer as the carrier expects. The first room of the way
in. The account in the path decides secret and tenant before the body is read."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from fastapi import Request, Response
from prometheus_client import Counter
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import traces
from app.access.fresh import Fresh
from app.commands import parts, receipts, receive
from app.commands.receipts import Report
from app.commands.receive import Post, Received
from app.domain import optout
from app.domain.carriage import Account, Habits, Hook, InboundText
from app.domain.problems import MethodNotAllowed, NotFound, OutcomeUnknown, Unauthorized
from app.domain.windows import BEGIN_WITHIN
from app.providers import REGISTRY, Provider
from app.resources import Resources
from app.store import accounts, outbox
from app.store.engine import Database
from app.store.gather import Gatherer, In, Out
from app.web import problems

ACCOUNT_SECONDS = 4.0
"""So long an account may be known as it was; a signature that fails is checked against what
stands now, and a number against what stands when its text is stored."""
TEXTS = Counter(
    "leadsail_inbound_texts",
    "Inbound texts by what became of them",
    ["provider", "as_"],
)
log = structlog.get_logger("webhooks")


Posts = Gatherer[Post, Received]
Reports = Gatherer[Report, int]
Known = Fresh[str, Account]


def gatherer(database: Database) -> Posts:
    """Gathers plain posts of all accounts."""

    async def carry(posts: Sequence[Post]) -> Sequence[Received]:
        async with database.gathered() as tx:
            return await receive.texts(tx, posts)

    async def single(post: Post) -> Received:
        async with database.system() as tx:
            [received] = await receive.texts(tx, [post])
        return received

    return Gatherer(carry, single, _sender)


def _sender(post: Post) -> str | None:
    """Of all its texts: a post of several leads is not plain."""
    return post.texts[0].sender if post.texts else None


def reports_gatherer(database: Database) -> Reports:
    """Gathers receipts of all accounts."""

    async def carry(reports: Sequence[Report]) -> Sequence[int]:
        async with database.gathered() as tx:
            return await receipts.apply(tx, reports)

    async def single(report: Report) -> int:
        return await _apply(database, report)

    return Gatherer(carry, single)


async def _apply(database: Database, report: Report) -> int:
    async with database.system() as tx:
        [unknown] = await receipts.apply(tx, [report])
    return unknown


def known_accounts() -> Known:
    """Accounts as webhooks need them, a few seconds old at most."""
    return Fresh(ACCOUNT_SECONDS)


async def _genuine(request: Request, held: Resources) -> tuple[Account, Provider, Hook]:
    """The account in the path, and the request as the carrier signed it; raises `NotFound` for
    an unknown account and `Unauthorized` for a forged request."""
    provider, account_id = request.path_params["provider"], request.path_params["account_id"]
    known: Known = request.app.state.accounts
    account = await known.get(account_id, lambda: _account(held, account_id))
    if account.provider != provider:
        raise NotFound
    dialect = REGISTRY[provider]
    if request.method == "GET" and not dialect.BY_GET:
        raise MethodNotAllowed
    hook = await _hook(request, held)
    if not dialect.genuine(account, hook, datetime.now(UTC)):
        # The secret may just have been changed.
        known.forget(lambda one, _: one == account_id)
        account = await known.get(account_id, lambda: _account(held, account_id))
        if not dialect.genuine(account, hook, datetime.now(UTC)):
            raise Unauthorized("The signature is missing or wrong.")
    return account, dialect, hook


async def _account(held: Resources, account_id: str) -> Account:
    async with held.database.system() as tx:
        row = await accounts.by_id(tx, account_id)
    if row is None or row["provider"] not in REGISTRY:
        raise NotFound
    return held.seal.open_account(row)


async def _hook(request: Request, held: Resources) -> Hook:
    path = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("utf-8", "replace")
    return Hook(
        method=request.method,
        url=f"{held.settings.base_url}{path}" + (f"?{query}" if query else ""),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers.raw},
        query=tuple(request.query_params.multi_items()),
        body=await request.body(),
    )


async def inbound(request: Request) -> Response:
    held: Resources = request.app.state.resources
    account, dialect, hook = await _genuine(request, held)
    texts = dialect.read_inbound(hook)
    if not texts:
        log.info("a webhook without a text", provider=account.provider)
    post = Post(account, texts, Habits(dialect.ANSWERS, dialect.YES_RESTORES))
    if _plain(texts):
        received = await _together(request.app.state.posts, post)
    else:
        received = await _alone(held, post)
    for word, count in (("stored", received.stored), ("repeated", received.repeated), ("foreign", received.foreign)):
        if count:
            TEXTS.labels(account.provider, word).inc(count)
    for turn_id in received.turns:
        traces.point("webhook", turn_id, provider=account.provider)
    return _answer(dialect)


def _plain(texts: Sequence[InboundText]) -> bool:
    """Whether the texts may go together with those of others: they are whole, of one lead, and
    say nothing that must be obeyed at once."""
    return len({text.sender for text in texts}) <= 1 and all(
        text.part is None
        and text.taken_as is None
        and optout.judge(text.text, yes_restores=True, suppressed=True).word is None
        for text in texts
    )


async def _together(gatherer: Gatherer[In, Out], entry: In) -> Out:
    try:
        return await gatherer.put(entry)
    except OutcomeUnknown:  # if it was stored, it is known now, and nothing happens twice
        return await gatherer.put(entry)


async def _alone(held: Resources, post: Post) -> Received:
    async with held.database.system() as tx:
        whole = await parts.join(tx, post.account, post.texts)
        [received] = await receive.texts(tx, [replace(post, texts=whole)])
    if received.stopped:
        await _let_sending_pass(held, post.account.tenant_id, received.stopped)
    return received


async def status(request: Request) -> Response:
    held: Resources = request.app.state.resources
    account, dialect, hook = await _genuine(request, held)
    given = [replace(receipt, meaning=dialect.ERRORS.get(receipt.code or "")) for receipt in dialect.read_status(hook)]
    report = Report(account, given)
    if report.stops:
        unknown = await _apply(held.database, report)
    else:
        unknown = await _together(request.app.state.reports, report)
    if unknown or not given:
        log.info("a receipt that says nothing we know", provider=account.provider)
    return _answer(dialect)


async def _let_sending_pass(held: Resources, tenant_id: str, phones: tuple[str, ...]) -> None:
    """Returns once no request to the phones that was claimed before the STOP's commit can
    still begin: afterwards the STOP's 2xx is a promise."""
    async with held.database.system() as tx:
        claimed = await outbox.seconds_since_claim(tx, tenant_id, phones)
    if claimed is not None:
        await asyncio.sleep(max(BEGIN_WITHIN.total_seconds() - claimed, 0))


def _answer(dialect: Provider) -> Response:
    content_type, body = dialect.ANSWER
    return Response(body, media_type=content_type)


class Door(Route):
    """A route without the framework's dependencies, which cost more than the work here; told in
    logs and figures as any other."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self} if found else found


class Doors:
    """ASGI, around the application: opens what is plainly a door, and passes on all else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/webhooks/"):
            for door in DOORS:
                match, found = door.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    request = Request(scope, receive)
                    try:
                        response = await door.endpoint(request)
                    except Exception as error:
                        response = await problems.told(request, error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


DOORS = [
    Door(f"/webhooks/{{provider}}/{{account_id}}/{word}", endpoint, methods=["GET", "POST"])
    for word, endpoint in (("inbound", inbound), ("status", status))
]
for door in DOORS:
    assert door.methods
    door.methods.discard("HEAD")  # a route adds it to GET
