"""Deliver owed texts to carriers: claim → perform → settle."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from app import traces
from app.access.sealing import Seal
from app.calls import carriers
from app.domain import ids
from app.domain.carriage import Account, LookupMatch, Outcome, OutgoingText, build_webhook_url
from app.domain.transcripts import format_time
from app.domain.windows import BEGIN_WITHIN
from app.domain.words import STATUS_RANK
from app.jobs.figures import count_attempt
from app.jobs.settling import settle_persistently
from app.providers import LOOKUP_DELAYS, REGISTRY, Provider
from app.store import outbox, suppressions, threads, turns
from app.store.core import build_row
from app.store.engine import Database, Row, Tx
from app.store.outbox import Attempt, Settlement
from app.store.schema import ProviderAccount
from app.wire.client import Wire

TEXTS_PER_STEP = 20
"""Building a request takes CPU time. After this many the event loop runs other tasks, so the turns
of the same worker do not wait for a whole batch."""
SETTLE_EVERY_SECONDS = 0.25
SETTLE_FOR_SECONDS = 30.0
"""After that the lease has ended: a text that was not settled becomes unknown, and is looked up."""
BACKOFF_SECONDS = (1.0, 5.0, 30.0, 120.0, 300.0)
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 1.0, 600.0
MAX_DETAIL_LENGTH = 2000
RATES = {
    name: {str(kind): rate for kind, rate in provider.SEGMENTS_PER_SECOND.items()}
    for name, provider in REGISTRY.items()
}
STALE_CODE = "STALE_TURN"
BLOCK_ERRORS: dict[outbox.BlockReason, tuple[str, str]] = {
    "gone": ("CANCELLED", "The text was cancelled."),
    "suppressed": ("DNC_BLOCKED", "The recipient may not be texted."),
    "stale": (STALE_CODE, "The lead wrote again before the agent's text left."),
}
log = structlog.get_logger("deliver")


@dataclass(frozen=True, slots=True)
class ClaimedText:
    """A text that only this process may send or look up until its lease ends."""

    row: Row
    account: Account
    provider: Provider
    text: OutgoingText


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that were claimed together. `block_reasons`: by message id, why a text must not be sent."""

    lease: str
    rows: list[Row]
    block_reasons: dict[str, outbox.BlockReason]
    claimed_at: float


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
        lease = ids.make("evt")
        async with self._database.system_tx() as tx:
            rows = await outbox.claim(tx, lease, limit, RATES)
        claimed_at = time.monotonic()
        if not rows:
            return None
        async with self._database.system_tx() as tx:
            keys = [(row["tenant_id"], row["message_id"], row["to_phone"]) for row in rows]
            block_reasons = await outbox.find_blocked(tx, keys, lease)
        return Batch(lease, rows, block_reasons, claimed_at)

    async def get_seconds_until_free(self) -> float | None:
        """Seconds until pacing lets the next queued text leave; None when none is queued."""
        async with self._database.system_tx() as tx:
            wait = await outbox.get_time_until_free(tx)
        return None if wait is None else max(wait.total_seconds(), 0.005)

    async def deliver_batch(self, batch: Batch) -> None:
        """Delivers and settles the batch. Finished texts are settled every quarter of a second, so a
        slow carrier delays only its own."""
        pending: set[asyncio.Task[Settlement]] = set()
        for first in range(0, len(batch.rows), TEXTS_PER_STEP):
            step_rows = batch.rows[first : first + TEXTS_PER_STEP]
            pending |= {asyncio.create_task(self._deliver_text(batch, row)) for row in step_rows}
            await asyncio.sleep(0)
        while pending:
            done_tasks, pending = await asyncio.wait(pending, timeout=SETTLE_EVERY_SECONDS)
            if done_tasks:
                settlements = [task.result() for task in done_tasks]
                await settle_persistently(partial(self._settle_batch, batch, settlements), SETTLE_FOR_SECONDS)

    async def _settle_batch(self, batch: Batch, settlements: list[Settlement]) -> None:
        async with self._database.system_tx() as tx:  # locks: phones, then threads, then the outbox
            await self._record_opt_outs(tx, batch.rows, settlements)
            await _record_stale_replies(tx, batch, settlements)
            await outbox.settle(tx, batch.lease, settlements)

    async def _deliver_text(self, batch: Batch, row: Row) -> Settlement:
        key = (row["tenant_id"], row["message_id"])
        if row["state"] != "unknown":
            if block_reason := batch.block_reasons.get(key[1]):
                return Settlement(
                    *key, "cancelled", code=BLOCK_ERRORS[block_reason][0], message=BLOCK_ERRORS[block_reason][1]
                )
            if row["state"] == "queued":
                why = "The text's validity passed before it could leave."
                return Settlement(*key, "failed", code="EXPIRED", message=why)
            if not row["sender_active"]:
                why = "The number or its account was switched off."
                return Settlement(*key, "failed", code="SENDER_INACTIVE", message=why)
        if row["state"] == "unknown" and STATUS_RANK[row["message_status"]] >= STATUS_RANK["sent"]:
            return Settlement(*key, "sent")  # meanwhile a receipt said so
        try:
            claimed_text = self._build_text(row)
            if row["state"] == "unknown":
                return await self._look_up_text(claimed_text, batch.claimed_at)
            trace_id = row["turn_id"] or key[1]
            with traces.record_span("text", trace_id, message=key[1], provider=row["provider"]):
                return await self._send_text(claimed_text, batch.claimed_at)
        except Exception as error:
            # One bad text must not stop the others. It may have left, so it is unknown.
            log.exception("delivery failed", message_id=key[1])
            return Settlement(
                *key,
                "unknown",
                LOOKUP_DELAYS[0],
                code="INTERNAL",
                message=type(error).__name__,
                attempt=Attempt("unknown"),
            )

    def _open_account(self, row: Row) -> Account:
        """The row's account with its credentials opened; opened again when they or the address
        changed."""
        sealed_credentials, account = self._account_cache.get(row["account_id"], (b"", None))
        if account is None or sealed_credentials != row["credentials"] or account.base_url != row["base_url"]:
            account = self._seal.open_account(build_row(ProviderAccount, row))
            self._account_cache[account.account_id] = row["credentials"], account
        return account

    def _build_text(self, row: Row) -> ClaimedText:
        provider = REGISTRY[row["provider"]]
        account = self._open_account(row)
        status_url = build_webhook_url(self._base_url, row["provider"], row["account_id"], "status")
        text = OutgoingText(
            row["message_id"],
            row["to_phone"],
            row["from_phone"],
            row["text"],
            tuple(media["url"] for media in row["media"] or ()),
            f"{status_url}?message={row['message_id']}",
            row["validity"],
        )
        return ClaimedText(row, account, provider, text)

    async def _send_text(self, claimed_text: ClaimedText, claimed_at: float) -> Settlement:
        row = claimed_text.row
        key = (row["tenant_id"], row["message_id"])
        begin_by = claimed_at + BEGIN_WITHIN.total_seconds()
        try:
            result = await carriers.send_text(self._wire, claimed_text.account, claimed_text.text, begin_by)
        except carriers.RequestNotBuilt as error:
            log.exception("a request to a carrier could not be built", message_id=key[1])
            return Settlement(*key, "failed", code="INTERNAL", message=type(error.__cause__).__name__)
        if result is None:
            return Settlement(*key, "queued", timedelta(0), was_resent=row["resent"])
        outcome = result.outcome
        count_attempt(row["provider"], outcome.verdict, result.seconds)
        attempt = Attempt(
            outcome.verdict,
            row["begun_at"],
            result.http_status,
            int(result.seconds * 1000),
            _remove_secrets(claimed_text, outcome.detail or outcome.code),
        )
        return _build_settlement(row, outcome, claimed_text.provider.ERROR_MEANINGS.get(outcome.code or ""), attempt)

    async def _look_up_text(self, claimed_text: ClaimedText, claimed_at: float) -> Settlement:
        """Settles an unknown outcome by the carrier's own list, where it has one."""
        row = claimed_text.row
        matches = await carriers.look_up_text(self._wire, claimed_text.account, claimed_text.text, row["begun_at"])
        unlinked_matches = await self._drop_linked_matches(claimed_text, matches or [])
        sure_match = next((match for match in unlinked_matches if match.sure), None)
        # A match that is not sure may be the text all the same: no denial, so no second send.
        is_denied = matches is not None and not any(match.sure for match in matches) and not unlinked_matches
        age = row["age"] + timedelta(seconds=time.monotonic() - claimed_at)
        return _settle_after_lookup(row, sure_match, is_denied, age)

    async def _drop_linked_matches(self, claimed_text: ClaimedText, matches: list[LookupMatch]) -> list[LookupMatch]:
        """The matches that belong to no other text of ours."""
        if not matches:
            return []
        async with self._database.system_tx() as tx:
            linked_ids = await outbox.find_linked_ids(
                tx,
                claimed_text.account.tenant_id,
                claimed_text.account.account_id,
                [match.provider_message_id for match in matches],
                claimed_text.text.message_id,
            )
        return [match for match in matches if match.provider_message_id not in linked_ids]

    async def _record_opt_outs(self, tx: Tx, rows: list[Row], settlements: list[Settlement]) -> None:
        """Suppresses phones that the carrier says opted out, unless the lead opted in again during
        the request."""
        phones = {row["message_id"]: row["to_phone"] for row in rows}
        causes = [
            suppressions.Cause(
                tenant_id=s.tenant_id,
                phone=phones[s.message_id],
                cause="lead",
                actor="carrier",
                event="opted_out",
                rule="carrier",
                text=s.code,
                message_id=s.message_id,
            )
            for s in settlements
            if s.attempt and s.attempt.outcome == "opted_out"
        ]
        await suppressions.add_news(tx, causes)


