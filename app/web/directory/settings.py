"""A tenant's settings."""

from typing import Annotated, Any

import phonenumbers
from fastapi import APIRouter
from pydantic import AfterValidator, Field

from app.commands import tenants as commands
from app.commands.directory import found
from app.domain.orders import LONGEST_TEXT
from app.domain.words import ProviderName
from app.store import tenants
from app.store.engine import Row
from app.web.doors import AdminCaller, TenantRead, TenantTx
from app.web.envelope import Answer, Body, Out

router = APIRouter(prefix="/api/v1/settings", tags=["Settings"])


def _country(given: str) -> str:
    if given not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("must be an ISO 3166 country code, such as US")
    return given


Country = Annotated[str, AfterValidator(_country)]
Hour = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d\z")]
Text = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"\S")]


class QuietHoursBody(Body):
    """Texts may leave from `start` to `end`, in the recipient's time."""

    enabled: bool = False
    start: Hour = "08:00"
    end: Hour = "21:00"


class SettingsChange(Body):
    default_provider: ProviderName | None = None
    default_country: Country | None = None
    quiet_hours: QuietHoursBody | None = None
    opt_out_confirmation: Text | None = None
    help_text: Text | None = None

    def columns(self) -> dict[str, Any]:
        given = self.given()
        if self.quiet_hours:
            given["quiet_hours"] = self.quiet_hours.given()
        return given


class QuietHours(Out):
    enabled: bool
    start: str
    end: str


class SettingsShape(Out):
    tenant_id: str
    name: str
    default_provider: ProviderName | None
    default_country: str
    quiet_hours: QuietHours
    opt_out_confirmation: str | None
    help_text: str | None


def shape(row: Row) -> Answer[SettingsShape]:
    return Answer(data=SettingsShape.model_validate(dict(row)))


@router.get("", summary="The tenant's settings")
async def get(caller: AdminCaller, read: TenantRead) -> Answer[SettingsShape]:
    return shape(found(await tenants.get(read, caller.tenant_id)))


@router.patch("", summary="Change what is given; null clears")
async def change(body: SettingsChange, caller: AdminCaller, tx: TenantTx) -> Answer[SettingsShape]:
    return shape(await commands.change(tx, caller, body.columns()))
