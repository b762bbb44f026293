"""Phones that were stored in an old form: Mexican mobiles, as they were written until 2019."""

import asyncio

import asyncpg
from alembic import command

from app.operations.migrations import migrate_to_head
from app.resources import Resources
from app.store import suppressions
from tests.makers import Tenant
from tests.store.test_migrations import _config

OLD, NEW = "+5215512345678", "+525512345678"
DOUBLE = "+5215587654321"
FILL_SQL = f"""
INSERT INTO tenants (tenant_id, name) VALUES ('t', 'T');
INSERT INTO leads (tenant_id, lead_id, phone) VALUES ('t', 'old', '{OLD}'), ('t', 'us', '+15215551234'),
    ('t', 'double', '{DOUBLE}');
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, agent_mode) VALUES
    ('t', 'old', '+12125550100', '{OLD}', 'old', true), ('t', 'us', '+12125550100', '+15215551234', 'us', true),
    ('t', 'double', '+12125550100', '{DOUBLE}', 'double', true),
    ('t', 'canonical', '+12125550100', '+525587654321', 'double', true);
INSERT INTO suppressions (tenant_id, phone_hash, cause, phone, actor) VALUES ('t', 'h', 'lead', '{OLD}', 'lead');
INSERT INTO consent_events (tenant_id, event_id, phone_hash, phone, event, actor)
    VALUES ('t', 'e', 'h', '{OLD}', 'opted_out', 'lead')
"""


async def test_the_migration_gives_old_phones_their_present_form(empty_database_url: str) -> None:
    config = _config(empty_database_url)
    await asyncio.to_thread(command.upgrade, config, "0019")
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(FILL_SQL)
        await asyncio.to_thread(migrate_to_head, empty_database_url)
        leads = dict(await connection.fetch("SELECT lead_id, phone FROM leads"))
        assert leads == {"old": NEW, "us": "+15215551234", "double": "+525587654321"}
        threads = {row[0]: tuple(row[1:]) for row in await connection.fetch(
            "SELECT interaction_id, lead_phone, status, agent_mode FROM interactions")}  # fmt: skip
        assert threads == {
            "old": (NEW, "in_progress", True),
            "us": ("+15215551234", "in_progress", True),
            "double": (DOUBLE, "dnc", False),  # the lead's STOP would come in the other thread
            "canonical": ("+525587654321", "in_progress", True),
        }
        suppressed = {row[0] for row in await connection.fetch("SELECT phone FROM suppressions")}
        assert suppressed == {NEW, DOUBLE}
        assert await connection.fetchval("SELECT phone FROM consent_events") == NEW
    finally:
        await connection.close()


async def test_an_opt_out_that_was_recorded_under_the_old_form_stands_and_can_be_lifted(
    tenant: Tenant, resources: Resources
) -> None:
    await _suppress_old_form(tenant, resources, phone=NEW)
    lead = await tenant.lead(phone=NEW)
    consent = await tenant.call("GET", f"/consent/{NEW}")
    assert (consent["suppressed"], [event["event"] for event in consent["events"]]) == (True, ["suppressed"])
    assert lead["isDnc"]
    await tenant.call("DELETE", f"/suppressions/{OLD}")
    assert not (await tenant.call("GET", f"/consent/{NEW}"))["suppressed"]


async def test_an_erased_phone_is_recognised_by_the_hash_of_its_old_form(tenant: Tenant, resources: Resources) -> None:
    await _suppress_old_form(tenant, resources, phone=None)
    lead = await tenant.lead(phone="+52 55 1234 5678")
    assert lead["isDnc"]
    refused = await tenant.ask("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hola"})
    assert refused.json()["error"]["code"] in ("DNC_BLOCKED", "MISSING_PHONE_NUMBER")


async def _suppress_old_form(tenant: Tenant, resources: Resources, phone: str | None) -> None:
    """As the migration leaves it: the present phone, or none, beside the hash of the old form."""
    cause = suppressions.Cause(
        tenant_id=tenant.tenant_id, phone=OLD, cause="person", actor="key", event="suppressed", rule="hand"
    )
    async with resources.database.system_tx() as tx:
        await suppressions.add(tx, [cause])
        for table in ("suppressions", "consent_events"):
            await tx.execute(f"UPDATE {table} SET phone = $2 WHERE tenant_id = $1", tenant.tenant_id, phone)
