"""What operators run by hand, as processes: doctor, reseal, a worker that drains."""

import asyncio
import base64
import json
import os
import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.operations.migrations import migrate_to_head
from app.resources import Resources
from app.settings import Settings
from tests.backend import Backend, backend
from tests.flows.test_notices import FAILED_TURN_SQL, Hook, choose, hook, sam_id
from tests.makers import Tenant
from tests.test_cli import ran
from tests.world import World, agent, carrier, idle_world

__all__ = ["agent", "backend", "carrier", "hook", "idle_world", "sam_id"]
LOOPBACK = {"ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}


async def doctor(configuration: Settings, *more: str, **env: str) -> tuple[int | None, str]:
    status, out, _ = await ran(configuration, "doctor", *more, **LOOPBACK, **env)
    return status, out


def keys(*keys: bytes) -> dict[str, str]:
    return {"SECRET_KEYS": ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)}


async def test_the_doctor_finds_a_sound_installation_sound(configuration: Settings, idle_world: World) -> None:
    base = {"PUBLIC_BASE_URL": str(configuration.base_url)}
    status, out = await doctor(configuration, "--offline", **base)
    assert status == 0
    about = [line.split()[:2] for line in out.splitlines()]
    assert about == [
        ["note", "configuration:"], ["ok", "redis:"], ["ok", "database:"], ["ok", "migrations:"],
        ["ok", "clock:"], ["ok", "secrets:"], ["ok", "owed:"],
    ]  # fmt: skip


async def test_the_doctor_asks_each_carrier_where_it_posts_our_texts(
    configuration: Settings, idle_world: World
) -> None:
    account = idle_world.account["accountId"]
    base = idle_world.account["webhooks"]["inbound"].split("/webhooks/")[0]
    idle_world.carrier.known.inbound_urls[idle_world.ours] = "https://elsewhere.example.com/"
    status, out = await doctor(configuration, PUBLIC_BASE_URL=base)
    assert status == 1
    assert f"BAD   simulator {account}: Texts to" in out
    assert "go to another address" in out
    await idle_world.tenant.account("vonage")
    idle_world.carrier.known.inbound_urls[idle_world.ours] = f"{base}/webhooks/simulator/{account}/inbound"
    _, out = await doctor(configuration, PUBLIC_BASE_URL=base)
    assert f"ok    simulator {account}: posts inbound texts to this service" in out
    assert "note  vonage acct_" in out


async def test_the_doctor_tells_of_texts_that_nobody_carries(
    configuration: Settings, idle_world: World, resources: Resources
) -> None:
    await idle_world.send()
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp() - interval '5 minutes'")
    status, out = await doctor(configuration, "--offline")
    assert status == 1
    assert "BAD   owed: 1 texts by simulator are queued, the oldest is 3" in out
    assert "is a worker running?" in out


ADD_IMPORT = """
INSERT INTO imports (tenant_id, import_id, kind, file_name, size, columns, actor, state, lease, leased_until)
VALUES ($1, $2, 'leads', 'a.csv', 1, '[]', 'service', $3, $4, clock_timestamp() + $5)
"""


async def test_the_doctor_tells_of_imports_that_wait_or_stand(
    configuration: Settings, tenant: Tenant, resources: Resources
) -> None:
    async def examine(*rows: tuple[str, str, str | None, int]) -> tuple[int | None, list[str]]:
        async with resources.database.system_tx() as tx:
            await tx.execute("DELETE FROM imports WHERE tenant_id = $1", tenant.tenant_id)
            for import_id, state, lease, seconds in rows:
                await tx.execute(ADD_IMPORT, tenant.tenant_id, import_id, state, lease, timedelta(seconds=seconds))
        status, out = await doctor(configuration, "--offline")
        return status, [line for line in out.splitlines() if "imports:" in line]

    running, new, old = ("imp_1", "importing", "a", 50), ("imp_2", "checking", None, 0), ("imp_3", "done", None, -900)
    assert await examine(running, new, old) == (0, [])
    waiting = ("imp_4", "importing", None, -300)
    assert await examine(running, waiting) == (0, ["note  imports: 1 are waiting while another is running"])
    status, [line] = await examine(waiting, old)
    assert status == 1
    assert line.startswith("BAD   imports: 1 are waiting, the oldest for 3")
    assert line.endswith(" s: is a worker running?")
    status, [line] = await examine(("imp_5", "checking", "dead", -90))
    assert (status, line.split(", ")[0]) == (1, "BAD   imports: 1 are standing")


