"""Figures for Prometheus: what this process did, and what all of them owe. No tenant is named."""

from hmac import compare_digest

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.domain.problems import Unauthorized, Unavailable
from app.settings import Settings
from app.store import owed
from app.store.engine import Tx
from app.web.doors import Held

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request, held: Held) -> Response:
    _require_token(request, held.settings)
    told = generate_latest()
    try:
        async with held.database.system() as tx:
            told += generate_latest(await _owed(tx))
    except Unavailable:
        pass  # what this process did can be told all the same
    return Response(told, media_type=CONTENT_TYPE_LATEST)


def _require_token(request: Request, settings: Settings) -> None:
    if not settings.production:
        return
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else ""
    given = request.headers.get("authorization", "")
    if not token or not compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Unauthorized("A bearer token is required.")


async def _owed(tx: Tx) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"leadsail_{name}", about, labels, registry=registry)

    texts = gauge("owed_texts", "Unsent texts.", "provider", "state")
    texts_late = gauge("owed_texts_late_seconds", "Since when the oldest text is due.", "provider", "state")
    for row in await owed.texts(tx):
        texts.labels(row["provider"], row["state"]).set(row["count"])
        texts_late.labels(row["provider"], row["state"]).set(max(row["late"], 0))
    unknown = gauge("unknown_texts", "Texts of which nobody knows whether they were taken.", "provider")
    for row in await owed.unknown(tx):
        unknown.labels(row["provider"]).set(row["count"])
    unfetched = gauge("unfetched_accounts", "Accounts whose missed texts are not here yet.", "provider", "state")
    for row in await owed.unfetched(tx):
        unfetched.labels(row["provider"], row["state"]).set(row["count"])
    turns = gauge("owed_turns", "Unfinished turns.", "state")
    turns_late = gauge("owed_turns_late_seconds", "Since when the oldest turn is due.", "state")
    for row in await owed.turns(tx):
        turns.labels(row["state"]).set(row["count"])
        turns_late.labels(row["state"]).set(max(row["late"], 0))
    return registry
