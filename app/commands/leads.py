"""Leads: add, put, change, remove. A real one with a placeholder's phone takes its place."""

from collections.abc import Collection, Sequence
from functools import cache
from zoneinfo import available_timezones as _read_timezones

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
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, Invalid, Problem
from app.store import campaigns, leads, tenants
from app.store.engine import Read, Tx
from app.store.leads import Lead

available_timezones = cache(_read_timezones)  # it reads the whole folder each time
FRESH: Given = {
    "first_name": None,
    "last_name": None,
    "email": None,
    "phone": None,
    "status": "new",
    "is_test": False,
    "is_placeholder": False,
    "campaign_id": None,
    "timezone": None,
    "questionnaire": [],
}
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


async def judge_many(read: Read, caller: Caller, given: Sequence[Given]) -> list[Lead | Problem]:
    """Each of the leads as it would be stored, or what is wrong with it; in order."""
    country = await tenants.country(read, caller.tenant_id)
    known = await campaigns.known(read, caller.tenant_id, {g["campaign_id"] for g in given if g.get("campaign_id")})
    judged: list[Lead | Problem] = []
    for one in given:
        try:
            judged.append(_checked_plainly(one, country, known))
        except Problem as problem:
            judged.append(problem)
    return judged


async def merge_many(tx: Tx, caller: Caller, judged: Sequence[Lead]) -> None:
    """Adds leads, and changes of those that are there only what is given. A lead whose id is
    given twice is merged twice, in order."""
    given: dict[str, Lead] = {}
    for one in judged:
        lead_id = str(one.get("lead_id") or ids.make("lead"))
        named = {name: value for name, value in one.items() if name != "lead_id"}
        given[lead_id] = {**given.get(lead_id, {}), **named, "is_placeholder": False}
    if not given:
        return
    await leads.merge(tx, caller.tenant_id, FRESH, given)
    by_phone = {one["phone"]: lead_id for lead_id, one in given.items() if one.get("phone")}
    for phone in await leads.with_placeholder(tx, caller.tenant_id, list(by_phone)):
        await leads.adopt(tx, caller.tenant_id, by_phone[phone], phone)


def _checked_plainly(given: Given, country: str, campaigns_known: Collection[str]) -> Lead:
    """As `_checked`, from what is known already."""
    checked = dict(given)
    if phone := given.get("phone"):
        checked["phone"] = phones.normalise(phone, country)
    if (zone := given.get("timezone")) and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    if given.get("campaign_id") and given["campaign_id"] not in campaigns_known:
        raise Invalid(details=["campaignId: is not the id of one of yours"])
    if (lead_id := given.get("lead_id")) and not ids.CALLERS_OWN.fullmatch(lead_id):
        raise Invalid(details=["leadId: must be 1-64 of A-Za-z0-9_.:-"])
    return checked


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
    found(await leads.lock(tx, caller.tenant_id, lead_id))
    with unless_in_use("leadId: has interactions"):
        await leads.remove(tx, caller.tenant_id, lead_id)


async def _checked(tx: Tx, caller: Caller, given: Given) -> dict[str, object]:
    checked = dict(given)
    require_not_null(given, {"status": "status", "is_test": "isTest", "questionnaire": "questionnaire"})
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