async def test_the_doctor_tells_what_is_away_missing_or_old(configuration: Settings, resources: Resources) -> None:
    status, out = await doctor(configuration, "--offline", REDIS_URL="redis://127.0.0.1:1/0")
    assert (status, "BAD   redis: does not answer" in out) == (1, True)
    status, out = await doctor(configuration, "--offline", **keys(os.urandom(32)))
    assert (status, "BAD   secrets:" in out) == (1, True)
    away = "postgresql://nobody@127.0.0.1:1/none"
    status, out = await doctor(configuration, "--offline", DATABASE_URL=away)
    assert (status, "BAD   database: DATABASE_URL does not answer" in out) == (1, True)
    await set_version(resources, "0001")
    try:
        status, out = await doctor(configuration, "--offline")
    finally:
        await set_version(resources, None)
    assert (status, "run `migrate`" in out) == (1, True)


async def set_version(resources: Resources, version: str | None) -> None:
    """As a database that was not migrated would say; None: as it is."""
    from app.store import readiness

    async with resources.database.system_tx() as tx:
        await tx.fetch_value(readiness.BECOME_OWNER_SQL)
        await tx.execute("UPDATE alembic_version SET version_num = $1", version or readiness.head())


async def test_after_a_key_rotation_all_is_sealed_anew_and_the_old_key_can_go(
    configuration: Settings, tenant: Tenant
) -> None:
    await tenant.account("twilio")
    await tenant.agent()
    old, new = configuration.decode_sealing_keys()[0], os.urandom(32)
    both, swapped = keys(new, old), keys(old, new)
    _, out = await doctor(configuration, "--offline", **both)
    assert "note  secrets: 3 are sealed with an older key: run `reseal`" in out
    try:
        status, out, _ = await ran(configuration, "reseal", **both)
        assert (status, json.loads(out)) == (0, {"resealed": "3", "newest": "0", "lost": "0"})
        status, out = await doctor(configuration, "--offline", **keys(new))
        assert "ok    secrets: 3, all sealed with the newest key" in out
        assert status == 0
        status, out, _ = await ran(configuration, "reseal", **both)
        assert json.loads(out) == {"resealed": "0", "newest": "3", "lost": "0"}
    finally:
        assert (await ran(configuration, "reseal", **swapped))[0] == 0


async def test_the_doctor_tells_of_events_and_notices_that_do_not_arrive(
    configuration: Settings, idle_world: World, resources: Resources, sam_id: str
) -> None:
    world, tenant_id = idle_world, idle_world.tenant.tenant_id
    await world.tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    await choose(resources, world, sam_id, "email")
    await choose(resources, world, sam_id, "hook", url="https://chat.example.com")
    _, out = await doctor(configuration, "--offline")
    assert "note  notices by email: 1 people chose to be told by it, and SMTP_URL is not set" in out
    assert "notices by hook" not in out
    await world.send()
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE tenant_events SET at = at - interval '1 hour' WHERE tenant_id = $1", tenant_id)
        await tx.execute("UPDATE notice_ways SET failure = 'HTTP 500', failing_since = clock_timestamp() "
                         "WHERE tenant_id = $1 AND way = 'hook'", tenant_id)  # fmt: skip
    status, out = await doctor(configuration, "--offline")
    assert status == 1
    assert "BAD   owed: events for webhook endpoints are 36" in out
    assert "note  notices by hook: 1 people are not told since 20" in out
    assert "UTC: HTTP 500" in out
    await tell_of_an_open_transaction(configuration, world)


