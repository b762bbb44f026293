"""Prometheus metrics: counters of this process, and what the whole installation owes.

No metric names a tenant."""

from collections.abc import Callable
from hmac import compare_digest

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.domain.problems import Unauthorized, Unavailable
from app.settings import Settings
from app.store import contact_checks, notices, owed
from app.store.clock import Clock
from app.store.engine import Tx
from app.store.standby import LaggingReads
from app.web.dependencies import AppResources

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def show_metrics(request: Request, resources: AppResources) -> Response:
    if not may_see_metrics(resources.settings, request.headers.get("authorization", "")):
        raise Unauthorized("A bearer token is required.")
    figures = generate_latest() + generate_latest(await _build_redis_figures(resources.clock))
    figures += generate_latest(await _build_standby_figures(resources.lagging_reads))
    try:
        async with resources.database.system_tx() as tx:
            figures += generate_latest(await _build_owed_figures(tx))
    except Unavailable:
        pass  # the counters of this process do not need the database
    return Response(figures, media_type=CONTENT_TYPE_LATEST)


def may_see_metrics(settings: Settings, authorization: str) -> bool:
    """Whether this header opens the figures: in production they need `METRICS_TOKEN`."""
    if not settings.is_production:
        return True
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else ""
    return bool(token) and compare_digest(authorization.encode(), f"Bearer {token}".encode())


async def _build_redis_figures(clock: Clock) -> CollectorRegistry:
    registry = CollectorRegistry()
    add_gauge = _build_add_gauge(registry)
    takes_writes = add_gauge("redis_takes_writes", "1: it does. 0: it is away or degraded.")
    takes_writes.set(await clock.find_state() == "ok")
    return registry


async def _build_standby_figures(lagging_reads: LaggingReads) -> CollectorRegistry:
    """No figure, where no standby is set."""
    registry = CollectorRegistry()
    add_gauge = _build_add_gauge(registry)
    standby = await lagging_reads.find_condition()
    if standby.state:
        serves = add_gauge("standby_serves", "1: it does. 0: it is away, or too far behind.")
        serves.set(standby.state == "ok")
    if standby.lag is not None:
        lag = add_gauge("standby_lag_seconds", "Age of the newest commit that the standby has.")
        lag.set(max(standby.lag.total_seconds(), 0))
    return registry


def _build_add_gauge(registry: CollectorRegistry) -> Callable[..., Gauge]:
    def add_gauge(name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"leadsail_{name}", help_text, labels, registry=registry)

    return add_gauge


async def _build_owed_figures(tx: Tx) -> CollectorRegistry:
    registry = CollectorRegistry()
    add_gauge = _build_add_gauge(registry)
    texts = add_gauge("owed_texts", "Unsent texts.", "provider", "state")
    texts_late = add_gauge("owed_texts_late_seconds", "Seconds since the oldest text was due.", "provider", "state")
    for owed_texts in await owed.count_texts(tx):
        texts.labels(owed_texts.provider, owed_texts.state).set(owed_texts.count)
        texts_late.labels(owed_texts.provider, owed_texts.state).set(max(owed_texts.late, 0))
    unknown = add_gauge("unknown_texts", "Texts whose outcome at the carrier is unknown.", "provider")
    for unknown_texts in await owed.count_unknown(tx):
        unknown.labels(unknown_texts.provider).set(unknown_texts.count)
    accounts_behind = add_gauge(
        "unfetched_accounts", "Accounts whose missed texts are not fetched yet.", "provider", "state"
    )
    for accounts in await owed.count_unfetched(tx):
        accounts_behind.labels(accounts.provider, accounts.state).set(accounts.count)
    accounts_paused = add_gauge("paused_accounts", "Accounts that their provider refuses.", "provider")
    for paused_accounts in await owed.count_paused_accounts(tx):
        accounts_paused.labels(paused_accounts.provider).set(paused_accounts.count)
    events = await owed.count_events(tx)
    add_gauge("owed_events", "Events that webhook endpoints are owed.").set(events.count)
    events_late = add_gauge("owed_events_late_seconds", "Seconds since the oldest owed event was due.")
    events_late.set(max(events.late, 0))
    events_behind = add_gauge("events_behind_seconds", "Age of the oldest event that no endpoint's queue has yet.")
    events_behind.set(max(await owed.get_seconds_behind(tx), 0))
    untold = add_gauge("untold_people", "People to whom notices are not sent, because a try failed.", "way")
    for people in await notices.count_untold(tx):
        untold.labels(people.way).set(people.count)
    endpoints = add_gauge("standing_endpoints", "Webhook endpoints that are paused, or that fail.", "state")
    for standing_endpoints in await owed.count_standing_endpoints(tx):
        endpoints.labels(standing_endpoints.state).set(standing_endpoints.count)
    phones_gauge = add_gauge("unchecked_phones", "Phones whose texts wait because a contact webhook is away.")
    phones_gauge.set(sum(silent.count for silent in await contact_checks.list_silent(tx)))
    imports = add_gauge("owed_imports", "Imports that workers are to finish.", "state")
    imports_late = add_gauge("owed_imports_late_seconds", "Seconds since the oldest import was due.", "state")
    for owed_imports in await owed.count_imports(tx):
        imports.labels(owed_imports.state).set(owed_imports.count)
        imports_late.labels(owed_imports.state).set(max(owed_imports.late, 0))
    turns = add_gauge("owed_turns", "Unfinished turns.", "state")
    turns_late = add_gauge("owed_turns_late_seconds", "Seconds since the oldest turn was due.", "state")
    for owed_turns in await owed.count_turns(tx):
        turns.labels(owed_turns.state).set(owed_turns.count)
        turns_late.labels(owed_turns.state).set(max(owed_turns.late, 0))
    return registry
