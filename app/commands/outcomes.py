"""Judges the outcomes that agents give, and carries them out: one for each turn (docs/agents.md,
"Outcomes")."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.commands import consent, dry_turns, refusals, timeline
from app.commands.answered_turns import end_waits, get_own_turn, reload_turn
from app.commands.hand_offs import HANDED_OFF_PREFIX
from app.domain import ids
from app.domain.callers import Caller
from app.domain.outcomes import (
    ANSWERED_BY_PERSON,
    STATUS_BY_PERSON,
    By,
    Outcome,
    check_outcome,
    find_unknown,
    is_same,
    leave_out_answers,
    store_outcome,
)
from app.domain.problems import Invalid, Problem
from app.domain.turns import HANDED_OVER_STATES, ClosedState
from app.store import lead_answers, notes, suppressions, threads, turns
from app.store import outcomes as store
from app.store.arrivals import WordText
from app.store.engine import Tx
from app.store.lead_answers import LeadChange, LeadNews, NewAnswer
from app.store.notes import Note
from app.store.outcomes import OutcomeFacts
from app.store.threads import ThreadKey
from app.store.turns import Turn, TurnEnd, TurnKey

MAX_TOLD_ANSWERS = 10
"""Answers that one note lists."""
CONCLUDED_REASON = "the agent gave an outcome"


@dataclass(frozen=True, slots=True)
class GivenOutcome:
    """An outcome as an agent gave it. The turn's thread is locked."""

    turn: Turn
    outcome: Outcome
    by: By


@dataclass(frozen=True, slots=True)
class RefusedPart:
    """A part of an accepted outcome that has no effect, because a person decided otherwise."""

    outcome: Mapping[str, Any]
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class AcceptedOutcome:
    given_outcome: GivenOutcome
    facts: OutcomeFacts
    outcome: Outcome
    """What is carried out: nothing of it, if this outcome was carried out before."""
    refused_parts: tuple[RefusedPart, ...] = ()
    is_repeat: bool = False

    @property
    def turn(self) -> Turn:
        return self.given_outcome.turn

    def build_end(self, state: ClosedState | None, reason: str | None, reply: str | None = None) -> TurnEnd:
        """How the turn ends with this outcome."""
        if self.is_repeat:
            return TurnEnd(*self.turn.key, state, reason, reply)
        stored_outcome = json.dumps({**store_outcome(self.given_outcome.outcome), "by": self.given_outcome.by})
        # `dnc` concerns all threads of the phone: it is set with the suppression.
        status = None if self.outcome.status == "dnc" else self.outcome.status
        return TurnEnd(*self.turn.key, state, reason, reply, stored_outcome, status, self.outcome.summary)


AcceptedByTurn = Mapping[TurnKey, AcceptedOutcome]


async def lock_threads(tx: Tx, thread_keys: Collection[ThreadKey], outcomes: Mapping[ThreadKey, Outcome]) -> None:
    """Locks the threads, after the phones of those that got an outcome: it may change the lead, or
    suppress the phone and so all its threads."""
    locked_threads = set(thread_keys)
    if outcomes:
        threads_by_phone = await store.find_phone_threads(tx, outcomes)
        await suppressions.lock_phones_only(tx, sorted(threads_by_phone))
        stopped_threads = {thread for thread, outcome in outcomes.items() if outcome.status == "dnc"}
        for phone_threads in threads_by_phone.values():
            if phone_threads & stopped_threads:
                locked_threads |= phone_threads
    await threads.lock(tx, locked_threads)


async def accept_api_outcome(tx: Tx, caller: Caller, turn_id: str, outcome: Outcome) -> Problem | None:
    """Carries out an outcome that came through the API; returns why not. Raises `NotFound`.

    A refusal is returned, not raised, because it records something that must be committed."""
    turn = await get_own_turn(tx, caller.tenant_id, turn_id, caller.agent_id)
    if turn.kind != "live":
        return await dry_turns.accept_outcome(tx, turn, outcome, "api")
    await lock_threads(tx, [turn.thread], {turn.thread: outcome})
    given_outcome = GivenOutcome(await reload_turn(tx, turn.key), outcome, "api")
    [result] = await _judge(tx, [given_outcome])
    if isinstance(result, Problem):
        await _record_problem(tx, given_outcome, result)
        return result
    await settle(tx, [build_lone_end(result)], [result])
    await end_waits(tx, [result.turn])
    await carry_out(tx, [result])
    return None