async def tell_of_an_open_transaction(configuration: Settings, world: World) -> None:
    connection = await asyncpg.connect(configuration.database_url, server_settings={"application_name": "a console"})
    try:
        async with connection.transaction():
            await connection.execute("UPDATE tenants SET name = name WHERE tenant_id = $1", world.tenant.tenant_id)
            _, out = await doctor(configuration, "--offline")
    finally:
        await connection.close()
    assert re.search(r"BAD   transactions: process \d+ \(a console\) is open, and no event leaves before it ends", out)
    assert "BAD   owed: events for webhook endpoints are 36" in out


async def test_the_doctor_tells_of_a_webhook_that_does_not_say_who_may_be_contacted(
    configuration: Settings, idle_world: World, resources: Resources
) -> None:
    world, tenant_id = idle_world, idle_world.tenant.tenant_id
    await world.tenant.call("PATCH", "/settings", {"contactCheckUrl": "https://checks.example.com"})
    await world.send()
    _, out = await doctor(configuration, "--offline")
    assert "contactCheckUrl" not in out
    async with resources.database.system_tx() as tx:
        sql = "UPDATE contact_checks SET attempts = 5, failure = 'HTTP 503' WHERE tenant_id = $1"
        await tx.execute(sql, tenant_id)
    _, out = await doctor(configuration, "--offline")
    words = "does not say whether 1 phones may be contacted, whose texts wait: HTTP 503"
    assert f"note  contactCheckUrl of {tenant_id}: {words}" in out


async def test_a_worker_that_drains_does_what_is_due_and_ends(
    configuration: Settings, idle_world: World, resources: Resources, backend: Backend, hook: Hook, sam_id: str
) -> None:
    world = idle_world
    await world.tenant.call("POST", "/webhook-endpoints", {"url": backend.url, "types": ["turn.replied"]})
    await choose(resources, world, sam_id, "hook", ["agent_down"], hook.url)
    world.agent.answers = [(200, {"reply": "Here I am"})]
    sent = await world.send(agentMode=True)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = await world.send(sendAt=tomorrow.isoformat())
    await world.text("Anybody there?")
    async with resources.database.system_tx() as tx:
        failed_turn = (world.tenant.tenant_id, sent["interactionId"], {"smsAgentId": world.smsagent["smsAgentId"]})
        await tx.execute(FAILED_TURN_SQL, *failed_turn)
    status, _, err = await ran(configuration, "worker", "--drain", **LOOPBACK)
    assert status == 0, err
    assert [event["type"] for event in backend.taken] == ["turn.replied"]
    assert len(hook.texts) == 1
    assert (await world.tenant.call("GET", f"/messages/{sent['messageId']}"))["status"] in (
        "sent", "delivered",
    )  # fmt: skip
    (turn,) = await world.turns(sent["interactionId"])
    assert turn["state"] == "replied"
    answer = await world.tenant.call("GET", f"/messages/{turn['reply']['messageIds'][0]}")
    assert answer["status"] in ("sent", "delivered")
    assert (await world.tenant.call("GET", f"/messages/{later['messageId']}"))["status"] == ("scheduled")


async def test_the_doctor_finds_tables_that_a_restore_left_unguarded(
    configuration: Settings, empty_database_url: str
) -> None:
    await asyncio.to_thread(migrate_to_head, empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("DROP POLICY system ON leads")
        await connection.execute("ALTER TABLE messages DISABLE ROW LEVEL SECURITY")
    finally:
        await connection.close()
    status, out = await doctor(configuration, "--offline", DATABASE_URL=empty_database_url)
    assert status == 1
    assert "BAD   database: row-level security is missing or cut short on leads, messages: was" in out


@pytest.mark.parametrize("command", ["web", "worker", "doctor"])
async def test_a_process_with_other_sealing_keys_says_so_in_one_line(
    configuration: Settings, resources: Resources, command: str
) -> None:
    status, out, err = await ran(configuration, command, **keys(bytes(range(32))))
    assert status != 0
    assert "none of SECRET_KEYS opens the sealed secrets" in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["doctor", "worker"])
async def test_without_servers_it_says_which_are_missing(command: str) -> None:
    status, _, err = await ran(None, command)
    assert (status, "DATABASE_URL and REDIS_URL must be set" in err) == (2, True)
