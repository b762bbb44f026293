"""Ask a tenant's webhook whether a phone may be contacted."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from app.agents import webhook
from app.domain.contact_checks import CHECK_DEADLINE, CheckAnswer, build_question, read_answer
from app.wire.client import AnswerLost, NotSent, Wire

MAX_ANSWER_BYTES = 4096
log = structlog.get_logger("contact_checks")


async def ask_webhook(
    wire: Wire, url: str, secrets: Sequence[str], question_id: str, tenant_id: str, phone: str
) -> CheckAnswer:
    """POSTs the question, signed by each of `secrets`. Raises nothing: whatever goes wrong is no answer."""
    try:
        question = build_question(tenant_id, phone)
        request = webhook.build_request(url, secrets, question_id, datetime.now(UTC), question)
        response = webhook.decompress(await wire.exchange(request, CHECK_DEADLINE.total_seconds(), MAX_ANSWER_BYTES))
    except (NotSent, AnswerLost) as error:
        return CheckAnswer(failure=str(error))
    except Exception as error:
        log.exception("a phone could not be asked about", question_id=question_id)
        return CheckAnswer(failure=type(error).__name__)
    if response.is_success and (failure := webhook.find_unread(response)):
        return CheckAnswer(failure=failure)
    return read_answer(response.is_success, response.status_code, response.content)
