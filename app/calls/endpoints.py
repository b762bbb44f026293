"""Ask webhook endpoints: POST an event."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.agents import webhook
from app.domain.events import POST_DEADLINE
from app.domain.retry_after import read_retry_after
from app.wire.client import AnswerLost, NotSent, Wire

MAX_RECORDED_ANSWER = 1024
MAX_ANSWER_BYTES = 4096
GONE = 410
log = structlog.get_logger("endpoints")


@dataclass(frozen=True, slots=True)
class EventPost:
    """What came of one POST. `failure` None: the endpoint took the event."""

    at: datetime
    duration_ms: int
    http_status: int | None = None
    """None: no answer came."""
    failure: str | None = None
    retry_after: float | None = None
    """Seconds that the endpoint asked for."""
    answer: str | None = None

    @property
    def is_gone(self) -> bool:
        """The endpoint wants no more events."""
        return self.http_status == GONE


async def post_event(wire: Wire, url: str, secrets: Sequence[str], event_id: str, body: bytes) -> EventPost:
    """POSTs an event, signed by each of `secrets`. Any 2xx takes it. Raises nothing: whatever goes wrong is
    a failed attempt."""
    at, started_at = datetime.now(UTC), time.monotonic()

    def measure() -> int:
        return int((time.monotonic() - started_at) * 1000)

    try:
        request = webhook.build_request(url, secrets, event_id, at, body)
        response = await wire.exchange(request, POST_DEADLINE.total_seconds(), MAX_ANSWER_BYTES)
    except (NotSent, AnswerLost) as error:
        return EventPost(at, measure(), failure=str(error))
    except Exception as error:
        log.exception("an event could not be posted", event_id=event_id)
        return EventPost(at, measure(), failure=type(error).__name__)
    answer = webhook.clip_answer(response)[:MAX_RECORDED_ANSWER]
    if response.is_success:
        return EventPost(at, measure(), response.status_code, answer=answer)
    return EventPost(
        at,
        measure(),
        response.status_code,
        f"HTTP {response.status_code}",
        read_retry_after(response.headers, at),
        answer,
    )
