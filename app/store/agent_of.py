"""The agent that serves a thread: one rule for every statement that needs it."""

AGENT_OF_SQL = """
SELECT g.* FROM sms_agents g
LEFT JOIN campaigns gc ON gc.tenant_id = g.tenant_id AND gc.campaign_id = {campaign_id}
LEFT JOIN phone_numbers gn
       ON gn.tenant_id = g.tenant_id AND gn.phone_number_id = g.phone_number_id
WHERE g.tenant_id = {tenant_id} AND g.active
  AND (g.sms_agent_id = gc.sms_agent_id
       OR {is_test} AND g.sms_agent_id = gc.test_sms_agent_id
       OR g.inbound_enabled AND gn.phone_number = {our_number})
ORDER BY ({is_test} AND g.sms_agent_id = gc.test_sms_agent_id) DESC NULLS LAST,
         (g.sms_agent_id = gc.sms_agent_id) DESC NULLS LAST, g.created_at
LIMIT 1
"""


def agent_of_sql(tenant_id: str, campaign_id: str, is_test: str, our_number: str) -> str:
    """A sub-select of the active agent, for the given column expressions: the campaign's agent (for
    test leads its test agent first), else the number's agent if it has inbound enabled."""
    return AGENT_OF_SQL.format(
        tenant_id=tenant_id,
        campaign_id=campaign_id,
        is_test=is_test,
        our_number=our_number,
    )
