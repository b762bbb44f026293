"""Leads: add, put, change, remove, import. A real lead replaces placeholders with its phone."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any
from zoneinfo import available_timezones as _read_timezones

from app.commands.directory import (
    Fields,
    require_found,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.commands.phones import read_recipient, read_recipients
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.lead_fields import CustomFields, merge_custom_fields
from app.domain.problems import AlreadyExists, Invalid, Problem
from app.domain.words import RowOutcome
from app.store import campaigns, directory, lead_answers, leads, tenants
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
    if values.get("questionnaire"):
        await lead_answers.record_questionnaires(tx, caller.tenant_id, [lead.lead_id], caller.author)
    return await take_place_of_placeholders(tx, lead)


async def add_or_replace(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> tuple[Lead, bool]:
    """Adds or replaces the lead; returns it, and whether it is new. Raises `Invalid`."""
    values = await _check_fields(tx, caller, fields)
    lead, is_new = await leads.add_or_replace(tx, caller.tenant_id, lead_id, values)
    if not is_new or values.get("questionnaire"):
        await lead_answers.record_questionnaires(tx, caller.tenant_id, [lead_id], caller.author)
    return await take_place_of_placeholders(tx, lead), is_new


async def judge_many(read: ReadTx, caller: Caller, rows: Sequence[Fields | Problem]) -> list[Fields | Problem]:
    """Each lead as it would be stored, with its id, or the problem with it; in order. A row without
    an id is the lead with its phone. Rows that have a problem already keep it."""
    country = await tenants.get_country(read, caller.tenant_id)
    good_rows = [fields for fields in rows if not isinstance(fields, Problem)]
    campaign_ids = {str(fields["campaign_id"]) for fields in good_rows if fields.get("campaign_id")}
    known_ids = await campaigns.find_known(read, caller.tenant_id, campaign_ids)
    raw_phones = [fields["phone"] for fields in good_rows if fields.get("phone")]
    recipients = dict(zip(raw_phones, await read_recipients(read, caller.tenant_id, raw_phones, country), strict=True))
    results: list[Fields | Problem] = []
    for fields in rows:
        try:
            results.append(
                fields if isinstance(fields, Problem) else _check_fields_offline(fields, recipients, known_ids)
            )
        except Problem as problem:
            results.append(problem)
    return await _refuse_many_fields(read, caller, await _identify_many(read, caller, results))


async def _refuse_many_fields(read: ReadTx, caller: Caller, rows: Sequence[Fields | Problem]) -> list[Fields | Problem]:
    """Refuses each row that would give its lead too many custom fields, with those of the rows before it."""
    lead_ids = {
        str(fields["lead_id"]) for fields in rows if not isinstance(fields, Problem) and fields.get("custom_fields")
    }
    known_fields = await leads.get_custom_fields(read, caller.tenant_id, sorted(lead_ids)) if lead_ids else {}

    def check(fields: Fields | Problem) -> Fields | Problem:
        if isinstance(fields, Problem) or not fields.get("custom_fields"):
            return fields
        lead_id = fields["lead_id"]
        try:
            known_fields[lead_id] = merge_custom_fields(known_fields.get(lead_id, {}), fields["custom_fields"])
        except Invalid as problem:
            return problem
        return fields

    return [check(fields) for fields in rows]


async def _identify_many(read: ReadTx, caller: Caller, rows: Sequence[Fields | Problem]) -> list[Fields | Problem]:
    """Gives each row a lead id. The order of the rows makes no difference, so that the same rows
    again mean the same leads."""
    good_rows = [fields for fields in rows if not isinstance(fields, Problem)]
    phone_by_id = {
        str(fields["lead_id"]): str(fields["phone"])
        for fields in good_rows
        if fields.get("lead_id") and fields.get("phone")
    }
    phones = {str(fields["phone"]) for fields in good_rows if fields.get("phone") and not fields.get("lead_id")}
    id_by_phone = await leads.find_by_phone(read, caller.tenant_id, sorted(phones), sorted(phone_by_id))
    for lead_id, phone in phone_by_id.items():
        id_by_phone[phone] = min(lead_id, id_by_phone.get(phone, lead_id))
    ids_without_phone = {
        str(fields["lead_id"]) for fields in good_rows if fields.get("lead_id") and not fields.get("phone")
    }
    known_ids = {*phone_by_id, *await leads.find_known(read, caller.tenant_id, sorted(ids_without_phone))}
    for phone in phones - id_by_phone.keys():
        id_by_phone[phone] = ids.make("lead")

    def identify(fields: Fields) -> Fields | Problem:
        lead_id = fields.get("lead_id") or id_by_phone.get(fields.get("phone", ""))
        is_good = fields.get("phone") or lead_id in known_ids
        return {**fields, "lead_id": lead_id} if is_good else Invalid(details=["phone: is required"])

    return [fields if isinstance(fields, Problem) else identify(fields) for fields in rows]


async def merge_many(tx: Tx, caller: Caller, judged_leads: Sequence[Fields]) -> list[RowOutcome]:
    """Adds new leads; changes only the given fields of leads that exist. A lead that is given twice
    is merged twice, in order. Returns for each row what became of its lead."""
    values_by_id: dict[str, Fields] = {}
    for fields in judged_leads:
        values = {name: value for name, value in fields.items() if name != "lead_id"} | {"is_placeholder": False}
        earlier_values = values_by_id.get(fields["lead_id"], {})
        if "custom_fields" in earlier_values and "custom_fields" in values:
            values["custom_fields"] = {**earlier_values["custom_fields"], **values["custom_fields"]}
        values_by_id[fields["lead_id"]] = {**earlier_values, **values}
    if not values_by_id:
        return []
    outcomes = await leads.merge(tx, caller.tenant_id, values_by_id)
    answering_ids = [lead_id for lead_id, values in values_by_id.items() if "questionnaire" in values]
    if answering_ids:
        await lead_answers.record_questionnaires(tx, caller.tenant_id, answering_ids, caller.author)
    id_by_phone = {values["phone"]: lead_id for lead_id, values in values_by_id.items() if values.get("phone")}
    for phone in await leads.find_with_placeholder(tx, caller.tenant_id, list(id_by_phone)):
        await leads.adopt_placeholders(tx, caller.tenant_id, id_by_phone[phone], phone)
    return [outcomes[fields["lead_id"]] for fields in judged_leads]


def _check_fields_offline(fields: Fields, recipients: Mapping[str, str | None], known_ids: Collection[str]) -> Fields:
    """As `_check_fields`, without queries: the phones, as they are read, and the tenant's campaigns are
    passed in."""
    values = dict(fields)
    if phone := fields.get("phone"):
        values["phone"] = recipients[phone] or phones.refuse("phone")
    if (zone := fields.get("timezone")) and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    if fields.get("campaign_id") and fields["campaign_id"] not in known_ids:
        raise Invalid(details=["campaignId: does not exist"])
    return values


async def change(tx: Tx, caller: Caller, lead_id: str, fields: Fields) -> Lead:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    new_phone = fields.get("phone") and await read_recipient(tx, caller.tenant_id, fields["phone"], "phone")
    # Both phones at once: one after the other could deadlock.
    known_lead = require_found(await leads.lock(tx, caller.tenant_id, lead_id, new_phone))
    values = await _check_fields(tx, caller, fields, known_lead.custom_fields)
    if any(values.get(name) for name in NAME_FIELDS):
        values["is_placeholder"] = False
    lead = require_found(await leads.change(tx, caller.tenant_id, lead_id, values))
    if "questionnaire" in fields:
        await lead_answers.record_questionnaires(tx, caller.tenant_id, [lead_id], caller.author)
    return await take_place_of_placeholders(tx, lead)


async def remove(tx: Tx, caller: Caller, lead_id: str) -> None:
    """Raises `NotFound`; `InUse` while it has threads."""
    require_found(await leads.lock(tx, caller.tenant_id, lead_id))
    with unless_in_use("leadId: has interactions"):
        await directory.remove(tx, Lead, caller.tenant_id, lead_id)


async def _check_fields(
    tx: Tx, caller: Caller, fields: Fields, known_custom_fields: CustomFields = MappingProxyType({})
) -> dict[str, Any]:
    values = dict(fields)
    require_not_null(Lead, fields)
    if "custom_fields" in fields:
        values["custom_fields"] = merge_custom_fields(known_custom_fields, fields["custom_fields"])
    if phone := fields.get("phone"):
        values["phone"] = await read_recipient(tx, caller.tenant_id, phone, "phone")
    zone = fields.get("timezone")
    if zone is not None and zone not in available_timezones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    await require_known(tx, caller.tenant_id, Lead, fields)
    return values


async def take_place_of_placeholders(tx: Tx, lead: Lead) -> Lead:
    """Replaces the placeholders with the lead's phone; returns the lead."""
    if lead.is_placeholder or not lead.phone:
        return lead
    await leads.adopt_placeholders(tx, lead.tenant_id, lead.lead_id, lead.phone)
    return require_found(await directory.get(tx, Lead, lead.tenant_id, lead.lead_id))
