"""Ask the tenants' webhooks about phones before their first contact: claim → ask → settle."""

import asyncio
from datetime import timedelta
from functools import partial

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

    async def ask_due(self) -> None:
        """Claims the questions that are due and starts a task for each."""
        room = MAX_ASKING - len(self.asking)
        if room <= 0:
            return
        lease = ids.make("evt")
        async with self._database.system_tx() as tx:
            claimed_questions = await contact_checks.claim(tx, room, lease, LEASE)
        for question in claimed_questions:
            task = asyncio.create_task(self._ask(question, lease))
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)

    async def _ask(self, question: ClaimedQuestion, lease: str) -> None:
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
        question_id = ids.make("evt")
        return await ask_webhook(self._wire, question.url, secrets, question_id, question.tenant_id, question.phone)

    async def _settle(self, question: ClaimedQuestion, lease: str, answer: CheckAnswer | None) -> None:
        async with self._database.system_tx() as tx:
            if answer is None:
                await contact_checks.drop(tx, lease, question.tenant_id, question.phone)
            else:
                await contact_checks.settle(tx, lease, _build_settlement(question, answer))


def _build_settlement(question: ClaimedQuestion, answer: CheckAnswer) -> SettledQuestion:
    key = question.tenant_id, question.phone
    if answer.failure:
        return SettledQuestion(*key, "asked", failure=answer.failure, wait=get_wait(question.attempts))
    return SettledQuestion(*key, "refused" if answer.refusal else "clear", answer.refusal, answer.words)
