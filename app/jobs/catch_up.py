"""Texts that no webhook brought: what carriers kept while we were away, and what is left of
texts whose other parts never came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import httpx
import structlog

from app.access.sealing import Seal
from app.commands import parts, receive
from app.commands.receive import Post
from app.domain import optout
from app.domain.carriage import Account, Habits, InboundText
from app.domain.problems import Problem
from app.providers import REGISTRY, Provider
from app.store import accounts
from app.store.engine import AWAY, Database, Row, Tx
from app.wire.client import Lost, NotSent, Wire

PARTS, PAGES, TOGETHER = 100, 20, 100
ACCOUNTS = 32
"""Asked side by side, by one worker."""
WRITERS = 4
"""Of them so many may store at once: texts that leave and come in need connections too."""
DEADLINE = 10.0
LEASE = timedelta(seconds=30)
"""For how long an account is one worker's: while one page is read, or a hundred texts stored."""
FIRST_REST, LONGEST_REST = timedelta(seconds=2), timedelta(hours=1)
PASSING = {408, 425, 429}
"""Refusals that pass by themselves."""
LONGEST_PAGE = 8 << 20
log = structlog.get_logger("catch_up")


class Unreadable(Exception):
    """The carrier's record could not be read to its end; the text says why. `rest`: for how
    long it is to be left alone at least."""

    def __init__(self, why: str, rest: timedelta = timedelta(0)) -> None:
        super().__init__(why)
        self.rest = rest


EXPECTED = (Lost, NotSent, Unreadable, httpx.InvalidURL)


class Taken(Exception):
    """The account was changed meanwhile, or another worker asks it now."""


class CatchUp:
    """What one worker fetches."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self.fetching: set[asyncio.Task[None]] = set()
        """Accounts that are asked now: one that is slow delays no other."""
        self._writers = asyncio.Semaphore(WRITERS)

    async def lonely_parts(self) -> None:
        """Delivers what is left of texts that never became whole."""
        async with self._database.system() as tx:
            posts = [
                Post(
                    Account(row["tenant_id"], row["account_id"], row["provider"], {}),
                    [text],
                    _habits(REGISTRY[row["provider"]]),
                )
                for row, text in await parts.lonely(tx, PARTS)
            ]
            if posts:
                await receive.texts(tx, posts)

    async def missing_texts(self) -> int:
        """Begins to fetch what carriers could not deliver while nobody was here; of how many
        accounts."""
        room = ACCOUNTS - len(self.fetching)
        if room <= 0:
            return 0
        async with self._database.system() as tx:
            rows = await accounts.claim_fetches(tx, room, LEASE)
        for row in rows:
            task = asyncio.create_task(self._fetch(row))
            self.fetching.add(task)
            task.add_done_callback(self.fetching.discard)
        return len(rows)

    async def _fetch(self, row: Row) -> None:
        """Whatever goes wrong is this account's alone."""
        lease = Lease(row)
        try:
            failed = await self._tried(row, lease)
            async with self._storing() as tx:
                ours = await (lease.failed(tx, failed) if failed else lease.fetched(tx))
        except Taken:
            return
        except (Problem, *AWAY) as error:
            # The lease ends, and then the account is asked again.
            log.warning("the database is away", error=type(error).__name__)
            return
        if ours and bool(failed) != bool(row["failing_since"]):
            _tell(row, failed)

    async def _tried(self, row: Row, lease: "Lease") -> Exception | None:
        """Takes all of the account's missed texts; why that failed, if it is not the database
        that did."""
        try:
            await self._take_all(row, lease)
        except (Taken, Problem, *AWAY):
            raise
        except Exception as error:
            return error
        return None

    @asynccontextmanager
    async def _storing(self) -> AsyncIterator[Tx]:
        async with self._writers, self._database.system() as tx:
            yield tx

    async def _take_all(self, row: Row, lease: "Lease") -> None:
        provider, account = REGISTRY[row["provider"]], self._seal.open_account(row)
        texts = _opt_outs_first(await self._listed(provider, account, row["missing_since"], lease))
        for i in range(0, len(texts), TOGETHER):
            async with self._storing() as tx:
                await lease.hold(tx)
                post = Post(account, texts[i : i + TOGETHER], _habits(provider), late=True)
                await receive.texts(tx, [post])

    async def _listed(self, provider: Provider, account: Account, since: datetime, lease: "Lease") -> list[InboundText]:
        """All that came since, oldest first; [] where the carrier keeps no record."""
        texts: list[InboundText] = []
        page: str | None = None
        for _ in range(PAGES):
            request = provider.history(account, since, page)
            if request is None:
                break
            if page is not None:
                async with self._storing() as tx:
                    await lease.hold(tx)
            response = await self._wire.exchange(request, DEADLINE, cap=LONGEST_PAGE)
            missed = provider.missed(response, since)
            if missed is None:
                raise _unreadable(response)
            texts += missed.texts
            page = missed.next_page
            if page is None:
                break
        return sorted(texts, key=lambda text: text.sent_at or since)


class Lease:
    """One account, held by one worker while it is asked."""

    def __init__(self, row: Row) -> None:
        self._key = row["tenant_id"], row["account_id"]
        self._row = row
        self._until: datetime = row["fetch_at"]

    async def hold(self, tx: Tx) -> None:
        """Holds it for longer; raises `Taken`."""
        until = await accounts.hold_fetch(tx, *self._key, self._until, LEASE)
        if until is None:
            raise Taken
        self._until = until

    async def fetched(self, tx: Tx) -> bool:
        return await accounts.fetched(tx, *self._key, self._until, self._row["noticed_at"])

    async def failed(self, tx: Tx, error: Exception) -> bool:
        rest = min(FIRST_REST * 2 ** min(self._row["fetch_failures"], 20), LONGEST_REST)
        if isinstance(error, Unreadable):
            rest = min(max(rest, error.rest), LONGEST_REST)
        return await accounts.not_fetched(tx, *self._key, self._until, rest, _said(error))


def _tell(row: Row, failed: Exception | None) -> None:
    """Once when an account begins to fail, and once when it works again: not at each try."""
    about = {"account_id": row["account_id"], "provider": row["provider"]}
    if failed is None:
        log.warning("missed texts are fetched again", **about)
        return
    unexpected = None if isinstance(failed, EXPECTED) else failed
    log.warning("missed texts cannot be fetched", error=_said(failed), exc_info=unexpected, **about)


def _said(failed: Exception) -> str:
    """In plain words, without addresses."""
    if isinstance(failed, httpx.InvalidURL):
        return "the address is not valid"
    return str(failed) if isinstance(failed, EXPECTED) else type(failed).__name__


def _unreadable(response: httpx.Response) -> Unreadable:
    """A refusal stays one until something is changed, here or at the carrier; what is busy or
    broken may be well in a moment."""
    status = response.status_code
    if response.is_success:
        return Unreadable(f"answered {status} without a list of texts that can be read")
    if 400 <= status < 500 and status not in PASSING:
        return Unreadable(f"answered {status}", LONGEST_REST)
    given = response.headers.get("retry-after", "")
    wish = timedelta(seconds=int(given)) if given.isdecimal() and len(given) < 8 else timedelta(0)
    return Unreadable(f"answered {status}", wish)


def _opt_outs_first(texts: list[InboundText]) -> list[InboundText]:
    """In order, but those of phones that said STOP before all others."""
    stopped = {text.sender for text in texts if optout.judge(text.text).word == "stop"}
    return sorted(texts, key=lambda text: text.sender not in stopped)


def _habits(provider: Provider) -> Habits:
    return Habits(provider.ANSWERS, provider.YES_RESTORES)
