"""Receives texts from leads: ignores repeats, finds lead and thread, stores, obeys STOP, collects
for the agent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.commands import consent
from app.domain import ids, optout
from app.domain.carriage import Account, Habits, InboundText
from app.store import cancelling, inbox, suppressions, threads
from app.store.clock import turn_hint
from app.store.engine import Row, Tx
from app.store.inbox import Arrival, IncomingText

DEFAULT_HABITS = Habits()


@dataclass(frozen=True, slots=True)
class InboundPost:
    """The texts of one request of a carrier, for one account. `is_late`: they were fetched from the
    carrier's record after a downtime."""

    account: Account
    texts: Sequence[InboundText]
    habits: Habits = DEFAULT_HABITS
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class PostOutcome:
    """What became of the texts of one post: how many were stored, were repeats, or were sent to a
    number that is not the account's; the phones that opted out; the turns that collect texts."""

    stored_count: int = 0
    repeated_count: int = 0
    foreign_count: int = 0
    stopped_phones: tuple[str, ...] = ()
    turn_ids: tuple[str, ...] = ()


PlacedText = tuple[int, Account, InboundText]
"""(position of the post, account, text)."""


async def receive_texts(tx: Tx, posts: Sequence[InboundPost]) -> list[PostOutcome]:
    """Stores the new texts that were sent to numbers of their accounts; returns the outcome of each
    post, in order. `tx` should have fresh plans: the numbers of unfinished turns and queued texts
    change quickly."""
    placed_texts: list[PlacedText] = [
        (i, post.account, replace(text, provider_id=text.provider_id.replace("\x00", "")))
        for i, post in enumerate(posts)
        for text in post.texts
    ]
    arrivals_by_post: dict[int, list[Arrival]] = {}
    completed_by_post: dict[int, list[Arrival]] = {}
    turn_by_text: dict[tuple[str, str], str] = {}
    incoming_texts = [
        IncomingText(a.tenant_id, a.account_id, t.to, t.sender, t.provider_id) for _, a, t in placed_texts
    ]
    is_new_by_place: dict[int, bool] = {}
    if incoming_texts:
        is_new_by_place = await inbox.remember_new(tx, incoming_texts)
        # By identity: a text that came twice at once is stored once.
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
            completed_by_post.setdefault(i, []).append(arrival)
    own_counts = Counter(placed_texts[place][0] for place in is_new_by_place)
    return [
        PostOutcome(
            stored_count=len(arrivals_by_post.get(i, ())),
            repeated_count=own_counts[i] - len(arrivals_by_post.get(i, ())),
            foreign_count=len(post.texts) - own_counts[i],
            stopped_phones=tuple(
                a.lead_phone for a in (*arrivals_by_post.get(i, ()), *completed_by_post.get(i, ())) if a.word == "stop"
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
    """Stores new texts. Returns the arrivals by post, and the turn id by (tenant, message) of the
    texts that an agent gets."""
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
        await cancelling.cancel_on_reply(tx, sorted(replied_phones))
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
    """Completes texts that were fetched from a carrier's record, when their webhooks come after all:
    only a webhook has the attachments and the control word that the carrier saw. Returns the
    arrivals whose control word is known only now and was obeyed, each with the position of its
    post."""
    if not copies:
        return []
    keys = [(a.tenant_id, a.account_id, t.provider_id) for _, a, t in copies]
    incomplete_rows = await inbox.find_incomplete(tx, keys)
    if not incomplete_rows:
        return []
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in incomplete_rows})
    arrivals = [_build_completion(posts[copies[row["i"]][0]], copies[row["i"]][2], row) for row in incomplete_rows]
    completed_rows = await inbox.complete(tx, arrivals)
    await _collect_texts(tx, [(a, r) for a, r in zip(arrivals, completed_rows, strict=True) if r["forwardable"]])
    new_words = [
        (row, arrival)
        for row, arrival in zip(incomplete_rows, arrivals, strict=True)
        if arrival.word and arrival.word != optout.judge_text(row["text"]).word
    ]
    dated_words = [(a.tenant_id, a.message_id, a.lead_phone, r["created_at"]) for r, a in new_words]
    outdated_ids = await suppressions.find_outdated(tx, dated_words) if dated_words else set()
    arrivals_to_heed = [(copies[r["i"]][0], a) for r, a in new_words if a.message_id not in outdated_ids]
    for _, arrival in arrivals_to_heed:
        await consent.heed_words(tx, [arrival])
    return arrivals_to_heed


def _build_completion(post: InboundPost, text: InboundText, row: Row) -> Arrival:
    """The stored text with the data of its webhook. It is forwarded to the agent only if it was blank
    before: any other text was forwarded when it was stored."""
    arrival = _build_arrival(post, text, row, row["lead_id"])
    was_blank = row["blank"] and not _is_blank(text)
    return replace(
        arrival,
        message_id=row["message_id"],
        is_forwardable=arrival.is_forwardable and was_blank,
    )


def _is_blank(text: InboundText) -> bool:
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
        # A record does not name the attachments of a text: there is nothing to forward yet.
        and not (post.is_late and _is_blank(text)),
        possible_opt_out=judgment.is_possible,
        is_late=post.is_late,
    )


async def _find_leads(tx: Tx, new_texts: Sequence[PlacedText], routes: Sequence[Row]) -> list[str]:
    """The lead id of each text; adds one placeholder for each unknown phone."""
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
    """Adds the texts to their threads' collecting turns; returns the turn id by (tenant, message)."""
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
    turn_by_thread = {(turn["tenant_id"], turn["interaction_id"]): turn["turn_id"] for turn in turns}
    return {
        (arrival.tenant_id, arrival.message_id): turn_by_thread[arrival.tenant_id, row["interaction_id"]]
        for arrival, row in texts
    }
