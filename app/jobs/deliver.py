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
from app.domain.carriage import Account, Found, Outcome, Outgoing
from app.domain.transcripts import instant
from app.domain.windows import BEGIN_WITHIN
from app.domain.words import RANK
from app.jobs.figures import attempted
from app.jobs.settling import surely
from app.providers import LOOKUPS, REGISTRY, Provider
from app.store import outbox, suppressions, threads, turns
from app.store.engine import Database, Row, Tx
from app.store.outbox import Settlement, Tried
from app.wire.client import Late, Lost, NotSent, Wire

DEADLINE = 15.0
"""Seconds for the whole exchange with a carrier."""
BEGUN_TOGETHER = 20
"""So many requests are put into words in one go, some milliseconds: the turns of the same worker
do not wait for a whole batch."""
SETTLE_EVERY = 0.25
SETTLES_FOR = 30.0
"""Seconds; afterwards the lease has ended, and the carrier is asked."""
BACKOFF = (1.0, 5.0, 30.0, 120.0, 300.0)
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 600.0
DETAIL = 2000
RATES = {name: {str(kind): rate for kind, rate in provider.RATES.items()} for name, provider in REGISTRY.items()}
STALE = "STALE_TURN"
BLOCKED: dict[outbox.Blocked, tuple[str, str]] = {
    "gone": ("CANCELLED", "The text was cancelled."),
    "suppressed": ("DNC_BLOCKED", "The recipient may not be texted."),
    "stale": (STALE, "The lead wrote again before the agent's text left."),
}
log = structlog.get_logger("deliver")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A text that this process alone may send or ask for, until its lease ends."""

    row: Row
    account: Account
    provider: Provider
    text: Outgoing


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows claimed together, and those of them that may no longer leave."""

    lease: str
    rows: list[Row]
    blocked: dict[str, outbox.Blocked]
    claimed_at: float


