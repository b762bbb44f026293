"""A tenant's settings."""

from datetime import datetime
from typing import Annotated, Any

import phonenumbers
from fastapi import APIRouter
from pydantic import AfterValidator, ConfigDict, Field

from app.commands import brakes
from app.commands import tenants as commands
from app.commands.directory import require_found
from app.domain.callers import Caller
from app.domain.law.rules import RULES_BY_ID
from app.domain.words import LawSwitch, PossibleOptOut
from app.domain.zones import list_zones
from app.store import tenants
from app.store.engine import Tx
from app.store.schema import Tenant
from app.web.dependencies import AdminCaller, AppResources, TenantRead, TenantTx
from app.web.directory import Pause
from app.web.directory.sms_agents import Url
from app.web.envelope import Answer, Body, Line, Out, ProviderName, StoredText, make_optional_in_schema
from app.web.idempotency import Idempotent
from app.web.shapes import show_fields_of
from app.web.signing import ONCE_SHOWN, answer_with_secret, make_signing_secret
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1/settings", route_class=VersionedRoute, tags=["Settings"])


def _require_country(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("must be an ISO 3166 country code, such as US")
    return code


def _require_rule(rule: str) -> str:
    if rule not in RULES_BY_ID:
        raise ValueError(f"must be one of {', '.join(RULES_BY_ID)}")
    return rule


def _require_zone(name: str) -> str:
    if name not in list_zones():
        raise ValueError("must be an IANA time zone, such as America/New_York")
    return name


Country = Annotated[str, AfterValidator(_require_country)]
Zone = Annotated[str, AfterValidator(_require_zone)]
Cap = Annotated[int, Field(ge=0, le=1000)]
Hour = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class QuietHoursBody(Body):
    """Texts may leave from `start` to `end`, in the recipient's time zone: from 08:00 to 21:00
    if nothing else is said, and only if `enabled`."""

    enabled: bool = False
    start: Hour = "08:00"
    end: Hour = "21:00"


class LawException(Body):
    """A rule of the law's that texts do not obey. The reason is kept in the audit."""

    rule: Annotated[str, AfterValidator(_require_rule)]
    reason: Annotated[Line, Field(min_length=1, pattern=r"\S")]


class SettingsChange(Body):
    default_provider: ProviderName | None = None
    default_country: Country | None = None
    timezone: Zone | None = None
    """The days of the figures are days of this zone."""
    quiet_hours: QuietHoursBody | None = None
    law_rules: LawSwitch | None = None
    """`on`: texts keep the hours and caps that the law has where their recipient lives. Not legal advice."""
    law_exceptions: Annotated[list[LawException], Field(max_length=100)] | None = None
    max_first_contacts_per_day: Cap | None = None
    """To one phone in 24 hours, while nobody has written from it. Null: no limit but the law's."""
    max_texts_per_day_without_reply: Cap | None = None
    """To one phone in 24 hours, since its lead last wrote. Null: no limit but the law's."""
    contact_check_url: Url | None = None
    """Asked before a first contact whether the phone may be contacted. Null: nobody is asked."""
    contact_check_hours: Annotated[int, Field(ge=1, le=8760)] | None = None
    """How long its answer counts. Null: 30 days."""
    agent_disclosure: StoredText | None = None
    """The sentence by which an agent says that it is one. Null: a standard one."""
    opt_out_confirmation: StoredText | None = None
    help_text: StoredText | None = None
    possible_opt_out: PossibleOptOut | None = None
    """A text that may be an opt-out waits for a person (`hold`), or the agent gets it (`forward`)."""
    answer_short_codes: bool | None = None
    """Texts from short codes (3 to 8 digits) go to the agent and are answered. By default they are only stored."""
    smart_encoding: bool | None = None
    """Replaces typographic characters by plain GSM ones if that saves the text from UCS-2."""
    undo_seconds: Annotated[int, Field(ge=1, le=60)] | None = None
    """A text that a person writes on the page waits so long (`scheduled`) and can be undone. Null: it does not wait."""
    texts_per_day: Annotated[int, Field(ge=0)] | None = None
    """Texts accepted per day (UTC). Null: no limit."""
    allowed_countries: Annotated[list[Country], Field(max_length=250)] | None = None
    """Only these countries may be texted. Null: all."""

    def get_columns(self) -> dict[str, Any]:
        fields = self.get_named_fields()
        if self.quiet_hours:
            fields["quiet_hours"] = self.quiet_hours.get_named_fields()
        return fields


class LawExceptionShape(Out):
    rule: str
    reason: str


class QuietHours(Out):
    enabled: bool
    start: str
    end: str


@show_fields_of(
    SettingsChange,
    Tenant,
    after="name",
    default_provider=ProviderName | None,
    quiet_hours=QuietHours,
    law_rules=LawSwitch,
    law_exceptions=list[LawExceptionShape],
    possible_opt_out=PossibleOptOut,
)
class SettingsShape(Out):
    tenant_id: str
    name: str
    paused_at: datetime | None
    paused_reason: str | None


def build_answer(tenant: Tenant) -> Answer[SettingsShape]:
    return Answer(data=SettingsShape.of(tenant))


@router.get("", summary="The tenant's settings")
async def get_settings(caller: AdminCaller, read: TenantRead) -> Answer[SettingsShape]:
    return build_answer(require_found(await tenants.get(read, caller.tenant_id)))


async def _lock_tenant(tx: Tx, caller: Caller, _: str) -> object:
    return await tenants.lock(tx, caller.tenant_id)


SettingsTx = Annotated[Tx, guarded_by(get_settings, _lock_tenant)]


@router.patch("", summary="Change the given fields; null clears a field")
async def change_settings(body: SettingsChange, caller: AdminCaller, tx: SettingsTx) -> Answer[SettingsShape]:
    return build_answer(await commands.change(tx, caller, body.get_columns()))


class CheckSecret(Out):
    model_config = ConfigDict(json_schema_extra=make_optional_in_schema(ONCE_SHOWN))
    signing_secret: str


@router.post("/rotate-contact-check-secret", summary="Make a new secret that signs the questions to contactCheckUrl")
async def rotate_contact_check_secret(
    caller: AdminCaller, tx: TenantTx, resources: AppResources, idempotency: Idempotent
) -> Answer[CheckSecret]:
    secret = make_signing_secret(resources.seal)
    await tenants.set_check_secret(tx, caller.tenant_id, secret.sealed)
    return await answer_with_secret(idempotency, CheckSecret(signing_secret=secret.text), 200)


@router.post("/pause", summary="Pause: no text of the tenant leaves until it is resumed")
async def pause_tenant(body: Pause, caller: AdminCaller, tx: TenantTx) -> Answer[SettingsShape]:
    return build_answer(await brakes.pause(tx, caller, Tenant, caller.tenant_id, body.reason))


@router.post("/resume", summary="Resume: queued texts leave again")
async def resume_tenant(caller: AdminCaller, tx: TenantTx) -> Answer[SettingsShape]:
    return build_answer(await brakes.resume(tx, caller, Tenant, caller.tenant_id))
