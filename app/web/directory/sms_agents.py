"""SMS agents. The signing secret is shown once, when it is made."""

import base64
import os
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from app.commands import sms_agents as commands
from app.commands.directory import found
from app.domain import windows
from app.store import sms_agents
from app.store.engine import Row
from app.web.directory import Deleted
from app.web.doors import ApiCaller, Held, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, AnyId, Body, Name, Out
from app.web.idempotency import Once
from app.web.paging import Paged

router = APIRouter(prefix="/api/v1/sms-agents", tags=["SMS agents"])
SHORTEST, LONGEST = windows.WINDOW_BOUNDS_MS


class AgentChange(Body):
    name: Name | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    phone_number_id: AnyId | None = None
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    batch_window_ms: Annotated[int, Field(ge=SHORTEST, le=LONGEST)] | None = None
    max_wait_ms: Annotated[int, Field(ge=SHORTEST, le=windows.MAX_WAIT_LIMIT_MS)] | None = None
    """From batchWindowMs up; null: five windows."""
    is_test: bool | None = None
    active: bool | None = None
    inbound_enabled: bool | None = None
    inbound_campaign_ids: Annotated[list[AnyId], Field(max_length=100)] | None = None
    """In order; the first is the primary one."""
    agent_mode_by_default: bool | None = None


class NewAgent(AgentChange):
    name: Name
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)]


class AgentShape(Out):
    sms_agent_id: str
    name: str
    description: str | None
    phone_number_id: str | None
    webhook_url: str
    batch_window_ms: int
    max_wait_ms: int
    is_test: bool
    active: bool
    inbound_enabled: bool
    inbound_campaign_ids: list[str]
    agent_mode_by_default: bool
    created_at: datetime
    updated_at: datetime


class AgentWithSecret(AgentShape):
    signing_secret: str


class Agents(Out):
    sms_agents: list[AgentShape]
    next_cursor: str | None
    has_more: bool


def shape(row: Row) -> AgentShape:
    return AgentShape.model_validate(told(row))


def told(row: Row) -> dict[str, object]:
    longest = row["max_wait_ms"] or row["batch_window_ms"] * windows.MAX_WAIT_WINDOWS
    return {**row, "max_wait_ms": longest}


def signing_secret() -> str:
    """A new secret by Standard Webhooks: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


@router.post("", status_code=201, summary="Add an agent; answers its signing secret, once")
async def add(
    body: NewAgent, caller: ApiCaller, tx: TenantTx, held: Held, once: Once
) -> Answer[AgentWithSecret]:
    secret = signing_secret()
    row = await commands.add(tx, caller, body.given(), held.seal.close(secret.encode()))
    agent = AgentWithSecret.model_validate({**told(row), "signing_secret": secret})
    return await once.keep(Answer(data=agent), secret=["signingSecret"])


@router.get("", summary="Agents, newest first")
async def listed(caller: ReadCaller, read: TenantRead, paged: Paged) -> Answer[Agents]:
    rows = await sms_agents.listed(read, caller.tenant_id, paged.below(), paged.fetch)
    shown, cursor = paged.cut(rows, lambda row: [row["sms_agent_id"]])
    return Answer(
        data=Agents(
            sms_agents=[shape(row) for row in shown],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{sms_agent_id}", summary="One agent")
async def get(sms_agent_id: str, caller: ReadCaller, read: TenantRead) -> Answer[AgentShape]:
    return Answer(data=shape(found(await sms_agents.get(read, caller.tenant_id, sms_agent_id))))


@router.patch("/{sms_agent_id}", summary="Change what is given; null clears")
async def change(
    sms_agent_id: str, body: AgentChange, caller: ApiCaller, tx: TenantTx
) -> Answer[AgentShape]:
    return Answer(data=shape(await commands.change(tx, caller, sms_agent_id, body.given())))


@router.post("/{sms_agent_id}/rotate-secret", summary="A new secret; the old one signs a day more")
async def rotate(
    sms_agent_id: str, caller: ApiCaller, tx: TenantTx, held: Held, once: Once
) -> Answer[AgentWithSecret]:
    secret = signing_secret()
    row = await commands.rotate(tx, caller, sms_agent_id, held.seal.close(secret.encode()))
    agent = AgentWithSecret.model_validate({**told(row), "signing_secret": secret})
    return await once.keep(Answer(data=agent), status=200, secret=["signingSecret"])


@router.delete("/{sms_agent_id}", summary="Remove an agent that nothing refers to")
async def remove(sms_agent_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, sms_agent_id)
    return Answer(data=Deleted())
