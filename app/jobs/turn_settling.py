"""Settle hand-overs: one transaction for a set of agents' answers."""

from collections.abc import Sequence
from dataclasses import replace

from app import traces
from app.agents.webhook import Answer, FailedPost, TakenTurn
from app.calls.agents import PostResult
from app.commands import answered_turns, hand_offs, modes, outcomes, planned_turns, refusals, reply
from app.commands.outcomes import AcceptedOutcome, GivenOutcome
from app.domain.problems import Invalid
from app.domain.turns import HANDED_OVER_STATES, UNFINISHED_STATES
from app.domain.windows import next_hand_over
from app.jobs.turn_claims import HandOver
from app.store import hand_overs, turns
from app.store.clock import turn_hint
from app.store.engine import Tx
from app.store.hand_overs import PostEnd
from app.store.turns import Turn, TurnEnd

AnsweredHandOver = tuple[HandOver, PostResult]
TurnAnswer = tuple[Turn, TakenTurn]


async def settle(tx: Tx, answers: Sequence[AnsweredHandOver]) -> None:
    """Records all answers, and acts on them: first on those whose turns still have our lease. An answer
    whose lease has ended counts as received by the agent, too."""
    first_answers = {
        (hand_over.tenant_id, hand_over.turn_id): (hand_over, result) for hand_over, result in reversed(answers)
    }
    await _settle_set(tx, list(reversed(first_answers.values())))
    if len(first_answers) < len(answers):  # the same turn twice: its first lease ended
        await settle(tx, [answer for answer in answers if answer not in first_answers.values()])


async def _settle_set(tx: Tx, answers: Sequence[AnsweredHandOver]) -> None:
    await outcomes.lock_threads(
        tx,
        {(hand_over.tenant_id, hand_over.interaction_id) for hand_over, _ in answers},
        {
            (hand_over.tenant_id, hand_over.interaction_id): result.answer.outcome
            for hand_over, result in answers
            if isinstance(result.answer, TakenTurn) and result.answer.outcome
        },
    )
    known_turns = await turns.get_many(tx, [(hand_over.tenant_id, hand_over.turn_id) for hand_over, _ in answers])
    found_answers = [
        (known_turns[key], hand_over, result)
        for hand_over, result in answers
        if (key := (hand_over.tenant_id, hand_over.turn_id)) in known_turns
    ]
    new_endings = await hand_overs.end_posts(
        tx, [_build_post_end(turn, hand_over, result) for turn, hand_over, result in found_answers]
    )
    for turn, _, _ in found_answers:
        if turn.next_due_at:  # texts came meanwhile; without a hint only the poll would find them
            tx.hints[turn_hint(*turn.thread)] = turn.next_due_at
    await _apply_answers(
        tx,
        [(turn, result.answer) for turn, hand_over, result in found_answers if _has_lease(turn, hand_over)],
    )
    await _act_on_late_answers(
        tx,
        [
            (turn, result.answer)
            for turn, hand_over, result in found_answers
            if not _has_lease(turn, hand_over) and (*turn.key, hand_over.attempt) in new_endings
        ],
    )


def _has_lease(turn: Turn, hand_over: HandOver) -> bool:
    return turn.state == "delivering" and turn.lease == hand_over.lease


def _build_post_end(turn: Turn, hand_over: HandOver, result: PostResult) -> PostEnd:
    fault = result.answer if isinstance(result.answer, FailedPost) else None
    has_lease = _has_lease(turn, hand_over)
    return PostEnd(
        tenant_id=hand_over.tenant_id,
        turn_id=hand_over.turn_id,
        attempt=hand_over.attempt,
        lease=hand_over.lease,
        outcome="failed" if fault else "accepted",
        http_status=result.http_status,
        duration_ms=result.duration_ms,
        answer=result.recorded_answer if result.recorded_answer is not None else getattr(result.answer, "why", None),
        is_accepted=not fault and (has_lease or turn.accepted_at is None),
        # No hint for a retry: the poll finds it, and a second later is early enough.
        retry_in=next_hand_over(hand_over.attempt, fault.retry_after) if fault and has_lease else None,
    )


async def _apply_answers(tx: Tx, answers: Sequence[tuple[Turn, Answer]]) -> None:
    failed_turns: list[tuple[Turn, str]] = []
    accepted_answers: list[tuple[Turn, TakenTurn]] = []
    for turn, answer in answers:
        if isinstance(answer, TakenTurn):
            accepted_answers.append((turn, answer))
        elif next_hand_over(turn.attempt, answer.retry_after) is None:
            why = f"the agent's webhook failed {turn.attempt} times: {answer.why}"
            failed_turns.append((turn, why))
    await modes.give_up_turns(tx, failed_turns)
    await _act_on_answers(tx, accepted_answers)


