"""The ledger: what must be true after any run, checked from outside.

A `Record` holds what the others saw: the leads (which texts got a 2xx), the carrier, the agents,
and a customer of the API. `breaches` is pure, so tests can change a record to show that each check
can fail.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.demo.carrier import Carrier
from tests.makers import Data, Tenant

AT_ONCE = 16
"""Requests at once: httpx's pool gets slower with each request that waits in it."""
REPLY = re.compile(r"\[(turn_\w+)/(\d+)\]")
"""The mark in an agent double's texts: the turn that it answers, and the number of the answer."""
OWED = {"queued", "sending", "scheduled"}
WELL = {"sent", "delivered"}
UNANSWERABLE = {"superseded", "cancelled"}


@dataclass(frozen=True, slots=True)
class Written:
    """A text of a lead. No two have the same words, except STOPs."""

    phone: str
    text: str
    status: int
    """The status of our last answer to its webhook; 0 if there was none."""
    at: datetime
    owed: bool = False
    """Whether an agent must get it."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A text that a backend sent through the API. No two have the same words."""

    text: str
    ids: tuple[str, ...]
    """The message ids in our 2xx answers, one for each request."""
    open: bool = False
    """Whether our last answer left open if the text was taken."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One hand-over, as the agent recorded it."""

    turn_id: str
    texts: tuple[str, ...]
    status: int
    """The status that the agent answered; 0 if it has not answered."""


