"""Receives texts from leads: ignores repeats, finds lead and thread, stores, obeys STOP, collects
for the agent."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.commands import consent
from app.domain import ids, optout, orders, phones
from app.domain.carriage import Account, Habits, InboundText
from app.store import arrivals as store
from app.store import cancelling, consent_events, inbox, opt_out_decisions, suppressions, threads
from app.store.arrivals import Arrival, IncompleteText, StoredText
from app.store.clock import turn_hint
from app.store.consent_events import DatedText
from app.store.engine import Tx
from app.store.inbox import IncomingText, Placeholder, Route
from app.store.suppressions import PhoneKey

DEFAULT_HABITS = Habits()
UNCLEAR_REASON = "the lead may have opted out: a person decides"


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


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A text of a post; `place` is the position of the post."""

    place: int
    post: InboundPost
    text: InboundText
    incoming_text: IncomingText


async def receive_texts(tx: Tx, posts: Sequence[InboundPost]) -> list[PostOutcome]:
    """Stores the new texts that were sent to numbers of their accounts; returns the outcome of each
    post, in order. `tx` should have fresh plans: the numbers of unfinished turns and queued texts
    change quickly."""
    texts = [_place_text(tx, place, post, text) for place, post in enumerate(posts) for text in post.texts]
    own_texts: list[PlacedText] = []
    arrivals_by_post: dict[int, list[Arrival]] = {}
    completed_by_post: dict[int, list[Arrival]] = {}
    turn_by_text: dict[str, str] = {}
    if texts:
        known_texts = await inbox.remember_new(tx, [text.incoming_text for text in texts])
        own_texts = [texts[known_text.place] for known_text in known_texts]
        # By identity: a text that came twice at once is stored once.
        new_texts = {
            texts[known_text.place].incoming_text.identity: (texts[known_text.place], known_text)
            for known_text in known_texts
            if known_text.is_new
        }
        if new_texts:
            arrivals_by_post, turn_by_text = await _store_new(tx, list(new_texts.values()))
        copies = {
            texts[known_text.place].incoming_text.identity: texts[known_text.place]
            for known_text in known_texts
            if not known_text.is_new and not texts[known_text.place].post.is_late
        }
        if copies:
            completed_by_post = await _complete(tx, list(copies.values()))
    own_counts = Counter(text.place for text in own_texts)
    return [
        _build_outcome(
            post, own_counts[place], arrivals_by_post.get(place, []), completed_by_post.get(place, []), turn_by_text
        )
        for place, post in enumerate(posts)
    ]


def _place_text(tx: Tx, place: int, post: InboundPost, text: InboundText) -> PlacedText:
    account = post.account
    phone_hash = tx.hash_phone(text.sender)
    incoming_text = IncomingText(
        account.tenant_id, account.account_id, text.to, text.sender, phone_hash, text.provider_id, text.may_quote
    )
    return PlacedText(place, post, text, incoming_text)


def _build_outcome(
    post: InboundPost,
    own_count: int,
    stored_arrivals: Sequence[Arrival],
    completed_arrivals: Sequence[Arrival],
    turn_by_text: Mapping[str, str],
) -> PostOutcome:
    """`own_count`: how many texts of the post were sent to numbers of its account."""
    turn_ids = {turn_by_text[a.message_id] for a in stored_arrivals if a.message_id in turn_by_text}
    return PostOutcome(
        stored_count=len(stored_arrivals),
        repeated_count=own_count - len(stored_arrivals),
        foreign_count=len(post.texts) - own_count,
        stopped_phones=tuple(a.lead_phone for a in (*stored_arrivals, *completed_arrivals) if a.word == "stop"),
        turn_ids=tuple(turn_ids),
    )


async def _store_new(
    tx: Tx, new_texts: Sequence[tuple[PlacedText, Route]]
) -> tuple[dict[int, list[Arrival]], dict[str, str]]:
    """Stores new texts. Returns the arrivals by post, and by message id the turns of the texts that
    an agent gets."""
    lead_ids = await _find_leads(tx, new_texts)
    arrivals = [
        _build_arrival(text, route, lead_id) for (text, route), lead_id in zip(new_texts, lead_ids, strict=True)
    ]
    stopped_phones = {arrival.phone_key for arrival in arrivals if arrival.word == "stop"}
    if stopped_phones:
        await suppressions.lock_threads(tx, sorted(stopped_phones))
        arrivals = [replace(arrival, is_stopped=arrival.phone_key in stopped_phones) for arrival in arrivals]
    stored_texts = await store.store(tx, arrivals)
    replied_phones = {a.phone_key for a, (_, route) in zip(arrivals, new_texts, strict=True) if route.made_needless}
    if replied_phones:
        await cancelling.cancel_on_reply(tx, sorted(replied_phones))
    by_post: dict[int, list[Arrival]] = {}
    for (text, _), arrival in zip(new_texts, arrivals, strict=True):
        by_post.setdefault(text.place, []).append(arrival)
    for post_arrivals in by_post.values():
        if any(arrival.word for arrival in post_arrivals):
            await consent.heed_words(tx, post_arrivals)
    return by_post, await _hand_on(tx, arrivals, stored_texts)


