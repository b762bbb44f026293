"""Claim due turns: one transaction for a set of threads, and as many statements for one of them
as for a hundred."""

import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic_core import to_json

from app.access.sealing import Seal
from app.agents import payload
from app.commands import modes, twins
from app.domain import ids, transcripts, windows
from app.domain.turns import PROTECTED_FOR, PROTECTS, Step, step
from app.domain.windows import HAND_OVER_LEASE, REPLY_WITHIN
from app.jobs.endpoints import Endpoints
from app.jobs.figures import TURN_LATE
from app.store import threads, turns
from app.store.clock import turn_hint
from app.store.engine import Row, Tx
from app.store.threads import Thread
from app.store.turns import Begin, Key, Told, Twin

FULL_WAIT = timedelta(seconds=1)
HELD_WAIT = timedelta(milliseconds=50)
"""Whoever holds a thread is seldom longer about it."""
log = structlog.get_logger("forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A turn that this process alone may POST, until its lease ends."""

    tenant_id: str
    interaction_id: str
    turn_id: str
    attempt: int
    lease: str
    agent_id: str
    url: str
    secrets: tuple[str, ...]
    at: datetime
    body: bytes
    shadow: "Shadow | None"
    unsayable: str | None
    """Why it cannot be put into words: it counts as an attempt that failed."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The same turn for another endpoint, whose answer is only kept."""

    url: str
    twin: Twin


@dataclass(frozen=True, slots=True)
class Words:
    """What an agent is told, and the secrets that sign it; none where that cannot be said."""

    body: bytes = b""
    secrets: tuple[str, ...] = ()
    shadow: Shadow | None = None


async def claim(
    tx: Tx, asked: Collection[Thread], seal: Seal, endpoints: Endpoints, places: ExitStack
) -> list[HandOver]:
    """Does what the threads' turns want now; what is to be POSTed is begun, and has a place at
    its agent's endpoint (given back with `places`). Threads that somebody holds are passed over
    and looked at again soon."""
    free = await threads.lock_free(tx, asked)
    await _come_back(tx, set(asked) - set(free))
    live = await turns.live(tx, free) if free else {}
    steps = {thread: step(rows) for thread, rows in live.items()}
    tx.hints.update({turn_hint(*thread): s.look_at for thread, s in steps.items() if s.look_at})
    await _make_way(tx, live, steps)
    due = [one.hand_over for one in steps.values() if one.hand_over]
    return await _begin(tx, due, seal, endpoints, places) if due else []


async def _come_back(tx: Tx, held: Collection[Thread]) -> None:
    """The poll would come back too, but only within a second."""
    if held:
        later = await threads.later(tx, held, HELD_WAIT)
        tx.hints.update({turn_hint(*thread): at for thread, at in later.items()})


async def _make_way(tx: Tx, live: dict[Thread, list[Row]], steps: dict[Thread, Step]) -> None:
    """Ends the turns before those that are handed over, and moves the texts nobody got."""
    closed, moved, waits = [], [], []
    for thread, one in steps.items():
        if one.waits:
            waits.append((*_key(one.waits), PROTECTED_FOR))  # the protected reply wakes it
        if one.expires:
            closed.append((*_key(one.expires), "expired", "no reply came in time"))
        if one.supersedes:
            closed.append((*_key(one.supersedes), "superseded", "the lead wrote again"))
        if one.hand_over and one.hand_over["state"] == "collecting":
            before = [turn for turn in live[thread] if turn["state"] in turns.UNHEARD]
            if one.supersedes and one.supersedes["accepted_at"] is None:
                before.append(one.supersedes)
            moved += [(*_key(turn), one.hand_over["turn_id"]) for turn in before]
    await turns.postpone(tx, waits)
    await turns.close(tx, closed)
    await turns.move(tx, moved)


async def _begin(tx: Tx, due: Sequence[Row], seal: Seal, endpoints: Endpoints, places: ExitStack) -> list[HandOver]:
    about = await turns.about(tx, [_whole_key(turn) for turn in due])
    going: list[Row] = []
    waits: list[tuple[str, str, timedelta]] = []
    failed: list[tuple[Row, str]] = []
    for turn in due:
        facts = about[_key(turn)]
        if facts["sms_agent_id"] is None:
            failed.append((turn, "no active agent serves this thread"))
        elif wait := _must_wait(facts, endpoints):
            waits.append((*_key(turn), wait))
        elif why := await _braked(tx, turn, facts):
            failed.append((turn, why))
        else:
            endpoints.enter(facts["sms_agent_id"])
            places.callback(endpoints.leave, facts["sms_agent_id"])
            going.append(turn)
    await turns.postpone(tx, waits)
    await modes.fail(tx, failed)
    return await _freeze(tx, going, about, seal) if going else []


async def _freeze(tx: Tx, going: Sequence[Row], about: dict[Key, Row], seal: Seal) -> list[HandOver]:
    fresh = [_whole_key(turn) for turn in going if not about[_key(turn)]["frozen"]]
    told = await turns.told(tx, fresh, transcripts.LONGEST) if fresh else {}
    made = [_made(turn, about[_key(turn)], told.get(_key(turn)), seal) for turn in going]
    await turns.begin(tx, [begin for begin, _ in made], HAND_OVER_LEASE)
    handed = [hand_over for _, hand_over in made]
    await twins.begin(tx, [one.shadow.twin for one in handed if one.shadow])
    return handed


def _made(turn: Row, facts: Row, told: Told | None, seal: Seal) -> tuple[Begin, HandOver]:
    """What is kept of a POST, and what is needed for it."""
    now: datetime = facts["now"]
    TURN_LATE.observe((now - turn["due_at"]).total_seconds())
    lease, attempt, expires_at = ids.make("evt"), turn["attempt"] + 1, now + REPLY_WITHIN
    said, unsayable = Words(), None
    try:
        said = _worded(turn, facts, told, seal, attempt, expires_at)
    except Exception as error:  # one poisoned turn must not stop the others
        log.exception("a turn could not be put into words", turn_id=turn["turn_id"])
        unsayable = f"it could not be put into words: {type(error).__name__}"
    begin = Begin(
        tenant_id=turn["tenant_id"],
        turn_id=turn["turn_id"],
        attempt=attempt,
        lease=lease,
        agent_id=facts["sms_agent_id"],
        through_seq=facts["last_seq"],
        protected=facts["stale_replies"] >= PROTECTS,
        at=now,
        expires_at=expires_at,
        body=said.body,
    )
    return begin, HandOver(
        tenant_id=turn["tenant_id"],
        interaction_id=turn["interaction_id"],
        turn_id=turn["turn_id"],
        attempt=attempt,
        lease=lease,
        agent_id=facts["sms_agent_id"],
        url=facts["webhook_url"],
        secrets=said.secrets,
        at=now,
        body=said.body,
        shadow=said.shadow,
        unsayable=unsayable,
    )


def _worded(turn: Row, facts: Row, told: Told | None, seal: Seal, attempt: int, expires_at: datetime) -> Words:
    frozen = (
        payload.freeze(turn["turn_id"], facts, told.texts, told.transcript, turn["unsent_reply"])
        if told
        else json.loads(facts["frozen"])
    )
    addressed = payload.address(frozen, attempt, expires_at, facts["now"])
    sealed = [facts["secret"], facts["previous"]]
    return Words(
        to_json(addressed),
        tuple(seal.open(secret).decode() for secret in sealed if secret),
        _shadow(turn, facts, addressed) if attempt == 1 else None,
    )


def _shadow(turn: Row, facts: Row, addressed: dict[str, Any]) -> Shadow | None:
    if not facts["shadow_webhook_url"]:
        return None
    twin = twins.of(
        turn["tenant_id"],
        "shadow",
        addressed,
        turn["interaction_id"],
        facts["sms_agent_id"],
        turn["turn_id"],
    )
    return Shadow(facts["shadow_webhook_url"], twin)


def _must_wait(facts: Row, endpoints: Endpoints) -> timedelta | None:
    """How long a due turn waits for its agent's hours or for room there; None: not at all."""
    if hours := facts["business_hours"]:
        opens = windows.opening(facts["now"], hours)
        if opens > facts["now"]:
            wait: timedelta = opens - facts["now"]
            return wait
    return FULL_WAIT if endpoints.full(facts["sms_agent_id"]) else None


async def _braked(tx: Tx, turn: Row, facts: Row) -> str | None:
    """Why the loop breaker keeps the turn; None: it does not."""
    if turn["attempt"]:
        return None  # it was let through when it was first handed over
    if facts["paused"]:
        return f"the agent is paused: {facts['paused_reason']}"
    most = facts["max_turns_per_day"]
    if facts["handed_over_today"] < most:
        return None
    why = f"{most} turns were handed over today"
    await modes.brake(tx, (turn["tenant_id"], turn["interaction_id"]), why)
    return f"the agent is paused: {why}"


def _key(turn: Row) -> Key:
    return turn["tenant_id"], turn["turn_id"]


def _whole_key(turn: Row) -> tuple[str, str, str]:
    return turn["tenant_id"], turn["interaction_id"], turn["turn_id"]
