"""The agent that serves a thread: one rule for every statement that needs it. In the conditions, `g`
is a row of `sms_agents`.

With 1,000 agents in a tenant, the agents of 100 threads take 4 ms. Before campaign and number were
joined first, all agents were read for each thread: 60 ms, or seconds by a plan of an empty table."""


def campaign_agent_sql(campaign: str, is_test: str) -> str:
    """Whether `g` is an agent of the campaign, a row joined as `campaign`."""
    return f"(g.sms_agent_id = {campaign}.sms_agent_id OR {test_agent_sql(campaign, is_test)})"


def test_agent_sql(campaign: str, is_test: str) -> str:
    """Whether `g` is the campaign's agent for test leads, and the lead is one. Such an agent comes
    first."""
    return f"({is_test} AND g.sms_agent_id = {campaign}.test_sms_agent_id)"


def number_agent_sql(number: str) -> str:
    """Whether `g` takes the texts to the number, a row joined as `number`. The oldest such agent
    serves."""
    return f"(g.inbound_enabled AND g.phone_number_id = {number}.phone_number_id)"


def agent_of_sql(tenant_id: str, campaign_id: str, is_test: str, our_number: str) -> str:
    """A sub-select of the active agent, for the given column expressions: the campaign's agent, else
    the number's."""
    return f"""
SELECT g.* FROM (SELECT) one  -- campaign and number come first, so that keys find the agent
LEFT JOIN campaigns gc ON gc.tenant_id = {tenant_id} AND gc.campaign_id = {campaign_id}
LEFT JOIN phone_numbers gn ON gn.tenant_id = {tenant_id} AND gn.phone_number = {our_number}
JOIN sms_agents g ON g.tenant_id = {tenant_id} AND g.active
  AND ({campaign_agent_sql("gc", is_test)} OR {number_agent_sql("gn")})
ORDER BY {test_agent_sql("gc", is_test)} DESC NULLS LAST,
         (g.sms_agent_id = gc.sms_agent_id) DESC NULLS LAST, g.created_at
LIMIT 1
"""
