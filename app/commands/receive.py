"""Receive texts from leads: see once, route, thread, obey STOP, collect for the agent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.commands import consent
from app.domain import ids, optout
from app.domain.carriage import Account, Habits, InboundText
from app.store import inbox, outbox, suppressions, threads
from app.store.clock import turn_hint
from app.store.engine import Row, Tx
from app.store.inbox import Arrival, Claim

CAREFUL = Habits()


@dataclass(frozen=True, slots=True)
class Post:
    """What a carrier handed over at once, through one account. `late`: it was fetched from the
    carrier's record."""

    account: Account
    texts: Sequence[InboundText]
    habits: Habits = CAREFUL
    late: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """What became of the texts of one post. `stopped`: phones that just opted out; `turns`: those
    that collect its texts."""

    stored: int = 0
    repeated: int = 0
    foreign: int = 0
    stopped: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()


Came = tuple[int, Account, InboundText]
"""A text, its account, and the place of its post among the others."""


async def texts(tx: Tx, posts: Sequence[Post]) -> list[Received]:
    """Stores the texts that are new and sent to numbers of their accounts; the rest is counted.
    In order, what became of each post."""
    await tx.together()
    given: list[Came] = [
        (i, post.account, replace(text, provider_id=text.provider_id.replace("\x00", "")))
        for i, post in enumerate(posts)
        for text in post.texts
    ]
    stored: dict[int, list[Arrival]] = {}
    heeded: dict[int, list[Arrival]] = {}
    turns: dict[tuple[str, str], str] = {}
    claims = [Claim(a.tenant_id, a.account_id, t.to, t.sender, t.provider_id) for _, a, t in given]
    seen: dict[int, bool] = {}
    if claims:
        await tx.replan()  # unfinished turns and owed texts come by the thousand, and go
        seen = await inbox.see(tx, claims)
        # Of a text that came twice at once, one.
        new = {claims[place].known_by: given[place] for place, fresh in seen.items() if fresh}
        if new:
            stored, turns = await _store(tx, posts, list(new.values()))
        copies = {
            claims[place].known_by: given[place]
            for place, fresh in seen.items()
            if not fresh and not posts[given[place][0]].late
        }
        for i, arrival in await _complete(tx, posts, list(copies.values())):
            heeded.setdefault(i, []).append(arrival)
    kept = Counter(given[place][0] for place in seen)
    return [
        Received(
            stored=len(stored.get(i, ())),
            repeated=kept[i] - len(stored.get(i, ())),
            foreign=len(post.texts) - kept[i],
            stopped=tuple(a.lead_phone for a in (*stored.get(i, ()), *heeded.get(i, ())) if a.word == "stop"),
            turns=tuple({turns[key] for a in stored.get(i, ()) if (key := (a.tenant_id, a.message_id)) in turns}),
        )
        for i, post in enumerate(posts)
    ]


async def _store(
    tx: Tx, posts: Sequence[Post], new: Sequence[Came]
) -> tuple[dict[int, list[Arrival]], dict[tuple[str, str], str]]:
    """What arrived, by its post; and the turn of each text (tenant, message) that has one."""
    routes = await inbox.route(tx, [(a.tenant_id, t.to, t.sender) for _, a, t in new])
    leads = await _leads(tx, new, routes)
    arrivals = [
        _arrival(posts[i], text, route, lead_id)
        for (i, _, text), route, lead_id in zip(new, routes, leads, strict=True)
    ]
    stopped = {(a.tenant_id, a.lead_phone) for a in arrivals if a.word == "stop"}
    if stopped:
        await suppressions.lock_threads(tx, sorted(stopped))
    threaded = await inbox.thread(tx, arrivals)
    needless = {
        (a.tenant_id, a.lead_phone) for a, route in zip(arrivals, routes, strict=True) if route["made_needless"]
    }
    if needless:
        await outbox.cancel_answered(tx, sorted(needless))
    by_post: dict[int, list[Arrival]] = {}
    for (i, _, _), arrival in zip(new, arrivals, strict=True):
        by_post.setdefault(i, []).append(arrival)
    for came in by_post.values():
        if any(arrival.word for arrival in came):
            await consent.heed(tx, came)
    turns = await _collect(
        tx,
        [
            (arrival, row)
            for arrival, row in zip(arrivals, threaded, strict=True)
            if row["forwardable"] and (arrival.tenant_id, arrival.lead_phone) not in stopped
        ],
    )
    return by_post, turns


