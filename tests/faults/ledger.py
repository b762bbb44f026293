"""The ledger: what must hold after any run, counted from outside.

A `Record` holds what the three other parties can say: the leads (which texts were answered 2xx),
the carrier's own record, the agent's own record, and the API as any customer sees it. `breaches`
is pure, so that a doctored record shows that each of its checks can fail.
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
"""Requests: httpx's pool takes ever longer the more of them wait in it."""
REPLY = re.compile(r"\[(turn_\w+)/(\d+)\]")
"""How an agent double marks its texts: the turn that is answered, and which answer it is."""
OWED = {"queued", "sending", "scheduled"}
WELL = {"sent", "delivered"}
UNANSWERABLE = {"superseded", "cancelled"}


@dataclass(frozen=True, slots=True)
class Written:
    """A text of a lead; each has words of its own, but for a STOP."""

    phone: str
    text: str
    status: int
    """Our last answer to its webhook; 0: none came."""
    at: datetime
    owed: bool = False
    """Whether an agent must hear of it."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A text that a backend asked us to send; each has words of its own."""

    text: str
    ids: tuple[str, ...]
    """The message ids that our 2xx named, one for each time it asked."""
    open: bool = False
    """Whether its last word from us left it open if the text was taken."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One hand-over as the agent recorded it."""

    turn_id: str
    texts: tuple[str, ...]
    status: int
    """What the agent answered; 0: nothing yet."""


@dataclass(slots=True)
class Record:
    """All that a run left behind, by those who saw it."""

    written: list[Written] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    threads: list[Data] = field(default_factory=list)
    """Interactions, whole."""
    turns: list[Data] = field(default_factory=list)
    ends: dict[str, Data] = field(default_factory=dict)
    """Messages that did not end well, whole."""
    accepted: dict[str, list[Data]] = field(default_factory=dict)
    """The carrier's: texts taken, by our message id."""
    denied: dict[str, int] = field(default_factory=dict)
    """The carrier's: look-ups told of nothing, by our message id."""
    arrived: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    """The leads': what came on each phone, and when."""
    stopped: dict[str, datetime] = field(default_factory=dict)
    """The leads': when the STOP of each phone was answered."""
    confirmation: str | None = None
    alone: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When a worker stood still or was cut off: what it had heard, nobody else could know."""

    def entries(self, role: str) -> Iterator[Data]:
        for thread in self.threads:
            yield from (e for e in thread["transcript"] if e["role"] == role and _is_text(e))


async def read(tenant: Tenant, carrier: Carrier, record: Record) -> Record:
    """Fills in what API and carrier say, once the carrier has posted all its receipts: one that
    was answered while we read could not stand in what was read before it."""
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
    """What does not hold, in words; [] when all does."""
    return [
        *_stored_once(record), *_taken_once(record), *_in_order(record), *_handed_over(record),
        *_carried_once(record), *_ended(record), *_heeded(record), *_one_reply(record),
        *_silent_after_stop(record),
    ]  # fmt: skip


def _stored_once(record: Record) -> Iterator[str]:
    """Answered 2xx = in a transcript exactly once; not answered so = once at most."""
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
    """A send answered 2xx stands once, under one id; one that was refused stands nowhere."""
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
    """`seq` is 1..n without gap or repeat, in the order shown."""
    for thread in record.threads:
        numbers = [e["seq"] for e in thread["transcript"]]
        if numbers != list(range(1, len(numbers) + 1)) and not thread["transcriptTruncated"]:
            yield f"{thread['interactionId']} counts {numbers}"


def _handed_over(record: Record) -> Iterator[str]:
    """A text that an agent must hear of is in exactly one turn that got a 2xx, or in one closed
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
    """At the carrier a text is accepted once; twice only if it had twice denied having it."""
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
    """Every text is in a final state, or `unknown` with a reason."""
    for message_id, message in record.ends.items():
        if message["status"] in OWED:
            yield f"{message_id} is still {message['status']}"
        elif not (message["errorCode"] and message["errorMessage"]):
            yield f"{message_id} is {message['status']} without a reason"


def _heeded(record: Record) -> Iterator[str]:
    """A receipt that was answered 2xx counts for ever, in whatever order it came."""
    for entry in record.entries("agent"):
        for taken in record.accepted.get(entry["messageId"], ()):
            if "delivered" in taken.get("told", ()) and entry["status"] != "delivered":
                yield f"{entry['messageId']} was delivered, and is {entry['status']}"


def _one_reply(record: Record) -> Iterator[str]:
    """One reply per turn reaches the lead, and none of a turn that was given up."""
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
    """After a STOP was answered: one confirmation at most."""
    for phone, stopped in record.stopped.items():
        later = [text for text, at in record.arrived.get(phone, ()) if at > stopped]
        if [text for text in later if text != record.confirmation] or len(later) > 1:
            yield f"after STOP {phone} got {later}"


def _got_through(record: Record, turn: Data) -> bool:
    """Whether the agent took it, as far as anybody could know when it was closed: a worker that
    stood still may tell of a 2xx when the turn's texts had to move on."""
    return any(200 <= (one["httpStatus"] or 0) < 300 for one in turn["attempts"]) and not (
        turn["movedTo"] and _alone(record, datetime.fromisoformat(turn["closedAt"]))
    )


def _alone(record: Record, at: datetime) -> bool:
    return any(begin <= at <= end for begin, end in record.alone)


def _is_text(entry: Mapping[str, Any]) -> bool:
    return bool(entry["status"] != "note")


def counted(words: Iterable[str]) -> str:
    """A table of how often each word occurs, most first."""
    rows = Counter(words).most_common()
    return "\n".join(f"  {count:6}  {word}" for word, count in rows)
