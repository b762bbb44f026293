"""Texts that no webhook brought: those that carriers kept while no web process ran, and the parts
of texts that never became whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from app.access.sealing import Seal
from app.calls import carriers
from app.calls.carriers import ListFailure, ListUnreadable
from app.calls.text_parts import read_text_parts
from app.commands import parts, receive
from app.commands.receive import InboundPost
from app.domain.carriage import Account, Habits, InboundText
from app.domain.problems import Problem
from app.domain.retry_after import read_retry_after
from app.providers import REGISTRY, Provider
from app.store import accounts
from app.store.accounts import ClaimedFetch
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database, Tx
from app.wire.client import Wire

PARTS_PER_STEP, TEXTS_PER_COMMIT = 100, 100
ACCOUNTS_PER_STEP = 32
"""Accounts that one worker asks at the same time."""
MAX_WRITERS = 4
"""Accounts whose texts may be stored at the same time: other texts need connections too."""
LEASE = timedelta(seconds=30)
"""Long enough to read one page, or to store `TEXTS_PER_COMMIT` texts."""
FIRST_BACKOFF, MAX_BACKOFF = timedelta(seconds=2), timedelta(hours=1)
TRANSIENT_STATUSES = {408, 425, 429}
"""Refusals that go away by themselves."""
log = structlog.get_logger("catch_up")


class LeaseLost(Exception):
    """The account was changed meanwhile, or another worker claimed it."""


class CatchUp:
    """Fetches missed texts for one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self.fetching: set[asyncio.Task[None]] = set()
        """One task for each account that is asked now: a slow one delays no other."""
        self._writers = asyncio.Semaphore(MAX_WRITERS)

    async def deliver_incomplete(self) -> None:
        """Takes the parts that came of texts that never became whole."""
        async with self._database.system_tx(plan_now=True) as tx:
            posts = [
                InboundPost(
                    Account(part.tenant_id, part.account_id, part.provider, {}),
                    [text],
                    _get_habits(REGISTRY[part.provider]),
                )
                for part, text in await parts.take_incomplete(tx, PARTS_PER_STEP)
            ]
            if posts:
                await receive.receive_texts(tx, posts)

    async def fetch_missing_texts(self) -> int:
        """Begins to fetch what carriers could not deliver while no web process ran. Returns the
        number of accounts it began with."""
        free_slots = ACCOUNTS_PER_STEP - len(self.fetching)
        if free_slots <= 0:
            return 0
        async with self._database.system_tx() as tx:
            rows = await accounts.claim_fetches(tx, free_slots, LEASE)
        for row in rows:
            task = asyncio.create_task(self._fetch_account(row))
            self.fetching.add(task)
            task.add_done_callback(self.fetching.discard)
        return len(rows)

    async def _fetch_account(self, row: ClaimedFetch) -> None:
        """Fetches and records the result. Whatever goes wrong concerns this account alone."""
        lease = Lease(row)
        try:
            failure = await self._try_fetch(row, lease)
            async with self._writer_tx() as tx:
                has_lease = await (lease.record_failure(tx, failure) if failure else lease.record_success(tx))
        except LeaseLost:
            return
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # The lease ends, and then the account is asked again.
            log.warning("the database is away", error=type(error).__name__)
            return
        if has_lease and bool(failure) != bool(row.failing_since):
            _log_change(row, failure)

    async def _try_fetch(self, row: ClaimedFetch, lease: "Lease") -> Exception | None:
        """Stores all of the account's missed texts. Returns why that failed, but raises what the
        database does."""
        try:
            await self._store_missed_texts(row, lease)
        except (LeaseLost, Problem, *DATABASE_AWAY_ERRORS):
            raise
        except Exception as error:
            return error
        return None

    @asynccontextmanager
    async def _writer_tx(self, plan_now: bool = False) -> AsyncIterator[Tx]:
        async with self._writers, self._database.system_tx(plan_now) as tx:
            yield tx

    async def _store_missed_texts(self, row: ClaimedFetch, lease: "Lease") -> None:
        async def extend_lease() -> None:
            async with self._writer_tx() as tx:
                await lease.extend(tx)

        provider, account = REGISTRY[row.provider], self._seal.open_account(row)
        missed_texts = await carriers.list_inbound_texts(self._wire, account, row.missing_since, extend_lease)
        texts: list[InboundText] = []
        for i in range(0, len(missed_texts), TEXTS_PER_COMMIT):
            texts += await read_text_parts(self._wire, account, missed_texts[i : i + TEXTS_PER_COMMIT])
            if any(text.media for text in missed_texts[i : i + TEXTS_PER_COMMIT]):
                await extend_lease()
        texts = _sort_opt_outs_first(texts)
        for i in range(0, len(texts), TEXTS_PER_COMMIT):
            async with self._writer_tx(plan_now=True) as tx:
                await lease.extend(tx)
                post = InboundPost(account, texts[i : i + TEXTS_PER_COMMIT], _get_habits(provider), is_late=True)
                await receive.receive_texts(tx, [post])