class Delivery:
    """The way out of one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal, base_url: str) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._base_url = base_url
        self._opened: dict[str, tuple[bytes, Account]] = {}
        """By account, what was sealed and what it holds: unsealing is too dear for each text."""

    async def claim(self, limit: int) -> Batch | None:
        """Takes what is due; None when nothing is."""
        lease = ids.make("evt")
        async with self._database.system() as tx:
            rows = await outbox.claim(tx, lease, limit, RATES)
        claimed_at = time.monotonic()
        if not rows:
            return None
        async with self._database.system() as tx:
            keys = [(row["tenant_id"], row["message_id"], row["to_phone"]) for row in rows]
            blocked = await outbox.blocked(tx, keys, lease)
        return Batch(lease, rows, blocked, claimed_at)

    async def free_in(self) -> float | None:
        """Seconds until pacing frees a number that has something queued."""
        async with self._database.system() as tx:
            wait = await outbox.free_in(tx)
        return None if wait is None else max(wait.total_seconds(), 0.005)

    async def carry_out(self, batch: Batch) -> None:
        """Performs and settles the batch. A slow carrier keeps only its own texts waiting:
        what is done is settled every quarter of a second."""
        pending: set[asyncio.Task[Settlement]] = set()
        for first in range(0, len(batch.rows), BEGUN_TOGETHER):
            some = batch.rows[first : first + BEGUN_TOGETHER]
            pending |= {asyncio.create_task(self._carry_out(batch, row)) for row in some}
            await asyncio.sleep(0)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=SETTLE_EVERY)
            if done:
                settled = [task.result() for task in done]
                await surely(partial(self._settle, batch, settled), SETTLES_FOR)

    async def _settle(self, batch: Batch, settled: list[Settlement]) -> None:
        async with self._database.system() as tx:  # phones, then threads, then the outbox
            await self._heed(tx, batch.rows, settled)
            await _carry_stale(tx, batch, settled)
            await outbox.settle(tx, batch.lease, settled)

    async def _carry_out(self, batch: Batch, row: Row) -> Settlement:
        key = (row["tenant_id"], row["message_id"])
        if row["state"] != "unknown":
            if blocked := batch.blocked.get(key[1]):
                return Settlement(*key, "cancelled", code=BLOCKED[blocked][0], message=BLOCKED[blocked][1])
            if row["state"] == "queued":
                why = "The text's validity passed before it could leave."
                return Settlement(*key, "failed", code="EXPIRED", message=why)
            if not row["sender_active"]:
                why = "The number or its account was switched off."
                return Settlement(*key, "failed", code="SENDER_INACTIVE", message=why)
        if row["state"] == "unknown" and RANK[row["message_status"]] >= RANK["sent"]:
            return Settlement(*key, "sent")  # a receipt settled it meanwhile
        try:
            claimed = self._worded(row)
            if row["state"] == "unknown":
                return await self._ask(claimed, batch.claimed_at)
            about = row["turn_id"] or key[1]
            with traces.span("text", about, message=key[1], provider=row["provider"]):
                return await self._send(claimed, batch.claimed_at)
        except Exception as error:
            # One poisoned text must not stop the others; whether it left is not known.
            log.exception("delivery failed", message_id=key[1])
            return Settlement(
                *key, "unknown", LOOKUPS[0], code="INTERNAL", message=type(error).__name__, tried=Tried("unknown")
            )

    def _account(self, row: Row) -> Account:
        """The row's account, open; anew whenever its row says something new."""
        sealed, account = self._opened.get(row["account_id"], (b"", None))
        if account is None or sealed != row["credentials"] or account.base_url != row["base_url"]:
            account = self._seal.open_account(row)
            self._opened[account.account_id] = row["credentials"], account
        return account

    def _worded(self, row: Row) -> Claimed:
        provider = REGISTRY[row["provider"]]
        account = self._account(row)
        status_url = (
            f"{self._base_url}/webhooks/{row['provider']}/{row['account_id']}/status?message={row['message_id']}"
        )
        text = Outgoing(
            row["message_id"],
            row["to_phone"],
            row["from_phone"],
            row["text"],
            tuple(media["url"] for media in row["media"] or ()),
            status_url,
            row["validity"],
        )
        return Claimed(row, account, provider, text)

    async def _send(self, claimed: Claimed, claimed_at: float) -> Settlement:
        row = claimed.row
        key = (row["tenant_id"], row["message_id"])
        try:
            # The host's clock: here a signature may need the time of the world outside.
            request = claimed.provider.request(claimed.account, claimed.text, datetime.now(UTC))
        except Exception as error:  # nothing has begun: this one surely was not sent
            log.exception("a text could not be put into words", message_id=key[1])
            return Settlement(*key, "failed", code="INTERNAL", message=type(error).__name__)
        began = time.monotonic()
        status: int | None = None
        try:
            response = await self._wire.exchange(request, DEADLINE, begin_by=claimed_at + BEGIN_WITHIN.total_seconds())
            status, outcome = response.status_code, claimed.provider.outcome(response)
        except Late:
            return Settlement(*key, "queued", timedelta(0), resent=row["resent"])
        except NotSent as error:
            outcome = Outcome("later", code="UNREACHABLE", detail=str(error))
        except Lost as error:
            outcome = Outcome("unknown", code="NO_ANSWER", detail=str(error))
        took = time.monotonic() - began
        attempted(row["provider"], outcome.verdict, took)
        tried = Tried(
            outcome.verdict,
            row["begun_at"],
            status,
            int(took * 1000),
            _without_secrets(claimed, outcome.detail or outcome.code),
        )
        return _settlement(row, outcome, claimed.provider.ERRORS.get(outcome.code or ""), tried)

    async def _ask(self, claimed: Claimed, claimed_at: float) -> Settlement:
        """Settles an unknown outcome by the carrier's own list, where it has one."""
        row = claimed.row
        found: Found | None = None
        denied = False
        request = claimed.provider.lookup(claimed.account, claimed.text, row["begun_at"])
        if request is not None:
            candidates = await self._candidates(claimed, request)
            unlinked = await self._unlinked(claimed, candidates or [])
            found = next((one for one in unlinked if one.sure), None)
            # One that only may be it is no denial: the text is never sent again for it.
            denied = candidates is not None and not any(c.sure for c in candidates) and not unlinked
        since = row["age"] + timedelta(seconds=time.monotonic() - claimed_at)
        return _after_lookup(row, found, denied, since)

    async def _candidates(self, claimed: Claimed, request: httpx.Request) -> list[Found] | None:
        try:
            response = await self._wire.exchange(request, DEADLINE, cap=1 << 20)
        except (NotSent, Lost):
            return None
        found = claimed.provider.found(response, claimed.text, claimed.row["begun_at"])
        return None if found is None else list(found)

    async def _unlinked(self, claimed: Claimed, candidates: list[Found]) -> list[Found]:
        """The candidates that are linked to no other text of ours."""
        if not candidates:
            return []
        async with self._database.system() as tx:
            taken = await outbox.taken(
                tx,
                claimed.account.tenant_id,
                claimed.account.account_id,
                [found.provider_message_id for found in candidates],
                claimed.text.message_id,
            )
        return [found for found in candidates if found.provider_message_id not in taken]

    async def _heed(self, tx: Tx, rows: list[Row], settled: list[Settlement]) -> None:
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
            for s in settled
            if s.tried and s.tried.outcome == "opted_out"
        ]
        await suppressions.add_news(tx, causes)


