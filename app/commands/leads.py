"""Leads: add, put, change, remove. A real one with a placeholder's phone takes its place."""

from collections.abc import Collection, Sequence
from functools import cache
from zoneinfo import available_timezones as _read_timezones

from app.commands.directory import (
    Fields,
    first_row,
    merge_fields,
    normalize_tenant_phone,
    require_found,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, Invalid, Problem
from app.store import campaigns, leads, tenants
from app.store.engine import ReadTx, Tx
from app.store.leads import Lead

available_timezones = cache(_read_timezones)  # it reads the whole folder each time
DEFAULTS: Fields = {
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
NAME_FIELDS = frozenset({"first_name", "last_name", "email"})
"""Whoever is given one of these is known: no placeholder any more."""


async def add(tx: Tx, caller: Caller, fields: Fields) -> Lead:
    """A new lead. Raises `Invalid`, `AlreadyExists`."""
    values = await _check_fields(tx, caller, fields)
    lead_id = values.pop("lead_id", None) or ids.make("lead")
    key = {"tenant_id": caller.tenant_id, "lead_id": lead_id}
    lead = first_row(await leads.add(tx, [{**DEFAULTS, **values, **key}]))
    if lead is None:
        raise AlreadyExists(details=["leadId: is taken"])
    return await _take_place_of_placeholders(tx, lead)


async def put(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> Lead:
    """The lead as given, new or replaced whole; `created` tells which. Raises `Invalid`."""
    values = await _check_fields(tx, caller, fields)
    key = {"tenant_id": caller.tenant_id, "lead_id": lead_id}
    lead = first_row(await leads.put(tx, [{**DEFAULTS, **values, **key}]))
    return {**await _take_place_of_placeholders(tx, lead), "created": lead["created"]}


async def judge_many(read: ReadTx, caller: Caller, given: Sequence[Fields]) -> list[Lead | Problem]:
    """Each of the leads as it would be stored, or what is wrong with it; in order."""
    country = await tenants.get_country(read, caller.tenant_id)
    known = await campaigns.find_known(
        read, caller.tenant_id, {g["campaign_id"] for g in given if g.get("campaign_id")}
    )
    judged: list[Lead | Problem] = []
    for one in given:
        try:
            judged.append(_check_fields_offline(one, country, known))
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
    await leads.merge(tx, caller.tenant_id, DEFAULTS, given)
    by_phone = {one["phone"]: lead_id for lead_id, one in given.items() if one.get("phone")}
    for phone in await leads.find_with_placeholder(tx, caller.tenant_id, list(by_phone)):
        await leads.adopt_placeholders(tx, caller.tenant_id, by_phone[phone], phone)


def _check_fields_offline(fields: Fields, country: str, known_ids: Collection[str]) -> Lead:
    """As `_check_fields`, from what is known already."""
    values = dict(fields)
    if phone := fields.get("phone"):
        values["phone"] = phones.normalize_phone(phone, country)
    if (zone := fields.get("timezone")) and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    if fields.get("campaign_id") and fields["campaign_id"] not in known_ids:
        raise Invalid(details=["campaignId: is not the id of one of yours"])
    if (lead_id := fields.get("lead_id")) and not ids.CALLER_ID_PATTERN.fullmatch(lead_id):
        raise Invalid(details=["leadId: must be 1-64 of A-Za-z0-9_.:-"])
    return values


async def change(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> Lead:
    """Changes only what is given. Raises `Invalid`, `NotFound`."""
    row = require_found(await leads.lock(tx, caller.tenant_id, lead_id))
    values = await _check_fields(tx, caller, fields)
    if any(values.get(name) for name in NAME_FIELDS):
        values["is_placeholder"] = False
    new_row = {name: merge_fields(row, values)[name] for name in ("tenant_id", "lead_id", *DEFAULTS)}
    lead = first_row(await leads.change(tx, [new_row]))
    return await _take_place_of_placeholders(tx, lead)


async def remove(tx: Tx, caller: Caller, lead_id: str) -> None:
    """Raises `NotFound`; `InUse` while it has threads."""
    require_found(await leads.lock(tx, caller.tenant_id, lead_id))
    with unless_in_use("leadId: has interactions"):
        await leads.remove(tx, caller.tenant_id, lead_id)


async def _check_fields(tx: Tx, caller: Caller, fields: Fields) -> dict[str, object]:
    values = dict(fields)
    require_not_null(fields, {"status": "status", "is_test": "isTest", "questionnaire": "questionnaire"})
    if phone := fields.get("phone"):
        values["phone"] = await normalize_tenant_phone(tx, caller.tenant_id, phone, "phone")
    zone = fields.get("timezone")
    if zone is not None and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    await require_known(tx, caller.tenant_id, fields, {"campaign_id": ("campaignId", "campaign")})
    return values


async def _take_place_of_placeholders(tx: Tx, lead: Lead) -> Lead:
    """The lead, after the placeholders with its phone gave way to it."""
    if lead["is_placeholder"] or not lead["phone"]:
        return lead
    await leads.adopt_placeholders(tx, lead["tenant_id"], lead["lead_id"], lead["phone"])
    return require_found(await leads.get(tx, lead["tenant_id"], lead["lead_id"]))