class Lease:
    """The right of one worker to ask for one account's missed texts."""

    def __init__(self, row: ClaimedFetch) -> None:
        self._key = row.tenant_id, row.account_id
        self._row = row
        self._until = row.fetch_at

    async def extend(self, tx: Tx) -> None:
        """Raises `LeaseLost`."""
        until = await accounts.hold_fetch(tx, *self._key, self._until, LEASE)
        if until is None:
            raise LeaseLost
        self._until = until

    async def record_success(self, tx: Tx) -> bool:
        """Whether the lease was still ours."""
        return await accounts.record_fetch(tx, *self._key, self._until, self._row.noticed_at)

    async def record_failure(self, tx: Tx, failure: Exception) -> bool:
        """Whether the lease was still ours."""
        backoff = max(FIRST_BACKOFF * 2 ** min(self._row.fetch_failures, 20), _get_min_backoff(failure))
        return await accounts.record_failed_fetch(
            tx, *self._key, self._until, min(backoff, MAX_BACKOFF), _describe_failure(failure)
        )


def _log_change(row: ClaimedFetch, failure: Exception | None) -> None:
    """Logs when an account begins to fail and when it works again, not each try."""
    account_ids = {"account_id": row.account_id, "provider": row.provider}
    if failure is None:
        log.warning("missed texts are fetched again", **account_ids)
        return
    bug = None if isinstance(failure, ListFailure) else failure
    log.warning("missed texts cannot be fetched", error=_describe_failure(failure), exc_info=bug, **account_ids)


def _describe_failure(failure: Exception) -> str:
    """The cause in plain words, without addresses."""
    return str(failure) if isinstance(failure, ListFailure) else type(failure).__name__


def _get_min_backoff(failure: Exception) -> timedelta:
    """The shortest wait before the next try. A refusal lasts until somebody changes something, here
    or at the carrier; a busy or broken carrier may work again in a moment."""
    if not isinstance(failure, ListUnreadable) or failure.response.is_success:
        return timedelta(0)
    status = failure.response.status_code
    if 400 <= status < 500 and status not in TRANSIENT_STATUSES:
        return MAX_BACKOFF
    return timedelta(seconds=read_retry_after(failure.response.headers, datetime.now(UTC)) or 0)


def _sort_opt_outs_first(texts: list[InboundText]) -> list[InboundText]:
    """Keeps the order, but puts the texts of phones that sent STOP before all others."""
    stopped_phones = {text.sender for text in texts if text.judgment.word == "stop"}
    return sorted(texts, key=lambda text: text.sender not in stopped_phones)


def _get_habits(provider: Provider) -> Habits:
    return Habits(provider.ANSWERED_WORDS, provider.YES_RESTORES)
