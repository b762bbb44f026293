"""Alembic's entry. A migration waits 5 s for a lock at most and runs 10 min at most: it
must never stall the texts of everybody behind one slow query."""

import asyncio
import os
import time
from typing import Any

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine

from app.store.dialling import dial
from app.store.schema import Table, Xid8

TIMEOUTS = ("SET lock_timeout = '5s'", "SET statement_timeout = '10min'")
ONE_AT_A_TIME = "SELECT pg_try_advisory_lock(7203419)"
SECONDS_BETWEEN_TRIES = 0.2

ischema_names["xid8"] = Xid8  # or the comparison warns of a type it does not know


def migrate(connection: Connection) -> None:
    # A second migrator waits for the first, however long that takes. It asks again and again: a
    # transaction that waits for the lock would stop CREATE INDEX CONCURRENTLY, which waits for all.
    while not connection.execute(text(ONE_AT_A_TIME)).scalar():
        connection.commit()
        time.sleep(SECONDS_BETWEEN_TRIES)
    for statement in TIMEOUTS:
        connection.execute(text(statement))
    connection.commit()
    context.configure(connection=connection, target_metadata=Table.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def main(given: str | None) -> None:
    url = given or os.environ["DATABASE_URL"]

    async def open_connection() -> Any:
        return await dial(url, server_settings={"application_name": "leadsail-sms migrate"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main(context.config.get_main_option("sqlalchemy.url")))
