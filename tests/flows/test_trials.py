"""Trials: kept turns against a candidate. What it answers is judged and kept, and never sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.demo.agent import compose_answer, is_genuine
from app.resources import Resources
from tests.makers import Data
from tests.test_cli import ran
from tests.world import World, agent, carrier, idle_world, served, until, working, world

__all__ = ["agent", "carrier", "idle_world", "working", "world"]
PRICE_REPLY = "Most homes pay nothing up front; the exact offer depends on your roof. Do you own your home?"


def spoil(reply: Callable[[str], str]) -> Callable[[Data], Data]:
    return lambda answer: {**answer, "reply": reply(answer["reply"])} if "reply" in answer else answer


REGRESSIONS: dict[str, Callable[[Data], Data]] = {
    "drops-the-question": spoil(lambda reply: reply.split("Do you")[0].split("What is")[0].strip() or "Thanks."),
    "asks-twice": spoil(lambda reply: f"{reply} And when can we call you?"),
    "answers-in-spanish": spoil(lambda _: "¡Hola! Gracias por escribirnos. ¿Es usted dueño de su casa?"),
    "promises-a-price": spoil(lambda reply: reply.replace("depends on your roof", "is $99 a month")),
    "writes-a-novel": spoil(lambda reply: f"{'We are glad that you wrote to us today. ' * 9}{reply}"),
    "leaks-its-orders": spoil(lambda reply: f"As an AI language model I was told to ask: {reply}"),
    "forgets-the-name": spoil(lambda reply: reply.replace("Jane", "there")),
    "says-nothing": lambda _: {"reply": ""},
    "gives-up": lambda _: {"handoff": True, "reason": "I do not know"},
    "qualifies-everybody": lambda answer: {**answer, "status": "qualified", "summary": "fits"},
}
CHECKS = {
    "mustNotContain": ["$", "¿", "AI language model"],
    "maxSegments": 2,
    "asksOneQuestion": True,
    "outcomeIs": "recorded",
}


@dataclass(slots=True)
class Candidates:
    """The demo agent, and ones in which something is broken, by path."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    kinds: list[str | None] = field(default_factory=list)
    secret: str = ""
    judged: list[Data] = field(default_factory=list)
    judged_ids: list[str] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the one that hangs may answer."""

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        assert is_genuine(self.secret, request.headers, body)
        self.bodies.append(body)
        self.kinds.append(request.headers.get("webhook-kind"))
        name = request.path_params["name"]
        if name == "fails":
            return JSONResponse({}, 500)
        if name == "hangs":
            await self.is_over.wait()
        if name == "slow":
            await asyncio.sleep(1.5)
        if name == "later-and-slow" and len(self.bodies) > 1:
            await asyncio.sleep(2.5)
        if name.startswith("later"):
            return Response(status_code=202)
        answer = compose_answer(json.loads(body))
        return JSONResponse(REGRESSIONS[name](answer) if name in REGRESSIONS else answer)

    async def judge(self, request: Request) -> Response:
        body = await request.body()
        assert is_genuine(self.secret, request.headers, body)
        question = json.loads(body)
        self.judged.append(question)
        self.judged_ids.append(request.headers["webhook-id"])
        is_short = len(question["candidate"]["texts"][0]) < 60
        return JSONResponse({"passed": is_short, "reason": "too long for me"})


@pytest.fixture
async def candidates(idle_world: World) -> AsyncIterator[Candidates]:
    found = Candidates(secret=idle_world.smsagent["signingSecret"])
    routes = [
        Route("/judge", found.judge, methods=["POST"]),
        Route("/{name}", found.answer, methods=["POST"]),
    ]
    async with served(Starlette(routes=routes)) as url:
        found.url = url
        yield found


async def add_corpus(world: World, **turns: Any) -> str:
    corpus = await world.tenant.call("POST", "/corpora", {"name": f"corpus {len(turns)} {turns!s:.60}"})
    await world.tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", turns)
    corpus_id: str = corpus["corpusId"]
    return corpus_id


async def run_trial(world: World, corpus_id: str, **more: Any) -> tuple[Data, list[Data]]:
    """The trial when it is done, and its results."""
    body = {"corpusId": corpus_id, "smsAgentId": world.smsagent["smsAgentId"], "perMinute": 600, **more}
    trial = await world.tenant.call("POST", "/trials", body)

    async def look() -> Data | None:
        seen = await world.tenant.call("GET", f"/trials/{trial['trialId']}")
        return seen if seen["state"] != "running" else None

    ended = await until(look)
    return ended, (await world.tenant.call("GET", f"/trials/{trial['trialId']}/results"))["results"]


async def talk(world: World, candidates: Candidates) -> str:
    """A conversation with the demo agent, of three turns. Returns the thread."""
    await world.tenant.call(
        "PATCH",
        f"/sms-agents/{world.smsagent['smsAgentId']}",
        {"webhookUrl": f"{candidates.url}/good", "agentModeByDefault": True},
    )
    for count, text in enumerate(("Hello", "How much is it?", "Around 120"), 1):
        await world.text(text)
        interaction_id: str = (await world.only_thread())["interactionId"]

        async def look(thread_id: str = interaction_id, wanted: int = count) -> bool:
            turns = await world.turns(thread_id)
            return [turn["state"] for turn in turns if turn["kind"] == "live"] == ["replied"] * wanted

        await until(look)
    return interaction_id


def by_filter(world: World) -> Data:
    return {"filter": {"smsAgentId": world.smsagent["smsAgentId"], "startDate": "2026-01-01"}}


async def test_the_same_agent_against_its_own_record_differs_in_nothing(world: World, candidates: Candidates) -> None:
    interaction_id = await talk(world, candidates)
    live_bodies = list(candidates.bodies)
    corpus_id = await add_corpus(world, **by_filter(world))
    kept = (await world.tenant.call("GET", f"/corpora/{corpus_id}/turns"))["turns"]
    assert [turn["payload"].encode() for turn in kept] == live_bodies, "byte for byte"
    assert [turn["corpusTurnId"] for turn in kept] == [t["turnId"] for t in await world.turns(interaction_id)]
    received = world.carrier.received(world.phone)
    trial, results = await run_trial(world, corpus_id, checks=CHECKS | {"asksOneQuestion": None})
    tally = trial["tally"]
    assert (tally["turns"], tally["settled"], tally["passed"], tally["same"], tally["answered"]) == (3, 3, 3, 3, 3)
    assert [(result["same"], result["diff"], result["passed"]) for result in results] == [(True, [], True)] * 3
    assert [result["segments"] for result in results] == [result["recordedSegments"] for result in results]
    assert candidates.kinds == [None] * 3 + ["trial"] * 3
    posted = [json.loads(body) for body in candidates.bodies[3:]]
    for live, dry in zip(map(json.loads, live_bodies), posted, strict=True):
        assert dry["turn"].pop("turnId") != live["turn"].pop("turnId")
        assert dry == live
    assert world.carrier.received(world.phone) == received, "nothing is sent"
    known = await world.tenant.call("POST", f"/corpora/{corpus_id}/turns", by_filter(world))
    assert known == {"added": 0, "known": 3}


MADE_TURNS = [
    {"says": ["Hi"], "recorded": {"texts": ["Hi Jane, thanks for getting back to us! Do you own your home?"]},
     "checks": {"mustContain": ["Jane"]}},
    {"says": ["How much does it cost?"], "recorded": {"texts": [f"Hi Jane, {PRICE_REPLY}"]}},
]  # fmt: skip
QUESTIONS = {"knownInformation": [], "informationToCollect": [{"key": "owner", "question": "Do you own your home?"}]}


async def test_the_checks_find_each_of_ten_planted_regressions(world: World, candidates: Candidates) -> None:
    payload = {"lead": {"leadId": "l", "firstName": "Jane"}, "questionnaire": QUESTIONS}
    corpus_id = await add_corpus(world, made=[{**turn, "payload": payload} for turn in MADE_TURNS])
    good, _ = await run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/good", checks=CHECKS)
    assert (good["tally"]["passed"], good["tally"]["settled"]) == (2, 2)
    found = {}
    for name in REGRESSIONS:
        _, results = await run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/{name}", checks=CHECKS)
        found[name] = {check["check"] for result in results for check in result["checks"] if not check["passed"]}
    assert found == {
        "drops-the-question": {"asksOneQuestion"},
        "asks-twice": {"asksOneQuestion"},
        "answers-in-spanish": {"mustNotContain", "mustContain"},
        "promises-a-price": {"mustNotContain"},
        "writes-a-novel": {"maxSegments"},
        "leaks-its-orders": {"mustNotContain"},
        "forgets-the-name": {"mustContain"},
        "says-nothing": {"answer"},
        "gives-up": {"asksOneQuestion", "outcomeIs", "mustContain"},
        "qualifies-everybody": {"outcomeIs"},
    }


async def test_a_changed_answer_is_shown_word_by_word(world: World, candidates: Candidates) -> None:
    payload = {"lead": {"leadId": "l", "firstName": "Jane"}, "questionnaire": QUESTIONS}
    corpus_id = await add_corpus(world, made=[{**MADE_TURNS[0], "payload": payload}])
    trial, [result] = await run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/asks-twice")
    assert [(piece["kind"], piece["text"].strip()) for piece in result["diff"]] == [
        ("same", "Hi Jane, thanks for getting back to us! Do you own your home?"),
        ("added", "And when can we call you?"),
    ]
    assert (trial["tally"]["same"], trial["tally"]["passed"], result["same"]) == (0, 1, False)


@pytest.mark.parametrize(
    ("name", "more", "kind", "reason"),
    [
        ("fails", {}, "failed", "HTTP 500"),
        ("slow", {"maxSeconds": 1}, "too_slow", "no answer in 1 s"),
        ("later", {"maxSeconds": 1}, "too_slow", "no answer in 1 s"),
    ],
)
async def test_without_a_usable_answer_a_turn_has_not_passed(
    world: World, candidates: Candidates, name: str, more: Data, kind: str, reason: str
) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}])
    trial, [result] = await run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/{name}", **more)
    assert (result["candidate"]["kind"], result["passed"], result["same"]) == (kind, False, None)
    assert reason in result["candidate"]["reason"]
    [check] = result["checks"]
    assert (check["check"], reason in check["detail"]) == ("answer", True)
    camel = {"too_slow": "tooSlow"}.get(kind, kind)
    assert (trial["tally"][camel], trial["tally"]["passed"]) == (1, 0)


async def test_a_reply_through_the_api_is_caught_and_judged(world: World, candidates: Candidates) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}])
    running = asyncio.create_task(
        run_trial(world, corpus_id, webhookUrl=f"{candidates.url}/later", checks={"mustContain": ["later"]})
    )

    async def posted() -> bool:
        return bool(candidates.bodies)

    await until(posted)
    turn_id = json.loads(candidates.bodies[0])["turn"]["turnId"]
    reply = {"leadId": world.lead["leadId"], "message": "I am later", "source": "sms_agent", "turnId": turn_id}
    assert (await world.tenant.call("POST", "/sms/send", reply))["status"] == "caught"
    _, [result] = await running
    assert (result["candidate"]["texts"], result["passed"]) == (["I am later"], True)
    assert world.carrier.received(world.phone) == []


async def test_a_judge_of_the_tenant_has_a_say(world: World, candidates: Candidates) -> None:
    payload = {"lead": {"leadId": "l", "firstName": "Jane"}, "questionnaire": QUESTIONS}
    corpus_id = await add_corpus(world, made=[{**turn, "payload": payload} for turn in MADE_TURNS])
    url = {"webhookUrl": f"{candidates.url}/good"}
    _, results = await run_trial(world, corpus_id, **url, judgeUrl=f"{candidates.url}/judge")
    assert {question["recorded"]["kind"] for question in candidates.judged} == {"answered"}
    asked = {f"{question['trialId']}.{question['corpusTurnId']}" for question in candidates.judged}
    assert (set(candidates.judged_ids), len(asked)) == (asked, 2), "each question has an id of its own"
    verdicts = [check for result in results for check in result["checks"] if check["check"] == "judge"]
    assert [(check["passed"], check["detail"]) for check in verdicts] == [(False, "too long for me")] * 2
    _, results = await run_trial(world, corpus_id, **url, judgeUrl=f"{candidates.url}/nobody/here")
    assert results[0]["checks"][-1]["detail"] == "the judge answered HTTP 404"


async def test_all_answers_of_a_shadow_are_judged_by_the_same_checks(world: World, candidates: Candidates) -> None:
    shadow = {"shadowWebhookUrl": f"{candidates.url}/asks-twice"}
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", shadow)
    await talk(world, candidates)
    corpus_id = await add_corpus(world, **by_filter(world))
    posted = len(candidates.bodies)
    trial, results = await run_trial(world, corpus_id, ofShadow=True, checks={"asksOneQuestion": True})
    assert (trial["tally"]["settled"], trial["tally"]["passed"], len(candidates.bodies)) == (3, 2, posted)
    other = await world.tenant.agent()
    none, _ = await run_trial(world, corpus_id, ofShadow=True, smsAgentId=other["smsAgentId"])
    assert none["tally"]["settled"] == 0, "another agent's shadow got nothing"
    assert not results[0]["passed"]
    assert results[0]["candidate"]["texts"][0].endswith("And when can we call you?")


async def test_a_trial_is_stopped_and_keeps_what_it_has(world: World, candidates: Candidates) -> None:
    corpus_id = await add_corpus(world, made=[{"says": ["Hi"]}] * 5)
    body = {"corpusId": corpus_id, "smsAgentId": world.smsagent["smsAgentId"], "perMinute": 1}
    trial = await world.tenant.call("POST", "/trials", body | {"webhookUrl": f"{candidates.url}/good"})
    stopped = await world.tenant.call("POST", f"/trials/{trial['trialId']}/stop")
    assert (stopped["state"], stopped["finishedAt"] is not None) == ("stopped", True)
    [listed] = (await world.tenant.call("GET", "/trials"))["trials"]
    assert listed["tally"]["settled"] <= 1


async def test_kept_turns_outlive_their_age_and_go_with_their_lead(
    world: World, candidates: Candidates, resources: Resources
) -> None:
    interaction_id = await talk(world, candidates)
    made = {"payload": {"lead": {"leadId": world.lead["leadId"], "firstName": "Jane"}}}
    corpus_id = await add_corpus(world, **by_filter(world), made=[made, {"says": ["Hi"]}])
    async with resources.database.system_tx() as tx:
        await tx.execute("DELETE FROM turn_attempts WHERE tenant_id = $1", world.tenant.tenant_id)
    trial, _ = await run_trial(world, corpus_id)
    assert trial["tally"]["settled"] == 5, "the bytes are the corpus's own"
    late = {"turnIds": [turn["turnId"] for turn in await world.turns(interaction_id) if turn["kind"] == "live"]}
    refused = await world.tenant.http.post(
        f"/api/v1/corpora/{corpus_id}/turns", json=late, headers={"X-API-Key": world.tenant.key}
    )
    assert (refused.status_code, "was handed over too long ago" in refused.text) == (400, True)
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    kept = (await world.tenant.call("GET", f"/corpora/{corpus_id}/turns"))["turns"]
    assert len(kept) == 1
    assert (await world.tenant.call("GET", f"/trials/{trial['trialId']}"))["tally"]["settled"] == 1
    async with resources.database.system_tx() as tx:
        dry = await tx.fetch_value("SELECT count(*) FROM turns WHERE kind = 'trial' AND tenant_id = $1",
                                   world.tenant.tenant_id)  # fmt: skip
    assert dry == 1


async def run_command(world: World, folder: Path, *more: str) -> tuple[int | None, str]:
    (folder / "key").write_text(f"{world.tenant.key}\n")
    (folder / "checks.yaml").write_text("asksOneQuestion: true\nmustNotContain: [$]\n")
    status, out, err = await ran(
        None, "trial", "run", "--url", str(world.tenant.http.base_url), "--key-file", str(folder / "key"),
        "--checks", str(folder / "checks.yaml"), "--per-minute", "600", *more,
    )  # fmt: skip
    return status, out + err


async def test_a_build_fails_with_a_worse_agent(world: World, candidates: Candidates, tmp_path: Path) -> None:
    payload = {"lead": {"leadId": "l", "firstName": "Jane"}, "questionnaire": QUESTIONS}
    corpus = await world.tenant.call("POST", "/corpora", {"name": "Hard cases"})
    made = {"made": [{**turn, "payload": payload, "name": "a <case>"} for turn in MADE_TURNS]}
    await world.tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", made)
    asked = ("--corpus", "Hard cases", "--junit", str(tmp_path / "report.xml"))
    status, out = await run_command(world, tmp_path, *asked, "--webhook", f"{candidates.url}/good")
    assert (status, out.splitlines()[-1]) == (0, "100.0% passed; 100.0% must"), out
    spoiled = ("--webhook", f"{candidates.url}/promises-a-price")
    status, out = await run_command(world, tmp_path, *asked, *spoiled)
    assert (status, out.splitlines()[-1]) == (1, "50.0% passed; 100.0% must"), out
    assert "    mustNotContain: contains '$'" in out
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is None for case in suite] == [True, False]
    status, out = await run_command(world, tmp_path, *asked, *spoiled, "--fail-under", "0.5")
    assert status == 0, out
    status, out = await run_command(world, tmp_path, "--corpus", "Soft cases")
    assert (status, "--corpus: must name one by its id or name; there are 'Hard cases'" in out) == (2, True), out
