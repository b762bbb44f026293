"""The problems: every error that an API caller can see, with its code and HTTP status.

    Problem
    ├── Invalid              400 VALIDATION_ERROR
    ├── MissingPhoneNumber   400 MISSING_PHONE_NUMBER
    ├── Unauthorized         401 UNAUTHORIZED
    ├── Forbidden            403 FORBIDDEN
    ├── DncBlocked           403 DNC_BLOCKED
    ├── RuleBroken
    │   ├── CapReached             403 CAP_REACHED
    │   ├── ConsentMissing         403 CONSENT_MISSING
    │   └── ContactRefused         403 CONTACT_REFUSED
    ├── NotFound             404 NOT_FOUND
    ├── MethodNotAllowed     405 METHOD_NOT_ALLOWED
    ├── Conflict
    │   ├── NoOpenTurn             409 NO_OPEN_TURN
    │   ├── StaleTurn              409 STALE_TURN
    │   ├── TurnClosed             409 TURN_CLOSED
    │   ├── TurnCancelled          409 TURN_CANCELLED
    │   ├── IdempotencyInProgress  409 IDEMPOTENCY_IN_PROGRESS
    │   ├── NotCancellable         409 NOT_CANCELLABLE
    │   ├── NotHeld                409 NOT_HELD
    │   ├── NotPlanned             409 NOT_PLANNED
    │   ├── AgentNotReady          409 AGENT_NOT_READY
    │   ├── SuppressionActive      409 SUPPRESSION_ACTIVE
    │   ├── AlreadyExists          409 ALREADY_EXISTS
    │   └── InUse                  409 IN_USE
    ├── PreconditionFailed   412 PRECONDITION_FAILED
    ├── PayloadTooLarge      413 PAYLOAD_TOO_LARGE
    ├── IdempotencyKeyReused 422 IDEMPOTENCY_KEY_REUSED
    ├── RateLimited          429 RATE_LIMITED
    ├── Internal             500 INTERNAL_ERROR
    ├── ProviderError        502 PROVIDER_ERROR
    ├── Unavailable          503 UNAVAILABLE
    └── OutcomeUnknown       504 OUTCOME_UNKNOWN

A problem is raised when it answers the whole request. It is returned as a value when it refuses
one item of many (docs/laws.md, law 2).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class Problem(Exception):
    """An error as an answer. `details` are strings of the form `field: words`."""

    code: ClassVar[str]
    status: ClassVar[int]
    default: ClassVar[str]

    def __init__(
        self, message: str | None = None, details: Sequence[str] = (), retry_after: float | None = None
    ) -> None:
        self.message = message or self.default
        self.details = list(details)
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def reason(self) -> str:
        """The details in one line; without details the message."""
        return "; ".join(self.details) or self.message

    def to_body(self) -> dict[str, object]:
        """The `error` object of the envelope: code, message, details."""
        return {"code": self.code, "message": self.message, "details": self.details}


class Invalid(Problem):
    code, status, default = "VALIDATION_ERROR", 400, "The request is not valid."


class MissingPhoneNumber(Problem):
    code, status = "MISSING_PHONE_NUMBER", 400
    default = "No recipient or no sender could be resolved."


class Unauthorized(Problem):
    code, status, default = "UNAUTHORIZED", 401, "A valid API key is required."


class Forbidden(Problem):
    code, status, default = "FORBIDDEN", 403, "This key's scope does not allow this."


class DncBlocked(Problem):
    code, status, default = "DNC_BLOCKED", 403, "The recipient may not be texted."


class RuleBroken(Problem):
    """A text that a rule forbids. `verdict`: which one, and what would lift it, as the API shows it."""

    status = 403

    def __init__(
        self,
        message: str | None = None,
        details: Sequence[str] = (),
        retry_after: float | None = None,
        verdict: dict[str, Any] | None = None,
    ) -> None:
        own_details = [f"to: {_describe_reason(reason)}" for reason in verdict["reasons"]] if verdict else []
        super().__init__(message, [*details, *own_details], retry_after)
        self.verdict = verdict

    def to_body(self) -> dict[str, object]:
        return super().to_body() | ({"verdict": self.verdict} if self.verdict else {})


def _describe_reason(reason: Mapping[str, Any]) -> str:
    """Which rule it is, where it stands, and from when on it lets the text go."""
    citation = f" ({reason['citation']})" if reason["citation"] else ""
    until = f", free again {reason['until']}" if reason["until"] else ""
    return f"{reason['words']}{citation}{until}"


class CapReached(RuleBroken):
    code, default = "CAP_REACHED", "The recipient got as many texts as they may get for now."


class ConsentMissing(RuleBroken):
    code, default = "CONSENT_MISSING", "The recipient has not agreed to such texts."


class ContactRefused(RuleBroken):
    code, default = "CONTACT_REFUSED", "Your webhook wants no first contact with this phone."


class NotFound(Problem):
    code, status, default = "NOT_FOUND", 404, "There is nothing here by that id."


class MethodNotAllowed(Problem):
    code, status, default = "METHOD_NOT_ALLOWED", 405, "This address does not take this method."


class Conflict(Problem):
    """A valid request that does not fit the present state."""

    status = 409


class NoOpenTurn(Conflict):
    code, default = "NO_OPEN_TURN", "No turn of this lead waits for a reply."


class StaleTurn(Conflict):
    code, default = "STALE_TURN", "The lead has written since this turn was handed over."


class TurnClosed(Conflict):
    code, default = "TURN_CLOSED", "This turn is closed."


class TurnCancelled(Conflict):
    code, default = "TURN_CANCELLED", "A person took over after this turn was handed over."


class IdempotencyInProgress(Conflict):
    code, default = "IDEMPOTENCY_IN_PROGRESS", "A request with this Idempotency-Key still runs."


class NotCancellable(Conflict):
    code, default = "NOT_CANCELLABLE", "Only a scheduled or queued text can be cancelled."


class NotHeld(Conflict):
    code, default = "NOT_HELD", "No reply of this turn waits for a person."


class NotPlanned(Conflict):
    code, default = "NOT_PLANNED", "This turn is not planned any more."


class AgentNotReady(Conflict):
    code, default = "AGENT_NOT_READY", "The agent may not begin this conversation."


class SuppressionActive(Conflict):
    code, default = "SUPPRESSION_ACTIVE", "The lead asked not to be texted; only the lead lifts it."


class AlreadyExists(Conflict):
    code, default = "ALREADY_EXISTS", "Something by that name exists already."


class InUse(Conflict):
    code, default = "IN_USE", "Something else refers to this; switch it off instead."


class PreconditionFailed(Problem):
    code, status = "PRECONDITION_FAILED", 412
    default = "This has changed since: read it again, and repeat the change with its new ETag."


class PayloadTooLarge(Problem):
    code, status, default = "PAYLOAD_TOO_LARGE", 413, "The request body is too large."


class IdempotencyKeyReused(Problem):
    code, status = "IDEMPOTENCY_KEY_REUSED", 422
    default = "This Idempotency-Key was used with another body."


class RateLimited(Problem):
    code, status, default = "RATE_LIMITED", 429, "Too many requests."


class Internal(Problem):
    code, status, default = "INTERNAL_ERROR", 500, "Something went wrong on our side."


class ProviderError(Problem):
    code, status = "PROVIDER_ERROR", 502
    default = "The provider did not answer as it should; nothing was changed."


class Unavailable(Problem):
    code, status = "UNAVAILABLE", 503
    default = "The service cannot take this now; nothing was accepted. Try again."


class OutcomeUnknown(Problem):
    code, status = "OUTCOME_UNKNOWN", 504
    default = "It is not known whether this was accepted; repeat with the same Idempotency-Key."
