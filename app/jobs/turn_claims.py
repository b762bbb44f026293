"""Claim due turns: one transaction for a set of threads, with the same number of statements for one
thread as for a hundred."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic_core import to_json

from app.access.sealing import Seal
from app.agents import payload
from app.commands import dry_turns, modes
from app.domain import ids, transcripts, windows
from app.domain.turns import (
    PROTECTION_TIME,
    STALE_REPLIES_TO_PROTECT,
    UNHEARD_STATES,
    LiveTurn,
    TurnStep,
    decide_step,
)
from app.domain.windows import HAND_OVER_LEASE, REPLY_WITHIN
from app.jobs.endpoints import Endpoints
from app.jobs.figures import TURN_LATE_SECONDS
from app.store import hand_overs, payload_texts, threads, turns
from app.store.clock import turn_hint
from app.store.dry_turns import DryTurn
from app.store.engine import Tx
from app.store.hand_overs import PayloadFacts, PostStart
from app.store.payload_texts import PayloadTexts
from app.store.threads import ThreadKey
from app.store.turns import TurnEnd, TurnKey

FULL_WAIT = timedelta(seconds=1)
"""How long a turn waits if its agent's endpoint has no free place."""
BUSY_THREAD_WAIT = timedelta(milliseconds=50)
"""A thread's lock is rarely held for longer."""
EXPIRED_REASON = "no reply came in time"
log = structlog.get_logger("forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A claimed turn: until its lease ends, only this process may POST it."""

    tenant_id: str
    interaction_id: str
    turn_id: str
    attempt: int
    lease: str
    agent_id: str
    endpoint: str
    url: str
    secrets: tuple[str, ...]
    at: datetime
    body: bytes
    shadow: "Shadow | None"
    payload_problem: str | None
    """Why the payload could not be built; None if it was. It counts as a failed attempt."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The dry turn that goes to the agent's shadow endpoint. Its answer is only stored."""

    url: str
    dry_turn: DryTurn
    secrets: tuple[str, ...]
    """The agent's own, also if side B of an A/B test gets the turn."""


@dataclass(frozen=True, slots=True)
class SignedPayload:
    """The payload's bytes and the secrets that sign them; empty if the payload cannot be built."""

    body: bytes = b""
    secrets: tuple[str, ...] = ()
    shadow: Shadow | None = None


async def claim(
    tx: Tx, thread_keys: Collection[ThreadKey], seal: Seal, endpoints: Endpoints, places: ExitStack
) -> list[HandOver]:
    """Closes, postpones or claims the due turns of the threads. Returns the claimed ones. Each has
    a place at its agent's endpoint, which `places` frees when it is closed. Threads whose lock is
    held are skipped and get a hint for `BUSY_THREAD_WAIT` later."""
    free_threads = await threads.lock_free(tx, thread_keys)
    await _retry_busy_threads(tx, set(thread_keys) - set(free_threads))
    live_turns = await hand_overs.get_live(tx, free_threads) if free_threads else {}
    steps = {thread: decide_step(rows) for thread, rows in live_turns.items()}
    tx.hints.update({turn_hint(*thread): step.look_at for thread, step in steps.items() if step.look_at})
    await _end_earlier_turns(tx, live_turns, steps)
    due_turns = [step.due_turn for step in steps.values() if step.due_turn]
    return await _begin_hand_overs(tx, due_turns, seal, endpoints, places) if due_turns else []


async def _retry_busy_threads(tx: Tx, busy_threads: Collection[ThreadKey]) -> None:
    """Sets hints: without them the poll would find the threads, but up to a second later."""
    if busy_threads:
        time_by_thread = await threads.get_time_after(tx, busy_threads, BUSY_THREAD_WAIT)
        tx.hints.update({turn_hint(*thread): at for thread, at in time_by_thread.items()})


async def _end_earlier_turns(
    tx: Tx, live_turns: dict[ThreadKey, list[LiveTurn]], steps: dict[ThreadKey, TurnStep]
) -> None:
    """Closes the turns before those that are handed over, and moves texts that no agent received
    into the newer turn."""
    closed_turns, unanswered_turns, moves, waits = [], [], [], []
    for thread, step in steps.items():
        if step.waiting_turn:
            waits.append((*step.waiting_turn.key, PROTECTION_TIME))  # the protected turn's reply ends the wait
        if step.expired_turn:
            if step.look_at is None and step.expired_turn.trigger == "texts":
                unanswered_turns.append((step.expired_turn, EXPIRED_REASON))
            else:  # the lead wrote again, so the agent may still answer; or nobody waits for an answer
                closed_turns.append(TurnEnd(*step.expired_turn.key, "expired", EXPIRED_REASON))
        if step.superseded_turn:
            closed_turns.append(TurnEnd(*step.superseded_turn.key, "superseded", "the lead wrote again"))
        if step.due_turn and step.due_turn.state == "collecting":
            earlier_turns = [turn for turn in live_turns[thread] if turn.state in UNHEARD_STATES]
            if step.superseded_turn and step.superseded_turn.accepted_at is None:
                earlier_turns.append(step.superseded_turn)
            moves += [(*turn.key, step.due_turn.turn_id) for turn in earlier_turns]
    await turns.postpone(tx, waits)
    await turns.close(tx, closed_turns)
    await modes.expire_turns(tx, unanswered_turns)
    await hand_overs.move_texts(tx, moves)


async def _begin_hand_overs(
    tx: Tx, due_turns: Sequence[LiveTurn], seal: Seal, endpoints: Endpoints, places: ExitStack
) -> list[HandOver]:
    facts_by_turn = await hand_overs.get_payload_facts(tx, due_turns)
    turns_to_post: list[LiveTurn] = []
    waits: list[tuple[str, str, timedelta]] = []
    failed_turns: list[tuple[LiveTurn, str]] = []
    for turn in due_turns:
        facts = facts_by_turn.get(turn.key)
        if facts is None:
            failed_turns.append((turn, "no active agent serves this thread"))
        elif wait := _get_wait(facts, endpoints):
            waits.append((*turn.key, wait))
        elif why := await _check_brake(tx, turn, facts):
            failed_turns.append((turn, why))
        else:
            endpoints.take_place(facts.endpoint)
            places.callback(endpoints.free_place, facts.endpoint)
            turns_to_post.append(turn)
    await turns.postpone(tx, waits)
    await modes.give_up_turns(tx, failed_turns)
    return await _freeze_payloads(tx, turns_to_post, facts_by_turn, seal) if turns_to_post else []


async def _freeze_payloads(
    tx: Tx, turns_to_post: Sequence[LiveTurn], facts_by_turn: dict[TurnKey, PayloadFacts], seal: Seal
) -> list[HandOver]:
    fresh_turns = [turn for turn in turns_to_post if not facts_by_turn[turn.key].frozen]
    texts_by_turn = (
        await payload_texts.get_payload_texts(tx, fresh_turns, transcripts.MAX_ENTRIES) if fresh_turns else {}
    )
    posts = [
        _build_hand_over(turn, facts_by_turn[turn.key], texts_by_turn.get(turn.key, PayloadTexts()), seal)
        for turn in turns_to_post
    ]
    await hand_overs.begin_posts(tx, [post_start for post_start, _ in posts], HAND_OVER_LEASE)
    claimed_turns = [hand_over for _, hand_over in posts]
    await dry_turns.begin_dry_turns(tx, [hand_over.shadow.dry_turn for hand_over in claimed_turns if hand_over.shadow])
    return claimed_turns


def _build_hand_over(
    turn: LiveTurn, facts: PayloadFacts, texts: PayloadTexts, seal: Seal
) -> tuple[PostStart, HandOver]:
    """The row of the POST, and the hand-over that performs it."""
    now = facts.now
    TURN_LATE_SECONDS.observe((now - turn.due_at).total_seconds())
    lease, attempt, expires_at = ids.make_lease(), turn.attempt + 1, now + REPLY_WITHIN
    signed_payload, payload_problem = SignedPayload(), None
    try:
        signed_payload = _build_payload(turn, facts, texts, seal, attempt, expires_at)
    except Exception as error:  # one bad turn must not stop the others
        log.exception("a turn's payload could not be built", turn_id=turn.turn_id)
        payload_problem = f"the payload could not be built: {type(error).__name__}"
    post_start = PostStart(
        tenant_id=turn.tenant_id,
        turn_id=turn.turn_id,
        attempt=attempt,
        lease=lease,
        agent_id=facts.sms_agent_id,
        through_seq=facts.last_seq,
        is_protected=turn.trigger == "texts" and facts.stale_replies >= STALE_REPLIES_TO_PROTECT,
        at=now,
        expires_at=expires_at,
        body=signed_payload.body,
        experiment_id=facts.experiment_id,
        side=facts.side,
    )
    return post_start, HandOver(
        tenant_id=turn.tenant_id,
        interaction_id=turn.interaction_id,
        turn_id=turn.turn_id,
        attempt=attempt,
        lease=lease,
        agent_id=facts.sms_agent_id,
        endpoint=facts.endpoint,
        url=facts.other_url if facts.side == "b" and facts.other_url else facts.webhook_url,
        secrets=signed_payload.secrets,
        at=now,
        body=signed_payload.body,
        shadow=signed_payload.shadow,
        payload_problem=payload_problem,
    )


def _build_payload(
    turn: LiveTurn,
    facts: PayloadFacts,
    texts: PayloadTexts,
    seal: Seal,
    attempt: int,
    expires_at: datetime,
) -> SignedPayload:
    experiment: payload.TurnExperiment | None = None
    if facts.experiment_id and facts.side:
        experiment = {"experimentId": facts.experiment_id, "side": facts.side}
    if facts.frozen:
        body = payload.repeat_turn(facts.frozen, attempt, expires_at, facts.now, experiment)
    else:
        body = to_json(
            payload.build_turn(
                facts,
                texts.texts,
                texts.transcript,
                turn.unsent_reply,
                facts.refused_outcome,
                attempt,
                expires_at,
                facts.now,
                payload.TurnCause(turn.trigger, turn.step, facts.follow_up_count),
                experiment,
            )
        )
    own_secrets = _open_secrets(seal, facts.secret, facts.previous_secret)
    return SignedPayload(
        body,
        _open_secrets(seal, facts.other_secret, facts.other_previous_secret) if facts.side == "b" else own_secrets,
        _build_shadow(turn, facts, body, own_secrets) if attempt == 1 else None,
    )


def _open_secrets(seal: Seal, *sealed_secrets: bytes | None) -> tuple[str, ...]:
    return tuple(seal.open(secret).decode() for secret in sealed_secrets if secret)


def _build_shadow(turn: LiveTurn, facts: PayloadFacts, body: bytes, secrets: tuple[str, ...]) -> Shadow | None:
    if not facts.shadow_webhook_url:
        return None
    dry_turn = dry_turns.build_dry_turn(
        turn.tenant_id, "shadow", body, turn.interaction_id, facts.sms_agent_id, turn.turn_id
    )
    return Shadow(facts.shadow_webhook_url, dry_turn, secrets)


def _get_wait(facts: PayloadFacts, endpoints: Endpoints) -> timedelta | None:
    """How long a due turn must wait for its agent's business hours or for a free place at its
    endpoint; None if it need not."""
    if hours := facts.business_hours:
        opens = windows.find_opening(facts.now, hours)
        if opens > facts.now:
            return opens - facts.now
    return FULL_WAIT if endpoints.is_full(facts.endpoint) else None


async def _check_brake(tx: Tx, turn: LiveTurn, facts: PayloadFacts) -> str | None:
    """Why the loop breaker stops the turn, None if it does not. Pauses the agent at its daily
    limit."""
    if turn.attempt:
        return None  # it was checked before its first attempt
    if facts.is_paused:
        return f"the agent is paused: {facts.paused_reason}"
    max_turns = facts.max_turns_per_day
    if facts.handed_over_today < max_turns:
        return None
    why = f"{max_turns} turns were handed over today"
    if turn.trigger == "texts":  # else nobody waits for an answer
        await modes.pause_agent(tx, turn.thread, why)
    return f"the agent is paused: {why}"
