"""Deliver events to webhook endpoints: claim → POST → settle.

Events of one subject are POSTed one after the other; subjects do not wait for each other. What came of
the POSTs is settled in sets (docs/decisions/0035-webhooks-are-cursors.md).
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import chain

import structlog
from pydantic_core import to_json

from app import traces
from app.access.sealing import Seal
from app.calls import endpoints
from app.calls.endpoints import EventPost
from app.domain import ids
from app.domain.event_bodies import build_body
from app.domain.events import POST_DEADLINE, POST_LEASE, get_wait
from app.jobs.figures import EVENT_LATE_SECONDS, EVENT_POSTS
from app.jobs.settling import settle_persistently
from app.store import event_words, webhook_deliveries, webhook_moves, webhook_queue
from app.store.batching import Batcher
from app.store.engine import Database
from app.store.event_words import AskedEvent, Words
from app.store.webhook_deliveries import Delivery
from app.store.webhook_queue import ClaimedEvent, DoneEvent, EndpointKey, EndpointNews, WaitingSubject
from app.wire.client import Wire

PLACES_PER_ENDPOINT = 64
MAX_SINGLES = 2
LAST_BEGIN_SECONDS = (POST_LEASE - POST_DEADLINE).total_seconds() - 5
"""How long after its claim the last POST of a subject may begin; the rest is time to settle."""
log = structlog.get_logger("events")


@dataclass(frozen=True, slots=True)
class SubjectEvents:
    """Claimed events of one subject for one endpoint, in order, with their bodies."""

    lease: str
    begin_by: float
    """The last POST begins by this time (`time.monotonic`)."""
    events: Sequence[ClaimedEvent]
    bodies: Sequence[bytes]
    secrets: Sequence[str]

    @property
    def endpoint(self) -> EndpointKey:
        return self.events[0].endpoint


@dataclass(slots=True)
class SubjectResult:
    """What came of a subject's events."""

    endpoint: EndpointKey
    done_events: list[DoneEvent] = field(default_factory=list)
    waiting_subject: WaitingSubject | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    news: EndpointNews | None = None


class EventDelivery:
    """Delivers events for one worker."""

    def __init__(self, database: Database, wire: Wire, seal: Seal) -> None:
        self._database = database
        self._wire = wire
        self._seal = seal
        self._busy: Counter[EndpointKey] = Counter()
        """Subjects whose events are being POSTed here, by endpoint."""
        self._served: set[EndpointKey] = set()
        """Endpoints whose old deliveries are to be pruned."""
        self._batcher = Batcher(self._settle_many, self._settle_one, max_singles=MAX_SINGLES)

    async def claim(self, max_subjects: int) -> tuple[list[SubjectEvents], bool]:
        """Moves the cursors and claims what is due. Also returns whether any endpoint is active."""
        lease = ids.make_lease()
        # Two transactions: while the cursors are locked, nothing can be settled.
        async with self._database.system_tx(plan_now=True) as tx:
            ready = await webhook_moves.lock_ready(tx)
            if ready.endpoint_ids:
                await webhook_moves.move_cursors(tx, ready)
                if ready.has_subjects_behind:
                    await webhook_moves.catch_up(tx, ready)
        if not ready.may_have_due:
            return [], ready.active > 0
        async with self._database.system_tx(plan_now=True) as tx:
            begin_by = time.monotonic() + LAST_BEGIN_SECONDS
            claimed_events = await webhook_queue.claim(
                tx, +self._busy, PLACES_PER_ENDPOINT, max_subjects, lease, POST_LEASE
            )
            found_words = await event_words.get_words(
                tx, [AskedEvent(event.tenant_id, event, event.include) for event in claimed_events]
            )
        pairs_by_subject: dict[tuple[str, str, str], list[tuple[ClaimedEvent, Words]]] = {}
        for event, words in zip(claimed_events, found_words, strict=True):
            pairs_by_subject.setdefault((*event.endpoint, event.subject), []).append((event, words))
        subjects = []
        for pairs in pairs_by_subject.values():
            try:
                subjects.append(self._build_subject(lease, begin_by, pairs))
            except Exception:  # one bad endpoint must not stop the others: it is tried again after the lease
                log.exception("the bodies of events could not be built", endpoint_id=pairs[0][0].endpoint_id)
        self._busy.update(subject.endpoint for subject in subjects)
        return subjects, True

    async def perform(self, subject: SubjectEvents) -> None:
        """POSTs a subject's events and settles them. Raises when the database is away until the lease ends."""
        self._served.add(subject.endpoint)
        try:
            result = await self._post_events(subject)
        finally:
            self._busy[subject.endpoint] -= 1
        await settle_persistently(partial(self._batcher.submit, result), POST_LEASE.total_seconds())

    async def prune_deliveries(self) -> None:
        """Deletes the old deliveries of the endpoints that this worker served since the last time."""
        served_endpoints, self._served = self._served, set()
        has_more = bool(served_endpoints)
        while has_more:
            async with self._database.system_tx() as tx:
                has_more = await webhook_deliveries.prune(tx, sorted(served_endpoints))

    def _build_subject(self, lease: str, begin_by: float, pairs: Sequence[tuple[ClaimedEvent, Words]]) -> SubjectEvents:
        first, _ = pairs[0]
        sealed_secrets = [first.secret, first.previous_secret]
        return SubjectEvents(
            lease,
            begin_by,
            [event for event, _ in pairs],
            [to_json(build_body(event.tenant_id, event, words, "phones" in event.include)) for event, words in pairs],
            [self._seal.open(secret).decode() for secret in sealed_secrets if secret],
        )

    async def _post_events(self, subject: SubjectEvents) -> SubjectResult:
        """Stops at the first event that is not taken."""
        result, taken_count = SubjectResult(subject.endpoint), 0
        for event, body in zip(subject.events, subject.bodies, strict=True):
            if not event.is_gone:
                if time.monotonic() > subject.begin_by:
                    result.waiting_subject = _postpone(subject, None, timedelta(0))
                    break
                post = await self._post_event(subject, event, body)
                result.deliveries.append(_record(event, post, body))
                if post.failure is not None:
                    _fail(result, subject, event, post, has_taken=taken_count > 0)
                    return result
                taken_count += 1
            result.done_events.append(
                DoneEvent(
                    tenant_id=event.tenant_id,
                    endpoint_id=event.endpoint_id,
                    subject=event.subject,
                    transaction=event.transaction,
                    event_id=event.event_id,
                    lease=subject.lease,
                )
            )
        if taken_count and subject.events[0].failures:
            result.news = _tell(subject, failures=0, has_taken=True)
        return result

    async def _post_event(self, subject: SubjectEvents, event: ClaimedEvent, body: bytes) -> EventPost:
        with traces.record_span("event", event.id, attempt=event.attempts + 1):
            post = await endpoints.post_event(self._wire, event.url, subject.secrets, event.id, body)
            traces.note_answer(post.http_status, "failed" if post.failure else None)
        EVENT_POSTS.labels("failed" if post.failure else "delivered").inc()
        if not event.attempts:
            EVENT_LATE_SECONDS.observe(max((event.now - event.at).total_seconds(), 0))
        return post

    async def _settle_many(self, results: Sequence[SubjectResult]) -> Sequence[None]:
        async with self._database.system_tx(plan_now=True) as tx:
            news = _merge([result.news for result in results if result.news])
            endpoint_keys = {result.endpoint for result in results}
            await webhook_queue.lock_endpoints(tx, endpoint_keys, alone=bool(news))
            await webhook_queue.record_news(tx, news)
            await webhook_queue.settle(
                tx,
                list(chain.from_iterable(result.done_events for result in results)),
                [result.waiting_subject for result in results if result.waiting_subject],
            )
            await webhook_deliveries.record(tx, list(chain.from_iterable(result.deliveries for result in results)))
        return [None] * len(results)

    async def _settle_one(self, result: SubjectResult) -> None:
        await self._settle_many([result])


