"""Deliver owed texts to carriers: claim → perform → settle."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from app import traces
from app.access.sealing import Seal
from app.calls import carriers
from app.commands import late_texts, timeline
from app.domain import ids
from app.domain.carriage import Account, LookupMatch, OutgoingText, build_webhook_url
from app.domain.transcripts import format_time
from app.domain.windows import BEGIN_WITHIN
from app.jobs.figures import count_attempt
from app.jobs.settling import TRANSIENT_ERRORS, settle_persistently
from app.jobs.text_outcomes import (
    STALE_CODE,
    settle_after_bug,
    settle_lookup,
    settle_not_begun,
    settle_not_built,
    settle_outcome,
    settle_unsent,
)
from app.providers import REGISTRY, Provider
from app.store import brakes, carrier_opt_outs, leaving, messages, outbox, text_settling, threads, turns
from app.store.brakes import AccountAnswer
from app.store.carrier_opt_outs import ReportedOptOut
from app.store.engine import Database, Tx
from app.store.leaving import BlockReason
from app.store.outbox import ClaimedText
from app.store.text_settling import Settlement
from app.wire.client import Wire

TEXTS_PER_STEP = 20
"""Building a request takes CPU time. After this many the event loop runs other tasks, so the turns
of the same worker do not wait for a whole batch."""
SETTLE_EVERY_SECONDS = 0.25
SETTLE_FOR_SECONDS = 30.0
"""After that the lease has ended: a text that was not settled becomes unknown, and is looked up."""
JUDGE_SECONDS = BEGIN_WITHIN.total_seconds()
"""After that no request may begin."""
MAX_DETAIL_LENGTH = 2000
RATES = {
    name: {str(kind): rate for kind, rate in provider.SEGMENTS_PER_SECOND.items()}
    for name, provider in REGISTRY.items()
}
log = structlog.get_logger("deliver")


@dataclass(frozen=True, slots=True)
class OpenedText:
    """A claimed text with its account opened, and as its carrier gets it."""

    claimed_text: ClaimedText
    account: Account
    provider: Provider
    outgoing_text: OutgoingText


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that were claimed together. `block_reasons`: by message id, why a text must not be sent."""

    lease: str
    texts: list[ClaimedText]
    block_reasons: dict[str, BlockReason]
    claimed_at: float
    """By `time.monotonic`."""
    account_answers: dict[str, AccountAnswer] = field(default_factory=dict)
    """By account id: what the answers to the texts said about the accounts themselves."""