async def _complete(tx: Tx, copies: Sequence[PlacedText]) -> dict[int, list[Arrival]]:
    """Completes texts that were fetched from a carrier's record, when their webhooks come after all:
    only a webhook has the attachments and the control word that the carrier saw. Returns by post the
    arrivals whose control word is known only now and was obeyed."""
    incomplete_texts = await store.find_incomplete(tx, [copy.incoming_text for copy in copies])
    if not incomplete_texts:
        return {}
    await threads.lock(tx, {(text.tenant_id, text.interaction_id) for text in incomplete_texts})
    arrivals = [_build_completion(copies[text.place], text) for text in incomplete_texts]
    completed_texts = await store.complete(tx, arrivals)
    await _hand_on(tx, arrivals, completed_texts)
    new_words = [
        (text, arrival)
        for text, arrival in zip(incomplete_texts, arrivals, strict=True)
        if arrival.word and arrival.word != optout.judge_text(text.text).word
    ]
    dated_texts = [
        DatedText(text.tenant_id, text.message_id, tx.hash_phone(arrival.lead_phone), text.created_at)
        for text, arrival in new_words
    ]
    outdated_ids = await consent_events.find_outdated(tx, dated_texts)
    heeded_by_post: dict[int, list[Arrival]] = {}
    for text, arrival in new_words:
        if arrival.message_id not in outdated_ids:
            await consent.heed_words(tx, [arrival])
            heeded_by_post.setdefault(copies[text.place].place, []).append(arrival)
    return heeded_by_post


def _build_completion(copy: PlacedText, stored_text: IncompleteText) -> Arrival:
    """The stored text with the data of its webhook. Words that can be seen stay. It is forwarded to the agent only
    if it was blank before: any other text was forwarded when it was stored."""
    route = Route(
        stored_text.lead_id,
        stored_text.campaign_id,
        None,
        stored_text.suppressed,
        made_needless=False,
        answers_short_codes=stored_text.answers_short_codes,
        our_texts=[],
    )
    arrival = _build_arrival(copy, route, stored_text.lead_id)
    had_no_words = orders.is_blank(stored_text.text)
    return replace(
        arrival,
        message_id=stored_text.message_id,
        text=arrival.text if had_no_words else stored_text.text,
        is_forwardable=arrival.is_forwardable and had_no_words and not stored_text.has_media,
    )


def _is_blank(text: InboundText) -> bool:
    return orders.is_blank(text.text) and not text.media


def _build_arrival(placed_text: PlacedText, route: Route, lead_id: str) -> Arrival:
    post, text = placed_text.post, placed_text.text
    judgment = text.judge_known(route.suppressed, post.habits.yes_restores, route.our_texts)
    return Arrival(
        tenant_id=post.account.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        our_number=text.to,
        lead_phone=text.sender,
        lead_id=lead_id,
        campaign_id=route.campaign_id if route.lead_id else route.primary_campaign,
        account_id=post.account.account_id,
        provider=post.account.provider,
        provider_id=text.provider_id,
        text=text.text,
        media=json.dumps([{"url": media.url, "contentType": media.content_type} for media in text.media]),
        word=judgment.word,
        rule=judgment.rule,
        is_answered=post.habits.has_answered(text, judgment.word),
        is_forwardable=judgment.word is None
        and not route.suppressed
        and phones.can_be_answered(text.sender, route.answers_short_codes)
        # A carrier's record does not name attachments: such a text is forwarded when its webhook comes.
        and not _is_blank(text),
        possible_opt_out=judgment.is_possible,
        is_late=post.is_late,
        is_suppressed=route.suppressed,
        turn_id=ids.make("turn"),
    )


async def _find_leads(tx: Tx, new_texts: Sequence[tuple[PlacedText, Route]]) -> list[str]:
    """The lead id of each text; adds one placeholder for each unknown phone."""
    placeholders: dict[PhoneKey, Placeholder] = {}
    lead_ids: list[str] = []
    for text, route in new_texts:
        lead_id, phone = route.lead_id, text.incoming_text.phone_key
        if lead_id is None:
            placeholder = Placeholder(phone.tenant_id, ids.make("lead"), phone.phone, route.primary_campaign)
            lead_id = placeholders.setdefault(phone, placeholder).lead_id
        lead_ids.append(lead_id)
    if placeholders:
        await inbox.add_placeholders(tx, list(placeholders.values()))
    return lead_ids


async def _hand_on(tx: Tx, arrivals: Sequence[Arrival], stored_texts: Sequence[StoredText]) -> dict[str, str]:
    """Ends the unfinished turns of the threads in which a text may be an opt-out. Returns the turns of the
    texts that an agent gets, by message id, and hints when they are due."""
    texts = list(zip(arrivals, stored_texts, strict=True))
    unclear_threads = {
        (arrival.tenant_id, stored_text.interaction_id)
        for arrival, stored_text in texts
        if stored_text.is_unclear and not arrival.is_stopped
    }
    if unclear_threads:
        await opt_out_decisions.hold_threads(tx, unclear_threads, UNCLEAR_REASON)
    turn_by_text: dict[str, str] = {}
    for arrival, stored_text in texts:
        if stored_text.turn_id and stored_text.due_at:
            tx.hints[turn_hint(arrival.tenant_id, stored_text.interaction_id)] = stored_text.due_at
            turn_by_text[arrival.message_id] = stored_text.turn_id
    return turn_by_text
