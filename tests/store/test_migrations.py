"""Migrations: up, down, up again; no drift; every tenant's table behind row-level security."""

import asyncio
import base64
import inspect
import re
import shutil
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

from app.operations.migrations import migrate_to_head
from app.resources import Resources
from app.store import directory, readiness
from app.store.dialling import list_driver_urls
from app.store.schema import Lead, Table, Xid8
from tests.makers import Tenant
from tests.new_migration import ROOT, write_migration
from tests.test_cli import ran

CACHES = shutil.ignore_patterns("__pycache__")
KEY = base64.urlsafe_b64encode(bytes(32)).decode()
TABLES = """
SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(readiness.MIGRATIONS_PATH))
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


Shape = dict[tuple[str, str], tuple[str, bool, bool]]
"""(table, column) → its type, whether it may be null, whether it fills itself."""
SHAPE = """
SELECT table_name, column_name, udt_name, is_nullable = 'YES' AS nullable,
       column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS' AS filled
FROM information_schema.columns WHERE table_schema = 'public'
"""


TAKEN_AWAY: dict[str, list[str]] = {
    # No release knows figures yet.
    "0044": [
        "figures.measure is gone",
        "figures.value is gone",
        "figures.level must be given",
        "figures.counts must be given",
    ],
}
"""By revision: what no code of the release before names any more."""


def narrowed(before: Shape, after: Shape) -> list[str]:
    """What code that knows `before` cannot live with in `after`."""
    tables = {table for table, _ in before}
    found = []
    for (table, column), (kind, nullable, _) in before.items():
        if (table, column) not in after:
            found.append(f"{table}.{column} is gone")
            continue
        new_kind, new_nullable, new_filled = after[table, column]
        if new_kind != kind:
            found.append(f"{table}.{column} was {kind} and is {new_kind}")
        if nullable and not new_nullable and not new_filled:
            found.append(f"{table}.{column} may no longer be null")
    for (table, column), (_, nullable, filled) in after.items():
        if table in tables and (table, column) not in before and not (nullable or filled):
            found.append(f"{table}.{column} must be given")
    return found


async def test_each_revision_only_adds_to_the_one_before(empty_database_url: str) -> None:
    """Expand and contract: in a deploy the code of before runs on the schema of after. What is
    to go, goes in a release of its own, when no code names it any more: then `TAKEN_AWAY` says
    so."""
    config = _config(empty_database_url)
    script = ScriptDirectory.from_config(config)
    revisions = [one.revision for one in reversed(list(script.walk_revisions()))]
    assert revisions == sorted(revisions), "revisions count up: readiness compares them"
    assert all(re.fullmatch(r"\d{4}", one) for one in revisions)
    before: Shape = {}
    for revision in revisions:
        await asyncio.to_thread(command.upgrade, config, revision)
        connection = await asyncpg.connect(empty_database_url)
        rows = await connection.fetch(SHAPE)
        await connection.close()
        after = {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}
        assert sorted(narrowed(before, after)) == sorted(TAKEN_AWAY.get(revision, [])), revision
        before = after
    assert before


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, "t.a is gone"),
        ({("t", "a"): ("int4", True, False)}, "t.a was text and is int4"),
        ({("t", "a"): ("text", False, False)}, "t.a may no longer be null"),
        ({("t", "a"): ("text", True, False), ("t", "b"): ("text", False, False)},
         "t.b must be given"),
    ],
)  # fmt: skip
def test_a_revision_that_takes_away_is_seen(after: Shape, said: str) -> None:
    before: Shape = {("t", "a"): ("text", True, False)}
    assert narrowed(before, after) == [said]
    more: Shape = {("t", "b"): ("text", False, True), ("u", "c"): ("text", False, False)}
    assert narrowed(before, before | more) == []


async def test_the_migrated_schema_is_the_one_the_code_describes(database_url: str) -> None:
    def drift(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[object] = compare_metadata(context, Table.metadata)
        return found

    ischema_names["xid8"] = Xid8
    engine = create_async_engine(list_driver_urls(database_url)[0].replace("postgresql://", "postgresql+asyncpg://", 1))
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
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        seen = {row["lead_id"] for row in await tx.fetch_rows("SELECT lead_id FROM leads")}
        assert seen == {mine["leadId"]}
        assert await directory.get(tx, Lead, other_tenant.tenant_id, theirs["leadId"]) is None
        await tx.execute("UPDATE leads SET first_name = 'X'")
    assert (await other_tenant.call("GET", f"/leads/{theirs['leadId']}"))["firstName"] == "Jane"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with resources.database.tenant_tx(tenant.tenant_id) as tx:
            await tx.execute("INSERT INTO leads (tenant_id, lead_id) VALUES ($1, 'x')", other_tenant.tenant_id)


async def test_without_a_tenant_nothing_is_seen(tenant: Tenant, resources: Resources) -> None:
    await tenant.lead()
    async with resources.database.tenant_tx("nobody") as tx:
        assert await tx.fetch_value("SELECT count(*) FROM leads") == 0
    async with resources.database.system_tx() as tx:
        await tx.execute("SELECT set_config('role', 'app_tenant', true)")
        assert await tx.fetch_value("SELECT count(*) FROM leads") == 0


async def test_a_reading_transaction_cannot_write(tenant: Tenant, resources: Resources) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with resources.database.read_tx(tenant.tenant_id) as read:
            await read.fetch_value("UPDATE leads SET first_name = 'X' RETURNING 1")


async def test_a_second_migrator_waits_for_the_first(empty_database_url: str) -> None:
    given = {"DATABASE_URL": empty_database_url, "SECRET_KEYS": KEY}
    migrators = await asyncio.gather(*(ran(None, "migrate", **given) for _ in range(2)))
    assert [status for status, _, _ in migrators] == [0, 0], migrators


async def test_a_newer_schema_is_left_as_it_is(empty_database_url: str) -> None:
    await asyncio.to_thread(migrate_to_head, empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        status, _, warned = await ran(None, "migrate", DATABASE_URL=empty_database_url, SECRET_KEYS=KEY)
        assert (status, "already newer than this build: 9999" in warned) == (0, True), warned
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
    finally:
        await connection.close()


async def test_the_next_migration_takes_the_next_number_and_adds_what_the_database_lacks(
    empty_database_url: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(migrate_to_head, empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("ALTER TABLE leads DROP COLUMN timezone")
    await connection.close()
    copied = shutil.copytree(readiness.MIGRATIONS_PATH, tmp_path / "migrations", ignore=CACHES)
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(copied))
    head = readiness.head() or ""

    first = await asyncio.to_thread(write_migration, config, "Leads have a zone", empty_database_url)
    assert (first.revision, first.down_revision) == (f"{int(head) + 1:04}", head)
    assert re.search(rf"/{first.revision}_\d{{8}}_leads_have_a_zone\.py$", first.path)
    up, down = inspect.getsource(first.module.upgrade), inspect.getsource(first.module.downgrade)
    assert 'op.add_column("leads", sa.Column("timezone", sa.Text(), nullable=True))' in up
    assert 'op.drop_column("leads", "timezone")' in down

    second = await asyncio.to_thread(write_migration, config, "Nothing yet")
    assert (second.revision, second.down_revision) == (f"{int(head) + 2:04}", first.revision)
