"""Webhooks with a wrong signature: a run of them may be the carrier's own, signed with a secret that we
do not have. There may be a STOP among them, so the carrier's record is read."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.domain.problems import Problem
from app.store import accounts
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database

REFUSALS_IN_A_RUN = 3
RUN_SECONDS = 600.0
"""Refusals that are further apart belong to different runs."""
MARGIN = timedelta(minutes=2)
"""The carrier took the text before it called us."""
PAUSE_SECONDS = 60.0
LATER = timedelta(seconds=30)
"""How long the next reading waits if the last one was less than `PAUSE_SECONDS` ago: who forges
webhooks must not make us ask the carrier all the time."""
MAX_ACCOUNTS = 10_000
log = structlog.get_logger("webhooks")


@dataclass(slots=True)
class _Run:
    began_at: float
    count: int = 0
    read_at: float | None = None


class RefusedWebhooks:
    """Counts them by account, in this process."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    async def count(self, database: Database, account_id: str) -> None:
        """Counts one; at the end of a run, marks the account as missing texts."""
        now = time.monotonic()
        run = self._runs.setdefault(account_id, _Run(now))
        if run.count == 0 or now - run.began_at > RUN_SECONDS:
            run.began_at, run.count = now, 0
        run.count += 1
        self._runs.move_to_end(account_id)
        if len(self._runs) > MAX_ACCOUNTS:
            self._runs.popitem(last=False)
        if run.count < REFUSALS_IN_A_RUN:
            return
        since = datetime.now(UTC) - timedelta(seconds=now - run.began_at) - MARGIN
        was_read_lately = run.read_at is not None and now - run.read_at < PAUSE_SECONDS
        run.count, run.read_at = 0, now
        try:
            async with database.system_tx() as tx:
                await accounts.notice_refusals(tx, account_id, since, LATER if was_read_lately else timedelta(0))
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            run.count = REFUSALS_IN_A_RUN - 1  # the next one tries again
            log.warning("the database is away", error=type(error).__name__)
            return
        log.warning("webhooks were refused: the carrier's record is read", account_id=account_id)
