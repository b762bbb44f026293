"""`doctor`: checks the installation. Each finding is one line in plain words."""

import asyncio
import time
from collections.abc import AsyncIterator

from app.access import reseal
from app.access.sealing import Unsealable
from app.calls import carriers
from app.domain.problems import Problem, Unavailable
from app.operations import servers
from app.operations.servers import Finding, Severity
from app.resources import Resources, open_resources
from app.settings import ConfigurationError, Settings
from app.store import accounts, brakes, contact_checks, notices, numbers, owed, readiness, turns, webhook_endpoints
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.owed import OpenTransaction
from app.store.schema import ProviderAccount
from app.store.webhook_queue import FAILURES_TO_BREAK

MAX_CLOCK_SKEW_SECONDS, MAX_TEXT_DELAY_SECONDS, MAX_TURN_DELAY_SECONDS = 1.0, 60.0, 30.0
"""Above these, clock skew and late texts and turns are reported."""
MAX_IMPORT_DELAY_SECONDS = 60.0
MAX_EVENT_DELAY_SECONDS = 600.0
"""Longer than a rewind to an earlier day usually takes."""
OPEN_TRANSACTION_SECONDS = 1.0
MAX_PARALLEL_VENDORS = 8


async def examine_all(settings: Settings, ask_vendors: bool) -> AsyncIterator[Finding]:
    """All findings, in the order in which they should be repaired."""
    for finding in _check_configuration(settings):
        yield finding
    assert settings.redis_url
    yield await servers.check_redis(settings.redis_url)
    try:
        async with open_resources(settings) as resources:
            async for finding in _check_database(resources):
                yield finding
            if ask_vendors:
                for finding in await _check_vendors(resources):
                    yield finding
    except ConfigurationError as error:
        yield Finding("BAD", "migrations", str(error))
    except servers.LOST_STATEMENT_ERRORS:
        yield servers.OLD_POOLER
    except Unavailable:
        yield Finding("BAD", "database", "DATABASE_URL does not answer")
    except Unsealable:
        yield Finding("BAD", "secrets", "none of SECRET_KEYS opens the sealed secrets")


def _check_configuration(settings: Settings) -> list[Finding]:
    if settings.is_production:
        return [Finding("ok", "configuration", f"production, reached at {settings.base_url}")]
    message = f"development, reached at {settings.base_url}; ENVIRONMENT=production checks more"
    return [Finding("note", "configuration", message)]


async def _check_database(resources: Resources) -> AsyncIterator[Finding]:
    async with resources.database.system_tx() as tx:
        version = await readiness.get_server_version(tx)
        started_at = time.time()
        is_pooled, keeps_settings = await tx.is_pooled(), await readiness.keeps_settings(tx)
        skew = await turns.get_database_time(tx) - (started_at + time.time()) / 2
    if not resources.database.two_roles:
        message = f"PostgreSQL {version} with only one role, so row-level security is not in force"
        message += "; with CREATEROLE the first migration makes the roles app_tenant and app_system"
        yield Finding("note", "database", message)
    elif int(version.split(".")[0]) < 15:
        yield Finding("BAD", "database", f"PostgreSQL {version} is too old; 15 or newer is needed")
    else:
        yield Finding("ok", "database", f"PostgreSQL {version} with two roles")
    if is_pooled:
        yield await servers.check_pooler(str(resources.settings.database_url), keeps_settings)
    try:
        async with resources.database.system_tx() as tx:
            await readiness.is_migrated(tx)
    except (Unavailable, *DATABASE_AWAY_ERRORS) as error:
        yield Finding("BAD", "database", f"cannot write ({type(error).__name__})")
        return
    yield Finding("ok", "migrations", "at this build's revision or newer")
    async with resources.database.system_tx() as tx:
        unguarded_tables = await readiness.list_unguarded_tables(tx, resources.database.two_roles)
    if unguarded_tables:
        message = f"row-level security is missing or cut short on {', '.join(unguarded_tables)}: was the database"
        yield Finding("BAD", "database", f"{message} restored without its roles? Restore it again, the roles first")
    severity: Severity = "ok" if abs(skew) < MAX_CLOCK_SKEW_SECONDS else "BAD"
    yield Finding(
        severity,
        "clock",
        f"{abs(skew):.2f} s {'behind' if skew > 0 else 'ahead of'} the "
        "database's" + ("; set both by NTP" if severity == "BAD" else ""),
    )
    if resources.settings.database_replica_url:
        yield await servers.check_standby(resources)
    yield await _check_secrets(resources)
    async for finding in _check_backlog(resources):
        yield finding
    for finding in await _check_imports(resources):
        yield finding
    async with resources.database.system_tx() as tx:
        failing_accounts = await accounts.list_failing(tx)
        paused_accounts = await brakes.list_paused_accounts(tx)
        standing_endpoints = await webhook_endpoints.list_standing(tx, FAILURES_TO_BREAK)
        silent_webhooks = await contact_checks.list_silent(tx)
        untold_people = await notices.count_untold(tx, () if resources.mail else ("email",))
    for paused_account in paused_accounts:
        message = f"sends nothing since {paused_account.paused_at:%Y-%m-%d %H:%M} UTC: {paused_account.paused_reason}"
        yield Finding("BAD", f"{paused_account.provider} {paused_account.account_id}", message)
    for endpoint in standing_endpoints:
        message = f"gets no events: {endpoint.paused_reason or 'it was paused'}"
        if not endpoint.is_paused:
            message = f"has taken no event since {endpoint.failing_since:%Y-%m-%d %H:%M} UTC"
        yield Finding("note", f"webhook endpoint {endpoint.endpoint_id}", message)
    for silent in silent_webhooks:
        message = f"does not say whether {silent.count} phones may be contacted, whose texts wait: {silent.failure}"
        yield Finding("note", f"contactCheckUrl of {silent.tenant_id}", message)
    for people in untold_people:
        message = f"{people.count} people chose to be told by it, and SMTP_URL is not set"
        if people.failure:
            message = f"{people.count} people are not told since {people.since:%Y-%m-%d %H:%M} UTC: {people.failure}"
        yield Finding("note", f"notices by {people.way}", message)
    for row in failing_accounts:
        message = f"texts missed since {row.missing_since:%Y-%m-%d %H:%M} UTC cannot be fetched"
        message += f" ({row.fetch_error}); a STOP may be among them"
        yield Finding("BAD", f"{row.provider} {row.account_id}", message)


