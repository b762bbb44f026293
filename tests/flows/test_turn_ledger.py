"""The ledger of turns holds whatever happens in whatever order: arrivals, repeats, slow and
failing agents, replies on time and late, hand-offs, outcomes, people who write and correct answers,
switches, STOP and START."""

from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest

from app.commands import answers, outgoing, receive
from app.commands.receive import InboundPost
from app.domain import ids
from app.domain.callers import Caller
from app.domain.carriage import Account, InboundText
from app.domain.orders import Order
from app.jobs.deliver import Delivery
from app.jobs.forward import Forwarder
from app.resources import Resources
from app.store import interactions
from tests.makers import Data, phone
from tests.world import World

CLOSED = {"replied", "declined", "concluded", "handed_off", "expired", "failed"}
OPEN = {"collecting", "delivering", "awaiting_reply"}
HEARD = {
    "silent": (200, {}),
    "inline": (200, {"reply": "Inline"}),
    "list": (200, {"replies": ["One", "Two"]}),
    "decline": (200, {"replies": []}),
    "blank": (200, {"reply": "  "}),
    "handoff": (200, {"handoff": True, "reason": "a hard one"}),
    "both": (200, {"reply": "Inline", "handoff": True}),
    "both listed": (200, {"reply": None, "replies": ["One", "Two"], "handoff": True}),
    "blank and handoff": (200, {"reply": " ", "handoff": True}),
    "busy": (503, {}),
    "wrong": (200, ["what"]),
}
ENDS: dict[str, Data] = {
    "outcome": {},
    "reply and outcome": {"reply": "Inline"},
    "decline and outcome": {"replies": []},
    "blank and outcome": {"reply": " "},
    "handoff and outcome": {"handoff": True, "reason": "a hard one"},
    "bad outcome": {"leadStatus": 5},
    "opt-out": {"status": "dnc"},
    "reply and opt-out": {"status": "dnc", "reply": "Inline"},
}
"""What stands beside an outcome in the webhook's answer."""
THINKING = [
    f"{meanwhile} before {end}"
    for meanwhile in ("text", "reply", "manual", "off", "stop", "give", "correct")
    for end in ENDS
]
"""What happens while the agent thinks, and the outcome that it gives then."""
WISHES = [
    f"{meanwhile} then {wish}"
    for meanwhile in ("nothing", "text", "reply", "manual", "off", "stop")
    for wish in ("handoff", "both", "both listed", "blank and handoff")
]
"""What happens while the agent thinks, and what it says then."""
STORIES = {
    "older reply": ["text", "silent", "text", "reply", "silent", "text", "older reply", "reply"],
    "same reply": ["text", "busy", "text", "busy", "silent", "reply", "same reply", "deliver"],
    "stop": ["text", "silent", "manual", "reply", "text", "inline", "deliver", "stop"],
    "switched off": ["text", "list", "text", "deliver", "silent", "off", "text", "on", "text", "inline"],
    "expired": ["text", "handoff", "text", "on", "text", "decline", "text", "silent", "expire"],
    "wishes": [step for wish in WISHES[:12] for step in ("start", "on", "text", wish)],
    "more wishes": [step for wish in WISHES[12:] for step in ("start", "on", "text", wish, "deliver")],
    "thinking": [step for thinking in THINKING[:28] for step in ("start", "on", "text", thinking)],
    "more thinking": [step for thinking in THINKING[28:] for step in ("start", "on", "text", thinking, "give")],
    "outcomes": ["text", "outcome", "give again", "text", "silent", "give", "give again", "give older", "deliver"],
    "corrected": ["text", "silent", "reply", "give", "text", "inline", "correct", "give", "manual", "text", "outcome"],
}
"""Told ones. Those that chance makes are in `test_conversation_machine`, which checks more after every step."""


