"""The example agents of the documents, as processes, asked by the service itself."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.demo import http_clients
from app.embedded.processes import find_free_port
from tests.document.node import NODE
from tests.makers import Data
from tests.processes import end
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COMMANDS = {
    "python": [sys.executable, str(EXAMPLES / "agent.py")],
    "typescript": [str(NODE), str(EXAMPLES / "agent.ts")],
}


@asynccontextmanager
async def serve_agent(world: World, *command: str | Path, **more: str) -> AsyncIterator[Data]:
    """Runs an agent as a process; it is the tenant's, and the campaign's. `more` is its environment."""
    port = find_free_port()
    made = await connect_agent(world, f"http://127.0.0.1:{port}/")
    env = {**os.environ, "AGENT_SECRET": made["signingSecret"], "PORT": str(port), **more}
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
        await end(process)


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


@dataclass(slots=True)
class ChatDouble:
    """A chat API that says what it is told to; the requests that it got."""

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[tuple[str | None, Data]] = field(default_factory=list)

    async def complete(self, request: Request) -> Response:
        self.asked.append((request.headers.get("authorization"), await request.json()))
        status, content = self.answers.pop(0)
        return JSONResponse({"choices": [{"message": {"role": "assistant", "content": content}}]}, status)


@pytest.fixture
async def chat(world: World) -> AsyncIterator[ChatDouble]:
    """The example that asks a chat API, and that API."""
    double = ChatDouble()
    routes = [Route("/v1/chat/completions", double.complete, methods=["POST"])]
    async with served(Starlette(routes=routes)) as url:
        env = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "a-key", "OPENAI_MODEL": "small"}
        async with serve_agent(world, sys.executable, EXAMPLES / "openai_agent.py", **env):
            yield double


async def test_a_model_gets_the_conversation_and_its_answer_is_the_agents(world: World, chat: ChatDouble) -> None:
    outcome = {"answers": [{"key": "bill", "answer": "120"}], "status": "qualified", "summary": "Pays 120."}
    chat.answers = [(200, '{"reply": "How high is it?"}'), (200, json.dumps({"reply": "Thanks!", **outcome}))]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hello")
    await world.turn_is(sent["interactionId"], "replied")
    await world.text("It is 120")

    async def concluded() -> bool:
        return len(chat.asked) == 2 and (await world.thread(sent["interactionId"]))["status"] == "qualified"

    await until(concluded)
    key, question = chat.asked[1]
    assert (key, question["model"]) == ("Bearer a-key", "small")
    instructions, *texts = question["messages"]
    assert "bill: How high is your bill?" in instructions["content"]
    assert texts == [
        {"role": "assistant", "content": "Hi Jane"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "How high is it?"},
        {"role": "user", "content": "It is 120"},
    ]
    turn = (await world.turns(sent["interactionId"]))[-1]
    assert turn["reply"]["texts"] == ["Thanks!"]
    assert turn["outcome"]["answers"] == [{"key": "bill", "answer": "120", "messageId": None}]
    assert turn["refused"] == []


async def test_a_model_that_does_not_keep_to_json_is_taken_at_its_word(world: World, chat: ChatDouble) -> None:
    chat.answers = [(200, "Good morning!")]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hello")
    turn = await world.turn_is(sent["interactionId"], "replied")
    assert turn["reply"]["texts"] == ["Good morning!"]


async def test_a_chat_api_that_fails_is_asked_again_by_the_next_attempt(world: World, chat: ChatDouble) -> None:
    chat.answers = [(500, ""), (200, '{"reply": "Here I am."}')]
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Hello")
    turn = await world.turn_is(sent["interactionId"], "replied")
    assert [attempt["httpStatus"] for attempt in turn["attempts"]] == [503, 200]
