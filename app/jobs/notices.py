"""Tell people: claim → send → settle, one digest for each person and way in a minute at most
(docs/decisions/0038-people-are-told-by-cursors.md)."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import structlog

from app.access.sealing import Seal, Unsealable
from app.calls.notices import NotTold, post_to_hook, send_mail
from app.domain import ids
from app.domain.notices import SENT_WAYS, NotedEvent, build_notices, get_retry, list_lines
from app.domain.problems import Problem
from app.jobs.settling import settle_persistently
from app.store import notices
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database, Tx
from app.store.notices import ClaimedWay, OwedEvent
from app.wire.client import Wire
from app.wire.mail import MailClient

MAX_SENDING = 20
"""Digests that a worker sends at once."""
LEASE = timedelta(seconds=60)
"""Longer than any digest takes. If its worker dies, it is sent again after this time."""
SETTLE_SECONDS = 30.0
log = structlog.get_logger("notices")


class Notifier:
    """Tells people, for one worker."""

    def __init__(self, database: Database, wire: Wire, mail: MailClient | None, seal: Seal, base_url: str) -> None:
        self._database = database
        self._wire = wire
        self._mail = mail
        self._seal = seal
        self._base_url = base_url
        self.sending: set[asyncio.Task[None]] = set()
        self._ways = [way for way in SENT_WAYS if way != "email" or mail]

    async def is_anything_due(self, tx: Tx, within: timedelta) -> bool:
        """Whether a digest is due within this time, or is being sent."""
        return await notices.is_anything_due(tx, self._ways, within)

    async def send_due(self) -> None:
        """Claims the digests that are due and starts a task for each."""
        room = MAX_SENDING - len(self.sending)
        if room <= 0:
            return
        lease = ids.make_lease()
        async with self._database.system_tx(plan_now=True) as tx:
            claimed_ways = await notices.claim(tx, self._ways, room, lease, LEASE)
            owed_events = await notices.list_owed(tx, lease) if claimed_ways else []
        for way in claimed_ways:
            events = [event for event in owed_events if _way_of(event) == _way_of(way)]
            if events:
                task = asyncio.create_task(self._tell(way, events, lease))
                self.sending.add(task)
                task.add_done_callback(self.sending.discard)

    async def _tell(self, way: ClaimedWay, events: Sequence[NotedEvent], lease: str) -> None:
        try:
            failure = await self._send_digest(way, events)
            await settle_persistently(partial(self._settle, way, events, lease, failure), SETTLE_SECONDS)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # The cursor stays: the digest is sent again when its lease has ended.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a digest could not be settled", user_id=way.user_id, way=way.way)

    async def _send_digest(self, way: ClaimedWay, events: Sequence[NotedEvent]) -> str | None:
        """Returns why the digest was not taken."""
        found_notices = build_notices(events, way.role)
        lines = list_lines(found_notices, self._base_url)
        try:
            if way.way == "email":
                assert self._mail
                subject = f"LeadSail SMS: {_count(len(found_notices))}"
                await send_mail(self._mail, way.email, subject, lines, _name_digest(way, events))
            else:
                await post_to_hook(self._wire, self._seal.open(way.address or b"").decode(), lines)
        except (NotTold, Unsealable) as error:
            return str(error)
        except Exception as error:
            log.exception("a digest could not be sent", user_id=way.user_id, way=way.way)
            return type(error).__name__
        return None

    async def _settle(self, way: ClaimedWay, events: Sequence[NotedEvent], lease: str, failure: str | None) -> None:
        async with self._database.system_tx() as tx:
            if failure is None:
                last = max(events, key=lambda event: (event.transaction, event.event_id))
                await notices.settle_sent(tx, way, lease, last)
            else:
                await notices.settle_failed(tx, way, lease, get_retry(way.attempts + 1), failure)


def _way_of(row: ClaimedWay | OwedEvent) -> tuple[str, str, str]:
    return row.tenant_id, row.user_id, row.way


def _name_digest(way: ClaimedWay, events: Sequence[NotedEvent]) -> str:
    """The same for each attempt: a digest begins with the same event until it is taken."""
    first = min(events, key=lambda event: (event.transaction, event.event_id))
    return f"{way.user_id}.{first.transaction}.{first.event_id}"


def _count(notices_count: int) -> str:
    return "1 notice" if notices_count == 1 else f"{notices_count} notices"
