"""Migrations: up, down, up again; no drift; every tenant's table behind row-level security."""

import asyncio
import base64
import os
import sys

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

from app.cli import migrate_to_head
from app.resources import Resources
from app.store import leads, readiness
from app.store.engine import driver_url
from app.store.schema import Table, Xid8
from tests.makers import Tenant

KEY = base64.urlsafe_b64encode(bytes(32)).decode()
TABLES = """
SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(readiness.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def test_the_schema_goes_up_and_down_and_up_again(empty_database_url: str) -> None:
    await asyncio.to_thread(migrate_to_head, empty_database_url)
    await asyncio.to_thread(command.downgrade, _config(empty_database_url), "base")
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert {row["relname"] for row in await connection.fetch(TABLES)} <= {"alembic_version"}
        await asyncio.to_thread(migrate_to_head, empty_database_url)
        names = {row["relname"] for row in await connection.fetch(TABLES)}
        assert set(Table.metadata.tables) <= names
    finally:
        await connection.close()


async def test_the_migrated_schema_is_the_one_the_code_describes(database_url: str) -> None:
    def drift(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[object] = compare_metadata(context, Table.metadata)
        return found

    ischema_names["xid8"] = Xid8
    engine = create_async_engine(
        driver_url(database_url).replace("postgresql://", "postgresql+asyncpg://", 1)
    )
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(drift) == []
    finally:
        await engine.dispose()


async def test_every_table_of_tenants_forces_row_level_security(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = {row["relname"]: row for row in await connection.fetch(TABLES)}
    finally:
        await connection.close()
    of_tenants = [name for name, table in Table.metadata.tables.items() if "tenant_id" in table.c]
    assert len(of_tenants) > 15
    for name in of_tenants:
        assert rows[name]["relrowsecurity"], name
        assert rows[name]["relforcerowsecurity"], name


async def test_a_tenants_transaction_sees_and_writes_its_own_rows_only(
    tenant: Tenant, other_tenant: Tenant, resources: Resources
) -> None:
    mine, theirs = await tenant.lead(), await other_tenant.lead()
    async with resources.database.tenant(tenant.tenant_id) as tx:
        seen = {row["lead_id"] for row in await tx.rows("SELECT lead_id FROM leads")}
        assert seen == {mine["leadId"]}
        assert await leads.get(tx, other_tenant.tenant_id, theirs["leadId"]) is None
        await tx.execute("UPDATE leads SET first_name = 'X'")
    assert (await other_tenant.call("GET", f"/leads/{theirs['leadId']}"))["firstName"] == "Jane"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with resources.database.tenant(tenant.tenant_id) as tx:
            await tx.execute(
                "INSERT INTO leads (tenant_id, lead_id) VALUES ($1, 'x')", other_tenant.tenant_id
            )


async def test_without_a_tenant_nothing_is_seen(tenant: Tenant, resources: Resources) -> None:
    await tenant.lead()
    async with resources.database.tenant("nobody") as tx:
        assert await tx.value("SELECT count(*) FROM leads") == 0
    async with resources.database.system() as tx:
        await tx.execute("SELECT set_config('role', 'app_tenant', true)")
        assert await tx.value("SELECT count(*) FROM leads") == 0


async def test_a_reading_transaction_cannot_write(tenant: Tenant, resources: Resources) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with resources.database.reading(tenant.tenant_id) as read:
            await read.value("UPDATE leads SET first_name = 'X' RETURNING 1")


async def test_a_second_migrator_waits_for_the_first(empty_database_url: str) -> None:
    given = {**os.environ, "DATABASE_URL": empty_database_url, "SECRET_KEYS": KEY}
    migrators = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "migrate", env=given, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [(await migrator.communicate())[1].decode() for migrator in migrators]
    assert [migrator.returncode for migrator in migrators] == [0, 0], said
