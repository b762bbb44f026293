"""The forms of a thread: send, settle a held reply, set agent mode, status and consent."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Form
from pydantic import Field
from starlette.responses import Response

from app.commands import answers, dnc, held_replies, modes, opt_out_decisions, planned_turns
from app.domain.callers import Caller
from app.domain.orders import Order, require_sendable
from app.domain.outcomes import MAX_ANSWER_LENGTH, MAX_KEY_LENGTH
from app.domain.problems import Conflict, Invalid, NotFound, Problem
from app.domain.turns import MAX_TEXTS_PER_REPLY
from app.domain.words import InteractionStatus
from app.store import page as store
from app.store.engine import Tx
from app.web.page import colleague_notes, manual_texts, threads, visits
from app.web.page.attachments import AttachmentsForm
from app.web.page.manual_texts import DraftForm
from app.web.page.visits import VisitPost

router = APIRouter(prefix="/conversations/{interaction_id}", include_in_schema=False)
WROTE_SINCE = "wrote since you looked. Read it first, or send anyway."


class WroteSince(Conflict):
    code, default = "MOVED", f"The lead {WROTE_SINCE}"


@router.post("/texts")
async def send_text(
    interaction_id: str,
    visit: VisitPost,
    draft: DraftForm,
    attachments: AttachmentsForm,
    once: Annotated[str, Form(min_length=8, max_length=64)],
    seen: Annotated[int | None, Form(ge=0, le=2**31 - 1)] = None,
    anyway: Annotated[Literal["", "1"], Form()] = "",
) -> Response:
    """Sends a text by hand, or adds a note. `once` is the form's token: a form that is posted twice sends one
    text. `seen` is the seq of the newest text that the person saw; if somebody else has written since, the
    thread is shown again before anything is sent."""
    try:
        if draft.is_note:
            if draft.had_files or draft.urls.strip():
                raise Invalid(details=["Note: takes no files. Choose “Reply” to remove them, or to send them"])
            await colleague_notes.add_once(
                visit, interaction_id, draft.message, is_for_agent=draft.for_agent, once=once
            )
            return visits.redirect_to_thread(visit, interaction_id, "#newest")
        manual_text = await manual_texts.parse_text(draft, attachments, visit.zone)

        async def build_order(tx: Tx) -> Order:
            thread = await threads.find_thread(tx, visit.tenant_id, interaction_id)
            if seen is not None and not anyway:
                await _require_seen(tx, visit.caller, interaction_id, seen)
            order = manual_texts.build_order(visit.caller, thread, manual_text)
            return replace(order, agent_mode=False if draft.take else None)

        sent_to = await manual_texts.send_once(
            visit.resources, visit.caller, interaction_id, manual_text, once, build_order
        )
    except NotFound:
        raise
    except Problem as problem:
        draft.moved = isinstance(problem, WroteSince)
        return await visits.show_thread(visit, interaction_id, problem=problem, draft=draft)
    # The fragment tells page.js that a text was sent. No element has this id, because the
    # browser would scroll to it and move the panels around the transcript.
    return visits.redirect_to_thread(visit, sent_to, "#newest")


async def _require_seen(tx: Tx, caller: Caller, interaction_id: str, seen_seq: int) -> None:
    """Raises `WroteSince` if somebody else wrote after the text `seen_seq`."""
    writers = await store.find_new_writers(tx, caller.tenant_id, interaction_id, seen_seq, caller.actor)
    names = ["the lead"] * writers.lead + ["a colleague"] * writers.colleague + ["the agent"] * writers.agent
    if names:
        raise WroteSince(f"{' and '.join(names).capitalize()} {WROTE_SINCE}")


@router.post("/held")
async def settle_held(
    interaction_id: str,
    visit: VisitPost,
    turn: Annotated[str, Form(max_length=64)],
    action: Annotated[Literal["send", "discard"], Form()],
    text: Annotated[list[Annotated[str, Field(max_length=10_000)]] | None, Form(max_length=MAX_TEXTS_PER_REPLY)] = None,
) -> Response:
    """Sends the agent's held reply, perhaps edited, or discards it."""

    async def settle_reply() -> None:
        async with visit.resources.database.system_tx() as tx:
            if action == "discard":
                await held_replies.discard_held_reply(tx, visit.caller, turn)
            else:
                words = [require_sendable(draft_text.replace("\r\n", "\n")) for draft_text in text or ()]
                await held_replies.release_held_reply(tx, visit.caller, turn, words)

    return await visits.run_and_go_back(visit, interaction_id, settle_reply)


