"""Prices of texts that carriers tell only in their record: it is read some times a day, one account at a time."""

from datetime import timedelta

import structlog

from app.access.sealing import Seal, Unsealable
from app.calls import carriers
from app.calls.carriers import ListFailure
from app.providers import PRICE_READERS
from app.store import prices
from app.store.engine import Database
from app.store.prices import ClaimedPriceFetch, TextPrice
from app.wire.client import Wire

TEXTS_PER_COMMIT = 500
FIRST_WAIT, WAIT = timedelta(hours=1), timedelta(hours=6)
LOOKBACK = timedelta(days=1)
"""A price may come so long after its text."""
LEASE = timedelta(minutes=20)
log = structlog.get_logger("prices")


class PriceFetcher:
    """Fetches prices, of one account at a time."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal

    async def fetch_due(self) -> bool:
        """Fetches the prices of the account that has been due longest; whether there was one."""
        async with self._database.system_tx() as tx:
            fetch = await prices.claim_fetch(tx, PRICE_READERS, FIRST_WAIT, LEASE)
        if fetch is None:
            return False
        try:
            await self._fetch(fetch)
        except (ListFailure, Unsealable) as error:
            log.warning("prices cannot be fetched", account_id=fetch.account_id, error=str(error))
            async with self._database.tenant_tx(fetch.tenant_id) as tx:
                await prices.postpone_fetch(tx, fetch, WAIT)
        return True

    async def _fetch(self, fetch: ClaimedPriceFetch) -> None:
        account = self._seal.open_account(fetch)
        texts = await carriers.list_prices(self._wire, account, fetch.since - LOOKBACK)
        rows = [TextPrice(text.provider_message_id, text.price.amount, text.price.currency) for text in texts]
        for begin in range(0, len(rows), TEXTS_PER_COMMIT):
            async with self._database.tenant_tx(fetch.tenant_id, plan_now=True) as tx:
                batch = rows[begin : begin + TEXTS_PER_COMMIT]
                await prices.record_prices(tx, fetch.tenant_id, fetch.account_id, batch)
        async with self._database.tenant_tx(fetch.tenant_id) as tx:
            await prices.postpone_fetch(tx, fetch, WAIT, fetch.now)
