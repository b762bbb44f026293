"""What fills the variables of a canned reply."""

from dataclasses import dataclass
from typing import Any

from app.domain.reply_variables import Values, show_custom_fields
from app.store.agent_of import agent_of_sql
from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What is known of a lead, or of a thread with it."""

    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    custom_fields: dict[str, Any]
    campaign: str | None
    client: str | None
    offer: str | None
    our_number: str | None
    agent_name: str | None

    @property
    def values(self) -> Values:
        return {
            **show_custom_fields(self.custom_fields),
            "firstName": self.first_name,
            "lastName": self.last_name,
            "email": self.email,
            "phone": self.phone,
            "campaign": self.campaign,
            "client": self.client,
            "offer": self.offer,
            "ourNumber": self.our_number,
            "agentName": self.agent_name,
        }


CAMPAIGN_COLUMNS_SQL = "c.name AS campaign, c.client_name AS client, c.offer_name AS offer"
GET_FACTS_OF_THREAD_SQL = f"""
SELECT l.first_name, l.last_name, l.email, t.lead_phone AS phone, l.custom_fields, {CAMPAIGN_COLUMNS_SQL},
       t.our_number, a.name AS agent_name
FROM interactions t
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
LEFT JOIN LATERAL ({agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}) a ON true
WHERE t.tenant_id = $1 AND t.interaction_id = $2
"""


async def get_of_thread(read: ReadTx, tenant_id: str, interaction_id: str) -> ReplyFacts | None:
    return await read.fetch_one(ReplyFacts, GET_FACTS_OF_THREAD_SQL, tenant_id, interaction_id)


GET_FACTS_OF_LEAD_SQL = f"""
SELECT l.first_name, l.last_name, l.email, l.phone, l.custom_fields, {CAMPAIGN_COLUMNS_SQL},
       NULL::text AS our_number, a.name AS agent_name
FROM leads l
LEFT JOIN campaigns c ON c.tenant_id = l.tenant_id AND c.campaign_id = l.campaign_id
LEFT JOIN LATERAL ({agent_of_sql("l.tenant_id", "l.campaign_id", "l.is_test", "NULL::text")}) a ON true
WHERE l.tenant_id = $1 AND l.lead_id = $2
"""


async def get_of_lead(read: ReadTx, tenant_id: str, lead_id: str) -> ReplyFacts | None:
    return await read.fetch_one(ReplyFacts, GET_FACTS_OF_LEAD_SQL, tenant_id, lead_id)
