"""A made-up history of a tenant, and its figures counted by hand."""

import itertools
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.commands.figures import count_all
from app.domain import ids
from app.resources import Resources
from tests.makers import Data, Tenant, phone
from tests.world import until

Key = tuple[datetime, str, str, str, str, str]
"""Hour, campaign, number, agent, source and measure."""
SENT = ("sent", "delivered", "failed", "undelivered", "unknown")
CLOSED = ("replied", "declined", "concluded", "handed_off", "superseded", "cancelled", "expired", "failed")
BEGIN = datetime(2026, 10, 31, 22, tzinfo=UTC)
"""The clocks go back in the night that follows."""
_numbers = itertools.count(1)


def id_at(kind: ids.IdKind, at: datetime) -> str:
    """A new id that was made at `at`."""
    return f"{ids.first_since(kind, at)[:-6]}{next(_numbers):06d}"


async def count_now(resources: Resources) -> None:
    """Counts what was committed until now: events are read once no older transaction is open, of other tests too."""
    async with resources.database.system_tx() as tx:
        newest = await tx.fetch_value("SELECT pg_current_xact_id()::text::bigint")

    async def is_settled() -> bool:
        async with resources.database.system_tx() as tx:
            oldest = await tx.fetch_value("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return bool(oldest > newest)

    await until(is_settled)
    await count_all(resources.database, anew=False)


async def list_figures(resources: Resources, tenant: Tenant) -> dict[Key, int]:
    """The figures; their sums, also those of days of UTC, must be the sums of them."""
    levels: defaultdict[str, dict[Key, int]] = defaultdict(dict)
    async with resources.database.system_tx() as tx:
        rows = await tx.fetch_rows(
            "SELECT hour, campaign_id, our_number, sms_agent_id, source, level, counts FROM figures "
            "WHERE tenant_id = $1",
            tenant.tenant_id,
        )
    for row in rows:
        hour, campaign, number, agent, source = tuple(row.values())[:5]
        for measure, value in row["counts"].items():
            levels[row["level"]][hour, campaign, number, agent, source, measure] = value
    sums: defaultdict[str, Counter[Key]] = defaultdict(Counter)
    for (hour, *combination, measure), value in levels["full"].items():
        campaign, number, agent, source = combination
        for ending, at in (("", hour), ("_day", hour.replace(hour=0))):
            sums[f"full{ending}"][at, campaign, number, agent, source, measure] += value
            sums[f"tenant{ending}"][at, "", "", "", "", measure] += value
            sums[f"campaign{ending}"][at, campaign, "", "", "", measure] += value
            sums[f"agent{ending}"][at, "", "", agent, "", measure] += value
    assert levels == sums
    return levels["full"]


async def count_by_hand(resources: Resources, tenant: Tenant) -> dict[Key, int]:
    """Row by row, in Python."""
    tables: dict[str, list[Any]] = {}
    async with resources.database.system_tx() as tx:
        for table in ("interactions", "messages", "turns", "consent_events"):
            tables[table] = await tx.fetch_rows(f"SELECT * FROM {table} WHERE tenant_id = $1", tenant.tenant_id)
    threads = {row["interaction_id"]: row for row in tables["interactions"]}
    texts = {row["message_id"]: row for row in tables["messages"]}
    turns = {row["turn_id"]: row for row in tables["turns"]}
    counted: Counter[Key] = Counter()

    def has_begun(turn: Any) -> bool:
        return turn["kind"] == "live" and (turn["trigger"] == "texts" or turn["handed_over_at"] is not None)

    def count_cost(text: Any, measure: str, *, priced: bool) -> dict[str, int]:
        if text["price"] is None or text["role"] != "agent":
            return {}
        cost = {f"{measure}__{text['currency']}": int(text["price"] * 1_000_000)}
        return cost | ({"pricedTexts": 1} if priced else {})

    def add(row_id: str, thread: Any, agent: str | None, source: str, **values: int) -> None:
        hour = ids.get_hour(row_id)
        assert hour
        place = (thread["campaign_id"] or "", thread["our_number"]) if thread else ("", "")
        for measure, value in values.items():
            counted[hour, *place, agent or "", source, measure.replace("__", ".")] += value

    for text in texts.values():
        turn = turns.get(text["turn_id"])
        ours, status = text["role"] == "agent", text["status"]
        add(
            text["message_id"],
            threads[text["interaction_id"]],
            turn and turn["sms_agent_id"],
            text["source"],
            texts=ours and status in SENT,
            segments=(text["segments"] or 0) if ours and status in SENT else 0,
            delivered=ours and status == "delivered",
            failed=ours and status in ("failed", "undelivered"),
            unknown=ours and status == "unknown",
            inbound=not ours and status == "received",
            **count_cost(text, "cost", priced=True),
        )
    for thread in threads.values():
        own = sorted(
            (t for t in texts.values() if t["interaction_id"] == thread["interaction_id"] and t["seq"]),
            key=lambda t: t["seq"],
        )
        agents = [
            turn["sms_agent_id"]
            for _, turn in sorted(turns.items())
            if turn["interaction_id"] == thread["interaction_id"] and has_begun(turn) and turn["sms_agent_id"]
        ]
        first = next((t for t in own if t["role"] == "agent" and t["status"] in SENT), None)
        reply = next((t for t in own if first and t["role"] == "user" and t["seq"] > first["seq"]), None)
        seconds = (reply["created_at"] - first["created_at"]).total_seconds() if first and reply else 0
        add(
            thread["interaction_id"],
            thread,
            agents[-1] if agents else None,
            "",
            opened=1,
            texted=first is not None,
            replied=reply is not None,
            qualified=reply is not None and thread["status"] == "qualified",
            replySeconds=round(max(seconds, 0)),
            **{f"status__{thread['status']}": 1},
        )
        for text in texts.values():
            if text["interaction_id"] == thread["interaction_id"]:
                agent = agents[-1] if agents else None
                cost = count_cost(text, "threadCost", priced=False)
                add(thread["interaction_id"], thread, agent, "", **cost)
    for turn in turns.values():
        if not has_begun(turn):
            continue
        closed = turn["state"] in CLOSED
        timed = turn["state"] == "replied" and turn["handed_over_at"] is not None
        took = (turn["closed_at"] - turn["handed_over_at"]) / timedelta(milliseconds=1) if timed else 0
        add(
            turn["turn_id"],
            threads[turn["interaction_id"]],
            turn["sms_agent_id"],
            "",
            turns=closed,
            handOffs="the agent handed off" in (turn["reason"] or ""),
            staleReplies=any(refusal["code"] == "STALE_TURN" for refusal in turn["refused"]),
            answers=len((turn["outcome"] or {}).get("answers", [])),
            timedTurns=timed,
            agentMs=round(took),
            **({f"turns__{turn['state']}": 1} if closed else {}),
        )
    for event in tables["consent_events"]:
        if event["event"] == "opted_out":
            of = texts.get(event["message_id"])
            rule = event["rule"] or "unnamed"
            add(
                event["event_id"],
                of and threads[of["interaction_id"]],
                None,
                "",
                **{"optOuts": 1, f"optOuts__{rule}": 1},
            )
    return {key: value for key, value in counted.items() if value}


class History:
    """Makes up what happened, in an order that no service would make."""

    def __init__(self, tenant: Tenant, resources: Resources, seed: int) -> None:
        self.tenant, self.resources = tenant, resources
        self.chance = random.Random(seed)
        self.leads: list[Data] = []
        self.threads: list[tuple[str, Data]] = []
        self.seqs: Counter[str] = Counter()
        self.texts: list[str] = []
        self.turns: list[str] = []

    async def furnish(self) -> None:
        self.numbers = [(await self.tenant.number())["phoneNumber"] for _ in range(2)]
        self.campaigns = [(await self.tenant.campaign())["campaignId"] for _ in range(2)]
        self.agents = [(await self.tenant.agent())["smsAgentId"] for _ in range(2)]
        # Every hour until now would be counted at first; so only those are of which events tell.
        await self.run("INSERT INTO figure_cursors (tenant_id, transaction, event_id) VALUES ($1, '0', 0)")
        for step in (self.open_thread, self.open_turn, self.store_text):
            await step()

    async def run(self, sql: str, *args: Any) -> None:
        async with self.resources.database.system_tx() as tx:
            await tx.execute(sql, self.tenant.tenant_id, *args)

    def some_time(self) -> datetime:
        """A few hours of some days of a month: what happens in an hour must meet."""
        day = self.chance.choice([0, 1, 11, 26])
        return BEGIN + timedelta(days=day, seconds=self.chance.randrange(3 * 3600))

    async def open_thread(self) -> None:
        lead = await self.tenant.lead(phone=phone())
        key = id_at("int", self.some_time())
        self.threads.append((key, lead))
        await self.run(
            "INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id, campaign_id) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            key,
            self.chance.choice(self.numbers),
            lead["phone"],
            lead["leadId"],
            self.chance.choice([*self.campaigns, None]),
        )

    async def store_text(self) -> None:
        key, lead = self.chance.choice(self.threads)
        at, ours = self.some_time(), self.chance.random() < 0.6
        self.seqs[key] += 1
        text = id_at("msg", at)
        self.texts.append(text)
        await self.run(
            "INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text, status, "
            "segments, turn_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'Hi', $8, $9, $10, $11)",
            text,
            key,
            lead["leadId"],
            self.seqs[key],
            "agent" if ours else "user",
            self.chance.choice(["manual", "api", "sms_agent"]) if ours else "inbound",
            "queued" if ours else "received",
            self.chance.randrange(1, 4) if ours else None,
            self.chance.choice(self.turns) if ours and self.turns else None,
            at.replace(microsecond=0),
        )
        if not ours and self.chance.random() < 0.2:
            rule = self.chance.choice(["keyword", "phrase", None])
            await self.run(
                "INSERT INTO consent_events (tenant_id, event_id, phone_hash, phone, event, cause, rule, message_id, "
                "actor) VALUES ($1, $2, '\\x00', $3, 'opted_out', 'lead', $4, $5, 'service')",
                id_at("evt", at + timedelta(hours=1)),
                lead["phone"],
                rule,
                text,
            )

    async def report_text(self) -> None:
        """Also hours later, and more than once."""
        status = self.chance.choice(["sent", "delivered", "undelivered", "unknown", "cancelled"])
        await self.run(
            "UPDATE messages SET status = $3 WHERE tenant_id = $1 AND message_id = $2 AND role = 'agent'",
            self.chance.choice(self.texts),
            status,
        )

    async def price_text(self) -> None:
        """Carriers tell it with a status, or later, or once more."""
        await self.run(
            "UPDATE messages SET price = $3, currency = $4 WHERE tenant_id = $1 AND message_id = $2 AND role = 'agent'",
            self.chance.choice(self.texts),
            Decimal(self.chance.randrange(1, 90_000)) / 1_000_000,
            self.chance.choice(["USD", "USD", "EUR"]),
        )

    async def open_turn(self) -> None:
        turn, at = id_at("turn", self.some_time()), self.some_time()
        self.turns.append(turn)
        await self.run(
            "INSERT INTO turns (tenant_id, turn_id, interaction_id, sms_agent_id, kind, trigger, state, due_at, "
            "window_due_at, handed_over_at) VALUES ($1, $2, $3, $4, $5, $6, 'replied', $7, $7, NULL)",
            turn,
            self.chance.choice(self.threads)[0],
            self.chance.choice(self.agents),
            self.chance.choice(["live", "live", "shadow"]),
            "texts" if len(self.turns) % 3 else "silence",
            at,
        )

    async def settle_turn(self) -> None:
        turn, at = self.chance.choice(self.turns), self.some_time().replace(microsecond=0)
        await self.run(
            "UPDATE turns SET state = $3, closed_at = $4, handed_over_at = $5 WHERE tenant_id = $1 AND turn_id = $2 "
            "AND closed_at IS NULL",
            turn,
            self.chance.choice(CLOSED[1:]),
            at,
            at - timedelta(milliseconds=self.chance.randrange(9000)),
        )
        sql = self.chance.choice(
            [
                "UPDATE turns SET state = 'replied' WHERE tenant_id = $1 AND turn_id = $2 AND closed_at IS NOT NULL",
                "UPDATE turns SET reason = 'the agent handed off: angry' WHERE tenant_id = $1 AND turn_id = $2 "
                "AND closed_at IS NOT NULL",
                """UPDATE turns SET refused = '[{"code": "STALE_TURN", "by": "inline"}]'
                   WHERE tenant_id = $1 AND turn_id = $2 AND refused = '[]'""",
                """UPDATE turns SET outcome = '{"answers": [{"key": "a"}, {"key": "b"}]}'
                   WHERE tenant_id = $1 AND turn_id = $2""",
            ]
        )
        await self.run(sql, turn)

    async def change_status(self) -> None:
        await self.run(
            "UPDATE interactions SET status = $3 WHERE tenant_id = $1 AND interaction_id = $2",
            self.chance.choice(self.threads)[0],
            self.chance.choice(["qualified", "qualified", "disqualified", "completed", "dnc"]),
        )

    async def erase_lead(self) -> None:
        place = self.chance.randrange(len(self.threads))
        key, lead = self.threads.pop(place)
        async with self.resources.database.system_tx() as tx:
            rows = await tx.fetch_rows("SELECT message_id FROM messages WHERE interaction_id = $1", key)
            gone_turns = await tx.fetch_rows("SELECT turn_id FROM turns WHERE interaction_id = $1", key)
        self.texts = [text for text in self.texts if text not in {row["message_id"] for row in rows}]
        self.turns = [turn for turn in self.turns if turn not in {row["turn_id"] for row in gone_turns}]
        await self.tenant.call("POST", f"/leads/{lead['leadId']}/erase")

    async def read_again(self) -> None:
        """As after a cursor was lost or set back: all events come once more."""
        await self.run("UPDATE figure_cursors SET transaction = '0', event_id = 0 WHERE tenant_id = $1")

    async def go_on(self, steps: int) -> None:
        for _ in range(steps):
            step, _ = self.chance.choices(
                [
                    (self.open_thread, 0),
                    (self.store_text, 0),
                    (self.report_text, 0),
                    (self.price_text, 0),
                    (self.open_turn, 0),
                    (self.settle_turn, 0),
                    (self.change_status, 0),
                    (self.erase_lead, 0),
                    (self.read_again, 0),
                ],
                weights=[8, 30, 25, 8, 10, 15, 8, 1.5, 1],
            )[0]
            if step == self.open_thread or (self.threads and self.texts and self.turns):
                await step()


async def make_counted_history(tenant: Tenant, resources: Resources, seed: int, step_count: int) -> History:
    """A tenant's history after so many steps, all of it counted."""
    history = History(tenant, resources, seed)
    await history.furnish()
    await history.go_on(step_count)
    await count_now(resources)
    return history
