import time
from app.store import webhook_queue as wq
from app.domain import ids
from app.domain.events import POST_LEASE
from tests.faults.test_webhooks import *
from tests.makers import Tenant

async def test_plan(resources, tenant: Tenant):
    for k in range(5):
        await tenant.call("POST", "/webhook-endpoints", {"url": f"http://127.0.0.1:9/{k}"})
    await happen(resources, tenant, 100, 5)
    for k in range(3):
        async with resources.database.system_tx(plan_now=True) as tx:
            t = time.time(); print("move", await wq.move_cursors(tx), time.time() - t)
        async with resources.database.system_tx(plan_now=True) as tx:
            t = time.time(); rows = await tx.fetch_rows("EXPLAIN (ANALYZE) " + wq.CLAIM_EVENTS_SQL, [], [], [], 5, 64, 2000, "L", POST_LEASE, 20)
            print("claim", time.time() - t)
            print("\n".join(r[0] for r in rows))
            await tx.execute("UPDATE webhook_queue SET lease = NULL, due_at = clock_timestamp() WHERE tenant_id = $1", tenant.tenant_id)
    async with resources.database.system_tx(plan_now=True) as tx:
        t = time.time(); claimed = await wq.claim(tx, {}, 64, 2000, "L", POST_LEASE); print("claim", len(claimed), time.time() - t)
    done = [wq.DoneEvent(tenant_id=e.tenant_id, endpoint_id=e.endpoint_id, subject=e.subject, transaction=e.transaction, event_id=e.event_id, lease="L") for e in claimed[:1000]]
    from app.store.rows import columns_of
    async with resources.database.system_tx(plan_now=True) as tx:
        t = time.time(); rows = await tx.fetch_rows("EXPLAIN (ANALYZE) " + wq.DELETE_DONE_SQL, *columns_of(done)); print("delete", time.time() - t); print("\n".join(r[0] for r in rows))
    waiting = [wq.WaitingSubject(tenant_id=e.tenant_id, endpoint_id=e.endpoint_id, subject=e.subject, lease="L", failed_event_id=None, wait=POST_LEASE) for e in {(e.endpoint_id, e.subject): e for e in claimed}.values()]
    async with resources.database.system_tx(plan_now=True) as tx:
        t = time.time(); rows = await tx.fetch_rows("EXPLAIN (ANALYZE) " + wq.POSTPONE_SQL, *columns_of(waiting)); print("postpone", time.time() - t); print("\n".join(r[0] for r in rows))
    async with resources.database.system_tx(plan_now=True) as tx:
        await tx.execute("UPDATE webhook_endpoints SET failures = 9 WHERE tenant_id = $1", tenant.tenant_id)
        news = [wq.EndpointNews(tenant_id=t0, endpoint_id=e0, failures=0, has_taken=True, pause_reason=None) for t0, e0 in {(e.tenant_id, e.endpoint_id) for e in claimed}]
        t = time.time(); rows = await tx.fetch_rows("EXPLAIN (ANALYZE) " + wq.RECORD_NEWS_SQL, 5, *columns_of(news)); print("news", time.time() - t); print("\n".join(r[0] for r in rows))
