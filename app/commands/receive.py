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
from app.store.inbox import Arrival, IncomingText

DEFAULT_HABITS = Habits()


@dataclass(frozen=True, slots=True)
class InboundPost:
    """What a carrier handed over at once, through one account. `is_late`: it was fetched from the
    carrier's record."""

    account: Account
    texts: Sequence[InboundText]
    habits: Habits = DEFAULT_HABITS
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class PostOutcome:
    """What became of the texts of one post. `stopped_phones` just opted out; `turn_ids`: those
    that collect its texts."""

    stored_count: int = 0
    repeated_count: int = 0
    foreign_count: int = 0
    stopped_phones: tuple[str, ...] = ()
    turn_ids: tuple[str, ...] = ()


PlacedText = tuple[int, Account, InboundText]
"""A text, its account, and the place of its post among the others."""


async def receive_texts(tx: Tx, posts: Sequence[InboundPost]) -> list[PostOutcome]:
    """Stores the texts that are new and sent to numbers of their accounts; the rest is counted.
    In order, what became of each post."""
    await tx.begin()
    placed_texts: list[PlacedText] = [
        (i, post.account, replace(text, provider_id=text.provider_id.replace("\x00", "")))
        for i, post in enumerate(posts)
        for text in post.texts
    ]
    arrivals_by_post: dict[int, list[Arrival]] = {}
    heeded: dict[int, list[Arrival]] = {}
    turn_by_text: dict[tuple[str, str], str] = {}
    incoming_texts = [
        IncomingText(a.tenant_id, a.account_id, t.to, t.sender, t.provider_id) for _, a, t in placed_texts
    ]
    is_new_by_place: dict[int, bool] = {}
    if incoming_texts:
        await tx.plan_afresh()  # unfinished turns and owed texts come by the thousand, and go
        is_new_by_place = await inbox.remember_new(tx, incoming_texts)
        # Of a text that came twice at once, one.
        new_texts = {
            incoming_texts[place].identity: placed_texts[place] for place, is_new in is_new_by_place.items() if is_new
        }
        if new_texts:
            arrivals_by_post, turn_by_text = await _store_new(tx, posts, list(new_texts.values()))
        copies = {
            incoming_texts[place].identity: placed_texts[place]
            for place, is_new in is_new_by_place.items()
            if not is_new and not posts[placed_texts[place][0]].is_late
        }
        for i, arrival in await _complete(tx, posts, list(copies.values())):
            heeded.setdefault(i, []).append(arrival)
    own_counts = Counter(placed_texts[place][0] for place in is_new_by_place)
    return [
        PostOutcome(
            stored_count=len(arrivals_by_post.get(i, ())),
            repeated_count=own_counts[i] - len(arrivals_by_post.get(i, ())),
            foreign_count=len(post.texts) - own_counts[i],
            stopped_phones=tuple(
                a.lead_phone for a in (*arrivals_by_post.get(i, ()), *heeded.get(i, ())) if a.word == "stop"
            ),
            turn_ids=tuple(
                {
                    turn_by_text[key]
                    for a in arrivals_by_post.get(i, ())
                    if (key := (a.tenant_id, a.message_id)) in turn_by_text
                }
            ),
        )
        for i, post in enumerate(posts)
    ]


async def _store_new(
    tx: Tx, posts: Sequence[InboundPost], new_texts: Sequence[PlacedText]
) -> tuple[dict[int, list[Arrival]], dict[tuple[str, str], str]]:
    """What arrived, by its post; and the turn of each text (tenant, message) that has one."""
    routes = await inbox.find_routes(tx, [(a.tenant_id, t.to, t.sender) for _, a, t in new_texts])
    lead_ids = await _find_leads(tx, new_texts, routes)
    arrivals = [
        _build_arrival(posts[i], text, route, lead_id)
        for (i, _, text), route, lead_id in zip(new_texts, routes, lead_ids, strict=True)
    ]
    stopped_phones = {(a.tenant_id, a.lead_phone) for a in arrivals if a.word == "stop"}
    if stopped_phones:
        await suppressions.lock_threads(tx, sorted(stopped_phones))
    stored_rows = await inbox.store_arrivals(tx, arrivals)
    replied_phones = {
        (a.tenant_id, a.lead_phone) for a, route in zip(arrivals, routes, strict=True) if route["made_needless"]
    }
    if replied_phones:
        await outbox.cancel_on_reply(tx, sorted(replied_phones))
    by_post: dict[int, list[Arrival]] = {}
    for (i, _, _), arrival in zip(new_texts, arrivals, strict=True):
        by_post.setdefault(i, []).append(arrival)
    for post_arrivals in by_post.values():
        if any(arrival.word for arrival in post_arrivals):
            await consent.heed_words(tx, post_arrivals)
    turn_by_text = await _collect_texts(
        tx,
        [
            (arrival, row)
            for arrival, row in zip(arrivals, stored_rows, strict=True)
            if row["forwardable"] and (arrival.tenant_id, arrival.lead_phone) not in stopped_phones
        ],
    )
    return by_post, turn_by_text


