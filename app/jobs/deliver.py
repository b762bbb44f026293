"""Deliver owed texts to carriers: claim → perform → settle."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import structlog

from app import traces
from app.access.sealing import Seal
from app.domain import ids
from app.domain.carriage import Account, LookupMatch, Outcome, OutgoingText
from app.domain.transcripts import format_time
from app.domain.windows import BEGIN_WITHIN
from app.domain.words import STATUS_RANK
from app.jobs.figures import count_attempt
from app.jobs.settling import settle_persistently
from app.providers import LOOKUP_DELAYS, REGISTRY, Provider
from app.store import outbox, suppressions, threads, turns
from app.store.engine import Database, Row, Tx
from app.store.outbox import Attempt, Settlement
from app.wire.client import AnswerLost, NotSent, TooLate, Wire

DEADLINE_SECONDS = 15.0
"""Seconds for the whole exchange with a carrier."""
TEXTS_PER_STEP = 20
"""So many requests are put into words in one go, some milliseconds: the turns of the same worker
do not wait for a whole batch."""
SETTLE_EVERY_SECONDS = 0.25
SETTLE_FOR_SECONDS = 30.0
"""Seconds; afterwards the lease has ended, and the carrier is asked."""
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
    """A text that this process alone may send or ask for, until its lease ends."""

    row: Row
    account: Account
    provider: Provider
    text: OutgoingText


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows claimed together, and those of them that may no longer leave."""

    lease: str
    rows: list[Row]
    block_reasons: dict[str, outbox.BlockReason]
    claimed_at: float


