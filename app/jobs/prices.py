"""Prices of texts that carriers tell only in their record: it is read some times a day, one account at a time."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from app.access.sealing import Seal, Unsealable
from app.calls import carriers
from app.calls.carriers import ListFailure, ListUnreadable
from app.providers import PRICE_READERS
from app.store import prices
from app.store.engine import Database
from app.store.prices import ClaimedPriceFetch, TextPrice
from app.wire.client import Wire

FIRST_WAIT, WAIT = timedelta(hours=1), timedelta(hours=6)
LOOKBACK = timedelta(days=1)
"""A price may come so long after its text."""
PAUSE = timedelta(minutes=10)
"""A long list goes on after it, so that other accounts have their turn."""
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
            await self._postpone(fetch, WAIT, begins_anew=isinstance(error, ListUnreadable) and error.is_refusal)
        return True

    async def _fetch(self, fetch: ClaimedPriceFetch, must_stop: Callable[[], bool]) -> None:
        account, next_page = self._seal.open_account(fetch), fetch.next_page
        async for page in carriers.read_prices(self._wire, account, fetch.since - LOOKBACK, fetch.next_page):
            rows = [TextPrice(text.provider_message_id, text.price.amount, text.price.currency) for text in page.texts]
            next_page = page.next_page
            async with self._database.tenant_tx(fetch.tenant_id, plan_now=True) as tx:
                await prices.record_prices(tx, fetch.tenant_id, fetch.account_id, rows)
                if next_page is None:
                    return await prices.end_fetch(tx, fetch, WAIT, fetch.begun_at)
                await prices.record_place(tx, fetch, LEASE, next_page)
            if must_stop():
                return await self._postpone(fetch, timedelta())
        # Where no page was read, what the carrier had named is no page of its list.
        await self._postpone(fetch, PAUSE, begins_anew=next_page == fetch.next_page)

    async def _postpone(self, fetch: ClaimedPriceFetch, wait: timedelta, *, begins_anew: bool = False) -> None:
        async with self._database.tenant_tx(fetch.tenant_id) as tx:
            if begins_anew:
                await prices.end_fetch(tx, fetch, wait, fetch.since)
            else:
                await prices.postpone_fetch(tx, fetch, wait)
