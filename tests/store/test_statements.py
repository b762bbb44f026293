"""Every named statement of the store is one that PostgreSQL understands on today's schema."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.sql import explain_statement, is_whole_statement, named_statements


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def test_every_named_statement_prepares(connection: asyncpg.Connection) -> None:
    statements = named_statements()
    assert len(statements) > 200
    errors = {}
    for name, sql in statements.items():
        try:
            await connection.prepare(sql)
        except asyncpg.PostgresError as error:
            errors[name] = str(error)
    assert errors == {}


async def test_a_statement_has_a_generic_plan(connection: asyncpg.Connection) -> None:
    statements = named_statements()
    plan = await explain_statement(connection, statements["messages.GET_MESSAGES_SQL"])
    assert "tenant_id = $1" in plan
    assert "Scan" in await explain_statement(connection, statements["outbox.CLAIM_TEXTS_SQL"])


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("SELECT 1", True),
        ("\n-- why\nUPDATE t SET a = 1", True),
        (
            "WITH a AS (SELECT 1), b AS (\n  DELETE FROM t WHERE x = ANY ($1))\nINSERT INTO c SELECT 1",
            True,
        ),
        ("WITH a AS (SELECT 1), b AS (DELETE FROM t)", False),
        ("SELECT a FROM {table}", False),
        ("SELECT '{}'::text[]", True),
        ("ORDER BY t.id", False),
        ("(SELECT 1)", False),
        ("SET ROLE app_tenant; SET ROLE app_system", False),
        ("queued", False),
    ],
)
def test_a_fragment_is_told_from_a_whole_statement(text: str, is_whole: bool) -> None:
    assert is_whole_statement(text) is is_whole
