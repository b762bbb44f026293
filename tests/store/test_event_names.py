"""The triggers name no event that is not described."""

import re
from typing import get_args

import asyncpg

from app.domain.events import EVENT_TYPES
from app.domain.turns import ClosedState
from app.domain.words import MessageStatus

SOURCES_SQL = """
SELECT p.prosrc FROM pg_proc p WHERE p.proname LIKE 'tell\\_%'
UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
"""
FAMILIES = {event_type.partition(".")[0] for event_type in EVENT_TYPES}


async def test_every_event_that_a_trigger_names_is_described(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        sources = "\n".join(row["prosrc"] for row in await connection.fetch(SOURCES_SQL))
    finally:
        await connection.close()
    named = {name for name in re.findall(r"'([a-z_]+\.[a-z_]+)'", sources) if name.partition(".")[0] in FAMILIES}
    named |= {f"message.{status}" for status in get_args(MessageStatus)}
    named |= {f"turn.{state}" for state in get_args(ClosedState)}
    named |= {"optout", "optin", "possible_optout", "lead.merged"}  # the last one is written by a statement
    assert named == set(EVENT_TYPES)
