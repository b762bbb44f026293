"""A deploy migrates first: for a while old code runs on the new schema, and never the reverse."""

import asyncio
import os
import sys

import pytest

from app.store import readiness
from tests.faults.crew import rng
from tests.faults.island import Island, harbour, island
from tests.flows.test_agent_mode import talking
from tests.world import AgentDouble, agent, carrier, furnished

__all__ = ["agent", "carrier", "harbour", "island", "rng"]
NEXT = (
    "ALTER TABLE messages ADD COLUMN novelty text",
    "ALTER TABLE turns ADD COLUMN novelty int NOT NULL DEFAULT 7",
    "ALTER TABLE outbox ADD COLUMN novelty jsonb",
    "CREATE TABLE novelties (tenant_id text, novelty text)",
    "UPDATE alembic_version SET version_num = '9999'",
)
"""What a revision that is not written yet may do."""


async def test_this_code_serves_a_database_that_is_one_revision_ahead(island: Island, agent: AgentDouble) -> None:
    await island.owner(*NEXT)
    await island.start_web()
    await island.crew.start(1)
    world = await furnished(island.tenant, island.carrier, agent)
    thread = await talking(world)
    agent.answers = [(200, {"reply": "As ever"})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    await world.text("STOP")
    refused = await world.tenant.ask("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": "More"})
    assert refused.status_code == 403


@pytest.mark.parametrize("word", ["web", "worker"])
async def test_a_process_refuses_a_database_that_lacks_its_migrations(island: Island, word: str) -> None:
    head = readiness.head() or ""
    before = f"{int(head) - 1:04}"
    await island.owner(f"UPDATE alembic_version SET version_num = '{before}'")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", word, env=dict(os.environ) | island.env,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert said.decode().strip().splitlines()[-1] == (
        f"leadsail-sms: the database is at revision {before}, and this build needs {head}: run `migrate` first"
    )
