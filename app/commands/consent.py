"""Obeys STOP, START and HELP within the webhook request that brought them (docs/contract.md,
section 7; CTIA Messaging Principles 5.1; 47 CFR 64.1200(a)(10) and (12))."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from app.commands import timeline
from app.domain import ids, phones, segments
from app.domain.consent import MISTAKABLE_RULES
from app.domain.orders import Order, ResolvedOrder
from app.domain.words import Cause as CauseWord
from app.store import arrivals as store
from app.store import consent_events, sending, suppressions, tenants
from app.store.arrivals import WordText
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.consent_events import ConsentEvent
from app.store.engine import ReadTx, Tx
from app.store.schema import Tenant
from app.store.suppressions import Cause

STOP_ANSWER = "{name}: You are unsubscribed and will get no more texts. Reply START to resume."
UNDO_ANSWER = "Reply START to resume."
NAMES_START_PATTERN = re.compile(r"\b(?:start|unstop)\b", re.IGNORECASE)
HELP_ANSWER = "{name}: Reply STOP to get no more texts. For anything else, just write to us here."
CONFIRM_WITHIN = timedelta(minutes=5)
HELP_EVERY = timedelta(days=1)
EVENT_BY_WORD = {"stop": "opted_out", "start": "opted_in", "help": "help"}


@dataclass(frozen=True, slots=True)
class Consent:
    """The causes that suppress a phone, and its consent events, oldest first."""

    phone: str
    causes: list[CauseWord]
    events: list[ConsentEvent]

    @property
    def is_suppressed(self) -> bool:
        return bool(self.causes)


async def get_consent(read: ReadTx, tenant_id: str, phone: str) -> Consent:
    """The consent record of a phone as it is stored; the phone may be unknown."""
    causes = await suppressions.get_causes(read, tenant_id, [phone])
    events = await consent_events.list_of_phone(read, tenant_id, phone)
    return Consent(phone, causes.get(phone, []), events)


async def heed_words(tx: Tx, texts: Sequence[WordText]) -> None:
    """Obeys the control words of the texts, in order, and answers those that the carrier did not
    answer. The caller has locked the phones."""
    for word, run in groupby((text for text in texts if text.word), key=lambda text: text.word):
        word_texts = list(run)
        match word:
            case "stop":
                await heed_stop(tx, word_texts)
            case "start":
                freed_threads = await suppressions.lift(tx, [_build_cause(text) for text in word_texts])
                await timeline.tell_consent(tx, freed_threads)
            case "help":
                await _heed_help(tx, word_texts)


async def heed_stop(tx: Tx, texts: Sequence[WordText], actor: str = "lead") -> None:
    """Obeys opt-outs of one tenant. `actor` is who said so: the lead, an agent, or the person who
    decided it. The caller has locked the phones."""
    tenant_id = texts[0].tenant_id
    earlier_causes = await suppressions.get_causes(tx, tenant_id, [text.lead_phone for text in texts])
    stopped_threads = await suppressions.add(tx, [_build_cause(text, actor) for text in texts])
    await timeline.tell_consent(tx, stopped_threads)
    answered_by_carrier = {text.lead_phone for text in texts if text.is_answered}
    new_stops = {
        text.lead_phone: text
        for text in texts
        if text.lead_phone not in answered_by_carrier and "lead" not in earlier_causes.get(text.lead_phone, [])
    }
    if new_stops:
        tenant = await tenants.get(tx, tenant_id)
        assert tenant is not None
        answer = tenant.opt_out_confirmation or STOP_ANSWER.format(name=tenant.name)
        for is_mistakable, run in groupby(
            sorted(new_stops.values(), key=_is_mistakable),  # sorting keeps the order within each kind
            key=_is_mistakable,
        ):
            await _send_answer(tx, tenant, list(run), _explain_undo(answer) if is_mistakable else answer)


def _is_mistakable(text: WordText) -> bool:
    return text.rule in MISTAKABLE_RULES


def _explain_undo(confirmation: str) -> str:
    """The confirmation of an opt-out that may be a mistake: it says how to undo it."""
    return confirmation if NAMES_START_PATTERN.search(confirmation) else f"{confirmation} {UNDO_ANSWER}"


async def _heed_help(tx: Tx, texts: Sequence[WordText]) -> None:
    """Answers HELP once a day for each phone, also a suppressed one."""
    tenant_id = texts[0].tenant_id
    text_by_phone = {text.lead_phone: text for text in texts}
    answered_phones = await consent_events.find_phones_with_recent(
        tx, tenant_id, list(text_by_phone), "help", HELP_EVERY
    )
    answerable = [text for phone, text in text_by_phone.items() if phone not in answered_phones]
    await suppressions.record_events(tx, [_build_cause(text) for text in answerable])
    help_requests = [text for text in answerable if not text.is_answered]
    if not help_requests:
        return
    tenant = await tenants.get(tx, tenant_id)
    assert tenant is not None
    await _send_answer(tx, tenant, help_requests, tenant.help_text or HELP_ANSWER.format(name=tenant.name))


async def _send_answer(tx: Tx, tenant: Tenant, texts: Sequence[WordText], answer: str) -> None:
    """Stores an answer of the service itself, which is sent even to a suppressed phone. Machines get
    none: two of them could answer each other for ever. Short codes get one if the tenant says so."""
    texts = [text for text in texts if phones.can_be_answered(text.lead_phone, tenant.answer_short_codes)]
    if not texts:
        return
    count = segments.count(answer)
    accounts = await store.list_answer_accounts(tx, texts)
    await sending.store_texts(
        tx,
        [
            ResolvedOrder(
                order=Order(
                    tenant_id=text.tenant_id,
                    message_id=ids.make("msg"),
                    thread_id=text.thread_id,
                    lead_id=text.lead_id,
                    text=answer,
                    source="system",
                    actor="service",
                    validity=CONFIRM_WITHIN,
                ),
                to=text.lead_phone,
                sender=text.our_number,
                account_id=account.account_id,
                provider=account.provider,
                lead_id=text.lead_id,
                campaign_id=text.campaign_id,
                encoding=count.encoding,
                segments=count.segments,
                agent_mode=False,
                text=answer,
                is_exempt=True,
            )
            for text, account in zip(texts, accounts, strict=True)
        ],
    )
    tx.hints[OUTBOX_HINT] = AT_ONCE


def _build_cause(text: WordText, actor: str = "lead") -> Cause:
    assert text.word
    return Cause(
        tenant_id=text.tenant_id,
        phone=text.lead_phone,
        cause="lead",
        actor=actor,
        event=EVENT_BY_WORD[text.word],
        rule=text.rule,
        text=text.text,
        message_id=text.message_id,
    )
