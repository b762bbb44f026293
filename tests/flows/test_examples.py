"""The example agents of the documents, as processes, asked by the service itself."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.demo import http_clients
from tests.document.node import NODE
from tests.makers import Data
from tests.world import World, agent, carrier, idle_world, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COMMANDS = {
    "python": [sys.executable, str(EXAMPLES / "agent.py")],
    "typescript": [str(NODE), str(EXAMPLES / "agent.ts")],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def serve_agent(world: World, *command: str | Path) -> AsyncIterator[Data]:
    """Runs an agent as a process; it is the tenant's, and the campaign's."""
    port = free_port()
    made = await connect_agent(world, f"http://127.0.0.1:{port}/")
    env = {**os.environ, "AGENT_SECRET": made["signingSecret"], "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(*command, env=env)

    async def listens() -> bool:
        try:
            async with http_clients.build_client() as http:
                await http.post(made["webhookUrl"], content=b"{}")
        except httpx.TransportError:
            return False
        return True

    try:
        await until(listens)
        yield made
    finally:
        process.terminate()
        await process.wait()


async def connect_agent(world: World, url: str) -> Data:
    made = await world.tenant.agent(webhookUrl=url, batchWindowMs=1000, name="An example")
    await world.tenant.call("PATCH", f"/campaigns/{world.campaign['campaignId']}", {"smsAgentId": made["smsAgentId"]})
    return made


@pytest.fixture(params=COMMANDS)
async def example(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Data]:
    """An agent of the tenant, served by an example."""
    async with serve_agent(world, *COMMANDS[request.param]) as made:
        yield made


async def test_it_answers_the_leads_texts(world: World, example: Data) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Tell me more")
    turn = await world.turn_is(sent["interactionId"], "replied")
    assert turn["reply"]["texts"] == ["Hi Jane, you wrote: Tell me more"]

    async def arrived() -> bool:
        return "Hi Jane, you wrote: Tell me more" in world.carrier.received(world.phone)

    await until(arrived)


async def test_it_hands_over_to_a_person_who_is_asked_for(world: World, example: Data) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("I want a human")

    async def handed_over() -> bool:
        thread = await world.thread(sent["interactionId"])
        return thread["status"] == "follow_up" and not thread["sms"]["agentMode"]

    await until(handed_over)


async def test_it_says_what_the_conversation_came_to(world: World, example: Data) -> None:
    await world.tenant.call("PATCH", "/settings", {"possibleOptOut": "forward"})
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("My answer: 120")
    turn = await world.turn_is(sent["interactionId"], "replied")
    text = turn["messages"][0]["messageId"]
    assert turn["outcome"]["answers"] == [{"key": "bill", "answer": "120", "messageId": text}]
    assert (await world.thread(sent["interactionId"]))["status"] == "qualified"
    await world.text("Sorry, not interested")
    turn = await world.turn_is(sent["interactionId"], "replied")

    async def is_summarized() -> bool:
        shown = await world.thread(sent["interactionId"])
        return (shown["status"], shown["summary"]) == ("disqualified", "Sorry, not interested")

    await until(is_summarized)


async def test_it_passes_the_test_of_the_settings(world: World, example: Data) -> None:
    turn = await world.tenant.call("POST", f"/sms-agents/{example['smsAgentId']}/test")
    assert turn["reply"]["texts"] == ["Hi Sample, you wrote: Hello, is anybody there?"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "turn_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "turn_1", "webhook-timestamp": "now", "webhook-signature": "v1,é"},
    ],
    ids=["unsigned", "old", "nonsense"],
)
async def test_it_turns_away_what_is_not_signed_by_its_secret(example: Data, headers: dict[str, str]) -> None:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with http_clients.build_client() as http:
        answer = await http.post(example["webhookUrl"], content=b"{}", headers=given)
    assert answer.status_code == 401


async def test_it_turns_away_what_another_secret_signed(world: World, example: Data) -> None:
    rotated = await world.tenant.agent(webhookUrl=example["webhookUrl"], name="Another")
    turn = await world.tenant.call("POST", f"/sms-agents/{rotated['smsAgentId']}/test")
    assert turn["attempts"][0]["httpStatus"] == 401
