"""Do-not-contact channels of a lead (`docs/contract.md`, section 7)."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import dnc as commands
from app.domain.callers import Caller
from app.domain.words import Cause, Channel
from app.store import directory, suppressions
from app.store.engine import Tx
from app.store.schema import Lead
from app.store.suppressions import PhoneKey
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead
from app.web.envelope import Answer, Body, Line, Out
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1/leads/{lead_id}/dnc", route_class=VersionedRoute, tags=["Leads"])


class DncBody(Body):
    channels: Annotated[list[Channel], Field(max_length=3)]
    reason: Line | None = None


class DncShape(Out):
    lead_id: str
    channels: list[Channel]
    reason: str | None
    is_dnc: bool
    causes: list[Cause]
    """Why the lead's phone is suppressed. Empty if it is not."""


def build_answer(state: commands.Dnc) -> Answer[DncShape]:
    return Answer(data=DncShape.model_validate(state))


@router.get("", summary="The channels by which the lead must not be contacted")
async def get_dnc(lead_id: str, caller: ReadCaller, read: TenantRead) -> Answer[DncShape]:
    return build_answer(await commands.get_dnc(read, caller.tenant_id, lead_id))


async def _lock_lead(tx: Tx, caller: Caller, lead_id: str) -> None:
    """The phone comes before the threads that a change locks; without a phone there are none."""
    lead = await directory.get(tx, Lead, caller.tenant_id, lead_id)
    if lead and lead.phone:
        await suppressions.lock_phones_only(tx, [PhoneKey(caller.tenant_id, lead.phone)])
    elif lead:
        await directory.lock(tx, Lead, caller.tenant_id, lead_id)


DncTx = Annotated[Tx, guarded_by(get_dnc, _lock_lead)]


@router.put("", summary="Set the channels; with sms the phone is suppressed, without it released")
async def put_dnc(lead_id: str, body: DncBody, caller: ApiCaller, tx: DncTx) -> Answer[DncShape]:
    return build_answer(await commands.set_channels(tx, caller, lead_id, body.channels, body.reason))


@router.delete("", summary="Clear all channels; an opt-out by the lead stays")
async def lift_dnc(
    lead_id: str, caller: ApiCaller, tx: DncTx, reason: Annotated[str | None, Query(max_length=500)] = None
) -> Answer[DncShape]:
    return build_answer(await commands.set_channels(tx, caller, lead_id, [], reason))
