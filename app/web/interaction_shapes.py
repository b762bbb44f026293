"""How a thread is shown: in the API, in exports and, for its agent's state, on the page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.domain.transcripts import MAX_ENTRIES, Entry, EntryNote, build_entry
from app.store import interactions, planned_turns, thread_history
from app.store.engine import ReadTx
from app.store.interactions import Message, Thread
from app.store.rows import hints_of
from app.web.envelope import Out


class Telephony(Out):
    provider: str | None
    message_id: str | None
    phone_number: str


class Sms(Out):
    agent_mode: bool
    direction: str | None


class AgentState(Out):
    state: str
    due_at: datetime | None = None
    reason: str | None = None


class FollowUpShape(Out):
    step: int

    @classmethod
    def of_step(cls, step: int | None) -> Self | None:
        return None if step is None else cls(step=step)


class Scheduled(Out):
    message_id: str
    message: str
    status: str
    send_at: datetime | None
    held_until: datetime | None


class StatusStepShape(Out):
    """A change of the thread's status."""

    status: str
    from_status: Annotated[str, Field(alias="from")]
    actor: str | None
    """`person:…`, `key:…`, `agent:…`, `lead`, `carrier` or `service`. Null: it was not recorded."""
    actor_name: str | None
    """A person's e-mail, the name of a key or an agent."""
    rule: str | None
    """What decided it, such as `hand`, `outcome`, `handoff` or `word`."""
    at: datetime


class InteractionShape(Out):
    interaction_id: str
    lead_id: str
    campaign_id: str | None
    client_id: str | None
    offer_id: str | None
    type: Literal["sms"] = "sms"
    status: str
    phone: str
    telephony: Telephony
    sms: Sms
    summary: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    last_message_preview: str | None
    unread_count: int
    awaits_decision: bool
    """A text may be an opt-out: it waits for a person, and so do the texts after it."""
    agent_state: AgentState
    assigned_to: str | None
    """The id of the person whose thread it is."""
    waiting_since: datetime | None
    """Since when the lead waits for a person: nobody answers, a reply is held, or our text failed. Null: it
    does not wait, or is snoozed."""
    snoozed_until: datetime | Literal["reply"] | None
    """A time, or `reply`: only the lead's next text ends the snooze, as it ends every one."""


class ListedInteraction(InteractionShape):
    scheduled: list[Scheduled]


class PlannedTurnShape(Out):
    """A turn that comes although the lead does not write."""

    turn_id: str
    trigger: str
    follow_up: FollowUpShape | None
    due_at: datetime


class WholeInteraction(ListedInteraction):
    planned_turns: list[PlannedTurnShape]
    """The next one first. `POST /turns/{turnId}/skip` and `/postpone` change them."""
    status_history: list[StatusStepShape]
    """Every change of the status, oldest first. A new thread is `in_progress`."""
    transcript: list[Entry]
    """The newest 1,000 entries."""
    transcript_truncated: bool


SHARED_FIELDS = InteractionShape.model_fields.keys() & hints_of(Thread).keys() - {"snoozed_until"}


def build_agent_state(thread: Thread) -> AgentState:
    """Returns what the agent is doing in the thread."""
    if not thread.agent_mode:
        return AgentState(state="off")
    if thread.agent_paused:
        return AgentState(state="paused", due_at=thread.paused_until, reason=thread.paused_reason)
    state = thread.turn_state
    if thread.held_turn_id and state != "delivering":
        return AgentState(state="held", reason=f"{thread.held_turn_id}: a stale reply waits")
    if thread.awaits_decision:
        return AgentState(state="held", reason="a person decides whether the lead has opted out")
    if state is None:
        return AgentState(state="idle")
    if state == "delivering" and not thread.turn_posting and thread.turn_attempt:
        return AgentState(state="retrying", reason=f"attempt {thread.turn_attempt} failed")
    due_at = thread.turn_due_at if state == "collecting" else None
    return AgentState(state=state, due_at=due_at)


def build_summary(thread: Thread) -> dict[str, Any]:
    """Returns the fields of a thread, without its transcript."""
    return {
        **{name: getattr(thread, name) for name in SHARED_FIELDS},
        "phone": thread.lead_phone,
        "telephony": Telephony(
            provider=thread.provider, message_id=thread.provider_message_id, phone_number=thread.our_number
        ),
        "sms": Sms(agent_mode=thread.agent_mode, direction=thread.last_direction),
        "last_message_preview": thread.last_preview,
        "agent_state": build_agent_state(thread),
        "waiting_since": thread.waiting_since,
        "snoozed_until": thread.snoozed_until or "reply" if thread.is_snoozed else None,
    }


def build_entries(texts: Sequence[Message], is_for_agent: bool = False) -> list[Entry]:
    """Returns the entries of a transcript. An agent gets no note that is not for it."""
    return [
        build_noted_entry(text)
        for text in texts
        if not (is_for_agent and text.note is not None and not text.note["forAgent"])
    ]


def build_noted_entry(text: Message) -> Entry:
    entry = build_entry(text)
    if text.note is not None:
        entry["note"] = EntryNote(author=text.actor, mentions=text.note["mentions"], forAgent=text.note["forAgent"])
    return entry


async def get_unreleased_texts(read: ReadTx, threads: Sequence[Thread]) -> dict[str, list[Scheduled]]:
    """Returns scheduled and held texts by interaction id. All threads belong to one tenant."""
    texts_by_thread: dict[str, list[Scheduled]] = {thread.interaction_id: [] for thread in threads}
    if texts_by_thread:
        for text in await interactions.list_unreleased(read, threads[0].tenant_id, [*texts_by_thread]):
            texts_by_thread[text.interaction_id].append(
                Scheduled(
                    message_id=text.message_id,
                    message=text.text,
                    status=text.status,
                    send_at=text.send_at,
                    held_until=text.held_until,
                )
            )
    return texts_by_thread


async def get_status_history(read: ReadTx, thread: Thread) -> list[StatusStepShape]:
    return [StatusStepShape.model_validate(step) for step in await thread_history.list_of_thread(read, *thread.key)]


async def get_planned_turns(read: ReadTx, thread: Thread) -> list[PlannedTurnShape]:
    return [
        PlannedTurnShape(
            turn_id=turn.turn_id,
            trigger=turn.trigger,
            follow_up=FollowUpShape.of_step(turn.step),
            due_at=turn.due_at,
        )
        for turn in await planned_turns.list_of_thread(read, *thread.key)
    ]


async def build_whole_interaction(read: ReadTx, thread: Thread, is_for_agent: bool = False) -> WholeInteraction:
    """Returns a thread with its newest entries and its unreleased texts."""
    texts = await interactions.get_transcript(read, *thread.key, MAX_ENTRIES)
    return WholeInteraction(
        **build_summary(thread),
        status_history=await get_status_history(read, thread),
        transcript=build_entries(texts, is_for_agent),
        transcript_truncated=bool(texts) and (texts[0].seq or 0) > 1,
        planned_turns=await get_planned_turns(read, thread),
        scheduled=(await get_unreleased_texts(read, [thread]))[thread.interaction_id],
    )
