"""Merges two leads that are one person: threads, texts and answers of one become the other's."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.commands import dnc
from app.commands.leads import take_place_of_placeholders
from app.domain import ids
from app.domain.callers import Caller
from app.domain.lead_fields import MAX_TAGS, merge_custom_fields
from app.domain.problems import Invalid, NotFound
from app.store import directory, erasure, lead_answers, merging, suppressions
from app.store.engine import Tx
from app.store.lead_answers import NewAnswer, RecordedAnswer
from app.store.schema import Lead
from app.store.suppressions import PhoneKey

FILLED_COLUMNS = ("first_name", "last_name", "email", "phone", "campaign_id", "timezone")
"""Where the lead has nothing, it gets what the other has."""
UNKNOWN_OF_PLACEHOLDERS = ("status", "is_test", "is_placeholder")
"""Nobody set these of a placeholder: it gets them from the other lead."""
Entries = Sequence[Mapping[str, Any]]
"""A questionnaire: `{"key", "question", "answer"}`."""
Sources = Mapping[str, RecordedAnswer]
"""By key, the newest recorded answer of a lead."""


async def merge_leads(tx: Tx, caller: Caller, lead_id: str, from_id: str) -> Lead:
    """Gives the lead all that the other one has, and removes the other one. Threads stay as they are:
    each belongs to one pair of numbers. Raises `Invalid`, `NotFound`."""
    if lead_id == from_id:
        raise Invalid(details=["from: is the lead itself"])
    phones = await _lock_phones_and_threads(tx, caller.tenant_id, [lead_id, from_id])
    lead, other_lead = await _lock_both(tx, caller.tenant_id, lead_id, from_id)
    values = _unite_fields(lead, other_lead)
    values["questionnaire"], restated_answers = await _unite_answers(tx, caller, lead, other_lead)
    await merging.move_all(tx, caller.tenant_id, from_id, lead_id, phones)
    await lead_answers.add(tx, restated_answers)
    await directory.change(tx, Lead, caller.tenant_id, lead_id, values)
    if "sms" in values["dnc_channels"]:
        suppressed_phones = [phone for phone in (lead.phone, other_lead.phone) if phone]
        await dnc.suppress_new(tx, caller, list(dict.fromkeys(suppressed_phones)), values["dnc_reason"])
    merged_lead = await directory.get(tx, Lead, caller.tenant_id, lead_id)
    assert merged_lead is not None
    return await take_place_of_placeholders(tx, merged_lead)


async def _lock_phones_and_threads(tx: Tx, tenant_id: str, lead_ids: Sequence[str]) -> list[str]:
    """Locks the phones of the leads, then their threads (docs/laws.md, law 9), so that no text of them is
    stored meanwhile. Returns the phones."""
    phones: set[str] = set()
    # Again, because a lead may have got another phone before its phone was locked.
    while new_phones := {*await erasure.get_phones(tx, tenant_id, lead_ids)} - phones:
        await suppressions.lock_phones(tx, sorted(PhoneKey(tenant_id, phone) for phone in new_phones))
        phones |= new_phones
    await erasure.lock_threads(tx, tenant_id, lead_ids, sorted(phones))
    return sorted(phones)


async def _lock_both(tx: Tx, tenant_id: str, lead_id: str, from_id: str) -> tuple[Lead, Lead]:
    """Raises `NotFound`."""
    leads_by_id = await merging.lock_leads(tx, tenant_id, [lead_id, from_id])
    if lead_id not in leads_by_id:
        raise NotFound
    if from_id not in leads_by_id:
        raise NotFound(details=["from: does not exist"])
    return leads_by_id[lead_id], leads_by_id[from_id]


def _unite_fields(lead: Lead, other_lead: Lead) -> dict[str, Any]:
    """The new values of the lead's columns. Raises `Invalid` if a list would be too long."""
    values = {name: getattr(other_lead, name) for name in FILLED_COLUMNS if not getattr(lead, name)}
    if lead.is_placeholder:
        values |= {name: getattr(other_lead, name) for name in UNKNOWN_OF_PLACEHOLDERS}
    tags = list(dict.fromkeys([*lead.tags, *other_lead.tags]))
    if len(tags) > MAX_TAGS:
        raise Invalid(details=[f"tags: the lead would have more than {MAX_TAGS}"])
    return values | {
        "tags": tags,
        "custom_fields": merge_custom_fields(other_lead.custom_fields, lead.custom_fields),
        "dnc_channels": sorted({*lead.dnc_channels, *other_lead.dnc_channels}),
        "dnc_reason": lead.dnc_reason or other_lead.dnc_reason,
    }


async def _unite_answers(tx: Tx, caller: Caller, lead: Lead, other_lead: Lead) -> tuple[list[Any], list[NewAnswer]]:
    """The united questionnaire, and the answers to record again: those that stay though the other lead
    has a newer one, because the newest record of a key stands in the questionnaire."""
    sources = await _get_sources(tx, lead)
    other_sources = await _get_sources(tx, other_lead)
    entries = _unite_questionnaires(lead.questionnaire, other_lead.questionnaire, sources, other_sources)
    restated_answers = []
    for entry in entries:
        key, answer = entry["key"], entry.get("answer")
        records = [source[key] for source in (sources, other_sources) if key in source]
        newest = max(records, key=_get_time, default=None)
        if newest is None:
            continue
        kept = next((record for record in sorted(records, key=_rank, reverse=True) if record.answer == answer), None)
        if newest.answer != answer or (kept and newest.author != kept.author):
            restated_answers.append(_restate(caller, lead, key, answer, kept))
    return entries, restated_answers


async def _get_sources(tx: Tx, lead: Lead) -> Sources:
    answers = await lead_answers.list_of_lead(tx, lead.tenant_id, lead.lead_id)
    return {answer.key: answer for answer in answers}  # oldest first: the newest stays


def _unite_questionnaires(
    entries: Entries, other_entries: Entries, sources: Sources, other_sources: Sources
) -> list[Mapping[str, Any]]:
    """Of each key the newest answer, but a person's answer stays. New keys come last."""
    other_by_key = {entry["key"]: entry for entry in other_entries}

    def choose(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        key = entry["key"]
        is_newer = key in other_by_key and _rank(other_sources.get(key)) > _rank(sources.get(key))
        return other_by_key[key] if is_newer else entry

    known_keys = {entry["key"] for entry in entries}
    return [*map(choose, entries), *(entry for key, entry in other_by_key.items() if key not in known_keys)]


def _rank(source: RecordedAnswer | None) -> tuple[bool, datetime]:
    if source is None:
        return False, datetime.min.replace(tzinfo=UTC)
    return source.answer is not None and source.author.startswith("person:"), source.at


def _get_time(source: RecordedAnswer) -> datetime:
    return source.at


def _restate(caller: Caller, lead: Lead, key: str, answer: str | None, kept: RecordedAnswer | None) -> NewAnswer:
    return NewAnswer(
        tenant_id=lead.tenant_id,
        answer_id=ids.make("evt"),
        lead_id=lead.lead_id,
        key=key,
        answer=answer,
        turn_id=kept.turn_id if kept else None,
        message_id=kept.message_id if kept else None,
        author=kept.author if kept else caller.author,
    )