@dataclass(slots=True)
class Record:
    """Everything about a run, by who saw it."""

    written: list[Written] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    threads: list[Data] = field(default_factory=list)
    """Complete interactions of the API."""
    turns: list[Data] = field(default_factory=list)
    ends: dict[str, Data] = field(default_factory=dict)
    """Complete messages that failed or have no final state."""
    accepted: dict[str, list[Data]] = field(default_factory=dict)
    """From the carrier: accepted texts, by our message id."""
    denied: dict[str, int] = field(default_factory=dict)
    """From the carrier: look-ups that found nothing, by our message id."""
    arrived: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    """From the leads: the texts on each phone, and when they came."""
    stopped: dict[str, datetime] = field(default_factory=dict)
    """From the leads: when the STOP of each phone was answered."""
    confirmation: str | None = None
    alone: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When a worker was frozen or cut off: nobody else could know which answers it had got."""

    def entries(self, role: str) -> Iterator[Data]:
        for thread in self.threads:
            yield from (e for e in thread["transcript"] if e["role"] == role and _is_text(e))


async def read(tenant: Tenant, carrier: Carrier, record: Record) -> Record:
    """Adds what the API and the carrier say. Waits first until the carrier has posted all receipts:
    one that arrives while we read would be missing in what we have read already."""
    while carrier.has_open_reports:
        await asyncio.sleep(0.02)
    limit = asyncio.Semaphore(AT_ONCE)

    async def call(path: str) -> Data:
        async with limit:
            return await tenant.call("GET", path)

    ids = [t["interactionId"] async for t in _paged(tenant, "/interactions", "interactions")]
    record.threads = list(await asyncio.gather(*(call(f"/interactions/{i}") for i in ids)))
    record.turns = [
        turn
        for interaction in ids
        if record.heard or record.written
        async for turn in _paged(tenant, f"/interactions/{interaction}/turns", "turns")
    ]
    unwell = [e["messageId"] for e in record.entries("agent") if e["status"] not in WELL]
    ends = await asyncio.gather(*(call(f"/messages/{m}") for m in unwell))
    record.ends = dict(zip(unwell, ends, strict=True))
    record.accepted = {name: list(taken) for name, taken in carrier.accepted.items()}
    record.denied = dict(carrier.denied_lookup_counts)
    record.arrived = {
        phone: [(t.text, datetime.fromisoformat(t.at)) for t in texts if not t.mine]
        for phone, texts in carrier.phones.items()
    }
    return record


async def _paged(tenant: Tenant, path: str, name: str) -> Any:
    cursor = None
    while True:
        params = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = await tenant.call("GET", path, params=params)
        for one in page[name]:
            yield one
        cursor = page["nextCursor"]
        if not page["hasMore"]:
            return


def breaches(record: Record) -> list[str]:
    """What is wrong, in words; [] if nothing is."""
    return [
        *_stored_once(record), *_taken_once(record), *_in_order(record), *_handed_over(record),
        *_carried_once(record), *_ended(record), *_heeded(record), *_one_reply(record),
        *_silent_after_stop(record),
    ]  # fmt: skip


def _stored_once(record: Record) -> Iterator[str]:
    """A text that got a 2xx is in a transcript exactly once; any other at most once."""
    shown = Counter(
        (thread["phone"], entry["message"])
        for thread in record.threads
        for entry in thread["transcript"]
        if entry["role"] == "user"
    )
    for text in record.written:
        times = shown.pop((text.phone, text.text), 0)
        if times > 1 or (times == 0 and 200 <= text.status < 300):
            yield f"text {text.text!r}, answered {text.status}, stands {times} times"
    yield from (f"nobody wrote {text!r}" for text in shown)


def _taken_once(record: Record) -> Iterator[str]:
    """A send that got a 2xx is stored once, with one id. A refused one is not stored."""
    shown = Counter(entry["message"] for entry in record.entries("agent"))
    for text in record.posted:
        times = shown[text.text]
        if len(set(text.ids)) > 1:
            yield f"{text.text!r} was given the ids {sorted(set(text.ids))}"
        if times > 1 or (text.ids and not times):
            yield f"{text.text!r}, answered 2xx {len(text.ids)} times, stands {times} times"
        if times and not text.ids and not text.open:
            yield f"{text.text!r} was refused, and stands"


def _in_order(record: Record) -> Iterator[str]:
    """`seq` counts from 1 without gap or repeat, in the order of the transcript."""
    for thread in record.threads:
        numbers = [e["seq"] for e in thread["transcript"]]
        if numbers != list(range(1, len(numbers) + 1)) and not thread["transcriptTruncated"]:
            yield f"{thread['interactionId']} counts {numbers}"


def _handed_over(record: Record) -> Iterator[str]:
    """A text that an agent must get is in exactly one turn that got a 2xx, or in one that was closed
    with a reason."""
    texts = {e["messageId"]: e["message"] for e in record.entries("user")}
    agreed = {(h.turn_id, frozenset(h.texts)) for h in record.heard if 200 <= h.status < 300}
    held: defaultdict[str, list[Data]] = defaultdict(list)
    for turn in record.turns:
        told = frozenset(texts[message["messageId"]] for message in turn["messages"])
        if _got_through(record, turn) and (turn["turnId"], told) not in agreed:
            yield f"{turn['turnId']} got a 2xx that the agent did not give for {sorted(told)}"
        for text in told:
            held[text].append(turn)
    for written in record.written:
        if not written.owed or not 200 <= written.status < 300:
            continue
        turns = held[written.text]
        through = [turn["turnId"] for turn in turns if _got_through(record, turn)]
        if len(through) > 1:
            yield f"text {written.text!r} was handed over in {through}"
        elif not through and not any(t["closedAt"] and t["reason"] for t in turns):
            yield f"text {written.text!r} was handed to nobody: {[t['state'] for t in turns]}"
    for turn in record.turns:
        if turn["closedAt"] and not turn["reason"]:
            yield f"{turn['turnId']} is {turn['state']} without a reason"


def _carried_once(record: Record) -> Iterator[str]:
    """The carrier accepted each text once; twice only if two look-ups had found nothing."""
    for message_id, taken in record.accepted.items():
        most = 2 if record.denied.get(message_id, 0) >= 2 else 1
        if len(taken) > most:
            yield f"{message_id} was accepted {len(taken)} times"
    for entry in record.entries("agent"):
        times = len(record.accepted.get(entry["messageId"], ()))
        if entry["status"] in WELL and not times:
            yield f"{entry['messageId']} is {entry['status']}, and the carrier has nothing"
        if entry["status"] in ("cancelled", "queued") and times:
            yield f"{entry['messageId']} is {entry['status']}, and the carrier has it"


def _ended(record: Record) -> Iterator[str]:
    """Every text has a final state, or is `unknown` with a reason."""
    for message_id, message in record.ends.items():
        if message["status"] in OWED:
            yield f"{message_id} is still {message['status']}"
        elif not (message["errorCode"] and message["errorMessage"]):
            yield f"{message_id} is {message['status']} without a reason"


def _heeded(record: Record) -> Iterator[str]:
    """A receipt that got a 2xx is never undone, in whatever order receipts came."""
    for entry in record.entries("agent"):
        for taken in record.accepted.get(entry["messageId"], ()):
            if "delivered" in taken.get("told", ()) and entry["status"] != "delivered":
                yield f"{entry['messageId']} was delivered, and is {entry['status']}"


def _one_reply(record: Record) -> Iterator[str]:
    """At most one reply for each turn reaches the lead, and none for a turn that was given up."""
    states = {turn["turnId"]: turn["state"] for turn in record.turns}
    answers: defaultdict[str, list[str]] = defaultdict(list)
    for taken in record.accepted.values():
        for text in taken:
            for turn_id, answer in REPLY.findall(text["text"]):
                answers[turn_id].append(answer)
    for turn_id, given in answers.items():
        if len(set(given)) > 1:
            yield f"{turn_id} was answered {len(set(given))} times"
        if states.get(turn_id) in UNANSWERABLE:
            yield f"{turn_id} is {states[turn_id]}, and its reply went out"


def _silent_after_stop(record: Record) -> Iterator[str]:
    """After a STOP was answered, the phone gets at most one text: the confirmation."""
    for phone, stopped in record.stopped.items():
        later = [text for text, at in record.arrived.get(phone, ()) if at > stopped]
        if [text for text in later if text != record.confirmation] or len(later) > 1:
            yield f"after STOP {phone} got {later}"


def _got_through(record: Record, turn: Data) -> bool:
    """Whether the agent took the turn, as far as was known when the turn was closed. A frozen worker
    may report a 2xx only after the turn's texts were moved to the next turn."""
    return any(200 <= (one["httpStatus"] or 0) < 300 for one in turn["attempts"]) and not (
        turn["movedTo"] and _alone(record, datetime.fromisoformat(turn["closedAt"]))
    )


def _alone(record: Record, at: datetime) -> bool:
    return any(begin <= at <= end for begin, end in record.alone)


def _is_text(entry: Mapping[str, Any]) -> bool:
    return bool(entry["status"] != "note")


def counted(words: Iterable[str]) -> str:
    """A table of how often each word occurs, the most frequent first."""
    rows = Counter(words).most_common()
    return "\n".join(f"  {count:6}  {word}" for word, count in rows)
