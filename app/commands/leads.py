"""Leads: add, put, change, remove. A real one with a placeholder's phone takes its place."""

from zoneinfo import available_timezones

from app.commands.directory import (
    Given,
    found,
    merged,
    only_one,
    readable_phone,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, Invalid
from app.store import leads
from app.store.engine import Tx
from app.store.leads import Lead

FRESH: Given = {
    "first_name": None, "last_name": None, "email": None, "phone": None, "status": "new",
    "is_test": False, "is_placeholder": False, "campaign_id": None, "timezone": None,
    "questionnaire": [],
}  # fmt: skip
NAMING = frozenset({"first_name", "last_name", "email"})
"""Whoever is given one of these is known: no placeholder any more."""


async def add(tx: Tx, caller: Caller, given: Given) -> Lead:
    """A new lead. Raises `Invalid`, `AlreadyExists`."""
    checked = await _checked(tx, caller, given)
    lead_id = checked.pop("lead_id", None) or ids.make("lead")
    key = {"tenant_id": caller.tenant_id, "lead_id": lead_id}
    lead = only_one(await leads.add(tx, [{**FRESH, **checked, **key}]))
    if lead is None:
        raise AlreadyExists(details=["leadId: is taken"])
    return await _settled(tx, lead)


async def put(tx: Tx, caller: Caller, lead_id: str, given: Given) -> Lead:
    """The lead as given, new or replaced whole; `created` tells which. Raises `Invalid`."""
    checked = await _checked(tx, caller, given)
    key = {"tenant_id": caller.tenant_id, "lead_id": lead_id}
    lead = only_one(await leads.put(tx, [{**FRESH, **checked, **key}]))
    return {**await _settled(tx, lead), "created": lead["created"]}


async def change(tx: Tx, caller: Caller, lead_id: str, given: Given) -> Lead:
    """Changes only what is given. Raises `Invalid`, `NotFound`."""
    row = found(await leads.lock(tx, caller.tenant_id, lead_id))
    checked = await _checked(tx, caller, given)
    if any(checked.get(name) for name in NAMING):
        checked["is_placeholder"] = False
    wanted = {name: merged(row, checked)[name] for name in ("tenant_id", "lead_id", *FRESH)}
    lead = only_one(await leads.change(tx, [wanted]))
    return await _settled(tx, lead)


async def remove(tx: Tx, caller: Caller, lead_id: str) -> None:
    """Raises `NotFound`; `InUse` while it has threads."""
    with unless_in_use("leadId: has interactions"):
        found(await leads.remove(tx, caller.tenant_id, lead_id) or None)


async def _checked(tx: Tx, caller: Caller, given: Given) -> dict[str, object]:
    checked = dict(given)
    require_not_null(given, {"status": "status", "is_test": "isTest",
                             "questionnaire": "questionnaire"})  # fmt: skip
    if phone := given.get("phone"):
        checked["phone"] = await readable_phone(tx, caller.tenant_id, phone, "phone")
    zone = given.get("timezone")
    if zone is not None and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    await require_known(tx, caller.tenant_id, given, {"campaign_id": ("campaignId", "campaign")})
    return checked


async def _settled(tx: Tx, lead: Lead) -> Lead:
    """The lead, after the placeholders with its phone gave way to it."""
    if lead["is_placeholder"] or not lead["phone"]:
        return lead
    await leads.adopt(tx, lead["tenant_id"], lead["lead_id"], lead["phone"])
    return found(await leads.get(tx, lead["tenant_id"], lead["lead_id"]))
