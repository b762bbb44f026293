"""What a tenant has set up, and what it has not: the first steps."""

from dataclasses import dataclass

from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """None or False: not yet. Of several accounts and agents the oldest active one is named."""

    account_id: str | None
    account_name: str | None
    provider: str | None
    carrier_url: str | None
    """The account's own address of its carrier."""
    number: str | None
    agent_id: str | None
    agent_name: str | None
    is_agent_tested: bool
    campaign_id: str | None
    campaign_name: str | None
    has_text: bool

    @property
    def states(self) -> list[bool]:
        """Whether each step is done, in their order."""
        return [
            self.account_id is not None,
            self.number is not None,
            self.agent_id is not None and self.is_agent_tested,
            self.campaign_id is not None,
            self.has_text,
        ]

    @property
    def done_count(self) -> int:
        return sum(self.states)

    @property
    def next_step(self) -> int:
        """The first one that is not done, counted from 1; 0: all are."""
        return next((place for place, is_done in enumerate(self.states, 1) if not is_done), 0)


GET_FIRST_STEPS_SQL = """
SELECT p.account_id, p.name AS account_name, p.provider, p.base_url AS carrier_url, n.phone_number AS number,
       g.sms_agent_id AS agent_id, g.name AS agent_name,
       EXISTS (SELECT 1 FROM turns u WHERE u.tenant_id = $1 AND u.sms_agent_id = g.sms_agent_id
               AND u.accepted_at IS NOT NULL) AS is_agent_tested,
       c.campaign_id, c.name AS campaign_name,
       EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 AND m.role = 'agent' AND m.status <> 'note') AS has_text
FROM (SELECT) one
LEFT JOIN LATERAL (SELECT * FROM provider_accounts WHERE tenant_id = $1 AND active
                   ORDER BY account_id LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT * FROM phone_numbers WHERE tenant_id = $1 AND active AND 'sms' = ANY (capabilities)
                   ORDER BY phone_number_id LIMIT 1) n ON true
LEFT JOIN LATERAL (SELECT * FROM sms_agents WHERE tenant_id = $1 AND active
                   ORDER BY sms_agent_id LIMIT 1) g ON true
LEFT JOIN LATERAL (SELECT * FROM campaigns WHERE tenant_id = $1 AND active
                   ORDER BY campaign_id LIMIT 1) c ON true
"""


async def get(read: ReadTx, tenant_id: str) -> FirstSteps:
    [steps] = await read.fetch(FirstSteps, GET_FIRST_STEPS_SQL, tenant_id)
    return steps
