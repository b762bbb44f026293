"""What can be chosen in the settings' forms."""

import phonenumbers

from app.domain.phones import shown
from app.providers import REGISTRY
from app.store import accounts, campaigns, numbers, sms_agents
from app.store.engine import Read

Choices = list[tuple[str, str]]
MOST = 500
"""A longer list could not be chosen from; what was chosen elsewhere stays."""
PROVIDER_NAMES = {name: name.title() for name in REGISTRY}
PROVIDERS: Choices = sorted(PROVIDER_NAMES.items())
COUNTRIES: Choices = [
    (region, f"{region} (+{phonenumbers.country_code_for_region(region)})")
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
]


async def of_numbers(read: Read, tenant_id: str) -> Choices:
    return [
        (row["phone_number_id"], _named(shown(row["phone_number"]), row["label"], row["active"]))
        for row in await numbers.listed(read, tenant_id, None, MOST)
    ]


async def of_accounts(read: Read, tenant_id: str) -> Choices:
    return [
        (row["account_id"], _named(row["name"], row["provider"], row["active"]))
        for row in await accounts.listed(read, tenant_id, None, MOST)
    ]


async def of_agents(read: Read, tenant_id: str) -> Choices:
    return [
        (row["sms_agent_id"], _named(row["name"], "test" if row["is_test"] else "", row["active"]))
        for row in await sms_agents.listed(read, tenant_id, None, MOST)
    ]


async def of_campaigns(read: Read, tenant_id: str) -> Choices:
    return [
        (row["campaign_id"], _named(row["name"], "", row["active"]))
        for row in await campaigns.listed(read, tenant_id, None, MOST)
    ]


def _named(name: str, more: str | None, active: bool) -> str:
    return f"{name}{f' · {more}' if more else ''}{'' if active else ' (inactive)'}"
