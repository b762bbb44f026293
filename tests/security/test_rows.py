"""Row-level security: the database itself keeps tenants apart, whatever a statement forgets."""

import asyncpg
import pytest

from app.resources import Resources
from app.store.schema import Table
from tests.makers import Tenant
from tests.world import World

WITHOUT = {
    "installation": "one row of the whole installation, sealed; app_tenant has no grant on it",
    "sign_in_tries": "before anybody knows a tenant; app_tenant has no grant on it",
    "alembic_version": "the schema's revision; app_tenant has no grant on it",
}
"""Tables that no policy guards, and why that is right."""
APPEND_ONLY = {"audit_entries", "status_changes"}
"""Tables that app_tenant may not write to, but for new rows."""
TABLES = """
SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS guarded,
       c.relkind IN ('v', 'm', 'f') AS passes_by
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""


async def test_every_table_is_guarded_but_those_with_a_reason(resources: Resources) -> None:
    async with resources.database.system_tx() as tx:
        rows = await tx.fetch_rows(TABLES)
    assert {row["relname"] for row in rows if not row["guarded"]} == set(WITHOUT)
    assert [row["relname"] for row in rows if row["passes_by"]] == [], "views pass policies by"


async def test_the_roles_of_the_service_cannot_pass_policies_by(resources: Resources) -> None:
    assert resources.database.two_roles
    async with resources.database.system_tx() as tx:
        rows = await tx.fetch_rows(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcanlogin AS mighty"
            " FROM pg_roles WHERE rolname IN ('app_tenant', 'app_system')"
        )
        assert {row["rolname"]: row["mighty"] for row in rows} == {
            "app_tenant": False, "app_system": False,
        }  # fmt: skip
        owned = await tx.fetch_value(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relowner IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'app\\_%')"
        )
        assert owned == 0, "an owner could switch the policies off"


async def test_what_is_unguarded_the_tenants_role_cannot_even_read(tenant: Tenant, resources: Resources) -> None:
    for name in WITHOUT:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with resources.database.tenant_tx(tenant.tenant_id) as tx:
                await tx.fetch_rows(f"SELECT * FROM {name}")


async def test_in_no_table_does_a_tenant_see_a_strangers_row(
    world: World, other_tenant: Tenant, resources: Resources
) -> None:
    """Statements that name no tenant at all, as the tenants' role runs them."""
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    await world.text("Hey")
    await world.told(1)
    await world.tenant.call("POST", "/suppressions", {"phones": ["+12125550177"]})
    of_tenants = [name for name, table in Table.metadata.tables.items() if "tenant_id" in table.c]
    filled = set()
    for name in of_tenants:
        async with resources.database.tenant_tx(world.tenant.tenant_id) as tx:
            seen = {row["tenant_id"] for row in await tx.fetch_rows(f"SELECT tenant_id FROM {name}")}
        assert seen <= {world.tenant.tenant_id}, name
        filled |= {name} if seen else set()
        async with resources.database.tenant_tx(other_tenant.tenant_id) as tx:
            seen = {row["tenant_id"] for row in await tx.fetch_rows(f"SELECT tenant_id FROM {name}")}
            touched = []
            if name not in APPEND_ONLY:
                touched = await tx.fetch_rows(f"UPDATE {name} SET tenant_id = tenant_id RETURNING tenant_id")
        assert seen <= {other_tenant.tenant_id}, name
        assert {row["tenant_id"] for row in touched} <= {other_tenant.tenant_id}, name
    assert len(filled) > 12, filled


@pytest.mark.parametrize("name", sorted(APPEND_ONLY))
@pytest.mark.parametrize("write", ["UPDATE {} SET at = now()", "DELETE FROM {}"])
async def test_what_is_append_only_no_tenant_changes(
    tenant: Tenant, resources: Resources, name: str, write: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with resources.database.tenant_tx(tenant.tenant_id) as tx:
            await tx.execute(write.format(name))
