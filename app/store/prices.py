"""Prices of texts, from the records of carriers that tell them nowhere else."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app.store.engine import Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class ClaimedPriceFetch:
    """An account whose prices are fetched now."""

    tenant_id: str
    account_id: str
    provider: str
    credentials: bytes
    base_url: str | None
    since: datetime
    next_page: str | None
    """Where the list goes on; None: at its beginning."""
    begun_at: datetime
    """When its beginning was read."""


ADD_FETCHES_SQL = """
INSERT INTO price_fetches (tenant_id, account_id, since, due_at)
SELECT p.tenant_id, p.account_id, clock_timestamp(), clock_timestamp() + $2::interval
FROM provider_accounts p
WHERE p.provider = ANY ($1) AND p.active AND NOT EXISTS (
    SELECT FROM price_fetches f WHERE f.tenant_id = p.tenant_id AND f.account_id = p.account_id)
ON CONFLICT DO NOTHING
"""
CLAIM_FETCH_SQL = """
UPDATE price_fetches f SET due_at = clock_timestamp() + $1::interval
FROM (
    SELECT p.tenant_id, p.account_id, p.provider, p.credentials, p.base_url
    FROM price_fetches f JOIN provider_accounts p USING (tenant_id, account_id)
    WHERE f.due_at <= clock_timestamp() AND p.active AND p.paused_at IS NULL
    ORDER BY f.due_at LIMIT 1 FOR UPDATE OF f SKIP LOCKED
) p
WHERE f.tenant_id = p.tenant_id AND f.account_id = p.account_id
RETURNING p.tenant_id, p.account_id, p.provider, p.credentials, p.base_url, f.since, f.next_page,
          coalesce(f.begun_at, clock_timestamp()) AS begun_at
"""


async def claim_fetch(
    tx: Tx, providers: Collection[str], first_wait: timedelta, lasts: timedelta
) -> ClaimedPriceFetch | None:
    """Takes the account that has been due longest, for a while. Accounts that are new are due after `first_wait`."""
    await tx.execute(ADD_FETCHES_SQL, list(providers), first_wait)
    return await tx.fetch_one(ClaimedPriceFetch, CLAIM_FETCH_SQL, lasts)


POSTPONE_FETCH_SQL = """
UPDATE price_fetches SET due_at = clock_timestamp() + $3::interval
WHERE tenant_id = $1 AND account_id = $2
"""
RECORD_PLACE_SQL = """
UPDATE price_fetches SET due_at = clock_timestamp() + $3::interval, next_page = $4, begun_at = $5, since = $6
WHERE tenant_id = $1 AND account_id = $2
"""


async def postpone_fetch(tx: Tx, fetch: ClaimedPriceFetch, wait: timedelta) -> None:
    """The account is due again after `wait`, and its list goes on where it stood."""
    await tx.execute(POSTPONE_FETCH_SQL, fetch.tenant_id, fetch.account_id, wait)


async def record_place(tx: Tx, fetch: ClaimedPriceFetch, wait: timedelta, next_page: str) -> None:
    """As `postpone_fetch`; its list goes on with `next_page`."""
    place = next_page, fetch.begun_at, fetch.since
    await tx.execute(RECORD_PLACE_SQL, fetch.tenant_id, fetch.account_id, wait, *place)


async def end_fetch(tx: Tx, fetch: ClaimedPriceFetch, wait: timedelta, since: datetime) -> None:
    """As `postpone_fetch`; its list is read from the beginning. `since`: older texts have their prices."""
    await tx.execute(RECORD_PLACE_SQL, fetch.tenant_id, fetch.account_id, wait, None, None, since)


@dataclass(frozen=True, slots=True)
class TextPrice:
    provider_message_id: str
    price: Decimal
    currency: str


RECORD_PRICES_SQL = f"""
UPDATE messages m SET price = a.price, currency = a.currency
FROM (
    SELECT a.price, a.currency, m.message_id FROM {unnest_sql(TextPrice, first=3)}
    JOIN messages m ON m.tenant_id = $1 AND m.account_id = $2 AND m.provider_message_id = a.provider_message_id
    WHERE m.role = 'agent' AND (m.price, m.currency) IS DISTINCT FROM (a.price, a.currency)
    ORDER BY m.message_id FOR NO KEY UPDATE OF m SKIP LOCKED  -- they are told once more
) a
WHERE m.tenant_id = $1 AND m.message_id = a.message_id
"""


async def record_prices(tx: Tx, tenant_id: str, account_id: str, prices: Sequence[TextPrice]) -> None:
    """Of texts of the account that are ours."""
    if prices:
        await tx.execute(RECORD_PRICES_SQL, tenant_id, account_id, *columns_of(prices))
