"""What only accounts with providers need; `store.directory` has the rest. Credentials are stored sealed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.store import core
from app.store.engine import ReadTx, Tx
from app.store.schema import ProviderAccount

FORMER_CREDENTIALS_LIFE = timedelta(hours=24)
"""For this long after a change, the carrier may still sign with what was replaced."""
MAX_FORMER_CREDENTIALS = 5
GET_BY_ID_SQL = "SELECT * FROM provider_accounts WHERE account_id = $1"


async def get_by_id(read: ReadTx, account_id: str) -> ProviderAccount | None:
    """An account of any tenant. Webhooks use it to find the tenant and the secret."""
    return await core.fetch_first(read, ProviderAccount, GET_BY_ID_SQL, account_id)


@dataclass(frozen=True, slots=True)
class WebhookAccount:
    """An account whose carrier posts to us, and the sealed credentials that were replaced lately."""

    tenant_id: str
    account_id: str
    provider: str
    credentials: bytes
    base_url: str | None
    former_credentials: list[bytes]


GET_WEBHOOK_ACCOUNT_SQL = f"""
SELECT p.tenant_id, p.account_id, p.provider, p.credentials, p.base_url, ARRAY(
    SELECT f.credentials FROM former_credentials f
    WHERE f.tenant_id = p.tenant_id AND f.account_id = p.account_id AND f.replaced_at > clock_timestamp() - $2::interval
    ORDER BY f.replaced_at DESC LIMIT {MAX_FORMER_CREDENTIALS}) AS former_credentials
FROM provider_accounts p WHERE p.account_id = $1
"""


async def get_for_webhook(read: ReadTx, account_id: str) -> WebhookAccount | None:
    """An account of any tenant, found by the id in the address of its webhooks."""
    return await read.fetch_one(WebhookAccount, GET_WEBHOOK_ACCOUNT_SQL, account_id, FORMER_CREDENTIALS_LIFE)


KEEP_CREDENTIALS_SQL = """
INSERT INTO former_credentials (tenant_id, account_id, credentials)
SELECT tenant_id, account_id, credentials FROM provider_accounts WHERE tenant_id = $1 AND account_id = $2
"""


async def keep_credentials(tx: Tx, tenant_id: str, account_id: str) -> None:
    """Keeps the present credentials, which are about to be replaced, among the former ones."""
    await tx.execute(KEEP_CREDENTIALS_SQL, tenant_id, account_id)


LOCK_ACCOUNTS_SQL = """
SELECT * FROM provider_accounts WHERE tenant_id = $1 AND provider = $2
ORDER BY account_id FOR UPDATE
"""
LOCK_TENANT_SQL = "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock_all(tx: Tx, tenant_id: str, provider: str) -> list[ProviderAccount]:
    """Locks the tenant, then its accounts with a provider; returns the accounts. The tenant's lock
    is needed because two first accounts may be added at once."""
    await tx.fetch_value(LOCK_TENANT_SQL, tenant_id)
    return await core.fetch_all(tx, ProviderAccount, LOCK_ACCOUNTS_SQL, tenant_id, provider)


UNSET_DEFAULT_SQL = """
UPDATE provider_accounts SET is_default = false, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND provider = $2 AND is_default AND account_id <> $3
"""


async def unset_default(tx: Tx, tenant_id: str, provider: str, except_id: str) -> None:
    """Leaves `except_id` as the only account that may be the provider's default."""
    await tx.execute(UNSET_DEFAULT_SQL, tenant_id, provider, except_id)


LIST_ACTIVE_SQL = "SELECT * FROM provider_accounts WHERE active ORDER BY tenant_id, account_id"


async def list_active(tx: Tx) -> list[ProviderAccount]:
    """The active accounts of all tenants."""
    return await core.fetch_all(tx, ProviderAccount, LIST_ACTIVE_SQL)


HAS_UNSENT_TEXTS_SQL = "SELECT 1 FROM outbox WHERE tenant_id = $1 AND account_id = $2 LIMIT 1"


async def has_unsent_texts(read: ReadTx, tenant_id: str, account_id: str) -> bool:
    """Whether texts are queued on the account."""
    return await read.fetch_value(HAS_UNSENT_TEXTS_SQL, tenant_id, account_id) is not None


NOTICE_ABSENCE_SQL = """
UPDATE provider_accounts SET missing_since = coalesce(missing_since, $1),
    noticed_at = clock_timestamp() WHERE active
"""


async def notice_absence(tx: Tx, since: datetime) -> None:
    """No web process took webhooks since then: marks all active accounts as missing texts."""
    await tx.execute(NOTICE_ABSENCE_SQL, since)


@dataclass(frozen=True, slots=True)
class ClaimedFetch:
    """An account whose missed texts are fetched now. `fetch_at` is the end of the claim."""

    tenant_id: str
    account_id: str
    provider: str
    credentials: bytes
    base_url: str | None
    missing_since: datetime
    noticed_at: datetime | None
    fetch_at: datetime
    fetch_failures: int
    failing_since: datetime | None


