"""Ask the tenants' webhooks about phones before their first contact: claim → ask → settle."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from hashlib import sha256

import structlog

from app.access.sealing import Seal, Unsealable
from app.calls.contact_checks import ask_webhook
from app.domain import ids
from app.domain.contact_checks import CHECK_DEADLINE, CheckAnswer, get_wait
from app.domain.problems import Problem
from app.jobs.settling import settle_persistently
from app.store import contact_checks
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.contact_checks import ClaimedQuestion, SettledQuestion
from app.store.engine import Database
from app.wire.client import Wire

MAX_ASKING = 50
"""Questions that a worker asks at once."""
MAX_PER_TENANT = 10
"""That a claim takes of one tenant, and that a worker asks of it before it takes more: a webhook that is away holds up
only its own tenant."""
SETTLE_SECONDS = 30.0
LEASE = CHECK_DEADLINE + timedelta(seconds=SETTLE_SECONDS + 10)
log = structlog.get_logger("contact_checks")


class ContactChecker:
    """Asks for one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self.asking: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        """By tenant: the questions that are being asked."""

    async def ask_due(self) -> bool:
        """Claims the questions that are due and starts a task for each. Returns whether more may be due."""
        room = MAX_ASKING - len(self.asking)
        if room <= 0:
            return True
        lease = ids.make_lease()
        busy_tenant_ids = [tenant_id for tenant_id, count in self._counts.items() if count >= MAX_PER_TENANT]
        async with self._database.system_tx() as tx:
            claimed_questions = await contact_checks.claim(tx, room, lease, LEASE, MAX_PER_TENANT, busy_tenant_ids)
        for question in claimed_questions:
            self._counts[question.tenant_id] += 1
            task = asyncio.create_task(self._ask(question, lease))
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)
        return len(claimed_questions) >= min(room, MAX_PER_TENANT) or bool(busy_tenant_ids)

    async def _ask(self, question: ClaimedQuestion, lease: str) -> None:
        try:
            await self._ask_and_settle(question, lease)
        finally:
            self._counts[question.tenant_id] -= 1
            self._counts += Counter()  # forgets those at zero

    async def _ask_and_settle(self, question: ClaimedQuestion, lease: str) -> None:
        try:
            answer = await self._get_answer(question)
            await settle_persistently(partial(self._settle, question, lease, answer), SETTLE_SECONDS)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # It is asked again when the lease has ended.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a question about a phone could not be settled", tenant_id=question.tenant_id)

    async def _get_answer(self, question: ClaimedQuestion) -> CheckAnswer | None:
        """None: nobody wants to know any more."""
        if question.url is None or not question.is_wanted:
            return None
        try:
            secrets = [self._seal.open(question.secret).decode()] if question.secret else []
        except Unsealable as error:
            return CheckAnswer(failure=str(error))
        question_id = _build_id(question)
        return await ask_webhook(self._wire, question.url, secrets, question_id, question.tenant_id, question.phone)

    async def _settle(self, question: ClaimedQuestion, lease: str, answer: CheckAnswer | None) -> None:
        async with self._database.system_tx() as tx:
            if answer is None:
                await contact_checks.drop(tx, lease, question.tenant_id, question.phone)
            else:
                await contact_checks.settle(tx, lease, _build_settlement(question, answer))


def _build_id(question: ClaimedQuestion) -> str:
    """The same each time the question is asked: a webhook may answer what it knows already."""
    words = f"{question.tenant_id} {question.phone} {question.asked_at}"
    return f"evt_{sha256(words.encode()).hexdigest()[:26]}"


def _build_settlement(question: ClaimedQuestion, answer: CheckAnswer) -> SettledQuestion:
    key = question.tenant_id, question.phone
    if answer.failure:
        return SettledQuestion(*key, "asked", failure=answer.failure, wait=get_wait(question.attempts))
    return SettledQuestion(*key, "refused" if answer.refusal else "clear", answer.refusal, answer.words)
