"""Prices of texts that carriers tell only in their record: it is read some times a day, one account at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.access.sealing import Seal, Unsealable
from app.calls import carriers
from app.calls.carriers import ListFailure
from app.providers import PRICE_READERS
from app.store import prices
from app.store.engine import Database
from app.store.prices import ClaimedPriceFetch, TextPrice
from app.wire.client import Wire

FIRST_WAIT, WAIT = timedelta(hours=1), timedelta(hours=6)
LOOKBACK = timedelta(days=1)
"""A price may come so long after its text."""
LEASE = timedelta(minutes=5)
"""Renewed with each page."""
log = structlog.get_logger("prices")


class PriceFetcher:
    """Fetches prices, of one account at a time."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

    async def fetch_due(self, must_stop: Callable[[], bool]) -> bool:
        """Fetches the prices of the account that has been due longest; whether there was one. Once `must_stop`
        says so, it ends after a page, and the account is left for another worker."""
        async with self._database.system_tx() as tx:
            fetch = await prices.claim_fetch(tx, PRICE_READERS, FIRST_WAIT, LEASE)
        if fetch is None:
            return False
        try:
            await self._fetch(fetch, must_stop)
        except (ListFailure, Unsealable) as error:
            log.warning("prices cannot be fetched", account_id=fetch.account_id, error=str(error))
            await self._postpone(fetch, WAIT)
        return True

    async def _fetch(self, fetch: ClaimedPriceFetch, must_stop: Callable[[], bool]) -> None:
        account = self._seal.open_account(fetch)
        next_page: str | None = None
        async for page in carriers.read_prices(self._wire, account, fetch.since - LOOKBACK):
            rows = [TextPrice(text.provider_message_id, text.price.amount, text.price.currency) for text in page.texts]
            async with self._database.tenant_tx(fetch.tenant_id, plan_now=True) as tx:
                await prices.record_prices(tx, fetch.tenant_id, fetch.account_id, rows)
                await prices.postpone_fetch(tx, fetch, LEASE)
            next_page = page.next_page
            if next_page is not None and must_stop():
                return await self._postpone(fetch, timedelta())
        if next_page is not None:
            log.warning("prices are not fetched to the end of the list", account_id=fetch.account_id)
        await self._postpone(fetch, WAIT, fetch.now if next_page is None else None)

    async def _postpone(self, fetch: ClaimedPriceFetch, wait: timedelta, since: datetime | None = None) -> None:
        async with self._database.tenant_tx(fetch.tenant_id) as tx:
            await prices.postpone_fetch(tx, fetch, wait, since)