async def _complete(tx: Tx, posts: Sequence[Post], copies: Sequence[Came]) -> list[tuple[int, Arrival]]:
    """Completes texts that were fetched from a carrier's record by the webhooks that come after
    all: a record names neither attachments nor what the carrier took the text for. Returns those
    that say only now what was to be obeyed, each with the place of its post."""
    if not copies:
        return []
    known = [(a.tenant_id, a.account_id, t.provider_id) for _, a, t in copies]
    lacking = await inbox.incomplete(tx, known)
    if not lacking:
        return []
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in lacking})
    arrivals = [_fuller(posts[copies[row["i"]][0]], copies[row["i"]][2], row) for row in lacking]
    filled = await inbox.complete(tx, arrivals)
    await _collect(tx, [(a, r) for a, r in zip(arrivals, filled, strict=True) if r["forwardable"]])
    unheard = [
        (row, arrival)
        for row, arrival in zip(lacking, arrivals, strict=True)
        if arrival.word and arrival.word != optout.judge(row["text"]).word
    ]
    said = [(a.tenant_id, a.message_id, a.lead_phone, r["created_at"]) for r, a in unheard]
    outdated = await suppressions.outdated(tx, said) if said else set()
    heeded = [(copies[r["i"]][0], a) for r, a in unheard if a.message_id not in outdated]
    for _, arrival in heeded:
        await consent.heed(tx, [arrival])
    return heeded


def _fuller(post: Post, text: InboundText, row: Row) -> Arrival:
    """The stored text as its webhook tells it. What was there to be handed over was handed over
    as it came: only one of which nothing was known is conversation now."""
    arrival = _arrival(post, text, row, row["lead_id"])
    hidden = row["blank"] and not _blank(text)
    return replace(
        arrival,
        message_id=row["message_id"],
        conversation=arrival.conversation and hidden,
    )


def _blank(text: InboundText) -> bool:
    return not (text.text.strip() or text.media)


def _arrival(post: Post, text: InboundText, route: Row, lead_id: str) -> Arrival:
    account = post.account
    judged = optout.judge(
        text.text,
        taken_as=text.taken_as,
        yes_restores=post.habits.yes_restores,
        suppressed=route["suppressed"],
    )
    return Arrival(
        tenant_id=account.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        our_number=text.to,
        lead_phone=text.sender,
        lead_id=lead_id,
        campaign_id=route["campaign_id"] if route["lead_id"] else route["primary_campaign"],
        account_id=account.account_id,
        provider=account.provider,
        provider_id=text.provider_id,
        text=text.text.replace("\x00", ""),
        media=[{"url": one.url, "contentType": one.content_type} for one in text.media],
        word=judged.word,
        rule=judged.rule,
        answered=post.habits.answered(text, judged.word),
        conversation=judged.word is None
        and not route["suppressed"]
        # A record says that there are attachments, and not which: nothing to hand over yet.
        and not (post.late and _blank(text)),
        possible_opt_out=judged.possible,
        late=post.late,
    )


async def _leads(tx: Tx, new: Sequence[Came], routes: Sequence[Row]) -> list[str]:
    """The lead of each text; a phone that nobody knows gets one placeholder."""
    placeholders: dict[tuple[str, str], tuple[str, str, str, str | None]] = {}
    found: list[str] = []
    for (_, account, text), route in zip(new, routes, strict=True):
        lead_id = route["lead_id"]
        if lead_id is None:
            made = (account.tenant_id, ids.make("lead"), text.sender, route["primary_campaign"])
            lead_id = placeholders.setdefault((account.tenant_id, text.sender), made)[1]
        found.append(lead_id)
    if placeholders:
        await inbox.add_placeholders(tx, list(placeholders.values()))
    return found


async def _collect(tx: Tx, texts: Sequence[tuple[Arrival, Row]]) -> dict[tuple[str, str], str]:
    """The turn that each text (tenant, message) came into."""
    if not texts:
        return {}
    threads = sorted({(arrival.tenant_id, row["interaction_id"]) for arrival, row in texts})
    turns = await inbox.collect(
        tx,
        [(*thread, ids.make("turn")) for thread in threads],
        [(arrival.tenant_id, arrival.message_id) for arrival, _ in texts],
    )
    for turn in turns:
        tx.hints[turn_hint(turn["tenant_id"], turn["interaction_id"])] = turn["due_at"]
    of_thread = {(turn["tenant_id"], turn["interaction_id"]): turn["turn_id"] for turn in turns}
    return {
        (arrival.tenant_id, arrival.message_id): of_thread[arrival.tenant_id, row["interaction_id"]]
        for arrival, row in texts
    }
