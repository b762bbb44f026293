"""Texts that no webhook brought: what carriers kept while we were away, and what is left of
texts whose other parts never came."""

from datetime import datetime

import httpx
import structlog

from app.access.sealing import Seal
from app.commands import parts, receive
from app.commands.receive import Post
from app.domain import optout
from app.domain.carriage import Account, Habits, InboundText
from app.providers import REGISTRY, Provider
from app.store import accounts
from app.store.engine import Database, Row
from app.wire.client import Lost, NotSent, Wire

ACCOUNTS, PARTS, PAGES, TOGETHER = 20, 100, 20, 100
DEADLINE = 10.0
LONGEST_PAGE = 8 << 20
log = structlog.get_logger("catch_up")


class Unreadable(Exception):
    """The carrier's record could not be read to its end; it is asked again."""


class CatchUp:
    """What one worker fetches."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

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

    async def missing_texts(self) -> None:
        """Fetches what carriers could not deliver while nobody was here."""
        async with self._database.system() as tx:
            rows = await accounts.missing_texts(tx, ACCOUNTS)
        for row in rows:
            try:
                await self._fetch(row)
            except (Lost, NotSent, Unreadable, httpx.InvalidURL) as error:
                log.warning("missed texts could not be fetched", account_id=row["account_id"],
                            error=type(error).__name__)  # fmt: skip

    async def _fetch(self, row: Row) -> None:
        provider, since = REGISTRY[row["provider"]], row["missing_since"]
        account = self._seal.open_account(row)
        texts = _opt_outs_first(await self._listed(provider, account, since))
        for i in range(0, len(texts), TOGETHER):
            async with self._database.system() as tx:
                post = Post(account, texts[i : i + TOGETHER], _habits(provider), late=True)
                await receive.texts(tx, [post])
        async with self._database.system() as tx:
            await accounts.caught_up(tx, account.tenant_id, account.account_id, since)

    async def _listed(
        self, provider: Provider, account: Account, since: datetime
    ) -> list[InboundText]:
        """All that came since, oldest first; [] where the carrier keeps no record."""
        texts: list[InboundText] = []
        page: str | None = None
        for _ in range(PAGES):
            request = provider.history(account, since, page)
            if request is None:
                break
            response = await self._wire.exchange(request, DEADLINE, cap=LONGEST_PAGE)
            missed = provider.missed(response, since)
            if missed is None:
                raise Unreadable
            texts += missed.texts
            page = missed.next_page
            if page is None:
                break
        return sorted(texts, key=lambda text: text.sent_at or since)


def _opt_outs_first(texts: list[InboundText]) -> list[InboundText]:
    """In order, but those of phones that said STOP before all others."""
    stopped = {text.sender for text in texts if optout.judge(text.text).word == "stop"}
    return sorted(texts, key=lambda text: text.sender not in stopped)


def _habits(provider: Provider) -> Habits:
    return Habits(provider.ANSWERS, provider.YES_RESTORES)