def build_lone_end(item: AcceptedOutcome) -> TurnEnd:
    """The end of a turn that got an outcome and no reply: an open turn is closed."""
    is_open = item.turn.state in HANDED_OVER_STATES
    return item.build_end(*(("concluded", CONCLUDED_REASON) if is_open else (None, None)))


async def accept_inline_outcomes(tx: Tx, given_outcomes: Sequence[GivenOutcome]) -> dict[TurnKey, AcceptedOutcome]:
    """Judges outcomes in the answers of webhooks, each of another lead; records those that are refused
    and returns the others. They have had no effect yet."""
    accepted_by_turn: dict[TurnKey, AcceptedOutcome] = {}
    for given_outcome, result in zip(given_outcomes, await _judge(tx, given_outcomes), strict=True):
        if isinstance(result, Problem):
            await _record_problem(tx, given_outcome, result)
        else:
            accepted_by_turn[given_outcome.turn.key] = result
    return accepted_by_turn


async def settle(tx: Tx, turn_ends: Sequence[TurnEnd], accepted_outcomes: Collection[AcceptedOutcome]) -> None:
    """Closes the turns, with what their outcomes (`accepted_outcomes`) say of threads and leads."""
    answers: list[NewAnswer] = []
    changes: list[LeadChange] = []
    for item in accepted_outcomes:
        new_answers = _find_new_answers(item)
        answers += new_answers
        if new_answers or item.outcome.lead_status:
            changes.append(_build_change(item, new_answers))
    await turns.close(tx, turn_ends, LeadNews(answers, changes))


async def carry_out(tx: Tx, accepted_outcomes: Collection[AcceptedOutcome]) -> None:
    """What outcomes do besides changing threads and leads: notes of what they changed and of their own,
    opt-outs, and what is told of parts that have no effect. The turns are settled."""
    note_texts = [
        (item.turn, text) for item in accepted_outcomes for text in (_describe_changes(item), item.outcome.note) if text
    ]
    await notes.add(tx, [Note(*turn.thread, text, turn.agent_author) for turn, text in note_texts])
    for item in accepted_outcomes:
        for part in item.refused_parts:
            await refusals.refuse_outcome(
                tx, item.turn.key, part.outcome, part.code, part.detail, item.given_outcome.by
            )
        if item.outcome.status == "dnc":
            await consent.heed_stop(tx, [_build_word_text(item)], item.turn.agent_author)


async def _judge(tx: Tx, given_outcomes: Sequence[GivenOutcome]) -> list[AcceptedOutcome | Problem]:
    """For each outcome what to carry out, or why it has no effect."""
    if not given_outcomes:
        return []
    message_ids = [
        a.message_id for given_outcome in given_outcomes for a in given_outcome.outcome.answers if a.message_id
    ]
    facts = await store.get_facts(tx, [given_outcome.turn.key for given_outcome in given_outcomes], message_ids)
    return [_judge_one(given_outcome, facts[given_outcome.turn.key]) for given_outcome in given_outcomes]


def _judge_one(given_outcome: GivenOutcome, facts: OutcomeFacts) -> AcceptedOutcome | Problem:
    turn = given_outcome.turn
    if is_same(turn.outcome, given_outcome.outcome):
        return AcceptedOutcome(given_outcome, facts, Outcome(), is_repeat=True)
    problem = check_outcome(
        turn.state,
        turn.reason,
        facts,
        is_suppressed=facts.is_suppressed,
        has_outcome=turn.outcome is not None,
        has_handed_off=turn.state == "handed_off" or HANDED_OFF_PREFIX in (turn.reason or ""),
    )
    if problem:
        return problem
    if faults := find_unknown(given_outcome.outcome, facts.question_keys, facts.known_message_ids):
        return Invalid(details=faults)
    return _leave_out_persons_words(given_outcome, facts)


