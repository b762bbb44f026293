"""What a worker asks again and again reads what is due, however much is due later."""

from datetime import timedelta

import asyncpg

from app.domain import quiet
from app.domain.follow_ups import FAILURE_PATIENCE
from app.resources import Resources
from app.store import contact_checks, hand_overs, outbox, planned_turns, releasing, sweeping, threads
from tests.makers import Tenant
from tests.store.test_plans import LEADS, explained

LATER = 800
FEW = 20
DUE_LATER = """
WITH opened AS (  -- a person took over for good: no agent comes back to them
    INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, agent_mode, agent_off_at)
    SELECT tenant_id, 'int_' || lead_id, '+12125550100', phone, lead_id, false, now() - interval '1 year'
    FROM leads WHERE tenant_id = $1
    RETURNING *
), stored AS (
    INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, role, source, text, seq, status, error_code,
        created_at)
    SELECT tenant_id, x.id || lead_id, interaction_id, lead_id, 'agent', 'api', 'Hi', x.seq, x.status, x.code, x.at
    FROM opened CROSS JOIN (VALUES
        ('held_', NULL, 'scheduled', NULL, now()), ('begun_', 1, 'sending', NULL, now()),
        ('failed_', 2, 'failed', '30003', now() - interval '1 year')) x(id, seq, status, code, at)
    RETURNING *
), owed AS (
    INSERT INTO outbox (tenant_id, message_id, interaction_id, seq, account_id, to_phone, from_phone, state, due_at,
        expires_at)
    SELECT tenant_id, message_id, interaction_id, seq, 'acct', '+14155550100', '+12125550100',
           CASE WHEN seq IS NULL THEN 'queued' ELSE 'sending' END, now() + interval '1 day', now() + interval '2 days'
    FROM stored WHERE status <> 'failed'
), planned AS (
    INSERT INTO turns (tenant_id, turn_id, interaction_id, state, trigger, due_at, window_due_at)
    SELECT tenant_id, x.id || lead_id, interaction_id, x.state, x.trigger, now() + interval '1 day', now()
    FROM opened CROSS JOIN (VALUES
        ('planned_', 'planned', 'silence'), ('open_', 'awaiting_reply', 'texts')) x(id, state, trigger)
), kept AS (
    INSERT INTO idempotency (tenant_id, route, key, body_digest) SELECT tenant_id, '/sms/send', lead_id, '' FROM opened
)
INSERT INTO contact_checks (tenant_id, phone, due_at) SELECT tenant_id, lead_phone, now() + interval '1 day' FROM opened
"""


async def test_a_poll_reads_no_row_that_is_due_later(resources: Resources, tenant: Tenant) -> None:
    await tenant.agent(failedDeliveryTurns=True)
    async with resources.database.system_tx() as tx:
        await tx.execute(LEADS, tenant.tenant_id, LATER)
        await tx.execute(DUE_LATER, tenant.tenant_id)
    owner = await asyncpg.connect(resources.settings.database_url)
    for table in ("interactions", "messages", "outbox", "turns", "contact_checks", "idempotency"):
        await owner.execute(f"ANALYZE {table}")
    await owner.close()
    prune_sql = sweeping.delete_step_sql("idempotency", "created_at")
    for sql, args in (
        (outbox.LOOK_SQL, ()),
        (releasing.FIND_RELEASABLE_SQL, (200, quiet.REPLY_GRACE)),
        (hand_overs.FIND_DUE_THREADS_SQL, (200,)),
        (planned_turns.FIND_DUE_THREADS_SQL, (200,)),
        (planned_turns.FIND_FAILED_SQL, ([tenant.tenant_id], FAILURE_PATIENCE, 200)),
        (threads.RESUME_AGENTS_SQL, (200,)),
        (contact_checks.CLAIM_QUESTIONS_SQL, (20, "lease", timedelta(minutes=1), 20, [])),
        (prune_sql, (timedelta(days=2),)),
    ):
        async with resources.database.system_tx() as tx:
            plan = await explained(tx, sql, *args)
        assert sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in plan) <= FEW, sql
