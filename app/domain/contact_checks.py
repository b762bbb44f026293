"""Before a first contact a webhook of the tenant may be asked whether the phone may be contacted: what it is asked,
what its answer means, and when it is asked again. Others know what the service cannot: numbers that were reassigned,
registries, landlines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.domain.storable import clean_text

CheckState = Literal["unknown", "asked", "clear", "refused"]
CHECK_RULE = "contact_check"
CHECK_WORDS = "your webhook is asked first whether the phone may be contacted"
REFUSAL_WORDS = {
    "reassigned": "your webhook says that the phone belongs to somebody else now",
    "dnc_registry": "your webhook says that the phone is in a do-not-call registry",
    "landline": "your webhook says that the phone is a landline",
}
CHECK_WAIT = timedelta(seconds=60)
"""A held text is judged again so long after its question is asked next, and at once when the answer comes."""
CHECK_LIFE = timedelta(days=30)
"""How long an answer counts, if the tenant says nothing else."""
CHECK_DEADLINE = timedelta(seconds=10)
RETRIES = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""After failures in a row; then the last one again and again, as long as a text waits."""
MAX_WORDS = 300


@dataclass(frozen=True, slots=True)
class ContactCheck:
    """What is known of a phone. `until`: while it is asked, when a text that waits is judged again; after a refusal,
    when it will be asked anew."""

    state: CheckState
    until: datetime | None = None
    reason: str | None = None
    words: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state in ("unknown", "asked")


def parse_check(facts: Mapping[str, Any] | None) -> ContactCheck | None:
    """As the store has it; None: the tenant asks nobody."""
    if facts is None:
        return None
    until = facts["until"] and datetime.fromisoformat(facts["until"])
    return ContactCheck(facts["state"], until, facts["reason"], facts["words"])


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What the webhook said. `refusal` None: the phone may be contacted. `failure`: it said nothing that counts."""

    refusal: str | None = None
    words: str | None = None
    failure: str | None = None


def build_question(tenant_id: str, phone: str) -> bytes:
    return json.dumps({"type": "contact.check", "tenantId": tenant_id, "phone": phone}).encode()


def read_answer(is_success: bool, status: int, content: bytes) -> CheckAnswer:
    """Only a clear answer counts: whatever else comes holds the text."""
    if not is_success:
        return CheckAnswer(failure=f"HTTP {status}")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return CheckAnswer(failure="the answer is not JSON")
    if not isinstance(answer, dict) or "refuse" not in answer:
        return CheckAnswer(failure='the answer has no "refuse": null, or why')
    refusal, words = answer["refuse"], answer.get("words")
    if refusal is None:
        return CheckAnswer()
    if not isinstance(refusal, str) or refusal not in REFUSAL_WORDS:
        return CheckAnswer(failure=f'"refuse" must be null or one of {", ".join(REFUSAL_WORDS)}')
    return CheckAnswer(refusal, _clean_words(words) if isinstance(words, str) else None)


def _clean_words(words: str) -> str | None:
    """Without what no database can store."""
    return clean_text(words)[:MAX_WORDS].strip() or None


def get_wait(attempt: int) -> timedelta:
    """The wait after the failed `attempt`, which counts from 1."""
    return RETRIES[min(attempt, len(RETRIES)) - 1]
