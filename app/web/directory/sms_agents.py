"""SMS agents. A signing secret is shown once, when it is created."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.commands import brakes
from app.commands import sms_agents as commands
from app.commands.directory import require_found, rotate_secret
from app.domain import windows
from app.domain.follow_ups import CONDITIONS, MAX_STEPS, STEP_MINUTES, Condition
from app.domain.words import Disclosure
from app.store import directory, dry_turns
from app.store.engine import ReadTx, Tx
from app.store.schema import SmsAgent
from app.web.dependencies import ApiCaller, AppResources, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, Pause, list_rows
from app.web.dry_turns import try_agent
from app.web.envelope import Answer, AnyId, Body, Name, Out, make_optional_in_schema
from app.web.idempotency import Idempotent, RouteKey
from app.web.paging import PageParams
from app.web.shapes import show_fields_of
from app.web.signing import ONCE_SHOWN, SigningSecret, answer_with_secret, make_signing_secret
from app.web.turns import OutcomeShape, TurnShape
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/sms-agents", route_class=VersionedRoute, tags=["SMS agents"])
MIN_WINDOW_MS, MAX_WINDOW_MS = windows.WINDOW_BOUNDS_MS


Hour = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class Hours(Body):
    """The hours in which turns are handed over. `days` are ISO weekdays: Monday is 1."""

    start: Hour
    end: Hour
    timezone: Annotated[str, Field(min_length=1, max_length=64)]
    days: Annotated[list[Annotated[int, Field(ge=1, le=7)]], Field(min_length=1, max_length=7)]


class FollowUpStep(Body):
    """A turn after silence: nobody has written for so long since our newest text, or since the step
    before."""

    after_minutes: Annotated[int, Field(ge=STEP_MINUTES[0], le=STEP_MINUTES[1])]
    only_if: Annotated[list[Condition], Field(default_factory=list, max_length=len(CONDITIONS))]
    """Each must hold. `no_reply`: the lead has never written in the thread. `replied`: it has.
    `unanswered_question`: our newest text asks a question."""


class FollowUpStepShape(Out):
    after_minutes: int
    only_if: list[str]


class AgentChange(Body):
    name: Name | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    phone_number_id: AnyId | None = None
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    batch_window_ms: Annotated[int, Field(ge=MIN_WINDOW_MS, le=MAX_WINDOW_MS)] | None = None
    max_wait_ms: Annotated[int, Field(ge=MIN_WINDOW_MS, le=windows.MAX_WAIT_LIMIT_MS)] | None = None
    """At least batchWindowMs. Null: five times batchWindowMs."""
    is_test: bool | None = None
    active: bool | None = None
    inbound_enabled: bool | None = None
    inbound_campaign_ids: Annotated[list[AnyId], Field(max_length=100)] | None = None
    """In the order of search. Unknown senders become leads of the first."""
    agent_mode_by_default: bool | None = None
    stale_reply: Literal["rerun", "send", "hold"] | None = None
    """What happens to a reply that names its turn and comes after the lead wrote again. `rerun`:
    it is refused, and the next turn contains it. `send`: it is sent anyway. `hold`: a person
    decides."""
    resume_after_minutes: Annotated[int, Field(ge=1, le=43_200)] | None = None
    """Agent mode is switched on again after so many minutes without a text by a person. Null: never."""
    max_turns_per_day: Annotated[int, Field(ge=1, le=10_000)] | None = None
    business_hours: Hours | None = None
    disclosure: Disclosure | None = None
    """Its first text in a thread says that it is an agent: never (`off`), in places where the law wants it
    (`where_required`), or `always`. The sentence is one of the settings."""
    reply_delay_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    """The pause before each text of a reply, for a natural pace."""
    follow_ups: Annotated[list[FollowUpStep], Field(max_length=MAX_STEPS)] | None = None
    """The turns that the agent gets when a lead stays silent. None are given unless this is set."""
    failed_delivery_turns: bool | None = None
    """Whether the agent gets a turn when a text of ours, the newest of its thread, does not arrive."""
    shadow_webhook_url: Url | None = None
    """Gets a copy of every turn. Its answers are recorded and never sent."""


class NewAgent(AgentChange):
    name: Name
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)]


@show_fields_of(
    AgentChange,
    SmsAgent,
    after="sms_agent_id",
    max_wait_ms=int,
    stale_reply=str,
    disclosure=Disclosure,
    follow_ups=list[FollowUpStepShape],
    business_hours=dict[str, Any] | None,
)
class AgentShape(Out):
    sms_agent_id: str
    paused_at: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime


class AgentWithSecret(AgentShape):
    model_config = ConfigDict(json_schema_extra=make_optional_in_schema(ONCE_SHOWN))
    signing_secret: str


class Agents(Out):
    sms_agents: list[AgentShape]
    next_cursor: str | None
    has_more: bool


def build_shape(agent: SmsAgent) -> AgentShape:
    return AgentShape.of(agent, max_wait_ms=_get_max_wait_ms(agent))


def _show_secret(agent: SmsAgent, secret: SigningSecret) -> AgentWithSecret:
    return AgentWithSecret.of(agent, max_wait_ms=_get_max_wait_ms(agent), signing_secret=secret.text)


def _get_max_wait_ms(agent: SmsAgent) -> int:
    return agent.max_wait_ms or agent.batch_window_ms * windows.MAX_WAIT_WINDOWS


@router.post("", status_code=201, summary="Add an agent; the answer shows its signing secret once")
async def add_sms_agent(
    body: NewAgent, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[AgentWithSecret]:
    secret = make_signing_secret(resources.seal)
    agent = await commands.add(tx, caller, body.get_named_fields(), secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(agent, secret), 201)


@router.get("", summary="Agents, newest first")
async def list_sms_agents(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Agents]:
    return await list_rows(read, caller, page_query, SmsAgent, Agents, build_shape)


@router.get("/{sms_agent_id}", summary="One agent")
async def get_sms_agent(sms_agent_id: str, caller: ReadCaller, read: TenantRead) -> Answer[AgentShape]:
    agent = require_found(await directory.get(read, SmsAgent, caller.tenant_id, sms_agent_id))
    return Answer(data=build_shape(agent))


AgentTx = Annotated[Tx, guarded_by(get_sms_agent, lock_row_of(SmsAgent))]


@router.patch("/{sms_agent_id}", summary="Change the given fields; null clears a field")
async def change_sms_agent(sms_agent_id: str, body: AgentChange, caller: ApiCaller, tx: AgentTx) -> Answer[AgentShape]:
    return Answer(data=build_shape(await commands.change(tx, caller, sms_agent_id, body.get_named_fields())))


@router.post("/{sms_agent_id}/rotate-secret", summary="Make a new secret; the old one signs for one more day")
async def rotate_signing_secret(
    sms_agent_id: str, caller: ApiCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[AgentWithSecret]:
    secret = make_signing_secret(resources.seal)
    agent = await rotate_secret(tx, caller, SmsAgent, sms_agent_id, secret.sealed)
    return await answer_with_secret(idempotency, _show_secret(agent, secret), 200)


@router.post("/{sms_agent_id}/pause", summary="Pause: no text of the agent leaves")
async def pause_sms_agent(sms_agent_id: str, body: Pause, caller: ApiCaller, tx: TenantTx) -> Answer[AgentShape]:
    return Answer(data=build_shape(await brakes.pause(tx, caller, SmsAgent, sms_agent_id, body.reason)))


@router.post("/{sms_agent_id}/resume", summary="Resume: queued texts leave again")
async def resume_sms_agent(sms_agent_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[AgentShape]:
    return Answer(data=build_shape(await brakes.resume(tx, caller, SmsAgent, sms_agent_id)))


@router.post("/{sms_agent_id}/test", status_code=201, summary="Send the agent a sample turn")
async def test_sms_agent(
    sms_agent_id: str, caller: ApiCaller, resources: AppResources, key: RouteKey
) -> Answer[TurnShape]:
    """The answer is recorded; no text is sent."""
    return Answer(data=await try_agent(resources, caller.tenant_id, sms_agent_id, key))


class Side(Out):
    turn_id: str
    state: str
    reason: str | None
    texts: list[str] | None
    outcome: OutcomeShape | None
    duration_ms: int | None
    refused: int = 0


class Pair(Out):
    interaction_id: str
    opened_at: datetime
    live: Side
    shadow: Side


class Tally(Out):
    live: dict[str, int]
    shadow: dict[str, int]


class Report(Out):
    pairs: list[Pair]
    states: Tally


@router.get("/{sms_agent_id}/shadow-report", summary="Live answers and shadow answers side by side")
async def compare_shadow_turns(sms_agent_id: str, caller: ReadCaller, read: TenantRead) -> Answer[Report]:
    """The newest 100 turns, and how many ended in each state."""
    require_found(await directory.get(read, SmsAgent, caller.tenant_id, sms_agent_id))
    return Answer(data=await get_shadow_report(read, caller.tenant_id, sms_agent_id))


async def get_shadow_report(read: ReadTx, tenant_id: str, agent_id: str) -> Report:
    shadow_pairs = await dry_turns.report_shadows(read, tenant_id, agent_id, 100)
    pairs = [
        Pair(
            interaction_id=pair.interaction_id,
            opened_at=pair.opened_at,
            live=Side(
                turn_id=pair.turn_id,
                state=pair.state,
                reason=pair.reason,
                texts=pair.texts,
                outcome=pair.outcome and OutcomeShape.model_validate(pair.outcome),
                duration_ms=pair.duration_ms,
                refused=len(pair.refused),
            ),
            shadow=Side(
                turn_id=pair.shadow_turn_id,
                state=pair.shadow_state,
                reason=pair.shadow_reason,
                texts=pair.shadow_texts,
                outcome=pair.shadow_outcome and OutcomeShape.model_validate(pair.shadow_outcome),
                duration_ms=pair.shadow_duration_ms,
            ),
        )
        for pair in shadow_pairs
    ]
    states = Tally(
        live=Counter(pair.live.state for pair in pairs),
        shadow=Counter(pair.shadow.state for pair in pairs),
    )
    return Report(pairs=pairs, states=states)


@router.delete("/{sms_agent_id}", summary="Remove an agent that is not in use")
async def remove_sms_agent(sms_agent_id: str, caller: ApiCaller, tx: AgentTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, sms_agent_id)
    return Answer(data=Deleted())
