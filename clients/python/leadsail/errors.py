"""What may go wrong.

LeadSailError
├── ApiError          the service refused the request
├── OutcomeUnknown    the request may have been accepted, or not
├── Unreachable       the service did not take the request
└── InvalidSignature  a webhook is not from the service, or is old
"""

from collections.abc import Sequence


class LeadSailError(Exception):
    pass


class ApiError(LeadSailError):
    """The service refused the request. `code` is for programs; `details` name fields."""

    def __init__(
        self, status: int, code: str, message: str, details: Sequence[str] = (), request_id: str | None = None
    ) -> None:
        self.status, self.code, self.message = status, code, message
        self.details, self.request_id = list(details), request_id
        super().__init__("; ".join([f"{code}: {message}", *self.details]))


class OutcomeUnknown(LeadSailError):
    """The request may have been accepted, or not. With its `idempotency_key` it can be repeated safely."""

    def __init__(self, message: str, idempotency_key: str | None = None) -> None:
        self.idempotency_key = idempotency_key
        super().__init__(message)


class Unreachable(LeadSailError):
    """The service did not take the request, however often it was tried."""


class InvalidSignature(LeadSailError):
    """The webhook was not signed with the secret, or too long ago."""