async def _check_secrets(resources: Resources) -> Finding:
    counts = await reseal.count_sealed(resources.database, resources.seal)
    if counts.unreadable:
        message = f"none of SECRET_KEYS opens {counts.unreadable} of them: add the old key again"
        return Finding("BAD", "secrets", message)
    if counts.older:
        return Finding("note", "secrets", f"{counts.older} are sealed with an older key: run `reseal`")
    return Finding("ok", "secrets", f"{counts.newest}, all sealed with the newest key")


async def _check_backlog(resources: Resources) -> AsyncIterator[Finding]:
    async with resources.database.system_tx() as tx:
        texts, unfinished_turns, unknown = (
            await owed.count_texts(tx),
            await owed.count_turns(tx),
            await owed.count_unknown(tx),
        )
        events, seconds_behind = await owed.count_events(tx), await owed.get_seconds_behind(tx)
    late_messages = [
        f"{row.count} texts by {row.provider} are {row.state}, the oldest is {row.late:.0f} s late"
        for row in texts
        if row.late > MAX_TEXT_DELAY_SECONDS
    ]
    late_messages += [
        f"{row.count} turns are {row.state}, the oldest is {row.late:.0f} s late"
        for row in unfinished_turns
        if row.late > MAX_TURN_DELAY_SECONDS
    ]
    if (late := max(events.late, seconds_behind)) > MAX_EVENT_DELAY_SECONDS:
        late_messages.append(f"events for webhook endpoints are {late:.0f} s late")
        if open_transaction := await _find_open_transaction(resources):
            owner = f"process {open_transaction.pid} ({open_transaction.application or 'without a name'})"
            message = (
                f"{owner if open_transaction.pid else 'a prepared one'} is open, and no event leaves before it ends"
            )
            yield Finding("BAD", "transactions", message)
    for message in late_messages:
        yield Finding("BAD", "owed", f"{message}: is a worker running?")
    if not late_messages:
        count = sum(row.count for row in texts) + sum(row.count for row in unfinished_turns)
        yield Finding("ok", "owed", f"{count} texts and turns are owed, none is late, and no event")
    for row in unknown:
        message = f"{row.count} texts by {row.provider} have an unknown outcome"
        yield Finding("note", "owed", message)


async def _find_open_transaction(resources: Resources) -> OpenTransaction | None:
    """The oldest transaction that writes, if it stays open."""
    async with resources.database.system_tx() as tx:
        oldest_transaction = await owed.find_oldest_transaction(tx)
    if oldest_transaction is None:
        return None
    await asyncio.sleep(OPEN_TRANSACTION_SECONDS)
    async with resources.database.system_tx() as tx:
        return oldest_transaction if await owed.find_oldest_transaction(tx) == oldest_transaction else None


async def _check_imports(resources: Resources) -> list[Finding]:
    async with resources.database.system_tx() as tx:
        unfinished_imports = await owed.count_imports(tx)
    is_one_running = any(row.state == "running" for row in unfinished_imports)
    return [
        Finding("note", "imports", f"{row.count} are waiting while another is running")
        if row.state == "waiting" and is_one_running
        else Finding(
            "BAD", "imports", f"{row.count} are {row.state}, the oldest for {row.late:.0f} s: is a worker running?"
        )
        for row in unfinished_imports
        if row.late > MAX_IMPORT_DELAY_SECONDS
    ]


async def _check_vendors(resources: Resources) -> list[Finding]:
    async with resources.database.system_tx() as tx:
        active_accounts = await accounts.list_active(tx)
    semaphore = asyncio.Semaphore(MAX_PARALLEL_VENDORS)

    async def check_account(row: ProviderAccount) -> list[Finding]:
        async with semaphore:
            return await _check_webhooks(resources, row)

    checks = [check_account(row) for row in active_accounts]
    return [finding for vendor_findings in await asyncio.gather(*checks) for finding in vendor_findings]


async def _check_webhooks(resources: Resources, row: ProviderAccount) -> list[Finding]:
    topic = f"{row.provider} {row.account_id}"
    async with resources.database.read_tx(row.tenant_id) as read:
        own_numbers = await numbers.list_of_account(read, row.tenant_id, row.account_id)
    account, base_url = resources.seal.open_account(row), resources.settings.base_url
    try:
        faults = await carriers.find_webhook_faults(resources.wire, account, base_url, own_numbers)
    except Problem as problem:
        return [Finding("note", topic, f"cannot be checked: {' '.join([problem.message, *problem.details])}")]
    if not faults:
        return [Finding("ok", topic, "posts inbound texts to this service")]
    return [Finding("BAD", topic, fault) for fault in faults]
