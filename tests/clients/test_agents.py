"""The agents of both clients: they answer turns, hand off, and trust nobody else."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from leadsail import Agent, HandOff, InvalidSignature, Outcome, Turn, verify
from leadsail.agent import render_answer
from leadsail.webhooks import sign
from tests.document.node import NODE
from tests.flows.test_examples import connect_agent, serve_agent
from tests.makers import Data
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyE="
OTHER_SECRET = "whsec_" + "YW5vdGhlciBvbmUgb2YgdGhlbSE="


def build_agent(secret: str) -> Agent:
    built = Agent(secret)

    @built.turn
    async def answer(turn: Turn) -> str | HandOff | Outcome:
        if "human" in turn.text:
            return HandOff("asked", texts=["A colleague will write to you."])
        if "not interested" in turn.text:
            return Outcome(status="disqualified", summary=turn.text, texts=["Thanks!"])
        return f"Hi {turn.lead['firstName']}, you wrote: {turn.text}"

    return built


@pytest.fixture(params=["python", "typescript"])
async def answering(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Data]:
    """An agent of the tenant, served by a client."""
    if request.param == "typescript":
        async with serve_agent(world, NODE, Path(__file__).parent / "agent.mts") as made:
            yield made
        return
    app = Starlette()
    async with served(app) as url:
        made = await connect_agent(world, f"{url}/sms")
        app.add_route("/sms", build_agent(made["signingSecret"]), methods=["POST"])  # type: ignore[arg-type]
        yield made


async def test_it_answers_says_outcomes_and_hands_off(world: World, answering: Data) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.text("Tell me more")
    turn = await world.turn_is(sent["interactionId"], "replied")
    assert turn["reply"]["texts"] == ["Hi Jane, you wrote: Tell me more"]
    await world.text("no, not interested in that today")
    await until(lambda: is_closed(world, sent["interactionId"], 2))
    assert (await world.thread(sent["interactionId"]))["status"] == "disqualified"
    await world.text("I want a human to call")
    await until(lambda: is_closed(world, sent["interactionId"], 3))
    assert not (await world.thread(sent["interactionId"]))["sms"]["agentMode"]
    texts = [text for turn in await world.turns(sent["interactionId"]) for text in turn["reply"]["texts"]]
    assert texts[1:] == ["Thanks!", "A colleague will write to you."]


async def is_closed(world: World, interaction_id: str, number: int) -> bool:
    turns = await world.turns(interaction_id)
    return len(turns) == number and turns[-1]["closedAt"] is not None


async def test_it_turns_away_what_another_secret_signed(world: World, answering: Data) -> None:
    stranger = await world.tenant.agent(webhookUrl=answering["webhookUrl"], name="Another")
    turn = await world.tenant.call("POST", f"/sms-agents/{stranger['smsAgentId']}/test")
    assert turn["attempts"][0]["httpStatus"] == 401


@pytest.mark.parametrize(
    ("answer", "rendered"),
    [
        (None, {}),
        ("Hi", {"reply": "Hi"}),
        (["Hi", "you"], {"replies": ["Hi", "you"]}),
        ([], {"replies": []}),
        (HandOff(), {"handoff": True}),
        (HandOff("angry", ["Bye"]), {"handoff": True, "reason": "angry", "replies": ["Bye"]}),
        (
            Outcome(status="qualified", answers={"owner": "yes"}, lead_status="won", note="!"),
            {"status": "qualified", "answers": [{"key": "owner", "answer": "yes"}], "leadStatus": "won", "note": "!"},
        ),
    ],
)
def test_what_the_function_returns_is_what_the_service_reads(answer: Any, rendered: Data) -> None:
    assert render_answer(answer) == rendered


@pytest.mark.parametrize("answer", [5, {"reply": "Hi"}.items(), [None], HandOff(texts=[b"Hi"])])  # type: ignore[list-item]
def test_what_is_no_text_is_refused_where_it_was_written(answer: Any) -> None:
    with pytest.raises(TypeError):
        render_answer(answer)


def signed(secret: str, body: bytes, sent_at: int) -> dict[str, str]:
    signature = sign(secret, "turn_1", sent_at, body)
    return {"Webhook-Id": "turn_1", "Webhook-Timestamp": str(sent_at), "Webhook-Signature": f"v1,AAAA {signature}"}


def test_signatures_of_either_secret_are_genuine() -> None:
    headers = signed(SECRET, b"{}", 1_000)
    verify(SECRET, headers, b"{}", now=1_200)
    verify([OTHER_SECRET, SECRET], headers, b"{}", now=800)


@pytest.mark.parametrize(
    ("secret", "body", "now", "more"),
    [
        (OTHER_SECRET, b"{}", 1_000, {}),
        (SECRET, b"{} ", 1_000, {}),
        (SECRET, b"{}", 1_301, {}),
        (SECRET, b"{}", 699, {}),
        (SECRET, b"{}", 1_000, {"Webhook-Id": "turn_2"}),
        (SECRET, b"{}", 1_000, {"Webhook-Timestamp": "1001"}),
        (SECRET, b"{}", 1_000, {"Webhook-Timestamp": "soon"}),
        (SECRET, b"{}", 1_000, {"Webhook-Signature": "v1,é"}),
        (SECRET, b"{}", 1_000, {"Webhook-Signature": ""}),
    ],
)
def test_anything_else_is_not(secret: str, body: bytes, now: int, more: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(secret, signed(SECRET, b"{}", 1_000) | more, body, now=now)


async def test_a_function_that_raises_makes_the_service_come_again(caplog: pytest.LogCaptureFixture) -> None:
    failing = Agent(SECRET)

    @failing.turn
    def answer(turn: Turn) -> str:
        raise LookupError(turn.turn_id)

    body = json.dumps({"turn": {"turnId": "turn_1"}}).encode()
    transport = httpx.ASGITransport(app=failing)
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
        answered = await http.post("/", content=body, headers=signed(SECRET, body, int(time.time())))
        assert answered.status_code == 500
        assert (await http.get("/")).status_code == 405
        assert (await http.post("/", content=body)).status_code == 401
    assert "turn_1" in caplog.text
