"""Leads: add, put, change, remove, import. A real lead replaces placeholders with its phone."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from zoneinfo import available_timezones as _read_timezones

from app.commands.directory import (
    Fields,
    normalize_tenant_phone,
    require_found,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, Invalid, Problem
from app.store import campaigns, directory, leads, tenants
from app.store.engine import ReadTx, Tx
from app.store.schema import Lead

available_timezones = cache(_read_timezones)  # without a cache, each call reads a whole folder
NAME_FIELDS = frozenset({"first_name", "last_name", "email"})
"""A lead that gets one of these is no placeholder any more."""


async def add(tx: Tx, caller: Caller, fields: Fields) -> Lead:
    """Adds a lead. Raises `Invalid`, `AlreadyExists`."""
    values = await _check_fields(tx, caller, fields)
    lead = await leads.add(tx, caller.tenant_id, values.get("lead_id") or ids.make("lead"), values)
    if lead is None:
        raise AlreadyExists(details=["leadId: is taken"])
    return await _take_place_of_placeholders(tx, lead)


async def add_or_replace(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> tuple[Lead, bool]:
    """Adds or replaces the lead; returns it, and whether it is new. Raises `Invalid`."""
    values = await _check_fields(tx, caller, fields)
    lead, is_new = await leads.add_or_replace(tx, caller.tenant_id, lead_id, values)
    return await _take_place_of_placeholders(tx, lead), is_new


async def judge_many(read: ReadTx, caller: Caller, rows: Sequence[Fields]) -> list[Fields | Problem]:
    """Each lead as it would be stored, or the problem with it; in order."""
    country = await tenants.get_country(read, caller.tenant_id)
    campaign_ids = {fields["campaign_id"] for fields in rows if fields.get("campaign_id")}
    known_ids = await campaigns.find_known(read, caller.tenant_id, campaign_ids)
    results: list[Fields | Problem] = []
    for row in rows:
        try:
            results.append(_check_fields_offline(row, country, known_ids))
        except Problem as problem:
            results.append(problem)
    return results


async def merge_many(tx: Tx, caller: Caller, judged_leads: Sequence[Fields]) -> None:
    """Adds new leads; changes only the given fields of leads that exist. A lead whose id is given
    twice is merged twice, in order."""
    values_by_id: dict[str, Fields] = {}
    for lead in judged_leads:
        lead_id = str(lead.get("lead_id") or ids.make("lead"))
        values = {name: value for name, value in lead.items() if name != "lead_id"}
        values_by_id[lead_id] = {**values_by_id.get(lead_id, {}), **values, "is_placeholder": False}
    if not values_by_id:
        return
    await leads.merge(tx, caller.tenant_id, values_by_id)
    id_by_phone = {values["phone"]: lead_id for lead_id, values in values_by_id.items() if values.get("phone")}
    for phone in await leads.find_with_placeholder(tx, caller.tenant_id, list(id_by_phone)):
        await leads.adopt_placeholders(tx, caller.tenant_id, id_by_phone[phone], phone)


def _check_fields_offline(fields: Fields, country: str, known_ids: Collection[str]) -> Fields:
    """As `_check_fields`, without queries: the tenant's country and campaigns are passed in."""
    values = dict(fields)
    if phone := fields.get("phone"):
        values["phone"] = phones.normalize_phone(phone, country)
    if (zone := fields.get("timezone")) and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    if fields.get("campaign_id") and fields["campaign_id"] not in known_ids:
        raise Invalid(details=["campaignId: does not exist"])
    if (lead_id := fields.get("lead_id")) and not ids.CALLER_ID_PATTERN.fullmatch(lead_id):
        raise Invalid(details=["leadId: must be 1-64 of A-Za-z0-9_.:-"])
    return values


async def change(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> Lead:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    require_found(await leads.lock(tx, caller.tenant_id, lead_id))
    values = await _check_fields(tx, caller, fields)
    if any(values.get(name) for name in NAME_FIELDS):
        values["is_placeholder"] = False
    lead = require_found(await leads.change(tx, caller.tenant_id, lead_id, values))
    return await _take_place_of_placeholders(tx, lead)


async def remove(tx: Tx, caller: Caller, lead_id: str) -> None:
    """Raises `NotFound`; `InUse` while it has threads."""
    require_found(await leads.lock(tx, caller.tenant_id, lead_id))
    with unless_in_use("leadId: has interactions"):
        await directory.remove(tx, Lead, caller.tenant_id, lead_id)


async def _check_fields(tx: Tx, caller: Caller, fields: Fields) -> dict[str, Any]:
    values = dict(fields)
    require_not_null(Lead, fields)
    if phone := fields.get("phone"):
        values["phone"] = await normalize_tenant_phone(tx, caller.tenant_id, phone, "phone")
    zone = fields.get("timezone")
    if zone is not None and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    await require_known(tx, caller.tenant_id, Lead, fields)
    return values


async def _take_place_of_placeholders(tx: Tx, lead: Lead) -> Lead:
    """Replaces the placeholders with the lead's phone; returns the lead."""
    if lead.is_placeholder or not lead.phone:
        return lead
    await leads.adopt_placeholders(tx, lead.tenant_id, lead.lead_id, lead.phone)
    return require_found(await directory.get(tx, Lead, lead.tenant_id, lead.lead_id))