async def _act_on_late_answers(tx: Tx, answers: Sequence[tuple[Turn, Answer]]) -> None:
    """Acts on answers that came after the lease had ended. While the turn is open they are as good as
    any: the first one counts, whichever POST brought it. If the turn is closed, texts are recorded as
    refused. A hand-off is obeyed and an outcome carried out in both cases."""
    accepted_answers = [(turn, answer) for turn, answer in answers if isinstance(answer, TakenTurn)]
    await _act_on_answers(
        tx,
        [
            (turn, answer if _says_something_new(turn, answer) else replace(answer, texts=None))
            for turn, answer in accepted_answers
        ],
    )


def _says_something_new(turn: Turn, answer: TakenTurn) -> bool:
    """Whether the turn is open, or these texts are not the reply that closed it."""
    if turn.state in UNFINISHED_STATES:
        return True
    return bool(answer.texts) and (not turn.reply or turn.reply["texts"] != list(answer.texts or ()))


async def _act_on_answers(tx: Tx, accepted_answers: Sequence[TurnAnswer]) -> None:
    """Sends the replies, carries out the outcomes, then hands threads to people: a reply beside a
    hand-off goes first."""
    first_answers, later_answers = _split_by_lead(accepted_answers)
    accepted_outcomes = await outcomes.accept_inline_outcomes(
        tx, [GivenOutcome(turn, answer.outcome, "inline") for turn, answer in first_answers if answer.outcome]
    )
    replies = [(turn, answer.texts, answer.media) for turn, answer in first_answers if answer.texts is not None]
    for turn, texts, _ in replies:
        traces.record_point("reply", turn.turn_id, texts=len(texts))
    settled_keys = await reply.accept_inline_replies(tx, replies, accepted_outcomes) if replies else set()
    turn_ends = [
        _build_outcome_end(accepted_outcomes[turn.key], answer)
        for turn, answer in first_answers
        if turn.key in accepted_outcomes and turn.key not in settled_keys
    ]
    other_outcomes = [outcome for key, outcome in accepted_outcomes.items() if key not in settled_keys]
    await outcomes.settle(tx, turn_ends, other_outcomes)
    await answered_turns.end_waits(tx, [outcome.turn for outcome in other_outcomes])
    counted_keys = settled_keys | accepted_outcomes.keys()
    await planned_turns.plan_wakes(
        tx,
        [
            (turn, answer.follow_up_at)
            for turn, answer in first_answers
            if answer.follow_up_at and turn.key in counted_keys
        ],
    )
    for turn, answer in first_answers:
        await _act_on_rest(tx, turn, answer, accepted_outcomes.get(turn.key))
    await outcomes.carry_out(tx, accepted_outcomes.values())
    if later_answers:
        await _act_on_answers(tx, later_answers)


def _split_by_lead(accepted_answers: Sequence[TurnAnswer]) -> tuple[list[TurnAnswer], list[TurnAnswer]]:
    """The answers with at most one outcome for each lead, and the others: one statement changes a row
    once."""
    first_answers: list[TurnAnswer] = []
    later_answers: list[TurnAnswer] = []
    leads: set[tuple[str, str | None]] = set()
    for turn, answer in accepted_answers:
        lead = turn.tenant_id, turn.lead_id
        is_later = bool(answer.outcome) and lead in leads
        (later_answers if is_later else first_answers).append((turn, answer))
        if answer.outcome:
            leads.add(lead)
    return first_answers, later_answers


def _build_outcome_end(outcome: AcceptedOutcome, answer: TakenTurn) -> TurnEnd:
    """The end of a turn whose outcome no reply settled. If its reply was refused, the turn stays as it
    is."""
    if answer.handoff and outcome.turn.state in HANDED_OVER_STATES:
        return outcome.build_end("handed_off", hand_offs.build_reason(answer.handoff))
    if answer.gives_reply:
        return outcome.build_end(None, None)
    return outcomes.build_lone_end(outcome)


async def _act_on_rest(tx: Tx, turn: Turn, answer: TakenTurn, outcome: AcceptedOutcome | None) -> None:
    """Records what is wrong with an answer, and obeys its hand-off."""
    if answer.why:
        await refusals.refuse_inline(tx, turn.key, answer.refused, answer.why)
    if answer.wrong_outcome:
        wrong_outcome, fault = answer.wrong_outcome
        await refusals.refuse_outcome(tx, turn.key, wrong_outcome, Invalid.code, fault, "inline")
    if answer.handoff:
        await hand_offs.hand_off(tx, turn, answer.handoff, bool(outcome and outcome.given_outcome.outcome.status))