async def _record_stale_replies(tx: Tx, batch: Batch, settlements: list[Settlement]) -> None:
    """Keeps replies that came too late for the agent's next turn, which tells the agent so."""
    stale_ids = {settlement.message_id for settlement in settlements if settlement.code == STALE_CODE}
    rows = [row for row in batch.rows if row["message_id"] in stale_ids and row["turn_id"]]
    if not rows:
        return
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in rows})
    keys = [(row["tenant_id"], row["message_id"]) for row in rows]
    leased_ids = await outbox.find_leased(tx, batch.lease, keys)
    for row in rows:
        if row["message_id"] not in leased_ids:
            continue  # recorded already, or another worker has the lease now
        unsent_reply = {"turnId": row["turn_id"], "texts": [row["text"]], "refusedAt": format_time(datetime.now(UTC))}
        await turns.record_stale_reply(tx, row["tenant_id"], row["interaction_id"], unsent_reply)


def _build_settlement(row: Row, outcome: Outcome, explanation: str | None, attempt: Attempt) -> Settlement:
    """`explanation` says in plain words what the outcome's code means."""
    key = (row["tenant_id"], row["message_id"])
    message = explanation or outcome.detail
    match outcome.verdict:
        case "accepted":
            return Settlement(
                *key, "sent", provider_message_id=outcome.provider_message_id, message=explanation, attempt=attempt
            )
        case "later":
            wait = outcome.retry_after or BACKOFF_SECONDS[min(row["tries"], len(BACKOFF_SECONDS)) - 1]
            wait = min(max(wait, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)
            return Settlement(
                *key,
                "queued",
                timedelta(seconds=wait),
                code=outcome.code,
                message=message,
                was_resent=row["resent"],
                attempt=attempt,
            )
        case "unknown":
            return Settlement(
                *key,
                "unknown",
                LOOKUP_DELAYS[0],
                code=outcome.code,
                message=message,
                was_resent=row["resent"],
                attempt=attempt,
            )
        case "refused" | "opted_out":
            return Settlement(*key, "failed", code=outcome.code, message=message, attempt=attempt)


def _settle_after_lookup(row: Row, sure_match: LookupMatch | None, is_denied: bool, age: timedelta) -> Settlement:
    """`is_denied`: the carrier does not have the text. `age`: time since the request began, by the
    database's clock."""
    key = (row["tenant_id"], row["message_id"])
    if sure_match is not None:
        return Settlement(*key, "sent", provider_message_id=sure_match.provider_message_id, code=sure_match.code)
    lookups = row["looked"] + is_denied
    if lookups >= len(LOOKUP_DELAYS):
        if row["resent"]:
            why = "The carrier was sent it twice, and says it took neither."
            return Settlement(*key, "failed", code="NOT_TAKEN", message=why)
        # Denied twice: the one resend that docs/decisions/0004-the-one-exception.md allows.
        return Settlement(*key, "queued", timedelta(0), was_resent=True)
    if age < LOOKUP_DELAYS[1] or is_denied:
        # If no worker ran, the first denial may come late. A second one is needed all the same.
        due_in = max(LOOKUP_DELAYS[1], age + LOOKUP_DELAYS[0])
        return Settlement(*key, "unknown", due_in, lookups=lookups, was_resent=row["resent"])
    return Settlement(
        *key, "unknown", code="OUTCOME_UNKNOWN", message="The carrier never said whether it took the text."
    )


def _remove_secrets(claimed_text: ClaimedText, detail: str | None) -> str | None:
    if detail is None:
        return None
    for secret in claimed_text.provider.list_secrets(claimed_text.account):
        detail = detail.replace(secret, "…")
    return detail.replace("\x00", "")[:MAX_DETAIL_LENGTH]