async def _complete(tx: Tx, posts: Sequence[InboundPost], copies: Sequence[PlacedText]) -> list[tuple[int, Arrival]]:
    """Completes texts that were fetched from a carrier's record by the webhooks that come after
    all: a record names neither attachments nor what the carrier took the text for. Returns those
    that say only now what was to be obeyed, each with the place of its post."""
    if not copies:
        return []
    keys = [(a.tenant_id, a.account_id, t.provider_id) for _, a, t in copies]
    incomplete_rows = await inbox.find_incomplete(tx, keys)
    if not incomplete_rows:
        return []
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in incomplete_rows})
    arrivals = [_fuller(posts[copies[row["i"]][0]], copies[row["i"]][2], row) for row in incomplete_rows]
    completed_rows = await inbox.complete(tx, arrivals)
    await _collect_texts(tx, [(a, r) for a, r in zip(arrivals, completed_rows, strict=True) if r["forwardable"]])
    unheard = [
        (row, arrival)
        for row, arrival in zip(incomplete_rows, arrivals, strict=True)
        if arrival.word and arrival.word != optout.judge_text(row["text"]).word
    ]
    said = [(a.tenant_id, a.message_id, a.lead_phone, r["created_at"]) for r, a in unheard]
    outdated = await suppressions.find_outdated(tx, said) if said else set()
    heeded = [(copies[r["i"]][0], a) for r, a in unheard if a.message_id not in outdated]
    for _, arrival in heeded:
        await consent.heed_words(tx, [arrival])
    return heeded


def _fuller(post: InboundPost, text: InboundText, row: Row) -> Arrival:
    """The stored text as its webhook tells it. What was there to be handed over was handed over
    as it came: only one of which nothing was known is conversation now."""
    arrival = _build_arrival(post, text, row, row["lead_id"])
    hidden = row["blank"] and not _blank(text)
    return replace(
        arrival,
        message_id=row["message_id"],
        is_forwardable=arrival.is_forwardable and hidden,
    )


def _blank(text: InboundText) -> bool:
    return not (text.text.strip() or text.media)


def _build_arrival(post: InboundPost, text: InboundText, route: Row, lead_id: str) -> Arrival:
    account = post.account
    judgment = optout.judge_text(
        text.text,
        taken_as=text.taken_as,
        yes_restores=post.habits.yes_restores,
        is_suppressed=route["suppressed"],
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
        media=[{"url": media.url, "contentType": media.content_type} for media in text.media],
        word=judgment.word,
        rule=judgment.rule,
        is_answered=post.habits.has_answered(text, judgment.word),
        is_forwardable=judgment.word is None
        and not route["suppressed"]
        # A record says that there are attachments, and not which: nothing to hand over yet.
        and not (post.is_late and _blank(text)),
        possible_opt_out=judgment.is_possible,
        is_late=post.is_late,
    )


async def _find_leads(tx: Tx, new_texts: Sequence[PlacedText], routes: Sequence[Row]) -> list[str]:
    """The lead of each text; a phone that nobody knows gets one placeholder."""
    placeholders: dict[tuple[str, str], tuple[str, str, str, str | None]] = {}
    lead_ids: list[str] = []
    for (_, account, text), route in zip(new_texts, routes, strict=True):
        lead_id = route["lead_id"]
        if lead_id is None:
            placeholder = (
                account.tenant_id,
                ids.make("lead"),
                text.sender,
                route["primary_campaign"],
            )
            lead_id = placeholders.setdefault((account.tenant_id, text.sender), placeholder)[1]
        lead_ids.append(lead_id)
    if placeholders:
        await inbox.add_placeholders(tx, list(placeholders.values()))
    return lead_ids


async def _collect_texts(tx: Tx, texts: Sequence[tuple[Arrival, Row]]) -> dict[tuple[str, str], str]:
    """The turn that each text (tenant, message) came into."""
    if not texts:
        return {}
    threads = sorted({(arrival.tenant_id, row["interaction_id"]) for arrival, row in texts})
    turns = await inbox.collect_texts(
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
