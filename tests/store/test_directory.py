"""The statements that are built from the schema: PostgreSQL understands them, and defaults are the schema's."""

from datetime import datetime

import asyncpg
import pytest
import sqlalchemy as sa

from app.resources import Resources
from app.store import core, directory
from app.store.core import CompiledStatement, table_of
from app.store.schema import ApiKey, Campaign, CannedReply, Lead, PhoneNumber, ProviderAccount, SmsAgent, Table, User
from tests.makers import Tenant

KINDS: list[type[Table]] = [ApiKey, Campaign, CannedReply, Lead, PhoneNumber, ProviderAccount, SmsAgent, User]


def list_statements(kind: type[Table]) -> list[CompiledStatement]:
    names = [column.name for column in table_of(kind).c]
    return [
        directory._select_one(kind, False),
        directory._select_one(kind, True),
        directory._select_page(kind, True),
        directory._select_page(kind, False),
        directory._insert_new(kind, *names),
        directory._insert_or_replace(kind, (), *names),
        directory._update(kind, *names),
        directory._delete(kind),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_statement_prepares_and_has_its_parameters_in_order(database_url: str, kind: type[Table]) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for statement in list_statements(kind):
            prepared = await connection.prepare(statement.sql)
            assert len(prepared.get_parameters()) == len(statement.names)
            last = prepared.get_parameters()[-1]
            assert last.name in ("text", "varchar", "int8", "timestamptz", "bool"), statement
        await connection.prepare(directory.insert_many_sql(kind))
    finally:
        await connection.close()


async def test_a_row_without_values_gets_the_defaults_and_a_change_writes_only_what_it_names(
    tenant: Tenant, resources: Resources
) -> None:
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        lead = await directory.add(tx, Lead, tenant.tenant_id, "lead-1", {"email": "a@example.com"})
        assert lead
        assert (lead.status, lead.is_test, lead.questionnaire, lead.dnc_channels) == ("new", False, [], [])
        assert await directory.add(tx, Lead, tenant.tenant_id, "lead-1", {}) is None
        changed = await directory.change(tx, Lead, tenant.tenant_id, "lead-1", {"first_name": "Ann"})
        assert changed
        assert (changed.first_name, changed.email) == ("Ann", "a@example.com")
        assert changed.updated_at > lead.updated_at
        assert await directory.change(tx, Lead, tenant.tenant_id, "lead-2", {"first_name": "Ann"}) is None


async def test_a_replaced_row_gets_defaults_but_for_what_is_kept(tenant: Tenant, resources: Resources) -> None:
    first = {"email": "a@example.com", "status": "won", "dnc_reason": "asked"}
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        lead, is_new = await directory.add_or_replace(tx, Lead, tenant.tenant_id, "lead-1", first)
        assert is_new
        again, is_new = await directory.add_or_replace(
            tx, Lead, tenant.tenant_id, "lead-1", {"first_name": "Ann"}, kept_columns=("dnc_reason",)
        )
    assert not is_new
    assert (again.first_name, again.email, again.status, again.dnc_reason) == ("Ann", None, "new", "asked")
    assert again.created_at == lead.created_at
    assert again.updated_at > lead.updated_at


async def test_a_column_that_was_not_read_cannot_be_read_by_mistake(resources: Resources, tenant: Tenant) -> None:
    async with resources.database.tenant_tx(tenant.tenant_id) as tx:
        [partial] = await core.fetch_all(tx, User, "SELECT 'x' AS email")
    assert partial.email == "x"
    with pytest.raises(sa.exc.InvalidRequestError):
        datetime.isoformat(partial.created_at)