async def _carry_stale(tx: Tx, batch: Batch, settled: list[Settlement]) -> None:
    """The agent is told, with the next turn, of its text that came too late."""
    stale = {one.message_id for one in settled if one.code == STALE}
    rows = [row for row in batch.rows if row["message_id"] in stale and row["turn_id"]]
    if not rows:
        return
    await threads.lock(tx, {(row["tenant_id"], row["interaction_id"]) for row in rows})
    keys = [(row["tenant_id"], row["message_id"]) for row in rows]
    ours = await outbox.leased(tx, batch.lease, keys)
    for row in rows:
        if row["message_id"] not in ours:
            continue  # told already, or another worker's to tell
        unsent = {"turnId": row["turn_id"], "texts": [row["text"]], "refusedAt": instant(datetime.now(UTC))}
        await turns.carry(tx, row["tenant_id"], row["interaction_id"], unsent)


def _settlement(row: Row, outcome: Outcome, meaning: str | None, tried: Tried) -> Settlement:
    """`meaning`: of the outcome's code, in plain words."""
    key = (row["tenant_id"], row["message_id"])
    message = meaning or outcome.detail
    match outcome.verdict:
        case "accepted":
            return Settlement(
                *key, "sent", provider_message_id=outcome.provider_message_id, message=meaning, tried=tried
            )
        case "later":
            wait = outcome.retry_after or BACKOFF[min(row["tries"], len(BACKOFF)) - 1]
            wait = min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)
            return Settlement(
                *key,
                "queued",
                timedelta(seconds=wait),
                code=outcome.code,
                message=message,
                resent=row["resent"],
                tried=tried,
            )
        case "unknown":
            return Settlement(
                *key, "unknown", LOOKUPS[0], code=outcome.code, message=message, resent=row["resent"], tried=tried
            )
        case "refused" | "opted_out":
            return Settlement(*key, "failed", code=outcome.code, message=message, tried=tried)


def _after_lookup(row: Row, found: Found | None, denied: bool, since: timedelta) -> Settlement:
    """`since` the request began, by the database's clock."""
    key = (row["tenant_id"], row["message_id"])
    if found is not None:
        return Settlement(*key, "sent", provider_message_id=found.provider_message_id, code=found.code)
    looks = row["looked"] + denied
    if looks >= len(LOOKUPS):
        if row["resent"]:
            why = "The carrier was sent it twice, and says it took neither."
            return Settlement(*key, "failed", code="NOT_TAKEN", message=why)
        # Twice denied: the one resend that the law of `unknown` allows.
        return Settlement(*key, "queued", timedelta(0), resent=True)
    if since < LOOKUPS[1] or denied:
        # Where workers were away the first denial may come late; it wants a second all the same.
        again = max(LOOKUPS[1], since + LOOKUPS[0])
        return Settlement(*key, "unknown", again, looked=looks, resent=row["resent"])
    return Settlement(
        *key, "unknown", code="OUTCOME_UNKNOWN", message="The carrier never said whether it took the text."
    )


def _without_secrets(claimed: Claimed, detail: str | None) -> str | None:
    if detail is None:
        return None
    for secret in claimed.provider.secrets(claimed.account):
        detail = detail.replace(secret, "…")
    return detail.replace("\x00", "")[:DETAIL]