class Delivery:
    """The way out of one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal, base_url: str) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._base_url = base_url
        self._account_cache: dict[str, tuple[bytes, Account]] = {}
        """By account, what was sealed and what it holds: unsealing is too dear for each text."""

    async def claim(self, limit: int) -> Batch | None:
        """Takes what is due; None when nothing is."""
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
        """Seconds until pacing frees a number that has something queued."""
        async with self._database.system_tx() as tx:
            wait = await outbox.get_time_until_free(tx)
        return None if wait is None else max(wait.total_seconds(), 0.005)

    async def deliver_batch(self, batch: Batch) -> None:
        """Performs and settles the batch. A slow carrier keeps only its own texts waiting:
        what is done is settled every quarter of a second."""
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
        async with self._database.system_tx() as tx:  # phones, then threads, then the outbox
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
            return Settlement(*key, "sent")  # a receipt settled it meanwhile
        try:
            claimed_text = self._build_text(row)
            if row["state"] == "unknown":
                return await self._ask_carrier(claimed_text, batch.claimed_at)
            trace_id = row["turn_id"] or key[1]
            with traces.record_span("text", trace_id, message=key[1], provider=row["provider"]):
                return await self._send_text(claimed_text, batch.claimed_at)
        except Exception as error:
            # One poisoned text must not stop the others; whether it left is not known.
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
        """The row's account, open; anew whenever its row says something new."""
        sealed_credentials, account = self._account_cache.get(row["account_id"], (b"", None))
        if account is None or sealed_credentials != row["credentials"] or account.base_url != row["base_url"]:
            account = self._seal.open_account(row)
            self._account_cache[account.account_id] = row["credentials"], account
        return account

    def _build_text(self, row: Row) -> ClaimedText:
        provider = REGISTRY[row["provider"]]
        account = self._open_account(row)
        status_url = (
            f"{self._base_url}/webhooks/{row['provider']}/{row['account_id']}/status?message={row['message_id']}"
        )
        text = OutgoingText(
            row["message_id"],
            row["to_phone"],
            row["from_phone"],
            row["text"],
            tuple(media["url"] for media in row["media"] or ()),
            status_url,
            row["validity"],
        )
        return ClaimedText(row, account, provider, text)

    async def _send_text(self, claimed_text: ClaimedText, claimed_at: float) -> Settlement:
        row = claimed_text.row
        key = (row["tenant_id"], row["message_id"])
        try:
            # The host's clock: here a signature may need the time of the world outside.
            request = claimed_text.provider.build_send_request(
                claimed_text.account, claimed_text.text, datetime.now(UTC)
            )
        except Exception as error:  # nothing has begun: this one surely was not sent
            log.exception("a text could not be put into words", message_id=key[1])
            return Settlement(*key, "failed", code="INTERNAL", message=type(error).__name__)
        started_at = time.monotonic()
        status: int | None = None
        try:
            response = await self._wire.exchange(
                request, DEADLINE_SECONDS, begin_by=claimed_at + BEGIN_WITHIN.total_seconds()
            )
            status, outcome = response.status_code, claimed_text.provider.read_outcome(response)
        except TooLate:
            return Settlement(*key, "queued", timedelta(0), was_resent=row["resent"])
        except NotSent as error:
            outcome = Outcome("later", code="UNREACHABLE", detail=str(error))
        except AnswerLost as error:
            outcome = Outcome("unknown", code="NO_ANSWER", detail=str(error))
        seconds = time.monotonic() - started_at
        count_attempt(row["provider"], outcome.verdict, seconds)
        attempt = Attempt(
            outcome.verdict,
            row["begun_at"],
            status,
            int(seconds * 1000),
            _remove_secrets(claimed_text, outcome.detail or outcome.code),
        )
        return _build_settlement(row, outcome, claimed_text.provider.ERROR_MEANINGS.get(outcome.code or ""), attempt)

    async def _ask_carrier(self, claimed_text: ClaimedText, claimed_at: float) -> Settlement:
        """Settles an unknown outcome by the carrier's own list, where it has one."""
        row = claimed_text.row
        lookup_match: LookupMatch | None = None
        is_denied = False
        request = claimed_text.provider.build_lookup_request(claimed_text.account, claimed_text.text, row["begun_at"])
        if request is not None:
            candidates = await self._find_candidates(claimed_text, request)
            unlinked = await self._unlinked(claimed_text, candidates or [])
            lookup_match = next((one for one in unlinked if one.sure), None)
            # One that only may be it is no denial: the text is never sent again for it.
            is_denied = candidates is not None and not any(c.sure for c in candidates) and not unlinked
        age = row["age"] + timedelta(seconds=time.monotonic() - claimed_at)
        return _settle_after_lookup(row, lookup_match, is_denied, age)

    async def _find_candidates(self, claimed_text: ClaimedText, request: httpx.Request) -> list[LookupMatch] | None:
        try:
            response = await self._wire.exchange(request, DEADLINE_SECONDS, cap=1 << 20)
        except (NotSent, AnswerLost):
            return None
        matches = claimed_text.provider.read_lookup(response, claimed_text.text, claimed_text.row["begun_at"])
        return None if matches is None else list(matches)

    async def _unlinked(self, claimed: ClaimedText, candidates: list[LookupMatch]) -> list[LookupMatch]:
        """The candidates that are linked to no other text of ours."""
        if not candidates:
            return []
        async with self._database.system_tx() as tx:
            taken = await outbox.find_linked_ids(
                tx,
                claimed.account.tenant_id,
                claimed.account.account_id,
                [found.provider_message_id for found in candidates],
                claimed.text.message_id,
            )
        return [found for found in candidates if found.provider_message_id not in taken]

    async def _record_opt_outs(self, tx: Tx, rows: list[Row], settlements: list[Settlement]) -> None:
        """A carrier's word that the lead opted out suppresses the phone, unless the lead opted in
        again while the carrier was asked."""
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
    """The agent is told, with the next turn, of its text that came too late."""
    stale_ids = {settlement.message_id for settlement in settlements if settlement.code == STALE_CODE}
    rows = [row for row in batch.rows if row["message_id"] in stale_ids and row["turn_id"]]
    if not rows:
        return
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in rows})
    keys = [(row["tenant_id"], row["message_id"]) for row in rows]
    leased_ids = await outbox.find_leased(tx, batch.lease, keys)
    for row in rows:
        if row["message_id"] not in leased_ids:
            continue  # told already, or another worker's to tell
        unsent_reply = {"turnId": row["turn_id"], "texts": [row["text"]], "refusedAt": format_time(datetime.now(UTC))}
        await turns.record_stale_reply(tx, row["tenant_id"], row["interaction_id"], unsent_reply)


def _build_settlement(row: Row, outcome: Outcome, explanation: str | None, attempt: Attempt) -> Settlement:
    """`explanation`: of the outcome's code, in plain words."""
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


def _settle_after_lookup(row: Row, lookup_match: LookupMatch | None, is_denied: bool, age: timedelta) -> Settlement:
    """`age`: since the request began, by the database's clock."""
    key = (row["tenant_id"], row["message_id"])
    if lookup_match is not None:
        return Settlement(*key, "sent", provider_message_id=lookup_match.provider_message_id, code=lookup_match.code)
    lookups = row["looked"] + is_denied
    if lookups >= len(LOOKUP_DELAYS):
        if row["resent"]:
            why = "The carrier was sent it twice, and says it took neither."
            return Settlement(*key, "failed", code="NOT_TAKEN", message=why)
        # Twice denied: the one resend that the law of `unknown` allows.
        return Settlement(*key, "queued", timedelta(0), was_resent=True)
    if age < LOOKUP_DELAYS[1] or is_denied:
        # Where workers were away the first denial may come late; it wants a second all the same.
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