class Delivery:
    """Delivers texts for one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal, base_url: str) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._base_url = base_url
        self._account_cache: dict[str, tuple[bytes, Account]] = {}
        """By account id: the sealed credentials and the opened account. Opening costs too much for
        each text."""

    async def claim(self, limit: int) -> Batch | None:
        """Claims up to `limit` texts that are due; None when none is."""
        lease = ids.make_lease()
        async with self._database.system_tx() as tx:
            texts = await outbox.claim(tx, lease, limit, RATES)
        return await self.judge(lease, texts, time.monotonic()) if texts else None

    async def judge(self, lease: str, texts: list[ClaimedText], claimed_at: float) -> Batch:
        """The claimed texts, without those that hours hold now. Gives the texts back if that cannot be told."""
        try:
            block_reasons, held_ids = await settle_persistently(partial(self._find_unsent, lease, texts), JUDGE_SECONDS)
        except Exception:
            await settle_persistently(partial(self._give_back, lease, texts), SETTLE_FOR_SECONDS)
            raise
        return Batch(lease, [text for text in texts if text.message_id not in held_ids], block_reasons, claimed_at)

    async def _find_unsent(self, lease: str, texts: list[ClaimedText]) -> tuple[dict[str, BlockReason], set[str]]:
        """Which of the texts must not be sent, and why; and those that are held."""
        async with self._database.system_tx() as tx:
            block_reasons, moved_texts = await leaving.find_blocked(tx, texts, lease)
            held_ids, withdrawn_ids = await late_texts.hold_late(tx, lease, moved_texts)
        return {**block_reasons, **dict.fromkeys(withdrawn_ids, "gone")}, held_ids

    async def _give_back(self, lease: str, texts: list[ClaimedText]) -> None:
        """What was to be looked up is looked up when the lease has ended: it may have left."""
        if settlements := [settle_not_begun(text) for text in texts if text.state != "unknown"]:
            async with self._database.system_tx() as tx:
                await text_settling.settle(tx, lease, settlements)

    async def get_seconds_until_free(self) -> float | None:
        """Seconds until pacing lets the next queued text leave; None when none is queued."""
        async with self._database.system_tx() as tx:
            wait = await outbox.get_time_until_free(tx)
        return None if wait is None else max(wait.total_seconds(), 0.005)

    async def deliver_batch(self, batch: Batch) -> None:
        """Delivers and settles the batch. Finished texts are settled every quarter of a second, so a
        slow carrier delays only its own."""
        pending: set[asyncio.Task[Settlement]] = set()
        for first in range(0, len(batch.texts), TEXTS_PER_STEP):
            step_texts = batch.texts[first : first + TEXTS_PER_STEP]
            pending |= {asyncio.create_task(self._deliver_text(batch, text)) for text in step_texts}
            await asyncio.sleep(0)
        while pending:
            done_tasks, pending = await asyncio.wait(pending, timeout=SETTLE_EVERY_SECONDS)
            if done_tasks:
                await self._settle(batch, [task.result() for task in done_tasks])

    async def _settle(self, batch: Batch, settlements: list[Settlement]) -> None:
        """What cannot be settled keeps nothing else from being settled; it is looked up when its lease ends."""
        try:
            await settle_persistently(partial(self._settle_batch, batch, settlements), SETTLE_FOR_SECONDS)
        except TRANSIENT_ERRORS:
            raise
        except Exception:
            if len(settlements) == 1 and not batch.account_answers:
                log.exception("a text could not be settled", message_id=settlements[0].message_id)
                return
            if batch.account_answers:
                log.exception("accounts could not be judged", account_ids=list(batch.account_answers))
                batch.account_answers.clear()  # the next answer tells it again
            for settlement in settlements:
                await self._settle(batch, [settlement])

    async def _settle_batch(self, batch: Batch, settlements: list[Settlement]) -> None:
        await self._judge_accounts(batch)
        async with self._database.system_tx() as tx:  # locks: phones, then threads, then the outbox
            await _record_opt_outs(tx, batch, settlements)
            await _record_stale_replies(tx, batch, settlements)
            await text_settling.settle(tx, batch.lease, settlements)

    async def _judge_accounts(self, batch: Batch) -> None:
        """Before the texts are settled: a text that is queued again must find its account paused."""
        if not batch.account_answers:
            return
        answers = list(batch.account_answers.values())
        async with self._database.system_tx() as tx:
            judged_accounts = await brakes.judge_accounts(tx, answers)
        for answer in answers:
            if batch.account_answers.get(answer.account_id) == answer:
                del batch.account_answers[answer.account_id]
        for account in judged_accounts:
            message = (
                "the carrier refuses an account" if account.paused_reason else "the carrier takes an account again"
            )
            log.warning(message, account_id=account.account_id, provider=account.provider, why=account.paused_reason)

    async def _deliver_text(self, batch: Batch, text: ClaimedText) -> Settlement:
        if settlement := settle_unsent(text, batch.block_reasons.get(text.message_id)):
            return settlement
        try:
            opened_text = self._open_text(text)
            if text.state == "unknown":
                return await self._look_up_text(opened_text, batch.claimed_at)
            trace_id = text.turn_id or text.message_id
            with traces.record_span("text", trace_id, message=text.message_id, provider=text.provider):
                return await self._send_text(opened_text, batch)
        except Exception as error:
            log.exception("delivery failed", message_id=text.message_id)
            return settle_after_bug(text, error)

    def _open_account(self, text: ClaimedText) -> Account:
        """The text's account with its credentials opened; opened again when they or the address
        changed."""
        sealed_credentials, account = self._account_cache.get(text.account_id, (b"", None))
        if account is None or sealed_credentials != text.credentials or account.base_url != text.base_url:
            credentials = self._seal.open_words(text.credentials)
            account = Account(text.tenant_id, text.account_id, text.provider, credentials, text.base_url)
            self._account_cache[account.account_id] = text.credentials, account
        return account

    def _open_text(self, text: ClaimedText) -> OpenedText:
        status_url = build_webhook_url(self._base_url, text.provider, text.account_id, "status")
        outgoing_text = OutgoingText(
            text.message_id,
            text.to_phone,
            text.from_phone,
            text.text,
            tuple(media["url"] for media in text.media),
            f"{status_url}?message={text.message_id}",
            text.validity,
        )
        return OpenedText(text, self._open_account(text), REGISTRY[text.provider], outgoing_text)

    async def _send_text(self, opened_text: OpenedText, batch: Batch) -> Settlement:
        text = opened_text.claimed_text
        begin_by = batch.claimed_at + BEGIN_WITHIN.total_seconds()
        try:
            result = await carriers.send_text(self._wire, opened_text.account, opened_text.outgoing_text, begin_by)
        except carriers.RequestNotBuilt as error:
            log.exception("a request to a carrier could not be built", message_id=text.message_id)
            return settle_not_built(text, error.__cause__)
        if result is None:
            return settle_not_begun(text)
        outcome = result.outcome
        count_attempt(text.provider, outcome.verdict, result.seconds)
        explanation = opened_text.provider.ERROR_MEANINGS.get(outcome.code or "")
        is_account_refused = outcome.verdict == "refused" and outcome.code in opened_text.provider.ACCOUNT_CODES
        if is_account_refused or (text.is_account_paused and outcome.verdict in ("accepted", "refused", "opted_out")):
            reason = explanation or f"The carrier refuses the account ({outcome.code})."
            batch.account_answers[text.account_id] = AccountAnswer(
                text.tenant_id, text.account_id, text.begun_at, reason if is_account_refused else None
            )
        detail = _remove_secrets(opened_text, outcome.detail or outcome.code)
        return settle_outcome(text, result, explanation, detail, is_account_refused)

    async def _look_up_text(self, opened_text: OpenedText, claimed_at: float) -> Settlement:
        """Settles an unknown outcome by the carrier's own list, where it has one."""
        text = opened_text.claimed_text
        matches = await carriers.look_up_text(self._wire, opened_text.account, opened_text.outgoing_text, text.begun_at)
        unlinked_matches = await self._drop_linked_matches(text, matches or [])
        sure_match = next((match for match in unlinked_matches if match.sure), None)
        # A match that is not sure may be the text all the same: no denial, so no second send.
        is_denied = matches is not None and not any(match.sure for match in matches) and not unlinked_matches
        age = text.age + timedelta(seconds=time.monotonic() - claimed_at)
        return settle_lookup(text, sure_match, is_denied, age)

    async def _drop_linked_matches(self, text: ClaimedText, matches: list[LookupMatch]) -> list[LookupMatch]:
        """The matches that belong to no other text of ours."""
        if not matches:
            return []
        async with self._database.system_tx() as tx:
            linked_ids = await messages.find_linked_ids(
                tx,
                text.tenant_id,
                text.account_id,
                [match.provider_message_id for match in matches],
                text.message_id,
            )
        return [match for match in matches if match.provider_message_id not in linked_ids]


