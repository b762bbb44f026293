"""Ask agents: POST a turn, live or dry, to a webhook. Ask judges what they think of an answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.agents import judge, webhook
from app.agents.webhook import Answer, FailedPost
from app.domain.checks import CheckResult
from app.domain.windows import HAND_OVER_DEADLINE
from app.wire.client import AnswerLost, NotSent, Wire

log = structlog.get_logger("agents")


@dataclass(frozen=True, slots=True)
class PostResult:
    """What came of one POST."""

    answer: Answer
    http_status: int | None = None
    """None: no answer came."""
    seconds: float = 0.0
    recorded_answer: str | None = None

    @property
    def duration_ms(self) -> int:
        return int(self.seconds * 1000)


async def post_turn(
    wire: Wire, turn_id: str, url: str, secrets: Sequence[str], at: datetime, body: bytes, kind: str | None = None
) -> PostResult:
    """POSTs a turn, signed by each of `secrets` as of `at`. `kind` names a dry turn: replay, shadow
    or test. Raises nothing: whatever goes wrong is a failed attempt."""
    started_at = time.monotonic()
    status: int | None = None
    recorded_answer: str | None = None
    answer: Answer
    try:
        request = webhook.build_request(url, secrets, turn_id, at, body, kind)
        response = webhook.decompress(await wire.exchange(request, HAND_OVER_DEADLINE.total_seconds()))
        status, recorded_answer = response.status_code, webhook.clip_answer(response)
        answer = webhook.read_answer(response)
    except (NotSent, AnswerLost) as error:
        answer = FailedPost(str(error))
    except Exception as error:
        log.exception("a hand-over failed", turn_id=turn_id)
        answer = FailedPost(type(error).__name__)
    return PostResult(answer, status, time.monotonic() - started_at, recorded_answer)


async def ask_judge(
    wire: Wire, question_id: str, url: str, secrets: Sequence[str], at: datetime, question: bytes
) -> CheckResult:
    """POSTs an answer to a judge of the tenant, signed as turns are. Raises nothing: an answer that nobody
    judged has not passed."""
    try:
        request = webhook.build_request(url, secrets, question_id, at, question, "judge")
        response = webhook.decompress(await wire.exchange(request, HAND_OVER_DEADLINE.total_seconds()))
        return judge.read_verdict(response)
    except (NotSent, AnswerLost) as error:
        return CheckResult("judge", False, str(error))
    except Exception as error:
        log.exception("a judge could not be asked", question_id=question_id)
        return CheckResult("judge", False, type(error).__name__)