@dataclass(slots=True)
class Story:
    """One thread, played step by step; time moves by moving rows."""

    world: World
    resources: Resources
    lead: Data
    thread: str = ""
    on: bool = True
    stopped: bool = False
    inbound: list[str] = field(default_factory=list)
    """Provider ids."""
    owed: set[str] = field(default_factory=set)
    """Texts that some turn must hold."""
    context: set[str] = field(default_factory=set)
    """Texts that no turn may hold."""
    answers: Counter[int | str] = field(default_factory=Counter)
    given: list[tuple[str, str]] = field(default_factory=list)
    """The turn and the summary of each outcome; each summary is another one."""
    accepted: list[str] = field(default_factory=list)
    """The summaries that had an effect, in order."""
    overtaken: set[str] = field(default_factory=set)
    """Turns after whose hand-over a person wrote."""
    corrected: str | None = None
    """What a person answered for the lead."""

    async def play(self, steps: list[str]) -> None:
        await self.begin()
        for step in steps:
            await self.take(step)
            await self.check()

    async def begin(self) -> None:
        sent = await self._send("Hi", agentMode=True)
        self.thread = sent.json()["data"]["interactionId"]
        await self._deliver()

    async def take(self, step: str) -> None:
        match step:
            case "text" | "stop" | "start":
                await self._text({"text": f"Words {len(self.inbound)}"}.get(step, step))
            case "again":
                await self._text("repeated", again=True)
            case "manual":
                await self._manual()
            case "on" | "off":
                await self._switch(step == "on")
            case "expire":
                await self._due("awaiting_reply")
                await self._look()
            case "deliver":
                await self._deliver()
            case "reply" | "same reply" | "older reply":
                await self._reply(step)
            case "give" | "give again" | "give older":
                await self._give(step)
            case "correct":
                await self._correct()
            case end if end in ENDS:
                await self._end(end)
            case thinking if thinking in THINKING:
                await self._think(*thinking.split(" before "))
            case "unnamed reply":
                await self._answered(await self._send("Unnamed", source="sms_agent"))
            case wish if wish in WISHES:
                await self._wish(*wish.split(" then "))
            case kind:
                await self._hear(kind)

    # Steps.

    async def _send(self, text: str, **more: object) -> httpx.Response:
        body = {"leadId": self.lead["leadId"], "message": text, "campaignId":
                self.world.campaign["campaignId"]} | more  # fmt: skip
        return await self.world.tenant.ask("POST", "/sms/send", body)

    async def _text(self, text: str, again: bool = False) -> None:
        if again and not self.inbound:
            return
        provider_id = self.inbound[-1] if again else ids.make("evt")
        account = Account(self.world.tenant.tenant_id, self.world.account["accountId"],
                          "simulator", {})  # fmt: skip
        inbound = InboundText(provider_id, self.lead["phone"], self.world.ours, text)
        async with self.resources.database.system_tx() as tx:
            [received] = await receive.receive_texts(tx, [InboundPost(account, [inbound])])
        assert received.stored_count == (not again)
        if again:
            return
        self.inbound.append(provider_id)
        newest = (await self._transcript())[-1]
        if text in ("stop", "start"):
            self.stopped = text == "stop"
        else:
            held = self.owed if self.on and not self.stopped else self.context
            held.add(newest["messageId"])

    async def _manual(self) -> None:
        tenant_id = self.world.tenant.tenant_id
        person = Caller(tenant_id, "user_1", "person", "api")
        order = Order(
            tenant_id=tenant_id, message_id=ids.make("msg"), thread_id=ids.make("int"),
            lead_id=self.lead["leadId"], text="By hand", source="manual", actor="user_1",
            interaction_id=self.thread,
        )  # fmt: skip
        async with self.resources.database.system_tx() as tx:
            await outgoing.dispatch_text(tx, person, order)
        if not self.stopped:
            self.overtaken |= {turn["turnId"] for turn in await self._turns() if turn["handedOverAt"]}
            assert not [turn for turn in await self._turns() if turn["state"] in OPEN]

    async def _switch(self, on: bool) -> None:
        path = f"/interactions/{self.thread}"
        await self.world.tenant.call("PATCH", path, {"agentMode": on})
        self.on = on

    async def _due(self, *states: str) -> None:
        async with self.resources.database.system_tx() as tx:
            await tx.execute(
                "UPDATE turns SET due_at = clock_timestamp(), expires_at = CASE WHEN state ="
                " 'awaiting_reply' THEN clock_timestamp() ELSE expires_at END"
                " WHERE interaction_id = $1 AND state = ANY ($2)",
                self.thread, list(states),
            )  # fmt: skip

    async def _look(self) -> None:
        held = self.resources
        forwarding = Forwarder(held.database, held.wire, held.seal)
        thread = (self.world.tenant.tenant_id, self.thread)
        async for handed in forwarding.claim([thread]):
            await forwarding.perform(handed)
        shown = await self.world.thread(self.thread)
        self.on = shown["sms"]["agentMode"]  # a hand-off switches it off
        self._note_opt_out(shown)

    def _note_opt_out(self, shown: Data) -> None:
        """An agent may say that the lead wants no more texts."""
        self.stopped = self.stopped or (bool(shown["statusHistory"]) and shown["statusHistory"][-1]["status"] == "dnc")

    async def _hear(self, kind: str) -> None:
        self.world.agent.answers = [HEARD[kind]]
        await self._due("collecting", "delivering")
        await self._look()
        self.world.agent.answers = []

    async def _wish(self, meanwhile: str, wish: str) -> None:
        """A wish for a person is obeyed, or told to be in vain, whatever happened meanwhile."""
        thinking: list[str] = []

        async def happen(told: Data) -> None:
            self.world.agent.meanwhile = None
            thinking.append(told["turn"]["turnId"])
            await self._happen(meanwhile, told)

        before = await self._notes()
        self.world.agent.meanwhile = happen
        await self._hear(wish)
        self.world.agent.meanwhile = None
        for turn in await self._turns():
            if turn["turnId"] in thinking:
                vain = [one["code"] for one in turn["refused"] if "handoff" in one]
                obeyed = meanwhile in ("nothing", "text", "reply")
                assert (await self._notes() - before == 1) == obeyed
                assert ("the agent handed off" in turn["reason"]) == obeyed
                assert len(vain) == (not obeyed)
                assert not (obeyed and self.on)

    def _outcome(self) -> Data:
        summary = f"Summary {len(self.given)}"
        return {"status": "qualified", "summary": summary, "answers": [{"key": "bill", "answer": summary}]}

    async def _end(self, end: str) -> None:
        """The agent gives an outcome in its answer to the webhook, if a turn is due."""
        outcome, told = self._outcome(), len(self.world.agent.told)
        self.world.agent.answers = [(200, outcome | ENDS[end])]
        await self._due("collecting", "delivering")
        await self._look()
        self.world.agent.answers = []
        self.given += [(one["turn"]["turnId"], outcome["summary"]) for one in self.world.agent.told[told:]]

    async def _think(self, meanwhile: str, end: str) -> None:
        async def happen(told: Data) -> None:
            self.world.agent.meanwhile = None
            await self._happen(meanwhile, told)

        self.world.agent.meanwhile = happen
        await self._end(end)
        self.world.agent.meanwhile = None

    async def _happen(self, meanwhile: str, told: Data) -> None:
        """What happens while the agent thinks."""
        match meanwhile:
            case "text" | "stop":
                await self._text(meanwhile)
            case "reply":
                await self._reply("reply")
            case "manual":
                await self._manual()
            case "off":
                await self._switch(False)
            case "give":
                turn_id = told["turn"]["turnId"]
                outcome = {"status": "completed", "summary": f"Early {turn_id}"}
                path = f"/turns/{turn_id}/outcome"
                if (await self.world.tenant.ask("POST", path, outcome)).status_code == 200:
                    self.given.append((turn_id, outcome["summary"]))
            case "correct":
                await self._correct()

    async def _give(self, which: str) -> None:
        """An outcome through the API is answered by what its turn is."""
        turns = await self._turns()
        handed = [turn for turn in turns if turn["handedOverAt"]]
        if len(handed) < (2 if which == "give older" else 1):
            return
        turn = handed[-2 if which == "give older" else -1]
        outcome, is_repeat = self._outcome(), False
        if which == "give again" and turn["outcome"] and turn["outcome"]["by"] == "api":
            outcome = {name: turn["outcome"][name] for name in ("status", "summary")}
            if turn["outcome"]["answers"]:
                outcome["answers"] = [{"key": "bill", "answer": outcome["summary"]}]
            is_repeat = True
        expected = 200 if is_repeat else self._expected_outcome(turn, handed)
        answer = await self.world.tenant.ask("POST", f"/turns/{turn['turnId']}/outcome", outcome)
        error = answer.json().get("error")
        assert (error["code"] if error else answer.status_code) == expected, (which, turn)
        if not is_repeat:
            self.given.append((turn["turnId"], outcome["summary"]))

    def _expected_outcome(self, turn: Data, handed: list[Data]) -> int | str:
        if self.stopped:
            return "DNC_BLOCKED"
        if turn["state"] == "cancelled":
            return "TURN_CANCELLED"
        if turn["outcome"]:
            return "TURN_CLOSED"
        if turn["turnId"] in self.overtaken or (not self.on and "handed off" not in turn["reason"]):
            return "TURN_CANCELLED"
        return "STALE_TURN" if turn["state"] == "superseded" or turn is not handed[-1] else 200

    async def _correct(self) -> None:
        self.corrected = f"By hand {len(self.given)}"
        tenant_id = self.world.tenant.tenant_id
        person = Caller(tenant_id, "user_1", "person", "api")
        async with self.resources.database.tenant_tx(tenant_id) as tx:
            thread = await interactions.get(tx, tenant_id, self.thread)
            assert thread
            await answers.correct_answer(tx, person, thread, "bill", self.corrected)

    async def _notes(self) -> int:
        """How often the agent handed over."""
        said = [e["message"] for e in await self._transcript() if e["status"] == "note"]
        return sum(note.startswith("The agent handed over") for note in said)

    async def _deliver(self) -> None:
        before = len(self.world.carrier.received(self.lead["phone"]))
        held = self.resources
        delivery = Delivery(held.database, held.wire, held.seal, held.settings.base_url)
        while batch := await delivery.claim(100):
            await delivery.deliver_batch(batch)
        if self.stopped:
            for text in self.world.carrier.received(self.lead["phone"])[before:]:
                assert text.startswith("Tenant:"), text

    async def _reply(self, which: str) -> None:
        """A reply that names its turn is answered by what that turn is."""
        turns = [turn for turn in await self._turns() if turn["handedOverAt"]]
        if len(turns) < (2 if which == "older reply" else 1):
            return
        turn = turns[-2 if which == "older reply" else -1]
        text = "The same" if which == "same reply" else f"Reply {sum(self.answers.values())}"
        expected = self._expected(turn, await self._turns(), text)
        answer = await self._send(text, source="sms_agent", turnId=turn["turnId"])
        told = await self._answered(answer)
        assert told == expected, (which, turn)

    def _expected(self, turn: Data, turns: list[Data], text: str) -> int | str:
        if turn["reply"] and turn["reply"]["texts"] == [text]:
            return 202
        if self.stopped:
            return "DNC_BLOCKED"
        if turn["state"] in CLOSED:
            return "TURN_CLOSED"
        if turn["state"] == "cancelled":
            return "TURN_CANCELLED"
        if turn["protected"] and turn["state"] != "superseded":
            return 202
        later = any(other["state"] == "collecting" for other in turns)
        return "STALE_TURN" if later or turn["state"] == "superseded" else 202

    async def _answered(self, answer: httpx.Response) -> int | str:
        error = answer.json().get("error")
        told: int | str = error["code"] if error else answer.status_code
        assert answer.status_code in (202, 403, 409), answer.text
        self.answers[told] += 1
        return told

    # What must hold after every step.

    async def check(self) -> tuple[list[Data], Data]:
        """Returns the turns and the thread that it saw."""
        turns, shown = await self._turns(), await self.world.thread(self.thread)
        transcript = shown["transcript"]
        assert [entry["seq"] for entry in transcript] == list(range(1, len(transcript) + 1))
        states = Counter(turn["state"] for turn in turns)
        assert states["collecting"] <= 1
        assert states["delivering"] + states["awaiting_reply"] <= 1
        for turn in turns:
            assert turn["state"] in OPEN or turn["reason"], turn
            said = bool(turn["reply"] and turn["reply"]["texts"])
            assert said == (turn["state"] == "replied") or (said and turn["state"] == "handed_off")
        self._every_text_has_one_turn(turns)
        self._every_reply_has_one_turn(turns, transcript)
        await self._every_outcome_is_carried_out_or_told(turns, shown)
        return turns, shown

    def _every_text_has_one_turn(self, turns: list[Data]) -> None:
        final = Counter(text["messageId"] for turn in turns if not turn["movedTo"] for text in turn["messages"])
        assert set(final) == self.owed
        assert set(final.values()) <= {1}
        known = {turn["turnId"] for turn in turns}
        assert {turn["movedTo"] for turn in turns if turn["movedTo"]} <= known
        for turn in turns:
            heard = any((a["httpStatus"] or 0) // 100 == 2 for a in turn["attempts"])
            assert not (heard and turn["movedTo"]), "texts that were heard do not move"

    def _every_reply_has_one_turn(self, turns: list[Data], transcript: list[Data]) -> None:
        said = [entry["messageId"] for entry in transcript if entry["source"] == "sms_agent"]
        unnamed_or_named = Counter(
            message for turn in turns if turn["reply"] for message in turn["reply"]["messageIds"]
        )
        assert Counter(said) == unnamed_or_named
        received = Counter(self.world.carrier.received(self.lead["phone"]))
        by_id = {entry["messageId"]: entry for entry in transcript}
        sent = Counter(by_id[message]["message"] for message in said)
        for text in ("Inline", "One", "Two", "The same", "Unnamed"):
            assert received[text] <= sent[text]

    async def _every_outcome_is_carried_out_or_told(self, turns: list[Data], shown: Data) -> None:
        by_id = {turn["turnId"]: turn for turn in turns}
        for turn_id, summary in self.given:
            turn = by_id[turn_id]
            is_accepted = bool(turn["outcome"] and turn["outcome"]["summary"] == summary)
            told = [one for one in turn["refused"] if one.get("outcome", {}).get("summary") == summary]
            assert is_accepted + len(told) == 1, (summary, turn)
            if is_accepted and summary not in self.accepted:
                self.accepted.append(summary)
        given = {summary for _, summary in self.given}
        assert {turn["outcome"]["summary"] for turn in turns if turn["outcome"]} <= given
        opt_outs = [step for step in shown["statusHistory"] if step["rule"] == "agent"]
        assert len(opt_outs) == len([turn for turn in turns if turn["outcome"] and turn["outcome"]["status"] == "dnc"])
        assert shown["summary"] == (self.accepted[-1] if self.accepted else None)
        lead = await self.world.tenant.call("GET", f"/leads/{self.lead['leadId']}")
        found = {one["key"]: one["answer"] for one in lead["questionnaire"]}.get("bill")
        by_agent = [summary for summary in self.accepted if summary.startswith("Summary")]
        assert found == (self.corrected or (by_agent[-1] if by_agent else None))

    async def _turns(self) -> list[Data]:
        return await self.world.turns(self.thread)

    async def _transcript(self) -> list[Data]:
        return list((await self.world.thread(self.thread))["transcript"])


@pytest.mark.parametrize("name", STORIES)
async def test_the_ledger_holds_in_whatever_order_things_happen(
    idle_world: World, resources: Resources, name: str
) -> None:
    lead = await idle_world.tenant.lead(phone=phone(), campaignId=idle_world.campaign["campaignId"])
    await Story(idle_world, resources, lead).play(STORIES[name])