def _leave_out_persons_words(given_outcome: GivenOutcome, facts: OutcomeFacts) -> AcceptedOutcome:
    """An agent overwrites neither a person's answer nor a status that was set by hand since the turn
    was handed over. `dnc` is the lead's own wish."""
    outcome, parts = given_outcome.outcome, []
    if facts.has_status_by_hand and outcome.status not in (None, "dnc", facts.status):
        parts.append(RefusedPart({"status": outcome.status}, STATUS_BY_PERSON, "status: was set by hand meanwhile"))
        outcome = replace(outcome, status=None)
    persons_answers = {
        newest["key"]: newest["answer"]
        for newest in facts.newest_answers
        if newest["answer"] is not None and newest["author"].startswith("person:")
    }
    for answer in given_outcome.outcome.answers:
        if persons_answers.get(answer.key, answer.answer) != answer.answer:
            detail = f"answers: a person answered {answer.key}"
            parts.append(RefusedPart(store_outcome(Outcome(answers=(answer,))), ANSWERED_BY_PERSON, detail))
    return AcceptedOutcome(given_outcome, facts, leave_out_answers(outcome, list(persons_answers)), tuple(parts))


async def _record_problem(tx: Tx, given_outcome: GivenOutcome, problem: Problem) -> None:
    detail = "; ".join(problem.details) or problem.message
    await refusals.refuse_outcome(
        tx, given_outcome.turn.key, store_outcome(given_outcome.outcome), problem.code, detail, given_outcome.by
    )


def _find_new_answers(item: AcceptedOutcome) -> list[NewAnswer]:
    """The answers that are not known yet. An answer that is known without its text gets the text."""
    newest = {
        (a["key"], a["answer"], message_id) for a in item.facts.newest_answers for message_id in (a["messageId"], None)
    }
    return [
        NewAnswer(
            item.turn.tenant_id,
            ids.make("evt"),
            item.facts.lead_id,
            answer.key,
            answer.answer,
            item.turn.turn_id,
            answer.message_id,
            item.turn.agent_author,
        )
        for answer in item.outcome.answers
        if (answer.key, answer.answer, answer.message_id) not in newest
    ]


def _describe_changes(item: AcceptedOutcome) -> str:
    """What the outcome changed, as a note of the thread says it; empty if it changed nothing. `dnc` has a
    note of its own."""
    outcome, facts = item.outcome, item.facts
    changes: list[str] = []
    if outcome.status not in (None, "dnc", facts.status):
        changes.append(f"set the status to {timeline.describe_status(outcome.status)}")
    if outcome.lead_status not in (None, facts.lead_status):
        changes.append(f"set the lead's status to {outcome.lead_status}")
    known_answers = {newest["key"]: newest["answer"] for newest in facts.newest_answers}
    answers = [answer for answer in outcome.answers if known_answers.get(answer.key) != answer.answer]
    questions = item.facts.get_questions()
    if answers:
        pairs = [f"“{timeline.shorten(questions[item.key])}” {timeline.shorten(item.answer)}" for item in answers]
        changes.append(f"recorded {'; '.join(pairs[:MAX_TOLD_ANSWERS])}{'; …' if pairs[MAX_TOLD_ANSWERS:] else ''}")
    return f"The agent {timeline.join_words(changes)}." if changes else ""


def _build_change(item: AcceptedOutcome, new_answers: Sequence[NewAnswer]) -> LeadChange:
    questions = item.facts.get_questions()
    entries = [(answer.key, questions[answer.key], answer.answer or "") for answer in new_answers]
    return LeadChange(
        item.turn.tenant_id, item.facts.lead_id, item.outcome.lead_status, lead_answers.build_entries(entries)
    )


def _build_word_text(item: AcceptedOutcome) -> WordText:
    """The lead's last text as an opt-out."""
    facts, text = item.facts, item.facts.last_text or {}
    return WordText(
        tenant_id=item.turn.tenant_id,
        message_id=text.get("messageId") or "",
        thread_id=ids.make("int"),
        our_number=facts.our_number,
        lead_phone=facts.lead_phone,
        lead_id=facts.lead_id,
        campaign_id=facts.campaign_id,
        account_id=text.get("accountId") or "",
        provider=text.get("provider") or "",
        text=text.get("text") or "",
        word="stop",
        rule="agent",
    )