@router.post("/planned")
async def change_planned_turn(
    interaction_id: str,
    visit: VisitPost,
    turn: Annotated[str, Form(max_length=64)],
    action: Annotated[Literal["postpone", "skip"], Form()],
) -> Response:
    """Skips what the agent was to write by itself, or lets it come a day later."""

    async def change_one() -> None:
        async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
            if action == "skip":
                await planned_turns.skip_turn(tx, visit.caller, turn)
            else:
                await planned_turns.postpone_a_day(tx, visit.caller, turn)

    return await visits.run_and_go_back(visit, interaction_id, change_one)


@router.post("/opt-out")
async def decide_opt_out(
    interaction_id: str,
    visit: VisitPost,
    text: Annotated[str, Form(max_length=64)],
    answer: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    """Records whether a text that may be an opt-out is one."""

    async def decide_one() -> None:
        async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
            await opt_out_decisions.decide(tx, visit.caller, text, is_opt_out=answer == "yes")

    return await visits.run_and_go_back(visit, interaction_id, decide_one)


@router.post("/undo-opt-out")
async def undo_opt_out(
    interaction_id: str, visit: VisitPost, reason: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Undoes an opt-out that was a mistake."""

    async def undo_one() -> None:
        async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
            row = await threads.find_thread(tx, visit.tenant_id, interaction_id)
            await opt_out_decisions.undo(tx, visit.caller, row.lead_phone, reason.strip())

    return await visits.run_and_go_back(visit, interaction_id, undo_one)


@router.post("/agent-mode")
async def switch_agent_mode(
    interaction_id: str, visit: VisitPost, on: Annotated[Literal["on", "off"], Form()]
) -> Response:
    return await _set_by_hand(visit, interaction_id, None, on == "on")


@router.post("/status")
async def set_status(interaction_id: str, visit: VisitPost, status: Annotated[InteractionStatus, Form()]) -> Response:
    return await _set_by_hand(visit, interaction_id, status, None)


async def _set_by_hand(
    visit: VisitPost, interaction_id: str, status: InteractionStatus | None, agent_mode: bool | None
) -> Response:
    tenant_id, caller = visit.tenant_id, visit.caller

    async def set_fields() -> None:
        async with visit.resources.database.tenant_tx(tenant_id) as tx:
            row = await threads.find_thread(tx, tenant_id, interaction_id)
            await modes.set_by_hand(tx, caller, row, status, agent_mode)

    return await visits.run_and_go_back(visit, interaction_id, set_fields)


@router.post("/answers")
async def correct_answer(
    interaction_id: str,
    visit: VisitPost,
    key: Annotated[str, Form(max_length=MAX_KEY_LENGTH)],
    answer: Annotated[str, Form(max_length=MAX_ANSWER_LENGTH)] = "",
) -> Response:
    """Answers or corrects a question of the lead's questionnaire."""
    tenant_id, caller = visit.tenant_id, visit.caller

    async def correct() -> None:
        text = answer.replace("\r\n", "\n").strip()
        if not text or "\x00" in text:
            raise Invalid(details=["Answer: must not be blank"])
        async with visit.resources.database.tenant_tx(tenant_id) as tx:
            thread = await threads.find_thread(tx, tenant_id, interaction_id)
            await answers.correct_answer(tx, caller, thread, key, text)

    return await visits.run_and_go_back(visit, interaction_id, correct)


@router.post("/do-not-contact")
async def do_not_contact(
    interaction_id: str,
    visit: VisitPost,
    texts: Annotated[Literal["block", "allow"], Form()],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    tenant_id, caller = visit.tenant_id, visit.caller

    async def set_do_not_contact() -> None:
        async with visit.resources.database.tenant_tx(tenant_id) as tx:
            row = await threads.find_thread(tx, tenant_id, interaction_id)
            await dnc.set_thread_dnc(tx, caller, row, texts == "block", reason.strip() or None)

    return await visits.run_and_go_back(visit, interaction_id, set_do_not_contact)
