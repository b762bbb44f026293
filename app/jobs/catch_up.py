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
from app.commands.receive import InboundPost
from app.domain import optout
from app.domain.carriage import Account, Habits, InboundText
from app.domain.problems import Problem
from app.providers import REGISTRY, Provider
from app.store import accounts
from app.store.engine import DATABASE_AWAY_ERRORS, Database, Row, Tx
from app.wire.client import AnswerLost, NotSent, Wire

PARTS_PER_STEP, MAX_PAGES, TEXTS_PER_COMMIT = 100, 20, 100
ACCOUNTS_PER_STEP = 32
"""Asked side by side, by one worker."""
WRITERS = 4
"""Of them so many may store at once: texts that leave and come in need connections too."""
DEADLINE_SECONDS = 10.0
LEASE = timedelta(seconds=30)
"""For how long an account is one worker's: while one page is read, or a hundred texts stored."""
FIRST_REST, LONGEST_REST = timedelta(seconds=2), timedelta(hours=1)
PASSING = {408, 425, 429}
"""Refusals that pass by themselves."""
MAX_PAGE_BYTES = 8 << 20
log = structlog.get_logger("catch_up")


class Unreadable(Exception):
    """The carrier's record could not be read to its end; the text says why. `rest`: for how
    long it is to be left alone at least."""

    def __init__(self, why: str, rest: timedelta = timedelta(0)) -> None:
        super().__init__(why)
        self.rest = rest


EXPECTED = (AnswerLost, NotSent, Unreadable, httpx.InvalidURL)


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

    async def deliver_incomplete(self) -> None:
        """Delivers what is left of texts that never became whole."""
        async with self._database.system_tx() as tx:
            posts = [
                InboundPost(
                    Account(row["tenant_id"], row["account_id"], row["provider"], {}),
                    [text],
                    _habits_of(REGISTRY[row["provider"]]),
                )
                for row, text in await parts.take_incomplete(tx, PARTS_PER_STEP)
            ]
            if posts:
                await receive.receive_texts(tx, posts)

    async def fetch_missing_texts(self) -> int:
        """Begins to fetch what carriers could not deliver while nobody was here; of how many
        accounts."""
        room = ACCOUNTS_PER_STEP - len(self.fetching)
        if room <= 0:
            return 0
        async with self._database.system_tx() as tx:
            rows = await accounts.claim_fetches(tx, room, LEASE)
        for row in rows:
            task = asyncio.create_task(self._fetch_account(row))
            self.fetching.add(task)
            task.add_done_callback(self.fetching.discard)
        return len(rows)

    async def _fetch_account(self, row: Row) -> None:
        """Whatever goes wrong is this account's alone."""
        lease = Lease(row)
        try:
            failed = await self._tried(row, lease)
            async with self._storing() as tx:
                ours = await (lease.failed(tx, failed) if failed else lease.fetched(tx))
        except Taken:
            return
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
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
        except (Taken, Problem, *DATABASE_AWAY_ERRORS):
            raise
        except Exception as error:
            return error
        return None

    @asynccontextmanager
    async def _storing(self) -> AsyncIterator[Tx]:
        async with self._writers, self._database.system_tx() as tx:
            yield tx

    async def _take_all(self, row: Row, lease: "Lease") -> None:
        provider, account = REGISTRY[row["provider"]], self._seal.open_account(row)
        texts = _sort_opt_outs_first(await self._fetch_pages(provider, account, row["missing_since"], lease))
        for i in range(0, len(texts), TEXTS_PER_COMMIT):
            async with self._storing() as tx:
                await lease.hold(tx)
                post = InboundPost(account, texts[i : i + TEXTS_PER_COMMIT], _habits_of(provider), is_late=True)
                await receive.receive_texts(tx, [post])

    async def _fetch_pages(
        self, provider: Provider, account: Account, since: datetime, lease: "Lease"
    ) -> list[InboundText]:
        """All that came since, oldest first; [] where the carrier keeps no record."""
        texts: list[InboundText] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            request = provider.build_history_request(account, since, cursor)
            if request is None:
                break
            if cursor is not None:
                async with self._storing() as tx:
                    await lease.hold(tx)
            response = await self._wire.exchange(request, DEADLINE_SECONDS, cap=MAX_PAGE_BYTES)
            inbound_page = provider.read_history(response, since)
            if inbound_page is None:
                raise _unreadable(response)
            texts += inbound_page.texts
            cursor = inbound_page.next_page
            if cursor is None:
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


def _sort_opt_outs_first(texts: list[InboundText]) -> list[InboundText]:
    """In order, but those of phones that said STOP before all others."""
    stopped_phones = {text.sender for text in texts if optout.judge_text(text.text).word == "stop"}
    return sorted(texts, key=lambda text: text.sender not in stopped_phones)


def _habits_of(provider: Provider) -> Habits:
    return Habits(provider.ANSWERS, provider.YES_RESTORES)
