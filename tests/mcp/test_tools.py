"""The tools for assistants, called by the client of the official SDK over HTTP."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from app.demo import http_clients
from app.embedded.processes import find_free_port
from app.main import build_app
from app.resources import Resources
from app.settings import Settings
from tests.makers import Data, Tenant
from tests.service import Api
from tests.test_cli import ran
from tests.test_tools import is_ready, running, stopped
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
Tools = Callable[..., Awaitable[Data]]
READING = {"find_leads", "find_threads", "read_transcript", "read_turns", "read_figures", "check_text"}


class RefusedCall(Exception):
    """A tool answered with an error. The message is what the assistant reads."""


@pytest.fixture
async def mcp_url(configuration: Settings, resources: Resources, api: Api) -> AsyncIterator[str]:
    async with served(build_app(configuration, resources)) as url:
        yield f"{url}/mcp"


@asynccontextmanager
async def connected(mcp_url: str, key: str, header: str = "X-API-Key") -> AsyncIterator[Client]:
    headers = {header: f"Bearer {key}" if header == "Authorization" else key}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,  # the first request waits for imports
        Client(streamable_http_client(mcp_url, http_client=http)) as client,
    ):
        yield client


async def call(client: Client, name: str, **arguments: Any) -> Data:
    return read_result(await client.call_tool(name, arguments))


def read_result(result: Any) -> Data:
    text = result.content[0].text
    if result.is_error:
        raise RefusedCall(text)
    answer: Data = json.loads(text)
    return answer


@pytest.fixture
async def tools(mcp_url: str, world: World) -> Tools:
    """Calls a tool with a key of scope `api`."""
    key = (await world.tenant.with_scope("api")).key

    async def call_tool(name: str, **arguments: Any) -> Data:
        async with connected(mcp_url, key) as client:
            result = await client.call_tool(name, arguments)
        return read_result(result)  # outside: what is raised inside comes out as a group

    return call_tool


async def test_each_tool_says_what_it_is_for_and_whether_it_changes_anything(mcp_url: str, tenant: Tenant) -> None:
    async with connected(mcp_url, tenant.key) as client:
        listed = (await client.list_tools()).tools
    assert {tool.name for tool in listed} == READING | {"send_text", "set_status", "set_agent_mode"}
    for tool in listed:
        assert tool.description
        assert tool.annotations
        assert tool.annotations.read_only_hint is (tool.name in READING), tool.name
    [send] = [tool for tool in listed if tool.name == "send_text"]
    assert send.description
    for code in ("DNC_BLOCKED", "MISSING_PHONE_NUMBER", "VALIDATION_ERROR", "FORBIDDEN"):
        assert code in send.description


async def test_a_lead_is_found_written_to_and_read(tools: Tools, world: World) -> None:
    [lead] = (await tools("find_leads", search=world.lead["phone"]))["leads"]
    assert lead["leadId"] == world.lead["leadId"]
    order = {"lead_id": lead["leadId"], "message": "Hi Jane"}
    checked = await tools("check_text", **order)
    assert (checked["to"], checked["segments"]) == (world.phone, 1)
    assert (await tools("find_threads", lead_id=lead["leadId"]))["interactions"] == []
    sent = await tools("send_text", **order, idempotency_key="one")
    assert (await tools("send_text", **order, idempotency_key="one"))["messageId"] == sent["messageId"]
    await world.status_is(sent["messageId"], "delivered")
    await world.text("Which offer is it?")
    [thread] = (await tools("find_threads", search="which offer", in_texts=True))["interactions"]
    read = await tools("read_transcript", interaction_id=thread["interactionId"])
    assert read["thread"]["status"] == "in_progress"
    assert [(text["role"], text["message"]) for text in read["messages"]] == [
        ("agent", "Hi Jane"), ("user", "Which offer is it?"),
    ]  # fmt: skip
    first = await tools("read_transcript", interaction_id=thread["interactionId"], before=2)
    assert [text["seq"] for text in first["messages"]] == [1]
    figures = await tools("read_figures")
    assert figures == {
        "threads": 1, "byStatus": {"in_progress": 1}, "unread": 1, "awaitingDecision": 0, "agentModeOn": 0,
        "complete": True,
    }  # fmt: skip


async def test_turns_are_read_with_what_the_agent_got_and_answered(tools: Tools, world: World) -> None:
    world.agent.answers = [(200, {"reply": "Hello!"})]
    sent = await world.send(agentMode=True)
    await world.text("Which offer is it?")
    await world.turn_is(sent["interactionId"], "replied")
    [turn] = (await tools("read_turns", interaction_id=sent["interactionId"]))["turns"]
    assert (turn["state"], turn["reply"]["texts"]) == ("replied", ["Hello!"])
    assert "Which offer is it?" in turn["attempts"][0]["requestBody"]


async def test_status_and_agent_mode_are_set(tools: Tools, world: World) -> None:
    thread = (await world.send())["interactionId"]
    assert (await tools("set_status", interaction_id=thread, status="qualified"))["status"] == "qualified"
    assert (await tools("set_agent_mode", interaction_id=thread, mode="on"))["sms"]["agentMode"] is True
    assert (await world.thread(thread))["sms"]["agentMode"] is True


async def test_what_the_gate_refuses_is_told_with_its_reason(tools: Tools, world: World) -> None:
    order = {"lead_id": world.lead["leadId"], "message": "Hi"}
    for wrong, said in (
        ({"lead_id": "nobody"}, "NOT_FOUND"),
        ({"message": " "}, "VALIDATION_ERROR"),
        ({"send_at": "tomorrow"}, "sendAt: must be an ISO 8601 time with an offset"),
    ):
        with pytest.raises(RefusedCall, match=said):
            await tools("send_text", **order | wrong, idempotency_key="wrong")
    await tools("send_text", **order, idempotency_key="again")
    with pytest.raises(RefusedCall, match="IDEMPOTENCY_KEY_REUSED"):
        await tools("send_text", **order | {"message": "Other"}, idempotency_key="again")
    await world.text("STOP")
    for tool, more in (("check_text", {}), ("send_text", {"idempotency_key": "stopped"})):
        with pytest.raises(RefusedCall, match=r"DNC_BLOCKED: .*\n.*Do not try another way"):
            await tools(tool, **order, **more)


async def test_a_key_opens_what_its_scope_allows(mcp_url: str, world: World) -> None:
    reader = await world.tenant.with_scope("read")
    async with connected(mcp_url, reader.key, "Authorization") as client:
        assert (await call(client, "find_leads"))["leads"]
        order = {"lead_id": world.lead["leadId"], "message": "Hi", "idempotency_key": "one"}
        with pytest.raises(RefusedCall, match="FORBIDDEN"):
            await call(client, "send_text", **order)
        thread = (await world.send())["interactionId"]
        with pytest.raises(RefusedCall, match="FORBIDDEN"):
            await call(client, "set_status", interaction_id=thread, status="qualified")
    answering = await world.tenant.with_scope("agent", world.smsagent["smsAgentId"])
    async with connected(mcp_url, answering.key) as client:
        with pytest.raises(RefusedCall, match="FORBIDDEN"):
            await call(client, "find_leads")


async def test_nothing_of_another_tenant_is_seen_or_changed(mcp_url: str, world: World, other_tenant: Tenant) -> None:
    thread = (await world.send())["interactionId"]
    async with connected(mcp_url, other_tenant.key) as client:
        assert (await call(client, "find_leads"))["leads"] == []
        assert (await call(client, "find_threads"))["interactions"] == []
        for name, more in (
            ("read_transcript", {}), ("read_turns", {}),
            ("set_status", {"status": "dnc"}), ("set_agent_mode", {"mode": "on"}),
        ):  # fmt: skip
            with pytest.raises(RefusedCall, match="NOT_FOUND"):
                await call(client, name, interaction_id=thread, **more)
    assert (await world.thread(thread))["status"] == "in_progress"


async def test_an_id_leads_to_no_other_address(tools: Tools, world: World) -> None:
    for interaction_id in ("../settings", "lead/x", "x?limit=1", "%2e%2e/settings"):
        with pytest.raises(RefusedCall, match="NOT_FOUND"):
            await tools("read_turns", interaction_id=interaction_id)


async def test_without_a_key_nothing_is_answered(mcp_url: str, api: Api) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = await api.http.post(mcp_url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["error"]["code"] == "UNAUTHORIZED"
        assert answer.headers["X-Request-Id"]


async def test_a_key_that_nobody_has_opens_nothing(mcp_url: str) -> None:
    async with connected(mcp_url, "lss_aaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") as client:
        with pytest.raises(RefusedCall, match="UNAUTHORIZED"):
            await call(client, "find_leads")


LOOK_CODE = """
import sys
from app import settings
from app.main import build_app
build_app(settings.load())
print([name for name in ("mcp", "app.mcp.server") if name in sys.modules])
"""


def test_a_process_that_no_assistant_asks_does_not_import_the_sdk(configuration: Settings) -> None:
    looked = subprocess.run([sys.executable, "-c", LOOK_CODE], capture_output=True, text=True, check=True)
    assert looked.stdout.strip() == "[]"


async def test_assistants_that_come_at_once_get_one_server(mcp_url: str, tenant: Tenant) -> None:
    async def count_tools() -> int:
        async with connected(mcp_url, tenant.key) as client:
            return len((await client.list_tools()).tools)

    assert await asyncio.gather(*[count_tools() for _ in range(5)]) == [9] * 5


@pytest.mark.parametrize("command", ["web", "mcp"])
async def test_a_web_process_serves_the_tools_and_stops_cleanly(
    configuration: Settings, tenant: Tenant, command: str
) -> None:
    url = f"http://127.0.0.1:{(port := find_free_port())}"
    lead = await tenant.lead()
    async with running(configuration, "-m", "app", command, PORT=str(port)) as process:
        async with http_clients.build_client(base_url=url) as http:
            await until(lambda: is_ready(http), 60)
        async with connected(f"{url}/mcp", tenant.key) as client:
            found = await call(client, "find_leads")
        logged = await stopped(process)
    assert [each["leadId"] for each in found["leads"]] == [lead["leadId"]]
    assert process.returncode == 0
    assert "route=/mcp" in logged
    assert tenant.key not in logged


async def test_the_command_needs_servers_as_web_does() -> None:
    status, _, err = await ran(None, "mcp")
    assert (status, "DATABASE_URL and REDIS_URL must be set" in err) == (2, True)
