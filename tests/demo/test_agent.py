"""The demo agent over real HTTP: its rules, its lock on the door, its two ways to answer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.demo import agent, http_clients
from tests.world import served, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OWNER, BILL = "Do you own your home?", "How high is your bill?"


def told(said: str, *mine: str, name: str | None = "Jane", questions: Any = None) -> dict[str, Any]:
    """A payload: what the lead wrote now, and what the agent wrote before."""
    asked = [OWNER, BILL] if questions is None else questions
    before = [{"role": "agent", "message": text, "source": "sms_agent"} for text in mine]
    by_hand = {"role": "agent", "message": BILL, "source": "manual"}
    now = {"role": "user", "message": said, "source": "inbound"}
    return {
        "message": {
            "combinedText": said,
            "messageCount": 1,
            "messages": [{"messageId": "msg_1", "seq": 1, "text": said}],
        },
        "lead": {"leadId": "lead_1", "firstName": name},
        "interaction": {"interactionId": "int_1", "transcript": [by_hand, *before, now]},
        "questionnaire": {
            "knownInformation": [],
            "informationToCollect": [{"key": q, "question": q} for q in asked],
        },
        "turn": {"turnId": "turn_1", "attempt": 1},
    }


HELLO = "Hi Jane, thanks for getting back to us!"


def test_it_greets_by_first_name_and_asks_the_first_question() -> None:
    assert agent.compose_answer(told("Hi")) == {"reply": f"{HELLO} {OWNER}"}


def test_it_greets_a_lead_without_a_name() -> None:
    assert agent.compose_answer(told("Hi", name=None))["reply"].startswith("Hi there,")


def test_it_asks_one_question_a_turn_and_never_greets_twice() -> None:
    assert agent.compose_answer(told("yes", f"{HELLO} {OWNER}"))["reply"] == BILL


@pytest.mark.parametrize(
    ("said", "fact"),
    [("How much is it?", "nothing up front"), ("When are you open?", "9 to 5"),
     ("do I need to own my home?", "roof has to be yours")],
)  # fmt: skip
def test_it_answers_a_question_before_it_asks_its_own(said: str, fact: str) -> None:
    reply = agent.compose_answer(told(said, f"{HELLO} {OWNER}"))["reply"]
    assert fact in reply
    assert reply.endswith(BILL)


def test_it_thanks_and_closes_when_nothing_is_left_to_ask() -> None:
    assert "Thank you, Jane" in agent.compose_answer(told("120 a month", OWNER, BILL))["reply"]


def test_it_has_something_to_say_when_it_has_nothing_to_ask() -> None:
    assert agent.compose_answer(told("Hi", questions=[]))["reply"].strip()


@pytest.mark.parametrize("said", ["Can I talk to a human?", "get me a real person please"])
def test_it_hands_over_to_a_person_when_asked(said: str) -> None:
    answer = agent.compose_answer(told(said))
    assert answer["handoff"] is True
    assert "reply" not in answer


def test_an_answer_is_recorded_with_the_text_it_stands_in() -> None:
    outcome = agent.find_outcome(told("Yes, I do", OWNER), [OWNER])
    assert outcome == {"answers": [{"key": OWNER, "answer": "Yes, I do", "messageId": "msg_1"}]}
    assert agent.find_outcome(told("Why do you ask?", OWNER), [OWNER]) == {}


@pytest.mark.parametrize(("owns", "status"), [("Yes, I own it", "qualified"), ("No, we rent.", "disqualified")])
def test_the_last_answer_ends_the_conversation_with_a_summary_in_sentences(owns: str, status: str) -> None:
    payload = told("About 180", OWNER, BILL, questions=[BILL])
    payload["questionnaire"]["knownInformation"] = [{"key": "homeowner", "question": OWNER, "answer": owns}]
    outcome = agent.find_outcome(payload, [OWNER, BILL])
    summary = f"{OWNER} {owns.removesuffix('.')}. {BILL} About 180."
    assert (outcome["status"], outcome["summary"]) == (status, summary)


@dataclass(slots=True)
class Service:
    """Our send route, scripted: what came, and with which status it is answered."""

    url: str = ""
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        self.sent.append((request.headers["x-api-key"], await request.json()))
        return JSONResponse({}, self.answers.pop(0) if self.answers else 202)


@pytest.fixture(scope="module")
async def listening() -> AsyncIterator[Service]:
    known = Service()
    route = Route("/api/v1/sms/send", known.send, methods=["POST"])
    async with served(Starlette(routes=[route])) as known.url:
        yield known


@pytest.fixture
def service(listening: Service) -> Service:
    """Our send route, which nothing has reached."""
    listening.sent, listening.answers = [], []
    return listening


@pytest.fixture(scope="module")
async def inline() -> AsyncIterator[str]:
    async with served(agent.build_app(SECRET)) as url:
        yield url


@pytest.fixture(scope="module")
async def by_api(listening: Service) -> AsyncIterator[str]:
    async with served(agent.build_app(SECRET, listening.url, "agent-key")) as url:
        yield url


async def hand_over(
    url: str, payload: dict[str, Any], secret: str = SECRET, age: float = 0, **changed: str
) -> httpx.Response:
    """POSTs a payload, signed by the library of Standard Webhooks."""
    body = json.dumps(payload)
    at = datetime.fromtimestamp(int(time.time() - age), UTC)
    headers = {
        "webhook-id": "turn_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("turn_1", at, body),
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    async with http_clients.build_client(timeout=5) as http:
        return await http.post(url, content=body, headers=headers)


async def test_inline_the_reply_is_in_the_answer(inline: str) -> None:
    answer = await hand_over(inline, told("Hi"))
    assert (answer.status_code, answer.json()) == (200, {"reply": f"{HELLO} {OWNER}"})


async def test_by_the_api_the_answer_is_empty_and_the_reply_names_the_turn(by_api: str, service: Service) -> None:
    answer = await hand_over(by_api, told("Hi"))
    assert (answer.status_code, answer.content) == (202, b"")
    await until(_sent(service, 1))
    assert service.sent == [
        (
            "agent-key",
            {
                "leadId": "lead_1", "message": f"{HELLO} {OWNER}", "source": "sms_agent",
                "turnId": "turn_1",
            },
        )
    ]  # fmt: skip


async def test_by_the_api_a_handoff_is_in_the_answer(by_api: str, service: Service) -> None:
    answer = await hand_over(by_api, told("a human, please"))
    assert answer.json()["handoff"] is True
    assert service.sent == []


@pytest.mark.parametrize("status", [403, 409])
async def test_a_reply_that_is_not_wanted_any_more_is_given_up(by_api: str, service: Service, status: int) -> None:
    service.answers = [status]
    await hand_over(by_api, told("Hi"))
    await until(_sent(service, 1))
    await asyncio.sleep(0.7)
    assert len(service.sent) == 1


async def test_a_reply_is_repeated_while_the_service_is_away(by_api: str, service: Service) -> None:
    service.answers = [503]
    await hand_over(by_api, told("Hi"))
    await until(_sent(service, 2))
    assert service.sent[0] == service.sent[1]


def _sent(service: Service, times: int) -> Any:
    async def look() -> bool:
        return len(service.sent) >= times

    return look


async def test_one_good_signature_of_several_is_enough(inline: str) -> None:
    payload = told("Hi")
    at = datetime.fromtimestamp(int(time.time()), UTC)
    good = Webhook(SECRET).sign("turn_1", at, json.dumps(payload))
    answer = await hand_over(
        inline, payload, webhook_signature=f"v1,AAAA {good}",
        webhook_timestamp=str(int(at.timestamp())),
    )  # fmt: skip
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"secret": "whsec_" + "A" * 32}, id="another's secret"),
        pytest.param({"age": 301}, id="too old"),
        pytest.param({"age": -302}, id="from the future"),
        pytest.param({"webhook_id": "turn_2"}, id="another turn's"),
        pytest.param({"webhook_timestamp": "1"}, id="another time's"),
        pytest.param({"webhook_timestamp": "now"}, id="a time that is no number"),
        pytest.param({"webhook_timestamp": "9" * 5000}, id="a time without end"),
        pytest.param({"webhook_signature": ""}, id="no signature"),
        pytest.param({"webhook_signature": "v1,AAAA"}, id="a wrong signature"),
    ],
)
async def test_a_payload_that_is_not_signed_freshly_by_us_is_turned_away(inline: str, given: dict[str, Any]) -> None:
    assert (await hand_over(inline, told("Hi"), **given)).status_code == 401
