"""Measures the Figures page of an organization with a million threads in a year, by HTTP and in Chromium; no test.
Run it alone, on a quiet machine: `.venv/bin/python -m pytest tests/browser/measure_figures.py -q -s`. The hours are
made up as they would be counted; those of half a year are there, because the page reads no more."""

import time
from datetime import UTC, datetime, timedelta

from app.resources import Resources
from app.store.hour_counts import sum_day
from tests.browser.conftest import Enter
from tests.browser.measure import show
from tests.makers import Tenant
from tests.service import Api
from tests.web.people import add_person, browser

CAMPAIGNS, AGENTS, DAYS = 20, 6, 181
SHOWN = "performance.getEntriesByType('navigation')[0].domComplete"
TIMES, WARM = 40, 5
ADD_CAMPAIGNS_SQL = """
INSERT INTO campaigns (tenant_id, campaign_id, name)
SELECT $1, 'camp_' || lpad(i::text, 26, '0'), 'Campaign ' || i FROM generate_series(1, $2) i
"""
# A million threads in a year are 114 in an hour; a campaign texts from one number with one agent.
ADD_HOURS_SQL = """
INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, counts)
SELECT $1, l.level, date_trunc('hour', clock_timestamp()) - h * interval '1 hour',
       CASE WHEN l.has_campaign THEN 'camp_' || lpad(c::text, 26, '0') ELSE '' END,
       CASE WHEN l.level = 'full' THEN '+1212555' || lpad(c::text, 4, '0') ELSE '' END,
       CASE WHEN l.has_agent THEN 'smsagent_' || lpad((c % $4)::text, 26, '0') ELSE '' END, l.source,
       CASE WHEN l.level <> 'full' THEN {all} WHEN l.source = '' THEN {threads}
            WHEN l.source = 'inbound' THEN '{{"inbound": 60}}' ELSE {texts} END
FROM (VALUES
    ('tenant', '', false, false), ('campaign', '', true, false), ('agent', '', false, true), ('full', '', true, true),
    ('full', 'sms_agent', true, true), ('full', 'api', true, true), ('full', 'inbound', true, true)
) AS l(level, source, has_campaign, has_agent)
CROSS JOIN generate_series($3::int, $3 + 23) h
CROSS JOIN generate_series(1, CASE l.level WHEN 'tenant' THEN 1 WHEN 'agent' THEN $4 ELSE $2 END) c
"""
TEXTS = {"texts": 90, "segments": 130, "delivered": 84, "failed": 3, "unknown": 1, "pricedTexts": 90,
         "cost.USD": 1_027_000}  # fmt: skip
THREADS = {"opened": 114, "texted": 113, "replied": 41, "qualified": 9, "replySeconds": 96_000, "turns": 120,
           "turns.replied": 101, "turns.declined": 7, "turns.handed_off": 4, "turns.superseded": 8, "timedTurns": 101,
           "agentMs": 240_000, "handOffs": 4, "staleReplies": 2, "answers": 160, "optOuts": 3, "optOuts.keyword": 2,
           "optOuts.phrase": 1, "status.in_progress": 80, "status.qualified": 9, "status.disqualified": 18,
           "status.follow_up": 4, "status.dnc": 3, "threadCost.USD": 1_900_000}  # fmt: skip


def _literal(*parts: dict[str, int]) -> str:
    pairs = [f"'{name}', {value} + (h + c) % 7" for part in parts for name, value in part.items()]
    return f"jsonb_build_object({', '.join(pairs)})"


async def fill_hours(resources: Resources, tenant: Tenant) -> None:
    add_hours_sql = ADD_HOURS_SQL.format(
        all=_literal(TEXTS, THREADS, {"inbound": 60}), threads=_literal(THREADS), texts=_literal(TEXTS)
    )
    async with resources.database.system_tx() as tx:
        await tx.execute(ADD_CAMPAIGNS_SQL, tenant.tenant_id, CAMPAIGNS)
    for day in range(DAYS):
        async with resources.database.system_tx() as tx:
            await tx.execute(add_hours_sql, tenant.tenant_id, CAMPAIGNS, day * 24, AGENTS)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(DAYS + 1):
        async with resources.database.system_tx(plan_now=True) as tx:
            await sum_day(tx, tenant.tenant_id, midnight - timedelta(days=day))


async def test_the_figures_page_is_measured(enter: Enter, tenant: Tenant, api: Api, resources: Resources) -> None:
    await fill_hours(resources, tenant)
    async with resources.database.system_tx() as tx:
        await tx.execute("ANALYZE figures")
    sam = browser(api.url)
    await add_person(resources, tenant.tenant_id, "http@example.com")
    await sam.sign_in("http@example.com")
    person = await enter()
    one = f"campaign=camp_{'3'.rjust(26, '0')}"
    for query in ("span=month", "span=week", "span=quarter", f"span=month&{one}", f"span=quarter&{one}"):
        took, shown = [], []
        for n in range(WARM + TIMES):
            began_at = time.perf_counter()
            assert "Campaign 3" in await sam.page(f"/figures?{query}")
            if n >= WARM:
                took.append((time.perf_counter() - began_at) * 1000)
        for n in range(WARM + TIMES):
            await person.open(f"/figures?{query}")
            if n >= WARM:
                shown.append(await person.page.evaluate(SHOWN))
        show(f"/figures?{query} by HTTP, at best {min(took):.0f} ms", took, "ms")
        show(f"/figures?{query} shown in Chromium", shown, "ms")
    await sam.http.aclose()