async def _record_opt_outs(tx: Tx, batch: Batch, settlements: list[Settlement]) -> None:
    """Suppresses phones that the carrier says opted out, unless the lead opted in again during
    the request."""
    phones = {text.message_id: text.to_phone for text in batch.texts}
    opt_outs = [
        ReportedOptOut(s.tenant_id, s.message_id, phones[s.message_id], s.code)
        for s in settlements
        if s.outcome == "opted_out"
    ]
    await timeline.tell_consent(tx, await carrier_opt_outs.add_reported(tx, opt_outs))


async def _record_stale_replies(tx: Tx, batch: Batch, settlements: list[Settlement]) -> None:
    """Keeps replies that came too late for the agent's next turn, which tells the agent so."""
    stale_ids = {settlement.message_id for settlement in settlements if settlement.code == STALE_CODE}
    stale_texts = [text for text in batch.texts if text.message_id in stale_ids and text.turn_id]
    if not stale_texts:
        return
    await threads.lock(tx, {(text.tenant_id, text.interaction_id) for text in stale_texts})
    leased_ids = await outbox.find_leased(tx, batch.lease, [text.key for text in stale_texts])
    for text in stale_texts:
        if text.message_id not in leased_ids:
            continue  # recorded already, or another worker has the lease now
        unsent_reply = {"turnId": text.turn_id, "texts": [text.text], "refusedAt": format_time(datetime.now(UTC))}
        await turns.record_stale_reply(tx, text.tenant_id, text.interaction_id, unsent_reply)


def _remove_secrets(opened_text: OpenedText, detail: str | None) -> str | None:
    if detail is None:
        return None
    for secret in opened_text.provider.list_secrets(opened_text.account):
        detail = detail.replace(secret, "…")
    return detail[:MAX_DETAIL_LENGTH]