CLAIM_FETCHES_SQL = """
UPDATE provider_accounts p SET fetch_at = clock_timestamp() + $2::interval
FROM (
    SELECT tenant_id, account_id FROM provider_accounts
    WHERE missing_since IS NOT NULL AND active
      AND (fetch_at IS NULL OR fetch_at <= clock_timestamp())
    ORDER BY fetch_at NULLS FIRST, noticed_at, account_id LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
) due
WHERE p.tenant_id = due.tenant_id AND p.account_id = due.account_id
RETURNING p.tenant_id, p.account_id, p.provider, p.credentials, p.base_url, p.missing_since, p.noticed_at,
    p.fetch_at, p.fetch_failures, p.failing_since
"""


async def claim_fetches(tx: Tx, limit: int, lease: timedelta) -> list[ClaimedFetch]:
    """Claims up to `limit` accounts whose missed texts may be fetched now: first those that were not
    tried yet, then the longest waiting. The claim ends at `fetch_at`, which is also its token:
    `hold_fetch`, `record_fetch` and `record_failed_fetch` must name it."""
    return await tx.fetch(ClaimedFetch, CLAIM_FETCHES_SQL, limit, lease)


HOLD_FETCH_SQL = """
UPDATE provider_accounts SET fetch_at = clock_timestamp() + $4::interval
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING fetch_at
"""


async def hold_fetch(tx: Tx, tenant_id: str, account_id: str, lease: datetime, longer: timedelta) -> datetime | None:
    """Extends the lease; returns the new one. None: the lease was lost."""
    new_lease: datetime | None = await tx.fetch_value(HOLD_FETCH_SQL, tenant_id, account_id, lease, longer)
    return new_lease


SETTLE_FETCH_SQL = """
UPDATE provider_accounts
SET missing_since = CASE WHEN noticed_at IS DISTINCT FROM $4 THEN missing_since END,
    noticed_at = CASE WHEN noticed_at IS DISTINCT FROM $4 THEN noticed_at END,
    fetch_at = NULL, fetch_failures = 0, fetch_error = NULL, failing_since = NULL
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING account_id
"""


async def record_fetch(tx: Tx, tenant_id: str, account_id: str, lease: datetime, noticed_at: datetime | None) -> bool:
    """Settles a fetch that succeeded. If another absence was noticed after `noticed_at`, the account
    is fetched again. Returns False if the lease was lost."""
    settled_id = await tx.fetch_value(SETTLE_FETCH_SQL, tenant_id, account_id, lease, noticed_at)
    return settled_id is not None


SETTLE_FAILED_FETCH_SQL = """
UPDATE provider_accounts
SET fetch_at = clock_timestamp() + $4::interval, fetch_failures = fetch_failures + 1,
    fetch_error = $5, failing_since = coalesce(failing_since, clock_timestamp())
WHERE tenant_id = $1 AND account_id = $2 AND fetch_at = $3
RETURNING account_id
"""


async def record_failed_fetch(
    tx: Tx, tenant_id: str, account_id: str, lease: datetime, wait: timedelta, why: str
) -> bool:
    """Settles a fetch that failed; it is tried again after `wait`. Returns False if the lease was
    lost."""
    settled_id = await tx.fetch_value(SETTLE_FAILED_FETCH_SQL, tenant_id, account_id, lease, wait, why)
    return settled_id is not None


NOTICE_REFUSALS_SQL = """
UPDATE provider_accounts SET missing_since = least(missing_since, $2),
    -- Another value, so that a fetch that runs now is done again; and an old one, because the
    -- numbers need not wait: anybody can send webhooks with wrong signatures.
    noticed_at = greatest(noticed_at + interval '1 microsecond', clock_timestamp() - interval '1 hour'),
    fetch_at = CASE WHEN missing_since IS NULL THEN clock_timestamp() + $3::interval ELSE fetch_at END
WHERE account_id = $1 AND active
"""


async def notice_refusals(tx: Tx, account_id: str, since: datetime, wait: timedelta) -> None:
    """Webhooks of the account were refused since then, and may have been the carrier's: marks it as
    missing texts, which are fetched after `wait`."""
    await tx.execute(NOTICE_REFUSALS_SQL, account_id, since, wait)


TRY_NOW_SQL = """
UPDATE provider_accounts SET fetch_at = NULL, fetch_failures = 0,
    paused_at = NULL, paused_reason = NULL, resumes_at = NULL, pauses = 0, judged_at = clock_timestamp()
WHERE tenant_id = $1 AND account_id = $2
RETURNING *
"""


async def try_now(tx: Tx, tenant_id: str, account_id: str) -> ProviderAccount:
    """Makes the account due for a fetch now, releases its brake and forgets earlier failures; returns
    its row."""
    account = await core.fetch_first(tx, ProviderAccount, TRY_NOW_SQL, tenant_id, account_id)
    assert account is not None
    return account


@dataclass(frozen=True, slots=True)
class FailingAccount:
    """An account whose last fetch of missed texts failed, and why."""

    provider: str
    account_id: str
    fetch_error: str | None
    missing_since: datetime


LIST_FAILING_SQL = """
SELECT provider, account_id, fetch_error, missing_since FROM provider_accounts
WHERE missing_since IS NOT NULL AND active AND failing_since IS NOT NULL
ORDER BY failing_since, account_id
"""


async def list_failing(tx: Tx) -> list[FailingAccount]:
    """The failing accounts of all tenants."""
    return await tx.fetch(FailingAccount, LIST_FAILING_SQL)
