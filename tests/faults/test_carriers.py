"""Carriers fail in every way they know, and workers are killed meanwhile: no lead gets a text
twice, and none is lost without a word."""

import asyncio
import contextlib
import random
from collections import defaultdict
from functools import partial

import pytest

from app.demo.carrier import Carrier
from app.resources import Resources
from tests.faults import ledger
from tests.faults.crew import Crew
from tests.faults.ledger import Record
from tests.makers import Data
from tests.world import World, until

FAILURES = {
    "0007": "429 twice, then takes it",
    "0011": "takes it, never answers",
    "0012": "takes it, resets the connection",
    "0013": "takes it, answers 500",
    "0015": "answers 500 once, has not taken it",
    "0017": "answers after 3 s",
    "0018": "takes it, drips its answer",
    "0019": "takes it, answers with 8 MiB",
    "0020": "takes it, answers nonsense",
    "0021": "receipt before the answer",
    "0022": "receipts in reverse",
    "0023": "every receipt twice",
    "0024": "no receipt at all",
    "9999": "well-behaved",
}
REPORTING = ("0007", "0017", "0021", "0022", "0023", "9999")
"""The digits for which receipts say `delivered`."""
WORKERS = 3
SETTLED_WITHIN = 90.0
RESENT_WITHIN = 75.0
"""Extra seconds for a text that is sent again at the end, and looked up twice again."""
RECOVERED = 0.95


async def leads(world: World, resources: Resources, each: int) -> list[tuple[str, str]]:
    """(failure, lead id): `each` leads for every kind of failure."""
    made = [(digits, f"lead_{digits}_{n}", f"+1212{300 + n}{digits}")
            for digits in FAILURES for n in range(each)]  # fmt: skip
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """INSERT INTO leads (tenant_id, lead_id, phone, campaign_id)
            SELECT $1, lead_id, phone, $4 FROM unnest($2::text[], $3::text[]) AS a(lead_id, phone)
            """,
            world.tenant.tenant_id, [m[1] for m in made], [m[2] for m in made],
            world.campaign["campaignId"],
        )  # fmt: skip
    return [(digits, lead_id) for digits, lead_id, _ in made]


async def send(world: World, rng: random.Random, made: list[tuple[str, str]], seconds: float) -> dict[str, str]:
    """Sends a text to each lead, spread over `seconds`; returns the failures by message id."""
    sent: dict[str, str] = {}
    limit = asyncio.Semaphore(ledger.AT_ONCE)

    async def one(digits: str, lead_id: str) -> None:
        await asyncio.sleep(rng.uniform(0, seconds))
        body = {"leadId": lead_id, "message": f"Hello from {digits}"}
        async with limit:
            answer = await world.tenant.ask("POST", "/sms/send", body)
            while answer.status_code == 503:  # not accepted: the machine is busy
                await asyncio.sleep(0.5)
                answer = await world.tenant.ask("POST", "/sms/send", body)
        assert answer.status_code == 202, answer.text
        sent[answer.json()["data"]["messageId"]] = digits

    await asyncio.gather(*(one(*lead) for lead in made))
    return sent


HURRY = """
UPDATE outbox SET due_at = clock_timestamp(), begun_at = begun_at - interval '60 s'
WHERE state = 'unknown' AND lease IS NULL AND due_at > clock_timestamp()
   OR state <> 'queued' AND lease IS NOT NULL AND begun_at BETWEEN
      clock_timestamp() - interval '50 s' AND clock_timestamp() - interval '16 s'
"""
"""Lets a minute pass for unknown texts, and for claims whose worker cannot be alive: its exchange
with the carrier would have ended."""


async def settled(resources: Resources, hurry: bool) -> None:
    """Returns once no text is owed."""

    async def none(owed: str) -> bool:
        async with resources.database.system_tx() as tx:
            if hurry:
                await tx.execute(HURRY)
            return not await tx.fetch_value(f"SELECT count(*) FROM {owed}")

    await until(partial(none, "outbox WHERE NOT resent"), SETTLED_WITHIN)
    await until(partial(none, "outbox"), RESENT_WITHIN)


@pytest.mark.parametrize(
    ("each", "seconds", "deadly"),
    [
        pytest.param(20, 5.0, (1.5, 2.5), marks=pytest.mark.short),
        pytest.param(200, 50.0, (1.0, 10.0), marks=[pytest.mark.long, pytest.mark.alone]),
    ],
)
async def test_no_failure_of_a_carrier_doubles_or_loses_a_text(
    idle_world: World,
    resources: Resources,
    rng: random.Random,
    crew: Crew,
    each: int,
    seconds: float,
    deadly: tuple[float, float],
) -> None:
    world = idle_world
    await world.tenant.call("PATCH", f"/phone-numbers/{world.number['phoneNumberId']}", {"messagesPerSecond": 1000})
    made = await leads(world, resources, each)
    await crew.start(WORKERS)
    first = await world.send()
    await world.status_is(first["messageId"], "delivered")  # they are at work
    killing = asyncio.create_task(crew.suffer(*deadly))
    sent = await send(world, rng, made, seconds)
    killing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killing
    await settled(resources, hurry=each < 100)
    record = await ledger.read(world.tenant, world.carrier.known, Record())
    unlucky = {m for m in sent if twice_unlucky(record, world.carrier.known, m)}
    table = by_failure(sent, record, unlucky)
    print(f"{len(crew.killed_at)} workers killed, {len(unlucky)} texts failed after two tries")
    for digits, statuses in table.items():
        print(f"{FAILURES[digits]}\n{ledger.counted(statuses)}")
    assert crew.killed_at
    assert ledger.breaches(record) == []
    assert len(sent) == each * len(FAILURES)
    assert {sent[m] for m in unlucky} <= {"0015"}
    assert len(unlucky) <= each // 4
    for digits, statuses in table.items():
        wanted = {"delivered"} if digits in REPORTING else {"sent", "delivered"}
        well = sum(status in wanted for status in statuses)
        assert well >= RECOVERED * len(statuses), FAILURES[digits]
        assert "unknown" not in statuses, FAILURES[digits]


def twice_unlucky(record: Record, carrier: Carrier, message_id: str) -> bool:
    """Whether the text's one repetition got the carrier's 500: a worker was killed before its first
    request reached the carrier. A text is never sent a third time."""
    end = record.ends.get(message_id)
    return (
        end is not None
        and (end["status"], end["errorCode"]) == ("failed", "NOT_TAKEN")
        and carrier.request_counts[message_id] == 1
        and message_id not in carrier.accepted
    )


def by_failure(sent: dict[str, str], record: Record, but: set[str]) -> dict[str, list[str]]:
    status = {entry["messageId"]: entry["status"] for entry in record.entries("agent")}
    table: defaultdict[str, list[str]] = defaultdict(list)
    for message_id, digits in sent.items():
        if message_id not in but:
            table[digits].append(status[message_id])
    return dict(sorted(table.items()))


async def test_a_carrier_that_denies_what_it_took_is_the_one_exception(world: World, resources: Resources) -> None:
    lied_to = await world.send(to="+12125550016")
    await settled(resources, hurry=True)
    record = await ledger.read(world.tenant, world.carrier.known, Record())
    assert ledger.breaches(record) == []
    assert len(record.accepted[lied_to["messageId"]]) == 2
    end: Data = record.ends[lied_to["messageId"]]
    assert (end["status"], end["errorCode"]) == ("failed", "NOT_TAKEN")
