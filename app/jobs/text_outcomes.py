"""What the outcome of a request to a carrier means for its text: how the claim is settled."""

from datetime import timedelta

from app.calls.carriers import SendResult
from app.domain.carriage import LookupMatch, Outcome
from app.domain.words import STATUS_RANK
from app.providers import LOOKUP_DELAYS
from app.store.leaving import BlockReason
from app.store.outbox import ClaimedText
from app.store.text_settling import SettledStatus, Settlement

BACKOFF_SECONDS = (1.0, 5.0, 30.0, 120.0, 300.0)
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 1.0, 600.0
STALE_CODE = "STALE_TURN"
BLOCK_ERRORS: dict[BlockReason, tuple[str, str]] = {
    "gone": ("CANCELLED", "The text was cancelled."),
    "suppressed": ("DNC_BLOCKED", "The recipient may not be texted."),
    "stale": (STALE_CODE, "The lead wrote again before the agent's text left."),
}


def settle_unsent(text: ClaimedText, block_reason: BlockReason | None) -> Settlement | None:
    """How to settle a text for which no request is needed; None: one is."""
    if text.state == "unknown":
        is_sent = STATUS_RANK[text.message_status] >= STATUS_RANK["sent"]  # a receipt came meanwhile
        return Settlement(*text.key, "sent") if is_sent else None
    if block_reason:
        code, message = BLOCK_ERRORS[block_reason]
        return Settlement(*text.key, "cancelled", code=code, message=message)
    if text.state == "queued":
        why = "The text's validity passed before it could leave."
        return Settlement(*text.key, "failed", code="EXPIRED", message=why)
    if not text.is_sender_active:
        why = "The number or its account was switched off."
        return Settlement(*text.key, "failed", code="SENDER_INACTIVE", message=why)
    return None


def settle_not_built(text: ClaimedText, error: BaseException | None) -> Settlement:
    """The adapter raised `error`: nothing was sent."""
    return Settlement(*text.key, "failed", code="INTERNAL", message=type(error).__name__)


def settle_not_begun(text: ClaimedText) -> Settlement:
    """The request could not begin in time: nothing was sent."""
    return Settlement(*text.key, "queued", timedelta(0), was_resent=text.was_resent)


def settle_after_bug(text: ClaimedText, error: Exception) -> Settlement:
    """One bad text must not stop the others. It may have left, so it is unknown."""
    return Settlement(
        *text.key, "unknown", LOOKUP_DELAYS[0], code="INTERNAL", message=type(error).__name__, outcome="unknown"
    )


def settle_outcome(
    text: ClaimedText, result: SendResult, explanation: str | None, detail: str | None, is_account_refused: bool
) -> Settlement:
    """`explanation` says in plain words what the outcome's code means; `detail` is recorded. Where the
    carrier refused the account, the text waits for it within its validity."""
    outcome = result.outcome
    status, due_in = ("queued", timedelta(0)) if is_account_refused else _judge_verdict(text, outcome)
    is_accepted = outcome.verdict == "accepted"
    return Settlement(
        *text.key,
        status,
        due_in,
        provider_message_id=outcome.provider_message_id if is_accepted else None,
        code=None if is_accepted else outcome.code,
        message=explanation if is_accepted else explanation or outcome.detail,
        was_resent=text.was_resent,
        outcome=outcome.verdict,
        at=text.begun_at,
        http_status=result.http_status,
        duration_ms=int(result.seconds * 1000),
        detail=detail,
        price=outcome.price.amount if outcome.price else None,
        currency=outcome.price.currency if outcome.price else None,
    )


def _judge_verdict(text: ClaimedText, outcome: Outcome) -> tuple[SettledStatus, timedelta | None]:
    """The text's next status, and when to claim it again."""
    match outcome.verdict:
        case "accepted":
            return "sent", None
        case "later":
            wait = outcome.retry_after or BACKOFF_SECONDS[min(text.tries, len(BACKOFF_SECONDS)) - 1]
            return "queued", timedelta(seconds=min(max(wait, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS))
        case "unknown":
            return "unknown", LOOKUP_DELAYS[0]
        case "refused" | "opted_out":
            return "failed", None


def settle_lookup(text: ClaimedText, sure_match: LookupMatch | None, is_denied: bool, age: timedelta) -> Settlement:
    """`is_denied`: the carrier does not have the text. `age`: time since the request began, by the
    database's clock."""
    if sure_match is not None:
        price = sure_match.price
        return Settlement(
            *text.key,
            "sent",
            provider_message_id=sure_match.provider_message_id,
            code=sure_match.code,
            price=price.amount if price else None,
            currency=price.currency if price else None,
        )
    lookups = text.lookups + is_denied
    if lookups >= len(LOOKUP_DELAYS):
        if text.was_resent:
            why = "The carrier was sent it twice, and says it took neither."
            return Settlement(*text.key, "failed", code="NOT_TAKEN", message=why)
        # Denied twice: the one resend that docs/decisions/0004-the-one-exception.md allows.
        return Settlement(*text.key, "queued", timedelta(0), was_resent=True)
    if age < LOOKUP_DELAYS[1] or is_denied:
        # If no worker ran, the first denial may come late. A second one is needed all the same.
        due_in = max(LOOKUP_DELAYS[1], age + LOOKUP_DELAYS[0])
        return Settlement(*text.key, "unknown", due_in, lookups=lookups, was_resent=text.was_resent)
    why = "The carrier never said whether it took the text."
    return Settlement(*text.key, "unknown", code="OUTCOME_UNKNOWN", message=why)
