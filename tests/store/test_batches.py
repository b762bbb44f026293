"""A batch reads, then writes once: by itself, or in a transaction."""

import asyncio
from dataclasses import dataclass

import pytest

from app.resources import Resources
from app.store.engine import ReadTx
from tests.makers import Tenant

NAME_SQL = "UPDATE tenants SET name = $2 WHERE tenant_id = $1 RETURNING name"
GET_NAME_SQL = "SELECT name FROM tenants WHERE tenant_id = $1"


@dataclass(frozen=True)
class Name:
    name: str


@dataclass(frozen=True)
class PlanMode:
    mode: str


async def name_of(resources: Resources, tenant: Tenant) -> str:
    async with resources.database.system_tx() as tx:
        return str(await tx.fetch_value(GET_NAME_SQL, tenant.tenant_id))


async def plan_mode(read: ReadTx) -> str:
    return str(await read.fetch_value("SHOW plan_cache_mode"))


async def test_what_a_batch_commits_is_stored_at_once(resources: Resources, tenant: Tenant) -> None:
    async with resources.database.batch() as batch:
        [before] = await batch.fetch(Name, GET_NAME_SQL, tenant.tenant_id)
        assert before.name == await name_of(resources, tenant)
        assert await batch.commit(Name, NAME_SQL, tenant.tenant_id, "Committed") == [Name("Committed")]
        assert await name_of(resources, tenant) == "Committed"


@pytest.mark.parametrize("fails", [True, False])
async def test_what_a_batch_begins_is_stored_as_a_whole_or_not_at_all(
    resources: Resources, tenant: Tenant, fails: bool
) -> None:
    async def write() -> None:
        async with resources.database.batch() as batch:
            tx = await batch.begin()
            await tx.execute(NAME_SQL, tenant.tenant_id, "First")
            assert await name_of(resources, tenant) == before
            await tx.execute(NAME_SQL, tenant.tenant_id, "Second")
            if fails:
                raise ZeroDivisionError

    before = await name_of(resources, tenant)
    [error] = await asyncio.gather(write(), return_exceptions=True)
    assert isinstance(error, ZeroDivisionError) == fails
    assert await name_of(resources, tenant) == (before if fails else "Second")


async def test_only_the_statement_that_is_planned_now_gets_a_custom_plan(resources: Resources) -> None:
    sql = "SELECT current_setting('plan_cache_mode') AS mode FROM generate_series(1, 1) WHERE true"
    async with resources.database.system_tx() as tx:
        assert await plan_mode(tx) == "force_generic_plan"
        await tx.fetch_planned_now(PlanMode, sql)
        assert await plan_mode(tx) == "force_generic_plan"
    async with resources.database.system_tx(plan_now=True) as tx:
        assert await plan_mode(tx) == "force_custom_plan"
        await tx.fetch_planned_now(PlanMode, sql)
        assert await plan_mode(tx) == "force_custom_plan"
    async with resources.database.system_tx() as tx:
        assert await plan_mode(tx) == "force_generic_plan"
