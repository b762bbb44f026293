"""Inboxes and threads of a length that a busy day brings, and a reply that is held."""

from app.resources import Resources
from tests.world import World

LEADS = """
INSERT INTO leads (tenant_id, lead_id, first_name, last_name, phone)
SELECT $1, 'lead_' || n, 'Lead', n::text, '+1415556' || lpad(n::text, 4, '0')
FROM generate_series(1, $2) n
"""
THREADS = """
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, status,
                          last_seq, unread_count, last_message_at, last_preview, last_direction)
SELECT tenant_id, 'int_' || lead_id, $2, phone, lead_id,
       (ARRAY['in_progress', 'qualified', 'completed'])[1 + last_name::int % 3], 1,
       last_name::int % 4, now() - last_name::int * interval '7 min', 'Are you there?', 'inbound'
FROM leads WHERE tenant_id = $1 AND first_name = 'Lead'
"""
TEXTS = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
                      status, created_at)
SELECT tenant_id, 'msg_' || lead_id, interaction_id, lead_id, 1, 'user', 'inbound', last_preview,
       'received', last_message_at
FROM interactions WHERE tenant_id = $1 AND interaction_id LIKE 'int_lead_%'
"""


async def fill_inbox(resources: Resources, world: World, count: int) -> None:
    """So many threads, each with a text of its lead."""
    tenant = world.tenant.tenant_id
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant, count)
        await tx.execute(THREADS, tenant, world.ours)
        await tx.execute(TEXTS, tenant)


FILL = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
                      status, created_at)
SELECT m.tenant_id, 'msg_' || n, m.interaction_id, m.lead_id, n,
       CASE n % 2 WHEN 0 THEN 'agent' ELSE 'user' END,
       CASE n % 2 WHEN 0 THEN 'api' ELSE 'inbound' END, 'Text ' || n || '.',
       CASE n % 2 WHEN 0 THEN 'delivered' ELSE 'received' END,
       m.created_at - ($2 - n) * interval '20 min'
FROM messages m, generate_series(2, $2) n WHERE m.interaction_id = $1 AND m.seq = 1
"""
COUNTED = "UPDATE interactions SET last_seq = $2 WHERE interaction_id = $1"


async def fill_thread(resources: Resources, thread: str, count: int) -> None:
    """The thread's first text is followed by others until there are so many, "Text 2." and on."""
    async with resources.database.system_tx() as tx:
        await tx.execute(FILL, thread, count)
        await tx.execute(COUNTED, thread, count)


async def hold_a_reply(world: World) -> str:
    """A thread in which the lead wrote on before the agent answered."""
    agent = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", agent, {"staleReply": "hold"})
    lead = await world.tenant.lead(firstName="Hanna", lastName="Held")
    sent = await world.send("Hi Hanna!", leadId=lead["leadId"], agentMode=True)

    async def write_on(_: object) -> None:
        world.agent.meanwhile = None
        await world.carrier.text(lead["phone"], world.ours, "Or no, call me tomorrow.")

    world.agent.meanwhile = write_on
    world.agent.answers = [(200, {"reply": "Great, I will call you within the hour."})]
    await world.carrier.text(lead["phone"], world.ours, "Please call me.")
    await world.told(2)  # of what she wrote on; nothing is answered to it
    thread: str = sent["interactionId"]
    return thread
