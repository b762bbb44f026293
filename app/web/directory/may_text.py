"""Whether a lead may be texted, and when."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.commands import may_text as commands
from app.domain.words import Purpose
from app.web.dependencies import ReadCaller, TenantRead
from app.web.envelope import Answer, Verdict
from app.web.filters import parse_instant

router = APIRouter(prefix="/api/v1/leads/{lead_id}/may-text", tags=["Leads"])


@router.get("", summary="Whether the lead may be texted, by which rule, and when")
async def judge_text(
    lead_id: str,
    caller: ReadCaller,
    read: TenantRead,
    at: Annotated[str | None, Query(description="When the text should leave; now if it is left out.")] = None,
    purpose: Annotated[
        Purpose | None, Query(description="Left out: what the lead's campaign is for, or an answer.")
    ] = None,
) -> Answer[Verdict]:
    """The verdict that a send would get, without a text: opt-outs, consent, hours and caps. Not legal advice."""
    verdict = await commands.judge_text(read, caller, lead_id, purpose, parse_instant(at, "at"))
    return Answer(data=Verdict.model_validate(verdict))