def _fail(result: SubjectResult, subject: SubjectEvents, event: ClaimedEvent, post: EventPost, has_taken: bool) -> None:
    """The event is sent again later, or its endpoint is paused."""
    wait, pause_reason = get_wait(event.attempts + 1, post.retry_after), None
    if post.is_gone:
        pause_reason = "the endpoint answered 410 Gone"
    elif wait is None:
        pause_reason = f"event {event.id} was not taken for 24 hours: {post.failure}"
    result.waiting_subject = _postpone(subject, event.event_id, wait or timedelta(0))
    result.news = _tell(subject, failures=1, has_taken=has_taken, pause_reason=pause_reason)


def _postpone(subject: SubjectEvents, failed_event_id: int | None, wait: timedelta) -> WaitingSubject:
    tenant_id, endpoint_id = subject.endpoint
    return WaitingSubject(
        tenant_id=tenant_id,
        endpoint_id=endpoint_id,
        subject=subject.events[0].subject,
        lease=subject.lease,
        failed_event_id=failed_event_id,
        wait=wait,
    )


def _tell(subject: SubjectEvents, failures: int, has_taken: bool, pause_reason: str | None = None) -> EndpointNews:
    tenant_id, endpoint_id = subject.endpoint
    return EndpointNews(
        tenant_id=tenant_id,
        endpoint_id=endpoint_id,
        failures=failures,
        has_taken=has_taken,
        pause_reason=pause_reason,
    )


def _merge(news: Sequence[EndpointNews]) -> list[EndpointNews]:
    """One for each endpoint."""
    news_by_endpoint: dict[EndpointKey, EndpointNews] = {}
    for item in news:
        former_news = news_by_endpoint.get((item.tenant_id, item.endpoint_id))
        news_by_endpoint[item.tenant_id, item.endpoint_id] = (
            item
            if former_news is None
            else EndpointNews(
                tenant_id=item.tenant_id,
                endpoint_id=item.endpoint_id,
                failures=item.failures + former_news.failures,
                has_taken=item.has_taken or former_news.has_taken,
                pause_reason=former_news.pause_reason or item.pause_reason,
            )
        )
    return list(news_by_endpoint.values())


def _record(event: ClaimedEvent, post: EventPost, body: bytes) -> Delivery:
    return Delivery(
        tenant_id=event.tenant_id,
        endpoint_id=event.endpoint_id,
        delivery_id=ids.make("dlv"),
        event_id=event.id,
        name=event.name or event.type,
        interaction_id=event.interaction_id,
        attempt=event.attempts + 1,
        at=post.at,
        outcome="failed" if post.failure else "delivered",
        http_status=post.http_status,
        duration_ms=post.duration_ms,
        detail=post.failure,
        answer=post.answer,
        request_body=body,
    )
