"""The choices of the select boxes in the settings forms."""

import phonenumbers

from app.domain.phones import format_phone
from app.domain.zones import list_zones
from app.providers import REGISTRY
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import Campaign, PhoneNumber, ProviderAccount, SmsAgent

Choices = list[tuple[str, str]]
MAX_CHOICES = 500
"""Nobody could choose from a longer list. A value that is not in the list stays selected."""
PROVIDER_NAMES = {name: name.title() for name in REGISTRY}
PROVIDERS: Choices = sorted(PROVIDER_NAMES.items())
COUNTRIES: Choices = [
    (region, f"{region} (+{phonenumbers.country_code_for_region(region)})")
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
]
ZONES: Choices = [(name, name.replace("_", " ")) for name in sorted(list_zones())]

POSSIBLE_OPT_OUTS: Choices = [("hold", "Waits for a person to decide"), ("forward", "Goes to the agent")]

LAW_SWITCH: Choices = [
    ("off", "No: we keep them ourselves"),
    ("on", "Yes: those of the place where the recipient lives"),
]
PURPOSES: Choices = [
    ("marketing", "Marketing"),
    ("conversational", "Conversation"),
    ("transactional", "A deal that is made, such as a booking"),
]
CONSENT_BASES: Choices = [
    ("express_written", "Express, in writing"),
    ("express", "Express"),
    ("inquiry", "An inquiry"),
    ("existing_relationship", "An existing relationship"),
]
DISCLOSURES: Choices = [
    ("off", "No"),
    ("where_required", "Where the law wants it"),
    ("always", "Always"),
]


async def list_numbers(read: ReadTx, tenant_id: str) -> Choices:
    return [
        (row.phone_number_id, _build_label(format_phone(row.phone_number), row.label, row.active))
        for row in await directory.list_page(read, PhoneNumber, tenant_id, None, MAX_CHOICES)
    ]


async def list_accounts(read: ReadTx, tenant_id: str) -> Choices:
    return [
        (row.account_id, _build_label(row.name, PROVIDER_NAMES[row.provider], row.active))
        for row in await directory.list_page(read, ProviderAccount, tenant_id, None, MAX_CHOICES)
    ]


async def list_agents(read: ReadTx, tenant_id: str) -> Choices:
    return [
        (row.sms_agent_id, _build_label(row.name, "test" if row.is_test else "", row.active))
        for row in await directory.list_page(read, SmsAgent, tenant_id, None, MAX_CHOICES)
    ]


async def list_campaigns(read: ReadTx, tenant_id: str) -> Choices:
    return [
        (row.campaign_id, _build_label(row.name, "", row.active))
        for row in await directory.list_page(read, Campaign, tenant_id, None, MAX_CHOICES)
    ]


def _build_label(name: str, note: str | None, active: bool) -> str:
    return f"{name}{f' · {note}' if note and note.lower() != name.lower() else ''}{'' if active else ' (inactive)'}"
